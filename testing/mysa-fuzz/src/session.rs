use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mysa_cognito::{RefreshToken, Secret, StoredSession};
use mysa_mqtt_codec::PacketId;
use mysa_proto::rest::{self, ReadRequest};
use mysa_proto::{DeviceId, Model, UnixTime};
use mysa_session::{
    CommandId, ConnId, Environment, Event, HttpAnswer, HttpFailure, HttpId, HttpResult, Now, Output, Session,
    Settings, Start, Subscriptions,
};
use mysa_sigv4::PresignedUrl;
use mysa_testkit::{Ack, BrokerBehavior, BrokerConnection, V2Status, publish, publish_at_least_once};

use crate::cognito::TOKENS;
use crate::command::change;
use crate::mutate;
use crate::script::Script;

const START: i64 = 1_767_323_045_000;
const DEVICE: &str = "a0b1c2d3e4f7";
const DATES: [Option<&str>; 4] =
    [None, Some("Fri, 02 Jan 2026 03:04:05 GMT"), Some("Fri, 02 Jan 2026 04:04:05 GMT"), Some("yesterday")];

/// Session with any sequence of inputs.
///
/// Input: a byte that selects the start and the settings, then a script of time, answers, failures, frames, commands and
/// messages, valid or not.
///
/// Every command has at most one verdict, by its deadline if time advances, and exactly one after the shutdown. Nothing is sent on
/// a closed connection, and nothing is written to a thermostat without a command. The session becomes idle. Its queues are
/// bounded.
///
/// ```
/// // A stored session; correct answers; the connection opens; the broker answers.
/// mysa_fuzz::session(&[2, 0x30, 0x30, 0x30, 0x70, 0x98]);
/// ```
pub fn session(data: &[u8]) {
    mutate::begin(session, data);
    let mut script = Script::new(data);
    let Some(mut harness) = Harness::new(&mut script) else { return };
    harness.settle();
    for _ in 0..96 {
        if script.is_empty() {
            break;
        }
        mutate::step(script.rest().len());
        harness.step(&mut script);
        harness.settle();
    }
    harness.finish();
}

struct Harness {
    session: Session,
    mono: Duration,
    wall_ahead: i64,
    /// Unanswered requests, with the time at which the session gives each up.
    http: Vec<(HttpId, String, Duration)>,
    /// Requests whose body the driver has not fetched.
    deferred: BTreeSet<HttpId>,
    conns: BTreeMap<ConnId, Conn>,
    /// For each command, the time by which it must have a verdict, and true if it has one.
    commands: BTreeMap<CommandId, (Duration, bool)>,
    /// Each password starts a new sign-in, regardless of the result of the last.
    sign_ins: usize,
    asked: bool,
    /// True if the session has requested the stored session.
    load: bool,
    paused: bool,
}

#[derive(Default)]
struct Conn {
    open: bool,
    broker: BrokerConnection,
    /// Next bytes of a correct broker.
    valid: Vec<u8>,
}

