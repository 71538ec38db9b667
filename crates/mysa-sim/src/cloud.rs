use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_proto::{DeviceId, TopicKind, UnixTime};
use mysa_sigv4::{Request, Verifier, VerifyError};
use serde_json::Value;
use time::OffsetDateTime;

use crate::Now;
use crate::auth::account::Account;
use crate::auth::identity_pool::IdentityPool;
use crate::auth::session_secret::SessionSecret;
use crate::auth::token::{HmacSigner, TokenIssuer, TokenSigner};
use crate::auth::user_pool::UserPool;
use crate::broker::{Broker, Context, Output, Policy};
use crate::device::command_record::Origin;
use crate::device::thermostat::{Emission, ShadowUpdate, Thermostat};
use crate::device::weather::Weather;
use crate::device::{self, Device};
use crate::endpoint::{Endpoint, Service};
use crate::fault::{Closing, Fault, Faults, HttpFault, Window};
use crate::http::{CachedReply, HttpReply, HttpRequest, Reply, header};
use crate::journal::{CloseReason, EventKind, Journal};
use crate::rest::schedule::RestHold;
use crate::rng::Rng;
use crate::shadow::ShadowTopic;
use crate::spec::{CloudSpec, Names, Rules};
use crate::truth::Counters;
use crate::zone::Zone;

/// The whole cloud: sign-in, REST, broker, and the thermostats behind it.
///
/// Requests and bytes enter by `handle_*`, each with the cloud's own time. HTTP answers are returned at once; outputs
/// for WebSocket connections are drained by [`Cloud::poll_output`]. [`Cloud::poll_timeout`] returns the time of the
/// next call of [`Cloud::handle_timeout`]. The same spec, seed and calls give the same bytes on every machine.
pub struct Cloud {
    pub(crate) names: Names,
    pub(crate) rules: Rules,
    pub(crate) now: Now,
    pub(crate) pool: UserPool,
    pub(crate) identities: IdentityPool,
    pub(crate) homes: Vec<Home>,
    pub(crate) devices: Vec<Device>,
    pub(crate) by_id: BTreeMap<DeviceId, usize>,
    pub(crate) broker: Broker,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) frozen: BTreeMap<usize, Value>,
    pub(crate) schedules: BTreeMap<String, (usize, Value)>,
    /// Holds that clients have created by `POST /schedule/hold`, by the index of the device.
    pub(crate) holds: BTreeMap<usize, RestHold>,
    pub(crate) scenes: BTreeMap<String, Value>,
    pub(crate) forwarded: i64,
    pub(crate) rng: Rng,
    /// Cached answers while a fault lasts, by account, host, path and query.
    pub(crate) cached: BTreeMap<(usize, String), CachedReply>,
    /// Last command of each account that was delivered while a fault drops bursts.
    last_commands: BTreeMap<usize, (DeviceId, Duration)>,
    agenda: BTreeSet<(Duration, usize)>,
    pub(crate) emissions: Vec<Emission>,
    pub(crate) journal: Journal,
    /// Numbers of HTTP requests by route.
    pub(crate) routes: BTreeMap<String, u64>,
}

#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) id: String,
    pub(crate) zone: String,
    pub(crate) name: String,
    pub(crate) time_zone: String,
    /// Rules of its local days.
    pub(crate) local: Zone,
    pub(crate) rate: Value,
    pub(crate) weather: Weather,
    pub(crate) seed: u64,
    pub(crate) account: usize,
}

/// Outcome of a WebSocket upgrade.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a server that misses one must not compile")]
pub enum Upgrade {
    /// Accepted: status 101 with `Sec-WebSocket-Protocol: mqtt`. The connection now exists.
    Accept,
    /// Refused with this answer.
    Refuse(HttpReply),
    /// The request is never answered.
    Hang,
}

