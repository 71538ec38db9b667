//! Published and computed vectors, every case of every file.

use mysa_cognito::server::Verifier;
use mysa_cognito::srp::{Ephemeral, SrpError};
use mysa_cognito::{
    AwaitCredentials, Error, Pool, Recovery, RefreshFlow, RefreshToken, RefusalKind, Secret, SignIn, Step,
    Tokens, get_credentials, get_id, refresh, timestamp,
};
use serde_json::{Value, json};

const POOL: &str = "us-east-1_GUFWfhI7g";
const LEGACY: &str = "19efs8tgqe942atbqmot5m36t3";

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("a vector file")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn cases<'a>(file: &'a Value, name: &str) -> &'a [Value] {
    let cases = file[name].as_array().expect("a list of cases");
    assert!(!cases.is_empty());
    cases
}

fn bytes(hex_text: &Value) -> Vec<u8> {
    let digits = text(hex_text);
    hex::decode(if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") })
        .expect("hex")
}

fn challenge_body(parameters: &Value, session: Option<&str>) -> Vec<u8> {
    let mut body = json!({"ChallengeName": "PASSWORD_VERIFIER", "ChallengeParameters": parameters});
    if let Some(session) = session {
        body["Session"] = session.into();
    }
    body.to_string().into_bytes()
}

#[test]
fn srp_vectors_agree_on_both_sides() {
    let file = read(include_str!("data/srp.json"));
    for case in cases(&file, "vectors") {
        let name = text(&case["name"]);
        let (input, expect) = (&case["input"], &case["expect"]);
        let pool = Pool::new("us-east-1", text(&input["pool_id"]), LEGACY);
        assert_eq!(pool.name(), text(&input["pool_name"]), "{name}");
        let a = Ephemeral::new(&bytes(&input["a_hex"])).expect(name);
        assert_eq!(a.public_hex(), text(&expect["SRP_A"]), "{name}");
        let parameters = &input["challenge"]["ChallengeParameters"];
        let user_id = text(&parameters["USER_ID_FOR_SRP"]);
        let key = a
            .claim_key(
                pool.name(),
                user_id,
                text(&input["password"]),
                text(&parameters["SALT"]),
                text(&parameters["SRP_B"]),
            )
            .expect(name);
        assert_eq!(hex::encode(key.as_bytes()), text(&expect["key_hex"]), "{name}");
        let stamp = text(&input["timestamp"]);
        let signature = key.sign(pool.name(), user_id, text(&parameters["SECRET_BLOCK"]), stamp);
        assert_eq!(signature.as_deref(), Ok(text(&expect["signature_b64"])), "{name}");

        let verifier =
            Verifier::new(pool.name(), user_id, text(&input["password"]), text(&parameters["SALT"]));
        let verifier = verifier.expect(name);
        assert_eq!(verifier.verifier_hex(), text(&case["server_side"]["verifier_hex"]), "{name}");
        let exchange =
            verifier.challenge(&a.public_hex(), &bytes(&case["server_side"]["b_hex"])).expect(name);
        assert_eq!(
            exchange.public_hex().trim_start_matches('0'),
            text(&parameters["SRP_B"]).trim_start_matches('0')
        );
        assert_eq!(exchange.key().as_bytes(), key.as_bytes(), "{name}");
    }
}

#[test]
fn cognito_srp_vectors_agree_on_both_sides() {
    let file = read(include_str!("data/cognito_srp_vectors.json"));
    for case in cases(&file, "cases") {
        let name = &format!("{} ({})", text(&case["id"]), text(&case["tag"]));
        let (input, expected) = (&case["input"], &case["expected"]);
        let mut pool = Pool::new("eu-west-1", text(&input["pool_id"]), text(&input["client_id"]));
        if let Some(secret) = input["client_secret"].as_str() {
            pool = pool.with_client_secret(Secret::from(secret));
        }
        let a = Ephemeral::new(&bytes(&input["a"])).expect(name);
        assert_eq!(a.public_hex(), text(&expected["SRP_A"]), "{name}");
        let username = text(&input["username"]);
        let (request, wait) = SignIn::start_with(&pool, username, Secret::from(text(&input["password"])), a);
        let sent = read(request.body());
        assert_eq!(sent["AuthParameters"]["SECRET_HASH"], expected["secret_hash_initiate"], "{name}");
        let challenge = &input["challenge"];
        let now = input["unix_time"].as_i64().expect(name);
        assert_eq!(timestamp(now), text(&expected["TIMESTAMP"]), "{name}");
        let Ok(Step::Continue(request, _)) = wait.reply(200, &challenge_body(challenge, None), now) else {
            panic!("{name}: no claim");
        };
        let sent = read(request.body());
        let responses = &sent["ChallengeResponses"];
        for key in ["TIMESTAMP", "PASSWORD_CLAIM_SIGNATURE"] {
            assert_eq!(responses[key], expected[key], "{name} {key}");
        }
        assert_eq!(responses["USERNAME"], challenge["USERNAME"], "{name}");
        assert_eq!(responses["SECRET_HASH"], expected["secret_hash_respond"], "{name}");

        let verifier = Verifier::new(
            pool.name(),
            text(&challenge["USER_ID_FOR_SRP"]),
            text(&input["password"]),
            text(&challenge["SALT"]),
        )
        .expect(name);
        assert_eq!(
            verifier.verifier_hex(),
            text(&case["server"]["verifier"]).trim_start_matches('0'),
            "{name}"
        );
        let exchange =
            verifier.challenge(text(&expected["SRP_A"]), &bytes(&case["server"]["b"])).expect(name);
        assert_eq!(hex::encode(exchange.key().as_bytes()), text(&expected["key"]), "{name}");
        let signature = text(&expected["PASSWORD_CLAIM_SIGNATURE"]);
        let block = text(&challenge["SECRET_BLOCK"]);
        assert_eq!(exchange.check(block, text(&expected["TIMESTAMP"]), signature, now), Ok(()), "{name}");
    }
}

#[test]
fn values_that_are_not_safe_to_answer_are_refused() {
    let file = read(include_str!("data/srp.json"));
    let good = &cases(&file, "vectors")[0]["input"]["challenge"]["ChallengeParameters"];
    for case in cases(&file, "reject_cases") {
        let name = text(&case["name"]);
        let mut parameters = good.clone();
        for key in ["SRP_B", "SALT", "SECRET_BLOCK"] {
            if case.get(key).is_some() {
                parameters[key] = case[key].clone();
            }
        }
        let pool = Pool::new("us-east-1", POOL, LEGACY);
        let (_, wait) = SignIn::start(&pool, "user@example.com", Secret::from("x"), [7; 32]);
        let error = wait.reply(200, &challenge_body(&parameters, None), 0).expect_err(name);
        let expected = match text(&case["expect_error"]) {
            "B mod N == 0" => matches!(error, Error::Srp(SrpError::PublicValueZero)),
            "malformed hex" => matches!(error, Error::Srp(SrpError::BadHex { .. })),
            "malformed base64" => matches!(error, Error::Srp(SrpError::BadSecretBlock)),
            other => panic!("{name}: no such expectation: {other}"),
        };
        assert!(expected, "{name}: {error:?}");
    }
}

#[test]
fn time_stamps_are_written_without_a_locale() {
    let file = read(include_str!("data/srp.json"));
    for case in cases(&file, "timestamp_cases") {
        assert_eq!(timestamp(case["unix_s"].as_i64().expect("a number")), text(&case["expect"]));
    }
}

fn name_of(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::WrongCredentials => "wrong_credentials",
        RefusalKind::NoSuchUser => "no_such_user",
        RefusalKind::AccountNotConfirmed => "account_not_confirmed",
        RefusalKind::PasswordResetRequired => "password_reset_required",
        RefusalKind::RefreshRejected => "refresh_rejected",
        RefusalKind::WrongMfaCode => "wrong_mfa_code",
        RefusalKind::MfaCodeExpired => "mfa_code_expired",
        RefusalKind::RateLimited => "rate_limited",
        RefusalKind::ClientBug => "client_bug",
        RefusalKind::WrongAppClient => "wrong_app_client",
        RefusalKind::LoginTokenRejected => "login_token_rejected",
        RefusalKind::IdentityUnknown => "identity_unknown_forget_it",
        RefusalKind::LoginLinkedElsewhere => "login_linked_elsewhere",
        RefusalKind::PoolMisconfigured => "pool_misconfigured",
        _ => "another",
    }
}

