//! Energy: totals that never fall, under corrections, restarts and wrong clocks.

mod harness;

use std::time::Duration;

use mysa_bridge::energy::{Answer, Meter, Meters, Query, Reading};
use mysa_bridge::{Event, Settings};
use mysa_proto::{KilowattHours, Now, Power, UnixTime, Watts};
use mysa_session::{Level, Reason};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::home::{FIRST, Known, Node, START, at, list, living_room, starting};
use crate::harness::schema::check_discovery;

const CONFIG: &str = "homeassistant/device/mysa_a0b1c2d3e4f6/config";
const STATE: &str = "mysa/a0b1c2d3e4f6/state";
const DAY: i64 = 86_400;
const TODAY: i64 = START / DAY;

fn kwh(value: f64) -> KilowattHours {
    KilowattHours::from_kilowatt_hours(value).expect("an energy")
}

fn reading(day: i64, energy: f64) -> Reading {
    Reading { start: UnixTime::from_secs(day * DAY), energy: kwh(energy) }
}

fn watts(value: f64) -> Option<Watts> {
    Watts::from_watts(value)
}

fn wall(day: i64) -> UnixTime {
    UnixTime::from_secs(day * DAY + 40_000)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn total(meter: &Meter) -> Option<f64> {
    meter.total().map(KilowattHours::as_kilowatt_hours)
}

fn days(query: Query) -> std::ops::Range<i64> {
    query.start.as_secs() / DAY..query.end.as_secs() / DAY
}

/// Reads a meter from a cloud with these days, until it is complete. Returns the number of queries.
fn read(meter: &mut Meter, cloud: &[Reading], today: i64) -> usize {
    for count in 1..50 {
        let query = meter.next_query(wall(today)).expect("the clock is right");
        let range = days(query);
        let within = |one: &&Reading| range.contains(&(one.start.as_secs() / DAY));
        let answer: Vec<Reading> = cloud.iter().filter(within).copied().collect();
        if !meter.add_history(query, &answer) {
            return count;
        }
    }
    panic!("the reading does not end");
}

/// Two years of 10 kWh a day.
fn two_years() -> Vec<Reading> {
    (TODAY - 730..=TODAY).map(|day| reading(day, 10.0)).collect()
}

// The history.

#[test]
fn the_total_is_that_of_all_recorded_days() {
    let mut meter = Meter::default();
    assert_eq!(total(&meter), None);
    assert_eq!(read(&mut meter, &two_years(), TODAY), 3, "year by year, until one is empty");
    assert_eq!(total(&meter), Some(7_310.0));
    // From then on, only the days that may be corrected are read.
    let range = days(meter.next_query(wall(TODAY)).unwrap());
    assert_eq!(range, TODAY - 14..TODAY + 2);
    // A lost state is read again, and is the same.
    let mut lost = Meter::lost();
    read(&mut lost, &two_years(), TODAY);
    assert_eq!(total(&lost), total(&meter));
}

#[test]
fn nothing_is_known_before_all_years_are_read() {
    let mut meter = Meter::default();
    let query = meter.next_query(wall(TODAY)).unwrap();
    assert!(meter.add_history(query, &[reading(TODAY, 5.0)]));
    meter.add_power(secs(0), watts(1_000.0));
    meter.add_power(secs(100), watts(1_000.0));
    assert_eq!(total(&meter), None, "else it would jump by all years later");
}

#[test]
fn a_correction_downwards_stands_still_until_it_has_caught_up() {
    let mut cloud = two_years();
    let mut meter = Meter::default();
    read(&mut meter, &cloud, TODAY);
    let last = cloud.len() - 1;
    cloud[last] = reading(TODAY, 4.0);
    read(&mut meter, &cloud, TODAY);
    assert_eq!(total(&meter), Some(7_310.0));
    cloud.push(reading(TODAY + 1, 5.0));
    read(&mut meter, &cloud, TODAY + 1);
    assert_eq!(total(&meter), Some(7_310.0));
    cloud.push(reading(TODAY + 2, 3.5));
    read(&mut meter, &cloud, TODAY + 2);
    assert_eq!(total(&meter), Some(7_312.5));
}

#[test]
fn readings_that_arrive_late_are_added() {
    let mut cloud = two_years();
    let mut meter = Meter::default();
    read(&mut meter, &cloud, TODAY);
    let late = cloud.len() - 10;
    cloud[late] = reading(TODAY - 9, 12.0);
    read(&mut meter, &cloud, TODAY);
    assert_eq!(total(&meter), Some(7_312.0));
}

#[test]
fn a_bridge_that_was_away_for_two_years_goes_on() {
    let mut meter = Meter::default();
    read(&mut meter, &two_years(), TODAY);
    let cloud: Vec<Reading> = (TODAY - 730..=TODAY + 700).map(|day| reading(day, 10.0)).collect();
    read(&mut meter, &cloud, TODAY + 700);
    assert_eq!(total(&meter), Some(14_310.0));
}

#[test]
fn impossible_readings_are_ignored() {
    let mut cloud = two_years();
    cloud.push(reading(TODAY + 1, 501.0));
    cloud.push(reading(TODAY + 400, 10.0));
    let mut meter = Meter::default();
    read(&mut meter, &cloud, TODAY);
    assert_eq!(total(&meter), Some(7_310.0));
}

#[test]
fn a_wrong_clock_loses_no_day() {
    let mut meter = Meter::default();
    assert_eq!(meter.next_query(UnixTime::from_secs(1_000)), None, "no year is known");
    read(&mut meter, &two_years(), TODAY);
    // Ten years ahead for a while, then right again.
    read(&mut meter, &two_years(), TODAY + 3_650);
    let mut cloud = two_years();
    cloud.push(reading(TODAY + 1, 10.0));
    read(&mut meter, &cloud, TODAY + 1);
    assert_eq!(total(&meter), Some(7_320.0));
    // A month behind.
    read(&mut meter, &cloud, TODAY - 30);
    assert_eq!(total(&meter), Some(7_320.0));
}

// The integral.

/// A meter of a thermostat without a history.
fn integral() -> Meter {
    let mut meter = Meter::default();
    read(&mut meter, &[], TODAY);
    meter
}

#[test]
fn without_a_history_the_power_is_integrated_and_gaps_are_not_filled() {
    let mut meter = integral();
    meter.add_power(secs(0), watts(1_500.0));
    assert_eq!(total(&meter), None, "no zero at the start");
    meter.add_power(secs(240), watts(1_500.0));
    assert_eq!(total(&meter), Some(0.1));
    // Five minutes at most, and only while the power is known.
    meter.add_power(secs(241 + 300), watts(1_500.0));
    assert_eq!(total(&meter), Some(0.1));
    meter.add_power(secs(600), None);
    let before = total(&meter);
    meter.add_power(secs(700), watts(1_500.0));
    assert_eq!(total(&meter), before);
    // A monotonic clock that runs backwards.
    meter.add_power(secs(10), watts(1_500.0));
    assert_eq!(total(&meter), before);
}

#[test]
fn a_history_that_appears_later_makes_no_jump() {
    let mut meter = integral();
    for step in 0..=100 {
        meter.add_power(secs(60 * step), watts(1_500.0));
    }
    assert_eq!(total(&meter), Some(2.5));
    let mut cloud = two_years();
    read(&mut meter, &cloud, TODAY);
    assert!(meter.has_history());
    assert_eq!(total(&meter), Some(2.5));
    // The power counts no more, the history does.
    meter.add_power(secs(6_060), watts(1_500.0));
    cloud.push(reading(TODAY + 1, 1.25));
    read(&mut meter, &cloud, TODAY + 1);
    assert_eq!(total(&meter), Some(3.75));
}

#[test]
fn a_lost_total_is_known_again_by_the_history_only() {
    let mut meter = Meter::lost();
    read(&mut meter, &[], TODAY);
    meter.add_no_history();
    for step in 0..=100 {
        meter.add_power(secs(60 * step), watts(1_500.0));
    }
    assert_eq!(total(&meter), None);
    read(&mut meter, &two_years(), TODAY);
    assert_eq!(total(&meter), Some(7_310.0));
}

// What is stored.

#[test]
fn a_damaged_text_is_refused() {
    let mut harness = metered(&[living_room()], Meters::default());
    answer_all(&mut harness, &two_years());
    harness.secs(10);
    let text = harness.peer.stores.last().unwrap().clone();
    assert!(Meters::parse(&text).is_ok());
    for end in 0..text.len() - 1 {
        assert!(Meters::parse(&text[..end]).is_err(), "{end}");
    }
    let value: Value = serde_json::from_str(&text).unwrap();
    for change in [
        |value: &mut Value| value["version"] = json!(2),
        |value: &mut Value| value["meters"]["a0b1c2d3e4f6"]["total_mwh"] = json!(-1),
        |value: &mut Value| value["meters"]["a0b1c2d3e4f6"]["total_mwh"] = json!(1e30),
        |value: &mut Value| value["meters"]["a0b1c2d3e4f6"]["source"] = json!("guess"),
        |value: &mut Value| value["meters"]["a0b1c2d3e4f6"]["open_from_day"] = json!(i64::MIN),
        |value: &mut Value| value["meters"]["a0b1c2d3e4f6"]["days_mwh"] = json!({ "x": 1 }),
        |value: &mut Value| value["meters"]["not an id"] = json!({}),
        |value: &mut Value| value["meters"] = json!([]),
        |value: &mut Value| value["published"] = json!({}),
        |value: &mut Value| value["published"] = json!(["not an id"]),
    ] {
        let mut changed = value.clone();
        change(&mut changed);
        assert!(Meters::parse(&changed.to_string()).is_err(), "{changed}");
    }
    assert!(Meters::parse(&" ".repeat(3_000_000)).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Power { millis: u32, back: bool, watts: Option<u16> },
    History { days: Vec<(i8, u16)>, today: i8 },
    NoHistory,
    Store,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..400_000_u32, prop::bool::weighted(0.1), prop::option::of(0..5_000_u16))
            .prop_map(|(millis, back, watts)| Step::Power { millis, back, watts }),
        3 => (prop::collection::vec((any::<i8>(), 0..300_u16), 0..8), any::<i8>())
            .prop_map(|(days, today)| Step::History { days, today }),
        1 => Just(Step::NoHistory),
        2 => Just(Step::Store),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Samples, clock steps of both clocks, corrections, and restarts from what was stored.
    #[test]
    fn a_total_never_falls_and_is_never_zero(steps in prop::collection::vec(step(), 0..120), lost: bool) {
        let mut meter = if lost { Meter::lost() } else { Meter::default() };
        let (mut stored, mut published) = (meter.clone(), None);
        let (mut mono, mut cloud) = (Duration::from_secs(10_000), Vec::<Reading>::new());
        for step in steps {
            let before = total(&meter);
            match step {
                Step::Power { millis, back, watts: power } => {
                    let time = Duration::from_millis(millis.into());
                    mono = if back { mono.saturating_sub(time) } else { mono + time };
                    meter.add_power(mono, power.and_then(|power| watts(power.into())));
                }
                Step::History { days: changes, today } => {
                    // A day may be corrected in both directions, or vanish.
                    for (day, tenths) in changes {
                        let new = reading(TODAY + i64::from(day), f64::from(tenths) / 10.0);
                        cloud.retain(|old| old.start != new.start);
                        if tenths != 7 {
                            cloud.push(new);
                        }
                    }
                    read(&mut meter, &cloud, TODAY + i64::from(today));
                }
                Step::NoHistory => meter.add_no_history(),
                Step::Store => {
                    stored = meter.clone();
                    let now = total(&stored);
                    prop_assert!(now >= published, "published {published:?}, then {now:?}");
                    published = now;
                }
                Step::Restart => {
                    meter = stored.clone();
                    meter.add_power(Duration::ZERO, None);
                    mono = Duration::ZERO;
                    prop_assert_eq!(total(&meter), published);
                    continue;
                }
            }
            prop_assert!(total(&meter) >= before, "{before:?}, then {:?}", total(&meter));
            prop_assert_ne!(total(&meter), Some(0.0));
        }
    }
}

// The bridge.

fn metered(thermostats: &[Known], meters: Meters) -> Harness<Node> {
    let mut harness = starting(Settings::new("mysa-bridge"));
    let now = at(harness.now);
    harness.peer.bridge.start_energy(meters, now);
    list(&mut harness, thermostats);
    // The thermostats are stored as soon as they are published.
    harness.secs(3);
    for _ in std::mem::take(&mut harness.peer.stores) {
        store(&mut harness, true);
    }
    harness
}

fn now(harness: &Harness<Node>) -> Now {
    at(harness.now)
}

/// Answers all queries of the next minute from a cloud with these days, and stores what is to be stored.
fn answer_all(harness: &mut Harness<Node>, cloud: &[Reading]) {
    for _ in 0..60 {
        harness.secs(1);
        for (device, query) in std::mem::take(&mut harness.peer.reads) {
            let range = days(query);
            let within = |one: &&Reading| range.contains(&(one.start.as_secs() / DAY));
            let answer: Vec<Reading> = cloud.iter().filter(within).copied().collect();
            let now = now(harness);
            harness.peer.bridge.handle_energy(device, Answer::Days(&answer), now);
            harness.settle();
        }
    }
}

fn store(harness: &mut Harness<Node>, done: bool) {
    let now = now(harness);
    harness.peer.bridge.handle_energy_stored(done, now);
    harness.settle();
}

#[test]
fn the_energy_is_published_once_it_is_stored() {
    let mut harness = metered(&[living_room()], Meters::default());
    let config = harness.json(CONFIG);
    check_discovery(&config).unwrap();
    let energy = &config["components"]["energy"];
    assert_eq!(
        (&energy["device_class"], &energy["state_class"], &energy["unit_of_measurement"]),
        (&json!("energy"), &json!("total_increasing"), &json!("kWh"))
    );
    assert_eq!(harness.json(STATE)["energy"], Value::Null);
    answer_all(&mut harness, &two_years());
    assert_eq!(harness.peer.stores.len(), 1);
    assert_eq!(harness.json(STATE)["energy"], Value::Null, "a crash now would lose it");
    store(&mut harness, false);
    assert_eq!(harness.json(STATE)["energy"], Value::Null);
    harness.secs(300);
    assert_eq!(harness.peer.stores.len(), 2, "tried again");
    store(&mut harness, true);
    assert_eq!(harness.json(STATE)["energy"], 7_310.0);
    // A new process publishes the same at once.
    let meters = Meters::parse(harness.peer.stores.last().unwrap()).unwrap();
    let again = metered(&[living_room()], meters);
    assert_eq!(again.json(STATE)["energy"], 7_310.0);
}

#[test]
fn every_total_that_becomes_known_is_published_within_seconds() {
    let other = Known::new("a0b1c2d3e4f7", "Bedroom", "BB-V1-1");
    let mut harness = metered(&[living_room(), other], Meters::default());
    let topics = [STATE, "mysa/a0b1c2d3e4f7/state"];
    let mut known_at = [None; 2];
    while known_at.contains(&None) && harness.now < secs(60) {
        harness.secs(1);
        for (device, query) in std::mem::take(&mut harness.peer.reads) {
            let range = days(query);
            let answer: Vec<Reading> =
                two_years().into_iter().filter(|one| range.contains(&(one.start.as_secs() / DAY))).collect();
            let now = now(&harness);
            harness.peer.bridge.handle_energy(device, Answer::Days(&answer), now);
            harness.settle();
        }
        for _ in std::mem::take(&mut harness.peer.stores) {
            store(&mut harness, true);
        }
        for (topic, at) in topics.iter().zip(&mut known_at) {
            if at.is_none() && harness.json(topic)["energy"] == 7_310.0 {
                *at = Some(harness.now);
            }
        }
    }
    assert!(known_at.iter().all(|at| at.is_some_and(|at| at < secs(30))), "{known_at:?}");
    assert_ne!(known_at[0], known_at[1], "the second is read after the first is stored");
}

#[test]
fn an_integral_is_stored_every_five_minutes_and_at_the_end() {
    let known = living_room();
    let mut harness = metered(std::slice::from_ref(&known), Meters::default());
    answer_all(&mut harness, &[]);
    // 750 W for an hour.
    for _ in 0..120 {
        harness.secs(30);
        harness.show(&known);
        if harness.peer.stores.len() > 1 {
            store(&mut harness, true);
        }
    }
    assert!((11..=14).contains(&harness.peer.stores.len()), "{}", harness.peer.stores.len());
    let shown = harness.json(STATE)["energy"].as_f64().unwrap();
    assert!((0.68..0.77).contains(&shown), "{shown}");
    harness.secs(30);
    harness.show(&known);
    let (count, now) = (harness.peer.stores.len(), now(&harness));
    harness.peer.bridge.shutdown(now);
    harness.settle();
    assert_eq!(harness.peer.stores.len(), count + 1);
    assert_eq!(harness.json(STATE)["energy"].as_f64(), Some(shown));
    let meters = Meters::parse(harness.peer.stores.last().unwrap()).unwrap();
    assert!(metered(&[known], meters).json(STATE)["energy"].as_f64() > Some(shown));
}

#[test]
fn power_does_not_count_while_the_thermostat_is_unavailable() {
    let mut known = living_room();
    let mut harness = metered(std::slice::from_ref(&known), Meters::default());
    answer_all(&mut harness, &[]);
    for _ in 0..20 {
        harness.secs(30);
        harness.show(&known);
    }
    store(&mut harness, true);
    known.is_current = false;
    harness.show(&known);
    let stored = harness.peer.stores.len();
    for _ in 0..200 {
        harness.secs(30);
        harness.show(&known);
        store(&mut harness, true);
    }
    // What was counted before is stored once.
    assert!(harness.peer.stores.len() <= stored + 1);
}

#[test]
fn the_history_is_read_every_half_hour_and_only_while_the_cloud_can_be_reached() {
    let other = Known::new("b0b1c2d3e4f6", "Bedroom", "BB-V2-0");
    let mut harness = metered(&[living_room(), other], Meters::default());
    answer_all(&mut harness, &two_years());
    harness.peer.all_reads.clear();
    for _ in 0..240 {
        answer_all(&mut harness, &two_years());
    }
    // Four hours, two thermostats.
    assert!((12..=18).contains(&harness.peer.all_reads.len()), "{}", harness.peer.all_reads.len());
    let time = now(&harness);
    harness.peer.bridge.handle_service(
        FIRST,
        Level::Offline,
        Reason::Unreachable,
        Some(Duration::ZERO),
        time,
    );
    harness.peer.all_reads.clear();
    harness.secs(7_200);
    assert!(harness.peer.all_reads.is_empty());
}

#[test]
fn a_reading_that_fails_is_tried_again_after_longer_and_longer_pauses() {
    let mut harness = metered(&[living_room()], Meters::default());
    for _ in 0..86_400 / 30 {
        harness.secs(30);
        for (device, _) in std::mem::take(&mut harness.peer.reads) {
            let now = now(&harness);
            harness.peer.bridge.handle_energy(device, Answer::Failed, now);
        }
    }
    let count = harness.peer.all_reads.len();
    assert!((48..=110).contains(&count), "{count} in a day");
    assert!(harness.peer.stores.is_empty());
}

#[test]
fn a_thermostat_that_the_driver_forgets_does_not_stop_the_others() {
    let other = Known::new("b0b1c2d3e4f6", "Bedroom", "BB-V2-0");
    let mut harness = metered(&[living_room(), other], Meters::default());
    harness.secs(600);
    let devices: std::collections::BTreeSet<_> = harness.peer.all_reads.iter().map(|(id, _)| *id).collect();
    assert_eq!(devices.len(), 2);
}

#[test]
fn without_meters_there_is_no_energy() {
    let mut harness = starting(Settings::new("mysa-bridge"));
    list(&mut harness, &[living_room()]);
    harness.secs(100);
    assert!(harness.json(CONFIG)["components"]["energy"].is_null());
    assert!(harness.json(STATE).as_object().unwrap().get("energy").is_none());
    assert!(harness.peer.all_reads.is_empty() && harness.peer.stores.is_empty());
}

#[test]
fn a_thermostat_with_a_history_has_energy_even_if_its_power_is_unknown() {
    let mut known = living_room();
    known.power = Power::Unknown;
    let mut harness = metered(std::slice::from_ref(&known), Meters::default());
    assert!(harness.json(CONFIG)["components"]["energy"].is_null());
    answer_all(&mut harness, &two_years());
    store(&mut harness, true);
    harness.show(&known);
    assert!(harness.json(CONFIG)["components"]["energy"].is_object());
    assert_eq!(harness.json(STATE)["energy"], 7_310.0);
}

// The published thermostats.

const BEDROOM_CONFIG: &str = "homeassistant/device/mysa_b0b1c2d3e4f6/config";
const BEDROOM_AVAILABILITY: &str = "mysa/b0b1c2d3e4f6/availability";

fn bedroom() -> Known {
    let mut known = living_room();
    known.id = mysa_proto::DeviceId::new("b0b1c2d3e4f6").expect("an id");
    known
}

/// State that a bridge with two thermostats has stored.
fn with_two() -> Meters {
    Meters::parse(&text_with_two()).expect("a state")
}

fn text_with_two() -> String {
    let mut harness = starting(Settings::new("mysa-bridge"));
    let start = now(&harness);
    harness.peer.bridge.start_energy(Meters::default(), start);
    list(&mut harness, &[living_room(), bedroom()]);
    harness.secs(3);
    harness.peer.stores[0].clone()
}

fn published(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).expect("JSON");
    value["published"].clone()
}

