//! Observation and control of the simulator by a person.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod harness;

use std::time::Duration;

use harness::*;
use mysa_proto::Celsius;
use mysa_sim::{
    Button, CloseReason, Closing, CloudSpec, DeviceFault, Event, EventKind, Fault, Incident, InvalidChange,
    Mode, Origin, Weather, Window,
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn events(harness: &mut Harness) -> Vec<Event> {
    std::iter::from_fn(|| harness.cloud.poll_event()).collect()
}

#[test]
fn a_cold_room_makes_the_heater_run_and_a_warm_one_stops_it() {
    let mut harness = Harness::demo();
    let kitchen = id("f6");
    for (celsius, heating) in [(5.0, true), (30.0, false)] {
        harness.cloud.set_room(at(harness.now), kitchen, celsius).unwrap();
        assert_eq!(harness.cloud.truth(kitchen).unwrap().room, celsius);
        harness.pass(120 * SECOND);
        let truth = harness.cloud.truth(kitchen).unwrap();
        assert_eq!(truth.heating, heating, "{truth:?}");
        assert!((truth.room - celsius).abs() < 1.5, "{truth:?}");
    }
}

#[test]
fn weather_changes_from_now_on_and_for_one_home() {
    let mut harness = Harness::demo();
    let home = harness.cloud.homes().next().unwrap();
    let arctic = Weather { mean: -40.0, season: 0.0, day: 0.0, variation: 0.0 };
    harness.cloud.set_weather(at(harness.now), &home.id, arctic).unwrap();
    let home = harness.cloud.homes().next().unwrap();
    assert_eq!((home.outdoors, home.weather, home.devices.len()), (-40.0, arctic, 5));
    let living = harness.cloud.truth(id("f5")).unwrap();
    assert_eq!(living.outdoors, -40.0);
    harness.pass(8 * 3_600 * SECOND);
    let after = harness.cloud.truth(id("f5")).unwrap();
    assert!(after.room < living.room - 5.0, "1500 W must be too little at -40 °C: {after:?}");
}

#[test]
fn a_person_at_the_thermostat_is_bound_by_its_range_and_its_lock() {
    let mut harness = Harness::demo();
    let (kitchen, office) = (id("f6"), id("f9"));
    let now = at(harness.now);
    let degrees = |celsius| Celsius::from_degrees(celsius);
    harness.cloud.turn(now, kitchen, degrees(21.5), Some(Mode::Heat)).unwrap();
    assert_eq!(harness.cloud.held(kitchen).unwrap().setpoint.as_degrees(), 21.5);
    let record = harness.cloud.command_records(kitchen).last().unwrap();
    assert_eq!((record.origin, record.applied), (Origin::Button, true));
    harness.cloud.press_button(now, kitchen, Button::Down).unwrap();
    assert_eq!(harness.cloud.held(kitchen).unwrap().setpoint.as_degrees(), 21.0);
    harness.cloud.turn(now, kitchen, degrees(30.0), None).unwrap();
    harness.cloud.press_button(now, kitchen, Button::Up).unwrap();
    assert_eq!(harness.cloud.held(kitchen).unwrap().setpoint.as_degrees(), 30.0, "the end of its range");

    let refused = [
        (kitchen, degrees(31.0), None, InvalidChange::Setpoint),
        (office, degrees(21.5), None, InvalidChange::Setpoint),
        (kitchen, None, Some(Mode::Cool), InvalidChange::Mode),
        (id("00"), degrees(20.0), None, InvalidChange::UnknownDevice),
    ];
    for (device, setpoint, mode, why) in refused {
        assert_eq!(harness.cloud.turn(now, device, setpoint, mode), Err(why));
    }
    harness.cloud.start_fault(now, Window::new(Duration::ZERO, Duration::MAX, powerless()));
    assert_eq!(harness.cloud.turn(now, kitchen, degrees(20.0), None), Err(InvalidChange::Unresponsive));
}

fn powerless() -> Fault {
    Fault::Device(Some(id("f6")), DeviceFault::Powerless)
}

#[test]
fn values_that_no_room_has_are_refused() {
    let mut harness = Harness::demo();
    let now = at(harness.now);
    let home = harness.cloud.homes().next().unwrap().id;
    for celsius in [f64::NAN, f64::INFINITY, -60.5, 61.0] {
        assert_eq!(harness.cloud.set_room(now, id("f5"), celsius), Err(InvalidChange::Temperature));
        let weather = Weather { day: celsius, ..Weather::default() };
        assert_eq!(harness.cloud.set_weather(now, &home, weather), Err(InvalidChange::Weather));
    }
    assert_eq!(harness.cloud.set_room(now, id("00"), 20.0), Err(InvalidChange::UnknownDevice));
    assert_eq!(harness.cloud.set_weather(now, "x", Weather::default()), Err(InvalidChange::UnknownHome));
}

#[test]
fn a_started_fault_applies_at_once_and_ends_when_it_is_ended() {
    let mut harness = Harness::demo();
    let kitchen = id("f6");
    let fault =
        harness.cloud.start_fault(at(harness.now), Window::new(Duration::ZERO, Duration::MAX, powerless()));
    assert!(!harness.cloud.place(kitchen).unwrap().online);
    assert_eq!(harness.cloud.truth(kitchen).unwrap().watts, 0.0, "no power");
    assert!(harness.cloud.end_fault(at(harness.now), fault));
    harness.pass(10 * SECOND);
    let truth = harness.cloud.truth(kitchen).unwrap();
    assert!(harness.cloud.place(kitchen).unwrap().online && truth.boots == 2, "{truth:?}");

    harness.cloud.start_fault(at(harness.now), Window::new(Duration::ZERO, Duration::MAX, powerless()));
    harness.cloud.plan_incident(harness.cloud.age() + SECOND, Incident::Press(id("f5"), 16.0));
    harness.cloud.end_faults(at(harness.now));
    harness.pass(10 * SECOND);
    assert_eq!((harness.cloud.faults().count(), harness.cloud.planned_incidents().count()), (0, 0));
    assert_eq!(harness.cloud.held(id("f5")).unwrap().setpoint.as_degrees(), 20.5, "nobody pressed");
}

#[test]
fn the_journal_follows_a_client_from_its_sign_in_to_its_end() {
    let mut harness = Harness::demo();
    harness.cloud.record_events(true);
    harness.connect(1);
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out", "/v1/dev/ffffffffffff/out"]);
    harness.command(1, id("f6"), 4, 9, &json!({ "tm": -1, "sp": 21.5 }));
    harness.pass(2 * SECOND);
    harness.cloud.act(at(harness.now), Incident::CloseAll(Closing::Cut));
    let all = events(&mut harness);
    assert!(all.windows(2).all(|pair| pair[0].at.mono <= pair[1].at.mono), "events must be in order of time");
    let lines: Vec<String> = all.iter().map(Event::to_string).collect();
    let says = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(says(" s request user-pool InitiateAuth: 200"), "{lines:?}");
    assert!(says(" s connection 1 subscribed /v1/dev/a0b1c2d3e4f6/out /v1/dev/ffffffffffff/out (refused)"));
    assert!(says(" s command of connection 1 applied by a0b1c2d3e4f6"), "{lines:?}");
    assert!(says(" s incident: all connections are closed"), "{lines:?}");
    let kinds: Vec<EventKind> = all.into_iter().map(|event| event.kind).collect();
    let route = |route: &str| {
        kinds.iter().any(
            |kind| matches!(kind, EventKind::Request { route: known, status: Some(200), .. } if known == route),
        )
    };
    assert!(route("user-pool InitiateAuth") && route("identity-pool GetId"), "{kinds:?}");
    let account = CloudSpec::DEMO_EMAIL.to_owned();
    let signed_at = harness.cloud.wall().plus_millis(-2_000);
    assert!(kinds.contains(&EventKind::Opened { conn: 1, account, signed_at }), "{kinds:?}");
    let client = "client-1".into();
    let connected = EventKind::Connected { conn: 1, client, keep_alive: 60, clean_session: true };
    assert!(kinds.contains(&connected), "{kinds:?}");
    for once in [EventKind::SignedIn, EventKind::CredentialsIssued] {
        assert_eq!(kinds.iter().filter(|kind| **kind == once).count(), 1, "{once:?}");
    }
    let filters =
        vec![("/v1/dev/a0b1c2d3e4f6/out".to_owned(), true), ("/v1/dev/ffffffffffff/out".to_owned(), false)];
    assert!(kinds.contains(&EventKind::Subscribed { conn: 1, filters }));
    let published = kinds.iter().find_map(|kind| match kind {
        EventKind::Published { topic, qos, accepted, payload, .. } => Some((topic, *qos, *accepted, payload)),
        _ => None,
    });
    let (topic, qos, accepted, payload) = published.unwrap();
    assert_eq!((topic.as_str(), qos, accepted), ("/v1/dev/a0b1c2d3e4f6/in", 1, true));
    assert!(String::from_utf8_lossy(payload).contains("\"sp\":21.5"));
    let record = kinds.iter().find_map(|kind| match kind {
        EventKind::Command { device, record } if *device == id("f6") => Some(record),
        _ => None,
    });
    let record = record.unwrap();
    assert_eq!((record.origin, record.applied, record.request), (Origin::Mqtt { conn: 1 }, true, Some(9)));
    let delivered = kinds.iter().any(|kind| {
        matches!(kind, EventKind::Delivered { topic, packets: 1, .. } if topic == "/v1/dev/a0b1c2d3e4f6/out")
    });
    assert!(delivered, "the acknowledgement");
    let reason = CloseReason::Fault;
    assert!(kinds.contains(&EventKind::Closed { conn: 1, by_broker: Some(Closing::Cut), reason }));
    let printed = format!("{kinds:?}");
    assert!(!printed.contains(CloudSpec::DEMO_PASSWORD) && !printed.contains("X-Amz-Signature"));
}

#[test]
fn a_client_that_goes_and_a_denied_publish_are_in_the_journal() {
    let mut harness = Harness::demo();
    harness.connect(1);
    harness.cloud.record_events(true);
    harness.publish(1, "/v1/dev/ffffffffffff/in", b"{}");
    let kinds: Vec<EventKind> = events(&mut harness).into_iter().map(|event| event.kind).collect();
    let denied = |kind: &EventKind| matches!(kind, EventKind::Published { accepted: false, .. });
    assert!(kinds.iter().any(denied), "{kinds:?}");
    let (by_broker, reason) = (Some(Closing::Frame(None)), CloseReason::Denied);
    assert!(kinds.contains(&EventKind::Closed { conn: 1, by_broker, reason }));
    harness.pass(2 * SECOND);
    harness.connect(2);
    events(&mut harness);
    harness.cloud.handle_ws_closed(at(harness.now), 2);
    harness.cloud.handle_ws_closed(at(harness.now), 2);
    let kinds: Vec<EventKind> = events(&mut harness).into_iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [EventKind::Closed { conn: 2, by_broker: None, reason: CloseReason::Lost }],
        "the end is recorded once"
    );
}

