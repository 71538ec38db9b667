use mysa_proto::{
    Celsius, Command, EnvelopeForm, Limits, Message, Mode, ModeTable, Model, Observation, StructuredUpdate,
    TopicKind,
};

use super::*;
use crate::commands::verdict::Effect;

const AT: UnixTime = UnixTime::from_secs(1_767_323_045);
const SPACING: Duration = Duration::from_millis(2_500);

fn lite() -> DeviceId {
    DeviceId::new("a0b1c2d3e4f7").unwrap()
}

fn other() -> DeviceId {
    DeviceId::new("a0b1c2d3e4f8").unwrap()
}

fn setpoint(degrees: i32) -> Change {
    Change::setpoint(Celsius::from_hundredths(degrees * 100))
}

fn heat_to(degrees: i32) -> Change {
    Change { mode: Some(Mode::Heat), ..setpoint(degrees) }
}

/// Both clocks, in step.
fn at(secs: u64) -> Now {
    let millis = i64::try_from(secs).unwrap() * 1_000;
    Now { mono: Duration::from_secs(secs), wall: AT.plus_millis(millis) }
}

/// A book, the state of its thermostat, and the decisions so far.
struct Desk {
    book: CommandBook,
    state: DeviceState,
    decisions: Vec<Decision>,
}

impl Desk {
    fn new() -> Self {
        Self { book: CommandBook::default(), state: DeviceState::new(), decisions: Vec::new() }
    }

    fn add(&mut self, change: Change, now: Now, secs: u64) -> CommandId {
        let id = self.book.next_id();
        let time = Duration::from_secs(secs);
        self.book.add(OpenCommand::new(id, lite(), change, false, now, time), &mut self.decisions);
        id
    }

    fn queue(&mut self, channel: Channel, now: Now) -> u64 {
        let (model, limits) = (Model::parse("BB-V2-0-L"), Limits::default());
        let change = self.book.waiting_change(lite());
        let payload = match channel {
            Channel::Mqtt => {
                let command =
                    Command::new(lite(), &model, &limits, &ModeTable::OBSERVED, change, now.wall).unwrap();
                Payload::Mqtt { command, time: now.wall, app_ref: "me".into() }
            }
            Channel::Structured => {
                Payload::Structured(StructuredUpdate::new(&model, &limits, change).unwrap())
            }
        };
        let conn = (channel == Channel::Mqtt).then_some(ConnId(1));
        let serial = self.book.next_serial(now.wall);
        self.book.queue(serial, lite(), None, payload, conn, now.mono);
        serial
    }

    fn take(&mut self, serial: u64, now: Now) -> bool {
        let sent = SentAt { mono: now.mono, wall: now.wall, latest: now.wall };
        self.book.take(serial, sent, now, &mut self.decisions).is_some()
    }

    /// Sends all that waits at once.
    fn send(&mut self, channel: Channel, now: Now) -> u64 {
        let serial = self.queue(channel, now);
        assert!(self.take(serial, now), "nothing is against it");
        serial
    }

    fn observe(&mut self, source: Source, stamped: Option<UnixTime>, change: &Change, now: Now) {
        let received = Now { mono: now.mono, wall: now.wall };
        let observation = Observation { source, ..Observation::from_change(change, stamped, received) };
        self.state.observe(&observation);
        self.book.judge(lite(), &self.state, None, now.mono, &mut self.decisions);
    }

    fn status(&mut self, change: &Change, now: Now) {
        self.observe(Source::Status, Some(now.wall), change, now);
    }

    fn expire(&mut self, now: Now) {
        self.book.expire(now, |_| Change::default(), &mut self.decisions);
    }

    fn cancel(&mut self, id: CommandId, now: Now) {
        let chosen = |command: &OpenCommand| command.id == id;
        self.book.give_up(chosen, Expired::Cancelled, now, |_| Change::default(), &mut self.decisions);
    }

    fn verdict(&self, id: CommandId) -> Option<&Verdict> {
        let mut all = self.decisions.iter().filter(|decision| decision.id == id);
        let only = all.next().map(|decision| &decision.verdict);
        assert!(all.next().is_none(), "one verdict each");
        only
    }

    fn is_confirmed(&self, id: CommandId) -> bool {
        self.verdict(id).is_some_and(Verdict::is_confirmed)
    }
}

