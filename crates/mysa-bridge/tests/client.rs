//! The client of the local broker, against a broker in memory.

mod harness;

use std::time::Duration;

use mysa_bridge::client::{Client, DownReason, Event, InvalidSettings, Login, Output, QoS, Settings, Will};
use mysa_mqtt_codec::ConnectRefusal;
use proptest::prelude::*;

use crate::harness::Harness;

fn settings() -> Settings {
    let mut settings = Settings::new("test");
    settings.filters = vec!["set/#".into()];
    settings.will = Some(Will { topic: "status".into(), payload: b"offline".to_vec() });
    settings
}

fn harness_with(settings: Settings) -> Harness<Client> {
    Harness::new(Client::new(settings, [7; 32], Duration::ZERO).expect("valid settings"))
}

fn connected() -> Harness<Client> {
    let mut harness = harness_with(settings());
    harness.settle();
    assert_eq!(events(&mut harness), [Event::Up]);
    harness
}

fn events(harness: &mut Harness<Client>) -> Vec<Event> {
    std::iter::from_fn(|| harness.peer.poll_event()).collect()
}

fn reasons(harness: &mut Harness<Client>) -> Vec<DownReason> {
    let downs = events(harness).into_iter().filter_map(|event| match event {
        Event::Down { reason, .. } => Some(reason),
        _ => None,
    });
    downs.collect()
}

#[test]
fn only_the_newest_payload_of_a_retained_topic_is_sent_and_only_if_it_changed() {
    let mut harness = harness_with(settings());
    assert!(harness.peer.retain(1, "a", b"1".to_vec(), QoS::AtMostOnce));
    assert!(harness.peer.retain(1, "a", b"2".to_vec(), QoS::AtMostOnce));
    harness.settle();
    assert!(!harness.peer.retain(1, "a", b"2".to_vec(), QoS::AtMostOnce));
    harness.settle();
    assert_eq!(harness.broker.published("a"), ["2"]);
    harness.peer.send_again(1, "a");
    harness.settle();
    assert_eq!(harness.broker.published("a"), ["2", "2"]);
    assert_eq!(harness.broker.retained("a"), Some("2"));
}

#[test]
fn lower_ranks_are_sent_first_on_every_connection() {
    let mut harness = connected();
    for (rank, topic) in [(4, "status"), (0, "z"), (0, "b"), (2, "a")] {
        harness.peer.retain(rank, topic, topic.into(), QoS::AtLeastOnce);
    }
    harness.settle();
    let order = |harness: &Harness<Client>| -> Vec<String> {
        harness.broker.log.iter().map(|publish| publish.topic.clone()).collect()
    };
    assert_eq!(order(&harness), ["b", "z", "a", "status"]);
    harness.broker.log.clear();
    harness.restart_broker(false);
    harness.secs(30);
    assert_eq!(order(&harness), ["b", "z", "a", "status"]);
    assert_eq!(harness.broker.retained.len(), 4);
}

#[test]
fn retained_messages_reach_a_broker_that_lost_them_and_other_messages_are_not_repeated() {
    let mut harness = connected();
    harness.peer.retain(0, "state", b"1".to_vec(), QoS::AtLeastOnce);
    harness.peer.publish("result", b"once".to_vec());
    harness.settle();
    harness.broker.no_puback = true;
    harness.peer.publish("result", b"unacknowledged".to_vec());
    harness.settle();
    harness.broker.no_puback = false;
    harness.restart_broker(false);
    harness.peer.publish("result", b"while away".to_vec());
    harness.secs(30);
    assert_eq!(harness.broker.published("result"), ["once", "unacknowledged", "while away"]);
    assert_eq!(harness.broker.published("state"), ["1", "1"]);
    assert!(harness.broker.log.iter().all(|publish| !publish.dup));
    assert!(harness.broker.log.iter().all(|publish| publish.retain == (publish.topic == "state")));
}

#[test]
fn an_empty_payload_removes_a_retained_message_and_is_forgotten_once_acknowledged() {
    let mut harness = connected();
    harness.peer.retain(0, "config", b"{}".to_vec(), QoS::AtMostOnce);
    harness.settle();
    harness.peer.retain(0, "config", Vec::new(), QoS::AtMostOnce);
    harness.settle();
    assert_eq!(harness.broker.retained("config"), None);
    harness.restart_broker(true);
    harness.secs(30);
    assert_eq!(harness.broker.published("config"), ["{}", ""]);
    assert!(harness.peer.is_live());
}

