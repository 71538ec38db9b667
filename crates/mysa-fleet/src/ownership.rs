//! Accounts: to whom they are assigned, who owns them, and what this worker does with its own.

use core::time::Duration;

use crate::peers::{PeerIndex, PeerState};
use crate::store::{Action, Answer, Bucket, Entry, OperationId, Revision};
use crate::value::{decode_claim, encode_claim};
use crate::worker::{Purpose, Timer, Worker};
use crate::{AccountId, Event, Output, StopReason, rendezvous};

/// Place of an account in the table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct AccountIndex(u32);

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    /// Hash of the name, for the assignment.
    hash: u64,
    /// `true` while the account belongs to the fleet.
    pub(crate) registered: bool,
    /// Newest revision of the account that was seen.
    revision: Revision,
    /// Newest revision of the claim that was seen or written.
    claim: Revision,
    /// Session that this claim names; `None` if the claim is deleted.
    holder: Option<PeerIndex>,
    /// Score of the worker to which the account is assigned.
    score: u64,
    assigned: Option<PeerIndex>,
    /// When its timer is set: to claim it, or to forget it.
    timer: Option<Duration>,
    pub(crate) local: Local,
}

/// Relation of this worker to an account.
#[derive(Debug)]
pub(crate) enum Local {
    Nothing,
    /// The claim has no answer yet.
    Claiming {
        operation: OperationId,
    },
    /// Owned; the client is not started yet.
    Waiting {
        token: Revision,
    },
    /// Owned, and the client runs.
    Running {
        token: Revision,
        since: Duration,
    },
    /// The client runs, and takes no new commands. It is stopped once the open ones are decided.
    Quiescing {
        token: Revision,
        reason: StopReason,
        until: Duration,
    },
    /// The client is being stopped; then the claim is deleted, if the account is still owned.
    Stopping {
        token: Revision,
        owned: bool,
    },
    /// The claim is being deleted.
    Releasing {
        token: Revision,
        operation: Option<OperationId>,
    },
}

impl Local {
    /// Token of the claim, while it is valid.
    pub(crate) const fn token(&self) -> Option<Revision> {
        match self {
            Self::Waiting { token }
            | Self::Running { token, .. }
            | Self::Quiescing { token, .. }
            | Self::Stopping { token, owned: true } => Some(*token),
            _ => None,
        }
    }
}

/// Claims without an answer.
const MAX_CLAIMS_IN_FLIGHT: usize = 64;
/// Accounts of a fleet, with those that left it a short time ago. More are ignored.
const MAX_ACCOUNTS: usize = 16 << 20;

impl Worker {
    pub(crate) fn account(&self, index: AccountIndex) -> Option<&Account> {
        self.accounts.get(index.0 as usize)?.as_ref()
    }

    pub(crate) fn account_mut(&mut self, index: AccountIndex) -> Option<&mut Account> {
        self.accounts.get_mut(index.0 as usize)?.as_mut()
    }

    fn indices(&self) -> impl Iterator<Item = AccountIndex> + use<> {
        (0..u32::try_from(self.accounts.len()).unwrap_or(u32::MAX)).map(AccountIndex)
    }

    fn find_or_add(&mut self, id: &AccountId) -> Option<AccountIndex> {
        if let Some(index) = self.accounts_by_id.get(id) {
            return Some(*index);
        }
        if self.accounts_by_id.len() >= MAX_ACCOUNTS {
            return None;
        }
        let hash = rendezvous::hash(id.as_str());
        let assigned = self.peers.assign(hash);
        let account = Account {
            id: id.clone(),
            hash,
            registered: false,
            revision: Revision::default(),
            claim: Revision::default(),
            holder: None,
            score: assigned.map_or(0, |(score, _)| score),
            assigned: assigned.map(|(_, index)| index),
            timer: None,
            local: Local::Nothing,
        };
        let index = match self.free_accounts.pop() {
            Some(index) => index,
            None => {
                self.accounts.push(None);
                AccountIndex(u32::try_from(self.accounts.len() - 1).ok()?)
            }
        };
        *self.accounts.get_mut(index.0 as usize)? = Some(account);
        self.accounts_by_id.insert(id.clone(), index);
        Some(index)
    }

