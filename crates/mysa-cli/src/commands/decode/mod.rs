//! `mysa decode`: explains payloads and captures, without an account.

mod batch;
mod capture;
mod message;
mod packet;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use mysa_proto::{Json, ModeTable, RawJson, Topic};

use crate::args::{Decode, DecodeKind};
use crate::output::record::{Record, Value};
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::support::exit::{Exit, Failure, Result};

/// Largest input, in bytes. It is held in memory; the limit covers more than a day of a busy home.
const LIMIT: u64 = 64 << 20;

/// Explains a file record by record. Invalid pieces are shown raw, and the failure is reported at the end.
pub(crate) fn run(
    terminal: &Terminal,
    args: &Decode,
    table: &ModeTable,
    redaction: &mut Redaction,
) -> Result<()> {
    let bytes = read(args.file.as_deref())?;
    let topic = match &args.topic {
        Some(text) => Some(Topic::parse(text.as_bytes()).ok_or_else(|| {
            Failure::usage(format!("invalid topic '{text}': expected a topic such as /v1/dev/ID/out"))
        })?),
        None => None,
    };
    let explained = explain(&bytes, args.kind, topic, table)?;
    let mut unreadable = 0;
    for (number, record) in explained.iter().enumerate() {
        unreadable +=
            usize::from(record.fields().any(|(name, _)| name == "error" || name == "payload_error"));
        let record = redaction.record(record.clone());
        if terminal.json {
            let mut document = Record::document();
            for (name, value) in record.into_fields() {
                document.put(&name, value);
            }
            terminal.line(document.to_json())?;
        } else {
            let gap = if number == 0 { "" } else { "\n" };
            terminal.print(&format!("{gap}{}", record.to_text(0)))?;
        }
    }
    match unreadable {
        0 => Ok(()),
        some => Err(Failure::new(
            Exit::Failed,
            format!("{some} of {} records could not be decoded", explained.len()),
        )),
    }
}

fn read(file: Option<&Path>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let named = |error| {
        let name = file.map_or("standard input".into(), |path| path.display().to_string());
        Failure::new(Exit::Failed, format!("cannot read {name}: {error}"))
    };
    match file {
        Some(path) if path != Path::new("-") => {
            File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes)).map_err(named)?
        }
        _ => std::io::stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes).map_err(named)?,
    };
    if bytes.len() as u64 > LIMIT {
        return Err(Failure::new(Exit::Failed, "the input is larger than 64 MiB; split it"));
    }
    Ok(bytes)
}

fn explain(
    bytes: &[u8],
    kind: Option<DecodeKind>,
    topic: Option<Topic>,
    table: &ModeTable,
) -> Result<Vec<Record>> {
    let text = std::str::from_utf8(bytes).ok().map(|text| text.trim_start_matches('\u{feff}').trim());
    let nothing = || Failure::usage("the input is empty");
    match kind {
        Some(DecodeKind::Payload) => Ok(vec![payload(topic, bytes, table)]),
        Some(DecodeKind::Packet) => {
            packets(text.and_then(hex_bytes).or_else(|| text.and_then(base64_bytes)), bytes, table)
        }
        Some(DecodeKind::Batch) => Ok(batch::explain(
            &text
                .and_then(hex_bytes)
                .or_else(|| text.and_then(base64_bytes))
                .unwrap_or_else(|| bytes.to_vec()),
        )),
        Some(DecodeKind::Capture) => {
            let text = text.ok_or_else(|| Failure::usage("not a capture: the input is not UTF-8"))?;
            capture::explain(text, table).ok_or_else(|| {
                Failure::usage(
                    "not a capture: expected a HAR file, JSON lines with topic and payload, or the output of mosquitto_sub -v",
                )
            })
        }
        None => match text {
            Some("") => Err(nothing()),
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
                } else if let (false, Some(packed)) = (text.starts_with(['{', '[', '"']), base64_bytes(text))
                {
                    packets(Some(packed), bytes, table)
                } else {
                    Ok(payloads(topic, text, table))
                }
            }
            None if bytes.is_empty() => Err(nothing()),
            // No packet type starts with an opening brace, so this is JSON that is not UTF-8.
            None if bytes.first() == Some(&b'{') => Ok(vec![payload(topic, bytes, table)]),
            None => packets(None, bytes, table),
        },
    }
}

fn packets(unpacked: Option<Vec<u8>>, bytes: &[u8], table: &ModeTable) -> Result<Vec<Record>> {
    let bytes = unpacked.as_deref().unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(Failure::usage("the input is empty"));
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
fn payload(topic: Option<Topic>, bytes: &[u8], table: &ModeTable) -> Record {
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
fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let mut digits = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '<' | '>' | ';')) {
        let word = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
        digits.push_str(word);
    }
    (!digits.is_empty()).then(|| hex::decode(&digits).ok())?
}

fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = BASE64_STANDARD.decode(&packed).or_else(|_| BASE64_STANDARD_NO_PAD.decode(&packed)).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}
