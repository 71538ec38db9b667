//! Comparison of MQTT 3.1.1 codecs: a trait for any of them, and packets that own their fields.
//!
//! ```
//! use mysa_testkit::codec::{Codec, Packet, compare, compare_stream};
//!
//! /// A codec that knows only PINGRESP.
//! #[derive(Default)]
//! struct PingOnly(Vec<u8>);
//!
//! impl Codec for PingOnly {
//!     const NAME: &'static str = "ping only";
//!
//!     fn feed(&mut self, bytes: &[u8]) -> u64 {
//!         self.0.extend_from_slice(bytes);
//!         let packets = self.0.len() / 2;
//!         self.0.drain(..2 * packets);
//!         packets as u64
//!     }
//!
//!     fn decode(wire: &[u8]) -> Option<Result<Packet, String>> {
//!         Some(if wire == [0xd0, 0] { Ok(Packet::PingResp) } else { Err("unknown".into()) })
//!     }
//! }
//!
//! compare::<PingOnly>(&[0xd0, 0])?;
//! compare_stream(&mut PingOnly::default(), &[0xd0, 0, 0xd0, 0], 1)?;
//! assert_eq!(compare::<PingOnly>(&[0xc0, 0]).unwrap_err(), "ping only refuses c000 (PingReq): unknown");
//! # Ok::<(), String>(())
//! ```

#[cfg(feature = "peers")]
mod peers;

use mysa_mqtt_codec::{
    ClientId, ConnAck, Connect, ConnectRefusal, DecodeError, Delivery, Filter, Inbound, Login, Outbound,
    PacketId, Publish, QoS, ReturnCodes, SubAck, Text, Topic, Will, decode, server,
};

#[cfg(feature = "rumqttc")]
pub use peers::Rumqttc;
#[cfg(feature = "peers")]
pub use peers::{Mqttbytes, Mqttrs, packet_size};

/// Largest packet in a comparison.
const LIMIT: u32 = 1 << 20;

const VALID: &str = "a valid packet";

/// MQTT 3.1.1 codec that is compared with `mysa-mqtt-codec`, in tests and in benchmarks.
///
/// A new value is the beginning of a connection.
pub trait Codec {
    /// Name in tables and error texts.
    const NAME: &'static str;

    /// Takes bytes as they arrive from a socket, decodes every packet that they complete, and returns the number of these.
    ///
    /// Benchmarks time this function, so that the result of each decoding should pass through
    /// [`black_box`](std::hint::black_box), and the function should be `#[inline]`.
    fn feed(&mut self, bytes: &[u8]) -> u64;

    /// Decodes the packet at the beginning of `wire`, for a comparison of its fields. `None` if the packets of the codec
    /// are only counted.
    fn decode(wire: &[u8]) -> Option<Result<Packet, String>> {
        let _ = wire;
        None
    }

    /// Applies the known defects of the codec to a packet: returns it as the codec reads it, or `None` if the codec
    /// refuses it.
    fn expected(packet: Packet) -> Option<Packet> {
        Some(packet)
    }
}

/// Checks that a codec reads the packet at the beginning of `wire` with the same fields, if `mysa-mqtt-codec` accepts it.
/// The converse is no requirement: `mysa-mqtt-codec` refuses what the standard forbids.
///
/// # Errors
/// A description of the difference.
pub fn compare<C: Codec>(wire: &[u8]) -> Result<(), String> {
    let Some((packet, taken)) = Packet::read(wire) else { return Ok(()) };
    let described = format!("{} ({packet:?})", hex(&wire[..taken.min(wire.len())]));
    let Some(expected) = C::expected(packet) else { return Ok(()) };
    match C::decode(wire) {
        None => Ok(()),
        Some(Ok(theirs)) if theirs == expected => Ok(()),
        Some(Ok(theirs)) => Err(format!("{} reads {described} as {theirs:?}", C::NAME)),
        Some(Err(error)) => Err(format!("{} refuses {described}: {error}", C::NAME)),
    }
}

