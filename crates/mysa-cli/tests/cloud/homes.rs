//! `mysa homes`.

use mysa_sim::{AccountSpec, CloudSpec, DeviceSpec, Endpoint, Fault, HomeSpec, HttpFault};
use serde_json::json;

use crate::bench::{Bench, LIVING};

/// Two homes, of which the second is a day ahead.
pub(crate) fn two_homes() -> Bench {
    let mut spec = CloudSpec::demo();
    let account = &mut spec.accounts[0];
    account.homes[0].id = "22222222-2222-4222-8222-222222222222".into();
    account.homes[0].rate = "$0.075".into();
    account.homes[0].time_zone = "Pacific/Pago_Pago".into();
    let mut cabin = HomeSpec::new("Cabin");
    cabin.rate = String::new();
    cabin.time_zone = "Pacific/Kiritimati".into();
    cabin.devices.push(DeviceSpec::new("b0b1c2d3e4f5".parse().unwrap(), "BB-V1-1", "Hall"));
    account.homes.push(cabin);
    let bench = Bench::with(spec);
    bench.log_in().ok();
    bench
}

#[test]
fn homes_have_their_zones_rates_and_thermostats() {
    let bench = two_homes();
    let ran = bench.run(&["homes"]).ok();
    let maple = ran.out.lines().find(|line| line.contains("Maple Street 12")).unwrap();
    for part in ["Pacific/Pago_Pago", "$0.075 per kWh", "All rooms", "Living room, Kitchen, Bedroom"] {
        assert!(maple.contains(part), "{part}: {ran:?}");
    }
    let cabin = ran.out.lines().find(|line| line.contains("Cabin")).unwrap();
    assert!(cabin.contains("Pacific/Kiritimati") && cabin.contains("  -  "), "{ran:?}");

    let document = bench.run(&["homes", "--json"]).ok().json().remove(0);
    let homes = document["homes"].as_array().unwrap();
    assert_eq!(homes.len(), 2, "{document}");
    assert_eq!(homes[0]["id"], "22222222-2222-4222-8222-222222222222");
    assert_eq!((&homes[0]["rate_per_kwh"], &homes[0]["currency"]), (&json!(0.075), &json!("$")));
    assert!(homes[1]["rate_per_kwh"].is_null() && homes[1]["currency"].is_null(), "{document}");
    assert_eq!(homes[0]["zones"][0]["devices"][0], json!({ "id": LIVING, "name": "Living room" }));
    assert!(homes[0]["local_time"].as_str().unwrap().ends_with("-11:00"), "{document}");
    assert!(homes[1]["local_time"].as_str().unwrap().ends_with("+14:00"), "{document}");
    // Unknown fields are kept; fields with an address or a location are private.
    assert_eq!(homes[0]["extra"]["Address"]["Country"], "CA", "{document}");
    assert!(!document.to_string().contains("A1A 1A1"), "{document}");
    assert!(bench.run(&["homes", "--json", "--show-private"]).ok().out.contains("A1A 1A1"));
}

#[test]
fn odd_answers_are_shown_as_far_as_they_can_be_read() {
    let bench = Bench::signed_in();
    let body = json!({ "Homes": [
        { "Id": "h1", "ERate": "cheap", "Future": { "a": [1] },
          "Zones": [{ "Id": "z1", "Name": "Up", "DeviceIds": [LIVING], "Colour": "red" }, { "Id": "z2" }] },
        { "Name": "nobody knows" },
    ], "Next": 2 });
    let answer = HttpFault::Body(200, body.to_string().into_bytes());
    bench.fault(Fault::Http(Endpoint::Path("/homes".into()), answer));
    let ran = bench.run(&["homes", "--json"]).ok();
    let document = &ran.json()[0];
    let home = &document["homes"][0];
    assert_eq!((&home["id"], &home["name"]), (&json!("h1"), &json!(null)), "{document}");
    assert_eq!(home["extra"], json!({ "ERate": "cheap", "Future": { "a": [1] } }), "{document}");
    assert_eq!(home["zones"][0]["extra"]["Colour"], "red", "{document}");
    assert_eq!(home["zones"][0]["devices"][0]["id"], LIVING, "{document}");
    assert_eq!(document["devices_without_home"].as_array().unwrap().len(), 4, "{document}");
    assert_eq!(document["unreadable"][0]["Name"], "nobody knows", "{document}");
    assert_eq!(document["extra"]["Next"], 2, "{document}");
    let ran = bench.run(&["homes"]).ok();
    assert!(ran.err.contains("homes that could not be read: 1"), "{ran:?}");
    assert!(ran.out.contains("h1"), "{ran:?}");
}

#[test]
fn an_unknown_time_zone_is_reported() {
    let mut spec = CloudSpec::demo();
    spec.accounts[0].homes[0].time_zone = "Mars/Olympus".into();
    let bench = Bench::with(spec);
    bench.log_in().ok();
    let ran = bench.run(&["homes", "--json"]).ok();
    assert_eq!(ran.err, "the time zone 'Mars/Olympus' is unknown\n");
    let home = &ran.json()[0]["homes"][0];
    assert_eq!((&home["time_zone"], &home["local_time"]), (&json!("Mars/Olympus"), &json!(null)), "{home}");
    assert!(bench.run(&["homes"]).ok().out.contains("Mars/Olympus"));
}

#[test]
fn an_account_without_homes_has_an_empty_list() {
    let mut spec = CloudSpec::demo();
    spec.accounts[0] = AccountSpec::new(CloudSpec::DEMO_EMAIL, CloudSpec::DEMO_PASSWORD);
    let bench = Bench::with(spec);
    bench.log_in().ok();
    let document = bench.run(&["homes", "--json"]).ok().json().remove(0);
    assert_eq!(document["homes"], json!([]));
}
