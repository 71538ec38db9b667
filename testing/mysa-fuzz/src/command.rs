use mysa_proto::{
    AutoSetpoints, Body, Brightness, Celsius, Change, Command, ControlState, DeviceId, EnvelopeForm,
    EnvelopeMeta, FanSpeed, Hold, Limits, Message, Mode, ModeTable, Model, StructuredUpdate, Swing,
    TopicKind, TrackedSensor, UnixTime,
};
use serde_json::Value;

use crate::script::Script;

const NOW: UnixTime = UnixTime::from_millis(1_767_323_045_678);

/// Encoder of commands.
///
/// Input: a model, the requested change, the limits of the user, a mode table, the form of the envelope, an id, the name of the
/// app, and the settings of the change that only one of the channels has.
///
/// A change is rejected with a reason, or encoded as strict JSON that `Message::decode` reads as the requested settings: for the
/// right device, on the step of the model, inside the limits of the model and of the user, with nothing that was not requested,
/// and never as a dangerous message. An acknowledgement that repeats it confirms it. The body for the structured service holds
/// nothing that was not requested either.
///
/// ```
/// // The first model, and a setpoint of 21 °C.
/// mysa_fuzz::command(&[0, 1, 0x34, 0x08, 1]);
/// ```
pub fn command(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(device) = DeviceId::new("a0b1c2d3e4f6") else { return };
    let mut models: Vec<_> = Model::known().iter().map(|info| info.model).collect();
    models.push("ZZ-V9-9");
    let model = Model::parse(script.pick(&models));
    let change = change(&mut script);
    let limits = Limits {
        min_setpoint: script.option(celsius),
        max_setpoint: script.option(celsius),
        mode: script.option(mode),
        tracked_sensor: script.option(sensor),
        ..Limits::default()
    };
    let table = if script.flag() { ModeTable::DESIGN_DOCUMENT } else { ModeTable::OBSERVED };
    let form =
        script.pick(&[EnvelopeForm::Observed, EnvelopeForm::CmdAsString, EnvelopeForm::DesignDocument]);
    let id = u64::from(script.u32());
    let app_ref = script.text();
    let change = Change {
        tracked_sensor: script.option(sensor),
        auto_setpoints: script
            .option(|script| AutoSetpoints { heat: celsius(script), cool: celsius(script) }),
        temperature_offset: script.option(celsius),
        ..change
    };
    assert!(change.compare(&change).is_met() && !change.compare(&change).differs, "{change:?}");
    assert_eq!((change.without(&change), change.within(&change)), (Change::default(), change));
    assert_eq!(change.then(Change::default()), change);
    assert!(!change.to_string().is_empty());

    structured(&model, &limits, change);
    let command = match Command::new(device, &model, &limits, &table, change, NOW) {
        Ok(command) => command,
        Err(refusal) => return assert!(!refusal.to_string().is_empty()),
    };
    let mut wire = b"before".to_vec();
    command.encode(&EnvelopeMeta { id, time: NOW, app_ref: &app_ref, form }, &mut wire);
    let payload = wire.strip_prefix(b"before").unwrap_or_else(|| panic!("what was there is gone"));
    assert!(serde_json::from_slice::<Value>(payload).is_ok_and(|value| value.is_object()));

    let message = Message::decode(TopicKind::In, payload).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(message.danger(), None);
    assert!(message.is_about(device));
    let Body::Command(read) = &message.body else { panic!("{message:?}") };
    let entries: Vec<_> = read.changes.iter().flat_map(|changes| changes.iter()).collect();
    let [entry] = entries[..] else { panic!("{entries:?}") };
    let fields = command.fields();
    assert_eq!(entry.control.setpoint, fields.sp);
    assert_eq!(entry.control.mode, fields.md);
    assert_eq!((entry.control.hold, entry.control.fan), (fields.ho, fields.fn_));
    assert!(entry.control.agrees_with(&entry.control));
    assert!(entry.control.agrees_with(&ControlState::from(&fields)), "{entry:?} {fields:?}");
    assert_eq!(entry.control.tracked_sensor, fields.tr);
    if let (Some(asked), Some(sent)) = (change.setpoint, fields.sp) {
        let family = command.family();
        let Some(range) = family.setpoint_range() else { panic!("{family:?} has no setpoint") };
        // Limits outside the range of the family, and a lowest above the highest, hold for nobody: the crates name them.
        let inside = |limit: &Celsius| (range.min..=range.max).contains(limit);
        let (min, max) = (limits.min_setpoint.filter(inside), limits.max_setpoint.filter(inside));
        let crossed = min.zip(max).is_some_and(|(min, max)| min > max);
        let (min, max) = if crossed { (None, None) } else { (min, max) };
        let all_hold = (min, max) == (limits.min_setpoint, limits.max_setpoint);
        assert_eq!(limits.ignored(family).is_empty(), all_hold, "{limits:?}");
        let allowed = |setpoint: Celsius| {
            range.contains(setpoint)
                && min.is_none_or(|min| setpoint >= min)
                && max.is_none_or(|max| setpoint <= max)
        };
        assert!(allowed(sent), "{sent} for {family:?} {limits:?}");
        // The nearest value on the step within the limits.
        let (asked, off) = (asked.as_hundredths(), asked.as_hundredths() - sent.as_hundredths());
        let step = range.step.as_hundredths();
        let next = Celsius::from_hundredths(sent.as_hundredths() + off.signum() * step);
        assert!(2 * off.abs() <= step || (off.abs() < step && !allowed(next)), "{asked} {sent} {limits:?}");
    }
    // Settings that were not requested are not written.
    assert!(change.setpoint.is_some() || fields.sp.is_none(), "{change:?} {fields:?}");
    assert!(change.lock.is_some() || entry.control.lock.is_none(), "{change:?} {fields:?}");
}

