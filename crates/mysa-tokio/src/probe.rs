use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::transport::{Connector, is_certificate};

/// Test of whether a host can be reached: name, TCP, TLS. Nothing is sent beyond the handshake.
#[derive(Clone, Debug)]
pub struct Prober {
    connector: Connector,
    tls: Arc<ClientConfig>,
}

/// Result for a host that can be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Probe {
    /// Number of addresses of the host name; 1 if every connection goes to a given address.
    pub addresses: usize,
    /// Time from the first packet to the end of the TLS handshake, without name resolution.
    pub took: Duration,
}

/// Reason why a host cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The name has no address, or could not be resolved.
    #[error("the host name cannot be resolved")]
    Name(#[source] io::Error),
    /// No address accepts a connection.
    #[error("the host accepts no connection")]
    Connect(#[source] io::Error),
    /// The certificate is not trusted, is not valid now, or names another host.
    #[error("the host's certificate is not trusted")]
    Untrusted(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The time limit was reached.
    #[error("the host does not answer")]
    Timeout,
}

impl Prober {
    pub(crate) fn new(connector: Connector, tls: Arc<ClientConfig>) -> Self {
        Self { connector, tls }
    }

    /// Connects to a host, within `limit`.
    ///
    /// # Errors
    /// [`ProbeError`] of the first step that failed.
    pub async fn probe(&self, host: &str, port: u16, limit: Duration) -> Result<Probe, ProbeError> {
        timeout(limit, self.reach(host, port)).await.unwrap_or(Err(ProbeError::Timeout))
    }

    async fn reach(&self, host: &str, port: u16) -> Result<Probe, ProbeError> {
        let no_name = || ProbeError::Name(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        let addresses = self.connector.resolve(host, port).await.map_err(ProbeError::Name)?.len();
        if addresses == 0 {
            return Err(no_name());
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| no_name())?;
        let began = Instant::now();
        let tcp = self.connector.connect(host, port).await.map_err(ProbeError::Connect)?;
        match TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await {
            Ok(_) => Ok(Probe { addresses, took: began.elapsed() }),
            Err(error) if is_certificate(&error) => Err(ProbeError::Untrusted(error)),
            Err(error) => Err(ProbeError::Tls(error)),
        }
    }
}
