//! `simulate --seeds N --hours H [--seed S]` runs random homes with random trouble and checks all invariants. It prints
//! the seed and the history of a run that breaks one, and how often each kind of trouble met each state of the session.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mysa_world::{Coverage, Report, campaign};
use sha2::{Digest as _, Sha256};

struct Wanted {
    first: u64,
    seeds: u64,
    hours: u64,
    verbose: bool,
}

const USAGE: &str = "usage: simulate [--seeds N] [--hours H] [--seed FIRST] [--verbose]";

fn main() -> ExitCode {
    let wanted = match read(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
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

    let mut digest = Sha256::new();
    let mut reports: Vec<Report> = Vec::new();
    let mut failures = Vec::new();
    for (_, result) in results {
        match result {
            Ok(report) => {
                digest.update(report.to_string());
                reports.push(report);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
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
    let mut coverage = Coverage::default();
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

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut wanted = Wanted { first: 1, seeds: 100, hours: 24, verbose: false };
    while let Some(name) = arguments.next() {
        let place = match name.as_str() {
            "--verbose" => {
                wanted.verbose = true;
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
