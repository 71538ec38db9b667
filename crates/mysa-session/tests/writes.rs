//! Rules for writing: no byte of a command is sent after its verdict, its deadline or a newer command for its field.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod harness;

use std::time::Duration;

use harness::{Harness, LITE, Reply, by, device, secs, setpoint, stored};
use mysa_mqtt_codec::ConnectRefusal;
use mysa_proto::{Celsius, Channel, rest};
use mysa_session::{
    CommandChannel, DeliveryStage, Effect, Event, Evidence, Expired, Now, Output, Refused, RequestError,
    Session, Settings, Start, Verdict,
};
use mysa_testkit::V2Status;

fn live(channel: CommandChannel) -> Harness {
    let mut harness = Harness::resume(by(channel));
    harness.run(secs(10));
    harness
}

/// Makes the thermostat ignore commands without an answer, and the broker acknowledge nothing.
fn silence_cloud(harness: &mut Harness) {
    harness.cloud.broker.puback = false;
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
}

/// Returns the setpoints in the commands on the wire, and whether each was a repeat.
fn published(harness: &Harness) -> Vec<(f64, bool)> {
    let setpoint = |text: &str| harness::number_after(text, "\"sp\":").unwrap();
    harness.commands().iter().map(|publish| (setpoint(&publish.3), publish.4)).collect()
}

fn updated(harness: &Harness) -> Vec<f64> {
    harness
        .log
        .updates
        .iter()
        .map(|(_, body)| harness::number_after(body, "\"setpoint\":").unwrap())
        .collect()
}

/// Drains the output without events, and returns the number of items other than reads of the store.
fn drain(session: &mut Session) -> usize {
    std::iter::from_fn(|| session.poll_io()).filter(|output| !matches!(output, Output::Load)).count()
}

#[test]
fn the_bytes_of_a_command_are_encoded_when_the_driver_takes_them() {
    let mut harness = Harness::live();
    let now = harness.now();
    // The command is cancelled, overtaken, or too late before the driver has taken anything.
    let id = harness.set(LITE, 25.0);
    harness.session.cancel(now, id);
    assert_eq!(drain(&mut harness.session), 0, "cancelled");
    harness.run(secs(10));
    harness.set(LITE, 26.0);
    harness.set(LITE, 18.0);
    harness.run(secs(10));
    assert_eq!(published(&harness), [(18.0, false)], "overtaken");
    let late = harness.set(LITE, 27.0);
    // The driver pauses for longer than the command's time limit.
    let later = Now { mono: harness.mono + secs(40), wall: harness.now().wall.plus_millis(40_000) };
    harness.session.handle_timeout(later);
    harness.mono += secs(40);
    harness.run(secs(1));
    assert_eq!(harness.verdict(late), Verdict::Expired(Expired::Deadline));
    assert_eq!(published(&harness), [(18.0, false)]);
    let id = harness.set(LITE, 28.0);
    let now = harness.now();
    harness.session.shutdown(now);
    harness.run(secs(1));
    assert_eq!(harness.verdict(id), Verdict::Expired(Expired::ShutDown));
    assert_eq!(published(&harness), [(18.0, false)]);
}

#[test]
fn a_decided_command_is_not_repeated_without_a_puback() {
    // The broker never acknowledges; the command is confirmed, cancelled, or short of time.
    for case in ["confirmed", "cancelled", "deadline"] {
        let mut harness = live(CommandChannel::Mqtt);
        harness.cloud.broker.puback = false;
        if case != "confirmed" {
            silence_cloud(&mut harness);
        }
        // A publish is repeated 5 s after it was sent, which is after this deadline.
        let (now, deadline) = (harness.now(), (case == "deadline").then_some(secs(4)));
        let id = harness.session.command(now, device(LITE), setpoint(25.0), deadline).unwrap();
        harness.run(secs(2));
        if case == "cancelled" {
            let now = harness.now();
            harness.session.cancel(now, id);
        }
        harness.run(secs(60));
        assert_eq!(published(&harness), [(25.0, false)], "{case}");
        assert_eq!(
            harness.verdict(id).is_confirmed(),
            case == "confirmed",
            "{case}: {}",
            harness.verdict(id)
        );
    }
}

