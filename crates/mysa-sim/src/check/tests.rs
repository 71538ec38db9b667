//! The check against recorded clients: one that keeps every rule, and for each rule one that breaks it.

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec;

use mysa_proto::Celsius;
use serde_json::{Value, json};

use super::*;
use crate::device::command_record::{CommandRecord, HeldSettings, Origin};
use crate::device::family::Mode;
use crate::fault::Closing;
use crate::journal::{CloseReason, EventKind};

const START: i64 = 1_767_323_045;

fn device(last: &str) -> DeviceId {
    DeviceId::new(&format!("a0b1c2d3e4{last}")).unwrap()
}

fn at(secs: f64) -> Now {
    let mono = Duration::from_secs_f64(secs);
    let wall = UnixTime::from_secs(START).plus_millis(i64::try_from(mono.as_millis()).unwrap());
    Now { mono, wall }
}

/// A recorded client, which may break one rule.
struct Recorded {
    check: Check,
    secs: f64,
    conn: u64,
    breaks: Option<Rule>,
    /// Names of the faults and incidents that the check has started.
    did: Vec<String>,
}

impl Recorded {
    fn new(breaks: Option<Rule>) -> Self {
        let families = [(device("f5"), Family::BaseboardV1), (device("f6"), Family::BaseboardV2)];
        let check = Check::of_families(families.into(), CheckSettings::default(), Duration::ZERO);
        Self { check, secs: 0.0, conn: 0, breaks, did: Vec::new() }
    }

    fn breaks(&self, id: Rule) -> bool {
        self.breaks == Some(id)
    }

    fn drain(&mut self) {
        for action in core::mem::take(&mut self.check.actions) {
            self.did.push(match action {
                Action::Start(fault) => format!("{fault:?}"),
                Action::Perform(incident) => incident.to_string(),
                Action::EndFaults => "end".into(),
            });
        }
    }

    fn event(&mut self, kind: EventKind) {
        self.check.handle_event(&Event { at: at(self.secs), kind });
        self.drain();
    }

    fn pass(&mut self, secs: f64) {
        self.secs += secs;
        self.check.handle_timeout(at(self.secs));
        self.drain();
    }

    fn request(&mut self, status: u16) {
        let (route, path) = ("backend GET /devices".into(), "/devices".into());
        self.event(EventKind::Request { route, path, status: Some(status) });
    }

    fn closed(&mut self, reason: CloseReason) {
        let by_broker = (reason != CloseReason::Lost).then_some(Closing::Cut);
        self.event(EventKind::Closed { conn: self.conn, by_broker, reason });
    }

    fn open(&mut self) {
        self.conn += 1;
        let signed_at = if self.breaks(Rule::Signature) { at(0.0).wall } else { at(self.secs).wall };
        self.event(EventKind::Opened { conn: self.conn, account: "ann@example.org".into(), signed_at });
        let keep_alive = if self.breaks(Rule::KeepAlive) { 0 } else { 30 };
        let clean_session = !self.breaks(Rule::CleanSession);
        let client = format!("client-{}", self.conn);
        self.event(EventKind::Connected { conn: self.conn, client, keep_alive, clean_session });
    }

    fn subscribe(&mut self, filters: &[&str]) {
        let refuses = self.check.step == Step::RefusedSubscription
            && matches!(self.check.phase, Phase::Waiting { .. } | Phase::Watching { .. });
        let refused = |filter: &str| refuses && filter.contains("f5");
        let filters = filters.iter().map(|filter| ((*filter).into(), !refused(filter))).collect();
        self.event(EventKind::Subscribed { conn: self.conn, filters });
    }

    fn connect(&mut self) {
        self.open();
        self.subscribe(&[F5, F6]);
    }

    fn publish(&mut self, to: &str, qos: u8, message: &Value, accepted: bool) {
        let topic = format!("/v1/dev/{}/in", device(to));
        let payload = message.to_string().into_bytes();
        self.event(EventKind::Published { conn: self.conn, topic, qos, payload, accepted });
    }

