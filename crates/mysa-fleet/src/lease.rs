use alloc::collections::VecDeque;
use core::time::Duration;

use mysa_session::Entropy;

use crate::settings::Settings;
use crate::value::{SessionId, SessionValue, encode_session};
use crate::{Action, Answer, Bucket, Entry, Operation, OperationId, Revision, SessionOver, WorkerId};

/// Lease of this worker: its session in the store, which it renews, and the end of which it counts by its own clock.
///
/// The end is counted from the moment at which the write that succeeded was *sent*: nobody can have seen its revision
/// earlier, so nobody can count a full lease earlier.
#[derive(Debug)]
pub(crate) struct Lease {
    worker: WorkerId,
    /// Incarnations of this process are `first..=last`.
    first: u64,
    last: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No session; one is created at this time.
    Absent {
        create_at: Duration,
    },
    /// The session is being created. A session is created by one write only, and given up if that has no answer: a name that
    /// was once ended can therefore never return.
    Creating {
        id: OperationId,
        sent_at: Duration,
    },
    Held(Held),
    /// There will be no more sessions.
    Closed,
}

#[derive(Debug)]
struct Held {
    revision: Revision,
    until: Duration,
    renew_at: Duration,
    number: u64,
    /// Renewals of `revision` whose answer is not known. At most one of them can have succeeded.
    unanswered: VecDeque<Renewal>,
    /// Read of the own key, after a conflict.
    reading: Option<(OperationId, Duration)>,
}

#[derive(Debug)]
struct Renewal {
    id: OperationId,
    number: u64,
    sent_at: Duration,
}

/// Change of the lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    None,
    /// The worker has a new session, with this value.
    Begun {
        revision: Revision,
    },
    /// The session is renewed.
    Renewed {
        revision: Revision,
    },
    Over(SessionOver),
}

/// Renewals without an answer that are remembered. Forgetting one is safe: its success is not counted then.
const MAX_UNANSWERED: usize = 8;

impl Lease {
    pub(crate) fn new(worker: WorkerId, entropy: &mut Entropy, now: Duration) -> Self {
        // Room for the incarnations that follow, whatever the random number.
        let first = u64::from_le_bytes(entropy.bytes()) & (u64::MAX >> 1);
        Self { worker, first, last: first, state: State::Absent { create_at: now } }
    }

    /// Session that this worker holds, if its lease is not over. Call [`Lease::step`] before.
    pub(crate) fn session(&self) -> Option<SessionId> {
        matches!(self.state, State::Held(_)).then(|| self.id(self.last))
    }

    /// End of the session by the own clock.
    pub(crate) fn until(&self) -> Option<Duration> {
        if let State::Held(held) = &self.state { Some(held.until) } else { None }
    }

    pub(crate) const fn incarnation(&self) -> u64 {
        self.last
    }

    fn id(&self, incarnation: u64) -> SessionId {
        SessionId { worker: self.worker.clone(), incarnation }
    }

    /// `true` for a session of this process that is over or was never used.
    pub(crate) fn is_past(&self, session: &SessionId) -> bool {
        let is_own = session.worker == self.worker && (self.first..=self.last).contains(&session.incarnation);
        is_own
            && (session.incarnation != self.last
                || matches!(self.state, State::Absent { .. } | State::Closed))
    }

    pub(crate) fn due(&self, answer_limit: Duration) -> Option<Duration> {
        match &self.state {
            State::Absent { create_at } => Some(*create_at),
            State::Creating { sent_at, .. } => Some(sent_at.saturating_add(answer_limit)),
            State::Held(held) => Some(held.until.min(held.renew_at)),
            State::Closed => None,
        }
    }

    /// Ends the session if its time is over. Call it before anything else in each call of the worker.
    pub(crate) fn expire(&mut self, settings: &Settings, entropy: &mut Entropy, now: Duration) -> Change {
        match &self.state {
            State::Held(held) if held.until <= now => self.end(SessionOver::NotRenewed, now),
            // Given up; it may exist in the store, and is deleted there once it is seen.
            State::Creating { sent_at, .. } if sent_at.saturating_add(settings.answer_limit) <= now => {
                self.state =
                    State::Absent { create_at: now.saturating_add(entropy.up_to(settings.answer_limit)) };
                Change::None
            }
            _ => Change::None,
        }
    }

    fn end(&mut self, reason: SessionOver, now: Duration) -> Change {
        self.state = State::Absent { create_at: now };
        Change::Over(reason)
    }

