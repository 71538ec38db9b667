//! `mysa fleet worker`: processes that share accounts by a real NATS server, against a simulated cloud.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use mysa_sim::{CloudSpec, DeviceFault};
use mysa_testkit::NatsServer;
use serde_json::{Value, json};

use crate::bench::{Bench, KITCHEN, signal, wait_until};
use crate::bridge_operation::{get, value};
use crate::common::{HANG_LIMIT, Ran};
use crate::fleet::{BY_FILE, Fleet, KITCHEN_2, KITCHEN_3, file, write_accounts_to};

/// Four accounts, `user1@example.com` to `user4@example.com`.
const ACCOUNTS: [(&str, u32, &str); 4] =
    [("one", 1, BY_FILE), ("two", 2, BY_FILE), ("three", 3, BY_FILE), ("four@home.org", 4, BY_FILE)];

/// A cloud, a NATS server, and workers with folders of their own for their sessions.
struct Machines {
    bench: Bench,
    nats: NatsServer,
}

impl Machines {
    fn start() -> Option<Self> {
        let bench = Bench::with(CloudSpec::demo().with_accounts(4));
        let nats = NatsServer::start(&bench.home.path(""), "")?;
        Some(Self { bench, nats })
    }

    fn worker(&self, name: &str, args: &[&str]) -> Fleet {
        let fleet = self.begin(name, args);
        fleet.wait_for_log("commands at ");
        fleet
    }

    /// A worker that may wait for NATS.
    fn begin(&self, name: &str, args: &[&str]) -> Fleet {
        let accounts = format!("{name}.toml");
        write_accounts_to(&self.bench, &accounts, &format!("sessions = \"{name}\"\n{}", file(&ACCOUNTS)));
        let control = format!("{name}.sock");
        let url = self.nats.url();
        let options = [
            "fleet",
            "worker",
            "--nats",
            &url,
            "--worker",
            name,
            "--accounts",
            &accounts,
            "--control",
            &control,
            "--start-rate",
            "1000",
            "--metrics",
            ":0",
        ];
        Fleet::begin_with(&self.bench, &[&options, args].concat())
    }

    /// A command by NATS that is confirmed. On a machine that is too slow for its lease it is repeated.
    #[track_caller]
    fn confirmed(&self, args: &[&str]) -> Ran {
        let deadline = std::time::Instant::now() + HANG_LIMIT;
        loop {
            let ran = self.set(args);
            if ![6, 8, 9].contains(&ran.code) || std::time::Instant::now() > deadline {
                return ran.ok();
            }
        }
    }

    /// A command by NATS.
    fn set(&self, args: &[&str]) -> Ran {
        self.bench.run(&[&["fleet", "set", "--nats", &self.nats.url()], args].concat())
    }
}

/// Address of the metrics of a worker.
fn metrics(worker: &Fleet) -> String {
    let log = worker.log();
    log.split_once("metrics at http://").unwrap().1.split_once("/metrics").unwrap().0.to_owned()
}

/// Number of accounts that a worker owns.
fn owned(worker: &Fleet) -> f64 {
    value(&metrics(worker), "mysa_fleet_owned_accounts").unwrap_or(-1.0)
}

fn all_live(worker: &mut Fleet) {
    for (name, ..) in ACCOUNTS {
        worker.wait_until_live(name);
    }
}

/// Verdict of a command by NATS, once there is one. The member `retry` never reaches the caller.
fn verdict(ran: &Ran) -> Value {
    let answer = ran.out.lines().next().map(serde_json::from_str::<Value>);
    let answer =
        answer.unwrap_or_else(|| panic!("{ran:?}")).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert!(answer["retry"].is_null(), "{answer}");
    answer
}

