//! Weekly schedules, holds, and their routes.
#![allow(clippy::unwrap_used, reason = "a test may panic, helpers included")]

mod harness;

use std::time::Duration;

use mysa_cognito::Tokens;
use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{CloudSpec, DeviceFault, Fault, Incident, Origin, ScheduledSetpoint, Window};
use serde_json::{Value, json};

use harness::{BACKEND, Harness, WALL, at, id};

/// Friday, 2 January, 06:30 in Halifax, in seconds after the start of a harness on Thursday, 23:04:05.
const EVENT: u64 = 7 * 3_600 + 25 * 60 + 55;
/// Two hours later.
const NEXT: u64 = EVENT + 7_200;

/// The kitchen heats to 21 °C from 06:30 to 08:30 on Friday; then to 17 °C.
fn harness() -> Harness {
    let mut spec = CloudSpec::demo().without_schedules();
    for device in &mut spec.accounts[0].homes[0].devices {
        if device.id == id("f6") || device.id == id("f8") {
            let event = |minute, setpoint| ScheduledSetpoint { weekday: 5, minute, setpoint };
            device.schedule = vec![event(510, 17.0), event(390, 21.0)];
        }
    }
    Harness::new(spec)
}

fn pass_to(harness: &mut Harness, secs: u64) {
    let end = Duration::from_secs(secs);
    harness.pass(end.saturating_sub(harness.now));
}

fn setpoint(harness: &Harness, device: DeviceId) -> f64 {
    harness.cloud.truth(device).unwrap().setpoint.as_degrees()
}

/// Sends a command by a connection of its own.
fn command(harness: &mut Harness, conn: u64, device: DeviceId, cmd: &Value) {
    harness.connect(conn);
    let kind = if device == id("f6") { 4 } else { 3 };
    harness.command(conn, device, kind, conn, cmd);
    harness.pass(Duration::from_secs(2));
}

fn hold(harness: &mut Harness, tokens: &Tokens, device: DeviceId) -> (u16, Value) {
    harness.rest(tokens, BACKEND, "GET", &format!("/schedule/hold/{device}"), None)
}

#[test]
fn an_event_is_a_command_of_the_schedule_service() {
    let mut harness = harness();
    pass_to(&mut harness, EVENT - 30);
    harness.connect(1);
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/in", "/v1/dev/a0b1c2d3e4f6/out"]);
    assert_eq!(setpoint(&harness, id("f6")), 19.0);
    harness.inbox.clear();
    pass_to(&mut harness, EVENT + 5);
    assert_eq!((setpoint(&harness, id("f6")), setpoint(&harness, id("f8"))), (21.0, 21.0));
    let sent: Vec<Value> =
        harness.inbox.iter().filter(|got| got.topic.ends_with("/in")).map(harness::Received::json).collect();
    let [sent] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((&sent["msg"], &sent["src"]), (&json!(44), &json!({ "type": 302, "ref": "" })));
    assert_eq!(sent["time"], WALL + EVENT as i64, "at its time");
    assert_eq!(sent["body"]["cmd"], json!([{ "tm": -1, "sp": 21, "md": 3 }]));
    let acks = harness.inbox.iter().map(harness::Received::json).filter(|got| got.get("resp_id").is_some());
    let acks: Vec<Value> = acks.collect();
    let [ack] = &acks[..] else { panic!("{acks:?}") };
    assert_eq!((&ack["resp_id"], &ack["body"]["state"]["sp"]), (&sent["id"], &json!(21)));
    assert_eq!(harness.cloud.command_records(id("f6")).next_back().unwrap().origin, Origin::Schedule);
    let tokens = harness.sign_in();
    let span = format!("/state/history/a0b1c2d3e4f6?startTime={WALL}&endTime={}", WALL + 100_000);
    assert_eq!(harness.get(&tokens, &span)["heatSetpoint"][0]["source"], "schedule");

    // A setpoint of a person counts until the next event.
    harness.cloud.press(at(harness.now), id("f6"), Celsius::from_degrees(23.0), None);
    pass_to(&mut harness, NEXT - 5);
    assert_eq!((setpoint(&harness, id("f6")), harness.cloud.held(id("f6")).unwrap().hold), (23.0, false));
    pass_to(&mut harness, NEXT + 5);
    assert_eq!(setpoint(&harness, id("f6")), 17.0);
    pass_to(&mut harness, EVENT + 7 * 86_400 + 5);
    assert_eq!(setpoint(&harness, id("f6")), 21.0, "every week");
}

