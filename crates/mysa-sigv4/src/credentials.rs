use alloc::string::String;

use zeroize::Zeroize as _;

use crate::percent;
use crate::secret::Secret;

/// AWS access key, with a session token if it is temporary.
///
/// Secret access key and session token are wiped on drop and print as `Secret(..)`; the access key id is public.
///
/// ```
/// let credentials = mysa_sigv4::Credentials::new("ASIAEXAMPLE", "k3y", Some("t0ken"));
/// let printed = format!("{credentials:?}");
/// assert!(printed.contains("ASIAEXAMPLE") && !printed.contains("k3y") && !printed.contains("t0ken"));
/// ```
#[derive(Clone, Debug)]
pub struct Credentials {
    access_key_id: String,
    /// `AWS4` and the secret access key: the form in which SigV4 uses it. Kept so that signing does not allocate.
    aws4_secret: Secret,
    /// Percent-encoded, the form that URLs contain.
    encoded_token: Option<Secret>,
}

impl Credentials {
    /// Takes the three values as AWS returns them. An empty session token is treated as absent.
    #[must_use]
    pub fn new(
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        session_token: Option<&str>,
    ) -> Self {
        let mut secret = secret_access_key.into();
        let mut aws4_secret = String::with_capacity(4 + secret.len());
        aws4_secret.push_str("AWS4");
        aws4_secret.push_str(&secret);
        secret.zeroize();
        Self {
            access_key_id: access_key_id.into(),
            aws4_secret: Secret::new(aws4_secret),
            encoded_token: session_token.filter(|token| !token.is_empty()).map(|token| {
                let mut encoded = String::with_capacity(percent::encoded_len(token.as_bytes()));
                percent::push(&mut encoded, token.as_bytes());
                Secret::new(encoded)
            }),
        }
    }

    /// Public id of the key.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// True for temporary credentials, which have a session token.
    #[must_use]
    pub fn has_session_token(&self) -> bool {
        self.encoded_token.is_some()
    }

    pub(crate) fn aws4_secret(&self) -> &[u8] {
        self.aws4_secret.expose().as_bytes()
    }

    pub(crate) fn encoded_token(&self) -> Option<&str> {
        self.encoded_token.as_ref().map(Secret::expose)
    }
}
