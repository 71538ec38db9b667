use crate::{AcCapabilities, BodyType, Celsius, Family, Mode, TrackedSensor};

/// Facts about one thermostat beyond its model that narrow the valid commands.
///
/// Every field is optional and can only narrow what the model allows.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..Limits::default()` fills the rest")]
pub struct Limits<'a> {
    /// `MinSetpoint` of the device record: the user's own lower limit.
    pub min_setpoint: Option<Celsius>,
    /// `MaxSetpoint` of the device record: the user's own upper limit.
    pub max_setpoint: Option<Celsius>,
    /// Capabilities of an air conditioner. Ignored for every other device.
    pub ac: Option<&'a AcCapabilities>,
    /// Present mode, if known. Selects the capabilities in `ac` for a change that does not set a mode.
    pub mode: Option<Mode>,
    /// Tracked sensor, if known. An in-floor thermostat has a different number for heat with each sensor.
    pub tracked_sensor: Option<TrackedSensor>,
    /// `body.type` to use instead of the model's: a Lite whose record was edited to `BB-V2-0` still requires
    /// [`BodyType::BaseboardLite`].
    pub body_type: Option<BodyType>,
}

impl Limits<'_> {
    /// These limits without those that do not apply to the family.
    pub(crate) fn of(self, family: Family) -> Self {
        Self { ac: self.ac.filter(|_| family == Family::AirConditioner), ..self }
    }
}
