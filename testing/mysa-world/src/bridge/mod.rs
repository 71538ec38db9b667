//! A home with a bridge: the session and the simulated cloud of [`World`], a bridge on top of the session, a broker, and a
//! stand-in for Home Assistant, in one virtual time.

mod broker;
mod campaign;
mod check;
mod coverage;
mod driver;
mod energy;
mod home_assistant;
mod judge;
mod link;
mod plan;
mod violation;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use mysa_bridge::client::Output as BrokerOutput;
use mysa_bridge::{Bridge, Event, Output, Settings as BridgeSettings};
use mysa_cognito::Secret;
use mysa_proto::DeviceId;
use mysa_session::{Session, Settings, Start};
use mysa_sim::CloudSpec;
use sha2::{Digest as _, Sha256};

use self::broker::{Broker, Message, Store};
use self::driver::Process;
use self::energy::EnergyFile;
use self::home_assistant::HomeAssistant;
use self::judge::Judge;
use self::link::{Link, Packet};
use crate::coverage::{Coverage, TroubleKind};
use crate::net::NetSpec;
use crate::world::Tap;
use crate::{Rng, World};

pub use self::campaign::{BridgeFailure, BridgeReport, bridge_campaign};
pub use self::coverage::{BridgeState, LocalTrouble};
pub use self::violation::BridgeViolation;

/// Time within which what is shown as available is right, counted from the last event at the home.
pub const AVAILABILITY_BOUND: Duration = Duration::from_secs(30);
/// Time within which thermostats are unavailable after the cloud has become unreachable: the session has to notice
/// first, by pings and by reads that fail.
pub const CLOUD_LOST_BOUND: Duration = Duration::from_secs(35);
/// Time within which a thermostat that reports nothing is unavailable: the longest silence that is allowed, and the
/// interval of the driver's snapshots.
pub const SILENCE_BOUND: Duration = Duration::from_secs(35 * 60 + 90);
/// Interval between checks of what is shown.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Rounds allowed while no time passes.
const AT_ONE_MOMENT: u32 = 10_000;

/// A home with a bridge, its cloud and its local network.
#[derive(Debug)]
pub struct BridgeHome {
    /// The session, the cloud, and the network between them.
    pub world: World,
    broker: Broker,
    home: HomeAssistant,
    link: Link,
    process: Option<Process>,
    judge: Judge,
    settings: BridgeSettings,
    rng: Rng,
    /// Time at which the bridge is started, if it is not running.
    restart_at: Option<Duration>,
    broker_starts_at: Option<Duration>,
    /// Commands that a slider or a person is about to publish.
    presses: BTreeMap<(Duration, u64), Message>,
    press_count: u64,
    was_asleep: bool,
    /// Time since which the broker, Home Assistant and the network between them and the bridge have been without
    /// trouble, and the bridge has been running.
    local_since: Duration,
    /// Time since which the broker and Home Assistant have been without trouble.
    shown_since: Duration,
    /// Time since which the bridge has been away.
    away_since: Option<Duration>,
    /// The broker has started again while the bridge was away, and so has no will of it.
    orphaned: bool,
    cloud_trouble_at: Duration,
    session_changed: BTreeMap<DeviceId, Duration>,
    /// Thermostats that the checks of availability and state leave out.
    exempt: BTreeSet<DeviceId>,
    /// Thermostats that left the account and of which the broker has lost the messages. A bridge that did not run then
    /// cannot know that Home Assistant remembers them.
    forgotten: BTreeSet<DeviceId>,
    /// Start and end of the times in which thermostats cannot report.
    dead: Vec<(Duration, Duration, Option<DeviceId>)>,
    password: String,
    email: String,
    coverage: Coverage<LocalTrouble, BridgeState>,
    cloud_coverage: Coverage<TroubleKind, BridgeState>,
    /// Local troubles that last, and until when.
    lasting: Vec<(Duration, LocalTrouble)>,
    checked_at: Duration,
    minute: (u64, u64),
    digest: Sha256,
    at_this_moment: u32,
    largest: usize,
    births_seen: (u64, Duration),
    written_later: VecDeque<(Duration, mysa_bridge::client::LinkId)>,
    /// Energy that the bridge keeps, if it does.
    energy: Option<EnergyFile>,
    reads_nothing_until: Duration,
    /// Until then, every command is published twice.
    repeats_until: Duration,
    /// `true` once the broker has fallen back to an older store. The identity of an earlier bridge in it can pass for a
    /// second bridge.
    has_reverted: bool,
}

