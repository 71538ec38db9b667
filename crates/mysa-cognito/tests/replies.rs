//! Answers of the services that are accepted, those that are refused, and the requests that follow.

use mysa_cognito::{
    Error, IdClaims, Pool, RefreshFlow, RefreshToken, Secret, SignIn, Step, StoredError, StoredSession,
    get_credentials, get_id, refresh, revoke,
};
use serde_json::{Value, json};

#[test]
fn pages_and_truncated_bodies_are_never_a_refusal_of_the_password() {
    let token = RefreshToken::new(Secret::from("r"));
    let whole = br#"{"__type":"NotAuthorizedException","message":"no"}"#;
    let mut bodies: Vec<&[u8]> = vec![b"", b" \n", b"<html>x</html>", b"null", b"[]", b"{}"];
    bodies.push(b"{\"message\":\"Forbidden\"}");
    bodies.extend((0..whole.len()).map(|end| &whole[..end]));
    let file: Value = serde_json::from_str(include_str!("data/cognito.json")).expect("JSON");
    let reply = file["vectors"][1]["response"]["body"].to_string();
    let tokens = refresh(&pool(), &token, RefreshFlow::GetTokensFromRefreshToken)
        .1
        .reply(200, reply.as_bytes())
        .expect("tokens");
    for status in [200, 204, 302, 400, 401, 403, 404, 429, 500, 502, 503] {
        for body in &bodies {
            let errors = [
                SignIn::start(&pool(), "u", Secret::from("p"), [1; 32]).1.reply(status, body, 0).err(),
                refresh(&pool(), &token, RefreshFlow::InitiateAuth).1.reply(status, body).err(),
                get_id("p", &tokens).1.reply(status, body).err(),
                get_credentials("i", &tokens).1.reply(status, body).err(),
            ];
            for error in errors {
                let error = error.unwrap_or_else(|| panic!("{status} {body:?} was taken for an answer"));
                assert!(!error.needs_sign_in() && error.retry(), "{status} {body:?}: {error:?}");
                assert_eq!(error.refusal(), None, "{status} {body:?}");
            }
        }
    }
}

#[test]
fn a_page_of_a_proxy_does_not_count_as_a_revocation() {
    let token = RefreshToken::new(Secret::from("r"));
    for (status, body, good) in [(200, "", true), (200, "{}", true), (200, "<html>", false), (503, "", false)]
    {
        let reply = revoke(&pool(), &token).1.reply(status, body.as_bytes());
        assert_eq!(reply.is_ok(), good, "{status} {body}");
    }
}

#[test]
fn a_challenge_is_answered_under_its_own_name_with_its_session() {
    for (name, key) in [
        ("SMS_MFA", "SMS_MFA_CODE"),
        ("EMAIL_OTP", "EMAIL_OTP_CODE"),
        ("EMAIL_MFA", "EMAIL_OTP_CODE"),
        ("SOFTWARE_TOKEN_MFA", "SOFTWARE_TOKEN_MFA_CODE"),
        ("SELECT_MFA_TYPE", "ANSWER"),
    ] {
        let offer = json!({
            "ChallengeName": name,
            "Session": "s",
            "ChallengeParameters": { "USER_ID_FOR_SRP": "id", "NEW": 1, "NONE": null },
        });
        let (_, wait) = SignIn::start(&pool(), "u", Secret::from("p"), [1; 32]);
        let step = wait.reply(200, offer.to_string().as_bytes(), 0).expect(name);
        let Step::Challenge(challenge) = step else { panic!("{name}: {step:?}") };
        let sent: Value = serde_json::from_str(challenge.answer(" 123456\n").0.body()).expect("JSON");
        let expected = json!({
            "ChallengeName": name,
            "ClientId": "client",
            "Session": "s",
            "ChallengeResponses": { "USERNAME": "id", key: "123456" },
        });
        assert_eq!(sent, expected, "{name}");
    }
}

#[test]
fn a_client_with_a_secret_uses_the_refresh_flow_that_accepts_it() {
    let pool = pool().with_client_secret(Secret::from("s"));
    for flow in [RefreshFlow::InitiateAuth, RefreshFlow::GetTokensFromRefreshToken] {
        let (request, _) = refresh(&pool, &RefreshToken::new(Secret::from("r")), flow);
        let sent: Value = serde_json::from_str(request.body()).expect("JSON");
        assert_eq!(
            sent,
            json!({ "ClientId": "client", "RefreshToken": "r", "ClientSecret": "s" }),
            "{flow:?}"
        );
    }
}

