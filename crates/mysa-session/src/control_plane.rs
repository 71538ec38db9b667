use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::iot::{self, Endpoint, IotRequest};
use mysa_proto::{DeviceId, UnixTime};
use mysa_sigv4::{Authority, HeaderSigner, Request};
use time::OffsetDateTime;

use crate::auth::Identity;
use crate::context::{Context, HTTP_SLACK};
use crate::now::earlier;
use crate::{
    Deadline, Event, HttpAnswer, HttpBody, HttpFailure, HttpId, HttpResult, Output, RequestError, RequestId,
    Response, Wake,
};

/// Client of the control plane of AWS IoT: the lookup of the broker's host, if the settings ask for it, and requests of
/// callers for things. Nothing else depends on its answers.
#[derive(Debug, Default)]
pub(crate) struct ControlPlane {
    pending: Vec<PendingLookup>,
    waiting: Vec<ThingRequest>,
}

#[derive(Debug)]
struct PendingLookup {
    id: HttpId,
    purpose: Lookup,
    until: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lookup {
    Endpoint,
    Thing(RequestId),
}

#[derive(Debug)]
struct ThingRequest {
    id: RequestId,
    device: DeviceId,
    until: Duration,
}

/// Host of the broker: the configured one, or the one that the control plane returned.
#[derive(Debug, Default)]
pub(crate) struct BrokerHost {
    looked_up: Option<Authority>,
    /// `true` once the looked-up host has accepted a connection.
    proved: bool,
    pub(crate) lookup: EndpointLookup,
    /// Time of the next lookup.
    lookup_at: Option<Duration>,
    /// Time until which dials wait for the answer.
    hold_until: Duration,
}

/// State of the lookup of the broker's host at the control plane of AWS IoT. The configured host is used in every state
/// but [`EndpointLookup::Found`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a report must describe each state")]
pub enum EndpointLookup {
    /// The settings do not ask for a lookup.
    #[default]
    Off,
    /// The lookup was not sent yet, or not answered.
    Waiting,
    /// The returned host is in use.
    Found,
    /// The control plane refused the request, for example with 403 if the policy does not allow it. The lookup is not
    /// repeated.
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// There was no answer, or a server error. The lookup is repeated after 15 min.
    Failed,
    /// The answer contains no host of AWS IoT in this region. The lookup is not repeated.
    Unusable,
    /// No connection to the returned host could be opened, so the configured one is in use again. The lookup is
    /// repeated after 15 min.
    Rejected,
}

/// Maximum number of requests in flight.
const WINDOW: usize = 4;
/// Time for which a request waits for a free slot or for credentials.
const WAIT_LIMIT: Duration = Duration::from_secs(60);
/// Time for which dials wait for a lookup. A later answer serves the next dial.
const DIAL_HOLD: Duration = Duration::from_secs(3);
const LOOKUP_RETRY: Duration = Duration::from_secs(15 * 60);

impl BrokerHost {
    pub(crate) fn new(wanted: bool) -> Self {
        let lookup = if wanted { EndpointLookup::Waiting } else { EndpointLookup::Off };
        Self { lookup, lookup_at: wanted.then_some(Duration::ZERO), ..Self::default() }
    }

    /// Returns the host to dial, and `true` if it was looked up.
    pub(crate) fn get<'a>(&'a self, configured: &'a Authority) -> (&'a Authority, bool) {
        match &self.looked_up {
            Some(host) => (host, true),
            None => (configured, false),
        }
    }

    pub(crate) const fn hold_until(&self) -> Duration {
        self.hold_until
    }

    /// Records that a connection to the looked-up host is live.
    pub(crate) fn prove(&mut self) {
        self.proved = self.looked_up.is_some();
    }

    /// Records that a connection to the looked-up host could not be opened. Unless an earlier one could, the configured
    /// host is used again.
    pub(crate) fn failed(&mut self, now: Duration) {
        if !self.proved && self.looked_up.take().is_some() {
            self.lookup = EndpointLookup::Rejected;
            self.lookup_at = Some(now.saturating_add(LOOKUP_RETRY));
        }
    }
}

