//! Outcomes of commands, with a scripted cloud.

mod harness;

use std::time::Duration;

use harness::{Harness, LITE, by, device, secs, stored};
use mysa_proto::{Brightness, Change, Channel, Mode};
use mysa_session::{
    CommandChannel, DeliveryStage, Evidence, Expired, Level, Reason, Refused, Settings, Start, Verdict,
};

#[test]
fn a_command_is_confirmed_by_its_acknowledgement() {
    let mut harness = Harness::live();
    let id = harness.set(LITE, 21.5);
    harness.run(secs(5));
    assert!(
        matches!(harness.verdict(id), Verdict::Confirmed { by: Evidence::Ack, .. }),
        "{:?}",
        harness.verdict(id)
    );
    assert_eq!(harness.commands().len(), 1);
}

#[test]
fn a_command_whose_acknowledgement_is_lost_is_confirmed_by_a_later_status() {
    let mut harness = Harness::live();
    harness.cloud.device_acks = false;
    harness.run(secs(5));
    let id = harness.set(LITE, 21.5);
    harness.run(secs(3));
    assert_eq!(harness.verdicts(id), []);
    harness.status(LITE, 21.5);
    harness.run(secs(1));
    assert!(matches!(harness.verdict(id), Verdict::Confirmed { by: Evidence::Status, .. }));
}

#[test]
fn an_ignored_command_is_sent_again_three_times_and_unconfirmed_at_its_deadline() {
    let mut harness = Harness::live();
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let id = harness.set(LITE, 21.5);
    harness.run(secs(29));
    assert_eq!(harness.verdicts(id), []);
    harness.run(secs(2));
    assert!(matches!(
        harness.verdict(id),
        Verdict::Unconfirmed { reached: DeliveryStage::Service(Channel::Mqtt), .. }
    ));
    let ids: std::collections::BTreeSet<_> = harness
        .commands()
        .iter()
        .map(|publish| publish.3.split("\"id\":").nth(1).map(str::to_owned))
        .collect();
    assert_eq!((harness.commands().len(), ids.len()), (4, 4), "each transmission has its own id");
}

#[test]
fn writes_to_one_thermostat_keep_a_minimum_distance_and_the_latest_wins() {
    let mut harness = Harness::live();
    let ids: Vec<_> = (0..10)
        .map(|step| {
            let id = harness.set(LITE, 18.0 + f64::from(step) / 2.0);
            harness.run(Duration::ZERO);
            id
        })
        .collect();
    harness.run(secs(10));
    let sent = harness.commands();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[1].0 - sent[0].0 >= Duration::from_millis(2_500));
    assert!(sent[1].3.contains("\"sp\":22.5"), "{}", sent[1].3);
    for id in &ids[1..9] {
        assert!(matches!(harness.verdict(*id), Verdict::Superseded { by, reached: None } if by > *id));
    }
    assert!(harness.verdict(ids[9]).is_confirmed());
}

#[test]
fn commands_for_different_fields_are_sent_as_one_write() {
    let mut harness = Harness::live();
    let now = harness.now();
    let first = harness.set(LITE, 20.0);
    harness.run(Duration::ZERO);
    let mode = harness.session.command(now, device(LITE), Change::mode(Mode::Heat), None).unwrap();
    let setpoint = harness.set(LITE, 22.0);
    harness.run(secs(8));
    assert_eq!(harness.commands().len(), 2);
    let together = &harness.commands()[1].3;
    assert!(together.contains("\"sp\":22") && together.contains("\"md\":3"), "{together}");
    for id in [first, mode, setpoint] {
        assert_eq!(harness.verdicts(id).len(), 1);
    }
    assert!(harness.verdict(mode).is_confirmed() && harness.verdict(setpoint).is_confirmed());
}

