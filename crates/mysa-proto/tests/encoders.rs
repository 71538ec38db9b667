//! Everything that the crate can encode is harmless, valid, and decodes to the same values.
#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

use mysa_proto::{
    AcCapabilities, AutoSetpoints, Body, BodyType, Brightness, Celsius, Change, Channel, Command,
    ControlState, DeviceId, EnvelopeForm, EnvelopeMeta, Family, FanSpeed, Hold, Limits, Message, Mode,
    ModeTable, Model, StructuredUpdate, Swing, TopicKind, TrackedSensor, UnixTime, encode_echo,
    encode_live_report, encode_settings_nudge,
};
use proptest::prelude::*;
use serde_json::Value;

const NOW: UnixTime = UnixTime::from_millis(1_767_323_045_678);

#[test]
fn the_end_of_a_hold_is_shown_as_a_date_and_a_time() {
    let hold = Hold::Until(UnixTime::from_secs(1_767_323_045));
    assert_eq!(
        Change { hold: Some(hold), ..Change::default() }.to_string(),
        "hold until 2026-01-02T03:04:05Z"
    );
}

#[test]
fn every_model_mode_and_table_encodes_its_own_number_or_is_refused() {
    let observed = |mode| match mode {
        Mode::Off => Some(1),
        Mode::Auto => Some(2),
        Mode::Heat => Some(3),
        Mode::Cool => Some(4),
        Mode::FanOnly => Some(5),
        Mode::Dry => Some(6),
        _ => None,
    };
    let design_document = |mode| match mode {
        Mode::Heat => Some(1),
        Mode::Off => Some(3),
        _ => None,
    };
    let others = [i64::MIN, -1, 0, 1, 3, 7, 44, i64::MAX].map(Mode::Other);
    for info in Model::known() {
        for mode in Mode::NAMED.into_iter().chain(others) {
            for (table, number) in
                [(ModeTable::OBSERVED, observed(mode)), (ModeTable::DESIGN_DOCUMENT, design_document(mode))]
            {
                let heats_only = [Mode::Off, Mode::Heat].contains(&mode);
                let expected = match info.family {
                    Family::BaseboardV3 | Family::Central | Family::ClimateSensor => None,
                    Family::AirConditioner => number,
                    _ => number.filter(|_| heats_only),
                };
                let command = command(info.model, &Limits::default(), &table, Change::mode(mode));
                let md = command.map(|command| json(&command)["body"]["cmd"][0]["md"].as_i64().unwrap());
                assert_eq!(md.ok(), expected, "{} {mode} {}", info.model, table.name());
            }
        }
    }
}

#[test]
fn every_setpoint_is_rounded_to_a_step_within_the_range_or_refused() {
    for info in Model::known() {
        let Some(range) = info.family.setpoint_range() else { continue };
        for hundredths in (-1_000..5_000).chain([i32::MIN, i32::MAX]) {
            let asked = Celsius::from_hundredths(hundredths);
            let Ok(command) =
                command(info.model, &Limits::default(), &ModeTable::OBSERVED, Change::setpoint(asked))
            else {
                let reached = info.family.has(mysa_proto::Control::Setpoint, Channel::Mqtt);
                assert!(!reached || asked < range.min || asked > range.max, "{} {asked}", info.model);
                continue;
            };
            let sent = command.fields().sp.unwrap();
            assert!(
                range.contains(sent) && range.min <= asked && asked <= range.max,
                "{} {asked}",
                info.model
            );
            let moved = sent.as_hundredths().abs_diff(asked.as_hundredths());
            assert!(moved * 2 <= range.step.as_hundredths().unsigned_abs(), "{} {asked} {sent}", info.model);
        }
    }
}

