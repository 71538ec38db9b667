//! Client and server side of the exchange against each other, and values that must never be printed.

use mysa_cognito::server::{ClaimError, Verifier};
use mysa_cognito::srp::Ephemeral;
use mysa_cognito::{Pool, RefreshToken, Secret, SignIn, StoredSession, timestamp};
use proptest::prelude::*;

const POOL: &str = "GUFWfhI7g";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn client_and_server_agree_only_on_the_right_password(
        password in "\\PC{0,24}| .{0,8} |[\\$#'\"\\\\ ]{1,8}",
        other in "\\PC{1,24}",
        user in "[a-f0-9-]{1,36}",
        salt in "[1-9a-f][0-9a-f]{0,31}",
        a in prop::collection::vec(any::<u8>(), 32),
        b in prop::collection::vec(any::<u8>(), 32),
        now in 0_i64..4_000_000_000,
    ) {
        prop_assume!(a.iter().any(|&byte| byte != 0) && password != other);
        let a = Ephemeral::new(&a).expect("not zero");
        let verifier = Verifier::new(POOL, &user, &password, &salt).expect("hex");
        let exchange = verifier.challenge(&a.public_hex(), &b).expect("a public value");
        let stamp = timestamp(now);
        let sign = |password: &str| {
            a.claim_key(POOL, &user, password, &salt, &exchange.public_hex())
                .and_then(|key| key.sign(POOL, &user, "YmxvY2s=", &stamp))
                .expect("a claim")
        };
        prop_assert_eq!(exchange.check("YmxvY2s=", &stamp, &sign(&password), now), Ok(()));
        prop_assert_eq!(exchange.check("YmxvY2s=", &stamp, &sign(&other), now), Err(ClaimError::WrongSignature));
        prop_assert_eq!(exchange.check("YmxvY2s=", &stamp, &sign(&password), now + 301), Err(ClaimError::Skewed));
        prop_assert_eq!(exchange.check("b3RoZXI=", &stamp, &sign(&password), now), Err(ClaimError::WrongSignature));
    }
}

proptest! {
    #[test]
    fn no_answer_makes_a_step_panic(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", "client");
        let (_, wait) = SignIn::start(&pool, "u", Secret::from("p"), [1; 32]);
        let _ = wait.reply(status, &body, 0);
        let _ = StoredSession::from_json(&body);
    }
}

#[test]
fn blanks_around_a_password_are_part_of_it() {
    let verifier = Verifier::new(POOL, "u", " secret ", "1234").expect("hex");
    let trimmed = Verifier::new(POOL, "u", "secret", "1234").expect("hex");
    assert_ne!(verifier.verifier_hex(), trimmed.verifier_hex());
}

#[test]
fn no_secret_is_ever_printed() {
    const CANARY: &str = "canary-7f3a";
    let secret = || Secret::from(CANARY);
    let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", "client").with_client_secret(secret());
    let (request, wait) = SignIn::start(&pool, "user", secret(), [9; 32]);
    let mut stored = StoredSession::new("user", "client");
    stored.refresh_token = Some(RefreshToken::new(secret()));
    let (refresh_request, _) = mysa_cognito::refresh(
        &pool,
        &RefreshToken::new(secret()),
        mysa_cognito::RefreshFlow::GetTokensFromRefreshToken,
    );
    assert!(refresh_request.body().contains(CANARY), "the request contains the canary");
    let body = format!("{{\"__type\":\"NotAuthorizedException\",\"message\":\"{CANARY}\"}}");
    let printed_wait = format!("{wait:?}");
    let error = wait.reply(400, body.as_bytes(), 0).expect_err("a refusal");
    let printed = format!(
        "{request:?}{refresh_request:?}{printed_wait}{stored:?}{pool:?}{error:?}{error} {:?}",
        secret()
    );
    assert!(!printed.contains(CANARY), "{printed}");
}

#[test]
fn a_stored_session_is_read_back_and_damage_is_distinguished_from_a_later_version() {
    let mut stored = StoredSession::new("ann@example.org", "client");
    stored.refresh_token = Some(RefreshToken::new(Secret::from("t")));
    stored.identity_id = Some("us-east-1:x".into());
    stored.not_before = Some(7);
    stored.generation = u64::MAX;
    stored.refused_token = Some("0123456789abcdef".into());
    stored.publish_denied_at = Some(1_767_323_045);
    let text = stored.to_json();
    assert_eq!(StoredSession::from_json(text.as_bytes()), Ok(stored));
    for end in 0..text.len() {
        assert_eq!(
            StoredSession::from_json(&text.as_bytes()[..end]),
            Err(mysa_cognito::StoredError::Unreadable),
            "cut at {end}"
        );
    }
    let later = text.replace("\"version\":1", "\"version\":2");
    assert_eq!(
        StoredSession::from_json(later.as_bytes()),
        Err(mysa_cognito::StoredError::Newer { version: 2 })
    );
}

#[test]
fn a_session_of_an_earlier_version_is_read_without_newer_members() {
    let text = br#"{"version":1,"account":"ann@example.org","client_id":"client","refresh_token":"t",
        "identity_id":null,"refused":null,"not_before":7}"#;
    let stored = StoredSession::from_json(text).expect("version 1 stays readable");
    assert_eq!((stored.not_before, stored.publish_denied_at), (Some(7), None));
    assert_eq!((stored.generation, stored.refused_token.as_ref()), (0, None));
    assert!(!stored.to_json().contains("publish_denied_at"), "unknown values are not written");
}

#[test]
fn an_older_token_never_replaces_a_newer_one_and_a_refusal_deletes_only_its_own_token() {
    let session = |token: Option<&str>, generation| {
        let mut session = StoredSession::new("Ann@example.org", "client");
        session.refresh_token = token.map(|token| RefreshToken::new(Secret::from(token)));
        session.generation = generation;
        session
    };
    let kept = session(Some("two"), 2);
    let refused = |token: &str| {
        let mut refused = session(None, 2);
        refused.refused_token = Some(RefreshToken::new(Secret::from(token)).fingerprint());
        refused
    };
    let mut later_name = session(Some("three"), 3);
    later_name.account = " ann@EXAMPLE.org\r".into();
    let mut other_account = session(Some("three"), 3);
    other_account.account = "bob@example.org".into();
    let mut other_client = session(Some("one"), 1);
    other_client.client_id = "another".into();
    let mut other_client_without = other_client.clone();
    other_client_without.refresh_token = None;
    for (new, may) in [
        (session(Some("three"), 3), true),
        (later_name, true),
        (session(None, 3), true),
        (session(Some("two"), 2), true),
        (session(Some("other"), 2), false),
        (session(Some("one"), 1), false),
        (session(None, 1), false),
        (session(None, 2), false),
        (refused("one"), false),
        (refused("two"), true),
        (other_account, false),
        (other_client, true),
        (other_client_without, false),
    ] {
        assert_eq!(new.may_replace(&kept), may, "{new:?}");
    }
    assert!(session(Some("other"), 2).may_replace(&session(None, 2)), "the stored session has no token");
    let fingerprint = RefreshToken::new(Secret::from("two")).fingerprint();
    assert_eq!(fingerprint, "3fc4ccfe745870e2", "echo -n two | sha256sum");
}
