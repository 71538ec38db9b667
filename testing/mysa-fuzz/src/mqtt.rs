use bytes::BytesMut;
use mysa_mqtt_codec::{DecodeError, DecodeOptions, Inbound, Outbound, QoS, Stream, decode, server};

use crate::script::Script;

/// Result of a stream: each packet encoded again, then the final error.
type Seen = (Vec<Vec<u8>>, Option<DecodeError>);

macro_rules! direction {
    ($(#[$doc:meta])* $name:ident, $stream:ty, $decode:path, $write:path, $check:path) => {
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
                $check(&packet, taken);
                packets += 1;
            }
            assert_eq!(packets, whole.0.len());
        }
    };
}

direction! {
    /// Bytes of an MQTT server. Chunking changes neither packets nor errors; errors are final; an accepted packet
    /// round-trips; mqttrs and mqttbytes accept it too.
    mqtt_from_server, Stream, decode, write_from_server, check_from_server
}

direction! {
    /// Bytes of an MQTT client, with the same assertions.
    mqtt_from_client, server::Stream, server::decode, write_from_client, check_from_client
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

fn check_from_server(packet: &Inbound<'_>, wire: &[u8]) {
    let theirs = oracle(wire);
    if let Inbound::Publish(ours) = packet {
        let mqttrs::Packet::Publish(theirs) = theirs else { panic!("{theirs:?}") };
        assert_eq!((theirs.topic_name, theirs.payload), (ours.topic.as_str(), ours.payload));
        assert_eq!((theirs.dup, theirs.retain), (ours.dup, ours.retain));
    }
    mqttbytes_accepts(wire);
}

fn check_from_client(packet: &server::Inbound<'_>, wire: &[u8]) {
    let theirs = oracle(wire);
    match packet {
        server::Inbound::Publish(ours) => {
            let mqttrs::Packet::Publish(theirs) = theirs else { panic!("{theirs:?}") };
            assert_eq!((theirs.topic_name, theirs.payload), (ours.topic.as_str(), ours.payload));
        }
        server::Inbound::Connect(ours) => {
            let mqttrs::Packet::Connect(theirs) = theirs else { panic!("{theirs:?}") };
            assert_eq!(
                (theirs.client_id, theirs.keep_alive, theirs.clean_session),
                (ours.client_id.as_str(), ours.keep_alive, ours.clean_session)
            );
            // mqttbytes refuses a password that is not a string, against 3.1.3.5.
            let password = ours.login.and_then(|login| login.password);
            if password.is_some_and(|password| core::str::from_utf8(password).is_err()) {
                return;
            }
        }
        _ => {}
    }
    mqttbytes_accepts(wire);
}

fn oracle(wire: &[u8]) -> mqttrs::Packet<'_> {
    match mqttrs::decode_slice(wire) {
        Ok(Some(packet)) => packet,
        other => panic!("mqttrs: {other:?} for {wire:02x?}"),
    }
}

fn mqttbytes_accepts(wire: &[u8]) {
    let read = mqttbytes::v4::read(&mut BytesMut::from(wire), 1 << 20);
    assert!(read.is_ok(), "mqttbytes: {read:?} for {wire:02x?}");
}
