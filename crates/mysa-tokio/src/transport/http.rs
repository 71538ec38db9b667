use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, DATE, HOST, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mysa_cognito::Secret;
use tokio_rustls::rustls::ClientConfig;

use mysa_session::{HttpFailure, HttpRequest};

use super::{ConnectFailure, Connector};

/// HTTP/1.1 client over TLS with a connection pool, a time limit and a size limit.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    connector: Connector,
    tls: Arc<ClientConfig>,
}

/// Complete answer.
#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) date: Option<String>,
    pub(crate) age: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Maximum length of a body in bytes. The largest real answer, a year of readings, is a tenth of this.
const MAX_BODY: usize = 8 << 20;
/// Idle connections kept per host.
const IDLE_CONNECTIONS: usize = 2;

impl HttpClient {
    pub(crate) fn new(connector: Connector, tls: &Arc<ClientConfig>) -> Self {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(tls))
            // Tokens must never be sent in clear.
            .https_only()
            .enable_http1()
            .wrap_connector(connector.clone());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(https);
        Self { client, connector, tls: Arc::clone(tls) }
    }

    /// Sends one request and reads the complete answer, within the request's time limit. If the body is deferred,
    /// `deferred` is awaited once the connection is established; if it returns `None`, nothing is sent and there is no
    /// answer.
    pub(crate) async fn send(
        &self,
        request: HttpRequest,
        deferred: impl Future<Output = Option<Secret>>,
    ) -> Result<Option<HttpReply>, HttpFailure> {
        let limit = request.timeout;
        let exchange = async {
            match request.body.ready() {
                Some(body) => self.exchange(&request, body).await.map(Some),
                None => self.exchange_deferred(&request, deferred).await,
            }
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(HttpFailure::Timeout))
    }

    async fn exchange(&self, request: &HttpRequest, body: &str) -> Result<HttpReply, HttpFailure> {
        let answer = self.client.request(written(request, body)?).await.map_err(|error| failure(&error))?;
        HttpReply::read(answer).await
    }

    /// Performs an exchange on its own connection, because the pool reports only when everything is sent, not when a
    /// connection is established.
    async fn exchange_deferred(
        &self,
        request: &HttpRequest,
        deferred: impl Future<Output = Option<Secret>>,
    ) -> Result<Option<HttpReply>, HttpFailure> {
        let uri: Uri = request.url.parse().map_err(|_| HttpFailure::Unreachable)?;
        let authority = uri.authority().ok_or(HttpFailure::Unreachable)?;
        let port = authority.port_u16().unwrap_or(443);
        let stream = self.connector.secure(&self.tls, authority.host(), port).await;
        let stream = stream.map_err(|failure| match failure {
            ConnectFailure::Tls(_) => HttpFailure::Tls,
            ConnectFailure::Tcp => HttpFailure::Unreachable,
        })?;
        let Some(body) = deferred.await else { return Ok(None) };
        let mut written = written(request, body.expose())?;
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| HttpFailure::Unreachable)?;
        // The pooled client sets `Host` and the request target itself; a bare connection does not.
        written.headers_mut().insert(HOST, host);
        if let Some(target) = uri.path_and_query() {
            *written.uri_mut() = target.clone().into();
        }
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|_| HttpFailure::Broken)?;
        let exchange = async {
            let answer = sender.send_request(written).await.map_err(|_| HttpFailure::Broken)?;
            HttpReply::read(answer).await.map(Some)
        };
        // The end of the connection, for any reason, ends the exchange too.
        let connection = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            result = exchange => result,
            never = connection => never,
        }
    }
}

impl HttpReply {
    async fn read(answer: Response<Incoming>) -> Result<Self, HttpFailure> {
        let (head, mut incoming) = answer.into_parts();
        // Appended piece by piece, so a body in a million pieces takes no more memory than its length.
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(piece) = frame.map_err(|_| HttpFailure::Broken)?.into_data() else { continue };
            if body.len() + piece.len() > MAX_BODY {
                return Err(HttpFailure::Broken);
            }
            body.extend_from_slice(&piece);
        }
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self {
            status: head.status.as_u16(),
            date: text(DATE),
            age: text(AGE),
            retry_after: text(RETRY_AFTER),
            location: text(LOCATION),
            body,
        })
    }
}

