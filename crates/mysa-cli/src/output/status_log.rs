//! Selection of the states that a long watch logs: every change at once, and a bad state that lasts
//! repeatedly, at growing intervals. The caller passes the time.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_tokio::{Level, Reason, Service};

use crate::output::timefmt;
use crate::output::view::Link;

/// Logged states, and the times at which each is logged again.
#[derive(Debug)]
pub(crate) struct StatusLog {
    service: Tracked<Level>,
    /// Reasons logged in this state. Reasons that alternate are logged once each.
    reasons: Vec<Reason>,
    devices: BTreeMap<DeviceId, Tracked<Link>>,
}

#[derive(Debug)]
struct Tracked<T> {
    state: T,
    since: Duration,
    repeats: u32,
    /// Time of the next repetition; `None` while the state is good.
    again_at: Option<Duration>,
}

/// An entry to log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Entry<T> {
    /// The state changed to this. With the previous state and its duration, if that was logged.
    Changed { state: T, was: Option<(T, Duration)> },
    /// The state has lasted for this long.
    Still { state: T, lasted: Duration },
}

/// First interval between two repetitions. It doubles each time.
const FIRST_INTERVAL: Duration = Duration::from_secs(60);
/// Longest interval between two repetitions, also of a state that lasts for days.
const MAX_INTERVAL: Duration = Duration::from_secs(3_600);
/// A state that lasted no longer than this belongs to the start and is not an outage.
const START_PHASE: Duration = Duration::from_secs(5);
/// Maximum number of reasons remembered. A state cannot have more.
const MAX_REASONS: usize = 16;

impl<T: Copy + PartialEq> Tracked<T> {
    fn new(now: Duration, state: T, is_good: bool) -> Self {
        Self {
            state,
            since: now,
            repeats: 0,
            again_at: (!is_good).then(|| now.saturating_add(FIRST_INTERVAL)),
        }
    }

    fn change(&mut self, now: Duration, state: T, is_good: bool) -> Option<Entry<T>> {
        if self.state == state {
            return None;
        }
        let was = Some((self.state, now.saturating_sub(self.since)));
        *self = Self::new(now, state, is_good);
        Some(Entry::Changed { state, was })
    }

    fn repeat(&mut self, now: Duration) -> Option<Entry<T>> {
        self.again_at.filter(|at| *at <= now)?;
        self.repeats = self.repeats.saturating_add(1);
        let pause = FIRST_INTERVAL.saturating_mul(1 << self.repeats.min(16)).min(MAX_INTERVAL);
        self.again_at = Some(now.saturating_add(pause));
        Some(Entry::Still { state: self.state, lasted: now.saturating_sub(self.since) })
    }
}

impl StatusLog {
    /// Creates a log with a first state, which the caller logs.
    pub(crate) fn new(now: Duration, level: Level, reason: Reason) -> Self {
        Self {
            service: Tracked::new(now, level, is_good(level, reason)),
            reasons: vec![reason],
            devices: BTreeMap::new(),
        }
    }

    /// Updates the service level and its reason.
    pub(crate) fn service(&mut self, now: Duration, level: Level, reason: Reason) -> Option<Entry<Level>> {
        let entry = self.service.change(now, level, is_good(level, reason));
        if entry.is_some() {
            self.reasons.clear();
        } else if reason == Reason::NoMessages {
            // Every new connection begins with it. It is logged if it lasts.
            return None;
        }
        if self.reasons.contains(&reason) || self.reasons.len() >= MAX_REASONS {
            return entry;
        }
        self.reasons.push(reason);
        // Each further reason is logged once.
        entry.or(Some(Entry::Changed { state: level, was: None }))
    }

    /// Updates the link of a thermostat. A thermostat that is live from the start, or soon after it, is not logged.
    pub(crate) fn device(&mut self, now: Duration, id: DeviceId, link: Link) -> Option<Entry<Link>> {
        let is_good = link.is_current();
        let Some(tracked) = self.devices.get_mut(&id) else {
            if link == Link::Rest {
                // The first message may still arrive.
                self.devices.insert(id, Tracked::new(now, Link::Unseen, true));
                return None;
            }
            self.devices.insert(id, Tracked::new(now, link, is_good));
            return (!is_good && link != Link::Unseen).then_some(Entry::Changed { state: link, was: None });
        };
        let soon = tracked.state == Link::Unseen && tracked.repeats == 0;
        if soon && link == Link::Rest {
            return None;
        }
        tracked.change(now, link, is_good).filter(|_| !(is_good && soon))
    }

