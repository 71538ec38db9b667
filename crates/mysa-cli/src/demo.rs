//! `mysa demo`: the main commands on a simulated cloud in this process, through the real network stack.

use std::time::{Duration, Instant};

use mysa_proto::{Celsius, Change, Mode, Watts};
use mysa_sim::CloudSpec;
use mysa_sim_server::{Certificate, Server};
use mysa_tokio::{Client, DeviceView, Environment, Event, Level, Settings, Verdict};
use tokio::time::timeout;

use crate::args::{Demo, Period};
use crate::commands::energy::{EnergyReport, Span};
use crate::output::record::{self, Record};
use crate::output::table;
use crate::output::temperature;
use crate::output::terminal::Terminal;
use crate::output::view;
use crate::support::cloud::Cloud;
use crate::support::config::Unit;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::shutdown::OpenClients;

/// Time limit for the whole demo. The demo waits for events, which come late on a slow machine, so the limit only ends
/// a demo that hangs.
const HANG_LIMIT: Duration = Duration::from_secs(600);

/// Minimum time for the live statuses, so that the user sees them change.
const WATCH_TIME: Duration = Duration::from_secs(5);

pub(crate) async fn run(terminal: &Terminal, args: &Demo, open_clients: &OpenClients) -> Result<()> {
    match timeout(HANG_LIMIT, play(terminal, args, open_clients)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(Exit::TimedOut, "the demo did not end within 10 minutes")),
    }
}

async fn play(terminal: &Terminal, args: &Demo, open_clients: &OpenClients) -> Result<()> {
    let stage = Stage { terminal, began: Instant::now() };
    stage.head("A simulated Mysa cloud starts in this process: sign-in, REST and MQTT behind TLS")?;
    let spec = CloudSpec::demo();
    let watts = |id| {
        let devices = spec.accounts.iter().flat_map(|account| &account.homes).flat_map(|home| &home.devices);
        devices
            .into_iter()
            .find(|device| device.id == id)
            .and_then(|device| Watts::from_watts(device.rated_watts))
    };
    let certificate =
        Certificate::for_cloud(&spec.names).map_err(|error| Failure::from((Exit::Failed, error)))?;
    let authority = certificate.authority_pem().unwrap_or_default().to_owned();
    let server = Server::start(([127, 0, 0, 1], 0).into(), certificate, spec.clone(), args.seed, 1.0)
        .await
        .map_err(|error| Failure::from((Exit::Failed, error)))?;
    stage.done("listening", &server.address().to_string())?;

    stage.head("Signing in: SRP over HTTPS, then AWS credentials from the identity pool")?;
    let mut settings = Settings::default();
    // Without grace, a lost connection is reported at once, and the next attempt follows soon.
    settings.grace = Duration::ZERO;
    settings.backoff_first = Duration::from_millis(800);
    let builder = Client::builder(Environment::mysa())
        .settings(settings)
        .extra_ca(authority)
        .connect_to(server.address())
        .password(CloudSpec::DEMO_EMAIL, CloudSpec::DEMO_PASSWORD);
    let cloud = Cloud::start(builder, CloudSpec::DEMO_EMAIL.into(), open_clients)?;
    cloud.listed().await?;
    stage.done("signed in as", CloudSpec::DEMO_EMAIL)?;

    let devices = cloud.client.devices();
    stage.head(&format!("The account has {} thermostats", devices.len()))?;
    if terminal.json {
        for device in &devices {
            stage.record("device", &view::record(device, cloud.age(device), watts(device.id)))?;
        }
    } else {
        let rows: Vec<Vec<String>> = devices
            .iter()
            .map(|view| {
                let family = view.model.family().map_or("unknown", mysa_proto::Family::name);
                vec![view.label(), view.model.as_str().into(), family.into()]
            })
            .collect();
        stage.table(&["NAME", "MODEL", "WHAT IT IS"], &rows)?;
    }

    stage.head("Connecting: a presigned WebSocket, MQTT 3.1.1, a subscription for each thermostat")?;
    cloud.live(HANG_LIMIT).await;
    if !cloud.client.is_live() {
        return Err(Failure::new(
            Exit::Unreachable,
            format!("no live connection: {}", cloud.client.service()),
        ));
    }
    stage.done("service", &cloud.client.service().to_string())?;

    stage.head("Live statuses, with the power and how it is known")?;
    stage.watch(&cloud, &watts).await?;

    let living = stage.named(&devices, "Living room")?;
    let setpoint = cloud.client.state(&living.id).and_then(|view| view.state.setpoint());
    let present = setpoint.map_or(Celsius::from_hundredths(2_050), |field| field.value);
    let target = Celsius::from_hundredths(present.as_hundredths() + 100);
    stage.head("Setting the living room one degree warmer")?;
    stage.done("before", &temperature::show(present, Unit::Celsius))?;
    stage.done("requested", &temperature::show(target, Unit::Celsius))?;
    stage.command(&cloud, &living, Change::setpoint(target)).await?;

    let bedroom = stage.named(&devices, "Bedroom")?;
    stage.head("Turning the bedroom off")?;
    stage.command(&cloud, &bedroom, Change::mode(Mode::Off)).await?;

    stage.head("Cutting every connection, as a network failure would")?;
    stage.cut(&cloud, &server).await?;
    stage.done("the bedroom is still", &mode(&cloud, &bedroom))?;
    stage.head("Turning the bedroom back on, over the new connection")?;
    stage.command(&cloud, &bedroom, Change::mode(Mode::Heat)).await?;

    stage.head("Energy of the last two weeks, all thermostats together")?;
    stage.energy(&cloud).await?;

    cloud.close(terminal).await;
    stage.head(&format!(
        "Done in {:.1} s. Try `mysa sim`, or `mysa login` with an account of your own",
        stage.seconds()
    ))
}

