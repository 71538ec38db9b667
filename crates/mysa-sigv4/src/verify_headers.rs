use alloc::string::String;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};

use crate::canonical::{CanonicalRequest, Credential, Query, check_signed_headers, string_to_sign};
use crate::date::AmzDate;
use crate::percent;
use crate::presign::is_plain_path;
use crate::sign::{AUTHORIZATION, DATE, TOKEN, payload_hash};
use crate::signing_key::{ALGORITHM, Hex, SigningKey};
use crate::{Credentials, MAX_TARGET_LEN, Request, TokenRule, Verified, VerifyError};

/// Verifier of requests that are signed by the `Authorization` header.
///
/// ```
/// use mysa_sigv4::{Credentials, HeaderSigner, HeaderVerifier, Request, VerifyError};
/// use time::OffsetDateTime;
///
/// let credentials = Credentials::new("ASIAEXAMPLE", "k3y", Some("t0ken"));
/// let now = OffsetDateTime::from_unix_timestamp(1_440_938_160)?;
/// let mut headers = vec![("host", "iot.us-east-1.amazonaws.com")];
/// let request = Request { method: "GET", target: "/things/a1b2", headers: &headers };
/// let signed = HeaderSigner::new("us-east-1", "iot").sign(&credentials, &request, b"", now)?;
///
/// headers.extend(signed.iter());
/// let verifier = HeaderVerifier::new("us-east-1", "iot");
/// let request = Request { method: "GET", target: "/things/a1b2", headers: &headers };
/// assert_eq!(verifier.verify(&request, b"", now, |_| Some(&credentials))?.signed_at, now);
/// let other = Request { target: "/things/c3d4", ..request };
/// assert_eq!(verifier.verify(&other, b"", now, |_| Some(&credentials)), Err(VerifyError::Signature));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderVerifier {
    region: String,
    service: String,
    token_rule: TokenRule,
    skew: Duration,
}

