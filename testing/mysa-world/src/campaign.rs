//! Random homes, random trouble, all invariants.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mysa_proto::{Celsius, Change, DeviceId, Mode};
use mysa_session::{Level, Settings, Start};
use mysa_sim::{
    AccountSpec, Closing, CloudSpec, DeviceFault, DeviceSpec, Endpoint, Fault, HomeSpec, HttpFault, Incident,
};

use crate::net::{Framing, NetSpec, NetTrouble, Trouble};
use crate::violation::Violation;
use crate::{Rng, World};

/// How one run of a campaign went.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Thermostats in the home.
    pub devices: usize,
    /// Things that went wrong.
    pub troubles: usize,
    /// Commands given, and how many of them were confirmed.
    pub commands: (usize, usize),
    /// Steps taken.
    pub steps: u64,
    /// Digest of all that went over the network, and of every verdict.
    pub digest: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} devices, {} troubles, {}/{} commands confirmed, {} steps, digest {}",
            self.seed, self.devices, self.troubles, self.commands.1, self.commands.0, self.steps, self.digest
        )
    }
}

/// A run in which an invariant was broken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub violation: Violation,
    /// When.
    pub at: Duration,
    /// What happened last.
    pub history: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "seed {} broke an invariant after {:.3} s: {}",
            self.seed,
            self.at.as_secs_f64(),
            self.violation
        )
    }
}

impl std::error::Error for Failure {}

/// Time without trouble at the end, after which everything must be well again. Pauses between attempts grow to a
/// quarter of an hour.
const QUIET: Duration = Duration::from_secs(3_600);

/// Lives through `hours` of a random home with random trouble, then through a quiet hour, and checks that it is well.
///
/// # Errors
/// The first invariant that was broken, with the seed and what happened.
pub fn campaign(seed: u64, hours: u64) -> Result<Report, Box<Failure>> {
    let mut rng = Rng::new(seed);
    let plan = Plan::draw(&mut rng, Duration::from_secs(hours * 3_600));
    let mut world = World::with_start(
        plan.spec.clone(),
        plan.net.clone(),
        plan.settings.clone(),
        plan.start(),
        rng.next(),
        plan.ahead_ms,
    )
    .without_events();
    if plan.lies {
        world = world.with_lying_thermostats();
    }
    match plan.run(&mut world, &mut rng) {
        Ok(commands) => {
            let confirmed = world.verdicts().iter().filter(|(_, _, verdict)| verdict.is_confirmed()).count();
            Ok(Report {
                seed,
                devices: plan.devices.len(),
                troubles: plan.troubles,
                commands: (commands, confirmed),
                steps: world.steps(),
                digest: world.digest(),
            })
        }
        Err(violation) => Err(Box::new(Failure {
            seed,
            violation,
            at: world.now(),
            history: world.history().map(str::to_owned).collect(),
        })),
    }
}

/// What a run will be like.
struct Plan {
    spec: CloudSpec,
    net: NetSpec,
    settings: Settings,
    devices: Vec<DeviceId>,
    ahead_ms: i64,
    length: Duration,
    troubles: usize,
    /// Things done from outside, in the order of their time.
    deeds: BTreeMap<(Duration, usize), Deed>,
    /// Thermostats may acknowledge what they do not do.
    lies: bool,
}

#[derive(Clone, Copy)]
enum Deed {
    Command(DeviceId, Change),
    Press(DeviceId, Change),
    Suspend(Duration),
    StepClock(i64),
    Restart,
}

const EMAIL: &str = "ann@example.org";
const PASSWORD: &str = "canary-Correct-Horse-7";

