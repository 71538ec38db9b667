//! Checks that the table of failures names exactly the tests that exist.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_table_of_failures_names_every_test_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("FAILURES.md")).unwrap();
    let mut named = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| F") && !line.starts_with("| Fa")) {
        let row: u32 = line[3..].split(' ').next().unwrap().parse().unwrap();
        for name in line.split('`').filter(|name| {
            name.starts_with('f') && name.get(1..3).is_some_and(|number| number.parse::<u32>().is_ok())
        }) {
            assert!(
                (50..=55).contains(&row) || name.starts_with(&format!("f{row:02}_")),
                "{name} in the row of F{row}"
            );
            named.insert(name.to_owned());
        }
    }
    assert!((1..=61).chain(68..=70).chain(78..=81).all(|row| table.contains(&format!("\n| F{row} "))));
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some(name) = line.strip_prefix("fn f").and_then(|rest| rest.split('(').next()) else {
                continue;
            };
            if name.get(..2).is_some_and(|number| number.parse::<u32>().is_ok()) {
                there.insert(format!("f{name}"));
            }
        }
    }
    assert_eq!(named, there);
}
