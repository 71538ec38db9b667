use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::{self, Write as _};

use crate::json::work;

/// JSON string as the device wrote it: borrowed, with its escapes unresolved.
///
/// Comparison, `Display` and [`JsonStr::chars`] resolve escapes. [`JsonStr::as_plain`] returns a string without
/// escapes, as most are, without a copy.
#[derive(Clone, Copy)]
pub struct JsonStr<'a> {
    /// UTF-8. Kept as bytes so that comparisons do not have to validate it again.
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> JsonStr<'a> {
    /// `raw` is the text between the quotes and must be UTF-8.
    pub(crate) const fn from_raw(raw: &'a [u8], escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The string, or `None` if it contains an escape.
    #[must_use]
    #[inline]
    pub fn as_plain(self) -> Option<&'a str> {
        if self.escaped { None } else { Some(self.as_raw()) }
    }

    /// Text between the quotes, including escapes and raw control characters.
    #[must_use]
    pub fn as_raw(self) -> &'a str {
        as_text(self.raw)
    }

    /// Bytes of the string, or `None` if it contains an escape.
    #[inline]
    pub(crate) const fn plain_bytes(self) -> Option<&'a [u8]> {
        if self.escaped { None } else { Some(self.raw) }
    }

    /// Bytes between the quotes, including escapes.
    pub(crate) const fn raw_bytes(self) -> &'a [u8] {
        self.raw
    }

    /// True if the string is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// Characters with escapes resolved. Half a surrogate pair and a malformed `\u` become U+FFFD; any other unknown
    /// escape becomes the character after the backslash.
    #[must_use]
    pub fn chars(self) -> Chars<'a> {
        Chars { rest: self.as_raw().chars(), escaped: self.escaped }
    }

    /// String with escapes resolved. Allocates only if there are any.
    #[must_use]
    pub fn to_cow(self) -> Cow<'a, str> {
        match self.as_plain() {
            Some(plain) => Cow::Borrowed(plain),
            None => Cow::Owned(self.chars().collect::<String>()),
        }
    }
}

/// True if the bytes are UTF-8.
pub(crate) fn is_utf8(bytes: &[u8]) -> bool {
    work::count(bytes.len());
    core::str::from_utf8(bytes).is_ok()
}

/// Text of bytes that were validated as UTF-8 when they were read.
pub(crate) fn as_text(bytes: &[u8]) -> &str {
    work::count(bytes.len());
    core::str::from_utf8(bytes).unwrap_or_default()
}

impl PartialEq for JsonStr<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.chars().eq(other.chars())
    }
}

impl Eq for JsonStr<'_> {}

impl PartialEq<str> for JsonStr<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_plain().map_or_else(|| self.chars().eq(other.chars()), |plain| plain == other)
    }
}

impl PartialEq<&str> for JsonStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Debug for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.chars() {
            write!(f, "{}", character.escape_debug())?;
        }
        f.write_char('"')
    }
}

impl fmt::Display for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_plain() {
            Some(plain) => f.pad(plain),
            None => self.chars().try_for_each(|character| f.write_char(character)),
        }
    }
}

/// Iterator of [`JsonStr::chars`].
#[derive(Clone, Debug)]
pub struct Chars<'a> {
    rest: core::str::Chars<'a>,
    escaped: bool,
}

impl Chars<'_> {
    /// Reads four hex digits. Consumes nothing if there are fewer.
    fn hex(&mut self) -> Option<u32> {
        let mut after = self.rest.clone();
        let mut value = 0;
        for _ in 0..4 {
            value = value << 4 | after.next()?.to_digit(16)?;
        }
        self.rest = after;
        Some(value)
    }

    fn unicode(&mut self) -> char {
        let Some(first) = self.hex() else { return char::REPLACEMENT_CHARACTER };
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        let mut after = self.clone();
        if (after.rest.next(), after.rest.next()) == (Some('\\'), Some('u'))
            && let Some(second @ 0xDC00..0xE000) = after.hex()
        {
            *self = after;
            let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        char::REPLACEMENT_CHARACTER
    }
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        work::count(1);
        let character = self.rest.next()?;
        if character != '\\' || !self.escaped {
            return Some(character);
        }
        Some(match self.rest.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.unicode(),
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn escapes_are_resolved_and_invalid_ones_tolerated() {
        for (raw, expected) in [
            (r"plain", "plain"),
            (r#"a\"b\\c\/d"#, "a\"b\\c/d"),
            (r"\b\f\n\r\t", "\u{8}\u{c}\n\r\t"),
            (r"\u00e9\ud83d\ude00", "é😀"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ude00", "\u{fffd}"),
            (r"\u12", "\u{fffd}12"),
            (r"C:\x", "C:x"),
        ] {
            let text = JsonStr::from_raw(raw.as_bytes(), raw.contains('\\'));
            assert_eq!(text.to_string(), expected, "{raw}");
            assert_eq!(text, expected, "{raw}");
            assert_eq!(text.to_cow(), expected, "{raw}");
        }
    }
}
