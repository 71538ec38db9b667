//! Comparison of the simulated cloud's messages and answers with the shape and meaning of the captures.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::*;
use mysa_proto::{Body, Celsius, Message, Topic};
use mysa_sim::{CloudSpec, DeviceFault, Incident};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// Collects the members of `theirs` that `ours` lacks or has with another type. Lists are compared by their first
/// member.
fn missing(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, value) in theirs {
                match ours.get(name) {
                    Some(own) => missing(&format!("{path}.{name}"), own, value, found),
                    None => found.push(format!("{path}.{name} is absent")),
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            if let (Some(own), Some(value)) = (ours.first(), theirs.first()) {
                missing(&format!("{path}[0]"), own, value, found);
            }
        }
        (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_)) => {}
        (_, Value::Null) => {}
        // The real cloud sends it in both forms: as it was written, and as a number.
        _ if path.ends_with(".dayOfWeek") => {}
        _ => found.push(format!("{path}: {ours} for {theirs}")),
    }
}

fn sample(name: &str) -> Value {
    let path = format!("{}/tests/data/rest/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Parses a message that is JSON except for raw line feeds.
fn lenient(payload: &str) -> Value {
    serde_json::from_str(&payload.replace('\n', "\\n")).unwrap()
}

fn keys(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(members) => {
            let inside = members.iter().flat_map(|(name, value)| {
                keys(value).into_iter().map(move |inner| format!("{name}.{inner}")).chain([name.clone()])
            });
            inside.collect()
        }
        _ => BTreeSet::new(),
    }
}

#[test]
fn every_message_has_the_members_of_its_capture_and_decodes() {
    let text =
        std::fs::read_to_string(format!("{}/tests/data/messages.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let named = |name: &str| {
        let vector = vectors["vectors"].as_array().unwrap().iter().find(|vector| vector["name"] == name);
        lenient(vector.unwrap_or_else(|| panic!("{name}"))["payload"].as_str().unwrap())
    };
    let mut spec = CloudSpec::demo();
    for (n, last) in ["f5", "f6", "f7", "f8", "f9"].into_iter().enumerate() {
        spec.faults = spec.faults.with_event((100 + n as u32) * SECOND, Incident::Reboot(id(last)));
        spec.faults = spec.faults.with_event((80 + n as u32) * SECOND, Incident::Press(id(last), 22.0));
    }
    let mut harness = Harness::new(spec);
    harness.connect(1);
    for n in 5..10 {
        let topic = |kind: &str| format!("/v1/dev/a0b1c2d3e4f{n}/{kind}");
        harness.subscribe(1, &[&topic("out"), &topic("batch")]);
        harness.live(1, id(&format!("f{n}")), 60);
        let echo = json!({
            "Timestamp": WALL, "Device": format!("a0b1c2d3e4f{n}"), "MsgType": 6, "EventType": 4_294_967_295_u32, "EchoID": 418_001
        });
        harness.publish(1, &topic("in"), echo.to_string().as_bytes());
    }
    for (last, kind) in [("f5", 1), ("f6", 4), ("f7", 5), ("f8", 3), ("f9", 2)] {
        harness.command(1, id(last), kind, 1_767_323_045_678, &json!({ "tm": -1, "sp": 20, "md": 3 }));
    }
    harness.command(1, id("f9"), 2, 9, &json!({ "tm": -1, "sp": 22, "md": 4 }));
    for _ in 0..20 {
        harness.pass(60 * SECOND);
        harness.send(1, &mysa_mqtt_codec::PINGREQ);
    }

    let mut seen = BTreeMap::new();
    for message in &harness.inbox {
        let topic = Topic::parse(message.topic.as_bytes()).unwrap();
        let decoded = Message::decode(topic.kind, &message.payload).unwrap();
        assert_eq!(decoded.envelope.device.unwrap_or(topic.device), topic.device);
        let payload = lenient(std::str::from_utf8(&message.payload).unwrap());
        let truth = harness.cloud.truth(topic.device).unwrap();
        let model = &topic.device.as_str()[10..];
        let pressed = payload.get("resp_id").is_none();
        let (name, capture) = match decoded.body {
            Body::V1Status(_) => ("status of a V1", "legacy-0-v1-status-heating"),
            Body::SetpointChange(_) => ("setpoint", "legacy-1-setpoint-change-button"),
            Body::Log(_) => ("log", "legacy-4-log-version"),
            Body::EchoReply(reply) => {
                assert_eq!(reply.echo_id, Some(418_001));
                seen.insert("echo", ());
                continue;
            }
            Body::Boot(_) => ("boot", "legacy-10-post-boot-lowercase"),
            Body::BatchReadings(_) => {
                let records = payload["body"]["readings"].as_str().unwrap();
                assert!(records.starts_with("yqA"), "the magic of a record");
                ("batch", "mcm-3-batch-one-v3-record")
            }
            Body::FloorLine(_) => ("floor line", "mcm-16-floor-line-voltage"),
            Body::FloorStatus(_) => ("floor status", "mcm-17-floor-status"),
            Body::AcStatus(_) => ("conditioner", "mcm-30-ac-status"),
            Body::AcState(_) => {
                seen.insert("conditioner state", ());
                continue;
            }
            Body::Status(_) => {
                assert!(payload["body"]["stpt"].as_f64().and_then(Celsius::from_degrees).is_some());
                ("status", "mcm-40-v2-status-heating")
            }
            Body::Ack(_) if model == "f9" || model == "f8" => {
                seen.insert("ack with more", ());
                continue;
            }
            Body::Ack(_) if pressed => {
                seen.insert("button", ());
                continue;
            }
            Body::Ack(_) => ("ack", "mcm-44-ack-app-heat"),
            Body::Firmware(_) => ("firmware", "mcm-61-boot-firmware"),
            other => panic!("{other:?} of {truth:?}"),
        };
        assert_eq!(keys(&payload), keys(&named(capture)), "{name}: {payload}");
        let mut found = Vec::new();
        missing(name, &payload, &named(capture), &mut found);
        assert!(found.is_empty(), "{found:?}");
        seen.insert(name, ());
    }
    let seen: Vec<&str> = seen.into_keys().collect();
    assert_eq!(
        seen,
        [
            "ack",
            "ack with more",
            "batch",
            "boot",
            "button",
            "conditioner",
            "conditioner state",
            "echo",
            "firmware",
            "floor line",
            "floor status",
            "log",
            "setpoint",
            "status",
            "status of a V1"
        ]
    );
}

#[test]
fn every_rest_body_has_the_members_of_its_capture() {
    let mut harness = Harness::demo();
    harness.cloud.press(at(harness.now), id("f5"), Celsius::from_degrees(22.0), None);
    harness.cloud.press(at(harness.now), id("f7"), Celsius::from_degrees(19.0), Some(mysa_sim::Mode::Off));
    harness.cloud.offer_firmware(at(harness.now), id("f5"), Some("3.17.5.13")).unwrap();
    harness.pass(Duration::from_secs(3_000));
    let tokens = harness.sign_in();
    let home = harness.get(&tokens, "/homes")["Homes"][0]["Id"].as_str().unwrap().to_owned();
    let hold = json!({
        "deviceId": "a0b1c2d3e4f7", "holdType": "permanent", "startTime": "2026-01-02T04:04:15.000Z",
        "state": { "modes": { "mode": 4 }, "targetHeat": { "setpoint": 21 } }
    });
    let day = json!({ "Id": "a0b1c2d3e4f6", "Scope": "Day", "Res": "halfHour", "Timestamp": WALL });
    let span = json!({ "timezone": "America/Halifax", "start": WALL - 86_400, "end": WALL, "aggregatedReadings": ["oH1"] });
    let get = |path: &str| ("GET", path.to_owned(), None);
    let post = |path: &str, body: Value| ("POST", path.to_owned(), Some(body));
    let cases = [
        (get("/devices"), 200, "devices"),
        (get("/devices/a0b1c2d3e4f6"), 200, "device_single"),
        (get("/devices/state"), 200, "devices_state"),
        (get("/devices/state/a0b1c2d3e4f6"), 200, "device_state_single"),
        (get("/homes"), 200, "homes"),
        (get("/users"), 200, "users"),
        (get("/devices/firmware"), 200, "firmware"),
        (get("/devices/update_available/a0b1c2d3e4f6"), 200, "update_available_none"),
        (get("/devices/update_available/a0b1c2d3e4f5"), 200, "update_available_offered"),
        (get("/devices/update_available/ffffffffffff"), 500, "update_available_unknown_500"),
        (get("/mobile/bootstrap?versionNumber=4.20.1"), 200, "bootstrap"),
        (get("/state/a0b1c2d3e4f7"), 200, "state_single"),
        (
            get(&format!("/state/history/a0b1c2d3e4f7?startTime={}&endTime={}", WALL - 9, WALL + 9_999)),
            200,
            "state_history",
        ),
        (post("/state/a0b1c2d3e4f7/update", sample("state_update_setpoint.request")), 200, ""),
        (post("/state/a0b1c2d3e4f7/update", sample("state_update_off.request")), 200, ""),
        (post("/state/a0b1c2d3e4f7/update", sample("state_update_lock.request")), 200, ""),
        (post("/state/a0b1c2d3e4f7/update", sample("state_update_brightness.request")), 200, ""),
        (get("/capabilities/a0b1c2d3e4f7?includeLegacyBaseboard=true"), 200, "capabilities_lite"),
        (get(&format!("/homes/{home}/scenes")), 200, "scenes"),
        (post("/energy/device/a0b1c2d3e4f6", day), 200, "energy_device_day"),
        (
            post("/energy/setpoints/device/a0b1c2d3e4f5", json!({ "Scope": "Day", "Timestamp": WALL })),
            200,
            "energy_setpoints_device",
        ),
        (post("/telemetry/usage/a0b1c2d3e4f6", span), 200, "usage_summary"),
        (
            post(&format!("/mysa-legacy/stream/home/{home}"), json!({ "timeout": 300 })),
            200,
            "live_stream.response",
        ),
        (post("/schedule", sample("schedule_create.request")), 201, "schedule_create.response"),
        (get("/schedule?homeId=x"), 200, "schedule_list"),
        (post("/schedule/hold", hold), 201, "hold_create.response"),
    ];
    let mut found = Vec::new();
    for ((method, path, body), status, name) in cases {
        let (got, reply) = harness.rest(&tokens, BACKEND, method, &path, body.as_ref());
        assert_eq!(got, status, "{path}: {reply}");
        if !name.is_empty() {
            missing(name, &reply, &sample(name), &mut found);
        }
    }
    let ids = json!({ "deviceIds": ["a0b1c2d3e4f7", "a0b1c2d3e4f9", "a0b1c2d3e4fa"] });
    let (_, batch) = harness.rest(&tokens, BACKEND, "POST", "/state/batch", Some(&ids));
    for last in ["f7", "f9"] {
        let id = format!("a0b1c2d3e4{last}");
        missing("batch", &batch[&id], &sample("state_batch")[&id], &mut found);
    }
    assert_eq!(batch["a0b1c2d3e4fa"]["error"], "PERMISSION_DENIED");
    let mut harness = Harness::new(CloudSpec::all());
    let tokens = harness.sign_in();
    let (_, batch) = harness.rest(&tokens, BACKEND, "POST", "/state/batch", Some(&ids));
    missing("batch", &batch["a0b1c2d3e4fa"], &sample("state_batch")["a0b1c2d3e4fa"], &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_older_host_has_no_structured_routes_and_bearer_is_a_rule() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    assert_eq!(harness.rest(&tokens, LEGACY, "GET", "/devices", None).0, 200);
    for route in ["/state/a0b1c2d3e4f7", "/devices/capabilities", "/mobile/bootstrap?versionNumber=4"] {
        assert_eq!(harness.rest(&tokens, LEGACY, "GET", route, None).0, 403, "{route}");
    }
    assert_eq!(harness.rest(&tokens, BACKEND, "GET", "/mobile/bootstrap", None).0, 400);
    assert_eq!(harness.http(LEGACY, "GET", "/devices", &[], "").status, 401);
    assert_eq!(
        harness.http(LEGACY, "GET", "/devices", &[("authorization", tokens.access.expose())], "").status,
        401
    );
    let bearer = format!("Bearer {}", tokens.id.expose());
    assert_eq!(harness.http(LEGACY, "GET", "/devices", &[("authorization", &bearer)], "").status, 401);

    let mut spec = CloudSpec::demo();
    spec.rules.bearer = true;
    let mut harness = Harness::new(spec);
    let tokens = harness.sign_in();
    let bearer = format!("Bearer {}", tokens.id.expose());
    assert_eq!(harness.http(LEGACY, "GET", "/devices", &[("authorization", &bearer)], "").status, 200);
}

#[test]
fn a_structured_update_is_desired_at_once_and_reported_when_the_thermostat_has_it() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let update = sample("state_update_setpoint.request");
    let state = |harness: &mut Harness| {
        let state = harness.get(&tokens, "/state/a0b1c2d3e4f7");
        let heat = |which: &str| state["targetHeat"][which]["setpoint"].as_f64().unwrap();
        (heat("desired"), heat("reported"))
    };
    harness.rest(&tokens, BACKEND, "POST", "/state/a0b1c2d3e4f7/update", Some(&update));
    assert_eq!(state(&mut harness), (21.0, 18.0));
    harness.pass(3 * SECOND);
    assert_eq!(state(&mut harness), (21.0, 21.0));
    assert_eq!(harness.cloud.truth(id("f7")).unwrap().setpoint.as_degrees(), 21.0);

    harness.cloud.add_fault(mysa_sim::Window::times(1, mysa_sim::Fault::DesiredOnly));
    let update = json!({ "source": 3, "targetHeat": { "setpoint": 23 } });
    assert_eq!(harness.rest(&tokens, BACKEND, "POST", "/state/a0b1c2d3e4f7/update", Some(&update)).0, 200);
    harness.pass(60 * SECOND);
    assert_eq!(state(&mut harness), (23.0, 21.0), "status 200 does not mean applied");
    harness.cloud.press(at(harness.now), id("f7"), Celsius::from_degrees(19.5), None);
    assert_eq!(state(&mut harness), (19.5, 19.5), "a press on the thermostat is the newest change");
    let bad = json!({ "source": 3, "targetHeat": { "setpoint": 21.3 } });
    assert_eq!(harness.rest(&tokens, BACKEND, "POST", "/state/a0b1c2d3e4f7/update", Some(&bad)).0, 400);
}

#[test]
fn each_setting_has_the_time_of_its_own_change() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let times = |harness: &mut Harness| {
        let sections = harness.get(&tokens, "/state/a0b1c2d3e4f7");
        let fields = harness.get(&tokens, "/devices/state/a0b1c2d3e4f7");
        let section = |name: &'static str| (name, sections[name]["reported"]["timestamp"].as_i64().unwrap());
        let field = |name: &'static str| (name, fields["DeviceState"][name]["t"].as_i64().unwrap());
        let mut times =
            ["targetHeat", "modes", "physicalInterface", "tracking", "bbConfig"].map(section).to_vec();
        times.extend(["TstatMode", "Lock", "Brightness", "ScheduleMode"].map(field));
        times
    };
    let (sections, record) = ("/state/a0b1c2d3e4f7/update", "/devices/a0b1c2d3e4f7");
    for (path, update, changed) in [
        (sections, json!({ "targetHeat": { "setpoint": 22.5 } }), &["targetHeat"][..]),
        (sections, json!({ "targetHeat": { "setpoint": 22.5 } }), &[]),
        (sections, json!({ "targetHeat": { "lockoutMax": 28 } }), &["targetHeat"]),
        (sections, json!({ "targetHeat": { "lockoutMax": 28.0 } }), &[]),
        (record, json!({ "MaxSetpoint": 28.0, "Format": "celsius" }), &[]),
        (record, json!({ "MaxSetpoint": 27 }), &["targetHeat"]),
        (record, json!({ "MinSetpoint": 6 }), &["targetHeat"]),
        (sections, json!({ "physicalInterface": { "lockout": 3 } }), &["physicalInterface", "Lock"]),
        (sections, json!({ "physicalInterface": { "format": "F" } }), &["physicalInterface"]),
        (record, json!({ "Format": "celsius" }), &["physicalInterface"]),
        (sections, json!({ "tracking": { "ambientOffset": 1.5 } }), &["tracking"]),
        (record, json!({ "UserTempOffset": 1 }), &["tracking"]),
        (sections, json!({ "bbConfig": { "controlType": 9 } }), &["bbConfig"]),
        (record, json!({ "DutyCycleOpt": 8 }), &["bbConfig"]),
        (sections, json!({ "modes": { "mode": 0 } }), &["modes", "TstatMode"]),
    ] {
        let before = times(&mut harness);
        harness.pass(100 * SECOND);
        let mut body = update.clone();
        if path == sections {
            body["source"] = json!(3);
        }
        let (status, _) = harness.rest(&tokens, BACKEND, "POST", path, Some(&body));
        assert_eq!(status, 200, "{update}");
        harness.pass(5 * SECOND);
        let after = times(&mut harness);
        let newer = after.iter().zip(&before).filter(|(after, before)| after.1 > before.1);
        assert_eq!(newer.map(|(after, _)| after.0).collect::<Vec<_>>(), changed, "{update}");
    }
}

/// Acknowledgements are lost here, so that the cloud learns of a change by statuses and batch readings alone.
#[test]
fn the_states_follow_the_settings_that_a_status_contains() {
    // Of its settings, batch readings of a heated floor contain the setpoint alone. An air conditioner sends none.
    let [followed, by_batch] = [&["SetPoint", "TrackedSensor"][..], &["SetPoint"]];
    for (last, kind, cmd, fault, changed) in [
        ("f8", 3, json!({ "sp": 27, "tr": 5, "lk": 1 }), None, followed),
        ("f8", 3, json!({ "sp": 27, "tr": 5, "lk": 1 }), Some(DeviceFault::DropStatuses), by_batch),
        ("f9", 2, json!({ "sp": 24, "md": 4, "lk": 1 }), None, &["SetPoint", "TstatMode"]),
        ("f9", 2, json!({ "sp": 24, "md": 4, "lk": 1 }), Some(DeviceFault::DropStatuses), &[]),
        ("f9", 2, json!({ "md": 6 }), None, &["TstatMode"]),
    ] {
        let mut harness = Harness::new(CloudSpec::demo().without_schedules());
        let tokens = harness.sign_in();
        let fields = ["SetPoint", "TstatMode", "TrackedSensor", "Lock"];
        let shown = |harness: &mut Harness| {
            let state = harness.get(&tokens, &format!("/devices/state/{}", id(last)));
            fields.map(|field| state["DeviceState"][field].clone())
        };
        for fault in [Some(DeviceFault::DropAcks), fault.clone()].into_iter().flatten() {
            let fault = mysa_sim::Fault::Device(Some(id(last)), fault);
            harness.cloud.add_fault(mysa_sim::Window::new(Duration::ZERO, Duration::MAX, fault));
        }
        harness.connect(1);
        let before = shown(&mut harness);
        harness.pass(SECOND);
        let asked_at = at(harness.now).wall.as_secs();
        harness.command(1, id(last), kind, 1, &cmd);
        harness.pass(2_000 * SECOND);
        let after = shown(&mut harness);
        let both = || fields.iter().zip(before.iter().zip(&after));
        let newer = both().filter(|(_, (before, after))| before["v"] != after["v"]);
        assert_eq!(newer.map(|(field, _)| *field).collect::<Vec<_>>(), changed, "{last} {cmd} {fault:?}");
        for (field, (before, after)) in both() {
            let (old, new) = (before["t"].as_i64(), after["t"].as_i64());
            if changed.contains(field) {
                assert!(new > Some(asked_at), "{last} {cmd} {fault:?} {field}: {after}");
            } else {
                assert_eq!(new, old, "{last} {cmd} {fault:?} {field}: {after}");
            }
        }
    }
}

/// mysa-client writes and reads them in this form.
#[test]
fn settings_that_are_written_by_section_are_reported_and_recorded() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let cases = [
        ("targetHeat", "lockoutMin", json!(10), "MinSetpoint", json!(10)),
        ("targetHeat", "lockoutMax", json!(24.5), "MaxSetpoint", json!(24.5)),
        ("tracking", "ambientOffset", json!(-1.5), "UserTempOffset", json!(-1.5)),
        ("physicalInterface", "format", json!("F"), "Format", json!("fahrenheit")),
        ("bbConfig", "controlType", json!(8), "DutyCycleOpt", json!(8)),
    ];
    for (section, member, value, field, recorded) in cases {
        let update = json!({ "source": 3, section: { member: value } });
        assert_eq!(
            harness.rest(&tokens, BACKEND, "POST", "/state/a0b1c2d3e4f6/update", Some(&update)).0,
            200
        );
        let state = harness.get(&tokens, "/state/a0b1c2d3e4f6");
        assert_eq!(state[section]["reported"][member], value, "{section}.{member}");
        assert_eq!(harness.get(&tokens, "/devices/a0b1c2d3e4f6")["Device"][field], recorded, "{field}");
    }
    assert_eq!(
        harness.cloud.truth(id("f6")).unwrap().messages.commands,
        0,
        "the thermostat receives no command"
    );
    for (section, member, value) in [
        ("targetHeat", "lockoutMin", json!(4)),
        ("tracking", "ambientOffset", json!(5.5)),
        ("tracking", "ambientOffset", json!(0.3)),
        ("physicalInterface", "format", json!("K")),
        ("bbConfig", "controlType", json!(3)),
    ] {
        let update = json!({ "source": 3, section: { member: value } });
        let (status, reply) =
            harness.rest(&tokens, BACKEND, "POST", "/state/a0b1c2d3e4f6/update", Some(&update));
        assert_eq!((status, &reply["code"]), (400, &json!("FST_ERR_VALIDATION")), "{section}.{member}");
    }
}