/// Encodes the change for the structured service.
fn structured(model: &Model, limits: &Limits<'_>, change: Change) {
    let update = match StructuredUpdate::new(model, limits, change) {
        Ok(update) => update,
        Err(refusal) => return assert!(!refusal.to_string().is_empty()),
    };
    let parse = |out: &[u8]| -> Value {
        serde_json::from_slice(out).unwrap_or_else(|error| panic!("{error}: {}", out.escape_ascii()))
    };
    let (mut body, mut state) = (Vec::new(), Vec::new());
    update.encode(&mut body);
    update.encode_state(&mut state);
    let (mut body, state) = (parse(&body), parse(&state));
    let source = body.as_object_mut().and_then(|body| body.remove("source"));
    assert_eq!((source, &body), (Some(3.into()), &state), "the same sections");
    let has = |section: &str| state.get(section).is_some();
    assert_eq!(has("targetHeat") || has("targetCool"), change.setpoint.is_some(), "{state}");
    assert!(!(has("targetHeat") && has("targetCool")), "{state}");
    assert_eq!(has("targetAuto"), change.auto_setpoints.is_some(), "{state}");
    assert_eq!(
        has("tracking"),
        change.tracked_sensor.is_some() || change.temperature_offset.is_some(),
        "{state}"
    );
    if let (Some(pair), Some(range)) = (update.change().auto_setpoints, update.family().setpoint_range()) {
        assert!(pair.heat <= pair.cool && range.contains(pair.heat) && range.contains(pair.cool), "{pair:?}");
    }
}

pub(crate) fn change(script: &mut Script<'_>) -> Change {
    let swing = |script: &mut Script<'_>| Swing::from_code(script.byte());
    Change {
        setpoint: script.option(celsius),
        mode: script.option(mode),
        hold: script.option(|script| match script.byte() % 3 {
            0 => Hold::FollowSchedule,
            1 => Hold::Permanent,
            _ => Hold::Until(UnixTime::from_secs(i64::from(script.u32()))),
        }),
        lock: script.option(Script::flag),
        brightness: script.option(|script| Brightness {
            idle: script.option(Script::byte),
            active: script.option(Script::byte),
            ..Brightness::default()
        }),
        proximity: script.option(Script::flag),
        fan: script.option(|script| FanSpeed::from_code(script.byte())),
        swing_vertical: script.option(swing),
        swing_horizontal: script.option(swing),
        climate_plus: script.option(Script::flag),
        ..Change::default()
    }
}

/// Temperature from -5 to 60 °C in steps of a hundredth, sometimes far outside.
fn celsius(script: &mut Script<'_>) -> Celsius {
    let raw = i32::from(script.u16());
    Celsius::from_hundredths(if raw < 6_500 { raw - 500 } else { (raw - 6_500) * 30_000 })
}

fn sensor(script: &mut Script<'_>) -> TrackedSensor {
    script.pick(&[TrackedSensor::Floor, TrackedSensor::Ambient])
}

fn mode(script: &mut Script<'_>) -> Mode {
    let choice = script.byte();
    let named = Mode::NAMED;
    named.get(usize::from(choice)).copied().unwrap_or(Mode::Other(i64::from(choice)))
}
