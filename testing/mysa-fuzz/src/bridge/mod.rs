mod broker;
mod orphans;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mysa_bridge::client::{self, LinkId};
use mysa_bridge::energy::{Answer, Meters, Query, Reading};
use mysa_bridge::{AccountIndex, Bridge, Event, Firmware, Output, RequestId, Settings, Thermostat};
use mysa_mqtt_codec::server::{Inbound, Stream};
use mysa_mqtt_codec::{Delivery, Publish, Topic};
use mysa_proto::{
    Change, DeviceId, DeviceState, DutyCycle, Hold, KilowattHours, Limits, Mode, Model, Now, Observation,
    Power, Source, UnixTime, Watts,
};
use mysa_session::{Expired, Level, Link, Reason, Refused, Verdict};
use serde_json::Value;

use crate::mutate;
use crate::script::Script;
use broker::{Birth, Handshake};
use orphans::Orphans;

/// Bridge with any sequence of inputs.
///
/// Input: a byte that selects the seed and the number of accounts, then a script of bytes of the broker, commands, thermostats,
/// verdicts, retained messages of another bridge or an earlier run, histories of energy, samples of power, starts of Home
/// Assistant, restarts of the bridge, and time.
///
/// It sends valid MQTT that begins with CONNECT on each connection. It asks for a command only after a live message to a `set`
/// topic, never after a retained one, and decides each exactly once. The end of a hold is within a year. The energy of a
/// thermostat never falls, even by a restart. A thermostat that no account has is removed after an hour, and once. Home Assistant
/// gets all retained messages again after its start. The output is bounded. The bridge ends within two seconds of a shutdown.
///
/// ```
/// // The connection opens, and the broker accepts.
/// mysa_fuzz::bridge(&[0, 0, 0, 2, 0, 4, 0]);
/// ```
pub fn bridge(data: &[u8]) {
    mutate::begin(bridge, data);
    let mut script = Script::new(data);
    let mut harness = Harness::new(script.byte());
    for _ in 0..64 {
        if script.is_empty() {
            break;
        }
        mutate::step(script.rest().len());
        harness.step(&mut script);
        harness.drain();
    }
    harness.end();
}

const WALL: i64 = 1_767_323_045;
const IDS: [&str; 3] = ["a0b1c2d3e4f6", "b0b1c2d3e4f6", "c0b1c2d3e4f6"];
const FIELDS: [&str; 6] = ["setpoint", "setpoint_f", "mode", "lock", "brightness_idle", "fan_mode"];
const VALUES: [&str; 8] = ["20.5", "off", "heat", "ON", "68", "x", "", "NaN"];
/// Ends of holds: hours, and times before and after [`WALL`] with and without an offset.
const HOLD_FIELDS: [&str; 2] = ["hold_until", "preset_mode"];
const HOLD_VALUES: [&str; 13] = [
    "2",
    "0.0001",
    "-1",
    "1e300",
    "8784.1",
    "2026-01-02T22:30:00Z",
    "2026-01-02 04:00:05.25-23:59",
    "2026-01-02t03:04:05z",
    "2027-02-29T00:00:00+01:00",
    "9999-12-31T23:59Z",
    "2026-01-03T00:00:00",
    "hold",
    "schedule",
];
const MODELS: [&str; 4] = ["BB-V2-0", "AC-V1-0", "INF-V1-0", "XX"];
const LEVELS: [Level; 4] = [Level::Live, Level::RestOnly, Level::Offline, Level::SignInNeeded];

