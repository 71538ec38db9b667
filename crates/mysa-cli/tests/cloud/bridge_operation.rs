//! Metrics, health and logs of `mysa bridge`, as seen by the programs that watch it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use mysa_sim::{CloudSpec, Incident};

use crate::bench::{Bench, LIVING, wait_until};
use crate::bridge::{ANYBODY, Running, topic, url};
use crate::common::HANG_LIMIT;
use crate::mosquitto::{Mosquitto, Observer};

/// HTTP address of the metrics, from the log.
fn address(bridge: &Running) -> String {
    const LINE: &str = "metrics at http://";
    bridge.wait_for(LINE);
    let line = bridge.line(LINE).unwrap();
    line.split_once(LINE).unwrap().1.trim_end_matches("/metrics").to_owned()
}

/// Sends a request and returns the whole answer. A connection that is reset has none.
fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(HANG_LIMIT)).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn get(address: &str, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

/// Value of a series, which is a name with its labels.
fn value(address: &str, series: &str) -> Option<f64> {
    let text = get(address, "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.map(|value| value.parse().unwrap())
}

#[track_caller]
fn wait_for_value(address: &str, series: &str, expected: f64) {
    wait_until(&format!("{series} {expected}"), || value(address, series) == Some(expected));
}

#[test]
fn metrics_and_health_follow_the_broker_the_cloud_and_the_thermostats() {
    let bench = Bench::signed_in();
    let Some(mut broker) = Mosquitto::start(&bench.home.path("."), ANYBODY) else { return };
    let url = url(&broker);
    let args = ["--broker", &url, "--metrics", ":0"];
    let mut bridge = Running::start(&bench, &args);
    let at = address(&bridge);
    assert!(at.starts_with("127.0.0.1:"), "a port alone means loopback: {at}");

    let series = |name: &str| format!(r#"mysa_thermostat_{name}{{id="{LIVING}",name="Living room"}}"#);
    wait_for_value(&at, &series("available"), 1.0);
    wait_for_value(&at, r#"mysa_service_level{account="1",level="live"}"#, 1.0);
    wait_for_value(&at, &series("setpoint_celsius"), bench.setpoint(LIVING));
    assert!(value(&at, &series("temperature_celsius")).is_some());
    assert!(value(&at, &series("report_age_seconds")).is_some());
    assert_eq!(value(&at, r#"mysa_cloud_connections_total{account="1"}"#), Some(1.0));
    let text = get(&at, "/metrics");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("version=0.0.4"), "{text}");
    assert!(!text.contains(CloudSpec::DEMO_EMAIL), "{text}");
    let health = get(&at, "/healthz");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("\r\n\r\nok\n"), "{health}");

    // Commands are counted by outcome.
    let mut observer = Observer::connect(broker.address, None);
    observer.publish(&topic(LIVING, "set/setpoint"), "22.5", false);
    wait_for_value(&at, r#"mysa_commands_total{outcome="confirmed"}"#, 1.0);
    wait_for_value(&at, &series("setpoint_celsius"), 22.5);
    observer.publish(&topic(LIVING, "set/setpoint"), "99", false);
    wait_for_value(&at, r#"mysa_commands_total{outcome="refused"}"#, 1.0);
    assert_eq!(value(&at, r#"mysa_commands_total{outcome="confirmed"}"#), Some(1.0));

    // A broker that restarts is no reason to restart the bridge.
    assert_eq!(value(&at, "mysa_broker_connections_total"), Some(1.0));
    broker.kill();
    wait_for_value(&at, "mysa_broker_connected", 0.0);
    assert!(get(&at, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(broker.run());
    wait_for_value(&at, "mysa_broker_connections_total", 2.0);
    assert_eq!(value(&at, "mysa_broker_connected"), Some(1.0));

    // Everything else is refused, and a header has a limit.
    assert!(get(&at, "/").starts_with("HTTP/1.1 404"));
    assert!(get(&at, "/metrics/x").starts_with("HTTP/1.1 404"));
    let post = exchange(&at, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    let long = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(!exchange(&at, &long).contains("mysa_build_info"));

    // A session that the cloud refuses needs a person.
    bridge.kill();
    bench
        .server()
        .with_cloud(|cloud, now| cloud.act(now, Incident::RevokeTokens(CloudSpec::DEMO_EMAIL.into())));
    let bridge = Running::start(&bench, &args);
    let at = address(&bridge);
    wait_until("an unhealthy bridge", || get(&at, "/healthz").starts_with("HTTP/1.1 503"));
    let health = get(&at, "/healthz");
    assert!(health.ends_with("\r\n\r\nsign-in needed: run `mysa login`\n"), "{health}");
    assert_eq!(value(&at, "mysa_healthy"), Some(0.0));

    // An address that is in use is said.
    let ran = bench.run(&["bridge", "--broker", &url, "--metrics", &at]).fails(1);
    assert!(ran.err.contains("cannot listen on --metrics"), "{ran:?}");
}