#[test]
fn a_part_of_the_brightness_is_sent_with_the_known_parts() {
    let mut harness = Harness::new();
    harness.cloud.devices = vec![(LITE.into(), "BB-V2-0".into())];
    harness.run(secs(10));
    let brightness = Brightness { active: Some(70), ..Brightness::default() };
    let change = Change { brightness: Some(brightness), ..Change::default() };
    let now = harness.now();
    harness.session.command(now, device(LITE), change, None).unwrap();
    harness.run(secs(5));
    let sent = &harness.commands()[0].3;
    assert!(sent.contains(r#""br":{"a_b":0,"a_br":70,"i_br":40}"#), "{sent}");
}

#[test]
fn an_unacknowledged_publish_is_repeated_with_dup_and_never_after_a_newer_one() {
    let mut harness = Harness::live();
    harness.run(secs(5));
    harness.cloud.broker.puback = false;
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let older = harness.set(LITE, 20.0);
    harness.run(secs(6));
    assert!(harness.commands().iter().any(|publish| publish.4), "repeated with DUP");
    let newer = harness.set(LITE, 22.0);
    harness.run(secs(60));
    let first_new = harness.commands().iter().position(|publish| publish.3.contains("\"sp\":22")).unwrap();
    assert!(harness.commands()[first_new..].iter().all(|publish| publish.3.contains("\"sp\":22")));
    assert!(matches!(harness.verdict(older), Verdict::Superseded { by, .. } if by == newer));
}

#[test]
fn repeated_disconnects_after_publishes_make_mqtt_read_only() {
    let mut harness = Harness::new();
    harness.cloud.broker.close_on_publish = true;
    harness.run(secs(300));
    assert_eq!(harness.session.service().level, Level::ReadOnly);
    assert_eq!(harness.session.service().reason, Reason::PublishNotPermitted);
    assert_eq!(harness.levels().iter().filter(|level| **level == Level::ReadOnly).count(), 1);
    let connects = harness.log.connects.len();
    assert!(connects <= 5, "{connects}");
    // Commands use the other channel from here on, and reads continue.
    let id = harness.set(LITE, 21.0);
    harness.run(secs(20));
    assert!(
        matches!(harness.verdict(id), Verdict::Confirmed { by: Evidence::Reported, .. }),
        "{:?}",
        harness.verdict(id)
    );
    assert_eq!((harness.commands().len(), harness.asked("/update")), (0, 1));
    assert_eq!(harness.log.connects.len(), connects);
    harness.status(LITE, 21.0);
    harness.run(secs(1));
    assert_eq!(harness.session.state(device(LITE)).unwrap().setpoint().unwrap().value.as_degrees(), 21.0);
}

#[test]
fn a_desired_state_does_not_confirm_a_command() {
    let mut harness = Harness::with(
        {
            let mut settings = Settings::default();
            settings.channel = mysa_session::CommandChannel::Structured;
            settings
        },
        Start::Resume { stored: stored(), password: None },
        0,
    );
    harness.cloud.structured_applies = false;
    harness.run(secs(10));
    let id = harness.set(LITE, 25.0);
    harness.run(secs(40));
    assert!(matches!(
        harness.verdict(id),
        Verdict::Unconfirmed { reached: DeliveryStage::Service(Channel::Structured), .. }
    ));
    assert_eq!((harness.commands().len(), harness.asked("/update")), (0, 1));
}

#[test]
fn a_broker_that_drops_publishes_is_detected_while_statuses_continue() {
    let mut harness = Harness::new();
    harness.cloud.broker.puback = false;
    harness.cloud.devices = (0..20).map(|n| (format!("a0b1c2d3e4{n:02x}"), "BB-V2-0-L".into())).collect();
    harness.run(secs(8));
    harness.status("a0b1c2d3e403", 23.0);
    harness.run(secs(1));
    assert_eq!(
        harness.session.state(device("a0b1c2d3e403")).unwrap().setpoint().unwrap().value.as_degrees(),
        23.0
    );
    harness.run(secs(60));
    assert_eq!(harness.session.service().reason, Reason::PublishNotPermitted);
    assert_eq!(harness.log.connects.len(), 1);
}

#[test]
fn shutting_down_resolves_every_command_and_sends_disconnect() {
    let mut harness = Harness::live();
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let sent = harness.set(LITE, 20.0);
    harness.run(Duration::from_millis(400));
    let waiting = harness.set(LITE, 22.0);
    let now = harness.now();
    harness.session.shutdown(now);
    harness.run(secs(1));
    assert!(matches!(harness.verdict(sent), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(sent));
    assert_eq!(harness.verdict(waiting), Verdict::Expired(Expired::ShutDown));
    // The broker has acknowledged everything that was sent, so no command is in transit.
    assert_eq!((harness.log.disconnects, harness.log.closes, harness.log.aborts), (1, 1, 0));
    assert_eq!(harness.session.poll_timeout(), None);
    let late = harness.set(LITE, 23.0);
    harness.run(secs(1));
    assert_eq!(harness.verdict(late), Verdict::Expired(Expired::ShutDown));
}

#[test]
fn shutting_down_aborts_a_connection_that_may_still_hold_a_command() {
    for blocked in [false, true] {
        let mut harness = Harness::live();
        harness.cloud.broker.puback = false;
        let sent = harness.set(LITE, 20.0);
        harness.run(Duration::from_millis(10));
        assert_eq!(
            harness.log.publishes.iter().filter(|publish| publish.3.contains("\"msg\":44")).count(),
            1
        );
        let (now, conn) = (harness.now(), harness.log.publishes.last().unwrap().1);
        harness.session.handle_ws_blocked(now, conn, blocked);
        harness.session.shutdown(now);
        harness.run(secs(1));
        assert!(matches!(harness.verdict(sent), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(sent));
        // Closing would send what the driver has queued, after the verdict.
        assert_eq!((harness.log.disconnects, harness.log.closes, harness.log.aborts), (0, 1, 1));
    }
}

#[test]
fn a_session_that_was_shut_down_has_no_deadline() {
    for channel in [CommandChannel::Mqtt, CommandChannel::Structured] {
        let mut harness = Harness::resume(by(channel));
        harness.run(secs(10));
        let id = harness.set(LITE, 25.0);
        // The command is queued for the driver, which takes nothing before the shutdown.
        let now = harness.now();
        harness.session.shutdown(now);
        harness.drain();
        assert!(matches!(harness.verdict(id), Verdict::Expired(_)), "{channel:?}: {:?}", harness.verdict(id));
        assert_eq!(harness.session.poll_timeout(), None, "{channel:?}");
    }
}

#[test]
fn commands_without_a_connection_expire_unsent() {
    let mut settings = Settings::default();
    settings.channel = mysa_session::CommandChannel::Mqtt;
    let mut harness = Harness::resume(settings);
    harness.run(secs(10));
    harness.cut();
    harness.cloud.upgrade = Some(503);
    harness.run(secs(5));
    let id = harness.set(LITE, 21.0);
    harness.run(secs(60));
    assert_eq!(harness.verdict(id), Verdict::Expired(Expired::Deadline));
    harness.cloud.upgrade = None;
    harness.run(secs(1_800));
    assert_eq!(harness.commands().len(), 0);
}

#[test]
fn a_change_outside_the_model_is_refused_before_anything_is_sent() {
    let mut harness = Harness::live();
    let id = harness.set(LITE, 45.0);
    let nobody = harness.set("ffffffffffff", 20.0);
    harness.run(secs(1));
    assert!(matches!(harness.verdict(id), Verdict::Refused(Refused::Model(_))));
    assert_eq!(harness.verdict(nobody), Verdict::Refused(Refused::UnknownDevice));
    assert_eq!(harness.commands().len(), 0);
}
