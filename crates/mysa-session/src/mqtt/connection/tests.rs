use super::*;
use crate::context::test_context;

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
    assert_eq!(connection.release(50), None, "it was never sent here");
    assert_eq!(connection.release(7), Some(Duration::ZERO));
    assert_eq!(connection.release(7), Some(Duration::ZERO), "the broker may still have to read it");
    assert!(connection.is_ready() && connection.may_send(&cx));
    cx.now.mono = Duration::from_secs(1);
    connection.set_blocked(true);
    assert!(!connection.is_ready());
}

#[test]
fn the_answer_to_a_ping_proves_that_copies_before_it_were_read_and_no_later_one() {
    let mut cx = test_context();
    let mut connection = live(&cx, &[]);
    let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
    for serial in [1, 2] {
        connection.publish_command(&cx, device, b"{}", serial, 2);
    }
    connection.ping(&mut cx);
    connection.receive(&mut cx, &[0xd0, 0], &mut Vec::new(), |_, _| {});
    assert_eq!(connection.release(1), None);
    cx.now.mono = cx.settings.puback_timeout;
    connection.step(&mut cx, &mut Vec::new());
    assert_eq!(connection.release(2), Some(cx.mono()), "its repeat is later than the ping");
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
fn an_abandoned_publish_may_be_unread_until_the_broker_answers_a_later_packet() {
    let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
    let holds = |connection: &Connection| connection.may_hold(device, |_| true);
    let receive = |cx: &mut Context, connection: &mut Connection, bytes: &[u8]| {
        connection.receive(cx, bytes, &mut Vec::new(), |_, _| {});
    };
    let mut cx = test_context();
    let mut connection = live(&cx, &[]);
    connection.ping(&mut cx);
    cx.now.mono = Duration::from_secs(1);
    connection.publish_command(&cx, device, b"{}", 7, 2);
    assert!(holds(&connection) && !connection.may_hold(device, |serial| serial != 7));
    assert!(connection.release(7).is_some());
    receive(&mut cx, &mut connection, &[0xD0, 0]);
    assert!(holds(&connection), "the ping was sent before");
    connection.step(&mut cx, &mut Vec::new());
    assert!(connection.ping_until.is_some(), "another ping asks");
    cx.now.mono = Duration::from_secs(2);
    connection.step(&mut cx, &mut Vec::new());
    receive(&mut cx, &mut connection, &[0xD0, 0]);
    assert!(holds(&connection), "the second ping was sent in the same moment");
    connection.step(&mut cx, &mut Vec::new());
    receive(&mut cx, &mut connection, &[0xD0, 0]);
    assert!(!holds(&connection));
    // An acknowledgement is the same proof for everything sent before.
    connection.publish_command(&cx, device, b"{}", 8, 2);
    cx.now.mono = Duration::from_secs(3);
    connection.publish_command(&cx, device, b"{}", 9, 2);
    let [older, newer] = [0, 1].map(|at| connection.in_flight[at].packet.get());
    assert!(connection.release(8).is_some());
    receive(&mut cx, &mut connection, &mqtt::puback(PacketId::new(older).unwrap()));
    assert!(connection.may_hold(device, |serial| serial == 8), "its id was released");
    receive(&mut cx, &mut connection, &mqtt::puback(PacketId::new(newer).unwrap()));
    assert!(!holds(&connection));
}

#[test]
fn packet_ids_wrap_around_and_skip_those_in_use() {
    let mut cx = test_context();
    let mut connection = Connection::new(&cx, ConnId(1), 0, Duration::MAX);
    let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
    for _ in 0..WINDOW {
        assert!(connection.publish_live_report(&mut cx, device, b"{}"));
    }
    let held: Vec<u16> = connection.in_flight.iter().map(|waiting| waiting.packet.get()).collect();
    assert_eq!(held, (1..=50).collect::<Vec<u16>>());
    let given: Vec<u16> = (0..2 * 65_535).map(|_| connection.packet_id().get()).collect();
    assert!(given.iter().all(|id| !held.contains(id)));
    assert_eq!((given[0], given[65_484], given[65_485]), (51, 65_535, 51));
}
