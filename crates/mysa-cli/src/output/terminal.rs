//! Standard output, standard error, and questions.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use mysa_tokio::Level;
use zeroize::Zeroizing;

use crate::output::record::{Record, printable};
use crate::support::exit::{Exit, Failure, Result};

/// Where data goes, and what may be said beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub(crate) json: bool,
    /// -1 says nothing but errors, 1 and more says every step.
    verbosity: i8,
    is_terminal: bool,
    color: bool,
    /// Whether to go on when nobody reads standard output any more, since the work is not done by what is printed.
    outlives_reader: bool,
}

impl Terminal {
    pub(crate) fn new(json: bool, verbose: u8, quiet: bool, outlives_reader: bool) -> Self {
        let verbosity = if quiet { -1 } else { i8::try_from(verbose).unwrap_or(i8::MAX) };
        let is_terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, verbosity, is_terminal, color: is_terminal && !no_color, outlives_reader }
    }

    /// Whether a person looks at standard output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
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

    /// A text for other programs as it is, or as the one value of a document.
    pub(crate) fn text(&self, name: &str, text: &str) -> Result<()> {
        if !self.json {
            return self.print(text);
        }
        let mut record = Record::document();
        record.put(name, text);
        self.line(record.to_json())
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
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.outlives_reader => Ok(()),
            // The reader has what it wanted: `mysa watch | head -3` is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => {
                Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")))
            }
        }
    }

    /// A word to the person at the keyboard, on standard error.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if self.verbosity >= 0 {
            let _ = writeln!(io::stderr(), "{}", text.as_ref());
        }
    }

    /// What takes its time, on a line of standard error that goes away again: for people only. Nothing ends it.
    pub(crate) fn progress(&self, text: &str) {
        if self.verbosity >= 0 && io::stderr().is_terminal() {
            let text = crate::output::table::cut(&printable(text), self.width().saturating_sub(2));
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\u{1b}[K{text}").and_then(|()| err.flush());
        } else if !text.is_empty() {
            self.detail(text);
        }
    }

    /// A word on standard error, only with `-v`.
    pub(crate) fn detail(&self, text: impl AsRef<str>) {
        if self.is_verbose() {
            // In place of what takes its time, if that is told of.
            let clear = if io::stderr().is_terminal() { "\r\u{1b}[K" } else { "" };
            let _ = writeln!(io::stderr(), "{clear}{}", text.as_ref());
        }
    }

    /// Whether steps are to be told of: `-v`.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity >= 1
    }

    /// Whether every message is to be told of: `-vv`.
    pub(crate) fn is_tracing(&self) -> bool {
        self.verbosity >= 2
    }

    /// Columns of the terminal, or what `COLUMNS` says, or 80.
    pub(crate) fn width(&self) -> usize {
        let from_variable = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let from_terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        from_variable.or_else(from_terminal).unwrap_or(80)
    }

    /// Columns for a table: nothing is cut for a reader that is no terminal.
    pub(crate) fn table_width(&self) -> usize {
        if self.is_terminal { self.width() } else { usize::MAX }
    }

    /// Lines of the terminal.
    pub(crate) fn height(&self) -> usize {
        terminal_size::terminal_size().map_or(24, |(_, height)| usize::from(height.0))
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.styled("2", text)
    }

    /// Green while all is well, red where nothing comes, yellow between.
    pub(crate) fn paint(&self, level: Level, text: &str) -> String {
        let color = match level {
            Level::Live => "32",
            Level::ReadOnly | Level::RestOnly => "33",
            Level::Offline | Level::SignInNeeded => "31",
        };
        self.styled(color, text)
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// What went wrong, on standard error whatever else is silenced. Text from elsewhere cannot paint on the terminal.
    pub(crate) fn error(&self, failure: &Failure) {
        self.progress("");
        let _ = writeln!(io::stderr(), "mysa: {}", printable(&failure.to_string()));
    }
}

/// Where a password comes from. Never an argument: those are visible to every user of the machine.
#[derive(Debug)]
pub(crate) enum PasswordSource<'a> {
    Prompt,
    File(&'a Path),
    Stdin,
}

/// Reads a password. One final newline is taken off a file's or a pipe's; nothing else is touched, since blanks are
/// part of a password.
pub(crate) fn password(source: &PasswordSource<'_>) -> Result<Zeroizing<String>> {
    let read = match source {
        PasswordSource::Prompt if !io::stdin().is_terminal() => {
            return Err(Failure::usage(
                "standard input is no terminal to ask for the password on; use --password-file or --password-stdin",
            ));
        }
        PasswordSource::Prompt => rpassword::prompt_password("Password: "),
        PasswordSource::File(path) => fs::read_to_string(path),
        PasswordSource::Stdin => {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text).map(|_| text)
        }
    };
    let text =
        read.map_err(|error| Failure::new(Exit::Failed, format!("cannot read the password: {error}")))?;
    let password = Zeroizing::new(text);
    let password = Zeroizing::new(without_final_newline(&password).to_owned());
    if password.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    Ok(password)
}

fn without_final_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Asks a question on standard error and reads a line.
pub(crate) fn ask(question: &str) -> Result<String> {
    let mut answer = String::new();
    let read = write!(io::stderr(), "{question}: ")
        .and_then(|()| io::stderr().flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    match read {
        Ok(0) => Err(Failure::usage("standard input ended before the answer")),
        Ok(_) => Ok(answer.trim().to_owned()),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot read the answer: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_newline_of_a_password_is_not_part_of_it() {
        for (text, password) in [
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            (" $x#'\" \n", " $x#'\" "),
            ("a\n\n", "a\n"),
            ("pässwörd", "pässwörd"),
        ] {
            assert_eq!(without_final_newline(text), password);
        }
    }
}
