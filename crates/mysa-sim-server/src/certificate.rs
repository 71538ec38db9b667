use std::fmt;

use mysa_sim::Names;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Certificate of the listener, and the authority that a client must trust to accept it.
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authority: Option<String>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Why a certificate cannot be used or made.
#[derive(Debug)]
#[non_exhaustive]
pub enum CertificateError {
    /// The given PEM holds no certificate or no key.
    BadPem(String),
    /// A certificate could not be generated.
    Generation(rcgen::Error),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPem(why) => write!(f, "invalid certificate or key: {why}"),
            Self::Generation(_) => f.write_str("cannot generate a certificate"),
        }
    }
}

impl std::error::Error for CertificateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::BadPem(_) => None,
            Self::Generation(error) => Some(error),
        }
    }
}

impl Certificate {
    /// Generates an authority and a certificate for all of `hosts`, for this run only. Neither key is stored.
    ///
    /// # Errors
    /// If a host is not a name.
    pub fn made_on_the_spot<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, CertificateError> {
        Self::generate(hosts.into_iter()).map_err(CertificateError::Generation)
    }

    /// Generates a certificate for every host of the cloud.
    ///
    /// # Errors
    /// If a host is not a name.
    pub fn for_cloud(names: &Names) -> Result<Self, CertificateError> {
        Self::made_on_the_spot([
            names.user_pool_host.as_str(),
            &names.identity_host,
            &names.legacy_host,
            &names.backend_host,
            &names.iot_host,
            &names.iot_control_host,
        ])
    }

    fn generate<'a>(hosts: impl Iterator<Item = &'a str>) -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name = named("mysa simulated cloud: authority for tests");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut leaf = CertificateParams::new(hosts.map(str::to_owned).collect::<Vec<_>>())?;
        leaf.subject_alt_names.push(SanType::DnsName("localhost".try_into()?));
        leaf.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
        leaf.subject_alt_names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
        leaf.distinguished_name = named("mysa simulated cloud");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        Ok(Self {
            chain: vec![certificate.der().clone(), authority.der().clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            authority: Some(authority.pem()),
        })
    }

    /// Parses a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// If the chain or the key is missing.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let bad =
            |error: tokio_rustls::rustls::pki_types::pem::Error| CertificateError::BadPem(error.to_string());
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        if chain.is_empty() {
            return Err(CertificateError::BadPem("the chain holds no certificate".into()));
        }
        Ok(Self { chain, key: PrivateKeyDer::from_pem_slice(key).map_err(bad)?, authority: None })
    }

    /// Authority to trust, PEM; `None` for a certificate that was given by [`Certificate::from_pem`].
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    pub(crate) fn into_parts(self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain, self.key)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