/// Everything that happens in two hours with a client, faults and incidents.
fn two_hours(seed: u64) -> Vec<String> {
    let mut harness = Harness::seeded(CloudSpec::demo(), seed);
    harness.cloud.record_events(true);
    harness.cloud.start_named_fault(at(harness.now), "reorder", None, Duration::ZERO, None).unwrap();
    harness.cloud.plan_incident(1_800 * SECOND, Incident::Reboot(id("f6")));
    let mut lines = Vec::new();
    for round in 0..24 {
        if round % 12 == 0 {
            harness.connect(round + 1);
            harness.subscribe(round + 1, &["/v1/dev/a0b1c2d3e4f5/out", "/v1/dev/a0b1c2d3e4f6/out"]);
        }
        let conn = round / 12 * 12 + 1;
        harness.live(conn, id("f6"), 180);
        for setpoint in [18, 19] {
            harness.command(conn, id("f6"), 4, round * 2 + setpoint, &json!({ "tm": -1, "sp": setpoint }));
        }
        for _ in 0..5 {
            harness.send(conn, &mysa_mqtt_codec::PINGREQ);
            harness.pass(60 * SECOND);
        }
        lines.extend(events(&mut harness).iter().map(|event| format!("{event:?}")));
    }
    assert!(lines.len() > 200, "{}", lines.len());
    lines
}

