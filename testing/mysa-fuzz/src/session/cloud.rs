use mysa_session::{HttpAnswer, HttpResult, StoreResult};
use mysa_testkit::{Ack, Received, publish};
use serde_json::{Value, json};

use super::requests::PendingHttp;
use super::{DEVICE, Harness, OTHER, START, contains};
use crate::cognito::TOKENS;
use crate::script::Script;

/// Code that the pool accepts.
pub(super) const CODE: &str = "123456";
/// Method that the pool accepts as a choice. It asks for a code then.
pub(super) const METHOD: &str = "SOFTWARE_TOKEN_MFA";
/// Challenges, with one that no client of this kind can answer.
const CHALLENGES: [&str; 6] =
    ["SMS_MFA", "EMAIL_OTP", METHOD, "SELECT_MFA_TYPE", "NEW_PASSWORD_REQUIRED", "PASSWORD_VERIFIER"];
const REFUSALS: [&str; 6] = [
    "CodeMismatchException",
    "ExpiredCodeException",
    "NotAuthorizedException",
    "TooManyRequestsException",
    "PasswordResetRequiredException",
    "UserLambdaValidationException",
];

/// Account in the cloud, and the person who signs in to it.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// `true` if it has a second thermostat.
    pub(super) has_other: bool,
    /// `true` once the pool has issued tokens to the present sign-in.
    pub(super) has_signed_in: bool,
    /// `true` once the pool has asked for an answer in the present sign-in.
    was_challenged: bool,
    /// Answer that the session has accepted and not sent.
    pub(super) answer: Option<String>,
    /// Number of accepted answers.
    pub(super) answers: usize,
}

/// Command that a thermostat received.
#[derive(Debug)]
pub(super) struct Order {
    device: String,
    id: i64,
    mode: Option<u8>,
    setpoint: Option<f64>,
}

impl Order {
    /// Reads a command from a packet. `None` for anything else.
    pub(super) fn read(received: &Received) -> Option<Self> {
        let Received::Publish { topic, payload, .. } = received else { return None };
        let message: Value = serde_json::from_slice(payload).ok()?;
        if message["msg"] != 44 {
            return None;
        }
        let change = &message["body"]["cmd"][0];
        Some(Self {
            device: topic.split('/').nth(3)?.to_owned(),
            id: message["id"].as_i64()?,
            mode: change["md"].as_u64().and_then(|mode| u8::try_from(mode).ok()),
            setpoint: change["sp"].as_f64(),
        })
    }
}

impl Harness {
    /// Answer that an application gives for a person, in time or not.
    pub(super) fn answer_challenge(&mut self, answer: &str) {
        if self.session.answer_challenge(self.now(), answer).is_ok() {
            assert!(self.account.was_challenged && !self.ended, "an answer to no challenge");
            self.account.answers += 1;
            self.account.answer = Some(answer.trim().to_owned());
        }
        self.read();
        assert_eq!(self.account.answer, None, "accepted, but not sent");
    }

    /// Ends the present sign-in and its tokens, as a new sign-in and a sign-out do.
    pub(super) fn forget_tokens(&mut self) {
        if self.ended {
            return;
        }
        self.account.has_signed_in = false;
        self.account.was_challenged = false;
        for request in self.http.iter_mut().filter(|request| request.is_sign_in()) {
            request.is_stale = true;
        }
    }

    /// Passes on an answer of the cloud.
    pub(super) fn deliver(&mut self, mut request: PendingHttp, answer: HttpAnswer<'_>) {
        let has = |name: &str| {
            // A name with escapes is a name as well.
            answer.status == 200 && (contains(answer.body, name.as_bytes()) || contains(answer.body, b"\\u"))
        };
        if !request.is_stale {
            self.account.has_signed_in |= has("IdToken");
            self.account.was_challenged |= has("ChallengeName");
        }
        if answer.status == 401
            && let Some(write) = request.write.take()
        {
            self.writes.allow(write);
        }
        self.session.handle_http(self.now(), request.id, HttpResult::Answer(answer));
    }

    /// Answers the latest request to the user pool by a challenge or a refusal.
    pub(super) fn answer_sign_in(&mut self, script: &mut Script<'_>) {
        let Some(at) = self.http.iter().rposition(PendingHttp::is_sign_in) else { return };
        let request = self.http.remove(at);
        let choice = usize::from(script.byte()) % (CHALLENGES.len() + REFUSALS.len());
        let (status, body) = match CHALLENGES.get(choice) {
            Some(name) => (200, challenge(name)),
            None => (400, refusal(REFUSALS[choice - CHALLENGES.len()])),
        };
        let body = body.to_string();
        let answer = HttpAnswer { status, body: body.as_bytes(), ..HttpAnswer::default() };
        self.deliver(request, answer);
    }

