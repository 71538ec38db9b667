use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_cognito::{RefusalKind, Secret, StoredSession};
use mysa_mqtt_codec::PacketId;
use mysa_proto::rest::{ReadRequest, RestRequest, SettingsWrite};
use mysa_proto::{Change, DeviceId, DeviceState};
use mysa_sigv4::PresignedUrl;

use crate::auth::Identity;
use crate::clock::{ClockSource, CloudClock, Learned};
use crate::commands::book::{CommandBook, Decision, OpenCommand, Payload, SentAt};
use crate::commands::dispatch::Routes;
use crate::context::Context;
use crate::devices::{Device, Devices, PendingNotice};
use crate::entropy::Entropy;
use crate::mqtt::connection::{Connection, ConnectionEvent};
use crate::mqtt::pool::{CloseReason, ConnectionPool};
use crate::mqtt::subscription::SubscriptionState;
use crate::now::earlier;
use crate::outbox::{Outbox, QueuedEvent, Work};
use crate::rest::{Outcome, Purpose, Rest};
use crate::{
    Busy, CommandId, ConnId, Deadline, Environment, Event, Expired, HttpAnswer, HttpId, HttpRequest,
    HttpResult, Level, Now, Output, Packets, Preview, Reason, Refused, RequestError, RequestId, Service,
    Settings, Start, StoreResult, Verdict, Wake,
};

/// One account's client. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct Session {
    pub(crate) cx: Context,
    pub(crate) identity: Identity,
    pub(crate) rest: Rest,
    pub(crate) mqtt: ConnectionPool,
    pub(crate) devices: Devices,
    pub(crate) commands: CommandBook,
    pub(crate) service: Service,
    /// Since when statuses have not come by themselves.
    pub(crate) lost_at: Option<Duration>,
    /// Signed in or not, this session has no use for REST.
    pub(crate) captured: bool,
    /// The device list has been read.
    pub(crate) listed: bool,
    pub(crate) ended: bool,
    next_request: u64,
    due: Option<Deadline>,
}

/// No challenge waits for an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to add")]
pub struct NoChallenge;

impl fmt::Display for NoChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no challenge waits for an answer")
    }
}

impl core::error::Error for NoChallenge {}

/// Pause before the request whose answer is to settle what the time is: `Date` has whole seconds.
const SECOND_OPINION: Duration = Duration::from_secs(2);
/// When the REST state is read for a command by MQTT that nothing was heard of, counted from sending it.
const STATE_CHECK_DELAY: Duration = Duration::from_secs(6);
/// Requests of callers that may be under way.
const CALLERS: usize = 24;

impl Session {
    /// Begins a session. `seed` comes from the operating system and is never used again: keys for signing in are drawn
    /// from it.
    #[must_use]
    pub fn new(settings: Settings, environment: Environment, start: Start, seed: [u8; 32], now: Now) -> Self {
        let client_id = environment.pool.client_id.clone();
        let way = settings.refresh_flow;
        let cx = Context {
            settings,
            environment,
            now,
            entropy: Entropy::new(seed),
            clock: CloudClock::default(),
            outbox: Outbox::default(),
        };
        let mut devices = Devices::default();
        let (identity, mqtt, captured) = match start {
            Start::Password { username, password } => (
                Identity::with_password(&username, password, &client_id, way),
                ConnectionPool::new(None),
                false,
            ),
            Start::Resume { stored, password } => {
                (Identity::resume(stored, password, &client_id, way), ConnectionPool::new(None), false)
            }
            Start::Captured { url, devices: known } => {
                for (id, model) in known.into_iter().take(cx.settings.max_devices) {
                    devices.add(Device::new(id, model, now.mono));
                }
                let nobody = StoredSession::new("", &client_id);
                (Identity::resume(nobody, None, &client_id, way), ConnectionPool::new(Some(url)), true)
            }
        };
        let service = Service {
            level: Level::Offline,
            reason: Reason::Starting,
            since: now.mono,
            since_wall: now.wall,
        };
        let mut session = Self {
            cx,
            identity,
            rest: Rest::new(),
            mqtt,
            devices,
            commands: CommandBook::default(),
            service,
            lost_at: Some(now.mono),
            captured,
            listed: captured,
            ended: false,
            next_request: 0,
            due: None,
        };
        if let Some(at) = session.identity.publish_denied_at() {
            session.mqtt.remember_denial(&session.cx, at);
        }
        session.want_devices();
        session.advance_clock(now);
        session.step();
        session
    }

