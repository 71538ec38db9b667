//! A thousand sessions in one process, each with its own account, four thermostats and an MQTT connection, against the
//! simulated cloud in memory and in virtual time. Prints the memory and CPU time per session.
//!
//! `fleet [SESSIONS] [MINUTES]`

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mysa_examples::Error;
use mysa_proto::{DeviceId, UnixTime};
use mysa_session::{
    ConnId, Dial, Environment, Event, HttpAnswer, HttpFailure, HttpId, HttpRequest, HttpResult, Level, Now,
    Output, Session, Settings, Start, StoreResult,
};
use mysa_sim::{AccountSpec, Cloud, CloudSpec, DeviceSpec, HomeSpec, HttpReply, Upgrade};
use rustix::time::{ClockId, clock_gettime};

const THERMOSTATS: usize = 4;
const BIRTH: UnixTime = UnixTime::from_secs(1_767_323_045);

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let mut number = |preset| {
        let arg = args.next().map(|arg| arg.parse::<u32>().ok().filter(|number| *number > 0));
        arg.unwrap_or(Some(preset)).ok_or("expected a number of sessions and a number of minutes, or neither")
    };
    let (sessions, minutes) = (number(1_000)? as usize, u64::from(number(10)?));
    let mut fleet = Fleet::new(sessions)?;

    fleet.run_until(Duration::from_secs(60));
    let live = fleet.members.iter().filter(|member| member.session.service().level == Level::Live).count();
    let start = std::mem::take(&mut fleet.meter);
    fleet.run_until(Duration::from_secs(60 * (1 + minutes)));
    let meter = std::mem::take(&mut fleet.meter);
    let known = |session: &Session| session.devices().all(|device| device.state().temperature().is_some());
    let knowing = fleet.members.iter().filter(|member| known(&member.session)).count();

    let count = sessions as f64;
    let members = std::mem::take(&mut fleet.members);
    // The memory freed by dropping the sessions is the memory they held.
    let held = -allocation_counter::measure(|| drop(members)).bytes_current;
    println!(
        "{sessions} sessions of {THERMOSTATS} thermostats: {live} live after a minute, {knowing} know all temperatures"
    );
    println!("memory: {:.1} KiB per session", held as f64 / 1024.0 / count);
    println!(
        "CPU: {:.2} ms per session to sign in, list, connect and subscribe",
        start.cpu.as_secs_f64() * 1e3 / count
    );
    println!(
        "CPU: {:.2} ms per session and hour afterwards ({:.0} events; {:.1} µs per call, {} calls in {minutes} min)",
        meter.cpu.as_secs_f64() * 1e3 / count * 60.0 / minutes as f64,
        meter.events as f64 / count * 60.0 / minutes as f64,
        meter.cpu.as_secs_f64() * 1e6 / meter.calls as f64,
        meter.calls,
    );
    if live == sessions && knowing == sessions { Ok(()) } else { Err("not all are live".into()) }
}

struct Member {
    session: Session,
    due: Option<Duration>,
}

/// CPU time and calls of the sessions alone.
#[derive(Default)]
struct Meter {
    cpu: Duration,
    calls: u64,
    events: u64,
}

enum Arrival {
    Answer(HttpId, Result<HttpReply, HttpFailure>),
    Opened(ConnId),
    Refused(ConnId, u16),
    Bytes(ConnId, Vec<u8>),
    Closed(ConnId),
}

struct Fleet {
    members: Vec<Member>,
    cloud: Cloud,
    now: Duration,
    /// Deadlines of the sessions.
    due: BTreeSet<(Duration, usize)>,
    /// Answers that the cloud delays.
    later: BTreeMap<(Duration, u64), (usize, Arrival)>,
    soon: VecDeque<(usize, Arrival)>,
    /// Connections by the cloud's connection number.
    links: BTreeMap<u64, (usize, ConnId)>,
    numbers: BTreeMap<(usize, ConnId), u64>,
    last: u64,
    meter: Meter,
}

