use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use mysa_proto::DeviceId;
use serde_json::json;

use crate::cloud::Homes;
use crate::program::clock;
use crate::report::Run;

/// A contestant's process, as seen by the benchmark.
pub(crate) struct Contestant<'a> {
    name: &'a str,
    homes: &'a Homes,
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    /// Setpoints pressed at thermostats that the application has not seen: hundredths of a degree and time.
    pressed: HashMap<DeviceId, (i32, u64)>,
    /// Nanoseconds from the press to the event.
    events: Vec<u64>,
    /// Nanoseconds from the command to the acknowledgement.
    acknowledgements: Vec<u64>,
    lost: usize,
}

/// Bound of a wait. It ends a benchmark that hangs.
const HANG: Duration = Duration::from_secs(600);
/// Time for the requests that follow the start, such as those for live reports.
const SETTLE: Duration = Duration::from_secs(10);
/// Presses per second for each account, and the most in all.
const PRESSES: (f64, f64) = (50.0, 200.0);
/// Time between two commands to one account. mysa-tokio spaces commands of an account by a second.
const COMMAND_SPACING: Duration = Duration::from_millis(1_250);
/// Most commands per second in all.
const COMMANDS: f64 = 50.0;

impl<'a> Contestant<'a> {
    /// Starts the process. It knows the accounts, but has no connection yet.
    pub(crate) fn start(name: &'a str, command: &[String], client: &'static str, homes: &'a Homes) -> Self {
        let tokens = homes.refresh_tokens(client);
        let mut process = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command[0]));
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let accounts: Vec<_> = homes
            .accounts
            .iter()
            .zip(&tokens)
            .map(|(account, token)| {
                let devices: Vec<&str> = account.devices.iter().map(DeviceId::as_str).collect();
                json!({ "email": account.email, "refresh_token": token, "devices": devices })
            })
            .collect();
        let config = json!({
            "address": homes.server.address().to_string(), "authority": homes.authority, "client_id": client,
            "accounts": accounts,
        });
        let mut this = Self {
            name,
            homes,
            process,
            input,
            lines,
            pressed: HashMap::new(),
            events: Vec::new(),
            acknowledgements: Vec::new(),
            lost: 0,
        };
        this.say(&config.to_string());
        this.wait_for("ready");
        this
    }

    /// Runs the phases and ends the process.
    pub(crate) fn measure(mut self, window: Duration) -> Run {
        let accounts = self.homes.accounts.len() as f64;
        let before = self.memory("VmRSS");
        let started = clock();
        self.say("start");
        let live: u64 = self.wait_for("live").parse().unwrap();
        self.pass(SETTLE);
        assert_eq!(self.homes.connections(), self.homes.accounts.len(), "each account has one connection");

        let (cpu, delivered, since) = (self.cpu(), self.homes.delivered(), Instant::now());
        self.pass(window);
        let (quiet_cpu, quiet_time) = (self.cpu() - cpu, since.elapsed());
        let quiet_statuses = self.homes.delivered() - delivered;

        let (cpu, delivered) = (self.cpu(), self.homes.delivered());
        self.press_for(window);
        let (busy_cpu, busy_statuses) = (self.cpu() - cpu, self.homes.delivered() - delivered);
        self.command_for(window);

        let run = Run {
            start: seconds(live - started),
            memory: (self.memory("VmRSS") - before) / accounts,
            peak: (self.memory("VmHWM") - before) / accounts,
            share: seconds(quiet_cpu) / quiet_time.as_secs_f64() / accounts,
            rate: quiet_statuses as f64 / quiet_time.as_secs_f64(),
            per_status: busy_cpu as f64 / busy_statuses as f64,
            events: std::mem::take(&mut self.events),
            acknowledgements: std::mem::take(&mut self.acknowledgements),
            lost: self.lost,
        };
        self.end();
        run
    }

    /// Presses buttons at thermostats in turn.
    fn press_for(&mut self, window: Duration) {
        let devices: Vec<DeviceId> =
            self.homes.accounts.iter().flat_map(|account| account.devices.iter().copied()).collect();
        let rate = (PRESSES.0 * self.homes.accounts.len() as f64).min(PRESSES.1);
        let (since, mut count) = (Instant::now(), 0_u32);
        while since.elapsed() < window {
            // A step that is no divisor of the number of thermostats visits all accounts in turn.
            let device = devices[count as usize * 7 % devices.len()];
            let setpoint = self.homes.next_setpoint(device);
            self.lost +=
                usize::from(self.pressed.insert(device, (setpoint.as_hundredths(), clock())).is_some());
            self.homes.press(device, setpoint);
            count += 1;
            self.pass(
                (since + Duration::from_secs_f64(f64::from(count) / rate))
                    .saturating_duration_since(Instant::now()),
            );
        }
        let since = Instant::now();
        while !self.pressed.is_empty() && since.elapsed() < SETTLE {
            self.pass(Duration::from_millis(10));
        }
        self.lost += self.pressed.drain().count();
    }

    /// Gives commands to accounts and their thermostats in turn.
    fn command_for(&mut self, window: Duration) {
        let accounts = self.homes.accounts.len();
        let rate = (accounts as f64 / COMMAND_SPACING.as_secs_f64()).min(COMMANDS);
        let (since, mut count) = (Instant::now(), 0_usize);
        while since.elapsed() < window {
            let (account, round) = (count % accounts, count / accounts);
            let devices = &self.homes.accounts[account].devices;
            // Half degrees from 15 to 25 °C, different from one round of the thermostats to the next.
            let setpoint = 1_500 + 50 * (round / devices.len() % 21);
            let device = devices[round % devices.len()];
            self.say(&format!("set {account} {device} {setpoint}"));
            count += 1;
            self.pass(
                (since + Duration::from_secs_f64(count as f64 / rate))
                    .saturating_duration_since(Instant::now()),
            );
        }
        let since = Instant::now();
        while self.acknowledgements.len() < count {
            self.pass(Duration::from_millis(10));
            assert!(
                since.elapsed() < HANG,
                "{}: {} of {count} acknowledged",
                self.name,
                self.acknowledgements.len()
            );
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Handles lines for this time.
    fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.handle(&line);
        }
    }

    /// Handles lines until one with this first word, and returns the rest of it.
    fn wait_for(&mut self, word: &str) -> String {
        loop {
            let line =
                self.lines.recv_timeout(HANG).unwrap_or_else(|_| panic!("{}: never {word}", self.name));
            match line.split_once(' ').unwrap_or((&line, "")) {
                (first, rest) if first == word => return rest.to_owned(),
                _ => self.handle(&line),
            }
        }
    }

    fn handle(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["event", at, device, setpoint] => {
                let device = DeviceId::new(device).unwrap();
                if let Some((_, since)) =
                    self.pressed.get(&device).filter(|(pressed, _)| pressed.to_string() == setpoint)
                {
                    self.events.push(at.parse::<u64>().unwrap() - since);
                    self.pressed.remove(&device);
                }
            }
            ["ack", took] => self.acknowledgements.push(took.parse().unwrap()),
            _ => panic!("{}: {line}", self.name),
        }
    }

    /// Nanoseconds of processor time since the start of the process.
    fn cpu(&mut self) -> u64 {
        self.say("cpu");
        self.wait_for("cpu").parse().unwrap()
    }

    /// Memory of the process in bytes.
    fn memory(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap() * 1_024.0
    }

    fn end(mut self) {
        // The process ends with its input.
        drop(self.input);
        self.process.wait().unwrap();
        // The next contestant begins when the broker has noticed.
        let since = Instant::now();
        while self.homes.connections() > 0 && since.elapsed() < HANG {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