struct Harness {
    bridge: Bridge,
    seed: u8,
    /// Number of accounts. With one, the calls of inputs from before there were several stay the same.
    accounts: usize,
    mono: Duration,
    links: Vec<LinkId>,
    /// Decoder of each open connection, and whether it has yielded CONNECT.
    streams: BTreeMap<LinkId, (Stream, bool)>,
    commands: Vec<RequestId>,
    decided: Vec<RequestId>,
    /// `true` once arbitrary bytes were fed, which may hold anything.
    is_raw: bool,
    /// Number of live messages to `set` topics.
    live: usize,
    /// Answers of a correct broker to messages and pings.
    answers: Vec<u8>,
    /// Retained messages of the bridge, by their topics.
    retained: BTreeMap<String, Vec<u8>>,
    /// Topics of the messages that this run of the bridge has published and not removed.
    held: BTreeSet<String>,
    /// Latest published energy of each thermostat, by the topic.
    energy: BTreeMap<String, f64>,
    /// Selects how the history of energy is answered and whether the totals can be stored.
    history: u8,
    /// Meters as they were stored last.
    stored: Meters,
    /// Answers that a correct broker owes on the latest connection.
    handshake: Handshake,
    birth: Option<Birth>,
    orphans: Orphans,
    is_stopping: bool,
}

impl Harness {
    fn new(seed: u8) -> Self {
        let accounts = 1 + usize::from(seed & 1);
        let mut harness = Self {
            bridge: start(accounts, seed, Meters::default(), Duration::ZERO),
            seed,
            accounts,
            mono: Duration::ZERO,
            links: Vec::new(),
            streams: BTreeMap::new(),
            commands: Vec::new(),
            decided: Vec::new(),
            is_raw: false,
            live: 0,
            answers: Vec::new(),
            retained: BTreeMap::new(),
            held: BTreeSet::new(),
            energy: BTreeMap::new(),
            history: 0,
            stored: Meters::default(),
            handshake: Handshake::default(),
            birth: None,
            orphans: Orphans::default(),
            is_stopping: false,
        };
        // The bridge dials at once, so that the first step has a link.
        harness.drain();
        harness
    }

    fn link(&self, script: &mut Script<'_>) -> Option<LinkId> {
        // Mostly the latest one.
        let back = usize::from(script.byte()).saturating_sub(200).min(self.links.len().saturating_sub(1));
        self.links.iter().rev().nth(back).copied()
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let choice = script.byte();
        if choice >= 0xf0 {
            return self.later_step(choice, script);
        }
        let link = if choice & 7 < 5 { self.link(script) } else { None };
        let now = at(self.mono);
        match (choice & 15, link) {
            (0 | 8, Some(link)) => self.open(link),
            (1, Some(link)) => self.bridge.handle_closed(link, now),
            (2, Some(link)) => self.bridge.handle_written(link, now),
            (10, Some(link)) => {
                self.bridge.handle_written(link, now);
                self.drain();
                self.answer(link);
            }
            (3, Some(link)) => {
                self.is_raw = true;
                self.feed(link, script.bytes());
            }
            (4, Some(link)) => {
                self.handshake.connack = false;
                self.feed(link, &[0x20, 2, 0, 0]);
            }
            (9 | 11, Some(link)) => self.command(link, script, &FIELDS, &VALUES),
            (12, Some(link)) => {
                self.handshake.suback = None;
                self.feed(link, &[0xd0, 0, 0x90, 5, 0, 1, 0, 0, 0]);
            }
            (5, _) => {
                self.mono += Duration::from_millis(u64::from(script.u16()) * 4);
                self.bridge.handle_timeout(at(self.mono));
            }
            (6, _) => self.thermostat(script),
            (7, _) => {
                let ids = IDS.iter().filter(|_| script.flag()).filter_map(|id| DeviceId::new(id));
                let ids: Vec<DeviceId> = ids.collect();
                let account = self.account(script);
                self.orphans.list(&ids);
                self.bridge.handle_list(account, &ids, now);
            }
            (13, _) => {
                let account = self.account(script);
                let level = script.pick(&LEVELS);
                let no_source_for = (level == Level::Offline).then_some(Duration::ZERO);
                self.bridge.handle_service(account, level, Reason::ConnectionLost, no_source_for, now);
            }
            (14, _) => {
                let verdict = if script.flag() {
                    Verdict::Refused(Refused::Device)
                } else {
                    Verdict::Expired(Expired::Deadline)
                };
                if let Some(&request) =
                    self.commands.get(usize::from(script.byte()) % self.commands.len().max(1))
                {
                    self.bridge.handle_verdict(request, &verdict, now);
                }
            }
            (15, _) => match script.byte() {
                0xff => {
                    self.is_stopping = true;
                    self.bridge.shutdown(now);
                }
                0x80.. => self.return_retained(script),
                history => self.history = history,
            },
            _ => {}
        }
    }

