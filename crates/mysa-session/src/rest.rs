use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_cognito::Secret;
use mysa_proto::rest::{self, RestHost, RestRequest};
use mysa_proto::{DeviceId, UnixTime};

use crate::auth::{Identity, retry_after};
use crate::backoff::Backoff;
use crate::clock::ClockSource;
use crate::commands::book::StructuredAnswer;
use crate::context::{Context, HTTP_SLACK};
use crate::now::{earlier, plus};
use crate::{
    Deadline, HttpBody, HttpFailure, HttpId, HttpRequest, HttpResult, Now, Output, Reason, RequestError,
    RequestId, Wake,
};

/// REST client: polls, commands by the structured service, and requests of the caller.
#[derive(Debug)]
pub(crate) struct Rest {
    pending: Vec<Pending>,
    waiting: Vec<Waiting>,
    devices_at: Duration,
    states_at: Duration,
    backoff: Backoff,
    /// Earliest time of the next poll, as set by back-off or `Retry-After`.
    not_before: Duration,
    /// Time at which the states were last read.
    pub(crate) read_at: Option<Duration>,
    trouble: Option<Reason>,
    /// Time until which polls ask the other host first, for the routes that both hosts have.
    other_host_until: Duration,
    /// Polls that one host has failed and that the other host is asked for.
    second_tries: SecondTries,
    /// Earliest time of the next command, after one that could not be sent.
    commands_at: Duration,
}

/// Flags of the polls in progress: `true` for a second try, on the other host.
#[derive(Clone, Copy, Debug, Default)]
struct SecondTries {
    devices: bool,
    states: bool,
}

