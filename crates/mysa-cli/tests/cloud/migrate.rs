//! `mysa bridge migrate` with mosquitto.

use serde_json::Value;

use crate::bench::wait_until;
use crate::common::Home;
use crate::mosquitto::{Mosquitto, Observer};

const UNLOAD: &str = r#"{"migrate_discovery": true}"#;

/// Retained messages of mysa2mqtt for one thermostat, after its source: topics and payloads, values before entities.
fn leftovers() -> Vec<(String, String)> {
    let base = |component: &str, end: &str| format!("{component}/Living-20room/mysa_a0b1c2d3e4f5_{end}");
    let config = |component: &str, end: &str| {
        let base = base(component, end);
        let config = serde_json::json!({
            "component": component,
            "unique_id": format!("mysa_a0b1c2d3e4f5_{end}"),
            "device": { "identifiers": "a0b1c2d3e4f5", "name": "Living room", "manufacturer": "Mysa" },
            "origin": { "name": "mysa2mqtt", "sw_version": "3.0.0" },
            "availability": { "topic": format!("mysa2mqtt/{base}/availability") },
            "json_attributes_topic": format!("mysa2mqtt/{base}/attributes"),
        });
        (format!("homeassistant/{base}/config"), config.to_string())
    };
    let value = |component: &str, end: &str, name: &str, payload: &str| {
        (format!("mysa2mqtt/{}/{name}", base(component, end)), payload.to_owned())
    };
    let mut values = vec![
        value("climate", "climate", "availability", "offline"),
        value("climate", "climate", "mode_state", "heat"),
        value("climate", "climate", "temperature_state", "None"),
        value("sensor", "humidity", "availability", "offline"),
        value("sensor", "humidity", "state", "44.5"),
    ];
    values.sort();
    values.push(config("climate", "climate"));
    values.push(config("select", "temperature_source"));
    values.push(config("sensor", "humidity"));
    values
}

/// Messages of others, which must stay.
const OTHERS: [(&str, &str); 9] = [
    ("homeassistant/device/mysa_a0b1c2d3e4f5/config", r#"{"origin":{"name":"mysa-bridge"}}"#),
    (
        "homeassistant/sensor/0x00158d0001/temperature/config",
        r#"{"origin":{"name":"Zigbee2MQTT"},"unique_id":"0x00158d0001_temperature"}"#,
    ),
    (
        "homeassistant/climate/Hall/mysa_a0b1c2d3e4f5_climate/config",
        r#"{"origin":{"name":"another"},"unique_id":"mysa_a0b1c2d3e4f5_climate"}"#,
    ),
    ("homeassistant/climate/Attic/mysa_a0b1c2d3e4f5_climate/config", "no JSON"),
    ("mysa/a0b1c2d3e4f5/availability", "online"),
    ("mysa/a0b1c2d3e4f5/state", r#"{"setpoint":20.5}"#),
    ("mysa2mqtt/notes", "written by hand"),
    ("mysa2mqtt/climate/Hall/garage_door/state", "open"),
    ("zigbee2mqtt/bridge/state", "online"),
];

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|found| found["topic"].as_str().unwrap()).collect()
}

#[test]
fn what_mysa2mqtt_left_is_listed_and_removed_only_if_asked_and_nothing_else() {
    let home = Home::new();
    let Some(broker) = Mosquitto::start(&home.path("."), "allow_anonymous true") else { return };
    let url = format!("mqtt://{}", broker.address);
    let mut observer = Observer::connect(broker.address, None);
    let left = leftovers();
    for (topic, payload) in &left {
        observer.publish(topic, payload, true);
    }
    for (topic, payload) in OTHERS {
        observer.publish(topic, payload, true);
    }
    observer.wait_for(OTHERS[8].0, OTHERS[8].1);
    let retained = || Observer::connect(broker.address, None).topics();
    let before = retained();
    assert_eq!(before.len(), left.len() + OTHERS.len());
    let migrate = |args: &[&str]| {
        home.run(&[&["bridge", "migrate", "--json", "--broker", &url], args].concat()).ok().json().remove(0)
    };

    let report = migrate(&[]);
    let topics: Vec<&str> = left.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(texts(&report["found"]), topics);
    assert_eq!((report["removed"].as_i64(), report["mysa2mqtt_runs"].as_bool()), (Some(0), Some(false)));
    assert_eq!(retained(), before, "nothing is changed");
    let ran = home.run(&["bridge", "migrate", "--broker", &url]).ok();
    assert!(ran.out.contains("homeassistant/climate/Living-20room/mysa_a0b1c2d3e4f5_climate/config"));
    assert!(ran.err.contains("`mysa bridge migrate --yes` removes them"), "{}", ran.err);
    assert!(texts(&migrate(&["--from", "other"])["found"]).iter().all(|topic| topic.ends_with("/config")));

    assert_eq!(migrate(&["--yes"])["removed"].as_u64(), Some(left.len() as u64));
    let others: std::collections::BTreeSet<&str> = OTHERS.iter().map(|(topic, _)| *topic).collect();
    assert!(retained().iter().map(String::as_str).eq(others), "{:?}", retained());
    // Home Assistant was asked to unload each entity that the bridge has too, before its message was removed.
    for (topic, _) in left.iter().filter(|(topic, _)| topic.ends_with("/config")) {
        wait_until(topic, || observer.texts(topic).last().is_some_and(String::is_empty));
        let expected: &[&str] = if topic.contains("temperature_source") { &[""] } else { &[UNLOAD, ""] };
        assert_eq!(observer.texts(topic)[1..], *expected, "{topic}");
    }
    let again = home.run(&["bridge", "migrate", "--yes", "--broker", &url]).ok();
    assert!(again.err.contains("no retained messages of mysa2mqtt"), "{again:?}");
}

#[test]
fn a_broker_that_does_not_permit_the_removal_is_named_and_one_that_runs_too() {
    let home = Home::new();
    let acl = home.write("acl", "topic read #\ntopic write mysa/#\nuser mysa2mqtt\ntopic readwrite #\n");
    let lines = format!("allow_anonymous true\nacl_file {}\nuser root", acl.display());
    let Some(broker) = Mosquitto::start(&home.path("."), &lines) else { return };
    let url = format!("mqtt://{}", broker.address);
    let mut observer = Observer::connect(broker.address, Some(("mysa2mqtt", "")));
    let topic = "mysa2mqtt/climate/Hall/mysa_a0b1c2d3e4f5_climate/availability";
    observer.publish(topic, "online", true);
    observer.wait_for(topic, "online");
    let ran = home.run(&["bridge", "migrate", "--yes", "--broker", &url]).fails(1);
    assert!(ran.err.contains("1 of 1 are not removed"), "{ran:?}");
    assert!(ran.err.contains("mysa2mqtt seems to run: stop it first"), "{ran:?}");
    assert_eq!(observer.latest(topic).as_deref(), Some("online"));
    home.run(&["bridge", "migrate", "--broker", "mqtt://127.0.0.1:1"]).fails(8);
}
