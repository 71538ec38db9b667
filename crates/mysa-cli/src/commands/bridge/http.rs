//! HTTP server for `/metrics` and `/healthz`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mysa_config::ListenAddress;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::status::Status;
use crate::support::exit::{Exit, Failure, Result};

/// Facts that the event loop writes and the server reads, so that the server answers although the loop is stuck.
#[derive(Clone)]
pub(super) struct Monitor {
    started: Instant,
    status: Arc<Mutex<Status>>,
}

impl Monitor {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, status: Arc::default() }
    }

    /// Records something; the time is that since the start.
    pub(super) fn record(&self, what: impl FnOnce(&mut Status, Duration)) {
        what(&mut self.lock(), self.started.elapsed());
    }

    /// One line for the service manager.
    pub(super) fn summary(&self) -> String {
        self.lock().summary(self.started.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // Every change under the lock is complete by itself, so a panic leaves nothing inconsistent.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let now = self.started.elapsed();
        if method != Method::GET && method != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned());
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path {
            "/metrics" => {
                let mut answer = text(StatusCode::OK, self.lock().metrics(now));
                let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                answer.headers_mut().insert(CONTENT_TYPE, format);
                answer
            }
            "/healthz" => match self.lock().fault(now) {
                None => text(StatusCode::OK, "ok\n".to_owned()),
                Some(fault) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
            },
            _ => text(StatusCode::NOT_FOUND, "expected /metrics or /healthz\n".to_owned()),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}

/// Running server, which ends with this value.
pub(super) struct Server {
    task: JoinHandle<()>,
    pub(super) address: ListenAddress,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Maximum number of connections; more wait in the queue of the system.
const MAX_CONNECTIONS: usize = 16;
/// Time limit for a whole connection, from which one request is read.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// Time limit for the header of a request.
const HEADER_LIMIT: Duration = Duration::from_secs(5);
/// Maximum size of the header of a request.
const MAX_HEADER: usize = 16 * 1_024;
/// Pause after a failed accept, such as one without a free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Starts a server.
pub(super) async fn serve(address: ListenAddress, monitor: Monitor) -> Result<Server> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot listen on --metrics {address}: {error}"))
    };
    let listener = TcpListener::bind(address.0).await.map_err(failed)?;
    let address = ListenAddress(listener.local_addr().map_err(failed)?);
    Ok(Server { task: tokio::spawn(accept(listener, monitor)), address })
}

async fn accept(listener: TcpListener, monitor: Monitor) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let monitor = monitor.clone();
        tokio::spawn(async move {
            let _ = timeout(CONNECTION_LIMIT, connection(stream, monitor)).await;
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, monitor: Monitor) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = monitor.answer(request.method(), request.uri().path());
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    // A client that closes its connection early is not worth an event.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_buf_size(MAX_HEADER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
