use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use serde_json::Value;

use crate::UnixTime;

/// Error in the body of a successful response. The service or a proxy is at fault: repeat later, not immediately.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BodyError {
    /// Longer than [`MAX_BODY_LEN`](super::MAX_BODY_LEN).
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The body is not JSON.
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1; 0 before the first.
        column: usize,
    },
    /// The body is JSON with an unexpected structure.
    WrongShape {
        /// Description of the expected content.
        expected: &'static str,
        /// The actual content; of a text, its beginning.
        found: String,
    },
}

impl BodyError {
    pub(crate) fn wrong_shape(expected: &'static str, found: &Value) -> Self {
        let found = match found {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "a boolean".to_owned(),
            Value::Number(_) => "a number".to_owned(),
            Value::String(text) => alloc::format!("the text {:?}", shortened(text)),
            Value::Array(_) => "an array".to_owned(),
            Value::Object(_) => "an object without it".to_owned(),
        };
        Self::WrongShape { expected, found }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => {
                write!(f, "the body has {len} bytes, but the maximum is {}", super::MAX_BODY_LEN)
            }
            Self::NotJson { line, column } => {
                write!(f, "the body is not JSON at line {line}, column {column}")
            }
            Self::WrongShape { expected, found } => {
                write!(f, "unexpected body: expected {expected}, found {found}")
            }
        }
    }
}

impl core::error::Error for BodyError {}

/// Classified response with a status that is not a success.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// Kind of failure.
    pub kind: FailureKind,
    /// Error code of the service, such as `FST_ERR_VALIDATION`.
    pub code: Option<String>,
    /// Description by the service: `message` or `error` of an object, or a body of plain text. At most 200 characters.
    /// `None` for an HTML page.
    pub message: Option<String>,
    /// Delay that the `Retry-After` header asks for.
    pub retry_after: Option<RetryAfter>,
}

/// Meaning of a status on this service (five client projects agree).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FailureKind {
    /// 400 and any other 4xx: the request is invalid. Do not repeat it.
    Invalid,
    /// 401: refresh the id token and repeat once.
    Unauthorized,
    /// 403: this host does not have the route, or the account lacks the permission. The sign-in is valid: do not sign
    /// in again.
    Forbidden,
    /// 404: not found. Common for schedules and holds.
    Absent,
    /// 408: timeout in the service. Repeat after a back-off.
    TimedOut,
    /// 409: the thermostat is claimed already; the body is its record.
    Conflict,
    /// 415: the route requires a body, at least `{}`.
    BodyMissing,
    /// 429: repeat after [`Failure::retry_after`], or a long back-off.
    Throttled,
    /// 5xx: repeat after a back-off. `/devices/update_available` also answers 500 for unknown firmware.
    Server,
    /// A status outside 200 to 599, or a redirect, which the service never sends.
    Unexpected,
}

/// Advice on repeating a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a client has only these options")]
pub enum Retry {
    /// Do not repeat: the answer would be the same.
    No,
    /// Repeat once, with a new id token.
    WithFreshToken,
    /// Repeat after the client's own back-off, and not before this time.
    After(Option<RetryAfter>),
}

/// Value of the `Retry-After` header [RFC 9110 §10.2.3].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the header has two forms")]
pub enum RetryAfter {
    /// Delay from now.
    Delay(Duration),
    /// Time by the service's clock.
    At(UnixTime),
}

impl RetryAfter {
    /// Parses the header. `None` if it is invalid.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let header = header.trim();
        match header.parse::<u32>() {
            Ok(secs) => Some(Self::Delay(Duration::from_secs(secs.into()))),
            Err(_) => super::http_date(header).map(Self::At),
        }
    }

    /// Time from `now` until then; zero for an instant that has passed.
    #[must_use]
    pub fn delay(self, now: UnixTime) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::At(at) => at.since(now).unwrap_or_default(),
        }
    }
}