fn mode(cloud: &Cloud, view: &DeviceView) -> String {
    let state = cloud.client.state(&view.id).and_then(|view| view.state.mode());
    state.map_or_else(|| "unknown".into(), |field| field.value.to_string())
}

/// Output of the demo.
struct Stage<'a> {
    terminal: &'a Terminal,
    began: Instant,
}

impl Stage<'_> {
    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn head(&self, text: &str) -> Result<()> {
        if self.terminal.json {
            let mut record = Record::new();
            record.put("text", text);
            return self.record("step", &record);
        }
        let at = self.terminal.dim(&format!("[{:.1} s]", self.seconds()));
        self.terminal.line(format!("\n{} {at}", self.terminal.bold(text)))
    }

    fn done(&self, what: &str, how: &str) -> Result<()> {
        if self.terminal.json {
            let mut record = Record::new();
            record.put("what", what).put("value", how);
            return self.record("fact", &record);
        }
        self.terminal.line(format!("  {what}: {how}"))
    }

    fn record(&self, event: &str, record: &Record) -> Result<()> {
        let mut document = record::document();
        document.put("event", event).put("at_s", (self.seconds() * 10.0).round() / 10.0);
        for (name, value) in record.fields() {
            document.put(name, value.clone());
        }
        self.terminal.line(document.to_json())
    }

    fn table(&self, heads: &[&str], rows: &[Vec<String>]) -> Result<()> {
        for line in table::render(heads, rows, self.terminal.table_width()) {
            self.terminal.line(format!("  {line}"))?;
        }
        Ok(())
    }

    fn named(&self, devices: &[DeviceView], name: &str) -> Result<DeviceView> {
        let found = devices.iter().find(|view| view.name.as_deref() == Some(name)).cloned();
        found.ok_or_else(|| Failure::new(Exit::Failed, format!("the simulated home has no {name}")))
    }

    /// Shows the statuses for [`WATCH_TIME`], and until every thermostat has reported: as a redrawn table on a
    /// terminal, as lines elsewhere.
    async fn watch(
        &self,
        cloud: &Cloud,
        watts: &impl Fn(mysa_proto::DeviceId) -> Option<Watts>,
    ) -> Result<()> {
        let ids = cloud.choose(&[])?;
        let end = tokio::time::Instant::now() + WATCH_TIME;
        let mut is_long_enough = false;
        let mut events = cloud.client.events();
        let mut drawn = 0;
        let redraws = self.terminal.is_terminal() && !self.terminal.json;
        loop {
            if redraws {
                drawn = self.draw(cloud, watts, drawn)?;
            }
            if is_long_enough && ids.iter().all(|id| cloud.has_reported(id)) {
                break;
            }
            let event = tokio::select! {
                event = events.next() => event,
                () = tokio::time::sleep_until(end), if !is_long_enough => {
                    is_long_enough = true;
                    continue;
                }
            };
            match event {
                Some(Event::Device { device, .. }) if self.terminal.json => {
                    if let Some(view) = cloud.client.state(&device) {
                        self.record("status", &view::record(&view, cloud.age(&view), watts(device)))?;
                    }
                }
                Some(_) => {}
                None => return Err(Failure::new(Exit::Failed, "the client has ended")),
            }
        }
        if !redraws && !self.terminal.json {
            self.draw(cloud, watts, 0)?;
        }
        Ok(())
    }

    fn draw(
        &self,
        cloud: &Cloud,
        watts: &impl Fn(mysa_proto::DeviceId) -> Option<Watts>,
        drawn: usize,
    ) -> Result<usize> {
        let views = cloud.client.devices();
        let rows: Vec<Vec<String>> = views
            .iter()
            .map(|view| view::row(view, cloud.age(view), watts(view.id), Unit::Celsius))
            .collect();
        let lines =
            table::fit(&view::HEADS, &rows, self.terminal.table_width().saturating_sub(2), &view::DROP_ORDER);
        let mut frame = if drawn > 0 { format!("\u{1b}[{drawn}A") } else { String::new() };
        let clear = if self.terminal.is_terminal() { "\u{1b}[K" } else { "" };
        for line in &lines {
            frame.push_str(&format!("  {line}{clear}\n"));
        }
        self.terminal.print(&frame)?;
        Ok(lines.len())
    }

    async fn command(&self, cloud: &Cloud, view: &DeviceView, change: Change) -> Result<()> {
        let pending = cloud.client.command(&view.id, change).deadline(HANG_LIMIT);
        let verdict: Verdict = pending.await.map_err(|error| Failure::from((Exit::Failed, error)))?;
        self.done("verdict", &verdict.to_string())?;
        if verdict.is_confirmed() {
            return Ok(());
        }
        Err(Failure::new(Exit::Unconfirmed, format!("{change}: {verdict}")))
    }

    /// Cuts every connection and waits until the client has reconnected.
    async fn cut(&self, cloud: &Cloud, server: &Server) -> Result<()> {
        let mut events = cloud.client.events();
        let cut = Instant::now();
        server.cut_connections();
        let mut lost = false;
        let recovered = async {
            while let Some(event) = events.next().await {
                let Event::Service(service) = event else { continue };
                self.done("service", &service.to_string())?;
                match service.level {
                    Level::Live if lost => return Ok(()),
                    Level::Live => {}
                    _ => lost = true,
                }
            }
            Err(Failure::new(Exit::Failed, "the client has ended"))
        };
        recovered.await?;
        self.done("recovered after", &format!("{:.1} s", cut.elapsed().as_secs_f64()))
    }

    async fn energy(&self, cloud: &Cloud) -> Result<()> {
        let ids = cloud.choose(&[])?;
        let report = EnergyReport::read(self.terminal, cloud, &ids, Period::Day, Span::USUAL).await?;
        if self.terminal.json {
            for bar in report.bars() {
                let mut record = Record::new();
                record.put("period", bar.label).put("energy_kwh", bar.value);
                self.record("energy", &record)?;
            }
            return Ok(());
        }
        for line in report.drawn(self.terminal.width().saturating_sub(2)).lines().skip(1) {
            self.terminal.line(format!("  {line}"))?;
        }
        Ok(())
    }
}
