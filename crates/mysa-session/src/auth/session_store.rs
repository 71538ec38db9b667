//! Stored session, which several processes of one account may share.
//!
//! With rotation, each use of a refresh token invalidates it, and the process that used it stores its successor. The
//! stored session is therefore read before each use of the token, and again after the token was refused, since another
//! process may have used it in between. Of two tokens, the one with the higher generation is tried first; the other
//! stays in memory and is tried when the first is refused. A store that fails is repeated until it succeeds.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_cognito::{RefreshToken, RefusalKind, StoredSession};

use super::{Identity, SignOut};
use crate::StoreResult;
use crate::backoff::Backoff;
use crate::context::Context;

/// Relation of the session in memory to the stored one.
#[derive(Debug, Default)]
pub(super) struct SessionStore {
    read: Read,
    write: Write,
    write_failures: Backoff,
    /// `true` if the held token was issued just now, so no other process can have it.
    unwritten: bool,
    /// Reason for which the held token was refused, and the number of times the store has been read since.
    suspected: Option<(RefusalKind, u8)>,
    /// Other tokens that were seen and not refused yet. They belong to other sign-ins, which remain valid.
    spares: Vec<Spare>,
    /// Fingerprints of the latest tokens that were refused, or used up by rotation.
    dead: Vec<String>,
    /// Highest generation seen.
    generation: u64,
    /// Fingerprint of the stored token, if it differs from the held one.
    kept_other: Option<String>,
}

#[derive(Debug)]
struct Spare {
    token: RefreshToken,
    generation: u64,
}

#[derive(Debug, Default)]
enum Read {
    #[default]
    Unread,
    /// The driver was asked to read the store.
    Asked { until: Duration },
    /// The store was read, and its content counts as current until then.
    Done { until: Duration },
}

#[derive(Debug, Default)]
enum Write {
    /// Everything is stored.
    #[default]
    Clean,
    /// A store is due at that time.
    Due { at: Duration },
    /// The driver was asked to store the session. `again` if it has changed since.
    Asked { until: Duration, again: bool },
    /// The driver was asked, and has not reported in time. It stores nothing, or its disk is slow and the report is still to
    /// come.
    Overdue,
}

/// Time limit of the driver for reading or writing a small file.
const DRIVER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after a refusal before the store is read again: another process may still be storing the successor of the same
/// token.
const STORE_REREAD_DELAY: Duration = Duration::from_secs(3);
/// Interval of reads of the store, for a session that another process has signed in.
const RELOAD_INTERVAL: Duration = Duration::from_secs(60);
/// Bounds of the pause before a failed store is repeated.
const FIRST_REWRITE: Duration = Duration::from_secs(5);
const LONGEST_REWRITE: Duration = Duration::from_secs(120);
/// Maximum number of remembered fingerprints of dead tokens.
const DEAD: usize = 8;
/// Maximum number of remembered other tokens.
const SPARES: usize = 4;

impl SessionStore {
    /// Returns the time at which a read or a write is due or times out.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let read = self.asked_until();
        let write = match self.write {
            Write::Clean | Write::Overdue => None,
            Write::Due { at } => Some(at),
            Write::Asked { until, .. } => Some(until),
        };
        match (read, write) {
            (Some(read), Some(write)) => Some(read.min(write)),
            (read, write) => read.or(write),
        }
    }

    pub(super) const fn asked_until(&self) -> Option<Duration> {
        match self.read {
            Read::Asked { until } => Some(until),
            Read::Unread | Read::Done { .. } => None,
        }
    }

    /// Returns `true` if the store was read for the use that is about to be made. The next use needs another read.
    pub(super) fn take_read(&mut self, now: Duration) -> bool {
        matches!(core::mem::take(&mut self.read), Read::Done { until } if until > now)
    }

    /// Resets everything for a new sign-in, except the knowledge of dead tokens.
    pub(super) fn reset(&mut self) {
        let Self { dead, generation, .. } = core::mem::take(self);
        *self = Self { dead, generation, ..Self::default() };
    }

    fn is_dead(&self, token: &RefreshToken) -> bool {
        self.dead.contains(&token.fingerprint())
    }

    /// Remembers a token that may be useful when the held one is refused.
    fn add_spare(&mut self, token: RefreshToken, generation: u64) {
        self.spares.retain(|spare| spare.token != token);
        if !self.is_dead(&token) {
            self.spares.push(Spare { token, generation });
            // Ascending, so the newest is taken first and the oldest forgotten first.
            self.spares.sort_by_key(|spare| spare.generation);
            if self.spares.len() > SPARES {
                self.spares.remove(0);
            }
        }
    }

    /// Takes the newest of the other tokens.
    fn take_spare(&mut self) -> Option<Spare> {
        while let Some(spare) = self.spares.pop() {
            if !self.is_dead(&spare.token) {
                return Some(spare);
            }
        }
        None
    }

    fn mark_dead(&mut self, fingerprint: String) {
        if !self.dead.contains(&fingerprint) {
            if self.dead.len() >= DEAD {
                self.dead.remove(0);
            }
            self.dead.push(fingerprint);
        }
    }
}