impl Plan {
    fn draw(rng: &mut Rng, length: Duration) -> Self {
        const MODELS: [&str; 8] =
            ["BB-V2-0", "BB-V2-0-L", "BB-V1-1", "BB-V2-0", "INF-V1-0", "AC-V1-0", "BB-V2-0-L", "BB-V9-X"];
        let most = match rng.below(100) {
            0 => 200,
            1..5 => 60,
            5..20 => 15,
            _ => 6,
        };
        let count = rng.between(1, most);
        let mut specs = Vec::new();
        for number in 0..count {
            let id = DeviceId::new(&format!("a0b1c2{:06x}", 0x10_0000 + number));
            let model = rng.pick(&MODELS).copied().unwrap_or("BB-V2-0");
            let Some(id) = id else { continue };
            let mut spec = DeviceSpec::new(id, model, &format!("Room {number}"));
            spec.setpoint = 16.0 + rng.below(12) as f64 / 2.0;
            spec.room.temperature = spec.setpoint;
            specs.push(spec);
        }
        let devices: Vec<DeviceId> = specs.iter().map(|spec| spec.id).collect();
        let mut account = AccountSpec::new(EMAIL, PASSWORD);
        let mut home = HomeSpec::new("Home");
        home.devices = specs;
        account.homes = vec![home];
        let mut spec = CloudSpec::default();
        spec.accounts = vec![account];
        spec.rules.rotation = rng.one_in(6);
        let mut settings = Settings::default();
        settings.subscriptions.wildcard = rng.one_in(8);
        settings.subscriptions.batch = rng.one_in(8);
        if spec.rules.rotation {
            settings.refresh_flow = mysa_cognito::RefreshFlow::GetTokensFromRefreshToken;
        }
        let mut plan = Self {
            spec,
            net: NetSpec {
                latency: Duration::from_millis(rng.between(1, 150)),
                jitter: Duration::from_millis(rng.between(0, 200)),
                framing: match rng.below(6) {
                    0 => Framing::Bytes,
                    1 | 2 => Framing::Random,
                    _ => Framing::Whole,
                },
                troubles: Vec::new(),
            },
            settings,
            devices,
            ahead_ms: if rng.one_in(4) { (rng.below(80) as i64 - 40) * 60_000 } else { 0 },
            length,
            troubles: 0,
            deeds: BTreeMap::new(),
            lies: false,
        };
        for _ in 0..rng.below(9) {
            plan.add_trouble(rng);
        }
        let hours = length.as_secs() / 3_600 + 1;
        for number in 0..rng.between(hours, hours * 4) {
            let at = plan.moment(rng);
            let deed = plan.deed(rng);
            plan.deeds.insert((at, usize::try_from(number).unwrap_or(0)), deed);
        }
        plan
    }

    fn start(&self) -> Start {
        Start::Password { username: EMAIL.into(), password: PASSWORD.into() }
    }

    fn moment(&self, rng: &mut Rng) -> Duration {
        Duration::from_millis(rng.below(u64::try_from(self.length.as_millis()).unwrap_or(1)))
    }

    fn add_trouble(&mut self, rng: &mut Rng) {
        self.troubles += 1;
        let from = self.moment(rng);
        let lasts = match rng.below(4) {
            0 => Duration::from_secs(rng.between(1, 60)),
            1 | 2 => Duration::from_secs(rng.between(60, 1_800)),
            _ => Duration::from_secs(rng.between(1_800, 4 * 3_600)),
        };
        let until = (from + lasts).min(self.length);
        if rng.one_in(3) {
            let kind = *rng
                .pick(&[Trouble::Down, Trouble::BlackHole, Trouble::Deaf, Trouble::Mute])
                .unwrap_or(&Trouble::Down);
            self.net.troubles.push(NetTrouble { from, until, kind });
            return;
        }
        if rng.one_in(4) {
            let incident = match rng.below(6) {
                0 => Incident::RevokeTokens(EMAIL.into()),
                1 => Incident::ExpireTokens,
                2 => Incident::ExpireCredentials,
                _ => Incident::CloseAll(closing(rng)),
            };
            let plan = std::mem::take(&mut self.spec.faults);
            self.spec.faults = plan.with_event(from, incident);
            return;
        }
        let fault = self.fault(rng);
        self.spec.faults = std::mem::take(&mut self.spec.faults).with(from, until, fault);
    }

