//! Published packets, every case run.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

#[expect(dead_code, reason = "shared with tests that use other parts")]
mod common;

use common::{Packet, read, with_length};
use mysa_mqtt_codec::{
    ClientId, ConnAck, Connect, DecodeError, Delivery, Filter, Inbound, Login, Outbound, PacketId, Publish,
    QoS, ReturnCodes, Stream, SubAck, Text, Topic, Will, server,
};
use serde_json::{Value, json};

const LIMIT: u32 = u32::MAX;

#[test]
fn every_valid_vector_reads_with_its_fields_and_writes_the_same_bytes() {
    let mut run = 0;
    for case in vectors().iter().filter(|case| case["kind"] == "valid" || case["kind"] == "encode") {
        let (name, wire) = (&case["id"], bytes(case));
        let mut input = &wire[..];
        let packet = read(&mut input, LIMIT).unwrap_or_else(|error| panic!("{name}: {error}"));
        let packet = packet.unwrap_or_else(|| panic!("{name}: incomplete"));
        assert_eq!(input, b"", "{name}");
        let (seen, expected) = (fields(&packet), case["packet"].as_object().unwrap());
        for (field, value) in expected {
            assert_eq!(seen.get(field).unwrap_or(&Value::Null), value, "{name}: {field} of {packet:?}");
        }
        assert_eq!(packet.write(), wire, "{name}");
        for cut in 0..wire.len() {
            assert_eq!(read(&mut &wire[..cut], LIMIT), Ok(None), "{name} cut to {cut}");
        }
        run += 1;
    }
    assert_eq!(run, 194);
}

#[test]
fn every_invalid_vector_is_refused_with_a_rule() {
    let mut run = 0;
    for case in vectors().iter().filter(|case| case["kind"] == "invalid" || case["kind"] == "other-version") {
        let wire = bytes(case);
        let error = read(&mut &wire[..], LIMIT).expect_err(&case["id"].to_string());
        assert!(error.rule().is_some(), "{}", case["id"]);
        if case["kind"] == "other-version" {
            assert!(matches!(error, DecodeError::ProtocolLevel(3 | 131)), "{}: {error}", case["id"]);
        }
        run += 1;
    }
    assert_eq!(run, 29);
}

#[test]
fn every_packet_that_must_not_be_written_is_rejected_or_cannot_be_represented() {
    let reasons = [
        ("mp-1", "no such packet"),
        ("mp-56", "packet would be longer than 256 MiB"),
        ("mp-75", "not a filter"),
        ("mp-85", "not this protocol"),
        ("mp-87", "an empty client id requires a clean session [MQTT-3.1.3-7]"),
        ("mp-89", "not a keep-alive"),
        ("mp-91", "a will needs a topic"),
        ("mp-93", "not a user name"),
        ("mp-95", "a password needs a user name"),
        ("mp-103", "not this protocol"),
        ("mp-105", "not a packet id"),
        ("mp-107", "not a packet id"),
        ("mp-109", "not a packet id"),
        ("mp-111", "not a packet id"),
    ];
    let vectors = vectors();
    let cases: Vec<_> = vectors.iter().filter(|case| case["kind"] == "encode-error").collect();
    assert_eq!(cases.len(), reasons.len());
    for (case, (id, reason)) in cases.into_iter().zip(reasons) {
        assert_eq!(case["id"], id);
        assert_eq!(write(&case["object"]), Err(reason.into()), "{id}: {}", case["name"]);
    }
    let connect = json!({"cmd": "connect", "protocolId": "MQTT", "protocolVersion": 4, "clientId": "c", "keepalive": 30,
        "clean": true, "will": {"topic": "t", "payload": "p"}, "username": "u", "password": "p"});
    assert!(
        write(&connect).is_ok(),
        "a complete packet is written, so each rejection above has its own reason"
    );
    assert_eq!(write(&json!({"cmd": "puback", "messageId": 7})), Ok(vec![0x40, 2, 0, 7]));
}

