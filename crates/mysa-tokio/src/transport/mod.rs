//! Bytes to and from the world: name resolution, TLS, HTTP, WebSocket. Nothing here decides anything.

mod http;
mod route;
mod tls;
mod websocket;

pub(crate) use http::{HttpClient, HttpReply};
pub(crate) use route::Route;
pub use tls::TlsError;
pub(crate) use tls::tls_config;
pub(crate) use websocket::{DialFailure, WebSocket, connect, dial, is_certificate};
