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
use mysa_benches::{Comparison, TOPIC, payload, status, stream_of_700};
use mysa_mqtt_codec::{Delivery, Inbound, PacketId, Publish, Stream, Topic, decode};
use mysa_testkit::codec::{Codec, Mqttbytes, Mqttrs, Rumqttc, packet_size};
use tokio_util::codec::{Decoder, Encoder};

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
    let chunks = [&wire[..]];
    let mut refilled = BytesMut::new();
    let mut copied = vec![0; wire.len()];
    let comparison = Comparison::new("decode a PUBLISH, QoS 1, 211 bytes", "packet")
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
        .entry("mqttrs", units, || mqttrs_all(black_box(&wire)));
    buffered(comparison, units, &chunks)
        .entry("floor: walk the headers", units, || walk(black_box(&wire)))
        .entry("floor: memcpy", units, || copied.copy_from_slice(black_box(&wire)))
        .entry("append alone (included in buffered decoders)", units, || {
            refilled.extend_from_slice(&wire);
            drop(refilled.split());
        })
        .run()
}

/// The codecs that own a buffer. A new one is a line here.
fn buffered<'a>(comparison: Comparison<'a>, units: u64, chunks: &'a [&'a [u8]]) -> Comparison<'a> {
    comparison
        .codec(Mqttbytes::NAME, Mqttbytes::default(), units, chunks)
        .codec(Rumqttc::NAME, Rumqttc::default(), units, chunks)
        .codec(RumqttcNext::NAME, RumqttcNext::default(), units, chunks)
        .codec(ProtocolCore::NAME, ProtocolCore::default(), units, chunks)
        .codec(Rmqtt::NAME, Rmqtt::default(), units, chunks)
}

fn decode_stream(size: usize, name: &str) -> String {
    let (wire, units) = stream_of_700();
    let chunks: Vec<&[u8]> = wire.chunks(size.min(wire.len())).collect();
    let mut stream = Stream::new(LIMIT as u32);
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
    let comparison = comparison.codec("mqttrs, append and drain", Mqttrs::default(), units, &chunks);
    let mut comparison = buffered(comparison, units, &chunks);
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

fn expect_end(left: usize) {
    assert_eq!(left, 0, "the bytes end within a packet");
}

/// Finds the end of each packet and does nothing else; no decoder can do less. The position does not pass through
/// `black_box`, which would make the next packet wait for memory.
fn walk(wire: &[u8]) -> u64 {
    let (mut at, mut packets) = (0, 0);
    while let Some(size) = packet_size(&wire[at..]) {
        black_box(size);
        at += size;
        packets += 1;
    }
    packets
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
struct RumqttcNext(BytesMut);

impl Codec for RumqttcNext {
    const NAME: &'static str = "rumqttc-v4-next";

    #[inline]
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

impl Codec for Rmqtt {
    const NAME: &'static str = "rmqtt-codec";

    #[inline]
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

impl Codec for ProtocolCore {
    const NAME: &'static str = "mqtt-protocol-core";

    /// Handles the packet types of these benchmarks, because the crate's own dispatch is private to its connection.
    #[inline]
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
