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
    /// I3: bytes of a command, on any channel, although a newer one asks for the same setting.
    OlderAfterNewer {
        /// The older command.
        command: String,
        /// The newer one.
        newer: String,
        /// The setting that both ask for.
        setting: String,
    },
    /// I3: bytes of a command, on any channel, after its verdict.
    AfterVerdict {
        /// The command.
        command: String,
        /// A setting in it.
        setting: String,
    },
    /// I3: bytes of a command when more real time than its deadline has passed.
    TooLate {
        /// The command.
        command: String,
        /// Time since its deadline.
        late: Duration,
    },
    /// I3: a command by more fresh ids, or requests, than it may be asked again.
    AskedTooOften {
        /// The command.
        command: String,
        /// How many.
        times: usize,
    },
    /// I3: a command by MQTT after it had gone by REST.
    SwitchedBack {
        /// The command.
        command: String,
    },
    /// I3: a write by REST repeated although the one before may have been carried out.
    RepeatedAfterOpenEnd {
        /// The command, or the path of a write that is none.
        what: String,
    },
    /// I3: two commands for one thermostat under way by REST at once.
    ParallelWrites {
        /// The thermostat.
        device: DeviceId,
    },
    /// A write to one thermostat too soon after a write to another.
    Unpaced {
        /// The thermostat.
        device: DeviceId,
        /// Time since the write to the other.
        after: Duration,
    },
    /// A write by a session that is read-only.
    WriteWhileReadOnly(String),
    /// A request that changes something, or goes to a foreign host, and that nobody asked for.
    UnaskedRequest {
        /// Its path or URL.
        what: String,
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
    /// A setting on the wire that no command asks for.
    Unasked {
        /// The thermostat.
        device: DeviceId,
        /// The setting.
        setting: String,
        /// Its value on the wire.
        value: String,
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
    /// A command was confirmed that was true of its thermostat at no moment since its sending.
    FalseConfirmation {
        /// The thermostat.
        device: DeviceId,
        /// What was confirmed.
        command: String,
        /// What is true.
        truth: String,
    },
    /// A thermostat does not hold the newest confirmed command, although nobody else touched it since.
    Undone {
        /// The thermostat.
        device: DeviceId,
        /// The setting.
        setting: String,
        /// What was confirmed, and what is true.
        what: String,
    },
    /// A password was sent although the refresh token is good.
    NeedlessSignIn,
    /// A connection that says nothing for minutes, not even a ping, and is not closed.
    NotClosed {
        /// The connection.
        conn: String,
        /// Time since it last said anything.
        silent: Duration,
    },
    /// HTTP requests without end.
    RequestStorm {
        /// Requests within a minute.
        requests: usize,
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