    /// Steps that the bridge has had since its first inputs.
    fn later_step(&mut self, choice: u8, script: &mut Script<'_>) {
        match choice {
            0xf0 => self.sample(script),
            0xf1 => {
                let retain = script.byte() % 4 == 3;
                let payload = script.pick(&["online", "offline", "x"]);
                self.message("homeassistant/status", payload.as_bytes(), retain);
            }
            0xf2 => {
                let topic = format!("mysa/{}/availability", script.pick(&IDS));
                let payload = script.pick(&["online", "offline", ""]);
                self.message(&topic, payload.as_bytes(), script.byte() % 4 != 3);
            }
            0xf3 => {
                if let Some(&link) = self.links.last() {
                    self.command(link, script, &HOLD_FIELDS, &HOLD_VALUES);
                }
            }
            0xf4 => self.restart(),
            // More than an hour, or some seconds.
            0xf5..=0xf7 => self.run(Duration::from_millis(u64::from(script.u16()) * 64)),
            _ => self.run(Duration::from_millis(u64::from(script.byte()) * 64)),
        }
    }

    /// The process is killed and started again. Commands that it has not decided have no result.
    fn restart(&mut self) {
        self.seed = self.seed.wrapping_add(2);
        self.bridge = start(self.accounts, self.seed, self.stored.clone(), self.mono);
        self.links.clear();
        self.streams.clear();
        self.commands.clear();
        self.decided.clear();
        self.answers.clear();
        self.held.clear();
        self.live = 0;
        self.birth = None;
        self.is_stopping = false;
        self.orphans.restart(self.mono);
    }

    /// Account of a call. One of three is none that a bridge has.
    fn account(&self, script: &mut Script<'_>) -> AccountIndex {
        if self.accounts == 1 {
            AccountIndex::FIRST
        } else {
            AccountIndex::new(usize::from(script.byte() % 3))
        }
    }

    /// A broker that has a retained message of this bridge, one from before or of another bridge, or of another thermostat.
    fn return_retained(&mut self, script: &mut Script<'_>) {
        let place = usize::from(script.byte()) % self.retained.len().max(1);
        let Some((topic, own)) = self.retained.iter().nth(place) else { return };
        let (mut topic, own) = (topic.clone(), own.clone());
        let payload = match script.byte() % 6 {
            0 => &own[..],
            1 => b"",
            2 => b"online",
            3 => b"offline",
            4 => b"another",
            _ => script.bytes(),
        };
        if let Some(other) = script.option(|script| script.pick(&IDS)) {
            topic = IDS.iter().fold(topic, |topic, id| topic.replace(id, other));
        }
        self.message(&topic, payload, script.flag());
    }

    /// A message of the broker, retained or of another client.
    fn message(&mut self, topic: &str, payload: &[u8], retain: bool) {
        let Some(&link) = self.links.last() else { return };
        self.orphans.see(topic, self.mono);
        let message = Publish::new(Topic::new(topic).expect("a topic"), payload, Delivery::AtMostOnce);
        let mut bytes = Vec::new();
        Publish { retain, ..message }.encode(&mut bytes).expect("a message");
        self.feed(link, &bytes);
    }

    /// Answers a query of a history: with none, with a failure, or with days whose energy may be corrected later.
    fn answer_history(&mut self, device: DeviceId, query: Query) {
        let now = at(self.mono);
        let kind = self.history;
        let days = (0..20_i32).filter_map(|day| {
            let start = query.start.plus_millis(i64::from(day) * 86_400_000);
            let energy = KilowattHours::from_kilowatt_hours(f64::from(kind & 0x3c) * f64::from(day) / 8.0)?;
            (start < query.end).then_some(Reading { start, energy })
        });
        let days: Vec<Reading> = days.collect();
        let answer = match kind & 3 {
            0 => Answer::NoHistory,
            1 => Answer::Failed,
            _ => Answer::Days(&days),
        };
        self.bridge.handle_energy(device, answer, now);
    }