#[test]
fn the_encoders_are_command_live_request_nudge_and_echo() {
    let device = device();
    let mut payloads = Vec::new();
    for seconds in [1, 5, 7, 40, 180, 300] {
        let mut out = Vec::new();
        encode_live_report(device, seconds, NOW, &mut out).unwrap();
        payloads.push(out);
    }
    for seconds in [0, 301, u32::MAX] {
        let mut out = Vec::new();
        assert!(encode_live_report(device, seconds, NOW, &mut out).is_err());
        assert!(out.is_empty());
    }
    for id in [0, 1, 2, 3, 418_001, u32::MAX] {
        let mut out = Vec::new();
        encode_echo(device, id, NOW, &mut out);
        payloads.push(out);
    }
    let mut out = Vec::new();
    encode_settings_nudge(device, NOW, &mut out);
    payloads.push(out);
    for payload in payloads {
        let json: Value = serde_json::from_slice(&payload).unwrap();
        let kind = (json["MsgType"].as_u64().unwrap(), json.get("EventType").and_then(Value::as_u64));
        assert!([(11, None), (6, Some(0)), (6, Some(4_294_967_295))].contains(&kind), "{json}");
        assert!(json.get("msg").is_none());
        let message = Message::decode(TopicKind::In, &payload).unwrap();
        assert_eq!(message.envelope.device, Some(device));
        assert!(message.danger().is_none(), "{json}");
    }
}

#[test]
fn a_sender_reference_is_escaped() {
    let setpoint = Change::setpoint(Celsius::from_hundredths(2_000));
    let command = command("BB-V2-0", &Limits::default(), &ModeTable::OBSERVED, setpoint).unwrap();
    let app_ref = "\"},\"MsgType\":40,\"x\":{\"\\\n\u{0}é";
    let mut out = Vec::new();
    command
        .encode(&EnvelopeMeta { id: u64::MAX, time: NOW, app_ref, form: EnvelopeForm::Observed }, &mut out);
    let json: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["src"]["ref"], app_ref);
    assert_eq!(json["id"], u64::MAX);
    assert!(json.get("MsgType").is_none());
}

#[test]
fn a_payload_is_appended_to_the_buffer() {
    let mut out = b"before".to_vec();
    encode_settings_nudge(device(), NOW, &mut out);
    assert!(out.starts_with(b"before{"));
}

#[test]
fn the_form_of_the_design_document_omits_only_the_timestamp() {
    let command =
        command("BB-V1-1", &Limits::default(), &ModeTable::OBSERVED, Change::mode(Mode::Off)).unwrap();
    let encode = |form| {
        let mut out = Vec::new();
        command.encode(&EnvelopeMeta { id: 7, time: NOW, app_ref: "me", form }, &mut out);
        serde_json::from_slice::<Value>(&out).unwrap()
    };
    let mut observed = encode(EnvelopeForm::Observed);
    assert_eq!(observed.as_object_mut().unwrap().remove("Timestamp"), Some(1_767_323_045.into()));
    assert_eq!(encode(EnvelopeForm::DesignDocument), observed);
}

#[test]
fn an_in_floor_thermostat_that_tracks_the_room_keeps_doing_so_when_set_to_heat() {
    let limits = Limits { tracked_sensor: Some(TrackedSensor::Ambient), ..Limits::default() };
    let sent = |change| command("INF-V1-0", &limits, &ModeTable::OBSERVED, change).unwrap().fields();
    let heat = sent(Change::mode(Mode::Heat));
    assert_eq!((heat.md, heat.tr), (Some(5), None));
    let floor = sent(Change { tracked_sensor: Some(TrackedSensor::Floor), ..Change::mode(Mode::Heat) });
    assert_eq!((floor.md, floor.tr), (Some(3), Some(3)));
    assert_eq!(sent(Change::mode(Mode::Off)).md, Some(1));
}