#[test]
fn a_lost_puback_is_not_a_failure_when_the_thermostat_answers() {
    let mut harness = live(CommandChannel::Auto);
    harness.cloud.broker.puback = false;
    for degrees in [20.0, 21.0, 22.0, 23.0] {
        let id = harness.set(LITE, degrees);
        harness.run(secs(4));
        assert!(matches!(harness.verdict(id), Verdict::Confirmed { by: Evidence::Ack, .. }), "{degrees}");
    }
    assert_eq!((published(&harness).len(), updated(&harness).len()), (4, 0), "every command uses MQTT");
}

#[test]
fn an_unacknowledged_command_is_not_repeated_once_a_newer_one_waits() {
    let mut harness = live(CommandChannel::Mqtt);
    silence_cloud(&mut harness);
    harness.set(LITE, 25.0);
    // Just before the repeat, which is due 5 s after the publish.
    harness.run(Duration::from_millis(4_900));
    // The new command waits for the write interval while the repeat of the older one falls due.
    harness.set(LITE, 20.0);
    harness.run(secs(90));
    let sent = published(&harness);
    let first = sent.iter().position(|(degrees, _)| *degrees < 25.0).unwrap();
    assert_eq!(sent[..first], [(25.0, false)]);
    assert!(sent[first..].iter().all(|(degrees, _)| *degrees < 25.0), "{sent:?}");
}

#[test]
fn updates_of_one_thermostat_are_sent_in_sequence() {
    let mut harness = live(CommandChannel::Structured);
    harness.cloud.update_takes = secs(12);
    let first = harness.set(LITE, 25.0);
    harness.run(secs(3));
    let second = harness.set(LITE, 20.0);
    harness.run(secs(8));
    assert_eq!(updated(&harness), [25.0], "the second waits for the answer to the first");
    harness.run(secs(20));
    assert_eq!(updated(&harness), [25.0, 20.0]);
    assert!(matches!(
        harness.verdict(first),
        Verdict::Superseded { by, reached: Some(DeliveryStage::Service(_)) } if by == second
    ));
    harness.run(secs(20));
    assert!(harness.verdict(second).is_confirmed(), "{}", harness.verdict(second));
}

#[test]
fn an_update_with_an_unknown_outcome_is_unconfirmed_and_not_repeated() {
    for reply in
        [Reply::Timeout, Reply::Status(500, "{}"), Reply::Status(503, "{}"), Reply::Status(408, "{}")]
    {
        let mut harness = live(CommandChannel::Structured);
        harness.cloud.update = reply;
        let id = harness.set(LITE, 25.0);
        harness.run(secs(40));
        harness.cloud.update = Reply::Good;
        harness.run(secs(3_600));
        assert_eq!(updated(&harness), [25.0], "{reply:?}");
        assert!(
            matches!(
                harness.verdict(id),
                Verdict::Unconfirmed { reached: DeliveryStage::Wire(Channel::Structured), .. }
            ),
            "{reply:?}: {}",
            harness.verdict(id)
        );
    }
}

#[test]
fn an_update_whose_token_is_refused_is_repeated_once_and_not_after_its_deadline() {
    // Tokens are available again at once, after the deadline, or after hours.
    for (away, sent, refused) in [(0, 2, false), (60, 1, true), (4 * 3_600, 1, true)] {
        let mut harness = live(CommandChannel::Structured);
        harness.cloud.update = Reply::Status(401, "{}");
        if away > 0 {
            harness.cloud.refresh = Reply::Timeout;
        }
        let id = harness.set(LITE, 25.0);
        harness.run(Duration::from_millis(100));
        harness.cloud.update = Reply::Good;
        harness.run(secs(away));
        harness.cloud.refresh = Reply::Good;
        harness.run(secs(5 * 3_600));
        assert_eq!(updated(&harness).len(), sent, "away for {away} s");
        if refused {
            assert_eq!(
                harness.verdict(id),
                Verdict::Refused(Refused::Service { status: 401, retry_after: None }),
                "{away}"
            );
        } else {
            assert!(harness.verdict(id).is_confirmed(), "{away}: {}", harness.verdict(id));
        }
    }
}

