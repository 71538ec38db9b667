//! One-way oracle: mqttbytes, mqttrs and rumqttc accept what this crate accepts, with equal fields, and read
//! what it writes. The converse does not hold: they accept much that the standard forbids.
//! Each known defect of theirs is a function here, with the rule that it breaks; the last test shows each
//! one.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

#[expect(dead_code, reason = "shared with tests that use other parts")]
mod common;

use bytes::BytesMut;
use common::read;
use common::spec::{ConnectSpec, Spec, spec};
use proptest::prelude::*;
use serde_json::Value;

const LIMIT: u32 = 1 << 20;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn peers_decode_our_packets(spec in spec()) {
        compare(&spec.encode())?;
    }

    #[test]
    fn peers_accept_what_this_codec_accepts(spec in spec(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut wire = spec.encode();
        let at = at.index(wire.len().min(48));
        wire[at] = byte;
        compare(&wire)?;
    }
}

#[test]
fn peers_accept_every_vector_that_this_codec_accepts() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("data/mqtt311_vectors.json")).unwrap();
    let mut run = 0;
    for case in vectors.iter().filter(|case| case["kind"] == "valid") {
        let wire = hex::decode(case["hex"].as_str().unwrap()).unwrap();
        compare(&wire).unwrap_or_else(|error| panic!("{}: {error}", case["id"]));
        run += 1;
    }
    assert_eq!(run, 192);
}

#[test]
fn each_listed_defect_exists() {
    let wire = hex::decode("101400044d51545404c200000001630001750002fffe").unwrap();
    assert!(mqttbytes_read(&wire).is_err() && rumqttc_read(&wire).is_err(), "a binary password [3.1.3.5]");
    let wire = hex::decode("100f00044d515454048200000001630000").unwrap();
    let Ok(Some(ours)) = read(&mut &wire[..], LIMIT) else { panic!() };
    for theirs in [mqttbytes_read(&wire).unwrap(), rumqttc_read(&wire).unwrap()] {
        assert_ne!(theirs, Spec::of(&ours), "an empty user name is no user name [MQTT-3.1.2-18]");
    }
    let wire = hex::decode("101200044d51545404c2000000016300017500 00".replace(' ', "")).unwrap();
    let Ok(Some(ours)) = read(&mut &wire[..], LIMIT) else { panic!() };
    for theirs in [mqttbytes_read(&wire).unwrap(), rumqttc_read(&wire).unwrap()] {
        assert_ne!(theirs, Spec::of(&ours), "an empty password is no password [MQTT-3.1.2-20]");
    }
}

fn compare(wire: &[u8]) -> Result<(), TestCaseError> {
    let Ok(Some(packet)) = read(&mut &wire[..], LIMIT) else { return Ok(()) };
    let ours = Spec::of(&packet);
    prop_assert_eq!(mqttrs_read(wire), Ok(ours.clone()), "mqttrs");
    if has_binary_password(&ours) {
        return Ok(());
    }
    let expected = without_what_is_empty_in_login(ours);
    prop_assert_eq!(mqttbytes_read(wire), Ok(expected.clone()), "mqttbytes");
    prop_assert_eq!(rumqttc_read(wire), Ok(expected), "rumqttc");
    Ok(())
}

/// mqttbytes and rumqttc read a password as a string and refuse any other: 3.1.3.5 specifies binary data.
fn has_binary_password(spec: &Spec) -> bool {
    let Spec::Connect(ConnectSpec { login: Some((_, Some(password))), .. }) = spec else { return false };
    core::str::from_utf8(password).is_err()
}

/// mqttbytes and rumqttc treat an empty user name or password as absent, against \[MQTT-3.1.2-18\] to
/// \[MQTT-3.1.2-21\].
fn without_what_is_empty_in_login(mut spec: Spec) -> Spec {
    if let Spec::Connect(ConnectSpec { login, .. }) = &mut spec {
        *login = login.take().and_then(|(user, password)| login_of(user, password.unwrap_or_default()));
    }
    spec
}

fn login_of(user: String, password: Vec<u8>) -> Option<(String, Option<Vec<u8>>)> {
    let password = (!password.is_empty()).then_some(password);
    (!user.is_empty() || password.is_some()).then_some((user, password))
}

