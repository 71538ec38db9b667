use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_mqtt_codec::{Filter, Topic};

use crate::auth::identity_pool::Reach;

/// Subscriptions of a client; the value is `true` for QoS 1.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    exact: BTreeMap<String, bool>,
    wild: Vec<(String, bool)>,
}

/// Maximum number of subscriptions of a connection.
const MAX_SUBSCRIPTIONS: usize = 50;

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.exact.len() + self.wild.len()
    }

    /// Adds a subscription. Returns `false` if there are too many.
    pub(crate) fn add(&mut self, filter: Filter<'_>, at_least_once: bool) -> bool {
        let text = filter.as_str();
        self.remove(text);
        if self.len() >= MAX_SUBSCRIPTIONS {
            return false;
        }
        if filter.has_wildcard() {
            self.wild.push((text.into(), at_least_once));
        } else {
            self.exact.insert(text.into(), at_least_once);
        }
        true
    }

    pub(crate) fn remove(&mut self, filter: &str) {
        self.exact.remove(filter);
        self.wild.retain(|(known, _)| known != filter);
    }

    pub(crate) fn filters(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().chain(self.wild.iter().map(|(filter, _)| filter)).map(String::as_str)
    }

    /// Returns `true` if the subscription to `topic` has QoS 1, and `None` without a subscription.
    pub(crate) fn wants(&self, topic: &str) -> Option<bool> {
        if let Some(&at_least_once) = self.exact.get(topic) {
            return Some(at_least_once);
        }
        let topic = Topic::new(topic).ok()?;
        let matching =
            |(filter, _): &&(String, bool)| Filter::new(filter).is_ok_and(|filter| filter.matches(topic));
        self.wild.iter().find(matching).map(|(_, at_least_once)| *at_least_once)
    }
}

/// Kept session of a disconnected client that did not ask for a clean one.
#[derive(Debug)]
pub(crate) struct Absent {
    pub(crate) account: usize,
    pub(crate) reach: Reach,
    pub(crate) subscriptions: Subscriptions,
    /// Messages with QoS 1: topic and payload.
    pub(crate) backlog: VecDeque<(String, Vec<u8>)>,
    /// Time at which it is removed.
    pub(crate) until: Duration,
}

/// Maximum number of stored messages for one client.
pub(crate) const BACKLOG: usize = 1_024;
