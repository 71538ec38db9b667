//! Passwords, codes, tokens, and lock-outs of the user pool.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod harness;

use std::time::Duration;

use harness::*;
use mysa_cognito::{Challenge, Pool, RefreshFlow, RefusalKind, Step, Tokens, refresh};
use mysa_sim::{
    AccountStatus, ChallengeSpec, CloudSpec, Endpoint, Fault, HttpAnswer, HttpFault, HttpRequest, Incident,
    SessionSecret, Window,
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const EMAIL: &str = CloudSpec::DEMO_EMAIL;
const PASSWORD: &str = CloudSpec::DEMO_PASSWORD;

/// `__type` of a refusal.
fn refusal(harness: &mut Harness, email: &str, password: &str) -> String {
    match harness.try_sign_in(LEGACY_CLIENT, email, password) {
        Err(error) => error.to_string(),
        Ok(step) => panic!("{step:?}"),
    }
}

fn renew(
    harness: &mut Harness,
    tokens: &Tokens,
    client: &str,
    way: RefreshFlow,
) -> Result<Tokens, mysa_cognito::Error> {
    let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", client);
    let (request, wait) = refresh(&pool, tokens.refresh.as_ref().unwrap(), way);
    let (status, body) = harness.aws(&request);
    wait.reply(status, &body)
}

#[test]
fn a_wrong_password_is_refused_and_five_lock_the_account() {
    let mut harness = Harness::demo();
    for _ in 0..5 {
        refusal(&mut harness, EMAIL, "wrong");
    }
    assert_eq!(harness.cloud.counters().wrong_passwords, 5);
    // The right password is refused too.
    let error = harness.try_sign_in(LEGACY_CLIENT, EMAIL, PASSWORD).unwrap_err();
    assert!(matches!(error, mysa_cognito::Error::Refused(refusal) if refusal.kind == RefusalKind::LockedOut));
    harness.pass(SECOND);
    refusal(&mut harness, EMAIL, "wrong");
    harness.pass(SECOND);
    refusal(&mut harness, EMAIL, PASSWORD);
    harness.pass(SECOND);
    harness.sign_in();
    assert_eq!(harness.cloud.counters().wrong_passwords, 6, "tries while it is locked are not looked at");
    refusal(&mut harness, EMAIL, "wrong");
    harness.sign_in();
}

#[test]
fn user_names_ignore_case_and_unknown_ones_are_reported() {
    let mut harness = Harness::demo();
    assert!(matches!(harness.try_sign_in(LEGACY_CLIENT, "User@Example.com", PASSWORD), Ok(Step::Done(_))));
    let error = harness.try_sign_in(LEGACY_CLIENT, "nobody@example.com", PASSWORD).unwrap_err();
    assert!(
        matches!(error, mysa_cognito::Error::Refused(refusal) if refusal.kind == RefusalKind::NoSuchUser)
    );
    assert!(harness.try_sign_in("no-such-client", EMAIL, PASSWORD).is_err());
    for status in [AccountStatus::Unconfirmed, AccountStatus::ResetRequired] {
        let mut spec = CloudSpec::demo();
        spec.accounts[0].status = status;
        refusal(&mut Harness::new(spec), EMAIL, PASSWORD);
    }
}

#[test]
fn passwords_of_every_kind_are_compared_byte_for_byte() {
    for password in ["p$a#s'w\"ord ", " trailing ", "mötdepässe-✓", "a\\b%20&c=1", "x"] {
        let mut spec = CloudSpec::demo();
        spec.accounts[0].password = password.into();
        let mut harness = Harness::new(spec);
        assert!(
            matches!(harness.try_sign_in(LEGACY_CLIENT, EMAIL, password), Ok(Step::Done(_))),
            "{password}"
        );
        refusal(&mut harness, EMAIL, &format!("{password} "));
    }
}

#[test]
fn codes_are_asked_for_in_order_and_a_wrong_one_may_be_mended_twice() {
    let mut spec = CloudSpec::demo();
    spec.accounts[0].challenges =
        vec![ChallengeSpec::Sms("123456".into()), ChallengeSpec::SoftwareToken("654321".into())];
    let mut harness = Harness::new(spec);
    let ask = |step: Result<Step, _>| match step {
        Ok(Step::Challenge(challenge)) => challenge,
        other => panic!("{other:?}"),
    };
    let answer = |harness: &mut Harness, challenge: &Challenge, code: &str| {
        let (request, wait) = challenge.answer(code);
        let (status, body) = harness.aws(&request);
        wait.reply(status, &body)
    };
    let challenge = ask(harness.try_sign_in(LEGACY_CLIENT, EMAIL, PASSWORD));
    assert_eq!(challenge.destination.as_deref(), Some("+*******0000"));
    assert!(answer(&mut harness, &challenge, "000000").is_err());
    let next = answer(&mut harness, &challenge, "123456");
    let challenge = ask(next);
    assert!(matches!(answer(&mut harness, &challenge, "654321"), Ok(Step::Done(_))));
    let challenge = ask(harness.try_sign_in(LEGACY_CLIENT, EMAIL, PASSWORD));
    harness.pass(181 * SECOND);
    assert!(answer(&mut harness, &challenge, "123456").is_err(), "a session lasts three minutes");
}

#[test]
fn rotation_replaces_the_refresh_token_and_bars_the_classic_way() {
    let mut spec = CloudSpec::demo();
    spec.rules.rotation = true;
    let mut harness = Harness::new(spec);
    let tokens = harness.sign_in();
    assert!(renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth).is_err());
    let fresh = renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).unwrap();
    assert!(fresh.refresh.is_some());
    assert!(
        renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).is_err(),
        "the old one is spent"
    );
    assert!(renew(&mut harness, &fresh, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).is_ok());
}

