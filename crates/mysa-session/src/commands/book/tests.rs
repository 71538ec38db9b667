use mysa_proto::{
    Celsius, Command, DeviceState, EnvelopeForm, Hold, Limits, Message, Mode, ModeTable, Model, Observation,
    Source, StructuredUpdate, TopicKind,
};

use super::*;
use crate::commands::verdict::{Effect, Evidence, Expired};

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

/// Returns both clocks in step, in seconds.
fn at(secs: u64) -> Now {
    let millis = i64::try_from(secs).unwrap() * 1_000;
    Now { mono: Duration::from_secs(secs), wall: AT.plus_millis(millis) }
}

/// Returns both clocks in step, in milliseconds.
fn at_millis(millis: u64) -> Now {
    Now { mono: Duration::from_millis(millis), wall: AT.plus_millis(i64::try_from(millis).unwrap()) }
}

/// Book under test, the state of its thermostat, and the decisions so far.
struct Harness {
    book: CommandBook,
    state: DeviceState,
    decisions: Vec<Decision>,
}

impl Harness {
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
        let change = self.book.waiting_change(lite());
        // A Lite has no hold.
        let model = Model::parse(if change.hold.is_some() { "BB-V2-0" } else { "BB-V2-0-L" });
        let limits = Limits::default();
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

    /// Sends everything that waits, at once.
    fn send(&mut self, channel: Channel, now: Now) -> u64 {
        let serial = self.queue(channel, now);
        assert!(self.take(serial, now), "the transmission must be allowed");
        serial
    }

    /// Sends a command for values that already hold by the structured service: queued at five seconds, accepted one
    /// second later.
    fn send_already_so(&mut self, change: Change) -> CommandId {
        let id = self.book.next_id();
        let command = OpenCommand::new(id, lite(), change, true, at(5), Duration::from_secs(30));
        self.book.add(command, &mut self.decisions);
        let serial = self.send(Channel::Structured, at(5));
        self.book.structured_answered(serial, StructuredAnswer::Accepted, at(6).mono, &mut self.decisions);
        id
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
        assert!(all.next().is_none(), "a command has one verdict");
        only
    }

    fn is_confirmed(&self, id: CommandId) -> bool {
        self.verdict(id).is_some_and(Verdict::is_confirmed)
    }
}

mod channels;
mod evidence;

