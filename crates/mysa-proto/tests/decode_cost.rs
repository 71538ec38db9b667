//! Decoding of arbitrary payloads neither allocates nor panics.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod vectors;

use std::time::Duration;

use mysa_proto::{
    Body, DeviceState, Json, Message, ModeTable, Now, Observation, RawJson, TopicKind, UnixTime,
};
use proptest::prelude::*;

#[test]
fn decoding_and_observing_do_not_allocate() {
    let received = Now { mono: Duration::from_secs(1), wall: UnixTime::from_secs(1_767_323_045) };
    let mut decoded = 0;
    for case in vectors::cases(include_str!("data/messages.json")) {
        let payload = vectors::payload(&case);
        let mut state = DeviceState::new();
        let allocations = allocation_counter::measure(|| {
            for topic in [TopicKind::Out, TopicKind::In] {
                let message = Message::decode(topic, &payload).unwrap();
                decoded += message.unknown_fields().count();
                if let Some(seen) = Observation::from_message(&message, &ModeTable::OBSERVED, None, received)
                {
                    decoded += state.observe(&seen).iter().count();
                }
            }
        });
        assert_eq!(allocations.count_total, 0, "{}", case["name"]);
    }
    assert!(decoded > 50, "the measured code was run");
}

/// Text that resembles a message: JSON punctuation and known keys.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\\",
            "\\u",
            "\\ud83d",
            "-",
            "-1",
            "0",
            "1e",
            "1e999",
            "0.5",
            "40",
            "44",
            "null",
            "true",
            "nan",
            "-inf",
            "\n",
            "\0",
            "é",
            "\u{1}",
            "\"msg\":",
            "\"MsgType\":",
            "\"body\":{",
            "\"src\":{\"type\":1,\"ref\":\"a\"}",
            "\"ambTemp\":",
            "\"reading\":{",
            "\"state\":{",
            "\"cmd\":",
            "\"br\":{",
            "\"events\":[\"1|0|5|3|20\"]",
            "\"id\":18446744073709551615",
            "\"time\":1767323045",
        ])
        .prop_map(|token| token.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

/// Message of the vectors with a few changed bytes.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let payloads: Vec<_> =
        vectors::cases(include_str!("data/messages.json")).iter().map(vectors::payload).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(payloads), changes).prop_map(|(mut payload, changes)| {
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        payload
    })
}

proptest! {
    #[test]
    fn no_payload_panics_and_every_decoded_message_can_be_iterated(
        payload in prop_oneof![nearly_json(), mutated(), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        for topic in [TopicKind::In, TopicKind::Out, TopicKind::Batch] {
            let _ = Message::salvage(topic, &payload);
            match Message::decode(topic, &payload) {
                Ok(message) => {
                    message.unknown_fields().for_each(|(key, value)| drop((key.to_string(), value.value())));
                    match &message.body {
                        Body::Command(command) => {
                            command.changes.iter().for_each(|changes| assert!(changes.iter().count() <= payload.len()));
                        }
                        Body::Schedule(schedule) => assert!(schedule.events().count() <= payload.len()),
                        _ => {}
                    }
                    prop_assert_eq!(RawJson::new(message.raw.as_str()), Ok(message.raw));
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn strict_json_decodes_to_the_same_values_as_with_a_strict_reader(value in json_value(4)) {
        let text = value.to_string();
        let raw = RawJson::new(&text).unwrap();
        prop_assert_eq!(rebuilt(raw), value);
    }
}

fn json_value(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        prop::num::f64::NORMAL.prop_map(Into::into),
        (-1_000_000_i32..1_000_000).prop_map(|n| (f64::from(n) / 1000.0).into()),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(depth, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn rebuilt(raw: RawJson<'_>) -> serde_json::Value {
    match raw.value() {
        Json::Null => serde_json::Value::Null,
        Json::Bool(value) => value.into(),
        Json::Number(number) => {
            let whole = !number.as_str().contains(['.', 'e', 'E']);
            match number.to_integer() {
                Some((false, magnitude)) if whole => magnitude.into(),
                Some((true, _)) if whole => number.to_i64().unwrap().into(),
                _ => number.to_f64().unwrap().into(),
            }
        }
        Json::String(text) => text.to_string().into(),
        Json::Array(list) => list.elements().map(rebuilt).collect(),
        Json::Object(object) => {
            object.members().map(|(key, value)| (key.to_string(), rebuilt(value))).collect()
        }
    }
}
