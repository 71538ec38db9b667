//! Broker failures by their names in the catalogue: F9 to F15.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{ALL, Drive, HOUR, LITE, V1, V2, demo, device, live, secs, set};
use mysa_proto::Celsius;
use mysa_session::{ConfirmBy, ConnId, Event, Evidence, Level, Settings, Verdict};
use mysa_sim::{Closing, DeviceFault, Endpoint, Fault, HttpFault, Incident};
use mysa_world::{Trouble, Wire, World};
use wire::{all_well, commands_only, connects, dials, live_requests, subscribes, trouble};

const STEP: Duration = Duration::from_millis(400);

fn setpoint(degrees: f64) -> Celsius {
    Celsius::from_degrees(degrees).unwrap()
}

/// All four combinations of a lost PUBACK and lost messages of the thermostat. On every wire the world checks that no
/// byte of the older command follows the newer command or the older one's verdict.
#[test]
fn f09_a_lost_puback_never_replays_an_older_command() {
    let (mut superseded, mut confirmed) = (0, 0);
    for (case, puback_arrives, ack_arrives) in
        [(0, false, false), (1, true, false), (2, false, true), (3, true, true)]
    {
        for newer_after in 0..=9 {
            for cut_after in 0..=9 {
                let mut world = live(commands_only(), 21 + case);
                if !puback_arrives {
                    world.fault(secs(8), Fault::DropPubacks);
                }
                if !ack_arrives {
                    // The session receives no sign that the older command was carried out.
                    world.fault(secs(8), Fault::Device(Some(device(V2)), DeviceFault::DropAcks));
                    world.fault(secs(8), Fault::Device(Some(device(V2)), DeviceFault::DropStatuses));
                }
                let older = world.ask(V2, set(20.0));
                world.go(STEP * newer_after);
                let newer = world.ask(V2, set(22.0));
                world.go(STEP * cut_after);
                world.happen(Incident::CloseAll(Closing::Cut));
                world.go(secs(60));
                let at = format!(
                    "newer after {newer_after}, cut after {cut_after}, PUBACK {puback_arrives}, ack {ack_arrives}"
                );
                match world.verdict_on(older) {
                    Verdict::Superseded { by, .. } if *by == newer => superseded += 1,
                    Verdict::Confirmed { .. } if ack_arrives => confirmed += 1,
                    other => panic!("{at}: {other:?}"),
                }
                let truth = world.cloud.truth(device(V2)).unwrap();
                if world.verdict_on(newer).is_confirmed() {
                    assert_eq!(truth.setpoint, setpoint(22.0), "{at}");
                }
                let done: Vec<Celsius> =
                    world.cloud.command_records(device(V2)).filter_map(|record| record.setpoint).collect();
                let last_old = done.iter().rposition(|done| *done == setpoint(20.0));
                let first_new = done.iter().position(|done| *done == setpoint(22.0));
                assert!(first_new.is_none() || last_old < first_new, "{at}: {done:?}");
                assert!(world.commands_on_the_wire() <= 6, "{at}");
            }
        }
    }
    assert!(superseded >= 200 && confirmed >= 100, "{superseded}, {confirmed}");
}

#[test]
fn f10_a_lost_device_ack_is_replaced_by_a_later_status() {
    let mut world = live(Settings::default(), 23);
    world.fault(HOUR, Fault::Device(Some(device(V2)), DeviceFault::DropAcks));
    let id = world.ask(V2, set(23.0));
    world.go(secs(40));
    assert!(
        matches!(world.verdict_on(id), Verdict::Confirmed { by: Evidence::Status, .. }),
        "{:?}",
        world.verdict_on(id)
    );
}

#[test]
fn f10_a_device_that_ignores_a_command_leaves_it_unconfirmed() {
    let mut world = live(Settings::default(), 24);
    let before = world.shown(V2);
    world.fault(HOUR, Fault::Device(Some(device(V2)), DeviceFault::IgnoreCommands));
    let (asked, id) = (world.now(), world.ask(V2, set(23.0)));
    world.go(secs(60));
    assert!(matches!(world.verdict_on(id), Verdict::Unconfirmed { .. }), "{:?}", world.verdict_on(id));
    let (at, ..) = world.verdicts()[0];
    assert!((secs(30)..=secs(31)).contains(&(at - asked)), "{:?}", at - asked);
    // The command is repeated until its deadline, each time with a new id.
    assert_eq!((world.commands_on_the_wire(), world.shown(V2)), (4, before));
}

