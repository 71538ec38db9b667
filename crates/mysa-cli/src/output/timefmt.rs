//! Times and durations for people.

use std::time::Duration;

use mysa_proto::UnixTime;
use time::OffsetDateTime;

use crate::support::exit::{Failure, Result};

/// Formats a time as `2026-01-02T03:04:05Z`.
pub(crate) fn iso(time: UnixTime) -> String {
    OffsetDateTime::from_unix_timestamp(time.as_secs()).map_or_else(|_| time.to_string(), civil)
}

/// Formats a time of the `time` crate in the same way.
pub(crate) fn civil(at: OffsetDateTime) -> String {
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    format!("{year}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

/// Formats seconds in a suitable unit.
pub(crate) fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Parses a number of seconds of the command line.
pub(crate) fn seconds(seconds: f64, option: &str) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|span| *span <= Duration::from_secs(366 * 86_400))
        .ok_or_else(|| Failure::usage(format!("invalid {option} {seconds}: expected a number of seconds")))
}

/// Returns the present time of the system clock.
pub(crate) fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_suitable_unit() {
        let texts = [5, 119, 120, 7_199, 7_200, 172_800].map(span);
        assert_eq!(texts, ["5 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(iso(UnixTime::from_secs(1_767_323_045)), "2026-01-02T03:04:05Z");
        assert_eq!(iso(UnixTime::from_millis(i64::MAX)), "9223372036854775.807");
    }
}
