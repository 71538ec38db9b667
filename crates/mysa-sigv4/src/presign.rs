use alloc::string::String;
use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::canonical::string_to_sign;
use crate::date::AmzDate;
use crate::percent;
use crate::secret::Secret;
use crate::signing_key::{EMPTY_PAYLOAD, Hex, SigningKey, TERMINATOR, update_all};
use crate::{Authority, CachedPresigner, Credentials, PresignError, PresignedUrl};

/// Longest lifetime in `X-Amz-Expires`, in seconds: seven days (AWS, "Authenticating requests: using query parameters").
pub const MAX_EXPIRES: u32 = 604_800;

/// Treatment of the session token of temporary credentials.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the token is either signed or not")]
pub enum TokenRule {
    /// Appended after signing. AWS IoT requires this and answers 403 to a signed token.
    #[default]
    AfterSigning,
    /// Signed with the rest of the query: the general rule of SigV4, which other services follow.
    Signed,
}

/// Method of the signed request.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// WebSocket upgrade.
    #[default]
    Get,
    /// Request to a service other than AWS IoT. The payload is empty.
    Post,
}

impl Method {
    /// Method as on the request line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// Presigner for one service in one region.
///
/// Holds no secrets and computes everything for each URL. To sign often with the same credentials, convert it to a
/// [`CachedPresigner`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Presigner {
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) method: Method,
}

impl Presigner {
    /// Presigner for any service, such as `iotdevicegateway`.
    #[must_use]
    pub fn new(region: impl Into<String>, service: impl Into<String>) -> Self {
        Self { region: region.into(), service: service.into(), method: Method::Get }
    }

    /// Presigner for MQTT over WebSocket to AWS IoT Core.
    #[must_use]
    pub fn iot(region: impl Into<String>) -> Self {
        Self::new(region, "iotdevicegateway")
    }

    /// Signs another method than GET.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Signs `wss://{authority}{path}` at `time`.
    ///
    /// `expires` is in seconds, `1..=604800`; `None` omits `X-Amz-Expires`, as Mysa's own app does. Fractions of a second
    /// in `time` are dropped. Allocates once, for the URL.
    ///
    /// # Errors
    ///
    /// See [`PresignError`].
    pub fn presign(
        &self,
        credentials: &Credentials,
        authority: &Authority,
        path: &str,
        time: OffsetDateTime,
        expires: Option<u32>,
        token_rule: TokenRule,
    ) -> Result<PresignedUrl, PresignError> {
        let date = self.check(path, time, expires)?;
        let token = credentials.encoded_token();
        let capacity = self.prefix_len(credentials, authority, path)
            + TAIL_LEN
            + token.map_or(0, |token| TOKEN.len() + token.len());
        let mut url = String::with_capacity(capacity);
        let query_at = self.push_prefix(&mut url, credentials, authority, path, &date);
        let signed = token.filter(|_| token_rule == TokenRule::Signed);
        push_rest(&mut url, &date, expires, |url| push_token(url, signed));

        let mut hash = Sha256::new();
        let canonical = self.canonical_pieces(authority, path, url.get(query_at..).unwrap_or_default());
        update_all(&canonical, |bytes| hash.update(bytes));
        let key = SigningKey::derive(credentials.aws4_secret(), date.day(), &self.region, &self.service);
        let signature = key.sign(&self.string_to_sign(&date, Hex::of_hash(hash).as_str()));
        url.push_str(SIGNATURE);
        url.push_str(signature.as_str());
        push_token(&mut url, token.filter(|_| token_rule == TokenRule::AfterSigning));
        debug_assert!(url.len() <= capacity, "the URL outgrew its allocation");
        Ok(PresignedUrl::from_signed(url))
    }

    /// Canonical request and string to sign of [`presign`](Self::presign), to compare with those a server expects.
    ///
    /// # Errors
    ///
    /// Those of [`presign`](Self::presign).
    pub fn explain(
        &self,
        credentials: &Credentials,
        authority: &Authority,
        path: &str,
        time: OffsetDateTime,
        expires: Option<u32>,
        token_rule: TokenRule,
    ) -> Result<Explanation, PresignError> {
        let date = self.check(path, time, expires)?;
        let signed = credentials.encoded_token().filter(|_| token_rule == TokenRule::Signed);
        let mut url = String::new();
        let query_at = self.push_prefix(&mut url, credentials, authority, path, &date);
        push_rest(&mut url, &date, expires, |url| push_token(url, signed));
        let canonical_request =
            self.canonical_pieces(authority, path, url.get(query_at..).unwrap_or_default()).concat();
        let hash = Hex::of_hash(Sha256::new_with_prefix(&canonical_request));
        let string_to_sign = self.string_to_sign(&date, hash.as_str()).concat();
        Ok(Explanation::new(canonical_request, string_to_sign))
    }

    /// Converts to a presigner that computes the daily values once a day.
    ///
    /// # Errors
    ///
    /// [`PresignError::Path`] or [`PresignError::Scope`].
    pub fn into_cached(
        self,
        credentials: Credentials,
        authority: Authority,
        path: &str,
        token_rule: TokenRule,
    ) -> Result<CachedPresigner, PresignError> {
        self.check(path, OffsetDateTime::UNIX_EPOCH, None)?;
        Ok(CachedPresigner::new(self, credentials, authority, path, token_rule))
    }

