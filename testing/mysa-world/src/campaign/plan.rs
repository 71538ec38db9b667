//! Plan of a run, drawn before it begins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysa_proto::{Celsius, Change, DeviceId, FanSpeed, Mode, Swing};
use mysa_session::{CommandChannel, CommandId, ConfirmBy, Level, Settings, Start};
use mysa_sim::{AcRemote, AccountSpec, CloudSpec, DeviceSpec, Endpoint, Fault, HomeSpec, Incident, Window};

use crate::Rng;
use crate::coverage::TroubleKind;
use crate::net::{Framing, NetSpec};

/// Plan of a run.
pub(crate) struct Plan {
    pub(crate) spec: CloudSpec,
    pub(crate) net: NetSpec,
    pub(crate) settings: Settings,
    pub(crate) devices: Vec<DeviceId>,
    /// Thermostats of known models.
    pub(crate) of_known_model: BTreeSet<DeviceId>,
    /// Thermostats that the structured service does not reach.
    pub(crate) mqtt_only: BTreeSet<DeviceId>,
    air_conditioners: Vec<DeviceId>,
    pub(crate) ahead_ms: i64,
    pub(crate) length: Duration,
    pub(crate) mix: Vec<TroubleKind>,
    pub(crate) troubles: usize,
    /// Start and end of each lasting trouble, and its kind.
    pub(crate) windows: Vec<(Duration, Duration, TroubleKind)>,
    /// Actions from outside, in order of time.
    pub(crate) actions: BTreeMap<(Duration, usize), Action>,
    /// Thermostats that may acknowledge commands that they do not carry out.
    pub(crate) ignoring: BTreeSet<DeviceId>,
    /// Thermostats whose messages may overtake each other.
    pub(crate) reordered: BTreeSet<DeviceId>,
    /// Start and end of the times in which a thermostat, or every one, cannot report.
    pub(crate) dead: Vec<(Duration, Duration, Option<DeviceId>)>,
    /// Fault that never ends. `lasting_device` is the thermostat it concerns.
    pub(crate) lasting: Option<Window>,
    pub(crate) lasting_device: Option<DeviceId>,
    /// Times and thermostats of the commands, used to place trouble near them.
    commanded: Vec<(Duration, DeviceId)>,
}

/// An action from outside.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Command {
        device: DeviceId,
        change: Change,
        deadline: Option<Duration>,
        cancel: Option<Duration>,
    },
    Cancel(CommandId),
    Press(DeviceId, Change),
    Happen(TroubleKind, Incident),
    Suspend(Duration),
    Freeze(Duration),
    StepClock(i64),
    DiskFull(bool),
    SecondProcess,
    FillRequestLine(DeviceId),
    /// Restart of the client, from its stored session or, if that is lost too, with the password.
    Restart {
        stored: bool,
        /// `true` if the client is shut down before, and not killed.
        shut_down: bool,
    },
}

pub(crate) const EMAIL: &str = "ann@example.org";
pub(crate) const PASSWORD: &str = "canary-Correct-Horse-7";

/// Largest number of kinds of trouble in a run.
const LARGEST_MIX: u64 = 16;

impl Plan {
    pub(crate) fn draw(rng: &mut Rng, length: Duration) -> Self {
        Self::draw_with_mix(rng, length, None)
    }

