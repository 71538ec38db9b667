//! Evidence, and the verdicts that follow from it or from its absence.

use super::*;

#[test]
fn only_observations_made_after_the_command_are_evidence() {
    for (stamp, source, confirms) in [
        (Some(-60), Source::Status, false),
        (Some(-3), Source::Status, false),
        (Some(-1), Source::Status, true),
        (Some(1), Source::Status, true),
        (None, Source::Status, true),
        (Some(-60), Source::RestState, false),
        (Some(1), Source::RestState, true),
        (None, Source::RestState, false),
        (Some(-3), Source::Structured, false),
        (Some(1), Source::Structured, true),
        (None, Source::Structured, false),
    ] {
        let mut harness = Harness::new();
        let id = harness.add(setpoint(22), at(0), 30);
        harness.send(Channel::Mqtt, at(10));
        let stamp = stamp.map(|secs: i64| at(10).wall.plus_millis(secs * 1_000));
        harness.observe(source, stamp, &setpoint(22), at(13));
        assert_eq!(harness.is_confirmed(id), confirms, "{stamp:?} {source:?}");
    }
}

#[test]
fn rest_evidence_must_be_later_than_the_latest_time_the_sending_may_have_had() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let serial = harness.queue(Channel::Mqtt, at(10));
    // One wrong answer states yesterday's date; the host's clock contradicts it.
    let yesterday = at(10).wall.plus_millis(-86_400_000);
    let sent = SentAt { mono: at(10).mono, wall: yesterday, latest: at(10).wall };
    assert!(harness.book.take(serial, sent, at(10), &mut harness.decisions).is_some());
    harness.observe(Source::RestState, Some(at(10).wall.plus_millis(-3_600_000)), &setpoint(22), at(13));
    assert_eq!(harness.verdict(id), None);
    harness.observe(Source::RestState, Some(at(14).wall), &setpoint(22), at(14));
    assert!(harness.is_confirmed(id));
}

#[test]
fn contradicting_evidence_revokes_agreeing_evidence() {
    let mut harness = Harness::new();
    let id = harness.add(heat_to(22), at(0), 30);
    harness.send(Channel::Mqtt, at(0));
    harness.status(&setpoint(22), at(2));
    // A person changes the setpoint, and only then the mode is seen.
    harness.status(&setpoint(16), at(4));
    harness.observe(Source::RestState, Some(at(6).wall), &Change::mode(Mode::Heat), at(7));
    assert_eq!(harness.verdict(id), None, "the state shows a setpoint of 16");
    harness.status(&setpoint(22), at(9));
    assert!(harness.is_confirmed(id), "one state shows all of it now");
}

#[test]
fn an_acknowledgement_must_report_success_and_every_field() {
    for (success, shows, verdict) in [
        (Some(true), heat_to(22), Some(true)),
        (Some(true), setpoint(22), None),
        (Some(true), Change::mode(Mode::Heat), None),
        (Some(true), heat_to(20), None),
        (Some(true), Change::default(), None),
        (None, heat_to(22), None),
        (Some(false), heat_to(22), Some(false)),
    ] {
        let mut harness = Harness::new();
        let id = harness.add(heat_to(22), at(0), 30);
        let serial = harness.send(Channel::Mqtt, at(1));
        let ack = Acknowledgement { serial, success, at: None, confirms: true };
        assert!(harness.book.acknowledged(lite(), ack, &shows, at(2).mono, &mut harness.decisions));
        assert_eq!(harness.verdict(id).map(Verdict::is_confirmed), verdict, "{success:?} {shows}");
    }
}

#[test]
fn a_hold_is_judged_by_its_number_and_by_its_end_where_that_is_reported() {
    let end = at(3_600).wall;
    let until = Hold::Until(end);
    let later = Hold::Until(end.plus_millis(1_000));
    for (asked, shows, confirms) in [
        (until, until, true),
        (until, Hold::FollowOrUntil, true),
        (until, later, false),
        (until, Hold::FollowSchedule, false),
        (Hold::FollowSchedule, Hold::FollowOrUntil, true),
        (Hold::FollowSchedule, until, false),
        (Hold::Permanent, Hold::FollowOrUntil, false),
    ] {
        let of = |hold| Change { hold: Some(hold), ..Change::default() };
        let mut harness = Harness::new();
        let id = harness.add(of(asked), at(0), 30);
        let serial = harness.send(Channel::Mqtt, at(1));
        let ack = Acknowledgement { serial, success: Some(true), at: None, confirms: true };
        assert!(harness.book.acknowledged(lite(), ack, &of(shows), at(2).mono, &mut harness.decisions));
        assert_eq!(harness.is_confirmed(id), confirms, "{asked} / {shows}");
        // An acknowledgement of another client's command is not evidence.
        let mut harness = Harness::new();
        let id = harness.add(of(asked), at(0), 30);
        harness.send(Channel::Mqtt, at(1));
        harness.observe(Source::Ack, Some(at(3).wall), &of(shows), at(3));
        assert!(!harness.is_confirmed(id), "{asked} / {shows}");
    }
}

