//! Scripted cloud for a session under virtual time. It implements just enough of the protocol to answer, and fails as a
//! test directs. The simulated cloud is another crate, `mysa-sim`, which shares no code with it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mysa_cognito::{RefreshToken, Secret, StoredSession};
use mysa_mqtt_codec::PacketId;
use mysa_proto::{Celsius, Change, DeviceId, UnixTime};
use mysa_session::{
    CommandChannel, CommandId, ConnId, Environment, Event, HttpAnswer, HttpBody, HttpFailure, HttpId,
    HttpRequest, HttpResult, Level, Now, Output, Session, Settings, Start, StoreResult, Verdict,
};
use mysa_sigv4::{Credentials, HeaderVerifier, Request};
use mysa_testkit::{
    Ack, BrokerBehavior, BrokerConnection, Received, V2Status, http_date, publish, publish_at_least_once,
    publish_retained,
};
use time::OffsetDateTime;

pub(crate) const START: i64 = 1_767_323_045_000;
pub(crate) const LATENCY: Duration = Duration::from_millis(40);

pub(crate) struct Harness {
    pub(crate) session: Session,
    pub(crate) mono: Duration,
    /// Milliseconds by which the host's clock is ahead of the true time.
    pub(crate) host_ahead_ms: i64,
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) stored: Option<StoredSession>,
    /// `true` if every store fails.
    pub(crate) disk_full: bool,
    /// Time that a store takes.
    pub(crate) store_takes: Duration,
    pub(crate) cloud: Cloud,
    pub(crate) log: Log,
    /// `true` to leave events unread.
    pub(crate) paused: bool,
    pub(crate) keep_bytes: bool,
    pub(crate) kept: Vec<(ConnId, Vec<u8>)>,
    /// Seconds of true time that passed while the monotonic clock stood still.
    pub(crate) truth_ahead_secs: i64,
    arrivals: BTreeMap<(Duration, u64), Arrival>,
    sequence: u64,
}

