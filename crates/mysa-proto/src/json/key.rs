//! Keys of members, compared in registers.

use crate::json::reader::{HIGH, zeros};
use crate::json::work;

/// Key of a member: its bytes and the quote that ends it, so that a short key is one word.
///
/// The words of two keys are equal only if the keys are equal: no key that devices use contains a quote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Key {
    first: u64,
    /// Zero if the quote is in the first word.
    second: u64,
}

impl Key {
    /// Key that is equal to no known key.
    const UNKNOWN: Self = Self { first: 0, second: 0 };

    /// Known key. Does not compile if it is too long to be read.
    pub(crate) const fn new(key: &str) -> Self {
        assert!(key.len() < 16, "a key and its quote fit two words");
        Self::pack(key.as_bytes())
    }

    /// Key without escapes, or with its escapes resolved.
    #[inline(never)]
    pub(crate) fn of(key: &[u8]) -> Self {
        if key.len() < 16 { Self::pack(key) } else { Self::UNKNOWN }
    }

    /// Key with its escapes, which are resolved as [`JsonStr::chars`](crate::JsonStr::chars) does. No known key contains
    /// anything but printable ASCII.
    #[inline(never)]
    pub(crate) fn of_escaped(raw: &[u8]) -> Self {
        unescape(raw, &mut [0; 16]).map_or(Self::UNKNOWN, Self::of)
    }

    /// Reads a key behind its first quote and returns the text behind its last one. Escapes are resolved as
    /// [`Key::of_escaped`] does. `None` if the key is long, contains anything but ASCII, or is not well-formed. `whole` is a
    /// text that ends where `text` ends.
    #[inline(always)]
    pub(crate) fn read<'a>(mut text: &'a [u8], whole: &[u8]) -> Option<(Self, &'a [u8])> {
        let (mut key, mut bits) = (0_u128, 0);
        loop {
            work::count(8);
            let [word, _] = sixteen(text, whole)?;
            let stops = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES);
            if stops == 0 {
                if bits > 64 || word & HIGH != 0 {
                    return None;
                }
                key |= u128::from(word) << bits;
                (bits, text) = (bits + 64, text.get(8..)?);
                continue;
            }
            let plain = stops.trailing_zeros() & !7;
            // The quote that ends the key is part of it.
            let (character, behind, last) = match text.get(plain as usize / 8..)? {
                [b'"', behind @ ..] => (b'"', behind, true),
                [b'\\', b'u', b'0', b'0', high, low, behind @ ..] => {
                    (digit(*high)? << 4 | digit(*low)?, behind, false)
                }
                [b'\\', b'b' | b'f' | b'n' | b'r' | b't' | b'u', ..] => return None,
                [b'\\', character, behind @ ..] => (*character, behind, false),
                _ => return None,
            };
            let piece = word & !(u64::MAX << plain) | u64::from(character) << plain;
            if bits + plain + 8 > 128 || piece & HIGH != 0 {
                return None;
            }
            key |= u128::from(piece) << bits;
            (bits, text) = (bits + plain + 8, behind);
            if last {
                return Some((Self { first: key as u64, second: (key >> 64) as u64 }, text));
            }
        }
    }

    const fn pack(key: &[u8]) -> Self {
        let mut words = [0; 2];
        let mut at = 0;
        while at <= key.len() {
            let byte = if at < key.len() { key[at] } else { b'"' };
            words[at / 8] |= (byte as u64) << (8 * (at % 8));
            at += 1;
        }
        Self { first: words[0], second: words[1] }
    }

    /// Slot of this key in a table of `SLOTS` slots.
    #[inline(always)]
    pub(crate) const fn slot<const SLOTS: usize>(self) -> usize {
        let [one, two, three, ..] = self.first.to_le_bytes();
        // In a text, a colon follows the quote of a key of one character.
        slot_of::<SLOTS>([b'"', one, two, if three == 0 { b':' } else { three }])
    }
}

/// Number of slots in a table for so many keys.
pub(crate) const fn slots(keys: usize) -> usize {
    (4 * keys).next_power_of_two()
}

/// Slot of a key that begins with these bytes, of which the first is its quote, in a table of `SLOTS` slots.
#[inline(always)]
pub(crate) const fn slot_of<const SLOTS: usize>(head: [u8; 4]) -> usize {
    // The highest bits of a product depend on all bytes. With this number, keys share a slot only if they begin alike.
    let product = u32::from_le_bytes(head).wrapping_mul(0xD9D8_B4BB);
    (product >> (u32::BITS - SLOTS.trailing_zeros())) as usize
}

const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);

/// First sixteen bytes of a text as two words, filled up with zeros. `whole` is a text that ends where `text` ends; `None` if
/// it is shorter.
#[inline(always)]
fn sixteen(text: &[u8], whole: &[u8]) -> Option<[u64; 2]> {
    let sixteen = match text.first_chunk::<16>() {
        Some(sixteen) => u128::from_le_bytes(*sixteen),
        None => u128::from_le_bytes(*whole.last_chunk()?).unbounded_shr(128 - 8 * text.len() as u32),
    };
    Some([sixteen as u64, (sixteen >> 64) as u64])
}

/// Value of a hexadecimal digit.
#[inline(always)]
const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

