//! One-way oracle: mqttbytes, mqttrs and rumqttc accept what this crate accepts, with equal fields, and read
//! what it writes. The converse does not hold: they accept much that the standard forbids.
//! `Codec::expected` names each known defect of theirs, with the rule that it breaks; the last test shows each
//! one.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

#[expect(dead_code, reason = "shared with tests that use other parts")]
mod common;

use common::spec::{Spec, spec};
use mysa_testkit::codec::{Codec, Mqttbytes, Mqttrs, Rumqttc, compare, compare_stream};
use proptest::prelude::*;
use serde_json::Value;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn peers_decode_our_packets(spec in spec()) {
        check(&spec.encode()).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn peers_accept_what_this_codec_accepts(spec in spec(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut wire = spec.encode();
        let at = at.index(wire.len().min(48));
        wire[at] = byte;
        check(&wire).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn peers_find_as_many_packets_in_a_stream(specs in prop::collection::vec(spec(), 1..8), size in 1..300_usize) {
        let wire: Vec<u8> = specs.iter().flat_map(Spec::encode).collect();
        compare_stream(&mut Mqttrs::default(), &wire, size).map_err(TestCaseError::fail)?;
        compare_stream(&mut Mqttbytes::default(), &wire, size).map_err(TestCaseError::fail)?;
        compare_stream(&mut Rumqttc::default(), &wire, size).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn peers_accept_every_vector_that_this_codec_accepts() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("data/mqtt311_vectors.json")).unwrap();
    let mut run = 0;
    for case in vectors.iter().filter(|case| case["kind"] == "valid") {
        let wire = hex::decode(case["hex"].as_str().unwrap()).unwrap();
        check(&wire).unwrap_or_else(|error| panic!("{}: {error}", case["id"]));
        run += 1;
    }
    assert_eq!(run, 192);
}

#[test]
fn each_listed_defect_exists() {
    let wire = hex::decode("101400044d51545404c200000001630001750002fffe").unwrap();
    for theirs in both(&wire) {
        assert!(theirs.is_err(), "a binary password [3.1.3.5]");
    }
    let wire = hex::decode("100f00044d515454048200000001630000").unwrap();
    let (ours, _) = Spec::read(&wire).unwrap();
    for theirs in both(&wire) {
        assert_ne!(theirs.as_ref(), Ok(&ours), "an empty user name is no user name [MQTT-3.1.2-18]");
        assert_eq!(theirs.ok(), Mqttbytes::expected(ours.clone()));
    }
    let wire = hex::decode("101200044d51545404c2000000016300017500 00".replace(' ', "")).unwrap();
    let (ours, _) = Spec::read(&wire).unwrap();
    for theirs in both(&wire) {
        assert_ne!(theirs.as_ref(), Ok(&ours), "an empty password is no password [MQTT-3.1.2-20]");
        assert_eq!(theirs.ok(), Mqttbytes::expected(ours.clone()));
    }
}

fn both(wire: &[u8]) -> [Result<Spec, String>; 2] {
    [Mqttbytes::decode(wire).unwrap(), Rumqttc::decode(wire).unwrap()]
}

fn check(wire: &[u8]) -> Result<(), String> {
    compare::<Mqttrs>(wire)?;
    compare::<Mqttbytes>(wire)?;
    compare::<Rumqttc>(wire)
}