    /// Forgets a thermostat that left the account.
    pub(crate) fn forget(&mut self, id: DeviceId) {
        self.devices.remove(&id);
    }

    /// Service level, if it has lasted long enough to be logged again.
    pub(crate) fn service_still(&mut self, now: Duration) -> Option<Entry<Level>> {
        self.service.repeat(now)
    }

    /// Links that have lasted long enough to be logged again.
    pub(crate) fn devices_still(&mut self, now: Duration) -> Vec<(DeviceId, Entry<Link>)> {
        self.devices.iter_mut().filter_map(|(id, tracked)| Some((*id, tracked.repeat(now)?))).collect()
    }

    /// Time of the next repetition.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.devices.values().filter_map(|tracked| tracked.again_at).chain(self.service.again_at).min()
    }
}

/// Describes the link of a thermostat, to follow "NAME is".
pub(crate) fn describe_link(entry: Entry<Link>) -> String {
    match entry {
        Entry::Changed { state: Link::Live, was: Some((_, lasted)) } => {
            format!("live again, after {}", span(lasted))
        }
        Entry::Changed { state, .. } => format!("{}: {}", state.name(), state.meaning()),
        Entry::Still { state, lasted } => format!("still {}, for {}", state.name(), span(lasted)),
    }
}

/// Describes the service. `failures` and `retry_in` belong to a state that lasts.
pub(crate) fn describe_service(
    service: &Service,
    entry: Entry<Level>,
    failures: u32,
    retry_in: Option<Duration>,
) -> String {
    match entry {
        Entry::Changed { state, was: Some((was, lasted)) } if state < was && lasted >= START_PHASE => {
            format!("{service} again, after {}", span(lasted))
        }
        Entry::Changed { .. } => service.to_string(),
        Entry::Still { lasted, .. } => {
            let since = span(lasted);
            format!(
                "still {}, for {since}: {}{}",
                service.level,
                service.reason,
                describe_attempts(failures, retry_in)
            )
        }
    }
}

fn describe_attempts(failures: u32, retry_in: Option<Duration>) -> String {
    let next = retry_in.map(|wait| format!("next in {} s", wait.as_secs()));
    match (failures, next) {
        (0, None) => String::new(),
        (0, Some(next)) => format!("; {next}"),
        (failures, None) => format!("; failed attempts: {failures}"),
        (failures, Some(next)) => format!("; failed attempts: {failures}, {next}"),
    }
}

fn span(span: Duration) -> String {
    timefmt::span(i64::try_from(span.as_secs()).unwrap_or(i64::MAX))
}