#[test]
fn a_removal_that_is_repeated_before_its_acknowledgement_holds_nothing_up() {
    let mut harness = connected();
    harness.broker.no_puback = true;
    harness.peer.retain(0, "config", Vec::new(), QoS::AtMostOnce);
    harness.settle();
    harness.peer.send_all_again();
    // The acknowledgement of the first transmission.
    harness.broker.send_raw(&[0x40, 2, 0, 2]);
    let (link, number) = harness.open.unwrap();
    let (bytes, _) = harness.broker.take(number);
    harness.peer.handle_bytes(link, &bytes, harness.now);
    harness.broker.no_puback = false;
    harness.peer.retain(1, "state", b"1".to_vec(), QoS::AtMostOnce);
    harness.settle();
    assert_eq!(
        (harness.broker.published("config"), harness.broker.published("state")),
        (vec!["", ""], vec!["1"])
    );
}

/// The acknowledgement of what had the topic before says nothing about a removal that the network has lost.
#[test]
fn only_its_own_acknowledgement_completes_a_removal() {
    let mut harness = connected();
    harness.broker.no_puback = true;
    harness.peer.retain(0, "config", b"{}".to_vec(), QoS::AtLeastOnce);
    harness.settle();
    harness.peer.retain(0, "config", Vec::new(), QoS::AtMostOnce);
    let Some(Output::Send { link, .. }) = harness.peer.poll_output(harness.now) else { panic!("a removal") };
    harness.peer.handle_bytes(link, &[0x40, 2, 0, 2], harness.now);
    assert_eq!(harness.peer.wanted(0, "config"), Some(&[][..]));
    harness.broker.no_puback = false;
    harness.cut();
    harness.secs(30);
    assert_eq!(harness.broker.retained("config"), None);
    assert_eq!(harness.peer.wanted(0, "config"), None);
}

#[test]
fn a_broker_that_falls_silent_is_left_within_the_ping_interval_and_its_limit() {
    let mut harness = connected();
    harness.set_black_hole(true);
    let mut lasted = 0;
    while reasons(&mut harness).is_empty() {
        harness.secs(1);
        lasted += 1;
    }
    assert!((11..=17).contains(&lasted), "{lasted} s");
    harness.set_black_hole(false);
    harness.secs(11);
    assert!(harness.peer.is_live());
}

#[test]
fn bytes_of_a_connection_that_has_ended_do_not_disturb_the_next_one() {
    let mut harness = connected();
    let (link, _) = harness.open.expect("a connection");
    let now = harness.now;
    harness.peer.handle_suspend(now);
    // The driver had received them before it was asked to close.
    harness.peer.handle_bytes(link, &[0xd0, 0], now);
    harness.secs(10);
    assert_eq!(reasons(&mut harness), [DownReason::Suspended]);
    assert!(harness.peer.is_live());
}

#[test]
fn a_live_connection_is_kept_by_pings_alone() {
    let mut harness = connected();
    harness.secs(86_400);
    assert_eq!(events(&mut harness), []);
    assert_eq!(harness.dials.len(), 1);
}

#[test]
fn each_way_to_lose_a_connection_has_its_reason() {
    let mut harness = harness_with(settings());
    harness.unreachable = true;
    harness.settle();
    assert_eq!(reasons(&mut harness), [DownReason::Unreachable]);

    let mut harness = harness_with(settings());
    harness.broker.no_answers = true;
    harness.secs(10);
    assert_eq!(reasons(&mut harness), [DownReason::NoAnswer]);

    let mut harness = harness_with(settings());
    harness.broker.refusal = Some(ConnectRefusal::BadLogin);
    harness.settle();
    assert_eq!(reasons(&mut harness), [DownReason::Refused(ConnectRefusal::BadLogin)]);

    let mut harness = connected();
    harness.cut();
    assert_eq!(reasons(&mut harness), [DownReason::Closed]);

    let mut harness = connected();
    harness.broker.no_puback = true;
    harness.peer.publish("a", Vec::new());
    harness.secs(10);
    assert_eq!(reasons(&mut harness), [DownReason::NotAcknowledged]);

    let mut harness = harness_with(settings());
    harness.broker.no_suback = true;
    harness.secs(10);
    assert_eq!(reasons(&mut harness), [DownReason::NotAcknowledged]);

    // Nothing is to be acknowledged; the bytes are not written.
    let mut harness = connected();
    harness.stalled = true;
    harness.peer.retain(0, "a", b"1".to_vec(), QoS::AtMostOnce);
    harness.secs(10);
    assert_eq!(reasons(&mut harness), [DownReason::NotAcknowledged]);
    harness.stalled = false;
    harness.secs(30);
    assert!(harness.peer.is_live());

    for packet in [
        &[0x20, 2, 0, 0][..],
        &[0x40, 2, 0, 9],
        &[0x90, 3, 0, 1, 0],
        &[0xf0, 0],
        &[0x34, 6, 0, 1, b'a', 0, 1, 0],
    ] {
        let mut harness = connected();
        harness.broker.send_raw(packet);
        harness.settle();
        let reasons = reasons(&mut harness);
        assert!(matches!(reasons[..], [DownReason::Protocol(_)]), "{packet:?}: {reasons:?}");
    }
}

