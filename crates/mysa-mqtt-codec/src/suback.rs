//! SUBACK: the result of each requested filter.

use core::fmt;

use crate::error::{DecodeError, EncodeError};
use crate::packet::{PacketId, QoS, kind};
use crate::read::Fields;
use crate::write::{Packet, Sink};

/// Answer to a SUBSCRIBE (3.9).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SubAck<'a> {
    /// Packet id of the SUBSCRIBE.
    pub id: PacketId,
    /// One code for each filter, in the order of the SUBSCRIBE \[MQTT-3.8.4-5\]. The caller compares the numbers: fewer or
    /// more codes than filters are a protocol error.
    pub codes: ReturnCodes<'a>,
}

impl<'a> SubAck<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body);
        let id = fields.packet_id()?;
        Ok(Self { id, codes: ReturnCodes::new(fields.rest())? })
    }
}

impl Packet for SubAck<'_> {
    fn first(&self) -> u8 {
        kind::SUBACK << 4
    }

    fn body_len(&self) -> Result<usize, EncodeError> {
        Ok(self.codes.len().saturating_add(2))
    }

    fn write_body(&self, out: &mut impl Sink) {
        out.put_array(self.id.get().to_be_bytes());
        out.put(self.codes.as_bytes());
    }
}

/// Return codes of a SUBACK: at least one, each valid \[MQTT-3.9.3-2\].
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct ReturnCodes<'a>(&'a [u8]);

impl<'a> ReturnCodes<'a> {
    /// Checks codes given as bytes, see [`SubscribeReturn::to_byte`].
    ///
    /// # Errors
    /// [`DecodeError::SubAckWithoutCodes`] or [`DecodeError::SubAckCode`].
    pub fn new(codes: &'a [u8]) -> Result<Self, DecodeError> {
        if codes.is_empty() {
            return Err(DecodeError::SubAckWithoutCodes);
        }
        if codes.iter().any(|&code| SubscribeReturn::from_byte(code).is_none()) {
            return Err(DecodeError::SubAckCode);
        }
        Ok(Self(codes))
    }

    /// Codes as on the wire.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Number of codes; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Codes in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = SubscribeReturn> + use<'a> {
        self.0.iter().map(|&code| SubscribeReturn::from_byte(code).unwrap_or(SubscribeReturn::Failure))
    }
}

impl fmt::Debug for ReturnCodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Result of one filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the standard reserves all other codes")]
pub enum SubscribeReturn {
    /// Subscribed with this maximum quality of service, which may be lower than requested \[MQTT-3.8.4-6\].
    Granted(QoS),
    /// Not subscribed (0x80).
    Failure,
}

impl SubscribeReturn {
    /// The code on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Granted(qos) => qos.to_byte(),
            Self::Failure => 0x80,
        }
    }

    /// `None` for a reserved code.
    #[must_use]
    pub const fn from_byte(code: u8) -> Option<Self> {
        match (code, QoS::from_byte(code)) {
            (0x80, _) => Some(Self::Failure),
            (_, Some(qos)) => Some(Self::Granted(qos)),
            (_, None) => None,
        }
    }
}
