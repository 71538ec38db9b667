//! Every case of the message vectors: what a payload decodes to, field by field.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod vectors;

use mysa_proto::{
    Ack, Answer, Body, Brightness, ControlState, Danger, DecodeError, DeviceId, EventKind, Hold, JsonError,
    JsonStr, Message, MessageForm, Mode, ModeTable, Now, Observation, SentCommand, Topic, TopicKind,
    TrackedSensor, Trigger, UnixTime,
};
use serde_json::{Map, Value, json};
use vectors::{cases, payload};

#[test]
fn every_message_decodes_to_its_typed_expectation() {
    for case in cases(include_str!("data/messages.json")) {
        check(&case);
    }
}

#[test]
fn sloppy_and_hostile_payloads_decode_or_are_errors_as_listed() {
    for case in cases(include_str!("data/json_quirks.json")) {
        let name = case["name"].as_str().unwrap();
        let bytes = payload(&case);
        let result = Message::decode(TopicKind::Out, &bytes);
        match &case["expect"]["ok"] {
            Value::Bool(true) => check(&case),
            Value::Bool(false) => {
                let error = result.expect_err(name);
                let kind = match error {
                    DecodeError::Empty => "empty",
                    DecodeError::NotAnObject => "not an object",
                    DecodeError::Json(JsonError::Truncated { .. }) => "truncated",
                    DecodeError::Json(JsonError::Syntax { .. }) => "syntax",
                    _ => "other",
                };
                assert_eq!(kind, case["expect"]["error"], "{name}: {error}");
                if let Some(salvage) = case["expect"].get("salvage") {
                    let envelope = Message::salvage(TopicKind::Out, &bytes).unwrap();
                    assert_eq!(envelope.number.map(Value::from).as_ref(), salvage.get("type"), "{name}");
                    assert_eq!(envelope.device.unwrap().as_str(), salvage["device"], "{name}");
                    assert_eq!(envelope.resp_id.unwrap().to_string(), salvage["response_to"], "{name}");
                }
            }
            // Decoding may succeed or fail, but every value must be finite.
            _ => {
                if let Ok(Message { body: Body::Status(status), .. }) = result {
                    assert!(status.ambient.is_none_or(|celsius| celsius.as_degrees().is_finite()), "{name}");
                }
            }
        }
    }
}

#[test]
fn an_acknowledgement_matches_only_its_own_command() {
    for case in cases(include_str!("data/ack_matching.json")) {
        let name = case["name"].as_str().unwrap();
        let request = &case["request"];
        let asked: Vec<u8> =
            json!({"body": {"success": 1, "state": request["expected_state"]}}).to_string().into();
        let Ok(Message { body: Body::Ack(Ack { state: Some(asked), .. }), .. }) =
            Message::decode(TopicKind::Out, &asked)
        else {
            panic!("{name}: expected_state is not a state")
        };
        let sent = SentCommand {
            device: DeviceId::new(request["device_id"].as_str().unwrap()).unwrap(),
            id: request["id"].as_str().unwrap().parse().unwrap(),
            asked,
        };
        let topic = Topic::parse(case["topic"].as_str().unwrap().as_bytes()).unwrap();
        let bytes = payload(&case);
        let answer = match Message::decode(topic.kind, &bytes).unwrap().answers(&sent) {
            Answer::Confirmed => "confirmed",
            Answer::Rejected => "rejected_by_device",
            Answer::Unconfirmed => "unconfirmed",
            Answer::NotThisRequest => "not_this_request",
            Answer::NotAnAck => "not_an_ack",
        };
        assert_eq!(answer, case["expect"], "{name}");
    }
}