/// mysa-client changes scenes in this form; the answer is 202.
#[test]
fn a_scene_keeps_what_it_is_given_and_applies_nothing() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let home = harness.get(&tokens, "/homes")["Homes"][0]["Id"].as_str().unwrap().to_owned();
    let away = format!("{home}_away");
    let actions = json!({ "a0b1c2d3e4f7": { "type": 3, "mode": 4, "setpoint": 16 } });
    let change = json!({ "DeviceActions": actions, "AllDevices": false });
    let patch = |harness: &mut Harness, scene: &str| {
        harness.rest(&tokens, BACKEND, "PATCH", &format!("/scene/{scene}"), Some(&change)).0
    };
    assert_eq!(patch(&mut harness, &away), 202);
    let scenes = harness.get(&tokens, &format!("/homes/{home}/scenes"));
    assert_eq!(scenes["Scenes"][1], json!({ "Id": away, "DeviceActions": actions, "AllDevices": false }));
    assert_eq!(scenes["Scenes"][0]["DeviceActions"], json!({}));
    for other in [format!("{home}_party"), "22222222-2222-4222-8222-222222222222_away".into()] {
        assert_eq!(patch(&mut harness, &other), 404, "{other}");
    }
    assert_eq!(harness.cloud.truth(id("f7")).unwrap().setpoint.as_degrees(), 18.0);
}

