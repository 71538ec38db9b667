use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use mysa_cognito::ChallengeKind;
use mysa_proto::{Changes, DeviceId, TopicKind};

use crate::{CommandId, HttpFailure, Service, Verdict};

/// Something the application should know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A thermostat is new in the account's list.
    DeviceAdded {
        /// The thermostat.
        device: DeviceId,
    },
    /// A thermostat is no longer in the list; its state is gone.
    DeviceRemoved {
        /// The thermostat.
        device: DeviceId,
    },
    /// Something about a thermostat is different; [`Session::device`](crate::Session::device) has all of it.
    Device {
        /// The thermostat.
        device: DeviceId,
        /// The fields of its state that differ from what the last event of this kind left.
        changes: Changes,
        /// Whether it became live or stale, was renamed, or its subscription was granted or refused.
        about: bool,
        /// Number of further changes that this event stands for, because the reader was slow.
        skipped: u32,
    },
    /// A command is decided.
    Verdict {
        /// The command.
        id: CommandId,
        /// The thermostat it was for.
        device: DeviceId,
        /// The verdict on it.
        verdict: Verdict,
    },
    /// The service level, or the reason for it, has changed.
    Service(Service),
    /// A person has to answer: call [`Session::answer_challenge`](crate::Session::answer_challenge).
    Challenge(Box<ChallengeNeeded>),
    /// The answer to [`Session::request`](crate::Session::request).
    Response {
        /// The request.
        id: RequestId,
        /// The response, or the reason why there is none.
        result: Result<Response, RequestError>,
    },
    /// A message as it came, if [`Settings::raw_messages`](crate::Settings::raw_messages) is set.
    Message {
        /// The thermostat of the topic.
        device: DeviceId,
        /// The kind of topic.
        kind: TopicKind,
        /// The payload, whole.
        payload: Vec<u8>,
    },
    /// A message that could not be read, such as one cut short by the thermostat. The connection goes on.
    Unreadable {
        /// The thermostat of the topic.
        device: DeviceId,
        /// Length of the payload.
        len: usize,
    },
    /// The duty cycle of a thermostat stays above zero while its mode says off.
    Contradiction {
        /// The thermostat.
        device: DeviceId,
    },
    /// A [`Session::sign_out`](crate::Session::sign_out) has ended.
    SignedOut {
        /// Whether what was stored can still be used.
        revoked: Revocation,
    },
    /// The host's clock is wrong: the cloud's is this far ahead of it. Signatures and stamps are corrected for it.
    ClockOff {
        /// Milliseconds; negative if the host is ahead.
        ahead_ms: i64,
    },
    /// Events were dropped because the reader was slow. States, verdicts, responses, challenges and the service are
    /// never dropped; [`Session::devices`](crate::Session::devices) has the present list of thermostats.
    Dropped {
        /// Number of events.
        count: u64,
    },
}

/// Outcome of signing out for the refresh token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a caller has to say each of them")]
pub enum Revocation {
    /// The pool has revoked it. What was stored is deleted.
    Revoked,
    /// The pool gave no usable answer: the token may still work. It stays stored, so that signing out can be repeated.
    NotReached,
    /// The pool refuses to revoke it: it may work until it expires. What was stored is deleted.
    Refused,
    /// There was no token. What was stored is deleted.
    NothingToRevoke,
}

impl Revocation {
    /// Whether a token is left that may still work.
    #[must_use]
    pub const fn may_still_work(self) -> bool {
        matches!(self, Self::NotReached | Self::Refused)
    }
}

/// A challenge that waits for a person.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChallengeNeeded {
    /// The kind of challenge.
    pub kind: ChallengeKind,
    /// The address that a code was sent to, as the service masks it.
    pub destination: Option<String>,
    /// The factors that can be chosen, if the challenge is a choice.
    pub choices: Vec<String>,
    /// Whether the last answer was wrong, or too late.
    pub again: bool,
}

/// Identifies a request made by [`Session::request`](crate::Session::request).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub(crate) u64);

/// An answer of the REST service.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Response {
    /// HTTP status: of the 200s.
    pub status: u16,
    /// The body, for the response type of the route to decode.
    pub body: Vec<u8>,
}

/// Reason why a request has no response.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RequestError {
    /// The service answered no. The status says what: 404 is normal for what does not exist.
    Refused {
        /// HTTP status.
        status: u16,
        /// The body, which may say more.
        body: Vec<u8>,
    },
    /// There was no answer. If it was a write, it may have had its effect; it is not repeated.
    Failed(HttpFailure),
    /// It could not be sent in time: nothing was sent, nothing was done.
    NotSent,
    /// There is nobody to ask as: sign-in is needed, or the session has a captured URL only, or it was shut down.
    NotSignedIn,
    /// The session is [`read_only`](crate::Settings::read_only) and the request was a write: nothing was sent.
    ReadOnly,
}

impl core::fmt::Display for RequestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Refused { status, .. } => write!(f, "the service said no (HTTP {status})"),
            Self::Failed(HttpFailure::Timeout) => f.write_str("the service did not answer in time"),
            Self::Failed(HttpFailure::Unreachable) => f.write_str("the service cannot be reached"),
            Self::Failed(HttpFailure::Tls) => f.write_str("the service could not prove who it is"),
            Self::Failed(HttpFailure::Broken) => f.write_str("the connection broke"),
            Self::NotSent => f.write_str("it could not be sent in time: nothing was done"),
            Self::NotSignedIn => f.write_str("not signed in"),
            Self::ReadOnly => f.write_str("this session is read-only: it sends no writes"),
        }
    }
}

impl core::error::Error for RequestError {}
