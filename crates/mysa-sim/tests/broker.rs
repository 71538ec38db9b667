//! Limits and behaviour of the broker.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod harness;

use std::time::Duration;

use harness::*;
use mysa_mqtt_codec::{DISCONNECT, Filter, Outbound, PINGREQ, QoS};
use mysa_proto::Celsius;
use mysa_sim::{Closing, CloudSpec, DeviceFault, Fault, Incident, Window};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const RULE: Closing = Closing::Frame(None);
const NONE: [u8; 0] = [];

fn connected() -> Harness {
    let mut harness = Harness::demo();
    harness.connect(1);
    harness
}

/// A harness with one device for each of `n` topics.
fn crowd(n: usize) -> (Harness, Vec<String>) {
    let mut spec = CloudSpec::demo();
    let home = &mut spec.accounts[0].homes[0];
    home.devices.clear();
    let mut topics = Vec::new();
    for number in 0..n {
        let id = mysa_proto::DeviceId::new(&format!("{number:012x}")).unwrap();
        home.devices.push(mysa_sim::DeviceSpec::new(id, "BB-V2-0", "room"));
        topics.push(format!("/v1/dev/{id}/out"));
    }
    let mut harness = Harness::new(spec);
    harness.connect(1);
    (harness, topics)
}

#[test]
fn nine_filters_in_one_packet_end_the_connection() {
    let (mut harness, topics) = crowd(9);
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    assert_eq!(harness.subscribe(1, &topics[..8]).len(), 8);
    assert_eq!(harness.subscribe(1, &topics), NONE);
    assert_eq!(harness.closed, [(1, RULE)]);
}

#[test]
fn the_fifty_first_subscription_is_refused() {
    let (mut harness, topics) = crowd(52);
    let mut codes = Vec::new();
    for group in topics.chunks(8) {
        let group: Vec<&str> = group.iter().map(String::as_str).collect();
        codes.extend(harness.subscribe(1, &group));
    }
    assert_eq!(
        (codes.len(), codes[..50].iter().all(|&code| code == 1), &codes[50..]),
        (52, true, &[0x80, 0x80][..])
    );
    assert_eq!(harness.subscribe(1, &[&topics[0]]), [1], "an existing subscription may be repeated");
}

#[test]
fn a_packet_before_connect_ends_the_connection_and_so_does_a_second_connect() {
    for second in [PINGREQ.to_vec(), DISCONNECT.to_vec()] {
        let mut harness = Harness::demo();
        let tokens = harness.sign_in();
        let credentials = harness.credentials(LEGACY_POOL, &tokens);
        let target = harness.presign(&credentials);
        assert_eq!(harness.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Accept);
        harness.send(1, &second);
        assert_eq!(harness.closed, [(1, RULE)]);
    }
    let mut harness = connected();
    harness.pass(2 * SECOND);
    harness.send(1, &connect("again", 60));
    assert_eq!(harness.closed, [(1, RULE)]);
}

#[test]
fn a_newer_connection_takes_the_client_id_and_not_within_a_second() {
    let mut harness = connected();
    harness.connect_with(2, LEGACY_POOL, LEGACY_CLIENT, "client-1");
    assert_eq!(harness.closed, [(2, RULE)], "one CONNECT per second and client id");
    harness.pass(SECOND);
    harness.connect_with(3, LEGACY_POOL, LEGACY_CLIENT, "client-1");
    assert_eq!(harness.closed[1..], [(1, RULE)]);
    assert_eq!(harness.cloud.clients().collect::<Vec<_>>(), [(3, "client-1")]);
    let counters = harness.cloud.counters();
    assert_eq!((counters.taken_over, counters.early_connects), (1, 1));
}

#[test]
fn a_silent_client_is_cut_after_one_and_a_half_keep_alives() {
    let mut harness = connected();
    harness.pass(89 * SECOND);
    harness.send(1, &PINGREQ);
    assert_eq!(harness.pongs, 1);
    harness.pass(89 * SECOND);
    assert!(harness.closed.is_empty());
    harness.pass(2 * SECOND);
    assert_eq!(harness.closed, [(1, RULE)]);
}

