mod responses;
mod session_store;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use core::time::Duration;

use mysa_cognito::{
    AwaitAnswer, AwaitChallenge, AwaitCredentials, AwaitIdentity, AwaitRevoked, AwaitTokens, Challenge,
    HttpRequest as CognitoRequest, RefreshFlow, RefusalKind, Secret, Service as CognitoService, SignIn,
    StoredSession, Tokens,
};
use mysa_proto::UnixTime;
use mysa_sigv4::Credentials;

pub(crate) use responses::retry_after;

use session_store::SessionStore;

use crate::backoff::Backoff;
use crate::clock::ClockSource;
use crate::context::{Context, HTTP_SLACK};
use crate::now::earlier;
use crate::{Deadline, Event, HttpId, Reason, Revocation, Wake};

/// Identity of the account: its tokens, its AWS credentials and their renewal. At most one exchange with Cognito is in
/// progress.
#[derive(Debug)]
pub(crate) struct Identity {
    stored: StoredSession,
    session_store: SessionStore,
    password: Option<Secret>,
    flow: RefreshFlow,
    tokens: Option<Box<Held<Tokens>>>,
    credentials: Option<Box<Held<Signer>>>,
    work: Option<Box<PendingRequest>>,
    challenge: Option<Box<Challenge>>,
    backoff: Backoff,
    retry_at: Duration,
    /// Time at which a password was last used.
    signed_in_at: Option<Duration>,
    /// Time since then that the monotonic clock did not count.
    asleep: Duration,
    /// Number of sign-ins that began again because the challenge had expired, since the last success.
    expired: u8,
    /// Reason why nothing continues until a person acts.
    blocked: Option<Reason>,
    /// Time of the next read of the store, for a session that was signed in elsewhere, while this one is
    /// blocked.
    reload_at: Duration,
    sign_out: SignOut,
    /// `true` if the store holds the session of another account, which a sign-out must not delete.
    keeps_another: bool,
    /// Reason why the last exchange failed.
    trouble: Option<Reason>,
    /// `true` after a failure that may be repeated only once.
    last_chance: bool,
}

#[derive(Debug)]
struct Held<T> {
    value: T,
    since: Duration,
    expires_at: Duration,
    margin: Duration,
}

/// Progress of a sign-out by this session. Afterwards the session ignores sign-ins of other processes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SignOut {
    No,
    /// The stored token is read, then revoked.
    Revoking,
    Done,
}

impl<T> Held<T> {
    const fn renewal(&self) -> Duration {
        self.expires_at.saturating_sub(self.margin)
    }
}

impl Held<Signer> {
    /// Time at which the next credentials are fetched.
    fn refetch(&self) -> Duration {
        self.renewal().max(self.since.saturating_add(CREDENTIALS_SPACING))
    }
}

/// AWS credentials in the form that the signer takes.
#[derive(Debug)]
struct Signer(Credentials);

#[derive(Debug)]
struct PendingRequest {
    id: HttpId,
    source: ClockSource,
    sent: Duration,
    until: Duration,
    stage: Stage,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "at most one exists, in a box, during an exchange")]
enum Stage {
    Challenge(AwaitChallenge),
    Answer(AwaitAnswer, Option<Box<Challenge>>),
    Tokens(AwaitTokens),
    Identity(AwaitIdentity),
    Credentials(AwaitCredentials),
    Revoked(AwaitRevoked),
}

/// Minimum time between two requests for credentials, however short their life.
const CREDENTIALS_SPACING: Duration = Duration::from_secs(60);
/// Minimum time for which a connection stays before it is replaced because its credentials expire. A connection
/// outlives its credentials, so this does no harm.
const SHORTEST_CONNECTION: Duration = Duration::from_secs(300);
/// Age of a sign-in from which on its challenge may have expired: Cognito's lives for three minutes.
const CHALLENGE_LIFE: Duration = Duration::from_secs(120);
/// Maximum number of sign-ins in a row that begin again because their challenge had expired.
const MAX_REPEATED_SIGN_INS: u8 = 3;
/// Minimum time between two sign-ins: each failure is a step towards a lock-out.
const SIGN_IN_SPACING: Duration = Duration::from_secs(2);

impl Identity {
    pub(crate) fn with_password(
        username: &str,
        password: Secret,
        client_id: &str,
        flow: RefreshFlow,
    ) -> Self {
        Self::new(StoredSession::new(username, client_id), Some(password), flow)
    }

