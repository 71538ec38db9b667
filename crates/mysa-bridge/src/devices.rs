use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{DeviceId, Entity, EntityFacts, KilowattHours, UnixTime};

use crate::accounts::Accounts;
use crate::client::QoS;
use crate::context::Context;
use crate::event::Event;
use crate::metering::Metering;
use crate::state::{self, Document};
use crate::topics::{OFFLINE, ONLINE, rank};
use crate::{AccountIndex, Thermostat, discovery};

/// Thermostats that an account has: what is published about each, and when.
#[derive(Debug, Default)]
pub(crate) struct Devices(BTreeMap<DeviceId, Device>);

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
    online: Option<bool>,
}

impl Devices {
    /// Decides which account serves a thermostat that `account` has: the first of those that have it. `is_new` if the
    /// account did not have it before. Returns `true` if `account` serves it.
    pub(crate) fn claim(
        &mut self,
        cx: &mut Context,
        account: AccountIndex,
        id: DeviceId,
        is_new: bool,
    ) -> bool {
        let Some(device) = self.0.get_mut(&id) else { return true };
        let (first, other) = (device.owner.min(account), device.owner.max(account));
        device.owner = first;
        if is_new && first != other {
            cx.event(Event::Shared { device: id, account: first, other });
        }
        first == account
    }

    /// Handles a snapshot from the account that serves the thermostat. Publishes what changed.
    pub(crate) fn handle_thermostat(
        &mut self,
        cx: &mut Context,
        accounts: &Accounts,
        mut metering: Option<&mut Metering>,
        account: AccountIndex,
        thermostat: &Thermostat<'_>,
    ) {
        let id = thermostat.id;
        let refresh_at = cx.after(cx.settings.refresh);
        let device = self.0.entry(id).or_insert_with(|| Device {
            owner: account,
            facts: EntityFacts::default(),
            entities: Vec::new(),
            is_available: false,
            last_seen: None,
            attributes: Vec::new(),
            attributes_now: Vec::new(),
            refresh_at,
            is_known: false,
            publish_at: cx.after(cx.settings.start_limit),
            config: None,
            state: Document::default(),
            is_held: true,
            online: None,
        });
        thermostat.add_facts(&mut device.facts);
        if let Some(metering) = metering.as_deref_mut() {
            let counts = thermostat.is_available() && !accounts.is_cloud_lost(account);
            metering.sample(id, thermostat.power.watts().filter(|_| counts), cx.mono());
            device.facts.energy_history = metering.has_history(id);
        }
        device.entities = thermostat.entities(&cx.settings.modes, &device.facts, metering.is_some());
        device.is_available = thermostat.is_available();
        device.is_known |= thermostat.is_known();
        // A clock that is ahead must not move the last sign of life into the future.
        device.last_seen = thermostat.last_seen.map(|at| at.min(cx.now.wall));
        let topics = cx.topics();
        device.config = topics
            .config(id)
            .map(|_| discovery::config(thermostat, &device.entities, &topics, cx.settings.unit));
        device.state = state::state(thermostat);
        device.is_held = true;
        let attributes = state::attributes(thermostat, None);
        device.attributes_now = state::attributes(thermostat, device.last_seen);
        let other_attributes = core::mem::replace(&mut device.attributes, attributes) != device.attributes;
        if device.is_due(cx.mono()) {
            let changed = device.publish_held(cx, id, metering.as_deref());
            if changed || other_attributes {
                device.publish_attributes(cx, id);
                device.refresh_at = refresh_at;
            }
        }
    }

    /// Moves the thermostats of an account that are not on its list to another account that has them. Returns those that
    /// no account has.
    pub(crate) fn reassign(&mut self, account: AccountIndex, accounts: &Accounts) -> Vec<DeviceId> {
        let mut gone = Vec::new();
        for (&id, device) in self.0.iter_mut().filter(|(_, device)| device.owner == account) {
            match accounts.first_with(id) {
                // Its next snapshot comes from there.
                Some(next) => device.owner = next,
                None => gone.push(id),
            }
        }
        gone
    }

    /// Removes a thermostat, and its messages from the broker. Returns `false` if it is not known.
    pub(crate) fn remove(&mut self, cx: &mut Context, id: DeviceId) -> bool {
        let is_known = self.0.remove(&id).is_some();
        if is_known {
            cx.clear(id);
        }
        is_known
    }