/// Behaviour of the cloud. Tests may change it at any time.
pub(crate) struct Cloud {
    pub(crate) devices: Vec<(String, String)>,
    /// The only `body.type` that each thermostat accepts; any, if it has no entry.
    pub(crate) body_types: BTreeMap<String, i64>,
    /// `User` object of `GET /users`; without one the request is refused.
    pub(crate) user: Option<String>,
    pub(crate) refresh: Reply,
    /// Refresh tokens that the pool accepts; all, if `None`.
    pub(crate) accepted: Option<Vec<&'static str>>,
    /// `true` to issue a new refresh token at each refresh: `rotated-1` and so on.
    pub(crate) rotates: bool,
    pub(crate) respond: Reply,
    pub(crate) revoke: Reply,
    /// Answer of the identity pool to a request for credentials.
    pub(crate) credentials: Reply,
    pub(crate) credentials_life: i64,
    /// Literal `Expiration` of credentials, in place of one computed from their life.
    pub(crate) expiration: Option<&'static str>,
    /// Literal `ExpiresIn` of tokens.
    pub(crate) expires_in: &'static str,
    pub(crate) rest: Reply,
    pub(crate) rest_takes: Duration,
    /// Answer of the older host alone, in place of `rest`.
    pub(crate) legacy: Option<Reply>,
    /// `Location` of every answer of the older host.
    pub(crate) location: Option<&'static str>,
    /// `Retry-After` header of every answer.
    pub(crate) retry_after: Option<&'static str>,
    /// Answer to updates of the structured service, and its delay. A successful update is applied.
    pub(crate) update: Reply,
    pub(crate) update_takes: Duration,
    /// Setpoint that the REST states show, without a time, regardless of the thermostats.
    pub(crate) undated_setpoint: Option<f64>,
    /// Seconds by which the `Date` of REST answers is ahead of the true time, and their `Age`.
    pub(crate) rest_date: (i64, Option<&'static str>),
    pub(crate) http: bool,
    /// `false` if the driver reports at once that no host can be reached by HTTP.
    pub(crate) has_network: bool,
    /// Time that the connection for a write takes. `None`: the driver reports at once that the host is unreachable.
    pub(crate) connects: Option<Duration>,
    pub(crate) upgrade: Option<u16>,
    /// Host whose upgrades are refused with 403.
    pub(crate) refused_host: Option<&'static str>,
    /// Answer of the control plane of AWS IoT, and its delay.
    pub(crate) iot: Reply,
    pub(crate) iot_takes: Duration,
    pub(crate) broker: BrokerBehavior,
    pub(crate) close_after_connack: Option<Duration>,
    pub(crate) closes_at_connect: bool,
    pub(crate) dead: bool,
    /// `true` if every thermostat sends a message whenever the session sends a ping.
    pub(crate) sends_at_ping: bool,
    pub(crate) device_acks: bool,
    pub(crate) device_applies: bool,
    pub(crate) structured_applies: bool,
    pub(crate) setpoints: BTreeMap<String, (f64, i64)>,
    /// Mode that the REST states (by its number there) and the structured state (by its number there) show, with its time.
    pub(crate) rest_mode: Option<(i64, i64)>,
    pub(crate) structured_mode: Option<(i64, i64)>,
    /// Further members of each record in the list.
    pub(crate) record: &'static str,
    pub(crate) tokens: u32,
    sockets: BTreeMap<ConnId, BrokerConnection>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    Good,
    Status(u16, &'static str),
    Timeout,
}

/// Log of the session's actions.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) dials: Vec<(Duration, String)>,
    pub(crate) connects: Vec<(Duration, String)>,
    pub(crate) subscribes: Vec<(Duration, ConnId, Vec<String>)>,
    pub(crate) publishes: Vec<(Duration, ConnId, String, String, bool)>,
    pub(crate) http: Vec<(Duration, String)>,
    /// Number of requests while the host had no network.
    pub(crate) unreachable: usize,
    /// Complete URLs of the requests with a token for REST.
    pub(crate) urls: Vec<String>,
    /// Bodies of the updates to the structured service.
    pub(crate) updates: Vec<(Duration, String)>,
    /// Times at which the driver gives the requests with a deferred body up.
    pub(crate) limits: Vec<Duration>,
    /// Connections that the session closed, and those among them that it aborted.
    pub(crate) closes: usize,
    pub(crate) aborts: usize,
    /// Requests that the session aborted.
    pub(crate) aborted_requests: Vec<(Duration, HttpId)>,
    pub(crate) disconnects: usize,
    pub(crate) pubacks: usize,
    /// Bodies of the requests to revoke a token.
    pub(crate) revoked: Vec<String>,
    pub(crate) live_at_once: usize,
}

enum Arrival {
    Connected(HttpRequest),
    Unreachable(HttpId),
    Http { id: HttpId, date: (i64, Option<&'static str>), reply: Option<(u16, String)> },
    Opened(ConnId),
    Stored(Box<StoredSession>),
    Refused(ConnId, u16),
    Bytes(ConnId, Vec<u8>),
    Closed(ConnId),
}

/// Host that the control plane returns; the configured one differs.
pub(crate) const FOUND: &str = "a1b2c3-ats.iot.us-east-1.amazonaws.com";

pub(crate) const LITE: &str = "a0b1c2d3e4f7";

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn device(id: &str) -> DeviceId {
    DeviceId::new(id).unwrap()
}

pub(crate) fn setpoint(degrees: f64) -> Change {
    Change::setpoint(Celsius::from_degrees(degrees).unwrap())
}

/// Returns settings with this channel for commands.
pub(crate) fn by(channel: CommandChannel) -> Settings {
    let mut settings = Settings::default();
    settings.channel = channel;
    settings
}

pub(crate) fn stored() -> StoredSession {
    let mut stored = StoredSession::new("ann@example.org", &Environment::mysa().pool.client_id);
    stored.refresh_token = Some(RefreshToken::new(Secret::from("CANARY-refresh")));
    stored
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::resume(Settings::default())
    }

    pub(crate) fn resume(settings: Settings) -> Self {
        Self::with(settings, Start::Resume { stored: stored(), password: None }, 0)
    }

    pub(crate) fn with(settings: Settings, start: Start, host_ahead_ms: i64) -> Self {
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_millis(START + host_ahead_ms) };
        let cloud = Cloud {
            devices: vec![(LITE.into(), "BB-V2-0-L".into())],
            body_types: BTreeMap::new(),
            user: None,
            refresh: Reply::Good,
            accepted: None,
            rotates: false,
            respond: Reply::Good,
            revoke: Reply::Good,
            credentials: Reply::Good,
            credentials_life: 3_600,
            expiration: None,
            expires_in: "3600",
            rest: Reply::Good,
            rest_takes: LATENCY,
            legacy: None,
            location: None,
            retry_after: None,
            update: Reply::Good,
            update_takes: LATENCY,
            undated_setpoint: None,
            rest_date: (0, None),
            http: true,
            has_network: true,
            connects: Some(Duration::ZERO),
            upgrade: None,
            refused_host: None,
            iot: Reply::Good,
            iot_takes: LATENCY,
            broker: BrokerBehavior::default(),
            close_after_connack: None,
            closes_at_connect: false,
            dead: false,
            sends_at_ping: true,
            device_acks: true,
            device_applies: true,
            structured_applies: true,
            setpoints: BTreeMap::new(),
            rest_mode: None,
            structured_mode: None,
            record: "",
            tokens: 0,
            sockets: BTreeMap::new(),
        };
        Self {
            session: Session::new(settings, Environment::mysa(), start, [7; 32], now),
            mono: Duration::ZERO,
            host_ahead_ms,
            events: Vec::new(),
            stored: None,
            disk_full: false,
            store_takes: Duration::ZERO,
            cloud,
            log: Log::default(),
            paused: false,
            keep_bytes: false,
            kept: Vec::new(),
            truth_ahead_secs: 0,
            arrivals: BTreeMap::new(),
            sequence: 0,
        }
    }

