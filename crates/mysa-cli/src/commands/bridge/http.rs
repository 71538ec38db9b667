//! Facts about a running bridge, as its HTTP server reports them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::status::Status;
use crate::support::http_server::Report;

/// Facts that the event loop writes and the server reads, so that the server answers although the loop is stuck.
#[derive(Clone)]
pub(super) struct Monitor {
    started: Instant,
    status: Arc<Mutex<Status>>,
}

impl Monitor {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, status: Arc::default() }
    }

    /// Records something; the time is that since the start.
    pub(super) fn record(&self, what: impl FnOnce(&mut Status, Duration)) {
        what(&mut self.lock(), self.started.elapsed());
    }

    /// One line for the service manager.
    pub(super) fn summary(&self) -> String {
        self.lock().summary(self.started.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // Every change under the lock is complete by itself, so a panic leaves nothing inconsistent.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report for Monitor {
    fn metrics(&self) -> String {
        self.lock().metrics(self.started.elapsed())
    }

    fn fault(&self) -> Option<String> {
        self.lock().fault(self.started.elapsed())
    }
}
