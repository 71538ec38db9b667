use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{Change, DeviceId, Entity, EntityFacts, KilowattHours, Now, UnixTime};
use mysa_session::{Entropy, Level, Reason, Verdict};

use crate::client::{self, Client, LinkId, Message, QoS, Will};
use crate::command::{self, MAX_PAYLOAD};
use crate::energy::{Answer, Meters};
use crate::event::{Event, IgnoredReason, Outcome, Output, RequestId};
use crate::metering::{Instruction, Metering};
use crate::settings::{InvalidSettings, Settings};
use crate::state::{self, Document};
use crate::topics::{Incoming, Topics};
use crate::{AccountIndex, Thermostat, discovery};

/// Bridge between the thermostats of one or several accounts and a local MQTT broker. See the [crate](crate).
#[derive(Debug)]
pub struct Bridge {
    settings: Settings,
    client: Client,
    entropy: Entropy,
    now: Now,
    devices: BTreeMap<DeviceId, Device>,
    accounts: Vec<Account>,
    /// `true` once the availability of every thermostat of the first list is published.
    ready: bool,
    requests: BTreeMap<RequestId, Request>,
    last_request: u64,
    /// Thermostats that an earlier run left at the broker and no account has, as far as is known, and the time at which
    /// each was seen.
    strangers: BTreeMap<DeviceId, Duration>,
    /// Energy of the thermostats, if it is kept.
    metering: Option<Metering>,
    /// Time of the answer to a birth message.
    birth_at: Option<Duration>,
    stopping: bool,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Default)]
struct Account {
    /// Thermostats that it has shown or listed.
    devices: BTreeSet<DeviceId>,
    /// `true` once the list of its thermostats is known.
    listed: bool,
    cloud: Option<Cloud>,
    /// `true` while its thermostats are unavailable because the cloud is away.
    is_cloud_lost: bool,
}

#[derive(Debug)]
struct Device {
    /// Account that serves it: the first one that has it.
    owner: AccountIndex,
    facts: EntityFacts,
    entities: Vec<Entity>,
    is_available: bool,
    last_seen: Option<UnixTime>,
    /// Attributes as of the last publication, without the time of the last sign of life.
    attributes: Vec<u8>,
    /// The same with the time of the latest sign of life.
    attributes_now: Vec<u8>,
    refresh_at: Duration,
    /// `true` once it is known whether the thermostat reports.
    is_known: bool,
    /// Time from which it is published even if that is not known.
    publish_at: Duration,
    /// Discovery that is to be published.
    config: Option<Vec<u8>>,
    /// Confirmed values, without the energy.
    state: Document,
    /// `true` until discovery and state are published.
    is_held: bool,
    /// Availability last published to the broker. `None` until anything is published about the thermostat.
    told: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Cloud {
    level: Level,
    reason: Reason,
    since: Now,
    /// Time of the last proof of a source. `None` while there is one.
    no_source_since: Option<Duration>,
}

#[derive(Debug)]
struct Request {
    device: DeviceId,
    field: String,
    change: Change,
    received: Duration,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Held back until this time, in case a newer value arrives.
    Held { until: Duration },
    /// Handed to the driver.
    Sent { until: Duration },
}

/// Ranks of the retained messages: a reader learns of a device, then its state, then that it is available.
const CONFIG: u8 = 0;
const STATE: u8 = 1;
const AVAILABILITY: u8 = 2;
const BRIDGE_STATE: u8 = 3;
const BRIDGE_AVAILABILITY: u8 = 4;

/// Maximum number of undecided commands.
const MAX_REQUESTS: usize = 128;
/// Maximum number of thermostats of other accounts that are noted.
const MAX_STRANGERS: usize = 256;
/// Maximum number of events for the log that wait.
const MAX_EVENTS: usize = 1_024;
/// Lead of the wall clock over the monotonic one, between two calls, or delay of a timer, that shows that the host was
/// suspended or the process stopped. A smaller one comes from the correction of a clock, or from a busy machine.
const SUSPEND: Duration = Duration::from_secs(10);
/// Time limit for the last messages at the end.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

impl Bridge {
    /// Creates a bridge, which connects to the broker at once and is not available until the thermostats of an account
    /// are listed. `seed` must be random and not be used twice.
    ///
    /// # Errors
    /// A setting is invalid.
    pub fn new(mut settings: Settings, seed: [u8; 32], now: Now) -> Result<Self, InvalidSettings> {
        settings.check()?;
        let (topic, filters) = (topics(&settings).bridge_availability(), topics(&settings).filters());
        settings.broker.will = Some(Will { topic, payload: OFFLINE.into() });
        settings.broker.filters = filters.into_iter().chain(settings.birth_topic()).collect();
        let mut entropy = Entropy::new(seed);
        let client = Client::new(settings.broker.clone(), entropy.bytes(), now.mono)
            .map_err(InvalidSettings::Broker)?;
        let accounts = (0..settings.accounts).map(|_| Account::default()).collect();
        let mut bridge = Self {
            settings,
            client,
            entropy,
            now,
            devices: BTreeMap::new(),
            accounts,
            ready: false,
            requests: BTreeMap::new(),
            last_request: 0,
            strangers: BTreeMap::new(),
            metering: None,
            birth_at: None,
            stopping: false,
            outputs: VecDeque::new(),
        };
        bridge.publish_bridge();
        Ok(bridge)
    }

