//! Merge of observations into one state: precedence of values, and independence of the order of the calls.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::time::Duration;

use mysa_proto::{
    Brightness, Celsius, Change, Changes, Contradiction, DeviceState, DutyCycle, Family, Hold, Mode, Now,
    Observation, Source, StateField, UnixTime,
};
use proptest::prelude::*;

/// Wall clock of the host when its monotonic clock reads zero.
const ORIGIN: i64 = 1_767_323_000;

fn celsius(degrees: f64) -> Celsius {
    Celsius::from_degrees(degrees).unwrap()
}

fn received(at: u64) -> Now {
    Now { mono: Duration::from_secs(at), wall: UnixTime::from_secs(ORIGIN + i64::try_from(at).unwrap()) }
}

/// `stamp` and `arrival` in seconds after the origin.
fn setpoint(source: Source, stamp: Option<i64>, arrival: u64, degrees: f64) -> Observation {
    let at = stamp.map(|stamp| UnixTime::from_secs(ORIGIN + stamp));
    Observation { setpoint: Some(celsius(degrees)), ..Observation::new(source, at, received(arrival)) }
}

fn shown(state: &DeviceState) -> f64 {
    state.setpoint().unwrap().value.as_degrees()
}

fn merged(observations: &[Observation]) -> DeviceState {
    let mut state = DeviceState::new();
    observations.iter().for_each(|observation| drop(state.observe(observation)));
    state
}

fn drop<T>(_: T) {}

#[test]
fn a_newer_value_wins_and_its_fields_are_reported() {
    let mut state = DeviceState::new();
    let changes = state.observe(&setpoint(Source::Status, Some(10), 11, 20.0));
    assert_eq!(changes.iter().collect::<Vec<_>>(), [StateField::Setpoint]);
    assert_eq!(state.observe(&setpoint(Source::Status, Some(15), 16, 20.0)), Changes::default());
    assert!(state.observe(&setpoint(Source::Ack, Some(20), 21, 21.5)).contains(StateField::Setpoint));
    let field = state.setpoint().unwrap();
    assert_eq!((field.value, field.source), (celsius(21.5), Source::Ack));
    assert_eq!(field.at, Some(UnixTime::from_secs(ORIGIN + 20)));
    assert_eq!(field.age(Duration::from_secs(30)), Duration::from_secs(9));
    assert_eq!(state.temperature(), None);
}

#[test]
fn an_old_message_redelivered_changes_nothing() {
    let mut state = merged(&[setpoint(Source::Status, Some(100), 101, 20.0)]);
    assert!(state.observe(&setpoint(Source::SetpointChange, Some(40), 200, 17.0)).is_empty());
    assert_eq!(shown(&state), 20.0);
}

#[test]
fn a_rest_snapshot_older_than_the_status_does_not_roll_it_back() {
    let mut state = merged(&[setpoint(Source::Status, Some(100), 101, 20.0)]);
    for poll in [110, 170, 230] {
        assert!(state.observe(&setpoint(Source::RestState, Some(50), poll, 17.0)).is_empty(), "{poll}");
    }
    assert!(!state.observe(&setpoint(Source::RestState, Some(235), 240, 18.0)).is_empty());
}

#[test]
fn messages_without_a_time_are_ordered_by_arrival() {
    let state = merged(&[
        setpoint(Source::RestState, None, 110, 18.0),
        setpoint(Source::Status, Some(100), 101, 20.0),
        setpoint(Source::Status, None, 105, 19.0),
    ]);
    assert_eq!(shown(&state), 18.0);
}

#[test]
fn a_device_record_is_older_than_every_other_source() {
    let record = setpoint(Source::RestRecord, None, 110, 18.0);
    for (source, stamp) in [
        (Source::RestState, Some(-9_000)),
        (Source::RestState, None),
        (Source::Structured, Some(-9_000)),
        (Source::Status, Some(-9_000)),
        (Source::Status, None),
    ] {
        let other = setpoint(source, stamp, 111, 20.0);
        assert_eq!(shown(&merged(&[record, other])), 20.0, "{source:?} at {stamp:?}");
    }
    let newer = setpoint(Source::RestRecord, None, 120, 19.0);
    assert_eq!(shown(&merged(&[record, newer])), 19.0, "of two records, the later counts");
}

