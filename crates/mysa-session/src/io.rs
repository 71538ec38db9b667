use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_cognito::{Secret, StoredSession};
use mysa_sigv4::{Authority, PresignedUrl};

use crate::{Event, Packets};

/// Work item for the driver.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every variant")]
pub enum Output {
    /// Send an HTTP request over TLS, and report the outcome by [`Session::handle_http`](crate::Session::handle_http).
    Http(HttpRequest),
    /// Open a WebSocket over TLS, and report by [`Session::handle_ws_opened`](crate::Session::handle_ws_opened) or
    /// [`Session::handle_ws_refused`](crate::Session::handle_ws_refused).
    Dial(Dial),
    /// Send one binary WebSocket frame.
    Send {
        /// Connection to send on. It was open when the session was last called; if it has ended since, drop the bytes.
        conn: ConnId,
        /// Payload of the frame.
        bytes: Packets,
    },
    /// Close a WebSocket after sending what was queued for it. Nothing of a command waits there. No report is needed.
    Close {
        /// Connection to close.
        conn: ConnId,
    },
    /// End a WebSocket at once, or stop opening it, and send nothing more: discard what is queued for it, and reset the
    /// TCP connection (`SO_LINGER` of zero), so that the system discards the rest. The discarded bytes may be
    /// those of a command that is decided, or that is sent by another channel. No report is needed.
    Abort {
        /// Connection to end.
        conn: ConnId,
    },
    /// End a request whose [deferred body](HttpBody::Deferred) was given, and send nothing more of it: reset its TCP connection,
    /// as for [`Output::Abort`]. It is that of a command that is decided, or of another write that is given up. No report is
    /// needed; an answer that was received before may still be reported.
    AbortHttp {
        /// Request to end.
        id: HttpId,
    },
    /// Store this session in place of the stored one, if it [may replace](StoredSession::may_replace) that one,
    /// readable by its owner only, and report by [`Session::handle_store_result`](crate::Session::handle_store_result).
    /// The next start can resume from it.
    ///
    /// A driver carries out [`Output::Store`], [`Output::Forget`] and [`Output::Load`] one at a time, in the order in which it
    /// took them. A slow disk delays no other output. If more than one waits, the last of `Store` and `Forget` is enough, and one
    /// `Load` after it. Only the outcome of the last `Store` is reported, because the session cannot tell two apart, and none if a
    /// `Forget` follows it.
    Store(StoredSession),
    /// Delete the stored session, and pass on the [`Event::SignedOut`] that follows once it is deleted: the program may end then.
    Forget,
    /// Read the stored session, and report it by [`Session::handle_stored`](crate::Session::handle_stored), or `None`
    /// if nothing is stored. The session asks before it uses the refresh token, and after the token was refused,
    /// because another process of the same account may have renewed it.
    Load,
    /// Event for the application.
    Event(Event),
}

/// Outcome of an [`Output::Store`].
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver can always tell which applies")]
pub enum StoreResult {
    /// The session was stored, or the driver stores nothing by design and a retry is pointless.
    Stored,
    /// The session was not stored, because the stored one, given here, may not be replaced by it.
    Newer(Box<StoredSession>),
    /// Writing failed, or its outcome is unknown. The session tries again later.
    Failed,
}

/// Id of an HTTP request, unique within one session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HttpId(pub(crate) u64);

/// Id of a WebSocket, unique within one session. It is never reused, so input for an old connection has no effect.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnId(pub(crate) u32);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// One HTTP request. The driver must not follow redirects, since the headers hold tokens: it reports the
/// [`location`](HttpAnswer::location), and the session repeats the request there if that is a host of the
/// service.
#[non_exhaustive]
pub struct HttpRequest {
    /// Id to report the outcome with.
    pub id: HttpId,
    /// Method, such as `GET`.
    pub method: &'static str,
    /// Complete `https` URL.
    pub url: String,
    /// Headers, with names in lower case. The driver adds `host` and `content-length`.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Body of the request.
    pub body: HttpBody,
    /// Time limit, after which the driver gives up and reports [`HttpFailure::Timeout`]. The request of a command ends with the
    /// command's deadline at the latest; the driver then resets the connection, as for [`Output::Abort`].
    pub timeout: Duration,
}

/// Body of an [`HttpRequest`].
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every variant")]
pub enum HttpBody {
    /// No body.
    Empty,
    /// Complete body. It may hold secrets.
    Ready(Secret),
    /// Body of a write, encoded on request.
    ///
    /// The driver connects to the host first. Once the TLS connection is established, right before it writes the first
    /// byte of the request, it calls [`Session::deferred_body`](crate::Session::deferred_body) for the body. Connecting
    /// may take longer than the command lives; a command that is decided, overtaken or too late by then has no body.
    Deferred,
}

impl HttpBody {
    /// Returns the body if it is known. Empty for [`HttpBody::Empty`].
    #[must_use]
    pub fn ready(&self) -> Option<&str> {
        match self {
            Self::Empty => Some(""),
            Self::Ready(body) => Some(body.expose()),
            Self::Deferred => None,
        }
    }
}

impl From<Option<Secret>> for HttpBody {
    fn from(body: Option<Secret>) -> Self {
        body.map_or(Self::Empty, Self::Ready)
    }
}

impl fmt::Debug for HttpRequest {
    /// Omits the headers and the body, which may hold tokens and passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("id", &self.id)
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Outcome of an [`HttpRequest`].
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there are only these two outcomes")]
pub enum HttpResult<'a> {
    /// Complete answer, with any status.
    Answer(HttpAnswer<'a>),
    /// No complete answer.
    Failed(HttpFailure),
}

/// Complete HTTP answer.
#[derive(Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..Default::default()` fills the rest")]
pub struct HttpAnswer<'a> {
    /// Status code.
    pub status: u16,
    /// `Date` header.
    pub date: Option<&'a str>,
    /// `Age` header, in seconds: the answer comes from a cache, and its `Date` is that much older.
    pub age: Option<&'a str>,
    /// `Retry-After` header.
    pub retry_after: Option<&'a str>,
    /// `Location` header.
    pub location: Option<&'a str>,
    /// Body. A driver may cut it off at 8 MiB.
    pub body: &'a [u8],
}

impl fmt::Debug for HttpAnswer<'_> {
    /// Prints the length of the body only, which may hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAnswer")
            .field("status", &self.status)
            .field("date", &self.date)
            .field("age", &self.age)
            .field("retry_after", &self.retry_after)
            .field("location", &self.location)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// Reason why there is no answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum HttpFailure {
    /// The time limit was reached.
    Timeout,
    /// The host name could not be resolved, or the host could not be reached. Nothing was sent.
    Unreachable,
    /// The TLS handshake failed, most often because the certificate is not trusted. Nothing was sent.
    Tls,
    /// The connection broke; the request may have taken effect.
    Broken,
}

/// WebSocket to open.
#[derive(Debug)]
#[non_exhaustive]
pub struct Dial {
    /// Id to report the outcome with.
    pub conn: ConnId,
    /// URL to open. It is a secret, and valid for this one attempt.
    pub url: PresignedUrl,
    /// Host and port to connect to. The `Host` header must equal them byte for byte, because the signature covers it.
    pub authority: Authority,
    /// Value of `Sec-WebSocket-Protocol`: `mqtt`.
    pub subprotocol: &'static str,
    /// Time limit for the whole handshake.
    pub timeout: Duration,
}
