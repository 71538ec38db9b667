//! Invariants of the bridge under random orders of faults, commands and restarts.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysa_bridge::{AccountIndex, Bridge, Event, Settings};
use mysa_proto::{Change, Mode};
use mysa_session::{DeliveryStage, Effect, Evidence, Level, Reason, Refused, Verdict};
use proptest::prelude::*;
use serde_json::Value;

use crate::harness::Harness;
use crate::harness::home::{Known, Node, at, celsius, living_room};

#[derive(Clone, Copy, Debug)]
enum Step {
    Set {
        device: usize,
        field: usize,
        value: usize,
    },
    RetainedSet {
        device: usize,
    },
    Observe {
        device: usize,
        tenths: u16,
    },
    Current {
        device: usize,
        current: bool,
    },
    Rename {
        device: usize,
    },
    Listed {
        second: bool,
    },
    Service {
        account: usize,
        level: usize,
    },
    Verdict {
        which: usize,
        verdict: usize,
    },
    Birth,
    Wait(u32),
    Cut,
    RestartBroker {
        keeps: bool,
    },
    /// The process is killed and started again; the broker has not noticed.
    RestartBridge {
        seed: u8,
    },
    Unreachable(bool),
    BlackHole(bool),
    NoPuback(bool),
    Garbage(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0..2_usize;
    prop_oneof![
        8 => (device.clone(), 0..FIELDS.len(), 0..4_usize)
            .prop_map(|(device, field, value)| Step::Set { device, field, value }),
        2 => device.clone().prop_map(|device| Step::RetainedSet { device }),
        4 => (device.clone(), 100..300_u16).prop_map(|(device, tenths)| Step::Observe { device, tenths }),
        2 => (device.clone(), any::<bool>()).prop_map(|(device, current)| Step::Current { device, current }),
        1 => device.clone().prop_map(|device| Step::Rename { device }),
        2 => any::<bool>().prop_map(|second| Step::Listed { second }),
        3 => (device.clone(), 0..LEVELS.len()).prop_map(|(account, level)| Step::Service { account, level }),
        6 => (any::<usize>(), 0..4_usize).prop_map(|(which, verdict)| Step::Verdict { which, verdict }),
        1 => Just(Step::Birth),
        8 => (0..40_000_u32).prop_map(Step::Wait),
        2 => Just(Step::Cut),
        2 => any::<bool>().prop_map(|keeps| Step::RestartBroker { keeps }),
        2 => any::<u8>().prop_map(|seed| Step::RestartBridge { seed }),
        1 => any::<bool>().prop_map(Step::Unreachable),
        1 => any::<bool>().prop_map(Step::BlackHole),
        1 => any::<bool>().prop_map(Step::NoPuback),
        1 => any::<u8>().prop_map(Step::Garbage),
    ]
}

const FIELDS: [(&str, [&str; 4]); 5] = [
    ("setpoint", ["19", "20.5", "warm", "22"]),
    ("mode", ["off", "heat", "cool", "OFF"]),
    ("lock", ["ON", "OFF", "maybe", "true"]),
    ("brightness_active", ["10", "50.0", "500", "0"]),
    ("reboot", ["1", "2", "3", ""]),
];

const ACCOUNTS: [AccountIndex; 2] = [AccountIndex::FIRST, AccountIndex::new(1)];

const LEVELS: [(Level, Reason); 4] = [
    (Level::Live, Reason::Healthy),
    (Level::RestOnly, Reason::ConnectionLost),
    (Level::Offline, Reason::Unreachable),
    (Level::SignInNeeded, Reason::NoCredentials),
];

fn verdicts() -> [Verdict; 4] {
    let after = Duration::from_secs(1);
    [
        Verdict::Confirmed { by: Evidence::Ack, after, effect: Effect::Changed },
        Verdict::Unconfirmed { reached: DeliveryStage::Thermostat, seen: Change::default(), after },
        Verdict::Refused(Refused::Device),
        Verdict::Expired(mysa_session::Expired::Deadline),
    ]
}

struct World {
    harness: Harness<Node>,
    /// One thermostat of each account.
    devices: [Known; 2],
    /// `true` while the second account has its thermostat.
    has_second: bool,
    /// Service level of each account, and its beginning.
    service: [(Level, Reason); 2],
    service_since: [Duration; 2],
    /// Live messages to `set` topics so far.
    live_requests: usize,
    /// Commands of all processes so far.
    commands: usize,
    checked_events: usize,
    /// Length of the broker's log at the start of this process.
    process_log: usize,
    decided: BTreeMap<u64, usize>,
}

impl World {
    fn new() -> Self {
        let mut second = Known::new("b0b1c2d3e4f6", "Bedroom", "BB-V2-0-L");
        (second.is_seen, second.is_current) = (false, false);
        let mut world = Self {
            harness: Harness::new(node(1, Duration::ZERO)),
            devices: [living_room(), second],
            has_second: true,
            service: [LEVELS[0]; 2],
            service_since: [Duration::ZERO; 2],
            live_requests: 0,
            commands: 0,
            checked_events: 0,
            process_log: 0,
            decided: BTreeMap::new(),
        };
        world.start();
        world
    }

