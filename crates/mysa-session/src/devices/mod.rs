mod delivery;
mod ingest;
mod lease;
mod staleness;

pub(crate) use delivery::Delivery;
pub use delivery::Link;
pub(crate) use ingest::Incoming;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash as _, Hasher};
use core::time::Duration;

use mysa_proto::rest::DeviceRecord;
use mysa_proto::{
    AcCapabilities, Celsius, Change, Changes, Contradiction, DeviceId, DeviceState, Family, Limits, Model,
    UnixTime, Volts,
};

use crate::Now;
use crate::now::millis;

/// Thermostat of the account, and everything known about it.
// First what every message reads or writes, then what every timer reads: each cache line is a miss in a process of many sessions.
#[derive(Debug)]
#[repr(C)]
pub struct Device {
    id: DeviceId,
    /// Time of the latest sign of life, from any source.
    pub(crate) last_seen: Option<Moment>,
    /// Time at which MQTT last delivered a message of the thermostat that is not retained.
    delivered: Option<Duration>,
    /// Changes that the application has not fetched yet.
    pub(crate) notice: PendingNotice,
    link: Link,
    pub(crate) contradicts: bool,
    pub(crate) stale: bool,
    /// `true` if the broker refuses the subscription to its statuses.
    pub(crate) refused: bool,
    /// Model by the most reliable evidence.
    model: Model,
    pub(crate) state: DeviceState,
    /// Time of the next request for live reports.
    pub(crate) lease_at: Option<Duration>,
    /// Time until which it reports live.
    pub(crate) lease_until: Duration,
    /// Time at which its subscription was granted. While nothing is delivered, a new grant does not reset it; the time
    /// without a subscription is added.
    granted: Option<Duration>,
    /// Time of the newest status that REST has shown, by the thermostat's own stamp.
    polled: Option<Moment>,
    /// Time since which a sign of life is expected.
    pub(crate) expected: Duration,
    /// Time at which its subscription was lost, until it is granted again.
    interrupted: Option<Duration>,
    /// Model evidence from other sources than the record.
    hardware: Hardware,
    /// `true` if it was missing from the last device list.
    pub(crate) missing: bool,
    name: Option<Box<str>>,
    /// Home id, shared by all thermostats of the home.
    home: Option<Arc<str>>,
    /// Model in the thermostat's record.
    record_model: Model,
    /// Limits and line voltage in its record.
    record: Arc<RecordFacts>,
    /// Fields of undecided commands. Boxed because few thermostats have any.
    pub(crate) pending: Option<Box<Change>>,
}

/// Facts of the records in one device list, shared by thermostats with equal facts.
#[derive(Debug, Default)]
pub(crate) struct KnownFacts {
    homes: Vec<Arc<str>>,
    facts: Vec<Arc<RecordFacts>>,
}

impl KnownFacts {
    fn home(&mut self, home: &str) -> Arc<str> {
        let known = self.homes.iter().find(|known| known.as_ref() == home).cloned();
        known.unwrap_or_else(|| {
            let home: Arc<str> = Arc::from(home);
            self.homes.push(Arc::clone(&home));
            home
        })
    }

    fn facts(&mut self, facts: RecordFacts) -> Arc<RecordFacts> {
        // Most records are alike, and the search is bounded, so a list of different records costs no more.
        let known = self.facts.iter().take(FEW).find(|known| ***known == facts).cloned();
        known.unwrap_or_else(|| {
            let facts = Arc::new(facts);
            self.facts.push(Arc::clone(&facts));
            facts
        })
    }
}

/// Limits and line voltage in the record of a thermostat.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RecordFacts {
    /// `MinSetpoint` as received; [`Limits::ignored`] judges it.
    pub min_setpoint: Option<Celsius>,
    /// `MaxSetpoint` as received.
    pub max_setpoint: Option<Celsius>,
    /// Capabilities of an air conditioner.
    pub ac: Option<Box<AcCapabilities>>,
    /// Configured line voltage, otherwise the voltage once measured; never 0 V.
    pub line_voltage: Option<Volts>,
}

