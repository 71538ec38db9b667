use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_cognito::{RefusalKind, Secret, StoredSession};
use mysa_proto::rest::{
    DeviceList, DeviceStates, ReadRequest, RestRequest, SettingsWrite, StructuredState, User,
};
use mysa_proto::{Change, Changes, DeviceId, DeviceState, TopicKind};
use mysa_sigv4::PresignedUrl;

use crate::auth::Identity;
use crate::clock::{ClockSource, CloudClock, Learned};
use crate::commands::book::{CommandBook, Decision};
use crate::commands::dispatch::Routes;
use crate::commands::open_command::OpenCommand;
use crate::context::Context;
use crate::devices::{Delivery, Device, Devices, PendingNotice};
use crate::entropy::Entropy;
use crate::mqtt::connection::{Connection, ConnectionEvent, Publishing};
use crate::mqtt::pool::{CloseReason, ConnectionPool};
use crate::mqtt::subscription::{SubscriptionState, TopicFilter};
use crate::now::earlier;
use crate::outbox::{Outbox, QueuedEvent, Work};
use crate::rest::{Deferred, Outcome, Purpose, Rest};
use crate::service::{ServiceFacts, ServiceTracker};
use crate::{
    Busy, CommandId, ConnId, Deadline, Diagnosis, Environment, Event, Expired, HttpAnswer, HttpFailure,
    HttpId, HttpResult, Level, Now, Output, Preview, Reason, Refused, RequestError, RequestId, Response,
    Revocation, Service, Settings, Start, StoreResult, Verdict, Wake,
};

mod routing;

/// One account's client. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct Session {
    cx: Context,
    identity: Identity,
    rest: Rest,
    mqtt: ConnectionPool,
    devices: Devices,
    commands: CommandBook,
    service: ServiceTracker,
    /// Signed in or not, this session has no use for REST.
    captured: bool,
    /// The device list has been read.
    listed: bool,
    ended: bool,
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
/// When a list from which somebody is missing is read again.
const SECOND_LIST: Duration = Duration::from_secs(30);
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
        let service = ServiceTracker::new(&cx);
        let mut session = Self {
            cx,
            identity,
            rest: Rest::new(),
            mqtt,
            devices,
            commands: CommandBook::default(),
            service,
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
                let command = OpenCommand::new(id, device, change, already_so, self.cx.now, deadline);
                self.commands.add(command, &mut decisions);
            }
            Err(verdict) => {
                decisions.push(Decision {
                    id,
                    device,
                    verdict,
                    confirmed: None,
                    by_structured: false,
                    mqtt_failed: false,
                });
            }
        }
        self.emit(decisions);
        self.update_pending(device);
        id
    }

    /// Returns what [`Session::command`] would send now. Sends nothing.
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

    /// Ends all connections, resolves commands, and revokes the refresh token. [`Event::SignedOut`] says what became of it,
    /// at the latest when the request has had its time; unless the cloud could not be reached, what was stored is deleted.
    pub fn sign_out(&mut self, now: Now) {
        self.advance_clock(now);
        if !self.ended && !self.captured {
            self.close_all(Expired::Cancelled);
            self.identity.sign_out(&mut self.cx);
        } else {
            self.cx.outbox.keep(Event::SignedOut { revoked: Revocation::NothingToRevoke });
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
        self.caller_request(request.into_request(), Purpose::Read, None)
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
        self.caller_request(write.into_request(), Purpose::Write, refused)
    }

    fn caller_request(
        &mut self,
        request: RestRequest,
        purpose: impl FnOnce(RequestId) -> Purpose,
        refused: Option<RequestError>,
    ) -> Result<RequestId, Busy> {
        if self.rest.callers() + self.cx.outbox.unread_responses() >= CALLERS {
            return Err(Busy);
        }
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let nobody = self.captured || self.ended || self.service.service.level == Level::SignInNeeded;
        if let Some(error) = refused.or(nobody.then_some(RequestError::NotSignedIn)) {
            self.cx.outbox.keep(Event::Response { id, result: Err(error) });
        } else if !self.rest.ask(&self.cx, request, purpose(id)) {
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
                    let Self { cx, mqtt, commands, .. } = self;
                    let mut decisions = Vec::new();
                    let packet = commands.publish(cx, mqtt, conn, serial, &mut decisions);
                    if packet.is_some() && !self.captured {
                        let at = self.cx.after(STATE_CHECK_DELAY);
                        self.rest.schedule_states_no_later_than(at);
                    }
                    self.transmitted(decisions);
                    if let Some(bytes) = packet {
                        return Some(Output::Send { conn, bytes });
                    }
                }
                Work::Repeat { conn, packet } => {
                    if let Some(bytes) = self.commands.republish(&self.cx, &self.mqtt, conn, packet) {
                        return Some(Output::Send { conn, bytes });
                    }
                }
                Work::Update { serial } => {
                    let Self { cx, identity, rest, commands, .. } = self;
                    let request = commands.request(cx, identity, rest, serial);
                    self.transmitted(Vec::new());
                    if let Some(request) = request {
                        return Some(Output::Http(request));
                    }
                }
            }
        }
    }

    /// The body of a request whose body is [deferred](crate::HttpBody::Deferred), for a driver that writes the request at once.
    ///
    /// The driver asks when the TLS connection to the host stands, right before it writes the first byte. `None` if
    /// nothing may be sent any more: the command is decided, overtaken or too late by either clock. The driver then
    /// closes the connection, and reports nothing.
    pub fn deferred_body(&mut self, now: Now, id: HttpId) -> Option<Secret> {
        self.advance_clock(now);
        let body = match self.rest.take_deferred(self.cx.now, id)? {
            Deferred::Body(body) => Some(body),
            Deferred::GivenUp(purpose) => {
                self.rest_outcome(purpose, &Outcome::NotSent, HttpResult::Failed(HttpFailure::Timeout));
                None
            }
            Deferred::Command { serial } => {
                let Self { cx, commands, .. } = self;
                let mut decisions = Vec::new();
                let body = commands.body(cx, serial, &mut decisions);
                if body.is_none() {
                    self.rest.withdraw(id);
                }
                self.emit(decisions);
                body
            }
        };
        self.step();
        body
    }

    /// A command was taken, or not: both change what is due.
    fn transmitted(&mut self, decisions: Vec<Decision>) {
        self.emit(decisions);
        self.due = Some(Deadline::new(self.cx.mono(), Wake::Work));
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
                QueuedEvent::Service => return Some(Event::Service(self.service.service)),
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

    /// Progress with each step on the way to live statuses. Cheap, and changes nothing.
    #[must_use]
    pub fn diagnosis(&self, now: Now) -> Diagnosis {
        Diagnosis::of(&self.cx, &self.identity, &self.rest, &self.mqtt, &self.devices, now)
    }

    /// The degree of service.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service.service
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
}
