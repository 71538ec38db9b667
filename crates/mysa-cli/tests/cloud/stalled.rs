//! `--wait` limits every command, regardless of the part that hangs.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::Command;

use mysa_sim::{CloudSpec, Endpoint, Fault, HttpFault, Incident};

use crate::bench::{Bench, LIVING};
use crate::common::{Ran, finish};

const SET: [&str; 6] = ["set", "living", "--temp", "22", "--wait", "5"];

/// Without the list of thermostats there is no plan.
const NO_PLAN: &str = "time-out: the cloud did not answer within 5 s; nothing was sent";
/// There is a plan, and no channel for it.
const NOT_SENT: &str = "expired: it could not be sent in time";
/// The program's limit ended before the session had a verdict, which a slow machine can show.
const NO_VERDICT: &str = "time-out: there is no verdict";

/// Checks that the limit ended the command before anything was sent.
#[track_caller]
fn ends_at_the_limit(ran: Ran, hangs: &str, words: &[&str]) -> Ran {
    assert_eq!(ran.code, 9, "{hangs}: {ran:?}");
    assert!(words.iter().any(|words| ran.err.contains(words)), "{hangs}: {ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{hangs}: {ran:?}");
    ran
}

/// A listener on loopback that accepts connections and never answers. Returns its address.
fn silent_listener() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The thread ends with the process of the tests.
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut unread = [0; 1_024];
                while connection.read(&mut unread).is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

#[test]
fn a_peer_that_takes_the_connection_and_says_nothing() {
    let bench = Bench::signed_in();
    let address = silent_listener();
    for args in [&SET[..], &["mode", "living", "off", "--wait", "5"]] {
        let mut command = bench.command(args);
        command.env("MYSA_CONNECT_TO", &address);
        ends_at_the_limit(finish(command, b""), "TLS handshake", &[NO_PLAN]);
    }
    let mut command = bench.command(&[&SET[..], &["--json"]].concat());
    command.env("MYSA_CONNECT_TO", &address);
    let document = ends_at_the_limit(finish(command, b""), "TLS handshake", &[NO_PLAN]).json().remove(0);
    assert_eq!((&document["verdict"], &document["exit_code"]), (&"failed".into(), &9.into()), "{document}");
    assert_eq!(document["requested"]["setpoint_c"], 22.0, "{document}");
}

#[test]
fn a_service_that_never_answers() {
    // A slow machine may reach the limit before it has a plan, or before the session has seen that its time is over.
    let either: &[&str] = &[NOT_SENT, NO_PLAN, NO_VERDICT];
    for (hangs, fault, words) in [
        ("REST", Fault::Http(Endpoint::Rest, HttpFault::Hang), &[NO_PLAN][..]),
        ("identity pool", Fault::Http(Endpoint::IdentityPool, HttpFault::Hang), either),
        ("all services", Fault::Http(Endpoint::Any, HttpFault::Hang), &[NO_PLAN]),
        ("upgrade", Fault::HangUpgrade, either),
        ("CONNACK", Fault::IgnoreConnect, either),
    ] {
        let bench = Bench::signed_in();
        bench.fault(fault);
        ends_at_the_limit(bench.run(&[&SET[..], &["--channel", "mqtt"]].concat()), hangs, words);
        assert_eq!(bench.setpoint(LIVING), 20.5, "{hangs}");
    }
}

#[test]
fn a_token_service_that_never_answers() {
    let bench = Bench::signed_in();
    bench.server().with_cloud(|cloud, now| cloud.act(now, Incident::ExpireTokens));
    bench.fault(Fault::Http(Endpoint::UserPool, HttpFault::Hang));
    ends_at_the_limit(bench.run(&SET), "token refresh", &[NO_PLAN]);
    assert_eq!(bench.setpoint(LIVING), 20.5);
}

/// Without an acknowledgement it is unknown whether the broker has the command, so the exit code is 6 and not 9.
#[test]
fn a_broker_that_never_acknowledges_the_command() {
    for fault in [Fault::DropPublishes, Fault::DropPubacks] {
        let bench = Bench::signed_in();
        bench.device_fault(LIVING, mysa_sim::DeviceFault::IgnoreCommands);
        bench.fault(fault.clone());
        let ran = bench.ends_unconfirmed(&["set", "living", "--temp", "22", "--channel", "mqtt"]);
        assert!(ran.err.contains("unconfirmed after"), "{fault:?}: {ran:?}");
    }
}

/// Names are resolved by the C library on a thread that nothing can interrupt.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_never_resolved() {
    let bench = Bench::signed_in();
    let source = bench.home.write(
        "hang.c",
        "#include <unistd.h>\nint getaddrinfo(const char *name, const char *service, const void *hints, void *found) \
         {\n  for (;;) pause();\n}\n",
    );
    let library = bench.home.path("hang.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
    assert!(built.success());
    let mut command = bench.command(&SET);
    command.env_remove("MYSA_CONNECT_TO").env("LD_PRELOAD", &library);
    ends_at_the_limit(finish(command, b""), "name", &[NO_PLAN]);
}

#[test]
fn without_a_limit_the_cause_is_named() {
    let bench = Bench::with(CloudSpec::demo());
    bench.log_in().ok();
    bench.fault(Fault::Http(Endpoint::Rest, HttpFault::Hang));
    let ran = bench.run(&["devices"]).fails(8);
    assert!(ran.err.contains("does not answer in time"), "{ran:?}");
}

#[test]
fn a_status_ends_at_its_limit() {
    const WORDS: &str = "time-out: the cloud did not answer within 3 s";
    let args = ["status", "--wait", "3"];
    let bench = Bench::signed_in();
    let mut command = bench.command(&args);
    command.env("MYSA_CONNECT_TO", silent_listener());
    ends_at_the_limit(finish(command, b""), "TLS handshake", &[WORDS]);
    for endpoint in [Endpoint::Rest, Endpoint::Any] {
        bench.fault(Fault::Http(endpoint.clone(), HttpFault::Hang));
        ends_at_the_limit(bench.run(&args), "REST", &[WORDS]);
    }
    bench.server().with_cloud(|cloud, now| cloud.act(now, Incident::ExpireTokens));
    ends_at_the_limit(bench.run(&args), "token refresh", &[WORDS]);

    // Without waiting for live reports, the states of REST are shown.
    let bench = Bench::signed_in();
    let shows_states = || {
        let document = bench.run(&["status", "--wait", "0", "--json"]).ok().json().remove(0);
        document["devices"].as_array().unwrap().iter().all(|device| device["setpoint_c"].is_number())
    };
    // The states have eight seconds, which a slow machine may not keep.
    assert!((0..20).any(|_| shows_states()), "no state was ever shown");

    // With the states of REST there is something to show.
    for fault in [Fault::HangUpgrade, Fault::IgnoreConnect] {
        let bench = Bench::signed_in();
        bench.fault(fault);
        let ran = bench.status(&["--json"]).ok();
        assert_ne!(ran.json()[0]["service"], "live", "{ran:?}");
    }
}