    /// Returns the next write, if one is due: the creation of a session, or its renewal.
    pub(crate) fn step(
        &mut self,
        settings: &Settings,
        entropy: &mut Entropy,
        value: SessionValue,
        now: Duration,
        mut next_id: impl FnMut() -> OperationId,
    ) -> Option<Operation> {
        let (action, id) = match &mut self.state {
            State::Absent { create_at } if *create_at <= now => {
                let id = next_id();
                self.last = self.last.saturating_add(1);
                self.state = State::Creating { id, sent_at: now };
                (Action::Create { value: encode_session(SessionValue { number: 0, ..value }) }, id)
            }
            State::Held(held) if held.renew_at <= now => {
                if held.reading.is_some_and(|(_, at)| at.saturating_add(settings.answer_limit) > now) {
                    // The answer decides what to renew.
                    held.renew_at = now.saturating_add(settings.answer_limit);
                    return None;
                }
                let id = next_id();
                held.reading = None;
                held.number += 1;
                held.renew_at = now.saturating_add(settings.answer_limit);
                if held.unanswered.len() == MAX_UNANSWERED {
                    held.unanswered.pop_front();
                }
                held.unanswered.push_back(Renewal { id, number: held.number, sent_at: now });
                let value = encode_session(SessionValue { number: held.number, ..value });
                (Action::Update { value, revision: held.revision }, id)
            }
            _ => return None,
        };
        // Renewals of many workers that started together drift apart.
        if let State::Held(held) = &mut self.state {
            held.renew_at = held.renew_at.saturating_add(entropy.up_to(settings.answer_limit / 8));
        }
        Some(Operation { id, bucket: Bucket::Workers, key: self.id(self.last).to_key(), action })
    }

    /// Writes the value of the session again soon, because it changed.
    pub(crate) fn hasten(&mut self, now: Duration) {
        if let State::Held(held) = &mut self.state
            && held.unanswered.is_empty()
            && held.reading.is_none()
        {
            held.renew_at = held.renew_at.min(now);
        }
    }

    /// Handles an answer. `None` if the operation belongs to another part.
    pub(crate) fn handle_answer(
        &mut self,
        id: OperationId,
        answer: &Answer,
        settings: &Settings,
        entropy: &mut Entropy,
        now: Duration,
        next_id: impl FnOnce() -> OperationId,
    ) -> Option<(Change, Option<Operation>)> {
        match &mut self.state {
            State::Creating { id: own, sent_at } if *own == id => {
                let until = sent_at.saturating_add(settings.hold());
                let Answer::Written(revision) = answer else {
                    let pause = entropy.up_to(settings.answer_limit);
                    self.state = State::Absent { create_at: now.saturating_add(pause) };
                    return Some((Change::None, None));
                };
                let held = Held {
                    revision: *revision,
                    until,
                    renew_at: *sent_at + renewal_interval(settings, entropy),
                    number: 0,
                    unanswered: VecDeque::new(),
                    reading: None,
                };
                let revision = *revision;
                self.state = State::Held(held);
                Some((Change::Begun { revision }, None))
            }
            State::Held(held) if held.reading.is_some_and(|(own, _)| own == id) => {
                held.reading = None;
                let change = match answer {
                    Answer::Entry(Some(entry)) => self.handle_entry(entry, settings, entropy, now),
                    Answer::Entry(None) => self.end(SessionOver::Ended, now),
                    _ => Change::None,
                };
                Some((change, None))
            }
            State::Held(held) => {
                let number = held.unanswered.iter().find(|renewal| renewal.id == id)?.number;
                match answer {
                    Answer::Written(revision) => {
                        Some((held.renewed(*revision, number, settings, entropy, now), None))
                    }
                    Answer::Conflict => {
                        held.unanswered.retain(|renewal| renewal.id != id);
                        let read = next_id();
                        held.reading = Some((read, now));
                        let key = self.id(self.last).to_key();
                        let read = Operation { id: read, bucket: Bucket::Workers, key, action: Action::Read };
                        Some((Change::None, Some(read)))
                    }
                    _ => {
                        held.renew_at = held.renew_at.min(now.saturating_add(settings.answer_limit / 4));
                        Some((Change::None, None))
                    }
                }
            }
            _ => None,
        }
    }

    /// Handles an entry of the own session, watched or read.
    pub(crate) fn handle_entry(
        &mut self,
        entry: &Entry,
        settings: &Settings,
        entropy: &mut Entropy,
        now: Duration,
    ) -> Change {
        let State::Held(held) = &mut self.state else { return Change::None };
        if entry.revision <= held.revision {
            return Change::None;
        }
        let value = entry.value.as_deref().and_then(crate::value::decode_session);
        match value.filter(|value| !value.over) {
            Some(value) => held.renewed(entry.revision, value.number, settings, entropy, now),
            None => self.end(SessionOver::Ended, now),
        }
    }

