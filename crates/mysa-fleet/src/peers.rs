use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::rendezvous;
use crate::value::{SessionId, SessionValue};
use crate::{OperationId, Revision};

/// Place of a session in [`Peers`]. It is reused once no claim names the session.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PeerIndex(u32);

/// Session of a worker, as this worker knows it. The own session is one of them.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: SessionId,
    /// Newest revision that was seen; zero if the key was not seen.
    pub(crate) revision: Revision,
    /// When that revision was first seen, or a claim first named the session, on the own clock.
    pub(crate) seen_at: Duration,
    pub(crate) value: SessionValue,
    pub(crate) state: PeerState,
    /// Hash of the name of the worker, for the assignment of accounts.
    pub(crate) hash: u64,
    /// Claims that name the session.
    pub(crate) claims: u32,
    /// Operation that ends the session, or reads it.
    pub(crate) operation: Option<OperationId>,
    /// When its timer is set.
    pub(crate) timer: Option<Duration>,
}

/// State of a [`Peer`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PeerState {
    /// A claim names it, and its key was not seen, or was not found when it was read.
    Unseen,
    /// Its lease may run.
    Live,
    /// It is over for good.
    Over,
}

impl Peer {
    /// `true` if accounts are assigned to it.
    pub(crate) fn takes_accounts(&self) -> bool {
        self.state == PeerState::Live && !self.value.draining
    }

    /// `true` if it owns fewer accounts than it can.
    pub(crate) const fn has_room(&self) -> bool {
        self.value.held < self.value.capacity
    }
}

/// Sessions of the fleet.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    list: Vec<Option<Peer>>,
    by_id: BTreeMap<SessionId, PeerIndex>,
    free: Vec<PeerIndex>,
}

impl Peers {
    pub(crate) fn get(&self, index: PeerIndex) -> Option<&Peer> {
        self.list.get(index.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: PeerIndex) -> Option<&mut Peer> {
        self.list.get_mut(index.0 as usize)?.as_mut()
    }

    pub(crate) fn find(&self, id: &SessionId) -> Option<PeerIndex> {
        self.by_id.get(id).copied()
    }

    /// Finds a session, or adds it as unseen.
    pub(crate) fn find_or_add(&mut self, id: &SessionId, now: Duration) -> PeerIndex {
        if let Some(index) = self.find(id) {
            return index;
        }
        let peer = Peer {
            id: id.clone(),
            revision: Revision::default(),
            seen_at: now,
            value: SessionValue::default(),
            state: PeerState::Unseen,
            hash: rendezvous::hash(id.worker.as_str()),
            claims: 0,
            operation: None,
            timer: None,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.list.push(None);
            PeerIndex(u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX))
        });
        if let Some(place) = self.list.get_mut(index.0 as usize) {
            *place = Some(peer);
        }
        self.by_id.insert(id.clone(), index);
        index
    }

    /// Forgets a session that is over and that no claim names.
    pub(crate) fn forget(&mut self, index: PeerIndex) {
        let Some(place) = self.list.get_mut(index.0 as usize) else { return };
        let is_unused =
            |peer: &mut Peer| peer.state == PeerState::Over && peer.claims == 0 && peer.timer.is_none();
        if let Some(peer) = place.take_if(is_unused) {
            self.by_id.remove(&peer.id);
            self.free.push(index);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerIndex, &Peer)> {
        (0..).map(PeerIndex).zip(&self.list).filter_map(|(index, peer)| Some((index, peer.as_ref()?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Session with the highest score for a key, among those that take accounts.
    pub(crate) fn assign(&self, key: u64) -> Option<(u64, PeerIndex)> {
        self.iter()
            .filter(|(_, peer)| peer.takes_accounts())
            .map(|(index, peer)| (rendezvous::score(key, peer.hash), index, peer))
            .max_by(|(one, _, peer), (other, _, rival)| {
                // Two sessions of one worker have the same score.
                one.cmp(other).then_with(|| peer.id.cmp(&rival.id))
            })
            .map(|(score, index, _)| (score, index))
    }
}
