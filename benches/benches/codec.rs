//! Decoding and encoding MQTT 3.1.1, compared with the public codecs.
//!
//! Every decoder gets bytes in the way its API takes them. Decoders that borrow read the slice itself; decoders that
//! own a buffer get the bytes appended to it, as from a socket, and the line "append alone" shows the cost of that. The
//! decoded message is a thermostat's status as it is on the wire, 211 bytes long.

use std::hint::black_box;

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData};
use mqtt_protocol_core::mqtt::packet::{Qos, v3_1_1};
use mysa_benches::Comparison;
use mysa_mqtt_codec::{Delivery, Inbound, PINGRESP, PacketId, Publish, Stream, Topic, decode, puback};
use tokio_util::codec::{Decoder, Encoder};

const TOPIC: &str = "/v1/dev/a0b1c2d3e4f5/out";
const LIMIT: usize = 160_000;
/// Packets handed over at once where single packets are measured, so that many of them share the cost of a refill.
const BATCH: usize = 64;
/// Sizes of the chunks: a whole WebSocket message, a usual read, and two difficult ones.
const CHUNKS: [(usize, &str); 4] =
    [(usize::MAX, "whole"), (4_096, "in 4 KiB"), (100, "in 100 B"), (1, "in 1 B")];

fn main() {
    println!("{}{}", decode_one(), encode_one());
    for (size, name) in CHUNKS {
        println!("{}", decode_stream(size, name));
    }
}

fn decode_one() -> String {
    let wire = status(180).repeat(BATCH);
    let units = BATCH as u64;
    let (mut v4, mut rumqttc, mut next) = (Mqttbytes::default(), Rumqttc::default(), RumqttcNext::default());
    let (mut core, mut rmqtt) = (ProtocolCore::default(), Rmqtt::default());
    let mut refilled = BytesMut::new();
    let mut copied = vec![0; wire.len()];
    Comparison::new("decode a PUBLISH, QoS 1, 211 bytes", "packet")
        .entry("mysa-mqtt-codec", units, || {
            let mut input = black_box(&wire[..]);
            while let Ok(Some(packet)) = decode(&mut input, LIMIT as u32) {
                black_box(&packet);
            }
            expect_end(input.len());
        })
        .entry("mysa-mqtt-codec, topic as &str", units, || {
            let mut input = black_box(&wire[..]);
            while let Ok(Some(packet)) = decode(&mut input, LIMIT as u32) {
                if let Inbound::Publish(publish) = &packet {
                    black_box(publish.topic.as_str());
                }
                black_box(&packet);
            }
            expect_end(input.len());
        })
        .entry("mqttrs", units, || mqttrs_all(black_box(&wire)))
        .entry("mqttbytes", units, || v4.feed(&wire))
        .entry("rumqttc", units, || rumqttc.feed(&wire))
        .entry("rumqttc-v4-next", units, || next.feed(&wire))
        .entry("mqtt-protocol-core", units, || core.feed(&wire))
        .entry("rmqtt-codec", units, || rmqtt.feed(&wire))
        .entry("floor: walk the headers", units, || walk(black_box(&wire)))
        .entry("floor: memcpy", units, || copied.copy_from_slice(black_box(&wire)))
        .entry("append alone (included in buffered decoders)", units, || {
            refilled.extend_from_slice(&wire);
            drop(refilled.split());
        })
        .run()
}

