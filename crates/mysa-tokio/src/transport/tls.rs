use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Reason why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The extra certificate authority is not a PEM certificate.
    #[error("invalid certificate authority: expected a PEM certificate ({0})")]
    BadAuthority(String),
    /// The system's store of trusted certificates holds nothing usable, and no extra authority was given.
    #[error("no trusted root certificates: install the system's CA bundle, or set an extra CA")]
    NoRoots,
    /// The TLS library rejected its settings.
    #[error("the TLS library rejected its settings")]
    Library(#[source] rustls::Error),
}

/// TLS settings that several clients share: the certificate authorities that they trust, which take memory and time to
/// read. Cheap to clone.
///
/// ```no_run
/// use mysa_tokio::{Client, Environment, Tls};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::new(&[])?;
/// let first = Client::builder(Environment::mysa()).tls(&tls);
/// let second = Client::builder(Environment::mysa()).tls(&tls);
/// # let _ = (first, second);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the system's certificate authorities, and those of each PEM in `extra`.
    ///
    /// # Errors
    /// [`TlsError`] if an extra authority cannot be read, or nothing is trusted.
    pub fn new(extra: &[Vec<u8>]) -> Result<Self, TlsError> {
        tls_config(extra).map(Self)
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// Returns a configuration for TLS 1.2 and 1.3, with the system's roots and any authorities in `extra` (PEM).
fn tls_config(extra: &[Vec<u8>]) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    // Unusable certificates in the system store are skipped; the remaining ones decide.
    for certificate in rustls_native_certs::load_native_certs().certs {
        let _ = roots.add(certificate);
    }
    for pem in extra {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| TlsError::BadAuthority(error.to_string()))?;
            roots.add(certificate).map_err(|error| TlsError::BadAuthority(error.to_string()))?;
            found = true;
        }
        // A file without a certificate is most likely the wrong file, which must not pass silently.
        if !found {
            return Err(TlsError::BadAuthority("no certificate found".into()));
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Returns `true` if a handshake failed because of the peer's certificate.
pub(crate) fn is_certificate(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused_as_an_authority() {
        for bad in [&b""[..], b"hello", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(tls_config(&[bad.to_vec()]), Err(TlsError::BadAuthority(_))));
        }
    }
}
