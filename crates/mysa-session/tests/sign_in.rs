//! Handling of the answers of the two Cognito pools.

mod rig;

use std::time::Duration;

use mysa_cognito::{RefusalKind, StoredSession};
use mysa_session::{Event, Level, Reason, Settings, Start};
use rig::{Reply, Rig, START, stored};

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

fn with_password() -> Rig {
    let start = Start::Password { username: "ann@example.org".into(), password: "hunter2".into() };
    Rig::with(Settings::default(), start, 0)
}

fn resumed(stored: StoredSession, password: Option<&str>) -> Rig {
    let start = Start::Resume { stored, password: password.map(Into::into) };
    Rig::with(Settings::default(), start, 0)
}

/// Session that waited for a code and has answered it.
fn with_code(respond: Reply) -> Rig {
    let mut rig = with_password();
    rig.cloud.refresh = CODE_WANTED;
    rig.run(secs(1));
    assert_eq!(challenges(&rig), 1);
    rig.cloud.respond = respond;
    rig.session.answer_challenge(rig.now(), "111111").expect("it waits for a code");
    rig
}

fn challenges(rig: &Rig) -> usize {
    rig.events.iter().filter(|(_, event)| matches!(event, Event::Challenge(_))).count()
}

fn not_before(rig: &Rig) -> Option<i64> {
    let at = rig.stored.as_ref().and_then(|stored| stored.not_before)?;
    Some(at - START / 1_000)
}

#[test]
fn a_code_that_did_not_reach_the_service_can_be_entered_again() {
    let mut rig = with_code(Reply::Timeout);
    rig.run(secs(60));
    assert_eq!((rig.asked("InitiateAuth"), rig.asked("RespondToAuthChallenge")), (1, 1));
    rig.cloud.respond = Reply::Good;
    rig.session.answer_challenge(rig.now(), "111111").expect("the challenge is still open");
    rig.run(secs(10));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
}

#[test]
fn a_late_code_leads_to_a_new_sign_in_and_a_new_challenge() {
    let mut rig = with_code(NOT_AUTHORIZED);
    rig.run(secs(3_600));
    assert_eq!((rig.asked("InitiateAuth"), challenges(&rig)), (2, 2));
    assert_eq!(rig.session.service().reason, Reason::ChallengeOpen);
    assert!(rig.stored.is_none_or(|stored| stored.refused.is_none()));
}

#[test]
fn an_account_that_is_refused_after_the_code_is_not_signed_in_again() {
    let mut rig = with_code(NO_SUCH_USER);
    rig.run(secs(3_600));
    assert_eq!((rig.asked("InitiateAuth"), challenges(&rig)), (1, 1));
    assert_eq!(rig.session.service().reason, Reason::Refused(RefusalKind::NoSuchUser));
    assert_eq!(rig.stored.and_then(|stored| stored.refused).as_deref(), Some("UserNotFoundException"));
}

#[test]
fn unusable_srp_values_do_not_count_as_a_refusal_of_the_password() {
    let mut rig = with_password();
    rig.cloud.refresh = Reply::Status(
        200,
        r#"{"ChallengeName":"PASSWORD_VERIFIER","ChallengeParameters":{"USER_ID_FOR_SRP":"u","SALT":"1","SRP_B":"0","SECRET_BLOCK":"s"}}"#,
    );
    rig.run(secs(10));
    assert_eq!((rig.asked("InitiateAuth"), rig.asked("RespondToAuthChallenge")), (1, 0));
    assert!(rig.stored.as_ref().is_none_or(|stored| stored.refused.is_none()));
    assert_eq!(rig.session.service().reason, Reason::InvalidSignInAnswer);
    // The password is kept and tried again.
    rig.cloud.refresh = Reply::Good;
    rig.run(secs(120));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
}

#[test]
fn a_challenge_without_its_members_is_reported_as_an_invalid_answer() {
    for body in [
        r#"{"ChallengeName":"PASSWORD_VERIFIER"}"#,
        r#"{"ChallengeName":"PASSWORD_VERIFIER","ChallengeParameters":{"USER_ID_FOR_SRP":"u"}}"#,
        r#"{"Session":"s"}"#,
    ] {
        let mut rig = with_password();
        rig.cloud.refresh = Reply::Status(200, body);
        rig.run(secs(10));
        let service = rig.session.service();
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
        let mut rig = with_password();
        rig.cloud.refresh = Reply::Status(200, body);
        rig.run(secs(10));
        let service = rig.session.service();
        let Reason::ChallengeUnsupported(reported) = service.reason else { panic!("{service}") };
        assert_eq!((service.level, reported.as_str()), (Level::SignInNeeded, name));
        assert!(service.to_string().contains(name), "{service}");
    }
}

