//! Rooms, energy, messages of thermostats, and runs with equal seeds.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod harness;

use std::time::Duration;

use harness::*;
use mysa_proto::Celsius;
use mysa_sim::{CloudSpec, DeviceFault, DeviceSpec, Fault, Incident, Mode, Weather};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn every_heater_holds_its_room_near_the_setpoint_through_a_winter_day() {
    let mut harness = Harness::new(CloudSpec::demo().without_schedules());
    harness.pass(DAY / 4);
    let mut worst = 0.0_f64;
    for _ in 0..72 {
        harness.pass(DAY / 96);
        for last in ["f5", "f6", "f7"] {
            let truth = harness.cloud.truth(id(last)).unwrap();
            worst = worst.max((truth.room - truth.setpoint.as_degrees()).abs());
        }
    }
    assert!(worst < 0.8, "{worst}");
    let floor = harness.cloud.truth(id("f8")).unwrap();
    assert!((floor.floor.unwrap() - 25.0).abs() < 1.0, "{floor:?}");
}

#[test]
fn energy_equals_the_heat_loss() {
    let mut harness = Harness::demo();
    harness.pass(DAY);
    let mut expected = 0.0;
    let before = harness.cloud.truth(id("f6")).unwrap();
    for _ in 0..48 {
        let truth = harness.cloud.truth(id("f6")).unwrap();
        // The kitchen loses 36 W/K and gains 80 W.
        expected += ((truth.room - truth.outdoors) * 36.0 - 80.0) * 1_800.0 / 3.6e6;
        harness.pass(DAY / 48);
    }
    let after = harness.cloud.truth(id("f6")).unwrap();
    expected += (after.room - before.room) * 36.0 * 16_000.0 / 3.6e6;
    let measured = after.energy - before.energy;
    assert!((measured - expected).abs() < 0.02 * expected, "{measured} {expected}");
}

#[test]
fn the_energy_history_agrees_with_the_power_drawn() {
    let mut harness = Harness::demo();
    // From local midnight to local midnight.
    let midnight = (1_767_412_800 - WALL) as u64;
    harness.pass(Duration::from_secs(midnight));
    let before = harness.cloud.truth(id("f5")).unwrap().energy;
    // The samples fall equally often on every hundredth of the minute within which the heater is pulsed.
    let (mut on, steps) = (0.0, 16_000);
    for _ in 0..steps {
        harness.pass(Duration::from_millis(5_400));
        on += harness.cloud.truth(id("f5")).unwrap().watts;
    }
    let drawn = harness.cloud.truth(id("f5")).unwrap().energy - before;
    // The thermostat reports the last half minute once it is over.
    harness.pass(60 * SECOND);
    let sampled = on / f64::from(steps) * 24.0 / 1_000.0;
    assert!((drawn - sampled).abs() < 0.02 * drawn, "{drawn} {sampled}");

    let tokens = harness.sign_in();
    let ask = json!({ "Id": "a0b1c2d3e4f5", "Scope": "Day", "Res": "halfHour", "Timestamp": 1_767_450_000 });
    let (status, day) = harness.rest(&tokens, LEGACY, "POST", "/energy/device/a0b1c2d3e4f5", Some(&ask));
    assert_eq!((status, day["Timestamp"].as_i64()), (200, Some(1_767_412_800)));
    assert!((day["TotalEnergy"].as_f64().unwrap() - drawn).abs() < 1e-3, "{day} {drawn}");
    let parts: f64 =
        day["EnergyReadings"].as_array().unwrap().iter().map(|r| r["Energy"].as_f64().unwrap()).sum();
    assert!((parts - drawn).abs() < 1e-3);
    let ask = json!({ "timezone": "America/Halifax", "start": 1_767_412_800, "end": 1_767_499_200, "aggregatedReadings": ["k"] });
    let (status, days) = harness.rest(&tokens, BACKEND, "POST", "/telemetry/usage/a0b1c2d3e4f5", Some(&ask));
    assert_eq!((status, days.as_array().unwrap().len()), (200, 1));
    assert!((days[0]["summary"]["a"]["k"].as_f64().unwrap() - drawn).abs() < 1e-3);
    let seconds = days[0]["summary"]["a"]["oH1"].as_f64().unwrap();
    assert!((seconds * 1_500.0 / 3.6e6 - drawn).abs() < 0.01);
}

