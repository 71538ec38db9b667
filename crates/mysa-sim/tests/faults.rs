//! Order of messages, and the faults that affect commands and answers.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod harness;

use std::time::Duration;

use harness::*;
use mysa_cognito::Tokens;
use mysa_mqtt_codec::{DISCONNECT, Filter, Outbound, PINGREQ, QoS};
use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{
    Closing, CloudSpec, DeviceFault, Endpoint, Fault, HttpAnswer, HttpFault, HttpReply, HttpRequest,
    Incident, Mode, Origin, Upgrade, Window,
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const V2: &str = "a0b1c2d3e4f6";

fn connected() -> Harness {
    let mut harness = Harness::demo();
    harness.connect(1);
    harness.pass(2 * SECOND);
    harness
}

fn with(fault: Fault) -> Harness {
    let mut harness = connected();
    harness.cloud.add_fault(Window::new(Duration::ZERO, Duration::MAX, fault));
    harness
}

fn setpoint(harness: &Harness, last: &str) -> f64 {
    harness.cloud.held(id(last)).unwrap().setpoint.as_degrees()
}

/// Sends heat and, within a tenth of a second, off, sixty times. Returns how often the thermostat ended in heat, and
/// `true` if each acknowledgement came after that of the previous command.
fn heat_then_off(harness: &mut Harness) -> (u32, bool) {
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out"]);
    let mut heating = 0;
    for round in 0..60 {
        harness.command(1, id("f6"), 4, 2 * round, &json!({ "tm": -1, "md": 3 }));
        harness.pass((10 + round as u32 * 3 % 90) * MILLISECOND);
        harness.command(1, id("f6"), 4, 2 * round + 1, &json!({ "tm": -1, "md": 1 }));
        harness.pass(2 * SECOND);
        harness.send(1, &PINGREQ);
        heating += u32::from(harness.cloud.held(id("f6")).unwrap().mode == Mode::Heat);
    }
    let acks: Vec<u64> =
        harness.inbox.iter().filter_map(|message| message.json()["resp_id"].as_u64()).collect();
    assert_eq!(acks.len(), 120);
    (heating, acks.is_sorted())
}

#[test]
fn commands_to_one_thermostat_and_their_acks_stay_in_order() {
    assert_eq!(heat_then_off(&mut connected()), (0, true));
}

#[test]
fn a_fault_lets_commands_overtake_each_other() {
    let (heating, in_order) = heat_then_off(&mut with(Fault::Device(None, DeviceFault::Reorder)));
    assert!(heating > 0 && !in_order, "{heating}");
}

#[test]
fn commands_forwarded_by_the_rest_service_stay_in_order() {
    let mut harness = connected();
    let tokens = harness.sign_in();
    for round in 0..40 {
        for mode in [4, 0] {
            let body = json!({ "source": 3, "modes": { "mode": mode } });
            let (status, _) =
                harness.rest(&tokens, BACKEND, "POST", &format!("/state/{V2}/update"), Some(&body));
            assert_eq!(status, 200);
            harness.pass((10 + round * 2) * MILLISECOND);
        }
        harness.pass(2 * SECOND);
        assert_eq!(harness.cloud.held(id("f6")).unwrap().mode, Mode::Off, "{round}");
    }
}

/// The settings that REST reports are never ahead of the thermostat.
#[test]
fn rest_never_shows_a_setting_before_the_thermostat_has_it() {
    let mut harness = connected();
    let tokens = harness.sign_in();
    for round in 0..20 {
        let degrees = 15.0 + f64::from(round) / 2.0;
        if round % 2 == 0 {
            harness.command(1, id("f6"), 4, 100 + round as u64, &json!({ "tm": -1, "sp": degrees }));
        } else {
            let body = json!({ "source": 3, "targetHeat": { "setpoint": degrees } });
            harness.rest(&tokens, BACKEND, "POST", &format!("/state/{V2}/update"), Some(&body));
        }
        let mut shown = false;
        for _ in 0..80 {
            let state = harness.get(&tokens, &format!("/devices/state/{V2}"));
            let structured = harness.get(&tokens, &format!("/state/{V2}"));
            let reported = &structured["targetHeat"]["reported"]["setpoint"];
            let shows = state["DeviceState"]["SetPoint"]["v"] == degrees || *reported == degrees;
            shown |= shows;
            assert!(!shows || setpoint(&harness, "f6") == degrees, "{round}");
            harness.pass(20 * MILLISECOND);
        }
        assert!(shown, "{round}");
        harness.send(1, &PINGREQ);
    }
}

/// Asks the structured service for 23 degrees and reads the state.
fn write_and_read(fault: HttpFault) -> (HttpAnswer, f64, u16) {
    let mut harness = with(Fault::Http(Endpoint::StructuredWrite, fault));
    let tokens = harness.sign_in();
    let answer = ask(&mut harness, &tokens, "POST", &format!("/state/{V2}/update"), SET_23);
    harness.pass(2 * SECOND);
    let read = reply(ask(&mut harness, &tokens, "POST", "/state/batch", r#"{"deviceIds":[]}"#));
    (answer, setpoint(&harness, "f6"), read.status)
}

const SET_23: &str = r#"{"source":3,"targetHeat":{"setpoint":23}}"#;

fn ask(harness: &mut Harness, tokens: &Tokens, method: &str, path: &str, body: &str) -> HttpAnswer {
    ask_host(harness, tokens, BACKEND, method, path, body)
}

fn ask_host(
    harness: &mut Harness,
    tokens: &Tokens,
    host: &str,
    method: &str,
    path: &str,
    body: &str,
) -> HttpAnswer {
    let headers = [("authorization", tokens.id.expose())];
    let body = body.as_bytes();
    let request = HttpRequest { host, method, path, query: "", headers: &headers, body };
    let answer = harness.cloud.handle_http(at(harness.now), &request);
    harness.drain();
    answer
}

fn reply(answer: HttpAnswer) -> HttpReply {
    match answer {
        HttpAnswer::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_write_can_fail_alone_and_in_each_way() {
    for status in [401, 403, 500, 503] {
        let (answer, held, read) = write_and_read(HttpFault::Status(status));
        assert_eq!((reply(answer).status, held, read), (status, 19.0, 200));
    }
    assert_eq!(write_and_read(HttpFault::Hang), (HttpAnswer::Hang, 19.0, 200));
    assert_eq!(write_and_read(HttpFault::Reset), (HttpAnswer::Reset, 19.0, 200));
}

#[test]
fn a_write_can_be_carried_out_and_its_answer_lost() {
    let after = |fault| write_and_read(HttpFault::AfterServing(Box::new(fault)));
    assert_eq!(after(HttpFault::Hang), (HttpAnswer::Hang, 23.0, 200));
    assert_eq!(after(HttpFault::Reset), (HttpAnswer::Reset, 23.0, 200));
    let (answer, held, read) = after(HttpFault::Status(502));
    assert_eq!((reply(answer).status, held, read), (502, 23.0, 200));
    let (answer, held, _) = after(HttpFault::Delay(SECOND));
    let answer = reply(answer);
    assert_eq!((answer.status, answer.delay, held), (200, SECOND, 23.0));
}

#[test]
fn every_route_that_changes_something_is_a_write_and_no_other() {
    let mut harness = connected();
    let tokens = harness.sign_in();
    let mut is_reset = |endpoint: &Endpoint, method: &str, path: &str| {
        harness.cloud.add_fault(Window::times(1, Fault::Http(endpoint.clone(), HttpFault::Reset)));
        let reset = ask(&mut harness, &tokens, method, path, "{}") == HttpAnswer::Reset;
        harness.cloud.clear_faults();
        reset
    };
    for (method, path, write, structured) in [
        ("POST", "/devices/a0b1c2d3e4f6", true, false),
        ("DELETE", "/devices/a0b1c2d3e4f6", true, false),
        ("PUT", "/homes/x", true, false),
        ("PATCH", "/scene/x", true, false),
        ("POST", "/state/a0b1c2d3e4f6/update", true, true),
        ("POST", "/schedule/hold", true, true),
        ("PUT", "/schedule/x", true, true),
        ("DELETE", "/schedule/hold/a0b1c2d3e4f6", true, true),
        ("POST", "/state/batch", false, false),
        ("POST", "/telemetry/usage/a0b1c2d3e4f6", false, false),
        ("POST", "/energy/device/a0b1c2d3e4f6", false, false),
        ("POST", "/batchReadings/v2/a0b1c2d3e4f6", false, false),
        ("POST", "/mysa-legacy/stream/home/x", false, false),
        ("GET", "/state/a0b1c2d3e4f6", false, false),
    ] {
        assert_eq!(is_reset(&Endpoint::Write, method, path), write, "{method} {path}");
        assert_eq!(is_reset(&Endpoint::StructuredWrite, method, path), structured, "{method} {path}");
    }
}

#[test]
fn one_rest_host_can_fail_alone() {
    for (endpoint, failing, other) in
        [(Endpoint::LegacyHost, LEGACY, BACKEND), (Endpoint::BackendHost, BACKEND, LEGACY)]
    {
        let mut harness = with(Fault::Http(endpoint, HttpFault::Status(410)));
        let tokens = harness.sign_in();
        assert_eq!(reply(ask_host(&mut harness, &tokens, failing, "GET", "/devices", "")).status, 410);
        assert_eq!(reply(ask_host(&mut harness, &tokens, other, "GET", "/devices", "")).status, 200);
    }
}

#[test]
fn failures_of_aws_services_have_the_form_of_aws() {
    let mut harness = with(Fault::Http(Endpoint::Any, HttpFault::Status(503)));
    for host in [IDP, IDENTITY] {
        let reply = harness.http(host, "POST", "/", &[], "{}");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status, &body["__type"]), (503, &json!("ServiceUnavailableException")));
        assert_eq!(reply.header("x-amzn-errortype"), Some("ServiceUnavailableException"));
    }
    let reply = harness.http(LEGACY, "GET", "/devices", &[], "");
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.header("x-amzn-errortype"), &body["error"]), (None, &json!("Service Unavailable")));
    harness.cloud.clear_faults();
    let reply = harness.http(IOT, "POST", "/topics/x", &[], "");
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (403, Some("ForbiddenException")));
}

