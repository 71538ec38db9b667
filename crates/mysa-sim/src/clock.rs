use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use mysa_proto::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One reading of both clocks of the cloud. They are passed together so that neither can replace the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Now {
    /// Monotonic time since an origin chosen by the caller. All timers use it.
    pub mono: Duration,
    /// Civil time of the cloud, for timestamps, signatures and the weather.
    pub wall: UnixTime,
}

impl Now {
    /// Returns both clocks at the moment when the monotonic one shows `mono`.
    pub(crate) fn at(self, mono: Duration) -> Self {
        // Both differences are whole milliseconds, so every reading gives the same result.
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self { mono, wall: self.wall.plus_millis(millis(mono).saturating_sub(millis(self.mono))) }
    }
}

/// Formats a time as in the `Date` header of HTTP, such as `Fri, 02 Jan 2026 03:04:05 GMT` (RFC 9110, 5.6.7).
pub(crate) fn http_date(at: UnixTime) -> String {
    let at = civil(at);
    let (hour, minute, second) = at.to_hms();
    // English names; their first three letters are those of the header.
    let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
    format!("{weekday:.3}, {:02} {month:.3} {:04} {hour:02}:{minute:02}:{second:02} GMT", at.day(), at.year())
}

/// Formats a time with milliseconds, such as `2026-01-02T03:04:05.678Z`.
pub(crate) fn iso_millis(at: UnixTime) -> String {
    let time = civil(at);
    let (hour, minute, second) = time.to_hms();
    let millis = at.as_millis().rem_euclid(1_000);
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z",
        time.year(),
        u8::from(time.month()),
        time.day()
    )
}

/// Parses an RFC 3339 time such as `2026-01-02T03:04:05Z`, to the millisecond.
pub(crate) fn parse_iso(text: &str) -> Option<UnixTime> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(UnixTime::from_secs(time.unix_timestamp()).plus_millis(i64::from(time.millisecond())))
}

/// The date and time in UTC. The epoch for a time beyond the calendar.
fn civil(at: UnixTime) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(http_date(UnixTime::from_secs(1_767_323_045)), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert_eq!(http_date(UnixTime::from_secs(951_782_400)), "Tue, 29 Feb 2000 00:00:00 GMT");
    }

    #[test]
    fn a_date_survives_the_round_trip() {
        for secs in (0..4_000_000_000).step_by(7_777_777) {
            let at = UnixTime::from_millis(secs * 1_000 + secs % 1_000);
            assert_eq!(parse_iso(&iso_millis(at)), Some(at), "{secs}");
        }
        for bad in ["", "2026-13-02T03:04:05Z", "2026-01-02", "2026-01-02T25:04:05Z", "x-y-zTa:b:cZ"] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_wall_clock_follows_the_monotonic_one_in_both_directions() {
        let now = Now { mono: Duration::from_secs(100), wall: UnixTime::from_secs(1_000) };
        assert_eq!(now.at(Duration::from_secs(90)).wall, UnixTime::from_secs(990));
        assert_eq!(now.at(Duration::from_secs(130)).wall, UnixTime::from_secs(1_030));
        let between = now.at(Duration::from_micros(107_003_900));
        assert_eq!(
            between.at(Duration::from_micros(111_004_100)),
            now.at(Duration::from_micros(111_004_100))
        );
    }
}