#[test]
fn a_new_cloud_has_a_past_and_a_year_of_it_makes_sense() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let home = harness.get(&tokens, "/homes")["Homes"][0]["Id"].as_str().unwrap().to_owned();
    let mut month = |stamp: i64| {
        let ask = json!({ "Id": home, "Scope": "Month", "Res": "Day", "Timestamp": stamp });
        let (status, month) =
            harness.rest(&tokens, LEGACY, "POST", &format!("/energy/home/{home}"), Some(&ask));
        assert_eq!(status, 200, "{month}");
        (month["TotalEnergy"].as_f64().unwrap(), month["EnergyReadings"].as_array().unwrap().len())
    };
    let (january, july) = (month(1_737_000_000), month(1_752_600_000));
    assert_eq!((january.1, july.1), (31, 31));
    assert!(january.0 > 1_000.0 && january.0 > 5.0 * july.0, "{january:?} {july:?}");
}

#[test]
fn a_later_change_leaves_past_days_as_they_were() {
    let mut harness = Harness::demo();
    harness.pass(2 * DAY);
    let tokens = harness.sign_in();
    let home = harness.get(&tokens, "/homes")["Homes"][0]["Id"].as_str().unwrap().to_owned();
    let (start, end) = (WALL - 30 * 86_400, WALL + 86_400);
    let past = |harness: &mut Harness| {
        let tokens = harness.sign_in();
        let day = json!({ "Id": "a0b1c2d3e4f6", "Scope": "Week", "Res": "Day", "Timestamp": start });
        let usage = json!({
            "timezone": "America/Halifax", "start": start, "end": end, "aggregatedReadings": ["k"], "rawReadings": ["s"],
        });
        let readings = json!({ "start": start, "end": end, "attributes": ["c", "h", "s", "a.oH", "t"] });
        [
            harness.rest(&tokens, LEGACY, "POST", "/energy/device/a0b1c2d3e4f6", Some(&day)),
            harness.rest(&tokens, LEGACY, "POST", "/batchReadings/v2/a0b1c2d3e4f6", Some(&readings)),
            harness.rest(&tokens, BACKEND, "POST", "/telemetry/usage/a0b1c2d3e4f6", Some(&usage)),
        ]
    };
    let before = past(&mut harness);
    assert!(before.iter().all(|(status, _)| *status == 200), "{before:?}");
    let days = before[2].1.as_array().unwrap();
    let first = days[0]["rawReadings"][0]["s"].as_f64().unwrap();
    assert!(days.len() >= 31 && (10.0..25.0).contains(&first), "{} {first}", days.len());
    // Everything that the energy of a day depends on changes.
    assert!(harness.cloud.press(at(harness.now), id("f6"), Celsius::from_degrees(28.5), Some(Mode::Heat)));
    let arctic = Weather { mean: -40.0, ..Weather::default() };
    harness.cloud.set_weather(at(harness.now), &home, arctic).unwrap();
    assert_eq!(past(&mut harness), before);
    harness.pass(DAY);
    harness.cloud.set_room(at(harness.now), id("f6"), 5.0).unwrap();
    assert!(harness.cloud.press(at(harness.now), id("f6"), None, Some(Mode::Off)));
    harness.pass(DAY);
    assert_eq!(past(&mut harness), before);
}

#[test]
fn an_unheated_room_cools_and_the_button_brings_the_heat_back() {
    let mut harness = Harness::demo();
    assert!(harness.cloud.press(at(harness.now), id("f6"), None, Some(Mode::Off)));
    harness.pass(DAY / 4);
    let cold = harness.cloud.truth(id("f6")).unwrap();
    assert!(cold.room < 12.0 && !cold.heating, "{cold:?}");
    assert!(harness.cloud.press(at(harness.now), id("f6"), Celsius::from_degrees(22.0), Some(Mode::Heat)));
    assert!(harness.cloud.truth(id("f6")).unwrap().heating);
    assert!(
        !harness.cloud.press(at(harness.now), id("f6"), Celsius::from_degrees(22.2), None),
        "off the grid"
    );
}