#[test]
fn a_time_in_the_future_does_not_freeze_the_state() {
    let five_years = 5 * 365 * 86_400;
    let mut state = merged(&[setpoint(Source::Status, Some(five_years), 10, 25.0)]);
    assert_eq!(shown(&state), 25.0, "the value itself is valid");
    assert_eq!(state.setpoint().unwrap().at, None);
    state.observe(&setpoint(Source::Status, Some(15), 16, 20.0));
    assert_eq!(shown(&state), 20.0);
    for (ahead, counts) in [(60, true), (61, false)] {
        let seen = setpoint(Source::Status, Some(10 + ahead), 10, 25.0);
        assert_eq!(seen.usable_at().is_some(), counts, "{ahead} s");
    }
}

#[test]
fn a_device_with_a_slow_clock_still_updates_the_state() {
    let hour = 3_600;
    let mut state = merged(&[setpoint(Source::RestState, Some(95), 100, 20.0)]);
    state.observe(&setpoint(Source::Status, Some(110 - hour), 110, 22.0));
    assert_eq!(shown(&state), 22.0);
}

#[test]
fn a_host_whose_clock_is_set_back_still_updates_the_state() {
    let mut state = merged(&[setpoint(Source::RestRecord, None, 100, 20.0)]);
    let mut late = setpoint(Source::RestRecord, None, 110, 21.0);
    late.received.wall = UnixTime::from_secs(ORIGIN - 86_400);
    state.observe(&late);
    assert_eq!(shown(&state), 21.0);
}

fn confirm(state: &mut DeviceState, degrees: f64, stamp: Option<i64>, sent: u64, confirmed: u64) -> Changes {
    let at = stamp.map(|stamp| UnixTime::from_secs(ORIGIN + stamp));
    let change = Change::setpoint(celsius(degrees));
    state.confirm(&Observation::from_change(&change, at, received(confirmed)), received(sent))
}

#[test]
fn observations_from_before_a_confirmed_command_do_not_revert_it() {
    let before = [
        ("a status stamped before the command", setpoint(Source::Status, Some(98), 106, 17.0)),
        ("a status of the second of the acknowledgement", setpoint(Source::Status, Some(101), 106, 17.0)),
        ("an acknowledgement of an earlier command", setpoint(Source::Ack, Some(97), 106, 17.0)),
        ("a setpoint change redelivered", setpoint(Source::SetpointChange, Some(90), 200, 17.0)),
        ("a REST state of before", setpoint(Source::RestState, Some(99), 120, 17.0)),
        ("a REST state of long before, fetched late", setpoint(Source::RestState, Some(10), 500, 17.0)),
        ("an unstamped record soon after", setpoint(Source::RestRecord, None, 160, 17.0)),
        (
            "an unstamped status that came before the acknowledgement",
            setpoint(Source::Status, None, 101, 17.0),
        ),
        (
            "a status with a clock a year ahead that came before",
            setpoint(Source::Status, Some(31_536_000), 101, 17.0),
        ),
    ];
    for (name, before) in before {
        for stamp in [Some(101), None] {
            if stamp.is_none() && before.at == Some(UnixTime::from_secs(ORIGIN + 101)) {
                // Timed after the command was sent, and no time of an acknowledgement shows that it is older.
                continue;
            }
            let mut state = merged(&[setpoint(Source::Status, Some(50), 51, 17.0)]);
            confirm(&mut state, 21.5, stamp, 100, 102);
            assert_eq!(shown(&state), 21.5, "{name}, {stamp:?}");
            assert!(state.observe(&before).is_empty(), "{name}, {stamp:?}");
            // The same if it arrives first.
            let mut state = merged(&[setpoint(Source::Status, Some(50), 51, 17.0), before]);
            confirm(&mut state, 21.5, stamp, 100, 102);
            assert_eq!(shown(&state), 21.5, "{name} first, {stamp:?}");
        }
    }
}

