use core::time::Duration;

use mysa_proto::UnixTime;

/// Time of the next call to [`Session::handle_timeout`](crate::Session::handle_timeout), and the reason for it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Deadline {
    /// Time on the monotonic clock of [`Now`](crate::Now). It may be in the past.
    pub at: Duration,
    /// Reason for the call.
    pub wake: Wake,
}

/// Reason of a [`Deadline`], for logs. Drivers must not depend on it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Wake {
    /// Output is waiting: call [`Session::poll_output`](crate::Session::poll_output).
    Output,
    /// Work remains that is due as soon as possible.
    Work,
    /// An HTTP request times out.
    HttpDeadline,
    /// A sign-in or a renewal of tokens or credentials is due.
    Identity,
    /// A connection is due to be dialled: a lost one again, or the successor of one that is to be replaced.
    Dial,
    /// A connection that is being opened times out.
    Handshake,
    /// A ping or its answer is due.
    KeepAlive,
    /// A subscription is due to be requested, or its answer is.
    Subscribe,
    /// The acknowledgement of a publish is due.
    Publish,
    /// A connection that was replaced is due to be closed.
    Replace,
    /// A request for live reports is due, or its renewal.
    Lease,
    /// A command is due to be sent or judged.
    Command,
    /// A REST request is due.
    Poll,
    /// A thermostat becomes stale.
    Staleness,
    /// The service level changes.
    Service,
}

/// Converts to whole milliseconds, saturating.
pub(crate) fn millis(time: Duration) -> i64 {
    let whole = i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000);
    whole.saturating_add(time.subsec_millis().into())
}

pub(crate) fn plus(wall: UnixTime, time: Duration) -> UnixTime {
    wall.plus_millis(millis(time))
}

/// Returns the earlier of two optional deadlines.
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
