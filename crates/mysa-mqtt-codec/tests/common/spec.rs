//! Packets that own their fields, so that they can be generated, stored and compared across codecs.

use mysa_mqtt_codec::{
    ClientId, ConnAck, Connect, ConnectRefusal, Delivery, Filter, Inbound, Login, Outbound, PacketId,
    Publish, QoS, ReturnCodes, SubAck, Text, Topic, Will, server,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::Packet;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spec {
    ConnAck { session_present: bool, code: u8 },
    Publish { topic: String, payload: Vec<u8>, qos: u8, id: Option<u16>, dup: bool, retain: bool },
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    SubAck(u16, Vec<u8>),
    UnsubAck(u16),
    PingResp,
    Connect(ConnectSpec),
    Subscribe(u16, Vec<(String, u8)>),
    Unsubscribe(u16, Vec<String>),
    PingReq,
    Disconnect,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConnectSpec {
    pub(crate) client_id: String,
    pub(crate) keep_alive: u16,
    pub(crate) clean_session: bool,
    pub(crate) will: Option<(String, Vec<u8>, u8, bool)>,
    pub(crate) login: Option<(String, Option<Vec<u8>>)>,
}

impl Spec {
    pub(crate) fn of(packet: &Packet<'_>) -> Self {
        match *packet {
            Packet::FromServer(packet) => match packet {
                Inbound::ConnAck(ConnAck::Accepted { session_present }) => {
                    Self::ConnAck { session_present, code: 0 }
                }
                Inbound::ConnAck(ConnAck::Refused(refusal)) => {
                    Self::ConnAck { session_present: false, code: refusal.to_byte() }
                }
                Inbound::Publish(it) => Self::of_publish(&it),
                Inbound::PubAck(id) => Self::PubAck(id.get()),
                Inbound::PubRec(id) => Self::PubRec(id.get()),
                Inbound::PubRel(id) => Self::PubRel(id.get()),
                Inbound::PubComp(id) => Self::PubComp(id.get()),
                Inbound::SubAck(it) => {
                    Self::SubAck(it.id.get(), it.codes.iter().map(|code| code.to_byte()).collect())
                }
                Inbound::UnsubAck(id) => Self::UnsubAck(id.get()),
                Inbound::PingResp => Self::PingResp,
            },
            Packet::FromClient(packet) => match packet {
                server::Inbound::Connect(it) => Self::Connect(ConnectSpec {
                    client_id: it.client_id.as_str().into(),
                    keep_alive: it.keep_alive,
                    clean_session: it.clean_session,
                    will: it.will.map(|will| {
                        (will.topic.as_str().into(), will.payload.into(), will.qos.to_byte(), will.retain)
                    }),
                    login: it
                        .login
                        .map(|login| (login.user_name.as_str().into(), login.password.map(Vec::from))),
                }),
                server::Inbound::Publish(it) => Self::of_publish(&it),
                server::Inbound::PubAck(id) => Self::PubAck(id.get()),
                server::Inbound::PubRec(id) => Self::PubRec(id.get()),
                server::Inbound::PubRel(id) => Self::PubRel(id.get()),
                server::Inbound::PubComp(id) => Self::PubComp(id.get()),
                server::Inbound::Subscribe(it) => Self::Subscribe(
                    it.id.get(),
                    it.filters().map(|(filter, qos)| (filter.as_str().into(), qos.to_byte())).collect(),
                ),
                server::Inbound::Unsubscribe(it) => Self::Unsubscribe(
                    it.id.get(),
                    it.filters().map(|filter| filter.as_str().into()).collect(),
                ),
                server::Inbound::PingReq => Self::PingReq,
                server::Inbound::Disconnect => Self::Disconnect,
            },
        }
    }

    fn of_publish(it: &Publish<'_>) -> Self {
        Self::Publish {
            topic: it.topic.as_str().into(),
            payload: it.payload.into(),
            qos: it.delivery.qos().to_byte(),
            id: it.delivery.id().map(PacketId::get),
            dup: it.dup,
            retain: it.retain,
        }
    }

    /// The packet as bytes, from each side that can send it; all sides must agree.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let id = |id: &u16| PacketId::new(*id).unwrap();
        let qos = |qos: &u8| QoS::from_byte(*qos).unwrap();
        let mut out = vec![0xee];
        let (from_client, from_server) = match self {
            Self::ConnAck { session_present, code } => {
                let refusal = match code {
                    0 => None,
                    1 => Some(ConnectRefusal::ProtocolLevel),
                    2 => Some(ConnectRefusal::ClientId),
                    3 => Some(ConnectRefusal::Unavailable),
                    4 => Some(ConnectRefusal::BadLogin),
                    _ => Some(ConnectRefusal::NotAuthorized),
                };
                let accepted = ConnAck::Accepted { session_present: *session_present };
                (None, Some(server::Outbound::ConnAck(refusal.map_or(accepted, ConnAck::Refused))))
            }
            Self::Publish { topic, payload, qos, id, dup, retain } => {
                let id = id.and_then(PacketId::new);
                let delivery = match (qos, id) {
                    (1, Some(id)) => Delivery::AtLeastOnce(id),
                    (2, Some(id)) => Delivery::ExactlyOnce(id),
                    _ => Delivery::AtMostOnce,
                };
                let topic = Topic::new(topic).unwrap();
                let publish = Publish { topic, payload, delivery, dup: *dup, retain: *retain };
                (Some(Outbound::Publish(publish)), Some(server::Outbound::Publish(publish)))
            }
            Self::PubAck(it) => (Some(Outbound::PubAck(id(it))), Some(server::Outbound::PubAck(id(it)))),
            Self::PubRec(it) => (Some(Outbound::PubRec(id(it))), Some(server::Outbound::PubRec(id(it)))),
            Self::PubRel(it) => (Some(Outbound::PubRel(id(it))), Some(server::Outbound::PubRel(id(it)))),
            Self::PubComp(it) => (Some(Outbound::PubComp(id(it))), Some(server::Outbound::PubComp(id(it)))),
            Self::SubAck(it, codes) => {
                let codes = ReturnCodes::new(codes).unwrap();
                (None, Some(server::Outbound::SubAck(SubAck { id: id(it), codes })))
            }
            Self::UnsubAck(it) => (None, Some(server::Outbound::UnsubAck(id(it)))),
            Self::PingResp => (None, Some(server::Outbound::PingResp)),
            Self::Connect(it) => {
                let mut connect = Connect::new(ClientId::new(&it.client_id).unwrap(), it.keep_alive);
                connect.clean_session = it.clean_session;
                connect.will = it.will.as_ref().map(|(topic, payload, will_qos, retain)| Will {
                    topic: Topic::new(topic).unwrap(),
                    payload,
                    qos: qos(will_qos),
                    retain: *retain,
                });
                connect.login = it.login.as_ref().map(|(user_name, password)| Login {
                    user_name: Text::new(user_name).unwrap(),
                    password: password.as_deref(),
                });
                (Some(Outbound::Connect(connect)), None)
            }
            Self::Subscribe(it, filters) => {
                let filters: Vec<_> = filters
                    .iter()
                    .map(|(filter, wanted)| (Filter::new(filter).unwrap(), qos(wanted)))
                    .collect();
                Outbound::Subscribe { id: id(it), filters: &filters }.encode(&mut out).unwrap();
                return out.split_off(1);
            }
            Self::Unsubscribe(it, filters) => {
                let filters: Vec<_> = filters.iter().map(|filter| Filter::new(filter).unwrap()).collect();
                Outbound::Unsubscribe { id: id(it), filters: &filters }.encode(&mut out).unwrap();
                return out.split_off(1);
            }
            Self::PingReq => (Some(Outbound::PingReq), None),
            Self::Disconnect => (Some(Outbound::Disconnect), None),
        };
        let mut mirrored = vec![0xee];
        if let Some(packet) = from_client {
            packet.encode(&mut out).unwrap();
        }
        if let Some(packet) = from_server {
            packet.encode(&mut mirrored).unwrap();
        }
        if from_client.is_some() && from_server.is_some() {
            assert_eq!(out, mirrored);
        }
        if from_client.is_some() { out.split_off(1) } else { mirrored.split_off(1) }
    }

    pub(crate) fn is_from_server(&self) -> bool {
        !matches!(
            self,
            Self::Connect(_) | Self::Subscribe(..) | Self::Unsubscribe(..) | Self::PingReq | Self::Disconnect
        )
    }

    pub(crate) fn is_from_client(&self) -> bool {
        !matches!(self, Self::ConnAck { .. } | Self::SubAck(..) | Self::UnsubAck(_) | Self::PingResp)
    }
}

/// Any packet, interesting values first.
pub(crate) fn spec() -> impl Strategy<Value = Spec> {
    let id = || prop_oneof![1..=u16::MAX, Just(1), Just(0xff), Just(0x100), Just(u16::MAX)];
    let publish = (topic(), bytes(), 0..3_u8, id(), any::<bool>(), any::<bool>()).prop_map(
        |(topic, payload, qos, id, dup, retain)| Spec::Publish {
            topic,
            payload,
            qos,
            id: (qos > 0).then_some(id),
            dup: dup && qos > 0,
            retain,
        },
    );
    let connack = (0..6_u8, any::<bool>())
        .prop_map(|(code, present)| Spec::ConnAck { session_present: present && code == 0, code });
    let will = (topic(), bytes(), 0..3_u8, any::<bool>());
    let login = (text(0), option::of(bytes()));
    let connect = (text(0), any::<u16>(), any::<bool>(), option::of(will), option::of(login)).prop_map(
        |(client_id, keep_alive, clean, will, login)| {
            let clean_session = clean || client_id.is_empty();
            Spec::Connect(ConnectSpec { client_id, keep_alive, clean_session, will, login })
        },
    );
    prop_oneof![
        4 => publish,
        1 => connack,
        2 => connect,
        1 => id().prop_map(Spec::PubAck),
        1 => id().prop_map(Spec::PubRec),
        1 => id().prop_map(Spec::PubRel),
        1 => id().prop_map(Spec::PubComp),
        1 => id().prop_map(Spec::UnsubAck),
        1 => (id(), vec(select(vec![0_u8, 1, 2, 0x80]), 1..9)).prop_map(|(id, codes)| Spec::SubAck(id, codes)),
        1 => (id(), vec((filter(), 0..3_u8), 1..9)).prop_map(|(id, filters)| Spec::Subscribe(id, filters)),
        1 => (id(), vec(filter(), 1..9)).prop_map(|(id, filters)| Spec::Unsubscribe(id, filters)),
        1 => Just(Spec::PingReq),
        1 => Just(Spec::PingResp),
        1 => Just(Spec::Disconnect),
    ]
}

/// Text with separators, controls, and characters of each length in UTF-8.
fn text(least: usize) -> impl Strategy<Value = String> {
    let chars =
        vec!['a', 'z', '/', '$', ' ', '\u{1}', '\u{7f}', '\u{e9}', '\u{122b}', '\u{feff}', '\u{1f525}'];
    vec(select(chars), least..40).prop_map(|chars| chars.into_iter().collect())
}

fn topic() -> impl Strategy<Value = String> {
    prop_oneof![2 => text(1), 1 => Just("/v1/dev/a0b1c2d3e4f5/out".into()), 1 => Just("t".repeat(300))]
}

fn filter() -> impl Strategy<Value = String> {
    prop_oneof![text(1), text(0).prop_map(|head| head + "/+/#"), Just("#".into()), Just("+".into())]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..60), 1 => vec(any::<u8>(), 120..140), 1 => Just(vec![b'x'; 17_000])]
}
