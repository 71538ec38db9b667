use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use mysa_proto::{DeviceId, Now};
use mysa_session::{Entropy, Level, Reason, Verdict};

use crate::accounts::Accounts;
use crate::birth::Birth;
use crate::client::{self, Client, LinkId, Message, QoS, Will};
use crate::context::Context;
use crate::defence::Defence;
use crate::devices::Devices;
use crate::energy::{Answer, Meters};
use crate::event::{Event, IgnoredReason, Output, RequestId};
use crate::metering::{Instruction, Metering};
use crate::orphans::Orphans;
use crate::other_bridge::OtherBridge;
use crate::requests::Requests;
use crate::settings::{InvalidSettings, Settings};
use crate::topics::{Incoming, OFFLINE, ONLINE, Topics, rank};
use crate::{AccountIndex, Thermostat, state};

/// Bridge between the thermostats of one or several accounts and a local MQTT broker. See the [crate](crate).
///
/// Passes what happens to its parts, and their effects to each other.
#[derive(Debug)]
pub struct Bridge {
    cx: Context,
    accounts: Accounts,
    devices: Devices,
    orphans: Orphans,
    other_bridge: OtherBridge,
    requests: Requests,
    /// Energy of the thermostats, if it is kept.
    metering: Option<Metering>,
    birth: Birth,
    /// `true` once the availability of every thermostat of the first list is published.
    ready: bool,
    stopping: bool,
}

