use core::fmt;
use core::time::Duration;

use mysa_cognito::RefusalKind;
use mysa_mqtt_codec::ConnectRefusal;
use mysa_proto::UnixTime;

/// How much of the cloud is to be had just now, why, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Service {
    /// The degree.
    pub level: Level,
    /// Why it is not a higher one, or [`Reason::Healthy`].
    pub reason: Reason,
    /// Since when, on the monotonic clock.
    pub since: Duration,
    /// Since when, by the cloud's clock as far as it is known.
    pub since_wall: UnixTime,
}

/// Degrees of service, from the best to the worst.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "who shows the degree must know all of them")]
pub enum Level {
    /// Statuses come by themselves, and commands go by MQTT.
    Live,
    /// Statuses come by themselves. MQTT takes no commands; where there is the structured service, they go by it.
    ReadOnly,
    /// Statuses are fetched; commands wait, or take the structured service.
    RestOnly,
    /// Nothing is to be had.
    Offline,
    /// A person has to act. What still works ends within the hour, when tokens and credentials lapse.
    SignInNeeded,
}

/// Why the service is as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing is wrong.
    Healthy,
    /// The session has just begun.
    Starting,
    /// The account has no thermostats.
    NoDevices,
    /// The caller asked for no commands.
    ReadOnlyByChoice,
    /// What was published was followed by the end of the connection, or by nothing at all.
    PublishNotPermitted,
    /// The MQTT connection was lost and is being made again.
    ConnectionLost,
    /// The upgrade to WebSocket is refused.
    UpgradeRefused {
        /// HTTP status, if there was an answer.
        status: Option<u16>,
    },
    /// The broker's CONNACK said no.
    ConnectRefused(ConnectRefusal),
    /// Every subscription was refused.
    SubscriptionsRefused,
    /// The cloud cannot be reached over HTTP.
    Unreachable,
    /// The cloud answers, but not usefully.
    ServerTrouble {
        /// HTTP status.
        status: u16,
    },
    /// The service asked for a pause, or the password was tried too often.
    Throttled,
    /// There is neither a password nor a stored session that still works.
    NoCredentials,
    /// The service refused the password, the refresh token or the account.
    Refused(RefusalKind),
    /// A challenge waits for an answer.
    ChallengeOpen,
    /// Cognito asks for something only the vendor's app can answer.
    ChallengeUnsupported,
    /// The captured URL is no longer accepted.
    CapturedUrlLapsed,
    /// The session was shut down.
    ShutDown,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::ReadOnly => "read-only",
            Self::RestOnly => "REST only",
            Self::Offline => "offline",
            Self::SignInNeeded => "sign-in needed",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "nothing is wrong",
            Self::Starting => "the session is starting",
            Self::NoDevices => "the account has no thermostats",
            Self::ReadOnlyByChoice => "commands were switched off",
            Self::PublishNotPermitted => "the broker takes no commands from this account",
            Self::ConnectionLost => "the connection was lost and is being made again",
            Self::UpgradeRefused { status: Some(status) } => {
                return write!(f, "the broker refused the WebSocket (HTTP {status})");
            }
            Self::UpgradeRefused { status: None } => "the broker cannot be reached",
            Self::ConnectRefused(refusal) => {
                return write!(f, "the broker refused the connection ({refusal})");
            }
            Self::SubscriptionsRefused => "the broker refused every subscription",
            Self::Unreachable => "the cloud cannot be reached",
            Self::ServerTrouble { status } => return write!(f, "the cloud is in trouble (HTTP {status})"),
            Self::Throttled => "the cloud asked for a pause",
            Self::NoCredentials => "no password and no stored session",
            Self::Refused(RefusalKind::WrongCredentials) => "wrong user name or password",
            Self::Refused(RefusalKind::RefreshRejected) => "the stored session is no longer accepted",
            Self::Refused(_) => "the account was refused",
            Self::ChallengeOpen => "a code is asked for",
            Self::ChallengeUnsupported => "the account needs a step only the app can do",
            Self::CapturedUrlLapsed => "the captured URL is no longer accepted",
            Self::ShutDown => "the session was shut down",
        })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Healthy => write!(f, "{}", self.level),
            reason => write!(f, "{}: {reason}", self.level),
        }
    }
}