/// Checks that a codec finds as many packets as `mysa-mqtt-codec` in the valid beginning of `wire`, in chunks of `size` bytes.
///
/// # Errors
/// A description of the difference.
pub fn compare_stream<C: Codec>(codec: &mut C, wire: &[u8], size: usize) -> Result<(), String> {
    let (mut valid, mut packets) = (0, 0);
    while let Some((packet, taken)) = Packet::read(&wire[valid..])
        && C::expected(packet).is_some()
    {
        valid += taken;
        packets += 1;
    }
    let theirs: u64 = wire[..valid].chunks(size.max(1)).map(|chunk| codec.feed(chunk)).sum();
    if theirs == packets {
        return Ok(());
    }
    let (name, wire) = (C::NAME, hex(&wire[..valid]));
    Err(format!("{name} finds {theirs} packets of {packets} in chunks of {size} bytes of {wire}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Packet of either direction that owns its fields, so that packets can be generated, stored and compared across codecs.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "MQTT 3.1.1 has no other packets")]
pub enum Packet {
    /// CONNACK.
    ConnAck {
        /// Flag of a stored session.
        session_present: bool,
        /// Return code; 0 accepts.
        code: u8,
    },
    /// PUBLISH.
    Publish {
        /// Topic name.
        topic: String,
        /// Application message.
        payload: Vec<u8>,
        /// QoS from 0 to 2.
        qos: u8,
        /// Packet id; `None` with QoS 0.
        id: Option<u16>,
        /// Flag of a repeated delivery.
        dup: bool,
        /// Flag of a retained message.
        retain: bool,
    },
    /// PUBACK and its packet id.
    PubAck(u16),
    /// PUBREC and its packet id.
    PubRec(u16),
    /// PUBREL and its packet id.
    PubRel(u16),
    /// PUBCOMP and its packet id.
    PubComp(u16),
    /// SUBACK, its packet id and its return codes.
    SubAck(u16, Vec<u8>),
    /// UNSUBACK and its packet id.
    UnsubAck(u16),
    /// PINGRESP.
    PingResp,
    /// CONNECT.
    Connect(ConnectFields),
    /// SUBSCRIBE, its packet id, and its filters with the requested QoS.
    Subscribe(u16, Vec<(String, u8)>),
    /// UNSUBSCRIBE, its packet id and its filters.
    Unsubscribe(u16, Vec<String>),
    /// PINGREQ.
    PingReq,
    /// DISCONNECT.
    Disconnect,
}

/// Fields of CONNECT.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "MQTT 3.1.1 has no other fields")]
pub struct ConnectFields {
    /// Client identifier.
    pub client_id: String,
    /// Keep-alive in seconds.
    pub keep_alive: u16,
    /// Flag of a clean session.
    pub clean_session: bool,
    /// Topic, message, QoS and retain flag of the will.
    pub will: Option<(String, Vec<u8>, u8, bool)>,
    /// User name and password.
    pub login: Option<(String, Option<Vec<u8>>)>,
}

impl Packet {
    /// Decodes the packet at the beginning of `wire` by `mysa-mqtt-codec`, in the direction to which its type belongs.
    /// Returns it with its length; `None` if it is incomplete or invalid.
    #[must_use]
    pub fn read(wire: &[u8]) -> Option<(Self, usize)> {
        let mut rest = wire;
        let packet = match decode(&mut rest, LIMIT) {
            Err(DecodeError::WrongDirection) => server::decode(&mut rest, LIMIT).ok()??.into(),
            read => read.ok()??.into(),
        };
        Some((packet, wire.len() - rest.len()))
    }

    /// Encodes the packet by `mysa-mqtt-codec`, from each side that can send it; both must agree.
    ///
    /// # Panics
    /// The packet breaks a rule of the standard.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let id = |id: &u16| PacketId::new(*id).expect(VALID);
        let qos = |qos: &u8| QoS::from_byte(*qos).expect(VALID);
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
                let topic = Topic::new(topic).expect(VALID);
                let publish = Publish { topic, payload, delivery, dup: *dup, retain: *retain };
                (Some(Outbound::Publish(publish)), Some(server::Outbound::Publish(publish)))
            }
            Self::PubAck(it) => (Some(Outbound::PubAck(id(it))), Some(server::Outbound::PubAck(id(it)))),
            Self::PubRec(it) => (Some(Outbound::PubRec(id(it))), Some(server::Outbound::PubRec(id(it)))),
            Self::PubRel(it) => (Some(Outbound::PubRel(id(it))), Some(server::Outbound::PubRel(id(it)))),
            Self::PubComp(it) => (Some(Outbound::PubComp(id(it))), Some(server::Outbound::PubComp(id(it)))),
            Self::SubAck(it, codes) => {
                let codes = ReturnCodes::new(codes).expect(VALID);
                (None, Some(server::Outbound::SubAck(SubAck { id: id(it), codes })))
            }
            Self::UnsubAck(it) => (None, Some(server::Outbound::UnsubAck(id(it)))),
            Self::PingResp => (None, Some(server::Outbound::PingResp)),
            Self::Connect(it) => {
                let mut connect = Connect::new(ClientId::new(&it.client_id).expect(VALID), it.keep_alive);
                connect.clean_session = it.clean_session;
                connect.will = it.will.as_ref().map(|(topic, payload, will_qos, retain)| Will {
                    topic: Topic::new(topic).expect(VALID),
                    payload,
                    qos: qos(will_qos),
                    retain: *retain,
                });
                connect.login = it.login.as_ref().map(|(user_name, password)| Login {
                    user_name: Text::new(user_name).expect(VALID),
                    password: password.as_deref(),
                });
                (Some(Outbound::Connect(connect)), None)
            }
            Self::Subscribe(it, filters) => {
                let filters: Vec<_> = filters
                    .iter()
                    .map(|(filter, wanted)| (Filter::new(filter).expect(VALID), qos(wanted)))
                    .collect();
                Outbound::Subscribe { id: id(it), filters: &filters }.encode(&mut out).expect(VALID);
                return out.split_off(1);
            }
            Self::Unsubscribe(it, filters) => {
                let filters: Vec<_> =
                    filters.iter().map(|filter| Filter::new(filter).expect(VALID)).collect();
                Outbound::Unsubscribe { id: id(it), filters: &filters }.encode(&mut out).expect(VALID);
                return out.split_off(1);
            }
            Self::PingReq => (Some(Outbound::PingReq), None),
            Self::Disconnect => (Some(Outbound::Disconnect), None),
        };
        let mut mirrored = vec![0xee];
        if let Some(packet) = from_client {
            packet.encode(&mut out).expect(VALID);
        }
        if let Some(packet) = from_server {
            packet.encode(&mut mirrored).expect(VALID);
        }
        if from_client.is_some() && from_server.is_some() {
            assert_eq!(out, mirrored);
        }
        if from_client.is_some() { out.split_off(1) } else { mirrored.split_off(1) }
    }

    /// True if a server sends such packets.
    #[must_use]
    pub fn is_from_server(&self) -> bool {
        !matches!(
            self,
            Self::Connect(_) | Self::Subscribe(..) | Self::Unsubscribe(..) | Self::PingReq | Self::Disconnect
        )
    }

    /// True if a client sends such packets.
    #[must_use]
    pub fn is_from_client(&self) -> bool {
        !matches!(self, Self::ConnAck { .. } | Self::SubAck(..) | Self::UnsubAck(_) | Self::PingResp)
    }
}

