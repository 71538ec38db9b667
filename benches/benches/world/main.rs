//! Cost of a session: a simulated day of a home with its cloud, memory, and a hundred thousand sessions in one process.
//! `--million` measures a million sessions under load instead.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

mod crowd;
mod load;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mysa_session::{Level, Settings};
use mysa_sim::CloudSpec;
use mysa_world::{NetSpec, World};

use crate::crowd::Crowd;

const DAY: Duration = Duration::from_secs(86_400);
const MIB: f64 = 1_048_576.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => {}
        ["--million"] => return load::run(1_000_000),
        ["--sessions", number] if number.parse::<usize>().is_ok_and(|number| number >= 1_000) => {
            return load::run(number.parse().unwrap());
        }
        _ => {
            eprintln!(
                "world: unknown arguments {args:?}: expected --million, or --sessions and a number from 1000"
            );
            std::process::exit(2);
        }
    }
    day();
    memory();
    crowd();
}

/// Times a day of the demo home with every invariant checked.
fn day() {
    println!("\n## A home of 5 thermostats and its cloud, one day\n");
    println!(
        "| | seconds of one core | times real time | steps | digest |\n| --- | ---: | ---: | ---: | --- |"
    );
    let mut runs: Vec<(Duration, String)> = (0..7).map(|_| one_day()).collect();
    runs.sort();
    let (median, row) = &runs[runs.len() / 2];
    let times = DAY.as_secs_f64() / median.as_secs_f64();
    println!("| World, median of {} | {:.3} | {times:.0} | {row} |", runs.len(), median.as_secs_f64());
}

fn one_day() -> (Duration, String) {
    let mut world =
        World::new(CloudSpec::demo(), NetSpec::default(), Settings::default(), 1).without_events();
    let (took, run) = timed(|| world.run_for(DAY));
    run.unwrap();
    assert_eq!(world.session.service().level, Level::Live);
    (took, format!("{} | {}", world.steps(), world.digest()))
}

/// Measures the bytes that one live session holds, by its number of thermostats.
fn memory() {
    println!("\n## Memory of a live session\n");
    println!(
        "| thermostats | bytes | tokens included | target | used |\n| ---: | ---: | ---: | ---: | ---: |"
    );
    let mut points = Vec::new();
    for count in [1, 5, 50, 200] {
        let mut crowd = Crowd::new(count);
        crowd.add(1, Duration::from_secs(1_800));
        crowd.statuses();
        let tokens = crowd.tokens();
        let bytes = crowd.drop_sessions();
        let target = 8 * 1_024 + count * 1_024;
        println!("| {count} | {bytes} | {tokens} | {target} | {:.0} % |", percent(bytes, target));
        points.push((count as f64, bytes as f64));
    }
    let (base, slope) = line(&points);
    println!("\nLinear fit: {base:.0} bytes + {slope:.0} for each thermostat.");
}

/// Times a hundred thousand live sessions of 5 thermostats: two statuses from each thermostat, then five minutes of
/// timers.
fn crowd() {
    const SESSIONS: usize = 100_000;
    const TIMERS: Duration = Duration::from_secs(300);
    let mut crowd = Crowd::new(5);
    let resident = resident();
    let (came_up, _) = timed(|| crowd.add(SESSIONS, Duration::from_secs(30)));
    let live = crowd.clients.iter().filter(|client| client.session.service().level == Level::Live).count();
    assert_eq!(live, SESSIONS, "every session is live");
    crowd.statuses();
    let (elapsed, (statuses, events)) = timed(|| crowd.statuses());
    assert_eq!(events, statuses, "every status is an event");
    let calls = crowd.calls;
    let (idled, ()) = timed(|| crowd.run(TIMERS));
    let calls = crowd.calls - calls;
    let resident = self::resident() - resident;
    let bytes = crowd.drop_sessions();

    println!("\n## {SESSIONS} sessions of 5 thermostats in one process, one thread\n\n| | |\n| --- | ---: |");
    println!("| start of a session | {:.1} us |", came_up.as_secs_f64() * 1e6 / SESSIONS as f64);
    println!("| a status and its event | {:.0} ns |", elapsed.as_secs_f64() * 1e9 / statuses as f64);
    println!(
        "| a timer, with its requests and their answers | {:.0} ns |",
        idled.as_secs_f64() * 1e9 / calls as f64
    );
    println!("| timers of five minutes, all sessions | {:.2} s for {calls} calls |", idled.as_secs_f64());
    println!(
        "| timers of five minutes, share of one core | {:.2} % |",
        100.0 * idled.as_secs_f64() / TIMERS.as_secs_f64()
    );
    println!("| memory of the sessions | {:.0} MiB |", bytes as f64 / MIB);
    println!("| memory of one session | {} bytes |", bytes / SESSIONS);
    println!("| growth of the resident set | {:.0} MiB |", resident as f64 / MIB);
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = spent();
    let result = work();
    (spent() - start, result)
}

/// CPU time of this thread, which excludes the time of other processes; wall time where Linux does not report it.
fn spent() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// Bytes of this process in physical memory; 0 without `/proc`.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4_096
}

/// Least-squares line through the points: its intercept and slope.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (x / count, y / count);
    let rise: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let run: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (y - rise / run * x, rise / run)
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}
