//! What of a long watch is worth a line: every change of state at once, and what lasts ever more seldom, but never not at
//! all. Time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_tokio::{Level, Reason, Service};

use crate::output::timefmt;
use crate::output::view::Link;

/// What was told, and when it is to be told again.
#[derive(Debug)]
pub(crate) struct News {
    service: Told<Level>,
    /// Reasons told in this state: those that alternate are told once each.
    reasons: Vec<Reason>,
    devices: BTreeMap<DeviceId, Told<Link>>,
}

#[derive(Debug)]
struct Told<T> {
    state: T,
    since: Duration,
    repeats: u32,
    /// When it is told again; never while all is well.
    again_at: Option<Duration>,
}

/// Something to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Note<T> {
    /// It is so now. What was before, and for how long, if it was told.
    Now { state: T, was: Option<(T, Duration)> },
    /// It is still so, for that long.
    Still { state: T, lasted: Duration },
}

/// The first pause between two repeats; it doubles from one to the next.
const FIRST: Duration = Duration::from_secs(60);
/// The longest: a state that lasts for days is told this often.
const LONGEST: Duration = Duration::from_secs(3_600);
/// What lasted no longer was part of a beginning.
const MOMENT: Duration = Duration::from_secs(5);
/// Reasons remembered; there are no more kinds that make sense in one state.
const REASONS: usize = 16;

impl<T: Copy + PartialEq> Told<T> {
    fn new(now: Duration, state: T, well: bool) -> Self {
        Self { state, since: now, repeats: 0, again_at: (!well).then(|| now.saturating_add(FIRST)) }
    }

    fn change(&mut self, now: Duration, state: T, well: bool) -> Option<Note<T>> {
        if self.state == state {
            return None;
        }
        let was = Some((self.state, now.saturating_sub(self.since)));
        *self = Self::new(now, state, well);
        Some(Note::Now { state, was })
    }

    fn repeat(&mut self, now: Duration) -> Option<Note<T>> {
        self.again_at.filter(|at| *at <= now)?;
        self.repeats = self.repeats.saturating_add(1);
        let pause = FIRST.saturating_mul(1 << self.repeats.min(16)).min(LONGEST);
        self.again_at = Some(now.saturating_add(pause));
        Some(Note::Still { state: self.state, lasted: now.saturating_sub(self.since) })
    }
}

impl News {
    /// What there is at the beginning, which the caller tells.
    pub(crate) fn new(now: Duration, level: Level, reason: Reason) -> Self {
        Self {
            service: Told::new(now, level, is_well(level, reason)),
            reasons: vec![reason],
            devices: BTreeMap::new(),
        }
    }

    /// The service is this now.
    pub(crate) fn service(&mut self, now: Duration, level: Level, reason: Reason) -> Option<Note<Level>> {
        let note = self.service.change(now, level, is_well(level, reason));
        if note.is_some() {
            self.reasons.clear();
        }
        if self.reasons.contains(&reason) || self.reasons.len() >= REASONS {
            return note;
        }
        self.reasons.push(reason);
        // Another reason is worth a line, once.
        note.or(Some(Note::Now { state: level, was: None }))
    }

    /// A thermostat is this now. One that is live from the beginning, or that was not waited for for long, is no news.
    pub(crate) fn device(&mut self, now: Duration, id: DeviceId, link: Link) -> Option<Note<Link>> {
        let well = link == Link::Live;
        let Some(told) = self.devices.get_mut(&id) else {
            self.devices.insert(id, Told::new(now, link, well));
            return (!well && link != Link::Unheard).then_some(Note::Now { state: link, was: None });
        };
        let soon = told.state == Link::Unheard && told.repeats == 0;
        told.change(now, link, well).filter(|_| !(well && soon))
    }

    /// A thermostat has left.
    pub(crate) fn forget(&mut self, id: DeviceId) {
        self.devices.remove(&id);
    }

    /// What has lasted long enough to be told again.
    pub(crate) fn service_still(&mut self, now: Duration) -> Option<Note<Level>> {
        self.service.repeat(now)
    }

    /// The same of the thermostats.
    pub(crate) fn devices_still(&mut self, now: Duration) -> Vec<(DeviceId, Note<Link>)> {
        self.devices.iter_mut().filter_map(|(id, told)| Some((*id, told.repeat(now)?))).collect()
    }

    /// When there will be something to tell again.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.devices.values().filter_map(|told| told.again_at).chain(self.service.again_at).min()
    }
}

/// A line about a thermostat, behind "it is".
pub(crate) fn said_link(note: Note<Link>) -> String {
    match note {
        Note::Now { state: Link::Live, was: Some((_, lasted)) } => {
            format!("live again, after {}", span(lasted))
        }
        Note::Now { state, .. } => format!("{}: {}", state.name(), state.meaning()),
        Note::Still { state, lasted } => format!("still {}, for {}", state.name(), span(lasted)),
    }
}