#[test]
fn a_fast_clock_does_not_make_an_old_status_new() {
    // Thirty seconds fast, as the first status shows. The second is from a second before the command.
    let mut state = merged(&[setpoint(Source::Status, Some(80), 50, 17.0)]);
    confirm(&mut state, 21.5, None, 100, 102);
    assert!(state.observe(&setpoint(Source::Status, Some(129), 103, 17.0)).is_empty());
    assert!(
        !state.observe(&setpoint(Source::Status, Some(140), 110, 18.0)).is_empty(),
        "sent long after the command"
    );
}

#[test]
fn observations_from_after_a_confirmed_command_count() {
    for (name, after) in [
        ("a status", setpoint(Source::Status, Some(103), 104, 18.0)),
        ("a button", setpoint(Source::SetpointChange, Some(103), 104, 18.0)),
        ("a stamped REST state", setpoint(Source::RestState, Some(103), 104, 18.0)),
        ("an unstamped status", setpoint(Source::Status, None, 104, 18.0)),
        ("an unstamped REST state of later", setpoint(Source::RestState, None, 192, 18.0)),
    ] {
        let mut state = DeviceState::new();
        confirm(&mut state, 21.5, Some(101), 100, 102);
        assert!(!state.observe(&after).is_empty(), "{name}");
        assert_eq!(shown(&state), 18.0, "{name}");
    }
}

#[test]
fn a_confirmed_command_protects_only_its_own_fields() {
    let mut state = DeviceState::new();
    confirm(&mut state, 21.5, Some(101), 100, 102);
    let before =
        Observation { temperature: Some(celsius(19.0)), ..setpoint(Source::Status, Some(99), 103, 17.0) };
    assert_eq!(state.observe(&before).iter().collect::<Vec<_>>(), [StateField::Temperature]);
}

/// The next status has the same fields as the one that does not count.
#[test]
fn a_value_that_starts_to_count_is_a_change() {
    let mut state = merged(&[setpoint(Source::Status, Some(50), 51, 17.0)]);
    confirm(&mut state, 21.5, None, 100, 102);
    // Sent before the command, and delayed.
    assert!(state.observe(&setpoint(Source::Status, Some(90), 110, 17.0)).is_empty());
    assert_eq!(shown(&state), 21.5);
    let changes = state.observe(&setpoint(Source::Status, Some(115), 116, 17.0));
    assert_eq!((changes.contains(StateField::Setpoint), shown(&state)), (true, 17.0));
}

#[test]
fn values_of_a_clock_found_to_be_ahead_are_reordered() {
    let mut state = merged(&[duty(50, 0.5)]);
    confirm(&mut state, 21.5, None, 100, 102);
    assert!(!state.observe(&setpoint(Source::Status, Some(110), 110, 17.0)).is_empty());
    // The clock is thirty seconds ahead: the value with the time 110 was sent before the command.
    let late = Observation { at: Some(UnixTime::from_secs(ORIGIN + 150)), ..duty(120, 0.5) };
    assert_eq!(state.observe(&late).iter().collect::<Vec<_>>(), [StateField::Setpoint]);
    assert_eq!(shown(&state), 21.5);
}

#[test]
fn the_offset_of_a_device_clock_is_learnt_from_every_status() {
    let mut state = merged(&[setpoint(Source::Status, Some(50), 51, 17.0)]);
    state.observe(&setpoint(Source::Status, Some(90), 60, 17.0));
    confirm(&mut state, 21.5, None, 100, 102);
    assert!(state.observe(&setpoint(Source::Status, Some(129), 103, 17.0)).is_empty(), "sent at 99");
    assert!(!state.observe(&setpoint(Source::Status, Some(140), 110, 17.0)).is_empty());
}

