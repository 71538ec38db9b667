//! `mysa bridge`.

mod accounts;
mod check;
mod energy;
mod firmware;
mod http;
mod link;
pub(crate) mod log;
pub(crate) mod metrics;
mod migrate;
mod notify;
mod plan;
mod service;
mod status;
mod websocket;

use std::future::IntoFuture as _;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use mysa_bridge::energy::Answer;
use mysa_bridge::{AccountIndex, Bridge, Firmware as Versions, Output, RequestId, Thermostat};
use mysa_proto::{DeviceId, Now};
use mysa_tokio::{DeviceView, Error, Event, Level, Link, Reason, Verdict};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::accounts::{Account, Accounts};
pub(crate) use self::energy::is_energy_file;
use self::energy::{Done, Energy};
use self::firmware::Firmware;
use self::http::Monitor;
use self::link::{Broker, LinkEvent, Links};
use self::log::{Format, Log, Severity};
use self::notify::Notifier;
use self::plan::Plan;
use self::status::{Status, TURN_INTERVAL};
use crate::args::bridge::{Bridge as Args, BridgeAction};
use crate::output::record::{Record, Value};
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::cloud::Context;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::http_server;
use crate::support::shutdown::signal_received;

pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    args: &Args,
    redaction: &Redaction,
) -> Result<()> {
    let plan = Plan::new(&args.options, &context.config)?;
    match &args.action {
        Some(BridgeAction::Check) => check::run(terminal, context, &plan, redaction).await,
        Some(BridgeAction::Migrate(args)) => migrate::run(terminal, &plan, args).await,
        Some(BridgeAction::InstallService) => service::print_script(terminal),
        None => {
            let format = plan.log_format;
            let ended = bridge(terminal, context, plan).await;
            ended.map_err(|failure| if format == Format::Json { in_log(*terminal, failure) } else { failure })
        }
    }
}

/// Reports the end of the bridge in its log, whose readers expect JSON. What remains is the exit code.
fn in_log(terminal: Terminal, failure: Failure) -> Failure {
    let is_asked = matches!(failure.exit, Exit::Interrupted | Exit::Terminated);
    let severity = if is_asked { Severity::Info } else { Severity::Error };
    match Log::new(terminal, Format::Json).say(severity, "ended", &failure.to_string()) {
        Ok(()) => Failure::new(failure.exit, ""),
        Err(_) => failure,
    }
}

/// Random seed of a state machine.
fn seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::new(Exit::Failed, format!("the system has no random numbers: {error}")))?;
    Ok(seed)
}

/// Runs the bridge until a signal.
async fn bridge(terminal: &Terminal, context: &Context, mut plan: Plan) -> Result<()> {
    let mut signal = pin!(signal_received());
    // Polled once, so that a signal from now on ends the bridge in order.
    tokio::select! {
        biased;
        failure = &mut signal => return Err(failure),
        () = std::future::ready(()) => {}
    }
    let started = Instant::now();
    let links = Links::new(Broker::new(&plan)?);
    let (exposes_password, warnings) = (plan.exposes_password(), plan.exposed_files());
    let url = plan.url.clone();
    let names = accounts::names(context)?;
    plan.settings.accounts = names.len();
    let mut core = Bridge::new(plan.settings.clone(), seed()?, now(started))
        .map_err(|error| Failure::from((Exit::Usage, error)))?;
    let accounts = Accounts::start(context, names)?;
    let log = Log::new(*terminal, plan.log_format);
    log.say(Severity::Info, "started", &format!("bridge: started, for the broker {url}"))?;
    for warning in warnings {
        log.say(Severity::Warning, "secret_exposed", &format!("bridge: {warning}"))?;
    }
    if exposes_password {
        log.say(
            Severity::Warning,
            "password_exposed",
            "bridge: the password for the broker is sent unencrypted; use mqtts:// or wss:// if the broker has TLS",
        )?;
    }
    let (energy, meters, line) = Energy::open(&context.paths.sessions, &plan.settings.prefix);
    if let Some(line) = line {
        log.say(Severity::Warning, "energy", &line)?;
    }
    if let Some(meters) = meters {
        core.start_energy(meters, now(started));
    }
    let monitor = Monitor::new(started);
    // Ends with the bridge.
    let server = match plan.metrics {
        Some(address) => Some(http_server::serve(address, monitor.clone()).await?),
        None => None,
    };
    if let Some(server) = &server {
        let message = format!("bridge: metrics at http://{}/metrics", server.address);
        log.say(Severity::Info, "metrics", &message)?;
    }
    let firmware = Firmware::new(accounts.len(), started.elapsed());
    let mut driver = Driver {
        core,
        monitor,
        notifier: Notifier::new(),
        links,
        log,
        context,
        accounts,
        started,
        commands: FuturesUnordered::new(),
        energy,
        firmware,
    };
    let failure = driver.run(signal.as_mut()).await;
    // A second signal ends the program at once.
    let closed = async move { driver.leave(terminal).await };
    tokio::select! {
        ended = closed => ended?,
        _ = signal_received() => {}
    }
    Err(failure?)
}