#[test]
fn a_hold_ends_by_command_or_at_its_time() {
    let mut harness = harness();
    command(&mut harness, 1, id("f6"), &json!({ "tm": -1, "ho": 2, "sp": 23 }));
    command(&mut harness, 2, id("f8"), &json!({ "tm": WALL + EVENT as i64 + 60, "ho": 1, "sp": 24 }));
    pass_to(&mut harness, EVENT + 30);
    assert_eq!((setpoint(&harness, id("f6")), setpoint(&harness, id("f8"))), (23.0, 24.0), "both hold");
    harness.connect(3);
    harness.subscribe(3, &["/v1/dev/a0b1c2d3e4f8/out"]);
    harness.inbox.clear();
    pass_to(&mut harness, EVENT + 65);
    assert_eq!((setpoint(&harness, id("f6")), setpoint(&harness, id("f8"))), (23.0, 21.0));
    assert_eq!(harness.cloud.held(id("f8")).unwrap().hold_end, None);
    // The end is reported as after a press of a button, the setpoint as after a command.
    let mut acks = harness.inbox.iter().map(harness::Received::json).filter(|got| got["msg"] == 44);
    let end = acks.next().unwrap();
    assert_eq!((&end["resp_id"], &end["body"]["state"]["ho"]), (&Value::Null, &json!(1)));
    assert_eq!(acks.next().unwrap()["body"]["state"]["sp"], 21);
    // A command to follow the schedule applies the setpoint in force, unless it contains a setpoint.
    command(&mut harness, 4, id("f6"), &json!({ "tm": -1, "ho": 1 }));
    assert_eq!((setpoint(&harness, id("f6")), harness.cloud.held(id("f6")).unwrap().hold), (21.0, false));
    command(&mut harness, 5, id("f6"), &json!({ "tm": -1, "ho": 1, "sp": 22 }));
    assert_eq!(setpoint(&harness, id("f6")), 22.0);
    // An end in the past is not a hold.
    command(&mut harness, 6, id("f6"), &json!({ "tm": WALL, "ho": 1 }));
    assert_eq!((setpoint(&harness, id("f6")), harness.cloud.held(id("f6")).unwrap().hold_end), (21.0, None));
    pass_to(&mut harness, NEXT + 5);
    assert_eq!((setpoint(&harness, id("f6")), setpoint(&harness, id("f8"))), (17.0, 17.0));
}

