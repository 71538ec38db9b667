//! Errors, their meaning at each step, and how to recover.

use alloc::string::String;
use core::fmt;

use serde::Deserialize;

use crate::Secret;
use crate::srp::SrpError;

/// Error of a step.
///
/// Only [`Error::Refused`] is a decision of Cognito on the request. Any other error is not evidence against
/// the password and the tokens: keep them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The service understood the request and refused it.
    Refused(Refusal),
    /// There is no valid answer: an error of the server, a page of a proxy, or a truncated body.
    Transport {
        /// HTTP status.
        status: u16,
        /// Fault of the answer.
        fault: Fault,
    },
    /// The service answered success, but a required member is missing or invalid.
    Malformed {
        /// Name of the member.
        field: &'static str,
    },
    /// The server's values for the password proof are not safe to answer.
    Srp(SrpError),
}

/// Reason why an answer is not a decision of the service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The service reports an internal error.
    Server,
    /// A required body is missing.
    Empty,
    /// The JSON is truncated.
    Truncated,
    /// The body is not JSON, or an error without `__type`; usually the page of a proxy.
    NotJson,
}

/// Refusal by the service.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Refusal {
    /// Meaning for the step.
    pub kind: RefusalKind,
    /// `__type` without its namespace, at most 64 characters. Characters other than letters, digits, `.`, `_` and `-`
    /// are replaced.
    pub name: String,
    message: Option<Secret>,
}

impl Refusal {
    /// Message of the service, for a person. It may quote the request, so `Display` and `Debug` omit it: do not log it.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_ref().map(Secret::expose)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("kind", &self.kind).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Meaning of a refusal, derived from `__type` and the step.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// Wrong password, or no such account where the pool hides the difference.
    WrongCredentials,
    /// Too many wrong passwords. Cognito doubles the wait with each further one, up to 15 minutes.
    LockedOut,
    /// There is no account with this name.
    NoSuchUser,
    /// The sign-up was not completed.
    AccountNotConfirmed,
    /// The pool's owner has disabled the account.
    AccountDisabled,
    /// The password must be reset in the vendor's app first.
    PasswordResetRequired,
    /// The refresh token has expired, was revoked, was replaced by rotation, or belongs to another app client.
    RefreshRejected,
    /// The challenge has expired; start the sign-in again.
    ChallengeExpired,
    /// The code is wrong. The challenge can be answered again.
    WrongMfaCode,
    /// The code has expired.
    MfaCodeExpired,
    /// Too many requests or attempts.
    RateLimited,
    /// Blocked by a firewall in front of the service.
    Blocked,
    /// A hook of the pool's owner failed.
    ServerHook,
    /// The request is invalid: a defect of this crate or of its settings.
    ClientBug,
    /// The app client or pool does not exist.
    WrongAppClient,
    /// The identity pool does not accept the id token: it has expired, or is from an unknown app client.
    LoginTokenRejected,
    /// The identity does not exist any more: delete it and fetch it again.
    IdentityUnknown,
    /// The login belongs to another identity.
    LoginLinkedElsewhere,
    /// The pool is misconfigured.
    PoolMisconfigured,
    /// Unknown `__type`.
    Other,
}

/// Next action after an error.
#[expect(clippy::exhaustive_enums, reason = "a caller must handle every variant")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Recovery {
    /// Sign in with a password from a person or, after a failed refresh, with a stored one. Never repeat a password
    /// that was just refused.
    AskForPassword,
    /// Ask the person for the code again.
    AskForCode,
    /// Renew the tokens and repeat.
    RenewTokens,
    /// Delete the identity id, fetch it again and repeat.
    ForgetIdentity,
    /// Repeat after a short, increasing pause.
    Retry,
    /// Repeat once; if it fails again, give up.
    RetryOnce,
    /// Repeat after minutes, not seconds.
    Wait,
    /// Do not repeat: something must be changed first, in the app, the settings or this program.
    GiveUp,
}

