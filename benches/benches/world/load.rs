//! Many sessions under load: every thermostat reports every five seconds.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use mysa_session::{ConnId, Level};
use rustix::time::{ClockId, clock_gettime};

use crate::crowd::{Client, Crowd, status};
use crate::{MIB, resident};

const THERMOSTATS: usize = 5;
const THREADS: usize = 2;
/// Virtual time under load. A request for live reports is renewed within it, and each connection is pinged three times.
const LOAD: Duration = Duration::from_secs(150);
/// Virtual time over which the sessions start, evenly. It is the longest interval of a poll, so that polls by REST, too, have
/// the share of the load that they have in a process that has run for long.
const AGES: Duration = Duration::from_secs(900);
/// Time between two rounds of statuses until the load begins: enough for no thermostat to be stale.
const QUIET_ROUND: usize = 60;
/// Age at which a session is live.
const LIVE: usize = 30;
/// Time between two groups of statuses.
const STEP: Duration = Duration::from_millis(10);
const STEPS_PER_SECOND: usize = 100;
/// Number of sessions whose frames are handled together, as a driver reads what several sockets have.
pub(crate) const GROUP: usize = 16;
/// Memory of a session with its connection and timers, and what a machine keeps for others.
const BYTES_EACH: u64 = 16 * 1_024;
const RESERVE: u64 = 2 << 30;

/// Result of one thread.
struct Outcome {
    sessions: usize,
    /// Processor time under load, of which `statuses` take a part.
    load: Duration,
    statuses_time: Duration,
    statuses: usize,
    timers: usize,
    /// Largest delay of a step if the virtual time were real and the thread had a core for itself.
    latest: Duration,
    bytes: usize,
}

/// Measures this number of sessions on two threads, in virtual time, and prints the table.
pub(crate) fn run(sessions: usize) {
    let needed = sessions as u64 * BYTES_EACH + RESERVE;
    if let Some(available) = available().filter(|available| *available < needed) {
        let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
        eprintln!(
            "world: {sessions} sessions need {:.1} GiB of available memory, and there are {:.1}: try --sessions {}",
            gib(needed),
            gib(available),
            available.saturating_sub(RESERVE) / BYTES_EACH / 10_000 * 10_000
        );
        std::process::exit(1);
    }
    // A thread that fails must not leave the other waiting for it.
    std::panic::set_hook(Box::new(|failure| {
        eprintln!("{failure}");
        std::process::exit(1);
    }));
    let (before, began) = (resident(), Instant::now());
    let all_live = Barrier::new(THREADS);
    let (outcomes, grown, took) = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| thread(sessions / THREADS, &all_live))).collect();
        let outcomes: Vec<(Outcome, usize, Duration)> =
            threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let grown = outcomes.iter().map(|(_, resident, _)| resident - before).max().unwrap();
        let took = outcomes.iter().map(|(.., took)| *took).max().unwrap();
        (outcomes.into_iter().map(|(outcome, ..)| outcome).collect::<Vec<_>>(), grown, took)
    });
    print(&outcomes, grown, took, began.elapsed());
}

fn print(outcomes: &[Outcome], grown: usize, took: Duration, whole: Duration) {
    let sum = |value: fn(&Outcome) -> f64| outcomes.iter().map(value).sum::<f64>();
    let (sessions, statuses) = (sum(|one| one.sessions as f64), sum(|one| one.statuses as f64));
    let (load, statuses_time) =
        (sum(|one| one.load.as_secs_f64()), sum(|one| one.statuses_time.as_secs_f64()));
    let (bytes, timers) = (sum(|one| one.bytes as f64), sum(|one| one.timers as f64));
    let latest = outcomes.iter().map(|one| one.latest).max().unwrap_or_default();
    println!(
        "\n## {sessions} live sessions of {THERMOSTATS} thermostats in one process, {THREADS} threads, every thermostat \
         reports every 5 s\n\n| | |\n| --- | ---: |"
    );
    println!("| statuses per virtual second | {:.0} |", statuses / LOAD.as_secs_f64());
    println!("| a status and its event | {:.0} ns |", statuses_time * 1e9 / statuses);
    println!(
        "| a timer, with its requests and their answers | {:.0} ns, {timers:.0} calls |",
        (load - statuses_time) * 1e9 / timers
    );
    println!(
        "| processor time of a virtual second, share of {THREADS} cores | {:.1} % |",
        100.0 * load / LOAD.as_secs_f64() / THREADS as f64
    );
    println!(
        "| real time of a virtual second, with the load of the machine | {:.2} s |",
        took.as_secs_f64() / LOAD.as_secs_f64()
    );
    println!("| latest deadline, if the time were real | {:.1} ms |", latest.as_secs_f64() * 1e3);
    println!("| memory of one session | {:.0} bytes |", bytes / sessions);
    println!("| growth of the resident set | {:.0} MiB |", grown as f64 / MIB);
    println!("| time of the whole measurement | {:.0} s |", whole.as_secs_f64());
}

