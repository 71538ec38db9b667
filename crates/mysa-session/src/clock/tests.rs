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
    fn answer(&mut self, source: ClockSource, error_ms: i64) -> Learned {
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
        assert_eq!(host.answer(UserPool, 0), Learned::NeedsSecondAnswer);
        assert!((host.clock.time_of(UserPool, host.now()).as_millis() - AT).abs() < 1_200);
        assert_eq!(host.error_ms(), error_ms, "one answer alone does not change the estimate");
        assert!(matches!(host.answer(IdentityPool, 0), Learned::Moved(_)));
        assert!(host.error_ms().abs() < 1_200 && host.clock.is_corroborated(), "{error_ms}");
    }
}

#[test]
fn one_host_that_repeats_its_date_is_enough_if_no_other_answers() {
    let mut host = Host::new(MINUTES_20);
    host.answer(LegacyRest, 0);
    host.pass(1);
    assert!(matches!(host.answer(LegacyRest, 0), Learned::Moved(_)));
    assert!(host.error_ms().abs() < 1_200 && host.clock.is_corroborated());
}

#[test]
fn a_cache_that_repeats_one_date_never_moves_the_estimate() {
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
        host.answer(UserPool, 0);
        for _ in 0..100 {
            let now = host.now();
            host.clock.learn(now, LegacyRest, DATE, None, Duration::from_millis(100));
            assert_eq!(host.clock.ahead_ms(), 0, "{pause}");
            host.pass(pause);
        }
    }
}