/// By default an acknowledgement that quotes the new value is proof, and the verdict is given at once. A later status
/// that contradicts it is shown but does not change the verdict. An application that prefers to wait for the status
/// chooses [`ConfirmBy::Status`].
#[test]
fn f10_device_that_acknowledges_without_applying_is_not_confirmed_against_its_status() {
    let mut settings = Settings::default();
    settings.confirm_by = ConfirmBy::Status;
    for (settings, trusting) in [(settings, false), (Settings::default(), true)] {
        let mut world = live(settings, 25).with_thermostats_that_ignore_commands();
        let before = world.shown(V2);
        world.fault(HOUR, Fault::Device(Some(device(V2)), DeviceFault::AckWithoutApplying));
        let id = world.ask(V2, set(23.0));
        world.go(secs(90));
        assert_eq!(world.verdict_on(id).is_confirmed(), trusting, "{:?}", world.verdict_on(id));
        assert_eq!(world.shown(V2), before, "trusting: {trusting}");
    }
}

#[test]
fn f10_device_ack_after_the_deadline_does_not_resolve_twice() {
    let mut world = live(Settings::default(), 26);
    world.fault(secs(100), Fault::Device(Some(device(V2)), DeviceFault::DelayAcks(secs(45))));
    world.fault(secs(40), Fault::Device(Some(device(V2)), DeviceFault::DropStatuses));
    let id = world.ask(V2, set(23.0));
    world.go(secs(120));
    let verdicts: Vec<_> = world.verdicts().iter().filter(|(_, of, _)| *of == id).collect();
    assert!(matches!(verdicts[..], [(_, _, Verdict::Unconfirmed { .. })]), "{verdicts:?}");
    // The late acknowledgement is still shown.
    assert_eq!(world.shown(V2), Some(23.0));
}

/// A session uses another client id on every connection, so it does not reconnect with the id that was taken
/// over: of two programs that start with one id, each continues with an id of its own.
#[test]
fn f11_a_duplicate_client_id_causes_no_reconnect_loop() {
    let mut world = live(Settings::default(), 27);
    for n in 1..=8_u64 {
        let (_, _, taken) = connects(&world).pop().unwrap();
        assert!(world.duplicate_client(&taken), "{n}");
        world.go(secs(90));
        assert!(all_well(&world), "{n}: {}", world.session.service());
        // The session never disconnected the duplicate client in turn.
        assert_eq!(world.cloud.counters().taken_over, n);
        assert!(world.cloud.clients().any(|(_, name)| name == taken), "{n}");
    }
    let connects = connects(&world);
    let names: BTreeSet<&str> = connects.iter().map(|(_, _, name)| name.as_str()).collect();
    assert_eq!((names.len(), connects.len()), (9, 9));
    assert_eq!(world.cloud.counters().early_connects, 0);
    for pair in connects.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= secs(1));
    }
}

#[test]
fn f11_duplicate_connections_are_not_made_while_the_old_one_may_live() {
    let mut world = live(Settings::default(), 28);
    let known = dials(&world).len();
    // Pings go unanswered, but statuses would prove the connection alive, so it is given up only at the deadline.
    trouble(&mut world, secs(300), Trouble::BlackHoleOut);
    let start = world.now();
    let settings = Settings::default();
    let earliest = settings.ping_timeout;
    assert!(world.go_while(secs(120), |world| dials(world).len() == known));
    assert!(world.now() - start >= earliest, "{:?}", world.now() - start);
    world.go(secs(400));
    assert!(all_well(&world));
}

