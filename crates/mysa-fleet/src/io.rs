use alloc::string::String;
use core::fmt;
use core::time::Duration;

use mysa_proto::{DeviceId, UnixTime};
use mysa_session::{Verdict, VerdictKind};

use crate::{AccountId, CommandId, Operation, Revision};

/// Instruction for the driver, or an event.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver that misses one must not compile")]
pub enum Output {
    /// Carry out an operation on the store, then report the answer by
    /// [`Worker::handle_answer`](crate::Worker::handle_answer). Operations may be carried out in any order.
    Store(Operation),
    /// Start the client of an account, and take requests for it.
    Start {
        /// Account.
        account: AccountId,
        /// Revision of the claim: the token to record with each command and event of this client.
        owner: Revision,
    },
    /// Stop the client of an account, then report it by [`Worker::handle_stopped`](crate::Worker::handle_stopped).
    Stop {
        /// Account.
        account: AccountId,
        /// Token of the client.
        owner: Revision,
        /// Reason. After [`StopReason::LeaseOver`], abort: another worker may start a client once
        /// [`Settings::margin`](crate::Settings::margin) has passed.
        reason: StopReason,
    },
    /// Send a command by the client of its account, then report its verdict by
    /// [`Worker::handle_verdict`](crate::Worker::handle_verdict). Sent at most once for each command id.
    Command {
        /// Account.
        account: AccountId,
        /// Token of the client. If the client has another, report a refusal.
        owner: Revision,
        /// Name of the command.
        id: CommandId,
        /// Thermostat.
        device: DeviceId,
        /// Text of the requested change, as in the request.
        change: String,
        /// Time on the monotonic clock after which the command must not be sent. It is never later than the end of the
        /// session of this worker, so the client's own rule (no byte of a command after its deadline) also holds in a
        /// process that was stopped.
        deadline: Duration,
    },
    /// Answer a request.
    Reply {
        /// Number that the driver gave to the request.
        to: ReplyTo,
        /// Answer.
        reply: Reply,
    },
    /// Event for the log.
    Event(Event),
}

/// Number of a request, chosen by the driver.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct ReplyTo(pub u64);

/// Reason to stop a client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver that misses one must not compile")]
pub enum StopReason {
    /// The session of this worker is over.
    LeaseOver,
    /// The account belongs to another worker, or is handed to it.
    HandOver,
    /// The account left the fleet.
    Removed,
    /// The worker drains.
    Draining,
}

/// Request to change the state of a thermostat.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Request {
    /// Name of the command. A repeat with the same name gets the first verdict.
    pub id: CommandId,
    /// Account.
    pub account: AccountId,
    /// Thermostat.
    pub device: DeviceId,
    /// Text of the requested change, at most 4,096 bytes. This crate compares it and passes it on.
    pub change: String,
    /// Time limit, from the receipt.
    pub time_limit: Duration,
    /// Time after which the request is not carried out, by the caller's wall clock. It ends requests that waited in a
    /// connection or in a process that was stopped. An error of either clock shortens the time or has no effect beyond
    /// `time_limit`.
    pub expires_at: UnixTime,
}

/// Answer to a request. Each request gets exactly one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "callers decide on it")]
pub enum Reply {
    /// The verdict, as it is recorded.
    Decided {
        /// Verdict.
        decision: Decision,
        /// Token of the owner that accepted the command.
        owner: Revision,
    },
    /// The request is refused, and no repeat of it can succeed.
    Refused(RefusedRequest),
    /// There is no verdict. Repeat the request with the same name: if it was carried out, the repeat gets its verdict.
    Retry(Retry),
}

/// Reason to refuse a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusedRequest {
    /// The name was used for another command of this account.
    IdReused,
    /// The text of the change is longer than 4,096 bytes.
    TooLong,
}

/// Reason why a request has no verdict yet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Retry {
    /// This worker does not run the client of the account.
    NotOwner,
    /// The account is being handed over or removed.
    Moving,
    /// Too many commands are undecided.
    Busy,
    /// The store did not answer in time.
    StoreSilent,
}

