use crate::{AcCapabilities, BodyType, Celsius, Family, Mode, TrackedSensor};

/// Facts about one thermostat beyond its model that narrow the valid commands.
///
/// All of it is optional, and every part can only forbid: with the default, the bounds of the model hold.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..Limits::default()` fills the rest")]
pub struct Limits<'a> {
    /// `MinSetpoint` of the device record: the user's own lower limit.
    pub min_setpoint: Option<Celsius>,
    /// `MaxSetpoint` of the device record: the user's own upper limit.
    pub max_setpoint: Option<Celsius>,
    /// Capabilities of an air conditioner in each mode. Ignored on every other device.
    pub ac: Option<&'a AcCapabilities>,
    /// The mode it is in, where known. Decides which of the `ac` hold for a change that sets no mode.
    pub mode: Option<Mode>,
    /// The sensor it tracks, where known: an in-floor thermostat has another number of heat for each.
    pub tracked_sensor: Option<TrackedSensor>,
    /// `body.type` to use instead of the model's: a Lite whose record was edited to say `BB-V2-0` still wants
    /// [`BodyType::BaseboardLite`]. It does not widen what the model allows.
    pub body_type: Option<BodyType>,
}

impl Limits<'_> {
    /// These limits without what does not concern the family.
    pub(crate) fn of(self, family: Family) -> Self {
        Self { ac: self.ac.filter(|_| family == Family::AirConditioner), ..self }
    }
}
