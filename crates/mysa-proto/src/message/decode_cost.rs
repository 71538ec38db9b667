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
        assert!(
            large.len() <= Message::MAX_LEN,
            "{name}: {} bytes are rejected without being read",
            large.len()
        );
        for (task, run) in TASKS {
            // Rounded up, so that a payload that is rejected immediately counts as one examination of each
            // byte.
            let reads_of_each_byte =
                |payload: &String| work::measure(|| run(payload)).div_ceil(payload.len());
            let (in_small, in_large) = (reads_of_each_byte(small), reads_of_each_byte(large));
            // Quadratic work would examine each byte sixteen times as often.
            assert!(
                in_large <= in_small + 1,
                "{name}, {task}: {in_small} reads of each byte, then {in_large}"
            );
            assert!(in_large <= MAX_READS_OF_EACH_BYTE, "{name}, {task}: {in_large} reads of each byte");
        }
    }
}

/// Largest number of times a byte may be examined: an escaped key is compared with every known key.
const MAX_READS_OF_EACH_BYTE: usize = 32;

type Task = fn(&str);

/// Functions that read a payload.
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

/// Payloads of about `len` bytes that cause more than linear work in careless readers.
fn hostile(len: usize) -> Vec<(&'static str, String)> {
    let status = |value: String| format!(r#"{{"msg":40,"body":{{"ambTemp":{value},"stpt":20}}}}"#);
    let keys = len / 20;
    vec![
        ("open brackets", "[".repeat(len)),
        ("open objects", "{\"a\":".repeat(len / 5)),
        (
            "sixty levels, repeated",
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
