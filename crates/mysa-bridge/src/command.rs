use alloc::string::{String, ToString};
use core::fmt;

use mysa_proto::{Brightness, Celsius, Change, Entity, Hold, InvalidCommand, SetpointRange, Span, UnixTime};
use time::{Date, Month, Time};

/// Error: the payload of a command is not a value of its field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum InvalidPayload {
    /// The thermostat has no such setting, or it cannot be written.
    NoSuchSetting,
    /// The payload is not UTF-8, or too long for any value.
    NotText,
    /// The payload is not a number.
    NotANumber,
    /// The number is outside the range.
    OutOfRange { min: i32, max: i32 },
    /// The setpoint is outside the range that the thermostat has at present.
    Setpoint(InvalidCommand),
    /// The payload is neither on nor off.
    NotASwitch,
    /// The payload is none of the choices.
    NoSuchChoice { choices: String },
    /// The payload is neither a time nor a number of hours.
    NotAnEnd,
    /// The end of a hold has passed, or is more than a year ahead.
    EndOutOfRange,
}

impl fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchSetting => f.write_str("this thermostat has no such setting"),
            Self::NotText => write!(f, "invalid value: expected a text of at most {MAX_PAYLOAD} bytes"),
            Self::NotANumber => f.write_str("invalid value: expected a number"),
            Self::OutOfRange { min, max } => write!(f, "invalid value: expected {min} to {max}"),
            Self::Setpoint(error) => write!(f, "{error}"),
            Self::NotASwitch => f.write_str("invalid value: expected ON or OFF"),
            Self::NoSuchChoice { choices } => write!(f, "invalid value: expected {choices}"),
            Self::NotAnEnd => f.write_str(
                "invalid value: expected hours, or a time with its offset such as 2026-01-02T22:30:00Z",
            ),
            Self::EndOutOfRange => f.write_str("invalid value: expected a time within a year from now"),
        }
    }
}

/// Longest payload of a command, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 64;

/// `true` for numbers, which people set by dragging a slider.
pub(crate) fn is_number(field: &str) -> bool {
    matches!(field, "setpoint" | "setpoint_f" | "brightness_active" | "brightness_idle")
}

/// Parses the payload of a command for a thermostat with these entities. Hours count from `now`.
///
/// The session checks what the model allows. The range of a setpoint is checked here too, because a value that the session
/// refuses must not supersede a valid one that is held back.
pub(crate) fn parse(
    field: &str,
    payload: &[u8],
    entities: &[Entity],
    now: UnixTime,
) -> Result<Change, InvalidPayload> {
    let text = core::str::from_utf8(payload).ok().filter(|text| text.len() <= MAX_PAYLOAD);
    let text = text.ok_or(InvalidPayload::NotText)?.trim();
    let key = match field {
        "setpoint_f" => "setpoint",
        // Its entity shows the end, and cannot be written by itself.
        "hold_until" => "preset_mode",
        field => field,
    };
    let writable = |entity: &&Entity| entity.key() == key && entity.writable;
    let entity = entities.iter().find(writable).ok_or(InvalidPayload::NoSuchSetting)?;
    match field {
        "setpoint" => setpoint(number(text, Celsius::from_degrees)?, entity.range),
        "setpoint_f" => setpoint(number(text, Celsius::from_fahrenheit)?, entity.range),
        "brightness_active" => percent(text)
            .map(|active| brightness(Brightness { active: Some(active), ..Brightness::default() })),
        "brightness_idle" => {
            percent(text).map(|idle| brightness(Brightness { idle: Some(idle), ..Brightness::default() }))
        }
        "lock" => switch(text).map(|lock| Change { lock: Some(lock), ..Change::default() }),
        "hold_until" => {
            end(text, now).map(|end| Change { hold: Some(Hold::Until(end)), ..Change::default() })
        }
        _ => choice(text, entity),
    }
}

/// End of a hold: hours from now, or a time of ISO 8601 with its offset. A time without an offset would be that of a time
/// zone that is not known here.
fn end(text: &str, now: UnixTime) -> Result<UnixTime, InvalidPayload> {
    const YEAR: i64 = 366 * 86_400;
    let end = match text.parse::<f64>() {
        Ok(hours) if hours.is_finite() => {
            // Saturates; hours beyond the range are refused below.
            let secs = (hours * 3_600.0) as i64;
            now.as_secs().saturating_add(secs)
        }
        Ok(_) => return Err(InvalidPayload::NotAnEnd),
        Err(_) => instant(text).ok_or(InvalidPayload::NotAnEnd)?,
    };
    let ahead = end.saturating_sub(now.as_secs());
    if (1..=YEAR).contains(&ahead) {
        Ok(UnixTime::from_secs(end))
    } else {
        Err(InvalidPayload::EndOutOfRange)
    }
}

