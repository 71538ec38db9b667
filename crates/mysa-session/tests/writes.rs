//! Rules for writing: no byte of a command is sent after its verdict, its deadline or a newer command for its field.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod rig;

use std::time::Duration;

use mysa_mqtt_codec::ConnectRefusal;
use mysa_proto::{Celsius, Channel, rest};
use mysa_session::{
    CommandChannel, DeliveryStage, Effect, Event, Evidence, Expired, Now, Output, Refused, RequestError,
    Session, Settings, Start, Verdict,
};
use mysa_testkit::V2Status;
use rig::{LITE, Reply, Rig, by, device, secs, setpoint, stored};

fn live(channel: CommandChannel) -> Rig {
    let mut rig = Rig::resume(by(channel));
    rig.run(secs(10));
    rig
}

/// Makes the thermostat ignore commands without an answer, and the broker acknowledge nothing.
fn silence_cloud(rig: &mut Rig) {
    rig.cloud.broker.puback = false;
    rig.cloud.device_acks = false;
    rig.cloud.device_applies = false;
}

/// Returns the setpoints in the commands on the wire, and whether each was a repeat.
fn published(rig: &Rig) -> Vec<(f64, bool)> {
    let setpoint = |text: &str| rig::number_after(text, "\"sp\":").unwrap();
    rig.commands().iter().map(|publish| (setpoint(&publish.3), publish.4)).collect()
}

fn updated(rig: &Rig) -> Vec<f64> {
    rig.log.updates.iter().map(|(_, body)| rig::number_after(body, "\"setpoint\":").unwrap()).collect()
}

/// Drains the output without events, and returns the number of items other than reads of the store.
fn drain(session: &mut Session) -> usize {
    std::iter::from_fn(|| session.poll_io()).filter(|output| !matches!(output, Output::Load)).count()
}

#[test]
fn the_bytes_of_a_command_are_encoded_when_the_driver_takes_them() {
    let mut rig = Rig::live();
    let now = rig.now();
    // The command is cancelled, overtaken, or too late before the driver has taken anything.
    let id = rig.set(LITE, 25.0);
    rig.session.cancel(now, id);
    assert_eq!(drain(&mut rig.session), 0, "cancelled");
    rig.run(secs(10));
    rig.set(LITE, 26.0);
    rig.set(LITE, 18.0);
    rig.run(secs(10));
    assert_eq!(published(&rig), [(18.0, false)], "overtaken");
    let late = rig.set(LITE, 27.0);
    // The driver pauses for longer than the command's time limit.
    let later = Now { mono: rig.mono + secs(40), wall: rig.now().wall.plus_millis(40_000) };
    rig.session.handle_timeout(later);
    rig.mono += secs(40);
    rig.run(secs(1));
    assert_eq!(rig.verdict(late), Verdict::Expired(Expired::Deadline));
    assert_eq!(published(&rig), [(18.0, false)]);
    let id = rig.set(LITE, 28.0);
    let now = rig.now();
    rig.session.shutdown(now);
    rig.run(secs(1));
    assert_eq!(rig.verdict(id), Verdict::Expired(Expired::ShutDown));
    assert_eq!(published(&rig), [(18.0, false)]);
}

#[test]
fn a_decided_command_is_not_repeated_without_a_puback() {
    // The broker never acknowledges; the command is confirmed, cancelled, or short of time.
    for case in ["confirmed", "cancelled", "deadline"] {
        let mut rig = live(CommandChannel::Mqtt);
        rig.cloud.broker.puback = false;
        if case != "confirmed" {
            silence_cloud(&mut rig);
        }
        // A publish is repeated 5 s after it was sent, which is after this deadline.
        let (now, deadline) = (rig.now(), (case == "deadline").then_some(secs(4)));
        let id = rig.session.command(now, device(LITE), setpoint(25.0), deadline).unwrap();
        rig.run(secs(2));
        if case == "cancelled" {
            let now = rig.now();
            rig.session.cancel(now, id);
        }
        rig.run(secs(60));
        assert_eq!(published(&rig), [(25.0, false)], "{case}");
        assert_eq!(rig.verdict(id).is_confirmed(), case == "confirmed", "{case}: {}", rig.verdict(id));
    }
}