#[test]
fn the_date_can_be_wrong_on_one_host_or_on_all() {
    let mut harness = with(Fault::DateShift(Endpoint::LegacyHost, -86_400));
    let mut date = |host| harness.http(host, "GET", "/devices", &[], "").date().unwrap().to_owned();
    assert_eq!(date(LEGACY), "Thu, 01 Jan 2026 03:04:07 GMT");
    assert_eq!(date(BACKEND), "Fri, 02 Jan 2026 03:04:07 GMT");
    let mut harness = with(Fault::DateShift(Endpoint::Any, 9 * 3_600));
    for host in [LEGACY, BACKEND, IDP] {
        let reply = harness.http(host, "GET", "/devices", &[], "");
        assert_eq!(reply.date(), Some("Fri, 02 Jan 2026 12:04:07 GMT"), "{host}");
    }
    let mysa_sim::Upgrade::Refuse(reply) = harness.upgrade(9, "/mqtt?", "mqtt") else {
        panic!("it is refused")
    };
    assert_eq!(reply.date(), Some("Fri, 02 Jan 2026 12:04:07 GMT"));
}

#[test]
fn a_cache_repeats_the_first_answer_with_its_age() {
    let hours = 9 * 3_600;
    let mut harness = with(Fault::Http(Endpoint::Rest, HttpFault::Cached(hours * SECOND)));
    let tokens = harness.sign_in();
    let first = reply(ask(&mut harness, &tokens, "GET", "/devices/state", ""));
    assert_eq!((first.date(), first.age()), (Some("Thu, 01 Jan 2026 18:04:07 GMT"), Some("32400")));
    assert_eq!(reply(ask(&mut harness, &tokens, "POST", &format!("/state/{V2}/update"), SET_23)).age(), None);
    harness.pass(100 * SECOND);
    assert_eq!(setpoint(&harness, "f6"), 23.0, "a write must pass through the cache");
    let second = reply(ask(&mut harness, &tokens, "GET", "/devices/state", ""));
    assert_eq!((second.date(), second.age()), (first.date(), Some("32500")));
    assert_eq!(second.body, first.body);
    harness.cloud.clear_faults();
    let fresh = reply(ask(&mut harness, &tokens, "GET", "/devices/state", ""));
    assert_eq!((fresh.date(), fresh.age()), (Some("Fri, 02 Jan 2026 03:05:47 GMT"), None));
    assert_ne!(fresh.body, first.body);
}