impl Fleet {
    fn new(sessions: usize) -> Result<Self, Error> {
        let mut spec = CloudSpec::default();
        // These accounts all sign in within a second, which the usual rate limit would prevent.
        spec.rules.sign_in_rate = u32::MAX;
        for one in 0..sessions {
            let devices = (0..THERMOSTATS).filter_map(|at| {
                let id = DeviceId::new(&format!("a0{:010x}", one * THERMOSTATS + at))?;
                Some(DeviceSpec::new(id, "BB-V2-0", &format!("Room {at}")))
            });
            let mut account = AccountSpec::new(&format!("user{one}@example.com"), "Correct-Horse-1");
            account.user_id = format!("11111111-1111-4111-8111-{one:012}");
            let mut home = HomeSpec::new("Home");
            home.devices = devices.collect();
            account.homes = vec![home];
            spec.accounts.push(account);
        }
        let cloud_now = mysa_sim::Now { mono: Duration::ZERO, wall: BIRTH };
        let mut fleet = Self {
            members: Vec::new(),
            cloud: Cloud::new(spec, 1, cloud_now),
            now: Duration::ZERO,
            due: BTreeSet::new(),
            later: BTreeMap::new(),
            soon: VecDeque::new(),
            links: BTreeMap::new(),
            numbers: BTreeMap::new(),
            last: 0,
            meter: Meter::default(),
        };
        let environment = Arc::new(Environment::mysa());
        for one in 0..sessions {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(one as u64 + 1).to_le_bytes());
            let start = Start::Password {
                username: format!("user{one}@example.com"),
                password: "Correct-Horse-1".into(),
            };
            let environment = Arc::clone(&environment);
            let session = Session::new(Settings::default(), environment, start, seed, fleet.clock());
            fleet.members.push(Member { session, due: None });
            fleet.call(one, |_, _| {});
        }
        Ok(fleet)
    }

    fn wall(&self) -> UnixTime {
        BIRTH.plus_millis(self.now.as_millis().try_into().unwrap_or(i64::MAX))
    }

    fn clock(&self) -> Now {
        Now { mono: self.now, wall: self.wall() }
    }

    fn cloud_clock(&self) -> mysa_sim::Now {
        mysa_sim::Now { mono: self.now, wall: self.wall() }
    }

    fn run_until(&mut self, end: Duration) {
        loop {
            while let Some((one, arrival)) = self.soon.pop_front() {
                self.call(one, |session, now| give(session, now, arrival));
            }
            let session_due = self.due.first().map(|(at, _)| *at);
            let later = self.later.first_key_value().map(|((at, _), _)| *at);
            let next =
                [session_due, later, self.cloud.poll_timeout()].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= self.now) {
                self.soon.push_back(entry.remove());
            }
            while let Some((at, one)) = self.due.first().copied().filter(|(at, _)| *at <= self.now) {
                self.due.remove(&(at, one));
                self.members[one].due = None;
                self.call(one, |session, now| session.handle_timeout(now));
            }
            if self.cloud.poll_timeout().is_some_and(|at| at <= self.now) {
                self.cloud.handle_timeout(self.cloud_clock());
            }
            self.collect();
        }
    }

    /// Calls a session once and carries out what follows; the time of the call is measured.
    fn call(&mut self, one: usize, input: impl FnOnce(&mut Session, Now)) {
        let now = self.clock();
        let member = &mut self.members[one];
        let mut outputs = Vec::new();
        let begin = clock_gettime(ClockId::ThreadCPUTime);
        input(&mut member.session, now);
        while let Some(output) = member.session.poll_output() {
            match output {
                // Nothing is stored: the fleet lives in one process.
                Output::Load => member.session.handle_stored(now, None),
                Output::Store(_) => member.session.handle_store_result(now, StoreResult::Stored),
                output => outputs.push(output),
            }
        }
        let due = member.session.poll_timeout().map(|deadline| deadline.at);
        let end = clock_gettime(ClockId::ThreadCPUTime);
        let nanos = (end.tv_sec - begin.tv_sec) * 1_000_000_000 + (end.tv_nsec - begin.tv_nsec);
        self.meter.cpu += Duration::from_nanos(nanos.try_into().unwrap_or(0));
        self.meter.calls += 1;
        // Each session has at most one entry among the deadlines.
        if let Some(before) = std::mem::replace(&mut member.due, due) {
            self.due.remove(&(before, one));
        }
        self.due.extend(due.map(|at| (at, one)));
        for output in outputs {
            self.carry_out(one, output);
        }
        self.collect();
    }

    fn carry_out(&mut self, one: usize, output: Output) {
        match output {
            Output::Http(request) => self.http(one, &request),
            Output::Dial(dial) => self.dial(one, &dial),
            Output::Send { conn, bytes } => {
                if let Some(number) = self.numbers.get(&(one, conn)) {
                    self.cloud.handle_ws_bytes(self.cloud_clock(), *number, &bytes);
                }
            }
            Output::Close { conn } | Output::Abort { conn } => {
                if let Some(number) = self.numbers.remove(&(one, conn)) {
                    self.links.remove(&number);
                    self.cloud.handle_ws_closed(self.cloud_clock(), number);
                }
            }
            Output::Event(Event::Device { .. }) => self.meter.events += 1,
            // No member sends a command.
            Output::AbortHttp { .. } => {}
            Output::Store(_) | Output::Forget | Output::Load | Output::Event(_) => {}
        }
    }

    fn http(&mut self, one: usize, request: &HttpRequest) {
        let rest = request.url.trim_start_matches("https://");
        let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let body = request.body.ready().unwrap_or_default().as_bytes();
        let request_view =
            mysa_sim::HttpRequest { host, method: request.method, path, query, headers: &headers, body };
        let (delay, result) = match self.cloud.handle_http(self.cloud_clock(), &request_view) {
            mysa_sim::HttpAnswer::Reply(reply) => (reply.delay, Ok(reply)),
            mysa_sim::HttpAnswer::Reset => (Duration::ZERO, Err(HttpFailure::Broken)),
            _ => (request.timeout, Err(HttpFailure::Timeout)),
        };
        self.last += 1;
        self.later.insert((self.now + delay, self.last), (one, Arrival::Answer(request.id, result)));
    }

    fn dial(&mut self, one: usize, dial: &Dial) {
        let (path, query) = dial.url.target().split_once('?').unwrap_or_default();
        let host = dial.authority.host_header();
        let headers = [
            ("host", host),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", dial.subprotocol),
        ];
        let request =
            mysa_sim::HttpRequest { host, method: "GET", path, query, headers: &headers, body: b"" };
        self.last += 1;
        let number = self.last;
        let arrival = match self.cloud.handle_upgrade(self.cloud_clock(), number, &request) {
            Upgrade::Accept => {
                self.links.insert(number, (one, dial.conn));
                self.numbers.insert((one, dial.conn), number);
                Arrival::Opened(dial.conn)
            }
            Upgrade::Refuse(reply) => Arrival::Refused(dial.conn, reply.status),
            _ => return,
        };
        self.soon.push_back((one, arrival));
    }

    fn collect(&mut self) {
        while let Some(output) = self.cloud.poll_output() {
            match output {
                mysa_sim::Output::Send { conn, bytes } => {
                    if let Some(&(one, conn)) = self.links.get(&conn) {
                        self.soon.push_back((one, Arrival::Bytes(conn, bytes)));
                    }
                }
                mysa_sim::Output::Close { conn, .. } => {
                    if let Some((one, conn)) = self.links.remove(&conn) {
                        self.numbers.remove(&(one, conn));
                        self.soon.push_back((one, Arrival::Closed(conn)));
                    }
                }
            }
        }
    }
}

fn give(session: &mut Session, now: Now, arrival: Arrival) {
    match arrival {
        Arrival::Answer(id, Ok(reply)) => {
            let answer = HttpAnswer {
                status: reply.status,
                date: reply.header("date"),
                age: reply.header("age"),
                retry_after: reply.header("retry-after"),
                location: reply.header("location"),
                body: &reply.body,
            };
            session.handle_http(now, id, HttpResult::Answer(answer));
        }
        Arrival::Answer(id, Err(failure)) => session.handle_http(now, id, HttpResult::Failed(failure)),
        Arrival::Opened(conn) => session.handle_ws_opened(now, conn),
        Arrival::Refused(conn, status) => session.handle_ws_refused(now, conn, Some(status), None),
        Arrival::Bytes(conn, bytes) => session.handle_ws_bytes(now, conn, &bytes),
        Arrival::Closed(conn) => session.handle_ws_closed(now, conn),
    }
}
