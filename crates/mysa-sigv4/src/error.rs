//! Errors of signing, parsing and verifying.

use core::fmt;

use crate::MAX_EXPIRES;

/// Reason why a signed request is rejected. Always the client's fault; AWS answers all of them by 403.
///
/// Checks run in this order: syntax, scope, time, key, signature, token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The request target is longer than [`MAX_TARGET_LEN`](crate::MAX_TARGET_LEN).
    TooLong,
    /// The method is not the one that the verifier accepts.
    Method,
    /// The path is not the one that the verifier accepts.
    Path,
    /// A percent sign is not followed by two hexadecimal digits.
    Encoding,
    /// A parameter occurs twice. Two parsers could choose different ones.
    DuplicateParameter,
    /// A required parameter is absent.
    MissingParameter(&'static str),
    /// A required header is absent.
    MissingHeader(&'static str),
    /// A header occurs twice that may occur once.
    DuplicateHeader(&'static str),
    /// `Authorization` is not `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
    Authorization,
    /// The algorithm is not `AWS4-HMAC-SHA256`.
    Algorithm,
    /// The credential is not `key/date/region/service/aws4_request`.
    CredentialScope,
    /// `X-Amz-Date` does not have the form `YYYYMMDDTHHMMSSZ`, or is not a valid time.
    Date,
    /// `X-Amz-Date` and the date in the scope differ.
    DateMismatch,
    /// The list of signed headers lacks `host`, is not in canonical form, or names a header that was not sent; or an
    /// `x-amz-` header was sent and is not signed.
    SignedHeaders,
    /// `X-Amz-Expires` is not a whole number of seconds from 1 to 604800.
    Expires,
    /// The request has no `Host` header, or more than one.
    Host,
    /// The scope names another region.
    Region,
    /// The scope names another service.
    Service,
    /// Signed further in the future than the allowed clock skew.
    NotYetValid,
    /// The URL, or the signature in a header, has expired.
    Expired,
    /// The access key id is unknown.
    UnknownAccessKey,
    /// The signature does not match the request and the credentials.
    Signature,
    /// The signature covers the session token. AWS IoT does not sign it.
    TokenWasSigned,
    /// The signature does not cover the session token. Services other than AWS IoT sign it.
    TokenNotSigned,
    /// The session token of temporary credentials is absent.
    TokenMissing,
    /// A session token was sent, but the credentials have none.
    TokenUnexpected,
    /// The session token belongs to other credentials.
    TokenWrong,
}

impl VerifyError {
    /// Short name for logs and counters, such as `signature-mismatch`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Method => "bad-method",
            Self::Path => "bad-path",
            Self::Encoding => "malformed-encoding",
            Self::DuplicateParameter => "duplicate-parameter",
            Self::MissingParameter(_) => "missing-parameter",
            Self::MissingHeader(_) => "missing-header",
            Self::DuplicateHeader(_) => "duplicate-header",
            Self::Authorization => "bad-authorization",
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
            Self::Method => "the method is not the expected one",
            Self::Path => "the path is not the expected one",
            Self::Encoding => "a percent sign is not followed by two hexadecimal digits",
            Self::DuplicateParameter => "a query parameter occurs twice",
            Self::MissingParameter(name) => return write!(f, "the query lacks {name}"),
            Self::MissingHeader(name) => return write!(f, "the request lacks the header {name}"),
            Self::DuplicateHeader(name) => return write!(f, "the header {name} occurs twice"),
            Self::Authorization => {
                "the authorization header is not AWS4-HMAC-SHA256 Credential=.., SignedHeaders=.., Signature=.."
            }
            Self::Algorithm => "the algorithm is not AWS4-HMAC-SHA256",
            Self::CredentialScope => "the credential is not key/date/region/service/aws4_request",
            Self::Date => "the date is not a valid time of the form YYYYMMDDTHHMMSSZ",
            Self::DateMismatch => "the date differs from the date in the scope",
            Self::SignedHeaders => "the signed headers lack host or an x-amz header, are not canonical, or were not all sent",
            Self::Expires => "the lifetime is not a whole number of seconds from 1 to 604800",
            Self::Host => "the request does not have exactly one host header",
            Self::Region => "the region in the scope is not the expected one",
            Self::Service => "the service in the scope is not the expected one",
            Self::NotYetValid => "signed in the future: check the client's clock",
            Self::Expired => "the signature has expired: sign again, or check the client's clock",
            Self::UnknownAccessKey => "the access key id is unknown",
            Self::Signature => "the signature does not match this request",
            Self::TokenWasSigned => "the session token was signed, but must be appended after signing",
            Self::TokenNotSigned => "the session token was appended after signing, but must be signed",
            Self::TokenMissing => "the session token of these temporary credentials is absent",
            Self::TokenUnexpected => "a session token was sent, but the credentials have none",
            Self::TokenWrong => "the session token belongs to other credentials",
        })
    }
}

