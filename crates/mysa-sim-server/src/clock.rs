use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The simulated cloud's clock: it starts at the time of day and may run faster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    wall_at_origin: Duration,
    speed: f64,
}

impl Clock {
    /// `speed` is how many virtual seconds pass in a real one.
    pub(crate) fn start(speed: f64) -> Self {
        let wall_at_origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), wall_at_origin, speed }
    }

    /// Virtual time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.origin.elapsed().mul_f64(self.speed)
    }

    /// Virtual civil time, milliseconds since the Unix epoch.
    pub(crate) fn unix_millis(&self) -> i64 {
        i64::try_from((self.wall_at_origin + self.elapsed()).as_millis()).unwrap_or(i64::MAX)
    }

    /// When, in real time, it will be `at` in virtual time.
    pub(crate) fn real(&self, at: Duration) -> Instant {
        self.origin + self.real_duration(at)
    }

    /// How long a virtual duration takes in real time.
    pub(crate) fn real_duration(&self, virtual_time: Duration) -> Duration {
        Duration::try_from_secs_f64(virtual_time.as_secs_f64() / self.speed)
            .unwrap_or(Duration::from_secs(86_400))
    }
}
