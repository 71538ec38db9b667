use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysa_mqtt_codec::server::{Inbound, Stream};
use mysa_mqtt_codec::{Delivery, Inbound as Answer, PacketId, SubscribeReturn};
use mysa_proto::{Body, DeviceId, Message, Topic, TopicKind};
use mysa_session::ConnId;

use crate::violation::Violation;
use crate::wire::{Seen, Wire};
use crate::writes::{self, Settings};

/// Decodes the bytes that a client sends with its own decoder and checks them against the rules.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    connections: BTreeMap<ConnId, ObservedConnection>,
    /// Time of the last CONNECT under each client id.
    connects: BTreeMap<String, Duration>,
    sent: BTreeMap<u64, Sent>,
    pub(crate) commands: u64,
    pub(crate) publishes: u64,
    pub(crate) subscribes: u64,
    /// All actions seen, while they are recorded.
    pub(crate) log: Vec<Seen>,
    /// `true` in long runs, which record no log.
    pub(crate) keeps_no_log: bool,
}

#[derive(Debug)]
struct ObservedConnection {
    stream: Stream,
    client_id: Option<String>,
    /// Filters asked for, except those that were refused.
    filters: BTreeSet<String>,
    asked: BTreeMap<PacketId, Vec<String>>,
    /// Decoder of the bytes from the broker; `None` once they are not MQTT.
    answers: Option<mysa_mqtt_codec::Stream>,
    open: bool,
    /// `true` once CONNACK has reached the client.
    accepted: bool,
    /// Time of the last byte from the client.
    last_sent: Duration,
}

/// Phases that the connections of the client have reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Phases {
    pub(crate) connecting: bool,
    pub(crate) subscribing: bool,
    pub(crate) live: bool,
}

#[derive(Debug)]
struct Sent {
    conn: ConnId,
    times: u32,
}

/// A command as it went over the wire.
#[derive(Debug)]
pub(crate) struct ObservedCommand {
    pub(crate) device: DeviceId,
    /// Id in the envelope.
    pub(crate) id: u64,
    pub(crate) settings: Settings,
    /// `true` if the same bytes were sent before.
    pub(crate) again: bool,
}

/// Limits of AWS IoT.
const FILTERS_A_PACKET: usize = 8;
const FILTERS_A_CONNECTION: usize = 50;
/// Transmissions of one message: the first and three retries.
const MOST_SENDINGS: u32 = 4;

impl Observer {
    pub(crate) fn opened(&mut self, now: Duration, conn: ConnId) {
        let observed = ObservedConnection {
            // Above the 128 KiB of payload that AWS IoT accepts, with room for the topic.
            stream: Stream::new(160_000),
            client_id: None,
            filters: BTreeSet::new(),
            asked: BTreeMap::new(),
            answers: Some(mysa_mqtt_codec::Stream::new(160_000)),
            open: true,
            accepted: false,
            last_sent: now,
        };
        self.connections.insert(conn, observed);
    }

    pub(crate) fn see(&mut self, now: Duration, conn: ConnId, wire: Wire) {
        if !self.keeps_no_log {
            self.log.push((now, conn, wire));
        }
    }

    pub(crate) fn closed(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
    }

