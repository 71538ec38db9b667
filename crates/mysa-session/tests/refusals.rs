//! Behaviour with a broker that refuses subscriptions.

mod harness;

use std::time::Duration;

use mysa_mqtt_codec::ConnectRefusal;
use mysa_session::{Level, Reason, Settings};

use harness::{Harness, LITE, device, secs};

#[test]
fn a_home_whose_every_subscription_is_refused_asks_again_within_a_quarter_of_an_hour() {
    let mut harness = Harness::new();
    harness.cloud.broker.refused_filters = vec![format!("/v1/dev/{LITE}/out")];
    harness.run(secs(24 * 3_600));
    let service = harness.session.service();
    assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::SubscriptionsRefused));
    let asked = harness.log.subscribes.len();
    assert!((80..=110).contains(&asked), "{asked} times in a day");
    harness.cloud.broker.refused_filters.clear();
    harness.run(secs(16 * 60));
    assert!(harness.session.is_subscribed(device(LITE)));
    assert_eq!(harness.session.service().level, Level::Live);
}

#[test]
fn a_subscription_refused_beside_granted_ones_is_retried_at_growing_intervals() {
    let mut harness = Harness::new();
    harness.cloud.devices = (0..2).map(|n| (format!("a0b1c2d3e4f{n}"), "BB-V2-0-L".into())).collect();
    harness.cloud.broker.refused_filters = vec!["/v1/dev/a0b1c2d3e4f1/out".into()];
    harness.run(secs(24 * 3_600));
    let asked = harness
        .log
        .subscribes
        .iter()
        .filter(|(_, _, filters)| filters == &harness.cloud.broker.refused_filters);
    // The retries come after 10, 20, 40 … minutes.
    assert!(asked.count() <= 8, "{:?}", harness.log.subscribes);
}

/// The broker accepts 50 filters per connection.
#[test]
fn on_a_full_connection_the_old_filter_is_removed_before_the_new_one_is_added() {
    let mut harness = Harness::new();
    harness.cloud.devices = (0..50).map(|n| (format!("a0b1c2d3e4{n:02x}"), "BB-V2-0-L".into())).collect();
    harness.run(secs(60));
    let lists = harness.asked("GET /devices");
    harness.cloud.devices.remove(0);
    while harness.asked("GET /devices") == lists {
        harness.run(secs(1));
    }
    // The session removes the thermostat at the second list without it; by then another one has taken its place.
    harness.cloud.devices.push((LITE.into(), "BB-V2-0-L".into()));
    harness.run(secs(60));
    assert_eq!((harness.session.devices().len(), harness.log.connects.len()), (50, 1));
    assert!(harness.session.is_subscribed(device(LITE)));
}

#[test]
fn an_unavailable_broker_is_dialled_within_a_minute_and_one_that_refuses_the_account_rarely() {
    for (refusal, slow) in [(ConnectRefusal::Unavailable, false), (ConnectRefusal::NotAuthorized, true)] {
        let mut harness = Harness::new();
        harness.cloud.broker.connack = Some(refusal);
        harness.run(secs(6 * 3_600));
        assert_eq!(harness.session.service().reason, Reason::ConnectRefused(refusal));
        let dials = harness.log.dials.len();
        assert_eq!(dials < 60, slow, "{refusal}: {dials} dials in six hours");
        harness.cloud.broker.connack = None;
        harness.run(if slow { secs(16 * 60) } else { secs(75) });
        assert_eq!(harness.session.service().level, Level::Live, "{refusal}");
    }
}

/// Each shard has its own back-off.
#[test]
fn the_connections_of_a_large_home_together_do_not_dial_in_bursts() {
    let mut harness = Harness::new();
    harness.cloud.devices = (0..400).map(|n| (format!("a0b1c2d3e{n:03x}"), "BB-V2-0-L".into())).collect();
    harness.cloud.broker.connack = Some(ConnectRefusal::Unavailable);
    harness.run(secs(600));
    let dials: Vec<Duration> = harness.log.dials.iter().map(|(at, _)| *at).collect();
    let busiest =
        dials.iter().map(|start| dials.iter().filter(|at| (*start..*start + secs(60)).contains(*at)).count());
    let busiest = busiest.max().unwrap();
    assert!((8..=30).contains(&busiest), "{busiest} dials in a minute");
    harness.cloud.broker.connack = None;
    harness.run(secs(90));
    assert_eq!(harness.session.service().level, Level::Live);
}

#[test]
fn a_broker_that_closes_at_connect_is_not_permitted_to_connect() {
    let mut harness = Harness::new();
    harness.cloud.closes_at_connect = true;
    harness.run(secs(30));
    let service = harness.session.service();
    assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::ConnectNotPermitted), "{service}");
    harness.cloud.closes_at_connect = false;
    harness.run(secs(120));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

#[test]
fn sign_ins_in_a_row_are_spaced_and_the_last_password_counts() {
    let mut harness = Harness::new();
    harness.cloud.accepted = Some(Vec::new());
    harness.run(secs(10));
    assert_eq!(harness.session.service().level, Level::SignInNeeded);
    let before = harness.asked("InitiateAuth");
    for _ in 0..64 {
        let now = harness.now();
        harness.session.sign_in(now, "hunter2".into());
        harness.run(Duration::from_millis(100));
    }
    harness.run(secs(10));
    let asked = harness.asked("InitiateAuth") - before;
    assert!((1..=5).contains(&asked), "{asked} sign-ins for 64 in 6.4 seconds");
}

#[test]
fn a_closed_live_connection_is_reported_as_lost_and_not_as_forbidden() {
    let mut settings = Settings::default();
    settings.grace = secs(1);
    let mut harness = Harness::resume(settings);
    harness.run(secs(10));
    assert_eq!(harness.session.service().level, Level::Live);
    // The next connection is opened, and its CONNECT is never answered.
    harness.cloud.dead = true;
    harness.cut();
    harness.run(secs(5));
    let service = harness.session.service();
    assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::ConnectionLost), "{service}");
}
