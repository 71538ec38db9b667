use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use mysa_mqtt_codec::{Inbound, Stream};
use mysa_session::{
    CommandId, ConnId, Dial, Event, HttpBody, HttpFailure, HttpId, HttpRequest, HttpResult, Output,
};

use crate::{Rule, Violation};

/// Time after which a session itself counts a request without a report as unanswered, beyond the request's limit.
const REPORT_GRACE: Duration = Duration::from_secs(5);
/// Time limit for the reports of `Output::Store` and `Output::Load`, and for the end of a closed connection.
const STORE_GRACE: Duration = Duration::from_secs(5);
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// Maximum number of violations kept.
const KEPT: usize = 1_000;
const MAX_PACKET: u32 = 1 << 20;

/// Kind of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    /// The end of a wait: an I/O operation has finished.
    Io(&'static str),
    /// The end of a wait: the deadline is due.
    Timeout,
    /// Part of carrying out an output, or a request of the application: allowed while outputs wait.
    Any(&'static str),
}

impl Call {
    const fn name(self) -> &'static str {
        match self {
            Self::Io(name) | Self::Any(name) => name,
            Self::Timeout => "handle_timeout",
        }
    }
}

/// Everything that a driver did, as far as a rule needs it.
pub(crate) struct Record {
    pub(crate) violations: Vec<Violation>,
    /// `true` if somebody has asked for the violations.
    pub(crate) read: bool,
    pub(crate) lateness: Duration,
    reference: Box<dyn Fn() -> Duration + Send>,
    /// Difference of the reference clock and the driver's.
    offset: Duration,
    newest: Duration,
    /// Reading of the reference clock when the last output had been taken.
    drained_at: Option<Duration>,
    /// Call whose outputs were not all taken yet.
    undrained: Option<&'static str>,
    /// Deadline when the last output had been taken.
    due: Option<Duration>,
    /// Latest time of the report of `Output::Store`, until it is reported.
    storing: Option<Duration>,
    /// Latest time of the report of `Output::Load`, and `true` if a store is to be reported before.
    loading: Option<(Duration, bool)>,
    http: BTreeMap<HttpId, Request>,
    /// Requests given since the outputs were all taken last.
    fresh: BTreeSet<HttpId>,
    /// Hosts that have answered, to which a connection may still be open.
    reached: BTreeSet<String>,
    conns: BTreeMap<ConnId, Connection>,
    undecided: BTreeSet<CommandId>,
    ended: bool,
    /// `true` if the servers report upgrades.
    peers: bool,
}

struct Request {
    name: String,
    host: String,
    /// Latest time of the report.
    report_by: Duration,
    /// `true` once the driver has a body to send.
    has_body: bool,
    sent: u32,
    /// Reading of the reference clock at `Output::AbortHttp`.
    aborted: Option<Duration>,
}

struct Connection {
    target: String,
    state: State,
    /// Latest time of the next report, or of the end that the peer sees.
    act_by: Option<Duration>,
    /// Bytes that the driver was given and that the peer has not received.
    outgoing: VecDeque<u8>,
    given: bool,
    accepted: bool,
    incoming: Stream,
    /// Bytes that the server has sent and that the driver has not passed on. `None` if the server does not report them.
    expected: Option<VecDeque<u8>>,
    /// `true` once a server has reported the upgrade.
    peer: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Dialling,
    Open,
    Closing,
    Aborted(Duration),
    Ended,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("violations", &self.violations).finish_non_exhaustive()
    }
}

