//! `mysa energy`: local days and hours, and the cost.

use std::time::{SystemTime, UNIX_EPOCH};

use mysa_sim::CloudSpec;
use serde_json::{Value, json};

use crate::bench::{Bench, LIVING};
use crate::homes::two_homes;

/// A home in Halifax with a history since December 2024, and this rate.
fn halifax(rate: &str) -> Bench {
    const DECEMBER_2024: u64 = 1_733_011_200;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let mut spec = CloudSpec::demo();
    spec.history_days = u32::try_from(now.saturating_sub(DECEMBER_2024) / 86_400).expect("fewer days");
    spec.accounts[0].homes[0].rate = rate.into();
    let bench = Bench::with(spec);
    bench.log_in().ok();
    bench
}

fn periods(device: &Value) -> Vec<&str> {
    device["energy"].as_array().unwrap().iter().map(|slot| slot["period"].as_str().unwrap()).collect()
}

fn energies(device: &Value) -> Vec<f64> {
    let slots = device["energy"].as_array().unwrap();
    slots.iter().map(|slot| slot["energy_kwh"].as_f64().unwrap_or(f64::NAN)).collect()
}

#[test]
fn a_day_on_which_the_clock_changes_has_23_or_25_hours() {
    let bench = halifax("0.15");
    for (day, hours) in [("2025-03-09", 23), ("2025-11-02", 25), ("2025-07-01", 24)] {
        let read = |by: &str| {
            let args = ["energy", "living", "--by", by, "--from", day, "--to", day, "--json"];
            bench.run(&args).ok().json().remove(0)["devices"][0].clone()
        };
        let (hour, whole) = (read("hour"), read("day"));
        assert_eq!(hour["time_zone"], "America/Halifax");
        assert_eq!(periods(&hour).len(), hours, "{day}: {hour}");
        // The hours are those of the day: nothing is missing, and nothing counts twice.
        let sum: f64 = energies(&hour).iter().sum();
        assert!((sum - energies(&whole)[0]).abs() < 0.001 * hours as f64, "{day}: {sum} {whole}");
        assert!(energies(&hour).iter().all(|energy| *energy >= 0.0), "{day}: {hour}");
    }
    let args = ["energy", "living", "--by", "hour", "--from", "2025-11-02", "--to", "2025-11-02"];
    let ran = bench.run(&args).ok();
    assert!(ran.out.contains("Sun 2025-11-02 01:00 ") && ran.out.contains("01:00 again"), "{ran:?}");
    let ran = bench.run(&[&args[..], &["--csv", "-"]].concat()).ok();
    assert!(ran.out.starts_with("hour,"), "{ran:?}");
    assert!(
        ran.out.contains("\r\n2025-11-02T01:00-03:00,") && ran.out.contains("\r\n2025-11-02T01:00-04:00,")
    );
    let ran = bench.run(&["energy", "--by", "hour", "--from", "2025-01-01", "--to", "2025-12-31"]).fails(2);
    assert!(ran.err.contains("92 days"), "{ran:?}");
}

#[test]
fn weeks_are_those_of_iso_8601() {
    let bench = halifax("0.15");
    let read = |by: &str, from: &str, to: &str| {
        let args = ["energy", "living", "--by", by, "--from", from, "--to", to, "--json"];
        bench.run(&args).ok().json().remove(0)["devices"][0].clone()
    };
    let weeks = read("week", "2024-12-23", "2025-01-05");
    assert_eq!(periods(&weeks), ["2024-W52", "2025-W01"]);
    let days = energies(&read("day", "2024-12-23", "2025-01-05"));
    let sums: Vec<f64> = days.chunks(7).map(|week| week.iter().sum()).collect();
    for (week, sum) in energies(&weeks).into_iter().zip(sums) {
        assert!((week - sum).abs() < 0.01, "{week} {sum}");
    }
    let usual = bench.run(&["energy", "--by", "week", "--json"]).ok().json().remove(0);
    assert_eq!(periods(&usual["devices"][0]).len(), 12);
}

