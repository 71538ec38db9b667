//! Packets as a server sees them, for brokers and test stubs: the mirror of the crate root.
//!
//! ```
//! use mysa_mqtt_codec::server::{self, Inbound};
//! use mysa_mqtt_codec::{ConnAck, DISCONNECT, PINGREQ};
//!
//! let wire = [PINGREQ, DISCONNECT].concat();
//! let mut input = &wire[..];
//! assert_eq!(server::decode(&mut input, 64)?, Some(Inbound::PingReq));
//! assert_eq!(server::decode(&mut input, 64)?, Some(Inbound::Disconnect));
//!
//! let mut reply = Vec::new();
//! server::Outbound::ConnAck(ConnAck::Accepted { session_present: false }).encode(&mut reply)?;
//! assert_eq!(reply, [0x20, 2, 0, 0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::vec::Vec;
use core::fmt;

use crate::client::check_flags_and_length;
use crate::connect::{ConnAck, Connect};
use crate::error::{DecodeError, EncodeError};
use crate::filter::Filter;
use crate::frame::{self, Incoming};
use crate::options::DecodeOptions;
use crate::packet::{self, PacketId, QoS, kind};
use crate::publish::Publish;
use crate::read::{Fields, only_packet_id};
use crate::role::Server;
use crate::stream::PacketStream;
use crate::suback::SubAck;
use crate::write;

/// Packet that a client sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the standard has no others, and a server must handle each")]
pub enum Inbound<'a> {
    /// The first packet.
    Connect(Connect<'a>),
    /// A message.
    Publish(Publish<'a>),
    /// QoS 1 delivery is complete.
    PubAck(PacketId),
    /// First answer of QoS 2.
    PubRec(PacketId),
    /// Second step of QoS 2: the client releases the packet id.
    PubRel(PacketId),
    /// QoS 2 delivery is complete.
    PubComp(PacketId),
    /// Subscribes to filters.
    Subscribe(Subscribe<'a>),
    /// Unsubscribes from filters.
    Unsubscribe(Unsubscribe<'a>),
    /// Requests a PINGRESP.
    PingReq,
    /// The last packet.
    Disconnect,
}

/// Packet that a server sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the standard has no others")]
pub enum Outbound<'a> {
    /// Answer to CONNECT.
    ConnAck(ConnAck),
    /// A message.
    Publish(Publish<'a>),
    /// Answer to a PUBLISH with QoS 1.
    PubAck(PacketId),
    /// First answer to a PUBLISH with QoS 2.
    PubRec(PacketId),
    /// Answer to PUBREC.
    PubRel(PacketId),
    /// Answer to PUBREL.
    PubComp(PacketId),
    /// Answer to SUBSCRIBE.
    SubAck(SubAck<'a>),
    /// Answer to UNSUBSCRIBE.
    UnsubAck(PacketId),
    /// Answer to PINGREQ.
    PingResp,
}

/// Subscription request (3.8) with at least one valid filter.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Subscribe<'a> {
    /// Packet id, repeated by the SUBACK.
    pub id: PacketId,
    filters: &'a [u8],
}

impl<'a> Subscribe<'a> {
    /// Filters in order, each with the requested quality of service.
    pub fn filters(self) -> impl Iterator<Item = (Filter<'a>, QoS)> + use<'a> {
        let mut fields = Fields::new(self.filters);
        // Cannot fail: `decode` checked every filter.
        core::iter::from_fn(move || request(&mut fields).ok())
    }

    fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body);
        let id = fields.packet_id()?;
        let filters = fields.rest();
        if filters.is_empty() {
            return Err(DecodeError::SubscribeWithoutFilters);
        }
        while !fields.is_empty() {
            request(&mut fields)?;
        }
        Ok(Self { id, filters })
    }
}

impl fmt::Debug for Subscribe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscribe {{ id: {}, filters: ", self.id)?;
        f.debug_list().entries(self.filters()).finish()?;
        f.write_str(" }")
    }
}

/// Request to unsubscribe (3.10) with at least one valid filter.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Packet id, repeated by the UNSUBACK.
    pub id: PacketId,
    filters: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    /// Filters in order.
    pub fn filters(self) -> impl Iterator<Item = Filter<'a>> + use<'a> {
        let mut fields = Fields::new(self.filters);
        core::iter::from_fn(move || filter(&mut fields).ok())
    }

    fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body);
        let id = fields.packet_id()?;
        let filters = fields.rest();
        if filters.is_empty() {
            return Err(DecodeError::UnsubscribeWithoutFilters);
        }
        while !fields.is_empty() {
            filter(&mut fields)?;
        }
        Ok(Self { id, filters })
    }
}