    fn fault(&mut self, rng: &mut Rng) -> Fault {
        match rng.below(22) {
            0..6 => {
                let endpoint = match rng.below(8) {
                    0 => Endpoint::Any,
                    1 => Endpoint::UserPool,
                    2 => Endpoint::Refresh,
                    3 => Endpoint::IdentityPool,
                    4 => Endpoint::Credentials,
                    5 => Endpoint::Structured,
                    _ => Endpoint::Rest,
                };
                let fault = match rng.below(8) {
                    0 => HttpFault::Status(500),
                    1 => HttpFault::Throttle(u32::try_from(rng.between(1, 120)).unwrap_or(1)),
                    2 => HttpFault::Exception("TooManyRequestsException".into()),
                    3 => HttpFault::Html(200),
                    4 => HttpFault::Hang,
                    5 => HttpFault::Reset,
                    6 => HttpFault::Body(200, b"{\"Dev".to_vec()),
                    _ => HttpFault::Delay(Duration::from_secs(rng.between(1, 30))),
                };
                Fault::Http(endpoint, fault)
            }
            6 => Fault::RefuseUpgrade(*rng.pick(&[403, 404, 426, 500]).unwrap_or(&403)),
            7 => Fault::HangUpgrade,
            8 => Fault::IgnoreConnect,
            9 => Fault::CloseAfterConnect {
                after: Duration::from_millis(rng.between(1, 30_000)),
                closing: closing(rng),
            },
            10 => Fault::CloseOnPublish(closing(rng)),
            11 => Fault::EatPublishes,
            12 => Fault::EatPubacks,
            13 => Fault::EatSubacks,
            14 => Fault::EatPings,
            15 => Fault::BlackholeIn,
            16 => Fault::BlackholeOut,
            17 => Fault::Duplicate,
            18 => Fault::RaiseQos,
            _ => {
                let device = if rng.one_in(3) { None } else { rng.pick(&self.devices).copied() };
                let fault = match rng.below(9) {
                    0 => DeviceFault::Offline,
                    1 => DeviceFault::Powerless,
                    2 => DeviceFault::IgnoreCommands,
                    3 => DeviceFault::DropAcks,
                    4 => DeviceFault::DropStatuses,
                    5 => {
                        self.lies = true;
                        DeviceFault::AckWithoutApplying
                    }
                    6 => DeviceFault::Refuse,
                    7 => DeviceFault::DelayAcks(Duration::from_secs(rng.between(1, 60))),
                    _ => DeviceFault::ClockShift(rng.below(400_000_000) as i64 - 200_000_000),
                };
                Fault::Device(device, fault)
            }
        }
    }

    fn deed(&self, rng: &mut Rng) -> Deed {
        let device = *rng.pick(&self.devices).unwrap_or(&self.devices[0]);
        let setpoint = Celsius::from_hundredths(1_600 + 50 * i32::try_from(rng.below(20)).unwrap_or(0));
        let change = match rng.below(6) {
            0 => Change::mode(Mode::Off),
            1 => Change::mode(Mode::Heat),
            2 => Change { mode: Some(Mode::Heat), ..Change::setpoint(setpoint) },
            _ => Change::setpoint(setpoint),
        };
        match rng.below(20) {
            0 => Deed::Suspend(Duration::from_secs(rng.between(5, 7_200))),
            1 => Deed::StepClock((rng.below(60) as i64 - 30) * 60_000),
            2 => Deed::Restart,
            3..6 => Deed::Press(device, change),
            _ => Deed::Command(device, change),
        }
    }

    fn run(&self, world: &mut World, rng: &mut Rng) -> Result<usize, Violation> {
        let mut commands = 0;
        for ((at, _), deed) in &self.deeds {
            world.run_until(*at)?;
            match *deed {
                Deed::Command(device, change) => {
                    // Now and then people change their minds at once.
                    for change in
                        [Some(change), rng.one_in(4).then(|| Change::mode(Mode::Off))].into_iter().flatten()
                    {
                        commands += usize::from(world.command(device, change, None)?.is_some());
                    }
                }
                Deed::Press(device, change) => world.press(device, &change),
                Deed::Suspend(time) => world.suspend(time),
                Deed::StepClock(ahead_ms) => world.step_clock(ahead_ms),
                Deed::Restart => {
                    let start = match world.stored() {
                        Some(stored) => {
                            Start::Resume { stored: stored.clone(), password: Some(PASSWORD.into()) }
                        }
                        None => self.start(),
                    };
                    world.restart(start, rng.next());
                }
            }
        }
        world.run_until(self.length.max(world.now()))?;
        world.wake();
        world.cloud.clear_faults();
        world.set_net(NetSpec::default());
        world.run_for(QUIET)?;
        recovered(world)?;
        Ok(commands)
    }
}

/// Whether everything is well again.
fn recovered(world: &World) -> Result<(), Violation> {
    let service = world.session.service();
    // A broker that took no commands is believed to take none for hours; statuses come all the same.
    if service.level > Level::ReadOnly {
        return Err(Violation::NotRecovered(service.to_string()));
    }
    for device in world.session.devices() {
        let speaks = device.family().is_some();
        if speaks && device.is_stale() {
            return Err(Violation::NotRecovered(format!("{} is stale", device.id())));
        }
    }
    Ok(())
}

fn closing(rng: &mut Rng) -> Closing {
    match rng.below(4) {
        0 => Closing::Frame(None),
        1 => Closing::Frame(Some(1_000)),
        _ => Closing::Cut,
    }
}
