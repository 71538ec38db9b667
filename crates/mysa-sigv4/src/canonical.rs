//! Canonical forms of queries and requests, and the parameters of a presigned query.

use alloc::string::String;
use alloc::vec::Vec;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::date::AmzDate;
use crate::secret::Secret;
use crate::signing_key::{ALGORITHM, TERMINATOR};
use crate::{MAX_EXPIRES, VerifyError, percent};

/// Parameters of a query in canonical order and encoding. Takes `n log n` time in their number.
pub(crate) struct Query {
    parameters: Vec<Parameter>,
}

struct Parameter {
    /// In canonical encoding, by which SigV4 sorts.
    name: String,
    value: Secret,
}

impl Query {
    pub(crate) fn parse(query: &str) -> Result<Self, VerifyError> {
        let mut parameters = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            parameters.push(Parameter { name: recode(name)?, value: Secret::new(recode(value)?) });
        }
        parameters.sort_by(|a, b| (&a.name, a.value.expose()).cmp(&(&b.name, b.value.expose())));
        Ok(Self { parameters })
    }

    /// Parses a query in which no name may occur twice.
    pub(crate) fn parse_unique(query: &str) -> Result<Self, VerifyError> {
        let query = Self::parse(query)?;
        if query.parameters.windows(2).any(|pair| matches!(pair, [a, b] if a.name == b.name)) {
            return Err(VerifyError::DuplicateParameter);
        }
        Ok(query)
    }

    /// The value in canonical encoding.
    pub(crate) fn encoded(&self, name: &str) -> Option<&str> {
        let at = self.parameters.binary_search_by(|parameter| parameter.name.as_str().cmp(name)).ok()?;
        self.parameters.get(at).map(|parameter| parameter.value.expose())
    }

    fn value(&self, name: &str) -> Option<Vec<u8>> {
        percent::decode(self.encoded(name)?.as_bytes())
    }

    fn require(&self, name: &'static str) -> Result<Vec<u8>, VerifyError> {
        self.value(name).ok_or(VerifyError::MissingParameter(name))
    }

    /// Passes the canonical query string to `push`: without the signature, and with the token only if `with_token`.
    pub(crate) fn canonical(&self, with_token: bool, mut push: impl FnMut(&str)) {
        let mut separator = "";
        for Parameter { name, value } in &self.parameters {
            if name == "X-Amz-Signature" || (name == TOKEN && !with_token) {
                continue;
            }
            for piece in [separator, name, "=", value.expose()] {
                push(piece);
            }
            separator = "&";
        }
    }
}

/// Parameters of a presigned query: syntactically valid, not yet verified.
pub(crate) struct PresignedQuery {
    pub(crate) access_key_id: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) date: AmzDate,
    pub(crate) signed_at: OffsetDateTime,
    pub(crate) expires: Option<u32>,
    pub(crate) signed_headers: String,
    pub(crate) signature: Vec<u8>,
}

impl PresignedQuery {
    pub(crate) fn read(query: &Query) -> Result<Self, VerifyError> {
        let algorithm = query.require("X-Amz-Algorithm")?;
        let credential = query.require("X-Amz-Credential")?;
        let date = query.require("X-Amz-Date")?;
        let signed_headers = query.require("X-Amz-SignedHeaders")?;
        let signature = query.require("X-Amz-Signature")?;
        if algorithm.as_slice() != ALGORITHM.as_bytes() {
            return Err(VerifyError::Algorithm);
        }

        let credential = core::str::from_utf8(&credential).map_err(|_| VerifyError::CredentialScope)?;
        let Credential { access_key_id, day, region, service } = Credential::parse(credential)?;
        let (date, signed_at) = AmzDate::parse(&date).ok_or(VerifyError::Date)?;
        if date.day() != day {
            return Err(VerifyError::DateMismatch);
        }
        let signed_headers = core::str::from_utf8(&signed_headers).map_err(|_| VerifyError::SignedHeaders)?;
        check_signed_headers(signed_headers)?;
        let expires = match query.value("X-Amz-Expires") {
            Some(text) => Some(expires(&text).ok_or(VerifyError::Expires)?),
            None => None,
        };
        Ok(Self {
            access_key_id: access_key_id.into(),
            region: region.into(),
            service: service.into(),
            date,
            signed_at,
            expires,
            signed_headers: signed_headers.into(),
            signature,
        })
    }
}

