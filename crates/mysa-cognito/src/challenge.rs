//! Challenges that follow the password: codes and choices.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Asked;
use crate::http::{HttpRequest, Service};
use crate::json::Json;
use crate::sign_in::AwaitAnswer;
use crate::{Pool, Secret};

/// Challenge that a person can answer. No Mysa client has seen one yet; the structure follows AWS's documentation.
///
/// After a wrong answer it can be answered again ([`Recovery::AskForCode`](crate::Recovery::AskForCode)).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Challenge {
    /// Kind of answer that is required.
    pub kind: ChallengeKind,
    /// Destination of the code as Cognito masks it, such as `+*******0000`.
    pub destination: Option<String>,
    /// Allowed answers to [`ChallengeKind::SelectMfaType`].
    pub choices: Vec<String>,
    pub(crate) session: Option<Secret>,
    pub(crate) username: String,
    pub(crate) pool: Pool,
}

/// Kind of answer that a challenge requires.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ChallengeKind {
    /// Code in a text message.
    SmsMfa,
    /// Code in an e-mail.
    EmailOtp,
    /// Code in an e-mail, by the other name in AWS's documentation.
    EmailMfa,
    /// Code of an authenticator app.
    SoftwareTokenMfa,
    /// Choice of a method: one of [`Challenge::choices`].
    SelectMfaType,
}

impl ChallengeKind {
    const ALL: [Self; 5] =
        [Self::SmsMfa, Self::EmailOtp, Self::EmailMfa, Self::SoftwareTokenMfa, Self::SelectMfaType];

    /// `ChallengeName`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SmsMfa => "SMS_MFA",
            Self::EmailOtp => "EMAIL_OTP",
            Self::EmailMfa => "EMAIL_MFA",
            Self::SoftwareTokenMfa => "SOFTWARE_TOKEN_MFA",
            Self::SelectMfaType => "SELECT_MFA_TYPE",
        }
    }

    /// Member of `ChallengeResponses` that contains the answer.
    #[must_use]
    pub const fn answer_key(self) -> &'static str {
        match self {
            Self::SmsMfa => "SMS_MFA_CODE",
            Self::EmailOtp | Self::EmailMfa => "EMAIL_OTP_CODE",
            Self::SoftwareTokenMfa => "SOFTWARE_TOKEN_MFA_CODE",
            Self::SelectMfaType => "ANSWER",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Challenge {
    /// Answers with a code or with one of the choices. Surrounding white space is ignored.
    pub fn answer(&self, answer: &str) -> (HttpRequest, AwaitAnswer) {
        let secret_hash = self.pool.secret_hash(&self.username);
        let request = HttpRequest::new(
            Service::UserPool,
            "AWSCognitoIdentityProviderService.RespondToAuthChallenge",
            &Json::Object(&[
                ("ChallengeName", Json::Text(self.kind.name())),
                ("ClientId", Json::Text(&self.pool.client_id)),
                ("Session", Json::optional(self.session.as_ref().map(Secret::expose))),
                (
                    "ChallengeResponses",
                    Json::Object(&[
                        ("USERNAME", Json::Text(&self.username)),
                        (self.kind.answer_key(), Json::Text(answer.trim())),
                        ("SECRET_HASH", Json::optional(secret_hash.as_deref())),
                    ]),
                ),
            ]),
        );
        (request, AwaitAnswer::new(self.pool.clone(), self.username.clone(), Asked::Code))
    }
}