#[test]
fn pauses_between_attempts_grow_to_the_cap_and_shrink_after_a_lasting_connection() {
    let mut harness = harness_with(settings());
    harness.unreachable = true;
    harness.secs(3_600);
    let pauses: Vec<Duration> = harness.dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(10)), "{pauses:?}");
    assert!(pauses[5..].iter().any(|pause| *pause > Duration::from_secs(7)), "{pauses:?}");
    harness.unreachable = false;
    harness.secs(60);
    assert!(harness.peer.is_live());
    let before = harness.dials.len();
    harness.cut();
    harness.secs(1);
    assert_eq!(harness.dials.len(), before + 1, "the first pause is at most a second again");
}

#[test]
fn a_connection_that_ends_at_once_does_not_reset_the_pauses() {
    let mut harness = connected();
    for _ in 0..20 {
        harness.cut();
        harness.secs(12);
    }
    harness.cut();
    harness.run(Duration::from_secs(1));
    let pauses: Vec<Duration> = harness.dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().any(|pause| *pause > Duration::from_secs(3)), "{pauses:?}");
}

#[test]
fn disconnect_sends_queued_messages_and_prevents_the_will() {
    let mut harness = connected();
    harness.peer.retain(9, "status", b"offline, as planned".to_vec(), QoS::AtLeastOnce);
    for number in 0..100 {
        harness.peer.publish("result", format!("{number}").into_bytes());
    }
    harness.peer.disconnect(Duration::from_secs(3), harness.now);
    harness.settle();
    assert!(harness.peer.is_ended());
    assert_eq!(harness.broker.published("result").len(), 100);
    assert_eq!(harness.broker.retained("status"), Some("offline, as planned"));
    harness.secs(600);
    assert_eq!(harness.dials.len(), 1, "it does not connect again");
}

#[test]
fn disconnect_ends_in_time_in_every_state() {
    let limit = Duration::from_secs(3);
    let cases: [fn(&mut Harness<Client>); 4] = [
        |harness| harness.set_black_hole(true),
        |harness| harness.stalled = true,
        |harness| harness.broker.no_puback = true,
        |harness| {
            harness.unreachable = true;
            harness.cut();
            harness.settle();
        },
    ];
    for (number, case) in cases.iter().enumerate() {
        let mut harness = connected();
        harness.peer.publish("a", Vec::new());
        case(&mut harness);
        harness.peer.disconnect(limit, harness.now);
        harness.run(limit);
        assert!(harness.peer.is_ended(), "case {number}");
        assert_eq!(harness.peer.poll_timeout(), None);
    }
}

#[test]
fn messages_arrive_once_with_their_retain_flag() {
    let mut harness = harness_with(settings());
    harness.broker.publish("set/a", b"old", true);
    harness.settle();
    harness.broker.publish("set/b", b"new", true);
    harness.broker.publish("elsewhere", b"no", false);
    // QoS 1 against the subscription: acknowledged, and a repeat of it is ignored.
    harness.broker.send_raw(&[0x32, 10, 0, 5, b's', b'e', b't', b'/', b'c', 0, 9, b'1']);
    harness.broker.send_raw(&[0x3a, 10, 0, 5, b's', b'e', b't', b'/', b'c', 0, 9, b'1']);
    harness.settle();
    let messages: Vec<(String, String, bool)> = events(&mut harness)
        .into_iter()
        .filter_map(|event| match event {
            Event::Message(message) => {
                Some((message.topic, String::from_utf8(message.payload).expect("text"), message.retained))
            }
            _ => None,
        })
        .collect();
    let expected = [("set/a", "old", true), ("set/b", "new", false), ("set/c", "1", false)];
    assert_eq!(messages, expected.map(|(topic, payload, retained)| (topic.into(), payload.into(), retained)));
    assert!(harness.peer.is_live());
    assert_eq!(harness.broker.pubacks, 2);
}

