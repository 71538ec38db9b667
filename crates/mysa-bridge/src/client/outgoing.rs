use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use mysa_mqtt_codec::{Delivery, PacketId, Publish, QoS, Topic};

use super::retained::{Key, Retained};
use super::settings::SUBSCRIBE_ID;

/// Messages to the broker: the retained ones, and those that are sent once.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) retained: Retained,
    /// Messages to be sent once.
    queue: VecDeque<Once>,
    in_flight: BTreeMap<PacketNumber, InFlight>,
    next_packet: PacketNumber,
    /// Number of messages that were dropped, because too many waited or one cannot be encoded.
    dropped: u64,
}

type PacketNumber = u16;

#[derive(Debug)]
struct Once {
    topic: String,
    payload: Vec<u8>,
}

#[derive(Debug)]
struct InFlight {
    /// Retained message; `None` for one that is sent once.
    key: Option<Key>,
    until: Duration,
}

/// Maximum number of unacknowledged publishes, the number that mosquitto allows by default.
const WINDOW: usize = 20;
/// Maximum number of messages that wait to be sent once.
const QUEUE: usize = 256;

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            retained: Retained::default(),
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            next_packet: SUBSCRIBE_ID + 1,
            dropped: 0,
        }
    }
}

impl Outgoing {
    /// Queues a message to be sent once. If too many wait, the oldest is dropped.
    pub(super) fn publish(&mut self, topic: String, payload: Vec<u8>) {
        if self.queue.len() >= QUEUE {
            self.queue.pop_front();
            self.dropped += 1;
        }
        self.queue.push_back(Once { topic, payload });
    }

    /// `true` if a message can be sent.
    pub(super) fn is_ready(&self) -> bool {
        let has_room = self.in_flight.len() < WINDOW;
        if !self.queue.is_empty() {
            return has_room;
        }
        self.retained.next_qos().is_some_and(|qos| has_room || qos == QoS::AtMostOnce)
    }

    /// `true` while no message waits for an acknowledgement.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Time at which the first message that waits for an acknowledgement counts as unacknowledged.
    pub(super) fn unacknowledged_at(&self) -> Option<Duration> {
        self.in_flight.values().map(|waiting| waiting.until).min()
    }

    /// Encodes the next message, to be acknowledged by `until`. One that cannot be encoded is dropped.
    pub(super) fn encode_next(&mut self, until: Duration, out: &mut Vec<u8>) {
        let (encoded, delivery) = if let Some(Once { topic, payload }) = self.queue.pop_front() {
            let delivery = self.deliver(QoS::AtLeastOnce, until);
            (encode(&topic, &payload, delivery, false, out), delivery)
        } else {
            let Some(qos) = self.retained.next_qos() else { return };
            let delivery = self.deliver(qos, until);
            let Some((key, message)) = self.retained.send_next() else { return };
            if message.payload.is_empty() {
                // Only its own acknowledgement completes a removal, not that of an earlier message with the same topic.
                for waiting in
                    self.in_flight.values_mut().filter(|waiting| waiting.key.as_ref() == Some(&key))
                {
                    waiting.key = None;
                }
            }
            let encoded = encode(&key.1, &message.payload, delivery, true, out);
            let waiting = delivery.id().and_then(|id| self.in_flight.get_mut(&id.get()));
            if let Some(waiting) = waiting {
                waiting.key = Some(key);
            }
            (encoded, delivery)
        };
        if !encoded {
            self.dropped += 1;
            if let Some(id) = delivery.id() {
                self.in_flight.remove(&id.get());
            }
        }
    }

    fn deliver(&mut self, qos: QoS, until: Duration) -> Delivery {
        if qos == QoS::AtMostOnce {
            return Delivery::AtMostOnce;
        }
        loop {
            let number = self.next_packet;
            // Never 0 [MQTT-2.3.1-1], nor the id of SUBSCRIBE. The loop ends, since far fewer ids are in use.
            self.next_packet = number.checked_add(1).unwrap_or(SUBSCRIBE_ID + 1);
            if let (Some(id), false) = (PacketId::new(number), self.in_flight.contains_key(&number)) {
                self.in_flight.insert(number, InFlight { key: None, until });
                return Delivery::AtLeastOnce(id);
            }
        }
    }

    /// Records an acknowledgement. Returns `false` if no message waits for it.
    pub(super) fn handle_puback(&mut self, id: PacketId) -> bool {
        let Some(InFlight { key, .. }) = self.in_flight.remove(&id.get()) else { return false };
        if let Some(key) = key {
            self.retained.acknowledged(&key);
        }
        true
    }

    /// Records the end of the connection. What was unacknowledged stays so.
    pub(super) fn handle_closed(&mut self) {
        self.in_flight.clear();
    }

    /// Returns the number of messages that were dropped since the last call.
    pub(super) const fn take_dropped(&mut self) -> u64 {
        mem::replace(&mut self.dropped, 0)
    }
}

fn encode(topic: &str, payload: &[u8], delivery: Delivery, retain: bool, out: &mut Vec<u8>) -> bool {
    Topic::new(topic)
        .is_ok_and(|topic| Publish { retain, ..Publish::new(topic, payload, delivery) }.encode(out).is_ok())
}
