//! Notifications for the service manager, by the protocol of sd_notify(3).

use std::time::Duration;

/// Connection to the service manager. Without one, nothing is sent.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    /// Time between two signs of life; `None` if the manager does not watch.
    watchdog: Option<Duration>,
    /// Time of the latest sign of life, since the start.
    alive: Option<Duration>,
    status: String,
}

impl Notifier {
    /// Reads what the manager expects from the environment.
    pub(super) fn new() -> Self {
        // Half of the limit, as sd_watchdog_enabled(3) recommends.
        Self { watchdog: manager::watchdog().map(|limit| limit / 2), ..Self::default() }
    }

    /// Time between two signs of life that the manager expects, if it watches.
    pub(super) const fn interval(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Reports that the bridge runs. The broker and the cloud may still be away.
    pub(super) fn ready(&self) {
        manager::send("READY=1");
    }

    /// Reports that the bridge stops in order.
    pub(super) fn stopping(&self) {
        manager::send("STOPPING=1");
    }

    /// Reports a turn of the event loop, and the status if it changed.
    pub(super) fn turn(&mut self, status: String, now: Duration) {
        if self.status != status {
            manager::send(&format!("STATUS={status}"));
            self.status = status;
        }
        // A timer may be early by its resolution.
        let is_due = |alive, interval: Duration| now.saturating_sub(alive) >= interval / 2;
        if let Some(interval) = self.watchdog
            && self.alive.is_none_or(|alive| is_due(alive, interval))
        {
            self.alive = Some(now);
            manager::send("WATCHDOG=1");
        }
    }
}

#[cfg(target_os = "linux")]
mod manager {
    use std::time::Duration;

    use sd_notify::NotifyState;

    pub(super) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
    }

    /// Sends a line. The bridge keeps running if the manager does not listen.
    pub(super) fn send(line: &str) {
        let _ = sd_notify::notify(&[NotifyState::Custom(line)]);
    }
}

#[cfg(not(target_os = "linux"))]
mod manager {
    pub(super) const fn watchdog() -> Option<std::time::Duration> {
        None
    }

    pub(super) const fn send(_: &str) {}
}
