//! The conformance check of the simulator on the client itself.

use std::time::Duration;

use mysa_sim::{CheckResult, CheckSettings, CloudSpec};
use mysa_tokio::{Client, Error, RequestError, Settings, rest};

use crate::harness::{Cloud, celsius, kitchen};

/// Reads one after the other, with pauses. The pause after a 429 is longer than the simulator's `Retry-After`.
async fn read(client: &Client) {
    loop {
        let pause = match client.request(rest::devices()).await {
            Err(Error::Request(RequestError::Refused { status: 429, .. })) => Duration::from_secs(6),
            _ => Duration::from_millis(500),
        };
        tokio::time::sleep(pause).await;
    }
}

/// Sets two thermostats in turn, with pauses.
async fn command(client: &Client) {
    let other = "a0b1c2d3e4f5".parse().expect("an id");
    for round in 0_u8.. {
        let (device, degrees) = (if round % 2 == 0 { kitchen() } else { other }, 17 + round / 2 % 8);
        let _ = client.set_setpoint(&device, celsius(degrees.into())).deadline(Duration::from_secs(10)).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn the_client_passes_every_rule_of_the_simulator() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let mut settings = CheckSettings::default();
    // This limit only ends a test that hangs.
    settings.step_wait = Duration::from_secs(300);
    settings.watch = Duration::from_millis(1_500);
    settings.settle = Duration::from_millis(1_500);
    let mut check = cloud.server.check(settings);
    let client = async {
        // Without these, the pauses grow to a minute, because the script leaves no connection alone for that long.
        let mut settings = Settings::default();
        settings.backoff_first = Duration::from_millis(600);
        settings.backoff_cap = Duration::from_secs(1);
        let client = cloud.client_with(settings).await;
        tokio::join!(read(&client), command(&client));
    };
    tokio::select! {
        () = check.finish() => {}
        () = client => unreachable!("the client goes on"),
    }
    let report = check.report();
    for finding in report.findings() {
        // A connection has to outlive one and a half times its keep-alive to prove its pings, and the script is faster.
        let expected = match finding.rule.name {
            "pings" => CheckResult::NotSeen,
            _ => CheckResult::Pass,
        };
        assert_eq!(finding.result, expected, "{}:\n{report}", finding.rule.name);
    }
    assert_eq!((report.facts.sign_ins, report.facts.devices), (1, 5), "{report}");
    assert!(report.finished && report.missed_events == 0, "{report}");
}
