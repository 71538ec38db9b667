//! Fields that a family does not have.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::time::Duration;

use mysa_proto::{DeviceState, Family, Message, ModeTable, Now, StateField, TopicKind, UnixTime};

/// State after the statuses, merged as in a session, a few seconds apart.
fn after(statuses: &[&str], family: Option<Family>) -> DeviceState {
    let mut state = DeviceState::new();
    for (count, body) in (0..).zip(statuses) {
        let secs = 1_767_323_045 + count * 10;
        let payload =
            format!(r#"{{"ver":"1.0","src":{{"type":1,"ref":"a0b1c2d3e4f8"}},"time":{secs},{body}}}"#);
        let message = Message::decode(TopicKind::Out, payload.as_bytes()).unwrap();
        let received = Now { mono: Duration::from_secs(count as u64 * 10), wall: UnixTime::from_secs(secs) };
        state.observe_message(&message, &ModeTable::OBSERVED, family, received).unwrap();
    }
    state
}

const OFF: &str = r#""msg":44,"id":1,"body":{"success":1,"type":3,"state":{"md":1,"sp":20}}"#;
const STATUS: &str = r#""msg":40,"id":2,"body":{"ambTemp":18.9,"stpt":20,"dtyCycle":0.52,"flrSnsrTemp":24.1,
    "heatStat":0,"trackedSnsr":3,"lineVtg":241}"#;

#[test]
fn the_constant_duty_cycle_of_in_floor_heating_is_ignored() {
    let statuses = [OFF, STATUS, STATUS, STATUS, STATUS, STATUS, STATUS, STATUS, STATUS, STATUS, STATUS];
    let floor = after(&statuses, Some(Family::InFloor));
    assert_eq!((floor.duty(), floor.contradiction()), (None, None));
    assert_eq!(floor.floor_temperature().map(|floor| floor.value.as_degrees()), Some(24.1));
    assert_eq!(floor.heating().map(|heating| heating.value), Some(false));
    assert_eq!(floor.voltage().map(|voltage| voltage.value.as_volts()), Some(241.0));
    let heater = after(&statuses, Some(Family::BaseboardV2));
    assert!(heater.duty().is_some() && heater.contradiction().is_some(), "a heater that heats while off");
    assert_eq!((heater.floor_temperature(), heater.heating(), heater.tracked_sensor()), (None, None, None));
}

#[test]
fn a_line_voltage_of_0_is_ignored() {
    let none = r#""msg":17,"id":2,"body":{"ambTemp":18.9,"stpt":20,"heatStat":0,"lineVtg":0}"#;
    let some = none.replace("lineVtg\":0", "lineVtg\":239");
    assert_eq!(after(&[none], Some(Family::InFloor)).voltage(), None);
    let kept = after(&[&some, none], Some(Family::InFloor)).voltage();
    assert_eq!(kept.map(|voltage| voltage.value.as_volts()), Some(239.0), "the earlier value");
    let status = r#""msg":40,"id":2,"body":{"ambTemp":18.9,"stpt":20,"lineVtg":0}"#;
    assert_eq!(after(&[status, status], Some(Family::InFloor)).voltage(), None);
}

#[test]
fn a_device_that_turns_out_to_be_of_another_family_keeps_what_it_has() {
    let mut state = after(&[OFF, STATUS], None);
    assert!(state.duty().is_some() && state.floor_temperature().is_some());
    state.restrict_to(Family::InFloor);
    assert_eq!(state.duty(), None);
    assert!(state.floor_temperature().is_some() && state.setpoint().is_some());
    state.restrict_to(Family::ClimateSensor);
    assert_eq!((state.floor_temperature(), state.setpoint(), state.mode()), (None, None, None));
    assert!(state.temperature().is_some() && state.connected().is_some());
}

#[test]
fn every_family_has_a_temperature_and_a_heater_has_either_a_duty_cycle_or_a_relay() {
    use Family::*;
    for family in [
        BaseboardV1,
        BaseboardV2,
        BaseboardLite,
        BaseboardV3,
        InFloor,
        AirConditioner,
        Central,
        ClimateSensor,
    ] {
        assert!(StateField::Temperature.is_of(family) && StateField::Connected.is_of(family));
        let heater = matches!(family, BaseboardV1 | BaseboardV2 | BaseboardLite | BaseboardV3 | InFloor);
        assert_eq!(StateField::Duty.is_of(family) != StateField::Heating.is_of(family), heater, "{family}");
        assert_eq!(StateField::Setpoint.is_of(family), family.setpoint_range().is_some(), "{family}");
    }
}
