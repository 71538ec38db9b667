//! Entities of each kind of thermostat, as Home Assistant gets them: platforms, units, categories and lists.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod harness;

use std::time::Duration;

use mysa_bridge::Settings;
use mysa_proto::{
    AcCapabilities, Amperes, DutyCycle, FanSpeed, Mode, Observation, Power, RelativeHumidity, Swing,
    TrackedSensor, Volts, Watts,
};
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::home::{Known, Node, celsius, home};
use crate::harness::schema::check_discovery;

const ID: &str = "a0b1c2d3e4f6";

fn settings() -> Settings {
    Settings::new("mysa-bridge")
}

fn shown(known: &Known) -> Harness<Node> {
    let harness = home(settings(), std::slice::from_ref(known));
    check_discovery(&config(&harness)).unwrap();
    harness
}

fn config(harness: &Harness<Node>) -> Value {
    harness.json(&format!("homeassistant/device/mysa_{ID}/config"))
}

fn component(harness: &Harness<Node>, key: &str) -> Value {
    config(harness)["components"][key].clone()
}

fn state(harness: &Harness<Node>) -> Value {
    harness.json(&format!("mysa/{ID}/state"))
}

fn known(model: &str, fill: impl FnOnce(&mut Observation)) -> Known {
    let mut known = Known::new(ID, "Room", model);
    known.observe(Duration::ZERO, fill);
    known
}

/// A baseboard V1, which measures everything.
fn baseboard() -> Known {
    let mut known = known("BB-V1-1", |seen| {
        seen.temperature = Some(celsius(20.0));
        seen.humidity = RelativeHumidity::from_percent(44.0);
        seen.setpoint = Some(celsius(21.0));
        seen.mode = Some(Mode::Heat);
        seen.duty = DutyCycle::from_fraction(0.25);
        seen.current = Amperes::from_amperes(6.25);
        seen.voltage = Volts::from_volts(240.0);
    });
    known.power = Power::Measured(Watts::from_watts(375.0).unwrap());
    known
}

#[test]
fn every_entity_has_its_platform_unit_class_and_category() {
    let harness = shown(&baseboard());
    let components = config(&harness)["components"].clone();
    let facts = |key: &str| {
        let part = &components[key];
        [
            "platform",
            "device_class",
            "unit_of_measurement",
            "state_class",
            "entity_category",
            "enabled_by_default",
        ]
        .map(|name| part[name].clone())
    };
    let row = |platform: &str, class: Value, unit: Value, state: Value, category: Value, enabled: Value| {
        [json!(platform), class, unit, state, category, enabled]
    };
    let null = || Value::Null;
    let (measurement, diagnostic, config) =
        (|| json!("measurement"), || json!("diagnostic"), || json!("config"));
    for (key, expected) in [
        ("temperature", row("sensor", json!("temperature"), json!("°C"), measurement(), null(), null())),
        ("humidity", row("sensor", json!("humidity"), json!("%"), measurement(), null(), null())),
        (
            "setpoint_sensor",
            row("sensor", json!("temperature"), json!("°C"), measurement(), null(), json!(false)),
        ),
        ("mode_sensor", row("sensor", json!("enum"), null(), null(), null(), json!(false))),
        ("duty_cycle", row("sensor", null(), json!("%"), measurement(), diagnostic(), null())),
        ("current", row("sensor", json!("current"), json!("A"), measurement(), null(), null())),
        ("voltage", row("sensor", json!("voltage"), json!("V"), measurement(), diagnostic(), null())),
        ("power", row("sensor", json!("power"), json!("W"), measurement(), null(), null())),
        (
            "signal",
            row("sensor", json!("signal_strength"), json!("dBm"), measurement(), diagnostic(), json!(false)),
        ),
        ("last_seen", row("sensor", json!("timestamp"), null(), null(), diagnostic(), null())),
        ("connected", row("binary_sensor", json!("connectivity"), null(), null(), diagnostic(), null())),
        ("lock", row("switch", null(), null(), null(), config(), null())),
        ("firmware", row("update", json!("firmware"), null(), null(), diagnostic(), null())),
    ] {
        assert_eq!(facts(key), expected, "{key}");
    }
    assert_eq!(components["mode_sensor"]["options"], json!(["off", "heat"]));
    assert_eq!(components["temperature"]["suggested_display_precision"], 1);
    let state = state(&harness);
    assert_eq!((&state["duty_cycle"], &state["current"]), (&json!(25.0), &json!(6.25)));
    assert_eq!((&state["voltage"], &state["power"]), (&json!(240.0), &json!(375.0)));
    assert_eq!(state["power_basis"], "measured");
}

#[test]
fn nothing_reboots_pairs_or_updates_a_thermostat() {
    for model in ["BB-V1-1", "BB-V2-0", "BB-V2-0-L", "INF-V1-0", "AC-V1-0", "BB-V3-0", "CS-V1-0", "XX-V9"] {
        let harness = shown(&known(model, |seen| seen.temperature = Some(celsius(20.0))));
        let config = config(&harness);
        for (key, part) in config["components"].as_object().unwrap() {
            assert!(part["platform"] != "button", "{model} {key}");
            let topics = part.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("command_topic"));
            let fields: Vec<&str> =
                topics.map(|(_, topic)| topic.as_str().unwrap().rsplit_once('/').unwrap().1).collect();
            let harmless = [
                "setpoint",
                "mode",
                "preset_mode",
                "fan_mode",
                "swing_mode",
                "swing_horizontal_mode",
                "lock",
                "brightness_active",
                "brightness_idle",
                "tracked_sensor",
            ];
            assert!(fields.iter().all(|field| harmless.contains(field)), "{model} {key}: {fields:?}");
        }
        for key in ["object_id", "force_update", "payload_install"] {
            assert!(!config.to_string().contains(&format!("\"{key}\"")), "{model} {key}");
        }
    }
}