/// Text that is stored last; the answer to each storage is a success.
fn stored_within(harness: &mut Harness<Node>, secs: u64) -> Option<String> {
    let mut last = None;
    for _ in 0..secs {
        harness.secs(1);
        for text in std::mem::take(&mut harness.peer.stores) {
            store(harness, true);
            last = Some(text);
        }
    }
    last
}

#[test]
fn a_thermostat_that_left_is_removed_although_the_broker_has_lost_it() {
    // The broker of this bridge is empty, as one that has lost its store.
    let mut harness = metered(&[living_room()], with_two());
    assert_eq!(harness.broker.retained(BEDROOM_AVAILABILITY), Some("offline"));
    harness.secs(3_590);
    assert_eq!(harness.broker.published(BEDROOM_CONFIG), Vec::<&str>::new());
    let text = stored_within(&mut harness, 600).unwrap();
    assert_eq!(harness.broker.published(BEDROOM_CONFIG), [""]);
    assert_eq!(harness.broker.retained(BEDROOM_AVAILABILITY), None);
    let removed =
        |event: &&Event| matches!(event, Event::Removed { device } if device.as_str() == "b0b1c2d3e4f6");
    assert_eq!(harness.peer.events.iter().filter(removed).count(), 1);
    assert!(harness.broker.retained(CONFIG).is_some());
    // The next process knows that it is done.
    let mut harness = metered(&[living_room()], Meters::parse(&text).unwrap());
    harness.secs(7_200);
    assert_eq!(harness.broker.published(BEDROOM_AVAILABILITY), Vec::<&str>::new());
}