    fn command(&mut self, to: &str, id: u64, celsius: f64) {
        let (right, wrong) = if to == "f6" { (4, 1) } else { (1, 4) };
        let mut message = json!({
            "src": { "type": 100, "ref": if self.breaks(Rule::CommandSource) { "" } else { "user" } },
            "dest": { "type": 1, "ref": device(to).as_str() }, "msg": 44, "id": id,
            "body": {
                "ver": 1, "type": if self.breaks(Rule::CommandType) { wrong } else { right },
                "cmd": [{ "tm": -1, "sp": celsius }],
            },
        });
        if self.breaks(Rule::CommandId) {
            message["id"] = json!(1);
        }
        self.publish(to, u8::from(!self.breaks(Rule::CommandQos)), &message, true);
        let held = HeldSettings {
            setpoint: Celsius::from_degrees(celsius).unwrap(),
            mode: Mode::Heat,
            lock: false,
            brightness: (50, 10),
            hold: false,
            hold_end: None,
            fan: 0,
            swing: (0, 0),
            revision: 1,
        };
        let now = at(self.secs);
        let record = CommandRecord {
            at: now,
            taken_at: now,
            origin: Origin::Mqtt { conn: self.conn },
            request: Some(id),
            applied: !self.breaks(Rule::CommandValues),
            setpoint: None,
            mode: None,
            lock: None,
            brightness: None,
            held,
        };
        self.event(EventKind::Command { device: device(to), record });
    }

    fn live(&mut self, accepted: bool) {
        self.publish("f6", 1, &json!({ "MsgType": 11, "Timeout": 180 }), accepted);
    }

    fn times(&mut self, usual: u32, broken: (Rule, u32), mut act: impl FnMut(&mut Self)) {
        let number = if self.breaks(broken.0) { broken.1 } else { usual };
        for _ in 0..number {
            act(self);
        }
    }

    /// Ends the connection of the client, and opens its next one.
    fn leave(&mut self) {
        self.closed(CloseReason::Lost);
        self.pass(1.5);
        self.connect();
    }

    fn until(&mut self, step: Step) {
        let mut rounds = 0;
        while self.check.step != step || matches!(self.check.phase, Phase::Settling { .. }) {
            self.pass(1.0);
            rounds += 1;
            assert!(rounds < 200, "{step:?} does not begin: {:?}", self.check);
        }
    }

    fn run(mut self) -> CheckReport {
        self.start();
        self.commands();
        self.connections();
        self.permissions();
        self.rest();
        assert!(self.check.is_finished(), "{:?}", self.check.step());
        assert_eq!(self.check.poll_timeout(), None);
        assert_eq!(self.did, WHAT_IT_DOES);
        self.check.report()
    }

    fn start(&mut self) {
        self.times(1, (Rule::SignIn, 4), |client| client.event(EventKind::SignedIn));
        self.times(0, (Rule::Rest, 10), |client| client.request(401));
        self.request(200);
        self.times(1, (Rule::Credentials, 11), |client| client.event(EventKind::CredentialsIssued));
        self.open();
        for (id, reason) in [
            (Rule::ClientId, CloseReason::TakenOver),
            (Rule::ConnectRate, CloseReason::EarlyConnect),
            (Rule::Filters, CloseReason::TooManyFilters),
            (Rule::Pings, CloseReason::Silent),
            (Rule::Packets, CloseReason::NoConnect),
        ] {
            if self.breaks(id) {
                self.closed(reason);
                self.pass(2.0);
                self.open();
            }
        }
        if self.breaks(Rule::OwnTopics) {
            let filters = vec![("/v1/dev/+/out".into(), false)];
            self.event(EventKind::Subscribed { conn: self.conn, filters });
        }
        self.subscribe(&[F5, F6]);
    }

    fn commands(&mut self) {
        self.until(Step::Commands);
        if self.breaks(Rule::Dangerous) {
            self.publish("f6", 1, &json!({ "MsgType": 7 }), true);
        }
        self.command("f6", 1, 20.0);
        self.pass(1.0);
        self.command("f6", 2, 21.0);
        if self.breaks(Rule::CommandOrder) {
            self.command("f6", 1, 20.0);
        }
        self.pass(if self.breaks(Rule::CommandSpacing) { 0.1 } else { 1.0 });
        self.command("f5", 3, 21.0);
        self.until(Step::DroppedAcks);
        self.times(3, (Rule::LostAckRepeats, 7), |client| {
            client.command("f6", 4, 22.0);
            client.pass(1.0);
        });
        self.times(0, (Rule::LostAckConnection, 2), Self::leave);
    }

