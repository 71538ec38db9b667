mod cloud;
mod requests;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mysa_cognito::{RefreshFlow, RefreshToken, Secret, StoredSession};
use mysa_mqtt_codec::PacketId;
use mysa_proto::rest::{self, ReadRequest};
use mysa_proto::{Change, Channel, DeviceId, Model, UnixTime};
use mysa_session::{
    CommandId, ConnId, Environment, Event, HttpAnswer, HttpFailure, HttpId, HttpResult, Now, Output,
    RequestId, Session, Settings, Start, StoreResult, Subscriptions, Verdict,
};
use mysa_sigv4::PresignedUrl;
use mysa_testkit::{Ack, BrokerBehavior, BrokerConnection, V2Status, publish, publish_at_least_once};
use serde_json::Value;

use crate::command::change;
use crate::mutate;
use crate::script::Script;
use cloud::{Account, CODE, METHOD, Order};
use requests::{PendingHttp, Writes};

const START: i64 = 1_767_323_045_000;
const DEVICE: &str = "a0b1c2d3e4f7";
const OTHER: &str = "b0b1c2d3e4f7";
const TOKENS_KEPT: [&str; 2] = ["refresh", "renewed elsewhere"];
const DATES: [Option<&str>; 4] =
    [None, Some("Fri, 02 Jan 2026 03:04:05 GMT"), Some("Fri, 02 Jan 2026 04:04:05 GMT"), Some("yesterday")];

/// Session with any sequence of inputs.
///
/// Input: a byte that selects the start and the settings, then a script of time, answers, failures, frames, commands, messages,
/// challenges, assumed thermostats and changes of settings, valid or not.
///
/// Every command has at most one verdict, by its deadline if time advances, and exactly one after the shutdown. A preview sends
/// nothing, and a command after it is refused for the same reason or accepted. Every request of the application has one answer.
/// Nothing is sent on a closed connection, no command on a blocked one, and nothing is written to a thermostat without a command,
/// or at all by a session that only reads. A change of settings is written once, as requested. An answer to a challenge is sent
/// once, and only the pool's tokens sign in. The session becomes idle. Its queues are bounded.
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
    http: Vec<PendingHttp>,
    /// Requests whose body the driver has not fetched.
    deferred: BTreeSet<HttpId>,
    conns: BTreeMap<ConnId, Conn>,
    /// For each command, the time by which it must have a verdict, and the verdict once it has one.
    commands: BTreeMap<CommandId, (Duration, Option<Verdict>)>,
    /// Requests of the application without an answer.
    requests: BTreeSet<RequestId>,
    writes: Writes,
    account: Account,
    /// Commands that the thermostats have not acknowledged.
    orders: Vec<Order>,
    /// Each password starts a new sign-in, regardless of the result of the last.
    sign_ins: usize,
    asked: bool,
    /// True if the session has requested the stored session.
    load: bool,
    /// True if it has requested that its own is stored.
    store: bool,
    paused: bool,
    ended: bool,
}