impl ControlPlane {
    /// Queues a request for a thing.
    pub(crate) fn ask(&mut self, cx: &Context, id: RequestId, device: DeviceId) {
        self.waiting.push(ThingRequest { id, device, until: cx.after(WAIT_LIMIT) });
    }

    /// Returns `true` if a caller's request needs credentials.
    pub(crate) fn wants_credentials(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn callers(&self) -> usize {
        let pending = self.pending.iter().filter(|pending| pending.purpose != Lookup::Endpoint);
        pending.count() + self.waiting.len()
    }

    pub(crate) fn has(&self, id: HttpId) -> bool {
        self.pending.iter().any(|pending| pending.id == id)
    }

    /// Sends what is due, and ends requests that have timed out. `connecting` is `true` while connections are to be
    /// opened or kept.
    pub(crate) fn step(&mut self, cx: &mut Context, identity: &Identity, connecting: bool) {
        let now = cx.mono();
        while let Some(at) = self.pending.iter().position(|pending| pending.until <= now) {
            // The driver did not report in time.
            let lost = self.pending.swap_remove(at);
            Self::finish(cx, lost.purpose, HttpResult::Failed(HttpFailure::Timeout));
        }
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.until <= now) {
            let late = self.waiting.remove(at);
            cx.outbox.keep(Event::Response { id: late.id, result: Err(RequestError::NotSent) });
        }
        if identity.credentials(cx).is_none() {
            return;
        }
        if connecting && cx.broker.lookup_at.is_some_and(|at| at <= now) {
            cx.broker.lookup_at = None;
            // Dials wait shortly, so the first connection can use the looked-up host.
            cx.broker.hold_until = cx.after(DIAL_HOLD);
            self.send(cx, identity, &iot::describe_endpoint(), Lookup::Endpoint);
        }
        while self.pending.len() < WINDOW && !self.waiting.is_empty() {
            let ThingRequest { id, device, .. } = self.waiting.remove(0);
            self.send(cx, identity, &iot::describe_thing(device), Lookup::Thing(id));
        }
    }

    fn send(&mut self, cx: &mut Context, identity: &Identity, request: &IotRequest, purpose: Lookup) {
        let Some(headers) = signed_headers(cx, identity, request) else {
            Self::finish(cx, purpose, HttpResult::Failed(HttpFailure::Unreachable));
            return;
        };
        let url = alloc::format!("https://{}{}", cx.environment.iot_control, request.target());
        let http = cx.http_request(request.method(), url, headers, HttpBody::Empty);
        let until = cx.after(cx.settings.http_timeout + HTTP_SLACK);
        self.pending.push(PendingLookup { id: http.id, purpose, until });
        cx.outbox.output(Output::Http(http));
    }

    /// Handles the outcome of a pending request.
    pub(crate) fn handle_http(&mut self, cx: &mut Context, id: HttpId, result: HttpResult<'_>) {
        if let Some(at) = self.pending.iter().position(|pending| pending.id == id) {
            let pending = self.pending.swap_remove(at);
            Self::finish(cx, pending.purpose, result);
        }
    }

    fn finish(cx: &mut Context, purpose: Lookup, result: HttpResult<'_>) {
        match purpose {
            Lookup::Endpoint => Self::looked_up(cx, result),
            Lookup::Thing(id) => {
                let result = match result {
                    HttpResult::Answer(HttpAnswer { status: status @ 200..=299, body, .. }) => {
                        Ok(Response { status, body: body.into() })
                    }
                    HttpResult::Answer(answer) => Err(cx.refused(answer)),
                    HttpResult::Failed(failure) => Err(RequestError::Failed(failure)),
                };
                cx.outbox.keep(Event::Response { id, result });
            }
        }
    }

