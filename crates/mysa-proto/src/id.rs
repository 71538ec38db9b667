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
        let mut bytes = [0; Self::MAX_LEN];
        let len = id.len();
        if len == 0 || len > Self::MAX_LEN {
            return None;
        }
        for (to, from) in bytes.iter_mut().zip(id.bytes()) {
            if !(from.is_ascii_alphanumeric() || from == b'-' || from == b'_') {
                return None;
            }
            *to = from.to_ascii_lowercase();
        }
        u8::try_from(len).ok().map(|len| Self { bytes, len })
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
