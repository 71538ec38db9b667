//! A file of messages as they came.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use mysa_proto::Topic;

use crate::output::record::Record;
use crate::output::timefmt;
use crate::support::atomic_file;
use crate::support::exit::{Exit, Failure, Result};

/// Messages as they came, one JSON object a line, for `mysa decode`. For the owner alone: it holds ids in full.
#[derive(Debug)]
pub(crate) struct Capture {
    file: File,
    path: PathBuf,
}

impl Capture {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        match atomic_file::create(path, atomic_file::OWNER_ONLY) {
            Ok(file) => Ok(Self { file, path: path.to_owned() }),
            Err(error) => Err(failure(path, &error)),
        }
    }

    pub(crate) fn keep(&mut self, topic: Topic, payload: &[u8]) -> Result<()> {
        let mut entry = Record::new();
        entry.put("time", timefmt::iso(timefmt::now())).put("topic", topic.to_string());
        match std::str::from_utf8(payload) {
            Ok(text) => entry.put("payload", text),
            Err(_) => entry.put("payload_hex", hex::encode(payload)),
        };
        writeln!(self.file, "{}", entry.to_json()).map_err(|error| failure(&self.path, &error))
    }
}

fn failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
}
