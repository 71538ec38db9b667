//! A driver in memory, under virtual time, between a session and the simulated cloud. It keeps every rule, or breaks one
//! on purpose.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mysa_cognito::StoredSession;
use mysa_conformance::{
    ConnId, Dial, Environment, Event, HttpAnswer, HttpFailure, HttpId, HttpRequest, HttpResult, Ledger,
    Level, Now, Output, Session, Settings, Start, StoreResult, Verdict,
};
use mysa_proto::UnixTime;
use mysa_sim::{Cloud, CloudSpec, HttpReply, Upgrade};

/// Mistake of a driver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    TakesOneOutput,
    WaitsForStore,
    IgnoresDeadlines,
    ReadsClockBeforeWaiting,
    DropsRequest,
    DropsDial,
    DropsFrame,
    ForgetsLoad,
    ForgetsStore,
    IgnoresClose,
    ReportsTwice,
    LabelsBytesWithNewestConnection,
    KeepsBufferOfOldConnection,
    AsksBodyAtOnce,
    SendsAfterAbort,
    SendsAbortedRequest,
    FollowsRedirects,
    RepeatsRequests,
    DropsSession,
}

enum Input {
    /// A connection for a request is open, or its host is unreachable.
    Connected(Box<HttpRequest>, bool),
    /// The bytes of a request leave the host.
    Sent(Box<HttpRequest>, String),
    Answer(HttpId, Result<HttpReply, HttpFailure>),
    Opened(ConnId),
    Refused(ConnId, u16),
    Bytes(ConnId, Vec<u8>),
    Closed(ConnId),
    Stored,
}

/// Network and servers, as the tests direct them.
#[derive(Default)]
pub(crate) struct Network {
    /// `true` while no server reads from a WebSocket.
    pub(crate) blocked: bool,
    /// `true` while the hosts of writes are unreachable.
    pub(crate) unreachable: bool,
    /// `true` while the bytes of writes wait in the host.
    pub(crate) stalled: bool,
    /// Number of readings of the device list to redirect.
    pub(crate) redirects: u32,
}

pub(crate) struct Toy {
    flaw: Option<Flaw>,
    /// Taken at the end.
    session: Option<Session>,
    pub(crate) ledger: Ledger,
    cloud: Cloud,
    pub(crate) network: Network,
    clock: Arc<Mutex<Duration>>,
    /// Reading that a driver with a stale clock uses.
    stale: Now,
    inputs: VecDeque<Input>,
    later: BTreeMap<(Duration, u64), Input>,
    sockets: BTreeMap<ConnId, Socket>,
    stored: Option<StoredSession>,
    numbers: u64,
    given: u64,
    newest: Option<ConnId>,
    leftover: Vec<u8>,
    blocked: bool,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) was_live: bool,
}

struct Socket {
    number: u64,
    target: String,
    /// Bytes that wait for the server to read.
    held: Vec<u8>,
    aborted: bool,
}

pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Time for which the bytes of a write wait in a host that cannot send them.
const STALL: Duration = Duration::from_secs(10);
/// Time that a write of the stored session takes.
const WRITING: Duration = Duration::from_secs(1);
const START: UnixTime = UnixTime::from_secs(1_767_323_045);