#[test]
fn schedule_and_hold_survive_a_reboot() {
    let mut harness = harness();
    command(&mut harness, 1, id("f6"), &json!({ "tm": WALL + EVENT as i64 + 60, "ho": 1, "sp": 23 }));
    command(&mut harness, 2, id("f8"), &json!({ "tm": -1, "ho": 2 }));
    for device in [id("f6"), id("f8")] {
        harness.cloud.act(at(harness.now), Incident::Reboot(device));
    }
    pass_to(&mut harness, EVENT + 30);
    assert_eq!((setpoint(&harness, id("f6")), setpoint(&harness, id("f8"))), (23.0, 25.0));
    assert_eq!(
        (harness.cloud.truth(id("f6")).unwrap().boots, harness.cloud.held(id("f8")).unwrap().hold),
        (2, true)
    );
    pass_to(&mut harness, EVENT + 65);
    assert_eq!(setpoint(&harness, id("f6")), 21.0);

    // Values that it misses without power or Wi-Fi, or while it boots, are sent afterwards.
    command(&mut harness, 3, id("f8"), &json!({ "tm": -1, "ho": 1 }));
    assert_eq!(setpoint(&harness, id("f8")), 21.0);
    let lasts = |device, fault| {
        Window::new(
            Duration::from_secs(NEXT - 600),
            Duration::from_secs(NEXT + 600),
            Fault::Device(Some(device), fault),
        )
    };
    harness.cloud.add_fault(lasts(id("f6"), DeviceFault::Powerless));
    harness.cloud.add_fault(lasts(id("f8"), DeviceFault::Offline));
    pass_to(&mut harness, NEXT + 599);
    assert_eq!((setpoint(&harness, id("f6")), setpoint(&harness, id("f8"))), (21.0, 21.0));
    pass_to(&mut harness, NEXT + 606);
    assert_eq!((setpoint(&harness, id("f6")), setpoint(&harness, id("f8"))), (17.0, 17.0));
    assert_eq!(harness.cloud.truth(id("f6")).unwrap().boots, 3);
}

#[test]
fn the_routes_and_the_thermostat_agree() {
    let mut harness = harness();
    let tokens = harness.sign_in();
    let iso = |secs: u64| {
        format!("2026-01-02T{:02}:{:02}:{:02}.000Z", 3 + secs / 3_600, 4 + secs % 3_600 / 60, 5 + secs % 60)
    };
    assert_eq!(hold(&mut harness, &tokens, id("f6")).0, 404);
    let new = |kind: &str, end: Value| {
        json!({ "deviceId": "a0b1c2d3e4f6", "holdType": kind, "startTime": iso(10), "endTime": end,
            "state": { "targetHeat": { "setpoint": 22 } } })
    };
    for bad in [new("temporary", json!(iso(10))), new("temporary", Value::Null), new("seasonal", Value::Null)]
    {
        assert_eq!(harness.rest(&tokens, BACKEND, "POST", "/schedule/hold", Some(&bad)).0, 400, "{bad}");
    }
    let request = new("temporary", json!(iso(3_600)));
    let (status, created) = harness.rest(&tokens, BACKEND, "POST", "/schedule/hold", Some(&request));
    assert_eq!(
        (status, hold(&mut harness, &tokens, id("f6")).1["holdId"].clone()),
        (201, created["holdId"].clone())
    );
    // Until then, only the route knows of it, and it can be taken back.
    pass_to(&mut harness, 9);
    assert_eq!((setpoint(&harness, id("f6")), harness.cloud.held(id("f6")).unwrap().hold_end), (19.0, None));
    let target = "/schedule/hold/a0b1c2d3e4f6";
    assert_eq!(harness.rest(&tokens, BACKEND, "DELETE", target, None).0, 200);
    assert_eq!(hold(&mut harness, &tokens, id("f6")).0, 404);
    harness.pass(Duration::from_secs(3));
    assert_eq!(setpoint(&harness, id("f6")), 19.0);
    assert_eq!(harness.cloud.command_records(id("f6")).count(), 0, "it is sent nothing");
    let request = json!({ "startTime": iso(20), "deviceId": "a0b1c2d3e4f6", "holdType": "temporary",
        "endTime": iso(3_600), "state": { "targetHeat": { "setpoint": 22 } } });
    let (_, created) = harness.rest(&tokens, BACKEND, "POST", "/schedule/hold", Some(&request));
    pass_to(&mut harness, 19);
    assert_eq!(setpoint(&harness, id("f6")), 19.0);
    for secs in [22, 40] {
        pass_to(&mut harness, secs);
        let held = harness.cloud.held(id("f6")).unwrap();
        assert_eq!((setpoint(&harness, id("f6")), held.hold_end.unwrap().as_secs()), (22.0, WALL + 3_600));
        let shown = hold(&mut harness, &tokens, id("f6")).1;
        assert_eq!((&shown["holdId"], &shown["endTime"]), (&created["holdId"], &json!(iso(3_600))));
        assert_eq!(shown["holdType"], "temporary");
    }
    // Without a command of its own, the route follows what the thermostat reports.
    command(&mut harness, 1, id("f6"), &json!({ "tm": -1, "ho": 2 }));
    let shown = hold(&mut harness, &tokens, id("f6")).1;
    assert_eq!((&shown["holdType"], &shown["endTime"]), (&json!("permanent"), &Value::Null));
    assert_ne!(shown["holdId"], created["holdId"]);
    assert_eq!(shown["state"]["targetHeat"]["setpoint"], 22);
    assert_eq!(harness.rest(&tokens, BACKEND, "DELETE", "/schedule/hold/a0b1c2d3e4f6", None).0, 200);
    harness.pass(Duration::from_secs(3));
    assert_eq!(
        (hold(&mut harness, &tokens, id("f6")).0, harness.cloud.held(id("f6")).unwrap().hold),
        (404, false)
    );
    assert_eq!(setpoint(&harness, id("f6")), 17.0, "in force since last Friday");
    assert_eq!(harness.rest(&tokens, BACKEND, "DELETE", "/schedule/hold/a0b1c2d3e4f6", None).0, 404);
    command(&mut harness, 2, id("f6"), &json!({ "tm": WALL + EVENT as i64 - 60, "ho": 1 }));
    assert_eq!(hold(&mut harness, &tokens, id("f6")).1["holdType"], "temporary");
    pass_to(&mut harness, EVENT - 50);
    let tokens = harness.sign_in();
    assert_eq!(hold(&mut harness, &tokens, id("f6")).0, 404, "it has ended");
}