#[test]
fn only_what_was_made_after_the_command_is_evidence() {
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
        let mut desk = Desk::new();
        let id = desk.add(setpoint(22), at(0), 30);
        desk.send(Channel::Mqtt, at(10));
        let stamp = stamp.map(|secs: i64| at(10).wall.plus_millis(secs * 1_000));
        desk.observe(source, stamp, &setpoint(22), at(13));
        assert_eq!(desk.is_confirmed(id), confirms, "{stamp:?} {source:?}");
    }
}

#[test]
fn rest_evidence_must_be_later_than_the_latest_time_the_sending_may_have_had() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.queue(Channel::Mqtt, at(10));
    // One odd answer says that it is yesterday; the host says that it is not.
    let yesterday = at(10).wall.plus_millis(-86_400_000);
    let sent = SentAt { mono: at(10).mono, wall: yesterday, latest: at(10).wall };
    assert!(desk.book.take(serial, sent, at(10), &mut desk.decisions).is_some());
    desk.observe(Source::RestState, Some(at(10).wall.plus_millis(-3_600_000)), &setpoint(22), at(13));
    assert_eq!(desk.verdict(id), None);
    desk.observe(Source::RestState, Some(at(14).wall), &setpoint(22), at(14));
    assert!(desk.is_confirmed(id));
}

#[test]
fn what_contradicts_takes_back_what_agreed() {
    let mut desk = Desk::new();
    let id = desk.add(heat_to(22), at(0), 30);
    desk.send(Channel::Mqtt, at(0));
    desk.status(&setpoint(22), at(2));
    // A person turns the knob, and only then is the mode seen.
    desk.status(&setpoint(16), at(4));
    desk.observe(Source::RestState, Some(at(6).wall), &Change::mode(Mode::Heat), at(7));
    assert_eq!(desk.verdict(id), None, "16 is known");
    desk.status(&setpoint(22), at(9));
    assert!(desk.is_confirmed(id), "one state shows all of it now");
}

#[test]
fn an_acknowledgement_must_say_so_and_show_every_field() {
    for (success, shows, verdict) in [
        (Some(true), heat_to(22), Some(true)),
        (Some(true), setpoint(22), None),
        (Some(true), Change::mode(Mode::Heat), None),
        (Some(true), heat_to(20), None),
        (Some(true), Change::default(), None),
        (None, heat_to(22), None),
        (Some(false), heat_to(22), Some(false)),
    ] {
        let mut desk = Desk::new();
        let id = desk.add(heat_to(22), at(0), 30);
        let serial = desk.send(Channel::Mqtt, at(1));
        let ack = Acknowledgement { serial, success, at: None, confirms: true };
        assert!(desk.book.acknowledged(lite(), ack, &shows, at(2).mono, &mut desk.decisions));
        assert_eq!(desk.verdict(id).map(Verdict::is_confirmed), verdict, "{success:?} {shows}");
    }
}

#[test]
fn half_a_degree_off_is_not_what_was_asked_for() {
    for (hundredths, holds) in [(2_150, true), (2_151, true), (2_149, true), (2_152, false), (2_200, false)] {
        let mut desk = Desk::new();
        let id = desk.add(Change::setpoint(Celsius::from_hundredths(2_150)), at(0), 30);
        desk.send(Channel::Mqtt, at(1));
        desk.status(&Change::setpoint(Celsius::from_hundredths(hundredths)), at(3));
        assert_eq!(desk.is_confirmed(id), holds, "{hundredths}");
    }
}

#[test]
fn an_answer_to_another_thermostats_command_or_to_none_of_ours_is_none() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(1));
    for (device, serial) in [(other(), serial), (lite(), serial + 1)] {
        let ack = Acknowledgement { serial, success: Some(true), at: None, confirms: true };
        assert!(!desk.book.acknowledged(device, ack, &setpoint(22), at(2).mono, &mut desk.decisions));
    }
    assert_eq!(desk.verdict(id), None);
}

