//! Modes that unconfirmed commands may have set: the mode from before them does not go with a fan speed.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod harness;

use std::time::Duration;

use harness::{Harness, LITE, Reply, START, by, device, secs, setpoint};
use mysa_proto::{Change, FanSpeed, InvalidCommand, Mode};
use mysa_session::{CommandChannel, CommandId, Refused, Verdict};

const HEAT: &str = r#""mode":4,"fan_mode":4"#;

fn fan() -> Change {
    Change { fan: Some(FanSpeed::from_code(3)), ..Change::default() }
}

fn home(channel: CommandChannel, model: &str) -> Harness {
    let mut harness = Harness::resume(by(channel));
    harness.cloud.devices = vec![(LITE.into(), model.into())];
    harness.run(secs(10));
    harness
}

fn ask(harness: &mut Harness, change: Change) -> CommandId {
    let now = harness.now();
    harness.session.command(now, device(LITE), change, None).unwrap()
}

fn set(harness: &mut Harness, change: Change) -> Verdict {
    let id = ask(harness, change);
    harness.run(secs(60));
    harness.verdict(id)
}

/// Periodic status of an air conditioner, made `shift` seconds from now by its clock.
fn status(harness: &mut Harness, mode: i64, shift: i64) {
    let time = harness.truth_secs() + shift;
    let text = format!(
        r#"{{"ver":"1.0","src":{{"type":1,"ref":"{LITE}"}},"time":{time},"msg":30,"id":8,"body":{{"ambTemp":20.5,"hum":40,"stpt":21,"mode":{mode},"4":3,"5":4}}}}"#
    );
    harness.publish_from(LITE, &text, Duration::from_millis(10));
}

fn bodies(harness: &Harness) -> Vec<&str> {
    harness.log.updates.iter().map(|(_, body)| body.as_str()).collect()
}

/// Asserts that a fan speed is refused for want of a mode, and that nothing is sent.
fn assert_unknown(harness: &mut Harness) {
    harness.log.updates.clear();
    let verdict = set(harness, fan());
    let needs_mode = |refusal: &InvalidCommand| *refusal == InvalidCommand::FanNeedsMode;
    assert!(
        matches!(&verdict, Verdict::Refused(Refused::Model(refusal)) if needs_mode(refusal)),
        "{verdict}"
    );
    assert!(bodies(harness).is_empty(), "{:?}", bodies(harness));
}

/// Asserts that a fan speed goes with the mode that `expected` names.
fn assert_known(harness: &mut Harness, expected: &str) {
    harness.log.updates.clear();
    let verdict = set(harness, fan());
    assert!(
        bodies(harness).last().is_some_and(|body| body.contains(expected)),
        "{verdict}: {:?}",
        bodies(harness)
    );
}

#[test]
fn a_mode_is_unknown_after_an_unconfirmed_command_until_the_device_reports_one() {
    let mut harness = home(CommandChannel::Structured, "AC-V1-0");
    status(&mut harness, 3, 0);
    harness.run(secs(1));
    harness.cloud.update = Reply::Status(403, "");
    assert!(matches!(set(&mut harness, Change::mode(Mode::Cool)), Verdict::Refused(Refused::Service { .. })));
    harness.cloud.update = Reply::Good;
    assert_known(&mut harness, HEAT);
    assert!(matches!(set(&mut harness, Change::mode(Mode::Off)), Verdict::Unconfirmed { .. }));
    harness.cloud.update = Reply::Status(403, "");
    assert!(matches!(set(&mut harness, Change::mode(Mode::Cool)), Verdict::Refused(Refused::Service { .. })));
    harness.cloud.update = Reply::Good;
    assert_unknown(&mut harness);
    status(&mut harness, 3, 0);
    harness.run(secs(1));
    assert_known(&mut harness, HEAT);
}

/// What the state shows an hour later is what its user sees.
#[test]
fn a_mode_that_no_message_shows_is_unknown_for_an_hour() {
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    harness.cloud.devices = vec![(LITE.into(), "AC-V1-0".into())];
    harness.cloud.upgrade = Some(403);
    harness.cloud.rest_mode = Some((3, START / 1_000 - 3_600));
    harness.run(secs(10));
    assert!(matches!(set(&mut harness, Change::mode(Mode::Off)), Verdict::Unconfirmed { .. }));
    harness.run(secs(3_400));
    assert_unknown(&mut harness);
    harness.run(secs(200));
    assert_known(&mut harness, HEAT);
}

