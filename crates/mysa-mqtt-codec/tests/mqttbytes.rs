//! Behaviour of mqttbytes 0.6 on bytes that the standard forbids, which is why this crate does not build on it. The
//! tests keep these statements about another crate true.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use bytes::BytesMut;
use mqttbytes::v4::{Connect, Login, Publish, read};
use mysa_mqtt_codec::server;

fn accepts(hex: &str) -> bool {
    read(&mut BytesMut::from(&hex::decode(hex).unwrap()[..]), 1 << 20).is_ok()
}

fn refused_here(hex: &str) -> bool {
    let wire = hex::decode(hex).unwrap();
    mysa_mqtt_codec::decode(&mut &wire[..], 1 << 20).is_err()
        && server::decode(&mut &wire[..], 1 << 20).is_err()
}

#[test]
fn mqttbytes_accepts_what_the_standard_forbids() {
    let cases = [
        ("+ in a topic", "30040001 2b78"),
        ("# in a topic", "30040001 2378"),
        ("NUL in a topic", "30040001 0078"),
        ("an empty topic", "3003000078"),
        ("DUP with QoS 0", "38040001 6178"),
        ("flags of PUBACK", "4f020001"),
        ("flags of PUBREC", "5f020001"),
        ("flags of PUBREL", "60020001"),
        ("flags of PUBCOMP", "7f020001"),
        ("flags of CONNACK", "2f020000"),
        ("flags of SUBACK", "9f03000100"),
        ("flags of UNSUBACK", "bf020001"),
        ("flags of SUBSCRIBE", "8006000100016100"),
        ("flags of UNSUBSCRIBE", "a0050001000161"),
        ("flags of PINGREQ", "cf00"),
        ("flags of PINGRESP", "df00"),
        ("flags of DISCONNECT", "ef00"),
        ("id 0 in PUBACK", "40020000"),
        ("id 0 in PUBREC", "50020000"),
        ("id 0 in PUBREL", "62020000"),
        ("id 0 in PUBCOMP", "70020000"),
        ("id 0 in SUBACK", "9003000000"),
        ("id 0 in UNSUBACK", "b0020000"),
        ("id 0 in SUBSCRIBE", "8206000000016100"),
        ("id 0 in UNSUBSCRIBE", "a2050000000161"),
        ("a trailing byte in CONNACK", "2003000000"),
        ("a trailing byte in PINGREQ", "c00100"),
        ("a trailing byte in PINGRESP", "d00100"),
        ("a trailing byte in DISCONNECT", "e00100"),
        ("a reserved CONNACK flag", "20020200"),
        ("a session with a refusal", "20020105"),
        ("a filter with # in the middle", "820800010003232f6100"),
        ("a filter with + beside a letter", "8207000100022b6100"),
        ("an empty filter", "82050001000000"),
        ("a NUL in a filter", "8206000100010000"),
        ("the reserved CONNECT flag", "100d00044d5154540403000000016 1"),
        ("protocol level 5", "100d00044d5154540502000000016 1"),
        ("+ in a filter after a letter", "8207000100026 12b00"),
        ("# in a filter after a letter", "8207000100026 12300"),
        ("an empty filter in UNSUBSCRIBE", "a20400010000"),
        ("a NUL in a filter of UNSUBSCRIBE", "a205000100010 0"),
        ("# in the middle in UNSUBSCRIBE", "a2070001000323 2f61"),
        ("+ beside a letter in UNSUBSCRIBE", "a206000100022b61"),
        ("reserved bits of a requested QoS", "82060001000161 04"),
        ("a SUBSCRIBE without filters", "82020001"),
        ("an UNSUBSCRIBE without filters", "a2020001"),
        ("a trailing byte in PUBACK", "4003000100"),
        ("a trailing byte in PUBREC", "5003000100"),
        ("a trailing byte in PUBREL", "6203000100"),
        ("a trailing byte in PUBCOMP", "7003000100"),
        ("a trailing byte in CONNECT", "100e00044d51545404020000000161 00"),
        ("flags of CONNECT", "1f0d00044d51545404020000000161"),
        ("a NUL in a client id", "100d00044d51545404020000000100"),
        ("a NUL in a user name", "101000044d51545404820000000161 000100"),
        ("a NUL in a will topic", "101200044d51545404060000000161 0001000000"),
        ("a wildcard in a will topic", "101200044d51545404060000000161 00012b0000"),
        ("an empty will topic", "101100044d51545404060000000161 00000000"),
        ("a password without a user name", "101000044d51545404420000000161 000170"),
    ];
    assert_eq!(cases.len(), 58, "the number in the crate's docs");
    for (what, hex) in cases {
        let hex = hex.replace(' ', "");
        assert!(accepts(&hex), "mqttbytes refuses {what}");
        assert!(refused_here(&hex), "{what}");
    }
}

#[test]
fn mqttbytes_refuses_a_binary_password() {
    let wire = "101400044d51545404c20000000163000175 0002fffe".replace(' ', "");
    assert!(!accepts(&wire));
    let wire = hex::decode(wire).unwrap();
    let Ok(Some(server::Inbound::Connect(connect))) = server::decode(&mut &wire[..], 64) else { panic!() };
    assert_eq!(connect.login.and_then(|login| login.password), Some(&[0xff, 0xfe][..]));
}

#[test]
fn mqttbytes_corrupts_a_connect_appended_to_a_buffer_that_is_not_empty() {
    let mut connect = Connect::new("c");
    connect.login = Some(Login::new("u", "p"));
    let (mut alone, mut appended) = (BytesMut::new(), BytesMut::from(&[0xc0, 0][..]));
    connect.write(&mut alone).unwrap();
    connect.write(&mut appended).unwrap();
    assert_ne!(alone[..], appended[2..]);

    let (mut ours, mut after) = (Vec::new(), vec![0xc0, 0]);
    let Ok(Some(server::Inbound::Connect(connect))) = server::decode(&mut &alone[..], 64) else { panic!() };
    mysa_mqtt_codec::Outbound::Connect(connect).encode(&mut ours).unwrap();
    mysa_mqtt_codec::Outbound::Connect(connect).encode(&mut after).unwrap();
    assert_eq!((&ours[..], &after[2..]), (&alone[..], &alone[..]));
}

#[test]
fn mqttbytes_writes_the_length_of_a_topic_modulo_65536() {
    let mut wire = BytesMut::new();
    Publish::new("t".repeat(65_537), mqttbytes::QoS::AtMostOnce, "x").write(&mut wire).unwrap();
    assert_eq!(wire[4..6], [0, 1], "the length field states one byte");
}