    /// Handles a new snapshot of a thermostat of an account. Publishes what changed. A thermostat of several accounts
    /// belongs to the first of them, and the snapshots of the others are ignored. Nothing is published about a thermostat
    /// until it is known whether it reports, or [`Settings::start_limit`] has passed.
    pub fn handle_thermostat(&mut self, account: AccountIndex, thermostat: &Thermostat<'_>, now: Now) {
        self.advance(now);
        if self.stopping || !self.claim(account, thermostat.id) {
            return;
        }
        let Self { settings, devices, client, metering, accounts, .. } = self;
        let topics = topics(settings);
        let id = thermostat.id;
        let refresh_at = now.mono.saturating_add(settings.refresh);
        let device = devices.entry(id).or_insert_with(|| Device {
            owner: account,
            facts: EntityFacts::default(),
            entities: Vec::new(),
            is_available: false,
            last_seen: None,
            attributes: Vec::new(),
            attributes_now: Vec::new(),
            refresh_at,
            is_known: false,
            publish_at: now.mono.saturating_add(settings.start_limit),
            config: None,
            state: Document::default(),
            is_held: true,
            told: None,
        });
        thermostat.add_facts(&mut device.facts);
        if let Some(metering) = metering {
            let is_lost = accounts.get(account.index()).is_some_and(|account| account.is_cloud_lost);
            let counts = thermostat.is_available() && !is_lost;
            metering.sample(id, thermostat.power.watts().filter(|_| counts), now.mono);
            device.facts.energy_history = metering.has_history(id);
        }
        device.entities = thermostat.entities(&settings.modes, &device.facts, metering.is_some());
        device.is_available = thermostat.is_available();
        device.is_known |= thermostat.is_known();
        // A clock that is ahead must not move the last sign of life into the future.
        device.last_seen = thermostat.last_seen.map(|at| at.min(now.wall));
        device.config = topics
            .config(id)
            .map(|_| discovery::config(thermostat, &device.entities, &topics, settings.unit));
        device.state = state::state(thermostat);
        device.is_held = true;
        let attributes = state::attributes(thermostat, None);
        device.attributes_now = state::attributes(thermostat, device.last_seen);
        let other_attributes = core::mem::replace(&mut device.attributes, attributes) != device.attributes;
        if device.is_due(now.mono) {
            let changed = device.publish_held(client, &topics, id, metering.as_ref());
            if changed || other_attributes {
                device.publish_attributes(client, &topics, id);
                device.refresh_at = refresh_at;
            }
        }
        self.update_availability();
    }

    /// Notes that an account has a thermostat. Returns `true` if the account serves it.
    fn claim(&mut self, account: AccountIndex, id: DeviceId) -> bool {
        let Some(known) = self.accounts.get_mut(account.index()) else { return false };
        let is_new = known.devices.insert(id);
        let Some(device) = self.devices.get_mut(&id) else { return true };
        let (first, other) = (device.owner.min(account), device.owner.max(account));
        device.owner = first;
        if is_new && first != other {
            self.event(Event::Shared { device: id, account: first, other });
        }
        first == account
    }

    /// Account that serves a thermostat; `None` if no account has it.
    #[must_use]
    pub fn account_of(&self, device: DeviceId) -> Option<AccountIndex> {
        self.devices.get(&device).map(|device| device.owner)
    }

