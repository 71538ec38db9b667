use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::record::Record;
use crate::{Rule, Violation};

/// Rules that a driver has broken so far, and the reports of the servers it talks to. Clones share one list.
#[derive(Clone, Debug)]
pub struct Ledger(pub(crate) Arc<Mutex<Record>>);

impl Ledger {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the broken rules in order. After this call, the session does not panic because of them when it is dropped.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut record = self.lock();
        record.read = true;
        record.violations.clone()
    }

    /// Returns `true` if a rule was broken. As [`Ledger::violations`], it counts as reading them.
    #[must_use]
    pub fn breaks(&self, rule: Rule) -> bool {
        self.violations().iter().any(|violation| violation.rule == rule)
    }

    /// Panics if a rule was broken.
    ///
    /// # Panics
    ///
    /// The message lists the broken rules.
    pub fn assert_kept(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "{}", report(&violations));
    }

    /// Sets how late a driver may be: with a call at a deadline, with a report, with the reading of its clock. The
    /// default, two minutes, only finds a driver that has stopped, on any machine; set seconds to find a slow one, and
    /// zero under virtual time.
    pub fn set_lateness(&self, lateness: Duration) {
        self.lock().lateness = lateness;
    }

    /// Sets the clock with which the readings of the driver are compared. The default is the system's monotonic clock;
    /// a test under virtual time sets its own.
    pub fn set_clock(&self, clock: impl Fn() -> Duration + Send + 'static) {
        self.lock().set_reference(clock);
    }

    /// A server reports an upgrade request, when it arrives. `target` is its path with the query, by which the other
    /// reports name the WebSocket.
    pub fn peer_upgrade(&self, target: &str) {
        self.lock().peer_upgrade(target);
    }

    /// A server reports bytes before it sends them on a WebSocket.
    pub fn peer_sent(&self, target: &str, bytes: &[u8]) {
        self.lock().peer_sent(target, bytes);
    }

    /// A server reports bytes that arrived on a WebSocket.
    pub fn peer_received(&self, target: &str, bytes: &[u8]) {
        self.lock().peer_received(target, bytes);
    }

    /// A server reports that the client has closed or reset a WebSocket.
    pub fn peer_closed(&self, target: &str) {
        self.lock().peer_closed(target);
    }

    /// A server reports an HTTP request, when it arrives. `url` is complete, with the host to which it was sent.
    pub fn peer_request(&self, method: &str, url: &str) {
        self.lock().peer_request(method, url);
    }
}

/// Number of violations in a panic's message. The first ones show the cause.
const REPORTED: usize = 10;

pub(crate) fn report(violations: &[Violation]) -> String {
    let mut text = String::from("the driver of the session breaks rules of its run loop:");
    for violation in violations.iter().take(REPORTED) {
        let _ = write!(text, "\n  {violation}");
    }
    if let Some(more) = violations.len().checked_sub(REPORTED).filter(|more| *more > 0) {
        let _ = write!(text, "\n  and {more} more");
    }
    text
}
