//! Days, weeks and months of an energy report, in the time zone of each home.

use time::{Date, Duration, Month, OffsetDateTime};

use crate::args::{Energy, Period};
use crate::output::timefmt;
use crate::support::exit::{Failure, Result};
use crate::support::time_zone::{Hour, Zone};

/// One hour, day, week or month of the report.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Slot {
    /// A day, or a week or a month by its first day.
    Days(Date),
    Hour(Hour),
}

/// First and last day as typed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    from: Option<Date>,
    to: Option<Date>,
}

impl Span {
    /// The usual days: those up to today in each home.
    pub(crate) const USUAL: Self = Self { from: None, to: None };

    pub(super) fn parse(args: &Energy) -> Result<Self> {
        let span = Self {
            from: args.from.as_deref().map(date).transpose()?,
            to: args.to.as_deref().map(date).transpose()?,
        };
        let now = OffsetDateTime::from_unix_timestamp(timefmt::now().as_secs());
        // The first home in which it is today.
        let today = now.map_or(Date::MAX, |now| now.saturating_add(Duration::hours(14)).date());
        let (from, to) = span.days(args.by, today);
        if from > to {
            return Err(Failure::usage(format!("the first day, {from}, is after the last, {to}")));
        }
        let days = (to - from).whole_days();
        if args.by == Period::Hour && days > MAX_DAYS_BY_HOUR {
            return Err(Failure::usage(format!(
                "the time span is longer than {MAX_DAYS_BY_HOUR} days, the limit of --by hour"
            )));
        }
        if days > MAX_DAYS {
            return Err(Failure::usage("the time span is longer than ten years"));
        }
        Ok(span)
    }

    /// Returns the first and the last day in a home where it is `today`.
    pub(super) fn days(self, by: Period, today: Date) -> (Date, Date) {
        let to = self.to.unwrap_or(today);
        let usual = match by {
            Period::Hour => to.saturating_sub(Duration::days(1)),
            Period::Day => to.saturating_sub(Duration::days(13)),
            Period::Week => by.first_day(to).saturating_sub(Duration::weeks(11)),
            Period::Month => {
                let year_before = to.year() - 1;
                Date::from_calendar_date(year_before, to.month(), 1).map_or(to, next_month)
            }
        };
        (self.from.unwrap_or(usual), to)
    }
}

/// Longest time span in days: ten years, or a quarter by the hour.
const MAX_DAYS: i64 = 3_660;
const MAX_DAYS_BY_HOUR: i64 = 92;

pub(super) fn date(text: &str) -> Result<Date> {
    parse_date(text).ok_or_else(|| Failure::usage(format!("invalid day '{text}': expected YYYY-MM-DD")))
}

/// Parses `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let year = year.parse::<i32>().ok().filter(|_| year.len() == 4)?;
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year, month, day.parse().ok()?).ok()
}

fn next_month(day: Date) -> Date {
    let first = day.replace_day(1).unwrap_or(day);
    first.saturating_add(Duration::days(31)).replace_day(1).unwrap_or(first)
}

impl Period {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// Returns the first day of the week or month that holds a day. Weeks begin on Monday.
    pub(super) fn first_day(self, day: Date) -> Date {
        match self {
            Self::Hour | Self::Day => day,
            Self::Week => day.saturating_sub(Duration::days(day.weekday().number_days_from_monday().into())),
            Self::Month => day.replace_day(1).unwrap_or(day),
        }
    }

    /// Returns the slots from `from` to `to` in a time zone.
    pub(super) fn slots(self, from: Date, to: Date, zone: &Zone) -> Vec<Slot> {
        let mut at = self.first_day(from);
        let mut slots = Vec::new();
        while at <= to {
            match self {
                Self::Hour => slots.extend(zone.hours(at).into_iter().map(|(hour, _)| Slot::Hour(hour))),
                Self::Day | Self::Week | Self::Month => slots.push(Slot::Days(at)),
            }
            let next = match self {
                Self::Hour | Self::Day => at.saturating_add(Duration::DAY),
                Self::Week => at.saturating_add(Duration::WEEK),
                Self::Month => next_month(at),
            };
            // The calendar ends.
            if next <= at {
                break;
            }
            at = next;
        }
        slots
    }
}

impl Slot {
    /// Formats the slot for a chart.
    pub(super) fn label(self, by: Period) -> String {
        match self {
            Self::Hour(Hour { day, hour, again }) => {
                let again = if again { " again" } else { "" };
                format!("{} {day} {hour:02}:00{again}", weekday(day))
            }
            Self::Days(day) if by == Period::Day => format!("{} {day}", weekday(day)),
            Self::Days(_) => self.key(by, None),
        }
    }

    /// Formats the slot for programs: `2026-01-02T08:00-04:00`, `2026-01-02`, `2026-W01`, or `2026-01`. An hour has its
    /// offset if the zone is known.
    pub(super) fn key(self, by: Period, zone: Option<&Zone>) -> String {
        match (self, by) {
            (Self::Hour(hour), _) => {
                let local = format!("{}T{:02}:00", hour.day, hour.hour);
                match zone.map(|zone| zone.hours(hour.day)) {
                    Some(hours) => {
                        let offset = hours.into_iter().find(|(other, _)| *other == hour);
                        offset.map_or_else(|| local.clone(), |(_, offset)| format!("{local}{offset}"))
                    }
                    None if hour.again => format!("{local} again"),
                    None => local,
                }
            }
            (Self::Days(day), Period::Week) => {
                let (year, week, _) = day.to_iso_week_date();
                format!("{year}-W{week:02}")
            }
            (Self::Days(day), Period::Month) => format!("{}-{:02}", day.year(), u8::from(day.month())),
            (Self::Days(day), _) => day.to_string(),
        }
    }
}

fn weekday(day: Date) -> String {
    day.weekday().to_string()[..3].to_owned()
}