#[test]
fn live_reporting_ends_with_its_lease_and_with_a_reboot() {
    let count = |harness: &mut Harness, span: Duration| {
        harness.inbox.clear();
        harness.pass(span);
        harness.inbox.iter().filter(|message| message.json()["MsgType"] == 0).count()
    };
    let mut harness = Harness::demo();
    harness.connect(1);
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/out"]);
    harness.pass(70 * SECOND);
    harness.send(1, &mysa_mqtt_codec::PINGREQ);
    harness.live(1, id("f5"), 60);
    assert!((11..=13).contains(&count(&mut harness, 60 * SECOND)));
    harness.send(1, &mysa_mqtt_codec::PINGREQ);
    assert!(count(&mut harness, 60 * SECOND) <= 2);
    harness.live(1, id("f5"), 180);
    harness.cloud.act(at(harness.now), Incident::Reboot(id("f5")));
    harness.inbox.clear();
    harness.pass(10 * SECOND);
    let boot: Vec<Vec<u8>> = harness.inbox.iter().map(|message| message.payload.clone()).collect();
    assert!(boot.iter().any(|payload| payload.starts_with(b"{\"device\":\"a0b1c2d3e4f5\"")), "MsgType 10");
    assert!(boot.iter().any(|payload| payload.contains(&b'\n')), "a log line with a raw newline");
    assert!(!harness.cloud.truth(id("f5")).unwrap().live);
    assert_eq!(harness.cloud.truth(id("f5")).unwrap().boots, 2);
}

#[test]
fn power_comes_back_with_a_boot_and_the_settings_survive() {
    let mut spec = CloudSpec::demo();
    let fault = Fault::Device(Some(id("f6")), DeviceFault::Powerless);
    spec.faults = spec.faults.with(100 * SECOND, 4_000 * SECOND, fault);
    let mut harness = Harness::new(spec);
    harness.pass(101 * SECOND);
    let dark = harness.cloud.truth(id("f6")).unwrap();
    assert!(!dark.heating && dark.watts == 0.0);
    assert!(!harness.cloud.press(at(harness.now), id("f6"), Celsius::from_degrees(22.0), None));
    harness.pass(3_950 * SECOND);
    let back = harness.cloud.truth(id("f6")).unwrap();
    assert_eq!((back.boots, back.setpoint.as_degrees(), back.heating), (2, 19.0, true));
    assert!(back.energy <= dark.energy + 0.05);
}

#[test]
fn dangerous_messages_take_effect_and_are_counted() {
    let mut harness = Harness::demo();
    harness.connect(1);
    for message in [
        json!({ "Device": "a0b1c2d3e4f6", "MsgType": 7, "Timestamp": WALL }),
        json!({ "Device": "a0b1c2d3e4f7", "MsgType": 40, "EchoID": 1, "Timestamp": WALL }),
    ] {
        let topic = format!("/v1/dev/{}/in", message["Device"].as_str().unwrap());
        harness.publish(1, &topic, message.to_string().as_bytes());
    }
    harness.pass(40 * SECOND);
    let (rebooted, lost) = (harness.cloud.truth(id("f6")).unwrap(), harness.cloud.truth(id("f7")).unwrap());
    assert_eq!((rebooted.boots, rebooted.messages.dangerous), (2, 1));
    assert_eq!((lost.unpaired, lost.messages.dangerous), (true, 1));
}

