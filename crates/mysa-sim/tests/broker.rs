//! Limits and behaviour of the broker.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod rig;

use std::time::Duration;

use mysa_mqtt_codec::{DISCONNECT, Filter, Outbound, PINGREQ, QoS};
use mysa_proto::Celsius;
use mysa_sim::{Closing, CloudSpec, DeviceFault, Fault, Incident, Window};
use rig::*;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const RULE: Closing = Closing::Frame(None);
const NONE: [u8; 0] = [];

fn connected() -> Rig {
    let mut rig = Rig::demo();
    rig.connect(1);
    rig
}

/// A rig with one device for each of `n` topics.
fn crowd(n: usize) -> (Rig, Vec<String>) {
    let mut spec = CloudSpec::demo();
    let home = &mut spec.accounts[0].homes[0];
    home.devices.clear();
    let mut topics = Vec::new();
    for number in 0..n {
        let id = mysa_proto::DeviceId::new(&format!("{number:012x}")).unwrap();
        home.devices.push(mysa_sim::DeviceSpec::new(id, "BB-V2-0", "room"));
        topics.push(format!("/v1/dev/{id}/out"));
    }
    let mut rig = Rig::new(spec);
    rig.connect(1);
    (rig, topics)
}

#[test]
fn nine_filters_in_one_packet_end_the_connection() {
    let (mut rig, topics) = crowd(9);
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    assert_eq!(rig.subscribe(1, &topics[..8]).len(), 8);
    assert_eq!(rig.subscribe(1, &topics), NONE);
    assert_eq!(rig.closed, [(1, RULE)]);
}

#[test]
fn the_fifty_first_subscription_is_refused() {
    let (mut rig, topics) = crowd(52);
    let mut codes = Vec::new();
    for group in topics.chunks(8) {
        let group: Vec<&str> = group.iter().map(String::as_str).collect();
        codes.extend(rig.subscribe(1, &group));
    }
    assert_eq!(
        (codes.len(), codes[..50].iter().all(|&code| code == 1), &codes[50..]),
        (52, true, &[0x80, 0x80][..])
    );
    assert_eq!(rig.subscribe(1, &[&topics[0]]), [1], "an existing subscription may be repeated");
}

#[test]
fn a_packet_before_connect_ends_the_connection_and_so_does_a_second_connect() {
    for second in [PINGREQ.to_vec(), DISCONNECT.to_vec()] {
        let mut rig = Rig::demo();
        let tokens = rig.sign_in();
        let credentials = rig.credentials(LEGACY_POOL, &tokens);
        let target = rig.presign(&credentials);
        assert_eq!(rig.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Accept);
        rig.send(1, &second);
        assert_eq!(rig.closed, [(1, RULE)]);
    }
    let mut rig = connected();
    rig.pass(2 * SECOND);
    rig.send(1, &connect("again", 60));
    assert_eq!(rig.closed, [(1, RULE)]);
}

#[test]
fn a_newer_connection_takes_the_client_id_and_not_within_a_second() {
    let mut rig = connected();
    rig.connect_with(2, LEGACY_POOL, LEGACY_CLIENT, "client-1");
    assert_eq!(rig.closed, [(2, RULE)], "one CONNECT per second and client id");
    rig.pass(SECOND);
    rig.connect_with(3, LEGACY_POOL, LEGACY_CLIENT, "client-1");
    assert_eq!(rig.closed[1..], [(1, RULE)]);
    assert_eq!(rig.cloud.clients().collect::<Vec<_>>(), [(3, "client-1")]);
    let counters = rig.cloud.counters();
    assert_eq!((counters.taken_over, counters.early_connects), (1, 1));
}

#[test]
fn a_silent_client_is_cut_after_one_and_a_half_keep_alives() {
    let mut rig = connected();
    rig.pass(89 * SECOND);
    rig.send(1, &PINGREQ);
    assert_eq!(rig.pongs, 1);
    rig.pass(89 * SECOND);
    assert!(rig.closed.is_empty());
    rig.pass(2 * SECOND);
    assert_eq!(rig.closed, [(1, RULE)]);
}

#[test]
fn a_connection_lives_for_a_day() {
    let mut rig = connected();
    for _ in 0..24 * 60 - 1 {
        rig.pass(60 * SECOND);
        rig.send(1, &PINGREQ);
    }
    assert!(rig.closed.is_empty());
    rig.pass(61 * SECOND);
    assert_eq!(rig.closed, [(1, RULE)]);
}