#[test]
fn the_packets_of_the_service_read_and_write() {
    let file: Value = serde_json::from_str(include_str!("data/mqtt_packets.json")).unwrap();
    for case in file["vectors"].as_array().unwrap() {
        let (name, wire) = (&case["name"], bytes(case));
        let packet = read(&mut &wire[..], LIMIT).unwrap_or_else(|error| panic!("{name}: {error}")).unwrap();
        assert_eq!(packet.write(), wire, "{name}");
        assert_eq!(fields(&packet)["name"], case["expect"]["packet"], "{name}");
    }
    for case in file["streams"].as_array().unwrap() {
        let mut stream = Stream::new(LIMIT);
        let mut seen = Vec::new();
        for frame in case["frames"].as_array().unwrap() {
            let frame = hex::decode(frame.as_str().unwrap()).unwrap();
            let mut input = &frame[..];
            while let Some(packet) = stream.next(&mut input).unwrap() {
                seen.push(fields(&Packet::FromServer(packet))["name"].clone());
            }
        }
        assert_eq!(&Value::from(seen), &case["expect"], "{}", case["name"]);
    }
    for case in file["malformed"].as_array().unwrap() {
        let wire = bytes(case);
        let read = read(&mut &wire[..], 131_072 + 512);
        if case["name"] == "suback-wrong-count" {
            let Ok(Some(Packet::FromServer(Inbound::SubAck(suback)))) = read else { panic!("{read:?}") };
            assert_ne!(
                suback.codes.len() as u64,
                case["request_filters"].as_u64().unwrap(),
                "the caller compares the numbers"
            );
        } else {
            assert!(read.is_err(), "{}", case["name"]);
        }
    }
}

#[test]
fn a_packet_one_byte_shorter_or_longer_with_a_matching_length_is_refused() {
    let mut run = 0;
    for case in vectors().iter().filter(|case| case["kind"] == "valid") {
        let wire = bytes(case);
        let (first, body) = parts(&wire);
        let publish = first >> 4 == 3;
        // One code fewer, or one byte of payload fewer, is another valid packet.
        let divisible = match first >> 4 {
            3 => case["packet"]["payload_hex"] != "",
            9 => body.len() > 3,
            _ => false,
        };
        if !body.is_empty() && !divisible {
            let shorter = with_length(first, &body[..body.len() - 1]);
            assert!(read(&mut &shorter[..], LIMIT).is_err(), "{} shortened", case["id"]);
            run += 1;
        }
        if !publish && first >> 4 != 9 {
            for extra in [0, 1, b'a', 0xff] {
                let longer = with_length(first, &[body, &[extra]].concat());
                assert!(read(&mut &longer[..], LIMIT).is_err(), "{} lengthened", case["id"]);
            }
            run += 1;
        }
    }
    assert!(run > 150, "{run}");
}

#[test]
fn every_first_byte_and_every_connack_is_accepted_or_refused_correctly() {
    for first in 0..=255_u8 {
        let expected = match first {
            0x20 | 0x40 | 0x50 | 0x62 | 0x70 | 0xb0 => true,
            // A topic of no bytes is refused in any PUBLISH, and so are all other types with this body.
            _ => false,
        };
        let wire = [first, 2, 0, u8::from(first >> 4 != 2)];
        assert_eq!(read(&mut &wire[..], LIMIT).is_ok(), expected, "{first:02x}");
        let publish = [first, 7, 0, 1, b'a', 0, 1, b'x', b'y'];
        let accepted = matches!(first, 0x30..=0x35 | 0x3a..=0x3d);
        assert_eq!(read(&mut &publish[..], LIMIT).is_ok(), accepted, "{first:02x}");
        if matches!(first & 0xf6, 0x36) {
            assert_eq!(
                read(&mut &[first][..], LIMIT),
                Err(DecodeError::QosThree),
                "before the rest has arrived"
            );
        }
    }
    let accepted = (0..=u16::MAX).filter(|pair| {
        let [flags, code] = pair.to_be_bytes();
        read(&mut &[0x20, 2, flags, code][..], LIMIT).is_ok()
    });
    assert_eq!(accepted.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 0x100]);
    for code in 0..=255 {
        let valid = matches!(code, 0..=2 | 0x80);
        assert_eq!(read(&mut &[0x90, 3, 0, 1, code][..], LIMIT).is_ok(), valid, "{code}");
    }
}

