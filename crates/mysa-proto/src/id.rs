use core::fmt;
use core::str::FromStr;

/// Id of a thermostat: the key under which the account's device list holds it.
///
/// In every capture it is the Wi-Fi MAC, twelve hex digits without separators. It is kept in lower case, since a
/// thermostat ignores what is published to an upper-case topic; building one from either case gives equal values. Only
/// ASCII letters, digits, `-` and `_` can be in one, so no value can change the shape of a topic.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeviceId {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl DeviceId {
    /// Longest id that is taken: room for a UUID with its hyphens.
    pub const MAX_LEN: usize = 39;

    /// Takes an id in either case. `None` if it is empty, longer than [`DeviceId::MAX_LEN`], or holds anything but
    /// ASCII letters, digits, `-` and `_`.
    #[must_use]
    pub fn new(id: &str) -> Option<Self> {
        Self::from_bytes(id.as_bytes())
    }

    pub(crate) fn from_bytes(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LEN];
        if id.is_empty() || id.len() > Self::MAX_LEN {
            return None;
        }
        let mut seen = 0;
        for (to, from) in bytes.iter_mut().zip(id) {
            *to = FOLDED[usize::from(*from)];
            seen |= *to;
        }
        let len = u8::try_from(id.len()).ok()?;
        (seen < INVALID).then_some(Self { bytes, len })
    }

    /// The id in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len))
            .and_then(|id| core::str::from_utf8(id).ok())
            .unwrap_or_default()
    }
}

/// What each byte is in an id; [`INVALID`] for what cannot be in one. An id is built twice for each message.
static FOLDED: [u8; 256] = {
    let mut folded = [INVALID; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            folded[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    folded
};

/// More than any byte of an id.
const INVALID: u8 = 0x80;

/// The error of [`DeviceId::from_str`]: the text is empty, too long, or holds a character no id may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct InvalidDeviceId;

impl fmt::Display for InvalidDeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device id is 1 to 39 ASCII letters, digits, '-' or '_'")
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

    #[test]
    fn nothing_that_could_change_a_topic_is_an_id() {
        for bad in
            ["", "a/b", "+", "#", "a b", "a\0b", "é", "a.b", "0123456789012345678901234567890123456789"]
        {
            assert_eq!(DeviceId::new(bad), None, "{bad:?}");
        }
    }
}
