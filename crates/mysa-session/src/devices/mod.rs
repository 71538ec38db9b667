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
use core::time::Duration;

use mysa_proto::rest::DeviceRecord;
use mysa_proto::{
    AcCapabilities, Celsius, Change, Changes, Contradiction, DeviceId, DeviceState, Family, Limits, Model,
    TrackedSensor, UnixTime,
};

use crate::Now;

/// A thermostat of the account, and all that is known of it.
#[derive(Debug)]
pub struct Device {
    id: DeviceId,
    name: Option<Box<str>>,
    /// Shared by all thermostats of the home.
    home: Option<Arc<str>>,
    /// What it is, by the best witness.
    model: Model,
    /// `Model` of its record.
    record_model: Model,
    /// What is known of it beside its record.
    hardware: Hardware,
    min_setpoint: Option<Celsius>,
    max_setpoint: Option<Celsius>,
    ac: Option<Box<AcCapabilities>>,
    pub(crate) state: DeviceState,
    /// When it was last heard of, by whatever source.
    pub(crate) heard: Option<Moment>,
    /// When MQTT last delivered a message of it that is not retained.
    delivered: Option<Duration>,
    /// When its subscription was granted, if nothing has been delivered since; or before what was delivered last.
    granted: Option<Duration>,
    /// When its subscription was lost, until it is granted again.
    interrupted: Option<Duration>,
    /// When it made the newest status that REST has shown.
    polled: Option<Moment>,
    /// The broker refuses the subscription to its statuses.
    pub(crate) refused: bool,
    link: Link,
    /// Since when it ought to have been heard of.
    pub(crate) expected: Duration,
    pub(crate) stale: bool,
    pub(crate) contradicts: bool,
    /// Fields of commands that are not decided.
    pub(crate) pending: Change,
    /// When it is next to be asked to report live.
    pub(crate) lease_at: Option<Duration>,
    /// Until when it reports live.
    pub(crate) lease_until: Duration,
    /// Changes that the application has not been told yet.
    pub(crate) notice: PendingNotice,
    /// It was missing from the last list of the account.
    pub(crate) missing: bool,
}

/// The model of a thermostat that its record calls otherwise.
const LITE: &str = "BB-V2-0-L";

/// What is known of a thermostat beside its record, the better witness last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Hardware {
    Unknown,
    /// `DevicesPaired` of the user has this model, or no other than the record.
    Paired(Family),
    /// The thermostat acknowledged a command of this family.
    Acknowledges(Family),
}

/// Changes since the last event.
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
            min_setpoint: None,
            max_setpoint: None,
            ac: None,
            state: DeviceState::new(),
            heard: None,
            delivered: None,
            granted: None,
            interrupted: None,
            polled: None,
            refused: false,
            link: Link::Unheard,
            expected: now,
            stale: false,
            contradicts: false,
            pending: Change::default(),
            lease_at: None,
            lease_until: Duration::ZERO,
            notice: PendingNotice::default(),
            missing: false,
        }
    }

    /// Takes the record of the account. True if anything about the device is different. `homes` are those met so far.
    pub(crate) fn describe(&mut self, record: &DeviceRecord, homes: &mut Vec<Arc<str>>) -> bool {
        fn text(text: Option<&str>) -> Option<Box<str>> {
            text.map(Box::from)
        }
        let model = Model::parse(record.model.as_deref().unwrap_or_default());
        let name = text(record.name.as_deref());
        let home = record.home.as_ref().map(|home| {
            let known = homes.iter().find(|known| known.as_ref() == home.as_str()).cloned();
            known.unwrap_or_else(|| {
                homes.push(Arc::from(home.as_str()));
                homes.last().cloned().unwrap_or_default()
            })
        });
        let ac = record.ac_capabilities.clone().map(Box::new);
        let limits = (record.min_setpoint, record.max_setpoint);
        let changed = model != self.record_model
            || name != self.name
            || home != self.home
            || ac != self.ac
            || limits != (self.min_setpoint, self.max_setpoint);
        self.record_model = model;
        self.identify();
        self.name = name;
        self.home = home;
        self.ac = ac;
        (self.min_setpoint, self.max_setpoint) = limits;
        changed
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> DeviceId {
        self.id
    }

    /// The name its owner gave it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Id of the home it is in.
    #[must_use]
    pub fn home(&self) -> Option<&str> {
        self.home.as_deref()
    }

    /// The model. That of the record, unless the thermostat is known to be another: the record of a Lite may call it
    /// `BB-V2-0`, and a Lite obeys only commands for a Lite. (mysotherm, Mysa_HA.)
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// `Model` of the record, which [`Device::model`] may contradict.
    #[must_use]
    pub const fn record_model(&self) -> &Model {
        &self.record_model
    }

    /// Whether the record may be wrong about it, and nothing better is known.
    pub(crate) fn may_be_lite(&self) -> bool {
        self.record_model.family() == Some(Family::BaseboardV2) && self.hardware == Hardware::Unknown
    }

    /// Learns what it is from a witness better than the record. True if it is another model than before.
    pub(crate) fn learn_hardware(&mut self, hardware: Hardware) -> bool {
        self.hardware = self.hardware.max(hardware);
        let before = self.model.clone();
        self.identify();
        before != self.model
    }

    fn identify(&mut self) {
        use Hardware::{Acknowledges, Paired};
        let is_lite =
            matches!(self.hardware, Paired(Family::BaseboardLite) | Acknowledges(Family::BaseboardLite));
        self.model = if is_lite && self.record_model.family() == Some(Family::BaseboardV2) {
            Model::parse(LITE)
        } else {
            self.record_model.clone()
        };
    }

    /// Its family, if the model is known.
    #[must_use]
    pub const fn family(&self) -> Option<Family> {
        self.model.family()
    }

    /// Everything it was observed to say, with sources and ages.
    #[must_use]
    pub const fn state(&self) -> &DeviceState {
        &self.state
    }

    /// Time since it was last heard of, at a reading of the monotonic clock: since its latest message arrived, or, for
    /// what REST showed or the broker had retained, since the thermostat made that. It may be longer than the session or
    /// the host has run. `None` if it was never heard of.
    #[must_use]
    pub fn heard_ago(&self, mono: Duration) -> Option<Duration> {
        self.heard.map(|heard| heard.ago(mono))
    }

    /// The source that its state comes from, if it comes at all.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    /// Whether nothing was heard of it for longer than it may be silent. What is known of it may no longer hold.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.stale
    }

    /// The fields somebody has asked for that have no verdict yet.
    #[must_use]
    pub const fn pending(&self) -> Change {
        self.pending
    }

    /// The signal that it heats although its mode says off.
    #[must_use]
    pub fn contradiction(&self) -> Option<Contradiction> {
        self.state.contradiction()
    }

    /// Limits of the commands it takes.
    #[must_use]
    pub fn limits(&self) -> Limits<'_> {
        let tracked: Option<TrackedSensor> = self.state.tracked_sensor().map(|field| field.value);
        Limits {
            min_setpoint: self.min_setpoint,
            max_setpoint: self.max_setpoint,
            ac: self.ac.as_deref(),
            mode: self.state.mode().map(|field| field.value),
            tracked_sensor: tracked,
            ..Limits::default()
        }
    }

    /// A sign of life that it made at `at`, by the clock of the cloud.
    pub(crate) fn hear(&mut self, at: UnixTime, received: Now) {
        self.heard = self.heard.max(Some(Moment::made(at, received)));
    }

    /// When it will be stale.
    pub(crate) fn stale_at(&self, limit: Duration) -> Duration {
        self.heard.unwrap_or(Moment::of(self.expected)).after(limit)
    }
}