impl Identity {
    /// Requests that the held session is stored.
    pub(super) fn store(&mut self, cx: &mut Context) {
        if let Write::Asked { again, .. } = &mut self.session_store.write {
            // One store at a time: its outcome decides what to write next.
            *again = true;
            return;
        }
        self.session_store.write = Write::Asked { until: cx.after(DRIVER_TIMEOUT), again: false };
        cx.outbox.store(self.stored.clone());
    }

    /// Performs a store that is due. A driver that does not report in time is assumed to store nothing, until it reports.
    pub(super) fn step_store(&mut self, cx: &mut Context) {
        let now = cx.mono();
        match self.session_store.write {
            Write::Due { at } if at <= now => self.store(cx),
            Write::Asked { until, again } if until <= now => {
                self.session_store.write = Write::Overdue;
                // The driver may have stored it, so another process may use the token up.
                self.session_store.unwritten = false;
                if again {
                    self.store(cx);
                }
            }
            _ => {}
        }
    }

    /// Performs a store that waits for its next attempt, since there will be no later one.
    pub(crate) fn store_at_shutdown(&mut self, cx: &mut Context) {
        if let Write::Due { .. } = self.session_store.write {
            self.store(cx);
        }
    }

    /// Handles the outcome of the last store.
    pub(crate) fn handle_store_result(&mut self, cx: &mut Context, result: StoreResult) {
        let again = match self.session_store.write {
            Write::Asked { again, .. } => again,
            // A late failure counts: without another attempt, the token would exist in memory alone.
            Write::Overdue => false,
            Write::Clean | Write::Due { .. } => return,
        };
        self.session_store.write = Write::Clean;
        match result {
            StoreResult::Stored => {
                self.session_store.write_failures.reset();
                self.session_store.unwritten = false;
                self.session_store.kept_other = None;
                if again {
                    self.store(cx);
                }
            }
            StoreResult::Failed => {
                // The write may have succeeded nevertheless, so another process may use the token up.
                self.session_store.unwritten = false;
                let failures = &mut self.session_store.write_failures;
                let pause = FIRST_REWRITE + failures.next(FIRST_REWRITE, LONGEST_REWRITE, &mut cx.entropy);
                self.session_store.write = Write::Due { at: cx.after(pause) };
            }
            StoreResult::Newer(kept) => {
                if self.is_ours(&kept) && self.session_store.unwritten {
                    // The stored token cannot descend from one that no other process has seen, so the held token is the
                    // newer.
                    self.session_store.generation = self.session_store.generation.max(kept.generation);
                    self.stored.generation = self.session_store.generation.saturating_add(1);
                    self.session_store.generation = self.stored.generation;
                    self.session_store.kept_other =
                        kept.refresh_token.as_ref().map(RefreshToken::fingerprint);
                    self.store(cx);
                } else {
                    self.hold_better(cx, Some(*kept));
                }
            }
        }
    }

    /// Adopts the refresh token that came with new tokens, if there is one. Returns `true` if the session has to be
    /// stored.
    pub(super) fn take_refresh_token(&mut self, token: Option<&RefreshToken>) -> bool {
        let store = &mut self.session_store;
        store.suspected = None;
        let held = self.stored.refresh_token.as_ref();
        match token.filter(|token| held != Some(*token)) {
            Some(token) => {
                if let Some(used_up) = held {
                    store.mark_dead(used_up.fingerprint());
                }
                self.stored.refresh_token = Some(token.clone());
                store.unwritten = true;
            }
            // The held token works, and the stored one is known to be dead: the held one must replace it.
            None if store.kept_other.as_ref().is_some_and(|other| store.dead.contains(other)) => {}
            None => return false,
        }
        store.generation = store.generation.max(self.stored.generation).saturating_add(1);
        self.stored.generation = store.generation;
        true
    }

