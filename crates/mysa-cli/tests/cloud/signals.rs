//! Ends caused by signals.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use mysa_sim::DeviceFault;

use crate::bench::{Bench, LIVING, Sim, signal, wait_until};
use crate::common::Home;

/// Signals that ask for an orderly end, and their exit codes.
const SIGNALS: [(&str, i32); 2] = [("INT", 130), ("TERM", 143)];

/// Waits until the cloud reaches a condition.
fn wait_for(bench: &Bench, what: &str, condition: impl Fn(&mysa_sim::Cloud) -> bool) {
    wait_until(what, || bench.server().with_cloud(|cloud, _| condition(cloud)));
}

/// Interrupts a watch. True if the broker received its DISCONNECT, and not only the end of the connection.
fn sends_disconnect(bench: &Bench, name: &str, code: i32) -> bool {
    let mut child = bench.watching();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.contains("\"service\":\"live\"")));
    let before = bench.server().with_cloud(|cloud, _| cloud.counters().closed);
    signal(&child, name);
    // The rest of the output is drained, so that the program never blocks on it.
    assert!(lines.all(|line| line.is_ok()));
    assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
    wait_for(bench, "the end of the connection", |cloud| cloud.clients().count() == 0);
    bench.server().with_cloud(|cloud, _| cloud.counters().closed) == before + 1
}

#[test]
fn a_watch_that_is_interrupted_sends_disconnect() {
    let bench = Bench::signed_in();
    for (name, code) in SIGNALS {
        // The program takes at most half a second for it, which a slow machine may not keep.
        assert!((0..20).any(|_| sends_disconnect(&bench, name, code)), "{name}");
    }
}

#[test]
fn a_command_that_is_broken_off_warns_that_it_may_take_effect() {
    let bench = Bench::signed_in();
    bench.device_fault(LIVING, DeviceFault::IgnoreCommands);
    for (name, code) in SIGNALS {
        let commands = |cloud: &mysa_sim::Cloud| {
            cloud
                .device_ids()
                .filter_map(|id| cloud.truth(id))
                .map(|truth| truth.messages.commands)
                .sum::<u64>()
        };
        let before = bench.server().with_cloud(|cloud, _| commands(cloud));
        let mut command = bench.command(&["set", "living", "--temp", "19"]);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&bench, "the command", |cloud| commands(cloud) > before);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{log}");
        assert!(log.contains("may take effect on Living room"), "{log}");
    }
}

#[test]
fn the_simulated_cloud_and_the_demo_end_at_a_signal() {
    for (name, code) in SIGNALS {
        let mut sim = Sim::start(Home::new(), &[]);
        signal(&sim.child, name);
        assert_eq!(sim.child.wait().unwrap().code(), Some(code), "{name}");
    }
    let home = Home::new();
    let mut child =
        home.command(&["demo", "--json"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    signal(&child, "TERM");
    assert!(lines.all(|line| line.is_ok()));
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