#[derive(Default)]
struct Conn {
    open: bool,
    /// True if bytes wait in the driver.
    blocked: bool,
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
        settings.lookup_endpoint = choice & 0x40 != 0;
        if choice & 0x80 != 0 {
            settings.refresh_flow = RefreshFlow::GetTokensFromRefreshToken;
        }
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
            requests: BTreeSet::new(),
            writes: Writes::default(),
            account: Account::default(),
            orders: Vec::new(),
            sign_ins: 0,
            asked: false,
            load: false,
            store: false,
            paused: false,
            ended: false,
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
            0x30..0x48 | 0x4f => self.answer_correctly(),
            0x48 => self.answer_sign_in(script),
            0x49 => {
                let answer = script.pick(&[CODE, "654321", METHOD, " 123456\n", ""]);
                self.answer_challenge(answer);
            }
            0x4a => self.assume_devices(script),
            0x4b => self.write_settings(script),
            0x4c => self.command_many(script),
            0x4d => self.account.has_other ^= true,
            0x4e => self.acknowledge(script),
            0x50..0x54 => self.preview(script),
            0x54..0x57 => {
                let device = device(script);
                let request = self.session.describe_thing(self.now(), device);
                self.requests.extend(request);
            }
            0x57..0x5a => {
                // Asked for or not.
                let result = match script.byte() % 3 {
                    0 => StoreResult::Stored,
                    1 => StoreResult::Failed,
                    _ => StoreResult::Newer(Box::new(any_stored(script))),
                };
                self.store = false;
                self.session.handle_store_result(self.now(), result);
            }
            0x5a..0x5d => {
                let Some(id) = self.conn(script) else { return };
                let blocked = op != 0x5c;
                self.conns.entry(id).and_modify(|conn| conn.blocked = blocked);
                self.session.handle_ws_blocked(self.now(), id, blocked);
            }
            0x5d..0x60 => self.ask(script),
            0x60..0x68 => {
                let Some(at) = chosen(script, self.http.len()) else { return };
                let mut request = self.http.remove(at);
                if !self.connect(&mut request) {
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
                self.deliver(request, answer);
            }
            0x68..0x70 => {
                let Some(at) = chosen(script, self.http.len()) else { return };
                let mut request = self.http.remove(at);
                let failure = script.pick(&[
                    HttpFailure::Timeout,
                    HttpFailure::Unreachable,
                    HttpFailure::Tls,
                    HttpFailure::Broken,
                ]);
                let connected = matches!(failure, HttpFailure::Timeout | HttpFailure::Broken);
                if connected && !self.connect(&mut request) {
                    return;
                }
                let id = request.id;
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
                let device = device(script);
                let deadline = script.option(|script| Duration::from_millis(script.u16().into()));
                self.command(device, change(script), deadline);
            }
            0xd8..0xe8 => self.send_message(script, op),
            0xe8..0xec => {
                let Some(at) = chosen(script, self.commands.len()) else { return };
                let id = self.commands.keys().nth(at).copied();
                id.into_iter().for_each(|id| self.session.cancel(self.now(), id));
            }
            0xec..0xf0 => {
                let request: ReadRequest = if script.flag() { rest::homes() } else { rest::devices() };
                let request = self.session.request(self.now(), request);
                self.requests.extend(request);
            }
            0xf0..0xf4 => {
                self.wall_ahead += (i64::from(script.u16()) - 0x8000) << (script.byte() % 20);
                self.wall_ahead = self.wall_ahead.clamp(-4_000_000_000_000, 4_000_000_000_000);
            }
            0xf4..0xf6 => self.session.network_changed(self.now()),
            0xf6..0xf8 => {
                self.sign_ins += 1;
                self.forget_tokens();
                self.session.sign_in(self.now(), Secret::from("p"));
            }
            0xf8..0xfa => self.answer_challenge(&script.text()),
            0xfa..0xfc => {
                // Stored session, requested or not: none, that of this process, or that of another process.
                let kept = script.option(|script| stored(script.pick(&TOKENS_KEPT)));
                self.session.handle_stored(self.now(), kept);
            }
            0xfc..0xfe => self.paused = !self.paused,
            0xfe => {
                self.forget_tokens();
                self.session.sign_out(self.now());
            }
            _ => {
                self.ended = true;
                self.session.shutdown(self.now());
            }
        }
    }

    fn command(&mut self, device: DeviceId, change: Change, deadline: Option<Duration>) -> Option<CommandId> {
        let due = self.mono + deadline.unwrap_or(self.session.settings().command_deadline);
        self.asked = true;
        let id = self.session.command(self.now(), device, change, deadline).ok()?;
        assert!(self.commands.insert(id, (due, None)).is_none(), "{id:?} given twice");
        Some(id)
    }

    /// Compares what a command would send with what the command does.
    fn preview(&mut self, script: &mut Script<'_>) {
        let (device, change) = (device(script), change(script));
        // What is due by now is sent before.
        self.session.handle_timeout(self.now());
        self.read();
        let asked = core::mem::take(&mut self.asked);
        let preview = self.session.preview(self.now(), device, change);
        self.read();
        self.asked = asked;
        if let Ok(preview) = &preview {
            let payload: Value = serde_json::from_str(&preview.payload)
                .unwrap_or_else(|error| panic!("{error}: {}", preview.payload));
            let named = payload.pointer("/dest/ref").and_then(Value::as_str);
            let expected = (preview.channel == Channel::Mqtt).then_some(device.as_str());
            assert_eq!(named, expected, "{payload}");
            assert!(preview.change.without(&change).is_empty(), "{} for {change}", preview.change);
            assert!(preview.before.without(&change).is_empty(), "{} for {change}", preview.before);
        }
        if !script.flag() {
            return;
        }
        let Some(id) = self.command(device, change, None) else { return };
        self.read();
        match (preview, &self.commands[&id].1) {
            // The verdict is not read yet.
            (_, None) if self.paused => {}
            (_, Some(Verdict::Expired(_))) if self.ended => {}
            (Ok(_), verdict) => assert!(!matches!(verdict, Some(Verdict::Refused(_))), "{verdict:?}"),
            (Err(refused), verdict) => assert_eq!(*verdict, Some(Verdict::Refused(refused))),
        }
    }

    /// Questions of an application, which change nothing.
    fn ask(&mut self, script: &mut Script<'_>) {
        let now = self.now();
        let device = device(script);
        if let Some(url) = self.session.presign(now) {
            assert!(PresignedUrl::parse(url.as_str()).is_ok(), "{url:?}");
        }
        let _ = format!("{:?} {}", self.session.diagnosis(now), self.session.service());
        let known = self.session.devices().any(|known| known.id() == device);
        assert_eq!(self.session.device(device).is_some(), known);
        assert_eq!(self.session.state(device).is_some(), known);
        // A wildcard also covers thermostats that the session does not know.
        let covered = known || self.session.settings().subscriptions.wildcard;
        assert!(covered || !self.session.is_subscribed(device));
        if let Some((earliest, latest)) = self.session.cloud_time_bounds(now) {
            let time = self.session.cloud_time(now);
            assert!(earliest <= time && time <= latest, "{earliest} {time} {latest}");
        }
    }

    fn conn(&self, script: &mut Script<'_>) -> Option<ConnId> {
        self.conns.keys().nth(chosen(script, self.conns.len())?).copied()
    }

    /// Sends a message of a thermostat, valid or not, about itself or another.
    fn send_message(&mut self, script: &mut Script<'_>, op: u8) {
        let degrees = f64::from(script.byte()) / 8.0;
        let time = self.thermostat_time();
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

    /// Drains the session and advances it to now. It must become idle.
    fn settle(&mut self) {
        for round in 0.. {
            self.read();
            assert!(self.account.has_signed_in || self.session.user_id().is_none(), "no tokens, and a user");
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
                    let pending = PendingHttp::new(&request, self.mono);
                    let read_only = self.session.settings().read_only;
                    assert!(
                        self.asked || !pending.is_command(),
                        "a write without a request: {}",
                        request.url
                    );
                    assert!(!(read_only && pending.is_write()), "a write of a reader: {}", request.url);
                    if pending.answer.is_some() {
                        assert_eq!(self.account.answer.take(), pending.answer, "an answer of nobody");
                    }
                    self.http.push(pending);
                    let waiting = self.http.iter().filter(|request| request.given_up > self.mono).count();
                    assert!(waiting < 32 + self.sign_ins, "{:?}", self.http);
                }
                Output::Dial(dial) => {
                    assert!(self.conns.insert(dial.conn, Conn::default()).is_none());
                    assert!(self.conns.len() <= 8, "{} connections", self.conns.len());
                }
                Output::Send { conn, bytes } => {
                    let is_command = contains(&bytes, b"\"msg\":44");
                    assert!(self.asked || !is_command, "a command without a request");
                    let read_only = self.session.settings().read_only;
                    assert!(!(read_only && is_command), "a command of a reader");
                    let Some(state) = self.conns.get_mut(&conn) else {
                        panic!("sent on {conn}, which is gone")
                    };
                    assert!(state.open, "sent on {conn}, which is not open");
                    assert!(!(is_command && state.blocked), "a command on {conn}, which is blocked");
                    let exchange = state.broker.receive(&BrokerBehavior::default(), &bytes);
                    state.valid.extend(exchange.reply);
                    assert!(state.valid.len() < 1 << 16);
                    self.orders.extend(exchange.received.iter().filter_map(Order::read));
                }
                Output::Close { conn } | Output::Abort { conn } => drop(self.conns.remove(&conn)),
                Output::AbortHttp { id } => {
                    assert!(self.http.iter().any(|pending| pending.id == id), "{id:?} was not requested");
                }
                Output::Event(Event::Verdict { id, verdict, .. }) => {
                    let Some((_, resolved)) = self.commands.get_mut(&id) else {
                        panic!("a verdict on {id:?}")
                    };
                    assert_eq!(resolved.replace(verdict), None, "two verdicts on {id:?}");
                }
                Output::Event(Event::Response { id, .. }) => {
                    assert!(self.requests.remove(&id), "an answer to {id:?}");
                    self.writes.end(id);
                }
                Output::Event(Event::Challenge(challenge)) => {
                    assert!(
                        !challenge.again || self.account.answers > 0,
                        "no answer was wrong: {challenge:?}"
                    );
                }
                Output::Load => self.load = true,
                Output::Store(_) => self.store = true,
                Output::Forget | Output::Event(_) => {}
            }
        }
    }

    /// Checks that every due command has a verdict, after time advanced and everything was drained.
    fn check_deadlines(&mut self) {
        if !self.paused {
            for (id, (due, resolved)) in &self.commands {
                assert!(
                    resolved.is_some() || *due > self.mono,
                    "{id:?} was due at {due:?}, it is {:?}",
                    self.mono
                );
            }
        }
    }

    fn finish(&mut self) {
        self.paused = false;
        self.session.shutdown(self.now());
        self.settle();
        for (id, (_, resolved)) in &self.commands {
            assert!(resolved.is_some(), "no verdict on {id:?}");
        }
        assert!(self.requests.is_empty(), "no answer to {:?}", self.requests);
        assert!(self.session.poll_output().is_none());
        let _ = format!("{:?}", self.session);
    }
}

