//! Sign-in with a password, which is never sent.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

use serde::Deserialize;

use crate::challenge::{Challenge, ChallengeKind};
use crate::error::{Asked, plain, refused};
use crate::http::{HttpRequest, Service};
use crate::json::{self, Json, Object};
use crate::srp::{Ephemeral, SrpError};
use crate::tokens::Issued;
use crate::{Error, Pool, Secret, Tokens, timestamp};

/// First step of a sign-in.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it only names the first step")]
pub struct SignIn;

impl SignIn {
    /// Starts a sign-in with a user name (at Mysa the e-mail address, as typed) and a password.
    ///
    /// `entropy` must come from the operating system and must not be reused. If it is all zeros, the sign-in uses a
    /// fixed exponent: it works but is not secret.
    pub fn start(
        pool: &Pool,
        username: &str,
        password: Secret,
        entropy: [u8; 32],
    ) -> (HttpRequest, AwaitChallenge) {
        let ephemeral = Ephemeral::new(&entropy).or_else(|| Ephemeral::new(&[1])).expect("1 is not zero");
        Self::start_with(pool, username, password, ephemeral)
    }

    /// Starts a sign-in with a given exponent, such as that of a published vector.
    pub fn start_with(
        pool: &Pool,
        username: &str,
        password: Secret,
        ephemeral: Ephemeral,
    ) -> (HttpRequest, AwaitChallenge) {
        let secret_hash = pool.secret_hash(username);
        let request = HttpRequest::new(
            Service::UserPool,
            "AWSCognitoIdentityProviderService.InitiateAuth",
            &Json::Object(&[
                ("AuthFlow", Json::Text("USER_SRP_AUTH")),
                ("ClientId", Json::Text(&pool.client_id)),
                (
                    "AuthParameters",
                    Json::Object(&[
                        ("USERNAME", Json::Text(username)),
                        ("SRP_A", Json::Text(&ephemeral.public_hex())),
                        ("SECRET_HASH", Json::optional(secret_hash.as_deref())),
                    ]),
                ),
            ]),
        );
        (request, AwaitChallenge { pool: pool.clone(), username: username.into(), password, ephemeral })
    }
}

/// Waits for the password challenge.
#[must_use]
pub struct AwaitChallenge {
    pool: Pool,
    username: String,
    password: Secret,
    ephemeral: Ephemeral,
}

impl fmt::Debug for AwaitChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitChallenge").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// Next step of a sign-in.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle every variant")]
pub enum Step {
    /// Send the request and pass the answer to the step.
    Continue(HttpRequest, AwaitAnswer),
    /// A person must answer the challenge.
    Challenge(Challenge),
    /// Signed in.
    Done(Tokens),
    /// Cognito requires an unsupported challenge. The vendor's app may support it.
    Unsupported {
        /// `ChallengeName`.
        name: String,
    },
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "ChallengeName")]
    challenge: Option<String>,
    #[serde(rename = "ChallengeParameters")]
    parameters: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(rename = "Session", default, deserialize_with = "crate::secret::optional")]
    session: Option<Secret>,
    #[serde(rename = "AuthenticationResult")]
    result: Option<Object<Issued>>,
}

impl Body {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.as_ref()?.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn needed(&self, field: &'static str) -> Result<&str, Error> {
        self.parameter(field).ok_or(Error::Malformed { field })
    }

    /// Reads every answer except the password challenge.
    fn into_step(self, pool: Pool, username: String) -> Result<Step, Error> {
        if let Some(Object(issued)) = self.result {
            return issued.into_tokens().map(Step::Done);
        }
        let Some(name) = &self.challenge else { return Err(Error::Malformed { field: "ChallengeName" }) };
        let Some(kind) = ChallengeKind::from_name(name) else {
            return Ok(Step::Unsupported { name: plain(name) });
        };
        let choices = self.parameter("MFAS_CAN_CHOOSE").and_then(|list| serde_json::from_str(list).ok());
        Ok(Step::Challenge(Challenge {
            kind,
            destination: self.parameter("CODE_DELIVERY_DESTINATION").map(String::from),
            choices: choices.unwrap_or_default(),
            username: self.parameter("USER_ID_FOR_SRP").map_or(username, String::from),
            session: self.session,
            pool,
        }))
    }
}

impl AwaitChallenge {
    /// Reads the answer at `now`, in Unix seconds. The claim contains this time, and Cognito reports a clock that is
    /// wrong by some minutes as a wrong password.
    ///
    /// # Errors
    /// See [`Error::recovery`].
    pub fn reply(self, status: u16, body: &[u8], now: i64) -> Result<Step, Error> {
        if status != 200 {
            return Err(refused(Asked::Password, status, body));
        }
        let body: Body = json::read(status, body)?;
        if body.challenge.as_deref() != Some("PASSWORD_VERIFIER") {
            return body.into_step(self.pool, self.username);
        }
        // The hash contains the pool's own name of the user, not the typed one.
        let user_id = body.needed("USER_ID_FOR_SRP")?;
        let username = body.parameter("USERNAME").unwrap_or(user_id);
        let (salt, b) = (body.parameter("SALT"), body.parameter("SRP_B"));
        let salt = salt.ok_or(Error::Srp(SrpError::BadHex { field: "SALT" }))?;
        let b = b.ok_or(Error::Srp(SrpError::BadHex { field: "SRP_B" }))?;
        let secret_block = body.needed("SECRET_BLOCK")?;
        let stamp = timestamp(now);
        let signature = self
            .ephemeral
            .claim_key(self.pool.name(), user_id, self.password.expose(), salt, b)
            .and_then(|key| key.sign(self.pool.name(), user_id, secret_block, &stamp))
            .map_err(Error::Srp)?;
        let secret_hash = self.pool.secret_hash(username);
        let request = HttpRequest::new(
            Service::UserPool,
            "AWSCognitoIdentityProviderService.RespondToAuthChallenge",
            &Json::Object(&[
                ("ChallengeName", Json::Text("PASSWORD_VERIFIER")),
                ("ClientId", Json::Text(&self.pool.client_id)),
                ("Session", Json::optional(body.session.as_ref().map(Secret::expose))),
                (
                    "ChallengeResponses",
                    Json::Object(&[
                        ("USERNAME", Json::Text(username)),
                        ("PASSWORD_CLAIM_SECRET_BLOCK", Json::Text(secret_block)),
                        ("TIMESTAMP", Json::Text(&stamp)),
                        ("PASSWORD_CLAIM_SIGNATURE", Json::Text(&signature)),
                        ("SECRET_HASH", Json::optional(secret_hash.as_deref())),
                    ]),
                ),
            ]),
        );
        let answer = AwaitAnswer::new(self.pool.clone(), username.into(), Asked::Password);
        Ok(Step::Continue(request, answer))
    }
}

/// Waits for the answer to the password claim or to the response to a challenge.
#[derive(Debug)]
#[must_use]
pub struct AwaitAnswer {
    pool: Pool,
    username: String,
    asked: Asked,
}

impl AwaitAnswer {
    pub(crate) fn new(pool: Pool, username: String, asked: Asked) -> Self {
        Self { pool, username, asked }
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// See [`Error::recovery`].
    pub fn reply(self, status: u16, body: &[u8]) -> Result<Step, Error> {
        if status != 200 {
            return Err(refused(self.asked, status, body));
        }
        json::read::<Body>(status, body)?.into_step(self.pool, self.username)
    }
}