fn outcome(error: &Error) -> &'static str {
    match error.refusal() {
        Some(kind) => name_of(kind),
        None if error.retry() => "transient",
        None => "another",
    }
}

fn response(case: &Value) -> (u16, Vec<u8>) {
    let response = &case["response"];
    let status = u16::try_from(response["status"].as_u64().expect("a status")).expect("a status");
    let body = response["body_text"].as_str().map_or_else(|| response["body"].to_string(), str::to_owned);
    (status, body.into_bytes())
}

fn check_request(name: &str, request: &mysa_cognito::HttpRequest, expected: &Value) {
    let headers = &expected["headers"];
    for (header, value) in request.headers() {
        assert_eq!(headers[header], value, "{name}");
    }
    let url = format!("https://{}/", request.service.host("us-east-1"));
    assert_eq!(expected["url"], url, "{name}");
    assert_eq!(read(request.body()), expected["body"], "{name}");
}

#[test]
fn cognito_exchanges_are_written_and_read_as_recorded() {
    let srp = read(include_str!("data/srp.json"));
    let worked = &cases(&srp, "vectors")[0]["input"];
    let file = read(include_str!("data/cognito.json"));
    for case in cases(&file, "vectors") {
        let name = text(&case["name"]);
        let client = case["request"]["body"]["ClientId"].as_str().unwrap_or(LEGACY);
        let pool = Pool::new("us-east-1", POOL, client);
        let start = || {
            let a = Ephemeral::new(&bytes(&worked["a_hex"])).expect(name);
            SignIn::start_with(&pool, "user@example.com", Secret::from(text(&worked["password"])), a)
        };
        let claim = |session| {
            let body = challenge_body(&worked["challenge"]["ChallengeParameters"], session);
            match start().1.reply(200, &body, 1_767_323_045) {
                Ok(Step::Continue(request, wait)) => (request, wait),
                other => panic!("{name}: {other:?}"),
            }
        };
        let token = RefreshToken::new(Secret::from("synthetic-refresh-token"));
        match name {
            "initiate-auth-srp" => {
                let (request, wait) = start();
                check_request(name, &request, &case["request"]);
                let (status, body) = response(case);
                assert!(matches!(wait.reply(status, &body, 0), Ok(Step::Continue(..))), "{name}");
            }
            "respond-password-verifier" | "respond-with-session" => {
                let (request, wait) = claim((name == "respond-with-session").then_some("synthetic-session"));
                check_request(name, &request, &case["request"]);
                if case["response"].is_object() {
                    let (status, body) = response(case);
                    let Ok(Step::Done(tokens)) = wait.reply(status, &body) else { panic!("{name}") };
                    check_tokens(name, &tokens, &case["response"]["body"]["AuthenticationResult"]);
                }
            }
            _ if name.starts_with("refresh-") => {
                let flow = if name.contains("modern") {
                    RefreshFlow::GetTokensFromRefreshToken
                } else {
                    RefreshFlow::InitiateAuth
                };
                let (request, wait) = refresh(&pool, &token, flow);
                if case["request"].is_object() {
                    check_request(name, &request, &case["request"]);
                }
                let (status, body) = response(case);
                let tokens = wait.reply(status, &body).expect(name);
                check_tokens(name, &tokens, &case["response"]["body"]["AuthenticationResult"]);
            }
            _ if name.starts_with("second-challenge-") => {
                let (status, body) = response(case);
                let expect = &case["expect"];
                match claim(None).1.reply(status, &body).expect(name) {
                    Step::Challenge(challenge) => {
                        assert_eq!(expect["challenge"], challenge.kind.name(), "{name}");
                        let next = text(&expect["next"]);
                        assert_eq!(next, format!("respond {}", challenge.kind.answer_key()), "{name}");
                        let (request, _) = challenge.answer(" 123456 ");
                        let sent = read(request.body());
                        assert_eq!(sent["Session"], "synthetic-session-2", "{name}");
                        assert_eq!(
                            sent["ChallengeResponses"][challenge.kind.answer_key()],
                            "123456",
                            "{name}"
                        );
                    }
                    Step::Unsupported { name: reported } => {
                        assert_eq!(expect["challenge"], reported, "{name}")
                    }
                    other => panic!("{name}: {other:?}"),
                }
            }
            _ => {
                let (status, body) = response(case);
                let expect = &case["expect"];
                // The same refusal has different meanings for a refresh and for a password.
                let error = if expect["error"] == "refresh_rejected" {
                    refresh(&pool, &token, RefreshFlow::InitiateAuth).1.reply(status, &body).expect_err(name)
                } else {
                    claim(None).1.reply(status, &body).expect_err(name)
                };
                assert_eq!(expect["error"], outcome(&error), "{name}: {error:?}");
                assert_eq!(expect["retry"], error.retry(), "{name}: {error:?}");
            }
        }
    }
}

