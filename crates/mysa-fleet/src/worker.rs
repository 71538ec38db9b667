use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::Now;
use mysa_session::Entropy;

use crate::commands::{Command, CommandKey};
use crate::lease::{Change, Lease};
use crate::ownership::{Account, AccountIndex, Local};
use crate::peers::{PeerIndex, Peers};
use crate::settings::{InvalidSettings, Settings};
use crate::store::{Action, Answer, Bucket, Entry, Operation, OperationId, Revision};
use crate::value::SessionValue;
use crate::{AccountId, Event, Output, WorkerId};

/// One worker of a fleet, as a state machine. See the [crate](crate).
///
/// `Now::mono` must count the time in which the host is suspended (`CLOCK_BOOTTIME` on Linux), and must not be stepped.
#[derive(Debug)]
pub struct Worker {
    pub(crate) settings: Settings,
    pub(crate) entropy: Entropy,
    pub(crate) now: Now,
    pub(crate) lease: Lease,
    /// Own session among `peers`, while it is held.
    pub(crate) own: Option<PeerIndex>,
    /// Keys of own sessions that are over.
    pub(crate) left_sessions: Vec<(String, Revision)>,
    pub(crate) peers: Peers,
    /// Deleted sessions whose markers are in the store, with the revisions that deleted them.
    pub(crate) markers: BTreeMap<String, Revision>,
    /// When a worker last came or went.
    pub(crate) changed_at: Duration,
    pub(crate) accounts: Vec<Option<Account>>,
    pub(crate) accounts_by_id: BTreeMap<AccountId, AccountIndex>,
    pub(crate) free_accounts: Vec<AccountIndex>,
    /// Accounts with something local. A subset of `accounts`.
    pub(crate) local: BTreeSet<AccountIndex>,
    pub(crate) starts: VecDeque<(AccountIndex, Revision)>,
    pub(crate) next_start: Duration,
    /// Accounts of the fleet.
    pub(crate) registered: usize,
    pub(crate) start_timer: Option<Duration>,
    pub(crate) balance_timer: Option<Duration>,
    /// Accounts that this worker owns.
    pub(crate) held: usize,
    pub(crate) claims_in_flight: usize,
    pub(crate) commands: BTreeMap<CommandKey, Command>,
    synced: BTreeSet<Bucket>,
    operations: BTreeMap<OperationId, Pending>,
    last_operation: u64,
    timers: BTreeSet<(Duration, Timer)>,
    outputs: VecDeque<Output>,
    pub(crate) draining: bool,
    /// `true` once the others know that this worker drains.
    pub(crate) drain_announced: bool,
    /// `true` once the last operation is sent.
    closing: bool,
    ended: bool,
}

/// Operation without an answer.
#[derive(Clone, Debug)]
struct Pending {
    purpose: Purpose,
    give_up_at: Duration,
}

/// Purpose of an operation, for its answer. The object itself has the number of its operation, so that an answer that is
/// too late is not taken for that of a newer operation.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Lease,
    Peer(PeerIndex),
    /// Removal of an entry that nobody needs. Another worker repeats it.
    Tidy,
    /// Deletion of a session of this process that is over: its key and revision.
    Leave(String, Revision),
    Claim(AccountIndex),
    ReadClaim(AccountIndex),
    Release(AccountIndex),
    List(AccountIndex, Revision),
    Command(CommandKey),
    Close,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    Operation(OperationId),
    Peer(PeerIndex),
    Account(AccountIndex),
    List(AccountIndex),
    Command(CommandKey),
    Marker(String),
    Start,
    Balance,
}

/// Numbers of a worker, for metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Accounts of the fleet.
    pub accounts: usize,
    /// Accounts that this worker owns.
    pub owned: usize,
    /// Accounts whose client runs here.
    pub running: usize,
    /// Accounts that wait for their client to be started.
    pub waiting: usize,
    /// Sessions that may be alive, with the own one.
    pub workers: usize,
    /// Undecided commands.
    pub commands: usize,
    /// Operations without an answer.
    pub operations: usize,
}

/// Events that wait; more are dropped.
const MAX_EVENTS: usize = 1_024;
/// Outputs that wait before timers stop to add more.
const MAX_OUTPUTS: usize = 65_536;

impl Worker {
    /// Creates a worker, which opens a session at once and owns accounts once the watches are synchronized.
    /// `seed` must be random and not be used twice.
    ///
    /// # Errors
    /// A setting is invalid.
    pub fn new(
        name: WorkerId,
        settings: Settings,
        seed: [u8; 32],
        now: Now,
    ) -> Result<Self, InvalidSettings> {
        settings.check()?;
        let mut entropy = Entropy::new(seed);
        let lease = Lease::new(name, &mut entropy, now.mono);
        let mut worker = Self {
            settings,
            entropy,
            now,
            lease,
            own: None,
            left_sessions: Vec::new(),
            peers: Peers::default(),
            markers: BTreeMap::new(),
            changed_at: now.mono,
            accounts: Vec::new(),
            accounts_by_id: BTreeMap::new(),
            free_accounts: Vec::new(),
            local: BTreeSet::new(),
            starts: VecDeque::new(),
            next_start: now.mono,
            registered: 0,
            start_timer: None,
            balance_timer: None,
            held: 0,
            claims_in_flight: 0,
            commands: BTreeMap::new(),
            synced: BTreeSet::new(),
            operations: BTreeMap::new(),
            last_operation: 0,
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            draining: false,
            drain_announced: false,
            closing: false,
            ended: false,
        };
        worker.step();
        Ok(worker)
    }

