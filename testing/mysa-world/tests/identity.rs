//! Identity failures: tokens, passwords and lock-outs (F23 to F29).
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;

use std::time::Duration;

use common::{Drive as _, HOUR, demo, live, live_with, resume, resume_stored, secs};
use mysa_cognito::{RefreshFlow, Secret, StoredSession};
use mysa_proto::rest;
use mysa_session::{Event, Level, Reason, RequestId, Settings, Start};
use mysa_sim::{AccountStatus, CloudSpec, Endpoint, Fault, HttpFault, Incident};
use mysa_world::{NetSpec, NetTrouble, Trouble, World};

const PASSWORD: Option<&str> = Some(CloudSpec::DEMO_PASSWORD);

fn revoke(world: &mut World) {
    world.happen(Incident::RevokeTokens(CloudSpec::DEMO_EMAIL.into()));
}

/// A live world that resumed from a stored session, with or without a password.
fn resumed(spec: CloudSpec, password: Option<&str>, seed: u64) -> World {
    let mut world = live_with(spec, Settings::default(), seed);
    let start = resume(&world, password);
    world.restart(start, seed);
    world.go(secs(30));
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
    assert_eq!(world.cloud.counters().sign_ins, 1);
    world
}

#[test]
fn f23_refresh_token_that_expires_leads_to_one_sign_in_with_the_password() {
    let mut world = resumed(demo(), PASSWORD, 23);
    world.go(HOUR);
    world.suspend(30 * 24 * HOUR);
    world.go(30 * 24 * HOUR + HOUR);
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
    assert_eq!(world.cloud.counters().sign_ins, 2);
    world.go(6 * HOUR);
    assert_eq!(world.cloud.counters().sign_ins, 2);
    assert_eq!(world.reports_of(Level::SignInNeeded), 0);
}

#[test]
fn f23_refresh_token_that_expires_without_a_password_requires_a_sign_in_once() {
    let mut world = resumed(demo(), None, 23);
    world.go(10 * Duration::from_secs(60));
    // Only the refresh token is refused; the id token and credentials remain valid.
    world.fault(
        100 * HOUR,
        Fault::Http(Endpoint::Refresh, HttpFault::Exception("NotAuthorizedException".into())),
    );
    assert!(world.go_while(HOUR, |world| world.level() == Level::Live));
    assert_eq!(world.level(), Level::SignInNeeded, "{}", world.session.service());
    // The connection stays, or is replaced while the credentials last, and messages still arrive.
    world.go(secs(120));
    assert_eq!(world.cloud.clients().count(), 1);
    assert!(world.session.devices().all(|device| !device.is_stale()));
    world.go(HOUR);
    let asked = world.requests().len();
    world.go(24 * HOUR);
    assert_eq!(world.requests().len(), asked, "a hot loop: {:?}", world.requests().last());
    assert_eq!(world.reports_of(Level::SignInNeeded), 1);
    assert_eq!(world.cloud.counters().sign_ins, 1);
    assert!(world.stored().unwrap().refresh_token.is_none());
    // The user signs in again, and the session recovers.
    world.cloud.clear_faults();
    world.call(|session, now| session.sign_in(now, Secret::from(CloudSpec::DEMO_PASSWORD))).unwrap();
    world.go(secs(60));
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
}

#[test]
fn f23_refresh_token_revoked_during_an_open_connection() {
    for password in [PASSWORD, None] {
        let mut world = resumed(demo(), password, 24);
        world.go(600 * secs(1));
        let before = world.cloud.counters();
        revoke(&mut world);
        world.go(2 * HOUR);
        let after = world.cloud.counters();
        assert_eq!(after.sign_ins - before.sign_ins, u64::from(password.is_some()), "{password:?}");
        let (level, notices) = if password.is_some() { (Level::Live, 0) } else { (Level::SignInNeeded, 1) };
        assert_eq!((world.level(), world.reports_of(Level::SignInNeeded)), (level, notices));
    }
}

