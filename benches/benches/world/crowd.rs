use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use mysa_cognito::StoredSession;
use mysa_proto::{DeviceId, UnixTime};
use mysa_session::{
    ConnId, Environment, HttpAnswer, HttpRequest, HttpResult, Now, Output, Session, Settings, Start,
};
use mysa_sim::{AccountSpec, CloudSpec, DeviceSpec, HomeSpec, HttpReply};
use mysa_testkit::{BrokerBehavior, BrokerConnection, V2Status, publish};
use mysa_world::{NetSpec, World};

use crate::load::GROUP;

/// Sessions of one account on one virtual clock. The simulated cloud answers each of their HTTP requests once for all
/// of them; the broker grants everything at once.
pub(crate) struct Crowd {
    pub(crate) clients: Vec<Client>,
    timers: Timers,
    stored: StoredSession,
    environment: Arc<Environment>,
    cloud: Cloud,
    pub(crate) devices: Vec<DeviceId>,
    pub(crate) mono: Duration,
    birth: UnixTime,
    pub(crate) calls: usize,
    rounds: i64,
}

/// Session, and what its driver keeps for it.
#[repr(C)]
pub(crate) struct Client {
    /// Its earliest timer in [`Timers`].
    due: Duration,
    pub(crate) connection: Option<ConnId>,
    pub(crate) session: Session,
}

/// Timer wheel, with the number of a client in the slot of each timer. A heap would cost more cache misses than a session.
struct Timers {
    slots: Vec<Vec<u32>>,
    /// Number of slots that have passed.
    passed: usize,
}

impl Timers {
    const RESOLUTION: Duration = Duration::from_millis(10);
    /// 22 minutes. A later timer fires in the last slot, is not due yet, and is set again.
    const SLOTS: usize = 1 << 17;

    fn new(now: Duration) -> Self {
        let slots = std::iter::repeat_with(Vec::new).take(Self::SLOTS).collect();
        Self { slots, passed: Self::slot(now) }
    }

    /// Number of the slot in whose time all timers of `time` are due.
    fn slot(time: Duration) -> usize {
        usize::try_from(time.as_nanos().div_ceil(Self::RESOLUTION.as_nanos())).unwrap()
    }

    fn time(slot: usize) -> Duration {
        Self::RESOLUTION * u32::try_from(slot).unwrap()
    }

    /// Sets a timer, and returns its time.
    fn set(&mut self, at: Duration, number: usize) -> Duration {
        let last = self.passed + Self::SLOTS - 1;
        let slot = Self::slot(at).clamp(self.passed, last);
        self.slots[slot % Self::SLOTS].push(number as u32);
        at.min(Self::time(last))
    }

    /// Takes the clients with a timer in the first slot that has not passed.
    fn take(&mut self, numbers: &mut Vec<u32>) {
        numbers.clear();
        std::mem::swap(numbers, &mut self.slots[self.passed % Self::SLOTS]);
    }

    /// Returns `true` if no timer is left in that slot.
    fn is_over(&self) -> bool {
        self.slots[self.passed % Self::SLOTS].is_empty()
    }
}

struct Cloud {
    core: mysa_sim::Cloud,
    /// Earlier answers and the times at which they were given.
    given: BTreeMap<String, (Duration, HttpReply)>,
}