    /// Records the list of the thermostats of an account. Thermostats that are not on it are removed, unless another
    /// account has them, and the bridge becomes available.
    pub fn handle_list(&mut self, account: AccountIndex, ids: &[DeviceId], now: Now) {
        self.advance(now);
        let Some(known) = self.accounts.get_mut(account.index()).filter(|_| !self.stopping) else { return };
        known.listed = true;
        known.devices = ids.iter().copied().collect();
        let left = |(_, device): &(&DeviceId, &mut Device)| device.owner == account;
        let mut gone = Vec::new();
        for (&id, device) in self.devices.iter_mut().filter(left) {
            let has_it = |known: &Account| known.devices.contains(&id);
            match self.accounts.iter().position(has_it) {
                // Its next snapshot comes from there.
                Some(next) => device.owner = AccountIndex::new(next),
                None => gone.push(id),
            }
        }
        for id in gone {
            self.remove(id);
        }
        self.update_availability();
        self.publish_bridge();
    }

    /// Removes the messages of a thermostat from the broker.
    fn clear(&mut self, id: DeviceId) {
        let Self { settings, client, .. } = self;
        let topics = topics(settings);
        if let Some(topic) = topics.config(id) {
            client.retain(CONFIG, topic, Vec::new(), QoS::AtLeastOnce);
        }
        client.retain(STATE, topics.state(id), Vec::new(), QoS::AtLeastOnce);
        client.retain(STATE, topics.attributes(id), Vec::new(), QoS::AtLeastOnce);
        client.retain(AVAILABILITY, topics.availability(id), Vec::new(), QoS::AtLeastOnce);
        self.event(Event::Removed { device: id });
    }

    /// Advances the clocks. Commands from before a suspend are not sent hours later: held ones expire, and the connection
    /// to the broker is closed with whatever the system received on it before.
    fn advance(&mut self, now: Now) {
        let last = core::mem::replace(&mut self.now, now);
        let ran = now.mono.saturating_sub(last.mono);
        let was_suspended = now.wall.since(last.wall).is_some_and(|passed| passed > ran + SUSPEND);
        // Some monotonic clocks go on in a suspend, and a process can be stopped: its timers are late then. A connection
        // always has one due within seconds.
        let is_late = self.next_timer().is_some_and(|due| now.mono > due.saturating_add(SUSPEND));
        if !(was_suspended || is_late) || self.stopping {
            return;
        }
        self.client.handle_suspend(now.mono);
        if let Some(metering) = &mut self.metering {
            metering.interrupt(now.mono);
        }
        // The driver has not taken these yet.
        let mut old = Vec::new();
        self.outputs.retain(|output| match output {
            Output::Command { request, .. } => {
                old.push(*request);
                false
            }
            _ => true,
        });
        let held = self.requests.iter().filter(|(_, request)| matches!(request.stage, Stage::Held { .. }));
        old.extend(held.map(|(&number, _)| number));
        for number in old {
            self.decide(
                number,
                Outcome::Expired,
                "not sent: the computer was suspended, or its clock was set",
            );
        }
        self.take_client_events();
    }

    fn remove(&mut self, id: DeviceId) {
        if self.devices.remove(&id).is_none() {
            return;
        }
        if let Some(metering) = &mut self.metering {
            metering.remove(id);
        }
        self.clear(id);
        let open =
            self.requests.iter().filter(|(_, request)| request.device == id).map(|(&number, _)| number);
        for number in open.collect::<Vec<_>>() {
            // A command that is under way still gets its verdict.
            if matches!(self.requests.get(&number), Some(Request { stage: Stage::Held { .. }, .. })) {
                self.decide(number, Outcome::Refused, "the thermostat left the account");
            }
        }
    }

    /// Handles the service level of an account. `no_source_for` is the time for which there has been no source of states,
    /// `None` while there is one; see [`Service::no_source_since`](mysa_session::Service::no_source_since).
    pub fn handle_service(
        &mut self,
        account: AccountIndex,
        level: Level,
        reason: Reason,
        no_source_for: Option<Duration>,
        now: Now,
    ) {
        self.advance(now);
        let Some(known) = self.accounts.get_mut(account.index()).filter(|_| !self.stopping) else { return };
        let last = known.cloud;
        let since = last.filter(|cloud| cloud.level == level).map_or(now, |cloud| cloud.since);
        let no_source_since = no_source_for.map(|time| now.mono.saturating_sub(time));
        known.cloud = Some(Cloud { level, reason, since, no_source_since });
        let is_new = last.is_none_or(|last| (last.level, last.reason) != (level, reason));
        if is_new {
            let account = (self.accounts.len() > 1).then_some(account);
            self.event(Event::Cloud { account, level, reason });
        }
        self.update_availability();
        if is_new {
            self.publish_bridge();
        }
    }