#[test]
fn a_timestamp_of_the_cloud_does_not_change_the_skew_of_the_device_clock() {
    // Half a minute ahead of the host's clock.
    let mut state = merged(&[setpoint(Source::RestState, Some(80), 50, 17.0)]);
    confirm(&mut state, 21.5, None, 100, 102);
    assert!(!state.observe(&setpoint(Source::Status, Some(103), 104, 18.0)).is_empty(), "sent at 103");
    assert_eq!(shown(&state), 18.0);
}

fn duty(arrival: u64, duty: f64) -> Observation {
    let stamp = UnixTime::from_secs(ORIGIN + i64::try_from(arrival).unwrap());
    Observation {
        duty: DutyCycle::from_fraction(duty),
        ..Observation::new(Source::Status, Some(stamp), received(arrival))
    }
}

fn switched(mode: Mode) -> DeviceState {
    let mut state = DeviceState::new();
    let stamp = UnixTime::from_secs(ORIGIN + 100);
    state.confirm(&Observation::from_change(&Change::mode(mode), Some(stamp), received(100)), received(99));
    state
}

#[test]
fn heating_that_goes_on_while_off_is_a_contradiction() {
    let mut state = switched(Mode::Off);
    for arrival in (102..=161).step_by(1) {
        state.observe(&duty(arrival, 0.4));
        assert_eq!(state.contradiction(), None, "{arrival}");
    }
    state.observe(&duty(162, 0.4));
    let found = state.contradiction().unwrap();
    assert_eq!(found.duty, DutyCycle::from_fraction(0.4));
    assert_eq!(found.latest - found.since, Contradiction::AFTER);
    state.observe(&duty(170, 0.0));
    assert_eq!(state.contradiction(), None, "it stopped");
}

#[test]
fn neither_one_late_status_nor_heating_in_another_mode_is_a_contradiction() {
    let mut state = switched(Mode::Off);
    state.observe(&duty(102, 1.0));
    state.observe(&setpoint(Source::Status, Some(900), 901, 20.0));
    assert_eq!(state.contradiction(), None, "a status without a duty cycle is not evidence");
    let mut state = switched(Mode::Heat);
    (102..400).for_each(|arrival| drop(state.observe(&duty(arrival, 1.0))));
    assert_eq!(state.contradiction(), None);
    let mut state = switched(Mode::Off);
    (102..400)
        .for_each(|arrival| drop(state.observe(&duty(arrival, if arrival % 40 == 0 { 0.0 } else { 1.0 }))));
    assert_eq!(state.contradiction(), None, "it is off from time to time");
}

#[test]
fn a_cached_answer_that_is_fetched_again_is_no_new_evidence() {
    let mut state = switched(Mode::Off);
    for poll in 0..20 {
        let stale = Observation { source: Source::RestRecord, at: None, ..duty(110 + 30 * poll, 1.0) };
        state.observe(&stale);
    }
    assert_eq!(state.contradiction(), None);
}

/// Hold in the state after these reports: source, time of the source, arrival, hold.
fn hold_after(reports: &[(Source, Option<i64>, u64, Hold)]) -> Option<Hold> {
    let observations = reports.iter().map(|&(source, stamp, arrival, hold)| {
        let at = stamp.map(|stamp| UnixTime::from_secs(ORIGIN + stamp));
        Observation { hold: Some(hold), ..Observation::new(source, at, received(arrival)) }
    });
    merged(&observations.collect::<Vec<_>>()).hold().map(|field| field.value)
}

