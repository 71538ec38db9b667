use core::fmt;
use core::time::Duration;

/// Settings of a [`Worker`](crate::Worker). `lease` and `margin` must be the same for all workers of a fleet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Time after which a worker that does not renew its session has lost it. 6 s to 10 min. Default: 30 s.
    pub lease: Duration,
    /// Time before the end of the lease at which a worker lets go of its accounts. It covers the difference in the rates of
    /// two clocks and the time in which the driver stops a client. 1 s to a third of the lease. Default: 5 s.
    pub margin: Duration,
    /// Time limit for the answer to an operation on the store. Default: 3 s.
    pub answer_limit: Duration,
    /// Maximum number of accounts of this worker. Default: 1,000.
    pub capacity: u32,
    /// Clients started in a second, on average. Each start may be a sign-in, and a cloud that sees too many from one address
    /// may refuse them all. 0.01 to 1,000. Default: 5.
    pub starts_per_second: f64,
    /// Time for which a free account is left to the worker to which it is assigned, before any worker with room claims
    /// it; a random time of the same length comes on top. Default: 3 s.
    pub grace: Duration,
    /// Time without a change among the workers, and since its own start, after which an account is handed to the worker
    /// to which it is assigned. Default: 60 s.
    pub settle: Duration,
    /// Accounts that are handed over at once. Default: 2.
    pub hand_overs: u32,
    /// Accounts that are handed over at once by a worker that drains. Default: 20.
    pub drain_hand_overs: u32,
    /// Time for which the marker of a session that ended stays in the store. At least twice the lease. Default: 1 h.
    pub marker_life: Duration,
    /// Undecided commands of this worker. More are refused with [`Retry::Busy`](crate::Retry::Busy). Default: 4,096.
    pub max_commands: usize,
    /// Longest time limit of a command; longer ones are shortened. Default: 60 s.
    pub command_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            lease: secs(30),
            margin: secs(5),
            answer_limit: secs(3),
            capacity: 1_000,
            starts_per_second: 5.0,
            grace: secs(3),
            settle: secs(60),
            hand_overs: 2,
            drain_hand_overs: 20,
            marker_life: secs(3_600),
            max_commands: 4_096,
            command_limit: secs(60),
        }
    }
}

/// Error: a setting of a worker is invalid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// The lease is not 6 s to 10 min.
    Lease(Duration),
    /// The margin is not 1 s to a third of the lease.
    Margin(Duration),
    /// The time limit of an answer is zero, or longer than a third of the lease.
    AnswerLimit(Duration),
    /// The life of a marker is shorter than twice the lease.
    MarkerLife(Duration),
    /// The number of starts in a second is not 0.01 to 1,000.
    StartsPerSecond,
    /// The number of accounts, of commands, or of accounts that are handed over at once is zero.
    Zero {
        /// Name of the setting.
        setting: &'static str,
    },
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease(lease) => write!(f, "invalid lease {lease:?}: expected 6 s to 10 min"),
            Self::Margin(margin) => {
                write!(f, "invalid margin {margin:?}: expected 1 s to a third of the lease")
            }
            Self::AnswerLimit(limit) => {
                write!(
                    f,
                    "invalid time limit of an answer {limit:?}: expected more than 0 s, and at most a third of the lease"
                )
            }
            Self::MarkerLife(life) => {
                write!(f, "invalid life of a marker {life:?}: expected at least twice the lease")
            }
            Self::StartsPerSecond => f.write_str("invalid starts per second: expected 0.01 to 1000"),
            Self::Zero { setting } => write!(f, "invalid {setting}: expected at least 1"),
        }
    }
}

impl core::error::Error for InvalidSettings {}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), InvalidSettings> {
        let secs = Duration::from_secs;
        if !(secs(6)..=secs(600)).contains(&self.lease) {
            return Err(InvalidSettings::Lease(self.lease));
        }
        if !(secs(1)..=self.lease / 3).contains(&self.margin) {
            return Err(InvalidSettings::Margin(self.margin));
        }
        if self.answer_limit.is_zero() || self.answer_limit > self.lease / 3 {
            return Err(InvalidSettings::AnswerLimit(self.answer_limit));
        }
        if self.marker_life < self.lease.saturating_mul(2) {
            return Err(InvalidSettings::MarkerLife(self.marker_life));
        }
        if !(0.01..=1_000.0).contains(&self.starts_per_second) {
            return Err(InvalidSettings::StartsPerSecond);
        }
        let counts = [
            ("capacity", self.capacity as usize),
            ("number of hand-overs", self.hand_overs as usize),
            ("number of hand-overs of a worker that drains", self.drain_hand_overs as usize),
            ("number of commands", self.max_commands),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((setting, _)) => Err(InvalidSettings::Zero { setting }),
            None => Ok(()),
        }
    }

    /// Time from the sending of a renewal that succeeds to the end of the session on the holder's clock.
    pub(crate) fn hold(&self) -> Duration {
        self.lease.saturating_sub(self.margin)
    }
}