/// A line about the service. `failures` and `retry_in` are for what lasts.
pub(crate) fn said_service(
    service: &Service,
    note: Note<Level>,
    failures: u32,
    retry_in: Option<Duration>,
) -> String {
    match note {
        Note::Now { state, was: Some((was, lasted)) } if state < was && lasted >= MOMENT => {
            format!("{service} again, after {}", span(lasted))
        }
        Note::Now { .. } => service.to_string(),
        Note::Still { lasted, .. } => {
            let since = span(lasted);
            format!(
                "still {}, for {since}: {}{}",
                service.level,
                service.reason,
                said_tries(failures, retry_in)
            )
        }
    }
}

fn said_tries(failures: u32, retry_in: Option<Duration>) -> String {
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

/// Whether statuses come as well as they ever will.
fn is_well(level: Level, reason: Reason) -> bool {
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

    fn live() -> News {
        News::new(secs(0), Level::Live, Reason::Healthy)
    }

    #[test]
    fn a_state_that_lasts_for_nine_days_is_never_left_unsaid_for_long() {
        let mut news = live();
        assert_eq!(news.due(), None, "nothing is repeated while all is well");
        let gone = news.service(secs(10), Level::Offline, Reason::Unreachable);
        assert!(matches!(gone, Some(Note::Now { state: Level::Offline, .. })));
        let (mut told, mut last) = (Vec::new(), secs(10));
        while let Some(at) = news.due().filter(|at| *at < secs(9 * DAY)) {
            let note = news.service_still(at).unwrap();
            assert_eq!(note, Note::Still { state: Level::Offline, lasted: at - secs(10) });
            assert!(at - last <= LONGEST, "silent from {last:?} to {at:?}");
            told.push(at);
            last = at;
        }
        assert_eq!(told[..3], [secs(10 + MINUTE), secs(10 + 3 * MINUTE), secs(10 + 7 * MINUTE)]);
        assert!(told.len() < 9 * 24 + 10, "{} lines", told.len());
        let back = news.service(secs(9 * DAY), Level::Live, Reason::Healthy);
        let was = Some((Level::Offline, secs(9 * DAY - 10)));
        assert_eq!(back, Some(Note::Now { state: Level::Live, was }));
        assert_eq!(news.due(), None);
    }

    #[test]
    fn reasons_that_alternate_are_told_once_each() {
        let mut news = live();
        let reasons = [Reason::Unreachable, Reason::ServerTrouble { status: 503 }];
        let mut told = |n: u64| news.service(secs(n), Level::Offline, reasons[n as usize % 2]).is_some();
        let lines = (0..1_000).filter(|n| told(*n)).count();
        assert_eq!(lines, 2);
    }

    #[test]
    fn a_thermostat_that_falls_silent_and_recovers_is_told_both_times() {
        let mut news = live();
        assert_eq!(news.device(secs(0), id(), Link::Live), None);
        assert_eq!(news.device(secs(5), id(), Link::Live), None);
        let was = Some((Link::Live, secs(600)));
        assert_eq!(news.device(secs(600), id(), Link::Silent), Some(Note::Now { state: Link::Silent, was }));
        assert_eq!(news.devices_still(secs(659)), []);
        let still = Note::Still { state: Link::Silent, lasted: secs(60) };
        assert_eq!(news.devices_still(secs(660)), [(id(), still)]);
        let was = Some((Link::Silent, secs(400)));
        assert_eq!(news.device(secs(1_000), id(), Link::Live), Some(Note::Now { state: Link::Live, was }));
        assert_eq!((news.due(), news.devices_still(secs(9_999))), (None, vec![]));
    }

    #[test]
    fn what_lasts_is_told_with_the_number_of_attempts_and_the_next() {
        let still = Note::Still { state: Link::Silent, lasted: secs(7_300) };
        assert_eq!(said_link(still), "still silent, for 2 h");
        assert_eq!(said_tries(12, Some(secs(60))), "; failed attempts: 12, next in 60 s");
        assert_eq!(
            (said_tries(0, None), said_tries(1, None)),
            (String::new(), "; failed attempts: 1".into())
        );
        let now = Note::Now { state: Link::Live, was: Some((Link::Silent, secs(90))) };
        assert_eq!(said_link(now), "live again, after 90 s");
    }

    #[test]
    fn a_thermostat_that_was_never_heard_is_told_of() {
        let mut news = live();
        assert_eq!(news.device(secs(0), id(), Link::Unheard), None, "it may still come");
        let still = Note::Still { state: Link::Unheard, lasted: secs(60) };
        assert_eq!(news.devices_still(secs(60)), [(id(), still)]);
        assert!(news.device(secs(70), id(), Link::Live).is_some());
        assert_eq!(news.device(secs(80), id(), Link::Silent).map(|_| ()), Some(()));
        assert_eq!(news.due(), Some(secs(140)));
        news.forget(id());
        assert_eq!(news.due(), None);
    }
}
