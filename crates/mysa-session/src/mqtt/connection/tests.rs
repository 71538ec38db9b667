use super::*;
use crate::context::test_context;
use crate::mqtt::publishes::{PROBE_AFTER, READ_WITHIN};

fn topic(number: u8) -> TopicFilter {
    let device = DeviceId::new(&alloc::format!("a0b1c2d3e4{number:02x}")).unwrap();
    TopicFilter::Device(device, mysa_proto::TopicKind::Out)
}

/// Connection that is live from now on and wants these filters.
fn live(cx: &Context, wanted: &[TopicFilter]) -> Connection {
    let mut connection = Connection::new(cx, ConnId(1), 0, Duration::MAX);
    connection.phase = Phase::Live { since: cx.mono() };
    connection.reconcile(wanted);
    connection
}

fn asked(connection: &Connection) -> Vec<TopicFilter> {
    connection.asked().collect()
}

#[test]
fn a_connection_accepts_fifty_publishes_until_one_is_released() {
    let mut cx = test_context();
    let mut connection = live(&cx, &[]);
    let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
    for serial in 0..50 {
        assert!(connection.is_ready(), "{serial} in flight");
        connection.publish_command(&cx, device, b"{}", serial, 2);
    }
    assert!(!connection.is_ready());
    assert!(!connection.release(50, cx.now), "it was never sent here");
    assert!(!connection.release(7, cx.now), "it was sent a moment ago");
    assert!(connection.is_ready() && connection.may_send(&cx));
    cx.now.mono = Duration::from_secs(1);
    connection.set_blocked(true);
    assert!(!connection.is_ready());
}

const PINGRESP: [u8; 2] = [0xD0, 0];

fn receive(cx: &mut Context, connection: &mut Connection, bytes: &[u8]) -> Vec<ConnectionEvent> {
    let mut events = Vec::new();
    connection.receive(cx, bytes, &mut events, |_, _| {});
    events
}

fn step(cx: &mut Context, connection: &mut Connection) -> Vec<ConnectionEvent> {
    let mut events = Vec::new();
    connection.step(cx, &mut events);
    events
}

fn due(connection: &Connection) -> Duration {
    connection.deadline(|_| false).unwrap().at
}

/// Connection with an unacknowledged command of the serial 1, and the thermostat of all commands.
fn with_command(cx: &Context) -> (Connection, DeviceId) {
    let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
    let mut connection = live(cx, &[]);
    connection.next_ping = Duration::from_secs(45);
    connection.publish_command(cx, device, b"{}", 1, 2);
    (connection, device)
}

#[test]
fn a_ping_asks_whether_the_broker_has_read_a_command_that_is_not_acknowledged() {
    let mut cx = test_context();
    let (mut connection, device) = with_command(&cx);
    assert_eq!(due(&connection), PROBE_AFTER);
    cx.now.mono = PROBE_AFTER;
    step(&mut cx, &mut connection);
    assert_eq!(
        connection.ping_until,
        Some(connection.next_ping + cx.settings.ping_timeout),
        "no sooner lost"
    );
    assert!(connection.may_hold(device, |_| true));
    receive(&mut cx, &mut connection, &PINGRESP);
    assert!(!connection.may_hold(device, |_| true));
    assert_eq!(due(&connection), cx.settings.puback_timeout, "it is not asked again");
    cx.now.mono = 2 * READ_WITHIN;
    assert!(!connection.release(1, cx.now));
}

#[test]
fn a_connection_is_lost_sooner_if_nothing_arrived_since_an_unanswered_publish() {
    for silent in [true, false] {
        let mut cx = test_context();
        let (mut connection, _) = with_command(&cx);
        cx.now.mono = PROBE_AFTER;
        step(&mut cx, &mut connection);
        if !silent {
            receive(&mut cx, &mut connection, &mqtt::puback(PacketId::new(77).unwrap()));
        }
        let (timeout, limit) = (cx.settings.puback_timeout, cx.settings.ping_timeout);
        let probed = connection.ping_until;
        for repeat in 1..=2 {
            cx.now.mono = timeout * repeat;
            step(&mut cx, &mut connection);
            let expected = if silent { Some(timeout + limit) } else { probed };
            assert_eq!(connection.ping_until, expected, "after {repeat}");
        }
    }
}

#[test]
fn a_publish_that_is_given_up_is_followed_by_a_ping() {
    let mut cx = test_context();
    let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
    let mut connection = live(&cx, &[]);
    connection.next_ping = Duration::from_secs(45);
    assert!(connection.publish_live_report(&mut cx, device, b"{}"));
    assert_eq!(due(&connection), cx.settings.puback_timeout, "only commands are asked about");
    cx.now.mono = PROBE_AFTER;
    step(&mut cx, &mut connection);
    assert_eq!(connection.ping_until, None);
    // The connection lived after the publish, but perhaps no longer.
    receive(&mut cx, &mut connection, &mqtt::puback(PacketId::new(77).unwrap()));
    cx.now.mono = cx.settings.puback_timeout;
    assert_eq!(
        step(&mut cx, &mut connection),
        [ConnectionEvent::Unanswered(Publishing::LiveReport { device })]
    );
    assert_eq!(connection.ping_until, Some(cx.settings.puback_timeout + cx.settings.ping_timeout));
}

