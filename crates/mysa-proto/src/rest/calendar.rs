//! Dates of headers and schedules.

use alloc::format;
use alloc::string::String;

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
    let (year, month, day) = civil(secs.div_euclid(86_400));
    let clock = secs.rem_euclid(86_400);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        clock / 3_600,
        clock / 60 % 60,
        clock % 60,
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
    let days = days(year, month, day);
    (civil(days) == (year, month, day)).then_some(UnixTime::from_secs(days * 86_400 + clock))
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; years begin in March, so that the leap day
/// is the last one.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + (month <= 2) as i64, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_survives() {
        for day in -36_525..109_575 {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
        assert_eq!(civil(0), (1970, 1, 1));
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
    fn a_date_header_of_another_form_is_no_date() {
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
