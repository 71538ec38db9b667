//! Random homes with a bridge, and a random mix of trouble on both of its sides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mqttbytes::v4::ConnectReturnCode;
use mysa_proto::{DeviceId, Mode};
use mysa_session::{CommandChannel, Level};
use mysa_sim::{DeviceFault, Fault, Incident, Window};

use super::BridgeHome;
use super::broker::{Message, Store};
use super::coverage::{BridgeState, LocalTrouble};
use super::judge::is_reported;
use super::link;
use super::plan::{self, LocalPlan, Step};
use super::violation::BridgeViolation;
use crate::Rng;
use crate::campaign::perform;
use crate::campaign::plan::{Action, Plan};
use crate::coverage::{Coverage, TroubleKind};
use crate::net::{NetSpec, NetTrouble, Trouble};
use crate::writes::{Setting, mode_number, plain_mode};

/// Result of one run of a campaign with a bridge.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BridgeReport {
    /// Seed of the run.
    pub seed: u64,
    /// Number of thermostats in the home.
    pub devices: usize,
    /// Kinds of trouble of the home that were drawn.
    pub mix: Vec<LocalTrouble>,
    /// Kinds of trouble of the cloud that were drawn.
    pub cloud_mix: Vec<TroubleKind>,
    /// Number of times that a card was used.
    pub presses: usize,
    /// Numbers of results by their outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Number of states that were published.
    pub states: u64,
    /// Number of steps of the world.
    pub steps: u64,
    /// Largest size of the bridge when it is printed, in bytes.
    pub largest: usize,
    /// Digest of all traffic.
    pub digest: String,
    /// Number of times that each trouble of the home met each state of the bridge.
    pub coverage: Coverage<LocalTrouble, BridgeState>,
    /// Number of times that each trouble of the cloud met each state of the bridge.
    pub cloud_coverage: Coverage<TroubleKind, BridgeState>,
}

/// A run that broke an invariant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BridgeFailure {
    /// Seed of the run.
    pub seed: u64,
    /// Hours of the run.
    pub hours: u64,
    /// Kinds of trouble that were drawn.
    pub mix: String,
    /// The broken invariant.
    pub violation: BridgeViolation,
    /// Time of the violation since the start of the simulation.
    pub at: Duration,
    /// Last lines of the history.
    pub history: Vec<String>,
}

impl fmt::Display for BridgeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} devices, {} presses, results {:?}, {} states, {} steps, {} bytes, digest {}; {}",
            self.seed,
            self.devices,
            self.presses,
            self.outcomes,
            self.states,
            self.steps,
            self.largest,
            self.digest,
            names(&self.mix, &self.cloud_mix)
        )
    }
}

impl fmt::Display for BridgeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "seed {} broke an invariant after {:.3} s: {}\nits mix: {}\n\
             to reproduce: simulate --bridge --seeds 1 --hours {} --seed {}",
            self.seed,
            self.at.as_secs_f64(),
            self.violation,
            self.mix,
            self.hours,
            self.seed
        )
    }
}

impl std::error::Error for BridgeFailure {}

fn names(local: &[LocalTrouble], cloud: &[TroubleKind]) -> String {
    let names: Vec<&str> =
        local.iter().map(|kind| kind.name()).chain(cloud.iter().map(|kind| kind.name())).collect();
    if names.is_empty() { "no trouble".into() } else { names.join(", ") }
}

/// Time without trouble at the end, after which everything must have recovered: the time after which the bridge removes
/// thermostats that left the account while none ran, and some minutes.
const QUIET: Duration = Duration::from_secs(3_900);
/// Days of the cloud's history in runs with energy: a year, so that the bridge reads two.
const HISTORY_DAYS: u32 = 400;
const ENERGY_DRAW: u64 = 0x6b57_685f_6b57_685f;
/// Number of thermostats that get a command at the end.
const COMMANDED_AT_THE_END: usize = 4;