fn stored(token: &str) -> StoredSession {
    let mut stored = StoredSession::new("ann@example.org", &Environment::mysa().pool.client_id);
    stored.refresh_token = Some(RefreshToken::new(Secret::from(token)));
    stored
}

/// Session that another process may have stored.
fn any_stored(script: &mut Script<'_>) -> StoredSession {
    let mut kept = stored(script.pick(&TOKENS_KEPT));
    kept.generation = script.byte().into();
    kept
}

fn device(script: &mut Script<'_>) -> DeviceId {
    let id = if script.byte() == 0xff { OTHER } else { DEVICE };
    DeviceId::new(id).expect("an id")
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
        let seed =
            crate::corpus::input_named(include_bytes!("../../../../fuzz/corpus/session.ar"), "seed-000");
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
        assert!(harness.commands.values().any(|(_, resolved)| resolved.is_some()), "{:?}", harness.commands);
    }
    #[test]
    fn a_wrong_code_asks_again_and_the_right_one_signs_in() {
        // The challenge of the password, a text message, a wrong code, and the pool's answers.
        let mut harness = after(&[0, 0x48, 5, 0x48, 0, 0x49, 1, 0x30]);
        assert_eq!((harness.session.user_id(), harness.account.answers), (None, 1));
        harness.steps(&[0x49, 0, 0x30]);
        assert_eq!((harness.session.user_id(), harness.account.answers), (Some("u"), 2));
    }

    #[test]
    fn several_commands_go_to_thermostats_of_the_caller() {
        let change = [0, 1, 0xc4, 0x09];
        let mut harness = after(&[1, 0x4a, 2, 0, 0, 0, 1, 0, 0, 0x70, 0x98, 0x98]);
        assert_eq!(harness.session.devices().len(), 2);
        harness.steps(&[&[0x4c, 3, 0, 1, 2], &change[..]].concat());
        // The second command is sent a second later.
        harness.steps(&[0, 0xe8, 3, 0, 0xe8, 3]);
        assert_eq!(harness.orders.len(), 2, "none to the third, which is unknown");
        harness.steps(&[0x4e, 0]);
        let confirmed =
            |(_, verdict): &&(_, Option<Verdict>)| matches!(verdict, Some(Verdict::Confirmed { .. }));
        assert_eq!(harness.commands.len(), 3);
        assert_eq!(harness.commands.values().filter(confirmed).count(), 2, "{:?}", harness.commands);
    }

    #[test]
    fn a_change_of_settings_is_written_again_after_a_refused_token() {
        let mut harness = after(&[2, 0x30, 0x4b, 0, 3, 1, 0x60, 0, 3, 0, 0, 0, 0, 0]);
        let waits = |harness: &Harness| harness.http.iter().any(PendingHttp::is_write);
        for _ in 0..8 {
            if waits(&harness) {
                break;
            }
            harness.steps(&[0x30]);
        }
        assert!(waits(&harness) && harness.requests.len() == 1, "{:?}", harness.http);
        harness.steps(&[0x30; 8]);
        assert!(harness.requests.is_empty() && !waits(&harness), "{:?}", harness.http);
    }

    fn after(data: &[u8]) -> Harness {
        let mut script = Script::new(data);
        let mut harness = Harness::new(&mut script).unwrap();
        harness.settle();
        harness.steps(script.rest());
        harness
    }

    impl Harness {
        fn steps(&mut self, data: &[u8]) {
            let mut script = Script::new(data);
            while !script.is_empty() {
                self.step(&mut script);
                self.settle();
            }
        }
    }
}