    fn feed(&mut self, link: LinkId, bytes: &[u8]) {
        self.bridge.handle_bytes(link, bytes, at(self.mono));
    }

    fn command(&mut self, link: LinkId, script: &mut Script<'_>, fields: &[&str], values: &[&str]) {
        let (id, field, value) = (script.pick(&IDS), script.pick(fields), script.pick(values));
        let topic = format!("mysa/{id}/set/{field}");
        let retain = script.flag();
        let publish =
            Publish::new(Topic::new(&topic).expect("a topic"), value.as_bytes(), Delivery::AtMostOnce);
        let mut bytes = Vec::new();
        Publish { retain, ..publish }.encode(&mut bytes).expect("a message");
        self.live += usize::from(!retain);
        self.feed(link, &bytes);
        self.drain();
        let refused = self.decided.iter().filter(|request| !self.commands.contains(request));
        let requests = self.commands.len() + refused.count();
        assert!(self.is_raw || requests <= self.live, "a retained message was obeyed");
    }

    fn thermostat(&mut self, script: &mut Script<'_>) {
        let now = at(self.mono);
        let model = Model::parse(script.pick(&MODELS));
        let mut state = DeviceState::new();
        let mut seen = Observation::new(Source::Status, Some(now.wall), now);
        seen.mode = script.option(|script| script.pick(&Mode::NAMED));
        seen.duty = DutyCycle::from_fraction(f64::from(script.byte()) / 255.0);
        seen.connected = script.option(Script::flag);
        state.observe(&seen);
        let name = script.text();
        let (installed, newest) = (script.text(), script.option(Script::text));
        let firmware = script.flag().then_some(Firmware { installed: &installed, newest: newest.as_deref() });
        let links = [Link::Live, Link::Rest, Link::Silent, Link::Unreachable, Link::Unseen];
        let thermostat = Thermostat {
            id: DeviceId::new(script.pick(&IDS)).expect("an id"),
            name: Some(&name),
            model: &model,
            limits: Limits { mode: seen.mode, ..Limits::default() },
            state: &state,
            duty: seen.duty,
            power: Power::Unknown,
            has_rated_power: script.flag(),
            is_current: script.flag(),
            link: script.pick(&links),
            firmware,
            last_seen: Some(UnixTime::from_secs(i64::from(script.u32()))),
            pending: Change::default(),
        };
        let account = self.account(script);
        self.orphans.list(&[thermostat.id]);
        self.bridge.handle_thermostat(account, &thermostat, now);
    }

    /// Two snapshots of a thermostat, with its power, and the time between them.
    fn sample(&mut self, script: &mut Script<'_>) {
        let id = DeviceId::new(script.pick(&IDS)).expect("an id");
        let (watts, choice) = (Watts::from_watts(f64::from(script.u16())), script.byte());
        let power = match (choice % 4, watts) {
            (1, Some(watts)) => Power::Estimated(watts),
            (2, _) | (_, None) => Power::Unknown,
            (_, Some(watts)) => Power::Measured(watts),
        };
        let time = Duration::from_secs(u64::from(script.byte()) * 2);
        let account = self.account(script);
        self.orphans.list(&[id]);
        for time in [time, Duration::ZERO] {
            let thermostat = Thermostat {
                id,
                name: None,
                model: &Model::parse("BB-V2-0"),
                limits: Limits::default(),
                state: &DeviceState::new(),
                duty: None,
                power,
                has_rated_power: choice & 8 != 0,
                is_current: choice & 16 == 0,
                link: Link::Live,
                firmware: None,
                last_seen: Some(at(self.mono).wall),
                pending: Change::default(),
            };
            self.bridge.handle_thermostat(account, &thermostat, at(self.mono));
            self.drain();
            self.run(time);
        }
    }

