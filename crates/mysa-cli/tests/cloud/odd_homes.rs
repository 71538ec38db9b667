//! Thermostats whose records and states have fields that their family lacks, or invalid values.

use mysa_sim::{AcRemote, CloudSpec, DeviceSpec};
use serde_json::{Value, json};

use crate::bench::{Bench, FLOOR, LIVING, OFFICE};

/// A signed-in demo home with one thermostat changed.
fn with(id: &str, change: impl Fn(&mut DeviceSpec)) -> Bench {
    let mut spec = CloudSpec::demo();
    let homes = spec.accounts.iter_mut().flat_map(|account| &mut account.homes);
    for device in homes.flat_map(|home| &mut home.devices) {
        if device.id.as_str() == id {
            change(device);
        }
    }
    let bench = Bench::with(spec);
    bench.log_in().ok();
    bench
}

fn members(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// The thermostat in the document of `mysa status --json`.
fn status(bench: &Bench, id: &str) -> Value {
    let document = bench.run(&["status", "--json"]).ok().json().remove(0);
    let devices = document["devices"].as_array().cloned().unwrap_or_default();
    devices.into_iter().find(|device| device["id"] == id).unwrap_or_default()
}

#[test]
fn a_floor_shows_both_temperatures_the_sensor_that_leads_and_no_junk() {
    let bench = with(FLOOR, |floor| floor.state = members(json!({ "Duty": 55 })));
    let shown = status(&bench, FLOOR);
    let duty = &shown["duty_pct"];
    assert!(
        duty.is_null() || *duty == 0.0 || *duty == 100.0,
        "the duty must be that of the relay, or absent: {shown}"
    );
    assert_eq!(shown["tracked_sensor"], "floor", "{shown}");
    assert!(shown["floor_temperature_c"].is_number() && shown["temperature_c"].is_number(), "{shown}");
    let ran = bench.run(&["status"]).ok();
    let row = ran.out.lines().find(|line| line.starts_with("Bathroom")).unwrap_or_default();
    assert!(row.contains("°C, floor ") && row.contains("25.0 °C floor"), "{ran:?}");
    bench.run(&["set", "bathroom", "--sensor", "room"]).ok();
    let ran = bench.run(&["status"]).ok();
    assert!(ran.out.contains("25.0 °C room"), "{ran:?}");
}

#[test]
fn an_air_conditioner_has_no_duty_cycle() {
    let bench = with(OFFICE, |office| {
        office.state = members(json!({ "Duty": 55 }));
        office.telemetry = members(json!({ "dutyCycle": 0.55 }));
    });
    let shown = status(&bench, OFFICE);
    assert!(shown["duty_pct"].is_null() && shown["fields"]["duty_pct"].is_null(), "{shown}");
}

#[test]
fn limits_that_make_no_sense_are_ignored_and_named_by_doctor() {
    let bench = with(LIVING, |living| {
        living.record = members(json!({ "MinSetpoint": -1, "MaxSetpoint": -1 }));
    });
    bench.run(&["set", "living", "--temp", "22"]).ok();
    assert_eq!(bench.setpoint(LIVING), 22.0);
    let ran = bench.run(&["doctor"]);
    assert!(ran.out.contains("MaxSetpoint -1 is outside 5 to 30 °C"), "{ran:?}");
    bench.run(&["set", "living", "--temp", "31"]).fails(7);
}

#[test]
fn capabilities_missing_in_an_air_conditioner_record_are_allowed() {
    let bench = with(OFFICE, |office| {
        office.remote = AcRemote::Named;
        let modes = json!({ "3": { "temperatures": [16, 30] }, "4": { "temperatures": [16, 30] } });
        office.record = members(json!({
            "SupportedCaps": { "modes": modes, "fanSpeeds": [1, 2, 4, 6] }, "SupportedModes": null,
        }));
    });
    bench.run(&["set", "office", "--temp", "23"]).ok();
    assert_eq!(bench.setpoint(OFFICE), 23.0, "a pair is a range");
    bench.run(&["set", "office", "--fan", "high"]).ok();
    let ran = bench.run(&["set", "office", "--temp", "31", "--json"]).fails(7);
    assert!(ran.json()[0]["message"].as_str().is_some_and(|text| text.contains("16 to 30")), "{ran:?}");
    let unknown = with(OFFICE, |office| {
        office.remote = AcRemote::Named;
        office.record = members(json!({ "SupportedCaps": null, "SupportedModes": null }));
    });
    unknown.run(&["set", "office", "--fan", "medium", "--temp", "24"]).ok();
    let ran = unknown.run(&["doctor"]);
    assert!(ran.out.contains("does not say what the air conditioner can do"), "{ran:?}");
}

#[test]
fn a_voltage_of_0_is_replaced_by_that_of_the_record() {
    let bench = with(LIVING, |living| {
        living.state = members(json!({ "Voltage": 0 }));
        living.setpoint = 28.0;
    });
    let shown = status(&bench, LIVING);
    assert!(shown["voltage_v"].is_null(), "{shown}");
    assert!(shown["power_w"].as_f64().is_some_and(|watts| watts > 100.0), "it heats: {shown}");
}

#[test]
fn a_lite_whose_record_says_v2_is_commanded_and_is_named_by_doctor() {
    let bench = with(crate::bench::BEDROOM, |bedroom| bedroom.record_model = Some("BB-V2-0".into()));
    let ran = bench.run(&["set", "bedroom", "--temp", "21", "--channel", "mqtt", "--json"]).ok();
    assert_eq!(ran.json()[0]["verdict"], "confirmed", "{ran:?}");
    let shown = status(&bench, crate::bench::BEDROOM);
    assert_eq!((&shown["model"], &shown["record_model"]), (&"BB-V2-0-L".into(), &"BB-V2-0".into()));
    let ran = bench.run(&["doctor"]);
    assert!(ran.out.contains("it says BB-V2-0; the thermostat is a BB-V2-0-L"), "{ran:?}");
}

#[test]
fn failures_and_dry_runs_name_the_amounts_too() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["set", "living", "--temp", "20.25", "--dry-run"]).ok();
    assert!(ran.out.contains("20.5 °C → 20.25 °C, sent as 20.5 °C"), "{ran:?}");
    assert!(ran.out.contains("it holds setpoint 20.5 °C"), "{ran:?}");
    let document =
        bench.run(&["set", "living", "--temp", "20.3", "--dry-run", "--json"]).ok().json().remove(0);
    for (name, degrees) in [("before", 20.5), ("requested", 20.3), ("sent", 20.5), ("held", 20.5)] {
        assert_eq!(document[name]["setpoint_c"], degrees, "{name}: {document}");
    }
    bench.device_fault(LIVING, mysa_sim::DeviceFault::Refuse);
    let ran = bench.run(&["set", "living", "--temp", "71F"]).fails(7);
    assert!(
        ran.err.contains("asked for setpoint 71.0 °F, sent setpoint 70.7 °F; it holds setpoint 68.9 °F"),
        "{ran:?}"
    );
    assert!(!ran.err.contains("°C"), "{ran:?}");
}
