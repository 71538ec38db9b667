//! A reader for the JSON that thermostats write: borrowed, in one pass, without allocation.
//!
//! It differs from a strict reader where devices do: control characters may stand raw inside a string, an unknown
//! escape stands for the character behind the backslash, NUL bytes may follow the document, and the literals a C
//! library prints for floats that are no numbers (`nan`, `inf`) read as `null`. Work is linear in the length of the
//! input and nesting is bounded, so no input is expensive.

use core::fmt;

use crate::{JsonNumber, JsonStr};

/// Deepest nesting that is read. Devices nest three levels.
const MAX_DEPTH: u32 = 64;

/// One JSON value, borrowed from the text it was read from. Arrays and objects are kept as text and walked on demand.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the kinds of value JSON has")]
pub enum Json<'a> {
    /// `null`, or a float literal that is no number.
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

/// A well-formed JSON value kept as the text the device wrote.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct RawJson<'a>(&'a str);

impl<'a> RawJson<'a> {
    /// Reads a text that holds exactly one JSON value.
    ///
    /// # Errors
    ///
    /// Says where the text stops being JSON.
    pub fn new(text: &'a str) -> Result<Self, JsonError> {
        let mut reader = Reader::new(text);
        let value = reader.skip().and_then(|value| reader.end().map(|()| value));
        value.map_err(|Stop| reader.error())
    }

    /// The text, without surrounding white space. It is JSON, save that control characters may stand raw in strings.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The value itself.
    #[must_use]
    pub fn value(self) -> Json<'a> {
        Reader::new(self.0).value().unwrap_or(Json::Null)
    }

    /// The members of an object, in the order written; nothing for any other value. A key that occurs twice comes
    /// twice.
    #[must_use]
    pub const fn members(self) -> Members<'a> {
        Members { rest: Reader::new(self.0), started: false }
    }

    /// The elements of an array; nothing for any other value.
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
        write!(f, "RawJson({})", self.0.escape_debug())
    }
}

impl fmt::Display for RawJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The iterator of [`RawJson::members`].
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
        Some((key, self.rest.skip().ok()?))
    }
}

/// The iterator of [`RawJson::elements`].
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
        self.rest.skip().ok()
    }
}

/// Why a text is not JSON. Offsets are in bytes from its start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JsonError {
    /// The text ended where more had to follow.
    Truncated {
        /// Length of the text.
        at: usize,
        /// What was missing.
        expected: &'static str,
    },
    /// A character that cannot stand there.
    Syntax {
        /// Offset of the character.
        at: usize,
        /// What could have stood there.
        expected: &'static str,
    },
    /// Arrays and objects are nested deeper than is read.
    TooDeep {
        /// Offset of the bracket that is one too many.
        at: usize,
    },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at, expected } => write!(f, "cut off after {at} bytes, expected {expected}"),
            Self::Syntax { at, expected } => write!(f, "not JSON at byte {at}, expected {expected}"),
            Self::TooDeep { at } => write!(f, "nested deeper than {MAX_DEPTH} levels at byte {at}"),
        }
    }
}

impl core::error::Error for JsonError {}

/// A place in a JSON text. Every method that reads a value leaves the reader behind it.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// What is wrong at this place, once reading has stopped.
    fault: Fault,
}