#[test]
fn a_burst_of_commands_reaches_its_first_device_alone() {
    let mut harness = with(Fault::DropBursts(4 * SECOND));
    let topics = ["/v1/dev/a0b1c2d3e4f5/in", "/v1/dev/a0b1c2d3e4f6/in", "/v1/dev/a0b1c2d3e4f7/in"];
    harness.subscribe(1, &topics);
    let kinds = [("f5", 1), ("f6", 4), ("f7", 5)];
    for (last, kind) in kinds {
        harness.command(1, id(last), kind, 1, &json!({ "tm": -1, "sp": 23 }));
        harness.live(1, id(last), 60);
    }
    harness.pass(SECOND);
    let held = |harness: &Harness| kinds.map(|(last, _)| setpoint(harness, last));
    assert_eq!(
        (harness.pubacks.len(), held(&harness)),
        (6, [23.0, 19.0, 18.0]),
        "each command must be acknowledged"
    );
    let commands = harness.inbox.iter().filter(|message| message.json()["msg"] == 44);
    assert_eq!(commands.count(), 1, "a subscriber must not receive dropped commands");
    assert!(harness.cloud.truth(id("f7")).unwrap().live, "a request for live reports must not be dropped");
    harness.command(1, id("f5"), 1, 2, &json!({ "tm": -1, "sp": 24 }));
    harness.pass(4 * SECOND);
    harness.command(1, id("f6"), 4, 3, &json!({ "tm": -1, "sp": 23 }));
    harness.pass(4 * SECOND);
    harness.command(1, id("f7"), 5, 4, &json!({ "tm": -1, "sp": 23 }));
    harness.pass(SECOND);
    assert_eq!(held(&harness), [24.0, 23.0, 23.0], "spaced commands must get through");
    assert_eq!(harness.cloud.counters().dropped_bursts, 2);
}

