//! Thermostats that are controlled by named shadows: the topics, the structured service, and the reactions.
#![allow(clippy::unwrap_used, reason = "a test may panic, helpers included")]

mod harness;

use std::time::Duration;

use mysa_mqtt_codec::PINGREQ;
use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{
    Button, CloudSpec, DeviceFault, DeviceSpec, Fault, FaultId, Incident, InvalidChange, Mode, Origin,
    ScheduledSetpoint, Window,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use harness::{BACKEND, Harness, LEGACY_CLIENT, LEGACY_POOL, Received, WALL, at, connect, id};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The demo's home with central HVAC (`fa`) and a baseboard V3 (`fb`).
fn spec() -> CloudSpec {
    let mut spec = CloudSpec::demo().without_schedules();
    let devices = &mut spec.accounts[0].homes[0].devices;
    for (last, model, watts) in [("fa", "ST-V1-0", 2_000.0), ("fb", "BB-V3-0", 2_500.0)] {
        let mut device = DeviceSpec::new(id(last), model, model);
        device.rated_watts = watts;
        devices.push(device);
    }
    spec
}

fn harness() -> Harness {
    Harness::new(spec())
}

fn topic(name: &str, end: &str) -> String {
    format!("$aws/things/a0b1c2d3e4fa/shadow/name/{name}/{end}")
}

const ANSWERS: [&str; 6] = [
    "get/accepted",
    "get/rejected",
    "update/accepted",
    "update/rejected",
    "update/delta",
    "update/documents",
];

/// Connects with the longest keep-alive, and subscribes to all answers for these shadows.
fn listen(harness: &mut Harness, conn: u64, names: &[&str]) {
    harness.dial(conn, LEGACY_POOL, LEGACY_CLIENT);
    harness.send(conn, &connect(&format!("client-{conn}"), 1_200));
    for name in names {
        let topics = ANSWERS.map(|end| topic(name, end));
        assert_eq!(harness.subscribe(conn, &topics.each_ref().map(String::as_str)), [1; 6]);
    }
}

fn ask(harness: &mut Harness, name: &str, request: &str, payload: &str) {
    harness.publish(1, &topic(name, request), payload.as_bytes());
}

/// Lets hours pass with pings on the first connection.
fn pass_hours(harness: &mut Harness, hours: u32) {
    for _ in 0..3 * hours {
        harness.pass(20 * MINUTE);
        harness.send(1, &PINGREQ);
    }
}

/// Sets desired values of a shadow, and waits until the thermostat has reported.
fn desire(harness: &mut Harness, name: &str, desired: &Value) {
    ask(harness, name, "update", &json!({ "state": { "desired": desired } }).to_string());
    harness.pass(2 * SECOND);
}

/// Messages that have arrived on a topic, oldest first.
fn on(harness: &Harness, name: &str, end: &str) -> Vec<Value> {
    let topic = topic(name, end);
    harness.inbox.iter().filter(|message| message.topic == topic).map(Received::json).collect()
}

fn last(harness: &Harness, name: &str, end: &str) -> Value {
    on(harness, name, end).pop().unwrap_or_else(|| panic!("nothing on {name} {end}"))
}

fn held(harness: &Harness, device: DeviceId) -> (f64, Mode) {
    let truth = harness.cloud.truth(device).unwrap();
    (truth.setpoint.as_degrees(), truth.mode)
}

fn state(harness: &mut Harness, device: DeviceId) -> Value {
    let tokens = harness.sign_in();
    harness.get(&tokens, &format!("/state/{device}"))
}

fn write(harness: &mut Harness, device: DeviceId, body: &Value) -> (u16, Value) {
    let tokens = harness.sign_in();
    let answer = harness.rest(&tokens, BACKEND, "POST", &format!("/state/{device}/update"), Some(body));
    harness.drain();
    answer
}

fn fault(harness: &mut Harness, device: DeviceId, fault: DeviceFault) -> FaultId {
    let window = Window::new(Duration::ZERO, Duration::MAX, Fault::Device(Some(device), fault));
    harness.cloud.start_fault(at(harness.now), window)
}

#[test]
fn a_shadow_is_read_with_its_times_and_version() {
    let mut harness = harness();
    listen(&mut harness, 1, &["targetHeat"]);
    ask(&mut harness, "targetHeat", "get", "");
    let values = json!({ "setpoint": 2_000, "lockoutMin": 500, "lockoutMax": 3_000 });
    let time = json!({ "timestamp": WALL });
    let times = json!({ "setpoint": time, "lockoutMin": time, "lockoutMax": time });
    assert_eq!(
        last(&harness, "targetHeat", "get/accepted"),
        json!({
            "state": { "desired": values, "reported": values },
            "metadata": { "desired": times, "reported": times },
            "version": 1, "timestamp": WALL,
        })
    );
    ask(&mut harness, "targetHeat", "get", r#"{"clientToken":"t-1"}"#);
    assert_eq!(last(&harness, "targetHeat", "get/accepted")["clientToken"], "t-1");
    // The names that one client documents, and the values of each.
    let names = ["hvacConfig", "modes", "physicalInterface", "targetAuto", "targetCool", "targetHeat"];
    for name in names {
        harness.inbox.clear();
        let conn = 100 + names.iter().position(|known| *known == name).unwrap() as u64;
        listen(&mut harness, conn, &[name]);
        harness.publish(conn, &topic(name, "get"), b"");
        let shown = last(&harness, name, "get/accepted");
        assert!(!shown["state"]["desired"].as_object().unwrap().is_empty(), "{name}");
        assert_eq!(shown["version"], 1, "{name}");
    }
}

#[test]
fn a_desired_value_is_a_difference_until_the_thermostat_reports_it() {
    let mut harness = harness();
    listen(&mut harness, 1, &["targetHeat"]);
    harness.pass(10 * SECOND);
    let now = WALL + 10;
    let request = r#"{"state":{"desired":{"setpoint":2150,"source":3}},"version":1,"clientToken":"c"}"#;
    ask(&mut harness, "targetHeat", "update", request);
    let time = json!({ "timestamp": now });
    let desired = json!({ "setpoint": 2_150, "source": 3 });
    let times = json!({ "setpoint": time, "source": time });
    assert_eq!(
        on(&harness, "targetHeat", "update/accepted"),
        [json!({
            "state": { "desired": desired }, "metadata": { "desired": times }, "version": 2, "timestamp": now,
            "clientToken": "c",
        })]
    );
    assert_eq!(
        on(&harness, "targetHeat", "update/delta"),
        [json!({ "state": desired, "metadata": times, "version": 2, "timestamp": now, "clientToken": "c" })]
    );
    let documents = last(&harness, "targetHeat", "update/documents");
    assert_eq!(documents["clientToken"], "c");
    assert_eq!(documents["previous"]["version"], 1);
    assert_eq!(documents["previous"]["state"]["desired"]["setpoint"], 2_000);
    assert_eq!(documents["current"]["version"], 2);
    assert_eq!(documents["current"]["state"]["desired"]["setpoint"], 2_150);
    assert_eq!(documents["current"]["state"]["reported"]["setpoint"], 2_000);
    assert_eq!(documents["current"]["metadata"]["desired"]["setpoint"]["timestamp"], now);
    assert_eq!(documents["current"]["metadata"]["desired"]["lockoutMin"]["timestamp"], WALL);
    ask(&mut harness, "targetHeat", "get", "");
    assert_eq!(last(&harness, "targetHeat", "get/accepted")["state"]["delta"], desired);
    // The structured service shows degrees, and a reported value only after the thermostat applied it.
    assert_eq!(held(&harness, id("fa")), (20.0, Mode::Heat));
    let shown = state(&mut harness, id("fa"));
    assert_eq!(shown["targetHeat"]["desired"]["setpoint"], 21.5);
    assert_eq!(shown["targetHeat"]["reported"]["setpoint"], 20);
    harness.pass(2 * SECOND);
    assert_eq!(held(&harness, id("fa")), (21.5, Mode::Heat));
    let report = last(&harness, "targetHeat", "update/accepted");
    assert_eq!(report["state"], json!({ "reported": desired }));
    assert_eq!((&report["version"], report.get("clientToken")), (&json!(3), None));
    assert_eq!(on(&harness, "targetHeat", "update/delta").len(), 1, "nothing differs any more");
    ask(&mut harness, "targetHeat", "get", "");
    assert_eq!(last(&harness, "targetHeat", "get/accepted")["state"].get("delta"), None);
    let shown = state(&mut harness, id("fa"));
    assert_eq!(shown["targetHeat"]["reported"]["setpoint"], 21.5);
    let record = harness.cloud.command_records(id("fa")).last().unwrap();
    assert_eq!((record.origin, record.applied), (Origin::Mqtt { conn: 1 }, true));
    assert_eq!(record.setpoint, Celsius::from_degrees(21.5));
}

#[test]
fn requests_that_break_the_rules_of_shadows_are_rejected_by_code() {
    let mut harness = harness();
    listen(&mut harness, 1, &["modes", "nothing"]);
    let deep = r#"{"state":{"desired":{"a":{"b":{"c":{"d":{"e":{"f":1}}}}}}},"clientToken":"t"}"#;
    let deeper = deep.replace("\"f\":1", "\"f\":{\"g\":1}");
    let long = format!(r#"{{"state":{{}},"clientToken":"{}"}}"#, "t".repeat(65));
    let large = json!({ "state": { "desired": { "note": "x".repeat(8_300) } } }).to_string();
    for (payload, code, message) in [
        ("", 400, "Invalid JSON"),
        ("[]", 400, "Invalid JSON"),
        ("{", 400, "Invalid JSON"),
        (r#"{"clientToken":"t"}"#, 400, "Missing required node: state"),
        (r#"{"state":1}"#, 400, "State node must be an object"),
        (r#"{"state":{"desired":1}}"#, 400, "Desired node must be an object"),
        (r#"{"state":{"reported":[]}}"#, 400, "Reported node must be an object"),
        (r#"{"state":{"delta":{}}}"#, 400, "State contains an invalid node"),
        (r#"{"state":{},"version":"1"}"#, 400, "Invalid version"),
        (r#"{"state":{},"clientToken":5}"#, 400, "Invalid clientToken"),
        (&long, 400, "Invalid clientToken"),
        (&deeper, 400, "JSON contains too many levels of nesting; maximum is 6"),
        (r#"{"state":{"desired":{"mode":0}},"version":7,"clientToken":"t"}"#, 409, "Version conflict"),
        (&large, 413, "The payload exceeds the maximum size allowed"),
    ] {
        let before = on(&harness, "modes", "update/rejected").len();
        ask(&mut harness, "modes", "update", payload);
        let rejected = on(&harness, "modes", "update/rejected");
        assert_eq!(rejected.len(), before + 1, "{payload}");
        let rejected = rejected.last().unwrap();
        assert_eq!((&rejected["code"], &rejected["message"]), (&json!(code), &json!(message)), "{payload}");
        assert_eq!(rejected["timestamp"], WALL);
        let token = payload.contains(r#""clientToken":"t""#).then(|| json!("t"));
        assert_eq!(rejected.get("clientToken"), token.as_ref(), "{payload}");
    }
    harness.publish(1, &topic("modes", "update"), b"{\"state\":\xff}");
    assert_eq!(last(&harness, "modes", "update/rejected")["code"], 415);
    ask(&mut harness, "nothing", "get", r#"{"clientToken":"n"}"#);
    assert_eq!(
        last(&harness, "nothing", "get/rejected"),
        json!({
            "code": 404, "message": "No shadow exists with name: 'nothing'", "timestamp": WALL, "clientToken": "n",
        })
    );
    ask(&mut harness, "modes", "get", "?");
    assert_eq!(last(&harness, "modes", "get/rejected")["message"], "Invalid JSON");
    assert_eq!(on(&harness, "modes", "update/accepted"), [Value::Null; 0]);
    // A document grows up to its limit, and a client may create shadows up to theirs.
    let half = json!({ "state": { "desired": { "one": "x".repeat(5_000) } } }).to_string();
    ask(&mut harness, "nothing", "update", &half);
    assert_eq!(last(&harness, "nothing", "update/accepted")["version"], 1);
    ask(&mut harness, "nothing", "update", &half.replace("one", "two"));
    assert_eq!(last(&harness, "nothing", "update/rejected")["code"], 413);
    ask(&mut harness, "nothing", "update", deep);
    assert_eq!(last(&harness, "nothing", "update/accepted")["version"], 2);
    for number in 0..9 {
        ask(&mut harness, &format!("more-{number}"), "update", deep);
    }
    listen(&mut harness, 2, &["too-many"]);
    harness.publish(2, &topic("too-many", "update"), deep.as_bytes());
    assert_eq!(last(&harness, "too-many", "update/rejected")["code"], 403);
    assert_eq!(held(&harness, id("fa")), (20.0, Mode::Heat));
}

#[test]
fn null_removes_a_desired_value_and_all_of_them() {
    let mut harness = harness();
    listen(&mut harness, 1, &["targetHeat"]);
    ask(
        &mut harness,
        "targetHeat",
        "update",
        r#"{"state":{"desired":{"setpoint":null,"note":{"a":1,"b":[1,2]}}}}"#,
    );
    ask(&mut harness, "targetHeat", "update", r#"{"state":{"desired":{"note":{"a":null}}}}"#);
    ask(&mut harness, "targetHeat", "get", "");
    let shown = last(&harness, "targetHeat", "get/accepted");
    let desired = json!({ "lockoutMin": 500, "lockoutMax": 3_000, "note": { "b": [1, 2] } });
    assert_eq!(shown["state"]["desired"], desired);
    let time = json!({ "timestamp": WALL });
    assert_eq!(shown["metadata"]["desired"]["note"], json!({ "b": [time, time] }));
    assert_eq!(shown["state"]["delta"], json!({ "note": { "b": [1, 2] } }), "no thermostat knows it");
    ask(&mut harness, "targetHeat", "update", r#"{"state":{"desired":null}}"#);
    ask(&mut harness, "targetHeat", "get", "");
    let shown = last(&harness, "targetHeat", "get/accepted");
    assert_eq!((shown["state"].get("desired"), shown["state"].get("delta")), (None, None));
    harness.pass(MINUTE);
    assert_eq!(held(&harness, id("fa")), (20.0, Mode::Heat), "nothing is wanted, so nothing changes");
}

#[test]
fn only_the_shadows_of_own_central_thermostats_are_permitted() {
    let mut harness = harness();
    harness.connect(1);
    let of = |device: &str, end: &str| format!("$aws/things/{device}/shadow/{end}");
    for (text, code) in [
        (of("a0b1c2d3e4fa", "name/modes/update"), 1),
        (of("a0b1c2d3e4fa", "name/modes/get/accepted"), 1),
        (of("a0b1c2d3e4fa", "name/any-name/update/delta"), 1),
        (of("a0b1c2d3e4fa", "name/modes/delete/accepted"), 0x80),
        (of("a0b1c2d3e4fa", "name/modes/+/accepted"), 0x80),
        (of("a0b1c2d3e4fa", "name/mo des/update"), 0x80),
        (of("a0b1c2d3e4fa", "update/accepted"), 0x80),
        (of("A0B1C2D3E4FA", "name/modes/update"), 0x80),
        (of("a0b1c2d3e4f6", "name/modes/update"), 0x80),
        (of("a0b1c2d3e4fb", "name/modes/update"), 0x80),
        (of("ffffffffffff", "name/modes/update"), 0x80),
    ] {
        assert_eq!(harness.subscribe(1, &[&text]), [code], "{text}");
    }
    for (conn, denied) in [
        (2, of("a0b1c2d3e4fa", "name/modes/update/accepted")),
        (3, of("a0b1c2d3e4fa", "name/modes/delete")),
        (4, of("a0b1c2d3e4fa", "update")),
        (5, of("a0b1c2d3e4f6", "name/modes/update")),
        (6, of("a0b1c2d3e4fb", "name/modes/get")),
    ] {
        harness.connect(conn);
        harness.publish(conn, &denied, br#"{"state":{"desired":{"mode":0}}}"#);
        assert_eq!(harness.closed.last().unwrap().0, conn, "{denied}");
    }
    let mut spec = spec();
    spec.rules.wildcards = true;
    let mut harness = Harness::new(spec);
    harness.connect(1);
    assert_eq!(harness.subscribe(1, &["$aws/things/a0b1c2d3e4fa/shadow/name/+/update/#"]), [1]);
    assert_eq!(harness.subscribe(1, &["$aws/things/a0b1c2d3e4f6/shadow/name/+/update/#"]), [0x80]);
    ask(&mut harness, "modes", "update", r#"{"state":{"desired":{"mode":0}}}"#);
    assert_eq!(on(&harness, "modes", "update/delta").len(), 1);
}

#[test]
fn the_structured_service_changes_shadows_and_shows_them_in_degrees() {
    let mut harness = harness();
    listen(&mut harness, 1, &["modes", "targetCool", "targetAuto"]);
    let body = json!({
        "source": 3, "modes": { "mode": 3, "fan_mode": 9 }, "targetCool": { "setpoint": 24.5 },
        "targetAuto": { "heatSetpoint": 19.5, "coolSetpoint": 25 }, "hvacConfig": { "advFanAlwaysOn": 1 },
    });
    assert_eq!(
        write(&mut harness, id("fa"), &body),
        (200, json!({ "message": "State updated successfully" }))
    );
    assert_eq!(last(&harness, "modes", "update/delta")["state"], json!({ "mode": 3, "source": 3 }));
    assert_eq!(
        last(&harness, "targetCool", "update/delta")["state"],
        json!({ "setpoint": 2_450, "source": 3 })
    );
    harness.pass(3 * SECOND);
    assert_eq!(held(&harness, id("fa")), (24.5, Mode::Cool));
    // Its readings come every minute.
    harness.pass(2 * MINUTE);
    let shown = state(&mut harness, id("fa"));
    let reported = |section: &str, name: &str| shown[section]["reported"][name].clone();
    let expected = [
        ("modes", "mode", json!(3)),
        ("modes", "fan_mode", json!(9)),
        ("modes", "hvacStates", json!(0)),
        ("targetCool", "setpoint", json!(24.5)),
        ("targetCool", "lockoutMax", json!(37)),
        ("targetHeat", "setpoint", json!(20)),
        ("targetHeat", "lockoutMin", json!(5)),
        ("targetAuto", "heatSetpoint", json!(19.5)),
        ("targetAuto", "coolSetpoint", json!(25)),
        ("targetAuto", "enabled", json!(true)),
        ("targetAuto", "deadband", json!(2)),
        ("hvacConfig", "advFanAlwaysOn", json!(1)),
        ("hvacConfig", "advFanRuntimePeriodSeconds", json!(1_800)),
        ("physicalInterface", "lockout", json!(0)),
        ("identity", "family", json!("LV")),
        ("identity", "model", json!("ST-V1-0")),
    ];
    for (section, name, value) in expected {
        assert_eq!(reported(section, name), value, "{section}.{name}");
    }
    assert_eq!(shown["targetCool"]["desired"]["setpoint"], 24.5);
    assert!(shown["targetCool"]["reported"]["timestamp"].as_i64().unwrap() >= WALL);
    assert_eq!(shown["modes"]["desired"].get("source"), None);
    let reading = &shown["latestTelemetry"]["reading"];
    assert_eq!((&reading["hvacState"], &reading["fanOnTime"]), (&json!(0), &json!(0)), "{reading}");
    assert!(reading["roomTemperature"].is_number() && reading["humidity"].is_number());
    let origins: Vec<_> = harness.cloud.command_records(id("fa")).map(|record| record.origin).collect();
    assert!(origins.iter().all(|origin| *origin == Origin::Rest), "{origins:?}");
    for (body, message) in [
        (json!({ "targetHeat": { "setpoint": 20 } }), "body must have required property 'source'"),
        (
            json!({ "source": 3, "targetHeat": { "setpoint": 20.3 } }),
            "the setpoint is not valid for this device",
        ),
        (
            json!({ "source": 3, "targetCool": { "setpoint": 15 } }),
            "the setpoint is not valid for this device",
        ),
        (
            json!({ "source": 3, "targetCool": { "lockoutMax": 40 } }),
            "the limit is not valid for this device",
        ),
        (json!({ "source": 3, "modes": { "mode": 8 } }), "the device does not have this mode"),
        (json!({ "source": 3, "modes": { "fan_mode": 1 } }), "fan_mode needs mode beside it"),
        (json!({ "source": 3, "modes": { "mode": 3, "fan_mode": 10 } }), "there is no such fan speed"),
        (
            json!({ "source": 3, "targetAuto": { "heatSetpoint": 26 } }),
            "the setpoint for heating is above that for cooling",
        ),
        (json!({ "source": 3, "hvacConfig": { "advFanAlwaysOn": 2 } }), "a value is out of range"),
    ] {
        let (status, answer) = write(&mut harness, id("fa"), &body);
        assert_eq!((status, &answer["message"]), (400, &json!(message)), "{body}");
    }
    // Both limits of the setpoint for cooling.
    for degrees in [16.0, 37.0] {
        let body = json!({ "source": 3, "targetCool": { "setpoint": degrees } });
        assert_eq!(write(&mut harness, id("fa"), &body).0, 200);
        harness.pass(3 * SECOND);
        assert_eq!(held(&harness, id("fa")).0, degrees);
    }
}

#[test]
fn an_unsupported_desired_value_stays_in_the_delta() {
    let mut harness = harness();
    listen(&mut harness, 1, &["modes", "targetHeat"]);
    for (name, desired) in [
        ("modes", json!({ "mode": 8 })),
        ("modes", json!({ "mode": "heat" })),
        ("targetHeat", json!({ "setpoint": 2_155 })),
        ("targetHeat", json!({ "setpoint": 21.5 })),
        ("targetHeat", json!({ "setpoint": 3_050 })),
    ] {
        desire(&mut harness, name, &desired);
        ask(&mut harness, name, "get", "");
        assert_eq!(last(&harness, name, "get/accepted")["state"]["delta"], desired);
        assert!(!harness.cloud.command_records(id("fa")).last().unwrap().applied, "{desired}");
        assert_eq!(held(&harness, id("fa")), (20.0, Mode::Heat), "{desired}");
    }
    let records = harness.cloud.truth(id("fa")).unwrap().commands;
    desire(&mut harness, "targetHeat", &json!({ "setpoint": null, "colour": "red" }));
    assert_eq!(harness.cloud.truth(id("fa")).unwrap().commands, records, "it knows no colour");
    desire(&mut harness, "targetHeat", &json!({ "setpoint": 2_200 }));
    assert_eq!(held(&harness, id("fa")), (22.0, Mode::Heat));
    ask(&mut harness, "targetHeat", "get", "");
    assert_eq!(last(&harness, "targetHeat", "get/accepted")["state"]["delta"], json!({ "colour": "red" }));
}

#[test]
fn a_thermostat_without_wifi_or_power_is_asked_again_when_it_is_back() {
    let mut harness = harness();
    listen(&mut harness, 1, &["modes"]);
    for (trouble, mode, wanted) in
        [(DeviceFault::Offline, 0, Mode::Off), (DeviceFault::Powerless, 4, Mode::Heat)]
    {
        let before = held(&harness, id("fa")).1;
        let trouble = fault(&mut harness, id("fa"), trouble);
        desire(&mut harness, "modes", &json!({ "mode": mode, "source": 3 }));
        harness.pass(5 * MINUTE);
        assert_eq!(held(&harness, id("fa")).1, before);
        assert_eq!(state(&mut harness, id("fa"))["latestTelemetry"]["isConnected"], false);
        assert!(harness.cloud.end_fault(at(harness.now), trouble));
        harness.pass(2 * MINUTE);
        assert_eq!(held(&harness, id("fa")).1, wanted);
        assert_eq!(last(&harness, "modes", "update/accepted")["state"]["reported"]["mode"], mode);
        assert_eq!(harness.cloud.command_records(id("fa")).last().unwrap().origin, Origin::Mqtt { conn: 1 });
        assert_eq!(state(&mut harness, id("fa"))["latestTelemetry"]["isConnected"], true);
    }
}

#[test]
fn faults_of_thermostats_apply_to_their_shadows() {
    let mut harness = harness();
    listen(&mut harness, 1, &["targetHeat"]);
    let reported = |harness: &mut Harness| {
        ask(harness, "targetHeat", "get", "");
        last(harness, "targetHeat", "get/accepted")["state"]["reported"]["setpoint"].clone()
    };
    let trouble = fault(&mut harness, id("fa"), DeviceFault::IgnoreCommands);
    desire(&mut harness, "targetHeat", &json!({ "setpoint": 2_100 }));
    assert_eq!((held(&harness, id("fa")).0, reported(&mut harness)), (20.0, json!(2_000)));
    harness.cloud.end_fault(at(harness.now), trouble);
    let trouble = fault(&mut harness, id("fa"), DeviceFault::Refuse);
    desire(&mut harness, "targetHeat", &json!({ "setpoint": 2_150 }));
    assert_eq!((held(&harness, id("fa")).0, reported(&mut harness)), (20.0, json!(2_000)));
    assert!(!harness.cloud.command_records(id("fa")).last().unwrap().applied);
    harness.cloud.end_fault(at(harness.now), trouble);
    let trouble = fault(&mut harness, id("fa"), DeviceFault::DropAcks);
    desire(&mut harness, "targetHeat", &json!({ "setpoint": 2_200 }));
    harness.pass(5 * MINUTE);
    assert_eq!((held(&harness, id("fa")).0, reported(&mut harness)), (22.0, json!(2_000)));
    assert_eq!(state(&mut harness, id("fa"))["targetHeat"]["reported"]["setpoint"], 20);
    harness.cloud.end_fault(at(harness.now), trouble);
    harness.pass(2 * MINUTE);
    assert_eq!(reported(&mut harness), json!(2_200), "it reports again");
    let trouble = fault(&mut harness, id("fa"), DeviceFault::DelayAcks(20 * SECOND));
    desire(&mut harness, "targetHeat", &json!({ "setpoint": 2_250 }));
    assert_eq!((held(&harness, id("fa")).0, reported(&mut harness)), (22.5, json!(2_200)));
    harness.pass(20 * SECOND);
    assert_eq!(reported(&mut harness), json!(2_250));
    harness.cloud.end_fault(at(harness.now), trouble);
    let trouble = fault(&mut harness, id("fa"), DeviceFault::AckWithoutApplying);
    desire(&mut harness, "targetHeat", &json!({ "setpoint": 2_300 }));
    assert_eq!((held(&harness, id("fa")).0, reported(&mut harness)), (22.5, json!(2_300)), "it lies");
    harness.cloud.end_fault(at(harness.now), trouble);
    // The structured service stores the desired values, and does not pass them on.
    let stores = harness
        .cloud
        .start_fault(at(harness.now), Window::new(Duration::ZERO, Duration::MAX, Fault::DesiredOnly));
    write(&mut harness, id("fa"), &json!({ "source": 3, "targetHeat": { "setpoint": 25 } }));
    harness.pass(MINUTE);
    let shown = state(&mut harness, id("fa"));
    assert_eq!(held(&harness, id("fa")).0, 22.5);
    assert_eq!(shown["targetHeat"]["desired"]["setpoint"], 25);
    harness.cloud.end_fault(at(harness.now), stores);
    desire(&mut harness, "targetHeat", &json!({ "setpoint": 2_050 }));
    assert_eq!((held(&harness, id("fa")).0, reported(&mut harness)), (20.5, json!(2_050)));
    assert_eq!(state(&mut harness, id("fa"))["targetHeat"]["desired"]["setpoint"], 20.5);
}

#[test]
fn central_hvac_heats_cools_and_reports_its_action() {
    let mut harness = harness();
    let thermostat = id("fa");
    listen(&mut harness, 1, &["modes", "targetAuto"]);
    desire(&mut harness, "targetAuto", &json!({ "heatSetpoint": 2_000, "coolSetpoint": 2_300 }));
    desire(&mut harness, "modes", &json!({ "mode": 1 }));
    for (room, states) in [(15.0, 8_192 + 256), (28.0, 8_192 + 1_024)] {
        harness.cloud.set_room(at(harness.now), thermostat, room).unwrap();
        harness.pass(2 * MINUTE);
        let truth = harness.cloud.truth(thermostat).unwrap();
        assert!(truth.heating && truth.watts == 2_000.0, "{truth:?}");
        assert!((truth.room - 21.5).abs() < (room - 21.5_f64).abs(), "{truth:?}");
        ask(&mut harness, "modes", "get", "");
        let shown = last(&harness, "modes", "get/accepted");
        assert_eq!(shown["state"]["reported"]["hvacStates"], states);
        assert_eq!((shown["state"]["desired"].get("hvacStates"), shown["state"].get("delta")), (None, None));
        let shown = state(&mut harness, thermostat);
        assert_eq!(shown["modes"]["reported"]["hvacStates"], states);
        assert_eq!(shown["latestTelemetry"]["reading"]["hvacState"], states);
    }
    // It keeps the room between both setpoints through a day.
    pass_hours(&mut harness, 4);
    for _ in 0..18 {
        pass_hours(&mut harness, 1);
        let room = harness.cloud.truth(thermostat).unwrap().room;
        assert!((19.3..23.7).contains(&room), "{room}");
    }
    desire(&mut harness, "modes", &json!({ "mode": 0 }));
    harness.pass(MINUTE);
    assert_eq!(harness.cloud.truth(thermostat).unwrap().watts, 0.0);
    assert_eq!(state(&mut harness, thermostat)["modes"]["reported"]["hvacStates"], 0);
}

#[test]
fn a_person_at_the_thermostat_changes_desired_and_reported_values() {
    let mut harness = harness();
    listen(&mut harness, 1, &["modes", "targetHeat", "targetCool", "targetAuto"]);
    let turn = |harness: &mut Harness, degrees, mode| {
        harness.cloud.turn(at(harness.now), id("fa"), Celsius::from_degrees(degrees), mode)
    };
    turn(&mut harness, 22.0, None).unwrap();
    harness.drain();
    let pressed = last(&harness, "targetHeat", "update/accepted");
    assert_eq!(
        pressed["state"],
        json!({ "desired": { "setpoint": 2_200 }, "reported": { "setpoint": 2_200 } })
    );
    assert_eq!(turn(&mut harness, 35.0, None), Err(InvalidChange::Setpoint), "it does not heat to that");
    turn(&mut harness, 35.0, Some(Mode::Cool)).unwrap();
    assert_eq!(held(&harness, id("fa")), (35.0, Mode::Cool));
    harness.cloud.press_button(at(harness.now), id("fa"), Button::Down).unwrap();
    harness.drain();
    assert_eq!(last(&harness, "targetCool", "update/accepted")["state"]["reported"]["setpoint"], 3_450);
    turn(&mut harness, 24.0, Some(Mode::Auto)).unwrap();
    harness.drain();
    assert_eq!(
        last(&harness, "targetAuto", "update/accepted")["state"]["reported"],
        json!({ "heatSetpoint": 2_400, "coolSetpoint": 2_600 }),
        "the setpoints keep their distance"
    );
    assert_eq!(on(&harness, "modes", "update/delta"), [Value::Null; 0]);
    desire(&mut harness, "modes", &json!({ "mode": 0 }));
    assert_eq!(held(&harness, id("fa")).1, Mode::Off);
    let origins: Vec<_> = harness.cloud.command_records(id("fa")).map(|record| record.origin).collect();
    assert_eq!(origins[..4], [Origin::Button; 4]);
    // Another app, by an incident and by a published message.
    let app = |degrees, mode| Incident::OtherApp(id("fa"), degrees, mode);
    harness.cloud.act(at(harness.now), app(Some(18.5), Some(Mode::Heat)));
    harness.pass(2 * SECOND);
    assert_eq!(held(&harness, id("fa")), (18.5, Mode::Heat));
    let payload = br#"{"state":{"desired":{"setpoint":1900}}}"#.to_vec();
    harness.cloud.act(at(harness.now), Incident::Publish(topic("targetHeat", "update"), payload));
    harness.pass(2 * SECOND);
    assert_eq!(held(&harness, id("fa")), (19.0, Mode::Heat));
    assert_eq!(harness.cloud.command_records(id("fa")).last().unwrap().origin, Origin::OtherApp);
}

#[test]
fn a_baseboard_v3_is_reached_by_the_structured_service_alone() {
    let mut harness = harness();
    let thermostat = id("fb");
    let body = json!({
        "source": 3, "modes": { "mode": 4 }, "targetHeat": { "setpoint": 21.5, "lockoutMax": 25 },
        "physicalInterface": { "lockout": 3, "format": "F" }, "tracking": { "ambientOffset": -1.5 },
        "bbConfig": { "controlType": 8 },
    });
    assert_eq!(write(&mut harness, thermostat, &body).0, 200);
    let shown = state(&mut harness, thermostat);
    assert_eq!(shown["targetHeat"]["desired"]["setpoint"], 21.5);
    assert_eq!(shown["targetHeat"]["reported"]["setpoint"], 20, "it does not know of it yet");
    harness.pass(3 * SECOND);
    let shown = state(&mut harness, thermostat);
    for (section, name, value) in [
        ("modes", "mode", json!(4)),
        ("targetHeat", "setpoint", json!(21.5)),
        ("targetHeat", "lockoutMax", json!(25)),
        ("physicalInterface", "lockout", json!(3)),
        ("physicalInterface", "format", json!("F")),
        ("tracking", "ambientOffset", json!(-1.5)),
        ("bbConfig", "controlType", json!(8)),
        ("identity", "model", json!("BB-V3-0")),
    ] {
        assert_eq!(shown[section]["reported"][name], value, "{section}.{name}");
    }
    // It heats its room, and the service gets its readings.
    harness.pass(6 * 60 * MINUTE);
    let truth = harness.cloud.truth(thermostat).unwrap();
    assert!((truth.room - 21.5).abs() < 1.0 && truth.energy > 0.1, "{truth:?}");
    let shown = state(&mut harness, thermostat);
    let reading = &shown["latestTelemetry"]["reading"];
    assert!((reading["roomTemperature"].as_f64().unwrap() - truth.room).abs() < 0.5, "{reading}");
    assert!(at(harness.now).wall.as_secs() - reading["timestamp"].as_i64().unwrap() < 120, "{reading}");
    assert!((0.0..=1.0).contains(&reading["dutyCycle"].as_f64().unwrap()), "{reading}");
    // Nothing reaches it by MQTT, and nothing comes from it.
    harness.connect(1);
    harness.subscribe(
        1,
        &["/v1/dev/a0b1c2d3e4fb/out", "/v1/dev/a0b1c2d3e4fb/batch", "/v1/dev/a0b1c2d3e4fa/out"],
    );
    harness.command(1, thermostat, 5, 1, &json!({ "tm": -1, "sp": 10 }));
    harness.publish(1, "/v1/dev/a0b1c2d3e4fb/in", br#"{"Device":"a0b1c2d3e4fb","MsgType":40,"EchoID":1}"#);
    harness.pass(2 * SECOND);
    harness.cloud.act(at(harness.now), Incident::Reboot(thermostat));
    pass_hours(&mut harness, 1);
    assert_eq!(harness.inbox, []);
    let truth = harness.cloud.truth(thermostat).unwrap();
    assert_eq!((truth.setpoint.as_degrees(), truth.unpaired, truth.boots), (21.5, false, 2));
    assert_eq!((truth.messages.ignored, truth.messages.dangerous), (2, 0));
    let tokens = harness.sign_in();
    let home = harness.get(&tokens, "/homes")["Homes"][0]["Id"].as_str().unwrap().to_owned();
    let body = json!({ "timeout": 300 });
    let (_, live) =
        harness.rest(&tokens, BACKEND, "POST", &format!("/mysa-legacy/stream/home/{home}"), Some(&body));
    assert_eq!(live["skippedDeviceIds"], json!(["a0b1c2d3e4fa", "a0b1c2d3e4fb"]));
}

#[test]
fn desired_and_reported_values_have_times_of_their_own() {
    for last in ["fa", "fb"] {
        let mut harness = harness();
        let thermostat = id(last);
        let modes = |harness: &mut Harness, which: &str| {
            let section = &state(harness, thermostat)["modes"][which];
            (section["mode"].as_i64().unwrap(), section["timestamp"].as_i64().unwrap())
        };
        let before = modes(&mut harness, "reported");
        let offline = fault(&mut harness, thermostat, DeviceFault::Offline);
        harness.pass(100 * SECOND);
        let asked_at = at(harness.now).wall.as_secs();
        assert_eq!(write(&mut harness, thermostat, &json!({ "source": 3, "modes": { "mode": 0 } })).0, 200);
        harness.pass(100 * SECOND);
        assert_eq!(modes(&mut harness, "desired"), (0, asked_at), "{last}");
        assert_eq!(modes(&mut harness, "reported"), before, "{last}: it does not know of the request");

        harness.cloud.end_fault(at(harness.now), offline);
        let back_at = at(harness.now).wall.as_secs();
        harness.pass(5 * SECOND);
        assert_eq!(modes(&mut harness, "desired"), (0, asked_at), "{last}");
        let (mode, reported_at) = modes(&mut harness, "reported");
        assert!(mode == 0 && (back_at..back_at + 5).contains(&reported_at), "{last}: {mode} {reported_at}");
    }
}

#[test]
fn the_setpoint_in_the_states_does_not_get_the_time_of_telemetry_without_it() {
    for last in ["fa", "fb"] {
        let mut harness = harness();
        let thermostat = id(last);
        let shown = |harness: &mut Harness| {
            let tokens = harness.sign_in();
            harness.get(&tokens, &format!("/devices/state/{thermostat}"))["DeviceState"].clone()
        };
        let before = shown(&mut harness);
        let lost = fault(&mut harness, thermostat, DeviceFault::DropAcks);
        let body = json!({ "source": 3, "modes": { "mode": 4 }, "targetHeat": { "setpoint": 23 } });
        assert_eq!(write(&mut harness, thermostat, &body).0, 200);
        harness.pass(30 * MINUTE);
        assert_eq!(held(&harness, thermostat).0, 23.0, "{last}");
        let after = shown(&mut harness);
        assert_ne!(after["CorrectedTemp"]["t"], before["CorrectedTemp"]["t"], "{last}: telemetry arrives");
        assert_eq!(after["SetPoint"], before["SetPoint"], "{last}: its report is lost");

        harness.cloud.end_fault(at(harness.now), lost);
        let back_at = at(harness.now).wall.as_secs();
        harness.pass(30 * MINUTE);
        let setpoint = &shown(&mut harness)["SetPoint"];
        let reported_at = setpoint["t"].as_i64().unwrap();
        assert_eq!(setpoint["v"], 23, "{last}");
        assert!((back_at..back_at + 120).contains(&reported_at), "{last}: {reported_at}, not {back_at}");
    }
}

#[test]
fn schedules_and_holds_change_thermostats_with_shadows() {
    let mut spec = spec();
    for device in spec.accounts[0].homes[0].devices.iter_mut().skip(5) {
        // Friday, 06:30 in Halifax: 7 hours and 26 minutes after the start.
        device.schedule = vec![
            ScheduledSetpoint { weekday: 5, minute: 390, setpoint: 21.0 },
            ScheduledSetpoint { weekday: 5, minute: 510, setpoint: 17.0 },
        ];
    }
    let mut harness = Harness::new(spec);
    listen(&mut harness, 1, &["targetHeat"]);
    pass_hours(&mut harness, 7);
    harness.pass(26 * MINUTE);
    let tokens = harness.sign_in();
    for device in [id("fa"), id("fb")] {
        assert_eq!(held(&harness, device).0, 21.0);
        assert_eq!(harness.cloud.command_records(device).last().unwrap().origin, Origin::Schedule);
        let start = "2026-01-02T10:40:00.000Z";
        let hold = json!({
            "deviceId": device.as_str(), "holdType": "permanent", "startTime": start,
            "state": { "targetHeat": { "setpoint": 23 } },
        });
        let (status, answer) = harness.rest(&tokens, BACKEND, "POST", "/schedule/hold", Some(&hold));
        assert_eq!(status, 201, "{answer}");
    }
    assert_eq!(
        on(&harness, "targetHeat", "update/delta")[0]["state"],
        json!({ "setpoint": 2_100, "source": 16 })
    );
    pass_hours(&mut harness, 3);
    let tokens = harness.sign_in();
    for device in [id("fa"), id("fb")] {
        assert_eq!(held(&harness, device).0, 23.0, "held through an event");
        let target = format!("/schedule/hold/{device}");
        assert_eq!(harness.rest(&tokens, BACKEND, "GET", &target, None).0, 200);
        assert_eq!(harness.rest(&tokens, BACKEND, "DELETE", &target, None).0, 200);
    }
    harness.pass(MINUTE);
    assert_eq!(
        [held(&harness, id("fa")).0, held(&harness, id("fb")).0],
        [17.0, 17.0],
        "the schedule goes on"
    );
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5_000..5_000_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    let names = prop_oneof![
        Just("setpoint"),
        Just("mode"),
        Just("fan_mode"),
        Just("heatSetpoint"),
        Just("coolSetpoint"),
        Just("lockout"),
        Just("activeIntensity"),
        Just("deadband"),
        Just("note"),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..4).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_update_of_a_shadow_moves_a_thermostat_out_of_its_limits(
        updates in prop::collection::vec((0..6_usize, json_value(), json_value()), 1..12),
    ) {
        let mut harness = harness();
        harness.connect(1);
        let names = ["modes", "targetHeat", "targetCool", "targetAuto", "physicalInterface", "hvacConfig"];
        for (which, desired, reported) in updates {
            let state = json!({ "state": { "desired": desired, "reported": reported } });
            ask(&mut harness, names[which], "update", &state.to_string());
            harness.pass(SECOND);
            let (setpoint, mode) = held(&harness, id("fa"));
            let range = if mode == Mode::Cool { 16.0..=37.0 } else { 5.0..=30.0 };
            prop_assert!(range.contains(&setpoint) && setpoint * 2.0 == (setpoint * 2.0).round(), "{setpoint}");
            let body = json!({ "source": 3, names[which]: desired });
            let (status, _) = write(&mut harness, id("fa"), &body);
            prop_assert!(status == 200 || status == 400, "{status}");
        }
        let shown = state(&mut harness, id("fa")).to_string();
        prop_assert!(shown.len() < 120_000);
    }
}
