//! Energy of thermostats as totals that never fall.
//!
//! A [`Meter`] has one of two sources. It follows the **history** of the cloud as soon as that has any energy: the total is
//! the sum of all recorded days, so that it can be read again after a loss of the stored state. Else it is the **integral** of
//! the known power, in which gaps count as nothing. When the history of a meter appears later, the total goes on from where
//! it is, and grows with the history from then on. A total that is corrected downwards stands still until it has caught up.
//!
//! ```
//! use core::time::Duration;
//! use mysa_bridge::energy::Meter;
//! use mysa_proto::{KilowattHours, UnixTime, Watts};
//!
//! let now = UnixTime::from_secs(1_767_323_045);
//! let mut meter = Meter::default();
//! // The cloud has no energy of this thermostat, so that its power is integrated.
//! let query = meter.next_query(now).ok_or("the clock is wrong")?;
//! meter.add_history(query, &[]);
//! meter.add_power(Duration::ZERO, Watts::from_watts(1_500.0));
//! meter.add_power(Duration::from_secs(240), Watts::from_watts(1_500.0));
//! assert_eq!(meter.total().map(KilowattHours::as_kilowatt_hours), Some(0.1));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_proto::{DeviceId, KilowattHours, UnixTime, Watts};
use serde_json::{Map, Value, json};

/// Total energy of a thermostat, which never falls.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Meter {
    source: Source,
    /// Milliwatt-hours.
    total: u64,
    /// Difference between the total and the history, in milliwatt-hours.
    offset: i128,
    history: Recorded,
    /// Time and power of the last sample, in milliwatts.
    sample: Option<(Duration, u64)>,
    /// Energy below a milliwatt-hour, in microjoules.
    rest: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Source {
    /// The history was not read yet.
    #[default]
    Unread,
    /// The history was not read yet, and an earlier total is lost. Only the history can tell it again.
    Lost,
    Integral,
    History,
}

/// Energy that the history has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Recorded {
    /// Sum of the days before [`Recorded::open_from`], in milliwatt-hours.
    closed: u64,
    /// First day, as a number since 1970, that is read again. `None` until all years are read.
    open_from: Option<i64>,
    /// Energy of the days from then on, in milliwatt-hours.
    days: BTreeMap<i64, u64>,
    /// First day that is read, and the number of years, until all are.
    years: Option<(i64, u32)>,
}

/// Days of a history that are to be read, at midnight UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Query {
    /// Start.
    pub start: UnixTime,
    /// End.
    pub end: UnixTime,
}

/// Energy of one day of a history.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Reading {
    /// Start of the day.
    pub start: UnixTime,
    /// Energy of the day.
    pub energy: KilowattHours,
}

/// Answer to a [`Query`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver chooses among these")]
pub enum Answer<'a> {
    /// The days that have an entry.
    Days(&'a [Reading]),
    /// The cloud has no history of this thermostat, or refuses to give it.
    NoHistory,
    /// There is no answer now.
    Failed,
}

/// Days that the cloud may still correct: a thermostat that was away uploads its readings later.
const OPEN_DAYS: i64 = 14;
/// Days of one query, until all years are read.
const DAYS_AT_ONCE: i64 = 366;
/// Years that are searched for the first day of a history.
const MAX_YEARS: u32 = 12;
/// Energy of a day that no thermostat can have, in milliwatt-hours: 500 kWh. A greater reading is an error, and would stay
/// in a total that never falls.
const MAX_DAY_ENERGY: u64 = 500_000_000;
/// Power that no thermostat can switch, in milliwatts: 20 kW.
const MAX_POWER: u64 = 20_000_000;
/// Longest time between two samples of the power that does not count as a gap.
const MAX_GAP: Duration = Duration::from_secs(300);
const DAY: i64 = 86_400;
/// Days from which on a clock is not obviously wrong: 2018, the year of the first thermostats, and 2200.
const MIN_DAY: i64 = 17_532;
const MAX_DAY: i64 = 84_006;
const MICROJOULES: u64 = 3_600_000;

impl Meter {
    /// Creates a meter whose earlier total is lost. It has no total until the history has one.
    #[must_use]
    pub fn lost() -> Self {
        Self { source: Source::Lost, ..Self::default() }
    }

    /// Total energy. `None` while it is unknown, and while it is zero: a counter that starts at zero would look like one
    /// that was replaced.
    #[must_use]
    pub fn total(&self) -> Option<KilowattHours> {
        let known = self.total >= 1_000 && matches!(self.source, Source::Integral | Source::History);
        // Cut to whole watt-hours.
        known.then(|| KilowattHours::from_kilowatt_hours((self.total / 1_000) as f64 / 1_000.0)).flatten()
    }

    /// `true` if the total is that of the cloud's history.
    #[must_use]
    pub const fn has_history(&self) -> bool {
        matches!(self.source, Source::History)
    }

