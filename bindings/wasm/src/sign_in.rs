use mysa_cognito::{
    AwaitAnswer, AwaitChallenge, AwaitCredentials, AwaitIdentity, AwaitTokens, AwsCredentials, Challenge,
    HttpRequest, Recovery, RefreshFlow, RefreshToken, Secret, Service, Step, Tokens, get_credentials, get_id,
    refresh,
};
use mysa_session::Environment;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{error, sign_in_error};
use crate::value::{bytes, object, seconds, set, set_some};

/// Sign-in to an account, step by step: send `request`, pass its answer to `reply`, until `done`.
///
/// The password is never sent (SRP). Nothing is fetched here:
///
/// ```js
/// const signIn = new SignIn(email, password, crypto.getRandomValues(new Uint8Array(32)));
/// while (!signIn.done) {
///   if (signIn.challenge) {
///     signIn.answer(prompt(`Code sent to ${signIn.challenge.destination}`));
///     continue;
///   }
///   const request = signIn.request;
///   const answer = await fetch(request.url, request);
///   signIn.reply(answer.status, await answer.text(), Date.now());
/// }
/// signIn.tokens; signIn.credentials;
/// ```
#[wasm_bindgen]
#[allow(missing_debug_implementations, reason = "it holds a password and tokens")]
pub struct SignIn {
    environment: Environment,
    stage: Stage,
    request: Option<HttpRequest>,
    /// The last challenge: after a wrong code it can be answered again.
    challenge: Option<Challenge>,
    tokens: Option<Tokens>,
    refresh_token: Option<String>,
    identity: Option<String>,
    credentials: Option<AwsCredentials>,
}

enum Stage {
    Challenge(Box<AwaitChallenge>),
    Answer(AwaitAnswer),
    /// A person must answer `challenge`.
    Person,
    Tokens(AwaitTokens),
    Identity(AwaitIdentity),
    Credentials(AwaitCredentials),
    Done,
    Failed,
}