    /// Resumes from a stored session. A refusal or a pause of an earlier run still applies; a refresh token
    /// of another app client is discarded, because Cognito binds refresh tokens to the client.
    pub(crate) fn resume(
        mut stored: StoredSession,
        password: Option<Secret>,
        client_id: &str,
        flow: RefreshFlow,
    ) -> Self {
        if stored.client_id != client_id {
            stored.client_id = client_id.into();
            stored.refresh_token = None;
            stored.identity_id = None;
        }
        let refused = stored.refused.is_some();
        let mut identity = Self::new(stored, password, flow);
        // An earlier run was refused permanently: another try would only count towards a lock-out.
        if refused && identity.stored.refresh_token.is_none() {
            identity.blocked = Some(Reason::Refused(RefusalKind::WrongCredentials));
        }
        identity
    }

    fn new(stored: StoredSession, password: Option<Secret>, flow: RefreshFlow) -> Self {
        Self {
            stored,
            session_store: SessionStore::default(),
            password,
            flow,
            tokens: None,
            credentials: None,
            work: None,
            challenge: None,
            backoff: Backoff::default(),
            retry_at: Duration::ZERO,
            signed_in_at: None,
            asleep: Duration::ZERO,
            expired: 0,
            blocked: None,
            reload_at: Duration::ZERO,
            sign_out: SignOut::No,
            keeps_another: false,
            trouble: None,
            last_chance: false,
        }
    }

    /// Reason why a person has to act.
    pub(crate) const fn blocked(&self) -> Option<Reason> {
        self.blocked
    }

    pub(crate) const fn trouble(&self) -> Option<Reason> {
        self.trouble
    }

    /// Number of consecutive failures, and the time of the next attempt.
    pub(crate) fn failing(&self) -> Option<(u32, Duration)> {
        self.trouble.map(|_| (self.backoff.failures(), self.retry_at))
    }

    /// Returns the id token while it is valid.
    pub(crate) fn id_token(&self, cx: &Context) -> Option<&str> {
        self.tokens.as_ref().filter(|held| held.expires_at > cx.mono()).map(|held| held.value.id.expose())
    }

    /// Returns the user's id.
    pub(crate) fn user(&self) -> Option<&str> {
        self.tokens.as_ref().map(|held| held.value.claims.sub.as_str())
    }

    /// Returns credentials that can sign, the time they expire, and the time at which a connection signed with them
    /// should be replaced.
    pub(crate) fn credentials(&self, cx: &Context) -> Option<(&Credentials, Duration, Duration)> {
        let held = self.credentials.as_ref()?;
        // The margin covers the time between signing and the upgrade.
        let usable = held.expires_at.saturating_sub(Duration::from_secs(20)) > cx.mono();
        let replaced = held.renewal().max(cx.after(SHORTEST_CONNECTION));
        usable.then_some((&held.value.0, held.expires_at, replaced))
    }

    /// Returns `true` if there are credentials that need no renewal yet.
    pub(crate) fn has_fresh_credentials(&self, cx: &Context) -> bool {
        self.credentials.as_ref().is_some_and(|held| held.renewal() > cx.mono())
    }

    /// Discards credentials that were refused before they expired.
    pub(crate) fn drop_credentials(&mut self) {
        self.credentials = None;
    }

    /// Discards the id token after it was refused for a request sent at `sent`. A refusal that arrives late concerns
    /// the previous token and causes no renewal.
    pub(crate) fn drop_tokens(&mut self, sent: Duration) {
        self.tokens = self.tokens.take().filter(|held| held.since > sent);
    }

    /// Brings expiry times forward by `by`, because the host slept or its clock was set forward.
    pub(crate) fn age(&mut self, by: Duration) {
        self.asleep = self.asleep.saturating_add(by);
        for expires_at in [
            self.tokens.as_mut().map(|held| &mut held.expires_at),
            self.credentials.as_mut().map(|held| &mut held.expires_at),
        ]
        .into_iter()
        .flatten()
        {
            *expires_at = expires_at.saturating_sub(by);
        }
    }

    /// Returns `true` if a challenge waits for a person.
    pub(crate) const fn challenge_open(&self) -> bool {
        self.challenge.is_some()
    }

    /// Returns the next deadline. `credentials_wanted` is `true` while a connection is to be opened or kept.
    pub(crate) fn deadline(&self, credentials_wanted: bool) -> Option<Deadline> {
        let store = self.session_store.deadline().map(|at| Deadline::new(at, Wake::Identity));
        earlier(store, self.next_exchange(credentials_wanted))
    }

    fn next_exchange(&self, credentials_wanted: bool) -> Option<Deadline> {
        if let Some(work) = &self.work {
            return Some(Deadline::new(work.until, Wake::HttpDeadline));
        }
        if self.challenge.is_some() || self.session_store.asked_until().is_some() {
            return None;
        }
        if self.blocked.is_some() && self.tokens.is_none() {
            return (self.sign_out == SignOut::No).then(|| Deadline::new(self.reload_at, Wake::Identity));
        }
        let due = self.due(credentials_wanted).map(|due| due.max(self.retry_at));
        // While blocked, tokens are used until they expire; afterwards the store is watched for another sign-in.
        let end = self.tokens.as_ref().filter(|_| self.blocked.is_some()).map(|held| held.expires_at);
        let at = match (due, end) {
            (Some(due), Some(end)) => due.min(end),
            (due, end) => due.or(end)?,
        };
        Some(Deadline::new(at, Wake::Identity))
    }

