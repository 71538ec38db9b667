use std::collections::BTreeSet;

use mysa_mqtt_codec::server::{Inbound, Outbound, Stream};
use mysa_mqtt_codec::{
    ConnAck, ConnectRefusal, Delivery, Filter, PacketId, Publish, QoS, ReturnCodes, SubAck, SubscribeReturn,
    Topic,
};

/// Longest packet that a client may send, as AWS IoT limits it.
const MAX_PACKET: u32 = 128 * 1_024;
/// Filters in one SUBSCRIBE, as AWS IoT limits them.
const MAX_FILTERS_IN_PACKET: usize = 8;
/// Filters of one connection, as AWS IoT limits them.
const MAX_FILTERS: usize = 50;

/// Packets that the broker refuses, leaves unanswered or answers by closing the connection. Default: none.
///
/// A test keeps one value for all connections and may change it at any time: each call of
/// [`BrokerConnection::receive`] applies the value it gets.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests set single fields")]
pub struct BrokerBehavior {
    /// Refusal in the CONNACK, after which the connection closes. `None` accepts.
    pub connack: Option<ConnectRefusal>,
    /// `true` if SUBSCRIBE is answered.
    pub suback: bool,
    /// `true` if PUBLISH with QoS 1 is answered.
    pub puback: bool,
    /// `true` if a PUBLISH closes the connection.
    pub close_on_publish: bool,
    /// Filters that the SUBACK refuses.
    pub refused_filters: Vec<String>,
    /// Filters that close the connection in place of a SUBACK.
    pub closing_filters: Vec<String>,
}

impl Default for BrokerBehavior {
    fn default() -> Self {
        Self {
            connack: None,
            suback: true,
            puback: true,
            close_on_publish: false,
            refused_filters: Vec::new(),
            closing_filters: Vec::new(),
        }
    }
}

/// Packet that the broker received.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "tests match all of them")]
pub enum Received {
    /// CONNECT.
    Connect {
        /// Client id.
        client_id: String,
    },
    /// SUBSCRIBE.
    Subscribe {
        /// Filters in order.
        filters: Vec<String>,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// Filters in order.
        filters: Vec<String>,
    },
    /// PUBLISH with QoS 0 or 1.
    Publish {
        /// Topic.
        topic: String,
        /// Payload.
        payload: Vec<u8>,
        /// `true` if DUP was set.
        dup: bool,
    },
    /// PUBACK.
    PubAck,
    /// PINGREQ.
    PingReq,
    /// DISCONNECT.
    Disconnect,
}

/// Outcome of [`BrokerConnection::receive`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "tests destructure it")]
pub struct Exchange {
    /// Packets that the bytes completed, in order. Packets after one that closes the connection are not read.
    pub received: Vec<Received>,
    /// Bytes for the client, to be sent before the connection closes.
    pub reply: Vec<u8>,
    /// `true` if the connection closes.
    pub close: bool,
}

/// The broker's end of one connection, without I/O.
#[derive(Debug)]
pub struct BrokerConnection {
    stream: Stream,
    client_id: String,
    filters: BTreeSet<String>,
}

impl Default for BrokerConnection {
    fn default() -> Self {
        Self::new()
    }
}

impl BrokerConnection {
    /// Creates a connection on which nothing has been sent.
    #[must_use]
    pub fn new() -> Self {
        Self { stream: Stream::new(MAX_PACKET), client_id: String::new(), filters: BTreeSet::new() }
    }

    /// Client id of the CONNECT; empty before CONNECT.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns `true` if a granted filter matches the topic.
    ///
    /// # Panics
    ///
    /// `topic` is not an MQTT topic name.
    #[must_use]
    pub fn is_subscribed(&self, topic: &str) -> bool {
        let topic = topic_name(topic);
        self.filters.iter().any(|filter| Filter::new(filter).is_ok_and(|filter| filter.matches(topic)))
    }