#[test]
fn f12_a_new_connection_receives_messages_whichever_step_fails() {
    let frame = Closing::Frame(None);
    let http = |endpoint, fault| Fault::Http(endpoint, fault);
    let mut cases = vec![
        http(Endpoint::Refresh, HttpFault::Status(500)),
        http(Endpoint::Refresh, HttpFault::Hang),
        http(Endpoint::Identity, HttpFault::Reset),
        http(Endpoint::Credentials, HttpFault::Exception("InternalErrorException".into())),
        http(Endpoint::Credentials, HttpFault::Hang),
        http(Endpoint::Any, HttpFault::Html(200)),
        Fault::HangUpgrade,
        Fault::RefuseUpgrade(503),
        Fault::IgnoreConnect,
        Fault::RefuseConnect(3),
        Fault::CloseAfterConnect { after: Duration::ZERO, closing: Closing::Cut },
        Fault::CloseAfterConnect { after: Duration::from_millis(90), closing: frame },
        Fault::CloseAfterConnect { after: secs(7), closing: frame },
        Fault::DropSubacks,
        Fault::SubackWrongId,
        Fault::SubackCodes(vec![0x80; 5]),
        Fault::SubackCodes(vec![1, 1, 1, 0x80, 1]),
        Fault::BlackholeIn,
        Fault::BlackholeOut,
    ];
    for id in ALL {
        cases.push(Fault::CloseOnSubscribe { suffix: format!("{id}/out"), closing: frame });
    }
    for fault in cases {
        let mut world = live(Settings::default(), 29);
        world.fault(secs(300), fault.clone());
        world.happen(Incident::ExpireTokens);
        world.happen(Incident::ExpireCredentials);
        world.happen(Incident::CloseAll(Closing::Cut));
        world.go(secs(300));
        let refused = matches!(
            fault,
            Fault::SubackCodes(_)
                | Fault::SubackWrongId
                | Fault::DropSubacks
                | Fault::RefuseConnect(_)
                | Fault::CloseOnSubscribe { .. }
        );
        // A refused filter, or one that ended two connections, waits ten minutes at first. A connection that was
        // refused many times waits up to a quarter of an hour, and HTTP is tried again after pauses of up to minutes.
        // Everything else recovers within one backoff cap plus one deadline, and so before the device list is read
        // again.
        world.go(match fault {
            Fault::Http(..) => secs(10 * 60),
            _ if refused => secs(20 * 60),
            _ => secs(120),
        });
        assert!(all_well(&world), "{fault:?}: {}", world.session.service());
        assert_eq!(world.cloud.subscriptions(), 5, "{fault:?}");
        assert_eq!(world.cloud.clients().count(), 1, "{fault:?}");
        let connected = connects(&world).last().unwrap().0;
        assert!(subscribes(&world).iter().any(|(at, _)| *at > connected), "{fault:?}");
    }
}

/// In the demo home the Lite and both baseboards have live-report leases; each of them is asked again.
#[test]
fn f13_live_reports_are_requested_again_after_a_short_outage_and_a_reboot() {
    for (case, seed) in [("blip", 30), ("reboot", 31)] {
        let mut world = live(Settings::default(), seed);
        let asked: BTreeSet<String> = live_requests(&world).into_iter().map(|(_, _, topic)| topic).collect();
        assert!(!asked.is_empty());
        let first = live_requests(&world)[0].0;
        world.run_until(first + secs(10)).unwrap();
        let start = world.now();
        match case {
            "blip" => world.happen(Incident::CloseAll(Closing::Frame(None))),
            _ => world.happen(Incident::Reboot(device(LITE))),
        }
        world.go(secs(40));
        let again: Vec<_> = live_requests(&world).into_iter().filter(|(at, ..)| *at > start).collect();
        let topics: BTreeSet<String> = again.iter().map(|(_, _, topic)| topic.clone()).collect();
        if case == "blip" {
            let granted = subscribes(&world).last().unwrap().0;
            assert_eq!(topics, asked);
            assert!(again.iter().all(|(at, ..)| *at > granted));
        } else {
            assert_eq!(topics, BTreeSet::from([format!("/v1/dev/{LITE}/in")]));
        }
        assert!(
            again.windows(2).all(|pair| pair[1].0 - pair[0].0 >= Duration::from_millis(350)),
            "{again:?}"
        );
        assert!(world.cloud.truth(device(LITE)).unwrap().live, "{case}");
    }
}

#[test]
fn f13_live_reports_are_not_requested_where_publishing_is_denied() {
    let mut spec = demo();
    spec.faults = spec.faults.with(Duration::ZERO, 20 * HOUR, Fault::DenyPublish);
    let mut world = World::new(spec, mysa_world::NetSpec::default(), Settings::default(), 32);
    world.go(secs(300));
    assert_eq!(world.level(), Level::ReadOnly);
    let publishes = world.publishes_on_the_wire();
    assert!(publishes <= 6, "{publishes}");
    for _ in 0..10 {
        world.happen(Incident::CloseAll(Closing::Cut));
        world.go(secs(600));
    }
    assert_eq!(world.publishes_on_the_wire(), publishes);
}

