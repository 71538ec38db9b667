//! `mysa sim --check`.

use std::fs;
use std::time::Duration;

use mysa_sim::{CheckReport, CheckResult, CheckSettings};
use mysa_sim_server::CheckRun;

use crate::args::Sim;
use crate::output::record::printable;
use crate::output::terminal::Terminal;
use crate::support::exit::{Exit, Failure, Result};

/// Part of the time of a step for which it watches the client.
const WATCHED_PART: u32 = 3;

pub(super) fn settings(args: &Sim) -> CheckSettings {
    let mut settings = CheckSettings::default().at_speed(args.speed);
    if let Some(secs) = args.check_step {
        settings.step_wait = Duration::from_secs(secs.into());
        settings.watch = settings.step_wait / WATCHED_PART;
    }
    if let Some(secs) = args.check_time {
        settings.limit = Duration::from_secs(secs.into());
    }
    settings
}

/// Runs the check to its end or to a signal, and prints and writes the report.
pub(super) async fn run(
    terminal: &Terminal,
    args: &Sim,
    mut check: CheckRun<'_>,
    signal: impl Future<Output = Failure>,
) -> Result<()> {
    terminal.say("The check begins with the first request of a client.");
    let script = async {
        while let Some((step, did)) = check.next_step().await {
            terminal.say(format!("{step}: the simulator {did}"));
        }
    };
    let signal = tokio::select! {
        biased;
        failure = signal => Some(failure),
        () = script => None,
    };
    let report = check.report();
    if terminal.json {
        terminal.line(report.to_json())?;
    } else {
        for line in report.to_string().lines() {
            terminal.line(printable(line))?;
        }
    }
    if let Some(path) = &args.report {
        fs::write(path, report.to_json() + "\n").map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
        })?;
    }
    judge(&report, signal)
}

fn judge(report: &CheckReport, signal: Option<Failure>) -> Result<()> {
    let broken = report.count(CheckResult::Fail);
    if broken > 0 {
        let rules = if broken == 1 { "rule" } else { "rules" };
        return Err(Failure::new(Exit::Failed, format!("the client broke {broken} {rules}")));
    }
    if let Some(failure) = signal {
        return Err(failure);
    }
    if report.facts.connects == 0 {
        return Err(Failure::new(Exit::Failed, "no client connected; nothing was checked"));
    }
    Ok(())
}
