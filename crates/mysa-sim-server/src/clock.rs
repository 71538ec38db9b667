use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The simulated cloud's clock: it starts at the time of day, may run faster, stand still, and be moved forward.
#[derive(Debug)]
pub(crate) struct Clock {
    wall_at_origin: Duration,
    speed: f64,
    anchor: Mutex<Anchor>,
}

/// A virtual time, and the real time at which it was.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    elapsed: Duration,
    real: Instant,
    is_frozen: bool,
}

impl Anchor {
    fn elapsed(&self, real: Instant, speed: f64) -> Duration {
        let since = if self.is_frozen { Duration::ZERO } else { real.saturating_duration_since(self.real) };
        self.elapsed + since.mul_f64(speed)
    }
}

impl Clock {
    /// Starts a clock; `speed` is the number of virtual seconds per real second.
    pub(crate) fn start(speed: f64) -> Self {
        let wall_at_origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let anchor = Anchor { elapsed: Duration::ZERO, real: Instant::now(), is_frozen: false };
        Self { wall_at_origin, speed, anchor: Mutex::new(anchor) }
    }

    fn anchor(&self) -> MutexGuard<'_, Anchor> {
        // Each holder assigns whole values, so that a panic leaves a valid clock.
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.anchor().elapsed(Instant::now(), self.speed)
    }

    /// Moves the clock forward to `at` in virtual time. It never goes back.
    pub(crate) fn skip_to(&self, at: Duration) {
        let mut anchor = self.anchor();
        let real = Instant::now();
        let elapsed = anchor.elapsed(real, self.speed).max(at);
        *anchor = Anchor { elapsed, real, ..*anchor };
    }

    /// Stops the clock, or lets it run again.
    pub(crate) fn set_frozen(&self, is_frozen: bool) {
        let mut anchor = self.anchor();
        let real = Instant::now();
        *anchor = Anchor { elapsed: anchor.elapsed(real, self.speed), real, is_frozen };
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.anchor().is_frozen
    }

    pub(crate) const fn speed(&self) -> f64 {
        self.speed
    }

    /// Civil time at a virtual time, milliseconds since the Unix epoch.
    pub(crate) fn unix_millis(&self, elapsed: Duration) -> i64 {
        i64::try_from((self.wall_at_origin + elapsed).as_millis()).unwrap_or(i64::MAX)
    }

    /// Real time at which the virtual time is `at`; `None` while the clock stands still before it.
    pub(crate) fn real(&self, at: Duration) -> Option<Instant> {
        let anchor = *self.anchor();
        match at.checked_sub(anchor.elapsed).filter(|ahead| !ahead.is_zero()) {
            None => Some(anchor.real),
            Some(_) if anchor.is_frozen => None,
            Some(ahead) => Some(anchor.real + self.real_duration(ahead)),
        }
    }

    /// Real length of a virtual duration.
    pub(crate) fn real_duration(&self, virtual_time: Duration) -> Duration {
        const DAY: Duration = Duration::from_secs(86_400);
        Duration::try_from_secs_f64(virtual_time.as_secs_f64() / self.speed).unwrap_or(DAY).min(DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_frozen_clock_stands_still_until_it_is_moved_or_runs_again() {
        let clock = Clock::start(1_000.0);
        clock.set_frozen(true);
        let stopped = clock.elapsed();
        assert_eq!((clock.elapsed(), clock.is_frozen()), (stopped, true));
        assert_eq!(clock.real(stopped + HOUR), None, "it is never due");
        clock.skip_to(stopped + HOUR);
        assert_eq!(clock.elapsed(), stopped + HOUR);
        assert!(clock.real(stopped + HOUR).is_some(), "it is due");
        clock.skip_to(stopped);
        assert_eq!(clock.elapsed(), stopped + HOUR, "it never goes back");
        clock.set_frozen(false);
        assert!(clock.real(stopped + 2 * HOUR).is_some());
        let later = clock.elapsed();
        assert!(later >= stopped + HOUR, "it goes on from there");
        assert_eq!(clock.unix_millis(later + HOUR) - clock.unix_millis(later), 3_600_000);
    }
}
