use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, DATE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio_rustls::rustls::ClientConfig;

use mysa_session::{HttpFailure, HttpRequest};

use super::Connector;

/// HTTP/1.1 over TLS with a pool of connections, a time limit and a size limit.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) date: Option<String>,
    pub(crate) age: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The largest real answer, a year of readings, is a tenth of this.
const MAX_BODY: usize = 8 << 20;
/// Connections kept for the next request, of each host.
const IDLE_CONNECTIONS: usize = 2;

impl HttpClient {
    pub(crate) fn new(connector: Connector, tls: &Arc<ClientConfig>) -> Self {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(tls))
            .https_only()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(https);
        Self { client }
    }

    /// Sends one request and reads the whole answer, within the time the request has.
    pub(crate) async fn send(&self, request: HttpRequest) -> Result<HttpReply, HttpFailure> {
        let limit = request.timeout;
        tokio::time::timeout(limit, self.exchange(request)).await.unwrap_or(Err(HttpFailure::Timeout))
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpReply, HttpFailure> {
        let answer = self.client.request(written(&request)?).await.map_err(|error| failure(&error))?;
        let (head, mut incoming) = answer.into_parts();
        // Joined piece by piece, so that a body in a million pieces takes no more memory than its length.
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(piece) = frame.map_err(|_| HttpFailure::Broken)?.into_data() else { continue };
            if body.len() + piece.len() > MAX_BODY {
                return Err(HttpFailure::Broken);
            }
            body.extend_from_slice(&piece);
        }
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(HttpReply {
            status: head.status.as_u16(),
            date: text(DATE),
            age: text(AGE),
            retry_after: text(RETRY_AFTER),
            body,
        })
    }
}

fn written(request: &HttpRequest) -> Result<Request<Full<Bytes>>, HttpFailure> {
    let body = request.body.as_ref().map(|body| Bytes::copy_from_slice(body.expose().as_bytes()));
    let mut written = Request::new(Full::new(body.unwrap_or_default()));
    *written.method_mut() =
        Method::from_bytes(request.method.as_bytes()).map_err(|_| HttpFailure::Unreachable)?;
    *written.uri_mut() = request.url.parse().map_err(|_| HttpFailure::Unreachable)?;
    for (name, value) in &request.headers {
        let mut value = HeaderValue::try_from(value.as_ref()).map_err(|_| HttpFailure::Unreachable)?;
        value.set_sensitive(true);
        written.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(written)
}

/// What kind of failure, so that the session can tell "never sent" from "perhaps done".
fn failure(error: &hyper_util::client::legacy::Error) -> HttpFailure {
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