fn now(started: Instant) -> Now {
    Now { mono: started.elapsed(), wall: timefmt::now() }
}

/// Time between two snapshots of all thermostats: the time of the last sign of life changes without an event.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(30);
/// Time between two attempts to find the session of an account that is not signed in.
const SIGN_IN_INTERVAL: Duration = Duration::from_secs(5);
/// Time between two lines that tell that the bridge runs.
const STILL_INTERVAL: Duration = Duration::from_secs(3_600);

type Command = Pin<Box<dyn Future<Output = (RequestId, std::result::Result<Verdict, Error>)> + Send>>;

struct Driver<'a> {
    core: Bridge,
    monitor: Monitor,
    notifier: Notifier,
    links: Links,
    log: Log,
    context: &'a Context,
    accounts: Accounts,
    started: Instant,
    /// Commands without a verdict.
    commands: FuturesUnordered<Command>,
    energy: Energy,
    firmware: Firmware,
}

impl Driver<'_> {
    /// Runs until a signal, or until the client has ended.
    async fn run(&mut self, mut signal: Pin<&mut impl Future<Output = Failure>>) -> Result<Failure> {
        self.start_accounts()?;
        let every = |period| {
            let mut tick = interval(period);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tick
        };
        let (mut snapshot, mut still) = (every(SNAPSHOT_INTERVAL), every(STILL_INTERVAL));
        let mut turn =
            every(self.notifier.interval().map_or(TURN_INTERVAL, |limit| limit.min(TURN_INTERVAL)));
        let mut sign_in = every(SIGN_IN_INTERVAL);
        let mut firmware = every(firmware::CHECK_INTERVAL);
        still.reset();
        self.notifier.ready();
        loop {
            self.carry_out().await?;
            self.monitor.record(Status::turn);
            let due = self.core.poll_timeout().map(|at| self.started + at);
            tokio::select! {
                failure = signal.as_mut() => return Ok(failure),
                (link, event) = self.links.next() => self.handle_link(link, event),
                Some((request, result)) = self.commands.next() => self.handle_verdict(request, result),
                (account, event) = self.accounts.next_event() => match event {
                    Some(event) => self.handle_event(account, &event),
                    None => return Ok(Failure::new(Exit::Failed, "the client has ended")),
                },
                done = self.energy.next() => self.handle_energy(done)?,
                done = self.firmware.next() => self.handle_firmware(done)?,
                _ = firmware.tick() => self.start_firmware(),
                _ = turn.tick() => self.notifier.turn(self.monitor.summary(), self.started.elapsed()),
                _ = snapshot.tick() => self.show_everything(),
                _ = sign_in.tick(), if self.accounts.is_waiting() => self.start_waiting()?,
                _ = still.tick() => self.still()?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.core.handle_timeout(now(self.started));
                }
            }
        }
    }

    /// Closes the clients, publishes that the bridge is offline, and leaves the broker.
    async fn leave(&mut self, terminal: &Terminal) -> Result<()> {
        self.notifier.stopping();
        // Before the bridge: it decides what has no verdict then, and a command must not be sent after its result.
        self.accounts.close(terminal).await;
        while let Some(Some((request, result))) = self.commands.next().now_or_never() {
            self.handle_verdict(request, result);
        }
        self.commands.clear();
        self.core.shutdown(now(self.started));
        loop {
            self.carry_out().await?;
            if self.core.is_ended() {
                if let Err(error) = self.energy.finish().await {
                    self.energy_failed(&error)?;
                }
                return self.log.say(Severity::Info, "stopped", "bridge: stopped");
            }
            let due = self.core.poll_timeout().map(|at| self.started + at);
            tokio::select! {
                (link, event) = self.links.next() => self.handle_link(link, event),
                () = sleep_until(due.unwrap_or_else(Instant::now)) => self.core.handle_timeout(now(self.started)),
            }
        }
    }

    /// Carries out everything that the core asks for.
    async fn carry_out(&mut self) -> Result<()> {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Broker(output) => self.links.carry_out(output),
                Output::Command { request, account, device, change } => {
                    let cloud = self.accounts.get(account).and_then(|account| account.cloud.as_ref());
                    let Some(cloud) = cloud else {
                        let why = "the account is not signed in";
                        self.core.handle_not_sent(request, why, now(self.started));
                        continue;
                    };
                    let verdict = cloud.client.command(&device, change).into_future();
                    let mut command: Command = Box::pin(async move { (request, verdict.await) });
                    // A command is handed over when it is polled: once here, so that commands keep their order.
                    match std::future::poll_fn(|cx| Poll::Ready(command.as_mut().poll(cx))).await {
                        Poll::Ready((request, result)) => self.handle_verdict(request, result),
                        Poll::Pending => self.commands.push(command),
                    }
                }
                Output::ReadEnergy { account, device, query } => {
                    let cloud = self.accounts.get(account).and_then(|account| account.cloud.as_ref());
                    match cloud {
                        Some(cloud) => self.energy.read(cloud.client.clone(), device, query),
                        None => self.core.handle_energy(device, Answer::Failed, now(self.started)),
                    }
                }
                Output::StoreEnergy { text } => self.energy.store(text),
                Output::Event(event) => {
                    self.monitor.record(|status, now| status.event(&event, now));
                    self.log.event(&event, self.started.elapsed())?;
                }
            }
        }
        Ok(())
    }

    fn handle_energy(&mut self, done: Done) -> Result<()> {
        let now = now(self.started);
        match done {
            Done::Read { device, answer } => {
                energy::with_answer(&answer, |answer| self.core.handle_energy(device, answer, now));
            }
            Done::Stored(Ok(())) => self.core.handle_energy_stored(true, now),
            Done::Stored(Err(error)) => {
                self.core.handle_energy_stored(false, now);
                self.energy_failed(&error)?;
            }
        }
        Ok(())
    }

    /// Starts to read the firmware where that is due and the cloud can be reached.
    fn start_firmware(&mut self) {
        let Self { firmware, accounts, started, .. } = self;
        firmware.start_due(started.elapsed(), |index| {
            let account = accounts.get(index).filter(|account| account.listed)?;
            let cloud = account.cloud.as_ref()?;
            (cloud.client.service().level <= Level::RestOnly).then(|| cloud.client.clone())
        });
    }

    fn handle_firmware(&mut self, done: firmware::Done) -> Result<()> {
        let [low, high, ..] = seed()?;
        let random = f64::from(u16::from_le_bytes([low, high])) / f64::from(u16::MAX);
        let account = self.firmware.take(done, self.started.elapsed(), random);
        self.show_all(account);
        Ok(())
    }

    fn energy_failed(&self, error: &std::io::Error) -> Result<()> {
        let message = format!(
            "bridge: the energy is not updated: cannot write {}: {error}",
            self.energy.path().display()
        );
        self.log.say(Severity::Warning, "energy", &message)
    }

    fn handle_link(&mut self, link: mysa_bridge::client::LinkId, event: LinkEvent) {
        let now = now(self.started);
        match event {
            LinkEvent::Opened => self.core.handle_opened(link, now),
            LinkEvent::Received(bytes) => self.core.handle_bytes(link, &bytes, now),
            LinkEvent::Written => self.core.handle_written(link, now),
            LinkEvent::Closed(why) => {
                self.log.note_link(why);
                self.core.handle_closed(link, now);
            }
        }
    }

    fn handle_verdict(&mut self, request: RequestId, result: std::result::Result<Verdict, Error>) {
        let now = now(self.started);
        match result {
            Ok(verdict) => self.core.handle_verdict(request, &verdict, now),
            Err(error) => self.core.handle_not_sent(request, &error.to_string(), now),
        }
    }

    fn handle_event(&mut self, account: AccountIndex, event: &Event) {
        match event {
            Event::Device { device, .. } | Event::Verdict { device, .. } => {
                // The source may be lost without another level.
                self.service(account);
                self.show(account, *device);
            }
            Event::Service(_) => {
                self.service(account);
                self.show_all(account);
            }
            Event::DeviceAdded { .. } | Event::DeviceRemoved { .. } | Event::Dropped { .. } => {
                self.show_all(account);
            }
            _ => {}
        }
    }

    /// Passes on what is known of the accounts at the start.
    fn start_accounts(&mut self) -> Result<()> {
        let indices: Vec<AccountIndex> = self.accounts.iter().map(|account| account.index).collect();
        for index in indices {
            self.service(index);
            self.show_all(index);
            if self.accounts.get(index).is_some_and(|account| account.cloud.is_none()) {
                let message = format!(
                    "bridge: {index} is not signed in; `mysa bridge check --show-private` names it, `mysa login` signs in"
                );
                self.log.say(Severity::Warning, "account_not_signed_in", &message)?;
            }
        }
        Ok(())
    }

    /// Starts the accounts that were signed in since.
    fn start_waiting(&mut self) -> Result<()> {
        for index in self.accounts.start_waiting(self.context) {
            self.log.say(Severity::Info, "account_signed_in", &format!("bridge: {index} is signed in"))?;
            self.service(index);
            self.show_all(index);
        }
        Ok(())
    }

    fn service(&mut self, index: AccountIndex) {
        let Some(account) = self.accounts.get(index) else { return };
        let (level, reason) = account.service();
        let no_source_for = account.no_source_for(self.started);
        self.monitor.record(|status, now| status.service(index.index(), level, reason, now));
        self.core.handle_service(index, level, reason, no_source_for, now(self.started));
    }

    fn show_everything(&mut self) {
        for number in 0..self.accounts.len() {
            self.show_all(AccountIndex::new(number));
        }
    }

    /// Passes on all thermostats of an account, and their list once it is known.
    fn show_all(&mut self, index: AccountIndex) {
        let Self { core, monitor, accounts, context, started, firmware, .. } = self;
        let Some(account) = accounts.get_mut(index) else { return };
        let Some(cloud) = &account.cloud else { return };
        let devices = cloud.client.devices();
        // The thermostats of a new list are added one by one, and the service level follows them.
        let service = cloud.client.service();
        let is_served = service.level <= Level::RestOnly && !devices.is_empty();
        account.listed |= is_served || service.reason == Reason::NoDevices;
        if !account.listed {
            return;
        }
        for view in &devices {
            show_view(core, monitor, context, *started, account, view, firmware);
        }
        let ids: Vec<DeviceId> = devices.iter().map(|view| view.id).collect();
        core.handle_list(index, &ids, now(*started));
    }

    /// Passes on a thermostat. Before the list is known, all are passed on at once.
    fn show(&mut self, index: AccountIndex, device: DeviceId) {
        let Self { core, monitor, accounts, context, started, firmware, .. } = self;
        let Some(account) = accounts.get(index).filter(|account| account.listed) else {
            return self.show_all(index);
        };
        let view = account.cloud.as_ref().and_then(|cloud| cloud.client.state(&device));
        if let Some(view) = view {
            show_view(core, monitor, context, *started, account, &view, firmware);
        }
    }

    /// Logs that the bridge runs, so that silence never means that all is well.
    fn still(&self) -> Result<()> {
        let has_several = self.accounts.len() > 1;
        let (mut texts, mut list) = (Vec::new(), Vec::new());
        for account in self.accounts.iter() {
            let (message, fields) = account.describe();
            texts.push(if has_several { format!("{}: {message}", account.index) } else { message });
            list.push(fields);
        }
        let message = format!("bridge: running; {}", texts.join("; "));
        // The fields of the only account stand alone.
        let fields = if let ([_], Some(only)) = (list.as_slice(), list.first()) {
            only.clone()
        } else {
            let mut fields = Record::new();
            fields.put("accounts", list.into_iter().map(Value::Record).collect::<Vec<_>>());
            fields
        };
        self.log.say_with("running", message, fields)
    }
}