#[test]
fn each_error_names_its_rule() {
    for (hex, rule) in [
        ("00", "4.8.0-1"),
        ("f0", "4.8.0-1"),
        ("41020001", "2.2.2-2"),
        ("60020001", "2.2.2-2"),
        ("30ffffffff", "4.8.0-1"),
        ("40020000", "2.3.1-1"),
        ("500103", "4.8.0-1"),
        ("32050001610000", "2.3.1-1"),
        ("3004000261c0", "1.5.3-1"),
        ("30050003eda080", "1.5.3-1"),
        ("3003000100", "1.5.3-2"),
        ("30020000", "4.7.3-1"),
        ("300300012b", "3.3.2-2"),
        ("3803000161", "3.3.1-2"),
        ("36", "3.3.1-4"),
        ("20020105", "3.2.2-4"),
        ("20020200", "4.8.0-1"),
        ("9003000103", "3.9.3-2"),
        ("90020001", "4.8.0-1"),
        ("82020001", "3.8.3-3"),
        ("a2020001", "3.10.3-2"),
        ("820600010001 6103", "3.8.3-4"),
        ("8207000100026123 00", "4.7.1-2"),
        ("8207000100022b61 00", "4.7.1-3"),
        ("100c00044d51545504020000 0000", "3.1.2-1"),
        ("100c00044d51545405020000 0000", "3.1.2-2"),
        ("100c00044d51545404030000 0000", "3.1.2-3"),
        ("100c00044d515454040a0000 0000", "3.1.2-13"),
        ("100c00044d515454041e0000 0000", "3.1.2-14"),
        ("100c00044d51545404220000 0000", "3.1.2-15"),
        ("100c00044d51545404420000 0000", "3.1.2-22"),
    ] {
        let wire = hex::decode(hex.replace(' ', "")).unwrap();
        let error = read(&mut &wire[..], LIMIT).expect_err(hex);
        assert_eq!(error.rule().and_then(|rule| rule.strip_prefix("MQTT-")), Some(rule), "{hex}: {error}");
        assert!(error.to_string().ends_with(&format!("[MQTT-{rule}]")), "{error}");
    }
    assert_eq!(read(&mut &[0x30, 0x80, 0x80, 0x10][..], 131_584), Err(DecodeError::OverLimit));
}

#[test]
fn every_packet_in_pieces_of_every_size_and_cut_at_every_position_reads_like_the_whole() {
    let (mut from_server, mut from_client) = (Vec::new(), Vec::new());
    for case in vectors().iter().filter(|case| case["kind"] == "valid" || case["kind"] == "encode") {
        let wire = bytes(case);
        if matches!(read(&mut &wire[..], LIMIT), Ok(Some(Packet::FromClient(_)))) {
            from_client.push(wire);
        } else {
            from_server.push(wire);
        }
    }
    check_pieces(&from_server, Stream::new(LIMIT), |stream, input| {
        stream.next(input).unwrap().map(|packet| Packet::FromServer(packet).write())
    });
    check_pieces(&from_client, server::Stream::new(LIMIT), |stream, input| {
        stream.next(input).unwrap().map(|packet| Packet::FromClient(packet).write())
    });
}

/// Compares what a stream reads, encoded again, with the bytes, which have the form in which this crate writes them.
fn check_pieces<S: Clone>(packets: &[Vec<u8>], fresh: S, next: fn(&mut S, &mut &[u8]) -> Option<Vec<u8>>) {
    let read_all = |stream: &mut S, mut piece: &[u8], seen: &mut Vec<u8>| {
        while let Some(packet) = next(stream, &mut piece) {
            seen.extend_from_slice(&packet);
        }
        assert!(piece.is_empty());
    };
    let whole = packets.concat();
    // The second stream has a buffer in which the longest packet fits, so that no piece makes it grow.
    let mut used = fresh.clone();
    for piece in whole.chunks(1_000) {
        read_all(&mut used, piece, &mut Vec::new());
    }
    for stream in [&fresh, &used] {
        for size in 1..=300 {
            let (mut stream, mut seen) = (stream.clone(), Vec::new());
            whole.chunks(size).for_each(|piece| read_all(&mut stream, piece, &mut seen));
            assert!(seen == whole, "in pieces of {size}");
        }
        for wire in packets {
            let mut stream = stream.clone();
            // What follows in the same piece must not get into the packet.
            for follower in [0, 40, 70, 150] {
                let follower = &packets.concat()[..follower];
                // The long packets differ only in the length of their payload, so that positions within it may be skipped.
                for cut in (0..wire.len()).filter(|cut| *cut < 400 || cut % 97 == 0) {
                    let (mut stream, mut seen) = (stream.clone(), Vec::new());
                    read_all(&mut stream, &wire[..cut], &mut seen);
                    assert!(seen.is_empty(), "{wire:02x?} is not complete at {cut}");
                    let mut rest = &[&wire[cut..], follower].concat()[..];
                    assert_eq!(next(&mut stream, &mut rest).as_ref(), Some(wire), "cut at {cut}");
                    assert_eq!(rest, follower, "cut at {cut}");
                }
            }
            read_all(&mut stream, wire, &mut Vec::new());
        }
    }
}

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("data/mqtt311_vectors.json")).unwrap()
}

