//! Handling of Cognito's answers.

use alloc::boxed::Box;
use core::time::Duration;

use mysa_cognito::{AwsCredentials, Challenge, Error, Recovery, RefreshFlow, RefusalKind, Step, Tokens};
use mysa_sigv4::Credentials;

use super::{CHALLENGE_LIFE, Held, Identity, MAX_REPEATED_SIGN_INS, SIGN_IN_SPACING, Signer, Stage};
use crate::clock::ClockSource;
use crate::context::Context;
use crate::{ChallengeName, ChallengeNeeded, Event, HttpAnswer, HttpResult, Reason, Revocation};

/// Pause after a lock-out. Cognito's own lock-out grows to 15 minutes.
pub(super) const LOCK_OUT: Duration = Duration::from_secs(15 * 60);
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Largest upper bound, at least, of a pause after a failure that the pool has answered.
const POOL_CAP: Duration = Duration::from_secs(60);
/// Largest upper bound, at least, of a pause before a sign-in by password.
const SIGN_IN_CAP: Duration = Duration::from_secs(300);
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// Minimum time for which tokens are used, even if they claim a shorter life, so they are not renewed in a loop. REST
/// answers 401 if they really have expired.
const SHORTEST_TOKEN_LIFE: Duration = Duration::from_secs(300);
/// Maximum time for which credentials are used, even if they claim a longer life.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);

impl Identity {
    /// Handles the outcome of the pending request.
    pub(crate) fn handle_http(&mut self, cx: &mut Context, result: HttpResult<'_>) {
        let Some(work) = self.work.take() else { return };
        let answer = match result {
            HttpResult::Answer(answer) => answer,
            HttpResult::Failed(_) if matches!(work.stage, Stage::Revoked(_)) => {
                return self.signed_out(cx, Revocation::NotReached);
            }
            HttpResult::Failed(failure) => {
                self.keep_challenge(work.stage);
                return self.pause(cx, failure.into());
            }
        };
        let HttpAnswer { status, body, .. } = answer;
        match work.stage {
            // The claim would be refused, and count as a wrong password.
            Stage::Challenge(_) if status == 200 && self.begin_anew(cx) => {}
            Stage::Challenge(next) => {
                // The pool checks the time stamp of the claim against its own clock, and its answer may be the only one
                // so far.
                let time = cx.clock.time_of(ClockSource::UserPool, cx.now);
                let reply = next.reply(status, body, time.as_secs());
                self.sign_in_step(cx, reply, None, answer);
            }
            Stage::Answer(next, challenge) => {
                let reply = next.reply(status, body);
                self.sign_in_step(cx, reply, challenge, answer);
            }
            Stage::Tokens(next) => match next.reply(status, body) {
                Ok(tokens) => self.signed_in(cx, tokens),
                Err(error) => self.refresh_failed(cx, &error, answer),
            },
            Stage::Identity(next) => match next.reply(status, body) {
                Ok(identity_id) => {
                    self.stored.identity_id = Some(identity_id);
                    self.store(cx);
                    self.succeeded();
                }
                Err(error) => self.exchange_failed(cx, &error, answer),
            },
            Stage::Credentials(next) => match next.reply(status, body) {
                Ok(credentials) => self.hold_credentials(cx, &credentials),
                Err(error) => self.exchange_failed(cx, &error, answer),
            },
            Stage::Revoked(next) => {
                let revoked = match next.reply(status, body) {
                    Ok(()) => Revocation::Revoked,
                    // The token is not accepted any more, which is the purpose of revoking. With other errors the pool
                    // refuses to revoke at all.
                    Err(Error::Refused(refusal)) if refusal.name == "NotAuthorizedException" => {
                        Revocation::Revoked
                    }
                    // Throttled or in trouble: the pool may revoke the token another time.
                    Err(error) if error.retry() => Revocation::NotReached,
                    Err(_) => Revocation::Refused,
                };
                self.signed_out(cx, revoked);
            }
        }
    }

    /// Restores the challenge of an answer that never arrived, so it can be answered again.
    fn keep_challenge(&mut self, stage: Stage) {
        if let Stage::Answer(_, Some(challenge)) = stage {
            self.challenge = Some(challenge);
        }
    }

