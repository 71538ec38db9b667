use alloc::string::String;
use core::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};

use crate::canonical::{self, CanonicalRequest, PresignedQuery, Query, TOKEN};
use crate::signing_key::{EMPTY_PAYLOAD, Hex, SigningKey};
use crate::{Credentials, DEFAULT_VALIDITY, Explanation, Method, TokenRule, VerifyError};

/// Longest accepted request target in bytes. AWS's session tokens are 1 to 2 KB long.
pub const MAX_TARGET_LEN: usize = 16 * 1024;

/// HTTP request as received.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "only a request line and headers are signed")]
pub struct Request<'a> {
    /// Method, as on the request line: `GET`.
    pub method: &'a str,
    /// Path and query, still percent-encoded.
    pub target: &'a str,
    /// Header names in any case, and values, exactly as received.
    pub headers: &'a [(&'a str, &'a str)],
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query contains signature and token, headers may contain cookies.
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.target.split('?').next())
            .finish_non_exhaustive()
    }
}

/// Verifier of presigned requests, as AWS IoT checks them.
///
/// Verifies the headers that `X-Amz-SignedHeaders` names: AWS's own runtime signs `connection;host`, most clients `host`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verifier {
    region: String,
    service: String,
    path: String,
    method: Method,
    token_rule: TokenRule,
    skew: Duration,
}

/// Result of a successful verification.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Verified {
    /// Id of the key that signed the request.
    pub access_key_id: String,
    /// Time of signing, by the client's clock.
    pub signed_at: OffsetDateTime,
    /// Last second in which the request is accepted.
    pub valid_until: OffsetDateTime,
}

impl Verifier {
    /// A verifier for path `/mqtt`, method GET, [`TokenRule::AfterSigning`] and a clock skew of 5 minutes.
    #[must_use]
    pub fn new(region: impl Into<String>, service: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            service: service.into(),
            path: "/mqtt".into(),
            method: Method::Get,
            token_rule: TokenRule::AfterSigning,
            skew: Duration::minutes(5),
        }
    }

    /// Verifier for MQTT over WebSocket, with the rules of AWS IoT Core.
    #[must_use]
    pub fn iot(region: impl Into<String>) -> Self {
        Self::new(region, "iotdevicegateway")
    }

    /// Accepts another path, compared byte for byte with what was sent.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Accepts another method.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Requires another treatment of the session token.
    #[must_use]
    pub fn with_token_rule(mut self, token_rule: TokenRule) -> Self {
        self.token_rule = token_rule;
        self
    }

    /// Sets how far in the future a request may be signed.
    #[must_use]
    pub fn with_skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// Verifies `request`, received at `now`, with the credentials that `lookup` returns for its access key id.
    ///
    /// A request is valid from the clock skew before its date until `X-Amz-Expires` seconds after it, or
    /// [`DEFAULT_VALIDITY`] if it states none, both ends included. Signature and token are compared in constant time.
    /// Work is bounded by [`MAX_TARGET_LEN`] and the size of the headers.
    ///
    /// # Errors
    ///
    /// The first check that fails: reject the request.
    pub fn verify<'c>(
        &self,
        request: &Request<'_>,
        now: OffsetDateTime,
        lookup: impl FnOnce(&str) -> Option<&'c Credentials>,
    ) -> Result<Verified, VerifyError> {
        let (query, stated) = self.read(request)?;
        if stated.region != self.region {
            return Err(VerifyError::Region);
        }
        if stated.service != self.service {
            return Err(VerifyError::Service);
        }
        let validity = stated.expires.map_or(DEFAULT_VALIDITY, |seconds| Duration::seconds(seconds.into()));
        let elapsed = now.unix_timestamp() - stated.signed_at.unix_timestamp();
        if elapsed < -self.skew.whole_seconds() {
            return Err(VerifyError::NotYetValid);
        }
        if elapsed > validity.whole_seconds() {
            return Err(VerifyError::Expired);
        }

        let credentials = lookup(&stated.access_key_id).ok_or(VerifyError::UnknownAccessKey)?;
        let key =
            SigningKey::derive(credentials.aws4_secret(), stated.date.day(), &stated.region, &stated.service);
        let holds = |rule| {
            let mut hash = Sha256::new();
            self.canonical(request, &query, &stated, rule, |piece| hash.update(piece));
            let signature = key.sign(&string_to_sign(&stated, Hex::of_hash(hash).as_str()));
            bool::from(signature.as_str().as_bytes().ct_eq(&stated.signature))
        };
        if !holds(self.token_rule) {
            return Err(match self.token_rule {
                _ if query.encoded(TOKEN).is_none() => VerifyError::Signature,
                TokenRule::AfterSigning if holds(TokenRule::Signed) => VerifyError::TokenWasSigned,
                TokenRule::Signed if holds(TokenRule::AfterSigning) => VerifyError::TokenNotSigned,
                _ => VerifyError::Signature,
            });
        }
        match (credentials.encoded_token(), query.encoded(TOKEN)) {
            (None, None) => {}
            (Some(known), Some(sent)) if bool::from(known.as_bytes().ct_eq(sent.as_bytes())) => {}
            (Some(_), Some(_)) => return Err(VerifyError::TokenWrong),
            (Some(_), None) => return Err(VerifyError::TokenMissing),
            (None, Some(_)) => return Err(VerifyError::TokenUnexpected),
        }
        Ok(Verified {
            valid_until: stated.signed_at.saturating_add(validity),
            signed_at: stated.signed_at,
            access_key_id: stated.access_key_id,
        })
    }

    /// Canonical request and string to sign that this verifier computes, to compare with those of a client.
    ///
    /// # Errors
    ///
    /// The request is malformed.
    pub fn explain(&self, request: &Request<'_>) -> Result<Explanation, VerifyError> {
        let (query, stated) = self.read(request)?;
        let mut canonical = String::new();
        self.canonical(request, &query, &stated, self.token_rule, |piece| canonical.push_str(piece));
        let hash = Hex::of_hash(Sha256::new_with_prefix(&canonical));
        Ok(Explanation::new(canonical, string_to_sign(&stated, hash.as_str()).concat()))
    }

    fn read(&self, request: &Request<'_>) -> Result<(Query, PresignedQuery), VerifyError> {
        if request.target.len() > MAX_TARGET_LEN {
            return Err(VerifyError::TooLong);
        }
        if request.method != self.method.as_str() {
            return Err(VerifyError::Method);
        }
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        if path != self.path {
            return Err(VerifyError::Path);
        }
        let query = Query::parse_unique(query)?;
        let stated = PresignedQuery::read(&query)?;
        let sent =
            |name: &str| request.headers.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name)).count();
        if sent("host") != 1 {
            return Err(VerifyError::Host);
        }
        if !stated.signed_headers.split(';').all(|name| sent(name) > 0) {
            return Err(VerifyError::SignedHeaders);
        }
        Ok((query, stated))
    }

    fn canonical(
        &self,
        request: &Request<'_>,
        query: &Query,
        stated: &PresignedQuery,
        rule: TokenRule,
        push: impl FnMut(&str),
    ) {
        let canonical = CanonicalRequest {
            method: self.method.as_str(),
            path: &self.path,
            query,
            with_token: rule == TokenRule::Signed,
            headers: request.headers,
            signed_headers: &stated.signed_headers,
            payload: EMPTY_PAYLOAD,
        };
        canonical.write(push);
    }
}

fn string_to_sign<'a>(stated: &'a PresignedQuery, hash: &'a str) -> [&'a str; 12] {
    canonical::string_to_sign(&stated.date, &stated.region, &stated.service, hash)
}