fn check_tokens(name: &str, tokens: &Tokens, expected: &Value) {
    assert_eq!(tokens.id.expose(), text(&expected["IdToken"]), "{name}");
    assert_eq!(tokens.access.expose(), text(&expected["AccessToken"]), "{name}");
    assert_eq!(tokens.expires_in.as_secs(), expected["ExpiresIn"].as_u64().expect(name), "{name}");
    assert_eq!(
        tokens.refresh.as_ref().map(RefreshToken::expose),
        expected["RefreshToken"].as_str(),
        "{name}"
    );
    assert_eq!(tokens.claims.login_key(), format!("cognito-idp.us-east-1.amazonaws.com/{POOL}"), "{name}");
    assert!(!tokens.claims.sub.is_empty(), "{name}");
}

#[test]
fn identity_exchanges_are_written_and_read_as_recorded() {
    let cognito = read(include_str!("data/cognito.json"));
    let signed_in = cases(&cognito, "vectors").iter().find(|case| case["name"] == "refresh-classic");
    let (status, body) = response(signed_in.expect("a refresh"));
    let pool = Pool::new("us-east-1", POOL, LEGACY);
    let token = RefreshToken::new(Secret::from("x"));
    let tokens = refresh(&pool, &token, RefreshFlow::InitiateAuth).1.reply(status, &body).expect("tokens");

    let file = read(include_str!("data/identity.json"));
    for case in cases(&file, "vectors") {
        let name = text(&case["name"]);
        let (status, body) = response(case);
        let expect = &case["expect"];
        let asked = &case["request"]["body"];
        if name == "get-id" {
            let (request, wait) = get_id(text(&asked["IdentityPoolId"]), &tokens);
            check_request(name, &request, &case["request"]);
            assert_eq!(
                wait.reply(status, &body).expect(name),
                text(&case["response"]["body"]["IdentityId"]),
                "{name}"
            );
        } else if name.starts_with("get-credentials") {
            let (request, wait) = get_credentials(text(&asked["IdentityId"]), &tokens);
            check_request(name, &request, &case["request"]);
            let credentials = wait.reply(status, &body).expect(name);
            let expected = &serde_json::from_slice::<Value>(&body).expect(name)["Credentials"];
            assert_eq!(credentials.access_key_id, text(&expected["AccessKeyId"]), "{name}");
            assert_eq!(credentials.secret_key.expose(), text(&expected["SecretKey"]), "{name}");
            assert_eq!(credentials.session_token.expose(), text(&expected["SessionToken"]), "{name}");
            assert_eq!(credentials.expires_at_ms, check_millis(&expected["Expiration"]), "{name}");
        } else {
            let wait: AwaitCredentials = get_credentials("x", &tokens).1;
            let error = wait.reply(status, &body).expect_err(name);
            assert_eq!(expect["error"], outcome(&error), "{name}: {error:?}");
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a date is within the range")]
fn check_millis(seconds: &Value) -> i64 {
    (seconds.as_f64().expect("a number") * 1_000.0).round() as i64
}

#[test]
fn only_an_answer_of_the_service_is_a_refusal() {
    let pool = Pool::new("us-east-1", POOL, LEGACY);
    let token = RefreshToken::new(Secret::from("x"));
    for (status, body) in [
        (200, ""),
        (200, "{\"AuthenticationResult\":{\"IdTok"),
        (200, "<html>welcome to the hotel</html>"),
        (200, "{}"),
        (400, ""),
        (400, "{\"__type\":\"NotAuth"),
        (403, "<html>forbidden</html>"),
        (400, "{\"message\":\"no type\"}"),
        (400, "[]"),
        (500, "{\"__type\":\"NotAuthorizedException\"}"),
        (503, ""),
        (302, ""),
    ] {
        let error =
            refresh(&pool, &token, RefreshFlow::GetTokensFromRefreshToken).1.reply(status, body.as_bytes());
        let error = error.expect_err(body);
        assert!(!error.needs_sign_in(), "{status} {body}: {error:?}");
        assert_eq!(error.recovery(), Recovery::Retry, "{status} {body}: {error:?}");
    }
}