    /// Takes all output. Nothing is written until a step says so, so that there is at most one batch.
    fn drain(&mut self) {
        for _ in 0..10_000 {
            let Some(output) = self.bridge.poll_output() else { return };
            match output {
                Output::Broker(client::Output::Dial(link)) => {
                    self.links.push(link);
                    self.handshake = Handshake::default();
                    self.streams.insert(link, (Stream::new(1 << 20), false));
                }
                Output::Broker(client::Output::Send { link, bytes }) => self.check(link, &bytes),
                Output::Broker(client::Output::Close(link)) => drop(self.streams.remove(&link)),
                Output::Command { request, change, .. } => {
                    if let Some(Hold::Until(end)) = change.hold {
                        let ahead = end.as_secs() - at(self.mono).wall.as_secs();
                        assert!((1..=366 * 86_400).contains(&ahead), "a hold of {ahead} s");
                    }
                    assert!(!self.commands.contains(&request), "{request} twice");
                    self.commands.push(request);
                    assert!(self.is_raw || self.commands.len() <= self.live, "a command without a request");
                }
                Output::ReadEnergy { device, query, .. } => self.answer_history(device, query),
                Output::StoreEnergy { text } => {
                    let meters = Meters::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                    let is_stored = self.history & 0x40 == 0;
                    if is_stored {
                        self.stored = meters;
                    }
                    self.bridge.handle_energy_stored(is_stored, at(self.mono));
                }
                Output::Event(Event::Removed { device }) => {
                    if !self.is_raw {
                        self.orphans.remove(device, self.mono);
                    }
                }
                Output::Event(Event::HomeAssistantStarted) => {
                    self.orphans.note_birth();
                    self.expect_all_again();
                }
                Output::Event(Event::Decided { request, .. }) => {
                    assert!(!self.decided.contains(&request), "{request} was decided twice");
                    self.decided.push(request);
                }
                Output::Event(event) => assert!(!event.to_string().contains('\n'), "{event}"),
            }
        }
        panic!("output does not end");
    }

    /// Checks what the bridge sends, and notes what a broker answers.
    fn check(&mut self, link: LinkId, mut bytes: &[u8]) {
        let (stream, is_connected) = self.streams.get_mut(&link).expect("a connection that is open");
        let mut packets = 0;
        while let Some(packet) = stream.next(&mut bytes).expect("valid packets") {
            packets += 1;
            let is_first = !std::mem::replace(is_connected, true);
            assert_eq!(matches!(packet, Inbound::Connect(_)), is_first, "{packet:?}");
            let (topic, payload) = match packet {
                Inbound::Publish(Publish { delivery, retain, topic, payload, .. }) => {
                    if let Delivery::AtLeastOnce(id) = delivery {
                        let [high, low] = id.get().to_be_bytes();
                        self.answers.extend([0x40, 2, high, low]);
                    }
                    if !retain {
                        continue;
                    }
                    (topic, payload)
                }
                Inbound::PingReq => {
                    self.answers.extend([0xd0, 0]);
                    continue;
                }
                Inbound::Connect(_) => {
                    self.handshake.connack = true;
                    // The broker owes nothing to an earlier connection.
                    self.answers.clear();
                    self.orphans.expect_again();
                    continue;
                }
                Inbound::Subscribe(subscribe) => {
                    self.handshake.suback = Some((subscribe.id, subscribe.filters().count()));
                    continue;
                }
                _ => continue,
            };
            let topic = topic.as_str();
            self.retained.insert(topic.into(), payload.into());
            if payload.is_empty() {
                self.orphans.publish_empty(topic);
                self.held.remove(topic);
            } else {
                self.held.insert(topic.into());
            }
            if let Some(birth) = &mut self.birth {
                birth.missing.remove(topic);
            }
            let state =
                topic.ends_with("/state").then(|| serde_json::from_slice::<Value>(payload).ok()).flatten();
            if let Some(energy) = state.and_then(|state| state.get("energy")?.as_f64()) {
                let before = self.energy.insert(topic.into(), energy).unwrap_or(0.0);
                assert!(energy >= before, "{topic}: {energy} after {before}");
            }
        }
        assert!(packets > 0, "an empty batch");
    }