/// mysotherm knows the route of one user; mysa-client expects 404 for a thermostat without a legacy schedule.
#[test]
fn one_user_is_read_by_id_and_a_schedule_that_is_not_there_is_not_found() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let user = harness.get(&tokens, "/users");
    let id = user["User"]["Id"].as_str().unwrap();
    assert_eq!(harness.get(&tokens, &format!("/users/{id}")), user);
    let other = "/users/22222222-2222-4222-8222-222222222222";
    assert_eq!(harness.rest(&tokens, LEGACY, "GET", other, None).0, 404);
    assert_eq!(harness.rest(&tokens, LEGACY, "GET", "/schedules/v2/a0b1c2d3e4f7", None).0, 404);
}

#[test]
fn settings_of_the_record_reach_the_thermostat_after_a_request_to_reload() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let (status, _) = harness.rest(
        &tokens,
        LEGACY,
        "POST",
        "/devices/a0b1c2d3e4f6",
        Some(&json!({ "ButtonState": "Locked", "Model": "BB-V9" })),
    );
    assert_eq!(status, 200);
    harness.pass(10 * SECOND);
    assert!(!harness.cloud.truth(id("f6")).unwrap().locked);
    harness.connect(1);
    let nudge = json!({ "Device": "a0b1c2d3e4f6", "EventType": 0, "MsgType": 6, "Timestamp": WALL });
    harness.publish(1, "/v1/dev/a0b1c2d3e4f6/in", nudge.to_string().as_bytes());
    harness.pass(SECOND);
    assert!(harness.cloud.truth(id("f6")).unwrap().locked);
    assert_eq!(
        harness.get(&tokens, "/devices/a0b1c2d3e4f6")["Device"]["Model"],
        "BB-V2-0",
        "the model does not change"
    );
    assert!(
        !harness.cloud.press(at(harness.now), id("f6"), Celsius::from_degrees(22.0), None),
        "its buttons are locked"
    );
}

