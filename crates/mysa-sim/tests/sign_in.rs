//! Passwords, codes, tokens, and lock-outs of the user pool.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod rig;

use std::time::Duration;

use mysa_cognito::{Challenge, Pool, RefreshFlow, RefusalKind, Step, Tokens, refresh};
use mysa_sim::{
    AccountStatus, ChallengeSpec, CloudSpec, Endpoint, Fault, HttpAnswer, HttpFault, HttpRequest, Incident,
    Window,
};
use rig::*;
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const EMAIL: &str = CloudSpec::DEMO_EMAIL;
const PASSWORD: &str = CloudSpec::DEMO_PASSWORD;

/// `__type` of a refusal.
fn refusal(rig: &mut Rig, email: &str, password: &str) -> String {
    match rig.try_sign_in(LEGACY_CLIENT, email, password) {
        Err(error) => error.to_string(),
        Ok(step) => panic!("{step:?}"),
    }
}

fn renew(
    rig: &mut Rig,
    tokens: &Tokens,
    client: &str,
    way: RefreshFlow,
) -> Result<Tokens, mysa_cognito::Error> {
    let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", client);
    let (request, wait) = refresh(&pool, tokens.refresh.as_ref().unwrap(), way);
    let (status, body) = rig.aws(&request);
    wait.reply(status, &body)
}

#[test]
fn a_wrong_password_is_refused_and_five_lock_the_account() {
    let mut rig = Rig::demo();
    for _ in 0..5 {
        refusal(&mut rig, EMAIL, "wrong");
    }
    assert_eq!(rig.cloud.counters().wrong_passwords, 5);
    // The right password is refused too.
    let error = rig.try_sign_in(LEGACY_CLIENT, EMAIL, PASSWORD).unwrap_err();
    assert!(matches!(error, mysa_cognito::Error::Refused(refusal) if refusal.kind == RefusalKind::LockedOut));
    rig.pass(SECOND);
    refusal(&mut rig, EMAIL, "wrong");
    rig.pass(SECOND);
    refusal(&mut rig, EMAIL, PASSWORD);
    rig.pass(SECOND);
    rig.sign_in();
    assert_eq!(rig.cloud.counters().wrong_passwords, 6, "tries while it is locked are not looked at");
    refusal(&mut rig, EMAIL, "wrong");
    rig.sign_in();
}

#[test]
fn user_names_ignore_case_and_unknown_ones_are_reported() {
    let mut rig = Rig::demo();
    assert!(matches!(rig.try_sign_in(LEGACY_CLIENT, "User@Example.com", PASSWORD), Ok(Step::Done(_))));
    let error = rig.try_sign_in(LEGACY_CLIENT, "nobody@example.com", PASSWORD).unwrap_err();
    assert!(
        matches!(error, mysa_cognito::Error::Refused(refusal) if refusal.kind == RefusalKind::NoSuchUser)
    );
    assert!(rig.try_sign_in("no-such-client", EMAIL, PASSWORD).is_err());
    for status in [AccountStatus::Unconfirmed, AccountStatus::ResetRequired] {
        let mut spec = CloudSpec::demo();
        spec.accounts[0].status = status;
        refusal(&mut Rig::new(spec), EMAIL, PASSWORD);
    }
}

#[test]
fn passwords_of_every_kind_are_compared_byte_for_byte() {
    for password in ["p$a#s'w\"ord ", " trailing ", "mötdepässe-✓", "a\\b%20&c=1", "x"] {
        let mut spec = CloudSpec::demo();
        spec.accounts[0].password = password.into();
        let mut rig = Rig::new(spec);
        assert!(matches!(rig.try_sign_in(LEGACY_CLIENT, EMAIL, password), Ok(Step::Done(_))), "{password}");
        refusal(&mut rig, EMAIL, &format!("{password} "));
    }
}

#[test]
fn codes_are_asked_for_in_order_and_a_wrong_one_may_be_mended_twice() {
    let mut spec = CloudSpec::demo();
    spec.accounts[0].challenges =
        vec![ChallengeSpec::Sms("123456".into()), ChallengeSpec::SoftwareToken("654321".into())];
    let mut rig = Rig::new(spec);
    let ask = |step: Result<Step, _>| match step {
        Ok(Step::Challenge(challenge)) => challenge,
        other => panic!("{other:?}"),
    };
    let answer = |rig: &mut Rig, challenge: &Challenge, code: &str| {
        let (request, wait) = challenge.answer(code);
        let (status, body) = rig.aws(&request);
        wait.reply(status, &body)
    };
    let challenge = ask(rig.try_sign_in(LEGACY_CLIENT, EMAIL, PASSWORD));
    assert_eq!(challenge.destination.as_deref(), Some("+*******0000"));
    assert!(answer(&mut rig, &challenge, "000000").is_err());
    let next = answer(&mut rig, &challenge, "123456");
    let challenge = ask(next);
    assert!(matches!(answer(&mut rig, &challenge, "654321"), Ok(Step::Done(_))));
    let challenge = ask(rig.try_sign_in(LEGACY_CLIENT, EMAIL, PASSWORD));
    rig.pass(181 * SECOND);
    assert!(answer(&mut rig, &challenge, "123456").is_err(), "a session lasts three minutes");
}

