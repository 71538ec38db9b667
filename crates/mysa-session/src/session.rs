use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hint::black_box;
use core::time::Duration;

use mysa_cognito::{RefusalKind, Secret, StoredSession};
use mysa_proto::rest::{
    DeviceList, DeviceStates, ReadRequest, RestRequest, SettingsWrite, StructuredState, User,
};
use mysa_proto::{Change, Changes, DeviceId, DeviceState, Model, TopicKind};
use mysa_sigv4::PresignedUrl;

use crate::auth::Identity;
use crate::clock::{ClockSource, CloudClock, Learned};
use crate::commands::book::{CommandBook, Decision};
use crate::commands::dispatch::Routes;
use crate::commands::open_command::OpenCommand;
use crate::context::Context;
use crate::control_plane::{BrokerHost, ControlPlane};
use crate::devices::{Delivery, Device, Devices, PendingNotice};
use crate::entropy::Entropy;
use crate::mqtt::connection::ConnectionEvent;
use crate::mqtt::pool::{CloseReason, ConnectionPool};
use crate::mqtt::publishes::Publishing;
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

/// Client of one account. See the [crate's documentation](crate).
// What every message reads or writes is in the middle, next to each other: in a process of many sessions, each cache line and each
// page of it has to be fetched from memory.
#[derive(Debug)]
#[repr(C)]
pub struct Session {
    identity: Identity,
    rest: Rest,
    control_plane: ControlPlane,
    service: ServiceTracker,
    mqtt: ConnectionPool,
    devices: Devices,
    due: Option<Deadline>,
    commands: CommandBook,
    /// `true` if the reason of the service is that no message arrives, which any message disproves.
    unproven: bool,
    /// `true` for [`Start::Captured`]: the session has no account and never uses REST.
    captured: bool,
    /// `true` once the device list has been read. Always `true` if the session is captured.
    listed: bool,
    ended: bool,
    cx: Context,
    next_request: u64,
}

/// Error: no challenge waits for an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the error has no details")]
pub struct NoChallenge;

impl fmt::Display for NoChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no challenge waits for an answer")
    }
}

impl core::error::Error for NoChallenge {}

/// Pause before the second request that settles the cloud's time. `Date` has whole seconds, so a repeat within the same
/// second would prove nothing new.
const SECOND_ANSWER_DELAY: Duration = Duration::from_secs(2);
/// Pause before a device list is read again because a known thermostat is missing from it.
const SECOND_LIST_DELAY: Duration = Duration::from_secs(30);
/// Time from sending a command by MQTT to the REST reading that looks for its effect, in case no message reports one.
const STATE_CHECK_DELAY: Duration = Duration::from_secs(6);
/// Maximum number of requests of callers that are in flight, including unread responses.
const CALLERS: usize = 24;

impl Session {
    /// Begins a session. The caller draws `seed` from the operating system and never reuses it: the sign-in keys derive
    /// from it. The sessions of a process can share one environment.
    #[must_use]
    pub fn new(
        settings: Settings,
        environment: impl Into<Arc<Environment>>,
        start: Start,
        seed: [u8; 32],
        now: Now,
    ) -> Self {
        let environment = environment.into();
        let client_id = environment.pool.client_id.clone();
        let flow = settings.refresh_flow;
        let lookup = settings.lookup_endpoint && !matches!(start, Start::Captured { .. });
        let cx = Context {
            raw_messages: settings.raw_messages,
            settings: settings.with_minimums(),
            environment,
            broker: BrokerHost::new(lookup),
            now,
            entropy: Entropy::new(seed),
            clock: CloudClock::default(),
            outbox: Outbox::default(),
        };
        let mut devices = Devices::default();
        let (identity, mqtt, captured) = match start {
            Start::Password { username, password } => (
                Identity::with_password(&username, password, &client_id, flow),
                ConnectionPool::new(None),
                false,
            ),
            Start::Resume { stored, password } => {
                (Identity::resume(stored, password, &client_id, flow), ConnectionPool::new(None), false)
            }
            Start::Captured { url, devices: known } => {
                for (id, model) in known.into_iter().take(cx.settings.max_devices) {
                    devices.add(Device::new(id, model, now.mono));
                }
                // A captured URL needs no account, so an empty one takes its place.
                let nobody = StoredSession::new("", &client_id);
                (Identity::resume(nobody, None, &client_id, flow), ConnectionPool::new(Some(url)), true)
            }
        };
        let service = ServiceTracker::new(&cx);
        let mut session = Self {
            cx,
            identity,
            rest: Rest::new(),
            control_plane: ControlPlane::default(),
            mqtt,
            devices,
            commands: CommandBook::default(),
            service,
            unproven: false,
            captured,
            listed: captured,
            ended: false,
            next_request: 0,
            due: None,
        };
        if let Some(at) = session.identity.publish_denied_at() {
            session.mqtt.remember_denial(&session.cx, at);
        }
        // A captured session reads no list of thermostats, so it can dial at once.
        session.want_devices();
        session.advance_clock(now);
        session.step();
        session
    }

