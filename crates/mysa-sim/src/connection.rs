use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_mqtt_codec::server::Stream;
use mysa_mqtt_codec::{Filter, PacketId, Topic};

use crate::fault::Closing;
use crate::identity_pool::Reach;

/// Largest packet that is read: 128 KiB of payload, and room for the topic.
const MAX_PACKET: u32 = 128 * 1024 + 1_024;

/// One WebSocket connection at the broker.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) account: usize,
    pub(crate) reach: Reach,
    pub(crate) stream: Stream,
    /// The name of the client once it has sent CONNECT.
    pub(crate) client: Option<String>,
    pub(crate) keep_alive: Duration,
    pub(crate) opened: Duration,
    pub(crate) heard: Duration,
    /// When the connection has lived long enough, or CONNECT has not come.
    pub(crate) ends: Duration,
    /// When a fault closes it.
    pub(crate) doomed: Option<(Duration, Closing)>,
    pub(crate) packets: u32,
    pub(crate) publishes: (u64, u32),
    pub(crate) in_flight: BTreeMap<PacketId, InFlight>,
    exact: BTreeMap<String, bool>,
    wild: Vec<(String, bool)>,
    last_id: u16,
}

/// A message that waits for its PUBACK.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) resend_at: Duration,
    pub(crate) give_up_at: Duration,
}

/// Subscriptions a connection may have.
const MAX_SUBSCRIPTIONS: usize = 50;

impl Connection {
    pub(crate) fn new(account: usize, reach: Reach, now: Duration) -> Self {
        Self {
            account,
            reach,
            stream: Stream::new(MAX_PACKET),
            client: None,
            keep_alive: Duration::from_secs(1_200),
            opened: now,
            heard: now,
            ends: now + Duration::from_secs(10),
            doomed: None,
            packets: 0,
            publishes: (0, 0),
            in_flight: BTreeMap::new(),
            exact: BTreeMap::new(),
            wild: Vec::new(),
            last_id: 0,
        }
    }

    /// When something happens to it unless its client speaks.
    pub(crate) fn deadline(&self) -> Duration {
        let silence = self.heard.saturating_add(self.keep_alive + self.keep_alive / 2);
        let resend = self.in_flight.values().map(|waiting| waiting.resend_at).min().unwrap_or(Duration::MAX);
        let doom = self.doomed.map_or(Duration::MAX, |(at, _)| at);
        self.ends.min(silence).min(resend).min(doom)
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.exact.len() + self.wild.len()
    }

    /// Notes a subscription; `false` if there are too many.
    pub(crate) fn subscribe(&mut self, filter: Filter<'_>, at_least_once: bool) -> bool {
        let text = filter.as_str();
        self.unsubscribe(text);
        if self.subscriptions() >= MAX_SUBSCRIPTIONS {
            return false;
        }
        if filter.has_wildcard() {
            self.wild.push((text.into(), at_least_once));
        } else {
            self.exact.insert(text.into(), at_least_once);
        }
        true
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        self.exact.remove(filter);
        self.wild.retain(|(known, _)| known != filter);
    }

    /// Whether it wants messages on `topic`, and if so whether with QoS 1.
    pub(crate) fn wants(&self, topic: &str) -> Option<bool> {
        if let Some(&at_least_once) = self.exact.get(topic) {
            return Some(at_least_once);
        }
        let topic = Topic::new(topic).ok()?;
        let matching =
            |(filter, _): &&(String, bool)| Filter::new(filter).is_ok_and(|filter| filter.matches(topic));
        self.wild.iter().find(matching).map(|(_, at_least_once)| *at_least_once)
    }

    /// A packet id that is not in use.
    pub(crate) fn next_id(&mut self) -> Option<PacketId> {
        for _ in 0..=self.in_flight.len() + 1 {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if let Some(id) = PacketId::new(self.last_id).filter(|id| !self.in_flight.contains_key(id)) {
                return Some(id);
            }
        }
        None
    }
}
