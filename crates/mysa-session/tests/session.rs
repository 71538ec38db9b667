//! A session with a scripted cloud: typical events in a home.

mod rig;

use std::time::Duration;

use mysa_proto::Celsius;
use mysa_session::{Event, Evidence, Level, Link, Reason, Settings, Start, Subscriptions, Verdict};
use rig::{LITE, Reply, Rig, device, secs, stored};

#[test]
fn resuming_leads_to_live_statuses_without_a_password() {
    let mut rig = Rig::live();
    assert_eq!(rig.log.dials.len(), 1);
    assert_eq!(rig.log.subscribes[0].2, ["/v1/dev/a0b1c2d3e4f7/out"]);
    assert!(rig.log.publishes.iter().any(|publish| publish.3.contains("\"MsgType\":11")));
    rig.events.clear();
    rig.status(LITE, 20.0);
    rig.run(secs(1));
    assert!(rig.events.iter().any(|(_, event)| matches!(event, Event::Device { .. })), "{:?}", rig.events);
    let state = rig.session.state(device(LITE)).unwrap();
    assert_eq!(state.setpoint().unwrap().value, Celsius::from_hundredths(2_000));
    assert_eq!(rig.commands().len(), 0);
}

#[test]
fn a_lost_connection_is_restored_without_repeating_commands() {
    let mut rig = Rig::live();
    rig.cloud.broker.puback = false;
    rig.cloud.device_acks = false;
    rig.cloud.device_applies = false;
    let id = rig.set(LITE, 25.0);
    rig.run(secs(1));
    rig.cut();
    rig.cloud.broker.puback = true;
    rig.run(secs(60));
    // The command is not sent again on the new connection, and once by the other channel.
    assert_eq!((rig.commands().len(), rig.asked("/update")), (1, 1));
    assert!(matches!(rig.verdict(id), Verdict::Confirmed { by: Evidence::Reported, .. }));
    assert_eq!(rig.log.connects.len(), 2);
    assert_ne!(rig.log.connects[0].1, rig.log.connects[1].1);
    assert_eq!(rig.session.service().level, Level::Live);
    // The loss was shorter than the grace period.
    assert_eq!(rig.levels().iter().filter(|level| **level == Level::Live).count(), 1, "{:?}", rig.levels());
    // The thermostat was subscribed to and asked for live reports again.
    assert_eq!(rig.log.subscribes.len(), 2);
}

#[test]
fn a_day_and_a_half_of_renewals_leaves_no_gap() {
    let mut rig = Rig::live();
    let mut minutes_with_events = 0;
    for minute in 0..36 * 60 {
        rig.status(LITE, if minute % 2 == 0 { 20.0 } else { 21.0 });
        rig.events.clear();
        rig.run(secs(60));
        minutes_with_events +=
            usize::from(rig.events.iter().any(|(_, event)| matches!(event, Event::Device { .. })));
        assert_eq!(rig.session.service().level, Level::Live, "minute {minute}");
    }
    assert_eq!(minutes_with_events, 36 * 60);
    assert!(rig.log.live_at_once == 2, "the new connection must open before the old one closes");
    assert_eq!(rig.open_sockets(), 1, "the old connection must close");
    let signatures: std::collections::BTreeSet<_> = rig.log.dials.iter().map(|(_, url)| url).collect();
    assert_eq!(signatures.len(), rig.log.dials.len(), "each dial has a new signature");
    // Tokens and credentials live for an hour, so 36 hours need about 40 renewals and connections.
    assert!(rig.asked("InitiateAuth") < 45, "{}", rig.asked("InitiateAuth"));
    assert!(rig.log.dials.len() < 45, "{}", rig.log.dials.len());
}

#[test]
fn credentials_that_expire_while_the_link_is_down_are_renewed_before_dialling() {
    let mut rig = Rig::live();
    rig.cut();
    rig.cloud.http = false;
    rig.cloud.upgrade = Some(403);
    // Longer than tokens and credentials live.
    rig.run(secs(61 * 60));
    let before = rig.log.dials.len();
    rig.cloud.http = true;
    rig.cloud.upgrade = None;
    // After many refusals, dials are up to 15 min apart.
    rig.run(secs(20 * 60));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
    assert_eq!(rig.log.dials.len(), before + 1, "the first dial with new credentials succeeds");
}