#[test]
fn a_connection_lives_for_a_day() {
    let mut harness = connected();
    for _ in 0..24 * 60 - 1 {
        harness.pass(60 * SECOND);
        harness.send(1, &PINGREQ);
    }
    assert!(harness.closed.is_empty());
    harness.pass(61 * SECOND);
    assert_eq!(harness.closed, [(1, RULE)]);
}

#[test]
fn qos_1_is_sent_again_until_it_is_acknowledged() {
    let mut harness = connected();
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/out"]);
    harness.answers_qos1 = false;
    harness.cloud.press(at(harness.now), id("f5"), Celsius::from_degrees(22.0), None);
    harness.pass(16 * SECOND);
    let presses: Vec<(bool, bool)> = harness
        .inbox
        .iter()
        .filter(|message| message.json()["MsgType"] == 1)
        .map(|message| (message.qos1, message.dup))
        .collect();
    assert_eq!(presses, [(true, false), (true, true), (true, true), (true, true)]);
    harness.answers_qos1 = true;
    harness.pass(5 * SECOND);
    harness.inbox.clear();
    harness.pass(20 * SECOND);
    assert!(
        harness.inbox.iter().all(|message| message.json()["MsgType"] != 1),
        "an acknowledged message is not sent again"
    );
}

#[test]
fn too_much_too_fast_and_qos_2_end_the_connection() {
    let mut harness = connected();
    for n in 0..=100 {
        assert!(harness.closed.is_empty(), "{n}");
        harness.live(1, id("f5"), 60);
    }
    assert_eq!(harness.closed, [(1, RULE)]);

    let mut harness = connected();
    harness.publish(1, "/v1/dev/a0b1c2d3e4f5/in", &vec![b' '; 128 * 1024 + 1]);
    assert_eq!(harness.closed, [(1, RULE)]);

    let mut harness = connected();
    let filters = [(Filter::new("/v1/dev/a0b1c2d3e4f5/out").unwrap(), QoS::ExactlyOnce)];
    let mut bytes = Vec::new();
    Outbound::Subscribe { id: harness.id(), filters: &filters }.encode(&mut bytes).unwrap();
    harness.send(1, &bytes);
    assert_eq!(harness.closed, [(1, RULE)]);

    let mut harness = connected();
    assert_eq!(harness.subscribe(1, &["/1/2/3/4/5/6/7/8"]), NONE);
    assert_eq!(harness.closed, [(1, RULE)]);
}

#[test]
fn a_client_receives_its_own_commands_on_the_in_topic_and_none_in_upper_case() {
    let mut harness = connected();
    assert_eq!(
        harness.subscribe(
            1,
            &["/v1/dev/a0b1c2d3e4f6/in", "/v1/dev/A0B1C2D3E4F6/out", "/v1/dev/a0b1c2d3e4f6/batch"]
        ),
        [1, 0x80, 1]
    );
    harness.command(1, id("f6"), 4, 3, &json!({ "tm": -1, "sp": 20 }));
    assert_eq!(harness.inbox.last().map(|message| message.json()["id"].clone()), Some(json!(3)));
    harness.publish(1, "/v1/dev/a0b1c2d3e4f6/out", b"{}");
    assert_eq!(harness.closed, [(1, RULE)], "only the thermostat may publish on its /out topic");
}

#[test]
fn bytes_may_come_in_any_pieces() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let credentials = harness.credentials(LEGACY_POOL, &tokens);
    let target = harness.presign(&credentials);
    assert_eq!(harness.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Accept);
    let bytes = [connect("pieces", 60), PINGREQ.to_vec(), PINGREQ.to_vec()].concat();
    for byte in bytes {
        harness.send(1, &[byte]);
    }
    assert_eq!((harness.connacks, harness.pongs), (1, 2));
    harness.send(1, &DISCONNECT);
    harness.send(1, &PINGREQ);
    assert_eq!(harness.closed, [(1, RULE), (1, Closing::Cut)], "bytes on a closed connection reset it");
}

