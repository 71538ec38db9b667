//! The conformance check on clients that break its rules, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod harness;

use std::time::Duration;

use harness::*;
use mysa_cognito::Tokens;
use mysa_mqtt_codec::{ClientId, Connect, Delivery, Outbound, PacketId, Publish, Topic};
use mysa_sim::{Check, CheckReport, CheckResult, CheckSettings, Upgrade};
use serde_json::{Value, json};

const TICK: Duration = Duration::from_millis(500);
const LIVING: &str = "/v1/dev/a0b1c2d3e4f5/out";
const KITCHEN: &str = "/v1/dev/a0b1c2d3e4f6/out";

/// A client that breaks every rule that it can, twice a second.
struct Bad {
    harness: Harness,
    check: Check,
    tokens: Tokens,
    url: String,
    conn: u64,
    is_open: bool,
    refused: u32,
    ticks: u32,
}

impl Bad {
    fn new() -> Self {
        let mut harness = Harness::demo();
        harness.cloud.record_events(true);
        let check = Check::new(&harness.cloud, CheckSettings::default(), at(harness.now));
        for _ in 0..4 {
            harness.sign_in();
        }
        let tokens = harness.sign_in();
        for _ in 0..11 {
            harness.credentials(LEGACY_POOL, &tokens);
        }
        for _ in 0..10 {
            harness.http(BACKEND, "GET", "/devices", &[("Authorization", "Bearer x")], "");
        }
        let credentials = harness.credentials(LEGACY_POOL, &tokens);
        let url = harness.presign(&credentials);
        Self { harness, check, tokens, url, conn: 0, is_open: false, refused: 0, ticks: 0 }
    }

    /// Passes the events to the check, and its changes to the cloud.
    fn pump(&mut self) {
        loop {
            while let Some(event) = self.harness.cloud.poll_event() {
                self.check.handle_event(&event);
            }
            self.check.handle_timeout(at(self.harness.now));
            self.check.act(&mut self.harness.cloud, at(self.harness.now));
            self.harness.drain();
            let Some(event) = self.harness.cloud.poll_event() else { break };
            self.check.handle_event(&event);
        }
        self.is_open &= !self.harness.closed.iter().any(|(conn, _)| *conn == self.conn);
    }

    fn send(&mut self, bytes: &[u8]) {
        if self.is_open {
            self.harness.send(self.conn, bytes);
            self.pump();
        }
    }

    /// Dials with the URL of the first connection. Only after eight refusals it makes another one.
    fn dial(&mut self) {
        self.conn += 1;
        if self.harness.upgrade(self.conn, &self.url, "mqtt") == Upgrade::Accept {
            (self.is_open, self.refused) = (true, 0);
            let connect = Connect { clean_session: false, ..Connect::new(ClientId::new("bad").unwrap(), 0) };
            let mut bytes = Vec::new();
            Outbound::Connect(connect).encode(&mut bytes).unwrap();
            self.send(&bytes);
        } else {
            self.refused += 1;
            if self.refused == 8 {
                self.tokens = self.harness.sign_in();
                let credentials = self.harness.credentials(LEGACY_POOL, &self.tokens);
                (self.url, self.refused) = (self.harness.presign(&credentials), 0);
            }
        }
        self.pump();
    }

    fn subscribe(&mut self, filters: &[&str]) {
        if self.is_open {
            self.harness.subscribe(self.conn, filters);
            self.pump();
        }
    }

    fn publish(&mut self, device: &str, delivery: Delivery, message: &Value) {
        let topic = format!("/v1/dev/a0b1c2d3e4{device}/in");
        let payload = message.to_string();
        let mut bytes = Vec::new();
        Publish::new(Topic::new(&topic).unwrap(), payload.as_bytes(), delivery).encode(&mut bytes).unwrap();
        self.send(&bytes);
    }

    fn command(&mut self, device: &str, kind: u32, id: u32, celsius: f64) {
        let message = json!({
            "src": { "type": 100, "ref": "" }, "dest": { "type": 1, "ref": "" }, "msg": 44, "id": id,
            "body": { "ver": 1, "type": kind, "cmd": [{ "tm": -1, "sp": celsius }] },
        });
        self.publish(device, Delivery::AtMostOnce, &message);
    }