/// Returns `true` if statuses arrive as well as this account allows.
fn is_good(level: Level, reason: Reason) -> bool {
    level <= Level::ReadOnly || reason == Reason::NoDevices
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const DAY: u64 = 86_400;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn id() -> DeviceId {
        DeviceId::new("a0b1c2d3e4f5").unwrap()
    }

    fn live() -> StatusLog {
        StatusLog::new(secs(0), Level::Live, Reason::Healthy)
    }

    #[test]
    fn a_state_that_lasts_for_nine_days_is_logged_at_least_hourly() {
        let mut log = live();
        assert_eq!(log.due(), None, "a good state is not repeated");
        let gone = log.service(secs(10), Level::Offline, Reason::Unreachable);
        assert!(matches!(gone, Some(Entry::Changed { state: Level::Offline, .. })));
        let (mut logged, mut last) = (Vec::new(), secs(10));
        while let Some(at) = log.due().filter(|at| *at < secs(9 * DAY)) {
            let entry = log.service_still(at).unwrap();
            assert_eq!(entry, Entry::Still { state: Level::Offline, lasted: at - secs(10) });
            assert!(at - last <= MAX_INTERVAL, "silent from {last:?} to {at:?}");
            logged.push(at);
            last = at;
        }
        assert_eq!(logged[..3], [secs(10 + MINUTE), secs(10 + 3 * MINUTE), secs(10 + 7 * MINUTE)]);
        assert!(logged.len() < 9 * 24 + 10, "{} lines", logged.len());
        let back = log.service(secs(9 * DAY), Level::Live, Reason::Healthy);
        let was = Some((Level::Offline, secs(9 * DAY - 10)));
        assert_eq!(back, Some(Entry::Changed { state: Level::Live, was }));
        assert_eq!(log.due(), None);
    }

    #[test]
    fn a_connection_that_has_delivered_nothing_yet_is_logged_if_it_lasts() {
        let mut log = StatusLog::new(secs(0), Level::RestOnly, Reason::Starting);
        assert_eq!(log.service(secs(1), Level::RestOnly, Reason::NoMessages), None);
        let still = Entry::Still { state: Level::RestOnly, lasted: secs(60) };
        assert_eq!(log.service_still(secs(60)), Some(still));
        assert!(log.service(secs(61), Level::RestOnly, Reason::NoLiveReports).is_some());
        assert!(log.service(secs(62), Level::Live, Reason::Healthy).is_some());
        assert!(
            log.service(secs(63), Level::RestOnly, Reason::NoMessages).is_some(),
            "the level has changed"
        );
    }

    #[test]
    fn alternating_reasons_are_logged_once_each() {
        let mut log = live();
        let reasons = [Reason::Unreachable, Reason::ServerTrouble { status: 503 }];
        let mut is_logged = |n: u64| log.service(secs(n), Level::Offline, reasons[n as usize % 2]).is_some();
        let lines = (0..1_000).filter(|n| is_logged(*n)).count();
        assert_eq!(lines, 2);
    }

    #[test]
    fn silence_and_recovery_of_a_thermostat_are_logged() {
        let mut log = live();
        assert_eq!(log.device(secs(0), id(), Link::Live), None);
        assert_eq!(log.device(secs(5), id(), Link::Live), None);
        let was = Some((Link::Live, secs(600)));
        assert_eq!(
            log.device(secs(600), id(), Link::Silent),
            Some(Entry::Changed { state: Link::Silent, was })
        );
        assert_eq!(log.devices_still(secs(659)), []);
        let still = Entry::Still { state: Link::Silent, lasted: secs(60) };
        assert_eq!(log.devices_still(secs(660)), [(id(), still)]);
        let was = Some((Link::Silent, secs(400)));
        assert_eq!(
            log.device(secs(1_000), id(), Link::Live),
            Some(Entry::Changed { state: Link::Live, was })
        );
        assert_eq!((log.due(), log.devices_still(secs(9_999))), (None, vec![]));
    }

    #[test]
    fn a_lasting_state_is_logged_with_its_attempts() {
        let still = Entry::Still { state: Link::Silent, lasted: secs(7_300) };
        assert_eq!(describe_link(still), "still silent, for 2 h");
        assert_eq!(describe_attempts(12, Some(secs(60))), "; failed attempts: 12, next in 60 s");
        assert_eq!(
            (describe_attempts(0, None), describe_attempts(1, None)),
            (String::new(), "; failed attempts: 1".into())
        );
        let now = Entry::Changed { state: Link::Live, was: Some((Link::Silent, secs(90))) };
        assert_eq!(describe_link(now), "live again, after 90 s");
    }

    #[test]
    fn a_thermostat_without_a_message_is_logged() {
        let mut log = live();
        assert_eq!(log.device(secs(0), id(), Link::Unseen), None, "it may still come");
        let still = Entry::Still { state: Link::Unseen, lasted: secs(60) };
        assert_eq!(log.devices_still(secs(60)), [(id(), still)]);
        assert!(log.device(secs(70), id(), Link::Live).is_some());
        assert_eq!(log.device(secs(80), id(), Link::Silent).map(|_| ()), Some(()));
        assert_eq!(log.due(), Some(secs(140)));
        log.forget(id());
        assert_eq!(log.due(), None);
    }
}
