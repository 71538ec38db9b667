use alloc::string::String;
use core::fmt;
use core::time::Duration;

use mysa_proto::{Change, DeviceId};
use mysa_session::{Level, Reason, VerdictKind};

use crate::AccountIndex;
use crate::client::{self, DownReason};
use crate::energy::Query;

/// Instruction for the driver, or an event.
#[derive(Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver that misses one must not compile")]
pub enum Output {
    /// Instruction for the connection to the broker.
    Broker(client::Output),
    /// Send a command to a thermostat, then report its verdict by [`Bridge::handle_verdict`](crate::Bridge::handle_verdict)
    /// or [`Bridge::handle_not_sent`](crate::Bridge::handle_not_sent).
    Command {
        /// Number of the command.
        request: RequestId,
        /// Account that sends it.
        account: AccountIndex,
        /// Thermostat.
        device: DeviceId,
        /// Requested change.
        change: Change,
    },
    /// Read the energy of a thermostat by day, in UTC, then report it by
    /// [`Bridge::handle_energy`](crate::Bridge::handle_energy). At most one is unanswered.
    ReadEnergy {
        /// Account that reads it.
        account: AccountIndex,
        /// Thermostat.
        device: DeviceId,
        /// Days.
        query: Query,
    },
    /// Store the energy of the thermostats in place of what was stored before, durably, then report the result by
    /// [`Bridge::handle_energy_stored`](crate::Bridge::handle_energy_stored). At most one is unreported, but for the last
    /// one of a bridge that is shut down.
    StoreEnergy {
        /// Text for [`Meters::parse`](crate::energy::Meters::parse).
        text: String,
    },
    /// Event for the log.
    Event(Event),
}

/// Number of a command, unique within one bridge.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub(crate) u64);

impl RequestId {
    /// Number, which the result of the command has as its `id`.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {}", self.0)
    }
}

/// Change of state, for the log. `Display` is one line; texts from outside are quoted and escaped.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The broker accepted the connection.
    BrokerUp,
    /// The connection to the broker ended, or could not be opened.
    BrokerDown {
        /// Reason.
        reason: DownReason,
        /// Time until the next attempt.
        retry_in: Duration,
    },
    /// The broker refused a subscription: commands do not arrive.
    SubscriptionRefused {
        /// Filter.
        filter: String,
    },
    /// The service level of an account changed.
    Cloud {
        /// Account; `None` if the bridge has only one.
        account: Option<AccountIndex>,
        /// Level.
        level: Level,
        /// Reason.
        reason: Reason,
    },
    /// The availability of a thermostat changed.
    Availability {
        /// Thermostat.
        device: DeviceId,
        /// `true` if it is available.
        online: bool,
    },
    /// A thermostat is in two accounts, and the first of them serves it.
    Shared {
        /// Thermostat.
        device: DeviceId,
        /// Account that serves it.
        account: AccountIndex,
        /// Account whose reports about it are ignored.
        other: AccountIndex,
    },
    /// A thermostat left the account; its messages are removed from the broker.
    Removed {
        /// Thermostat.
        device: DeviceId,
    },
    /// A command arrived.
    Requested {
        /// Number of the command.
        request: RequestId,
        /// Thermostat.
        device: DeviceId,
        /// Requested change.
        change: Change,
    },
    /// A command was decided; its result is published.
    Decided {
        /// Number of the command.
        request: RequestId,
        /// Thermostat.
        device: DeviceId,
        /// Outcome.
        outcome: VerdictKind,
        /// Reason, for people.
        reason: String,
    },
    /// A message was ignored.
    Ignored {
        /// Topic.
        topic: String,
        /// Reason.
        reason: IgnoredReason,
    },
    /// A second bridge publishes to the same topics: availabilities contradict each other, and a command may be sent twice.
    OtherBridge {
        /// First part of the topics.
        prefix: String,
    },
    /// The second bridge has ended, or has shown no sign for a quarter of an hour.
    OtherBridgeGone,
    /// Home Assistant has started; everything is published again soon.
    HomeAssistantStarted,
    /// Messages were dropped because too many waited.
    Dropped {
        /// Number of messages.
        count: u64,
    },
}

/// Reason why a message was ignored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IgnoredReason {
    /// A retained command: it was requested at some time in the past.
    Retained,
    /// A message that is longer than any value.
    TooLong,
    /// A topic that names no thermostat and no setting.
    UnknownTopic,
    /// The bridge is stopping.
    Stopping,
}

impl fmt::Display for IgnoredReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retained => "a retained command is not obeyed; remove it from the broker",
            Self::TooLong => "it is longer than any value",
            Self::UnknownTopic => "the topic names no thermostat and setting",
            Self::Stopping => "the bridge is stopping",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokerUp => f.write_str("broker: connected"),
            Self::BrokerDown { reason, retry_in } => {
                write!(f, "broker: {reason}; next attempt in {:.1} s", retry_in.as_secs_f64())
            }
            Self::SubscriptionRefused { filter } => {
                let lost = if filter.ends_with("/set/+") { "commands" } else { "its messages" };
                write!(f, "broker: it refuses the subscription to {filter:?}; {lost} do not arrive")
            }
            Self::Cloud { account: None, level, reason } => write!(f, "cloud: {level}: {reason}"),
            Self::Cloud { account: Some(account), level, reason } => {
                write!(f, "cloud of {account}: {level}: {reason}")
            }
            Self::Shared { device, account, other } => {
                write!(f, "{device}: it is in {account} and {other}; {account} serves it")
            }
            Self::Availability { device, online: true } => write!(f, "{device}: available"),
            Self::Availability { device, online: false } => write!(f, "{device}: unavailable"),
            Self::Removed { device } => write!(f, "{device}: left the account; removed from the broker"),
            Self::Requested { request, device, change } => write!(f, "{device}: {request}: {change}"),
            // Most reasons begin with the outcome.
            Self::Decided { request, device, outcome, reason } if reason.starts_with(outcome.name()) => {
                write!(f, "{device}: {request}: {reason}")
            }
            Self::Decided { request, device, outcome, reason } => {
                write!(f, "{device}: {request} {}: {reason}", outcome.name())
            }
            Self::Ignored { topic, reason } => write!(f, "ignored a message to {topic:?}: {reason}"),
            Self::OtherBridge { prefix } => write!(
                f,
                "another bridge publishes below {prefix:?}; stop one, or give each a prefix and a client id of its own"
            ),
            Self::OtherBridgeGone => f.write_str("the other bridge is gone"),
            Self::HomeAssistantStarted => {
                f.write_str("Home Assistant has started; publishing everything again")
            }
            Self::Dropped { count } => write!(f, "{count} messages were dropped because too many waited"),
        }
    }
}
