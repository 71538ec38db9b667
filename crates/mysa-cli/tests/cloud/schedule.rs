//! `mysa schedule`.

use mysa_sim::{CloudSpec, Endpoint, Fault, HttpFault};
use serde_json::{Value, json};

use crate::bench::Bench;

fn events(document: &Value) -> Vec<Value> {
    document["schedules"][0]["events"].as_array().unwrap().clone()
}

#[test]
fn a_week_is_a_table_with_the_event_in_force_and_the_next_one() {
    let bench = Bench::with_schedules(CloudSpec::demo());
    bench.log_in().ok();
    let ran = bench.run(&["schedule", "kitchen"]).ok();
    assert!(
        ran.out.starts_with("Kitchen (BB-V2-0): Kitchen schedule, times in America/Halifax\nDAY  TIME"),
        "{ran:?}"
    );
    assert!(ran.out.contains("\nMon  06:30  20.5 °C  heat"), "{ran:?}");
    assert_eq!(
        (ran.out.matches("in force now").count(), ran.out.matches("next, ").count()),
        (1, 1),
        "{ran:?}"
    );

    let document = bench.run(&["schedule", "kitchen", "--json"]).ok().json().remove(0);
    assert_eq!((&document["schema"], &document["time_zone"]), (&json!(1), &json!("America/Halifax")));
    let events = events(&document);
    assert_eq!(events.len(), 5 * 4 + 2 * 2);
    assert!(events.is_sorted_by_key(|event| (event["weekday"].as_u64(), event["time"].as_str())));
    let next: Vec<&Value> = events.iter().filter(|event| event["is_next"] == true).collect();
    let [next] = next[..] else { panic!("{document}") };
    // The local times have the same form, so that they can be compared as texts on days without a clock change.
    let (now, at) = (document["now"].as_str().unwrap(), next["next"].as_str().unwrap());
    assert!(at > now || at[19..] != now[19..], "{now} {at}");
    assert!(at.contains(&format!("T{}:00", next["time"].as_str().unwrap())), "{next}");
    assert_eq!(events.iter().filter(|event| event["in_force"] == true).count(), 1);
    assert_eq!(events[0]["state"], json!({ "modes": { "mode": 4 }, "targetHeat": { "setpoint": 20.5 } }));

    bench.run(&["hold", "kitchen", "on"]).ok();
    let ran = bench.run(&["schedule", "kitchen"]).ok();
    assert!(ran.out.ends_with("the schedule is suspended by a hold: permanent\n"), "{ran:?}");
    let document = bench.run(&["schedule", "kitchen", "--json"]).ok().json().remove(0);
    assert_eq!(document["hold"], "permanent");

    bench.fault(Fault::Http(Endpoint::Path("/schedule/hold".into()), HttpFault::Status(500)));
    let ran = bench.run(&["schedule", "kitchen"]).ok();
    assert!(ran.out.contains("Mon") && ran.err.contains("the hold cannot be read"), "{ran:?}");
}

#[test]
fn a_thermostat_without_a_schedule_is_no_failure() {
    // The account has schedules, or none at all.
    for bench in [Bench::with_schedules(CloudSpec::demo()), Bench::new()] {
        bench.log_in().ok();
        let ran = bench.run(&["schedule", "living"]).ok();
        assert_eq!(ran.out, "Living room (BB-V1-1): no schedule\n", "{ran:?}");
        let document = bench.run(&["schedule", "living", "--json"]).ok().json().remove(0);
        assert_eq!(document["schedules"], json!([]));
        assert_eq!(document.get("hold"), None, "it has no hold");
    }
    Bench::signed_in().run(&["schedule", "nowhere"]).fails(2);
}