fn bytes(case: &Value) -> Vec<u8> {
    hex::decode(case["hex"].as_str().unwrap()).unwrap()
}

fn parts(wire: &[u8]) -> (u8, &[u8]) {
    let header = 2 + wire[1..].iter().take_while(|&&byte| byte >= 0x80).count();
    (wire[0], &wire[header..])
}

/// Encodes a packet described as in the vectors. What the types of this crate cannot represent is refused
/// here.
fn write(object: &Value) -> Result<Vec<u8>, String> {
    let text = |value: &Value, what: &str| value.as_str().map(String::from).ok_or(what.to_string());
    let id = || {
        let id = object["messageId"].as_u64().and_then(|id| u16::try_from(id).ok());
        id.and_then(PacketId::new).ok_or("not a packet id")
    };
    let mut out = Vec::new();
    let (topic, client_id, will, user_name, password, payload);
    match object["cmd"].as_str().unwrap_or_default() {
        "publish" => {
            topic = text(&object["topic"], "not a topic")?;
            payload = vec![0; object["payload"]["len"].as_u64().unwrap_or_default() as usize];
            let topic = Topic::new(&topic).map_err(|error| error.to_string())?;
            Publish::new(topic, &payload, Delivery::AtMostOnce).encode(&mut out)
        }
        "connect" => {
            let known = matches!(object["protocolId"].as_str(), None | Some("MQTT" | "MQIsdp"))
                && (object["protocolId"].is_null() || object["protocolId"].is_string())
                && matches!(object["protocolVersion"].as_u64(), None | Some(3 | 4));
            if !known {
                return Err("not this protocol".into());
            }
            let keep_alive = object["keepalive"].as_u64().and_then(|it| u16::try_from(it).ok());
            let is_absent = object["keepalive"].is_null();
            let keep_alive = if is_absent { 0 } else { keep_alive.ok_or("not a keep-alive")? };
            client_id = object["clientId"].as_str().unwrap_or_default();
            let mut connect = Connect::new(ClientId::new(client_id).unwrap(), keep_alive);
            connect.clean_session = object["clean"] != false;
            if let Some(given) = object["will"].as_object() {
                will = text(given.get("topic").unwrap_or(&Value::Null), "a will needs a topic")?;
                let topic = Topic::new(&will).map_err(|error| error.to_string())?;
                connect.will = Some(Will { topic, payload: b"p", qos: QoS::AtMostOnce, retain: false });
            }
            password = object["password"].as_str();
            if !object["username"].is_null() {
                user_name = text(&object["username"], "not a user name")?;
                let user_name = Text::new(&user_name).unwrap();
                connect.login = Some(Login { user_name, password: password.map(str::as_bytes) });
            } else if password.is_some() {
                return Err("a password needs a user name".into());
            }
            Outbound::Connect(connect).encode(&mut out)
        }
        "unsubscribe" => {
            let given = object["unsubscriptions"].as_array().ok_or("not filters")?;
            let given = given.iter().map(|it| it.as_str().and_then(|it| Filter::new(it).ok()));
            let filters: Vec<Filter<'_>> = given.collect::<Option<_>>().ok_or("not a filter")?;
            Outbound::Unsubscribe { id: id()?, filters: &filters }.encode(&mut out)
        }
        "puback" => Outbound::PubAck(id()?).encode(&mut out),
        "pubrel" => Outbound::PubRel(id()?).encode(&mut out),
        "suback" => {
            let codes = ReturnCodes::new(&[0]).unwrap();
            server::Outbound::SubAck(SubAck { id: id()?, codes }).encode(&mut out)
        }
        "unsuback" => server::Outbound::UnsubAck(id()?).encode(&mut out),
        _ => return Err("no such packet".into()),
    }
    .map_err(|refusal| refusal.to_string())?;
    Ok(out)
}

