use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mysa_proto::UnixTime;
use mysa_session::Now;

/// Clock that a client counts its deadlines on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClockSource {
    /// `CLOCK_BOOTTIME` of Linux and Android. It runs while the host sleeps, so a command whose deadline passes during
    /// a suspend expires unsent.
    Boottime,
    /// Monotonic clock of [`std::time::Instant`], on all other systems. It may stand still while the host sleeps. The
    /// session notices a suspend by the wall clock nevertheless.
    Monotonic,
}

/// Monotonic and wall clock of this host.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    origin: Origin,
}

/// Start of the client. The monotonic readings of the session count from it.
#[derive(Clone, Debug)]
enum Origin {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Boottime(Duration),
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    Monotonic(std::time::Instant),
    /// Start on the paused tokio clock, and the time spent in suspend, which tokio's timers do not count.
    #[cfg(test)]
    Virtual(tokio::time::Instant, std::sync::Arc<std::sync::Mutex<Duration>>),
}

impl Clock {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn start() -> Self {
        Self { origin: Origin::Boottime(boottime()) }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn start() -> Self {
        Self { origin: Origin::Monotonic(std::time::Instant::now()) }
    }

    #[cfg(test)]
    pub(crate) fn paused(suspended: &std::sync::Arc<std::sync::Mutex<Duration>>) -> Self {
        let origin = Origin::Virtual(tokio::time::Instant::now(), std::sync::Arc::clone(suspended));
        Self { origin }
    }

    pub(crate) const SOURCE: ClockSource = if cfg!(any(target_os = "linux", target_os = "android")) {
        ClockSource::Boottime
    } else {
        ClockSource::Monotonic
    };

    pub(crate) fn now(&self) -> Now {
        let mono = match &self.origin {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Origin::Boottime(origin) => boottime().saturating_sub(*origin),
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Origin::Monotonic(origin) => origin.elapsed(),
            #[cfg(test)]
            Origin::Virtual(origin, suspended) => {
                let mono = origin.elapsed() + *suspended.lock().expect("no panic");
                let wall = 1_767_323_045_000 + i64::try_from(mono.as_millis()).expect("a short test");
                return Now { mono, wall: UnixTime::from_millis(wall) };
            }
        };
        // A clock before 1970 counts as 1970; the session corrects it from the cloud's time.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = UnixTime::from_millis(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX));
        Now { mono, wall }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boottime() -> Duration {
    let read = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(read.tv_sec).unwrap_or(0), u32::try_from(read.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_this_host_goes_forward_from_zero() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first.mono < Duration::from_secs(60), "{first:?}");
        assert!(clock.now().mono >= first.mono);
    }
}
