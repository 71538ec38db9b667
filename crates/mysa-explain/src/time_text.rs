use alloc::format;
use alloc::string::{String, ToString as _};

use mysa_proto::UnixTime;
use time::OffsetDateTime;

/// Formats a time as `2026-01-02T03:04:05Z`. One beyond the year 9999 is formatted as seconds.
#[must_use]
pub fn iso(time: UnixTime) -> String {
    OffsetDateTime::from_unix_timestamp(time.as_secs()).map_or_else(|_| time.to_string(), civil)
}

/// Formats a time of the `time` crate, which must be in UTC, in the same way.
#[must_use]
pub fn civil(at: OffsetDateTime) -> String {
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    format!("{year}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        assert_eq!(iso(UnixTime::from_secs(1_767_323_045)), "2026-01-02T03:04:05Z");
        assert_eq!(iso(UnixTime::from_millis(i64::MAX)), "9223372036854775.807");
    }
}
