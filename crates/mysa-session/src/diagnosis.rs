use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::DeviceId;
use mysa_sigv4::Authority;

use crate::auth::Identity;
use crate::context::Context;
use crate::devices::{Device, Devices};
use crate::mqtt::connection::Phase;
use crate::mqtt::pool::ConnectionPool;
use crate::mqtt::subscription::SubscriptionState;
use crate::rest::Rest;
use crate::{EndpointLookup, Now, Reason};

/// Progress of a session on each step towards live statuses: a report for people, not a basis for decisions.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// Milliseconds by which the cloud's clock is ahead of the host's; 0 if they agree within two seconds. `None` until
    /// the date of an answer agrees with that.
    pub clock_ahead_ms: Option<i64>,
    /// `true` if an id token is available.
    pub signed_in: bool,
    /// `true` if AWS credentials that can sign are available.
    pub credentials: bool,
    /// Host and port of the broker for the next dial.
    pub broker: Authority,
    /// State of the lookup of that host. The host is the configured one unless this is [`EndpointLookup::Found`].
    pub endpoint_lookup: EndpointLookup,
    /// Progress of the MQTT connection, or of the furthest one if there are several.
    pub handshake: Handshake,
    /// Reason why the last connection ended or failed, until another is live.
    pub trouble: Option<Reason>,
    /// The broker's answer to the subscription for each thermostat's statuses.
    pub subscriptions: Vec<(DeviceId, Subscribed)>,
    /// Evidence that the broker accepts publishes. It comes only from the outcomes of publishes, because AWS
    /// IoT does not report a denial.
    pub publishing: Publishes,
    /// Number of consecutive failures of the part of the session that fails most.
    pub failures: u32,
    /// Time until that part tries again; zero while it is trying.
    pub retry_in: Option<Duration>,
}

/// Steps of an MQTT connection.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these steps")]
pub enum Handshake {
    /// No connection.
    None,
    /// TCP, TLS and the WebSocket upgrade are in progress.
    Dialling,
    /// The WebSocket is open, and CONNECT was sent.
    Upgraded,
    /// CONNACK accepted the connection.
    Accepted,
}

/// State of a subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are only these answers")]
pub enum Subscribed {
    /// Not requested yet, or not answered yet.
    Waiting,
    /// Granted.
    Granted,
    /// Refused or never answered. It is tried again later.
    Refused,
}

/// Evidence that the broker accepts publishes. It comes only from the outcomes of publishes, because AWS IoT
/// does not report a denial.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are only these three findings")]
pub enum Publishes {
    /// Nothing was published yet, or its outcome is not known.
    Unknown,
    /// The last publish was acknowledged.
    Acknowledged,
    /// Publishes were followed by silence or by the end of the connection, often enough to count as denied.
    Denied,
}

impl Diagnosis {
    pub(crate) fn of(
        cx: &Context,
        identity: &Identity,
        rest: &Rest,
        mqtt: &ConnectionPool,
        devices: &Devices,
        now: Now,
    ) -> Self {
        let steps = mqtt.connections.iter().map(|connection| match connection.phase {
            Phase::Dialling { .. } => Handshake::Dialling,
            Phase::Connecting { .. } => Handshake::Upgraded,
            Phase::Live { .. } => Handshake::Accepted,
        });
        let subscriptions = devices.iter().map(Device::id).map(|id| {
            let state = match mqtt.subscription(id) {
                Some(SubscriptionState::Granted) => Subscribed::Granted,
                Some(SubscriptionState::Refused { .. }) => Subscribed::Refused,
                Some(SubscriptionState::Waiting | SubscriptionState::Asked { .. }) | None => {
                    Subscribed::Waiting
                }
            };
            (id, state)
        });
        let failing = [identity.failing(), rest.failing(), mqtt.failing()];
        // One number suffices for a report: that of the part that fails most.
        let worst = failing.into_iter().flatten().max_by_key(|(failures, _)| *failures);
        Self {
            clock_ahead_ms: cx.clock.is_checked().then(|| cx.clock.ahead_ms()),
            signed_in: identity.id_token(cx).is_some(),
            credentials: identity.credentials(cx).is_some(),
            broker: mqtt.authority(cx).clone(),
            endpoint_lookup: cx.broker.lookup,
            handshake: steps.max().unwrap_or(Handshake::None),
            trouble: mqtt.trouble(),
            subscriptions: subscriptions.collect(),
            publishing: mqtt.permission.known(),
            failures: worst.map_or(0, |(failures, _)| failures),
            retry_in: worst.map(|(_, at)| at.saturating_sub(now.mono)),
        }
    }
}
