//! User pool and app client.

use alloc::format;
use alloc::string::String;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Secret, Service, srp};

/// User pool, with the app client that signs in to it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pool {
    /// AWS region, such as `us-east-1`.
    pub region: String,
    /// Pool id, such as `us-east-1_GUFWfhI7g`.
    pub pool_id: String,
    /// App client id. Refresh tokens are bound to it.
    pub client_id: String,
    /// Secret of the app client. Public clients, such as Mysa's, have none.
    pub client_secret: Option<Secret>,
}

impl Pool {
    /// Pool with a public app client.
    #[must_use]
    pub fn new(region: &str, pool_id: &str, client_id: &str) -> Self {
        Self {
            region: region.into(),
            pool_id: pool_id.into(),
            client_id: client_id.into(),
            client_secret: None,
        }
    }

    /// Pool with a confidential app client, whose requests contain `SECRET_HASH`.
    #[must_use]
    pub fn with_client_secret(self, secret: Secret) -> Self {
        Self { client_secret: Some(secret), ..self }
    }

    /// Part of the pool id after the first `_`, which is an input of the SRP hashes.
    #[must_use]
    pub fn name(&self) -> &str {
        self.pool_id.split_once('_').map_or(&self.pool_id, |(_, name)| name)
    }

    /// Issuer of this pool's tokens, a URL.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("https://{}/{}", Service::UserPool.host(&self.region), self.pool_id)
    }

    /// `SECRET_HASH` for a user name: base64 of HMAC-SHA-256(client secret, user name ‖ client id).
    pub(crate) fn secret_hash(&self, username: &str) -> Option<String> {
        let secret = self.client_secret.as_ref()?;
        let mac = srp::hmac(secret.expose().as_bytes(), &[username.as_bytes(), self.client_id.as_bytes()]);
        Some(STANDARD.encode(mac.as_slice()))
    }
}
