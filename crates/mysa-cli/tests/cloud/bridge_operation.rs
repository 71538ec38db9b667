//! Metrics, health and logs of `mysa bridge`, as seen by the programs that watch it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use mysa_sim::{CloudSpec, Incident};
use serde_json::Value;

use crate::bench::{Bench, LIVING, signal, wait_until};
use crate::bridge::{ANYBODY, Running, topic, url};
use crate::common::{HANG_LIMIT, Home};
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

pub(crate) fn get(address: &str, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

/// Value of a series, which is a name with its labels.
pub(crate) fn value(address: &str, series: &str) -> Option<f64> {
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

    // The bridge does not have to restart because the broker does.
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

    // An address that is in use is reported.
    let ran = bench.run(&["bridge", "--broker", &url, "--metrics", &at]).fails(1);
    assert!(ran.err.contains("cannot listen on --metrics"), "{ran:?}");
}

#[test]
fn every_line_of_a_json_log_is_an_event_with_its_facts() {
    let bench = Bench::signed_in();
    let Some(broker) = Mosquitto::start(&bench.home.path("."), ANYBODY) else { return };
    bench.run(&["config", "set", "bridge.log-format", "json"]).ok();
    let mut bridge = Running::start(&bench, &["--broker", &url(&broker)]);
    let mut observer = Observer::connect(broker.address, None);
    observer.wait_for(&topic(LIVING, "availability"), "online");
    observer.publish(&topic(LIVING, "set/setpoint"), "22.5", false);
    bridge.wait_for(r#""outcome":"confirmed""#);
    signal(&bridge.child, "TERM");
    assert_eq!(bridge.child.wait().unwrap().code(), Some(143));
    bridge.wait_for(r#""event":"ended""#);

    let lines: Vec<Value> =
        bridge.lines().iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        assert!(line["time"].is_string() && line["message"].is_string(), "{line}");
        assert!(["info", "warning", "error"].contains(&line["level"].as_str().unwrap()), "{line}");
    }
    let find =
        |event: &str| lines.iter().find(|line| line["event"] == event).unwrap_or_else(|| panic!("{event}"));
    for event in ["started", "broker_connected", "cloud", "availability", "stopped", "ended"] {
        find(event);
    }
    assert_eq!(find("command")["requested"], "setpoint 22.5 °C");
    let result = find("result");
    assert_eq!(
        (&result["id"], &result["command"], &result["level"]),
        (&LIVING.into(), &1.into(), &"info".into())
    );

    let ran = bench.run(&["bridge", "check", "--log-format", "xml"]).fails(2);
    assert!(ran.err.contains("expected text or json"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn the_script_that_installs_the_service_is_valid_shell() {
    let home = Home::new();
    let script = home.run(&["bridge", "install-service"]).ok().out;
    assert!(script.contains("\nExecStart=/usr/local/bin/mysa bridge\n"), "{script}");
    assert!(script.contains("\nType=notify\n") && script.contains("\nWatchdogSec="), "{script}");
    home.write("script", &script);
    let checked = std::process::Command::new("sh").arg("-n").arg(home.path("script")).status().unwrap();
    assert!(checked.success());
}

#[cfg(target_os = "linux")]
mod under_systemd {
    use std::io::{BufRead as _, BufReader};
    use std::os::fd::{AsRawFd as _, OwnedFd};
    use std::os::linux::fs::MetadataExt as _;
    use std::os::unix::net::{UnixDatagram, UnixStream};
    use std::process::Stdio;

    use super::*;

    /// The journal has a time and a severity of its own.
    #[test]
    fn lines_for_the_journal_have_a_severity_and_no_time() {
        let bench = Bench::signed_in();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = std::fs::metadata(format!("/proc/self/fd/{}", theirs.as_raw_fd())).unwrap();
        let mut command = bench.command(&["bridge", "--broker", "mqtt://127.0.0.1:1"]);
        command.env("JOURNAL_STREAM", format!("{}:{}", file.st_dev(), file.st_ino()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(OwnedFd::from(theirs)));
        let mut child = command.spawn().unwrap();
        drop(command);
        ours.set_read_timeout(Some(HANG_LIMIT)).unwrap();
        let mut lines = BufReader::new(ours).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), "<6>bridge: started, for the broker mqtt://127.0.0.1:1");
        let warning = lines.find(|line| line.contains("broker: ")).unwrap();
        assert!(warning.starts_with("<4>broker: the broker cannot be reached"), "{warning}");
        child.kill().unwrap();
        child.wait().unwrap();

        // A program that inherits the variable may have another standard error.
        let mut command = bench.command(&["bridge", "--broker", "mqtt://127.0.0.1:1"]);
        command.env("JOURNAL_STREAM", format!("{}:{}", file.st_dev(), file.st_ino()));
        let bridge = Running::spawn(command);
        bridge.wait_for("bridge: started");
        assert!(bridge.line("bridge: started").unwrap().starts_with("20"), "a time");
    }

    #[test]
    fn the_service_manager_hears_of_start_state_life_and_stop() {
        let bench = Bench::signed_in();
        let Some(broker) = Mosquitto::start(&bench.home.path("."), ANYBODY) else { return };
        let path = bench.home.path("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(HANG_LIMIT)).unwrap();
        let mut command = bench.command(&["bridge", "--broker", &url(&broker)]);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000");
        let mut bridge = Running::spawn(command);
        let next = || {
            let mut buffer = [0; 4_096];
            let len = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..len].to_vec()).unwrap().trim_end().to_owned()
        };
        assert_eq!(next(), "READY=1");
        let (mut alive, mut is_available) = (0, false);
        while alive < 3 || !is_available {
            match next().as_str() {
                "WATCHDOG=1" => alive += 1,
                status => {
                    assert!(status.starts_with("STATUS=broker "), "{status}");
                    is_available |= status.ends_with("cloud live, 5 of 5 thermostats available");
                }
            }
        }
        signal(&bridge.child, "TERM");
        while next() != "STOPPING=1" {}
        assert_eq!(bridge.child.wait().unwrap().code(), Some(143));
    }
}
