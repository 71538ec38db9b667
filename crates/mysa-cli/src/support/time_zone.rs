//! Time zones by their names, and the local days and hours in them.

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use mysa_proto::UnixTime;
use time::{Date, Month};

/// A time zone of the tz database.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    name: String,
    rules: TimeZone,
}

/// An hour of a local day.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Hour {
    pub(crate) day: Date,
    pub(crate) hour: u8,
    /// `true` if the clock was set back and shows this hour for the second time.
    pub(crate) again: bool,
}

impl Zone {
    /// Finds a zone in the tz database of the system, or else in the one that is part of the program.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let rules = TimeZone::get(name).ok()?;
        Some(Self { name: name.to_owned(), rules })
    }

    pub(crate) fn utc() -> Self {
        Self { name: "UTC".into(), rules: TimeZone::UTC }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the local day of an instant.
    pub(crate) fn day(&self, at: UnixTime) -> Date {
        from_jiff(self.rules.to_datetime(timestamp(at)).date())
    }

    /// Returns the instant at which the local clock shows a second of a day: the first if it shows it twice, and the same
    /// time after the change if it skips it.
    pub(crate) fn at(&self, day: Date, second_of_day: u32) -> UnixTime {
        let month = i8::try_from(u8::from(day.month())).unwrap_or(1);
        let date = i16::try_from(day.year())
            .ok()
            .zip(i8::try_from(day.day()).ok())
            .and_then(|(year, day)| jiff::civil::Date::new(year, month, day).ok());
        let part = |size: u32, count: u32| i8::try_from(second_of_day / size % count).unwrap_or(0);
        let time = jiff::civil::Time::new(part(3_600, 24), part(60, 60), part(1, 60), 0);
        let local = date.zip(time.ok()).map(|(date, time)| date.to_datetime(time));
        let at = local.and_then(|local| self.rules.to_ambiguous_timestamp(local).compatible().ok());
        UnixTime::from_secs(at.map_or(0, Timestamp::as_second))
    }

    /// Returns the first instant of a local day. That is an hour after midnight if the clock goes forward at midnight.
    pub(crate) fn start(&self, day: Date) -> UnixTime {
        self.at(day, 0)
    }

    /// Returns the local hour of an instant.
    pub(crate) fn hour(&self, at: UnixTime) -> Hour {
        let at = timestamp(at);
        let local = self.rules.to_datetime(at);
        let again = match self.rules.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { after, .. } => self.rules.to_offset(at) == after,
            _ => false,
        };
        Hour { day: from_jiff(local.date()), hour: local.hour().cast_unsigned(), again }
    }

    /// Returns the hours of a local day with the offset of each, such as `-04:00`. Days of a clock change have more or
    /// fewer than 24.
    pub(crate) fn hours(&self, day: Date) -> Vec<(Hour, String)> {
        let next = self.start(day.saturating_add(time::Duration::DAY)).as_secs();
        let mut hours: Vec<(Hour, String)> = Vec::new();
        let mut at = self.start(day).as_secs();
        while at < next {
            let instant = UnixTime::from_secs(at);
            let hour = self.hour(instant);
            if hours.last().is_none_or(|(last, _)| *last != hour) {
                hours.push((hour, offset(self.rules.to_offset(timestamp(instant)))));
            }
            // Half an hour is the shortest clock change.
            at += 1_800;
        }
        hours
    }

    /// Formats an instant as `2026-01-02T08:15:04-04:00`.
    pub(crate) fn iso(&self, at: UnixTime) -> String {
        let (local, offset) = self.local(at);
        format!("{}T{}{offset}", local.date(), local.time())
    }

    /// Formats an instant for people, as `2026-01-02 08:15:04 -04:00`.
    pub(crate) fn show(&self, at: UnixTime) -> String {
        let (local, offset) = self.local(at);
        format!("{} {} {offset}", local.date(), local.time())
    }

    fn local(&self, at: UnixTime) -> (jiff::civil::DateTime, String) {
        let at = timestamp(UnixTime::from_secs(at.as_secs()));
        (self.rules.to_datetime(at), offset(self.rules.to_offset(at)))
    }
}