#[test]
fn qos_1_is_sent_again_until_it_is_acknowledged() {
    let mut rig = connected();
    rig.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/out"]);
    rig.answers_qos1 = false;
    rig.cloud.press(at(rig.now), id("f5"), Celsius::from_degrees(22.0), None);
    rig.pass(16 * SECOND);
    let presses: Vec<(bool, bool)> = rig
        .inbox
        .iter()
        .filter(|message| message.json()["MsgType"] == 1)
        .map(|message| (message.qos1, message.dup))
        .collect();
    assert_eq!(presses, [(true, false), (true, true), (true, true), (true, true)]);
    rig.answers_qos1 = true;
    rig.pass(5 * SECOND);
    rig.inbox.clear();
    rig.pass(20 * SECOND);
    assert!(
        rig.inbox.iter().all(|message| message.json()["MsgType"] != 1),
        "an acknowledged message is not sent again"
    );
}

#[test]
fn too_much_too_fast_and_qos_2_end_the_connection() {
    let mut rig = connected();
    for n in 0..=100 {
        assert!(rig.closed.is_empty(), "{n}");
        rig.live(1, id("f5"), 60);
    }
    assert_eq!(rig.closed, [(1, RULE)]);

    let mut rig = connected();
    rig.publish(1, "/v1/dev/a0b1c2d3e4f5/in", &vec![b' '; 128 * 1024 + 1]);
    assert_eq!(rig.closed, [(1, RULE)]);

    let mut rig = connected();
    let filters = [(Filter::new("/v1/dev/a0b1c2d3e4f5/out").unwrap(), QoS::ExactlyOnce)];
    let mut bytes = Vec::new();
    Outbound::Subscribe { id: rig.id(), filters: &filters }.encode(&mut bytes).unwrap();
    rig.send(1, &bytes);
    assert_eq!(rig.closed, [(1, RULE)]);

    let mut rig = connected();
    assert_eq!(rig.subscribe(1, &["/1/2/3/4/5/6/7/8"]), NONE);
    assert_eq!(rig.closed, [(1, RULE)]);
}

#[test]
fn a_client_receives_its_own_commands_on_the_in_topic_and_none_in_upper_case() {
    let mut rig = connected();
    assert_eq!(
        rig.subscribe(
            1,
            &["/v1/dev/a0b1c2d3e4f6/in", "/v1/dev/A0B1C2D3E4F6/out", "/v1/dev/a0b1c2d3e4f6/batch"]
        ),
        [1, 0x80, 1]
    );
    rig.command(1, id("f6"), 4, 3, &json!({ "tm": -1, "sp": 20 }));
    assert_eq!(rig.inbox.last().map(|message| message.json()["id"].clone()), Some(json!(3)));
    rig.publish(1, "/v1/dev/a0b1c2d3e4f6/out", b"{}");
    assert_eq!(rig.closed, [(1, RULE)], "only the thermostat may publish on its /out topic");
}

#[test]
fn bytes_may_come_in_any_pieces() {
    let mut rig = Rig::demo();
    let tokens = rig.sign_in();
    let credentials = rig.credentials(LEGACY_POOL, &tokens);
    let target = rig.presign(&credentials);
    assert_eq!(rig.upgrade(1, &target, "mqtt"), mysa_sim::Upgrade::Accept);
    let bytes = [connect("pieces", 60), PINGREQ.to_vec(), PINGREQ.to_vec()].concat();
    for byte in bytes {
        rig.send(1, &[byte]);
    }
    assert_eq!((rig.connacks, rig.pongs), (1, 2));
    rig.send(1, &DISCONNECT);
    rig.send(1, &PINGREQ);
    assert_eq!(rig.closed, [(1, RULE), (1, Closing::Cut)], "bytes on a closed connection reset it");
}

