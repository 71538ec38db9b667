use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::DATE;
use mysa_session::Dial;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::{Request, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::Route;

pub(crate) type WebSocket = WebSocketStream<TlsStream<TcpStream>>;

/// Why no WebSocket was opened. It never holds the URL, which is a secret.
#[derive(Debug)]
pub(crate) enum DialFailure {
    /// The server answered the upgrade with another status.
    Refused { status: u16, date: Option<String> },
    /// The server is not who it should be: its certificate is not trusted, or names another host.
    Untrusted,
    /// Name, connection or handshake.
    Unreachable,
}

/// AWS closes what exceeds 128 KiB; room for a batch of packets in one message.
const MAX_MESSAGE: usize = 1 << 20;

pub(crate) async fn dial(
    route: Route,
    tls: &Arc<ClientConfig>,
    target: &Dial,
) -> Result<WebSocket, DialFailure> {
    tokio::time::timeout(target.timeout, open(route, tls, target))
        .await
        .unwrap_or(Err(DialFailure::Unreachable))
}

async fn open(route: Route, tls: &Arc<ClientConfig>, target: &Dial) -> Result<WebSocket, DialFailure> {
    let uri: Uri = target.url.as_str().parse().map_err(|_| DialFailure::Unreachable)?;
    let (host, port) = (target.authority.host(), target.authority.port());
    let request = Request::get(uri)
        // Byte for byte as it was signed: a port that is not in the signature makes AWS answer 403.
        .header("Host", target.authority.host_header())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .header("Sec-WebSocket-Protocol", target.subprotocol)
        .body(())
        .map_err(|_| DialFailure::Unreachable)?;

    let name = ServerName::try_from(host.to_owned()).map_err(|_| DialFailure::Unreachable)?;
    let tcp = connect(route, host, port).await.map_err(|_| DialFailure::Unreachable)?;
    let _ = tcp.set_nodelay(true);
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.map_err(|error| {
        if is_certificate(&error) { DialFailure::Untrusted } else { DialFailure::Unreachable }
    })?;
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(DialFailure::Refused {
            status: answer.status().as_u16(),
            date: answer.headers().get(DATE.as_str()).and_then(|date| date.to_str().ok()).map(str::to_owned),
        }),
        Err(_) => Err(DialFailure::Unreachable),
    }
}

/// Tries the addresses in turn; a dead IPv6 route must not hide a good IPv4 one.
pub(crate) async fn connect(route: Route, host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in route.resolve(host, port).await? {
        match tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

pub(crate) fn is_certificate(error: &io::Error) -> bool {
    use tokio_rustls::rustls::Error;
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
        .is_some_and(|error| matches!(error, Error::InvalidCertificate(_)))
}
