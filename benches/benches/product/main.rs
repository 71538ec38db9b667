//! The whole product: accounts of five thermostats against the simulated cloud, by TLS, WebSocket and MQTT on loopback.
//!
//! ```text
//! cargo bench -p mysa-benches --bench product -- [--accounts 1,100,1000] [--rounds 3] [--seconds 20] [--peer PYTHON]
//! ```
//!
//! The simulated cloud runs in this process. Each contestant is a process of its own that holds all accounts, so that its
//! memory and processor time contain nothing else; contestants take turns. `--peer` is a Python that has mysa-client
//! installed. Both processes read the same monotonic clock of the system. Linux only.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

mod cloud;
mod contestant;
mod ours;
mod program;
mod report;
mod usual;

use std::time::Duration;

use crate::cloud::{CLIENT_ID, Homes, PEER_CLIENT_ID};
use crate::contestant::Contestant;
use crate::report::Run;

/// Options of the command line.
struct Options {
    accounts: Vec<usize>,
    rounds: usize,
    window: Duration,
    peer: Option<String>,
}

/// Accounts above which the peer is not started: its MQTT library waits with `select`, which takes descriptors below 1,024, and an
/// account has several.
const PEER_ACCOUNTS: usize = 200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--contestant", "ours"] => program::run(ours::run),
        ["--contestant", "usual"] => program::run(usual::run),
        _ => match options(args) {
            Ok(options) => compare(&options),
            Err(problem) => {
                eprintln!("product: {problem}");
                std::process::exit(2);
            }
        },
    }
}

fn options(args: Vec<String>) -> Result<Options, String> {
    let mut options =
        Options { accounts: vec![1, 100, 1_000], rounds: 3, window: Duration::from_secs(20), peer: None };
    let mut args = args.into_iter();
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("missing value of {name}"))?;
        let number = || value.parse::<usize>().map_err(|_| format!("invalid value of {name}: {value:?}"));
        match name.as_str() {
            "--accounts" => {
                let counts = value.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>();
                let counts =
                    counts.ok().filter(|counts| counts.iter().all(|count| (1..=10_000).contains(count)));
                options.accounts = counts.ok_or_else(|| {
                    format!("invalid value of --accounts: {value:?}, expected numbers up to 10000")
                })?;
            }
            "--rounds" => options.rounds = number()?.max(1),
            "--seconds" => options.window = Duration::from_secs(number()?.max(5) as u64),
            "--peer" => options.peer = Some(value),
            _ => {
                return Err(format!(
                    "unknown option {name}: expected --accounts, --rounds, --seconds or --peer"
                ));
            }
        }
    }
    Ok(options)
}

fn compare(options: &Options) {
    for &accounts in &options.accounts {
        eprintln!("product: {accounts} accounts");
        let homes = Homes::start(accounts);
        let own = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
        let mut contestants =
            vec![("mysa-tokio", CLIENT_ID, vec![own.clone(), "--contestant".into(), "ours".into()])];
        contestants.push(("the usual way", CLIENT_ID, vec![own, "--contestant".into(), "usual".into()]));
        if let Some(python) = options.peer.as_ref().filter(|_| accounts <= PEER_ACCOUNTS) {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/product_peer.py");
            contestants.push(("mysa-client", PEER_CLIENT_ID, vec![python.clone(), script.into()]));
        }
        let mut runs: Vec<Vec<Run>> = contestants.iter().map(|_| Vec::new()).collect();
        for round in 1..=options.rounds {
            for ((name, client, command), runs) in contestants.iter().zip(&mut runs) {
                eprintln!("product: {accounts} accounts, round {round}, {name}");
                runs.push(Contestant::start(name, command, client, &homes).measure(options.window));
            }
        }
        report::print(accounts, contestants.iter().map(|(name, ..)| *name).zip(&mut runs));
    }
}
