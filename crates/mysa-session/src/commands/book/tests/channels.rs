//! MQTT, the structured service, and the change between them.

use super::*;

#[test]
fn what_mqtt_failed_goes_by_the_structured_service_once() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(0));
    assert!(!desk.book.needs_structured(lite()));
    desk.book.publish_failed(serial, true);
    assert!(desk.book.needs_structured(lite()));
    assert!(desk.book.repeat(serial, at(1)).is_none(), "a command must not be repeated on both channels");
    let update = desk.send(Channel::Structured, at(3));
    assert!(desk.book.is_structured_busy(lite()));
    desk.book.structured_answered(update, StructuredAnswer::Open, at(4).mono, &mut desk.decisions);
    assert!(!desk.book.is_structured_busy(lite()));
    assert_eq!(desk.book.waiting_devices(), [], "an unknown outcome is not repeated");
    // A second failure of the publish has no further effect.
    desk.book.publish_failed(serial, true);
    assert_eq!(desk.book.waiting_devices(), []);
    desk.observe(Source::Structured, Some(at(6).wall), &setpoint(22), at(7));
    let decision = desk.decisions.iter().find(|decision| decision.id == id).unwrap();
    assert!(decision.verdict.is_confirmed() && decision.by_structured && decision.mqtt_failed);
}

#[test]
fn without_a_second_channel_a_failed_publish_is_only_waited_for() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.book.publish_failed(serial, false);
    assert_eq!(desk.book.waiting_devices(), []);
    desk.expire(at(30));
    assert!(matches!(desk.verdict(id), Some(Verdict::Unconfirmed { .. })));
}

#[test]
fn what_a_newer_command_has_taken_over_does_not_go_by_the_second_channel() {
    let mut desk = Desk::new();
    let older = desk.add(heat_to(25), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.add(setpoint(18), at(1), 30);
    desk.book.publish_failed(serial, true);
    assert_eq!(desk.book.waiting_change(lite()), heat_to(18));
    let mode = desk.add(Change::mode(Mode::Off), at(2), 30);
    let reached = Some(DeliveryStage::Wire(Channel::Mqtt));
    assert_eq!(desk.verdict(older), Some(&Verdict::Superseded { by: mode, reached }));
}

#[test]
fn a_request_whose_token_was_refused_is_asked_once_more_while_its_command_lives() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let first = desk.send(Channel::Structured, at(0));
    assert!(!desk.book.is_token_retry(first));
    desk.book.structured_answered(first, StructuredAnswer::TokenRefused, at(1).mono, &mut desk.decisions);
    assert_eq!(desk.book.waiting_devices(), [lite()]);
    let second = desk.queue(Channel::Structured, at(3));
    assert!(desk.book.is_token_retry(second));
    assert!(!desk.take(second, at(29)), "the new token came too late");
    desk.expire(at(30));
    assert_eq!(desk.verdict(id), Some(&Verdict::Refused(Refused::Service { status: 401 })));
}

#[test]
fn a_request_whose_token_was_refused_gives_way_to_a_newer_command() {
    let mut desk = Desk::new();
    let older = desk.add(setpoint(25), at(0), 30);
    let first = desk.send(Channel::Structured, at(0));
    let newer = desk.add(setpoint(18), at(1), 30);
    desk.book.structured_answered(first, StructuredAnswer::TokenRefused, at(2).mono, &mut desk.decisions);
    assert_eq!(desk.book.waiting_change(lite()), setpoint(18));
    desk.send(Channel::Structured, at(3));
    let reached = Some(DeliveryStage::Wire(Channel::Structured));
    assert_eq!(desk.verdict(older), Some(&Verdict::Superseded { by: newer, reached }));
}

#[test]
fn an_unanswered_request_holds_back_the_next_even_when_its_command_is_decided() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.send(Channel::Structured, at(0));
    desk.cancel(id, at(1));
    assert!(desk.book.retire().is_empty());
    assert!(desk.book.is_structured_busy(lite()) && !desk.book.is_structured_busy(other()));
    desk.book.structured_answered(serial, StructuredAnswer::Accepted, at(2).mono, &mut desk.decisions);
    assert!(!desk.book.is_structured_busy(lite()));
    assert_eq!(desk.book.retire(), [serial]);
}

#[test]
fn others_wait_a_limited_time_for_a_request_that_waits_for_its_connection() {
    let spacing = Duration::from_secs(1);
    let mut desk = Desk::new();
    desk.add(setpoint(22), at(9), 30);
    desk.queue(Channel::Structured, at(9));
    for (now, free) in [(9, 10), (11, 12), (12, 13), (13, 13), (60, 13)] {
        let send_at = desk.book.send_at(other(), SPACING, spacing, at(now).mono);
        assert_eq!(send_at, at(free).mono, "at {now}");
    }
}