#[test]
fn the_cost_is_by_the_rate_of_the_home() {
    let bench = halifax("$0.075");
    let args = ["energy", "living", "--from", "2025-01-01", "--to", "2025-01-31"];
    let document = bench.run(&[&args[..], &["--json"]].concat()).ok().json().remove(0);
    let device = &document["devices"][0];
    assert_eq!((&device["rate_per_kwh"], &device["currency"]), (&json!(0.075), &json!("$")));
    for slot in device["energy"].as_array().unwrap() {
        let (energy, cost) = (slot["energy_kwh"].as_f64().unwrap(), slot["cost"].as_f64().unwrap());
        // The cost is that of the energy before it is rounded to three digits.
        assert!((cost - energy * 0.075).abs() < 0.0001, "{slot}");
    }
    let total = document["total_energy_kwh"].as_f64().unwrap();
    let cost = document["homes"][0]["total_cost"].as_f64().unwrap();
    assert!(total > 100.0 && (cost - total * 0.075).abs() < 0.001, "{document}");
    let ran = bench.run(&args).ok();
    let last = ran.out.lines().last().unwrap();
    assert_eq!(last, format!("total {total:.1} kWh, cost ${cost:.2} at $0.075 per kWh"));
    for args in [&["--json"][..], &["--csv", "-"], &["--svg", "-"], &[]] {
        let ran = bench.run(&[&["energy", "living"], args].concat()).ok();
        assert!(!ran.out.contains("-0.0") && !ran.out.contains("000000"), "{ran:?}");
    }
    let ran = bench.run(&[&args[..], &["--csv", "-"]].concat()).ok();
    assert!(
        ran.out.starts_with(&format!(
            "day,\"Living room ({LIVING}) kWh\",\"Living room ({LIVING}) cost $\"\r\n"
        ))
    );

    let ran = halifax("").run(&args).ok();
    assert!(!ran.out.contains("cost"), "a home without a rate has no cost: {ran:?}");
}

#[test]
fn each_home_has_its_own_days() {
    let bench = two_homes();
    let document = bench.run(&["energy", "--json"]).ok().json().remove(0);
    let devices = document["devices"].as_array().unwrap();
    let known =
        |device: &Value| -> Vec<bool> { energies(device).iter().map(|energy| !energy.is_nan()).collect() };
    let (behind, ahead) = (known(&devices[0]), known(&devices[devices.len() - 1]));
    // Each home has 14 days, and UTC-11 and UTC+14 are never on one day.
    let apart = behind.len() - 14;
    assert!(apart == 1 || apart == 2, "{document}");
    assert!(behind[0] && behind[14..].iter().all(|known| !known), "{document}");
    assert!(ahead[apart] && ahead[..apart].iter().all(|known| !known), "{document}");
    let ran = bench.run(&["energy"]).ok();
    let total = ran.out.lines().last().unwrap();
    assert!(total.contains("; Maple Street 12: ") && total.ends_with("no rate"), "{ran:?}");
}

#[test]
fn an_unreadable_time_zone_is_reported() {
    let mut spec = CloudSpec::demo();
    for (device, zone) in
        spec.accounts[0].homes[0].devices.iter_mut().zip([json!("Mars/Olympus"), Value::Null])
    {
        device.record.insert("TimeZone".into(), zone);
    }
    let bench = Bench::with(spec);
    bench.log_in().ok();
    let ran = bench.run(&["energy", "--json"]).ok();
    assert!(
        ran.err.contains(
            "Living room: the time zone 'Mars/Olympus' is unknown; its days are those of America/Halifax"
        ),
        "{ran:?}"
    );
    assert!(ran.err.contains("Kitchen: the cloud gives no time zone"), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 2, "{ran:?}");
    let devices = &ran.json()[0]["devices"];
    assert_eq!(
        (&devices[0]["time_zone_known"], &devices[2]["time_zone_known"]),
        (&false.into(), &true.into())
    );
    assert_eq!(devices[0]["time_zone"], "America/Halifax");
}