/// A day with a client that asks for live reports and changes the setpoint every hour.
fn a_day(devices: usize, seed_of_spec: u64) -> (Vec<u8>, u64) {
    let mut spec = CloudSpec::demo();
    spec.history_days = 0;
    if devices > 5 {
        let models = ["BB-V1-1", "BB-V2-0", "BB-V2-0-L", "INF-V1-0", "AC-V1-0"];
        let home = &mut spec.accounts[0].homes[0];
        home.devices.clear();
        for n in 0..devices {
            let id = mysa_proto::DeviceId::new(&format!("{n:012x}")).unwrap();
            home.devices.push(DeviceSpec::new(id, models[n % 5], "room"));
        }
    }
    spec.accounts[0].homes[0].weather.mean += seed_of_spec as f64;
    let mut harness = Harness::new(spec);
    harness.connect(1);
    let ids: Vec<_> = harness.cloud.device_ids().collect();
    for group in ids.chunks(8).take(6) {
        let topics: Vec<String> = group.iter().map(|id| format!("/v1/dev/{id}/out")).collect();
        harness.subscribe(1, &topics.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for round in 0..24 * 60 * 60 / 180 - 1 {
        for &id in ids.iter().take(50) {
            harness.live(1, id, 180);
        }
        for _ in 0..3 {
            harness.send(1, &mysa_mqtt_codec::PINGREQ);
            harness.pass(60 * SECOND);
        }
        if round % 20 == 0 {
            harness.command(1, ids[1], 4, round, &json!({ "tm": -1, "sp": 18 + round / 20 % 5 }));
        }
        harness.inbox.clear();
    }
    assert!(harness.closed.is_empty());
    (harness.bytes, harness.cloud.counters().delivered)
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (first, second, other) = (a_day(5, 0), a_day(5, 0), a_day(5, 1));
    assert!(first.1 > 80_000, "{}", first.1);
    assert!(first == second);
    assert!(first != other);
}

/// Requests that are almost valid.
fn junk() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"msg\":44",
        "\"MsgType\":11",
        "\"MsgType\":6",
        "\"body\":",
        "{\"type\":4,\"cmd\":",
        "\"sp\":21.5",
        "\"tm\":-1",
        "\"EventType\":4294967295",
        "\"EchoID\":1",
        "\"Timeout\":-5",
        ",",
        "1e999",
        "null",
        "\"\\u0000\"",
        ":",
        "[{\"tm\":-1,\"sp\":1e308}]",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn days_beyond_the_calendar_take_no_time() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let headers = [("Authorization", tokens.id.expose())];
    // In milliseconds; the calendar ends with the year 9999.
    let end_of_9999 = 253_402_300_800_000_i64;
    for start in [i64::MIN, -end_of_9999, end_of_9999 - 1, end_of_9999, 300_000_000_000_000, i64::MAX] {
        let body =
            json!({ "Scope": "Month", "Res": "Day", "Timestamp": start, "start": start, "end": i64::MAX });
        for route in ["/telemetry/usage/a0b1c2d3e4f6", "/energy/device/a0b1c2d3e4f5"] {
            let reply = harness.http(BACKEND, "POST", route, &headers, &body.to_string());
            assert!((200..500).contains(&reply.status), "{route} {start}: {}", reply.status);
            assert!(reply.body.len() < 1_000, "{route} {start}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nothing_a_client_sends_moves_the_heater_out_of_its_limits(
        messages in prop::collection::vec((0..5_usize, junk()), 1..24),
        wire in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut harness = Harness::demo();
        harness.connect(1);
        for (device, message) in messages {
            harness.publish(1, &format!("/v1/dev/a0b1c2d3e4f{}/in", device + 5), message.as_bytes());
        }
        harness.pass(10 * SECOND);
        harness.send(1, &wire);
        harness.pass(DAY / 24);
        for device in harness.cloud.device_ids().collect::<Vec<_>>() {
            let truth = harness.cloud.truth(device).unwrap();
            let setpoint = truth.setpoint.as_degrees();
            prop_assert!((5.0..=40.0).contains(&setpoint), "{:?}", truth);
            prop_assert!(truth.room.is_finite() && (-30.0..45.0).contains(&truth.room), "{:?}", truth);
            prop_assert!(truth.mode != Mode::Off || !truth.heating);
        }
    }

    #[test]
    fn every_route_answers_every_body(
        route in prop::sample::select(vec![
            "/devices/a0b1c2d3e4f5", "/state/a0b1c2d3e4f5/update", "/state/batch", "/energy/device/a0b1c2d3e4f5",
            "/telemetry/usage/a0b1c2d3e4f6", "/schedule", "/schedule/hold", "/batchReadings/v2/a0b1c2d3e4f5", "/devices",
            "/mysa-legacy/stream/home/x", "/", "//", "/%2e%zz", "/energy/setpoints/device/a0b1c2d3e4f5",
        ]),
        method in prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"]),
        body in prop_oneof![
            junk(),
            Just("{}".to_owned()),
            (any::<i64>(), any::<i64>()).prop_map(|(start, end)| json!({
                "Scope": "Month", "Timestamp": start, "start": start, "end": end, "source": 3, "modes": { "mode": end }
            }).to_string()),
        ],
    ) {
        let mut harness = Harness::demo();
        let tokens = harness.sign_in();
        let headers = [("Authorization", tokens.id.expose())];
        let reply = harness.http(BACKEND, method, route, &headers, &body);
        prop_assert!((200..600).contains(&reply.status));
        prop_assert!(reply.body.len() < 4_000_000);
        prop_assert!(serde_json::from_slice::<Value>(&reply.body).is_ok());
    }

    #[test]
    fn time_may_be_cut_in_any_pieces(cuts in prop::collection::vec(1..900_000_u64, 1..40)) {
        let (mut whole, mut pieces) = (Harness::demo(), Harness::demo());
        let total: u64 = cuts.iter().sum();
        whole.pass(Duration::from_millis(total));
        for cut in cuts {
            pieces.now += Duration::from_millis(cut);
            pieces.cloud.handle_timeout(at(pieces.now));
        }
        for device in whole.cloud.device_ids().collect::<Vec<_>>() {
            prop_assert_eq!(whole.cloud.truth(device), pieces.cloud.truth(device));
        }
    }
}