impl Harness {
    fn new(script: &mut Script<'_>) -> Option<Self> {
        let choice = script.byte();
        let mut settings = Settings::default();
        settings.raw_messages = choice & 4 != 0;
        settings.read_only = choice & 0x38 == 0x38;
        settings.live_reports = choice & 8 == 0;
        if choice & 0x10 != 0 {
            settings.subscriptions = Subscriptions::WILDCARD;
        }
        settings.event_capacity = 16;
        settings.command_capacity = 8;
        let environment = Environment::mysa();
        let start = match choice & 3 {
            0 => Start::Password { username: "ann@example.org".into(), password: Secret::from("p") },
            1 => Start::Captured {
                url: PresignedUrl::parse(CAPTURED).ok()?,
                devices: vec![(DeviceId::new(DEVICE)?, Model::parse("BB-V2-0-L"))],
            },
            with_password => Start::Resume {
                stored: stored("refresh"),
                password: (with_password == 3).then(|| Secret::from("p")),
            },
        };
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_millis(START) };
        Some(Self {
            session: Session::new(settings, environment, start, [7; 32], now),
            mono: Duration::ZERO,
            wall_ahead: 0,
            http: Vec::new(),
            deferred: BTreeSet::new(),
            conns: BTreeMap::new(),
            commands: BTreeMap::new(),
            sign_ins: 0,
            asked: false,
            load: false,
            paused: false,
        })
    }

    fn now(&self) -> Now {
        let millis = i64::try_from(self.mono.as_millis()).unwrap_or(i64::MAX / 2);
        Now { mono: self.mono, wall: UnixTime::from_millis(START + millis + self.wall_ahead) }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let op = script.byte();
        match op {
            0..0x18 => {
                self.mono += Duration::from_millis(u64::from(script.u16()) << (op & 7));
                self.session.handle_timeout(self.now());
                self.read();
                self.check_deadlines();
            }
            0x18..0x30 => {
                let Some(deadline) = self.session.poll_timeout() else { return };
                self.mono = self.mono.max(deadline.at);
                self.session.handle_timeout(self.now());
                self.read();
                self.check_deadlines();
            }
            0x30..0x60 => self.answer_correctly(),
            0x60..0x68 => {
                let Some(at) = chosen(script, self.http.len()) else { return };
                let (id, ..) = self.http.remove(at);
                if !self.connect(id) {
                    return;
                }
                let status = script.pick(&[200, 301, 400, 401, 403, 404, 429, 500, 503, 204, 999]);
                let date = script.pick(&DATES);
                let age = script.pick(&[
                    None,
                    None,
                    None,
                    Some("0"),
                    Some("86400"),
                    Some("4294967296"),
                    Some("-1"),
                ]);
                let retry_after = script.option(Script::text);
                let body = script.bytes();
                let location = script.option(Script::text);
                let answer = HttpAnswer {
                    status,
                    date,
                    age,
                    retry_after: retry_after.as_deref(),
                    location: location.as_deref(),
                    body,
                };
                self.session.handle_http(self.now(), id, HttpResult::Answer(answer));
            }
            0x68..0x70 => {
                let Some(at) = chosen(script, self.http.len()) else { return };
                let (id, ..) = self.http.remove(at);
                let failure = script.pick(&[
                    HttpFailure::Timeout,
                    HttpFailure::Unreachable,
                    HttpFailure::Tls,
                    HttpFailure::Broken,
                ]);
                let connected = matches!(failure, HttpFailure::Timeout | HttpFailure::Broken);
                if connected && !self.connect(id) {
                    return;
                }
                self.session.handle_http(self.now(), id, HttpResult::Failed(failure));
                // A repeated answer belongs to no request.
                self.session.handle_http(self.now(), id, HttpResult::Failed(failure));
            }
            0x70..0x90 => {
                let now = self.now();
                for (id, conn) in &mut self.conns {
                    if !conn.open {
                        conn.open = true;
                        self.session.handle_ws_opened(now, *id);
                    }
                }
            }
            0x90..0x98 => {
                let Some(id) = self.conn(script) else { return };
                let status = script.option(|script| 300 + u16::from(script.byte()));
                self.conns.remove(&id);
                self.session.handle_ws_refused(self.now(), id, status, script.pick(&DATES));
            }
            0x98..0xb8 => {
                let now = self.now();
                for (id, conn) in &mut self.conns {
                    let bytes = core::mem::take(&mut conn.valid);
                    for chunk in bytes.chunks(usize::from(op & 7) * 3 + 1) {
                        self.session.handle_ws_bytes(now, *id, chunk);
                    }
                }
            }
            0xb8..0xc0 => {
                let Some(id) = self.conn(script) else { return };
                let bytes = script.bytes();
                self.session.handle_ws_bytes(self.now(), id, bytes);
            }
            0xc0..0xc8 => {
                let Some(id) = self.conn(script) else { return };
                self.conns.remove(&id);
                self.session.handle_ws_closed(self.now(), id);
            }
            0xc8..0xd8 => {
                let id = if script.byte() == 0xff { "b0b1c2d3e4f7" } else { DEVICE };
                let Some(device) = DeviceId::new(id) else { return };
                let deadline = script.option(|script| Duration::from_millis(script.u16().into()));
                let due = self.mono + deadline.unwrap_or(self.session.settings().command_deadline);
                self.asked = true;
                if let Ok(id) = self.session.command(self.now(), device, change(script), deadline) {
                    assert!(self.commands.insert(id, (due, false)).is_none(), "{id:?} given twice");
                }
            }
            0xd8..0xe8 => self.send_message(script, op),
            0xe8..0xec => {
                let Some(at) = chosen(script, self.commands.len()) else { return };
                let id = self.commands.keys().nth(at).copied();
                id.into_iter().for_each(|id| self.session.cancel(self.now(), id));
            }
            0xec..0xf0 => {
                let request: ReadRequest = if script.flag() { rest::homes() } else { rest::devices() };
                let _ = self.session.request(self.now(), request);
            }
            0xf0..0xf4 => {
                self.wall_ahead += (i64::from(script.u16()) - 0x8000) << (script.byte() % 20);
                self.wall_ahead = self.wall_ahead.clamp(-4_000_000_000_000, 4_000_000_000_000);
            }
            0xf4..0xf6 => self.session.network_changed(self.now()),
            0xf6..0xf8 => {
                self.sign_ins += 1;
                self.session.sign_in(self.now(), Secret::from("p"));
            }
            0xf8..0xfa => drop(self.session.answer_challenge(self.now(), &script.text())),
            0xfa..0xfc => {
                // Stored session, requested or not: none, that of this process, or that of another process.
                let kept = script.option(|script| stored(script.pick(&["refresh", "renewed elsewhere"])));
                self.session.handle_stored(self.now(), kept);
            }
            0xfc..0xfe => self.paused = !self.paused,
            0xfe => self.session.sign_out(self.now()),
            _ => self.session.shutdown(self.now()),
        }
    }

    fn conn(&self, script: &mut Script<'_>) -> Option<ConnId> {
        self.conns.keys().nth(chosen(script, self.conns.len())?).copied()
    }

    /// Sends a message of a thermostat, valid or not, about itself or another.
    fn send_message(&mut self, script: &mut Script<'_>, op: u8) {
        let degrees = f64::from(script.byte()) / 8.0;
        let time = (START + self.wall_ahead) / 1_000 + i64::try_from(self.mono.as_secs()).unwrap_or(0);
        let payload = match op & 3 {
            0 => V2Status { setpoint: degrees, ..V2Status::new(DEVICE, time) }.to_string().into_bytes(),
            1 => {
                let ack = Ack::new(DEVICE, time, START + i64::from(script.byte()), degrees);
                let (success, mode) = (script.byte() & 1 == 1, script.byte() % 4);
                Ack { success, mode, ..ack }.to_string().into_bytes()
            }
            _ => script.bytes().to_vec(),
        };
        let topics =
            ["/v1/dev/a0b1c2d3e4f7/out", "/v1/dev/a0b1c2d3e4f7/batch", "/v1/dev/b0b1c2d3e4f7/out", "x"];
        let id = script.option(Script::u16).and_then(PacketId::new);
        let topic = script.pick(&topics);
        let bytes = match id {
            Some(id) => publish_at_least_once(id, topic, &payload),
            None => publish(topic, &payload),
        };
        let now = self.now();
        for id in self.conns.keys() {
            self.session.handle_ws_bytes(now, *id, &bytes);
        }
    }

    /// Connects for a request whose body is deferred. False if the session has withdrawn it.
    fn connect(&mut self, id: HttpId) -> bool {
        !self.deferred.remove(&id) || {
            let body = self.session.deferred_body(self.now(), id);
            assert!(self.asked || body.is_none(), "a write without a request");
            self.read();
            body.is_some()
        }
    }

    fn answer_correctly(&mut self) {
        if core::mem::take(&mut self.load) {
            self.session.handle_stored(self.now(), None);
            self.read();
        }
        let Some((id, what, _)) = self.http.pop() else { return };
        if !self.connect(id) {
            return;
        }
        let now = self.now();
        let secs = now.wall.as_secs();
        let body: Vec<u8> = match what.as_str() {
            it if it.ends_with("InitiateAuth") || it.ends_with("RefreshToken") => TOKENS.into(),
            it if it.ends_with("GetId") => br#"{"IdentityId":"us-east-1:identity"}"#.into(),
            it if it.ends_with("ForIdentity") => format!(
                r#"{{"IdentityId":"us-east-1:identity","Credentials":{{"AccessKeyId":"ASIAEXAMPLE","SecretKey":"s","SessionToken":"t","Expiration":{}.0}}}}"#,
                secs + 3_600
            )
            .into(),
            "GET /devices" => {
                format!(r#"{{"DevicesObj":{{"{DEVICE}":{{"Id":"{DEVICE}","Model":"BB-V2-0-L","Name":"Hall"}}}}}}"#).into()
            }
            "GET /devices/state" => format!(
                r#"{{"DeviceStatesObj":{{"{DEVICE}":{{"Device":"{DEVICE}","Timestamp":{secs},"SetPoint":{{"v":19,"t":{secs}}}}}}}}}"#
            )
            .into(),
            _ => b"{}".into(),
        };
        let answer = HttpAnswer { status: 200, body: &body, ..HttpAnswer::default() };
        self.session.handle_http(now, id, HttpResult::Answer(answer));
    }

    /// Drains the session and advances it to now. It must become idle.
    fn settle(&mut self) {
        for round in 0.. {
            self.read();
            if self.session.poll_timeout().is_none_or(|deadline| deadline.at > self.mono) {
                return;
            }
            assert!(round < 200, "never idle: {:?}", self.session.poll_timeout());
            self.session.handle_timeout(self.now());
        }
    }

    fn read(&mut self) {
        let mut queued = 0;
        loop {
            let output = if self.paused { self.session.poll_io() } else { self.session.poll_output() };
            let Some(output) = output else { return };
            queued += 1;
            assert!(queued < 1_000, "the queue has no bound");
            match output {
                Output::Http(request) => {
                    if request.body.ready().is_none() {
                        self.deferred.insert(request.id);
                    }
                    let target = request.headers.iter().find(|(name, _)| *name == "x-amz-target");
                    let target = target.map_or("", |(_, value)| value.rsplit('.').next().unwrap_or(""));
                    let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
                    let write = request.method != "GET" && path.starts_with("state/");
                    assert!(self.asked || !write, "a write without a request: {}", request.url);
                    let given_up = self.mono + request.timeout + Duration::from_secs(5);
                    self.http.push((request.id, format!("{} /{path}{target}", request.method), given_up));
                    let waiting = self.http.iter().filter(|(.., given_up)| *given_up > self.mono).count();
                    assert!(waiting < 32 + self.sign_ins, "{:?}", self.http);
                }
                Output::Dial(dial) => {
                    assert!(self.conns.insert(dial.conn, Conn::default()).is_none());
                    assert!(self.conns.len() <= 8, "{} connections", self.conns.len());
                }
                Output::Send { conn, bytes } => {
                    assert!(self.asked || !contains(&bytes, b"\"msg\":44"), "a command without a request");
                    let Some(state) = self.conns.get_mut(&conn) else {
                        panic!("sent on {conn}, which is gone")
                    };
                    assert!(state.open, "sent on {conn}, which is not open");
                    let exchange = state.broker.receive(&BrokerBehavior::default(), &bytes);
                    state.valid.extend(exchange.reply);
                    assert!(state.valid.len() < 1 << 16);
                }
                Output::Close { conn } | Output::Abort { conn } => drop(self.conns.remove(&conn)),
                Output::Event(Event::Verdict { id, .. }) => {
                    let Some((_, resolved)) = self.commands.get_mut(&id) else {
                        panic!("a verdict on {id:?}")
                    };
                    assert!(!core::mem::replace(resolved, true), "two verdicts on {id:?}");
                }
                Output::Load => self.load = true,
                Output::Store(_) | Output::Forget | Output::Event(_) => {}
            }
        }
    }

    /// Checks that every due command has a verdict, after time advanced and everything was drained.
    fn check_deadlines(&mut self) {
        if !self.paused {
            for (id, (due, resolved)) in &self.commands {
                assert!(*resolved || *due > self.mono, "{id:?} was due at {due:?}, it is {:?}", self.mono);
            }
        }
    }

    fn finish(&mut self) {
        self.paused = false;
        self.session.shutdown(self.now());
        self.settle();
        for (id, (_, resolved)) in &self.commands {
            assert!(resolved, "no verdict on {id:?}");
        }
        assert!(self.session.poll_output().is_none());
        let _ = format!("{:?}", self.session);
    }
}