#[test]
fn a_lost_puback_is_not_a_failure_when_the_thermostat_answers() {
    let mut rig = live(CommandChannel::Auto);
    rig.cloud.broker.puback = false;
    for degrees in [20.0, 21.0, 22.0, 23.0] {
        let id = rig.set(LITE, degrees);
        rig.run(secs(4));
        assert!(matches!(rig.verdict(id), Verdict::Confirmed { by: Evidence::Ack, .. }), "{degrees}");
    }
    assert_eq!((published(&rig).len(), updated(&rig).len()), (4, 0), "every command uses MQTT");
}

#[test]
fn an_unacknowledged_command_is_not_repeated_once_a_newer_one_waits() {
    let mut rig = live(CommandChannel::Mqtt);
    silence_cloud(&mut rig);
    rig.set(LITE, 25.0);
    // Just before the repeat, which is due 5 s after the publish.
    rig.run(Duration::from_millis(4_900));
    // The new command waits for the write interval while the repeat of the older one falls due.
    rig.set(LITE, 20.0);
    rig.run(secs(90));
    let sent = published(&rig);
    let first = sent.iter().position(|(degrees, _)| *degrees < 25.0).unwrap();
    assert_eq!(sent[..first], [(25.0, false)]);
    assert!(sent[first..].iter().all(|(degrees, _)| *degrees < 25.0), "{sent:?}");
}

#[test]
fn updates_of_one_thermostat_are_sent_in_sequence() {
    let mut rig = live(CommandChannel::Structured);
    rig.cloud.update_takes = secs(12);
    let first = rig.set(LITE, 25.0);
    rig.run(secs(3));
    let second = rig.set(LITE, 20.0);
    rig.run(secs(8));
    assert_eq!(updated(&rig), [25.0], "the second waits for the answer to the first");
    rig.run(secs(20));
    assert_eq!(updated(&rig), [25.0, 20.0]);
    assert!(matches!(
        rig.verdict(first),
        Verdict::Superseded { by, reached: Some(DeliveryStage::Service(_)) } if by == second
    ));
    rig.run(secs(20));
    assert!(rig.verdict(second).is_confirmed(), "{}", rig.verdict(second));
}

#[test]
fn an_update_with_an_unknown_outcome_is_unconfirmed_and_not_repeated() {
    for reply in
        [Reply::Timeout, Reply::Status(500, "{}"), Reply::Status(503, "{}"), Reply::Status(408, "{}")]
    {
        let mut rig = live(CommandChannel::Structured);
        rig.cloud.update = reply;
        let id = rig.set(LITE, 25.0);
        rig.run(secs(40));
        rig.cloud.update = Reply::Good;
        rig.run(secs(3_600));
        assert_eq!(updated(&rig), [25.0], "{reply:?}");
        assert!(
            matches!(
                rig.verdict(id),
                Verdict::Unconfirmed { reached: DeliveryStage::Wire(Channel::Structured), .. }
            ),
            "{reply:?}: {}",
            rig.verdict(id)
        );
    }
}

#[test]
fn an_update_whose_token_is_refused_is_repeated_once_and_not_after_its_deadline() {
    // Tokens are available again at once, after the deadline, or after hours.
    for (away, sent, refused) in [(0, 2, false), (60, 1, true), (4 * 3_600, 1, true)] {
        let mut rig = live(CommandChannel::Structured);
        rig.cloud.update = Reply::Status(401, "{}");
        if away > 0 {
            rig.cloud.refresh = Reply::Timeout;
        }
        let id = rig.set(LITE, 25.0);
        rig.run(Duration::from_millis(100));
        rig.cloud.update = Reply::Good;
        rig.run(secs(away));
        rig.cloud.refresh = Reply::Good;
        rig.run(secs(5 * 3_600));
        assert_eq!(updated(&rig).len(), sent, "away for {away} s");
        if refused {
            assert_eq!(
                rig.verdict(id),
                Verdict::Refused(Refused::Service { status: 401, retry_after: None }),
                "{away}"
            );
        } else {
            assert!(rig.verdict(id).is_confirmed(), "{away}: {}", rig.verdict(id));
        }
    }
}

