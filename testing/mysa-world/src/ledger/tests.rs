use mysa_proto::{Celsius, FanSpeed, Mode, Swing};
use mysa_session::{DeliveryStage, Evidence, Expired};

use super::*;
use crate::writes::{asked, mode_number};

const DEADLINE: Duration = Duration::from_secs(30);
const TRUTH: Truth = Truth { setpoint: 2_000, mode: 3, lock: false, fan: 1, swing: (3, 3) };

fn device() -> DeviceId {
    DeviceId::new("a0b1c2d3e4f6").unwrap()
}

/// Ids of commands and requests, which only a session creates.
struct Names {
    commands: Vec<CommandId>,
    requests: Vec<HttpId>,
}

fn names() -> Names {
    let mut world = crate::World::new(
        mysa_sim::CloudSpec::demo(),
        crate::NetSpec::default(),
        mysa_session::Settings::default(),
        1,
    );
    let now = world.host_now();
    let mut commands = Vec::new();
    for _ in 0..4 {
        commands.push(world.session.command(now, device(), Change::default(), None).unwrap());
    }
    let mut requests = Vec::new();
    while requests.len() < 4 {
        while let Some(output) = world.session.poll_output() {
            if let mysa_session::Output::Http(request) = output {
                requests.push(request.id);
                let result = mysa_session::HttpResult::Failed(mysa_session::HttpFailure::Broken);
                let now = world.host_now();
                world.session.handle_http(now, request.id, result);
            }
        }
        let due = world.session.poll_timeout().unwrap().at;
        world.now = due.max(world.now);
        let now = world.host_now();
        world.session.handle_timeout(now);
    }
    Names { commands, requests }
}

fn setpoint(degrees: i32) -> Change {
    Change::setpoint(Celsius::from_hundredths(degrees * 100))
}

