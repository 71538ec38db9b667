//! Strings as MQTT defines them (1.5.3).

use core::fmt;

/// Reason why a string is invalid in its place in a packet.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum InvalidText {
    /// Ill-formed UTF-8, including surrogates.
    NotUtf8,
    /// It contains U+0000.
    Nul,
    /// A topic or filter of no bytes.
    Empty,
    /// More than 65 535 bytes.
    TooLong,
    /// A topic name contains `+` or `#`.
    Wildcard,
    /// `#` in a filter is not alone in its level or not last.
    MisplacedHash,
    /// `+` in a filter is not alone in its level.
    MisplacedPlus,
}

impl InvalidText {
    /// Mark of the normative statement that is broken.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::NotUtf8 => "MQTT-1.5.3-1",
            Self::Nul => "MQTT-1.5.3-2",
            Self::Empty => "MQTT-4.7.3-1",
            Self::TooLong => "MQTT-4.7.3-3",
            Self::Wildcard => "MQTT-3.3.2-2",
            Self::MisplacedHash => "MQTT-4.7.1-2",
            Self::MisplacedPlus => "MQTT-4.7.1-3",
        }
    }
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::NotUtf8 => "ill-formed utf-8",
            Self::Nul => "string contains U+0000",
            Self::Empty => "empty topic or filter",
            Self::TooLong => "string longer than 65535 bytes",
            Self::Wildcard => "topic name contains a wildcard",
            Self::MisplacedHash => "# is not alone in the last level",
            Self::MisplacedPlus => "+ is not alone in its level",
        };
        write!(f, "{what} [{}]", self.rule())
    }
}

impl core::error::Error for InvalidText {}

/// String of a packet (1.5.3), such as a user name: at most 65 535 bytes, without U+0000.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// Checks a string.
    ///
    /// # Errors
    /// The rule that the string breaks.
    pub fn new(text: &'a str) -> Result<Self, InvalidText> {
        if text.len() > MAX_TEXT {
            return Err(InvalidText::TooLong);
        }
        if text.as_bytes().contains(&0) {
            return Err(InvalidText::Nul);
        }
        Ok(Self(text))
    }

    pub(crate) fn from_wire(bytes: &'a [u8]) -> Result<Self, InvalidText> {
        Self::new(core::str::from_utf8(bytes).map_err(|_| InvalidText::NotUtf8)?)
    }

    /// The string itself.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl<'a> TryFrom<&'a str> for Text<'a> {
    type Error = InvalidText;

    fn try_from(text: &'a str) -> Result<Self, InvalidText> {
        Self::new(text)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Name that a client connects under: 0 to 65 535 bytes without U+0000.
///
/// An empty client id asks the server to assign one and requires a clean session \[MQTT-3.1.3-7\].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId<'a>(Text<'a>);

impl<'a> ClientId<'a> {
    /// Checks a client id.
    ///
    /// # Errors
    /// The rule that the string breaks.
    pub fn new(id: &'a str) -> Result<Self, InvalidText> {
        Text::new(id).map(Self)
    }

    pub(crate) fn from_wire(bytes: &'a [u8]) -> Result<Self, InvalidText> {
        Text::from_wire(bytes).map(Self)
    }

    /// The id itself.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0.as_str()
    }
}

impl<'a> TryFrom<&'a str> for ClientId<'a> {
    type Error = InvalidText;

    fn try_from(text: &'a str) -> Result<Self, InvalidText> {
        Self::new(text)
    }
}

impl fmt::Display for ClientId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Longest string that a two-byte length can express.
pub(crate) const MAX_TEXT: usize = 65_535;

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_string_is_refused_only_for_nul_and_length() {
        assert_eq!(Text::new("a\0"), Err(InvalidText::Nul));
        let long = std::vec![b'a'; MAX_TEXT + 1];
        assert_eq!(Text::from_wire(&long), Err(InvalidText::TooLong));
        assert!(Text::from_wire(&long[1..]).is_ok());
        assert_eq!(Text::from_wire(&[0xed, 0xa0, 0x80]), Err(InvalidText::NotUtf8), "a surrogate");
        assert_eq!(ClientId::new("").map(ClientId::as_str), Ok(""));
    }
}