/// Verdict on a command, in the form in which it is recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Decision {
    /// Outcome.
    pub outcome: VerdictKind,
    /// Reason, for people. At most 512 bytes are recorded.
    pub reason: String,
    /// Number that the driver gives to the outcome, such as the exit code of a program. It is recorded as it is; zero says
    /// nothing.
    pub code: u8,
}

impl Decision {
    /// Creates a decision.
    pub fn new(outcome: VerdictKind, reason: impl Into<String>) -> Self {
        Self { outcome, reason: reason.into(), code: 0 }
    }

    /// Sets the number of the driver.
    #[must_use]
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

impl From<&Verdict> for Decision {
    fn from(verdict: &Verdict) -> Self {
        Self::new(verdict.kind(), alloc::format!("{verdict}"))
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.outcome.name(), self.reason)
    }
}

impl fmt::Display for RefusedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::IdReused => "the id was used for another command; use a new id for each command",
            Self::TooLong => "the change is longer than 4096 bytes",
        })
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotOwner => "this worker does not own the account; repeat with the same id",
            Self::Moving => "the account is being moved; repeat with the same id in a few seconds",
            Self::Busy => "too many commands are undecided; repeat with the same id later",
            Self::StoreSilent => {
                "the store did not answer in time; repeat with the same id to learn the verdict"
            }
        })
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LeaseOver => "the lease of this worker is over",
            Self::HandOver => "it is handed to another worker",
            Self::Removed => "it left the fleet",
            Self::Draining => "this worker drains",
        })
    }
}

/// Change of state, for the log. `Display` is one line.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The worker has a session and can own accounts.
    SessionBegun {
        /// Number of the session among those of this process.
        incarnation: u64,
    },
    /// The session ended, and all clients are stopped.
    SessionOver {
        /// Reason.
        reason: SessionOver,
    },
    /// Another worker appeared.
    WorkerSeen {
        /// Key of its session.
        session: String,
    },
    /// The session of another worker is over; its accounts are free.
    WorkerGone {
        /// Key of its session.
        session: String,
    },
    /// This worker owns an account.
    Claimed {
        /// Account.
        account: AccountId,
        /// Token.
        owner: Revision,
    },
    /// This worker gave an account back.
    Released {
        /// Account.
        account: AccountId,
        /// Token that is no longer valid.
        owner: Revision,
    },
    /// An operation had no answer in time.
    StoreSilent,
    /// A key or value in the store could not be read, and was ignored.
    Unreadable {
        /// Key.
        key: String,
    },
    /// The worker has handed over all accounts. See [`Worker::is_ended`](crate::Worker::is_ended).
    Drained,
}

/// Reason for the end of a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SessionOver {
    /// It was not renewed in time, by the clock of this worker: the store did not answer, or the process was stopped.
    NotRenewed,
    /// Another worker ended it, after it saw no renewal for a lease.
    Ended,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionBegun { incarnation } => write!(f, "session {incarnation:016x} begun"),
            Self::SessionOver { reason: SessionOver::NotRenewed } => {
                f.write_str("session over: it was not renewed in time; all clients are stopped")
            }
            Self::SessionOver { reason: SessionOver::Ended } => {
                f.write_str("session over: another worker ended it; all clients are stopped")
            }
            Self::WorkerSeen { session } => write!(f, "worker {session:?} appeared"),
            Self::WorkerGone { session } => write!(f, "worker {session:?} is gone; its accounts are free"),
            Self::Claimed { account, owner } => write!(f, "account {account} claimed at revision {owner}"),
            Self::Released { account, owner } => {
                write!(f, "account {account} released; it was claimed at {owner}")
            }
            Self::StoreSilent => f.write_str("the store did not answer in time"),
            Self::Unreadable { key } => write!(f, "ignored an unreadable entry {key:?} of the store"),
            Self::Drained => f.write_str("drained: all accounts are handed over"),
        }
    }
}
