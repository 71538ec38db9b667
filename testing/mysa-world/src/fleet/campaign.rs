//! Random fleets with random trouble.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mysa_fleet::Settings;

use super::{FleetViolation, FleetWorld};
use crate::Rng;
use crate::coverage::kinds;

kinds! {
    /// Trouble of a fleet.
    FleetTrouble {
        Killed = "worker killed",
        Stopped = "worker stopped",
        CutOff = "worker cut off",
        AllCutOff = "all workers cut off",
        AnswersLost = "answers lost",
        EntriesLate = "entries late",
        StoreRestarts = "store restarts",
        StoreSlow = "store slow",
        ClockStepped = "clock stepped",
        Drained = "worker drained",
        Joined = "worker added",
        AccountsChanged = "accounts changed",
    }
}

/// Result of one run of a campaign with a fleet.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FleetReport {
    /// Seed of the run.
    pub seed: u64,
    /// Number of workers at the start.
    pub workers: usize,
    /// Number of accounts at the start.
    pub accounts: usize,
    /// Number of times that each kind of trouble happened.
    pub troubles: BTreeMap<&'static str, u64>,
    /// Number of commands.
    pub commands: usize,
    /// Numbers of verdicts by their outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Number of commands whose owner was lost.
    pub owner_lost: u64,
    /// Number of commands that reached a thermostat.
    pub sent: u64,
    /// Number of replies that asked for a repeat.
    pub retries: u64,
    /// Number of clients that were started.
    pub starts: u64,
    /// Number of steps of the world.
    pub steps: u64,
    /// Digest of the history.
    pub digest: String,
}

/// A run that broke an invariant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FleetFailure {
    /// Seed of the run.
    pub seed: u64,
    /// The broken invariant.
    pub violation: FleetViolation,
    /// Time of the violation since the start of the simulation.
    pub at: Duration,
    /// Last lines of the history.
    pub history: Vec<String>,
}

impl fmt::Display for FleetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} workers, {} accounts, {} starts, {} commands, {} sent, verdicts {:?}, {} owners lost, {} retries, \
             {} steps, digest {}; {:?}",
            self.seed,
            self.workers,
            self.accounts,
            self.starts,
            self.commands,
            self.sent,
            self.outcomes,
            self.owner_lost,
            self.retries,
            self.steps,
            self.digest,
            self.troubles,
        )
    }
}

impl fmt::Display for FleetFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {} at {:.3} s: {}", self.seed, self.at.as_secs_f64(), self.violation)
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// Time of trouble in each episode.
const EPISODE: u64 = 120;

/// Runs a random fleet for some hours: episodes of random trouble, each followed by a time without trouble in which every
/// account must have an owner at twice the lease, and every command a verdict.
///
/// # Errors
/// The run broke an invariant.
pub fn fleet_campaign(seed: u64, hours: u64) -> Result<FleetReport, Box<FleetFailure>> {
    let mut rng = Rng::new(seed ^ 0xF1EE7);
    let mut settings = Settings::default();
    settings.starts_per_second = 20.0;
    settings.hand_overs = 4;
    let workers = usize::try_from(rng.between(1, 9)).unwrap_or_default();
    let accounts = usize::try_from(rng.between(1, 60)).unwrap_or_default();
    let mut world = FleetWorld::new(settings, rng.next());
    let mut troubles = BTreeMap::new();
    let result = run(&mut world, &mut rng, workers, accounts, hours, &mut troubles);
    let counts = world.judge.counts.clone();
    match result {
        Ok(()) => Ok(FleetReport {
            seed,
            workers,
            accounts,
            troubles,
            commands: world.commands.len(),
            outcomes: counts.outcomes,
            owner_lost: counts.owner_lost,
            sent: counts.sent,
            retries: counts.retries,
            starts: counts.starts,
            steps: world.steps,
            digest: format!("{:016x}", world.digest),
        }),
        Err(violation) => {
            let history = world.history.into_iter().collect();
            Err(Box::new(FleetFailure { seed, violation, at: world.now, history }))
        }
    }
}

