//! PUBLISH, the same in both directions.

use alloc::vec::Vec;

use crate::error::{DecodeError, EncodeError};
use crate::options::DecodeOptions;
use crate::packet::{PacketId, QoS, kind};
use crate::read::Fields;
use crate::topic::{Topic, USUAL_LEN};
use crate::write::{self, Packet, Sink};

/// Application message (3.3).
// In this order, the packet id of a PUBLISH and that of the other packets of an enum have the same place in memory, and no
// variant overlaps part of a pointer. Otherwise the fields are stored in pieces and loaded whole, which stalls the processor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Publish<'a> {
    /// Quality of service, with the packet id if there is one.
    pub delivery: Delivery,
    /// True if it may have been sent before. Never with QoS 0 \[MQTT-3.3.1-2\].
    pub dup: bool,
    /// From a client: retain it for later subscribers. From a server: it was retained.
    pub retain: bool,
    /// Topic it is published to.
    pub topic: Topic<'a>,
    /// Payload: any bytes, possibly none.
    pub payload: &'a [u8],
}

/// Quality of service of a message. A packet id exists exactly if it is above 0 \[MQTT-2.3.1-5\].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the standard has three and forbids a fourth")]
pub enum Delivery {
    /// QoS 0: not acknowledged.
    AtMostOnce,
    /// QoS 1: acknowledged by PUBACK.
    AtLeastOnce(PacketId),
    /// QoS 2: acknowledged by PUBREC.
    ExactlyOnce(PacketId),
}

impl Delivery {
    /// The quality of service.
    #[must_use]
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce(_) => QoS::AtLeastOnce,
            Self::ExactlyOnce(_) => QoS::ExactlyOnce,
        }
    }

    /// The packet id, if there is one.
    #[must_use]
    pub const fn id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce(id) | Self::ExactlyOnce(id) => Some(id),
        }
    }

    #[inline(always)]
    fn read(first: u8, fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        Ok(match first & QOS {
            0 => Self::AtMostOnce,
            0b010 => Self::AtLeastOnce(fields.packet_id()?),
            _ => Self::ExactlyOnce(fields.packet_id()?),
        })
    }
}

impl<'a> Publish<'a> {
    /// Placeholder of no meaning.
    pub(crate) const EMPTY: Self = Self::new(Topic::EMPTY, &[], Delivery::AtMostOnce);

    /// A message sent for the first time and not retained.
    #[must_use]
    pub const fn new(topic: Topic<'a>, payload: &'a [u8], delivery: Delivery) -> Self {
        Self { topic, payload, delivery, dup: false, retain: false }
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`EncodeError::DupAtMostOnce`] or [`EncodeError::PacketTooLong`]; `out` is unchanged.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write::append(self, out)
    }

    /// Writes the packet to the front of `out` and returns its length.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and [`EncodeError::BufferTooSmall`]; `out` is unchanged.
    #[inline]
    pub fn encode_into(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        write::fill(self, out)
    }

    /// Fast path for the first byte of a PUBLISH: `None` if the packet needs the full check.
    #[inline(always)]
    pub(crate) fn decode_fast(first: u8, body: &'a [u8]) -> Option<Self> {
        let (topic, fields) = if let Some((&[high, low, ref name @ ..], fields)) =
            body.split_first_chunk::<{ 2 + USUAL_LEN }>()
            && u16::from_be_bytes([high, low]) == USUAL_LEN as u16
            && let Some(topic) = Topic::from_usual(name)
        {
            (topic, fields)
        } else {
            let (length, fields) = body.split_first_chunk()?;
            let (name, fields) = fields.split_at_checked(u16::from_be_bytes(*length).into())?;
            (Topic::from_wire_fast(name)?, fields)
        };
        let (delivery, payload) = match first & QOS {
            0 if first & DUP == 0 => (Delivery::AtMostOnce, fields),
            0b010 => {
                let (id, payload) = split_packet_id(fields)?;
                (Delivery::AtLeastOnce(id), payload)
            }
            0b100 => {
                let (id, payload) = split_packet_id(fields)?;
                (Delivery::ExactlyOnce(id), payload)
            }
            _ => return None,
        };
        Some(Self::with(first, topic, delivery, payload))
    }

    /// The first byte has been checked.
    pub(crate) fn decode(first: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body);
        let topic = Topic::from_bytes(fields.prefixed()?)?;
        Ok(Self::with(first, topic, Delivery::read(first, &mut fields)?, fields.rest()))
    }

    #[inline(always)]
    const fn with(first: u8, topic: Topic<'a>, delivery: Delivery, payload: &'a [u8]) -> Self {
        Self { topic, payload, delivery, dup: first & DUP != 0, retain: first & RETAIN != 0 }
    }

    /// True if this is the first byte of a PUBLISH, valid or not. Its flags are what the comparison leaves over, so that a
    /// check of them costs little.
    #[inline(always)]
    pub(crate) const fn has_kind(first: u8) -> bool {
        first ^ kind::PUBLISH << 4 < 16
    }

    /// True if this is a valid first byte of a PUBLISH under strict options.
    #[inline(always)]
    pub(crate) const fn is_first(first: u8) -> bool {
        Self::has_kind(first) && VALID_FLAGS >> (first ^ kind::PUBLISH << 4) & 1 != 0
    }

    /// Checks the first byte of a PUBLISH.
    #[inline(always)]
    pub(crate) fn check_first(first: u8, options: DecodeOptions) -> Result<(), DecodeError> {
        match first & QOS {
            QOS => Err(DecodeError::QosThree),
            0 if first & DUP != 0 && !options.dup_at_most_once => Err(DecodeError::DupAtMostOnce),
            _ => Ok(()),
        }
    }
}

