use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::canonical::{CanonicalRequest, Query, is_header_name, string_to_sign};
use crate::date::AmzDate;
use crate::percent;
use crate::presign::{is_plain_path, is_scope_part};
use crate::secret::Secret;
use crate::signing_key::{ALGORITHM, EMPTY_PAYLOAD, Hex, SigningKey, TERMINATOR};
use crate::{Credentials, Explanation, Request, SignError, TokenRule};

/// Signer of requests by the `Authorization` header, for one service in one region.
///
/// Holds no secrets. For services whose requests have headers, such as the control plane of AWS IoT; a WebSocket upgrade
/// takes a [`Presigner`](crate::Presigner).
///
/// ```
/// use mysa_sigv4::{Credentials, HeaderSigner, Request};
/// use time::OffsetDateTime;
///
/// let credentials = Credentials::new("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Some("a/token=="));
/// let request = Request {
///     method: "GET",
///     target: "/endpoint?endpointType=iot%3AData-ATS",
///     headers: &[("host", "iot.us-east-1.amazonaws.com")],
/// };
/// let now = OffsetDateTime::from_unix_timestamp(1_440_938_160)?;
/// let signed = HeaderSigner::new("us-east-1", "iot").sign(&credentials, &request, b"", now)?;
///
/// // Send these with the signed ones.
/// let names: Vec<_> = signed.iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["authorization", "x-amz-date", "x-amz-security-token"]);
/// assert!(signed.authorization().starts_with("AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20150830/us-east-1/iot/"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderSigner {
    region: String,
    service: String,
    token_rule: TokenRule,
}

impl HeaderSigner {
    /// A signer that signs the session token too, which is the general rule.
    #[must_use]
    pub fn new(region: impl Into<String>, service: impl Into<String>) -> Self {
        Self { region: region.into(), service: service.into(), token_rule: TokenRule::Signed }
    }

    /// Changes the treatment of the session token.
    #[must_use]
    pub fn with_token_rule(mut self, token_rule: TokenRule) -> Self {
        self.token_rule = token_rule;
        self
    }

    /// Signs `request` at `time`: method, target, all its headers, and `body`.
    ///
    /// The headers have names in lower case, `host` among them exactly once, and are sent as they are signed. The query
    /// may be in any order and encoding; `+` is a plus. Fractions of a second in `time` are dropped. Without a query,
    /// allocates for the authorization, the token and a list of the headers.
    ///
    /// # Errors
    ///
    /// See [`SignError`].
    pub fn sign(
        &self,
        credentials: &Credentials,
        request: &Request<'_>,
        body: &[u8],
        time: OffsetDateTime,
    ) -> Result<SignedHeaders, SignError> {
        let date = self.check(credentials, request, time)?;
        let token = token(credentials)?;
        let query = query(request)?;
        let headers = self.headers(request, &date, token.as_ref());
        let scope = [date.day(), &self.region, &self.service, TERMINATOR];
        let names: usize = headers.iter().map(|(name, _)| name.len() + 1).sum();
        let capacity = ALGORITHM.len()
            + FIXED_LEN
            + credentials.access_key_id().len()
            + scope.iter().map(|part| 1 + part.len()).sum::<usize>()
            + names;

        let mut authorization = String::with_capacity(capacity);
        for piece in [ALGORITHM, CREDENTIAL, credentials.access_key_id()] {
            authorization.push_str(piece);
        }
        for part in scope {
            authorization.push('/');
            authorization.push_str(part);
        }
        authorization.push_str(SIGNED_HEADERS);
        let names_at = authorization.len();
        push_names(&headers, &mut authorization);
        let mut hash = Sha256::new();
        let signed_headers = authorization.get(names_at..).unwrap_or_default();
        let payload = payload_hash(body);
        canonical(request, &query, &headers, signed_headers, payload.as_str())
            .write(|piece| hash.update(piece));
        let key = SigningKey::derive(credentials.aws4_secret(), date.day(), &self.region, &self.service);
        let hash = Hex::of_hash(hash);
        let signature = key.sign(&string_to_sign(&date, &self.region, &self.service, hash.as_str()));
        authorization.push_str(SIGNATURE);
        authorization.push_str(signature.as_str());
        debug_assert!(authorization.len() <= capacity, "the header outgrew its allocation");
        Ok(SignedHeaders { authorization: Secret::new(authorization), date, token })
    }

    /// Canonical request and string to sign of [`sign`](Self::sign), to compare with those a server expects.
    ///
    /// # Errors
    ///
    /// Those of [`sign`](Self::sign).
    pub fn explain(
        &self,
        credentials: &Credentials,
        request: &Request<'_>,
        body: &[u8],
        time: OffsetDateTime,
    ) -> Result<Explanation, SignError> {
        let date = self.check(credentials, request, time)?;
        let token = token(credentials)?;
        let query = query(request)?;
        let headers = self.headers(request, &date, token.as_ref());
        let mut signed_headers = String::new();
        push_names(&headers, &mut signed_headers);
        let payload = payload_hash(body);
        let canonical = canonical(request, &query, &headers, &signed_headers, payload.as_str());
        // Growing would leave unwiped copies of the token behind.
        let mut len = 0;
        canonical.write(|piece| len += piece.len());
        let mut text = String::with_capacity(len);
        canonical.write(|piece| text.push_str(piece));
        let hash = Hex::of_hash(Sha256::new_with_prefix(&text));
        let string_to_sign = string_to_sign(&date, &self.region, &self.service, hash.as_str()).concat();
        Ok(Explanation::new(text, string_to_sign))
    }

