use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use mysa_proto::{Change, Channel, InvalidCommand};

/// Names a command within one session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CommandId(pub(crate) u64);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {}", self.0)
    }
}

/// Too many commands are unresolved, or too many verdicts unread: drain [`Session::poll_output`](crate::Session::poll_output)
/// first. Nothing was begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to add")]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much is under way already, read the events first")
    }
}

impl core::error::Error for Busy {}

/// What became of a command. Every command gets exactly one, within its deadline.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "who acts on a verdict must have considered each")]
pub enum Verdict {
    /// It holds: the thermostat has shown every field that was asked for.
    Confirmed {
        /// What showed it last.
        by: Evidence,
        /// How long after it was asked for.
        after: Duration,
    },
    /// It was sent, and whether it holds is not known.
    Unconfirmed {
        /// How far it was seen to get.
        reached: DeliveryStage,
        /// What the thermostat was seen to hold since, in the fields that were asked for.
        seen: Change,
        /// How long it was waited for.
        after: Duration,
    },
    /// It will not be done. Nothing was sent, or the receiver said no.
    Refused(Refused),
    /// A newer command asks for other values of all its fields.
    Superseded {
        /// The newer one.
        by: CommandId,
        /// How far it had got; `None` if it was never sent.
        reached: Option<DeliveryStage>,
    },
    /// It was never sent.
    Expired(Expired),
}

impl Verdict {
    /// Whether the thermostat is known to hold what was asked for.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed { .. })
    }
}

/// What showed that a command holds.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Evidence {
    /// The thermostat's acknowledgement, with the values.
    Ack,
    /// A message of the thermostat, made after the command was sent.
    Status,
    /// The state that REST reports, made after the command was sent.
    Rest,
    /// The `reported` part of the structured state.
    Reported,
}

/// How far a command was seen to get.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the three stations between us and the relay")]
pub enum DeliveryStage {
    /// It was handed to the connection.
    Wire(Channel),
    /// The broker, or the REST service, has taken it.
    Service(Channel),
    /// The thermostat has acknowledged it, without showing the values.
    Thermostat,
}

/// Who refused a command.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// We did: no such thermostat in the account.
    UnknownDevice,
    /// We did, before sending: the model does not do that.
    Model(Box<InvalidCommand>),
    /// The caller chose [`Settings::read_only`](crate::Settings::read_only).
    ReadOnlyByChoice,
    /// MQTT takes no commands from this account, and there is no other channel for this model.
    NotPermitted,
    /// The thermostat answered that it will not.
    Device,
    /// The REST service answered no.
    Service {
        /// HTTP status.
        status: u16,
    },
}

/// Why a command was never sent.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Expired {
    /// There was no connection, or no turn, before its deadline.
    Deadline,
    /// The caller took it back.
    Cancelled,
    /// The session was shut down.
    ShutDown,
}

impl fmt::Display for Verdict {
    /// For people: `confirmed by the thermostat after 1.2 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed { by, after } => {
                write!(f, "confirmed by {by} after {:.1} s", after.as_secs_f64())
            }
            Self::Unconfirmed { reached, after, .. } => {
                write!(f, "unconfirmed after {:.1} s: {reached}", after.as_secs_f64())
            }
            Self::Refused(refused) => write!(f, "refused: {refused}"),
            Self::Superseded { .. } => f.write_str("superseded by a newer command"),
            Self::Expired(Expired::Deadline) => f.write_str("expired: it could not be sent in time"),
            Self::Expired(Expired::Cancelled) => f.write_str("expired: it was taken back before it was sent"),
            Self::Expired(Expired::ShutDown) => f.write_str("expired: the session ended before it was sent"),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ack => "the thermostat",
            Self::Status => "a later status",
            Self::Rest => "the REST service",
            Self::Reported => "the reported state",
        })
    }
}

impl fmt::Display for DeliveryStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Wire(_) => "it was sent, and nothing was heard of it",
            Self::Service(_) => "the cloud has it, and the thermostat was not seen to apply it",
            Self::Thermostat => "the thermostat has it, and was not seen to apply it",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDevice => f.write_str("no such thermostat in this account"),
            Self::Model(refusal) => write!(f, "{refusal}"),
            Self::ReadOnlyByChoice => f.write_str("commands are switched off"),
            Self::NotPermitted => f.write_str("this account may not send commands to this thermostat"),
            Self::Device => f.write_str("the thermostat said no"),
            Self::Service { status } => write!(f, "the service said no (HTTP {status})"),
        }
    }
}
