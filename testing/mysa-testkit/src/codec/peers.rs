//! Codecs of other projects.

use std::hint::black_box;

use bytes::BytesMut;

use super::{Codec, ConnectFields, LIMIT, Packet};

/// mqttrs. It borrows, so that its caller keeps the bytes.
#[derive(Debug, Default)]
pub struct Mqttrs(Vec<u8>);

impl Codec for Mqttrs {
    const NAME: &'static str = "mqttrs";

    #[inline]
    fn feed(&mut self, bytes: &[u8]) -> u64 {
        self.0.extend_from_slice(bytes);
        let (mut at, mut packets) = (0, 0);
        while let Ok(Some(packet)) = mqttrs::decode_slice(&self.0[at..]) {
            black_box(&packet);
            at += packet_size(&self.0[at..]).unwrap_or(usize::MAX);
            packets += 1;
        }
        self.0.drain(..at);
        packets
    }

    fn decode(wire: &[u8]) -> Option<Result<Packet, String>> {
        Some(mqttrs_read(wire))
    }
}

/// Length of the packet at the beginning of `wire`. mqttrs does not return it, so that its caller reads the header again.
#[inline]
#[must_use]
pub fn packet_size(wire: &[u8]) -> Option<usize> {
    let mut remaining = 0;
    for at in 0..4 {
        let byte = *wire.get(1 + at)?;
        remaining |= usize::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some(2 + at + remaining);
        }
    }
    None
}

/// mqttbytes.
#[derive(Debug, Default)]
pub struct Mqttbytes(BytesMut);

impl Codec for Mqttbytes {
    const NAME: &'static str = "mqttbytes";

    #[inline]
    fn feed(&mut self, bytes: &[u8]) -> u64 {
        self.0.extend_from_slice(bytes);
        let mut packets = 0;
        while let Ok(packet) = mqttbytes::v4::read(&mut self.0, LIMIT as usize) {
            black_box(&packet);
            packets += 1;
        }
        packets
    }

    fn decode(wire: &[u8]) -> Option<Result<Packet, String>> {
        Some(mqttbytes_read(wire))
    }

    fn expected(packet: Packet) -> Option<Packet> {
        (!has_binary_password(&packet)).then(|| without_what_is_empty_in_login(packet))
    }
}

/// Codec of rumqttc.
#[cfg(feature = "rumqttc")]
#[derive(Debug, Default)]
pub struct Rumqttc(BytesMut);

#[cfg(feature = "rumqttc")]
impl Codec for Rumqttc {
    const NAME: &'static str = "rumqttc";

    #[inline]
    fn feed(&mut self, bytes: &[u8]) -> u64 {
        self.0.extend_from_slice(bytes);
        let mut packets = 0;
        while let Ok(packet) = rumqttc::Packet::read(&mut self.0, LIMIT as usize) {
            black_box(&packet);
            packets += 1;
        }
        packets
    }

    fn decode(wire: &[u8]) -> Option<Result<Packet, String>> {
        Some(rumqttc_read(wire))
    }

    fn expected(packet: Packet) -> Option<Packet> {
        (!has_binary_password(&packet)).then(|| without_what_is_empty_in_login(packet))
    }
}

/// mqttbytes and rumqttc read a password as a string and refuse any other: 3.1.3.5 specifies binary data.
fn has_binary_password(packet: &Packet) -> bool {
    let Packet::Connect(ConnectFields { login: Some((_, Some(password))), .. }) = packet else {
        return false;
    };
    core::str::from_utf8(password).is_err()
}

/// mqttbytes and rumqttc treat an empty user name or password as absent, against \[MQTT-3.1.2-18\] to
/// \[MQTT-3.1.2-21\].
fn without_what_is_empty_in_login(mut packet: Packet) -> Packet {
    if let Packet::Connect(ConnectFields { login, .. }) = &mut packet {
        *login = login.take().and_then(|(user, password)| login_of(user, password.unwrap_or_default()));
    }
    packet
}

fn login_of(user: String, password: Vec<u8>) -> Option<(String, Option<Vec<u8>>)> {
    let password = (!password.is_empty()).then_some(password);
    (!user.is_empty() || password.is_some()).then_some((user, password))
}