#[test]
fn two_runs_with_the_same_seed_have_the_same_events() {
    let first = two_hours(11);
    assert!(first == two_hours(11));
    let other = two_hours(12);
    assert!(first != other);
    // The seed decides the readings and delays, not what the client does.
    let requests = |lines: &[String]| lines.iter().filter(|line| line.contains("Request {")).count();
    assert_eq!(requests(&first), requests(&other));
}

#[test]
fn the_journal_has_the_reason_for_each_closed_connection() {
    let mut harness = Harness::demo();
    harness.cloud.record_events(true);
    let reason = |harness: &mut Harness, conn: u64| {
        events(harness).into_iter().find_map(|event| match event.kind {
            EventKind::Closed { conn: closed, reason, .. } if closed == conn => Some(reason),
            _ => None,
        })
    };
    harness.connect(1);
    let nine: Vec<String> = (0..9).map(|number| format!("/v1/dev/a0b1c2d3e4f{number}/out")).collect();
    harness.subscribe(1, &nine.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(reason(&mut harness, 1), Some(CloseReason::TooManyFilters));

    harness.connect(2);
    harness.pass(100 * SECOND);
    assert_eq!(reason(&mut harness, 2), Some(CloseReason::Silent));

    harness.connect(3);
    harness.connect_with(4, LEGACY_POOL, LEGACY_CLIENT, "client-3");
    assert_eq!(reason(&mut harness, 4), Some(CloseReason::EarlyConnect));
    harness.pass(2 * SECOND);
    harness.connect_with(5, LEGACY_POOL, LEGACY_CLIENT, "client-3");
    assert_eq!(reason(&mut harness, 3), Some(CloseReason::TakenOver));

    harness.send(5, &[0xe0, 0]);
    assert_eq!(reason(&mut harness, 5), Some(CloseReason::Disconnect));
}

#[test]
fn a_newer_firmware_is_offered_until_it_is_withdrawn() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let path = "/devices/update_available/a0b1c2d3e4f6";
    let installed = harness.get(&tokens, path)["installedVersion"].clone();
    assert!(installed.is_string());
    for (offer, allowed) in [(Some("9.9.9"), "9.9.9".into()), (None, installed.clone())] {
        harness.cloud.offer_firmware(at(harness.now), id("f6"), offer).unwrap();
        let answer = harness.get(&tokens, path);
        let expected = serde_json::json!({
            "update": offer.is_some(), "installedVersion": installed, "allowedVersion": allowed,
        });
        assert_eq!(answer, expected);
        assert_eq!(harness.cloud.place(id("f6")).unwrap().firmware_offer.as_deref(), offer);
    }
    let other = harness.get(&tokens, "/devices/update_available/a0b1c2d3e4f5");
    assert_eq!(other["update"], false);
    for wrong in [String::new(), "9".repeat(65)] {
        let refused = harness.cloud.offer_firmware(at(harness.now), id("f6"), Some(&wrong));
        assert_eq!(refused, Err(InvalidChange::Firmware));
    }
    let unknown = harness.cloud.offer_firmware(at(harness.now), id("00"), Some("9.9.9"));
    assert_eq!(unknown, Err(InvalidChange::UnknownDevice));
}