#[test]
fn every_refusal_over_mqtt_names_the_valid_values() {
    let none = Change::default();
    let brightness = Brightness { idle: Some(101), ..Brightness::default() };
    for (model, change, expected_text) in [
        ("BB-V3-0", Change::mode(Mode::Off), "Baseboard V3 accepts no commands over MQTT"),
        (
            "BB-V2-0-L",
            Change { proximity: Some(true), ..none },
            "Baseboard Lite has no proximity over MQTT; it has mode, setpoint, button lock",
        ),
        (
            "AC-V1-0",
            Change { lock: Some(true), ..none },
            "Mini-split AC V1 has no button lock over MQTT; it has mode, setpoint, fan, swing, Climate+",
        ),
        (
            "BB-V2-0",
            Change { swing_vertical: Some(Swing::AUTO), ..none },
            "Baseboard V2 has no swing over MQTT",
        ),
        ("BB-V2-0", Change { climate_plus: Some(true), ..none }, "Baseboard V2 has no Climate+ over MQTT"),
        (
            "BB-V2-0",
            Change { temperature_offset: Some(Celsius::from_hundredths(50)), ..none },
            "Baseboard V2 has no temperature offset over MQTT",
        ),
        (
            "BB-V2-0",
            Change { brightness: Some(brightness), ..none },
            "brightness 101 % is out of range: allowed are 0 to 100 %",
        ),
        ("BB-V2-0", Change { brightness: Some(Brightness::default()), ..none }, "nothing to change"),
        (
            "BB-V2-0",
            Change { hold: Some(Hold::Until(UnixTime::from_millis(1_767_323_045_999))), ..none },
            "a hold until 2026-01-02T03:04:05.999Z must end after the present time 2026-01-02T03:04:05.678Z",
        ),
        (
            "BB-V2-0",
            Change { hold: Some(Hold::FollowOrUntil), ..none },
            "invalid hold: expected to follow the schedule, to hold, or to hold until a time",
        ),
        ("BB-V2-0-L", Change { hold: Some(Hold::Permanent), ..none }, "Baseboard Lite has no hold over MQTT"),
        ("BB-V1-1", Change { hold: Some(Hold::Permanent), ..none }, "Baseboard V1 has no hold over MQTT"),
        ("AC-V1-0", Change { hold: Some(Hold::Permanent), ..none }, "Mini-split AC V1 has no hold over MQTT"),
        (
            "AC-V1-0",
            Change { fan: Some(FanSpeed::from_code(0)), ..none },
            "fan speed 0 is not offered: allowed are 1 (auto), ",
        ),
        (
            "AC-V1-0",
            Change { swing_vertical: Some(Swing::from_code(0)), ..none },
            "swing 0 is not offered: allowed are 1 (off), ",
        ),
        (
            "AC-V1-0",
            Change::mode(Mode::EmergencyHeat),
            "emergency_heat is not a mode of this device: allowed are off, auto, heat, cool, fan_only, dry",
        ),
    ] {
        let text = command(model, &Limits::default(), &ModeTable::OBSERVED, change).unwrap_err();
        assert!(text.starts_with(expected_text), "{model} {change}: {text}");
    }
    let text = command("AC-V1-0", &Limits::default(), &ModeTable::DESIGN_DOCUMENT, Change::mode(Mode::Cool));
    assert_eq!(text.unwrap_err(), "cool is not a mode of this device: allowed are off, heat");
}

#[test]
fn an_air_conditioner_is_sent_only_what_its_record_lists_for_the_mode() {
    let record = serde_json::json!({"SupportedCaps": {
        "tempRange": [16, 30],
        "modes": {
            "1": {"temperatures": [], "fanSpeeds": []},
            "4": {"temperatures": [16, 17, 18, 20], "fanSpeeds": [1, 2, 4], "verticalSwing": [3, 4]},
            "6": {"temperatures": [], "fanSpeeds": [1, 2]},
        },
    }});
    let ac = AcCapabilities::from_record(record.as_object().unwrap()).unwrap();
    let none = Change::default();
    let fan = |code| Change { fan: Some(FanSpeed::from_code(code)), ..none };
    let swing = |code| Change { swing_vertical: Some(Swing::from_code(code)), ..none };
    let celsius = |degrees| Change::setpoint(Celsius::from_degrees(degrees).unwrap());
    for (mode, change, refusal) in [
        (Mode::Cool, celsius(20.0), None),
        (
            Mode::Cool,
            celsius(19.0),
            Some("setpoint 19 °C is not offered in mode cool: allowed are 16, 17, 18, 20 °C"),
        ),
        (
            Mode::Cool,
            celsius(31.0),
            Some("setpoint 31 °C is out of range: allowed are 16 to 30 °C in steps of 1"),
        ),
        (Mode::Dry, celsius(20.0), Some("the device has no setpoint in mode dry")),
        (Mode::Off, celsius(19.0), None),
        (Mode::Dry, Change { mode: Some(Mode::Cool), ..celsius(20.0) }, None),
        (
            Mode::Cool,
            Change { mode: Some(Mode::Dry), ..celsius(20.0) },
            Some("the device has no setpoint in mode dry"),
        ),
        (Mode::Cool, fan(4), None),
        (
            Mode::Cool,
            fan(6),
            Some("fan speed 6 (high) is not offered: allowed are 1 (auto), 2 (low), 4 (medium)"),
        ),
        (Mode::Dry, fan(1), None),
        (Mode::Dry, fan(2), Some("fan speed 2 (low) is not offered: allowed are 1 (auto)")),
        (Mode::Off, fan(1), Some("fan speed 1 (auto) is not offered: allowed are none")),
        (Mode::Cool, swing(4), None),
        (
            Mode::Cool,
            swing(5),
            Some("swing 5 (position_2) is not offered: allowed are 3 (auto), 4 (position_1)"),
        ),
        (
            Mode::Cool,
            Change::mode(Mode::Heat),
            Some("heat is not a mode of this device: allowed are off, cool, dry"),
        ),
        (Mode::Cool, Change::mode(Mode::Off), None),
    ] {
        let limits = Limits { ac: Some(&ac), mode: Some(mode), ..Limits::default() };
        let made = command("AC-V1-0", &limits, &ModeTable::OBSERVED, change);
        assert_eq!(made.err().as_deref(), refusal, "{mode}: {change}");
    }
}

