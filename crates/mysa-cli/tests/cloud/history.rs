//! `mysa history`.

use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{CloudSpec, Endpoint, Fault, HttpFault, Incident, Mode};
use serde_json::{Value, json};

use crate::bench::{Bench, LIVING, wait_until};

/// Runs the command until the cloud has seen this many changes.
fn changes(bench: &Bench, count: usize, args: &[&str]) -> Value {
    let mut document = Value::Null;
    wait_until("the changes", || {
        let ran = bench.run(&[&["history", "living", "--json"], args].concat()).ok();
        document = ran.json().remove(0);
        document["changes"].as_array().unwrap().len() >= count
    });
    document
}

#[test]
fn a_change_is_shown_with_its_author() {
    let mut spec = CloudSpec::demo();
    spec.accounts[0].homes[0].time_zone = "Pacific/Kiritimati".into();
    let bench = Bench::with(spec);
    bench.log_in().ok();
    let living = DeviceId::new(LIVING).unwrap();
    let ran = bench.run(&["history", "living"]).ok();
    assert!(ran.out.is_empty() && ran.err.contains("Living room: no changes since "), "{ran:?}");

    bench.run(&["set", "living", "--temp", "22"]).ok();
    changes(&bench, 1, &[]);
    bench.server().with_cloud(|cloud, now| cloud.press(now, living, Celsius::from_degrees(17.0), None));
    changes(&bench, 2, &[]);
    let act = |incident| bench.server().with_cloud(|cloud, now| cloud.act(now, incident));
    act(Incident::Schedule(living, 21.0, None));
    changes(&bench, 3, &[]);
    act(Incident::OtherApp(living, Some(19.0), Some(Mode::Off)));
    let document = changes(&bench, 5, &[]);

    assert_eq!(
        (&document["route"], &document["time_zone"], &document["id"]),
        (&"state-history".into(), &"Pacific/Kiritimati".into(), &LIVING.into())
    );
    let all = document["changes"].as_array().unwrap();
    let setpoints: Vec<_> = all.iter().filter(|change| change["setting"] == "setpoint").collect();
    let shown: Vec<_> =
        setpoints.iter().map(|change| (&change["after_c"], change["by"].as_str().unwrap())).collect();
    assert_eq!(
        shown,
        [
            (&json!(22.0), "app"),
            (&json!(17.0), "thermostat"),
            (&json!(21.0), "schedule"),
            (&json!(19.0), "app")
        ],
        "{document}"
    );
    assert_eq!((&setpoints[0]["before_c"], &setpoints[1]["before_c"]), (&json!(null), &json!(22.0)));
    let mode = all.iter().find(|change| change["setting"] == "mode").unwrap();
    assert_eq!((&mode["after"], &mode["source"]), (&json!("off"), &json!("app")), "{document}");
    assert!(all.iter().all(|change| change["time"].as_str().unwrap().ends_with("+14:00")), "{document}");

    // Midnight may have passed since the changes.
    let table = bench.run(&["history", "living", "--days", "2"]).ok().out;
    assert!(table.contains("22.0 °C  17.0 °C  thermostat") && table.contains(" +14:00  mode "), "{table}");

    // The older route has only the setpoints, and numbers for the authors.
    bench.fault(Fault::Http(Endpoint::Path("/state/history".into()), HttpFault::Status(404)));
    let ran = bench.run(&["history", "living", "--json"]).ok();
    assert!(ran.err.contains("the history of all settings cannot be read (HTTP 404)"), "{ran:?}");
    let document = ran.json().remove(0);
    assert_eq!(document["route"], "setpoints");
    let all = document["changes"].as_array().unwrap();
    let shown: Vec<_> =
        all.iter().map(|change| (&change["before_c"], &change["source"], &change["by"])).collect();
    assert_eq!(
        shown,
        [
            (&json!(20.5), &json!(3), &json!("app")),
            (&json!(22.0), &json!(1), &json!("thermostat")),
            (&json!(17.0), &json!(0), &json!(null)),
            (&json!(21.0), &json!(3), &json!("app")),
        ],
        "{document}"
    );
}

#[test]
fn days_and_names_that_make_no_sense_are_refused() {
    let bench = Bench::signed_in();
    for args in [
        &["history"][..],
        &["history", "nobody"],
        &["history", "living", "--days", "0"],
        &["history", "living", "--since", "2026-02-30"],
        &["history", "living", "--since", "9999-01-01"],
        &["history", "living", "--since", "2026-01-01", "--days", "2"],
    ] {
        bench.run(args).fails(2);
    }
    bench.run(&["history", "living", "--since", "2026-01-01", "--json"]).ok();
}

#[test]
fn a_history_that_no_route_has_is_a_failure() {
    let bench = Bench::signed_in();
    for path in ["/state/history", "/energy/setpoints"] {
        bench.fault(Fault::Http(Endpoint::Path(path.into()), HttpFault::Status(403)));
    }
    let ran = bench.run(&["history", "living"]).fails(1);
    assert!(ran.err.contains("403"), "{ran:?}");
}