/// A time on the monotonic clock, which may be before that clock began: a thermostat may have been silent for longer than
/// the host has run.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment {
    millis: i64,
}

impl Moment {
    pub(crate) fn of(mono: Duration) -> Self {
        Self { millis: millis(mono) }
    }

    /// When something was made of which the cloud's clock says that it was at `at`, and which arrived now. What seems to
    /// come from the future was made now.
    pub(crate) fn made(at: UnixTime, received: Now) -> Self {
        let age = received.wall.since(at).unwrap_or_default();
        Self { millis: millis(received.mono).saturating_sub(millis(age)) }
    }

    fn ago(self, mono: Duration) -> Duration {
        Duration::from_millis(u64::try_from(millis(mono).saturating_sub(self.millis)).unwrap_or(0))
    }

    /// The time `later`, or zero if the clock had not begun by then.
    fn after(self, later: Duration) -> Duration {
        let at = self.millis.saturating_add(millis(later));
        Duration::from_millis(u64::try_from(at).unwrap_or(0))
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

const FEW: usize = 8;

/// The account's thermostats, by id.
#[derive(Debug, Default)]
pub(crate) struct Devices(Vec<Device>);

impl Devices {
    /// The name of its home or zone.
    #[inline]
    fn position(&self, id: DeviceId) -> Result<usize, usize> {
        // In most homes it is quicker to look at each.
        if self.0.len() <= FEW
            && let Some(at) = self.0.iter().position(|device| device.id == id)
        {
            return Ok(at);
        }
        self.0.binary_search_by(|device| device.id.cmp(&id))
    }

    pub(crate) fn find(&self, id: DeviceId) -> Option<&Device> {
        self.position(id).ok().and_then(|at| self.0.get(at))
    }

    pub(crate) fn find_mut(&mut self, id: DeviceId) -> Option<&mut Device> {
        self.position(id).ok().and_then(|at| self.0.get_mut(at))
    }

    /// Adds one that is not there yet.
    pub(crate) fn add(&mut self, device: Device) {
        if let Err(at) = self.position(device.id) {
            // Lists change seldom, and a device is large.
            self.0.reserve_exact(1);
            self.0.insert(at, device);
        }
    }

    pub(crate) fn remove(&mut self, id: DeviceId) -> Option<Device> {
        self.position(id).ok().map(|at| self.0.remove(at))
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Device> + Clone {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Device> {
        self.0.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Device {
    /// Its name, or its id if it has none.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.as_deref().map_or_else(|| alloc::format!("{}", self.id), String::from)
    }
}
