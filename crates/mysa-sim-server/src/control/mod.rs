//! The control endpoint: HTTP and JSON on loopback, and a web page.
//! Any client that connects controls the cloud, so web sites must be excluded: a request is served only if
//! its `Host` is the endpoint itself, which excludes names that an attacker's DNS maps to loopback, and only
//! if its `Origin`, if any, is the endpoint's own page.

mod api;
mod client;
mod json;
mod stream;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub use self::client::{ControlAnswer, ControlClient, ControlError, EventLines};
pub(crate) use self::json::event_json;
use crate::accept::{Place, accept};
use crate::server::Shared;

type Body = BoxBody<Bytes, Infallible>;

/// Maximum size of a request body.
const MAX_BODY: usize = 64 << 10;

/// Allows the page its own script and style, and nothing else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                           frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// State of the endpoint.
struct Endpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
    subscribers: Arc<Semaphore>,
    /// One change of the clock at a time.
    clock: tokio::sync::Mutex<()>,
}

/// Accepts connections until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let limits = shared.limits;
    let endpoint = Arc::new(Endpoint {
        address,
        shared,
        subscribers: Arc::new(Semaphore::new(limits.subscribers)),
        clock: tokio::sync::Mutex::new(()),
    });
    accept(listener, limits.control_connections, |stream, place| {
        connection(stream, Arc::clone(&endpoint), place)
    })
    .await;
}

async fn connection(stream: TcpStream, endpoint: Arc<Endpoint>, place: Place) {
    let (header, is_full) = (endpoint.shared.limits.header, place.is_full);
    let service = service_fn(|request| {
        let endpoint = Arc::clone(&endpoint);
        async move {
            let answer = match is_full {
                true => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections")),
                false => answer(request, &endpoint).await,
            };
            Ok::<_, Infallible>(answer.unwrap_or_else(Refusal::into_response))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .max_headers(64)
        .max_buf_size(32 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// A request that is not served, and the reason.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    why: String,
    allow: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), allow: None }
    }

    fn invalid(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    fn not_found(why: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, why)
    }

    fn into_response(self) -> Response<Body> {
        let mut response = json_response(self.status, &json!({ "error": self.why }));
        let headers = response.headers_mut();
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        // The rest of a refused request is not read.
        if matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE
        ) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

async fn answer(request: Request<Incoming>, endpoint: &Endpoint) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    check_origin(&head.headers, endpoint.address)?;
    let path = head.uri.path();
    if head.method == Method::GET {
        match path {
            "/" => return Ok(file("text/html; charset=utf-8", include_str!("page.html"))),
            "/page.js" => return Ok(file("text/javascript; charset=utf-8", include_str!("page.js"))),
            "/page.css" => return Ok(file("text/css; charset=utf-8", include_str!("page.css"))),
            "/openapi.json" => return Ok(file("application/json", include_str!("openapi.json"))),
            "/events" => return stream::answer(endpoint, &head),
            _ => {}
        }
    }
    let body = read_body(&head.headers, body, endpoint.shared.limits.body).await?;
    if path == "/clock" && head.method == Method::POST {
        return change_clock(endpoint, &body).await;
    }
    let (status, body) = api::answer(&endpoint.shared, &head.method, path, &body)?;
    Ok(json_response(status, &body))
}

/// Moves, stops or starts the clock. Its work takes a second for a month of the cloud's time, and other tasks go on
/// meanwhile.
async fn change_clock(endpoint: &Endpoint, body: &Value) -> Result<Response<Body>, Refusal> {
    let change = api::clock_change(body)?;
    let _one = endpoint.clock.lock().await;
    let shared = Arc::clone(&endpoint.shared);
    let done = tokio::task::spawn_blocking(move || change.carry_out(&shared)).await;
    match done {
        Ok(body) => Ok(json_response(StatusCode::OK, &body)),
        Err(_) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the clock could not be changed")),
    }
}

/// Refuses requests that a foreign web site makes a browser send.
fn check_origin(headers: &HeaderMap, address: SocketAddr) -> Result<(), Refusal> {
    let forbidden = |why| Err(Refusal::new(StatusCode::FORBIDDEN, why));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = [address.to_string(), format!("localhost:{}", address.port())];
    let is_own = |host: &str| own.iter().any(|own| own.eq_ignore_ascii_case(host));
    if !is_own(host) || headers.get_all(HOST).iter().count() != 1 {
        return forbidden("the Host header is not the address of this endpoint");
    }
    for origin in headers.get_all(ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        if !origin.is_some_and(is_own) {
            return forbidden("requests of other web sites are refused");
        }
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => forbidden("requests of other web sites are refused"),
    }
}

/// Reads the body, which is an object of JSON or empty.
async fn read_body(headers: &HeaderMap, body: Incoming, limit: Duration) -> Result<Value, Refusal> {
    let body = match tokio::time::timeout(limit, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB"));
        }
        Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    };
    if body.is_empty() {
        return Ok(json!({}));
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let why = "expected a body with Content-Type: application/json";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    match serde_json::from_slice(&body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(Refusal::invalid("expected an object of JSON")),
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    respond(status, "application/json", body.to_string().into())
}

fn file(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = respond(StatusCode::OK, kind, Bytes::from_static(text.as_bytes()));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        check_origin(&headers, ([127, 0, 0, 1], 8_444).into()).is_ok()
    }

    #[test]
    fn only_the_endpoints_own_page_may_send_requests() {
        let host = ("host", "127.0.0.1:8444");
        assert!(check(&[host]));
        assert!(check(&[("host", "LOCALHOST:8444")]));
        assert!(check(&[host, ("origin", "http://127.0.0.1:8444"), ("sec-fetch-site", "same-origin")]));
        assert!(check(&[host, ("sec-fetch-site", "none")]));
        for foreign in [
            &[][..],
            &[("host", "evil.example:8444")],
            &[("host", "127.0.0.1")],
            &[("host", "127.0.0.1:8443")],
            &[("host", "127.0.0.1:8444.evil.example")],
            &[host, ("host", "evil.example")],
            &[host, ("origin", "http://evil.example")],
            &[host, ("origin", "https://127.0.0.1:8444")],
            &[host, ("origin", "http://127.0.0.1:9999")],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://127.0.0.1:8444"), ("origin", "http://evil.example")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(!check(foreign), "{foreign:?}");
        }
    }
}
