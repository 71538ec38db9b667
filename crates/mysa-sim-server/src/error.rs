use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why the server could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The address is not a loopback address. Others are refused, because the cloud's passwords are public.
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    Bind(SocketAddr, io::Error),
    /// The certificate or its key is invalid, or they do not belong together.
    Tls(tokio_rustls::rustls::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback(address) => {
                write!(f, "cannot listen on {address}: expected a loopback address such as 127.0.0.1")
            }
            Self::Bind(address, _) => write!(f, "cannot listen on {address}"),
            Self::Tls(_) => f.write_str("invalid certificate or key"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotLoopback(_) => None,
            Self::Bind(_, error) => Some(error),
            Self::Tls(error) => Some(error),
        }
    }
}
