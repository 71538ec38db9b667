//! Every case of `commands.json`: what is encoded, and what is refused.

#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

use mysa_proto::{
    AcCapabilities, BodyType, Brightness, Celsius, Change, Command, DeviceId, EnvelopeForm, EnvelopeMeta,
    FanSpeed, Hold, Limits, ModeTable, Model, Swing, TrackedSensor, UnixTime, encode_echo,
    encode_live_report, encode_settings_nudge,
};
use serde_json::Value;

#[test]
fn every_command_is_encoded_or_refused_as_listed() {
    let file: Value = serde_json::from_str(include_str!("data/commands.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() > 40);
    let mut failures = Vec::new();
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        let got = payload(&vector["input"]);
        match (vector.get("expect_json"), got) {
            (Some(expected), Ok(payload)) => {
                let mut got: Value = serde_json::from_slice(&payload).unwrap();
                let mut expected = expected.clone();
                for side in [&mut got, &mut expected] {
                    unwrap_cmd(side);
                }
                if !same(&got, &expected) {
                    failures.push(format!("{name}: got {got}, expected {expected}"));
                }
            }
            // The id is folded to lower case, which the vector allows.
            (None, Ok(payload)) if name == "device-id-upper-case" => {
                assert!(String::from_utf8(payload).unwrap().contains(r#""ref":"a0b1c2d3e4f6""#));
            }
            (None, Err(_)) => assert!(vector.get("expect_error").is_some(), "{name}"),
            (expected, got) => failures.push(format!("{name}: got {got:?}, expected {expected:?}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// An air conditioner's own step counts only if it is coarser than that of the family, 1 °C, and a multiple of it.
#[test]
fn the_setpoint_step_of_an_air_conditioner_is_only_ever_made_coarser() {
    let model = Model::parse("AC-V1-0");
    for (step, sent) in [(None, 23), (Some(50), 23), (Some(100), 23), (Some(150), 23), (Some(200), 24)] {
        let ac = AcCapabilities {
            temperature_step: step.map(Celsius::from_hundredths),
            ..AcCapabilities::default()
        };
        let limits = Limits { ac: Some(&ac), ..Limits::default() };
        let change = Change::setpoint(Celsius::from_hundredths(2_300));
        let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
        let now = UnixTime::from_secs(1_767_323_045);
        let command = Command::new(device, &model, &limits, &ModeTable::OBSERVED, change, now).unwrap();
        let setpoint = command.change().setpoint.unwrap();
        assert_eq!(setpoint.as_hundredths(), sent * 100, "{step:?}");
    }
}

fn payload(input: &Value) -> Result<Vec<u8>, String> {
    let device = input["device_id"].as_str().unwrap();
    let device = DeviceId::new(device).ok_or("not a device id")?;
    let now = UnixTime::from_millis(input["now_ms"].as_i64().unwrap());
    let mut out = Vec::new();
    match input["kind"].as_str().unwrap() {
        "thermostat_command" => {
            let options = &input["options"];
            let celsius = |name: &str| options[name].as_f64().and_then(Celsius::from_degrees);
            let limits = Limits {
                min_setpoint: celsius("min_setpoint_c"),
                max_setpoint: celsius("max_setpoint_c"),
                body_type: options["body_type"].as_i64().and_then(BodyType::from_number),
                ..Limits::default()
            };
            let table = match options["mode_table"].as_str() {
                Some(name) => ModeTable::from_name(name).unwrap(),
                None => ModeTable::default(),
            };
            let form = if options["cmd_as_string"] == true {
                EnvelopeForm::CmdAsString
            } else if options["timestamp"] == false {
                EnvelopeForm::DesignDocument
            } else {
                EnvelopeForm::Observed
            };
            let model = Model::parse(input["model"].as_str().unwrap());
            let change = change(&input["changes"])?;
            let command = Command::new(device, &model, &limits, &table, change, now)
                .map_err(|refusal| refusal.to_string())?;
            let id = u64::try_from(now.as_millis()).unwrap();
            let app_ref = input["user_ref"].as_str().unwrap();
            command.encode(&EnvelopeMeta { id, time: now, app_ref, form }, &mut out);
        }
        "live_request" => {
            let seconds =
                input["timeout_s"].as_u64().and_then(|s| u32::try_from(s).ok()).ok_or("no length")?;
            encode_live_report(device, seconds, now, &mut out).map_err(|refusal| refusal.to_string())?;
        }
        "settings_check" => encode_settings_nudge(device, now, &mut out),
        "echo" => {
            let id = u32::try_from(input["echo_id"].as_u64().unwrap()).unwrap();
            encode_echo(device, id, now, &mut out);
        }
        // The crate has no encoder for it.
        "raw_legacy" => return Err("no encoder".into()),
        other => panic!("unknown kind {other}"),
    }
    Ok(out)
}

fn change(json: &Value) -> Result<Change, String> {
    let mut change = Change::default();
    for (name, value) in json.as_object().unwrap() {
        let code = || u8::try_from(value.as_i64().unwrap()).map_err(|error| error.to_string());
        match name.as_str() {
            "setpoint_c" => {
                let setpoint = value.as_f64().and_then(Celsius::from_degrees).ok_or("not a temperature")?;
                change.setpoint = Some(setpoint);
            }
            "mode" => {
                let mode = value.as_str().unwrap().parse();
                change.mode = Some(mode.map_err(|error: mysa_proto::UnknownModeName| error.to_string())?);
            }
            "hold" => {
                change.hold = Some(match value["kind"].as_str().unwrap() {
                    "follow_schedule" => Hold::FollowSchedule,
                    "permanent" => Hold::Permanent,
                    "until" => Hold::Until(UnixTime::from_secs(value["until_s"].as_i64().unwrap())),
                    other => panic!("unknown hold {other}"),
                });
            }
            "locked" => change.lock = value.as_bool(),
            "proximity" => change.proximity = value.as_bool(),
            "climate_plus" => change.climate_plus = value.as_bool(),
            "fan_raw" => change.fan = Some(FanSpeed::from_code(code()?)),
            "swing_v_raw" => change.swing_vertical = Some(Swing::from_code(code()?)),
            "swing_h_raw" => change.swing_horizontal = Some(Swing::from_code(code()?)),
            "tracked_sensor" => {
                change.tracked_sensor = Some(match value.as_str().unwrap() {
                    "floor" => TrackedSensor::Floor,
                    "ambient" => TrackedSensor::Ambient,
                    other => return Err(format!("no sensor {other}")),
                });
            }
            "brightness" => {
                let percent = |name: &str| match value[name].as_i64() {
                    Some(percent) => u8::try_from(percent).map(Some).map_err(|error| error.to_string()),
                    None => Ok(None),
                };
                let seconds = |name: &str| value[name].as_u64().and_then(|s| u16::try_from(s).ok());
                change.brightness = Some(Brightness {
                    auto: value["auto"].as_bool(),
                    active: percent("active_pct")?,
                    idle: percent("idle_pct")?,
                    active_seconds: seconds("active_seconds"),
                    idle_seconds: seconds("idle_seconds"),
                });
            }
            other => panic!("unknown change {other}"),
        }
    }
    Ok(change)
}

/// Replaces a `cmd` that is a string by the JSON in it, for comparison.
fn unwrap_cmd(message: &mut Value) {
    let Some(cmd) = message.pointer_mut("/body/cmd") else { return };
    if let Some(text) = cmd.as_str() {
        *cmd = serde_json::json!({ "text": serde_json::from_str::<Value>(text).unwrap() });
    }
}

/// True if the values are equal; 20 equals 20.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}
