//! Failures of commands: wrong values on the wire, repeated writes and wrong verdicts (F30 to F33, F40 to
//! F44, F48).
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;

use std::cell::RefCell;
use std::time::Duration;

use common::{
    AC, ALL, Drive as _, FLOOR, HOUR, LITE, V1, V2, demo, device, live, live_with, resume, secs, set,
};
use mysa_proto::rest;
use mysa_proto::{Change, FanSpeed, InvalidCommand, Mode, Model};
use mysa_session::{
    CommandChannel, DeliveryStage, Event, Evidence, Expired, Level, Reason, Refused, RequestError, Settings,
    Verdict,
};
use mysa_sim::{Closing, CloudSpec, DeviceFault, DeviceSpec, Endpoint, Fault, HttpFault, Incident};
use mysa_world::{NetSpec, NetTrouble, Trouble, World};

fn by(channel: CommandChannel) -> Settings {
    let mut settings = Settings::default();
    settings.channel = channel;
    settings
}

/// A V2 status with a timestamp `secs_ago` in the past.
fn status(world: &World, secs_ago: i64, setpoint: f64) -> String {
    let time = world.wall().as_secs() - secs_ago;
    format!(
        r#"{{"ver":"1.0","src":{{"type":1,"ref":"{V2}"}},"time":{time},"msg":40,"id":7,"body":{{"ambTemp":18.6,"hum":40.0,"stpt":{setpoint:?},"dtyCycle":0.0}}}}"#
    )
}

/// Runs for a time and records each setpoint that is shown, and each that is pending.
fn watch(world: &mut World, time: Duration, shown: &RefCell<Vec<f64>>) {
    world.go_while(time, |world| {
        let mut shown = shown.borrow_mut();
        if let Some(now) = world.shown(V2)
            && shown.last() != Some(&now)
        {
            shown.push(now);
        }
        true
    });
}

#[test]
fn f30_no_rubber_banding() {
    let on = |fault| Fault::Device(Some(device(V2)), fault);
    let cases: Vec<(&str, CommandChannel, Vec<Fault>, bool)> = vec![
        ("nothing wrong", CommandChannel::Auto, vec![], true),
        ("old snapshot", CommandChannel::Auto, vec![Fault::FreezeStates], true),
        ("lost ack", CommandChannel::Auto, vec![on(DeviceFault::DropAcks)], true),
        (
            "lost ack, old snapshot",
            CommandChannel::Auto,
            vec![on(DeviceFault::DropAcks), Fault::FreezeStates],
            true,
        ),
        ("late ack", CommandChannel::Auto, vec![on(DeviceFault::DelayAcks(secs(12)))], true),
        ("all twice", CommandChannel::Auto, vec![Fault::Duplicate], true),
        ("ignored", CommandChannel::Auto, vec![on(DeviceFault::IgnoreCommands)], false),
        ("refused", CommandChannel::Auto, vec![on(DeviceFault::Refuse)], false),
        ("only desired", CommandChannel::Structured, vec![Fault::DesiredOnly], false),
        ("structured", CommandChannel::Structured, vec![], true),
    ];
    for (name, channel, faults, applied) in cases {
        for seed in 0..3 {
            let mut world = live(by(channel), seed);
            world.go(secs(60));
            for fault in &faults {
                world.fault(HOUR, fault.clone());
            }
            let shown = RefCell::new(Vec::new());
            watch(&mut world, secs(1), &shown);
            let id = world.ask(V2, set(22.5));
            assert_eq!(world.session.device(device(V2)).unwrap().pending(), set(22.5), "{name}");
            for _ in 0..20 {
                watch(&mut world, Duration::from_millis(600), &shown);
                // A status from before the command arrives after it.
                let old = status(&world, 15, 19.0);
                world.publish_from(V2, old);
            }
            watch(&mut world, secs(120), &shown);
            let expected: &[f64] = if applied { &[19.0, 22.5] } else { &[19.0] };
            assert_eq!(*shown.borrow(), expected, "{name}, seed {seed}");
            assert_eq!(
                world.verdict_on(id).is_confirmed(),
                applied,
                "{name}, seed {seed}: {:?}",
                world.verdict_on(id)
            );
            assert!(world.session.device(device(V2)).unwrap().pending().is_empty());
        }
    }
}

