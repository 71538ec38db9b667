use alloc::collections::BTreeMap;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mysa_cognito::server::{ClaimError, Exchange};
use serde_json::{Value, json};

use crate::Now;
use crate::auth::account::Account;
use crate::auth::token::{EarlierRefresh, Issued, TokenIssuer, TokenUse, origin_jti};
use crate::http::Exception;
use crate::rng::Rng;
use crate::spec::{AccountStatus, ChallengeSpec, Names, Rules};

/// The user pool: sign-in, challenges and tokens.
#[derive(Debug)]
pub(crate) struct UserPool {
    pub(crate) accounts: Vec<Account>,
    pub(crate) tokens: TokenIssuer,
    /// Number of started sign-ins by password, and of token refreshes.
    pub(crate) sign_ins: u64,
    pub(crate) refreshes: u64,
    pub(crate) wrong_passwords: u64,
    exchanges: VecDeque<Claimed>,
    sessions: VecDeque<Pending>,
    refresh: BTreeMap<String, Refresh>,
    window: (u64, u32),
    origins: u64,
    rng: Rng,
}

#[derive(Debug)]
struct Claimed {
    block: String,
    account: usize,
    client: String,
    exchange: Exchange,
    until: Duration,
}

#[derive(Debug)]
struct Pending {
    session: String,
    account: usize,
    client: String,
    step: usize,
    tries: u32,
    until: Duration,
}

#[derive(Debug)]
struct Refresh {
    account: usize,
    client: String,
    origin: u64,
    auth_time: i64,
    /// Key of the device that signed in, if the pool remembers devices.
    device: Option<Device>,
    until: Duration,
}

/// A remembered device.
#[derive(Clone, Debug)]
struct Device {
    key: String,
    /// `true` after ConfirmDevice.
    confirmed: bool,
}

/// Maximum number of stored SRP exchanges, and of challenge sessions.
const EXCHANGES: usize = 64;
/// Maximum number of stored refresh tokens in a cloud of few accounts, and for each account in a larger one.
const REFRESH_TOKENS: usize = 1_024;
const REFRESH_TOKENS_EACH: usize = 8;
const CHALLENGE_LIFE: Duration = Duration::from_secs(180);

type Answer = Result<Value, Exception>;

impl UserPool {
    pub(crate) fn new(accounts: Vec<Account>, tokens: TokenIssuer, rng: Rng, now: Now) -> Self {
        // Sign-ins of earlier clouds have other numbers.
        let first = tokens.secret().map_or(0, |_| now.wall.as_secs().max(0).unsigned_abs() << 20);
        Self {
            accounts,
            tokens,
            sign_ins: 0,
            refreshes: 0,
            wrong_passwords: 0,
            exchanges: VecDeque::new(),
            sessions: VecDeque::new(),
            refresh: BTreeMap::new(),
            window: (0, 0),
            origins: first,
            rng,
        }
    }

    /// Handles one action of the service.
    pub(crate) fn handle(
        &mut self,
        now: Now,
        action: &str,
        body: &Value,
        names: &Names,
        rules: &Rules,
    ) -> Answer {
        let second = now.mono.as_secs();
        self.window =
            if self.window.0 == second { (second, self.window.1.saturating_add(1)) } else { (second, 1) };
        if self.window.1 > rules.sign_in_rate {
            return Err(Exception::new("TooManyRequestsException", "Too many requests"));
        }
        let pool = Pool { now, names, rules };
        match action {
            "InitiateAuth" => self.initiate(&pool, body),
            "RespondToAuthChallenge" => self.respond(&pool, body),
            "GetTokensFromRefreshToken" => self.renew(&pool, body, text(body, "RefreshToken"), "", true),
            "ConfirmDevice" => self.confirm_device(&pool, body),
            "RevokeToken" => self.revoke(&pool, body),
            "GlobalSignOut" => self.sign_out(&pool, body),
            "GetUser" => self.user(&pool, body),
            _ => Err(Exception::new("UnknownOperationException", "")),
        }
    }