    /// Processes bytes from the client, which may end within a packet.
    ///
    /// # Panics
    ///
    /// The client breaks the protocol or a limit of AWS IoT: bytes that are not MQTT 3.1.1, a persistent session, QoS
    /// 2, or more than eight filters in one SUBSCRIBE.
    pub fn receive(&mut self, behavior: &BrokerBehavior, mut bytes: &[u8]) -> Exchange {
        let mut exchange = Exchange::default();
        while !exchange.close {
            let packet = match self.stream.next(&mut bytes) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(error) => panic!("the client must send MQTT: {error}"),
            };
            let received = match packet {
                Inbound::Connect(connect) => {
                    assert!(connect.clean_session, "CONNECT must ask for a clean session");
                    self.client_id = connect.client_id.as_str().into();
                    let accepted = ConnAck::Accepted { session_present: false };
                    let connack = behavior.connack.map_or(accepted, ConnAck::Refused);
                    exchange.close = behavior.connack.is_some();
                    exchange.send(Outbound::ConnAck(connack));
                    Received::Connect { client_id: self.client_id.clone() }
                }
                Inbound::Subscribe(subscribe) => {
                    let filters: Vec<String> =
                        subscribe.filters().map(|(filter, _)| filter.as_str().into()).collect();
                    let codes = subscribe_to(&mut self.filters, behavior, &filters);
                    exchange.close = filters.iter().any(|filter| behavior.closing_filters.contains(filter));
                    if behavior.suback && !exchange.close {
                        let codes = ReturnCodes::new(&codes).expect("valid codes");
                        exchange.send(Outbound::SubAck(SubAck { id: subscribe.id, codes }));
                    }
                    Received::Subscribe { filters }
                }
                Inbound::Unsubscribe(unsubscribe) => {
                    let filters: Vec<String> =
                        unsubscribe.filters().map(|filter| filter.as_str().into()).collect();
                    self.filters.retain(|filter| !filters.contains(filter));
                    exchange.send(Outbound::UnsubAck(unsubscribe.id));
                    Received::Unsubscribe { filters }
                }
                Inbound::Publish(publish) => {
                    exchange.close = behavior.close_on_publish;
                    if let Some(id) = publish.delivery.id()
                        && behavior.puback
                        && !exchange.close
                    {
                        exchange.send(Outbound::PubAck(id));
                    }
                    Received::Publish {
                        topic: publish.topic.to_string(),
                        payload: publish.payload.into(),
                        dup: publish.dup,
                    }
                }
                Inbound::PubAck(_) => Received::PubAck,
                Inbound::PingReq => {
                    exchange.send(Outbound::PingResp);
                    Received::PingReq
                }
                Inbound::Disconnect => {
                    exchange.close = true;
                    Received::Disconnect
                }
                other => panic!("AWS IoT has no QoS 2: {other:?}"),
            };
            exchange.received.push(received);
        }
        exchange
    }
}

impl Exchange {
    fn send(&mut self, packet: Outbound<'_>) {
        packet.encode(&mut self.reply).expect("a short packet");
    }
}

/// Grants filters and returns the codes of the SUBACK.
fn subscribe_to(granted: &mut BTreeSet<String>, behavior: &BrokerBehavior, filters: &[String]) -> Vec<u8> {
    assert!(filters.len() <= MAX_FILTERS_IN_PACKET, "{} filters in one packet", filters.len());
    let mut code = |filter: &String| {
        if behavior.refused_filters.contains(filter) || granted.len() >= MAX_FILTERS {
            return SubscribeReturn::Failure.to_byte();
        }
        granted.insert(filter.clone());
        QoS::AtLeastOnce.to_byte()
    };
    filters.iter().map(&mut code).collect()
}

/// Encodes a PUBLISH with QoS 0 from the broker to a client.
///
/// # Panics
///
/// `topic` is not an MQTT topic name, or `payload` is longer than 256 MiB.
#[must_use]
pub fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    encode(Publish::new(topic_name(topic), payload, Delivery::AtMostOnce))
}

/// Encodes a PUBLISH with QoS 0 for a message that was retained before the client subscribed.
///
/// # Panics
///
/// As [`publish`].
#[must_use]
pub fn publish_retained(topic: &str, payload: &[u8]) -> Vec<u8> {
    encode(Publish { retain: true, ..Publish::new(topic_name(topic), payload, Delivery::AtMostOnce) })
}

/// Encodes a PUBLISH with QoS 1, which the client acknowledges by PUBACK.
///
/// # Panics
///
/// As [`publish`].
#[must_use]
pub fn publish_at_least_once(id: PacketId, topic: &str, payload: &[u8]) -> Vec<u8> {
    encode(Publish::new(topic_name(topic), payload, Delivery::AtLeastOnce(id)))
}

fn encode(publish: Publish<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    publish.encode(&mut bytes).expect("a payload of at most 256 MiB");
    bytes
}

fn topic_name(topic: &str) -> Topic<'_> {
    Topic::new(topic).expect("an MQTT topic name")
}

#[cfg(test)]
mod tests {
    use mysa_mqtt_codec as codec;
    use mysa_mqtt_codec::{ClientId, Connect, Inbound};

    use super::*;

    const TOPIC: &str = "/v1/dev/a0b1c2d3e4f6/out";

    fn packet(outbound: codec::Outbound<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        outbound.encode(&mut bytes).unwrap();
        bytes
    }

    fn connect() -> Vec<u8> {
        packet(codec::Outbound::Connect(Connect::new(ClientId::new("ann").unwrap(), 60)))
    }