#[wasm_bindgen]
impl SignIn {
    /// Begins with a password. `entropy` is 32 bytes of `crypto.getRandomValues`, never used twice.
    ///
    /// @throws if `entropy` is not 32 random bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(email: &str, password: &str, entropy: &[u8]) -> Result<SignIn, JsValue> {
        let entropy: [u8; 32] = entropy.try_into().map_err(|_| {
            error(format!(
                "invalid entropy of {} bytes: expected crypto.getRandomValues(new Uint8Array(32))",
                entropy.len()
            ))
        })?;
        if entropy == [0; 32] {
            return Err(error("invalid entropy: all bytes are zero; fill them by crypto.getRandomValues"));
        }
        let environment = Environment::mysa();
        let (request, step) =
            mysa_cognito::SignIn::start(&environment.pool, email, Secret::from(password), entropy);
        Ok(Self::begin(environment, request, Stage::Challenge(Box::new(step)), None, None))
    }

    /// Begins with the refresh token of an earlier sign-in, and its `identityId` if it was stored.
    pub fn renew(
        #[wasm_bindgen(js_name = refreshToken)] refresh_token: &str,
        #[wasm_bindgen(js_name = identityId)] identity_id: Option<String>,
    ) -> SignIn {
        let environment = Environment::mysa();
        let token = RefreshToken::new(Secret::from(refresh_token));
        let (request, step) = refresh(&environment.pool, &token, RefreshFlow::InitiateAuth);
        Self::begin(environment, request, Stage::Tokens(step), Some(refresh_token.to_owned()), identity_id)
    }

    /// The request to send now. `undefined` if a person must answer the challenge, and at the end.
    #[wasm_bindgen(getter, unchecked_return_type = "HttpRequest | undefined")]
    pub fn request(&self) -> JsValue {
        let Some(request) = &self.request else { return JsValue::UNDEFINED };
        let (fetched, headers) = (object(), object());
        let url = match request.service {
            Service::UserPool => &self.environment.user_pool_url,
            Service::IdentityPool => &self.environment.identity_pool_url,
        };
        for (name, value) in request.headers() {
            set(&headers, name, value);
        }
        set(&fetched, "url", format!("{url}/"));
        set(&fetched, "method", "POST");
        set(&fetched, "headers", headers);
        set(&fetched, "body", request.body());
        fetched
    }

    /// Passes the answer to `request`: status, body and the time, `Date.now()`.
    ///
    /// If there was no answer, send the same request again.
    ///
    /// @throws {MysaError} if the service refuses; `recovery` says what to do. After a wrong code, `challenge` can be
    /// answered again; after any other error, begin anew.
    pub fn reply(
        &mut self,
        status: u16,
        #[wasm_bindgen(unchecked_param_type = "string | Uint8Array | ArrayBuffer")] body: &JsValue,
        now: f64,
    ) -> Result<(), JsValue> {
        let (body, now) = (bytes(body)?, seconds(now)?);
        if self.request.take().is_none() {
            return Err(error("no request waits for an answer"));
        }
        let result = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Challenge(step) => step.reply(status, &body, now).map(|step| self.step(step)),
            Stage::Answer(step) => step.reply(status, &body).map(|step| self.step(step)),
            Stage::Tokens(step) => step.reply(status, &body).map(|tokens| self.signed_in(tokens)),
            Stage::Identity(step) => step.reply(status, &body).map(|identity| self.identified(identity)),
            Stage::Credentials(step) => step.reply(status, &body).map(|credentials| {
                self.credentials = Some(credentials);
                self.stage = Stage::Done;
                Ok(())
            }),
            Stage::Person | Stage::Done | Stage::Failed => return Err(error("the sign-in has ended")),
        };
        match result {
            Ok(next) => next,
            Err(cause) => {
                if cause.recovery() == Recovery::AskForCode && self.challenge.is_some() {
                    self.stage = Stage::Person;
                }
                Err(sign_in_error(&cause))
            }
        }
    }

    /// Question for a person. `undefined` if there is none.
    #[wasm_bindgen(getter, unchecked_return_type = "Challenge | undefined")]
    pub fn challenge(&self) -> JsValue {
        let (Stage::Person, Some(challenge)) = (&self.stage, &self.challenge) else {
            return JsValue::UNDEFINED;
        };
        let asked = object();
        set(&asked, "kind", challenge.kind.name());
        set_some(&asked, "destination", challenge.destination.as_deref());
        set(&asked, "choices", challenge.choices.clone());
        asked
    }

    /// Answers the challenge with a code or one of its choices. The next `request` sends it.
    ///
    /// @throws if nothing was asked.
    pub fn answer(&mut self, answer: &str) -> Result<(), JsValue> {
        let (Stage::Person, Some(challenge)) = (&self.stage, &self.challenge) else {
            return Err(error("no challenge waits for an answer"));
        };
        let (request, step) = challenge.answer(answer);
        self.request = Some(request);
        self.stage = Stage::Answer(step);
        Ok(())
    }

    /// `true` at the end: `tokens` and `credentials` are there.
    #[wasm_bindgen(getter)]
    pub fn done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Tokens, once the account is signed in.
    #[wasm_bindgen(getter, unchecked_return_type = "Tokens | undefined")]
    pub fn tokens(&self) -> JsValue {
        let Some(tokens) = &self.tokens else { return JsValue::UNDEFINED };
        let out = object();
        set(&out, "idToken", tokens.id.expose());
        set(&out, "accessToken", tokens.access.expose());
        // The service sends a refresh token only if it is new.
        let refresh_token =
            tokens.refresh.as_ref().map(RefreshToken::expose).or(self.refresh_token.as_deref());
        set_some(&out, "refreshToken", refresh_token);
        set(&out, "expiresIn", tokens.expires_in.as_secs_f64());
        set(&out, "userId", tokens.claims.sub.as_str());
        out
    }

    /// Credentials for `presign`, at the end.
    #[wasm_bindgen(getter, unchecked_return_type = "AwsCredentials | undefined")]
    pub fn credentials(&self) -> JsValue {
        let Some(credentials) = &self.credentials else { return JsValue::UNDEFINED };
        let out = object();
        set(&out, "identityId", credentials.identity_id.as_str());
        set(&out, "accessKeyId", credentials.access_key_id.as_str());
        set(&out, "secretKey", credentials.secret_key.expose());
        set(&out, "sessionToken", credentials.session_token.expose());
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 are exact for 280,000 years"
        )]
        set(&out, "expiresAt", credentials.expires_at_ms as f64);
        out
    }
}

impl SignIn {
    fn begin(
        environment: Environment,
        request: HttpRequest,
        stage: Stage,
        refresh_token: Option<String>,
        identity: Option<String>,
    ) -> Self {
        let request = Some(request);
        Self {
            environment,
            stage,
            request,
            challenge: None,
            tokens: None,
            refresh_token,
            identity,
            credentials: None,
        }
    }

    fn step(&mut self, step: Step) -> Result<(), JsValue> {
        match step {
            Step::Continue(request, step) => {
                self.request = Some(request);
                self.stage = Stage::Answer(step);
                Ok(())
            }
            Step::Challenge(challenge) => {
                self.challenge = Some(challenge);
                self.stage = Stage::Person;
                Ok(())
            }
            Step::Done(tokens) => self.signed_in(tokens),
            Step::Unsupported { name } => Err(error(format!(
                "the account requires the challenge {name}, which is not supported: use the app"
            ))),
        }
    }

    fn signed_in(&mut self, tokens: Tokens) -> Result<(), JsValue> {
        self.challenge = None;
        if let Some(identity) = self.identity.clone() {
            self.tokens = Some(tokens);
            return self.identified(identity);
        }
        let (request, step) = get_id(&self.environment.identity_pool, &tokens);
        self.tokens = Some(tokens);
        self.request = Some(request);
        self.stage = Stage::Identity(step);
        Ok(())
    }

    fn identified(&mut self, identity: String) -> Result<(), JsValue> {
        let Some(tokens) = &self.tokens else { return Err(error("not signed in")) };
        let (request, step) = get_credentials(&identity, tokens);
        self.identity = Some(identity);
        self.request = Some(request);
        self.stage = Stage::Credentials(step);
        Ok(())
    }
}