impl HeaderVerifier {
    /// A verifier of any method and path, with [`TokenRule::Signed`] and a clock skew of 5 minutes.
    #[must_use]
    pub fn new(region: impl Into<String>, service: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            service: service.into(),
            token_rule: TokenRule::Signed,
            skew: Duration::minutes(5),
        }
    }

    /// Requires another treatment of the session token.
    #[must_use]
    pub fn with_token_rule(mut self, token_rule: TokenRule) -> Self {
        self.token_rule = token_rule;
        self
    }

    /// Sets how far the time of signing may be from the time of the request, in either direction.
    #[must_use]
    pub fn with_skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// Verifies `request` with `body`, received at `now`, with the credentials that `lookup` returns for its access key
    /// id.
    ///
    /// Every `x-amz-` header that is sent must be signed, the token under [`TokenRule::AfterSigning`] excepted.
    /// Signature and token are compared in constant time. Work is bounded by [`MAX_TARGET_LEN`] and the size of headers
    /// and body.
    ///
    /// # Errors
    ///
    /// The first check that fails: reject the request.
    pub fn verify<'c>(
        &self,
        request: &Request<'_>,
        body: &[u8],
        now: OffsetDateTime,
        lookup: impl FnOnce(&str) -> Option<&'c Credentials>,
    ) -> Result<Verified, VerifyError> {
        if request.target.len() > MAX_TARGET_LEN {
            return Err(VerifyError::TooLong);
        }
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        if !is_plain_path(path) {
            return Err(VerifyError::Path);
        }
        let query = Query::parse(query)?;
        let Authorization { credential, signed_headers, signature } =
            Authorization::parse(single(request, AUTHORIZATION)?)?;
        let Credential { access_key_id, day, region, service } = Credential::parse(credential)?;
        let (date, signed_at) =
            AmzDate::parse(single(request, DATE)?.trim().as_bytes()).ok_or(VerifyError::Date)?;
        if date.day() != day {
            return Err(VerifyError::DateMismatch);
        }
        let token = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(TOKEN)).count();
        if token > 1 {
            return Err(VerifyError::DuplicateHeader(TOKEN));
        }
        let token_is_signed = self.check_headers(request, signed_headers)?;
        if region != self.region {
            return Err(VerifyError::Region);
        }
        if service != self.service {
            return Err(VerifyError::Service);
        }
        let elapsed = now.unix_timestamp() - signed_at.unix_timestamp();
        if elapsed < -self.skew.whole_seconds() {
            return Err(VerifyError::NotYetValid);
        }
        if elapsed > self.skew.whole_seconds() {
            return Err(VerifyError::Expired);
        }

        let credentials = lookup(access_key_id).ok_or(VerifyError::UnknownAccessKey)?;
        let payload = payload_hash(body);
        let canonical = CanonicalRequest {
            method: request.method,
            path,
            query: &query,
            with_token: true,
            headers: request.headers,
            signed_headers,
            payload: payload.as_str(),
        };
        let mut hash = Sha256::new();
        canonical.write(|piece| hash.update(piece));
        let key = SigningKey::derive(credentials.aws4_secret(), day, region, service);
        let expected = key.sign(&string_to_sign(&date, region, service, Hex::of_hash(hash).as_str()));
        if !bool::from(expected.as_bytes().ct_eq(signature.as_bytes())) {
            return Err(VerifyError::Signature);
        }
        let token = (token == 1).then(|| single(request, TOKEN)).transpose()?;
        self.check_token(credentials, token, token_is_signed)?;
        Ok(Verified {
            valid_until: signed_at.saturating_add(self.skew),
            signed_at,
            access_key_id: access_key_id.into(),
        })
    }

    /// Checks that every required header is signed. Returns `true` if the session token is signed.
    fn check_headers(&self, request: &Request<'_>, signed_headers: &str) -> Result<bool, VerifyError> {
        check_signed_headers(signed_headers)?;
        let sent = |name: &str| request.headers.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name));
        let is_signed =
            |name: &str| signed_headers.split(';').any(|signed| signed.eq_ignore_ascii_case(name));
        single(request, "host").map_err(|_| VerifyError::Host)?;
        if !signed_headers.split(';').all(sent) {
            return Err(VerifyError::SignedHeaders);
        }
        let must_be_signed = |name: &str| {
            name.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-amz-"))
                && !name.eq_ignore_ascii_case(TOKEN)
        };
        if request.headers.iter().any(|(name, _)| must_be_signed(name) && !is_signed(name)) {
            return Err(VerifyError::SignedHeaders);
        }
        Ok(is_signed(TOKEN))
    }

    fn check_token(
        &self,
        credentials: &Credentials,
        sent: Option<&str>,
        is_signed: bool,
    ) -> Result<(), VerifyError> {
        match (credentials.encoded_token(), sent) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(VerifyError::TokenUnexpected),
            (Some(_), None) => return Err(VerifyError::TokenMissing),
            (Some(known), Some(sent)) => {
                let sent = sent.trim();
                let mut encoded = String::with_capacity(percent::encoded_len(sent.as_bytes()));
                percent::push(&mut encoded, sent.as_bytes());
                if !bool::from(known.as_bytes().ct_eq(encoded.as_bytes())) {
                    return Err(VerifyError::TokenWrong);
                }
            }
        }
        match (self.token_rule, is_signed) {
            (TokenRule::Signed, false) => Err(VerifyError::TokenNotSigned),
            (TokenRule::AfterSigning, true) => Err(VerifyError::TokenWasSigned),
            _ => Ok(()),
        }
    }
}

/// Parts of an `Authorization` header.
struct Authorization<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(value: &'a str) -> Result<Self, VerifyError> {
        let (algorithm, rest) = value.trim().split_once(' ').ok_or(VerifyError::Authorization)?;
        if algorithm != ALGORITHM {
            return Err(VerifyError::Algorithm);
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or(VerifyError::Authorization)?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(VerifyError::Authorization),
            };
            if place.replace(value).is_some() {
                return Err(VerifyError::Authorization);
            }
        }
        let (Some(credential), Some(signed_headers), Some(signature)) =
            (credential, signed_headers, signature)
        else {
            return Err(VerifyError::Authorization);
        };
        Ok(Self { credential, signed_headers, signature })
    }
}

/// The value of a header that must be sent exactly once.
fn single<'a>(request: &Request<'a>, name: &'static str) -> Result<&'a str, VerifyError> {
    let mut sent = request.headers.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
    let (_, value) = sent.next().ok_or(VerifyError::MissingHeader(name))?;
    if sent.next().is_some() { Err(VerifyError::DuplicateHeader(name)) } else { Ok(value) }
}
