//! The feature `serde`: values survive a round trip, and invalid ones are rejected.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::fmt::Debug;

use mysa_proto::{
    AutoSetpoints, Brightness, Celsius, Change, Channel, Control, DeviceId, DutyCycle, Family, FanSpeed,
    Hold, Mode, Model, Power, Sensor, Source, StateField, Swing, Topic, TopicKind, TrackedSensor, UnixTime,
    Watts,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

#[track_caller]
fn is_written_as<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, text: &serde_json::Value) {
    assert_eq!(serde_json::to_value(value).unwrap(), *text, "{value:?}");
    assert_eq!(serde_json::from_value::<T>(text.clone()).unwrap(), *value, "{text}");
}

#[test]
fn values_survive_a_round_trip() {
    let device = DeviceId::new("A0B1C2D3E4F5").unwrap();
    let setpoint = Celsius::from_degrees(21.5).unwrap();
    is_written_as(&device, &json!("a0b1c2d3e4f5"));
    is_written_as(&Topic { device, kind: TopicKind::Out }, &json!("/v1/dev/a0b1c2d3e4f5/out"));
    is_written_as(&setpoint, &json!(21.5));
    is_written_as(&UnixTime::from_millis(1_767_323_045_678), &json!(1_767_323_045_678_i64));
    is_written_as(&Model::parse("bb-v2-0-l"), &json!("BB-V2-0-L"));
    is_written_as(&Model::parse("XX-V9"), &json!("XX-V9"));
    is_written_as(&Power::Estimated(Watts::from_watts(420.0).unwrap()), &json!({"estimated": 420.0}));
    is_written_as(&Power::Unknown, &json!("unknown"));
    is_written_as(&Mode::Other(-7), &json!("-7"));
    for mode in Mode::NAMED {
        is_written_as(&mode, &json!(mode.name()));
    }
    for field in StateField::ALL {
        is_written_as(field, &json!(field.name()));
    }
    is_written_as(&Family::BaseboardLite, &json!("baseboard_lite"));
    is_written_as(&Channel::Structured, &json!("structured"));
    is_written_as(&Control::Hold, &json!("hold"));
    is_written_as(&Sensor::Humidity, &json!("humidity"));
    is_written_as(&Source::Ack, &json!("ack"));
    let change = Change {
        mode: Some(Mode::Heat),
        setpoint: Some(setpoint),
        hold: Some(Hold::Until(UnixTime::from_secs(1_767_323_045))),
        lock: Some(true),
        brightness: Some(Brightness { active: Some(80), ..Brightness::default() }),
        fan: Some(FanSpeed::from_code(1)),
        swing_vertical: Some(Swing::from_code(3)),
        tracked_sensor: Some(TrackedSensor::Floor),
        auto_setpoints: Some(AutoSetpoints { heat: setpoint, cool: setpoint }),
        ..Change::default()
    };
    let text = serde_json::to_value(change).unwrap();
    assert_eq!((&text["mode"], &text["setpoint"]), (&json!("heat"), &json!(21.5)));
    assert!(text.get("climate_plus").is_none(), "{text}");
    is_written_as(&change, &text);
    is_written_as(&Change::default(), &json!({}));
}

#[test]
fn invalid_values_are_rejected() {
    #[track_caller]
    fn is_rejected<T: DeserializeOwned + Debug>(text: &serde_json::Value) {
        let error = serde_json::from_value::<T>(text.clone()).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
    is_rejected::<Celsius>(&json!(-300));
    is_rejected::<DutyCycle>(&json!(1.5));
    is_rejected::<Watts>(&json!("420"));
    is_rejected::<DeviceId>(&json!("a/b"));
    is_rejected::<Topic>(&json!("/v1/dev/a/elsewhere"));
    is_rejected::<Mode>(&json!("warm"));
    is_rejected::<FanSpeed>(&json!(256));
    is_rejected::<Change>(&json!({"setpoint": 2000}));
}