#[test]
fn a_host_clock_twenty_minutes_off_signs_with_the_clouds_time() {
    for error in [-1_200_000, 1_200_000] {
        let mut rig =
            Rig::with(Settings::default(), Start::Resume { stored: stored(), password: None }, error);
        rig.run(secs(10));
        assert_eq!(rig.session.service().level, Level::Live);
        assert!(rig.log.dials[0].1.contains("X-Amz-Date=20260102T0304"), "{}", rig.log.dials[0].1);
        assert!(rig.events.iter().any(|(_, event)| matches!(event, Event::ClockOff { .. })));
    }
}

#[test]
fn a_half_open_connection_is_noticed_within_one_and_a_half_keep_alives() {
    let mut rig = Rig::live();
    rig.cloud.dead = true;
    let start = rig.mono;
    while rig.log.closes == 0 {
        rig.run(secs(1));
        assert!(rig.mono - start <= secs(90));
    }
    rig.cloud.dead = false;
    rig.run(secs(60));
    assert_eq!(rig.session.service().level, Level::Live);
}

#[test]
fn a_broker_that_closes_every_connection_gets_few_and_recovery_is_quick() {
    let mut rig = Rig::live();
    rig.cloud.close_after_connack = Some(Duration::from_millis(30));
    rig.cut();
    rig.run(secs(6 * 3_600));
    let connects = rig.log.connects.len();
    // With a cap of 60 s and full jitter, a dial comes every 30 s on average: about 720 in six hours.
    assert!((100..1_200).contains(&connects), "{connects}");
    for pair in rig.log.connects.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= secs(1));
    }
    rig.cloud.close_after_connack = None;
    rig.run(secs(90));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
}

#[test]
fn two_hundred_devices_share_connections_within_the_brokers_limits() {
    let mut rig = Rig::new();
    rig.cloud.devices = (0..120).map(|n| (format!("a0b1c2d3{n:04x}"), "BB-V2-0-L".into())).collect();
    rig.run(secs(60));
    // 120 filters need three connections of 50.
    assert_eq!(rig.log.connects.len(), 3);
    assert!(rig.session.devices().all(|device| rig.session.is_subscribed(device.id())));
    assert_eq!(rig.session.service().level, Level::Live);
    for pair in rig.log.publishes.windows(2).filter(|pair| pair[0].1 == pair[1].1) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_millis(350), "publishes came in a burst");
    }
}

#[test]
fn one_refused_subscription_does_not_affect_the_others() {
    let mut rig = Rig::new();
    rig.cloud.devices = (0..3).map(|n| (format!("a0b1c2d3e4f{n}"), "BB-V2-0-L".into())).collect();
    rig.cloud.broker.refused_filters = vec!["/v1/dev/a0b1c2d3e4f1/out".into()];
    rig.run(secs(60));
    let granted: Vec<_> =
        (0..3).map(|n| rig.session.is_subscribed(device(&format!("a0b1c2d3e4f{n}")))).collect();
    assert_eq!(granted, [true, false, true]);
    let service = rig.session.service();
    assert_eq!((service.level, service.reason), (Level::Partial, Reason::SomeSubscriptionsRefused));
    rig.cloud.broker.refused_filters.clear();
    // The first retry comes after `Settings::quarantine`, ten minutes.
    rig.run(secs(700));
    assert!(rig.session.is_subscribed(device("a0b1c2d3e4f1")), "a refused subscription is tried again");
}

#[test]
fn a_filter_that_ends_connections_is_found_and_not_requested() {
    let mut settings = Settings::default();
    settings.subscriptions = Subscriptions::WITH_BATCH;
    let mut rig = Rig::resume(settings);
    rig.cloud.broker.closing_filters = vec!["/v1/dev/a0b1c2d3e4f7/batch".into()];
    rig.run(secs(180));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
    assert!(rig.session.is_subscribed(device(LITE)));
    let connects = rig.log.connects.len();
    // One that ended with other filters requested, two that ended with the filter alone, and the one that stays.
    assert!(connects <= 4, "{connects}");
}

