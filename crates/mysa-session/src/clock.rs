use core::time::Duration;

use mysa_proto::UnixTime;
use time::{Date, Month, PrimitiveDateTime, Time};

use crate::Now;

/// What is known of the host's clock: how far the cloud's is ahead of it, learnt from `Date` headers.
///
/// A host that has just booted without a battery signs requests nobody accepts; the first HTTP answer mends it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloudClock {
    ahead_ms: i64,
    checked: bool,
    last: Option<Now>,
}

/// Two readings that disagree by less than this agree: `Date` has whole seconds, and answers take time.
const TOLERANCE_MS: i64 = 2_000;

/// The host's clocks moved apart by this much between two calls: one was set, or the host slept.
const JUMP_MS: i64 = 15_000;

impl CloudClock {
    /// The cloud's time.
    pub(crate) const fn time(&self, now: Now) -> UnixTime {
        now.wall.plus_millis(self.ahead_ms)
    }

    /// How far the cloud's clock is ahead of the host's.
    pub(crate) const fn ahead_ms(&self) -> i64 {
        self.ahead_ms
    }

    /// Whether it was ever compared with the cloud's.
    pub(crate) const fn is_checked(&self) -> bool {
        self.checked
    }

    /// Notes both clocks, and says by how much the wall clock has run ahead of the other since the last call, if that
    /// is more than drift.
    pub(crate) fn tick(&mut self, now: Now) -> Option<i64> {
        let last = self.last.replace(now)?;
        let mono = millis(now.mono.saturating_sub(last.mono));
        let wall = now.wall.as_millis().saturating_sub(last.wall.as_millis());
        let jump = wall.saturating_sub(mono);
        if jump.saturating_abs() <= JUMP_MS {
            return None;
        }
        // Only somebody who sets it turns a clock back; and if it ran ahead by what it was behind, it was set right.
        // Any other leap forward may be sleep, through which the error of the clock stays what it was.
        if jump < 0 || (jump - self.ahead_ms).saturating_abs() < JUMP_MS {
            self.ahead_ms = self.ahead_ms.saturating_sub(jump);
        }
        Some(jump)
    }

    /// Learns from the `Date` of an answer that took `took`. Returns the new lead if it changed.
    pub(crate) fn learn(&mut self, now: Now, date: &str, took: Duration) -> Option<i64> {
        let date = parse(date)?;
        self.checked = true;
        let took = millis(took);
        // The date was written at some moment while the answer was under way.
        let late = date.as_millis().saturating_add(took).saturating_sub(self.time(now).as_millis());
        let early = date.as_millis().saturating_sub(self.time(now).as_millis());
        if late >= -TOLERANCE_MS && early <= TOLERANCE_MS {
            return None;
        }
        let seen = date.as_millis().saturating_add(500).saturating_add(took / 2);
        self.ahead_ms = seen.saturating_sub(now.wall.as_millis());
        Some(self.ahead_ms)
    }
}

/// Whole milliseconds. Saturates.
fn millis(time: Duration) -> i64 {
    let whole = i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000);
    whole.saturating_add(time.subsec_millis().into())
}

/// Reads `Fri, 02 Jan 2026 03:04:05 GMT`, the one form RFC 9110 lets a server write.
pub(crate) fn parse(date: &str) -> Option<UnixTime> {
    let mut parts = date.trim().strip_suffix(" GMT")?.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| *name == month)?;
    let month = Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let mut clock = time.split(':').map(str::parse::<u8>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    // A leap second is the second before it.
    let time = Time::from_hms(hour, minute, second.min(59)).ok()?;
    Some(UnixTime::from_secs(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
    const AT: i64 = 1_767_323_045_000;

    fn now(mono_s: u64, wall_ms: i64) -> Now {
        Now { mono: Duration::from_secs(mono_s), wall: UnixTime::from_millis(wall_ms) }
    }

    #[test]
    fn only_the_one_form_of_date_is_read() {
        assert_eq!(parse(DATE), Some(UnixTime::from_millis(AT)));
        for bad in
            ["", "GMT", "Fri, 02 Jan 2026", "Fri, 32 Jan 2026 03:04:05 GMT", "Fri, 02 Foo 2026 03:04:05 GMT"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_host_clock_twenty_minutes_off_is_mended_either_way() {
        for error_ms in [-1_200_000, 1_200_000] {
            let mut clock = CloudClock::default();
            let now = now(0, AT + error_ms);
            assert!(clock.learn(now, DATE, Duration::from_millis(100)).is_some());
            assert!((clock.time(now).as_millis() - AT).abs() < 1_000, "{error_ms}");
        }
    }

    #[test]
    fn a_slow_answer_is_no_reason_to_doubt_a_right_clock() {
        let mut clock = CloudClock::default();
        assert_eq!(clock.learn(now(0, AT + 15_000), DATE, Duration::from_secs(15)), None);
        assert_eq!(clock.ahead_ms(), 0);
    }

    #[test]
    fn sleep_and_a_set_clock_both_show() {
        let mut clock = CloudClock::default();
        assert_eq!(clock.tick(now(0, AT)), None);
        assert_eq!(clock.tick(now(60, AT + 60_000)), None);
        assert_eq!(clock.tick(now(61, AT + 3_661_000)), Some(3_600_000));
        assert_eq!(clock.tick(now(62, AT + 62_000)), Some(-3_600_000));
    }
}
