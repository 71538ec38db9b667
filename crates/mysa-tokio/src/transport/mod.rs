//! Transport of bytes: name resolution, TCP, TLS, HTTP, WebSocket. Nothing here makes decisions, and every buffer, wait
//! and number of sockets is bounded.

mod connect;
mod guard;
mod http;
mod link;
mod relay;
mod tls;
mod websocket;

pub(crate) use connect::{ConnectFailure, Connector};
pub(crate) use guard::Guarded;
pub(crate) use http::{HttpClient, HttpReply};
pub(crate) use link::{Link, Outgoing, link};
pub(crate) use relay::{CloseReason, Received, close, relay};
pub(crate) use tls::is_certificate;
pub use tls::{Tls, TlsError};
pub(crate) use websocket::{DialFailure, dial};