#[test]
fn nothing_is_transmitted_for_a_command_that_is_decided_overtaken_or_too_late() {
    // Each of these happens between queueing and taking, and again between the first transmission and a repeat.
    type Case = (&'static str, fn(&mut Desk, CommandId) -> Now);
    let cases: [Case; 6] = [
        ("cancelled", |desk, id| {
            desk.cancel(id, at(2));
            at(2)
        }),
        ("overtaken", |desk, _| {
            desk.add(setpoint(18), at(2), 30);
            at(2)
        }),
        ("overtaken in part", |desk, _| {
            desk.add(Change::mode(Mode::Off), at(2), 30);
            at(2)
        }),
        ("too late", |_, _| at(31)),
        ("too late by the wall clock alone", |_, _| Now { mono: at(2).mono, wall: at(8 * 3_600).wall }),
        ("too late by the monotonic clock alone", |_, _| Now { mono: at(40).mono, wall: at(2).wall }),
    ];
    for (name, happens) in cases {
        let mut desk = Desk::new();
        let id = desk.add(heat_to(25), at(0), 30);
        let serial = desk.queue(Channel::Mqtt, at(1));
        let now = happens(&mut desk, id);
        assert!(!desk.take(serial, now), "{name}, before it was taken");

        let mut desk = Desk::new();
        let id = desk.add(heat_to(25), at(0), 30);
        let serial = desk.send(Channel::Mqtt, at(1));
        assert!(desk.book.repeat(serial, at(2)).is_some());
        let now = happens(&mut desk, id);
        assert!(desk.book.repeat(serial, now).is_none(), "{name}, before it was repeated");
    }
}

#[test]
fn a_repeat_has_the_same_bytes_and_another_command_does_not() {
    let mut desk = Desk::new();
    desk.add(setpoint(22), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(1));
    let bytes = |desk: &Desk, now| {
        let Some((_, Payload::Mqtt { command, time, app_ref })) = desk.book.repeat(serial, now) else {
            panic!("it is alive")
        };
        let mut bytes = Vec::new();
        let form = EnvelopeForm::Observed;
        command.encode(&mysa_proto::EnvelopeMeta { id: serial, time, app_ref: &app_ref, form }, &mut bytes);
        bytes
    };
    let (first, second) = (bytes(&desk, at(3)), bytes(&desk, at(9)));
    assert_eq!(first, second);
    let message = Message::decode(TopicKind::In, &first).unwrap();
    assert_eq!(message.envelope.id.and_then(|id| id.as_u64()), Some(serial));
}

#[test]
fn a_newer_command_takes_over_its_fields_and_supersedes_what_keeps_none() {
    let mut desk = Desk::new();
    let both = desk.add(heat_to(20), at(0), 30);
    let newer = desk.add(setpoint(22), at(1), 30);
    assert_eq!(desk.book.pending(lite()), heat_to(22));
    let newest = desk.add(Change::mode(Mode::Off), at(1), 30);
    assert_eq!(desk.verdict(both), Some(&Verdict::Superseded { by: newest, reached: None }));
    // What was sent is superseded when the newer one is on the wire, not before.
    desk.send(Channel::Mqtt, at(1));
    let last = desk.add(setpoint(25), at(2), 30);
    assert_eq!(desk.verdict(newer), None);
    desk.send(Channel::Mqtt, at(4));
    let reached = Some(DeliveryStage::Wire(Channel::Mqtt));
    assert_eq!(desk.verdict(newer), Some(&Verdict::Superseded { by: last, reached }));
    assert_eq!(desk.verdict(newest), None, "nobody asks for another mode");
}

#[test]
fn a_command_expires_by_whichever_clock_says_so_first() {
    for (name, now, expires) in [
        ("in time", at(27), false),
        ("too late to see what came of it", at(28), true),
        ("asleep, uncounted", Now { mono: at(3).mono, wall: at(8 * 3_600).wall }, true),
        ("asleep, counted", Now { mono: at(8 * 3_600).mono, wall: at(3).wall }, true),
        ("clock set back", Now { mono: at(3).mono, wall: AT.plus_millis(-3_600_000) }, false),
    ] {
        let mut desk = Desk::new();
        let id = desk.add(setpoint(22), at(0), 30);
        desk.expire(now);
        let expired = Verdict::Expired(Expired::Deadline);
        assert_eq!(desk.verdict(id), expires.then_some(&expired), "{name}");
    }
}

#[test]
fn what_was_sent_is_judged_until_its_deadline_and_not_sent_near_it() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(1));
    desk.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(28));
    desk.book.ask_again(at(29), 3);
    assert_eq!(desk.book.waiting_devices(), [], "with one second left nobody would see what came of it");
    desk.expire(at(29));
    assert_eq!(desk.verdict(id), None);
    desk.expire(at(30));
    assert!(matches!(
        desk.verdict(id),
        Some(Verdict::Unconfirmed { reached: DeliveryStage::Service(Channel::Mqtt), .. })
    ));
}

