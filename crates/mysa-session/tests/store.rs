//! Several processes of one account that share one stored session.

mod rig;

use std::time::Duration;

use mysa_cognito::{RefreshToken, Secret, StoredSession};
use mysa_session::{Event, Level, Output, Revocation, Session, Settings, Start};

use rig::{Reply, Rig, secs, stored};

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
    let mut rig = Rig::live();
    let refreshes = rig.asked("InitiateAuth");
    // The other process used the token, which is invalid from then on, and stored its successor.
    rig.cloud.accepted = Some(vec!["renewed-elsewhere"]);
    rig.stored = Some(kept("renewed-elsewhere"));
    rig.run(secs(3_600));
    assert_eq!(rig.asked("InitiateAuth") - refreshes, 1, "the used-up token must not be tried first");
    assert_eq!(rig.levels(), UNDISTURBED);
}

#[test]
fn a_token_that_another_process_renewed_at_the_same_moment_is_found_by_a_second_read() {
    for after in [Duration::ZERO, secs(2)] {
        let mut rig = Rig::new();
        rig.stored = Some(stored());
        rig.cloud.accepted = Some(vec!["renewed-elsewhere"]);
        // Both processes read the same token. It is refused here, and the other process stores its successor only
        // afterwards.
        rig.run(Duration::from_millis(1) + after);
        rig.stored = Some(kept("renewed-elsewhere"));
        rig.run(secs(30));
        assert_eq!(rig.levels(), UNDISTURBED, "{after:?}");
    }
}

#[test]
fn a_refused_token_that_no_process_renewed_is_discarded_after_a_second_read() {
    let mut rig = Rig::new();
    rig.cloud.accepted = Some(Vec::new());
    rig.run(secs(2));
    assert_eq!(rig.levels(), []);
    rig.run(secs(3_600));
    assert_eq!(rig.levels(), [Level::SignInNeeded]);
    assert!(rig.stored.is_some_and(|stored| stored.refresh_token.is_none()));
}

#[test]
fn the_session_of_another_account_or_app_client_is_not_adopted() {
    let mut foreign = kept("of-another-account");
    foreign.account = "bob@example.org".into();
    let mut other_client = kept("of-another-client");
    other_client.client_id = "anotherappclient".into();
    for wrong in [foreign, other_client] {
        let mut rig = Rig::live();
        rig.stored = Some(wrong);
        rig.cloud.accepted = Some(vec!["CANARY-refresh"]);
        rig.run(secs(3_600));
        assert_eq!(rig.levels(), UNDISTURBED);
        assert_eq!(rig.asked("InitiateAuth"), 2, "the foreign token must not be tried");
    }
}

#[test]
fn a_driver_that_never_answers_delays_the_session_by_five_seconds() {
    let rig = Rig::new();
    let start = Start::Resume { stored: stored(), password: None };
    let environment = mysa_session::Environment::mysa();
    let mut session = Session::new(Settings::default(), environment, start, [7; 32], rig.now());
    let mut now = rig.now();
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
        let mut rig = Rig::new();
        rig.stored = Some(stored());
        rig.cloud.rotates = true;
        rig.disk_full = true;
        rig.run(full);
        assert_eq!(token_of(rig.stored.as_ref()), "CANARY-refresh");
        rig.disk_full = false;
        rig.run(secs(130));
        assert_eq!(token_of(rig.stored.as_ref()), "rotated-1", "{full:?}");
        assert_eq!(rig.stored.as_ref().map(|kept| kept.generation), Some(1));
    }
}

#[test]
fn a_refused_stored_token_does_not_replace_a_valid_one_in_memory() {
    let mut rig = Rig::new();
    rig.stored = Some(stored());
    rig.cloud.rotates = true;
    rig.disk_full = true;
    rig.cloud.accepted = Some(vec!["CANARY-refresh"]);
    rig.run(secs(60));
    // The stored token is used up, and its successor could not be stored.
    rig.cloud.accepted = Some(vec!["rotated-1"]);
    rig.run(secs(3_600));
    assert_eq!(rig.levels(), UNDISTURBED);
    assert_eq!(rig.asked("InitiateAuth"), 2);
}

