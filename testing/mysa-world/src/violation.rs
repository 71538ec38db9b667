use std::fmt;
use std::time::Duration;

use mysa_proto::DeviceId;

/// A broken invariant: behaviour that is wrong in a Mysa client under any circumstances.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Violation {
    /// I1: two live connections use one client id.
    SharedClientId(String),
    /// I2: more than one CONNECT per second under one client id.
    EarlyConnect {
        /// Time since the previous CONNECT.
        after: Duration,
    },
    /// I2: the client opens more than one connection at a time for the same purpose, or dials without limit.
    DialStorm {
        /// Dials within a minute.
        dials: usize,
    },
    /// I2: the client tries passwords without limit.
    SignInStorm {
        /// Sign-ins within an hour.
        sign_ins: usize,
    },
    /// I3: bytes of a command are sent on any channel after a newer command asked for the same setting.
    OlderAfterNewer {
        /// The older command.
        command: String,
        /// The newer command.
        newer: String,
        /// The setting that both commands ask for.
        setting: String,
    },
    /// I3: bytes of a command are sent on any channel after its verdict.
    AfterVerdict {
        /// The command.
        command: String,
        /// A setting of the command.
        setting: String,
    },
    /// I3: bytes of a command that waited in a buffer of the host leave it after the verdict.
    LeftAfterVerdict {
        /// The command.
        command: String,
        /// Time since the verdict.
        after: Duration,
    },
    /// I3: bytes of a command are sent after its deadline, measured in real time.
    TooLate {
        /// The command.
        command: String,
        /// Time since its deadline.
        late: Duration,
    },
    /// I3: a connection is closed, not aborted, while the bytes of a command are in transit on it. A driver
    /// sends what is queued before it closes.
    ClosedUponCommand {
        /// The connection.
        conn: String,
    },
    /// I3: a command uses more fresh message ids, or more requests, than repeats are allowed.
    AskedTooOften {
        /// The command.
        command: String,
        /// Number of ids or requests used.
        times: usize,
    },
    /// I3: a command is sent by MQTT after it had been sent by REST.
    SwitchedBack {
        /// The command.
        command: String,
    },
    /// A command is reported as refused by the structured service although a message had carried it.
    RefusedAfterMessage(String),
    /// The verdict says that a command was never sent, although its bytes have left the client.
    FalselyUnsent(String),
    /// I3: a REST write is repeated although the previous request may have been carried out.
    RepeatedAfterOpenEnd {
        /// The command, or the path of a write that is not a command.
        what: String,
    },
    /// I3: two commands for one thermostat are in flight by REST at once.
    ParallelWrites {
        /// The thermostat.
        device: DeviceId,
    },
    /// A write to one thermostat follows a write to another thermostat too soon.
    Unpaced {
        /// The thermostat.
        device: DeviceId,
        /// Time since the write to the other thermostat.
        after: Duration,
    },
    /// A read-only session writes.
    WriteWhileReadOnly(String),
    /// An unrequested call changes something or goes to a foreign host.
    UnrequestedCall {
        /// Path or URL of the request.
        what: String,
    },
    /// I3: a command is sent more often than its policy allows.
    SentTooOften {
        /// Id of the message.
        id: u64,
        /// Number of transmissions.
        times: u32,
    },
    /// I3: a message is repeated on another connection.
    ReplayedElsewhere {
        /// Id of the message.
        id: u64,
    },
    /// I3: DUP is set on a first transmission, or missing on a repeat.
    Resent {
        /// Id of the message.
        id: u64,
        /// `true` if DUP was set.
        dup: bool,
    },
    /// Two writes to one thermostat, by either channel, are closer together than the write interval.
    TooFast {
        /// The thermostat.
        device: DeviceId,
        /// Time since the previous write.
        after: Duration,
    },
    /// A setting on the wire that no command asks for.
    Unrequested {
        /// The thermostat.
        device: DeviceId,
        /// The setting.
        setting: String,
        /// Its value on the wire.
        value: String,
    },
    /// I3: beside a fan speed, a request contains a mode that the thermostat is not known to be in since the newest command for
    /// the mode, and so may undo that command.
    OldModeWithFan {
        /// The thermostat.
        device: DeviceId,
        /// The newest command for the mode.
        command: String,
        /// The mode in the request.
        mode: String,
    },
    /// I4: a command gets a second verdict.
    SecondVerdict(String),
    /// I4: a command gets no verdict within its deadline.
    NoVerdict(String),
    /// I4: a verdict for a command that was never requested.
    ForeignVerdict(String),
    /// I5: the timestamp of a field goes back within one source.
    WentBack {
        /// The thermostat.
        device: DeviceId,
        /// The field.
        field: &'static str,
    },
    /// I6: a queue, a buffer or a set of connections grows beyond its bound.
    Unbounded {
        /// Name of the queue or buffer.
        place: &'static str,
        /// Its size.
        size: usize,
    },
    /// I7: a secret appears in printed output.
    SecretPrinted {
        /// Name of the printed value.
        place: &'static str,
    },
    /// I8: a thermostat is shown as live although nothing was received from it.
    FalselyLive {
        /// The thermostat.
        device: DeviceId,
        /// Time since the last message.
        silent: Duration,
    },
    /// A command is confirmed although its thermostat has not held it at any moment since it was sent.
    FalseConfirmation {
        /// The thermostat.
        device: DeviceId,
        /// The confirmed command.
        command: String,
        /// The settings that the thermostat holds.
        truth: String,
    },
    /// A thermostat does not hold the newest confirmed command, although no other client or person has
    /// changed the thermostat since.
    Undone {
        /// The thermostat.
        device: DeviceId,
        /// The setting.
        setting: String,
        /// The confirmed and the actual value.
        what: String,
    },
    /// The client sends a password although its refresh token is valid.
    UnnecessarySignIn,
    /// The client sends nothing on a connection for minutes, not even a ping, and does not close it.
    NotClosed {
        /// The connection.
        conn: String,
        /// Time since the last byte from the client.
        silent: Duration,
    },
    /// The client sends HTTP requests without limit.
    RequestStorm {
        /// Requests within a minute.
        requests: usize,
    },
    /// One packet contains more than eight topic filters.
    TooManyFilters {
        /// Number of filters in the packet.
        in_packet: usize,
    },
    /// One connection holds more than fifty subscriptions.
    TooManySubscriptions(usize),
    /// A publish to a topic other than a thermostat's `/in`.
    ForeignTopic(String),
    /// A publish that is retained, or whose QoS is not 1.
    WrongDelivery,
    /// A message that can do harm.
    Dangerous(String),
    /// A message of a kind that does not belong on `/in`.
    Unexpected(String),
    /// A packet that violates the MQTT standard.
    BadPacket(String),
    /// A payload that cannot be decoded.
    BadPayload(String),
    /// Bytes after DISCONNECT.
    AfterTheEnd {
        /// The connection.
        conn: String,
    },
    /// The session stays due although no time passes.
    Livelock {
        /// Reason that the session gives for the wake-up.
        wake: String,
    },
    /// Something is still wrong after all trouble has ended and the time to recover has passed.
    NotRecovered(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Violation {}