fn stored(token: &str) -> StoredSession {
    let mut stored = StoredSession::new("ann@example.org", &Environment::mysa().pool.client_id);
    stored.refresh_token = Some(RefreshToken::new(Secret::from(token)));
    stored
}

fn chosen(script: &mut Script<'_>, len: usize) -> Option<usize> {
    (len > 0).then(|| usize::from(script.byte()) % len)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

const CAPTURED: &str = "wss://a1-ats.iot.us-east-1.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=ASIAEXAMPLE%2F20260102%2Fus-east-1%2Fiotdevicegateway%2Faws4_request\
    &X-Amz-Date=20260102T030405Z&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=1fe633a074b36e4d8c61d883dd7a15f69abbed73dc2ffde30680297bae6e616d";

#[cfg(test)]
mod tests {
    use super::*;
    use mysa_session::Level;

    #[test]
    fn the_first_seed_reaches_the_live_level_and_a_verdict() {
        let seed = crate::corpus::input_named(include_bytes!("../../../fuzz/corpus/session.ar"), "seed-000");
        let mut script = Script::new(seed);
        let mut harness = Harness::new(&mut script).unwrap();
        harness.settle();
        let mut live = false;
        while !script.is_empty() {
            harness.step(&mut script);
            harness.settle();
            live |= harness.session.service().level == Level::Live;
        }
        assert!(live, "{}", harness.session.service());
        assert!(harness.commands.values().any(|(_, resolved)| *resolved), "{:?}", harness.commands);
    }
}