impl Toy {
    pub(crate) fn new(settings: Settings, flaw: Option<Flaw>) -> Self {
        let clock = Arc::new(Mutex::new(Duration::ZERO));
        let now = Now { mono: Duration::ZERO, wall: START };
        let start = Start::Password {
            username: CloudSpec::DEMO_EMAIL.into(),
            password: CloudSpec::DEMO_PASSWORD.into(),
        };
        let session = Session::new(settings, Environment::mysa(), start, [7; 32], now);
        let ledger = session.ledger();
        let shared = Arc::clone(&clock);
        ledger.set_clock(move || *shared.lock().expect("no panic"));
        // Virtual time: everything happens on time.
        ledger.set_lateness(Duration::from_secs(1));
        Self {
            flaw,
            session: Some(session),
            ledger,
            cloud: Cloud::new(CloudSpec::demo(), 42, mysa_sim::Now { mono: Duration::ZERO, wall: START }),
            network: Network::default(),
            clock,
            stale: now,
            inputs: VecDeque::new(),
            later: BTreeMap::new(),
            sockets: BTreeMap::new(),
            stored: None,
            numbers: 0,
            given: 0,
            newest: None,
            leftover: Vec::new(),
            blocked: false,
            verdicts: Vec::new(),
            was_live: false,
        }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn waits_for_store(&self) -> bool {
        self.is(Flaw::WaitsForStore) && self.later.values().any(|input| matches!(input, Input::Stored))
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("not ended")
    }

    fn mono(&self) -> Duration {
        *self.clock.lock().expect("no panic")
    }

    pub(crate) fn now(&self) -> Now {
        let mono = self.mono();
        Now { mono, wall: START.plus_millis(mono.as_millis().try_into().expect("a short test")) }
    }

    fn cloud_now(&self) -> mysa_sim::Now {
        let now = self.now();
        mysa_sim::Now { mono: now.mono, wall: now.wall }
    }

    /// Reading that the driver passes to the session.
    fn reading(&self) -> Now {
        if self.is(Flaw::ReadsClockBeforeWaiting) { self.stale } else { self.now() }
    }

    /// Runs until `end`, one wait after the other.
    pub(crate) fn run_until(&mut self, end: Duration) {
        loop {
            self.stale = self.now();
            self.drain();
            if self.blocked != self.network.blocked {
                self.unblock();
                continue;
            }
            if let Some(input) = self.inputs.pop_front() {
                self.give(input);
                continue;
            }
            let due = self.session().poll_timeout().map(|deadline| deadline.at);
            let due = due.filter(|_| !self.is(Flaw::IgnoresDeadlines) && !self.waits_for_store());
            let later = self.later.first_key_value().map(|((at, _), _)| *at);
            let next = [due, later, self.cloud.poll_timeout()].into_iter().flatten().min().unwrap_or(end);
            let next = next.max(self.mono());
            if next > end {
                *self.clock.lock().expect("no panic") = end;
                return;
            }
            *self.clock.lock().expect("no panic") = next;
            while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= next) {
                self.inputs.push_back(entry.remove());
            }
            if self.cloud.poll_timeout().is_some_and(|at| at <= next) {
                self.cloud.handle_timeout(self.cloud_now());
            }
            self.collect();
            if due.is_some_and(|at| at <= next) {
                let now = self.reading();
                self.session().handle_timeout(now);
            }
        }
    }

    /// Ends the session and drops it.
    pub(crate) fn end(&mut self) {
        if !self.is(Flaw::DropsSession) {
            let now = self.now();
            self.session().shutdown(now);
            self.drain();
        }
        // The test reads the violations; without a reader, the session panics.
        let _ = self.ledger.violations();
        self.session = None;
    }

    fn drain(&mut self) {
        loop {
            if self.waits_for_store() {
                return;
            }
            let Some(output) = self.session().poll_output() else { break };
            self.carry_out(output);
            if self.is(Flaw::TakesOneOutput) {
                break;
            }
        }
        self.collect();
    }