    fn sign_in_step(
        &mut self,
        cx: &mut Context,
        reply: Result<Step, Error>,
        challenge: Option<Box<Challenge>>,
        answer: HttpAnswer<'_>,
    ) {
        match reply {
            Ok(Step::Continue(request, next)) => self.send(cx, &request, Stage::Answer(next, None)),
            Ok(Step::Done(tokens)) => self.signed_in(cx, tokens),
            Ok(Step::Challenge(challenge)) => self.ask(cx, Box::new(challenge), false),
            Ok(Step::Unsupported { name }) => {
                self.password = None;
                self.block(Reason::ChallengeUnsupported(ChallengeName::new(&name)));
            }
            Err(error) => match (error.recovery(), challenge) {
                (Recovery::AskForCode, Some(challenge)) => self.ask(cx, challenge, true),
                // The answer came too late. Sign-in starts again, because a person is present to answer.
                (Recovery::AskForPassword, Some(_))
                    if error.refusal() == Some(RefusalKind::ChallengeExpired) =>
                {
                    self.retry_at = cx.after(Duration::from_secs(1));
                }
                (Recovery::AskForPassword, Some(_)) => self.refused(cx, &error),
                // The pool answers an expired challenge and a wrong password alike.
                (Recovery::AskForPassword, None)
                    if error.refusal() == Some(RefusalKind::WrongCredentials) && self.begin_anew(cx) => {}
                (Recovery::AskForPassword | Recovery::GiveUp, None) if error.refusal().is_some() => {
                    self.refused(cx, &error);
                }
                (_, challenge) => {
                    self.challenge = challenge;
                    self.put_off(cx, &error, answer);
                }
            },
        }
    }

    /// Begins the sign-in again if its challenge may have expired, as in a suspend between the request and the answer.
    /// Returns `false` if it is young, or if too many have expired in a row.
    fn begin_anew(&mut self, cx: &Context) -> bool {
        let Some(begun) = self.signed_in_at else { return false };
        let age = cx.mono().saturating_sub(begun).saturating_add(self.asleep);
        let again = age >= CHALLENGE_LIFE && self.expired < MAX_REPEATED_SIGN_INS;
        if again {
            self.expired += 1;
            self.retry_at = cx.after(SIGN_IN_SPACING);
        }
        again
    }

    fn ask(&mut self, cx: &mut Context, challenge: Box<Challenge>, again: bool) {
        let needed = ChallengeNeeded {
            kind: challenge.kind,
            destination: challenge.destination.clone(),
            choices: challenge.choices.clone(),
            again,
        };
        self.challenge = Some(challenge);
        cx.outbox.keep(Event::Challenge(Box::new(needed)));
    }

    /// Records a definite refusal. The password is not sent again, by this run or a later one.
    fn refused(&mut self, cx: &mut Context, error: &Error) {
        self.password = None;
        if let Error::Refused(refusal) = error {
            self.stored.refused = Some(refusal.name.clone());
        }
        self.store(cx);
        self.block(Reason::Refused(error.refusal().unwrap_or(RefusalKind::Other)));
    }

    fn refresh_failed(&mut self, cx: &mut Context, error: &Error, answer: HttpAnswer<'_>) {
        // It is not known which error a pool returns for a disabled flow, so every definite refusal is tried once with
        // the other flow.
        let modern = matches!(
            error.refusal(),
            Some(RefusalKind::RefreshRejected | RefusalKind::ClientBug | RefusalKind::Other)
        );
        if modern && self.flow == RefreshFlow::InitiateAuth {
            // A pool that rotates refresh tokens refuses `InitiateAuth`.
            self.flow = RefreshFlow::GetTokensFromRefreshToken;
            self.retry_at = cx.mono();
            return;
        }
        if error.needs_sign_in() {
            self.flow = cx.settings.refresh_flow;
            self.suspect_token(cx, error.refusal().unwrap_or(RefusalKind::RefreshRejected));
        } else {
            self.put_off(cx, error, answer);
        }
    }

    /// Discards a refused refresh token, and falls back to the password if there is one.
    pub(super) fn refresh_refused(&mut self, cx: &mut Context, kind: RefusalKind) {
        self.stored.refused_token = self.stored.refresh_token.take().map(|token| token.fingerprint());
        if kind == RefusalKind::RefreshRejected && self.password.is_some() {
            self.retry_at = cx.mono();
        } else {
            self.password = None;
            self.block(Reason::Refused(kind));
        }
        self.store(cx);
    }

    fn exchange_failed(&mut self, cx: &mut Context, error: &Error, answer: HttpAnswer<'_>) {
        match error.recovery() {
            // A new id token is tried once. If the identity pool still refuses, the fault lies elsewhere.
            Recovery::RenewTokens if !self.last_chance => {
                self.last_chance = true;
                self.tokens = None;
                self.retry_at = cx.mono();
            }
            Recovery::ForgetIdentity => {
                self.stored.identity_id = None;
                self.put_off(cx, error, answer);
            }
            _ => self.put_off(cx, error, answer),
        }
    }