impl Account {
    fn service(&self) -> (Level, Reason) {
        match &self.cloud {
            Some(cloud) => {
                let service = cloud.client.service();
                (service.level, service.reason)
            }
            None => (Level::SignInNeeded, Reason::NoCredentials),
        }
    }

    /// Time for which there has been no source of states; `None` while there is one.
    fn no_source_for(&self, started: Instant) -> Option<Duration> {
        let Some(cloud) = &self.cloud else { return Some(started.elapsed()) };
        let since = cloud.client.service().no_source_since?;
        Some(cloud.client.elapsed().saturating_sub(since))
    }

    /// Text and fields of the line that says that the bridge runs.
    fn describe(&self) -> (String, Record) {
        let devices = self.cloud.as_ref().map(|cloud| cloud.client.devices()).unwrap_or_default();
        let current = devices.iter().filter(|view| is_current(view)).count();
        let (level, _) = self.service();
        let hint = if level == Level::SignInNeeded { "; run `mysa login`" } else { "" };
        let mut fields = Record::new();
        fields.put("service", level.to_string());
        fields.put("thermostats", i64::try_from(devices.len()).unwrap_or(i64::MAX));
        fields.put("reporting", i64::try_from(current).unwrap_or(i64::MAX));
        (format!("cloud {level}, {current} of {} thermostats report{hint}", devices.len()), fields)
    }
}