    fn show_service(&mut self, account: usize) {
        let (now, (level, reason)) = (self.harness.now, self.service[account]);
        let no_source_for = (level == Level::Offline).then(|| now - self.service_since[account]);
        self.harness.peer.bridge.handle_service(ACCOUNTS[account], level, reason, no_source_for, at(now));
    }

    /// Passes everything that the driver knows to a new bridge.
    fn start(&mut self) {
        self.service_since = [self.harness.now; 2];
        (0..ACCOUNTS.len()).for_each(|account| self.show_service(account));
        self.list();
    }

    fn listed(&self) -> &[Known] {
        &self.devices[..1 + usize::from(self.has_second)]
    }

    fn list(&mut self) {
        let now = self.harness.now;
        for (number, account) in ACCOUNTS.into_iter().enumerate() {
            self.show(number);
            let id = self.listed().get(number).map(|known| known.id);
            self.harness.peer.bridge.handle_list(account, id.as_slice(), at(now));
        }
    }

    fn show(&mut self, device: usize) {
        if device == 0 || self.has_second {
            let bridge = &mut self.harness.peer.bridge;
            self.devices[device].show_from(ACCOUNTS[device], bridge, self.harness.now);
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Set { device, field, value } => {
                let (field, values) = FIELDS[field];
                let topic = format!("mysa/{}/set/{field}", self.devices[device].id);
                self.harness.broker.publish(&topic, values[value].as_bytes(), false);
                self.live_requests += 1;
            }
            Step::RetainedSet { device } => {
                // Published while the bridge is disconnected; otherwise it would also arrive as a live
                // request.
                if self.harness.open.is_none() {
                    let topic = format!("mysa/{}/set/mode", self.devices[device].id);
                    self.harness.broker.publish(&topic, b"off", true);
                }
            }
            Step::Observe { device, tenths } => {
                let now = self.harness.now;
                self.devices[device].observe(now, |seen| {
                    seen.temperature = Some(celsius(f64::from(tenths) / 10.0));
                    seen.mode = Some(if tenths % 2 == 0 { Mode::Heat } else { Mode::Off });
                });
                self.show(device);
            }
            Step::Current { device, current } => {
                self.devices[device].is_current = current;
                self.devices[device].is_seen |= current;
                self.show(device);
            }
            Step::Rename { device } => {
                self.devices[device].name.push('x');
                self.show(device);
            }
            Step::Listed { second } => {
                self.has_second = second;
                self.list();
            }
            Step::Service { account, level } => {
                let (level, reason) = LEVELS[level];
                if self.service[account].0 != level {
                    self.service_since[account] = self.harness.now;
                }
                self.service[account] = (level, reason);
                self.show_service(account);
            }
            Step::Verdict { which, verdict } => {
                let commands = &self.harness.peer.commands;
                if let Some((request, ..)) = commands.get(which % commands.len().max(1)).copied() {
                    let now = at(self.harness.now);
                    self.harness.peer.bridge.handle_verdict(request, &verdicts()[verdict], now);
                }
            }
            Step::Birth => self.harness.broker.publish("homeassistant/status", b"online", false),
            Step::Wait(millis) => self.harness.run(Duration::from_millis(millis.into())),
            Step::Cut => self.harness.cut(),
            Step::RestartBroker { keeps } => self.harness.restart_broker(keeps),
            Step::RestartBridge { seed } => {
                self.finish_process();
                self.harness.peer = node(seed, self.harness.now);
                self.harness.open = None;
                self.start();
            }
            Step::Unreachable(on) => self.harness.unreachable = on,
            Step::BlackHole(on) => self.harness.set_black_hole(on),
            Step::NoPuback(on) => self.harness.broker.no_puback = on,
            Step::Garbage(byte) => self.harness.broker.send_raw(&[byte, 1, 0]),
        }
        self.harness.settle();
        self.check();
    }

