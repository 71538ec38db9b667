use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The simulated cloud's clock: it starts at the time of day, may run faster, and can be moved forward.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    wall_at_origin: Duration,
    speed: f64,
    /// Virtual nanoseconds that were skipped.
    skipped: AtomicU64,
}

impl Clock {
    /// Starts a clock; `speed` is the number of virtual seconds per real second.
    pub(crate) fn start(speed: f64) -> Self {
        let wall_at_origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), wall_at_origin, speed, skipped: AtomicU64::new(0) }
    }

    /// Virtual time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.origin.elapsed().mul_f64(self.speed) + self.skipped()
    }

    /// Moves the clock forward to `at` in virtual time. It never goes back.
    pub(crate) fn skip_to(&self, at: Duration) {
        let ahead = at.saturating_sub(self.elapsed());
        self.skipped.fetch_add(u64::try_from(ahead.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn skipped(&self) -> Duration {
        Duration::from_nanos(self.skipped.load(Ordering::Relaxed))
    }

    /// Virtual civil time, milliseconds since the Unix epoch.
    pub(crate) fn unix_millis(&self) -> i64 {
        i64::try_from((self.wall_at_origin + self.elapsed()).as_millis()).unwrap_or(i64::MAX)
    }

    /// Real time at which the virtual time is `at`.
    pub(crate) fn real(&self, at: Duration) -> Instant {
        self.origin + self.real_duration(at.saturating_sub(self.skipped()))
    }

    /// Real length of a virtual duration.
    pub(crate) fn real_duration(&self, virtual_time: Duration) -> Duration {
        Duration::try_from_secs_f64(virtual_time.as_secs_f64() / self.speed)
            .unwrap_or(Duration::from_secs(86_400))
    }
}
