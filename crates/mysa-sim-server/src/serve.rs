//! HTTP and WebSocket on one connection of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mysa_sim::{HttpAnswer, HttpReply, HttpRequest, Upgrade};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use crate::accept::Place;
use crate::server::{FromCloud, Shared, ToClient, now};

/// Maximum size of a request body; requests of clients are far smaller.
const MAX_BODY: usize = 1 << 20;
/// Time limit for closing a connection; then it is cut.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a WebSocket message. It is above AWS's limit, so that the simulated broker refuses what is too
/// large.
const MAX_MESSAGE: usize = 512 << 10;

pub(crate) async fn serve(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>, place: Arc<Place>) {
    let _ = stream.set_nodelay(true);
    let (delay, reachable) = {
        let mut state = shared.lock();
        (state.cloud.handshake_delay(now(&shared.clock)), state.cloud.is_reachable())
    };
    if !reachable {
        return;
    }
    tokio::time::sleep(shared.clock.real_duration(delay)).await;
    let handshake = tokio::time::timeout(shared.limits.handshake, tls.accept(stream));
    let Ok(Ok(stream)) = handshake.await else { return };
    let header = shared.limits.header;
    let service = service_fn(move |request| {
        let (shared, place) = (Arc::clone(&shared), Arc::clone(&place));
        async move { answer(request, shared, place).await }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// Error that makes hyper drop a connection without an answer.
#[derive(Debug)]
struct Reset;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection reset on purpose")
    }
}

impl std::error::Error for Reset {}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    place: Arc<Place>,
) -> Result<Response<Full<Bytes>>, Reset> {
    if place.is_full {
        return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "too many connections"));
    }
    let wants_websocket = request
        .headers()
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if wants_websocket { Ok(upgrade(request, shared, place).await) } else { plain(request, shared).await }
}

fn text_headers(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect()
}

async fn plain(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Reset> {
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(shared.limits.body, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")),
        Err(_) => return Ok(refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    };
    let late = shared
        .visit(|cloud, now| cloud.request_delay(now, &view(&head, &text_headers(&head.headers), &body)));
    let kept = Arc::clone(&shared);
    let handle = move || {
        kept.visit(|cloud, now| cloud.handle_http(now, &view(&head, &text_headers(&head.headers), &body)))
    };
    let answer = if late.is_zero() {
        handle()
    } else {
        let late = shared.clock.real_duration(late);
        // A task of its own, because the request is carried out even if the client has given up.
        let task = tokio::spawn(async move {
            tokio::time::sleep(late).await;
            handle()
        });
        task.await.unwrap_or(HttpAnswer::Reset)
    };
    match answer {
        HttpAnswer::Reply(reply) => Ok(delayed(reply, &shared).await),
        // Dropped when the client gives up.
        HttpAnswer::Hang => std::future::pending().await,
        HttpAnswer::Reset => Err(Reset),
    }
}

fn view<'a>(head: &'a Parts, headers: &'a [(&'a str, &'a str)], body: &'a [u8]) -> HttpRequest<'a> {
    HttpRequest {
        host: head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers,
        body,
    }
}

async fn delayed(reply: HttpReply, shared: &Shared) -> Response<Full<Bytes>> {
    tokio::time::sleep(shared.clock.real_duration(reply.delay)).await;
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn upgrade(
    mut request: Request<Incoming>,
    shared: Arc<Shared>,
    place: Arc<Place>,
) -> Response<Full<Bytes>> {
    let upgraded = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    let Some(key) = head.headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes())) else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let (conn, from_cloud) = shared.announce();
    let verdict = shared
        .visit(|cloud, now| cloud.handle_upgrade(now, conn, &view(&head, &text_headers(&head.headers), &[])));
    match verdict {
        Upgrade::Accept => {}
        Upgrade::Refuse(reply) => {
            shared.lock().connections.remove(&conn);
            return delayed(reply, &shared).await;
        }
        Upgrade::Hang => {
            shared.lock().connections.remove(&conn);
            return std::future::pending().await;
        }
    }
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let config = WebSocketConfig::default()
                .max_message_size(Some(MAX_MESSAGE))
                .max_frame_size(Some(MAX_MESSAGE));
            let socket =
                WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            relay(socket, conn, from_cloud, &shared).await;
        }
        shared.lock().connections.remove(&conn);
        shared.visit(|cloud, now| cloud.handle_ws_closed(now, conn));
        drop(place);
    });
    let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt"));
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}

/// Passes messages both ways until either end closes, or the cloud cuts the connection.
pub(crate) async fn relay<S>(socket: WebSocketStream<S>, conn: u64, from_cloud: FromCloud, shared: &Shared)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let FromCloud { queue, mut cut } = from_cloud;
    tokio::select! {
        () = exchange(socket, conn, queue, shared) => {}
        // A client that does not read would block the write of the other branch forever.
        _ = cut.changed() => {}
    }
}

async fn exchange<S>(
    mut socket: WebSocketStream<S>,
    conn: u64,
    mut from_cloud: mpsc::Receiver<ToClient>,
    shared: &Shared,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut reading = shared.reading.subscribe();
    loop {
        let reads = *reading.borrow_and_update();
        tokio::select! {
            message = socket.next(), if reads => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    shared.visit(|cloud, now| cloud.handle_ws_bytes(now, conn, &bytes));
                }
                Some(Ok(Message::Text(_))) => {
                    let frame = CloseFrame { code: CloseCode::Unsupported, reason: "".into() };
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, socket.close(Some(frame))).await;
                    return;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            out = from_cloud.recv() => match out {
                Some(ToClient::Bytes(bytes)) => {
                    if socket.send(Message::Binary(bytes.into())).await.is_err() {
                        return;
                    }
                }
                Some(ToClient::Close(code)) => {
                    let frame = code.map(|code| CloseFrame { code: code.into(), reason: "".into() });
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, socket.close(frame)).await;
                    return;
                }
                None => return,
            },
            _ = reading.changed() => {}
        }
    }
}

/// An answer by the listener itself, after which the connection ends.
fn refusal(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    let body =
        format!("{{\"error\":\"{}\",\"message\":\"{why}\"}}", status.canonical_reason().unwrap_or_default());
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