/// Resolves escapes as [`JsonStr::chars`](crate::JsonStr::chars) does, into `buffer`. `None` if the text does not fit, or an escape
/// stands for a control character with a letter of its own, such as `\n`, or for anything but ASCII.
pub(crate) fn unescape<'b>(raw: &[u8], buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    work::count(raw.len().min(6 * buffer.len()));
    let (mut length, mut rest) = (0, raw);
    while let [byte, ref behind @ ..] = *rest {
        let (byte, behind) = match (byte, behind) {
            (b'\\', [b'u', hex @ ..]) => {
                let (digits, behind) = hex.split_first_chunk()?;
                (ascii(*digits)?, behind)
            }
            (b'\\', [b'b' | b'f' | b'n' | b'r' | b't', ..]) => return None,
            (b'\\', [byte, behind @ ..]) => (*byte, behind),
            _ => (byte, behind),
        };
        *buffer.get_mut(length)? = byte;
        length += 1;
        rest = behind;
    }
    buffer.get(..length)
}

/// ASCII character with this number in four hexadecimal digits.
fn ascii(digits: [u8; 4]) -> Option<u8> {
    let mut number = 0;
    for digit in digits {
        number = number << 4 | char::from(digit).to_digit(16)?;
    }
    u8::try_from(number).ok().filter(u8::is_ascii)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;
    use crate::JsonStr;

    proptest! {
        #[test]
        fn escapes_in_a_key_are_resolved_like_those_of_a_string(
            raw in "([a-c]|\\\\[a-cnu\\\\/\"é]|\\\\u00(61|62|e9)|\\\\u0g00|é){0,18}"
        ) {
            let text = JsonStr::from_raw(raw.as_bytes(), true).to_string();
            let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            let expected = if printable { Key::of(text.as_bytes()) } else { Key::UNKNOWN };
            let found = Key::of_escaped(raw.as_bytes());
            // A character of several bytes that is not escaped is kept; no known key has one.
            prop_assert!(found == expected || raw.contains('é') && found == Key::of(text.as_bytes()), "{raw} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_known_key_is_read_in_any_spelling(
            key in "[a-zA-Z0-9_]{0,17}",
            escapes in proptest::collection::vec(0..4, 17),
            behind in "[:,\"]{0,20}",
        ) {
            let mut raw = String::new();
            for (character, escape) in key.chars().zip(escapes) {
                match escape {
                    0 => raw.push_str(&format!("\\u{:04x}", u32::from(character))),
                    1 if !"bfnrtu".contains(character) => raw.extend(['\\', character]),
                    _ => raw.push(character),
                }
            }
            let whole = format!("{{\"a\":\"0123456789\",\"{raw}\"{behind}");
            let text = &whole[whole.len() - behind.len() - 1 - raw.len()..];
            let read = Key::read(text.as_bytes(), whole.as_bytes());
            let expected = (key.len() < 16).then(|| (Key::of(key.as_bytes()), behind.as_bytes()));
            prop_assert_eq!(read, expected, "{}", whole);
        }
    }

    #[test]
    fn an_escape_that_is_no_part_of_a_known_key_is_left_to_the_general_reader() {
        for raw in ["m\\nsg", "m\\u0173g", "m\\u00e9", "m\\u00", "m\\", "m\\u0g00", "\\u00g0"] {
            let whole = format!("{{\"abcdefghijklmnop\":1,\"{raw}\":1}}");
            let text = &whole.as_bytes()[23..];
            assert_eq!(Key::read(text, whole.as_bytes()), None, "{raw}");
        }
        let whole = br#"{"abcdefghijklmnop":1,"msg\"":40}"#;
        let read = Key::read(&whole[23..], whole);
        assert!(read.is_some_and(|(key, _)| key != Key::new("msg")), "an escaped quote does not end a key");
    }

    #[test]
    fn a_key_of_any_length_is_read_like_it_is_written() {
        let letters = "abcdefghijklmnop";
        for length in 0..=16 {
            let key = &letters[..length];
            for behind in [":1,\"abcdefghijklmno\":2}", "\":\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\""] {
                let text = format!("{key}\"{behind}");
                let read = Key::read(text.as_bytes(), b"");
                let expected = (length < 16).then(|| (Key::new(key), behind.as_bytes()));
                assert_eq!(read, expected, "{text}");
            }
            assert_eq!(Key::of(key.as_bytes()) == Key::UNKNOWN, length == 16, "{key}");
        }
    }

    #[test]
    fn different_keys_are_different() {
        let keys = ["", "m", "msg", "msg\0", "msgs", "abcdefg", "abcdefgh", "abcdefgh\0", "abcdefghi", "é"];
        for (at, key) in keys.iter().enumerate() {
            for (other_at, other) in keys.iter().enumerate() {
                assert_eq!(Key::new(key) == Key::of(other.as_bytes()), at == other_at, "{key:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_key_at_the_end_of_a_text_is_read_like_any_other() {
        let whole = b"{\"state\":{\"sp\":1}}";
        for (at, byte) in whole.iter().enumerate().filter(|(_, byte)| byte.is_ascii_lowercase()) {
            let text = &whole[at..];
            let end = text.iter().position(|&byte| byte == b'"').unwrap();
            let expected = (Key::of(&text[..end]), &text[end + 1..]);
            assert_eq!(Key::read(text, whole), Some(expected), "{byte} at {at}");
        }
        assert_eq!(Key::read(b"sp\":1}}", b"sp\":1}}"), None, "a text of less than sixteen bytes");
        assert_eq!(Key::read(&whole[whole.len() - 4..], whole), None, "no quote");
        assert_eq!(Key::read(b"", whole), None);
    }
}
