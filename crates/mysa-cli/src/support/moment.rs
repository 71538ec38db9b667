//! Times as users type them, such as the end of a hold.

use mysa_proto::UnixTime;
use time::{Date, Month};

use crate::support::exit::{Exit, Failure, Result};
use crate::support::homes::LocalTime;
use crate::support::time_zone::Zone;

/// A time that the user typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Moment {
    /// `+2h`: seconds from now.
    In(i64),
    /// `22:30`: the next time that the local clock shows this second of the day.
    Clock(u32),
    /// `2026-11-29T22:30`: a local day and second of the day.
    Local(Date, u32),
    /// `2026-11-29T22:30:00Z` or with an offset such as `-04:00`.
    Instant(UnixTime),
}

/// Longest time from now, in seconds.
const LONGEST: i64 = 366 * 86_400;

impl Moment {
    /// Parses a typed time.
    ///
    /// # Errors
    /// The text has none of the forms, or the time is not in the next year; the message names the forms.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| {
            Failure::usage(format!(
                "invalid time '{text}': expected one such as 22:30, 2026-11-29T22:30 or +2h"
            ))
        })
    }

    fn read(text: &str) -> Option<Self> {
        if let Some(span) = text.strip_prefix('+') {
            return seconds(span).map(Self::In);
        }
        if let Some(second) = second_of_day(text) {
            return Some(Self::Clock(second));
        }
        let (date, clock) = text.split_once('T')?;
        match second_of_day(clock) {
            Some(second) => Some(Self::Local(day(date)?, second)),
            None => {
                let at: jiff::Timestamp = text.parse().ok()?;
                Some(Self::Instant(UnixTime::from_secs(at.as_second())))
            }
        }
    }

    /// Returns the instant of a typed time at a thermostat.
    ///
    /// # Errors
    /// The time is not in the future or more than a year away, or it is local and the time zone is not known.
    pub(crate) fn resolve_in(self, local: &LocalTime, now: UnixTime) -> Result<UnixTime> {
        let is_local = matches!(self, Self::Clock(_) | Self::Local(..));
        if is_local && local.unread.is_some() {
            return Err(Failure::new(
                Exit::Failed,
                "the time zone of the thermostat is not known: use a time from now such as +2h, or one with its offset such as 2026-11-29T22:30:00-04:00",
            ));
        }
        self.resolve(&local.zone, now)
    }

    /// Returns the instant of a typed time.
    ///
    /// # Errors
    /// The time is not in the future, or more than a year away.
    fn resolve(self, zone: &Zone, now: UnixTime) -> Result<UnixTime> {
        let at = match self {
            Self::In(seconds) => UnixTime::from_secs(now.as_secs() + seconds),
            Self::Clock(second) => {
                let today = zone.day(now);
                let at = zone.at(today, second);
                if at > now { at } else { zone.at(today.next_day().unwrap_or(today), second) }
            }
            Self::Local(day, second) => zone.at(day, second),
            Self::Instant(at) => at,
        };
        let fault = match at.as_secs() - now.as_secs() {
            ..=0 => "has passed",
            seconds if seconds > LONGEST => "is more than a year away",
            _ => return Ok(at),
        };
        let (at, now, name) = (zone.show(at), zone.show(now), zone.name());
        Err(Failure::usage(format!("invalid time: {at} {fault}; it is {now} in {name}")))
    }
}

/// Parses days, hours and minutes, such as `2h`, `90m` or `1d12h`, as seconds.
fn seconds(text: &str) -> Option<i64> {
    let mut sum = 0_i64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let mut tail = tail.chars();
        let unit = match tail.next()? {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = tail.as_str();
    }
    (1..=LONGEST).contains(&sum).then_some(sum)
}

/// Parses `22:30` or `22:30:00`.
fn second_of_day(text: &str) -> Option<u32> {
    let mut parts = text.split(':').map(|part| number(part, 2));
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let is_time = parts.next().is_none() && hour < 24 && minute < 60 && second < 60;
    is_time.then_some(hour * 3_600 + minute * 60 + second)
}

/// Parses `2026-11-29`.
fn day(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    parts.next().is_none().then_some(date)
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T23:04:05 in Halifax.
    const NOW: UnixTime = UnixTime::from_secs(1_767_323_045);

    fn at(text: &str, now: UnixTime) -> std::result::Result<String, Failure> {
        let zone = Zone::named("America/Halifax").unwrap();
        Ok(zone.iso(Moment::parse(text)?.resolve(&zone, now)?))
    }

    #[test]
    fn a_time_is_typed_in_one_of_several_forms() {
        for (text, iso) in [
            ("+2h", "2026-01-02T01:04:05-04:00"),
            ("+90m", "2026-01-02T00:34:05-04:00"),
            ("+1d1h30m", "2026-01-03T00:34:05-04:00"),
            ("23:05", "2026-01-01T23:05:00-04:00"),
            ("23:04", "2026-01-02T23:04:00-04:00"),
            ("22:30", "2026-01-02T22:30:00-04:00"),
            ("2026-07-01T08:00", "2026-07-01T08:00:00-03:00"),
            ("2026-01-02T08:00:30", "2026-01-02T08:00:30-04:00"),
            ("2026-01-02T08:00:30Z", "2026-01-02T04:00:30-04:00"),
            ("2026-01-02T08:00:30+01:00", "2026-01-02T03:00:30-04:00"),
        ] {
            assert_eq!(at(text, NOW).unwrap(), iso, "{text}");
        }
        for bad in [
            "",
            "+",
            "+2",
            "+h",
            "+0m",
            "+2s",
            "+-1h",
            "+999999999999999999h",
            "24:00",
            "9:30",
            "22:60",
            "22",
            "2026-02-30T08:00",
            "2026-01-02",
            "2026-01-02 08:00",
            "tomorrow",
            "off",
        ] {
            assert_eq!(at(bad, NOW).unwrap_err().exit, Exit::Usage, "{bad}");
        }
        let passed = at("2026-01-01T22:30", NOW).unwrap_err().to_string();
        assert!(passed.contains("2026-01-01 22:30:00 -04:00 has passed"), "{passed}");
        assert!(passed.contains("it is 2026-01-01 23:04:05 -04:00 in America/Halifax"), "{passed}");
        assert!(at("2027-01-03T22:30", NOW).unwrap_err().to_string().contains("more than a year away"));
    }

    #[test]
    fn a_local_time_needs_the_zone_of_the_thermostat() {
        let local = LocalTime { zone: Zone::utc(), unread: Some(None) };
        let at = |text: &str| Moment::parse(text).unwrap().resolve_in(&local, NOW);
        assert!(
            at("22:30").unwrap_err().to_string().starts_with("the time zone of the thermostat is not known")
        );
        assert_eq!(at("+2h").unwrap(), UnixTime::from_secs(NOW.as_secs() + 7_200));
        assert_eq!(at("2026-01-02T08:00:00Z").unwrap(), UnixTime::from_secs(1_767_340_800));
    }

    #[test]
    fn a_clock_change_moves_local_times_and_not_spans() {
        // 2026-03-07T23:00 in Halifax; the clock goes from 2:00 to 3:00.
        let eve = UnixTime::from_secs(1_772_938_800);
        assert_eq!(at("08:00", eve).unwrap(), "2026-03-08T08:00:00-03:00");
        assert_eq!(at("02:30", eve).unwrap(), "2026-03-08T03:30:00-03:00", "a time that the clock skips");
        assert_eq!(at("+9h", eve).unwrap(), "2026-03-08T09:00:00-03:00");
    }
}