    fn connections(&mut self) {
        self.until(Step::Cut);
        self.closed(CloseReason::Fault);
        self.pass(2.0);
        if self.breaks(Rule::Resubscribe) {
            self.open();
            self.subscribe(&[F6]);
            self.pass(60.0);
            self.subscribe(&[F5]);
        } else {
            self.pass(if self.breaks(Rule::Reconnect) { 60.0 } else { 0.0 });
            self.connect();
        }
        self.until(Step::Storm);
        self.closed(CloseReason::Fault);
        self.times(3, (Rule::Backoff, 11), |client| {
            client.pass(1.5);
            client.open();
            client.closed(CloseReason::Fault);
        });
        self.pass(20.0);
        self.connect();
        self.until(Step::RefusedSubscription);
        self.closed(CloseReason::Fault);
        self.pass(2.0);
        self.open();
        self.times(1, (Rule::RefusedFilter, 6), |client| client.subscribe(&[F5]));
        // A slow client has a minute for the other filters; one that needs more breaks the rule.
        self.pass(if self.breaks(Rule::OtherFilters) { 61.0 } else { 25.0 });
        self.subscribe(&[F6]);
        self.pass(20.0);
    }

    fn permissions(&mut self) {
        self.until(Step::DeniedPublish);
        self.times(1, (Rule::DeniedPublish, 3), |client| {
            client.live(false);
            client.closed(CloseReason::Denied);
            client.pass(2.0);
            client.connect();
        });
        self.until(Step::ExpiredTokens);
        self.times(1, (Rule::TokenRefresh, 11), |client| client.request(401));
        if !self.breaks(Rule::TokenRefresh) {
            self.event(EventKind::TokensRefreshed);
            self.request(200);
        }
        self.until(Step::ExpiredCredentials);
        self.closed(CloseReason::Fault);
        self.times(1, (Rule::FreshCredentials, 6), |client| {
            client.pass(1.0);
            client.event(EventKind::UpgradeRefused { status: Some(403) });
        });
        self.event(EventKind::CredentialsIssued);
        self.connect();
    }

    fn rest(&mut self) {
        self.until(Step::SlowRest);
        self.times(2, (Rule::SlowRest, 9), |client| client.request(200));
        self.times(0, (Rule::SlowRestConnection, 2), Self::leave);
        self.until(Step::Unauthorized);
        self.request(401);
        self.times(1, (Rule::Unauthorized, 5), |client| client.event(EventKind::TokensRefreshed));
        self.request(401);
        self.until(Step::Throttled);
        self.request(429);
        self.times(1, (Rule::RetryAfter, 3), |client| client.request(429));
        if self.breaks(Rule::Recovery) {
            self.closed(CloseReason::Lost);
        }
        self.pass(70.0);
    }
}

const F5: &str = "/v1/dev/a0b1c2d3e4f5/out";
const F6: &str = "/v1/dev/a0b1c2d3e4f6/out";

const WHAT_IT_DOES: [&str; 27] = [
    "end",
    "end",
    "end",
    "Device(None, DropAcks)",
    "end",
    "all connections are closed",
    "end",
    "CloseAfterConnect { after: 50ms, closing: Frame(None) }",
    "all connections are closed",
    "end",
    "RefuseDevice(DeviceId(a0b1c2d3e4f5))",
    "all connections are closed",
    "end",
    "DenyPublish",
    "end",
    "tokens expire",
    "end",
    "credentials expire",
    "all connections are closed",
    "end",
    "Http(Rest, Delay(8s))",
    "end",
    "Http(Rest, Status(401))",
    "end",
    "Http(Rest, Throttle(5))",
    "end",
    "end",
];

#[test]
fn a_client_that_keeps_every_rule_passes_every_rule() {
    let report = Recorded::new(None).run();
    for finding in report.findings() {
        assert_eq!(finding.result, CheckResult::Pass, "{finding:?}");
    }
    assert!(report.finished);
    let CheckFacts { sign_ins, largest_subscribe, filters, devices, commands, .. } = report.facts;
    assert_eq!((sign_ins, largest_subscribe, filters, devices, commands), (1, 2, 2, 2, 6));
}

#[test]
fn each_rule_can_be_broken() {
    for rule in RULES {
        let report = Recorded::new(Some(rule.id)).run();
        let broken: Vec<_> =
            report.findings().filter(|finding| finding.result == CheckResult::Fail).collect();
        assert!(broken.iter().any(|finding| finding.rule.id == rule.id), "{}: {broken:?}", rule.name);
        // A client that does not reconnect misses the steps that need a connection.
        assert!(broken.len() <= 3, "{}: {broken:?}", rule.name);
    }
}