#[test]
fn faults_of_the_broker_take_effect() {
    let fault = |fault: Fault| {
        let mut rig = connected();
        rig.pass(2 * SECOND);
        rig.cloud.add_fault(Window::new(Duration::ZERO, Duration::MAX, fault));
        rig
    };
    let topic = "/v1/dev/a0b1c2d3e4f6/out";
    let command = |rig: &mut Rig| rig.command(1, id("f6"), 4, 3, &json!({ "tm": -1, "sp": 20 }));
    let delivered = |rig: &mut Rig| {
        rig.pass(SECOND);
        rig.cloud.truth(id("f6")).unwrap().messages.commands
    };

    let mut rig = fault(Fault::CloseOnPublish(Closing::Cut));
    command(&mut rig);
    assert_eq!((rig.closed.clone(), delivered(&mut rig)), (vec![(1, Closing::Cut)], 0));

    let mut rig = fault(Fault::DropPublishes);
    command(&mut rig);
    assert_eq!((rig.closed.len(), rig.pubacks.len(), delivered(&mut rig)), (0, 0, 0));

    let mut rig = fault(Fault::DropPubacks);
    command(&mut rig);
    assert_eq!((rig.pubacks.len(), delivered(&mut rig)), (0, 1));

    let mut rig = fault(Fault::DenyPublish);
    command(&mut rig);
    assert_eq!(rig.closed, [(1, RULE)]);

    let mut rig = fault(Fault::DropSubacks);
    assert_eq!(rig.subscribe(1, &[topic]), NONE);
    assert_eq!(rig.cloud.subscriptions(), 1);

    let mut rig = fault(Fault::SubackCodes(vec![0, 0x80, 0]));
    assert_eq!(rig.subscribe(1, &[topic]), [0, 0x80, 0]);

    let mut rig = fault(Fault::SubackWrongId);
    assert_eq!(rig.subscribe(1, &[topic]), NONE);
    assert_eq!(rig.subacks.len(), 1);

    let mut rig = fault(Fault::RefuseDevice(id("f6")));
    assert_eq!(rig.subscribe(1, &[topic, "/v1/dev/a0b1c2d3e4f5/out"]), [0x80, 1]);

    let mut rig = fault(Fault::CloseOnSubscribe { suffix: "/batch".into(), closing: RULE });
    assert_eq!(rig.subscribe(1, &[topic]), [1]);
    assert_eq!(rig.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/batch"]), NONE);
    assert_eq!(rig.closed, [(1, RULE)]);

    let mut rig = fault(Fault::DropPings);
    rig.send(1, &PINGREQ);
    assert_eq!((rig.pongs, rig.closed.len()), (0, 0));

    let mut rig = fault(Fault::BlackholeIn);
    rig.send(1, &PINGREQ);
    command(&mut rig);
    assert_eq!((rig.pongs, delivered(&mut rig)), (0, 0));

    let mut rig = fault(Fault::BlackholeOut);
    command(&mut rig);
    rig.pass(300 * SECOND);
    assert_eq!(
        (rig.pubacks.len(), rig.closed.len(), delivered(&mut rig)),
        (0, 0, 1),
        "the close is lost too"
    );
    rig.cloud.clear_faults();
    rig.send(1, &PINGREQ);
    assert_eq!(rig.closed, [(1, Closing::Cut)]);

    let mut rig = fault(Fault::Duplicate);
    rig.subscribe(1, &[topic]);
    rig.live(1, id("f6"), 60);
    rig.pass(3 * SECOND);
    assert!(rig.inbox.len() >= 2 && rig.inbox.len().is_multiple_of(2));

    let mut rig = fault(Fault::RaiseQos);
    rig.subscribe(1, &[topic]);
    rig.live(1, id("f6"), 60);
    rig.pass(3 * SECOND);
    assert!(!rig.inbox.is_empty() && rig.inbox.iter().all(|message| message.qos1));
}

#[test]
fn faults_of_connecting_take_effect() {
    let dial = |fault: Fault| {
        let mut spec = CloudSpec::demo();
        spec.faults = spec.faults.with(Duration::ZERO, Duration::MAX, fault);
        let mut rig = Rig::new(spec);
        let tokens = rig.sign_in();
        let credentials = rig.credentials(LEGACY_POOL, &tokens);
        let target = rig.presign(&credentials);
        let upgrade = rig.upgrade(1, &target, "mqtt");
        if upgrade == mysa_sim::Upgrade::Accept {
            rig.send(1, &connect("c", 60));
        }
        (rig, upgrade)
    };
    let (_, upgrade) = dial(Fault::RefuseUpgrade(403));
    assert!(matches!(upgrade, mysa_sim::Upgrade::Refuse(reply) if reply.status == 403));
    let (_, upgrade) = dial(Fault::UpgradePage(200));
    let page = |reply: &mysa_sim::HttpReply| {
        reply.status == 200 && reply.header("content-type") == Some("text/html")
    };
    assert!(matches!(upgrade, mysa_sim::Upgrade::Refuse(reply) if page(&reply)));
    assert_eq!(dial(Fault::HangUpgrade).1, mysa_sim::Upgrade::Hang);
    let (rig, _) = dial(Fault::RefuseConnect(5));
    assert_eq!((&rig.bytes[..], rig.closed.len()), (&[0x20, 2, 0, 5][..], 1));
    let (mut rig, _) = dial(Fault::IgnoreConnect);
    assert_eq!((rig.connacks, rig.closed.len()), (0, 0));
    rig.pass(11 * SECOND);
    assert_eq!(rig.closed.len(), 1);
    let after = Duration::from_millis(40);
    let (mut rig, _) = dial(Fault::CloseAfterConnect { after, closing: RULE });
    rig.pass(after - Duration::from_millis(1));
    assert!(rig.closed.is_empty() && rig.connacks == 1);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.closed, [(1, RULE)]);
    let (mut rig, _) = dial(Fault::CloseOnBurst { packets: 3, closing: RULE });
    for n in 0..3 {
        assert!(rig.closed.is_empty(), "{n}");
        rig.send(1, &PINGREQ);
    }
    assert_eq!(rig.closed, [(1, RULE)]);
}