#[test]
fn refresh_tokens_are_bound_to_their_client_and_last_thirty_days() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    assert!(renew(&mut harness, &tokens, MODERN_CLIENT, RefreshFlow::GetTokensFromRefreshToken).is_err());
    harness.pass(Duration::from_secs(30 * 86_400 - 1));
    assert!(
        renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth).unwrap().refresh.is_none()
    );
    harness.pass(SECOND);
    assert!(
        renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth)
            .is_err_and(|error| error.needs_sign_in())
    );
}

#[test]
fn tokens_and_credentials_can_be_voided_from_outside() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let credentials = harness.credentials(LEGACY_POOL, &tokens);
    harness.cloud.act(at(harness.now), Incident::ExpireCredentials);
    let target = harness.presign(&credentials);
    assert!(
        matches!(harness.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Refuse(reply) if reply.status == 403)
    );
    harness.cloud.act(at(harness.now), Incident::ExpireTokens);
    assert_eq!(harness.rest(&tokens, LEGACY, "GET", "/devices", None).0, 401);
    let tokens = renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).unwrap();
    assert_eq!(harness.rest(&tokens, LEGACY, "GET", "/devices", None).0, 200);
    harness.cloud.act(at(harness.now), Incident::ChangePassword(EMAIL.into(), "Another-Horse-2".into()));
    assert_eq!(harness.rest(&tokens, LEGACY, "GET", "/devices", None).0, 401);
    refusal(&mut harness, EMAIL, PASSWORD);
    assert!(harness.try_sign_in(LEGACY_CLIENT, EMAIL, "Another-Horse-2").is_ok());
}

#[test]
fn too_many_requests_in_a_second_are_throttled() {
    let mut spec = CloudSpec::demo();
    spec.rules.sign_in_rate = 3;
    let mut harness = Harness::new(spec);
    harness.sign_in();
    let error = harness.try_sign_in(LEGACY_CLIENT, EMAIL, PASSWORD).unwrap_err();
    assert_eq!(error.recovery(), mysa_cognito::Recovery::Wait);
    harness.pass(SECOND);
    harness.sign_in();
}

#[test]
fn every_http_fault_applies_to_its_endpoint_alone() {
    let ask = |fault: HttpFault, endpoint: Endpoint| {
        let mut harness = Harness::demo();
        let tokens = harness.sign_in();
        harness.cloud.add_fault(Window::times(1, Fault::Http(endpoint, fault)));
        let headers = [("authorization", tokens.id.expose())];
        let request = HttpRequest {
            host: LEGACY,
            method: "GET",
            path: "/devices/state",
            query: "",
            headers: &headers,
            body: b"",
        };
        let answer = harness.cloud.handle_http(at(harness.now), &request);
        let after = harness.cloud.handle_http(at(harness.now), &request);
        assert!(
            matches!(after, HttpAnswer::Reply(ref reply) if reply.status == 200),
            "it applies once: {after:?}"
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
    let mut harness = Harness::demo();
    harness.cloud.add_fault(Window::times(1, Fault::Http(Endpoint::Rest, HttpFault::Hang)));
    let tokens = harness.sign_in();
    for (endpoint, name) in
        [(Endpoint::Refresh, "NotAuthorizedException"), (Endpoint::Refresh, "InternalErrorException")]
    {
        harness.cloud.add_fault(Window::times(1, Fault::Http(endpoint, HttpFault::Exception(name.into()))));
        let error =
            renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).unwrap_err();
        assert_eq!(error.needs_sign_in(), name == "NotAuthorizedException");
    }
}

#[test]
fn tokens_carry_the_claims_clients_read_and_keys_are_published() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    assert_eq!(tokens.claims.iss, "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_GUFWfhI7g");
    assert_eq!(
        (tokens.claims.aud.as_deref(), tokens.claims.token_use.as_deref()),
        (Some(LEGACY_CLIENT), Some("id"))
    );
    assert_eq!(tokens.claims.exp, Some(WALL + 3_600));
    let reply = harness.http(IDP, "GET", "/us-east-1_GUFWfhI7g/.well-known/jwks.json", &[], "");
    let keys: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, keys), (200, json!({ "keys": [] })), "a server's signer has keys to publish");
}

