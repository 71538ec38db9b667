//! Outcomes of commands, with a scripted cloud.

mod rig;

use std::time::Duration;

use mysa_proto::{Brightness, Change, Channel, Mode};
use mysa_session::{
    CommandChannel, DeliveryStage, Evidence, Expired, Level, Reason, Refused, Settings, Start, Verdict,
};
use rig::{LITE, Rig, by, device, secs, setpoint, stored};

#[test]
fn a_command_is_confirmed_by_its_acknowledgement() {
    let mut rig = Rig::live();
    let id = rig.set(LITE, 21.5);
    rig.run(secs(5));
    assert!(matches!(rig.verdict(id), Verdict::Confirmed { by: Evidence::Ack, .. }), "{:?}", rig.verdict(id));
    assert_eq!(rig.commands().len(), 1);
}

#[test]
fn a_command_whose_acknowledgement_is_lost_is_confirmed_by_a_later_status() {
    let mut rig = Rig::live();
    rig.cloud.device_acks = false;
    rig.run(secs(5));
    let id = rig.set(LITE, 21.5);
    rig.run(secs(3));
    assert_eq!(rig.verdicts(id), []);
    rig.status(LITE, 21.5);
    rig.run(secs(1));
    assert!(matches!(rig.verdict(id), Verdict::Confirmed { by: Evidence::Status, .. }));
}

#[test]
fn an_ignored_command_is_sent_again_three_times_and_unconfirmed_at_its_deadline() {
    let mut rig = Rig::live();
    rig.cloud.device_acks = false;
    rig.cloud.device_applies = false;
    let id = rig.set(LITE, 21.5);
    rig.run(secs(29));
    assert_eq!(rig.verdicts(id), []);
    rig.run(secs(2));
    assert!(matches!(
        rig.verdict(id),
        Verdict::Unconfirmed { reached: DeliveryStage::Service(Channel::Mqtt), .. }
    ));
    let ids: std::collections::BTreeSet<_> =
        rig.commands().iter().map(|publish| publish.3.split("\"id\":").nth(1).map(str::to_owned)).collect();
    assert_eq!((rig.commands().len(), ids.len()), (4, 4), "each transmission has its own id");
}

#[test]
fn writes_to_one_thermostat_keep_a_minimum_distance_and_the_latest_wins() {
    let mut rig = Rig::live();
    let ids: Vec<_> = (0..10)
        .map(|step| {
            let id = rig.set(LITE, 18.0 + f64::from(step) / 2.0);
            rig.run(Duration::ZERO);
            id
        })
        .collect();
    rig.run(secs(10));
    let sent = rig.commands();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[1].0 - sent[0].0 >= Duration::from_millis(2_500));
    assert!(sent[1].3.contains("\"sp\":22.5"), "{}", sent[1].3);
    for id in &ids[1..9] {
        assert!(matches!(rig.verdict(*id), Verdict::Superseded { by, reached: None } if by > *id));
    }
    assert!(rig.verdict(ids[9]).is_confirmed());
}

#[test]
fn commands_for_different_fields_are_sent_as_one_write() {
    let mut rig = Rig::live();
    let now = rig.now();
    let first = rig.set(LITE, 20.0);
    rig.run(Duration::ZERO);
    let mode = rig.session.command(now, device(LITE), Change::mode(Mode::Heat), None).unwrap();
    let setpoint = rig.set(LITE, 22.0);
    rig.run(secs(8));
    assert_eq!(rig.commands().len(), 2);
    let together = &rig.commands()[1].3;
    assert!(together.contains("\"sp\":22") && together.contains("\"md\":3"), "{together}");
    for id in [first, mode, setpoint] {
        assert_eq!(rig.verdicts(id).len(), 1);
    }
    assert!(rig.verdict(mode).is_confirmed() && rig.verdict(setpoint).is_confirmed());
}

