use core::time::Duration;

use mysa_proto::UnixTime;
use time::{Date, Month, PrimitiveDateTime, Time};

use crate::Now;
use crate::now::millis;

/// Estimate of the cloud's time, learnt from the `Date` headers of its hosts.
///
/// A host without a battery-backed clock starts with the wrong time, and its signatures are rejected, so the error must
/// be learnt. A cache or one host with a wrong clock must not undo that, so no single answer changes the
/// estimate:
///
/// - Each host has one *reading*: the range of values by which the cloud may be ahead of the local wall clock. It is a
///   range because `Date` has whole seconds and was written at an unknown moment while the request was in flight. An
///   answer from a cache counts as `Date` plus `Age`.
/// - A host's reading is replaced only by two consecutive answers that contradict it and agree with each other.
/// - The estimate starts as the wall clock. It moves to the value that most hosts agree on, if they outnumber the hosts
///   that agree with the estimate, and if two answers support the value: from two hosts, or from one host that stated
///   two different times (a cache repeats one `Date`).
/// - Readings count for two hours. All of them are dropped when the wall clock jumps. A jump means either sleep or a
///   clock that was set; one answer decides which, because it agrees with one of two known values.
///
/// The first two answers after a start come from the user pool and the identity pool, before anything is signed.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct CloudClock {
    // Every message reads these two.
    last: Option<Now>,
    ahead_ms: i64,
    checked: bool,
    /// Value of `ahead_ms` in case the cause of the last jump was guessed wrong.
    other_ms: Option<i64>,
    /// Time of the last request for a second answer, in seconds on the monotonic clock.
    second_asked_at: Option<u64>,
    hosts: [HostReadings; ClockSource::COUNT],
    sleeps: Sleeps,
}

/// Sleep that the monotonic clock did not count, oldest first.
#[derive(Clone, Copy, Debug, Default)]
struct Sleeps([Option<Asleep>; SLEEPS]);

#[derive(Clone, Copy, Debug)]
struct Asleep {
    /// End, in milliseconds of the cloud's time.
    until: i64,
    /// Length in milliseconds, above zero.
    length: i64,
}

/// Number of sleeps that are told apart.
const SLEEPS: usize = 16;

impl Sleeps {
    fn add(&mut self, new: Asleep) {
        let Self(all) = self;
        if let Some(free) = all.iter_mut().find(|one| one.is_none()) {
            *free = Some(new);
            return;
        }
        // The two oldest become one, so that the sum stays right for whatever is older than both.
        if let [Some(first), Some(second), ..] = all {
            second.length = second.length.saturating_add(first.length);
        }
        all.rotate_left(1);
        all[SLEEPS - 1] = Some(new);
    }

    /// Removes the latest if it has this length.
    fn remove_last(&mut self, length: i64) {
        if let Some(last) = self.0.iter_mut().rev().find(|one| one.is_some()) {
            *last = last.filter(|last| last.length != length);
        }
    }

    /// Milliseconds of sleep since a moment.
    fn since(&self, at: i64) -> i64 {
        let after = |one: &Asleep| one.until.saturating_sub(at).clamp(0, one.length);
        self.0.iter().flatten().map(after).fold(0, i64::saturating_add)
    }
}

/// Host whose `Date` headers are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClockSource {
    UserPool,
    IdentityPool,
    LegacyRest,
    BackendRest,
    /// Broker, by its answer to an upgrade that it refused.
    Broker,
}

impl ClockSource {
    const COUNT: usize = 5;
}

/// Result of [`CloudClock::learn`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Learned {
    /// The answer agrees with the estimate, is outvoted, or has no usable date.
    Nothing,
    /// The answer contradicts an estimate that nothing else supports, and does not change it yet: a second
    /// answer would help. Returned at most once a minute.
    NeedsSecondAnswer,
    /// The estimate moved; the value is the number of milliseconds by which the cloud is ahead of the host.
    Moved(i64),
}

#[derive(Clone, Copy, Debug, Default)]
struct HostReadings {
    held: Option<Reading>,
    /// Last answer, if it contradicts `held`.
    contradicting: Option<Reading>,
}

/// Range of the cloud's lead over the wall clock, from `low` to `low + width`, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Reading {
    low: i64,
    width: u32,
    /// Time of the reading on the monotonic clock, in seconds.
    at: u64,
    /// Cloud time stated by the answer, in Unix seconds.
    stated: i64,
    /// `true` if two answers that stated different times agree on this reading.
    repeated: bool,
}

