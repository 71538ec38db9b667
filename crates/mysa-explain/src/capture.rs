//! Captured sessions: files written by a browser, an MQTT client, or `mysa watch --capture`.

use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mysa_proto::{Json, ModeTable, RawJson, Topic};

use crate::input::{explain_payload, hex_bytes};
use crate::packet;
use crate::record::{Record, Value};

/// Explains a capture: a HAR file with WebSocket messages, JSON objects with `topic` and `payload` (one per line, or in
/// an array), or lines with a topic, a space and a payload. Returns `None` if the text is not a capture.
pub(crate) fn explain(text: &str, table: &ModeTable) -> Option<Vec<Record>> {
    if let Ok(json) = RawJson::new(text) {
        return match json.value() {
            Json::Object(_) => match har(json, table) {
                Some(records) => Some(records),
                None => entry(json, table).map(|record| vec![record]),
            },
            Json::Array(list) => list
                .elements()
                .map(|item| entry(item, table))
                .collect::<Option<Vec<_>>>()
                .filter(|all| !all.is_empty()),
            _ => None,
        };
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let read: Vec<Option<Record>> = lines.iter().map(|line| one_line(line, table)).collect();
    // The first line decides whether it is a capture; a later line may be damaged.
    read.first()?.as_ref()?;
    Some(
        read.into_iter()
            .zip(lines)
            .map(|(record, line)| record.unwrap_or_else(|| unreadable(line)))
            .collect(),
    )
}

fn unreadable(line: &str) -> Record {
    let mut record = Record::new();
    record.put("message", "unreadable").put("error", "not an entry of a capture").put("raw", line);
    record
}

fn one_line(line: &str, table: &ModeTable) -> Option<Record> {
    if line.starts_with('{') {
        return entry(RawJson::new(line).ok()?, table);
    }
    let (topic, text) = line.split_once([' ', '\t'])?;
    let topic_known = Topic::parse(topic.as_bytes())?;
    Some(with_topic(topic, Some(topic_known), None, text.trim().as_bytes(), table))
}

fn member<'a>(json: RawJson<'a>, name: &str) -> Option<RawJson<'a>> {
    json.members().find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn text(json: Option<RawJson<'_>>) -> Option<String> {
    match json?.value() {
        Json::String(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Explains `{"topic": …, "payload": …}`, with the payload as text, as JSON, or in hex or base64.
fn entry(json: RawJson<'_>, table: &ModeTable) -> Option<Record> {
    let topic = text(member(json, "topic"))?;
    let at = ["time", "at", "ts", "timestamp", "tst"].iter().find_map(|name| member(json, name));
    let parsed = Topic::parse(topic.as_bytes());
    let packed =
        |name, unpack: fn(&str) -> Option<Vec<u8>>| text(member(json, name)).and_then(|text| unpack(&text));
    if let Some(bytes) = packed("payload_hex", hex_bytes)
        .or_else(|| packed("payload_base64", |text| BASE64_STANDARD.decode(text).ok()))
    {
        return Some(with_topic(&topic, parsed, at, &bytes, table));
    }
    let payload = member(json, "payload").or_else(|| member(json, "message"))?;
    Some(match payload.value() {
        Json::String(text) => with_topic(&topic, parsed, at, text.to_string().as_bytes(), table),
        _ => with_topic(&topic, parsed, at, payload.as_str().as_bytes(), table),
    })
}

fn with_topic(
    name: &str,
    topic: Option<Topic>,
    at: Option<RawJson<'_>>,
    bytes: &[u8],
    table: &ModeTable,
) -> Record {
    let mut record = Record::new();
    record.put_some("captured_at", at.map(Value::from_raw)).put("topic", name);
    for (name, value) in explain_payload(topic, bytes, table).into_fields() {
        record.put(&name, value);
    }
    record
}

/// Explains the WebSocket frames of a HAR file, as the developer tools of a browser save it.
fn har(json: RawJson<'_>, table: &ModeTable) -> Option<Vec<Record>> {
    let entries = member(member(json, "log")?, "entries")?;
    let mut records = Vec::new();
    for entry in entries.elements() {
        let Some(frames) = member(entry, "_webSocketMessages") else { continue };
        for frame in frames.elements() {
            let Some(data) = text(member(frame, "data")) else { continue };
            let bytes = match member(frame, "opcode").map(RawJson::as_str) {
                Some("1") => data.into_bytes(),
                _ => BASE64_STANDARD.decode(data.trim()).unwrap_or_else(|_| data.into_bytes()),
            };
            for packet in packet::explain(&bytes, table) {
                let mut record = Record::new();
                record.put_some("captured_at", member(frame, "time").map(Value::from_raw));
                record.put_some("frame", text(member(frame, "type")));
                for (name, value) in packet.into_fields() {
                    record.put(&name, value);
                }
                records.push(record);
            }
        }
    }
    Some(records)
}
