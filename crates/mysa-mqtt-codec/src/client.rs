//! Packets as a client sees them: inbound from a server, outbound to it.

use alloc::vec::Vec;

use crate::connect::{ConnAck, Connect};
use crate::error::{DecodeError, EncodeError};
use crate::filter::Filter;
use crate::frame::{self, Incoming};
use crate::options::DecodeOptions;
use crate::packet::{self, PacketId, QoS, kind};
use crate::publish::Publish;
use crate::read::only_packet_id;
use crate::role::Client;
use crate::stream::PacketStream;
use crate::suback::SubAck;
use crate::write::{self, Packet, Sink};

/// Packet that a server sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the standard has no others, and a client must handle each")]
pub enum Inbound<'a> {
    /// Answer to CONNECT.
    ConnAck(ConnAck),
    /// A message.
    Publish(Publish<'a>),
    /// QoS 1 delivery is complete.
    PubAck(PacketId),
    /// First answer of QoS 2.
    PubRec(PacketId),
    /// Second step of QoS 2: the server releases the packet id.
    PubRel(PacketId),
    /// QoS 2 delivery is complete.
    PubComp(PacketId),
    /// Answer to SUBSCRIBE.
    SubAck(SubAck<'a>),
    /// Answer to UNSUBSCRIBE.
    UnsubAck(PacketId),
    /// Answer to PINGREQ.
    PingResp,
}

/// Packet that a client sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the standard has no others")]
pub enum Outbound<'a> {
    /// The first packet.
    Connect(Connect<'a>),
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
    /// Subscribes to filters.
    Subscribe {
        /// Repeated by the SUBACK.
        id: PacketId,
        /// At least one filter, each with the requested quality of service.
        filters: &'a [(Filter<'a>, QoS)],
    },
    /// Unsubscribes from filters.
    Unsubscribe {
        /// Repeated by the UNSUBACK.
        id: PacketId,
        /// At least one filter.
        filters: &'a [Filter<'a>],
    },
    /// Requests a PINGRESP.
    PingReq,
    /// The last packet.
    Disconnect,
}

/// Incremental decoder for what servers send.
pub type Stream = PacketStream<Client>;

/// Decodes the first packet of a server's stream and removes it from `input`. `Ok(None)` if it is incomplete; `input` is
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
            (0xd0, []) => *packet = Self::PingResp,
            _ => return None,
        }
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn decode(first: u8, body: &'a [u8], options: DecodeOptions) -> Result<Self, DecodeError> {
        // Check the length before the fields: a packet in pieces must give the same error as a whole one.
        Self::check_head(first, Some(body.len() as u32), options)?;
        match first >> 4 {
            kind::CONNACK => ConnAck::decode(body).map(Self::ConnAck),
            kind::PUBLISH => Publish::decode(first, body).map(Self::Publish),
            kind::PUBACK => only_packet_id(body).map(Self::PubAck),
            kind::PUBREC => only_packet_id(body).map(Self::PubRec),
            kind::PUBREL => only_packet_id(body).map(Self::PubRel),
            kind::PUBCOMP => only_packet_id(body).map(Self::PubComp),
            kind::SUBACK => SubAck::decode(body).map(Self::SubAck),
            kind::UNSUBACK => only_packet_id(body).map(Self::UnsubAck),
            _ => Ok(Self::PingResp),
        }
    }

    fn check_head(first: u8, remaining: Option<u32>, options: DecodeOptions) -> Result<(), DecodeError> {
        let fixed = match first >> 4 {
            0 | 15 => return Err(DecodeError::ReservedPacketType),
            kind::PUBLISH => return Publish::check_first(first, options),
            kind::CONNECT | kind::SUBSCRIBE | kind::UNSUBSCRIBE | kind::PINGREQ | kind::DISCONNECT => {
                return Err(DecodeError::WrongDirection);
            }
            kind::SUBACK => None,
            kind::PINGRESP => Some(0),
            _ => Some(2),
        };
        check_flags_and_length(first, fixed, remaining)
    }
}

/// Checks the reserved flags of every packet except PUBLISH, and the length of packets of a fixed size.
pub(crate) fn check_flags_and_length(
    first: u8,
    fixed: Option<u32>,
    remaining: Option<u32>,
) -> Result<(), DecodeError> {
    let flags = if matches!(first >> 4, kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE) { 2 } else { 0 };
    if first & 0xf != flags {
        return Err(DecodeError::ReservedFlags);
    }
    match (fixed, remaining) {
        (Some(fixed), Some(remaining)) if remaining > fixed => Err(DecodeError::TrailingBytes),
        (Some(fixed), Some(remaining)) if remaining < fixed => Err(DecodeError::Truncated),
        _ => Ok(()),
    }
}

