//! Availability under virtual time: it is true within half a minute for every order of failures and restarts.

mod harness;

use std::time::Duration;

use mysa_bridge::{AccountIndex, Bridge, Settings};
use mysa_proto::DeviceId;
use mysa_session::{Level, Reason};

use crate::harness::Harness;
use crate::harness::home::{Known, Node, at, home, list, living_room, starting};

const CONFIG: &str = "homeassistant/device/mysa_a0b1c2d3e4f6/config";
const STATE: &str = "mysa/a0b1c2d3e4f6/state";
const ATTRIBUTES: &str = "mysa/a0b1c2d3e4f6/attributes";
const AVAILABILITY: &str = "mysa/a0b1c2d3e4f6/availability";
const BRIDGE: &str = "mysa/bridge/availability";
const BRIDGE_STATE: &str = "mysa/bridge/state";

fn settings() -> Settings {
    Settings::new("mysa-bridge")
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn service(harness: &mut Harness<Node>, level: Level, reason: Reason, no_source_for: Option<Duration>) {
    let now = at(harness.now);
    harness.peer.bridge.handle_service(AccountIndex::FIRST, level, reason, no_source_for, now);
    harness.settle();
}

/// A thermostat without a sign of life so far.
fn unseen() -> Known {
    let mut known = living_room();
    (known.is_seen, known.is_current) = (false, false);
    known
}

// The cloud.

#[test]
fn the_thermostats_are_unavailable_after_25_s_without_a_source() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    service(&mut harness, Level::Offline, Reason::ConnectionLost, Some(Duration::ZERO));
    harness.secs(24);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
    // Another reason does not restart the time, nor does a snapshot.
    service(&mut harness, Level::Offline, Reason::Unreachable, Some(secs(24)));
    harness.show(&known);
    harness.secs(1);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("offline"));
    assert_eq!(harness.broker.retained(BRIDGE), Some("online"));
    assert_eq!(harness.json(BRIDGE_STATE)["cloud"], "offline");
    assert_eq!(harness.json(BRIDGE_STATE)["reason"], "the cloud cannot be reached");
    known.last_seen = harness.now;
    harness.show(&known);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("offline"));
    service(&mut harness, Level::RestOnly, Reason::ConnectionLost, None);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
}

#[test]
fn the_time_without_a_source_counts_from_its_last_proof_not_from_the_level() {
    let mut harness = home(settings(), &[living_room()]);
    harness.secs(100);
    // The connection fell silent 22 s ago, and was given up now.
    service(&mut harness, Level::Offline, Reason::ConnectionLost, Some(secs(22)));
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
    harness.secs(3);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("offline"));
}

#[test]
fn without_a_sign_in_the_thermostats_are_unavailable_once_there_is_no_source() {
    let mut harness = home(settings(), &[living_room()]);
    service(&mut harness, Level::SignInNeeded, Reason::NoCredentials, None);
    harness.secs(600);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"), "the connection is still up");
    service(&mut harness, Level::SignInNeeded, Reason::NoCredentials, Some(Duration::ZERO));
    harness.secs(25);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("offline"));
}

#[test]
fn a_connection_that_is_replaced_does_not_show() {
    let mut harness = home(settings(), &[living_room()]);
    let before = harness.broker.log.len();
    for _ in 0..20 {
        harness.secs(10);
        service(&mut harness, Level::Offline, Reason::ConnectionLost, Some(secs(22)));
        harness.run(Duration::from_millis(2_900));
        service(&mut harness, Level::Live, Reason::Healthy, None);
    }
    let shown = harness.broker.log[before..].iter().filter(|publish| publish.topic == AVAILABILITY);
    assert_eq!(shown.count(), 0);
}

// The start.