proptest! {
    #[test]
    fn an_encoded_command_decodes_to_itself(
        change in change(),
        model in model(),
        form in prop_oneof![
            Just(EnvelopeForm::Observed),
            Just(EnvelopeForm::DesignDocument),
            Just(EnvelopeForm::CmdAsString),
        ],
        id: u64,
        app_ref: String,
        inverted: bool,
    ) {
        let table = if inverted { ModeTable::DESIGN_DOCUMENT } else { ModeTable::OBSERVED };
        let info = Model::parse(model);
        let Ok(command) = Command::new(device(), &info, &Limits::default(), &table, change, NOW) else {
            return Ok(());
        };
        let mut out = Vec::new();
        command.encode(&EnvelopeMeta { id, time: NOW, app_ref: &app_ref, form }, &mut out);
        let message = Message::decode(TopicKind::In, &out).unwrap();
        prop_assert!(message.danger().is_none());
        let Body::Command(body) = &message.body else { panic!("{message:?}") };
        let own_type = info.family().and_then(Family::body_type).map(BodyType::number);
        prop_assert_eq!(body.body_type, own_type);
        let entries: Vec<_> = body.changes.iter().flat_map(|changes| changes.iter()).collect();
        prop_assert_eq!(entries.len(), 1);
        prop_assert_eq!(entries[0].control, ControlState::from(&command.fields()));
        prop_assert_eq!(entries[0].tm, Some(command.fields().tm));

        // The number of the mode is one of the table.
        let family = info.family().unwrap();
        let tracked = change.tracked_sensor;
        let md = change.mode.map(|mode| table.number_of(mode, family, tracked).unwrap());
        prop_assert_eq!(entries[0].control.mode, md);
    }

    #[test]
    fn an_update_contains_only_the_requested_settings_in_structured_numbers(change in change(), model in model()) {
        let Ok(update) = StructuredUpdate::new(&Model::parse(model), &Limits::default(), change) else {
            return Ok(());
        };
        let mut out = Vec::new();
        update.encode(&mut out);
        let body: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(body["source"].as_i64(), Some(3));
        prop_assert!(body.as_object().unwrap().len() > 1);
        let mode = body["modes"]["mode"].as_i64();
        prop_assert_eq!(mode.map(Mode::from_structured), change.mode);
        let range = update.family().setpoint_range().unwrap();
        for at in ["/targetHeat/setpoint", "/targetCool/setpoint", "/targetAuto/heatSetpoint", "/targetAuto/coolSetpoint"] {
            if let Some(setpoint) = body.pointer(at) {
                prop_assert!(range.contains(Celsius::from_degrees(setpoint.as_f64().unwrap()).unwrap()), "{}", body);
            }
        }
    }

    #[test]
    fn a_command_agrees_with_itself_and_with_nothing_else(change in change(), seen in change(), model in model()) {
        let info = Model::parse(model);
        let made = Command::new(device(), &info, &Limits::default(), &ModeTable::OBSERVED, change, NOW);
        let Ok(command) = made else { return Ok(()) };
        let asked = command.change();
        prop_assert!(asked.compare(asked).is_met());
        let unseen = asked.compare(&Change::default());
        prop_assert_eq!((unseen.unmet, unseen.differs), (*asked, false));
        let comparison = asked.compare(&seen);
        prop_assert_eq!(comparison.unmet.within(asked), comparison.unmet);
        if let (Some(asked), Some(mode)) = (asked.mode, seen.mode) {
            prop_assert!(asked == mode || comparison.differs);
        }
    }
}