    /// Draws a plan with this mix of trouble, or with a random one.
    pub(crate) fn draw_with_mix(rng: &mut Rng, length: Duration, mix: Option<Vec<TroubleKind>>) -> Self {
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
            // Every third home has an air conditioner for certain.
            if number == 0 && count.is_multiple_of(3) {
                spec.model = "AC-V1-0".into();
            }
            spec.remote = if number % 2 == 0 { AcRemote::Numbered } else { AcRemote::Named };
            specs.push(spec);
        }
        let devices: Vec<DeviceId> = specs.iter().map(|spec| spec.id).collect();
        let of = |wanted: fn(&str) -> bool| -> BTreeSet<DeviceId> {
            specs.iter().filter(|spec| wanted(&spec.model)).map(|spec| spec.id).collect()
        };
        let of_known_model = of(|model| model != "BB-V9-X");
        let mqtt_only = of(|model| model == "BB-V1-1");
        let air_conditioners = of(|model| model == "AC-V1-0").into_iter().collect();
        let mut account = AccountSpec::new(EMAIL, PASSWORD);
        let mut home = HomeSpec::new("Home");
        home.devices = specs;
        account.homes = vec![home];
        let mut spec = CloudSpec::default();
        spec.accounts = vec![account];
        let mix = mix.unwrap_or_else(|| draw_mix(rng));
        let store_in_trouble =
            mix.iter().any(|kind| matches!(kind, TroubleKind::SecondProcess | TroubleKind::FullDisk));
        spec.rules.rotation = rng.one_in(if store_in_trouble { 2 } else { 6 });
        let mut settings = Settings::default();
        settings.subscriptions.wildcard = rng.one_in(8);
        settings.subscriptions.batch = rng.one_in(8);
        settings.live_reports = !rng.one_in(10);
        settings.read_only = rng.one_in(16);
        settings.channel = match rng.below(6) {
            0 => CommandChannel::Mqtt,
            1 => CommandChannel::Structured,
            _ => CommandChannel::Auto,
        };
        if rng.one_in(8) {
            settings.confirm_by = ConfirmBy::Status;
        }
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
            of_known_model,
            mqtt_only,
            air_conditioners,
            ahead_ms: if rng.one_in(4) { (rng.below(80) as i64 - 40) * 60_000 } else { 0 },
            length,
            mix,
            troubles: 0,
            windows: Vec::new(),
            actions: BTreeMap::new(),
            ignoring: BTreeSet::new(),
            reordered: BTreeSet::new(),
            dead: Vec::new(),
            lasting: None,
            lasting_device: None,
            commanded: Vec::new(),
        };
        let hours = length.as_secs() / 3_600 + 1;
        for _ in 0..rng.between(hours, hours * 3) {
            let at = plan.moment(rng);
            plan.add_commands(rng, at);
        }
        if !plan.air_conditioners.is_empty() {
            for _ in 0..rng.between(hours, hours * 3) {
                let at = plan.moment(rng);
                plan.add_fan_commands(rng, at);
            }
        }
        for kind in plan.mix.clone() {
            for _ in 0..rng.between(1, 3) {
                plan.add_trouble(rng, kind);
            }
        }
        // People tend to use their thermostats during a trouble and right after it.
        for (from, until, _) in plan.windows.clone() {
            for edge in [from, until] {
                if rng.one_in(2) {
                    let at = edge.min(plan.length) + Duration::from_millis(rng.below(25_000));
                    plan.add_commands(rng, at.saturating_sub(Duration::from_secs(5)));
                    plan.add_fan_commands(rng, at.saturating_sub(Duration::from_secs(5)));
                }
            }
        }
        plan
    }

    pub(crate) fn start(&self) -> Start {
        Start::Password { username: EMAIL.into(), password: PASSWORD.into() }
    }

    /// Returns `true` if the trouble that never ends is that of the structured service.
    pub(crate) fn structured_is_gone(&self) -> bool {
        self.lasting.as_ref().is_some_and(|window| {
            matches!(window.fault, Fault::Http(Endpoint::Structured | Endpoint::StructuredWrite, _))
        })
    }

    /// Returns `true` if commands can use this channel despite the trouble that never ends.
    pub(crate) fn lasting_leaves(&self, channel: CommandChannel, level: Level) -> bool {
        !self.structured_is_gone() || channel != CommandChannel::Structured && level == Level::Live
    }

    /// A random moment of the run.
    pub(crate) fn moment(&self, rng: &mut Rng) -> Duration {
        Duration::from_millis(rng.below(u64::try_from(self.length.as_millis()).unwrap_or(1)))
    }

    /// A moment within seconds of a command, and its thermostat; or one in four times a random moment and thermostat.
    pub(crate) fn moment_near_command(&self, rng: &mut Rng) -> (Duration, DeviceId) {
        let near = rng.pick(&self.commanded).copied().filter(|_| !rng.one_in(4));
        let Some((at, device)) = near else { return (self.moment(rng), self.device(rng)) };
        // Most commands are confirmed within a second, so half of the trouble falls into it.
        let at = if rng.one_in(2) {
            at + Duration::from_millis(rng.below(1_000))
        } else {
            (at + Duration::from_millis(rng.below(8_000))).saturating_sub(Duration::from_secs(3))
        };
        (at, device)
    }

    pub(crate) fn device(&self, rng: &mut Rng) -> DeviceId {
        *rng.pick(&self.devices).unwrap_or(&self.devices[0])
    }

    pub(crate) fn act(&mut self, at: Duration, action: Action) {
        let number = self.actions.len();
        self.actions.insert((at.min(self.length), number), action);
    }

    fn add_commands(&mut self, rng: &mut Rng, at: Duration) {
        let several = if rng.one_in(6) { rng.between(2, 5) } else { 1 };
        for _ in 0..several {
            let device = self.device(rng);
            self.add_command(rng, at, device);
            // People cancel some commands or replace them.
            if rng.one_in(4) {
                let later = at + Duration::from_millis(rng.below(12_000) * rng.below(2));
                self.add_command(rng, later, device);
            }
        }
    }

    /// Adds commands for the fan or the swing of an air conditioner, if there is one: alone, or after a command for its mode.
    fn add_fan_commands(&mut self, rng: &mut Rng, at: Duration) {
        let Some(device) = rng.pick(&self.air_conditioners).copied() else { return };
        let mut at = at;
        if !rng.one_in(4) {
            self.add_change(rng, at, device, mode_of_air_conditioner);
            // The mode is unsent, under way, or has just got its verdict, which takes up to half a minute.
            let most = *rng.pick(&[1_000, 5_000, 40_000, 150_000]).unwrap_or(&1_000);
            at += Duration::from_millis(rng.below(most));
        }
        for _ in 0..rng.between(1, 2) {
            self.add_change(rng, at, device, fan_or_swing);
            at += Duration::from_millis(rng.below(40_000));
        }
    }

    fn add_command(&mut self, rng: &mut Rng, at: Duration, device: DeviceId) {
        self.add_change(rng, at, device, change);
    }

    fn add_change(&mut self, rng: &mut Rng, at: Duration, device: DeviceId, draw: fn(&mut Rng) -> Change) {
        let deadline = rng.one_in(4).then(|| Duration::from_millis(rng.between(500, 15_000)));
        let cancel = rng.one_in(8).then(|| Duration::from_millis(rng.below(10_000)));
        self.commanded.push((at, device));
        let change = draw(rng);
        self.act(at, Action::Command { device, change, deadline, cancel });
    }
}