impl RecordFacts {
    fn of(record: &DeviceRecord) -> Self {
        let voltage = [record.voltage, record.measured_voltage];
        Self {
            min_setpoint: record.min_setpoint,
            max_setpoint: record.max_setpoint,
            ac: record.ac_capabilities.clone().map(Box::new),
            line_voltage: voltage.into_iter().flatten().find(|voltage| voltage.as_volts() > 0.0),
        }
    }

    /// Returns the limits for commands to a thermostat in this state.
    #[must_use]
    pub fn limits(&self, state: &DeviceState) -> Limits<'_> {
        Limits {
            min_setpoint: self.min_setpoint,
            max_setpoint: self.max_setpoint,
            ac: self.ac.as_deref(),
            mode: state.mode().map(|field| field.value),
            tracked_sensor: state.tracked_sensor().map(|field| field.value),
            ..Limits::default()
        }
    }
}

/// Model of a thermostat that is a Lite although its record names another model.
const LITE: &str = "BB-V2-0-L";

/// Model evidence from other sources than the record, in ascending order of reliability.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Hardware {
    Unknown,
    /// `DevicesPaired` of the user names this model, or names none and the record does.
    Paired(Family),
    /// The thermostat acknowledged a command of this family.
    Acknowledges(Family),
}

/// Changes since the last event about the thermostat.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PendingNotice {
    pub(crate) queued: bool,
    pub(crate) changes: Changes,
    pub(crate) about: bool,
    pub(crate) skipped: u32,
}

impl Device {
    pub(crate) fn new(id: DeviceId, model: Model, now: Duration) -> Self {
        Self {
            id,
            name: None,
            home: None,
            record_model: model.clone(),
            model,
            hardware: Hardware::Unknown,
            record: Arc::default(),
            state: DeviceState::new(),
            last_seen: None,
            delivered: None,
            granted: None,
            interrupted: None,
            polled: None,
            refused: false,
            link: Link::Unseen,
            expected: now,
            stale: false,
            contradicts: false,
            pending: None,
            lease_at: None,
            lease_until: Duration::ZERO,
            notice: PendingNotice::default(),
            missing: false,
        }
    }

    /// Creates a thermostat that an earlier run has listed.
    pub(crate) fn assumed(id: DeviceId, model: Model, name: Option<String>, now: Duration) -> Self {
        Self { name: name.map(String::into_boxed_str), ..Self::new(id, model, now) }
    }

    /// Applies the record of the device list. Returns `true` if anything changed. `known` is shared with the other
    /// records of the list.
    pub(crate) fn describe(&mut self, record: &DeviceRecord, known: &mut KnownFacts) -> bool {
        let model = Model::parse(record.model.as_deref().unwrap_or_default());
        // A blank name would leave nothing to see or to type.
        let name = record.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(Box::from);
        let home = record.home.as_ref().map(|home| known.home(home.as_str()));
        let facts = RecordFacts::of(record);
        let changed =
            model != self.record_model || name != self.name || home != self.home || facts != *self.record;
        self.record_model = model;
        self.identify();
        self.name = name;
        self.home = home;
        self.record = known.facts(facts);
        changed
    }

    /// Device id.
    #[must_use]
    pub const fn id(&self) -> DeviceId {
        self.id
    }

    /// Name that the owner gave to the thermostat.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Id of the home.
    #[must_use]
    pub fn home(&self) -> Option<&str> {
        self.home.as_deref()
    }

    /// Model of the thermostat. It is that of the record, unless the thermostat is known to be another model: the
    /// record of a Lite may name `BB-V2-0`, and a Lite accepts only commands for a Lite. (mysotherm,
    /// Mysa_HA.)
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Model of the record, which [`Device::model`] may contradict.
    #[must_use]
    pub const fn record_model(&self) -> &Model {
        &self.record_model
    }

