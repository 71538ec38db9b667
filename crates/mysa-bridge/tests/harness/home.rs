//! A bridge with thermostats, whose commands a test answers.

use std::time::Duration;

use mysa_bridge::client::{self, LinkId};
use mysa_bridge::energy::Query;
use mysa_bridge::{AccountIndex, Bridge, Event, Firmware, Output, RequestId, Settings, Thermostat};
use mysa_proto::{
    AcCapabilities, Celsius, Change, DeviceId, DeviceState, DutyCycle, Limits, Mode, Model, Now, Observation,
    Power, Source, UnixTime, Watts,
};
use mysa_session::{Level, Link, Reason};
use serde_json::Value;

use super::{Harness, Peer};

pub(crate) const FIRST: AccountIndex = AccountIndex::FIRST;

/// Wall clock at the start.
pub(crate) const START: i64 = 1_767_323_045;

pub(crate) fn at(mono: Duration) -> Now {
    let millis = i64::try_from(mono.as_millis()).expect("a short time");
    Now { mono, wall: UnixTime::from_secs(START).plus_millis(millis) }
}

/// Bridge with a record of its instructions to the driver.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) bridge: Bridge,
    pub(crate) commands: Vec<(RequestId, DeviceId, Change)>,
    /// Account of each command.
    pub(crate) accounts: Vec<AccountIndex>,
    pub(crate) events: Vec<Event>,
    /// Unanswered readings of energy, and all of them.
    pub(crate) reads: Vec<(DeviceId, Query)>,
    pub(crate) all_reads: Vec<(DeviceId, Query)>,
    /// Texts to store.
    pub(crate) stores: Vec<String>,
}

impl Node {
    pub(crate) const fn new(bridge: Bridge) -> Self {
        Self {
            bridge,
            commands: Vec::new(),
            accounts: Vec::new(),
            events: Vec::new(),
            reads: Vec::new(),
            all_reads: Vec::new(),
            stores: Vec::new(),
        }
    }
}

impl Peer for Node {
    fn opened(&mut self, link: LinkId, now: Duration) {
        self.bridge.handle_opened(link, at(now));
    }

    fn closed(&mut self, link: LinkId, now: Duration) {
        self.bridge.handle_closed(link, at(now));
    }

    fn written(&mut self, link: LinkId, now: Duration) {
        self.bridge.handle_written(link, at(now));
    }

    fn bytes(&mut self, link: LinkId, bytes: &[u8], now: Duration) {
        self.bridge.handle_bytes(link, bytes, at(now));
    }

    fn timeout(&mut self, now: Duration) {
        self.bridge.handle_timeout(at(now));
    }

    fn next_output(&mut self, _now: Duration) -> Option<client::Output> {
        loop {
            match self.bridge.poll_output()? {
                Output::Broker(output) => return Some(output),
                Output::Command { request, account, device, change } => {
                    self.accounts.push(account);
                    self.commands.push((request, device, change));
                }
                Output::ReadEnergy { device, query, .. } => {
                    self.reads.push((device, query));
                    self.all_reads.push((device, query));
                }
                Output::StoreEnergy { text } => self.stores.push(text),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.bridge.poll_timeout()
    }
}

/// State of a thermostat at the driver.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: DeviceId,
    pub(crate) name: String,
    pub(crate) model: Model,
    pub(crate) ac: Option<AcCapabilities>,
    pub(crate) state: DeviceState,
    pub(crate) power: Power,
    pub(crate) is_current: bool,
    pub(crate) link: Link,
    /// Installed and newest firmware.
    pub(crate) firmware: Option<(String, Option<String>)>,
    pub(crate) pending: Change,
    pub(crate) last_seen: Duration,
    /// `false` until its first sign of life.
    pub(crate) is_seen: bool,
}

impl Known {
    pub(crate) fn new(id: &str, name: &str, model: &str) -> Self {
        Self {
            id: DeviceId::new(id).expect("an id"),
            name: name.into(),
            model: Model::parse(model),
            ac: None,
            state: DeviceState::new(),
            power: Power::Unknown,
            is_current: true,
            link: Link::Live,
            firmware: None,
            pending: Change::default(),
            last_seen: Duration::ZERO,
            is_seen: true,
        }
    }

    /// Merges a status.
    pub(crate) fn observe(&mut self, now: Duration, fill: impl FnOnce(&mut Observation)) {
        let received = at(now);
        let mut observation = Observation::new(Source::Status, Some(received.wall), received);
        fill(&mut observation);
        self.state.observe(&observation);
        self.last_seen = now;
    }

