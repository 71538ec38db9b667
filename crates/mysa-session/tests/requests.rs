//! Requests of writes that are decided: when the session ends them, and what the next command for their thermostat waits for.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod harness;

use std::time::Duration;

use harness::{Harness, LITE, Reply, by, device, secs, setpoint};
use mysa_proto::{Channel, rest};
use mysa_session::{
    CommandChannel, CommandId, DeliveryStage, Event, HttpAnswer, HttpFailure, HttpResult, RequestError,
    Verdict,
};

/// Home in which the structured service takes `takes` for an answer, and a command whose request was sent 100 ms ago.
fn sent(takes: Duration) -> (Harness, CommandId) {
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    harness.run(secs(10));
    harness.cloud.update_takes = takes;
    let id = harness.set(LITE, 25.0);
    harness.run(Duration::from_millis(100));
    assert_eq!((updated(&harness).len(), harness.log.aborted_requests.len()), (1, 0));
    (harness, id)
}

/// Time of each request, and the setpoint that it asks for.
fn updated(harness: &Harness) -> Vec<(Duration, Option<f64>)> {
    let updates = harness.log.updates.iter();
    updates.map(|(at, body)| (*at, harness::number_after(body, "\"setpoint\":"))).collect()
}

/// Runs in steps until a second request is sent, and returns the time since the first.
fn time_to_second(harness: &mut Harness) -> Duration {
    for _ in 0..600 {
        if let [(first, _), (second, _)] = updated(harness)[..] {
            return second.checked_sub(first).unwrap();
        }
        harness.run(Duration::from_millis(100));
    }
    panic!("no second request")
}

#[test]
fn the_request_of_a_command_is_aborted_with_its_verdict() {
    for case in ["cancelled", "signed out", "shut down"] {
        let (mut harness, id) = sent(secs(12));
        let now = harness.now();
        match case {
            "cancelled" => harness.session.cancel(now, id),
            "signed out" => harness.session.sign_out(now),
            _ => harness.session.shutdown(now),
        }
        harness.drain();
        assert!(
            matches!(
                harness.verdict(id),
                Verdict::Unconfirmed { reached: DeliveryStage::Wire(Channel::Structured), .. }
            ),
            "{case}: {}",
            harness.verdict(id)
        );
        assert_eq!(harness.log.aborted_requests.len(), 1, "{case}");
        harness.run(secs(60));
        assert_eq!((harness.log.aborted_requests.len(), updated(&harness).len()), (1, 1), "{case}");
    }
}

#[test]
fn a_write_of_settings_that_was_sent_is_ended_and_reported_as_open_when_the_session_ends() {
    for (sign_out, connects, sent) in
        [(true, secs(0), true), (false, secs(0), true), (true, secs(15), false), (false, secs(15), false)]
    {
        let mut harness = Harness::resume(by(CommandChannel::Structured));
        harness.run(secs(10));
        (harness.cloud.rest, harness.cloud.connects) = (Reply::Timeout, Some(connects));
        let now = harness.now();
        let rename = rest::set_name(device(LITE), "Den").unwrap();
        let id = harness.session.write_settings(now, rename).unwrap();
        harness.run(secs(1));
        assert_eq!(harness.asked(&format!("/devices/{LITE}")), usize::from(sent));
        let now = harness.now();
        if sign_out {
            harness.session.sign_out(now);
        } else {
            harness.session.shutdown(now);
        }
        harness.run(secs(60));
        let results: Vec<_> = harness
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Response { id: of, result } if *of == id => Some(result.clone()),
                _ => None,
            })
            .collect();
        let error = if sent { RequestError::Aborted } else { RequestError::NotSignedIn };
        assert_eq!(results, [Err(error)], "signed out: {sign_out}");
        assert_eq!(harness.log.aborted_requests.len(), usize::from(sent), "signed out: {sign_out}");
        assert_eq!(harness.asked(&format!("/devices/{LITE}")), usize::from(sent), "signed out: {sign_out}");
    }
}