#[test]
fn a_setpoint_half_a_degree_off_does_not_confirm() {
    for (hundredths, holds) in [(2_150, true), (2_151, true), (2_149, true), (2_152, false), (2_200, false)] {
        let mut harness = Harness::new();
        let id = harness.add(Change::setpoint(Celsius::from_hundredths(2_150)), at(0), 30);
        harness.send(Channel::Mqtt, at(1));
        harness.status(&Change::setpoint(Celsius::from_hundredths(hundredths)), at(3));
        assert_eq!(harness.is_confirmed(id), holds, "{hundredths}");
    }
}

#[test]
fn an_acknowledgement_of_an_unknown_command_or_from_another_thermostat_is_ignored() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(1));
    for (device, serial) in [(other(), serial), (lite(), serial + 1)] {
        let ack = Acknowledgement { serial, success: Some(true), at: None, confirms: true };
        assert!(!harness.book.acknowledged(device, ack, &setpoint(22), at(2).mono, &mut harness.decisions));
    }
    assert_eq!(harness.verdict(id), None);
}

#[test]
fn a_command_expires_by_the_earlier_of_both_clocks() {
    for (name, now, expires) in [
        ("in time", at(27), false),
        ("too late to see what came of it", at(28), true),
        ("asleep, uncounted", Now { mono: at(3).mono, wall: at(8 * 3_600).wall }, true),
        ("asleep, counted", Now { mono: at(8 * 3_600).mono, wall: at(3).wall }, true),
        ("clock set back", Now { mono: at(3).mono, wall: AT.plus_millis(-3_600_000) }, false),
    ] {
        let mut harness = Harness::new();
        let id = harness.add(setpoint(22), at(0), 30);
        harness.expire(now);
        let expired = Verdict::Expired(Expired::Deadline);
        assert_eq!(harness.verdict(id), expires.then_some(&expired), "{name}");
    }
}

#[test]
fn a_command_is_judged_until_its_deadline_and_not_sent_near_it() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(1));
    harness.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(28));
    harness.book.ask_again(at(29), 3);
    assert_eq!(harness.book.waiting_devices(), [], "with one second left the effect could not be observed");
    harness.expire(at(29));
    assert_eq!(harness.verdict(id), None);
    harness.expire(at(30));
    assert!(matches!(
        harness.verdict(id),
        Some(Verdict::Unconfirmed { reached: DeliveryStage::Service(Channel::Mqtt), .. })
    ));
}

#[test]
fn a_refusal_of_the_service_decides_unless_mqtt_had_the_command_before() {
    for by_mqtt in [false, true] {
        let mut harness = Harness::new();
        let id = harness.add(setpoint(22), at(0), 30);
        if by_mqtt {
            let serial = harness.send(Channel::Mqtt, at(0));
            harness.book.publish_failed(serial);
        }
        let serial = harness.send(Channel::Structured, at(3));
        let refused = StructuredAnswer::Refused { status: 403, retry_after: None };
        harness.book.structured_answered(serial, refused, at(4).mono, &mut harness.decisions);
        let verdict = Verdict::Refused(Refused::Service { status: 403, retry_after: None });
        assert_eq!(harness.verdict(id), (!by_mqtt).then_some(&verdict), "by MQTT before: {by_mqtt}");
    }
}

#[test]
fn a_refusal_by_the_thermostat_decides_unless_the_service_may_carry_out_the_command() {
    let refused = StructuredAnswer::Refused { status: 403, retry_after: None };
    for (answer, decides) in [
        (None, false),
        (Some(StructuredAnswer::Accepted), false),
        (Some(StructuredAnswer::Open), false),
        (Some(StructuredAnswer::TokenRefused), true),
        (Some(refused), true),
    ] {
        let mut harness = Harness::new();
        let id = harness.add(setpoint(22), at(0), 30);
        let publish = harness.send(Channel::Mqtt, at(0));
        harness.book.publish_failed(publish);
        let request = harness.send(Channel::Structured, at(2));
        if let Some(answer) = answer {
            harness.book.structured_answered(request, answer, at(3).mono, &mut harness.decisions);
        }
        let ack = Acknowledgement { serial: publish, success: Some(false), at: None, confirms: true };
        assert!(harness.book.acknowledged(
            lite(),
            ack,
            &Change::default(),
            at(4).mono,
            &mut harness.decisions
        ));
        let verdict = Verdict::Refused(Refused::Device);
        assert_eq!(harness.verdict(id), decides.then_some(&verdict), "{answer:?}");
    }
}