impl Crowd {
    /// Runs through a sign-in to obtain the refresh token of the account.
    pub(crate) fn new(devices: usize) -> Self {
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
            clients: Vec::new(),
            timers: Timers::new(world.now()),
            stored: world.stored().unwrap().clone(),
            environment: Environment::mysa().into(),
            devices,
            mono: world.now(),
            birth: world.wall().plus_millis(-millis(world.now())),
            cloud: Cloud { core: world.cloud, given: BTreeMap::new() },
            calls: 0,
            rounds: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: self.mono, wall: self.birth.plus_millis(millis(self.mono)) }
    }

    /// Starts sessions at 10,000 per second and lets them connect.
    pub(crate) fn add(&mut self, count: usize, time: Duration) {
        self.clients.reserve_exact(count);
        for number in 0..count {
            self.start();
            if number % 10_000 == 9_999 {
                self.run(Duration::from_secs(1));
            }
        }
        self.run(time);
    }

    /// Starts one session.
    pub(crate) fn start(&mut self) {
        let number = self.clients.len();
        let start = Start::Resume { stored: self.stored.clone(), password: None };
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let session =
            Session::new(Settings::default(), Arc::clone(&self.environment), start, seed, self.now());
        self.clients.push(Client { due: Duration::MAX, connection: None, session });
        self.settle(number);
    }

    /// Advances time and calls every timer of every session in order.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.mono + time;
        let mut numbers = Vec::new();
        while Timers::time(self.timers.passed) <= end {
            self.mono = self.mono.max(Timers::time(self.timers.passed));
            let now = self.now();
            // A timer may set another in the same slot.
            while !self.timers.is_over() {
                self.timers.take(&mut numbers);
                for (at, &number) in numbers.iter().enumerate() {
                    if at % GROUP == 0 {
                        self.prefetch(numbers[at..].iter().take(GROUP).map(|&number| number as usize));
                    }
                    let number = number as usize;
                    let client = &mut self.clients[number];
                    // An earlier timer may have replaced this one.
                    if client.due > self.mono {
                        continue;
                    }
                    client.due = Duration::MAX;
                    if client.session.poll_timeout().is_some_and(|deadline| deadline.at <= self.mono) {
                        self.calls += 1;
                        client.session.handle_timeout(now);
                    }
                    self.settle(number);
                }
            }
            self.timers.passed += 1;
        }
        self.mono = end;
    }

    /// Fetches what some sessions need first into the processor's caches.
    pub(crate) fn prefetch(&self, numbers: impl Iterator<Item = usize>) {
        for number in numbers {
            let client = &self.clients[number];
            black_box(client.connection);
            client.session.prefetch();
        }
    }

    /// Executes the outputs of a session and answers them at once.
    fn settle(&mut self, number: usize) {
        let now = self.now();
        let Client { session, connection, .. } = &mut self.clients[number];
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
                    *connection = Some(dial.conn);
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
        self.set_timer(number);
    }

    fn set_timer(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if let Some(deadline) = client.session.poll_timeout()
            && deadline.at < client.due
        {
            client.due = self.timers.set(deadline.at, number);
        }
    }

    /// Sends a packet to one session. Returns the number of events.
    pub(crate) fn deliver(&mut self, number: usize, packet: &[u8]) -> usize {
        let now = self.now();
        let Client { session, connection, .. } = &mut self.clients[number];
        let conn = connection.unwrap();
        session.handle_ws_bytes(now, conn, black_box(packet));
        let mut events = 0;
        while let Some(output) = session.poll_output() {
            match output {
                Output::Event(_) => events += 1,
                other => panic!("{other:?}"),
            }
        }
        self.set_timer(number);
        events
    }

    /// Sends one status of every thermostat to every session. Returns the number of statuses and of the resulting
    /// events.
    pub(crate) fn statuses(&mut self) -> (usize, usize) {
        self.rounds += 1;
        self.mono += Duration::from_secs(1);
        let now = self.now();
        let packets: Vec<Vec<u8>> =
            self.devices.iter().map(|id| status(*id, now.wall, self.rounds)).collect();
        let mut events = 0;
        for Client { session, connection, .. } in &mut self.clients {
            let connection = connection.unwrap();
            for packet in &packets {
                session.handle_ws_bytes(now, connection, black_box(packet));
                while let Some(output) = session.poll_output() {
                    events += usize::from(matches!(output, Output::Event(_)));
                }
            }
        }
        (packets.len() * self.clients.len(), events)
    }

    /// Bytes of the tokens and credentials in the cloud's answers, which every session has to keep.
    pub(crate) fn tokens(&self) -> usize {
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
    pub(crate) fn drop_sessions(&mut self) -> usize {
        let clients = std::mem::take(&mut self.clients);
        let of_driver = clients.len() * (size_of::<Client>() - size_of::<Session>());
        let freed = allocation_counter::measure(|| drop(clients));
        usize::try_from(-freed.bytes_current).unwrap() - of_driver
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
pub(crate) fn status(id: DeviceId, time: UnixTime, round: i64) -> Vec<u8> {
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

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap()
}