#[test]
fn a_refused_wildcard_is_replaced_by_each_devices_own_topic() {
    for close in [false, true] {
        let mut settings = Settings::default();
        settings.subscriptions = Subscriptions::WILDCARD;
        let mut rig = Rig::resume(settings);
        let filters = vec!["/v1/dev/+/out".into()];
        if close {
            rig.cloud.broker.closing_filters = filters
        } else {
            rig.cloud.broker.refused_filters = filters
        }
        rig.run(secs(120));
        assert_eq!(rig.log.subscribes[0].2, ["/v1/dev/+/out"]);
        assert_eq!(rig.log.subscribes.last().unwrap().2, ["/v1/dev/a0b1c2d3e4f7/out"]);
        assert_eq!(rig.session.service().level, Level::Live);
    }
}

#[test]
fn an_upgrade_that_is_always_refused_leads_to_rest_only_and_slow_retries() {
    let mut rig = Rig::new();
    rig.cloud.upgrade = Some(403);
    rig.run(secs(24 * 3_600));
    assert_eq!(rig.session.service().level, Level::RestOnly);
    assert_eq!(rig.session.service().reason, Reason::UpgradeRefused { status: Some(403) });
    // After six refusals the pause is 7.5 to 15 min, which makes about 130 dials a day.
    assert!(rig.log.dials.len() < 250, "{}", rig.log.dials.len());
    let reported = rig.events.iter().filter_map(|(_, event)| match event {
        Event::Service(service) if service.level == Level::RestOnly => Some(service.reason),
        _ => None,
    });
    let refused = Reason::UpgradeRefused { status: Some(403) };
    assert!(
        reported.eq([Reason::Starting, refused]),
        "exactly two reasons are reported: first the starting phase, then the cause"
    );
    // Without MQTT the states are polled every minute.
    assert!(rig.asked("/devices/state") > 1_000);
    // Commands use the remaining channel.
    let id = rig.set(LITE, 21.0);
    rig.run(secs(20));
    assert!(matches!(rig.verdict(id), Verdict::Confirmed { by: Evidence::Reported, .. }));
}

#[test]
fn an_upgrade_refused_by_a_broker_in_trouble_is_soon_tried_again() {
    for status in [429, 500, 503] {
        let mut rig = Rig::live();
        rig.cloud.upgrade = Some(status);
        rig.cut();
        rig.run(secs(3_600));
        assert_eq!(rig.session.service().reason, Reason::UpgradeRefused { status: Some(status) });
        rig.cloud.upgrade = None;
        rig.run(secs(70));
        assert_eq!(rig.session.service().level, Level::Live, "{status}: {}", rig.session.service());
    }
}

#[test]
fn a_refused_refresh_without_a_password_requires_a_sign_in_and_reports_it_once() {
    let mut rig = Rig::new();
    rig.cloud.refresh =
        Reply::Status(400, r#"{"__type":"NotAuthorizedException","message":"Refresh Token has expired"}"#);
    rig.run(secs(3_600));
    assert_eq!(rig.levels(), [Level::SignInNeeded]);
    assert!(rig.log.http.len() <= 2, "{:?}", rig.log.http);
    assert!(rig.stored.as_ref().unwrap().refresh_token.is_none());
}

#[test]
fn a_refused_refresh_with_a_password_leads_to_one_sign_in() {
    let password = Some("hunter2".into());
    let mut rig = Rig::with(Settings::default(), Start::Resume { stored: stored(), password }, 0);
    rig.cloud.refresh = Reply::Status(
        400,
        r#"{"__type":"NotAuthorizedException","message":"Incorrect username or password."}"#,
    );
    rig.run(secs(3_600));
    // Two refresh flows and one sign-in, which the same answer refuses for good.
    assert_eq!(rig.log.http.len(), 3, "{:?}", rig.log.http);
    assert!(rig.stored.as_ref().unwrap().refused.is_some());
    let stored = rig.stored.clone().unwrap();
    let again = Start::Resume { stored, password: Some("hunter2".into()) };
    let mut rig = Rig::with(Settings::default(), again, 0);
    rig.run(secs(3_600));
    assert_eq!(rig.log.http.len(), 0, "a refusal also applies to the next process");
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
        let mut rig = Rig::new();
        rig.cloud.refresh = reply;
        rig.run(secs(1_800));
        assert!(rig.log.http.len() < 60, "{reply:?}: {}", rig.log.http.len());
        assert!(rig.stored.as_ref().is_none_or(|stored| stored.refresh_token.is_some()), "{reply:?}");
        rig.cloud.refresh = Reply::Good;
        rig.run(secs(1_800));
        assert_eq!(rig.session.service().level, Level::Live, "{reply:?}");
    }
}

