//! Runs every example as a user would; those that need a cloud use the simulated one on loopback.

mod cloud;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use cloud::{Cloud, KITCHEN};

fn succeeds(mut command: Command) -> String {
    let output = command.output().expect("an example");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Checks that an example sets a setpoint, and refuses an impossible one.
fn sets_a_setpoint(program: &str) {
    let cloud = Cloud::start();
    let text = succeeds(cloud.example(program, &["Kitchen", "22.5"]));
    assert!(text.contains("confirmed by"), "{text}");
    assert_eq!(cloud.setpoint(), 22.5);
    let refused = cloud.example(program, &["Kitchen", "45"]).output().expect("an example");
    assert!(!refused.status.success(), "45 °C is out of range for every thermostat");
    assert_eq!(cloud.setpoint(), 22.5);
}

#[test]
fn set_on_tokio_sets_a_setpoint() {
    sets_a_setpoint(env!("CARGO_BIN_EXE_set"));
}

#[test]
fn a_session_on_smol_sets_a_setpoint() {
    sets_a_setpoint(env!("CARGO_BIN_EXE_smol"));
}

#[test]
fn a_session_on_blocking_threads_sets_a_setpoint() {
    sets_a_setpoint(env!("CARGO_BIN_EXE_blocking"));
}

/// Child process that is killed when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watch_shows_temperatures_as_they_arrive() {
    let cloud = Cloud::start();
    let mut command = cloud.example(env!("CARGO_BIN_EXE_watch"), &[]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("an example"));
    let lines = BufReader::new(running.0.stdout.take().expect("piped")).lines();
    let seen =
        lines.map_while(Result::ok).find(|line| line.starts_with("Kitchen: ") && line.contains(" of "));
    assert!(seen.is_some(), "watch ended without a temperature");
}

#[test]
fn home_automation_lowers_the_setpoint_while_the_room_is_empty() {
    let cloud = Cloud::start();
    let before = cloud.setpoint();
    let mut command = cloud.example(env!("CARGO_BIN_EXE_home_automation"), &["Kitchen", "15"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running(command.spawn().expect("an example"));
    let mut sensor = running.0.stdin.take().expect("piped");
    let mut lines = BufReader::new(running.0.stdout.take().expect("piped")).lines();
    for (word, expected) in [("empty", 15.0), ("back", before)] {
        writeln!(sensor, "{word}").expect("the example reads its input");
        let verdict = lines.next().expect("a verdict").expect("text");
        assert!(verdict.contains("confirmed by"), "{verdict}");
        assert_eq!(cloud.setpoint(), expected, "{word}");
    }
    drop(sensor);
    assert!(running.0.wait().expect("an end").success());
}

#[test]
fn replay_shows_the_content_of_a_capture() {
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/data/evening.har");
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
    command.arg(capture);
    let text = succeeds(command);
    assert_eq!(text.lines().filter(|line| line.contains(KITCHEN)).count(), 12, "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(
        last.contains("116.5 s") && last.contains("room 16.85 °C") && last.contains("setpoint 16 °C"),
        "{last}"
    );
}

#[test]
fn a_fleet_is_live_within_a_minute_and_every_session_is_small() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
    command.args(["25", "2"]);
    let text = succeeds(command);
    let kib = text.split("memory: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
    assert!((1.0..64.0).contains(&kib.parse::<f64>().expect("a number")), "{text}");
    println!("{text}");
}

#[test]
fn an_error_in_a_command_line_is_reported() {
    let none = "expected a thermostat's name and a setpoint in degrees Celsius";
    let warm = "invalid setpoint warm: expected degrees Celsius";
    let [set, smol, blocking, automation] = [
        env!("CARGO_BIN_EXE_set"),
        env!("CARGO_BIN_EXE_smol"),
        env!("CARGO_BIN_EXE_blocking"),
        env!("CARGO_BIN_EXE_home_automation"),
    ];
    let (watch, replay) = (env!("CARGO_BIN_EXE_watch"), env!("CARGO_BIN_EXE_replay"));
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let numbers = "expected a number of sessions and a number of minutes, or neither";
    for (program, args, wrong) in [
        (set, &[][..], none),
        (set, &["Kitchen", "warm"], warm),
        (smol, &["Kitchen", "warm"], warm),
        (blocking, &["Kitchen", "NaN"], "invalid setpoint NaN: expected degrees Celsius"),
        (automation, &["Kitchen"], none),
        (watch, &[], "MYSA_CONNECT_TO: invalid socket address syntax"),
        (replay, &[], "expected the path of a HAR file"),
        (replay, &["nowhere.har"], "cannot read nowhere.har"),
        (replay, &["Cargo.toml"], "Cargo.toml is not a HAR file"),
        (fleet, &["many"], numbers),
        (fleet, &["1", "0"], numbers),
    ] {
        let mut command = Command::new(program);
        command.args(args).env("MYSA_USERNAME", "ann@example.org").env("MYSA_PASSWORD", "secret");
        let output = command.env("MYSA_CONNECT_TO", "here").output().expect("an example");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && message.contains(wrong), "{command:?}: {message}");
    }
}