#[test]
fn an_update_whose_token_is_refused_is_not_repeated_after_a_newer_command_or_a_cancellation() {
    for cancelled in [false, true] {
        let mut harness = live(CommandChannel::Structured);
        harness.cloud.update = Reply::Status(401, "{}");
        harness.cloud.refresh = Reply::Timeout;
        let id = harness.set(LITE, 25.0);
        harness.run(secs(2));
        if cancelled {
            let now = harness.now();
            harness.session.cancel(now, id);
        } else {
            harness.set(LITE, 18.0);
        }
        harness.cloud.update = Reply::Good;
        harness.cloud.refresh = Reply::Good;
        harness.run(secs(120));
        let expected: &[f64] = if cancelled { &[25.0] } else { &[25.0, 18.0] };
        assert_eq!(updated(&harness), expected, "cancelled: {cancelled}");
    }
}

#[test]
fn a_pause_that_the_service_asks_for_is_in_the_verdict() {
    let mut harness = live(CommandChannel::Structured);
    harness.cloud.update = Reply::Status(429, "{}");
    harness.cloud.retry_after = Some("300");
    let id = harness.set(LITE, 25.0);
    harness.run(secs(20));
    let refused = Refused::Service { status: 429, retry_after: Some(secs(300)) };
    assert!(refused.to_string().ends_with("try again in 300 s"), "{refused}");
    assert_eq!(harness.verdict(id), Verdict::Refused(refused));
    assert_eq!(updated(&harness).len(), 1);
}

#[test]
fn a_second_refusal_of_the_token_refuses_the_command() {
    let mut harness = live(CommandChannel::Structured);
    harness.cloud.update = Reply::Status(401, "{}");
    let id = harness.set(LITE, 25.0);
    harness.run(secs(20));
    assert_eq!(harness.verdict(id), Verdict::Refused(Refused::Service { status: 401, retry_after: None }));
    assert_eq!(updated(&harness).len(), 2);
}

#[test]
fn after_a_sleep_a_command_is_too_late_by_the_wall_clock() {
    // The deadline is 30 s, and nothing is sent in its last 2 s.
    for (asleep, expires) in [(secs(5), false), (secs(29), true), (secs(8 * 3_600), true)] {
        let mut harness = live(CommandChannel::Mqtt);
        harness.cut();
        harness.run(Duration::from_millis(10));
        let id = harness.set(LITE, 25.0);
        harness.drain();
        // The monotonic clock stands still meanwhile.
        harness.host_ahead_ms += i64::try_from(asleep.as_millis()).unwrap();
        harness.truth_ahead_secs += i64::try_from(asleep.as_secs()).unwrap();
        harness.run(secs(90));
        assert_eq!(published(&harness).is_empty(), expires, "{asleep:?}");
        if expires {
            assert_eq!(harness.verdict(id), Verdict::Expired(Expired::Deadline), "{asleep:?}");
        }
    }
}

