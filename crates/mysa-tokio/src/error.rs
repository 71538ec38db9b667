use std::fmt;

use mysa_proto::rest::DecodeError;
use mysa_session::{Busy, ChallengeNeeded, Reason, Refused, RequestError};

use crate::client::Client;
use crate::token_file::TokenFileError;
use crate::transport::TlsError;

/// Error of starting a client or of a call on one. [`TokenFile`](crate::TokenFile) and [`Prober`](crate::Prober), which
/// work without a client, have their own errors.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no password, stored session, token file with a session in it, or captured URL to start from.
    NothingToStartFrom,
    /// The token file cannot be used.
    TokenFile(TokenFileError),
    /// TLS cannot be set up.
    Tls(TlsError),
    /// The operating system provides no random bytes.
    NoEntropy(getrandom::Error),
    /// Too many commands or requests are open. Nothing was queued; wait for some of them.
    Busy,
    /// The client is closed: it, or its runtime, was shut down.
    Closed,
    /// The session would refuse the command, for this reason.
    Refused(Refused),
    /// The REST service refused a request, or there was no answer.
    Request(RequestError),
    /// The REST service sent an answer that cannot be decoded.
    Decode(DecodeError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToStartFrom => {
                f.write_str("not signed in: a password or a stored session is required")
            }
            Self::TokenFile(_) => f.write_str("the stored session cannot be used"),
            Self::Tls(_) => f.write_str("TLS cannot be set up"),
            Self::NoEntropy(_) => f.write_str("the operating system provides no random bytes"),
            Self::Busy => Busy.fmt(f),
            Self::Closed => f.write_str("the client is closed"),
            Self::Refused(refused) => write!(f, "refused: {refused}"),
            Self::Request(error) => error.fmt(f),
            Self::Decode(_) => f.write_str("the answer of the REST service cannot be decoded"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NothingToStartFrom | Self::Busy | Self::Closed | Self::Refused(_) | Self::Request(_) => {
                None
            }
            Self::TokenFile(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::NoEntropy(error) => Some(error),
            Self::Decode(error) => Some(error),
        }
    }
}

impl From<Busy> for Error {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// Error of [`ClientBuilder::connect`](crate::ClientBuilder::connect). `C` is the requested kind of handle.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError<C = Client> {
    /// The client could not be started.
    Start(Error),
    /// The client was started and is not ready. It is returned here, so a challenge can be answered and waiting can
    /// continue.
    NotReady(NotReady, C),
}

impl<C> fmt::Display for ConnectError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::NotReady(why, _) => why.fmt(f),
        }
    }
}

impl<C: fmt::Debug> std::error::Error for ConnectError<C> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => error.source(),
            Self::NotReady(..) => None,
        }
    }
}

/// Reason why a client is not ready.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NotReady {
    /// Cognito asks for a code. Pass it to [`Monitor::answer_challenge`](crate::Monitor::answer_challenge) and wait
    /// again.
    Challenge(Box<ChallengeNeeded>),
    /// A person has to sign in.
    SignInNeeded(Reason),
    /// The cloud cannot be reached. The client keeps trying, and the caller may wait again.
    Offline(Reason),
    /// The client is closed.
    Closed,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge(_) => f.write_str("sign-in needs a code"),
            Self::SignInNeeded(reason) => write!(f, "sign-in needed: {reason}"),
            Self::Offline(reason) => write!(f, "offline: {reason}"),
            Self::Closed => Error::Closed.fmt(f),
        }
    }
}

impl std::error::Error for NotReady {}
