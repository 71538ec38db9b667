use core::time::Duration;

use mysa_proto::UnixTime;
use time::{Date, Month, PrimitiveDateTime, Time};

use crate::Now;

/// Estimate of the cloud's time, learnt from the `Date` headers of its hosts.
///
/// A host without a battery-backed clock starts with the wrong time, and its signatures are rejected, so the error must
/// be learnt. A cache or one host with a wrong clock must not undo that, so no answer is believed alone:
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
pub(crate) struct CloudClock {
    ahead_ms: i64,
    checked: bool,
    last: Option<Now>,
    /// Value of `ahead_ms` in case the cause of the last jump was guessed wrong.
    other_ms: Option<i64>,
    /// Time of the last request for a second answer, in seconds on the monotonic clock.
    doubted_at: Option<u64>,
    hosts: [HostReadings; ClockSource::COUNT],
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
    /// The answer contradicts an estimate that nothing else supports, and is not believed yet: a second answer would
    /// help. Returned at most once a minute.
    Doubt,
    /// The estimate moved; the value is the number of milliseconds by which the cloud is ahead of the host.
    Moved(i64),
}

#[derive(Clone, Copy, Debug, Default)]
struct HostReadings {
    held: Option<Reading>,
    /// Last answer, if it contradicts `held`.
    rival: Option<Reading>,
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
const DOUBT_INTERVAL_S: u64 = 60;

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
        let rival = self.rival.take().filter(fresh);
        self.held = Some(match (self.held.filter(fresh), rival) {
            (Some(held), _) if held.agrees(&new) => held.merge(new),
            // Two different dates cannot come from one cache entry.
            (Some(_), Some(rival)) if rival.agrees(&new) && rival.stated != new.stated => rival.merge(new),
            (Some(held), _) => {
                self.rival = Some(new);
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
        let HostReadings { held, rival } = self.hosts[source as usize];
        let ahead_ms = match rival.or(held) {
            Some(reading) if !reading.contains(self.ahead_ms) => reading.middle(),
            _ => self.ahead_ms,
        };
        now.wall.plus_millis(ahead_ms)
    }

    /// Milliseconds by which the cloud's clock is ahead of the host's.
    pub(crate) const fn ahead_ms(&self) -> i64 {
        self.ahead_ms
    }

    /// Returns `true` if an answer has ever agreed with the estimate.
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
        // The host's own clock counts as a witness until answers agree.
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
        // Readings are relative to the wall clock, so a jump invalidates all of them.
        self.hosts = Default::default();
        self.doubted_at = None;
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
        // An answer that fits the other explanation of the last jump needs no second witness.
        let explained = self.other_ms.filter(|other_ms| new.contains(*other_ms)).map(|_| new.middle());
        // Doubt is reported only while nothing else supports the estimate, and at most once a minute.
        let Some(ahead_ms) = explained.or_else(|| self.vote(new.at)) else {
            let asked = self.doubted_at.is_some_and(|at| new.at.saturating_sub(at) < DOUBT_INTERVAL_S);
            if asked || self.is_corroborated() {
                return Learned::Nothing;
            }
            self.doubted_at = Some(new.at);
            return Learned::Doubt;
        };
        self.ahead_ms = ahead_ms;
        self.other_ms = None;
        self.checked = true;
        Learned::Moved(ahead_ms)
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

/// Converts to whole milliseconds, saturating.
fn millis(time: Duration) -> i64 {
    let whole = i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000);
    whole.saturating_add(time.subsec_millis().into())
}

/// Parses an HTTP date in any form of RFC 9110: `Fri, 02 Jan 2026 03:04:05 GMT`, and the obsolete `Friday, 02-Jan-26
/// 03:04:05 GMT` and `Fri Jan  2 03:04:05 2026`. A two-digit year is one of 1976 to 2075, because no clock here is
/// reliable enough to tell which years are near.
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
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;
    use ClockSource::{BackendRest, Broker, IdentityPool, LegacyRest, UserPool};

    const DATE: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
    const AT: i64 = 1_767_323_045_000;
    const HOURS_9: i64 = 9 * 3_600_000;
    const MINUTES_20: i64 = 20 * 60_000;

    /// Host with a wall clock that may be wrong, the true time, and the clock under test.
    struct Host {
        clock: CloudClock,
        mono: Duration,
        wall_error_ms: i64,
    }

    impl Host {
        fn new(wall_error_ms: i64) -> Self {
            let mut host = Self { clock: CloudClock::default(), mono: Duration::ZERO, wall_error_ms };
            host.pass(0);
            host
        }

        fn now(&self) -> Now {
            let wall = AT + millis(self.mono) + self.wall_error_ms;
            Now { mono: self.mono, wall: UnixTime::from_millis(wall) }
        }

        fn pass(&mut self, secs: u64) -> Option<i64> {
            self.mono += Duration::from_secs(secs);
            self.clock.tick(self.now())
        }

        /// Feeds an answer of a host whose clock is wrong by `error_ms`.
        fn hear(&mut self, source: ClockSource, error_ms: i64) -> Learned {
            let date = imf(AT + millis(self.mono) + error_ms);
            self.clock.learn(self.now(), source, &date, None, Duration::from_millis(100))
        }

        /// Returns the error of the estimate in milliseconds.
        fn error_ms(&self) -> i64 {
            self.clock.time(self.now()).as_millis() - AT - millis(self.mono)
        }
    }

    fn imf(at_ms: i64) -> String {
        let date = time::OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(1_000)).unwrap();
        let (day, month) = (format!("{:?}", date.weekday()), format!("{:?}", date.month()));
        let (hour, minute, second) = date.to_hms();
        format!(
            "{}, {:02} {} {} {hour:02}:{minute:02}:{second:02} GMT",
            &day[..3],
            date.day(),
            &month[..3],
            date.year()
        )
    }

