//! A contestant's side: what it is told on standard input, and what it reports on standard output.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use mysa_proto::{Celsius, DeviceId};
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What a contestant needs to know, from the first line.
pub(crate) struct Config {
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    pub(crate) client_id: String,
    pub(crate) accounts: Vec<Account>,
}

/// An account and its stored session.
pub(crate) struct Account {
    pub(crate) email: String,
    pub(crate) refresh_token: String,
    pub(crate) devices: Vec<DeviceId>,
}

/// Request to set a setpoint.
pub(crate) struct Order {
    pub(crate) account: usize,
    pub(crate) device: DeviceId,
    pub(crate) setpoint: Celsius,
}

/// Standard output. Cheap to clone; writing never blocks a caller.
#[derive(Clone)]
pub(crate) struct Reports {
    lines: mpsc::Sender<String>,
    /// Accounts that are not live yet.
    waiting: Arc<AtomicUsize>,
}

impl Reports {
    fn line(&self, line: String) {
        // The writer ends with the process.
        let _ = self.lines.send(line);
    }

    /// Reports that an account is live: its subscriptions are granted and the state of each thermostat is known.
    pub(crate) fn live(&self) {
        if self.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.line(format!("live {}", clock()));
        }
    }

    /// Reports that the application saw a new setpoint.
    pub(crate) fn event(&self, device: DeviceId, setpoint: Celsius) {
        self.line(format!("event {} {device} {}", clock(), setpoint.as_hundredths()));
    }

    /// Reports that the thermostat acknowledged a command that was given at `given`.
    pub(crate) fn acknowledged(&self, given: u64) {
        self.line(format!("ack {}", clock() - given));
    }

    /// Reports a failure, which ends the benchmark.
    pub(crate) fn failed(&self, why: &dyn std::fmt::Display) {
        self.line(format!("failed {why}"));
    }
}

/// Nanoseconds of the system's monotonic clock, the same for all processes.
pub(crate) fn clock() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

fn nanos(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap()
}

/// Runs a contestant until its standard input ends.
pub(crate) fn run<F>(contestant: fn(Config, Reports, UnboundedReceiver<Order>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut input = std::io::stdin().lock().lines();
    let config = config(&input.next().unwrap().unwrap());
    let (lines, written) = mpsc::channel::<String>();
    std::thread::spawn(move || {
        let mut output = std::io::stdout().lock();
        for line in written {
            writeln!(output, "{line}").unwrap();
            output.flush().unwrap();
        }
    });
    let reports = Reports { lines, waiting: Arc::new(AtomicUsize::new(config.accounts.len())) };
    let (orders, received) = unbounded_channel();
    let mut waiting = Some((config, reports.clone(), received));
    reports.line("ready".into());
    for line in input {
        let line = line.unwrap();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["start"] => {
                let (config, reports, received) = waiting.take().unwrap();
                runtime.spawn(contestant(config, reports, received));
            }
            ["set", account, device, setpoint] => {
                let setpoint = Celsius::from_hundredths(setpoint.parse().unwrap());
                let order = Order {
                    account: account.parse().unwrap(),
                    device: DeviceId::new(device).unwrap(),
                    setpoint,
                };
                let _ = orders.send(order);
            }
            ["cpu"] => reports.line(format!("cpu {}", nanos(clock_gettime(ClockId::ProcessCPUTime)))),
            _ => panic!("unknown line {line}"),
        }
    }
    // The end of a process closes its sockets.
    std::process::exit(0);
}

fn config(line: &str) -> Config {
    let value: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let account = |account: &Value| Account {
        email: text(&account["email"]),
        refresh_token: text(&account["refresh_token"]),
        devices: account["devices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| DeviceId::new(&text(id)).unwrap())
            .collect(),
    };
    Config {
        address: text(&value["address"]).parse().unwrap(),
        authority: text(&value["authority"]),
        client_id: text(&value["client_id"]),
        accounts: value["accounts"].as_array().unwrap().iter().map(account).collect(),
    }
}