impl Outbound<'_> {
    /// Length of the packet in bytes.
    ///
    /// # Errors
    /// The rule that the packet breaks.
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        match self {
            Self::Connect(connect) => write::len(connect),
            Self::Publish(publish) => write::len(publish),
            Self::Subscribe { id, filters } => write::len(&Subscribe { id: *id, filters }),
            Self::Unsubscribe { id, filters } => write::len(&Unsubscribe { id: *id, filters }),
            Self::PubAck(_) | Self::PubRec(_) | Self::PubRel(_) | Self::PubComp(_) => Ok(4),
            Self::PingReq | Self::Disconnect => Ok(2),
        }
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// The rule that the packet breaks; `out` is unchanged.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Connect(connect) => return write::append(connect, out),
            Self::Publish(publish) => return write::append(publish, out),
            Self::Subscribe { id, filters } => return write::append(&Subscribe { id: *id, filters }, out),
            Self::Unsubscribe { id, filters } => {
                return write::append(&Unsubscribe { id: *id, filters }, out);
            }
            Self::PubAck(id) => out.extend_from_slice(&packet::puback(*id)),
            Self::PubRec(id) => out.extend_from_slice(&packet::pubrec(*id)),
            Self::PubRel(id) => out.extend_from_slice(&packet::pubrel(*id)),
            Self::PubComp(id) => out.extend_from_slice(&packet::pubcomp(*id)),
            Self::PingReq => out.extend_from_slice(&packet::PINGREQ),
            Self::Disconnect => out.extend_from_slice(&packet::DISCONNECT),
        }
        Ok(())
    }

    /// Writes the packet to the front of `out` and returns its length.
    ///
    /// # Errors
    /// The rule that the packet breaks, or [`EncodeError::BufferTooSmall`]; `out` is unchanged.
    pub fn encode_into(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        match self {
            Self::Connect(connect) => write::fill(connect, out),
            Self::Publish(publish) => write::fill(publish, out),
            Self::Subscribe { id, filters } => write::fill(&Subscribe { id: *id, filters }, out),
            Self::Unsubscribe { id, filters } => write::fill(&Unsubscribe { id: *id, filters }, out),
            Self::PubAck(id) => write::copy(&packet::puback(*id), out),
            Self::PubRec(id) => write::copy(&packet::pubrec(*id), out),
            Self::PubRel(id) => write::copy(&packet::pubrel(*id), out),
            Self::PubComp(id) => write::copy(&packet::pubcomp(*id), out),
            Self::PingReq => write::copy(&packet::PINGREQ, out),
            Self::Disconnect => write::copy(&packet::DISCONNECT, out),
        }
    }
}

struct Subscribe<'a> {
    id: PacketId,
    filters: &'a [(Filter<'a>, QoS)],
}

impl Packet for Subscribe<'_> {
    fn first(&self) -> u8 {
        kind::SUBSCRIBE << 4 | 2
    }

    fn body_len(&self) -> Result<usize, EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::NoFilters);
        }
        Ok(self
            .filters
            .iter()
            .fold(2, |sum: usize, (filter, _)| sum.saturating_add(filter.as_str().len() + 3)))
    }

    fn write_body(&self, out: &mut impl Sink) {
        out.put_array(self.id.get().to_be_bytes());
        for (filter, qos) in self.filters {
            write::prefixed(filter.as_str().as_bytes(), out);
            out.put_array([qos.to_byte()]);
        }
    }
}

struct Unsubscribe<'a> {
    id: PacketId,
    filters: &'a [Filter<'a>],
}

impl Packet for Unsubscribe<'_> {
    fn first(&self) -> u8 {
        kind::UNSUBSCRIBE << 4 | 2
    }

    fn body_len(&self) -> Result<usize, EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::NoFilters);
        }
        Ok(self.filters.iter().fold(2, |sum: usize, filter| sum.saturating_add(filter.as_str().len() + 2)))
    }

    fn write_body(&self, out: &mut impl Sink) {
        out.put_array(self.id.get().to_be_bytes());
        for filter in self.filters {
            write::prefixed(filter.as_str().as_bytes(), out);
        }
    }
}

/// A packet is copied whenever it is passed on, so its size is a cost of every call.
const _: () = assert!(size_of::<usize>() != 8 || size_of::<Inbound<'_>>() == 40);
