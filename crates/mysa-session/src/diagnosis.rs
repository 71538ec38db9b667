use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::DeviceId;

use crate::auth::Identity;
use crate::context::Context;
use crate::devices::{Device, Devices};
use crate::mqtt::connection::Phase;
use crate::mqtt::pool::ConnectionPool;
use crate::mqtt::subscription::SubscriptionState;
use crate::rest::Rest;
use crate::{Now, Reason};

/// Progress of a session with each step on the way to live statuses: for a report to a person, not to decide by.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// Milliseconds by which the cloud's clock is ahead of the host's; 0 if they agree within two seconds. `None`
    /// until the date of an answer agrees with that.
    pub clock_ahead_ms: Option<i64>,
    /// An id token is at hand.
    pub signed_in: bool,
    /// AWS credentials that can sign are at hand.
    pub credentials: bool,
    /// Progress of the MQTT connection; of several, the furthest.
    pub handshake: Handshake,
    /// Reason why the last connection ended or failed, until one is live again.
    pub trouble: Option<Reason>,
    /// The broker's answer to the subscription for each thermostat's statuses.
    pub subscriptions: Vec<(DeviceId, Subscribed)>,
    /// Whether the broker takes what is published.
    pub publishing: Publishes,
    /// Attempts that failed one after the other, at whatever fails most.
    pub failures: u32,
    /// Time until that is tried again; zero while it is being tried.
    pub retry_in: Option<Duration>,
}

/// Steps of an MQTT connection.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these steps")]
pub enum Handshake {
    /// There is no connection.
    None,
    /// TCP, TLS and the upgrade to WebSocket are under way.
    Dialling,
    /// The WebSocket is open; CONNECT was sent.
    Upgraded,
    /// CONNACK accepted it.
    Accepted,
}

/// State of a subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no further answer")]
pub enum Subscribed {
    /// Not asked for yet, or not answered.
    Waiting,
    /// Granted.
    Granted,
    /// Refused, or never answered. It is tried again later.
    Refused,
}

/// Whether the broker takes what is published. Learnt, since nobody tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it does, it does not, or it is not known")]
pub enum Publishes {
    /// Nothing was published, or nothing is known of it yet.
    Unknown,
    /// The last publish was acknowledged.
    Acknowledged,
    /// Publishes were followed by silence or by the end of the connection, often enough to count.
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
            let said = match mqtt.subscription(id) {
                Some(SubscriptionState::Granted) => Subscribed::Granted,
                Some(SubscriptionState::Refused { .. }) => Subscribed::Refused,
                Some(SubscriptionState::Waiting | SubscriptionState::Asked { .. }) | None => {
                    Subscribed::Waiting
                }
            };
            (id, said)
        });
        let failing = [identity.failing(), rest.failing(), mqtt.failing()];
        let worst = failing.into_iter().flatten().max_by_key(|(failures, _)| *failures);
        Self {
            clock_ahead_ms: cx.clock.is_checked().then(|| cx.clock.ahead_ms()),
            signed_in: identity.id_token(cx).is_some(),
            credentials: identity.credentials(cx).is_some(),
            handshake: steps.max().unwrap_or(Handshake::None),
            trouble: mqtt.trouble(),
            subscriptions: subscriptions.collect(),
            publishing: mqtt.permission.known(),
            failures: worst.map_or(0, |(failures, _)| failures),
            retry_in: worst.map(|(_, at)| at.saturating_sub(now.mono)),
        }
    }
}