#[test]
fn nothing_is_recorded_while_it_is_off() {
    let mut harness = Harness::demo();
    harness.connect(1);
    harness.cloud.press_button(at(harness.now), id("f6"), Button::Up).unwrap();
    assert_eq!(events(&mut harness), []);
    harness.cloud.record_events(true);
    harness.cloud.set_room(at(harness.now), id("f6"), 20.0).unwrap();
    let kinds: Vec<EventKind> = events(&mut harness).into_iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [EventKind::RoomSet { device: id("f6"), celsius: 20.0 }],
        "older commands must not be recorded"
    );
}

#[test]
fn requests_are_counted_by_route_without_ids() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    harness.get(&tokens, "/devices/a0b1c2d3e4f5");
    harness.get(&tokens, "/devices/a0b1c2d3e4f6");
    harness.get(&tokens, "/devices");
    let counts: Vec<(&str, u64)> = harness.cloud.routes().collect();
    assert_eq!(
        counts,
        [
            ("backend GET /devices", 1),
            ("backend GET /devices/{id}", 2),
            ("user-pool InitiateAuth", 1),
            ("user-pool RespondToAuthChallenge", 1)
        ]
    );
    for number in 0..1_000 {
        harness.http(BACKEND, "GET", &format!("/x{number}"), &[], "");
    }
    assert!(harness.cloud.routes().count() <= 257);
    assert_eq!(
        harness.cloud.routes().map(|(_, count)| count).sum::<u64>(),
        harness.cloud.counters().http_requests
    );
}

#[test]
fn connections_and_places_are_listed() {
    let mut harness = Harness::demo();
    harness.connect(1);
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out"]);
    let connection = harness.cloud.connections().next().unwrap();
    assert_eq!((connection.conn, connection.client.as_deref()), (1, Some("client-1")));
    assert_eq!((connection.account.as_str(), connection.in_flight), (CloudSpec::DEMO_EMAIL, 0));
    assert_eq!(connection.filters, ["/v1/dev/a0b1c2d3e4f6/out"]);
    let place = harness.cloud.place(id("f6")).unwrap();
    assert_eq!((place.name.as_str(), place.model.as_str(), place.online), ("Kitchen", "BB-V2-0", true));
    assert_eq!(place.home, harness.cloud.homes().next().unwrap().id);
    let account = harness.cloud.accounts().next().unwrap();
    assert_eq!(account.email, CloudSpec::DEMO_EMAIL);
}
