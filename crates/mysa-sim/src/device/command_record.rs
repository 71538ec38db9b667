use mysa_proto::Celsius;

use crate::Now;
use crate::device::family::Mode;

/// Who changed a thermostat, or tried to. It is known by the path of the command, not by what the command says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// A command that a client published over MQTT.
    Mqtt {
        /// The client's connection.
        conn: u64,
    },
    /// A command that the structured service forwarded.
    Rest,
    /// A person at the thermostat.
    Button,
    /// The schedule service, see [`Incident::Schedule`](crate::Incident::Schedule).
    Schedule,
    /// Another app, see [`Incident::OtherApp`](crate::Incident::OtherApp) and
    /// [`Incident::Publish`](crate::Incident::Publish).
    OtherApp,
    /// The device record, which the thermostat reads when a message asks it to.
    Record,
}

/// What a thermostat is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct HeldSettings {
    /// Setpoint.
    pub setpoint: Celsius,
    /// Mode.
    pub mode: Mode,
    /// Whether the buttons are locked.
    pub lock: bool,
    /// Brightness of the display in use and at rest, %.
    pub brightness: (u8, u8),
    /// Whether it holds its setpoint rather than follows the schedule.
    pub hold: bool,
    /// Fan speed of an air conditioner, as messages have it.
    pub fan: i64,
    /// Vertical and horizontal swing of an air conditioner, as messages have them.
    pub swing: (i64, i64),
    /// Number of times a setting has changed. A command for what is so already does not count.
    pub revision: u64,
}

/// One command a thermostat acted on, or refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CommandRecord {
    /// When the thermostat acted, by the cloud's clocks.
    pub at: Now,
    /// When the broker or the REST service took the command. The same as `at` at a button.
    pub taken_at: Now,
    /// Who wanted it.
    pub origin: Origin,
    /// The command's own id, which the acknowledgement carries.
    pub request: Option<u64>,
    /// Whether it was applied. A command that is out of range, off the grid or of another family is not.
    pub applied: bool,
    /// Setpoint asked for, if any.
    pub setpoint: Option<Celsius>,
    /// Mode asked for, if any.
    pub mode: Option<Mode>,
    /// Lock asked for, if any.
    pub lock: Option<bool>,
    /// Brightness in use and at rest asked for, %, if any.
    pub brightness: Option<(u8, u8)>,
    /// What the thermostat was set to afterwards.
    pub held: HeldSettings,
}

/// How many messages of each kind a thermostat has received.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MessageCounts {
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