/// Simulates `hours` of a random home with a bridge and a random mix of trouble, and a quiet hour after it.
///
/// # Errors
/// The first invariant that was broken, with the seed, the mix of trouble and the history.
pub fn bridge_campaign(seed: u64, hours: u64) -> Result<BridgeReport, Box<BridgeFailure>> {
    let mut rng = Rng::new(seed);
    let length = Duration::from_secs(hours * 3_600);
    let (cloud, local) = plan::draw(&mut rng, length);
    let mut spec = cloud.spec.clone();
    // Apart from the other draws, which stay the same with and without energy.
    let keeps_energy = Rng::new(seed ^ ENERGY_DRAW).one_in(3);
    if keeps_energy {
        spec.history_days = HISTORY_DAYS;
    }
    let mut home =
        BridgeHome::new(spec, cloud.net.clone(), cloud.settings.clone(), local.settings.clone(), rng.next());
    if keeps_energy {
        home = home.with_energy(Some(seed));
    }
    if cloud.ahead_ms != 0 {
        home.world.step_clock(cloud.ahead_ms);
    }
    home.world.records_coverage = true;
    home.world.planned.clone_from(&cloud.windows);
    home.world.ignoring.clone_from(&cloud.ignoring);
    home.world.reordered.clone_from(&cloud.reordered);
    home.dead.clone_from(&cloud.dead);
    home.judge.unreliable = cloud.ignoring.union(&cloud.reordered).copied().collect();
    let result =
        Run { cloud: &cloud, local: &local, home: &mut home, rng: &mut rng, removed: BTreeSet::new() }.run();
    match result {
        Ok(()) => Ok(BridgeReport {
            seed,
            devices: cloud.devices.len(),
            presses: local.presses,
            outcomes: home.judge.outcomes.clone(),
            states: home.judge.states,
            steps: home.world.steps(),
            largest: home.largest,
            digest: home.digest(),
            coverage: std::mem::take(&mut home.coverage),
            cloud_coverage: std::mem::take(&mut home.cloud_coverage),
            mix: local.mix,
            cloud_mix: cloud.mix,
        }),
        Err(violation) => Err(Box::new(BridgeFailure {
            seed,
            hours,
            mix: names(&local.mix, &cloud.mix),
            violation,
            at: home.now(),
            history: home.world.history().map(str::to_owned).collect(),
        })),
    }
}

struct Run<'a> {
    cloud: &'a Plan,
    local: &'a LocalPlan,
    home: &'a mut BridgeHome,
    rng: &'a mut Rng,
    removed: BTreeSet<DeviceId>,
}

