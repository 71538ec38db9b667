use alloc::borrow::Cow;
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
use crate::now::earlier;
use crate::{
    Deadline, HttpAnswer, HttpBody, HttpId, HttpRequest, HttpResult, Now, Output, Reason, RequestId, Wake,
};

/// Conversation with the REST service: the polls, commands by the structured service, and what the caller asks for.
#[derive(Debug)]
pub(crate) struct Rest {
    pending: Vec<Pending>,
    waiting: Vec<Waiting>,
    devices_at: Duration,
    states_at: Duration,
    backoff: Backoff,
    /// Nothing is asked before then: the service said so.
    not_before: Duration,
    /// When the states were last read.
    pub(crate) read_at: Option<Duration>,
    trouble: Option<Reason>,
    /// Until when the other host is asked for what both have.
    other_host_until: Duration,
    /// No command is tried before then: the last one could not be sent.
    commands_at: Duration,
}

#[derive(Debug)]
struct Pending {
    id: HttpId,
    /// The request, unless it is that of a command: whether that may be asked for again is for the command book to say.
    request: Option<RestRequest>,
    purpose: Purpose,
    source: ClockSource,
    sent: Duration,
    until: Duration,
    /// The id token has been renewed for it once.
    renewed: bool,
    /// The body of a write, which the driver has not asked for yet.
    deferred: Option<DeferredBody>,
}

/// Source of the body of a write, for a driver that asks for it.
#[derive(Debug)]
enum DeferredBody {
    /// The command book makes it.
    Command,
    /// The body, until a time of the wall clock: the monotonic clock may have stood still since.
    Until(Option<String>, UnixTime),
}

#[derive(Debug)]
struct Waiting {
    request: RestRequest,
    purpose: Purpose,
    renewed: bool,
    /// When it is given up unsent, by either clock. A write that waits for a token must not be done hours later.
    until: Now,
}

/// Answer to a driver that asks for a deferred body.
#[derive(Debug)]
pub(crate) enum Deferred {
    /// The command book makes the body of this transmission.
    Command {
        serial: u64,
    },
    Body(Secret),
    /// It is too late for it.
    GivenUp(Purpose),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    Devices,
    States,
    /// The structured service's state of a thermostat.
    Reported(DeviceId),
    /// The record of the user, which knows the models as they were paired.
    User,
    /// A command: the number of its transmission.
    Update(u64),
    /// A request of the caller that changes nothing.
    Read(RequestId),
    /// One that changes something.
    Write(RequestId),
}

impl Purpose {
    /// The request of a caller, if it is one.
    const fn caller(self) -> Option<RequestId> {
        match self {
            Self::Read(id) | Self::Write(id) => Some(id),
            Self::Devices | Self::States | Self::Reported(_) | Self::User | Self::Update(_) => None,
        }
    }
}

/// An answer, sorted.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Refused(u16),
    /// There was no answer.
    Failed,
    /// Nothing of it was sent.
    NotSent,
    /// The token was refused, so that nothing was done. All but commands will be asked again with a new one.
    TokenRefused,
}

impl From<&Outcome> for StructuredAnswer {
    fn from(outcome: &Outcome) -> Self {
        match *outcome {
            Outcome::Done => Self::Accepted,
            Outcome::TokenRefused => Self::TokenRefused,
            Outcome::NotSent => Self::NotSent,
            // 408 says that the service gave up waiting; whether for us or for itself is open.
            Outcome::Refused(408) | Outcome::Failed => Self::Open,
            Outcome::Refused(status @ 400..=499) => Self::Refused(status),
            Outcome::Refused(_) => Self::Open,
        }
    }
}