#[test]
fn f14_flood_of_redelivered_messages_is_acknowledged_and_reported_once() {
    let mut settings = commands_only();
    settings.raw_messages = true;
    let mut world = live(settings, 33);
    world.fault(HOUR, Fault::RaiseQos);
    // Just after a ping, so that the connection outlives the test.
    let pings = |world: &World| world.wire().iter().filter(|(_, _, wire)| *wire == Wire::Ping).count();
    let before = pings(&world);
    assert!(world.go_while(secs(60), |world| pings(world) == before));
    world.go(secs(1));
    // Acknowledgements are lost for a while: the broker repeats the message every five seconds with DUP.
    trouble(&mut world, secs(23), Trouble::BlackHoleIn);
    let from = world.events().len();
    world.press(device(V2), &set(24.5));
    world.go(secs(60));
    let messages = world.events()[from..]
        .iter()
        .filter(|(_, event)| matches!(event, Event::Message { device: id, .. } if *id == device(V2)));
    let came = messages.count();
    let seen = world.events()[from..].iter().filter(|(_, event)| {
        matches!(event, Event::Device { device: id, changes, .. }
            if *id == device(V2) && changes.contains(mysa_proto::StateField::Setpoint))
    });
    assert!(came >= 4, "{came} messages came");
    assert_eq!(seen.count(), 1);
    assert_eq!(world.shown(V2), Some(24.5));
    // Once acknowledgements arrive, the repeats end.
    let delivered = world.cloud.counters().delivered;
    world.go(secs(20));
    assert!(world.cloud.counters().delivered - delivered <= 3);
    let acks = world.wire().iter().filter(|(_, _, wire)| matches!(wire, Wire::PubAck(_))).count();
    assert!(acks >= came, "{acks} acknowledgements of {came}");
    assert_eq!(connects(&world).len(), 1);
}

#[test]
fn f14_flood_of_duplicate_messages_is_reported_once() {
    let mut world = live(commands_only(), 34);
    world.fault(HOUR, Fault::RaiseQos);
    world.fault(HOUR, Fault::Duplicate);
    let from = world.events().len();
    world.press(device(V1), &set(18.5));
    let id = world.ask(V2, set(21.5));
    world.go(secs(60));
    let seen = |id: &str| {
        let of = device(id);
        let changed = |(_, event): &&(Duration, Event)| {
            matches!(event, Event::Device { device, changes, .. }
                if *device == of && changes.contains(mysa_proto::StateField::Setpoint))
        };
        world.events()[from..].iter().filter(changed).count()
    };
    assert_eq!((seen(V1), seen(V2)), (1, 1));
    assert!(world.verdict_on(id).is_confirmed());
}

#[test]
fn f15_late_events_of_a_discarded_connection_change_nothing() {
    let mut world = live(commands_only(), 35);
    let old: ConnId = connects(&world)[0].1;
    world.happen(Incident::CloseAll(Closing::Cut));
    world.go(secs(60));
    assert!(all_well(&world));
    let (known, shown) = (dials(&world).len(), world.shown(V2));
    let mut status = Vec::new();
    let payload = format!(
        r#"{{"ver":"1.0","src":{{"ref":"{V2}","type":1}},"time":1767326645,"msg":40,"body":{{"stpt":9.0,"ambTemp":3.0}}}}"#
    );
    let topic = format!("/v1/dev/{V2}/out");
    let length = 2 + topic.len() + payload.len();
    status.extend([0x30, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8, 0, topic.len() as u8]);
    status.extend(topic.bytes());
    status.extend(payload.bytes());
    for bytes in [&[0x20, 2, 0, 0][..], &status, &[0x20, 2, 0, 5], &[0xff; 8], &[0xd0, 0]] {
        world.call(|session, now| session.handle_ws_bytes(now, old, bytes)).unwrap();
    }
    world.call(|session, now| session.handle_ws_opened(now, old)).unwrap();
    world.call(|session, now| session.handle_ws_refused(now, old, Some(403), None)).unwrap();
    world.call(|session, now| session.handle_ws_closed(now, old)).unwrap();
    world.go(secs(30));
    assert!(all_well(&world));
    assert_eq!((dials(&world).len(), world.shown(V2)), (known, shown));
    // The same bytes do have an effect on the current connection, which proves that the test can fail.
    let new = connects(&world).last().unwrap().1;
    world.call(|session, now| session.handle_ws_bytes(now, new, &status)).unwrap();
    assert_eq!(world.shown(V2), Some(9.0));
}
