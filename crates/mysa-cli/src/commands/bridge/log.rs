//! Log of a bridge: one entry for each change of state, as text or as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_bridge::{AccountIndex, Event};
use mysa_tokio::{Level, Reason, VerdictKind};

use crate::output::record::{self, Record, Value};
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::exit::Result;

/// Prints the events of a bridge, and thins those that repeat.
#[derive(Debug)]
pub(crate) struct Log {
    terminal: Terminal,
    format: Format,
    /// `true` if standard error is the journal of systemd, which has a time and a severity of its own.
    is_journal: bool,
    /// Repeating lines: the time of the last one printed, and the number of those that were not.
    repeats: BTreeMap<String, (Duration, u64)>,
    /// Cause of the latest failure of the connection to the broker, in the words of the transport.
    detail: Option<String>,
    /// Messages, in place of printing them.
    #[cfg(test)]
    pub(crate) kept: Option<Kept>,
}

/// Messages and the times of their entries.
#[cfg(test)]
pub(crate) type Kept = std::sync::Arc<std::sync::Mutex<Vec<(tokio::time::Instant, String)>>>;

/// Format of a log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// JSON, one object on a line.
    Json,
}

/// Severity of an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Severity {
    Info,
    /// Something does not work, and the bridge goes on.
    Warning,
    /// A person has to act.
    Error,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// Prefix by which the journal knows the severity, see sd-daemon(3).
    const fn prefix(self) -> &'static str {
        match self {
            Self::Info => "<6>",
            Self::Warning => "<4>",
            Self::Error => "<3>",
        }
    }
}

/// Entry of a log.
#[derive(Debug)]
struct Entry {
    severity: Severity,
    event: &'static str,
    message: String,
    fields: Record,
}

/// Time for which an equal line is not repeated.
const QUIET: Duration = Duration::from_secs(600);
/// Maximum number of different lines that are remembered.
const MAX_REPEATS: usize = 64;

impl Log {
    pub(crate) fn new(terminal: Terminal, format: Format) -> Self {
        let repeats = BTreeMap::new();
        Self {
            terminal,
            format,
            is_journal: is_journal(),
            repeats,
            detail: None,
            #[cfg(test)]
            kept: None,
        }
    }

    /// Keeps the reason of the system for the end of a connection, for the next event.
    pub(crate) fn note_link(&mut self, why: Option<String>) {
        self.detail = why;
    }

    /// Prints an event. `now` is the time since the start.
    pub(crate) fn event(&mut self, event: &Event, now: Duration) -> Result<()> {
        self.thinned(event, now).map_or(Ok(()), |entry| self.print(&entry))
    }

    /// Prints an entry of the driver: its severity, the name of its event, and a message.
    pub(crate) fn say(&self, severity: Severity, event: &'static str, message: &str) -> Result<()> {
        self.print(&Entry { severity, event, message: message.to_owned(), fields: Record::new() })
    }

    /// Prints an entry with fields, which JSON has in addition to the message.
    pub(crate) fn say_with(&self, event: &'static str, message: String, fields: Record) -> Result<()> {
        self.print(&Entry { severity: Severity::Info, event, message, fields })
    }

