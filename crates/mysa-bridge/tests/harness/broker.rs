//! Broker without I/O: retained messages, wills, subscriptions and take-over by client id.

use std::collections::BTreeMap;

use mysa_mqtt_codec::server::{Inbound, Outbound, Stream};
use mysa_mqtt_codec::{
    ConnAck, ConnectRefusal, Delivery, Filter, Publish, ReturnCodes, SubAck, SubscribeReturn, Topic,
};

/// Message that a client published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) qos: u8,
}

#[derive(Debug, Default)]
pub(crate) struct Broker {
    pub(crate) retained: BTreeMap<String, Vec<u8>>,
    connections: BTreeMap<u64, Connection>,
    /// Everything that clients published, wills included.
    pub(crate) log: Vec<Published>,
    /// Refuses every CONNECT.
    pub(crate) refusal: Option<ConnectRefusal>,
    /// Refuses every filter.
    pub(crate) refuses_filters: bool,
    /// Answers no packet.
    pub(crate) no_answers: bool,
    /// Answers no PUBLISH.
    pub(crate) no_puback: bool,
    /// Answers no SUBSCRIBE.
    pub(crate) no_suback: bool,
    /// Number of PUBACKs received.
    pub(crate) pubacks: usize,
    /// User name and password of the last CONNECT.
    pub(crate) login: Option<(String, Vec<u8>)>,
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    client_id: String,
    filters: Vec<String>,
    will: Option<(String, Vec<u8>)>,
    out: Vec<u8>,
    closed: bool,
}

impl Broker {
    pub(crate) fn open(&mut self, number: u64) {
        let connection = Connection {
            stream: Stream::new(1 << 20),
            client_id: String::new(),
            filters: Vec::new(),
            will: None,
            out: Vec::new(),
            closed: false,
        };
        self.connections.insert(number, connection);
    }

    /// Bytes for the client, and whether the broker closes the connection after them.
    pub(crate) fn take(&mut self, number: u64) -> (Vec<u8>, bool) {
        let Some(connection) = self.connections.get_mut(&number) else { return (Vec::new(), true) };
        let out = (std::mem::take(&mut connection.out), connection.closed);
        if out.1 {
            self.drop_connection(number);
        }
        out
    }

    /// Ends a connection without DISCONNECT: the will is published.
    pub(crate) fn drop_connection(&mut self, number: u64) {
        let will = self.connections.remove(&number).and_then(|connection| connection.will);
        if let Some((topic, payload)) = will {
            self.publish(&topic, &payload, true);
        }
    }

    /// Stops and starts: all connections end without their wills, retained messages may be lost.
    pub(crate) fn restart(&mut self, keeps_retained: bool) {
        self.connections.clear();
        if !keeps_retained {
            self.retained.clear();
        }
    }