#[test]
fn a_changed_schedule_is_run() {
    let mut harness = harness();
    let tokens = harness.sign_in();
    let all = harness.get(&tokens, "/schedule?homeId=x");
    let of = |device: &str| {
        all.as_array().unwrap().iter().find(|one| one["deviceIds"][0] == device).unwrap().clone()
    };
    let (mut kitchen, bathroom) = (of("a0b1c2d3e4f6"), of("a0b1c2d3e4f8"));
    assert_eq!((all.as_array().unwrap().len(), kitchen["events"].as_array().unwrap().len()), (2, 2));
    kitchen["events"][1]["state"]["targetHeat"]["setpoint"] = json!(24);
    let path = |schedule: &Value, rest: &str| format!("/schedule/{}{rest}", schedule["id"].as_str().unwrap());
    assert_eq!(harness.rest(&tokens, BACKEND, "PUT", &path(&kitchen, ""), Some(&kitchen)).0, 200);
    let detach = path(&bathroom, "/attach/a0b1c2d3e4f8");
    assert_eq!(harness.rest(&tokens, BACKEND, "DELETE", &detach, None).0, 200);
    let mut lite = kitchen.clone();
    lite["deviceIds"] = json!(["a0b1c2d3e4f7"]);
    assert_eq!(harness.rest(&tokens, BACKEND, "POST", "/schedule", Some(&lite)).0, 201);
    pass_to(&mut harness, EVENT + 5);
    let all = ["f6", "f7", "f8"].map(|last| setpoint(&harness, id(last)));
    assert_eq!(all, [24.0, 24.0, 25.0]);
}