    /// Requests a read of the store.
    pub(super) fn reload(&mut self, cx: &mut Context) {
        self.session_store.read = Read::Asked { until: cx.after(DRIVER_TIMEOUT) };
        self.reload_at = cx.after(RELOAD_INTERVAL);
        cx.outbox.load();
    }

    /// Records the refusal of the held token, and looks for another in the store.
    pub(super) fn suspect_token(&mut self, cx: &mut Context, why: RefusalKind) {
        if let Some(refused) = &self.stored.refresh_token {
            self.session_store.mark_dead(refused.fingerprint());
        }
        self.session_store.suspected = Some((why, 0));
        self.reload(cx);
    }

    /// Handles the content of the store, if a read was requested.
    pub(crate) fn handle_stored(&mut self, cx: &mut Context, stored: Option<StoredSession>) {
        if self.session_store.asked_until().is_none() {
            return;
        }
        if self.sign_out == SignOut::Revoking {
            self.session_store.read = Read::Unread;
            self.revoke(cx, stored);
            return;
        }
        self.session_store.read = Read::Done { until: cx.after(DRIVER_TIMEOUT) };
        if self.hold_better(cx, stored) {
            return;
        }
        match self.session_store.suspected.take() {
            // The first read found nothing new; another process may still be storing the successor.
            Some((why, 0)) => {
                self.session_store.read = Read::Unread;
                self.session_store.suspected = Some((why, 1));
                self.retry_at = cx.after(STORE_REREAD_DELAY);
            }
            Some((why, _)) => self.refresh_refused(cx, why),
            None => {}
        }
    }

    /// Compares the stored with the held session and holds the better token. Returns `true` if that is a different one.
    fn hold_better(&mut self, cx: &Context, kept: Option<StoredSession>) -> bool {
        if let Some(kept) = kept.filter(|kept| self.is_ours(kept)) {
            self.session_store.generation = self.session_store.generation.max(kept.generation);
            let same = kept.refresh_token == self.stored.refresh_token;
            self.session_store.kept_other =
                kept.refresh_token.as_ref().filter(|_| !same).map(RefreshToken::fingerprint);
            if same {
                self.stored.generation = self.stored.generation.max(kept.generation);
            } else if let Some(token) = kept.refresh_token.clone()
                && !self.session_store.is_dead(&token)
            {
                let held = self.stored.refresh_token.as_ref();
                let older = kept.generation < self.stored.generation;
                if older && held.is_some_and(|held| !self.session_store.is_dead(held)) {
                    self.session_store.add_spare(token, kept.generation);
                } else {
                    self.hold(cx, kept);
                    return true;
                }
            }
        }
        self.hold_spare(cx)
    }

    /// Adopts the stored session, and remembers the token that was held.
    fn hold(&mut self, cx: &Context, kept: StoredSession) {
        // The identity id and the permission to publish belong to the account, not to the token, so they are kept.
        let identity_id = self.stored.identity_id.take();
        let publish_denied_at = self.stored.publish_denied_at;
        let held = core::mem::replace(&mut self.stored, kept);
        self.stored.identity_id = self.stored.identity_id.take().or(identity_id);
        self.stored.publish_denied_at = self.stored.publish_denied_at.or(publish_denied_at);
        if let Some(token) = held.refresh_token {
            self.session_store.add_spare(token, held.generation);
        }
        self.session_store.kept_other = None;
        self.begin_with_token(cx);
    }

    /// Adopts the newest of the other tokens if the held one is dead.
    fn hold_spare(&mut self, cx: &Context) -> bool {
        if self.stored.refresh_token.as_ref().is_some_and(|held| !self.session_store.is_dead(held)) {
            return false;
        }
        let Some(Spare { token, generation }) = self.session_store.take_spare() else { return false };
        self.session_store.kept_other = self.stored.refresh_token.as_ref().map(RefreshToken::fingerprint);
        self.stored.refresh_token = Some(token);
        self.stored.generation = generation;
        self.begin_with_token(cx);
        true
    }

    fn begin_with_token(&mut self, cx: &Context) {
        self.session_store.unwritten = false;
        self.session_store.suspected = None;
        if self.blocked.is_some() {
            self.blocked = None;
            self.trouble = None;
        }
        self.retry_at = cx.mono();
    }

    pub(super) fn is_ours(&self, kept: &StoredSession) -> bool {
        kept.belongs_to(&self.stored.account) && kept.client_id == self.stored.client_id
    }
}
