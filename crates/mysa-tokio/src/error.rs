use std::fmt;

use mysa_proto::rest::DecodeError;
use mysa_session::{Busy, ChallengeNeeded, Reason, Refused, RequestError};

use crate::client::Client;
use crate::token_file::TokenFileError;
use crate::transport::TlsError;

/// Why a client cannot be started, or a call on it has no answer. [`TokenFile`](crate::TokenFile) and
/// [`Prober`](crate::Prober), which work without a client, have errors of their own.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no password, stored session, token file with a session in it, or captured URL to start from.
    NothingToStartFrom,
    /// The token file cannot be used.
    TokenFile(TokenFileError),
    /// TLS cannot be set up.
    Tls(TlsError),
    /// The operating system gives no random bytes.
    NoEntropy(getrandom::Error),
    /// Too many commands or requests are open; nothing was begun. Wait for some of them.
    Busy,
    /// The client is closed: it was shut down, or its runtime was.
    Closed,
    /// The session would refuse the command, for the reason that its verdict would name.
    Refused(Refused),
    /// The REST service refused a request, or could not be asked.
    Request(RequestError),
    /// The REST service answered something that cannot be decoded.
    Decode(DecodeError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToStartFrom => {
                f.write_str("nobody is signed in: give a password or a stored session")
            }
            Self::TokenFile(_) => f.write_str("the stored session cannot be used"),
            Self::Tls(_) => f.write_str("TLS cannot be set up"),
            Self::NoEntropy(_) => f.write_str("the operating system gives no random bytes"),
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

/// Why [`ClientBuilder::connect`](crate::ClientBuilder::connect) has no client that is ready. `C` is the handle that was
/// asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError<C = Client> {
    /// It could not be started.
    Start(Error),
    /// It was started, and is not ready. The client is handed out: a challenge can be answered with it, and waiting can go
    /// on.
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

/// Why a client is not ready.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NotReady {
    /// Cognito asks for a code; hand it to [`Monitor::answer_challenge`](crate::Monitor::answer_challenge) and wait again.
    Challenge(Box<ChallengeNeeded>),
    /// A person has to sign in.
    SignInNeeded(Reason),
    /// The cloud cannot be reached. The client goes on trying, and the caller may wait again.
    Offline(Reason),
    /// The client is closed.
    Closed,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge(_) => f.write_str("the account asks for a code"),
            Self::SignInNeeded(reason) => write!(f, "sign-in needed: {reason}"),
            Self::Offline(reason) => write!(f, "offline: {reason}"),
            Self::Closed => Error::Closed.fmt(f),
        }
    }
}

impl std::error::Error for NotReady {}