    /// Publishes the thermostats that were held back and are due, and the availability of all. Returns `true` if an
    /// availability changed.
    pub(crate) fn step(
        &mut self,
        cx: &mut Context,
        accounts: &Accounts,
        mut metering: Option<&mut Metering>,
    ) -> bool {
        let mut changed = false;
        for (&id, device) in &mut self.0 {
            if !device.is_due(cx.mono()) {
                continue;
            }
            if device.is_held {
                device.publish_held(cx, id, metering.as_deref());
                device.publish_attributes(cx, id);
            }
            let online = device.is_available && !accounts.is_cloud_lost(device.owner);
            if let Some(metering) = metering.as_deref_mut().filter(|_| !online) {
                metering.sample(id, None, cx.mono());
            }
            if device.online != Some(online) {
                if let (None, Some(metering)) = (device.online, metering.as_deref_mut()) {
                    metering.note_published(id, cx.mono());
                }
                device.online = Some(online);
                let (topic, payload) = (cx.topics().availability(id), if online { ONLINE } else { OFFLINE });
                cx.client.retain(rank::AVAILABILITY, topic, payload.into(), QoS::AtLeastOnce);
                cx.event(Event::Availability { device: id, online });
                changed = true;
            }
        }
        changed
    }

    /// Publishes again what did not change for a while, with the time of the latest sign of life.
    pub(crate) fn refresh(&mut self, cx: &mut Context) {
        for (&id, device) in &mut self.0 {
            if device.refresh_at <= cx.mono() && device.is_due(cx.mono()) {
                device.refresh_at = cx.after(cx.settings.refresh);
                let topic = cx.topics().state(id);
                cx.client.send_again(rank::STATE, &topic);
                device.publish_attributes(cx, id);
            }
        }
    }

    /// Publishes the energy of a thermostat, if anything is published about it.
    pub(crate) fn publish_energy(&mut self, cx: &mut Context, id: DeviceId, metering: &Metering) {
        if let Some(device) = self.0.get_mut(&id).filter(|device| device.online.is_some()) {
            device.publish_held(cx, id, Some(metering));
        }
    }

    /// Time of the next call of [`Devices::refresh`] and [`Devices::step`].
    pub(crate) fn due(&self) -> Option<Duration> {
        let due = self.0.values().map(|device| match device.online {
            Some(_) => device.refresh_at,
            None => device.publish_at,
        });
        due.min()
    }

    pub(crate) fn contains(&self, id: DeviceId) -> bool {
        self.0.contains_key(&id)
    }

    /// Account that serves a thermostat.
    pub(crate) fn owner(&self, id: DeviceId) -> Option<AccountIndex> {
        self.0.get(&id).map(|device| device.owner)
    }

    pub(crate) fn entities(&self, id: DeviceId) -> Option<&[Entity]> {
        self.0.get(&id).map(|device| device.entities.as_slice())
    }

    /// `true` if the availability of every thermostat is published.
    pub(crate) fn are_published(&self) -> bool {
        self.0.values().all(|device| device.online.is_some())
    }

    /// Accounts that serve the thermostats, and the availability that is published.
    pub(crate) fn availability(&self) -> impl Iterator<Item = (AccountIndex, Option<bool>)> {
        self.0.values().map(|device| (device.owner, device.online))
    }
}

impl Device {
    /// `true` if its messages are published, not held back.
    fn is_due(&self, now: Duration) -> bool {
        self.is_known || self.online.is_some() || self.publish_at <= now
    }

    /// Publishes discovery and state. Returns `true` if the state is a new one.
    fn publish_held(&mut self, cx: &mut Context, id: DeviceId, metering: Option<&Metering>) -> bool {
        self.is_held = false;
        if let Some((topic, config)) = cx.topics().config(id).zip(self.config.take()) {
            cx.client.retain(rank::CONFIG, topic, config, QoS::AtLeastOnce);
        }
        let mut state = self.state.clone();
        if let Some(metering) = metering {
            state.put("energy", metering.published(id).map(KilowattHours::as_kilowatt_hours));
        }
        let topic = cx.topics().state(id);
        cx.client.retain(rank::STATE, topic, state.into_bytes(), QoS::AtMostOnce)
    }

    fn publish_attributes(&self, cx: &mut Context, id: DeviceId) {
        let topic = cx.topics().attributes(id);
        if !cx.client.retain(rank::STATE, topic.as_str(), self.attributes_now.clone(), QoS::AtMostOnce) {
            cx.client.send_again(rank::STATE, &topic);
        }
    }
}