    pub(crate) fn receive(&mut self, number: u64, mut bytes: &[u8]) {
        let Some(mut connection) = self.connections.remove(&number) else { return };
        let mut publishes = Vec::new();
        let mut take_over = None;
        while let Some(packet) = connection.stream.next(&mut bytes).expect("the client sends valid packets") {
            let mut answer = |packet: Outbound<'_>| packet.encode(&mut connection.out).expect("an answer");
            match packet {
                Inbound::Connect(connect) => {
                    assert!(connect.clean_session, "a persistent session would keep commands");
                    self.login = connect.login.map(|login| {
                        (login.user_name.as_str().to_owned(), login.password.unwrap_or_default().to_vec())
                    });
                    connection.client_id = connect.client_id.as_str().to_owned();
                    if let Some(refusal) = self.refusal {
                        answer(Outbound::ConnAck(ConnAck::Refused(refusal)));
                        connection.closed = true;
                        break;
                    }
                    take_over = Some(connection.client_id.clone());
                    connection.will =
                        connect.will.map(|will| (will.topic.as_str().to_owned(), will.payload.to_vec()));
                    if !self.no_answers {
                        answer(Outbound::ConnAck(ConnAck::Accepted { session_present: false }));
                    }
                }
                Inbound::Subscribe(subscribe) => {
                    let filters: Vec<String> =
                        subscribe.filters().map(|(filter, _)| filter.as_str().to_owned()).collect();
                    let code = if self.refuses_filters { SubscribeReturn::Failure.to_byte() } else { 0 };
                    let codes = vec![code; filters.len()];
                    if !self.no_answers && !self.no_suback {
                        let codes = ReturnCodes::new(&codes).expect("codes");
                        answer(Outbound::SubAck(SubAck { id: subscribe.id, codes }));
                    }
                    if !self.refuses_filters {
                        for (topic, payload) in &self.retained {
                            if filters.iter().any(|filter| matches(filter, topic)) {
                                send(&mut connection.out, topic, payload, true);
                            }
                        }
                        connection.filters.extend(filters);
                    }
                }
                Inbound::Publish(publish) => {
                    if let (Delivery::AtLeastOnce(id), false) =
                        (publish.delivery, self.no_answers || self.no_puback)
                    {
                        answer(Outbound::PubAck(id));
                    }
                    publishes.push(Published {
                        topic: publish.topic.as_str().to_owned(),
                        payload: String::from_utf8(publish.payload.to_vec()).expect("text"),
                        retain: publish.retain,
                        dup: publish.dup,
                        qos: publish.delivery.qos().to_byte(),
                    });
                }
                Inbound::PingReq if !self.no_answers => answer(Outbound::PingResp),
                Inbound::PingReq => {}
                Inbound::PubAck(_) => self.pubacks += 1,
                Inbound::Disconnect => {
                    connection.will = None;
                    connection.closed = true;
                    break;
                }
                other => panic!("unexpected packet {other:?}"),
            }
        }
        if let Some(client_id) = take_over {
            let older = self.connections.iter().find(|(_, other)| other.client_id == client_id);
            if let Some((&older, _)) = older {
                self.drop_connection(older);
            }
        }
        self.connections.insert(number, connection);
        for publish in publishes {
            self.log.push(publish.clone());
            self.route(&publish.topic, publish.payload.as_bytes(), publish.retain);
        }
    }

    /// Publishes a message of another client.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) {
        self.route(topic, payload, retain);
    }

    fn route(&mut self, topic: &str, payload: &[u8], retain: bool) {
        if retain && payload.is_empty() {
            self.retained.remove(topic);
        } else if retain {
            self.retained.insert(topic.to_owned(), payload.to_vec());
        }
        let subscribers: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.filters.iter().any(|filter| matches(filter, topic)))
            .map(|(&number, _)| number)
            .collect();
        for number in subscribers {
            if let Some(connection) = self.connections.get_mut(&number) {
                send(&mut connection.out, topic, payload, false);
            }
        }
    }

    /// Sends raw bytes to every client.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        for connection in self.connections.values_mut() {
            connection.out.extend_from_slice(bytes);
        }
    }

    pub(crate) fn retained(&self, topic: &str) -> Option<&str> {
        self.retained.get(topic).map(|payload| std::str::from_utf8(payload).expect("text"))
    }

    /// Payloads published to a topic, in order.
    pub(crate) fn published(&self, topic: &str) -> Vec<&str> {
        self.log
            .iter()
            .filter(|publish| publish.topic == topic)
            .map(|publish| publish.payload.as_str())
            .collect()
    }
}

fn send(out: &mut Vec<u8>, topic: &str, payload: &[u8], retain: bool) {
    let topic = Topic::new(topic).expect("a topic");
    let publish = Publish { retain, ..Publish::new(topic, payload, Delivery::AtMostOnce) };
    publish.encode(out).expect("a message");
}

fn matches(filter: &str, topic: &str) -> bool {
    Filter::new(filter).is_ok_and(|filter| filter.matches(Topic::new(topic).expect("a topic")))
}
