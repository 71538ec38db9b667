//! Several processes of one account, and the one place where the session is kept.

mod rig;

use std::time::Duration;

use mysa_cognito::{RefreshToken, Secret, StoredSession};
use mysa_session::{Level, Output, Session, Settings, Start};

use rig::{Rig, stored};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The states are read, then the connection is there, and that is all.
const WELL: [Level; 2] = [Level::RestOnly, Level::Live];

/// What another process of the account has kept.
fn kept(token: &str) -> StoredSession {
    let mut kept = stored();
    kept.refresh_token = Some(RefreshToken::new(Secret::from(token)));
    kept
}

#[test]
fn a_token_that_another_process_renewed_is_taken_up_before_the_next_refresh() {
    let mut rig = Rig::live();
    let refreshes = rig.asked("InitiateAuth");
    // The other process used the token, which is dead from then on, and kept the next.
    rig.cloud.accepted = Some(vec!["renewed-elsewhere"]);
    rig.stored = Some(kept("renewed-elsewhere"));
    rig.run(secs(3_600));
    assert_eq!(rig.asked("InitiateAuth") - refreshes, 1, "the dead token is not offered first");
    assert_eq!(rig.levels(), WELL);
}

#[test]
fn a_token_that_another_process_renewed_in_the_same_moment_is_looked_for_again() {
    for after in [Duration::ZERO, secs(2)] {
        let mut rig = Rig::new();
        rig.stored = Some(stored());
        rig.cloud.accepted = Some(vec!["renewed-elsewhere"]);
        // Both read the same token. Ours is refused, and the other process keeps the next one only then.
        rig.run(Duration::from_millis(1) + after);
        rig.stored = Some(kept("renewed-elsewhere"));
        rig.run(secs(30));
        assert_eq!(rig.levels(), WELL, "{after:?}");
    }
}

#[test]
fn a_refused_token_that_nobody_renewed_is_given_up_after_a_second_look() {
    let mut rig = Rig::new();
    rig.cloud.accepted = Some(Vec::new());
    rig.run(secs(2));
    assert_eq!(rig.levels(), []);
    rig.run(secs(3_600));
    assert_eq!(rig.levels(), [Level::SignInNeeded]);
    assert!(rig.stored.is_some_and(|stored| stored.refresh_token.is_none()));
}

#[test]
fn what_belongs_to_another_account_or_app_client_is_not_taken_up() {
    let mut foreign = kept("of-another-account");
    foreign.account = "bob@example.org".into();
    let mut other_client = kept("of-another-client");
    other_client.client_id = "anotherappclient".into();
    for wrong in [foreign, other_client] {
        let mut rig = Rig::live();
        rig.stored = Some(wrong);
        rig.cloud.accepted = Some(vec!["CANARY-refresh"]);
        rig.run(secs(3_600));
        assert_eq!(rig.levels(), WELL);
    }
}

#[test]
fn a_driver_that_never_answers_costs_five_seconds() {
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
    // Too late, and not asked for.
    session.handle_stored(now, Some(kept("late")));
    assert!(session.poll_output().is_none());
}
