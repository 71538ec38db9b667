//! Sessions of the other workers: when one of them is over, and how it is ended.

use alloc::string::String;
use core::time::Duration;

use crate::peers::{PeerIndex, PeerState};
use crate::store::{Action, Answer, Bucket, Entry, OperationId, Revision};
use crate::value::{SessionId, SessionValue, decode_session, encode_session};
use crate::worker::{Purpose, Timer, Worker};
use crate::{Event, SessionOver, rendezvous};

/// Sessions that are kept, with those that are over and still named by claims. More are ignored.
const MAX_PEERS: usize = 65_536;
/// Markers of deleted sessions that are remembered. Others are seen again by a later watch.
const MAX_MARKERS: usize = 4_096;
/// Own sessions that are over and not deleted yet. The lease of any other runs out.
const MAX_LEFT: usize = 16;

impl Worker {
    /// Handles an entry of the bucket of sessions, watched or read.
    pub(crate) fn handle_session(&mut self, entry: &Entry) {
        let Some(id) = SessionId::from_key(&entry.key) else {
            return self.event(Event::Unreadable { key: entry.key.clone() });
        };
        let value = entry.value.as_deref().map(decode_session);
        if value == Some(None) {
            return self.event(Event::Unreadable { key: entry.key.clone() });
        }
        let value = value.flatten();
        if self.lease.session().is_some_and(|own| own == id) {
            let Self { lease, settings, entropy, now, .. } = self;
            let change = lease.handle_entry(entry, settings, entropy, now.mono);
            return self.apply(change);
        }
        let known = self.peers.find(&id);
        let Some(value) = value else {
            self.keep_marker(&entry.key, entry.revision);
            if let Some(index) = known
                && self.peers.get(index).is_some_and(|peer| peer.revision < entry.revision)
            {
                self.peer_over(index);
            }
            return;
        };
        if self.lease.is_past(&id) {
            if let Some(index) = known {
                self.peer_over(index);
            }
            return self.leave_session(entry.key.clone(), entry.revision);
        }
        if known.is_none() && self.peers.len() >= MAX_PEERS {
            return;
        }
        let now = self.mono();
        let index = self.peers.find_or_add(&id, now);
        let Some(peer) = self.peers.get_mut(index) else { return };
        // A session that is over does not return: the entry is late.
        if entry.revision <= peer.revision || peer.state == PeerState::Over {
            return;
        }
        let took_accounts = peer.takes_accounts();
        let was_live = peer.state == PeerState::Live;
        peer.revision = entry.revision;
        peer.seen_at = now;
        peer.value = value;
        peer.state = PeerState::Live;
        let takes_accounts = peer.takes_accounts();
        if value.over {
            // Whoever wrote it may be gone before it deletes it.
            self.set_peer_timer(index, now.saturating_add(self.settings.lease));
            return self.peer_over(index);
        }
        if !was_live {
            self.event(Event::WorkerSeen { session: entry.key.clone() });
        }
        self.watch_peer(index);
        match (took_accounts, takes_accounts) {
            (false, true) => self.peer_joined(index),
            (true, false) => self.peer_left(index),
            _ => {}
        }
    }

    /// Sets the timer at the end of the lease of a session: at once for one worker, later for the others, so that not all of
    /// them end it.
    fn watch_peer(&mut self, index: PeerIndex) {
        let Some(peer) = self.peers.get(index) else { return };
        let end = peer.seen_at.saturating_add(self.settings.lease);
        self.set_peer_timer(index, end);
    }