    fn end(mut self) {
        self.bridge.shutdown(at(self.mono));
        self.drain();
        self.mono += Duration::from_secs(2);
        self.bridge.handle_timeout(at(self.mono));
        self.drain();
        assert!(self.bridge.is_ended());
        assert!(
            self.commands.iter().all(|request| self.decided.contains(request)),
            "a command has no result"
        );
        assert_eq!(self.bridge.poll_timeout(), None);
    }
}

/// Starts a bridge with the meters that an earlier run has stored.
fn start(accounts: usize, seed: u8, meters: Meters, mono: Duration) -> Bridge {
    let mut settings = Settings::new("fuzz");
    settings.accounts = accounts;
    let mut bridge = Bridge::new(settings, [seed; 32], at(mono)).expect("valid settings");
    bridge.start_energy(meters, at(mono));
    bridge
}

fn at(mono: Duration) -> Now {
    let millis = i64::try_from(mono.as_millis()).expect("a short time");
    Now { mono, wall: UnixTime::from_secs(WALL).plus_millis(millis) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_of_the_first_seed_opens_a_link() {
        let seed =
            crate::corpus::input_named(include_bytes!("../../../../fuzz/corpus/bridge.ar"), "seed-000");
        let mut script = Script::new(seed);
        let mut harness = Harness::new(script.byte());
        harness.step(&mut script);
        harness.drain();
        let connected: Vec<bool> = harness.streams.values().map(|(_, is_connected)| *is_connected).collect();
        assert_eq!(connected, [true], "no CONNECT");
    }
    const LISTED: &[u8] = &[6, 7, 1, 1, 0, 13, 0];
    /// 1500 W for 300 s.
    const POWER: [u8; 6] = [0xf0, 0, 0xdc, 0x05, 0, 150];

    #[test]
    fn the_energy_of_samples_is_published_and_outlives_a_restart() {
        let mut harness = after(&[LISTED, &POWER, &POWER, &POWER].concat());
        let energy = |harness: &Harness| harness.energy.get("mysa/a0b1c2d3e4f6/state").copied();
        let before = energy(&harness).unwrap_or_default();
        assert!((0.2..=0.375).contains(&before), "{before}");
        harness.steps(&[0xf4, 7, 1, 1, 0, 13, 0]);
        harness.energy.clear();
        harness.steps(&POWER);
        assert!(energy(&harness) >= Some(before), "{:?} after {before}", energy(&harness));
    }

    #[test]
    fn home_assistant_gets_all_messages_again() {
        let mut harness = after(&[LISTED, &POWER, &[0xf1, 0, 0]].concat());
        let waiting = harness.birth.as_ref().map(|birth| birth.missing.len());
        assert!(waiting.is_some_and(|waiting| waiting >= 7), "{waiting:?}");
        // Ten seconds.
        harness.steps(&[0xf5, 160, 0]);
        assert!(harness.birth.is_none());
    }

    #[test]
    fn a_thermostat_that_no_account_has_is_removed_after_an_hour() {
        let mut harness = after(&[LISTED, &POWER, &[0xf2, 2, 0, 0, 0xf5, 0, 0x80]].concat());
        let availability = |harness: &Harness| harness.retained["mysa/c0b1c2d3e4f6/availability"].clone();
        assert_eq!(availability(&harness), b"offline");
        harness.steps(&[0xf5, 0, 0x80]);
        assert_eq!(availability(&harness), b"");
    }

    #[test]
    fn ends_of_holds_become_commands() {
        let holds = (0..26).flat_map(|at| [0xf3, 0, at & 1, at / 2, 0]);
        let mut harness = after(&[LISTED, &POWER].concat());
        harness.steps(&holds.collect::<Vec<u8>>());
        // A number of hours, two times with an offset, and the two presets; the others are refused.
        assert_eq!((harness.commands.len(), harness.decided.len()), (5, 21));
    }

    fn after(data: &[u8]) -> Harness {
        let mut script = Script::new(data);
        let mut harness = Harness::new(script.byte());
        harness.steps(script.rest());
        harness
    }

    impl Harness {
        fn steps(&mut self, data: &[u8]) {
            let mut script = Script::new(data);
            while !script.is_empty() {
                self.step(&mut script);
                self.drain();
            }
        }
    }
}