#[test]
fn two_workers_share_the_accounts_and_one_takes_over_when_the_other_is_killed() {
    let Some(machines) = Machines::start() else { return };
    let mut first = machines.worker("w1", &["--lease", "20", "--settle", "1"]);
    all_live(&mut first);
    assert_eq!(owned(&first), 4.0);
    // The accounts that are assigned to a second worker are handed to it, one after another.
    let second = machines.worker("w2", &["--lease", "20", "--settle", "1"]);
    wait_until("a share for each", || {
        let (first, second) = (owned(&first), owned(&second));
        first >= 1.0 && second >= 1.0 && first + second == 4.0
    });
    let text = get(&metrics(&second), "/metrics");
    for line in ["mysa_fleet_nats_connected 1", "mysa_fleet_lease_held 1", "mysa_fleet_workers 2"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(get(&metrics(&second), "/healthz").ends_with("\r\n\r\nok\n"));
    // A command reaches the owner by NATS, and by the socket of any worker.
    for (account, kitchen) in [("one", KITCHEN), ("two", KITCHEN_2), ("three", KITCHEN_3)] {
        let target = format!("{account}/kitchen");
        let ran = machines.confirmed(&[&target, "--temp", "22.5"]);
        assert!(ran.out.starts_with(&format!("{target}: confirmed")), "{ran:?}");
        let ran =
            machines.bench.run(&["fleet", "set", &target, "--temp", "21.5", "--control", "w1.sock"]).ok();
        assert!(ran.out.contains("confirmed"), "{ran:?}");
        assert_eq!(machines.bench.setpoint(kitchen), 21.5);
    }
    let ran = machines.confirmed(&["four@home.org/kitchen", "--temp", "20", "--json"]);
    assert_eq!(verdict(&ran)["account"], "four@home.org");

    // A worker that is killed loses its accounts after the lease.
    let mut second = second;
    second.child.kill().unwrap();
    second.child.wait().unwrap();
    wait_until("the accounts of the dead worker", || owned(&first) == 4.0);
    first.wait_for_log("is gone; its accounts are free");

    assert_eq!(first.end().0, Some(143));
}

#[test]
fn a_worker_that_was_stopped_past_its_lease_writes_nothing_when_it_goes_on() {
    let Some(machines) = Machines::start() else { return };
    let bench = &machines.bench;
    let mut first = machines.worker("w1", &["--lease", "20", "--settle", "600"]);
    all_live(&mut first);
    let mut second = machines.worker("w2", &["--lease", "20", "--settle", "600"]);
    second.wait_for_log("worker \"w1.");
    // A command is open: the thermostat does not obey, so it is sent again and again.
    bench.device_fault(KITCHEN, DeviceFault::IgnoreCommands);
    let url = machines.nats.url();
    let mut number = 0;
    let (open, request) = loop {
        number += 1;
        let (request, before) = (format!("r{number}"), bench.messages(KITCHEN).commands);
        let args =
            ["fleet", "set", "--nats", &url, "one/kitchen", "--temp", "23", "--request", &request, "--json"];
        let mut open = bench.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("a transmission", || bench.messages(KITCHEN).commands > before);
        signal(&first.child, "STOP");
        if open.try_wait().unwrap().is_none() {
            break (open, request);
        }
        // On a slow machine its time was over before.
        signal(&first.child, "CONT");
    };
    all_live(&mut second);
    // The next owner closes it, and sends nothing again. A repeat gets the same verdict.
    let ran = Ran::of(open.wait_with_output().unwrap());
    let lost = verdict(&ran);
    assert_eq!(
        (&lost["verdict"], &lost["message"]),
        (&json!("unconfirmed"), &json!("unconfirmed: owner lost")),
        "{lost}"
    );
    assert_eq!(ran.code, 6);
    let again = machines.set(&["one/kitchen", "--temp", "23", "--request", &request, "--json"]).fails(6);
    assert_eq!(verdict(&again)["message"], "unconfirmed: owner lost");
    // This one reaches the stopped worker too, whose subscription the server still has.
    let fresh = machines.confirmed(&["two/kitchen", "--temp", "18.5", "--json"]);
    assert_eq!(verdict(&fresh)["verdict"], "confirmed");
    let counts = || [KITCHEN, KITCHEN_2, KITCHEN_3].map(|id| bench.messages(id).commands);
    let (now, setpoint) = (counts(), bench.setpoint(KITCHEN_2));
    signal(&first.child, "CONT");
    first.wait_for_log("session over");
    for (name, ..) in ACCOUNTS {
        first.event("it stops", |event| event["account"] == name && event["state"] == "stopped");
    }
    // It has a new session and no account, and it answered what waited for it.
    wait_until("a new session", || first.log().matches(" begun").count() >= 2);
    assert_eq!((owned(&first), owned(&second)), (0.0, 4.0));
    assert_eq!((counts(), bench.setpoint(KITCHEN_2)), (now, setpoint));
    let ran = machines.confirmed(&["three/kitchen", "--temp", "19.5"]);
    assert!(ran.out.contains("confirmed"), "{ran:?}");
    assert_eq!((second.end().0, first.end().0), (Some(143), Some(143)));
}

/// With such a lease, a hand-over that waited for its end would not end within the test.
#[test]
fn a_worker_that_is_asked_to_end_hands_over_its_accounts_at_once() {
    let Some(machines) = Machines::start() else { return };
    let long = ["--lease", "600", "--settle", "600"];
    let mut first = machines.worker("w1", &long);
    all_live(&mut first);
    let mut second = machines.worker("w2", &long);
    second.wait_for_log("worker \"w1.");
    let (code, rest) = first.end();
    assert_eq!(code, Some(143));
    // Each client was closed in order before.
    assert_eq!(rest.iter().filter(|event| event["state"] == "stopped").count(), 4, "{rest:?}");
    all_live(&mut second);
    // Each owner has a token of its own, which is higher.
    let live = second.event("one is live", |event| event["account"] == "one" && event["service"] == "live");
    let before: Vec<_> = rest.iter().filter(|event| event["account"] == "one").collect();
    let is_lower = |event: &&Value| event["owner"].as_i64() < live["owner"].as_i64();
    assert!(!before.is_empty() && before.iter().all(is_lower), "{before:?} {live}");
    let ran = machines.confirmed(&["one/kitchen", "--temp", "20"]);
    assert!(ran.out.contains("confirmed"), "{ran:?}");
    assert_eq!(second.end().0, Some(143));
}

#[test]
fn a_restart_of_the_nats_server_moves_no_account_and_loses_no_command() {
    let Some(mut machines) = Machines::start() else { return };
    let mut first = machines.worker("w1", &["--lease", "600", "--settle", "600"]);
    all_live(&mut first);
    machines.confirmed(&["one/kitchen", "--temp", "23", "--request", "a"]);
    machines.nats.kill();
    first.wait_for_log("NATS: the connection is lost");
    assert!(machines.nats.run());
    first.wait_for_log("NATS: connected again");
    let ran = machines.confirmed(&["one/kitchen", "--temp", "24"]);
    assert!(ran.out.contains("confirmed"), "{ran:?}");
    // The verdicts are still there.
    let again = machines.set(&["one/kitchen", "--temp", "23", "--request", "a", "--json"]).ok();
    assert_eq!((&verdict(&again)["verdict"], machines.bench.setpoint(KITCHEN)), (&json!("confirmed"), 24.0));
    let other = machines.set(&["one/kitchen", "--temp", "25", "--request", "a"]).fails(7);
    assert!(other.err.contains("the id was used for another command"), "{other:?}");
    assert_eq!(owned(&first), 4.0);
    assert!(!first.log().contains("session over"), "{}", first.log());
    // An account that leaves the file is stopped, and has no owner then.
    write_accounts_to(&machines.bench, "w1.toml", &format!("sessions = \"w1\"\n{}", file(&ACCOUNTS[1..])));
    signal(&first.child, "HUP");
    first.event("one stops", |event| event["account"] == "one" && event["state"] == "stopped");
    let ran = machines.set(&["one/kitchen", "--temp", "20"]).fails(8);
    assert!(
        ran.err.contains("no worker serves the account") && ran.err.contains("nothing was sent"),
        "{ran:?}"
    );
    assert_eq!(first.end().0, Some(143));
}

#[test]
fn the_events_of_all_workers_are_one_stream_with_the_latest_of_each_thermostat() {
    let Some(machines) = Machines::start() else { return };
    let url = machines.nats.url();
    let ran = machines.bench.run(&["fleet", "watch", "--nats", &url]).fails(8);
    assert!(ran.err.contains("start `mysa fleet worker`"), "{ran:?}");
    let mut worker = machines.worker("w1", &[]);
    all_live(&mut worker);
    let watch = |more: &[&str]| {
        let mut command = machines.bench.command(&[&["fleet", "watch", "--nats", &url], more].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        (child, events)
    };
    let (mut child, mut events) = watch(&["one"]);
    let mut until = |is_it: &dyn Fn(&Value) -> bool| loop {
        let event = events.next().expect("the watch goes on");
        assert_eq!((&event["account"], &event["schema"]), (&json!("one"), &json!(1)), "{event}");
        assert!(event["owner"].is_i64(), "{event}");
        if is_it(&event) {
            return;
        }
    };
    until(&|event| event["id"] == KITCHEN && event["temperature_c"].is_number());
    machines.confirmed(&["one/kitchen", "--temp", "23.5", "--request", "e1"]);
    until(&|event| event["id"] == KITCHEN && event["setpoint_c"] == 23.5);
    child.kill().unwrap();
    child.wait().unwrap();
    // One that begins later sees the latest state, no older one, and the verdict beside it. Other thermostats may report
    // meanwhile.
    let (mut child, events) = watch(&[]);
    let (mut setpoint, mut verdict) = (None, false);
    for event in events {
        let of_one = event["account"] == "one";
        verdict |= of_one && event["event"] == "verdict";
        if of_one && event["event"] == "device" && event["id"] == KITCHEN {
            setpoint.get_or_insert_with(|| event["setpoint_c"].clone());
        }
        if verdict && setpoint.is_some() {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(setpoint, Some(json!(23.5)));
    let four =
        machines.bench.run(&["fleet", "watch", "--nats", &url, "four@home.org", "--count", "3"]).ok().json();
    assert!(four.len() == 3 && four.iter().all(|event| event["account"] == "four@home.org"), "{four:?}");
    assert_eq!(worker.end().0, Some(143));
}

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    let Some(machines) = Machines::start() else { return };
    let bench = &machines.bench;
    let long = "x".repeat(65);
    write_accounts_to(bench, "accounts.toml", &file(&ACCOUNTS));
    write_accounts_to(bench, "long.toml", &file(&[(&long, 1, BY_FILE)]));
    let url = machines.nats.url();
    let secret = url.replace("nats://", "nats://ann:canary@");
    let run = |args: &[&str]| bench.run(&[&["fleet", "worker", "--control", "w.sock"], args].concat());
    let with = ["--accounts", "accounts.toml", "--nats", &url];
    for (args, code, text) in [
        (&["--accounts", "accounts.toml"][..], 2, "name it with --nats"),
        (&["--nats", &url], 2, "name their file with --accounts"),
        (&["--accounts", "long.toml", "--nats", &url], 2, "too long for a fleet on NATS"),
        // Reported at once, although NATS is away.
        (
            &["--accounts", "accounts.toml", "--nats", "nats://127.0.0.1:1", "--lease", "1"],
            2,
            "expected 6 to 600",
        ),
        (&[&with[..], &["--nats-inbox", "_INBOX.*"]].concat(), 2, "invalid --nats-inbox '_INBOX.*'"),
        (&["--accounts", "accounts.toml", "--nats", "http://x"], 2, "invalid --nats"),
        (&["--accounts", "accounts.toml", "--nats", &secret], 2, "--nats-password-file"),
        (&[&with[..], &["--fleet", "a.b"]].concat(), 2, "invalid --fleet 'a.b'"),
        (&[&with[..], &["--worker", "a b"]].concat(), 2, "invalid --worker"),
        (&[&with[..], &["--lease", "1"]].concat(), 2, "expected 6 to 600"),
        (&[&with[..], &["--nats-user", "ann"]].concat(), 2, "--nats-password-file"),
        (&[&with[..], &["--nats-creds", "missing"]].concat(), 1, "cannot read --nats-creds missing"),
        (&[&with[..], &["--nats-ca", "password"]].concat(), 1, "the server does not use TLS"),
    ] {
        let ran = run(args).fails(code);
        assert!(ran.err.contains(text) && !ran.err.contains("canary"), "{args:?}: {ran:?}");
    }
    // Everything but a worker ends at once.
    let away = bench.run(&["fleet", "watch", "--nats", "nats://127.0.0.1:1"]).fails(8);
    assert!(away.err.contains("cannot connect to NATS at nats://127.0.0.1:1"), "{away:?}");
    // No worker, no verdict; the request is not kept for later.
    let ran = machines.set(&["one/kitchen", "--temp", "20"]).fails(8);
    assert!(ran.err.contains("no worker serves the account"), "{ran:?}");
}

/// After a loss of power, a worker may start before NATS.
#[test]
fn a_worker_that_starts_before_nats_waits_for_it() {
    let Some(mut machines) = Machines::start() else { return };
    machines.nats.kill();
    let mut worker = machines.begin("w1", &[]);
    worker.wait_for_log("waiting for NATS: cannot connect to NATS at nats://127.0.0.1:");
    machines.nats.run();
    all_live(&mut worker);
    assert_eq!(worker.end().0, Some(143));
    // It can be ended while it waits.
    machines.nats.kill();
    let worker = machines.begin("w1", &[]);
    worker.wait_for_log("waiting for NATS");
    assert_eq!(worker.end().0, Some(143));
}

/// No waiting mends these.
#[test]
fn a_worker_that_nats_refuses_ends_at_once() {
    let home = tempfile::tempdir().unwrap();
    let lines =
        "accounts {\n  A { users [{ user: ann, password: right }] }\n  SYS {}\n}\nsystem_account: SYS";
    let Some(nats) = NatsServer::start(home.path(), lines) else { return };
    let bench = Bench::with(CloudSpec::demo());
    write_accounts_to(&bench, "accounts.toml", &file(&ACCOUNTS[..1]));
    let url = nats.url();
    for (name, password, code, text) in [
        ("wrong", "wrong", 4, "name the credentials with"),
        // The account may not use JetStream.
        ("right", "right", 1, "JetStream must be on"),
    ] {
        write_accounts_to(&bench, name, password);
        let args = ["fleet", "worker", "--accounts", "accounts.toml", "--control", "w.sock", "--nats", &url];
        let ran = bench.run(&[&args[..], &["--nats-user", "ann", "--nats-password-file", name]].concat());
        let ran = ran.fails(code);
        assert!(ran.err.contains(text), "{ran:?}");
    }
}