fn written(request: &HttpRequest, body: &str) -> Result<Request<Full<Bytes>>, HttpFailure> {
    let mut written = Request::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *written.method_mut() =
        Method::from_bytes(request.method.as_bytes()).map_err(|_| HttpFailure::Unreachable)?;
    *written.uri_mut() = request.url.parse().map_err(|_| HttpFailure::Unreachable)?;
    for (name, value) in &request.headers {
        let mut value = HeaderValue::try_from(value.as_ref()).map_err(|_| HttpFailure::Unreachable)?;
        // Keeps tokens out of debug output.
        value.set_sensitive(true);
        written.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(written)
}

/// Classifies a failure, so the session can distinguish "never sent" from "possibly done".
fn failure(error: &hyper_util::client::legacy::Error) -> HttpFailure {
    // After the connection was established, the request may have been sent.
    if !error.is_connect() {
        return HttpFailure::Broken;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let tls = |error: &(dyn std::error::Error + 'static)| error.is::<tokio_rustls::rustls::Error>();
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if tls(error) || inner.is_some_and(|inner| tls(inner)) {
            return HttpFailure::Tls;
        }
        cause = error.source();
    }
    HttpFailure::Unreachable
}

#[cfg(test)]
mod tests {
    use mysa_proto::UnixTime;
    use mysa_session::{Environment, HttpBody, Now, Output, Session, Settings, Start};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::mpsc;
    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::crypto::ring;

    use super::*;
    use crate::resources::Gauges;

    /// Returns a client over pipes in memory, and the peers' ends of them.
    fn client() -> (HttpClient, mpsc::UnboundedReceiver<DuplexStream>) {
        let (to_peers, peers) = mpsc::unbounded_channel();
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let connector = Connector::in_memory(to_peers, Gauges::default().sockets);
        (HttpClient::new(connector, &Arc::new(tls)), peers)
    }

    /// Returns a request of a session, with its body deferred.
    fn deferred() -> HttpRequest {
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let start = Start::Password { username: "ann@example.org".into(), password: Secret::from("secret") };
        let mut session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
        let request = std::iter::from_fn(|| session.poll_output()).find_map(|output| match output {
            Output::Http(request) => Some(request),
            _ => None,
        });
        let mut request = request.expect("a first request");
        request.body = HttpBody::Deferred;
        request
    }

    #[tokio::test]
    async fn a_request_whose_body_is_withheld_sends_no_byte() {
        let (client, mut peers) = client();
        let answer = client.send(deferred(), async { None }).await;
        assert!(matches!(answer, Ok(None)), "{answer:?}");
        let mut received = Vec::new();
        peers.recv().await.expect("a connection").read_to_end(&mut received).await.expect("an end");
        assert!(received.is_empty(), "{received:?}");
    }

    #[tokio::test]
    async fn a_deferred_body_is_requested_once_the_connection_is_established() {
        let (client, mut peers) = client();
        let (ask, asked) = tokio::sync::oneshot::channel();
        let body = async {
            let _ = ask.send(());
            Some(Secret::from(r#"{"a":1}"#))
        };
        let peer = async {
            let mut stream = peers.recv().await.expect("a connection");
            asked.await.expect("the body is requested");
            let mut received = Vec::new();
            while !received.ends_with(br#"{"a":1}"#) {
                assert!(stream.read_buf(&mut received).await.expect("bytes") > 0, "{received:?}");
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.expect("a peer");
            String::from_utf8(received).expect("text")
        };
        let (answer, received) = tokio::join!(client.send(deferred(), body), peer);
        let answer = answer.expect("an answer").expect("the request was sent");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
        let head = received.to_ascii_lowercase();
        assert!(head.starts_with("post / http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nhost: cognito-idp.us-east-1.amazonaws.com\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-length: 7\r\n"), "{head}");
    }

    #[tokio::test]
    async fn a_connection_that_ends_without_an_answer_is_reported_as_broken() {
        let (client, mut peers) = client();
        let peer = async { drop(peers.recv().await) };
        let (answer, ()) = tokio::join!(client.send(deferred(), async { Some(Secret::from("{}")) }), peer);
        assert!(matches!(answer, Err(HttpFailure::Broken)), "{answer:?}");
    }
}