#[test]
fn things_happen_at_their_time() {
    let mut spec = CloudSpec::demo();
    spec.faults = spec
        .faults
        .with_event(10 * SECOND, Incident::Press(id("f6"), 23.0))
        .with_event(20 * SECOND, Incident::Publish("/v1/dev/a0b1c2d3e4f6/out".into(), b"anything".to_vec()))
        .with_event(30 * SECOND, Incident::CloseAll(Closing::Frame(Some(1001))));
    let mut rig = Rig::new(spec);
    rig.connect(1);
    rig.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out"]);
    rig.pass(10 * SECOND);
    let press = rig.inbox.iter().map(Received::json).find(|message| message["msg"] == 44).unwrap();
    assert_eq!((press.get("resp_id"), press["body"]["trig_src"].as_u64()), (None, Some(1)));
    assert_eq!(press["body"]["state"]["sp"], 23);
    rig.pass(10 * SECOND);
    assert_eq!(rig.inbox.last().map(|message| &message.payload[..]), Some(&b"anything"[..]));
    rig.pass(10 * SECOND);
    assert_eq!(rig.closed, [(1, Closing::Frame(Some(1001)))]);
}

#[test]
fn faults_of_thermostats_take_effect() {
    let command = |fault: Option<DeviceFault>| {
        let mut rig = connected();
        if let Some(fault) = fault {
            let fault = Fault::Device(Some(id("f6")), fault);
            rig.cloud.add_fault(Window::new(Duration::ZERO, Duration::MAX, fault));
        }
        rig.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out"]);
        rig.live(1, id("f6"), 60);
        rig.command(1, id("f6"), 4, 3, &json!({ "tm": -1, "sp": 23 }));
        rig.pass(12 * SECOND);
        let messages: Vec<_> =
            rig.inbox.iter().filter_map(|m| serde_json::from_slice(&m.payload).ok()).collect();
        let messages: Vec<serde_json::Value> = messages;
        let acks: Vec<u64> = messages
            .iter()
            .filter(|m| m["msg"] == 44)
            .map(|m| m["body"]["success"].as_u64().unwrap())
            .collect();
        let statuses = messages.iter().filter(|m| m["msg"] == 40).count();
        (acks, statuses, rig.cloud.truth(id("f6")).unwrap().setpoint.as_degrees())
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
    let mut rig = Rig::demo();
    assert!(!rig.connect_again(1, "lasting"), "no session is stored yet");
    assert_eq!(rig.subscribe(1, &[OUT]), [1]);
    rig.send(1, &DISCONNECT);
    for degrees in [18.0, 18.5, 19.0] {
        rig.pass(2 * SECOND);
        assert!(rig.cloud.press(at(rig.now), id("f5"), Celsius::from_degrees(degrees), None));
    }
    assert!(rig.inbox.is_empty());
    let back = rig.now;
    assert!(rig.connect_again(2, "lasting"));
    rig.pass(SECOND);
    let kept: Vec<_> = rig.inbox.iter().filter(|message| message.qos1).collect();
    assert_eq!(
        kept.iter().map(|message| message.json()["Next"].as_f64().unwrap()).collect::<Vec<_>>(),
        [18.0, 18.5, 19.0]
    );
    let apart = Duration::from_millis(100);
    assert!(kept.iter().zip(1..).all(|(message, nth)| message.at == back + nth * apart && !message.dup));

    rig.cloud.press(at(rig.now), id("f5"), Celsius::from_degrees(20.0), None);
    rig.drain();
    assert_eq!(rig.inbox.last().unwrap().json()["Next"], 20.0, "the stored session is still subscribed");
    rig.cloud.handle_ws_closed(at(rig.now), 2);
    rig.pass(3_600 * SECOND);
    assert!(!rig.connect_again(3, "lasting"), "the stored session lasts one hour");
}

#[test]
fn a_clean_session_discards_the_stored_one() {
    let mut rig = Rig::demo();
    rig.connect_again(1, "lasting");
    rig.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/out"]);
    rig.pass(2 * SECOND);
    assert!(rig.connect_again(2, "lasting"), "the session of the older connection is stored");
    assert_eq!(rig.closed.len(), 1);
    rig.pass(2 * SECOND);
    rig.connect_with(3, LEGACY_POOL, LEGACY_CLIENT, "lasting");
    rig.pass(2 * SECOND);
    rig.cloud.press(at(rig.now), id("f5"), Celsius::from_degrees(20.0), None);
    rig.drain();
    assert!(rig.inbox.iter().all(|message| !message.qos1), "a clean session has no subscriptions");
    assert!(!rig.connect_again(4, "lasting"));
}
