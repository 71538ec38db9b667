//! Reader for the JSON that thermostats write: borrowing, in one pass, without allocation.
//!
//! It is more lenient than a strict reader where devices deviate: raw control characters are allowed in strings, an
//! unknown escape reads as the character after the backslash, NUL bytes may follow the document, and the literals that
//! a C library prints for floats that are not numbers (`nan`, `inf`) read as `null`. Work is linear in the length of
//! the input, and nesting is bounded.

pub(crate) mod field;
pub(crate) mod key;
mod number;
mod plain_number;
pub(crate) mod reader;
mod string;
pub(crate) mod work;
pub(crate) mod writer;

pub use number::JsonNumber;
pub use string::{Chars, JsonStr};

use core::fmt;

use crate::json::reader::{Reader, Stop};
use crate::json::string::as_text;

/// Largest nesting depth that is accepted. Devices nest three levels.
pub(crate) const MAX_DEPTH: u32 = 64;

/// JSON value, borrowed from the text it was read from. Arrays and objects are kept as text and walked on demand.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the kinds of value JSON has")]
pub enum Json<'a> {
    /// `null`, or a literal such as `nan`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(JsonNumber<'a>),
    /// A string.
    String(JsonStr<'a>),
    /// An array; see [`RawJson::elements`].
    Array(RawJson<'a>),
    /// An object; see [`RawJson::members`].
    Object(RawJson<'a>),
}

/// Well-formed JSON value, kept as the text that the device wrote.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct RawJson<'a>(
    /// UTF-8.
    pub(crate) &'a [u8],
);

impl<'a> RawJson<'a> {
    /// Parses a text that contains exactly one JSON value.
    ///
    /// # Errors
    ///
    /// The offset at which the text stops being JSON.
    pub fn new(text: &'a str) -> Result<Self, JsonError> {
        let mut reader = Reader::new(text.as_bytes());
        let value = reader.skip_value().and_then(|value| reader.end().map(|()| value));
        value.map_err(|Stop| reader.error())
    }

    /// Text of the value, without surrounding white space. It is JSON, except that strings may contain raw control
    /// characters.
    ///
    /// Each call validates UTF-8 again, because the crate has no unsafe code.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        as_text(self.0)
    }

    /// Parsed value.
    #[must_use]
    pub fn value(self) -> Json<'a> {
        Reader::new(self.0).value().unwrap_or(Json::Null)
    }

    /// Members of an object, in the order written. Empty for any other value. A repeated key is returned each time.
    #[must_use]
    pub const fn members(self) -> Members<'a> {
        Members { rest: Reader::new(self.0), started: false }
    }

    /// Elements of an array. Empty for any other value.
    #[must_use]
    pub const fn elements(self) -> Elements<'a> {
        Elements { rest: Reader::new(self.0), started: false }
    }

    pub(crate) const fn reader(self) -> Reader<'a> {
        Reader::new(self.0)
    }
}

impl fmt::Debug for RawJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawJson({})", self.as_str().escape_debug())
    }
}

impl fmt::Display for RawJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Iterator of [`RawJson::members`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    rest: Reader<'a>,
    started: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = (JsonStr<'a>, RawJson<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if !self.rest.advance(b'{', b'}', &mut self.started).ok()? {
            return None;
        }
        let key = self.rest.key().ok()?;
        Some((key, self.rest.skip_value().ok()?))
    }
}

/// Iterator of [`RawJson::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: Reader<'a>,
    started: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = RawJson<'a>;

    fn next(&mut self) -> Option<RawJson<'a>> {
        if !self.rest.advance(b'[', b']', &mut self.started).ok()? {
            return None;
        }
        self.rest.skip_value().ok()
    }
}

/// Syntax error in a JSON text. Offsets are in bytes from its start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JsonError {
    /// The text ends too early.
    Truncated {
        /// Length of the text.
        at: usize,
        /// Description of what is missing.
        expected: &'static str,
    },
    /// A character is not valid at its offset.
    Syntax {
        /// Offset of the character.
        at: usize,
        /// Description of what is valid there.
        expected: &'static str,
    },
    /// Arrays and objects are nested too deeply.
    TooDeep {
        /// Offset of the first bracket beyond the limit.
        at: usize,
    },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at, expected } => write!(f, "truncated after {at} bytes: expected {expected}"),
            Self::Syntax { at, expected } => write!(f, "not JSON at byte {at}: expected {expected}"),
            Self::TooDeep { at } => write!(f, "nested more than {MAX_DEPTH} levels deep at byte {at}"),
        }
    }
}

impl core::error::Error for JsonError {}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn members_and_elements_are_walked_in_order() {
        let json = RawJson::new(r#" {"a": [1, "x", {}], "b": {"c": null} , "a": true} "#).unwrap();
        let keys: Vec<_> = json.members().map(|(key, _)| key.as_raw()).collect();
        assert_eq!(keys, ["a", "b", "a"]);
        let (_, list) = json.members().next().unwrap();
        let texts: Vec<_> = list.elements().map(RawJson::as_str).collect();
        assert_eq!(texts, ["1", "\"x\"", "{}"]);
        assert_eq!(list.members().count(), 0);
    }

    #[test]
    fn every_proper_prefix_of_a_document_is_truncated() {
        let text = r#"{"a":[1,-2.5e3,true,null,"x\"y"],"b":{"c":false}}"#;
        assert!(RawJson::new(text).is_ok());
        for cut in 0..text.len() {
            let error = RawJson::new(&text[..cut]).unwrap_err();
            assert!(matches!(error, JsonError::Truncated { at, .. } if at == cut), "{cut}: {error:?}");
        }
    }

    #[test]
    fn errors_point_at_the_offending_byte() {
        for (text, at) in
            [("{\"a\" 1}", 5), ("{a:1}", 1), ("[1 2]", 3), ("[1,]", 3), ("{} x", 3), ("tru!", 0), ("[1}", 2)]
        {
            assert!(
                matches!(RawJson::new(text), Err(JsonError::Syntax { at: found, .. }) if found == at),
                "{text}: {:?}",
                RawJson::new(text)
            );
        }
    }

    #[test]
    fn nesting_is_bounded_not_recursive() {
        let nested = |levels: usize| {
            let mut text: String = core::iter::repeat_n('[', levels).collect();
            text.extend(core::iter::repeat_n(']', levels));
            text
        };
        assert!(RawJson::new(&nested(64)).is_ok());
        assert_eq!(RawJson::new(&nested(65)), Err(JsonError::TooDeep { at: 64 }));
        assert_eq!(RawJson::new(&nested(1_000_000)), Err(JsonError::TooDeep { at: 64 }));
    }

    #[test]
    fn literals_of_floats_that_are_no_numbers_read_as_null() {
        for text in ["NaN", "nan", "-nan", "inf", "-inf", "Infinity", "-Infinity"] {
            assert_eq!(RawJson::new(text).unwrap().value(), Json::Null, "{text}");
        }
    }
}
