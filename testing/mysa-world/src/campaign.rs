//! Random homes and a random mix of trouble, with all invariants checked.

pub(crate) mod plan;
mod trouble;

use std::fmt;
use std::time::Duration;

use mysa_proto::{Celsius, Change, Channel, DeviceId};
use mysa_session::{
    CommandChannel, CommandId, ConfirmBy, DeliveryStage, Level, Refused, Session, Start, Verdict,
};

use crate::coverage::{Coverage, TroubleKind};
use crate::net::NetSpec;
use crate::violation::Violation;
use crate::{Rng, World};

use self::plan::{Action, PASSWORD, Plan};

/// Result of one run of a campaign.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Seed of the run.
    pub seed: u64,
    /// Number of thermostats in the home.
    pub devices: usize,
    /// Kinds of trouble that were drawn for the run.
    pub mix: Vec<TroubleKind>,
    /// Number of occurrences of trouble.
    pub troubles: usize,
    /// Number of commands given, and of those confirmed.
    pub commands: (usize, usize),
    /// Number of steps taken.
    pub steps: u64,
    /// Digest of all network traffic and all verdicts.
    pub digest: String,
    /// Number of times that each kind of trouble met each state of the session.
    pub coverage: Coverage,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} devices, {} troubles, {}/{} commands confirmed, {} steps, digest {}; {}",
            self.seed,
            self.devices,
            self.troubles,
            self.commands.1,
            self.commands.0,
            self.steps,
            self.digest,
            names(&self.mix)
        )
    }
}

/// A run that broke an invariant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Seed of the run.
    pub seed: u64,
    /// Kinds of trouble that were drawn for the run.
    pub mix: Vec<TroubleKind>,
    /// The broken invariant.
    pub violation: Violation,
    /// Time of the violation since the start of the simulation.
    pub at: Duration,
    /// Last lines of the history.
    pub history: Vec<String>,
    /// Number of times that each kind of trouble met each state of the session until then.
    pub coverage: Coverage,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "seed {} broke an invariant after {:.3} s: {}\nits mix: {}",
            self.seed,
            self.at.as_secs_f64(),
            self.violation,
            names(&self.mix)
        )
    }
}

impl std::error::Error for Failure {}

fn names(mix: &[TroubleKind]) -> String {
    if mix.is_empty() {
        return "no trouble".into();
    }
    mix.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

/// Time without trouble at the end, after which everything must have recovered. Pauses between attempts grow
/// to a quarter of an hour.
const QUIET: Duration = Duration::from_secs(3_600);
/// Number of thermostats that get a command at the end.
const COMMANDED_AT_THE_END: usize = 4;

/// Simulates `hours` of a random home with a random mix of trouble and a quiet hour after it. At the end
/// everything must have recovered, except for the one thermostat or route whose trouble never ends.
///
/// # Errors
/// The first invariant that was broken, with the seed, the mix of trouble and the history.
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
    world.forbids_unnecessary_sign_ins = true;
    world.records_coverage = true;
    world.planned.clone_from(&plan.windows);
    world.ignoring.clone_from(&plan.ignoring);
    world.reordered.clone_from(&plan.reordered);
    let result = Run { plan: &plan, world: &mut world, rng: &mut rng, commands: 0 }.run();
    match result {
        Ok(commands) => {
            let confirmed = world.verdicts().iter().filter(|(_, _, verdict)| verdict.is_confirmed()).count();
            Ok(Report {
                seed,
                devices: plan.devices.len(),
                mix: plan.mix,
                troubles: plan.troubles,
                commands: (commands, confirmed),
                steps: world.steps(),
                digest: world.digest(),
                coverage: std::mem::take(&mut world.coverage),
            })
        }
        Err(violation) => Err(Box::new(Failure {
            seed,
            mix: plan.mix,
            violation,
            at: world.now(),
            history: world.history().map(str::to_owned).collect(),
            coverage: std::mem::take(&mut world.coverage),
        })),
    }
}

/// Carries out an action that does not need the run.
pub(crate) fn perform(world: &mut World, action: Action) -> Result<(), Violation> {
    match action {
        Action::Cancel(id) => world.cancel(id)?,
        Action::Press(device, change) => world.press(device, &change),
        Action::Happen(kind, incident) => {
            world.record_trouble(kind);
            world.happen(incident);
        }
        Action::Suspend(time) => world.suspend(time),
        Action::Freeze(time) => world.freeze(time),
        Action::StepClock(ahead_ms) => world.step_clock(ahead_ms),
        Action::DiskFull(full) => world.fill_disk(full),
        Action::SecondProcess => world.second_process_renews(),
        Action::FillRequestLine(device) => world.fill_request_line(device)?,
        Action::Command { .. } | Action::Restart { .. } => unreachable!("these need the run"),
    }
    Ok(())
}

/// A run in progress.
struct Run<'a> {
    plan: &'a Plan,
    world: &'a mut World,
    rng: &'a mut Rng,
    commands: usize,
}