#[test]
fn f31_a_failed_command_is_never_reported_as_confirmed() {
    let on = |fault| Fault::Device(None, fault);
    let mqtt = CommandChannel::Mqtt;
    let structured = CommandChannel::Structured;
    let update = || Endpoint::Structured;
    let cases: Vec<(&str, CommandChannel, Fault)> = vec![
        ("closed with 1005", mqtt, Fault::CloseOnPublish(Closing::Frame(None))),
        ("closed with 1008", mqtt, Fault::CloseOnPublish(Closing::Frame(Some(1008)))),
        ("cut", mqtt, Fault::CloseOnPublish(Closing::Cut)),
        ("swallowed", mqtt, Fault::DropPublishes),
        ("denied", mqtt, Fault::DenyPublish),
        ("black hole", mqtt, Fault::BlackholeIn),
        ("ignored", mqtt, on(DeviceFault::IgnoreCommands)),
        ("refused by the thermostat", mqtt, on(DeviceFault::Refuse)),
        ("offline", mqtt, on(DeviceFault::Offline)),
        ("without power", mqtt, on(DeviceFault::Powerless)),
        ("only desired", structured, Fault::DesiredOnly),
        ("400", structured, Fault::Http(update(), HttpFault::Status(400))),
        ("403", structured, Fault::Http(update(), HttpFault::Html(403))),
        ("500", structured, Fault::Http(update(), HttpFault::Status(500))),
        ("throttled", structured, Fault::Http(update(), HttpFault::Throttle(30))),
        ("hangs", structured, Fault::Http(update(), HttpFault::Hang)),
        ("reset", structured, Fault::Http(update(), HttpFault::Reset)),
        ("portal", structured, Fault::Http(update(), HttpFault::Html(200))),
    ];
    for (name, channel, fault) in cases {
        let mut world = live(by(channel), 31);
        world.go(secs(60));
        world.fault(HOUR, fault);
        let id = world.ask(V2, set(27.5));
        world.go_while(secs(90), |world| {
            assert_ne!(world.shown(V2), Some(27.5), "{name}");
            true
        });
        assert!(!world.verdict_on(id).is_confirmed(), "{name}: {}", world.verdict_on(id));
    }
}

/// A thermostat with shadows holds 22 °C but its report is lost, and it refuses to go back. The request must not make the old value
/// look newly reported.
#[test]
fn f31_an_old_reported_value_does_not_confirm_a_refused_command() {
    for id in ["a0b1c2d3e4fa", "a0b1c2d3e4fb"] {
        let mut spec = CloudSpec::all().without_schedules();
        spec.history_days = 0;
        let mut world = World::new(spec, NetSpec::default(), by(CommandChannel::Structured), 7);
        world.fault(24 * HOUR, Fault::RefuseUpgrade(403));
        world.go(secs(120));
        let first = world.shown(id).unwrap();
        let on = |fault| Fault::Device(Some(device(id)), fault);
        world.fault(HOUR, on(DeviceFault::DropAcks));
        world.fault(HOUR, on(DeviceFault::DropStatuses));
        let warmer = world.ask(id, set(22.0));
        world.go(secs(60));
        assert!(!world.verdict_on(warmer).is_confirmed(), "{id}: {}", world.verdict_on(warmer));
        world.fault(HOUR, on(DeviceFault::Refuse));
        let back = world.ask(id, set(first));
        world.go(secs(60));
        assert!(!world.verdict_on(back).is_confirmed(), "{id}: {}", world.verdict_on(back));
        assert_eq!(world.cloud.truth(device(id)).unwrap().setpoint.as_degrees(), 22.0, "{id}");
    }
}

#[test]
fn f31_a_command_that_the_session_refuses_is_never_sent() {
    let mut world = live(Settings::default(), 31);
    let cases: Vec<(&str, &str, Change)> = vec![
        ("too warm", V2, set(30.5)),
        ("too cold", V2, set(4.5)),
        ("cooling by a baseboard", V1, Change::mode(Mode::Cool)),
        ("a mode without a number", AC, Change::mode(Mode::EmergencyHeat)),
        ("an unknown mode", V2, Change::mode(Mode::Other(17))),
        ("a fan on a baseboard", V2, Change { fan: Some(FanSpeed::AUTO), ..Change::default() }),
        ("nothing", V2, Change::default()),
        ("nobody", "ffffffffffff", set(20.0)),
    ];
    for (name, id, change) in cases {
        let id = world.ask(id, change);
        world.go(secs(1));
        assert!(matches!(world.verdict_on(id), Verdict::Refused(_)), "{name}: {}", world.verdict_on(id));
    }
    assert_eq!(world.commands_on_the_wire(), 0);
    let mut settings = Settings::default();
    settings.read_only = true;
    let mut world = World::new(demo(), NetSpec::default(), settings, 31);
    world.go(secs(30));
    assert_eq!((world.level(), world.reason()), (Level::ReadOnly, Reason::ReadOnlyByChoice));
    let id = world.ask(V2, set(21.0));
    world.go(secs(60));
    assert_eq!(*world.verdict_on(id), Verdict::Refused(Refused::ReadOnlyByChoice));
    assert_eq!(world.commands_on_the_wire(), 0);
}

