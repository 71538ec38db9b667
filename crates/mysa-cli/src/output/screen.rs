//! A table that is redrawn in place, with messages below it.

use crate::output::record::printable;
use crate::output::table;
use crate::output::terminal::Terminal;
use crate::support::exit::Result;

/// The terminal's alternate screen. It has no scrollback and is drawn from its first line, so a window that becomes
/// narrower or shorter leaves no lines of an earlier table behind. When it is dropped, the terminal returns to the normal
/// screen, where the messages and the last table stay.
pub(crate) struct Screen {
    terminal: Terminal,
    /// Latest messages, oldest first.
    notes: Vec<String>,
    /// Last table, as it is wherever it fits.
    last: Vec<String>,
}

/// Switches to the alternate screen, and cuts lines at its edge rather than wrapping them: the width of some characters
/// differs between terminals.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?1049l";
/// Maximum number of messages below the table.
const NOTES_SHOWN: usize = 3;
/// Maximum number of messages that are kept.
const NOTES_KEPT: usize = 100;

impl Screen {
    pub(crate) fn open(terminal: &Terminal) -> Result<Self> {
        terminal.print(ENTER)?;
        Ok(Self { terminal: *terminal, notes: Vec::new(), last: Vec::new() })
    }

    /// Returns to the normal screen, stops this process as Ctrl-Z does, and takes the alternate screen again when the process
    /// is continued.
    pub(crate) fn suspend(&self) -> Result<()> {
        self.terminal.print(LEAVE)?;
        #[cfg(unix)]
        {
            use rustix::process::{Signal, getpid, kill_process};
            // SIGTSTP has a handler here; SIGSTOP stops the process in any case. Linux delivers it to the main thread, which this
            // is, before the call returns. If the system refuses, the watch goes on.
            let _ = kill_process(getpid(), Signal::STOP);
        }
        self.terminal.print(ENTER)
    }

    /// Adds a message, which the next drawing shows.
    pub(crate) fn note(&mut self, text: &str) {
        if self.notes.len() == NOTES_KEPT {
            self.notes.remove(0);
        }
        self.notes.push(printable(text));
    }

    /// Draws a table, whose lines fit the width of the terminal.
    pub(crate) fn draw(&mut self, lines: Vec<String>) -> Result<()> {
        let frame = frame(&lines, &self.notes, self.terminal.width(), self.terminal.height());
        self.last = lines;
        self.terminal.print(&frame)
    }
}

/// Composes a screen of `height` lines. Lines of the table that do not fit are counted.
fn frame(lines: &[String], notes: &[String], width: usize, height: usize) -> String {
    // The messages leave room for the title, the head and one line of the table.
    let shown = notes.len().min(NOTES_SHOWN).min(height.saturating_sub(3));
    let room = height.saturating_sub(shown).max(1);
    let fitting = if lines.len() > room { room - 1 } else { lines.len() };
    let mut screen: Vec<String> = lines.iter().take(fitting).cloned().collect();
    if lines.len() > fitting {
        let left_out = lines.len() - fitting;
        let more = format!("… and {left_out} more; enlarge the window, or name the thermostats to watch");
        screen.push(table::cut(&more, width));
    }
    screen.extend(notes.iter().skip(notes.len() - shown).map(|note| table::cut(note, width)));
    // Each line is cleared on its own, so that the table does not flicker, and before its text: behind a text that fills the
    // line, it would clear the last character. A line break behind the last line would scroll.
    let more = height > screen.len();
    let rest = if more { "\r\n\u{1b}[J" } else { "" };
    format!("\u{1b}[H\u{1b}[K{}{rest}", screen.join("\r\n\u{1b}[K"))
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut left = LEAVE.to_owned();
        for line in self.notes.iter().chain(&self.last) {
            left.push_str(line);
            left.push('\n');
        }
        // A terminal that is gone needs nothing any more.
        let _ = self.terminal.print(&left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: usize, notes: usize, width: usize, height: usize) -> Vec<String> {
        let lines: Vec<String> = (0..lines).map(|number| format!("line {number}")).collect();
        let notes: Vec<String> = (0..notes).map(|number| format!("note {number}")).collect();
        let frame = frame(&lines, &notes, width, height);
        let text = frame.replace("\u{1b}[H", "").replace("\u{1b}[K", "").replace("\r\n\u{1b}[J", "");
        text.split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_screen_is_never_taller_than_the_window() {
        for height in 1..12 {
            for lines in 1..12 {
                for notes in 0..5 {
                    let screen = shown(lines, notes, 80, height);
                    assert!(screen.len() <= height, "{height} {lines} {notes}: {screen:?}");
                    assert_eq!(
                        screen.iter().any(|line| line.starts_with('…')),
                        screen.iter().filter(|line| line.starts_with("line")).count() < lines,
                        "{height} {lines} {notes}: {screen:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_latest_messages_stand_below_the_table() {
        assert_eq!(shown(2, 4, 80, 24), ["line 0", "line 1", "note 1", "note 2", "note 3"]);
        assert_eq!(
            shown(5, 2, 80, 5),
            [
                "line 0",
                "line 1",
                "… and 3 more; enlarge the window, or name the thermostats to watch",
                "note 0",
                "note 1"
            ]
        );
        assert_eq!(shown(5, 2, 10, 4), ["line 0", "line 1", "… and 3 m…", "note 1"]);
        assert_eq!(shown(5, 2, 10, 1), ["… and 5 mo…"].map(|line| table::cut(line, 10)));
    }
}