#[test]
fn nothing_prints_a_secret() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let credentials = harness.credentials(LEGACY_POOL, &tokens);
    let printed = format!("{:?} {:?}", harness.cloud, CloudSpec::demo());
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
    let mut harness = Harness::new(spec);
    harness.pass(Duration::from_millis(400));
    let tokens = harness.sign_in();
    assert_eq!(tokens.claims.exp, Some(WALL + 40));
    let credentials = harness.credentials(LEGACY_POOL, &tokens);
    let target = harness.presign(&credentials);
    harness.pass(Duration::from_millis(19_900));
    assert_eq!(harness.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Accept);
    harness.pass(Duration::from_millis(200));
    assert!(
        matches!(harness.upgrade(2, &target, "mqtt"), mysa_sim::Upgrade::Refuse(reply) if reply.status == 403)
    );
    harness.pass(Duration::from_millis(19_400));
    harness.get(&tokens, "/devices");
    harness.pass(Duration::from_millis(100));
    assert_eq!(harness.rest(&tokens, BACKEND, "GET", "/devices", None).0, 401);
}

#[test]
fn a_lifetime_of_any_length_is_taken() {
    for life in [Duration::ZERO, SECOND, 3_000_000_000 * SECOND, Duration::MAX] {
        let mut spec = CloudSpec::demo();
        (spec.rules.token_life, spec.rules.credential_life) = (life, life);
        spec.rules.refresh_life = life;
        let mut harness = Harness::new(spec);
        harness.pass(SECOND);
        let tokens = harness.sign_in();
        assert_eq!(
            harness.rest(&tokens, BACKEND, "GET", "/devices", None).0 == 200,
            !life.is_zero(),
            "{life:?}"
        );
        if life < Duration::MAX && !life.is_zero() {
            harness.credentials(LEGACY_POOL, &tokens);
        }
        harness.pass(2 * SECOND);
        assert_eq!(
            harness.rest(&tokens, BACKEND, "GET", "/devices", None).0 == 200,
            life > SECOND,
            "{life:?}"
        );
    }
}

/// A cloud that starts `secs` after the first one of the test, with this secret.
fn life(secret: Option<u8>, secs: u64, seed: u64) -> Harness {
    let mut spec = CloudSpec::demo();
    spec.session_secret = secret.map(|byte| SessionSecret::new([byte; 32]));
    let mut harness = Harness::seeded(spec, seed);
    harness.pass(Duration::from_secs(secs));
    harness
}