    /// Revokes all tokens of an account. Returns its index.
    pub(crate) fn void_account(&mut self, name: &str, now: Now) -> Option<usize> {
        let account = self.accounts.iter().position(|account| account.is_called(name))?;
        self.tokens.revoke_account(account, &[TokenUse::Id, TokenUse::Access, TokenUse::Refresh], now);
        self.refresh.retain(|_, refresh| refresh.account != account);
        Some(account)
    }

    fn initiate(&mut self, pool: &Pool<'_>, body: &Value) -> Answer {
        let parameters = body.get("AuthParameters").unwrap_or(&Value::Null);
        match text(body, "AuthFlow") {
            "USER_SRP_AUTH" => self.begin(pool, body, parameters),
            "REFRESH_TOKEN_AUTH" | "REFRESH_TOKEN" => {
                let device_key = text(parameters, "DEVICE_KEY");
                self.renew(pool, body, text(parameters, "REFRESH_TOKEN"), device_key, false)
            }
            "USER_PASSWORD_AUTH" | "CUSTOM_AUTH" | "USER_AUTH" => {
                Err(Exception::invalid("USER_PASSWORD_AUTH flow not enabled for this client"))
            }
            _ => Err(Exception::invalid("Missing required parameter AuthFlow")),
        }
    }

    fn begin(&mut self, pool: &Pool<'_>, body: &Value, parameters: &Value) -> Answer {
        let client = pool.client(body)?;
        self.sign_ins += 1;
        let username = text(parameters, "USERNAME");
        let Some(index) = self.accounts.iter().position(|account| account.is_called(username)) else {
            return Err(Exception::new("UserNotFoundException", "User does not exist."));
        };
        let random = self.rng.bytes(32);
        let block = STANDARD.encode(self.rng.bytes(192));
        let account = &mut self.accounts[index];
        match account.status {
            AccountStatus::Unconfirmed => {
                return Err(Exception::new("UserNotConfirmedException", "User is not confirmed."));
            }
            AccountStatus::ResetRequired => {
                let message = "Password reset required for the user";
                return Err(Exception::new("PasswordResetRequiredException", message));
            }
            AccountStatus::Confirmed => {}
        }
        if account.is_locked(pool.now.mono) {
            return Err(Exception::not_authorized("Password attempts exceeded"));
        }
        let user_id = account.user_id.clone();
        let pool_name = pool.name();
        let internal = || Exception::new("InternalErrorException", "the account cannot be used");
        let verifier = account.verifier(pool_name).ok_or_else(internal)?;
        let exchange = verifier
            .challenge(text(parameters, "SRP_A"), &random)
            .map_err(|_| Exception::invalid("Incorrect SRP_A"))?;
        let answer = json!({
            "ChallengeName": "PASSWORD_VERIFIER",
            "ChallengeParameters": {
                "SALT": verifier.salt(),
                "SECRET_BLOCK": block,
                "SRP_B": exchange.public_hex(),
                "USERNAME": user_id,
                "USER_ID_FOR_SRP": user_id,
            }
        });
        keep(
            &mut self.exchanges,
            Claimed { block, account: index, client, exchange, until: pool.now.mono + CHALLENGE_LIFE },
        );
        Ok(answer)
    }

    fn respond(&mut self, pool: &Pool<'_>, body: &Value) -> Answer {
        let client = pool.client(body)?;
        let responses = body.get("ChallengeResponses").unwrap_or(&Value::Null);
        match text(body, "ChallengeName") {
            "PASSWORD_VERIFIER" => self.claim(pool, client, responses),
            "" => Err(Exception::invalid("Missing required parameter ChallengeName")),
            name => self.answer(pool, &client, name, text(body, "Session"), responses),
        }
    }