impl Cloud {
    /// Creates a cloud that signs its tokens with HS256.
    #[must_use]
    pub fn new(spec: CloudSpec, seed: u64, now: Now) -> Self {
        // The key is kept with the secret, so that earlier tokens keep their signatures.
        let key = spec.session_secret.as_ref().map(SessionSecret::signing_key).unwrap_or_else(|| {
            let mut key = [0; 32];
            Rng::new(seed).fork(1).fill(&mut key);
            key
        });
        Self::with_signer(spec, seed, now, Box::new(HmacSigner::new(key)))
    }

    /// Creates a cloud whose tokens are signed by `signer`.
    #[must_use]
    pub fn with_signer(spec: CloudSpec, seed: u64, now: Now, signer: Box<dyn TokenSigner>) -> Self {
        let root = Rng::new(seed);
        let mut rng = root.fork(2);
        let mut accounts = Vec::new();
        let mut homes: Vec<Home> = Vec::new();
        let mut devices: Vec<Device> = Vec::new();
        let mut by_id = BTreeMap::new();
        let mut scheduled = Vec::new();
        let mut user_ids = Vec::new();
        let named = |given: &str, rng: &mut Rng| if given.is_empty() { rng.uuid() } else { given.into() };
        for (index, account_spec) in spec.accounts.into_iter().enumerate() {
            let user_id: String = named(&account_spec.user_id, &mut rng);
            let salt = rng.text(b"0123456789abcdef", 32);
            for home_spec in account_spec.homes {
                let local = match home_spec.utc_offset {
                    Some(offset) => Zone::Fixed(offset.clamp(-86_400, 86_400)),
                    None => Zone::named(&home_spec.time_zone).unwrap_or(Zone::Fixed(0)),
                };
                let home = Home {
                    id: named(&home_spec.id, &mut rng),
                    zone: rng.uuid(),
                    name: home_spec.name,
                    time_zone: home_spec.time_zone,
                    local,
                    rate: home_spec.rate.into(),
                    weather: home_spec.weather,
                    seed: rng.next(),
                    account: index,
                };
                for device_spec in &home_spec.devices {
                    // A device belongs to one account: the first that names it.
                    if by_id.contains_key(&device_spec.id) {
                        continue;
                    }
                    let own = root.fork(0x1000 + devices.len() as u64);
                    let mut thermostat = Thermostat::new(device_spec, home.weather, home.seed, own, now);
                    thermostat.instant = spec.rules.instant_delivery;
                    let record =
                        device::record(device_spec, &home.id, &home.zone, &user_id, &home.time_zone, now);
                    by_id.insert(device_spec.id, devices.len());
                    if !device_spec.schedule.is_empty() {
                        scheduled.push((devices.len(), device_spec.clone()));
                    }
                    let place = (homes.len(), index);
                    devices.push(Device::new(device_spec, thermostat, record, place, now, spec.history_days));
                }
                homes.push(home);
            }
            user_ids.push(user_id.clone());
            let mut account = Account::new(account_spec.email, user_id, account_spec.password, salt);
            account.challenges = account_spec.challenges;
            account.status = account_spec.status;
            accounts.push(account);
        }
        let account_count = accounts.len();
        let mut cloud = Self {
            names: spec.names,
            rules: spec.rules,
            now,
            pool: UserPool::new(
                accounts,
                TokenIssuer::new(signer, spec.session_secret, user_ids),
                root.fork(3),
                now,
            ),
            identities: IdentityPool::new(root.fork(4), account_count),
            homes,
            by_id,
            broker: Broker::default(),
            faults: Faults::new(spec.faults, now.mono),
            counters: Counters::default(),
            frozen: BTreeMap::new(),
            schedules: BTreeMap::new(),
            holds: BTreeMap::new(),
            scenes: BTreeMap::new(),
            forwarded: 0,
            rng,
            cached: BTreeMap::new(),
            last_commands: BTreeMap::new(),
            agenda: BTreeSet::new(),
            emissions: Vec::new(),
            journal: Journal::default(),
            routes: BTreeMap::new(),
            devices,
        };
        for (index, spec) in scheduled {
            cloud.add_schedule(now, &root, index, &spec);
        }
        for account in 0..cloud.pool.accounts.len() {
            cloud.plan_schedules(now, account);
        }
        for index in 0..cloud.devices.len() {
            cloud.reschedule(index);
        }
        cloud
    }

