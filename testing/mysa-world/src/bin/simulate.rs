//! `simulate [--bridge | --fleet] --seeds N --hours H [--seed S]` runs random homes with random trouble and checks all
//! invariants; with `--bridge`, homes with a bridge, a local broker and Home Assistant; with `--fleet`, workers that share many
//! accounts. It prints the seed and the history of a run
//! that breaks one, and how often each kind of trouble met each state of the client.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mysa_world::{
    BridgeState, Coverage, FleetReport, FleetTrouble, LocalTrouble, Report, SessionState, TroubleKind,
    bridge_campaign, campaign, fleet_campaign,
};
use sha2::{Digest as _, Sha256};

struct Wanted {
    world: World,
    first: u64,
    seeds: u64,
    hours: u64,
    verbose: bool,
}

#[derive(Clone, Copy)]
enum World {
    Homes,
    Bridges,
    Fleets,
}

const USAGE: &str = "usage: simulate [--bridge | --fleet] [--seeds N] [--hours H] [--seed FIRST] [--verbose]";

fn main() -> ExitCode {
    match read(std::env::args().skip(1)) {
        Ok(wanted) => match wanted.world {
            World::Homes => sessions(&wanted),
            World::Bridges => bridges(&wanted),
            World::Fleets => fleets(&wanted),
        },
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs a campaign for each seed, on all processors. Returns the results in the order of the seeds.
fn run<R: Display + Send, F: Send>(
    wanted: &Wanted,
    campaign: impl Fn(u64, u64) -> Result<R, F> + Sync,
) -> Vec<Result<R, F>> {
    let next = AtomicU64::new(0);
    let results = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= wanted.seeds {
                        return;
                    }
                    let result = campaign(wanted.first.wrapping_add(number), wanted.hours);
                    if wanted.verbose
                        && let Ok(report) = &result
                    {
                        println!("{report}");
                    }
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

fn split<R: Display, F>(results: Vec<Result<R, F>>) -> (Vec<R>, Vec<F>, String) {
    let mut digest = Sha256::new();
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(report) => {
                digest.update(report.to_string());
                reports.push(report);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let digest = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    (reports, failures, digest)
}

fn sessions(wanted: &Wanted) -> ExitCode {
    let (reports, failures, digest) = split(run(wanted, campaign));
    let sum = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
    println!(
        "{} of {} runs clean, {} h each: {} devices, {} troubles, {} commands ({} confirmed), {} steps, digest {digest}",
        reports.len(),
        wanted.seeds,
        wanted.hours,
        sum(|report| report.devices as u64),
        sum(|report| report.troubles as u64),
        sum(|report| report.commands.0 as u64),
        sum(|report| report.commands.1 as u64),
        sum(|report| report.steps),
    );
    let mut coverage: Coverage<TroubleKind, SessionState> = Coverage::default();
    for report in &reports {
        coverage.merge(&report.coverage);
    }
    for failure in &failures {
        coverage.merge(&failure.coverage);
    }
    println!("\nNumber of times each kind of trouble met each state of the session:\n{coverage}");
    let Some(first) = failures.first() else { return ExitCode::SUCCESS };
    println!("{first}");
    for failure in failures.iter().skip(1) {
        let kinds: Vec<&str> = failure.mix.iter().map(|kind| kind.name()).collect();
        println!("seed {}: {} ({})", failure.seed, failure.violation, kinds.join(", "));
    }
    println!("to reproduce: simulate --seeds 1 --hours {} --seed {}", wanted.hours, first.seed);
    ExitCode::FAILURE
}

fn bridges(wanted: &Wanted) -> ExitCode {
    let (reports, failures, digest) = split(run(wanted, bridge_campaign));
    let results =
        |outcome: &str| reports.iter().filter_map(|report| report.outcomes.get(outcome)).sum::<u64>();
    println!(
        "{} of {} runs clean, {} h each: {} devices, {} uses of a card, results: {} confirmed, {} unconfirmed, \
         {} refused, {} superseded, {} expired, {} states published, {} steps, digest {digest}",
        reports.len(),
        wanted.seeds,
        wanted.hours,
        reports.iter().map(|report| report.devices).sum::<usize>(),
        reports.iter().map(|report| report.presses).sum::<usize>(),
        results("confirmed"),
        results("unconfirmed"),
        results("refused"),
        results("superseded"),
        results("expired"),
        reports.iter().map(|report| report.states).sum::<u64>(),
        reports.iter().map(|report| report.steps).sum::<u64>(),
    );
    let mut coverage: Coverage<LocalTrouble, BridgeState> = Coverage::default();
    let mut cloud: Coverage<TroubleKind, BridgeState> = Coverage::default();
    for report in &reports {
        coverage.merge(&report.coverage);
        cloud.merge(&report.cloud_coverage);
    }
    println!("\nNumber of times each kind of trouble met each state of the bridge:\n{coverage}");
    println!("\nThe same for trouble of the cloud:\n{cloud}");
    let Some(first) = failures.first() else { return ExitCode::SUCCESS };
    println!("{first}");
    for failure in failures.iter().skip(1) {
        println!("seed {}: {} ({})", failure.seed, failure.violation, failure.mix);
    }
    ExitCode::FAILURE
}

fn fleets(wanted: &Wanted) -> ExitCode {
    let (reports, failures, digest) = split(run(wanted, fleet_campaign));
    let sum = |count: fn(&FleetReport) -> u64| reports.iter().map(count).sum::<u64>();
    let verdicts =
        |outcome: &str| reports.iter().filter_map(|report| report.outcomes.get(outcome)).sum::<u64>();
    println!(
        "{} of {} runs clean, {} h each: {} workers, {} accounts, {} clients started, {} commands, {} sent, verdicts: \
         {} confirmed, {} unconfirmed ({} because the owner was lost), {} refused, {} expired, {} steps, digest {digest}",
        reports.len(),
        wanted.seeds,
        wanted.hours,
        reports.iter().map(|report| report.workers).sum::<usize>(),
        reports.iter().map(|report| report.accounts).sum::<usize>(),
        sum(|report| report.starts),
        reports.iter().map(|report| report.commands).sum::<usize>(),
        sum(|report| report.sent),
        verdicts("confirmed"),
        verdicts("unconfirmed"),
        sum(|report| report.owner_lost),
        verdicts("refused"),
        verdicts("expired"),
        sum(|report| report.steps),
    );
    for trouble in FleetTrouble::ALL {
        let times = reports.iter().filter_map(|report| report.troubles.get(trouble.name())).sum::<u64>();
        println!("{:>24} {times}", trouble.name());
    }
    let Some(first) = failures.first() else { return ExitCode::SUCCESS };
    println!("{first}");
    for failure in failures.iter().skip(1) {
        println!("seed {}: {}", failure.seed, failure.violation);
    }
    println!("to reproduce: simulate --fleet --seeds 1 --hours {} --seed {}", wanted.hours, first.seed);
    ExitCode::FAILURE
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut wanted = Wanted { world: World::Homes, first: 1, seeds: 100, hours: 24, verbose: false };
    while let Some(name) = arguments.next() {
        let place = match name.as_str() {
            "--verbose" => {
                wanted.verbose = true;
                continue;
            }
            "--bridge" => {
                wanted.world = World::Bridges;
                continue;
            }
            "--fleet" => {
                wanted.world = World::Fleets;
                continue;
            }
            "--seed" => &mut wanted.first,
            "--seeds" => &mut wanted.seeds,
            "--hours" => &mut wanted.hours,
            other => return Err(format!("unknown option '{other}'")),
        };
        let value = arguments.next().ok_or_else(|| format!("{name}: expected a number"))?;
        *place = value.parse().map_err(|_| format!("{name}: expected a number, got '{value}'"))?;
    }
    Ok(wanted)
}