/// Difference between the advances of the two clocks, between two calls, or delay of a timer, that shows that the host was
/// suspended or the process stopped. A smaller one comes from the correction of a clock, or from a busy machine. A wall clock
/// that falls behind was set back, which may hide a suspend.
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
        let topics = Topics::new(&settings);
        let (topic, filters) = (topics.bridge_availability(), topics.filters());
        settings.broker.will = Some(Will { topic, payload: OFFLINE.into() });
        settings.broker.filters = filters.into_iter().chain(settings.birth_topic()).collect();
        let mut entropy = Entropy::new(seed);
        let client = Client::new(settings.broker.clone(), entropy.bytes(), now.mono)
            .map_err(InvalidSettings::Broker)?;
        let mut bridge = Self {
            accounts: Accounts::new(settings.accounts),
            other_bridge: OtherBridge::new(identity(entropy.bytes())),
            cx: Context {
                settings,
                client,
                defence: Defence::default(),
                entropy,
                now,
                outputs: VecDeque::new(),
            },
            devices: Devices::default(),
            orphans: Orphans::default(),
            requests: Requests::default(),
            metering: None,
            birth: Birth::default(),
            ready: false,
            stopping: false,
        };
        bridge.other_bridge.publish(&mut bridge.cx, false);
        bridge.publish_state();
        Ok(bridge)
    }

    /// Handles a new snapshot of a thermostat of an account. Publishes what changed. A thermostat of several accounts
    /// belongs to the first of them, and the snapshots of the others are ignored. Nothing is published about a thermostat
    /// until it is known whether it reports, or [`Settings::start_limit`] has passed.
    pub fn handle_thermostat(&mut self, account: AccountIndex, thermostat: &Thermostat<'_>, now: Now) {
        self.advance(now);
        if self.stopping {
            return;
        }
        let Self { cx, accounts, devices, metering, .. } = self;
        let Some(is_new) = accounts.add_device(account, thermostat.id) else { return };
        if devices.claim(cx, account, thermostat.id, is_new) {
            devices.handle_thermostat(cx, accounts, metering.as_mut(), account, thermostat);
            self.update_availability();
        }
    }

    /// Account that serves a thermostat; `None` if no account has it.
    #[must_use]
    pub fn account_of(&self, device: DeviceId) -> Option<AccountIndex> {
        self.devices.owner(device)
    }

    /// Records the list of the thermostats of an account. Thermostats that are not on it are removed, unless another
    /// account has them, and the bridge becomes available.
    pub fn handle_list(&mut self, account: AccountIndex, ids: &[DeviceId], now: Now) {
        self.advance(now);
        if self.stopping || self.accounts.handle_list(account, ids).is_none() {
            return;
        }
        for id in self.devices.reassign(account, &self.accounts) {
            self.devices.remove(&mut self.cx, id);
            self.orphans.note_removed(id);
            if let Some(metering) = &mut self.metering {
                metering.remove(id);
                metering.note_clearing(id);
            }
            self.requests.handle_removed(&mut self.cx, id);
        }
        self.update_availability();
        self.publish_state();
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
        if self.stopping {
            return;
        }
        let Self { cx, accounts, .. } = self;
        let Some(is_new) = accounts.handle_service(cx, account, level, reason, no_source_for) else { return };
        self.update_availability();
        if is_new {
            self.publish_state();
        }
    }

    /// Starts to keep the energy of the thermostats, from the meters that were stored last, and notes which thermostats
    /// earlier runs have published. Without this call, no energy is published. Call it before the first snapshot of a
    /// thermostat.
    pub fn start_energy(&mut self, meters: Meters, now: Now) {
        self.advance(now);
        let metering = Metering::new(meters);
        for id in metering.published_devices() {
            self.orphans.add(&self.cx, id);
        }
        self.metering = Some(metering);
    }

    /// Handles the answer to [`Output::ReadEnergy`]. Another answer has no effect.
    pub fn handle_energy(&mut self, device: DeviceId, answer: Answer<'_>, now: Now) {
        self.advance(now);
        if let Some(metering) = &mut self.metering {
            metering.handle_answer(device, answer, now.mono, &mut self.cx.entropy);
        }
    }

    /// Handles the result of [`Output::StoreEnergy`]: `true` if the text is stored. The totals in it are published then, so
    /// that no run publishes less than the one before.
    pub fn handle_energy_stored(&mut self, stored: bool, now: Now) {
        self.advance(now);
        let Some(metering) = &mut self.metering else { return };
        for id in metering.handle_stored(stored, now.mono) {
            if !self.stopping {
                self.devices.publish_energy(&mut self.cx, id, metering);
            }
        }
    }

    /// Handles the verdict on a command. The first report on a command counts.
    pub fn handle_verdict(&mut self, request: RequestId, verdict: &Verdict, now: Now) {
        self.advance(now);
        self.requests.handle_verdict(&mut self.cx, request, verdict);
    }

    /// Records that a command was not sent, and why. The first report on a command counts.
    pub fn handle_not_sent(&mut self, request: RequestId, reason: &str, now: Now) {
        self.advance(now);
        self.requests.handle_not_sent(&mut self.cx, request, reason);
    }

    /// Records that the connection to the broker is open. See [`Client::handle_opened`].
    pub fn handle_opened(&mut self, link: LinkId, now: Now) {
        self.advance(now);
        self.cx.client.handle_opened(link, now.mono);
        self.handle_client_events();
    }

    /// Records that the connection to the broker could not be opened, or has ended. See [`Client::handle_closed`].
    pub fn handle_closed(&mut self, link: LinkId, now: Now) {
        self.advance(now);
        self.cx.client.handle_closed(link, now.mono);
        self.handle_client_events();
    }

    /// Records that bytes for the broker are written. See [`Client::handle_written`].
    pub fn handle_written(&mut self, link: LinkId, now: Now) {
        self.advance(now);
        self.cx.client.handle_written(link, now.mono);
        self.handle_client_events();
    }

    /// Handles bytes from the broker. See [`Client::handle_bytes`].
    pub fn handle_bytes(&mut self, link: LinkId, bytes: &[u8], now: Now) {
        self.advance(now);
        self.cx.client.handle_bytes(link, bytes, now.mono);
        self.handle_client_events();
        if let Some(metering) = &mut self.metering {
            metering.note_cleared(|id| self.cx.is_cleared(id), now.mono);
        }
    }

    /// Handles the timers. Early, late and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
        self.cx.client.handle_timeout(now.mono);
        self.handle_client_events();
        if self.stopping {
            return;
        }
        self.requests.step(&mut self.cx, &self.devices);
        if self.birth.step(&mut self.cx) {
            self.orphans.remove_again(&mut self.cx, &self.devices);
        }
        self.cx.defence.step(&mut self.cx.client, self.cx.now.mono);
        if self.other_bridge.step(&mut self.cx) {
            self.publish_state();
        }
        self.step_energy();
        self.devices.refresh(&mut self.cx);
        self.update_availability();
    }

    /// Ends the bridge: decides the open commands, publishes that the bridge is offline, disconnects, and has no effect
    /// afterwards. [`Bridge::is_ended`] returns `true` when that is done, within two seconds.
    pub fn shutdown(&mut self, now: Now) {
        self.advance(now);
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.requests.end(&mut self.cx);
        if let Some(Instruction::Store { text }) =
            self.metering.as_mut().and_then(|metering| metering.end(now.mono))
        {
            self.cx.outputs.push_back(Output::StoreEnergy { text });
        }
        self.other_bridge.publish(&mut self.cx, true);
        self.publish_state();
        self.cx.client.disconnect(LEAVE_LIMIT, now.mono);
    }

    /// `true` once [`Bridge::shutdown`] is complete.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.cx.client.is_ended()
    }

    /// Next instruction or event, or `None` until the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        let Context { outputs, client, now, .. } = &mut self.cx;
        outputs.pop_front().or_else(|| client.poll_output(now.mono).map(Output::Broker))
    }

    /// Time of the next call of [`Bridge::handle_timeout`], on the monotonic clock. Already due while there is output.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if !self.cx.outputs.is_empty() {
            return Some(self.cx.mono());
        }
        let client = self.cx.client.poll_timeout();
        if self.stopping { client } else { client.into_iter().chain(self.next_timer()).min() }
    }

    /// Time of the next timer, whether or not there is output.
    fn next_timer(&self) -> Option<Duration> {
        let Self { cx, accounts, devices, orphans, other_bridge, requests, metering, birth, .. } = self;
        let energy =
            metering.as_ref().and_then(|metering| metering.due(|id| may_read(accounts, devices, id)));
        let parts = [
            cx.client.next_timer(),
            requests.due(),
            devices.due(),
            energy,
            orphans.due(cx, accounts),
            birth.due(),
            cx.defence.due(),
            other_bridge.due(),
            accounts.due(cx),
        ];
        parts.into_iter().flatten().min()
    }

    /// Advances the clocks. Commands from before a suspend are not sent hours later: held ones expire, and the connection
    /// to the broker is closed with whatever the system received on it before.
    fn advance(&mut self, now: Now) {
        let last = core::mem::replace(&mut self.cx.now, now);
        let ran = i64::try_from(now.mono.saturating_sub(last.mono).as_millis()).unwrap_or(i64::MAX);
        let expected = last.wall.plus_millis(ran);
        let was_suspended =
            u128::from(now.wall.as_millis().abs_diff(expected.as_millis())) > SUSPEND.as_millis();
        // Some monotonic clocks go on in a suspend, and a process can be stopped: its timers are late then. A connection
        // always has one due within seconds.
        let is_late = self.next_timer().is_some_and(|due| now.mono > due.saturating_add(SUSPEND));
        if !(was_suspended || is_late) || self.stopping {
            return;
        }
        self.cx.client.handle_suspend(now.mono);
        if let Some(metering) = &mut self.metering {
            metering.interrupt(now.mono);
        }
        self.requests.handle_suspend(&mut self.cx);
        self.handle_client_events();
    }

    fn step_energy(&mut self) {
        let Self { cx, accounts, devices, metering: Some(metering), .. } = self else { return };
        let readable = |id| may_read(accounts, devices, id);
        while let Some(instruction) = metering.step(readable, cx.now, &mut cx.entropy) {
            cx.outputs.push_back(match instruction {
                Instruction::Read { device, query } => {
                    let account = devices.owner(device).unwrap_or(AccountIndex::FIRST);
                    Output::ReadEnergy { account, device, query }
                }
                Instruction::Store { text } => Output::StoreEnergy { text },
            });
        }
    }

    fn update_availability(&mut self) {
        let Self { cx, accounts, devices, orphans, metering, .. } = self;
        accounts.step(cx);
        orphans.step(cx, accounts, devices, metering.as_mut());
        let changed = devices.step(cx, accounts, metering.as_mut());
        let is_ready = self.ready || (accounts.is_any_listed() && devices.are_published());
        let was_ready = core::mem::replace(&mut self.ready, is_ready);
        if changed || is_ready != was_ready {
            self.publish_state();
        }
    }

    /// Publishes the state and the availability of the bridge itself.
    fn publish_state(&mut self) {
        let Self { cx, accounts, devices, other_bridge, .. } = self;
        let json = state::bridge(accounts, devices, other_bridge.is_present()).into_bytes();
        let (state, availability) = (cx.topics().bridge_state(), cx.topics().bridge_availability());
        cx.client.retain(rank::BRIDGE_STATE, state, json, QoS::AtMostOnce);
        let payload = if self.ready && !self.stopping { ONLINE } else { OFFLINE };
        cx.client.retain(rank::BRIDGE_AVAILABILITY, availability, payload.into(), QoS::AtLeastOnce);
    }

    fn handle_client_events(&mut self) {
        while let Some(event) = self.cx.client.poll_event() {
            match event {
                client::Event::Up => self.cx.event(Event::BrokerUp),
                client::Event::Down { reason, retry_at } => {
                    let retry_in = retry_at.saturating_sub(self.cx.mono());
                    self.cx.event(Event::BrokerDown { reason, retry_in });
                }
                client::Event::Message(message) => self.handle_message(&message),
                client::Event::SubscriptionRefused { filter } => {
                    self.cx.event(Event::SubscriptionRefused { filter });
                }
                client::Event::Skipped { .. } => self.cx.ignore("", IgnoredReason::TooLong),
                client::Event::Dropped { count } => self.cx.event(Event::Dropped { count }),
            }
        }
    }

    fn handle_message(&mut self, message: &Message) {
        let Self { cx, accounts, devices, orphans, other_bridge, requests, metering, birth, .. } = self;
        if birth.handle_message(cx, message) {
            return;
        }
        match cx.topics().parse(&message.topic) {
            Some(Incoming::Set { device, field }) => {
                requests.handle_set(cx, devices, device, field, message);
            }
            // A bridge that leaves does not contradict another one.
            Some(Incoming::Availability { .. } | Incoming::BridgeAvailability | Incoming::Instance)
                if self.stopping => {}
            Some(Incoming::Availability { device }) => {
                let is_new = orphans.handle_availability(cx, device, &message.payload, message.retained);
                if is_new {
                    orphans.step(cx, accounts, devices, metering.as_mut());
                }
            }
            Some(Incoming::BridgeAvailability) => {
                let topic = cx.topics().bridge_availability();
                cx.defend(rank::BRIDGE_AVAILABILITY, &topic, &message.payload);
            }
            Some(Incoming::Instance) => {
                if other_bridge.handle_message(cx, message) {
                    self.publish_state();
                }
            }
            None => cx.ignore(&message.topic, IgnoredReason::UnknownTopic),
        }
    }
}

/// Identity of a run, as text.
fn identity(random: [u8; 32]) -> String {
    random.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// `true` if the cloud of a thermostat can be asked for its energy.
fn may_read(accounts: &Accounts, devices: &Devices, id: DeviceId) -> bool {
    devices.owner(id).is_some_and(|account| accounts.has_source(account))
}