#[test]
fn a_disabled_account_is_distinguished_from_a_wrong_password() {
    const DISABLED: Reply = refusal(r#"{"__type":"NotAuthorizedException","message":"User is disabled."}"#);
    for mut rig in [with_password(), resumed(stored(), None)] {
        rig.cloud.refresh = DISABLED;
        rig.run(secs(60));
        let service = rig.session.service();
        assert_eq!(service.reason, Reason::Refused(RefusalKind::AccountDisabled), "{service}");
        assert_eq!(service.level, Level::SignInNeeded);
    }
}

#[test]
fn a_web_page_in_place_of_the_sign_in_service_is_reported_as_such() {
    let mut rig = with_password();
    rig.cloud.refresh = Reply::Status(200, "<html>sign in to the network</html>");
    rig.run(secs(10));
    assert_eq!(rig.session.service().reason, Reason::WebPage);
}

#[test]
fn a_refusal_of_the_identity_pool_is_reported_as_the_reason() {
    let misconfigured = refusal(r#"{"__type":"InvalidIdentityPoolConfigurationException","message":"no"}"#);
    for (reply, kind) in
        [(NOT_AUTHORIZED, RefusalKind::LoginTokenRejected), (misconfigured, RefusalKind::PoolMisconfigured)]
    {
        let mut rig = Rig::new();
        rig.cloud.credentials = reply;
        rig.run(secs(30));
        let service = rig.session.service();
        assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::Refused(kind)), "{service}");
    }
}

#[test]
fn a_refused_refresh_token_without_a_password_is_reported_as_the_reason() {
    let mut rig = resumed(stored(), None);
    rig.cloud.refresh = NOT_AUTHORIZED;
    rig.run(secs(60));
    assert_eq!(rig.session.service().reason, Reason::Refused(RefusalKind::RefreshRejected));

    // The next run has no token, for the same reason.
    let mut next = resumed(rig.stored.expect("the refusal is kept"), None);
    next.run(secs(60));
    assert_eq!(next.session.service().reason, Reason::Refused(RefusalKind::RefreshRejected));
    assert_eq!(next.asked("InitiateAuth"), 0);
}

#[test]
fn a_refusal_of_the_account_itself_does_not_use_the_password() {
    let mut rig = resumed(stored(), Some("hunter2"));
    rig.cloud.refresh = NO_SUCH_USER;
    rig.run(secs(3_600));
    assert_eq!(rig.asked("InitiateAuth"), 1);
    assert_eq!(rig.session.service().reason, Reason::Refused(RefusalKind::NoSuchUser));
}

#[test]
fn tokens_that_the_identity_pool_refuses_are_renewed_at_once_but_only_once() {
    let mut rig = Rig::new();
    rig.cloud.credentials = NOT_AUTHORIZED;
    rig.run(Duration::from_millis(600));
    assert_eq!((rig.asked("InitiateAuth"), rig.asked("GetCredentialsForIdentity")), (2, 2));
    rig.run(secs(1_800));
    assert_eq!(rig.asked("InitiateAuth"), 2);
    assert!(rig.asked("GetCredentialsForIdentity") < 40, "{}", rig.asked("GetCredentialsForIdentity"));
}

#[test]
fn an_identity_id_unknown_to_the_pool_is_requested_anew() {
    let mut rig = Rig::live();
    rig.cloud.credentials = IDENTITY_UNKNOWN;
    rig.run(secs(3_600));
    assert!(rig.asked("GetId") > 1, "{:?}", rig.log.http);
    rig.cloud.credentials = Reply::Good;
    rig.run(secs(600));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
}

#[test]
fn a_failed_hook_of_the_pool_is_retried_soon_and_then_rarely() {
    let mut rig = Rig::new();
    rig.cloud.refresh = HOOK_FAILED;
    rig.run(secs(3));
    assert_eq!(rig.asked("InitiateAuth"), 2);
    rig.run(secs(57));
    assert_eq!(rig.asked("InitiateAuth"), 2, "the pause is at least a minute");
    rig.run(secs(125));
    assert_eq!(rig.asked("InitiateAuth"), 3, "the pause is at most three minutes");
}

#[test]
fn a_lock_out_is_waited_for_in_full_and_kept_for_the_next_run() {
    let mut rig = with_password();
    rig.cloud.refresh = LOCKED_OUT;
    rig.run(secs(15 * 60));
    assert_eq!((rig.asked("InitiateAuth"), not_before(&rig)), (1, Some(15 * 60)));
    assert_eq!(rig.session.service().reason, Reason::Throttled);
    rig.run(secs(2));
    assert_eq!(rig.asked("InitiateAuth"), 2);

    let mut next = resumed(rig.stored.expect("the wait is kept"), Some("hunter2"));
    next.mono = rig.mono;
    next.run(secs(14 * 60));
    assert_eq!(next.asked("InitiateAuth"), 0);
}

