use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use mysa_sigv4::Credentials;
use serde_json::{Value, json};

use crate::Now;
use crate::auth::session_secret::Grant;
use crate::auth::token::{TokenIssuer, TokenUse};
use crate::http::Exception;
use crate::rng::Rng;
use crate::spec::{Names, Rules};

/// Permissions of an identity pool's members at the broker.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reach {
    /// Connect, subscribe, publish, receive.
    Full,
    /// Connect and subscribe; publishing and receiving are denied.
    SubscribeOnly,
}

/// Issued AWS credentials.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) credentials: Credentials,
    pub(crate) account: usize,
    pub(crate) reach: Reach,
    pub(crate) expires: Duration,
}

/// The two identity pools.
#[derive(Debug)]
pub(crate) struct IdentityPool {
    identities: BTreeMap<String, (usize, Reach)>,
    lent: BTreeMap<String, Lent>,
    /// Maximum number of `lent`.
    capacity: usize,
    /// Time until which credentials of earlier clouds were revoked, in Unix seconds.
    revoked_until: i64,
    /// Issued credentials.
    pub(crate) grants: u64,
    rng: Rng,
}

/// Maximum number of stored credentials in a cloud of few accounts, and for each account in a larger one; expired ones are
/// removed first.
const REMEMBERED: usize = 1_024;
const REMEMBERED_EACH: usize = 8;

impl IdentityPool {
    pub(crate) fn new(rng: Rng, accounts: usize) -> Self {
        Self {
            identities: BTreeMap::new(),
            lent: BTreeMap::new(),
            capacity: REMEMBERED.max(REMEMBERED_EACH * accounts),
            revoked_until: i64::MIN,
            grants: 0,
            rng,
        }
    }

    pub(crate) fn handle(
        &mut self,
        now: Now,
        action: &str,
        body: &Value,
        tokens: &TokenIssuer,
        names: &Names,
        rules: &Rules,
    ) -> Result<Value, Exception> {
        match action {
            "GetId" => self.identity(now, body, tokens, names),
            "GetCredentialsForIdentity" => self.credentials(now, body, tokens, names, rules),
            _ => Err(Exception::new("UnknownOperationException", "")),
        }
    }

    /// Looks up credentials by their access key id.
    pub(crate) fn lent(&self, access_key_id: &str, now: Duration) -> Option<&Lent> {
        self.lent.get(access_key_id).filter(|lent| now < lent.expires)
    }

    /// Takes over the credentials of an earlier cloud, if the access key id is of one.
    pub(crate) fn find_earlier(
        &mut self,
        now: Now,
        access_key_id: &str,
        tokens: &TokenIssuer,
        life: Duration,
    ) {
        if self.lent.contains_key(access_key_id) {
            return;
        }
        let Some(secret) = tokens.secret() else { return };
        let Some(grant) = secret.grant(access_key_id, tokens.user_ids()) else { return };
        let left = grant.expires.saturating_sub(now.wall.as_secs());
        let issued_at = grant.expires.saturating_sub(i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
        if left <= 0 || issued_at <= self.revoked_until {
            return;
        }
        let (secret_key, token) = secret.secret_key(access_key_id);
        let lent = Lent {
            credentials: Credentials::new(access_key_id, secret_key.as_str(), Some(token.as_str())),
            account: grant.account,
            reach: grant.reach,
            expires: now.mono.saturating_add(Duration::from_secs(left.unsigned_abs())),
        };
        self.keep(now, access_key_id.into(), lent);
    }

    pub(crate) fn expire_all(&mut self, now: Now) {
        for lent in self.lent.values_mut() {
            lent.expires = lent.expires.min(now.mono);
        }
        self.revoked_until = now.wall.as_secs();
    }

    fn keep(&mut self, now: Now, access_key_id: String, lent: Lent) {
        if self.lent.len() >= self.capacity {
            self.lent.retain(|_, lent| now.mono < lent.expires);
            if self.lent.len() >= self.capacity {
                self.lent.pop_first();
            }
        }
        self.lent.insert(access_key_id, lent);
    }

    fn identity(
        &mut self,
        now: Now,
        body: &Value,
        tokens: &TokenIssuer,
        names: &Names,
    ) -> Result<Value, Exception> {
        let pool = body.get("IdentityPoolId").and_then(Value::as_str).unwrap_or_default();
        let reach = if pool == names.legacy_identity_pool {
            Reach::Full
        } else if pool == names.modern_identity_pool {
            Reach::SubscribeOnly
        } else {
            let message = format!("IdentityPool '{pool}' not found.");
            return Err(Exception::new("ResourceNotFoundException", &message));
        };
        let account = signed_in(now, body, tokens, names, reach)?;
        let known = self.identities.iter().find(|(_, of)| **of == (account, reach)).map(|(id, _)| id.clone());
        let drawn = self.rng.uuid();
        let id = known.unwrap_or_else(|| {
            format!("{}:{}", names.region, identity(tokens, account, reach).unwrap_or(drawn))
        });
        self.identities.insert(id.clone(), (account, reach));
        Ok(json!({ "IdentityId": id }))
    }

    fn credentials(
        &mut self,
        now: Now,
        body: &Value,
        tokens: &TokenIssuer,
        names: &Names,
        rules: &Rules,
    ) -> Result<Value, Exception> {
        let id = body.get("IdentityId").and_then(Value::as_str).unwrap_or_default();
        let Some((owner, reach)) =
            self.identities.get(id).copied().or_else(|| earlier_identity(tokens, names, id))
        else {
            return Err(Exception::new("ResourceNotFoundException", &format!("Identity '{id}' not found.")));
        };
        let account = signed_in(now, body, tokens, names, reach)?;
        if account != owner {
            return Err(Exception::not_authorized("Access to Identity is forbidden."));
        }
        // Real secrets and tokens contain characters that a URL must escape, and so do these.
        let mut key = format!("ASIA{}", self.rng.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16));
        let mut secret = self.rng.text(BASE64, 40);
        let mut token =
            format!("IQoJb3JpZ2luX2VjE{}//+=/{}==", self.rng.text(BASE64, 24), self.rng.text(BASE64, 860));
        if let (Some(kept), Some(user_id)) = (tokens.secret(), tokens.user_ids().get(account)) {
            let life = i64::try_from(rules.credential_life.as_secs()).unwrap_or(i64::MAX);
            let grant = Grant { account, reach, expires: now.wall.as_secs().saturating_add(life) };
            key = kept.access_key_id(&grant, user_id, self.rng.next());
            (secret, token) = kept.secret_key(&key);
        }
        self.grants += 1;
        let life = i64::try_from(rules.credential_life.as_millis()).unwrap_or(i64::MAX);
        // A JSON number of seconds with a fraction, so that a client that expects an integer fails here.
        let expiration = now.wall.plus_millis(life).as_millis() as f64 / 1_000.0;
        let answer = json!({
            "Credentials": {
                "AccessKeyId": key, "Expiration": expiration, "SecretKey": secret, "SessionToken": token,
            },
            "IdentityId": id,
        });
        let lent = Lent {
            credentials: Credentials::new(key.as_str(), secret.as_str(), Some(token.as_str())),
            account,
            reach,
            expires: now.mono.saturating_add(rules.credential_life),
        };
        self.keep(now, key, lent);
        Ok(answer)
    }
}

