//! Errors: received bytes that are not MQTT, and packets that must not be written.

use core::fmt;

use crate::text::InvalidText;

/// Rule that received bytes break. Caused by the peer, and not recoverable: close the connection \[MQTT-4.8.0-1\].
// In the result of a decoder, this alignment keeps its bytes from overlapping the packet id, which the compiler would otherwise
// pass on byte by byte.
#[repr(align(4))]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DecodeError {
    /// Packet type 0 or 15 (2.2.1).
    ReservedPacketType,
    /// A packet that is never sent in this direction, such as a CONNECT to a client (2.2.1).
    WrongDirection,
    /// The low four bits of the first byte are not those reserved for the packet type.
    ReservedFlags,
    /// Both QoS bits of a PUBLISH are set.
    QosThree,
    /// DUP is set on a PUBLISH with QoS 0; see [`DecodeOptions::tolerate_dup_at_most_once`](crate::DecodeOptions::tolerate_dup_at_most_once).
    DupAtMostOnce,
    /// The remaining length has more than four bytes (2.2.3).
    RemainingLength,
    /// The packet is larger than the caller's limit, see [`DecodeOptions`](crate::DecodeOptions).
    OverLimit,
    /// A packet id of 0.
    ZeroPacketId,
    /// A field runs past the end of its packet.
    Truncated,
    /// Bytes are left over after the last field.
    TrailingBytes,
    /// A string, topic or filter violates a rule of its type.
    Text(InvalidText),
    /// Bits 7 to 1 of the CONNACK flags are not 0 (3.2.2.1).
    ConnAckFlags,
    /// A CONNACK return code above 5 (3.2.2.3).
    ConnAckCode,
    /// A CONNACK that refuses the connection but reports a present session.
    SessionPresentOnRefusal,
    /// A SUBACK return code other than 0, 1, 2 and 128.
    SubAckCode,
    /// A SUBACK without a return code; there is one for each requested filter.
    SubAckWithoutCodes,
    /// A SUBSCRIBE without a filter.
    SubscribeWithoutFilters,
    /// An UNSUBSCRIBE without a filter.
    UnsubscribeWithoutFilters,
    /// A SUBSCRIBE whose requested QoS byte is not 0, 1 or 2.
    SubscribeQos,
    /// The protocol name of a CONNECT is not `MQTT`.
    ProtocolName,
    /// The protocol level of a CONNECT is not 4. A server answers [`ConnectRefusal::ProtocolLevel`](crate::ConnectRefusal)
    /// and closes.
    ProtocolLevel(u8),
    /// The reserved bit of the CONNECT flags is set.
    ConnectReservedFlag,
    /// A CONNECT without a will that sets a will QoS.
    WillQosWithoutWill,
    /// A CONNECT with will QoS 3.
    WillQosThree,
    /// A CONNECT without a will that sets will retain.
    WillRetainWithoutWill,
    /// A CONNECT with a password and no user name.
    PasswordWithoutUserName,
}

impl DecodeError {
    /// Identifier of the violated normative statement, such as `MQTT-2.2.2-2`. Rules that the standard states in a table
    /// or in prose without a mark fall under `MQTT-4.8.0-1`. `None` only for [`OverLimit`](Self::OverLimit).
    #[must_use]
    pub const fn rule(self) -> Option<&'static str> {
        Some(match self {
            Self::ReservedPacketType
            | Self::WrongDirection
            | Self::RemainingLength
            | Self::Truncated
            | Self::TrailingBytes
            | Self::ConnAckFlags
            | Self::ConnAckCode
            | Self::SubAckWithoutCodes => "MQTT-4.8.0-1",
            Self::ReservedFlags => "MQTT-2.2.2-2",
            Self::QosThree => "MQTT-3.3.1-4",
            Self::DupAtMostOnce => "MQTT-3.3.1-2",
            Self::OverLimit => return None,
            Self::ZeroPacketId => "MQTT-2.3.1-1",
            Self::Text(text) => text.rule(),
            Self::SessionPresentOnRefusal => "MQTT-3.2.2-4",
            Self::SubAckCode => "MQTT-3.9.3-2",
            Self::SubscribeWithoutFilters => "MQTT-3.8.3-3",
            Self::UnsubscribeWithoutFilters => "MQTT-3.10.3-2",
            Self::SubscribeQos => "MQTT-3.8.3-4",
            Self::ProtocolName => "MQTT-3.1.2-1",
            Self::ProtocolLevel(_) => "MQTT-3.1.2-2",
            Self::ConnectReservedFlag => "MQTT-3.1.2-3",
            Self::WillQosWithoutWill => "MQTT-3.1.2-13",
            Self::WillQosThree => "MQTT-3.1.2-14",
            Self::WillRetainWithoutWill => "MQTT-3.1.2-15",
            Self::PasswordWithoutUserName => "MQTT-3.1.2-22",
        })
    }
}