#[test]
fn what_the_broker_accepted_and_nobody_answered_is_asked_again_a_few_times() {
    let after = Duration::from_secs(5);
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 120);
    let mut serials = alloc::vec![desk.send(Channel::Mqtt, at(0))];
    for round in 1..=6 {
        let now = at(round * 10);
        desk.book.accepted_by_broker(serials[serials.len() - 1], at(round * 10 - 5).mono, after);
        desk.book.ask_again(Now { mono: now.mono - Duration::from_millis(1), ..now }, 3);
        assert_eq!(desk.book.waiting_devices(), [], "not before its time");
        desk.book.ask_again(now, 3);
        if desk.book.waiting_devices().is_empty() {
            break;
        }
        serials.push(desk.send(Channel::Mqtt, now));
    }
    assert_eq!(serials.len(), 4, "once, and three times again: {serials:?}");
    // The answer to any of them is an answer.
    let ack = Acknowledgement { serial: serials[1], success: Some(true), at: None, confirms: true };
    assert!(desk.book.acknowledged(lite(), ack, &setpoint(22), at(70).mono, &mut desk.decisions));
    assert!(desk.is_confirmed(id));
    assert_eq!(desk.book.retire(), serials);
}

#[test]
fn what_is_not_accepted_answered_overtaken_or_decided_is_not_asked_again() {
    type Case = (&'static str, fn(&mut Desk, CommandId, u64));
    let cases: [Case; 4] = [
        ("the broker did not accept it", |_, _, _| {}),
        ("the thermostat has it", |desk, _, serial| {
            desk.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(5));
            let ack = Acknowledgement { serial, success: None, at: None, confirms: true };
            desk.book.acknowledged(lite(), ack, &Change::default(), at(2).mono, &mut desk.decisions);
        }),
        ("somebody wants something else", |desk, _, serial| {
            desk.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(5));
            desk.add(setpoint(18), at(2), 120);
            desk.queue(Channel::Mqtt, at(3));
        }),
        ("it was taken back", |desk, id, serial| {
            desk.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(5));
            desk.cancel(id, at(2));
        }),
    ];
    for (name, happens) in cases {
        let mut desk = Desk::new();
        let id = desk.add(setpoint(22), at(0), 120);
        let serial = desk.send(Channel::Mqtt, at(0));
        happens(&mut desk, id, serial);
        desk.book.ask_again(at(60), 3);
        assert_eq!(desk.book.waiting_devices(), [], "{name}");
    }
}

