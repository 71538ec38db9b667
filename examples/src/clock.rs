use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mysa_proto::UnixTime;
use mysa_session::{Now, Session};

/// Monotonic and wall clock of this host.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts the monotonic clock at zero.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Reads both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = UnixTime::from_secs(0).plus_millis(wall.as_millis().try_into().unwrap_or(i64::MAX));
        Now { mono: self.0.elapsed(), wall }
    }

    /// Time until the session's next deadline, or an hour if there is none.
    #[must_use]
    pub fn until_due(&self, session: &Session) -> Duration {
        let due = session.poll_timeout().map_or(Duration::from_secs(3_600), |deadline| deadline.at);
        due.saturating_sub(self.0.elapsed())
    }
}
