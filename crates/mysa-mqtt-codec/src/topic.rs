//! Topic names, checked 16 bytes at a time.

use core::fmt;

use ascii::AsAsciiStr as _;

use crate::text::{InvalidText, MAX_TEXT};

/// Topic name: 1 to 65 535 bytes of UTF-8 without U+0000, `+` and `#`. Checked when it is constructed.
///
/// Compared byte for byte \[MQTT-4.7.3-4\].
///
/// ```
/// use mysa_mqtt_codec::{InvalidText, Topic};
///
/// let topic = Topic::new("/v1/dev/a0b1c2d3e4f5/out")?;
/// assert_eq!(topic, *"/v1/dev/a0b1c2d3e4f5/out");
/// assert_eq!(Topic::new("/v1/dev/+/out"), Err(InvalidText::Wildcard));
/// # Ok::<(), InvalidText>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Topic<'a>(&'a str);

impl<'a> Topic<'a> {
    /// Placeholder; no topic is empty.
    pub(crate) const EMPTY: Self = Self("");

    /// Checks a topic name.
    ///
    /// # Errors
    /// The rule that the name breaks.
    pub fn new(name: &'a str) -> Result<Self, InvalidText> {
        if name.len() > MAX_TEXT {
            return Err(InvalidText::TooLong);
        }
        if is_plain(name.as_bytes()) { Ok(Self(name)) } else { check(name) }
    }

    /// Checks a topic name given as bytes.
    ///
    /// # Errors
    /// The rule that the name breaks.
    #[inline]
    pub fn from_bytes(name: &'a [u8]) -> Result<Self, InvalidText> {
        if name.len() > MAX_TEXT {
            return Err(InvalidText::TooLong);
        }
        match name.as_ascii_str() {
            Ok(name) => Self::new(name.as_str()),
            Err(_) => check_utf8(name),
        }
    }

    /// Fast path: `None` if the name needs the full check.
    #[inline(always)]
    pub(crate) fn from_wire_fast(name: &'a [u8]) -> Option<Self> {
        let name = name.as_ascii_str().ok()?.as_str();
        is_plain(name.as_bytes()).then_some(Self(name))
    }

    /// Fast path for a name of the usual length: `None` if it needs another check.
    #[inline(always)]
    pub(crate) fn from_usual(name: &'a [u8; USUAL_LEN]) -> Option<Self> {
        match name.as_ascii_str() {
            Ok(text) if are_above_plus(name) => Some(Self(text.as_str())),
            _ => None,
        }
    }

    /// The bytes of the name.
    #[must_use]
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// The name as a string.
    #[must_use]
    #[inline]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl PartialEq<str> for Topic<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl<'a> TryFrom<&'a str> for Topic<'a> {
    type Error = InvalidText;

    fn try_from(name: &'a str) -> Result<Self, InvalidText> {
        Self::new(name)
    }
}

/// Length of the topics on which thermostats publish: `/v1/dev/a0b1c2d3e4f5/out`. A constant length saves the comparisons with
/// it, so that both checks are three words each.
pub(crate) const USUAL_LEN: usize = 24;

/// True only if every byte of an ASCII name is above `+`, and so none is NUL, `#` or `+`. False for `$` and some others too.
#[inline(always)]
fn are_above_plus(name: &[u8; USUAL_LEN]) -> bool {
    let mut differences = 0;
    for word in name.as_chunks().0 {
        // The highest bit of a byte is set if it is lower than `,`; the lowest such byte of a word receives no borrow.
        differences |= u64::from_le_bytes(*word).wrapping_sub(u64::from_le_bytes([b','; 8]));
    }
    differences & u64::from_le_bytes([0x80; 8]) == 0
}