    /// Moves time on. Calling it early, late or twice is harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance_clock(now);
        self.step();
    }

    /// Reports what became of an [`Output::Http`].
    pub fn handle_http(&mut self, now: Now, id: HttpId, result: HttpResult<'_>) {
        self.advance_clock(now);
        let identity_sent = self.identity.sent_at(id);
        let Some((sent, source)) = identity_sent.or_else(|| self.rest.sent_at(id)) else { return };
        let took = self.cx.mono().saturating_sub(sent);
        let doubt = matches!(result, HttpResult::Answer(answer) if self.learn_date(source, answer, took));
        if identity_sent.is_some() {
            self.identity.handle_http(&mut self.cx, result);
        } else if let Some((purpose, outcome)) =
            self.rest.handle_http(&mut self.cx, &mut self.identity, id, result)
        {
            self.rest_outcome(purpose, &outcome, result);
        }
        if doubt {
            // Only a second answer with another `Date` tells whether the host or the answer has the wrong time.
            self.rest.schedule_states_no_later_than(self.cx.after(SECOND_OPINION));
        }
        self.step();
    }

    /// Reports what is kept, as an [`Output::Load`] asked; `None` if nothing is, or it cannot be read. If another process
    /// of the account has renewed it, the session goes on from there.
    pub fn handle_stored(&mut self, now: Now, stored: Option<StoredSession>) {
        self.advance_clock(now);
        self.identity.handle_stored(&mut self.cx, stored);
        self.step();
    }

    /// Reports what became of an [`Output::Store`]. A driver that does not report is taken for one that keeps nothing; what
    /// could not be kept is asked to be kept again after a pause.
    pub fn handle_store_result(&mut self, now: Now, result: StoreResult) {
        self.advance_clock(now);
        self.identity.handle_store_result(&mut self.cx, result);
        self.step();
    }

    /// Reports that the WebSocket of an [`Output::Dial`] is open.
    pub fn handle_ws_opened(&mut self, now: Now, conn: ConnId) {
        self.advance_clock(now);
        if let Some(at) = self.mqtt.position(conn) {
            self.mqtt.handle_opened(&mut self.cx, at);
        }
        self.step();
    }

    /// Reports that an [`Output::Dial`] failed: with the HTTP status if the upgrade was answered, and its `Date`.
    pub fn handle_ws_refused(&mut self, now: Now, conn: ConnId, status: Option<u16>, date: Option<&str>) {
        self.advance_clock(now);
        if let Some(at) = self.mqtt.position(conn) {
            let answer = HttpAnswer { date, ..HttpAnswer::default() };
            self.learn_date(ClockSource::Broker, answer, Duration::ZERO);
            self.end_connection(at, CloseReason::Refused { status });
            // The clock may be wrong; an answer by HTTP tells.
            if status.is_some() && date.is_none() {
                self.rest.schedule_states_no_later_than(self.cx.mono());
            }
            // Credentials may be no good whatever they say of themselves; but the fault may be elsewhere.
            if matches!(status, Some(401 | 403)) && self.mqtt.refusals() % 4 == 2 {
                self.identity.drop_credentials();
            }
        }
        self.step();
    }

    /// Takes the payload of a binary WebSocket frame. A text frame ends the connection: report it as closed, and close.
    pub fn handle_ws_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        self.advance_clock(now);
        let Some(at) = self.mqtt.position(conn) else { return };
        if self.receive(at, bytes) || self.due.is_some_and(|due| due.at <= self.cx.mono()) {
            self.step();
        }
    }

    /// Reports that a WebSocket is closed, by whomever.
    pub fn handle_ws_closed(&mut self, now: Now, conn: ConnId) {
        self.advance_clock(now);
        if let Some(at) = self.mqtt.position(conn) {
            let ending = match self.mqtt.connections.get(at).map(Connection::is_live) {
                Some(true) => CloseReason::Closed,
                _ => CloseReason::Refused { status: None },
            };
            self.end_connection(at, ending);
        }
        self.step();
    }

    /// Asks for something to be done. What becomes of it is told by an [`Event::Verdict`], refusals included, within
    /// `deadline` ([`Settings::command_deadline`] if none is given).
    ///
    /// # Errors
    ///
    /// [`Busy`] if too many commands are unresolved or verdicts unread. Nothing was begun.
    pub fn command(
        &mut self,
        now: Now,
        device: DeviceId,
        change: Change,
        deadline: Option<Duration>,
    ) -> Result<CommandId, Busy> {
        self.advance_clock(now);
        if !self.has_room_for_commands(1) {
            return Err(Busy);
        }
        let deadline = deadline.unwrap_or(self.cx.settings.command_deadline);
        let id = self.begin(device, change, deadline);
        self.step();
        Ok(id)
    }

    /// Asks several thermostats for the same change. Each has a command of its own, with a verdict of its own; the ids are
    /// in the order of `devices`.
    ///
    /// They are sent [`Settings::device_spacing`] apart, and each has that much more time than the one before: `deadline`
    /// is that of the first.
    ///
    /// # Errors
    ///
    /// [`Busy`] if too many commands would be undecided or verdicts unread. Nothing was begun.
    pub fn command_many(
        &mut self,
        now: Now,
        devices: &[DeviceId],
        change: Change,
        deadline: Option<Duration>,
    ) -> Result<Vec<CommandId>, Busy> {
        self.advance_clock(now);
        if !self.has_room_for_commands(devices.len()) {
            return Err(Busy);
        }
        let mut deadline = deadline.unwrap_or(self.cx.settings.command_deadline);
        let mut ids = Vec::with_capacity(devices.len());
        for device in devices {
            ids.push(self.begin(*device, change, deadline));
            deadline = deadline.saturating_add(self.cx.settings.device_spacing);
        }
        self.step();
        Ok(ids)
    }

    fn has_room_for_commands(&self, more: usize) -> bool {
        let undecided = self.commands.len() + self.cx.outbox.unread_verdicts();
        undecided + more <= self.cx.settings.command_capacity
    }

    /// Checks a change and takes it into the book, or refuses it.
    fn begin(&mut self, device: DeviceId, change: Change, deadline: Duration) -> CommandId {
        let id = self.commands.next_id();
        let mut decisions = Vec::new();
        let checked = if self.ended {
            Err(Verdict::Expired(Expired::ShutDown))
        } else {
            let (cx, routes, _) = self.routes();
            routes.check(cx, device, change).map(|payload| *payload.change()).map_err(Verdict::Refused)
        };
        match checked {
            Ok(change) => {
                let known = self.devices.find(device);
                let already_so = known.is_some_and(|device| !device.is_stale() && device.holds(&change));
                self.commands.add(id, device, change, already_so, self.cx.now, deadline, &mut decisions);
            }
            Err(verdict) => {
                decisions.push(Decision { id, device, verdict, confirmed: None, by_second_channel: false });
            }
        }
        self.emit(decisions);
        self.update_pending(device);
        id
    }

    /// What [`Session::command`] would send if it was called now. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Refused`] as the verdict of the command would be.
    pub fn preview(&mut self, now: Now, device: DeviceId, change: Change) -> Result<Preview, Refused> {
        self.advance_clock(now);
        let (cx, routes, _) = self.routes();
        let payload = routes.check(cx, device, change)?;
        let payload_text = String::from_utf8_lossy(&payload.example(cx)).into_owned();
        let before = self.devices.find(device).map(Device::held).unwrap_or_default();
        Ok(Preview {
            channel: payload.channel(),
            change: *payload.change(),
            before: before.within(payload.change()),
            payload: payload_text,
        })
    }

    /// Takes a command back. What was not sent yet will not be; what was is unconfirmed from now on.
    pub fn cancel(&mut self, now: Now, id: CommandId) {
        self.advance_clock(now);
        self.give_up(|command| command.id == id, Expired::Cancelled);
        self.step();
    }

    /// Reports that the driver has bytes of a connection that its peer does not take, or that they are gone. While it is
    /// blocked no command's bytes are made for it: what waits is the command, which can still be taken back.
    pub fn handle_ws_blocked(&mut self, now: Now, conn: ConnId, blocked: bool) {
        self.advance_clock(now);
        if let Some(at) = self.mqtt.position(conn)
            && let Some(connection) = self.mqtt.connections.get_mut(at)
        {
            connection.set_blocked(blocked);
        }
        self.step();
    }

    /// Answers the challenge of an [`Event::Challenge`].
    ///
    /// # Errors
    ///
    /// [`NoChallenge`] if there is none, or none any more.
    pub fn answer_challenge(&mut self, now: Now, answer: &str) -> Result<(), NoChallenge> {
        self.advance_clock(now);
        let answered = !self.ended && self.identity.answer(&mut self.cx, answer);
        self.step();
        if answered { Ok(()) } else { Err(NoChallenge) }
    }

    /// Signs in anew with a password that a person has just given. What was refused before does not count any more. It
    /// begins at once, or two seconds after the last sign-in began; of several passwords until then, the last counts.
    pub fn sign_in(&mut self, now: Now, password: Secret) {
        self.advance_clock(now);
        if !self.ended && !self.captured {
            self.identity.sign_in(&self.cx, password);
            self.mqtt.start();
        }
        self.step();
    }

    /// Ends all connections, revokes the refresh token as far as that can be done, and asks for what was stored to be
    /// deleted. Commands are resolved.
    pub fn sign_out(&mut self, now: Now) {
        self.advance_clock(now);
        if !self.ended && !self.captured {
            self.close_all(Expired::Cancelled);
            self.identity.sign_out(&mut self.cx);
        }
        self.step();
    }

    /// Sends the caller's read to the REST service, authorised. The result comes as an [`Event::Response`].
    ///
    /// # Errors
    ///
    /// [`Busy`] if too many are under way, or too many responses unread. Nothing was begun.
    pub fn request(&mut self, now: Now, request: ReadRequest) -> Result<RequestId, Busy> {
        self.advance_clock(now);
        self.caller_request(request.into_request(), None)
    }

    /// Sends the caller's write of harmless settings to the REST service, authorised. The result comes as an
    /// [`Event::Response`]. It is never repeated after an answer that leaves its effect open. A session that is
    /// [`read_only`](Settings::read_only) sends nothing and reports [`RequestError::ReadOnly`].
    ///
    /// # Errors
    ///
    /// [`Busy`] as for [`Session::request`].
    pub fn write_settings(&mut self, now: Now, write: SettingsWrite) -> Result<RequestId, Busy> {
        self.advance_clock(now);
        let refused = self.cx.settings.read_only.then_some(RequestError::ReadOnly);
        self.caller_request(write.into_request(), refused)
    }

    fn caller_request(
        &mut self,
        request: RestRequest,
        refused: Option<RequestError>,
    ) -> Result<RequestId, Busy> {
        if self.rest.callers() + self.cx.outbox.unread_responses() >= CALLERS {
            return Err(Busy);
        }
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let nobody = self.captured || self.ended || self.service.level == Level::SignInNeeded;
        if let Some(error) = refused.or(nobody.then_some(RequestError::NotSignedIn)) {
            self.cx.outbox.keep(Event::Response { id, result: Err(error) });
        } else if !self.rest.ask(&self.cx, request, Purpose::Caller(id)) {
            return Err(Busy);
        }
        self.step();
        Ok(id)
    }

    /// Says that the host's network has changed: connections are tried at once instead of at their next ping.
    pub fn network_changed(&mut self, now: Now) {
        self.advance_clock(now);
        self.mqtt.probe(&mut self.cx);
        self.step();
    }

    /// Ends everything in good order: every command is resolved, MQTT says goodbye, connections close. Fetch the output
    /// once more; after that the session does nothing.
    pub fn shutdown(&mut self, now: Now) {
        self.advance_clock(now);
        if !self.ended {
            self.close_all(Expired::ShutDown);
            self.ended = true;
        }
        self.step();
    }

    /// Signs a URL for another MQTT program to connect with, by the cloud's own time. It is not one of those that this
    /// session dials. A session that has a captured URL has only that one to give.
    ///
    /// `None` while there is nothing to sign with: nobody is signed in yet, or there is no thermostat to listen to.
    pub fn presign(&mut self, now: Now) -> Option<PresignedUrl> {
        self.advance_clock(now);
        let signed = self.mqtt.sign(&mut self.cx, &self.identity);
        self.step();
        signed.map(|(url, ..)| url)
    }

    /// The next thing to do, or `None` until something else happens.
    ///
    /// Events come after everything else. A driver whose reader may be slow calls [`Session::poll_io`] instead, and
    /// fetches events by [`Session::poll_event`] only when the reader can take one: what waits here is bounded.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.poll_io().or_else(|| self.poll_event().map(Output::Event))
    }

    /// The next thing to do for the network or the store; never an event.
    ///
    /// The bytes of a command are made here, when the driver takes them, and only if it is undecided, the newest for its
    /// fields and in time by the last [`Now`] that the session was given.
    pub fn poll_io(&mut self) -> Option<Output> {
        loop {
            match self.cx.outbox.next_work()? {
                Work::Output(output) => return Some(output),
                Work::Publish { conn, serial } => {
                    if let Some(bytes) = self.publish(conn, serial) {
                        return Some(Output::Send { conn, bytes });
                    }
                }
                Work::Repeat { conn, packet } => {
                    if let Some(bytes) = self.repeat_publish(conn, packet) {
                        return Some(Output::Send { conn, bytes });
                    }
                }
                Work::Update { serial } => {
                    if let Some(request) = self.update(serial) {
                        return Some(Output::Http(request));
                    }
                }
            }
        }
    }

    /// The bytes of a command that its connection takes now.
    fn publish(&mut self, conn: ConnId, serial: u64) -> Option<Packets> {
        let sent = self.sent_now();
        let Self { cx, mqtt, commands, .. } = self;
        let connection = mqtt
            .position(conn)
            .and_then(|at| mqtt.connections.get_mut(at))
            .filter(|connection| connection.is_live() && connection.is_ready());
        let Some(connection) = connection else {
            commands.unqueue(serial);
            return None;
        };
        let mut decisions = Vec::new();
        let taken = commands.take(serial, sent, cx.now, &mut decisions);
        let bytes = taken.map(|(device, payload)| {
            let mut body = Vec::with_capacity(320);
            payload.encode_mqtt(serial, cx, &mut body);
            // Where there is another channel it is tried after one repeat: the command has little time.
            let retries = cx.settings.publish_retries;
            connection.publish_command(cx, device, &body, serial, retries)
        });
        if bytes.is_some() && !self.captured {
            let at = self.cx.after(STATE_CHECK_DELAY);
            self.rest.schedule_states_no_later_than(at);
        }
        self.emit(decisions);
        self.due = Some(Deadline::new(self.cx.mono(), Wake::Work));
        bytes
    }

    /// The bytes of a publish that is repeated now, if its command still lives.
    fn repeat_publish(&mut self, conn: ConnId, packet: PacketId) -> Option<Packets> {
        let Self { cx, mqtt, commands, .. } = self;
        let connection = mqtt.position(conn).and_then(|at| mqtt.connections.get_mut(at))?;
        let serial = connection.command_in_flight(packet)?;
        let Some((device, payload)) = commands.repeat(serial, cx.now).filter(|_| !connection.is_blocked())
        else {
            return None;
        };
        let mut body = Vec::with_capacity(320);
        payload.encode_mqtt(serial, cx, &mut body);
        Some(Connection::repeated(device, &body, packet))
    }

    /// The request of a command by the structured service, as it is sent now.
    fn update(&mut self, serial: u64) -> Option<HttpRequest> {
        let sent = self.sent_now();
        let Self { cx, identity, rest, commands, .. } = self;
        let Some(token) = identity.id_token(cx).map(Secret::from) else {
            commands.unqueue(serial);
            return None;
        };
        let renewed = commands.is_token_retry(serial);
        let mut decisions = Vec::new();
        let taken = commands.take(serial, sent, cx.now, &mut decisions);
        let request = taken.and_then(|(device, payload)| {
            let Payload::Structured(update) = payload else { return None };
            let request = mysa_proto::rest::update_state(device, &update);
            Some(rest.update(cx, &token, request.as_request(), serial, renewed))
        });
        self.emit(decisions);
        self.due = Some(Deadline::new(self.cx.mono(), Wake::Work));
        request
    }

    fn sent_now(&self) -> SentAt {
        SentAt::new(self.cx.mono(), self.cx.time(), self.cx.latest_time())
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let count = self.cx.outbox.take_dropped();
        if count > 0 {
            return Some(Event::Dropped { count });
        }
        loop {
            match self.cx.outbox.next_event()? {
                QueuedEvent::Kept(event) | QueuedEvent::Other(event) => return Some(*event),
                QueuedEvent::Service => return Some(Event::Service(self.service)),
                QueuedEvent::Device(device) => {
                    let Some(known) = self.devices.find_mut(device) else { continue };
                    let PendingNotice { changes, about, skipped, .. } = core::mem::take(&mut known.notice);
                    return Some(Event::Device { device, changes, about, skipped });
                }
            }
        }
    }

    /// When to call [`Session::handle_timeout`] next, and what for. Already due while there is something to do; events
    /// that wait do not count.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.cx.outbox.has_work() { Some(Deadline::new(self.cx.mono(), Wake::Output)) } else { self.due }
    }

    /// The degree of service.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// The account's thermostats, by id.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = &Device> {
        self.devices.iter()
    }

    /// One thermostat.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.find(id)
    }

    /// Everything a thermostat was observed to say.
    #[must_use]
    pub fn state(&self, id: DeviceId) -> Option<&DeviceState> {
        self.devices.find(id).map(Device::state)
    }

    /// Whether the broker has granted the subscription to a thermostat's statuses, on a connection that is up.
    #[must_use]
    pub fn is_subscribed(&self, id: DeviceId) -> bool {
        self.mqtt.subscription(id) == Some(SubscriptionState::Granted)
    }

    /// The user's id, once signed in.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.identity.user()
    }

    /// The cloud's time, as far as it is known, at a reading of the host's clocks.
    #[must_use]
    pub const fn cloud_time(&self, now: Now) -> mysa_proto::UnixTime {
        self.cx.clock.time(now)
    }

    /// The earliest and the latest time that the cloud may have at a reading of the host's clocks. `None` until two
    /// answers agree on it: of two hosts, or of one host at two times.
    #[must_use]
    pub fn cloud_time_bounds(&self, now: Now) -> Option<(mysa_proto::UnixTime, mysa_proto::UnixTime)> {
        self.cx.clock.is_corroborated().then(|| self.cx.clock.bounds(now))
    }

    /// By how many milliseconds the cloud's clock is ahead of the host's.
    #[must_use]
    pub const fn clock_ahead_ms(&self) -> i64 {
        self.cx.clock.ahead_ms()
    }

    /// The settings it began with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.cx.settings
    }

    fn advance_clock(&mut self, now: Now) {
        let mono = now.mono.max(self.cx.now.mono);
        self.cx.now = Now { mono, ..now };
        let Some(jump_ms) = self.cx.clock.tick(self.cx.now) else { return };
        if let Ok(ahead) = u64::try_from(jump_ms) {
            self.identity.age(Duration::from_millis(ahead));
        }
        self.mqtt.probe(&mut self.cx);
        self.rest.schedule_states_no_later_than(mono);
        self.due = Some(Deadline::new(mono, Wake::Work));
    }

    /// Learns the cloud's time from an answer. True if it takes a second one to believe it.
    fn learn_date(&mut self, source: ClockSource, answer: HttpAnswer<'_>, took: Duration) -> bool {
        let Some(date) = answer.date else { return false };
        match self.cx.clock.learn(self.cx.now, source, date, answer.age, took) {
            Learned::Nothing => false,
            Learned::Doubt => true,
            Learned::Moved(ahead_ms) => {
                self.cx.event(Event::ClockOff { ahead_ms });
                false
            }
        }
    }

    /// Passes bytes through a connection. True if anything came of it that others must act on.
    fn receive(&mut self, at: usize, bytes: &[u8]) -> bool {
        let Self { cx, mqtt, devices, commands, .. } = self;
        let Some(connection) = mqtt.connections.get_mut(at) else { return false };
        let mut events = Vec::new();
        let mut decisions = Vec::new();
        let mut work = false;
        connection.receive(cx, bytes, &mut events, |cx, message| {
            work |= devices.take_message(cx, commands, message, &mut decisions);
        });
        let any = work || !events.is_empty() || !decisions.is_empty();
        if any {
            self.mqtt.apply_events(&mut self.cx, at, &mut events);
            self.apply_connection_events(&events);
            self.emit(decisions);
        }
        any
    }

    fn end_connection(&mut self, at: usize, ending: CloseReason) {
        self.mqtt.end(&mut self.cx, at, ending);
        self.apply_ended_connections();
    }

    /// What was to be sent on a connection that has ended waits again; what the broker had not acknowledged goes by the
    /// other channel, if there is one.
    fn apply_ended_connections(&mut self) {
        for conn in self.mqtt.take_ended() {
            for serial in self.commands.connection_ended(conn) {
                self.publish_failed(serial);
            }
        }
    }

    pub(crate) fn publish_failed(&mut self, serial: u64) {
        let Some(device) = self.commands.device_of(serial) else { return };
        let (cx, routes, commands) = self.routes();
        let second = routes.has_second_channel(cx, device);
        let mut decisions = Vec::new();
        commands.publish_failed(serial, second, &mut decisions);
        self.emit(decisions);
    }

    /// Everybody goes: commands are decided, callers told, connections closed.
    fn close_all(&mut self, why: Expired) {
        self.give_up(|_| true, why);
        self.commands.requests_dropped();
        for id in self.rest.stop() {
            self.cx.outbox.keep(Event::Response { id, result: Err(RequestError::NotSignedIn) });
        }
        self.mqtt.stop(&mut self.cx);
        self.apply_ended_connections();
    }

    /// Decides the chosen commands at once.
    pub(crate) fn give_up(&mut self, chosen: impl Fn(&OpenCommand) -> bool, why: Expired) {
        let Self { cx, commands, devices, .. } = self;
        let mut decisions = Vec::new();
        commands.give_up(chosen, why, cx.now, |command| devices.seen_since(command), &mut decisions);
        self.emit(decisions);
    }

    /// Decides the commands that have had their time.
    fn expire_commands(&mut self) {
        let Self { cx, commands, devices, .. } = self;
        if commands.is_empty() {
            return;
        }
        let mut decisions = Vec::new();
        commands.expire(cx.now, |command| devices.seen_since(command), &mut decisions);
        self.emit(decisions);
    }

    /// Queues what may be sent, and asks for the evidence that is due.
    fn dispatch_commands(&mut self) {
        if self.commands.is_empty() {
            return;
        }
        let mut decisions = Vec::new();
        let (cx, mut routes, commands) = self.routes();
        commands.dispatch(cx, &mut routes, &mut decisions);
        self.emit(decisions);
        let now = self.cx.mono();
        for device in self.commands.due_looks(now) {
            let request = mysa_proto::rest::structured_state(device).into_request();
            self.rest.ask(&self.cx, request, Purpose::Reported(device));
        }
    }

    /// The ways to the thermostats, and the book, as a dispatch needs them.
    fn routes(&mut self) -> (&mut Context, Routes<'_>, &mut CommandBook) {
        let Self { cx, identity, rest, mqtt, devices, commands, service, captured, .. } = self;
        let routes =
            Routes { auth: identity, rest, mqtt, devices, level: service.level, captured: *captured };
        (cx, routes, commands)
    }

    /// Passes verdicts on, with what is known to hold because of them. Nothing more is transmitted for what is decided.
    pub(crate) fn emit(&mut self, decisions: Vec<Decision>) {
        if decisions.is_empty() {
            return;
        }
        for Decision { id, device, verdict, confirmed, by_second_channel } in decisions {
            if let Some(confirmed) = confirmed {
                let Self { cx, devices, .. } = self;
                if let Some(device) = devices.find_mut(device) {
                    device.confirm(cx, &confirmed);
                }
                if by_second_channel && self.mqtt.permission.is_doubtful() {
                    let probe_at = self.cx.after(self.cx.settings.read_only_probe);
                    self.mqtt.permission.deny(self.cx.time(), probe_at);
                }
            }
            self.cx.outbox.keep(Event::Verdict { id, device, verdict });
            self.update_pending(device);
        }
        for serial in self.commands.retire() {
            if let Some(at) = self.mqtt.release(serial) {
                self.end_connection(at, CloseReason::GivenUp);
            }
        }
    }

    /// Lets a thermostat show what is asked of it and not decided.
    fn update_pending(&mut self, device: DeviceId) {
        let pending = self.commands.pending(device);
        if let Some(device) = self.devices.find_mut(device) {
            device.pending = pending;
        }
    }

    pub(crate) fn want_devices(&mut self) {
        let Self { cx, mqtt, devices, .. } = self;
        mqtt.want(cx, devices.iter().map(Device::id));
    }

    /// Does all that is due. A few rounds, since one thing leads to another; what is left is due at once.
    fn step(&mut self) {
        for _ in 0..4 {
            if self.ended {
                self.due = None;
                self.update_service();
                return;
            }
            let mut events: Vec<ConnectionEvent> = Vec::new();
            if !self.captured {
                let wanted = self.mqtt.wants_credentials();
                self.identity.step(&mut self.cx, wanted);
                let have_devices = self.devices.len() > 0;
                if let Some(lost) = self.rest.step(&mut self.cx, &mut self.identity, have_devices) {
                    let failed = HttpResult::Failed(crate::HttpFailure::Timeout);
                    self.rest_outcome(lost, &Outcome::Failed, failed);
                }
                self.release_callers();
            }
            self.expire_commands();
            self.dispatch_commands();
            self.mqtt.step(&mut self.cx, &self.identity, &mut events);
            self.apply_connection_events(&events);
            self.apply_ended_connections();
            self.keep_permission();
            self.ask_live_reports();
            self.find_stale();
            self.update_service();
            self.due = self.next_due();
            if self.due.is_none_or(|due| due.at > self.cx.mono()) {
                return;
            }
        }
    }

    /// Callers of a session that cannot ask any more are told so.
    fn release_callers(&mut self) {
        if self.identity.blocked().is_some()
            && self.identity.id_token(&self.cx).is_none()
            && self.rest.callers() > 0
        {
            for id in self.rest.drop_callers() {
                self.cx.outbox.keep(Event::Response { id, result: Err(RequestError::NotSignedIn) });
            }
        }
    }

    /// Keeps what was learnt of the permission to publish with the stored session.
    fn keep_permission(&mut self) {
        if self.captured || !self.mqtt.permission.is_known() {
            return;
        }
        let denied_at = self.mqtt.permission.denied_at().map(mysa_proto::UnixTime::as_secs);
        self.identity.set_publish_denied_at(&mut self.cx, denied_at);
    }

    fn next_due(&mut self) -> Option<Deadline> {
        let mut due = self.mqtt.deadline(&self.cx, &self.identity);
        if !self.captured {
            due = earlier(due, self.identity.deadline(self.mqtt.wants_credentials()));
            due = earlier(due, self.rest.deadline(&self.cx, &self.identity, self.devices.len() > 0));
        }
        if !self.commands.is_empty() {
            let (cx, routes, commands) = self.routes();
            due = earlier(due, commands.due(cx, &routes));
        }
        earlier(due, self.watch_due())
    }

    /// Why the identity cannot go on, in the words of the service.
    pub(crate) fn sign_in_reason(&self) -> Option<Reason> {
        if self.captured {
            return self.mqtt.captured_lapsed(&self.cx).then_some(Reason::CapturedUrlLapsed);
        }
        if self.identity.challenge_open() {
            return Some(Reason::ChallengeOpen);
        }
        match self.identity.blocked()? {
            Reason::Refused(RefusalKind::LockedOut) => Some(Reason::Throttled),
            reason => Some(reason),
        }
    }
}