#[test]
fn a_hold_with_its_end_is_not_replaced_by_one_of_the_same_time_without_it() {
    let [unclear, follow, permanent, until] = HOLDS;
    let ack = |at, arrival, hold| (Source::Ack, Some(at), arrival, hold);
    for clear in [follow, permanent, until] {
        // In any order of arrival, and again if the acknowledgement is repeated.
        for reports in [
            [ack(5, 5, clear), ack(5, 6, unclear), ack(5, 7, unclear)],
            [ack(5, 5, unclear), ack(5, 7, unclear), ack(5, 6, clear)],
            [ack(4, 4, permanent), ack(5, 6, unclear), ack(5, 6, clear)],
            [ack(4, 4, until), ack(5, 6, clear), ack(5, 6, unclear)],
        ] {
            assert_eq!(hold_after(&reports), Some(clear), "{reports:?}");
        }
        // Without a time of the source, the arrival is the time.
        let arrived = |arrival, hold| (Source::Structured, None, arrival, hold);
        assert_eq!(hold_after(&[arrived(5, clear), arrived(5, unclear)]), Some(clear));
        // A later value counts, with or without its end; so does a later answer of the hold route.
        assert_eq!(hold_after(&[ack(5, 5, clear), ack(6, 6, unclear)]), Some(unclear));
        assert_eq!(hold_after(&[ack(5, 5, unclear), ack(6, 6, clear)]), Some(clear));
        assert_eq!(hold_after(&[ack(5, 5, unclear), arrived(6, clear)]), Some(clear));
    }
    assert_eq!(hold_after(&[ack(5, 5, until), ack(5, 6, permanent)]), Some(permanent), "both are clear");
}

/// Text of every field. The contradiction is left out, because it depends on the order of arrival.
fn everything(state: &DeviceState) -> String {
    format!(
        "{:?}",
        (
            state.setpoint(),
            state.mode(),
            state.temperature(),
            state.duty(),
            state.connected(),
            state.humidity(),
            state.hold(),
            state.brightness()
        )
    )
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Observe(Observation),
    Confirm(Observation, Now),
}

fn apply(state: &mut DeviceState, step: &Step) {
    match step {
        Step::Observe(observation) => drop(state.observe(observation)),
        Step::Confirm(confirmed, sent) => drop(state.confirm(confirmed, *sent)),
    }
}

const HOLDS: [Hold; 4] = [
    Hold::FollowOrUntil,
    Hold::FollowSchedule,
    Hold::Permanent,
    Hold::Until(UnixTime::from_secs(ORIGIN + 3_600)),
];

const BRIGHTNESS: [Brightness; 4] = {
    const fn of(active: Option<u8>, idle: Option<u8>, idle_seconds: Option<u16>) -> Brightness {
        Brightness { auto: None, active, idle, active_seconds: None, idle_seconds }
    }
    [
        of(Some(90), None, None),
        of(Some(80), Some(40), None),
        of(Some(70), Some(30), Some(60)),
        of(None, Some(20), Some(30)),
    ]
};