/// Parameter that carries the session token.
pub(crate) const TOKEN: &str = "X-Amz-Security-Token";

/// Key and scope that sign a request: `key/day/region/service/aws4_request`.
pub(crate) struct Credential<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) day: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

impl<'a> Credential<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, VerifyError> {
        // Split from the right: an access key id may contain a slash, the parts of a scope may not.
        let mut parts = text.rsplitn(5, '/');
        let (Some(TERMINATOR), Some(service), Some(region), Some(day), Some(access_key_id)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifyError::CredentialScope);
        };
        if [access_key_id, region, service].contains(&"") {
            return Err(VerifyError::CredentialScope);
        }
        Ok(Self { access_key_id, day, region, service })
    }
}

/// Checks a list of signed headers: lower-case names in order, each once, `host` among them.
pub(crate) fn check_signed_headers(list: &str) -> Result<(), VerifyError> {
    let names = || list.split(';');
    let sorted = names().zip(names().skip(1)).all(|(a, b)| a < b);
    let valid = sorted && names().all(is_header_name) && names().any(|name| name == "host");
    if valid { Ok(()) } else { Err(VerifyError::SignedHeaders) }
}

/// Canonical request of SigV4: what is hashed and signed.
pub(crate) struct CanonicalRequest<'a> {
    pub(crate) method: &'a str,
    /// A plain path, which is its own canonical form.
    pub(crate) path: &'a str,
    pub(crate) query: &'a Query,
    /// `true` if the session token in the query is signed.
    pub(crate) with_token: bool,
    /// All headers of the request, names in any case.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// Names of the signed ones, in order, joined by semicolons.
    pub(crate) signed_headers: &'a str,
    /// Hash of the payload.
    pub(crate) payload: &'a str,
}

impl CanonicalRequest<'_> {
    /// Passes the text to `push` in pieces.
    pub(crate) fn write(&self, mut push: impl FnMut(&str)) {
        for piece in [self.method, "\n", self.path, "\n"] {
            push(piece);
        }
        self.query.canonical(self.with_token, &mut push);
        push("\n");
        for name in self.signed_headers.split(';') {
            push(name);
            let mut before = ":";
            for (_, value) in self.headers.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name)) {
                push(before);
                push_header_value(name, value, &mut push);
                before = ",";
            }
            push("\n");
        }
        for piece in ["\n", self.signed_headers, "\n", self.payload] {
            push(piece);
        }
    }
}

/// Trims the value and collapses whitespace, as SigV4 requires; lower-cases the host, which clients sign in lower case
/// however they send it.
fn push_header_value(name: &str, value: &str, push: &mut impl FnMut(&str)) {
    let mut before = "";
    for word in value.split_ascii_whitespace() {
        push(before);
        if name == "host" && word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            push(&word.to_ascii_lowercase())
        } else {
            push(word)
        }
        before = " ";
    }
}

/// The string to sign, in pieces: algorithm, time, scope and hash of the canonical request.
pub(crate) fn string_to_sign<'a>(
    date: &'a AmzDate,
    region: &'a str,
    service: &'a str,
    hash: &'a str,
) -> [&'a str; 12] {
    [ALGORITHM, "\n", date.as_str(), "\n", date.day(), "/", region, "/", service, "/", "aws4_request\n", hash]
}

/// Decodes and encodes again: clients may encode in several ways, only one of them is signed.
fn recode(text: &str) -> Result<String, VerifyError> {
    let bytes = Zeroizing::new(percent::decode(text.as_bytes()).ok_or(VerifyError::Encoding)?);
    let mut out = String::with_capacity(percent::encoded_len(&bytes));
    percent::push(&mut out, &bytes);
    Ok(out)
}

/// SigV4 signs header names in lower case.
pub(crate) fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        })
}

fn expires(text: &[u8]) -> Option<u32> {
    let digits =
        core::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|seconds| (1..=MAX_EXPIRES).contains(seconds))
}
