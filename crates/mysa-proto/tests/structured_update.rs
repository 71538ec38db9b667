//! The bodies of `POST /state/{dev}/update`, and what is refused on that channel.
#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

use mysa_proto::{
    AcCapabilities, AcModeCapabilities, AutoSetpoints, Brightness, Celsius, Change, FanSpeed, Hold,
    InvalidCommand, Limits, Mode, Model, StructuredUpdate, Swing, TrackedSensor,
};
use serde_json::{Value, json};

#[test]
fn every_sample_body_is_encoded_exactly() {
    let degrees = |degrees| Celsius::from_degrees(degrees).unwrap();
    let lite = "BB-V2-0-L";
    let cooling = Limits { mode: Some(Mode::Cool), ..Limits::default() };
    let brightness = Brightness { active: Some(80), idle: Some(20), ..Brightness::default() };
    let none = Change::default();
    let both = Change { mode: Some(Mode::Heat), ..Change::setpoint(degrees(21.0)) };
    let auto = AutoSetpoints { heat: degrees(20.0), cool: degrees(24.0) };
    for (name, model, limits, change, sample) in [
        (
            "ac_fan",
            "AC-V1-0",
            &cooling,
            Change { fan: Some(FanSpeed::from_code(4)), ..none },
            include_str!("data/rest/state_update_ac_fan.request.json"),
        ),
        (
            "ac_swing",
            "AC-V1-0",
            &Limits::default(),
            Change { swing_vertical: Some(Swing::AUTO), ..none },
            include_str!("data/rest/state_update_ac_swing.request.json"),
        ),
        (
            "auto_pair",
            "ST-V1-0",
            &Limits::default(),
            Change { mode: Some(Mode::Auto), auto_setpoints: Some(auto), ..none },
            include_str!("data/rest/state_update_auto_pair.request.json"),
        ),
        (
            "brightness",
            lite,
            &Limits::default(),
            Change { brightness: Some(brightness), ..none },
            include_str!("data/rest/state_update_brightness.request.json"),
        ),
        (
            "heat_and_setpoint",
            lite,
            &Limits::default(),
            both,
            include_str!("data/rest/state_update_heat_and_setpoint.request.json"),
        ),
        (
            "lock",
            lite,
            &Limits::default(),
            Change { lock: Some(true), ..none },
            include_str!("data/rest/state_update_lock.request.json"),
        ),
        (
            "off",
            lite,
            &Limits::default(),
            Change::mode(Mode::Off),
            include_str!("data/rest/state_update_off.request.json"),
        ),
        (
            "offset",
            lite,
            &Limits::default(),
            Change { temperature_offset: Some(degrees(-1.5)), ..none },
            include_str!("data/rest/state_update_offset.request.json"),
        ),
        (
            "setpoint",
            lite,
            &Limits::default(),
            Change::setpoint(degrees(21.0)),
            include_str!("data/rest/state_update_setpoint.request.json"),
        ),
    ] {
        let update = StructuredUpdate::new(&Model::parse(model), limits, change).unwrap();
        let expected: Value = serde_json::from_str(sample).unwrap();
        assert_eq!(body(&update), expected, "{name}");
    }
}

#[test]
fn a_hold_carries_the_sections_without_the_source() {
    let change = Change { mode: Some(Mode::Heat), ..Change::setpoint(Celsius::from_degrees(21.0).unwrap()) };
    let update = StructuredUpdate::new(&Model::parse("BB-V2-0-L"), &Limits::default(), change).unwrap();
    let mut out = Vec::new();
    update.encode_state(&mut out);
    let state: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(state, json!({"modes": {"mode": 4}, "targetHeat": {"setpoint": 21}}));
}

#[test]
fn a_setpoint_goes_to_the_section_of_the_mode() {
    let setpoint = Change::setpoint(Celsius::from_degrees(22.0).unwrap());
    let write = |model: &str, mode: Option<Mode>| {
        let limits = Limits { mode, ..Limits::default() };
        StructuredUpdate::new(&Model::parse(model), &limits, setpoint).map(|update| body(&update))
    };
    let heat = json!({"source": 3, "targetHeat": {"setpoint": 22}});
    let cool = json!({"source": 3, "targetCool": {"setpoint": 22}});
    assert_eq!(write("INF-V1-0", None), Ok(heat.clone()));
    assert_eq!(write("BB-V3-0", Some(Mode::Off)), Ok(heat.clone()));
    assert_eq!(write("ST-V1-0", Some(Mode::EmergencyHeat)), Ok(heat.clone()));
    assert_eq!(write("AC-V1-0", Some(Mode::Heat)), Ok(heat));
    assert_eq!(write("AC-V1-0", Some(Mode::Cool)), Ok(cool));
    for mode in [None, Some(Mode::Off), Some(Mode::Auto), Some(Mode::Dry)] {
        assert_eq!(write("AC-V1-0", mode), Err(InvalidCommand::SetpointNeedsMode { mode }));
    }
}

