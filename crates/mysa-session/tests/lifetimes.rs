//! Claimed lifetimes of tokens and credentials, and the requests that follow.

mod harness;

use std::time::Duration;

use harness::{Harness, Reply};
use mysa_session::{Level, Reason};

const HOUR: Duration = Duration::from_secs(3_600);

/// Number of requests in the second hour: token refreshes, credentials, dials, and all HTTP requests.
fn second_hour(harness: &mut Harness) -> [usize; 4] {
    let counts = |harness: &Harness| {
        [
            harness.asked("InitiateAuth") + harness.asked("GetTokensFromRefreshToken"),
            harness.asked("GetCredentialsForIdentity"),
            harness.log.dials.len(),
            harness.log.http.len(),
        ]
    };
    harness.run(HOUR);
    let before = counts(harness);
    harness.run(HOUR);
    let after = counts(harness);
    core::array::from_fn(|at| after[at] - before[at])
}

#[test]
fn any_lifetime_of_tokens_causes_few_refreshes_and_a_live_service() {
    for expires_in in [
        "0",
        "-1",
        "-1e300",
        "1",
        "0.5",
        "59",
        "60.75",
        "300",
        "3600",
        "86400",
        "3153600000",
        "1e300",
        "null",
    ] {
        let mut harness = Harness::new();
        harness.cloud.expires_in = expires_in;
        let [refreshes, credentials, dials, http] = second_hour(&mut harness);
        assert!(refreshes <= 20, "{expires_in}: {refreshes}");
        assert!(credentials <= 2 && dials <= 2 && http <= 60, "{expires_in}: {credentials} {dials} {http}");
        assert_eq!(harness.session.service().level, Level::Live, "{expires_in}");
    }
}

#[test]
fn any_lifetime_of_credentials_causes_few_requests() {
    for life in [-86_400, -1, 0, 1, 29, 31, 60, 119, 300, 600, 3_600, 86_400, 3_153_600_000] {
        let mut harness = Harness::new();
        harness.cloud.credentials_life = life;
        let [refreshes, credentials, dials, http] = second_hour(&mut harness);
        assert!(credentials <= 60 && dials <= 13, "{life}: {credentials} {dials}");
        assert!(refreshes <= 2 && http - credentials <= 100, "{life}: {refreshes} {http}");
        if life > 30 {
            assert_eq!(harness.session.service().level, Level::Live, "{life}");
        }
    }
}

#[test]
fn an_invalid_expiration_causes_few_requests() {
    for expiration in ["0", "-1", "-1e300", "1.5", "1e15", "1e300", "null"] {
        let mut harness = Harness::new();
        harness.cloud.expiration = Some(expiration);
        let [refreshes, credentials, dials, http] = second_hour(&mut harness);
        assert!(refreshes <= 2 && credentials <= 60 && dials <= 2, "{expiration}: {credentials} {dials}");
        assert!(http - credentials <= 100, "{expiration}: {http}");
        // Credentials that expire in the far future are usable now.
        let far = expiration.starts_with("1e");
        let level = if far { Level::Live } else { Level::RestOnly };
        assert_eq!(harness.session.service().level, level, "{expiration}");
    }
}

#[test]
fn tokens_that_no_service_accepts_cause_few_refreshes() {
    for expires_in in ["0", "3600"] {
        let mut harness = Harness::new();
        harness.cloud.expires_in = expires_in;
        harness.cloud.rest = Reply::Status(401, "{}");
        let [refreshes, _, _, http] = second_hour(&mut harness);
        assert!(refreshes <= 80 && http <= 250, "{expires_in}: {refreshes} {http}");
    }
}

#[test]
fn credentials_that_expired_during_a_suspend_are_renewed() {
    let mut harness = Harness::live();
    let before = [harness.asked("InitiateAuth"), harness.asked("GetCredentialsForIdentity")];
    // The host sleeps for two hours: its monotonic clock stands still.
    harness.host_ahead_ms += 7_200_000;
    harness.truth_ahead_secs += 7_200;
    harness.run(Duration::from_secs(60));
    let after = [harness.asked("InitiateAuth"), harness.asked("GetCredentialsForIdentity")];
    assert_eq!(after, before.map(|count| count + 1));
}

#[test]
fn an_unanswered_sign_in_is_reported_as_the_reason_of_the_outage() {
    let mut harness = Harness::new();
    harness.cloud.refresh = Reply::Timeout;
    harness.run(Duration::from_secs(120));
    assert_eq!(harness.session.service().reason, Reason::NoAnswer, "{}", harness.session.service());
}

#[test]
fn credentials_that_the_broker_refuses_are_fetched_again() {
    let mut harness = Harness::live();
    let before = harness.asked("GetCredentialsForIdentity");
    harness.cloud.upgrade = Some(403);
    harness.cut();
    harness.run(Duration::from_secs(120));
    assert!(harness.asked("GetCredentialsForIdentity") > before);
}
