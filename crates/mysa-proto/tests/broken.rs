//! Payloads that are not messages: too long, truncated, or not UTF-8.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod vectors;

use mysa_proto::{DecodeError, JsonError, Message, TopicKind};
use vectors::{cases, payload};

#[test]
fn a_payload_over_the_limit_of_the_broker_is_rejected_without_reading() {
    let huge = vec![b' '; Message::MAX_LEN + 1];
    assert_eq!(
        Message::decode(TopicKind::Out, &huge),
        Err(DecodeError::TooLarge { len: Message::MAX_LEN + 1 })
    );
    let mut fits = br#"{"Device":"a0b1c2d3e4f6","MsgType":4,"Timestamp":1767323045,"Message":""#.to_vec();
    fits.resize(Message::MAX_LEN - 2, b'x');
    fits.extend(b"\"}");
    assert!(Message::decode(TopicKind::Out, &fits).is_ok());
}

#[test]
fn a_message_cut_at_any_byte_is_truncated_there() {
    for case in cases(include_str!("data/messages.json")) {
        let bytes = payload(&case);
        for cut in 1..bytes.len() {
            match Message::decode(TopicKind::Out, &bytes[..cut]) {
                Err(DecodeError::Json(JsonError::Truncated { at, .. })) => {
                    assert_eq!(at, cut, "{}", case["name"])
                }
                other => panic!("{} cut at {cut}: {other:?}", case["name"]),
            }
        }
    }
}

/// Inserts the byte everywhere, even where nothing would read it: in a key, a value, a number, or after a
/// truncation.
#[test]
fn invalid_utf8_takes_precedence_over_every_other_error() {
    for case in cases(include_str!("data/messages.json")) {
        let whole = payload(&case);
        for at in 0..whole.len() {
            for byte in [0x80, 0xC3, 0xE2, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                for bytes in [&bytes[..], &bytes[..=at]] {
                    let error = std::str::from_utf8(bytes).unwrap_err();
                    let expected = match error.error_len() {
                        Some(_) => DecodeError::NotUtf8 { at: error.valid_up_to() },
                        None => DecodeError::Json(JsonError::Truncated {
                            at: bytes.len(),
                            expected: "the rest of a character",
                        }),
                    };
                    assert_eq!(
                        Message::decode(TopicKind::Out, bytes),
                        Err(expected),
                        "{}",
                        bytes.escape_ascii()
                    );
                }
            }
        }
    }
    for text in ["\u{e9}", "\u{20ac}", "\u{1f525}"] {
        for around in [r#"{"msg":40,"src":{"ref":"*"},"body":{}}"#, r#"{"*":1}"#, r#"{"x":["*\n"]}"#] {
            let bytes = around.replace('*', text);
            assert_eq!(Message::decode(TopicKind::Out, bytes.as_bytes()).unwrap().raw.as_str(), bytes);
        }
    }
}
