use core::fmt;

/// Fan speed of an air conditioner, as `fn` of a command and the device record number it.
///
/// Four witnesses name the numbers differently, by two generations of remote: 1/2/4/6 are auto, low, medium, high, and
/// 1/3/5/7/8 auto and four numbered speeds. [`FanSpeed::name`] follows the two that agree (mysa-js-sdk, mysa_client).
/// The number itself is always kept; what a unit offers is in its [`SupportedCaps`](crate::SupportedCaps).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FanSpeed(u8);

impl FanSpeed {
    /// 1, on which all witnesses agree.
    pub const AUTO: Self = Self(1);

    /// Takes a number as it is on the wire.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Whether any witness has seen the number: 1 to 12.
    #[must_use]
    pub const fn is_witnessed(self) -> bool {
        matches!(self.0, 1..=12)
    }

    /// Name in lower case: `auto`, `low`, `medium`, `high`, `max`, `speed_5` to `speed_7`, `sleep`. `None` for a
    /// number no witness names. Two generations share a name (2 and 3 are both `low`); no unit is known to mix them.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "auto",
            2 | 3 => "low",
            4 | 5 => "medium",
            6 | 7 => "high",
            8 => "max",
            9 => "speed_5",
            10 => "speed_6",
            11 => "speed_7",
            12 => "sleep",
            _ => return None,
        })
    }

    /// `modes.fan_mode` of the structured service for an air conditioner. `None` for a number it has no place for.
    /// (mysa_client.)
    #[must_use]
    pub const fn to_structured(self) -> Option<i64> {
        Some(match self.0 {
            1 => 0,
            2 => 1,
            4 => 2,
            6 => 3,
            3 => 4,
            5 => 5,
            7 => 6,
            8 => 7,
            9 => 8,
            10 => 9,
            11 => 10,
            12 => 11,
            _ => return None,
        })
    }

    /// Reads `modes.fan_mode` of an air conditioner; the inverse of [`FanSpeed::to_structured`].
    #[must_use]
    pub fn from_structured(number: i64) -> Option<Self> {
        (1..=12).map(Self).find(|speed| speed.to_structured() == Some(number))
    }
}

impl fmt::Display for FanSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structured_numbers_read_back() {
        for code in 0..=u8::MAX {
            let speed = FanSpeed::from_code(code);
            let back = speed.to_structured().and_then(FanSpeed::from_structured);
            assert_eq!(back, speed.is_witnessed().then_some(speed), "{code}");
        }
    }
}