    #[test]
    fn all_three_forms_of_an_http_date_are_read_and_nothing_else() {
        let at = Some(UnixTime::from_millis(AT));
        for good in [
            DATE,
            " Fri, 02 Jan 2026 03:04:05 GMT ",
            "Friday, 02-Jan-26 03:04:05 GMT",
            "Fri Jan  2 03:04:05 2026",
        ] {
            assert_eq!(parse(good), at, "{good}");
        }
        assert_eq!(parse("Sunday, 06-Nov-94 08:49:37 GMT"), Some(UnixTime::from_secs(784_111_777)));
        assert_eq!(parse("Sat, 31 Dec 2016 23:59:60 GMT"), Some(UnixTime::from_secs(1_483_228_799)));
        for bad in [
            "",
            "GMT",
            "Fri, 02 Jan 2026",
            "Fri, 32 Jan 2026 03:04:05 GMT",
            "Fri, 02 Foo 2026 03:04:05 GMT",
            "Fri, 02 Jan 2026 24:04:05 GMT",
            "Fri, 02 Jan 2026 03:04:05 CET",
            "Fri, 02 Jan 2026 03:04:05 GMT GMT",
            "Fri, 02 Jan 2026 03:04:05",
            "Fri, 02 Jan 202 03:04:05 GMT",
            "Fri Jan 2 03:04:05 2026 GMT",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn two_hosts_correct_a_wrong_clock_either_way() {
        for error_ms in [-MINUTES_20, MINUTES_20, -56 * 365 * 86_400_000] {
            let mut host = Host::new(error_ms);
            assert_eq!(host.hear(UserPool, 0), Learned::Doubt);
            assert!((host.clock.time_of(UserPool, host.now()).as_millis() - AT).abs() < 1_200);
            assert_eq!(host.error_ms(), error_ms, "one answer alone is not believed");
            assert!(matches!(host.hear(IdentityPool, 0), Learned::Moved(_)));
            assert!(host.error_ms().abs() < 1_200 && host.clock.is_corroborated(), "{error_ms}");
        }
    }

    #[test]
    fn one_host_is_believed_when_it_repeats_itself_and_no_other_speaks() {
        let mut host = Host::new(MINUTES_20);
        host.hear(LegacyRest, 0);
        host.pass(1);
        assert!(matches!(host.hear(LegacyRest, 0), Learned::Moved(_)));
        assert!(host.error_ms().abs() < 1_200 && host.clock.is_corroborated());
    }

    #[test]
    fn a_cache_that_repeats_one_date_moves_nothing_however_often_it_is_asked() {
        for pause in [0, 1, 2, 60] {
            let mut host = Host::new(0);
            for _ in 0..100 {
                let now = host.now();
                let old = imf(AT - HOURS_9);
                host.clock.learn(now, LegacyRest, &old, None, Duration::from_millis(100));
                assert_eq!(host.clock.ahead_ms(), 0, "{pause}");
                host.pass(pause);
            }
            // The same after a correct answer.
            let mut host = Host::new(0);
            host.hear(UserPool, 0);
            for _ in 0..100 {
                let now = host.now();
                host.clock.learn(now, LegacyRest, DATE, None, Duration::from_millis(100));
                assert_eq!(host.clock.ahead_ms(), 0, "{pause}");
                host.pass(pause);
            }
        }
    }

    #[test]
    fn an_answer_out_of_a_cache_counts_with_its_age() {
        let mut host = Host::new(MINUTES_20);
        for (source, age) in [(LegacyRest, "32400"), (BackendRest, "32401")] {
            let now = host.now();
            host.clock.learn(now, source, &imf(AT - HOURS_9), Some(age), Duration::from_millis(100));
        }
        assert!(host.error_ms().abs() < 2_000, "{}", host.error_ms());
        let mut host = Host::new(0);
        for bad in ["", "-1", "soon", "99999999999"] {
            let now = host.now();
            let learned = host.clock.learn(now, LegacyRest, &imf(AT - HOURS_9), Some(bad), Duration::ZERO);
            assert_eq!(learned, Learned::Nothing, "{bad}");
        }
        assert!(!host.clock.is_checked());
    }

    #[test]
    fn a_host_with_a_wrong_clock_is_outvoted_in_every_order() {
        let sources = [UserPool, IdentityPool, LegacyRest, BackendRest, Broker];
        for host_error in [0, MINUTES_20] {
            for odd in sources {
                let mut host = Host::new(host_error);
                for round in 0..20_usize {
                    for step in 0..sources.len() {
                        let source = sources[(step * (1 + round % 4) + round) % sources.len()];
                        host.hear(source, if source == odd { HOURS_9 } else { 0 });
                        host.pass(7);
                        if round > 0 || host_error == 0 {
                            assert!(
                                host.error_ms().abs() < 1_200,
                                "{odd:?} {round} {step}: {}",
                                host.error_ms()
                            );
                        }
                    }
                }
                assert!(host.clock.is_corroborated());
                let (low, high) = host.clock.bounds(host.now());
                assert!(high.as_millis() - low.as_millis() < 3_000, "{odd:?} must not widen the bounds");
            }
        }
    }

    #[test]
    fn one_odd_answer_of_a_host_that_was_right_changes_nothing() {
        let mut host = Host::new(0);
        for _ in 0..2 {
            host.hear(LegacyRest, 0);
            host.pass(60);
        }
        host.hear(LegacyRest, -HOURS_9);
        assert!(host.clock.is_corroborated());
        host.pass(60);
        host.hear(LegacyRest, 0);
        host.pass(60);
        host.hear(LegacyRest, HOURS_9);
        assert_eq!((host.clock.ahead_ms(), host.clock.is_corroborated()), (0, true));
    }

    #[test]
    fn the_true_time_is_within_bounds_that_grow_narrow() {
        for host_error in [0, MINUTES_20] {
            let mut host = Host::new(host_error);
            for round in 0..60_u64 {
                for source in [UserPool, LegacyRest] {
                    host.mono += Duration::from_millis(3_170 + 13 * round);
                    host.hear(source, 0);
                    let (low, high) = host.clock.bounds(host.now());
                    let truth = AT + millis(host.mono);
                    assert!(low.as_millis() <= truth && truth <= high.as_millis(), "{round}");
                    if round > 30 {
                        assert!(high.as_millis() - low.as_millis() < 1_000, "{round}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_certain_before_two_answers_agree() {
        let mut host = Host::new(MINUTES_20);
        assert!(!host.clock.is_corroborated());
        host.hear(UserPool, 0);
        assert!(!host.clock.is_corroborated());
        let (low, high) = host.clock.bounds(host.now());
        assert!(
            low.as_millis() <= AT && AT + MINUTES_20 <= high.as_millis(),
            "both clocks must be within the bounds"
        );
        assert_eq!(host.hear(LegacyRest, HOURS_9), Learned::Nothing, "a second answer was requested already");
        assert!(!host.clock.is_corroborated());
    }

    #[test]
    fn a_slow_answer_is_no_reason_to_doubt_a_right_clock() {
        let mut host = Host::new(15_000);
        let now = host.now();
        assert_eq!(host.clock.learn(now, UserPool, DATE, None, Duration::from_secs(15)), Learned::Nothing);
        assert_eq!(host.clock.ahead_ms(), 0);
    }

    #[test]
    fn readings_lapse_so_that_a_clock_that_wandered_off_is_corrected() {
        let mut host = Host::new(0);
        host.hear(UserPool, 0);
        host.hear(IdentityPool, 0);
        // Each step is below `JUMP_MS`, so it looks like a slow call.
        for _ in 0..10 {
            host.wall_error_ms += 6_000;
            assert_eq!(host.pass(60), None);
        }
        for _ in 0..3 {
            host.pass(3_600);
            host.hear(LegacyRest, 0);
        }
        assert!(host.error_ms().abs() < 1_200, "{}", host.error_ms());
    }

    #[test]
    fn one_answer_tells_sleep_from_a_clock_that_was_set() {
        for (jump_ms, slept) in [(MINUTES_20, true), (MINUTES_20, false), (-MINUTES_20, false)] {
            let mut host = Host::new(0);
            host.hear(UserPool, 0);
            host.hear(IdentityPool, 0);
            if slept {
                // True time passes and the monotonic clock stands still: all hosts are ahead from now on.
                host.wall_error_ms += jump_ms;
                assert_eq!(host.pass(1), Some(jump_ms));
                assert_eq!(host.hear(LegacyRest, jump_ms), Learned::Nothing);
                assert_eq!(host.clock.ahead_ms(), 0);
            } else {
                host.wall_error_ms += jump_ms;
                assert_eq!(host.pass(1), Some(jump_ms));
                host.hear(LegacyRest, 0);
                assert!(host.error_ms().abs() < 1_200, "{jump_ms}: {}", host.error_ms());
                host.hear(BackendRest, -HOURS_9);
                assert!(host.error_ms().abs() < 1_200, "the next answer alone moves nothing");
            }
        }
    }

    #[test]
    fn sleep_and_a_set_clock_both_show_and_end_what_was_corroborated() {
        let mut host = Host::new(0);
        host.hear(UserPool, 0);
        host.hear(IdentityPool, 0);
        assert_eq!(host.pass(60), None);
        assert!(host.clock.is_corroborated());
        host.wall_error_ms += 3_600_000;
        assert_eq!(host.pass(1), Some(3_600_000));
        assert!(!host.clock.is_corroborated());
        host.wall_error_ms -= 3_600_000;
        assert_eq!(host.pass(1), Some(-3_600_000));
    }
}
