use alloc::string::String;
use core::fmt;

use time::{Duration, OffsetDateTime};

use crate::canonical::{PresignedQuery, Query, TOKEN};
use crate::secret::Secret;
use crate::{Authority, MAX_TARGET_LEN, UrlError, VerifyError};

/// How long a URL without `X-Amz-Expires` is taken to be valid. AWS IoT does not say; reports give five to ten minutes,
/// whatever the URL states.
pub const DEFAULT_VALIDITY: Duration = Duration::minutes(5);

/// A presigned URL. Whoever holds it can connect in the signer's name while it is valid, so it is wiped on drop and
/// printed only without its query.
///
/// It comes from a presigner, or from outside: a URL captured from the vendor's app can be looked into and used.
///
/// ```
/// use mysa_sigv4::PresignedUrl;
///
/// let url = PresignedUrl::parse(
///     "wss://a1-ats.iot.us-east-1.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
///      &X-Amz-Credential=ASIAEXAMPLE%2F20260102%2Fus-east-1%2Fiotdevicegateway%2Faws4_request\
///      &X-Amz-Date=20260102T030405Z&X-Amz-SignedHeaders=host\
///      &X-Amz-Signature=1fe633a074b36e4d8c61d883dd7a15f69abbed73dc2ffde30680297bae6e616d",
/// )?;
/// let inspection = url.inspect()?;
/// assert_eq!(inspection.access_key_id, "ASIAEXAMPLE");
/// assert_eq!(inspection.authority.host_header(), "a1-ats.iot.us-east-1.amazonaws.com");
/// assert_eq!(inspection.expires_at.unix_timestamp(), 1_767_323_045 + 300);
/// # Ok::<(), mysa_sigv4::UrlError>(())
/// ```
#[derive(Clone)]
pub struct PresignedUrl(Secret);

impl PresignedUrl {
    pub(crate) fn from_signed(url: String) -> Self {
        Self(Secret::new(url))
    }

    /// Takes a ready-made URL, `wss://` or `https://`, with blanks around it if need be.
    ///
    /// The signature cannot be checked without the secret key; AWS will.
    ///
    /// # Errors
    ///
    /// It is not a presigned URL.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let url = Self(Secret::new(url.trim().into()));
        url.inspect()?;
        Ok(url)
    }

    /// The whole URL, to connect with. A secret: not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.expose()
    }

    /// Path and query, as they stand on the request line. A secret as well.
    #[must_use]
    pub fn target(&self) -> &str {
        let after_scheme = self.as_str().split_once("://").map_or("", |(_, rest)| rest);
        after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or("/")
    }

    /// What the URL states about itself.
    ///
    /// # Errors
    ///
    /// Only for URLs from outside, and then [`parse`](Self::parse) has already said so.
    pub fn inspect(&self) -> Result<Inspection, UrlError> {
        let (scheme, rest) = self.as_str().split_once("://").ok_or(UrlError::Scheme)?;
        if !["wss", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(UrlError::Scheme);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = Authority::parse(authority)?;
        let target = self.target();
        if target.len() > MAX_TARGET_LEN {
            return Err(UrlError::Query(VerifyError::TooLong));
        }
        if target.contains('#') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Query(VerifyError::Encoding));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(query)?;
        let stated = PresignedQuery::read(&query)?;
        let validity = stated.expires.map_or(DEFAULT_VALIDITY, |seconds| Duration::seconds(seconds.into()));
        Ok(Inspection {
            authority,
            path: path.into(),
            access_key_id: stated.access_key_id,
            region: stated.region,
            service: stated.service,
            signed_at: stated.signed_at,
            expires: stated.expires,
            expires_at: stated.signed_at.saturating_add(validity),
            signed_headers: stated.signed_headers,
            has_session_token: query.encoded(TOKEN).is_some(),
        })
    }
}

impl fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            self.as_str().split(['?', '#']).next().filter(|shown| !shown.contains('@')).unwrap_or("..");
        write!(f, "PresignedUrl({shown}?Secret(..))")
    }
}

/// What a presigned URL says about itself. Holds nothing secret.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// Where to connect, and which `Host` header to send.
    pub authority: Authority,
    /// `/mqtt` for AWS IoT.
    pub path: String,
    /// The public name of the key that signed it.
    pub access_key_id: String,
    /// From the scope.
    pub region: String,
    /// From the scope; `iotdevicegateway` for MQTT over WebSocket.
    pub service: String,
    /// When it was signed, by the signer's clock.
    pub signed_at: OffsetDateTime,
    /// Lifetime in seconds, if it states one.
    pub expires: Option<u32>,
    /// The last second in which it claims to be valid, [`DEFAULT_VALIDITY`] after signing if it states nothing. AWS
    /// IoT may refuse it sooner.
    pub expires_at: OffsetDateTime,
    /// The headers under the signature, joined by semicolons. Each must be sent as it was signed.
    pub signed_headers: String,
    /// Whether a session token comes with it, as it must for temporary credentials (`ASIA…`).
    pub has_session_token: bool,
}
