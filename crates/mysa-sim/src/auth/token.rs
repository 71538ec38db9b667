use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Now;
use crate::auth::session_secret::SessionSecret;
use crate::rng::Rng;

/// Signs the tokens of the user pool. This crate has HS256; a server adds RS256, which third-party programs check
/// against the pool's published keys.
pub trait TokenSigner: fmt::Debug + Send {
    /// `kid` of the tokens' header.
    fn key_id(&self) -> &str;

    /// `alg` of the tokens' header.
    fn algorithm(&self) -> &str;

    /// Signature over `header.payload`.
    fn sign(&self, message: &[u8]) -> Vec<u8>;

    /// The document at `/.well-known/jwks.json`.
    fn jwks(&self) -> String;
}

/// HS256 with a private key, for tests in which only the cloud itself checks signatures.
pub(crate) struct HmacSigner {
    key: [u8; 32],
}

impl HmacSigner {
    pub(crate) const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }
}

impl fmt::Debug for HmacSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSigner(..)")
    }
}

impl TokenSigner for HmacSigner {
    fn key_id(&self) -> &'static str {
        "simulated"
    }

    fn algorithm(&self) -> &'static str {
        "HS256"
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        // HMAC accepts a key of any length.
        Hmac::<Sha256>::new_from_slice(&self.key)
            .map(|mut mac| {
                mac.update(message);
                mac.finalize().into_bytes().to_vec()
            })
            .unwrap_or_default()
    }

    fn jwks(&self) -> String {
        json!({ "keys": [] }).to_string()
    }
}

/// Use of a token.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum TokenUse {
    Id,
    Access,
    Refresh,
}

/// An issued token.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) account: usize,
    pub(crate) client: String,
    pub(crate) token_use: TokenUse,
    /// Sign-in that it originates from.
    pub(crate) origin: u64,
    /// Its `exp` claim, seconds since the Unix epoch.
    exp: i64,
    /// `true` if the token was revoked.
    void: bool,
}

/// All issued tokens that may still be valid.
#[derive(Debug)]
pub(crate) struct TokenIssuer {
    signer: Box<dyn TokenSigner>,
    issued: BTreeMap<[u8; 32], Issued>,
    /// Maximum number of `issued`.
    capacity: usize,
    earlier: Option<Earlier>,
}

/// Recognises the tokens of earlier clouds with the same secret.
#[derive(Debug)]
struct Earlier {
    secret: SessionSecret,
    /// User ids of the accounts, in their order.
    user_ids: Vec<String>,
    /// Time until which tokens of an account and a use were revoked, in Unix seconds.
    revoked_until: BTreeMap<(usize, TokenUse), i64>,
    /// `origin_jti` of sign-ins whose refresh tokens were revoked.
    revoked_origins: BTreeSet<String>,
    /// Digests of refresh tokens that were replaced.
    replaced: BTreeSet<[u8; 32]>,
}

/// A refresh token of an earlier cloud.
#[derive(Debug)]
pub(crate) struct EarlierRefresh {
    pub(crate) account: usize,
    pub(crate) client: String,
    pub(crate) origin: u64,
    pub(crate) auth_time: i64,
    pub(crate) device_key: Option<String>,
    /// End of its life, in Unix seconds.
    pub(crate) expires: i64,
}

/// Maximum number of revoked sign-ins and replaced tokens of earlier clouds; the oldest names are forgotten first.
const REVOKED: usize = 4_096;

impl Earlier {
    fn is_revoked(&self, account: usize, token_use: TokenUse, issued_at: i64, origin: &str) -> bool {
        // Id tokens stay valid until they expire, as with AWS.
        let by_origin = token_use != TokenUse::Id && self.revoked_origins.contains(origin);
        by_origin || self.revoked_until.get(&(account, token_use)).is_some_and(|&until| issued_at <= until)
    }

    fn account(&self, user_id: &str) -> Option<usize> {
        self.user_ids.iter().position(|known| known == user_id)
    }