#[test]
fn tokens_and_credentials_of_an_earlier_cloud_are_accepted_with_its_secret() {
    let mut first = life(Some(1), 0, 1);
    let tokens = first.sign_in();
    let credentials = first.credentials(LEGACY_POOL, &tokens);
    let limited = {
        let tokens = first.sign_in_as(MODERN_CLIENT);
        first.credentials(MODERN_POOL, &tokens)
    };
    let mut second = life(Some(1), 600, 2);
    assert_eq!(second.rest(&tokens, LEGACY, "GET", "/devices", None).0, 200);
    for way in [RefreshFlow::InitiateAuth, RefreshFlow::GetTokensFromRefreshToken] {
        let renewed = renew(&mut second, &tokens, LEGACY_CLIENT, way).unwrap();
        assert_eq!(second.rest(&renewed, LEGACY, "GET", "/devices", None).0, 200);
    }
    assert!(renew(&mut second, &tokens, MODERN_CLIENT, RefreshFlow::InitiateAuth).is_err());
    second.credentials(LEGACY_POOL, &tokens);
    let target = second.presign(&credentials);
    assert_eq!(second.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Accept);
    second.send(1, &connect("again", 60));
    assert_eq!(second.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/out"]), [1]);
    // The pool of the newer apps may not publish, in any life.
    let target = second.presign(&limited);
    assert_eq!(second.upgrade(2, &target, "mqtt"), mysa_sim::Upgrade::Accept);
    second.send(2, &connect("limited", 60));
    second.publish(2, "/v1/dev/a0b1c2d3e4f5/in", b"{}");
    assert_eq!(second.closed.last().unwrap().0, 2);
    assert_eq!(second.cloud.counters().sign_ins, 0);
    // Both expire at their time, as if the cloud had gone on.
    second.pass(Duration::from_secs(2_999));
    assert_eq!(second.rest(&tokens, LEGACY, "GET", "/devices", None).0, 200);
    let target = second.presign(&credentials);
    assert_eq!(second.upgrade(3, &target, "mqtt"), mysa_sim::Upgrade::Accept);
    second.pass(SECOND);
    assert_eq!(second.rest(&tokens, LEGACY, "GET", "/devices", None).0, 401);
    let target = second.presign(&credentials);
    assert!(matches!(second.upgrade(4, &target, "mqtt"), mysa_sim::Upgrade::Refuse(_)));
    second.pass(Duration::from_secs(30 * 86_400 - 3_601));
    assert!(renew(&mut second, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth).is_ok());
    second.pass(SECOND);
    assert!(renew(&mut second, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth).is_err());
}

#[test]
fn without_the_secret_nothing_of_an_earlier_cloud_is_accepted() {
    for (made, asked) in [(Some(1), Some(2)), (Some(1), None), (None, Some(1)), (None, None)] {
        let mut first = life(made, 0, 1);
        let tokens = first.sign_in();
        let credentials = first.credentials(LEGACY_POOL, &tokens);
        let mut second = life(asked, 60, 2);
        assert_eq!(second.rest(&tokens, LEGACY, "GET", "/devices", None).0, 401, "{made:?} {asked:?}");
        assert!(renew(&mut second, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth).is_err());
        let target = second.presign(&credentials);
        assert!(matches!(second.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Refuse(_)));
    }
    // A token is accepted as it is, and for its own account.
    let mut first = life(Some(1), 0, 1);
    let tokens = first.sign_in();
    let id = tokens.id.expose().to_owned();
    let mut second = life(Some(1), 60, 2);
    let part = |n: usize| id.split('.').nth(n).unwrap().to_owned();
    let ends = if part(2).ends_with('A') { "B" } else { "A" };
    let signature = format!("{}{ends}", &part(2)[..part(2).len() - 1]);
    for forged in [
        format!("{}.{}.{signature}", part(0), part(1)),
        format!("{}.{}.", part(0), part(1)),
        format!("{}.{}", part(0), part(1)),
        format!("e30.{}.{}", part(1), part(2)),
        format!("{}.e30.{}", part(0), part(2)),
    ] {
        let reply = second.http(LEGACY, "GET", "/devices", &[("Authorization", &forged)], "");
        assert_eq!(reply.status, 401, "{forged}");
    }
    let mut spec = CloudSpec::demo();
    spec.accounts[0].user_id = "99999999-9999-4999-8999-999999999999".into();
    spec.session_secret = Some(SessionSecret::new([1; 32]));
    assert_eq!(Harness::new(spec).rest(&tokens, LEGACY, "GET", "/devices", None).0, 401);
}

#[test]
fn a_revoked_token_is_not_accepted_as_one_of_an_earlier_cloud() {
    for late in [false, true] {
        let mut first = life(Some(1), 0, 1);
        let tokens = first.sign_in();
        let credentials = first.credentials(LEGACY_POOL, &tokens);
        let mut second = if late { life(Some(1), 60, 2) } else { first };
        let access = |harness: &mut Harness| {
            let body = json!({ "AccessToken": tokens.access.expose() }).to_string();
            harness
                .http(
                    IDP,
                    "POST",
                    "/",
                    &[("X-Amz-Target", "AWSCognitoIdentityProviderService.GetUser")],
                    &body,
                )
                .status
        };
        assert_eq!(access(&mut second), 200);
        let refresh = tokens.refresh.as_ref().unwrap().expose().to_owned();
        let body = json!({ "ClientId": LEGACY_CLIENT, "Token": refresh }).to_string();
        let target = "AWSCognitoIdentityProviderService.RevokeToken";
        assert_eq!(second.http(IDP, "POST", "/", &[("X-Amz-Target", target)], &body).status, 200);
        assert_eq!(access(&mut second), 400);
        assert!(renew(&mut second, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth).is_err());
        assert_eq!(second.rest(&tokens, LEGACY, "GET", "/devices", None).0, 200, "id tokens stay");
        second.cloud.act(at(second.now), Incident::ExpireTokens);
        assert_eq!(second.rest(&tokens, LEGACY, "GET", "/devices", None).0, 401);
        second.cloud.act(at(second.now), Incident::ExpireCredentials);
        let target = second.presign(&credentials);
        assert!(matches!(second.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Refuse(_)));
        second.pass(SECOND);
        let tokens = second.sign_in();
        assert_eq!(second.rest(&tokens, LEGACY, "GET", "/devices", None).0, 200);
        second.cloud.act(at(second.now), Incident::RevokeTokens(EMAIL.into()));
        assert_eq!(second.rest(&tokens, LEGACY, "GET", "/devices", None).0, 401);
        assert!(renew(&mut second, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth).is_err());
    }
    // A refresh token that rotation has replaced is of no use in the same cloud.
    let mut spec = CloudSpec::demo();
    spec.session_secret = Some(SessionSecret::new([1; 32]));
    spec.rules.rotation = true;
    let mut harness = Harness::new(spec);
    let tokens = harness.sign_in();
    assert!(renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).is_ok());
    assert!(renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::GetTokensFromRefreshToken).is_err());
}