    /// `true` while a client of a session that is over is being stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.local.iter().any(|index| {
            self.account(*index)
                .is_some_and(|account| matches!(account.local, Local::Stopping { owned: false, .. }))
        })
    }

    fn set_local(&mut self, index: AccountIndex, local: Local) {
        let Some(account) = self.account_mut(index) else { return };
        let is_local = !matches!(local, Local::Nothing);
        let count = |local: &Local| {
            (usize::from(local.token().is_some()), usize::from(matches!(local, Local::Claiming { .. })))
        };
        let (held, claiming) = count(&account.local);
        account.local = local;
        let (holds, claims) = count(&account.local);
        self.held = self.held + holds - held;
        self.claims_in_flight = self.claims_in_flight + claims - claiming;
        if is_local {
            self.local.insert(index)
        } else {
            self.local.remove(&index)
        };
    }

    /// Handles an entry of the list of accounts.
    pub(crate) fn handle_account(&mut self, entry: &Entry) {
        let Ok(id) = AccountId::new(&entry.key) else {
            return self.event(Event::Unreadable { key: entry.key.clone() });
        };
        let Some(index) = self.find_or_add(&id) else { return };
        let Some(account) = self.account_mut(index) else { return };
        if entry.revision <= account.revision {
            return;
        }
        account.revision = entry.revision;
        let was_registered = core::mem::replace(&mut account.registered, entry.value.is_some());
        let is_registered = account.registered;
        self.registered = self.registered + usize::from(is_registered) - usize::from(was_registered);
        let Some(account) = self.account(index) else { return };
        match account.local {
            _ if is_registered => {}
            Local::Running { .. } => self.quiesce(index, StopReason::Removed),
            Local::Waiting { .. } => self.release(index),
            _ => {}
        }
        self.consider(index);
    }

    /// Handles an entry of a claim, watched or read.
    pub(crate) fn handle_claim(&mut self, entry: &Entry) {
        let Ok(id) = AccountId::new(&entry.key) else {
            return self.event(Event::Unreadable { key: entry.key.clone() });
        };
        let session = entry.value.as_deref().map(decode_claim);
        if session == Some(None) {
            self.event(Event::Unreadable { key: entry.key.clone() });
        }
        let Some(index) = self.find_or_add(&id) else { return };
        if self.account(index).is_none_or(|account| entry.revision <= account.claim) {
            return;
        }
        let holder = session.flatten().map(|session| {
            let now = self.mono();
            let is_new = self.peers.find(&session).is_none();
            let holder = self.peers.find_or_add(&session, now);
            if is_new {
                if self.lease.is_past(&session) {
                    self.set_over(holder);
                } else {
                    self.set_peer_timer(holder, now.saturating_add(self.settings.lease));
                }
            }
            holder
        });
        self.set_claim(index, entry.revision, holder);
        let own = self.own;
        let Some(account) = self.account(index) else { return };
        let is_own = own.is_some() && account.holder == own;
        match (&account.local, is_own) {
            // An own claim whose answer was lost.
            (Local::Nothing | Local::Claiming { .. }, true) => self.claimed(index, entry.revision),
            // Somebody else has it: this worker is mistaken about its session, which ends soon.
            (Local::Waiting { .. }, false) => {
                self.set_local(index, Local::Nothing);
            }
            (Local::Running { token, .. } | Local::Quiescing { token, .. }, false) => {
                let token = *token;
                self.stop(index, token, StopReason::LeaseOver, false);
            }
            (Local::Stopping { token, .. }, false) => {
                let token = *token;
                self.set_local(index, Local::Stopping { token, owned: false });
            }
            (Local::Releasing { .. }, false) => {
                self.released(index);
                return self.consider_later(index);
            }
            _ => {}
        }
        self.consider(index);
    }

    fn set_over(&mut self, index: PeerIndex) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.state = PeerState::Over;
        }
    }

    /// Records the newest claim, and counts the claims of both sessions.
    fn set_claim(&mut self, index: AccountIndex, revision: Revision, holder: Option<PeerIndex>) {
        if let Some(peer) = holder.and_then(|holder| self.peers.get_mut(holder)) {
            peer.claims += 1;
        }
        let Some(account) = self.account_mut(index) else { return };
        account.claim = revision;
        if let Some(before) = core::mem::replace(&mut account.holder, holder)
            && let Some(peer) = self.peers.get_mut(before)
        {
            peer.claims = peer.claims.saturating_sub(1);
            self.peers.forget(before);
        }
    }

    /// `true` if no session can own the account.
    fn is_free(&self, account: &Account) -> bool {
        account
            .holder
            .is_none_or(|holder| self.peers.get(holder).is_none_or(|peer| peer.state == PeerState::Over))
    }

    fn has_room(&self) -> bool {
        self.is_within_capacity(self.held + self.claims_in_flight + 1)
    }

    fn is_within_capacity(&self, accounts: usize) -> bool {
        accounts <= usize::try_from(self.settings.capacity).unwrap_or(usize::MAX)
    }

    pub(crate) fn consider_all(&mut self) {
        for index in self.indices() {
            self.consider(index);
        }
    }

    /// Sets the time at which this worker claims an account, or forgets it.
    fn consider(&mut self, index: AccountIndex) {
        let now = self.mono();
        let Some(account) = self.account(index) else { return };
        if !matches!(account.local, Local::Nothing | Local::Claiming { .. }) {
            // Its timer has another purpose.
            return;
        }
        let at = if !matches!(account.local, Local::Nothing) || !self.is_free(account) {
            None
        } else if !account.registered {
            // A late entry about an account that was removed must not bring it back.
            Some(now.saturating_add(self.settings.lease.saturating_mul(10)))
        } else if self.own.is_none() || self.draining || !self.is_synced() {
            None
        } else {
            let grace = self.settings.grace;
            let is_assigned = account.assigned == self.own;
            // A timer that runs is not postponed.
            let before = account.timer.filter(|before| *before > now);
            let at = if is_assigned { now } else { now.saturating_add(grace + self.entropy.up_to(grace)) };
            Some(before.map_or(at, |before| before.min(at)))
        };
        self.set_account_timer(index, at);
    }

    fn set_account_timer(&mut self, index: AccountIndex, at: Option<Duration>) {
        let Some(account) = self.account_mut(index) else { return };
        let before = core::mem::replace(&mut account.timer, at);
        match at {
            Some(at) => self.set_timer(before, at, Timer::Account(index)),
            None => self.clear_timer(before, Timer::Account(index)),
        }
    }

    pub(crate) fn account_due(&mut self, index: AccountIndex) {
        let now = self.mono();
        let answer_limit = self.settings.answer_limit;
        let Some(account) = self.account_mut(index) else { return };
        account.timer = None;
        match account.local {
            Local::Nothing => {}
            Local::Quiescing { until, .. } => {
                if until <= now {
                    self.stop_quiesced(index);
                } else {
                    self.set_account_timer(index, Some(until));
                }
                return;
            }
            Local::Releasing { operation: None, .. } => return self.release(index),
            _ => return,
        }
        let account = match self.account(index) {
            Some(account) if self.is_free(account) => account,
            _ => return,
        };
        if !account.registered {
            return if self.has_commands(index) { self.consider(index) } else { self.forget(index) };
        }
        let (Some(session), false, true) = (self.lease.session(), self.draining, self.is_synced()) else {
            return;
        };
        if !self.has_room() || self.claims_in_flight >= MAX_CLAIMS_IN_FLIGHT {
            let pause = self.entropy.up_to(answer_limit);
            return self.set_account_timer(index, Some(now.saturating_add(answer_limit / 4 + pause)));
        }
        let value = encode_claim(&session);
        let key = account.id.as_str().into();
        let action = match account.holder {
            None => Action::Create { value },
            Some(_) => Action::Update { value, revision: account.claim },
        };
        let operation = self.operate(Bucket::Claims, key, action, Purpose::Claim(index));
        self.set_local(index, Local::Claiming { operation });
    }

    /// Forgets an account that left the fleet.
    fn forget(&mut self, index: AccountIndex) {
        let Some(account) = self.accounts.get_mut(index.0 as usize).and_then(Option::take) else { return };
        if let Some(holder) = account.holder
            && let Some(peer) = self.peers.get_mut(holder)
        {
            peer.claims = peer.claims.saturating_sub(1);
            self.peers.forget(holder);
        }
        self.accounts_by_id.remove(&account.id);
        self.free_accounts.push(index);
    }

    pub(crate) fn claim_answered(&mut self, index: AccountIndex, id: OperationId, answer: &Answer) {
        let answer_limit = self.settings.answer_limit;
        let Some(account) = self.account(index) else { return };
        if !matches!(account.local, Local::Claiming { operation } if operation == id) {
            return;
        }
        let known = account.claim;
        match answer {
            Answer::Written(revision) if *revision > known => {
                let own = self.own;
                self.set_claim(index, *revision, own);
                self.claimed(index, *revision);
            }
            Answer::Conflict => {
                self.set_local(index, Local::Nothing);
                let Some(account) = self.account(index) else { return };
                let key = account.id.as_str().into();
                self.operate(Bucket::Claims, key, Action::Read, Purpose::ReadClaim(index));
            }
            _ => {
                // It may have been written; the watch shows it, or the next claim conflicts.
                self.set_local(index, Local::Nothing);
                let pause = self.entropy.up_to(answer_limit);
                let at = self.after(answer_limit / 2 + pause);
                self.set_account_timer(index, Some(at));
            }
        }
    }

    pub(crate) fn claim_read(&mut self, index: AccountIndex, answer: &Answer) {
        let answer_limit = self.settings.answer_limit;
        match answer {
            Answer::Entry(Some(entry)) => self.handle_claim(entry),
            Answer::Entry(None) => {
                // Deleted, or the read is old: the next write tells.
                if let Some(account) = self.account(index)
                    && matches!(account.local, Local::Nothing)
                    && (self.is_free(account) || account.holder == self.own)
                {
                    let claim = account.claim;
                    self.set_claim(index, claim, None);
                }
            }
            _ => {}
        }
        let pause = self.entropy.up_to(answer_limit);
        let at = self.after(answer_limit / 2 + pause);
        match self.account(index) {
            Some(account) if matches!(account.local, Local::Nothing) && self.is_free(account) => {
                self.set_account_timer(index, Some(at));
            }
            _ => {}
        }
    }

    /// Records that this worker owns an account.
    fn claimed(&mut self, index: AccountIndex, token: Revision) {
        self.set_account_timer(index, None);
        self.set_local(index, Local::Waiting { token });
        let Some(account) = self.account(index) else { return };
        let registered = account.registered;
        let id = account.id.clone();
        self.event(Event::Claimed { account: id, owner: token });
        // Claims whose answers were lost do not count until the watch shows them, so there may be too many then.
        if self.draining || !registered || !self.is_within_capacity(self.held) {
            return self.release(index);
        }
        self.starts.push_back((index, token));
        self.start_by(self.next_start.max(self.mono()));
        self.list_due(index);
        self.schedule_balance();
    }

    /// Starts the next client.
    pub(crate) fn start_due(&mut self) {
        let now = self.mono();
        self.start_timer = None;
        if now < self.next_start {
            return self.start_by(self.next_start);
        }
        while let Some((index, token)) = self.starts.pop_front() {
            let Some(account) = self.account(index) else { continue };
            if !matches!(account.local, Local::Waiting { token: waiting } if waiting == token) {
                continue;
            }
            let account = account.id.clone();
            self.set_local(index, Local::Running { token, since: now });
            self.output(Output::Start { account, owner: token });
            // Between half and one and a half of the average interval.
            let interval = Duration::from_secs_f64(1.0 / self.settings.starts_per_second);
            self.next_start = now.saturating_add(interval / 2 + self.entropy.up_to(interval));
            self.schedule_balance();
            break;
        }
        if !self.starts.is_empty() {
            self.start_by(self.next_start);
        }
    }

    /// Records that the client of an account has stopped: after [`Output::Stop`], or by itself. Its account is given back, and
    /// commands without a verdict end as unconfirmed.
    pub fn handle_stopped(&mut self, account: &AccountId, owner: Revision, now: mysa_proto::Now) {
        self.advance(now);
        self.client_stopped(account, owner);
        self.step();
    }

    fn client_stopped(&mut self, account: &AccountId, owner: Revision) {
        let Some(index) = self.accounts_by_id.get(account).copied() else { return };
        let Some(account) = self.account(index) else { return };
        match account.local {
            Local::Stopping { token, owned } if token == owner => {
                self.client_ended(index, owner);
                if owned {
                    self.release(index);
                } else {
                    self.set_local(index, Local::Nothing);
                    self.delete_left_sessions();
                    self.consider(index);
                }
            }
            Local::Running { token, .. } | Local::Quiescing { token, .. } if token == owner => {
                self.client_ended(index, owner);
                self.release(index);
            }
            _ => {}
        }
        if self.draining {
            self.drain_accounts();
        }
    }

    /// Deletes the claim of an account whose client does not run.
    fn release(&mut self, index: AccountIndex) {
        let answer_limit = self.settings.answer_limit;
        let Some(account) = self.account(index) else { return };
        let token = match account.local {
            Local::Releasing { token, operation: None } => token,
            ref local => match local.token() {
                Some(token) => token,
                None => return,
            },
        };
        let key = account.id.as_str().into();
        let operation =
            self.operate(Bucket::Claims, key, Action::Delete { revision: token }, Purpose::Release(index));
        self.set_local(index, Local::Releasing { token, operation: Some(operation) });
        let at = self.after(answer_limit.saturating_mul(2));
        self.set_account_timer(index, Some(at));
    }

    pub(crate) fn release_answered(&mut self, index: AccountIndex, id: OperationId, answer: &Answer) {
        let answer_limit = self.settings.answer_limit;
        let Some(account) = self.account(index) else { return };
        let Local::Releasing { token, operation: Some(operation) } = account.local else { return };
        if operation != id {
            return;
        }
        match answer {
            Answer::Written(revision) => {
                if *revision > account.claim {
                    self.set_claim(index, *revision, None);
                }
                self.released(index);
                self.consider_later(index);
            }
            Answer::Conflict => {
                // The claim is not at this revision any more: an earlier deletion succeeded, or the session was ended.
                let key = account.id.as_str().into();
                self.released(index);
                self.operate(Bucket::Claims, key, Action::Read, Purpose::ReadClaim(index));
            }
            _ => {
                self.set_local(index, Local::Releasing { token, operation: None });
                let at = self.after(answer_limit / 4);
                self.set_account_timer(index, Some(at));
            }
        }
    }

    fn released(&mut self, index: AccountIndex) {
        let Some(account) = self.account(index) else { return };
        let Local::Releasing { token, .. } = account.local else { return };
        let account = account.id.clone();
        self.set_account_timer(index, None);
        self.set_local(index, Local::Nothing);
        self.event(Event::Released { account, owner: token });
        if self.draining {
            // There is room for the next one.
            self.drain_accounts();
        }
    }

    /// Leaves an account that this worker has given back to the others, for some time.
    fn consider_later(&mut self, index: AccountIndex) {
        self.consider(index);
        let Some(account) = self.account(index) else { return };
        if account.registered && account.timer.is_some() {
            let at = self.after(self.settings.grace.saturating_mul(3));
            self.set_account_timer(index, Some(at));
        }
    }

    /// Lets the open commands of an account be decided, then stops its client.
    fn quiesce(&mut self, index: AccountIndex, reason: StopReason) {
        let until = self.after(self.settings.lease);
        let Some(account) = self.account(index) else { return };
        let Local::Running { token, .. } = account.local else { return };
        self.set_local(index, Local::Quiescing { token, reason, until });
        self.set_account_timer(index, Some(until));
        self.stop_if_quiet(index);
    }

    /// Stops the client of an account that is handed over, once no command of it is open.
    pub(crate) fn stop_if_quiet(&mut self, index: AccountIndex) {
        let is_quiescing =
            self.account(index).is_some_and(|account| matches!(account.local, Local::Quiescing { .. }));
        if is_quiescing && !self.has_commands(index) {
            self.stop_quiesced(index);
        }
    }

    fn stop_quiesced(&mut self, index: AccountIndex) {
        let Some(account) = self.account(index) else { return };
        let Local::Quiescing { token, reason, .. } = account.local else { return };
        self.stop(index, token, reason, true);
    }

    fn stop(&mut self, index: AccountIndex, token: Revision, reason: StopReason, owned: bool) {
        self.set_account_timer(index, None);
        self.set_local(index, Local::Stopping { token, owned });
        let Some(account) = self.account(index) else { return };
        let account = account.id.clone();
        self.output(Output::Stop { account, owner: token, reason });
    }

    /// Stops all clients, because the session is over.
    pub(crate) fn stop_all(&mut self) {
        for index in self.local.clone() {
            self.set_account_timer(index, None);
            let Some(account) = self.account(index) else { continue };
            match account.local {
                Local::Running { token, .. } | Local::Quiescing { token, .. } => {
                    self.stop(index, token, StopReason::LeaseOver, false);
                }
                Local::Stopping { token, .. } => {
                    self.set_local(index, Local::Stopping { token, owned: false })
                }
                _ => self.set_local(index, Local::Nothing),
            }
        }
        self.starts.clear();
    }

    /// Hands over accounts, as many at once as a worker that drains may.
    pub(crate) fn drain_accounts(&mut self) {
        let mut room = (self.settings.drain_hand_overs as usize).saturating_sub(self.handing_over());
        for index in self.local.clone() {
            let Some(account) = self.account(index) else { continue };
            match account.local {
                Local::Waiting { .. } => self.release(index),
                Local::Running { .. } if room > 0 => {
                    room -= 1;
                    self.quiesce(index, StopReason::Draining);
                }
                _ => {}
            }
        }
    }

    fn handing_over(&self) -> usize {
        let is_moving = |account: &Account| {
            matches!(
                account.local,
                Local::Quiescing { .. } | Local::Stopping { .. } | Local::Releasing { .. }
            )
        };
        self.local.iter().filter(|index| self.account(**index).is_some_and(is_moving)).count()
    }

    /// Ensures that the next client is started by `at`.
    fn start_by(&mut self, at: Duration) {
        if self.start_timer.is_none_or(|before| before > at) {
            let before = self.start_timer.replace(at);
            self.set_timer(before, at, Timer::Start);
        }
    }

    fn schedule_balance(&mut self) {
        let at = self.changed_at.max(self.mono()).saturating_add(self.settings.settle);
        self.balance_by(at);
    }

    /// Ensures that accounts are handed over by `at`.
    fn balance_by(&mut self, at: Duration) {
        if self.balance_timer.is_none_or(|before| before > at) {
            let before = self.balance_timer.replace(at);
            self.set_timer(before, at, Timer::Balance);
        }
    }

    /// Hands accounts to the workers to which they are assigned, a few at once, once the workers have been the same for some
    /// time.
    pub(crate) fn balance(&mut self) {
        let (now, settle) = (self.mono(), self.settings.settle);
        self.balance_timer = None;
        if self.draining || self.own.is_none() {
            return;
        }
        if now < self.changed_at.saturating_add(settle) {
            return self.schedule_balance();
        }
        let mut room = (self.settings.hand_overs as usize).saturating_sub(self.handing_over());
        let mut is_complete = true;
        for index in self.local.clone() {
            let Some(account) = self.account(index) else { continue };
            let Local::Running { since, .. } = account.local else { continue };
            let Some(target) = account.assigned.filter(|target| Some(*target) != self.own) else { continue };
            if !self.peers.get(target).is_some_and(|peer| peer.takes_accounts() && peer.has_room()) {
                continue;
            }
            is_complete = false;
            if room > 0 && now >= since.saturating_add(settle) {
                room -= 1;
                self.quiesce(index, StopReason::HandOver);
            }
        }
        let again = if is_complete { settle } else { Duration::from_secs(1).min(settle) };
        if !self.local.is_empty() {
            self.balance_by(now.saturating_add(again));
        }
    }

    /// Gives a session that takes accounts those for which it has the highest score.
    pub(crate) fn assign_to(&mut self, peer: PeerIndex) {
        let Some((hash, id)) = self.peers.get(peer).map(|peer| (peer.hash, peer.id.clone())) else { return };
        for index in self.indices() {
            let Some(account) = self.account(index) else { continue };
            let score = rendezvous::score(account.hash, hash);
            let is_higher = match account.assigned.and_then(|other| self.peers.get(other)) {
                None => true,
                Some(other) => (score, &id) > (account.score, &other.id),
            };
            if is_higher && account.assigned != Some(peer) {
                self.assign(index, Some((score, peer)));
            }
        }
        self.schedule_balance();
    }

    /// Assigns the accounts of a session that takes no more accounts to others.
    pub(crate) fn assign_away(&mut self, peer: PeerIndex) {
        for index in self.indices() {
            let Some(account) = self.account(index).filter(|account| account.assigned == Some(peer)) else {
                continue;
            };
            let assigned = self.peers.assign(account.hash);
            self.assign(index, assigned);
        }
    }

    fn assign(&mut self, index: AccountIndex, to: Option<(u64, PeerIndex)>) {
        let own = self.own;
        let Some(account) = self.account_mut(index) else { return };
        account.score = to.map_or(0, |(score, _)| score);
        account.assigned = to.map(|(_, peer)| peer);
        if account.assigned == own && matches!(account.local, Local::Nothing) {
            self.consider(index);
        }
    }

    /// Considers the accounts of a session that is over.
    pub(crate) fn accounts_freed(&mut self, peer: PeerIndex) {
        for index in self.indices() {
            if self.account(index).is_some_and(|account| account.holder == Some(peer)) {
                self.consider(index);
            }
        }
    }
}