pub(crate) fn setpoint(rng: &mut Rng) -> Celsius {
    Celsius::from_hundredths(1_600 + 50 * i32::try_from(rng.below(20)).unwrap_or(0))
}

pub(crate) fn change(rng: &mut Rng) -> Change {
    let setpoint = setpoint(rng);
    match rng.below(12) {
        0 | 1 => Change::mode(Mode::Off),
        2 | 3 => Change::mode(Mode::Heat),
        4 | 5 => Change { mode: Some(Mode::Heat), ..Change::setpoint(setpoint) },
        6 => Change { lock: Some(rng.one_in(2)), ..Change::default() },
        7 => Change { lock: Some(rng.one_in(2)), ..Change::setpoint(setpoint) },
        _ => Change::setpoint(setpoint),
    }
}

fn mode_of_air_conditioner(rng: &mut Rng) -> Change {
    let modes =
        [Mode::Off, Mode::Off, Mode::Heat, Mode::Cool, Mode::Cool, Mode::Dry, Mode::FanOnly, Mode::Auto];
    Change { mode: rng.pick(&modes).copied(), ..Change::default() }
}

fn fan_or_swing(rng: &mut Rng) -> Change {
    // Each remote control has some of these speeds, and refuses the others.
    let fan = rng.pick(&[1, 1, 2, 3, 4, 5, 6, 7]).copied().map(FanSpeed::from_code);
    let swing = rng.pick(&[3, 4, 5, 6, 7, 8]).copied().map(Swing::from_code);
    match rng.below(6) {
        0 => Change { swing_vertical: swing, ..Change::default() },
        1 => Change { fan, swing_vertical: swing, ..Change::default() },
        2 => Change { fan, ..Change::setpoint(setpoint(rng)) },
        3 => Change { fan, ..mode_of_air_conditioner(rng) },
        _ => Change { fan, ..Change::default() },
    }
}

/// Draws the kinds of trouble of a run: none, a few, or many.
fn draw_mix(rng: &mut Rng) -> Vec<TroubleKind> {
    let count = match rng.below(10) {
        0 => 0,
        1..7 => rng.between(1, 5),
        _ => rng.between(5, LARGEST_MIX),
    };
    let mut mix = BTreeSet::new();
    for _ in 0..count {
        mix.extend(rng.pick(TroubleKind::ALL).copied());
    }
    mix.into_iter().collect()
}
