//! Members of a JSON object, removed one by one; unknown and unreadable members stay.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::{Reading, ResourceId};
use crate::{Amperes, Celsius, DeviceId, DutyCycle, RelativeHumidity, UnixTime, Volts};

#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

impl Fields {
    pub(super) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            _ => None,
        }
    }

    /// The remaining members.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.0
    }

    /// Puts an object back as the value of a member.
    pub(super) fn put(&mut self, name: &str, fields: Self) {
        self.0.insert(name.into(), Value::Object(fields.0));
    }

    pub(super) const fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Removes and returns the first of `names` that `read` accepts. `null` counts as absent; a rejected value stays.
    pub(super) fn take<T>(&mut self, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        for name in names {
            match self.0.get(*name) {
                None => {}
                Some(Value::Null) => {
                    self.0.remove(*name);
                }
                Some(value) => {
                    if let Some(read) = read(value) {
                        self.0.remove(*name);
                        return Some(read);
                    }
                }
            }
        }
        None
    }

    pub(super) fn take_value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn take_object(&mut self, name: &str) -> Option<Self> {
        if !self.0.get(name)?.is_object() {
            return None;
        }
        self.0.remove(name).and_then(Self::of)
    }

    pub(super) fn take_array(&mut self, name: &str) -> Option<Vec<Value>> {
        if !self.0.get(name)?.is_array() {
            return None;
        }
        match self.0.remove(name) {
            Some(Value::Array(items)) => Some(items),
            _ => None,
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.take(&[name], text)
    }

    pub(super) fn id(&mut self, name: &str) -> Option<ResourceId> {
        self.take(&[name], |value| ResourceId::new(value.as_str()?))
    }

    pub(super) fn integer(&mut self, name: &str) -> Option<i64> {
        self.take(&[name], integer)
    }

    pub(super) fn percent(&mut self, name: &str) -> Option<u8> {
        self.take(&[name], percent)
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(&[name], flag)
    }

    pub(super) fn celsius(&mut self, name: &str) -> Option<Celsius> {
        self.take(&[name], celsius)
    }

    pub(super) fn volts(&mut self, name: &str) -> Option<Volts> {
        self.take(&[name], volts)
    }

    pub(super) fn amperes(&mut self, name: &str) -> Option<Amperes> {
        self.take(&[name], amperes)
    }

    pub(super) fn time(&mut self, name: &str) -> Option<UnixTime> {
        self.take(&[name], time)
    }

    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.take(&[name], |value| Some(value.as_array()?.iter().filter_map(text).collect()))
    }

    pub(super) fn devices(&mut self, name: &str) -> Option<Vec<DeviceId>> {
        self.take(&[name], |value| {
            Some(value.as_array()?.iter().filter_map(Value::as_str).filter_map(DeviceId::new).collect())
        })
    }

    /// Reads a `{v,t}` pair or a bare value. −1 means a missing value and is removed.
    pub(super) fn reading<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<Reading<T>> {
        let (value, at) = match self.0.get(name)? {
            Value::Object(pair) if pair.contains_key("v") => (pair.get("v")?, pair.get("t").and_then(time)),
            bare => (bare, None),
        };
        if value.is_null() || number(value) == Some(-1.0) {
            self.0.remove(name);
            return None;
        }
        let value = read(value)?;
        self.0.remove(name);
        Some(Reading { value, at })
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Reads a finite number, or text that contains one. Booleans are not numbers.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    if let Some(exact) = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()) {
        return Some(exact);
    }
    // 2^53: a double represents every integer up to this one.
    let number = number(value).filter(|number| number.abs() <= 9_007_199_254_740_992.0)?;
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    let whole = number as i64;
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "exact below 2^53")]
    (whole as f64 == number).then_some(whole)
}

pub(super) fn count(value: &Value) -> Option<u64> {
    integer(value).and_then(|count| u64::try_from(count).ok())
}

pub(super) fn percent(value: &Value) -> Option<u8> {
    integer(value).and_then(|percent| u8::try_from(percent).ok()).filter(|percent| *percent <= 100)
}

pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        other => match integer(other)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

pub(super) fn celsius(value: &Value) -> Option<Celsius> {
    number(value).and_then(Celsius::from_degrees)
}

pub(super) fn humidity(value: &Value) -> Option<RelativeHumidity> {
    number(value).and_then(RelativeHumidity::from_percent)
}

pub(super) fn volts(value: &Value) -> Option<Volts> {
    number(value).and_then(Volts::from_volts)
}

pub(super) fn amperes(value: &Value) -> Option<Amperes> {
    number(value).and_then(Amperes::from_amperes)
}

/// Reads a fraction, or above 1 a percentage.
pub(super) fn duty(value: &Value) -> Option<DutyCycle> {
    let number = number(value)?;
    DutyCycle::from_fraction(if number > 1.0 { number / 100.0 } else { number })
}

/// Reads seconds or milliseconds, as a number or text, or an ISO 8601 instant.
pub(super) fn time(value: &Value) -> Option<UnixTime> {
    if let Some(number) = number(value) {
        #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
        return UnixTime::from_wire(integer(value).unwrap_or(number as i64));
    }
    super::calendar::from_iso(value.as_str()?)
}
