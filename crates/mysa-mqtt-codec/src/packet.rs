//! Types shared by several packets, and packets of constant bytes.

use core::fmt;
use core::num::NonZeroU16;

/// Packet id: number of a packet that expects an answer; never 0 \[MQTT-2.3.1-1\].
pub type PacketId = NonZeroU16;

/// Quality of service (4.3).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the standard has three and forbids a fourth")]
pub enum QoS {
    /// 0: at most once.
    AtMostOnce = 0,
    /// 1: at least once.
    AtLeastOnce = 1,
    /// 2: exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The number on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// `None` for anything but 0, 1 and 2.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::AtMostOnce,
            1 => Self::AtLeastOnce,
            2 => Self::ExactlyOnce,
            _ => return None,
        })
    }
}

impl From<QoS> for u8 {
    fn from(qos: QoS) -> Self {
        qos.to_byte()
    }
}

impl fmt::Display for QoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_byte().fmt(f)
    }
}

/// Complete PINGREQ packet.
pub const PINGREQ: [u8; 2] = [kind::PINGREQ << 4, 0];

/// Complete PINGRESP packet.
pub const PINGRESP: [u8; 2] = [kind::PINGRESP << 4, 0];

/// Complete DISCONNECT packet.
pub const DISCONNECT: [u8; 2] = [kind::DISCONNECT << 4, 0];

/// Complete PUBACK packet.
#[must_use]
pub const fn puback(id: PacketId) -> [u8; 4] {
    acknowledgement(kind::PUBACK << 4, id)
}

/// Complete PUBREC packet.
#[must_use]
pub const fn pubrec(id: PacketId) -> [u8; 4] {
    acknowledgement(kind::PUBREC << 4, id)
}

/// Complete PUBREL packet.
#[must_use]
pub const fn pubrel(id: PacketId) -> [u8; 4] {
    acknowledgement(kind::PUBREL << 4 | 2, id)
}

/// Complete PUBCOMP packet.
#[must_use]
pub const fn pubcomp(id: PacketId) -> [u8; 4] {
    acknowledgement(kind::PUBCOMP << 4, id)
}

/// Complete UNSUBACK packet.
#[must_use]
pub const fn unsuback(id: PacketId) -> [u8; 4] {
    acknowledgement(kind::UNSUBACK << 4, id)
}

const fn acknowledgement(first: u8, id: PacketId) -> [u8; 4] {
    let [high, low] = id.get().to_be_bytes();
    [first, 2, high, low]
}

/// Packet types (2.2.1), the upper half of the first byte.
pub(crate) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const CONNACK: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const SUBACK: u8 = 9;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const UNSUBACK: u8 = 11;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const PINGRESP: u8 = 13;
    pub(crate) const DISCONNECT: u8 = 14;
}
