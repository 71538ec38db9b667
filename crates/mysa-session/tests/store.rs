//! Several processes of one account that share one stored session.

mod harness;

use std::time::Duration;

use mysa_cognito::{RefreshToken, Secret, StoredSession};
use mysa_session::{Event, Level, Output, Revocation, Session, Settings, Start};

use harness::{Harness, Reply, secs, stored};

/// Levels of an undisturbed start: the states are read, then the connection is live.
const UNDISTURBED: [Level; 2] = [Level::RestOnly, Level::Live];

/// Session that another process of the account has stored.
fn kept(token: &str) -> StoredSession {
    let mut kept = stored();
    kept.refresh_token = Some(RefreshToken::new(Secret::from(token)));
    kept
}

#[test]
fn a_token_that_another_process_renewed_is_adopted_before_the_next_refresh() {
    let mut harness = Harness::live();
    let refreshes = harness.asked("InitiateAuth");
    // The other process used the token, which is invalid from then on, and stored its successor.
    harness.cloud.accepted = Some(vec!["renewed-elsewhere"]);
    harness.stored = Some(kept("renewed-elsewhere"));
    harness.run(secs(3_600));
    assert_eq!(harness.asked("InitiateAuth") - refreshes, 1, "the used-up token must not be tried first");
    assert_eq!(harness.levels(), UNDISTURBED);
}

#[test]
fn a_token_that_another_process_renewed_at_the_same_moment_is_found_by_a_second_read() {
    for after in [Duration::ZERO, secs(2)] {
        let mut harness = Harness::new();
        harness.stored = Some(stored());
        harness.cloud.accepted = Some(vec!["renewed-elsewhere"]);
        // Both processes read the same token. It is refused here, and the other process stores its successor only
        // afterwards.
        harness.run(Duration::from_millis(1) + after);
        harness.stored = Some(kept("renewed-elsewhere"));
        harness.run(secs(30));
        assert_eq!(harness.levels(), UNDISTURBED, "{after:?}");
    }
}

#[test]
fn a_refused_token_that_no_process_renewed_is_discarded_after_a_second_read() {
    let mut harness = Harness::new();
    harness.cloud.accepted = Some(Vec::new());
    harness.run(secs(2));
    assert_eq!(harness.levels(), []);
    harness.run(secs(3_600));
    assert_eq!(harness.levels(), [Level::SignInNeeded]);
    assert!(harness.stored.is_some_and(|stored| stored.refresh_token.is_none()));
}

#[test]
fn the_session_of_another_account_or_app_client_is_not_adopted() {
    let mut foreign = kept("of-another-account");
    foreign.account = "bob@example.org".into();
    let mut other_client = kept("of-another-client");
    other_client.client_id = "anotherappclient".into();
    for wrong in [foreign, other_client] {
        let mut harness = Harness::live();
        harness.stored = Some(wrong);
        harness.cloud.accepted = Some(vec!["CANARY-refresh"]);
        harness.run(secs(3_600));
        assert_eq!(harness.levels(), UNDISTURBED);
        assert_eq!(harness.asked("InitiateAuth"), 2, "the foreign token must not be tried");
    }
}

#[test]
fn a_driver_that_never_answers_delays_the_session_by_five_seconds() {
    let harness = Harness::new();
    let start = Start::Resume { stored: stored(), password: None };
    let environment = mysa_session::Environment::mysa();
    let mut session = Session::new(Settings::default(), environment, start, [7; 32], harness.now());
    let mut now = harness.now();
    assert!(matches!(session.poll_output(), Some(Output::Load)));
    assert!(session.poll_output().is_none());
    now.mono = session.poll_timeout().unwrap().at;
    assert_eq!(now.mono, secs(5));
    session.handle_timeout(now);
    assert!(matches!(session.poll_output(), Some(Output::Http(_))));
    // Too late, and not requested any more.
    session.handle_stored(now, Some(kept("late")));
    assert!(session.poll_output().is_none());
}

fn token_of(kept: Option<&StoredSession>) -> &str {
    kept.and_then(|kept| kept.refresh_token.as_ref()).map_or("", RefreshToken::expose)
}

#[test]
fn a_session_that_cannot_be_stored_is_retried() {
    for full in [secs(1), secs(60), secs(3_000)] {
        let mut harness = Harness::new();
        harness.stored = Some(stored());
        harness.cloud.rotates = true;
        harness.disk_full = true;
        harness.run(full);
        assert_eq!(token_of(harness.stored.as_ref()), "CANARY-refresh");
        harness.disk_full = false;
        harness.run(secs(130));
        assert_eq!(token_of(harness.stored.as_ref()), "rotated-1", "{full:?}");
        assert_eq!(harness.stored.as_ref().map(|kept| kept.generation), Some(1));
    }
}

