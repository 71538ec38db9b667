//! MQTT, the structured service, and the change between them.

use super::*;

#[test]
fn a_command_that_failed_by_mqtt_is_sent_once_by_the_structured_service() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(0));
    assert!(!harness.book.needs_structured(lite()));
    harness.book.publish_failed(serial);
    assert!(harness.book.needs_structured(lite()));
    assert!(harness.book.repeat(serial, at(1)).is_none(), "a command must not be repeated on both channels");
    let update = harness.send(Channel::Structured, at(3));
    assert!(harness.book.is_structured_busy(lite()));
    harness.book.structured_answered(update, StructuredAnswer::Open, at(4).mono, &mut harness.decisions);
    assert!(!harness.book.is_structured_busy(lite()));
    assert_eq!(harness.book.waiting_devices(), [], "an unknown outcome is not repeated");
    // A second failure of the publish has no further effect.
    harness.book.publish_failed(serial);
    assert_eq!(harness.book.waiting_devices(), []);
    harness.observe(Source::Structured, Some(at(6).wall), &setpoint(22), at(7));
    let decision = harness.decisions.iter().find(|decision| decision.id == id).unwrap();
    assert!(decision.verdict.is_confirmed() && decision.by_structured && decision.mqtt_failed);
}

#[test]
fn without_a_second_channel_a_failed_publish_waits_for_evidence() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(0));
    harness.book.publish_ended(serial);
    assert_eq!(harness.book.waiting_devices(), []);
    harness.expire(at(30));
    assert!(matches!(harness.verdict(id), Some(Verdict::Unconfirmed { .. })));
}

#[test]
fn an_overtaken_command_is_not_sent_by_the_second_channel() {
    let mut harness = Harness::new();
    let older = harness.add(heat_to(25), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(0));
    harness.add(setpoint(18), at(1), 30);
    harness.book.publish_failed(serial);
    assert_eq!(harness.book.waiting_change(lite()), heat_to(18));
    let mode = harness.add(Change::mode(Mode::Off), at(2), 30);
    let reached = Some(DeliveryStage::Wire(Channel::Mqtt));
    assert_eq!(harness.verdict(older), Some(&Verdict::Superseded { by: mode, reached }));
}

#[test]
fn a_request_whose_token_was_refused_is_repeated_once_while_its_command_is_undecided() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let first = harness.send(Channel::Structured, at(0));
    assert!(!harness.book.is_token_retry(first));
    harness.book.structured_answered(
        first,
        StructuredAnswer::TokenRefused,
        at(1).mono,
        &mut harness.decisions,
    );
    assert_eq!(harness.book.waiting_devices(), [lite()]);
    let second = harness.queue(Channel::Structured, at(3));
    assert!(harness.book.is_token_retry(second));
    assert!(!harness.take(second, at(29)), "the new token came too late");
    harness.expire(at(30));
    assert_eq!(
        harness.verdict(id),
        Some(&Verdict::Refused(Refused::Service { status: 401, retry_after: None }))
    );
}

#[test]
fn a_request_whose_token_was_refused_is_dropped_for_a_newer_command() {
    let mut harness = Harness::new();
    let older = harness.add(setpoint(25), at(0), 30);
    let first = harness.send(Channel::Structured, at(0));
    let newer = harness.add(setpoint(18), at(1), 30);
    harness.book.structured_answered(
        first,
        StructuredAnswer::TokenRefused,
        at(2).mono,
        &mut harness.decisions,
    );
    assert_eq!(harness.book.waiting_change(lite()), setpoint(18));
    harness.send(Channel::Structured, at(3));
    let reached = Some(DeliveryStage::Wire(Channel::Structured));
    assert_eq!(harness.verdict(older), Some(&Verdict::Superseded { by: newer, reached }));
}

#[test]
fn an_unanswered_request_delays_the_next_even_when_its_command_is_decided() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let serial = harness.send(Channel::Structured, at(0));
    harness.cancel(id, at(1));
    assert!(harness.book.retire().is_empty());
    assert!(harness.book.is_structured_busy(lite()) && !harness.book.is_structured_busy(other()));
    harness.book.structured_answered(serial, StructuredAnswer::Accepted, at(2).mono, &mut harness.decisions);
    assert!(!harness.book.is_structured_busy(lite()));
    assert_eq!(harness.book.retire(), [serial]);
}

#[test]
fn a_request_that_the_session_aborted_says_nothing_about_the_service() {
    for failed in [false, true] {
        let mut harness = Harness::new();
        for (answer, second) in [
            (if failed { StructuredAnswer::Open } else { StructuredAnswer::Accepted }, 0),
            (StructuredAnswer::Aborted, 10),
        ] {
            harness.add(setpoint(22), at(second), 30);
            let serial = harness.send(Channel::Structured, at(second));
            harness.book.structured_answered(serial, answer, at(second + 1).mono, &mut harness.decisions);
            assert!(!harness.book.is_structured_busy(lite()));
            assert_eq!(harness.book.structured_failed(), failed, "{answer:?}");
        }
    }
}

#[test]
fn others_wait_a_limited_time_for_a_request_that_waits_for_its_connection() {
    let spacing = Duration::from_secs(1);
    let mut harness = Harness::new();
    harness.add(setpoint(22), at(9), 30);
    harness.queue(Channel::Structured, at(9));
    for (now, free) in [(9, 10), (11, 12), (12, 13), (13, 13), (60, 13)] {
        let send_at = harness.book.send_at(other(), SPACING, spacing, at(now).mono);
        assert_eq!(send_at, at(free).mono, "at {now}");
    }
}

