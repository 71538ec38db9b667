//! Standard output, standard error, and prompts.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use mysa_tokio::Level;
use zeroize::Zeroizing;

use crate::output::record::{self, Record, printable};
use crate::output::table;
use crate::support::exit::{Exit, Failure, Result};

/// The standard streams: data goes to standard output, everything else to standard error.
///
/// Text may come from the cloud. [`Terminal::say`], [`Terminal::detail`], [`Terminal::progress`] and
/// [`Terminal::error`] escape it; [`Terminal::line`] and [`Terminal::print`] expect it escaped by
/// [`printable`], because their text may hold styles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub(crate) json: bool,
    /// -1 with `--quiet`, otherwise the number of `-v`.
    verbosity: i8,
    is_terminal: bool,
    /// `true` if standard output understands escape sequences that move the cursor.
    has_cursor: bool,
    has_color: bool,
    /// `true` if the work continues after the reader of standard output has closed it, because printing is not its
    /// purpose.
    outlives_reader: bool,
}

impl Terminal {
    pub(crate) fn new(json: bool, verbose: u8, quiet: bool, outlives_reader: bool) -> Self {
        let verbosity = if quiet { -1 } else { i8::try_from(verbose).unwrap_or(i8::MAX) };
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Self {
            json,
            verbosity,
            is_terminal,
            has_cursor: is_terminal && !is_dumb(),
            // Considers NO_COLOR, CLICOLOR, TERM and whether the stream is a terminal.
            has_color: AutoStream::choice(&stdout) != ColorChoice::Never && !(is_terminal && is_dumb()),
            outlives_reader,
        }
    }

    /// Returns `true` if standard output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Returns `true` if a table on standard output can be redrawn in place.
    pub(crate) fn can_redraw(&self) -> bool {
        self.has_cursor && !self.json
    }

    /// Prints a whole answer: one line of JSON, or lines for people without the schema version.
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

    /// Prints a text for other programs unchanged, or as the single value of a JSON document.
    pub(crate) fn text(&self, name: &str, text: &str) -> Result<()> {
        if !self.json {
            return self.print(text);
        }
        let mut record = record::document();
        record.put(name, text);
        self.line(record.to_json())
    }

    /// Prints a line of data. Exits quietly when the reader has closed the pipe.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<()> {
        self.print(&format!("{}\n", text.as_ref()))
    }

    /// Prints data unchanged and flushes it, so that a reader behind a pipe gets it at once.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.outlives_reader => Ok(()),
            // `mysa watch | head -3` succeeds.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => {
                Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")))
            }
        }
    }

    /// Prints a message on standard error, unless `--quiet` is given.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if self.verbosity >= 0 {
            // Replaces the progress line, if there is one.
            let clear = if can_clear_line() { CLEAR_LINE } else { "" };
            let _ = writeln!(io::stderr(), "{clear}{}", printable(text.as_ref()));
        }
    }

    /// Shows the current step on a line of standard error that the next message replaces; an empty text clears it.
    /// Elsewhere than on a terminal, the text is printed as a detail.
    pub(crate) fn progress(&self, text: &str) {
        if self.verbosity >= 0 && can_clear_line() {
            let text = table::cut(&printable(text), self.width().saturating_sub(2));
            let mut err = io::stderr().lock();
            let _ = write!(err, "{CLEAR_LINE}{text}").and_then(|()| err.flush());
        } else if !text.is_empty() {
            self.detail(text);
        }
    }

    /// Prints a message on standard error with `-v` only.
    pub(crate) fn detail(&self, text: impl AsRef<str>) {
        if self.is_verbose() {
            // Replaces the progress line, if there is one.
            let clear = if can_clear_line() { CLEAR_LINE } else { "" };
            let _ = writeln!(io::stderr(), "{clear}{}", printable(text.as_ref()));
        }
    }

    /// Returns `true` if `-v` was given.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity >= 1
    }

    /// Returns `true` if `-vv` was given.
    pub(crate) fn is_tracing(&self) -> bool {
        self.verbosity >= 2
    }

    /// Width in columns: that of the terminal, or `COLUMNS` if that is set and smaller; 80 if neither is known.
    pub(crate) fn width(&self) -> usize {
        let variable = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok());
        let variable = variable.filter(|&columns| columns > 0);
        let size = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        match (variable, size) {
            // A line wider than the window would wrap, and a redrawn table would leave lines behind.
            (Some(columns), Some(width)) if self.is_terminal => columns.min(width),
            (Some(columns), _) => columns,
            (None, Some(width)) => width,
            (None, None) => 80,
        }
    }

    /// Width for a table. Nothing is cut if standard output is not a terminal.
    pub(crate) fn table_width(&self) -> usize {
        if self.is_terminal { self.width() } else { usize::MAX }
    }

    /// Height of the terminal in lines; 24 if unknown.
    pub(crate) fn height(&self) -> usize {
        terminal_size::terminal_size().map_or(24, |(_, height)| usize::from(height.0))
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.styled(Style::new().bold(), text)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.styled(Style::new().dimmed(), text)
    }

    /// Colors a text by the service level: green when live, yellow when limited, red when offline.
    pub(crate) fn paint(&self, level: Level, text: &str) -> String {
        let color = match level {
            Level::Live => AnsiColor::Green,
            Level::Partial | Level::ReadOnly | Level::RestOnly => AnsiColor::Yellow,
            Level::Offline | Level::SignInNeeded => AnsiColor::Red,
        };
        self.styled(color.on_default(), text)
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.has_color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Prints an error on standard error, even with `--quiet`. A failure that was already reported has no text.
    pub(crate) fn error(&self, failure: &Failure) {
        self.progress("");
        let text = failure.to_string();
        if !text.is_empty() {
            let _ = writeln!(io::stderr(), "mysa: {}", printable(&text));
        }
    }
}

/// Returns to the first column and clears the line.
const CLEAR_LINE: &str = "\r\u{1b}[K";

/// Returns `true` if the terminal understands no escape sequences, as far as is known. On Unix, a terminal has a name.
pub(crate) fn is_dumb() -> bool {
    match std::env::var_os("TERM") {
        Some(term) => term == "dumb" || (cfg!(unix) && term.is_empty()),
        None => cfg!(unix),
    }
}

fn can_clear_line() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

/// Source of a password. It is never an argument, because other users of the machine can see arguments.
#[derive(Debug)]
pub(crate) enum PasswordSource<'a> {
    Prompt,
    File(&'a Path),
    Stdin,
}

/// Reads a password. One final newline of a file or a pipe is removed; white space is part of a password.
pub(crate) fn read_password(source: &PasswordSource<'_>) -> Result<Zeroizing<String>> {
    let read = match source {
        PasswordSource::Prompt if !io::stdin().is_terminal() => {
            return Err(Failure::usage(
                "cannot prompt for a password: standard input is not a terminal; use --password-file or --password-stdin",
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

/// Returns a text without one line break at its end.
pub(crate) fn without_final_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Prints a question on standard error and reads one line.
pub(crate) fn prompt(question: &str) -> Result<String> {
    let mut answer = String::new();
    // A question may quote the cloud, such as the masked phone number to which a code was sent.
    let read = write!(io::stderr(), "{}: ", printable(question))
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
    fn only_the_final_newline_of_a_password_is_removed() {
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