/// Reading has stopped; [`Reader::error`] says why. An error that carries nothing lets values come in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Unexpected(&'static str),
    TooDeep,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, fault: Fault::Unexpected("") }
    }

    /// The next byte that is not white space, which stays unread.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// The place of the next value, for [`Reader::since`].
    pub(crate) fn place(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// The value that was read since `start`.
    pub(crate) fn since(&self, start: usize) -> RawJson<'a> {
        RawJson(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Checks that nothing follows but white space and the NUL some C code sends along.
    pub(crate) fn end(&mut self) -> Result<(), Stop> {
        while let Some(byte) = self.peek() {
            if byte != 0 {
                return Err(self.unexpected("the end"));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Stops at what stands at the reader's place.
    #[cold]
    pub(crate) fn unexpected(&mut self, expected: &'static str) -> Stop {
        self.fault = Fault::Unexpected(expected);
        Stop
    }

    /// Why reading has stopped.
    #[cold]
    pub(crate) fn error(&self) -> JsonError {
        let at = self.at.min(self.text.len());
        match self.fault {
            Fault::TooDeep => JsonError::TooDeep { at },
            Fault::Unexpected(expected) if at == self.text.len() => JsonError::Truncated { at, expected },
            Fault::Unexpected(expected) => JsonError::Syntax { at, expected },
        }
    }

    /// Walks an object. `each` must read the value of its key, or return an error. Any other value is skipped, and
    /// the result is `false`.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), Stop>,
    ) -> Result<bool, Stop> {
        if self.peek() != Some(b'{') {
            self.skip()?;
            return Ok(false);
        }
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(true);
        }
        loop {
            let key = self.key()?;
            if let Some(key) = key.as_plain() {
                each(self, key)?;
            } else {
                let mut buffer = [0; 32];
                each(self, key.decode_into(&mut buffer).unwrap_or_else(|| key.as_raw()))?;
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(true);
                }
                _ => return Err(self.unexpected("',' or '}'")),
            }
        }
    }

    /// Steps over a bracket or comma: `true` if a member or element follows.
    #[inline]
    fn advance(&mut self, open: u8, close: u8, started: &mut bool) -> Result<bool, Stop> {
        let first = !*started;
        *started = true;
        if first {
            if self.peek() != Some(open) {
                return Err(self.unexpected("an object or array"));
            }
            self.at += 1;
            if self.peek() == Some(close) {
                self.at += 1;
                return Ok(false);
            }
            return Ok(true);
        }
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.unexpected(if close == b'}' { "',' or '}'" } else { "',' or ']'" })),
        }
    }

    /// Reads a key and its colon.
    #[inline]
    fn key(&mut self) -> Result<JsonStr<'a>, Stop> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key"));
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.unexpected("':'"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Reads the string whose opening quote is next.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<JsonStr<'a>, Stop> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                // Whatever follows the backslash belongs to the string, a quote above all.
                Some(b'\\') => (at, escaped) = (at + 2, true),
                Some(_) => at += 1,
                None => {
                    self.at = bytes.len();
                    return Err(self.unexpected("the rest of a string"));
                }
            }
        }
        self.at = at + 1;
        Ok(JsonStr::from_raw(self.text.get(start..at).unwrap_or_default(), escaped))
    }

    /// Reads the number whose first byte is next; `None` for `-inf` and its like.
    #[inline(always)]
    pub(crate) fn number(&mut self) -> Result<Option<JsonNumber<'a>>, Stop> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match JsonNumber::read(rest) {
            Ok((number, used)) => {
                self.at += used;
                Ok(Some(number))
            }
            Err(_) if rest.starts_with('-') && self.not_a_number(1) => Ok(None),
            Err(used) => {
                self.at += used;
                Err(self.unexpected("a digit"))
            }
        }
    }

    /// Reads any value; arrays and objects are stepped over.
    pub(crate) fn value(&mut self) -> Result<Json<'a>, Stop> {
        Ok(match self.peek() {
            Some(b'"') => Json::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?.map_or(Json::Null, Json::Number),
            Some(b'{') => Json::Object(self.nested()?),
            Some(b'[') => Json::Array(self.nested()?),
            _ => self.literal()?,
        })
    }

    /// Steps over any value.
    pub(crate) fn skip(&mut self) -> Result<RawJson<'a>, Stop> {
        self.peek();
        let start = self.at;
        self.value()?;
        Ok(RawJson(self.text.get(start..self.at).unwrap_or_default()))
    }

    fn literal(&mut self) -> Result<Json<'a>, Stop> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
            if !rest.is_empty() && word.starts_with(rest) {
                self.at = self.text.len();
                return Err(self.unexpected("the rest of a literal"));
            }
        }
        if self.not_a_number(0) { Ok(Json::Null) } else { Err(self.unexpected("a value")) }
    }

    /// Steps over the literals that C and JavaScript print for a float that is no number.
    fn not_a_number(&mut self, sign: usize) -> bool {
        let rest = self.text.get(self.at + sign..).unwrap_or_default();
        for word in ["nan", "NaN", "NAN", "infinity", "Infinity", "inf", "Inf", "INF"] {
            if rest.starts_with(word) {
                self.at += sign + word.len();
                return true;
            }
        }
        false
    }

    /// Steps over an array or object without recursion. One bit for each level remembers which of the two it is.
    fn nested(&mut self) -> Result<RawJson<'a>, Stop> {
        let start = self.at;
        let (mut objects, mut depth) = (0_u64, 0_u32);
        loop {
            // A value is due.
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        self.fault = Fault::TooDeep;
                        return Err(Stop);
                    }
                    let object = open == b'{';
                    (objects, depth) = (objects << 1 | u64::from(object), depth + 1);
                    self.at += 1;
                    if self.peek() == Some(if object { b'}' } else { b']' }) {
                        (objects, depth) = (objects >> 1, depth - 1);
                        self.at += 1;
                    } else {
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                }
                _ => {
                    self.literal()?;
                }
            }
            // A value has ended: close what it ends.
            loop {
                if depth == 0 {
                    return Ok(RawJson(self.text.get(start..self.at).unwrap_or_default()));
                }
                let object = objects & 1 == 1;
                match (self.peek(), object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        (objects, depth) = (objects >> 1, depth - 1);
                        self.at += 1;
                    }
                    (_, true) => return Err(self.unexpected("',' or '}'")),
                    (_, false) => return Err(self.unexpected("',' or ']'")),
                }
            }
        }
    }
}

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