#[test]
fn a_caller_s_write_that_waits_for_a_token_is_given_up_within_a_minute() {
    let mut harness = live(CommandChannel::Auto);
    harness.cloud.rest = Reply::Status(401, "{}");
    harness.cloud.refresh = Reply::Timeout;
    let now = harness.now();
    let id = harness.session.write_settings(now, rest::set_name(device(LITE), "Den").unwrap()).unwrap();
    harness.run(secs(90));
    harness.cloud.rest = Reply::Good;
    harness.cloud.refresh = Reply::Good;
    harness.run(secs(3_600));
    assert_eq!(harness.asked(&format!("/devices/{LITE}")), 1);
    let answers: Vec<_> = harness
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
        let mut harness = live(CommandChannel::Structured);
        harness.cloud.connects = Some(secs(15));
        let (now, deadline) = (harness.now(), (case == "deadline").then_some(secs(10)));
        let id = harness.session.command(now, device(LITE), setpoint(25.0), deadline).unwrap();
        harness.run(secs(3));
        let now = harness.now();
        match case {
            "cancelled" => harness.session.cancel(now, id),
            "overtaken" => drop(harness.set(LITE, 19.0)),
            _ => {}
        }
        harness.run(secs(60));
        assert!(matches!(
            harness.verdict(id),
            Verdict::Expired(_) | Verdict::Superseded { reached: None, .. }
        ));
        let newer: &[f64] = if case == "overtaken" { &[19.0] } else { &[] };
        assert_eq!(updated(&harness), newer, "{case}");
    }
}

#[test]
fn after_a_sleep_an_open_connection_gets_no_body() {
    let mut harness = live(CommandChannel::Structured);
    harness.cloud.connects = Some(secs(2));
    let command = harness.set(LITE, 25.0);
    let now = harness.now();
    let rename = rest::set_name(device(LITE), "Den").unwrap();
    let write = harness.session.write_settings(now, rename).unwrap();
    harness.run(secs(1));
    // The host sleeps for an hour: its monotonic clock stands still.
    harness.host_ahead_ms += 3_600_000;
    harness.run(secs(30));
    assert_eq!(harness.verdict(command), Verdict::Expired(Expired::Deadline));
    assert!(updated(&harness).is_empty());
    assert_eq!(harness.asked(&format!("/devices/{LITE}")), 0);
    let not_sent = |event: &Event| matches!(event, Event::Response { id, result: Err(RequestError::NotSent) } if *id == write);
    assert!(harness.events.iter().any(|(_, event)| not_sent(event)));
}

#[test]
fn a_request_that_could_not_be_sent_is_retried_while_its_command_is_undecided() {
    let mut harness = live(CommandChannel::Structured);
    harness.cloud.connects = None;
    let lost = harness.session.command(harness.now(), device(LITE), setpoint(24.0), Some(secs(10))).unwrap();
    harness.run(secs(15));
    assert_eq!(harness.verdict(lost), Verdict::Expired(Expired::Deadline), "nothing was sent");
    let tries = harness.session.command(harness.now(), device(LITE), setpoint(25.0), None).unwrap();
    harness.run(secs(5));
    harness.cloud.connects = Some(Duration::ZERO);
    harness.run(secs(15));
    assert!(harness.verdict(tries).is_confirmed(), "{}", harness.verdict(tries));
    assert_eq!(updated(&harness), [25.0]);
}

#[test]
fn a_value_already_held_is_confirmed_only_after_the_service_accepted_the_request() {
    let mut harness = live(CommandChannel::Structured);
    harness.status(LITE, 21.0);
    harness.run(secs(5));
    harness.cloud.update_takes = secs(4);
    let id = harness.set(LITE, 21.0);
    harness.run(secs(1));
    // The thermostat shows the old value: the request has not arrived.
    harness.status(LITE, 21.0);
    harness.run(secs(1));
    assert!(harness.verdicts(id).is_empty());
    harness.run(secs(20));
    assert!(matches!(harness.verdict(id), Verdict::Confirmed { effect: Effect::AlreadyHeld, .. }));
}

/// Runs one process for one command, as `mysa set` does: the command is queued before anything is connected.
fn one_shot(harness: &mut Harness) -> Verdict {
    harness.run(secs(1));
    let id = harness.set(LITE, 21.0);
    harness.run(secs(31));
    harness.verdict(id)
}