    /// Ends the session for good. Returns the deletion of the session, if there is one.
    pub(crate) fn close(&mut self, next_id: impl FnOnce() -> OperationId) -> Option<Operation> {
        let key = self.id(self.last).to_key();
        let State::Held(held) = core::mem::replace(&mut self.state, State::Closed) else { return None };
        let action = Action::Delete { revision: held.revision };
        Some(Operation { id: next_id(), bucket: Bucket::Workers, key, action })
    }
}

impl Held {
    /// Counts a renewal that is known to have succeeded.
    fn renewed(
        &mut self,
        revision: Revision,
        number: u64,
        settings: &Settings,
        entropy: &mut Entropy,
        now: Duration,
    ) -> Change {
        if revision <= self.revision {
            return Change::None;
        }
        self.revision = revision;
        // A renewal that is forgotten does not prolong the lease; the next one will.
        let Some(sent_at) = self.unanswered.iter().find(|one| one.number == number).map(|one| one.sent_at)
        else {
            self.unanswered.clear();
            self.renew_at = now;
            return Change::Renewed { revision };
        };
        self.unanswered.clear();
        self.reading = None;
        self.until = self.until.max(sent_at.saturating_add(settings.hold()));
        self.renew_at = sent_at.saturating_add(renewal_interval(settings, entropy)).max(now);
        Change::Renewed { revision }
    }
}

