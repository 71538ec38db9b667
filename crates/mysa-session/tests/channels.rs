//! Choice of the channel of a command, its time limits, and the verdicts and events that follow.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod harness;

use std::time::Duration;

use harness::{Harness, LITE, Reply, by, device, secs, setpoint, stored};
use mysa_proto::{Change, Channel, FanSpeed, Mode, Model};
use mysa_session::{
    CommandChannel, CommandId, DeliveryStage, Event, Level, Refused, Settings, Start, Verdict,
};

#[test]
fn a_command_waits_for_mqtt_for_eight_seconds_or_a_third_of_its_time() {
    // A third of the time until the last moment to send, 2 s before the deadline: 4 s of 14 s, at most 8 s.
    for (time, waits) in [(30, 8_000), (14, 4_000)] {
        let mut harness = Harness::live();
        harness.cloud.upgrade = Some(503);
        harness.cut();
        harness.run(Duration::from_millis(100));
        assert_ne!(harness.session.service().level, Level::RestOnly, "MQTT may still return");
        let (asked, now) = (harness.mono, harness.now());
        let id = harness.session.command(now, device(LITE), setpoint(21.0), Some(secs(time))).unwrap();
        harness.run(secs(time + 1));
        let sent: Vec<_> = harness.log.updates.iter().map(|(at, _)| (*at - asked).as_millis()).collect();
        assert_eq!(sent, [waits], "with {time} s");
        assert!(harness.verdict(id).is_confirmed());
    }
}

#[test]
fn where_mqtt_is_the_only_channel_a_denial_of_an_earlier_run_is_tried_again() {
    let mut kept = stored();
    kept.publish_denied_at = Some(harness::START / 1_000 - 60);
    let mut harness =
        Harness::with(Settings::default(), Start::Resume { stored: kept.clone(), password: None }, 0);
    // A Baseboard V1 is reached by MQTT only.
    harness.cloud.devices = vec![(LITE.into(), "BB-V1-1".into())];
    harness.stored = Some(kept);
    harness.run(secs(10));
    harness.set(LITE, 21.0);
    harness.run(secs(2));
    assert_eq!((harness.commands().len(), harness.log.updates.len()), (1, 0));
}

#[test]
fn where_mqtt_is_chosen_and_denies_commands_they_are_refused_once_that_is_known() {
    let mut harness = Harness::resume(by(CommandChannel::Mqtt));
    harness.cloud.broker.close_on_publish = true;
    harness.run(secs(10));
    let verdicts: Vec<Verdict> = (0..5)
        .map(|_| {
            let id = harness.set(LITE, 21.0);
            harness.run(secs(60));
            harness.verdict(id)
        })
        .collect();
    assert!(matches!(verdicts[0], Verdict::Unconfirmed { .. }), "{verdicts:?}");
    // Three failures in a row make MQTT read-only (`Settings::read_only_after`).
    assert_eq!(verdicts[4], Verdict::Refused(Refused::NotPermitted), "{verdicts:?}");
    assert!(harness.log.updates.is_empty());
}

#[test]
fn a_publish_that_failed_is_not_published_again_where_mqtt_is_the_only_channel() {
    let mut harness = Harness::resume(by(CommandChannel::Mqtt));
    harness.run(secs(10));
    harness.cloud.broker.close_on_publish = true;
    let id = harness.set(LITE, 21.0);
    harness.run(secs(35));
    assert!(matches!(harness.verdict(id), Verdict::Unconfirmed { .. }), "{}", harness.verdict(id));
    assert_eq!((harness.commands().len(), harness.log.updates.len()), (1, 0));
}