#[test]
fn the_connection_ends_with_a_verdict_unless_the_broker_has_read_the_command() {
    let mut cx = test_context();
    let (mut connection, _) = with_command(&cx);
    cx.now.mono = READ_WITHIN - Duration::from_millis(1);
    step(&mut cx, &mut connection);
    // A message proves nothing about the other direction.
    receive(&mut cx, &mut connection, &mqtt::puback(PacketId::new(77).unwrap()));
    cx.now.mono = READ_WITHIN;
    assert!(connection.release(1, cx.now));
}

#[test]
fn after_an_early_verdict_the_broker_has_two_seconds_to_read_the_command() {
    for answers in [true, false] {
        let mut cx = test_context();
        let (mut connection, _) = with_command(&cx);
        cx.now.mono = Duration::from_millis(100);
        assert!(!connection.release(1, cx.now));
        assert_eq!(step(&mut cx, &mut connection), []);
        assert_eq!(due(&connection), READ_WITHIN, "{:?}", connection.publishes);
        if answers {
            receive(&mut cx, &mut connection, &PINGRESP);
        }
        cx.now.mono = READ_WITHIN;
        let events = step(&mut cx, &mut connection);
        assert_eq!(events.contains(&ConnectionEvent::Dead), !answers);
    }
}

#[test]
fn on_a_blocked_connection_a_verdict_waits_for_nothing() {
    let cx = test_context();
    let (mut connection, _) = with_command(&cx);
    connection.set_blocked(true);
    assert!(connection.release(1, cx.now));
}

#[test]
fn a_repeat_may_be_unread_although_the_first_copy_is_acknowledged() {
    for answers in [true, false] {
        let mut cx = test_context();
        let (mut connection, device) = with_command(&cx);
        let packet = connection.publishes.ids()[0];
        cx.now.mono = PROBE_AFTER;
        step(&mut cx, &mut connection);
        receive(&mut cx, &mut connection, &PINGRESP);
        cx.now.mono = cx.settings.puback_timeout;
        step(&mut cx, &mut connection);
        connection.publishes.repeated(packet, cx.now);
        let events = receive(&mut cx, &mut connection, &mqtt::puback(packet));
        assert_eq!(events, [ConnectionEvent::Acknowledged(Publishing::Command { device, serial: 1 })]);
        assert!(connection.may_hold(device, |_| true), "its repeat is later than the ping");
        step(&mut cx, &mut connection);
        if answers {
            receive(&mut cx, &mut connection, &PINGRESP);
        }
        cx.now.mono += READ_WITHIN;
        assert_eq!(step(&mut cx, &mut connection), [], "the command has no verdict");
        assert_eq!(connection.release(1, cx.now), !answers);
    }
}

#[test]
fn an_unwanted_filter_is_unsubscribed_only_if_it_was_granted() {
    let cx = test_context();
    let mut connection = live(&cx, &[topic(1), topic(2), topic(3)]);
    connection.subscriptions[0].state = SubscriptionState::Granted;
    connection.subscriptions[2].state = SubscriptionState::Granted;
    connection.reconcile(&[topic(3)]);
    assert_eq!(connection.unwanted, [topic(1)]);
}

#[test]
fn a_suspected_filter_is_requested_alone_two_seconds_after_all_others_were_answered() {
    let mut cx = test_context();
    let suspect = |filter| filter == topic(2) || filter == topic(3);
    let mut connection = live(&cx, &[topic(1), topic(2), topic(3)]);
    assert!(connection.subscribe(&mut cx, suspect));
    assert_eq!(asked(&connection), [topic(1)]);
    cx.now.mono = SUSPECT_DELAY;
    assert!(connection.subscribe(&mut cx, suspect));
    assert_eq!(asked(&connection), [topic(1)], "it has not been answered");
    connection.subscriptions[0].state = SubscriptionState::Granted;
    cx.now.mono = SUSPECT_DELAY - Duration::from_millis(1);
    assert!(connection.subscribe(&mut cx, suspect));
    assert_eq!(asked(&connection), [], "too soon after CONNACK");
    cx.now.mono = SUSPECT_DELAY;
    assert!(connection.subscribe(&mut cx, suspect));
    assert_eq!(asked(&connection), [topic(2)], "alone");
}