#[test]
fn a_throttle_is_waited_for_and_kept_for_the_next_run_but_a_firewall_is_not() {
    let blocked = Reason::Refused(RefusalKind::Blocked);
    for (reply, kept, reason) in [(THROTTLED, true, Reason::Throttled), (FIREWALL, false, blocked)] {
        let mut rig = with_password();
        rig.cloud.refresh = reply;
        rig.run(secs(59));
        assert_eq!(rig.asked("InitiateAuth"), 1, "{reply:?}");
        assert_eq!(not_before(&rig).is_some_and(|wait| (60..=120).contains(&wait)), kept, "{reply:?}");
        assert!(kept || rig.stored.is_none(), "{reply:?}");
        assert_eq!(rig.session.service().reason, reason);
        rig.run(secs(65));
        assert_eq!(rig.asked("InitiateAuth"), 2, "{reply:?}");
    }
}

#[test]
fn the_pause_that_a_retry_after_header_asks_for_is_kept() {
    // The date in the second form is twenty minutes ahead.
    for (header, wait) in [("1200", 1_200), ("Fri, 02 Jan 2026 03:24:05 GMT", 1_200), ("86400", 3_600)] {
        for reply in [Reply::Status(503, ""), Reply::Status(429, "{}")] {
            let mut rig = Rig::new();
            rig.cloud.refresh = reply;
            rig.cloud.retry_after = Some(header);
            rig.run(secs(wait - 2));
            assert_eq!(rig.asked("InitiateAuth"), 1, "{header} {reply:?}");
            rig.run(secs(4));
            assert_eq!(rig.asked("InitiateAuth"), 2, "{header} {reply:?}");
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
            let mut rig = Rig::with(settings.clone(), start(), 0);
            rig.stored = Some(stored());
            rig.cloud.refresh = reply;
            rig.run(secs(3_600));
            let asked = rig.asked("InitiateAuth") + rig.asked("GetTokensFromRefreshToken");
            assert!(expected.contains(&asked), "{asked} in an hour, {reply:?}");
        }
    }
}

#[test]
fn a_pool_that_no_request_can_reach_is_tried_at_short_intervals() {
    let mut settings = Settings::default();
    settings.http_backoff_cap = secs(12);
    let mut rig = Rig::with(settings, Start::Resume { stored: stored(), password: None }, 0);
    rig.stored = Some(stored());
    rig.cloud.has_network = false;
    rig.run(secs(3_600));
    assert!((300..=1_200).contains(&rig.log.unreachable), "{} in an hour", rig.log.unreachable);
    rig.cloud.has_network = true;
    rig.run(secs(13));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
}

#[test]
fn pauses_begin_small_again_after_a_success() {
    let mut rig = Rig::new();
    rig.cloud.refresh = Reply::Status(500, "{}");
    rig.run(secs(1_800));
    rig.cloud.refresh = Reply::Good;
    rig.run(secs(310));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
    rig.cloud.refresh = Reply::Status(500, "{}");
    let before = rig.asked("InitiateAuth");
    while rig.asked("InitiateAuth") == before {
        rig.run(secs(1));
    }
    // The pauses are at most 2, 4 and 8 seconds long.
    rig.run(secs(15));
    assert!(rig.asked("InitiateAuth") - before >= 4, "{}", rig.asked("InitiateAuth") - before);
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
        let mut rig = resumed(marked.clone(), None);
        rig.stored = Some(marked);
        rig.run(secs(10));
        assert_eq!(rig.session.service().level, Level::Live);
        let kept = rig.stored.expect("kept");
        assert_eq!((kept.refused, kept.not_before), (None, None), "{refused:?} {not_before:?}");
    }
}

#[test]
fn credentials_that_expire_on_arrival_are_not_used_and_asked_for_with_growing_pauses() {
    let mut rig = Rig::new();
    rig.cloud.credentials_life = 25;
    rig.run(secs(3_600));
    assert_eq!(rig.log.dials.len(), 0);
    assert!((8..40).contains(&rig.asked("GetCredentialsForIdentity")));
    let service = rig.session.service();
    assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::ServerTrouble { status: 200 }));
}

#[test]
fn short_lived_credentials_are_used_for_three_quarters_of_their_life() {
    let mut rig = Rig::new();
    rig.cloud.credentials_life = 400;
    rig.run(secs(3_600));
    let asked = rig.asked("GetCredentialsForIdentity");
    assert!((11..=13).contains(&asked), "{asked}");
}