fn host(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

/// Method, host and path of a request: what may be printed.
fn name(method: &str, url: &str) -> String {
    let path = url.split('?').next().unwrap_or(url);
    format!("{method} {path}")
}

impl Record {
    pub(crate) fn new(
        reference: impl Fn() -> Duration + Send + 'static,
        mono: Duration,
        lateness: Duration,
    ) -> Self {
        let offset = reference().saturating_sub(mono);
        Self {
            violations: Vec::new(),
            read: false,
            lateness,
            reference: Box::new(reference),
            offset,
            newest: mono,
            drained_at: None,
            undrained: Some("new"),
            due: None,
            storing: None,
            loading: None,
            http: BTreeMap::new(),
            fresh: BTreeSet::new(),
            reached: BTreeSet::new(),
            conns: BTreeMap::new(),
            undecided: BTreeSet::new(),
            ended: false,
            peers: false,
        }
    }

    pub(crate) fn set_reference(&mut self, reference: impl Fn() -> Duration + Send + 'static) {
        self.offset = reference().saturating_sub(self.newest);
        self.reference = Box::new(reference);
        self.drained_at = None;
    }

    fn breaks(&mut self, rule: Rule, what: String) {
        // A driver that breaks a rule at each call would fill the memory.
        if self.violations.len() < KEPT {
            self.violations.push(Violation { rule, at: self.newest, what });
        }
    }

    /// Notes a call with a reading of the clock, before the session processes it.
    pub(crate) fn call(&mut self, call: Call, mono: Duration) {
        self.check_clock(call, mono);
        self.newest = self.newest.max(mono);
        let waited = matches!(call, Call::Io(_) | Call::Timeout);
        if waited && let Some(before) = self.undrained {
            self.breaks(
                Rule::Drain,
                format!(
                    "{} is called while outputs of {before} wait: call poll_output until it returns None, then wait",
                    call.name()
                ),
            );
        }
        if waited && let Some(due) = self.due {
            let late = mono.saturating_sub(due);
            if late > self.lateness {
                self.breaks(
                    Rule::Deadline,
                    format!(
                        "{} is called {late:?} after handle_timeout was due: wait no longer than until poll_timeout",
                    call.name()
                    ),
                );
            }
        }
        self.due = None;
        self.undrained = Some(call.name());
        self.check_overdue();
    }

    fn check_clock(&mut self, call: Call, mono: Duration) {
        if mono < self.newest {
            let before = self.newest.checked_sub(mono).unwrap_or_default();
            self.breaks(
                Rule::Clock,
                format!(
                    "{} gets a reading that is {before:?} older than that of the call before",
                    call.name()
                ),
            );
            return;
        }
        let (reading, now) = (mono.saturating_add(self.offset), (self.reference)());
        let age = now.saturating_sub(reading);
        if self.drained_at.is_some_and(|drained| reading < drained) || age > self.lateness {
            self.breaks(
                Rule::Clock,
                format!(
                    "{} gets a reading of the clock that is {age:?} old: read the clock after waiting, for each call",
                    call.name()
                ),
            );
        }
    }

    /// Checks for results that should have been reported by now.
    fn check_overdue(&mut self) {
        if self.ended {
            return;
        }
        let limit = self.newest.saturating_sub(self.lateness);
        let mut late = Vec::new();
        self.http.retain(|_, request| {
            let keep = request.report_by >= limit;
            if !keep && request.aborted.is_none() {
                late.push((
                    Rule::Output,
                    format!("no result of {} is reported by handle_http", request.name),
                ));
            }
            keep
        });
        if self.storing.is_some_and(|by| by < limit) {
            self.stored();
            late.push((
                Rule::Store,
                "handle_store_result is not called after Output::Store; if nothing is stored by design, report \
                 StoreResult::Stored"
                    .into(),
            ));
        }
        if self.loading.is_some_and(|(by, _)| by < limit) {
            self.loading = None;
            late.push((Rule::Output, "handle_stored is not called after Output::Load".into()));
        }
        for (conn, connection) in &mut self.conns {
            if connection.act_by.is_none_or(|by| by >= limit) {
                continue;
            }
            connection.act_by = None;
            match connection.state {
                State::Dialling => late.push((
                    Rule::Output,
                    format!("{conn} is neither opened nor refused: report it by handle_ws_opened or handle_ws_refused"),
                )),
                State::Closing if connection.peer => {
                    late.push((Rule::Output, format!("{conn} is still open after Output::Close")));
                }
                State::Aborted(_) if connection.peer => {
                    late.push((Rule::Abort, format!("{conn} is still open after Output::Abort")));
                }
                _ => {}
            }
        }
        for (rule, what) in late {
            self.breaks(rule, what);
        }
        self.conns.retain(|_, connection| connection.state != State::Ended);
    }

    /// Notes an output that the driver has taken.
    pub(crate) fn took(&mut self, output: &Output) {
        match output {
            Output::Http(request) => self.took_http(request),
            Output::Dial(dial) => self.took_dial(dial),
            Output::Send { conn, bytes } => {
                if let Some(connection) = self.conns.get_mut(conn) {
                    connection.given = true;
                    connection.outgoing.extend(bytes.iter());
                }
            }
            Output::Close { conn } => {
                let by = self.newest + CLOSE_GRACE;
                self.end(*conn, State::Closing, by);
            }
            Output::Abort { conn } => {
                let (by, at) = (self.newest, (self.reference)());
                self.end(*conn, State::Aborted(at), by);
            }
            Output::AbortHttp { id } => {
                let at = (self.reference)();
                if let Some(request) = self.http.get_mut(id) {
                    request.aborted = Some(at);
                }
            }
            Output::Store(_) => self.storing = Some(self.newest + STORE_GRACE),
            Output::Load => self.loading = Some((self.newest + STORE_GRACE, self.storing.is_some())),
            // A store that waits for the disk may be left out.
            Output::Forget => self.stored(),
            Output::Event(event) => self.took_event(event),
        }
    }

    fn took_http(&mut self, request: &HttpRequest) {
        self.fresh.insert(request.id);
        self.http.insert(
            request.id,
            Request {
                name: name(request.method, &request.url),
                host: host(&request.url).to_owned(),
                report_by: self.newest.saturating_add(request.timeout).saturating_add(REPORT_GRACE),
                has_body: !matches!(request.body, HttpBody::Deferred),
                sent: 0,
                aborted: None,
            },
        );
    }

    fn took_dial(&mut self, dial: &Dial) {
        self.conns.insert(
            dial.conn,
            Connection {
                target: dial.url.target().to_owned(),
                state: State::Dialling,
                act_by: Some(self.newest.saturating_add(dial.timeout)),
                outgoing: VecDeque::new(),
                given: false,
                accepted: false,
                incoming: Stream::new(MAX_PACKET),
                expected: None,
                peer: false,
            },
        );
    }

    fn end(&mut self, conn: ConnId, state: State, by: Duration) {
        let (peers, now) = (self.peers, self.newest);
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        // The session gives up a dial at the time limit, whether the driver dialled or not: only the server knows.
        let expired = connection.act_by.is_some_and(|by| by <= now);
        let never_dialled = connection.state == State::Dialling && expired && peers && !connection.peer;
        connection.act_by = Some(by);
        connection.state = state;
        if never_dialled {
            self.breaks(Rule::Output, format!("no server receives the upgrade request of {conn}"));
        }
    }

    pub(crate) fn took_event(&mut self, event: &Event) {
        match event {
            Event::Verdict { id, .. } => {
                self.undecided.remove(id);
            }
            // The driver may leave now.
            Event::SignedOut { .. } => self.ended = true,
            _ => {}
        }
    }

    /// Notes that there is no further output, and the deadline.
    pub(crate) fn drained(&mut self, due: Option<Duration>) {
        self.undrained = None;
        self.drained_at = Some((self.reference)());
        self.due = due;
        self.fresh.clear();
    }

    pub(crate) fn commanded(&mut self, id: CommandId) {
        self.undecided.insert(id);
    }

    pub(crate) const fn stored(&mut self) {
        self.storing = None;
        if let Some((_, after_store)) = &mut self.loading {
            *after_store = false;
        }
    }

    pub(crate) fn loaded(&mut self) {
        if let Some((_, true)) = self.loading.take() {
            self.breaks(
                Rule::Store,
                "handle_stored is called before handle_store_result reports the Output::Store that came before the \
                 Output::Load: read the store after the write"
                    .into(),
            );
        }
    }

    pub(crate) fn shut_down(&mut self) {
        self.ended = true;
    }

    pub(crate) fn asks_body(&mut self, id: HttpId) {
        let Some(request) = self.http.get(&id) else { return };
        // A connection that was kept open from an earlier request may serve at once.
        if self.fresh.contains(&id) && !self.reached.contains(&request.host) {
            let what =
                format!("the body of {} is asked for before a connection to the host is open", request.name);
            self.breaks(Rule::DeferredBody, what);
        }
    }

    pub(crate) fn has_body(&mut self, id: HttpId, body: bool) {
        if !body {
            // Withdrawn: nothing is reported.
            self.http.remove(&id);
        } else if let Some(request) = self.http.get_mut(&id) {
            request.has_body = true;
        }
    }

    pub(crate) fn answered(&mut self, id: HttpId, result: &HttpResult<'_>) {
        let Some(request) = self.http.remove(&id) else {
            if !self.ended {
                self.breaks(
                    Rule::Report,
                    "handle_http reports a request that has no result to report: it was reported before, or withdrawn by \
                     deferred_body"
                        .into(),
                );
            }
            return;
        };
        match result {
            HttpResult::Answer(_) => {
                self.reached.insert(request.host);
            }
            HttpResult::Failed(HttpFailure::Unreachable | HttpFailure::Tls) if request.sent > 0 => self
                .breaks(
                    Rule::Report,
                    format!("{} is reported as not sent, but a server has received it", request.name),
                ),
            _ => {}
        }
    }

    /// Notes the failure of a request whose deferred body the driver had already.
    pub(crate) fn failed_to_connect(&mut self, id: HttpId, result: &HttpResult<'_>, deferred: bool) {
        if !deferred || !matches!(result, HttpResult::Failed(HttpFailure::Unreachable | HttpFailure::Tls)) {
            return;
        }
        if let Some(request) = self.http.get(&id).filter(|request| request.has_body) {
            let what = format!(
                "{} failed to connect, but its body had been asked for: ask once the TLS connection is open",
                request.name
            );
            self.breaks(Rule::DeferredBody, what);
        }
    }

    pub(crate) fn opened(&mut self, conn: ConnId) {
        match self.conns.get_mut(&conn) {
            Some(connection) if connection.state == State::Dialling => {
                connection.state = State::Open;
                connection.act_by = None;
            }
            Some(connection) if connection.state == State::Open => {
                self.breaks(Rule::Report, format!("{conn} is reported as opened twice"));
            }
            // It was closed, aborted or lost meanwhile.
            _ => {}
        }
    }

    pub(crate) fn lost(&mut self, conn: ConnId) {
        if let Some(connection) = self.conns.get_mut(&conn)
            && matches!(connection.state, State::Dialling | State::Open)
        {
            connection.state = State::Ended;
        }
    }

    pub(crate) fn received(&mut self, conn: ConnId, mut bytes: &[u8]) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let mut wrong = None;
        match connection.state {
            State::Dialling => wrong = Some("arrive before it is reported as opened"),
            State::Open if !connection.given => wrong = Some("arrive before CONNECT was taken"),
            State::Open if connection.expected.is_some() => {
                let expected = connection.expected.get_or_insert_default();
                let count = bytes.len().min(expected.len());
                if count < bytes.len() || !expected.drain(..count).eq(bytes.iter().copied()) {
                    wrong = Some("are not those that the server has sent on it, in order");
                }
            }
            State::Open => {
                while wrong.is_none() && !bytes.is_empty() {
                    match connection.incoming.next(&mut bytes) {
                        Ok(Some(Inbound::ConnAck(_))) if !connection.accepted => connection.accepted = true,
                        Ok(Some(Inbound::ConnAck(_))) => wrong = Some("contain a second CONNACK"),
                        Ok(Some(_)) if !connection.accepted => wrong = Some("do not begin with CONNACK"),
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => wrong = Some("are not MQTT"),
                    }
                }
            }
            // The session ignores them.
            State::Closing | State::Aborted(_) | State::Ended => {}
        }
        if let Some(wrong) = wrong {
            self.breaks(
                Rule::Connection,
                format!("bytes for {conn} {wrong}: they belong to another connection, or bytes are missing before them"),
            );
        }
    }

    fn by_target(&mut self, target: &str) -> Option<(ConnId, &mut Connection)> {
        let found = self.conns.iter_mut().filter(|(_, connection)| connection.target == target);
        found.map(|(conn, connection)| (*conn, connection)).next_back()
    }

    pub(crate) fn peer_upgrade(&mut self, target: &str) {
        self.peers = true;
        if let Some((_, connection)) = self.by_target(target) {
            connection.peer = true;
        }
    }

    pub(crate) fn peer_sent(&mut self, target: &str, bytes: &[u8]) {
        if let Some((_, connection)) = self.by_target(target) {
            connection.expected.get_or_insert_default().extend(bytes);
        }
    }

    pub(crate) fn peer_received(&mut self, target: &str, bytes: &[u8]) {
        let (now, lateness) = ((self.reference)(), self.lateness);
        let Some((conn, connection)) = self.by_target(target) else { return };
        if let State::Aborted(at) = connection.state
            && now > at + lateness
        {
            self.breaks(Rule::Abort, format!("{} bytes are sent on {conn} after Output::Abort", bytes.len()));
            return;
        }
        let mut given = connection.outgoing.iter();
        if bytes.iter().any(|byte| given.next() != Some(byte)) {
            connection.outgoing.clear();
            self.breaks(
                Rule::Output,
                format!(
                    "the bytes that the server receives on {conn} are not those of Output::Send, in order"
                ),
            );
            return;
        }
        connection.outgoing.drain(..bytes.len());
    }

    pub(crate) fn peer_closed(&mut self, target: &str) {
        let Some((conn, connection)) = self.by_target(target) else { return };
        let (state, missing) = (connection.state, connection.outgoing.len());
        connection.state = State::Ended;
        connection.act_by = None;
        if state == State::Closing && missing > 0 {
            let what = format!("{conn} is closed before the last {missing} bytes of Output::Send are sent");
            self.breaks(Rule::Output, what);
        }
    }

    pub(crate) fn peer_request(&mut self, method: &str, url: &str) {
        let wanted = name(method, url);
        let (now, lateness) = ((self.reference)(), self.lateness);
        // Several requests may have the same name, such as those of a sign-in.
        let found = self.http.values_mut().filter(|request| request.name == wanted && request.has_body);
        match found.min_by_key(|request| request.sent) {
            Some(Request { aborted: Some(at), .. }) if now > *at + lateness => {
                self.breaks(Rule::Abort, format!("{wanted} is sent after Output::AbortHttp"));
            }
            Some(request) if request.sent == 0 => request.sent = 1,
            Some(_) => self.breaks(Rule::Redirect, format!("{wanted} is sent twice")),
            None => self.breaks(
                Rule::Redirect,
                format!(
                    "{wanted} is sent, which the session did not give; report redirects, do not follow them"
                ),
            ),
        }
    }

    /// Notes that the driver has dropped the session.
    pub(crate) fn dropped(&mut self) {
        if !self.undecided.is_empty() {
            let what = format!(
                "the session is dropped with {} undecided commands; call shutdown and take its output",
                self.undecided.len()
            );
            self.breaks(Rule::Shutdown, what);
        }
    }
}
