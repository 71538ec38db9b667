//! Air conditioners and the two tables of fan speeds of their remote controls.
#![allow(clippy::unwrap_used, reason = "a test may panic, helpers included")]

mod harness;

use std::time::Duration;

use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{AcRemote, CloudSpec, InvalidChange, Mode};
use serde_json::{Value, json};

use harness::{BACKEND, Harness, at, id};

const NUMBERED: &str = "f9";
const NAMED: &str = "fd";

fn harness() -> Harness {
    Harness::new(CloudSpec::all().without_schedules())
}

fn record(harness: &mut Harness, device: DeviceId) -> Value {
    let tokens = harness.sign_in();
    harness.get(&tokens, "/devices")["DevicesObj"][device.as_str()].clone()
}

/// Sends a command, and returns the state of the acknowledgement if it is a success.
fn command(harness: &mut Harness, device: DeviceId, cmd: &Value) -> Option<Value> {
    harness.inbox.clear();
    harness.command(1, device, 2, 1_000, cmd);
    harness.pass(Duration::from_secs(2));
    let mut acks = harness.inbox.iter().map(harness::Received::json).filter(|message| message["msg"] == 44);
    let ack = acks.next_back().unwrap();
    (ack["body"]["success"] == 1).then(|| ack["body"]["state"].clone())
}

#[test]
fn a_home_of_all_families_has_an_air_conditioner_of_each_table() {
    let mut harness = harness();
    assert_eq!(harness.cloud.device_ids().count(), 8);
    let families: std::collections::BTreeSet<_> =
        harness.cloud.device_ids().map(|id| harness.cloud.truth(id).unwrap().family).collect();
    assert_eq!(families.len(), 7);
    let codes = [NUMBERED, NAMED].map(|last| record(&mut harness, id(last))["CodeNum"].clone());
    assert_eq!(codes, [json!("2009"), json!("1117")]);
}

#[test]
fn clients_that_read_speeds_in_different_ways_offer_more_than_auto() {
    let mut harness = harness();
    let numbered = record(&mut harness, id(NUMBERED));
    let modes = numbered["SupportedCaps"]["modes"].as_object().unwrap().clone();
    // One client takes the list of the first mode that has one, and its own table of numbers.
    let first = modes.values().find_map(|mode| mode["fanSpeeds"].as_array().filter(|list| !list.is_empty()));
    let known = |speed: &&Value| [1, 3, 5, 7, 8, 12].contains(&speed.as_i64().unwrap());
    assert_eq!(first.unwrap().iter().filter(known).count(), 4);
    let first = modes.values().find_map(|mode| mode["verticalSwing"].as_array());
    assert!(first.unwrap().iter().all(|position| (3..=9).contains(&position.as_i64().unwrap())));
    // Another takes the list of each mode.
    for (mode, speeds) in [("3", json!([1, 3, 5, 7])), ("5", json!([3, 5, 7])), ("6", json!([1]))] {
        assert_eq!(modes[mode]["fanSpeeds"], speeds, "{mode}");
    }
    // Without any list, it decides by the code and the keys.
    let named = record(&mut harness, id(NAMED));
    assert!(!named.to_string().contains("fanSpeeds") && !named.to_string().contains("verticalSwing"));
    assert_eq!(named["SupportedCaps"]["tempRange"], json!([16, 31]));
    assert!(named["SupportedCaps"]["keys"].as_array().unwrap().contains(&json!(4)));
}

#[test]
fn each_air_conditioner_uses_the_numbers_of_its_remote_control() {
    let mut harness = harness();
    harness.connect(1);
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f9/out", "/v1/dev/a0b1c2d3e4fd/out"]);
    for (last, own, other, lowest) in [(NUMBERED, [1, 3, 5, 7], 6, 3), (NAMED, [1, 2, 4, 6], 5, 2)] {
        for (sent, made) in own.map(|speed| (speed, speed)).into_iter().chain([(other, lowest)]) {
            let state = command(&mut harness, id(last), &json!({ "tm": -1, "fn": sent })).unwrap();
            assert_eq!(state["fn"], made, "{last} {sent}");
            assert_eq!(harness.cloud.held(id(last)).unwrap().fan, made, "{last} {sent}");
        }
    }
    for (mode, numbered, named) in [(2, true, false), (4, true, true), (5, true, false), (6, true, true)] {
        let cmd = json!({ "tm": -1, "md": mode });
        let obeyed = [NUMBERED, NAMED].map(|last| command(&mut harness, id(last), &cmd).is_some());
        assert_eq!(obeyed, [numbered, named], "mode {mode}");
    }
    let cmd = json!({ "tm": -1, "sp": 31 });
    assert_eq!([NUMBERED, NAMED].map(|last| command(&mut harness, id(last), &cmd).is_some()), [false, true]);
    // The same by the structured service, which has its own numbers.
    let tokens = harness.sign_in();
    for (last, sent, made) in [(NUMBERED, 5, 5), (NUMBERED, 1, 3), (NAMED, 3, 6), (NAMED, 4, 2)] {
        let body = json!({ "source": 3, "modes": { "mode": 3, "fan_mode": sent } });
        let target = format!("/state/{}/update", id(last));
        assert_eq!(harness.rest(&tokens, BACKEND, "POST", &target, Some(&body)).0, 200);
        harness.pass(Duration::from_secs(2));
        assert_eq!(harness.cloud.held(id(last)).unwrap().fan, made, "{last} {sent}");
    }
    let turn = |harness: &mut Harness, degrees: f64, mode| {
        harness.cloud.turn(at(harness.now), id(NAMED), Celsius::from_degrees(degrees), mode)
    };
    assert_eq!(turn(&mut harness, 31.0, Some(Mode::Heat)), Ok(()));
    assert_eq!(turn(&mut harness, 32.0, None), Err(InvalidChange::Setpoint));
    assert_eq!(turn(&mut harness, 20.0, Some(Mode::FanOnly)), Err(InvalidChange::Mode));
}

#[test]
fn a_mode_that_a_remote_control_lacks_is_none_at_the_start() {
    let mut spec = CloudSpec::all();
    for device in &mut spec.accounts[0].homes[0].devices {
        device.mode = Mode::FanOnly;
        device.setpoint = 40.0;
    }
    let harness = Harness::new(spec);
    let start = |last| {
        let truth = harness.cloud.truth(id(last)).unwrap();
        (truth.mode, truth.setpoint.as_degrees())
    };
    assert_eq!((start(NUMBERED), start(NAMED)), ((Mode::FanOnly, 30.0), (Mode::Off, 31.0)));
    assert_eq!(AcRemote::default(), AcRemote::Numbered);
}