/// Formats an offset from UTC as `-04:00`.
fn offset(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// An instant beyond the calendar is its first or last one.
fn timestamp(at: UnixTime) -> Timestamp {
    let end = if at.as_secs() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(at.as_secs()).unwrap_or(end)
}

fn from_jiff(date: jiff::civil::Date) -> Date {
    let month = u8::try_from(date.month()).ok().and_then(|month| Month::try_from(month).ok());
    month
        .and_then(|month| {
            Date::from_calendar_date(date.year().into(), month, u8::try_from(date.day()).ok()?).ok()
        })
        .unwrap_or(Date::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u8, day: u8) -> Date {
        Date::from_calendar_date(year, Month::try_from(month).unwrap(), day).unwrap()
    }

    #[test]
    fn days_are_local_from_utc_11_to_utc_14() {
        // 2026-01-02T03:04:05Z.
        let now = UnixTime::from_secs(1_767_323_045);
        for (name, date, start) in [
            ("Pacific/Pago_Pago", day(2026, 1, 1), 1_767_265_200),
            ("UTC", day(2026, 1, 2), 1_767_312_000),
            ("Asia/Kathmandu", day(2026, 1, 2), 1_767_291_300),
            ("Pacific/Kiritimati", day(2026, 1, 2), 1_767_261_600),
        ] {
            let zone = Zone::named(name).unwrap();
            assert_eq!((zone.day(now), zone.start(date).as_secs()), (date, start), "{name}");
        }
        for bad in ["", "Mars/Olympus", "../etc/passwd", "America/Halifax\u{1b}[2J"] {
            assert!(Zone::named(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_day_of_a_clock_change_has_23_or_25_hours() {
        let zone = Zone::named("America/Halifax").unwrap();
        let spring = zone.hours(day(2026, 3, 8));
        let autumn = zone.hours(day(2026, 11, 1));
        assert_eq!((spring.len(), autumn.len(), zone.hours(day(2026, 6, 1)).len()), (23, 25, 24));
        let twice: Vec<_> = autumn.iter().filter(|(hour, _)| hour.hour == 1).collect();
        assert_eq!((twice[0].0.again, twice[0].1.as_str()), (false, "-03:00"));
        assert_eq!((twice[1].0.again, twice[1].1.as_str()), (true, "-04:00"));
        assert!(spring.iter().all(|(hour, _)| hour.hour != 2));
        assert!(autumn.is_sorted());
        // Half an hour in Lord Howe; at midnight in Cairo.
        assert_eq!(Zone::named("Australia/Lord_Howe").unwrap().hours(day(2026, 4, 5)).len(), 25);
        let cairo = Zone::named("Africa/Cairo").unwrap();
        assert_eq!(cairo.start(day(2026, 4, 24)).as_secs(), 1_776_981_600);
        assert_eq!(cairo.hours(day(2026, 4, 24))[0].0.hour, 1);
    }

    #[test]
    fn a_local_time_is_the_first_of_two_and_follows_a_gap() {
        let zone = Zone::named("America/Halifax").unwrap();
        let at = |date, second| zone.iso(zone.at(date, second));
        assert_eq!(at(day(2026, 3, 8), 9_000), "2026-03-08T03:30:00-03:00");
        assert_eq!(at(day(2026, 11, 1), 5_400), "2026-11-01T01:30:00-03:00");
        assert_eq!(at(day(2026, 1, 2), 86_399), "2026-01-02T23:59:59-04:00");
    }

    #[test]
    fn instants_have_their_offset() {
        let zone = Zone::named("America/St_Johns").unwrap();
        assert_eq!(zone.iso(UnixTime::from_secs(1_767_323_045)), "2026-01-01T23:34:05-03:30");
        assert_eq!(zone.show(UnixTime::from_millis(1_767_323_045_900)), "2026-01-01 23:34:05 -03:30");
        assert_eq!(Zone::utc().iso(UnixTime::from_secs(0)), "1970-01-01T00:00:00+00:00");
    }
}