#[test]
fn a_store_that_fails_after_its_time_limit_is_retried() {
    let mut harness = Harness::new();
    harness.stored = Some(stored());
    harness.cloud.rotates = true;
    harness.disk_full = true;
    harness.store_takes = secs(40);
    // The session changes once more during the first store.
    harness.run(secs(60));
    assert_eq!(harness.levels(), UNDISTURBED, "nothing else waits for the disk");
    assert_eq!(token_of(harness.stored.as_ref()), "CANARY-refresh");
    harness.disk_full = false;
    harness.store_takes = Duration::ZERO;
    harness.run(secs(130));
    assert_eq!(token_of(harness.stored.as_ref()), "rotated-1");
    assert!(harness.stored.is_some_and(|kept| kept.identity_id.is_some()));
}

#[test]
fn a_shutdown_repeats_a_store_that_has_failed() {
    let mut harness = Harness::new();
    harness.stored = Some(stored());
    harness.cloud.rotates = true;
    harness.disk_full = true;
    harness.run(secs(60));
    assert_eq!(token_of(harness.stored.as_ref()), "CANARY-refresh");
    harness.disk_full = false;
    let now = harness.now();
    harness.session.shutdown(now);
    harness.run(secs(1));
    assert_eq!(token_of(harness.stored.as_ref()), "rotated-1");
}

#[test]
fn a_session_that_changes_during_its_last_store_is_stored_again() {
    let mut harness = Harness::new();
    harness.stored = Some(stored());
    harness.cloud.rotates = true;
    harness.store_takes = secs(4);
    // The identity id is learnt while the token is being stored.
    harness.run(secs(2));
    let now = harness.now();
    harness.session.shutdown(now);
    harness.run(secs(10));
    assert_eq!(token_of(harness.stored.as_ref()), "rotated-1");
    assert!(harness.stored.is_some_and(|kept| kept.identity_id.is_some()));
}

#[test]
fn a_store_that_has_failed_is_not_repeated_after_a_sign_out() {
    let mut harness = Harness::live();
    harness.cloud.rotates = true;
    harness.disk_full = true;
    harness.run(secs(3_500));
    harness.stored = Some(stored());
    assert_eq!(sign_out(&mut harness), Revocation::Revoked);
    harness.disk_full = false;
    let now = harness.now();
    harness.session.shutdown(now);
    harness.run(secs(600));
    assert!(harness.stored.is_none());
}

#[test]
fn a_store_that_fails_after_a_sign_out_is_not_retried() {
    let mut harness = Harness::live();
    harness.cloud.rotates = true;
    harness.disk_full = true;
    harness.store_takes = secs(40);
    harness.run(secs(3_500));
    harness.stored = Some(stored());
    assert_eq!(sign_out(&mut harness), Revocation::Revoked);
    assert!(harness.stored.is_none());
    harness.disk_full = false;
    harness.store_takes = Duration::ZERO;
    harness.run(secs(600));
    assert!(harness.stored.is_none());
}

#[test]
fn a_refused_stored_token_does_not_replace_a_valid_one_in_memory() {
    let mut harness = Harness::new();
    harness.stored = Some(stored());
    harness.cloud.rotates = true;
    harness.disk_full = true;
    harness.cloud.accepted = Some(vec!["CANARY-refresh"]);
    harness.run(secs(60));
    // The stored token is used up, and its successor could not be stored.
    harness.cloud.accepted = Some(vec!["rotated-1"]);
    harness.run(secs(3_600));
    assert_eq!(harness.levels(), UNDISTURBED);
    assert_eq!(harness.asked("InitiateAuth"), 2);
}

#[test]
fn the_newer_of_two_tokens_is_tried_first_and_the_older_when_that_is_refused() {
    for (held, kept_as) in [(5, 3), (3, 5)] {
        let mut ours = stored();
        ours.generation = held;
        let mut harness =
            Harness::with(Settings::default(), Start::Resume { stored: ours, password: None }, 0);
        let mut theirs = kept("theirs");
        theirs.generation = kept_as;
        harness.stored = Some(theirs);
        let newer = if held > kept_as { "CANARY-refresh" } else { "theirs" };
        harness.cloud.accepted = Some(vec![newer]);
        harness.run(secs(20));
        assert_eq!((harness.levels(), harness.asked("InitiateAuth")), (UNDISTURBED.to_vec(), 1), "{newer}");
        // Later the pool accepts only the other token.
        harness.cloud.accepted = Some(vec![if held > kept_as { "theirs" } else { "CANARY-refresh" }]);
        harness.run(secs(3_600));
        assert_eq!(harness.levels(), UNDISTURBED, "{newer} was newer");
        assert_eq!(
            token_of(harness.stored.as_ref()),
            harness.cloud.accepted.as_ref().map_or("", |all| all[0])
        );
    }
}