fn decode_stream(size: usize, name: &str) -> String {
    let (wire, units) = stream_of_700();
    let chunks: Vec<&[u8]> = wire.chunks(size.min(wire.len())).collect();
    let mut stream = Stream::new(LIMIT as u32);
    let (mut v4, mut rumqttc, mut next) = (Mqttbytes::default(), Rumqttc::default(), RumqttcNext::default());
    let (mut core, mut rmqtt, mut mqttrs) = (ProtocolCore::default(), Rmqtt::default(), Mqttrs::default());
    let title = format!("64 KiB, 700 packets, {name}");
    let comparison = Comparison::new(&title, "packet").entry("mysa-mqtt-codec", units, || {
        let mut packets = 0;
        for &chunk in black_box(&chunks) {
            let mut chunk = chunk;
            while let Ok(Some(packet)) = stream.next(&mut chunk) {
                black_box(&packet);
                packets += 1;
            }
        }
        assert_eq!(packets, units);
    });
    let mut comparison = comparison
        .entry("mqttrs, append and drain", units, || check(units, &chunks, |chunk| mqttrs.feed(chunk)))
        .entry("mqttbytes", units, || check(units, &chunks, |chunk| v4.feed(chunk)))
        .entry("rumqttc", units, || check(units, &chunks, |chunk| rumqttc.feed(chunk)))
        .entry("rumqttc-v4-next", units, || check(units, &chunks, |chunk| next.feed(chunk)))
        .entry("mqtt-protocol-core", units, || check(units, &chunks, |chunk| core.feed(chunk)))
        .entry("rmqtt-codec", units, || check(units, &chunks, |chunk| rmqtt.feed(chunk)));
    let mut copied = Vec::new();
    if chunks.len() == 1 {
        comparison = comparison.entry("mqttrs, in place", units, || mqttrs_all(black_box(&wire))).entry(
            "floor: walk the headers",
            units,
            || walk(black_box(&wire)),
        );
    }
    comparison
        .entry("floor: memcpy", units, || {
            copied.clear();
            for chunk in black_box(&chunks) {
                copied.extend_from_slice(chunk);
            }
        })
        .run()
}

fn encode_one() -> String {
    let payload = payload(180);
    let id = PacketId::new(10).expect("not zero");
    let topic = Topic::new(TOPIC).expect("a topic");
    let ours = Publish::new(topic, &payload, Delivery::AtLeastOnce(id));
    let mut v4 = mqttbytes::v4::Publish::new(TOPIC, mqttbytes::QoS::AtLeastOnce, payload.clone());
    v4.pkid = 10;
    let mut rumqttc = rumqttc::Publish::new(TOPIC, rumqttc::QoS::AtLeastOnce, payload.clone());
    rumqttc.pkid = 10;
    let mut next = rumqttc_v4_next::Publish::new(TOPIC, rumqttc_v4_next::QoS::AtLeastOnce, payload.clone());
    next.pkid = 10;
    let core = v3_1_1::Publish::builder()
        .topic_name(TOPIC)
        .and_then(|it| it.qos(Qos::AtLeastOnce).packet_id(10).payload(payload.clone()).build())
        .expect("a packet");
    let rmqtt = rmqtt_codec::types::Publish {
        dup: false,
        retain: false,
        qos: rmqtt_codec::types::QoS::AtLeastOnce,
        topic: TOPIC.into(),
        packet_id: Some(id),
        payload: payload.clone().into(),
        properties: None,
    };
    let rmqtt = rmqtt_codec::v3::Packet::Publish(Box::new(rmqtt));
    let mqttrs = mqttrs::Packet::Publish(mqttrs::Publish {
        dup: false,
        retain: false,
        qospid: mqttrs::QosPid::AtLeastOnce(mqttrs::Pid::try_from(10).expect("not zero")),
        topic_name: TOPIC,
        payload: &payload,
    });

    let units = BATCH as u64;
    let expected = status(180).repeat(BATCH);
    let size = expected.len();
    let (mut vec, mut checked, mut copied) = (Vec::new(), Vec::new(), Vec::new());
    let (mut slice, mut theirs) = (vec![0; size], vec![0; size]);
    let (mut a, mut b, mut c, mut d) = Default::default();
    let mut codec = rmqtt_codec::v3::Codec::new(LIMIT as u32);
    let into_slice = |mut out: &mut [u8], write: &mut dyn FnMut(&mut [u8]) -> usize| {
        while !out.is_empty() {
            let used = write(out);
            out = &mut out[used..];
        }
    };
    let table = Comparison::new("encode a PUBLISH, QoS 1, 211 bytes", "packet")
        .entry("mysa-mqtt-codec, reused Vec", units, || {
            vec.clear();
            for _ in 0..BATCH {
                let _ = black_box(&ours).encode(&mut vec);
            }
        })
        .entry("mysa-mqtt-codec, topic checked each time", units, || {
            checked.clear();
            for _ in 0..BATCH {
                let Ok(topic) = Topic::new(black_box(TOPIC)) else { return };
                let _ = Publish { topic, ..ours }.encode(&mut checked);
            }
        })
        .entry("mysa-mqtt-codec, slice", units, || {
            into_slice(&mut slice, &mut |out| black_box(&ours).encode_into(out).unwrap_or(out.len()));
        })
        .entry("mqttrs", units, || {
            into_slice(&mut theirs, &mut |out| {
                mqttrs::encode_slice(black_box(&mqttrs), out).unwrap_or(out.len())
            });
        })
        .entry("mqttbytes", units, || refill(&mut a, |out| v4.write(out)))
        .entry("rumqttc", units, || refill(&mut b, |out| rumqttc.write(out)))
        .entry("rumqttc-v4-next", units, || refill(&mut c, |out| next.write(out)))
        .entry("mqtt-protocol-core", units, || {
            for _ in 0..BATCH {
                black_box(black_box(&core).to_continuous_buffer());
            }
        })
        .entry("rmqtt-codec (clones the packet, which it takes by value)", units, || {
            refill(&mut d, |out| codec.encode(rmqtt.clone(), out));
        })
        .entry("floor: memcpy", units, || {
            copied.clear();
            for _ in 0..BATCH {
                copied.extend_from_slice(black_box(&expected[..size / BATCH]));
            }
        })
        .run();
    for (name, out) in [("vec", &vec[..]), ("slice", &slice), ("checked", &checked), ("mqttrs", &theirs)] {
        assert_eq!(out, expected, "{name}");
    }
    for (name, out) in [("mqttbytes", &a), ("rumqttc", &b), ("rumqttc-v4-next", &c), ("rmqtt-codec", &d)] {
        assert_eq!(out, &expected, "{name}");
    }
    assert_eq!(core.to_continuous_buffer(), expected[..size / BATCH]);
    table
}