    /// Entry for an event; `None` if an equal one was printed a short time ago.
    fn thinned(&mut self, event: &Event, now: Duration) -> Option<Entry> {
        let mut entry = describe(event);
        match event {
            Event::BrokerUp => {
                self.repeats.retain(|line, _| !line.starts_with(BROKER));
                self.detail = None;
                return Some(entry);
            }
            Event::BrokerDown { reason, .. } => {
                // Without the time of the next attempt, which differs each time.
                let detail = self.detail.take();
                let why = detail.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                entry.message = format!("{BROKER}{reason}{why}; trying again");
                entry.fields.put_some("detail", detail);
            }
            Event::Ignored { .. } => {}
            _ => return Some(entry),
        }
        let more = match self.repeats.get_mut(&entry.message) {
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
        self.repeats.insert(entry.message.clone(), (now, 0));
        if more > 0 {
            entry.message = format!("{} ({more} more times)", entry.message);
            entry.fields.put("repeats", count(more));
        }
        Some(entry)
    }

    fn print(&self, entry: &Entry) -> Result<()> {
        #[cfg(test)]
        if let Some(kept) = &self.kept {
            kept.lock().unwrap().push((tokio::time::Instant::now(), entry.message.clone()));
            return Ok(());
        }
        let time = timefmt::iso(timefmt::now());
        if self.terminal.json {
            return self.terminal.line(entry.to_json(&time));
        }
        let prefix = if self.is_journal { entry.severity.prefix() } else { "" };
        let line = match self.format {
            Format::Json => entry.to_json(&time),
            Format::Text if self.is_journal => entry.message.clone(),
            Format::Text => format!("{time}  {}", entry.message),
        };
        self.terminal.say(format!("{prefix}{line}"));
        Ok(())
    }
}

impl Entry {
    fn to_json(&self, time: &str) -> String {
        let mut record = record::document();
        record.put("time", time).put("level", self.severity.name()).put("event", self.event);
        record.put("message", self.message.as_str());
        for (name, value) in self.fields.fields() {
            record.put(name, value.clone());
        }
        record.to_json()
    }
}

const BROKER: &str = "broker: ";

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Severity, name, message and fields of an event.
fn describe(event: &Event) -> Entry {
    let mut fields = Record::new();
    let (severity, name) = match event {
        Event::BrokerUp => (Severity::Info, "broker_connected"),
        Event::BrokerDown { reason, .. } => {
            fields.put("reason", reason.to_string());
            (Severity::Warning, "broker_disconnected")
        }
        Event::SubscriptionRefused { filter } => {
            fields.put("filter", filter.as_str());
            (Severity::Error, "subscription_refused")
        }
        Event::Cloud { account, level, reason } => {
            fields.put_some("account", account.map(account_number));
            fields.put("service", level.to_string()).put("reason", reason.to_string());
            let severity = match (level, reason) {
                (Level::Live, _) | (_, Reason::Starting) => Severity::Info,
                (Level::SignInNeeded, _) => Severity::Error,
                _ => Severity::Warning,
            };
            (severity, "cloud")
        }
        Event::Availability { device, online } => {
            fields.put("id", device.as_str()).put("online", *online);
            (if *online { Severity::Info } else { Severity::Warning }, "availability")
        }
        Event::Shared { device, account, other } => {
            fields.put("id", device.as_str());
            fields.put("account", account_number(*account)).put("other", account_number(*other));
            (Severity::Warning, "shared")
        }
        Event::Removed { device } => {
            fields.put("id", device.as_str());
            (Severity::Warning, "removed")
        }
        Event::Requested { request, device, change } => {
            fields.put("id", device.as_str()).put("command", number(request));
            fields.put("requested", change.to_string());
            (Severity::Info, "command")
        }
        Event::Decided { request, device, outcome, reason } => {
            fields.put("id", device.as_str()).put("command", number(request));
            fields.put("outcome", outcome.name()).put("reason", reason.as_str());
            let is_fine = matches!(outcome, VerdictKind::Confirmed | VerdictKind::Superseded);
            (if is_fine { Severity::Info } else { Severity::Warning }, "result")
        }
        Event::Ignored { topic, reason } => {
            fields.put("topic", topic.as_str()).put("reason", reason.to_string());
            (Severity::Warning, "ignored")
        }
        Event::OtherBridge { prefix } => {
            fields.put("prefix", prefix.as_str());
            (Severity::Error, "other_bridge")
        }
        Event::OtherBridgeGone => (Severity::Info, "other_bridge_gone"),
        Event::HomeAssistantStarted => (Severity::Info, "home_assistant_started"),
        Event::Dropped { count: dropped } => {
            fields.put("count", count(*dropped));
            (Severity::Warning, "dropped")
        }
        _ => (Severity::Info, "other"),
    };
    Entry { severity, event: name, message: event.to_string(), fields }
}

fn account_number(account: AccountIndex) -> Value {
    Value::Int(i64::try_from(account.number()).unwrap_or(i64::MAX))
}

fn number(request: &mysa_bridge::RequestId) -> Value {
    Value::Int(count(request.number()))
}

/// `true` if standard error is connected to the journal of systemd, see `JOURNAL_STREAM` in systemd.exec(5).
#[cfg(target_os = "linux")]
fn is_journal() -> bool {
    use std::os::linux::fs::MetadataExt as _;

    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    // A program that inherited the variable may have another standard error.
    let Ok(file) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream.to_str() == Some(format!("{}:{}", file.st_dev(), file.st_ino()).as_str())
}

#[cfg(not(target_os = "linux"))]
const fn is_journal() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use mysa_bridge::IgnoredReason;
    use mysa_bridge::client::DownReason;

    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn log() -> Log {
        Log::new(Terminal::new(false, 0, true, false), Format::Text)
    }

    fn down(reason: DownReason) -> Event {
        Event::BrokerDown { reason, retry_in: secs(3) }
    }

    impl Log {
        fn text(&mut self, event: &Event, now: Duration) -> Option<String> {
            self.thinned(event, now).map(|entry| entry.message)
        }
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

    #[test]
    fn json_has_the_facts_of_an_event_as_fields() {
        let mut log = log();
        log.note_link(Some("connection \"refused\"\u{1b}[2J".into()));
        let first = log.thinned(&down(DownReason::Unreachable), secs(0)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&first.to_json("2026-01-02T03:04:05Z")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "schema": 1,
                "time": "2026-01-02T03:04:05Z",
                "level": "warning",
                "event": "broker_disconnected",
                "message": "broker: the broker cannot be reached (connection \"refused\"\u{1b}[2J); trying again",
                "reason": "the broker cannot be reached",
                "detail": "connection \"refused\"\u{1b}[2J",
            })
        );
        assert!(!first.to_json("").contains('\u{1b}'), "no raw control character");
        for at in [1, 2] {
            log.note_link(Some("connection \"refused\"\u{1b}[2J".into()));
            assert!(log.thinned(&down(DownReason::Unreachable), secs(at)).is_none());
        }
        log.note_link(Some("connection \"refused\"\u{1b}[2J".into()));
        let later = log.thinned(&down(DownReason::Unreachable), secs(601)).unwrap();
        assert!(later.to_json("").contains(r#""repeats":2"#), "{}", later.to_json(""));
    }

    #[test]
    fn the_severity_rises_with_what_a_person_has_to_do() {
        for (level, severity) in [
            (Level::Live, Severity::Info),
            (Level::RestOnly, Severity::Warning),
            (Level::Offline, Severity::Warning),
            (Level::SignInNeeded, Severity::Error),
        ] {
            let entry = describe(&Event::Cloud { account: None, level, reason: Reason::Healthy });
            assert_eq!(entry.severity, severity, "{level:?}");
        }
    }
}
