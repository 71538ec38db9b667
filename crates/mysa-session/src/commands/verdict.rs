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

/// Error: too many commands are undecided, or too many verdicts are unread. Drain
/// [`Session::poll_output`](crate::Session::poll_output) first. Nothing was begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to add")]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many commands or requests are under way: read the events first")
    }
}

impl core::error::Error for Busy {}

/// Outcome of a command. Every command gets exactly one, within its deadline.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "who acts on a verdict must have considered each")]
pub enum Verdict {
    /// The thermostat holds it: after the sending, one observed state showed every field that was asked for.
    Confirmed {
        /// The evidence that completed it.
        by: Evidence,
        /// Time from the request to the evidence.
        after: Duration,
        /// Whether the command changed anything.
        effect: Effect,
    },
    /// It was sent, and whether the thermostat holds it is not known.
    Unconfirmed {
        /// The furthest stage it is known to have reached.
        reached: DeliveryStage,
        /// The settings that the thermostat showed since the sending, in the fields that were asked for.
        seen: Change,
        /// Time from the request to the verdict.
        after: Duration,
    },
    /// It will not be done: nothing was sent, or the receiver refused it.
    Refused(Refused),
    /// A newer command asks for other values of all its fields.
    Superseded {
        /// The newer one.
        by: CommandId,
        /// The furthest stage it is known to have reached; `None` if it was never sent.
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

/// Whether a confirmed command changed anything.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it did or it did not")]
pub enum Effect {
    /// The thermostat held something else before, or it was not known what.
    Changed,
    /// The thermostat was known to hold all of it already when the command was asked for.
    AlreadySo,
}

/// Source of the evidence that confirmed a command.
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

/// Furthest point that a command is known to have reached on its way to the thermostat.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the three stages between us and the relay")]
pub enum DeliveryStage {
    /// Its bytes were handed to the connection.
    Wire(Channel),
    /// The broker, or the REST service, accepted it.
    Service(Channel),
    /// The thermostat acknowledged it, without showing the values.
    Thermostat,
}

/// Reason for a refusal, by who refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// The session: the account has no such thermostat.
    UnknownDevice,
    /// The session, before sending: the model does not take this change.
    Model(Box<InvalidCommand>),
    /// The session: the caller chose [`Settings::read_only`](crate::Settings::read_only).
    ReadOnlyByChoice,
    /// The session: the broker accepts no commands from this account, and the model has no other channel.
    NotPermitted,
    /// The thermostat answered that it does not do it.
    Device,
    /// The REST service refused the request.
    Service {
        /// HTTP status.
        status: u16,
    },
}

/// Reason why a command was never sent.
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
            Self::Confirmed { by, after, effect } => {
                write!(f, "confirmed by {by} after {:.1} s", after.as_secs_f64())?;
                match effect {
                    Effect::Changed => Ok(()),
                    Effect::AlreadySo => f.write_str("; it was so already"),
                }
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