impl Packet for Publish<'_> {
    #[inline(always)]
    fn first(&self) -> u8 {
        kind::PUBLISH << 4
            | if self.dup { DUP } else { 0 }
            | self.delivery.qos().to_byte() << 1
            | u8::from(self.retain)
    }

    #[inline(always)]
    fn body_len(&self) -> Result<usize, EncodeError> {
        let id = match self.delivery {
            Delivery::AtMostOnce if self.dup => return Err(EncodeError::DupAtMostOnce),
            Delivery::AtMostOnce => 0,
            Delivery::AtLeastOnce(_) | Delivery::ExactlyOnce(_) => 2,
        };
        // A slice is never longer than half the address space, so this cannot wrap on 64 bits; on 32 it saturates.
        Ok((2 + id + self.topic.as_bytes().len()).saturating_add(self.payload.len()))
    }

    #[inline(always)]
    fn write_body(&self, out: &mut impl Sink) {
        write::prefixed(self.topic.as_bytes(), out);
        if let Some(id) = self.delivery.id() {
            out.put_array(id.get().to_be_bytes());
        }
        out.put(self.payload);
    }
}

#[inline(always)]
fn split_packet_id(fields: &[u8]) -> Option<(PacketId, &[u8])> {
    let (id, payload) = fields.split_first_chunk()?;
    Some((PacketId::new(u16::from_be_bytes(*id))?, payload))
}

const DUP: u8 = 0b1000;
const QOS: u8 = 0b0110;
const RETAIN: u8 = 0b0001;
/// Bit `n` is set if `n` is valid as the low half of the first byte: neither QoS 3 nor DUP with QoS 0.
const VALID_FLAGS: u32 = 0b0011_1100_0011_1111;

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn the_fast_path_decodes_what_the_full_check_accepts_and_nothing_else() {
        for first in 0x30..=0x3f {
            for length in 0..=33_u8 {
                for last in *b"a\0+#$\x80" {
                    let mut body = std::vec![b'a'; 2 + usize::from(length)];
                    body[..2].copy_from_slice(&[0, length]);
                    *body.last_mut().unwrap() = last;
                    for rest in [&[][..], &[1], &[0, 0], &[0, 1], &[1, 0, b'{', b'}']] {
                        let body = [&body, rest].concat();
                        let full = Publish::check_first(first, DecodeOptions::new(0))
                            .and_then(|()| Publish::decode(first, &body));
                        assert_eq!(Publish::decode_fast(first, &body), full.ok(), "{first:x} {body:?}");
                    }
                }
            }
        }
    }
}