#[test]
fn the_script_waits_for_the_first_request_of_a_client() {
    let mut client = Recorded::new(None);
    client.pass(1_799.0);
    assert_eq!(client.check.step().0, "connect");
    client.pass(1.0);
    let report = client.check.report();
    assert!(report.finished && report.steps[1].began.is_none());
    assert_eq!(report.count(CheckResult::NotSeen), RULES.len());
}

#[test]
fn a_client_that_never_connects_breaks_no_rule() {
    let mut client = Recorded::new(None);
    client.event(EventKind::SignedIn);
    client.request(200);
    let mut rounds = 0;
    while let Some(due) = client.check.poll_timeout() {
        client.secs = due.as_secs_f64();
        client.pass(0.0);
        rounds += 1;
        assert!(rounds < 100);
    }
    let report = client.check.report();
    assert_eq!(report.count(CheckResult::NotSeen), RULES.len() - 2);
    assert!(report.finished && report.steps.iter().all(|step| step.ended.is_some()));
    // Fourteen steps of one minute each.
    assert_eq!(report.steps.last().unwrap().ended, Some(Duration::from_secs(14 * 60)));
}

#[test]
fn the_time_of_the_whole_check_is_limited() {
    let settings = CheckSettings { limit: Duration::from_secs(90), ..CheckSettings::default() };
    let mut check = Check::of_families(BTreeMap::new(), settings, Duration::from_secs(7));
    let request = EventKind::Request { route: "rest GET /homes".into(), path: "/homes".into(), status: None };
    check.handle_event(&Event { at: at(7.0), kind: request });
    check.handle_timeout(at(1_000.0));
    assert!(check.is_finished());
    let report = check.report();
    assert_eq!(report.steps[1].ended, Some(Duration::from_secs(90)));
    assert_eq!(report.steps[2].began, None);
}

#[test]
fn a_fast_cloud_gives_the_client_as_much_time_of_its_own() {
    let settings = CheckSettings::default().at_speed(10.0);
    assert_eq!((settings.step_wait, settings.watch), (Duration::from_secs(600), Duration::from_secs(200)));
    for speed in [0.1, 1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(CheckSettings::default().at_speed(speed).step_wait, Duration::from_secs(60), "{speed}");
    }
}

#[test]
fn the_report_has_findings_and_advice() {
    let report = Recorded::new(Some(Rule::Filters)).run();
    let text = report.to_string();
    assert!(
        text.contains("  FAIL      filters            more than eight filters in one packet\n"),
        "{text}"
    );
    assert!(text.contains("rule: put at most eight filters in one SUBSCRIBE (AWS IoT Core"), "{text}");
    assert!(text.contains("Split the filters"), "{text}");
    assert!(text.contains("cut (") && text.contains(": the simulator cuts every connection\n"), "{text}");
    assert!(text.contains("34 pass, 1 fail, 0 not seen"), "{text}");
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!((&json["failed"], &json["finished"]), (&json!(1), &json!(true)));
    assert_eq!(json["facts"]["sign_ins"], 1);
    let filters = &json["steps"][1]["rules"][0];
    assert_eq!((&filters["rule"], &filters["result"]), (&json!("filters"), &json!("fail")));
    assert!(filters["advice"].as_str().unwrap().starts_with("Split"));

    let mut begun = Recorded::new(None);
    begun.start();
    begun.check.handle_missed(3);
    let text = begun.check.report().to_string();
    assert!(text.contains("interrupted: ") && text.contains("3 events were missed"), "{text}");
}

#[test]
fn text_of_a_client_is_quoted_in_part() {
    let mut client = Recorded::new(None);
    client.open();
    let name = "x".repeat(128);
    client.event(EventKind::Connected { conn: 1, client: name, keep_alive: 60, clean_session: true });
    let report = client.check.report();
    let observed = &report.finding("connect", "client-id").unwrap().observed;
    assert!(observed.len() < 100 && observed.ends_with('…'), "{observed}");
    let filters: Vec<String> = (0..5).map(|number| format!("f{number}")).collect();
    assert_eq!(list(filters.iter()), "f0, f1, f2 and 2 more");
    assert_eq!(list(["one".to_string()].iter()), "one");
}
