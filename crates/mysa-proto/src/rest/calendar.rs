//! Dates of headers and schedules.

use alloc::format;
use alloc::string::String;

use time::{Date, Month, OffsetDateTime};

use crate::UnixTime;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Parses the `Date` header of a response, `Fri, 02 Jan 2026 03:04:05 GMT` [RFC 9110 §5.6.7]. `None` for any other
/// text, including the two obsolete forms, which no host of the service sends.
///
/// ```
/// use mysa_proto::{UnixTime, rest};
///
/// let date = rest::http_date("Fri, 02 Jan 2026 03:04:05 GMT");
/// assert_eq!(date, Some(UnixTime::from_secs(1_767_323_045)));
/// ```
#[must_use]
pub fn http_date(text: &str) -> Option<UnixTime> {
    let (_, date) = text.trim().split_once(", ")?;
    let mut words = date.split(' ');
    let day = digits(words.next()?, 2)?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year = digits(words.next()?, 4)?;
    let clock = words.next()?;
    if words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    instant(year, i64::try_from(month).ok()? + 1, day, clock_seconds(clock)?)
}

/// Formats a time as `2026-01-02T03:04:15.000Z`. Years are clamped to 0 to 9999.
pub(super) fn to_iso(time: UnixTime) -> String {
    let secs = time.as_secs().clamp(-62_167_219_200, 253_402_300_799);
    // The clamped time is always in range, so the fallback is never used.
    let date = OffsetDateTime::from_unix_timestamp(secs).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = date.to_hms();
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.as_millis().rem_euclid(1_000)
    )
}

/// Parses the format of [`to_iso`], with any number of fractional digits.
pub(super) fn from_iso(text: &str) -> Option<UnixTime> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis =
        fraction.bytes().chain([b'0'; 3]).take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some(instant(year, month, day, clock_seconds(clock)?)?.plus_millis(millis))
}

/// Parses `HH:MM` or `HH:MM:SS` as seconds since midnight. A leap second reads as second 59.
pub(super) fn clock_seconds(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |second| digits(second, 2))?;
    (parts.next().is_none() && hour < 24 && minute < 60 && second <= 60)
        .then_some(hour * 3_600 + minute * 60 + second.min(59))
}

fn digits(text: &str, len: usize) -> Option<i64> {
    (text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn instant(year: i64, month: i64, day: i64, clock: i64) -> Option<UnixTime> {
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    Some(UnixTime::from_secs(date.midnight().assume_utc().unix_timestamp() + clock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_survives_a_round_trip() {
        for day in -36_525..109_575 {
            let time = UnixTime::from_secs(day * 86_400);
            assert_eq!(from_iso(&to_iso(time)), Some(time));
        }
        assert_eq!(to_iso(UnixTime::from_secs(0)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn iso_instants_are_written_and_read() {
        let time = UnixTime::from_millis(1_767_323_055_007);
        assert_eq!(to_iso(time), "2026-01-02T03:04:15.007Z");
        assert_eq!(from_iso("2026-01-02T03:04:15.007Z"), Some(time));
        assert_eq!(from_iso("2026-01-02T03:04:15Z"), Some(UnixTime::from_secs(1_767_323_055)));
        for bad in
            ["2026-02-30T00:00:00Z", "2026-01-02", "2026-01-02T03:04:15", "2026-01-02T24:00:00Z", "T", ""]
        {
            assert_eq!(from_iso(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_date_header_of_another_form_is_rejected() {
        for bad in [
            "",
            "Fri, 02 Jan 2026 03:04:05",
            "Friday, 02-Jan-26 03:04:05 GMT",
            "Fri, 2 Jan 2026 03:04:05 GMT",
        ] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }
}