#[test]
fn a_change_that_the_structured_service_lacks_is_refused_with_a_reason() {
    let degrees = |degrees| Celsius::from_degrees(degrees).unwrap();
    let none = Change::default();
    let active_only = Brightness { active: Some(80), ..Brightness::default() };
    let timed = Brightness { idle: Some(10), active_seconds: Some(60), ..active_only };
    let too_bright = Brightness { active: Some(101), idle: Some(0), ..Brightness::default() };
    let crossed = AutoSetpoints { heat: degrees(25.0), cool: degrees(20.0) };
    for (model, change, expected_text) in [
        ("BB-V2-0", none, "nothing to change"),
        ("XX-V9-9", Change::mode(Mode::Off), "unknown model \"XX-V9-9\": known are BB-V1-0, "),
        ("BB-V1-0", Change::mode(Mode::Off), "Baseboard V1 accepts no commands over the structured service"),
        (
            "CS-V1-0",
            Change::mode(Mode::Off),
            "Climate sensor accepts no commands over the structured service",
        ),
        (
            "BB-V2-0",
            Change::setpoint(degrees(30.5)),
            "setpoint 30.5 °C is out of range: allowed are 5 to 30 °C in steps of 0.5",
        ),
        ("BB-V2-0", Change::mode(Mode::Cool), "cool is not a mode of this device: allowed are off, heat"),
        (
            "BB-V2-0",
            Change::mode(Mode::Other(4)),
            "mode 4 is not a mode of this device: allowed are off, heat",
        ),
        (
            "BB-V2-0",
            Change { hold: Some(Hold::Permanent), ..none },
            "Baseboard V2 has no hold over the structured service; it has mode, setpoint, button lock, brightness, temperature offset",
        ),
        (
            "BB-V2-0",
            Change { tracked_sensor: Some(TrackedSensor::Floor), ..none },
            "Baseboard V2 has no tracked sensor over",
        ),
        ("BB-V2-0", Change { fan: Some(FanSpeed::AUTO), ..none }, "Baseboard V2 has no fan over"),
        (
            "BB-V2-0",
            Change { auto_setpoints: Some(crossed), ..none },
            "Baseboard V2 has no pair of setpoints over",
        ),
        (
            "ST-V1-0",
            Change { auto_setpoints: Some(crossed), ..none },
            "the heating setpoint 25 °C is above the cooling setpoint 20 °C",
        ),
        (
            "ST-V1-0",
            Change { mode: Some(Mode::Cool), ..Change::setpoint(degrees(15.0)) },
            "setpoint 15 °C is out of range: allowed are 16 to 37 °C",
        ),
        (
            "ST-V1-0",
            Change { mode: Some(Mode::Heat), ..Change::setpoint(degrees(31.0)) },
            "setpoint 31 °C is out of range: allowed are 5 to 30 °C",
        ),
        (
            "BB-V2-0",
            Change { temperature_offset: Some(degrees(5.5)), ..none },
            "temperature offset 5.5 °C is out of range: allowed are -5 to 5 °C in steps of 0.5",
        ),
        (
            "BB-V2-0",
            Change { temperature_offset: Some(degrees(0.3)), ..none },
            "temperature offset 0.3 °C is out of range",
        ),
        (
            "BB-V2-0",
            Change { brightness: Some(active_only), ..none },
            "the structured service accepts active and idle brightness only together",
        ),
        (
            "BB-V2-0",
            Change { brightness: Some(timed), ..none },
            "the structured service accepts active and idle brightness only together",
        ),
        (
            "BB-V2-0",
            Change { brightness: Some(too_bright), ..none },
            "brightness 101 % is out of range: allowed are 0 to 100 %",
        ),
        (
            "AC-V1-0",
            Change { fan: Some(FanSpeed::AUTO), ..none },
            "a fan speed is sent together with the mode",
        ),
        (
            "AC-V1-0",
            Change { fan: Some(FanSpeed::from_code(13)), mode: Some(Mode::Cool), ..none },
            "fan speed 13 is not offered: allowed are 1 (auto), 2 (low), ",
        ),
        (
            "AC-V1-0",
            Change { fan: Some(FanSpeed::from_code(3)), mode: Some(Mode::Dry), ..none },
            "fan speed 3 (low) is not offered: allowed are 1 (auto)",
        ),
        (
            "ST-V1-0",
            Change { fan: Some(FanSpeed::from_code(2)), mode: Some(Mode::Cool), ..none },
            "fan speed 2 (low) is not offered: allowed are 1 (auto), 3 (low), ",
        ),
        (
            "AC-V1-0",
            Change { swing_horizontal: Some(Swing::from_code(11)), ..none },
            "swing 11 is not offered: allowed are 1 (off), 2 (on), 3 (auto), ",
        ),
    ] {
        let refusal = StructuredUpdate::new(&Model::parse(model), &Limits::default(), change).unwrap_err();
        let text = refusal.to_string();
        assert!(text.starts_with(expected_text), "{model} {change}: {text}");
    }
}

#[test]
fn the_lists_of_an_air_conditioner_apply_to_the_structured_service() {
    let ac = AcCapabilities {
        modes: vec![AcModeCapabilities {
            number: 4,
            fan_speeds: Some(vec![FanSpeed::AUTO]),
            ..AcModeCapabilities::default()
        }],
        ..AcCapabilities::default()
    };
    let limits = Limits { ac: Some(&ac), ..Limits::default() };
    let with = |mode, fan| {
        let change = Change { mode: Some(mode), fan: Some(FanSpeed::from_code(fan)), ..Change::default() };
        StructuredUpdate::new(&Model::parse("AC-V1-0"), &limits, change).map(|update| body(&update))
    };
    assert_eq!(with(Mode::Cool, 1), Ok(json!({"source": 3, "modes": {"mode": 3, "fan_mode": 0}})));
    assert!(matches!(with(Mode::Cool, 2), Err(InvalidCommand::FanNotOffered { .. })));
    assert!(matches!(with(Mode::Heat, 1), Err(InvalidCommand::ModeNotOffered { .. })));
}

fn body(update: &StructuredUpdate) -> Value {
    let mut out = Vec::new();
    update.encode(&mut out);
    serde_json::from_slice(&out).unwrap()
}
