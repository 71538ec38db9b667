use core::fmt;
use core::time::Duration;

use time::OffsetDateTime;

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

/// Displays an instant for people, as in RFC 3339: `2026-01-02T03:04:05Z`, with a fraction if the milliseconds are not 0. An
/// instant outside the years 0 to 9999 is displayed as a [`UnixTime`].
pub(crate) struct Civil(pub(crate) UnixTime);

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(instant) = *self;
        let at = OffsetDateTime::from_unix_timestamp(instant.as_secs()).ok();
        let Some(at) = at.filter(|at| (0..=9_999).contains(&at.year())) else {
            return write!(f, "{instant}");
        };
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", u8::from(month))?;
        match instant.as_millis().rem_euclid(1_000) {
            0 => f.write_str("Z"),
            millis => write!(f, ".{millis:03}Z"),
        }
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
    fn people_read_instants_as_in_rfc_3339() {
        let shown = |millis| alloc::format!("{}", Civil(UnixTime::from_millis(millis)));
        assert_eq!(shown(1_767_323_045_000), "2026-01-02T03:04:05Z");
        assert_eq!(shown(1_767_323_045_678), "2026-01-02T03:04:05.678Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(shown(i64::MAX), "9223372036854775.807");
    }

    #[test]
    fn a_small_number_is_no_time() {
        for number in [i64::MIN, -1, 0, 25, 1_234] {
            assert_eq!(UnixTime::from_wire(number), None, "{number}");
        }
    }
}