#[test]
fn a_late_401_does_not_discard_newer_tokens() {
    let mut rig = Rig::live();
    let before = rig.asked("InitiateAuth");
    rig.cloud.rest = Reply::Status(401, "{}");
    rig.session.request(rig.now(), mysa_proto::rest::homes()).expect("there is room");
    rig.drain();
    rig.cloud.rest_takes = secs(5);
    rig.session.request(rig.now(), mysa_proto::rest::homes()).expect("there is room");
    rig.drain();
    rig.cloud.rest = Reply::Good;
    rig.run(secs(60));
    assert_eq!(rig.asked("/homes"), 4, "each request is repeated once");
    assert_eq!(rig.asked("InitiateAuth") - before, 1);
}

#[test]
fn tokens_that_cannot_be_renewed_are_used_until_they_expire_and_then_the_store_is_polled() {
    let mut rig = Rig::live();
    rig.cloud.refresh = NOT_AUTHORIZED;
    // Tokens are renewed five minutes before they expire.
    rig.run(secs(57 * 60));
    assert_eq!(rig.session.service().level, Level::SignInNeeded);
    let before = rig.asked("/devices/state");
    rig.run(secs(150));
    assert!(rig.asked("/devices/state") > before, "the states must still be read");

    rig.run(secs(5 * 60));
    rig.cloud.refresh = Reply::Good;
    let mut elsewhere = stored();
    elsewhere.refresh_token = Some(mysa_cognito::RefreshToken::new("signed-in-elsewhere".into()));
    elsewhere.generation = 1;
    rig.stored = Some(elsewhere);
    rig.run(secs(90));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
}

const PASSWORD_WANTED: Reply = Reply::Status(
    200,
    r#"{"ChallengeName":"PASSWORD_VERIFIER","ChallengeParameters":{"USER_ID_FOR_SRP":"u","SALT":"1","SRP_B":"2","SECRET_BLOCK":"cw=="}}"#,
);

/// Suspends the host for an hour. Its monotonic clock counts the time or not.
fn suspend(rig: &mut Rig, counted: bool) {
    if counted {
        rig.mono += secs(3_600);
    } else {
        rig.host_ahead_ms += 3_600_000;
        rig.truth_ahead_secs += 3_600;
    }
}

#[test]
fn a_challenge_that_expired_in_a_suspend_is_not_answered() {
    for counted in [false, true] {
        let mut rig = with_password();
        rig.cloud.refresh = PASSWORD_WANTED;
        rig.run(rig::LATENCY / 2);
        suspend(&mut rig, counted);
        rig.run(secs(1));
        assert_eq!((rig.asked("InitiateAuth"), rig.asked("RespondToAuthChallenge")), (1, 0), "{counted}");
        rig.run(secs(10));
        assert_eq!((rig.asked("InitiateAuth"), rig.asked("RespondToAuthChallenge")), (2, 1), "{counted}");
        assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
    }
}

#[test]
fn a_refusal_that_spans_a_suspend_does_not_count_as_a_wrong_password() {
    for counted in [false, true] {
        let mut rig = with_password();
        rig.cloud.refresh = PASSWORD_WANTED;
        rig.cloud.respond = NOT_AUTHORIZED;
        rig.run(rig::LATENCY * 3 / 2);
        assert_eq!(rig.asked("RespondToAuthChallenge"), 1);
        suspend(&mut rig, counted);
        rig.run(secs(1));
        assert_ne!(rig.session.service().level, Level::SignInNeeded, "{}", rig.session.service());
        assert!(rig.stored.as_ref().is_none_or(|stored| stored.refused.is_none()));
        rig.cloud.respond = Reply::Good;
        rig.run(secs(10));
        assert_eq!((rig.asked("InitiateAuth"), rig.asked("RespondToAuthChallenge")), (2, 2), "{counted}");
        assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
    }
}

#[test]
fn a_wrong_password_is_reported_after_a_suspend_too_and_not_tried_again() {
    for suspends in [1, 20] {
        let mut rig = with_password();
        rig.cloud.refresh = PASSWORD_WANTED;
        rig.cloud.respond = NOT_AUTHORIZED;
        for number in 0..suspends {
            // Each answer to the claim arrives after a suspend.
            while rig.asked("RespondToAuthChallenge") <= number && rig.mono < secs(86_400) {
                rig.run(Duration::from_millis(1));
                if rig.session.service().level == Level::SignInNeeded {
                    break;
                }
            }
            suspend(&mut rig, false);
        }
        rig.run(secs(3_600));
        let service = rig.session.service();
        assert_eq!(service.reason, Reason::Refused(RefusalKind::WrongCredentials), "{service}");
        let tried = if suspends == 1 { 2 } else { 4 };
        assert_eq!(rig.asked("RespondToAuthChallenge"), tried, "after {suspends} suspends");
        assert_eq!(rig.stored.and_then(|stored| stored.refused).as_deref(), Some("NotAuthorizedException"));
    }
}