#[test]
fn an_update_whose_token_is_refused_is_not_repeated_after_a_newer_command_or_a_cancellation() {
    for cancelled in [false, true] {
        let mut rig = live(CommandChannel::Structured);
        rig.cloud.update = Reply::Status(401, "{}");
        rig.cloud.refresh = Reply::Timeout;
        let id = rig.set(LITE, 25.0);
        rig.run(secs(2));
        if cancelled {
            let now = rig.now();
            rig.session.cancel(now, id);
        } else {
            rig.set(LITE, 18.0);
        }
        rig.cloud.update = Reply::Good;
        rig.cloud.refresh = Reply::Good;
        rig.run(secs(120));
        let expected: &[f64] = if cancelled { &[25.0] } else { &[25.0, 18.0] };
        assert_eq!(updated(&rig), expected, "cancelled: {cancelled}");
    }
}

#[test]
fn a_pause_that_the_service_asks_for_is_in_the_verdict() {
    let mut rig = live(CommandChannel::Structured);
    rig.cloud.update = Reply::Status(429, "{}");
    rig.cloud.retry_after = Some("300");
    let id = rig.set(LITE, 25.0);
    rig.run(secs(20));
    let refused = Refused::Service { status: 429, retry_after: Some(secs(300)) };
    assert!(refused.to_string().ends_with("try again in 300 s"), "{refused}");
    assert_eq!(rig.verdict(id), Verdict::Refused(refused));
    assert_eq!(updated(&rig).len(), 1);
}

#[test]
fn a_second_refusal_of_the_token_refuses_the_command() {
    let mut rig = live(CommandChannel::Structured);
    rig.cloud.update = Reply::Status(401, "{}");
    let id = rig.set(LITE, 25.0);
    rig.run(secs(20));
    assert_eq!(rig.verdict(id), Verdict::Refused(Refused::Service { status: 401, retry_after: None }));
    assert_eq!(updated(&rig).len(), 2);
}

#[test]
fn after_a_sleep_a_command_is_too_late_by_the_wall_clock() {
    // The deadline is 30 s, and nothing is sent in its last 2 s.
    for (asleep, expires) in [(secs(5), false), (secs(29), true), (secs(8 * 3_600), true)] {
        let mut rig = live(CommandChannel::Mqtt);
        rig.cut();
        rig.run(Duration::from_millis(10));
        let id = rig.set(LITE, 25.0);
        rig.drain();
        // The monotonic clock stands still meanwhile.
        rig.host_ahead_ms += i64::try_from(asleep.as_millis()).unwrap();
        rig.truth_ahead_secs += i64::try_from(asleep.as_secs()).unwrap();
        rig.run(secs(90));
        assert_eq!(published(&rig).is_empty(), expires, "{asleep:?}");
        if expires {
            assert_eq!(rig.verdict(id), Verdict::Expired(Expired::Deadline), "{asleep:?}");
        }
    }
}

#[test]
fn a_caller_s_write_that_waits_for_a_token_is_given_up_within_a_minute() {
    let mut rig = live(CommandChannel::Auto);
    rig.cloud.rest = Reply::Status(401, "{}");
    rig.cloud.refresh = Reply::Timeout;
    let now = rig.now();
    let id = rig.session.write_settings(now, rest::set_name(device(LITE), "Den").unwrap()).unwrap();
    rig.run(secs(90));
    rig.cloud.rest = Reply::Good;
    rig.cloud.refresh = Reply::Good;
    rig.run(secs(3_600));
    assert_eq!(rig.asked(&format!("/devices/{LITE}")), 1);
    let answers: Vec<_> = rig
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Response { id: of, result } if *of == id => Some((*at, result)),
            _ => None,
        })
        .collect();
    // The session was live at 10 s; the request then waits for a token for 60 s.
    assert!(matches!(answers[..], [(at, Err(RequestError::NotSent))] if at <= secs(80)), "{answers:?}");
}

