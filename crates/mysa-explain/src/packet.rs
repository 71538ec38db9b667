//! MQTT packets as records.

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use mysa_mqtt_codec::{DecodeError, Inbound, Publish, decode, server};
use mysa_proto::{ModeTable, Topic};

use crate::message;
use crate::record::{Record, Value};

/// Longest packet. Packets of this service are far shorter, so a longer one is not a packet.
const LIMIT: u32 = 256 * 1024;

/// Explains consecutive packets of either side. An invalid or incomplete packet ends the list, with the rest as hex.
pub(crate) fn explain(mut bytes: &[u8], table: &ModeTable) -> Vec<Record> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let before = bytes;
        let read = match decode(&mut bytes, LIMIT) {
            Err(DecodeError::WrongDirection) => {
                bytes = before;
                server::decode(&mut bytes, LIMIT)
                    .map(|packet| packet.map(|packet| from_client(packet, table)))
            }
            Err(error) => Err(error),
            Ok(packet) => Ok(packet.map(|packet| from_server(packet, table))),
        };
        let mut record = match read {
            Ok(Some(record)) => record,
            error => {
                let mut record = Record::new();
                record.put("packet", "unreadable");
                record.put(
                    "error",
                    match error {
                        Err(error) => error.to_string(),
                        Ok(_) => format!("cut off after {} bytes", before.len()),
                    },
                );
                record.put("raw_hex", hex::encode(before));
                records.push(record);
                return records;
            }
        };
        record.put("packet_bytes", i64::try_from(before.len() - bytes.len()).unwrap_or(i64::MAX));
        records.push(record);
    }
    records
}

fn packet(name: &str) -> Record {
    let mut record = Record::new();
    record.put("packet", name);
    record
}

fn with_id(name: &str, id: mysa_mqtt_codec::PacketId) -> Record {
    let mut record = packet(name);
    record.put("packet_id", id.get());
    record
}

fn from_server(inbound: Inbound<'_>, table: &ModeTable) -> Record {
    match inbound {
        Inbound::ConnAck(answer) => {
            let mut record = packet("CONNACK");
            match answer {
                mysa_mqtt_codec::ConnAck::Accepted { session_present } => {
                    record.put("accepted", true).put("session_present", session_present)
                }
                mysa_mqtt_codec::ConnAck::Refused(refusal) => record
                    .put("accepted", false)
                    .put("return_code", refusal.to_byte())
                    .put("why", refusal.to_string()),
            };
            record
        }
        Inbound::Publish(publish) => published(&publish, table),
        Inbound::PubAck(id) => with_id("PUBACK", id),
        Inbound::PubRec(id) => with_id("PUBREC", id),
        Inbound::PubRel(id) => with_id("PUBREL", id),
        Inbound::PubComp(id) => with_id("PUBCOMP", id),
        Inbound::SubAck(answer) => {
            let mut record = with_id("SUBACK", answer.id);
            let granted = answer.codes.iter().map(|code| match code.to_byte() {
                0x80 => Value::Text("refused".into()),
                qos => Value::Text(format!("QoS {qos}")),
            });
            record.put("granted", granted.collect::<Vec<_>>());
            record
        }
        Inbound::UnsubAck(id) => with_id("UNSUBACK", id),
        Inbound::PingResp => packet("PINGRESP"),
    }
}

fn from_client(inbound: server::Inbound<'_>, table: &ModeTable) -> Record {
    match inbound {
        server::Inbound::Connect(connect) => {
            let mut record = packet("CONNECT");
            record.put("client_id", connect.client_id.as_str()).put("keep_alive_s", connect.keep_alive);
            record.put("clean_session", connect.clean_session).put("will", connect.will.is_some());
            record.put("login", connect.login.is_some());
            record
        }
        server::Inbound::Publish(publish) => published(&publish, table),
        server::Inbound::PubAck(id) => with_id("PUBACK", id),
        server::Inbound::PubRec(id) => with_id("PUBREC", id),
        server::Inbound::PubRel(id) => with_id("PUBREL", id),
        server::Inbound::PubComp(id) => with_id("PUBCOMP", id),
        server::Inbound::Subscribe(asked) => {
            let mut record = with_id("SUBSCRIBE", asked.id);
            let filters = asked
                .filters()
                .map(|(filter, qos)| Value::Text(format!("{} at QoS {}", filter.as_str(), qos.to_byte())));
            record.put("filters", filters.collect::<Vec<_>>());
            record
        }
        server::Inbound::Unsubscribe(asked) => {
            let mut record = with_id("UNSUBSCRIBE", asked.id);
            record
                .put("filters", asked.filters().map(|filter| filter.as_str().into()).collect::<Vec<Value>>());
            record
        }
        server::Inbound::PingReq => packet("PINGREQ"),
        server::Inbound::Disconnect => packet("DISCONNECT"),
    }
}

fn published(publish: &Publish<'_>, table: &ModeTable) -> Record {
    let mut record = packet("PUBLISH");
    record.put("topic", publish.topic.as_str()).put("qos", publish.delivery.qos().to_byte());
    record.put_some("packet_id", publish.delivery.id().map(mysa_mqtt_codec::PacketId::get));
    if publish.dup {
        record.put("dup", true);
    }
    if publish.retain {
        record.put("retain", true);
    }
    let topic = Topic::parse(publish.topic.as_bytes());
    match message::explain(topic, publish.payload, table) {
        Ok(message) => record.put("payload", message),
        Err(error) => {
            record.put("payload_error", error.to_string());
            match core::str::from_utf8(publish.payload) {
                Ok(text) => record.put("raw", text),
                Err(_) => record.put("raw_hex", hex::encode(publish.payload)),
            }
        }
    };
    record
}