#[test]
fn a_portal_that_answers_everything_with_200_is_asked_with_growing_pauses() {
    let mut rig = Rig::new();
    rig.cloud.rest = Reply::Status(200, "<html>");
    rig.run(secs(600));
    assert!((3..40).contains(&rig.asked("/devices")), "{}", rig.asked("/devices"));
    rig.cloud.rest = Reply::Good;
    rig.run(secs(600));
    assert_eq!(rig.session.service().level, Level::Live);
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
            let mut rig = Rig::new();
            rig.cloud.sends_at_ping = false;
            let last = rig.truth_secs() - i64::try_from(silent).unwrap();
            rig.cloud.setpoints.insert(LITE.into(), (19.0, last));
            rig.run(secs(60));
            let known = rig.session.device(device(LITE)).unwrap();
            let ago = known.last_seen_ago(rig.now().mono).unwrap().as_secs();
            assert!((silent + 60).abs_diff(ago) <= 1, "{silent} s before the start, shown as {ago} s");
            assert_eq!((known.link(), known.is_stale()), (link, link == Link::Silent), "{silent} s");
            // A new status ends the silence.
            rig.status(LITE, 20.0);
            rig.run(secs(1));
            let known = rig.session.device(device(LITE)).unwrap();
            assert_eq!((known.link(), known.is_stale()), (Link::Live, false));
            assert!(known.last_seen_ago(rig.now().mono).unwrap() <= secs(1));
        }
    }
}

#[test]
fn a_repeated_message_is_a_sign_of_life_and_an_old_status_of_rest_is_not() {
    let mut rig = Rig::live();
    rig.cloud.sends_at_ping = false;
    rig.cloud.setpoints.insert(LITE.into(), (20.0, rig.truth_secs()));
    for _ in 0..60 {
        rig.status(LITE, 20.0);
        rig.run(secs(60));
        let known = rig.session.device(device(LITE)).unwrap();
        let ago = known.last_seen_ago(rig.now().mono).unwrap();
        assert!(ago <= secs(60) && known.link() == Link::Live, "{ago:?} {:?}", known.link());
    }
    // REST shows the same status again and again, which is not a new sign of life.
    rig.run(secs(900));
    let known = rig.session.device(device(LITE)).unwrap();
    assert!(known.last_seen_ago(rig.now().mono).unwrap() >= secs(900));
    assert_eq!(known.link(), Link::Silent);
}

#[test]
fn a_silent_thermostat_goes_stale_and_comes_back() {
    let mut rig = Rig::live();
    rig.cloud.sends_at_ping = false;
    rig.cloud.setpoints.insert(LITE.into(), (19.0, rig.truth_secs()));
    rig.status(LITE, 20.0);
    rig.run(secs(500));
    assert!(!rig.session.device(device(LITE)).unwrap().is_stale());
    rig.run(secs(200));
    assert!(rig.session.device(device(LITE)).unwrap().is_stale());
    rig.status(LITE, 20.0);
    rig.run(secs(1));
    assert!(!rig.session.device(device(LITE)).unwrap().is_stale());
}

#[test]
fn added_and_removed_devices_are_reported_once() {
    let mut rig = Rig::live();
    rig.cloud.devices.push(("a0b1c2d3e4aa".into(), "BB-V1-1".into()));
    rig.run(secs(2_000));
    assert!(rig.session.is_subscribed(device("a0b1c2d3e4aa")));
    // One list without the thermostats must not remove them.
    let all = std::mem::take(&mut rig.cloud.devices);
    while !rig.session.devices().any(|_| rig.log.http.last().unwrap().1 == "GET /devices") {
        rig.run(secs(1));
    }
    rig.run(secs(5));
    rig.cloud.devices = all;
    rig.run(secs(100));
    assert_eq!(rig.session.devices().len(), 2);
    rig.cloud.devices.remove(0);
    rig.run(secs(2_000));
    let count = |wanted: &str| {
        rig.events.iter().filter(|(_, event)| format!("{event:?}").starts_with(wanted)).count()
    };
    assert_eq!((count("DeviceAdded"), count("DeviceRemoved")), (2, 1));
    assert_eq!(rig.session.devices().len(), 1);
}

