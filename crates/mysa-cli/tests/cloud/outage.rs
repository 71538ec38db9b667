//! Log of `mysa watch` on a pipe during an outage. The unit tests of the status log check the intervals of the
//! repetitions in virtual time.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use mysa_sim::{Endpoint, Fault, HttpFault};

use crate::bench::{Bench, HANG_SECONDS};
use crate::common::HANG_LIMIT;

#[test]
fn an_outage_and_its_end_are_one_line_each() {
    let bench = Bench::signed_in();
    bench.fault(Fault::RefuseUpgrade(503));
    let mut command = bench.command(&["watch", "living", "--timeout", HANG_SECONDS]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // A slow start logs a line of its own before the upgrade is refused.
    let lost = log.by_ref().find(|line| line.contains("HTTP 503")).expect("a line that names the outage");
    assert!(lost.contains("  REST only: "), "{lost}");
    bench.server().with_cloud(|cloud, _| cloud.clear_faults());
    // A slow machine may log that the outage continues before it has connected.
    let back = log.find(|line| !line.contains("HTTP 503")).unwrap();
    assert!(back.contains("  live"), "{back}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_watch_starts_while_the_cloud_is_down_and_reports_it_once() {
    let bench = Bench::signed_in();
    bench.fault(Fault::Http(Endpoint::Any, HttpFault::Status(503)));
    let mut command = bench.command(&["watch", "living", "--timeout", HANG_SECONDS]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let waits = log.next().unwrap();
    assert!(waits.contains("HTTP 503") && waits.contains("waiting for the cloud"), "{waits}");
    bench.server().with_cloud(|cloud, _| cloud.clear_faults());
    let shown = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(shown.contains("Living room"), "{shown}");
    child.kill().unwrap();
    child.wait().unwrap();
    let again = log.find(|line| line.contains("waiting for the cloud"));
    assert_eq!(again, None);
}

#[test]
fn a_watch_whose_cloud_does_not_come_back_ends_with_9() {
    let bench = Bench::signed_in();
    bench.fault(Fault::Http(Endpoint::Any, HttpFault::Status(503)));
    let ran = bench.run(&["watch", "--timeout", "1", "--json"]).fails(9);
    let events = ran.json();
    assert_eq!(
        (&events[0]["event"], &events[0]["service"]),
        (&"service".into(), &"offline".into()),
        "{ran:?}"
    );
    assert_eq!(events.len(), 1, "{ran:?}");
}

#[test]
fn subscriptions_that_deliver_nothing_are_never_shown_as_live() {
    let bench = Bench::signed_in();
    bench.fault(Fault::DeliverNothing(None));
    let ran = bench.status(&["--json"]).ok();
    let document = &ran.json()[0];
    assert_eq!(document["service"], "REST only", "{document}");
    assert!(document["reason"].as_str().unwrap().contains("no thermostat reports by MQTT"), "{document}");
    let links: Vec<_> = document["devices"].as_array().unwrap().iter().map(|one| &one["link"]).collect();
    assert!(links.iter().all(|link| *link != "live"), "{links:?}");

    // A watch lasts long enough for the session to conclude it: two minutes of live reports.
    let mut child = bench.watching();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        event
    });
    let named = events.find(|event| {
        assert_ne!(event["link"], "live", "{event}");
        assert_ne!(event["service"], "live", "{event}");
        event["reason"].as_str().is_some_and(|reason| reason.contains("delivers no message"))
    });
    let named = named.expect("the cause is named");
    assert_eq!((&named["event"], &named["service"]), (&"service".into(), &"REST only".into()), "{named}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The policy of the newer apps has neither Publish nor Receive: live reports cannot be requested, and without them a
/// thermostat reports every 20 minutes.
#[test]
fn the_policy_of_the_newer_apps_is_named_at_once() {
    let bench = Bench::signed_in();
    bench.fault(Fault::DeliverNothing(None));
    bench.fault(Fault::DenyPublish);
    let mut child = bench.watching();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert!(![&event["service"], &event["link"]].contains(&&"live".into()), "{event}");
        event
    });
    let named = events.find(|event| {
        event["reason"].as_str().is_some_and(|reason| reason.contains("accepts no requests for live reports"))
    });
    let named = named.expect("the cause is named");
    assert_eq!((&named["event"], &named["service"]), (&"service".into(), &"REST only".into()), "{named}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn where_only_some_subscriptions_are_granted_the_service_is_partly_live() {
    let bench = Bench::signed_in();
    bench.fault(Fault::GrantFirst(1));
    let mut seconds = 20;
    let status = loop {
        let status = bench.run(&["status", "--wait", &seconds.to_string(), "--json"]).ok().json().remove(0);
        // A slow machine may not be connected within the limit.
        if status["service"] == "partly live" || seconds > HANG_LIMIT.as_secs() {
            break status;
        }
        seconds *= 2;
    };
    assert_eq!(status["service"], "partly live", "{status}");
    assert!(status["reason"].as_str().unwrap().contains("refused the subscriptions to some"), "{status}");
    let devices = status["devices"].as_array().unwrap();
    let live = devices.iter().filter(|device| device["link"] == "live").count();
    assert!(live < devices.len(), "{status}");
}
