use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Client of a control endpoint, for programs that do not hold the [`Server`](crate::Server) itself.
#[derive(Clone, Copy, Debug)]
pub struct ControlClient {
    address: SocketAddr,
}

/// Answer of a control endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ControlAnswer {
    /// Status code; 200 and 201 are success.
    pub status: u16,
    /// Body, which is JSON: the result, or an object with the member `error`.
    pub body: String,
}

impl ControlAnswer {
    /// Returns `true` if the request was carried out.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// Failure of a request to a control endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nothing listens at the address.
    #[error("cannot connect to the control endpoint")]
    Connect(#[source] io::Error),
    /// The connection ended, or the peer is not a control endpoint.
    #[error("the control endpoint did not answer")]
    Http(#[source] hyper::Error),
    /// The answer is too large or is not text.
    #[error("the answer of the control endpoint is too large or is not text")]
    Body,
    /// There was no answer in time.
    #[error("the control endpoint did not answer in time")]
    TimedOut,
    /// The endpoint refuses to send its events, with this status: 503 if it has too many subscribers.
    #[error(
        "the control endpoint refuses to send its events: status {0} (503: too many clients follow them)"
    )]
    Refused(u16),
    /// The method or path cannot be sent.
    #[error("invalid method or path")]
    Request,
}

/// Maximum size of an answer.
const MAX_ANSWER: usize = 16 << 20;
/// Maximum length of a line of the event stream.
const MAX_LINE: usize = 64 << 10;
/// Time limit for an answer. Moving the clock by a year takes the longest.
const TIMEOUT: Duration = Duration::from_secs(600);

impl ControlClient {
    /// A client of the endpoint at this address, see [`Server::open_control`](crate::Server::open_control).
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Sends one request. `body` is an object of JSON.
    ///
    /// # Errors
    /// If there is no answer. A refusal is an answer, see [`ControlAnswer::is_success`].
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<ControlAnswer, ControlError> {
        let exchange = async {
            let (response, _connection) = self.open(method, path, body).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|_| ControlError::Body)?.to_bytes();
            let body = String::from_utf8(body.into()).map_err(|_| ControlError::Body)?;
            Ok(ControlAnswer { status, body })
        };
        tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or(Err(ControlError::TimedOut))
    }

    /// Follows the events after this number, or from now on.
    ///
    /// # Errors
    /// If there is no answer, or the endpoint refuses because it has too many subscribers.
    pub async fn follow(&self, since: Option<u64>) -> Result<EventLines, ControlError> {
        let path = since.map_or_else(|| "/events".into(), |since| format!("/events?since={since}"));
        let (response, connection) = self.open("GET", &path, None).await?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(ControlError::Refused(status));
        }
        Ok(EventLines { body: response.into_body(), buffer: BytesMut::new(), _connection: connection })
    }

    async fn open(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<(Response<Incoming>, Connection), ControlError> {
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).map_err(|_| ControlError::Request)?)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default().to_owned())))
            .map_err(|_| ControlError::Request)?;
        let stream = TcpStream::connect(self.address).await.map_err(ControlError::Connect)?;
        let _ = stream.set_nodelay(true);
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(ControlError::Http)?;
        let connection = Connection(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let response = sender.send_request(request).await.map_err(ControlError::Http)?;
        Ok((response, connection))
    }
}

/// The task that moves a connection's bytes; dropping it closes the connection.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The events of a control endpoint, each as one line of JSON.
#[derive(Debug)]
pub struct EventLines {
    body: Incoming,
    buffer: BytesMut,
    _connection: Connection,
}

impl EventLines {
    /// The next event; `None` after the simulator has ended.
    ///
    /// # Errors
    /// If the connection fails, or a line is too long or is not text.
    pub async fn next(&mut self) -> Result<Option<String>, ControlError> {
        loop {
            while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                // Empty lines only keep the connection open.
                if line.len() > 1 {
                    let line = String::from_utf8(line[..end].to_vec()).map_err(|_| ControlError::Body)?;
                    return Ok(Some(line));
                }
            }
            if self.buffer.len() > MAX_LINE {
                return Err(ControlError::Body);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(ControlError::Http(error)),
                None => return Ok(None),
            }
        }
    }
}
