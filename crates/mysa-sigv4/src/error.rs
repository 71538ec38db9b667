//! Errors of signing, of reading a URL and of verifying a request.

use core::fmt;

use crate::MAX_EXPIRES;

/// Why a presigned request is not accepted. The client's fault in every case; AWS itself says 403 to all of them.
///
/// The checks run in this order: form, scope, time, key, signature, token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The request target is longer than [`MAX_TARGET_LEN`](crate::MAX_TARGET_LEN).
    TooLong,
    /// The method is not the one this verifier is for.
    Method,
    /// The path is not the one this verifier is for.
    Path,
    /// A percent sign is not followed by two hexadecimal digits.
    Encoding,
    /// A parameter occurs twice, so that two readers could see two different requests.
    DuplicateParameter,
    /// This parameter is needed.
    MissingParameter(&'static str),
    /// `X-Amz-Algorithm` is not `AWS4-HMAC-SHA256`.
    Algorithm,
    /// `X-Amz-Credential` is not `key/date/region/service/aws4_request`.
    CredentialScope,
    /// `X-Amz-Date` is not of the form `YYYYMMDDTHHMMSSZ`, or there is no such time.
    Date,
    /// `X-Amz-Date` and the date of the scope are two different days.
    DateMismatch,
    /// `X-Amz-SignedHeaders` leaves out `host`, is not in canonical form, or names a header that was not sent.
    SignedHeaders,
    /// `X-Amz-Expires` is not a whole number of seconds from 1 to 604800.
    Expires,
    /// The request has no `Host` header, or several.
    Host,
    /// The scope names another region.
    Region,
    /// The scope names another service.
    Service,
    /// Signed further in the future than clocks may differ.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// Nobody here has this access key id.
    UnknownAccessKey,
    /// The signature is not the one these credentials give for this request.
    Signature,
    /// The signature holds if the session token is counted in, which IoT does not do.
    TokenWasSigned,
    /// The signature holds if the session token is left out, which only IoT does.
    TokenNotSigned,
    /// These are temporary credentials, and their session token is absent.
    TokenMissing,
    /// There is a session token, but these credentials have none.
    TokenUnexpected,
    /// The session token belongs to other credentials.
    TokenWrong,
}

impl VerifyError {
    /// A short name for logs and counters, such as `signature-mismatch`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Method => "bad-method",
            Self::Path => "bad-path",
            Self::Encoding => "malformed-encoding",
            Self::DuplicateParameter => "duplicate-parameter",
            Self::MissingParameter(_) => "missing-parameter",
            Self::Algorithm => "bad-algorithm",
            Self::CredentialScope => "bad-credential-scope",
            Self::Date => "bad-date",
            Self::DateMismatch => "date-mismatch",
            Self::SignedHeaders => "bad-signed-headers",
            Self::Expires => "bad-expires",
            Self::Host => "bad-host",
            Self::Region => "wrong-region",
            Self::Service => "wrong-service",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::UnknownAccessKey => "unknown-access-key",
            Self::Signature => "signature-mismatch",
            Self::TokenWasSigned => "token-was-signed",
            Self::TokenNotSigned => "token-not-signed",
            Self::TokenMissing => "missing-token",
            Self::TokenUnexpected => "unexpected-token",
            Self::TokenWrong => "wrong-token",
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the request target is too long",
            Self::Method => "the request has another method than is signed here",
            Self::Path => "the request has another path than is signed here",
            Self::Encoding => "a percent sign is not followed by two hexadecimal digits",
            Self::DuplicateParameter => "a query parameter occurs twice",
            Self::MissingParameter(name) => return write!(f, "the query lacks {name}"),
            Self::Algorithm => "the algorithm is not AWS4-HMAC-SHA256",
            Self::CredentialScope => "the credential is not key/date/region/service/aws4_request",
            Self::Date => "the date is malformed or does not exist",
            Self::DateMismatch => "the date and the date of the scope differ",
            Self::SignedHeaders => {
                "the signed headers leave out host, are not canonical, or were not all sent"
            }
            Self::Expires => "the lifetime is not from 1 to 604800 whole seconds",
            Self::Host => "the request has no host header, or several",
            Self::Region => "the scope names another region",
            Self::Service => "the scope names another service",
            Self::NotYetValid => "signed too far in the future; the client's clock is ahead",
            Self::Expired => "the URL has lapsed; sign anew, or set the client's clock",
            Self::UnknownAccessKey => "the access key is not known",
            Self::Signature => "the signature does not match this request",
            Self::TokenWasSigned => "the session token was signed, but must be appended after signing",
            Self::TokenNotSigned => "the session token was appended after signing, but must be signed",
            Self::TokenMissing => "the session token of these temporary credentials is absent",
            Self::TokenUnexpected => "these credentials have no session token, but one was sent",
            Self::TokenWrong => "the session token belongs to other credentials",
        })
    }
}

impl core::error::Error for VerifyError {}

/// Why a URL was not signed. The caller's mistake in every case: no retry helps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PresignError {
    /// `X-Amz-Expires` must be from 1 to 604800 seconds.
    Expires(u32),
    /// The year, in UTC, is not from 0 to 9999.
    Date,
    /// The path does not begin with `/`, or holds what signers and servers normalise differently: bytes outside
    /// `A-Za-z0-9-_.~/`, empty segments, `.` or `..`.
    Path,
    /// Region or service is empty, or holds a slash or a control character.
    Scope,
}

impl fmt::Display for PresignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expires(seconds) => write!(f, "a lifetime of {seconds} s is not from 1 to {MAX_EXPIRES} s"),
            Self::Date => f.write_str("the year is not from 0 to 9999"),
            Self::Path => f.write_str("the path is not one that every server reads alike"),
            Self::Scope => f.write_str("region or service is empty, or holds a slash or a control character"),
        }
    }
}

impl core::error::Error for PresignError {}

/// Why text is not a presigned URL. The fault of whoever wrote it; get a new one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `wss://` or `https://`.
    Scheme,
    /// There is no proper host.
    Authority(InvalidAuthority),
    /// The query is not that of a presigned URL.
    Query(VerifyError),
}

impl From<InvalidAuthority> for UrlError {
    fn from(cause: InvalidAuthority) -> Self {
        Self::Authority(cause)
    }
}

impl From<VerifyError> for UrlError {
    fn from(cause: VerifyError) -> Self {
        Self::Query(cause)
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the URL does not begin with wss:// or https://",
            Self::Authority(_) => "the URL has no proper host",
            Self::Query(_) => "the URL is not a presigned one",
        })
    }
}

impl core::error::Error for UrlError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Scheme => None,
            Self::Authority(cause) => Some(cause),
            Self::Query(cause) => Some(cause),
        }
    }
}

/// The text is not a host that can be signed. The caller's mistake; signing would only give a URL nobody accepts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidAuthority;

impl fmt::Display for InvalidAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a host name, an IPv4 address or a bracketed IPv6 address with an optional port")
    }
}

impl core::error::Error for InvalidAuthority {}
