//! Limits of a broker that are narrower than the standard's.

use crate::client::Outbound;
use crate::connect::Connect;
use crate::error::EncodeError;
use crate::filter::Filter;
use crate::options::DecodeOptions;
use crate::packet::{PacketId, QoS};
use crate::publish::Publish;
use crate::text::MAX_TEXT;

/// Limits of a broker, checked when a packet is built.
///
/// ```
/// use mysa_mqtt_codec::{Filter, PacketId, BrokerLimits, QoS, EncodeError};
///
/// let filters = vec![(Filter::new("/v1/dev/+/out")?, QoS::AtLeastOnce); 9];
/// let refused = BrokerLimits::AWS_IOT.subscribe(PacketId::MIN, &filters);
/// assert_eq!(refused, Err(EncodeError::TooManyFilters { allowed: 8 }));
/// # Ok::<(), mysa_mqtt_codec::InvalidText>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BrokerLimits {
    /// Largest number of filters in one SUBSCRIBE or UNSUBSCRIBE.
    pub max_filters: usize,
    /// Largest payload of a PUBLISH or will, in bytes.
    pub max_payload: usize,
    /// Longest topic or filter, in bytes, without its mandatory part.
    pub max_topic: usize,
    /// Largest number of slashes in a topic or filter, without its mandatory part.
    pub max_slashes: usize,
    /// Longest client id, in bytes.
    pub max_client_id: usize,
    /// True if the broker supports QoS 2.
    pub qos2: bool,
}

impl BrokerLimits {
    /// Limits of the standard itself.
    pub const STANDARD: Self = Self {
        max_filters: usize::MAX,
        max_payload: usize::MAX,
        max_topic: MAX_TEXT,
        max_slashes: MAX_TEXT,
        max_client_id: MAX_TEXT,
        qos2: true,
    };

    /// Limits that AWS IoT Core documents (service quotas, "message broker"). It closes the connection without a reason
    /// when a packet breaks one.
    ///
    /// The mandatory part of a topic, which does not count, is `$aws/rules/name/` or `$share/name/`.
    pub const AWS_IOT: Self = Self {
        max_filters: 8,
        max_payload: 128 * 1_024,
        max_topic: 256,
        max_slashes: 7,
        max_client_id: 128,
        qos2: false,
    };

    /// Options for a decoder that accepts every packet such a broker may send.
    #[must_use]
    pub const fn decode_options(&self) -> DecodeOptions {
        let size = self.max_payload.saturating_add(MAX_TEXT + 9);
        DecodeOptions::new(if size > u32::MAX as usize { u32::MAX } else { size as u32 })
    }

    /// Builds a CONNECT within the limits.
    ///
    /// # Errors
    /// The limit or the rule of the standard that the packet breaks.
    pub fn connect<'a>(&self, connect: Connect<'a>) -> Result<Outbound<'a>, EncodeError> {
        self.checked(Outbound::Connect(connect))
    }

    /// Builds a PUBLISH within the limits.
    ///
    /// # Errors
    /// The limit or the rule of the standard that the packet breaks.
    pub fn publish<'a>(&self, publish: Publish<'a>) -> Result<Outbound<'a>, EncodeError> {
        self.checked(Outbound::Publish(publish))
    }

    /// Builds a SUBSCRIBE within the limits.
    ///
    /// # Errors
    /// The limit or the rule of the standard that the packet breaks.
    pub fn subscribe<'a>(
        &self,
        id: PacketId,
        filters: &'a [(Filter<'a>, QoS)],
    ) -> Result<Outbound<'a>, EncodeError> {
        self.checked(Outbound::Subscribe { id, filters })
    }

    /// Builds an UNSUBSCRIBE within the limits.
    ///
    /// # Errors
    /// The limit or the rule of the standard that the packet breaks.
    pub fn unsubscribe<'a>(
        &self,
        id: PacketId,
        filters: &'a [Filter<'a>],
    ) -> Result<Outbound<'a>, EncodeError> {
        self.checked(Outbound::Unsubscribe { id, filters })
    }

    fn checked<'a>(&self, packet: Outbound<'a>) -> Result<Outbound<'a>, EncodeError> {
        self.check(&packet).map(|()| packet)
    }

    /// Checks a packet against the limits and against the encoder's own rules.
    ///
    /// # Errors
    /// The limit or rule that the packet breaks.
    pub fn check(&self, packet: &Outbound<'_>) -> Result<(), EncodeError> {
        packet.encoded_len()?;
        match packet {
            Outbound::Connect(connect) => {
                if connect.client_id.as_str().len() > self.max_client_id {
                    return Err(EncodeError::ClientIdTooLong { allowed: self.max_client_id });
                }
                connect.will.map_or(Ok(()), |will| {
                    self.check_qos(will.qos)?;
                    self.check_topic(will.topic.as_bytes())?;
                    self.check_payload(will.payload)
                })
            }
            Outbound::Publish(publish) => {
                self.check_qos(publish.delivery.qos())?;
                self.check_topic(publish.topic.as_bytes())?;
                self.check_payload(publish.payload)
            }
            Outbound::Subscribe { filters, .. } => {
                self.check_count(filters.len())?;
                filters.iter().try_for_each(|(filter, qos)| {
                    self.check_qos(*qos)?;
                    self.check_topic(filter.as_str().as_bytes())
                })
            }
            Outbound::Unsubscribe { filters, .. } => {
                self.check_count(filters.len())?;
                filters.iter().try_for_each(|filter| self.check_topic(filter.as_str().as_bytes()))
            }
            Outbound::PubRec(_) | Outbound::PubRel(_) | Outbound::PubComp(_) => {
                self.check_qos(QoS::ExactlyOnce)
            }
            Outbound::PubAck(_) | Outbound::PingReq | Outbound::Disconnect => Ok(()),
        }
    }

    fn check_qos(&self, qos: QoS) -> Result<(), EncodeError> {
        if qos == QoS::ExactlyOnce && !self.qos2 { Err(EncodeError::ExactlyOnce) } else { Ok(()) }
    }

    fn check_count(&self, filters: usize) -> Result<(), EncodeError> {
        if filters > self.max_filters {
            Err(EncodeError::TooManyFilters { allowed: self.max_filters })
        } else {
            Ok(())
        }
    }

    fn check_payload(&self, payload: &[u8]) -> Result<(), EncodeError> {
        if payload.len() > self.max_payload {
            Err(EncodeError::PayloadTooLong { allowed: self.max_payload })
        } else {
            Ok(())
        }
    }

    fn check_topic(&self, topic: &[u8]) -> Result<(), EncodeError> {
        let topic = without_mandatory_part(topic);
        if topic.len() > self.max_topic {
            return Err(EncodeError::TopicTooLong { allowed: self.max_topic });
        }
        if topic.iter().filter(|&&byte| byte == b'/').count() > self.max_slashes {
            return Err(EncodeError::TopicTooDeep { allowed: self.max_slashes });
        }
        Ok(())
    }
}