    /// SUBSCRIBE (3.8) with packet id 1.
    fn subscribe(filters: &[&str]) -> Vec<u8> {
        let mut body = vec![0, 1];
        for filter in filters {
            body.extend([0, u8::try_from(filter.len()).unwrap()]);
            body.extend(filter.bytes());
            body.push(1);
        }
        [&[0x82, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    }

    fn publish_from_client() -> Vec<u8> {
        publish_at_least_once(PacketId::new(7).unwrap(), "/v1/dev/a0b1c2d3e4f6/in", b"{}")
    }

    #[test]
    fn each_packet_is_recorded_and_answered_however_the_bytes_are_cut() {
        let wire = [
            connect(),
            subscribe(&["/v1/dev/+/out", "x"]),
            publish_from_client(),
            vec![0xa2, 5, 0, 2, 0, 1, b'x'],
            codec::PINGREQ.into(),
            codec::DISCONNECT.into(),
        ]
        .concat();
        for size in [1, 7, wire.len()] {
            let (mut connection, mut all) = (BrokerConnection::new(), Exchange::default());
            for part in wire.chunks(size) {
                let exchange = connection.receive(&BrokerBehavior::default(), part);
                all.received.extend(exchange.received);
                all.reply.extend(exchange.reply);
                all.close |= exchange.close;
            }
            let [first, second] = ["/v1/dev/+/out", "x"].map(String::from);
            let (topic, payload) = ("/v1/dev/a0b1c2d3e4f6/in".into(), b"{}".to_vec());
            let expected = [
                Received::Connect { client_id: "ann".into() },
                Received::Subscribe { filters: vec![first, second.clone()] },
                Received::Publish { topic, payload, dup: false },
                Received::Unsubscribe { filters: vec![second] },
                Received::PingReq,
                Received::Disconnect,
            ];
            assert_eq!(all.received, expected, "{size}");
            let replies = "20020000 9004000101014002 0007 b0020002 d000".replace(' ', "");
            let reply: String = all.reply.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((reply, all.close), (replies, true));
            assert_eq!(connection.client_id(), "ann");
            assert!(connection.is_subscribed(TOPIC) && !connection.is_subscribed("x"));
        }
    }

    #[test]
    fn each_behavior_changes_its_answer() {
        let run = |behavior: BrokerBehavior, wire: &[u8]| BrokerConnection::new().receive(&behavior, wire);
        let good = BrokerBehavior::default;

        let refused = ConnectRefusal::NotAuthorized;
        let exchange = run(BrokerBehavior { connack: Some(refused), ..good() }, &connect().repeat(2));
        assert_eq!((exchange.reply, exchange.close, exchange.received.len()), (vec![0x20, 2, 0, 5], true, 1));

        let filter = vec![TOPIC.to_owned()];
        let exchange = run(BrokerBehavior { suback: false, ..good() }, &subscribe(&[TOPIC]));
        assert_eq!((exchange.reply, exchange.close), (vec![], false));
        let exchange =
            run(BrokerBehavior { refused_filters: filter.clone(), ..good() }, &subscribe(&[TOPIC, "x"]));
        assert_eq!((exchange.reply, exchange.close), (vec![0x90, 4, 0, 1, 0x80, 1], false));
        let exchange = run(BrokerBehavior { closing_filters: filter, ..good() }, &subscribe(&["x", TOPIC]));
        assert_eq!((exchange.reply, exchange.close), (vec![], true));

        let exchange = run(BrokerBehavior { puback: false, ..good() }, &publish_from_client());
        assert_eq!((exchange.reply, exchange.close), (vec![], false));
        let exchange = run(BrokerBehavior { close_on_publish: true, ..good() }, &publish_from_client());
        assert_eq!((exchange.reply, exchange.close, exchange.received.len()), (vec![], true, 1));
    }

    #[test]
    fn a_connection_gets_fifty_filters() {
        let mut connection = BrokerConnection::new();
        let mut codes = Vec::new();
        for n in 0..51 {
            let exchange = connection.receive(&BrokerBehavior::default(), &subscribe(&[&format!("t/{n}")]));
            codes.extend(exchange.reply.last().copied());
        }
        assert_eq!(codes, [vec![1; 50], vec![0x80]].concat());
    }

    #[test]
    #[should_panic(expected = "9 filters in one packet")]
    fn nine_filters_in_one_packet_are_an_error_of_the_client() {
        let _ = BrokerConnection::new().receive(&BrokerBehavior::default(), &subscribe(&["x"; 9]));
    }

    #[test]
    fn a_publish_has_the_qos_and_retain_flag_of_its_encoder() {
        let id = PacketId::new(3).unwrap();
        let delivery = |bytes: &[u8]| match codec::decode(&mut &bytes[..], 1_000) {
            Ok(Some(Inbound::Publish(publish))) => (publish.delivery, publish.retain),
            other => panic!("{other:?}"),
        };
        assert_eq!(delivery(&publish(TOPIC, b"{}")), (Delivery::AtMostOnce, false));
        assert_eq!(delivery(&publish_retained(TOPIC, b"{}")), (Delivery::AtMostOnce, true));
        assert_eq!(delivery(&publish_at_least_once(id, TOPIC, b"{}")), (Delivery::AtLeastOnce(id), false));
    }
}
