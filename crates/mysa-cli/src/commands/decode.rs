//! `mysa decode`: explains payloads and captures, without an account.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use mysa_explain::{ExplainError, InputKind, explain, explain_as};
use mysa_proto::{ModeTable, Topic};

use crate::args::{Decode, DecodeKind};
use crate::output::record;
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
    let explained = match args.kind {
        None => explain(&bytes, topic, table),
        Some(kind) => explain_as(input_kind(kind), &bytes, topic, table),
    };
    let explained = explained.map_err(|error: ExplainError| Failure::usage(error.to_string()))?;
    let mut unreadable = 0;
    for (number, record) in explained.iter().enumerate() {
        unreadable +=
            usize::from(record.fields().any(|(name, _)| name == "error" || name == "payload_error"));
        let record = redaction.record(record.clone());
        if terminal.json {
            let mut document = record::document();
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

const fn input_kind(kind: DecodeKind) -> InputKind {
    match kind {
        DecodeKind::Payload => InputKind::Payload,
        DecodeKind::Packet => InputKind::Packet,
        DecodeKind::Batch => InputKind::Batch,
        DecodeKind::Capture => InputKind::Capture,
    }
}
