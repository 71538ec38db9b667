use mysa_session::{ConnId, HttpAnswer, HttpFailure, HttpId, HttpResult, Now, Session};

use crate::Answer;

/// What threads or tasks that hold sockets tell the one that holds the session.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "all there is")]
pub enum Input {
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
            Self::Http(id, Ok(answer)) => {
                let answer = HttpAnswer {
                    status: answer.status,
                    date: answer.date.as_deref(),
                    age: answer.age.as_deref(),
                    retry_after: answer.retry_after.as_deref(),
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