#[test]
fn a_sign_in_by_password_gives_a_higher_generation_than_any_stored_session() {
    let start = Start::Password { username: "ann@example.org".into(), password: Secret::from("password") };
    let mut harness = Harness::with(Settings::default(), start, 0);
    let mut theirs = kept("of-last-year");
    theirs.generation = 57;
    harness.stored = Some(theirs);
    harness.cloud.rotates = true;
    harness.run(secs(20));
    assert_eq!(harness.levels(), UNDISTURBED);
    assert_eq!(token_of(harness.stored.as_ref()), "rotated-1");
    assert_eq!(harness.stored.map(|kept| kept.generation), Some(58));
}

#[test]
fn a_session_without_a_generation_takes_that_of_the_same_stored_token() {
    let mut harness = Harness::new();
    let mut same = stored();
    same.generation = 7;
    harness.stored = Some(same);
    harness.run(secs(20));
    assert!(harness.stored.as_ref().is_some_and(|kept| kept.identity_id.is_some() && kept.generation == 7));
}

#[test]
fn a_session_that_waits_for_a_sign_in_continues_when_another_process_has_signed_in() {
    let mut harness = Harness::new();
    harness.cloud.accepted = Some(Vec::new());
    harness.run(secs(3_600));
    assert_eq!(harness.levels(), [Level::SignInNeeded]);
    let asked = harness.log.http.len();
    let mut theirs = kept("signed-in-elsewhere");
    theirs.generation = 1;
    harness.cloud.accepted = Some(vec!["signed-in-elsewhere"]);
    harness.stored = Some(theirs);
    harness.run(secs(90));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
    assert!(harness.log.http.len() < asked + 20);

    // After a sign-out in this session, other sign-ins are ignored.
    let now = harness.now();
    harness.session.sign_out(now);
    harness.run(secs(60));
    harness.stored = Some(kept("again"));
    harness.cloud.accepted = None;
    harness.run(secs(3_600));
    assert_eq!(harness.session.service().level, Level::SignInNeeded);
}