impl BridgeHome {
    /// Creates a home whose bridge, broker and Home Assistant have just been started.
    #[must_use]
    pub fn new(
        spec: CloudSpec,
        net: NetSpec,
        mut session: Settings,
        bridge: BridgeSettings,
        seed: u64,
    ) -> Self {
        BridgeSettings::tune(&mut session);
        let mut rng = Rng::new(seed);
        let account = spec.accounts.first();
        let email = account.map(|account| account.email.clone()).unwrap_or_default();
        let password = account.map(|account| account.password.clone()).unwrap_or_default();
        let mut world = World::new(spec, net, session, rng.next()).without_events();
        world.tap = Some(Tap::default());
        let mut home = HomeAssistant::default();
        home.start(Duration::from_millis(rng.below(3_000)));
        let mut all = Self {
            broker: Broker::new(),
            home,
            link: Link::new(Rng::new(rng.next())),
            process: None,
            judge: Judge::default(),
            settings: bridge,
            restart_at: None,
            broker_starts_at: None,
            presses: BTreeMap::new(),
            press_count: 0,
            was_asleep: false,
            local_since: Duration::ZERO,
            shown_since: Duration::ZERO,
            away_since: None,
            orphaned: false,
            cloud_trouble_at: Duration::ZERO,
            session_changed: BTreeMap::new(),
            exempt: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            dead: Vec::new(),
            password,
            email,
            coverage: Coverage::default(),
            cloud_coverage: Coverage::default(),
            lasting: Vec::new(),
            checked_at: Duration::ZERO,
            minute: (0, 0),
            digest: Sha256::new(),
            at_this_moment: 0,
            largest: 0,
            births_seen: (0, Duration::ZERO),
            written_later: VecDeque::new(),
            energy: None,
            reads_nothing_until: Duration::ZERO,
            repeats_until: Duration::ZERO,
            has_reverted: false,
            rng,
            world,
        };
        all.judge.sample(Duration::ZERO, &all.world.cloud);
        all.start_process();
        all
    }