#[test]
fn a_baseboard_that_measures_reports_the_power_it_draws() {
    for (last, kind) in [("f5", 1), ("f6", 4)] {
        let mut harness = Harness::demo();
        let tokens = harness.sign_in();
        harness.connect(1);
        harness.command(1, id(last), kind, 1, &json!({ "tm": -1, "sp": 30 }));
        harness.live(1, id(last), 300);
        harness.pass(std::time::Duration::from_secs(80));
        let path = format!("/devices/state/a0b1c2d3e4{last}");
        let state = harness.get(&tokens, &path);
        let field = |name: &str| state["DeviceState"][name]["v"].as_f64().unwrap();
        let reported = field("Voltage") * field("Current") * field("Duty");
        let drawn = harness.cloud.truth(id(last)).unwrap().watts;
        assert!(
            drawn > 1_000.0 && (reported - drawn).abs() < 0.01 * drawn,
            "{last}: {reported} W reported, {drawn} W drawn"
        );
    }
}

#[test]
fn a_small_home_has_four_thermostats() {
    let spec = mysa_sim::CloudSpec::small();
    let homes: Vec<_> = spec.accounts.iter().flat_map(|account| &account.homes).collect();
    assert_eq!(homes.iter().map(|home| home.devices.len()).collect::<Vec<_>>(), [4]);
}

