//! Errors, their meaning at each step, and how to recover.

use alloc::string::String;
use core::fmt;

use serde::Deserialize;

use crate::Secret;
use crate::srp::SrpError;

/// An error of one step.
///
/// Only [`Error::Refused`] is a verdict of Cognito on what was sent. Everything else says nothing about the password
/// or the tokens, which are to be kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The service understood the request and refused it.
    Refused(Refusal),
    /// No usable answer of the service: an error of the server, a page of some proxy, a body cut short.
    Transport {
        /// HTTP status.
        status: u16,
        /// Fault of the answer.
        fault: Fault,
    },
    /// The service answered success, but something needed is missing or cannot be read.
    Malformed {
        /// Name of the member.
        field: &'static str,
    },
    /// The values offered for the password proof are not safe to answer.
    Srp(SrpError),
}

/// Fault of an answer that is not a decision of the service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The service reports trouble of its own.
    Server,
    /// No body where one is needed.
    Empty,
    /// JSON that ends too early.
    Truncated,
    /// Not JSON, or an error without `__type`: most often a proxy's page.
    NotJson,
}

/// A refusal by the service.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Refusal {
    /// Meaning at the step that it answers.
    pub kind: RefusalKind,
    /// The `__type` as sent, without its namespace; at most 64 characters, anything but letters, digits, `.`, `_` and
    /// `-` replaced.
    pub name: String,
    message: Option<Secret>,
}

impl Refusal {
    /// The service's own words, for a person. They may quote what was sent, so they are not part of `Display`
    /// or `Debug`; do not log them.
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

/// Meaning of a refusal, from `__type` and the step that it answers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The password does not belong to the account.
    WrongCredentials,
    /// Too many wrong passwords; Cognito doubles the wait with each further one, up to 15 minutes.
    LockedOut,
    /// No account of that name.
    NoSuchUser,
    /// Signing up was never finished.
    AccountNotConfirmed,
    /// The password has to be reset in the vendor's app first.
    PasswordResetRequired,
    /// The refresh token has lapsed, was revoked, was used up by rotation, or belongs to another app client.
    RefreshRejected,
    /// The challenge can no longer be answered; signing in has to begin anew.
    ChallengeLapsed,
    /// The code is wrong; the same challenge can be answered again.
    WrongMfaCode,
    /// The code came too late.
    MfaCodeExpired,
    /// Too many requests or attempts.
    RateLimited,
    /// A firewall in front of the service.
    Blocked,
    /// Code of the pool's owner failed.
    ServerHook,
    /// The request itself is wrong: a defect of this crate or of its settings.
    ClientBug,
    /// No such app client or pool.
    WrongAppClient,
    /// The identity pool does not take this id token: lapsed, or of an app client it does not know.
    LoginTokenRejected,
    /// The identity is gone; forget it and ask for it again.
    IdentityUnknown,
    /// The login belongs to another identity already.
    LoginLinkedElsewhere,
    /// The pool is set up wrongly.
    PoolMisconfigured,
    /// A `__type` without a row in the table.
    Other,
}

/// The next action after an error.
#[expect(clippy::exhaustive_enums, reason = "a caller that has no plan for one must not compile")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Recovery {
    /// Sign in with a password: the one a person gives, or, after a failed refresh, the one kept for it. Never the
    /// same one that was just refused.
    AskForPassword,
    /// Ask the person for the code again.
    AskForCode,
    /// Renew the tokens, then repeat.
    RenewTokens,
    /// Forget the identity id, fetch it anew, then repeat.
    ForgetIdentity,
    /// Repeat after a short, growing pause.
    Retry,
    /// Repeat once; if it fails again, give up.
    RetryOnce,
    /// Repeat after minutes, not seconds.
    Wait,
    /// Repeating cannot help. Something has to be changed elsewhere: in the app, the settings or this program.
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

    /// True if only a person or a stored password can continue: what was sent is invalid, and stored tokens may be
    /// deleted.
    #[must_use]
    pub fn needs_sign_in(&self) -> bool {
        matches!(
            self.refusal(),
            Some(
                RefusalKind::WrongCredentials
                    | RefusalKind::NoSuchUser
                    | RefusalKind::AccountNotConfirmed
                    | RefusalKind::PasswordResetRequired
                    | RefusalKind::RefreshRejected
                    | RefusalKind::ChallengeLapsed
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
            Self::WrongCredentials | Self::NoSuchUser | Self::RefreshRejected | Self::ChallengeLapsed => {
                Recovery::AskForPassword
            }
            Self::WrongMfaCode | Self::MfaCodeExpired => Recovery::AskForCode,
            Self::LoginTokenRejected => Recovery::RenewTokens,
            Self::IdentityUnknown => Recovery::ForgetIdentity,
            Self::ServerHook => Recovery::RetryOnce,
            // Of an unknown refusal it is not known that it is final; hammering it would be worse than waiting.
            Self::LockedOut | Self::RateLimited | Self::Blocked | Self::Other => Recovery::Wait,
            Self::AccountNotConfirmed
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
            Self::NoSuchUser => "no account of that name",
            Self::AccountNotConfirmed => "the account is not confirmed, finish signing up in the app",
            Self::PasswordResetRequired => "the password must be reset in the app",
            Self::RefreshRejected => "the refresh token is no longer accepted, sign in again",
            Self::ChallengeLapsed => "the challenge has lapsed, sign in again",
            Self::WrongMfaCode => "wrong code",
            Self::MfaCodeExpired => "the code has expired",
            Self::RateLimited => "too many requests, wait before the next attempt",
            Self::Blocked => "blocked by a firewall of the service",
            Self::ServerHook => "a hook of the user pool failed",
            Self::ClientBug => "the service cannot read the request",
            Self::WrongAppClient => "no such pool or app client, check the settings",
            Self::LoginTokenRejected => "the identity pool does not accept the id token",
            Self::IdentityUnknown => "the identity is unknown, ask for it again",
            Self::LoginLinkedElsewhere => "the login belongs to another identity",
            Self::PoolMisconfigured => "the pool is set up wrongly",
            Self::Other => "refused",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{} ({})", refusal.kind.words(), refusal.name),
            Self::Transport { status, fault } => {
                let fault = match fault {
                    Fault::Server => "the service is in trouble",
                    Fault::Empty => "empty answer",
                    Fault::Truncated => "the answer is cut short",
                    Fault::NotJson => "the answer is not from the service",
                };
                write!(f, "{fault} (HTTP status {status})")
            }
            Self::Malformed { field } => write!(f, "the service's answer has no usable {field}"),
            Self::Srp(_) => f.write_str("the service's proof values were refused"),
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

/// Kind of request. The same `__type` means different things after different requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked {
    Password,
    Code,
    Tokens,
    Revocation,
    Identity,
}

/// Reads any answer but success.
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

/// The table of `__type`s; `None` is trouble of the service's own.
fn kind_of(asked: Asked, name: &str, message: &str) -> Option<RefusalKind> {
    use RefusalKind as Kind;
    Some(match (name, asked) {
        // A lock-out has no name of its own: wrong password and locked account differ in the words alone.
        ("NotAuthorizedException", Asked::Password) if message.starts_with("Password attempts exceeded") => {
            Kind::LockedOut
        }
        ("NotAuthorizedException", Asked::Password) => Kind::WrongCredentials,
        ("NotAuthorizedException", Asked::Code) => Kind::ChallengeLapsed,
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

/// A name fit for a log line, whatever was sent.
pub(crate) fn plain(name: &str) -> String {
    name.chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '?' })
        .collect()
}
