use mysa_proto::Celsius;

use crate::Now;
use crate::family::Mode;

/// Who changed a thermostat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Author {
    /// A command that came over MQTT or from the structured service.
    App,
    /// A finger on the thermostat.
    Button,
}

/// One command a thermostat acted on, or refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Deed {
    /// When, by the cloud's clocks.
    pub at: Now,
    /// Who wanted it.
    pub author: Author,
    /// The command's own id, which the acknowledgement carries.
    pub request: Option<u64>,
    /// Whether it was applied. Out of range, off the grid or of another family: it was not.
    pub applied: bool,
    /// Setpoint asked for, if any.
    pub setpoint: Option<Celsius>,
    /// Mode asked for, if any.
    pub mode: Option<Mode>,
}

/// How many messages of each kind a thermostat has received.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Heard {
    /// Commands with the right `body.type`, whether they could be done or not.
    pub commands: u64,
    /// Commands with a wrong `body.type` or unreadable, ignored without a word.
    pub ignored: u64,
    /// Requests for live reporting.
    pub live_requests: u64,
    /// Echo requests.
    pub echoes: u64,
    /// Invitations to read the settings again.
    pub settings_checks: u64,
    /// Messages that do harm: reboot, pairing reset, firmware update, schedules.
    pub dangerous: u64,
    /// Everything else.
    pub other: u64,
}
