use std::fmt;
use std::time::Duration;

use mysa_proto::DeviceId;

use crate::violation::Violation;

/// A broken invariant of a bridge.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BridgeViolation {
    /// The session below the bridge broke one of its own.
    Session(Violation),
    /// A command, or bytes of one, that no live request of this process asks for.
    Unrequested {
        /// Thermostat.
        device: DeviceId,
        /// The command.
        what: String,
    },
    /// Bytes of a command leave after its result.
    AfterResult {
        /// Thermostat.
        device: DeviceId,
        /// The command.
        what: String,
    },
    /// A request is handed to the session long after the broker has sent it.
    OldRequest {
        /// Thermostat.
        device: DeviceId,
        /// The request.
        what: String,
        /// Its age in real time.
        age: Duration,
    },
    /// A result that belongs to no open request.
    ForeignResult(String),
    /// A request has no result in time.
    NoResult(String),
    /// The state is not published again after a result.
    NoSnapBack(DeviceId),
    /// A published value that the thermostat has never held.
    NeverHeld {
        /// Thermostat.
        device: DeviceId,
        /// Setting and value.
        what: String,
    },
    /// The smart home shows another value than the session knows, or than the thermostat has held lately.
    Outdated {
        /// Thermostat.
        device: DeviceId,
        /// Setting, value and truth.
        what: String,
    },
    /// The smart home shows something as available that is not, or the reverse.
    Availability {
        /// Thermostat; `None` for the bridge itself.
        device: Option<DeviceId>,
        /// Availability that is shown.
        shown: bool,
        /// The true state and how long it has lasted.
        why: String,
    },
    /// An energy total falls.
    EnergyFell {
        /// Thermostat.
        device: DeviceId,
        /// Values before and after.
        what: String,
    },
    /// An energy total disagrees with the thermostat, is zero, or is unknown after it was known.
    EnergyWrong {
        /// Thermostat.
        device: DeviceId,
        /// Description of the error.
        what: String,
    },
    /// A queue, a packet or the bridge itself grows without limit.
    Unbounded {
        /// Name of the thing that grows.
        place: &'static str,
        /// Its size.
        size: usize,
    },
    /// The bridge stays due at one moment.
    Livelock,
    /// An event reports what is not so.
    FalseAlarm(String),
    /// A packet that the broker's library cannot read, or that has no place in the protocol of the bridge.
    Protocol(String),
    /// Something is wrong long after all trouble has ended.
    NotRecovered(String),
}

impl From<Violation> for BridgeViolation {
    fn from(violation: Violation) -> Self {
        Self::Session(violation)
    }
}

impl fmt::Display for BridgeViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(violation) => write!(f, "{violation}"),
            Self::Unrequested { device, what } => write!(f, "{device}: no live request asks for {what}"),
            Self::AfterResult { device, what } => write!(f, "{device}: {what} is sent after its result"),
            Self::OldRequest { device, what, age } => {
                write!(f, "{device}: {what} is obeyed {:.0} s after it was sent", age.as_secs_f64())
            }
            Self::ForeignResult(what) => write!(f, "a result without a request: {what}"),
            Self::NoResult(what) => write!(f, "no result in time for {what}"),
            Self::NoSnapBack(device) => write!(f, "{device}: the state does not follow a result"),
            Self::NeverHeld { device, what } => write!(f, "{device} never held what is published: {what}"),
            Self::Outdated { device, what } => write!(f, "{device}: what is shown is outdated: {what}"),
            Self::Availability { device, shown, why } => {
                let what = device.map_or_else(|| "the bridge".to_owned(), |device| device.to_string());
                write!(f, "{what} is shown as {}available, but {why}", if *shown { "" } else { "un" })
            }
            Self::EnergyFell { device, what } => write!(f, "{device}: the energy total falls: {what}"),
            Self::EnergyWrong { device, what } => write!(f, "{device}: the energy total is wrong: {what}"),
            Self::Unbounded { place, size } => write!(f, "{place} grows without limit: {size}"),
            Self::Livelock => f.write_str("the bridge stays due at one moment"),
            Self::FalseAlarm(what) => write!(f, "it is reported that {what}, and it is not so"),
            Self::Protocol(what) => write!(f, "a packet that breaks the protocol: {what}"),
            Self::NotRecovered(what) => write!(f, "not recovered after all trouble: {what}"),
        }
    }
}

impl std::error::Error for BridgeViolation {}