impl SecondTries {
    /// Returns the flag of a poll. `None` for other requests.
    const fn of(&mut self, purpose: Purpose) -> Option<&mut bool> {
        match purpose {
            Purpose::Devices => Some(&mut self.devices),
            Purpose::States => Some(&mut self.states),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Pending {
    id: HttpId,
    /// Request, kept for a repeat with a new token. `None` for a command, whose repeat the command book decides.
    request: Option<RestRequest>,
    purpose: Purpose,
    source: ClockSource,
    sent: Duration,
    until: Duration,
    /// Time at which the driver gives it up.
    limit: Duration,
    /// `true` once the driver was told to end it. The service may be carrying it out, so the next one for its thermostat still
    /// waits, but no answer is missing.
    aborted: bool,
    /// `true` once the driver no longer holds it: it was told to end it, or has reported its end.
    released: bool,
    /// `true` if the id token has been renewed for it once.
    renewed: bool,
    /// Number of redirects that led to it.
    hops: u8,
    /// Body of a write that the driver has not fetched yet.
    deferred: Option<DeferredBody>,
}

impl Pending {
    /// Returns `true` if it writes and the driver has its body.
    const fn is_written(&self) -> bool {
        matches!(self.purpose, Purpose::Update(_) | Purpose::Write(_)) && self.deferred.is_none()
    }

    /// Tells the driver to end the request of a write, unless it does not hold it any more. The timer of the driver may be behind
    /// the clock of the session, by a whole suspend.
    fn recall(&mut self, cx: &mut Context) {
        if self.is_written() && !core::mem::replace(&mut self.released, true) {
            cx.outbox.output(Output::AbortHttp { id: self.id });
        }
    }
}

/// Source of the body of a write, until the driver fetches it.
#[derive(Debug)]
enum DeferredBody {
    /// The command book encodes it.
    Command,
    /// Body, with the wall-clock time of its expiry: the monotonic clock may stand still while the host sleeps.
    Until(Option<String>, UnixTime),
}

#[derive(Debug)]
struct Waiting {
    request: RestRequest,
    purpose: Purpose,
    renewed: bool,
    redirect: Option<Box<Redirect>>,
    /// Time of expiry by either clock. A write that waits for a token must not be sent hours later.
    until: Now,
}

/// URL at one of the service's hosts to which an answer redirected a read.
#[derive(Debug)]
struct Redirect {
    url: String,
    source: ClockSource,
    hops: u8,
}

/// Answer to a driver that fetches a deferred body.
#[derive(Debug)]
pub(crate) enum Deferred {
    /// The command book encodes the body of this transmission.
    Command {
        serial: u64,
    },
    Body(Secret),
    /// The request has expired.
    GivenUp(Purpose),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    Devices,
    States,
    /// State of a thermostat from the structured service.
    Reported(DeviceId),
    /// Record of the user, which has the models as they were paired.
    User,
    /// Command, with the serial of its transmission.
    Update(u64),
    /// Read request of the caller.
    Read(RequestId),
    /// Write request of the caller.
    Write(RequestId),
}

impl Purpose {
    /// Returns the caller's id of a request that a caller made.
    const fn caller(self) -> Option<RequestId> {
        match self {
            Self::Read(id) | Self::Write(id) => Some(id),
            Self::Devices | Self::States | Self::Reported(_) | Self::User | Self::Update(_) => None,
        }
    }
}

/// Result of a request, by its consequence.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Refused(u16),
    /// No answer.
    Failed,
    /// No answer, because the session ended the request.
    Aborted,
    /// Nothing was sent.
    NotSent,
    /// The token was refused, and nothing was done. Every request but a command is repeated with a new token.
    TokenRefused,
}

impl From<&Outcome> for StructuredAnswer {
    fn from(outcome: &Outcome) -> Self {
        match *outcome {
            Outcome::Done => Self::Accepted,
            Outcome::TokenRefused => Self::TokenRefused,
            Outcome::NotSent => Self::NotSent,
            Outcome::Aborted => Self::Aborted,
            // 408 leaves open whether the service timed out on us or on itself.
            Outcome::Refused(408) | Outcome::Failed => Self::Open,
            Outcome::Refused(status @ 400..=499) => Self::Refused { status, retry_after: None },
            Outcome::Refused(_) => Self::Open,
        }
    }
}

/// Maximum number of requests in flight, except those of commands.
const WINDOW: usize = 8;
/// Maximum number of command requests in flight. They have their own limit, so reads never delay a command.
const COMMAND_WINDOW: usize = 4;
/// Time for which a request waits for a free slot or a token.
const WAIT_LIMIT: Duration = Duration::from_secs(60);
const WAITING: usize = 32;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Pause after a command request that could not be sent.
const UNSENT_PAUSE: Duration = Duration::from_secs(2);
/// Maximum number of redirects followed for one read.
const MAX_REDIRECTS: u8 = 3;
/// Maximum length of a `Location` that is followed, in bytes.
const MAX_LOCATION: usize = 2_048;
/// Time for which the other host is asked first after one has failed. It spans several polls, so a host that has
/// vanished for good costs few requests.
const OTHER_HOST: Duration = Duration::from_secs(1_800);

impl Rest {
    pub(crate) fn new() -> Self {
        Self {
            pending: Vec::new(),
            waiting: Vec::new(),
            devices_at: Duration::ZERO,
            states_at: Duration::ZERO,
            backoff: Backoff::default(),
            not_before: Duration::ZERO,
            read_at: None,
            trouble: None,
            other_host_until: Duration::ZERO,
            second_tries: SecondTries::default(),
            commands_at: Duration::ZERO,
        }
    }

    pub(crate) const fn trouble(&self) -> Option<Reason> {
        self.trouble
    }

    /// Number of consecutive failures, and the time of the next attempt.
    pub(crate) fn failing(&self) -> Option<(u32, Duration)> {
        self.trouble.map(|_| (self.backoff.failures(), self.not_before))
    }

    fn has(&self, purpose: Purpose) -> bool {
        self.pending.iter().any(|pending| pending.purpose == purpose)
            || self.waiting.iter().any(|waiting| waiting.purpose == purpose)
    }

    /// Queues a request. Returns `false` if the queue is full.
    pub(crate) fn ask(&mut self, cx: &Context, request: RestRequest, purpose: Purpose) -> bool {
        // One request per purpose: a poll in progress serves both callers.
        if self.has(purpose) {
            return true;
        }
        let room = self.waiting.len() < WAITING;
        if room {
            self.push(cx, request, purpose, false);
        }
        room
    }

    /// Returns the earliest time of a command request. `None` while too many are in flight.
    pub(crate) fn command_at(&self) -> Option<Duration> {
        let held = |pending: &&Pending| matches!(pending.purpose, Purpose::Update(_)) && !pending.released;
        let commands = self.pending.iter().filter(held);
        (commands.count() < COMMAND_WINDOW).then_some(self.commands_at)
    }

    /// Moves the next reading of the states to `at`, unless it is due earlier.
    pub(crate) fn schedule_states_no_later_than(&mut self, at: Duration) {
        self.states_at = self.states_at.min(at);
    }

    pub(crate) fn schedule_devices_no_later_than(&mut self, at: Duration) {
        self.devices_at = self.devices_at.min(at);
    }

    /// Sends what is due. Returns one request that has timed out.
    pub(crate) fn step(
        &mut self,
        cx: &mut Context,
        identity: &mut Identity,
        have_devices: bool,
    ) -> Option<(Purpose, Outcome)> {
        let now = cx.mono();
        if let Some(at) = self.pending.iter().position(|pending| pending.until <= now) {
            // The driver did not report in time, or gave a command's request up at the command's deadline.
            let mut lost = self.pending.swap_remove(at);
            lost.recall(cx);
            if let Some(outcome) = self.unanswered(cx, &lost, HttpFailure::Timeout) {
                return Some(outcome);
            }
        }
        let waited = |waiting: &Waiting| waiting.until.mono <= now || waiting.until.wall <= cx.now.wall;
        if let Some(at) = self.waiting.iter().position(waited) {
            return Some((self.waiting.remove(at).purpose, Outcome::NotSent));
        }
        identity.id_token(cx)?;
        if self.devices_at.max(self.not_before) <= now && !self.has(Purpose::Devices) {
            self.push(cx, rest::devices().into_request(), Purpose::Devices, false);
        }
        if have_devices && self.states_at.max(self.not_before) <= now && !self.has(Purpose::States) {
            self.push(cx, rest::devices_state().into_request(), Purpose::States, false);
        }
        while self.has_room() && !self.waiting.is_empty() {
            // The copy, which is wiped afterwards, is made only for a request.
            let token = Secret::from(identity.id_token(cx)?);
            let Waiting { request, purpose, renewed, redirect, .. } = self.waiting.remove(0);
            let http = self.request(cx, &token, &request, purpose, renewed, redirect);
            if let Some(pending) = self.pending.last_mut() {
                pending.request = Some(request);
            }
            cx.outbox.output(Output::Http(http));
        }
        if self.waiting.is_empty() {
            // The next request is minutes away: free the memory.
            self.waiting = Vec::new();
        }
        None
    }

    fn push(&mut self, cx: &Context, request: RestRequest, purpose: Purpose, renewed: bool) {
        let until = Now { mono: cx.after(WAIT_LIMIT), wall: plus(cx.now.wall, WAIT_LIMIT) };
        self.waiting.push(Waiting { request, purpose, renewed, redirect: None, until });
    }

    fn has_room(&self) -> bool {
        let commands = self.pending.iter().filter(|pending| matches!(pending.purpose, Purpose::Update(_)));
        self.pending.len() - commands.count() < WINDOW
    }

    /// Builds the request of a command, to be sent at once. `renewed` if its token was refused before. The driver gives it up at
    /// the deadline of the command, and with it the bytes that have not left the host.
    pub(crate) fn update(
        &mut self,
        cx: &mut Context,
        token: &Secret,
        request: &RestRequest,
        serial: u64,
        renewed: bool,
        deadline: Duration,
    ) -> HttpRequest {
        let mut http = self.request(cx, token, request, Purpose::Update(serial), renewed, None);
        http.timeout = http.timeout.min(deadline.saturating_sub(cx.mono()));
        if let Some(pending) = self.pending.last_mut() {
            pending.limit = cx.after(http.timeout);
        }
        http
    }

    /// Ends the request of a command that has a verdict, if its body is written and the driver does not end it by itself.
    pub(crate) fn abort(&mut self, cx: &mut Context, serial: u64) {
        let (now, limit) = (cx.mono(), cx.settings.http_timeout);
        let is_written = |pending: &&mut Pending| {
            pending.purpose == Purpose::Update(serial) && pending.deferred.is_none() && !pending.released
        };
        if let Some(pending) = self.pending.iter_mut().find(is_written) {
            // At its time limit, an answer is missing.
            pending.aborted = now < pending.limit;
            pending.until = pending.sent.saturating_add(limit);
            pending.recall(cx);
        }
    }

    /// Answers a driver that fetches a deferred body. `None` if the request is unknown or its body was fetched already.
    pub(crate) fn take_deferred(&mut self, now: Now, id: HttpId) -> Option<Deferred> {
        let at = self.pending.iter().position(|pending| pending.id == id)?;
        let pending = self.pending.get_mut(at)?;
        match (pending.deferred.take()?, pending.purpose) {
            (DeferredBody::Command, Purpose::Update(serial)) => Some(Deferred::Command { serial }),
            (DeferredBody::Until(body, until), _) if now.wall < until && now.mono < pending.until => {
                Some(Deferred::Body(Secret::from(body.unwrap_or_default())))
            }
            (_, purpose) => {
                self.pending.remove(at);
                Some(Deferred::GivenUp(purpose))
            }
        }
    }

    /// Drops a request of which nothing was sent.
    pub(crate) fn withdraw(&mut self, id: HttpId) {
        self.pending.retain(|pending| pending.id != id);
    }

    /// Builds an HTTP request and registers it as pending.
    fn request(
        &mut self,
        cx: &mut Context,
        token: &Secret,
        request: &RestRequest,
        purpose: Purpose,
        renewed: bool,
        redirect: Option<Box<Redirect>>,
    ) -> HttpRequest {
        // Tokens and shapes of the legacy routes are the same on both hosts.
        let second = self.second_tries.of(purpose).is_some_and(|second| *second);
        let prefers_other = self.other_host_until > cx.mono();
        let other = if prefers_other == second { None } else { request.on_other_host() };
        let wire = other.as_ref().unwrap_or(request);
        let (base, source) = match wire.host() {
            RestHost::Legacy => (&cx.environment.legacy_url, ClockSource::LegacyRest),
            RestHost::Backend => (&cx.environment.backend_url, ClockSource::BackendRest),
        };
        let (url, source, hops) = match redirect {
            Some(redirect) => (redirect.url, redirect.source, redirect.hops),
            None => {
                let mut url = String::from(base.trim_end_matches('/'));
                url.push_str(&wire.target());
                (url, source, 0)
            }
        };
        let mut headers: Vec<(&'static str, Cow<'static, str>)> = Vec::with_capacity(4);
        headers.push(("authorization", cx.settings.authorization.header_value(token.expose()).into()));
        headers.push(("user-agent", cx.environment.user_agent.clone().into()));
        headers.extend(wire.headers().map(|(name, value)| (name, Cow::Borrowed(value))));
        let limit = cx.settings.http_timeout;
        let deferred = match purpose {
            // A command can be decided while the driver connects, so its body is encoded at the last moment.
            Purpose::Update(_) => Some(DeferredBody::Command),
            Purpose::Write(_) => {
                let body = wire.body().map(String::from);
                Some(DeferredBody::Until(body, plus(cx.now.wall, limit)))
            }
            _ => None,
        };
        let body = match &deferred {
            Some(_) => HttpBody::Deferred,
            None => wire.body().map(Secret::from).into(),
        };
        let http = cx.http_request(wire.method().as_str(), url, headers, body);
        // The driver enforces the time limit; the slack only catches a driver that never reports.
        self.pending.push(Pending {
            id: http.id,
            request: None,
            purpose,
            source,
            sent: cx.mono(),
            until: cx.after(limit + HTTP_SLACK),
            limit: cx.after(limit),
            aborted: false,
            released: false,
            renewed,
            hops,
            deferred,
        });
        http
    }

    /// Returns the time and the host of a pending request.
    pub(crate) fn sent_at(&self, id: HttpId) -> Option<(Duration, ClockSource)> {
        self.pending.iter().find(|pending| pending.id == id).map(|pending| (pending.sent, pending.source))
    }

    /// Handles the outcome of a pending request.
    pub(crate) fn handle_http(
        &mut self,
        cx: &mut Context,
        identity: &mut Identity,
        id: HttpId,
        result: HttpResult<'_>,
    ) -> Option<(Purpose, Outcome)> {
        let at = self.pending.iter().position(|pending| pending.id == id)?;
        let pending = self.pending.swap_remove(at);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        let answer = match result {
            HttpResult::Answer(answer) => answer,
            // The service may be carrying it out, so the next one for its thermostat waits until the time limit of requests.
            HttpResult::Failed(HttpFailure::Timeout) if pending.deferred.is_none() => {
                let until = pending.sent.saturating_add(cx.settings.http_timeout);
                self.pending.push(Pending { until, released: true, ..pending });
                return None;
            }
            HttpResult::Failed(_) if pending.released && matches!(pending.purpose, Purpose::Update(_)) => {
                self.pending.push(pending);
                return None;
            }
            HttpResult::Failed(failure) => return self.unanswered(cx, &pending, failure),
        };
        let status = answer.status;
        let redirect = match status {
            301 | 302 | 303 | 307 | 308 => redirect(cx, &pending, answer.location),
            _ => None,
        };
        if let (Some(redirect), Some(request)) = (redirect, &pending.request)
            && self.waiting.len() < WAITING
        {
            self.push(cx, request.clone(), pending.purpose, pending.renewed);
            if let Some(waiting) = self.waiting.last_mut() {
                waiting.redirect = Some(redirect);
            }
            return None;
        }
        let outcome = match status {
            // The user record only refines the models, so its absence is not a fault of the service.
            500.. if pending.purpose == Purpose::User => Outcome::Refused(status),
            // The status alone proves nothing: a captive portal answers 200 to everything. The body decides.
            200..=299 => Outcome::Done,
            401 if !pending.renewed => {
                // A request with a refused token was not carried out, so even a write may be repeated. Once.
                identity.drop_tokens(pending.sent);
                match pending.request {
                    None => return Some((pending.purpose, Outcome::TokenRefused)),
                    Some(request) if self.waiting.len() < WAITING => {
                        self.push(cx, request, pending.purpose, true);
                        return Some((pending.purpose, Outcome::TokenRefused));
                    }
                    Some(_) => Outcome::Refused(status),
                }
            }
            // The limit applies to the account, whichever host answers.
            429 => {
                self.failed(cx, Reason::Throttled);
                self.not_before = self.not_before.max(cx.after(retry_after(answer.retry_after, cx)));
                Outcome::Refused(status)
            }
            // For any other failure of a poll, the other host may still have the route.
            _ if self.try_other_host(cx, pending.purpose, pending.renewed) => return None,
            // A 401 that follows a renewal is the service's fault, not the token's.
            401 | 500.. => {
                self.failed(cx, Reason::of_answer(status, answer.body));
                self.not_before = self.not_before.max(cx.after(retry_after(answer.retry_after, cx)));
                Outcome::Refused(status)
            }
            _ => {
                // Other statuses concern the request, except for polls, whose routes are known to exist.
                if matches!(pending.purpose, Purpose::Devices | Purpose::States) {
                    self.failed(cx, Reason::of_answer(status, answer.body));
                }
                Outcome::Refused(status)
            }
        };
        Some((pending.purpose, outcome))
    }

    /// Handles a request that has no answer and will get none. `None` if the other host is asked instead.
    fn unanswered(
        &mut self,
        cx: &mut Context,
        pending: &Pending,
        failure: HttpFailure,
    ) -> Option<(Purpose, Outcome)> {
        if self.try_other_host(cx, pending.purpose, pending.renewed) {
            return None;
        }
        if pending.aborted {
            return Some((pending.purpose, Outcome::Aborted));
        }
        if pending.purpose != Purpose::User {
            self.failed(cx, failure.into());
        }
        let outcome = if pending.deferred.is_some() {
            // A body that was never fetched proves that nothing was sent, so a write may be repeated.
            self.commands_at = cx.after(UNSENT_PAUSE);
            Outcome::NotSent
        } else {
            Outcome::Failed
        };
        Some((pending.purpose, outcome))
    }

    /// Repeats a poll that one host has failed on the other. Both hosts have the legacy routes, and either may vanish.
    /// Returns `false` if both have failed, or the request is not a poll.
    fn try_other_host(&mut self, cx: &Context, purpose: Purpose, renewed: bool) -> bool {
        let request = match purpose {
            Purpose::Devices => rest::devices().into_request(),
            Purpose::States => rest::devices_state().into_request(),
            _ => return false,
        };
        if self.waiting.len() >= WAITING {
            return false;
        }
        match self.second_tries.of(purpose) {
            Some(second) if !*second => *second = true,
            _ => return false,
        }
        self.push(cx, request, purpose, renewed);
        true
    }

    /// Ends a poll; `read` if it succeeded. A host whose second try succeeded is asked first from now on.
    fn poll_done(&mut self, cx: &Context, purpose: Purpose, read: bool) {
        let Some(second) = self.second_tries.of(purpose) else { return };
        if core::mem::take(second) && read {
            let prefers_other = self.other_host_until > cx.mono();
            self.other_host_until = if prefers_other { Duration::ZERO } else { cx.after(OTHER_HOST) };
        }
        if read {
            self.backoff.reset();
            self.trouble = None;
        }
    }

    fn failed(&mut self, cx: &mut Context, reason: Reason) {
        self.trouble = Some(reason);
        let pause = self.backoff.next(FIRST_PAUSE, cx.settings.http_backoff_cap, &mut cx.entropy);
        // Full jitter can draw zero.
        let at = cx.after(pause.max(Duration::from_millis(500)));
        self.not_before = self.not_before.max(at);
    }

    /// Schedules the next reading of the device list; `read` if this one succeeded.
    pub(crate) fn devices_done(&mut self, cx: &mut Context, read: bool) {
        self.poll_done(cx, Purpose::Devices, read);
        // Jitter keeps clients that started together from polling together.
        let jitter = cx.entropy.up_to(Duration::from_secs(30));
        self.devices_at =
            if read { cx.after(cx.settings.poll_devices + jitter) } else { self.not_before.max(cx.mono()) };
    }

    /// Schedules the next reading of the states; `read` if this one succeeded.
    pub(crate) fn states_done(&mut self, cx: &mut Context, read: bool, live: bool) {
        self.poll_done(cx, Purpose::States, read);
        let every = if live { cx.settings.poll_live } else { cx.settings.poll_rest_only };
        let jitter = cx.entropy.up_to(every / 20);
        if read {
            self.read_at = Some(cx.mono());
            self.states_at = cx.after(every + jitter);
        } else {
            self.states_at = self.not_before.max(cx.mono());
        }
    }

    /// Handles the body of a poll that could not be decoded. Returns `false` if the other host is asked instead.
    pub(crate) fn unreadable(
        &mut self,
        cx: &mut Context,
        purpose: Purpose,
        status: u16,
        body: &[u8],
    ) -> bool {
        let failed = !self.try_other_host(cx, purpose, false);
        if failed {
            self.failed(cx, Reason::of_answer(status, body));
        }
        failed
    }

    /// Drops the requests of callers, except writes that were sent, and returns the ids.
    pub(crate) fn drop_callers(&mut self) -> Vec<RequestId> {
        let mut callers = Vec::new();
        let mut keep = |purpose: &Purpose| {
            callers.extend(purpose.caller());
            purpose.caller().is_none()
        };
        self.pending.retain(|pending| pending.is_written() || keep(&pending.purpose));
        self.waiting.retain(|waiting| keep(&waiting.purpose));
        callers
    }

    /// Drops all requests, ends the writes that were sent, and returns the results to report to callers.
    pub(crate) fn stop(&mut self, cx: &mut Context) -> Vec<(RequestId, RequestError)> {
        let dropped = self.drop_callers();
        self.waiting.clear();
        let written = self.pending.drain(..).filter_map(|mut pending| {
            pending.recall(cx);
            pending.purpose.caller().map(|id| (id, RequestError::Aborted))
        });
        written.chain(dropped.into_iter().map(|id| (id, RequestError::NotSignedIn))).collect()
    }

    pub(crate) fn callers(&self) -> usize {
        let purposes = self.pending.iter().map(|pending| pending.purpose);
        let all = purposes.chain(self.waiting.iter().map(|waiting| waiting.purpose));
        all.filter_map(Purpose::caller).count()
    }

    pub(crate) fn deadline(&self, cx: &Context, identity: &Identity, have_devices: bool) -> Option<Deadline> {
        let mut due = None;
        for pending in &self.pending {
            due = earlier(due, Some(Deadline::new(pending.until, Wake::HttpDeadline)));
        }
        for waiting in &self.waiting {
            due = earlier(due, Some(Deadline::new(waiting.until.mono, Wake::HttpDeadline)));
        }
        if identity.id_token(cx).is_none() {
            return due;
        }
        if !self.waiting.is_empty() && self.has_room() {
            due = earlier(due, Some(Deadline::new(cx.mono(), Wake::Poll)));
        }
        if !self.has(Purpose::Devices) {
            due = earlier(due, Some(Deadline::new(self.devices_at.max(self.not_before), Wake::Poll)));
        }
        if have_devices && !self.has(Purpose::States) {
            due = earlier(due, Some(Deadline::new(self.states_at.max(self.not_before), Wake::Poll)));
        }
        due
    }
}

/// Returns the target of a redirect. `None` for a write, and for a target outside the service's own hosts, because the
/// token must not be sent anywhere else.
fn redirect(cx: &Context, pending: &Pending, location: Option<&str>) -> Option<Box<Redirect>> {
    let location = location?;
    let is_write = matches!(pending.purpose, Purpose::Update(_) | Purpose::Write(_));
    let is_plain = location.len() <= MAX_LOCATION && location.bytes().all(|byte| byte.is_ascii_graphic());
    if is_write || !is_plain || pending.hops >= MAX_REDIRECTS {
        return None;
    }
    let hosts = [
        (&cx.environment.legacy_url, ClockSource::LegacyRest),
        (&cx.environment.backend_url, ClockSource::BackendRest),
    ];
    let (base, path, source) = hosts.into_iter().find_map(|(base, source)| {
        let base = base.trim_end_matches('/');
        let start = location.get(..base.len()).filter(|start| start.eq_ignore_ascii_case(base));
        let path = match start {
            Some(_) => location.get(base.len()..)?,
            // A path on the same host. Two slashes would start another host name.
            None if source == pending.source => location,
            None => return None,
        };
        (path.starts_with('/') && !path.starts_with("//")).then_some((base, path, source))
    })?;
    let mut url = String::from(base);
    url.push_str(path);
    Some(Box::new(Redirect { url, source, hops: pending.hops.saturating_add(1) }))
}
