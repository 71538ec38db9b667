use core::time::Duration;

/// When to call [`Session::handle_timeout`](crate::Session::handle_timeout) next, and what for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Deadline {
    /// On the monotonic clock of [`Now`](crate::Now). It may be past.
    pub at: Duration,
    /// The reason for it.
    pub wake: Wake,
}

/// Reason of a [`Deadline`]: for logs, not to decide by.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Wake {
    /// Output is waiting: call [`Session::poll_output`](crate::Session::poll_output).
    Output,
    /// Something was left to be done as soon as possible.
    Work,
    /// An HTTP request has had its time.
    HttpDeadline,
    /// Signing in, or renewing tokens or credentials, is due.
    Identity,
    /// A connection is to be dialled.
    Dial,
    /// A connection that is being opened has had its time.
    Handshake,
    /// A ping is due, or its answer.
    KeepAlive,
    /// A subscription is to be asked for, or its answer has had its time.
    Subscribe,
    /// A publish waits for its turn, or for its acknowledgement.
    Publish,
    /// A connection is to be replaced before the cloud ends it.
    Replace,
    /// A live report lapses.
    Lease,
    /// A command is to be sent, or to be judged.
    Command,
    /// The REST service is to be asked.
    Poll,
    /// A thermostat will have been silent for too long.
    Staleness,
    /// The degree of service will change.
    Service,
}

/// The earlier of two deadlines, either of which may be none.
pub(crate) fn earlier(one: Option<Deadline>, other: Option<Deadline>) -> Option<Deadline> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Deadline {
    pub(crate) const fn new(at: Duration, wake: Wake) -> Self {
        Self { at, wake }
    }
}