fn check(case: &Value) {
    let name = case["name"].as_str().unwrap();
    let expect = &case["expect"];
    let topic = Topic::parse(case["topic"].as_str().unwrap().as_bytes()).unwrap();
    let bytes = payload(case);
    let message = Message::decode(topic.kind, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let envelope = &message.envelope;

    let form = match envelope.form {
        MessageForm::Mcm => "mcm",
        MessageForm::Legacy => "legacy",
        MessageForm::Bare => "unknown",
    };
    assert_eq!(form, expect["envelope"], "{name}");
    assert_eq!(envelope.number.map(Value::from), expect.get("type").cloned(), "{name}");
    assert_eq!(envelope.device.unwrap_or(topic.device).as_str(), expect["device"], "{name}");
    assert_eq!(!message.is_about(topic.device), expect.get("mismatch").is_some(), "{name}");
    assert_eq!(envelope.time.map(|time| time.as_secs()), expect["time_s"].as_i64(), "{name}");
    if let Some(id) = expect.get("message_id") {
        assert_eq!(envelope.id.unwrap().to_string(), *id, "{name}");
    }
    if let Some(kind) = expect.get("source_type") {
        assert_eq!(envelope.src_type.map(Value::from).as_ref(), Some(kind), "{name}");
    }
    if let Some(source) = expect.get("source_ref") {
        assert_eq!(envelope.src_ref.unwrap().as_raw(), *source, "{name}");
    }
    // The firmware update and the pairing reset are marked in the vectors; that a schedule is dangerous is a
    // rule of this crate only.
    if expect.get("danger").is_some() {
        assert!(message.danger().is_some(), "{name}");
    } else {
        assert!(matches!(message.danger(), None | Some(Danger::ReplacesSchedule)), "{name}");
    }
    if let Some(fresh) = expect.get("fresh") {
        let wall = UnixTime::from_secs(case["now_s"].as_i64().unwrap());
        let received = Now { mono: core::time::Duration::ZERO, wall };
        let observation = Observation::from_message(&message, &ModeTable::OBSERVED, None, received).unwrap();
        assert_eq!(observation.usable_at().is_some(), *fresh, "{name}");
    }

    let (kind, fields) = describe(&message);
    assert_eq!(kind, expect["kind"], "{name}");
    for (field, value) in expect["fields"].as_object().unwrap() {
        if ["record_count", "first_ts", "version"].contains(&field.as_str()) && kind == "batch_readings" {
            // `batch.rs` tests the records; here they only have to be present.
            assert!(fields.contains_key("readings"), "{name}");
            continue;
        }
        compare(&format!("{name}: {field}"), fields.get(field).unwrap_or(&Value::Null), value);
    }
}

/// Numbers are equal however they are written, and an object is compared by the members expected of it.
fn compare(name: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for (key, value) in expected {
                compare(&format!("{name}.{key}"), found.get(key).unwrap_or(&Value::Null), value);
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{name}");
            found.iter().zip(expected).for_each(|(found, expected)| compare(name, found, expected));
        }
        (Value::Number(found), Value::Number(expected)) => {
            assert_eq!(found.as_f64(), expected.as_f64(), "{name}")
        }
        _ => assert_eq!(found, expected, "{name}"),
    }
}