#[test]
fn where_publishing_is_denied_the_first_command_is_confirmed_by_the_second_channel_before_its_deadline() {
    type Case = (&'static str, fn(&mut Harness));
    let cases: [Case; 5] = [
        ("closed on publish", |harness| harness.cloud.broker.close_on_publish = true),
        ("swallowed", silence_cloud),
        ("CONNECT refused", |harness| harness.cloud.broker.connack = Some(ConnectRefusal::NotAuthorized)),
        ("upgrade refused", |harness| harness.cloud.upgrade = Some(403)),
        ("closed after CONNACK", |harness| {
            harness.cloud.close_after_connack = Some(Duration::from_millis(30))
        }),
    ];
    for (name, deny) in cases {
        let mut harness = Harness::new();
        deny(&mut harness);
        let verdict = one_shot(&mut harness);
        assert!(verdict.is_confirmed(), "{name}: {verdict}");
        assert_eq!(updated(&harness), [21.0], "{name}: once");
        let first = harness.commands().iter().filter(|publish| !publish.4).count();
        assert!(first <= 1, "{name}: {first} attempts by MQTT");
    }
}

#[test]
fn a_stored_denial_is_used_and_tested_after_its_lifetime() {
    let mut harness = Harness::new();
    harness.cloud.broker.close_on_publish = true;
    assert!(one_shot(&mut harness).is_confirmed());
    let kept = harness.stored.clone().unwrap();
    let denied_at = kept.publish_denied_at.unwrap();
    assert!((harness.truth_secs() - denied_at).abs() < 60);

    // The next process does not try MQTT. One a day later does, and finds that publishing is allowed.
    for (age, by_mqtt) in [(60, 0), (25 * 3_600, 1)] {
        let mut kept = kept.clone();
        kept.publish_denied_at = Some(harness::START / 1_000 - age);
        let start = Start::Resume { stored: kept.clone(), password: None };
        let mut harness = Harness::with(Settings::default(), start, 0);
        harness.stored = Some(kept);
        assert!(one_shot(&mut harness).is_confirmed(), "{age} s later");
        assert_eq!(
            (harness.commands().len(), updated(&harness).len()),
            (by_mqtt, 1 - by_mqtt),
            "{age} s later"
        );
        if by_mqtt == 1 {
            assert_eq!(harness.stored.unwrap().publish_denied_at, None, "publishing is allowed");
        }
    }
}

#[test]
fn a_denial_of_a_request_for_live_reports_applies_to_commands() {
    // The connection ends at that request, before the command is published. A single failure proves nothing.
    let mut settings = Settings::default();
    settings.read_only_after = u8::MAX;
    let mut harness = Harness::resume(settings);
    harness.cloud.broker.close_on_publish = true;
    harness.run(secs(10));
    assert!(
        !harness.log.publishes.is_empty() && harness.commands().is_empty(),
        "{:?}",
        harness.log.publishes
    );
    assert_eq!(harness.stored.as_ref().unwrap().publish_denied_at, None);
    // The other channel's success shows that the network was not the cause.
    let id = harness.set(LITE, 22.0);
    harness.run(secs(20));
    assert!(harness.verdict(id).is_confirmed());
    assert!(harness.commands().is_empty() && updated(&harness) == [22.0]);
    assert!(harness.stored.unwrap().publish_denied_at.is_some());
}

#[test]
fn a_denial_of_an_earlier_run_is_tried_at_once_where_mqtt_is_chosen() {
    let mut kept = stored();
    kept.publish_denied_at = Some(harness::START / 1_000 - 60);
    let start = Start::Resume { stored: kept, password: None };
    let mut harness = Harness::with(by(CommandChannel::Mqtt), start, 0);
    assert!(one_shot(&mut harness).is_confirmed());
    assert_eq!((harness.commands().len(), updated(&harness).len()), (1, 0));
}

#[test]
fn while_mqtt_cannot_connect_a_command_uses_rest_at_once() {
    for (name, wait) in [("CONNECT is refused", 5), ("the upgrade is refused", 60)] {
        let mut harness = Harness::new();
        match name {
            "CONNECT is refused" => harness.cloud.broker.connack = Some(ConnectRefusal::NotAuthorized),
            _ => harness.cloud.upgrade = Some(403),
        }
        harness.run(secs(wait));
        let asked = harness.mono;
        let id = harness.set(LITE, 22.0);
        harness.run(secs(20));
        assert!(harness.verdict(id).is_confirmed(), "{name}");
        assert!(harness.log.updates[0].0 - asked < secs(1), "{name}: {asked:?} {:?}", harness.log.updates);
    }
}

#[test]
fn a_chosen_channel_is_the_only_one_used() {
    let mut harness = Harness::resume(by(CommandChannel::Mqtt));
    harness.cloud.broker.close_on_publish = true;
    assert!(!one_shot(&mut harness).is_confirmed());
    assert!(updated(&harness).is_empty());
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    assert!(one_shot(&mut harness).is_confirmed());
    assert!(harness.commands().is_empty());
}

#[test]
fn a_value_already_held_is_confirmed_as_already_held() {
    let mut harness = live(CommandChannel::Mqtt);
    harness.status(LITE, 21.0);
    harness.run(secs(5));
    let id = harness.set(LITE, 21.0);
    // The thermostat of the harness acknowledges with the values it holds.
    harness.cloud.setpoints.insert(LITE.into(), (21.0, harness.truth_secs()));
    harness.run(secs(5));
    assert!(matches!(harness.verdict(id), Verdict::Confirmed { effect: Effect::AlreadyHeld, .. }));
    let other = harness.set(LITE, 22.0);
    harness.run(secs(5));
    assert!(matches!(harness.verdict(other), Verdict::Confirmed { effect: Effect::Changed, .. }));
}

#[test]
fn several_thermostats_are_commanded_in_sequence_and_each_command_has_its_verdict() {
    let mut harness = Harness::new();
    let ids: Vec<String> = (0..6).map(|n| format!("a0b1c2d3e4{n:02x}")).collect();
    harness.cloud.devices = ids.iter().map(|id| (id.clone(), "BB-V2-0-L".into())).collect();
    harness.run(secs(15));
    let now = harness.now();
    let devices: Vec<_> = ids.iter().map(|id| device(id)).collect();
    let commands = harness.session.command_many(now, &devices, setpoint(21.0), None).unwrap();
    harness.run(secs(30));
    let at: Vec<Duration> = harness.commands().iter().map(|publish| publish.0).collect();
    assert_eq!(at.len(), 6);
    assert_eq!(at[0], now.mono, "the first command is sent at once");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= secs(1)), "{at:?}");
    assert!(commands.iter().all(|id| harness.verdict(*id).is_confirmed()));
}