#[test]
fn a_request_whose_connection_opens_too_late_is_never_written() {
    // The command is too late by its deadline, by a cancellation, or by a newer command.
    for case in ["deadline", "cancelled", "overtaken"] {
        let mut rig = live(CommandChannel::Structured);
        rig.cloud.connects = Some(secs(15));
        let (now, deadline) = (rig.now(), (case == "deadline").then_some(secs(10)));
        let id = rig.session.command(now, device(LITE), setpoint(25.0), deadline).unwrap();
        rig.run(secs(3));
        let now = rig.now();
        match case {
            "cancelled" => rig.session.cancel(now, id),
            "overtaken" => drop(rig.set(LITE, 19.0)),
            _ => {}
        }
        rig.run(secs(60));
        assert!(matches!(rig.verdict(id), Verdict::Expired(_) | Verdict::Superseded { reached: None, .. }));
        let newer: &[f64] = if case == "overtaken" { &[19.0] } else { &[] };
        assert_eq!(updated(&rig), newer, "{case}");
    }
}

#[test]
fn after_a_sleep_an_open_connection_gets_no_body() {
    let mut rig = live(CommandChannel::Structured);
    rig.cloud.connects = Some(secs(2));
    let command = rig.set(LITE, 25.0);
    let now = rig.now();
    let rename = rest::set_name(device(LITE), "Den").unwrap();
    let write = rig.session.write_settings(now, rename).unwrap();
    rig.run(secs(1));
    // The host sleeps for an hour: its monotonic clock stands still.
    rig.host_ahead_ms += 3_600_000;
    rig.run(secs(30));
    assert_eq!(rig.verdict(command), Verdict::Expired(Expired::Deadline));
    assert!(updated(&rig).is_empty());
    assert_eq!(rig.asked(&format!("/devices/{LITE}")), 0);
    let not_sent = |event: &Event| matches!(event, Event::Response { id, result: Err(RequestError::NotSent) } if *id == write);
    assert!(rig.events.iter().any(|(_, event)| not_sent(event)));
}

#[test]
fn a_request_that_could_not_be_sent_is_retried_while_its_command_is_undecided() {
    let mut rig = live(CommandChannel::Structured);
    rig.cloud.connects = None;
    let lost = rig.session.command(rig.now(), device(LITE), setpoint(24.0), Some(secs(10))).unwrap();
    rig.run(secs(15));
    assert_eq!(rig.verdict(lost), Verdict::Expired(Expired::Deadline), "nothing was sent");
    let tries = rig.session.command(rig.now(), device(LITE), setpoint(25.0), None).unwrap();
    rig.run(secs(5));
    rig.cloud.connects = Some(Duration::ZERO);
    rig.run(secs(15));
    assert!(rig.verdict(tries).is_confirmed(), "{}", rig.verdict(tries));
    assert_eq!(updated(&rig), [25.0]);
}

#[test]
fn a_value_already_held_is_confirmed_only_after_the_service_accepted_the_request() {
    let mut rig = live(CommandChannel::Structured);
    rig.status(LITE, 21.0);
    rig.run(secs(5));
    rig.cloud.update_takes = secs(4);
    let id = rig.set(LITE, 21.0);
    rig.run(secs(1));
    // The thermostat shows the old value: the request has not arrived.
    rig.status(LITE, 21.0);
    rig.run(secs(1));
    assert!(rig.verdicts(id).is_empty());
    rig.run(secs(20));
    assert!(matches!(rig.verdict(id), Verdict::Confirmed { effect: Effect::AlreadyHeld, .. }));
}

/// Runs one process for one command, as `mysa set` does: the command is queued before anything is connected.
fn one_shot(rig: &mut Rig) -> Verdict {
    rig.run(secs(1));
    let id = rig.set(LITE, 21.0);
    rig.run(secs(31));
    rig.verdict(id)
}