    pub(crate) fn check(
        &self,
        path: &str,
        time: OffsetDateTime,
        expires: Option<u32>,
    ) -> Result<AmzDate, PresignError> {
        if !is_plain_path(path) {
            return Err(PresignError::Path);
        }
        if ![&self.region, &self.service].into_iter().all(|part| is_scope_part(part)) {
            return Err(PresignError::Scope);
        }
        date_of(time, expires)
    }

    /// Appends the URL up to and including the day of `X-Amz-Date`. Returns the offset of its query.
    pub(crate) fn push_prefix(
        &self,
        url: &mut String,
        credentials: &Credentials,
        authority: &Authority,
        path: &str,
        date: &AmzDate,
    ) -> usize {
        for part in ["wss://", authority.host_header(), path, "?"] {
            url.push_str(part);
        }
        let query_at = url.len();
        url.push_str("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
        percent::push(url, credentials.access_key_id().as_bytes());
        for part in [date.day(), &self.region, &self.service, TERMINATOR] {
            url.push_str("%2F");
            percent::push(url, part.as_bytes());
        }
        url.push_str("&X-Amz-Date=");
        url.push_str(date.day());
        query_at
    }

    fn prefix_len(&self, credentials: &Credentials, authority: &Authority, path: &str) -> usize {
        const FIXED: usize = "wss://?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=".len()
            + "%2FYYYYMMDD%2F%2F%2Faws4_request&X-Amz-Date=YYYYMMDD".len();
        let encoded = [credentials.access_key_id(), &self.region, &self.service]
            .map(|part| percent::encoded_len(part.as_bytes()))
            .iter()
            .sum::<usize>();
        FIXED + authority.host_header().len() + path.len() + encoded
    }

    fn canonical_pieces<'a>(&self, authority: &'a Authority, path: &'a str, query: &'a str) -> [&'a str; 9] {
        [
            self.method.as_str(),
            "\n",
            path,
            "\n",
            query,
            "\nhost:",
            authority.host_header(),
            "\n\nhost\n",
            EMPTY_PAYLOAD,
        ]
    }

    fn string_to_sign<'a>(&'a self, date: &'a AmzDate, hash: &'a str) -> [&'a str; 12] {
        string_to_sign(date, &self.region, &self.service, hash)
    }
}

/// Intermediate texts of a signature, for debugging.
///
/// Under [`TokenRule::Signed`] the canonical request contains the session token. It is wiped on drop and not printed, but
/// the result of [`canonical_request`](Self::canonical_request) is a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    canonical_request: Secret,
    string_to_sign: String,
}

impl Explanation {
    pub(crate) fn new(canonical_request: String, string_to_sign: String) -> Self {
        Self { canonical_request: Secret::new(canonical_request), string_to_sign }
    }

    /// Method, path, query, headers and payload hash in their canonical forms.
    #[must_use]
    pub fn canonical_request(&self) -> &str {
        self.canonical_request.expose()
    }

    /// Algorithm, time, scope and the hash of the canonical request.
    #[must_use]
    pub fn string_to_sign(&self) -> &str {
        &self.string_to_sign
    }
}

pub(crate) fn date_of(time: OffsetDateTime, expires: Option<u32>) -> Result<AmzDate, PresignError> {
    if let Some(seconds) = expires.filter(|seconds| !(1..=MAX_EXPIRES).contains(seconds)) {
        return Err(PresignError::Expires(seconds));
    }
    AmzDate::new(time).ok_or(PresignError::Date)
}

/// Appends the rest of the signed query after the day. The token sorts between lifetime and signed headers.
pub(crate) fn push_rest(
    url: &mut String,
    date: &AmzDate,
    expires: Option<u32>,
    push_signed_token: impl FnOnce(&mut String),
) {
    url.push_str(date.time_of_day());
    if let Some(seconds) = expires {
        // Writing to a `String` cannot fail.
        let _ = write!(url, "&X-Amz-Expires={seconds}");
    }
    push_signed_token(url);
    url.push_str("&X-Amz-SignedHeaders=host");
}

pub(crate) fn push_token(url: &mut String, encoded: Option<&str>) {
    if let Some(token) = encoded {
        url.push_str(TOKEN);
        url.push_str(token);
    }
}

pub(crate) const TOKEN: &str = "&X-Amz-Security-Token=";
pub(crate) const SIGNATURE: &str = "&X-Amz-Signature=";
/// Largest length of what follows the day, without the token.
pub(crate) const TAIL_LEN: usize =
    "T000000Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host".len() + SIGNATURE.len() + 64;

/// True if every service canonicalises the path to itself. Some services of SigV4 normalise paths and encode them twice,
/// others do not.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if matches!(segment, "." | "..")
            || (segment.is_empty() && !last)
            || !segment.bytes().all(percent::is_unreserved)
        {
            return false;
        }
    }
    true
}

pub(crate) fn is_scope_part(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c != '/' && !c.is_control())
}