impl From<InvalidText> for DecodeError {
    fn from(text: InvalidText) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::ReservedPacketType => "reserved packet type",
            Self::WrongDirection => "packet type is never sent in this direction",
            Self::ReservedFlags => "wrong reserved flags in the first byte",
            Self::QosThree => "publish with both qos bits set",
            Self::DupAtMostOnce => "publish with dup set at qos 0",
            Self::RemainingLength => "remaining length has more than four bytes",
            Self::OverLimit => return f.write_str("packet larger than the limit"),
            Self::ZeroPacketId => "packet id 0",
            Self::Truncated => "field runs past the end of its packet",
            Self::TrailingBytes => "bytes left over after the last field",
            Self::Text(text) => return text.fmt(f),
            Self::ConnAckFlags => "reserved flag set in connack",
            Self::ConnAckCode => "reserved return code in connack",
            Self::SessionPresentOnRefusal => "connack refuses the connection but reports a present session",
            Self::SubAckCode => "reserved return code in suback",
            Self::SubAckWithoutCodes => "suback without return codes",
            Self::SubscribeWithoutFilters => "subscribe without filters",
            Self::UnsubscribeWithoutFilters => "unsubscribe without filters",
            Self::SubscribeQos => "requested qos is not 0, 1 or 2",
            Self::ProtocolName => "protocol name is not MQTT",
            Self::ProtocolLevel(level) => {
                return write!(f, "protocol level {level} is not 4 [MQTT-3.1.2-2]");
            }
            Self::ConnectReservedFlag => "reserved connect flag set",
            Self::WillQosWithoutWill => "will qos without a will",
            Self::WillQosThree => "will qos 3",
            Self::WillRetainWithoutWill => "will retain without a will",
            Self::PasswordWithoutUserName => "password without a user name",
        };
        f.write_str(what)?;
        self.rule().map_or(Ok(()), |rule| write!(f, " [{rule}]"))
    }
}

impl core::error::Error for DecodeError {}

/// Reason why a packet cannot be built or written. Caused by the caller; nothing has been written.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EncodeError {
    /// The packet is longer than a remaining length of four bytes can express (2.2.3).
    PacketTooLong,
    /// The buffer is too small for the packet.
    BufferTooSmall {
        /// Length of the packet in bytes.
        needed: usize,
    },
    /// DUP on a PUBLISH with QoS 0 \[MQTT-3.3.1-2\].
    DupAtMostOnce,
    /// A SUBSCRIBE or UNSUBSCRIBE without a filter \[MQTT-3.8.3-3\] \[MQTT-3.10.3-2\].
    NoFilters,
    /// An empty client id without a clean session \[MQTT-3.1.3-7\].
    EmptyClientId,
    /// A password or will message of more than 65 535 bytes (3.1.3).
    FieldTooLong,
    /// A topic, filter or client id is not valid.
    Text(InvalidText),
    /// More filters in one packet than the [`BrokerLimits`](crate::BrokerLimits) allow.
    TooManyFilters {
        /// Largest number allowed.
        allowed: usize,
    },
    /// The payload is longer than the broker's limit.
    PayloadTooLong {
        /// Largest length allowed, in bytes.
        allowed: usize,
    },
    /// The topic or filter is longer than the broker's limit.
    TopicTooLong {
        /// Largest length allowed, in bytes.
        allowed: usize,
    },
    /// The topic or filter has more levels than the broker's limit.
    TopicTooDeep {
        /// Largest number of slashes allowed.
        allowed: usize,
    },
    /// The client id is longer than the broker's limit.
    ClientIdTooLong {
        /// Largest length allowed, in bytes.
        allowed: usize,
    },
    /// The broker does not support QoS 2.
    ExactlyOnce,
}

impl From<InvalidText> for EncodeError {
    fn from(text: InvalidText) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PacketTooLong => f.write_str("packet would be longer than 256 MiB"),
            Self::BufferTooSmall { needed } => write!(f, "buffer too small: {needed} bytes needed"),
            Self::DupAtMostOnce => f.write_str("dup must not be set at qos 0 [MQTT-3.3.1-2]"),
            Self::NoFilters => f.write_str("no filters: at least one is required [MQTT-3.8.3-3]"),
            Self::EmptyClientId => f.write_str("an empty client id requires a clean session [MQTT-3.1.3-7]"),
            Self::FieldTooLong => f.write_str("field longer than 65535 bytes"),
            Self::Text(text) => text.fmt(f),
            Self::TooManyFilters { allowed } => write!(f, "more than {allowed} filters in one packet"),
            Self::PayloadTooLong { allowed } => write!(f, "payload longer than {allowed} bytes"),
            Self::TopicTooLong { allowed } => write!(f, "topic longer than {allowed} bytes"),
            Self::TopicTooDeep { allowed } => write!(f, "topic with more than {allowed} slashes"),
            Self::ClientIdTooLong { allowed } => write!(f, "client id longer than {allowed} bytes"),
            Self::ExactlyOnce => f.write_str("qos 2 is not supported by the server"),
        }
    }
}

impl core::error::Error for EncodeError {}
