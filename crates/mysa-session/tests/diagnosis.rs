//! Reports of a session about itself, and the URLs it signs for other clients.

mod harness;

use std::time::Duration;

use harness::{Harness, LITE, Reply, device, stored};
use mysa_session::{Event, Handshake, Publishes, Reason, Settings, Start, Subscribed};

const MINUTES_20: i64 = 20 * 60_000;

fn resumed(host_ahead_ms: i64) -> Harness {
    Harness::with(Settings::default(), Start::Resume { stored: stored(), password: None }, host_ahead_ms)
}

#[test]
fn a_live_session_has_completed_every_step() {
    let harness = Harness::live();
    let seen = harness.session.diagnosis(harness.now());
    assert_eq!(seen.clock_ahead_ms, Some(0));
    assert!(seen.signed_in && seen.credentials, "{seen:?}");
    assert_eq!((seen.handshake, seen.trouble), (Handshake::Accepted, None));
    assert_eq!(seen.subscriptions, [(device(LITE), Subscribed::Granted)]);
    assert_eq!(seen.publishing, Publishes::Acknowledged);
    assert_eq!((seen.failures, seen.retry_in), (0, None));
}

#[test]
fn a_new_session_has_completed_no_step() {
    let harness = resumed(0);
    let seen = harness.session.diagnosis(harness.now());
    assert_eq!((seen.clock_ahead_ms, seen.signed_in, seen.credentials), (None, false, false));
    assert_eq!((seen.handshake, seen.publishing), (Handshake::None, Publishes::Unknown));
    assert_eq!(seen.subscriptions, []);
}

#[test]
fn the_error_of_the_clock_is_reported() {
    let mut harness = resumed(MINUTES_20);
    harness.run(Duration::from_secs(10));
    let ahead = harness.session.diagnosis(harness.now()).clock_ahead_ms.unwrap();
    assert!((ahead + MINUTES_20).abs() < 2_000, "{ahead}");
}

#[test]
fn rest_dates_from_a_cache_or_a_host_with_a_wrong_clock_do_not_move_the_estimate() {
    for host_ahead_ms in [0, MINUTES_20] {
        for rest_date in [(-32_400, Some("32400")), (-32_400, None), (32_400, None)] {
            let mut harness = resumed(host_ahead_ms);
            harness.cloud.rest_date = rest_date;
            harness.run(Duration::from_secs(7_200));
            let ahead = harness.session.diagnosis(harness.now()).clock_ahead_ms.unwrap();
            assert!((ahead + host_ahead_ms).abs() < 2_000, "{rest_date:?}: {ahead}");
            let moves =
                harness.events.iter().filter(|(_, event)| matches!(event, Event::ClockOff { .. })).count();
            assert_eq!(moves, usize::from(host_ahead_ms != 0), "{rest_date:?}");
            let (low, high) = harness.session.cloud_time_bounds(harness.now()).unwrap();
            let truth = harness.truth_secs() * 1_000;
            assert!(low.as_millis() <= truth && truth <= high.as_millis(), "{rest_date:?}: {low:?} {high:?}");
        }
    }
}

#[test]
fn a_failing_step_is_reported_and_counted() {
    let mut harness = resumed(0);
    harness.cloud.upgrade = Some(403);
    harness.run(Duration::from_secs(20));
    let seen = harness.session.diagnosis(harness.now());
    assert_eq!(seen.trouble, Some(Reason::UpgradeRefused { status: Some(403) }));
    assert!(seen.failures >= 2 && seen.retry_in.is_some() && seen.signed_in, "{seen:?}");
    harness.run(Duration::from_secs(600));
    let later = harness.session.diagnosis(harness.now());
    assert!(later.failures > seen.failures, "{later:?}");

    let mut harness = resumed(0);
    harness.cloud.refresh = Reply::Timeout;
    harness.run(Duration::from_secs(120));
    let seen = harness.session.diagnosis(harness.now());
    assert!(!seen.signed_in && seen.failures >= 2, "{seen:?}");
}

#[test]
fn refusals_of_the_broker_are_reported_by_subscription_and_for_publishing() {
    let mut harness = resumed(0);
    harness.cloud.broker.refused_filters = vec![format!("/v1/dev/{LITE}/out")];
    harness.run(Duration::from_secs(10));
    let seen = harness.session.diagnosis(harness.now());
    assert_eq!(seen.subscriptions, [(device(LITE), Subscribed::Refused)]);
    assert_eq!(seen.trouble, Some(Reason::SubscriptionsRefused));

    let mut harness = resumed(0);
    harness.cloud.broker.close_on_publish = true;
    harness.run(Duration::from_secs(600));
    assert_eq!(harness.session.diagnosis(harness.now()).publishing, Publishes::Denied);
}

#[test]
fn a_presigned_url_is_signed_with_the_clouds_time_and_never_dialled_by_the_session() {
    let mut harness = resumed(MINUTES_20);
    assert!(harness.session.presign(harness.now()).is_none(), "sign-in has not completed");
    harness.run(Duration::from_secs(10));
    let mut returned_urls = Vec::new();
    for _ in 0..3 {
        let url = harness.session.presign(harness.now()).unwrap();
        let seen = url.inspect().unwrap();
        assert!((seen.signed_at.unix_timestamp() - harness.truth_secs()).abs() <= 3, "{seen:?}");
        assert!(!format!("{url:?}").contains("Signature"));
        returned_urls.push(url.as_str().to_owned());
    }
    harness.cut();
    harness.run(Duration::from_secs(60));
    returned_urls.extend(harness.log.dials.iter().map(|(_, url)| url.clone()));
    let all = returned_urls.len();
    returned_urls.sort();
    returned_urls.dedup();
    assert!(all >= 5 && returned_urls.len() == all, "one of {all} URLs was returned twice");
}