#[test]
fn tokens_credentials_challenges_and_errors_print_no_secret() {
    const CANARY: &str = "canary-7f3a";
    let file: Value = serde_json::from_str(include_str!("data/cognito.json")).expect("JSON");
    let mut reply = file["vectors"][1]["response"]["body"].clone();
    reply["AuthenticationResult"]["AccessToken"] = json!(CANARY);
    reply["AuthenticationResult"]["RefreshToken"] = json!(CANARY);
    let (_, wait) =
        refresh(&pool(), &RefreshToken::new(Secret::from(CANARY)), RefreshFlow::GetTokensFromRefreshToken);
    let tokens = wait.reply(200, reply.to_string().as_bytes()).expect("tokens");
    assert_eq!(tokens.access.expose(), CANARY);

    let (request, wait) = get_credentials("id", &tokens);
    let members =
        json!({ "AccessKeyId": "A", "SecretKey": CANARY, "SessionToken": CANARY, "Expiration": 1.5e9 });
    let credentials =
        wait.reply(200, json!({ "Credentials": members }).to_string().as_bytes()).expect("credentials");

    let offer =
        json!({ "ChallengeName": "SMS_MFA", "Session": CANARY, "ChallengeParameters": {} }).to_string();
    let (_, wait) = SignIn::start(&pool(), "u", Secret::from(CANARY), [1; 32]);
    let Ok(Step::Challenge(challenge)) = wait.reply(200, offer.as_bytes(), 0) else { panic!("no challenge") };
    let (answer, wait) = challenge.answer(CANARY);
    let refused =
        json!({ "__type": "InvalidParameterException", "message": format!("Value '{CANARY}' at 'code'") });
    let printed_wait = format!("{wait:?}");
    let error = wait.reply(400, refused.to_string().as_bytes()).expect_err("a refusal");

    let printed = format!(
        "{tokens:?}{credentials:?}{request:?}{challenge:?}{answer:?}{printed_wait}{error:?}{error} {:?}",
        Step::Done(tokens.clone())
    );
    assert!(!printed.contains(CANARY) && !printed.contains(tokens.id.expose()), "{printed}");
}

#[test]
fn an_array_inside_an_answer_is_no_object() {
    let token = RefreshToken::new(Secret::from("r"));
    let file: Value = serde_json::from_str(include_str!("data/cognito.json")).expect("JSON");
    let reply = &file["vectors"][1]["response"]["body"];
    let tokens = |body: &Value| {
        let wait = refresh(&pool(), &token, RefreshFlow::GetTokensFromRefreshToken).1;
        wait.reply(200, body.to_string().as_bytes())
    };
    let known = tokens(reply).expect("tokens");
    let listed = json!({ "AuthenticationResult": [known.id.expose(), "access", "refresh", 3600] });
    let malformed = Error::Malformed { field: "reply" };
    assert_eq!(tokens(&listed), Err(malformed.clone()));
    let (_, wait) = SignIn::start(&pool(), "u", Secret::from("p"), [1; 32]);
    assert_eq!(wait.reply(200, listed.to_string().as_bytes(), 0).expect_err("no tokens"), malformed);
    let listed = json!({ "IdentityId": "i", "Credentials": ["A", "secret", "session", 1.5e9] });
    let credentials = get_credentials("i", &known).1.reply(200, listed.to_string().as_bytes());
    assert_eq!(credentials, Err(malformed));
}

#[test]
fn an_array_is_no_stored_session_and_no_claims() {
    // It has no version, not version 2.
    assert_eq!(StoredSession::from_json(b"[2]"), Err(StoredError::Unreadable));
    // ["sub","user","e@example.org","https://issuer","client","id",1,1,1]
    let claims = "WyJzdWIiLCJ1c2VyIiwiZUBleGFtcGxlLm9yZyIsImh0dHBzOi8vaXNzdWVyIiwiY2xpZW50IiwiaWQiLDEsMSwxXQ";
    assert_eq!(IdClaims::read(&format!("e30.{claims}.sig")), None);
}

fn pool() -> Pool {
    Pool::new("us-east-1", "us-east-1_GUFWfhI7g", "client")
}
