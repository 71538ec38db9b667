//! Time stamp of a password claim.

use alloc::format;
use alloc::string::String;

#[cfg(feature = "server")]
use time::{Date, Month};
use time::{OffsetDateTime, PrimitiveDateTime};

/// Formats Unix seconds as `EEE MMM d HH:mm:ss UTC yyyy` in English, such as `Fri Jan 2 03:04:05 UTC 2026`.
/// Times outside the years -9999 to 9999 are clamped. The day of the month is not padded, the time is. The
/// names are constants, because a localised formatter would break the claim.
///
/// ```
/// assert_eq!(mysa_cognito::timestamp(1_767_323_045), "Fri Jan 2 03:04:05 UTC 2026");
/// ```
#[must_use]
pub fn timestamp(unix_s: i64) -> String {
    // Clamped to the years of the type.
    let unix_s = unix_s.clamp(
        PrimitiveDateTime::MIN.assume_utc().unix_timestamp(),
        PrimitiveDateTime::MAX.assume_utc().unix_timestamp(),
    );
    let time = OffsetDateTime::from_unix_timestamp(unix_s).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let weekday = DAYS[usize::from(time.weekday().number_days_from_monday())];
    let month = MONTHS[usize::from(u8::from(time.month())) - 1];
    let (hour, minute, second) = time.to_hms();
    format!("{weekday} {month} {} {hour:02}:{minute:02}:{second:02} UTC {}", time.day(), time.year())
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Parses a stamp. `None` if [`timestamp`] would not write exactly this text.
#[cfg(feature = "server")]
pub(crate) fn parse(stamp: &str) -> Option<i64> {
    let mut words = stamp.split(' ');
    let (_weekday, month, day, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let year: i32 = words.nth(1)?.parse().ok()?;
    if !(1970..=9999).contains(&year) {
        return None;
    }
    let month = u8::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day.parse().ok()?).ok()?;
    let mut parts = time.split(':').map(|part| part.parse::<u8>().ok());
    let time = date.with_hms(parts.next()??, parts.next()??, parts.next()??).ok()?;
    let unix_s = time.assume_utc().unix_timestamp();
    (timestamp(unix_s) == stamp).then_some(unix_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn year_ends_and_leap_days_are_right() {
        for (unix_s, expect) in [
            (0, "Thu Jan 1 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (951_868_800, "Wed Mar 1 00:00:00 UTC 2000"),
            (4_107_542_399, "Sun Feb 28 23:59:59 UTC 2100"),
            (4_107_542_400, "Mon Mar 1 00:00:00 UTC 2100"),
            (1_767_225_599, "Wed Dec 31 23:59:59 UTC 2025"),
        ] {
            assert_eq!(timestamp(unix_s), expect);
        }
        let _ = (timestamp(i64::MIN), timestamp(i64::MAX));
    }

    #[test]
    #[cfg(feature = "server")]
    fn a_stamp_is_parsed_only_in_its_exact_form() {
        for unix_s in (0..5_000_000_000).step_by(86_400 * 3 + 12_345) {
            assert_eq!(parse(&timestamp(unix_s)), Some(unix_s), "{unix_s}");
        }
        for stamp in [
            "",
            "Sat Jan 2 03:04:05 UTC 2026",
            "Fri Jan 02 03:04:05 UTC 2026",
            "Fri Jan 2 3:04:05 UTC 2026",
            "Fri Jan 2 03:04:05 GMT 2026",
            "Fri Jan 2 03:04:05 UTC 2026 ",
            "Fri Jan 2 03:04:60 UTC 2026",
            "ven. janv. 2 03:04:05 UTC 2026",
        ] {
            assert_eq!(parse(stamp), None, "{stamp}");
        }
    }
}
