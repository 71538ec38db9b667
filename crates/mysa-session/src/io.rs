use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_cognito::{Secret, StoredSession};
use mysa_sigv4::{Authority, PresignedUrl};

use crate::{Event, Packets};

/// Something for the driver to do.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver that misses one must not compile")]
pub enum Output {
    /// Send an HTTP request over TLS, and report by [`Session::handle_http`](crate::Session::handle_http).
    Http(HttpRequest),
    /// Open a WebSocket over TLS, and report by [`Session::handle_ws_opened`](crate::Session::handle_ws_opened) or
    /// [`Session::handle_ws_refused`](crate::Session::handle_ws_refused).
    Dial(Dial),
    /// Send one binary WebSocket frame.
    Send {
        /// On which connection. It was open when the session was last called; of one that has ended since, drop it.
        conn: ConnId,
        /// Its payload.
        bytes: Packets,
    },
    /// Close a WebSocket, or stop opening it, after what was given to send. Nothing about it need be reported.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Keep this in place of what was kept before, if it [may replace](StoredSession::may_replace) that, readable by its
    /// owner only, and report by [`Session::handle_store_result`](crate::Session::handle_store_result). The next start
    /// can resume from it.
    Store(StoredSession),
    /// Delete what was kept.
    Forget,
    /// Read what is kept, and report by [`Session::handle_stored`](crate::Session::handle_stored), with nothing if
    /// nothing is kept: another process of the same account may have renewed it. Asked before the refresh token is used,
    /// and when it was refused.
    Load,
    /// For the application.
    Event(Event),
}

/// Outcome of an [`Output::Store`].
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver knows which")]
pub enum StoreResult {
    /// It is kept; or the driver keeps nothing, and there is nothing to try again.
    Kept,
    /// It is not kept: this is, which it may not replace.
    Newer(Box<StoredSession>),
    /// It could not be written, or it is not known whether it was. It is tried again later.
    Failed,
}

/// Identifies an HTTP request within one session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HttpId(pub(crate) u64);

/// Identifies a WebSocket within one session: a number that is never used twice. Input of an old one has no effect.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnId(pub(crate) u32);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// One HTTP request. Redirects must not be followed: the headers hold tokens.
#[non_exhaustive]
pub struct HttpRequest {
    /// To report the answer by.
    pub id: HttpId,
    /// Such as `GET`.
    pub method: &'static str,
    /// Whole URL, `https`.
    pub url: String,
    /// Names in lower case. `host` and `content-length` are the sender's business.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Body of the request.
    pub body: HttpBody,
    /// Give up after this long and report a timeout.
    pub timeout: Duration,
}

/// Body of an [`HttpRequest`].
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver that misses one must not compile")]
pub enum HttpBody {
    /// No body.
    Empty,
    /// The body; may hold secrets.
    Ready(Secret),
    /// The body of a write. It does not exist yet.
    ///
    /// The driver connects to the host first. Once the TLS connection stands, right before it writes the first byte of
    /// the request, it asks [`Session::deferred_body`](crate::Session::deferred_body) for the body. Connecting may take
    /// longer than the command lives; a command that is decided, overtaken or too late by then has no body.
    Deferred,
}

impl HttpBody {
    /// The bytes, if they are known. Empty for [`HttpBody::Empty`].
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
    /// Headers and body may hold tokens and passwords.
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
#[expect(clippy::exhaustive_enums, reason = "an answer came or it did not")]
pub enum HttpResult<'a> {
    /// A whole answer, whatever its status.
    Answer(HttpAnswer<'a>),
    /// No whole answer.
    Failed(HttpFailure),
}

/// A whole HTTP answer.
#[derive(Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..Default::default()` fills the rest")]
pub struct HttpAnswer<'a> {
    /// Status code.
    pub status: u16,
    /// The `Date` header.
    pub date: Option<&'a str>,
    /// The `Age` header: the answer comes out of a cache, and its date is that much older.
    pub age: Option<&'a str>,
    /// The `Retry-After` header.
    pub retry_after: Option<&'a str>,
    /// The body. A driver need not pass on more than 8 MiB.
    pub body: &'a [u8],
}

impl fmt::Debug for HttpAnswer<'_> {
    /// The body may hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAnswer")
            .field("status", &self.status)
            .field("date", &self.date)
            .field("age", &self.age)
            .field("retry_after", &self.retry_after)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// Reason why there is no answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum HttpFailure {
    /// No answer in time.
    Timeout,
    /// The host could not be reached, or its name not resolved. Nothing was sent.
    Unreachable,
    /// TLS failed: most often a certificate that is not trusted. Nothing was sent.
    Tls,
    /// The connection broke on the way; the request may have had its effect.
    Broken,
}

/// A WebSocket to open.
#[derive(Debug)]
#[non_exhaustive]
pub struct Dial {
    /// To report by.
    pub conn: ConnId,
    /// The URL to open; it is a secret, and good for this one attempt.
    pub url: PresignedUrl,
    /// Host and port to connect to, and the `Host` header to send, byte for byte as it was signed.
    pub authority: Authority,
    /// Value of `Sec-WebSocket-Protocol`: `mqtt`.
    pub subprotocol: &'static str,
    /// Give up after this long.
    pub timeout: Duration,
}