/// Parses `2026-01-02T22:30:00Z`: seconds and their fraction may be missing, a space may stand for `T`, and an offset such
/// as `-04:00` for `Z`. Returns seconds since 1970.
fn instant(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-');
    let year = digits(parts.next()?, 4)?;
    let month = Month::try_from(u8::try_from(digits(parts.next()?, 2)?).ok()?).ok()?;
    let day = u8::try_from(digits(parts.next()?, 2)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()?;
    let (time, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let at = time.rfind(['+', '-'])?;
            let (time, offset) = time.split_at(at);
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let ahead = i64::from(hours * 3_600 + minutes * 60);
            (time, if offset.starts_with('-') { -ahead } else { ahead })
        }
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    fraction.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    let mut parts = time.splitn(3, ':');
    let part = |part: Option<&str>| u8::try_from(digits(part?, 2)?).ok();
    let (hour, minute) = (part(parts.next())?, part(parts.next())?);
    let second = match parts.next() {
        Some(second) => part(Some(second))?,
        None => 0,
    };
    let time = Time::from_hms(hour, minute, second).ok()?;
    Some(date.with_time(time).assume_utc().unix_timestamp() - offset)
}

/// Number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    let is_plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn number(text: &str, convert: fn(f64) -> Option<Celsius>) -> Result<Celsius, InvalidPayload> {
    text.parse().ok().and_then(convert).ok_or(InvalidPayload::NotANumber)
}

fn setpoint(asked: Celsius, range: Option<Span>) -> Result<Change, InvalidPayload> {
    if let Some(range) = range.and_then(setpoint_range)
        && range.nearest(asked).is_none()
    {
        return Err(InvalidPayload::Setpoint(InvalidCommand::SetpointOutOfRange { asked, range }));
    }
    Ok(Change::setpoint(asked))
}

fn setpoint_range(span: Span) -> Option<SetpointRange> {
    let [min, max, step] = [span.min, span.max, span.step].map(Celsius::from_degrees);
    Some(SetpointRange { min: min?, max: max?, step: step? })
}

/// Whole percent. Home Assistant writes numbers with a decimal point.
fn percent(text: &str) -> Result<u8, InvalidPayload> {
    let value: f64 = text.parse().map_err(|_| InvalidPayload::NotANumber)?;
    let whole = value as u8;
    if f64::from(whole) == value && whole <= 100 {
        Ok(whole)
    } else {
        Err(InvalidPayload::OutOfRange { min: 0, max: 100 })
    }
}

fn brightness(brightness: Brightness) -> Change {
    Change { brightness: Some(brightness), ..Change::default() }
}

fn switch(text: &str) -> Result<bool, InvalidPayload> {
    let is = |names: [&str; 2]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    if is(["on", "true"]) {
        Ok(true)
    } else if is(["off", "false"]) {
        Ok(false)
    } else {
        Err(InvalidPayload::NotASwitch)
    }
}

fn choice(text: &str, entity: &Entity) -> Result<Change, InvalidPayload> {
    let named = entity.choices.iter().find(|choice| choice.name.eq_ignore_ascii_case(text));
    named.and_then(|choice| choice.change).ok_or_else(|| {
        let mut choices = String::new();
        for choice in entity.choices.iter().filter(|choice| choice.change.is_some()) {
            let separator = if choices.is_empty() { "" } else { ", " };
            choices.push_str(separator);
            choices.push_str(choice.name);
        }
        if choices.is_empty() {
            InvalidPayload::NoSuchSetting
        } else {
            InvalidPayload::NoSuchChoice { choices }
        }
    })
}