#[test]
fn f32_every_model_is_sent_its_own_type_and_an_unknown_one_is_sent_nothing() {
    let mut spec = demo();
    let unknown = ["BB-V9-0", "", "bb", "INF-V9-0", "Teapot"];
    let devices = &mut spec.accounts[0].homes[0].devices;
    for (n, model) in unknown.iter().enumerate() {
        devices.push(DeviceSpec::new(device(&format!("b0b1c2d3e4f{n}")), model, "Strange"));
    }
    let mut world = live_with(spec, by(CommandChannel::Mqtt), 32);
    for (id, degrees) in [(V1, 21.0), (V2, 21.0), (LITE, 21.0), (FLOOR, 27.0), (AC, 22.0)] {
        let command = world.ask(id, set(degrees));
        world.go(secs(20));
        assert!(world.verdict_on(command).is_confirmed(), "{id}: {}", world.verdict_on(command));
        let counts = world.cloud.truth(device(id)).unwrap().messages;
        assert_eq!((counts.commands, counts.ignored), (1, 0), "{id}");
    }
    let before = world.commands_on_the_wire();
    for (n, model) in unknown.iter().enumerate() {
        let id = format!("b0b1c2d3e4f{n}");
        if let Model::Known(info) = Model::parse(model) {
            panic!("{model:?} passes for {info:?}");
        }
        let command = world.ask(&id, set(21.0));
        world.go(secs(5));
        let Verdict::Refused(Refused::Model(refusal)) = world.verdict_on(command) else {
            panic!("{model:?}: {}", world.verdict_on(command));
        };
        assert!(matches!(**refusal, InvalidCommand::UnknownModel { .. }), "{model:?}: {refusal}");
    }
    assert_eq!(world.commands_on_the_wire(), before);
}

#[test]
fn f32_a_model_that_takes_no_command_by_mqtt_is_sent_none() {
    let mut spec = demo();
    let third = "b0b1c2d3e4f0";
    spec.accounts[0].homes[0].devices.push(DeviceSpec::new(device(third), "BB-V3-0", "Attic"));
    let mut world = live_with(spec, by(CommandChannel::Mqtt), 32);
    let id = world.ask(third, set(21.0));
    world.go(secs(60));
    let Verdict::Refused(Refused::Model(refusal)) = world.verdict_on(id) else {
        panic!("{}", world.verdict_on(id));
    };
    assert!(matches!(**refusal, InvalidCommand::NoChannel { .. }), "{refusal}");
    assert_eq!(world.commands_on_the_wire(), 0);
}

#[test]
fn f33_an_air_conditioner_is_sent_only_values_that_its_record_lists() {
    let mut world = live(Settings::default(), 33);
    let fan =
        |mode, code| Change { mode: Some(mode), fan: Some(FanSpeed::from_code(code)), ..Change::default() };
    // Numbers that the demo's remote control record lists for each mode.
    let lists: [(Mode, &[u8]); 4] = [
        (Mode::Heat, &[1, 3, 5, 7]),
        (Mode::Cool, &[1, 3, 5, 7]),
        (Mode::FanOnly, &[3, 5, 7]),
        (Mode::Dry, &[1]),
    ];
    for (mode, listed) in lists {
        for code in 1..=8 {
            let sent = world.commands_on_the_wire();
            let id = world.ask(AC, fan(mode, code));
            world.go(secs(20));
            let verdict = world.verdict_on(id).clone();
            if listed.contains(&code) {
                assert!(verdict.is_confirmed(), "{mode:?} {code}: {verdict}");
                continue;
            }
            assert_eq!(world.commands_on_the_wire(), sent, "{mode:?} {code}");
            let Verdict::Refused(Refused::Model(refusal)) = verdict else {
                panic!("{mode:?} {code}: {verdict}")
            };
            let InvalidCommand::FanNotOffered { offered, .. } = *refusal else {
                panic!("{mode:?} {code}: {refusal}")
            };
            let offered: Vec<u8> = offered.iter().map(|fan| fan.code()).collect();
            assert_eq!(offered, listed, "{mode:?} {code}");
        }
    }
}