#[test]
fn the_next_command_waits_as_long_as_for_a_request_without_an_answer() {
    let (mut harness, id) = sent(secs(12));
    let now = harness.now();
    harness.session.cancel(now, id);
    harness.cloud.update_takes = secs(1);
    let next = harness.set(LITE, 20.0);
    let waited = time_to_second(&mut harness);
    assert!(waited >= secs(20) && waited < secs(21), "{waited:?}");
    // Nothing is known to be wrong with the service.
    let now = harness.now();
    assert_eq!(harness.session.diagnosis(now).failures, 0);
    harness.run(secs(8));
    assert!(harness.verdict(next).is_confirmed(), "{}", harness.verdict(next));
}

/// The driver ends it by itself, and without an answer the service has failed.
#[test]
fn the_request_of_a_command_is_not_aborted_at_its_time_limit_or_after_it() {
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    harness.run(secs(10));
    harness.cloud.update = Reply::Timeout;
    let now = harness.now();
    let id = harness.session.command(now, device(LITE), setpoint(25.0), Some(secs(9))).unwrap();
    harness.run(secs(10));
    assert!(matches!(harness.verdict(id), Verdict::Unconfirmed { .. }), "{}", harness.verdict(id));
    assert_eq!(harness.log.aborted_requests, []);
    harness.run(secs(11));
    let now = harness.now();
    assert!(harness.session.diagnosis(now).failures > 0);
}

/// A driver may report the end of a connection that it was told to end. It does not show that the service has not received
/// the request. An answer that was received before does.
#[test]
fn only_an_answer_ends_the_wait_for_an_aborted_request() {
    let answer = HttpAnswer { status: 200, body: b"{}", ..HttpAnswer::default() };
    for (result, waits) in [
        (HttpResult::Answer(answer), secs(3)),
        (HttpResult::Failed(HttpFailure::Broken), secs(20)),
        (HttpResult::Failed(HttpFailure::Timeout), secs(20)),
    ] {
        let (mut harness, id) = sent(secs(12));
        let now = harness.now();
        harness.session.cancel(now, id);
        harness.set(LITE, 20.0);
        harness.drain();
        let (_, request) = harness.log.aborted_requests[0];
        let now = harness.now();
        harness.session.handle_http(now, request, result);
        let waited = time_to_second(&mut harness);
        assert!(waited <= waits + secs(1) && waited + secs(1) >= waits, "{result:?}: {waited:?}");
    }
}

#[test]
fn the_request_of_a_confirmed_command_is_not_aborted_because_its_answer_ends_the_next_one_s_wait() {
    let (mut harness, id) = sent(secs(5));
    harness.status(LITE, 25.0);
    harness.run(secs(1));
    assert!(harness.verdict(id).is_confirmed(), "{}", harness.verdict(id));
    harness.set(LITE, 20.0);
    let waited = time_to_second(&mut harness);
    assert!(waited >= secs(5) && waited < secs(6), "{waited:?}");
    assert!(harness.log.aborted_requests.is_empty());
}

/// The time limit of the driver counts on a clock that may stand still while the host sleeps.
#[test]
fn the_request_of_a_command_is_aborted_at_its_deadline_by_the_wall_clock() {
    let (mut harness, id) = sent(secs(12));
    harness.run(secs(2));
    harness.host_ahead_ms += 40_000;
    let now = harness.now();
    harness.session.handle_timeout(now);
    harness.drain();
    assert!(matches!(harness.verdict(id), Verdict::Unconfirmed { .. }), "{}", harness.verdict(id));
    assert_eq!(harness.log.aborted_requests.len(), 1);
}

/// The clock of a session can count the sleep of the host, and the timers of its driver stand still.
#[test]
fn a_request_that_outlasts_a_suspend_is_aborted_before_a_newer_command_is_sent() {
    for (deadline, verdicts) in [(30, 1), (120, 0)] {
        let mut harness = Harness::resume(by(CommandChannel::Structured));
        harness.run(secs(10));
        harness.cloud.update_takes = secs(12);
        let now = harness.now();
        let older = harness.session.command(now, device(LITE), setpoint(25.0), Some(secs(deadline))).unwrap();
        harness.run(secs(1));
        harness.mono += secs(60);
        harness.set(LITE, 18.0);
        harness.drain();
        let now = harness.now();
        harness.session.handle_timeout(now);
        harness.drain();
        assert_eq!(harness.log.aborted_requests.len(), 1, "{deadline}");
        assert_eq!(harness.verdicts(older).len(), verdicts, "{deadline}");
        harness.run(secs(5));
        assert_eq!(harness.log.aborted_requests.len(), 1, "{deadline}");
        let sent: Vec<Option<f64>> = updated(&harness).into_iter().map(|(_, setpoint)| setpoint).collect();
        assert_eq!(sent, [Some(25.0), Some(18.0)], "{deadline}");
    }
}