#[test]
fn what_mqtt_failed_goes_by_the_structured_service_once() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(0));
    assert!(!desk.book.needs_structured(lite()));
    desk.book.publish_failed(serial, true);
    assert!(desk.book.needs_structured(lite()));
    assert!(desk.book.repeat(serial, at(1)).is_none(), "not on both");
    let update = desk.send(Channel::Structured, at(3));
    assert!(desk.book.is_structured_busy(lite()));
    desk.book.structured_answered(update, StructuredAnswer::Open, at(4).mono, &mut desk.decisions);
    assert!(!desk.book.is_structured_busy(lite()));
    assert_eq!(desk.book.waiting_devices(), [], "an open end is not tried again");
    // The reconnected broker fails it once more: no second time.
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
    assert!(!desk.take(second, at(29)), "tokens came back too late");
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
fn a_refusal_of_the_service_decides_unless_mqtt_had_the_command_before() {
    for by_mqtt in [false, true] {
        let mut desk = Desk::new();
        let id = desk.add(setpoint(22), at(0), 30);
        if by_mqtt {
            let serial = desk.send(Channel::Mqtt, at(0));
            desk.book.publish_failed(serial, true);
        }
        let serial = desk.send(Channel::Structured, at(3));
        let refused = StructuredAnswer::Refused(403);
        desk.book.structured_answered(serial, refused, at(4).mono, &mut desk.decisions);
        let verdict = Verdict::Refused(Refused::Service { status: 403 });
        assert_eq!(desk.verdict(id), (!by_mqtt).then_some(&verdict), "by MQTT before: {by_mqtt}");
    }
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
fn what_was_queued_on_a_connection_that_ends_waits_again_and_what_was_sent_has_failed() {
    let mut desk = Desk::new();
    desk.add(setpoint(22), at(0), 30);
    let queued = desk.queue(Channel::Mqtt, at(1));
    assert!(desk.book.connection_ended(ConnId(2)).is_empty());
    assert!(desk.book.connection_ended(ConnId(1)).is_empty());
    assert_eq!(desk.book.waiting_devices(), [lite()]);
    assert!(!desk.take(queued, at(2)), "its place in the line is gone");
    let sent = desk.send(Channel::Mqtt, at(3));
    assert_eq!(desk.book.connection_ended(ConnId(1)), [sent]);
    desk.book.accepted_by_broker(sent, at(4).mono, SPACING);
    assert!(desk.book.connection_ended(ConnId(1)).is_empty(), "the broker had it");
}

#[test]
fn asking_for_what_is_so_already_is_confirmed_once_a_status_came_since() {
    let mut desk = Desk::new();
    desk.status(&setpoint(22), at(0));
    let id = desk.book.next_id();
    let time = Duration::from_secs(30);
    desk.book.add(OpenCommand::new(id, lite(), setpoint(22), true, at(5), time), &mut desk.decisions);
    let serial = desk.send(Channel::Structured, at(5));
    let judge = |desk: &mut Desk, alive: Now| {
        let witness =
            RestWitness { by: Evidence::Reported, status_at: Some(alive.wall), shown: setpoint(22) };
        desk.book.judge(lite(), &desk.state, Some(&witness), at(9).mono, &mut desk.decisions);
    };
    judge(&mut desk, at(7));
    assert_eq!(desk.verdict(id), None, "the service has not taken the request");
    desk.book.structured_answered(serial, StructuredAnswer::Accepted, at(6).mono, &mut desk.decisions);
    judge(&mut desk, at(4));
    assert_eq!(desk.verdict(id), None, "the cloud may not know that somebody changed it");
    judge(&mut desk, at(7));
    assert!(matches!(
        desk.verdict(id),
        Some(Verdict::Confirmed { by: Evidence::Reported, effect: Effect::AlreadySo, .. })
    ));
}

#[test]
fn what_was_so_when_it_was_asked_and_is_not_any_more_is_not_confirmed_by_a_sign_of_life() {
    let mut desk = Desk::new();
    desk.status(&setpoint(22), at(0));
    let id = desk.book.next_id();
    let command = OpenCommand::new(id, lite(), setpoint(22), true, at(5), Duration::from_secs(30));
    desk.book.add(command, &mut desk.decisions);
    let serial = desk.send(Channel::Structured, at(5));
    desk.book.structured_answered(serial, StructuredAnswer::Accepted, at(6).mono, &mut desk.decisions);
    desk.status(&setpoint(16), at(6));
    let witness = RestWitness { by: Evidence::Reported, status_at: Some(at(8).wall), shown: setpoint(22) };
    desk.book.judge(lite(), &desk.state, Some(&witness), at(9).mono, &mut desk.decisions);
    assert_eq!(desk.verdict(id), None);
}

#[test]
fn writes_keep_a_distance_by_thermostat_and_by_account() {
    let (interval, spacing) = (SPACING, Duration::from_secs(1));
    let mut desk = Desk::new();
    let send_at = |desk: &Desk, device, now: Now| desk.book.send_at(device, interval, spacing, now.mono);
    assert_eq!(send_at(&desk, lite(), at(9)), Duration::ZERO, "the first waits for nothing");
    desk.add(setpoint(22), at(9), 30);
    let queued = desk.queue(Channel::Mqtt, at(9));
    assert_eq!(send_at(&desk, other(), at(9)), at(9).mono + spacing);
    assert_eq!(send_at(&desk, other(), at(12)), at(9).mono + spacing);
    desk.book.unqueue(queued);
    assert_eq!(send_at(&desk, other(), at(9)), Duration::ZERO, "nothing was written");
    desk.send(Channel::Mqtt, at(10));
    assert_eq!(send_at(&desk, lite(), at(10)), at(10).mono + interval);
    assert_eq!(send_at(&desk, other(), at(10)), at(10).mono + spacing);
}

#[test]
fn others_keep_their_distance_to_a_request_that_waits_for_its_connection_but_not_for_ever() {
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
    assert_eq!(desk.book.due_looks(at(20).mono), [], "not before the answer");
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

/// Both clocks, in step, in milliseconds.
fn at_millis(millis: u64) -> Now {
    Now { mono: Duration::from_millis(millis), wall: AT.plus_millis(i64::try_from(millis).unwrap()) }
}

#[test]
fn a_command_that_was_sent_is_unconfirmed_by_whichever_clock_says_so_first() {
    for (name, now, decided) in [
        ("in time by both", at(29), false),
        ("late by the monotonic clock", Now { mono: at(30).mono, wall: at(3).wall }, true),
        ("late by the wall clock", Now { mono: at(3).mono, wall: at(30).wall }, true),
    ] {
        let mut desk = Desk::new();
        let id = desk.add(setpoint(22), at(0), 30);
        desk.send(Channel::Mqtt, at(1));
        desk.expire(now);
        assert_eq!(matches!(desk.verdict(id), Some(Verdict::Unconfirmed { .. })), decided, "{name}");
    }
}

#[test]
fn nothing_is_sent_in_the_last_two_seconds_by_either_clock() {
    for (name, now, sent) in [
        ("before them", at_millis(27_999), true),
        ("in them by the monotonic clock", Now { mono: at(28).mono, wall: at(3).wall }, false),
        ("in them by the wall clock", Now { mono: at(3).mono, wall: at(28).wall }, false),
    ] {
        let mut desk = Desk::new();
        desk.add(setpoint(22), at(0), 30);
        let serial = desk.queue(Channel::Mqtt, at(1));
        assert_eq!(desk.take(serial, now), sent, "{name}");
    }
}

#[test]
fn a_command_of_a_few_seconds_is_sent_until_a_quarter_of_them_is_left() {
    for (millis, sent) in [(2_999, true), (3_000, false)] {
        let mut desk = Desk::new();
        desk.add(setpoint(22), at(0), 4);
        let serial = desk.queue(Channel::Mqtt, at(0));
        assert_eq!(desk.take(serial, at_millis(millis)), sent, "after {millis} ms");
    }
}

#[test]
fn serial_numbers_grow_when_the_clock_stands_still_and_when_it_runs_back() {
    let mut book = CommandBook::default();
    let first = book.next_serial(AT);
    assert_eq!(Ok(first), u64::try_from(AT.as_millis()));
    assert_eq!(book.next_serial(AT), first + 1);
    assert_eq!(book.next_serial(AT.plus_millis(-5_000)), first + 2);
    assert_eq!(book.next_serial(AT.plus_millis(5_000)), first + 5_000);
}

#[test]
fn what_waits_says_since_when_and_until_when_it_can() {
    let mut desk = Desk::new();
    assert_eq!(desk.book.waiting_since(lite()), None);
    desk.add(setpoint(22), at(3), 30);
    desk.add(Change::mode(Mode::Heat), at(5), 30);
    assert_eq!(desk.book.waiting_since(lite()), Some((at(3).mono, at(31).mono)), "the older one");
    assert_eq!(desk.book.waiting_since(other()), None);
}

#[test]
fn a_transmission_for_one_command_alone_leaves_the_others_waiting() {
    let mut desk = Desk::new();
    let first = desk.add(setpoint(22), at(0), 30);
    desk.add(Change::mode(Mode::Heat), at(0), 30);
    assert_eq!(desk.book.first_waiting(lite()), Some((first, setpoint(22))));
    let update = StructuredUpdate::new(&Model::parse("BB-V2-0-L"), &Limits::default(), setpoint(22)).unwrap();
    let serial = desk.book.next_serial(AT);
    desk.book.queue(serial, lite(), Some(first), Payload::Structured(update), None, at(1).mono);
    assert_eq!(desk.book.waiting_change(lite()), Change::mode(Mode::Heat));
}

#[test]
fn a_write_is_remembered_for_an_hour_and_once_for_each_thermostat() {
    let mut desk = Desk::new();
    desk.book.writes = [(other(), at(9).mono), (lite(), at(5).mono)].into();
    desk.add(setpoint(22), at(10), 30);
    desk.send(Channel::Mqtt, at(10));
    assert_eq!(desk.book.writes, [(other(), at(9).mono), (lite(), at(10).mono)]);
    desk.add(setpoint(23), at(3_609), 30);
    desk.send(Channel::Mqtt, at(3_609));
    assert_eq!(desk.book.writes, [(lite(), at(3_609).mono)]);
}

#[test]
fn taking_one_transmission_back_leaves_the_others_and_what_was_sent() {
    let mut desk = Desk::new();
    desk.add(setpoint(22), at(0), 30);
    let sent = desk.send(Channel::Mqtt, at(0));
    desk.add(Change::mode(Mode::Heat), at(1), 30);
    let queued = desk.queue(Channel::Mqtt, at(1));
    desk.add(setpoint(24), at(2), 30);
    let back = desk.queue(Channel::Mqtt, at(2));
    desk.book.unqueue(back);
    desk.book.unqueue(sent);
    assert_eq!(desk.book.device_of(back), None);
    assert_eq!(desk.book.device_of(queued), Some(lite()));
    assert_eq!(desk.book.device_of(sent), Some(lite()), "an answer may still come");
    assert_eq!(desk.book.waiting_change(lite()), setpoint(24));
}

#[test]
fn a_puback_after_the_answer_or_after_the_failure_schedules_no_repeat() {
    let after = Duration::from_secs(5);
    let mut desk = Desk::new();
    desk.add(setpoint(22), at(0), 60);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.book.accepted_by_broker(serial, at(1).mono, after);
    assert_eq!(desk.book.deadline(), Some(at(6).mono), "nobody has answered yet");
    let ack = Acknowledgement { serial, success: None, at: None, confirms: true };
    assert!(desk.book.acknowledged(lite(), ack, &Change::default(), at(2).mono, &mut desk.decisions));
    desk.book.accepted_by_broker(serial, at(3).mono, after);
    assert_eq!(desk.book.deadline(), Some(at(60).mono));

    let mut desk = Desk::new();
    desk.add(setpoint(22), at(0), 60);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.book.publish_failed(serial, true);
    desk.book.accepted_by_broker(serial, at(3).mono, after);
    assert_eq!(desk.book.deadline(), Some(at(60).mono), "it goes by the other channel");
}

#[test]
fn a_failed_publish_that_a_newer_command_replaces_is_superseded_once_that_is_sent() {
    let mut desk = Desk::new();
    let older = desk.add(setpoint(25), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(0));
    let newer = desk.add(heat_to(18), at(1), 30);
    desk.book.publish_failed(serial, true);
    assert_eq!(desk.book.waiting_change(lite()), heat_to(18));
    assert_eq!(desk.verdict(older), None, "it may have arrived all the same");
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
    assert_eq!(desk.verdict(id), None, "a status is to confirm it");
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
fn what_waits_to_be_asked_again_stops_waiting_when_it_is_too_late() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(5));
    desk.book.ask_again(at(6), 3);
    desk.expire(at(27));
    assert_eq!(desk.book.waiting_devices(), [lite()]);
    desk.expire(at(28));
    assert_eq!(desk.book.waiting_devices(), []);
    assert_eq!(desk.verdict(id), None, "evidence may still come");
}

#[test]
fn what_cannot_be_sent_is_refused_unless_it_was_sent_before() {
    let refused = Refused::NotPermitted;
    let waiting = |desk: &mut Desk, device| {
        let id = desk.book.next_id();
        let time = Duration::from_secs(30);
        desk.book.add(OpenCommand::new(id, device, setpoint(22), false, at(5), time), &mut desk.decisions);
        id
    };
    // One was sent and is to be asked again, one is queued, one waits, and one waits for another thermostat.
    let mut desk = Desk::new();
    let sent = desk.add(Change::mode(Mode::Heat), at(0), 60);
    let serial = desk.send(Channel::Mqtt, at(0));
    let lock = Change { lock: Some(true), ..Change::default() };
    let queued = desk.add(lock, at(1), 60);
    desk.queue(Channel::Mqtt, at(1));
    desk.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(1));
    desk.book.ask_again(at(4), 3);
    let new = waiting(&mut desk, lite());
    let elsewhere = waiting(&mut desk, other());
    assert_eq!(desk.book.waiting_devices(), [lite(), other()]);
    desk.book.refuse_waiting(lite(), None, &refused, &mut desk.decisions);
    assert_eq!(desk.verdict(new), Some(&Verdict::Refused(refused.clone())));
    assert_eq!(desk.verdict(sent), None, "evidence may still come");
    assert_eq!(desk.verdict(queued), None, "it is on its way");
    assert_eq!(desk.verdict(elsewhere), None);
    assert_eq!(desk.book.waiting_devices(), [other()]);
}

