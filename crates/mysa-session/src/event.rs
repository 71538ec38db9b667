use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_cognito::ChallengeKind;
use mysa_proto::{Changes, DeviceId, TopicKind};

use crate::{CommandId, HttpFailure, Service, Verdict};

/// Event for the application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A thermostat was added to the account's list.
    DeviceAdded {
        /// Id of the thermostat.
        device: DeviceId,
    },
    /// A thermostat was removed from the account's list; its state is discarded.
    DeviceRemoved {
        /// Id of the thermostat.
        device: DeviceId,
    },
    /// A thermostat changed; [`Session::device`](crate::Session::device) returns all of it.
    Device {
        /// Id of the thermostat.
        device: DeviceId,
        /// Fields of its state that changed since the last event of this kind.
        changes: Changes,
        /// `true` if it became live or stale, was renamed, or its subscription was granted or refused.
        about: bool,
        /// Number of further changes that this event includes, because the reader was slow.
        skipped: u32,
    },
    /// A command was decided.
    Verdict {
        /// Id of the command.
        id: CommandId,
        /// Thermostat that the command was for.
        device: DeviceId,
        /// Outcome.
        verdict: Verdict,
    },
    /// The service level or its reason changed.
    Service(Service),
    /// Sign-in needs an answer from a person, given by [`Session::answer_challenge`](crate::Session::answer_challenge).
    Challenge(Box<ChallengeNeeded>),
    /// The answer to [`Session::request`](crate::Session::request).
    Response {
        /// Id of the request.
        id: RequestId,
        /// Response, or the reason why there is none.
        result: Result<Response, RequestError>,
    },
    /// Raw MQTT message, reported if [`Settings::raw_messages`](crate::Settings::raw_messages) is set.
    Message {
        /// Thermostat that the topic names.
        device: DeviceId,
        /// Kind of the topic.
        kind: TopicKind,
        /// Complete payload.
        payload: Vec<u8>,
    },
    /// Undecodable message, such as one cut short by the thermostat. The connection stays open.
    Unreadable {
        /// Thermostat that the topic names.
        device: DeviceId,
        /// Length of the payload in bytes.
        len: usize,
    },
    /// The duty cycle of a thermostat stays above zero while its mode is off.
    Contradiction {
        /// Id of the thermostat.
        device: DeviceId,
    },
    /// A [`Session::sign_out`](crate::Session::sign_out) has completed.
    SignedOut {
        /// Outcome for the refresh token.
        revoked: Revocation,
    },
    /// The host's clock is wrong. Signatures and time stamps are corrected for the difference.
    ClockOff {
        /// Milliseconds by which the cloud's clock is ahead of the host's; negative if the host is ahead.
        ahead_ms: i64,
    },
    /// Events were dropped because the reader was slow. States, verdicts, responses, challenges and the service level
    /// are never dropped; [`Session::devices`](crate::Session::devices) has the current list of thermostats.
    Dropped {
        /// Number of dropped events.
        count: u64,
    },
}

/// Outcome of a sign-out for the refresh token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a caller must report each of them")]
pub enum Revocation {
    /// The pool revoked the token. The stored session is deleted.
    Revoked,
    /// The pool gave no usable answer, so the token may still work. The stored session is kept, so the sign-out can be
    /// repeated.
    NotReached,
    /// The pool refused to revoke the token, which may work until it expires. The stored session is deleted.
    Refused,
    /// There was no token. The stored session is deleted.
    NothingToRevoke,
}

impl Revocation {
    /// `true` if a token is left that may still work.
    #[must_use]
    pub const fn may_still_work(self) -> bool {
        matches!(self, Self::NotReached | Self::Refused)
    }
}

/// Sign-in challenge that waits for a person.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChallengeNeeded {
    /// Kind of challenge.
    pub kind: ChallengeKind,
    /// Address that a code was sent to, as the service masks it.
    pub destination: Option<String>,
    /// Factors to choose from, if the challenge is a choice.
    pub choices: Vec<String>,
    /// `true` if the last answer was wrong or too late.
    pub again: bool,
}

/// Id of a request made by [`Session::request`](crate::Session::request), unique within one session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub(crate) u64);

/// Response of the REST service.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Response {
    /// HTTP status, between 200 and 299.
    pub status: u16,
    /// Body, to be decoded by the response type of the route.
    pub body: Vec<u8>,
}

/// Reason why a request has no response.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RequestError {
    /// The service refused the request. The status gives the reason; 404 is normal for what does not exist.
    Refused {
        /// HTTP status.
        status: u16,
        /// Body, which may give details.
        body: Vec<u8>,
        /// Time to wait before the next request, if the service gives one (`Retry-After`), at most an hour.
        retry_after: Option<Duration>,
    },
    /// There was no answer. A write may have taken effect; it is not repeated.
    Failed(HttpFailure),
    /// The request could not be sent in time. Nothing was sent or done.
    NotSent,
    /// There is no account to authorise the request: sign-in is needed, the session has only a captured URL, or it was
    /// shut down.
    NotSignedIn,
    /// The session was shut down or signed out before the answer to a write, which may have taken effect.
    Aborted,
    /// The session is [`read_only`](crate::Settings::read_only) and the request was a write. Nothing was sent.
    ReadOnly,
}

impl core::fmt::Display for RequestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Refused { status, retry_after, .. } => fmt_refused(f, *status, *retry_after),
            Self::Failed(HttpFailure::Timeout) => f.write_str("the service did not answer in time"),
            Self::Failed(HttpFailure::Unreachable) => f.write_str("the service cannot be reached"),
            Self::Failed(HttpFailure::Tls) => {
                f.write_str("the TLS handshake failed: the certificate may not be trusted")
            }
            Self::Failed(HttpFailure::Broken) => {
                f.write_str("the connection broke before the answer was complete")
            }
            Self::NotSent => f.write_str("the request could not be sent in time, and nothing was done"),
            Self::NotSignedIn => f.write_str("not signed in"),
            Self::Aborted => {
                f.write_str("the session ended before the answer, and the write may have taken effect")
            }
            Self::ReadOnly => f.write_str("this session is read-only: it sends no writes"),
        }
    }
}

impl core::error::Error for RequestError {}

/// Writes a refusal by the REST service with the time to wait.
pub(crate) fn fmt_refused(
    f: &mut core::fmt::Formatter<'_>,
    status: u16,
    retry_after: Option<Duration>,
) -> core::fmt::Result {
    let why = if status == 429 { "too many requests" } else { "the service refused the request" };
    write!(f, "{why} (HTTP {status})")?;
    match retry_after {
        Some(wait) => write!(f, ": try again in {} s", wait.as_secs()),
        None => Ok(()),
    }
}