#[test]
fn at_most_twenty_publishes_are_unacknowledged() {
    let mut harness = connected();
    harness.broker.no_puback = true;
    for _ in 0..50 {
        harness.peer.publish("a", Vec::new());
        harness.peer.retain(0, "b", b"1".to_vec(), QoS::AtLeastOnce);
    }
    harness.settle();
    assert_eq!(harness.broker.log.len(), 20);
}

#[test]
fn input_for_an_earlier_connection_has_no_effect() {
    let mut harness = connected();
    let (old, _) = harness.open.unwrap();
    harness.cut();
    harness.unreachable = true;
    harness.secs(30);
    // A dial is under way when the old connection reports that it is open.
    harness.unreachable = false;
    while harness.peer.poll_output(harness.now).is_none() {
        harness.now = harness.peer.poll_timeout().unwrap();
        harness.peer.handle_timeout(harness.now);
    }
    harness.peer.handle_opened(old, harness.now);
    assert_eq!(harness.peer.poll_output(harness.now), None, "no CONNECT");
    harness.secs(30);
    assert!(harness.peer.is_live());
    let before = harness.dials.len();
    harness.peer.handle_bytes(old, &[0xff, 0xff], harness.now);
    harness.peer.handle_closed(old, harness.now);
    harness.peer.handle_written(old, harness.now);
    harness.secs(60);
    assert_eq!(harness.dials.len(), before);
}

#[test]
fn a_message_that_leaves_long_after_the_last_input_has_its_whole_time_to_be_acknowledged() {
    let mut harness = connected();
    let ping_at = harness.peer.poll_timeout().unwrap();
    harness.now = ping_at - Duration::from_millis(1);
    harness.broker.no_puback = true;
    harness.peer.publish("a", Vec::new());
    harness.settle();
    harness.secs(9);
    assert_eq!(reasons(&mut harness), []);
    harness.secs(1);
    assert_eq!(reasons(&mut harness), [DownReason::NotAcknowledged]);
}

#[test]
fn a_huge_retained_message_is_skipped_on_every_connection() {
    for chunk in [1, 1_000, usize::MAX] {
        let mut harness = harness_with(settings());
        harness.chunk = chunk;
        harness.broker.publish("set/a", &vec![b'x'; 300_000], true);
        harness.broker.publish("set/b", b"1", true);
        harness.settle();
        let len = 300_005;
        let seen = events(&mut harness);
        assert!(
            matches!(seen[..], [Event::Up, Event::Skipped { len: found }, Event::Message(_)] if found == len),
            "{seen:?}"
        );
        harness.secs(100);
        assert_eq!(events(&mut harness), []);
    }
}

#[test]
fn a_refused_subscription_is_reported_and_the_connection_stays() {
    let mut harness = harness_with(settings());
    harness.broker.refuses_filters = true;
    harness.settle();
    assert_eq!(events(&mut harness), [Event::Up, Event::SubscriptionRefused { filter: "set/#".into() }]);
    harness.secs(60);
    assert!(harness.peer.is_live());
}

#[test]
fn queues_are_bounded_and_drops_are_counted() {
    let mut harness = harness_with(settings());
    harness.unreachable = true;
    for number in 0..300 {
        harness.peer.publish("a", format!("{number}").into_bytes());
    }
    harness.settle();
    assert_eq!(events(&mut harness)[0], Event::Dropped { count: 44 });
    harness.unreachable = false;
    harness.secs(30);
    assert_eq!(harness.broker.published("a").len(), 256);
    assert_eq!(harness.broker.published("a")[0], "44");

    for number in 0..5_000 {
        harness.broker.publish("set/a", format!("{number}").as_bytes(), false);
    }
    harness.settle();
    let all = events(&mut harness);
    assert_eq!(all.len(), 1_025);
    assert!(matches!(all[0], Event::Dropped { count } if (3_976..=3_977).contains(&count)), "{:?}", all[0]);
}

