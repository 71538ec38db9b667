use mysa_proto::{
    Change, DeviceId, DeviceState, DutyCycle, Entity, EntityFacts, Limits, ModeTable, Model, Power, UnixTime,
    entities,
};
use mysa_session::Link;

/// Snapshot of a thermostat, as the driver of an account has it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a driver that misses a field must not compile")]
pub struct Thermostat<'a> {
    /// Id.
    pub id: DeviceId,
    /// Name that the owner gave it.
    pub name: Option<&'a str>,
    /// Model.
    pub model: &'a Model,
    /// Limits for commands in the present state.
    pub limits: Limits<'a>,
    /// State.
    pub state: &'a DeviceState,
    /// Duty cycle, as reported or by the relay.
    pub duty: Option<DutyCycle>,
    /// Power and its basis.
    pub power: Power,
    /// `true` if its owner has entered the rated power of the heater.
    pub has_rated_power: bool,
    /// `true` if it reports as often as expected, by MQTT or REST. What the cloud knows of its connection is in the state.
    pub is_current: bool,
    /// Source of its state. [`Thermostat::is_current`] allows some time without any.
    pub link: Link,
    /// Versions of its firmware, once they are known.
    pub firmware: Option<Firmware<'a>>,
    /// Time of the latest sign of life. `None` if there was none yet: then, unless it is current, it is not known whether
    /// the thermostat reports.
    pub last_seen: Option<UnixTime>,
    /// Requested settings that have no verdict yet.
    pub pending: Change,
}

/// Versions of the firmware of a thermostat. The bridge shows them and installs none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Firmware<'a> {
    /// Installed version.
    pub installed: &'a str,
    /// Newest version that the vendor offers for it, which may be the installed one. `None` if that is not known.
    pub newest: Option<&'a str>,
}

impl Thermostat<'_> {
    /// `true` if it is reachable, as far as is known.
    pub(crate) fn is_available(&self) -> bool {
        self.is_current && self.state.connected().is_none_or(|connected| connected.value)
    }

    /// `true` if it is known whether it reports.
    pub(crate) fn is_known(&self) -> bool {
        self.is_current || self.last_seen.is_some()
    }

    /// Adds what the state shows of its sensors. A fact that was seen once stays.
    pub(crate) fn add_facts(&self, facts: &mut EntityFacts) {
        facts.humidity |= self.state.humidity().is_some();
        facts.current |= self.state.current().is_some();
        facts.voltage |= self.state.voltage().is_some();
        facts.rated_power = self.has_rated_power;
    }

    /// Entities whose state the bridge publishes. `has_energy` if it keeps the energy of thermostats.
    pub(crate) fn entities(
        &self,
        modes: &ModeTable,
        facts: &EntityFacts,
        has_energy: bool,
    ) -> alloc::vec::Vec<Entity> {
        let mut list = entities(self.model, &self.limits, modes, facts);
        list.retain(|entity| has_energy || entity.id != "sensor.energy");
        list
    }
}