#[test]
fn f23_password_changed_elsewhere_is_tried_once_and_given_up() {
    let mut world = resumed(demo(), PASSWORD, 25);
    world.go(secs(600));
    world.happen(Incident::ChangePassword(CloudSpec::DEMO_EMAIL.into(), "Another-Horse-2".into()));
    world.go(24 * HOUR);
    assert_eq!(world.cloud.counters().wrong_passwords, 1);
    assert_eq!((world.level(), world.reports_of(Level::SignInNeeded)), (Level::SignInNeeded, 1));
}

/// Answers to a refresh, and whether each one proves the token invalid.
fn refresh_troubles() -> Vec<(&'static str, HttpFault, bool)> {
    let exception = |name: &str| HttpFault::Exception(name.into());
    vec![
        ("timeout", HttpFault::Hang, false),
        ("reset", HttpFault::Reset, false),
        ("late", HttpFault::Delay(secs(60)), false),
        ("500", HttpFault::Status(500), false),
        ("503", HttpFault::Status(503), false),
        ("400 without a name", HttpFault::Status(400), false),
        ("403 of a proxy", HttpFault::Html(403), false),
        ("429", HttpFault::Throttle(30), false),
        ("TooManyRequests", exception("TooManyRequestsException"), false),
        ("InternalError", exception("InternalErrorException"), false),
        ("captive portal", HttpFault::Html(200), false),
        ("bad gateway", HttpFault::Html(502), false),
        ("empty", HttpFault::Body(200, Vec::new()), false),
        ("cut short", HttpFault::Body(200, b"{\"AuthenticationResult\":{\"IdToken\":\"".to_vec()), false),
        (
            "unknown challenge",
            HttpFault::Body(
                200,
                br#"{"ChallengeName":"WHO_ARE_YOU","Session":"s","ChallengeParameters":{}}"#.to_vec(),
            ),
            false,
        ),
        ("NotAuthorized", exception("NotAuthorizedException"), true),
        ("UserNotFound", exception("UserNotFoundException"), true),
        ("PasswordResetRequired", exception("PasswordResetRequiredException"), true),
    ]
}

#[test]
fn f24_only_a_definite_refusal_drops_the_tokens() {
    for (name, fault, definite) in refresh_troubles() {
        for password in [PASSWORD, None] {
            let mut world = resumed(demo(), password, 26);
            // From before the planned renewal until after the token's expiry.
            world.fault(HOUR + secs(900), Fault::Http(Endpoint::Refresh, fault.clone()));
            world.go(HOUR + secs(800));
            let signed_in = world.cloud.counters().sign_ins - 1;
            let kept = world.stored().unwrap().refresh_token.is_some();
            if definite {
                let by_password = password.is_some() && name == "NotAuthorized";
                assert_eq!(signed_in, u64::from(by_password), "{name} {password:?}");
                assert_eq!(kept, by_password, "{name} {password:?}");
                assert_eq!(world.level() == Level::Live, by_password, "{name} {password:?}");
            } else {
                assert_eq!((signed_in, kept), (0, true), "{name} {password:?}");
                assert_eq!(world.reports_of(Level::SignInNeeded), 0, "{name} {password:?}");
                world.go(HOUR);
                assert_eq!(world.level(), Level::Live, "{name}: {}", world.session.service());
                assert_eq!(world.cloud.counters().sign_ins, 1, "{name} {password:?}");
            }
        }
    }
}

#[test]
fn f24_a_network_outage_at_the_renewal_keeps_the_sign_in() {
    for kind in [Trouble::Down, Trouble::BlackHole, Trouble::BlackHoleOut, Trouble::BlackHoleIn] {
        let mut world = resumed(demo(), PASSWORD, 27);
        let troubles =
            vec![NetTrouble { from: world.now() + secs(1_800), until: world.now() + 2 * HOUR, kind }];
        world.set_net(NetSpec { troubles, ..NetSpec::default() });
        world.go(2 * HOUR + secs(900));
        assert_eq!(world.level(), Level::Live, "{kind:?}: {}", world.session.service());
        assert_eq!(world.cloud.counters().sign_ins, 1, "{kind:?}");
        assert_eq!(world.reports_of(Level::SignInNeeded), 0, "{kind:?}");
    }
}