/// Distance in milliseconds up to which two readings agree: hosts are not synchronised to the millisecond.
const TOLERANCE_MS: i64 = 2_000;

/// Difference in milliseconds between the advance of both clocks, beyond which the wall clock was set or the host
/// slept.
const JUMP_MS: i64 = 15_000;

/// Seconds for which a reading counts. Identity hosts are asked about once an hour.
const READING_LIFE_S: u64 = 2 * 3_600;

/// Minimum time in seconds between two requests for a second answer.
const SECOND_ANSWER_INTERVAL_S: u64 = 60;

/// Milliseconds added to both ends of [`CloudClock::bounds`], because hosts of the cloud differ and some refresh `Date`
/// late.
const BOUNDS_MARGIN_MS: i64 = 250;

impl Reading {
    fn high(&self) -> i64 {
        self.low.saturating_add(self.width.into())
    }

    fn middle(&self) -> i64 {
        self.low.midpoint(self.high())
    }

    fn contains(&self, ahead_ms: i64) -> bool {
        self.low.saturating_sub(TOLERANCE_MS) <= ahead_ms
            && ahead_ms <= self.high().saturating_add(TOLERANCE_MS)
    }

    fn agrees(&self, other: &Self) -> bool {
        self.low.saturating_sub(TOLERANCE_MS) <= other.high()
            && other.low.saturating_sub(TOLERANCE_MS) <= self.high()
    }

    /// Merges two readings that agree: the result is the newer one, narrowed by the older one where both can be true.
    fn merge(mut self, newer: Self) -> Self {
        // Quartz clocks drift by up to 100 ppm, a tenth of a millisecond per second.
        let drift = i64::try_from(newer.at.saturating_sub(self.at) / 10).unwrap_or(i64::MAX);
        let (low, high) = (self.low.saturating_sub(drift), self.high().saturating_add(drift));
        self.repeated |= self.stated != newer.stated;
        let (low, high) = (low.max(newer.low), high.min(newer.high()));
        match u32::try_from(high.saturating_sub(low)) {
            Ok(width) => Self { low, width, repeated: self.repeated, ..newer },
            // A cache repeats one `Date`; it must not wear down the older reading bit by bit.
            Err(_) if self.stated == newer.stated => self,
            Err(_) => Self { repeated: self.repeated, ..newer },
        }
    }
}

impl HostReadings {
    fn take(&mut self, new: Reading, fresh_from: u64) {
        let fresh = |reading: &Reading| reading.at >= fresh_from;
        let contradicting = self.contradicting.take().filter(fresh);
        self.held = Some(match (self.held.filter(fresh), contradicting) {
            (Some(held), _) if held.agrees(&new) => held.merge(new),
            // Two different dates cannot come from one cache entry.
            (Some(_), Some(contradicting))
                if contradicting.agrees(&new) && contradicting.stated != new.stated =>
            {
                contradicting.merge(new)
            }
            (Some(held), _) => {
                self.contradicting = Some(new);
                held
            }
            (None, _) => new,
        });
    }
}

impl CloudClock {
    /// Returns the estimated time of the cloud.
    pub(crate) const fn time(&self, now: Now) -> UnixTime {
        now.wall.plus_millis(self.ahead_ms)
    }

    /// Returns the time by the last answer of one host, for values that this host alone checks against its clock;
    /// without an answer, the estimated time of the cloud.
    pub(crate) fn time_of(&self, source: ClockSource, now: Now) -> UnixTime {
        let HostReadings { held, contradicting } = self.hosts[source as usize];
        let ahead_ms = match contradicting.or(held) {
            Some(reading) if !reading.contains(self.ahead_ms) => reading.middle(),
            _ => self.ahead_ms,
        };
        now.wall.plus_millis(ahead_ms)
    }

    /// Milliseconds by which the cloud's clock is ahead of the host's.
    pub(crate) const fn ahead_ms(&self) -> i64 {
        self.ahead_ms
    }

    /// `true` if an answer has ever agreed with the estimate.
    pub(crate) const fn is_checked(&self) -> bool {
        self.checked
    }

    /// Returns `true` if two answers support the estimate: from two hosts, or from one host at two times.
    pub(crate) fn is_corroborated(&self) -> bool {
        let now = self.seconds();
        let mut supporters = self.readings(now).filter(|reading| reading.contains(self.ahead_ms));
        supporters.next().is_some_and(|first| first.repeated || supporters.next().is_some())
    }