#[test]
fn commands_dropped_in_a_burst_are_sent_again() {
    let mut harness = live(CommandChannel::Mqtt);
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let id = harness.set(LITE, 21.0);
    harness.run(secs(5));
    harness.cloud.device_acks = true;
    harness.cloud.device_applies = true;
    harness.run(secs(5));
    assert!(harness.verdict(id).is_confirmed(), "{}", harness.verdict(id));
    assert_eq!(published(&harness), [(21.0, false), (21.0, false)], "the second has its own id and no DUP");
}

#[test]
fn while_a_connection_is_blocked_a_command_is_not_encoded_and_can_be_cancelled() {
    let mut harness = live(CommandChannel::Mqtt);
    let now = harness.now();
    let conn = harness.log.subscribes[0].1;
    harness.session.handle_ws_blocked(now, conn, true);
    let id = harness.set(LITE, 25.0);
    harness.run(secs(3));
    assert!(published(&harness).is_empty());
    let now = harness.now();
    harness.session.cancel(now, id);
    harness.session.handle_ws_blocked(now, conn, false);
    harness.run(secs(3));
    assert!(published(&harness).is_empty());
    // A packet that waits in the driver is dropped with its connection.
    silence_cloud(&mut harness);
    let id = harness.set(LITE, 26.0);
    harness.run(secs(1));
    assert_eq!(published(&harness), [(26.0, false)]);
    let (now, closes) = (harness.now(), harness.log.closes);
    harness.session.handle_ws_blocked(now, conn, true);
    harness.session.cancel(now, id);
    harness.run(secs(1));
    assert_eq!(harness.log.closes, closes + 1);
}