    fn check(
        &self,
        credentials: &Credentials,
        request: &Request<'_>,
        time: OffsetDateTime,
    ) -> Result<AmzDate, SignError> {
        if !is_plain_path(path(request)) {
            return Err(SignError::Path);
        }
        if ![&self.region, &self.service].into_iter().all(|part| is_scope_part(part)) {
            return Err(SignError::Scope);
        }
        let key_id = credentials.access_key_id();
        if key_id.is_empty() || !key_id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(SignError::Credentials);
        }
        let valid = |(name, value): &(&str, &str)| {
            is_header_name(name)
                && !OWN.contains(name)
                && value.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
        };
        let hosts = request.headers.iter().filter(|(name, _)| *name == "host").count();
        if hosts != 1 || !request.headers.iter().all(valid) {
            return Err(SignError::Headers);
        }
        AmzDate::new(time).ok_or(SignError::Date)
    }

    /// All headers to sign, by name; those of one name in the order in which they are sent.
    fn headers<'a>(
        &self,
        request: &Request<'a>,
        date: &'a AmzDate,
        token: Option<&'a Secret>,
    ) -> Vec<(&'a str, &'a str)> {
        let mut headers = Vec::with_capacity(request.headers.len() + 2);
        headers.extend_from_slice(request.headers);
        headers.push((DATE, date.as_str()));
        if let Some(token) = token.filter(|_| self.token_rule == TokenRule::Signed) {
            headers.push((TOKEN, token.expose()));
        }
        headers.sort_by_key(|(name, _)| *name);
        headers
    }
}

/// Headers that carry a signature.
///
/// Secrets: anyone who has them can repeat the request for some minutes. They are wiped on drop and not printed.
#[derive(Clone)]
pub struct SignedHeaders {
    authorization: Secret,
    date: AmzDate,
    token: Option<Secret>,
}

impl SignedHeaders {
    /// Value of `authorization`.
    #[must_use]
    pub fn authorization(&self) -> &str {
        self.authorization.expose()
    }

    /// Value of `x-amz-date`.
    #[must_use]
    pub fn date(&self) -> &str {
        self.date.as_str()
    }

    /// Value of `x-amz-security-token`, for temporary credentials.
    #[must_use]
    pub fn security_token(&self) -> Option<&str> {
        self.token.as_ref().map(Secret::expose)
    }

    /// All signature headers, with names in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        [(AUTHORIZATION, self.authorization()), (DATE, self.date())]
            .into_iter()
            .chain(self.security_token().map(|token| (TOKEN, token)))
    }
}

impl fmt::Debug for SignedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedHeaders").field("date", &self.date()).finish_non_exhaustive()
    }
}

pub(crate) const AUTHORIZATION: &str = "authorization";
pub(crate) const DATE: &str = "x-amz-date";
pub(crate) const TOKEN: &str = "x-amz-security-token";
/// Headers that the signer adds.
const OWN: [&str; 3] = [AUTHORIZATION, DATE, TOKEN];
const CREDENTIAL: &str = " Credential=";
const SIGNED_HEADERS: &str = ", SignedHeaders=";
const SIGNATURE: &str = ", Signature=";
const FIXED_LEN: usize = CREDENTIAL.len() + SIGNED_HEADERS.len() + SIGNATURE.len() + 64;

fn path<'a>(request: &Request<'a>) -> &'a str {
    request.target.split('?').next().unwrap_or_default()
}

fn query(request: &Request<'_>) -> Result<Query, SignError> {
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    Query::parse(query).map_err(|_| SignError::Query)
}

/// The session token as AWS issued it. One that does not fit into a header is an error.
fn token(credentials: &Credentials) -> Result<Option<Secret>, SignError> {
    let Some(encoded) = credentials.encoded_token() else { return Ok(None) };
    let token = percent::decode(encoded.as_bytes()).and_then(|bytes| String::from_utf8(bytes).ok());
    let token = token.map(Secret::new).ok_or(SignError::Credentials)?;
    let fits = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(Some(token)) } else { Err(SignError::Credentials) }
}

/// Appends the names of sorted headers, each once, joined by semicolons.
fn push_names(headers: &[(&str, &str)], out: &mut String) {
    let mut last = "";
    for (name, _) in headers {
        if *name != last {
            if !last.is_empty() {
                out.push(';');
            }
            out.push_str(name);
            last = name;
        }
    }
}

fn canonical<'a>(
    request: &Request<'a>,
    query: &'a Query,
    headers: &'a [(&'a str, &'a str)],
    signed_headers: &'a str,
    payload: &'a str,
) -> CanonicalRequest<'a> {
    CanonicalRequest {
        method: request.method,
        path: path(request),
        query,
        with_token: true,
        headers,
        signed_headers,
        payload,
    }
}

/// SHA-256 of a payload.
pub(crate) enum PayloadHash {
    Empty,
    Of(Hex),
}

impl PayloadHash {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Empty => EMPTY_PAYLOAD,
            Self::Of(hash) => hash.as_str(),
        }
    }
}

pub(crate) fn payload_hash(body: &[u8]) -> PayloadHash {
    if body.is_empty() {
        PayloadHash::Empty
    } else {
        PayloadHash::Of(Hex::of_hash(Sha256::new_with_prefix(body)))
    }
}