/// Packet described as in the vectors.
fn fields(packet: &Packet<'_>) -> Value {
    let with_id = |name: &str, id: mysa_mqtt_codec::PacketId| json!({"name": name, "packet_id": id});
    let mut seen = match *packet {
        Packet::FromServer(packet) => match packet {
            Inbound::ConnAck(ConnAck::Accepted { session_present }) => {
                json!({"name": "CONNACK", "session_present": session_present, "return_code": 0})
            }
            Inbound::ConnAck(ConnAck::Refused(code)) => {
                json!({"name": "CONNACK", "session_present": false, "return_code": code.to_byte()})
            }
            Inbound::Publish(publish) => json!({
                "name": "PUBLISH", "topic": publish.topic.as_str(), "payload_hex": hex::encode(publish.payload),
                "qos": publish.delivery.qos().to_byte(), "packet_id": publish.delivery.id(),
                "dup": publish.dup, "retain": publish.retain,
            }),
            Inbound::PubAck(id) => with_id("PUBACK", id),
            Inbound::PubRec(id) => with_id("PUBREC", id),
            Inbound::PubRel(id) => with_id("PUBREL", id),
            Inbound::PubComp(id) => with_id("PUBCOMP", id),
            Inbound::SubAck(suback) => {
                json!({"name": "SUBACK", "packet_id": suback.id, "return_codes": suback.codes.as_bytes()})
            }
            Inbound::UnsubAck(id) => with_id("UNSUBACK", id),
            Inbound::PingResp => json!({"name": "PINGRESP"}),
        },
        Packet::FromClient(packet) => match packet {
            server::Inbound::Connect(connect) => json!({
                "name": "CONNECT", "protocol_level": 4, "client_id": connect.client_id.as_str(),
                "keep_alive": connect.keep_alive, "clean_session": connect.clean_session,
                "username": connect.login.map(|login| login.user_name.as_str()),
                "password_hex": connect.login.and_then(|login| login.password).map(hex::encode),
                "will": connect.will.map(|will| json!({
                    "topic": will.topic.as_str(), "message_hex": hex::encode(will.payload),
                    "qos": will.qos.to_byte(), "retain": will.retain,
                })),
            }),
            server::Inbound::Subscribe(it) => {
                let each = |(filter, qos): (mysa_mqtt_codec::Filter<'_>, QoS)| json!({"filter": filter.as_str(), "qos": qos.to_byte()});
                json!({"name": "SUBSCRIBE", "packet_id": it.id, "filters": it.filters().map(each).collect::<Vec<_>>()})
            }
            server::Inbound::Unsubscribe(it) => {
                let each = |filter: mysa_mqtt_codec::Filter<'_>| json!({"filter": filter.as_str()});
                json!({"name": "UNSUBSCRIBE", "packet_id": it.id, "filters": it.filters().map(each).collect::<Vec<_>>()})
            }
            server::Inbound::PingReq => json!({"name": "PINGREQ"}),
            server::Inbound::Disconnect => json!({"name": "DISCONNECT"}),
            other => panic!("{other:?} goes both ways"),
        },
    };
    let name = seen["name"].as_str().unwrap();
    let kinds = [
        "",
        "CONNECT",
        "CONNACK",
        "PUBLISH",
        "PUBACK",
        "PUBREC",
        "PUBREL",
        "PUBCOMP",
        "SUBSCRIBE",
        "SUBACK",
        "UNSUBSCRIBE",
        "UNSUBACK",
        "PINGREQ",
        "PINGRESP",
        "DISCONNECT",
    ];
    seen["type"] = kinds.iter().position(|kind| *kind == name).into();
    seen
}
