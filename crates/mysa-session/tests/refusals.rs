//! Behaviour with a broker that refuses subscriptions.

mod rig;

use std::time::Duration;

use mysa_mqtt_codec::ConnectRefusal;
use mysa_session::{Level, Reason, Settings};

use rig::{LITE, Rig, device, secs};

#[test]
fn a_home_whose_every_subscription_is_refused_asks_again_within_a_quarter_of_an_hour() {
    let mut rig = Rig::new();
    rig.cloud.broker.refused_filters = vec![format!("/v1/dev/{LITE}/out")];
    rig.run(secs(24 * 3_600));
    let service = rig.session.service();
    assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::SubscriptionsRefused));
    let asked = rig.log.subscribes.len();
    assert!((80..=110).contains(&asked), "{asked} times in a day");
    rig.cloud.broker.refused_filters.clear();
    rig.run(secs(16 * 60));
    assert!(rig.session.is_subscribed(device(LITE)));
    assert_eq!(rig.session.service().level, Level::Live);
}

#[test]
fn a_subscription_refused_beside_granted_ones_is_retried_at_growing_intervals() {
    let mut rig = Rig::new();
    rig.cloud.devices = (0..2).map(|n| (format!("a0b1c2d3e4f{n}"), "BB-V2-0-L".into())).collect();
    rig.cloud.broker.refused_filters = vec!["/v1/dev/a0b1c2d3e4f1/out".into()];
    rig.run(secs(24 * 3_600));
    let asked =
        rig.log.subscribes.iter().filter(|(_, _, filters)| filters == &rig.cloud.broker.refused_filters);
    // The retries come after 10, 20, 40 … minutes.
    assert!(asked.count() <= 8, "{:?}", rig.log.subscribes);
}

/// The broker accepts 50 filters per connection.
#[test]
fn on_a_full_connection_the_old_filter_is_removed_before_the_new_one_is_added() {
    let mut rig = Rig::new();
    rig.cloud.devices = (0..50).map(|n| (format!("a0b1c2d3e4{n:02x}"), "BB-V2-0-L".into())).collect();
    rig.run(secs(60));
    let lists = rig.asked("GET /devices");
    rig.cloud.devices.remove(0);
    while rig.asked("GET /devices") == lists {
        rig.run(secs(1));
    }
    // The session removes the thermostat at the second list without it; by then another one has taken its place.
    rig.cloud.devices.push((LITE.into(), "BB-V2-0-L".into()));
    rig.run(secs(60));
    assert_eq!((rig.session.devices().len(), rig.log.connects.len()), (50, 1));
    assert!(rig.session.is_subscribed(device(LITE)));
}

#[test]
fn an_unavailable_broker_is_dialled_within_a_minute_and_one_that_refuses_the_account_rarely() {
    for (refusal, slow) in [(ConnectRefusal::Unavailable, false), (ConnectRefusal::NotAuthorized, true)] {
        let mut rig = Rig::new();
        rig.cloud.broker.connack = Some(refusal);
        rig.run(secs(6 * 3_600));
        assert_eq!(rig.session.service().reason, Reason::ConnectRefused(refusal));
        let dials = rig.log.dials.len();
        assert_eq!(dials < 60, slow, "{refusal}: {dials} dials in six hours");
        rig.cloud.broker.connack = None;
        rig.run(if slow { secs(16 * 60) } else { secs(75) });
        assert_eq!(rig.session.service().level, Level::Live, "{refusal}");
    }
}

/// Each shard has its own back-off.
#[test]
fn the_connections_of_a_large_home_together_do_not_dial_in_bursts() {
    let mut rig = Rig::new();
    rig.cloud.devices = (0..400).map(|n| (format!("a0b1c2d3e{n:03x}"), "BB-V2-0-L".into())).collect();
    rig.cloud.broker.connack = Some(ConnectRefusal::Unavailable);
    rig.run(secs(600));
    let dials: Vec<Duration> = rig.log.dials.iter().map(|(at, _)| *at).collect();
    let busiest =
        dials.iter().map(|start| dials.iter().filter(|at| (*start..*start + secs(60)).contains(*at)).count());
    let busiest = busiest.max().unwrap();
    assert!((8..=30).contains(&busiest), "{busiest} dials in a minute");
    rig.cloud.broker.connack = None;
    rig.run(secs(90));
    assert_eq!(rig.session.service().level, Level::Live);
}

#[test]
fn a_broker_that_closes_at_connect_is_not_permitted_to_connect() {
    let mut rig = Rig::new();
    rig.cloud.closes_at_connect = true;
    rig.run(secs(30));
    let service = rig.session.service();
    assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::ConnectNotPermitted), "{service}");
    rig.cloud.closes_at_connect = false;
    rig.run(secs(120));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
}

#[test]
fn sign_ins_in_a_row_are_spaced_and_the_last_password_counts() {
    let mut rig = Rig::new();
    rig.cloud.accepted = Some(Vec::new());
    rig.run(secs(10));
    assert_eq!(rig.session.service().level, Level::SignInNeeded);
    let before = rig.asked("InitiateAuth");
    for _ in 0..64 {
        let now = rig.now();
        rig.session.sign_in(now, "hunter2".into());
        rig.run(Duration::from_millis(100));
    }
    rig.run(secs(10));
    let asked = rig.asked("InitiateAuth") - before;
    assert!((1..=5).contains(&asked), "{asked} sign-ins for 64 in 6.4 seconds");
}

#[test]
fn a_closed_live_connection_is_reported_as_lost_and_not_as_forbidden() {
    let mut settings = Settings::default();
    settings.grace = secs(1);
    let mut rig = Rig::resume(settings);
    rig.run(secs(10));
    assert_eq!(rig.session.service().level, Level::Live);
    // The next connection is opened, and its CONNECT is never answered.
    rig.cloud.dead = true;
    rig.cut();
    rig.run(secs(5));
    let service = rig.session.service();
    assert_eq!((service.level, service.reason), (Level::RestOnly, Reason::ConnectionLost), "{service}");
}
