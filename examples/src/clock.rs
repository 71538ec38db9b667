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

    /// Time until the session's next deadline, at most 15 seconds: `Instant` may stop in a suspend, which the session
    /// notices by the wall clock at its next call.
    #[must_use]
    pub fn until_due(&self, session: &Session) -> Duration {
        let due = session.poll_timeout().map_or(Duration::MAX, |deadline| deadline.at);
        due.saturating_sub(self.0.elapsed()).min(Duration::from_secs(15))
    }
}