    /// Returns the earliest and the latest possible time of the cloud, by all readings that support the estimate. While
    /// the estimate is not corroborated, all readings and the host's own clock count.
    pub(crate) fn bounds(&self, now: Now) -> (UnixTime, UnixTime) {
        let certain = self.is_corroborated();
        let seconds = self.seconds();
        let (mut low, mut high) = (self.ahead_ms, self.ahead_ms);
        // The host's own clock counts as a reading until answers agree.
        if !certain {
            (low, high) = (low.min(0), high.max(0));
        }
        for reading in self.readings(seconds) {
            if !certain || reading.contains(self.ahead_ms) {
                (low, high) = (low.min(reading.low), high.max(reading.high()));
            }
        }
        let at = |ahead_ms: i64| now.wall.plus_millis(ahead_ms);
        (at(low.saturating_sub(BOUNDS_MARGIN_MS)), at(high.saturating_add(BOUNDS_MARGIN_MS)))
    }

    /// Records both clocks. Returns the milliseconds by which the wall clock has run ahead of the monotonic clock since
    /// the last call, if that is more than drift.
    pub(crate) fn tick(&mut self, now: Now) -> Option<i64> {
        let last = self.last.replace(now)?;
        let mono = millis(now.mono.saturating_sub(last.mono));
        let wall = now.wall.as_millis().saturating_sub(last.wall.as_millis());
        let jump = wall.saturating_sub(mono);
        if jump.saturating_abs() <= JUMP_MS {
            return None;
        }
        // A clock runs back only if it is set, and a leap forward that cancels a known error means that it was
        // corrected. Any other leap forward may be sleep, which leaves the error of the clock unchanged.
        let (slept, set) = (self.ahead_ms, self.ahead_ms.saturating_sub(jump));
        let was_set = jump < 0 || set.saturating_abs() < JUMP_MS;
        let (ahead_ms, other_ms) = if was_set { (set, slept) } else { (slept, set) };
        self.ahead_ms = ahead_ms;
        self.other_ms = Some(other_ms);
        if !was_set {
            self.sleeps.add(Asleep { until: self.time(now).as_millis(), length: jump });
        }
        // Readings are relative to the wall clock, so a jump invalidates all of them.
        self.hosts = Default::default();
        self.second_asked_at = None;
        Some(jump)
    }

    /// Learns from the `Date` of an answer of `source`. `took` is the time the request took; `age` is set if the answer
    /// came from a cache.
    pub(crate) fn learn(
        &mut self,
        now: Now,
        source: ClockSource,
        date: &str,
        age: Option<&str>,
        took: Duration,
    ) -> Learned {
        let Some(new) = reading(now, date, age, took) else { return Learned::Nothing };
        let fresh_from = new.at.saturating_sub(READING_LIFE_S);
        self.hosts[source as usize].take(new, fresh_from);
        if new.contains(self.ahead_ms) {
            self.checked = true;
            self.other_ms = None;
            return Learned::Nothing;
        }
        // An answer that fits the other explanation of the last jump needs no second answer.
        let explained = self.other_ms.filter(|other_ms| new.contains(*other_ms)).map(|_| new.middle());
        // A contradiction is reported only while nothing else supports the estimate, and at most once a minute.
        let Some(ahead_ms) = explained.or_else(|| self.vote(new.at)) else {
            let asked =
                self.second_asked_at.is_some_and(|at| new.at.saturating_sub(at) < SECOND_ANSWER_INTERVAL_S);
            if asked || self.is_corroborated() {
                return Learned::Nothing;
            }
            self.second_asked_at = Some(new.at);
            return Learned::NeedsSecondAnswer;
        };
        if let (Some(_), Some(other_ms)) = (explained, self.other_ms) {
            self.reconsider_sleep(now, other_ms);
        }
        self.ahead_ms = ahead_ms;
        self.other_ms = None;
        self.checked = true;
        Learned::Moved(ahead_ms)
    }

    /// Corrects the guess about the last jump, whose other explanation has turned out to be true.
    fn reconsider_sleep(&mut self, now: Now, other_ms: i64) {
        let length = other_ms.saturating_sub(self.ahead_ms);
        if length > 0 {
            // It looked like a correction of the clock, and was sleep.
            self.sleeps.add(Asleep { until: now.wall.plus_millis(other_ms).as_millis(), length });
        } else {
            self.sleeps.remove_last(length.saturating_neg());
        }
    }

