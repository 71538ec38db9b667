//! `mysa bridge`.

mod check;
mod http;
mod link;
mod log;
mod metrics;
mod notify;
mod plan;
mod service;
mod status;

use std::future::IntoFuture as _;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use mysa_bridge::{AccountIndex, Bridge, Output, RequestId, Settings, Thermostat};
use mysa_proto::{DeviceId, Now};
use mysa_tokio::{DeviceView, Error, Event, Level, Link, Reason, Verdict};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::http::Monitor;
use self::link::{Broker, LinkEvent, Links};
use self::log::{Format, Log, Severity};
use self::notify::Notifier;
use self::plan::Plan;
use self::status::{Status, TURN_INTERVAL};
use crate::args::bridge::{Bridge as Args, BridgeAction};
use crate::output::record::Record;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::cloud::{Cloud, Context};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::shutdown::signal_received;

pub(crate) async fn run(terminal: &Terminal, context: &Context, args: &Args) -> Result<()> {
    let plan = Plan::new(&args.options, &context.config)?;
    match args.action {
        Some(BridgeAction::Check) => check::run(terminal, context, &plan).await,
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
async fn bridge(terminal: &Terminal, context: &Context, plan: Plan) -> Result<()> {
    let mut signal = pin!(signal_received());
    // Polled once, so that a signal from now on ends the bridge in order.
    tokio::select! {
        biased;
        failure = &mut signal => return Err(failure),
        () = std::future::ready(()) => {}
    }
    let started = Instant::now();
    let links = Links::new(Broker::new(&plan)?);
    let exposes_password = plan.exposes_password();
    let url = plan.url.clone();
    let core = Bridge::new(plan.settings.clone(), seed()?, now(started))
        .map_err(|error| Failure::from((Exit::Usage, error)))?;
    let mut session = context.settings();
    Settings::tune(&mut session);
    let cloud = context.resume(session)?;
    let log = Log::new(*terminal, plan.log_format);
    log.say(Severity::Info, "started", &format!("bridge: started, for the broker {url}"))?;
    if exposes_password {
        log.say(
            Severity::Warning,
            "password_exposed",
            "bridge: the password for the broker is sent unencrypted; use mqtts:// if the broker has TLS",
        )?;
    }
    let monitor = Monitor::new(started);
    // Ends with the bridge.
    let server = match plan.metrics {
        Some(address) => Some(http::serve(address, monitor.clone()).await?),
        None => None,
    };
    if let Some(server) = &server {
        let message = format!("bridge: metrics at http://{}/metrics", server.address);
        log.say(Severity::Info, "metrics", &message)?;
    }
    let mut driver = Driver {
        core,
        monitor,
        notifier: Notifier::new(),
        links,
        log,
        context,
        cloud,
        started,
        listed: false,
        commands: FuturesUnordered::new(),
    };
    let failure = driver.run(signal.as_mut()).await;
    // A second signal ends the program at once.
    let closed = async move {
        let ended = driver.leave().await;
        driver.cloud.close(terminal).await;
        ended
    };
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
    cloud: Cloud,
    started: Instant,
    /// `true` once the thermostats of the account are known.
    listed: bool,
    /// Commands without a verdict.
    commands: FuturesUnordered<Command>,
}

impl Driver<'_> {
    /// Runs until a signal, or until the client has ended.
    async fn run(&mut self, mut signal: Pin<&mut impl Future<Output = Failure>>) -> Result<Failure> {
        // Before the first snapshot, so that no change in between is missed.
        let mut events = self.cloud.client.events();
        self.service();
        self.show_all();
        let every = |period| {
            let mut tick = interval(period);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tick
        };
        let (mut snapshot, mut still) = (every(SNAPSHOT_INTERVAL), every(STILL_INTERVAL));
        let mut turn =
            every(self.notifier.interval().map_or(TURN_INTERVAL, |limit| limit.min(TURN_INTERVAL)));
        still.reset();
        self.notifier.ready();
        loop {
            self.carry_out().await?;
            self.monitor.record(Status::turn);
            let due = self.core.poll_timeout().map(|at| self.started + at);
            tokio::select! {
                failure = signal.as_mut() => return Ok(failure),
                (link, event) = self.links.next() => self.take_link(link, event),
                Some((request, result)) = self.commands.next() => self.take_verdict(request, result),
                event = events.next() => match event {
                    Some(event) => self.take_event(&event),
                    None => return Ok(Failure::new(Exit::Failed, "the client has ended")),
                },
                _ = turn.tick() => self.notifier.turn(self.monitor.summary(), self.started.elapsed()),
                _ = snapshot.tick() => self.show_all(),
                _ = still.tick() => self.still()?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.core.handle_timeout(now(self.started));
                }
            }
        }
    }

    /// Publishes that the bridge is offline, and leaves the broker.
    async fn leave(&mut self) -> Result<()> {
        self.notifier.stopping();
        self.core.shutdown(now(self.started));
        loop {
            self.carry_out().await?;
            if self.core.is_ended() {
                return self.log.say(Severity::Info, "stopped", "bridge: stopped");
            }
            let due = self.core.poll_timeout().map(|at| self.started + at);
            tokio::select! {
                (link, event) = self.links.next() => self.take_link(link, event),
                () = sleep_until(due.unwrap_or_else(Instant::now)) => self.core.handle_timeout(now(self.started)),
            }
        }
    }

    /// Carries out everything that the core asks for.
    async fn carry_out(&mut self) -> Result<()> {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Broker(output) => self.links.carry_out(output),
                Output::Command { request, account: _, device, change } => {
                    let verdict = self.cloud.client.command(&device, change).into_future();
                    let mut command: Command = Box::pin(async move { (request, verdict.await) });
                    // A command is handed over when it is polled: once here, so that commands keep their order.
                    match std::future::poll_fn(|cx| Poll::Ready(command.as_mut().poll(cx))).await {
                        Poll::Ready((request, result)) => self.take_verdict(request, result),
                        Poll::Pending => self.commands.push(command),
                    }
                }
                Output::Event(event) => {
                    self.monitor.record(|status, now| status.event(&event, now));
                    self.log.event(&event, self.started.elapsed())?;
                }
            }
        }
        Ok(())
    }

    fn take_link(&mut self, link: mysa_bridge::client::LinkId, event: LinkEvent) {
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

    fn take_verdict(&mut self, request: RequestId, result: std::result::Result<Verdict, Error>) {
        let now = now(self.started);
        match result {
            Ok(verdict) => self.core.handle_verdict(request, &verdict, now),
            Err(error) => self.core.handle_not_sent(request, &error.to_string(), now),
        }
    }

    fn take_event(&mut self, event: &Event) {
        match event {
            Event::Device { device, .. } | Event::Verdict { device, .. } if self.listed => {
                // The source may be lost without another level.
                self.service();
                self.show(*device);
            }
            Event::Service(_) => {
                self.service();
                self.show_all();
            }
            Event::Device { .. }
            | Event::DeviceAdded { .. }
            | Event::DeviceRemoved { .. }
            | Event::Dropped { .. } => {
                self.show_all();
            }
            _ => {}
        }
    }

    fn service(&mut self) {
        let service = self.cloud.client.service();
        self.monitor.record(|status, now| status.service(0, service.level, service.reason, now));
        let no_source_for = service.no_source_since.map(|at| self.cloud.client.elapsed().saturating_sub(at));
        let now = now(self.started);
        self.core.handle_service(AccountIndex::FIRST, service.level, service.reason, no_source_for, now);
    }

    /// Passes on all thermostats, and their list once it is known.
    fn show_all(&mut self) {
        let devices = self.cloud.client.devices();
        self.listed |= !devices.is_empty() || self.cloud.client.service().reason == Reason::NoDevices;
        if !self.listed {
            return;
        }
        for view in &devices {
            self.show_view(view);
        }
        let ids: Vec<DeviceId> = devices.iter().map(|view| view.id).collect();
        self.core.handle_list(AccountIndex::FIRST, &ids, now(self.started));
    }

    fn show(&mut self, device: DeviceId) {
        if let Some(view) = self.cloud.client.state(&device) {
            self.show_view(&view);
        }
    }

    fn show_view(&mut self, view: &DeviceView) {
        let now = now(self.started);
        let rated = self.context.config.rated_watts(&view.id);
        let heard = self.cloud.age(view);
        let age = heard.and_then(|age| i64::try_from(age.as_millis()).ok());
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
            last_seen: age.map(|age| now.wall.plus_millis(-age)),
            pending: view.pending,
        };
        self.monitor.record(|status, now| status.thermostat(&thermostat, heard, now));
        self.core.handle_thermostat(AccountIndex::FIRST, &thermostat, now);
    }

    /// Logs that the bridge runs, so that silence never means that all is well.
    fn still(&self) -> Result<()> {
        let devices = self.cloud.client.devices();
        let current = devices.iter().filter(|view| is_current(view)).count();
        let level = self.cloud.client.service().level;
        let hint = if level == Level::SignInNeeded { "; run `mysa login`" } else { "" };
        let mut fields = Record::new();
        fields.put("service", level.to_string());
        fields.put("thermostats", i64::try_from(devices.len()).unwrap_or(i64::MAX));
        fields.put("reporting", i64::try_from(current).unwrap_or(i64::MAX));
        let message = format!(
            "bridge: running; cloud {level}, {current} of {} thermostats report{hint}",
            devices.len()
        );
        self.log.say_with("running", message, fields)
    }
}

/// `true` if the state shown is the thermostat's last report, as far as is known. A cloud that cannot be reached says
/// nothing about its thermostats; the bridge allows it some time.
fn is_current(view: &DeviceView) -> bool {
    match view.link {
        Link::Live | Link::Rest => true,
        Link::Unreachable => view.heard.is_some() && !view.stale,
        Link::Silent | Link::Unheard => false,
    }
}