fn wire(change: &Change) -> Settings {
    let wire = |(setting, asked)| match asked {
        Asked::Exactly(value) => (setting, value),
        other => panic!("{other:?}"),
    };
    asked(change, None).into_iter().map(wire).collect()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A ledger in which these commands were asked for, one per second.
fn ledger(names: &Names, changes: &[Change]) -> Ledger {
    let mut ledger = Ledger::default();
    for (n, (id, change)) in names.commands.iter().zip(changes).enumerate() {
        let times = (secs(n as u64), DEADLINE);
        ledger.issue(*id, device(), *change, asked(change, None), times);
        ledger.overtake(*id);
    }
    ledger
}

fn send(ledger: &mut Ledger, at: u64, carrier: Carrier, change: &Change) -> Result<u64, Violation> {
    ledger.transmit(secs(at), device(), carrier, &wire(change), &[])
}

fn confirmed() -> Verdict {
    Verdict::Confirmed { by: Evidence::Ack, after: secs(1), effect: mysa_session::Effect::Changed }
}

#[test]
fn a_value_that_no_command_asks_for_is_detected() {
    let names = names();
    let mut empty = Ledger::default();
    assert!(matches!(
        send(&mut empty, 1, Carrier::Message(1), &setpoint(20)),
        Err(Violation::Unrequested { .. })
    ));
    let mut one = ledger(&names, &[setpoint(20)]);
    for wrong in [setpoint(21), Change::mode(Mode::Off), Change { mode: Some(Mode::Heat), ..setpoint(20) }] {
        assert!(
            matches!(send(&mut one, 1, Carrier::Message(1), &wrong), Err(Violation::Unrequested { .. })),
            "{wrong}"
        );
    }
    send(&mut one, 1, Carrier::Message(1), &setpoint(20)).unwrap();
    // A command that was cancelled before it was sent must never be sent.
    let mut gone = ledger(&names, &[setpoint(20)]);
    gone.decide(secs(0), names.commands[0], &Verdict::Expired(Expired::Cancelled)).unwrap();
    assert!(matches!(
        send(&mut gone, 1, Carrier::Message(1), &setpoint(20)),
        Err(Violation::AfterVerdict { .. })
    ));
}

#[test]
fn an_older_command_after_a_newer_one_is_detected_on_every_channel() {
    let names = names();
    for (first, second) in [
        (Carrier::Message(1), Carrier::Message(1)),
        (Carrier::Message(1), Carrier::Message(3)),
        (Carrier::Message(1), request(&names, 0)),
    ] {
        let mut ledger = ledger(&names, &[setpoint(20)]);
        send(&mut ledger, 1, first, &setpoint(20)).unwrap();
        let newer = setpoint(22);
        ledger.issue(names.commands[1], device(), newer, asked(&newer, None), (secs(2), DEADLINE));
        ledger.overtake(names.commands[1]);
        let found = send(&mut ledger, 3, second, &setpoint(20));
        assert!(matches!(found, Err(Violation::OlderAfterNewer { .. })), "{second:?}: {found:?}");
        send(&mut ledger, 3, Carrier::Message(2), &newer).unwrap();
        let found = send(&mut ledger, 4, second, &setpoint(20));
        assert!(matches!(found, Err(Violation::OlderAfterNewer { .. })), "{second:?}: {found:?}");
    }
}

fn request(names: &Names, n: usize) -> Carrier {
    Carrier::Request(names.requests[n])
}

#[test]
fn a_transmission_after_the_verdict_is_detected() {
    let names = names();
    let open = Verdict::Unconfirmed {
        reached: DeliveryStage::Wire(mysa_proto::Channel::Mqtt),
        seen: Change::default(),
        after: DEADLINE,
    };
    for verdict in [confirmed(), open] {
        for carrier in [Carrier::Message(2), request(&names, 0)] {
            let mut ledger = ledger(&names, &[setpoint(20)]);
            send(&mut ledger, 1, Carrier::Message(1), &setpoint(20)).unwrap();
            ledger.decide(secs(0), names.commands[0], &verdict).unwrap();
            let found = send(&mut ledger, 2, carrier, &setpoint(20));
            assert!(matches!(found, Err(Violation::AfterVerdict { .. })), "{carrier:?}: {found:?}");
            assert!(matches!(
                ledger.decide(secs(0), names.commands[0], &verdict),
                Err(Violation::SecondVerdict(_))
            ));
        }
    }
}

#[test]
fn a_verdict_that_calls_a_sent_command_unsent_is_detected() {
    let names = names();
    let mqtt = DeliveryStage::Wire(mysa_proto::Channel::Mqtt);
    let superseded = |reached| Verdict::Superseded { by: names.commands[1], reached };
    for (verdict, says_unsent) in [
        (Verdict::Expired(Expired::Deadline), true),
        (superseded(None), true),
        (superseded(Some(mqtt)), false),
        (Verdict::Refused(Refused::NotPermitted), true),
        (Verdict::Refused(Refused::Device), false),
        (Verdict::Refused(Refused::Service { status: 403, retry_after: None }), false),
        (Verdict::Unconfirmed { reached: mqtt, seen: Change::default(), after: DEADLINE }, false),
    ] {
        for is_sent in [false, true] {
            let mut ledger = ledger(&names, &[setpoint(20)]);
            if is_sent {
                send(&mut ledger, 1, Carrier::Message(1), &setpoint(20)).unwrap();
            }
            let found = ledger.decide(secs(2), names.commands[0], &verdict);
            let seen = matches!(found, Err(Violation::FalselyUnsent(_)));
            assert_eq!(seen, is_sent && says_unsent, "{verdict:?}, sent: {is_sent}");
        }
    }
}

#[test]
fn a_transmission_past_the_deadline_is_detected() {
    let names = names();
    let mut ledger_one = ledger(&names, &[setpoint(20)]);
    send(&mut ledger_one, 30, Carrier::Message(1), &setpoint(20)).unwrap();
    assert_eq!(
        send(&mut ledger_one, 31, Carrier::Message(1), &setpoint(20)),
        Err(Violation::TooLate { command: names.commands[0].to_string(), late: secs(1) })
    );
    // A client whose clock was set back cannot count the time.
    let mut set_back = ledger(&names, &[setpoint(20)]);
    set_back.clock_set_back();
    send(&mut set_back, 31, Carrier::Message(1), &setpoint(20)).unwrap();
}

#[test]
fn a_command_is_repeated_three_times_by_mqtt_and_sent_once_by_the_other_channel() {
    let names = names();
    let mut ledger_one = ledger(&names, &[setpoint(20)]);
    for id in 1..=4 {
        send(&mut ledger_one, id, Carrier::Message(id), &setpoint(20)).unwrap();
        send(&mut ledger_one, id, Carrier::Message(id), &setpoint(20)).unwrap();
    }
    let found = send(&mut ledger_one, 5, Carrier::Message(5), &setpoint(20));
    assert!(matches!(found, Err(Violation::AskedTooOften { times: 5, .. })), "{found:?}");
    let mut switched = ledger(&names, &[setpoint(20)]);
    send(&mut switched, 1, Carrier::Message(1), &setpoint(20)).unwrap();
    send(&mut switched, 2, request(&names, 0), &setpoint(20)).unwrap();
    let found = send(&mut switched, 3, Carrier::Message(2), &setpoint(20));
    assert!(matches!(found, Err(Violation::SwitchedBack { .. })), "{found:?}");
}

#[test]
fn a_request_is_repeated_only_if_it_was_not_carried_out_and_never_beside_another() {
    let names = names();
    let mut parallel = ledger(&names, &[setpoint(20)]);
    send(&mut parallel, 1, request(&names, 0), &setpoint(20)).unwrap();
    let newer = setpoint(22);
    parallel.issue(names.commands[1], device(), newer, asked(&newer, None), (secs(2), DEADLINE));
    let found = send(&mut parallel, 3, request(&names, 1), &newer);
    assert_eq!(found, Err(Violation::ParallelWrites { device: device() }));
    for done in [false, true] {
        let mut ledger = ledger(&names, &[setpoint(20)]);
        send(&mut ledger, 1, request(&names, 0), &setpoint(20)).unwrap();
        ledger.answered(names.requests[0], done);
        let found = send(&mut ledger, 2, request(&names, 1), &setpoint(20));
        let seen = matches!(found, Err(Violation::RepeatedAfterOpenEnd { .. }));
        assert_eq!(seen, done, "{found:?}");
    }
    for done in [false, true] {
        let mut ledger = Ledger::default();
        let path = "/devices/a0b1c2d3e4f6";
        assert!(matches!(ledger.write(names.requests[0], path), Err(Violation::UnrequestedCall { .. })));
        ledger.expect(path);
        ledger.write(names.requests[0], path).unwrap();
        ledger.answered(names.requests[0], done);
        let found = ledger.write(names.requests[1], path);
        assert_eq!(matches!(found, Err(Violation::RepeatedAfterOpenEnd { .. })), done, "{found:?}");
    }
}

#[test]
fn a_confirmed_command_was_held_as_a_whole_at_one_moment_since_its_sending() {
    let names = names();
    let both = Change { mode: Some(Mode::Heat), ..setpoint(22) };
    let truth = |degrees: i64, mode: i64| Truth { setpoint: degrees * 100, mode, ..TRUTH };
    for (before, after, expected) in [
        (vec![], vec![truth(22, 3)], true),
        (vec![truth(22, 3)], vec![truth(16, 3)], false),
        (vec![], vec![truth(22, 1), truth(16, 3)], false),
        (vec![], vec![Truth { setpoint: 2_150, mode: 3, ..TRUTH }], false),
        (vec![], vec![], false),
    ] {
        let mut ledger = ledger(&names, &[both]);
        for truth in &before {
            ledger.sample(device(), truth);
        }
        send(&mut ledger, 1, Carrier::Message(1), &both).unwrap();
        for truth in &after {
            ledger.sample(device(), truth);
        }
        let (_, issued) = ledger.decide(secs(0), names.commands[0], &confirmed()).unwrap();
        assert_eq!(Ledger::was_true(issued), expected, "{before:?} {after:?}");
    }
    // Settings that a newer command asks for no longer count for the older one.
    let mut two = ledger(&names, &[both, setpoint(18)]);
    send(&mut two, 2, Carrier::Message(1), &Change { mode: Some(Mode::Heat), ..setpoint(18) }).unwrap();
    two.sample(device(), &truth(18, 3));
    let (_, issued) = two.decide(secs(0), names.commands[0], &confirmed()).unwrap();
    assert!(Ledger::was_true(issued));
}

#[test]
fn a_confirmed_fan_speed_and_swing_were_held_since_their_sending() {
    let names = names();
    let air = Change {
        fan: Some(FanSpeed::from_code(5)),
        swing_vertical: Some(Swing::from_code(4)),
        swing_horizontal: Some(Swing::from_code(6)),
        ..Change::default()
    };
    let asked_for = Truth { fan: 5, swing: (4, 6), ..TRUTH };
    for (before, after, expected) in [
        (TRUTH, asked_for, true),
        (asked_for, asked_for, true),
        (asked_for, TRUTH, false),
        (TRUTH, Truth { fan: 1, ..asked_for }, false),
        (TRUTH, Truth { swing: (3, 6), ..asked_for }, false),
        (TRUTH, Truth { swing: (4, 3), ..asked_for }, false),
    ] {
        let mut ledger = ledger(&names, &[air]);
        ledger.sample(device(), &before);
        send(&mut ledger, 1, Carrier::Message(1), &air).unwrap();
        ledger.sample(device(), &after);
        let (_, issued) = ledger.decide(secs(2), names.commands[0], &confirmed()).unwrap();
        assert_eq!(Ledger::was_true(issued), expected, "{before:?} {after:?}");
    }
}

/// Off is sent after one second, and a request with a fan speed and another mode after ten.
#[test]
fn an_old_mode_beside_a_fan_speed_is_detected() {
    let names = names();
    let fan = Change { fan: Some(FanSpeed::from_code(3)), ..Change::default() };
    let with = |mode| Change { mode: Some(mode), ..fan };
    // Modes and the seconds at which they began.
    let held = |modes: &[(Mode, u64)]| -> Vec<ModeHeld> {
        let ends = modes.iter().skip(1).map(|(_, at)| Some(secs(*at))).chain([None]);
        let held = |(&(mode, from), until)| ModeHeld { mode: mode_number(mode), from: secs(from), until };
        modes.iter().zip(ends).map(held).collect()
    };
    let ignored = held(&[(Mode::Heat, 0)]);
    let obeyed = held(&[(Mode::Heat, 0), (Mode::Off, 2)]);
    let pressed = held(&[(Mode::Heat, 0), (Mode::Off, 2), (Mode::Cool, 4)]);
    let open = Verdict::Unconfirmed {
        reached: DeliveryStage::Service(mysa_proto::Channel::Structured),
        seen: Change::default(),
        after: secs(8),
    };
    let refused = Verdict::Refused(mysa_session::Refused::Service { status: 403, retry_after: None });
    for (verdict, held, mode, is_old) in [
        (None, &obeyed, Mode::Off, false),
        (None, &obeyed, Mode::Heat, true),
        (None, &ignored, Mode::Off, false),
        (None, &ignored, Mode::Heat, true),
        (None, &pressed, Mode::Cool, false),
        (Some(confirmed()), &obeyed, Mode::Off, false),
        (Some(confirmed()), &obeyed, Mode::Heat, true),
        (Some(confirmed()), &pressed, Mode::Cool, false),
        (Some(open.clone()), &obeyed, Mode::Off, false),
        (Some(open.clone()), &obeyed, Mode::Heat, true),
        (Some(open.clone()), &ignored, Mode::Off, true),
        (Some(open), &ignored, Mode::Heat, false),
        (Some(refused.clone()), &ignored, Mode::Heat, false),
    ] {
        let mut ledger = ledger(&names, &[Change::mode(Mode::Off), fan]);
        send(&mut ledger, 1, request(&names, 0), &Change::mode(Mode::Off)).unwrap();
        ledger.answered(names.requests[0], true);
        if let Some(verdict) = &verdict {
            ledger.decide(secs(9), names.commands[0], verdict).unwrap();
        }
        let found = ledger.transmit(secs(10), device(), request(&names, 1), &wire(&with(mode)), held);
        let seen = matches!(found, Err(Violation::OldModeWithFan { .. }));
        assert_eq!(seen, is_old, "{verdict:?} {held:?} {mode:?}: {found:?}");
        assert!(seen || found.is_ok(), "{found:?}");
    }
    // Without a command, it is a mode that the thermostat has held; and messages need none.
    for (carrier, mode) in [(request(&names, 0), Mode::Cool), (Carrier::Message(1), Mode::Heat)] {
        let mut ledger = ledger(&names, &[fan]);
        let found = ledger.transmit(secs(1), device(), carrier, &wire(&with(mode)), &ignored);
        assert!(matches!(found, Err(Violation::Unrequested { .. })), "{carrier:?}: {found:?}");
    }
    let mut without = ledger(&names, &[Change::mode(Mode::Off), fan]);
    send(&mut without, 1, request(&names, 0), &Change::mode(Mode::Off)).unwrap();
    without.answered(names.requests[0], false);
    without.decide(secs(2), names.commands[0], &refused).unwrap();
    let found = without.transmit(secs(3), device(), request(&names, 1), &wire(&with(Mode::Off)), &ignored);
    assert!(matches!(found, Err(Violation::Unrequested { .. })), "{found:?}");
    // A command for the mode that waits is sent by the request, unless the device is in this mode anyway.
    let cools = held(&[(Mode::Cool, 0)]);
    for (held, counts) in [(&ignored, true), (&cools, false)] {
        let mut both = ledger(&names, &[Change::mode(Mode::Cool), fan]);
        both.transmit(secs(2), device(), request(&names, 0), &wire(&with(Mode::Cool)), held).unwrap();
        both.answered(names.requests[0], true);
        let found = send(&mut both, 3, request(&names, 1), &Change::mode(Mode::Cool));
        let again = matches!(found, Err(Violation::RepeatedAfterOpenEnd { .. }));
        assert_eq!(again, counts, "{held:?}: {found:?}");
    }
}