#[test]
fn where_both_channels_have_failed_mqtt_is_tried_again() {
    let mut harness = Harness::live();
    harness.cloud.broker.close_on_publish = true;
    harness.cloud.update = Reply::Status(500, "");
    let first = harness.set(LITE, 21.0);
    harness.run(secs(60));
    assert_eq!((harness.commands().len(), harness.log.updates.len()), (1, 1));
    assert!(matches!(harness.verdict(first), Verdict::Unconfirmed { .. }), "{}", harness.verdict(first));
    // Only MQTT recovers.
    harness.cloud.broker.close_on_publish = false;
    let second = harness.set(LITE, 22.0);
    harness.run(secs(60));
    assert_eq!((harness.commands().len(), harness.log.updates.len()), (2, 1));
    assert!(harness.verdict(second).is_confirmed(), "{}", harness.verdict(second));
}

#[test]
fn a_denial_of_an_earlier_run_does_not_outlive_the_structured_service() {
    let mut kept = stored();
    kept.publish_denied_at = Some(harness::START / 1_000 - 60);
    let mut harness =
        Harness::with(Settings::default(), Start::Resume { stored: kept.clone(), password: None }, 0);
    harness.stored = Some(kept);
    harness.cloud.update = Reply::Status(500, "");
    harness.run(secs(10));
    let verdicts = [21.0, 22.0].map(|degrees| {
        let id = harness.set(LITE, degrees);
        harness.run(secs(60));
        harness.verdict(id)
    });
    assert_eq!((harness.log.updates.len(), harness.commands().len()), (1, 1));
    assert!(!verdicts[0].is_confirmed() && verdicts[1].is_confirmed(), "{verdicts:?}");
}

#[test]
fn a_command_that_a_message_carried_is_not_refused_by_the_structured_service() {
    const OTHER: &str = "a0b1c2d3e4f8";
    let mut settings = Settings::default();
    settings.live_reports = false;
    let mut harness = Harness::resume(settings);
    harness.cloud.devices = [LITE, OTHER].map(|id| (id.into(), "BB-V2-0-L".into())).to_vec();
    harness.run(secs(10));
    // The broker acknowledges the message, and the thermostat is silent. Then a publish for another thermostat fails, so that the
    // repeat uses the structured service.
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let id = harness.set(LITE, 22.0);
    harness.run(secs(1));
    harness.cloud.broker.close_on_publish = true;
    harness.set(OTHER, 18.0);
    harness.run(secs(3));
    harness.cloud.update = Reply::Status(403, "");
    harness.run(secs(50));
    assert_eq!(harness.asked(&format!("/{LITE}/update")), 1, "the repeat");
    let reached = DeliveryStage::Service(Channel::Mqtt);
    let verdict = harness.verdict(id);
    assert!(matches!(verdict, Verdict::Unconfirmed { reached: at, .. } if at == reached), "{verdict}");
}

/// Air conditioner that is commanded by the structured service.
fn air_conditioner() -> Harness {
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    harness.cloud.devices = vec![(LITE.into(), "AC-V1-0".into())];
    harness.run(secs(10));
    harness
}

/// Lets the thermostat report that it heats.
fn report_heat(harness: &mut Harness) {
    report_mode(harness, 3);
}

fn report_mode(harness: &mut Harness, number: u8) {
    let report = format!(
        r#"{{"ver":"1.0","src":{{"type":1,"ref":"{LITE}"}},"time":{},"msg":44,"id":8,"resp_id":77,"body":{{"success":1,"type":2,"trig_src":3,"state":{{"md":{number},"sp":21.0,"lk":0,"ho":1,"br":100}}}}}}"#,
        harness.truth_secs()
    );
    harness.publish_from(LITE, &report, Duration::from_millis(10));
    harness.run(secs(1));
}