#[test]
fn login_and_will_are_in_connect_and_the_password_is_never_printed() {
    let mut with_login = settings();
    let password = Some("canary-password".into());
    with_login.login = Some(Login { user_name: "user".into(), password });
    let mut harness = harness_with(with_login);
    harness.settle();
    assert_eq!(harness.broker.login, Some(("user".into(), b"canary-password".to_vec())));
    let shown = format!("{:?}", harness.peer);
    assert!(!shown.contains("canary"), "{shown}");
    harness.peer.retain(9, "status", b"online".to_vec(), QoS::AtLeastOnce);
    harness.settle();
    assert_eq!(harness.broker.retained("status"), Some("online"));
    harness.cut();
    assert_eq!(harness.broker.retained("status"), Some("offline"));
}

#[test]
fn invalid_settings_are_refused_by_name() {
    let refused = |change: fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        Client::new(settings, [7; 32], Duration::ZERO).expect_err("an invalid setting").to_string()
    };
    let login = |settings: &mut Settings| {
        settings.login = Some(Login { user_name: "\0".into(), password: None });
    };
    assert!(refused(|settings| settings.client_id = "\0".into()).starts_with("invalid client id"));
    assert!(refused(login).starts_with("invalid user name"));
    assert!(
        refused(|settings| settings.filters.push("a/#/b".into())).starts_with("invalid filter \"a/#/b\"")
    );
    assert!(refused(|settings| settings.filters = vec!["a".into(); 65]).starts_with("too many filters"));
    assert!(refused(|settings| settings.keep_alive = Duration::ZERO).starts_with("invalid keep-alive"));
    let will =
        |settings: &mut Settings| settings.will = Some(Will { topic: "a/+".into(), payload: Vec::new() });
    assert!(refused(will).starts_with("invalid topic of the will"));
    let mut long = settings();
    long.client_id = "x".repeat(70_000);
    assert!(matches!(
        Client::new(long, [7; 32], Duration::ZERO),
        Err(InvalidSettings::ClientId(_) | InvalidSettings::TooLong(_))
    ));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Retain(u8, u8),
    Publish,
    Wait(u16),
    Cut,
    Restart(bool),
    Unreachable(bool),
    BlackHole(bool),
    NoPuback(bool),
    Raw(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, any::<u8>()).prop_map(|(topic, value)| Step::Retain(topic, value)),
        3 => Just(Step::Publish),
        4 => (0..20_000_u16).prop_map(Step::Wait),
        1 => Just(Step::Cut),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => any::<bool>().prop_map(Step::Unreachable),
        1 => any::<bool>().prop_map(Step::BlackHole),
        1 => any::<bool>().prop_map(Step::NoPuback),
        1 => any::<(u8, u8)>().prop_map(|(first, second)| Step::Raw(first, second)),
    ]
}

proptest! {
    /// After any faults, a reachable broker soon holds exactly the newest payload of every topic, and no message of
    /// `publish` was sent twice.
    #[test]
    fn the_broker_ends_up_with_what_is_retained(steps in prop::collection::vec(step(), 0..60)) {
        let mut harness = harness_with(settings());
        let mut wanted = std::collections::BTreeMap::new();
        let mut published = 0;
        for step in steps {
            match step {
                Step::Retain(topic, value) => {
                    let payload = if value % 4 == 0 { String::new() } else { value.to_string() };
                    let qos = if topic % 2 == 0 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                    harness.peer.retain(topic % 3, format!("t{topic}"), payload.clone().into_bytes(), qos);
                    wanted.insert(format!("t{topic}"), payload);
                }
                Step::Publish => {
                    harness.peer.publish("once", format!("{published}").into_bytes());
                    published += 1;
                }
                Step::Wait(millis) => harness.run(Duration::from_millis(millis.into())),
                Step::Cut => harness.cut(),
                Step::Restart(keeps) => harness.restart_broker(keeps),
                Step::Unreachable(on) => harness.unreachable = on,
                Step::BlackHole(on) => harness.set_black_hole(on),
                Step::NoPuback(on) => harness.broker.no_puback = on,
                Step::Raw(first, second) => harness.broker.send_raw(&[first, second]),
            }
            harness.settle();
            while harness.peer.poll_event().is_some() {}
        }
        harness.set_black_hole(false);
        (harness.unreachable, harness.broker.no_puback) = (false, false);
        harness.secs(30);
        prop_assert!(harness.peer.is_live());
        for (topic, payload) in &wanted {
            let held = harness.broker.retained(topic).unwrap_or_default();
            prop_assert_eq!(held, payload.as_str(), "{}", topic);
        }
        let mut once = harness.broker.published("once");
        let sent = once.len();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), sent, "a message was repeated");
    }
}
