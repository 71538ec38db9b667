//! Handling of the answers of the two Cognito pools.

mod harness;

use std::time::Duration;

use harness::{Harness, Reply, START, stored};
use mysa_cognito::{RefusalKind, StoredSession};
use mysa_session::{Event, Level, Reason, Settings, Start};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn refusal(body: &'static str) -> Reply {
    Reply::Status(400, body)
}

const CODE_WANTED: Reply = Reply::Status(
    200,
    r#"{"ChallengeName":"SOFTWARE_TOKEN_MFA","Session":"s","ChallengeParameters":{"USER_ID_FOR_SRP":"u"}}"#,
);
const NOT_AUTHORIZED: Reply = refusal(r#"{"__type":"NotAuthorizedException","message":"no"}"#);
const NO_SUCH_USER: Reply = refusal(r#"{"__type":"UserNotFoundException","message":"no"}"#);
const THROTTLED: Reply = refusal(r#"{"__type":"TooManyRequestsException","message":"no"}"#);
const FIREWALL: Reply = refusal(r#"{"__type":"ForbiddenException","message":"no"}"#);
const HOOK_FAILED: Reply = refusal(r#"{"__type":"UserLambdaValidationException","message":"no"}"#);
const LOCKED_OUT: Reply =
    refusal(r#"{"__type":"NotAuthorizedException","message":"Password attempts exceeded"}"#);
const IDENTITY_UNKNOWN: Reply = refusal(r#"{"__type":"ResourceNotFoundException","message":"no"}"#);

fn with_password() -> Harness {
    let start = Start::Password { username: "ann@example.org".into(), password: "hunter2".into() };
    Harness::with(Settings::default(), start, 0)
}

fn resumed(stored: StoredSession, password: Option<&str>) -> Harness {
    let start = Start::Resume { stored, password: password.map(Into::into) };
    Harness::with(Settings::default(), start, 0)
}

/// Session that waited for a code and has answered it.
fn with_code(respond: Reply) -> Harness {
    let mut harness = with_password();
    harness.cloud.refresh = CODE_WANTED;
    harness.run(secs(1));
    assert_eq!(challenges(&harness), 1);
    harness.cloud.respond = respond;
    harness.session.answer_challenge(harness.now(), "111111").expect("it waits for a code");
    harness
}

fn challenges(harness: &Harness) -> usize {
    harness.events.iter().filter(|(_, event)| matches!(event, Event::Challenge(_))).count()
}

fn not_before(harness: &Harness) -> Option<i64> {
    let at = harness.stored.as_ref().and_then(|stored| stored.not_before)?;
    Some(at - START / 1_000)
}

#[test]
fn a_code_that_did_not_reach_the_service_can_be_entered_again() {
    let mut harness = with_code(Reply::Timeout);
    harness.run(secs(60));
    assert_eq!((harness.asked("InitiateAuth"), harness.asked("RespondToAuthChallenge")), (1, 1));
    harness.cloud.respond = Reply::Good;
    harness.session.answer_challenge(harness.now(), "111111").expect("the challenge is still open");
    harness.run(secs(10));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

#[test]
fn a_late_code_leads_to_a_new_sign_in_and_a_new_challenge() {
    let mut harness = with_code(NOT_AUTHORIZED);
    harness.run(secs(3_600));
    assert_eq!((harness.asked("InitiateAuth"), challenges(&harness)), (2, 2));
    assert_eq!(harness.session.service().reason, Reason::ChallengeOpen);
    assert!(harness.stored.is_none_or(|stored| stored.refused.is_none()));
}

#[test]
fn an_account_that_is_refused_after_the_code_is_not_signed_in_again() {
    let mut harness = with_code(NO_SUCH_USER);
    harness.run(secs(3_600));
    assert_eq!((harness.asked("InitiateAuth"), challenges(&harness)), (1, 1));
    assert_eq!(harness.session.service().reason, Reason::Refused(RefusalKind::NoSuchUser));
    assert_eq!(harness.stored.and_then(|stored| stored.refused).as_deref(), Some("UserNotFoundException"));
}

#[test]
fn unusable_srp_values_do_not_count_as_a_refusal_of_the_password() {
    let mut harness = with_password();
    harness.cloud.refresh = Reply::Status(
        200,
        r#"{"ChallengeName":"PASSWORD_VERIFIER","ChallengeParameters":{"USER_ID_FOR_SRP":"u","SALT":"1","SRP_B":"0","SECRET_BLOCK":"s"}}"#,
    );
    harness.run(secs(10));
    assert_eq!((harness.asked("InitiateAuth"), harness.asked("RespondToAuthChallenge")), (1, 0));
    assert!(harness.stored.as_ref().is_none_or(|stored| stored.refused.is_none()));
    assert_eq!(harness.session.service().reason, Reason::InvalidSignInAnswer);
    // The password is kept and tried again.
    harness.cloud.refresh = Reply::Good;
    harness.run(secs(120));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

#[test]
fn a_challenge_without_its_members_is_reported_as_an_invalid_answer() {
    for body in [
        r#"{"ChallengeName":"PASSWORD_VERIFIER"}"#,
        r#"{"ChallengeName":"PASSWORD_VERIFIER","ChallengeParameters":{"USER_ID_FOR_SRP":"u"}}"#,
        r#"{"Session":"s"}"#,
    ] {
        let mut harness = with_password();
        harness.cloud.refresh = Reply::Status(200, body);
        harness.run(secs(10));
        let service = harness.session.service();
        assert_eq!((service.level, service.reason), (Level::Offline, Reason::InvalidSignInAnswer), "{body}");
    }
}

#[test]
fn a_challenge_that_only_the_app_can_answer_is_reported_by_name() {
    let long = r#"{"ChallengeName":"A_CHALLENGE_WITH_A_NAME_OF_MORE_THAN_32_LETTERS","Session":"s"}"#;
    for (body, name) in [
        (r#"{"ChallengeName":"NEW_PASSWORD_REQUIRED","Session":"s"}"#, "NEW_PASSWORD_REQUIRED"),
        (r#"{"ChallengeName":"WEB AUTHN\u001b[2J","Session":"s"}"#, "WEB?AUTHN??2J"),
        (long, "A_CHALLENGE_WITH_A_NAME_OF_MORE_"),
    ] {
        let mut harness = with_password();
        harness.cloud.refresh = Reply::Status(200, body);
        harness.run(secs(10));
        let service = harness.session.service();
        let Reason::ChallengeUnsupported(reported) = service.reason else { panic!("{service}") };
        assert_eq!((service.level, reported.as_str()), (Level::SignInNeeded, name));
        assert!(service.to_string().contains(name), "{service}");
    }
}

#[test]
fn a_disabled_account_is_distinguished_from_a_wrong_password() {
    const DISABLED: Reply = refusal(r#"{"__type":"NotAuthorizedException","message":"User is disabled."}"#);
    for mut harness in [with_password(), resumed(stored(), None)] {
        harness.cloud.refresh = DISABLED;
        harness.run(secs(60));
        let service = harness.session.service();
        assert_eq!(service.reason, Reason::Refused(RefusalKind::AccountDisabled), "{service}");
        assert_eq!(service.level, Level::SignInNeeded);
    }
}

#[test]
fn a_web_page_in_place_of_the_sign_in_service_is_reported_as_such() {
    let mut harness = with_password();
    harness.cloud.refresh = Reply::Status(200, "<html>sign in to the network</html>");
    harness.run(secs(10));
    assert_eq!(harness.session.service().reason, Reason::WebPage);
}

#[test]
fn a_refusal_of_the_identity_pool_is_reported_as_the_reason() {
    let misconfigured = refusal(r#"{"__type":"InvalidIdentityPoolConfigurationException","message":"no"}"#);
    for (reply, kind) in
        [(NOT_AUTHORIZED, RefusalKind::LoginTokenRejected), (misconfigured, RefusalKind::PoolMisconfigured)]
    {
        let mut harness = Harness::new();
        harness.cloud.credentials = reply;
        harness.run(secs(30));
        let service = harness.session.service();
        assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::Refused(kind)), "{service}");
    }
}

#[test]
fn a_refused_refresh_token_without_a_password_is_reported_as_the_reason() {
    let mut harness = resumed(stored(), None);
    harness.cloud.refresh = NOT_AUTHORIZED;
    harness.run(secs(60));
    assert_eq!(harness.session.service().reason, Reason::Refused(RefusalKind::RefreshRejected));

    // The next run has no token, for the same reason.
    let mut next = resumed(harness.stored.expect("the refusal is kept"), None);
    next.run(secs(60));
    assert_eq!(next.session.service().reason, Reason::Refused(RefusalKind::RefreshRejected));
    assert_eq!(next.asked("InitiateAuth"), 0);
}

#[test]
fn a_refusal_of_the_account_itself_does_not_use_the_password() {
    let mut harness = resumed(stored(), Some("hunter2"));
    harness.cloud.refresh = NO_SUCH_USER;
    harness.run(secs(3_600));
    assert_eq!(harness.asked("InitiateAuth"), 1);
    assert_eq!(harness.session.service().reason, Reason::Refused(RefusalKind::NoSuchUser));
}

#[test]
fn tokens_that_the_identity_pool_refuses_are_renewed_at_once_but_only_once() {
    let mut harness = Harness::new();
    harness.cloud.credentials = NOT_AUTHORIZED;
    harness.run(Duration::from_millis(600));
    assert_eq!((harness.asked("InitiateAuth"), harness.asked("GetCredentialsForIdentity")), (2, 2));
    harness.run(secs(1_800));
    assert_eq!(harness.asked("InitiateAuth"), 2);
    assert!(
        harness.asked("GetCredentialsForIdentity") < 40,
        "{}",
        harness.asked("GetCredentialsForIdentity")
    );
}

#[test]
fn an_identity_id_unknown_to_the_pool_is_requested_anew() {
    let mut harness = Harness::live();
    harness.cloud.credentials = IDENTITY_UNKNOWN;
    harness.run(secs(3_600));
    assert!(harness.asked("GetId") > 1, "{:?}", harness.log.http);
    harness.cloud.credentials = Reply::Good;
    harness.run(secs(600));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

#[test]
fn a_failed_hook_of_the_pool_is_retried_soon_and_then_rarely() {
    let mut harness = Harness::new();
    harness.cloud.refresh = HOOK_FAILED;
    harness.run(secs(3));
    assert_eq!(harness.asked("InitiateAuth"), 2);
    harness.run(secs(57));
    assert_eq!(harness.asked("InitiateAuth"), 2, "the pause is at least a minute");
    harness.run(secs(125));
    assert_eq!(harness.asked("InitiateAuth"), 3, "the pause is at most three minutes");
}

#[test]
fn a_lock_out_is_waited_for_in_full_and_kept_for_the_next_run() {
    let mut harness = with_password();
    harness.cloud.refresh = LOCKED_OUT;
    harness.run(secs(15 * 60));
    assert_eq!((harness.asked("InitiateAuth"), not_before(&harness)), (1, Some(15 * 60)));
    assert_eq!(harness.session.service().reason, Reason::Throttled);
    harness.run(secs(2));
    assert_eq!(harness.asked("InitiateAuth"), 2);

    let mut next = resumed(harness.stored.expect("the wait is kept"), Some("hunter2"));
    next.mono = harness.mono;
    next.run(secs(14 * 60));
    assert_eq!(next.asked("InitiateAuth"), 0);
}

#[test]
fn a_throttle_is_waited_for_and_kept_for_the_next_run_but_a_firewall_is_not() {
    let blocked = Reason::Refused(RefusalKind::Blocked);
    for (reply, kept, reason) in [(THROTTLED, true, Reason::Throttled), (FIREWALL, false, blocked)] {
        let mut harness = with_password();
        harness.cloud.refresh = reply;
        harness.run(secs(59));
        assert_eq!(harness.asked("InitiateAuth"), 1, "{reply:?}");
        assert_eq!(not_before(&harness).is_some_and(|wait| (60..=120).contains(&wait)), kept, "{reply:?}");
        assert!(kept || harness.stored.is_none(), "{reply:?}");
        assert_eq!(harness.session.service().reason, reason);
        harness.run(secs(65));
        assert_eq!(harness.asked("InitiateAuth"), 2, "{reply:?}");
    }
}

#[test]
fn the_pause_that_a_retry_after_header_asks_for_is_kept() {
    // The date in the second form is twenty minutes ahead.
    for (header, wait) in [("1200", 1_200), ("Fri, 02 Jan 2026 03:24:05 GMT", 1_200), ("86400", 3_600)] {
        for reply in [Reply::Status(503, ""), Reply::Status(429, "{}")] {
            let mut harness = Harness::new();
            harness.cloud.refresh = reply;
            harness.cloud.retry_after = Some(header);
            harness.run(secs(wait - 2));
            assert_eq!(harness.asked("InitiateAuth"), 1, "{header} {reply:?}");
            harness.run(secs(4));
            assert_eq!(harness.asked("InitiateAuth"), 2, "{header} {reply:?}");
        }
    }
}

#[test]
fn short_pauses_between_requests_are_not_those_between_sign_ins_by_password() {
    let mut settings = Settings::default();
    settings.http_backoff_cap = secs(12);
    let password = || Start::Password { username: "ann@example.org".into(), password: "hunter2".into() };
    let resume = || Start::Resume { stored: stored(), password: None };
    for (start, expected) in [(password as fn() -> Start, 12..=60), (resume, 60..=150)] {
        for reply in [Reply::Status(500, "{}"), Reply::Timeout] {
            let mut harness = Harness::with(settings.clone(), start(), 0);
            harness.stored = Some(stored());
            harness.cloud.refresh = reply;
            harness.run(secs(3_600));
            let asked = harness.asked("InitiateAuth") + harness.asked("GetTokensFromRefreshToken");
            assert!(expected.contains(&asked), "{asked} in an hour, {reply:?}");
        }
    }
}

#[test]
fn a_pool_that_no_request_can_reach_is_tried_at_short_intervals() {
    let mut settings = Settings::default();
    settings.http_backoff_cap = secs(12);
    let mut harness = Harness::with(settings, Start::Resume { stored: stored(), password: None }, 0);
    harness.stored = Some(stored());
    harness.cloud.has_network = false;
    harness.run(secs(3_600));
    assert!((300..=1_200).contains(&harness.log.unreachable), "{} in an hour", harness.log.unreachable);
    harness.cloud.has_network = true;
    harness.run(secs(13));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

#[test]
fn pauses_begin_small_again_after_a_success() {
    let mut harness = Harness::new();
    harness.cloud.refresh = Reply::Status(500, "{}");
    harness.run(secs(1_800));
    harness.cloud.refresh = Reply::Good;
    harness.run(secs(310));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
    harness.cloud.refresh = Reply::Status(500, "{}");
    let before = harness.asked("InitiateAuth");
    while harness.asked("InitiateAuth") == before {
        harness.run(secs(1));
    }
    // The pauses are at most 2, 4 and 8 seconds long.
    harness.run(secs(15));
    assert!(harness.asked("InitiateAuth") - before >= 4, "{}", harness.asked("InitiateAuth") - before);
}

#[test]
fn records_of_earlier_failures_are_removed_from_the_store_once_the_tokens_are_renewed() {
    let (refusal, wait) = (Some("NotAuthorizedException"), Some(START / 1_000 + 60));
    for (refused, not_before) in [(refusal, None), (None, wait), (refusal, wait)] {
        let mut marked = stored();
        // With a known identity id, nothing else is to be stored.
        marked.identity_id = Some("us-east-1:identity".into());
        marked.refused = refused.map(Into::into);
        marked.not_before = not_before;
        let mut harness = resumed(marked.clone(), None);
        harness.stored = Some(marked);
        harness.run(secs(10));
        assert_eq!(harness.session.service().level, Level::Live);
        let kept = harness.stored.expect("kept");
        assert_eq!((kept.refused, kept.not_before), (None, None), "{refused:?} {not_before:?}");
    }
}

#[test]
fn credentials_that_expire_on_arrival_are_not_used_and_asked_for_with_growing_pauses() {
    let mut harness = Harness::new();
    harness.cloud.credentials_life = 25;
    harness.run(secs(3_600));
    assert_eq!(harness.log.dials.len(), 0);
    assert!((8..40).contains(&harness.asked("GetCredentialsForIdentity")));
    let service = harness.session.service();
    assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::ServerTrouble { status: 200 }));
}

#[test]
fn short_lived_credentials_are_used_for_three_quarters_of_their_life() {
    let mut harness = Harness::new();
    harness.cloud.credentials_life = 400;
    harness.run(secs(3_600));
    let asked = harness.asked("GetCredentialsForIdentity");
    assert!((11..=13).contains(&asked), "{asked}");
}

#[test]
fn a_late_401_does_not_discard_newer_tokens() {
    let mut harness = Harness::live();
    let before = harness.asked("InitiateAuth");
    harness.cloud.rest = Reply::Status(401, "{}");
    harness.session.request(harness.now(), mysa_proto::rest::homes()).expect("there is room");
    harness.drain();
    harness.cloud.rest_takes = secs(5);
    harness.session.request(harness.now(), mysa_proto::rest::homes()).expect("there is room");
    harness.drain();
    harness.cloud.rest = Reply::Good;
    harness.run(secs(60));
    assert_eq!(harness.asked("/homes"), 4, "each request is repeated once");
    assert_eq!(harness.asked("InitiateAuth") - before, 1);
}

#[test]
fn tokens_that_cannot_be_renewed_are_used_until_they_expire_and_then_the_store_is_polled() {
    let mut harness = Harness::live();
    harness.cloud.refresh = NOT_AUTHORIZED;
    // Tokens are renewed five minutes before they expire.
    harness.run(secs(57 * 60));
    assert_eq!(harness.session.service().level, Level::SignInNeeded);
    let before = harness.asked("/devices/state");
    harness.run(secs(150));
    assert!(harness.asked("/devices/state") > before, "the states must still be read");

    harness.run(secs(5 * 60));
    harness.cloud.refresh = Reply::Good;
    let mut elsewhere = stored();
    elsewhere.refresh_token = Some(mysa_cognito::RefreshToken::new("signed-in-elsewhere".into()));
    elsewhere.generation = 1;
    harness.stored = Some(elsewhere);
    harness.run(secs(90));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

const PASSWORD_WANTED: Reply = Reply::Status(
    200,
    r#"{"ChallengeName":"PASSWORD_VERIFIER","ChallengeParameters":{"USER_ID_FOR_SRP":"u","SALT":"1","SRP_B":"2","SECRET_BLOCK":"cw=="}}"#,
);

/// Suspends the host for an hour. Its monotonic clock counts the time or not.
fn suspend(harness: &mut Harness, counted: bool) {
    if counted {
        harness.mono += secs(3_600);
    } else {
        harness.host_ahead_ms += 3_600_000;
        harness.truth_ahead_secs += 3_600;
    }
}

#[test]
fn a_challenge_that_expired_in_a_suspend_is_not_answered() {
    for counted in [false, true] {
        let mut harness = with_password();
        harness.cloud.refresh = PASSWORD_WANTED;
        harness.run(harness::LATENCY / 2);
        suspend(&mut harness, counted);
        harness.run(secs(1));
        assert_eq!(
            (harness.asked("InitiateAuth"), harness.asked("RespondToAuthChallenge")),
            (1, 0),
            "{counted}"
        );
        harness.run(secs(10));
        assert_eq!(
            (harness.asked("InitiateAuth"), harness.asked("RespondToAuthChallenge")),
            (2, 1),
            "{counted}"
        );
        assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
    }
}

#[test]
fn a_refusal_that_spans_a_suspend_does_not_count_as_a_wrong_password() {
    for counted in [false, true] {
        let mut harness = with_password();
        harness.cloud.refresh = PASSWORD_WANTED;
        harness.cloud.respond = NOT_AUTHORIZED;
        harness.run(harness::LATENCY * 3 / 2);
        assert_eq!(harness.asked("RespondToAuthChallenge"), 1);
        suspend(&mut harness, counted);
        harness.run(secs(1));
        assert_ne!(harness.session.service().level, Level::SignInNeeded, "{}", harness.session.service());
        assert!(harness.stored.as_ref().is_none_or(|stored| stored.refused.is_none()));
        harness.cloud.respond = Reply::Good;
        harness.run(secs(10));
        assert_eq!(
            (harness.asked("InitiateAuth"), harness.asked("RespondToAuthChallenge")),
            (2, 2),
            "{counted}"
        );
        assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
    }
}

#[test]
fn a_wrong_password_is_reported_after_a_suspend_too_and_not_tried_again() {
    for suspends in [1, 20] {
        let mut harness = with_password();
        harness.cloud.refresh = PASSWORD_WANTED;
        harness.cloud.respond = NOT_AUTHORIZED;
        for number in 0..suspends {
            // Each answer to the claim arrives after a suspend.
            while harness.asked("RespondToAuthChallenge") <= number && harness.mono < secs(86_400) {
                harness.run(Duration::from_millis(1));
                if harness.session.service().level == Level::SignInNeeded {
                    break;
                }
            }
            suspend(&mut harness, false);
        }
        harness.run(secs(3_600));
        let service = harness.session.service();
        assert_eq!(service.reason, Reason::Refused(RefusalKind::WrongCredentials), "{service}");
        let tried = if suspends == 1 { 2 } else { 4 };
        assert_eq!(harness.asked("RespondToAuthChallenge"), tried, "after {suspends} suspends");
        assert_eq!(
            harness.stored.and_then(|stored| stored.refused).as_deref(),
            Some("NotAuthorizedException")
        );
    }
}