#[test]
fn nothing_is_published_about_a_thermostat_until_it_is_known() {
    let mut harness = starting(settings());
    for (topic, payload) in [(AVAILABILITY, "online"), (STATE, "{}"), (CONFIG, "{}"), (ATTRIBUTES, "{}")] {
        harness.broker.publish(topic, payload.as_bytes(), true);
    }
    list(&mut harness, &[unseen()]);
    harness.secs(10);
    for topic in [AVAILABILITY, STATE, CONFIG, ATTRIBUTES] {
        assert!(harness.broker.published(topic).is_empty(), "{topic}");
    }
    assert_eq!(harness.broker.retained(BRIDGE), Some("offline"), "the states are not read yet");
    harness.show(&living_room());
    assert_eq!(harness.broker.published(AVAILABILITY), ["online"]);
    assert_eq!(harness.broker.retained(BRIDGE), Some("online"));
    let topics: Vec<&str> = harness.broker.log.iter().map(|publish| publish.topic.as_str()).collect();
    let last = |topic| topics.iter().rposition(|other| *other == topic).unwrap();
    assert!(
        last(CONFIG) < last(STATE) && last(STATE) < last(AVAILABILITY) && last(AVAILABILITY) < last(BRIDGE)
    );
    assert_eq!(harness.broker.published(STATE).len(), 1);
}

#[test]
fn a_thermostat_that_is_never_seen_is_unavailable_after_15_s() {
    let mut harness = starting(settings());
    harness.broker.publish(AVAILABILITY, b"online", true);
    let known = Known::new("b0b1c2d3e4f6", "Bedroom", "BB-V2-0");
    list(&mut harness, &[unseen(), known]);
    harness.secs(14);
    assert_eq!(harness.broker.retained("mysa/b0b1c2d3e4f6/availability"), Some("online"));
    assert_eq!(
        (harness.broker.retained(AVAILABILITY), harness.broker.retained(BRIDGE)),
        (Some("online"), Some("offline"))
    );
    // The latest snapshot is published, not the first.
    let mut renamed = unseen();
    renamed.name = "Den".into();
    harness.show(&renamed);
    harness.secs(1);
    assert_eq!(
        (harness.broker.retained(AVAILABILITY), harness.broker.retained(BRIDGE)),
        (Some("offline"), Some("online"))
    );
    assert_eq!(harness.json(CONFIG)["device"]["name"], "Den");
    assert!(harness.broker.retained(STATE).is_some() && harness.broker.retained(ATTRIBUTES).is_some());
}

#[test]
fn a_thermostat_that_is_added_later_does_not_take_the_bridge_offline() {
    let mut harness = home(settings(), &[Known::new("b0b1c2d3e4f6", "Bedroom", "BB-V2-0")]);
    let before = harness.broker.log.len();
    list(&mut harness, &[Known::new("b0b1c2d3e4f6", "Bedroom", "BB-V2-0"), unseen()]);
    harness.secs(5);
    assert_eq!(harness.broker.retained(BRIDGE), Some("online"));
    assert!(harness.broker.log[before..].iter().all(|publish| publish.topic != AVAILABILITY));
    harness.show(&living_room());
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
}

// All orders.

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// The broker restarts and keeps or loses its retained messages.
    Broker {
        keeps: bool,
    },
    /// The broker cannot be reached for a while.
    BrokerAway,
    HomeAssistant,
    /// The process is killed and started again.
    Bridge,
    /// The cloud closes the connection and cannot be reached.
    CloudCloses,
    /// The connection to the cloud falls silent.
    CloudFallsSilent,
    CloudReturns,
    ThermostatOff,
    ThermostatOn,
}

const STEPS: [Step; 10] = [
    Step::Broker { keeps: true },
    Step::Broker { keeps: false },
    Step::BrokerAway,
    Step::HomeAssistant,
    Step::Bridge,
    Step::CloudCloses,
    Step::CloudFallsSilent,
    Step::CloudReturns,
    Step::ThermostatOff,
    Step::ThermostatOn,
];

struct House {
    harness: Harness<Node>,
    known: Known,
    /// Time of the last proof of a source.
    lost_at: Option<Duration>,
}

