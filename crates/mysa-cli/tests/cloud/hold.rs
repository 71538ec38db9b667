//! `mysa hold`, and `mysa set --hold`.

use mysa_proto::DeviceId;
use mysa_sim::{CloudSpec, Endpoint, Fault, HttpFault};
use serde_json::{Value, json};

use crate::bench::{BEDROOM, Bench, FLOOR, KITCHEN};

/// True hold of a thermostat: permanent, and the end in Unix seconds.
fn held(bench: &Bench, id: &str) -> (bool, Option<i64>) {
    let id = DeviceId::new(id).unwrap();
    let held = bench.server().with_cloud(|cloud, _| cloud.held(id).unwrap());
    (held.hold, held.hold_end.map(mysa_proto::UnixTime::as_secs))
}

fn wall(bench: &Bench) -> i64 {
    bench.server().with_cloud(|_, now| now.wall.as_secs())
}

/// End of the hold that a command would send, in Unix seconds.
fn planned(bench: &Bench, args: &[&str]) -> i64 {
    let ran = bench.run(&[args, &["--dry-run", "--json"]].concat()).ok();
    let document = ran.json().remove(0);
    let payload: Value = serde_json::from_str(document["payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload["body"]["cmd"][0]["ho"], 1, "{document}");
    payload["body"]["cmd"][0]["tm"].as_i64().unwrap()
}

fn local(secs: i64) -> String {
    let at = jiff::Timestamp::from_second(secs).unwrap();
    let zone = jiff::tz::TimeZone::get("America/Halifax").unwrap();
    zone.to_datetime(at).to_string()
}

#[test]
fn a_hold_is_shown_and_changed() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["hold", "kitchen"]).ok();
    assert_eq!(ran.out, "Kitchen (BB-V2-0)\n  follows its schedule\n", "{ran:?}");
    let ran = bench.run(&["hold", "kitchen", "on", "--dry-run"]).ok();
    assert!(ran.out.contains("hold: follow schedule → permanent"), "{ran:?}");
    assert!(ran.out.contains("it holds hold follow schedule"), "{ran:?}");
    assert_eq!(held(&bench, KITCHEN), (false, None));

    let ran = bench.run(&["hold", "kitchen", "on"]).ok();
    assert!(
        ran.out.contains("confirmed by the thermostat") && ran.out.contains("it holds hold permanent"),
        "{ran:?}"
    );
    assert_eq!(held(&bench, KITCHEN), (true, None));
    let ran = bench.run(&["hold", "kitchen"]).ok();
    assert!(ran.out.ends_with("  holds its setpoint until the next change\n"), "{ran:?}");

    // Another process does not know the command.
    let ran = bench.run(&["hold", "kitchen", "follow", "--dry-run"]).ok();
    assert!(ran.out.contains("hold: permanent → follow schedule"), "{ran:?}");

    let before = wall(&bench);
    let document = bench.run(&["hold", "kitchen", "until", "+2h", "--json"]).ok().json().remove(0);
    let end = held(&bench, KITCHEN).1.unwrap();
    assert!((before + 7_200..=wall(&bench) + 7_200).contains(&end), "{document}");
    assert_eq!((&document["verdict"], &document["exit_code"]), (&json!("confirmed"), &json!(0)));
    let local_end = document["requested"]["hold_end"].as_str().unwrap();
    assert!(local_end.starts_with(&local(end)), "{document}");
    let shown = bench.run(&["hold", "kitchen", "--json"]).ok().json().remove(0);
    assert_eq!((&shown["hold_end"], &shown["time_zone"]), (&json!(local_end), &json!("America/Halifax")));
    assert_eq!(shown["hold"], document["held"]["hold"], "{shown}");
    let ran = bench.run(&["hold", "kitchen"]).ok();
    assert!(
        ran.out.contains(&format!("holds its setpoint until {} ", local(end).replace('T', " "))),
        "{ran:?}"
    );

    let document = bench.run(&["hold", "kitchen", "follow", "--json"]).ok().json().remove(0);
    assert_eq!(held(&bench, KITCHEN), (false, None));
    assert_eq!(document["before"]["hold_end"], json!(local_end), "{document}");
    assert_eq!(document["held"]["hold"], "follow schedule", "{document}");
    let shown = bench.run(&["hold", "kitchen", "--json"]).ok().json().remove(0);
    assert_eq!((&shown["hold"], &shown["hold_end"]), (&json!("follow schedule"), &Value::Null));
}

#[test]
fn a_hold_that_cannot_be_read_is_unknown_and_changed_all_the_same() {
    let bench = Bench::signed_in();
    let route = Endpoint::Path("/schedule/hold".into());
    for (fault, why) in [
        (HttpFault::Status(500), "HTTP 500"),
        (HttpFault::Throttle(300), "try again in 300 s"),
        (HttpFault::Html(404), "a web page answered"),
        (HttpFault::Hang, "did not answer in time"),
    ] {
        bench.server().with_cloud(|cloud, _| cloud.clear_faults());
        bench.fault(Fault::Http(route.clone(), fault.clone()));
        let ran = match fault {
            // The limit is for the whole command.
            HttpFault::Hang => bench.run(&["hold", "kitchen", "on", "--dry-run"]),
            _ => bench.run(&["hold", "kitchen", "on"]),
        };
        let ran = ran.ok();
        assert!(ran.err.contains("the present hold cannot be read") && ran.err.contains(why), "{ran:?}");
        assert!(ran.out.contains("hold: unknown → permanent"), "{ran:?}");
        assert!(held(&bench, KITCHEN).0);
    }
}