/// Requests under way at one time, those of callers included and those of commands not.
const WINDOW: usize = 8;
/// Requests for commands under way at one time. They have places of their own, so that reads never delay a command.
const COMMAND_WINDOW: usize = 4;
/// Time a request waits for its turn, or for a token.
const WAIT_LIMIT: Duration = Duration::from_secs(60);
const WAITING: usize = 32;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Pause after a request for a command that could not be sent, before the command is tried again.
const UNSENT_PAUSE: Duration = Duration::from_secs(2);
/// Time for which the other host serves after one has failed. (mysa_client.)
const OTHER_HOST: Duration = Duration::from_secs(300);

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
            commands_at: Duration::ZERO,
        }
    }

    pub(crate) const fn trouble(&self) -> Option<Reason> {
        self.trouble
    }

    /// Failures in a row, and when it is tried again.
    pub(crate) fn failing(&self) -> Option<(u32, Duration)> {
        self.trouble.map(|_| (self.backoff.failures(), self.not_before))
    }

    fn has(&self, purpose: Purpose) -> bool {
        self.pending.iter().any(|pending| pending.purpose == purpose)
            || self.waiting.iter().any(|waiting| waiting.purpose == purpose)
    }

    /// Puts a request in line. False if the line is full.
    pub(crate) fn ask(&mut self, cx: &Context, request: RestRequest, purpose: Purpose) -> bool {
        if self.has(purpose) {
            return true;
        }
        let room = self.waiting.len() < WAITING;
        if room {
            self.push(cx, request, purpose, false);
        }
        room
    }

    /// When a request for a command can be sent. `None` while others have to be answered first.
    pub(crate) fn command_at(&self) -> Option<Duration> {
        let commands = self.pending.iter().filter(|pending| matches!(pending.purpose, Purpose::Update(_)));
        (commands.count() < COMMAND_WINDOW).then_some(self.commands_at)
    }

    /// The states are wanted sooner than the next poll.
    pub(crate) fn schedule_states_no_later_than(&mut self, at: Duration) {
        self.states_at = self.states_at.min(at);
    }

    pub(crate) fn schedule_devices_no_later_than(&mut self, at: Duration) {
        self.devices_at = self.devices_at.min(at);
    }

    /// Sends what is due. Returns what has had its time without an answer.
    pub(crate) fn step(
        &mut self,
        cx: &mut Context,
        identity: &mut Identity,
        have_devices: bool,
    ) -> Option<(Purpose, Outcome)> {
        let now = cx.mono();
        if let Some(at) = self.pending.iter().position(|pending| pending.until <= now) {
            // The driver never reported.
            let lost = self.pending.swap_remove(at);
            return Some(self.unanswered(cx, lost));
        }
        let waited = |waiting: &Waiting| waiting.until.mono <= now || waiting.until.wall <= cx.now.wall;
        if let Some(at) = self.waiting.iter().position(waited) {
            return Some((self.waiting.remove(at).purpose, Outcome::NotSent));
        }
        let token = Secret::from(identity.id_token(cx)?);
        if self.devices_at.max(self.not_before) <= now && !self.has(Purpose::Devices) {
            self.push(cx, rest::devices().into_request(), Purpose::Devices, false);
        }
        if have_devices && self.states_at.max(self.not_before) <= now && !self.has(Purpose::States) {
            self.push(cx, rest::devices_state().into_request(), Purpose::States, false);
        }
        while self.has_room() && !self.waiting.is_empty() {
            let Waiting { request, purpose, renewed, .. } = self.waiting.remove(0);
            let http = self.request(cx, &token, &request, purpose, renewed);
            if let Some(pending) = self.pending.last_mut() {
                pending.request = Some(request);
            }
            cx.outbox.output(Output::Http(http));
        }
        if self.waiting.is_empty() {
            // Minutes pass until the next.
            self.waiting = Vec::new();
        }
        None
    }

    fn push(&mut self, cx: &Context, request: RestRequest, purpose: Purpose, renewed: bool) {
        let until = Now { mono: cx.after(WAIT_LIMIT), wall: plus(cx.now.wall, WAIT_LIMIT) };
        self.waiting.push(Waiting { request, purpose, renewed, until });
    }

    fn has_room(&self) -> bool {
        let commands = self.pending.iter().filter(|pending| matches!(pending.purpose, Purpose::Update(_)));
        self.pending.len() - commands.count() < WINDOW
    }

    /// The request of a command, to be sent at once. `renewed` if its token was refused before.
    pub(crate) fn update(
        &mut self,
        cx: &mut Context,
        token: &Secret,
        request: &RestRequest,
        serial: u64,
        renewed: bool,
    ) -> HttpRequest {
        self.request(cx, token, request, Purpose::Update(serial), renewed)
    }

    /// Answers a driver that asks for a deferred body. `None` if the request is unknown, or its body was taken already.
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

    /// Gives up a request that nothing was sent of.
    pub(crate) fn withdraw(&mut self, id: HttpId) {
        self.pending.retain(|pending| pending.id != id);
    }

    /// Makes an HTTP request, and waits for its answer from now on.
    fn request(
        &mut self,
        cx: &mut Context,
        token: &Secret,
        request: &RestRequest,
        purpose: Purpose,
        renewed: bool,
    ) -> HttpRequest {
        let other = if self.other_host_until > cx.mono() { request.on_other_host() } else { None };
        let wire = other.as_ref().unwrap_or(request);
        let (base, source) = match wire.host() {
            RestHost::Legacy => (&cx.environment.legacy_url, ClockSource::LegacyRest),
            RestHost::Backend => (&cx.environment.backend_url, ClockSource::BackendRest),
        };
        let mut url = String::from(base.trim_end_matches('/'));
        url.push_str(&wire.target());
        let mut headers: Vec<(&'static str, Cow<'static, str>)> = Vec::with_capacity(4);
        headers.push(("authorization", cx.settings.authorization.header_value(token.expose()).into()));
        headers.push(("user-agent", cx.environment.user_agent.clone().into()));
        headers.extend(wire.headers().map(|(name, value)| (name, Cow::Borrowed(value))));
        let limit = cx.settings.http_timeout;
        let deferred = match purpose {
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
        let (sent, until) = (cx.mono(), cx.after(limit + HTTP_SLACK));
        let pending = Pending { id: http.id, request: None, purpose, source, sent, until, renewed, deferred };
        self.pending.push(pending);
        http
    }

    /// When the request was sent and to which host, if it is ours.
    pub(crate) fn sent_at(&self, id: HttpId) -> Option<(Duration, ClockSource)> {
        self.pending.iter().find(|pending| pending.id == id).map(|pending| (pending.sent, pending.source))
    }

    /// Takes an answer to one of our requests.
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
        let HttpResult::Answer(answer) = result else {
            self.try_other_host(cx, &pending);
            return Some(self.unanswered(cx, pending));
        };
        let HttpAnswer { status, .. } = answer;
        let outcome = match status {
            // The record of the user is a help, and its lack no trouble of the service.
            500.. if pending.purpose == Purpose::User => Outcome::Refused(status),
            // Whether it is well is seen from what it holds: a captive portal answers 200 to everything.
            200..=299 => Outcome::Done,
            401 if !pending.renewed => {
                // It was not carried out, so that even a write may be asked for again. Once.
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
            401 | 429 | 500.. => {
                self.failed(cx, Reason::ServerTrouble { status });
                self.not_before = self.not_before.max(cx.after(retry_after(answer.retry_after, cx)));
                if status == 429 {
                    self.trouble = Some(Reason::Throttled);
                } else {
                    self.try_other_host(cx, &pending);
                }
                Outcome::Refused(status)
            }
            _ => {
                if matches!(pending.purpose, Purpose::Devices | Purpose::States) {
                    self.failed(cx, Reason::ServerTrouble { status });
                    self.try_other_host(cx, &pending);
                }
                Outcome::Refused(status)
            }
        };
        Some((pending.purpose, outcome))
    }

    /// There is no answer to a request, and there will be none.
    fn unanswered(&mut self, cx: &mut Context, pending: Pending) -> (Purpose, Outcome) {
        if pending.purpose != Purpose::User {
            self.failed(cx, Reason::Unreachable);
        }
        let outcome = if pending.deferred.is_some() {
            self.commands_at = cx.after(UNSENT_PAUSE);
            Outcome::NotSent
        } else {
            Outcome::Failed
        };
        (pending.purpose, outcome)
    }

    /// Both hosts have the old routes; when one fails, the other may do.
    fn try_other_host(&mut self, cx: &Context, pending: &Pending) {
        let poll = matches!(pending.purpose, Purpose::Devices | Purpose::States);
        if poll && self.backoff.failures() >= 3 && self.other_host_until <= cx.mono() {
            self.other_host_until = cx.after(OTHER_HOST);
        }
    }

    fn failed(&mut self, cx: &mut Context, reason: Reason) {
        self.trouble = Some(reason);
        let pause = self.backoff.next(FIRST_PAUSE, LONGEST_PAUSE, &mut cx.entropy);
        let at = cx.after(pause.max(Duration::from_millis(500)));
        self.not_before = self.not_before.max(at);
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        self.trouble = None;
    }

    /// The list was read, or could not be.
    pub(crate) fn devices_done(&mut self, cx: &mut Context, read: bool) {
        if read {
            self.succeeded();
        }
        let jitter = cx.entropy.up_to(Duration::from_secs(30));
        self.devices_at =
            if read { cx.after(cx.settings.poll_devices + jitter) } else { self.not_before.max(cx.mono()) };
    }

    /// The states were read, or could not be.
    pub(crate) fn states_done(&mut self, cx: &mut Context, read: bool, live: bool) {
        let every = if live { cx.settings.poll_live } else { cx.settings.poll_rest_only };
        let jitter = cx.entropy.up_to(every / 20);
        if read {
            self.succeeded();
            self.read_at = Some(cx.mono());
            self.states_at = cx.after(every + jitter);
        } else {
            self.states_at = self.not_before.max(cx.mono());
        }
    }

    /// A body that should have been readable was not.
    pub(crate) fn unreadable(&mut self, cx: &mut Context, status: u16) {
        self.failed(cx, Reason::ServerTrouble { status });
    }

    /// Gives up what callers wait for; returns who they are.
    pub(crate) fn drop_callers(&mut self) -> Vec<RequestId> {
        let mut callers = Vec::new();
        let mut keep = |purpose: &Purpose| {
            callers.extend(purpose.caller());
            purpose.caller().is_none()
        };
        self.pending.retain(|pending| keep(&pending.purpose));
        self.waiting.retain(|waiting| keep(&waiting.purpose));
        callers
    }

    /// Gives up everything; returns the callers who wait.
    pub(crate) fn stop(&mut self) -> Vec<RequestId> {
        let purposes = self.pending.drain(..).map(|pending| pending.purpose);
        let all = purposes.chain(self.waiting.drain(..).map(|waiting| waiting.purpose));
        all.filter_map(Purpose::caller).collect()
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

fn plus(wall: UnixTime, time: Duration) -> UnixTime {
    wall.plus_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}