#[test]
fn the_newer_of_two_tokens_is_tried_first_and_the_older_when_that_is_refused() {
    for (held, kept_as) in [(5, 3), (3, 5)] {
        let mut ours = stored();
        ours.generation = held;
        let mut rig = Rig::with(Settings::default(), Start::Resume { stored: ours, password: None }, 0);
        let mut theirs = kept("theirs");
        theirs.generation = kept_as;
        rig.stored = Some(theirs);
        let newer = if held > kept_as { "CANARY-refresh" } else { "theirs" };
        rig.cloud.accepted = Some(vec![newer]);
        rig.run(secs(20));
        assert_eq!((rig.levels(), rig.asked("InitiateAuth")), (UNDISTURBED.to_vec(), 1), "{newer}");
        // Later the pool accepts only the other token.
        rig.cloud.accepted = Some(vec![if held > kept_as { "theirs" } else { "CANARY-refresh" }]);
        rig.run(secs(3_600));
        assert_eq!(rig.levels(), UNDISTURBED, "{newer} was newer");
        assert_eq!(token_of(rig.stored.as_ref()), rig.cloud.accepted.as_ref().map_or("", |all| all[0]));
    }
}

#[test]
fn a_sign_in_by_password_gives_a_higher_generation_than_any_stored_session() {
    let start = Start::Password { username: "ann@example.org".into(), password: Secret::from("password") };
    let mut rig = Rig::with(Settings::default(), start, 0);
    let mut theirs = kept("of-last-year");
    theirs.generation = 57;
    rig.stored = Some(theirs);
    rig.cloud.rotates = true;
    rig.run(secs(20));
    assert_eq!(rig.levels(), UNDISTURBED);
    assert_eq!(token_of(rig.stored.as_ref()), "rotated-1");
    assert_eq!(rig.stored.map(|kept| kept.generation), Some(58));
}

#[test]
fn a_session_without_a_generation_takes_that_of_the_same_stored_token() {
    let mut rig = Rig::new();
    let mut same = stored();
    same.generation = 7;
    rig.stored = Some(same);
    rig.run(secs(20));
    assert!(rig.stored.as_ref().is_some_and(|kept| kept.identity_id.is_some() && kept.generation == 7));
}

#[test]
fn a_session_that_waits_for_a_sign_in_continues_when_another_process_has_signed_in() {
    let mut rig = Rig::new();
    rig.cloud.accepted = Some(Vec::new());
    rig.run(secs(3_600));
    assert_eq!(rig.levels(), [Level::SignInNeeded]);
    let asked = rig.log.http.len();
    let mut theirs = kept("signed-in-elsewhere");
    theirs.generation = 1;
    rig.cloud.accepted = Some(vec!["signed-in-elsewhere"]);
    rig.stored = Some(theirs);
    rig.run(secs(90));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
    assert!(rig.log.http.len() < asked + 20);

    // After a sign-out in this session, other sign-ins are ignored.
    let now = rig.now();
    rig.session.sign_out(now);
    rig.run(secs(60));
    rig.stored = Some(kept("again"));
    rig.cloud.accepted = None;
    rig.run(secs(3_600));
    assert_eq!(rig.session.service().level, Level::SignInNeeded);
}

fn sign_out(rig: &mut Rig) -> Revocation {
    let before = rig.events.len();
    let now = rig.now();
    rig.session.sign_out(now);
    rig.run(secs(40));
    let outcomes: Vec<_> = rig.events[before..]
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
        let mut rig = Rig::live();
        rig.stored = Some(stored());
        rig.cloud.revoke = revoke;
        assert_eq!(sign_out(&mut rig), expect, "{revoke:?}");
        assert_eq!(rig.stored.is_some(), expect == Revocation::NotReached, "{revoke:?}");
        assert_eq!(rig.session.service().level, Level::SignInNeeded);
        // A second sign-out, with a cloud that works.
        rig.cloud.revoke = Reply::Good;
        let again = sign_out(&mut rig);
        let left =
            if expect == Revocation::NotReached { Revocation::Revoked } else { Revocation::NothingToRevoke };
        assert_eq!((again, rig.stored.is_some()), (left, false), "{revoke:?}");
        assert_eq!(rig.asked("InitiateAuth"), 1, "tokens must not be renewed any more");
    }
}