#[test]
fn rotation_replaces_the_refresh_token_and_bars_the_classic_way() {
    let mut spec = CloudSpec::demo();
    spec.rules.rotation = true;
    let mut rig = Rig::new(spec);
    let tokens = rig.sign_in();
    assert!(renew(&mut rig, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth).is_err());
    let fresh = renew(&mut rig, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).unwrap();
    assert!(fresh.refresh.is_some());
    assert!(
        renew(&mut rig, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).is_err(),
        "the old one is spent"
    );
    assert!(renew(&mut rig, &fresh, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).is_ok());
}

#[test]
fn refresh_tokens_are_bound_to_their_client_and_last_thirty_days() {
    let mut rig = Rig::demo();
    let tokens = rig.sign_in();
    assert!(renew(&mut rig, &tokens, MODERN_CLIENT, RefreshFlow::GetTokensFromRefreshToken).is_err());
    rig.pass(Duration::from_secs(30 * 86_400 - 1));
    assert!(renew(&mut rig, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth).unwrap().refresh.is_none());
    rig.pass(SECOND);
    assert!(
        renew(&mut rig, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth)
            .is_err_and(|error| error.needs_sign_in())
    );
}

#[test]
fn tokens_and_credentials_can_be_voided_from_outside() {
    let mut rig = Rig::demo();
    let tokens = rig.sign_in();
    let credentials = rig.credentials(LEGACY_POOL, &tokens);
    rig.cloud.act(at(rig.now), Incident::ExpireCredentials);
    let target = rig.presign(&credentials);
    assert!(
        matches!(rig.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Refuse(reply) if reply.status == 403)
    );
    rig.cloud.act(at(rig.now), Incident::ExpireTokens);
    assert_eq!(rig.rest(&tokens, LEGACY, "GET", "/devices", None).0, 401);
    let tokens = renew(&mut rig, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).unwrap();
    assert_eq!(rig.rest(&tokens, LEGACY, "GET", "/devices", None).0, 200);
    rig.cloud.act(at(rig.now), Incident::ChangePassword(EMAIL.into(), "Another-Horse-2".into()));
    assert_eq!(rig.rest(&tokens, LEGACY, "GET", "/devices", None).0, 401);
    refusal(&mut rig, EMAIL, PASSWORD);
    assert!(rig.try_sign_in(LEGACY_CLIENT, EMAIL, "Another-Horse-2").is_ok());
}

#[test]
fn too_many_requests_in_a_second_are_throttled() {
    let mut spec = CloudSpec::demo();
    spec.rules.sign_in_rate = 3;
    let mut rig = Rig::new(spec);
    rig.sign_in();
    let error = rig.try_sign_in(LEGACY_CLIENT, EMAIL, PASSWORD).unwrap_err();
    assert_eq!(error.recovery(), mysa_cognito::Recovery::Wait);
    rig.pass(SECOND);
    rig.sign_in();
}

