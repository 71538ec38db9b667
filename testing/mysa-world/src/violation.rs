use std::fmt;
use std::time::Duration;

use mysa_proto::DeviceId;

/// A broken invariant: what a Mysa client must never do, whatever happens to it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Violation {
    /// I1: two live connections with one client id.
    SharedClientId(String),
    /// I2: more than one CONNECT a second under one client id.
    HastyConnect {
        /// Time since the one before.
        after: Duration,
    },
    /// I2: more than one dial at a time for the same purpose, or dials without end.
    DialStorm {
        /// Dials within a minute.
        dials: usize,
    },
    /// I2: passwords tried without end.
    SignInStorm {
        /// Sign-ins within an hour.
        sign_ins: usize,
    },
    /// I3: bytes of a command after those of a newer one for the same field.
    OlderAfterNewer {
        /// Id of the older.
        id: u64,
        /// Field of the command.
        field: &'static str,
    },
    /// I3: a command sent more often than its policy allows.
    SentTooOften {
        /// Its id.
        id: u64,
        /// How often.
        times: u32,
    },
    /// I3: the same command on another connection.
    ReplayedElsewhere {
        /// Its id.
        id: u64,
    },
    /// I3: DUP on a first sending, or missing on a second.
    Resent {
        /// Its id.
        id: u64,
        /// Whether DUP was set.
        dup: bool,
    },
    /// Two writes to one thermostat within the interval.
    TooFast {
        /// Time since the one before.
        after: Duration,
    },
    /// A command on the wire that nobody asked for, or no longer.
    Unwanted {
        /// The thermostat.
        device: DeviceId,
        /// Field of the command.
        field: &'static str,
        /// Its value on the wire.
        told: String,
        /// What the newest wish for it is.
        wanted: Option<String>,
    },
    /// I4: a second verdict.
    SecondVerdict(String),
    /// I4: no verdict within the deadline.
    NoVerdict(String),
    /// I4: a verdict for a command nobody gave.
    ForeignVerdict(String),
    /// I5: a field's time went back within its source.
    WentBack {
        /// The thermostat.
        device: DeviceId,
        /// The field.
        field: &'static str,
    },
    /// I6: more waits somewhere than any bound allows.
    Unbounded {
        /// Where.
        place: &'static str,
        /// How much.
        size: usize,
    },
    /// I7: a secret in something printed.
    SecretPrinted {
        /// Where.
        place: &'static str,
    },
    /// I8: a thermostat shown as live although nothing was heard of it.
    FalselyLive {
        /// The thermostat.
        device: DeviceId,
        /// Time since anything was heard.
        silent: Duration,
    },
    /// A thermostat does not do what was confirmed.
    FalseConfirmation {
        /// The thermostat.
        device: DeviceId,
        /// What was confirmed.
        wish: String,
        /// What is true.
        truth: String,
    },
    /// More than eight topic filters in one packet.
    TooManyFilters {
        /// How many.
        in_packet: usize,
    },
    /// More than fifty subscriptions on one connection.
    TooManySubscriptions(usize),
    /// A publish to something else than a thermostat's `/in`.
    ForeignTopic(String),
    /// A publish with another quality of service than 1, or retained.
    WrongDelivery,
    /// A message that may do harm.
    Dangerous(String),
    /// A message that has no business on `/in`.
    Unexpected(String),
    /// A packet that breaks the standard.
    BadPacket(String),
    /// A payload that cannot be read.
    BadPayload(String),
    /// Bytes after DISCONNECT.
    AfterTheEnd {
        /// On which connection.
        conn: String,
    },
    /// The session wants to be woken again and again without time passing.
    Livelock {
        /// What for.
        wake: String,
    },
    /// After all trouble was over and time enough had passed, something is still wrong.
    NotRecovered(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Violation {}