    /// Delay before the server answers a TLS handshake that begins now.
    pub fn handshake_delay(&mut self, now: Now) -> Duration {
        self.advance(now);
        let delay = |fault: &Fault| match fault {
            Fault::SlowHandshake(delay) => Some(*delay),
            _ => None,
        };
        self.faults.apply(self.now.mono, delay).unwrap_or_default()
    }

    /// Handles a WebSocket upgrade at the broker's host. `conn` is the caller's number for the connection, never used
    /// before.
    pub fn handle_upgrade(&mut self, now: Now, conn: u64, request: &HttpRequest<'_>) -> Upgrade {
        self.advance(now);
        let upgrade = self.decide_upgrade(conn, request);
        let status = match &upgrade {
            Upgrade::Accept => return upgrade,
            Upgrade::Refuse(reply) => Some(reply.status),
            Upgrade::Hang => None,
        };
        self.journal.add(self.now, || EventKind::UpgradeRefused { status });
        upgrade
    }

    fn decide_upgrade(&mut self, conn: u64, request: &HttpRequest<'_>) -> Upgrade {
        let now = self.now;
        let answered = |cloud: &mut Self, reply: Reply| {
            cloud.counters.refused_upgrades += 1;
            let shift =
                cloud.date_shift(now, |endpoint| matches!(endpoint, Endpoint::Any | Endpoint::Broker));
            Upgrade::Refuse(reply.finish(now, shift, Duration::ZERO))
        };
        let refused =
            |cloud: &mut Self, status, message: &str| answered(cloud, Reply::error(status, message));
        if !self.is_reachable() || self.faults.applies(now.mono, &Fault::HangUpgrade) {
            return Upgrade::Hang;
        }
        let fault = self.faults.apply(now.mono, |fault| match fault {
            Fault::RefuseUpgrade(status) => Some(Reply::error(*status, "simulated")),
            Fault::UpgradePage(status) => Some(Reply::html(*status)),
            _ => None,
        });
        if let Some(reply) = fault {
            return answered(self, reply);
        }
        if self.service(request.host) != Service::Broker {
            return refused(self, 404, "there is no WebSocket here");
        }
        let offered = header(request.headers, "sec-websocket-protocol").unwrap_or_default();
        if !offered.split(',').any(|protocol| protocol.trim() == "mqtt") {
            return refused(self, 426, "the subprotocol mqtt is needed");
        }
        let mut headers = request.headers.to_vec();
        // The signature covers the Host header, but a caller may pass the host without it.
        if header(request.headers, "host").is_none() {
            headers.push(("host", request.host));
        }
        let target = alloc::format!("{}?{}", request.path, request.query);
        if let Some(key) = access_key_id(&request.parameter("X-Amz-Credential").unwrap_or_default()) {
            self.find_credentials(now, key);
        }
        let asked = Request { method: request.method, target: &target, headers: &headers };
        let at =
            OffsetDateTime::from_unix_timestamp(now.wall.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let verifier = Verifier::iot(self.names.region.as_str());
        let found = verifier
            .verify(&asked, at, |key| self.identities.lent(key, now.mono).map(|lent| &lent.credentials));
        match found {
            Ok(verified) => match self.identities.lent(&verified.access_key_id, now.mono) {
                Some(lent) => {
                    let (account, reach) = (lent.account, lent.reach);
                    self.broker.accept(conn, account, reach, now.mono, &self.rules);
                    self.counters.upgrades += 1;
                    let email = self.email(account);
                    let signed_at = UnixTime::from_secs(verified.signed_at.unix_timestamp());
                    self.journal.add(now, || EventKind::Opened { conn, account: email, signed_at });
                    Upgrade::Accept
                }
                None => refused(self, 403, "Forbidden"),
            },
            Err(refusal) => {
                let malformed = matches!(
                    refusal,
                    VerifyError::Encoding
                        | VerifyError::DuplicateParameter
                        | VerifyError::MissingParameter(_)
                        | VerifyError::TooLong
                );
                refused(self, if malformed { 400 } else { 403 }, refusal.reason())
            }
        }
    }

    /// Takes over credentials of an earlier cloud, see [`CloudSpec::session_secret`].
    pub(crate) fn find_credentials(&mut self, now: Now, access_key_id: &str) {
        let life = self.rules.credential_life;
        self.identities.find_earlier(now, access_key_id, &self.pool.tokens, life);
    }

    /// Handles bytes that a client sent on its WebSocket connection, in chunks of any size.
    pub fn handle_ws_bytes(&mut self, now: Now, conn: u64, bytes: &[u8]) {
        self.advance(now);
        let now = self.now;
        self.with_broker(now.mono, |broker, cx| broker.handle_bytes(cx, conn, bytes));
        self.after_bytes(now);
    }

    /// Delivers what clients published, and sends retained messages to new subscribers.
    fn after_bytes(&mut self, now: Now) {
        for (conn, topic, payload) in self.broker.take_published() {
            self.handle_publish(now, Origin::Mqtt { conn }, &topic, &payload);
        }
        for (conn, id, age) in self.broker.take_retained() {
            let Some(&index) = self.by_id.get(&id) else { continue };
            let payload = self.devices[index].thermostat.retained_status(now, age);
            let topic = alloc::format!("{}", mysa_proto::Topic { device: id, kind: TopicKind::Out });
            if !payload.is_empty() {
                self.with_broker(now.mono, |broker, cx| {
                    broker.send_retained(cx, conn, &topic, payload.as_bytes());
                });
            }
        }
    }

    /// Handles the end of a connection.
    pub fn handle_ws_closed(&mut self, now: Now, conn: u64) {
        self.advance(now);
        if self.broker.forget(conn, self.now.mono + self.rules.session_life) {
            let reason = CloseReason::Lost;
            self.journal.add(self.now, || EventKind::Closed { conn, by_broker: None, reason });
        }
    }

    /// Advances time: rooms cool, thermostats report, connections expire. Early, late and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
    }