fn refill<T>(out: &mut BytesMut, mut write: impl FnMut(&mut BytesMut) -> T) {
    out.clear();
    for _ in 0..BATCH {
        write(black_box(&mut *out));
    }
}

/// A message as devices send it: `payload` bytes of JSON on the device's topic.
fn status(size: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    let id = PacketId::new(10).expect("not zero");
    let payload = payload(size);
    Publish::new(Topic::new(TOPIC).expect("a topic"), &payload, Delivery::AtLeastOnce(id))
        .encode(&mut wire)
        .expect("a packet");
    wire
}

fn payload(size: usize) -> Vec<u8> {
    let mut payload =
        br#"{"ver":"1.0","msg":40,"src":{"type":1,"ref":"a0b1c2d3e4f5"},"time":1767323045,"#.to_vec();
    payload.resize(size, b' ');
    payload
}

/// Traffic of a client that publishes as often as it receives: a status, an answer, a shorter status, an
/// answer.
fn stream_of_700() -> (Vec<u8>, u64) {
    let mut wire = Vec::new();
    let acknowledged = puback(PacketId::new(7).expect("not zero"));
    for _ in 0..175 {
        wire.extend_from_slice(&status(180));
        wire.extend_from_slice(&acknowledged);
        wire.extend_from_slice(&status(126));
        wire.extend_from_slice(&PINGRESP);
    }
    assert_eq!(wire.len() / 1_024, 63, "the stream is nearly 64 KiB");
    (wire, 700)
}

fn check(units: u64, chunks: &[&[u8]], mut feed: impl FnMut(&[u8]) -> u64) {
    assert_eq!(black_box(chunks).iter().map(|chunk| feed(chunk)).sum::<u64>(), units);
}

fn expect_end(left: usize) {
    assert_eq!(left, 0, "the bytes end within a packet");
}

/// Finds the end of each packet and does nothing else; no decoder can do less.
fn walk(wire: &[u8]) -> u64 {
    let (mut at, mut packets) = (0, 0);
    while let Some(size) = packet_size(&wire[at..]) {
        at += black_box(size);
        packets += 1;
    }
    packets
}