    /// Starts to keep the energy of the thermostats, from the meters that were stored last. Without this call, no energy is
    /// published.
    pub fn start_energy(&mut self, meters: Meters, now: Now) {
        self.advance(now);
        self.metering = Some(Metering::new(meters));
    }

    /// Handles the answer to [`Output::ReadEnergy`]. Another answer has no effect.
    pub fn handle_energy(&mut self, device: DeviceId, answer: Answer<'_>, now: Now) {
        self.advance(now);
        if let Some(metering) = &mut self.metering {
            metering.handle_answer(device, answer, now.mono, &mut self.entropy);
        }
    }

    /// Handles the result of [`Output::StoreEnergy`]: `true` if the text is stored. The totals in it are published then, so
    /// that no run publishes less than the one before.
    pub fn handle_energy_stored(&mut self, stored: bool, now: Now) {
        self.advance(now);
        let Self { settings, devices, client, metering, stopping, .. } = self;
        let Some(metering) = metering else { return };
        for id in metering.handle_stored(stored, now.mono) {
            let device = devices.get_mut(&id).filter(|device| !*stopping && device.told.is_some());
            if let Some(device) = device {
                device.publish_held(client, &topics(settings), id, Some(metering));
            }
        }
    }

    fn step_energy(&mut self) {
        let Self { metering: Some(metering), accounts, devices, now, entropy, outputs, .. } = self else {
            return;
        };
        while let Some(instruction) = metering.step(|id| may_read(accounts, devices, id), *now, entropy) {
            outputs.push_back(match instruction {
                Instruction::Read { device, query } => {
                    let account = devices.get(&device).map_or(AccountIndex::FIRST, |device| device.owner);
                    Output::ReadEnergy { account, device, query }
                }
                Instruction::Store { text } => Output::StoreEnergy { text },
            });
        }
    }

    /// Handles the verdict on a command. The first report on a command counts.
    pub fn handle_verdict(&mut self, request: RequestId, verdict: &Verdict, now: Now) {
        self.advance(now);
        let outcome = match verdict {
            Verdict::Confirmed { .. } => Outcome::Confirmed,
            Verdict::Unconfirmed { .. } => Outcome::Unconfirmed,
            Verdict::Refused(_) => Outcome::Refused,
            Verdict::Superseded { .. } => Outcome::Superseded,
            Verdict::Expired(_) => Outcome::Expired,
        };
        let reason = match verdict {
            Verdict::Refused(refused) => refused.to_string(),
            verdict => verdict.to_string(),
        };
        self.decide(request, outcome, &reason);
    }

    /// Records that a command was not sent, and why. The first report on a command counts.
    pub fn handle_not_sent(&mut self, request: RequestId, reason: &str, now: Now) {
        self.advance(now);
        self.decide(request, Outcome::Expired, &format!("not sent: {reason}"));
    }

    /// Records that the connection to the broker is open. See [`Client::handle_opened`].
    pub fn handle_opened(&mut self, link: LinkId, now: Now) {
        self.advance(now);
        self.client.handle_opened(link, now.mono);
        self.take_client_events();
    }

    /// Records that the connection to the broker could not be opened, or has ended. See [`Client::handle_closed`].
    pub fn handle_closed(&mut self, link: LinkId, now: Now) {
        self.advance(now);
        self.client.handle_closed(link, now.mono);
        self.take_client_events();
    }

    /// Records that bytes for the broker are written. See [`Client::handle_written`].
    pub fn handle_written(&mut self, link: LinkId, now: Now) {
        self.advance(now);
        self.client.handle_written(link, now.mono);
        self.take_client_events();
    }

    /// Handles bytes from the broker. See [`Client::handle_bytes`].
    pub fn handle_bytes(&mut self, link: LinkId, bytes: &[u8], now: Now) {
        self.advance(now);
        self.client.handle_bytes(link, bytes, now.mono);
        self.take_client_events();
    }

    /// Handles the timers. Early, late and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
        self.client.handle_timeout(now.mono);
        self.take_client_events();
        if self.stopping {
            return;
        }
        let due = self.requests.iter().filter(|(_, request)| request.stage.until() <= now.mono);
        let due: Vec<(RequestId, Stage)> = due.map(|(&number, request)| (number, request.stage)).collect();
        for (number, stage) in due {
            match stage {
                Stage::Held { .. } => self.send(number),
                Stage::Sent { .. } => {
                    self.decide(number, Outcome::Unconfirmed, "there was no verdict in time")
                }
            }
        }
        if self.birth_at.is_some_and(|at| at <= now.mono) {
            self.birth_at = None;
            self.client.send_all_again();
        }
        self.step_energy();
        self.refresh();
        self.update_availability();
    }