    /// Checks bytes that the client sends and returns the commands in them.
    pub(crate) fn bytes(
        &mut self,
        now: Duration,
        conn: ConnId,
        mut bytes: &[u8],
    ) -> Result<Vec<ObservedCommand>, Violation> {
        let mut commands = Vec::new();
        // The entry is put back at the end. After a violation it stays out, which is harmless because the run ends.
        let Some(mut observed) = self.connections.remove(&conn) else { return Ok(commands) };
        observed.last_sent = now;
        if !observed.open {
            return Err(Violation::AfterTheEnd { conn: conn.to_string() });
        }
        loop {
            let packet = match observed.stream.next(&mut bytes) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(error) => return Err(Violation::BadPacket(error.to_string())),
            };
            match packet {
                Inbound::Connect(connect) => {
                    let id = connect.client_id.as_str().to_owned();
                    if self.connections.values().any(|other| other.client_id.as_deref() == Some(&id)) {
                        return Err(Violation::SharedClientId(id));
                    }
                    if let Some(last) = self.connects.get(&id)
                        && now - *last < Duration::from_secs(1)
                    {
                        return Err(Violation::EarlyConnect { after: now - *last });
                    }
                    self.connects.insert(id.clone(), now);
                    self.see(now, conn, Wire::Connect { client_id: id.clone() });
                    observed.client_id = Some(id);
                }
                Inbound::Subscribe(subscribe) => {
                    self.subscribes += 1;
                    let count = subscribe.filters().count();
                    let names: Vec<String> =
                        subscribe.filters().map(|(filter, _)| filter.as_str().to_owned()).collect();
                    self.see(now, conn, Wire::Subscribe(Vec::clone(&names)));
                    observed.filters.extend(names.iter().cloned());
                    observed.asked.insert(subscribe.id, names);
                    if count > FILTERS_A_PACKET {
                        return Err(Violation::TooManyFilters { in_packet: count });
                    }
                }
                Inbound::Unsubscribe(unsubscribe) => {
                    let count = unsubscribe.filters().count();
                    let names = unsubscribe.filters().map(|filter| filter.as_str().to_owned()).collect();
                    self.see(now, conn, Wire::Unsubscribe(names));
                    for filter in unsubscribe.filters() {
                        observed.filters.remove(filter.as_str());
                    }
                    if count > FILTERS_A_PACKET {
                        return Err(Violation::TooManyFilters { in_packet: count });
                    }
                }
                Inbound::Publish(publish) => {
                    self.publishes += 1;
                    let topic = Topic::parse(publish.topic.as_bytes());
                    let Some(Topic { device, kind: TopicKind::In }) = topic else {
                        return Err(Violation::ForeignTopic(publish.topic.as_str().to_owned()));
                    };
                    let Delivery::AtLeastOnce(packet) = publish.delivery else {
                        return Err(Violation::WrongDelivery);
                    };
                    if publish.retain {
                        return Err(Violation::WrongDelivery);
                    }
                    let message = Message::decode(TopicKind::In, publish.payload)
                        .map_err(|error| Violation::BadPayload(error.to_string()))?;
                    if message.danger().is_some() {
                        return Err(Violation::Dangerous(format!("{:?}", message.body)));
                    }
                    let seen = Wire::Publish {
                        packet: packet.get(),
                        topic: publish.topic.as_str().to_owned(),
                        dup: publish.dup,
                        command: matches!(message.body, Body::Command(_)),
                    };
                    self.see(now, conn, seen);
                    match &message.body {
                        Body::Command(_) => {
                            commands.push(self.command(conn, device, &message, publish.dup)?);
                        }
                        Body::LiveReport(_) | Body::Event(_) => {}
                        other => return Err(Violation::Unexpected(format!("{other:?}"))),
                    }
                }
                Inbound::Disconnect => {
                    observed.open = false;
                    self.see(now, conn, Wire::Disconnect);
                }
                Inbound::PingReq => self.see(now, conn, Wire::Ping),
                Inbound::PubAck(packet) => self.see(now, conn, Wire::PubAck(packet.get())),
                _ => {}
            }
        }
        if observed.filters.len() > FILTERS_A_CONNECTION {
            return Err(Violation::TooManySubscriptions(observed.filters.len()));
        }
        self.connections.insert(conn, observed);
        Ok(commands)
    }

    /// Reads bytes that reach the client: a refused filter does not count against the limit of its connection.
    pub(crate) fn answered(&mut self, conn: ConnId, mut bytes: &[u8]) {
        let Some(observed) = self.connections.get_mut(&conn) else { return };
        let Some(answers) = &mut observed.answers else { return };
        loop {
            match answers.next(&mut bytes) {
                Ok(Some(Answer::SubAck(suback))) => {
                    let asked = observed.asked.remove(&suback.id).unwrap_or_default();
                    for (filter, code) in asked.iter().zip(suback.codes.iter()) {
                        if code == SubscribeReturn::Failure {
                            observed.filters.remove(filter);
                        }
                    }
                }
                Ok(Some(Answer::ConnAck(_))) => observed.accepted = true,
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    observed.answers = None;
                    return;
                }
            }
        }
    }

    pub(crate) fn phases(&self) -> Phases {
        let mut phases = Phases::default();
        for connection in self.connections.values() {
            phases.connecting |= !connection.accepted;
            phases.subscribing |= connection.accepted && !connection.asked.is_empty();
            phases.live |= connection.accepted;
        }
        phases
    }

    /// The connection on which the client has sent nothing for longest, and the time of its last byte.
    pub(crate) fn most_silent(&self) -> Option<(ConnId, Duration)> {
        self.connections.iter().map(|(conn, of)| (*conn, of.last_sent)).min_by_key(|(_, at)| *at)
    }

    fn command(
        &mut self,
        conn: ConnId,
        device: DeviceId,
        message: &Message<'_>,
        dup: bool,
    ) -> Result<ObservedCommand, Violation> {
        self.commands += 1;
        let Some(id) = message.envelope.id.and_then(|id| id.as_u64()) else {
            return Err(Violation::BadPayload("a command without an id".into()));
        };
        let settings = writes::from_message(message.raw.as_str().as_bytes())?;
        let again = self.sent.contains_key(&id);
        if again != dup {
            return Err(Violation::Resent { id, dup });
        }
        let sent = self.sent.entry(id).or_insert(Sent { conn, times: 0 });
        sent.times += 1;
        if sent.conn != conn {
            return Err(Violation::ReplayedElsewhere { id });
        }
        if sent.times > MOST_SENDINGS {
            return Err(Violation::SentTooOften { id, times: sent.times });
        }
        // Bounds the memory of long runs.
        if self.sent.len() > 4_096 {
            self.sent.pop_first();
        }
        Ok(ObservedCommand { device, id, settings, again })
    }
}

#[cfg(test)]
mod tests;