    pub(super) fn answer_correctly(&mut self) {
        if core::mem::take(&mut self.load) {
            self.session.handle_stored(self.now(), None);
            self.read();
        }
        if core::mem::take(&mut self.store) {
            self.session.handle_store_result(self.now(), StoreResult::Stored);
            self.read();
        }
        let Some(mut request) = self.http.pop() else { return };
        if !self.connect(&mut request) {
            return;
        }
        let secs = self.now().wall.as_secs();
        let mut status = 200;
        let body: Vec<u8> = match request.what.as_str() {
            it if it.ends_with("InitiateAuth") => TOKENS.into(),
            // The pool replaces the refresh token with each use.
            it if it.ends_with("FromRefreshToken") => {
                let new = format!(r#"{{"RefreshToken":"after {secs}","AccessToken""#);
                String::from_utf8_lossy(TOKENS).replace(r#"{"AccessToken""#, &new).into()
            }
            it if it.ends_with("RespondToAuthChallenge") => match request.answer.as_deref() {
                None | Some(CODE) => TOKENS.into(),
                Some(METHOD) => challenge(METHOD).to_string().into(),
                Some(_) => {
                    status = 400;
                    refusal("CodeMismatchException").to_string().into()
                }
            },
            it if it.ends_with("GetId") => br#"{"IdentityId":"us-east-1:identity"}"#.into(),
            it if it.ends_with("ForIdentity") => format!(
                r#"{{"IdentityId":"us-east-1:identity","Credentials":{{"AccessKeyId":"ASIAEXAMPLE","SecretKey":"s","SessionToken":"t","Expiration":{}.0}}}}"#,
                secs + 3_600
            )
            .into(),
            "GET /devices" if self.account.has_other => {
                format!(
                    r#"{{"DevicesObj":{{"{DEVICE}":{{"Id":"{DEVICE}","Model":"BB-V2-0-L","Name":"Hall"}},"{OTHER}":{{"Id":"{OTHER}","Model":"AC-V1-0"}}}}}}"#
                )
                .into()
            }
            "GET /devices" => {
                format!(r#"{{"DevicesObj":{{"{DEVICE}":{{"Id":"{DEVICE}","Model":"BB-V2-0-L","Name":"Hall"}}}}}}"#).into()
            }
            "GET /devices/state" => format!(
                r#"{{"DeviceStatesObj":{{"{DEVICE}":{{"Device":"{DEVICE}","Timestamp":{secs},"SetPoint":{{"v":19,"t":{secs}}}}}}}}}"#
            )
            .into(),
            it if it.starts_with("GET /endpoint?") => {
                br#"{"endpointAddress":"a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com"}"#.into()
            }
            it if it.starts_with("GET /things/") => {
                format!(r#"{{"thingName":"{DEVICE}","attributes":{{"Serial":"123"}}}}"#).into()
            }
            _ => b"{}".into(),
        };
        self.deliver(request, HttpAnswer { status, body: &body, ..HttpAnswer::default() });
    }

    /// Acknowledgements of all commands that the thermostats have received, applied or not.
    pub(super) fn acknowledge(&mut self, script: &mut Script<'_>) {
        let choice = script.byte();
        for order in core::mem::take(&mut self.orders) {
            let Order { device, id, mode, setpoint } = order;
            let ack = Ack::new(&device, self.thermostat_time(), id, setpoint.unwrap_or(20.0));
            let ack = Ack { success: choice & 1 == 0, mode: mode.unwrap_or(choice % 4), ..ack };
            let bytes = publish(&format!("/v1/dev/{device}/out"), ack.to_string().as_bytes());
            let now = self.now();
            for id in self.conns.keys() {
                self.session.handle_ws_bytes(now, *id, &bytes);
            }
        }
    }

    /// Unix seconds of a thermostat's clock.
    pub(super) fn thermostat_time(&self) -> i64 {
        (START + self.wall_ahead) / 1_000 + i64::try_from(self.mono.as_secs()).unwrap_or(0)
    }
}

fn challenge(name: &str) -> Value {
    json!({
        "ChallengeName": name,
        "Session": "s",
        "ChallengeParameters": {
            "USER_ID_FOR_SRP": "u", "SALT": "5a17", "SRP_B": "0b0b", "SECRET_BLOCK": "c2VjcmV0",
            "CODE_DELIVERY_DESTINATION": "+*******0000", "MFAS_CAN_CHOOSE": "[\"SMS_MFA\",\"SOFTWARE_TOKEN_MFA\"]",
        },
    })
}

fn refusal(name: &str) -> Value {
    json!({ "__type": name, "message": "no" })
}