/// Both have the same types under different names.
macro_rules! reader {
    ($name:ident, $peer:path, $read:expr) => {
        fn $name(wire: &[u8]) -> Result<Spec, String> {
            use v4::{Packet, SubscribeReasonCode};
            use $peer as v4;
            let mut input = BytesMut::from(wire);
            let packet = $read(&mut input, LIMIT as usize).map_err(|error| format!("{error:?}"))?;
            Ok(match packet {
                Packet::Connect(it) => Spec::Connect(ConnectSpec {
                    client_id: it.client_id,
                    keep_alive: it.keep_alive,
                    clean_session: it.clean_session,
                    will: it
                        .last_will
                        .map(|will| (will.topic, will.message.to_vec(), will.qos as u8, will.retain)),
                    login: it.login.and_then(|it| login_of(it.username, it.password.into_bytes())),
                }),
                Packet::ConnAck(it) => {
                    Spec::ConnAck { session_present: it.session_present, code: it.code as u8 }
                }
                Packet::Publish(it) => Spec::Publish {
                    topic: it.topic,
                    payload: it.payload.to_vec(),
                    qos: it.qos as u8,
                    id: (it.pkid != 0).then_some(it.pkid),
                    dup: it.dup,
                    retain: it.retain,
                },
                Packet::PubAck(it) => Spec::PubAck(it.pkid),
                Packet::PubRec(it) => Spec::PubRec(it.pkid),
                Packet::PubRel(it) => Spec::PubRel(it.pkid),
                Packet::PubComp(it) => Spec::PubComp(it.pkid),
                Packet::Subscribe(it) => {
                    let filters = it.filters.into_iter().map(|filter| (filter.path, filter.qos as u8));
                    Spec::Subscribe(it.pkid, filters.collect())
                }
                Packet::SubAck(it) => {
                    let codes = it.return_codes.into_iter().map(|code| match code {
                        SubscribeReasonCode::Success(qos) => qos as u8,
                        SubscribeReasonCode::Failure => 0x80,
                    });
                    Spec::SubAck(it.pkid, codes.collect())
                }
                Packet::Unsubscribe(it) => Spec::Unsubscribe(it.pkid, it.topics),
                Packet::UnsubAck(it) => Spec::UnsubAck(it.pkid),
                Packet::PingReq => Spec::PingReq,
                Packet::PingResp => Spec::PingResp,
                Packet::Disconnect => Spec::Disconnect,
            })
        }
    };
}

reader!(mqttbytes_read, mqttbytes::v4, v4::read);
reader!(rumqttc_read, rumqttc::mqttbytes::v4, v4::Packet::read);

fn mqttrs_read(wire: &[u8]) -> Result<Spec, String> {
    use mqttrs::{Packet, QosPid, SubscribeReturnCodes};
    let packet = mqttrs::decode_slice(wire).map_err(|error| format!("{error:?}"))?.ok_or("incomplete")?;
    Ok(match packet {
        Packet::Connect(it) => Spec::Connect(ConnectSpec {
            client_id: it.client_id.into(),
            keep_alive: it.keep_alive,
            clean_session: it.clean_session,
            will: it
                .last_will
                .map(|will| (will.topic.into(), will.message.into(), will.qos as u8, will.retain)),
            login: it.username.map(|user| (user.into(), it.password.map(Vec::from))),
        }),
        Packet::Connack(it) => Spec::ConnAck { session_present: it.session_present, code: it.code as u8 },
        Packet::Publish(it) => Spec::Publish {
            topic: it.topic_name.into(),
            payload: it.payload.into(),
            qos: it.qospid.qos() as u8,
            id: match it.qospid {
                QosPid::AtMostOnce => None,
                QosPid::AtLeastOnce(id) | QosPid::ExactlyOnce(id) => Some(id.get()),
            },
            dup: it.dup,
            retain: it.retain,
        },
        Packet::Puback(id) => Spec::PubAck(id.get()),
        Packet::Pubrec(id) => Spec::PubRec(id.get()),
        Packet::Pubrel(id) => Spec::PubRel(id.get()),
        Packet::Pubcomp(id) => Spec::PubComp(id.get()),
        Packet::Subscribe(it) => {
            let filters = it.topics.into_iter().map(|it| (it.topic_path.to_string(), it.qos as u8));
            Spec::Subscribe(it.pid.get(), filters.collect())
        }
        Packet::Suback(it) => {
            let codes = it.return_codes.into_iter().map(|code| match code {
                SubscribeReturnCodes::Success(qos) => qos as u8,
                SubscribeReturnCodes::Failure => 0x80,
            });
            Spec::SubAck(it.pid.get(), codes.collect())
        }
        Packet::Unsubscribe(it) => {
            Spec::Unsubscribe(it.pid.get(), it.topics.into_iter().map(|it| it.to_string()).collect())
        }
        Packet::Unsuback(id) => Spec::UnsubAck(id.get()),
        Packet::Pingreq => Spec::PingReq,
        Packet::Pingresp => Spec::PingResp,
        Packet::Disconnect => Spec::Disconnect,
    })
}