    fn claim(&mut self, pool: &Pool<'_>, client: String, responses: &Value) -> Answer {
        let refused = || Exception::not_authorized("Incorrect username or password.");
        let block = text(responses, "PASSWORD_CLAIM_SECRET_BLOCK");
        let found =
            self.exchanges.iter().position(|claimed| claimed.block == block && claimed.client == client);
        // Each exchange accepts one claim; otherwise passwords could be guessed with one B.
        let claimed = found.and_then(|at| self.exchanges.remove(at)).ok_or_else(refused)?;
        let account = &mut self.accounts[claimed.account];
        if pool.now.mono >= claimed.until || !account.is_called(text(responses, "USERNAME")) {
            return Err(refused());
        }
        if account.is_locked(pool.now.mono) {
            return Err(Exception::not_authorized("Password attempts exceeded"));
        }
        let (stamp, signature) = (text(responses, "TIMESTAMP"), text(responses, "PASSWORD_CLAIM_SIGNATURE"));
        match claimed.exchange.check(block, stamp, signature, pool.now.wall.as_secs()) {
            Ok(()) => account.succeed(),
            Err(ClaimError::BadTimestamp | ClaimError::BadEncoding) => {
                return Err(Exception::invalid(
                    "TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english.",
                ));
            }
            Err(error) => {
                if error == ClaimError::WrongSignature {
                    self.wrong_passwords += 1;
                    account.fail(pool.now.mono);
                }
                return Err(refused());
            }
        }
        self.ask(pool, claimed.account, client, 0)
    }

    /// Returns the account's next challenge, or tokens.
    fn ask(&mut self, pool: &Pool<'_>, account: usize, client: String, step: usize) -> Answer {
        let Some(challenge) = self.accounts[account].challenges.get(step) else {
            // All tokens of one sign-in have the same origin, so that a revocation affects exactly these.
            let origin = self.new_origin();
            let device = pool.rules.device_keys.then(|| {
                let key = format!("{}_{}", pool.names.region, self.rng.uuid());
                Device { key, confirmed: false }
            });
            let auth_time = pool.now.wall.as_secs();
            let token = self.new_refresh(pool, account, &client, origin, auth_time, device.clone());
            let mut answer = self.tokens(pool, account, &client, origin, auth_time, Some(token));
            if let Some(device) = device {
                answer["AuthenticationResult"]["NewDeviceMetadata"] = json!({ "DeviceKey": device.key, "DeviceGroupKey": format!("-{}", self.rng.text(SESSION_ALPHABET, 8)) });
            }
            return Ok(answer);
        };
        let mut parameters = json!({ "USER_ID_FOR_SRP": self.accounts[account].user_id });
        let name = challenge_name(challenge);
        let extra = match challenge {
            ChallengeSpec::Sms(_) => json!({
                "CODE_DELIVERY_DELIVERY_MEDIUM": "SMS", "CODE_DELIVERY_DESTINATION": "+*******0000"
            }),
            ChallengeSpec::Email(_) => json!({
                "CODE_DELIVERY_DELIVERY_MEDIUM": "EMAIL", "CODE_DELIVERY_DESTINATION": "u***@e***"
            }),
            ChallengeSpec::SoftwareToken(_) => json!({ "FRIENDLY_DEVICE_NAME": "phone" }),
            ChallengeSpec::Select(choices) => json!({ "MFAS_CAN_CHOOSE": json!(choices).to_string() }),
            ChallengeSpec::NewPassword => json!({ "requiredAttributes": "[]", "userAttributes": "{}" }),
            ChallengeSpec::Other(_) => json!({}),
        };
        if let (Some(parameters), Value::Object(extra)) = (parameters.as_object_mut(), extra) {
            parameters.extend(extra);
        }
        let session = self.rng.text(SESSION_ALPHABET, 240);
        let answer = json!({ "ChallengeName": name, "Session": session, "ChallengeParameters": parameters });
        let until = pool.now.mono + CHALLENGE_LIFE;
        keep(&mut self.sessions, Pending { session, account, client, step, tries: 0, until });
        Ok(answer)
    }

