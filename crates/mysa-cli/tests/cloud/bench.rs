//! A simulated cloud behind real TLS, and the command in a home that is set up for it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{CloudSpec, DeviceFault, Fault, Window};
use mysa_sim_server::{Certificate, Server};

use crate::common::{HANG_LIMIT, Home, Ran, finish};

/// [`HANG_LIMIT`] for `--wait` and `--timeout`.
pub(crate) const HANG_SECONDS: &str = "600";

pub(crate) const LIVING: &str = "a0b1c2d3e4f5";
pub(crate) const KITCHEN: &str = "a0b1c2d3e4f6";
pub(crate) const BEDROOM: &str = "a0b1c2d3e4f7";
/// Id of the thermostat for in-floor heating.
pub(crate) const FLOOR: &str = "a0b1c2d3e4f8";
pub(crate) const OFFICE: &str = "a0b1c2d3e4f9";

/// A simulated cloud, and a home folder from which to talk to it.
pub(crate) struct Bench {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    pub(crate) home: Home,
    connect_to: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(CloudSpec::demo())
    }

    /// A bench with this cloud, in which no setpoint changes by itself.
    pub(crate) fn with(spec: CloudSpec) -> Self {
        Self::with_schedules(spec.without_schedules())
    }

    pub(crate) fn with_schedules(spec: CloudSpec) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let certificate = Certificate::for_cloud(&spec.names).unwrap();
        let home = Home::new();
        home.write("ca.pem", certificate.authority_pem().unwrap());
        home.write("password", format!("{}\n", CloudSpec::DEMO_PASSWORD));
        let start = Server::start(([127, 0, 0, 1], 0).into(), certificate, spec, 7, 1.0);
        let server = runtime.block_on(start).unwrap();
        let connect_to = server.address().to_string();
        Self { runtime, server: Some(server), home, connect_to }
    }

    pub(crate) fn signed_in() -> Self {
        let bench = Self::new();
        bench.log_in().ok();
        bench
    }

    pub(crate) fn log_in(&self) -> Ran {
        self.run(&["login", CloudSpec::DEMO_EMAIL, "--password-file", "password"])
    }

    /// The command. A command that waits for a thermostat gets a limit that only ends a hang, unless it has its own.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        let has_limit = args.iter().any(|arg| ["--wait", "--no-wait", "--dry-run"].contains(arg));
        let is_change = match args.first() {
            // Without an action it shows the hold.
            Some(&"hold") => args.get(2).is_some_and(|action| !action.starts_with('-')),
            _ => args.iter().any(|arg| ["set", "mode"].contains(arg)) && !args.contains(&"config"),
        };
        if is_change && !has_limit {
            command.args(["--wait", HANG_SECONDS]);
        }
        command.env("MYSA_CONNECT_TO", &self.connect_to).env("MYSA_CA", self.home.path("ca.pem"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args), b"")
    }

    /// Runs a change that no thermostat confirms, with a time limit after which it ends with 6.
    ///
    /// The limit counts from the start of the program. If the machine is too slow to send the command within the limit,
    /// which exit code 9 shows, the limit is doubled.
    #[track_caller]
    pub(crate) fn ends_unconfirmed(&self, args: &[&str]) -> Ran {
        let mut seconds = 10;
        loop {
            let ran = self.run(&[args, &["--wait", &seconds.to_string()]].concat());
            if ran.code != 9 || seconds > HANG_LIMIT.as_secs() {
                return ran.fails(6);
            }
            seconds *= 2;
        }
    }

    /// Runs `mysa status` with a time limit until it ends within it. Exit code 9 shows that the machine was too slow, and
    /// the limit is doubled.
    #[track_caller]
    pub(crate) fn status(&self, args: &[&str]) -> Ran {
        let mut seconds = 3;
        loop {
            let ran = self.run(&[&["status", "--wait", &seconds.to_string()], args].concat());
            if ran.code != 9 || seconds > HANG_LIMIT.as_secs() {
                return ran;
            }
            seconds *= 2;
        }
    }

    /// Runs `mysa watch` for a time in which a thermostat reports. Exit code 9 shows that the machine was too slow, and the
    /// time is doubled.
    #[track_caller]
    pub(crate) fn watch_for_a_time(&self, args: &[&str]) -> Ran {
        let mut seconds = 1;
        loop {
            let ran = self.run(&[&["watch", "--timeout", &seconds.to_string()], args].concat());
            if ran.code != 9 || seconds > HANG_LIMIT.as_secs() {
                return ran;
            }
            seconds *= 2;
        }
    }

    /// Runs `mysa watch` to its end, and presses the thermostat in the living room after each line. In a room that holds its
    /// temperature, a thermostat reports the same for minutes.
    #[track_caller]
    pub(crate) fn watch_changes(&self, args: &[&str]) -> Ran {
        let mut command = self.command(&[&["watch", "--timeout", HANG_SECONDS], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = String::new();
        for (number, line) in BufReader::new(child.stdout.take().unwrap()).lines().enumerate() {
            out.push_str(&line.unwrap());
            out.push('\n');
            let setpoint = Celsius::from_degrees(if number % 2 == 0 { 17.0 } else { 18.0 });
            self.server()
                .with_cloud(|cloud, now| cloud.press(now, DeviceId::new(LIVING).unwrap(), setpoint, None));
        }
        Ran { code: child.wait().unwrap().code().unwrap_or(-1), out, err: String::new() }
    }

    /// A watch that runs in the background.
    pub(crate) fn watching(&self) -> Child {
        let mut command = self.command(&["watch", "--json", "--timeout", HANG_SECONDS]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.server().with_cloud(|cloud, _| cloud.add_fault(Window::times(u32::MAX, fault)));
    }

    pub(crate) fn device_fault(&self, id: &str, fault: DeviceFault) {
        self.fault(Fault::Device(DeviceId::new(id), fault));
    }

    /// True setpoint of the thermostat, in degrees.
    pub(crate) fn setpoint(&self, id: &str) -> f64 {
        let id = DeviceId::new(id).unwrap();
        self.server().with_cloud(|cloud, _| cloud.truth(id).unwrap().setpoint.as_degrees())
    }

    /// Numbers of messages that the thermostat received.
    pub(crate) fn messages(&self, id: &str) -> mysa_sim::MessageCounts {
        let id = DeviceId::new(id).unwrap();
        self.server().with_cloud(|cloud, _| cloud.truth(id).unwrap().messages)
    }

    pub(crate) fn mode(&self, id: &str) -> mysa_sim::Mode {
        let id = DeviceId::new(id).unwrap();
        self.server().with_cloud(|cloud, _| cloud.truth(id).unwrap().mode)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The tasks of the server belong to the runtime, so it is dropped inside it.
        let _inside = self.runtime.enter();
        self.server = None;
    }
}

/// `mysa sim` in the background.
pub(crate) struct Sim {
    pub(crate) child: Child,
    pub(crate) home: Home,
    pub(crate) announced: serde_json::Value,
}

impl Sim {
    pub(crate) fn start(home: Home, args: &[&str]) -> Self {
        Self::start_in(home, args, &[])
    }

    /// Starts `mysa sim` with these variables in its environment.
    pub(crate) fn start_in(home: Home, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut all = vec!["sim", "--listen", "127.0.0.1:0", "--json"];
        all.extend(args);
        let mut command = home.command(&all);
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let announced = serde_json::from_str(&first).unwrap_or_else(|error| panic!("{error}: {first}"));
        Self { child, home, announced }
    }

    pub(crate) fn run(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.home.command(args);
        command.env("MYSA_CONNECT_TO", self.announced["address"].as_str().unwrap()).env("MYSA_CA", "ca.pem");
        finish(command, input.as_bytes())
    }
}

impl Sim {
    /// Ends the simulator and returns its home folder.
    pub(crate) fn into_home(mut self) -> Home {
        self.end();
        std::mem::replace(&mut self.home, Home::new())
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A document of the control endpoint, by `mysa sim ctl`.
    pub(crate) fn ctl(&self, args: &[&str]) -> serde_json::Value {
        let control = self.announced["control"].as_str().unwrap();
        let all = [&["sim", "ctl", "--json", "--control", control], args].concat();
        self.home.run(&all).ok().json().remove(0)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a signal, such as `INT`.
pub(crate) fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANG_LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Pause between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