    /// Time since the start of the simulation.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.world.now
    }

    /// The bridge that runs now.
    #[must_use]
    pub fn bridge(&self) -> Option<&Bridge> {
        self.process.as_ref().map(|process| &process.bridge)
    }

    /// Ends the run, and returns the bridge that ran last.
    #[must_use]
    pub fn into_bridge(self) -> Option<Bridge> {
        self.process.map(|process| process.bridge)
    }

    /// Payload of a retained message of the local broker.
    #[must_use]
    pub fn retained(&self, topic: &str) -> Option<&[u8]> {
        self.broker.retained.get(topic).map(AsRef::as_ref)
    }

    /// `true` if Home Assistant shows a thermostat as available.
    #[must_use]
    pub fn is_available(&self, device: DeviceId) -> bool {
        self.home.is_available(device.as_str())
    }

    /// Numbers of results by their outcome.
    #[must_use]
    pub const fn outcomes(&self) -> &BTreeMap<String, u64> {
        &self.judge.outcomes
    }

    /// Publishes a message as Home Assistant does. It is lost if that is not connected.
    pub fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        self.press_count += 1;
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let message = Message { topic: topic.to_owned(), payload, retain };
        self.presses.insert((self.now(), self.press_count), message);
    }

    /// Draws what a person does with a thermostat.
    fn press(&mut self, device: DeviceId) -> bool {
        let presses = self.home.command(device.as_str(), &mut self.rng);
        let did = !presses.is_empty();
        for press in presses {
            self.press_count += 1;
            let payload = Bytes::from(press.payload.into_bytes());
            let message = Message { topic: press.topic, payload, retain: press.retain };
            let at = self.now() + press.after;
            if self.repeats_until > at {
                let again = at + Duration::from_millis(self.rng.below(1_500));
                self.presses.insert((again, self.press_count), message.clone());
                self.press_count += 1;
            }
            self.presses.insert((at, self.press_count), message);
        }
        did
    }

    /// Digest of the local network's traffic and of the session's.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = self.digest.clone();
        digest.update(self.world.digest());
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn record_trouble(&mut self, kind: LocalTrouble) {
        self.world.note(format_args!("{kind}"));
        let states = self.states();
        self.coverage.record(kind, states);
    }

    /// Records a trouble that lasts until a time.
    fn last(&mut self, kind: LocalTrouble, time: Duration) {
        self.record_trouble(kind);
        let until = self.now() + time;
        self.lasting.push((until, kind));
    }

    /// Marks that something has just happened between the bridge and Home Assistant.
    fn disturb(&mut self) {
        self.local_since = self.now();
    }

    fn disturb_home(&mut self) {
        self.shown_since = self.now();
        self.disturb();
    }

    /// Runs for a time.
    ///
    /// # Errors
    /// The first invariant that was broken.
    pub fn run_for(&mut self, time: Duration) -> Result<(), BridgeViolation> {
        let until = self.now() + time;
        self.run_until(until)
    }

    /// Runs until a moment.
    ///
    /// # Errors
    /// The first invariant that was broken.
    pub fn run_until(&mut self, until: Duration) -> Result<(), BridgeViolation> {
        // Calls since the last step may have caused output.
        self.exchange()?;
        while self.step(until)? {}
        Ok(())
    }

    /// Takes one step. Returns `false` once `until` is reached.
    fn step(&mut self, until: Duration) -> Result<bool, BridgeViolation> {
        let before = self.now();
        let due = self.local_due();
        let target = due.map_or(until, |due| due.min(until)).max(before);
        if self.world.step(target)? {
            self.after_world()?;
        } else if due.is_none_or(|due| due > self.now()) {
            return Ok(self.now() < until);
        }
        if self.now() > before {
            self.at_this_moment = 0;
        } else {
            self.at_this_moment += 1;
            if self.at_this_moment > AT_ONE_MOMENT {
                let bridge = self.bridge().and_then(Bridge::poll_timeout);
                self.world.note(format_args!(
                    "the bridge is due at {bridge:?}, the session at {:?}, and the cloud at {:?}",
                    self.world.session.poll_timeout(),
                    self.world.cloud.poll_timeout(),
                ));
                return Err(BridgeViolation::Livelock);
            }
        }
        self.local_step()?;
        if self.now() >= self.checked_at + CHECK_EVERY {
            self.checked_at = self.now();
            self.check()?;
        }
        Ok(true)
    }

    /// Time at which something on the local network, or the bridge, is due.
    fn local_due(&self) -> Option<Duration> {
        let process = self.process.as_ref().filter(|_| !self.world.is_asleep());
        [
            self.link.next_at(),
            self.broker.next_due(),
            self.home.next_due(),
            self.presses.keys().next().map(|(at, _)| *at),
            self.restart_at,
            self.broker_starts_at,
            process.and_then(|process| process.due(&self.world)),
            self.written_later.front().map(|(at, _)| *at).filter(|_| !self.world.is_asleep()),
            self.energy.as_ref().and_then(EnergyFile::due).filter(|_| !self.world.is_asleep()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Passes on what the session and the cloud did in a step.
    fn after_world(&mut self) -> Result<(), BridgeViolation> {
        self.judge.sample(self.world.now, &self.world.cloud);
        let tap = self.world.tap.as_mut().map(std::mem::take).unwrap_or_default();
        for (device, settings) in &tap.writes {
            self.judge.write(*device, settings)?;
        }
        if self.was_asleep && !self.world.is_asleep() {
            self.link.release_held(self.world.now);
            self.disturb();
        }
        self.was_asleep = self.world.is_asleep();
        for event in &tap.events {
            if let mysa_session::Event::Device { device, .. } = event {
                self.session_changed.insert(*device, self.world.now);
            }
            if let Some(process) = &mut self.process {
                process.handle_event(event, &self.world, self.energy.as_mut());
            }
        }
        Ok(())
    }

    /// Does what is due on the local network.
    fn local_step(&mut self) -> Result<(), BridgeViolation> {
        let now = self.now();
        if self.broker_starts_at.is_some_and(|at| at <= now) {
            self.broker_starts_at = None;
            self.broker.start();
            self.orphaned = true;
            self.world.note("the broker runs again");
            self.disturb_home();
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            self.restart();
        }
        self.broker.handle_timeout(now);
        while let Some(packet) = self.link.arrived(now, self.world.is_asleep()) {
            self.deliver(packet)?;
        }
        while let Some(entry) = self.presses.first_entry()
            && entry.key().0 <= now
        {
            let message = entry.remove();
            self.world.note(format_args!(
                "Home Assistant: {} {:?}{}",
                message.topic,
                String::from_utf8_lossy(&message.payload),
                if message.retain { " (retained)" } else { "" }
            ));
            self.broker.publish_local(message);
        }
        if !self.world.is_asleep() {
            while self.written_later.front().is_some_and(|(at, _)| *at <= now) {
                let written = self.written_later.pop_front();
                if let (Some((_, link)), Some(process)) = (written, &mut self.process) {
                    process.bridge.handle_written(link, self.world.host_now());
                }
            }
            let written = self.energy.as_mut().and_then(|file| file.written(now));
            if let Some(process) = &mut self.process {
                if let Some(stored) = written {
                    process.bridge.handle_energy_stored(stored, self.world.host_now());
                }
                process.work(&self.world);
            }
        }
        self.exchange()
    }

    /// Exchanges everything that can be exchanged at this moment.
    fn exchange(&mut self) -> Result<(), BridgeViolation> {
        let now = self.now();
        for round in 0.. {
            if round > AT_ONE_MOMENT {
                return Err(BridgeViolation::Livelock);
            }
            let mut worked = self.home.work(&mut self.broker, now);
            while let Some(output) = self.broker.poll_output() {
                worked = true;
                match output {
                    broker::Output::Send { conn, bytes } => self.link.send_to_bridge(now, conn, bytes),
                    broker::Output::Close { conn } => self.link.broker_closes(now, conn),
                }
            }
            self.broker.log.clear();
            if !self.world.is_asleep() {
                worked |= self.drain_bridge()?;
            }
            if !worked {
                break;
            }
        }
        if self.home.births != self.births_seen.0 {
            self.births_seen = (self.home.births, now);
            self.disturb_home();
        }
        Ok(())
    }

    fn drain_bridge(&mut self) -> Result<bool, BridgeViolation> {
        let mut worked = false;
        while let Some(process) = &mut self.process {
            let Some(output) = process.bridge.poll_output() else { break };
            worked = true;
            self.output(output)?;
        }
        if self.process.as_ref().is_some_and(|process| process.is_leaving && process.bridge.is_ended()) {
            self.end_process(true);
        }
        Ok(worked)
    }

    fn output(&mut self, output: Output) -> Result<(), BridgeViolation> {
        let now = self.now();
        match output {
            Output::Broker(BrokerOutput::Dial(link)) => self.link.dial(now, link),
            Output::Broker(BrokerOutput::Send { link, bytes }) => {
                self.digest.update(&bytes);
                self.judge.sent(now, &bytes)?;
                let minute = now.as_secs() / 60;
                self.minute = if self.minute.0 == minute { (minute, self.minute.1 + 1) } else { (minute, 1) };
                let at = now.max(self.reads_nothing_until);
                self.link.send_to_broker(at, link, bytes);
                self.written_later.push_back((at, link));
            }
            Output::Broker(BrokerOutput::Close(link)) => {
                if let Some(process) = &mut self.process
                    && let Some((of, number)) = process.last_received.take()
                    && of == link
                {
                    self.judge.retract(number);
                }
                if self.link.is_held(link) {
                    self.link.bridge_closes(now, link);
                }
                self.disturb();
            }
            Output::Command { request, device, change, .. } => {
                self.world.note(format_args!("{request}: {device} {change}"));
                self.judge.command(&self.world.cloud, now, request.number(), device, &change)?;
                let id = self.world.command(device, change, None)?;
                if let Some(process) = &mut self.process {
                    match id {
                        Some(id) => _ = process.commands.insert(id, request),
                        None => {
                            let reason = "too many commands are undecided";
                            process.bridge.handle_not_sent(request, reason, self.world.host_now());
                        }
                    }
                }
                self.after_world()?;
            }
            Output::ReadEnergy { device, query, .. } => self.read_energy(device, query)?,
            Output::StoreEnergy { text } => self.store_energy(text)?,
            Output::Event(event) => {
                self.world.note(format_args!("bridge: {event}"));
                if matches!(event, Event::OtherBridge { .. }) && !self.has_reverted {
                    return Err(BridgeViolation::FalseAlarm(event.to_string()));
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, packet: Packet) -> Result<(), BridgeViolation> {
        let now = self.now();
        match packet {
            Packet::Dial(link, conn) => {
                if self.broker.open(conn, now) {
                    self.link.opened(now, link);
                } else {
                    self.link.broker_closes(now, conn);
                }
            }
            Packet::ToBroker(conn, bytes) => {
                self.broker.handle_bytes(conn, &bytes, now);
            }
            Packet::BridgeClosed(conn) => {
                self.broker.handle_closed(conn, now);
                self.link.forget_dead();
            }
            Packet::Opened(link) if self.link.is_held(link) => {
                if let Some(process) = &mut self.process {
                    process.bridge.handle_opened(link, self.world.host_now());
                }
            }
            Packet::ToBridge(link, bytes, sent_at) if self.link.is_held(link) => {
                self.digest.update(&bytes);
                let host = self.world.host_now();
                let Some(process) = &mut self.process else { return Ok(()) };
                if !process.is_leaving {
                    let number = self.judge.received(&self.world.cloud, host.mono, &bytes, sent_at);
                    process.last_received = number.map(|number| (link, number));
                }
                // MQTT sees a stream.
                let (head, tail) = bytes.split_at(if self.rng.one_in(4) { bytes.len() / 2 } else { 0 });
                for piece in [head, tail] {
                    process.bridge.handle_bytes(link, piece, host);
                }
                self.exchange()?;
                if let Some(process) = &mut self.process {
                    process.last_received = None;
                }
            }
            Packet::BrokerClosed(link) if self.link.is_held(link) => {
                self.link.bridge_closes(now, link);
                self.disturb();
                if let Some(process) = &mut self.process {
                    process.bridge.handle_closed(link, self.world.host_now());
                }
            }
            _ => {}
        }
        self.exchange()
    }

    fn start_process(&mut self) {
        let seed = self.rng.bytes();
        let now = self.world.host_now();
        match Bridge::new(self.settings.clone(), seed, now) {
            Ok(bridge) => self.process = Some(Process::new(bridge, &self.world)),
            Err(error) => unreachable!("valid settings: {error}"),
        }
        self.judge.restarted();
        self.start_energy();
        self.session_changed.clear();
        self.disturb();
    }

    /// Starts the client and the bridge again.
    fn restart(&mut self) {
        // One that is still leaving, because the host slept, has no part in what follows.
        if self.process.is_some() {
            self.end_process(true);
        }
        let stored = self.world.stored().cloned().filter(|_| !self.rng.one_in(4));
        let password = Secret::from(self.password.as_str());
        let start = match stored {
            Some(stored) => Start::Resume { stored, password: Some(password) },
            None => Start::Password { username: self.email.clone(), password },
        };
        let seed = self.rng.next();
        self.world.restart(start, seed);
        self.world.tap = Some(Tap::default());
        self.was_asleep = false;
        self.start_process();
    }

    /// Ends the process; `closes` if its connections are closed, not lost.
    fn end_process(&mut self, closes: bool) {
        let is_leaving = self.process.take().is_some_and(|process| process.is_leaving);
        if let Some(file) = &mut self.energy {
            file.kill(is_leaving);
        }
        self.written_later.clear();
        self.link.bridge_gone(self.now(), closes);
        self.judge.restarted();
        if let Some(at) = self.restart_at {
            // Nothing of it runs until then.
            let time = at.saturating_sub(self.now()) + Duration::from_secs(1);
            self.world.power_off(time);
            self.was_asleep = true;
        }
    }

    /// Kills the bridge and the client, and starts them again after a time.
    pub fn kill(&mut self, down: Duration) {
        if self.process.is_none() {
            return;
        }
        self.record_trouble(LocalTrouble::Killed);
        self.restart_at = Some(self.now() + down);
        self.end_process(true);
    }

    /// Takes the power from the machine of the bridge for a time. Nobody closes its connections.
    pub fn cut_power(&mut self, down: Duration) {
        if self.process.is_none() {
            return;
        }
        self.record_trouble(LocalTrouble::PowerCut);
        self.restart_at = Some(self.now() + down);
        self.end_process(false);
    }

    /// Stops the bridge in order, and starts it again after a time.
    ///
    /// # Errors
    /// The invariant that this broke.
    pub fn stop(&mut self, down: Duration) -> Result<(), BridgeViolation> {
        if self.world.is_asleep() || self.process.as_ref().is_none_or(|process| process.is_leaving) {
            return Ok(());
        }
        self.record_trouble(LocalTrouble::Stopped);
        self.restart_at = Some(self.now() + down.max(Duration::from_secs(3)));
        // The session first, as in the driver: a command must not be sent after its result.
        self.world.call(Session::shutdown)?;
        self.after_world()?;
        if let Some(process) = &mut self.process {
            process.is_leaving = true;
            process.bridge.shutdown(self.world.host_now());
        }
        Ok(())
    }

    /// Stops the broker, and starts it again after a time.
    fn restart_broker(&mut self, store: Store, down: Duration) {
        if !self.broker.is_running() {
            return;
        }
        self.broker.stop(store);
        self.has_reverted |= store == Store::Old;
        if store != Store::Kept {
            self.forgotten.extend(&self.exempt);
        }
        self.broker_starts_at = Some(self.now() + down);
        self.disturb_home();
    }

    fn restart_home(&mut self, down: Duration) {
        self.home.stop(&mut self.broker);
        self.home.start(self.now() + down);
        self.disturb_home();
    }
}
