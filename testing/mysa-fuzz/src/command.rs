use mysa_proto::{
    Body, Brightness, Celsius, Change, Command, DeviceId, EnvelopeForm, EnvelopeMeta, FanSpeed, Hold, Limits,
    Message, Mode, ModeTable, Model, StructuredUpdate, Swing, TopicKind, TrackedSensor, UnixTime,
};
use serde_json::Value;

use crate::script::Script;

const NOW: UnixTime = UnixTime::from_millis(1_767_323_045_678);

/// Encoder of commands.
///
/// Input: a model, the requested change, the limits of the user, a mode table, the form of the envelope, an id and the name of the
/// app.
///
/// A change is rejected with a reason, or encoded as strict JSON that `Message::decode` reads as the requested settings: for the
/// right device, on the step of the model, inside the limits of the model and of the user, with nothing that was not requested,
/// and never as a dangerous message.
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
        tracked_sensor: script.option(|script| script.pick(&[TrackedSensor::Floor, TrackedSensor::Ambient])),
        ..Limits::default()
    };
    let table = if script.flag() { ModeTable::DESIGN_DOCUMENT } else { ModeTable::OBSERVED };
    let form =
        script.pick(&[EnvelopeForm::Observed, EnvelopeForm::CmdAsString, EnvelopeForm::DesignDocument]);
    let id = u64::from(script.u32());
    let app_ref = script.text();

    if let Ok(update) = StructuredUpdate::new(&model, &limits, change) {
        let mut out = Vec::new();
        update.encode(&mut out);
        let body: Value = serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {out:?}"));
        assert!(body.as_object().is_some_and(|body| !body.is_empty()), "{body}");
    }
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

fn mode(script: &mut Script<'_>) -> Mode {
    let choice = script.byte();
    let named = Mode::NAMED;
    named.get(usize::from(choice)).copied().unwrap_or(Mode::Other(i64::from(choice)))
}