#[test]
fn a_status_from_before_the_effect_does_not_make_the_old_mode_known() {
    let mut harness = home(CommandChannel::Structured, "AC-V1-0");
    status(&mut harness, 3, 0);
    harness.run(secs(1));
    harness.cloud.update_takes = secs(1);
    let off = ask(&mut harness, Change::mode(Mode::Off));
    harness.run(Duration::from_millis(200));
    assert_eq!(bodies(&harness), [r#"{"source":3,"modes":{"mode":0}}"#]);
    // 200 ms after the sending; the service forwards the command after that.
    status(&mut harness, 3, 0);
    harness.run(secs(40));
    assert!(matches!(harness.verdict(off), Verdict::Unconfirmed { .. }), "{}", harness.verdict(off));
    assert_unknown(&mut harness);
}

#[test]
fn a_status_that_was_made_before_the_sending_does_not_make_the_old_mode_known() {
    let mut harness = home(CommandChannel::Structured, "AC-V1-0");
    status(&mut harness, 3, 0);
    harness.run(secs(1));
    let off = ask(&mut harness, Change::mode(Mode::Off));
    // Stamped one second before the sending, and on the way since.
    status(&mut harness, 3, -1);
    harness.run(secs(40));
    assert!(matches!(harness.verdict(off), Verdict::Unconfirmed { .. }), "{}", harness.verdict(off));
    assert_unknown(&mut harness);
}

#[test]
fn a_status_between_two_transmissions_does_not_make_the_old_mode_known() {
    let mut harness = home(CommandChannel::Auto, "AC-V1-0");
    status(&mut harness, 3, 0);
    harness.run(secs(1));
    harness.cloud.device_acks = false;
    harness.cloud.broker.puback = false;
    let off = ask(&mut harness, Change::mode(Mode::Off));
    harness.run(secs(3));
    assert_eq!((harness.commands().len(), harness.log.updates.len()), (1, 0));
    status(&mut harness, 3, 0);
    harness.run(secs(40));
    assert_eq!(bodies(&harness), [r#"{"source":3,"modes":{"mode":0}}"#]);
    assert!(matches!(harness.verdict(off), Verdict::Unconfirmed { .. }), "{}", harness.verdict(off));
    assert_unknown(&mut harness);
}

#[test]
fn a_status_before_an_off_that_went_with_a_fan_speed_does_not_make_the_old_mode_known() {
    let mut harness = home(CommandChannel::Structured, "AC-V1-0");
    status(&mut harness, 3, 0);
    harness.run(secs(1));
    harness.cloud.update = Reply::Timeout;
    ask(&mut harness, Change::mode(Mode::Off));
    harness.run(secs(10));
    status(&mut harness, 3, 0);
    harness.run(secs(5));
    harness.cloud.update = Reply::Good;
    ask(&mut harness, fan());
    harness.run(secs(60));
    assert_eq!(
        bodies(&harness),
        [r#"{"source":3,"modes":{"mode":0}}"#, r#"{"source":3,"modes":{"mode":0,"fan_mode":4}}"#]
    );
    assert_unknown(&mut harness);
}

#[test]
fn a_mode_that_was_in_force_already_is_not_unknown_afterwards() {
    for (model, next, expected) in [
        ("AC-V1-0", fan(), r#""mode":4,"fan_mode":4"#),
        ("ST-V1-0", setpoint(21.0), r#""targetHeat":{"setpoint":21}"#),
    ] {
        let mut harness = Harness::resume(by(CommandChannel::Structured));
        harness.cloud.devices = vec![(LITE.into(), model.into())];
        // No message arrives by MQTT; both REST services show the mode with the time of its last change, an hour ago.
        harness.cloud.upgrade = Some(403);
        harness.cloud.rest_mode = Some((3, START / 1_000 - 3_600));
        harness.cloud.structured_mode = Some((4, START / 1_000 - 3_600));
        harness.run(secs(10));
        assert_eq!(harness.session.state(device(LITE)).unwrap().mode().unwrap().value, Mode::Heat);
        let before = set(&mut harness, next);
        assert!(bodies(&harness).last().unwrap().contains(expected), "{model}: {before}");
        harness.log.updates.clear();
        let heat = set(&mut harness, Change::mode(Mode::Heat));
        assert!(matches!(heat, Verdict::Unconfirmed { .. }), "{model}: {heat}");
        harness.log.updates.clear();
        let after = set(&mut harness, next);
        assert!(bodies(&harness).last().is_some_and(|body| body.contains(expected)), "{model}: {after}");
    }
}

#[test]
fn a_device_with_a_slow_clock_shows_its_mode() {
    let mut harness = home(CommandChannel::Structured, "AC-V1-0");
    status(&mut harness, 3, -3_600);
    harness.run(secs(1));
    harness.cloud.update = Reply::Timeout;
    let off = set(&mut harness, Change::mode(Mode::Off));
    assert!(matches!(off, Verdict::Unconfirmed { .. }), "{off}");
    harness.cloud.update = Reply::Good;
    harness.log.updates.clear();
    for _ in 0..30 {
        status(&mut harness, 3, -3_600);
        harness.run(secs(60));
    }
    let after = set(&mut harness, fan());
    assert!(bodies(&harness).last().is_some_and(|body| body.contains(r#""mode":4,"fan_mode":4"#)), "{after}");
}

#[test]
fn a_mode_that_was_seen_since_is_not_unknown_after_a_refused_command() {
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    harness.cloud.devices = vec![(LITE.into(), "AC-V1-0".into())];
    harness.cloud.upgrade = Some(403);
    harness.cloud.rest_mode = Some((3, START / 1_000 - 3_600));
    harness.run(secs(10));
    harness.cloud.update = Reply::Timeout;
    let cool = set(&mut harness, Change::mode(Mode::Cool));
    assert!(matches!(cool, Verdict::Unconfirmed { .. }), "{cool}");
    // It took effect late, and REST shows it.
    harness.cloud.rest_mode = Some((4, harness.truth_secs()));
    harness.run(secs(120));
    harness.cloud.update = Reply::Good;
    set(&mut harness, fan());
    assert!(bodies(&harness).last().unwrap().contains(r#""mode":3,"fan_mode":4"#), "{:?}", bodies(&harness));
    harness.cloud.update = Reply::Status(403, "");
    let refused = set(&mut harness, Change::mode(Mode::Off));
    assert!(matches!(refused, Verdict::Refused(_)), "{refused}");
    harness.cloud.update = Reply::Good;
    harness.log.updates.clear();
    harness.run(secs(24 * 3_600));
    let after = set(&mut harness, fan());
    assert!(bodies(&harness).last().is_some_and(|body| body.contains(r#""mode":3,"fan_mode":4"#)), "{after}");
}

#[test]
fn commands_by_mqtt_are_checked_by_the_observed_mode_after_an_unconfirmed_one() {
    for (next, is_offered) in
        [(Change { fan: Some(FanSpeed::from_code(5)), ..Change::default() }, true), (setpoint(31.0), false)]
    {
        let mut harness = Harness::resume(by(CommandChannel::Mqtt));
        harness.cloud.devices = vec![(LITE.into(), "AC-V1-0".into())];
        harness.cloud.record = r#","SupportedCaps":{"fanSpeeds":[1,3],"modes":{"3":{"fanSpeeds":[1,3,5],"temperatures":[16,30]},"4":{"fanSpeeds":[1,3],"temperatures":[16,30]}}}"#;
        harness.run(secs(10));
        status(&mut harness, 3, 0);
        harness.run(secs(1));
        harness.cloud.device_acks = false;
        let now = harness.now();
        assert_eq!(harness.session.preview(now, device(LITE), next).is_ok(), is_offered);
        let mode = set(&mut harness, Change::mode(Mode::Heat));
        assert!(matches!(mode, Verdict::Unconfirmed { .. }), "{mode}");
        let now = harness.now();
        let after = harness.session.preview(now, device(LITE), next);
        assert_eq!(after.is_ok(), is_offered, "{after:?}");
    }
}

/// The state may show the mode from before both, which is that of the second by chance.
#[test]
fn a_mode_is_unknown_after_two_commands_for_different_modes() {
    let mut harness = home(CommandChannel::Structured, "AC-V1-0");
    status(&mut harness, 3, 0);
    harness.run(secs(1));
    ask(&mut harness, Change::mode(Mode::Off));
    harness.run(secs(5));
    assert!(matches!(set(&mut harness, Change::mode(Mode::Heat)), Verdict::Unconfirmed { .. }));
    assert_eq!(harness.log.updates.len(), 2);
    assert_unknown(&mut harness);
}
