//! Serial numbers, and the look-up of the broker's host, at the control plane of AWS IoT.

use mysa_sim::{CloudSpec, Endpoint, Fault, HttpFault};
use serde_json::Value;

use crate::bench::{Bench, HANG_SECONDS, LIVING};
use crate::common::Ran;

const OTHER_HOST: &str = "a1b2c3-ats.iot.us-east-1.amazonaws.com";

fn denied() -> Fault {
    Fault::Http(Endpoint::IotControl, HttpFault::Status(403))
}

/// Members `serial` of all thermostats; a member that is missing is an error.
fn serials(ran: &Ran) -> Vec<Value> {
    let document = ran.json().remove(0);
    let devices = document["devices"].as_array().unwrap();
    devices.iter().map(|device| device.get("serial").unwrap().clone()).collect()
}

/// Result and finding of a step of `mysa doctor --json`.
fn step(ran: &Ran, name: &str) -> (String, String) {
    let document = ran.json().remove(0);
    let steps = document["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("{name}: {document}"));
    let text = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
    (text("result"), text("found"))
}

#[test]
fn devices_show_serial_numbers_when_asked() {
    let bench = Bench::signed_in();
    let plain = bench.run(&["devices", "--json"]).ok().json().remove(0);
    assert!(plain["devices"][0].get("serial").is_none(), "{plain}");
    assert!(!bench.run(&["devices"]).ok().out.contains("SERIAL"));

    let ran = bench.run(&["devices", "--serials", "--json"]).ok();
    let all = serials(&ran);
    assert_eq!(all.len(), 5);
    assert!(
        all.iter().all(|serial| serial.as_str().is_some_and(|serial| serial.starts_with("SN"))),
        "{all:?}"
    );
    let ran = bench.run(&["devices", "--serials"]).ok();
    assert!(
        ran.out.contains("SERIAL") && all.iter().all(|one| ran.out.contains(one.as_str().unwrap())),
        "{ran:?}"
    );

    bench.fault(denied());
    let ran = bench.run(&["devices", "--serials", "--json"]).ok();
    assert_eq!(serials(&ran), vec![Value::Null; 5]);
    let warnings: Vec<&str> = ran.err.lines().filter(|line| line.contains("serial numbers")).collect();
    assert!(
        matches!(warnings.as_slice(), [one] if one.contains("does not permit") && one.contains("403")),
        "{ran:?}"
    );
    let ran = bench.run(&["devices", "--serials"]).ok();
    let row = ran.out.lines().find(|line| line.contains(LIVING)).unwrap();
    assert!(row.trim_end().ends_with('-'), "{row}");

    bench.server().with_cloud(|cloud, _| cloud.clear_faults());
    bench.fault(Fault::Http(Endpoint::IotControl, HttpFault::Throttle(300)));
    let ran = bench.run(&["devices", "--serials"]).ok();
    assert!(ran.err.contains("serial numbers: too many requests: try again in 300 s"), "{ran:?}");
}

#[test]
fn the_broker_is_found_by_the_control_plane() {
    let mut spec = CloudSpec::demo();
    spec.names.iot_host = OTHER_HOST.into();
    let bench = Bench::with(spec);
    bench.log_in().ok();
    bench.home.run(&["config", "set", "environment.lookup-endpoint", "maybe"]).fails(2);
    bench.home.run(&["config", "set", "environment.lookup-endpoint", "true"]).ok();
    let status = bench.run(&["status", "--wait", HANG_SECONDS, "--json"]).ok().json().remove(0);
    assert_eq!(status["service"], "live", "{status}");
    let ran = bench.run(&["doctor", "--json"]);
    assert_eq!(step(&ran, "host of the broker"), ("ok".into(), format!("{OTHER_HOST}, looked up")));
}

#[test]
fn doctor_shows_where_the_host_of_the_broker_comes_from() {
    let bench = Bench::signed_in();
    let host = mysa_sim::Names::default().iot_host;
    let ran = bench.run(&["doctor", "--json"]).ok();
    assert_eq!(step(&ran, "host of the broker"), ("ok".into(), format!("{host}, configured")));

    bench.home.run(&["config", "set", "environment.lookup-endpoint", "true"]).ok();
    bench.fault(denied());
    let ran = bench.run(&["doctor", "--json"]).ok();
    let found = format!("{host}, configured: the look-up was refused (HTTP 403)");
    assert_eq!(step(&ran, "host of the broker"), ("warning".into(), found));
    assert_eq!(step(&ran, "MQTT CONNECT").0, "ok");
}
