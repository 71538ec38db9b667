use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

/// Id of a thermostat: its key in the account's device list.
///
/// In every capture it is the Wi-Fi MAC address, twelve hex digits without separators. It is kept in lower case,
/// because a thermostat ignores messages to an upper-case topic; ids built from either case are equal. It contains only
/// ASCII letters, digits, `-` and `_`, so no id can change the structure of a topic.
#[derive(Clone, Copy, Eq, Hash)]
#[expect(clippy::derived_hash_with_manual_eq, reason = "both compare every byte")]
#[repr(align(8))]
pub struct DeviceId {
    /// Padded with zeros, which no id contains.
    bytes: [u8; 40],
}

impl DeviceId {
    /// Length of the longest valid id: that of a UUID with its hyphens.
    pub const MAX_LEN: usize = 39;

    /// Parses an id in either case. `None` if it is empty, longer than [`DeviceId::MAX_LEN`], or contains anything but
    /// ASCII letters, digits, `-` and `_`.
    #[must_use]
    pub fn new(id: &str) -> Option<Self> {
        Self::from_bytes(id.as_bytes())
    }

    // An id is built twice for each message and compared immediately. It is built eight bytes at a time,
    // because the processor stalls if bytes that were written one by one are read back as a wide word.
    #[inline(always)]
    pub(crate) fn from_bytes(id: &[u8]) -> Option<Self> {
        let (Some(first), Some(last), 8..=16) = (id.first_chunk(), id.last_chunk(), id.len()) else {
            return Self::of_unusual_length(id);
        };
        // The length of a MAC. The last eight bytes overlap the first eight; the shift removes the overlap.
        let taken = 8 * (16 - id.len() as u32);
        let first = fold(u64::from_le_bytes(*first))?;
        let last = fold(u64::from_le_bytes(*last))?.unbounded_shr(taken);
        Some(Self::from_words([first, last, 0, 0, 0]))
    }

    #[inline(never)]
    fn of_unusual_length(id: &[u8]) -> Option<Self> {
        if id.is_empty() || id.len() > Self::MAX_LEN {
            return None;
        }
        let mut words = [0; 5];
        for (word, eight) in words.iter_mut().zip(id.chunks(8)) {
            // Unused bytes are digits during the check, because zeros are not valid in an id.
            let mut bytes = [b'0'; 8];
            bytes.get_mut(..eight.len())?.copy_from_slice(eight);
            let taken = 64 - 8 * eight.len() as u32;
            *word = fold(u64::from_le_bytes(bytes))? << taken >> taken;
        }
        Some(Self::from_words(words))
    }

    #[inline(always)]
    fn from_words(words: [u64; 5]) -> Self {
        let mut bytes = [0; 40];
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        Self { bytes }
    }

    /// The id in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(self.bytes.len());
        self.bytes.get(..end).and_then(|id| core::str::from_utf8(id).ok()).unwrap_or_default()
    }

    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        self.bytes.as_chunks::<8>().0.get(at).map_or(0, |word| u64::from_be_bytes(*word))
    }
}

/// Converts eight bytes of an id to lower case, the first in the lowest byte. `None` if one of them is not valid in an
/// id.
#[inline(always)]
const fn fold(bytes: u64) -> Option<u64> {
    const HIGH: u64 = each(0x80);
    /// Marks the bytes from `low` to `high`. All bytes must be ASCII.
    const fn between(bytes: u64, low: u8, high: u8) -> u64 {
        bytes.wrapping_add(each(0x80 - low)) & !bytes.wrapping_add(each(0x7F - high)) & HIGH
    }
    if bytes & HIGH != 0 {
        return None;
    }
    // Fast path: the ids of all captures contain only these.
    let plain = between(bytes, b'0', b'9') | between(bytes, b'a', b'z');
    if plain == HIGH {
        return Some(bytes);
    }
    let upper = between(bytes, b'A', b'Z');
    let other = between(bytes, b'-', b'-') | between(bytes, b'_', b'_');
    if plain | upper | other == HIGH { Some(bytes | upper >> 2) } else { None }
}

const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

// Compares words, because a call of `memcmp` costs more than the comparison. The ids of a home begin with the
// same bytes, those of the manufacturer.
impl PartialEq for DeviceId {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let same = |at| self.word(at) == other.word(at);
        same(1) && same(0) && same(2) && same(3) && same(4)
    }
}

/// Same order as that of the texts.
impl Ord for DeviceId {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let differs = (0..5).find(|&at| self.word(at) != other.word(at));
        differs.map_or(Ordering::Equal, |at| self.word(at).cmp(&other.word(at)))
    }
}

impl PartialOrd for DeviceId {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Error of [`DeviceId::from_str`]: the text is empty, too long, or contains an invalid character.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct InvalidDeviceId;

impl fmt::Display for InvalidDeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid device id: expected 1 to 39 ASCII letters, digits, '-' or '_'")
    }
}

impl core::error::Error for InvalidDeviceId {}

impl FromStr for DeviceId {
    type Err = InvalidDeviceId;

    fn from_str(id: &str) -> Result<Self, InvalidDeviceId> {
        Self::new(id).ok_or(InvalidDeviceId)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_folded_when_an_id_is_built() {
        assert_eq!(DeviceId::new("A0B1C2D3E4F6"), DeviceId::new("a0b1c2d3e4f6"));
        assert_eq!(DeviceId::new("A0B1C2D3E4F6").unwrap().as_str(), "a0b1c2d3e4f6");
    }

    /// Compares every byte at every position of an id of every length with a check byte by byte.
    #[test]
    fn each_byte_of_an_id_is_accepted_folded_or_rejected() {
        for len in 0..=DeviceId::MAX_LEN + 1 {
            for at in 0..len.max(1) {
                for byte in 0..=u8::MAX {
                    let mut id = b"a0B1c2D3-4F6_zZ9a0B1c2D3-4F6_zZ9a0B1c2D3"[..len].to_vec();
                    if let Some(place) = id.get_mut(at) {
                        *place = byte;
                    }
                    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                    let taken = (1..=DeviceId::MAX_LEN).contains(&len) && id.iter().all(good);
                    let made = DeviceId::from_bytes(&id);
                    assert_eq!(made.is_some(), taken, "{}", id.escape_ascii());
                    id.make_ascii_lowercase();
                    assert!(made.is_none_or(|made| made.as_str().as_bytes() == id), "{}", id.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn ids_are_ordered_like_their_texts() {
        let mut texts = [
            "a0b1c2d3e4f6",
            "a0b1c2d3e4f7",
            "b",
            "a0b1c2d3e4f",
            "0123456789abcdef",
            "0123456789abcdef0",
            "0123456789abcdef-",
            "0123456789abcdef-0123456789abcdef-01234",
            "0123456789abcdef-0123456789abcdef-01235",
            "_",
            "-",
        ];
        texts.sort_unstable();
        for (at, one) in texts.iter().enumerate() {
            for (other_at, other) in texts.iter().enumerate() {
                let (id, other_id) = (DeviceId::new(one).unwrap(), DeviceId::new(other).unwrap());
                assert_eq!(id.cmp(&other_id), at.cmp(&other_at), "{one} and {other}");
            }
        }
    }

    #[test]
    fn an_id_with_a_character_of_topic_syntax_is_invalid() {
        for bad in
            ["", "a/b", "+", "#", "a b", "a\0b", "é", "a.b", "0123456789012345678901234567890123456789"]
        {
            assert_eq!(DeviceId::new(bad), None, "{bad:?}");
        }
    }
}