#[test]
fn where_publishing_is_denied_the_first_command_is_confirmed_by_the_second_channel_before_its_deadline() {
    type Case = (&'static str, fn(&mut Rig));
    let cases: [Case; 5] = [
        ("closed on publish", |rig| rig.cloud.broker.close_on_publish = true),
        ("swallowed", silence_cloud),
        ("CONNECT refused", |rig| rig.cloud.broker.connack = Some(ConnectRefusal::NotAuthorized)),
        ("upgrade refused", |rig| rig.cloud.upgrade = Some(403)),
        ("closed after CONNACK", |rig| rig.cloud.close_after_connack = Some(Duration::from_millis(30))),
    ];
    for (name, deny) in cases {
        let mut rig = Rig::new();
        deny(&mut rig);
        let verdict = one_shot(&mut rig);
        assert!(verdict.is_confirmed(), "{name}: {verdict}");
        assert_eq!(updated(&rig), [21.0], "{name}: once");
        let first = rig.commands().iter().filter(|publish| !publish.4).count();
        assert!(first <= 1, "{name}: {first} attempts by MQTT");
    }
}

#[test]
fn a_stored_denial_is_used_and_tested_after_its_lifetime() {
    let mut rig = Rig::new();
    rig.cloud.broker.close_on_publish = true;
    assert!(one_shot(&mut rig).is_confirmed());
    let kept = rig.stored.clone().unwrap();
    let denied_at = kept.publish_denied_at.unwrap();
    assert!((rig.truth_secs() - denied_at).abs() < 60);

    // The next process does not try MQTT. One a day later does, and finds that publishing is allowed.
    for (age, by_mqtt) in [(60, 0), (25 * 3_600, 1)] {
        let mut kept = kept.clone();
        kept.publish_denied_at = Some(rig::START / 1_000 - age);
        let start = Start::Resume { stored: kept.clone(), password: None };
        let mut rig = Rig::with(Settings::default(), start, 0);
        rig.stored = Some(kept);
        assert!(one_shot(&mut rig).is_confirmed(), "{age} s later");
        assert_eq!((rig.commands().len(), updated(&rig).len()), (by_mqtt, 1 - by_mqtt), "{age} s later");
        if by_mqtt == 1 {
            assert_eq!(rig.stored.unwrap().publish_denied_at, None, "publishing is allowed");
        }
    }
}

#[test]
fn a_denial_of_a_request_for_live_reports_applies_to_commands() {
    // The connection ends at that request, before the command is published. A single failure proves nothing.
    let mut settings = Settings::default();
    settings.read_only_after = u8::MAX;
    let mut rig = Rig::resume(settings);
    rig.cloud.broker.close_on_publish = true;
    rig.run(secs(10));
    assert!(!rig.log.publishes.is_empty() && rig.commands().is_empty(), "{:?}", rig.log.publishes);
    assert_eq!(rig.stored.as_ref().unwrap().publish_denied_at, None);
    // The other channel's success shows that the network was not the cause.
    let id = rig.set(LITE, 22.0);
    rig.run(secs(20));
    assert!(rig.verdict(id).is_confirmed());
    assert!(rig.commands().is_empty() && updated(&rig) == [22.0]);
    assert!(rig.stored.unwrap().publish_denied_at.is_some());
}

#[test]
fn a_denial_of_an_earlier_run_is_tried_at_once_where_mqtt_is_chosen() {
    let mut kept = stored();
    kept.publish_denied_at = Some(rig::START / 1_000 - 60);
    let start = Start::Resume { stored: kept, password: None };
    let mut rig = Rig::with(by(CommandChannel::Mqtt), start, 0);
    assert!(one_shot(&mut rig).is_confirmed());
    assert_eq!((rig.commands().len(), updated(&rig).len()), (1, 0));
}

#[test]
fn while_mqtt_cannot_connect_a_command_uses_rest_at_once() {
    for (name, wait) in [("CONNECT is refused", 5), ("the upgrade is refused", 60)] {
        let mut rig = Rig::new();
        match name {
            "CONNECT is refused" => rig.cloud.broker.connack = Some(ConnectRefusal::NotAuthorized),
            _ => rig.cloud.upgrade = Some(403),
        }
        rig.run(secs(wait));
        let asked = rig.mono;
        let id = rig.set(LITE, 22.0);
        rig.run(secs(20));
        assert!(rig.verdict(id).is_confirmed(), "{name}");
        assert!(rig.log.updates[0].0 - asked < secs(1), "{name}: {asked:?} {:?}", rig.log.updates);
    }
}

#[test]
fn a_chosen_channel_is_the_only_one_used() {
    let mut rig = Rig::resume(by(CommandChannel::Mqtt));
    rig.cloud.broker.close_on_publish = true;
    assert!(!one_shot(&mut rig).is_confirmed());
    assert!(updated(&rig).is_empty());
    let mut rig = Rig::resume(by(CommandChannel::Structured));
    assert!(one_shot(&mut rig).is_confirmed());
    assert!(rig.commands().is_empty());
}

#[test]
fn a_value_already_held_is_confirmed_as_already_held() {
    let mut rig = live(CommandChannel::Mqtt);
    rig.status(LITE, 21.0);
    rig.run(secs(5));
    let id = rig.set(LITE, 21.0);
    // The thermostat of the rig acknowledges with the values it holds.
    rig.cloud.setpoints.insert(LITE.into(), (21.0, rig.truth_secs()));
    rig.run(secs(5));
    assert!(matches!(rig.verdict(id), Verdict::Confirmed { effect: Effect::AlreadyHeld, .. }));
    let other = rig.set(LITE, 22.0);
    rig.run(secs(5));
    assert!(matches!(rig.verdict(other), Verdict::Confirmed { effect: Effect::Changed, .. }));
}

#[test]
fn several_thermostats_are_commanded_in_sequence_and_each_command_has_its_verdict() {
    let mut rig = Rig::new();
    let ids: Vec<String> = (0..6).map(|n| format!("a0b1c2d3e4{n:02x}")).collect();
    rig.cloud.devices = ids.iter().map(|id| (id.clone(), "BB-V2-0-L".into())).collect();
    rig.run(secs(15));
    let now = rig.now();
    let devices: Vec<_> = ids.iter().map(|id| device(id)).collect();
    let commands = rig.session.command_many(now, &devices, setpoint(21.0), None).unwrap();
    rig.run(secs(30));
    let at: Vec<Duration> = rig.commands().iter().map(|publish| publish.0).collect();
    assert_eq!(at.len(), 6);
    assert_eq!(at[0], now.mono, "the first command is sent at once");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= secs(1)), "{at:?}");
    assert!(commands.iter().all(|id| rig.verdict(*id).is_confirmed()));
}

