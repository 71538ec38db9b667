//! Standard output, standard error, and questions.

use std::io::{self, Write as _};

use crate::exit::{Exit, Failure, Result};
use crate::record::{Record, printable};

/// Where data goes, and what may be said beside it.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) json: bool,
    quiet: bool,
}

impl Terminal {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// A whole answer: one line of JSON, or lines for people without the number of the schema.
    pub(crate) fn document(&self, record: &Record) -> Result<()> {
        if self.json {
            return self.line(record.to_json());
        }
        let mut shown = Record::new();
        for (name, value) in record.fields().filter(|(name, _)| *name != "schema") {
            shown.put(name, value.clone());
        }
        self.print(&shown.to_text(0))
    }

    /// A line of data. Ends the program quietly when nobody reads any more.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<()> {
        self.print(&format!("{}\n", text.as_ref()))
    }

    /// Data as it is, flushed, so that a reader behind a pipe sees it now.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            // The reader has what it wanted: `mysa watch | head -3` is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => {
                Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")))
            }
        }
    }

    /// A word to the person at the keyboard, on standard error.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{}", text.as_ref());
        }
    }

    /// What went wrong, on standard error whatever else is silenced. Text from elsewhere cannot paint on the terminal.
    pub(crate) fn error(&self, failure: &Failure) {
        let _ = writeln!(io::stderr(), "mysa: {}", printable(&failure.to_string()));
    }
}