#[test]
fn several_holds_are_read_at_once() {
    let bench = Bench::signed_in();
    bench.run(&["hold", "kitchen", "on"]).ok();
    let args = ["set", "kitchen", "bathroom", "--hold", "on", "--dry-run", "--json"];
    let document = bench.run(&args).ok().json().remove(0);
    let before: Vec<&Value> =
        document["devices"].as_array().unwrap().iter().map(|device| &device["before"]["hold"]).collect();
    assert_eq!(before, [&json!("permanent"), &json!("follow schedule")], "{document}");
}

#[test]
fn the_end_of_a_hold_is_in_the_time_of_the_home() {
    let bench = Bench::signed_in();
    let before = wall(&bench);
    let end = planned(&bench, &["hold", "kitchen", "until", "22:30"]);
    assert!(
        local(end).ends_with("T22:30:00") && (before + 1..=wall(&bench) + 90_000).contains(&end),
        "{}",
        local(end)
    );
    let day = local(wall(&bench) + 3 * 86_400);
    let day = day.split_once('T').unwrap().0;
    let end = planned(&bench, &["set", "kitchen", "--hold", &format!("{day}T07:15")]);
    assert_eq!(local(end), format!("{day}T07:15:00"));
    let ran = bench.run(&["hold", "kitchen", "until", "2026-01-01T22:30"]).fails(2);
    assert!(ran.err.contains("2026-01-01 22:30:00 -04:00 has passed"), "{ran:?}");

    // Without the zone, only a time that does not need it is accepted.
    let mut spec = CloudSpec::demo();
    for device in &mut spec.accounts[0].homes[0].devices {
        device.record.insert("TimeZone".into(), json!("Mars/Olympus"));
    }
    let bench = Bench::with(spec);
    bench.log_in().ok();
    let ran = bench.run(&["hold", "kitchen", "until", "22:30"]).fails(1);
    assert!(
        ran.err.contains("time zone of the thermostat is not known: use a time from now such as +2h"),
        "{ran:?}"
    );
    assert_eq!(held(&bench, KITCHEN), (false, None));
    bench.run(&["hold", "kitchen", "until", "+90m"]).ok();
    assert!(held(&bench, KITCHEN).1.is_some());
}

#[test]
fn set_changes_a_hold_in_the_same_way() {
    let bench = Bench::signed_in();
    bench.run(&["set", "bathroom", "--hold", "+1h", "--temp", "24"]).ok();
    assert_eq!((held(&bench, FLOOR).0, bench.setpoint(FLOOR)), (false, 24.0));
    assert!(held(&bench, FLOOR).1.is_some());
    // Its acknowledgements do not contain the end; the answer of the route does.
    let shown = bench.run(&["hold", "bathroom", "--json"]).ok().json().remove(0);
    assert!(shown["hold"].as_str().unwrap().starts_with("until "), "{shown}");
    bench.run(&["set", "bathroom", "--hold", "on"]).ok();
    assert_eq!(held(&bench, FLOOR), (true, None));
    bench.run(&["set", "bathroom", "--hold", "off"]).ok();
    assert_eq!(held(&bench, FLOOR), (false, None));
}

#[test]
fn a_thermostat_without_holds_is_refused_before_anything_is_shown() {
    let bench = Bench::signed_in();
    for args in [
        &["hold", "bedroom", "on"][..],
        &["hold", "living", "until", "+2h"],
        &["hold", "office", "follow", "--dry-run"],
        &["set", "bedroom", "--hold", "on"],
        &["set", "bedroom", "--hold", "off", "--temp", "21"],
    ] {
        let ran = bench.run(args).fails(7);
        assert!(ran.err.contains("refused: ") && ran.err.contains("has no hold over MQTT"), "{ran:?}");
        assert!(!ran.err.contains("unknown") && ran.out.is_empty(), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
    let document = bench.run(&["hold", "bedroom", "on", "--json"]).fails(7).json().remove(0);
    assert_eq!((&document["verdict"], &document["sent"]), (&json!("refused"), &Value::Null));
    let ran = bench.run(&["hold", "bedroom"]).fails(7);
    assert!(ran.err.contains("Bedroom (BB-V2-0-L) has no hold"), "{ran:?}");
    assert_eq!(held(&bench, BEDROOM), (false, None));
}

#[test]
fn an_invalid_action_is_refused_at_once() {
    let bench = Bench::new();
    for (args, why) in [
        (&["hold", "kitchen", "off"][..], "expected follow, on, or until with a time"),
        (&["hold", "kitchen", "until"], "expected follow, on, or until with a time"),
        (&["hold", "kitchen", "until", "tomorrow"], "invalid time 'tomorrow': expected one such as 22:30"),
        (&["hold", "kitchen", "--dry-run"], "options for sending need an action"),
        (&["set", "kitchen", "--hold", "maybe"], "invalid --hold 'maybe': expected on, off, or the end"),
    ] {
        let ran = bench.run(args).fails(2);
        assert!(ran.err.contains(why), "{ran:?}");
    }
}