    pub(crate) fn live() -> Self {
        let mut harness = Self::new();
        harness.run(Duration::from_secs(10));
        assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
        harness
    }

    pub(crate) fn now(&self) -> Now {
        let millis = i64::try_from(self.mono.as_millis()).unwrap();
        Now { mono: self.mono, wall: UnixTime::from_millis(START + millis + self.host_ahead_ms) }
    }

    pub(crate) fn truth_secs(&self) -> i64 {
        START / 1_000 + i64::try_from(self.mono.as_secs()).unwrap() + self.truth_ahead_secs
    }

    fn arrive(&mut self, after: Duration, arrival: Arrival) {
        self.sequence += 1;
        self.arrivals.insert((self.mono + after, self.sequence), arrival);
    }

    /// Runs the session and the cloud for `time`.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.mono + time;
        let mut steps_here = 0;
        loop {
            self.drain();
            let timer = self.session.poll_timeout().map(|deadline| deadline.at);
            let arrival = self.arrivals.keys().next().map(|(at, _)| *at);
            let Some(next) = [timer, arrival].into_iter().flatten().min().filter(|next| *next <= end) else {
                self.mono = end;
                return;
            };
            steps_here = if next > self.mono { 0 } else { steps_here + 1 };
            // All thermostats of a home may send a message at the same moment.
            let limit = 200 + self.cloud.devices.len();
            assert!(steps_here < limit, "no progress at {:?}: {:?}", self.mono, self.session.poll_timeout());
            self.mono = self.mono.max(next);
            if arrival.is_some_and(|at| at <= self.mono) {
                let (_, arrival) = self.arrivals.pop_first().unwrap();
                self.deliver(arrival);
            } else {
                self.session.handle_timeout(self.now());
            }
        }
    }

