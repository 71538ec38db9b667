use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use time::{Duration, OffsetDateTime};

use crate::canonical::{PresignedQuery, Query, TOKEN};
use crate::secret::Secret;
use crate::{Authority, MAX_TARGET_LEN, UrlError, VerifyError};

/// Assumed lifetime of a URL without `X-Amz-Expires`. AWS IoT documents none; reports give five to ten
/// minutes, regardless of the stated lifetime.
pub const DEFAULT_VALIDITY: Duration = Duration::minutes(5);

/// Presigned URL, from a presigner or captured from another client.
///
/// A secret: anyone who has it can connect as the signer until it expires. It is wiped on drop, `Debug` omits its query,
/// and it has no `Display`: read it with [`as_str`](Self::as_str).
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

    /// Parses a `wss://` or `https://` URL; surrounding whitespace is ignored.
    ///
    /// The signature is not checked: that requires the secret key.
    ///
    /// # Errors
    ///
    /// The text is not a presigned URL.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let url = Self(Secret::new(url.trim().into()));
        url.inspect()?;
        Ok(url)
    }

    /// The whole URL, to connect with. A secret: keep it out of logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.expose()
    }

    /// Path and query, as on the request line. A secret too.
    #[must_use]
    pub fn target(&self) -> &str {
        let after_scheme = self.as_str().split_once("://").map_or("", |(_, rest)| rest);
        after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or("/")
    }

    /// Public parts of the URL, such as key id, times and region.
    ///
    /// # Errors
    ///
    /// None in practice: presigners make valid URLs, and [`parse`](Self::parse) rejects others.
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
        let query = Query::parse_unique(query)?;
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

impl FromStr for PresignedUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        Self::parse(url)
    }
}

impl fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            self.as_str().split(['?', '#']).next().filter(|shown| !shown.contains('@')).unwrap_or("..");
        write!(f, "PresignedUrl({shown}?Secret(..))")
    }
}

/// Public parts of a presigned URL.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// Endpoint, with the `Host` header to send.
    pub authority: Authority,
    /// `/mqtt` for AWS IoT.
    pub path: String,
    /// Public id of the key that signed it.
    pub access_key_id: String,
    /// Region in the scope.
    pub region: String,
    /// Service in the scope; `iotdevicegateway` for MQTT over WebSocket.
    pub service: String,
    /// Time of signing, by the signer's clock.
    pub signed_at: OffsetDateTime,
    /// Stated lifetime in seconds.
    pub expires: Option<u32>,
    /// Last second of validity: the stated lifetime, or else [`DEFAULT_VALIDITY`], after signing. AWS IoT may reject it
    /// earlier.
    pub expires_at: OffsetDateTime,
    /// Signed headers, joined by semicolons. Each must be sent as it was signed.
    pub signed_headers: String,
    /// True if it has a session token, as temporary credentials (`ASIA…`) require.
    pub has_session_token: bool,
}