#[test]
fn a_connect_can_be_answered_by_the_end_of_the_connection() {
    for closing in [Closing::Cut, Closing::Frame(None)] {
        let mut harness = Harness::demo();
        harness.cloud.add_fault(Window::new(Duration::ZERO, Duration::MAX, Fault::CloseOnConnect(closing)));
        harness.connect_with(1, LEGACY_POOL, LEGACY_CLIENT, "c");
        assert_eq!((harness.bytes.len(), harness.closed.clone()), (0, vec![(1, closing)]));
    }
}

#[test]
fn a_connect_that_breaks_the_standard_is_refused_by_its_code() {
    let level_3 = [0x10, 14, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2, 0, 60, 0, 0];
    let level_5 = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0];
    let without_id = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 60, 0, 0];
    let anonymous = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 0];
    for (bytes, code, closed) in
        [(&level_3[..], 1, 1), (&level_5, 1, 1), (&without_id, 2, 1), (&anonymous, 0, 0)]
    {
        let mut harness = Harness::demo();
        harness.dial(1, LEGACY_POOL, LEGACY_CLIENT);
        harness.cloud.handle_ws_bytes(at(harness.now), 1, bytes);
        let mut sent = Vec::new();
        while let Some(output) = harness.cloud.poll_output() {
            match output {
                mysa_sim::Output::Send { bytes, .. } => sent.extend(bytes),
                mysa_sim::Output::Close { conn, closing } => harness.closed.push((conn, closing)),
            }
        }
        assert_eq!((&sent[..], harness.closed.len()), (&[0x20, 2, 0, code][..], closed), "{bytes:?}");
    }
}

