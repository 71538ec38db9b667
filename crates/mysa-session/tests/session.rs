//! A session with a scripted cloud: typical events in a home.

mod harness;

use std::time::Duration;

use harness::{Harness, LITE, Reply, device, secs, stored};
use mysa_proto::Celsius;
use mysa_session::{Event, Evidence, Level, Link, Reason, Settings, Start, Subscriptions, Verdict};

#[test]
fn resuming_leads_to_live_statuses_without_a_password() {
    let mut harness = Harness::live();
    assert_eq!(harness.log.dials.len(), 1);
    assert_eq!(harness.log.subscribes[0].2, ["/v1/dev/a0b1c2d3e4f7/out"]);
    assert!(harness.log.publishes.iter().any(|publish| publish.3.contains("\"MsgType\":11")));
    harness.events.clear();
    harness.status(LITE, 20.0);
    harness.run(secs(1));
    assert!(
        harness.events.iter().any(|(_, event)| matches!(event, Event::Device { .. })),
        "{:?}",
        harness.events
    );
    let state = harness.session.state(device(LITE)).unwrap();
    assert_eq!(state.setpoint().unwrap().value, Celsius::from_hundredths(2_000));
    assert_eq!(harness.commands().len(), 0);
}

#[test]
fn a_lost_connection_is_restored_without_repeating_commands() {
    let mut harness = Harness::live();
    harness.cloud.broker.puback = false;
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let id = harness.set(LITE, 25.0);
    harness.run(secs(1));
    harness.cut();
    harness.cloud.broker.puback = true;
    harness.run(secs(60));
    // The command is not sent again on the new connection, and once by the other channel.
    assert_eq!((harness.commands().len(), harness.asked("/update")), (1, 1));
    assert!(matches!(harness.verdict(id), Verdict::Confirmed { by: Evidence::Reported, .. }));
    assert_eq!(harness.log.connects.len(), 2);
    assert_ne!(harness.log.connects[0].1, harness.log.connects[1].1);
    assert_eq!(harness.session.service().level, Level::Live);
    // The loss was shorter than the grace period.
    assert_eq!(
        harness.levels().iter().filter(|level| **level == Level::Live).count(),
        1,
        "{:?}",
        harness.levels()
    );
    // The thermostat was subscribed to and asked for live reports again.
    assert_eq!(harness.log.subscribes.len(), 2);
}

#[test]
fn a_day_and_a_half_of_renewals_leaves_no_gap() {
    let mut harness = Harness::live();
    let mut minutes_with_events = 0;
    for minute in 0..36 * 60 {
        harness.status(LITE, if minute % 2 == 0 { 20.0 } else { 21.0 });
        harness.events.clear();
        harness.run(secs(60));
        minutes_with_events +=
            usize::from(harness.events.iter().any(|(_, event)| matches!(event, Event::Device { .. })));
        assert_eq!(harness.session.service().level, Level::Live, "minute {minute}");
    }
    assert_eq!(minutes_with_events, 36 * 60);
    assert!(harness.log.live_at_once == 2, "the new connection must open before the old one closes");
    assert_eq!(harness.open_sockets(), 1, "the old connection must close");
    let signatures: std::collections::BTreeSet<_> = harness.log.dials.iter().map(|(_, url)| url).collect();
    assert_eq!(signatures.len(), harness.log.dials.len(), "each dial has a new signature");
    // Tokens and credentials live for an hour, so 36 hours need about 40 renewals and connections.
    assert!(harness.asked("InitiateAuth") < 45, "{}", harness.asked("InitiateAuth"));
    assert!(harness.log.dials.len() < 45, "{}", harness.log.dials.len());
}

#[test]
fn credentials_that_expire_while_the_link_is_down_are_renewed_before_dialling() {
    let mut harness = Harness::live();
    harness.cut();
    harness.cloud.http = false;
    harness.cloud.upgrade = Some(403);
    // Longer than tokens and credentials live.
    harness.run(secs(61 * 60));
    let before = harness.log.dials.len();
    harness.cloud.http = true;
    harness.cloud.upgrade = None;
    // After many refusals, dials are up to 15 min apart.
    harness.run(secs(20 * 60));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
    assert_eq!(harness.log.dials.len(), before + 1, "the first dial with new credentials succeeds");
}