#[test]
fn a_hold_with_an_end_is_kept_and_a_baseboard_acknowledges_the_end() {
    for (last, kind, reports_end) in [("f6", 4, true), ("f8", 3, false)] {
        let mut harness = Harness::demo();
        let tokens = harness.sign_in();
        harness.connect(1);
        let topic = format!("/v1/dev/a0b1c2d3e4{last}/out");
        harness.subscribe(1, &[&topic]);
        let end = WALL + 3_600;
        for (request, cmd, hold, end) in [
            (1, json!({ "tm": end, "ho": 1 }), 1, Some(end)),
            (2, json!({ "tm": -1, "ho": 2 }), 2, None),
            (3, json!({ "tm": -1, "ho": 1 }), 1, None),
        ] {
            harness.inbox.clear();
            harness.command(1, id(last), kind, request, &cmd);
            harness.pass(std::time::Duration::from_secs(8));
            let held = harness.cloud.held(id(last)).unwrap();
            assert_eq!((held.hold, held.hold_end.map(|end| end.as_secs())), (hold == 2, end), "{last} {cmd}");
            let state = harness.get(&tokens, &format!("/devices/state/a0b1c2d3e4{last}"));
            assert_eq!(state["DeviceState"]["HoldTime"]["v"], json!(end.unwrap_or(-1)), "{last} {cmd}");
            let ack = harness.inbox.iter().map(Received::json).find(|message| message["msg"] == 44).unwrap();
            let reported = ack["body"]["state"].get("tm").and_then(serde_json::Value::as_i64);
            assert_eq!(reported, end.filter(|_| reports_end), "{last} {cmd}");
        }
    }
}
