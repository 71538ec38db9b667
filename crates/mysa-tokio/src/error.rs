use mysa_proto::rest::BodyError;
use mysa_session::{Busy, ChallengeNeeded, Reason, Refused, RequestError};

use crate::client::Client;
use crate::token_file::TokenFileError;
use crate::transport::TlsError;

/// Error of starting a client or of a call on one. [`TokenFile`](crate::TokenFile) and [`Prober`](crate::Prober), which
/// work without a client, have their own errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no password, stored session, token file with a session in it, or captured URL to start from.
    #[error("not signed in: a password or a stored session is required")]
    NothingToStartFrom,
    /// The token file cannot be used.
    #[error("the stored session cannot be used")]
    TokenFile(#[source] TokenFileError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] TlsError),
    /// The operating system provides no random bytes.
    #[error("the operating system provides no random bytes")]
    NoEntropy(#[source] getrandom::Error),
    /// Too many commands or requests are open. Nothing was queued; wait for some of them.
    #[error("{Busy}")]
    Busy,
    /// The client is closed: it, or its runtime, was shut down.
    #[error("the client is closed")]
    Closed,
    /// The session would refuse the command, for this reason.
    #[error("refused: {0}")]
    Refused(Refused),
    /// The REST service refused a request, or there was no answer.
    #[error("{0}")]
    Request(RequestError),
    /// The REST service sent an answer that cannot be decoded.
    #[error("the answer of the REST service cannot be decoded")]
    Decode(#[source] BodyError),
}

impl From<Busy> for Error {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// Error of [`ClientBuilder::connect`](crate::ClientBuilder::connect). `C` is the requested kind of handle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError<C = Client> {
    /// The client could not be started.
    #[error(transparent)]
    Start(Error),
    /// The client was started and is not ready. It is returned here, so a challenge can be answered and waiting can
    /// continue.
    #[error("{0}")]
    NotReady(NotReady, C),
}

/// Reason why a client is not ready.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// Cognito asks for a code. Pass it to [`Monitor::answer_challenge`](crate::Monitor::answer_challenge) and wait
    /// again.
    #[error("sign-in needs a code")]
    Challenge(Box<ChallengeNeeded>),
    /// A person has to sign in.
    #[error("sign-in needed: {0}")]
    SignInNeeded(Reason),
    /// The cloud cannot be reached. The client keeps trying, and the caller may wait again.
    #[error("offline: {0}")]
    Offline(Reason),
    /// The client is closed.
    #[error("{}", Error::Closed)]
    Closed,
}
