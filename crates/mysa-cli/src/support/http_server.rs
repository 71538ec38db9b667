//! HTTP server for `/metrics` and `/healthz`.

use std::convert::Infallible;
use std::sync::Arc;
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
use tokio::time::{sleep, timeout};

use crate::support::exit::{Exit, Failure, Result};

/// Facts about a running program.
pub(crate) trait Report: Clone + Send + Sync + 'static {
    /// Returns the metrics in Prometheus' text format.
    fn metrics(&self) -> String;

    /// Returns the reason why the program is unhealthy, in one line.
    fn fault(&self) -> Option<String>;
}

fn answer(report: &impl Report, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/metrics" => {
            let mut answer = text(StatusCode::OK, report.metrics());
            let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            answer.headers_mut().insert(CONTENT_TYPE, format);
            answer
        }
        "/healthz" => match report.fault() {
            None => text(StatusCode::OK, "ok\n".to_owned()),
            Some(fault) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, "expected /metrics or /healthz\n".to_owned()),
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
pub(crate) struct Server {
    task: JoinHandle<()>,
    pub(crate) address: ListenAddress,
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
pub(crate) async fn serve(address: ListenAddress, report: impl Report) -> Result<Server> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot listen on --metrics {address}: {error}"))
    };
    let listener = TcpListener::bind(address.0).await.map_err(failed)?;
    let address = ListenAddress(listener.local_addr().map_err(failed)?);
    Ok(Server { task: tokio::spawn(accept(listener, report)), address })
}

async fn accept(listener: TcpListener, report: impl Report) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let report = report.clone();
        tokio::spawn(async move {
            let _ = timeout(CONNECTION_LIMIT, connection(stream, report)).await;
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, report: impl Report) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&report, request.method(), request.uri().path());
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
