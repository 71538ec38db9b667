use core::fmt;

use crate::DeviceId;

/// Kind of topic: each thermostat has three.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "the access policy of an account names only these topics")]
pub enum TopicKind {
    /// `/in`: messages to the thermostat.
    In,
    /// `/out`: statuses, acknowledgements, logs.
    Out,
    /// `/batch`: binary readings.
    Batch,
}

impl TopicKind {
    const fn suffix(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Batch => "batch",
        }
    }
}

/// MQTT topic of a thermostat: `/v1/dev/{id}/in`, `/out` or `/batch`. No other topic can be built.
///
/// ```
/// use mysa_proto::{Topic, TopicKind};
///
/// let topic = Topic::parse(b"/v1/dev/a0b1c2d3e4f6/out").ok_or("not a device topic")?;
/// assert_eq!((topic.device.as_str(), topic.kind), ("a0b1c2d3e4f6", TopicKind::Out));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Topic {
    /// Thermostat that the topic belongs to.
    pub device: DeviceId,
    /// Kind of the topic.
    pub kind: TopicKind,
}

impl Topic {
    const PREFIX: &str = "/v1/dev/";

    /// `/v1/dev/{id}/in`, to which commands are published.
    #[must_use]
    pub const fn incoming(device: DeviceId) -> Self {
        Self { device, kind: TopicKind::In }
    }

    /// `/v1/dev/{id}/out`, to which the thermostat publishes.
    #[must_use]
    pub const fn outgoing(device: DeviceId) -> Self {
        Self { device, kind: TopicKind::Out }
    }

    /// `/v1/dev/{id}/batch`, to which the thermostat publishes its stored readings.
    #[must_use]
    pub const fn batch(device: DeviceId) -> Self {
        Self { device, kind: TopicKind::Batch }
    }

    /// Parses a topic name. `None` for any other topic.
    #[must_use]
    pub fn parse(topic: &[u8]) -> Option<Self> {
        let rest = topic.strip_prefix(Self::PREFIX.as_bytes())?;
        // The part before the kind is not a valid id if it contains another slash.
        let (id, kind) = match rest {
            [id @ .., b'/', b'o', b'u', b't'] => (id, TopicKind::Out),
            [id @ .., b'/', b'b', b'a', b't', b'c', b'h'] => (id, TopicKind::Batch),
            [id @ .., b'/', b'i', b'n'] => (id, TopicKind::In),
            _ => return None,
        };
        Some(Self { device: DeviceId::from_bytes(id)?, kind })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", Self::PREFIX, self.device, self.kind.suffix())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_printed_topic_parses_to_itself() {
        let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
        for topic in [Topic::incoming(device), Topic::outgoing(device), Topic::batch(device)] {
            assert_eq!(Topic::parse(topic.to_string().as_bytes()), Some(topic));
        }
    }

    #[test]
    fn other_topics_are_rejected() {
        for other in [
            "v1/dev/a/out",
            "/v1/dev/a/out/",
            "/v1/dev//out",
            "/v1/dev/+/out",
            "/v1/dev/a/shadow",
            "/v1/dev/a",
        ] {
            assert_eq!(Topic::parse(other.as_bytes()), None, "{other}");
        }
    }
}