fn run(
    world: &mut FleetWorld,
    rng: &mut Rng,
    workers: usize,
    accounts: usize,
    hours: u64,
    troubles: &mut BTreeMap<&'static str, u64>,
) -> Result<(), FleetViolation> {
    for number in 0..accounts {
        world.set_account(&format!("a{number}"), true);
    }
    for _ in 0..workers {
        world.add_worker();
    }
    world.run_for(30 * SECOND)?;
    world.check_owners()?;
    let end = Duration::from_secs(hours.saturating_mul(3_600));
    while world.now < end {
        episode(world, rng, troubles)?;
        world.heal();
        let lease = world.settings.lease;
        world.run_for(2 * lease)?;
        world.check_owners()?;
        // Callers repeat their requests, and accounts that are not where they should be move once.
        world.run_for(300 * SECOND)?;
        world.check_owners()?;
        world.check_verdicts()?;
        let starts = world.starts();
        world.run_for(120 * SECOND)?;
        if world.starts() != starts {
            let starts = usize::try_from(world.starts() - starts).unwrap_or(usize::MAX);
            return Err(FleetViolation::Restless { starts });
        }
    }
    Ok(())
}

fn episode(
    world: &mut FleetWorld,
    rng: &mut Rng,
    troubles: &mut BTreeMap<&'static str, u64>,
) -> Result<(), FleetViolation> {
    let mut steps = BTreeMap::new();
    for _ in 0..rng.between(1, 8) {
        // Much of the trouble comes together.
        let at = if rng.one_in(2) { rng.between(20_000, 40_000) } else { rng.below(EPISODE * 1_000) };
        steps.insert(at * 10 + rng.below(10), rng.pick(FleetTrouble::ALL).copied());
    }
    for _ in 0..rng.between(1, 40) {
        let near = steps.keys().next().copied().unwrap_or_default();
        let at = if rng.one_in(2) { near + rng.below(100_000) } else { rng.below(EPISODE * 10_000) };
        steps.entry(at).or_insert(None);
    }
    let start = world.now;
    for (at, trouble) in steps {
        let at = start + Duration::from_micros(at * 100);
        world.run_for(at.saturating_sub(world.now))?;
        match trouble {
            Some(trouble) => {
                *troubles.entry(trouble.name()).or_default() += 1;
                perform(world, rng, trouble)?;
            }
            None => {
                let accounts: Vec<_> = world
                    .accounts
                    .iter()
                    .filter(|(_, (present, _))| *present)
                    .map(|(name, _)| name.clone())
                    .collect();
                if let Some(account) = rng.pick(&accounts) {
                    for _ in 0..rng.between(1, 3) {
                        world.command(account);
                    }
                }
            }
        }
    }
    world.run_for((start + Duration::from_secs(EPISODE)).saturating_sub(world.now))
}

fn perform(world: &mut FleetWorld, rng: &mut Rng, trouble: FleetTrouble) -> Result<(), FleetViolation> {
    let number = usize::try_from(rng.below(world.nodes.len() as u64)).unwrap_or_default();
    // Short ones, ones of about a lease, and long ones.
    let time = match rng.below(3) {
        0 => Duration::from_millis(rng.between(50, 5_000)),
        1 => Duration::from_millis(rng.between(20_000, 40_000)),
        _ => Duration::from_millis(rng.between(1_000, 100_000)),
    };
    match trouble {
        FleetTrouble::Killed => world.kill(number, Some(time)),
        FleetTrouble::Stopped => world.stop(number, time),
        FleetTrouble::CutOff => world.cut(number, time),
        FleetTrouble::AllCutOff => (0..world.nodes.len()).for_each(|number| world.cut(number, time)),
        FleetTrouble::AnswersLost => {
            (0..world.nodes.len()).for_each(|number| world.lose_answers(number, time))
        }
        FleetTrouble::EntriesLate => (0..world.nodes.len()).for_each(|number| world.reorder(number, time)),
        FleetTrouble::StoreRestarts => world.restart_store(time),
        FleetTrouble::StoreSlow => world.slow_store(Duration::from_millis(rng.between(100, 9_000)), time),
        FleetTrouble::ClockStepped => {
            let millis = i64::try_from(rng.below(7_200_000)).unwrap_or_default() - 3_600_000;
            world.step_clock(number, millis);
        }
        FleetTrouble::Drained => world.drain(number, Some(time))?,
        FleetTrouble::Joined => {
            if world.nodes.len() < 14 {
                world.add_worker();
            }
        }
        FleetTrouble::AccountsChanged => {
            for _ in 0..rng.between(1, 5) {
                let name = format!("a{}", rng.below(world.accounts.len() as u64 + 3));
                let present = world.accounts.get(&name).is_some_and(|(present, _)| *present);
                // An account with open commands stays: its callers would wait for it.
                if !present || world.commands.iter().all(|command| command.name.0 != name) {
                    world.set_account(&name, !present);
                }
            }
        }
    }
    Ok(())
}