fn without_mandatory_part(topic: &[u8]) -> &[u8] {
    [&b"$aws/rules/"[..], b"$share/"]
        .into_iter()
        .find_map(|prefix| topic.strip_prefix(prefix))
        .and_then(|rest| rest.splitn(2, |&byte| byte == b'/').nth(1))
        .unwrap_or(topic)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::publish::Delivery;
    use crate::text::ClientId;
    use crate::topic::Topic;

    fn publish<'a>(topic: &'a str, payload: &'a [u8]) -> Result<(), EncodeError> {
        let publish = Publish::new(Topic::new(topic)?, payload, Delivery::AtLeastOnce(PacketId::MIN));
        BrokerLimits::AWS_IOT.publish(publish).map(|_| ())
    }

    #[test]
    fn each_limit_of_aws_iot_is_accepted_exactly_and_refused_beyond() {
        assert_eq!(publish(&"t".repeat(256), &[0; 131_072]), Ok(()));
        assert_eq!(publish(&"t".repeat(257), b""), Err(EncodeError::TopicTooLong { allowed: 256 }));
        assert_eq!(publish("t", &[0; 131_073]), Err(EncodeError::PayloadTooLong { allowed: 131_072 }));
        assert_eq!(publish("a/b/c/d/e/f/g/h", b""), Ok(()));
        assert_eq!(publish("a/b/c/d/e/f/g/h/i", b""), Err(EncodeError::TopicTooDeep { allowed: 7 }));
        assert_eq!(publish("$aws/rules/r/a/b/c/d/e/f/g/h", b""), Ok(()), "the mandatory part does not count");

        let id = "c".repeat(129);
        let connect =
            |id| BrokerLimits::AWS_IOT.connect(Connect::new(ClientId::new(id).unwrap(), 60)).map(|_| ());
        assert_eq!(connect(&id[1..]), Ok(()));
        assert_eq!(connect(&id), Err(EncodeError::ClientIdTooLong { allowed: 128 }));

        let filter = Filter::new("/v1/dev/+/out").unwrap();
        let nine = [(filter, QoS::AtLeastOnce); 9];
        assert!(BrokerLimits::AWS_IOT.subscribe(PacketId::MIN, &nine[1..]).is_ok());
        assert_eq!(
            BrokerLimits::AWS_IOT.subscribe(PacketId::MIN, &nine),
            Err(EncodeError::TooManyFilters { allowed: 8 })
        );
        let nine = [filter; 9];
        assert!(BrokerLimits::AWS_IOT.unsubscribe(PacketId::MIN, &nine[1..]).is_ok());
        assert!(BrokerLimits::AWS_IOT.unsubscribe(PacketId::MIN, &nine).is_err());
        let twice = [(filter, QoS::ExactlyOnce)];
        assert_eq!(BrokerLimits::AWS_IOT.subscribe(PacketId::MIN, &twice), Err(EncodeError::ExactlyOnce));
        assert!(BrokerLimits::STANDARD.subscribe(PacketId::MIN, &twice).is_ok());
        assert_eq!(BrokerLimits::STANDARD.subscribe(PacketId::MIN, &[]), Err(EncodeError::NoFilters));
    }
}
