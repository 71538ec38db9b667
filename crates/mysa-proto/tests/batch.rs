//! Every case of `data/batch.json`, byte for byte both ways.

#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

use mysa_proto::{
    BatchCommon, BatchError, BatchProblemKind, BatchReadings, BatchRecord, BatchTail, Body, Message,
    TopicKind,
};
use serde_json::{Value, json};

#[test]
fn every_batch_decodes_as_its_vector_expects_and_encodes_back() {
    let vectors: Value = serde_json::from_str(include_str!("data/batch.json")).unwrap();
    for case in vectors["vectors"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let payload = case["payload"].as_str().unwrap();
        let message = Message::decode(TopicKind::Batch, payload.as_bytes()).unwrap();
        let Body::BatchReadings(carried) = &message.body else { panic!("{name}: {:?}", message.body) };
        let decoded = BatchReadings::from_message(carried);
        match case["expect"]["error"].as_str() {
            Some("base64") => assert_eq!(decoded, Err(BatchError::NotBase64), "{name}"),
            Some("readings missing") => assert_eq!(decoded, Err(BatchError::Missing), "{name}"),
            Some(other) => panic!("{name}: no expectation for {other:?}"),
            None => {
                let bytes = unhex(case["hex"].as_str().unwrap());
                let batch = decoded.unwrap();
                assert_eq!(batch, BatchReadings::decode(&bytes), "{name}");
                check(name, &case["expect"], &batch);
                if batch.problems.is_empty() {
                    let mut again = Vec::new();
                    batch.encode(&mut again);
                    assert_eq!(again, bytes, "{name}");
                    assert_eq!(batch.to_base64(), case["readings_b64"].as_str().unwrap(), "{name}");
                }
            }
        }
    }
}

#[test]
fn escaped_slashes_in_base64_are_accepted() {
    let payload = br#"{"msg":3,"src":{"type":1,"ref":"a0b1c2d3e4f5"},"body":{"readings":"yqAATTNXaeD\/g\/\/NACYAAAAsAf\/\/ZBs5AMk="}}"#;
    let message = Message::decode(TopicKind::Batch, payload).unwrap();
    let Body::BatchReadings(carried) = &message.body else { panic!("{:?}", message.body) };
    let batch = BatchReadings::from_message(carried).unwrap();
    assert_eq!(batch.records[0].common.ambient_tenths, -125);
}

fn check(name: &str, expect: &Value, batch: &BatchReadings) {
    let records = expect["records"].as_array().unwrap();
    assert_eq!(batch.records.len(), records.len(), "{name}");
    for (expected, found) in records.iter().zip(&batch.records) {
        assert_agrees(name, expected, &record(found));
    }
    let problems = expect["problems"].as_array().unwrap();
    assert_eq!(batch.problems.len(), problems.len(), "{name}: {:?}", batch.problems);
    for (expected, problem) in problems.iter().zip(&batch.problems) {
        let mut found = json!({ "offset": problem.offset, "raw_hex": hex(&problem.raw) });
        match problem.kind {
            BatchProblemKind::Checksum => found["kind"] = json!("checksum"),
            BatchProblemKind::Magic => {
                found["kind"] = json!("magic");
                found["skipped_bytes"] = json!(problem.raw.len());
            }
            BatchProblemKind::UnknownVersion(version) => {
                found["kind"] = json!("version");
                found["version"] = json!(version);
                found["common_part"] = problem.unverified().as_ref().map_or(Value::Null, common);
            }
            BatchProblemKind::Truncated { missing } => {
                found["kind"] = json!("truncated");
                found["missing_bytes"] = json!(missing);
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_agrees(name, expected, &found);
    }
}

fn assert_agrees(name: &str, expected: &Value, found: &Value) {
    for (key, value) in expected.as_object().unwrap() {
        let found = &found[key];
        match (value.as_f64(), found.as_f64()) {
            (Some(one), Some(other)) => assert!((one - other).abs() < 1e-9, "{name} {key}: {one} is {other}"),
            _ if value.is_object() => assert_agrees(name, value, found),
            _ => assert_eq!(value, found, "{name} {key}"),
        }
    }
}

fn record(record: &BatchRecord) -> Value {
    let mut json = common(&record.common);
    json["version"] = json!(record.version().number());
    json["checksum_ok"] = json!(true);
    if let Some(volts) = record.voltage() {
        json["volts"] = json!(volts.as_volts());
    }
    if let Some(current) = record.current() {
        json["current_ma"] = json!(current.as_amperes() * 1_000.0);
    }
    if let BatchTail::V3 { opaque, .. } = record.tail {
        json["tail_hex"] = json!(hex(&opaque));
    }
    json
}

fn common(common: &BatchCommon) -> Value {
    json!({
        "ts": common.time().unwrap().as_secs(),
        "sensor_c": common.sensor().unwrap().as_degrees(),
        "ambient_c": common.ambient().unwrap().as_degrees(),
        "setpoint_c": common.setpoint().unwrap().as_degrees(),
        "humidity_pct": common.humidity().unwrap().as_percent(),
        "duty_pct": common.duty().unwrap().as_fraction() * 100.0,
        "on_ms": common.on_time().unwrap().as_millis(),
        "off_ms": common.off_time().unwrap().as_millis(),
        "heatsink_c": common.heat_sink().unwrap().as_degrees(),
        "free_heap": common.free_heap(),
        "rssi_dbm": common.signal().unwrap_or(-1),
        "on": u8::from(common.is_on().unwrap()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
