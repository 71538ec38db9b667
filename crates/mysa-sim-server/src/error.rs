use std::io;
use std::net::SocketAddr;

/// Failure to start the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is not a loopback address. Others are refused, because the cloud's passwords are public.
    #[error("cannot listen on {0}: expected a loopback address such as 127.0.0.1")]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on {0}")]
    Bind(SocketAddr, #[source] io::Error),
    /// The certificate or its key is invalid, or they do not belong together.
    #[error("invalid certificate or key")]
    Tls(#[source] tokio_rustls::rustls::Error),
}
