//! Text from the cloud on every output of every command.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use mysa_sim::CloudSpec;

use crate::bench::{Bench, KITCHEN, LIVING};
use crate::common::{Home, Ran};

/// Name that clears the screen, rings the bell, reverses and breaks the line, and is partly two columns wide.
const CANARY: &str = "Ca\u{1b}[2Jn\u{7}a\u{202e}r\u{9b}1my\n<b>&\"\u{2028}\u{7f}暖";

/// Checks for characters that control a terminal or reorder a line, apart from line ends.
#[track_caller]
fn is_harmless(ran: &Ran, command: &str) {
    let is_bad = |c: char| {
        (c.is_control() && c != '\n' && c != '\r')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for (stream, text) in [("stdout", &ran.out), ("stderr", &ran.err)] {
        let found = text.chars().find(|&c| is_bad(c));
        assert_eq!(found, None, "{command}: {stream}: {}", text.escape_debug());
        assert!(!text.contains("my\n"), "{command}: {stream}: the line break is raw: {text}");
    }
}

fn bench() -> Bench {
    let mut spec = CloudSpec::demo();
    spec.accounts[0].homes[0].name = CANARY.into();
    spec.accounts[0].homes[0].rate = "\u{1b}[J\u{7}\u{202e}暖 0.15".into();
    spec.accounts[0].homes[0].time_zone = CANARY.into();
    for device in &mut spec.accounts[0].homes[0].devices {
        device.name = format!("{CANARY} {}", device.id);
    }
    Bench::with_schedules(spec)
}

#[test]
fn a_hostile_name_is_escaped_by_every_command() {
    let bench = bench();
    is_harmless(&bench.log_in().ok(), "login");
    let mut shown = 0;
    for args in [
        &["devices"][..],
        &["status"],
        &["watch", "--count", "3"],
        &["-v", "set", LIVING, "--temp", "21"],
        &["set", LIVING, "a0b1c2d3e4f7", "--temp", "22"],
        &["set", LIVING, "--temp", "21", "--dry-run"],
        &["set", LIVING, "--temp", "99"],
        &["set", "ca", "--temp", "21"],
        &["mode", LIVING, "heat"],
        &["hold", LIVING, "on"],
        &["hold", KITCHEN, "until", "+2h"],
        &["hold", KITCHEN],
        &["schedule", KITCHEN],
        &["energy"],
        &["energy", "--by", "hour"],
        &["energy", "--csv", "-"],
        &["history", LIVING],
        &["homes"],
        &["watch", LIVING, "--count", "1", "--template", "{name}"],
        &["energy", "--svg", "-"],
        &["doctor"],
        &["doctor", "--show-private"],
        &["raw", "/devices"],
        &["raw", "/devices", "--show-private"],
        &["config", "set-watts", LIVING, "1000"],
        &["config", "show"],
        &["presign", "--print"],
        &["logout", "--local"],
    ] {
        for json in [false, true] {
            if json && (args.contains(&"-") || args.contains(&"--template")) {
                continue;
            }
            let mut all = args.to_vec();
            all.extend(json.then_some("--json"));
            if args[0] == "logout" {
                bench.log_in().ok();
            }
            let ran = bench.run(&all);
            let command = all.join(" ");
            assert!(ran.code == 0 || ran.code == 2 || ran.code == 7, "{command}: {ran:?}");
            is_harmless(&ran, &command);
            shown += usize::from(ran.out.contains("暖") || ran.err.contains("暖"));
            if json && ran.code == 0 {
                ran.json();
            }
        }
    }
    assert!(shown > 20, "the name is shown {shown} times");
}

#[test]
fn a_hostile_home_file_is_escaped_by_the_simulator() {
    let home = Home::new();
    home.write(
        "home.toml",
        "[[account]]\nemail = \"a\\u001b[2J@example.org\"\npassword = \"p\\u001b[2Jw\"\n[[account.home]]\nname = \"\\u0007\"\n\
         [[account.home.device]]\nid = \"a0b1c2d3e4f5\"\nmodel = \"BB-V1-1\"\nname = \"\\u001b]0;x\\u0007\\u202e\\n\"\n",
    );
    let mut command = home.command(&["sim", "--listen", "127.0.0.1:0", "--home", "home.toml"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut log = String::new();
    while !log.contains("  trust ") {
        log.push_str(&lines.next().unwrap());
        log.push('\n');
    }
    child.kill().unwrap();
    child.wait().unwrap();
    is_harmless(&Ran { code: 0, out: log.clone(), err: String::new() }, "sim");
    assert!(log.contains("a0b1c2d3e4f5  BB-V1-1    \\u{1b}]0;x"), "{log}");
}

#[test]
fn a_blank_name_is_replaced_by_the_id() {
    let mut spec = CloudSpec::demo();
    let devices = &mut spec.accounts[0].homes[0].devices;
    devices[0].name = String::new();
    devices[1].name = " \t ".into();
    devices[2].name = "  Den ".into();
    let bench = Bench::with(spec);
    bench.log_in().ok();
    let ran = bench.run(&["status"]).ok();
    let names: Vec<&str> =
        ran.out.lines().skip(2).take(3).filter_map(|line| line.split("  ").next()).collect();
    assert_eq!(names, [LIVING, KITCHEN, "Den"], "{ran:?}");
    bench.run(&["set", "den", "--temp", "20"]).ok();
    let svg = bench.run(&["energy", "--svg", "-"]).ok().out;
    assert!(svg.contains(LIVING) && !svg.contains("></text>"), "{svg}");
}

#[test]
fn a_dumb_terminal_and_a_pipe_get_no_escape_sequences() {
    let bench = Bench::signed_in();
    for (name, value) in [("TERM", "dumb"), ("NO_COLOR", "1"), ("TERM", "xterm-256color")] {
        let mut command = bench.command(&["doctor"]);
        command.env(name, value);
        let ran = crate::common::finish(command, b"").ok();
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{name}={value}: {ran:?}");
    }
}
