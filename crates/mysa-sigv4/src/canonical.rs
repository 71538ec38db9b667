//! The canonical query of a presigned request, and what it states.

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
        parameters.sort_by(|a, b| a.name.cmp(&b.name));
        if parameters.windows(2).any(|pair| matches!(pair, [a, b] if a.name == b.name)) {
            return Err(VerifyError::DuplicateParameter);
        }
        Ok(Self { parameters })
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
        // Split from the right: an access key id may contain a slash, the parts of a scope may not.
        let mut parts = credential.rsplitn(5, '/');
        let (Some(TERMINATOR), Some(service), Some(region), Some(scope_day), Some(access_key_id)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifyError::CredentialScope);
        };
        if [access_key_id, region, service].contains(&"") {
            return Err(VerifyError::CredentialScope);
        }

        let (date, signed_at) = AmzDate::parse(&date).ok_or(VerifyError::Date)?;
        if date.day() != scope_day {
            return Err(VerifyError::DateMismatch);
        }

        let signed_headers = core::str::from_utf8(&signed_headers).map_err(|_| VerifyError::SignedHeaders)?;
        let names = || signed_headers.split(';');
        let sorted = names().zip(names().skip(1)).all(|(a, b)| a < b);
        if !sorted || !names().all(is_header_name) || !names().any(|name| name == "host") {
            return Err(VerifyError::SignedHeaders);
        }

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

/// Decodes and encodes again: clients may encode in several ways, only one of them is signed.
fn recode(text: &str) -> Result<String, VerifyError> {
    let bytes = Zeroizing::new(percent::decode(text.as_bytes()).ok_or(VerifyError::Encoding)?);
    let mut out = String::with_capacity(percent::encoded_len(&bytes));
    percent::push(&mut out, &bytes);
    Ok(out)
}

/// SigV4 signs header names in lower case.
fn is_header_name(name: &str) -> bool {
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