impl Error {
    /// The next action.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Refused(refusal) => refusal.kind.recovery(),
            Self::Transport { status: 429, .. } => Recovery::Wait,
            Self::Transport { .. } | Self::Malformed { .. } => Recovery::Retry,
            Self::Srp(_) => Recovery::GiveUp,
        }
    }

    /// True if only a password can continue: what was sent is invalid, and stored tokens may be deleted.
    #[must_use]
    pub fn needs_sign_in(&self) -> bool {
        matches!(
            self.refusal(),
            Some(
                RefusalKind::WrongCredentials
                    | RefusalKind::NoSuchUser
                    | RefusalKind::AccountNotConfirmed
                    | RefusalKind::AccountDisabled
                    | RefusalKind::PasswordResetRequired
                    | RefusalKind::RefreshRejected
                    | RefusalKind::ChallengeExpired
            )
        )
    }

    /// True if the same request may succeed later.
    #[must_use]
    pub fn retry(&self) -> bool {
        matches!(self.recovery(), Recovery::Retry | Recovery::RetryOnce | Recovery::Wait)
    }

    /// The kind of refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<RefusalKind> {
        match self {
            Self::Refused(refusal) => Some(refusal.kind),
            _ => None,
        }
    }
}

impl RefusalKind {
    /// The next action.
    #[must_use]
    pub fn recovery(self) -> Recovery {
        match self {
            Self::WrongCredentials | Self::NoSuchUser | Self::RefreshRejected | Self::ChallengeExpired => {
                Recovery::AskForPassword
            }
            Self::WrongMfaCode | Self::MfaCodeExpired => Recovery::AskForCode,
            Self::LoginTokenRejected => Recovery::RenewTokens,
            Self::IdentityUnknown => Recovery::ForgetIdentity,
            Self::ServerHook => Recovery::RetryOnce,
            // An unknown refusal may not be final. Waiting does less harm than frequent repetition.
            Self::LockedOut | Self::RateLimited | Self::Blocked | Self::Other => Recovery::Wait,
            Self::AccountNotConfirmed
            | Self::AccountDisabled
            | Self::PasswordResetRequired
            | Self::ClientBug
            | Self::WrongAppClient
            | Self::LoginLinkedElsewhere
            | Self::PoolMisconfigured => Recovery::GiveUp,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::WrongCredentials => "wrong user name or password",
            Self::LockedOut => "too many wrong passwords, wait before the next attempt",
            Self::NoSuchUser => "no account with this name",
            Self::AccountNotConfirmed => "the account is not confirmed: complete the sign-up in the app",
            Self::AccountDisabled => "the account is disabled",
            Self::PasswordResetRequired => "the password must be reset in the app",
            Self::RefreshRejected => "the refresh token is no longer accepted: sign in again",
            Self::ChallengeExpired => "the challenge has expired: sign in again",
            Self::WrongMfaCode => "wrong code",
            Self::MfaCodeExpired => "the code has expired",
            Self::RateLimited => "too many requests, wait before the next attempt",
            Self::Blocked => "blocked by a firewall of the service",
            Self::ServerHook => "a hook of the user pool failed",
            Self::ClientBug => "the service rejected the request as invalid",
            Self::WrongAppClient => "no such pool or app client: check the settings",
            Self::LoginTokenRejected => "the identity pool does not accept the id token",
            Self::IdentityUnknown => "the identity is unknown: fetch it again",
            Self::LoginLinkedElsewhere => "the login belongs to another identity",
            Self::PoolMisconfigured => "the pool is misconfigured",
            Self::Other => "refused",
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{} ({})", refusal.kind.words(), refusal.name),
            Self::Transport { status, fault } => {
                let fault = match fault {
                    Fault::Server => "internal error of the service",
                    Fault::Empty => "empty answer",
                    Fault::Truncated => "the answer is truncated",
                    Fault::NotJson => "the answer is not from the service",
                };
                write!(f, "{fault} (HTTP status {status})")
            }
            Self::Malformed { field } => write!(f, "the service's answer has no valid {field}"),
            Self::Srp(_) => f.write_str("the server's values for the password proof are not safe"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Srp(cause) => Some(cause),
            _ => None,
        }
    }
}

/// Kind of request, which decides the meaning of a `__type`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked {
    Password,
    Code,
    Tokens,
    Revocation,
    Identity,
}