    fn answer(
        &mut self,
        pool: &Pool<'_>,
        client: &str,
        name: &str,
        session: &str,
        responses: &Value,
    ) -> Answer {
        let stale = || Exception::not_authorized("Invalid session for the user.");
        let at = self.sessions.iter().position(|pending| pending.session == session).ok_or_else(stale)?;
        let pending = &mut self.sessions[at];
        if pool.now.mono >= pending.until || pending.client != client {
            return Err(Exception::not_authorized("Invalid session for the user, session is expired."));
        }
        let account = &mut self.accounts[pending.account];
        let challenge = account.challenges.get(pending.step).ok_or_else(stale)?;
        if challenge_name(challenge) != name || !account.is_called(text(responses, "USERNAME")) {
            return Err(stale());
        }
        let right = match challenge {
            ChallengeSpec::Sms(code) => text(responses, "SMS_MFA_CODE") == code,
            ChallengeSpec::Email(code) => text(responses, "EMAIL_OTP_CODE") == code,
            ChallengeSpec::SoftwareToken(code) => text(responses, "SOFTWARE_TOKEN_MFA_CODE") == code,
            ChallengeSpec::Select(choices) => {
                choices.iter().any(|choice| text(responses, "ANSWER") == choice)
            }
            ChallengeSpec::NewPassword => {
                let password = text(responses, "NEW_PASSWORD");
                if password.len() < 8 {
                    let message = "Password does not conform to policy: Password not long enough";
                    return Err(Exception::new("InvalidPasswordException", message));
                }
                account.set_password(password);
                true
            }
            ChallengeSpec::Other(_) => false,
        };
        if !right {
            pending.tries += 1;
            if pending.tries >= 3 {
                self.sessions.remove(at);
                return Err(stale());
            }
            return Err(Exception::new("CodeMismatchException", "Invalid code received for user"));
        }
        let (account, step) = (pending.account, pending.step + 1);
        self.sessions.remove(at);
        self.ask(pool, account, client.into(), step)
    }

    /// Takes over a refresh token of an earlier cloud.
    fn find_earlier(&mut self, pool: &Pool<'_>, token: &str) {
        if self.refresh.contains_key(token) {
            return;
        }
        let Some(found) = self.tokens.earlier_refresh(token) else { return };
        let left = found.expires.saturating_sub(pool.now.wall.as_secs());
        let until = pool.now.mono.saturating_add(Duration::from_secs(left.max(0).unsigned_abs()));
        let EarlierRefresh { account, client, origin, auth_time, device_key, .. } = found;
        // Whether it was confirmed is not in the token.
        let device = device_key.map(|key| Device { key, confirmed: true });
        self.keep_refresh(pool, token.into(), Refresh { account, client, origin, auth_time, device, until });
    }

    /// Confirms a device, which the pool then remembers. Its password is not checked, since no client signs in by it.
    fn confirm_device(&mut self, pool: &Pool<'_>, body: &Value) -> Answer {
        let account = self.bearer(pool, body)?;
        let key = text(body, "DeviceKey");
        let mut found = false;
        for refresh in self.refresh.values_mut().filter(|refresh| refresh.account == account) {
            if let Some(device) = refresh.device.as_mut().filter(|device| device.key == key) {
                device.confirmed = true;
                found = true;
            }
        }
        if !found {
            return Err(Exception::new("ResourceNotFoundException", "Device does not exist."));
        }
        Ok(json!({ "UserConfirmationNecessary": false }))
    }

    fn renew(
        &mut self,
        pool: &Pool<'_>,
        body: &Value,
        token: &str,
        device_key: &str,
        modern: bool,
    ) -> Answer {
        let client = pool.client(body)?;
        self.refreshes += 1;
        if pool.rules.rotation && !modern {
            return Err(Exception::not_authorized("Refresh token rotation is enabled for this client."));
        }
        self.find_earlier(pool, token);
        let Some(found) = self.refresh.get(token) else {
            return Err(Exception::not_authorized("Invalid Refresh Token"));
        };
        if found.client != client {
            return Err(Exception::not_authorized("Invalid Refresh Token."));
        }
        if pool.now.mono >= found.until {
            return Err(Exception::not_authorized("Refresh Token has expired"));
        }
        let sent = if modern { text(body, "DeviceKey") } else { device_key };
        if found.device.as_ref().is_some_and(|device| !device.confirmed || device.key != sent) {
            return Err(Exception::not_authorized("Invalid Refresh Token."));
        }
        let (account, origin, auth_time, device) =
            (found.account, found.origin, found.auth_time, found.device.clone());
        let mut fresh = None;
        if pool.rules.rotation {
            self.refresh.remove(token);
            self.tokens.replace_refresh(token);
            fresh = Some(self.new_refresh(pool, account, &client, origin, auth_time, device));
        }
        Ok(self.tokens(pool, account, &client, origin, auth_time, fresh))
    }

