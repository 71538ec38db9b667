//! `mysa sim --check`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{ChildStderr, ChildStdout, Stdio};

use mysa_sim::CloudSpec;
use serde_json::Value;

use crate::bench::{Sim, signal};
use crate::common::Home;

/// A check in the background, with its output.
struct Check {
    sim: Sim,
    out: BufReader<ChildStdout>,
    err: ChildStderr,
}

impl Check {
    fn start(args: &[&str]) -> Self {
        let home = Home::new();
        let all = [&["sim", "--listen", "127.0.0.1:0", "--ca", "ca.pem", "--check", "--json"], args].concat();
        let mut command = home.command(&all);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let err = child.stderr.take().unwrap();
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        Self { sim: Sim { child, home, announced: serde_json::from_str(&first).unwrap() }, out, err }
    }

    /// Waits for the end. Returns the exit code, the report, and the messages.
    fn end(&mut self) -> (Option<i32>, Value, String) {
        let (mut report, mut log) = (String::new(), String::new());
        self.out.read_to_string(&mut report).unwrap();
        self.err.read_to_string(&mut log).unwrap();
        let code = self.sim.child.wait().unwrap().code();
        (code, serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}")), log)
    }
}

#[test]
fn a_check_without_a_client_ends_in_time_and_fails() {
    let mut check = Check::start(&["--check-time", "1"]);
    let (code, report, log) = check.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("no client connected"), "{log}");
    assert_eq!((&report["finished"], &report["failed"]), (&true.into(), &0.into()));
}

#[test]
fn an_interrupted_check_reports_what_it_saw() {
    let mut check = Check::start(&[]);
    signal(&check.sim.child, "INT");
    let (code, report, log) = check.end();
    assert_eq!(code, Some(130), "{log}");
    assert_eq!((&report["finished"], &report["facts"]["sign_ins"]), (&false.into(), &0.into()));
}

#[test]
fn a_broken_rule_makes_the_exit_code_1() {
    let mut check = Check::start(&["--report", "report.json"]);
    check.sim.home.write("password", format!("{}\n", CloudSpec::DEMO_PASSWORD));
    for _ in 0..4 {
        check.sim.run(&["login", CloudSpec::DEMO_EMAIL, "--password-file", "password"], "").ok();
    }
    signal(&check.sim.child, "TERM");
    let (code, report, log) = check.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("the client broke 1 rule"), "{log}");
    let written = std::fs::read_to_string(check.sim.home.path("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), report);
    let rule = &report["steps"][0]["rules"][0];
    assert_eq!((&rule["rule"], &rule["result"]), (&"sign-in".into(), &"fail".into()));
    assert_eq!(rule["observed"], "4 sign-ins");
}

#[test]
fn options_of_the_check_need_it() {
    for args in [["--report", "x"], ["--check-step", "9"], ["--check-time", "9"]] {
        let ran = Home::new().run(&[&["sim"], &args[..]].concat()).fails(2);
        assert!(ran.err.contains("--check"), "{ran:?}");
    }
    Home::new().run(&["sim", "--check", "--check-step", "2"]).fails(2);
}
