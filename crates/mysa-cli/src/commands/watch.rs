//! `mysa watch`.

use std::io::IsTerminal as _;
use std::time::Duration;

use mysa_proto::{Changes, DeviceId, Model, Topic};
use mysa_tokio::{Event, Level, Service};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::args::Watch;
use crate::commands::presign::read_url;
use crate::output::record::{self, Record, printable};
use crate::output::redact::Redaction;
use crate::output::screen::Screen;
use crate::output::status_log::{self, Entry, StatusLog};
use crate::output::table;
use crate::output::template::Template;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view::{self, Link};
use crate::support::capture::Capture;
use crate::support::cloud::{Cloud, Context};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::reachability::describe_reason;
use crate::support::resolve;

pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    args: &Watch,
    redaction: &Redaction,
) -> Result<()> {
    let timeout = args.timeout.map(|seconds| timefmt::seconds(seconds, "--timeout")).transpose()?;
    // The time of the watch begins once it is open; a cloud that is down has a little longer to come back.
    let opened_by = timeout.map(|timeout| Instant::now() + timeout.max(OPEN_TIMEOUT));
    let template = args.template.as_deref().map(Template::parse).transpose()?;
    let capture = args.capture.as_deref().map(Capture::open).transpose()?;
    let Some((cloud, chosen)) = open(terminal, context, args, opened_by).await? else {
        return Err(Failure::new(
            Exit::TimedOut,
            "time-out: the cloud could not be used; no thermostat reported",
        ));
    };
    if args.count.is_some() {
        // The states shown first count as changes, and for some models only a live report contains the power.
        cloud.wait_for_reports(&chosen, timeout.unwrap_or(REPORTS_TIMEOUT).min(REPORTS_TIMEOUT)).await;
    }
    let service = cloud.client.proven_service();
    let mut watching = Watching {
        capture,
        terminal,
        context,
        cloud: &cloud,
        chosen,
        all: args.devices.is_empty(),
        title: if args.url.is_some() { "captured URL".to_owned() } else { redaction.email(&cloud.account) },
        screen: None,
        template,
        log: StatusLog::new(cloud.elapsed(), service.level, service.reason),
        left: args.count,
    };
    let full_screen = terminal.can_redraw() && watching.template.is_none();
    // Before the screen opens: until then, Ctrl-Z stops the process without a handler.
    let signals = TerminalSignals::new(full_screen);
    if full_screen {
        watching.screen = Some(Screen::open(terminal)?);
    }
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let ended = watching.run(deadline, signals).await;
    // What follows is for the normal screen.
    watching.screen = None;
    let has_reported = watching
        .chosen
        .iter()
        .any(|id| cloud.client.state(id).is_some_and(|view| view.last_seen_ago.is_some()));
    let left = watching.left.filter(|&left| left > 0);
    cloud.close(terminal).await;
    match (ended?, left) {
        (End::TimeOut, Some(left)) => {
            Err(Failure::new(Exit::TimedOut, format!("time-out: {left} more changes were expected")))
        }
        (End::TimeOut, None) if !has_reported => {
            Err(Failure::new(Exit::TimedOut, "time-out: no thermostat reported"))
        }
        _ => Ok(()),
    }
}

/// Opens the cloud, and waits for it if it is down. `None` if `deadline` passes before.
async fn open(
    terminal: &Terminal,
    context: &Context,
    args: &Watch,
    deadline: Option<Instant>,
) -> Result<Option<(Cloud, Vec<DeviceId>)>> {
    let mut settings = context.settings();
    settings.raw_messages = args.capture.is_some() || terminal.is_tracing();
    let Some(url) = &args.url else {
        let waits = |service: Service, cause: &str| {
            if terminal.json {
                let mut document = event("service");
                document.put("service", service.level.to_string()).put("reason", cause);
                return terminal.line(document.to_json());
            }
            let time = timefmt::iso(timefmt::now());
            terminal.say(format!("{time}  {}: {cause}; waiting for the cloud", service.level));
            Ok(())
        };
        let connecting = context.connect_patiently(terminal, settings, deadline, waits);
        let Some(cloud) = connecting.await? else { return Ok(None) };
        cloud.wait_for_states(STATES_TIMEOUT).await;
        let chosen = cloud.choose(&args.devices)?;
        return Ok(Some((cloud, chosen)));
    };
    let url = read_url(url)?;
    let devices = args.devices.iter().map(|text| captured_device(text)).collect::<Result<Vec<_>>>()?;
    let chosen = devices.iter().map(|(id, _)| *id).collect();
    let builder = context.builder(settings)?.captured(url, devices);
    Ok(Some((Cloud::start(builder, String::new(), &context.open_clients)?, chosen)))
}