    fn revoke(&mut self, pool: &Pool<'_>, body: &Value) -> Answer {
        let client = pool.client(body)?;
        self.find_earlier(pool, text(body, "Token"));
        if let Some(found) = self.refresh.get(text(body, "Token")) {
            if found.client != client {
                return Err(Exception::new("UnauthorizedException", "Token was not issued to this client."));
            }
            let origin = found.origin;
            self.refresh.retain(|_, refresh| refresh.origin != origin);
            // Access tokens are revoked with the refresh token; id tokens stay valid until they expire, as with AWS.
            self.tokens.revoke_origin(origin);
        }
        Ok(json!({}))
    }

    fn sign_out(&mut self, pool: &Pool<'_>, body: &Value) -> Answer {
        let account = self.bearer(pool, body)?;
        self.refresh.retain(|_, refresh| refresh.account != account);
        self.tokens.revoke_account(account, &[TokenUse::Access, TokenUse::Refresh], pool.now);
        Ok(json!({}))
    }

    fn user(&self, pool: &Pool<'_>, body: &Value) -> Answer {
        let account = &self.accounts[self.bearer(pool, body)?];
        Ok(json!({
            "Username": account.user_id,
            "UserAttributes": [
                { "Name": "sub", "Value": account.user_id },
                { "Name": "email_verified", "Value": "true" },
                { "Name": "email", "Value": account.email },
            ],
        }))
    }

    fn bearer(&self, pool: &Pool<'_>, body: &Value) -> Result<usize, Exception> {
        self.tokens
            .check(text(body, "AccessToken"), pool.now)
            .filter(|issued| issued.token_use == TokenUse::Access)
            .map(|issued| issued.account)
            .ok_or_else(|| Exception::not_authorized("Access Token has been revoked"))
    }

    const fn new_origin(&mut self) -> u64 {
        self.origins += 1;
        self.origins
    }

    fn new_refresh(
        &mut self,
        pool: &Pool<'_>,
        account: usize,
        client: &str,
        origin: u64,
        auth_time: i64,
        device: Option<Device>,
    ) -> String {
        let noise = format!("ey{}", self.rng.text(SESSION_ALPHABET, 600));
        let until = pool.now.mono.saturating_add(pool.rules.refresh_life);
        let life = i64::try_from(pool.rules.refresh_life.as_secs()).unwrap_or(i64::MAX);
        let content = EarlierRefresh {
            account,
            client: client.into(),
            origin,
            auth_time,
            device_key: device.as_ref().map(|device| device.key.clone()),
            expires: pool.now.wall.as_secs().saturating_add(life),
        };
        let token = self.tokens.refresh_token(&content, &noise, pool.now).unwrap_or(noise);
        let kept = Refresh { account, client: client.into(), origin, auth_time, device, until };
        self.keep_refresh(pool, token.clone(), kept);
        token
    }

    fn keep_refresh(&mut self, pool: &Pool<'_>, token: String, kept: Refresh) {
        let capacity = REFRESH_TOKENS.max(REFRESH_TOKENS_EACH * self.accounts.len());
        if self.refresh.len() >= capacity {
            self.refresh.retain(|_, refresh| pool.now.mono < refresh.until);
            if self.refresh.len() >= capacity {
                self.refresh.pop_first();
            }
        }
        self.refresh.insert(token, kept);
    }

