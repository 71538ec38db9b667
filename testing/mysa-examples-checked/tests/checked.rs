//! Runs the drivers of examples/ against the simulated cloud. Their sessions check the rules of the run loop.

#[path = "../../../examples/tests/cloud/mod.rs"]
mod cloud;

use cloud::Cloud;

fn keeps_the_rules(program: &str) {
    let cloud = Cloud::start();
    let output = cloud.example(program, &["Kitchen", "22.5"]).output().expect("an example");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("confirmed by"), "{text}\n{errors}");
    assert_eq!(cloud.setpoint(), 22.5);
}

#[test]
fn the_driver_on_blocking_threads_keeps_the_rules() {
    keeps_the_rules(env!("CARGO_BIN_EXE_checked_blocking"));
}

#[test]
fn the_driver_on_smol_keeps_the_rules() {
    keeps_the_rules(env!("CARGO_BIN_EXE_checked_smol"));
}