    /// Handles an entry of a watched bucket. Entries may come late, twice and in any order.
    pub fn handle_entry(&mut self, bucket: Bucket, entry: &Entry, now: Now) {
        self.advance(now);
        match bucket {
            Bucket::Accounts => self.handle_account(entry),
            Bucket::Workers => self.handle_session(entry),
            Bucket::Claims => self.handle_claim(entry),
            Bucket::Verdicts => {}
        }
        self.step();
    }

    /// Records that all entries that a bucket had when its watch began have been passed to [`Worker::handle_entry`]. Call it
    /// for the buckets `Accounts`, `Workers` and `Claims`; no account is claimed before.
    pub fn handle_synced(&mut self, bucket: Bucket, now: Now) {
        self.advance(now);
        let was_synced = self.is_synced();
        self.synced.insert(bucket);
        if self.is_synced() && !was_synced {
            self.changed_at = self.now.mono;
            self.consider_all();
        }
        self.step();
    }

    /// Handles the answer to an [`Operation`]. The first answer counts.
    pub fn handle_answer(&mut self, id: OperationId, answer: &Answer, now: Now) {
        self.advance(now);
        self.answer(id, answer);
        self.step();
    }

    /// Handles the timers. Early, late and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
        while self.outputs.len() < MAX_OUTPUTS
            && let Some((at, _)) = self.timers.first()
            && *at <= self.now.mono
            && let Some((_, timer)) = self.timers.pop_first()
        {
            self.fire(timer);
        }
        self.step();
    }

    /// Begins to hand over all accounts. Afterwards the session is deleted, and [`Worker::is_ended`] returns `true`.
    pub fn drain(&mut self, now: Now) {
        self.advance(now);
        if !self.draining {
            self.draining = true;
            // The others are told first, so that they claim the accounts as soon as they are free.
            self.lease.hasten(self.now.mono);
            self.close_without_session();
        }
        self.step();
    }

    /// `true` once [`Worker::drain`] is complete.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Next instruction or event, or `None` until the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Time of the next call of [`Worker::handle_timeout`], on the monotonic clock. Already due while there is output.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if !self.outputs.is_empty() {
            return Some(self.now.mono);
        }
        if self.ended {
            return None;
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        timer.into_iter().chain(self.lease.due(self.settings.answer_limit)).min()
    }

    /// End of the session of this worker on the monotonic clock, unless it is renewed before; `None` without a session.
    #[must_use]
    pub fn lease_until(&self) -> Option<Duration> {
        self.lease.until()
    }

    /// Token of the client of an account, while it runs here.
    #[must_use]
    pub fn owner_of(&self, account: &AccountId) -> Option<Revision> {
        let index = self.accounts_by_id.get(account)?;
        match self.account(*index)?.local {
            Local::Running { token, .. } | Local::Quiescing { token, .. } => Some(token),
            _ => None,
        }
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let locals = || self.local.iter().filter_map(|index| Some(&self.account(*index)?.local));
        let is_running = |local: &&Local| matches!(local, Local::Running { .. } | Local::Quiescing { .. });
        let is_waiting = |local: &&Local| matches!(local, Local::Waiting { .. });
        Counts {
            accounts: self.registered,
            owned: self.held,
            running: locals().filter(is_running).count(),
            waiting: locals().filter(is_waiting).count(),
            workers: self
                .peers
                .iter()
                .filter(|(_, peer)| peer.state == crate::peers::PeerState::Live)
                .count(),
            commands: self.commands.len(),
            operations: self.operations.len(),
        }
    }

    pub(crate) fn is_synced(&self) -> bool {
        [Bucket::Accounts, Bucket::Workers, Bucket::Claims].iter().all(|bucket| self.synced.contains(bucket))
    }

    pub(crate) const fn mono(&self) -> Duration {
        self.now.mono
    }

    pub(crate) const fn after(&self, time: Duration) -> Duration {
        self.now.mono.saturating_add(time)
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        if self.outputs.len() < MAX_EVENTS {
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Sends an operation to the store.
    pub(crate) fn operate(
        &mut self,
        bucket: Bucket,
        key: String,
        action: Action,
        purpose: Purpose,
    ) -> OperationId {
        let id = next_id(&mut self.last_operation);
        self.send(Operation { id, bucket, key, action }, purpose);
        id
    }

    /// Returns `true` if the session of this process is being deleted.
    pub(crate) fn is_leaving(&self, key: &str, revision: Revision) -> bool {
        let is_it =
            |purpose: &Purpose| matches!(purpose, Purpose::Leave(left, at) if left == key && *at == revision);
        self.operations.values().any(|pending| is_it(&pending.purpose))
    }

    fn send(&mut self, operation: Operation, purpose: Purpose) {
        let give_up_at = self.after(self.settings.answer_limit);
        self.operations.insert(operation.id, Pending { purpose, give_up_at });
        self.timers.insert((give_up_at, Timer::Operation(operation.id)));
        self.output(Output::Store(operation));
    }

    /// Sets a timer. The object keeps the time of its timer, so that it has at most one.
    pub(crate) fn set_timer(&mut self, before: Option<Duration>, at: Duration, timer: Timer) {
        if let Some(before) = before {
            self.timers.remove(&(before, timer.clone()));
        }
        self.timers.insert((at, timer));
    }

    pub(crate) fn clear_timer(&mut self, at: Option<Duration>, timer: Timer) {
        if let Some(at) = at {
            self.timers.remove(&(at, timer));
        }
    }

    /// Advances the clocks. The end of the session comes before anything else: a process that was stopped, or a host
    /// that was suspended, finds its lease over here.
    pub(crate) fn advance(&mut self, now: Now) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
        let change = self.lease.expire(&self.settings, &mut self.entropy, self.now.mono);
        self.apply(change);
    }

    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::None => {}
            Change::Begun { revision } => self.session_begun(revision),
            Change::Renewed { revision } => self.session_renewed(revision),
            Change::Over(reason) => self.session_over(reason),
        }
    }

    /// Renews the session, and ends the worker once it is drained.
    pub(crate) fn step(&mut self) {
        if self.ended || self.closing {
            return;
        }
        if self.draining && self.local.is_empty() && self.commands.is_empty() {
            self.close();
            return;
        }
        let value = SessionValue {
            number: 0,
            capacity: self.settings.capacity,
            held: u32::try_from(self.held).unwrap_or(u32::MAX),
            draining: self.draining,
            over: false,
        };
        let Self { lease, settings, entropy, now, last_operation, .. } = self;
        if let Some(operation) = lease.step(settings, entropy, value, now.mono, || next_id(last_operation)) {
            self.send(operation, Purpose::Lease);
        }
    }

    fn close(&mut self) {
        let Self { lease, last_operation, .. } = self;
        let deletion = lease.close(|| next_id(last_operation));
        self.own = None;
        match deletion {
            Some(operation) => {
                self.closing = true;
                self.send(operation, Purpose::Close);
            }
            None => self.end(),
        }
    }

    /// Opens no more sessions, if a worker that drains has none.
    pub(crate) fn close_without_session(&mut self) {
        if self.draining && self.own.is_none() {
            let Self { lease, last_operation, .. } = self;
            lease.close(|| next_id(last_operation));
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.timers.clear();
        self.operations.clear();
        self.event(Event::Drained);
    }

    fn answer(&mut self, id: OperationId, answer: &Answer) {
        let pending = self.operations.remove(&id);
        if let Some(pending) = &pending {
            self.timers.remove(&(pending.give_up_at, Timer::Operation(id)));
        }
        match pending.map(|pending| pending.purpose) {
            // An answer to a renewal counts even if it is late: it proves that the session was renewed.
            None | Some(Purpose::Lease) => {
                let Self { lease, settings, entropy, now, last_operation, .. } = self;
                let next = || next_id(last_operation);
                if let Some((change, read)) =
                    lease.handle_answer(id, answer, settings, entropy, now.mono, next)
                {
                    self.apply(change);
                    if let Some(read) = read {
                        self.send(read, Purpose::Lease);
                    }
                }
            }
            Some(Purpose::Peer(index)) => self.peer_answered(index, id, answer),
            Some(Purpose::Tidy | Purpose::Leave(..)) => {}
            Some(Purpose::Claim(index)) => self.claim_answered(index, id, answer),
            Some(Purpose::ReadClaim(index)) => self.claim_read(index, answer),
            Some(Purpose::Release(index)) => self.release_answered(index, id, answer),
            Some(Purpose::List(index, token)) => self.listed(index, token, answer),
            Some(Purpose::Command(key)) => self.command_answered(&key, id, answer),
            Some(Purpose::Close) => self.end(),
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Operation(id) => {
                self.event(Event::StoreSilent);
                self.answer(id, &Answer::Lost);
            }
            Timer::Peer(index) => self.peer_due(index),
            Timer::Account(index) => self.account_due(index),
            Timer::List(index) => self.list_due(index),
            Timer::Command(key) => self.command_due(&key),
            Timer::Marker(key) => self.marker_due(&key),
            Timer::Start => self.start_due(),
            Timer::Balance => self.balance(),
        }
    }
}

const fn next_id(last: &mut u64) -> OperationId {
    *last += 1;
    OperationId(*last)
}