    /// Returns the time of the next fetch, regardless of pauses after failures.
    fn due(&self, credentials_wanted: bool) -> Option<Duration> {
        let Some(tokens) = &self.tokens else {
            return self.blocked.is_none().then_some(Duration::ZERO);
        };
        let tokens_at = self.blocked.is_none().then(|| tokens.renewal());
        let credentials_at = credentials_wanted
            .then(|| self.credentials.as_ref().map_or(Duration::ZERO, |held| held.refetch()));
        match (tokens_at, credentials_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Starts the exchange that is due.
    pub(crate) fn step(&mut self, cx: &mut Context, credentials_wanted: bool) {
        self.step_store(cx);
        if let Some(work) = &self.work {
            if work.until > cx.mono() {
                return;
            }
            // The driver did not report in time.
            self.work = None;
            if self.sign_out == SignOut::Revoking {
                self.signed_out(cx, Revocation::NotReached);
            } else {
                self.pause(cx, Reason::NoAnswer);
            }
        }
        let now = cx.mono();
        if let Some(until) = self.session_store.asked_until() {
            if until > now {
                return;
            }
            // The driver did not report in time.
            self.handle_stored(cx, None);
        }
        if self.blocked.is_some() && self.tokens.as_ref().is_some_and(|held| held.expires_at <= now) {
            // No renewal can replace the tokens while the identity is blocked.
            self.tokens = None;
        }
        if self.blocked.is_some() && self.tokens.is_none() {
            if self.challenge.is_none() && self.sign_out == SignOut::No && self.reload_at <= now {
                self.reload(cx);
            }
            return;
        }
        if self.challenge.is_some() || now < self.retry_at {
            return;
        }
        // Tokens come before credentials, because the identity pool takes a valid id token.
        let tokens_due = self.tokens.as_ref().is_none_or(|held| held.renewal() <= now);
        if tokens_due && self.blocked.is_none() {
            self.renew_tokens(cx);
            return;
        }
        let credentials_due = self.credentials.as_ref().is_none_or(|held| held.refetch() <= now);
        if credentials_wanted && credentials_due && self.id_token(cx).is_some() {
            self.renew_credentials(cx);
        }
    }

    fn renew_tokens(&mut self, cx: &mut Context) {
        if let Some(token) = &self.stored.refresh_token {
            // With token rotation another process may have used this token up, so the store is read right before each
            // use.
            if !self.session_store.take_read(cx.mono()) {
                self.reload(cx);
                return;
            }
            let (request, next) = mysa_cognito::refresh(&cx.environment.pool, token, self.flow);
            self.send(cx, &request, Stage::Tokens(next));
            return;
        }
        if self.stored.refused.is_some() {
            self.block(Reason::Refused(RefusalKind::WrongCredentials));
            return;
        }
        // A pause survives restarts: the pool counts attempts, not processes.
        if let Some(not_before) = self.stored.not_before {
            let wait = not_before.saturating_sub(cx.time().as_secs());
            if let Ok(wait @ 1..) = u64::try_from(wait) {
                // With a wrong clock the stored time could be years away; no lock-out lasts longer than this.
                self.retry_at = cx.after(Duration::from_secs(wait).min(responses::LOCK_OUT));
                self.trouble = Some(Reason::Throttled);
                return;
            }
            self.stored.not_before = None;
        }
        let Some(password) = self.password.clone() else {
            // An earlier run may have lost its token by a refusal.
            let was_refused = self.stored.refused_token.is_some();
            let refused = Reason::Refused(RefusalKind::RefreshRejected);
            self.block(if was_refused { refused } else { Reason::NoCredentials });
            return;
        };
        // Recorded before the outcome is known: failed attempts count towards the lock-out too.
        self.signed_in_at = Some(cx.mono());
        self.asleep = Duration::ZERO;
        let (request, next) =
            SignIn::start(&cx.environment.pool, &self.stored.account, password, cx.entropy.bytes());
        self.send(cx, &request, Stage::Challenge(next));
    }

    fn renew_credentials(&mut self, cx: &mut Context) {
        let Some(tokens) = &self.tokens else { return };
        match &self.stored.identity_id {
            None => {
                let (request, next) = mysa_cognito::get_id(&cx.environment.identity_pool, &tokens.value);
                self.send(cx, &request, Stage::Identity(next));
            }
            Some(id) => {
                let (request, next) = mysa_cognito::get_credentials(id, &tokens.value);
                self.send(cx, &request, Stage::Credentials(next));
            }
        }
    }

    fn send(&mut self, cx: &mut Context, request: &CognitoRequest, stage: Stage) {
        let (base, source) = match request.service {
            CognitoService::UserPool => (&cx.environment.user_pool_url, ClockSource::UserPool),
            CognitoService::IdentityPool => (&cx.environment.identity_pool_url, ClockSource::IdentityPool),
        };
        let mut url = String::from(base.trim_end_matches('/'));
        url.push('/');
        let headers = request.headers().map(|(name, value)| (name, Cow::Borrowed(value)));
        let id =
            cx.http("POST", url, vec![headers[0].clone(), headers[1].clone()], Some(request.body.clone()));
        let until = cx.after(cx.settings.http_timeout + HTTP_SLACK);
        self.work = Some(Box::new(PendingRequest { id, source, sent: cx.mono(), until, stage }));
    }

    /// Returns the time and the host of the pending request, if it has this id.
    pub(crate) fn sent_at(&self, id: HttpId) -> Option<(Duration, ClockSource)> {
        self.work.as_ref().filter(|work| work.id == id).map(|work| (work.sent, work.source))
    }

    /// Returns the time at which an earlier run found that this account may not publish.
    pub(crate) fn publish_denied_at(&self) -> Option<UnixTime> {
        self.stored.publish_denied_at.map(UnixTime::from_secs)
    }

    /// Stores the time at which publishing was found to be denied, or `None` if it is allowed.
    pub(crate) fn set_publish_denied_at(&mut self, cx: &mut Context, at: Option<i64>) {
        if self.stored.publish_denied_at != at && self.stored.refresh_token.is_some() {
            self.stored.publish_denied_at = at;
            self.store(cx);
        }
    }

    /// Takes a password that a person entered, and discards earlier refusals.
    pub(crate) fn sign_in(&mut self, cx: &Context, password: Secret) {
        self.password = Some(password);
        // An exchange in progress and its tokens belong to the old password, so everything starts again.
        self.stored.refused = None;
        self.stored.not_before = None;
        self.stored.refresh_token = None;
        self.challenge = None;
        self.work = None;
        self.session_store.reset();
        self.sign_out = SignOut::No;
        self.tokens = None;
        self.blocked = None;
        self.trouble = None;
        self.expired = 0;
        let spaced = self.signed_in_at.map_or(Duration::ZERO, |at| at.saturating_add(SIGN_IN_SPACING));
        self.retry_at = spaced.max(cx.mono());
    }

    /// Answers the challenge. Returns `false` if there is none.
    pub(crate) fn answer(&mut self, cx: &mut Context, answer: &str) -> bool {
        let Some(challenge) = self.challenge.take() else { return false };
        let (request, next) = challenge.answer(answer);
        self.send(cx, &request, Stage::Answer(next, Some(challenge)));
        true
    }

    /// Signs out and revokes the refresh token. The stored token is read first, because another process may have
    /// received a newer one.
    pub(crate) fn sign_out(&mut self, cx: &mut Context) {
        if self.sign_out == SignOut::Revoking {
            return;
        }
        self.sign_out = SignOut::Revoking;
        self.session_store.reset();
        self.work = None;
        self.password = None;
        self.tokens = None;
        self.credentials = None;
        self.challenge = None;
        self.trouble = None;
        self.retry_at = Duration::ZERO;
        self.blocked = Some(Reason::NoCredentials);
        self.reload(cx);
    }

    /// Revokes the newer of the held and the stored token.
    fn revoke(&mut self, cx: &mut Context, kept: Option<StoredSession>) {
        self.keeps_another = kept.as_ref().is_some_and(|kept| !kept.belongs_to(&self.stored.account));
        if let Some(kept) = kept.filter(|kept| self.is_ours(kept) && kept.refresh_token.is_some())
            && (kept.generation >= self.stored.generation || self.stored.refresh_token.is_none())
        {
            self.stored = kept;
        }
        let Some(token) = &self.stored.refresh_token else {
            self.signed_out(cx, Revocation::NothingToRevoke);
            return;
        };
        let (request, next) = mysa_cognito::revoke(&cx.environment.pool, token);
        self.send(cx, &request, Stage::Revoked(next));
    }

    fn signed_out(&mut self, cx: &mut Context, revoked: Revocation) {
        self.sign_out = SignOut::Done;
        // A token that may still work stays stored, so the sign-out can be repeated.
        if revoked != Revocation::NotReached {
            self.stored.refresh_token = None;
            self.stored.identity_id = None;
            // A store that has failed must not be repeated after the removal.
            self.session_store.reset();
            if !self.keeps_another {
                cx.outbox.forget();
            }
        }
        cx.outbox.keep(Event::SignedOut { revoked });
    }
}