impl House {
    fn new() -> Self {
        let known = living_room();
        Self { harness: home(settings(), std::slice::from_ref(&known)), known, lost_at: None }
    }

    fn service(&mut self) {
        let no_source_for = self.lost_at.map(|at| self.harness.now - at);
        let (level, reason) = match no_source_for {
            Some(_) => (Level::Offline, Reason::Unreachable),
            None => (Level::Live, Reason::Healthy),
        };
        service(&mut self.harness, level, reason, no_source_for);
    }

    /// Loses the cloud; the session reports it after `time`, as with the settings of [`Settings::tune`].
    fn lose_cloud(&mut self, time: Duration) {
        self.lost_at = self.lost_at.or(Some(self.harness.now));
        self.harness.run(time);
        self.service();
    }

    /// Applies a step, and runs until half a minute after it.
    fn apply(&mut self, step: Step) {
        let start = self.harness.now;
        match step {
            Step::Broker { keeps } => self.harness.restart_broker(keeps),
            Step::BrokerAway => {
                self.harness.unreachable = true;
                self.harness.cut();
                self.harness.secs(40);
                self.harness.unreachable = false;
                return self.harness.secs(30);
            }
            Step::HomeAssistant => self.harness.broker.publish("homeassistant/status", b"online", false),
            Step::Bridge => self.restart(),
            Step::CloudCloses => self.lose_cloud(secs(4)),
            Step::CloudFallsSilent => self.lose_cloud(secs(22)),
            Step::CloudReturns => {
                self.lost_at = None;
                self.service();
            }
            Step::ThermostatOff | Step::ThermostatOn => {
                self.known.is_current = step == Step::ThermostatOn;
                self.harness.show(&self.known);
            }
        }
        let passed = self.harness.now - start;
        self.harness.run(secs(30).saturating_sub(passed));
    }

    fn restart(&mut self) {
        let bridge = Bridge::new(settings(), [9; 32], at(self.harness.now)).expect("valid settings");
        self.harness.peer = Node::new(bridge);
        self.harness.open = None;
        self.harness.settle();
        // A new session has no source until it has read the states, a second later.
        let lost_at = self.lost_at;
        self.lost_at = lost_at.or(Some(self.harness.now));
        self.service();
        // Without the cloud, a new process does not know the thermostats.
        if lost_at.is_none() {
            let mut unseen = self.known.clone();
            (unseen.is_seen, unseen.is_current) = (false, false);
            unseen.show(&mut self.harness.peer.bridge, self.harness.now);
            self.harness.peer.bridge.handle_list(AccountIndex::FIRST, &[self.known.id], at(self.harness.now));
            self.harness.secs(1);
            self.lost_at = None;
            self.service();
            self.harness.show(&self.known);
        }
    }

    fn check(&self, steps: &[Step]) {
        let shows = |topic| self.harness.broker.retained(topic) == Some("online");
        let shown = shows(BRIDGE) && shows(AVAILABILITY);
        let truth = self.known.is_current && self.lost_at.is_none();
        assert_eq!(shown, truth, "{steps:?}: {:?}", self.harness.broker.retained);
        assert!(self.harness.peer.commands.is_empty());
    }
}

#[test]
fn availability_is_true_within_half_a_minute_after_every_order_of_four_steps() {
    for number in 0..STEPS.len().pow(4) {
        let steps = [1_000, 100, 10, 1].map(|place| STEPS[number / place % 10]);
        let mut house = House::new();
        for (done, step) in steps.into_iter().enumerate() {
            house.apply(step);
            // A process that started without the cloud learns of the thermostats when it returns.
            if step == Step::CloudReturns {
                let now = house.harness.now;
                house.known.show(&mut house.harness.peer.bridge, now);
                let id: DeviceId = house.known.id;
                house.harness.peer.bridge.handle_list(AccountIndex::FIRST, &[id], at(now));
                house.harness.settle();
            }
            house.check(&steps[..=done]);
        }
    }
}