    /// Returns `true` if the record may be wrong about the model and no better evidence exists.
    pub(crate) fn may_be_lite(&self) -> bool {
        self.record_model.family() == Some(Family::BaseboardV2) && self.hardware == Hardware::Unknown
    }

    /// Records model evidence. Returns `true` if the model changed.
    pub(crate) fn learn_hardware(&mut self, hardware: Hardware) -> bool {
        self.hardware = self.hardware.max(hardware);
        let before = self.model.clone();
        self.identify();
        before != self.model
    }

    /// Determines the model, and discards state fields that the model lacks.
    fn identify(&mut self) {
        let before = self.model.family();
        use Hardware::{Acknowledges, Paired};
        let is_lite =
            matches!(self.hardware, Paired(Family::BaseboardLite) | Acknowledges(Family::BaseboardLite));
        self.model = if is_lite && self.record_model.family() == Some(Family::BaseboardV2) {
            Model::parse(LITE)
        } else {
            self.record_model.clone()
        };
        if let Some(family) = self.model.family()
            && before != Some(family)
        {
            self.state.restrict_to(family);
        }
    }

    /// Family of the model, if the model is known.
    #[must_use]
    pub const fn family(&self) -> Option<Family> {
        self.model.family()
    }

    /// State: every field observed so far, with its source and age.
    #[must_use]
    pub const fn state(&self) -> &DeviceState {
        &self.state
    }

    /// Time since the latest sign of life, at a reading of the monotonic clock. It counts from the arrival of a
    /// message, or, for REST states and retained messages, from the time at which the thermostat made them, so it may
    /// be longer than the session or the host has run. `None` if there was no sign of life.
    #[must_use]
    pub fn last_seen_ago(&self, mono: Duration) -> Option<Duration> {
        self.last_seen.map(|seen| seen.ago(mono))
    }

    /// Source of its state.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    /// `true` if there was no sign of life for longer than the allowed silence. The state may be outdated.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Requested fields that have no verdict yet.
    #[must_use]
    pub fn pending(&self) -> Change {
        self.pending.as_deref().copied().unwrap_or_default()
    }

    /// Signs that the thermostat heats although its mode is off.
    #[must_use]
    pub fn contradiction(&self) -> Option<Contradiction> {
        self.state.contradiction()
    }

    /// Limits for commands to the thermostat.
    #[must_use]
    pub fn limits(&self) -> Limits<'_> {
        self.record.limits(&self.state)
    }

    /// Limits and line voltage in the thermostat's record.
    #[must_use]
    pub const fn record(&self) -> &Arc<RecordFacts> {
        &self.record
    }

    /// Records a sign of life that the thermostat made at `at`, by the cloud's clock.
    pub(crate) fn record_sign_of_life(&mut self, at: UnixTime, received: Now) {
        self.last_seen = self.last_seen.max(Some(Moment::made(at, received)));
    }

    /// Returns the time at which the thermostat becomes stale.
    pub(crate) fn stale_at(&self, limit: Duration) -> Duration {
        self.last_seen.unwrap_or(Moment::of(self.expected)).after(limit)
    }
}

/// Time on the monotonic clock that may be before the clock's start, because a thermostat may have been silent for
/// longer than the host has run.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment {
    millis: i64,
}

impl Moment {
    pub(crate) fn of(mono: Duration) -> Self {
        Self { millis: millis(mono) }
    }

    /// Returns the moment at which something was made, given its cloud time `at` and its arrival. A time in the future
    /// counts as now.
    pub(crate) fn made(at: UnixTime, received: Now) -> Self {
        // A device clock ahead of the cloud's must not make a message look newer than its arrival.
        let age = received.wall.since(at).unwrap_or_default();
        Self { millis: millis(received.mono).saturating_sub(millis(age)) }
    }

    fn ago(self, mono: Duration) -> Duration {
        Duration::from_millis(u64::try_from(millis(mono).saturating_sub(self.millis)).unwrap_or(0))
    }