#[test]
fn the_state_is_read_repeatedly_until_the_command_is_decided() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 60);
    let serial = harness.send(Channel::Structured, at(0));
    assert_eq!(harness.book.due_state_reads(at(20).mono), [], "the state is not read before the answer");
    harness.book.structured_answered(serial, StructuredAnswer::Accepted, at(20).mono, &mut harness.decisions);
    let mut looks = Vec::new();
    for tenth in 0..250 {
        let now = at(20).mono + Duration::from_millis(tenth * 100);
        if harness.book.due_state_reads(now) == [lite()] {
            looks.push(now - at(20).mono);
        }
    }
    let millis: Vec<u128> = looks.iter().map(Duration::as_millis).collect();
    assert_eq!(millis, [1_500, 3_500, 7_500, 13_500, 19_500]);
    harness.observe(Source::Structured, Some(at(40).wall), &setpoint(22), at(46));
    assert!(harness.is_confirmed(id));
    assert_eq!(harness.book.due_state_reads(at(100).mono), []);
}

#[test]
fn a_puback_after_the_answer_or_after_the_failure_schedules_no_repeat() {
    let after = Duration::from_secs(5);
    let mut harness = Harness::new();
    harness.add(setpoint(22), at(0), 60);
    let serial = harness.send(Channel::Mqtt, at(0));
    harness.book.accepted_by_broker(serial, at(1).mono, after);
    assert_eq!(harness.book.deadline(), Some(at(6).mono), "no thermostat has answered yet");
    let ack = Acknowledgement { serial, success: None, at: None, confirms: true };
    assert!(harness.book.acknowledged(lite(), ack, &Change::default(), at(2).mono, &mut harness.decisions));
    harness.book.accepted_by_broker(serial, at(3).mono, after);
    assert_eq!(harness.book.deadline(), Some(at(60).mono));

    let mut harness = Harness::new();
    harness.add(setpoint(22), at(0), 60);
    let serial = harness.send(Channel::Mqtt, at(0));
    harness.book.publish_failed(serial);
    harness.book.accepted_by_broker(serial, at(3).mono, after);
    assert_eq!(harness.book.deadline(), Some(at(60).mono), "the command has moved to the other channel");
}

#[test]
fn a_failed_publish_that_a_newer_command_replaces_is_superseded_once_that_is_sent() {
    let mut harness = Harness::new();
    let older = harness.add(setpoint(25), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(0));
    let newer = harness.add(heat_to(18), at(1), 30);
    harness.book.publish_failed(serial);
    assert_eq!(harness.book.waiting_change(lite()), heat_to(18));
    assert_eq!(harness.verdict(older), None, "the older command may have arrived nevertheless");
    harness.send(Channel::Mqtt, at(3));
    let reached = Some(DeliveryStage::Wire(Channel::Mqtt));
    assert_eq!(harness.verdict(older), Some(&Verdict::Superseded { by: newer, reached }));
    assert_eq!(harness.verdict(newer), None);
}

#[test]
fn dropped_requests_delay_nothing_and_publishes_continue() {
    let mut harness = Harness::new();
    harness.add(setpoint(22), at(0), 30);
    let publish = harness.send(Channel::Mqtt, at(0));
    harness.add(Change::mode(Mode::Heat), at(1), 30);
    harness.send(Channel::Structured, at(1));
    assert!(harness.book.is_structured_busy(lite()));
    harness.book.requests_dropped();
    assert!(!harness.book.is_structured_busy(lite()));
    assert!(harness.book.repeat(publish, at(2)).is_some());
}

#[test]
fn an_answer_after_a_failed_publish_makes_the_other_channel_unnecessary() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(0));
    harness.book.publish_failed(serial);
    assert_eq!(harness.book.waiting_devices(), [lite()]);
    let ack = Acknowledgement { serial, success: Some(true), at: None, confirms: false };
    assert!(harness.book.acknowledged(lite(), ack, &setpoint(22), at(2).mono, &mut harness.decisions));
    assert_eq!(harness.book.waiting_devices(), []);
    assert_eq!(harness.verdict(id), None, "only a status may confirm it");
}

#[test]
fn a_command_queued_for_the_second_channel_counts_as_sent_by_it() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let publish = harness.send(Channel::Mqtt, at(0));
    harness.book.publish_failed(publish);
    let update = harness.queue(Channel::Structured, at(2));
    let ack = Acknowledgement { serial: publish, success: None, at: None, confirms: true };
    assert!(harness.book.acknowledged(lite(), ack, &Change::default(), at(3).mono, &mut harness.decisions));
    assert!(harness.take(update, at(4)));
    harness.status(&setpoint(22), at(6));
    assert!(harness.is_confirmed(id));
    assert!(harness.decisions.iter().all(|decision| decision.by_structured && decision.mqtt_failed));
}

#[test]
fn a_command_sent_only_by_the_structured_service_is_not_failed_by_mqtt() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    harness.send(Channel::Structured, at(0));
    harness.status(&setpoint(22), at(2));
    assert!(harness.is_confirmed(id));
    assert!(harness.decisions.iter().all(|decision| decision.by_structured && !decision.mqtt_failed));
}

#[test]
fn an_unsent_command_is_queued_again() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let serial = harness.queue(Channel::Structured, at(0));
    harness.book.structured_answered(serial, StructuredAnswer::NotSent, at(1).mono, &mut harness.decisions);
    assert!(!harness.take(serial, at(1)), "the request was withdrawn");
    assert_eq!(harness.book.waiting_devices(), [lite()]);
    assert!(!harness.book.is_structured_busy(lite()));
    assert_eq!(harness.verdict(id), None);
}