/// Both have the same types under different names.
macro_rules! reader {
    ($name:ident, $peer:path, $read:expr) => {
        fn $name(wire: &[u8]) -> Result<Packet, String> {
            use v4::{Packet as Theirs, SubscribeReasonCode};
            use $peer as v4;
            let mut input = BytesMut::from(wire);
            let packet = $read(&mut input, LIMIT as usize).map_err(|error| format!("{error:?}"))?;
            Ok(match packet {
                Theirs::Connect(it) => Packet::Connect(ConnectFields {
                    client_id: it.client_id,
                    keep_alive: it.keep_alive,
                    clean_session: it.clean_session,
                    will: it
                        .last_will
                        .map(|will| (will.topic, will.message.to_vec(), will.qos as u8, will.retain)),
                    login: it.login.and_then(|it| login_of(it.username, it.password.into_bytes())),
                }),
                Theirs::ConnAck(it) => {
                    Packet::ConnAck { session_present: it.session_present, code: it.code as u8 }
                }
                Theirs::Publish(it) => Packet::Publish {
                    topic: it.topic,
                    payload: it.payload.to_vec(),
                    qos: it.qos as u8,
                    id: (it.pkid != 0).then_some(it.pkid),
                    dup: it.dup,
                    retain: it.retain,
                },
                Theirs::PubAck(it) => Packet::PubAck(it.pkid),
                Theirs::PubRec(it) => Packet::PubRec(it.pkid),
                Theirs::PubRel(it) => Packet::PubRel(it.pkid),
                Theirs::PubComp(it) => Packet::PubComp(it.pkid),
                Theirs::Subscribe(it) => {
                    let filters = it.filters.into_iter().map(|filter| (filter.path, filter.qos as u8));
                    Packet::Subscribe(it.pkid, filters.collect())
                }
                Theirs::SubAck(it) => {
                    let codes = it.return_codes.into_iter().map(|code| match code {
                        SubscribeReasonCode::Success(qos) => qos as u8,
                        SubscribeReasonCode::Failure => 0x80,
                    });
                    Packet::SubAck(it.pkid, codes.collect())
                }
                Theirs::Unsubscribe(it) => Packet::Unsubscribe(it.pkid, it.topics),
                Theirs::UnsubAck(it) => Packet::UnsubAck(it.pkid),
                Theirs::PingReq => Packet::PingReq,
                Theirs::PingResp => Packet::PingResp,
                Theirs::Disconnect => Packet::Disconnect,
            })
        }
    };
}

reader!(mqttbytes_read, mqttbytes::v4, v4::read);
#[cfg(feature = "rumqttc")]
reader!(rumqttc_read, rumqttc::mqttbytes::v4, v4::Packet::read);

fn mqttrs_read(wire: &[u8]) -> Result<Packet, String> {
    use mqttrs::{Packet as Theirs, QosPid, SubscribeReturnCodes};
    let packet = mqttrs::decode_slice(wire).map_err(|error| format!("{error:?}"))?.ok_or("incomplete")?;
    Ok(match packet {
        Theirs::Connect(it) => Packet::Connect(ConnectFields {
            client_id: it.client_id.into(),
            keep_alive: it.keep_alive,
            clean_session: it.clean_session,
            will: it
                .last_will
                .map(|will| (will.topic.into(), will.message.into(), will.qos as u8, will.retain)),
            login: it.username.map(|user| (user.into(), it.password.map(Vec::from))),
        }),
        Theirs::Connack(it) => Packet::ConnAck { session_present: it.session_present, code: it.code as u8 },
        Theirs::Publish(it) => Packet::Publish {
            topic: it.topic_name.into(),
            payload: it.payload.into(),
            qos: it.qospid.qos() as u8,
            id: match it.qospid {
                QosPid::AtMostOnce => None,
                QosPid::AtLeastOnce(id) | QosPid::ExactlyOnce(id) => Some(id.get()),
            },
            dup: it.dup,
            retain: it.retain,
        },
        Theirs::Puback(id) => Packet::PubAck(id.get()),
        Theirs::Pubrec(id) => Packet::PubRec(id.get()),
        Theirs::Pubrel(id) => Packet::PubRel(id.get()),
        Theirs::Pubcomp(id) => Packet::PubComp(id.get()),
        Theirs::Subscribe(it) => {
            let filters = it.topics.into_iter().map(|it| (it.topic_path.to_string(), it.qos as u8));
            Packet::Subscribe(it.pid.get(), filters.collect())
        }
        Theirs::Suback(it) => {
            let codes = it.return_codes.into_iter().map(|code| match code {
                SubscribeReturnCodes::Success(qos) => qos as u8,
                SubscribeReturnCodes::Failure => 0x80,
            });
            Packet::SubAck(it.pid.get(), codes.collect())
        }
        Theirs::Unsubscribe(it) => {
            Packet::Unsubscribe(it.pid.get(), it.topics.into_iter().map(|it| it.to_string()).collect())
        }
        Theirs::Unsuback(id) => Packet::UnsubAck(id.get()),
        Theirs::Pingreq => Packet::PingReq,
        Theirs::Pingresp => Packet::PingResp,
        Theirs::Disconnect => Packet::Disconnect,
    })
}