impl From<Inbound<'_>> for Packet {
    fn from(packet: Inbound<'_>) -> Self {
        match packet {
            Inbound::ConnAck(ConnAck::Accepted { session_present }) => {
                Self::ConnAck { session_present, code: 0 }
            }
            Inbound::ConnAck(ConnAck::Refused(refusal)) => {
                Self::ConnAck { session_present: false, code: refusal.to_byte() }
            }
            Inbound::Publish(it) => it.into(),
            Inbound::PubAck(id) => Self::PubAck(id.get()),
            Inbound::PubRec(id) => Self::PubRec(id.get()),
            Inbound::PubRel(id) => Self::PubRel(id.get()),
            Inbound::PubComp(id) => Self::PubComp(id.get()),
            Inbound::SubAck(it) => {
                Self::SubAck(it.id.get(), it.codes.iter().map(|code| code.to_byte()).collect())
            }
            Inbound::UnsubAck(id) => Self::UnsubAck(id.get()),
            Inbound::PingResp => Self::PingResp,
        }
    }
}

impl From<server::Inbound<'_>> for Packet {
    fn from(packet: server::Inbound<'_>) -> Self {
        match packet {
            server::Inbound::Connect(it) => Self::Connect(ConnectFields {
                client_id: it.client_id.as_str().into(),
                keep_alive: it.keep_alive,
                clean_session: it.clean_session,
                will: it.will.map(|will| {
                    (will.topic.as_str().into(), will.payload.into(), will.qos.to_byte(), will.retain)
                }),
                login: it.login.map(|login| (login.user_name.as_str().into(), login.password.map(Vec::from))),
            }),
            server::Inbound::Publish(it) => it.into(),
            server::Inbound::PubAck(id) => Self::PubAck(id.get()),
            server::Inbound::PubRec(id) => Self::PubRec(id.get()),
            server::Inbound::PubRel(id) => Self::PubRel(id.get()),
            server::Inbound::PubComp(id) => Self::PubComp(id.get()),
            server::Inbound::Subscribe(it) => Self::Subscribe(
                it.id.get(),
                it.filters().map(|(filter, qos)| (filter.as_str().into(), qos.to_byte())).collect(),
            ),
            server::Inbound::Unsubscribe(it) => {
                Self::Unsubscribe(it.id.get(), it.filters().map(|filter| filter.as_str().into()).collect())
            }
            server::Inbound::PingReq => Self::PingReq,
            server::Inbound::Disconnect => Self::Disconnect,
        }
    }
}

impl From<Publish<'_>> for Packet {
    fn from(it: Publish<'_>) -> Self {
        Self::Publish {
            topic: it.topic.as_str().into(),
            payload: it.payload.into(),
            qos: it.delivery.qos().to_byte(),
            id: it.delivery.id().map(PacketId::get),
            dup: it.dup,
            retain: it.retain,
        }
    }
}