    fn leave(&mut self) {
        self.harness.cloud.handle_ws_closed(at(self.harness.now), self.conn);
        self.is_open = false;
        self.pump();
    }

    fn tick(&mut self) {
        self.harness.pass(TICK);
        self.pump();
        self.ticks += 1;
        let (step, _) = self.check.step();
        if !self.is_open {
            self.dial();
            match step {
                "connect" | "subscribe" | "commands" | "dropped-acks" => self.subscribe(&[LIVING, KITCHEN]),
                "refused-subscription" => {}
                _ => self.subscribe(&[LIVING]),
            }
        }
        let _ = self.harness.rest(&self.tokens, BACKEND, "GET", "/devices", None);
        self.pump();
        match (step, self.ticks) {
            // Before the second connection of the same name, a second has to pass.
            ("commands", 1..) if self.ticks.is_multiple_of(6) => self.dial(),
            ("commands", 1..) if self.ticks.is_multiple_of(5) => {
                let nine: Vec<String> = (0..9).map(|n| format!("/v1/dev/a0b1c2d3e4f{n}/out")).collect();
                self.subscribe(&nine.iter().map(String::as_str).collect::<Vec<_>>());
            }
            ("commands", 1..) if self.ticks.is_multiple_of(7) => {
                let exactly_once = Delivery::ExactlyOnce(PacketId::new(9).unwrap());
                self.publish("f6", exactly_once, &json!({}));
            }
            ("dropped-acks" | "slow-rest", 1..) if self.ticks.is_multiple_of(10) => self.leave(),
            ("refused-subscription", _) => self.subscribe(&[LIVING, "/v1/dev/+/out"]),
            _ => {}
        }
        self.publish("f6", Delivery::AtMostOnce, &json!({ "MsgType": 7 }));
        let warmer = f64::from(self.ticks % 5) / 10.0;
        self.command("f6", 4, 1, 21.0 + warmer);
        self.command("f5", 4, 2, 21.0);
        self.command("f5", 1, 3, 21.5);
        self.command("f5", 1, 2, 21.0);
    }
}

fn results(report: &CheckReport, result: CheckResult) -> Vec<&'static str> {
    report.findings().filter(|finding| finding.result == result).map(|finding| finding.rule.name).collect()
}

#[test]
fn a_client_that_does_everything_wrong_breaks_nearly_every_rule() {
    let mut bad = Bad::new();
    while !bad.check.is_finished() {
        bad.tick();
        assert!(bad.harness.now < Duration::from_secs(1_800), "{:?}", bad.check.step());
    }
    let report = bad.check.report();
    // It does connect again, and its keep-alive of 0 lets it be silent for half an hour.
    assert_eq!(results(&report, CheckResult::Pass), ["reconnect"], "{report}");
    assert_eq!(results(&report, CheckResult::NotSeen), ["pings"], "{report}");
    assert!(report.to_string().contains("33 fail"), "{report}");
}

#[test]
fn a_client_that_does_not_reconnect_is_reported() {
    let mut harness = Harness::demo();
    harness.cloud.record_events(true);
    let mut check = Check::new(&harness.cloud, CheckSettings::default(), at(harness.now));
    harness.connect(1);
    harness.subscribe(1, &[KITCHEN]);
    while !check.is_finished() {
        while let Some(event) = harness.cloud.poll_event() {
            check.handle_event(&event);
        }
        check.act(&mut harness.cloud, at(harness.now));
        harness.drain();
        if let Some(next) = check.poll_timeout() {
            // It pings as long as its connection lives.
            harness.send(1, &mysa_mqtt_codec::PINGREQ);
            harness.pass(next.saturating_sub(harness.now).min(Duration::from_secs(30)));
            check.handle_timeout(at(harness.now));
        }
    }
    let report = check.report();
    assert_eq!(results(&report, CheckResult::Fail), ["reconnect", "recovery"], "{report}");
    let finding = report.finding("cut", "reconnect").unwrap();
    assert_eq!(finding.observed, "not connected after 60 s");
    assert_eq!(report.finding("connect", "pings").unwrap().result, CheckResult::Pass, "{report}");
}
