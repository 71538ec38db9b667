use std::fmt;

use mysa_cognito::Secret;
use mysa_session::{ConnId, HttpAnswer, HttpFailure, HttpId, HttpResult, Now, Session};

use crate::Answer;

/// Callback that passes a deferred body to the thread or task that writes it; `None` if nothing may be sent.
pub struct SendBody(Box<dyn FnOnce(Option<Secret>) + Send>);

impl SendBody {
    /// Wraps a function that passes the body on.
    pub fn new(send: impl FnOnce(Option<Secret>) + Send + 'static) -> Self {
        Self(Box::new(send))
    }
}

impl fmt::Debug for SendBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendBody")
    }
}

/// Message of a thread or task that holds a socket to the one that holds the session.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a session has no other inputs from its tasks")]
pub enum Input {
    /// The connection for a request is established, and its body is needed by this callback.
    Connected(HttpId, SendBody),
    /// A request has an answer, or has failed.
    Http(HttpId, Result<Answer, HttpFailure>),
    /// A WebSocket is open.
    Opened(ConnId),
    /// A WebSocket could not be opened. The status and the `Date` header are set if there was an answer.
    Refused(ConnId, Option<u16>, Option<String>),
    /// Payload of a binary message.
    Bytes(ConnId, Vec<u8>),
    /// A WebSocket is closed.
    Closed(ConnId),
}

impl Input {
    /// Passes the input to the session.
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
