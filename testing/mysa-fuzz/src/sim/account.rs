use std::sync::OnceLock;

use mysa_cognito::{Pool, Secret, SignIn, Step};
use mysa_sim::{AccountSpec, ChallengeSpec, Cloud, CloudSpec, HttpRequest, SessionSecret};
use serde_json::{Value, json};

use super::faults::Followed;
use super::{CLIENT, HOSTS, Harness, IDP, WALL, at, tokens_of};
use crate::script::Script;

/// Code that every challenge accepts.
const CODE: &str = "123456";
const INITIATE: &str = "AWSCognitoIdentityProviderService.InitiateAuth";
const RESPOND: &str = "AWSCognitoIdentityProviderService.RespondToAuthChallenge";

/// Adds challenges to all accounts, and the secret by which the next cloud knows the tokens of this one.
pub(super) fn prepare(spec: &mut CloudSpec, choice: u8) {
    if choice & 0x20 != 0 {
        spec.session_secret = Some(SessionSecret::new([5; 32]));
    }
    let challenges = match choice >> 6 {
        0 => vec![],
        1 => vec![ChallengeSpec::Sms(CODE.into())],
        2 => vec![
            ChallengeSpec::Select(vec!["SMS_MFA".into(), "SOFTWARE_TOKEN_MFA".into()]),
            ChallengeSpec::SoftwareToken(CODE.into()),
        ],
        _ => vec![ChallengeSpec::Email(CODE.into()), ChallengeSpec::NewPassword],
    };
    let prepare = |account: &mut AccountSpec| account.challenges = challenges.clone();
    spec.accounts.iter_mut().for_each(prepare);
}

impl Harness {
    pub(super) fn pool() -> Pool {
        Pool::new("us-east-1", "us-east-1_GUFWfhI7g", CLIENT)
    }

    /// Signs in as the demo account to a new cloud. The client's side is constant, so it is computed once.
    pub(super) fn sign_in(&mut self) -> Option<()> {
        static REQUESTS: OnceLock<Option<(String, String)>> = OnceLock::new();
        let (first, second) = REQUESTS.get_or_init(first_sign_in).as_ref()?;
        self.aws(IDP, INITIATE, first)?;
        let (status, body) = self.aws(IDP, RESPOND, second)?;
        self.signed_in_step(status, &body, true);
        Some(())
    }

    /// Signs in with a password, right or wrong. The key exchange takes time, so a script does it four times at most.
    pub(super) fn sign_in_again(&mut self, script: &mut Script<'_>) {
        let is_right = script.flag();
        if self.sign_ins == 4 {
            return;
        }
        self.sign_ins += 1;
        let password = if is_right { self.password.clone() } else { "wrong".into() };
        let pool = Self::pool();
        let (request, wait) = SignIn::start(&pool, CloudSpec::DEMO_EMAIL, Secret::from(password), [3; 32]);
        let Some((status, body)) = self.aws(IDP, request.target, request.body()) else { return };
        let Ok(Step::Continue(request, _)) = wait.reply(status, &body, at(self.mono).wall.as_secs()) else {
            return;
        };
        let Some((status, body)) = self.aws(IDP, request.target, request.body()) else { return };
        self.signed_in_step(status, &body, is_right);
    }

    /// Notes an answer of the user pool. Only a right password or answer leads on.
    pub(super) fn signed_in_step(&mut self, status: u16, body: &[u8], is_right: bool) {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let has = |name: &str| answer.get(name).is_some();
        assert!(is_right || !(has("AuthenticationResult") || has("ChallengeName")), "{answer}");
        if has("ChallengeName") {
            self.challenge = Some(answer);
        } else if let Some(tokens) = tokens_of(&Self::pool(), status, body) {
            self.expires = self.mono + tokens.expires_in;
            self.signed_in = Some((tokens, None));
            self.challenge = None;
        }
    }