#[test]
fn f24_a_wrong_password_is_not_retried() {
    let start =
        Start::Password { username: CloudSpec::DEMO_EMAIL.into(), password: Secret::from("wrong horse") };
    let mut world = World::with_start(demo(), NetSpec::default(), Settings::default(), start, 28, 0);
    world.go(24 * HOUR);
    assert_eq!(world.cloud.counters().wrong_passwords, 1);
    assert_eq!((world.level(), world.reports_of(Level::SignInNeeded)), (Level::SignInNeeded, 1));
    assert!(matches!(world.reason(), Reason::Refused(_)));
}

#[test]
fn f25_a_hundred_restarts_in_an_hour_cause_one_sign_in() {
    let mut world = live(Settings::default(), 29);
    for run in 0..100 {
        let start = resume(&world, PASSWORD);
        world.restart(start, run);
        world.go(secs(36));
    }
    assert_eq!(world.level(), Level::Live);
    assert_eq!(world.cloud.counters().sign_ins, 1);
}

#[test]
fn f25_a_definite_refusal_lasts_across_restarts_until_a_person_signs_in() {
    for status in [AccountStatus::Confirmed, AccountStatus::ResetRequired, AccountStatus::Unconfirmed] {
        let mut spec = demo();
        spec.accounts[0].status = status;
        let refused = status != AccountStatus::Confirmed;
        let wrong = Secret::from(if refused { CloudSpec::DEMO_PASSWORD } else { "wrong horse" });
        let start = Start::Password { username: CloudSpec::DEMO_EMAIL.into(), password: wrong.clone() };
        let mut world = World::with_start(spec, NetSpec::default(), Settings::default(), start, 30, 0);
        world.go(secs(36));
        for run in 0..100 {
            let start =
                Start::Resume { stored: world.stored().unwrap().clone(), password: Some(wrong.clone()) };
            world.restart(start, run);
            world.go(secs(36));
            assert_eq!(world.level(), Level::SignInNeeded, "{status:?}");
        }
        assert_eq!(world.cloud.counters().sign_ins, 1, "{status:?}");
        if !refused {
            let right = Secret::from(CloudSpec::DEMO_PASSWORD);
            world.call(|session, now| session.sign_in(now, right)).unwrap();
            world.go(secs(60));
            assert_eq!(world.level(), Level::Live, "{}", world.session.service());
        }
    }
}

#[test]
fn f25_a_lock_out_is_waited_for_across_restarts() {
    let body = br#"{"__type":"NotAuthorizedException","message":"Password attempts exceeded"}"#;
    let mut world = World::new(demo(), NetSpec::default(), Settings::default(), 31);
    world.fault(HOUR, Fault::Http(Endpoint::SignIn, HttpFault::Body(400, body.to_vec())));
    world.fault(HOUR, Fault::Http(Endpoint::Respond, HttpFault::Body(400, body.to_vec())));
    world.go(secs(20));
    for run in 0..99 {
        let start = resume(&world, PASSWORD);
        world.restart(start, run);
        world.go(secs(36));
        assert_eq!(world.reports_of(Level::SignInNeeded), 0, "a lock-out is not a refusal");
    }
    let tries: Vec<_> =
        world.requests().iter().filter(|(_, request)| request.contains("cognito-idp")).collect();
    // One attempt per quarter of an hour.
    assert!(tries.len() <= 5, "{tries:?}");
    world.go(HOUR);
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
}

fn answered(world: &World, ids: &[RequestId]) -> usize {
    let ok = |event: &Event| matches!(event, Event::Response { id, result: Ok(_) } if ids.contains(id));
    world.events().iter().filter(|(_, event)| ok(event)).count()
}

