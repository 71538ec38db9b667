//! Ordered named values, printed as JSON for programs and as lines for people.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;

use mysa_proto::{Json, RawJson};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::number::round;

/// A value of a [`Record`].
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the kinds of values of JSON")]
pub enum Value {
    /// JSON's `null`, and `-` in lines.
    Null,
    /// A truth value, `yes` or `no` in lines.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Number(f64),
    /// Text.
    Text(String),
    /// Named values.
    Record(Record),
    /// Values in order.
    List(Vec<Self>),
}

/// Named values in reading order. A name ends in its unit, as in `temperature_c`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(Vec<(String, Value)>);

impl Record {
    /// Creates a record without values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value. If the name exists already, the record has both.
    pub fn put(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a value if there is one.
    pub fn put_some<T: Into<Value>>(&mut self, name: &str, value: Option<T>) -> &mut Self {
        if let Some(value) = value {
            self.put(name, value);
        }
        self
    }

    /// Returns `true` if the record has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names and values in their order.
    pub fn into_fields(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter()
    }

    /// Borrows the names and values in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns one line of JSON, in which every character that could act on a terminal is escaped.
    #[must_use]
    pub fn to_json(&self) -> String {
        escape_json(&serde_json::to_string(self).unwrap_or_default())
    }

    /// Returns indented lines for people, with units after the numbers.
    #[must_use]
    pub fn to_text(&self, indent: usize) -> String {
        let mut out = String::new();
        self.write_text(indent, &mut out);
        out
    }

    fn write_text(&self, indent: usize, out: &mut String) {
        let width = self.0.iter().map(|(name, _)| label_and_unit(name).0.len()).max().unwrap_or(0);
        for (name, value) in &self.0 {
            let (name, unit) = label_and_unit(name);
            let _ = match value {
                Value::Record(record) => {
                    let _ = writeln!(out, "{:indent$}{name}", "");
                    record.write_text(indent + 2, out);
                    continue;
                }
                Value::List(list) if list.iter().any(|item| matches!(item, Value::Record(_))) => {
                    for (number, item) in list.iter().enumerate() {
                        let _ = writeln!(out, "{:indent$}{name} {}", "", number + 1);
                        match item {
                            Value::Record(record) => record.write_text(indent + 2, out),
                            other => drop(writeln!(out, "{:1$}{2}", "", indent + 2, other.to_text())),
                        }
                    }
                    continue;
                }
                Value::Null => writeln!(out, "{:indent$}{name:width$}  -", ""),
                value => writeln!(out, "{:indent$}{name:width$}  {}{unit}", "", value.to_text()),
            };
        }
    }
}

impl Value {
    /// Converts JSON of a device without loss, so that unknown fields are shown as well.
    #[must_use]
    pub fn from_raw(raw: RawJson<'_>) -> Self {
        match raw.value() {
            Json::Null => Self::Null,
            Json::Bool(bool) => Self::Bool(bool),
            Json::Number(number) => match (number.to_i64(), number.to_f64()) {
                (Some(whole), _) if !number.as_str().contains(['.', 'e', 'E']) => Self::Int(whole),
                (_, Some(number)) if number.is_finite() && number.abs() < 9e15 => Self::Number(number),
                _ => Self::Text(number.as_str().to_owned()),
            },
            Json::String(text) => Self::Text(text.to_string()),
            Json::Array(array) => Self::List(array.elements().map(Self::from_raw).collect()),
            Json::Object(object) => Self::Record(Record(
                object.members().map(|(name, value)| (name.to_string(), Self::from_raw(value))).collect(),
            )),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Null => "-".into(),
            Self::Bool(bool) => if *bool { "yes" } else { "no" }.into(),
            Self::Int(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => printable(text),
            Self::List(list) => list.iter().map(Self::to_text).collect::<Vec<_>>().join(", "),
            Self::Record(record) => record.to_json(),
        }
    }
}

/// Escapes every character of an external text that could act on a terminal or reorder a line. The result is one line.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Escapes the same characters in a text that is JSON already. They occur only inside its strings, apart from the line
/// breaks of indented JSON, which are kept.
#[must_use]
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Returns `true` if a character controls the terminal, changes the direction of the text around it, or is invisible.
/// The joiners U+200C and U+200D are kept, because scripts and emoji need them.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Splits `temperature_c` into `temperature` and ` °C`.
fn label_and_unit(name: &str) -> (String, &'static str) {
    const UNITS: [(&str, &str); 12] = [
        ("_c", " °C"),
        ("_pct", " %"),
        ("_w", " W"),
        ("_kwh", " kWh"),
        ("_a", " A"),
        ("_ma", " mA"),
        ("_v", " V"),
        ("_mv", " mV"),
        ("_dbm", " dBm"),
        ("_ms", " ms"),
        ("_s", " s"),
        ("_bytes", " bytes"),
    ];
    let unit = UNITS.iter().find(|(ending, _)| name.ends_with(ending));
    let (stem, unit) = unit.map_or((name, ""), |(ending, unit)| (&name[..name.len() - ending.len()], *unit));
    // The name of an unknown field comes from a payload.
    (printable(&stem.replace('_', " ")), unit)
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(bool) => serializer.serialize_bool(*bool),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Record(record) => record.serialize(serializer),
            Self::List(list) => {
                let mut sequence = serializer.serialize_seq(Some(list.len()))?;
                for item in list {
                    sequence.serialize_element(item)?;
                }
                sequence.end()
            }
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
from!(bool => Bool, i64 => Int, i32 => Int, u32 => Int, u16 => Int, u8 => Int, &str => Text, String => Text,
      Record => Record, Vec<Value> => List);

/// Drops the digits beyond a billionth, which come from arithmetic and not from a measurement, and the sign of a zero.
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        const BILLION: f64 = 1e9;
        // Beyond, the product would not be exact.
        let is_small = value.abs() < 1e6;
        let value = if is_small { round(value * BILLION) / BILLION } else { value };
        Self::Number(value + 0.0)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn people_read_units_where_programs_read_names() {
        let mut record = Record::new();
        record.put("temperature_c", 20.5).put("mode", "heat").put("power_w", None::<f64>);
        assert_eq!(record.to_json(), r#"{"temperature_c":20.5,"mode":"heat","power_w":null}"#);
        let text = record.to_text(2);
        assert!(
            text.contains("  temperature  20.5 °C\n")
                && text.contains("  mode         heat\n")
                && text.contains("  power        -\n"),
            "{text}"
        );
    }

    #[test]
    fn numbers_have_no_digits_of_floating_point_and_zero_has_no_sign() {
        let json = |value: f64| {
            let mut record = Record::new();
            record.put("x", value);
            record.to_json()
        };
        for (value, text) in [
            (-0.0, "0.0"),
            (-1e-12, "0.0"),
            (0.5 * 0.15, "0.075"),
            (0.1 + 0.2, "0.3"),
            (0.075_000_000_000_000_01, "0.075"),
            (-2.5, "-2.5"),
            (1_767_323_045.678, "1767323045.678"),
        ] {
            assert_eq!(json(value), format!("{{\"x\":{text}}}"));
        }
    }

    #[test]
    fn unknown_json_is_kept() {
        let raw = RawJson::new(r#"{"b":[1,2.5,{"x":null}],"a":12345678901234567890,"t":"é"}"#).unwrap();
        let Value::Record(record) = Value::from_raw(raw) else { panic!("an object") };
        assert_eq!(record.to_json(), r#"{"b":[1,2.5,{"x":null}],"a":"12345678901234567890","t":"é"}"#);
    }

    #[test]
    fn a_message_cannot_control_the_terminal() {
        let mut record = Record::new();
        record.put("message", "\u{1b}[2Jgone\u{9b}1m").put("\u{1b}[2Jname", 1);
        assert!(!record.to_text(0).contains(['\u{1b}', '\u{9b}']));
    }

    #[test]
    fn json_holds_no_raw_character_that_acts_on_a_terminal() {
        let name =
            "a\u{1b}[2J\u{7}\u{9b}1m\u{7f}\u{202e}\u{2028}\u{e0041}\u{feff} \u{1f468}\u{200d}\u{1f469} é";
        let mut record = Record::new();
        record.put("name", name);
        let json = record.to_json();
        let raw = ['\u{1b}', '\u{7}', '\u{9b}', '\u{7f}', '\u{202e}', '\u{2028}', '\u{e0041}', '\u{feff}'];
        assert!(!json.contains(raw), "{json}");
        assert!(json.contains("é") && json.contains('\u{200d}'), "{json}");
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["name"], name);
        assert!(!printable(name).contains(raw));
        assert_eq!(escape_json("{\n  \"a\": 1\n}"), "{\n  \"a\": 1\n}");
    }
}