fn sign_out(harness: &mut Harness) -> Revocation {
    let before = harness.events.len();
    let now = harness.now();
    harness.session.sign_out(now);
    harness.run(secs(40));
    let outcomes: Vec<_> = harness.events[before..]
        .iter()
        .filter_map(|(_, event)| match event {
            Event::SignedOut { revoked } => Some(*revoked),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    outcomes[0]
}

#[test]
fn signing_out_reports_the_revocation_and_keeps_a_token_that_could_not_be_revoked() {
    let refusal = r#"{"__type":"UnsupportedTokenTypeException","message":"no"}"#;
    let dead = r#"{"__type":"NotAuthorizedException","message":"Invalid"}"#;
    let throttled = r#"{"__type":"TooManyRequestsException","message":"no"}"#;
    for (revoke, expect) in [
        (Reply::Good, Revocation::Revoked),
        (Reply::Status(400, dead), Revocation::Revoked),
        (Reply::Status(400, refusal), Revocation::Refused),
        (Reply::Status(400, throttled), Revocation::NotReached),
        (Reply::Status(500, "{}"), Revocation::NotReached),
        (Reply::Status(200, "<html>sign in to the network</html>"), Revocation::NotReached),
        (Reply::Timeout, Revocation::NotReached),
    ] {
        let mut harness = Harness::live();
        harness.stored = Some(stored());
        harness.cloud.revoke = revoke;
        assert_eq!(sign_out(&mut harness), expect, "{revoke:?}");
        assert_eq!(harness.stored.is_some(), expect == Revocation::NotReached, "{revoke:?}");
        assert_eq!(harness.session.service().level, Level::SignInNeeded);
        // A second sign-out, with a cloud that works.
        harness.cloud.revoke = Reply::Good;
        let again = sign_out(&mut harness);
        let left =
            if expect == Revocation::NotReached { Revocation::Revoked } else { Revocation::NothingToRevoke };
        assert_eq!((again, harness.stored.is_some()), (left, false), "{revoke:?}");
        assert_eq!(harness.asked("InitiateAuth"), 1, "tokens must not be renewed any more");
    }
}

#[test]
fn signing_out_revokes_the_newer_token_that_another_process_was_given() {
    let mut harness = Harness::live();
    let mut theirs = kept("renewed-elsewhere");
    theirs.generation = 1;
    harness.stored = Some(theirs);
    assert_eq!(sign_out(&mut harness), Revocation::Revoked);
    let revoked = harness.log.revoked.join(" ");
    assert!(revoked.contains("renewed-elsewhere") && !revoked.contains("CANARY-refresh"), "{revoked}");
}

#[test]
fn signing_out_revokes_no_token_of_another_account_or_app_client() {
    let mut foreign = kept("of-another-account");
    foreign.account = "bob@example.org".into();
    let mut other_client = kept("of-another-client");
    other_client.client_id = "anotherappclient".into();
    for wrong in [foreign, other_client] {
        let mut harness = Harness::live();
        let is_foreign = wrong.account == "bob@example.org";
        harness.stored = Some(wrong);
        assert_eq!(sign_out(&mut harness), Revocation::Revoked);
        let revoked = harness.log.revoked.join(" ");
        assert!(revoked.contains("CANARY-refresh") && !revoked.contains("of-another"), "{revoked}");
        // The session of the other account is still valid, and must stay.
        let stays = harness.stored.is_some_and(|kept| kept.account == "bob@example.org");
        assert_eq!(stays, is_foreign);
    }
}

#[test]
fn a_sign_out_whose_request_the_driver_never_reports_counts_as_not_reached() {
    let start = Start::Resume { stored: stored(), password: None };
    let mut now = Harness::new().now();
    let environment = mysa_session::Environment::mysa();
    let mut session = Session::new(Settings::default(), environment, start, [7; 32], now);
    session.sign_out(now);
    let mut outcomes = Vec::new();
    while now.mono < secs(120) {
        while let Some(output) = session.poll_output() {
            match output {
                Output::Load => session.handle_stored(now, None),
                Output::Event(Event::SignedOut { revoked }) => outcomes.push(revoked),
                _ => {}
            }
        }
        now.mono += secs(1);
        session.handle_timeout(now);
    }
    assert_eq!(outcomes, [Revocation::NotReached]);
}

#[test]
fn a_sign_in_neither_waits_for_nor_adopts_the_stored_session() {
    let start = Start::Resume { stored: stored(), password: None };
    let now = Harness::new().now();
    let environment = mysa_session::Environment::mysa();
    let mut session = Session::new(Settings::default(), environment, start, [7; 32], now);
    assert!(matches!(session.poll_output(), Some(Output::Load)));
    session.sign_in(now, Secret::from("hunter2"));
    session.handle_timeout(now);
    assert!(matches!(session.poll_output(), Some(Output::Http(_))));
    session.handle_stored(now, Some(kept("late")));
    assert!(session.poll_output().is_none());
}

/// Session whose two tokens were refused: its own, and one of a higher generation that is still stored. A person has
/// signed in again since, and the new token cannot be stored yet.
fn signed_in_with_a_stored_refused_token() -> Harness {
    let mut harness = Harness::new();
    let mut dead = kept("dead");
    dead.generation = 7;
    harness.stored = Some(dead);
    harness.cloud.accepted = Some(Vec::new());
    harness.run(secs(60));
    assert_eq!(harness.levels(), [Level::SignInNeeded]);
    assert_eq!(token_of(harness.stored.as_ref()), "dead");
    harness.disk_full = true;
    harness.cloud.accepted = None;
    harness.cloud.rotates = true;
    harness.session.sign_in(harness.now(), Secret::from("hunter2"));
    harness.run(secs(10));
    assert_eq!(harness.session.service().level, Level::Live);
    harness
}

#[test]
fn a_new_sign_in_has_a_higher_generation_than_all_known_tokens() {
    let mut harness = signed_in_with_a_stored_refused_token();
    harness.disk_full = false;
    harness.run(secs(130));
    assert_eq!(token_of(harness.stored.as_ref()), "rotated-1");
    assert_eq!(harness.stored.map(|kept| kept.generation), Some(8));
}

#[test]
fn a_refused_token_stays_refused_after_a_new_sign_in() {
    let mut harness = signed_in_with_a_stored_refused_token();
    // Each token is tried with both flows before it is given up; a sign-in by password uses only the other flow.
    let before = harness.asked("GetTokensFromRefreshToken");
    harness.cloud.accepted = Some(Vec::new());
    harness.run(secs(2 * 3_600));
    assert_eq!(harness.session.service().level, Level::SignInNeeded);
    assert_eq!(
        harness.asked("GetTokensFromRefreshToken") - before,
        1,
        "the dead token must not be tried again"
    );
}

#[test]
fn a_session_without_a_token_has_nothing_to_revoke() {
    let mut nobody = stored();
    nobody.refresh_token = None;
    let mut harness = Harness::with(Settings::default(), Start::Resume { stored: nobody, password: None }, 0);
    assert_eq!(sign_out(&mut harness), Revocation::NothingToRevoke);
    assert_eq!(harness.asked("RevokeToken"), 0);
}