fn show_view(
    core: &mut Bridge,
    monitor: &Monitor,
    context: &Context,
    started: Instant,
    account: &Account,
    view: &DeviceView,
    firmware: &Firmware,
) {
    let (Some(cloud), account) = (&account.cloud, account.index) else { return };
    let now = now(started);
    let rated = context.config.rated_watts(&view.id);
    let last_seen_ago = cloud.age(view);
    let age = last_seen_ago.and_then(|age| i64::try_from(age.as_millis()).ok());
    let thermostat = Thermostat {
        id: view.id,
        name: view.name.as_deref(),
        model: &view.model,
        limits: view.limits(),
        state: &view.state,
        duty: view.duty().map(|field| field.value),
        power: view.power(rated),
        has_rated_power: rated.is_some(),
        is_current: is_current(view),
        link: view.link,
        firmware: firmware
            .of(view.id)
            .map(|known| Versions { installed: &known.installed, newest: known.newest.as_deref() }),
        last_seen: age.map(|age| now.wall.plus_millis(-age)),
        pending: view.pending,
    };
    core.handle_thermostat(account, &thermostat, now);
    if core.account_of(view.id) == Some(account) {
        monitor.record(|status, now| status.thermostat(&thermostat, last_seen_ago, now));
    }
}

/// `true` if the state shown is the thermostat's last report, as far as is known. A cloud that cannot be reached says
/// nothing about its thermostats; the bridge allows it some time.
fn is_current(view: &DeviceView) -> bool {
    match view.link {
        Link::Live | Link::Rest => true,
        Link::Unreachable => view.last_seen_ago.is_some() && !view.stale,
        Link::Silent | Link::Unseen => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::log::Kept;
    use super::*;
    use crate::args::bridge::BridgeOptions;
    use crate::support::cloud::environment;
    use crate::support::config::Config;
    use crate::support::paths::Paths;
    use crate::support::shutdown::OpenClients;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// Runs the loop for a time without a cloud and without a broker, and returns the log.
    async fn run_alone(time: Duration) -> Vec<(Instant, String)> {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default();
        let context = Context {
            environment: environment(&config).unwrap(),
            paths: Paths {
                config: folder.path().join("config.toml"),
                is_config_named: false,
                sessions: folder.path().into(),
            },
            config,
            account: None,
            accounts: Vec::new(),
            authority: None,
            connect_to: None,
            open_clients: OpenClients::default(),
            notices: None,
        };
        // Nobody listens on a port that was just given back.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options =
            BridgeOptions { broker: Some(format!("mqtt://127.0.0.1:{port}")), ..BridgeOptions::default() };
        let plan = Plan::new(&options, &context.config).unwrap();
        let started = Instant::now();
        let mut log = Log::new(Terminal::new(false, 0, true, false), Format::Text);
        let kept = Kept::default();
        log.kept = Some(Kept::clone(&kept));
        let (energy, _, _) = Energy::open(folder.path(), "mysa");
        let mut driver = Driver {
            core: Bridge::new(plan.settings.clone(), [7; 32], now(started)).unwrap(),
            monitor: Monitor::new(started),
            notifier: Notifier::new(),
            links: Links::new(Broker::new(&plan).unwrap()),
            log,
            context: &context,
            accounts: Accounts::without_sessions(&["ann@example.com"]),
            started,
            commands: FuturesUnordered::new(),
            energy,
            firmware: Firmware::new(1, Duration::ZERO),
        };
        let ended = async {
            sleep_until(started + time).await;
            Failure::new(Exit::Terminated, "the end")
        };
        driver.run(pin!(ended)).await.unwrap();
        kept.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn no_hour_of_nine_days_is_silent() {
        let time = 9 * 24 * HOUR;
        let started = Instant::now();
        let log = run_alone(time).await;
        let mut last = started;
        for (at, line) in &log {
            assert!(
                *at <= last + HOUR + Duration::from_secs(1),
                "nothing before {line:?} for {:?}",
                *at - last
            );
            last = *at;
        }
        assert!(last + HOUR >= started + time);
        // Not only the failures of the broker, which are thinned.
        let running: Vec<&String> =
            log.iter().map(|(_, line)| line).filter(|line| line.starts_with("bridge: running; ")).collect();
        assert!(running.len() >= 9 * 24 - 1, "{} lines", running.len());
        assert_eq!(
            running[0],
            "bridge: running; cloud sign-in needed, 0 of 0 thermostats report; run `mysa login`"
        );
        let failures = log.iter().filter(|(_, line)| line.starts_with("broker: ")).count();
        assert!((9 * 24..=9 * 24 * 7).contains(&failures), "{failures} lines about the broker");
    }
}
