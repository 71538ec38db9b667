//! Every example of every help text, run exactly as written.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use mysa_sim::CloudSpec;

use crate::bench::{Bench, HANG_SECONDS, Sim, signal};
use crate::common::{Home, Ran, finish};

/// Commands under "Examples:", without their descriptions.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        // A line with a deeper indent continues a description.
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .map(|line| line.split("   ").next().unwrap_or(line).trim().to_owned())
        .collect()
}

/// Names of the subcommands in a help text.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned))
        .filter(|name| !name.is_empty())
        .collect()
}

/// A home with every file and program that the examples use.
fn bench() -> Bench {
    let mut spec = CloudSpec::demo();
    spec.accounts[0].email = "ann@example.org".into();
    let bench = Bench::with(spec);
    let home = &bench.home;
    home.write("pw.txt", format!("{}\n", CloudSpec::DEMO_PASSWORD));
    home.write("readings.b64", "yqAATTNXaecAzADNACYAAAAsASABZBs5AKA=");
    let frame =
        r#"{"log":{"entries":[{"_webSocketMessages":[{"type":"receive","opcode":2,"data":"IAIAAA=="}]}]}}"#;
    home.write("capture.har", frame);
    let accounts = "[[account]]\nname = \"north-12\"\nemail = \"ann@example.org\"\n";
    let accounts = home.write("accounts.toml", accounts);
    std::fs::set_permissions(accounts, std::fs::Permissions::from_mode(0o600)).unwrap();
    let program = |name: &str, script: &str| {
        let path = home.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("mysa", &format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_mysa")));
    program("pass", &format!("echo '{}'", CloudSpec::DEMO_PASSWORD));
    program("other-program", "cat >/dev/null");
    program("man", "cat >/dev/null");
    let message = r#"/v1/dev/a0b1c2d3e4f5/out {"Device":"a0b1c2d3e4f5","MsgType":0}"#;
    program("mosquitto_sub", &format!("echo '{message}'"));
    bench
}

fn shell(bench: &Bench, line: &str) -> Ran {
    finish(in_shell(bench, line), b"")
}

fn in_shell(bench: &Bench, line: &str) -> Command {
    let mut command = Command::new("sh");
    // The shell gets the environment that the bench gives to the command.
    for (name, value) in bench.command(&[]).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let path = format!("{}:{}", bench.home.path("bin").display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "canary");
    command.args(["-c", line]).current_dir(bench.home.path(""));
    command
}

#[test]
fn every_example_of_every_help_text_works() {
    let bench = bench();
    let help = bench.home.run(&["--help"]).ok().out;
    let mut lines: Vec<String> = Vec::new();
    // The sign-in comes first, because the others need it.
    for name in std::iter::once("login".to_owned()).chain(subcommands(&help)) {
        lines.extend(examples(&bench.home.run(&[&name, "--help"]).ok().out));
    }
    lines.extend(examples(&help));
    lines.extend(examples(&bench.home.run(&["sim", "ctl", "--help"]).ok().out));
    let readme = include_str!("../../../mysa-sim-server/README.md");
    let readme = readme.lines().filter_map(|line| line.strip_prefix("    mysa sim ctl "));
    lines.extend(
        readme.map(|line| format!("mysa sim ctl {}", line.split("   ").next().unwrap_or(line).trim())),
    );
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    assert!(lines.len() > 30, "{lines:?}");
    assert!(lines.iter().all(|line| line.len() <= 78), "an example is wider than a terminal: {lines:?}");

    let sim_help = bench.home.run(&["sim", "--help"]).ok().out;
    let home_file =
        sim_help.lines().skip_while(|line| *line != "  A home file:" && *line != "A home file:").skip(1);
    let home_file: Vec<&str> = home_file.take_while(|line| !line.is_empty()).collect();
    bench.home.write("home.toml", home_file.join("\n"));

    let sim = Sim::start(Home::new(), &[]);
    let control =
        sim.announced["control"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/');
    for line in &lines {
        let ran = match line.as_str() {
            // The demo runs for half a minute, and another test runs it.
            "mysa demo" => continue,
            // Without a terminal there is no prompt.
            line if line == "mysa login ann@example.org" => {
                let ran = shell(&bench, line).fails(2);
                assert!(ran.err.contains("cannot prompt for a password"), "{ran:?}");
                continue;
            }
            line if line.starts_with("mysa sim ctl") => {
                let stop = if line.contains("events") && !line.contains("--count") {
                    " --since 0 --count 1"
                } else {
                    ""
                };
                shell(&bench, &format!("MYSA_SIM_CONTROL={control} {line}{stop}"))
            }
            // Runs until it is interrupted.
            line if line.starts_with("mysa sim") => {
                let port = if line.contains("--listen") { "" } else { " --listen 127.0.0.1:0" };
                let mut command = in_shell(&bench, &format!("exec {line}{port}"));
                let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
                let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
                assert!(lines.any(|line| line.contains("simulated cloud on")), "{line}");
                signal(&child, "INT");
                assert_eq!((lines.count() > 0, child.wait().unwrap().code()), (true, Some(130)), "{line}");
                continue;
            }
            // Nothing listens there.
            "mysa bridge check" | "mysa bridge migrate" => {
                let ran = shell(&bench, &format!("{line} --broker mqtt://localhost:1")).fails(8);
                assert!(ran.err.contains("the broker cannot be reached"), "{ran:?}");
                continue;
            }
            "mysa bridge install-service" => shell(&bench, line),
            line if line.starts_with("mysa bridge") => {
                // The port may be in use.
                let line = line.replace("--metrics 9464", "--metrics 0");
                let mut command = in_shell(&bench, &format!("exec {line}"));
                let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
                let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
                assert!(lines.any(|line| line.contains("bridge: started")), "{line}");
                signal(&child, "INT");
                assert_eq!((lines.count() > 0, child.wait().unwrap().code()), (true, Some(130)), "{line}");
                continue;
            }
            // Requests to a fleet that runs.
            line if line.starts_with("mysa fleet s") => {
                let mut command = in_shell(&bench, "exec mysa fleet --accounts accounts.toml");
                let mut fleet = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
                let mut lines = BufReader::new(fleet.stdout.take().unwrap()).lines().map(Result::unwrap);
                assert!(lines.any(|line| line.contains(r#""service":"live""#)), "{line}");
                let rest = std::thread::spawn(move || lines.count());
                let wait =
                    if line.contains(" set ") { format!(" --wait {HANG_SECONDS}") } else { String::new() };
                let ran = shell(&bench, &format!("{line}{wait}"));
                signal(&fleet, "INT");
                assert_eq!(fleet.wait().unwrap().code(), Some(130), "{line}");
                rest.join().unwrap();
                ran
            }
            line if line.starts_with("mysa fleet --accounts") => {
                let line = line.replace("--metrics 9465", "--metrics 0");
                let mut command = in_shell(&bench, &format!("exec {line}"));
                let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
                let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
                assert!(lines.any(|line| line.contains("fleet: started")), "{line}");
                signal(&child, "INT");
                assert_eq!((lines.count() > 0, child.wait().unwrap().code()), (true, Some(130)), "{line}");
                continue;
            }
            line if line.starts_with("mysa watch --url") => {
                shell(&bench, &format!("mysa presign --print | {line} --count 1 --timeout {HANG_SECONDS}"))
            }
            line if line.starts_with("mysa watch") && !line.contains("--count") => {
                shell(&bench, &format!("{line} --count 1 --timeout {HANG_SECONDS}"))
            }
            // The limit of the example itself, or the usual one, is too short for a slow machine.
            line if (["mysa set", "mysa mode"].iter().any(|verb| line.starts_with(verb))
                || line.starts_with("mysa hold") && line.split(' ').count() > 3)
                && !line.contains("--dry-run") =>
            {
                let line = line.split(" --wait").next().unwrap_or(line);
                shell(&bench, &format!("{line} --wait {HANG_SECONDS}"))
            }
            line => shell(&bench, line),
        };
        // Examples succeed even where no energy was recorded, and where a URL is signed with invented keys.
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
    }
}