/// Time limit for the first states. The watch starts without states that are still missing.
const STATES_TIMEOUT: Duration = Duration::from_secs(5);

/// Shortest time limit for a cloud that is down, with `--timeout`.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the first live reports with `--count`.
const REPORTS_TIMEOUT: Duration = Duration::from_secs(8);

/// Parses `ID` or `ID=MODEL`. With a captured URL there is no list of names.
fn captured_device(text: &str) -> Result<(DeviceId, Model)> {
    let (id, model) = text.split_once('=').unwrap_or((text, ""));
    let id = resolve::as_id(id).ok_or_else(|| {
        Failure::usage(format!("invalid device id '{id}': with --url, expected ID or ID=MODEL"))
    })?;
    Ok((id, Model::parse(model)))
}

/// Reason why a watch ended.
enum End {
    Enough,
    TimeOut,
}

struct Watching<'a> {
    capture: Option<Capture>,
    terminal: &'a Terminal,
    context: &'a Context,
    cloud: &'a Cloud,
    chosen: Vec<DeviceId>,
    /// `true` to include thermostats that join the account later.
    all: bool,
    title: String,
    /// Screen for a table that is redrawn; `None` to print lines.
    screen: Option<Screen>,
    /// Form of the line of a thermostat, with `--template`.
    template: Option<Template>,
    log: StatusLog,
    /// Number of changes left until the end, with `--count`.
    left: Option<u64>,
}

