//! Exchange of an id token for AWS credentials at the identity pool. The requests are unsigned; AWS libraries sign
//! requests unless configured otherwise.

use alloc::string::String;
use core::fmt;

use serde::Deserialize;

use crate::error::{Asked, refused};
use crate::http::{HttpRequest, Service};
use crate::json::{self, Json, Object};
use crate::{Error, Secret, Tokens};

/// Requests the user's id in the identity pool. It never changes for a user and a pool, so store it.
pub fn get_id(identity_pool_id: &str, tokens: &Tokens) -> (HttpRequest, AwaitIdentity) {
    let logins = [(tokens.claims.login_key(), Json::Text(tokens.id.expose()))];
    let request = HttpRequest::new(
        Service::IdentityPool,
        "AWSCognitoIdentityService.GetId",
        &Json::Object(&[("IdentityPoolId", Json::Text(identity_pool_id)), ("Logins", Json::Object(&logins))]),
    );
    (request, AwaitIdentity { _private: () })
}

/// Waits for the answer to [`get_id`].
#[derive(Debug)]
#[must_use]
pub struct AwaitIdentity {
    _private: (),
}

impl AwaitIdentity {
    /// Reads the identity id, such as `us-east-1:66666666-6666-4666-8666-666666666666`.
    ///
    /// # Errors
    /// See [`Error::recovery`].
    pub fn reply(self, status: u16, body: &[u8]) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "IdentityId")]
            identity_id: Option<String>,
        }
        if status != 200 {
            return Err(refused(Asked::Identity, status, body));
        }
        let body: Body = json::read(status, body)?;
        body.identity_id.filter(|id| !id.is_empty()).ok_or(Error::Malformed { field: "IdentityId" })
    }
}

/// Requests AWS credentials for an identity.
pub fn get_credentials(identity_id: &str, tokens: &Tokens) -> (HttpRequest, AwaitCredentials) {
    let logins = [(tokens.claims.login_key(), Json::Text(tokens.id.expose()))];
    let request = HttpRequest::new(
        Service::IdentityPool,
        "AWSCognitoIdentityService.GetCredentialsForIdentity",
        &Json::Object(&[("IdentityId", Json::Text(identity_id)), ("Logins", Json::Object(&logins))]),
    );
    (request, AwaitCredentials { _private: () })
}

/// Waits for the answer to [`get_credentials`].
#[derive(Debug)]
#[must_use]
pub struct AwaitCredentials {
    _private: (),
}

/// Temporary AWS credentials.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct AwsCredentials {
    /// Identity that the credentials are for.
    pub identity_id: String,
    /// Public name of the key, `ASIA…`.
    pub access_key_id: String,
    /// `SecretKey`.
    pub secret_key: Secret,
    /// Session token, part of every request and presigned URL.
    pub session_token: Secret,
    /// Time of expiry in milliseconds since the Unix epoch, by the server's clock. Usually an hour ahead, but many
    /// hours were reported.
    pub expires_at_ms: i64,
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials")
            .field("access_key_id", &self.access_key_id)
            .field("secret_key", &self.secret_key)
            .field("session_token", &self.session_token)
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

impl AwaitCredentials {
    /// Reads the credentials.
    ///
    /// # Errors
    /// See [`Error::recovery`].
    pub fn reply(self, status: u16, body: &[u8]) -> Result<AwsCredentials, Error> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "IdentityId")]
            identity_id: Option<String>,
            #[serde(rename = "Credentials")]
            credentials: Option<Object<Members>>,
        }
        #[derive(Deserialize)]
        struct Members {
            #[serde(rename = "AccessKeyId")]
            access_key_id: Option<String>,
            #[serde(rename = "SecretKey", default, deserialize_with = "crate::secret::optional")]
            secret_key: Option<Secret>,
            #[serde(rename = "SessionToken", default, deserialize_with = "crate::secret::optional")]
            session_token: Option<Secret>,
            // The service writes an integer, a fraction or an exponent.
            #[serde(rename = "Expiration")]
            expiration: Option<f64>,
        }
        if status != 200 {
            return Err(refused(Asked::Identity, status, body));
        }
        let body: Body = json::read(status, body)?;
        let Object(members) = body.credentials.ok_or(Error::Malformed { field: "Credentials" })?;
        let expiration = members.expiration.filter(|at| *at >= 0.0);
        Ok(AwsCredentials {
            identity_id: body.identity_id.unwrap_or_default(),
            access_key_id: members.access_key_id.ok_or(Error::Malformed { field: "AccessKeyId" })?,
            secret_key: members.secret_key.ok_or(Error::Malformed { field: "SecretKey" })?,
            session_token: members.session_token.ok_or(Error::Malformed { field: "SessionToken" })?,
            expires_at_ms: millis(expiration.ok_or(Error::Malformed { field: "Expiration" })?),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and such a distant time is never reached"
)]
fn millis(seconds: f64) -> i64 {
    (seconds * 1_000.0 + 0.5) as i64
}