    /// Returns the time `later` after this moment, or zero if that is before the clock's start.
    fn after(self, later: Duration) -> Duration {
        let at = self.millis.saturating_add(millis(later));
        Duration::from_millis(u64::try_from(at).unwrap_or(0))
    }
}

/// Number of thermostats up to which a linear scan is faster than a binary search.
const FEW: usize = 8;

/// Thermostats of the account, sorted by id.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Devices {
    /// Keys of the first thermostats, so that a search does not read the ids of the others, which are far apart.
    keys: [u32; FEW],
    list: Vec<Device>,
}

/// Hash of an id that is quick to compute.
#[derive(Debug, Default)]
struct Key(u64);

impl Key {
    #[inline]
    fn of(id: DeviceId) -> u32 {
        let mut key = Self::default();
        id.hash(&mut key);
        (key.0 ^ key.0 >> 32) as u32
    }
}

impl Hasher for Key {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.as_chunks().0 {
            self.0 = (self.0 ^ u64::from_le_bytes(*word)).rotate_left(13);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Devices {
    /// Returns the index of a thermostat, or the index to insert it at.
    #[inline]
    fn position(&self, id: DeviceId) -> Result<usize, usize> {
        // A linear scan is faster in most homes.
        if self.list.len() <= FEW {
            let key = Key::of(id);
            let is_it = |(device, other): (&Device, &u32)| *other == key && device.id == id;
            if let Some(at) = self.list.iter().zip(&self.keys).position(is_it) {
                return Ok(at);
            }
        }
        self.list.binary_search_by(|device| device.id.cmp(&id))
    }

    fn update_keys(&mut self) {
        for (key, device) in self.keys.iter_mut().zip(&self.list) {
            *key = Key::of(device.id);
        }
    }

    pub(crate) fn find(&self, id: DeviceId) -> Option<&Device> {
        self.position(id).ok().and_then(|at| self.list.get(at))
    }

    pub(crate) fn find_mut(&mut self, id: DeviceId) -> Option<&mut Device> {
        self.position(id).ok().and_then(|at| self.list.get_mut(at))
    }

    /// Adds a thermostat that is not in the list yet.
    pub(crate) fn add(&mut self, device: Device) {
        if let Err(at) = self.position(device.id) {
            // The list rarely changes, and a device is large.
            self.list.reserve_exact(1);
            self.list.insert(at, device);
            self.update_keys();
        }
    }

    pub(crate) fn remove(&mut self, id: DeviceId) -> Option<Device> {
        let at = self.position(id).ok()?;
        let removed = self.list.remove(at);
        self.update_keys();
        Some(removed)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Device> + Clone {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Device> {
        self.list.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

impl Device {
    /// Name of the thermostat, or its id if it has none.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.as_deref().map_or_else(|| alloc::format!("{}", self.id), String::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thermostat_is_found_while_others_come_and_go() {
        let id = |number: usize| DeviceId::new(&alloc::format!("a0b1c2d3{number:04x}")).unwrap();
        let mut devices = Devices::default();
        // More than a linear search looks at, and not in the order of the ids.
        let numbers: Vec<usize> = (0..2 * FEW).map(|number| number * 7 % (2 * FEW)).collect();
        let check = |devices: &Devices, known: &[usize]| {
            for number in 0..2 * FEW {
                let found = devices.find(id(number)).map(Device::id);
                assert_eq!(found, known.contains(&number).then(|| id(number)));
            }
        };
        for (at, &number) in numbers.iter().enumerate() {
            devices.add(Device::new(id(number), Model::parse(LITE), Duration::ZERO));
            check(&devices, &numbers[..=at]);
        }
        for (at, &number) in numbers.iter().enumerate() {
            assert_eq!(devices.remove(id(number)).map(|removed| removed.id), Some(id(number)));
            check(&devices, &numbers[at + 1..]);
        }
    }
}