#[test]
fn what_alone_cannot_be_sent_is_refused_alone() {
    let mut desk = Desk::new();
    let first = desk.add(setpoint(22), at(0), 30);
    let second = desk.add(Change::mode(Mode::Heat), at(0), 30);
    desk.book.refuse_waiting(lite(), Some(first), &Refused::NotPermitted, &mut desk.decisions);
    assert_eq!(desk.verdict(first), Some(&Verdict::Refused(Refused::NotPermitted)));
    assert_eq!(desk.verdict(second), None);
    assert_eq!(desk.book.waiting_devices(), [lite()]);

    // Of two that were sent before, only the one that is named stops waiting.
    let mut desk = Desk::new();
    let first = desk.add(setpoint(22), at(0), 60);
    desk.add(Change::mode(Mode::Heat), at(0), 60);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(1));
    desk.book.ask_again(at(4), 3);
    desk.book.refuse_waiting(lite(), Some(first), &Refused::NotPermitted, &mut desk.decisions);
    assert!(desk.decisions.is_empty());
    assert_eq!(desk.book.waiting_change(lite()), Change::mode(Mode::Heat));
}

#[test]
fn only_transmissions_without_an_open_command_are_retired() {
    let mut desk = Desk::new();
    let done = desk.add(setpoint(22), at(0), 30);
    let first = desk.send(Channel::Mqtt, at(0));
    desk.add(Change::mode(Mode::Heat), at(1), 30);
    desk.send(Channel::Mqtt, at(1));
    assert_eq!(desk.book.retire(), [0; 0]);
    desk.status(&setpoint(22), at(2));
    assert!(desk.is_confirmed(done));
    assert_eq!(desk.book.retire(), [first]);
}

