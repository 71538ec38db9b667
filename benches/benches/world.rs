//! Cost of a session: a simulated day of a home with its cloud, memory, and a hundred thousand sessions in one process.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mysa_cognito::StoredSession;
use mysa_proto::{DeviceId, UnixTime};
use mysa_session::{
    ConnId, Environment, HttpAnswer, HttpRequest, HttpResult, Level, Now, Output, Session, Settings, Start,
};
use mysa_sim::{AccountSpec, CloudSpec, DeviceSpec, HomeSpec, HttpReply};
use mysa_testkit::{BrokerBehavior, BrokerConnection, V2Status, publish};
use mysa_world::{NetSpec, World};

const DAY: Duration = Duration::from_secs(86_400);
const MIB: f64 = 1_048_576.0;

fn main() {
    day();
    memory();
    crowd();
}

/// Times a day of the demo home with every invariant checked.
fn day() {
    println!("\n## A home of 5 thermostats and its cloud, one day\n");
    println!(
        "| | seconds of one core | times real time | steps | digest |\n| --- | ---: | ---: | ---: | --- |"
    );
    let mut runs: Vec<(Duration, String)> = (0..7).map(|_| one_day()).collect();
    runs.sort();
    let (median, row) = &runs[runs.len() / 2];
    let times = DAY.as_secs_f64() / median.as_secs_f64();
    println!("| World, median of {} | {:.3} | {times:.0} | {row} |", runs.len(), median.as_secs_f64());
}

fn one_day() -> (Duration, String) {
    let mut world =
        World::new(CloudSpec::demo(), NetSpec::default(), Settings::default(), 1).without_events();
    let (took, run) = timed(|| world.run_for(DAY));
    run.unwrap();
    assert_eq!(world.session.service().level, Level::Live);
    (took, format!("{} | {}", world.steps(), world.digest()))
}

/// Measures the bytes that one live session holds, by its number of thermostats.
fn memory() {
    println!("\n## Memory of a live session\n");
    println!(
        "| thermostats | bytes | tokens included | target | used |\n| ---: | ---: | ---: | ---: | ---: |"
    );
    let mut points = Vec::new();
    for count in [1, 5, 50, 200] {
        let mut crowd = Crowd::new(count);
        crowd.add(1, Duration::from_secs(1_800));
        crowd.statuses();
        let tokens = crowd.tokens();
        let bytes = crowd.drop_sessions();
        let target = 8 * 1_024 + count * 1_024;
        println!("| {count} | {bytes} | {tokens} | {target} | {:.0} % |", percent(bytes, target));
        points.push((count as f64, bytes as f64));
    }
    let (base, slope) = line(&points);
    println!("\nLinear fit: {base:.0} bytes + {slope:.0} for each thermostat.");
}

/// Times a hundred thousand live sessions of 5 thermostats: two statuses from each thermostat, then five minutes of
/// timers.
fn crowd() {
    const SESSIONS: usize = 100_000;
    const TIMERS: Duration = Duration::from_secs(300);
    let mut crowd = Crowd::new(5);
    let resident = resident();
    let (came_up, _) = timed(|| crowd.add(SESSIONS, Duration::from_secs(30)));
    let live = crowd.sessions.iter().filter(|session| session.service().level == Level::Live).count();
    assert_eq!(live, SESSIONS, "every session is live");
    crowd.statuses();
    let (elapsed, (statuses, events)) = timed(|| crowd.statuses());
    assert_eq!(events, statuses, "every status is an event");
    let calls = crowd.calls;
    let (idled, ()) = timed(|| crowd.run(TIMERS));
    let calls = crowd.calls - calls;
    let resident = self::resident() - resident;
    let bytes = crowd.drop_sessions();

    println!("\n## {SESSIONS} sessions of 5 thermostats in one process, one thread\n\n| | |\n| --- | ---: |");
    println!("| start of a session | {:.1} us |", came_up.as_secs_f64() * 1e6 / SESSIONS as f64);
    println!("| a status and its event | {:.0} ns |", elapsed.as_secs_f64() * 1e9 / statuses as f64);
    println!(
        "| a timer, with its requests and their answers | {:.0} ns |",
        idled.as_secs_f64() * 1e9 / calls as f64
    );
    println!("| timers of five minutes, all sessions | {:.2} s for {calls} calls |", idled.as_secs_f64());
    println!(
        "| timers of five minutes, share of one core | {:.2} % |",
        100.0 * idled.as_secs_f64() / TIMERS.as_secs_f64()
    );
    println!("| memory of the sessions | {:.0} MiB |", bytes as f64 / MIB);
    println!("| memory of one session | {} bytes |", bytes / SESSIONS);
    println!("| growth of the resident set | {:.0} MiB |", resident as f64 / MIB);
}

