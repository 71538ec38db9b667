use core::fmt;
use core::time::Duration;

use mysa_cognito::RefusalKind;
use mysa_mqtt_codec::ConnectRefusal;
use mysa_proto::UnixTime;

use crate::auth::Identity;
use crate::context::Context;
use crate::devices::Delivery;
use crate::mqtt::pool::ConnectionPool;
use crate::rest::Rest;
use crate::{Deadline, HttpFailure, Wake};

/// Service level, the reason for it, and the time it began.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Service {
    /// Level.
    pub level: Level,
    /// Reason why the level is not higher, or [`Reason::Healthy`].
    pub reason: Reason,
    /// Start of the level, on the monotonic clock.
    pub since: Duration,
    /// Start of the level, by the estimate of the cloud's clock.
    pub since_wall: UnixTime,
    /// Time since which there is no source of states, on the monotonic clock: neither are statuses pushed, nor were
    /// states read by REST within [`Settings::rest_life`](field@crate::Settings::rest_life). It is the time of the last proof of
    /// a source (the end of a connection that was closed, the last byte on one that fell silent, or the last reading by
    /// REST), so it may be earlier than [`Service::since`]. `None` while there is a source. At
    /// [`Level::SignInNeeded`], it changes without an event of the service; the events of the thermostats show it.
    pub no_source_since: Option<Duration>,
}

/// Service levels, from the best to the worst.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "a caller that shows the level must handle each value")]
pub enum Level {
    /// Statuses are pushed, and commands use MQTT.
    Live,
    /// Statuses of some thermostats are pushed. The broker refuses the subscriptions to the others, whose states are
    /// polled.
    Partial,
    /// Statuses are pushed. MQTT accepts no commands; they use the structured service if the model supports it.
    ReadOnly,
    /// States are polled; commands wait for MQTT or use the structured service.
    RestOnly,
    /// No source is available.
    Offline,
    /// A person has to act. What still works ends within the hour, when tokens and credentials expire.
    SignInNeeded,
}

/// Reason for a service level.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing is wrong.
    Healthy,
    /// The session has just started.
    Starting,
    /// The account has no thermostats.
    NoDevices,
    /// The caller switched commands off.
    ReadOnlyByChoice,
    /// Publishes were followed by the end of the connection, or by no acknowledgement.
    PublishNotPermitted,
    /// The MQTT connection was lost and is being restored.
    ConnectionLost,
    /// The WebSocket upgrade is refused.
    UpgradeRefused {
        /// HTTP status, if there was an answer.
        status: Option<u16>,
    },
    /// CONNACK refused the connection.
    ConnectRefused(ConnectRefusal),
    /// The broker accepted the WebSocket and closed it at CONNECT, as AWS IoT does if the policy denies `iot:Connect`.
    ConnectNotPermitted,
    /// Every subscription was refused.
    SubscriptionsRefused,
    /// The subscriptions to some thermostats were refused.
    SomeSubscriptionsRefused,
    /// The subscriptions were granted, but statuses that REST shows were not delivered.
    NothingDelivered,
    /// The subscriptions were granted, no message is delivered, and REST cannot show whether the thermostats report.
    NoReports,
    /// The subscriptions were granted, and no thermostat reports by MQTT yet, or any more. A session does not conclude
    /// anything from that; whoever shows the service must not call it live.
    NoMessages,
    /// As [`Reason::NoMessages`], and the broker accepts no requests for live reports, which is the policy of the newer
    /// apps (mysa_client, modern pool).
    NoLiveReports,
    /// The cloud cannot be reached over HTTP.
    Unreachable,
    /// The cloud was reached over HTTP but did not answer in time.
    NoAnswer,
    /// Connections to the cloud break before an answer is complete.
    BrokenOff,
    /// A web page answered instead of the service, as in a captive portal.
    WebPage,
    /// The answer of the sign-in service is invalid: a field is missing or has an unsafe value.
    InvalidSignInAnswer,
    /// The cloud answers with errors or with bodies that cannot be decoded.
    ServerTrouble {
        /// HTTP status.
        status: u16,
    },
    /// The service asked for a pause, or the password was tried too often.
    Throttled,
    /// There is neither a password nor a stored session that works.
    NoCredentials,
    /// The service refused the password, the refresh token or the account.
    Refused(RefusalKind),
    /// A challenge waits for an answer.
    ChallengeOpen,
    /// Cognito requires a step that only the vendor's app can do.
    ChallengeUnsupported(ChallengeName),
    /// The captured URL is no longer accepted.
    CapturedUrlExpired,
    /// The session was shut down.
    ShutDown,
}