#[test]
fn nothing_is_transmitted_for_a_command_that_is_decided_overtaken_or_too_late() {
    // Each case happens between queueing and taking, and again between the first transmission and a repeat.
    type Case = (&'static str, fn(&mut Harness, CommandId) -> Now);
    let cases: [Case; 6] = [
        ("cancelled", |harness, id| {
            harness.cancel(id, at(2));
            at(2)
        }),
        ("overtaken", |harness, _| {
            harness.add(setpoint(18), at(2), 30);
            at(2)
        }),
        ("overtaken in part", |harness, _| {
            harness.add(Change::mode(Mode::Off), at(2), 30);
            at(2)
        }),
        ("too late", |_, _| at(31)),
        ("too late by the wall clock alone", |_, _| Now { mono: at(2).mono, wall: at(8 * 3_600).wall }),
        ("too late by the monotonic clock alone", |_, _| Now { mono: at(40).mono, wall: at(2).wall }),
    ];
    for (name, happens) in cases {
        let mut harness = Harness::new();
        let id = harness.add(heat_to(25), at(0), 30);
        let serial = harness.queue(Channel::Mqtt, at(1));
        let now = happens(&mut harness, id);
        assert!(!harness.take(serial, now), "{name}, before it was taken");

        let mut harness = Harness::new();
        let id = harness.add(heat_to(25), at(0), 30);
        let serial = harness.send(Channel::Mqtt, at(1));
        assert!(harness.book.repeat(serial, at(2)).is_some());
        let now = happens(&mut harness, id);
        assert!(harness.book.repeat(serial, now).is_none(), "{name}, before it was repeated");
    }
}

#[test]
fn a_repeat_has_the_same_bytes_and_another_command_does_not() {
    let mut harness = Harness::new();
    harness.add(setpoint(22), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(1));
    let bytes = |harness: &Harness, now| {
        let Some((_, Payload::Mqtt { command, time, app_ref })) = harness.book.repeat(serial, now) else {
            panic!("it is alive")
        };
        let mut bytes = Vec::new();
        let form = EnvelopeForm::Observed;
        command.encode(&mysa_proto::EnvelopeMeta { id: serial, time, app_ref: &app_ref, form }, &mut bytes);
        bytes
    };
    let (first, second) = (bytes(&harness, at(3)), bytes(&harness, at(9)));
    assert_eq!(first, second);
    let message = Message::decode(TopicKind::In, &first).unwrap();
    assert_eq!(message.envelope.id.and_then(|id| id.as_u64()), Some(serial));
}

#[test]
fn a_newer_command_takes_over_its_fields_and_supersedes_commands_left_without_fields() {
    let mut harness = Harness::new();
    let both = harness.add(heat_to(20), at(0), 30);
    let newer = harness.add(setpoint(22), at(1), 30);
    assert_eq!(harness.book.pending(lite()), heat_to(22));
    let newest = harness.add(Change::mode(Mode::Off), at(1), 30);
    assert_eq!(harness.verdict(both), Some(&Verdict::Superseded { by: newest, reached: None }));
    // A command that was sent is superseded when the newer one is sent, not before.
    harness.send(Channel::Mqtt, at(1));
    let last = harness.add(setpoint(25), at(2), 30);
    assert_eq!(harness.verdict(newer), None);
    harness.send(Channel::Mqtt, at(4));
    let reached = Some(DeliveryStage::Wire(Channel::Mqtt));
    assert_eq!(harness.verdict(newer), Some(&Verdict::Superseded { by: last, reached }));
    assert_eq!(harness.verdict(newest), None, "no newer command changes the mode");
}

#[test]
fn an_unanswered_command_is_repeated_a_few_times() {
    let after = Duration::from_secs(5);
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 120);
    let mut serials = alloc::vec![harness.send(Channel::Mqtt, at(0))];
    for round in 1..=6 {
        let now = at(round * 10);
        harness.book.accepted_by_broker(serials[serials.len() - 1], at(round * 10 - 5).mono, after);
        harness.book.ask_again(Now { mono: now.mono - Duration::from_millis(1), ..now }, 3);
        assert_eq!(harness.book.waiting_devices(), [], "the repeat is not due yet");
        harness.book.ask_again(now, 3);
        if harness.book.waiting_devices().is_empty() {
            break;
        }
        serials.push(harness.send(Channel::Mqtt, now));
    }
    assert_eq!(serials.len(), 4, "one transmission and three repeats: {serials:?}");
    // An answer to any of the transmissions counts.
    let ack = Acknowledgement { serial: serials[1], success: Some(true), at: None, confirms: true };
    assert!(harness.book.acknowledged(lite(), ack, &setpoint(22), at(70).mono, &mut harness.decisions));
    assert!(harness.is_confirmed(id));
    assert_eq!(harness.book.retire(), serials);
}

#[test]
fn only_unanswered_open_commands_are_repeated() {
    type Case = (&'static str, fn(&mut Harness, CommandId, u64));
    let cases: [Case; 4] = [
        ("the broker did not accept it", |_, _, _| {}),
        ("the thermostat has it", |harness, _, serial| {
            harness.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(5));
            let ack = Acknowledgement { serial, success: None, at: None, confirms: true };
            harness.book.acknowledged(lite(), ack, &Change::default(), at(2).mono, &mut harness.decisions);
        }),
        ("somebody wants something else", |harness, _, serial| {
            harness.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(5));
            harness.add(setpoint(18), at(2), 120);
            harness.queue(Channel::Mqtt, at(3));
        }),
        ("it was taken back", |harness, id, serial| {
            harness.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(5));
            harness.cancel(id, at(2));
        }),
    ];
    for (name, happens) in cases {
        let mut harness = Harness::new();
        let id = harness.add(setpoint(22), at(0), 120);
        let serial = harness.send(Channel::Mqtt, at(0));
        happens(&mut harness, id, serial);
        harness.book.ask_again(at(60), 3);
        assert_eq!(harness.book.waiting_devices(), [], "{name}");
    }
}