fn packet_size(wire: &[u8]) -> Option<usize> {
    let mut remaining = 0;
    for at in 0..4 {
        let byte = *wire.get(1 + at)?;
        remaining |= usize::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some(2 + at + remaining);
        }
    }
    None
}

/// mqttrs does not return the number of bytes that a packet took, so its caller must read the header again.
fn mqttrs_all(wire: &[u8]) -> usize {
    let mut at = 0;
    while let Ok(Some(packet)) = mqttrs::decode_slice(&wire[at..]) {
        black_box(&packet);
        at += packet_size(&wire[at..]).unwrap_or(usize::MAX);
    }
    at
}

#[derive(Default)]
struct Mqttrs(Vec<u8>);

impl Mqttrs {
    fn feed(&mut self, chunk: &[u8]) -> u64 {
        self.0.extend_from_slice(chunk);
        let (mut at, mut packets) = (0, 0);
        while let Ok(Some(packet)) = mqttrs::decode_slice(&self.0[at..]) {
            black_box(&packet);
            at += packet_size(&self.0[at..]).unwrap_or(usize::MAX);
            packets += 1;
        }
        self.0.drain(..at);
        packets
    }
}

#[derive(Default)]
struct Mqttbytes(BytesMut);

impl Mqttbytes {
    fn feed(&mut self, chunk: &[u8]) -> u64 {
        self.0.extend_from_slice(chunk);
        let mut packets = 0;
        while let Ok(packet) = mqttbytes::v4::read(&mut self.0, LIMIT) {
            black_box(&packet);
            packets += 1;
        }
        packets
    }
}

#[derive(Default)]
struct Rumqttc(BytesMut);

impl Rumqttc {
    fn feed(&mut self, chunk: &[u8]) -> u64 {
        self.0.extend_from_slice(chunk);
        let mut packets = 0;
        while let Ok(packet) = rumqttc::Packet::read(&mut self.0, LIMIT) {
            black_box(&packet);
            packets += 1;
        }
        packets
    }
}

#[derive(Default)]
struct RumqttcNext(BytesMut);

impl RumqttcNext {
    fn feed(&mut self, chunk: &[u8]) -> u64 {
        self.0.extend_from_slice(chunk);
        let mut packets = 0;
        while let Ok(packet) = rumqttc_v4_next::Packet::read(&mut self.0, LIMIT) {
            black_box(&packet);
            packets += 1;
        }
        packets
    }
}

struct Rmqtt(BytesMut, rmqtt_codec::v3::Codec);

impl Default for Rmqtt {
    fn default() -> Self {
        Self(BytesMut::new(), rmqtt_codec::v3::Codec::new(LIMIT as u32))
    }
}

impl Rmqtt {
    fn feed(&mut self, chunk: &[u8]) -> u64 {
        self.0.extend_from_slice(chunk);
        let mut packets = 0;
        while let Ok(Some(packet)) = self.1.decode(&mut self.0) {
            black_box(&packet);
            packets += 1;
        }
        packets
    }
}

struct ProtocolCore(PacketBuilder);

impl Default for ProtocolCore {
    fn default() -> Self {
        Self(PacketBuilder::with_maximum_packet_size(LIMIT as u32))
    }
}

impl ProtocolCore {
    /// Handles the packet types of these benchmarks, because the crate's own dispatch is private to its connection.
    fn feed(&mut self, chunk: &[u8]) -> u64 {
        let mut cursor = Cursor::new(chunk);
        let mut packets = 0;
        while let PacketBuildResult::Complete(raw) = self.0.feed(&mut cursor) {
            match (raw.packet_type(), &raw.data) {
                (3, PacketData::Publish(data)) => {
                    let _ = black_box(&v3_1_1::Publish::parse(raw.flags(), data.clone()));
                }
                (4, _) => drop(black_box(raw.parse_exact(v3_1_1::Puback::parse))),
                _ => drop(black_box(raw.parse_exact(v3_1_1::Pingresp::parse))),
            }
            packets += 1;
        }
        packets
    }
}
