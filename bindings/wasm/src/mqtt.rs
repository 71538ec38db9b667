use mysa_mqtt_codec::{
    ClientId, ConnAck, Connect, Delivery, Filter, Inbound, Outbound, PacketId, Publish, QoS, Stream, Topic,
};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::error;
use crate::value::{object, set, set_some};

/// Longest packet, in bytes. A message of AWS IoT has at most 128 KiB.
const MAX_PACKET: u32 = 256 * 1024;

/// Decoder of the broker's bytes, for one WebSocket. Create a new one for each connection.
///
/// ```js
/// socket.binaryType = "arraybuffer";
/// const stream = new MqttStream();
/// socket.onmessage = ({ data }) => {
///   for (const packet of stream.push(new Uint8Array(data))) { … }
/// };
/// ```
#[wasm_bindgen]
#[derive(Debug)]
pub struct MqttStream(Stream);

#[wasm_bindgen]
impl MqttStream {
    /// Creates a decoder.
    #[wasm_bindgen(constructor)]
    #[must_use]
    #[allow(clippy::new_without_default, reason = "JavaScript has no Default")]
    pub fn new() -> MqttStream {
        Self(Stream::new(MAX_PACKET))
    }

    /// Takes the payload of a WebSocket message and returns the packets that it completes.
    ///
    /// @throws if the bytes are not MQTT; close the connection.
    #[wasm_bindgen(unchecked_return_type = "Packet[]")]
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<JsValue>, JsValue> {
        let mut packets = Vec::new();
        while let Some(packet) = self.0.next(&mut bytes).map_err(error)? {
            packets.push(describe(packet));
        }
        Ok(packets)
    }
}

fn describe(packet: Inbound<'_>) -> JsValue {
    let out = object();
    let with_id = |name: &str, id: PacketId| {
        set(&out, "type", name);
        set(&out, "id", id.get());
    };
    match packet {
        Inbound::ConnAck(answer) => {
            set(&out, "type", "connack");
            let (accepted, code, reason) = match answer {
                ConnAck::Accepted { .. } => (true, 0, None),
                ConnAck::Refused(refusal) => (false, refusal.to_byte(), Some(refusal.to_string())),
            };
            set(&out, "accepted", accepted);
            set(&out, "code", code);
            set_some(&out, "reason", reason);
        }
        Inbound::Publish(publish) => {
            set(&out, "type", "publish");
            set(&out, "topic", publish.topic.as_str());
            set(&out, "payload", js_sys::Uint8Array::from(publish.payload));
            set(&out, "qos", publish.delivery.qos().to_byte());
            set_some(&out, "id", publish.delivery.id().map(PacketId::get));
            set(&out, "dup", publish.dup);
            set(&out, "retain", publish.retain);
        }
        Inbound::PubAck(id) => with_id("puback", id),
        Inbound::PubRec(id) => with_id("pubrec", id),
        Inbound::PubRel(id) => with_id("pubrel", id),
        Inbound::PubComp(id) => with_id("pubcomp", id),
        Inbound::UnsubAck(id) => with_id("unsuback", id),
        Inbound::SubAck(answer) => {
            with_id("suback", answer.id);
            let codes: js_sys::Array =
                answer.codes.iter().map(|code| JsValue::from(code.to_byte())).collect();
            set(&out, "codes", codes);
        }
        Inbound::PingResp => set(&out, "type", "pingresp"),
    }
    out
}

fn encode(packet: Outbound<'_>) -> Result<Vec<u8>, JsValue> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).map_err(error)?;
    Ok(bytes)
}

fn packet_id(id: u16) -> Result<PacketId, JsValue> {
    PacketId::new(id).ok_or_else(|| error("invalid packet id 0: expected 1 to 65535"))
}

/// Encodes CONNECT with a clean session. `keepAlive` is in seconds.
///
/// @throws if the client id is too long or has control characters.
#[wasm_bindgen(js_name = encodeConnect)]
pub fn encode_connect(
    #[wasm_bindgen(js_name = clientId)] client_id: &str,
    #[wasm_bindgen(js_name = keepAlive)] keep_alive: u16,
) -> Result<Vec<u8>, JsValue> {
    encode(Outbound::Connect(Connect::new(ClientId::new(client_id).map_err(error)?, keep_alive)))
}

/// Encodes SUBSCRIBE with QoS 1. AWS IoT takes at most eight filters in a packet.
///
/// @throws if the id is 0, or a filter is invalid.
#[wasm_bindgen(js_name = encodeSubscribe)]
pub fn encode_subscribe(id: u16, filters: Vec<String>) -> Result<Vec<u8>, JsValue> {
    let mut wanted = Vec::with_capacity(filters.len());
    for filter in &filters {
        wanted.push((Filter::new(filter).map_err(error)?, QoS::AtLeastOnce));
    }
    encode(Outbound::Subscribe { id: packet_id(id)?, filters: &wanted })
}

/// Encodes PUBLISH: with QoS 1 if there is a packet id, otherwise with QoS 0.
///
/// @throws if the topic is invalid, or the id is 0.
#[wasm_bindgen(js_name = encodePublish)]
pub fn encode_publish(topic: &str, payload: &[u8], id: Option<u16>) -> Result<Vec<u8>, JsValue> {
    let delivery = match id {
        Some(id) => Delivery::AtLeastOnce(packet_id(id)?),
        None => Delivery::AtMostOnce,
    };
    encode(Outbound::Publish(Publish::new(Topic::new(topic).map_err(error)?, payload, delivery)))
}

/// Encodes PUBACK, the answer to a message with QoS 1.
///
/// @throws if the id is 0.
#[wasm_bindgen(js_name = encodePuback)]
pub fn encode_puback(id: u16) -> Result<Vec<u8>, JsValue> {
    encode(Outbound::PubAck(packet_id(id)?))
}

/// Encodes PINGREQ. The broker closes a connection that is silent for one and a half times its `keepAlive`.
#[wasm_bindgen(js_name = encodePing)]
#[must_use]
pub fn encode_ping() -> Vec<u8> {
    mysa_mqtt_codec::PINGREQ.to_vec()
}

/// Encodes DISCONNECT. Close the WebSocket after it.
#[wasm_bindgen(js_name = encodeDisconnect)]
#[must_use]
pub fn encode_disconnect() -> Vec<u8> {
    mysa_mqtt_codec::DISCONNECT.to_vec()
}