    /// Returns `true` for the output that a flawed driver treats wrongly: one of several, so that it gets somewhere.
    fn nth(&mut self, n: u64) -> bool {
        self.given += 1;
        self.given.is_multiple_of(n)
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Http(_) if self.is(Flaw::DropsRequest) && self.nth(7) => {}
            Output::Http(request) => {
                let deferred = request.body.ready().is_none();
                if deferred && self.is(Flaw::AsksBodyAtOnce) {
                    let (now, id) = (self.reading(), request.id);
                    let _ = self.session().deferred_body(now, id);
                }
                let reached = !(self.network.unreachable && deferred);
                self.inputs.push_back(Input::Connected(Box::new(request), reached));
            }
            // The first connection is opened, so that the test gets somewhere.
            Output::Dial(_) if self.is(Flaw::DropsDial) && self.newest.is_some() => {}
            Output::Dial(dial) => self.dial(&dial),
            Output::Send { .. } if self.is(Flaw::DropsFrame) && self.nth(5) => {}
            Output::Send { conn, bytes } => {
                if let Some(socket) = self.sockets.get_mut(&conn) {
                    socket.held.extend_from_slice(&bytes);
                }
                if self.network.blocked {
                    let now = self.reading();
                    self.session().handle_ws_blocked(now, conn, true);
                } else {
                    self.write(conn);
                }
            }
            Output::Close { .. } if self.is(Flaw::IgnoresClose) => {}
            Output::Close { conn } => self.close(conn),
            Output::Abort { conn } => {
                if self.is(Flaw::SendsAfterAbort) {
                    if let Some(socket) = self.sockets.get_mut(&conn) {
                        socket.aborted = true;
                    }
                } else {
                    self.close(conn);
                }
            }
            Output::AbortHttp { .. } if self.is(Flaw::SendsAbortedRequest) => {}
            Output::AbortHttp { id } => {
                self.later.retain(|_, input| !matches!(input, Input::Sent(request, _) if request.id == id));
            }
            Output::Store(stored) => {
                self.stored = Some(stored);
                if !self.is(Flaw::ForgetsStore) {
                    self.after(WRITING, Input::Stored);
                }
            }
            Output::Forget => self.stored = None,
            Output::Load if self.is(Flaw::ForgetsLoad) => {}
            Output::Load => {
                let (now, stored) = (self.reading(), self.stored.clone());
                self.session().handle_stored(now, stored);
            }
            Output::Event(Event::Verdict { verdict, .. }) => self.verdicts.push(verdict),
            Output::Event(Event::Service(service)) => self.was_live |= service.level == Level::Live,
            Output::Event(_) => {}
        }
    }

    fn give(&mut self, input: Input) {
        let now = self.reading();
        match input {
            Input::Connected(request, true) => self.send_request(*request),
            Input::Sent(request, body) => self.exchange(&request, &body),
            Input::Connected(request, false) => {
                let failed = HttpResult::Failed(HttpFailure::Unreachable);
                self.session().handle_http(now, request.id, failed);
            }
            Input::Answer(id, result) => {
                let repeats = if self.is(Flaw::ReportsTwice) && self.nth(5) { 2 } else { 1 };
                for _ in 0..repeats {
                    let result = match &result {
                        Ok(reply) => HttpResult::Answer(HttpAnswer {
                            status: reply.status,
                            date: reply.header("date"),
                            location: reply.header("location"),
                            body: &reply.body,
                            ..HttpAnswer::default()
                        }),
                        Err(failure) => HttpResult::Failed(*failure),
                    };
                    self.session().handle_http(now, id, result);
                    self.drain();
                }
            }
            Input::Opened(conn) => {
                self.session().handle_ws_opened(now, conn);
                self.newest = Some(conn);
            }
            Input::Refused(conn, status) => self.session().handle_ws_refused(now, conn, Some(status), None),
            Input::Bytes(conn, bytes) => self.give_bytes(now, conn, bytes),
            Input::Closed(conn) => self.session().handle_ws_closed(now, conn),
            Input::Stored => self.session().handle_store_result(now, StoreResult::Stored),
        }
    }

    fn give_bytes(&mut self, now: Now, conn: ConnId, bytes: Vec<u8>) {
        match self.flaw {
            Some(Flaw::LabelsBytesWithNewestConnection) => {
                let newest = self.newest.unwrap_or(conn);
                self.session().handle_ws_bytes(now, newest, &bytes);
            }
            // One buffer for all connections: what the last read of the old one left in it comes first.
            Some(Flaw::KeepsBufferOfOldConnection) => {
                let old = std::mem::replace(&mut self.leftover, bytes.get(1..).unwrap_or_default().to_vec());
                if self.newest == Some(conn) && self.nth(1) && bytes.first() == Some(&0x20) {
                    self.session().handle_ws_bytes(now, conn, &[old, bytes].concat());
                } else {
                    self.session().handle_ws_bytes(now, conn, &bytes);
                }
            }
            _ => self.session().handle_ws_bytes(now, conn, &bytes),
        }
    }

    fn send_request(&mut self, request: HttpRequest) {
        let deferred = request.body.ready().is_none();
        let body = if deferred {
            let now = self.reading();
            // Withdrawn: nothing is reported.
            let Some(body) = self.session().deferred_body(now, request.id) else { return };
            let body = body.expose().to_owned();
            if self.network.stalled {
                return self.after(STALL, Input::Sent(Box::new(request), body));
            }
            body
        } else {
            request.body.ready().unwrap_or_default().to_owned()
        };
        self.exchange(&request, &body);
    }

    fn exchange(&mut self, request: &HttpRequest, body: &str) {
        let mut reply = self.serve(request, &request.url, body);
        if self.is(Flaw::RepeatsRequests) && self.nth(6) {
            reply = self.serve(request, &request.url, body);
        }
        if self.is(Flaw::FollowsRedirects)
            && let Ok((_, answer)) = &reply
            && let Some(location) = answer.header("location").map(str::to_owned)
        {
            reply = self.serve(request, &location, body);
        }
        let (delay, answer) = match reply {
            Ok((delay, reply)) => (delay, Ok(reply)),
            Err(failure) => (request.timeout, Err(failure)),
        };
        self.after(delay, Input::Answer(request.id, answer));
    }

    /// Answers a request, as the server at `url`.
    fn serve(
        &mut self,
        request: &HttpRequest,
        url: &str,
        body: &str,
    ) -> Result<(Duration, HttpReply), HttpFailure> {
        self.ledger.peer_request(request.method, url);
        let rest = url.trim_start_matches("https://");
        let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if self.network.redirects > 0 && path == "/devices" {
            self.network.redirects -= 1;
            let headers = vec![("location", format!("https://mysa-backend.mysa.cloud{path}"))];
            return Ok((
                Duration::ZERO,
                HttpReply { status: 307, headers, body: Vec::new(), delay: Duration::ZERO },
            ));
        }
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let view = mysa_sim::HttpRequest {
            host,
            method: request.method,
            path,
            query,
            headers: &headers,
            body: body.as_bytes(),
        };
        match self.cloud.handle_http(self.cloud_now(), &view) {
            mysa_sim::HttpAnswer::Reply(reply) => Ok((reply.delay, reply)),
            _ => Err(HttpFailure::Timeout),
        }
    }

    fn after(&mut self, delay: Duration, input: Input) {
        self.numbers += 1;
        self.later.insert((self.mono() + delay, self.numbers), input);
    }

    fn dial(&mut self, dial: &Dial) {
        let target = dial.url.target().to_owned();
        self.ledger.peer_upgrade(&target);
        let (path, query) = target.split_once('?').unwrap_or_default();
        let host = dial.authority.host_header();
        let headers = [
            ("host", host),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", dial.subprotocol),
        ];
        let view = mysa_sim::HttpRequest { host, method: "GET", path, query, headers: &headers, body: b"" };
        self.numbers += 1;
        let number = self.numbers;
        match self.cloud.handle_upgrade(self.cloud_now(), number, &view) {
            Upgrade::Accept => {
                let socket = Socket { number, target: target.clone(), held: Vec::new(), aborted: false };
                self.sockets.insert(dial.conn, socket);
                self.after(Duration::from_millis(50), Input::Opened(dial.conn));
            }
            Upgrade::Refuse(reply) => self.inputs.push_back(Input::Refused(dial.conn, reply.status)),
            Upgrade::Hang => {}
        }
    }

    /// Writes what waits on a connection.
    fn write(&mut self, conn: ConnId) {
        let now = self.cloud_now();
        let Some(socket) = self.sockets.get_mut(&conn) else { return };
        let bytes = std::mem::take(&mut socket.held);
        if !bytes.is_empty() {
            self.ledger.peer_received(&socket.target, &bytes);
            self.cloud.handle_ws_bytes(now, socket.number, &bytes);
        }
    }

    fn close(&mut self, conn: ConnId) {
        if let Some(socket) = self.sockets.remove(&conn) {
            self.ledger.peer_closed(&socket.target);
            self.cloud.handle_ws_closed(self.cloud_now(), socket.number);
        }
    }

    /// Servers begin or stop to read.
    fn unblock(&mut self) {
        self.blocked = self.network.blocked;
        if self.blocked {
            return;
        }
        let waiting: Vec<_> = self
            .sockets
            .iter()
            .filter(|(_, socket)| !socket.held.is_empty())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in waiting {
            let aborted = self.sockets.get(&conn).is_some_and(|socket| socket.aborted);
            self.write(conn);
            if aborted {
                self.close(conn);
            } else {
                let now = self.reading();
                self.session().handle_ws_blocked(now, conn, false);
            }
        }
    }

    /// Takes what the cloud sends.
    fn collect(&mut self) {
        while let Some(output) = self.cloud.poll_output() {
            let of = |sockets: &BTreeMap<ConnId, Socket>, number| {
                sockets.iter().find(|(_, socket)| socket.number == number).map(|(conn, _)| *conn)
            };
            match output {
                mysa_sim::Output::Send { conn, bytes } => {
                    if let Some(conn) = of(&self.sockets, conn) {
                        self.ledger.peer_sent(&self.sockets[&conn].target, &bytes);
                        self.inputs.push_back(Input::Bytes(conn, bytes));
                    }
                }
                mysa_sim::Output::Close { conn, .. } => {
                    if let Some(conn) = of(&self.sockets, conn) {
                        self.sockets.remove(&conn);
                        self.inputs.push_back(Input::Closed(conn));
                    }
                }
            }
        }
    }
}
