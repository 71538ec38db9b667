//! `mysa watch --template`.

use std::collections::BTreeSet;

use mysa_sim::CloudSpec;

use crate::bench::{BEDROOM, Bench, LIVING};

#[test]
fn each_update_is_a_line_of_the_template() {
    let bench = Bench::signed_in();
    let template = "{name}: {room} °C {power} W {{{id}}}";
    let has_power = || {
        let ran = bench.watch_changes(&["living", "--count", "2", "--template", template]).ok();
        assert_eq!(ran.out.lines().count(), 2, "{ran:?}");
        let powers = ran.out.lines().map(|line| {
            let rest = line.strip_prefix("Living room: ").unwrap();
            let (room, rest) = rest.split_once(" °C ").unwrap();
            let (power, id) = rest.split_once(" W ").unwrap();
            assert!(room.parse::<f64>().is_ok(), "{line}");
            assert_eq!(id, format!("{{{LIVING}}}"));
            assert!(power == "-" || power.parse::<f64>().is_ok(), "{line}");
            power != "-"
        });
        powers.collect::<Vec<_>>().contains(&true)
    };
    // A state of REST has no power. On a slow machine both lines may be of such states.
    assert!((0..20).any(|_| has_power()), "no line has a power");
    // A Lite without rated watts has no known power.
    let args = ["watch", BEDROOM, "--count", "1", "--template", "{power_w}/{power_basis}/{fan}"];
    assert_eq!(bench.run(&args).ok().out, "-/unknown/-\n");
}

#[test]
fn an_invalid_template_is_refused_before_anything_starts() {
    let bench = Bench::new();
    for (template, words) in [
        ("{nmae}", "unknown field 'nmae'; the fields are time, "),
        ("{name", "'{' has no '}'"),
        ("}", "'}' has no '{'"),
    ] {
        // The template is checked before the session, whose absence would be exit code 4.
        let ran = bench.run(&["watch", "--template", template]).fails(2);
        assert!(ran.err.contains(words) && ran.err.contains("temperature_c"), "{ran:?}");
    }
    bench.run(&["watch", "--template", "{name}", "--json"]).fails(2);
}

#[test]
fn values_from_the_cloud_are_escaped() {
    let mut spec = CloudSpec::demo();
    spec.accounts[0].homes[0].devices[0].name = "\u{1b}[2Jx\n{power}".into();
    let bench = Bench::with(spec);
    bench.log_in().ok();
    let ran = bench.run(&["watch", LIVING, "--count", "1", "--template", "{name}!"]).ok();
    assert_eq!(ran.out, "\\u{1b}[2Jx\\n{power}!\n");
}

#[test]
fn the_fields_of_a_template_are_those_of_json() {
    let bench = Bench::signed_in();
    let help = bench.run(&["watch", "--help"]).ok().out;
    let mut known = BTreeSet::new();
    let ran = bench.run(&["watch", "--count", "5", "--json"]).ok();
    let updates: Vec<_> = ran.json().into_iter().filter(|event| event["event"] == "device").collect();
    for update in updates {
        known.extend(update.as_object().unwrap().keys().cloned());
    }
    for field in known.iter().filter(|name| !["schema", "event", "fields"].contains(&name.as_str())) {
        let template = format!("{{{field}}}");
        bench.run(&["watch", "living", "--count", "1", "--template", &template]).ok();
        assert!(help.split_whitespace().any(|word| word == field), "{field}: {help}");
    }
    assert!(known.len() > 12, "{known:?}");
}