impl Watching<'_> {
    async fn run(&mut self, deadline: Option<Instant>, mut signals: TerminalSignals) -> Result<End> {
        // Before the first output, so that no change in between is missed.
        let mut events = self.cloud.client.events();
        if self.screen.is_some() {
            self.draw()?;
        } else {
            let service = self.cloud.client.proven_service();
            self.service(service, Entry::Changed { state: service.level, was: None }).await?;
            for id in self.chosen.clone() {
                self.link(id)?;
                if self.device(id, None)? {
                    return Ok(End::Enough);
                }
            }
        }
        // The ages in the table grow without events; lines are printed only for events.
        let mut tick = interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let still = self
                .log
                .due()
                .filter(|_| self.screen.is_none())
                .map(|at| at.saturating_sub(self.cloud.elapsed()));
            let still_at = still.map(|wait| Instant::now() + wait);
            let event = tokio::select! {
                event = events.next() => event,
                signal = signals.next(), if self.screen.is_some() => {
                    if let (TerminalSignal::Suspended, Some(screen)) = (signal, &self.screen) {
                        screen.suspend()?;
                    }
                    self.draw()?;
                    continue;
                }
                _ = tick.tick(), if self.screen.is_some() => {
                    self.draw()?;
                    continue;
                }
                () = sleep_until(still_at.unwrap_or_else(Instant::now)), if still_at.is_some() => {
                    self.repeat().await?;
                    continue;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => return Ok(End::TimeOut),
            };
            let Some(event) = event else { return Err(Failure::new(Exit::Failed, "the client has ended")) };
            if self.take(event).await? {
                return Ok(End::Enough);
            }
        }
    }

    /// Shows the service, if it has changed.
    async fn proven(&mut self) -> Result<()> {
        let service = self.cloud.client.proven_service();
        let note = self.log.service(self.cloud.elapsed(), service.level, service.reason);
        match note {
            _ if self.screen.is_some() => self.draw(),
            Some(note) => self.service(service, note).await,
            None => Ok(()),
        }
    }

    /// Shows an event. Returns `true` if the watch is complete.
    async fn take(&mut self, event: Event) -> Result<bool> {
        // The first message of any thermostat proves that the service is live.
        if self.screen.is_none() && matches!(event, Event::Device { about: true, .. }) {
            self.proven().await?;
        }
        match event {
            Event::Device { device, changes, about, .. } if self.chosen.contains(&device) => {
                if changes.is_empty() && !about {
                    return Ok(false);
                }
                if self.screen.is_some() {
                    let enough = self.counted();
                    self.draw()?;
                    return Ok(enough);
                }
                self.link(device)?;
                return self.device(device, Some(changes));
            }
            Event::Service(service) => {
                self.proven().await?;
                if service.level == Level::SignInNeeded {
                    let reason = describe_reason(service.reason);
                    return Err(Failure::new(Exit::SignIn, format!("sign-in required: {reason}")));
                }
            }
            Event::Message { device, kind, payload } => {
                let topic = Topic { device, kind };
                if self.aside() && self.terminal.is_tracing() {
                    self.note_line(&format!("{topic}  {} bytes", payload.len()));
                }
                if let Some(capture) = &mut self.capture {
                    capture.append(topic, &payload)?;
                }
            }
            Event::DeviceAdded { device } if self.all && !self.chosen.contains(&device) => {
                self.chosen.push(device);
                self.detail(&format!("{} has joined the account", self.name(device)));
            }
            Event::DeviceRemoved { device } => {
                self.chosen.retain(|id| *id != device);
                self.log.forget(device);
                self.note(&format!("{device} has left the account"))?;
            }
            Event::Unreadable { device, len } => {
                self.detail(&format!("{}: a message of {len} bytes could not be decoded", self.name(device)));
            }
            Event::Dropped { count } => self.detail(&format!("{count} events were dropped")),
            Event::Contradiction { device } => {
                self.note(&format!("{} heats although its mode is off", self.name(device)))?;
            }
            Event::ClockOff { ahead_ms } => {
                self.note(&format!("this computer's clock is wrong by {} s", -ahead_ms / 1_000))?;
            }
            _ => {}
        }
        Ok(false)
    }

    /// Counts a change that was shown. Returns `true` for the last one.
    fn counted(&mut self) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.left == Some(0)
    }

    fn name(&self, id: DeviceId) -> String {
        self.cloud.client.state(&id).map_or_else(|| id.to_string(), |view| view::label(&view))
    }

    /// Prints the line of one thermostat.
    fn device(&mut self, id: DeviceId, changes: Option<Changes>) -> Result<bool> {
        let Some(view) = self.cloud.client.state(&id) else { return Ok(false) };
        if view.last_seen_ago.is_none() && changes.is_none_or(Changes::is_empty) {
            return Ok(false);
        }
        let rated = self.context.config.rated_watts(&id);
        let age = self.cloud.age(&view);
        if self.terminal.json || self.template.is_some() {
            let mut document = event("device");
            if let Some(changes) = changes {
                let names = changes.iter().map(|field| field.name().into()).collect::<Vec<_>>();
                document.put("changed", names);
            }
            for (name, value) in view::record(&view, age, rated).into_fields() {
                document.put(&name, value);
            }
            self.terminal.line(match &self.template {
                Some(template) => template.fill(&document),
                None => document.to_json(),
            })?;
        } else {
            let time = timefmt::iso(timefmt::now());
            let rows = [view::row(&view, age, rated, self.context.config.unit)];
            let [name, room, setpoint, humidity, mode, duty, power, age, link] = rows[0].as_slice() else {
                return Ok(false);
            };
            self.terminal.line(format!(
                "{time}  {}  room {room}  setpoint {setpoint}  humidity {humidity}  mode {mode}  duty {duty}  power {power}  age {age}  {link}",
                printable(name)
            ))?;
        }
        Ok(self.counted())
    }

    /// Logs a thermostat that fell silent or recovered.
    fn link(&mut self, id: DeviceId) -> Result<()> {
        let Some(view) = self.cloud.client.state(&id) else { return Ok(()) };
        let link = Link::of(&view);
        // A state that all thermostats share is logged once, as the state of the service.
        let common = matches!(link, Link::Rest | Link::Unreachable) && !self.cloud.client.is_live();
        if common {
            return Ok(());
        }
        match self.log.device(self.cloud.elapsed(), id, link) {
            Some(note) => self.linked(id, note),
            None => Ok(()),
        }
    }

    fn linked(&self, id: DeviceId, note: Entry<Link>) -> Result<()> {
        let name = self.name(id);
        if self.terminal.json {
            let mut document = event(if matches!(note, Entry::Changed { .. }) { "link" } else { "still" });
            document
                .put("id", id.as_str())
                .put("name", self.cloud.client.state(&id).and_then(|view| view.name).as_deref());
            match note {
                Entry::Changed { state, was } => {
                    document.put("link", state.name());
                    document.put("was", was.map(|(was, _)| was.name()));
                    document.put_some("lasted_s", was.map(|(_, lasted)| whole(lasted)));
                }
                Entry::Still { state, lasted } => {
                    document.put("link", state.name()).put("lasted_s", whole(lasted));
                }
            }
            return self.terminal.line(document.to_json());
        }
        self.note_line(&format!("{name} is {}", status_log::describe_link(note)));
        Ok(())
    }

    /// Logs the states that still last.
    async fn repeat(&mut self) -> Result<()> {
        let now = self.cloud.elapsed();
        if let Some(note) = self.log.service_still(now) {
            self.service(self.cloud.client.proven_service(), note).await?;
        }
        for (id, note) in self.log.devices_still(now) {
            self.linked(id, note)?;
        }
        Ok(())
    }

    /// Logs the state of the service.
    async fn service(&self, service: Service, note: Entry<Level>) -> Result<()> {
        let tried = match note {
            Entry::Still { .. } => self.cloud.client.diagnosis().await.ok(),
            Entry::Changed { .. } => None,
        };
        let (failures, retry_in) = tried.map_or((0, None), |tried| (tried.failures, tried.retry_in));
        if self.terminal.json {
            let mut document = event(if matches!(note, Entry::Changed { .. }) { "service" } else { "still" });
            document.put("service", service.level.to_string()).put("reason", service.reason.to_string());
            match note {
                Entry::Changed { was, .. } => {
                    document.put_some("was", was.map(|(was, _)| was.to_string()));
                    document.put_some("lasted_s", was.map(|(_, lasted)| whole(lasted)));
                }
                Entry::Still { lasted, .. } => {
                    document.put("lasted_s", whole(lasted)).put("failures", failures);
                    document.put("retry_in_s", retry_in.map(whole));
                }
            }
            return self.terminal.line(document.to_json());
        }
        self.note_line(&status_log::describe_service(&service, note, failures, retry_in));
        Ok(())
    }

    /// Prints a message below the table, or on standard error.
    fn note(&mut self, text: &str) -> Result<()> {
        if let Some(screen) = &mut self.screen {
            screen.note(&format!("{}  {text}", timefmt::iso(timefmt::now())));
            return self.draw();
        }
        self.note_line(text);
        Ok(())
    }

    fn note_line(&self, text: &str) {
        self.terminal.say(format!("{}  {text}", timefmt::iso(timefmt::now())));
    }

    /// Returns `true` if lines on standard error do not disturb the table.
    fn aside(&self) -> bool {
        self.screen.is_none() || !std::io::stderr().is_terminal()
    }

    /// Prints a message with `-v`, unless it would disturb the table.
    fn detail(&self, text: &str) {
        if self.aside() {
            self.terminal.detail(format!("{}  {text}", timefmt::iso(timefmt::now())));
        }
    }

    /// Draws the table over the previous one.
    fn draw(&mut self) -> Result<()> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let width = self.terminal.width();
        let views: Vec<_> = self.chosen.iter().filter_map(|id| self.cloud.client.state(id)).collect();
        let rows: Vec<Vec<String>> = views
            .iter()
            .map(|view| {
                let rated = self.context.config.rated_watts(&view.id);
                view::row(view, self.cloud.age(view), rated, self.context.config.unit)
            })
            .collect();
        let service = self.cloud.client.proven_service();
        let lasted = timefmt::span(whole(self.cloud.elapsed().saturating_sub(service.since)));
        let since = if service.level == Level::Live { String::new() } else { format!(", for {lasted}") };
        let title = table::cut(&printable(&format!("{}  {service}{since}", self.title)), width);
        let mut lines = vec![title];
        lines.extend(table::fit(&view::HEADS, &rows, width, &view::DROP_ORDER));
        // Styles come last, because they would disturb the measurement of the text.
        for (at, line) in lines.iter_mut().enumerate() {
            *line = match at.checked_sub(2).and_then(|at| views.get(at)).map(Link::of) {
                None if at == 0 => self.terminal.paint(service.level, line),
                None if at == 1 => self.terminal.bold(line),
                Some(Link::Live) | None => continue,
                Some(_) => self.terminal.dim(line),
            };
        }
        screen.draw(lines)
    }
}