#[test]
fn a_preview_returns_what_a_command_would_send_and_sends_nothing() {
    let mut harness = live(CommandChannel::Auto);
    harness.status(LITE, 19.0);
    harness.run(secs(1));
    let now = harness.now();
    let preview = harness.session.preview(now, device(LITE), setpoint(20.3)).unwrap();
    assert_eq!(
        (preview.channel, preview.change, preview.before),
        (Channel::Mqtt, setpoint(20.5), setpoint(19.0))
    );
    assert!(preview.payload.contains("\"cmd\":[{\"tm\":-1,\"sp\":20.5}]"), "{}", preview.payload);
    let refused = harness.session.preview(now, device(LITE), setpoint(45.0));
    assert!(matches!(refused, Err(Refused::Model(_))), "{refused:?}");
    harness.run(secs(30));
    assert_eq!((harness.commands().len(), updated(&harness).len()), (0, 0));
}

#[test]
fn a_retained_status_counts_by_its_own_time() {
    let at = |harness: &Harness| {
        harness.session.state(device(LITE)).and_then(|state| state.setpoint()).map(|f| f.value)
    };
    for (age, shown) in [(Some(86_400), 19.0), (None, 19.0), (Some(2), 27.0)] {
        let mut harness = live(CommandChannel::Auto);
        let last_seen = |harness: &Harness| {
            harness.session.device(device(LITE)).unwrap().last_seen_ago(harness.now().mono)
        };
        let before = last_seen(&harness);
        let time = age.map(|age| harness.truth_secs() - age);
        let status = V2Status { time, setpoint: 27.0, ..V2Status::new(LITE, 0) };
        harness.retained(LITE, &status.to_string());
        harness.run(secs(1));
        assert_eq!(at(&harness), Celsius::from_degrees(shown), "{age:?}");
        if age != Some(2) {
            assert_eq!(last_seen(&harness), before.map(|age| age + secs(1)), "{age:?}: no sign of life");
        }
    }
}

#[test]
fn an_undated_snapshot_after_a_confirmation_does_not_revert_it() {
    let mut harness = live(CommandChannel::Mqtt);
    let id = harness.set(LITE, 25.0);
    harness.cloud.undated_setpoint = Some(19.0);
    harness.run(secs(20));
    assert!(harness.verdict(id).is_confirmed());
    assert!(harness.asked("GET /devices/state") >= 2, "the states must be read again after the command");
    let shown =
        harness.session.state(device(LITE)).and_then(|state| state.setpoint()).map(|field| field.value);
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
    let mut harness = Harness::resume(settings);
    harness.run(secs(10));
    while harness.log.dials.len() < 2 {
        harness.run(Duration::from_millis(50));
        assert!(harness.mono < secs(1_200), "the connection must be replaced in time");
    }
    silence_cloud(&mut harness);
    let id = harness.set(LITE, 25.0);
    harness.run(secs(2));
    assert_eq!(harness.log.connects.len(), 2, "the replacement is open");
    harness.cloud.broker.puback = true;
    harness.cloud.device_acks = true;
    harness.cloud.device_applies = true;
    harness.run(secs(10));
    assert!(harness.verdict(id).is_confirmed(), "{}", harness.verdict(id));
    let conns: Vec<_> = harness.commands().iter().map(|publish| publish.1).collect();
    assert!(conns.iter().all(|conn| *conn == conns[0]), "{conns:?}");
    assert_eq!((published(&harness), harness.open_sockets()), (vec![(25.0, false), (25.0, true)], 1));
}