#[test]
fn a_closed_connection_requeues_queued_commands_and_fails_sent_ones() {
    let mut harness = Harness::new();
    harness.add(setpoint(22), at(0), 30);
    let queued = harness.queue(Channel::Mqtt, at(1));
    assert!(harness.book.connection_ended(ConnId(2)).is_empty());
    assert!(harness.book.connection_ended(ConnId(1)).is_empty());
    assert_eq!(harness.book.waiting_devices(), [lite()]);
    assert!(!harness.take(queued, at(2)), "the transmission was withdrawn");
    let sent = harness.send(Channel::Mqtt, at(3));
    assert_eq!(harness.book.connection_ended(ConnId(1)), [sent]);
    harness.book.accepted_by_broker(sent, at(4).mono, SPACING);
    assert!(harness.book.connection_ended(ConnId(1)).is_empty(), "the broker has acknowledged it");
}

#[test]
fn writes_keep_a_distance_by_thermostat_and_by_account() {
    let (interval, spacing) = (SPACING, Duration::from_secs(1));
    let mut harness = Harness::new();
    let send_at =
        |harness: &Harness, device, now: Now| harness.book.send_at(device, interval, spacing, now.mono);
    assert_eq!(send_at(&harness, lite(), at(9)), Duration::ZERO, "the first write is due at once");
    harness.add(setpoint(22), at(9), 30);
    let queued = harness.queue(Channel::Mqtt, at(9));
    assert_eq!(send_at(&harness, other(), at(9)), at(9).mono + spacing);
    assert_eq!(send_at(&harness, other(), at(12)), at(9).mono + spacing);
    harness.book.unqueue(queued);
    assert_eq!(send_at(&harness, other(), at(9)), Duration::ZERO, "nothing was written");
    harness.send(Channel::Mqtt, at(10));
    assert_eq!(send_at(&harness, lite(), at(10)), at(10).mono + interval);
    assert_eq!(send_at(&harness, other(), at(10)), at(10).mono + spacing);
}

#[test]
fn nothing_is_sent_in_the_last_two_seconds_by_either_clock() {
    for (name, now, sent) in [
        ("before them", at_millis(27_999), true),
        ("in them by the monotonic clock", Now { mono: at(28).mono, wall: at(3).wall }, false),
        ("in them by the wall clock", Now { mono: at(3).mono, wall: at(28).wall }, false),
    ] {
        let mut harness = Harness::new();
        harness.add(setpoint(22), at(0), 30);
        let serial = harness.queue(Channel::Mqtt, at(1));
        assert_eq!(harness.take(serial, now), sent, "{name}");
    }
}