#[test]
fn the_request_of_a_confirmed_command_is_aborted_by_signing_out() {
    let (mut harness, id) = sent(secs(15));
    harness.status(LITE, 25.0);
    harness.run(secs(1));
    assert!(harness.verdict(id).is_confirmed(), "{}", harness.verdict(id));
    let now = harness.now();
    harness.session.sign_out(now);
    harness.drain();
    assert_eq!(harness.log.aborted_requests.len(), 1);
}

#[test]
fn an_aborted_request_takes_no_place_of_another_thermostat_s_command() {
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    let ids: Vec<String> = (1..=5).map(|number| format!("a0b1c2d3e4{number:02x}")).collect();
    harness.cloud.devices = ids.iter().map(|id| (id.clone(), "BB-V2-0-L".into())).collect();
    harness.run(secs(10));
    harness.cloud.update_takes = secs(60);
    let (last, others) = ids.split_last().unwrap();
    for id in others {
        let command = harness.set(id, 25.0);
        harness.run(Duration::from_millis(1_100));
        let now = harness.now();
        harness.session.cancel(now, command);
        harness.drain();
    }
    assert_eq!((updated(&harness).len(), harness.log.aborted_requests.len()), (4, 4));
    harness.set(last, 18.0);
    harness.run(secs(2));
    assert_eq!(updated(&harness).len(), 5);
}

/// Nothing was sent, so the service cannot be carrying it out.
#[test]
fn a_request_whose_connection_does_not_open_until_the_deadline_takes_no_place_any_longer() {
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    let ids: Vec<String> = (1..=5).map(|number| format!("a0b1c2d3e4{number:02x}")).collect();
    harness.cloud.devices = ids.iter().map(|id| (id.clone(), "BB-V2-0-L".into())).collect();
    harness.run(secs(10));
    harness.cloud.connects = Some(secs(60));
    let begin = harness.mono;
    for (id, deadline) in ids.iter().zip([15, 15, 15, 15, 30]) {
        let now = harness.now();
        harness.session.command(now, device(id), setpoint(25.0), Some(secs(deadline))).unwrap();
    }
    harness.run(secs(15));
    assert_eq!(harness.log.limits, [begin + secs(15); 4], "four requests are in flight at most");
    harness.cloud.connects = Some(Duration::ZERO);
    harness.run(secs(4));
    assert_eq!(updated(&harness).len(), 1);
}

/// The token expires while the write is on its way, and cannot be renewed.
#[test]
fn a_write_in_flight_is_not_ended_because_the_next_sign_in_is_refused() {
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    harness.cloud.expires_in = "400";
    harness.run(secs(10));
    harness.cloud.refresh = Reply::Status(
        400,
        r#"{"__type":"NotAuthorizedException","message":"Refresh Token has been revoked"}"#,
    );
    harness.cloud.rest_takes = secs(8);
    // Just before the token expires.
    for _ in 0..500 {
        let now = harness.now();
        let rename = rest::set_name(device(LITE), "Den").unwrap();
        harness.session.write_settings(now, rename).unwrap();
        harness.run(secs(1));
        if !harness.log.aborted_requests.is_empty() {
            break;
        }
    }
    let last = harness.events.iter().rev().find_map(|(at, event)| match event {
        Event::Response { result: Err(error @ RequestError::Aborted), .. } => Some((*at, error.to_string())),
        _ => None,
    });
    assert!(harness.log.aborted_requests.is_empty(), "{last:?}, service: {}", harness.session.service());
}