    /// Publishes again what did not change for a while, with the time of the latest sign of life.
    fn refresh(&mut self) {
        let Self { settings, devices, client, now, .. } = self;
        let topics = topics(settings);
        for (&id, device) in devices {
            if device.refresh_at <= now.mono && device.is_due(now.mono) {
                device.refresh_at = now.mono.saturating_add(settings.refresh);
                client.send_again(STATE, &topics.state(id));
                device.publish_attributes(client, &topics, id);
            }
        }
    }

    /// Ends the bridge: decides the open commands, publishes that the bridge is offline, disconnects, and has no effect
    /// afterwards. [`Bridge::is_ended`] returns `true` when that is done, within two seconds.
    pub fn shutdown(&mut self, now: Now) {
        self.advance(now);
        if self.stopping {
            return;
        }
        self.stopping = true;
        for (number, stage) in
            self.requests.iter().map(|(&number, request)| (number, request.stage)).collect::<Vec<_>>()
        {
            match stage {
                Stage::Held { .. } => self.decide(number, Outcome::Expired, "not sent: the bridge stopped"),
                Stage::Sent { .. } => {
                    self.decide(number, Outcome::Unconfirmed, "the bridge stopped before the verdict");
                }
            }
        }
        if let Some(Instruction::Store { text }) =
            self.metering.as_mut().and_then(|metering| metering.end(now.mono))
        {
            self.outputs.push_back(Output::StoreEnergy { text });
        }
        self.publish_bridge();
        self.client.disconnect(LEAVE_LIMIT, now.mono);
    }

