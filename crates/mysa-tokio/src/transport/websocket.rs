use std::sync::Arc;

use http::header::DATE;
use mysa_session::Dial;
use tokio_rustls::rustls::ClientConfig;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::{Request, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::connect::Io;
use super::link::MAX_CHUNK;
use super::{ConnectFailure, Connector, is_certificate};

pub(crate) type WebSocket = WebSocketStream<Box<dyn Io>>;

/// Reason why no WebSocket was opened. It never contains the URL, which is a secret.
#[derive(Debug)]
pub(crate) enum DialFailure {
    /// The server answered the upgrade with a status other than 101.
    Refused { status: u16, date: Option<String> },
    /// The certificate of the server is not trusted, or names another host.
    Untrusted,
    /// Name resolution, connection or handshake failed.
    Unreachable,
}

/// Largest message accepted, in bytes. AWS IoT limits a payload to 128 KiB; this leaves room for several packets in one
/// message.
const MAX_MESSAGE: usize = 1 << 20;
/// Bytes that a WebSocket may buffer for its socket: one frame, and the pongs to a peer that sends pings and does not
/// read. Further pongs are discarded; the latest pong answers all earlier pings (RFC 6455, 5.5.3).
const WRITE_BUFFER: usize = 2 * MAX_CHUNK;
const READ_BUFFER: usize = 16 * 1024;

/// Returns the limits of every WebSocket.
pub(super) fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(READ_BUFFER)
        // Frames are written at once instead of being collected.
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
}

pub(crate) async fn dial(
    connector: &Connector,
    tls: &Arc<ClientConfig>,
    target: &Dial,
) -> Result<WebSocket, DialFailure> {
    tokio::time::timeout(target.timeout, open(connector, tls, target))
        .await
        .unwrap_or(Err(DialFailure::Unreachable))
}

async fn open(
    connector: &Connector,
    tls: &Arc<ClientConfig>,
    target: &Dial,
) -> Result<WebSocket, DialFailure> {
    let uri: Uri = target.url.as_str().parse().map_err(|_| DialFailure::Unreachable)?;
    let (host, port) = (target.authority.host(), target.authority.port());
    let request = Request::get(uri)
        // The header must equal the signed host byte for byte: a port that is not in the signature makes AWS answer
        // 403.
        .header("Host", target.authority.host_header())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .header("Sec-WebSocket-Protocol", target.subprotocol)
        .body(())
        .map_err(|_| DialFailure::Unreachable)?;

    let stream = connector.secure(tls, host, port).await.map_err(|failure| match failure {
        ConnectFailure::Tls(error) if is_certificate(&error) => DialFailure::Untrusted,
        ConnectFailure::Tls(_) | ConnectFailure::Tcp => DialFailure::Unreachable,
    })?;
    match client_async_with_config(request, stream, Some(limits())).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(DialFailure::Refused {
            status: answer.status().as_u16(),
            date: answer.headers().get(DATE.as_str()).and_then(|date| date.to_str().ok()).map(str::to_owned),
        }),
        Err(_) => Err(DialFailure::Unreachable),
    }
}