    /// Adds a sample of the power, `None` if it is unknown. The power of the last sample counts until this one, unless more
    /// than five minutes have passed. `now` is monotonic; a reading before the last one counts as no time.
    pub fn add_power(&mut self, now: Duration, power: Option<Watts>) {
        let power =
            power.map(|power| (power.as_watts() * 1_000.0) as u64).filter(|power| *power <= MAX_POWER);
        let last = core::mem::replace(&mut self.sample, power.map(|power| (now, power)));
        let Some((since, power)) = last.filter(|_| self.source == Source::Integral) else { return };
        let passed = now.saturating_sub(since);
        if passed > MAX_GAP {
            return;
        }
        // At most 20 kW for 300 s, far from the limits of the type.
        let millis = u64::try_from(passed.as_millis()).unwrap_or(0);
        let energy = self.rest.saturating_add(power.saturating_mul(millis));
        self.total = self.total.saturating_add(energy / MICROJOULES);
        self.rest = energy % MICROJOULES;
    }

    /// Returns the days to read next. `None` while the clock is wrong, as that of a computer without a battery is at first.
    #[must_use]
    pub fn next_query(&self, now: UnixTime) -> Option<Query> {
        let today = day(now);
        if !(MIN_DAY..=MAX_DAY).contains(&today) {
            return None;
        }
        // The day that has begun, in every time zone.
        let last = today + 2;
        let (start, end) = match (self.history.open_from, self.history.years) {
            // After a long pause of the bridge, a long query: the days have a few numbers each.
            (Some(open), _) => (open.min(today), last),
            (None, Some((first, _))) => (first - DAYS_AT_ONCE, first),
            (None, None) => (last - DAYS_AT_ONCE, last),
        };
        Some(Query { start: midnight(start), end: midnight(end) })
    }

    /// Adds the answer to a query of [`Meter::next_query`]. Days outside the query and impossible values are ignored.
    /// Returns `true` if more is to be read at once.
    pub fn add_history(&mut self, query: Query, readings: &[Reading]) -> bool {
        let (start, end) = (day(query.start), day(query.end));
        let is_next = match (self.history.open_from, self.history.years) {
            (Some(open), _) => start <= open,
            (None, Some((first, _))) => end == first,
            (None, None) => true,
        };
        if !is_next {
            return false;
        }
        let mut any = false;
        for reading in readings {
            let number = day(reading.start);
            let energy = (reading.energy.as_kilowatt_hours() * 1e6) as u64;
            let is_open = self.history.open_from.is_none_or(|open| number >= open);
            if (start..end).contains(&number) && energy <= MAX_DAY_ENERGY && is_open {
                any |= energy > 0;
                self.history.days.insert(number, energy);
            }
        }
        let newest = self.history.days.last_key_value().map(|(number, _)| *number);
        if self.history.open_from.is_none() {
            // The years are read from the latest one back, until one is empty.
            let years = self.history.years.map_or(1, |(_, years)| years + 1);
            self.history.years = Some((start, years));
            if any && years < MAX_YEARS {
                return true;
            }
            self.history.years = None;
            if newest.is_none() && self.source == Source::Lost {
                // The earlier total was more than that of the last year, perhaps.
                return false;
            }
            self.history.open_from = Some(newest.map_or(start, |newest| newest - OPEN_DAYS));
        }
        self.follow_history();
        // By the newest entry and not by the clock, which may be wrong.
        if let Some(newest) = newest {
            self.history.close(newest - OPEN_DAYS);
        }
        false
    }

    fn follow_history(&mut self) {
        let sum = self.history.sum();
        match self.source {
            Source::History => {}
            // Without a history, a total that is lost stays unknown.
            _ if sum == 0 => return self.add_no_history(),
            source => {
                let counted = source == Source::Integral && self.total > 0;
                self.offset = if counted { i128::from(self.total) - i128::from(sum) } else { 0 };
                self.source = Source::History;
            }
        }
        let total = u64::try_from(i128::from(sum) + self.offset).unwrap_or(0);
        self.total = self.total.max(total);
    }

    /// Records that the cloud has no history of this thermostat.
    pub fn add_no_history(&mut self) {
        if self.source == Source::Unread {
            self.source = Source::Integral;
        }
    }

    fn to_json(&self) -> Value {
        let days: Map<String, Value> =
            self.history.days.iter().map(|(day, energy)| (day.to_string(), json!(energy))).collect();
        json!({
            "source": match self.source {
                Source::Unread => "unread",
                Source::Lost => "lost",
                Source::Integral => "integral",
                Source::History => "history",
            },
            "total_mwh": self.total,
            "offset_mwh": i64::try_from(self.offset).unwrap_or(0),
            "closed_mwh": self.history.closed,
            "open_from_day": self.history.open_from,
            "days_mwh": days,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name)?.as_u64();
        let days = value.get("days_mwh")?.as_object()?;
        let days: Option<BTreeMap<i64, u64>> = days
            .iter()
            .map(|(day, energy)| {
                Some((day.parse().ok()?, energy.as_u64().filter(|energy| *energy <= MAX_DAY_ENERGY)?))
            })
            .collect();
        let open_from = match value.get("open_from_day")? {
            Value::Null => None,
            day => Some(day.as_i64().filter(|day| (0..=MAX_DAY).contains(day))?),
        };
        let mut history = Recorded { closed: number("closed_mwh")?, open_from, days: days?, years: None };
        if history.open_from.is_none() {
            // The years are read again from the start.
            history = Recorded::default();
        }
        let source = match value.get("source")?.as_str()? {
            "unread" => Source::Unread,
            "lost" => Source::Lost,
            "integral" => Source::Integral,
            "history" => Source::History,
            _ => return None,
        };
        let total = number("total_mwh").filter(|total| *total <= MAX_TOTAL)?;
        let offset = i128::from(value.get("offset_mwh")?.as_i64()?);
        Some(Self { source, total, offset, history, sample: None, rest: 0 })
    }
}

/// A total that no thermostat can have, in milliwatt-hours: 1 TWh.
const MAX_TOTAL: u64 = 1_000_000_000_000_000;

impl Recorded {
    fn sum(&self) -> u64 {
        self.days.values().fold(self.closed, |sum, energy| sum.saturating_add(*energy))
    }

