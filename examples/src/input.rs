use std::fmt;

use mysa_cognito::Secret;
use mysa_session::{ConnId, HttpAnswer, HttpFailure, HttpId, HttpResult, Now, Session};

use crate::Answer;

/// Passes a deferred body to whoever writes it; `None` if nothing may be sent.
pub struct SendBody(Box<dyn FnOnce(Option<Secret>) + Send>);

impl SendBody {
    /// Wraps the way to whoever writes it.
    pub fn new(send: impl FnOnce(Option<Secret>) + Send + 'static) -> Self {
        Self(Box::new(send))
    }
}

impl fmt::Debug for SendBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendBody")
    }
}

/// What threads or tasks that hold sockets tell the one that holds the session.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "all there is")]
pub enum Input {
    /// The connection for a request stands, and its body is needed: it goes to this function.
    Connected(HttpId, SendBody),
    /// An answer came, or none.
    Http(HttpId, Result<Answer, HttpFailure>),
    /// A WebSocket is open.
    Opened(ConnId),
    /// It could not be opened; the status and the `Date` header, if there was an answer.
    Refused(ConnId, Option<u16>, Option<String>),
    /// The payload of a message.
    Bytes(ConnId, Vec<u8>),
    /// It is over.
    Closed(ConnId),
}

impl Input {
    /// Hands it over.
    pub fn give(self, session: &mut Session, now: Now) {
        match self {
            Self::Connected(id, SendBody(send)) => send(session.deferred_body(now, id)),
            Self::Http(id, Ok(answer)) => {
                let answer = HttpAnswer {
                    status: answer.status,
                    date: answer.date.as_deref(),
                    age: answer.age.as_deref(),
                    retry_after: answer.retry_after.as_deref(),
                    location: answer.location.as_deref(),
                    body: &answer.body,
                };
                session.handle_http(now, id, HttpResult::Answer(answer));
            }
            Self::Http(id, Err(failure)) => session.handle_http(now, id, HttpResult::Failed(failure)),
            Self::Opened(conn) => session.handle_ws_opened(now, conn),
            Self::Refused(conn, status, date) => {
                session.handle_ws_refused(now, conn, status, date.as_deref())
            }
            Self::Bytes(conn, bytes) => session.handle_ws_bytes(now, conn, &bytes),
            Self::Closed(conn) => session.handle_ws_closed(now, conn),
        }
    }
}