fn describe(message: &Message<'_>) -> (&'static str, Map<String, Value>) {
    let text = |text: Option<JsonStr<'_>>| text.map(|text| text.to_string());
    let sensor = |number: Option<i64>| {
        number.and_then(TrackedSensor::from_number).map(|sensor| match sensor {
            TrackedSensor::Floor => "floor",
            TrackedSensor::Ambient => "ambient",
        })
    };
    let (kind, fields) = match &message.body {
        Body::V1Status(status) => (
            "v1_status",
            json!({
                "ambient_c": status.ambient.map(|v| v.as_degrees()),
                "sensor_c": status.sensor.map(|v| v.as_degrees()),
                "thermistor_c": status.thermistor.map(|v| v.as_degrees()),
                "humidity_pct": status.humidity.map(|v| v.as_percent()),
                "current_a": status.current.map(|v| v.as_amperes()),
                "setpoint_c": status.setpoint.map(|v| v.as_degrees()),
                "stream": status.stream,
            }),
        ),
        Body::SetpointChange(change) => (
            "setpoint_change",
            json!({
                "previous_c": change.previous.map(|v| v.as_degrees()),
                "next_c": change.next.map(|v| v.as_degrees()),
                "source_raw": change.source,
                "source": change.trigger().map(|trigger| match trigger {
                    Trigger::Button => "device",
                    Trigger::App => "app",
                    _ => "other",
                }),
            }),
        ),
        Body::Log(log) => (
            "log",
            json!({
                "level": text(log.level), "message": text(log.message),
                "firmware": log.firmware(), "ip": log.ip(), "serial": log.serial(),
            }),
        ),
        Body::EchoReply(echo) => ("echo_reply", json!({"echo_id": echo.echo_id})),
        Body::Event(event) => (
            match event.kind() {
                Some(EventKind::SettingsCheck) => "settings_check",
                Some(EventKind::FirmwareTrigger) => "firmware_trigger",
                Some(EventKind::Echo) => "echo_request",
                _ => "event",
            },
            json!({"event_type": event.event_type, "echo_id": event.echo_id}),
        ),
        Body::Reboot => ("reboot", json!({})),
        Body::Boot(boot) => (
            "post_boot",
            json!({
                "boot_time_s": boot.time.map(|time| time.as_secs()), "boot_count": boot.count,
                "firmware": text(boot.firmware), "ip": text(boot.ip),
            }),
        ),
        Body::LiveReport(live) => ("live_request", json!({"timeout_s": live.timeout_secs})),
        Body::StatusCheck => ("status_check", json!({})),
        Body::PairingReset(reset) => ("pairing_reset", json!({"echo_id": reset.echo_id})),
        Body::BatchReadings(batch) => ("batch_readings", json!({"readings": text(batch.readings)})),
        Body::FloorLine(line) => (
            "floor_line_report",
            json!({
                "previous_line_v": line.previous_line_voltage.map(|v| v.as_volts()),
                "line_v": line.line_voltage.map(|v| v.as_volts()),
                "average_mv": line.average_millivolts,
                "gfci_status": line.gfci_status,
                "duty_cycle_untrusted": line.untrusted_duty.map(|v| v.as_fraction()),
            }),
        ),
        Body::FloorStatus(status) => (
            "floor_status",
            json!({
                "ambient_c": status.ambient.map(|v| v.as_degrees()),
                "floor_c": status.floor.map(|v| v.as_degrees()),
                "humidity_pct": status.humidity.map(|v| v.as_percent()),
                "setpoint_c": status.setpoint.map(|v| v.as_degrees()),
                "heating": status.heating,
                "tracked_sensor": sensor(status.tracked_sensor),
                "line_v": status.line_voltage.map(|v| v.as_volts()),
                "duty_cycle_untrusted": status.untrusted_duty.map(|v| v.as_fraction()),
            }),
        ),
        Body::AcStatus(status) => (
            "ac_status",
            json!({
                "ambient_c": status.ambient.map(|v| v.as_degrees()),
                "humidity_pct": status.humidity.map(|v| v.as_percent()),
                "setpoint_c": status.setpoint.map(|v| v.as_degrees()),
                "mode": mode(status.mode),
            }),
        ),
        Body::AcState(state) => (
            "ac_state",
            json!({
                "power": state.power, "mode": mode(state.mode), "fan_raw": state.fan, "swing_raw": state.swing,
                "setpoint_c": state.setpoint.map(|v| v.as_degrees()),
            }),
        ),
        Body::Schedule(schedule) => (
            "schedule",
            json!({
                "hash": text(schedule.hash),
                "total_events": schedule.total_events,
                "create_time_s": schedule.created.map(|time| time.as_secs()),
                "partial": schedule.is_partial(),
                "events": schedule.events().map(|event| {
                    let (hour, minute) = event.hour_and_minute();
                    json!({
                        "index": event.index,
                        "minute_of_week": event.minute_of_week,
                        "weekday": event.weekday(),
                        "hhmm": format!("{hour:02}:{minute:02}"),
                        "mode": mode(event.mode),
                        "setpoint_c": event.setpoint.map(|v| v.as_degrees()),
                    })
                }).collect::<Vec<_>>(),
            }),
        ),
        Body::Status(status) => (
            "v2_status",
            json!({
                "ambient_c": status.ambient.map(|v| v.as_degrees()),
                "humidity_pct": status.humidity.map(|v| v.as_percent()),
                "setpoint_c": status.setpoint.map(|v| v.as_degrees()),
                "duty_cycle": status.duty.map(|v| v.as_fraction()),
                "floor_c": status.floor.map(|v| v.as_degrees()),
                "heating": status.heating,
                "tracked_sensor": sensor(status.tracked_sensor),
                "line_v": status.line_voltage.map(|v| v.as_volts()),
            }),
        ),
        Body::Command(command) => (
            "command",
            json!({
                "body_type": command.body_type,
                "wants_response": message.envelope.resp == Some(2),
                "cmd": command.changes.as_ref().map(|changes| changes.iter().map(|entry| {
                    let mut state = describe_state(&entry.control);
                    state["tm"] = entry.tm.into();
                    state["sp"] = entry.control.setpoint.map(|v| v.as_degrees()).into();
                    state["md"] = entry.control.mode.into();
                    state
                }).collect::<Vec<_>>()),
            }),
        ),
        Body::Ack(ack) => (
            "command_ack",
            json!({
                "success": ack.success,
                "trigger": ack.trigger().map(|trigger| match trigger {
                    Trigger::Button => "button",
                    Trigger::App => "app",
                    _ => "other",
                }),
                "trigger_raw": ack.trigger_source,
                "body_type": ack.body_type,
                "response_to": message.envelope.resp_id.map(|id| id.to_string()),
                "state": ack.state.as_ref().map(describe_state),
            }),
        ),
        Body::Firmware(report) => ("boot_firmware", json!({"firmware": text(report.version)})),
        _ => ("unknown", json!({})),
    };
    let Value::Object(fields) = fields else { unreachable!("built as an object") };
    (kind, fields)
}

