//! Log of a bridge: one line for each change of state.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_bridge::Event;

use crate::output::record::Record;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::exit::Result;

/// Prints the events of a bridge, and thins those that repeat.
#[derive(Debug)]
pub(crate) struct Log {
    terminal: Terminal,
    /// Repeating lines: the time of the last one printed, and the number of those that were not.
    repeats: BTreeMap<String, (Duration, u64)>,
    /// Cause of the latest failure of the connection to the broker, in the words of the transport.
    detail: Option<String>,
}

/// Time for which an equal line is not repeated.
const QUIET: Duration = Duration::from_secs(600);
/// Maximum number of different lines that are remembered.
const MAX_REPEATS: usize = 64;

impl Log {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self { terminal, repeats: BTreeMap::new(), detail: None }
    }

    /// Keeps the reason of the system for the end of a connection, for the next event.
    pub(crate) fn note_link(&mut self, why: Option<String>) {
        self.detail = why;
    }

    /// Prints an event. `now` is the time since the start.
    pub(crate) fn event(&mut self, event: &Event, now: Duration) -> Result<()> {
        self.text(event, now).map_or(Ok(()), |text| self.line(&text))
    }

    /// Line for an event; `None` if an equal one was printed a short time ago.
    fn text(&mut self, event: &Event, now: Duration) -> Option<String> {
        match event {
            Event::BrokerUp => {
                self.repeats.retain(|line, _| !line.starts_with(BROKER));
                self.detail = None;
                Some(event.to_string())
            }
            Event::BrokerDown { reason, .. } => {
                // Without the time of the next attempt, which differs each time.
                let why = self.detail.take().map(|why| format!(" ({why})")).unwrap_or_default();
                self.thinned(format!("{BROKER}{reason}{why}; trying again"), now)
            }
            Event::Ignored { .. } => self.thinned(event.to_string(), now),
            event => Some(event.to_string()),
        }
    }

    fn thinned(&mut self, line: String, now: Duration) -> Option<String> {
        let known = self.repeats.get_mut(&line);
        let more = match known {
            Some((printed, more)) if now.saturating_sub(*printed) < QUIET => {
                *more += 1;
                return None;
            }
            Some((_, more)) => *more,
            None => 0,
        };
        if self.repeats.len() >= MAX_REPEATS {
            self.repeats.clear();
        }
        self.repeats.insert(line.clone(), (now, 0));
        Some(if more == 0 { line } else { format!("{line} ({more} more times)") })
    }

    pub(crate) fn line(&self, text: &str) -> Result<()> {
        let time = timefmt::iso(timefmt::now());
        if self.terminal.json {
            let mut record = Record::document();
            record.put("event", "log").put("time", time).put("message", text);
            return self.terminal.line(record.to_json());
        }
        self.terminal.say(format!("{time}  {text}"));
        Ok(())
    }
}

const BROKER: &str = "broker: ";

#[cfg(test)]
mod tests {
    use mysa_bridge::IgnoredReason;
    use mysa_bridge::client::DownReason;

    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn log() -> Log {
        Log::new(Terminal::new(false, 0, true, false))
    }

    fn down(reason: DownReason) -> Event {
        Event::BrokerDown { reason, retry_in: secs(3) }
    }

    #[test]
    fn a_broker_that_stays_away_is_one_line_in_ten_minutes() {
        let mut log = log();
        let mut lines = Vec::new();
        for attempt in 0..130 {
            log.note_link(Some("connection refused".into()));
            lines.extend(log.text(&down(DownReason::Unreachable), secs(10 * attempt)));
        }
        let line = "broker: the broker cannot be reached (connection refused); trying again";
        let more = format!("{line} (59 more times)");
        assert_eq!(lines, [line, &more, &more]);
        assert!(log.text(&down(DownReason::Closed), secs(1_301)).is_some(), "another reason is another line");
        assert_eq!(log.text(&Event::BrokerUp, secs(1_302)).as_deref(), Some("broker: connected"));
        let again = log.text(&down(DownReason::Closed), secs(1_303));
        assert_eq!(again.as_deref(), Some("broker: the broker closed the connection; trying again"));
    }

    #[test]
    fn ignored_messages_are_thinned_by_topic_in_bounded_memory() {
        let mut log = log();
        let ignored = |topic: u32| Event::Ignored {
            topic: format!("mysa/{topic}"),
            reason: IgnoredReason::UnknownTopic,
        };
        assert!(log.text(&ignored(0), secs(0)).is_some());
        assert!(log.text(&ignored(0), secs(1)).is_none());
        for topic in 0..10_000 {
            log.text(&ignored(topic), secs(2));
            assert!(log.repeats.len() <= MAX_REPEATS);
        }
    }
}
