use alloc::string::{String, ToString};
use core::fmt;

use mysa_proto::{Brightness, Celsius, Change, Entity};

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
    /// The payload is neither on nor off.
    NotASwitch,
    /// The payload is none of the choices.
    NoSuchChoice { choices: String },
}

impl fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchSetting => f.write_str("this thermostat has no such setting"),
            Self::NotText => write!(f, "invalid value: expected a text of at most {MAX_PAYLOAD} bytes"),
            Self::NotANumber => f.write_str("invalid value: expected a number"),
            Self::OutOfRange { min, max } => write!(f, "invalid value: expected {min} to {max}"),
            Self::NotASwitch => f.write_str("invalid value: expected ON or OFF"),
            Self::NoSuchChoice { choices } => write!(f, "invalid value: expected {choices}"),
        }
    }
}

/// Longest payload of a command, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 64;

/// `true` for numbers, which people set by dragging a slider.
pub(crate) fn is_number(field: &str) -> bool {
    matches!(field, "setpoint" | "setpoint_f" | "brightness_active" | "brightness_idle")
}

/// Parses the payload of a command for a thermostat with these entities. The range of a setpoint, and what the model
/// allows in its present mode, is checked by the session.
pub(crate) fn parse(field: &str, payload: &[u8], entities: &[Entity]) -> Result<Change, InvalidPayload> {
    let text = core::str::from_utf8(payload).ok().filter(|text| text.len() <= MAX_PAYLOAD);
    let text = text.ok_or(InvalidPayload::NotText)?.trim();
    let key = if field == "setpoint_f" { "setpoint" } else { field };
    let writable = |entity: &&Entity| entity.key() == key && entity.writable;
    let entity = entities.iter().find(writable).ok_or(InvalidPayload::NoSuchSetting)?;
    match field {
        "setpoint" => number(text, Celsius::from_degrees).map(Change::setpoint),
        "setpoint_f" => number(text, Celsius::from_fahrenheit).map(Change::setpoint),
        "brightness_active" => percent(text)
            .map(|active| brightness(Brightness { active: Some(active), ..Brightness::default() })),
        "brightness_idle" => {
            percent(text).map(|idle| brightness(Brightness { idle: Some(idle), ..Brightness::default() }))
        }
        "lock" => switch(text).map(|lock| Change { lock: Some(lock), ..Change::default() }),
        _ => choice(text, entity),
    }
}

fn number(text: &str, convert: fn(f64) -> Option<Celsius>) -> Result<Celsius, InvalidPayload> {
    text.parse().ok().and_then(convert).ok_or(InvalidPayload::NotANumber)
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