fn model() -> impl Strategy<Value = &'static str> {
    prop::sample::select(Model::known()).prop_map(|info| info.model)
}

prop_compose! {
    fn brightness()(
        auto: Option<bool>,
        active in prop::option::of(0..=102_u8),
        idle in prop::option::of(0..=102_u8),
        active_seconds: Option<u16>,
        idle_seconds: Option<u16>,
    ) -> Brightness {
        Brightness { auto, active, idle, active_seconds, idle_seconds }
    }
}

/// Mostly one or two fields, so that enough of them are allowed together.
fn change() -> impl Strategy<Value = Change> {
    let celsius = || (400..4_200_i32).prop_map(Celsius::from_hundredths);
    let none = Change::default();
    let mode = prop::sample::select(Mode::NAMED.to_vec()).prop_map(Change::mode);
    let hold = prop_oneof![
        Just(Hold::FollowSchedule),
        Just(Hold::Permanent),
        (1_767_323_000..1_767_500_000_i64).prop_map(|end| Hold::Until(UnixTime::from_secs(end))),
    ];
    let swing = || (0..14_u8).prop_map(Swing::from_code);
    let sensor = prop_oneof![Just(TrackedSensor::Floor), Just(TrackedSensor::Ambient)];
    let field = prop_oneof![
        4 => celsius().prop_map(Change::setpoint),
        4 => mode,
        2 => hold.prop_map(move |hold| Change { hold: Some(hold), ..none }),
        1 => any::<bool>().prop_map(move |lock| Change { lock: Some(lock), ..none }),
        1 => brightness().prop_map(move |brightness| Change { brightness: Some(brightness), ..none }),
        1 => any::<bool>().prop_map(move |on| Change { proximity: Some(on), ..none }),
        1 => (0..14_u8).prop_map(move |fan| Change { fan: Some(FanSpeed::from_code(fan)), ..none }),
        1 => swing().prop_map(move |swing| Change { swing_vertical: Some(swing), ..none }),
        1 => swing().prop_map(move |swing| Change { swing_horizontal: Some(swing), ..none }),
        1 => any::<bool>().prop_map(move |on| Change { climate_plus: Some(on), ..none }),
        1 => sensor.prop_map(move |sensor| Change { tracked_sensor: Some(sensor), ..none }),
        1 => (celsius(), celsius()).prop_map(move |(heat, cool)| {
            Change { auto_setpoints: Some(AutoSetpoints { heat, cool }), ..none }
        }),
        1 => (-600..=600_i32).prop_map(move |offset| {
            Change { temperature_offset: Some(Celsius::from_hundredths(offset)), ..none }
        }),
    ];
    prop::collection::vec(field, 1..4)
        .prop_map(|fields| fields.into_iter().fold(Change::default(), Change::then))
}

fn device() -> DeviceId {
    DeviceId::new("a0b1c2d3e4f6").unwrap()
}

fn command(model: &str, limits: &Limits<'_>, table: &ModeTable, change: Change) -> Result<Command, String> {
    Command::new(device(), &Model::parse(model), limits, table, change, NOW)
        .map_err(|refusal| refusal.to_string())
}

fn json(command: &Command) -> Value {
    let mut out = Vec::new();
    command.encode(&EnvelopeMeta { id: 1, time: NOW, app_ref: "me", form: EnvelopeForm::Observed }, &mut out);
    serde_json::from_slice(&out).unwrap()
}