fn commands_received(world: &World) -> u64 {
    let commands = |id: &str| world.cloud.truth(device(id)).map_or(0, |truth| truth.messages.commands);
    ALL.iter().map(|id| commands(id)).sum::<u64>() + world.cloud.counters().structured_updates
}

#[test]
fn f40_starting_stopping_and_reconnecting_send_nothing_to_thermostats() {
    let mut world = live(Settings::default(), 40);
    let truth = |world: &World| -> Vec<_> {
        ALL.map(|id| world.cloud.truth(device(id)).map(|truth| (truth.setpoint, truth.mode))).to_vec()
    };
    let before = truth(&world);
    for run in 0..8 {
        world.happen(Incident::CloseAll(if run % 2 == 0 {
            Closing::Cut
        } else {
            Closing::Frame(Some(1001))
        }));
        world.go(secs(120));
        // Someone's old retained `set`, delivered to every new subscriber.
        let retained = br#"{"msg":44,"id":1,"time":1600000000,"ver":"1.0","src":{"ref":"x","type":100},"dest":{"ref":"a0b1c2d3e4f6","type":1},"resp":2,"body":{"ver":1,"type":4,"cmd":[{"sp":29.0,"stpt":29.0,"md":3,"tm":-1}]}}"#;
        world.publish_from(V2, retained.to_vec());
        let start = resume(&world, None);
        world.restart(start, run);
        world.go(secs(120));
        assert_eq!(world.level(), Level::Live, "{}", world.session.service());
    }
    world.call(|session, now| session.shutdown(now)).unwrap();
    world.go(secs(60));
    assert_eq!((commands_received(&world), world.commands_on_the_wire()), (0, 0));
    assert_eq!(truth(&world), before);
}

#[test]
fn f40_a_command_from_before_a_restart_is_not_sent_after_it() {
    let mut world = live(Settings::default(), 41);
    let troubles =
        vec![NetTrouble { from: world.now() + secs(1), until: world.now() + secs(60), kind: Trouble::Down }];
    world.set_net(NetSpec { troubles, ..NetSpec::default() });
    world.go(secs(5));
    let sent = world.commands_on_the_wire();
    world.command(device(V2), set(27.0), Some(HOUR)).unwrap();
    world.go(secs(10));
    let start = resume(&world, None);
    world.restart(start, 1);
    world.go(HOUR);
    assert_eq!(world.level(), Level::Live);
    assert_eq!((world.commands_on_the_wire(), commands_received(&world)), (sent, 0));
}

