use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Revision of a key: the store gives each write to a bucket a higher one. The revision of a claim is the fencing token of
/// the ownership that it begins.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Revision(u64);

impl Revision {
    /// Wraps the number that the store gives.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Number that the store gave.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bucket of the store. Each is durable: it keeps its content and its revisions over a restart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "a driver that misses one must not compile")]
pub enum Bucket {
    /// Accounts of the fleet, by name. Others write it, and this crate ignores the values. Watched.
    Accounts,
    /// Sessions of the workers, by `WORKER.INCARNATION`. Watched. Entries must not expire by age.
    Workers,
    /// Owners of the accounts, by name of the account. Watched. Entries must not expire by age.
    Claims,
    /// Commands and their verdicts, by `ACCOUNT.COMMAND`. Not watched. Entries may expire after the time for which a
    /// repeat of a command gets the first verdict, at least an hour.
    Verdicts,
}

impl Bucket {
    /// Name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Workers => "workers",
            Self::Claims => "claims",
            Self::Verdicts => "verdicts",
        }
    }
}

/// Number of an operation, unique for one worker of one process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OperationId(pub(crate) u64);

impl OperationId {
    /// Number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Operation on the store. Its answer goes to [`Worker::handle_answer`](crate::Worker::handle_answer).
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Operation {
    /// Number for the answer.
    pub id: OperationId,
    /// Bucket.
    pub bucket: Bucket,
    /// Key; of [`Action::List`], the first part of the keys.
    pub key: String,
    /// Action on the key.
    pub action: Action,
}

/// Action of an [`Operation`]. Writes are conditional, and the store checks the condition and writes in one step.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver that misses one must not compile")]
pub enum Action {
    /// Write the value if the key does not exist or is deleted.
    Create {
        /// Value: JSON.
        value: String,
    },
    /// Write the value if this is the revision of the key.
    Update {
        /// Value: JSON.
        value: String,
        /// Expected revision.
        revision: Revision,
    },
    /// Delete the key if this is its revision.
    Delete {
        /// Expected revision.
        revision: Revision,
    },
    /// Remove the marker of a deleted key, if this is the revision that deleted it. Watches do not show it.
    Forget {
        /// Revision that deleted the key.
        revision: Revision,
    },
    /// Read the key from the leader of the store.
    Read,
    /// Read all keys that begin with the key and a dot, at most 1,000.
    List,
}

/// Answer of the store to an [`Operation`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the answers that a store can give")]
pub enum Answer {
    /// The write was carried out, with this revision. To [`Action::Forget`]: the revision that is forgotten.
    Written(Revision),
    /// Answer to a write: its condition does not hold. Nothing was written.
    Conflict,
    /// Answer to [`Action::Read`]; `None` if the key does not exist.
    Entry(Option<Entry>),
    /// Answer to [`Action::List`].
    Entries(Vec<Entry>),
    /// There was no answer, or an error after which it is not certain that nothing was written. The worker assumes
    /// neither success nor failure.
    Lost,
}

/// State of a key at one revision.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Entry {
    /// Key.
    pub key: String,
    /// Revision.
    pub revision: Revision,
    /// Value; `None` if this revision deleted the key.
    pub value: Option<String>,
}