#[test]
fn a_remembered_device_is_refreshed_with_its_key_alone() {
    for secret in [None, Some(SessionSecret::new([1; 32]))] {
        let mut spec = CloudSpec::demo();
        spec.add_named_fault("remember-devices").unwrap();
        spec.session_secret = secret;
        let mut harness = Harness::new(spec);
        harness.answers.clear();
        let tokens = harness.sign_in();
        let metadata = harness.answers.last().unwrap()["AuthenticationResult"]["NewDeviceMetadata"].clone();
        let key = metadata["DeviceKey"].as_str().unwrap().to_owned();
        assert!(key.starts_with("us-east-1_") && metadata["DeviceGroupKey"].is_string(), "{metadata}");
        let refresh = tokens.refresh.as_ref().unwrap().expose().to_owned();
        let ask = |harness: &mut Harness, action: &str, body: Value| {
            let target = format!("AWSCognitoIdentityProviderService.{action}");
            let reply = harness.http(IDP, "POST", "/", &[("X-Amz-Target", &target)], &body.to_string());
            (reply.status, serde_json::from_slice::<Value>(&reply.body).unwrap())
        };
        let classic = |harness: &mut Harness, key: Option<&str>| {
            let parameters = json!({ "REFRESH_TOKEN": refresh, "DEVICE_KEY": key });
            let body = json!({ "AuthFlow": "REFRESH_TOKEN_AUTH", "ClientId": LEGACY_CLIENT, "AuthParameters": parameters });
            ask(harness, "InitiateAuth", body)
        };
        let modern = |harness: &mut Harness, key: Option<&str>| {
            let body = json!({ "ClientId": LEGACY_CLIENT, "RefreshToken": refresh, "DeviceKey": key });
            ask(harness, "GetTokensFromRefreshToken", body)
        };
        let (status, refused) = classic(&mut harness, Some(&key));
        assert_eq!(
            (status, &refused["__type"]),
            (400, &json!("NotAuthorizedException")),
            "it is not confirmed"
        );
        let confirm = |harness: &mut Harness, key: &str| {
            let body =
                json!({ "AccessToken": tokens.access.expose(), "DeviceKey": key, "DeviceName": "test" });
            ask(harness, "ConfirmDevice", body)
        };
        assert_eq!(confirm(&mut harness, "us-east-1_other").1["__type"], "ResourceNotFoundException");
        assert_eq!(confirm(&mut harness, &key), (200, json!({ "UserConfirmationNecessary": false })));
        for (sent, status) in [(None, 400), (Some("us-east-1_other"), 400), (Some(key.as_str()), 200)] {
            let (got, answer) = classic(&mut harness, sent);
            assert_eq!(got, status, "{sent:?} {answer}");
            assert_eq!(modern(&mut harness, sent).0, status, "{sent:?}");
            if status == 400 {
                assert_eq!(answer["message"], "Invalid Refresh Token.");
            }
        }
        // The client of this workspace does not have the key, and is to sign in again.
        let refused = renew(&mut harness, &tokens, LEGACY_CLIENT, RefreshFlow::InitiateAuth);
        assert!(refused.is_err_and(|error| error.needs_sign_in()));
    }
    let mut harness = Harness::demo();
    harness.sign_in();
    assert_eq!(harness.answers.last().unwrap()["AuthenticationResult"].get("NewDeviceMetadata"), None);
}
