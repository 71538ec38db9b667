use std::fmt;

use mysa_sim::{Names, SessionSecret};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
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

/// Failure to read or make a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The given PEM holds no certificate or no key.
    #[error("invalid certificate or key: {0}")]
    BadPem(String),
    /// A certificate could not be generated.
    #[error("cannot generate a certificate")]
    Generation(#[source] rcgen::Error),
}

impl Certificate {
    /// Generates an authority and a certificate for all of `hosts`, for this run only. Neither key is stored.
    ///
    /// # Errors
    /// If a host is not a name.
    pub fn made_on_the_spot<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, CertificateError> {
        Self::leaf(&Authority::generate()?, hosts.into_iter()).map_err(CertificateError::Generation)
    }

    /// Generates a certificate for every host of the cloud.
    ///
    /// # Errors
    /// If a host is not a name.
    pub fn for_cloud(names: &Names) -> Result<Self, CertificateError> {
        Self::made_on_the_spot(hosts(names))
    }

    /// Generates a certificate for every host of the cloud, signed by an authority that is kept.
    ///
    /// # Errors
    /// If a host is not a name.
    pub fn signed_by(authority: &Authority, names: &Names) -> Result<Self, CertificateError> {
        Self::leaf(authority, hosts(names).into_iter()).map_err(CertificateError::Generation)
    }

    fn leaf<'a>(authority: &Authority, hosts: impl Iterator<Item = &'a str>) -> Result<Self, rcgen::Error> {
        let mut leaf = CertificateParams::new(hosts.map(str::to_owned).collect::<Vec<_>>())?;
        leaf.subject_alt_names.push(SanType::DnsName("localhost".try_into()?));
        leaf.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
        leaf.subject_alt_names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
        leaf.distinguished_name = named("mysa simulated cloud");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority_params()?, &authority.key);
        let certificate = leaf.signed_by(&key, &issuer)?;
        Ok(Self {
            chain: vec![certificate.der().clone(), authority.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            authority: Some(authority.pem.clone()),
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

fn hosts(names: &Names) -> [&str; 6] {
    [
        &names.user_pool_host,
        &names.identity_host,
        &names.legacy_host,
        &names.backend_host,
        &names.iot_host,
        &names.iot_control_host,
    ]
}

/// Certificate authority of the simulated cloud. If it is kept in files, clients that trust it trust later runs too.
pub struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(..)")
    }
}

impl Authority {
    /// Generates an authority.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn generate() -> Result<Self, CertificateError> {
        let generated = || {
            let key = KeyPair::generate()?;
            let certificate = authority_params()?.self_signed(&key)?;
            Ok(Self { certificate: certificate.der().clone(), pem: certificate.pem(), key })
        };
        generated().map_err(CertificateError::Generation)
    }

    /// Parses an authority that [`Authority::generate`] made: its certificate and its key, both PEM.
    ///
    /// # Errors
    /// If one of them is invalid, or they do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, CertificateError> {
        let bad = |why: &str| CertificateError::BadPem(why.to_owned());
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| bad("the authority is not a PEM certificate"))?;
        let key = KeyPair::from_pem(key).map_err(|_| bad("the key of the authority is not a PEM key"))?;
        let public = key.public_key_raw();
        if !der.windows(public.len()).any(|window| window == public) {
            return Err(bad("the authority and its key do not belong together"));
        }
        Ok(Self { certificate: der, pem: certificate.to_owned(), key })
    }

    /// Certificate to trust, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Secret by which a cloud recognises what an earlier one with the same authority has issued, for
    /// [`CloudSpec::session_secret`](mysa_sim::CloudSpec::session_secret).
    #[must_use]
    pub fn session_secret(&self) -> SessionSecret {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.key.serialize_der());
        let code = ring::hmac::sign(&key, b"mysa-sim sessions");
        SessionSecret::new(code.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// Private key, PEM. Anyone who has it can impersonate any host to a client that trusts the authority.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// Parameters of the authority; only its key differs between two of them.
fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name = named("mysa simulated cloud: authority for tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(authority)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_kept_as_pem() {
        let made = Authority::generate().unwrap();
        let kept = Authority::from_pem(made.certificate_pem(), &made.key_pem()).unwrap();
        assert_eq!(kept.certificate, made.certificate);
        let names = Names::default();
        let certificate = Certificate::signed_by(&kept, &names).unwrap();
        assert_eq!(certificate.authority_pem(), Some(made.certificate_pem()));
        let other = Authority::generate().unwrap();
        for (certificate, key) in [
            (made.certificate_pem(), other.key_pem()),
            ("", made.key_pem()),
            (made.certificate_pem(), String::new()),
        ] {
            let why = Authority::from_pem(certificate, &key).unwrap_err();
            assert!(matches!(why, CertificateError::BadPem(_)), "{why}");
        }
        assert!(!format!("{made:?}").contains("KEY"));
        assert_eq!(format!("{:?}", made.session_secret()), "SessionSecret(..)");
    }
}
