/// Result of one run of a contestant.
#[derive(Debug)]
pub(crate) struct Run {
    /// Seconds from the start to the last account that is live.
    pub(crate) start: f64,
    /// Resident bytes for each account at the end, without those of the process before the start.
    pub(crate) memory: f64,
    /// The same at their maximum.
    pub(crate) peak: f64,
    /// Share of a core for each account that is live, while thermostats report by themselves.
    pub(crate) share: f64,
    /// Messages of thermostats per second in that time.
    pub(crate) rate: f64,
    /// Nanoseconds of processor time for each message of a thermostat, under load.
    pub(crate) per_status: f64,
    /// Nanoseconds from a thermostat's report to the application's event.
    pub(crate) events: Vec<u64>,
    /// Nanoseconds from a command to its acknowledgement.
    pub(crate) acknowledgements: Vec<u64>,
    /// Reports that the application did not see.
    pub(crate) lost: usize,
}

/// Prints the table of all contestants: medians of the runs, percentiles of all their samples.
pub(crate) fn print<'a>(accounts: usize, contestants: impl Iterator<Item = (&'a str, &'a mut Vec<Run>)>) {
    println!("\n## {accounts} accounts of 5 thermostats\n");
    println!(
        "| | start, s | RSS per account, KiB | at most | CPU per account, % of a core | statuses per second \
         | CPU per status, us | report to event, ms, p50 | p99 | command to acknowledgement, ms, p50 | p99 | samples | lost |"
    );
    println!("| --- {} |", "| ---: ".repeat(12).trim_end());
    for (name, runs) in contestants {
        let mut events: Vec<u64> = runs.iter_mut().flat_map(|run| std::mem::take(&mut run.events)).collect();
        let mut answers: Vec<u64> =
            runs.iter_mut().flat_map(|run| std::mem::take(&mut run.acknowledgements)).collect();
        let middle = |value: fn(&Run) -> f64| median(runs.iter().map(value).collect());
        println!(
            "| {name} | {:.2} | {:.0} | {:.0} | {:.3} | {:.1} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {} + {} | {} |",
            middle(|run| run.start),
            middle(|run| run.memory) / 1_024.0,
            middle(|run| run.peak) / 1_024.0,
            middle(|run| run.share) * 100.0,
            middle(|run| run.rate),
            middle(|run| run.per_status) / 1e3,
            percentile(&mut events, 50),
            percentile(&mut events, 99),
            percentile(&mut answers, 50),
            percentile(&mut answers, 99),
            events.len(),
            answers.len(),
            runs.iter().map(|run| run.lost).sum::<usize>(),
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A percentile in milliseconds.
fn percentile(nanos: &mut [u64], percent: usize) -> f64 {
    nanos.sort_unstable();
    let at = (nanos.len() * percent).div_ceil(100).saturating_sub(1);
    nanos.get(at).map_or(f64::NAN, |&nanos| nanos as f64 / 1e6)
}
