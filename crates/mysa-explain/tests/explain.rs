//! Explanations of valid, damaged and arbitrary inputs.

use mysa_explain::{ExplainError, InputKind, Record, Value, explain, explain_as, explain_payload};
use mysa_proto::{ModeTable, Topic};
use proptest::prelude::*;

const TABLE: ModeTable = ModeTable::OBSERVED;
const TOPIC: &str = "/v1/dev/a0b1c2d3e4f6/out";
const STATUS: &str = r#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,"body":{"ambTemp":18.9,"dtyCycle":0.425,"new":[1]}}"#;
const KINDS: [InputKind; 4] = [InputKind::Payload, InputKind::Packet, InputKind::Batch, InputKind::Capture];

fn json(record: &Record) -> serde_json::Value {
    serde_json::from_str(&record.to_json()).expect("valid JSON")
}

fn explained(input: &str) -> Vec<serde_json::Value> {
    explain(input.as_bytes(), None, &TABLE).expect("a usable input").iter().map(json).collect()
}

#[test]
fn a_status_is_explained_with_units_and_unknown_fields() {
    let [status] = &explained(STATUS)[..] else { panic!("one record") };
    for (name, value) in [
        ("message", serde_json::json!("status")),
        ("device", "a0b1c2d3e4f6".into()),
        ("time", "2026-01-02T03:04:05Z".into()),
        ("temperature_c", 18.9.into()),
        ("duty_pct", 42.5.into()),
        ("unknown_fields", serde_json::json!({"new": [1]})),
    ] {
        assert_eq!(status[name], value, "{name}");
    }
}

#[test]
fn logs_packets_and_json_lines_are_recognised() {
    let line = serde_json::json!({"topic": TOPIC, "payload": STATUS, "time": 5}).to_string();
    for input in [format!("{TOPIC} {STATUS}"), line.clone(), format!("[{line}]"), format!("{line}\n{line}")] {
        for record in explained(&input) {
            assert_eq!((&record["message"], &record["topic"]), (&"status".into(), &TOPIC.into()), "{input}");
        }
    }
    assert_eq!(explained("20 02 00 00")[0]["packet"], "CONNACK");
    assert_eq!(explained("0x20,0x02,0x00,0x00")[0]["packet"], "CONNACK");
    assert_eq!(explained("IAIAAA==")[0]["packet"], "CONNACK");
    assert_eq!(explained("yqAATTNXaecAzADNACYAAAAsASABZBs5AKA=")[0]["temperature_c"], 20.4);
}

#[test]
fn a_damaged_part_is_shown_raw_and_the_rest_is_explained() {
    let log = explained(&format!("{TOPIC} {STATUS}\n{TOPIC} {{\"broken\n{TOPIC} {STATUS}"));
    let messages: Vec<_> = log.iter().map(|record| record["message"].clone()).collect();
    assert_eq!(messages, ["status", "unreadable", "status"]);
    assert_eq!(log[1]["raw"], "{\"broken");
    let record = explain_payload(Topic::parse(TOPIC.as_bytes()), b"{\xff", &TABLE);
    assert!(record.fields().any(|field| field == ("raw_hex", &Value::Text("7bff".into()))));
}

#[test]
fn an_unusable_input_is_an_error_that_names_what_is_expected() {
    for input in ["", "  \n"] {
        assert_eq!(explain(input.as_bytes(), None, &TABLE), Err(ExplainError::Empty));
    }
    assert_eq!(explain_as(InputKind::Packet, b"", None, &TABLE), Err(ExplainError::Empty));
    let capture = |bytes| explain_as(InputKind::Capture, bytes, None, &TABLE).unwrap_err().to_string();
    assert!(capture(b"warm").contains("expected a HAR file"));
    assert!(capture(b"\xff").contains("not UTF-8"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_explained_as_valid_json_and_safe_lines(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[ -~\\n\\{\\}\":,\u{1b}]{0,80}".prop_map(String::into_bytes),
            // Damaged messages.
            (0..STATUS.len(), any::<u8>()).prop_map(|(at, byte)| {
                let mut bytes = STATUS.as_bytes().to_vec();
                bytes[at] = byte;
                bytes
            }),
        ],
    ) {
        let mut records = explain(&bytes, None, &TABLE).unwrap_or_default();
        for kind in KINDS {
            records.extend(explain_as(kind, &bytes, None, &TABLE).unwrap_or_default());
        }
        records.push(explain_payload(None, &bytes, &TABLE));
        for record in records {
            json(&record);
            prop_assert!(!record.to_text(0).contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}
