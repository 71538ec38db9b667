use core::fmt;
use core::time::Duration;

/// Reading of both clocks at one moment. Keeping them together prevents mixing them up.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Now {
    /// Monotonic time since an arbitrary origin. Used for timers and for the order of arrival.
    pub mono: Duration,
    /// Wall clock of the host, which may be wrong; or, where a function documents it, the estimated clock of
    /// the cloud.
    pub wall: UnixTime,
}

/// Instant of civil time, in milliseconds since the Unix epoch.
///
/// The cloud mixes seconds and milliseconds, sometimes within one object, and sends 0 or a small number if it has no
/// clock. [`UnixTime::from_wire`] distinguishes them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(i64);

impl UnixTime {
    /// Converts whole seconds. Saturates.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Converts milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Converts a number as the cloud writes times: milliseconds above 10^11, seconds above 10^9 (September 2001).
    /// `None` for anything else, such as the 0 of messages 16 and 61 or the 1234 of message 20.
    #[must_use]
    pub const fn from_wire(number: i64) -> Option<Self> {
        match number {
            ..=1_000_000_000 => None,
            1_000_000_001..=100_000_000_000 => Some(Self::from_secs(number)),
            _ => Some(Self(number)),
        }
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant moved by a signed number of milliseconds. Saturates.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Time since `earlier`, or `None` if it is later than `self`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        u64::try_from(self.0.checked_sub(earlier.0)?).ok().map(Duration::from_millis)
    }
}

impl fmt::Display for UnixTime {
    /// Seconds since the epoch, with a fraction if the milliseconds are not 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rem_euclid(1_000) {
            0 => write!(f, "{}", self.as_secs()),
            millis => write!(f, "{}.{millis:03}", self.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        assert_eq!(UnixTime::from_wire(1_767_323_045), Some(UnixTime::from_millis(1_767_323_045_000)));
        assert_eq!(UnixTime::from_wire(1_767_323_045_678), Some(UnixTime::from_millis(1_767_323_045_678)));
    }

    #[test]
    fn a_small_number_is_no_time() {
        for number in [i64::MIN, -1, 0, 25, 1_234] {
            assert_eq!(UnixTime::from_wire(number), None, "{number}");
        }
    }
}
