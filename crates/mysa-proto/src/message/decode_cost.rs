use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::json::work;
use crate::{Message, TopicKind};

#[test]
fn work_is_linear_in_the_length_of_hostile_payloads() {
    const SMALL: usize = 8_000;
    for ((name, small), (_, large)) in hostile(SMALL).iter().zip(&hostile(SMALL * 16 - 200)) {
        assert!(large.len() <= Message::MAX_LEN, "{name}: {} bytes are refused unread", large.len());
        for (task, run) in TASKS {
            // Rounded up, so that a payload given up on at once counts as one look at each byte.
            let looks_at_each = |payload: &String| work::measure(|| run(payload)).div_ceil(payload.len());
            let (in_small, in_large) = (looks_at_each(small), looks_at_each(large));
            // Quadratic work would look sixteen times as often.
            assert!(
                in_large <= in_small + 1,
                "{name}, {task}: {in_small} looks at each byte, then {in_large}"
            );
            assert!(in_large <= MOST_LOOKS, "{name}, {task}: {in_large} looks at each byte");
        }
    }
}

/// Bound of the number of times a byte is looked at: an escaped key is compared with every key that is known.
const MOST_LOOKS: usize = 32;

type Task = fn(&str);

/// The ways to read a payload.
const TASKS: [(&str, Task); 4] = [
    ("decode from a device", |payload| drop(Message::decode(TopicKind::Out, payload.as_bytes()))),
    ("decode to a device", |payload| drop(Message::decode(TopicKind::In, payload.as_bytes()))),
    ("salvage", |payload| {
        let _ = Message::salvage(TopicKind::Out, payload.as_bytes());
    }),
    ("list unknown fields", |payload| {
        if let Ok(message) = Message::decode(TopicKind::Out, payload.as_bytes()) {
            message.unknown_fields().for_each(drop);
        }
    }),
];

/// Payloads that make careless readers do more than linear work, each of about `len` bytes.
fn hostile(len: usize) -> Vec<(&'static str, String)> {
    let status = |value: String| format!(r#"{{"msg":40,"body":{{"ambTemp":{value},"stpt":20}}}}"#);
    let keys = len / 20;
    vec![
        ("open brackets", "[".repeat(len)),
        ("open objects", "{\"a\":".repeat(len / 5)),
        (
            "sixty levels, again and again",
            status(format!("[{}1]", format!("{}1{},", "[".repeat(60), "]".repeat(60)).repeat(len / 123))),
        ),
        ("readings in readings", format!("{{\"msg\":40,\"body\":{}", "{\"reading\":".repeat(len / 11))),
        ("long digits", status("1".repeat(len))),
        ("long fraction", status(format!("0.{}", "3".repeat(len)))),
        ("long exponent", status(format!("1e{}", "9".repeat(len)))),
        ("balanced exponent", status(format!("{}e-{len}", "7".repeat(len)))),
        ("digits in a string", status(format!("\"{}\"", "5".repeat(len)))),
        ("escapes", format!(r#"{{"MsgType":4,"Message":"{}"}}"#, "\\u00e9".repeat(len / 6))),
        ("backslashes", format!(r#"{{"MsgType":4,"Message":"{}"}}"#, "\\".repeat(len & !1))),
        ("escaped keys", format!("{{{}\"msg\":40}}", "\"\\u0061aaaaaaaaa\":1,".repeat(keys))),
        ("many members", format!("{{{}\"msg\":40}}", "\"ambTemp1\":123456,".repeat(keys))),
        ("bodies before their number", format!("{{{}\"msg\":40}}", "\"body\":{\"hum\":1},".repeat(keys))),
        ("spaces", format!("{{{}\"msg\":40}}", " ".repeat(len))),
        ("trailing NULs", format!("{{\"msg\":40}}{}", "\0".repeat(len))),
        ("commands", format!(r#"{{"msg":44,"body":{{"cmd":[{}{{}}]}}}}"#, "{},".repeat(len / 3))),
    ]
}