impl Run<'_> {
    fn run(mut self) -> Result<usize, Violation> {
        let mut agenda = self.plan.actions.clone();
        let mut number = agenda.len();
        while let Some(((at, _), action)) = agenda.pop_first() {
            self.world.run_until(at)?;
            // A command to be cancelled is cancelled some time after it was given.
            if let Some((after, id)) = self.act(action)? {
                number += 1;
                agenda.insert((self.world.now() + after, number), Action::Cancel(id));
            }
        }
        self.world.run_until(self.plan.length.max(self.world.now()))?;
        self.recover()?;
        Ok(self.commands)
    }

    fn act(&mut self, action: Action) -> Result<Option<(Duration, CommandId)>, Violation> {
        match action {
            Action::Command { device, change, deadline, cancel } => {
                let id = self.world.command(device, change, deadline)?;
                self.commands += usize::from(id.is_some());
                return Ok(cancel.zip(id));
            }
            Action::Restart { stored, shut_down } => {
                if shut_down {
                    self.world.call(Session::shutdown)?;
                }
                let start = match self.world.stored().filter(|_| stored) {
                    Some(stored) => Start::Resume { stored: stored.clone(), password: Some(PASSWORD.into()) },
                    None => self.plan.start(),
                };
                self.world.restart(start, self.rng.next());
            }
            other => perform(self.world, other)?,
        }
        Ok(None)
    }

    /// Ends all trouble except the one that never ends, and checks that everything else recovers.
    fn recover(&mut self) -> Result<(), Violation> {
        self.world.wake();
        self.world.fill_disk(false);
        self.world.cloud.clear_faults();
        self.world.set_net(NetSpec::default());
        if let Some(lasting) = &self.plan.lasting {
            self.world.cloud.add_fault(lasting.clone());
        }
        self.world.run_for(QUIET)?;
        self.world.check_now()?;
        let service = *self.world.session.service();
        let lasting = self.plan.lasting_device;
        let expected: Vec<DeviceId> =
            self.plan.of_known_model.iter().copied().filter(|id| Some(*id) != lasting).collect();
        // The session assumes for hours that a broker which refused commands still refuses them; statuses arrive all
        // the same. A home receives nothing if the trouble of its only thermostat never ends.
        let may_receive = lasting.is_none() || !expected.is_empty();
        if service.level > Level::ReadOnly && may_receive {
            return Err(Violation::NotRecovered(service.to_string()));
        }
        for device in &expected {
            match self.world.session.device(*device) {
                None => return Err(Violation::NotRecovered(format!("{device} is not listed"))),
                Some(known) if known.is_stale() => {
                    return Err(Violation::NotRecovered(format!("{device} is stale")));
                }
                Some(_) => {}
            }
        }
        self.command_at_the_end(&expected, service.level)
    }

    fn command_at_the_end(&mut self, well: &[DeviceId], level: Level) -> Result<(), Violation> {
        let settings = &self.plan.settings;
        let denied = level == Level::ReadOnly && settings.channel == CommandChannel::Mqtt;
        if settings.read_only || denied || !self.plan.lasting_leaves(settings.channel, level) {
            return Ok(());
        }
        let devices: Vec<DeviceId> = well.iter().copied().take(COMMANDED_AT_THE_END).collect();
        let mut failed = self.command_each(&devices, level)?;
        // A session that suspects MQTT finds out by a command that the other channel is worse. The next one must use MQTT.
        if self.plan.structured_is_gone()
            && failed.iter().any(|(_, _, verdict)| was_taken_by_structured(verdict))
        {
            let devices: Vec<DeviceId> = failed.iter().map(|(device, ..)| *device).collect();
            failed = self.command_each(&devices, level)?;
        }
        match failed.first() {
            Some((device, id, verdict)) => {
                Err(Violation::NotRecovered(format!("{id} for {device}, after all trouble: {verdict}")))
            }
            None => Ok(()),
        }
    }

    /// Gives each of the thermostats a command, and returns the verdicts of those that should have been confirmed.
    fn command_each(
        &mut self,
        devices: &[DeviceId],
        level: Level,
    ) -> Result<Vec<(DeviceId, CommandId, Verdict)>, Violation> {
        let settings = &self.plan.settings;
        let mut given = Vec::new();
        for device in devices {
            let Some(truth) = self.world.truth(*device) else { continue };
            if self.plan.mqtt_only.contains(device) && settings.channel == CommandChannel::Structured {
                continue;
            }
            // A whole degree within the range of every family, and different from the present setpoint.
            let degrees = if truth.setpoint == 2_200 { 2_300 } else { 2_200 };
            let setpoint = Change::setpoint(Celsius::from_hundredths(degrees));
            // Dry mode has no setpoint.
            let change = Change { mode: Some(mysa_proto::Mode::Heat), ..setpoint };
            let Some(id) = self.world.command(*device, change, None)? else { continue };
            self.commands += 1;
            given.push((*device, id, degrees));
        }
        self.world.run_for(Duration::from_secs(60))?;
        self.world.check_now()?;
        let mut failed = Vec::new();
        for (device, id, degrees) in given {
            let holds_setpoint =
                self.world.truth(device).is_some_and(|truth| truth.setpoint == i64::from(degrees));
            match self.world.verdict(id) {
                Some(verdict) if verdict.is_confirmed() => {}
                // The session assumes that MQTT takes no commands, and this thermostat has no other channel.
                Some(Verdict::Refused(Refused::NotPermitted))
                    if level == Level::ReadOnly && self.plan.mqtt_only.contains(&device) => {}
                // A status does not contain every setting.
                Some(Verdict::Unconfirmed { .. })
                    if settings.confirm_by == ConfirmBy::Status && holds_setpoint => {}
                Some(verdict) => failed.push((device, id, verdict.clone())),
                None => return Err(Violation::NoVerdict(format!("{id} for {device}"))),
            }
        }
        Ok(failed)
    }
}

/// Returns `true` for the verdict of a command that the structured service took or refused.
const fn was_taken_by_structured(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Unconfirmed { reached: DeliveryStage::Wire(Channel::Structured), .. }
            | Verdict::Refused(Refused::Service { .. })
    )
}