    /// `jti` of a token with these claims.
    fn jti(&self, claims: &Value) -> String {
        let names = ["sub", "aud", "client_id", "token_use", "exp", "iat", "origin_jti", "event_id"];
        let text: Vec<String> =
            names.iter().map(|name| claims.get(*name).map(Value::to_string).unwrap_or_default()).collect();
        self.secret.uuid("jti", &text.join(" "))
    }
}

fn keep<T: Ord>(set: &mut BTreeSet<T>, item: T) {
    if set.len() >= REVOKED {
        set.pop_first();
    }
    set.insert(item);
}

/// Maximum number of stored tokens in a cloud of few accounts, and for each account in a larger one; above it, expired ones
/// are removed.
const REMEMBERED: usize = 4_096;
const REMEMBERED_EACH: usize = 32;

impl TokenIssuer {
    /// `user_ids` are those of the accounts, in their order.
    pub(crate) fn new(
        signer: Box<dyn TokenSigner>,
        secret: Option<SessionSecret>,
        user_ids: Vec<String>,
    ) -> Self {
        let capacity = REMEMBERED.max(REMEMBERED_EACH * user_ids.len());
        let earlier = secret.map(|secret| Earlier {
            secret,
            user_ids,
            revoked_until: BTreeMap::new(),
            revoked_origins: BTreeSet::new(),
            replaced: BTreeSet::new(),
        });
        Self { signer, issued: BTreeMap::new(), capacity, earlier }
    }

    pub(crate) fn secret(&self) -> Option<&SessionSecret> {
        self.earlier.as_ref().map(|earlier| &earlier.secret)
    }

    /// User ids of the accounts, if tokens and credentials of earlier clouds are recognised.
    pub(crate) fn user_ids(&self) -> &[String] {
        self.earlier.as_ref().map_or(&[], |earlier| &earlier.user_ids)
    }

    pub(crate) fn jwks(&self) -> String {
        self.signer.jwks()
    }

    /// Signs `claims` and stores the token. With a secret, the token gets another `jti`.
    pub(crate) fn issue(&mut self, claims: &Value, issued: Issued, now: Now) -> String {
        let mut claims = claims.clone();
        if let Some(earlier) = &self.earlier {
            claims["jti"] = earlier.jti(&claims).into();
        }
        let token = self.signed(&claims);
        if self.issued.len() >= self.capacity {
            self.issued.retain(|_, issued| issued.is_good(now));
            if self.issued.len() >= self.capacity {
                self.issued.pop_first();
            }
        }
        self.issued.insert(digest(&token), issued);
        token
    }

    fn signed(&self, claims: &Value) -> String {
        let header = json!({ "kid": self.signer.key_id(), "alg": self.signer.algorithm() });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.signer.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// Returns the record of `token`, if it was issued here or by an earlier cloud, and its `exp` has not passed.
    pub(crate) fn check(&self, token: &str, now: Now) -> Option<Issued> {
        self.record(token).filter(|issued| issued.is_good(now))
    }

    /// Returns `true` if the token was issued here or by an earlier cloud, expired or not.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.record(token).is_some()
    }

    fn record(&self, token: &str) -> Option<Issued> {
        self.issued.get(&digest(token)).cloned().or_else(|| self.issued_earlier(token))
    }

    fn issued_earlier(&self, token: &str) -> Option<Issued> {
        let earlier = self.earlier.as_ref()?;
        let payload = token.split('.').nth(1)?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let number = |name: &str| claims.get(name).and_then(Value::as_i64);
        // The code is cheap to check, and the signature is not.
        if text("jti")? != earlier.jti(&claims) || self.signed(&claims) != token {
            return None;
        }
        let account = earlier.account(text("sub")?)?;
        let (token_use, client) = match text("token_use")? {
            "id" => (TokenUse::Id, text("aud")?),
            _ => (TokenUse::Access, text("client_id")?),
        };
        if earlier.is_revoked(account, token_use, number("iat")?, text("origin_jti")?) {
            return None;
        }
        Some(Issued::new(account, client, token_use, 0, number("exp")?))
    }