/// Sessions of one account on one virtual clock. The simulated cloud answers each of their HTTP requests once for all
/// of them; the broker grants everything at once.
struct Crowd {
    sessions: Vec<Session>,
    connections: Vec<Option<ConnId>>,
    timers: BinaryHeap<Reverse<(Duration, usize)>>,
    stored: StoredSession,
    cloud: Cloud,
    devices: Vec<DeviceId>,
    mono: Duration,
    birth: UnixTime,
    calls: usize,
    rounds: i64,
}

struct Cloud {
    core: mysa_sim::Cloud,
    /// Earlier answers and the times at which they were given.
    given: BTreeMap<String, (Duration, HttpReply)>,
}

impl Crowd {
    /// Runs through a sign-in to obtain the refresh token of the account.
    fn new(devices: usize) -> Self {
        let mut account = AccountSpec::new(CloudSpec::DEMO_EMAIL, CloudSpec::DEMO_PASSWORD);
        let mut home = HomeSpec::new("Home");
        let ids = (0..devices).map(|n| DeviceId::new(&format!("a0b1c2d3{n:04x}")).unwrap());
        let devices: Vec<DeviceId> = ids.collect();
        for id in &devices {
            home.devices.push(DeviceSpec::new(*id, "BB-V2-0-L", "Living room"));
        }
        account.homes.push(home);
        let mut spec = CloudSpec::demo();
        spec.accounts = vec![account];
        let mut world = World::new(spec, NetSpec::default(), Settings::default(), 1);
        world.run_for(Duration::from_secs(20)).unwrap();
        Self {
            sessions: Vec::new(),
            connections: Vec::new(),
            timers: BinaryHeap::new(),
            stored: world.stored().unwrap().clone(),
            devices,
            mono: world.now(),
            birth: world.wall().plus_millis(-millis(world.now())),
            cloud: Cloud { core: world.cloud, given: BTreeMap::new() },
            calls: 0,
            rounds: 0,
        }
    }

    fn now(&self) -> Now {
        Now { mono: self.mono, wall: self.birth.plus_millis(millis(self.mono)) }
    }

    /// Starts sessions at 10,000 per second and lets them connect.
    fn add(&mut self, count: usize, time: Duration) {
        self.sessions.reserve_exact(count);
        for number in 0..count {
            let start = Start::Resume { stored: self.stored.clone(), password: None };
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let session = Session::new(Settings::default(), Environment::mysa(), start, seed, self.now());
            self.sessions.push(session);
            self.connections.push(None);
            self.settle(number);
            if number % 10_000 == 9_999 {
                self.run(Duration::from_secs(1));
            }
        }
        self.run(time);
    }

    /// Advances time and calls every timer of every session in order.
    fn run(&mut self, time: Duration) {
        let end = self.mono + time;
        while let Some(&Reverse((at, number))) = self.timers.peek().filter(|next| next.0.0 <= end) {
            self.timers.pop();
            let due = self.sessions[number].poll_timeout().map(|deadline| deadline.at);
            if due.is_some_and(|due| due <= at) {
                self.mono = self.mono.max(at);
                self.calls += 1;
                let now = self.now();
                self.sessions[number].handle_timeout(now);
            }
            self.settle(number);
        }
        self.mono = end;
    }

    /// Executes the outputs of a session and answers them at once.
    fn settle(&mut self, number: usize) {
        let now = self.now();
        let session = &mut self.sessions[number];
        while let Some(output) = session.poll_output() {
            match output {
                Output::Http(request) => {
                    let reply = self.cloud.ask(now, &request);
                    let answer = HttpAnswer {
                        status: reply.status,
                        date: reply.header("date"),
                        age: reply.header("age"),
                        retry_after: None,
                        location: None,
                        body: &reply.body,
                    };
                    session.handle_http(now, request.id, HttpResult::Answer(answer));
                }
                Output::Dial(dial) => {
                    self.connections[number] = Some(dial.conn);
                    session.handle_ws_opened(now, dial.conn);
                }
                Output::Send { conn, bytes } => {
                    // A new broker for each frame, which holds whole packets; 100,000 broker connections would distort
                    // the measurement.
                    let exchange = BrokerConnection::new().receive(&BrokerBehavior::default(), &bytes);
                    session.handle_ws_bytes(now, conn, &exchange.reply);
                }
                _ => {}
            }
        }
        if let Some(deadline) = session.poll_timeout() {
            self.timers.push(Reverse((deadline.at, number)));
        }
    }

