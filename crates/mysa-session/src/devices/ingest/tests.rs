use mysa_proto::Mode;

use super::*;
use crate::Now;
use crate::context::test_context;

fn device(model: &str) -> Device {
    Device::new(DeviceId::new("a0b1c2d3e4f6").unwrap(), Model::parse(model), Duration::ZERO)
}

fn hold(hold: Hold) -> Change {
    Change { hold: Some(hold), ..Change::default() }
}

#[test]
fn a_hold_without_its_end_proves_no_hold() {
    let cx = test_context();
    let mut device = device("BB-V2-0");
    let mut report = |value, seconds| {
        let received = Now { mono: Duration::from_secs(seconds), wall: cx.now.wall };
        device.state.observe(&Observation::from_change(&hold(value), None, received));
        device.holds(&hold(Hold::FollowSchedule))
    };
    assert!(!report(Hold::Permanent, 1));
    assert!(!report(Hold::FollowOrUntil, 2));
    assert!(report(Hold::FollowSchedule, 3));
}

#[test]
fn only_a_successful_acknowledgement_identifies_the_model() {
    for (body_type, family) in [(4, Family::BaseboardV2), (5, Family::BaseboardLite)] {
        for (success, learned) in [("true", true), ("false", false)] {
            let ack = alloc::format!(
                r#"{{"msg":44,"ver":"1.0","src":{{"ref":"a0b1c2d3e4f6","type":1}},"time":1767323045,"id":1,"resp":2,"body":{{"type":{body_type},"success":{success},"state":{{"md":3,"sp":20}}}}}}"#
            );
            let message = Message::decode(TopicKind::Out, ack.as_bytes()).unwrap();
            let Body::Ack(ack) = &message.body else { panic!("{message:?}") };
            let mut device = device("BB-V2-0");
            device.learn_from_ack(&mut test_context(), ack);
            assert_eq!(device.hardware == Hardware::Acknowledges(family), learned, "{body_type} {success}");
        }
    }
}

#[test]
fn a_record_fills_only_fields_that_better_sources_lack_and_is_reported_as_their_source() {
    let mut cx = test_context();
    let list = |setpoint: f64, lock| {
        let body = alloc::format!(
            r#"{{"DevicesObj":{{"a0b1c2d3e4f6":{{"Id":"a0b1c2d3e4f6","Model":"BB-V2-0","ButtonState":{lock},"SetPoint":{setpoint}}}}}}}"#
        );
        DeviceList::decode(body.as_bytes()).unwrap()
    };
    let mut devices = Devices::default();
    devices.handle_list(&mut cx, &list(20.0, 0));
    let source = |devices: &Devices| devices.iter().next().unwrap().state.lock().map(|field| field.source);
    assert_eq!(source(&devices), Some(Source::RestRecord));
    // A later record replaces the values of an earlier one.
    cx.now.mono = Duration::from_secs(60);
    devices.handle_list(&mut cx, &list(20.0, 1));
    let device = devices.iter_mut().next().unwrap();
    assert_eq!(device.held().lock, Some(true));
    // Values that the thermostat reported itself are kept.
    let change = Change { lock: Some(false), ..Change::mode(Mode::Heat) };
    let observation = Observation::from_change(&change, None, cx.received());
    device.state.observe(&Observation { source: Source::Status, ..observation });
    cx.now.mono = Duration::from_secs(120);
    devices.handle_list(&mut cx, &list(20.0, 1));
    let device = devices.iter().next().unwrap();
    assert_eq!((device.held().lock, device.held().mode), (Some(false), Some(Mode::Heat)));
}
