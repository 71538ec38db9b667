use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde_json::{Value, json};

use mysa_proto::UnixTime;

use crate::Now;
use crate::clock::http_date;
use crate::endpoint::Service;

/// An HTTP request to any host of the cloud.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct HttpRequest<'a> {
    /// The `Host` header, with or without a port.
    pub host: &'a str,
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path, still encoded, without the query.
    pub path: &'a str,
    /// Query, still encoded, without the question mark; empty if there is none.
    pub query: &'a str,
    /// Names in any case, and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl<'a> HttpRequest<'a> {
    /// Returns the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        header(self.headers, name)
    }

    /// Returns the value of a query parameter, percent-decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, v)| decoded(v))
    }
}

impl fmt::Debug for HttpRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and body hold tokens and password proofs.
        f.debug_struct("HttpRequest")
            .field("host", &self.host)
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Outcome of an HTTP request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a server that misses one must not compile")]
pub enum HttpAnswer {
    /// Answered.
    Reply(HttpReply),
    /// Never answered; the connection stays open until the client gives up.
    Hang,
    /// The connection is reset without an answer.
    Reset,
}

/// An HTTP answer.
#[derive(Clone, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// Names in lower case, and values. Always includes `date` and `content-type`, never `content-length`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Delay before the answer is sent.
    pub delay: Duration,
}

impl HttpReply {
    /// Returns the first header of this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// The `Date` header: time of the answer by the clock of its server.
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        self.header("date")
    }

    /// The `Age` header: time in a cache, in seconds. Only cached answers have it.
    #[must_use]
    pub fn age(&self) -> Option<&str> {
        self.header("age")
    }
}

impl fmt::Debug for HttpReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may hold tokens.
        f.debug_struct("HttpReply")
            .field("status", &self.status)
            .field("len", &self.body.len())
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}

/// Error of an AWS service: `__type` and `message`.
#[derive(Debug)]
pub(crate) struct Exception {
    pub(crate) name: String,
    pub(crate) message: String,
}

impl Exception {
    pub(crate) fn new(name: &str, message: &str) -> Self {
        Self { name: name.into(), message: message.into() }
    }

    pub(crate) fn not_authorized(message: &str) -> Self {
        Self::new("NotAuthorizedException", message)
    }

    pub(crate) fn invalid(message: &str) -> Self {
        Self::new("InvalidParameterException", message)
    }
}

/// Builder of an answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    content_type: &'static str,
    extra: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Time of the answer, if it is different from now.
    made_at: Option<UnixTime>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json; charset=utf-8", body.to_string())
    }

    pub(crate) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub(crate) fn text(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, extra: Vec::new(), body: body.into(), made_at: None }
    }

    /// An error of the REST service.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        let name = match status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            413 => "Payload Too Large",
            415 => "Unsupported Media Type",
            429 => "Too Many Requests",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        Self::json(status, &json!({ "error": name, "message": message }))
    }

    /// A validation error of the structured service.
    pub(crate) fn invalid(message: &str) -> Self {
        let body = json!({
            "statusCode": 400, "code": "FST_ERR_VALIDATION", "error": "Bad Request", "message": message
        });
        Self::json(400, &body)
    }

    pub(crate) fn aws(result: Result<Value, Exception>) -> Self {
        const TYPE: &str = "application/x-amz-json-1.1";
        match result {
            Ok(body) => Self::text(200, TYPE, body.to_string()),
            Err(Exception { name, message }) => {
                let status = if name == "InternalErrorException" { 500 } else { 400 };
                let body = json!({ "__type": name, "message": message });
                Self::text(status, TYPE, body.to_string()).with("x-amzn-errortype", name)
            }
        }
    }

    /// An error in AWS's format. AWS's REST services name its type only in a header.
    pub(crate) fn aws_error(service: Service, status: u16, name: &str, message: &str) -> Self {
        const TYPE: &str = "application/x-amz-json-1.1";
        let (content_type, body) = match service {
            Service::UserPool | Service::IdentityPool => {
                (TYPE, json!({ "__type": name, "message": message }))
            }
            _ => ("application/json", json!({ "message": message })),
        };
        Self::text(status, content_type, body.to_string()).with("x-amzn-errortype", name)
    }

    /// An error with this status in the format of the service.
    pub(crate) fn failure(service: Service, status: u16) -> Self {
        let name = match status {
            429 => "TooManyRequestsException",
            503 => "ServiceUnavailableException",
            500..=599 => "InternalErrorException",
            _ => "ForbiddenException",
        };
        match service.is_aws() {
            true => Self::aws_error(service, status, name, "simulated"),
            false => Self::error(status, "simulated"),
        }
    }

    /// Adds the CORS headers with which a page of any origin may call a service of AWS.
    pub(crate) fn preflight() -> Self {
        const HEADERS: &str = "authorization,cache-control,content-type,x-amz-target,x-amz-user-agent";
        Self::text(200, "text/plain", "")
            .with("access-control-allow-origin", "*")
            .with("access-control-allow-methods", "POST")
            .with("access-control-allow-headers", HEADERS)
    }

    pub(crate) fn html(status: u16) -> Self {
        let page =
            "<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body></body></html>";
        Self::text(status, "text/html", page)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    /// Finishes the answer; its `Date` is wrong by `shift` seconds.
    pub(crate) fn finish(self, now: Now, shift: i64, delay: Duration) -> HttpReply {
        let mut headers = self.extra;
        headers.push(("content-type", self.content_type.into()));
        let made_at = self.made_at.unwrap_or(now.wall);
        headers.push(("date", http_date(made_at.plus_millis(shift.saturating_mul(1_000)))));
        HttpReply { status: self.status, headers, body: self.body, delay }
    }
}

/// A cached answer.
#[derive(Debug)]
pub(crate) struct CachedReply {
    content_type: &'static str,
    body: Vec<u8>,
    made_at: UnixTime,
    kept_at: Duration,
    age: Duration,
}

impl CachedReply {
    /// Caches a successful answer as if it were `age` old.
    pub(crate) fn new(reply: &Reply, now: Now, age: Duration) -> Option<Self> {
        let millis = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        (reply.status == 200).then(|| Self {
            content_type: reply.content_type,
            body: reply.body.clone(),
            made_at: now.wall.plus_millis(millis.saturating_neg()),
            kept_at: now.mono,
            age,
        })
    }

    pub(crate) fn repeated(&self, now: Now) -> Reply {
        let age = self.age.saturating_add(now.mono.saturating_sub(self.kept_at));
        let mut reply = Reply::text(200, self.content_type, self.body.clone());
        reply.made_at = Some(self.made_at);
        reply.with("age", age.as_secs().to_string())
    }
}

pub(crate) fn header<'a>(headers: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// Decodes percent-encoding; invalid escapes are kept.
pub(crate) fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_percent_escapes_stay() {
        assert_eq!(decoded("a%2Fb%zz%4"), "a/b%zz%4");
    }

    #[test]
    fn neither_request_nor_reply_prints_its_secrets() {
        let request = HttpRequest {
            host: "h",
            method: "POST",
            path: "/",
            query: "",
            headers: &[("authorization", "CANARY")],
            body: b"CANARY",
        };
        let now = Now { mono: Duration::ZERO, wall: mysa_proto::UnixTime::from_secs(0) };
        let reply = Reply::ok(&json!("CANARY")).with("set-cookie", "CANARY").finish(now, 0, Duration::ZERO);
        let printed = alloc::format!("{request:?} {reply:?}");
        assert!(!printed.contains("CANARY"), "{printed}");
    }
}