#[test]
fn a_host_clock_twenty_minutes_off_signs_with_the_clouds_time() {
    for error in [-1_200_000, 1_200_000] {
        let mut harness =
            Harness::with(Settings::default(), Start::Resume { stored: stored(), password: None }, error);
        harness.run(secs(10));
        assert_eq!(harness.session.service().level, Level::Live);
        assert!(harness.log.dials[0].1.contains("X-Amz-Date=20260102T0304"), "{}", harness.log.dials[0].1);
        assert!(harness.events.iter().any(|(_, event)| matches!(event, Event::ClockOff { .. })));
    }
}

#[test]
fn a_half_open_connection_is_noticed_within_one_and_a_half_keep_alives() {
    let mut harness = Harness::live();
    harness.cloud.dead = true;
    let start = harness.mono;
    while harness.log.closes == 0 {
        harness.run(secs(1));
        assert!(harness.mono - start <= secs(90));
    }
    harness.cloud.dead = false;
    harness.run(secs(60));
    assert_eq!(harness.session.service().level, Level::Live);
}

#[test]
fn a_broker_that_closes_every_connection_gets_few_and_recovery_is_quick() {
    let mut harness = Harness::live();
    harness.cloud.close_after_connack = Some(Duration::from_millis(30));
    harness.cut();
    harness.run(secs(6 * 3_600));
    let connects = harness.log.connects.len();
    // With a cap of 60 s and full jitter, a dial comes every 30 s on average: about 720 in six hours.
    assert!((100..1_200).contains(&connects), "{connects}");
    for pair in harness.log.connects.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= secs(1));
    }
    harness.cloud.close_after_connack = None;
    harness.run(secs(90));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

#[test]
fn two_hundred_devices_share_connections_within_the_brokers_limits() {
    let mut harness = Harness::new();
    harness.cloud.devices = (0..120).map(|n| (format!("a0b1c2d3{n:04x}"), "BB-V2-0-L".into())).collect();
    harness.run(secs(60));
    // 120 filters need three connections of 50.
    assert_eq!(harness.log.connects.len(), 3);
    assert!(harness.session.devices().all(|device| harness.session.is_subscribed(device.id())));
    assert_eq!(harness.session.service().level, Level::Live);
    for pair in harness.log.publishes.windows(2).filter(|pair| pair[0].1 == pair[1].1) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_millis(350), "publishes came in a burst");
    }
}

#[test]
fn one_refused_subscription_does_not_affect_the_others() {
    let mut harness = Harness::new();
    harness.cloud.devices = (0..3).map(|n| (format!("a0b1c2d3e4f{n}"), "BB-V2-0-L".into())).collect();
    harness.cloud.broker.refused_filters = vec!["/v1/dev/a0b1c2d3e4f1/out".into()];
    harness.run(secs(60));
    let granted: Vec<_> =
        (0..3).map(|n| harness.session.is_subscribed(device(&format!("a0b1c2d3e4f{n}")))).collect();
    assert_eq!(granted, [true, false, true]);
    let service = harness.session.service();
    assert_eq!((service.level, service.reason), (Level::Partial, Reason::SomeSubscriptionsRefused));
    harness.cloud.broker.refused_filters.clear();
    // The first retry comes after `Settings::quarantine`, ten minutes.
    harness.run(secs(700));
    assert!(harness.session.is_subscribed(device("a0b1c2d3e4f1")), "a refused subscription is tried again");
}

#[test]
fn a_filter_that_ends_connections_is_found_and_not_requested() {
    let mut settings = Settings::default();
    settings.subscriptions = Subscriptions::WITH_BATCH;
    let mut harness = Harness::resume(settings);
    harness.cloud.broker.closing_filters = vec!["/v1/dev/a0b1c2d3e4f7/batch".into()];
    harness.run(secs(180));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
    assert!(harness.session.is_subscribed(device(LITE)));
    let connects = harness.log.connects.len();
    // One that ended with other filters requested, two that ended with the filter alone, and the one that stays.
    assert!(connects <= 4, "{connects}");
}

#[test]
fn a_refused_wildcard_is_replaced_by_each_devices_own_topic() {
    for close in [false, true] {
        let mut settings = Settings::default();
        settings.subscriptions = Subscriptions::WILDCARD;
        let mut harness = Harness::resume(settings);
        let filters = vec!["/v1/dev/+/out".into()];
        if close {
            harness.cloud.broker.closing_filters = filters
        } else {
            harness.cloud.broker.refused_filters = filters
        }
        harness.run(secs(120));
        assert_eq!(harness.log.subscribes[0].2, ["/v1/dev/+/out"]);
        assert_eq!(harness.log.subscribes.last().unwrap().2, ["/v1/dev/a0b1c2d3e4f7/out"]);
        assert_eq!(harness.session.service().level, Level::Live);
    }
}