#[test]
fn the_connection_is_due_when_the_next_filter_may_be_requested() {
    let cx = test_context();
    let due =
        |connection: &Connection, suspect: &dyn Fn(TopicFilter) -> bool| connection.subscribe_at(suspect);
    let mut connection = live(&cx, &[topic(1)]);
    assert_eq!(due(&connection, &|_| false), Some(Duration::ZERO));
    assert_eq!(due(&connection, &|_| true), Some(SUSPECT_DELAY), "a suspected one waits");
    connection.next_send = Duration::from_secs(5);
    assert_eq!(due(&connection, &|_| false), Some(Duration::from_secs(5)), "its pace");
    connection.next_send = Duration::ZERO;

    let retry_at = Duration::from_secs(60);
    let mut connection = live(&cx, &[topic(1), topic(2)]);
    connection.subscriptions[0].state = SubscriptionState::Refused { retry_at };
    let second = |filter| filter == topic(2);
    assert_eq!(due(&connection, &second), Some(SUSPECT_DELAY), "sooner than the one refused");
    connection.subscriptions[1].state = SubscriptionState::Granted;
    assert_eq!(due(&connection, &second), Some(retry_at));
    // While an answer is awaited, a suspected one has no time yet.
    let packet = connection.packet_id();
    connection.subscriptions[0].state = SubscriptionState::Asked { packet, until: retry_at };
    connection.subscriptions[1].state = SubscriptionState::Waiting;
    assert_eq!(due(&connection, &second), None);
    connection.subscriptions[0].state = SubscriptionState::Granted;
    connection.subscriptions[1].state = SubscriptionState::Granted;
    assert_eq!(due(&connection, &second), None, "there is nothing to ask for");
}

#[test]
fn at_most_one_ping_is_in_progress_and_none_before_the_connection_is_live() {
    let mut cx = test_context();
    let mut connection = Connection::new(&cx, ConnId(1), 0, Duration::MAX);
    connection.ping(&mut cx);
    assert_eq!(connection.ping_until, None, "it is dialling");
    let mut connection = live(&cx, &[]);
    connection.ping(&mut cx);
    let until = connection.ping_until;
    assert_eq!(until, Some(cx.settings.ping_timeout));
    assert_eq!(connection.next_ping, Duration::from_secs(45), "three quarters of the keep-alive");
    cx.now.mono = Duration::from_secs(1);
    connection.ping(&mut cx);
    assert_eq!(connection.ping_until, until, "the time limit stays that of the first");
}

#[test]
fn a_command_may_be_unread_until_the_broker_answers_a_later_packet() {
    let mut cx = test_context();
    let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
    let holds = |connection: &Connection| connection.may_hold(device, |_| true);
    let mut connection = live(&cx, &[]);
    connection.ping(&mut cx);
    connection.publish_command(&cx, device, b"{}", 7, 2);
    assert!(holds(&connection) && !connection.may_hold(device, |serial| serial != 7));
    connection.release(7, cx.now);
    receive(&mut cx, &mut connection, &PINGRESP);
    assert!(holds(&connection), "the ping was sent before");
    step(&mut cx, &mut connection);
    assert!(connection.ping_until.is_some(), "another ping asks");
    receive(&mut cx, &mut connection, &PINGRESP);
    assert!(!holds(&connection));
    // An acknowledgement is the same proof for everything sent before.
    for serial in [8, 9] {
        connection.publish_command(&cx, device, b"{}", serial, 2);
    }
    let [older, newer] = [0, 1].map(|at| connection.publishes.ids()[at]);
    connection.release(8, cx.now);
    receive(&mut cx, &mut connection, &mqtt::puback(older));
    assert!(
        holds(&connection) && !connection.may_hold(device, |serial| serial == 8),
        "its id is not in flight"
    );
    receive(&mut cx, &mut connection, &mqtt::puback(newer));
    assert!(!holds(&connection));
    receive(&mut cx, &mut connection, &PINGRESP);
    connection.publish_command(&cx, device, b"{}", 10, 2);
    receive(&mut cx, &mut connection, &PINGRESP);
    assert!(holds(&connection), "an answer to no ping is none");
}

#[test]
fn packet_ids_wrap_around_and_skip_those_in_use() {
    let mut cx = test_context();
    let mut connection = Connection::new(&cx, ConnId(1), 0, Duration::MAX);
    let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
    for _ in 0..50 {
        assert!(connection.publish_live_report(&mut cx, device, b"{}"));
    }
    let held: Vec<u16> = connection.publishes.ids().into_iter().map(PacketId::get).collect();
    assert_eq!(held, (1..=50).collect::<Vec<u16>>());
    let given: Vec<u16> = (0..2 * 65_535).map(|_| connection.packet_id().get()).collect();
    assert!(given.iter().all(|id| !held.contains(id)));
    assert_eq!((given[0], given[65_484], given[65_485]), (51, 65_535, 51));
}
