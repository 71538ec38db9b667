//! The stream of events: server-sent events, or lines of JSON.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::broadcast::error::RecvError;

use super::{Body, Endpoint, Refusal};
use crate::feed::{Entry, lost_json};

/// Time after which a stream without events sends an empty line, so that a closed subscriber is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Clone, Copy)]
enum Format {
    /// Server-sent events, for a browser's `EventSource`.
    Sse,
    /// One object of JSON a line.
    Lines,
}

impl Format {
    fn line(self, number: Option<u64>, json: &str) -> String {
        match (self, number) {
            (Self::Lines, _) => format!("{json}\n"),
            (Self::Sse, Some(number)) => format!("id: {number}\ndata: {json}\n\n"),
            (Self::Sse, None) => format!("data: {json}\n\n"),
        }
    }
}

pub(super) fn answer(endpoint: &Endpoint, head: &Parts) -> Result<Response<Body>, Refusal> {
    let accept = head.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = if accept.contains("text/event-stream") { Format::Sse } else { Format::Lines };
    // A browser that connects again states the last event it has.
    let last = head.headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let since = match since(head.uri.query().unwrap_or_default()) {
        Ok(since) => last.or(since),
        Err(()) => return Err(Refusal::invalid("expected since=NUMBER")),
    };
    let permit = Arc::clone(&endpoint.subscribers).try_acquire_owned().map_err(|_| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients follow the events already")
    })?;
    let (past, receiver) = endpoint.shared.feed.subscribe(since);
    let mut start = String::new();
    for entry in past {
        start.push_str(&format.line(Some(entry.number), &entry.json));
    }
    // The answer's head is sent with its first frame.
    if start.is_empty() {
        start.push('\n');
    }
    let state = (Some(start), receiver, permit);
    let events = stream::unfold(state, move |(start, mut receiver, permit)| async move {
        let text = match start {
            Some(start) => start,
            None => match tokio::time::timeout(KEEP_ALIVE, receiver.recv()).await {
                Ok(Ok(entry)) => {
                    let entry: Arc<Entry> = entry;
                    format.line(Some(entry.number), &entry.json)
                }
                Ok(Err(RecvError::Lagged(count))) => format.line(None, &lost_json(count)),
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => "\n".into(),
            },
        };
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), (None, receiver, permit)))
    });
    let mut response = Response::new(StreamBody::new(events).boxed());
    let kind = match format {
        Format::Sse => "text/event-stream",
        Format::Lines => "application/x-ndjson",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The number after which the stream begins; without one it begins now.
fn since(query: &str) -> Result<Option<u64>, ()> {
    match query.split_once('=') {
        None if query.is_empty() => Ok(None),
        Some(("since", number)) => number.parse().map(Some).map_err(|_| ()),
        _ => Err(()),
    }
}