    /// Milliseconds of sleep since a time of the cloud that the monotonic clock did not count.
    pub(crate) fn asleep_ms_since(&self, at: UnixTime) -> i64 {
        self.sleeps.since(at.as_millis())
    }

    /// Returns the value that more hosts agree on than on the estimate, if two answers support it.
    fn vote(&self, now: u64) -> Option<i64> {
        let incumbents = self.readings(now).filter(|reading| reading.contains(self.ahead_ms)).count();
        let mut best: Option<(usize, i64)> = None;
        for candidate in self.readings(now).filter(|reading| !reading.contains(self.ahead_ms)) {
            let (mut votes, mut low, mut high) = (0, candidate.low, candidate.high());
            for reading in self.readings(now).filter(|reading| reading.agrees(candidate)) {
                votes += 1;
                // The range narrows to what the readings have in common. Readings that agree only within the tolerance
                // leave it unchanged.
                if reading.low <= high && low <= reading.high() {
                    (low, high) = (low.max(reading.low), high.min(reading.high()));
                }
            }
            let supported = votes > 1 || candidate.repeated;
            // A tie keeps the estimate.
            if supported && votes > incumbents && best.is_none_or(|(most, _)| votes > most) {
                best = Some((votes, low.midpoint(high)));
            }
        }
        best.map(|(_, ahead_ms)| ahead_ms)
    }

    fn readings(&self, now: u64) -> impl Iterator<Item = &Reading> {
        let fresh_from = now.saturating_sub(READING_LIFE_S);
        self.hosts.iter().filter_map(|host| host.held.as_ref()).filter(move |held| held.at >= fresh_from)
    }

    fn seconds(&self) -> u64 {
        self.last.map_or(0, |last| last.mono.as_secs())
    }
}

/// Derives a reading from an answer. `None` if it has no usable date.
fn reading(now: Now, date: &str, age: Option<&str>, took: Duration) -> Option<Reading> {
    let stated = parse(date)?.as_secs();
    let (age, rounding) = match age {
        None => (0, 1_000),
        // `Age` has whole seconds as well, rounded up or down.
        Some(age) => (i64::from(age.trim().parse::<u32>().ok()?), 2_000),
    };
    let stated = stated.saturating_add(age);
    // The header was written between sending and arrival, and `Date` cuts off up to a second: the range covers both.
    let low = stated.saturating_mul(1_000).saturating_sub(now.wall.as_millis());
    let width = u32::try_from(took.as_millis()).unwrap_or(u32::MAX).saturating_add(rounding);
    Some(Reading { low, width, at: now.mono.as_secs(), stated, repeated: false })
}

/// Parses an HTTP date in any form of RFC 9110: `Fri, 02 Jan 2026 03:04:05 GMT`, and the obsolete `Friday, 02-Jan-26
/// 03:04:05 GMT` and `Fri Jan 2 03:04:05 2026`. A two-digit year is one of 1976 to 2075, because no local
/// clock is reliable enough to choose the nearest century.
pub(crate) fn parse(date: &str) -> Option<UnixTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.split([' ', ',', '-', ':']).filter(|part| !part.is_empty());
    let mut fields = [""; 8];
    fields.iter_mut().zip(&mut parts).for_each(|(field, part)| *field = part);
    // The forms differ in the order of their fields; the obsolete asctime form has no zone.
    let ([_, day, month, year, hour, minute, second, "GMT"]
    | [_, month, day, hour, minute, second, year, ""]) = fields
    else {
        return None;
    };
    let year = match (year.len(), year.parse().ok()?) {
        (2, year @ 0..76) => 2_000 + year,
        (2, year @ 76..100) => 1_900 + year,
        (4, year) => year,
        _ => return None,
    };
    let month = u8::try_from(MONTHS.iter().position(|name| *name == month)? + 1).ok()?;
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day.parse().ok()?).ok()?;
    // A leap second counts as the second before it.
    let second = second.parse::<u8>().ok()?.min(59);
    let time = Time::from_hms(hour.parse().ok()?, minute.parse().ok()?, second).ok()?;
    let end = parts.next().is_none();
    end.then(|| UnixTime::from_secs(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp()))
}

#[cfg(test)]
mod tests;
