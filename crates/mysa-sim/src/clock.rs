use alloc::format;
use alloc::string::String;
use core::time::Duration;

use mysa_proto::UnixTime;

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
        // Both differences are whole milliseconds, so the result does not depend on the reading from which it is
        // computed.
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self { mono, wall: self.wall.plus_millis(millis(mono).saturating_sub(millis(self.mono))) }
    }
}

/// A civil date and time in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: u8,
    pub(crate) day: u8,
    /// 0 is Sunday.
    pub(crate) weekday: u8,
    pub(crate) second_of_day: u32,
}

impl Civil {
    pub(crate) fn of(secs: i64) -> Self {
        let days = secs.div_euclid(86_400);
        let second_of_day = u32::try_from(secs.rem_euclid(86_400)).unwrap_or(0);
        // Howard Hinnant's days-to-civil, era by era.
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        Self {
            year: yoe + era * 400 + i64::from(month <= 2),
            month: u8::try_from(month).unwrap_or(1),
            day: u8::try_from(day).unwrap_or(1),
            weekday: u8::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
            second_of_day,
        }
    }

    fn clock(self) -> (u32, u32, u32) {
        (self.second_of_day / 3_600, self.second_of_day / 60 % 60, self.second_of_day % 60)
    }
}

/// Days from the epoch to a date of the Gregorian calendar.
pub(crate) fn days_of(year: i64, month: u8, day: u8) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let month = i64::from(month);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// Formats a time as in the `Date` header of HTTP, such as `Fri, 02 Jan 2026 03:04:05 GMT` (RFC 9110, 5.6.7).
pub(crate) fn http_date(at: UnixTime) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let civil = Civil::of(at.as_secs());
    let (hour, minute, second) = civil.clock();
    let weekday = DAYS.get(usize::from(civil.weekday)).copied().unwrap_or_default();
    let month = MONTHS.get(usize::from(civil.month) - 1).copied().unwrap_or_default();
    format!("{weekday}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", civil.day, civil.year)
}

/// Formats a time with milliseconds, such as `2026-01-02T03:04:05.678Z`.
pub(crate) fn iso_millis(at: UnixTime) -> String {
    let civil = Civil::of(at.as_secs());
    let (hour, minute, second) = civil.clock();
    let millis = at.as_millis().rem_euclid(1_000);
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z",
        civil.year, civil.month, civil.day
    )
}

/// Parses `2026-01-02T03:04:05Z`, with or without milliseconds. `None` for any other form.
pub(crate) fn parse_iso(text: &str) -> Option<UnixTime> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (date, time) = whole.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) =
        (date.next()?.parse().ok()?, date.next()?.parse().ok()?, date.next()?.parse().ok()?);
    let mut time = time.splitn(3, ':');
    let mut part = || time.next()?.parse::<u32>().ok();
    let (hour, minute, second) = (part()?, part()?, part()?);
    let valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    let millis = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    let secs = days_of(year, month, day) * 86_400 + i64::from(hour * 3_600 + minute * 60 + second);
    valid.then(|| UnixTime::from_secs(secs).plus_millis(millis))
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