#[test]
fn a_value_already_in_force_is_confirmed_once_a_newer_status_shows_it() {
    let mut harness = Harness::new();
    harness.status(&setpoint(22), at(0));
    let id = harness.book.next_id();
    let time = Duration::from_secs(30);
    harness.book.add(OpenCommand::new(id, lite(), setpoint(22), true, at(5), time), &mut harness.decisions);
    let serial = harness.send(Channel::Structured, at(5));
    let judge = |harness: &mut Harness, alive: Now| {
        let witness =
            RestWitness { by: Evidence::Reported, status_at: Some(alive.wall), shown: setpoint(22) };
        harness.book.judge(lite(), &harness.state, Some(&witness), at(9).mono, &mut harness.decisions);
    };
    judge(&mut harness, at(7));
    assert_eq!(harness.verdict(id), None, "the service has not accepted the request");
    harness.book.structured_answered(serial, StructuredAnswer::Accepted, at(6).mono, &mut harness.decisions);
    judge(&mut harness, at(4));
    assert_eq!(harness.verdict(id), None, "a status from before the command is not evidence");
    judge(&mut harness, at(7));
    assert!(matches!(
        harness.verdict(id),
        Some(Verdict::Confirmed { by: Evidence::Reported, effect: Effect::AlreadyHeld, .. })
    ));
}

#[test]
fn a_value_held_before_the_command_and_changed_since_does_not_confirm_it() {
    let mut harness = Harness::new();
    harness.status(&setpoint(22), at(0));
    let id = harness.send_already_so(setpoint(22));
    harness.status(&setpoint(16), at(6));
    let witness = RestWitness { by: Evidence::Reported, status_at: Some(at(8).wall), shown: setpoint(22) };
    harness.book.judge(lite(), &harness.state, Some(&witness), at(9).mono, &mut harness.decisions);
    assert_eq!(harness.verdict(id), None);
}

#[test]
fn a_sent_command_is_unconfirmed_by_the_earlier_of_both_clocks() {
    for (name, now, decided) in [
        ("in time by both", at(29), false),
        ("late by the monotonic clock", Now { mono: at(30).mono, wall: at(3).wall }, true),
        ("late by the wall clock", Now { mono: at(3).mono, wall: at(30).wall }, true),
    ] {
        let mut harness = Harness::new();
        let id = harness.add(setpoint(22), at(0), 30);
        harness.send(Channel::Mqtt, at(1));
        harness.expire(now);
        assert_eq!(matches!(harness.verdict(id), Some(Verdict::Unconfirmed { .. })), decided, "{name}");
    }
}

#[test]
fn unsent_commands_are_refused_and_sent_ones_stay_open() {
    let refused = Refused::NotPermitted;
    let waiting = |harness: &mut Harness, device| {
        let id = harness.book.next_id();
        let time = Duration::from_secs(30);
        harness
            .book
            .add(OpenCommand::new(id, device, setpoint(22), false, at(5), time), &mut harness.decisions);
        id
    };
    // One command was sent and is to be sent again, one is queued, one waits, and one waits for another thermostat.
    let mut harness = Harness::new();
    let sent = harness.add(Change::mode(Mode::Heat), at(0), 60);
    let serial = harness.send(Channel::Mqtt, at(0));
    let lock = Change { lock: Some(true), ..Change::default() };
    let queued = harness.add(lock, at(1), 60);
    harness.queue(Channel::Mqtt, at(1));
    harness.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(1));
    harness.book.ask_again(at(4), 3);
    let new = waiting(&mut harness, lite());
    let elsewhere = waiting(&mut harness, other());
    assert_eq!(harness.book.waiting_devices(), [lite(), other()]);
    harness.book.refuse_waiting(lite(), None, &refused, &mut harness.decisions);
    assert_eq!(harness.verdict(new), Some(&Verdict::Refused(refused.clone())));
    assert_eq!(harness.verdict(sent), None, "evidence may still arrive");
    assert_eq!(harness.verdict(queued), None, "the queued command is unaffected");
    assert_eq!(harness.verdict(elsewhere), None);
    assert_eq!(harness.book.waiting_devices(), [other()]);
}

