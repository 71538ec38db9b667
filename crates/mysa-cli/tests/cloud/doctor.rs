//! `mysa doctor`.

use std::collections::BTreeMap;

use mysa_sim::{Closing, CloudSpec, DeviceFault, Endpoint, Fault, HttpFault};
use serde_json::Value;

use crate::bench::{BEDROOM, Bench, LIVING};
use crate::common::{Ran, finish};

/// Results by step.
fn results(ran: &Ran) -> BTreeMap<String, String> {
    let document = &ran.json()[0];
    assert_eq!((&document["schema"], &document["exit_code"]), (&1.into(), &ran.code.into()), "{document}");
    assert_eq!(document["ok"], ran.code == 0);
    let steps = document["steps"].as_array().unwrap();
    for step in steps {
        let failed = matches!(step["result"].as_str(), Some("failed" | "warning"));
        assert_eq!(
            step["advice"].is_string(),
            failed,
            "advice where something can be done, and only there: {step}"
        );
    }
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    steps.iter().map(|step| (text(&step["step"]), text(&step["result"]))).collect()
}

fn is_fit_to_share(ran: &Ran, bench: &Bench) {
    let home = bench.home.path("");
    for private in
        [LIVING, BEDROOM, CloudSpec::DEMO_EMAIL, "Living room", "Maple", home.to_str().unwrap(), "X-Amz"]
    {
        assert!(!ran.out.contains(private), "{private} in {}", ran.out);
    }
}

#[test]
fn a_healthy_account_passes_every_step_and_nothing_private_is_shown() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["doctor", "--json"]).ok();
    let results = results(&ran);
    assert!(results.values().all(|result| result == "ok"), "{results:?}");
    for step in [
        "settings file",
        "session file",
        "app-prod.mysa.cloud",
        "sign-in",
        "clock",
        "list of thermostats",
        "AWS credentials",
        "WebSocket upgrade, presigned",
        "MQTT CONNECT",
        "subscription of dev-1",
        "subscription of dev-5",
        "publishing",
        "dev-1 (BB-V1-1)",
    ] {
        assert!(results.contains_key(step), "{step}: {results:?}");
    }
    is_fit_to_share(&ran, &bench);
    let commands = bench.server().with_cloud(|cloud, _| {
        cloud.device_ids().filter_map(|id| cloud.truth(id)).map(|truth| truth.messages).collect::<Vec<_>>()
    });
    assert!(
        commands.iter().all(|counts| counts.commands + counts.echoes + counts.other == 0),
        "{commands:?}"
    );
    let ran = bench.run(&["doctor"]).ok();
    assert!(ran.out.lines().count() > 15 && ran.out.contains("ok       clock"), "{}", ran.out);
    is_fit_to_share(&ran, &bench);
}

#[test]
fn without_a_session_the_rest_is_looked_at_all_the_same() {
    let bench = Bench::new();
    let ran = bench.run(&["doctor", "--json"]).fails(4);
    let results = results(&ran);
    assert_eq!(results["session file"], "failed");
    assert_eq!(results["app-prod.mysa.cloud"], "ok");
    assert_eq!(results["sign-in"], "skipped");
}

#[test]
fn files_that_cannot_be_used_are_named_without_their_path() {
    let bench = Bench::signed_in();
    let session = bench.home.path(".local/state/mysa/user@example.com.json");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&session, std::fs::Permissions::from_mode(0o644)).unwrap();
        let ran = bench.run(&["doctor", "--json"]).fails(1);
        assert_eq!(results(&ran)["session file"], "failed");
        is_fit_to_share(&ran, &bench);
    }
    bench.home.write(".config/mysa/config.toml", "unit = 7\n");
    let ran = bench.run(&["doctor", "--json"]).fails(1);
    assert_eq!(results(&ran)["settings file"], "failed");
    is_fit_to_share(&ran, &bench);
}

#[test]
fn each_layer_that_fails_is_named_with_its_code() {
    let cases = [
        (Fault::Http(Endpoint::UserPool, HttpFault::Status(503)), 8, "sign-in"),
        (Fault::Http(Endpoint::Rest, HttpFault::Status(503)), 8, "list of thermostats"),
        (Fault::Http(Endpoint::IdentityPool, HttpFault::Status(503)), 8, "AWS credentials"),
        (Fault::RefuseUpgrade(403), 7, "WebSocket upgrade, presigned"),
        (Fault::RefuseConnect(5), 7, "MQTT CONNECT"),
        (Fault::RefuseConnect(3), 8, "MQTT CONNECT"),
        (Fault::CloseOnConnect(Closing::Cut), 7, "MQTT CONNECT"),
        (Fault::DenyPublish, 7, "publishing"),
    ];
    // Each run mostly waits for repeated attempts, so all of them together take little more than the longest.
    std::thread::scope(|scope| {
        for (fault, code, step) in cases {
            scope.spawn(move || {
                let bench = Bench::signed_in();
                bench.fault(fault.clone());
                let ran = bench.run(&["doctor", "--json"]);
                assert_eq!(results(&ran)[step], "failed", "{fault:?}: {ran:?}");
                assert!(ran.code == code && ran.err.contains(step), "{fault:?}: {ran:?}");
            });
        }
    });
}

#[test]
fn no_network_and_an_untrusted_certificate_exit_with_eight() {
    let bench = Bench::signed_in();
    let mut command = bench.command(&["doctor", "--json"]);
    command.env("MYSA_CONNECT_TO", "127.0.0.1:1");
    let ran = finish(command, b"").fails(8);
    assert_eq!(results(&ran)["app-prod.mysa.cloud"], "failed");
    let mut command = bench.command(&["doctor", "--json"]);
    command.env_remove("MYSA_CA");
    let ran = finish(command, b"").fails(8);
    assert!(ran.out.contains("certificate"), "{}", ran.out);
}

#[test]
fn a_thermostat_that_is_gone_ends_with_five() {
    let mut spec = CloudSpec::demo();
    let offline = Fault::Device(mysa_proto::DeviceId::new(LIVING), DeviceFault::Offline);
    spec.faults = spec.faults.with(std::time::Duration::ZERO, std::time::Duration::MAX, offline);
    let bench = Bench::with(spec);
    // The cloud needs many minutes to notice.
    bench.server().advance(std::time::Duration::from_secs(1_600));
    bench.log_in().ok();
    let ran = bench.run(&["doctor", "--json"]).fails(5);
    assert_eq!(results(&ran)["dev-1 (BB-V1-1)"], "failed", "{}", ran.out);
}