/// UUID of an account's identity in a pool, the same in all clouds with the secret.
fn identity(tokens: &TokenIssuer, account: usize, reach: Reach) -> Option<String> {
    let (secret, user_id) = (tokens.secret()?, tokens.user_ids().get(account)?);
    Some(secret.uuid("identity", &format!("{reach:?} {user_id}")))
}

/// Account and pool of an identity that an earlier cloud has given.
fn earlier_identity(tokens: &TokenIssuer, names: &Names, id: &str) -> Option<(usize, Reach)> {
    let asked = id.strip_prefix(names.region.as_str())?.strip_prefix(':')?;
    let accounts = 0..tokens.user_ids().len();
    accounts
        .flat_map(|account| [(account, Reach::Full), (account, Reach::SubscribeOnly)])
        .find(|(account, reach)| identity(tokens, *account, *reach).as_deref() == Some(asked))
}

/// Account of the single member of `Logins`.
fn signed_in(
    now: Now,
    body: &Value,
    tokens: &TokenIssuer,
    names: &Names,
    reach: Reach,
) -> Result<usize, Exception> {
    let logins = body.get("Logins").and_then(Value::as_object);
    let token = logins.and_then(|logins| logins.get(&names.issuer())).and_then(Value::as_str);
    let Some(token) = token else {
        return Err(Exception::not_authorized(
            "Unauthenticated access is not supported for this identity pool.",
        ));
    };
    let Some(issued) = tokens.check(token, now) else {
        let message =
            if tokens.knows(token) { "Invalid login token. Token expired" } else { "Invalid login token." };
        return Err(Exception::not_authorized(message));
    };
    // The modern pool accepts only tokens of the modern client; the legacy pool accepts both.
    let welcome = reach == Reach::Full || issued.client == names.modern_client;
    if issued.token_use != TokenUse::Id || !welcome {
        return Err(Exception::not_authorized("Invalid login token. Incorrect token audience."));
    }
    Ok(issued.account)
}

const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use mysa_proto::UnixTime;

    use super::*;

    #[test]
    fn a_cloud_of_many_accounts_keeps_the_credentials_of_all() {
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let mut pool = IdentityPool::new(Rng::new(1), 1_000);
        for number in 0..2_000 {
            let key = format!("ASIA{number:04}");
            let lent = Lent {
                credentials: Credentials::new(key.as_str(), "secret", None),
                account: number / 2,
                reach: Reach::Full,
                expires: Duration::from_secs(3_600),
            };
            pool.keep(now, key, lent);
        }
        let kept = |key| pool.lent(key, Duration::ZERO).map(|lent| lent.account);
        assert_eq!((kept("ASIA0000"), kept("ASIA1999")), (Some(0), Some(999)));
    }
}