#[test]
fn f41_nothing_dangerous_is_ever_sent() {
    let mut world = live(Settings::default(), 41);
    for round in 0..24 {
        let id = ALL[round % ALL.len()];
        world.happen(Incident::Reboot(device(id)));
        // The session must not act on dangerous messages of other clients either.
        for message in
            [r#"{"MsgType":40}"#, r#"{"MsgType":7,"Device":"x"}"#, r#"{"MsgType":6,"EventType":2}"#]
        {
            world.publish_from(id, message);
        }
        world.ask(id, set(if id == AC { 22.0 } else { 25.0 }));
        world.go(HOUR);
    }
    // The observer fails the run if any of it was sent; the thermostats' own counts confirm it here.
    for id in ALL {
        let truth = world.cloud.truth(device(id)).unwrap();
        assert_eq!((truth.messages.dangerous, truth.unpaired), (0, false), "{id}");
    }
    assert_eq!(world.cloud.counters().dangerous_requests, 0);
}

#[test]
fn f42_a_command_that_is_only_stored_is_not_confirmed() {
    let ignored = Fault::Device(Some(device(V2)), DeviceFault::IgnoreCommands);
    for (channel, fault, reached) in [
        (
            CommandChannel::Structured,
            Fault::DesiredOnly,
            DeliveryStage::Service(mysa_proto::Channel::Structured),
        ),
        (CommandChannel::Mqtt, ignored, DeliveryStage::Service(mysa_proto::Channel::Mqtt)),
    ] {
        let mut world = live(by(channel), 42);
        world.fault(24 * HOUR, fault);
        let asked = world.now();
        let id = world.ask(V2, set(24.0));
        world.go(secs(40));
        let Verdict::Unconfirmed { reached: got, seen, .. } = world.verdict_on(id) else {
            panic!("{channel:?}: {}", world.verdict_on(id));
        };
        assert_eq!(*got, reached, "{channel:?}");
        assert_eq!(*seen, set(19.0), "{channel:?}: the verdict names the setting in force");
        let at = world.verdicts().iter().find(|(_, of, _)| *of == id).unwrap().0;
        assert!(at - asked <= secs(31), "{channel:?}: {:?}", at - asked);
        world.go(HOUR);
        assert_eq!(world.shown(V2), Some(19.0), "{channel:?}");
    }
}

#[test]
fn f43_a_crash_around_a_write_neither_halves_nor_repeats_it() {
    // The client has no call that deletes and then creates: each of its writes is one request. The remaining risk is a
    // process that dies around a write: the write must neither be halved nor be repeated by the next process.
    let mut outcomes = [0, 0];
    for after in (0..400).step_by(20) {
        let mut world = live(by(CommandChannel::Structured), 43);
        world.command(device(V2), set(23.0), None).unwrap();
        world.go(Duration::from_millis(after));
        let start = resume(&world, None);
        world.restart(start, 1);
        world.go(HOUR);
        let asked = world.requests().iter().filter(|(_, request)| request.ends_with("/update")).count();
        assert!(asked <= 1, "{after} ms: {asked}");
        let shown = world.shown(V2).unwrap();
        let truth = world.cloud.truth(device(V2)).unwrap().setpoint.as_hundredths();
        assert!(truth == 1_900 || truth == 2_300, "{after} ms: {truth}");
        assert_eq!(shown, f64::from(truth) / 100.0, "{after} ms: the next run shows the actual setpoint");
        outcomes[usize::from(truth == 2_300)] += 1;
    }
    assert!(outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn f44_cancelled_or_shut_down_at_each_step_a_command_is_unsent_or_unconfirmed() {
    let mut seen = [0; 3];
    for shut_down in [false, true] {
        for channel in [CommandChannel::Mqtt, CommandChannel::Structured] {
            for after in (0..3_400).step_by(110) {
                let mut world = live(by(channel), 44);
                // The first command is sent at once, so the second waits for a while.
                world.command(device(V2), set(21.0), None).unwrap();
                let id = world.command(device(V2), set(23.0), None).unwrap().unwrap();
                world.go(Duration::from_millis(after));
                if shut_down {
                    world.call(|session, now| session.shutdown(now)).unwrap();
                } else {
                    world.call(|session, now| session.cancel(now, id)).unwrap();
                }
                let verdict = world.verdict_on(id).clone();
                world.go(secs(5));
                if shut_down {
                    assert_eq!(world.cloud.clients().count(), 0, "the client sent DISCONNECT");
                    assert_eq!(world.session.poll_timeout(), None);
                }
                world.go(secs(60));
                let truth = world.cloud.truth(device(V2)).unwrap().setpoint.as_hundredths();
                let case = format!("{channel:?}, {after} ms, shut down {shut_down}: {verdict}");
                match verdict {
                    Verdict::Expired(why) => {
                        assert_eq!(
                            why,
                            if shut_down { Expired::ShutDown } else { Expired::Cancelled },
                            "{case}"
                        );
                        assert_ne!(truth, 2_300, "{case}");
                        seen[0] += 1;
                    }
                    Verdict::Unconfirmed { .. } => seen[1] += 1,
                    Verdict::Confirmed { .. } => {
                        assert_eq!(truth, 2_300, "{case}");
                        seen[2] += 1;
                    }
                    _ => panic!("{case}"),
                }
                assert_eq!(world.verdicts().iter().filter(|(_, of, _)| *of == id).count(), 1, "{case}");
            }
        }
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}

#[test]
fn f48_a_write_is_never_replayed_after_an_ambiguous_failure() {
    for (name, fault) in [
        ("hang", HttpFault::Hang),
        ("reset", HttpFault::Reset),
        ("500", HttpFault::Status(500)),
        ("502", HttpFault::Html(502)),
        ("503", HttpFault::Status(503)),
        ("504", HttpFault::Html(504)),
        ("429", HttpFault::Throttle(5)),
        ("408", HttpFault::Status(408)),
        ("portal", HttpFault::Html(200)),
        ("done, and answered too late", HttpFault::Delay(secs(25))),
    ] {
        let mut world = live(by(CommandChannel::Structured), 48);
        let path = Endpoint::Path(format!("/state/{V2}/update"));
        world.fault(secs(60), Fault::Http(path, fault.clone()));
        let id = world.ask(V2, set(24.0));
        let request = rest::set_name(device(V2), "Galley").unwrap();
        world.fault(secs(60), Fault::Http(Endpoint::Path(format!("/devices/{V2}")), fault.clone()));
        world.expect_write(&format!("/devices/{V2}"));
        let write = world.call(|session, now| session.write_settings(now, request)).unwrap().unwrap();
        world.go(HOUR);
        let sent = |end: &str| {
            world
                .requests()
                .iter()
                .filter(|(_, request)| request.starts_with("POST") && request.ends_with(end))
                .count()
        };
        assert_eq!((sent("/update"), sent(&format!("/devices/{V2}"))), (1, 1), "{name}");
        let answers: Vec<_> = world
            .events()
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Response { id, result } if *id == write => Some(result),
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 1, "{name}");
        match name {
            "portal" => {}
            "hang" | "reset" | "done, and answered too late" => {
                assert!(matches!(answers[0], Err(RequestError::Failed(_))), "{name}: {:?}", answers[0]);
            }
            _ => assert!(matches!(answers[0], Err(RequestError::Refused { .. })), "{name}: {:?}", answers[0]),
        }
        let verdict = world.verdict_on(id);
        if matches!(fault, HttpFault::Delay(_)) {
            assert!(
                matches!(
                    verdict,
                    Verdict::Confirmed { by: Evidence::Ack | Evidence::Reported | Evidence::Status, .. }
                ),
                "{verdict}"
            );
        } else {
            assert!(!verdict.is_confirmed(), "{name}: {verdict}");
        }
        assert_eq!(world.level(), Level::Live, "{name}: {}", world.session.service());
    }
}

#[test]
fn f30_an_older_snapshot_is_not_newer_because_the_thermostats_clock_is_slow() {
    let mut spec = demo();
    let slow = Fault::Device(Some(device(V2)), DeviceFault::ClockShift(-300));
    spec.faults = spec.faults.with(Duration::ZERO, 24 * HOUR, slow);
    for seed in 0..3 {
        let mut world = live_with(spec.clone(), Settings::default(), seed);
        world.go(secs(400));
        world.press(device(V2), &set(19.5));
        world.go(secs(100));
        // The cloud's stamp on this is later than the thermostat's on what comes.
        world.fault(HOUR, Fault::FreezeStates);
        let shown = RefCell::new(Vec::new());
        watch(&mut world, secs(1), &shown);
        let id = world.ask(V2, set(22.5));
        watch(&mut world, secs(1_200), &shown);
        assert!(world.verdict_on(id).is_confirmed(), "seed {seed}: {}", world.verdict_on(id));
        assert_eq!(*shown.borrow(), [19.5, 22.5], "seed {seed}");
    }
}

#[test]
fn a_newer_command_replaces_one_that_waits() {
    for channel in [CommandChannel::Mqtt, CommandChannel::Structured] {
        let mut world = live(by(channel), 9);
        let mut ids = Vec::new();
        for degrees in 20..=25 {
            ids.push(world.ask(V2, set(f64::from(degrees))));
            world.go(Duration::from_millis(300));
        }
        world.go(secs(60));
        let last = *ids.last().unwrap();
        assert!(world.verdict_on(last).is_confirmed(), "{channel:?}: {}", world.verdict_on(last));
        for id in ids.iter().filter(|id| **id != last) {
            // The first command was sent at once and may have been confirmed before the next was given.
            let allowed = world.verdict_on(*id).is_confirmed() && *id == ids[0]
                || matches!(world.verdict_on(*id), Verdict::Superseded { .. });
            assert!(allowed, "{channel:?} {id}: {}", world.verdict_on(*id));
        }
        // The first and the last were sent, and none between them.
        let sent_setpoints: Vec<_> =
            world.cloud.command_records(device(V2)).map(|record| record.setpoint).collect();
        assert_eq!(sent_setpoints, [set(20.0).setpoint, set(25.0).setpoint], "{channel:?}");
    }
}
