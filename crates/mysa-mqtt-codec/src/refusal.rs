//! Why a packet is not built or written.

use core::fmt;

use crate::text::InvalidText;

/// A packet the caller asked for that must not be sent. Nothing has been written. The fault is the caller's.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Refusal {
    /// The packet would be longer than four length bytes can say (2.2.3).
    PacketTooLong,
    /// The buffer given has no room for the packet.
    BufferTooSmall {
        /// Bytes the packet takes.
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
    /// The profile allows fewer filters in one packet.
    TooManyFilters {
        /// How many it allows.
        allowed: usize,
    },
    /// The profile allows only shorter payloads.
    PayloadTooLong {
        /// How many bytes it allows.
        allowed: usize,
    },
    /// The profile allows only shorter topics and filters.
    TopicTooLong {
        /// How many bytes it allows.
        allowed: usize,
    },
    /// The profile allows fewer levels in topics and filters.
    TopicTooDeep {
        /// How many slashes it allows.
        allowed: usize,
    },
    /// The profile allows only shorter client ids.
    ClientIdTooLong {
        /// How many bytes it allows.
        allowed: usize,
    },
    /// The profile has no QoS 2.
    ExactlyOnce,
}

impl From<InvalidText> for Refusal {
    fn from(text: InvalidText) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PacketTooLong => f.write_str("packet would be longer than 256 MiB"),
            Self::BufferTooSmall { needed } => write!(f, "buffer too small, {needed} bytes needed"),
            Self::DupAtMostOnce => f.write_str("dup must not be set at qos 0 [MQTT-3.3.1-2]"),
            Self::NoFilters => f.write_str("at least one filter is needed [MQTT-3.8.3-3]"),
            Self::EmptyClientId => f.write_str("an empty client id needs a clean session [MQTT-3.1.3-7]"),
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

impl core::error::Error for Refusal {}