#[test]
fn one_of_several_commands_is_refused_alone() {
    let mut harness = Harness::new();
    let first = harness.add(setpoint(22), at(0), 30);
    let second = harness.add(Change::mode(Mode::Heat), at(0), 30);
    harness.book.refuse_waiting(lite(), Some(first), &Refused::NotPermitted, &mut harness.decisions);
    assert_eq!(harness.verdict(first), Some(&Verdict::Refused(Refused::NotPermitted)));
    assert_eq!(harness.verdict(second), None);
    assert_eq!(harness.book.waiting_devices(), [lite()]);

    // Of two commands that were sent, only the named one stops waiting.
    let mut harness = Harness::new();
    let first = harness.add(setpoint(22), at(0), 60);
    harness.add(Change::mode(Mode::Heat), at(0), 60);
    let serial = harness.send(Channel::Mqtt, at(0));
    harness.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(1));
    harness.book.ask_again(at(4), 3);
    harness.book.refuse_waiting(lite(), Some(first), &Refused::NotPermitted, &mut harness.decisions);
    assert!(harness.decisions.is_empty());
    assert_eq!(harness.book.waiting_change(lite()), Change::mode(Mode::Heat));
}

#[test]
fn a_newer_status_with_another_value_does_not_confirm() {
    let mut harness = Harness::new();
    harness.status(&setpoint(22), at(0));
    let id = harness.send_already_so(setpoint(22));
    for (shown, confirms) in [(setpoint(16), false), (Change::default(), false), (setpoint(22), true)] {
        let witness = RestWitness { by: Evidence::Reported, status_at: Some(at(7).wall), shown };
        harness.book.judge(lite(), &harness.state, Some(&witness), at(9).mono, &mut harness.decisions);
        assert_eq!(harness.is_confirmed(id), confirms, "{shown}");
    }
}

#[test]
fn a_newer_status_does_not_confirm_fields_that_it_lacks() {
    let heat = Change::mode(Mode::Heat);
    for change in [heat, Change { lock: Some(true), ..Change::default() }, heat.then(setpoint(22))] {
        let mut harness = Harness::new();
        harness.status(&change, at(0));
        let id = harness.send_already_so(change);
        let witness = RestWitness { by: Evidence::Reported, status_at: Some(at(7).wall), shown: change };
        harness.book.judge(lite(), &harness.state, Some(&witness), at(9).mono, &mut harness.decisions);
        assert_eq!(
            harness.verdict(id),
            None,
            "{change}: the cloud shows the last acknowledgement that it received"
        );
    }
}

#[test]
fn a_refusal_by_the_service_after_one_by_the_thermostat_decides() {
    for answer in
        [StructuredAnswer::Refused { status: 403, retry_after: None }, StructuredAnswer::TokenRefused]
    {
        let mut harness = Harness::new();
        let id = harness.add(setpoint(22), at(0), 30);
        let publish = harness.send(Channel::Mqtt, at(0));
        harness.book.publish_failed(publish);
        let request = harness.send(Channel::Structured, at(2));
        let ack = Acknowledgement { serial: publish, success: Some(false), at: None, confirms: true };
        harness.book.acknowledged(lite(), ack, &Change::default(), at(3).mono, &mut harness.decisions);
        assert_eq!(harness.verdict(id), None);
        harness.book.structured_answered(request, answer, at(4).mono, &mut harness.decisions);
        // A token that was refused is not tried again in time.
        harness.expire(at(31));
        assert!(matches!(harness.verdict(id), Some(Verdict::Refused(_))), "{:?}", harness.verdict(id));
    }
}

#[test]
fn by_structured_is_false_where_the_service_refused() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let publish = harness.send(Channel::Mqtt, at(0));
    harness.book.publish_failed(publish);
    let request = harness.send(Channel::Structured, at(2));
    let refused = StructuredAnswer::Refused { status: 403, retry_after: None };
    harness.book.structured_answered(request, refused, at(4).mono, &mut harness.decisions);
    harness.status(&setpoint(22), at(6));
    assert!(harness.is_confirmed(id));
    let decision = harness.decisions.iter().find(|decision| decision.id == id).unwrap();
    assert!(!decision.by_structured, "the service did nothing, so MQTT carried it");
}