    pub(crate) fn show(&self, bridge: &mut Bridge, now: Duration) {
        self.show_from(FIRST, bridge, now);
    }

    pub(crate) fn show_from(&self, account: AccountIndex, bridge: &mut Bridge, now: Duration) {
        let state = &self.state;
        let limits = Limits {
            ac: self.ac.as_ref(),
            mode: state.mode().map(|field| field.value),
            tracked_sensor: state.tracked_sensor().map(|field| field.value),
            ..Limits::default()
        };
        let thermostat = Thermostat {
            id: self.id,
            name: Some(&self.name),
            model: &self.model,
            limits,
            state,
            duty: state.duty().map(|field| field.value),
            power: self.power,
            has_rated_power: self.power != Power::Unknown,
            is_current: self.is_current,
            link: self.link,
            firmware: self
                .firmware
                .as_ref()
                .map(|(installed, newest)| Firmware { installed, newest: newest.as_deref() }),
            last_seen: self.is_seen.then(|| at(self.last_seen).wall),
            pending: self.pending,
        };
        bridge.handle_thermostat(account, &thermostat, at(now));
    }
}

pub(crate) fn celsius(degrees: f64) -> Celsius {
    Celsius::from_degrees(degrees).expect("a temperature")
}

/// Living room: a baseboard that heats to 20.5 °C.
pub(crate) fn living_room() -> Known {
    let mut known = Known::new("a0b1c2d3e4f6", "Living room", "BB-V2-0");
    known.observe(Duration::ZERO, |seen| {
        seen.temperature = Some(celsius(18.94));
        seen.humidity = mysa_proto::RelativeHumidity::from_percent(44.5);
        seen.setpoint = Some(celsius(20.5));
        seen.mode = Some(Mode::Heat);
        seen.duty = DutyCycle::from_fraction(0.5);
        seen.lock = Some(false);
        seen.signal = Some(-61);
        seen.connected = Some(true);
    });
    known.power = Power::Estimated(Watts::from_watts(750.0).expect("a power"));
    known
}

/// A bridge that is connected, with these thermostats.
pub(crate) fn home(settings: Settings, thermostats: &[Known]) -> Harness<Node> {
    let mut harness = starting(settings);
    list(&mut harness, thermostats);
    harness.settle();
    harness
}

/// A bridge that does not know its thermostats yet.
pub(crate) fn starting(settings: Settings) -> Harness<Node> {
    let bridge = Bridge::new(settings, [7; 32], at(Duration::ZERO)).expect("valid settings");
    Harness::new(Node::new(bridge))
}

pub(crate) fn list(harness: &mut Harness<Node>, thermostats: &[Known]) {
    list_of(harness, FIRST, thermostats);
}

/// Passes on the service level and the thermostats of an account.
pub(crate) fn list_of(harness: &mut Harness<Node>, account: AccountIndex, thermostats: &[Known]) {
    let now = harness.now;
    harness.peer.bridge.handle_service(account, Level::Live, Reason::Healthy, None, at(now));
    for known in thermostats {
        known.show_from(account, &mut harness.peer.bridge, now);
    }
    let ids: Vec<DeviceId> = thermostats.iter().map(|known| known.id).collect();
    harness.peer.bridge.handle_list(account, &ids, at(now));
}

impl Harness<Node> {
    pub(crate) fn show(&mut self, known: &Known) {
        known.show(&mut self.peer.bridge, self.now);
        self.settle();
    }

    /// Publishes a command as Home Assistant does.
    pub(crate) fn set(&mut self, topic: &str, payload: &str) {
        self.broker.publish(topic, payload.as_bytes(), false);
        self.settle();
    }

    pub(crate) fn json(&self, topic: &str) -> Value {
        let payload = self.broker.retained(topic).unwrap_or_else(|| panic!("{topic} is not retained"));
        serde_json::from_str(payload).expect("JSON")
    }

    /// Results so far: id, field, outcome, reason.
    pub(crate) fn results(&self, id: &str) -> Vec<(u64, String, String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let results = self.broker.log.iter().filter(|publish| publish.topic == format!("mysa/{id}/result"));
        results
            .map(|publish| {
                assert!(!publish.retain && !publish.dup);
                let json: Value = serde_json::from_str(&publish.payload).expect("JSON");
                let number = json["id"].as_u64().expect("a number");
                (number, text(&json["field"]), text(&json["outcome"]), text(&json["reason"]))
            })
            .collect()
    }
}