#[test]
fn what_was_overtaken_stays_so_whatever_becomes_of_the_newer_commands() {
    let mut desk = Desk::new();
    let first = desk.add(setpoint(17), at(0), 30);
    let serial = desk.send(Channel::Mqtt, at(0));
    desk.add(heat_to(20), at(1), 30);
    let last = desk.add(setpoint(19), at(2), 30);
    desk.cancel(last, at(3));
    desk.book.publish_failed(serial, true);
    assert_eq!(desk.book.waiting_change(lite()), Change::mode(Mode::Heat), "nobody wants 17 any more");
    assert_eq!(desk.verdict(first), None);
}

#[test]
fn a_sign_of_life_beside_another_value_confirms_nothing() {
    let mut desk = Desk::new();
    desk.status(&setpoint(22), at(0));
    let id = desk.book.next_id();
    let command = OpenCommand::new(id, lite(), setpoint(22), true, at(5), Duration::from_secs(30));
    desk.book.add(command, &mut desk.decisions);
    let serial = desk.send(Channel::Structured, at(5));
    desk.book.structured_answered(serial, StructuredAnswer::Accepted, at(6).mono, &mut desk.decisions);
    for (shown, confirms) in [(setpoint(16), false), (Change::default(), false), (setpoint(22), true)] {
        let witness = RestWitness { by: Evidence::Reported, status_at: Some(at(7).wall), shown };
        desk.book.judge(lite(), &desk.state, Some(&witness), at(9).mono, &mut desk.decisions);
        assert_eq!(desk.is_confirmed(id), confirms, "{shown}");
    }
}

