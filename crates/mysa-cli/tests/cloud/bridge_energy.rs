//! Energy and firmware of `mysa bridge`, between the simulated cloud and mosquitto.

use mysa_proto::DeviceId;
use serde_json::Value;

use crate::bench::{Bench, KITCHEN, LIVING, wait_until};
use crate::bridge::{ANYBODY, Running, topic, url};
use crate::mosquitto::{Mosquitto, Observer};

/// Largest difference between a total and the truth, kWh: the energy since the reading of the history, and its rounding.
const TOLERANCE: f64 = 0.5;

fn truth(bench: &Bench, id: &str) -> f64 {
    let id = DeviceId::new(id).unwrap();
    bench.server().with_cloud(|cloud, _| cloud.past_energy(id).unwrap() + cloud.truth(id).unwrap().energy)
}

fn energy(observer: &Observer, id: &str) -> Option<f64> {
    observer.json(&topic(id, "state"))?["energy"].as_f64()
}

#[track_caller]
fn wait_for_energy(observer: &Observer, bench: &Bench, id: &str) -> f64 {
    wait_until("an energy", || energy(observer, id).is_some());
    let energy = energy(observer, id).unwrap();
    let truth = truth(bench, id);
    assert!(truth > 100.0 && (energy - truth).abs() < TOLERANCE, "{id}: {energy} kWh of {truth}");
    energy
}

#[test]
fn the_energy_is_that_of_the_cloud_and_survives_a_kill_and_a_damaged_file() {
    let bench = Bench::signed_in();
    let Some(broker) = Mosquitto::start(&bench.home.path("."), ANYBODY) else { return };
    let args = ["--broker", &url(&broker)];
    let mut bridge = Running::start(&bench, &args);
    let observer = Observer::connect(broker.address, None);
    let first = wait_for_energy(&observer, &bench, LIVING);
    wait_for_energy(&observer, &bench, KITCHEN);
    let config = observer.json(&format!("homeassistant/device/mysa_{LIVING}/config")).unwrap();
    let component = &config["components"]["energy"];
    assert_eq!(
        (&component["device_class"], &component["state_class"]),
        (&"energy".into(), &"total_increasing".into())
    );
    assert_eq!(component["unit_of_measurement"], "kWh");

    // Past days do not depend on the present setpoint.
    bench.run(&["set", "living", "--temp", "24"]).ok();
    bridge.kill();
    observer.wait_for("mysa/bridge/availability", "offline");
    let mut bridge = Running::start(&bench, &args);
    observer.wait_for("mysa/bridge/availability", "online");
    // It is known at once, from the file.
    let second = wait_for_energy(&observer, &bench, LIVING);
    assert!(second >= first, "{first} to {second}");

    // Half a file.
    bridge.kill();
    observer.wait_for("mysa/bridge/availability", "offline");
    let path = bench.home.path(".local/state/mysa/bridge-energy-mysa.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    let mut bridge = Running::start(&bench, &args);
    bridge.wait_for("is damaged and now");
    observer.wait_for("mysa/bridge/availability", "online");
    let third = wait_for_energy(&observer, &bench, LIVING);
    assert!(third >= second, "{second} to {third}");

    // What a reader has seen never falls and is never zero.
    let seen = observer.live(&topic(LIVING, "state"));
    let seen: Vec<f64> = seen.iter().filter_map(|state| state["energy"].as_f64()).collect();
    assert!(seen[0] > 100.0 && seen.is_sorted(), "{seen:?}");

    // The file beside the stored sessions is none.
    bridge.kill();
    bench.run(&["logout"]).ok();
    let ran = bench.run(&["devices"]).fails(4);
    assert!(ran.err.contains("mysa login") && !ran.err.contains("cannot be used"), "{ran:?}");
}

#[test]
fn the_firmware_is_shown_and_cannot_be_installed() {
    let bench = Bench::signed_in();
    let kitchen = DeviceId::new(KITCHEN).unwrap();
    bench.server().with_cloud(|cloud, now| cloud.offer_firmware(now, kitchen, Some("9.17.5.13"))).unwrap();
    let Some(broker) = Mosquitto::start(&bench.home.path("."), ANYBODY) else { return };
    let _bridge = Running::start(&bench, &["--broker", &url(&broker)]);
    let mut observer = Observer::connect(broker.address, None);
    let attributes = |observer: &Observer| observer.json(&topic(LIVING, "attributes")).unwrap_or_default();
    wait_until("the firmware", || attributes(&observer)["firmware"].is_string());
    let known = attributes(&observer);
    // No newer one is offered.
    assert_eq!(known["firmware"], known["firmware_newest"]);
    wait_until("the source", || attributes(&observer)["source"] == "mqtt");
    let config = observer.json(&format!("homeassistant/device/mysa_{LIVING}/config")).unwrap();
    assert_eq!(config["device"]["sw_version"], known["firmware"]);
    let component = &config["components"]["firmware"];
    assert_eq!(component["platform"], "update");
    assert_eq!(component["command_topic"], Value::Null);
    // The other thermostat has an update. Home Assistant compares the two versions.
    let kitchen = || observer.json(&topic(KITCHEN, "attributes")).unwrap_or_default();
    wait_until("the offer", || kitchen()["firmware_newest"] == "9.17.5.13");
    assert!(kitchen()["firmware"].is_string() && kitchen()["firmware"] != "9.17.5.13", "{}", kitchen());
    let config = observer.json(&format!("homeassistant/device/mysa_{KITCHEN}/config")).unwrap();
    let component = &config["components"]["firmware"];
    assert_eq!((&component["platform"], &component["command_topic"]), (&Value::from("update"), &Value::Null));
    // Nothing that a reader publishes installs one.
    observer.publish(&topic(LIVING, "set/firmware"), "install", false);
    wait_until("a result", || !observer.live(&topic(LIVING, "result")).is_empty());
    assert_eq!(observer.live(&topic(LIVING, "result"))[0]["outcome"], "refused");
    let dangerous = bench.server().with_cloud(|cloud, _| cloud.counters().dangerous_requests);
    assert_eq!((dangerous, bench.messages(LIVING).commands), (0, 0));
}
