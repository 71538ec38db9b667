//! Recognition of an input, and its explanation.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use mysa_proto::{Json, ModeTable, RawJson, Topic};

use super::{batch, capture, message, packet};
use crate::output::record::{Record, Value};

const EMPTY: &str = "the input is empty";

/// Returns an input as text, without the marks around it. `None` if it is not UTF-8.
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().map(|text| text.trim_start_matches('\u{feff}').trim())
}

/// Explains a capture, packets, a batch or payloads, whichever the input is.
pub(crate) fn anything(
    bytes: &[u8],
    topic: Option<Topic>,
    table: &ModeTable,
) -> Result<Vec<Record>, &'static str> {
    match text(bytes) {
        Some("") => Err(EMPTY),
        // A binary packet may be valid UTF-8, but it contains control characters that no text has.
        Some(text)
            if !text.starts_with(['{', '[', '"'])
                && text.contains(|c: char| c.is_control() && !c.is_whitespace()) =>
        {
            packets(None, bytes, table)
        }
        Some(text) => {
            if let Some(records) = capture::explain(text, table) {
                Ok(records)
            } else if let Some(packed) = hex_bytes(text) {
                packets(Some(packed), bytes, table)
            } else if let (false, Some(packed)) = (text.starts_with(['{', '[', '"']), base64_bytes(text)) {
                packets(Some(packed), bytes, table)
            } else {
                Ok(payloads(topic, text, table))
            }
        }
        None if bytes.is_empty() => Err(EMPTY),
        // No packet type starts with an opening brace, so this is JSON that is not UTF-8.
        None if bytes.first() == Some(&b'{') => Ok(vec![payload(topic, bytes, table)]),
        None => packets(None, bytes, table),
    }
}

/// Explains MQTT packets, or the readings of a batch.
pub(super) fn packets(
    unpacked: Option<Vec<u8>>,
    bytes: &[u8],
    table: &ModeTable,
) -> Result<Vec<Record>, &'static str> {
    let bytes = unpacked.as_deref().unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(EMPTY);
    }
    // A PINGREQ starts with the same four bits but has no flags.
    if bytes.starts_with(&batch::MAGIC) {
        return Ok(batch::explain(bytes));
    }
    Ok(packet::explain(bytes, table))
}

/// Explains one payload, or one per line. Thermostats send raw line breaks inside strings, so a line break alone does
/// not separate payloads.
fn payloads(topic: Option<Topic>, text: &str, table: &ModeTable) -> Vec<Record> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_object = |text: &str| RawJson::new(text).is_ok_and(|json| matches!(json.value(), Json::Object(_)));
    if lines.len() > 1 && !is_object(text) && lines.iter().any(|line| is_object(line)) {
        return lines.into_iter().map(|line| payload(topic, line.as_bytes(), table)).collect();
    }
    vec![payload(topic, text.as_bytes(), table)]
}

/// Explains one payload; an invalid one is shown raw.
pub(crate) fn payload(topic: Option<Topic>, bytes: &[u8], table: &ModeTable) -> Record {
    message::explain(topic, bytes, table).unwrap_or_else(|error| {
        let mut record = Record::new();
        record.put("message", "unreadable").put("error", error.to_string());
        match std::str::from_utf8(bytes) {
            Ok(text) => match RawJson::new(text) {
                Ok(json) => record.put("raw", Value::from_raw(json)),
                Err(_) => record.put("raw", text),
            },
            Err(_) => record.put("raw_hex", hex::encode(bytes)),
        };
        record
    })
}

/// Decodes hex with common separators between the digits: spaces, colons, commas, `0x`, and the arrows of a log.
pub(super) fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let mut digits = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '<' | '>' | ';')) {
        let word = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
        digits.push_str(word);
    }
    (!digits.is_empty()).then(|| hex::decode(&digits).ok())?
}

/// Decodes base64, with or without padding.
pub(super) fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = BASE64_STANDARD.decode(&packed).or_else(|_| BASE64_STANDARD_NO_PAD.decode(&packed)).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}