#[test]
fn a_part_of_the_brightness_is_sent_with_the_known_parts() {
    let mut rig = Rig::new();
    rig.cloud.devices = vec![(LITE.into(), "BB-V2-0".into())];
    rig.run(secs(10));
    let brightness = Brightness { active: Some(70), ..Brightness::default() };
    let change = Change { brightness: Some(brightness), ..Change::default() };
    let now = rig.now();
    rig.session.command(now, device(LITE), change, None).unwrap();
    rig.run(secs(5));
    let sent = &rig.commands()[0].3;
    assert!(sent.contains(r#""br":{"a_b":0,"a_br":70,"i_br":40}"#), "{sent}");
}

#[test]
fn an_unacknowledged_publish_is_repeated_with_dup_and_never_after_a_newer_one() {
    let mut rig = Rig::live();
    rig.run(secs(5));
    rig.cloud.broker.puback = false;
    rig.cloud.device_acks = false;
    rig.cloud.device_applies = false;
    let older = rig.set(LITE, 20.0);
    rig.run(secs(6));
    assert!(rig.commands().iter().any(|publish| publish.4), "repeated with DUP");
    let newer = rig.set(LITE, 22.0);
    rig.run(secs(60));
    let first_new = rig.commands().iter().position(|publish| publish.3.contains("\"sp\":22")).unwrap();
    assert!(rig.commands()[first_new..].iter().all(|publish| publish.3.contains("\"sp\":22")));
    assert!(matches!(rig.verdict(older), Verdict::Superseded { by, .. } if by == newer));
}

#[test]
fn repeated_disconnects_after_publishes_make_mqtt_read_only() {
    let mut rig = Rig::new();
    rig.cloud.broker.close_on_publish = true;
    rig.run(secs(300));
    assert_eq!(rig.session.service().level, Level::ReadOnly);
    assert_eq!(rig.session.service().reason, Reason::PublishNotPermitted);
    assert_eq!(rig.levels().iter().filter(|level| **level == Level::ReadOnly).count(), 1);
    let connects = rig.log.connects.len();
    assert!(connects <= 5, "{connects}");
    // Commands use the other channel from here on, and reads continue.
    let id = rig.set(LITE, 21.0);
    rig.run(secs(20));
    assert!(
        matches!(rig.verdict(id), Verdict::Confirmed { by: Evidence::Reported, .. }),
        "{:?}",
        rig.verdict(id)
    );
    assert_eq!((rig.commands().len(), rig.asked("/update")), (0, 1));
    assert_eq!(rig.log.connects.len(), connects);
    rig.status(LITE, 21.0);
    rig.run(secs(1));
    assert_eq!(rig.session.state(device(LITE)).unwrap().setpoint().unwrap().value.as_degrees(), 21.0);
}

#[test]
fn a_desired_state_does_not_confirm_a_command() {
    let mut rig = Rig::with(
        {
            let mut settings = Settings::default();
            settings.channel = mysa_session::CommandChannel::Structured;
            settings
        },
        Start::Resume { stored: stored(), password: None },
        0,
    );
    rig.cloud.structured_applies = false;
    rig.run(secs(10));
    let id = rig.set(LITE, 25.0);
    rig.run(secs(40));
    assert!(matches!(
        rig.verdict(id),
        Verdict::Unconfirmed { reached: DeliveryStage::Service(Channel::Structured), .. }
    ));
    assert_eq!((rig.commands().len(), rig.asked("/update")), (0, 1));
}

#[test]
fn a_broker_that_drops_publishes_is_detected_while_statuses_continue() {
    let mut rig = Rig::new();
    rig.cloud.broker.puback = false;
    rig.cloud.devices = (0..20).map(|n| (format!("a0b1c2d3e4{n:02x}"), "BB-V2-0-L".into())).collect();
    rig.run(secs(8));
    rig.status("a0b1c2d3e403", 23.0);
    rig.run(secs(1));
    assert_eq!(
        rig.session.state(device("a0b1c2d3e403")).unwrap().setpoint().unwrap().value.as_degrees(),
        23.0
    );
    rig.run(secs(60));
    assert_eq!(rig.session.service().reason, Reason::PublishNotPermitted);
    assert_eq!(rig.log.connects.len(), 1);
}

#[test]
fn shutting_down_resolves_every_command_and_sends_disconnect() {
    let mut rig = Rig::live();
    rig.cloud.device_acks = false;
    rig.cloud.device_applies = false;
    let sent = rig.set(LITE, 20.0);
    rig.run(Duration::from_millis(400));
    let waiting = rig.set(LITE, 22.0);
    let now = rig.now();
    rig.session.shutdown(now);
    rig.run(secs(1));
    assert!(matches!(rig.verdict(sent), Verdict::Unconfirmed { .. }), "{:?}", rig.verdict(sent));
    assert_eq!(rig.verdict(waiting), Verdict::Expired(Expired::ShutDown));
    // The broker has acknowledged everything that was sent, so no command is in transit.
    assert_eq!((rig.log.disconnects, rig.log.closes, rig.log.aborts), (1, 1, 0));
    assert_eq!(rig.session.poll_timeout(), None);
    let late = rig.set(LITE, 23.0);
    rig.run(secs(1));
    assert_eq!(rig.verdict(late), Verdict::Expired(Expired::ShutDown));
}

#[test]
fn shutting_down_aborts_a_connection_that_may_still_hold_a_command() {
    for blocked in [false, true] {
        let mut rig = Rig::live();
        rig.cloud.broker.puback = false;
        let sent = rig.set(LITE, 20.0);
        rig.run(Duration::from_millis(10));
        assert_eq!(rig.log.publishes.iter().filter(|publish| publish.3.contains("\"msg\":44")).count(), 1);
        let (now, conn) = (rig.now(), rig.log.publishes.last().unwrap().1);
        rig.session.handle_ws_blocked(now, conn, blocked);
        rig.session.shutdown(now);
        rig.run(secs(1));
        assert!(matches!(rig.verdict(sent), Verdict::Unconfirmed { .. }), "{:?}", rig.verdict(sent));
        // Closing would send what the driver has queued, after the verdict.
        assert_eq!((rig.log.disconnects, rig.log.closes, rig.log.aborts), (0, 1, 1));
    }
}

#[test]
fn an_unread_publish_whose_command_is_decided_ends_a_blocked_connection() {
    let mut rig = Rig::resume(by(CommandChannel::Mqtt));
    rig.run(secs(10));
    rig.cloud.broker.puback = false;
    rig.cloud.device_acks = false;
    rig.cloud.device_applies = false;
    let now = rig.now();
    let sent = rig.session.command(now, device(LITE), setpoint(20.0), Some(secs(60))).unwrap();
    rig.run(Duration::from_millis(10));
    let (now, conn) = (rig.now(), rig.log.subscribes[0].1);
    rig.session.handle_ws_blocked(now, conn, true);
    // A status shows that the connection lives. From then on the broker reads nothing, pings included.
    rig.status(LITE, 19.0);
    rig.run(secs(1));
    rig.cloud.dead = true;
    // After three times five seconds without PUBACK, the publish counts as unread.
    rig.run(Duration::from_millis(14_500));
    assert_eq!((rig.log.aborts, rig.verdicts(sent)), (0, vec![]));
    let now = rig.now();
    rig.session.cancel(now, sent);
    rig.run(Duration::from_millis(10));
    assert!(matches!(rig.verdict(sent), Verdict::Unconfirmed { .. }), "{:?}", rig.verdict(sent));
    assert_eq!(rig.log.aborts, 1);
}

#[test]
fn a_session_that_was_shut_down_has_no_deadline() {
    for channel in [CommandChannel::Mqtt, CommandChannel::Structured] {
        let mut rig = Rig::resume(by(channel));
        rig.run(secs(10));
        let id = rig.set(LITE, 25.0);
        // The command is queued for the driver, which takes nothing before the shutdown.
        let now = rig.now();
        rig.session.shutdown(now);
        rig.drain();
        assert!(matches!(rig.verdict(id), Verdict::Expired(_)), "{channel:?}: {:?}", rig.verdict(id));
        assert_eq!(rig.session.poll_timeout(), None, "{channel:?}");
    }
}

/// The operating system accepts bytes for a peer that has stopped reading, so nothing shows that the
/// connection is blocked.
#[test]
fn a_decided_command_ends_a_connection_on_which_the_peer_is_silent_since() {
    for (dead, aborts) in [(true, 1), (false, 0)] {
        let mut rig = Rig::resume(by(CommandChannel::Mqtt));
        rig.run(secs(10));
        rig.cloud.broker.puback = false;
        rig.cloud.device_acks = false;
        rig.cloud.device_applies = false;
        rig.cloud.dead = dead;
        let now = rig.now();
        let id = rig.session.command(now, device(LITE), setpoint(20.0), Some(secs(9))).unwrap();
        rig.run(Duration::from_millis(8_900));
        assert_eq!((rig.log.aborts, rig.verdicts(id)), (0, vec![]), "dead: {dead}");
        rig.run(Duration::from_millis(200));
        assert!(matches!(rig.verdict(id), Verdict::Unconfirmed { .. }), "{:?}", rig.verdict(id));
        assert_eq!(rig.log.aborts, aborts, "dead: {dead}");
    }
}

#[test]
fn commands_without_a_connection_expire_unsent() {
    let mut settings = Settings::default();
    settings.channel = mysa_session::CommandChannel::Mqtt;
    let mut rig = Rig::resume(settings);
    rig.run(secs(10));
    rig.cut();
    rig.cloud.upgrade = Some(503);
    rig.run(secs(5));
    let id = rig.set(LITE, 21.0);
    rig.run(secs(60));
    assert_eq!(rig.verdict(id), Verdict::Expired(Expired::Deadline));
    rig.cloud.upgrade = None;
    rig.run(secs(1_800));
    assert_eq!(rig.commands().len(), 0);
}

#[test]
fn a_change_outside_the_model_is_refused_before_anything_is_sent() {
    let mut rig = Rig::live();
    let id = rig.set(LITE, 45.0);
    let nobody = rig.set("ffffffffffff", 20.0);
    rig.run(secs(1));
    assert!(matches!(rig.verdict(id), Verdict::Refused(Refused::Model(_))));
    assert_eq!(rig.verdict(nobody), Verdict::Refused(Refused::UnknownDevice));
    assert_eq!(rig.commands().len(), 0);
}