    /// `true` once [`Bridge::shutdown`] is complete.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.client.is_ended()
    }

    /// Next instruction or event, or `None` until the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.client.poll_output(self.now.mono).map(Output::Broker))
    }

    /// Time of the next call of [`Bridge::handle_timeout`], on the monotonic clock. Already due while there is output.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if !self.outputs.is_empty() {
            return Some(self.now.mono);
        }
        let client = self.client.poll_timeout();
        if self.stopping { client } else { client.into_iter().chain(self.next_timer()).min() }
    }

    /// Time of the next timer, whether or not there is output.
    fn next_timer(&self) -> Option<Duration> {
        let client = self.client.next_timer();
        let requests = self.requests.values().map(|request| request.stage.until()).min();
        let devices = self.devices.values();
        let refresh = devices.map(|device| match device.told {
            Some(_) => device.refresh_at,
            None => device.publish_at,
        });
        let refresh = refresh.min();
        let grace = self.settings.cloud_grace;
        let waiting = self.accounts.iter().filter(|account| !account.is_cloud_lost);
        let cloud_lost = waiting.filter_map(|account| account.cloud_lost_at(grace)).min();
        let energy = self
            .metering
            .as_ref()
            .and_then(|metering| metering.due(|id| may_read(&self.accounts, &self.devices, id)));
        let forget = self.is_complete().then(|| self.strangers.values().min()).flatten();
        let forget = forget.map(|since| since.saturating_add(self.settings.forget_after));
        [client, requests, refresh, energy, forget, self.birth_at, cloud_lost].into_iter().flatten().min()
    }

    fn event(&mut self, event: Event) {
        // A driver that does not drain loses the newest lines of its log, and nothing else.
        if self.outputs.len() < MAX_EVENTS {
            self.outputs.push_back(Output::Event(event));
        }
    }

    fn update_availability(&mut self) {
        let mut changes = Vec::new();
        let Self { settings, devices, client, accounts, metering, now, .. } = self;
        for account in accounts.iter_mut() {
            let lost_at = account.cloud_lost_at(settings.cloud_grace);
            account.is_cloud_lost = lost_at.is_some_and(|at| at <= now.mono);
        }
        let topics = topics(settings);
        for (&id, device) in devices {
            if !device.is_due(now.mono) {
                continue;
            }
            if device.is_held {
                device.publish_held(client, &topics, id, metering.as_ref());
                device.publish_attributes(client, &topics, id);
            }
            let owner = accounts.get(device.owner.index());
            let online = device.is_available && owner.is_some_and(|account| !account.is_cloud_lost);
            if let Some(metering) = metering.as_mut().filter(|_| !online) {
                metering.sample(id, None, now.mono);
            }
            if device.told != Some(online) {
                device.told = Some(online);
                let payload = if online { ONLINE } else { OFFLINE };
                client.retain(AVAILABILITY, topics.availability(id), payload.into(), QoS::AtLeastOnce);
                changes.push(Event::Availability { device: id, online });
            }
        }
        self.step_strangers();
        let was_ready = self.ready;
        let is_listed = self.accounts.iter().any(|account| account.listed);
        self.ready |= is_listed && self.devices.values().all(|device| device.told.is_some());
        if !changes.is_empty() || self.ready != was_ready {
            self.publish_bridge();
        }
        for change in changes {
            self.event(change);
        }
    }

    fn publish_bridge(&mut self) {
        let Self { settings, devices, client, accounts, .. } = self;
        let topics = topics(settings);
        let mut json = Document::default();
        json.put("schema", SCHEMA).put("version", env!("CARGO_PKG_VERSION"));
        // The levels are in the order of what is missing.
        let worst = accounts
            .iter()
            .filter_map(|account| account.cloud)
            .min_by_key(|cloud| core::cmp::Reverse(cloud.level));
        put_service(&mut json, worst, devices.values());
        let each = accounts.iter().enumerate().map(|(index, account)| {
            let index = AccountIndex::new(index);
            let mut json = Document::default();
            json.put("account", index.number());
            let own = devices.values().filter(|device| device.owner == index);
            put_service(&mut json, account.cloud, own);
            json.into_value()
        });
        json.put("accounts", each.collect::<Vec<_>>());
        client.retain(BRIDGE_STATE, topics.bridge_state(), json.into_bytes(), QoS::AtMostOnce);
        let payload = if self.ready && !self.stopping { ONLINE } else { OFFLINE };
        client.retain(BRIDGE_AVAILABILITY, topics.bridge_availability(), payload.into(), QoS::AtLeastOnce);
    }

    fn take_client_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            match event {
                client::Event::Up => self.event(Event::BrokerUp),
                client::Event::Down { reason, retry_at } => {
                    let retry_in = retry_at.saturating_sub(self.now.mono);
                    self.event(Event::BrokerDown { reason, retry_in });
                }
                client::Event::Message(message) => self.take_message(&message),
                client::Event::SubscriptionRefused { filter } => {
                    self.event(Event::SubscriptionRefused { filter });
                }
                client::Event::Skipped { .. } => self.ignore("", IgnoredReason::TooLong),
                client::Event::Dropped { count } => self.event(Event::Dropped { count }),
            }
        }
    }

    fn take_message(&mut self, message: &Message) {
        if self.settings.birth_topic().is_some_and(|topic| topic == message.topic) {
            // At the subscription, everything is published anyway.
            if message.payload == b"online" && !message.retained && self.birth_at.is_none() {
                let (shortest, longest) = self.settings.birth_pause;
                let pause = shortest + self.entropy.up_to(longest.saturating_sub(shortest));
                self.birth_at = Some(self.now.mono.saturating_add(pause));
                self.event(Event::HomeAssistantStarted);
            }
            return;
        }
        match topics(&self.settings).parse(&message.topic) {
            Some(Incoming::Set { device, field }) => self.take_command(device, field, message),
            Some(Incoming::Availability { device }) => self.take_availability(device, &message.payload),
            Some(Incoming::BridgeAvailability) => {
                let topic = topics(&self.settings).bridge_availability();
                self.defend(BRIDGE_AVAILABILITY, &topic, &message.payload);
            }
            None => self.ignore(&message.topic, IgnoredReason::UnknownTopic),
        }
    }

    fn ignore(&mut self, topic: &str, reason: IgnoredReason) {
        self.event(Event::Ignored { topic: topic.into(), reason });
    }

    /// Publishes the own availability again if the broker holds another, such as a will that arrived late.
    fn defend(&mut self, rank: u8, topic: &str, seen: &[u8]) {
        if self.client.sent(rank, topic).is_some_and(|own| own != seen) {
            self.client.send_again(rank, topic);
        }
    }

    fn take_availability(&mut self, id: DeviceId, payload: &[u8]) {
        let topic = topics(&self.settings).availability(id);
        if self.client.wanted(AVAILABILITY, &topic).is_some() {
            self.defend(AVAILABILITY, &topic, payload);
            if let Some(since) = self.strangers.get_mut(&id).filter(|_| payload == ONLINE.as_bytes()) {
                // Somebody else publishes it.
                *since = self.now.mono;
            }
        } else if !payload.is_empty() && self.strangers.len() < MAX_STRANGERS {
            self.strangers.insert(id, self.now.mono);
            self.step_strangers();
        }
    }

    /// `true` while the thermostats of all accounts are known.
    fn is_complete(&self) -> bool {
        self.accounts.iter().all(|account| account.listed && !account.is_cloud_lost)
    }

    /// Publishes that the thermostats that no account has are offline, and removes those that no account has had for
    /// [`Settings::forget_after`].
    fn step_strangers(&mut self) {
        // An account that cannot be asked has no thermostats to wait for.
        let is_known = |account: &Account| {
            let needs_sign_in = account.cloud.is_some_and(|cloud| cloud.level == Level::SignInNeeded);
            account.listed || account.is_cloud_lost || needs_sign_in
        };
        if self.stopping || !self.accounts.iter().all(is_known) {
            return;
        }
        let Self { settings, devices, client, strangers, now, .. } = self;
        strangers.retain(|id, _| !devices.contains_key(id));
        let topics = topics(settings);
        for &id in strangers.keys() {
            client.retain(AVAILABILITY, topics.availability(id), OFFLINE.into(), QoS::AtLeastOnce);
        }
        let is_due = |since: &Duration| since.saturating_add(settings.forget_after) <= now.mono;
        let due: Vec<DeviceId> =
            strangers.iter().filter(|(_, since)| is_due(since)).map(|(&id, _)| id).collect();
        if !due.is_empty() && self.is_complete() {
            for id in due {
                self.strangers.remove(&id);
                self.clear(id);
            }
        }
    }

    fn take_command(&mut self, device: DeviceId, field: &str, message: &Message) {
        if message.payload.is_empty() {
            // The removal of a retained message.
            return;
        }
        if message.retained {
            return self.ignore(&message.topic, IgnoredReason::Retained);
        }
        if self.stopping {
            return self.ignore(&message.topic, IgnoredReason::Stopping);
        }
        self.last_request += 1;
        let number = RequestId(self.last_request);
        let parsed = match self.devices.get(&device) {
            None => Err("no account has such a thermostat".to_string()),
            Some(_) if message.payload.len() > MAX_PAYLOAD => Err("the value is too long".to_string()),
            Some(known) => command::parse(field, &message.payload, &known.entities, self.now.wall)
                .map_err(|error| error.text()),
        };
        let parsed = parsed.and_then(|change| {
            if self.requests.len() < MAX_REQUESTS {
                Ok(change)
            } else {
                Err("too many commands are undecided".into())
            }
        });
        let change = match parsed {
            Ok(change) => change,
            Err(reason) => {
                self.publish_result(number, device, field, None, self.now.mono, Outcome::Refused, &reason);
                return;
            }
        };
        self.event(Event::Requested { request: number, device, change });
        // A newer value of a slider takes over the place of one that is held back, and its time.
        let mut until = self.now.mono;
        if command::is_number(field) {
            until = until.saturating_add(self.settings.debounce);
            let held = self.requests.iter().find_map(|(&number, request)| match request.stage {
                Stage::Held { until } if request.device == device && same_setting(&request.field, field) => {
                    Some((number, until))
                }
                _ => None,
            });
            if let Some((older, held_until)) = held {
                until = held_until;
                self.decide(older, Outcome::Superseded, "superseded by a newer value");
            }
        } else {
            // Commands to a thermostat keep their order.
            self.send_held(device);
        }
        let stage = Stage::Held { until };
        let request = Request { device, field: field.into(), change, received: self.now.mono, stage };
        self.requests.insert(number, request);
        if until <= self.now.mono {
            self.send(number);
        }
    }

    fn send_held(&mut self, device: DeviceId) {
        let is_held =
            |request: &Request| request.device == device && matches!(request.stage, Stage::Held { .. });
        let held: Vec<RequestId> =
            self.requests.iter().filter(|(_, request)| is_held(request)).map(|(&number, _)| number).collect();
        for number in held {
            self.send(number);
        }
    }

    fn send(&mut self, number: RequestId) {
        let until = self.now.mono.saturating_add(self.settings.verdict_limit);
        let Some(request) = self.requests.get_mut(&number) else { return };
        let Request { device, change, .. } = *request;
        // The held commands of a thermostat that left are decided.
        let Some(account) = self.devices.get(&device).map(|device| device.owner) else { return };
        request.stage = Stage::Sent { until };
        self.outputs.push_back(Output::Command { request: number, account, device, change });
    }

    /// Publishes the result of a command, and the state again, so that a reader that shows the requested value returns to
    /// the real one.
    fn decide(&mut self, number: RequestId, outcome: Outcome, reason: &str) {
        let Some(Request { device, field, change, received, .. }) = self.requests.remove(&number) else {
            return;
        };
        self.publish_result(number, device, &field, Some(change), received, outcome, reason);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a result")]
    fn publish_result(
        &mut self,
        number: RequestId,
        device: DeviceId,
        field: &str,
        change: Option<Change>,
        received: Duration,
        outcome: Outcome,
        reason: &str,
    ) {
        let after = self.now.mono.saturating_sub(received);
        let mut json = Document::default();
        json.put("id", number.0).put("field", field);
        json.put("requested", change.map(|change| change.to_string()));
        json.put("outcome", outcome.name()).put("reason", reason);
        json.put("ms", u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        let topics = topics(&self.settings);
        let (result, state) = (topics.result(device), topics.state(device));
        self.client.publish(result, json.into_bytes());
        self.client.send_again(STATE, &state);
        self.event(Event::Decided { request: number, device, outcome, reason: reason.into() });
    }
}

impl Device {
    /// `true` if its messages are published, not held back.
    fn is_due(&self, now: Duration) -> bool {
        self.is_known || self.told.is_some() || self.publish_at <= now
    }

    /// Publishes discovery and state. Returns `true` if the state is a new one.
    fn publish_held(
        &mut self,
        client: &mut Client,
        topics: &Topics<'_>,
        id: DeviceId,
        metering: Option<&Metering>,
    ) -> bool {
        self.is_held = false;
        if let Some((topic, config)) = topics.config(id).zip(self.config.take()) {
            client.retain(CONFIG, topic, config, QoS::AtLeastOnce);
        }
        let mut state = self.state.clone();
        if let Some(metering) = metering {
            state.put("energy", metering.published(id).map(KilowattHours::as_kilowatt_hours));
        }
        client.retain(STATE, topics.state(id), state.into_bytes(), QoS::AtMostOnce)
    }

    fn publish_attributes(&self, client: &mut Client, topics: &Topics<'_>, id: DeviceId) {
        let topic = topics.attributes(id);
        if !client.retain(STATE, topic.as_str(), self.attributes_now.clone(), QoS::AtMostOnce) {
            client.send_again(STATE, &topic);
        }
    }
}

impl Account {
    /// Time from which its thermostats are unavailable because the cloud is away.
    fn cloud_lost_at(&self, grace: Duration) -> Option<Duration> {
        let no_source_since = self.cloud?.no_source_since?;
        Some(no_source_since.saturating_add(grace))
    }
}

/// `true` if the cloud of a thermostat can be asked for its energy.
fn may_read(accounts: &[Account], devices: &BTreeMap<DeviceId, Device>, id: DeviceId) -> bool {
    let cloud = devices.get(&id).and_then(|device| accounts.get(device.owner.index())?.cloud);
    cloud.is_some_and(|cloud| cloud.no_source_since.is_none())
}

/// Adds a service level, and the numbers of these thermostats.
fn put_service<'a>(json: &mut Document, cloud: Option<Cloud>, devices: impl Iterator<Item = &'a Device>) {
    json.put("cloud", cloud.map(|cloud| level_name(cloud.level)));
    json.put("reason", cloud.map(|cloud| cloud.reason.to_string()));
    json.put("since", cloud.and_then(|cloud| state::iso(cloud.since.wall)));
    let told: Vec<Option<bool>> = devices.map(|device| device.told).collect();
    json.put("devices", told.len());
    json.put("available", told.iter().filter(|told| **told == Some(true)).count());
}

impl Stage {
    const fn until(self) -> Duration {
        match self {
            Self::Held { until } | Self::Sent { until } => until,
        }
    }
}

const ONLINE: &str = "online";
const OFFLINE: &str = "offline";
/// Version of the topics and payloads.
const SCHEMA: u32 = 1;

fn topics(settings: &Settings) -> Topics<'_> {
    Topics { prefix: &settings.prefix, discovery: settings.discovery_prefix.as_deref() }
}

/// `true` if two fields are the same setting in two units.
fn same_setting(one: &str, other: &str) -> bool {
    let setting = |field| if field == "setpoint_f" { "setpoint" } else { field };
    setting(one) == setting(other)
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Live => "live",
        Level::Partial => "partly_live",
        Level::ReadOnly => "read_only",
        Level::RestOnly => "rest_only",
        Level::Offline => "offline",
        Level::SignInNeeded => "sign_in_needed",
    }
}
