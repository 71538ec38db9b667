use std::fmt;
use std::time::{Duration, Instant};

use mysa_sim::{Check, CheckReport, CheckSettings};

use crate::feed::{Events, Notice};
use crate::server::Server;

/// A conformance check of the clients of a [`Server`], from [`Server::check`].
pub struct CheckRun<'a> {
    server: &'a Server,
    events: Events,
    check: Check,
}

impl fmt::Debug for CheckRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckRun").field("step", &self.check.step()).finish_non_exhaustive()
    }
}

/// Longest time until the cloud's clock is read again, because it may be moved or frozen meanwhile.
const CLOCK_CHECK: Duration = Duration::from_secs(1);

impl Server {
    /// Begins a conformance check of the clients, which connect from now on. The check starts and ends faults of its own;
    /// see [`Check`].
    ///
    /// Nothing happens until [`CheckRun::next_step`] or [`CheckRun::finish`] is awaited.
    #[must_use]
    pub fn check(&self, settings: CheckSettings) -> CheckRun<'_> {
        let events = self.events();
        let check = self.with_cloud(|cloud, now| Check::new(cloud, settings, now));
        CheckRun { server: self, events, check }
    }
}

impl CheckRun<'_> {
    /// Runs until the next step begins. Returns its name and the action of the simulator in it, or `None` at
    /// the end of the script. Dropping the future loses nothing.
    pub async fn next_step(&mut self) -> Option<(&'static str, &'static str)> {
        let before = self.check.step();
        loop {
            let due = self.check.poll_timeout()?;
            let latest = Instant::now() + CLOCK_CHECK;
            let wake = self.server.real(due).map_or(latest, |at| at.min(latest));
            tokio::select! {
                // Events are handled before the time: a step must not end while the event that it waits for
                // is in the queue.
                biased;
                notice = self.events.next() => match notice {
                    Some(Notice::Event(event)) => self.check.handle_event(&event),
                    Some(Notice::Lost(count)) => self.check.handle_missed(count),
                    None => return None,
                },
                () = tokio::time::sleep_until(wake.into()) => {
                    let now = self.server.with_cloud(|_, now| now);
                    self.check.handle_timeout(now);
                }
            }
            self.server.with_cloud(|cloud, now| self.check.act(cloud, now));
            if self.check.step() != before && !self.check.is_finished() {
                return Some(self.check.step());
            }
        }
    }

    /// Runs to the end of the script.
    pub async fn finish(&mut self) {
        while self.next_step().await.is_some() {}
    }

    /// Report of the steps so far.
    #[must_use]
    pub fn report(&self) -> CheckReport {
        self.check.report()
    }
}
