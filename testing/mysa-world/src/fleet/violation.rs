use std::fmt;
use std::time::Duration;

/// Invariant of a fleet that was broken.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FleetViolation {
    /// Two processes ran a client for one account at the same time.
    TwoOwners {
        /// Account.
        account: String,
        /// The two workers.
        workers: (usize, usize),
    },
    /// A command reached a thermostat twice.
    SecondSending {
        /// Account and command.
        command: String,
    },
    /// A command reached a thermostat after a client with a newer token had started.
    SentByOldOwner {
        /// Account and command.
        command: String,
    },
    /// A request got a second reply.
    SecondReply {
        /// Account and command.
        command: String,
    },
    /// A request that a process received got no reply, although the process lives.
    NoReply {
        /// Account and command.
        command: String,
    },
    /// Two replies to one command had different verdicts.
    TwoVerdicts {
        /// Account and command.
        command: String,
        /// The two verdicts.
        verdicts: (String, String),
    },
    /// A command that is reported as not carried out reached a thermostat, or one that is reported as confirmed did not.
    WrongVerdict {
        /// Account and command.
        command: String,
        /// The verdict.
        verdict: String,
    },
    /// A name that was used for another command got its verdict.
    NameReused {
        /// Account and command.
        command: String,
    },
    /// An account had no owner at twice the lease after the last failure.
    NotOwned {
        /// Account.
        account: String,
    },
    /// The client of an account that had left the fleet ran at twice the lease after that.
    StillOwned {
        /// Account.
        account: String,
    },
    /// A command had no verdict at the end, although its caller repeated it.
    NoVerdict {
        /// Account and command.
        command: String,
    },
    /// A worker started more clients in a second than its limit allows.
    TooManyStarts {
        /// Worker.
        worker: usize,
        /// Starts.
        starts: usize,
    },
    /// A worker owned more accounts than its capacity, or had more undecided commands than its limit.
    Unbounded {
        /// Worker.
        worker: usize,
        /// Name of what was too many.
        what: &'static str,
    },
    /// Accounts moved although no worker came or went.
    Restless {
        /// Number of starts in the time without trouble.
        starts: usize,
    },
    /// The workers did not come to rest at one moment.
    Livelock {
        /// Time.
        at: Duration,
    },
    /// A worker that drained did not end.
    NotDrained {
        /// Worker.
        worker: usize,
    },
}

impl fmt::Display for FleetViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for FleetViolation {}