/// Time between two renewals: a quarter to a third of the lease, so that at least one is repeated before the end.
fn renewal_interval(settings: &Settings, entropy: &mut Entropy) -> Duration {
    settings.lease / 4 + entropy.up_to(settings.lease / 12)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A lease with the default settings (30 s, margin 5 s, answers within 3 s) and its operations.
    struct Harness {
        lease: Lease,
        settings: Settings,
        entropy: Entropy,
        last: u64,
    }

    impl Harness {
        fn new() -> Self {
            let mut entropy = Entropy::new([7; 32]);
            let lease = Lease::new(WorkerId::new("w").unwrap(), &mut entropy, Duration::ZERO);
            Self { lease, settings: Settings::default(), entropy, last: 0 }
        }

        fn step(&mut self, now: Duration) -> Option<Operation> {
            let Self { lease, settings, entropy, last, .. } = self;
            lease.step(settings, entropy, SessionValue::default(), now, || {
                *last += 1;
                OperationId(*last)
            })
        }

        /// Returns the next operation, however long it takes until then, and the time.
        fn next(&mut self) -> (Operation, Duration) {
            loop {
                let now = self.lease.due(self.settings.answer_limit).unwrap();
                assert_eq!(self.expire(now), Change::None);
                if let Some(operation) = self.step(now) {
                    return (operation, now);
                }
            }
        }

        fn expire(&mut self, now: Duration) -> Change {
            self.lease.expire(&self.settings, &mut self.entropy, now)
        }

        fn answer(
            &mut self,
            operation: &Operation,
            answer: Answer,
            now: Duration,
        ) -> (Change, Option<Operation>) {
            let Self { lease, settings, entropy, last, .. } = self;
            let next = || {
                *last += 1;
                OperationId(*last)
            };
            lease.handle_answer(operation.id, &answer, settings, entropy, now, next).unwrap()
        }

        fn entry(&mut self, entry: &Entry, now: Duration) -> Change {
            self.lease.handle_entry(entry, &self.settings, &mut self.entropy, now)
        }

        fn held() -> Self {
            let mut harness = Self::new();
            let (create, now) = harness.next();
            harness.answer(&create, Answer::Written(Revision::new(1)), now);
            harness
        }
    }

    fn value(operation: &Operation) -> String {
        match &operation.action {
            Action::Create { value } | Action::Update { value, .. } => value.clone(),
            other => panic!("{other:?} has no value"),
        }
    }

    fn entry(operation: &Operation, revision: u64) -> Entry {
        Entry { key: operation.key.clone(), revision: Revision::new(revision), value: Some(value(operation)) }
    }

    #[test]
    fn the_lease_counts_from_the_sending_of_the_write_that_succeeded() {
        let mut harness = Harness::new();
        let (create, sent_at) = harness.next();
        let (change, _) = harness.answer(&create, Answer::Written(Revision::new(1)), sent_at + 2 * SECOND);
        assert_eq!(change, Change::Begun { revision: Revision::new(1) });
        assert_eq!(harness.lease.until(), Some(sent_at + 25 * SECOND));
        let (renewal, renewed_at) = harness.next();
        assert!(matches!(renewal.action, Action::Update { revision, .. } if revision == Revision::new(1)));
        harness.answer(&renewal, Answer::Written(Revision::new(2)), renewed_at + 2 * SECOND);
        assert_eq!(harness.lease.until(), Some(renewed_at + 25 * SECOND));
    }

    #[test]
    fn a_lease_that_is_not_renewed_ends_the_margin_before_its_time() {
        let mut harness = Harness::held();
        let until = harness.lease.until().unwrap();
        assert_eq!(harness.expire(until - Duration::from_millis(1)), Change::None);
        assert_eq!(harness.expire(until), Change::Over(SessionOver::NotRenewed));
        assert_eq!((harness.lease.session(), harness.lease.until()), (None, None));
    }

    #[test]
    fn a_renewal_without_an_answer_prolongs_nothing_and_is_repeated() {
        let mut harness = Harness::held();
        let until = harness.lease.until().unwrap();
        let mut attempts = Vec::new();
        while let due = harness.lease.due(3 * SECOND).unwrap()
            && due < until
        {
            if let Some(operation) = harness.step(due) {
                harness.answer(&operation, Answer::Lost, due + SECOND);
                assert!(
                    matches!(operation.action, Action::Update { revision, .. } if revision == Revision::new(1))
                );
                attempts.push(due);
            }
        }
        assert!(attempts.len() >= 3, "{attempts:?}");
        assert_eq!(harness.lease.until(), Some(until));
        assert_eq!(harness.expire(until), Change::Over(SessionOver::NotRenewed));
    }

    #[test]
    fn a_renewal_whose_answer_was_lost_counts_once_it_is_seen() {
        let mut harness = Harness::held();
        let (first, sent_at) = harness.next();
        harness.answer(&first, Answer::Lost, sent_at + SECOND);
        let (second, _) = harness.next();
        // The first one was carried out, so the second one conflicts, and the key is read.
        let (change, read) = harness.answer(&second, Answer::Conflict, sent_at + 3 * SECOND);
        assert_eq!(change, Change::None);
        let read = read.unwrap();
        assert_eq!(read.action, Action::Read);
        let (change, _) = harness.answer(&read, Answer::Entry(Some(entry(&first, 2))), sent_at + 4 * SECOND);
        assert_eq!(change, Change::Renewed { revision: Revision::new(2) });
        assert_eq!(
            harness.lease.until(),
            Some(sent_at + 25 * SECOND),
            "from the sending of the one that succeeded"
        );
    }

    #[test]
    fn a_session_that_was_ended_by_another_worker_is_over_at_once() {
        for answer in [None, Some("{\"number\":0,\"capacity\":0,\"held\":0,\"over\":true}".into())] {
            let mut harness = Harness::held();
            let key = harness.lease.session().unwrap().to_key();
            let entry = Entry { key, revision: Revision::new(9), value: answer };
            assert_eq!(harness.entry(&entry, SECOND), Change::Over(SessionOver::Ended));
        }
    }

    #[test]
    fn old_entries_change_nothing() {
        let mut harness = Harness::held();
        let (renewal, now) = harness.next();
        harness.answer(&renewal, Answer::Written(Revision::new(5)), now);
        let until = harness.lease.until();
        let old = Entry { key: renewal.key.clone(), revision: Revision::new(1), value: None };
        assert_eq!(harness.entry(&old, now), Change::None);
        assert_eq!(harness.lease.until(), until);
    }

    #[test]
    fn each_session_is_created_by_one_write() {
        let mut harness = Harness::new();
        let (first, sent_at) = harness.next();
        // No answer within the time limit: given up, whatever comes later.
        let (second, _) = harness.next();
        assert_ne!(first.key, second.key);
        let Harness { lease, settings, entropy, .. } = &mut harness;
        let written = Answer::Written(Revision::new(1));
        let late = lease
            .handle_answer(first.id, &written, settings, entropy, sent_at + 9 * SECOND, || OperationId(99));
        assert_eq!(late.map(|(change, _)| change), None);
        let (change, _) = harness.answer(&second, Answer::Written(Revision::new(2)), sent_at + 9 * SECOND);
        assert!(matches!(change, Change::Begun { .. }));
        assert!(harness.lease.is_past(&SessionId::from_key(&first.key).unwrap()));
        assert!(!harness.lease.is_past(&SessionId::from_key(&second.key).unwrap()));
    }

    #[test]
    fn a_forgotten_renewal_prolongs_nothing() {
        let mut harness = Harness::held();
        let until = harness.lease.until();
        let (renewal, now) = harness.next();
        let stranger = value(&renewal).replace("\"number\":1", "\"number\":77");
        let entry = Entry { key: renewal.key.clone(), revision: Revision::new(3), value: Some(stranger) };
        assert_eq!(harness.entry(&entry, now), Change::Renewed { revision: Revision::new(3) });
        assert_eq!(harness.lease.until(), until);
        // The next one is sent at once, at the new revision.
        let (next, at) = harness.next();
        assert_eq!(at, now);
        assert!(matches!(next.action, Action::Update { revision, .. } if revision == Revision::new(3)));
    }
}
