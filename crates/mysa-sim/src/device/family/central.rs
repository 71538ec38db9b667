//! Central HVAC: one heat pump that heats and cools the house, with a setpoint for each.

use core::time::Duration;

use super::{Control, Mode, Profile, Seen};
use crate::device::room::Drive;

pub(super) const PROFILE: Profile = Profile {
    // It takes no commands by MQTT.
    body_type: 0,
    sample: Duration::from_secs(30),
    idle_status: Duration::from_secs(60),
    live_status: Duration::from_secs(60),
    batch_version: None,
    setpoint: (500, 3_000, 50),
    modes: &[Mode::Off, Mode::Auto, Mode::Heat, Mode::Cool, Mode::FanOnly],
    reports_setpoint: false,
    reads_text_cmd: false,
    firmware: "1.0.0",
};

/// Range of the setpoint for cooling and its step, in hundredths of a degree.
pub(super) const COOLING: (i32, i32, i32) = (1_600, 3_700, 50);

/// Coefficient of performance: heat per electrical energy.
const PERFORMANCE: f64 = 3.0;
/// Half of the hysteresis, K.
const BAND: f64 = 0.3;

/// Two-point control of heating and cooling.
pub(super) fn control(control: &mut Control, seen: &Seen) -> Drive {
    let heats = matches!(seen.mode, Mode::Heat | Mode::Auto);
    let cools = matches!(seen.mode, Mode::Cool | Mode::Auto);
    // Each stage runs until the room reaches the other end of its band.
    let heat_band = if control.on && !control.cooling { BAND } else { -BAND };
    let cool_band = if control.on && control.cooling { BAND } else { -BAND };
    let heating = heats && seen.room < seen.setpoint + heat_band;
    let cooling = cools && !heating && seen.room > seen.cool_setpoint - cool_band;
    control.on = heating || cooling;
    control.cooling = cooling;
    control.duty = if control.on { 1.0 } else { 0.0 };
    if !control.on {
        return Drive::OFF;
    }
    let heat = seen.rated * PERFORMANCE;
    Drive { electric: seen.rated, heat: if cooling { -heat } else { heat }, until: Duration::MAX }
}
