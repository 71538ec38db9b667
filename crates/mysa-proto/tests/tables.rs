//! Every case of `models.json`, `modes.json` and `power.json`.

use core::time::Duration;

use mysa_proto::{
    Amperes, BodyType, Celsius, DutyCycle, Family, FanSpeed, KilowattHours, Load, LoadCurrent, Mode,
    ModeTable, Model, Power, TrackedSensor, Volts, Watts,
};
use serde_json::Value;

#[test]
fn every_model_string_has_the_listed_properties() {
    let file: Value = serde_json::from_str(include_str!("data/models.json")).unwrap();
    for vector in file["vectors"].as_array().unwrap() {
        let name = vector["model"].as_str().unwrap();
        let family = Model::parse(name).family();
        assert_eq!(family.map(Family::code), vector["family"].as_str(), "{name:?}");
        assert_eq!(family.map(Family::name), vector["name"].as_str(), "{name:?}");
        let body_type = family.and_then(Family::body_type).map(BodyType::number);
        assert_eq!(body_type, vector["body_type"].as_i64(), "{name:?}");
        let range = family.and_then(Family::setpoint_range);
        let celsius = |name: &str| vector[name].as_f64().and_then(Celsius::from_degrees);
        assert_eq!(range.map(|range| range.min), celsius("setpoint_min_c"), "{name:?}");
        assert_eq!(range.map(|range| range.max), celsius("setpoint_max_c"), "{name:?}");
        assert_eq!(range.map(|range| range.step), celsius("setpoint_step_c"), "{name:?}");
    }
}

#[test]
fn every_mode_number_has_the_listed_meaning() {
    let file: Value = serde_json::from_str(include_str!("data/modes.json")).unwrap();
    let entries = |at: &str| {
        let table = file.pointer(at).unwrap().as_object().unwrap();
        table
            .iter()
            .map(|(number, value)| (number.parse::<i64>().unwrap(), value.clone()))
            .collect::<Vec<_>>()
    };
    for (at, table) in [
        ("/mqtt_md/default_table", ModeTable::OBSERVED),
        ("/mqtt_md/design_document_table", ModeTable::DESIGN_DOCUMENT),
        ("/rest_TstatMode", ModeTable::default()),
        ("/telemetry_reading_mode", ModeTable::default()),
    ] {
        let listed = entries(at);
        for number in -2..20 {
            let expected =
                listed.iter().find(|entry| entry.0 == number).map(|entry| entry.1.as_str().unwrap());
            let mode = table.mode_of(number, None);
            if at == "/telemetry_reading_mode" && expected.is_none() {
                continue; // The list is of what was seen.
            }
            assert_eq!(mode.name(), expected.unwrap_or("other"), "{at} {number}");
            if expected.is_some() {
                assert_eq!(
                    table.number_of(mode, Family::AirConditioner, None),
                    Some(number),
                    "{at} {number}"
                );
            }
        }
    }
    let floor = ModeTable::OBSERVED;
    for (number, meaning) in entries("/mqtt_md/infloor_override") {
        assert_eq!(meaning, "heat (tracking ambient)");
        assert_eq!(floor.mode_of(number, Some(Family::InFloor)), Mode::Heat);
        assert_eq!(floor.tracked_by(number, Some(Family::InFloor)), Some(TrackedSensor::Ambient));
    }
    let structured = entries("/structured_modes_mode");
    for number in -2..20 {
        let expected =
            structured.iter().find(|entry| entry.0 == number).map(|entry| entry.1.as_str().unwrap());
        let mode = Mode::from_structured(number);
        assert_eq!(mode.name(), expected.unwrap_or("other"), "structured {number}");
        assert_eq!(mode.to_structured(), expected.map(|_| number));
    }
    for (code, number) in entries("/ac_fan_record_to_shadow") {
        let speed = FanSpeed::from_code(u8::try_from(code).unwrap());
        assert_eq!(speed.to_structured(), number.as_i64(), "fan {code}");
    }
    for (number, name) in entries("/tracked_sensor") {
        let sensor = TrackedSensor::from_number(number).unwrap();
        assert_eq!((sensor.to_string().as_str(), sensor.number()), (name.as_str().unwrap(), number));
    }
    let body_types = file["body_type"].as_object().unwrap();
    let families = ["BB-V1", "AC-V1", "INF-V1", "BB-V2", "BB-V2-L"].map(|name| body_types[name].as_i64());
    let ours = [
        Family::BaseboardV1,
        Family::AirConditioner,
        Family::InFloor,
        Family::BaseboardV2,
        Family::BaseboardLite,
    ];
    assert_eq!(ours.map(|family| family.body_type().map(BodyType::number)), families);
}

#[test]
fn every_power_is_as_listed() {
    let file: Value = serde_json::from_str(include_str!("data/power.json")).unwrap();
    for vector in file["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let input = &vector["input"];
        let number = |field: &str| input[field].as_f64();
        let rated = number("rated_w").and_then(Watts::from_watts);
        if let Some(expected) = vector.get("expect_kwh") {
            let on = Duration::from_secs_f64(number("on_seconds").unwrap());
            let energy = KilowattHours::of(rated.unwrap(), on).as_kilowatt_hours();
            assert!((energy - expected.as_f64().unwrap()).abs() < 1e-9, "{name}: {energy}");
            continue;
        }
        let current = number("current_a").and_then(Amperes::from_amperes);
        let load = Load {
            current: match input["source"].as_str() {
                Some("msgtype_0") => current.map(LoadCurrent::Live),
                _ => current.map(LoadCurrent::WhileOn),
            },
            voltage: number("voltage_v").and_then(Volts::from_volts),
            duty: number("duty_cycle").or(number("duty")).and_then(DutyCycle::from_fraction),
            relay: input["heat_stat"].as_i64().map(|on| on != 0),
            rated,
        };
        let family = Model::parse(input["model"].as_str().unwrap()).family().unwrap();
        let watts = Power::of(family, &load).watts().map(Watts::as_watts);
        match (watts, vector["expect_w"].as_f64()) {
            (Some(watts), Some(expected)) => assert!((watts - expected).abs() < 1e-9, "{name}: {watts} W"),
            (watts, expected) => assert_eq!(watts, expected, "{name}"),
        }
    }
}