    /// Advances the time to `now` and performs what is due. Early, late or repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance_clock(now);
        self.step();
    }

    /// Reports the outcome of an [`Output::Http`].
    pub fn handle_http(&mut self, now: Now, id: HttpId, result: HttpResult<'_>) {
        self.advance_clock(now);
        if self.control_plane.has(id) {
            self.control_plane.handle_http(&mut self.cx, id, result);
            self.step();
            return;
        }
        // An id that no part knows belongs to a request that has already timed out or was withdrawn.
        let identity_sent = self.identity.sent_at(id);
        let Some((sent, source)) = identity_sent.or_else(|| self.rest.sent_at(id)) else { return };
        // `Date` was written while the request was in flight, so its duration bounds the error.
        let took = self.cx.mono().saturating_sub(sent);
        let needs_second =
            matches!(result, HttpResult::Answer(answer) if self.learn_date(source, answer, took));
        if identity_sent.is_some() {
            self.identity.handle_http(&mut self.cx, result);
        } else if let Some((purpose, outcome)) =
            self.rest.handle_http(&mut self.cx, &mut self.identity, id, result)
        {
            self.rest_outcome(purpose, &outcome, result);
        }
        if needs_second {
            // The first answer may come from a cache or from a host with a wrong clock; a second `Date` decides between
            // them and the local clock.
            self.rest.schedule_states_no_later_than(self.cx.after(SECOND_ANSWER_DELAY));
        }
        self.step();
    }

    /// Reports the stored session that an [`Output::Load`] asked for, or `None` if nothing is stored or it cannot be
    /// read. If another process of the account has renewed the tokens, this session continues with the renewed ones.
    pub fn handle_stored(&mut self, now: Now, stored: Option<StoredSession>) {
        self.advance_clock(now);
        self.identity.handle_stored(&mut self.cx, stored);
        self.step();
    }

    /// Reports the outcome of an [`Output::Store`]. A failed store is requested again after a pause. If no outcome is
    /// reported in time, the session assumes that the driver stores nothing, until it is reported.
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

    /// Reports that an [`Output::Dial`] failed. `status` and `date` are the HTTP status and the `Date` header if the
    /// upgrade was answered.
    pub fn handle_ws_refused(&mut self, now: Now, conn: ConnId, status: Option<u16>, date: Option<&str>) {
        self.advance_clock(now);
        if let Some(at) = self.mqtt.position(conn) {
            let answer = HttpAnswer { date, ..HttpAnswer::default() };
            self.learn_date(ClockSource::Broker, answer, Duration::ZERO);
            self.end_connection(at, CloseReason::Refused { status });
            // A wrong clock invalidates signatures. A REST answer has a `Date`, which shows whether that is the cause.
            if status.is_some() && date.is_none() {
                self.rest.schedule_states_no_later_than(self.cx.mono());
            }
            // The broker may reject credentials that have not expired, so new ones are fetched. The cause may also lie
            // elsewhere, so this happens only on every fourth refusal.
            if matches!(status, Some(401 | 403)) && self.mqtt.refusals() % 4 == 2 {
                self.identity.drop_credentials();
            }
        }
        self.step();
    }

    /// Processes the payload of one binary WebSocket frame. Text frames are not MQTT: the driver closes such a
    /// connection and reports it by [`Session::handle_ws_closed`].
    pub fn handle_ws_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        self.advance_clock(now);
        let Some(at) = self.mqtt.position(conn) else { return };
        // Most messages are statuses that change nothing outside their thermostat, so no step is needed.
        if self.receive(at, bytes) || self.due.is_some_and(|due| due.at <= self.cx.mono()) {
            self.step();
        }
    }

    /// Reads the memory that most calls need first, so that the processor fetches it into its caches. It has no other effect.
    ///
    /// For drivers of very many sessions, in which hardly anything of a session is in a cache when its turn comes: called for each
    /// of a group of about 16 sessions before their frames and timers are handled, it lets some of the waits for memory
    /// overlap. With fewer than thousands of sessions it is of no use.
    pub fn prefetch(&self) {
        // The reads depend on nothing but the session and its two lists, so the processor does not wait between them.
        black_box((
            self.due,
            self.commands.is_empty(),
            self.cx.now,
            self.cx.outbox.has_work(),
            self.cx.clock.ahead_ms(),
            self.devices.iter().next().map(|first| first.last_seen),
            self.mqtt.connections.first().map(|first| (first.id, first.last_received())),
        ));
    }

    /// Reports that a WebSocket is closed, by either side.
    pub fn handle_ws_closed(&mut self, now: Now, conn: ConnId) {
        self.advance_clock(now);
        if let Some(at) = self.mqtt.position(conn) {
            // A close before CONNACK counts as a refused connection, not as a lost one.
            let ending = match self.mqtt.connections.get(at) {
                Some(connection) if connection.is_live() => CloseReason::Closed,
                Some(connection) if connection.is_connecting() => CloseReason::ClosedAtConnect,
                _ => CloseReason::Refused { status: None },
            };
            self.end_connection(at, ending);
        }
        self.step();
    }

    /// Queues a change for a thermostat. Its outcome, including a refusal, arrives as an [`Event::Verdict`] within
    /// `deadline`, which defaults to [`Settings::command_deadline`].
    ///
    /// # Errors
    ///
    /// [`Busy`] if too many commands are undecided or too many verdicts unread. Nothing is queued.
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
        // Refusals are verdicts too, so callers have one place to handle them.
        let id = self.begin(device, change, deadline);
        self.step();
        Ok(id)
    }

    /// Queues the same change for several thermostats. Each gets its own command and its own verdict; the ids are in
    /// the order of `devices`.
    ///
    /// The commands are sent [`Settings::device_spacing`] apart, and the deadline of each is that much later than the
    /// one before. `deadline` applies to the first.
    ///
    /// # Errors
    ///
    /// [`Busy`] if too many commands would be undecided or too many verdicts are unread. Nothing is queued.
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

    /// Validates a change and adds it to the command book, or decides it as refused.
    fn begin(&mut self, device: DeviceId, change: Change, deadline: Duration) -> CommandId {
        let id = self.commands.next_id();
        let mut decisions = Vec::new();
        let checked = if self.ended {
            Err(Verdict::Expired(Expired::ShutDown))
        } else {
            let (cx, routes, commands) = self.routes();
            routes
                .check(cx, commands, device, change)
                .map(|payload| *payload.change())
                .map_err(Verdict::Refused)
        };
        match checked {
            Ok(change) => {
                let known = self.devices.find(device);
                // A stale state does not prove that the values still hold.
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

    /// Returns the message that [`Session::command`] would send now, without sending it.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the reason that the verdict of such a command would have.
    pub fn preview(&mut self, now: Now, device: DeviceId, change: Change) -> Result<Preview, Refused> {
        self.advance_clock(now);
        let (cx, routes, commands) = self.routes();
        let payload = routes.check(cx, commands, device, change)?;
        // Payloads are JSON, and so valid UTF-8.
        let payload_text = String::from_utf8_lossy(&payload.example(cx)).into_owned();
        let before = self.devices.find(device).map(Device::held).unwrap_or_default();
        Ok(Preview {
            channel: payload.channel(),
            change: *payload.change(),
            before: before.within(payload.change()),
            payload: payload_text,
        })
    }

    /// Cancels a command. If it has not been sent, it never will be; if it has, its verdict is
    /// [`Verdict::Unconfirmed`], and what has not left this host is recalled, with the other commands of the same request. The
    /// structured service may still carry out a request that has left, so the next command for the thermostat then waits for up to
    /// [`Settings::http_timeout`], and expires if its time is shorter. To change one's mind, give a newer command instead.
    pub fn cancel(&mut self, now: Now, id: CommandId) {
        self.advance_clock(now);
        self.give_up(|command| command.id == id, Expired::Cancelled);
        self.step();
    }

    /// Reports whether the driver holds bytes of a connection that the peer does not accept. While a connection is
    /// blocked, no command is encoded for it: the command itself waits, and can still be cancelled.
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
    /// [`NoChallenge`] if no challenge waits, or the one that did has ended.
    pub fn answer_challenge(&mut self, now: Now, answer: &str) -> Result<(), NoChallenge> {
        self.advance_clock(now);
        let answered = !self.ended && self.identity.answer(&mut self.cx, answer);
        self.step();
        if answered { Ok(()) } else { Err(NoChallenge) }
    }

    /// Signs in again with a password that a person has just entered, and discards earlier refusals. The sign-in begins
    /// at once, or two seconds after the previous one began. If several passwords arrive in that time, the last one is
    /// used.
    pub fn sign_in(&mut self, now: Now, password: Secret) {
        self.advance_clock(now);
        if !self.ended && !self.captured {
            self.identity.sign_in(&self.cx, password);
            // An earlier sign-out may have stopped the pool.
            self.mqtt.start();
        }
        self.step();
    }

    /// Signs out: closes all connections, decides all commands, and revokes the refresh token. [`Event::SignedOut`]
    /// reports the outcome, at the latest when the request times out. The stored session is deleted unless the cloud
    /// gave no usable answer.
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

    /// Sends a read request of the caller to the REST service, with authorisation. The result arrives as an
    /// [`Event::Response`].
    ///
    /// # Errors
    ///
    /// [`Busy`] if too many requests are in flight or too many responses unread. Nothing is sent.
    pub fn request(&mut self, now: Now, request: ReadRequest) -> Result<RequestId, Busy> {
        self.advance_clock(now);
        self.caller_request(request.into_request(), Purpose::Read, None)
    }

    /// Sends a write of harmless settings to the REST service, with authorisation. The result arrives as an
    /// [`Event::Response`]. The write is not repeated if the answer leaves open whether it took effect. A session that
    /// is [`read_only`](Settings::read_only) sends nothing and reports [`RequestError::ReadOnly`].
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
        let id = self.next_request_id()?;
        if let Some(error) = refused.or(self.cannot_authorize().then_some(RequestError::NotSignedIn)) {
            self.cx.outbox.keep(Event::Response { id, result: Err(error) });
        } else if !self.rest.ask(&self.cx, request, purpose(id)) {
            return Err(Busy);
        }
        self.step();
        Ok(id)
    }

    /// Requests the registration of a thermostat, which contains its serial number, from the control plane of AWS IoT.
    /// The result arrives as an [`Event::Response`], to be decoded by
    /// [`Thing::decode`](mysa_proto::iot::Thing::decode). The account's policy may not allow the request (403); nothing
    /// else depends on the answer.
    ///
    /// # Errors
    ///
    /// [`Busy`] as for [`Session::request`].
    pub fn describe_thing(&mut self, now: Now, device: DeviceId) -> Result<RequestId, Busy> {
        self.advance_clock(now);
        let id = self.next_request_id()?;
        if self.cannot_authorize() {
            self.cx.outbox.keep(Event::Response { id, result: Err(RequestError::NotSignedIn) });
        } else {
            self.control_plane.ask(&self.cx, id, device);
        }
        self.step();
        Ok(id)
    }

    fn next_request_id(&mut self) -> Result<RequestId, Busy> {
        let callers = self.rest.callers() + self.control_plane.callers();
        if callers + self.cx.outbox.unread_responses() >= CALLERS {
            return Err(Busy);
        }
        self.next_request += 1;
        Ok(RequestId(self.next_request))
    }

    /// Returns `true` if the session cannot authorise a request.
    fn cannot_authorize(&self) -> bool {
        // A valid token authorises requests even if nothing will renew it.
        let signed_out =
            self.service.service.level == Level::SignInNeeded && self.identity.id_token(&self.cx).is_none();
        self.captured || self.ended || signed_out
    }

    /// Adds thermostats that an earlier run has listed, so they can be observed and commanded by MQTT while the list
    /// cannot be read. Has no effect once the list has been read; thermostats that are not on it are then removed. A
    /// session with a captured URL reads no list, so it takes further thermostats until it ends.
    pub fn assume_devices(
        &mut self,
        now: Now,
        known: impl IntoIterator<Item = (DeviceId, Model, Option<String>)>,
    ) {
        self.advance_clock(now);
        if (self.listed && !self.captured) || self.ended {
            return;
        }
        for (id, model, name) in known {
            if self.devices.find(id).is_none() && self.devices.len() < self.cx.settings.max_devices {
                self.devices.add(Device::assumed(id, model, name, self.cx.mono()));
                self.cx.event(Event::DeviceAdded { device: id });
            }
        }
        self.want_devices();
        self.step();
    }

    /// Reports that the host's network has changed. Every connection is pinged at once instead of at its next
    /// keep-alive.
    pub fn network_changed(&mut self, now: Now) {
        self.advance_clock(now);
        self.mqtt.probe(&mut self.cx);
        self.step();
    }

    /// Shuts the session down: decides every command, sends MQTT DISCONNECT, closes all connections, and repeats a store
    /// that has failed. The driver fetches the output once more, and after the report of a store; after that the session does
    /// nothing.
    pub fn shutdown(&mut self, now: Now) {
        self.advance_clock(now);
        if !self.ended {
            self.close_all(Expired::ShutDown);
            self.identity.store_at_shutdown(&mut self.cx);
            self.ended = true;
        }
        self.step();
    }

    /// Returns a presigned URL for another MQTT client, signed with the cloud's time. The session does not dial this
    /// URL itself, except that a session with a captured URL returns that one.
    ///
    /// `None` while there are no credentials: sign-in has not completed, or the account has no thermostat.
    pub fn presign(&mut self, now: Now) -> Option<PresignedUrl> {
        self.advance_clock(now);
        let signed = self.mqtt.sign(&mut self.cx, &self.identity);
        self.step();
        signed.map(|(url, ..)| url)
    }

    /// Returns the next work item for the driver, or `None` until further input.
    ///
    /// Events come after all other output. A driver with a slow reader calls [`Session::poll_io`] instead, and calls
    /// [`Session::poll_event`] only when the reader can take an event: the event queue is bounded.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.poll_io().or_else(|| self.poll_event().map(Output::Event))
    }

    /// Returns the next work item for the network or the store; never an event.
    ///
    /// This call encodes a command's bytes, at the moment the driver takes them, and only if the command is undecided,
    /// the newest for its fields, and in time by the last [`Now`] that the session was given.
    pub fn poll_io(&mut self) -> Option<Output> {
        if let Some((conn, bytes)) = self.cx.outbox.only_send() {
            return Some(Output::Send { conn, bytes });
        }
        loop {
            match self.cx.outbox.next_work()? {
                Work::Output(output) => return Some(output),
                Work::Publish { conn, serial } => {
                    let Self { cx, mqtt, commands, .. } = self;
                    let mut decisions = Vec::new();
                    // The book may decline: a command can be decided or overtaken between queueing and this call.
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
                    let Self { cx, mqtt, commands, .. } = self;
                    if let Some(bytes) = commands.republish(cx, mqtt, conn, packet) {
                        self.transmitted(Vec::new());
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

    /// Returns the body of a request whose body is [deferred](crate::HttpBody::Deferred). The driver writes the request
    /// at once.
    ///
    /// The driver calls this once the TLS connection is established, right before it writes the first byte. `None`
    /// means that nothing may be sent any more: the command is decided, overtaken, or too late by either clock. The
    /// driver then closes the connection and reports nothing.
    pub fn deferred_body(&mut self, now: Now, id: HttpId) -> Option<Secret> {
        self.advance_clock(now);
        let body = match self.rest.take_deferred(self.cx.now, id)? {
            Deferred::Body(body) => Some(body),
            Deferred::GivenUp(purpose) => {
                self.rest_outcome(purpose, &Outcome::NotSent, HttpResult::Failed(HttpFailure::Timeout));
                None
            }
            Deferred::Command { serial } => {
                let Self { cx, commands, devices, .. } = self;
                let mut decisions = Vec::new();
                let body = commands.body(cx, devices, serial, &mut decisions);
                if body.is_none() {
                    // Without a body the driver reports nothing, so the request must not stay pending.
                    self.rest.withdraw(id);
                }
                self.emit(decisions);
                body
            }
        };
        self.step();
        body
    }

    /// Emits decisions and makes the session due at once, because a command that was encoded, or dropped, changes every
    /// deadline.
    fn transmitted(&mut self, decisions: Vec<Decision>) {
        self.emit(decisions);
        if !self.ended {
            self.due = Some(Deadline::new(self.cx.mono(), Wake::Work));
        }
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        // The count comes first: the dropped events were older than the remaining ones.
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

    /// Time at which the driver calls [`Session::handle_timeout`] next, and the reason. Already due while output waits;
    /// queued events do not count.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        // Queued events do not count: a slow reader must not make the driver spin.
        if self.cx.outbox.has_work() { Some(Deadline::new(self.cx.mono(), Wake::Output)) } else { self.due }
    }

    /// Returns the progress of each step towards live statuses. Cheap, and without side effects.
    #[must_use]
    pub fn diagnosis(&self, now: Now) -> Diagnosis {
        Diagnosis::of(&self.cx, &self.identity, &self.rest, &self.mqtt, &self.devices, now)
    }

    /// Current service level, with its reason and start.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service.service
    }

    /// Thermostats of the account, in the order of their ids.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = &Device> {
        self.devices.iter()
    }

    /// Thermostat with this id, if the account has it.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.find(id)
    }

    /// State of a thermostat: every field observed so far, with its source. Ages count as the monotonic clock does: if it
    /// stood still in a suspend, the wall time of the arrival of a value by REST is earlier by the sleep since the value's
    /// own time.
    #[must_use]
    pub fn state(&self, id: DeviceId) -> Option<&DeviceState> {
        self.devices.find(id).map(Device::state)
    }

    /// `true` if the broker has granted the subscription to a thermostat's statuses on a connection that is up.
    #[must_use]
    pub fn is_subscribed(&self, id: DeviceId) -> bool {
        self.mqtt.subscription(id) == Some(SubscriptionState::Granted)
    }

    /// User id of the account, once signed in.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.identity.user()
    }

    /// Estimate of the cloud's time at a reading of the host's clocks.
    #[must_use]
    pub const fn cloud_time(&self, now: Now) -> mysa_proto::UnixTime {
        self.cx.clock.time(now)
    }

    /// Earliest and latest time that the cloud's clock may show at a reading of the host's clocks. `None` until two
    /// answers agree: from two hosts, or from one host at two different times.
    #[must_use]
    pub fn cloud_time_bounds(&self, now: Now) -> Option<(mysa_proto::UnixTime, mysa_proto::UnixTime)> {
        self.cx.clock.is_corroborated().then(|| self.cx.clock.bounds(now))
    }

    /// Milliseconds by which the cloud's clock is ahead of the host's.
    #[must_use]
    pub const fn clock_ahead_ms(&self) -> i64 {
        self.cx.clock.ahead_ms()
    }

    /// Settings of the session.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.cx.settings
    }
}
