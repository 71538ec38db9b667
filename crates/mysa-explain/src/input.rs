//! Recognition of an input, and its explanation.

use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use mysa_proto::{Json, ModeTable, RawJson, Topic};

use crate::error::ExplainError;
use crate::record::{Record, Value};
use crate::{batch, capture, message, packet};

/// Kind of an input, where the caller knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InputKind {
    /// A payload of one message.
    Payload,
    /// MQTT packets, as bytes, in hex or in base64. Readings of a batch are recognised.
    Packet,
    /// Readings of a batch, as bytes, in hex or in base64.
    Batch,
    /// A HAR file of a browser, JSON objects with `topic` and `payload`, or lines with a topic and a payload.
    Capture,
}

/// Explains a capture, packets, a batch or payloads, whichever the input is. `topic` is that of a payload, if it is known.
///
/// # Errors
///
/// [`ExplainError::Empty`].
pub fn explain(bytes: &[u8], topic: Option<Topic>, table: &ModeTable) -> Result<Vec<Record>, ExplainError> {
    match text(bytes) {
        Some("") => Err(ExplainError::Empty),
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
        None if bytes.is_empty() => Err(ExplainError::Empty),
        // No packet type starts with an opening brace, so this is JSON that is not UTF-8.
        None if bytes.first() == Some(&b'{') => Ok(vec![explain_payload(topic, bytes, table)]),
        None => packets(None, bytes, table),
    }
}

/// Explains an input of the named kind. `topic` is that of a payload, if it is known.
///
/// # Errors
///
/// [`ExplainError`] if packets were expected and the input is empty, or if a capture was expected and the input is none.
pub fn explain_as(
    kind: InputKind,
    bytes: &[u8],
    topic: Option<Topic>,
    table: &ModeTable,
) -> Result<Vec<Record>, ExplainError> {
    let text = text(bytes);
    let unpack = || text.and_then(|text| hex_bytes(text).or_else(|| base64_bytes(text)));
    match kind {
        InputKind::Payload => Ok(vec![explain_payload(topic, bytes, table)]),
        InputKind::Packet => packets(unpack(), bytes, table),
        InputKind::Batch => Ok(batch::explain(unpack().as_deref().unwrap_or(bytes))),
        InputKind::Capture => {
            let text = text.ok_or(ExplainError::NotText)?;
            capture::explain(text, table).ok_or(ExplainError::NotCapture)
        }
    }
}

/// Explains MQTT packets, or the readings of a batch.
fn packets(unpacked: Option<Vec<u8>>, bytes: &[u8], table: &ModeTable) -> Result<Vec<Record>, ExplainError> {
    let bytes = unpacked.as_deref().unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(ExplainError::Empty);
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
        return lines.into_iter().map(|line| explain_payload(topic, line.as_bytes(), table)).collect();
    }
    vec![explain_payload(topic, text.as_bytes(), table)]
}

/// Explains the payload of one message. Without a topic, its direction is guessed. An invalid payload is shown raw: its
/// record has `message` with the value `unreadable`, and `error`.
#[must_use]
pub fn explain_payload(topic: Option<Topic>, bytes: &[u8], table: &ModeTable) -> Record {
    message::explain(topic, bytes, table).unwrap_or_else(|error| {
        let mut record = Record::new();
        record.put("message", "unreadable").put("error", error.to_string());
        match core::str::from_utf8(bytes) {
            Ok(text) => match RawJson::new(text) {
                Ok(json) => record.put("raw", Value::from_raw(json)),
                Err(_) => record.put("raw", text),
            },
            Err(_) => record.put("raw_hex", hex::encode(bytes)),
        };
        record
    })
}

/// Returns an input as text, without the marks around it. `None` if it is not UTF-8.
fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok().map(|text| text.trim_start_matches('\u{feff}').trim())
}

/// Decodes hex with common separators between the digits: spaces, colons, commas, `0x`, and the arrows of a log.
pub(crate) fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let mut digits = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '<' | '>' | ';')) {
        let word = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
        digits.push_str(word);
    }
    (!digits.is_empty()).then(|| hex::decode(&digits).ok())?
}

/// Decodes base64, with or without padding.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = BASE64_STANDARD.decode(&packed).or_else(|_| BASE64_STANDARD_NO_PAD.decode(&packed)).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}