impl InvalidPayload {
    pub(crate) fn text(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use mysa_proto::{EntityFacts, FanSpeed, Hold, Limits, Mode, ModeTable, Model, TrackedSensor, entities};

    use super::*;

    /// 2026-01-02T03:04:05Z
    const NOW: UnixTime = UnixTime::from_secs(1_767_323_045);

    fn parse(field: &str, payload: &[u8], entities: &[Entity]) -> Result<Change, InvalidPayload> {
        super::parse(field, payload, entities, NOW)
    }

    #[test]
    fn a_hold_ends_after_hours_or_at_a_time() {
        let v2 = of("BB-V2-0");
        let until = |payload: &str| match parse("hold_until", payload.as_bytes(), &v2)?.hold {
            Some(Hold::Until(end)) => Ok(end.as_secs()),
            other => panic!("{other:?}"),
        };
        let half_past_ten = 1_767_393_000;
        for (payload, end) in [
            ("2026-01-02T22:30:00Z", half_past_ten),
            ("2026-01-02T22:30Z", half_past_ten),
            ("2026-01-02 22:30:00.250+00:00", half_past_ten),
            ("2026-01-02T18:30:00-04:00", half_past_ten),
            ("2026-01-03T04:00:00+05:30", half_past_ten),
            ("4", NOW.as_secs() + 14_400),
            (" 0.5 ", NOW.as_secs() + 1_800),
            ("8784", NOW.as_secs() + 366 * 86_400),
        ] {
            assert_eq!(until(payload), Ok(end), "{payload}");
        }
        for payload in [
            "2026-01-02T03:04:05Z",
            "2025-12-31T22:30:00Z",
            "2027-02-01T00:00:00Z",
            "0",
            "-1",
            "1e300",
            "8785",
        ] {
            assert_eq!(until(payload), Err(InvalidPayload::EndOutOfRange), "{payload}");
        }
        for payload in [
            "",
            "tomorrow",
            "NaN",
            "inf",
            "22:30",
            "2026-01-02",
            "2026-01-02T22:30:00",
            "2026-13-02T22:30:00Z",
            "2026-02-30T22:30:00Z",
            "2026-01-02T24:30:00Z",
            "2026-01-02T22:30:60Z",
            "26-1-2T22:30:00Z",
            "2026-01-02T22:30:00+4",
            "2026-01-02T22:30:00+99:00",
            "2026-01-02T22:30:00.xZ",
            "2026-01-02T22:30:00:00Z",
            "+026-01-02T22:30:00Z",
            "2026-01-02T\u{e9}2:30Z",
            "é",
        ] {
            assert_eq!(until(payload), Err(InvalidPayload::NotAnEnd), "{payload}");
        }
        // A Lite has no holds by MQTT.
        assert_eq!(parse("hold_until", b"4", &of("AC-V1-0")), Err(InvalidPayload::NoSuchSetting));
    }

    fn of(model: &str) -> Vec<Entity> {
        entities(&Model::parse(model), &Limits::default(), &ModeTable::OBSERVED, &EntityFacts::default())
    }

    #[test]
    fn every_field_has_its_change() {
        let celsius = |hundredths| Change::setpoint(Celsius::from_hundredths(hundredths));
        let (v2, floor, ac) = (of("BB-V2-0"), of("INF-V1-0"), of("AC-V1-0"));
        let part = |active, idle| brightness(Brightness { active, idle, ..Brightness::default() });
        for (entities, field, payload, change) in [
            (&v2, "setpoint", "20.5", celsius(2_050)),
            (&v2, "setpoint", " 20 ", celsius(2_000)),
            (&v2, "setpoint_f", "69", celsius(2_056)),
            (&v2, "mode", "off", Change::mode(Mode::Off)),
            (&v2, "mode", "HEAT", Change::mode(Mode::Heat)),
            (&v2, "lock", "ON", Change { lock: Some(true), ..Change::default() }),
            (&v2, "lock", "False", Change { lock: Some(false), ..Change::default() }),
            (&v2, "brightness_active", "80.0", part(Some(80), None)),
            (&v2, "brightness_idle", "0", part(None, Some(0))),
            (&v2, "preset_mode", "hold", Change { hold: Some(Hold::Permanent), ..Change::default() }),
            (
                &floor,
                "tracked_sensor",
                "floor",
                Change { tracked_sensor: Some(TrackedSensor::Floor), ..Change::default() },
            ),
            (&ac, "mode", "fan_only", Change::mode(Mode::FanOnly)),
        ] {
            assert_eq!(parse(field, payload.as_bytes(), entities), Ok(change), "{field} {payload}");
        }
        let fan = parse("fan_mode", b"auto", &ac).unwrap().fan;
        assert_eq!(fan.and_then(FanSpeed::name), Some("auto"));
    }

    #[test]
    fn an_invalid_value_is_refused_with_the_expected_form() {
        let v2 = of("BB-V2-0");
        for (field, payload, reason) in [
            ("setpoint", "warm", "expected a number"),
            ("setpoint", "NaN", "expected a number"),
            ("setpoint", "inf", "expected a number"),
            ("setpoint", "", "expected a number"),
            ("setpoint", "1e9", "expected a number"),
            ("setpoint_f", "-500", "expected a number"),
            ("mode", "cool", "expected off, heat"),
            ("mode", "", "expected off, heat"),
            ("lock", "1", "expected ON or OFF"),
            ("brightness_active", "101", "expected 0 to 100"),
            ("brightness_active", "-1", "expected 0 to 100"),
            ("brightness_active", "0.5", "expected 0 to 100"),
            ("brightness_active", "NaN", "expected 0 to 100"),
            ("brightness_active", "x", "expected a number"),
            ("fan_mode", "low", "no such setting"),
            ("tracked_sensor", "floor", "no such setting"),
            ("temperature", "20", "no such setting"),
            ("action", "heating", "no such setting"),
            ("reboot", "1", "no such setting"),
        ] {
            let error = parse(field, payload.as_bytes(), &v2).unwrap_err().text();
            assert!(error.contains(reason), "{field} {payload}: {error}");
        }
        assert_eq!(parse("mode", b"\xff", &v2), Err(InvalidPayload::NotText));
        assert_eq!(parse("mode", &[b' '; 65], &v2), Err(InvalidPayload::NotText));
        assert_eq!(parse("setpoint", b"20", &of("XX-V9")), Err(InvalidPayload::NoSuchSetting));
    }
}