    /// Adds the days before `until` to the closed ones, which are not read again.
    fn close(&mut self, until: i64) {
        let rest = self.days.split_off(&until);
        for energy in core::mem::replace(&mut self.days, rest).into_values() {
            self.closed = self.closed.saturating_add(energy);
        }
        self.open_from = self.open_from.map(|open| open.max(until));
    }
}

fn day(at: UnixTime) -> i64 {
    at.as_secs().div_euclid(DAY)
}

fn midnight(day: i64) -> UnixTime {
    UnixTime::from_secs(day.saturating_mul(DAY))
}

/// Error: a stored state is not one of this version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct InvalidMeters;

impl fmt::Display for InvalidMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the energy of thermostats as this version stores it")
    }
}

impl core::error::Error for InvalidMeters {}

/// Meters of a bridge and the thermostats that it has published, as they are stored.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Meters {
    pub(crate) meters: BTreeMap<DeviceId, Meter>,
    /// `true` if an earlier state is lost: a thermostat without a meter may have had one.
    pub(crate) lost: bool,
    /// Thermostats that are published. Those that no account has at the next start are removed from the broker, even if it
    /// has lost its memory: Home Assistant keeps them until they are removed.
    pub(crate) published: BTreeSet<DeviceId>,
}

/// Largest number of meters.
const MAX_METERS: usize = 1_000;
/// Largest stored state, in bytes.
const MAX_TEXT: usize = 2_000_000;
/// Version of the stored state.
const VERSION: u64 = 1;

impl Meters {
    /// Meters of an account whose stored state cannot be read. A total is known again once the cloud's history has one.
    #[must_use]
    pub fn lost() -> Self {
        Self { lost: true, ..Self::default() }
    }

    /// Parses a stored state.
    ///
    /// # Errors
    /// The text is damaged, or not of this version.
    pub fn parse(text: &str) -> Result<Self, InvalidMeters> {
        let read = || {
            let value: Value =
                serde_json::from_str(Some(text).filter(|text| text.len() <= MAX_TEXT)?).ok()?;
            if value.get("version")?.as_u64()? != VERSION {
                return None;
            }
            let meters = value.get("meters")?.as_object().filter(|meters| meters.len() <= MAX_METERS)?;
            let meters: Option<BTreeMap<DeviceId, Meter>> = meters
                .iter()
                .map(|(id, meter)| Some((DeviceId::new(id)?, Meter::from_json(meter)?)))
                .collect();
            let published = match value.get("published") {
                Some(ids) => ids.as_array().filter(|ids| ids.len() <= MAX_METERS)?.as_slice(),
                // The first drafts stored none.
                None => &[],
            };
            let published: Option<BTreeSet<DeviceId>> =
                published.iter().map(|id| DeviceId::new(id.as_str()?)).collect();
            Some(Self { meters: meters?, lost: value.get("lost")?.as_bool()?, published: published? })
        };
        read().ok_or(InvalidMeters)
    }

    /// Formats the state to be stored.
    #[must_use]
    pub fn to_text(&self) -> String {
        let meters: Map<String, Value> =
            self.meters.iter().map(|(id, meter)| (id.to_string(), meter.to_json())).collect();
        let published: Vec<&str> = self.published.iter().map(DeviceId::as_str).collect();
        let state =
            json!({ "version": VERSION, "lost": self.lost, "meters": meters, "published": published });
        format!("{state}\n")
    }

    /// Adds a thermostat to the published ones. Returns `true` if it was not one of them and they are not too many.
    pub(crate) fn add_published(&mut self, id: DeviceId) -> bool {
        self.published.len() < MAX_METERS && self.published.insert(id)
    }

    /// Returns the meter of a thermostat. `None` if there are too many.
    pub(crate) fn of(&mut self, id: DeviceId) -> Option<&mut Meter> {
        if self.meters.len() >= MAX_METERS && !self.meters.contains_key(&id) {
            return None;
        }
        let new = || if self.lost { Meter::lost() } else { Meter::default() };
        Some(self.meters.entry(id).or_insert_with(new))
    }
}