impl Run<'_> {
    fn run(mut self) -> Result<(), BridgeViolation> {
        let mut steps = self.local.steps.clone();
        let mut number = steps.len();
        while let Some(((at, _), step)) = steps.pop_first() {
            self.home.run_until(at)?;
            if let Some((after, step)) = self.take(step)? {
                number += 1;
                steps.insert((self.home.now() + after, number), step);
            }
        }
        let end = self.cloud.length.max(self.home.now());
        self.home.run_until(end)?;
        self.recover()
    }

    /// Carries out a step. Returns what follows it, and when.
    fn take(&mut self, step: Step) -> Result<Option<(Duration, Step)>, BridgeViolation> {
        let home = &mut *self.home;
        match step {
            Step::Press(device) => _ = home.press(device),
            Step::Cloud(Action::Restart { shut_down, .. }) => {
                let down = Duration::from_millis(self.rng.between(100, 20_000));
                if shut_down {
                    home.stop(down)?;
                } else {
                    home.kill(down);
                }
            }
            // Nobody sets the clock of a host that sleeps, and setting it back by the time of the sleep leaves no sign of it.
            Step::Cloud(Action::StepClock(_)) if home.world.is_asleep() => {}
            Step::Cloud(action) => {
                if matches!(action, Action::Happen(..) | Action::SecondProcess) {
                    home.cloud_trouble_at = home.now();
                }
                // A request of the application answers the same as one of the driver.
                perform(&mut home.world, action)?;
                home.after_world()?;
            }
            Step::Begin(kind, time, device) => return self.begin(kind, time, device),
            Step::End(kind, device) => self.end(kind, device),
        }
        Ok(None)
    }

    fn begin(
        &mut self,
        kind: LocalTrouble,
        time: Duration,
        device: DeviceId,
    ) -> Result<Option<(Duration, Step)>, BridgeViolation> {
        use LocalTrouble as Kind;
        let home = &mut *self.home;
        let now = home.now();
        let short = time.min(Duration::from_secs(20));
        let ends = Some((time, Step::End(kind, device)));
        if !matches!(kind, Kind::Killed | Kind::Stopped | Kind::PowerCut) {
            home.record_trouble(kind);
        }
        let is_of_home = !matches!(
            kind,
            Kind::Unplugged
                | Kind::Renamed
                | Kind::Removed
                | Kind::Restored
                | Kind::CloudDown
                | Kind::SlowAcks
                | Kind::RetainedLate
                | Kind::SentTwice
        );
        if is_of_home {
            home.disturb();
        }
        match kind {
            Kind::BrokerRestarts => home.restart_broker(Store::Kept, short),
            Kind::BrokerForgets => home.restart_broker(Store::Lost, short),
            Kind::BrokerReverts => home.restart_broker(Store::Old, short),
            Kind::BrokerDown => {
                home.last(kind, time);
                home.restart_broker(Store::Kept, time);
            }
            Kind::BrokerHangs => {
                home.last(kind, time);
                home.broker.hang(true, now);
                return Ok(ends);
            }
            Kind::BrokerRefuses => {
                home.last(kind, time);
                home.broker.refuses = Some(if self.rng.one_in(2) {
                    ConnectReturnCode::NotAuthorized
                } else {
                    ConnectReturnCode::ServiceUnavailable
                });
                home.broker.kick_all(now);
                return Ok(ends);
            }
            Kind::BrokerCloses => home.broker.kick_all(now),
            Kind::LateWill => {
                home.last(kind, time);
                home.broker.will_delay = Duration::from_millis(self.rng.between(1, 8_000));
                home.link.cut(now);
                return Ok(ends);
            }
            Kind::Slow => {
                home.last(kind, time);
                home.link.delay = Duration::from_millis(self.rng.between(200, 4_000));
                return Ok(ends);
            }
            Kind::Stall => {
                home.last(kind, short * 3);
                home.link.stalled_until = now + short * 3;
            }
            Kind::HalfOpen => {
                home.last(kind, time);
                home.link.kill();
                home.link.loses_all = true;
                return Ok(ends);
            }
            Kind::Cut => home.link.cut(now),
            Kind::NothingRead => {
                home.last(kind, short * 2);
                home.reads_nothing_until = home.reads_nothing_until.max(now + short * 2);
            }
            Kind::SlowAcks => {
                home.last(kind, time);
                let delay = if self.rng.one_in(2) { 1_000 } else { 20_000 };
                home.broker.ack_delay = Duration::from_millis(self.rng.between(50, delay));
                return Ok(ends);
            }
            Kind::RetainedLate => {
                home.last(kind, time);
                home.broker.retained_delay = Duration::from_millis(self.rng.between(50, 20_000));
                let topic = format!("mysa/{device}/set/mode");
                home.broker.retained.insert(topic, Bytes::from_static(b"heat"));
                home.link.cut(now);
                home.disturb();
                return Ok(ends);
            }
            Kind::SentTwice => {
                home.last(kind, time);
                home.repeats_until = home.repeats_until.max(now + time);
                home.press(device);
            }
            Kind::HomeRestarts => home.restart_home(short),
            Kind::HomeDown => home.restart_home(time),
            Kind::Killed => home.kill(short),
            Kind::Stopped => home.stop(short)?,
            Kind::PowerCut => home.cut_power(time),
            Kind::Suspend => home.world.suspend(time),
            Kind::Freeze => home.world.freeze(time),
            Kind::ClockStep if home.world.is_asleep() => {}
            Kind::ClockStep => {
                let ahead = (self.rng.below(60) as i64 - 30) * 60_000;
                home.world.step_clock(ahead);
                home.disturb();
            }
            Kind::Unplugged => {
                home.last(kind, time * 2);
                let fault = Fault::Device(Some(device), DeviceFault::Powerless);
                home.world.cloud.add_fault(Window::new(now, now + time * 2, fault));
                home.dead.push((now, now + time * 2, Some(device)));
            }
            Kind::Renamed => {
                let name = format!("Room {}", self.rng.below(1_000));
                home.world.happen(Incident::Rename(device, name));
            }
            Kind::Removed => {
                home.world.happen(Incident::Remove(device));
                home.exempt.insert(device);
                self.removed.insert(device);
                if !home.broker.retained.contains_key(&format!("mysa/{device}/availability")) {
                    home.forgotten.insert(device);
                }
                if self.rng.one_in(2) {
                    return Ok(Some((time, Step::Begin(Kind::Restored, time, device))));
                }
            }
            Kind::Restored => {
                home.exempt.insert(device);
                home.world.happen(Incident::Restore(device));
                self.removed.remove(&device);
            }
            Kind::RetainedCommand => {
                let topic = format!("mysa/{device}/set/mode");
                let payload = Bytes::from_static(if self.rng.one_in(2) { b"off" } else { b"heat" });
                if !home.broker.publish_local(Message {
                    topic: topic.clone(),
                    payload: payload.clone(),
                    retain: true,
                }) {
                    home.broker.retained.insert(topic, payload);
                }
                if self.rng.one_in(2) {
                    home.link.cut(now);
                }
            }
            Kind::CloudDown => {
                home.last(kind, time);
                let trouble = if self.rng.one_in(2) { Trouble::Down } else { Trouble::BlackHole };
                home.world.net.spec.troubles.push(NetTrouble {
                    from: now + Duration::from_millis(1),
                    until: now + time,
                    kind: trouble,
                });
            }
        }
        home.exchange()?;
        Ok(None)
    }

    fn end(&mut self, kind: LocalTrouble, _device: DeviceId) {
        use LocalTrouble as Kind;
        let home = &mut *self.home;
        let now = home.now();
        match kind {
            Kind::BrokerHangs => home.broker.hang(false, now),
            Kind::BrokerRefuses => home.broker.refuses = None,
            Kind::LateWill => home.broker.will_delay = Duration::ZERO,
            Kind::SlowAcks => home.broker.ack_delay = Duration::ZERO,
            Kind::RetainedLate => home.broker.retained_delay = Duration::ZERO,
            Kind::Slow => home.link.delay = link::DELAY,
            Kind::HalfOpen => home.link.loses_all = false,
            _ => {}
        }
        home.disturb_home();
        home.broker.save();
    }

    /// Ends all trouble, and checks that everything is right after a quiet hour.
    fn recover(&mut self) -> Result<(), BridgeViolation> {
        let now = self.home.now();
        for kind in LocalTrouble::ALL {
            if let Some(device) = self.cloud.devices.first() {
                self.end(*kind, *device);
            }
        }
        let home = &mut *self.home;
        home.link.stalled_until = now;
        home.reads_nothing_until = now;
        home.repeats_until = now;
        if home.broker_starts_at.is_some() {
            home.broker_starts_at = Some(now);
        }
        if home.restart_at.is_some() {
            home.restart_at = Some(now);
        } else {
            home.world.wake();
        }
        if home.home.connected_since().is_none() {
            home.home.start(now);
        }
        home.world.fill_disk(false);
        if let Some(file) = &mut home.energy {
            file.has_faults = false;
            file.fault_at = now;
        }
        home.world.cloud.clear_faults();
        home.world.set_net(NetSpec::default());
        home.dead.clear();
        home.cloud_trouble_at = now;
        home.run_for(QUIET)?;
        home.exempt.clone_from(&self.removed);
        self.check_shown()?;
        // A retained command is delivered again with each subscription.
        self.home.broker.kick_all(self.home.now());
        self.home.disturb();
        self.home.run_for(Duration::from_secs(60))?;
        self.home.kill(Duration::from_secs(1));
        self.home.run_for(Duration::from_secs(120))?;
        self.command_at_the_end()?;
        self.check_shown()
    }

    /// Thermostats that have to be right at the end.
    fn expected(&self) -> Vec<DeviceId> {
        let known = self.cloud.of_known_model.iter().copied();
        known.filter(|id| !self.removed.contains(id)).collect()
    }

    fn check_shown(&mut self) -> Result<(), BridgeViolation> {
        let home = &mut *self.home;
        home.check()?;
        let wrong = |what: String| Err(BridgeViolation::NotRecovered(what));
        let account: BTreeSet<String> = self
            .cloud
            .devices
            .iter()
            .filter(|id| !self.removed.contains(id))
            .map(|id| id.as_str().to_owned())
            .collect();
        let mut shown: BTreeSet<String> = home.home.devices().map(str::to_owned).collect();
        for id in self.removed.iter().filter(|id| home.forgotten.contains(id)) {
            shown.remove(id.as_str());
        }
        if account != shown {
            return wrong(format!("Home Assistant shows {shown:?}, and the account has {account:?}"));
        }
        if home.retained("mysa/bridge/availability") != Some(b"online") {
            return wrong("the bridge is not available".into());
        }
        for device in self.cloud.of_known_model.iter().filter(|id| !self.removed.contains(id)) {
            let id = device.as_str();
            if !home.is_available(*device) {
                return wrong(format!("{id} is not available"));
            }
            let name = home.home.config(id).and_then(|config| config["device"]["name"].as_str());
            let known = home.world.session.device(*device).and_then(|device| device.name());
            if name != known {
                return wrong(format!("{id} is shown as {name:?}, and its name is {known:?}"));
            }
            if home.judge.unreliable.contains(device) {
                continue;
            }
            let state = home.home.state(id).unwrap_or_default();
            let Some(truth) = home.world.truth(*device) else { continue };
            let setpoint = state["setpoint"].as_f64().map(|degrees| (degrees * 100.0).round() as i64);
            let mode = state["mode"].as_str().and_then(mode);
            let is_told = |setting| is_reported(&home.world.cloud, *device, setting);
            let is_right = setpoint.is_none_or(|setpoint| setpoint == truth.setpoint)
                && (mode == Some(plain_mode(home.world.family(*device), truth.mode))
                    || !is_told(Setting::Mode))
                && (state["lock"].as_bool().is_none_or(|lock| lock == truth.lock) || !is_told(Setting::Lock));
            if !is_right {
                let known = home.world.session.state(*device).map(|state| (state.setpoint(), state.mode()));
                return wrong(format!(
                    "{id} is shown as {state}, and holds {truth:?}; the session has {known:?}"
                ));
            }
        }
        // Nothing of a thermostat that has left remains.
        let leftover = home.broker.retained.keys().find(|topic| {
            let of = |id: &DeviceId| topic.contains(id.as_str()) && !topic.contains("/set/");
            self.removed.iter().filter(|id| !home.forgotten.contains(id)).any(of)
        });
        if let Some(topic) = leftover {
            return wrong(format!("{topic} is left"));
        }
        match home.judge.undecided() {
            (0, 0) => Ok(()),
            (held, sent) => wrong(format!("{} commands have no result", held + sent)),
        }
    }

    fn command_at_the_end(&mut self) -> Result<(), BridgeViolation> {
        let settings = &self.cloud.settings;
        let level = self.home.world.session.service().level;
        if settings.read_only || (level == Level::ReadOnly && settings.channel == CommandChannel::Mqtt) {
            return self.home.run_for(Duration::from_secs(60));
        }
        let mut given = Vec::new();
        for device in self.expected().into_iter().take(COMMANDED_AT_THE_END) {
            let Some(truth) = self.home.world.truth(device) else { continue };
            let is_mqtt_only = self.cloud.mqtt_only.contains(&device);
            if is_mqtt_only && (settings.channel == CommandChannel::Structured || level == Level::ReadOnly) {
                continue;
            }
            let degrees = if truth.setpoint == 2_200 { 23 } else { 22 };
            self.home.publish(&format!("mysa/{device}/set/mode"), "heat", false);
            given.push((device, degrees));
        }
        self.home.run_for(Duration::from_secs(60))?;
        for (device, degrees) in &given {
            self.home.publish(&format!("mysa/{device}/set/setpoint"), &degrees.to_string(), false);
        }
        self.home.run_for(Duration::from_secs(60))?;
        for (device, degrees) in given {
            let truth = self.home.world.truth(device);
            let is_right = truth.is_some_and(|truth| {
                truth.setpoint == degrees * 100
                    && plain_mode(self.home.world.family(device), truth.mode) == mode_number(Mode::Heat)
            });
            if !is_right {
                let what = format!("{device} does not obey {degrees} °C after all trouble: {truth:?}");
                return Err(BridgeViolation::NotRecovered(what));
            }
        }
        Ok(())
    }
}

fn mode(name: &str) -> Option<i64> {
    let mode = match name {
        "off" => Mode::Off,
        "auto" => Mode::Auto,
        "heat" => Mode::Heat,
        "cool" => Mode::Cool,
        "fan_only" => Mode::FanOnly,
        "dry" => Mode::Dry,
        _ => return None,
    };
    Some(mode_number(mode))
}