    /// Sends one status of every thermostat to every session. Returns the number of statuses and of the resulting
    /// events.
    fn statuses(&mut self) -> (usize, usize) {
        self.rounds += 1;
        self.mono += Duration::from_secs(1);
        let now = self.now();
        let packets: Vec<Vec<u8>> =
            self.devices.iter().map(|id| status(*id, now.wall, self.rounds)).collect();
        let mut events = 0;
        for (session, connection) in self.sessions.iter_mut().zip(&self.connections) {
            let connection = connection.unwrap();
            for packet in &packets {
                session.handle_ws_bytes(now, connection, black_box(packet));
                while let Some(output) = session.poll_output() {
                    events += usize::from(matches!(output, Output::Event(_)));
                }
            }
        }
        (packets.len() * self.sessions.len(), events)
    }

    /// Bytes of the tokens and credentials in the cloud's answers, which every session has to keep.
    fn tokens(&self) -> usize {
        let refresh = self.stored.refresh_token.as_ref().map_or(0, |token| token.expose().len());
        let mut bytes = refresh;
        for (_, reply) in self.cloud.given.values() {
            let text = str::from_utf8(&reply.body).unwrap();
            for name in ["\"IdToken\":\"", "\"AccessToken\":\"", "\"SessionToken\":\""] {
                let value = text.split_once(name).and_then(|(_, rest)| rest.split_once('"'));
                bytes += value.map_or(0, |(value, _)| value.len());
            }
        }
        bytes
    }

    /// Drops all sessions and returns the bytes they held, including their own size.
    fn drop_sessions(&mut self) -> usize {
        let sessions: Vec<Session> = std::mem::take(&mut self.sessions);
        let freed = allocation_counter::measure(|| drop(sessions));
        usize::try_from(-freed.bytes_current).unwrap()
    }
}

impl Cloud {
    /// Returns the answer from memory if the same request was answered within the last ten minutes.
    fn ask(&mut self, now: Now, request: &HttpRequest) -> &HttpReply {
        let kind = request.headers.iter().find(|(name, _)| *name == "x-amz-target");
        let key = format!("{} {:?}", request.url, kind.map(|(_, value)| value));
        let fresh = |at: Duration| now.mono < at + Duration::from_secs(600);
        if !self.given.get(&key).is_some_and(|(at, _)| fresh(*at)) {
            let reply = self.fetch(now, request);
            self.given.insert(key.clone(), (now.mono, reply));
        }
        &self.given[&key].1
    }

    fn fetch(&mut self, now: Now, request: &HttpRequest) -> HttpReply {
        let (host, path) = request.url.trim_start_matches("https://").split_once('/').unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let view = mysa_sim::HttpRequest {
            host,
            method: request.method,
            path: &format!("/{path}"),
            query,
            headers: &headers,
            body: request.body.ready().unwrap_or_default().as_bytes(),
        };
        let now = mysa_sim::Now { mono: now.mono, wall: now.wall };
        match self.core.handle_http(now, &view) {
            mysa_sim::HttpAnswer::Reply(reply) if reply.status == 200 => reply,
            other => panic!("{}: {other:?}", request.url),
        }
    }
}

/// A V2 status as it arrives on the wire.
fn status(id: DeviceId, time: UnixTime, round: i64) -> Vec<u8> {
    let (time, tenth) = (time.as_secs(), round % 10);
    let (id, device) = (time * 10 + tenth, id.to_string());
    let part = |whole: i64| (whole + tenth) as f64;
    let status = V2Status {
        id,
        temperature: part(190) / 10.0,
        humidity: part(410) / 10.0,
        setpoint: 20.5,
        duty_cycle: part(40) / 100.0,
        ..V2Status::new(&device, time)
    };
    publish(&format!("/v1/dev/{device}/out"), status.to_string().as_bytes())
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = spent();
    let result = work();
    (spent() - start, result)
}

/// CPU time of this thread, which excludes the time of other processes; wall time where Linux does not report it.
fn spent() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// Bytes of this process in physical memory; 0 without `/proc`.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4_096
}

/// Least-squares line through the points: its intercept and slope.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (x / count, y / count);
    let rise: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let run: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (y - rise / run * x, rise / run)
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap()
}