/// `ChallengeName` of a challenge that this library cannot answer, cut to 32 bytes.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ChallengeName {
    bytes: [u8; 32],
    len: u8,
}

impl ChallengeName {
    /// Creates a name from letters, digits and underscores; other characters become `?`.
    pub(crate) fn new(name: &str) -> Self {
        let mut bytes = [b'?'; 32];
        let mut len = 0;
        for (kept, c) in bytes.iter_mut().zip(name.chars()) {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') {
                *kept = u8::try_from(c).unwrap_or(b'?');
            }
            len += 1;
        }
        Self { bytes, len }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let name = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(name).unwrap_or_default()
    }
}

impl fmt::Display for ChallengeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ChallengeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChallengeName({self})")
    }
}

impl Reason {
    /// Returns the reason for an unusable answer.
    pub(crate) fn of_answer(status: u16, body: &[u8]) -> Self {
        let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
        // An error page with an error status comes from the cloud's own servers.
        let is_served = matches!(status, 200..=399 | 511);
        if is_served && text.starts_with(b"<") { Self::WebPage } else { Self::ServerTrouble { status } }
    }
}

impl From<HttpFailure> for Reason {
    fn from(failure: HttpFailure) -> Self {
        match failure {
            HttpFailure::Timeout => Self::NoAnswer,
            HttpFailure::Broken => Self::BrokenOff,
            HttpFailure::Unreachable | HttpFailure::Tls => Self::Unreachable,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::Partial => "partly live",
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
            Self::ReadOnlyByChoice => "the session is read-only by its settings",
            Self::PublishNotPermitted => "the broker accepts no commands from this account",
            Self::ConnectionLost => "the connection was lost and is being restored",
            Self::UpgradeRefused { status: Some(status @ 200..=399) } => {
                return write!(f, "a web page answered in place of the broker (HTTP {status})");
            }
            Self::UpgradeRefused { status: Some(status) } => {
                return write!(f, "the broker refused the WebSocket (HTTP {status})");
            }
            Self::UpgradeRefused { status: None } => "the broker cannot be reached",
            Self::ConnectRefused(refusal) => {
                return write!(f, "the broker refused the connection ({refusal})");
            }
            Self::ConnectNotPermitted => {
                "the broker closes at CONNECT: this account is not permitted to connect"
            }
            Self::SubscriptionsRefused => "the broker refused every subscription",
            Self::SomeSubscriptionsRefused => {
                "the broker refused the subscriptions to some thermostats, whose states come by REST"
            }
            Self::NothingDelivered => {
                "subscribed, but the broker delivers no message although REST shows new statuses"
            }
            Self::NoReports => {
                "subscribed, but no message is delivered, and REST is not available to compare"
            }
            Self::NoMessages => "subscribed, but no thermostat reports by MQTT",
            Self::NoLiveReports => {
                "subscribed, but no thermostat reports by MQTT, and the broker accepts no requests for live reports from this \
                 account"
            }
            Self::Unreachable => "the cloud cannot be reached",
            Self::NoAnswer => "the cloud does not answer in time",
            Self::BrokenOff => "connections to the cloud break before an answer is complete",
            Self::WebPage => "a web page answered in place of the service",
            Self::InvalidSignInAnswer => "the answer of the sign-in service is invalid",
            Self::ServerTrouble { status: status @ 200..=299 } => {
                return write!(f, "the cloud returned an unusable answer (HTTP {status})");
            }
            Self::ServerTrouble { status: status @ 300..=399 } => {
                return write!(f, "the cloud redirects to a host that is not its own (HTTP {status})");
            }
            Self::ServerTrouble { status } => {
                return write!(f, "the cloud reports an error (HTTP {status})");
            }
            Self::Throttled => "the cloud asked for a pause",
            Self::NoCredentials => "there is no password and no stored session",
            Self::Refused(RefusalKind::RefreshRejected) => "the stored session is no longer accepted",
            Self::Refused(kind) => return kind.fmt(f),
            Self::ChallengeOpen => "sign-in needs a code",
            Self::ChallengeUnsupported(name) => {
                return write!(f, "sign-in needs a step that only the vendor's app can do ({name})");
            }
            Self::CapturedUrlExpired => "the captured URL is no longer accepted",
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

/// Last reported service level, and the grace period of a lost connection.
#[derive(Debug)]
pub(crate) struct ServiceTracker {
    pub(crate) service: Service,
    /// Time since which statuses have not been pushed.
    lost_at: Option<Duration>,
    /// The same, but counted from the last sign of life of the connection.
    pushed_until: Option<Duration>,
}

/// Facts that determine the service level.
#[derive(Debug)]
pub(crate) struct ServiceFacts<'a> {
    pub(crate) auth: &'a Identity,
    pub(crate) rest: &'a Rest,
    pub(crate) mqtt: &'a ConnectionPool,
    pub(crate) delivery: Delivery,
    /// Reason why a person has to act, if so.
    pub(crate) sign_in: Option<Reason>,
    pub(crate) captured: bool,
    /// `true` if the device list was read and is empty.
    pub(crate) no_devices: bool,
    pub(crate) ended: bool,
}

impl ServiceTracker {
    pub(crate) fn new(cx: &Context) -> Self {
        let service = Service {
            level: Level::Offline,
            reason: Reason::Starting,
            since: cx.now.mono,
            since_wall: cx.now.wall,
            no_source_since: Some(cx.now.mono),
        };
        Self { service, lost_at: Some(cx.now.mono), pushed_until: Some(cx.now.mono) }
    }

    /// Recomputes the service level. Returns `true` if the states are to be read by REST soon, because they are no
    /// longer pushed.
    pub(crate) fn update(&mut self, cx: &mut Context, facts: &ServiceFacts<'_>) -> bool {
        let now = cx.mono();
        let (level, reason) = facts.level(cx);
        // The grace period starts at the first loss and is not extended by later ones.
        self.lost_at = match level {
            Level::Live | Level::Partial | Level::ReadOnly => None,
            _ => self.lost_at.or(Some(now)),
        };
        self.pushed_until = match facts.pushes(cx) {
            true => None,
            false => self.pushed_until.or(Some(facts.mqtt.lost_at.map_or(now, |lost_at| lost_at.min(now)))),
        };
        // A connection that is replaced within the grace period is not an outage worth an event.
        let graceful = self.service.level <= Level::ReadOnly
            && matches!(level, Level::RestOnly | Level::Offline)
            && self.lost_at.is_some_and(|lost_at| now < lost_at.saturating_add(cx.settings.grace))
            && !facts.ended;
        if graceful {
            return false;
        }
        let no_source_since = if facts.has_source(cx) {
            None
        } else {
            let last = self.pushed_until.max(facts.rest.read_at).unwrap_or(now);
            self.service.no_source_since.or(Some(last))
        };
        // After a sign-in has failed, the source ends without another level: one event is enough for a person.
        self.service.no_source_since = no_source_since;
        let other = level != self.service.level;
        if !other && reason == self.service.reason {
            return false;
        }
        // The reason may alternate while the level lasts, and not every alternation deserves an event. `Starting` is
        // always replaced, because it is meant to be temporary.
        let tells = other
            || matches!(level, Level::Offline | Level::SignInNeeded)
            || self.service.reason == Reason::Starting;
        let (since, since_wall) =
            if other { (now, cx.time()) } else { (self.service.since, self.service.since_wall) };
        let needs_states = other && (self.service.level <= Level::ReadOnly || level == Level::RestOnly);
        self.service = Service { level, reason, since, since_wall, no_source_since };
        if tells {
            cx.outbox.service();
        }
        needs_states && !facts.captured
    }

    /// Returns the time at which the level changes without further input.
    pub(crate) fn due(&self, cx: &Context, rest: &Rest) -> Option<Deadline> {
        let due = match (self.lost_at, self.service.level) {
            (Some(lost_at), Level::Live | Level::Partial | Level::ReadOnly) => {
                Some(lost_at.saturating_add(cx.settings.grace))
            }
            // States that were read by REST expire.
            (_, Level::RestOnly | Level::SignInNeeded) if self.pushed_until.is_some() => {
                rest.read_at.map(|at| at.saturating_add(cx.settings.rest_life())).filter(|at| *at > cx.mono())
            }
            _ => None,
        };
        due.map(|at| Deadline::new(at, Wake::Service))
    }
}

impl ServiceFacts<'_> {
    fn level(&self, cx: &Context) -> (Level, Reason) {
        if self.ended {
            return (Level::Offline, Reason::ShutDown);
        }
        // Sign-in problems come first, because nothing but a person can solve them.
        if let Some(reason) = self.sign_in {
            return (Level::SignInNeeded, reason);
        }
        let undelivered = self.undelivered(cx);
        if self.mqtt.is_live() && undelivered.is_none() {
            return if cx.settings.read_only {
                (Level::ReadOnly, Reason::ReadOnlyByChoice)
            } else if self.mqtt.permission.is_denied() {
                (Level::ReadOnly, Reason::PublishNotPermitted)
            } else if self.mqtt.refuses_some() {
                (Level::Partial, Reason::SomeSubscriptionsRefused)
            } else {
                (Level::Live, Reason::Healthy)
            };
        }
        if self.no_devices && self.rest.trouble().is_none() {
            return (Level::RestOnly, Reason::NoDevices);
        }
        let trouble = self.mqtt.trouble().or(undelivered);
        // States read by REST are good enough for this level only while they are recent.
        if self.is_fetched(cx) {
            // Without credentials no connection is even tried.
            let reason = trouble.or(self.auth.trouble());
            return (Level::RestOnly, reason.unwrap_or(Reason::Starting));
        }
        // REST and sign-in fail for the most general reasons, such as a missing network, so theirs are named first. REST
        // is not asked without a token, so the reason of its last failure may be over by then.
        let (rest, sign_in) = (self.rest.trouble(), self.auth.trouble());
        let general = if self.auth.id_token(cx).is_some() { rest.or(sign_in) } else { sign_in.or(rest) };
        (Level::Offline, general.or(trouble).unwrap_or(Reason::Starting))
    }

    /// Reason why statuses are not delivered although the connections are live.
    fn undelivered(&self, cx: &Context) -> Option<Reason> {
        // The time of two polls, because one of them may fail.
        let witness = cx.settings.poll_live.saturating_mul(2);
        match self.delivery {
            Delivery::Flows | Delivery::Suspect => None,
            // REST shows that the thermostats themselves are silent.
            Delivery::Silent
                if self.rest.read_at.is_some_and(|at| at.saturating_add(witness) > cx.mono()) =>
            {
                None
            }
            Delivery::Silent => Some(Reason::NoReports),
            Delivery::Withheld => Some(Reason::NothingDelivered),
        }
    }

    /// Returns `true` if statuses are pushed.
    fn pushes(&self, cx: &Context) -> bool {
        !self.ended && self.mqtt.is_live() && self.undelivered(cx).is_none()
    }

    /// Returns `true` if the states were read by REST recently.
    fn is_fetched(&self, cx: &Context) -> bool {
        self.rest.read_at.is_some_and(|at| at.saturating_add(cx.settings.rest_life()) > cx.mono())
    }

    fn has_source(&self, cx: &Context) -> bool {
        // An account without thermostats has nothing to read.
        let complete = self.no_devices && self.rest.trouble().is_none();
        !self.ended && (self.pushes(cx) || self.is_fetched(cx) || complete)
    }
}