/// True if the name is not empty and every byte is ASCII other than NUL, `+` and `#`. False means that the full check
/// must decide.
#[inline(always)]
fn is_plain(name: &[u8]) -> bool {
    // First and last 16 bytes overlap or meet, which covers the usual lengths without a loop.
    match (name.first_chunk(), name.last_chunk()) {
        (Some(front), Some(back)) if name.len() <= 32 => are_plain(front, back),
        _ => is_plain_of_any_length(name),
    }
}

#[inline(never)]
fn is_plain_of_any_length(name: &[u8]) -> bool {
    match name.last_chunk() {
        Some(back) => name.as_chunks().0.iter().all(|block| are_plain(block, back)),
        None => is_plain_bytewise(name),
    }
}

/// A loop of fixed length without early exit compiles to a few vector instructions. It is not an iterator, because those are
/// functions, which not every build inlines; then it takes six times as many instructions.
#[inline(always)]
fn are_plain(front: &[u8; 16], back: &[u8; 16]) -> bool {
    let (mut suspicious, mut at) = (false, 0);
    while at < 16 {
        suspicious |= needs_check(front[at]) | needs_check(back[at]);
        at += 1;
    }
    !suspicious
}

/// `#` is 0x23 and `+` is 0x2b: with bit 3 set both are 0x2b, and no other byte is.
#[inline(always)]
const fn needs_check(byte: u8) -> bool {
    (byte == 0) | (byte | 8 == b'+')
}

fn is_plain_bytewise(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|&byte| needs_check(byte))
}

/// The full check, for names that are not plain.
#[cold]
fn check(name: &str) -> Result<Topic<'_>, InvalidText> {
    if name.is_empty() {
        return Err(InvalidText::Empty);
    }
    match name.bytes().find(|byte| matches!(byte, 0 | b'+' | b'#')) {
        None => Ok(Topic(name)),
        Some(0) => Err(InvalidText::Nul),
        Some(_) => Err(InvalidText::Wildcard),
    }
}

/// The full check, for names that are not ASCII.
#[cold]
fn check_utf8(name: &[u8]) -> Result<Topic<'_>, InvalidText> {
    check(core::str::from_utf8(name).map_err(|_| InvalidText::NotUtf8)?)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn every_byte_value_at_every_position_agrees_with_a_bytewise_check() {
        for length in 1..=41 {
            for position in 0..length {
                for byte in 0..=255 {
                    let mut name = std::vec![b'a'; length];
                    name[position] = byte;
                    let expected = match byte {
                        0 => Err(InvalidText::Nul),
                        b'+' | b'#' => Err(InvalidText::Wildcard),
                        128.. => Err(InvalidText::NotUtf8),
                        _ => Ok(Topic(core::str::from_utf8(&name).unwrap())),
                    };
                    assert_eq!(Topic::from_bytes(&name), expected, "{byte} at {position} of {length}");
                    if let Ok(name) = name[..].try_into()
                        && let Some(topic) = Topic::from_usual(name)
                    {
                        assert_eq!(Ok(topic), expected, "{byte} at {position} of the usual length");
                    }
                }
            }
        }
    }

    #[test]
    fn characters_that_only_look_like_wildcards_pass_and_a_byte_order_mark_is_kept() {
        assert_eq!(Topic::new("\u{122b}").map(Topic::as_str), Ok("\u{122b}"));
        assert_eq!(Topic::new("\u{feff}a").map(|topic| topic.as_bytes().len()), Ok(4));
        assert_ne!(Topic::new("\u{e9}"), Topic::new("e\u{301}"), "topics are not normalised");
        assert_eq!(
            Topic::new("a\n\u{7f}").map(Topic::as_str),
            Ok("a\n\u{7f}"),
            "control characters are allowed"
        );
    }

    #[test]
    fn the_longest_topic_fits_and_one_more_byte_does_not() {
        let name = "t".repeat(MAX_TEXT + 1);
        assert!(Topic::new(&name[1..]).is_ok());
        assert_eq!(Topic::new(&name), Err(InvalidText::TooLong));
        assert_eq!(Topic::new(""), Err(InvalidText::Empty));
    }
}