#[test]
fn an_answer_from_a_cache_counts_with_its_age() {
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
                    host.answer(source, if source == odd { HOURS_9 } else { 0 });
                    host.pass(7);
                    if round > 0 || host_error == 0 {
                        assert!(host.error_ms().abs() < 1_200, "{odd:?} {round} {step}: {}", host.error_ms());
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
fn one_wrong_answer_of_a_correct_host_changes_nothing() {
    let mut host = Host::new(0);
    for _ in 0..2 {
        host.answer(LegacyRest, 0);
        host.pass(60);
    }
    host.answer(LegacyRest, -HOURS_9);
    assert!(host.clock.is_corroborated());
    host.pass(60);
    host.answer(LegacyRest, 0);
    host.pass(60);
    host.answer(LegacyRest, HOURS_9);
    assert_eq!((host.clock.ahead_ms(), host.clock.is_corroborated()), (0, true));
}

#[test]
fn the_true_time_is_within_bounds_that_grow_narrow() {
    for host_error in [0, MINUTES_20] {
        let mut host = Host::new(host_error);
        for round in 0..60_u64 {
            for source in [UserPool, LegacyRest] {
                host.mono += Duration::from_millis(3_170 + 13 * round);
                host.answer(source, 0);
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
    host.answer(UserPool, 0);
    assert!(!host.clock.is_corroborated());
    let (low, high) = host.clock.bounds(host.now());
    assert!(
        low.as_millis() <= AT && AT + MINUTES_20 <= high.as_millis(),
        "both clocks must be within the bounds"
    );
    assert_eq!(host.answer(LegacyRest, HOURS_9), Learned::Nothing, "a second answer was requested already");
    assert!(!host.clock.is_corroborated());
}

#[test]
fn a_slow_answer_does_not_contradict_a_correct_clock() {
    let mut host = Host::new(15_000);
    let now = host.now();
    assert_eq!(host.clock.learn(now, UserPool, DATE, None, Duration::from_secs(15)), Learned::Nothing);
    assert_eq!(host.clock.ahead_ms(), 0);
}

#[test]
fn readings_expire_so_that_a_drifting_clock_is_corrected() {
    let mut host = Host::new(0);
    host.answer(UserPool, 0);
    host.answer(IdentityPool, 0);
    // Each step is below `JUMP_MS`, so it looks like a slow call.
    for _ in 0..10 {
        host.wall_error_ms += 6_000;
        assert_eq!(host.pass(60), None);
    }
    for _ in 0..3 {
        host.pass(3_600);
        host.answer(LegacyRest, 0);
    }
    assert!(host.error_ms().abs() < 1_200, "{}", host.error_ms());
}

#[test]
fn one_answer_distinguishes_a_suspend_from_a_clock_that_was_set() {
    for (jump_ms, slept) in [(MINUTES_20, true), (MINUTES_20, false), (-MINUTES_20, false)] {
        let mut host = Host::new(0);
        host.answer(UserPool, 0);
        host.answer(IdentityPool, 0);
        if slept {
            // True time passes and the monotonic clock stands still: all hosts are ahead from now on.
            host.wall_error_ms += jump_ms;
            assert_eq!(host.pass(1), Some(jump_ms));
            assert_eq!(host.answer(LegacyRest, jump_ms), Learned::Nothing);
            assert_eq!(host.clock.ahead_ms(), 0);
        } else {
            host.wall_error_ms += jump_ms;
            assert_eq!(host.pass(1), Some(jump_ms));
            host.answer(LegacyRest, 0);
            assert!(host.error_ms().abs() < 1_200, "{jump_ms}: {}", host.error_ms());
            host.answer(BackendRest, -HOURS_9);
            assert!(host.error_ms().abs() < 1_200, "the next answer alone moves nothing");
        }
    }
}

#[test]
fn sleep_and_a_set_clock_are_detected_and_end_the_corroboration() {
    let mut host = Host::new(0);
    host.answer(UserPool, 0);
    host.answer(IdentityPool, 0);
    assert_eq!(host.pass(60), None);
    assert!(host.clock.is_corroborated());
    host.wall_error_ms += 3_600_000;
    assert_eq!(host.pass(1), Some(3_600_000));
    assert!(!host.clock.is_corroborated());
    host.wall_error_ms -= 3_600_000;
    assert_eq!(host.pass(1), Some(-3_600_000));
}

#[test]
fn sleep_is_counted_once_it_is_told_from_a_clock_that_was_set() {
    const HOUR: i64 = 3_600_000;
    let seconds_since = |host: &Host, ago_ms: i64| {
        host.clock.asleep_ms_since(host.clock.time(host.now()).plus_millis(-ago_ms)) / 1_000
    };
    // An hour of sleep, then ten seconds. The rest of the world's clock went on.
    let mut host = Host::new(0);
    host.answer(UserPool, 0);
    host.wall_error_ms += HOUR;
    host.pass(10);
    assert_eq!(host.answer(UserPool, HOUR), Learned::Nothing);
    host.pass(10);
    for (ago_ms, asleep) in [(0, 0), (10_000, 0), (20_000, 10), (HOUR / 2 + 10_000, 1_800), (3 * HOUR, 3_600)]
    {
        assert_eq!(seconds_since(&host, ago_ms), asleep, "{ago_ms}");
    }
    // The clock was set.
    let mut host = Host::new(0);
    host.answer(UserPool, 0);
    host.wall_error_ms += HOUR;
    host.pass(10);
    assert!(matches!(host.answer(UserPool, 0), Learned::Moved(_)));
    assert_eq!(seconds_since(&host, 3 * HOUR), 0);
    // It was an hour slow, and the host slept for an hour: that looks like a correction.
    let mut host = Host::new(-HOUR);
    host.answer(UserPool, 0);
    host.answer(IdentityPool, 0);
    host.wall_error_ms += HOUR;
    host.pass(10);
    assert_eq!(seconds_since(&host, 3 * HOUR), 0);
    assert!(matches!(host.answer(UserPool, HOUR), Learned::Moved(_)));
    assert_eq!(seconds_since(&host, 3 * HOUR), 3_600);
    // A clock that was set back is no sleep, whatever the next answer says.
    let mut host = Host::new(HOUR);
    host.wall_error_ms -= HOUR;
    host.pass(10);
    host.answer(UserPool, 0);
    assert_eq!(seconds_since(&host, 3 * HOUR), 0);
}

#[test]
fn the_sum_of_many_sleeps_is_kept() {
    let mut host = Host::new(0);
    for night in 1..=40 {
        host.wall_error_ms += 8 * 3_600_000;
        host.pass(60);
        host.answer(UserPool, host.wall_error_ms);
        let before_all = UnixTime::from_millis(AT);
        assert_eq!(host.clock.asleep_ms_since(before_all), night * 8 * 3_600_000);
    }
}
