//! Commands while MQTT fails, each in a process of its own that starts without state.

use mysa_sim::{Closing, CloudSpec, Counters, Fault};
use serde_json::Value;

use crate::bench::{BEDROOM, Bench, HANG_SECONDS, Sim};
use crate::common::Home;

fn counters(bench: &Bench) -> Counters {
    bench.server().with_cloud(|cloud, _| cloud.counters())
}

/// Time at which publishing was found to be denied, from the session file.
fn denied_at(bench: &Bench) -> Option<i64> {
    let text = std::fs::read(bench.home.path(".local/state/mysa/user@example.com.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()["publish_denied_at"].as_i64()
}

/// Sets the bedroom, checks that the thermostat holds the value, and returns the result.
fn sets(bench: &Bench, degrees: f64, channel: &str) -> Value {
    let (temp, channel) = (degrees.to_string(), format!("--channel={channel}"));
    let args = ["set", "bedroom", "--temp", &temp, "--wait", HANG_SECONDS, &channel, "--json"];
    let document = bench.run(&args).ok().json().remove(0);
    assert_eq!(document["verdict"], "confirmed", "{document}");
    assert_eq!(bench.setpoint(BEDROOM), degrees, "{document}");
    document
}

/// Two commands of two processes while publishing is denied: the first learns of the denial, the second knows it.
fn publishing_is_denied_by(fault: Fault) {
    let bench = Bench::signed_in();
    assert_eq!(denied_at(&bench), None);
    bench.fault(fault);

    sets(&bench, 19.0, "auto");
    let first = counters(&bench);
    assert_eq!(first.structured_updates, 1, "the command must go by the second channel once");
    assert!(first.publishes > 0, "MQTT must be tried first");
    assert!(denied_at(&bench).is_some(), "the denial must be stored");

    sets(&bench, 20.0, "auto");
    let second = counters(&bench);
    assert_eq!(
        (second.structured_updates, second.publishes),
        (2, first.publishes),
        "the second process must not publish"
    );
    assert!(second.connects > first.connects, "the second process must still listen by MQTT");
}

#[test]
fn a_policy_that_denies_publishing_is_learned_once() {
    publishing_is_denied_by(Fault::DenyPublish);
}

#[test]
fn a_broker_that_closes_at_a_publish_is_learned_once() {
    publishing_is_denied_by(Fault::CloseOnPublish(Closing::Cut));
}

#[test]
fn a_broker_that_swallows_publishes_is_learned_once() {
    publishing_is_denied_by(Fault::DropPublishes);
}

/// Two commands of two processes without an MQTT connection: nothing is learned about publishing.
fn connecting_is_prevented_by(fault: Fault) {
    let bench = Bench::signed_in();
    let before = counters(&bench).publishes;
    bench.fault(fault);
    for (count, degrees) in [(1, 19.0), (2, 20.0)] {
        sets(&bench, degrees, "auto");
        let counted = counters(&bench);
        assert_eq!((counted.structured_updates, counted.publishes), (count, before));
        assert_eq!(denied_at(&bench), None);
    }
    let ran = bench.run(&["set", "bedroom", "--temp", "22", "--channel", "mqtt", "--wait", "5"]);
    assert!([8, 9].contains(&ran.code), "it was not sent: {ran:?}");
    assert_eq!(bench.setpoint(BEDROOM), 20.0);
}

#[test]
fn a_broker_that_closes_at_a_connect_does_not_stop_commands() {
    connecting_is_prevented_by(Fault::CloseOnConnect(Closing::Cut));
}

#[test]
fn a_broker_that_refuses_to_connect_does_not_stop_commands() {
    connecting_is_prevented_by(Fault::RefuseConnect(5));
}

#[test]
fn mqtt_alone_ends_unconfirmed_where_publishing_is_denied() {
    std::thread::scope(|scope| {
        for fault in [Fault::DenyPublish, Fault::CloseOnPublish(Closing::Cut), Fault::DropPublishes] {
            scope.spawn(move || {
                let bench = Bench::signed_in();
                bench.fault(fault.clone());
                let args = ["set", "bedroom", "--temp", "22", "--channel", "mqtt", "--json"];
                let document = bench.ends_unconfirmed(&args).json().remove(0);
                assert_eq!(document["verdict"], "unconfirmed", "{fault:?}: {document}");
                assert_eq!(counters(&bench).structured_updates, 0, "{fault:?}");
                assert_eq!(bench.setpoint(BEDROOM), 18.0, "{fault:?}");
            });
        }
    });
}

#[test]
fn the_value_in_force_is_confirmed_by_either_channel() {
    let bench = Bench::signed_in();
    for channel in ["mqtt", "rest"] {
        let document = sets(&bench, 18.0, channel);
        assert_eq!(document["already_so"], true, "{channel}: {document}");
        assert!(
            document["message"].as_str().unwrap().ends_with("it held these values already"),
            "{channel}: {document}"
        );
    }
    assert_eq!(counters(&bench).structured_updates, 1);
}

#[test]
fn all_thermostats_hold_the_requested_values_although_bursts_are_dropped() {
    let home = Home::new();
    let mut sim = Sim::start(home, &["--ca", "ca.pem", "--fault", "drop-bursts"]);
    let email = CloudSpec::DEMO_EMAIL;
    sim.run(&["login", email, "--password-stdin"], &format!("{}\n", CloudSpec::DEMO_PASSWORD)).ok();
    let ran = sim.run(&["set", "--all", "--temp", "20", "--wait", HANG_SECONDS, "--json"], "").ok();
    let document = ran.json().remove(0);
    let devices = document["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 5, "{document}");
    assert!(devices.iter().all(|device| device["verdict"] == "confirmed"), "{document}");
    assert!(devices.iter().all(|device| device["held"]["setpoint_c"] == 20.0), "{document}");
    // A process that does not know the command asks the cloud.
    let raw = sim.run(&["raw", "/devices/state", "--show-private", "--json"], "").ok().json().remove(0);
    let states = raw["DeviceStatesObj"].as_object().unwrap();
    assert_eq!(states.len(), 5, "{raw}");
    assert!(states.values().all(|state| state["SetPoint"]["v"] == 20.0), "{raw}");
    sim.child.kill().unwrap();
}
