use std::fmt;
use std::time::Duration;

/// Rule for a driver.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Rule {
    /// All outputs are taken before the driver waits for the next input.
    Drain,
    /// `handle_timeout` is called when the deadline of `poll_timeout` is due.
    Deadline,
    /// Each call gets a new reading of the clock, taken after the driver has waited.
    Clock,
    /// Every output is carried out, and its result is reported.
    Output,
    /// A result is reported once, for an output that was given and not withdrawn.
    Report,
    /// Bytes are passed with the id of the connection on which they arrived, from its first byte on.
    Connection,
    /// `deferred_body` is called once the TLS connection is open, never earlier.
    DeferredBody,
    /// `Output::Store` is reported, and the store is read only after that.
    Store,
    /// After `Output::Abort` and `Output::AbortHttp`, nothing is sent and the connection is reset.
    Abort,
    /// Only requests that the session gave are sent, each once: redirects are not followed.
    Redirect,
    /// `shutdown` is called and its output is taken while a command is undecided.
    Shutdown,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 11] = [
        Self::Drain,
        Self::Deadline,
        Self::Clock,
        Self::Output,
        Self::Report,
        Self::Connection,
        Self::DeferredBody,
        Self::Store,
        Self::Abort,
        Self::Redirect,
        Self::Shutdown,
    ];

    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Deadline => "deadline",
            Self::Clock => "clock",
            Self::Output => "output",
            Self::Report => "report",
            Self::Connection => "connection",
            Self::DeferredBody => "deferred body",
            Self::Store => "store",
            Self::Abort => "abort",
            Self::Redirect => "redirect",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Broken rule.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// Time of the call that showed it, on the driver's monotonic clock.
    pub at: Duration,
    /// Action of the driver, and the expected one.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at {:?}: {}", self.rule, self.at, self.what)
    }
}