#[test]
fn subscriptions_can_be_granted_and_nothing_delivered() {
    for (whose, others_hear) in [(None, false), (Some(id("f6")), true)] {
        let mut harness = with(Fault::DeliverNothing(whose));
        assert_eq!(harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/out", "/v1/dev/a0b1c2d3e4f6/out"]), [1, 1]);
        harness.live(1, id("f5"), 60);
        harness.live(1, id("f6"), 60);
        harness.pass(30 * SECOND);
        let hears =
            |last: &str| harness.inbox.iter().any(|message| message.topic.ends_with(&format!("{last}/out")));
        assert_eq!((hears("f5"), hears("f6"), harness.pubacks.len()), (others_hear, false, 2));
    }
}

#[test]
fn some_filters_of_a_subscription_can_be_granted() {
    let mut harness = with(Fault::GrantFirst(1));
    let topics = ["/v1/dev/a0b1c2d3e4f5/out", "/v1/dev/a0b1c2d3e4f6/out", "/v1/dev/a0b1c2d3e4f7/out"];
    assert_eq!(harness.subscribe(1, &topics), [1, 0x80, 0x80]);
    assert_eq!(harness.cloud.subscriptions(), 1);
}

#[test]
fn a_broker_that_pauses_reading_handles_the_packets_later() {
    let mut harness = connected();
    let until = harness.now + 300 * SECOND;
    harness.cloud.add_fault(Window::new(Duration::ZERO, until, Fault::StopReading));
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out"]);
    let puback = harness.command(1, id("f6"), 4, 3, &json!({ "tm": -1, "sp": 23 }));
    harness.send(1, &PINGREQ);
    harness.pass(299 * SECOND);
    assert!(!harness.cloud.is_reading());
    assert_eq!(
        (harness.subacks.len(), harness.pubacks.len(), harness.pongs, setpoint(&harness, "f6")),
        (0, 0, 0, 19.0)
    );
    assert!(harness.closed.is_empty(), "no client may be disconnected for silence meanwhile");
    harness.pass(2 * SECOND);
    assert!(harness.cloud.is_reading());
    assert_eq!((harness.subacks.len(), harness.pubacks.clone(), harness.pongs), (1, vec![puback], 1));
    assert_eq!(setpoint(&harness, "f6"), 23.0);
}

#[test]
fn a_broker_that_stops_reading_holds_a_bounded_amount() {
    let mut harness = with(Fault::StopReading);
    for _ in 0..20 {
        harness.send(1, &vec![0; 60_000]);
    }
    harness.cloud.clear_faults();
    harness.drain();
    assert_eq!(harness.closed, [(1, Closing::Cut)]);
}

#[test]
fn a_retained_status_follows_a_subscription() {
    for (age, time) in [(Some(86_400 * SECOND), WALL + 2 - 86_400), (None, 0)] {
        let mut harness = with(Fault::Retained(age));
        harness.bytes.clear();
        harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out", "/v1/dev/a0b1c2d3e4f6/in"]);
        let [message] = &harness.inbox[..] else { panic!("{:?}", harness.inbox) };
        let status = message.json();
        assert_eq!((&status["msg"], status["time"].as_i64()), (&json!(40), Some(time)));
        assert_eq!(status["body"]["stpt"], 20, "the thermostat is set to 19");
        assert!(harness.bytes.contains(&0x31), "a PUBLISH with the RETAIN flag");
    }
}

#[test]
fn no_retained_status_follows_a_disconnect() {
    let mut harness = with(Fault::Retained(None));
    let mut bytes = Vec::new();
    let filters = [(Filter::new("/v1/dev/a0b1c2d3e4f6/out").unwrap(), QoS::AtLeastOnce)];
    Outbound::Subscribe { id: harness.id(), filters: &filters }.encode(&mut bytes).unwrap();
    bytes.extend_from_slice(&DISCONNECT);
    harness.send(1, &bytes);
    assert_eq!(harness.subacks.len(), 1);
    assert!(harness.inbox.is_empty(), "{:?}", harness.inbox);
    assert_eq!(harness.closed.len(), 1);
}

/// Records of the commands to a thermostat: origin, id, setpoint, mode and revision afterwards.
fn records(harness: &Harness, device: DeviceId) -> Vec<(Origin, Option<u64>, f64, Mode, u64)> {
    let records = harness.cloud.command_records(device).filter(|record| record.applied);
    records
        .map(|record| {
            let held = record.held;
            (record.origin, record.request, held.setpoint.as_degrees(), held.mode, held.revision)
        })
        .collect()
}

#[test]
fn the_author_of_a_change_is_recorded() {
    let mut harness = connected();
    let tokens = harness.sign_in();
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out"]);
    let taken = harness.now;
    harness.command(1, id("f6"), 4, 77, &json!({ "tm": -1, "sp": 21 }));
    harness.pass(2 * SECOND);
    ask(&mut harness, &tokens, "POST", &format!("/state/{V2}/update"), SET_23);
    harness.pass(2 * SECOND);
    assert!(harness.cloud.press(at(harness.now), id("f6"), Celsius::from_degrees(18.0), None));
    harness.cloud.act(at(harness.now), Incident::Schedule(id("f6"), 17.0, Some(Mode::Heat)));
    harness.pass(2 * SECOND);
    harness.cloud.act(at(harness.now), Incident::OtherApp(id("f6"), None, Some(Mode::Off)));
    harness.pass(2 * SECOND);
    harness.command(1, id("f6"), 4, 78, &json!({ "tm": -1, "md": 1 }));
    harness.pass(2 * SECOND);
    ask(&mut harness, &tokens, "POST", &format!("/devices/{V2}"), r#"{"Lock":1,"MaxBrightness":70}"#);
    harness.publish(
        1,
        &format!("/v1/dev/{V2}/in"),
        br#"{"Device":"a0b1c2d3e4f6","MsgType":6,"EventType":0}"#,
    );
    harness.pass(2 * SECOND);
    let mqtt = Origin::Mqtt { conn: 1 };
    let found = records(&harness, id("f6"));
    let found: Vec<_> = found
        .into_iter()
        .map(|(origin, request, degrees, mode, revision)| {
            (origin, request.filter(|_| origin == mqtt), degrees, mode, revision)
        })
        .collect();
    assert_eq!(
        found,
        [
            (mqtt, Some(77), 21.0, Mode::Heat, 1),
            (Origin::Rest, None, 23.0, Mode::Heat, 2),
            (Origin::Button, None, 18.0, Mode::Heat, 3),
            (Origin::Schedule, None, 17.0, Mode::Heat, 4),
            (Origin::OtherApp, None, 17.0, Mode::Off, 5),
            (mqtt, Some(78), 17.0, Mode::Off, 5),
            (Origin::Record, None, 17.0, Mode::Off, 6),
        ],
        "a command for the values in force is recorded but changes nothing"
    );
    let first = harness.cloud.command_records(id("f6")).next().unwrap();
    assert!(first.taken_at.mono == taken && first.at.mono > taken);
    let held = harness.cloud.held(id("f6")).unwrap();
    assert!(held.lock && held.brightness == (70, 40), "{held:?}");
    let last = harness.cloud.command_records(id("f6")).next_back().unwrap();
    assert_eq!((last.lock, last.brightness), (Some(true), Some((70, 40))));
    let acks: Vec<(i64, Value)> = harness
        .inbox
        .iter()
        .map(Received::json)
        .filter(|message| message["msg"] == 44 && message["resp_id"].is_u64())
        .map(|message| (message["resp_id"].as_i64().unwrap(), message["body"]["trig_src"].clone()))
        .collect();
    assert_eq!(acks.len(), 5, "{acks:?}");
    assert_eq!(acks[2].1, Value::Null, "a schedule has no known number");
    assert!((acks[2].0 - WALL).abs() < 60, "the schedule service counts in seconds");
}

#[test]
fn a_schedule_and_another_app_are_planned_like_any_other_trouble() {
    let mut spec = CloudSpec::demo();
    spec.faults = spec
        .faults
        .with_event(10 * SECOND, Incident::Schedule(id("f5"), 17.0, None))
        .with_event(20 * SECOND, Incident::OtherApp(id("f5"), Some(22.5), Some(Mode::Off)));
    let mut harness = Harness::new(spec);
    harness.connect(1);
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/in", "/v1/dev/a0b1c2d3e4f5/out"]);
    harness.pass(12 * SECOND);
    assert_eq!(setpoint(&harness, "f5"), 17.0);
    let messages: Vec<Value> = harness.inbox.iter().map(Received::json).collect();
    assert!(messages.iter().any(|message| message["src"]["type"] == 302 && message["msg"] == 44));
    assert!(messages.iter().any(|message| message["MsgType"] == 1 && message["Source"] == 1));
    harness.pass(10 * SECOND);
    let held = harness.cloud.held(id("f5")).unwrap();
    assert_eq!((held.setpoint.as_degrees(), held.mode), (22.5, Mode::Off));
    let tokens = harness.sign_in();
    let path = format!("/state/history/a0b1c2d3e4f5?startTime={WALL}&endTime={}", WALL + 60);
    let history = harness.get(&tokens, &path);
    let sources: Vec<&Value> =
        history["heatSetpoint"].as_array().unwrap().iter().map(|entry| &entry["source"]).collect();
    assert_eq!(sources, ["schedule", "app"]);
}

#[test]
fn a_change_whose_acknowledgement_is_lost_is_in_the_history_with_its_author() {
    let mut spec = CloudSpec::demo();
    let lost = Fault::Device(Some(id("f6")), DeviceFault::DropAcks);
    spec.faults = spec
        .faults
        .with(Duration::ZERO, Duration::MAX, lost)
        .with_event(10 * SECOND, Incident::Schedule(id("f6"), 17.0, None))
        .with_event(4_000 * SECOND, Incident::Press(id("f6"), 21.0))
        .with_event(8_000 * SECOND, Incident::OtherApp(id("f6"), Some(23.0), None));
    let mut harness = Harness::new(spec);
    // The cloud learns of each with a status, of which there are a few in an hour.
    harness.pass(12_000 * SECOND);
    assert_eq!(setpoint(&harness, "f6"), 23.0);
    let tokens = harness.sign_in();
    let path = format!("/state/history/a0b1c2d3e4f6?startTime={WALL}&endTime={}", WALL + 20_000);
    let history = harness.get(&tokens, &path);
    let reported: Vec<(&Value, &Value)> = history["heatSetpoint"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["value"], &entry["source"]))
        .collect();
    let expected = [(json!(17), json!("schedule")), (json!(21), json!("device")), (json!(23), json!("app"))];
    assert_eq!(reported, expected.each_ref().map(|(value, source)| (value, source)), "{history}");
}

#[test]
fn a_network_that_is_down_cuts_connections_and_admits_none() {
    let mut harness = Harness::demo();
    harness.connect(1);
    let tokens = harness.sign_in();
    let credentials = harness.credentials(LEGACY_POOL, &tokens);
    let minute = Duration::from_secs(60);
    let ids =
        harness.cloud.start_named_fault(at(harness.now), "network-down", None, minute, Some(minute)).unwrap();
    assert_eq!((ids.len(), harness.cloud.is_reachable()), (1, true));
    harness.pass(minute);
    assert_eq!(harness.closed, [(1, Closing::Cut)]);
    assert!(!harness.cloud.is_reachable());
    assert_eq!(ask(&mut harness, &tokens, "GET", "/devices", ""), HttpAnswer::Reset);
    let target = harness.presign(&credentials);
    assert_eq!(harness.upgrade(2, &target, "mqtt"), Upgrade::Hang);
    harness.pass(minute);
    assert_eq!(harness.upgrade(3, &target, "mqtt"), Upgrade::Accept);
}

#[test]
fn a_named_fault_can_be_several_faults_or_one_of_each_thermostat() {
    let mut harness = Harness::demo();
    let mut start = |name: &str, device: Option<DeviceId>| {
        let ids =
            harness.cloud.start_named_fault(at(harness.now), name, device, Duration::ZERO, None).unwrap();
        let faults: Vec<Fault> = harness.cloud.faults().map(|(_, window)| window.fault.clone()).collect();
        assert!(ids.into_iter().all(|id| harness.cloud.end_fault(at(harness.now), id)));
        faults
    };
    let all = start("network-blackhole-in", None);
    assert_eq!(all[1..], [Fault::HangUpgrade, Fault::BlackholeIn]);
    assert_eq!(start("omit-state", Some(id("f5"))), [Fault::OmitState(id("f5"))]);
    assert_eq!(start("refuse-subscription", None).len(), 5);
    let mut spec = CloudSpec::demo();
    spec.add_named_fault("refuse-subscription@5-6").unwrap();
    assert_eq!(spec.faults.windows.len(), 5);
}

#[test]
fn a_late_request_is_withheld() {
    let mut harness = Harness::demo();
    harness.cloud.start_named_fault(at(harness.now), "write-late", None, Duration::ZERO, None).unwrap();
    let mut delay = |method: &str, path: &str| {
        let request = HttpRequest { host: BACKEND, method, path, query: "", headers: &[], body: b"{}" };
        harness.cloud.request_delay(at(Duration::ZERO), &request)
    };
    assert_eq!(delay("POST", "/state/a0b1c2d3e4f6/update"), Duration::from_secs(60));
    assert_eq!(delay("GET", "/state/a0b1c2d3e4f6"), Duration::ZERO);
}
