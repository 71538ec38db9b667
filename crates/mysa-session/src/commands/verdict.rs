use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use mysa_proto::{Change, Channel, InvalidCommand};

/// Id of a command, unique within one session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CommandId(pub(crate) u64);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {}", self.0)
    }
}

/// Error: too many commands are undecided, or too many verdicts are unread. Nothing was queued. Drain
/// [`Session::poll_output`](crate::Session::poll_output), then try again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the error has no details")]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many commands or requests are under way: read the events first")
    }
}

impl core::error::Error for Busy {}

/// Outcome of a command. Every command gets exactly one, within its deadline.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle every verdict")]
pub enum Verdict {
    /// The thermostat holds the change: one state, observed after sending, showed every requested field.
    Confirmed {
        /// Evidence that completed the confirmation.
        by: Evidence,
        /// Time from the request to the evidence.
        after: Duration,
        /// Effect on the thermostat.
        effect: Effect,
    },
    /// The command was sent, and it is unknown whether the thermostat holds the change.
    Unconfirmed {
        /// Furthest stage that the command is known to have reached.
        reached: DeliveryStage,
        /// Settings that the thermostat has shown since sending, limited to the requested fields.
        seen: Change,
        /// Time from the request to the verdict.
        after: Duration,
    },
    /// The change will not happen: nothing was sent, or the receiver refused it.
    Refused(Refused),
    /// A newer command requests all fields of this one.
    Superseded {
        /// Newer command.
        by: CommandId,
        /// Furthest stage that this command is known to have reached; `None` if it was never sent.
        reached: Option<DeliveryStage>,
    },
    /// The command was never sent.
    Expired(Expired),
}

impl Verdict {
    /// Kind of the verdict, without its details.
    #[must_use]
    pub const fn kind(&self) -> VerdictKind {
        match self {
            Self::Confirmed { .. } => VerdictKind::Confirmed,
            Self::Unconfirmed { .. } => VerdictKind::Unconfirmed,
            Self::Refused(_) => VerdictKind::Refused,
            Self::Superseded { .. } => VerdictKind::Superseded,
            Self::Expired(_) => VerdictKind::Expired,
        }
    }

    /// `true` if the thermostat is known to hold the requested values.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed { .. })
    }
}

/// Kind of a [`Verdict`], for records, metrics and results.
///
/// ```
/// use mysa_session::VerdictKind;
///
/// assert_eq!(VerdictKind::Confirmed.name(), "confirmed");
/// assert_eq!(VerdictKind::from_name("expired"), Some(VerdictKind::Expired));
/// assert_eq!(VerdictKind::from_name("done"), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle every verdict")]
pub enum VerdictKind {
    /// The thermostat holds the requested values.
    Confirmed,
    /// The command may have been sent, and it is unknown whether the thermostat holds the values.
    Unconfirmed,
    /// The change will not happen.
    Refused,
    /// A newer command took the place of this one.
    Superseded,
    /// The command was not sent.
    Expired,
}

impl VerdictKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Confirmed, Self::Unconfirmed, Self::Refused, Self::Superseded, Self::Expired];

    /// Name in lower case, such as `confirmed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
        }
    }

    /// Kind with this name; `None` for any other text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Effect of a confirmed command.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are only these two effects")]
pub enum Effect {
    /// The thermostat held other values before, or its values were unknown.
    Changed,
    /// The thermostat was known to hold the requested values already when the command was queued.
    AlreadyHeld,
}

/// Source of the evidence that confirmed a command.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Evidence {
    /// Acknowledgement by the thermostat, with the values.
    Ack,
    /// Message of the thermostat, made after the command was sent.
    Status,
    /// State in REST, made after the command was sent.
    Rest,
    /// `reported` part of the structured state.
    Reported,
}

impl Evidence {
    /// Name in lower case, for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Status => "status",
            Self::Rest => "rest",
            Self::Reported => "reported",
        }
    }
}

/// Furthest point that a command is known to have reached on its way to the thermostat.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "there are only these three stages")]
pub enum DeliveryStage {
    /// The bytes were handed to the connection.
    Wire(Channel),
    /// The broker, or the REST service, accepted the command.
    Service(Channel),
    /// The thermostat acknowledged the command, without showing the values.
    Thermostat,
}

impl DeliveryStage {
    /// Name in lower case, for programs: `wire`, `service` or `thermostat`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wire(_) => "wire",
            Self::Service(_) => "service",
            Self::Thermostat => "thermostat",
        }
    }
}

/// Reason for a refusal, and who refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// Session: the account has no such thermostat.
    UnknownDevice,
    /// Session: the model does not support this change. Nothing was sent.
    Model(Box<InvalidCommand>),
    /// Session: the caller set [`Settings::read_only`](crate::Settings::read_only).
    ReadOnlyByChoice,
    /// Session: the broker accepts no commands from this account, and the model has no other channel.
    NotPermitted,
    /// Thermostat: its acknowledgement reports failure.
    Device,
    /// REST service: it refused the request.
    Service {
        /// HTTP status.
        status: u16,
        /// Time to wait before the next request, if the service gives one (`Retry-After`), at most an hour.
        retry_after: Option<Duration>,
    },
}

/// Reason why a command was never sent.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Expired {
    /// There was no connection, or no free slot, before its deadline.
    Deadline,
    /// The caller cancelled it.
    Cancelled,
    /// The session was shut down.
    ShutDown,
}

impl fmt::Display for Verdict {
    /// Text for people, such as `confirmed by the thermostat after 1.2 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed { by, after, effect } => {
                write!(f, "confirmed by {by} after {:.1} s", after.as_secs_f64())?;
                match effect {
                    Effect::Changed => Ok(()),
                    Effect::AlreadyHeld => f.write_str("; it held these values already"),
                }
            }
            Self::Unconfirmed { reached, after, .. } => {
                write!(f, "unconfirmed after {:.1} s: {reached}", after.as_secs_f64())
            }
            Self::Refused(refused) => write!(f, "refused: {refused}"),
            Self::Superseded { .. } => f.write_str("superseded by a newer command"),
            Self::Expired(Expired::Deadline) => f.write_str("expired: it could not be sent in time"),
            Self::Expired(Expired::Cancelled) => f.write_str("expired: it was cancelled before it was sent"),
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
            Self::Wire(_) => "it was sent, and nothing acknowledged it",
            Self::Service(_) => "the cloud accepted it, and the thermostat did not show the new values",
            Self::Thermostat => "the thermostat received it, and did not show the new values",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDevice => f.write_str("no such thermostat in this account"),
            Self::Model(refusal) => write!(f, "{refusal}"),
            Self::ReadOnlyByChoice => f.write_str("the session is read-only by its settings"),
            Self::NotPermitted => f.write_str("this account may not send commands to this thermostat"),
            Self::Device => f.write_str("the thermostat reported a failure"),
            Self::Service { status, retry_after } => crate::event::fmt_refused(f, *status, *retry_after),
        }
    }
}