#[test]
fn a_thermostat_that_the_first_list_lacks_is_removed_at_once_and_once() {
    let mut harness = starting(Settings::new("mysa-bridge"));
    let start = now(&harness);
    harness.peer.bridge.start_energy(with_two(), start);
    // The driver knows it from the earlier run, before it has read the list.
    harness.show(&bedroom());
    harness.secs(1);
    list(&mut harness, &[living_room()]);
    harness.secs(1);
    assert_eq!(harness.broker.retained(BEDROOM_AVAILABILITY), None);
    harness.secs(7_200);
    assert_eq!(harness.broker.published(BEDROOM_AVAILABILITY), ["online", ""]);
    let removed =
        |event: &&Event| matches!(event, Event::Removed { device } if device.as_str() == "b0b1c2d3e4f6");
    assert_eq!(harness.peer.events.iter().filter(removed).count(), 1);
}

#[test]
fn a_published_thermostat_that_is_still_in_the_account_stays() {
    let mut harness = metered(&[living_room(), bedroom()], with_two());
    assert_eq!(harness.broker.published(BEDROOM_AVAILABILITY), ["online"]);
    harness.secs(7_200);
    assert_eq!(harness.broker.published(BEDROOM_AVAILABILITY), ["online"]);
}

#[test]
fn nothing_is_removed_before_the_list_of_every_account_is_complete() {
    let mut settings = Settings::new("mysa-bridge");
    settings.accounts = 2;
    let mut harness = starting(settings);
    let start = now(&harness);
    harness.peer.bridge.start_energy(with_two(), start);
    list(&mut harness, &[living_room()]);
    harness.secs(20_000);
    assert_eq!(harness.broker.published(BEDROOM_CONFIG), Vec::<&str>::new());
    // Listed at last by the other account.
    harness::home::list_of(&mut harness, mysa_bridge::AccountIndex::new(1), &[bedroom()]);
    harness.secs(20_000);
    assert!(harness.broker.retained(BEDROOM_CONFIG).is_some_and(|config| !config.is_empty()));
    assert_eq!(harness.broker.retained(BEDROOM_AVAILABILITY), Some("online"));
}