#[test]
fn commands_dropped_in_a_burst_are_sent_again() {
    let mut rig = live(CommandChannel::Mqtt);
    rig.cloud.device_acks = false;
    rig.cloud.device_applies = false;
    let id = rig.set(LITE, 21.0);
    rig.run(secs(5));
    rig.cloud.device_acks = true;
    rig.cloud.device_applies = true;
    rig.run(secs(5));
    assert!(rig.verdict(id).is_confirmed(), "{}", rig.verdict(id));
    assert_eq!(published(&rig), [(21.0, false), (21.0, false)], "the second has its own id and no DUP");
}

#[test]
fn while_a_connection_is_blocked_a_command_is_not_encoded_and_can_be_cancelled() {
    let mut rig = live(CommandChannel::Mqtt);
    let now = rig.now();
    let conn = rig.log.subscribes[0].1;
    rig.session.handle_ws_blocked(now, conn, true);
    let id = rig.set(LITE, 25.0);
    rig.run(secs(3));
    assert!(published(&rig).is_empty());
    let now = rig.now();
    rig.session.cancel(now, id);
    rig.session.handle_ws_blocked(now, conn, false);
    rig.run(secs(3));
    assert!(published(&rig).is_empty());
    // A packet that waits in the driver is dropped with its connection.
    silence_cloud(&mut rig);
    let id = rig.set(LITE, 26.0);
    rig.run(secs(1));
    assert_eq!(published(&rig), [(26.0, false)]);
    let (now, closes) = (rig.now(), rig.log.closes);
    rig.session.handle_ws_blocked(now, conn, true);
    rig.session.cancel(now, id);
    rig.run(secs(1));
    assert_eq!(rig.log.closes, closes + 1);
}

