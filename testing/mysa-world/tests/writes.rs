//! Writes that take effect after their command is over, and evidence for commands: F56 to F60, F78, F79. The
//! world checks the rules after every step; these tests produce the situations that the rules are about.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;

use std::time::Duration;

use common::{
    AC, ALL, Drive as _, FLOOR, HOUR, LITE, V1, V2, demo, device, live, live_with, resume, secs, set, status,
};
use mysa_proto::rest;
use mysa_proto::{Change, FanSpeed, Mode, Swing};
use mysa_session::{
    CommandChannel, CommandId, Event, Expired, Level, Refused, RequestError, Settings, Verdict,
};
use mysa_sim::{Closing, DeviceFault, Endpoint, Fault, HttpFault, Incident};
use mysa_world::{NetSpec, NetTrouble, Trouble, World};

const CHANNELS: [CommandChannel; 3] =
    [CommandChannel::Auto, CommandChannel::Mqtt, CommandChannel::Structured];

fn by(channel: CommandChannel) -> Settings {
    let mut settings = Settings::default();
    settings.channel = channel;
    settings
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn both(mode: Mode, degrees: f64) -> Change {
    Change { mode: Some(mode), ..set(degrees) }
}

/// Setpoint in hundredths of a degree, and mode.
fn truth(world: &World, id: &str) -> (i32, mysa_sim::Mode) {
    let truth = world.cloud.truth(device(id)).unwrap();
    (truth.setpoint.as_hundredths(), truth.mode)
}

fn command(world: &mut World, id: &str, change: Change, deadline: Duration) -> CommandId {
    world.command(device(id), change, Some(deadline)).unwrap().unwrap()
}

fn trouble(world: &mut World, time: Duration, kind: Trouble) {
    // Connections are reset at the moment when the network goes down, so the trouble begins after now.
    let from = world.now() + millis(1);
    let troubles = vec![NetTrouble { from, until: from + time, kind }];
    world.set_net(NetSpec { troubles, ..NetSpec::default() });
}

fn updates(world: &World, id: &str) -> usize {
    let end = format!("/state/{id}/update");
    world.requests().iter().filter(|(_, request)| request.ends_with(&end)).count()
}

#[test]
fn f56_a_decided_command_is_not_repeated_after_any_loss() {
    // Only the PUBACK is lost; the thermostat's acknowledgement arrives.
    for (id, first, second) in [
        (V2, set(25.0), set(18.0)),
        (V1, set(18.5), set(24.5)),
        (LITE, both(Mode::Heat, 24.0), Change::mode(Mode::Off)),
        (FLOOR, Change::mode(Mode::Off), both(Mode::Heat, 27.0)),
        (AC, both(Mode::Heat, 25.0), both(Mode::Cool, 20.0)),
    ] {
        for (end, after) in [
            ("newer", 3_000),
            ("newer", 5_200),
            ("newer", 11_000),
            ("cancel", 50),
            ("cancel", 4_900),
            ("deadline", 0),
        ] {
            let mut world = live(by(CommandChannel::Mqtt), 56);
            world.go(secs(60));
            world.fault(secs(90), Fault::DropPubacks);
            let deadline = if end == "deadline" { secs(4) } else { secs(60) };
            let older = command(&mut world, id, first, deadline);
            world.go(millis(after));
            let newer = match end {
                "newer" => Some(world.ask(id, second)),
                "cancel" => {
                    world.cancel(older).unwrap();
                    None
                }
                _ => None,
            };
            world.go(secs(120));
            let wanted = if newer.is_some() { second } else { first };
            let (degrees, mode) = truth(&world, id);
            let case = format!("{id}, {first} then {second}, {end} after {after} ms");
            let applied = newer.is_some() || world.cloud.command_records(device(id)).count() > 0;
            if applied {
                if let Some(setpoint) = wanted.setpoint {
                    assert_eq!(degrees, setpoint.as_hundredths(), "{case}");
                }
                if wanted.mode == Some(Mode::Off) {
                    assert_eq!(mode, mysa_sim::Mode::Off, "{case}");
                }
            }
            if let Some(newer) = newer {
                assert!(world.verdict_on(newer).is_confirmed(), "{case}: {}", world.verdict_on(newer));
            }
        }
    }
}

#[test]
fn f56_a_write_that_waits_for_tokens_expires_with_its_command() {
    for end in ["newer", "cancel", "deadline", "shut down"] {
        for fault in [HttpFault::Status(500), HttpFault::Hang, HttpFault::Reset] {
            let mut world = live(by(CommandChannel::Structured), 56);
            world.go(secs(60));
            // The token is void, and no new one is available for two hours.
            world.fault(2 * HOUR, Fault::Http(Endpoint::Refresh, fault.clone()));
            world.happen(Incident::ExpireTokens);
            let older = command(&mut world, V2, set(27.0), secs(30));
            world.go(secs(8));
            match end {
                "newer" => _ = command(&mut world, V2, set(18.0), secs(20)),
                "cancel" => world.cancel(older).unwrap(),
                "shut down" => world.call(|session, now| session.shutdown(now)).unwrap(),
                _ => {}
            }
            world.go(3 * HOUR);
            let case = format!("{end}, {fault:?}");
            assert_eq!(truth(&world, V2).0, 1_900, "{case}");
            assert!(updates(&world, V2) <= 1, "{case}: {}", updates(&world, V2));
            assert!(!world.verdict_on(older).is_confirmed(), "{case}: {}", world.verdict_on(older));
        }
    }
}

/// A lost packet is sent again after a pause that grows with each attempt, while reports arrive as before. The world fails the
/// test if bytes leave the host after the verdict.
#[test]
fn f56_bytes_that_wait_in_the_host_do_not_leave_it_after_the_verdict() {
    let after = |begin, lasts, deadline, acknowledged: bool| {
        let mut world = live(by(CommandChannel::Mqtt), 59);
        world.go(secs(60));
        if !acknowledged {
            world.fault(secs(60), Fault::DropPubacks);
        }
        world.fault(secs(60), Fault::Device(Some(device(V2)), DeviceFault::DropAcks));
        world.fault(secs(60), Fault::Device(Some(device(V2)), DeviceFault::IgnoreCommands));
        world.fault(secs(60), Fault::FreezeStates);
        let id = command(&mut world, V2, set(25.0), deadline);
        world.go(begin);
        trouble(&mut world, lasts, Trouble::Unsent);
        for _ in 0..240 {
            // Another thermostat is heard all the time.
            let report = status(&world, LITE, r#""ambTemp":20.5"#);
            world.publish_from(LITE, report);
            world.go(millis(250));
        }
        assert!(matches!(world.verdict_on(id), Verdict::Unconfirmed { .. }), "{}", world.verdict_on(id));
    };
    for begin in [0, 20, 1_500, 4_990, 5_990] {
        for lasts in [1, 3, 9, 30] {
            for deadline in [4, 8, 13] {
                for acknowledged in [false, true] {
                    after(millis(begin), secs(lasts), secs(deadline), acknowledged);
                }
            }
        }
    }
}

#[test]
fn f56_a_request_that_waits_in_the_host_does_not_leave_it_after_the_deadline() {
    for lasts in [3, 6, 15, 19, 30] {
        for deadline in [4, 8, 13, 30] {
            let mut world = live(by(CommandChannel::Structured), 60);
            world.go(secs(60));
            trouble(&mut world, secs(lasts), Trouble::Unsent);
            world.go(millis(1));
            let older = command(&mut world, V2, set(25.0), secs(deadline));
            world.go(secs(deadline));
            let newer = command(&mut world, V2, set(18.0), secs(60));
            world.go(secs(60));
            let case = format!("{deadline} s, unsent for {lasts} s");
            assert_eq!(world.verdict_on(older).is_confirmed(), lasts < deadline.min(20), "{case}");
            assert!(world.verdict_on(newer).is_confirmed(), "{case}: {}", world.verdict_on(newer));
            assert_eq!(truth(&world, V2).0, 1_800, "{case}");
        }
    }
}

#[test]
fn f56_a_request_that_waits_in_the_host_does_not_leave_it_after_its_command_is_given_up() {
    for case in ["cancelled", "signed out"] {
        for lasts in [3, 9, 19] {
            let mut world = live(by(CommandChannel::Structured), 61);
            world.go(secs(60));
            let before = truth(&world, V2).0;
            trouble(&mut world, secs(lasts), Trouble::Unsent);
            world.go(millis(1));
            let id = command(&mut world, V2, set(25.0), secs(60));
            world.go(secs(1));
            match case {
                "cancelled" => world.cancel(id).unwrap(),
                _ => world.call(|session, now| session.sign_out(now)).unwrap(),
            }
            world.go(secs(60));
            let case = format!("{case}, unsent for {lasts} s");
            assert_eq!(updates(&world, V2), 1, "{case}");
            assert!(
                matches!(world.verdict_on(id), Verdict::Unconfirmed { .. }),
                "{case}: {}",
                world.verdict_on(id)
            );
            assert_eq!(truth(&world, V2).0, before, "{case}");
        }
    }
}

/// The bytes of the older command may leave the host while the newer one waits, but not after the newer one is sent.
#[test]
fn f56_a_request_that_waits_in_the_host_never_follows_that_of_a_newer_command() {
    for lasts in [3, 9, 19, 30] {
        for wait in [200, 2_600, 6_000] {
            let mut world = live(by(CommandChannel::Structured), 62);
            world.go(secs(60));
            trouble(&mut world, secs(lasts), Trouble::Unsent);
            world.go(millis(1));
            let older = command(&mut world, V2, set(25.0), secs(90));
            world.go(millis(wait));
            let newer = command(&mut world, V2, set(18.0), secs(90));
            world.go(secs(120));
            let case = format!("unsent for {lasts} s, newer after {wait} ms");
            let (older, newer) = (world.verdict_on(older), world.verdict_on(newer));
            assert!(newer.is_confirmed(), "{case}: {newer}");
            assert!(
                matches!(older, Verdict::Superseded { .. } | Verdict::Confirmed { .. }),
                "{case}: {older}"
            );
            assert_eq!(truth(&world, V2).0, 1_800, "{case}");
        }
    }
}

#[test]
fn f56_writes_to_one_thermostat_are_sent_in_sequence() {
    let after = |fault| HttpFault::AfterServing(Box::new(fault));
    for (name, fault) in [
        ("hangs", HttpFault::Hang),
        ("done, hangs", after(HttpFault::Hang)),
        ("late", HttpFault::Delay(secs(12))),
        ("401", HttpFault::Status(401)),
        ("done, reset", after(HttpFault::Reset)),
        ("held back", HttpFault::Status(0)),
    ] {
        for wait in [200, 2_600, 6_000] {
            let mut world = live(by(CommandChannel::Structured), 57);
            world.go(secs(60));
            if name == "held back" {
                trouble(&mut world, secs(9), Trouble::WritesHeldBack);
            } else {
                world.fault(secs(5), Fault::Http(Endpoint::StructuredWrite, fault.clone()));
            }
            let older = command(&mut world, V2, set(25.0), secs(60));
            world.go(millis(wait));
            let newer = command(&mut world, V2, set(18.0), secs(90));
            world.go(secs(200));
            let case = format!("{name}, newer after {wait} ms");
            let allowed = match world.verdict_on(older) {
                Verdict::Superseded { .. } | Verdict::Confirmed { .. } => true,
                // The service answered 401 twice, with an old token and with a new one.
                Verdict::Refused(Refused::Service { status, .. }) => *status == 401 && name == "401",
                _ => false,
            };
            assert!(allowed, "{case}: {}", world.verdict_on(older));
            assert!(world.verdict_on(newer).is_confirmed(), "{case}: {}", world.verdict_on(newer));
            assert_eq!(truth(&world, V2).0, 1_800, "{case}");
        }
    }
}

#[test]
fn f56_a_full_request_queue_delays_a_command_and_sends_no_two_at_once() {
    let mut world = live(by(CommandChannel::Structured), 58);
    world.go(secs(60));
    world.fault(secs(15), Fault::Http(Endpoint::Path("/capabilities/".into()), HttpFault::Hang));
    world.fill_request_line(device(V2)).unwrap();
    let older = command(&mut world, V2, set(25.0), secs(120));
    world.go(secs(3));
    let newer = command(&mut world, V2, set(18.0), secs(120));
    world.go(secs(200));
    assert!(world.verdict_on(newer).is_confirmed(), "{}", world.verdict_on(newer));
    assert!(!matches!(world.verdict_on(older), Verdict::Expired(_)), "{}", world.verdict_on(older));
    assert_eq!(truth(&world, V2).0, 1_800);
}

#[test]
fn f57_a_command_is_not_sent_after_its_host_slept_through_its_deadline() {
    for channel in CHANNELS {
        for counted in [false, true] {
            for (sleep, left) in [(secs(8 * 3_600), 25), (secs(45), 5), (secs(31), 29), (secs(120), 3)] {
                let mut world = live(by(channel), 57);
                world.go(secs(60));
                trouble(&mut world, secs(29), Trouble::Down);
                world.go(secs(1));
                let id = command(&mut world, V2, set(27.0), secs(30));
                world.go(secs(30 - left));
                if counted {
                    world.freeze(sleep);
                } else {
                    world.suspend(sleep);
                }
                world.go(sleep + HOUR);
                let case = format!("{channel:?}, counted {counted}, {sleep:?}");
                assert_eq!(*world.verdict_on(id), Verdict::Expired(Expired::Deadline), "{case}");
                assert_eq!(truth(&world, V2).0, 1_900, "{case}");
                assert_eq!(world.commands_on_the_wire(), 0, "{case}");
            }
        }
    }
}

#[test]
fn f57_a_command_sent_before_a_sleep_is_not_repeated_after_it() {
    for (sleep, counted) in [(secs(40), false), (secs(6 * 3_600), false), (secs(40), true)] {
        let mut world = live(by(CommandChannel::Mqtt), 58);
        world.go(secs(60));
        world.fault(30 * HOUR, Fault::DropPubacks);
        world.fault(30 * HOUR, Fault::Device(Some(device(V2)), DeviceFault::DropAcks));
        world.ask(V2, set(27.0));
        world.go(millis(700));
        if counted {
            world.freeze(sleep);
        } else {
            world.suspend(sleep);
        }
        world.press(device(V2), &set(16.0));
        world.go(sleep + HOUR);
        assert_eq!(truth(&world, V2).0, 1_600, "{sleep:?}");
    }
}

#[test]
fn f58_fields_seen_at_different_times_confirm_nothing() {
    // {heat, 22} never holds: the thermostat is first off at 22, then off at 16, then heating at 16. A status shows the
    // first state, REST the last.
    for (setpoint, other) in [(22.0, 16.0), (25.5, 18.0), (20.0, 24.0)] {
        for channel in CHANNELS {
            for gap in [300, 900, 1_600] {
                let mut spec = demo();
                spec.accounts[0].homes[0].devices[1].mode = mysa_sim::Mode::Off;
                let mut world = live_with(spec, by(channel), 58);
                world.go(secs(60));
                assert_eq!(truth(&world, V2).1, mysa_sim::Mode::Off);
                world.fault(HOUR, Fault::Device(Some(device(V2)), DeviceFault::IgnoreCommands));
                let id = world.ask(V2, both(Mode::Heat, setpoint));
                world.go(millis(gap));
                world.press(device(V2), &set(setpoint));
                world.go(millis(gap));
                let body = format!(r#""ambTemp":18.6,"hum":40.0,"stpt":{setpoint:?},"dtyCycle":0.0"#);
                let text = status(&world, V2, &body);
                world.publish_from(V2, text);
                world.go(millis(gap));
                world.press(device(V2), &set(other));
                world.go(millis(gap));
                world.press(device(V2), &Change::mode(Mode::Heat));
                world.go(secs(60));
                let verdict = world.verdict_on(id);
                assert!(!verdict.is_confirmed(), "{setpoint}, {other}, {channel:?}, {gap} ms: {verdict}");
            }
        }
    }
}

#[test]
fn f58_an_old_state_is_no_evidence_despite_a_wrong_date_header() {
    for shift in [-86_400, -3_600, -300, 86_400] {
        for channel in CHANNELS {
            let mut world = live(by(channel), 59);
            world.go(secs(60));
            world.press(device(V2), &set(22.0));
            world.go(secs(30));
            // From now on REST always shows 22, and one of its hosts has a wrong clock.
            world.fault(4 * HOUR, Fault::FreezeStates);
            world.go(700 * secs(1));
            world.press(device(V2), &set(19.0));
            world.fault(4 * HOUR, Fault::DateShift(Endpoint::LegacyHost, shift));
            world.go(1_300 * secs(1));
            world.fault(HOUR, Fault::Device(Some(device(V2)), DeviceFault::IgnoreCommands));
            let id = world.ask(V2, set(22.0));
            world.go(secs(90));
            let verdict = world.verdict_on(id);
            assert!(!verdict.is_confirmed(), "{shift}, {channel:?}: {verdict}");
        }
    }
}

/// The thermostat and the cloud disagree, because the acknowledgement of another client's command was lost.
#[test]
fn f58_an_old_fan_speed_and_swing_confirm_nothing() {
    for channel in CHANNELS {
        let mut world = live(by(channel), 60);
        let change = Change {
            fan: Some(FanSpeed::from_code(5)),
            swing_vertical: Some(Swing::from_code(4)),
            ..Change::default()
        };
        let id = world.ask(AC, change);
        world.go(secs(60));
        assert!(world.verdict_on(id).is_confirmed(), "{channel:?}: {}", world.verdict_on(id));
        world.fault(HOUR, Fault::Device(Some(device(AC)), DeviceFault::DropAcks));
        let other = r#"{"msg":44,"id":7,"body":{"ver":1,"type":2,"cmd":[{"tm":-1,"fn":3,"ss":6}]}}"#;
        world.happen(Incident::Publish(format!("/v1/dev/{AC}/in"), other.into()));
        world.go(secs(60));
        world.fault(HOUR, Fault::Device(Some(device(AC)), DeviceFault::IgnoreCommands));
        let id = world.ask(AC, change);
        world.go(secs(60));
        let held = world.cloud.held(device(AC)).unwrap();
        assert_eq!((held.fan, held.swing.0), (3, 6), "{channel:?}");
        let verdict = world.verdict_on(id);
        assert!(!verdict.is_confirmed(), "{channel:?}: {verdict}");
    }
}

#[test]
fn f59_a_read_only_session_writes_nothing() {
    for channel in CHANNELS {
        let mut settings = by(channel);
        settings.read_only = true;
        let mut world = World::new(demo(), NetSpec::default(), settings, 59);
        world.go(secs(60));
        let before: Vec<_> = ALL.map(|id| truth(&world, id)).to_vec();
        for id in ALL {
            let asked = world.ask(id, set(24.0));
            world.go(secs(1));
            let verdict = world.verdict_on(asked);
            assert!(matches!(verdict, Verdict::Refused(Refused::ReadOnlyByChoice)), "{id}: {verdict}");
            for write in [
                rest::set_name(device(id), "Galley").unwrap(),
                rest::set_lock(device(id), true),
                rest::set_brightness(device(id), 5, 50).unwrap(),
            ] {
                let number = world.call(|session, now| session.write_settings(now, write)).unwrap().unwrap();
                world.go(secs(5));
                let answer = world.events().iter().find_map(|(_, event)| match event {
                    Event::Response { id, result } if *id == number => Some(result.clone()),
                    _ => None,
                });
                assert!(matches!(answer, Some(Err(RequestError::ReadOnly))), "{id}: {answer:?}");
            }
        }
        world.go(HOUR);
        let counters = world.cloud.counters();
        assert_eq!((counters.settings_writes, counters.structured_updates), (0, 0));
        assert_eq!(world.commands_on_the_wire(), 0);
        assert_eq!(ALL.map(|id| truth(&world, id)).to_vec(), before);
    }
}

#[test]
fn f60_several_thermostats_at_once_all_apply_their_commands() {
    for window in [300, 900, 2_000, 3_500] {
        for ids in [&[V1, V2, LITE, FLOOR][..], &[V2, AC][..], &ALL[..]] {
            let mut world = live(Settings::default(), 60);
            world.go(secs(60));
            world.fault(HOUR, Fault::DropBursts(millis(window)));
            let asked: Vec<CommandId> = ids
                .iter()
                .map(|id| command(&mut world, id, set(if *id == AC { 23.0 } else { 22.5 }), secs(60)))
                .collect();
            world.go(secs(70));
            for (id, asked) in ids.iter().zip(&asked) {
                let verdict = world.verdict_on(*asked);
                assert!(verdict.is_confirmed(), "{window} ms, {} at once, {id}: {verdict}", ids.len());
                assert_eq!(truth(&world, id).0, if *id == AC { 2_300 } else { 2_250 }, "{id}");
            }
        }
    }
}

#[test]
fn f60_only_the_newest_command_is_repeated() {
    let mut world = live(Settings::default(), 61);
    world.go(secs(60));
    world.fault(HOUR, Fault::Device(Some(device(V2)), DeviceFault::IgnoreCommands));
    let older = command(&mut world, V2, set(25.0), secs(60));
    world.go(secs(7));
    let newer = command(&mut world, V2, set(18.0), secs(60));
    world.go(secs(3));
    world.cloud.clear_faults();
    world.go(secs(120));
    assert!(matches!(world.verdict_on(older), Verdict::Superseded { .. }), "{}", world.verdict_on(older));
    assert!(world.verdict_on(newer).is_confirmed(), "{}", world.verdict_on(newer));
    assert_eq!(truth(&world, V2).0, 1_800);
}

#[test]
fn f78_a_single_command_where_publishing_is_denied_is_sent_by_the_other_channel_in_time() {
    for (name, fault) in [
        ("denied", Fault::DenyPublish),
        ("closed, 1005", Fault::CloseOnPublish(Closing::Frame(None))),
        ("cut", Fault::CloseOnPublish(Closing::Cut)),
        ("swallowed", Fault::DropPublishes),
    ] {
        for id in [V2, LITE, FLOOR] {
            let mut spec = demo();
            spec.faults = spec.faults.with(Duration::ZERO, 48 * HOUR, fault.clone());
            let mut world = World::new(spec, NetSpec::default(), Settings::default(), 78);
            // One process per command: it starts without cached state and ends with its command.
            for (n, degrees) in [24.0, 25.0, 23.0].into_iter().enumerate() {
                if n > 0 {
                    let start = resume(&world, None);
                    world.restart(start, n as u64);
                }
                assert!(world.go_while(secs(60), |world| world.session.device(device(id)).is_none()
                    || world.level() > Level::ReadOnly));
                let asked = world.ask(id, set(degrees));
                world.go(secs(31));
                let verdict = world.verdict_on(asked);
                assert!(verdict.is_confirmed(), "{name}, {id}, process {n}: {verdict}");
                assert_eq!(f64::from(truth(&world, id).0) / 100.0, degrees, "{name}, {id}");
                world.call(|session, now| session.shutdown(now)).unwrap();
                world.go(secs(5));
            }
            assert!(world.stored().unwrap().publish_denied_at.is_some(), "{name}: the denial is stored");
        }
    }
}

#[test]
fn f79_a_value_already_in_force_is_confirmed() {
    for channel in CHANNELS {
        for (id, change) in [
            (V2, set(19.0)),
            (V2, both(Mode::Heat, 19.0)),
            (LITE, Change::mode(Mode::Heat)),
            (V2, Change { lock: Some(false), ..Change::default() }),
        ] {
            for wait in [2, 120, 1_800] {
                let mut world = live(by(channel), 79);
                let (degrees, mode) = truth(&world, id);
                let change = Change {
                    setpoint: change.setpoint.map(|_| mysa_proto::Celsius::from_hundredths(degrees)),
                    ..change
                };
                assert_eq!(mode, mysa_sim::Mode::Heat);
                world.go(secs(wait));
                let asked = world.ask(id, change);
                world.go(secs(31));
                let verdict = world.verdict_on(asked);
                assert!(verdict.is_confirmed(), "{channel:?}, {id}, {change}, after {wait} s: {verdict}");
            }
        }
    }
}

#[test]
fn f79_a_value_that_has_just_changed_is_not_already_in_force() {
    // A person changes the setpoint at the thermostat, and no message reports it.
    for channel in CHANNELS {
        let mut world = live(by(channel), 80);
        world.go(secs(400));
        world.fault(HOUR, Fault::Device(Some(device(V2)), DeviceFault::DropStatuses));
        world.fault(HOUR, Fault::FreezeStates);
        trouble(&mut world, secs(3), Trouble::BlackHoleOut);
        world.press(device(V2), &set(25.0));
        world.go(secs(4));
        let asked = world.ask(V2, set(19.0));
        world.go(secs(60));
        if world.verdict_on(asked).is_confirmed() {
            assert_eq!(truth(&world, V2).0, 1_900, "{channel:?}: {}", world.verdict_on(asked));
        }
        let text = status(&world, V2, r#""ambTemp":18.6,"hum":40.0,"stpt":25.0,"dtyCycle":0.0"#);
        world.publish_from(V2, text);
        world.go(secs(10));
    }
}