    /// Answers the latest challenge, rightly or not.
    pub(super) fn answer_challenge(&mut self, script: &mut Script<'_>) {
        let is_right = script.flag();
        let Some(challenge) = self.challenge.clone() else { return };
        let name = challenge["ChallengeName"].as_str().unwrap_or_default();
        let (key, right, wrong) = match name {
            "SMS_MFA" => ("SMS_MFA_CODE", CODE, "654321"),
            "EMAIL_OTP" => ("EMAIL_OTP_CODE", CODE, ""),
            "SOFTWARE_TOKEN_MFA" => ("SOFTWARE_TOKEN_MFA_CODE", CODE, "123457"),
            "SELECT_MFA_TYPE" => ("ANSWER", "SOFTWARE_TOKEN_MFA", "PASSWORD"),
            _ => ("NEW_PASSWORD", "Correct-Horse-2", "short"),
        };
        let username = &challenge["ChallengeParameters"]["USER_ID_FOR_SRP"];
        let body = json!({
            "ChallengeName": name, "ClientId": CLIENT, "Session": challenge["Session"],
            "ChallengeResponses": { "USERNAME": username, key: if is_right { right } else { wrong } },
        });
        let Some((status, body)) = self.aws(IDP, RESPOND, &body.to_string()) else { return };
        if status == 200 && key == "NEW_PASSWORD" {
            self.password = right.into();
        }
        self.signed_in_step(status, &body, is_right);
    }

    /// Another cloud takes the place of this one. With the same secret it knows the tokens, until they expire.
    pub(super) fn restart(&mut self) {
        self.cloud = Cloud::new(self.spec.clone(), 7, at(self.mono));
        self.streams.clear();
        self.clients.clear();
        self.followed = Followed::default();
        self.challenge = None;
        self.is_disturbed = false;
        self.password = CloudSpec::DEMO_PASSWORD.into();
        let Some((tokens, _)) = &self.signed_in else { return };
        let token = tokens.id.expose();
        let token = if self.bearer { format!("Bearer {token}") } else { token.to_owned() };
        let headers = [("authorization", token.as_str())];
        let request = HttpRequest {
            host: HOSTS[0],
            method: "GET",
            path: "/users",
            query: "",
            headers: &headers,
            body: b"",
        };
        let status = self.http(&request).map(|(status, _)| status);
        let is_known = self.spec.session_secret.is_some() && self.mono < self.expires;
        assert_eq!(status, Some(if is_known { 200 } else { 401 }), "tokens until {:?}", self.expires);
        if self.spec.session_secret.is_none() {
            self.signed_in = None;
        }
    }

    /// A request of a client that has signed in to the user pool.
    pub(super) fn user_pool(&mut self, script: &mut Script<'_>) {
        let Some((tokens, _)) = self.signed_in.clone() else { return };
        let refresh = tokens.refresh.as_ref().map_or("", |token| token.expose());
        let access = tokens.access.expose();
        let (action, body) = match script.byte() % 6 {
            0 => ("GetUser", json!({ "AccessToken": access })),
            1 => ("GlobalSignOut", json!({ "AccessToken": access })),
            2 => ("RevokeToken", json!({ "ClientId": CLIENT, "Token": refresh })),
            3 => ("ConfirmDevice", json!({ "AccessToken": access, "DeviceKey": "us-east-1_x" })),
            4 => ("GetTokensFromRefreshToken", json!({ "ClientId": CLIENT, "RefreshToken": refresh })),
            _ => {
                let parameters = json!({ "REFRESH_TOKEN": refresh });
                (
                    "InitiateAuth",
                    json!({ "ClientId": CLIENT, "AuthFlow": "REFRESH_TOKEN_AUTH", "AuthParameters": parameters }),
                )
            }
        };
        let target = format!("AWSCognitoIdentityProviderService.{action}");
        let Some((status, body)) = self.aws(IDP, &target, &body.to_string()) else { return };
        let pool = Self::pool();
        if let Some(mut new) =
            tokens_of(&pool, status, &body).filter(|_| action.contains("Auth") || action.contains("From"))
        {
            new.refresh = new.refresh.or(tokens.refresh);
            self.expires = self.mono + new.expires_in;
            self.signed_in = Some((new, None));
        }
    }
}

/// Bodies of the two requests by which a client signs in to a new cloud.
fn first_sign_in() -> Option<(String, String)> {
    let password = Secret::from(CloudSpec::DEMO_PASSWORD);
    let (first, wait) = SignIn::start(&Harness::pool(), CloudSpec::DEMO_EMAIL, password, [3; 32]);
    let mut harness = Harness::with(CloudSpec::demo());
    let (status, body) = harness.aws(IDP, INITIATE, first.body())?;
    match wait.reply(status, &body, WALL) {
        Ok(Step::Continue(second, _)) => Some((first.body().to_owned(), second.body().to_owned())),
        _ => None,
    }
}