#[test]
fn a_thermostat_that_leaves_while_the_bridge_runs_is_forgotten() {
    let mut harness = metered(&[living_room(), bedroom()], Meters::default());
    list(&mut harness, &[living_room()]);
    let text = stored_within(&mut harness, 600).unwrap();
    assert_eq!(published(&text), json!(["a0b1c2d3e4f6"]));
}

#[test]
fn a_removal_that_the_broker_has_not_acknowledged_goes_on_in_the_next_run() {
    let two = || metered(&[living_room(), bedroom()], with_two());
    for loses_bytes in [false, true] {
        let mut harness = two();
        if loses_bytes {
            harness.broker.no_puback = true;
        } else {
            harness.unreachable = true;
            harness.cut();
        }
        list(&mut harness, &[living_room()]);
        let text = stored_within(&mut harness, 600).unwrap_or_else(text_with_two);
        assert_eq!(published(&text), json!(["a0b1c2d3e4f6", "b0b1c2d3e4f6"]));
        // It is killed. The broker has lost its store, and Home Assistant remembers the device.
        let mut next = metered(&[living_room()], Meters::parse(&text).unwrap());
        let text = stored_within(&mut next, 4_200).unwrap();
        assert_eq!(next.broker.published(BEDROOM_CONFIG), [""]);
        assert_eq!(published(&text), json!(["a0b1c2d3e4f6"]));
        // One that goes on is done once the broker answers.
        harness.unreachable = false;
        harness.broker.no_puback = false;
        let text = stored_within(&mut harness, 600).unwrap();
        assert_eq!(published(&text), json!(["a0b1c2d3e4f6"]));
        assert_eq!(harness.broker.retained(BEDROOM_CONFIG), None);
        assert_eq!(harness.broker.retained(BEDROOM_AVAILABILITY), None);
    }
}

#[test]
fn a_thermostat_that_comes_back_before_its_removal_is_acknowledged_stays_in_the_stored_state() {
    let mut harness = metered(&[living_room(), bedroom()], with_two());
    harness.unreachable = true;
    harness.cut();
    list(&mut harness, &[living_room()]);
    harness.secs(60);
    list(&mut harness, &[living_room(), bedroom()]);
    harness.unreachable = false;
    let text = stored_within(&mut harness, 600).unwrap_or_else(text_with_two);
    assert_eq!(published(&text), json!(["a0b1c2d3e4f6", "b0b1c2d3e4f6"]));
    assert!(harness.broker.retained(BEDROOM_CONFIG).is_some());
}
