//! Tokens and the claims of an id token.

use alloc::string::String;
use core::fmt::{self, Write as _};
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::json::Object;
use crate::{Error, Secret};

/// Tokens of a user.
///
/// Measure their lifetime from their arrival on a monotonic clock: the host's wall clock may be wrong by more than the
/// lifetime.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tokens {
    /// Id token, for REST and the identity pool.
    pub id: Secret,
    /// Access token, for the user pool itself.
    pub access: Secret,
    /// New refresh token. `None` if the old one stays valid; otherwise the old one is invalid and this one must be
    /// stored.
    pub refresh: Option<RefreshToken>,
    /// Lifetime of `id` and `access`: 3600 s at Mysa, at most a day.
    pub expires_in: Duration,
    /// Claims of the id token.
    pub claims: IdClaims,
}

/// Refresh token: valid for about 30 days and for one app client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefreshToken(Secret);

impl RefreshToken {
    /// Wraps a stored token.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        Self(token)
    }

    /// First eight bytes of the token's SHA-256 in hex, which identify the token without revealing it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.expose().as_bytes());
        digest.iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Text of the token.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Claims of an id token. They are read without verifying the signature: trust them only if the token came from the pool
/// over TLS.
#[derive(Clone, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct IdClaims {
    /// Id of the user, a UUID: the `src.ref` of commands.
    pub sub: String,
    /// `cognito:username`; at Mysa the same UUID.
    pub username: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Issuer, the URL of the pool.
    pub iss: String,
    /// App client that the token was issued to.
    pub aud: Option<String>,
    /// `id`.
    pub token_use: Option<String>,
    /// Time of expiry, in Unix seconds by the server's clock.
    pub exp: Option<i64>,
    /// Time of issue, in Unix seconds by the server's clock.
    pub iat: Option<i64>,
    /// Time of the last authentication of the user, in Unix seconds by the server's clock.
    pub auth_time: Option<i64>,
}

impl fmt::Debug for IdClaims {
    /// Omits the user's e-mail address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdClaims")
            .field("sub", &self.sub)
            .field("iss", &self.iss)
            .field("exp", &self.exp)
            .finish_non_exhaustive()
    }
}

impl IdClaims {
    /// Reads the claims of a JSON web token. `None` if it is invalid or has no user or issuer.
    #[must_use]
    pub fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, claims) = (parts.next()?, parts.next()?);
        let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
        let Object(Payload { sub, username, email, iss, aud, token_use, exp, iat, auth_time }) =
            serde_json::from_slice(&claims).ok()?;
        (!sub.is_empty() && !iss.is_empty()).then_some(Self {
            sub,
            username,
            email,
            iss,
            aud,
            token_use,
            exp,
            iat,
            auth_time,
        })
    }

    /// Key in `Logins` of the identity pool: the issuer without its scheme.
    #[must_use]
    pub fn login_key(&self) -> &str {
        self.iss.strip_prefix("https://").unwrap_or(&self.iss)
    }
}

/// Payload of an id token.
#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    sub: String,
    #[serde(rename = "cognito:username")]
    username: Option<String>,
    email: Option<String>,
    #[serde(default)]
    iss: String,
    aud: Option<String>,
    token_use: Option<String>,
    exp: Option<i64>,
    iat: Option<i64>,
    auth_time: Option<i64>,
}

/// `AuthenticationResult` as received.
#[derive(Deserialize)]
pub(crate) struct Issued {
    #[serde(rename = "IdToken", default, deserialize_with = "crate::secret::optional")]
    id: Option<Secret>,
    #[serde(rename = "AccessToken", default, deserialize_with = "crate::secret::optional")]
    access: Option<Secret>,
    #[serde(rename = "RefreshToken", default, deserialize_with = "crate::secret::optional")]
    refresh: Option<Secret>,
    #[serde(rename = "ExpiresIn")]
    expires_in: Option<f64>,
}

impl Issued {
    pub(crate) fn into_tokens(self) -> Result<Tokens, Error> {
        let id = self.id.ok_or(Error::Malformed { field: "IdToken" })?;
        let access = self.access.ok_or(Error::Malformed { field: "AccessToken" })?;
        let claims = IdClaims::read(id.expose()).ok_or(Error::Malformed { field: "IdToken" })?;
        // The default is an hour, which is Cognito's default and the value at Mysa.
        let expires_in = Duration::try_from_secs_f64(self.expires_in.unwrap_or(3_600.0).clamp(0.0, 86_400.0))
            .unwrap_or(Duration::from_secs(3_600));
        let refresh = self.refresh.filter(|token| !token.expose().is_empty()).map(RefreshToken);
        Ok(Tokens { id, access, refresh, expires_in, claims })
    }
}