#[test]
fn f26_many_callers_at_expiry_share_one_refresh() {
    // Two cases delay the answers of one route, so that a 401 for the old token arrives after the new token.
    for (rotation, late) in [(false, None), (true, None), (true, Some(secs(3))), (false, Some(secs(3)))] {
        let mut spec = demo();
        spec.rules.rotation = rotation;
        let mut settings = Settings::default();
        settings.refresh_flow =
            if rotation { RefreshFlow::GetTokensFromRefreshToken } else { RefreshFlow::InitiateAuth };
        let mut world = live_with(spec, settings, 32);
        world.go(secs(60));
        if let Some(late) = late {
            world.fault(secs(1), Fault::Http(Endpoint::Path("/users".into()), HttpFault::Delay(late)));
        }
        world.happen(Incident::ExpireTokens);
        let before = world.cloud.counters();
        let mut ids = Vec::new();
        for n in 0..50 {
            let request = if n % 2 == 0 { rest::homes() } else { rest::users() };
            // A session whose request queue is full returns an error at once.
            if let Ok(id) = world.call(|session, now| session.request(now, request)).unwrap() {
                ids.push(id);
            }
        }
        assert!(ids.len() >= 24, "{}", ids.len());
        world.go(secs(60));
        let after = world.cloud.counters();
        assert_eq!(answered(&world, &ids), ids.len(), "rotation {rotation}, {late:?}");
        assert_eq!(after.refreshes - before.refreshes, 1, "rotation {rotation}, {late:?}");
        assert_eq!(after.sign_ins, before.sign_ins);
        // The next run resumes with the token that the rotation left.
        let start = resume(&world, None);
        world.restart(start, 1);
        world.go(secs(60));
        assert_eq!(world.level(), Level::Live, "rotation {rotation}");
    }
}

#[test]
fn f27_passwords_are_used_exactly_as_typed() {
    for password in [
        "pa$$word",
        "$HOME/${x}`id`",
        "#comment",
        "a # b",
        "\"quoted\" 'twice'",
        "back\\slash\\n",
        "trailing blank ",
        " leading blank",
        "tab\tinside",
        "пароль",
        "pässwörd",
        "🔥🧊",
        "line\nbreak",
        "%24%23",
    ] {
        let mut spec = demo();
        spec.accounts[0].password = password.into();
        let world = live_with(spec, Settings::default(), 33);
        assert_eq!(world.cloud.counters().wrong_passwords, 0, "{password:?}");
    }
}

#[test]
fn f28_a_torn_or_foreign_session_is_never_used() {
    let world = live(Settings::default(), 34);
    let whole = world.stored().unwrap().to_json();
    for end in 0..whole.len() {
        let cut = StoredSession::from_json(whole[..end].as_bytes());
        assert!(cut.is_err(), "the first {end} bytes were accepted as a session");
    }
    // A token of another app client is useless and is not offered.
    let mut foreign = world.stored().unwrap().clone();
    foreign.client_id = "anotherappclient".into();
    let start = resume_stored(&foreign, PASSWORD);
    let mut world = World::with_start(demo(), NetSpec::default(), Settings::default(), start, 34, 0);
    world.go(secs(60));
    assert_eq!(world.level(), Level::Live);
    assert_eq!((world.cloud.counters().refreshes, world.cloud.counters().sign_ins), (0, 1));
}

#[test]
fn f29_restarts_do_not_sign_in_while_the_stored_session_is_valid() {
    let mut world = live(Settings::default(), 35);
    for run in 0..3 {
        world.go(9 * 24 * HOUR / 24);
        let start = resume(&world, PASSWORD);
        world.restart(start, run);
        world.go(secs(60));
        assert_eq!(world.level(), Level::Live);
    }
    assert_eq!(world.cloud.counters().sign_ins, 1);
}

#[test]
fn f29_an_unusable_stored_session_causes_exactly_one_sign_in() {
    let mut world = live(Settings::default(), 36);
    revoke(&mut world);
    let start = resume(&world, PASSWORD);
    world.restart(start, 1);
    world.go(secs(120));
    assert_eq!(world.level(), Level::Live);
    assert_eq!(world.cloud.counters().sign_ins, 2);
    let start = resume(&world, PASSWORD);
    world.restart(start, 2);
    world.go(secs(120));
    assert_eq!(world.level(), Level::Live);
    assert_eq!(world.cloud.counters().sign_ins, 2);
}