#[test]
fn a_command_of_a_few_seconds_is_sent_until_a_quarter_of_them_is_left() {
    for (millis, sent) in [(2_999, true), (3_000, false)] {
        let mut harness = Harness::new();
        harness.add(setpoint(22), at(0), 4);
        let serial = harness.queue(Channel::Mqtt, at(0));
        assert_eq!(harness.take(serial, at_millis(millis)), sent, "after {millis} ms");
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
fn a_waiting_command_has_a_start_and_a_last_time_to_send() {
    let mut harness = Harness::new();
    assert_eq!(harness.book.waiting_since(lite()), None);
    harness.add(setpoint(22), at(3), 30);
    harness.add(Change::mode(Mode::Heat), at(5), 30);
    assert_eq!(
        harness.book.waiting_since(lite()),
        Some((at(3).mono, at(31).mono)),
        "the older command counts"
    );
    assert_eq!(harness.book.waiting_since(other()), None);
}

#[test]
fn a_transmission_for_one_command_alone_leaves_the_others_waiting() {
    let mut harness = Harness::new();
    let first = harness.add(setpoint(22), at(0), 30);
    harness.add(Change::mode(Mode::Heat), at(0), 30);
    assert_eq!(harness.book.first_waiting(lite()), Some((first, setpoint(22))));
    let update = StructuredUpdate::new(&Model::parse("BB-V2-0-L"), &Limits::default(), setpoint(22)).unwrap();
    let serial = harness.book.next_serial(AT);
    harness.book.queue(serial, lite(), Some(first), Payload::Structured(update), None, at(1).mono);
    assert_eq!(harness.book.waiting_change(lite()), Change::mode(Mode::Heat));
}

#[test]
fn a_write_is_remembered_for_an_hour_and_once_for_each_thermostat() {
    let mut harness = Harness::new();
    harness.book.writes = [(other(), at(9).mono), (lite(), at(5).mono)].into();
    harness.add(setpoint(22), at(10), 30);
    harness.send(Channel::Mqtt, at(10));
    assert_eq!(harness.book.writes, [(other(), at(9).mono), (lite(), at(10).mono)]);
    harness.add(setpoint(23), at(3_609), 30);
    harness.send(Channel::Mqtt, at(3_609));
    assert_eq!(harness.book.writes, [(lite(), at(3_609).mono)]);
}

#[test]
fn withdrawing_one_transmission_leaves_the_others_and_sent_ones() {
    let mut harness = Harness::new();
    harness.add(setpoint(22), at(0), 30);
    let sent = harness.send(Channel::Mqtt, at(0));
    harness.add(Change::mode(Mode::Heat), at(1), 30);
    let queued = harness.queue(Channel::Mqtt, at(1));
    harness.add(setpoint(24), at(2), 30);
    let back = harness.queue(Channel::Mqtt, at(2));
    harness.book.unqueue(back);
    harness.book.unqueue(sent);
    assert_eq!(harness.book.device_of(back), None);
    assert_eq!(harness.book.device_of(queued), Some(lite()));
    assert_eq!(harness.book.device_of(sent), Some(lite()), "an answer may still arrive");
    assert_eq!(harness.book.waiting_change(lite()), setpoint(24));
}

#[test]
fn a_command_is_not_repeated_near_its_deadline() {
    let mut harness = Harness::new();
    let id = harness.add(setpoint(22), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(0));
    harness.book.accepted_by_broker(serial, at(1).mono, Duration::from_secs(5));
    harness.book.ask_again(at(6), 3);
    harness.expire(at(27));
    assert_eq!(harness.book.waiting_devices(), [lite()]);
    harness.expire(at(28));
    assert_eq!(harness.book.waiting_devices(), []);
    assert_eq!(harness.verdict(id), None, "evidence may still arrive");
}

#[test]
fn only_transmissions_without_an_open_command_are_retired() {
    let mut harness = Harness::new();
    let done = harness.add(setpoint(22), at(0), 30);
    let first = harness.send(Channel::Mqtt, at(0));
    harness.add(Change::mode(Mode::Heat), at(1), 30);
    harness.send(Channel::Mqtt, at(1));
    assert_eq!(harness.book.retire(), [0; 0]);
    harness.status(&setpoint(22), at(2));
    assert!(harness.is_confirmed(done));
    assert_eq!(harness.book.retire(), [first]);
}

#[test]
fn an_overtaken_command_stays_overtaken_when_the_newer_one_fails() {
    let mut harness = Harness::new();
    let first = harness.add(setpoint(17), at(0), 30);
    let serial = harness.send(Channel::Mqtt, at(0));
    harness.add(heat_to(20), at(1), 30);
    let last = harness.add(setpoint(19), at(2), 30);
    harness.cancel(last, at(3));
    harness.book.publish_failed(serial);
    assert_eq!(harness.book.waiting_change(lite()), Change::mode(Mode::Heat), "the setpoint was superseded");
    assert_eq!(harness.verdict(first), None);
}