/// Returns the outcome, the resident bytes of the process at the end, and the real time of the load.
fn thread(sessions: usize, all_live: &Barrier) -> (Outcome, usize, Duration) {
    let mut crowd = Crowd::new(THERMOSTATS);
    start(&mut crowd, sessions);
    check(&crowd);
    let connections = connections(&crowd);
    all_live.wait();

    let (began, before, calls) = (Instant::now(), spent(), crowd.calls);
    let (mut statuses, mut events) = (0, 0);
    let (mut statuses_time, mut latest, mut backlog) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for second in 0..LOAD.as_secs() {
        let packets = packets(&crowd, second as usize / THERMOSTATS);
        for step in 0..STEPS_PER_SECOND {
            let step_start = spent();
            crowd.run(STEP);
            let timers_done = spent();
            // A hundredth of the sessions in each step, each with another of its thermostats every second.
            for group in (step..sessions).step_by(STEPS_PER_SECOND * GROUP) {
                let group = (group..sessions).step_by(STEPS_PER_SECOND).take(GROUP);
                crowd.prefetch(group.clone());
                for number in group {
                    let packet = &packets[(number / STEPS_PER_SECOND + second as usize) % THERMOSTATS];
                    events += crowd.deliver(number, packet);
                    statuses += 1;
                }
            }
            let done = spent();
            statuses_time += done - timers_done;
            backlog = (backlog + (done - step_start)).saturating_sub(STEP);
            latest = latest.max(backlog);
        }
    }
    let (load, took) = (spent() - before, began.elapsed());
    assert_eq!(events, statuses, "every status is an event");
    check(&crowd);
    assert!(self::connections(&crowd) == connections, "no session has connected again");
    all_live.wait();
    let resident = resident();
    let calls = crowd.calls - calls;
    all_live.wait();
    let bytes = crowd.drop_sessions();
    let outcome = Outcome { sessions, load, statuses_time, statuses, timers: calls, latest, bytes };
    (outcome, resident, took)
}

/// Starts sessions over the time of [`AGES`].
fn start(crowd: &mut Crowd, sessions: usize) {
    let started = |second: usize| (sessions * second / AGES.as_secs() as usize).min(sessions);
    crowd.clients.reserve_exact(sessions);
    for second in 0..AGES.as_secs() as usize + LIVE + QUIET_ROUND {
        while crowd.clients.len() < started(second + 1) {
            crowd.start();
        }
        crowd.run(Duration::from_secs(1));
        // Not the values of the first round under load, which must be a change.
        let packets = packets(crowd, 1 + second % 9);
        for number in (second % QUIET_ROUND..started(second.saturating_sub(LIVE))).step_by(QUIET_ROUND) {
            for packet in &packets {
                crowd.deliver(number, packet);
            }
        }
    }
}

/// Returns a status of each thermostat.
fn packets(crowd: &Crowd, round: usize) -> Vec<Vec<u8>> {
    let wall = crowd.now().wall;
    crowd.devices.iter().map(|id| status(*id, wall, round as i64)).collect()
}

/// Checks that every session is live and no thermostat is stale.
fn check(crowd: &Crowd) {
    for Client { session, .. } in &crowd.clients {
        assert_eq!(session.service().level, Level::Live);
        assert!(session.devices().all(|device| !device.is_stale()));
    }
}

fn connections(crowd: &Crowd) -> Vec<Option<ConnId>> {
    crowd.clients.iter().map(|client| client.connection).collect()
}

/// CPU time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Memory of the machine that is available, in bytes, as Linux reports it.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1_024)
}