#[test]
fn live_reporting_is_renewed_before_it_expires_and_after_a_restart_of_the_device() {
    let mut rig = Rig::live();
    rig.run(secs(600));
    let leases = |rig: &Rig| rig.log.publishes.iter().filter(|p| p.3.contains("\"MsgType\":11")).count();
    let before = leases(&rig);
    assert!((4..=6).contains(&before), "{before}");
    let boot = r#"{"device":"a0b1c2d3e4f7","timestamp":1767323105,"MsgType":10,"bootCount":77,"version":"3.17.4.1"}"#;
    rig.publish_from(LITE, boot, Duration::ZERO);
    rig.run(secs(8));
    assert!(leases(&rig) > before);
}

#[test]
fn rest_tokens_refused_with_401_are_renewed_once() {
    let mut rig = Rig::live();
    let before = rig.asked("InitiateAuth");
    rig.cloud.rest = Reply::Status(401, "{}");
    let request = mysa_proto::rest::homes();
    let now = rig.now();
    rig.session.request(now, request).unwrap();
    rig.run(secs(3));
    assert_eq!(rig.asked("/homes"), 2);
    assert!(rig.asked("InitiateAuth") <= before + 2);
    let answered = rig.events.iter().filter(|(_, event)| matches!(event, Event::Response { .. })).count();
    assert_eq!(answered, 1);
}

#[test]
fn a_missing_suback_ends_few_connections() {
    let mut rig = Rig::new();
    rig.cloud.broker.suback = false;
    rig.run(secs(900));
    assert_eq!(rig.session.service().level, Level::RestOnly);
    assert!(rig.log.connects.len() < 10, "{}", rig.log.connects.len());
    rig.cloud.broker.suback = true;
    rig.run(secs(1_800));
    assert_eq!(rig.session.service().level, Level::Live);
}

#[test]
fn a_code_is_requested_and_requested_again_after_a_wrong_one() {
    let start = Start::Password { username: "ann@example.org".into(), password: "hunter2".into() };
    let mut rig = Rig::with(Settings::default(), start, 0);
    rig.cloud.refresh = Reply::Status(
        200,
        r#"{"ChallengeName":"SOFTWARE_TOKEN_MFA","Session":"s","ChallengeParameters":{"USER_ID_FOR_SRP":"u"}}"#,
    );
    rig.cloud.respond = Reply::Status(400, r#"{"__type":"CodeMismatchException","message":"no"}"#);
    rig.run(secs(600));
    assert_eq!(rig.session.service().reason, Reason::ChallengeOpen);
    assert_eq!(rig.log.http.len(), 1);
    for (code, again) in [("111111", 2), ("222222", 3)] {
        let now = rig.now();
        rig.session.answer_challenge(now, code).unwrap();
        rig.run(secs(60));
        let asked = rig.events.iter().filter(|(_, event)| matches!(event, Event::Challenge(_))).count();
        assert_eq!(asked, again);
    }
    rig.cloud.respond = Reply::Good;
    let now = rig.now();
    rig.session.answer_challenge(now, "333333").unwrap();
    rig.run(secs(30));
    assert_eq!(rig.session.service().level, Level::Live);
    assert!(rig.session.answer_challenge(rig.now(), "x").is_err());
}

#[test]
fn a_refresh_token_revoked_in_mid_session_leaves_valid_tokens_in_use_until_they_expire() {
    let mut rig = Rig::live();
    rig.cloud.refresh = Reply::Status(
        400,
        r#"{"__type":"NotAuthorizedException","message":"Refresh Token has been revoked"}"#,
    );
    rig.run(secs(56 * 60));
    assert_eq!(rig.session.service().level, Level::SignInNeeded);
    rig.events.clear();
    rig.status(LITE, 23.5);
    rig.run(secs(1));
    assert!(rig.events.iter().any(|(_, event)| matches!(event, Event::Device { .. })), "MQTT must continue");
    let refreshes = rig.asked("InitiateAuth");
    rig.run(secs(12 * 3_600));
    assert_eq!(rig.asked("InitiateAuth"), refreshes, "no more refreshes may be attempted");
    assert_eq!(rig.levels(), []);
}