    /// A refresh token that later clouds with the same secret recognise; `None` without a secret.
    pub(crate) fn refresh_token(&self, token: &EarlierRefresh, noise: &str, now: Now) -> Option<String> {
        let earlier = self.earlier.as_ref()?;
        let content = json!({
            "sub": earlier.user_ids.get(token.account)?, "client": token.client, "origin": token.origin,
            "auth_time": token.auth_time, "device": token.device_key, "exp": token.expires, "iat": now.wall.as_secs(),
            "noise": noise,
        });
        Some(earlier.secret.close("refresh", &content))
    }

    /// Returns the content of a refresh token of an earlier cloud, if it is not revoked.
    pub(crate) fn earlier_refresh(&self, token: &str) -> Option<EarlierRefresh> {
        let earlier = self.earlier.as_ref().filter(|earlier| !earlier.replaced.contains(&digest(token)))?;
        let content = earlier.secret.open("refresh", token)?;
        let text = |name: &str| content.get(name).and_then(Value::as_str);
        let number = |name: &str| content.get(name).and_then(Value::as_i64);
        let account = earlier.account(text("sub")?)?;
        let origin = content.get("origin").and_then(Value::as_u64)?;
        if earlier.is_revoked(account, TokenUse::Refresh, number("iat")?, &origin_jti(origin)) {
            return None;
        }
        Some(EarlierRefresh {
            account,
            client: text("client")?.into(),
            origin,
            auth_time: number("auth_time")?,
            device_key: text("device").map(Into::into),
            expires: number("exp")?,
        })
    }

    /// Notes that a refresh token was replaced, so that it is not taken for one of an earlier cloud.
    pub(crate) fn replace_refresh(&mut self, token: &str) {
        if let Some(earlier) = &mut self.earlier {
            keep(&mut earlier.replaced, digest(token));
        }
    }

    /// Revokes the access tokens of a sign-in.
    pub(crate) fn revoke_origin(&mut self, origin: u64) {
        self.issued.retain(|_, issued| issued.origin != origin || issued.token_use != TokenUse::Access);
        if let Some(earlier) = &mut self.earlier {
            keep(&mut earlier.revoked_origins, origin_jti(origin));
        }
    }

    /// Revokes the tokens of an account that have one of these uses.
    pub(crate) fn revoke_account(&mut self, account: usize, uses: &[TokenUse], now: Now) {
        self.issued.retain(|_, issued| issued.account != account || !uses.contains(&issued.token_use));
        if let Some(earlier) = &mut self.earlier {
            let until = now.wall.as_secs();
            earlier.revoked_until.extend(uses.iter().map(|&token_use| ((account, token_use), until)));
        }
    }

    /// Revokes all id and access tokens. A client cannot predict this, because `exp` is in the future.
    pub(crate) fn expire_all(&mut self, now: Now) {
        for issued in self.issued.values_mut() {
            issued.void = true;
        }
        if let Some(earlier) = &mut self.earlier {
            for account in 0..earlier.user_ids.len() {
                for token_use in [TokenUse::Id, TokenUse::Access] {
                    earlier.revoked_until.insert((account, token_use), now.wall.as_secs());
                }
            }
        }
    }
}

impl Issued {
    pub(crate) fn new(account: usize, client: &str, token_use: TokenUse, origin: u64, exp: i64) -> Self {
        Self { account, client: client.to_string(), token_use, origin, exp, void: false }
    }

    const fn is_good(&self, now: Now) -> bool {
        now.wall.as_secs() < self.exp && !self.void
    }
}

/// `origin_jti` of the tokens of a sign-in.
pub(crate) fn origin_jti(origin: u64) -> String {
    Rng::new(origin).uuid()
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use mysa_proto::UnixTime;

    use super::*;

    #[test]
    fn a_cloud_of_many_accounts_keeps_the_tokens_of_all() {
        let now = Now { mono: core::time::Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let signer = Box::new(HmacSigner::new([7; 32]));
        let mut issuer = TokenIssuer::new(signer, None, vec![String::new(); 1_000]);
        let tokens: Vec<String> = (0..5_000)
            .map(|number| {
                let issued = Issued::new(number / 5, "client", TokenUse::Id, 1, now.wall.as_secs() + 60);
                issuer.issue(&json!({ "sub": number }), issued, now)
            })
            .collect();
        assert!(tokens.iter().all(|token| issuer.check(token, now).is_some()));
    }
}
