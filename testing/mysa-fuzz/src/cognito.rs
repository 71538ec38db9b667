use mysa_cognito::{
    Error, Pool, RefreshFlow, RefreshToken, Secret, SignIn, Step, Tokens, get_credentials, get_id, refresh,
    revoke,
};

use crate::script::Script;

/// Answers of the user pool and of the identity pool, at every step of signing in.
///
/// Input: the step, the HTTP status, then the body.
///
/// The same answer gives the same result. Only a 2xx status is a success. A refusal is reported only for a JSON object, and only a
/// refusal requires a new sign-in: a page of a proxy signs nobody out. No error that requires it asks for a retry as well.
///
/// ```
/// // Answer to a refresh, with status 400.
/// mysa_fuzz::cognito(b"\x02\x01{\"__type\":\"NotAuthorizedException\"}");
/// ```
pub fn cognito(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    let status = script.pick(&[200, 400, 401, 403, 404, 429, 500, 503, 204, 302]);
    let body = script.rest();
    let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", "client");
    let token = RefreshToken::new(Secret::from("refresh"));
    match choice % 7 {
        0 => {
            let reply = || {
                let (_, wait) = SignIn::start(&pool, "u", Secret::from("p"), [1; 32]);
                wait.reply(status, body, 1_767_323_045)
            };
            check_step(status, body, &reply(), &reply());
        }
        1 => {
            let reply = || answered().map(|wait| wait.reply(status, body));
            let (Some(one), Some(two)) = (reply(), reply()) else { panic!("no challenge") };
            check_step(status, body, &one, &two);
        }
        2 => both(status, body, || refresh(&pool, &token, RefreshFlow::InitiateAuth).1.reply(status, body)),
        3 => both(status, body, || {
            refresh(&pool, &token, RefreshFlow::GetTokensFromRefreshToken).1.reply(status, body)
        }),
        4 => both(status, body, || get_id("pool", &tokens()).1.reply(status, body)),
        5 => both(status, body, || get_credentials("id", &tokens()).1.reply(status, body)),
        _ => both(status, body, || revoke(&pool, &token).1.reply(status, body)),
    }
}

fn both<T: PartialEq + core::fmt::Debug>(status: u16, body: &[u8], reply: impl Fn() -> Result<T, Error>) {
    let outcome = reply();
    assert_eq!(outcome, reply(), "the same answer, the same outcome");
    match outcome {
        Ok(_) => assert!((200..300).contains(&status), "a success with status {status}"),
        Err(error) => check_error(body, &error),
    }
}

fn check_step(status: u16, body: &[u8], one: &Result<Step, Error>, two: &Result<Step, Error>) {
    assert_eq!(format!("{one:?}"), format!("{two:?}"), "the same answer, the same outcome");
    match one {
        Ok(step) => {
            assert!((200..300).contains(&status), "a success with status {status}");
            if let Step::Challenge(challenge) = step {
                let (request, _) = challenge.answer("123456");
                assert!(serde_json::from_str::<serde_json::Value>(request.body()).is_ok());
            }
        }
        Err(error) => check_error(body, error),
    }
}

fn check_error(body: &[u8], error: &Error) {
    assert!(!error.to_string().is_empty());
    let _ = error.recovery();
    assert!(!(error.needs_sign_in() && error.retry()), "{error:?}");
    if error.refusal().is_some() {
        // A text that is not read may contain any bytes, and a number that is not read may have any size.
        let text = String::from_utf8_lossy(body);
        let is_object = match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(json) => json.is_object(),
            Err(error) => {
                error.to_string().starts_with("number out of range") && text.trim_start().starts_with('{')
            }
        };
        assert!(is_object, "a refusal without a JSON object: {error:?}");
    } else {
        assert!(!error.needs_sign_in(), "{error:?}");
    }
}

/// Step that waits for the answer to a code.
fn answered() -> Option<mysa_cognito::AwaitAnswer> {
    let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", "client");
    let (_, wait) = SignIn::start(&pool, "u", Secret::from("p"), [1; 32]);
    let offer =
        br#"{"ChallengeName":"SMS_MFA","Session":"s","ChallengeParameters":{"USER_ID_FOR_SRP":"id"}}"#;
    match wait.reply(200, offer, 0) {
        Ok(Step::Challenge(challenge)) => Some(challenge.answer("123456").1),
        _ => None,
    }
}

/// Unsigned tokens as in an answer of the pool.
fn tokens() -> Tokens {
    let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", "client");
    let token = RefreshToken::new(Secret::from("refresh"));
    let (_, wait) = refresh(&pool, &token, RefreshFlow::InitiateAuth);
    match wait.reply(200, TOKENS) {
        Ok(tokens) => tokens,
        Err(error) => panic!("{error}"),
    }
}

/// Claims: `{"sub":"u","iss":"https://cognito-idp.us-east-1.amazonaws.com/us-east-1_GUFWfhI7g"}`.
pub(crate) const TOKENS: &[u8] = br#"{"AuthenticationResult":{"AccessToken":"a.b.c","ExpiresIn":3600,"IdToken":"e30.eyJzdWIiOiJ1IiwiaXNzIjoiaHR0cHM6Ly9jb2duaXRvLWlkcC51cy1lYXN0LTEuYW1hem9uYXdzLmNvbS91cy1lYXN0LTFfR1VGV2ZoSTdnIn0.c2ln","TokenType":"Bearer"}}"#;