impl core::error::Error for VerifyError {}

/// Reason why a URL cannot be signed. Always the caller's mistake: a retry does not help.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PresignError {
    /// The lifetime is not from 1 to 604800 seconds.
    Expires(u32),
    /// The year, in UTC, is not from 0 to 9999.
    Date,
    /// The path does not begin with `/`, or contains what signers and servers normalise differently: bytes outside
    /// `A-Za-z0-9-_.~/`, empty segments, `.` or `..`.
    Path,
    /// Region or service is empty, or contains a slash or a control character.
    Scope,
}

impl fmt::Display for PresignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expires(seconds) => {
                write!(f, "invalid lifetime of {seconds} s: expected 1 to {MAX_EXPIRES} s")
            }
            Self::Date => f.write_str("invalid date: expected a year from 0 to 9999"),
            Self::Path => f.write_str("invalid path: expected / and segments of A-Z a-z 0-9 - _ . ~"),
            Self::Scope => {
                f.write_str("region or service is empty, or contains a slash or a control character")
            }
        }
    }
}

impl core::error::Error for PresignError {}

/// Reason why a request cannot be signed by headers. Always the caller's mistake: a retry does not help.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SignError {
    /// The year, in UTC, is not from 0 to 9999.
    Date,
    /// The path does not begin with `/`, or contains what signers and servers normalise differently: bytes outside
    /// `A-Za-z0-9-_.~/`, empty segments, `.` or `..`.
    Path,
    /// A percent sign in the query is not followed by two hexadecimal digits.
    Query,
    /// Region or service is empty, or contains a slash or a control character.
    Scope,
    /// There is not exactly one `host` header, a name is not in lower case or is one that the signer adds, or a value
    /// contains a control character.
    Headers,
    /// Access key id or session token contains a character that a header cannot carry.
    Credentials,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Date => "invalid date: expected a year from 0 to 9999",
            Self::Path => "invalid path: expected / and segments of A-Z a-z 0-9 - _ . ~",
            Self::Query => "invalid query: a percent sign is not followed by two hexadecimal digits",
            Self::Scope => "region or service is empty, or contains a slash or a control character",
            Self::Headers => {
                "invalid headers: expected one host, names in lower case, and values without control characters"
            }
            Self::Credentials => {
                "invalid credentials: key id or session token has a character that a header cannot carry"
            }
        })
    }
}

impl core::error::Error for SignError {}

/// Reason why a text is not a presigned URL.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is not `wss://` or `https://`.
    Scheme,
    /// The host or port is invalid.
    Authority(InvalidAuthority),
    /// The path or query is not that of a presigned URL.
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
            Self::Scheme => "not a presigned URL: expected wss:// or https://",
            Self::Authority(_) => "not a presigned URL: invalid host or port",
            Self::Query(_) => "not a presigned URL: invalid query",
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

/// The text is not a host with an optional port. The caller's mistake.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct InvalidAuthority;

impl fmt::Display for InvalidAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid host: expected a host name, an IPv4 address or a bracketed IPv6 address, and an optional port")
    }
}

impl core::error::Error for InvalidAuthority {}