fn describe_state(state: &ControlState) -> Value {
    json!({
        "setpoint_c": state.setpoint.map(|v| v.as_degrees()),
        "mode_raw": state.mode,
        "mode": mode(state.mode),
        "hold": match state.hold {
            Some(1) => Some("follow_schedule"),
            Some(2) => Some("permanent"),
            _ => None,
        },
        "locked": state.lock,
        "brightness_pct": state.brightness.and_then(|brightness| brightness.active),
        "fan_raw": state.fan,
        "swing_v_raw": state.swing_vertical,
        "swing_h_raw": state.swing_horizontal,
        "climate_plus": state.climate_plus,
    })
}

fn mode(number: Option<i64>) -> Option<&'static str> {
    number.map(|number| ModeTable::OBSERVED.mode_of(number, None).name())
}

fn body(topic: TopicKind, payload: &str) -> Body<'_> {
    Message::decode(topic, payload.as_bytes()).unwrap_or_else(|error| panic!("{payload}: {error}")).body
}

#[test]
fn an_invalid_value_does_not_affect_other_fields() {
    let odd = [
        "null",
        "\"\"",
        "\"x\"",
        "\"NaN\"",
        "NaN",
        "nan",
        "-inf",
        "-1",
        "-1.0",
        "\"-1\"",
        "1e9",
        "-1e9",
        "1e999",
        "true",
        "[]",
        "{}",
        "[[1,{\"ambTemp\":5}]]",
        "{\"v\":1}",
        "99999999999999999999999999",
    ];
    for key in ["ambTemp", "hum", "dtyCycle", "flrSnsrTemp", "lineVtg", "heatStat", "trackedSnsr"] {
        for value in odd {
            let payload =
                format!(r#"{{"msg":40,"time":1767323045,"body":{{"{key}":{value},"stpt":20.5}},"id":5}}"#);
            let message = Message::decode(TopicKind::Out, payload.as_bytes()).unwrap();
            let Body::Status(status) = message.body else { panic!("{payload}") };
            assert_eq!(status.setpoint.map(|v| v.as_degrees()), Some(20.5), "{payload}");
            let absent = [
                status.ambient.is_none(),
                status.humidity.is_none(),
                status.duty.is_none(),
                status.floor.is_none(),
                status.line_voltage.is_none(),
                status.heating.is_none() || value == "true",
                status
                    .tracked_sensor
                    .is_none_or(|sensor| sensor == 1_000_000_000 || sensor == -1_000_000_000),
            ];
            assert_eq!(absent, [true; 7], "{payload}");
        }
    }
    let Body::Status(zero) =
        body(TopicKind::Out, r#"{"msg":40,"body":{"ambTemp":0,"hum":0.0,"dtyCycle":-0.0}}"#)
    else {
        panic!("not a status")
    };
    assert_eq!(zero.ambient.map(|v| v.as_degrees()), Some(0.0), "zero is a value");
    assert_eq!(zero.humidity.map(|v| v.as_percent()), Some(0.0));
    assert_eq!(zero.duty.map(|v| v.as_fraction()), Some(0.0));
}

#[test]
fn the_order_of_members_does_not_matter() {
    let members = [
        r#""msg":40"#,
        r#""src":{"type":1,"ref":"a0b1c2d3e4f6"}"#,
        r#""body":{"ambTemp":19.5,"dtyCycle":1}"#,
        r#""time":1767323045"#,
    ];
    let mut seen = Vec::new();
    for turn in 0..members.len() {
        let mut members = members;
        members.rotate_left(turn);
        let payload = format!("{{{}}}", members.join(","));
        let message = Message::decode(TopicKind::Out, payload.as_bytes()).unwrap();
        seen.push(format!("{:?} {:?}", message.envelope, message.body));
    }
    assert!(seen.iter().all(|other| *other == seen[0]), "{seen:#?}");
    assert!(seen[0].contains("1950"), "{}", seen[0]);
}

#[test]
fn the_last_of_two_message_numbers_selects_the_body() {
    let late = body(TopicKind::Out, r#"{"msg":40,"body":{"stpt":20},"msg":30}"#);
    assert!(matches!(late, Body::AcStatus(status) if status.setpoint.is_some()), "{late:?}");
}

#[test]
fn the_two_number_spaces_never_mix() {
    assert!(matches!(body(TopicKind::Out, r#"{"msg":"40"}"#), Body::Status(_)));
    assert!(matches!(body(TopicKind::In, r#"{"MsgType":"40"}"#), Body::PairingReset(_)));
    assert!(matches!(body(TopicKind::In, r#"{"msg":6,"EventType":0}"#), Body::Unknown));
    assert!(matches!(
        body(TopicKind::Out, r#"{"MsgType":44,"body":{"success":1,"state":{}}}"#),
        Body::Unknown
    ));
}

#[test]
fn dangerous_messages_are_recognised_on_their_way_to_a_device() {
    for (payload, danger) in [
        (r#"{"MsgType":40,"EchoID":1}"#, Danger::Unpairs),
        (r#"{"MsgType":5,"EchoID":1}"#, Danger::Unpairs),
        (r#"{"MsgType":7}"#, Danger::Restarts),
        (r#"{"MsgType":6,"EventType":2}"#, Danger::UpdatesFirmware),
        (r#"{"msg":34,"body":{"events":[]}}"#, Danger::ReplacesSchedule),
    ] {
        let there = Message::decode(TopicKind::In, payload.as_bytes()).unwrap();
        assert_eq!(there.danger(), Some(danger), "{payload}");
        let back = Message::decode(TopicKind::Out, payload.as_bytes()).unwrap();
        assert_eq!(back.danger(), None, "{payload}");
    }
}

#[test]
fn a_command_wrapped_in_a_string_is_decoded_twice() {
    for cmd in [
        r#"[{"tm":-1,"sp":21.5,"md":3}]"#,
        r#"{"tm":-1,"sp":21.5,"md":3}"#,
        r#""[{\"tm\":-1,\"sp\":21.5,\"md\":3}]""#,
        r#""{\"tm\":-1,\"sp\":21.5,\u0022md\":3}""#,
    ] {
        let payload = format!(r#"{{"msg":44,"id":7,"body":{{"ver":1,"type":4,"cmd":{cmd}}}}}"#);
        let Body::Command(command) = body(TopicKind::In, &payload) else { panic!("{cmd}") };
        let entries: Vec<_> = command.changes.as_ref().unwrap().iter().collect();
        assert_eq!(entries.len(), 1, "{cmd}");
        assert_eq!(entries[0].tm, Some(-1), "{cmd}");
        assert_eq!(entries[0].control.mode, Some(3), "{cmd}");
        assert_eq!(entries[0].control.setpoint.map(|v| v.as_degrees()), Some(21.5), "{cmd}");
    }
    for cmd in ["\"oops\"", "null", "7", "\"7\"", "\"[{]\""] {
        let payload = format!(r#"{{"msg":44,"id":7,"body":{{"ver":1,"type":4,"cmd":{cmd}}}}}"#);
        let Body::Command(command) = body(TopicKind::In, &payload) else { panic!("{cmd}") };
        assert_eq!(command.changes, None, "{cmd}");
    }
}

#[test]
fn brightness_is_a_number_or_an_object() {
    for (br, expected) in [
        ("50", Some(Brightness { active: Some(50), ..Brightness::default() })),
        (
            r#"{"a_b":1,"a_br":80,"i_br":10,"a_dr":6,"i_dr":-1,"later":[]}"#,
            Some(Brightness {
                auto: Some(true),
                active: Some(80),
                idle: Some(10),
                active_seconds: Some(6),
                idle_seconds: None,
            }),
        ),
        ("101", None),
        ("[]", None),
    ] {
        let payload = format!(r#"{{"body":{{"success":1,"state":{{"br":{br},"md":1}}}}}}"#);
        let Body::Ack(ack) = body(TopicKind::Out, &payload) else { panic!("{payload}") };
        assert_eq!(ack.state.unwrap().brightness, expected, "{payload}");
        assert_eq!(ack.state.unwrap().mode, Some(1), "{payload}");
    }
}

#[test]
fn unknown_fields_are_kept_and_shown() {
    let payload =
        r#"{"msg":40,"src":{"type":1},"more":1,"body":{"ambTemp":19,"newThing":{"x":[1]},"ha\u006d":2}}"#;
    let message = Message::decode(TopicKind::Out, payload.as_bytes()).unwrap();
    let unknown: Vec<_> = message.unknown_fields().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(unknown, ["more=1", "newThing={\"x\":[1]}", "ham=2"]);
    assert_eq!(message.raw.as_str(), payload);

    let other = Message::decode(TopicKind::Out, br#"{"msg":9001,"body":{"anything":[1,2,3]}}"#).unwrap();
    assert_eq!(other.body, Body::Unknown);
    assert_eq!(other.raw_body.unwrap().as_str(), r#"{"anything":[1,2,3]}"#);
}

#[test]
fn escaped_keys_are_the_same_keys() {
    let message = body(TopicKind::Out, r#"{"\u006dsg":40,"b\u006fdy":{"amb\u0054emp":19.5}}"#);
    assert!(matches!(message, Body::Status(status) if status.ambient.is_some()), "{message:?}");
}

#[test]
fn settings_of_an_acknowledgement_become_settings_of_the_device() {
    let payload = br#"{"msg":44,"time":1767323045,"src":{"type":1,"ref":"a0b1c2d3e4f9"},
        "body":{"success":1,"state":{"md":4,"sp":0,"ho":2,"fn":5,"ss":6,"ssh":4,"it":1,"lk":1}}}"#;
    let message = Message::decode(TopicKind::Out, payload).unwrap();
    let received = Now { mono: core::time::Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
    let family = mysa_proto::Family::AirConditioner;
    let seen = Observation::from_message(&message, &ModeTable::OBSERVED, Some(family), received).unwrap();
    assert_eq!((seen.mode, seen.hold, seen.lock), (Some(Mode::Cool), Some(Hold::Permanent), Some(true)));
    assert_eq!(seen.fan.map(|fan| fan.code()), Some(5));
    assert_eq!(seen.swing_vertical.map(|swing| swing.code()), Some(6));
    assert_eq!(seen.swing_horizontal.map(|swing| swing.code()), Some(4));
    assert_eq!(seen.setpoint, None, "an air conditioner has no setpoint of 0 °C");
    assert_eq!(seen.connected, Some(true));
}

#[test]
fn a_hold_is_read_from_its_code_and_its_end() {
    let end = Hold::Until(UnixTime::from_secs(1_767_330_245));
    for (state, expected) in [
        (r#"{"ho":1}"#, Some(Hold::FollowOrUntil)),
        (r#"{"ho":1,"tm":-1}"#, Some(Hold::FollowSchedule)),
        (r#"{"ho":1,"tm":0}"#, Some(Hold::FollowSchedule)),
        (r#"{"tm":1767330245,"ho":1}"#, Some(end)),
        (r#"{"ho":"1","tm":"1767330245"}"#, Some(end)),
        (r#"{"ho":1,"tm":null}"#, Some(Hold::FollowOrUntil)),
        (r#"{"ho":1,"tm":"soon"}"#, Some(Hold::FollowOrUntil)),
        (r#"{"ho":2,"tm":1767330245}"#, Some(Hold::Permanent)),
        (r#"{"ho":3,"tm":-1}"#, None),
        (r#"{"tm":1767330245}"#, None),
    ] {
        assert_eq!(acknowledged(state).hold(), expected, "{state}");
    }
}

#[test]
fn an_acknowledgement_that_reports_another_end_does_not_confirm() {
    let asked = acknowledged(r#"{"ho":1,"tm":1767330245}"#);
    for (state, confirms) in [
        (r#"{"ho":1}"#, true),
        (r#"{"ho":1,"tm":1767330245}"#, true),
        (r#"{"ho":1,"tm":1767330246}"#, false),
        (r#"{"ho":1,"tm":-1}"#, false),
        (r#"{"ho":2}"#, false),
        (r#"{}"#, false),
    ] {
        assert_eq!(acknowledged(state).agrees_with(&asked), confirms, "{state}");
    }
}

fn acknowledged(state: &str) -> ControlState {
    let payload = format!(r#"{{"msg":44,"body":{{"success":1,"state":{state}}}}}"#);
    let Body::Ack(ack) = body(TopicKind::Out, &payload) else { panic!("{state}") };
    ack.state.unwrap()
}
