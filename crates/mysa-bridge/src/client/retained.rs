use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use mysa_mqtt_codec::QoS;

/// Key of a retained message: its rank, then its topic. Messages of a lower rank are sent first.
pub(super) type Key = (u8, String);

/// Retained messages as the broker should hold them. They are state, not events: only the newest payload of a topic is
/// kept, and every connection brings the broker into line with all of them.
#[derive(Debug, Default)]
pub(super) struct Retained {
    messages: BTreeMap<Key, Message>,
    /// Messages that the present connection has not sent.
    unsent: BTreeSet<Key>,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) payload: Vec<u8>,
    pub(super) qos: QoS,
}

impl Retained {
    /// Sets a message and returns `true` if it was another before. An empty payload removes it from the broker.
    pub(super) fn set(&mut self, key: Key, payload: Vec<u8>, qos: QoS) -> bool {
        if self.messages.get(&key).is_some_and(|held| held.payload == payload) {
            return false;
        }
        // A removal has to be acknowledged before its entry can be dropped.
        let qos = if payload.is_empty() { QoS::AtLeastOnce } else { qos };
        self.messages.insert(key.clone(), Message { payload, qos });
        self.unsent.insert(key);
        true
    }

    /// Schedules a message to be sent again.
    pub(super) fn send_again(&mut self, key: &Key) {
        if self.messages.contains_key(key) {
            self.unsent.insert(key.clone());
        }
    }

    /// Schedules all messages to be sent again.
    pub(super) fn send_all_again(&mut self) {
        self.unsent = self.messages.keys().cloned().collect();
    }

    /// Quality of service of the next message to send.
    pub(super) fn next_qos(&self) -> Option<QoS> {
        self.messages.get(self.unsent.first()?).map(|message| message.qos)
    }

    /// Takes the next message to send, which counts as sent from then on.
    pub(super) fn send_next(&mut self) -> Option<(Key, &Message)> {
        let key = self.unsent.pop_first()?;
        let message = self.messages.get(&key)?;
        Some((key, message))
    }

    /// Records that the broker has a message. A removal is complete then.
    pub(super) fn acknowledged(&mut self, key: &Key) {
        if !self.unsent.contains(key) && self.messages.get(key).is_some_and(|held| held.payload.is_empty()) {
            self.messages.remove(key);
        }
    }

    pub(super) fn wanted(&self, key: &Key) -> Option<&[u8]> {
        self.messages.get(key).map(|message| message.payload.as_slice())
    }

    /// Payload of a message, if it is sent.
    pub(super) fn held(&self, key: &Key) -> Option<&[u8]> {
        if self.unsent.contains(key) {
            return None;
        }
        self.wanted(key)
    }
}
