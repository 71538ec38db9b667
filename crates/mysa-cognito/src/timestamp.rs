//! Time stamp of a password claim.

use alloc::format;
use alloc::string::String;

/// Formats Unix seconds as `EEE MMM d HH:mm:ss UTC yyyy` in English, such as `Fri Jan 2 03:04:05 UTC 2026`.
///
/// The day of the month is not padded, the time is. The names are constants, because a localised formatter would break
/// the claim.
///
/// ```
/// assert_eq!(mysa_cognito::timestamp(1_767_323_045), "Fri Jan 2 03:04:05 UTC 2026");
/// ```
#[must_use]
pub fn timestamp(unix_s: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let weekday = DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)];

    // Years are counted from 1 March, so that the leap day is the last of its year; 719468 days lie between
    // 1 March of year 0 and 1 January 1970, and 146097 make 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + i64::from(month >= 10);

    let month = MONTHS[usize::try_from(month).unwrap_or(0)];
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{weekday} {month} {day} {hour:02}:{minute:02}:{second:02} UTC {year}")
}

/// Parses a stamp. `None` if [`timestamp`] would not write exactly this text.
#[cfg(feature = "server")]
pub(crate) fn parse(stamp: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let mut words = stamp.split(' ');
    let (_weekday, month, day, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let year: i64 = words.nth(1)?.parse().ok()?;
    if !(1970..=9999).contains(&year) {
        return None;
    }
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    let day: i64 = day.parse::<u8>().ok()?.into();
    let mut parts = time.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let year = year - i64::from(month >= 10);
    let day_of_era = {
        let year = year.rem_euclid(400);
        365 * year + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1
    };
    let days = year.div_euclid(400) * 146_097 + day_of_era - 719_468;
    let unix_s = days * 86_400 + i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
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
    fn a_stamp_is_read_back_and_a_sloppy_one_is_not() {
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