#[test]
fn the_state_is_read_again_and_again_until_the_command_is_decided() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 60);
    let serial = desk.send(Channel::Structured, at(0));
    assert_eq!(desk.book.due_looks(at(20).mono), [], "the state is not read before the answer");
    desk.book.structured_answered(serial, StructuredAnswer::Accepted, at(20).mono, &mut desk.decisions);
    let mut looks = Vec::new();
    for tenth in 0..250 {
        let now = at(20).mono + Duration::from_millis(tenth * 100);
        if desk.book.due_looks(now) == [lite()] {
            looks.push(now - at(20).mono);
        }
    }
    let millis: Vec<u128> = looks.iter().map(Duration::as_millis).collect();
    assert_eq!(millis, [1_500, 3_500, 7_500, 13_500, 19_500]);
    desk.observe(Source::Structured, Some(at(40).wall), &setpoint(22), at(46));
    assert!(desk.is_confirmed(id));
    assert_eq!(desk.book.due_looks(at(100).mono), []);
}

#[test]
fn a_puback_after_the_answer_or_after_the_failure_schedules_no_repeat() {
    let after = Duration::from_secs(5);
    let mut desk = Desk::new();
    desk.add(setpoint(22), at(0), 60);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.book.accepted_by_broker(serial, at(1).mono, after);
    assert_eq!(desk.book.deadline(), Some(at(6).mono), "no thermostat has answered yet");
    let ack = Acknowledgement { serial, success: None, at: None, confirms: true };
    assert!(desk.book.acknowledged(lite(), ack, &Change::default(), at(2).mono, &mut desk.decisions));
    desk.book.accepted_by_broker(serial, at(3).mono, after);
    assert_eq!(desk.book.deadline(), Some(at(60).mono));

    let mut desk = Desk::new();
    desk.add(setpoint(22), at(0), 60);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.book.publish_failed(serial, true);
    desk.book.accepted_by_broker(serial, at(3).mono, after);
    assert_eq!(desk.book.deadline(), Some(at(60).mono), "the command has moved to the other channel");
}

#[test]
fn a_failed_publish_that_a_newer_command_replaces_is_superseded_once_that_is_sent() {
    let mut desk = Desk::new();
    let older = desk.add(setpoint(25), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(0));
    let newer = desk.add(heat_to(18), at(1), 30);
    desk.book.publish_failed(serial, true);
    assert_eq!(desk.book.waiting_change(lite()), heat_to(18));
    assert_eq!(desk.verdict(older), None, "the older command may have arrived nevertheless");
    desk.send(Channel::Mqtt, at(3));
    let reached = Some(DeliveryStage::Wire(Channel::Mqtt));
    assert_eq!(desk.verdict(older), Some(&Verdict::Superseded { by: newer, reached }));
    assert_eq!(desk.verdict(newer), None);
}

#[test]
fn requests_that_are_dropped_hold_nothing_back_and_publishes_go_on() {
    let mut desk = Desk::new();
    desk.add(setpoint(22), at(0), 30);
    let publish = desk.send(Channel::Mqtt, at(0));
    desk.add(Change::mode(Mode::Heat), at(1), 30);
    desk.send(Channel::Structured, at(1));
    assert!(desk.book.is_structured_busy(lite()));
    desk.book.requests_dropped();
    assert!(!desk.book.is_structured_busy(lite()));
    assert!(desk.book.repeat(publish, at(2)).is_some());
}

#[test]
fn an_answer_that_comes_after_the_publish_had_failed_spares_the_other_channel() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.book.publish_failed(serial, true);
    assert_eq!(desk.book.waiting_devices(), [lite()]);
    let ack = Acknowledgement { serial, success: Some(true), at: None, confirms: false };
    assert!(desk.book.acknowledged(lite(), ack, &setpoint(22), at(2).mono, &mut desk.decisions));
    assert_eq!(desk.book.waiting_devices(), []);
    assert_eq!(desk.verdict(id), None, "only a status may confirm it");
}

#[test]
fn what_is_queued_for_the_other_channel_when_the_answer_comes_counts_as_sent_by_it() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let publish = desk.send(Channel::Mqtt, at(0));
    desk.book.publish_failed(publish, true);
    let update = desk.queue(Channel::Structured, at(2));
    let ack = Acknowledgement { serial: publish, success: None, at: None, confirms: true };
    assert!(desk.book.acknowledged(lite(), ack, &Change::default(), at(3).mono, &mut desk.decisions));
    assert!(desk.take(update, at(4)));
    desk.status(&setpoint(22), at(6));
    assert!(desk.is_confirmed(id));
    assert!(desk.decisions.iter().all(|decision| decision.by_structured && decision.mqtt_failed));
}

#[test]
fn a_command_that_only_the_structured_service_had_was_not_failed_by_mqtt() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    desk.send(Channel::Structured, at(0));
    desk.status(&setpoint(22), at(2));
    assert!(desk.is_confirmed(id));
    assert!(desk.decisions.iter().all(|decision| decision.by_structured && !decision.mqtt_failed));
}

#[test]
fn what_was_not_sent_waits_again() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.queue(Channel::Structured, at(0));
    desk.book.structured_answered(serial, StructuredAnswer::NotSent, at(1).mono, &mut desk.decisions);
    assert!(!desk.take(serial, at(1)), "the request was withdrawn");
    assert_eq!(desk.book.waiting_devices(), [lite()]);
    assert!(!desk.book.is_structured_busy(lite()));
    assert_eq!(desk.verdict(id), None);
}