/// Signals that a full-screen program receives from its terminal.
struct TerminalSignals {
    #[cfg(unix)]
    resized: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    suspended: Option<tokio::signal::unix::Signal>,
}

#[derive(Clone, Copy)]
enum TerminalSignal {
    /// The size of the window has changed.
    Resized,
    /// Ctrl-Z was typed.
    Suspended,
}

impl TerminalSignals {
    /// Registers for the signals. `full_screen` is `false` for a watch that prints lines: the system suspends it.
    fn new(full_screen: bool) -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let listen = |number: SignalKind| full_screen.then(|| signal(number).ok()).flatten();
            Self {
                resized: listen(SignalKind::window_change()),
                suspended: listen(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw())),
            }
        }
        #[cfg(not(unix))]
        {
            let _ = full_screen;
            Self {}
        }
    }

    /// Waits for the next signal, if the system has them.
    async fn next(&mut self) -> TerminalSignal {
        #[cfg(unix)]
        {
            async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
                if let Some(signal) = signal
                    && signal.recv().await.is_some()
                {
                    return;
                }
                std::future::pending().await
            }
            tokio::select! {
                () = received(&mut self.resized) => TerminalSignal::Resized,
                () = received(&mut self.suspended) => TerminalSignal::Suspended,
            }
        }
        #[cfg(not(unix))]
        std::future::pending().await
    }
}

/// Starts a JSON line.
fn event(name: &str) -> Record {
    let mut document = record::document();
    document.put("event", name).put("time", timefmt::iso(timefmt::now()));
    document
}

fn whole(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
