//! Baseboard V3: a relay like that of a Lite. Only the structured service reaches it.

use core::time::Duration;

use super::{Mode, Profile};

pub(super) const PROFILE: Profile = Profile {
    // It takes no commands by MQTT.
    body_type: 0,
    sample: Duration::from_secs(30),
    idle_status: Duration::from_secs(60),
    live_status: Duration::from_secs(60),
    batch_version: None,
    setpoint: (500, 3_000, 50),
    modes: &[Mode::Off, Mode::Heat],
    reports_setpoint: false,
    reads_text_cmd: false,
    firmware: "1.0.0",
};
