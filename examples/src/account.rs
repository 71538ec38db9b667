use std::net::SocketAddr;
use std::sync::Arc;
use std::{env, fs, io};

use mysa_session::{Environment, Start};
use mysa_tokio::{Client, ClientBuilder};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::Error;

/// Account, and how to connect to its cloud.
#[derive(Clone)]
pub struct Account {
    username: String,
    password: String,
    connect_to: Option<SocketAddr>,
    extra_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("connect_to", &self.connect_to).finish_non_exhaustive()
    }
}

impl Account {
    /// Reads the account from the environment.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn from_env() -> Result<Self, Error> {
        let needed = |name: &str| env::var(name).map_err(|_| format!("set {name}"));
        let connect_to = env::var("MYSA_CONNECT_TO").ok().map(|address| address.parse());
        let extra_ca = env::var_os("MYSA_EXTRA_CA").map(fs::read);
        Ok(Self {
            username: needed("MYSA_USERNAME")?,
            password: needed("MYSA_PASSWORD")?,
            connect_to: connect_to.transpose().map_err(|error| format!("MYSA_CONNECT_TO: {error}"))?,
            extra_ca: extra_ca.transpose().map_err(|error| format!("MYSA_EXTRA_CA: {error}"))?,
        })
    }

    /// Returns a builder of a mysa-tokio client.
    pub fn client(&self) -> ClientBuilder {
        let mut client =
            Client::builder(Environment::mysa()).password(&self.username, self.password.as_str());
        if let Some(address) = self.connect_to {
            client = client.connect_to(address);
        }
        if let Some(pem) = &self.extra_ca {
            client = client.extra_ca(pem.clone());
        }
        client
    }

    /// Returns the start of a session.
    #[must_use]
    pub fn start(&self) -> Start {
        Start::Password { username: self.username.clone(), password: self.password.as_str().into() }
    }

    /// Returns the address to connect to for a host: `MYSA_CONNECT_TO` if set, otherwise the first address of the name.
    ///
    /// # Errors
    /// The name cannot be resolved.
    pub fn address(&self, host: &str, port: u16) -> io::Result<SocketAddr> {
        use std::net::ToSocketAddrs as _;
        match self.connect_to {
            Some(address) => Ok(address),
            None => (host, port).to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }

    /// Returns a TLS configuration that trusts the system's roots and the extra certificate authority.
    ///
    /// # Errors
    /// The extra authority is not a PEM certificate.
    pub fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in self.extra_ca.iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem)) {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}