impl fmt::Debug for Unsubscribe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unsubscribe {{ id: {}, filters: ", self.id)?;
        f.debug_list().entries(self.filters()).finish()?;
        f.write_str(" }")
    }
}

fn filter<'a>(fields: &mut Fields<'a>) -> Result<Filter<'a>, DecodeError> {
    Ok(Filter::from_wire(fields.prefixed()?)?)
}

fn request<'a>(fields: &mut Fields<'a>) -> Result<(Filter<'a>, QoS), DecodeError> {
    let filter = filter(fields)?;
    Ok((filter, QoS::from_byte(fields.byte()?).ok_or(DecodeError::SubscribeQos)?))
}

/// Decodes the first packet of a client's stream and removes it from `input`. `Ok(None)` if it is incomplete; `input` is
/// then unchanged.
///
/// # Errors
/// The rule broken. Further bytes cannot fix it: close the connection.
#[inline(always)]
pub fn decode<'a>(
    input: &mut &'a [u8],
    options: impl Into<DecodeOptions>,
) -> Result<Option<Inbound<'a>>, DecodeError> {
    frame::decode(input, options.into())
}

impl<'a> Incoming<'a> for Inbound<'a> {
    const FILLED: Self = Self::Publish(Publish::EMPTY);

    #[inline(always)]
    fn decode_fast(first: u8, body: &'a [u8], packet: &mut Self) -> Option<()> {
        match (first, body) {
            _ if Publish::has_kind(first) => *packet = Self::Publish(Publish::decode_fast(first, body)?),
            (0x40, &[high, low]) => *packet = Self::PubAck(PacketId::new(u16::from_be_bytes([high, low]))?),
            (0xc0, []) => *packet = Self::PingReq,
            _ => return None,
        }
        Some(())
    }

    #[inline(never)]
    fn decode(first: u8, body: &'a [u8], options: DecodeOptions) -> Result<Self, DecodeError> {
        Self::check_head(first, Some(body.len() as u32), options)?;
        match first >> 4 {
            kind::CONNECT => Connect::decode(body).map(Self::Connect),
            kind::PUBLISH => Publish::decode(first, body).map(Self::Publish),
            kind::PUBACK => only_packet_id(body).map(Self::PubAck),
            kind::PUBREC => only_packet_id(body).map(Self::PubRec),
            kind::PUBREL => only_packet_id(body).map(Self::PubRel),
            kind::PUBCOMP => only_packet_id(body).map(Self::PubComp),
            kind::SUBSCRIBE => Subscribe::decode(body).map(Self::Subscribe),
            kind::UNSUBSCRIBE => Unsubscribe::decode(body).map(Self::Unsubscribe),
            kind::PINGREQ => Ok(Self::PingReq),
            _ => Ok(Self::Disconnect),
        }
    }

    fn check_head(first: u8, remaining: Option<u32>, options: DecodeOptions) -> Result<(), DecodeError> {
        let fixed = match first >> 4 {
            0 | 15 => return Err(DecodeError::ReservedPacketType),
            kind::PUBLISH => return Publish::check_first(first, options),
            kind::CONNACK | kind::SUBACK | kind::UNSUBACK | kind::PINGRESP => {
                return Err(DecodeError::WrongDirection);
            }
            kind::CONNECT | kind::SUBSCRIBE | kind::UNSUBSCRIBE => None,
            kind::PINGREQ | kind::DISCONNECT => Some(0),
            _ => Some(2),
        };
        check_flags_and_length(first, fixed, remaining)
    }
}

impl Outbound<'_> {
    /// Length of the packet in bytes.
    ///
    /// # Errors
    /// The rule that the packet breaks.
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        match self {
            Self::Publish(publish) => write::len(publish),
            Self::SubAck(suback) => write::len(suback),
            Self::PingResp => Ok(2),
            _ => Ok(4),
        }
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// The rule that the packet breaks; `out` is unchanged.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Publish(publish) => return write::append(publish, out),
            Self::SubAck(suback) => return write::append(suback, out),
            Self::PingResp => out.extend_from_slice(&packet::PINGRESP),
            Self::ConnAck(connack) => out.extend_from_slice(&connack.to_bytes()),
            Self::PubAck(id) => out.extend_from_slice(&packet::puback(*id)),
            Self::PubRec(id) => out.extend_from_slice(&packet::pubrec(*id)),
            Self::PubRel(id) => out.extend_from_slice(&packet::pubrel(*id)),
            Self::PubComp(id) => out.extend_from_slice(&packet::pubcomp(*id)),
            Self::UnsubAck(id) => out.extend_from_slice(&packet::unsuback(*id)),
        }
        Ok(())
    }
}

/// Incremental decoder for what clients send.
pub type Stream = PacketStream<Server>;
