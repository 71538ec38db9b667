//! Renewal and revocation of tokens.

use serde::Deserialize;

use crate::error::{Asked, refused};
use crate::http::{HttpRequest, Service};
use crate::json::{self, Json, Object};
use crate::tokens::Issued;
use crate::{Error, Pool, RefreshToken, Tokens};

/// API action that renews tokens. A pool that rotates refresh tokens refuses `InitiateAuth`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are only these two actions")]
pub enum RefreshFlow {
    /// `InitiateAuth` with `REFRESH_TOKEN_AUTH`, as in older clients.
    #[default]
    InitiateAuth,
    /// `GetTokensFromRefreshToken`, as in the 4.x apps.
    GetTokensFromRefreshToken,
}

/// Requests new tokens.
///
/// An app client with a secret always uses `GetTokensFromRefreshToken`, because `InitiateAuth` would need a hash of the
/// user name, which is unknown here.
pub fn refresh(pool: &Pool, token: &RefreshToken, flow: RefreshFlow) -> (HttpRequest, AwaitTokens) {
    let client_id = Json::Text(&pool.client_id);
    let secret = pool.client_secret.as_ref().map(crate::Secret::expose);
    let request = match flow {
        RefreshFlow::InitiateAuth if secret.is_none() => HttpRequest::new(
            Service::UserPool,
            "AWSCognitoIdentityProviderService.InitiateAuth",
            &Json::Object(&[
                ("AuthFlow", Json::Text("REFRESH_TOKEN_AUTH")),
                ("ClientId", client_id),
                ("AuthParameters", Json::Object(&[("REFRESH_TOKEN", Json::Text(token.expose()))])),
            ]),
        ),
        RefreshFlow::InitiateAuth | RefreshFlow::GetTokensFromRefreshToken => HttpRequest::new(
            Service::UserPool,
            "AWSCognitoIdentityProviderService.GetTokensFromRefreshToken",
            &Json::Object(&[
                ("ClientId", client_id),
                ("RefreshToken", Json::Text(token.expose())),
                ("ClientSecret", Json::optional(secret)),
            ]),
        ),
    };
    (request, AwaitTokens { _private: () })
}

/// Waits for the answer to [`refresh`].
#[derive(Debug)]
#[must_use]
pub struct AwaitTokens {
    _private: (),
}

impl AwaitTokens {
    /// Reads the answer.
    ///
    /// # Errors
    /// The refresh token is invalid only if [`Error::needs_sign_in`].
    pub fn reply(self, status: u16, body: &[u8]) -> Result<Tokens, Error> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "AuthenticationResult")]
            result: Option<Object<Issued>>,
        }
        if status != 200 {
            return Err(refused(Asked::Tokens, status, body));
        }
        let body: Body = json::read(status, body)?;
        let Object(issued) = body.result.ok_or(Error::Malformed { field: "AuthenticationResult" })?;
        issued.into_tokens()
    }
}

/// Requests the revocation of a refresh token and its access tokens, to sign out.
pub fn revoke(pool: &Pool, token: &RefreshToken) -> (HttpRequest, AwaitRevoked) {
    let secret = pool.client_secret.as_ref().map(crate::Secret::expose);
    let request = HttpRequest::new(
        Service::UserPool,
        "AWSCognitoIdentityProviderService.RevokeToken",
        &Json::Object(&[
            ("Token", Json::Text(token.expose())),
            ("ClientId", Json::Text(&pool.client_id)),
            ("ClientSecret", Json::optional(secret)),
        ]),
    );
    (request, AwaitRevoked { _private: () })
}

/// Waits for the answer to [`revoke`].
#[derive(Debug)]
#[must_use]
pub struct AwaitRevoked {
    _private: (),
}

impl AwaitRevoked {
    /// Reads the answer. A success has no body or an empty JSON object. A web page is the answer of a proxy, so the
    /// token was not revoked.
    ///
    /// # Errors
    /// The service did not revoke the token. Cognito answers success for a token that was revoked before.
    pub fn reply(self, status: u16, body: &[u8]) -> Result<(), Error> {
        if status != 200 {
            return Err(refused(Asked::Revocation, status, body));
        }
        if body.trim_ascii().is_empty() {
            return Ok(());
        }
        json::read::<serde::de::IgnoredAny>(status, body).map(|_| ())
    }
}