#[test]
fn every_http_fault_strikes_where_it_is_aimed() {
    let ask = |fault: HttpFault, endpoint: Endpoint| {
        let mut rig = Rig::demo();
        let tokens = rig.sign_in();
        rig.cloud.add_fault(Window::times(1, Fault::Http(endpoint, fault)));
        let headers = [("authorization", tokens.id.expose())];
        let request = HttpRequest {
            host: LEGACY,
            method: "GET",
            path: "/devices/state",
            query: "",
            headers: &headers,
            body: b"",
        };
        let answer = rig.cloud.handle_http(at(rig.now), &request);
        let after = rig.cloud.handle_http(at(rig.now), &request);
        assert!(
            matches!(after, HttpAnswer::Reply(ref reply) if reply.status == 200),
            "it strikes once: {after:?}"
        );
        answer
    };
    let reply = |fault: HttpFault| match ask(fault, Endpoint::Rest) {
        HttpAnswer::Reply(reply) => reply,
        other => panic!("{other:?}"),
    };
    assert_eq!(ask(HttpFault::Hang, Endpoint::Any), HttpAnswer::Hang);
    assert_eq!(ask(HttpFault::Reset, Endpoint::Path("/devices/st".into())), HttpAnswer::Reset);
    assert_eq!(reply(HttpFault::Status(503)).status, 503);
    assert_eq!(reply(HttpFault::Throttle(7)).header("retry-after"), Some("7"));
    assert_eq!(reply(HttpFault::Html(511)).header("content-type"), Some("text/html"));
    assert_eq!(reply(HttpFault::Body(200, b"\xff".to_vec())).body, b"\xff");
    assert_eq!(reply(HttpFault::Delay(SECOND)).delay, SECOND);
    let mut rig = Rig::demo();
    rig.cloud.add_fault(Window::times(1, Fault::Http(Endpoint::Rest, HttpFault::Hang)));
    let tokens = rig.sign_in();
    for (endpoint, name) in
        [(Endpoint::Refresh, "NotAuthorizedException"), (Endpoint::Refresh, "InternalErrorException")]
    {
        rig.cloud.add_fault(Window::times(1, Fault::Http(endpoint, HttpFault::Exception(name.into()))));
        let error =
            renew(&mut rig, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).unwrap_err();
        assert_eq!(error.needs_sign_in(), name == "NotAuthorizedException");
    }
}

#[test]
fn tokens_carry_the_claims_clients_read_and_keys_are_published() {
    let mut rig = Rig::demo();
    let tokens = rig.sign_in();
    assert_eq!(tokens.claims.iss, "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_GUFWfhI7g");
    assert_eq!(
        (tokens.claims.aud.as_deref(), tokens.claims.token_use.as_deref()),
        (Some(LEGACY_CLIENT), Some("id"))
    );
    assert_eq!(tokens.claims.exp, Some(WALL + 3_600));
    let reply = rig.http(IDP, "GET", "/us-east-1_GUFWfhI7g/.well-known/jwks.json", &[], "");
    let keys: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, keys), (200, json!({ "keys": [] })), "a server's signer has keys to publish");
}

#[test]
fn nothing_prints_a_secret() {
    let mut rig = Rig::demo();
    let tokens = rig.sign_in();
    let credentials = rig.credentials(LEGACY_POOL, &tokens);
    let printed = format!("{:?} {:?}", rig.cloud, CloudSpec::demo());
    for secret in [PASSWORD, tokens.id.expose(), tokens.access.expose(), credentials.secret_key.expose()] {
        assert!(!printed.contains(secret));
    }
}

/// Third-party programs rely on the `exp` claim.
#[test]
fn an_id_token_is_good_until_the_second_of_its_exp() {
    let mut spec = CloudSpec::demo();
    spec.rules.token_life = 40 * SECOND;
    spec.rules.credential_life = 20 * SECOND;
    let mut rig = Rig::new(spec);
    rig.pass(Duration::from_millis(400));
    let tokens = rig.sign_in();
    assert_eq!(tokens.claims.exp, Some(WALL + 40));
    let credentials = rig.credentials(LEGACY_POOL, &tokens);
    let target = rig.presign(&credentials);
    rig.pass(Duration::from_millis(19_900));
    assert_eq!(rig.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Accept);
    rig.pass(Duration::from_millis(200));
    assert!(
        matches!(rig.upgrade(2, &target, "mqtt"), mysa_sim::Upgrade::Refuse(reply) if reply.status == 403)
    );
    rig.pass(Duration::from_millis(19_400));
    rig.get(&tokens, "/devices");
    rig.pass(Duration::from_millis(100));
    assert_eq!(rig.rest(&tokens, BACKEND, "GET", "/devices", None).0, 401);
}

#[test]
fn a_lifetime_of_any_length_is_taken() {
    for life in [Duration::ZERO, SECOND, 3_000_000_000 * SECOND, Duration::MAX] {
        let mut spec = CloudSpec::demo();
        (spec.rules.token_life, spec.rules.credential_life) = (life, life);
        spec.rules.refresh_life = life;
        let mut rig = Rig::new(spec);
        rig.pass(SECOND);
        let tokens = rig.sign_in();
        assert_eq!(rig.rest(&tokens, BACKEND, "GET", "/devices", None).0 == 200, !life.is_zero(), "{life:?}");
        if life < Duration::MAX && !life.is_zero() {
            rig.credentials(LEGACY_POOL, &tokens);
        }
        rig.pass(2 * SECOND);
        assert_eq!(rig.rest(&tokens, BACKEND, "GET", "/devices", None).0 == 200, life > SECOND, "{life:?}");
    }
}