#[test]
fn faults_of_the_broker_take_effect() {
    let fault = |fault: Fault| {
        let mut harness = connected();
        harness.pass(2 * SECOND);
        harness.cloud.add_fault(Window::new(Duration::ZERO, Duration::MAX, fault));
        harness
    };
    let topic = "/v1/dev/a0b1c2d3e4f6/out";
    let command = |harness: &mut Harness| harness.command(1, id("f6"), 4, 3, &json!({ "tm": -1, "sp": 20 }));
    let delivered = |harness: &mut Harness| {
        harness.pass(SECOND);
        harness.cloud.truth(id("f6")).unwrap().messages.commands
    };

    let mut harness = fault(Fault::CloseOnPublish(Closing::Cut));
    command(&mut harness);
    assert_eq!((harness.closed.clone(), delivered(&mut harness)), (vec![(1, Closing::Cut)], 0));

    let mut harness = fault(Fault::DropPublishes);
    command(&mut harness);
    assert_eq!((harness.closed.len(), harness.pubacks.len(), delivered(&mut harness)), (0, 0, 0));

    let mut harness = fault(Fault::DropPubacks);
    command(&mut harness);
    assert_eq!((harness.pubacks.len(), delivered(&mut harness)), (0, 1));

    let mut harness = fault(Fault::DenyPublish);
    command(&mut harness);
    assert_eq!(harness.closed, [(1, RULE)]);

    let mut harness = fault(Fault::DropSubacks);
    assert_eq!(harness.subscribe(1, &[topic]), NONE);
    assert_eq!(harness.cloud.subscriptions(), 1);

    let mut harness = fault(Fault::SubackCodes(vec![0, 0x80, 0]));
    assert_eq!(harness.subscribe(1, &[topic]), [0, 0x80, 0]);

    let mut harness = fault(Fault::SubackWrongId);
    assert_eq!(harness.subscribe(1, &[topic]), NONE);
    assert_eq!(harness.subacks.len(), 1);

    let mut harness = fault(Fault::RefuseDevice(id("f6")));
    assert_eq!(harness.subscribe(1, &[topic, "/v1/dev/a0b1c2d3e4f5/out"]), [0x80, 1]);

    let mut harness = fault(Fault::CloseOnSubscribe { suffix: "/batch".into(), closing: RULE });
    assert_eq!(harness.subscribe(1, &[topic]), [1]);
    assert_eq!(harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/batch"]), NONE);
    assert_eq!(harness.closed, [(1, RULE)]);

    let mut harness = fault(Fault::DropPings);
    harness.send(1, &PINGREQ);
    assert_eq!((harness.pongs, harness.closed.len()), (0, 0));

    let mut harness = fault(Fault::BlackholeIn);
    harness.send(1, &PINGREQ);
    command(&mut harness);
    assert_eq!((harness.pongs, delivered(&mut harness)), (0, 0));

    let mut harness = fault(Fault::BlackholeOut);
    command(&mut harness);
    harness.pass(300 * SECOND);
    assert_eq!(
        (harness.pubacks.len(), harness.closed.len(), delivered(&mut harness)),
        (0, 0, 1),
        "the close is lost too"
    );
    harness.cloud.clear_faults();
    harness.send(1, &PINGREQ);
    assert_eq!(harness.closed, [(1, Closing::Cut)]);

    let mut harness = fault(Fault::Duplicate);
    harness.subscribe(1, &[topic]);
    harness.live(1, id("f6"), 60);
    harness.pass(3 * SECOND);
    assert!(harness.inbox.len() >= 2 && harness.inbox.len().is_multiple_of(2));

    let mut harness = fault(Fault::RaiseQos);
    harness.subscribe(1, &[topic]);
    harness.live(1, id("f6"), 60);
    harness.pass(3 * SECOND);
    assert!(!harness.inbox.is_empty() && harness.inbox.iter().all(|message| message.qos1));
}

#[test]
fn faults_of_connecting_take_effect() {
    let dial = |fault: Fault| {
        let mut spec = CloudSpec::demo();
        spec.faults = spec.faults.with(Duration::ZERO, Duration::MAX, fault);
        let mut harness = Harness::new(spec);
        let tokens = harness.sign_in();
        let credentials = harness.credentials(LEGACY_POOL, &tokens);
        let target = harness.presign(&credentials);
        let upgrade = harness.upgrade(1, &target, "mqtt");
        if upgrade == mysa_sim::Upgrade::Accept {
            harness.send(1, &connect("c", 60));
        }
        (harness, upgrade)
    };
    let (_, upgrade) = dial(Fault::RefuseUpgrade(403));
    assert!(matches!(upgrade, mysa_sim::Upgrade::Refuse(reply) if reply.status == 403));
    let (_, upgrade) = dial(Fault::UpgradePage(200));
    let page = |reply: &mysa_sim::HttpReply| {
        reply.status == 200 && reply.header("content-type") == Some("text/html")
    };
    assert!(matches!(upgrade, mysa_sim::Upgrade::Refuse(reply) if page(&reply)));
    assert_eq!(dial(Fault::HangUpgrade).1, mysa_sim::Upgrade::Hang);
    let (harness, _) = dial(Fault::RefuseConnect(5));
    assert_eq!((&harness.bytes[..], harness.closed.len()), (&[0x20, 2, 0, 5][..], 1));
    let (mut harness, _) = dial(Fault::IgnoreConnect);
    assert_eq!((harness.connacks, harness.closed.len()), (0, 0));
    harness.pass(11 * SECOND);
    assert_eq!(harness.closed.len(), 1);
    let after = Duration::from_millis(40);
    let (mut harness, _) = dial(Fault::CloseAfterConnect { after, closing: RULE });
    harness.pass(after - Duration::from_millis(1));
    assert!(harness.closed.is_empty() && harness.connacks == 1);
    harness.pass(Duration::from_millis(1));
    assert_eq!(harness.closed, [(1, RULE)]);
    let (mut harness, _) = dial(Fault::CloseOnBurst { packets: 3, closing: RULE });
    for n in 0..3 {
        assert!(harness.closed.is_empty(), "{n}");
        harness.send(1, &PINGREQ);
    }
    assert_eq!(harness.closed, [(1, RULE)]);
}

#[test]
fn things_happen_at_their_time() {
    let mut spec = CloudSpec::demo();
    spec.faults = spec
        .faults
        .with_event(10 * SECOND, Incident::Press(id("f6"), 23.0))
        .with_event(20 * SECOND, Incident::Publish("/v1/dev/a0b1c2d3e4f6/out".into(), b"anything".to_vec()))
        .with_event(30 * SECOND, Incident::CloseAll(Closing::Frame(Some(1001))));
    let mut harness = Harness::new(spec);
    harness.connect(1);
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out"]);
    harness.pass(10 * SECOND);
    let press = harness.inbox.iter().map(Received::json).find(|message| message["msg"] == 44).unwrap();
    assert_eq!((press.get("resp_id"), press["body"]["trig_src"].as_u64()), (None, Some(1)));
    assert_eq!(press["body"]["state"]["sp"], 23);
    harness.pass(10 * SECOND);
    assert_eq!(harness.inbox.last().map(|message| &message.payload[..]), Some(&b"anything"[..]));
    harness.pass(10 * SECOND);
    assert_eq!(harness.closed, [(1, Closing::Frame(Some(1001)))]);
}

#[test]
fn faults_of_thermostats_take_effect() {
    let command = |fault: Option<DeviceFault>| {
        let mut harness = connected();
        if let Some(fault) = fault {
            let fault = Fault::Device(Some(id("f6")), fault);
            harness.cloud.add_fault(Window::new(Duration::ZERO, Duration::MAX, fault));
        }
        harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out"]);
        harness.live(1, id("f6"), 60);
        harness.command(1, id("f6"), 4, 3, &json!({ "tm": -1, "sp": 23 }));
        harness.pass(12 * SECOND);
        let messages: Vec<_> =
            harness.inbox.iter().filter_map(|m| serde_json::from_slice(&m.payload).ok()).collect();
        let messages: Vec<serde_json::Value> = messages;
        let acks: Vec<u64> = messages
            .iter()
            .filter(|m| m["msg"] == 44)
            .map(|m| m["body"]["success"].as_u64().unwrap())
            .collect();
        let statuses = messages.iter().filter(|m| m["msg"] == 40).count();
        (acks, statuses, harness.cloud.truth(id("f6")).unwrap().setpoint.as_degrees())
    };
    assert_eq!(command(None), (vec![1], 3, 23.0));
    assert_eq!(command(Some(DeviceFault::Offline)), (vec![], 0, 19.0));
    assert_eq!(command(Some(DeviceFault::Powerless)), (vec![], 0, 19.0));
    assert_eq!(command(Some(DeviceFault::IgnoreCommands)), (vec![], 3, 19.0));
    assert_eq!(command(Some(DeviceFault::DropAcks)), (vec![], 3, 23.0));
    assert_eq!(command(Some(DeviceFault::DropStatuses)), (vec![1], 0, 23.0));
    assert_eq!(command(Some(DeviceFault::AckWithoutApplying)), (vec![1], 3, 19.0));
    assert_eq!(command(Some(DeviceFault::Refuse)), (vec![0], 3, 19.0));
    assert_eq!(command(Some(DeviceFault::DelayAcks(60 * SECOND))), (vec![], 3, 23.0));
    assert_eq!(command(Some(DeviceFault::Truncate)), (vec![1], 0, 23.0));
    assert_eq!(command(Some(DeviceFault::IgnoreLive)).0, [1]);
}

/// As AWS documents, the session lasts an hour, and stored messages are sent at ten per second.
#[test]
fn a_session_without_clean_session_is_kept_for_an_hour() {
    const OUT: &str = "/v1/dev/a0b1c2d3e4f5/out";
    let mut harness = Harness::demo();
    assert!(!harness.connect_again(1, "lasting"), "no session is stored yet");
    assert_eq!(harness.subscribe(1, &[OUT]), [1]);
    harness.send(1, &DISCONNECT);
    for degrees in [18.0, 18.5, 19.0] {
        harness.pass(2 * SECOND);
        assert!(harness.cloud.press(at(harness.now), id("f5"), Celsius::from_degrees(degrees), None));
    }
    assert!(harness.inbox.is_empty());
    let back = harness.now;
    assert!(harness.connect_again(2, "lasting"));
    harness.pass(SECOND);
    let kept: Vec<_> = harness.inbox.iter().filter(|message| message.qos1).collect();
    assert_eq!(
        kept.iter().map(|message| message.json()["Next"].as_f64().unwrap()).collect::<Vec<_>>(),
        [18.0, 18.5, 19.0]
    );
    let apart = Duration::from_millis(100);
    assert!(kept.iter().zip(1..).all(|(message, nth)| message.at == back + nth * apart && !message.dup));

    harness.cloud.press(at(harness.now), id("f5"), Celsius::from_degrees(20.0), None);
    harness.drain();
    assert_eq!(harness.inbox.last().unwrap().json()["Next"], 20.0, "the stored session is still subscribed");
    harness.cloud.handle_ws_closed(at(harness.now), 2);
    harness.pass(3_600 * SECOND);
    assert!(!harness.connect_again(3, "lasting"), "the stored session lasts one hour");
}

#[test]
fn a_clean_session_discards_the_stored_one() {
    let mut harness = Harness::demo();
    harness.connect_again(1, "lasting");
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/out"]);
    harness.pass(2 * SECOND);
    assert!(harness.connect_again(2, "lasting"), "the session of the older connection is stored");
    assert_eq!(harness.closed.len(), 1);
    harness.pass(2 * SECOND);
    harness.connect_with(3, LEGACY_POOL, LEGACY_CLIENT, "lasting");
    harness.pass(2 * SECOND);
    harness.cloud.press(at(harness.now), id("f5"), Celsius::from_degrees(20.0), None);
    harness.drain();
    assert!(harness.inbox.iter().all(|message| !message.qos1), "a clean session has no subscriptions");
    assert!(!harness.connect_again(4, "lasting"));
}