#[test]
fn an_upgrade_that_is_always_refused_leads_to_rest_only_and_slow_retries() {
    let mut harness = Harness::new();
    harness.cloud.upgrade = Some(403);
    harness.run(secs(24 * 3_600));
    assert_eq!(harness.session.service().level, Level::RestOnly);
    assert_eq!(harness.session.service().reason, Reason::UpgradeRefused { status: Some(403) });
    // After six refusals the pause is 7.5 to 15 min, which makes about 130 dials a day.
    assert!(harness.log.dials.len() < 250, "{}", harness.log.dials.len());
    let reported = harness.events.iter().filter_map(|(_, event)| match event {
        Event::Service(service) if service.level == Level::RestOnly => Some(service.reason),
        _ => None,
    });
    let refused = Reason::UpgradeRefused { status: Some(403) };
    assert!(
        reported.eq([Reason::Starting, refused]),
        "exactly two reasons are reported: first the starting phase, then the cause"
    );
    // Without MQTT the states are polled every minute.
    assert!(harness.asked("/devices/state") > 1_000);
    // Commands use the remaining channel.
    let id = harness.set(LITE, 21.0);
    harness.run(secs(20));
    assert!(matches!(harness.verdict(id), Verdict::Confirmed { by: Evidence::Reported, .. }));
}

#[test]
fn an_upgrade_refused_by_a_broker_in_trouble_is_soon_tried_again() {
    for status in [429, 500, 503] {
        let mut harness = Harness::live();
        harness.cloud.upgrade = Some(status);
        harness.cut();
        harness.run(secs(3_600));
        assert_eq!(harness.session.service().reason, Reason::UpgradeRefused { status: Some(status) });
        harness.cloud.upgrade = None;
        harness.run(secs(70));
        assert_eq!(harness.session.service().level, Level::Live, "{status}: {}", harness.session.service());
    }
}