#[test]
fn a_preview_returns_what_a_command_would_send_and_sends_nothing() {
    let mut rig = live(CommandChannel::Auto);
    rig.status(LITE, 19.0);
    rig.run(secs(1));
    let now = rig.now();
    let preview = rig.session.preview(now, device(LITE), setpoint(20.3)).unwrap();
    assert_eq!(
        (preview.channel, preview.change, preview.before),
        (Channel::Mqtt, setpoint(20.5), setpoint(19.0))
    );
    assert!(preview.payload.contains("\"cmd\":[{\"tm\":-1,\"sp\":20.5}]"), "{}", preview.payload);
    let refused = rig.session.preview(now, device(LITE), setpoint(45.0));
    assert!(matches!(refused, Err(Refused::Model(_))), "{refused:?}");
    rig.run(secs(30));
    assert_eq!((rig.commands().len(), updated(&rig).len()), (0, 0));
}

#[test]
fn a_retained_status_counts_by_its_own_time() {
    let at = |rig: &Rig| rig.session.state(device(LITE)).and_then(|state| state.setpoint()).map(|f| f.value);
    for (age, shown) in [(Some(86_400), 19.0), (None, 19.0), (Some(2), 27.0)] {
        let mut rig = live(CommandChannel::Auto);
        let last_seen = |rig: &Rig| rig.session.device(device(LITE)).unwrap().last_seen_ago(rig.now().mono);
        let before = last_seen(&rig);
        let time = age.map(|age| rig.truth_secs() - age);
        let status = V2Status { time, setpoint: 27.0, ..V2Status::new(LITE, 0) };
        rig.retained(LITE, &status.to_string());
        rig.run(secs(1));
        assert_eq!(at(&rig), Celsius::from_degrees(shown), "{age:?}");
        if age != Some(2) {
            assert_eq!(last_seen(&rig), before.map(|age| age + secs(1)), "{age:?}: no sign of life");
        }
    }
}

#[test]
fn an_undated_snapshot_after_a_confirmation_does_not_revert_it() {
    let mut rig = live(CommandChannel::Mqtt);
    let id = rig.set(LITE, 25.0);
    rig.cloud.undated_setpoint = Some(19.0);
    rig.run(secs(20));
    assert!(rig.verdict(id).is_confirmed());
    assert!(rig.asked("GET /devices/state") >= 2, "the states must be read again after the command");
    let shown = rig.session.state(device(LITE)).and_then(|state| state.setpoint()).map(|field| field.value);
    assert_eq!(
        shown,
        Celsius::from_degrees(25.0),
        "an undated value in REST must not replace a confirmed one"
    );
}

#[test]
fn a_command_in_flight_keeps_its_connection_while_that_is_replaced() {
    let mut settings = by(CommandChannel::Mqtt);
    settings.connection_life = secs(600);
    let mut rig = Rig::resume(settings);
    rig.run(secs(10));
    while rig.log.dials.len() < 2 {
        rig.run(Duration::from_millis(50));
        assert!(rig.mono < secs(1_200), "the connection must be replaced in time");
    }
    silence_cloud(&mut rig);
    let id = rig.set(LITE, 25.0);
    rig.run(secs(2));
    assert_eq!(rig.log.connects.len(), 2, "the replacement is open");
    rig.cloud.broker.puback = true;
    rig.cloud.device_acks = true;
    rig.cloud.device_applies = true;
    rig.run(secs(10));
    assert!(rig.verdict(id).is_confirmed(), "{}", rig.verdict(id));
    let conns: Vec<_> = rig.commands().iter().map(|publish| publish.1).collect();
    assert!(conns.iter().all(|conn| *conn == conns[0]), "{conns:?}");
    assert_eq!((published(&rig), rig.open_sockets()), (vec![(25.0, false), (25.0, true)], 1));
}