    /// Counts the verdicts, and checks that nothing was sent without a request.
    fn check(&mut self) {
        for event in &self.harness.peer.events[self.checked_events..] {
            if let Event::Decided { request, .. } = event {
                let number = request.to_string().trim_start_matches("command ").parse().expect("a number");
                *self.decided.entry(number).or_default() += 1;
            }
        }
        self.checked_events = self.harness.peer.events.len();
        assert!(
            self.decided.values().all(|count| *count == 1),
            "a command has two verdicts: {:?}",
            self.decided
        );
        for (&account, (_, device, _)) in self.harness.peer.accounts.iter().zip(&self.harness.peer.commands) {
            assert_eq!(*device, self.devices[account.index()].id, "a command to another account");
        }
        let commands = self.commands + self.harness.peer.commands.len();
        assert!(commands <= self.live_requests, "{commands} commands for {} requests", self.live_requests);
    }

    /// Undecided commands of a killed process never get a verdict.
    fn finish_process(&mut self) {
        self.check_results();
        self.commands += self.harness.peer.commands.len();
        self.process_log = self.harness.broker.log.len();
        self.decided.clear();
        self.checked_events = 0;
    }

    /// Ends every fault and checks the final content of the broker.
    fn finish(&mut self) {
        self.harness.set_black_hole(false);
        (self.harness.unreachable, self.harness.broker.no_puback) = (false, false);
        self.harness.secs(30);
        self.check_broker();
        self.harness.secs(95);
        self.check();
        self.check_broker();
        let requested = self.harness.peer.commands.iter().map(|(request, ..)| request.to_string());
        for request in requested {
            let number = request.trim_start_matches("command ").parse().expect("a number");
            assert_eq!(self.decided.get(&number), Some(&1), "{request} has no verdict");
        }
        self.check_results();
    }

    /// Checks that the retained messages equal the true states.
    fn check_broker(&self) {
        let broker = &self.harness.broker;
        assert_eq!(broker.retained("mysa/bridge/availability"), Some("online"));
        for (account, known) in self.listed().iter().enumerate() {
            let away = self.harness.now - self.service_since[account];
            let is_lost = self.service[account].0 == Level::Offline && away >= Duration::from_secs(25);
            let online = known.is_current && !is_lost;
            let availability = broker.retained(&format!("mysa/{}/availability", known.id));
            assert_eq!(availability, Some(if online { "online" } else { "offline" }), "{}", known.id);
            let state = self.harness.json(&format!("mysa/{}/state", known.id));
            let temperature = known.state.temperature().map(|field| field.value.as_degrees());
            let shown = state["temperature"].as_f64();
            assert!(
                temperature.zip(shown).map_or(temperature.is_none() && shown.is_none(), |(known, shown)| {
                    (known - shown).abs() <= 0.051
                }),
                "{temperature:?} {shown:?}"
            );
            assert_eq!(state["mode"].as_str(), known.state.mode().map(|field| field.value.name()));
            let config = self.harness.json(&format!("homeassistant/device/mysa_{}/config", known.id));
            assert_eq!(config["device"]["name"], known.name.as_str());
            crate::harness::schema::check_discovery(&config).expect("a valid discovery message");
        }
        if !self.has_second {
            let availability = broker.retained("mysa/b0b1c2d3e4f6/availability");
            assert_ne!(availability, Some("online"), "a thermostat that left is available");
        }
    }

    /// Checks that no result of this process was published twice.
    fn check_results(&self) {
        let log = self.harness.broker.log[self.process_log..].iter();
        let mut numbers = BTreeSet::new();
        for publish in log.filter(|publish| publish.topic.ends_with("/result")) {
            let result: Value = serde_json::from_str(&publish.payload).expect("JSON");
            assert!(numbers.insert(result["id"].as_u64()), "twice: {result}");
        }
    }
}

fn node(seed: u8, now: Duration) -> Node {
    let mut settings = Settings::new("mysa-bridge");
    settings.accounts = ACCOUNTS.len();
    let bridge = Bridge::new(settings, [seed; 32], at(now)).expect("valid settings");
    Node::new(bridge)
}

proptest! {
    #[test]
    fn every_order_of_faults_ends_in_the_truth(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in steps {
            world.apply(step);
        }
        world.finish();
    }
}
