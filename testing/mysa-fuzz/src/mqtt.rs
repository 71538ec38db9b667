use mysa_mqtt_codec::{DecodeError, DecodeOptions, Inbound, Outbound, QoS, Stream, decode, server};
use mysa_testkit::codec::{Codec, Mqttbytes, Mqttrs, compare, compare_stream};

use crate::script::Script;

/// Result of a stream: each packet encoded again, then the final error.
type Seen = (Vec<Vec<u8>>, Option<DecodeError>);

macro_rules! direction {
    ($(#[$doc:meta])* $name:ident, $stream:ty, $decode:path, $write:path) => {
        $(#[$doc])*
        pub fn $name(data: &[u8]) {
            let mut script = Script::new(data);
            let choice = script.byte();
            let limit = if choice & 2 == 0 { 1 << 20 } else { 64 };
            let options = DecodeOptions::new(limit);
            let options = if choice & 1 == 0 { options } else { options.tolerate_dup_at_most_once() };
            let size = usize::from(script.byte());
            let wire = script.rest();

            let seen = |size: usize| -> Seen {
                let (mut stream, mut packets) = (<$stream>::new(options), Vec::new());
                for mut chunk in wire.chunks(size.max(1)) {
                    loop {
                        match stream.next(&mut chunk) {
                            Ok(Some(packet)) => packets.push($write(&packet)),
                            Ok(None) => break,
                            Err(error) => {
                                assert_eq!(stream.next(&mut &[0xd0, 0][..]), Err(error), "an error is final");
                                return (packets, Some(error));
                            }
                        }
                    }
                    assert!(chunk.is_empty(), "a chunk is used up");
                }
                (packets, None)
            };
            let whole = seen(usize::MAX);
            for size in [1, size] {
                assert_eq!(seen(size), whole, "in chunks of {size}");
            }

            let mut input = wire;
            let mut packets = 0;
            loop {
                let before = input;
                let Ok(Some(packet)) = $decode(&mut input, options) else {
                    assert_eq!(input, before, "only a packet is taken off");
                    break;
                };
                let taken = &before[..before.len() - input.len()];
                assert!(!taken.is_empty() && taken.len() <= limit as usize + 5);
                let again = $write(&packet);
                if !again.starts_with(b"unwritable") {
                    assert_eq!($decode(&mut &again[..], options), Ok(Some(packet)), "{again:02x?}");
                    assert!(again.len() <= taken.len(), "the shortest form is written");
                }
                peers(taken);
                packets += 1;
            }
            assert_eq!(packets, whole.0.len());
        }
    };
}

direction! {
    /// Bytes of an MQTT server. Chunking changes neither packets nor errors; errors are final; an accepted packet
    /// round-trips; mqttrs and mqttbytes accept it too.
    mqtt_from_server, Stream, decode, write_from_server
}

direction! {
    /// Bytes of an MQTT client, with the same assertions.
    mqtt_from_client, server::Stream, server::decode, write_from_client
}

/// Packets that may be read but not written are kept as their bytes.
fn unwritable(packet: &dyn core::fmt::Debug) -> Vec<u8> {
    format!("unwritable {packet:?}").into_bytes()
}

fn write_from_server(packet: &Inbound<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let outbound = match *packet {
        Inbound::ConnAck(it) => server::Outbound::ConnAck(it),
        Inbound::Publish(it) => server::Outbound::Publish(it),
        Inbound::PubAck(id) => server::Outbound::PubAck(id),
        Inbound::PubRec(id) => server::Outbound::PubRec(id),
        Inbound::PubRel(id) => server::Outbound::PubRel(id),
        Inbound::PubComp(id) => server::Outbound::PubComp(id),
        Inbound::SubAck(it) => server::Outbound::SubAck(it),
        Inbound::UnsubAck(id) => server::Outbound::UnsubAck(id),
        Inbound::PingResp => server::Outbound::PingResp,
    };
    match outbound.encode(&mut out) {
        Ok(()) => assert_eq!(outbound.encoded_len(), Ok(out.len())),
        Err(refusal) => {
            assert!(tolerated(packet), "{refusal:?}: {packet:?}");
            return unwritable(packet);
        }
    }
    out
}

/// DUP with QoS 0, which is read only on demand and never written.
fn tolerated(packet: &Inbound<'_>) -> bool {
    matches!(packet, Inbound::Publish(it) if it.dup && it.delivery.qos() == QoS::AtMostOnce)
}

fn write_from_client(packet: &server::Inbound<'_>) -> Vec<u8> {
    let (wanted, unwanted): (Vec<_>, Vec<_>);
    let mut out = Vec::new();
    let outbound = match *packet {
        server::Inbound::Connect(it) => Outbound::Connect(it),
        server::Inbound::Publish(it) => Outbound::Publish(it),
        server::Inbound::PubAck(id) => Outbound::PubAck(id),
        server::Inbound::PubRec(id) => Outbound::PubRec(id),
        server::Inbound::PubRel(id) => Outbound::PubRel(id),
        server::Inbound::PubComp(id) => Outbound::PubComp(id),
        server::Inbound::Subscribe(it) => {
            wanted = it.filters().collect();
            assert!(!wanted.is_empty());
            Outbound::Subscribe { id: it.id, filters: &wanted }
        }
        server::Inbound::Unsubscribe(it) => {
            unwanted = it.filters().collect();
            assert!(!unwanted.is_empty());
            Outbound::Unsubscribe { id: it.id, filters: &unwanted }
        }
        server::Inbound::PingReq => Outbound::PingReq,
        server::Inbound::Disconnect => Outbound::Disconnect,
    };
    if let Err(refusal) = outbound.encode(&mut out) {
        // A server must answer such a CONNECT with a code, so it must decode it [MQTT-3.1.3-8].
        let without_id = matches!(packet, server::Inbound::Connect(it)
            if it.client_id.as_str().is_empty() && !it.clean_session);
        let tolerated = matches!(packet, server::Inbound::Publish(it)
            if it.dup && it.delivery.qos() == QoS::AtMostOnce);
        assert!(without_id || tolerated, "{refusal:?}: {packet:?}");
        return unwritable(packet);
    }
    out
}

/// The codecs of other projects read what this one accepts, with the same fields.
fn peers(wire: &[u8]) {
    let result = compare::<Mqttrs>(wire).and_then(|()| compare::<Mqttbytes>(wire));
    result.unwrap_or_else(|difference| panic!("{difference}"));
}

/// Any MQTT 3.1.1 codec, for the fuzzer of whoever has one. It reads what `mysa-mqtt-codec` accepts, with the same fields, and
/// finds the same number of packets in any chunks.
///
/// ```
/// use mysa_testkit::codec::Mqttrs;
///
/// // A size of chunks, then a PUBACK and a PINGRESP.
/// mysa_fuzz::mqtt_codec::<Mqttrs>(&[3, 0x40, 2, 0, 1, 0xd0, 0]);
/// ```
pub fn mqtt_codec<C: Codec + Default>(data: &[u8]) {
    let mut script = Script::new(data);
    let size = usize::from(script.byte());
    let wire = script.rest();
    let result = compare::<C>(wire).and_then(|()| compare_stream(&mut C::default(), wire, size));
    result.unwrap_or_else(|difference| panic!("{difference}"));
}

#[cfg(test)]
mod tests {
    use mysa_testkit::codec::Packet;

    use super::*;

    /// mqttrs, but QoS 1 is read as QoS 2, and of two packets that arrive together the second is lost.
    #[derive(Default)]
    struct Broken(Mqttrs);

    impl Codec for Broken {
        const NAME: &'static str = "broken";

        fn feed(&mut self, bytes: &[u8]) -> u64 {
            self.0.feed(bytes).min(1)
        }

        fn decode(wire: &[u8]) -> Option<Result<Packet, String>> {
            let packet = Mqttrs::decode(wire)?;
            Some(packet.map(|packet| match packet {
                Packet::Publish { topic, payload, qos: 1, id, dup, retain } => {
                    Packet::Publish { topic, payload, qos: 2, id, dup, retain }
                }
                packet => packet,
            }))
        }
    }

    #[test]
    fn a_codec_that_reads_every_input_of_the_corpus_passes() {
        for archive in [
            &include_bytes!("../../../fuzz/corpus/mqtt_from_server.ar")[..],
            include_bytes!("../../../fuzz/corpus/mqtt_from_client.ar"),
        ] {
            for (_, data) in crate::corpus::inputs(archive).unwrap_or_default() {
                // Their first byte selects options of mysa-mqtt-codec.
                let data = data.get(1..).unwrap_or_default();
                mqtt_codec::<Mqttrs>(data);
                mqtt_codec::<Mqttbytes>(data);
            }
        }
    }

    #[test]
    #[should_panic(expected = "broken reads 3206000161000178")]
    fn a_codec_that_reads_another_field_is_found() {
        mqtt_codec::<Broken>(b"\0\x32\x06\0\x01a\0\x01x");
    }

    #[test]
    #[should_panic(expected = "broken finds 1 packets of 2 in chunks of 4 bytes of d000d000")]
    fn a_codec_that_loses_a_packet_is_found() {
        mqtt_codec::<Broken>(b"\x04\xd0\0\xd0\0");
    }
}