/// An air conditioner that offers other things in each mode, and no target temperature in two of them.
fn air_conditioner(mode: Mode) -> Known {
    let record = json!({"SupportedCaps": {
        "tempRange": [16, 30],
        "modes": {
            "1": {"temperatures": [], "fanSpeeds": []},
            "3": {"temperatures": [16, 17, 18, 19, 20], "fanSpeeds": [1, 2], "verticalSwing": [3], "horizontalSwing": []},
            "4": {"temperatures": [16, 17, 18, 20], "fanSpeeds": [1, 2, 4], "verticalSwing": [3, 4], "horizontalSwing": [3]},
            "6": {"temperatures": [], "fanSpeeds": [1], "verticalSwing": [], "horizontalSwing": []},
        },
    }});
    let mut known = known("AC-V1-0", |seen| {
        seen.temperature = Some(celsius(22.0));
        seen.setpoint = Some(celsius(20.0));
        seen.mode = Some(mode);
        seen.fan = Some(FanSpeed::from_code(1));
        seen.swing_vertical = Some(Swing::from_code(3));
    });
    known.ac = AcCapabilities::from_record(record.as_object().unwrap());
    known
}

#[test]
fn an_air_conditioner_shows_what_its_present_mode_offers() {
    let climate = |mode| component(&shown(&air_conditioner(mode)), "climate");
    let lists = |climate: &Value| {
        ["fan_modes", "swing_modes", "swing_horizontal_modes"]
            .map(|name| climate[name].as_array().map(Vec::len))
    };
    let cool = climate(Mode::Cool);
    assert_eq!(lists(&cool), [Some(3), Some(2), Some(1)]);
    assert_eq!((&cool["min_temp"], &cool["max_temp"]), (&json!(16.0), &json!(30.0)));
    assert_eq!(lists(&climate(Mode::Heat)), [Some(2), Some(1), None]);
    let dry = climate(Mode::Dry);
    assert_eq!(lists(&dry), [Some(1), None, None]);
    // No target temperature is shown, and none can be set.
    for name in ["min_temp", "max_temp", "temperature_command_topic", "temperature_state_topic"] {
        assert_eq!(dry[name], Value::Null, "{name}");
    }
    for mode in [Mode::Cool, Mode::Heat, Mode::Dry] {
        let modes = climate(mode)["modes"].clone();
        for name in ["off", "heat", "cool", "dry"] {
            assert!(modes.as_array().unwrap().contains(&json!(name)), "{modes}");
        }
    }
}

#[test]
fn the_action_of_an_air_conditioner_follows_its_mode_and_is_unknown_where_it_does_not_report_it() {
    for (mode, action) in [
        (Mode::Off, json!("off")),
        (Mode::Dry, json!("drying")),
        (Mode::FanOnly, json!("fan")),
        // It does not report whether the compressor runs.
        (Mode::Cool, Value::Null),
        (Mode::Heat, Value::Null),
        (Mode::Auto, Value::Null),
    ] {
        assert_eq!(state(&shown(&air_conditioner(mode)))["action"], action, "{mode:?}");
    }
}

#[test]
fn floor_heating_has_a_floor_temperature_and_the_sensor_that_it_follows() {
    let mut floor = known("INF-V1-0", |seen| {
        seen.temperature = Some(celsius(20.0));
        seen.floor_temperature = Some(celsius(27.0));
        seen.setpoint = Some(celsius(21.0));
        seen.mode = Some(Mode::Heat);
        seen.heating = Some(true);
        seen.tracked_sensor = Some(TrackedSensor::Floor);
    });
    let harness = shown(&floor);
    assert_eq!(component(&harness, "floor_temperature")["device_class"], "temperature");
    assert_eq!(component(&harness, "tracked_sensor")["options"], json!(["ambient", "floor"]));
    assert_eq!(component(&harness, "duty_cycle"), Value::Null);
    let shows = state(&harness);
    assert_eq!((&shows["floor_temperature"], &shows["tracked_sensor"]), (&json!(27.0), &json!("floor")));
    assert_eq!(shows["action"], "heating");
    floor.observe(Duration::from_secs(60), |seen| seen.heating = Some(false));
    assert_eq!(state(&shown(&floor))["action"], "idle");
    // Nothing else has a floor.
    assert_eq!(component(&shown(&baseboard()), "floor_temperature"), Value::Null);
    assert_eq!(component(&shown(&baseboard()), "tracked_sensor"), Value::Null);
}

#[test]
fn discovery_and_availability_are_acknowledged_and_states_are_not() {
    let harness = shown(&baseboard());
    let mut topics = 0;
    for publish in &harness.broker.log {
        let is_sure = publish.topic.ends_with("/config") || publish.topic.ends_with("/availability");
        assert_eq!(publish.qos, u8::from(is_sure), "{}", publish.topic);
        assert!(publish.retain && !publish.dup, "{}", publish.topic);
        topics += 1;
    }
    assert!(topics >= 6, "{topics}");
    assert_eq!(harness.dials.len(), 1, "one connection for everything");
}