    fn deliver(&mut self, arrival: Arrival) {
        let now = self.now();
        match arrival {
            Arrival::Http { id, date: (ahead, age), reply: Some((status, body)) } => {
                let date = http_date(self.truth_secs() + ahead);
                let answer = HttpAnswer {
                    status,
                    date: Some(&date),
                    age,
                    retry_after: self.cloud.retry_after,
                    location: self.cloud.location,
                    body: body.as_bytes(),
                };
                self.session.handle_http(now, id, HttpResult::Answer(answer));
            }
            Arrival::Connected(mut request) => {
                if let Some(body) = self.session.deferred_body(now, request.id) {
                    request.body = HttpBody::Ready(body);
                    self.write(&request);
                }
            }
            Arrival::Unreachable(id) => {
                self.session.handle_http(now, id, HttpResult::Failed(HttpFailure::Unreachable));
            }
            Arrival::Http { id, reply: None, .. } => {
                self.session.handle_http(now, id, HttpResult::Failed(HttpFailure::Timeout));
            }
            Arrival::Opened(conn) => self.session.handle_ws_opened(now, conn),
            Arrival::Stored(stored) => self.store(*stored),
            Arrival::Refused(conn, status) => {
                let date = http_date(self.truth_secs());
                self.session.handle_ws_refused(now, conn, Some(status), Some(&date));
            }
            Arrival::Bytes(conn, bytes) => {
                self.session.handle_ws_bytes(now, conn, &bytes);
                if self.keep_bytes {
                    self.kept.push((conn, bytes));
                }
            }
            Arrival::Closed(conn) => {
                self.cloud.sockets.remove(&conn);
                self.session.handle_ws_closed(now, conn);
            }
        }
    }

    /// Sends the bytes of a request to the cloud.
    fn write(&mut self, request: &HttpRequest) {
        let target = request
            .headers
            .iter()
            .find(|(name, _)| *name == "x-amz-target")
            .map_or_else(String::new, |(_, value)| value.rsplit('.').next().unwrap().into());
        let body = request.body.ready().unwrap_or_default().to_owned();
        let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
        let iot = request.url.starts_with("https://iot.");
        let what = format!("{}{} /{path}{target}", if iot { "IOT " } else { "" }, request.method);
        if iot {
            self.verify(request);
        }
        self.log.http.push((self.mono, what.clone()));
        let update = what.ends_with("/update");
        if update {
            self.log.updates.push((self.mono, body.clone()));
        }
        let takes = match () {
            () if update => self.cloud.update_takes,
            () if iot => self.cloud.iot_takes,
            () if target.is_empty() => self.cloud.rest_takes,
            () => LATENCY,
        };
        if request.headers.iter().any(|(name, _)| *name == "authorization") {
            self.log.urls.push(request.url.clone());
        }
        let is_legacy = request.url.starts_with(&Environment::mysa().legacy_url);
        let reply = match self.cloud.legacy.filter(|_| is_legacy) {
            Some(Reply::Status(status, body)) => Some((status, body.to_owned())),
            Some(Reply::Timeout) => None,
            Some(Reply::Good) | None => self.answer(&what, &body),
        };
        let (after, reply) = match reply {
            Some(reply) => (takes, Some(reply)),
            None => (request.timeout, None),
        };
        let date = if target.is_empty() { self.cloud.rest_date } else { (0, None) };
        self.arrive(after, Arrival::Http { id: request.id, date, reply });
    }

    fn store(&mut self, stored: StoredSession) {
        let result = match &self.stored {
            _ if self.disk_full => StoreResult::Failed,
            Some(kept) if !stored.may_replace(kept) => StoreResult::Newer(Box::new(kept.clone())),
            _ => StoreResult::Stored,
        };
        if result == StoreResult::Stored {
            self.stored = Some(stored);
        }
        let now = self.now();
        self.session.handle_store_result(now, result);
    }

    /// Checks that a request to the control plane is signed with the issued credentials and the true time.
    fn verify(&self, request: &HttpRequest) {
        let mut headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        headers.push(("host", "iot.us-east-1.amazonaws.com"));
        let target = request.url.strip_prefix("https://iot.us-east-1.amazonaws.com").unwrap();
        let known = Credentials::new("ASIAEXAMPLE", "CANARY-secret", Some("CANARY-token"));
        let now = OffsetDateTime::from_unix_timestamp(self.truth_secs()).unwrap();
        HeaderVerifier::new("us-east-1", "iot")
            .verify(&Request { method: request.method, target, headers: &headers }, b"", now, |_| {
                Some(&known)
            })
            .unwrap();
    }