    pub(crate) fn set_peer_timer(&mut self, index: PeerIndex, at: Duration) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let before = peer.timer.replace(at);
        self.set_timer(before, at, Timer::Peer(index));
    }

    /// Ends a session whose lease is over.
    pub(crate) fn peer_due(&mut self, index: PeerIndex) {
        let now = self.mono();
        let (lease, grace, answer_limit) =
            (self.settings.lease, self.settings.grace, self.settings.answer_limit);
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.timer = None;
        if Some(index) == self.own || peer.operation.is_some() {
            return;
        }
        if peer.state == PeerState::Over {
            // An entry that only blocks the name of a session, long after the session ended.
            let (key, revision) = (peer.id.to_key(), peer.revision);
            self.operate(Bucket::Workers, key, Action::Delete { revision }, Purpose::Tidy);
            self.peers.forget(index);
            return;
        }
        let end = peer.seen_at.saturating_add(lease);
        if now < end {
            return self.set_peer_timer(index, end);
        }
        let key = rendezvous::hash(&peer.id.to_key());
        if self.own.is_none() {
            // Without a session, there is nothing to gain from it.
            return self.set_peer_timer(index, now.saturating_add(answer_limit));
        }
        let is_first = self.assign_except(key, Some(index)) == self.own;
        if !is_first && now < end.saturating_add(grace) {
            let turn = end.saturating_add(grace + self.entropy.up_to(grace));
            return self.set_peer_timer(index, turn);
        }
        self.end_peer(index);
    }

    /// Worker that ends a session, and forgets its marker later: the one with the highest score for its key, without the
    /// session itself.
    fn assign_except(&self, key: u64, except: Option<PeerIndex>) -> Option<PeerIndex> {
        self.peers
            .iter()
            .filter(|(index, peer)| Some(*index) != except && peer.takes_accounts())
            .max_by_key(|(_, peer)| (rendezvous::score(key, peer.hash), &peer.id))
            .map(|(index, _)| index)
    }

    /// Remembers the marker of a deleted session.
    fn keep_marker(&mut self, key: &str, revision: Revision) {
        if let Some(known) = self.markers.get_mut(key) {
            *known = revision.max(*known);
        } else if self.markers.len() < MAX_MARKERS {
            self.markers.insert(key.into(), revision);
            let life = self.settings.marker_life;
            let at = self.after(life);
            self.set_timer(None, at, Timer::Marker(key.into()));
        }
    }

    /// Removes a marker. Each session has a name of its own, so markers would fill the store. Nothing depends on
    /// one: a worker that has missed it ends the session once more, after a lease. If the answer is lost, the marker is seen
    /// again by a later watch.
    pub(crate) fn marker_due(&mut self, key: &str) {
        let Some(revision) = self.markers.remove(key) else { return };
        if self.own.is_some() && self.assign_except(rendezvous::hash(key), None) == self.own {
            self.operate(Bucket::Workers, key.into(), Action::Forget { revision }, Purpose::Tidy);
        }
    }

    /// Ends a session in the store: by deleting its key at the revision that was seen for a full lease, or by creating the
    /// key if it is not there. After either, no renewal of the session can succeed.
    fn end_peer(&mut self, index: PeerIndex) {
        let Some(peer) = self.peers.get(index) else { return };
        let key = peer.id.to_key();
        let action = match peer.state {
            PeerState::Unseen => Action::Create {
                value: encode_session(SessionValue { over: true, ..SessionValue::default() }),
            },
            _ => Action::Delete { revision: peer.revision },
        };
        let id = self.operate(Bucket::Workers, key, action, Purpose::Peer(index));
        if let Some(peer) = self.peers.get_mut(index) {
            peer.operation = Some(id);
        }
    }

    pub(crate) fn peer_answered(&mut self, index: PeerIndex, id: OperationId, answer: &Answer) {
        let answer_limit = self.settings.answer_limit;
        let now = self.mono();
        let Some(peer) = self.peers.get_mut(index) else { return };
        if peer.operation != Some(id) {
            return;
        }
        peer.operation = None;
        let (key, state) = (peer.id.to_key(), peer.state);
        if state == PeerState::Over {
            self.peers.forget(index);
            return;
        }
        match answer {
            Answer::Written(revision) => {
                self.peer_over(index);
                if state == PeerState::Unseen {
                    self.operate(Bucket::Workers, key, Action::Delete { revision: *revision }, Purpose::Tidy);
                }
            }
            Answer::Conflict => {
                let id = self.operate(Bucket::Workers, key, Action::Read, Purpose::Peer(index));
                if let Some(peer) = self.peers.get_mut(index) {
                    peer.operation = Some(id);
                }
            }
            Answer::Entry(Some(entry)) => {
                self.handle_session(entry);
                // The read may be older than the conflict.
                if self
                    .peers
                    .get(index)
                    .is_some_and(|peer| peer.state != PeerState::Over && peer.timer.is_none())
                {
                    self.set_peer_timer(index, now.saturating_add(answer_limit));
                }
            }
            Answer::Entry(None) => {
                // Not a proof: the read may be older than the session. Creating the key is one.
                let took_accounts = peer.takes_accounts();
                peer.state = PeerState::Unseen;
                if took_accounts {
                    self.peer_left(index);
                }
                self.end_peer(index);
            }
            Answer::Entries(_) | Answer::Lost => self.set_peer_timer(index, now.saturating_add(answer_limit)),
        }
    }

    /// Records that a session is over for good; its accounts are free.
    fn peer_over(&mut self, index: PeerIndex) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        if peer.state == PeerState::Over {
            return;
        }
        let was_seen = peer.state == PeerState::Live && !peer.value.over;
        let took_accounts = was_seen && !peer.value.draining;
        let (timer, session) = (peer.timer.take_if(|_| !peer.value.over), peer.id.to_key());
        peer.state = PeerState::Over;
        self.clear_timer(timer, Timer::Peer(index));
        if was_seen {
            self.event(Event::WorkerGone { session });
        }
        if took_accounts {
            self.peer_left(index);
        }
        self.accounts_freed(index);
        self.peers.forget(index);
    }

    /// Records that this worker has a session.
    pub(crate) fn session_begun(&mut self, revision: Revision) {
        let Some(id) = self.lease.session() else { return };
        let now = self.mono();
        let index = self.peers.find_or_add(&id, now);
        let (capacity, draining) = (self.settings.capacity, self.draining);
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.revision = revision;
        peer.state = PeerState::Live;
        peer.value = SessionValue { capacity, draining, ..SessionValue::default() };
        let timer = peer.timer.take();
        self.clear_timer(timer, Timer::Peer(index));
        self.own = Some(index);
        self.event(Event::SessionBegun { incarnation: self.lease.incarnation() });
        if !draining {
            self.peer_joined(index);
        }
        self.consider_all();
    }

    pub(crate) fn session_renewed(&mut self, revision: Revision) {
        let draining = self.draining;
        let Some(index) = self.own else { return };
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.revision = revision;
        if draining && peer.takes_accounts() {
            peer.value.draining = true;
            self.peer_left(index);
        }
        if draining && !self.drain_announced {
            self.drain_announced = true;
            // The renewal that succeeded may be one from before.
            self.lease.hasten(self.now.mono);
            self.drain_accounts();
        }
    }

    /// Stops everything, because the session of this worker is over.
    pub(crate) fn session_over(&mut self, reason: SessionOver) {
        self.event(Event::SessionOver { reason });
        self.stop_all();
        let Some(index) = self.own.take() else { return };
        let Some(peer) = self.peers.get(index) else { return };
        let (key, revision) = (peer.id.to_key(), peer.revision);
        self.peer_over(index);
        self.close_without_session();
        if reason == SessionOver::NotRenewed {
            self.leave_session(key, revision);
        }
    }

    /// Deletes the key of a session of this process that is over, once all clients that ran under it have stopped. Until
    /// then, its lease protects them.
    fn leave_session(&mut self, key: String, revision: Revision) {
        let left = (key, revision);
        // A watch that begins again shows the session again before the store has answered.
        let is_known = self.left_sessions.contains(&left) || self.is_leaving(&left.0, revision);
        if self.left_sessions.len() < MAX_LEFT && !is_known {
            self.left_sessions.push(left);
        }
        self.delete_left_sessions();
    }

    pub(crate) fn delete_left_sessions(&mut self) {
        if self.is_stopping() {
            return;
        }
        for (key, revision) in core::mem::take(&mut self.left_sessions) {
            let purpose = Purpose::Leave(key.clone(), revision);
            self.operate(Bucket::Workers, key, Action::Delete { revision }, purpose);
        }
    }

    fn peer_joined(&mut self, index: PeerIndex) {
        self.changed_at = self.mono();
        self.assign_to(index);
    }

    fn peer_left(&mut self, index: PeerIndex) {
        self.changed_at = self.mono();
        self.assign_away(index);
    }
}