fn observation() -> impl Strategy<Value = Observation> {
    let source = prop::sample::select(vec![
        Source::Boot,
        Source::Status,
        Source::SetpointChange,
        Source::Ack,
        Source::RestRecord,
        Source::RestState,
        Source::Structured,
    ]);
    // Few different values, so that equal times and values are frequent.
    let stamp = prop::option::of(prop_oneof![-3_600_i64..-3_590, 0_i64..12, 60_i64..75, Just(150_000_000)]);
    let wall = prop_oneof![4 => Just(0_i64), 1 => -5_i64..5];
    (
        source,
        stamp,
        0_u64..12,
        wall,
        prop::option::of(0..4),
        prop::option::of(any::<bool>()),
        prop::option::of(0..3),
        prop::option::of(prop::sample::select(HOLDS.to_vec())),
        prop::option::of(prop::sample::select(BRIGHTNESS.to_vec())),
    )
        .prop_map(|(source, stamp, arrival, skew, degrees, off, tenths, hold, brightness)| {
            let mut received = received(arrival);
            received.wall = received.wall.plus_millis(skew * 1_000);
            Observation {
                setpoint: degrees.map(|degrees| celsius(18.0 + f64::from(degrees))),
                mode: off.map(|off| if off { Mode::Off } else { Mode::Heat }),
                duty: tenths.and_then(|tenths| DutyCycle::from_fraction(f64::from(tenths) / 10.0)),
                connected: off,
                hold,
                brightness,
                ..Observation::new(source, stamp.map(|stamp| UnixTime::from_secs(ORIGIN + stamp)), received)
            }
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => observation().prop_map(Step::Observe),
        1 => (observation(), 0_u64..12).prop_map(|(seen, sent)| {
            let confirmed = Observation { source: Source::Ack, ..seen };
            Step::Confirm(confirmed, received(sent.min(seen.received.mono.as_secs())))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_order_of_the_same_steps_gives_the_same_state(
        (steps, shuffled) in prop::collection::vec(step(), 0..14)
            .prop_flat_map(|steps| (Just(steps.clone()), Just(steps).prop_shuffle())),
    ) {
        let (mut one, mut other) = (DeviceState::new(), DeviceState::new());
        steps.iter().for_each(|step| apply(&mut one, step));
        shuffled.iter().for_each(|step| apply(&mut other, step));
        prop_assert_eq!(everything(&one), everything(&other));
    }

    #[test]
    fn twice_is_the_same_as_once(steps in prop::collection::vec(step(), 0..14)) {
        let mut state = DeviceState::new();
        steps.iter().for_each(|step| apply(&mut state, step));
        let once = everything(&state);
        for step in &steps {
            let changes = match step {
                Step::Observe(observation) => state.observe(observation),
                Step::Confirm(confirmed, sent) => state.confirm(confirmed, *sent),
            };
            prop_assert!(changes.is_empty(), "{:?}", changes);
        }
        prop_assert_eq!(everything(&state), once);
    }

    #[test]
    fn one_observation_equals_its_fields_merged_one_by_one(
        steps in prop::collection::vec(step(), 0..14),
    ) {
        let (mut whole, mut parts) = (DeviceState::new(), DeviceState::new());
        for step in &steps {
            apply(&mut whole, step);
            let Step::Observe(seen) = step else {
                apply(&mut parts, step);
                continue;
            };
            let nothing = Observation::new(seen.source, seen.at, seen.received);
            parts.observe(&Observation { setpoint: seen.setpoint, ..nothing });
            parts.observe(&Observation { mode: seen.mode, ..nothing });
            parts.observe(&Observation { duty: seen.duty, ..nothing });
            parts.observe(&Observation { connected: seen.connected, ..nothing });
            parts.observe(&Observation { hold: seen.hold, ..nothing });
            parts.observe(&Observation { brightness: seen.brightness, ..nothing });
            prop_assert_eq!(everything(&whole), everything(&parts));
        }
    }

    #[test]
    fn no_source_time_of_a_clock_ever_goes_back(steps in prop::collection::vec(step(), 0..20)) {
        let mut state = DeviceState::new();
        let (mut device, mut cloud) = (None, None);
        for step in &steps {
            apply(&mut state, step);
            if let Some(field) = state.setpoint().filter(|field| field.at.is_some()) {
                let latest = if field.source.is_device() { &mut device } else { &mut cloud };
                prop_assert!(field.at >= *latest, "{:?} after {:?}", field, latest);
                *latest = field.at;
            }
        }
    }

    #[test]
    fn changes_are_exactly_the_values_that_differ(steps in prop::collection::vec(step(), 0..14)) {
        let mut state = DeviceState::new();
        for step in &steps {
            let before = state.clone();
            let changes = match step {
                Step::Observe(observation) => state.observe(observation),
                Step::Confirm(confirmed, sent) => state.confirm(confirmed, *sent),
            };
            let value = |state: &DeviceState| (
                state.setpoint().map(|f| f.value), state.mode().map(|f| f.value), state.duty().map(|f| f.value),
                state.hold().map(|f| f.value), state.brightness().map(|f| f.value),
            );
            let (was, is) = (value(&before), value(&state));
            prop_assert_eq!(changes.contains(StateField::Setpoint), was.0 != is.0);
            prop_assert_eq!(changes.contains(StateField::Mode), was.1 != is.1);
            prop_assert_eq!(changes.contains(StateField::Duty), was.2 != is.2);
            prop_assert_eq!(changes.contains(StateField::Hold), was.3 != is.3);
            prop_assert_eq!(changes.contains(StateField::Brightness), was.4 != is.4);
        }
    }
}

#[test]
fn the_idle_brightness_stays_known_after_a_report_of_the_active_one() {
    let percent = |active, idle| Brightness { active, idle, ..Brightness::default() };
    let seen = |source, at, brightness| {
        let stamp = Some(UnixTime::from_secs(ORIGIN + i64::try_from(at).unwrap()));
        Observation { brightness: Some(brightness), ..Observation::new(source, stamp, received(at)) }
    };
    let shown = |state: &DeviceState| state.brightness().map(|field| (field.value, field.source));
    for first in [Source::RestState, Source::Ack] {
        let mut state = DeviceState::new();
        state.observe(&seen(first, 10, percent(Some(80), Some(40))));
        let changes = state.observe(&seen(Source::Ack, 20, percent(Some(90), None)));
        assert!(changes.contains(StateField::Brightness));
        assert_eq!(shown(&state), Some((percent(Some(90), Some(40)), Source::Ack)));
        // The same again changes nothing.
        assert!(state.observe(&seen(Source::Ack, 21, percent(Some(90), None))).is_empty());
        // A later report of both wins, an earlier one does not.
        let changes = state.observe(&seen(Source::Ack, 30, percent(Some(90), Some(20))));
        assert!(changes.contains(StateField::Brightness));
        assert!(state.observe(&seen(Source::Ack, 25, percent(Some(60), Some(50)))).is_empty());
        state.observe(&seen(Source::Ack, 40, percent(Some(70), None)));
        assert_eq!(shown(&state), Some((percent(Some(70), Some(20)), Source::Ack)));
    }
    // What was known before a confirmed command of both does not return.
    let mut state = DeviceState::new();
    state.observe(&seen(Source::RestState, 10, percent(Some(80), Some(40))));
    state.confirm(&seen(Source::Ack, 22, percent(Some(70), Some(30))), received(20));
    state.observe(&seen(Source::RestState, 15, percent(Some(80), Some(45))));
    state.observe(&seen(Source::Ack, 30, percent(Some(70), None)));
    assert_eq!(shown(&state), Some((percent(Some(70), Some(30)), Source::Ack)));
    // A family without a display has neither.
    state.restrict_to(Family::ClimateSensor);
    assert_eq!(shown(&state), None);
    state.observe(&seen(Source::Ack, 50, percent(Some(70), None)));
    assert_eq!(shown(&state), Some((percent(Some(70), None), Source::Ack)));
}

#[test]
fn changes_are_joined_and_print_their_fields() {
    let changes = |source: &mysa_proto::Change| {
        let now = mysa_proto::Now {
            mono: std::time::Duration::from_secs(7),
            wall: mysa_proto::UnixTime::from_secs(1_767_323_046),
        };
        let observation = mysa_proto::Observation::from_change(source, Some(now.wall), now);
        mysa_proto::DeviceState::new().observe(&observation)
    };
    let setpoint = changes(&mysa_proto::Change::setpoint(mysa_proto::Celsius::from_hundredths(2_000)));
    let mode = changes(&mysa_proto::Change::mode(mysa_proto::Mode::Heat));
    let both = setpoint.union(mode);
    assert!(both.contains(mysa_proto::StateField::Setpoint) && both.contains(mysa_proto::StateField::Mode));
    assert!(!setpoint.contains(mysa_proto::StateField::Mode) && !setpoint.is_empty());
    let text = format!("{setpoint:?}");
    assert!(text.contains("Setpoint"), "{text}");
}