#[test]
fn a_mode_that_changes_while_a_request_connects_is_not_sent() {
    let mut harness = air_conditioner();
    report_heat(&mut harness);
    harness.log.updates.clear();
    harness.cloud.connects = Some(secs(3));
    let now = harness.now();
    let fan = Change { fan: Some(FanSpeed::from_code(3)), ..Change::default() };
    harness.session.command(now, device(LITE), fan, None).unwrap();
    harness.run(secs(1));
    report_mode(&mut harness, 1);
    harness.run(secs(60));
    let sent: Vec<&str> = harness.log.updates.iter().map(|(_, body)| body.as_str()).collect();
    assert!(matches!(sent[..], [one] if one.contains(r#""mode":0,"fan_mode":4"#)), "{sent:?}");
}

#[test]
fn a_mode_whose_command_ends_while_a_request_connects_is_not_sent() {
    let mut harness = air_conditioner();
    report_heat(&mut harness);
    harness.log.updates.clear();
    harness.cloud.connects = Some(secs(3));
    let set = |harness: &mut Harness, change, deadline| {
        let now = harness.now();
        harness.session.command(now, device(LITE), change, deadline).unwrap()
    };
    let cool = set(&mut harness, Change::mode(Mode::Cool), Some(secs(8)));
    harness.run(secs(6));
    let fan = set(&mut harness, Change { fan: Some(FanSpeed::from_code(3)), ..Change::default() }, None);
    harness.run(secs(60));
    assert!(matches!(harness.verdict(cool), Verdict::Unconfirmed { .. }));
    let refused = harness.verdict(fan);
    assert!(matches!(refused, Verdict::Refused(Refused::Model(_))), "{refused}");
    assert_eq!(harness.log.updates.len(), 1, "{:?}", harness.log.updates);
}

/// The structured service takes a fan speed only with a mode, and a setpoint by the section of its mode.
#[test]
fn the_mode_of_a_command_under_way_goes_with_what_is_asked_after_it() {
    let fan = Change { fan: Some(FanSpeed::from_code(3)), ..Change::default() };
    for (mode, next, section) in [
        (Mode::Off, fan, r#""modes":{"mode":0,"fan_mode":4}"#),
        (Mode::Cool, fan, r#""modes":{"mode":3,"fan_mode":4}"#),
        (Mode::Cool, setpoint(24.0), r#""targetCool":{"setpoint":24}"#),
    ] {
        let mut harness = air_conditioner();
        report_heat(&mut harness);
        harness.log.updates.clear();
        for change in [Change::mode(mode), next] {
            let now = harness.now();
            harness.session.command(now, device(LITE), change, None).unwrap();
            // The first is sent and answered, and no state shows it yet.
            harness.run(Duration::from_millis(600));
        }
        harness.run(secs(8));
        let (_, sent) = &harness.log.updates[1];
        assert!(sent.contains(section), "{mode:?}: {sent}");
    }
}

/// Sends a change on a connection on which the broker reads nothing, although messages still arrive, until the missing
/// acknowledgement counts as a denial and the structured service carries the command.
fn unread_then_structured(harness: &mut Harness, change: Change) -> CommandId {
    harness.cloud.dead = true;
    let now = harness.now();
    let id = harness.session.command(now, device(LITE), change, None).unwrap();
    while harness.log.updates.is_empty() {
        harness.run(secs(1));
        harness.retained(LITE, "{}");
    }
    id
}

/// The broker would act on the command when it reads again, after the verdict.
#[test]
fn a_connection_that_may_hold_a_command_ends_when_the_other_channel_confirms_it() {
    let mut harness = Harness::live();
    let id = unread_then_structured(&mut harness, setpoint(21.0));
    assert_eq!((harness.log.aborts, harness.verdicts(id)), (0, vec![]));
    harness.run(secs(5));
    assert!(harness.verdict(id).is_confirmed(), "{}", harness.verdict(id));
    assert_eq!(harness.log.aborts, 1);
}

/// The broker would act on the first setpoint when it reads again. Its command is undecided, because a newer one takes over
/// only a part of it.
#[test]
fn a_connection_that_may_hold_an_older_command_ends_before_a_newer_one_goes_by_the_other_channel() {
    let mut harness = Harness::live();
    harness.cloud.structured_applies = false;
    let both = Change { lock: Some(true), ..setpoint(21.0) };
    let first = unread_then_structured(&mut harness, both);
    let now = harness.now();
    harness.session.command(now, device(LITE), setpoint(22.0), None).unwrap();
    while harness.log.updates.len() < 2 {
        assert_eq!((harness.log.aborts, harness.verdicts(first)), (0, vec![]));
        harness.run(Duration::from_millis(10));
    }
    assert_eq!((harness.log.aborts, harness.verdicts(first)), (1, vec![]));
}

#[test]
fn an_unconfirmed_verdict_contains_the_observed_values() {
    let mut harness = Harness::live();
    harness.status(LITE, 23.0);
    harness.run(secs(3));
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let unanswered = harness.set(LITE, 21.5);
    harness.run(secs(31));
    let Verdict::Unconfirmed { seen, .. } = harness.verdict(unanswered) else {
        panic!("{}", harness.verdict(unanswered))
    };
    assert_eq!(seen, Change::default(), "values from before the command are not evidence");

    let refused = harness.set(LITE, 22.0);
    harness.run(secs(5));
    harness.status(LITE, 17.0);
    harness.run(secs(26));
    let Verdict::Unconfirmed { seen, .. } = harness.verdict(refused) else {
        panic!("{}", harness.verdict(refused))
    };
    assert_eq!(seen, setpoint(17.0));
}

#[test]
fn a_command_carries_the_users_id_unless_another_sender_is_chosen() {
    let mut harness = Harness::live();
    harness.set(LITE, 21.0);
    harness.run(secs(5));
    assert!(
        harness.commands()[0].3.contains("11111111-1111-4111-8111-111111111111"),
        "{}",
        harness.commands()[0].3
    );
}

#[test]
fn a_thermostat_that_heats_while_it_is_off_is_announced_once() {
    let mut harness = Harness::live();
    let now = harness.now();
    let id = harness.session.command(now, device(LITE), Change::mode(Mode::Off), None).unwrap();
    harness.run(secs(5));
    assert!(harness.verdict(id).is_confirmed(), "{}", harness.verdict(id));
    let announced = |harness: &Harness| {
        harness.events.iter().filter(|(_, event)| matches!(event, Event::Contradiction { .. })).count()
    };
    for _ in 0..5 {
        harness.status(LITE, 19.0);
        harness.run(secs(10));
    }
    assert_eq!(announced(&harness), 0, "the event must wait for the delay");
    for _ in 0..12 {
        harness.status(LITE, 19.0);
        harness.run(secs(10));
    }
    assert_eq!(announced(&harness), 1);
}

#[test]
fn a_refusal_of_an_earlier_run_does_not_matter_while_a_refresh_token_is_kept() {
    let mut kept = stored();
    kept.refused = Some("NotAuthorizedException".into());
    let start = Start::Resume { stored: kept.clone(), password: None };
    let mut harness = Harness::with(Settings::default(), start, 0);
    harness.stored = Some(kept);
    harness.run(secs(10));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

#[test]
fn pings_are_sent_at_three_quarters_of_the_keep_alive() {
    let mut harness = Harness::live();
    let since = harness.mono;
    harness.cloud.dead = true;
    // The connection is silent, so it is given up after the next ping times out.
    while harness.log.closes == 0 {
        harness.run(Duration::from_millis(100));
        assert!(harness.mono - since < secs(90), "within one and a half keep-alives");
    }
    assert!(harness.mono - since > secs(40), "{:?}", harness.mono - since);
}

#[test]
fn a_message_causes_an_event_with_its_changes_and_none_without_changes() {
    let mut harness = Harness::live();
    harness.status(LITE, 22.0);
    harness.run(secs(2));
    harness.status(LITE, 23.0);
    harness.run(secs(2));
    let changed = |harness: &Harness| {
        harness
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Device { about, .. } => Some(*about),
                _ => None,
            })
            .collect::<Vec<bool>>()
    };
    let before = changed(&harness);
    assert_eq!(before.last(), Some(&false), "{before:?}");
    assert!(before.contains(&true), "the device list changed the record");
    harness.status(LITE, 24.0);
    harness.run(secs(2));
    assert_eq!(changed(&harness).len(), before.len() + 1);
}

#[test]
fn going_stale_is_an_event_although_no_field_changes() {
    let mut harness = Harness::live();
    harness.cloud.sends_at_ping = false;
    harness.cloud.setpoints.insert(LITE.into(), (19.0, harness.truth_secs()));
    harness.status(LITE, 20.0);
    harness.run(secs(10));
    let before = harness.events.len();
    harness.run(secs(800));
    assert!(harness.session.device(device(LITE)).unwrap().is_stale());
    assert!(
        harness.events[before..].iter().any(
            |(_, event)| matches!(event, Event::Device { about: true, changes, .. } if changes.is_empty())
        )
    );
}

#[test]
fn a_restarted_thermostat_gets_no_request_for_three_seconds() {
    let mut harness = Harness::live();
    harness.run(secs(20));
    let leases =
        |harness: &Harness| harness.log.publishes.iter().filter(|p| p.3.contains("\"MsgType\":11")).count();
    let before = leases(&harness);
    let boot = r#"{"device":"a0b1c2d3e4f7","timestamp":1767323075,"MsgType":10,"bootCount":77,"version":"3.17.4.1"}"#;
    harness.publish_from(LITE, boot, Duration::ZERO);
    harness.run(Duration::from_millis(2_990));
    assert_eq!(leases(&harness), before);
    harness.run(Duration::from_millis(3_100));
    assert_eq!(leases(&harness), before + 1);
}

#[test]
fn a_thermostat_whose_record_cannot_be_read_is_not_removed() {
    let mut harness = Harness::live();
    harness.cloud.rest = Reply::Status(200, r#"{"DevicesObj":{"a0b1c2d3e4f7":5}}"#);
    let before = harness.asked("GET /devices");
    while harness.asked("GET /devices") < before + 3 {
        harness.run(secs(60));
        assert!(harness.mono < secs(7_200), "the device list must be polled");
    }
    assert_eq!(harness.session.devices().len(), 1);
}

#[test]
fn a_command_that_was_queued_before_its_connection_is_blocked_waits_for_it() {
    let mut harness = Harness::resume(by(CommandChannel::Mqtt));
    harness.run(secs(10));
    let (now, conn) = (harness.now(), harness.log.subscribes[0].1);
    let id = harness.set(LITE, 25.0);
    harness.session.handle_ws_blocked(now, conn, true);
    harness.run(secs(3));
    assert!(harness.commands().is_empty());
    let now = harness.now();
    harness.session.handle_ws_blocked(now, conn, false);
    harness.run(secs(3));
    assert!(harness.verdict(id).is_confirmed(), "{}", harness.verdict(id));
}

#[test]
fn commands_beyond_the_capacity_are_rejected() {
    let mut settings = Settings::default();
    settings.command_capacity = 2;
    let mut harness = Harness::resume(settings);
    harness.run(secs(10));
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let lock = Change { lock: Some(true), ..Change::default() };
    let now = harness.now();
    let mut ask = |change| harness.session.command(now, device(LITE), change, None).is_ok();
    assert!(ask(setpoint(21.0)));
    assert!(ask(Change::mode(Mode::Heat)));
    assert!(!ask(lock), "two are undecided");
}

#[test]
fn a_message_with_qos_1_is_acknowledged_on_the_connection_it_arrived_on() {
    let mut harness = Harness::live();
    let (closes, pubacks) = (harness.log.closes, harness.log.pubacks);
    let status =
        mysa_testkit::V2Status { setpoint: 23.5, ..mysa_testkit::V2Status::new(LITE, harness.truth_secs()) };
    harness.publish_from_with_qos_1(LITE, &status.to_string());
    harness.run(secs(5));
    assert_eq!((harness.log.closes, harness.log.pubacks), (closes, pubacks + 1));
    let shown = harness.session.state(device(LITE)).unwrap().setpoint().unwrap().value;
    assert_eq!(shown.as_degrees(), 23.5);
}

#[test]
fn a_command_without_await_effect_is_decided_once_it_is_accepted() {
    for channel in [CommandChannel::Mqtt, CommandChannel::Structured] {
        let mut settings = by(channel);
        settings.await_effect = false;
        let mut harness = Harness::resume(settings);
        // Only the acceptance itself can decide the command.
        (harness.cloud.device_acks, harness.cloud.device_applies, harness.cloud.structured_applies) =
            (false, false, false);
        harness.run(secs(10));
        let id = harness.set(LITE, 21.0);
        harness.run(secs(1));
        let verdict = harness.verdict(id);
        let Verdict::Unconfirmed { reached: DeliveryStage::Service(by), after, .. } = verdict else {
            panic!("{channel:?}: {verdict}")
        };
        assert_eq!(by == Channel::Mqtt, channel == CommandChannel::Mqtt);
        assert!(after < secs(1), "{after:?}");
    }
    // Nothing accepts the command, so it lasts until its deadline.
    let mut settings = by(CommandChannel::Mqtt);
    settings.await_effect = false;
    let mut harness = Harness::resume(settings);
    harness.run(secs(10));
    harness.cloud.dead = true;
    let id = harness.set(LITE, 21.0);
    harness.run(secs(4));
    assert!(harness.verdicts(id).is_empty());
    harness.run(secs(30));
    let verdict = harness.verdict(id);
    assert!(
        matches!(verdict, Verdict::Unconfirmed { reached: DeliveryStage::Wire(Channel::Mqtt), .. }),
        "{verdict}"
    );
}

#[test]
fn thermostats_that_an_earlier_run_listed_are_commanded_while_rest_is_down() {
    let mut harness = Harness::new();
    harness.cloud.rest = Reply::Status(503, "");
    harness.run(secs(10));
    assert_eq!((harness.session.service().level, harness.log.dials.len()), (Level::Offline, 0));
    let known = [
        (device(LITE), Model::parse("BB-V2-0-L"), Some("Bedroom".into())),
        (device("a0b1c2d3e4ff"), Model::parse("BB-V1-1"), None),
    ];
    let now = harness.now();
    harness.session.assume_devices(now, known.clone());
    harness.run(secs(10));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
    let id = harness.set(LITE, 21.0);
    harness.run(secs(10));
    assert!(harness.verdict(id).is_confirmed(), "{}", harness.verdict(id));
    // The device list of the account takes precedence.
    harness.cloud.rest = Reply::Good;
    harness.run(secs(3_600));
    let name = |id: &str| harness.session.device(device(id)).map(|device| device.name().map(str::to_owned));
    assert_eq!(name(LITE), Some(Some(format!("Room {LITE}"))));
    assert_eq!(name("a0b1c2d3e4ff"), None);
    let now = harness.now();
    harness.session.assume_devices(now, known);
    assert_eq!(harness.session.devices().len(), 1);
}

/// That is no proof that the broker drops publishes.
#[test]
fn a_command_that_mqtt_carried_and_the_service_refused_does_not_make_mqtt_read_only() {
    let mut harness = Harness::live();
    harness.cloud.broker.close_on_publish = true;
    harness.cloud.update = Reply::Status(403, "");
    let first = harness.set(LITE, 22.0);
    harness.run(secs(8));
    assert_eq!((harness.commands().len(), harness.log.updates.len()), (1, 1));
    harness.cloud.broker.close_on_publish = false;
    // The publish had arrived before the connection broke.
    harness.status(LITE, 22.0);
    harness.run(secs(5));
    assert!(harness.verdict(first).is_confirmed(), "{}", harness.verdict(first));
    harness.set(LITE, 23.0);
    harness.run(secs(30));
    let denied = harness.stored.as_ref().and_then(|stored| stored.publish_denied_at);
    assert_eq!(
        (harness.commands().len(), harness.log.updates.len(), denied),
        (2, 1, None),
        "commands by MQTT, by the structured service, and the stored denial"
    );
}
