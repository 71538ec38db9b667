//! Every command accepts `--json`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::bench::{Bench, Sim};
use crate::common::{Home, Ran, finish};

/// Checks that every line is an object of this schema, and that standard output contains nothing else.
fn is_json(ran: &Ran, command: &str) -> Vec<Value> {
    let documents = ran.json();
    assert!(!documents.is_empty(), "{command}: {ran:?}");
    for document in &documents {
        assert_eq!(document["schema"], 1, "{command}: {document}");
    }
    documents
}

#[test]
fn every_command_writes_json() {
    let bench = Bench::new();
    bench.home.write("packet", "c0 00");
    let url = bench.home.path("url.txt");
    let account = mysa_sim::CloudSpec::DEMO_EMAIL;
    let mut walked = BTreeSet::new();
    for args in [
        &["login", account, "--password-file", "password"][..],
        &["devices"],
        &["status"],
        &["watch", "--count", "2"],
        &["set", "living", "--temp", "21"],
        &["set", "living", "--temp", "21", "--dry-run"],
        &["mode", "bedroom", "off"],
        &["hold", "kitchen"],
        &["hold", "kitchen", "on"],
        &["schedule", "kitchen"],
        &["energy"],
        &["history", "living"],
        &["homes"],
        &["decode", "packet"],
        &["presign", "--out", "url.txt"],
        &["presign", "--inspect", "-"],
        &["doctor"],
        &["config", "path"],
        &["config", "show"],
        &["config", "set-watts", "living", "1500"],
        &["config", "set", "unit", "celsius"],
        &["completions", "bash"],
        &["man"],
        &["man", "--dir", "man"],
        &["sim", "--fault", "list"],
        &["demo"],
        &["logout", "--local"],
    ] {
        let all: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let input = std::fs::read(&url).unwrap_or_default();
        let ran = finish(bench.command(&all), &input).ok();
        is_json(&ran, &args.join(" "));
        walked.insert(args[0].to_owned());
    }
    bench.log_in().ok();
    is_json(&bench.run(&["logout", "--json"]).ok(), "logout");

    let check = bench.run(&["bridge", "check", "--broker", "mqtt://localhost:1", "--json"]).fails(8);
    is_json(&check, "bridge check");
    walked.insert("bridge".into());

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let file = bench.home.write("accounts.toml", format!("[[account]]\nemail = \"{account}\"\n"));
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let check = bench.run(&["fleet", "check", "--accounts", "accounts.toml", "--json"]).ok();
        is_json(&check, "fleet check");
        walked.insert("fleet".into());
    }

    // The body of the service is passed on unchanged in one line, so it has no schema.
    bench.log_in().ok();
    let raw = bench.run(&["raw", "/devices", "--json"]).ok().json();
    assert!(raw.len() == 1 && raw[0].is_object());
    walked.insert("raw".into());
    let sim = Sim::start(Home::new(), &[]);
    assert_eq!(sim.announced["schema"], 1);

    let help = bench.home.run(&["--help"]).ok().out;
    let commands: BTreeSet<String> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Continuation lines of a description have a deeper indent.
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned))
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(walked, commands, "every command must have been run with --json");
}
