use mysa_proto::{Celsius, UnixTime};

use crate::Now;
use crate::device::family::Mode;

/// Origin of a command, known from the path of the command, not from its content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// A command that a client published over MQTT.
    Mqtt {
        /// Connection of the client.
        conn: u64,
    },
    /// A command that the structured service forwarded.
    Rest,
    /// A press of the thermostat's buttons.
    Button,
    /// The schedule service, see [`Incident::Schedule`](crate::Incident::Schedule).
    Schedule,
    /// Another app, see [`Incident::OtherApp`](crate::Incident::OtherApp) and
    /// [`Incident::Publish`](crate::Incident::Publish).
    OtherApp,
    /// The device record, which the thermostat reads when a message requests it.
    Record,
}

/// Settings of a thermostat.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct HeldSettings {
    /// Setpoint.
    pub setpoint: Celsius,
    /// Mode.
    pub mode: Mode,
    /// `true` if the buttons are locked.
    pub lock: bool,
    /// Brightness of the display in use and idle, %.
    pub brightness: (u8, u8),
    /// `true` if it holds its setpoint instead of following the schedule.
    pub hold: bool,
    /// End of a hold, after which the thermostat follows the schedule.
    pub hold_end: Option<UnixTime>,
    /// Fan speed of an air conditioner, in the numbers of the messages.
    pub fan: i64,
    /// Vertical and horizontal swing of an air conditioner, in the numbers of the messages.
    pub swing: (i64, i64),
    /// Number of changes of a setting. A command with the values in force does not count.
    pub revision: u64,
}

/// A command that a thermostat applied or refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CommandRecord {
    /// Time at which the thermostat handled it, by the cloud's clocks.
    pub at: Now,
    /// Time at which the broker or the REST service accepted it; equal to `at` for a button.
    pub taken_at: Now,
    /// Origin.
    pub origin: Origin,
    /// Id of the command, repeated in the acknowledgement.
    pub request: Option<u64>,
    /// `true` if it was applied. A command that is out of range, off the grid or of another family is refused.
    pub applied: bool,
    /// Requested setpoint, if any.
    pub setpoint: Option<Celsius>,
    /// Requested mode, if any.
    pub mode: Option<Mode>,
    /// Requested lock, if any.
    pub lock: Option<bool>,
    /// Requested brightness in use and idle, %, if any.
    pub brightness: Option<(u8, u8)>,
    /// Settings afterwards.
    pub held: HeldSettings,
}

/// Numbers of received messages of a thermostat, by kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MessageCounts {
    /// Commands with the right `body.type`, applied or not.
    pub commands: u64,
    /// Commands that are unreadable or have a wrong `body.type`; they are ignored silently.
    pub ignored: u64,
    /// Requests for live reporting.
    pub live_requests: u64,
    /// Echo requests.
    pub echoes: u64,
    /// Requests to read the settings again.
    pub settings_checks: u64,
    /// Dangerous messages: reboot, pairing reset, firmware update, schedules.
    pub dangerous: u64,
    /// Other messages.
    pub other: u64,
}
