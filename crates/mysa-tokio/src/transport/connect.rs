use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tower_service::Service;

use super::Guarded;
use crate::resources::Gauge;

/// TCP connector: to the addresses of a host name, or always to one given address.
///
/// A given address serves a simulated cloud or a gateway: server name indication, certificate check and `Host` header
/// keep the real name.
#[derive(Clone)]
pub(crate) struct Connector {
    to: Option<SocketAddr>,
    /// Limits concurrent name lookups. A lookup blocks a thread until the system gives it up, even if its
    /// result is no longer needed.
    lookups: Arc<Semaphore>,
    sockets: Gauge,
    #[cfg(test)]
    memory: Option<tokio::sync::mpsc::UnboundedSender<tokio::io::DuplexStream>>,
}

/// Byte stream that a WebSocket runs over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Reason why there is no TLS connection.
#[derive(Debug)]
pub(crate) enum ConnectFailure {
    /// The host name is not a valid server name, or no address accepts a connection.
    Tcp,
    /// The TLS handshake failed.
    Tls(io::Error),
}

/// Maximum number of concurrent name lookups.
const LOOKUPS: usize = 4;
/// Maximum number of addresses tried for one connection.
const ADDRESSES: usize = 6;
/// Time limit of one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Head start of one address over the next (RFC 8305 recommends 250 ms), so a dead IPv6 route does not hide a working
/// IPv4 one.
const CONNECT_STAGGER: Duration = Duration::from_millis(250);
/// Sizes of the system's buffers of one socket, in bytes. By default Linux lets them grow to megabytes when a peer does
/// not read.
const SOCKET_SEND_BUFFER: u32 = 64 * 1024;
const SOCKET_RECEIVE_BUFFER: u32 = 128 * 1024;

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(to: Option<SocketAddr>, sockets: Gauge) -> Self {
        Self {
            to,
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            sockets,
            #[cfg(test)]
            memory: None,
        }
    }

    /// Returns a connector that hands one end of an in-memory pipe to `peers` for each connection, without TLS.
    #[cfg(test)]
    pub(crate) fn in_memory(
        peers: tokio::sync::mpsc::UnboundedSender<tokio::io::DuplexStream>,
        sockets: Gauge,
    ) -> Self {
        Self { memory: Some(peers), ..Self::new(None, sockets) }
    }

    /// Returns the addresses of a host, alternating between IPv4 and IPv6, starting with the family that the system
    /// puts first.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Some(to) = self.to {
            return Ok(vec![to]);
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let permit = Arc::clone(&self.lookups).acquire_owned().await;
        // A separate task holds the permit as long as the lookup's thread runs, even if this future is dropped.
        let lookup = tokio::spawn(async move {
            let _permit = permit;
            tokio::net::lookup_host((host, port)).await.map(Iterator::collect::<Vec<_>>)
        });
        let found = lookup.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))?;
        Ok(in_turn(found))
    }

    /// Connects to the first address that answers.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<Guarded<TcpStream>> {
        let mut addresses = self.resolve(host, port).await?.into_iter().take(ADDRESSES).peekable();
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut attempts = FuturesUnordered::new();
        loop {
            match addresses.next() {
                Some(address) => attempts.push(self.attempt(address)),
                None if attempts.is_empty() => return Err(failure),
                None => {}
            }
            tokio::select! {
                Some(attempt) = attempts.next() => match attempt {
                    // Returning drops the other attempts, which closes their sockets.
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = error,
                },
                () = tokio::time::sleep(CONNECT_STAGGER), if addresses.peek().is_some() => {}
            }
        }
    }

    async fn attempt(&self, address: SocketAddr) -> io::Result<Guarded<TcpStream>> {
        // Counted from the first packet on, because a connecting socket is a resource too.
        let held = self.sockets.hold(1);
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A refusal of the system only costs memory.
        let _ = socket.set_send_buffer_size(SOCKET_SEND_BUFFER);
        let _ = socket.set_recv_buffer_size(SOCKET_RECEIVE_BUFFER);
        let limit = tokio::time::timeout(CONNECT_LIMIT, socket.connect(address));
        let stream = limit.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        // Packets are small and expect an answer, so collecting them would only add delay.
        stream.set_nodelay(true)?;
        // Bytes that are unsent when a connection is given up must never be sent, because they may be a command that
        // has expired. With a linger time of zero the system discards them and resets the connection, instead of trying
        // for minutes.
        stream.set_zero_linger()?;
        Ok(Guarded::new(stream, held))
    }

    /// Connects with TLS.
    pub(crate) async fn secure(
        &self,
        tls: &Arc<ClientConfig>,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Io>, ConnectFailure> {
        #[cfg(test)]
        if let Some(peers) = &self.memory {
            let (ours, theirs) = tokio::io::duplex(1_024);
            peers.send(theirs).map_err(|_| ConnectFailure::Tcp)?;
            return Ok(Box::new(Guarded::new(ours, self.sockets.hold(1))));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectFailure::Tcp)?;
        let tcp = self.connect(host, port).await.map_err(|_| ConnectFailure::Tcp)?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        Ok(Box::new(stream.map_err(ConnectFailure::Tls)?))
    }
}

/// Alternates between the two address families.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_ipv4);
    let mut second = second.into_iter();
    let mut all: Vec<_> = first.into_iter().flat_map(|one| [Some(one), second.next()]).flatten().collect();
    all.extend(second);
    all
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Guarded<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let host = uri.host().ok_or(io::ErrorKind::InvalidInput)?;
            Ok(TokioIo::new(connector.connect(host, uri.port_u16().unwrap_or(443)).await?))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn address_families_alternate() {
        let parse = |addresses: &[&str]| -> Vec<SocketAddr> {
            addresses.iter().map(|address| address.parse().expect("an address")).collect()
        };
        let found = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(in_turn(found), parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
        let found = parse(&["1.1.1.1:1", "[::1]:1", "[::2]:1"]);
        assert_eq!(in_turn(found), parse(&["1.1.1.1:1", "[::1]:1", "[::2]:1"]));
        assert!(in_turn(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn unread_bytes_are_discarded_with_an_aborted_connection() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let connector = Connector::new(Some(listener.local_addr().expect("an address")), Gauge::default());
        let mut ours = connector.connect("broker.example.org", 443).await.expect("a connection");
        let (mut theirs, _) = listener.accept().await.expect("a connection");
        let mut written = 0;
        while let Some(taken) = ours.write(&[7; 16 * 1_024]).now_or_never() {
            written += taken.expect("an open connection");
            assert!(written < 8 << 20, "the system's buffers must be limited");
        }
        drop(ours);
        let mut read = Vec::new();
        let reset = theirs.read_to_end(&mut read).await.expect_err("a reset");
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
        assert!(read.len() < written);
    }
}