#[test]
fn signing_out_revokes_the_newer_token_that_another_process_was_given() {
    let mut rig = Rig::live();
    let mut theirs = kept("renewed-elsewhere");
    theirs.generation = 1;
    rig.stored = Some(theirs);
    assert_eq!(sign_out(&mut rig), Revocation::Revoked);
    let revoked = rig.log.revoked.join(" ");
    assert!(revoked.contains("renewed-elsewhere") && !revoked.contains("CANARY-refresh"), "{revoked}");
}

#[test]
fn signing_out_revokes_no_token_of_another_account_or_app_client() {
    let mut foreign = kept("of-another-account");
    foreign.account = "bob@example.org".into();
    let mut other_client = kept("of-another-client");
    other_client.client_id = "anotherappclient".into();
    for wrong in [foreign, other_client] {
        let mut rig = Rig::live();
        let is_foreign = wrong.account == "bob@example.org";
        rig.stored = Some(wrong);
        assert_eq!(sign_out(&mut rig), Revocation::Revoked);
        let revoked = rig.log.revoked.join(" ");
        assert!(revoked.contains("CANARY-refresh") && !revoked.contains("of-another"), "{revoked}");
        // The session of the other account is still valid, and must stay.
        let stays = rig.stored.is_some_and(|kept| kept.account == "bob@example.org");
        assert_eq!(stays, is_foreign);
    }
}

#[test]
fn a_sign_out_whose_request_the_driver_never_reports_counts_as_not_reached() {
    let start = Start::Resume { stored: stored(), password: None };
    let mut now = Rig::new().now();
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
    let now = Rig::new().now();
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
fn signed_in_with_a_stored_refused_token() -> Rig {
    let mut rig = Rig::new();
    let mut dead = kept("dead");
    dead.generation = 7;
    rig.stored = Some(dead);
    rig.cloud.accepted = Some(Vec::new());
    rig.run(secs(60));
    assert_eq!(rig.levels(), [Level::SignInNeeded]);
    assert_eq!(token_of(rig.stored.as_ref()), "dead");
    rig.disk_full = true;
    rig.cloud.accepted = None;
    rig.cloud.rotates = true;
    rig.session.sign_in(rig.now(), Secret::from("hunter2"));
    rig.run(secs(10));
    assert_eq!(rig.session.service().level, Level::Live);
    rig
}

#[test]
fn a_new_sign_in_has_a_higher_generation_than_all_known_tokens() {
    let mut rig = signed_in_with_a_stored_refused_token();
    rig.disk_full = false;
    rig.run(secs(130));
    assert_eq!(token_of(rig.stored.as_ref()), "rotated-1");
    assert_eq!(rig.stored.map(|kept| kept.generation), Some(8));
}

#[test]
fn a_refused_token_stays_refused_after_a_new_sign_in() {
    let mut rig = signed_in_with_a_stored_refused_token();
    // Each token is tried with both flows before it is given up; a sign-in by password uses only the other flow.
    let before = rig.asked("GetTokensFromRefreshToken");
    rig.cloud.accepted = Some(Vec::new());
    rig.run(secs(2 * 3_600));
    assert_eq!(rig.session.service().level, Level::SignInNeeded);
    assert_eq!(rig.asked("GetTokensFromRefreshToken") - before, 1, "the dead token must not be tried again");
}

#[test]
fn a_session_without_a_token_has_nothing_to_revoke() {
    let mut nobody = stored();
    nobody.refresh_token = None;
    let mut rig = Rig::with(Settings::default(), Start::Resume { stored: nobody, password: None }, 0);
    assert_eq!(sign_out(&mut rig), Revocation::NothingToRevoke);
    assert_eq!(rig.asked("RevokeToken"), 0);
}