#[test]
fn the_routes_of_the_second_generation_show_and_change_the_same_schedules() {
    let mut harness = harness();
    let tokens = harness.sign_in();
    let user = harness.get(&tokens, "/users")["User"]["Id"].clone();
    let shown = harness.get(&tokens, "/schedules/v2/a0b1c2d3e4f6");
    let all = harness.get(&tokens, "/schedule?homeId=x");
    let known = all.as_array().unwrap().iter().find(|one| one["deviceIds"][0] == "a0b1c2d3e4f6").unwrap();
    assert_eq!(
        shown,
        json!({
            "Id": known["id"], "Version": "3.0.0", "Owner": user,
            "Events": { "5": { "390": { "BB2": "3|21|%|%|%|%|%" }, "510": { "BB2": "3|17|%|%|%|%|%" } } },
        })
    );
    let none = "/schedules/v2/a0b1c2d3e4f7";
    assert_eq!(harness.rest(&tokens, BACKEND, "GET", none, None).0, 404);
    assert_eq!(harness.rest(&tokens, BACKEND, "GET", "/schedules/v2/ffffffffffff", None).0, 404);
    // As an app writes it, for a thermostat that had another schedule and for one that had none.
    let write = |id: &str, events: Value, devices: Value| {
        json!({
            "Schedule": { "Id": id, "Version": "3.0.0", "Owner": user, "Events": events }, "Devices": devices,
            "Model": "BB-V2-0-L",
        })
    };
    let events =
        json!({ "5": { "390": { "BB2L": "3|22.5|%|%|%|%|%" }, "420": { "BB2L": "1|%|%|%|%|%|%" } } });
    let both = json!(["a0b1c2d3e4f7", "a0b1c2d3e4f6"]);
    let new = write("s-1", events.clone(), both);
    let (status, stored) = harness.rest(&tokens, BACKEND, "POST", "/schedules/v2/", Some(&new));
    assert_eq!((status, &stored), (200, &new["Schedule"]));
    // A thermostat has one schedule, which is the same for all of its thermostats.
    for path in [none, "/schedules/v2/a0b1c2d3e4f6"] {
        assert_eq!(harness.get(&tokens, path), new["Schedule"]);
    }
    pass_to(&mut harness, EVENT + 5);
    assert_eq!(["f6", "f7"].map(|last| setpoint(&harness, id(last))), [22.5, 22.5]);
    pass_to(&mut harness, EVENT + 1_805);
    for last in ["f6", "f7"] {
        assert_eq!(harness.cloud.truth(id(last)).unwrap().mode, mysa_sim::Mode::Off);
    }
    let tokens = harness.sign_in();
    for (bad, status) in [
        (write("", events.clone(), json!(["a0b1c2d3e4f7"])), 400),
        (write("s-2", json!([]), json!(["a0b1c2d3e4f7"])), 400),
        (write("s-2", json!({ "7": { "0": { "BB2L": "3|20" } } }), json!(["a0b1c2d3e4f7"])), 400),
        (write("s-2", json!({ "0": { "1440": { "BB2L": "3|20" } } }), json!(["a0b1c2d3e4f7"])), 400),
        (write("s-2", json!({ "0": { "0": { "BB2L": "9|20" } } }), json!(["a0b1c2d3e4f7"])), 400),
        (write("s-2", json!({ "0": { "0": { "BB2L": "3|99" } } }), json!(["a0b1c2d3e4f7"])), 400),
        (write("s-2", events.clone(), json!(["ffffffffffff"])), 404),
        (write("s-2", events.clone(), json!([])), 404),
    ] {
        assert_eq!(harness.rest(&tokens, BACKEND, "POST", "/schedules/v2/", Some(&bad)).0, status, "{bad}");
    }
    let gone = json!({ "Devices": ["a0b1c2d3e4f7"] });
    assert_eq!(harness.rest(&tokens, BACKEND, "DELETE", "/schedules/v2/s-1", Some(&gone)).0, 200);
    assert_eq!(harness.rest(&tokens, BACKEND, "GET", none, None).0, 404);
    assert_eq!(harness.get(&tokens, "/schedules/v2/a0b1c2d3e4f6")["Id"], "s-1");
    assert_eq!(harness.rest(&tokens, BACKEND, "DELETE", "/schedules/v2/s-1", Some(&json!({}))).0, 200);
    assert_eq!(harness.rest(&tokens, BACKEND, "GET", "/schedules/v2/a0b1c2d3e4f6", None).0, 404);
    assert_eq!(harness.rest(&tokens, BACKEND, "DELETE", "/schedules/v2/s-1", Some(&json!({}))).0, 404);
}