    pub(crate) fn drain(&mut self) {
        loop {
            let next = if self.paused { self.session.poll_io() } else { self.session.poll_output() };
            let Some(output) = next else { return };
            match output {
                Output::Http(request) if !self.cloud.has_network => {
                    self.log.unreachable += 1;
                    self.arrive(LATENCY, Arrival::Unreachable(request.id));
                }
                Output::Http(request) if request.body.ready().is_none() => {
                    self.log.limits.push(self.mono + request.timeout);
                    match self.cloud.connects {
                        Some(time) if time < request.timeout => {
                            self.arrive(time, Arrival::Connected(request));
                        }
                        Some(_) => {
                            let timeout = Arrival::Http { id: request.id, date: (0, None), reply: None };
                            self.arrive(request.timeout, timeout);
                        }
                        None => self.arrive(Duration::ZERO, Arrival::Unreachable(request.id)),
                    }
                }
                Output::Http(request) => self.write(&request),
                Output::Dial(dial) => {
                    self.log.dials.push((self.mono, dial.url.as_str().into()));
                    let refused = self.cloud.refused_host.is_some_and(|host| dial.authority.host() == host);
                    match self.cloud.upgrade.or(refused.then_some(403)) {
                        Some(status) => self.arrive(LATENCY, Arrival::Refused(dial.conn, status)),
                        None => {
                            self.cloud.sockets.insert(dial.conn, BrokerConnection::new());
                            self.log.live_at_once = self.log.live_at_once.max(self.cloud.sockets.len());
                            self.arrive(LATENCY, Arrival::Opened(dial.conn));
                        }
                    }
                }
                Output::Send { conn, bytes } => self.broker(conn, &bytes),
                Output::Close { conn } => {
                    self.log.closes += 1;
                    self.cloud.sockets.remove(&conn);
                }
                Output::Abort { conn } => {
                    self.log.closes += 1;
                    self.log.aborts += 1;
                    self.cloud.sockets.remove(&conn);
                }
                Output::AbortHttp { id } => {
                    self.log.aborted_requests.push((self.mono, id));
                    self.arrivals
                        .retain(|_, arrival| !matches!(arrival, Arrival::Http { id: of, .. } if *of == id));
                }
                Output::Store(stored) if self.store_takes.is_zero() => self.store(stored),
                Output::Store(stored) => self.arrive(self.store_takes, Arrival::Stored(Box::new(stored))),
                Output::Forget => self.stored = None,
                Output::Load => {
                    let (now, stored) = (self.now(), self.stored.clone());
                    self.session.handle_stored(now, stored);
                }
                Output::Event(event) => self.events.push((self.mono, event)),
            }
        }
    }