    fn tokens(
        &mut self,
        pool: &Pool<'_>,
        account: usize,
        client: &str,
        origin: u64,
        auth_time: i64,
        refresh: Option<String>,
    ) -> Value {
        let life = pool.rules.token_life;
        let now = pool.now.wall.as_secs();
        let exp = now.saturating_add(i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
        let issuer = format!("https://{}", pool.names.issuer());
        let (event, jti, jti2) = (self.rng.uuid(), self.rng.uuid(), self.rng.uuid());
        let origin_jti = origin_jti(origin);
        let Account { user_id, email, .. } = &self.accounts[account];
        let id = json!({
            "sub": user_id, "email_verified": true, "iss": issuer, "cognito:username": user_id,
            "origin_jti": origin_jti, "aud": client, "event_id": event, "token_use": "id", "auth_time": auth_time,
            "exp": exp, "iat": now, "jti": jti, "email": email,
        });
        let access = json!({
            "sub": user_id, "iss": issuer, "client_id": client, "origin_jti": origin_jti, "event_id": event,
            "token_use": "access", "scope": "aws.cognito.signin.user.admin", "auth_time": auth_time, "exp": exp,
            "iat": now, "jti": jti2, "username": user_id,
        });
        let issued = |token_use| Issued::new(account, client, token_use, origin, exp);
        let id = self.tokens.issue(&id, issued(TokenUse::Id), pool.now);
        let access = self.tokens.issue(&access, issued(TokenUse::Access), pool.now);
        let mut result = json!({
            "AccessToken": access, "ExpiresIn": life.as_secs(), "IdToken": id, "TokenType": "Bearer",
        });
        if let (Some(refresh), Some(result)) = (refresh, result.as_object_mut()) {
            result.insert("RefreshToken".into(), json!(refresh));
        }
        json!({ "AuthenticationResult": result, "ChallengeParameters": {} })
    }
}

/// Arguments of every action.
struct Pool<'a> {
    now: Now,
    names: &'a Names,
    rules: &'a Rules,
}

impl Pool<'_> {
    /// Returns the app client of a request, if it is one of the pool's two.
    fn client(&self, body: &Value) -> Result<String, Exception> {
        let client = text(body, "ClientId");
        if client == self.names.legacy_client || client == self.names.modern_client {
            return Ok(client.to_string());
        }
        let message = format!("User pool client {client} does not exist.");
        Err(Exception::new("ResourceNotFoundException", &message))
    }

    /// Part of the pool's id that is hashed with a password.
    fn name(&self) -> &str {
        self.names.user_pool.split_once('_').map_or(&*self.names.user_pool, |(_, name)| name)
    }
}

fn challenge_name(challenge: &ChallengeSpec) -> &str {
    match challenge {
        ChallengeSpec::Sms(_) => "SMS_MFA",
        ChallengeSpec::Email(_) => "EMAIL_OTP",
        ChallengeSpec::SoftwareToken(_) => "SOFTWARE_TOKEN_MFA",
        ChallengeSpec::Select(_) => "SELECT_MFA_TYPE",
        ChallengeSpec::NewPassword => "NEW_PASSWORD_REQUIRED",
        ChallengeSpec::Other(name) => name,
    }
}

const SESSION_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn keep<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == EXCHANGES {
        queue.pop_front();
    }
    queue.push_back(item);
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;

    use mysa_proto::UnixTime;

    use super::*;
    use crate::auth::token::HmacSigner;

    #[test]
    fn a_pool_of_many_accounts_keeps_the_refresh_tokens_of_all() {
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let (names, rules) = (Names::default(), Rules::default());
        let account =
            |number| Account::new(format!("{number}@b"), format!("{number}"), "p".into(), "00".into());
        let issuer = TokenIssuer::new(Box::new(HmacSigner::new([7; 32])), None, Vec::new());
        let mut users = UserPool::new((0..1_000).map(account).collect(), issuer, Rng::new(1), now);
        let pool = Pool { now, names: &names, rules: &rules };
        for number in 0..2_000 {
            let refresh = Refresh {
                account: number / 2,
                client: names.legacy_client.clone(),
                origin: 1,
                auth_time: 0,
                device: None,
                until: Duration::from_secs(60),
            };
            users.keep_refresh(&pool, format!("{number:04}"), refresh);
        }
        let renewed = (0..2_000).filter(|number| users.refresh.contains_key(&format!("{number:04}")));
        assert_eq!(renewed.count(), 2_000);
    }
}