    fn looked_up(cx: &mut Context, result: HttpResult<'_>) {
        cx.broker.hold_until = Duration::ZERO;
        cx.broker.lookup = match result {
            HttpResult::Answer(HttpAnswer { status: 200..=299, body, .. }) => {
                let endpoint = Endpoint::decode(body, &cx.environment.region).ok();
                let found = endpoint.and_then(|endpoint| Authority::new(endpoint.host(), None).ok());
                match found {
                    Some(host) => {
                        cx.broker.looked_up = Some(host);
                        EndpointLookup::Found
                    }
                    None => EndpointLookup::Unusable,
                }
            }
            // 408, 429 and 5xx are temporary; any other refusal would be repeated.
            HttpResult::Answer(HttpAnswer { status, .. }) if !matches!(status, 408 | 429 | 500..) => {
                EndpointLookup::Refused { status }
            }
            HttpResult::Answer(_) | HttpResult::Failed(_) => {
                cx.broker.lookup_at = Some(cx.after(LOOKUP_RETRY));
                EndpointLookup::Failed
            }
        };
    }

    /// Drops the requests of callers, and returns their ids.
    pub(crate) fn drop_callers(&mut self) -> Vec<RequestId> {
        let mut callers: Vec<RequestId> = self.waiting.drain(..).map(|waiting| waiting.id).collect();
        self.pending.retain(|pending| match pending.purpose {
            Lookup::Endpoint => true,
            Lookup::Thing(id) => {
                callers.push(id);
                false
            }
        });
        callers
    }

    /// Drops all requests, and returns the ids of waiting callers.
    pub(crate) fn stop(&mut self, cx: &mut Context) -> Vec<RequestId> {
        let callers = self.drop_callers();
        if !self.pending.is_empty() {
            // A lookup in progress is repeated after the next sign-in.
            cx.broker.lookup_at = Some(Duration::ZERO);
            cx.broker.hold_until = Duration::ZERO;
            self.pending.clear();
        }
        callers
    }

    pub(crate) fn deadline(&self, cx: &Context, identity: &Identity, connecting: bool) -> Option<Deadline> {
        let mut due = None;
        let given_up = self.pending.iter().map(|pending| pending.until);
        for until in given_up.chain(self.waiting.iter().map(|waiting| waiting.until)) {
            due = earlier(due, Some(Deadline::new(until, Wake::HttpDeadline)));
        }
        if identity.credentials(cx).is_none() {
            return due;
        }
        if let Some(at) = cx.broker.lookup_at.filter(|_| connecting) {
            due = earlier(due, Some(Deadline::new(at, Wake::Poll)));
        }
        if !self.waiting.is_empty() && self.pending.len() < WINDOW {
            due = earlier(due, Some(Deadline::new(cx.mono(), Wake::Poll)));
        }
        due
    }
}

/// Returns the headers of a request, signed with the cloud's time. `None` if it cannot be signed.
fn signed_headers(
    cx: &Context,
    identity: &Identity,
    request: &IotRequest,
) -> Option<Vec<(&'static str, Cow<'static, str>)>> {
    let (credentials, ..) = identity.credentials(cx)?;
    let time = OffsetDateTime::from_unix_timestamp(UnixTime::as_secs(cx.time())).ok()?;
    let host = [("host", cx.environment.iot_control.host_header())];
    let to_sign = Request { method: request.method(), target: request.target(), headers: &host };
    let signed = HeaderSigner::new(cx.environment.region.as_str(), iot::SERVICE)
        .sign(credentials, &to_sign, b"", time)
        .ok()?;
    let own = |value: &str| Cow::Owned(String::from(value));
    let mut headers = Vec::with_capacity(5);
    headers.push(("authorization", own(signed.authorization())));
    headers.push(("x-amz-date", own(signed.date())));
    headers.extend(signed.security_token().map(|token| ("x-amz-security-token", own(token))));
    headers.push(("accept", "application/json".into()));
    headers.push(("user-agent", own(&cx.environment.user_agent)));
    Some(headers)
}