#[test]
fn a_status_since_proves_nothing_of_what_it_does_not_carry() {
    let heat = Change::mode(Mode::Heat);
    for change in [heat, Change { lock: Some(true), ..Change::default() }, heat.then(setpoint(22))] {
        let mut desk = Desk::new();
        desk.status(&change, at(0));
        let id = desk.book.next_id();
        let command = OpenCommand::new(id, lite(), change, true, at(5), Duration::from_secs(30));
        desk.book.add(command, &mut desk.decisions);
        let serial = desk.send(Channel::Structured, at(5));
        desk.book.structured_answered(serial, StructuredAnswer::Accepted, at(6).mono, &mut desk.decisions);
        let witness = RestWitness { by: Evidence::Reported, status_at: Some(at(7).wall), shown: change };
        desk.book.judge(lite(), &desk.state, Some(&witness), at(9).mono, &mut desk.decisions);
        assert_eq!(desk.verdict(id), None, "{change}: the cloud shows what it heard last");
    }
}

#[test]
fn what_was_not_sent_waits_again() {
    let mut desk = Desk::new();
    let id = desk.add(setpoint(22), at(0), 30);
    let serial = desk.queue(Channel::Structured, at(0));
    desk.book.structured_answered(serial, StructuredAnswer::NotSent, at(1).mono, &mut desk.decisions);
    assert!(!desk.take(serial, at(1)), "the connection is gone");
    assert_eq!(desk.book.waiting_devices(), [lite()]);
    assert!(!desk.book.is_structured_busy(lite()));
    assert_eq!(desk.verdict(id), None);
}