    fn answer(&mut self, what: &str, body: &str) -> Option<(u16, String)> {
        if !self.cloud.http {
            return None;
        }
        let truth = self.truth_secs();
        let refresh = what.ends_with("InitiateAuth") || what.ends_with("GetTokensFromRefreshToken");
        if refresh || what.ends_with("RespondToAuthChallenge") {
            let known = |accepted: &Vec<&str>| accepted.iter().any(|token| body.contains(*token));
            if refresh && !self.cloud.accepted.as_ref().is_none_or(known) {
                return Some((400, r#"{"__type":"NotAuthorizedException","message":"Invalid"}"#.into()));
            }
            return match if refresh { self.cloud.refresh } else { self.cloud.respond } {
                Reply::Good => {
                    self.cloud.tokens += 1;
                    let mut body = tokens(self.cloud.tokens).replace("3600", self.cloud.expires_in);
                    if self.cloud.rotates {
                        let refresh =
                            format!(r#""RefreshToken":"rotated-{}","AccessToken""#, self.cloud.tokens);
                        body = body.replace(r#""AccessToken""#, &refresh);
                    }
                    Some((200, body))
                }
                Reply::Status(status, body) => Some((status, body.into())),
                Reply::Timeout => None,
            };
        }
        if what.ends_with("RevokeToken") {
            self.log.revoked.push(body.into());
            return match self.cloud.revoke {
                Reply::Good => Some((200, String::new())),
                Reply::Status(status, body) => Some((status, body.into())),
                Reply::Timeout => None,
            };
        }
        if let Some(what) = what.strip_prefix("IOT GET /") {
            return match (self.cloud.iot, what.strip_prefix("things/")) {
                (Reply::Good, Some(id)) => Some((
                    200,
                    format!(r#"{{"thingName":"{id}","attributes":{{"Serial":"S-{id}"}},"version":1}}"#),
                )),
                (Reply::Good, None) => {
                    assert_eq!(what, "endpoint?endpointType=iot%3AData-ATS");
                    Some((200, format!(r#"{{"endpointAddress":"{FOUND}"}}"#)))
                }
                (Reply::Status(status, body), _) => Some((status, body.into())),
                (Reply::Timeout, _) => None,
            };
        }
        if what.ends_with("GetId") {
            return Some((200, r#"{"IdentityId":"us-east-1:identity"}"#.into()));
        }
        if what.ends_with("GetCredentialsForIdentity") {
            match self.cloud.credentials {
                Reply::Good => {}
                Reply::Status(status, body) => return Some((status, body.into())),
                Reply::Timeout => return None,
            }
            let expiration = format!("{}.0", truth + self.cloud.credentials_life);
            let expiration = self.cloud.expiration.unwrap_or(&expiration);
            return Some((
                200,
                format!(
                    r#"{{"IdentityId":"us-east-1:identity","Credentials":{{"AccessKeyId":"ASIAEXAMPLE","SecretKey":"CANARY-secret","SessionToken":"CANARY-token","Expiration":{expiration}}}}}"#
                ),
            ));
        }
        match self.cloud.rest {
            Reply::Good => {}
            Reply::Status(status, body) => return Some((status, body.into())),
            Reply::Timeout => return None,
        }
        if what == "GET /devices" {
            let list: Vec<_> = self
                .cloud
                .devices
                .iter()
                .map(|(id, model)| {
                    format!(
                        r#""{id}":{{"Id":"{id}","Model":"{model}","Name":"Room {id}","MinBrightness":40,"MaxBrightness":90{}}}"#,
                        self.cloud.record
                    )
                })
                .collect();
            return Some((200, format!(r#"{{"DevicesObj":{{{}}}}}"#, list.join(","))));
        }
        if what == "GET /devices/state" {
            let list: Vec<_> = self
                .cloud
                .devices
                .iter()
                .map(|(id, _)| {
                    if let Some(setpoint) = self.cloud.undated_setpoint {
                        return format!(r#""{id}":{{"Device":"{id}","SetPoint":{{"v":{setpoint}}}}}"#);
                    }
                    let (setpoint, at) = self.cloud.setpoints.get(id).copied().unwrap_or((19.0, truth - 60));
                    let mode = self.cloud.rest_mode.map_or(String::new(), |(mode, at)| {
                        format!(r#","TstatMode":{{"v":{mode},"t":{at}}}"#)
                    });
                    format!(
                        r#""{id}":{{"Device":"{id}","Timestamp":{at},"CorrectedTemp":{{"v":19.5,"t":{at}}},"SetPoint":{{"v":{setpoint},"t":{at}}}{mode}}}"#
                    )
                })
                .collect();
            return Some((200, format!(r#"{{"DeviceStatesObj":{{{}}}}}"#, list.join(","))));
        }
        if let ("GET /users", Some(user)) = (what, &self.cloud.user) {
            return Some((200, format!(r#"{{"User":{user}}}"#)));
        }
        if let Some(rest) = what.strip_prefix("POST /state/") {
            let id = rest.trim_end_matches("/update");
            match self.cloud.update {
                Reply::Good => {}
                Reply::Status(status, body) => return Some((status, body.into())),
                Reply::Timeout => return None,
            }
            if self.cloud.structured_applies
                && let Some(setpoint) = number_after(body, "\"setpoint\":")
            {
                self.cloud.setpoints.insert(id.into(), (setpoint, truth));
            }
            return Some((200, r#"{"message":"ok"}"#.into()));
        }
        if let Some(id) = what.strip_prefix("GET /state/") {
            let (setpoint, at) = self.cloud.setpoints.get(id).copied().unwrap_or((19.0, truth - 600));
            if let Some((mode, at)) = self.cloud.structured_mode {
                return Some((
                    200,
                    format!(
                        r#"{{"modes":{{"desired":{{"mode":{mode},"timestamp":{at}}},"reported":{{"mode":{mode},"timestamp":{at}}}}},"latestTelemetry":{{"isConnected":true,"lastConnected":{truth},"reading":{{"roomTemperature":21,"timestamp":{truth}}}}}}}"#
                    ),
                ));
            }
            return Some((
                200,
                format!(
                    r#"{{"targetHeat":{{"desired":{{"setpoint":25,"timestamp":{truth}}},"reported":{{"setpoint":{setpoint},"timestamp":{at}}}}}}}"#
                ),
            ));
        }
        Some((404, "{}".into()))
    }

    fn broker(&mut self, conn: ConnId, bytes: &[u8]) {
        if self.cloud.dead {
            return;
        }
        if self.cloud.closes_at_connect {
            self.cloud.sockets.remove(&conn);
            return self.arrive(LATENCY, Arrival::Closed(conn));
        }
        let Some(mut socket) = self.cloud.sockets.remove(&conn) else { return };
        let exchange = socket.receive(&self.cloud.broker, bytes);
        let mut commands = Vec::new();
        let mut pinged = false;
        for received in exchange.received {
            match received {
                Received::Connect { client_id } => {
                    let same_client_id =
                        self.cloud.sockets.values().any(|other| other.client_id() == client_id);
                    assert!(!same_client_id, "two connections share a client id");
                    self.log.connects.push((self.mono, client_id));
                    if let Some(after) = self.cloud.close_after_connack {
                        self.arrive(LATENCY + after, Arrival::Closed(conn));
                    }
                }
                Received::Subscribe { filters } => self.log.subscribes.push((self.mono, conn, filters)),
                Received::Publish { topic, payload, dup } => {
                    let payload = String::from_utf8(payload).unwrap();
                    self.log.publishes.push((self.mono, conn, topic.clone(), payload.clone(), dup));
                    if !self.cloud.broker.close_on_publish {
                        commands.push((topic, payload));
                    }
                }
                Received::PingReq => pinged = true,
                Received::PubAck => self.log.pubacks += 1,
                Received::Disconnect => self.log.disconnects += 1,
                Received::Unsubscribe { .. } => {}
            }
        }
        if !exchange.reply.is_empty() {
            self.arrive(LATENCY, Arrival::Bytes(conn, exchange.reply));
        }
        if exchange.close {
            self.arrive(LATENCY, Arrival::Closed(conn));
        } else {
            self.cloud.sockets.insert(conn, socket);
        }
        for (topic, payload) in commands {
            self.thermostat(&topic, &payload);
        }
        if pinged && self.cloud.sends_at_ping {
            self.send_stateless();
        }
    }

    fn thermostat(&mut self, topic: &str, payload: &str) {
        let id = topic.trim_start_matches("/v1/dev/").trim_end_matches("/in").to_owned();
        let (Some(command), true) = (number_after(payload, "\"id\":"), payload.contains("\"msg\":44")) else {
            return;
        };
        let body = payload.split("\"body\":").nth(1).unwrap_or_default();
        let body_type = number_after(body, "\"type\":").unwrap_or(0.0) as i64;
        // A thermostat ignores commands for another model.
        if self.cloud.body_types.get(&id).is_some_and(|own| *own != body_type) {
            return;
        }
        let setpoint = number_after(payload, "\"sp\":");
        let truth = self.truth_secs();
        if let (Some(setpoint), true) = (setpoint, self.cloud.device_applies) {
            self.cloud.setpoints.insert(id.clone(), (setpoint, truth));
        }
        if self.cloud.device_acks {
            let setpoint = self.cloud.setpoints.get(&id).map_or(19.0, |(setpoint, _)| *setpoint);
            let mode = number_after(payload, "\"md\":").unwrap_or(3.0) as u8;
            let ack = Ack { mode, body_type, ..Ack::new(&id, truth, command as i64, setpoint) };
            self.publish_from(&id, &ack.to_string(), Duration::from_millis(300));
        }
    }

    /// Lets every thermostat send a message that contains no state.
    fn send_stateless(&mut self) {
        let truth = self.truth_secs();
        for (id, _) in self.cloud.devices.clone() {
            let message = format!(r#"{{"Device":"{id}","MsgType":5,"EchoID":1,"Timestamp":{truth}}}"#);
            self.publish_from(&id, &message, LATENCY);
        }
    }

    /// Sends a message of a thermostat to every subscriber.
    pub(crate) fn publish_from(&mut self, id: &str, message: &str, after: Duration) {
        let topic = format!("/v1/dev/{id}/out");
        let sockets = self.cloud.sockets.iter().filter(|(_, socket)| socket.is_subscribed(&topic));
        let listeners: Vec<ConnId> = sockets.map(|(conn, _)| *conn).collect();
        for conn in listeners {
            if !self.cloud.dead {
                self.arrive(after, Arrival::Bytes(conn, publish(&topic, message.as_bytes())));
            }
        }
    }

    /// Sends a retained message on the first open connection.
    pub(crate) fn retained(&mut self, id: &str, message: &str) {
        let conn = *self.cloud.sockets.keys().next().unwrap();
        let bytes = publish_retained(&format!("/v1/dev/{id}/out"), message.as_bytes());
        self.arrive(LATENCY, Arrival::Bytes(conn, bytes));
    }

    /// Sends a message with QoS 1.
    pub(crate) fn publish_from_with_qos_1(&mut self, id: &str, message: &str) {
        let topic = format!("/v1/dev/{id}/out");
        let packet = PacketId::new(7).unwrap();
        let listeners: Vec<ConnId> = self.cloud.sockets.keys().copied().collect();
        for conn in listeners {
            let bytes = publish_at_least_once(packet, &topic, message.as_bytes());
            self.arrive(LATENCY, Arrival::Bytes(conn, bytes));
        }
    }

    pub(crate) fn status(&mut self, id: &str, setpoint: f64) {
        let status = V2Status { setpoint, ..V2Status::new(id, self.truth_secs()) };
        self.publish_from(id, &status.to_string(), LATENCY);
    }

    pub(crate) fn open_sockets(&self) -> usize {
        self.cloud.sockets.len()
    }

    /// Ends every connection without telling the session.
    pub(crate) fn cut_unnoticed(&mut self) {
        self.cloud.sockets.clear();
    }

    /// Ends every connection abruptly, as seen by the session.
    pub(crate) fn cut(&mut self) {
        for conn in std::mem::take(&mut self.cloud.sockets).into_keys() {
            self.arrive(Duration::ZERO, Arrival::Closed(conn));
        }
    }

    pub(crate) fn set(&mut self, id: &str, degrees: f64) -> CommandId {
        let change = setpoint(degrees);
        let now = self.now();
        self.session.command(now, device(id), change, None).unwrap()
    }

    pub(crate) fn verdicts(&self, wanted: CommandId) -> Vec<Verdict> {
        self.events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Verdict { id, verdict, .. } if *id == wanted => Some(verdict.clone()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn verdict(&self, wanted: CommandId) -> Verdict {
        let verdicts = self.verdicts(wanted);
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        verdicts[0].clone()
    }

    pub(crate) fn levels(&self) -> Vec<Level> {
        self.events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Service(service) => Some(service.level),
                _ => None,
            })
            .collect()
    }

    /// Returns the commands that the broker received.
    pub(crate) fn commands(&self) -> Vec<&(Duration, ConnId, String, String, bool)> {
        self.log.publishes.iter().filter(|publish| publish.3.contains("\"msg\":44")).collect()
    }

    pub(crate) fn asked(&self, what: &str) -> usize {
        self.log.http.iter().filter(|(_, request)| request.ends_with(what)).count()
    }
}

pub(crate) fn tokens(number: u32) -> String {
    let claims = format!(
        r#"{{"sub":"11111111-1111-4111-8111-111111111111","iss":"https://cognito-idp.us-east-1.amazonaws.com/us-east-1_GUFWfhI7g","token_use":"id","n":{number}}}"#
    );
    let id = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
    format!(
        r#"{{"AuthenticationResult":{{"IdToken":"{id}","AccessToken":"CANARY-access","ExpiresIn":3600,"TokenType":"Bearer"}},"ChallengeParameters":{{}}}}"#
    )
}

pub(crate) fn number_after(text: &str, name: &str) -> Option<f64> {
    let rest = &text[text.find(name)? + name.len()..];
    let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
    rest[..end].trim().parse().ok()
}