/// Reads an answer that is not a success.
pub(crate) fn refused(asked: Asked, status: u16, body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "__type")]
        kind: Option<String>,
        #[serde(default, deserialize_with = "crate::secret::optional")]
        message: Option<Secret>,
        #[serde(rename = "Message", default, deserialize_with = "crate::secret::optional")]
        capitalised: Option<Secret>,
    }
    if status >= 500 {
        return Error::Transport { status, fault: Fault::Server };
    }
    let body: Body = match crate::json::read(status, body) {
        Ok(body) => body,
        Err(Error::Malformed { .. }) => return Error::Transport { status, fault: Fault::NotJson },
        Err(error) => return error,
    };
    let Some(kind) = body.kind else { return Error::Transport { status, fault: Fault::NotJson } };
    let name = kind.rsplit_once('#').map_or(kind.as_str(), |(_, name)| name);
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let message = body.message.or(body.capitalised);
    let Some(kind) = kind_of(asked, name, message.as_ref().map_or("", Secret::expose)) else {
        return Error::Transport { status, fault: Fault::Server };
    };
    Error::Refused(Refusal { kind, name: plain(name), message })
}

/// Table of the `__type`s; `None` means an internal error of the service.
fn kind_of(asked: Asked, name: &str, message: &str) -> Option<RefusalKind> {
    use RefusalKind as Kind;
    Some(match (name, asked) {
        // A lock-out has no `__type` of its own: only the message distinguishes it from a wrong password.
        ("NotAuthorizedException", Asked::Password) if message.starts_with("Password attempts exceeded") => {
            Kind::LockedOut
        }
        // Nor has a disabled account.
        ("NotAuthorizedException", Asked::Password | Asked::Code | Asked::Tokens)
            if message.starts_with("User is disabled") =>
        {
            Kind::AccountDisabled
        }
        ("NotAuthorizedException", Asked::Password) => Kind::WrongCredentials,
        ("NotAuthorizedException", Asked::Code) => Kind::ChallengeExpired,
        ("NotAuthorizedException", Asked::Tokens | Asked::Revocation) => Kind::RefreshRejected,
        ("NotAuthorizedException", Asked::Identity) => Kind::LoginTokenRejected,
        (
            "RefreshTokenReuseException" | "UnauthorizedException" | "UnsupportedTokenTypeException",
            Asked::Tokens | Asked::Revocation,
        ) => Kind::RefreshRejected,
        ("UserNotFoundException", _) => Kind::NoSuchUser,
        ("UserNotConfirmedException", _) => Kind::AccountNotConfirmed,
        ("PasswordResetRequiredException", _) => Kind::PasswordResetRequired,
        (
            "TooManyRequestsException"
            | "LimitExceededException"
            | "TooManyFailedAttemptsException"
            | "ThrottlingException",
            _,
        ) => Kind::RateLimited,
        (
            "InvalidParameterException"
            | "SerializationException"
            | "UnknownOperationException"
            | "ValidationException"
            | "UnsupportedOperationException",
            _,
        ) => Kind::ClientBug,
        ("ResourceNotFoundException", Asked::Identity) => Kind::IdentityUnknown,
        ("ResourceNotFoundException", _) => Kind::WrongAppClient,
        ("CodeMismatchException", _) => Kind::WrongMfaCode,
        ("ExpiredCodeException", _) => Kind::MfaCodeExpired,
        (
            "UserLambdaValidationException" | "UnexpectedLambdaException" | "InvalidLambdaResponseException",
            _,
        ) => Kind::ServerHook,
        ("ForbiddenException", _) => Kind::Blocked,
        ("ResourceConflictException", Asked::Identity) => Kind::LoginLinkedElsewhere,
        (
            "InvalidIdentityPoolConfigurationException"
            | "InvalidUserPoolConfigurationException"
            | "InvalidSmsRoleAccessPolicyException"
            | "InvalidSmsRoleTrustRelationshipException"
            | "InvalidEmailRoleAccessPolicyException",
            _,
        ) => Kind::PoolMisconfigured,
        (
            "InternalErrorException"
            | "ExternalServiceException"
            | "InternalFailure"
            | "ServiceUnavailableException"
            | "ServiceUnavailable",
            _,
        ) => return None,
        _ => Kind::Other,
    })
}

/// Makes a received name safe for a log line.
pub(crate) fn plain(name: &str) -> String {
    name.chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '?' })
        .collect()
}
