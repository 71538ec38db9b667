//! `mysa decode`: explains payloads and captures, without an account.

mod batch;
mod capture;
mod input;
mod message;
mod packet;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use mysa_proto::{ModeTable, Topic};

use self::input::{base64_bytes, hex_bytes, packets, payload};
use crate::args::{Decode, DecodeKind};
use crate::output::record::Record;
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
    let text = input::text(bytes);
    match kind {
        Some(DecodeKind::Payload) => Ok(vec![payload(topic, bytes, table)]),
        Some(DecodeKind::Packet) => {
            packets(text.and_then(hex_bytes).or_else(|| text.and_then(base64_bytes)), bytes, table)
                .map_err(Failure::usage)
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
        None => input::anything(bytes, topic, table).map_err(Failure::usage),
    }
}