#[test]
fn a_refused_refresh_without_a_password_requires_a_sign_in_and_reports_it_once() {
    let mut harness = Harness::new();
    harness.cloud.refresh =
        Reply::Status(400, r#"{"__type":"NotAuthorizedException","message":"Refresh Token has expired"}"#);
    harness.run(secs(3_600));
    assert_eq!(harness.levels(), [Level::SignInNeeded]);
    assert!(harness.log.http.len() <= 2, "{:?}", harness.log.http);
    assert!(harness.stored.as_ref().unwrap().refresh_token.is_none());
}

#[test]
fn a_refused_refresh_with_a_password_leads_to_one_sign_in() {
    let password = Some("hunter2".into());
    let mut harness = Harness::with(Settings::default(), Start::Resume { stored: stored(), password }, 0);
    harness.cloud.refresh = Reply::Status(
        400,
        r#"{"__type":"NotAuthorizedException","message":"Incorrect username or password."}"#,
    );
    harness.run(secs(3_600));
    // Two refresh flows and one sign-in, which the same answer refuses for good.
    assert_eq!(harness.log.http.len(), 3, "{:?}", harness.log.http);
    assert!(harness.stored.as_ref().unwrap().refused.is_some());
    let stored = harness.stored.clone().unwrap();
    let again = Start::Resume { stored, password: Some("hunter2".into()) };
    let mut harness = Harness::with(Settings::default(), again, 0);
    harness.run(secs(3_600));
    assert_eq!(harness.log.http.len(), 0, "a refusal also applies to the next process");
}

#[test]
fn transient_failures_never_discard_the_tokens() {
    for reply in [
        Reply::Timeout,
        Reply::Status(500, "{}"),
        Reply::Status(429, r#"{"__type":"TooManyRequestsException"}"#),
        Reply::Status(200, "<html>"),
        Reply::Status(503, ""),
    ] {
        let mut harness = Harness::new();
        harness.cloud.refresh = reply;
        harness.run(secs(1_800));
        assert!(harness.log.http.len() < 60, "{reply:?}: {}", harness.log.http.len());
        assert!(harness.stored.as_ref().is_none_or(|stored| stored.refresh_token.is_some()), "{reply:?}");
        harness.cloud.refresh = Reply::Good;
        harness.run(secs(1_800));
        assert_eq!(harness.session.service().level, Level::Live, "{reply:?}");
    }
}

#[test]
fn a_portal_that_answers_everything_with_200_is_asked_with_growing_pauses() {
    let mut harness = Harness::new();
    harness.cloud.rest = Reply::Status(200, "<html>");
    harness.run(secs(600));
    assert!((3..40).contains(&harness.asked("/devices")), "{}", harness.asked("/devices"));
    harness.cloud.rest = Reply::Good;
    harness.run(secs(600));
    assert_eq!(harness.session.service().level, Level::Live);
}

#[test]
fn a_thermostat_silent_since_before_the_start_is_as_old_as_its_last_message() {
    const MINUTE: u64 = 60;
    for (silent, link) in [
        (5 * MINUTE, Link::Rest),
        (11 * MINUTE, Link::Silent),
        (3 * 60 * MINUTE, Link::Silent),
        (40 * 24 * 60 * MINUTE, Link::Silent),
    ] {
        // The second round is a restart.
        for _ in 0..2 {
            let mut harness = Harness::new();
            harness.cloud.sends_at_ping = false;
            let last = harness.truth_secs() - i64::try_from(silent).unwrap();
            harness.cloud.setpoints.insert(LITE.into(), (19.0, last));
            harness.run(secs(60));
            let known = harness.session.device(device(LITE)).unwrap();
            let ago = known.last_seen_ago(harness.now().mono).unwrap().as_secs();
            assert!((silent + 60).abs_diff(ago) <= 1, "{silent} s before the start, shown as {ago} s");
            assert_eq!((known.link(), known.is_stale()), (link, link == Link::Silent), "{silent} s");
            // A new status ends the silence.
            harness.status(LITE, 20.0);
            harness.run(secs(1));
            let known = harness.session.device(device(LITE)).unwrap();
            assert_eq!((known.link(), known.is_stale()), (Link::Live, false));
            assert!(known.last_seen_ago(harness.now().mono).unwrap() <= secs(1));
        }
    }
}

#[test]
fn a_repeated_message_is_a_sign_of_life_and_an_old_status_of_rest_is_not() {
    let mut harness = Harness::live();
    harness.cloud.sends_at_ping = false;
    harness.cloud.setpoints.insert(LITE.into(), (20.0, harness.truth_secs()));
    for _ in 0..60 {
        harness.status(LITE, 20.0);
        harness.run(secs(60));
        let known = harness.session.device(device(LITE)).unwrap();
        let ago = known.last_seen_ago(harness.now().mono).unwrap();
        assert!(ago <= secs(60) && known.link() == Link::Live, "{ago:?} {:?}", known.link());
    }
    // REST shows the same status again and again, which is not a new sign of life.
    harness.run(secs(900));
    let known = harness.session.device(device(LITE)).unwrap();
    assert!(known.last_seen_ago(harness.now().mono).unwrap() >= secs(900));
    assert_eq!(known.link(), Link::Silent);
}

#[test]
fn a_silent_thermostat_goes_stale_and_comes_back() {
    let mut harness = Harness::live();
    harness.cloud.sends_at_ping = false;
    harness.cloud.setpoints.insert(LITE.into(), (19.0, harness.truth_secs()));
    harness.status(LITE, 20.0);
    harness.run(secs(500));
    assert!(!harness.session.device(device(LITE)).unwrap().is_stale());
    harness.run(secs(200));
    assert!(harness.session.device(device(LITE)).unwrap().is_stale());
    harness.status(LITE, 20.0);
    harness.run(secs(1));
    assert!(!harness.session.device(device(LITE)).unwrap().is_stale());
}

#[test]
fn added_and_removed_devices_are_reported_once() {
    let mut harness = Harness::live();
    harness.cloud.devices.push(("a0b1c2d3e4aa".into(), "BB-V1-1".into()));
    harness.run(secs(2_000));
    assert!(harness.session.is_subscribed(device("a0b1c2d3e4aa")));
    // One list without the thermostats must not remove them.
    let all = std::mem::take(&mut harness.cloud.devices);
    while !harness.session.devices().any(|_| harness.log.http.last().unwrap().1 == "GET /devices") {
        harness.run(secs(1));
    }
    harness.run(secs(5));
    harness.cloud.devices = all;
    harness.run(secs(100));
    assert_eq!(harness.session.devices().len(), 2);
    harness.cloud.devices.remove(0);
    harness.run(secs(2_000));
    let count = |wanted: &str| {
        harness.events.iter().filter(|(_, event)| format!("{event:?}").starts_with(wanted)).count()
    };
    assert_eq!((count("DeviceAdded"), count("DeviceRemoved")), (2, 1));
    assert_eq!(harness.session.devices().len(), 1);
}

#[test]
fn live_reporting_is_renewed_before_it_expires_and_after_a_restart_of_the_device() {
    let mut harness = Harness::live();
    harness.run(secs(600));
    let leases =
        |harness: &Harness| harness.log.publishes.iter().filter(|p| p.3.contains("\"MsgType\":11")).count();
    let before = leases(&harness);
    assert!((4..=6).contains(&before), "{before}");
    let boot = r#"{"device":"a0b1c2d3e4f7","timestamp":1767323105,"MsgType":10,"bootCount":77,"version":"3.17.4.1"}"#;
    harness.publish_from(LITE, boot, Duration::ZERO);
    harness.run(secs(8));
    assert!(leases(&harness) > before);
}

#[test]
fn rest_tokens_refused_with_401_are_renewed_once() {
    let mut harness = Harness::live();
    let before = harness.asked("InitiateAuth");
    harness.cloud.rest = Reply::Status(401, "{}");
    let request = mysa_proto::rest::homes();
    let now = harness.now();
    harness.session.request(now, request).unwrap();
    harness.run(secs(3));
    assert_eq!(harness.asked("/homes"), 2);
    assert!(harness.asked("InitiateAuth") <= before + 2);
    let answered = harness.events.iter().filter(|(_, event)| matches!(event, Event::Response { .. })).count();
    assert_eq!(answered, 1);
}

#[test]
fn a_missing_suback_ends_few_connections() {
    let mut harness = Harness::new();
    harness.cloud.broker.suback = false;
    harness.run(secs(900));
    assert_eq!(harness.session.service().level, Level::RestOnly);
    assert!(harness.log.connects.len() < 10, "{}", harness.log.connects.len());
    harness.cloud.broker.suback = true;
    harness.run(secs(1_800));
    assert_eq!(harness.session.service().level, Level::Live);
}

#[test]
fn a_code_is_requested_and_requested_again_after_a_wrong_one() {
    let start = Start::Password { username: "ann@example.org".into(), password: "hunter2".into() };
    let mut harness = Harness::with(Settings::default(), start, 0);
    harness.cloud.refresh = Reply::Status(
        200,
        r#"{"ChallengeName":"SOFTWARE_TOKEN_MFA","Session":"s","ChallengeParameters":{"USER_ID_FOR_SRP":"u"}}"#,
    );
    harness.cloud.respond = Reply::Status(400, r#"{"__type":"CodeMismatchException","message":"no"}"#);
    harness.run(secs(600));
    assert_eq!(harness.session.service().reason, Reason::ChallengeOpen);
    assert_eq!(harness.log.http.len(), 1);
    for (code, again) in [("111111", 2), ("222222", 3)] {
        let now = harness.now();
        harness.session.answer_challenge(now, code).unwrap();
        harness.run(secs(60));
        let asked = harness.events.iter().filter(|(_, event)| matches!(event, Event::Challenge(_))).count();
        assert_eq!(asked, again);
    }
    harness.cloud.respond = Reply::Good;
    let now = harness.now();
    harness.session.answer_challenge(now, "333333").unwrap();
    harness.run(secs(30));
    assert_eq!(harness.session.service().level, Level::Live);
    assert!(harness.session.answer_challenge(harness.now(), "x").is_err());
}

#[test]
fn a_refresh_token_revoked_in_mid_session_leaves_valid_tokens_in_use_until_they_expire() {
    let mut harness = Harness::live();
    harness.cloud.refresh = Reply::Status(
        400,
        r#"{"__type":"NotAuthorizedException","message":"Refresh Token has been revoked"}"#,
    );
    harness.run(secs(56 * 60));
    assert_eq!(harness.session.service().level, Level::SignInNeeded);
    harness.events.clear();
    harness.status(LITE, 23.5);
    harness.run(secs(1));
    assert!(
        harness.events.iter().any(|(_, event)| matches!(event, Event::Device { .. })),
        "MQTT must continue"
    );
    let refreshes = harness.asked("InitiateAuth");
    harness.run(secs(12 * 3_600));
    assert_eq!(harness.asked("InitiateAuth"), refreshes, "no more refreshes may be attempted");
    assert_eq!(harness.levels(), []);
}