    fn put_off(&mut self, cx: &mut Context, error: &Error, answer: HttpAnswer<'_>) {
        let wait = retry_after(answer.retry_after, cx);
        // Some errors are worth one quick retry; after that, or when throttled, the pause is minutes.
        let second = self.backoff.failures() > 0;
        let reason = match error {
            Error::Refused(refusal)
                if matches!(refusal.kind, RefusalKind::RateLimited | RefusalKind::LockedOut) =>
            {
                Reason::Throttled
            }
            Error::Transport { status: 429, .. } => Reason::Throttled,
            Error::Refused(refusal) => Reason::Refused(refusal.kind),
            Error::Srp(_) => Reason::InvalidSignInAnswer,
            // Only an answer with a status of success is read this far.
            Error::Malformed { .. } => Reason::InvalidSignInAnswer,
            _ => Reason::of_answer(answer.status, answer.body),
        };
        match error.recovery() {
            Recovery::RetryOnce if !second => self.pause(cx, reason),
            Recovery::Wait | Recovery::GiveUp | Recovery::RetryOnce => {
                let locked = error.refusal() == Some(RefusalKind::LockedOut);
                let own = self.backoff.next(FIRST_WAIT, LONGEST_WAIT, &mut cx.entropy);
                let pause = if locked { LOCK_OUT } else { FIRST_WAIT + own }.max(wait);
                self.retry_at = cx.after(pause);
                self.trouble = Some(reason);
                if locked || error.refusal() == Some(RefusalKind::RateLimited) {
                    let secs = i64::try_from(pause.as_secs()).unwrap_or(i64::MAX);
                    self.stored.not_before = Some(cx.time().as_secs().saturating_add(secs));
                    self.store(cx);
                }
            }
            _ => {
                self.pause(cx, reason);
                self.retry_at = self.retry_at.max(cx.after(wait));
            }
        }
    }

    pub(super) fn pause(&mut self, cx: &mut Context, reason: Reason) {
        let least = if self.stored.refresh_token.is_none() {
            // The next attempt is a sign-in by password, and the pool counts those.
            SIGN_IN_CAP
        } else if matches!(reason, Reason::Unreachable | Reason::NoAnswer | Reason::BrokenOff) {
            // The network may be down, and short pauses notice its return. A request without an answer takes its time too.
            Duration::ZERO
        } else {
            POOL_CAP
        };
        let cap = cx.settings.http_backoff_cap.max(least);
        let pause = self.backoff.next(FIRST_PAUSE, cap, &mut cx.entropy);
        // Full jitter can draw zero; half a second keeps retries apart.
        self.retry_at = cx.after(pause.max(Duration::from_millis(500)));
        self.trouble = Some(reason);
    }

    fn succeeded(&mut self) {
        self.expired = 0;
        self.backoff.reset();
        self.retry_at = Duration::ZERO;
        self.trouble = None;
    }

    pub(super) fn block(&mut self, reason: Reason) {
        self.blocked = Some(reason);
    }

    fn signed_in(&mut self, cx: &mut Context, tokens: Tokens) {
        self.succeeded();
        self.blocked = None;
        self.challenge = None;
        let mut changed = self.stored.refused.take().is_some() | self.stored.not_before.take().is_some();
        changed |= self.take_refresh_token(tokens.refresh.as_ref());
        let life = tokens.expires_in.max(SHORTEST_TOKEN_LIFE);
        // Short-lived tokens are used for at least three quarters of their life.
        let margin = cx.settings.renewal_margin.min(life / 4);
        self.tokens =
            Some(Box::new(Held { value: tokens, since: cx.mono(), expires_at: cx.after(life), margin }));
        if changed {
            self.store(cx);
        }
    }

    fn hold_credentials(&mut self, cx: &mut Context, credentials: &AwsCredentials) {
        let time = cx.clock.time_of(ClockSource::IdentityPool, cx.now);
        let left = credentials.expires_at_ms.saturating_sub(time.as_millis());
        let life = Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(LONGEST_LIFE);
        if life < Duration::from_secs(30) {
            // The credentials have expired on arrival: one of the clocks is wrong, and fetching again at once would
            // loop.
            self.pause(cx, Reason::ServerTrouble { status: 200 });
            return;
        }
        self.succeeded();
        self.last_chance = false;
        let signer = Credentials::new(
            credentials.access_key_id.clone(),
            credentials.secret_key.expose(),
            Some(credentials.session_token.expose()),
        );
        let margin = cx.settings.renewal_margin.min(life / 4);
        let (since, expires_at) = (cx.mono(), cx.after(life));
        self.credentials = Some(Box::new(Held { value: Signer(signer), since, expires_at, margin }));
    }
}

/// Returns the pause that a `Retry-After` header asks for, at most an hour.
pub(crate) fn retry_after(header: Option<&str>, cx: &Context) -> Duration {
    let Some(header) = header.map(str::trim) else { return Duration::ZERO };
    let secs = match header.parse::<u64>() {
        Ok(secs) => secs,
        Err(_) => crate::clock::parse(header)
            .and_then(|at| at.since(cx.time()))
            .map_or(0, |wait| wait.as_secs().saturating_add(1)),
    };
    Duration::from_secs(secs.min(3_600))
}