impl Failure {
    /// Classifies a response by its status, `Retry-After` header and body. `None` for 200 to 299.
    ///
    /// ```
    /// use mysa_proto::rest::{Failure, FailureKind, Retry};
    ///
    /// let failure = Failure::of(500, None, b"\"Unable to determine version\"").ok_or("a success")?;
    /// assert_eq!(failure.kind, FailureKind::Server);
    /// assert_eq!(failure.message.as_deref(), Some("Unable to determine version"));
    /// assert_eq!(failure.retry(), Retry::After(None));
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn of(status: u16, retry_after: Option<&str>, body: &[u8]) -> Option<Self> {
        let kind = match status {
            200..=299 => return None,
            401 => FailureKind::Unauthorized,
            403 => FailureKind::Forbidden,
            404 => FailureKind::Absent,
            408 => FailureKind::TimedOut,
            409 => FailureKind::Conflict,
            415 => FailureKind::BodyMissing,
            429 => FailureKind::Throttled,
            400..=499 => FailureKind::Invalid,
            500..=599 => FailureKind::Server,
            _ => FailureKind::Unexpected,
        };
        let (code, message) = explanation(body);
        Some(Self { status, kind, code, message, retry_after: retry_after.and_then(RetryAfter::parse) })
    }

    /// Advice on repeating the request. Before repeating a write that is not idempotent, such as a new hold, read the
    /// present state.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self.kind {
            FailureKind::Unauthorized => Retry::WithFreshToken,
            FailureKind::Throttled | FailureKind::TimedOut | FailureKind::Server => {
                Retry::After(self.retry_after)
            }
            _ => Retry::No,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FailureKind::Invalid => "the service rejected the request as invalid",
            FailureKind::Unauthorized => "the service rejected the id token",
            FailureKind::Forbidden => {
                "the host does not have this route, or the account lacks the permission"
            }
            FailureKind::Absent => "not found",
            FailureKind::TimedOut => "timeout in the service",
            FailureKind::Conflict => "already claimed",
            FailureKind::BodyMissing => "the route requires a JSON body",
            FailureKind::Throttled => "too many requests",
            FailureKind::Server => "the service failed",
            FailureKind::Unexpected => "unexpected status",
        };
        write!(f, "{what} (status {})", self.status)?;
        if let Some(code) = &self.code {
            write!(f, ", {code}")?;
        }
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
    }
}

impl core::error::Error for Failure {}

fn explanation(body: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(value) = super::value(body) else {
        let text = core::str::from_utf8(body).map(str::trim).unwrap_or_default();
        let plain = !text.is_empty() && !text.starts_with(['<', '{', '[']);
        return (None, plain.then(|| shortened(text)));
    };
    match &value {
        Value::String(text) => (None, Some(shortened(text))),
        Value::Object(map) => {
            let inner = map.get("error").and_then(Value::as_object).unwrap_or(map);
            let text =
                |name: &str| [inner, map].iter().find_map(|map| map.get(name)?.as_str()).map(shortened);
            let code = text("code").or_else(|| text("errorCode"));
            (code, text("message").or_else(|| text("Message")).or_else(|| text("error")))
        }
        _ => (None, None),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_form_of_error_message_is_found() {
        for (body, code, message) in [
            (&b"\"bare\""[..], None, Some("bare")),
            (b"plain text", None, Some("plain text")),
            (b"<html>gateway</html>", None, None),
            (b"", None, None),
            (b"{\"error\":\"Bad Request\",\"message\":\"no\"}", None, Some("no")),
            (b"{\"error\":\"Bad Request\"}", None, Some("Bad Request")),
            (b"{\"Message\":\"denied\"}", None, Some("denied")),
            (b"{\"code\":\"FST_ERR_VALIDATION\"}", Some("FST_ERR_VALIDATION"), None),
            (b"{\"error\":{\"code\":\"X\",\"message\":\"y\"}}", Some("X"), Some("y")),
            (b"[1]", None, None),
        ] {
            let failure = Failure::of(400, None, body).unwrap();
            assert_eq!((failure.code.as_deref(), failure.message.as_deref()), (code, message), "{body:?}");
            assert!(failure.to_string().contains("400"));
        }
    }

    #[test]
    fn retry_after_has_two_forms() {
        let now = UnixTime::from_secs(1_767_323_000);
        for (header, secs) in [("30", 30), (" 0 ", 0), ("Fri, 02 Jan 2026 03:04:05 GMT", 45)] {
            assert_eq!(RetryAfter::parse(header).unwrap().delay(now), Duration::from_secs(secs), "{header}");
        }
        for bad in ["", "soon", "-1", "1.5"] {
            assert_eq!(RetryAfter::parse(bad), None, "{bad}");
        }
    }
}