    /// Returns the next output for a connection, or `None` until something else happens.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.broker.poll_output()
    }

    /// Time of the next call of [`Cloud::handle_timeout`], on the monotonic clock. It is already due while output is
    /// queued.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.broker.has_output() { Some(self.now.mono) } else { self.next_event() }
    }

    /// Adds a fault to a running cloud. Its times count from the start of the cloud, see [`Cloud::age`].
    pub fn add_fault(&mut self, window: Window) {
        self.faults.add(window);
    }

    /// Removes all faults.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
        self.after_faults(self.now);
    }

    /// Returns `true` if the broker reads what clients send. While it is `false`, a driver should leave the bytes in
    /// the socket, see [`Fault::StopReading`].
    #[must_use]
    pub fn is_reading(&self) -> bool {
        !self.faults.holds(self.now.mono, |fault| *fault == Fault::StopReading)
    }

    /// Returns `true` if connections can be opened. While it is `false`, a driver should accept none, see
    /// [`Fault::NetworkDown`].
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        !self.faults.holds(self.now.mono, |fault| *fault == Fault::NetworkDown)
    }

    /// Removes the state of faults that have ended.
    fn after_faults(&mut self, now: Now) {
        if !self.is_reachable() {
            self.with_broker(now.mono, |broker, cx| broker.close_all(cx, Closing::Cut, CloseReason::Fault));
        }
        if !self.faults.holds(now.mono, |fault| *fault == Fault::FreezeStates) {
            self.frozen.clear();
        }
        if !self.faults.holds(now.mono, |fault| matches!(fault, Fault::Http(_, HttpFault::Cached(_)))) {
            self.cached.clear();
        }
        if !self.faults.holds(now.mono, |fault| matches!(fault, Fault::DropBursts(_))) {
            self.last_commands.clear();
        }
        if self.is_reading() {
            self.with_broker(now.mono, Broker::read_again);
            self.after_bytes(now);
        }
    }

    /// Handles a message on a topic on which clients may publish.
    pub(crate) fn handle_publish(&mut self, now: Now, origin: Origin, topic: &str, payload: &[u8]) {
        if ShadowTopic::parse(topic).is_some() {
            self.handle_shadow_request(now, origin, topic, payload);
        } else {
            self.publish_in(now, origin, topic, payload);
        }
    }

    /// Passes a message on a thermostat's `/in` topic to its listeners and to the thermostat.
    pub(crate) fn publish_in(&mut self, now: Now, origin: Origin, topic: &str, payload: &[u8]) {
        let index = mysa_proto::Topic::parse(topic.as_bytes())
            .and_then(|topic| self.by_id.get(&topic.device).copied());
        if index.is_some_and(|index| self.is_dropped_burst(now, index, payload)) {
            self.counters.dropped_bursts += 1;
            return;
        }
        self.with_broker(now.mono, |broker, cx| broker.publish(cx, topic, payload, true));
        if let Some(index) = index {
            let thermostat = &mut self.devices[index].thermostat;
            let reorders = self.faults.of_device(now.mono, thermostat.id).reorders;
            thermostat.deliver(now, origin, payload, reorders);
            self.reschedule(index);
        }
    }

    /// Returns `true` if a fault drops this command because it follows one to another device too soon.
    fn is_dropped_burst(&mut self, now: Now, index: usize, payload: &[u8]) -> bool {
        let is_command = || {
            let message = serde_json::from_slice::<Value>(payload).ok();
            message.is_some_and(|message| message.get("msg").and_then(Value::as_i64) == Some(44))
        };
        if !self.faults.holds(now.mono, |fault| matches!(fault, Fault::DropBursts(_))) || !is_command() {
            return false;
        }
        let (id, account) = (self.devices[index].thermostat.id, self.devices[index].account);
        let last = self.last_commands.get(&account).copied();
        let dropped = self.faults.apply(now.mono, |fault| match (fault, last) {
            (Fault::DropBursts(within), Some((other, at)))
                if other != id && now.mono < at.saturating_add(*within) =>
            {
                Some(())
            }
            _ => None,
        });
        if dropped.is_none() {
            self.last_commands.insert(account, (id, now.mono));
        }
        dropped.is_some()
    }

    /// Updates the thermostat's deadline in the agenda.
    pub(crate) fn reschedule(&mut self, index: usize) {
        self.journal_commands(index);
        let hold = self.holds.get(&index).and_then(|hold| hold.due(self.now)).unwrap_or(Duration::MAX);
        let device = &mut self.devices[index];
        let due = device.thermostat.poll_timeout().min(device.agenda.due()).min(hold);
        if due != device.due {
            self.agenda.remove(&(device.due, index));
            self.agenda.insert((due, index));
            device.due = due;
        }
    }

    fn next_event(&self) -> Option<Duration> {
        let device = self.agenda.first().map(|(at, _)| *at);
        [device, self.broker.poll_timeout(), self.faults.next_edge(self.now.mono)].into_iter().flatten().min()
    }

    /// Handles everything that is due up to `now`, each at its own time.
    pub(crate) fn advance(&mut self, now: Now) {
        while let Some(next) = self.next_event().filter(|&next| next <= now.mono) {
            let at = now.at(next.max(self.now.mono));
            let edge = self.faults.next_edge(self.now.mono).is_some_and(|edge| edge <= at.mono);
            self.now = at;
            // Faults change first, so that they apply to everything that is due at the same moment.
            if edge {
                self.handle_edge(at);
            }
            if self.broker.poll_timeout().is_some_and(|due| due <= at.mono) {
                self.with_broker(at.mono, Broker::handle_timeout);
            }
            while let Some(&(due, index)) = self.agenda.first() {
                if due > at.mono {
                    break;
                }
                self.step(at, index);
            }
        }
        self.now = now.at(now.mono.max(self.now.mono));
    }

    fn step(&mut self, now: Now, index: usize) {
        let device = &mut self.devices[index];
        let faults = self.faults.of_device(now.mono, device.thermostat.id);
        let mut emissions = core::mem::take(&mut self.emissions);
        device.thermostat.handle_timeout(now, &faults, &mut emissions);
        self.emit(now, index, &mut emissions);
        self.emissions = emissions;
        self.begin_hold(now, index);
        self.run_schedule(now, index);
        self.reschedule(index);
    }

    /// Handles the start or end of a fault, and planned incidents.
    pub(crate) fn handle_edge(&mut self, now: Now) {
        self.after_faults(now);
        while let Some(incident) = self.faults.due(now.mono) {
            self.perform(now, incident);
        }
        // A fault may have changed the power or the network of any thermostat.
        for index in 0..self.devices.len() {
            self.step(now, index);
        }
    }

    pub(crate) fn emit(&mut self, now: Now, index: usize, emissions: &mut Vec<Emission>) {
        for emission in emissions.drain(..) {
            let device = &mut self.devices[index];
            let id = device.thermostat.id;
            match emission {
                Emission::ReadSettings => {
                    let record = device.record.clone();
                    device.thermostat.read_settings(now, &record);
                    device.update_shadow(now, ShadowUpdate::Settings, 0);
                }
                Emission::Readings => {
                    let shift = self.faults.of_device(now.mono, id).clock_shift;
                    device.update_shadow(now, ShadowUpdate::Readings, shift);
                }
                Emission::ReadShadows => self.deliver_differences(now, index),
                Emission::Report { section, desired, reported, update } => {
                    device.update_shadow(now, update, 0);
                    let mut state = serde_json::json!({ "reported": reported });
                    if !desired.is_empty() {
                        state["desired"] = Value::Object(desired);
                    }
                    let payload = alloc::format!("{}", serde_json::json!({ "state": state }));
                    // A document at its size limit keeps its values.
                    let _ = self.update_shadow(now, index, section, payload.as_bytes(), None);
                }
                Emission::Publish { kind, at_least_once, payload, update } => {
                    let shift = self.faults.of_device(now.mono, id).clock_shift;
                    device.update_shadow(now, update, shift);
                    if device.removed {
                        continue;
                    }
                    let payload = if matches!(update, ShadowUpdate::Readings | ShadowUpdate::Status) {
                        self.faults.alter_payload(now.mono, id, payload)
                    } else {
                        payload
                    };
                    let topic = alloc::format!("{}", mysa_proto::Topic { device: id, kind });
                    self.with_broker(now.mono, |broker, cx| {
                        broker.publish(cx, &topic, payload.as_bytes(), at_least_once);
                    });
                }
            }
        }
    }

    pub(crate) fn with_broker<T>(
        &mut self,
        now: Duration,
        act: impl FnOnce(&mut Broker, &mut Context<'_>) -> T,
    ) -> T {
        let policy = Policy { devices: &self.devices, by_id: &self.by_id };
        let at = self.now.at(now);
        let journal = &mut self.journal;
        let mut context = Context { now, at, faults: &mut self.faults, rules: &self.rules, policy, journal };
        act(&mut self.broker, &mut context)
    }
}

/// Access key id of a credential, `{key}/{date}/{region}/{service}/aws4_request`.
pub(crate) fn access_key_id(credential: &str) -> Option<&str> {
    credential.split('/').next().filter(|key| !key.is_empty())
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Accounts and tokens are secret.
        f.debug_struct("Cloud")
            .field("now", &self.now)
            .field("devices", &self.devices.len())
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
