//! `mysa watch`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mysa_proto::{Changes, DeviceId, Model, Topic};
use mysa_tokio::{Event, Level, Service};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::args::Watch;
use crate::cloud::{Cloud, Context};
use crate::exit::{Exit, Failure, Result};
use crate::names;
use crate::presign::read_url;
use crate::record::Record;
use crate::redact::Redaction;
use crate::table;
use crate::terminal::Terminal;
use crate::view;
use crate::when;
use crate::whole_file;

pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    args: &Watch,
    redaction: &Redaction,
) -> Result<()> {
    let timeout = args.timeout.map(|seconds| when::seconds(seconds, "--timeout")).transpose()?;
    let (cloud, chosen) = open(terminal, context, args).await?;
    let capture = args.capture.as_deref().map(Capture::create).transpose()?;
    let mut watching = Watching {
        capture,
        terminal,
        context,
        cloud: &cloud,
        chosen: &chosen,
        title: if args.url.is_some() { "captured URL".to_owned() } else { redaction.email(&cloud.account) },
        drawn: 0,
        left: args.count,
    };
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let ended = watching.run(deadline).await;
    let heard = chosen.iter().any(|id| cloud.client.state(id).is_some_and(|view| view.heard.is_some()));
    let left = watching.left.filter(|&left| left > 0);
    cloud.close(terminal).await;
    match (ended?, left) {
        (End::TimeOut, Some(left)) => {
            Err(Failure::new(Exit::TimedOut, format!("out of time with {left} changes to go")))
        }
        (End::TimeOut, None) if !heard => {
            Err(Failure::new(Exit::TimedOut, "out of time, and nothing was heard"))
        }
        _ => Ok(()),
    }
}

async fn open(terminal: &Terminal, context: &Context, args: &Watch) -> Result<(Cloud, Vec<DeviceId>)> {
    let mut settings = context.settings();
    settings.raw_messages = args.capture.is_some();
    let Some(url) = &args.url else {
        let cloud = context.connect(terminal, settings).await?;
        cloud.known(STATES_WITHIN).await;
        let chosen = cloud.choose(&args.devices)?;
        return Ok((cloud, chosen));
    };
    let url = read_url(url)?;
    let devices = args.devices.iter().map(|text| captured_device(text)).collect::<Result<Vec<_>>>()?;
    let chosen = devices.iter().map(|(id, _)| *id).collect();
    let builder = context.builder(settings)?.captured(url, devices);
    Ok((Cloud::start(builder, String::new(), &context.goodbyes)?, chosen))
}

/// How long the first states are waited for before watching begins without them.
const STATES_WITHIN: Duration = Duration::from_secs(5);

/// `ID` or `ID=MODEL`: with a captured URL there is no list to look a name up in.
fn captured_device(text: &str) -> Result<(DeviceId, Model)> {
    let (id, model) = text.split_once('=').unwrap_or((text, ""));
    let id = names::as_id(id).ok_or_else(|| {
        Failure::usage(format!("'{id}' is no id; with a captured URL, name thermostats as ID or ID=MODEL"))
    })?;
    Ok((id, Model::parse(model)))
}

enum End {
    Enough,
    TimeOut,
}

/// Messages as they came, one JSON object a line.
struct Capture {
    file: File,
    path: PathBuf,
}

impl Capture {
    fn create(path: &Path) -> Result<Self> {
        let file = whole_file::create(path, whole_file::OWNER_ONLY);
        let path = path.to_owned();
        match file {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => {
                Err(Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))
            }
        }
    }

    fn keep(&mut self, topic: Topic, payload: &[u8]) -> Result<()> {
        let mut entry = Record::new();
        entry.put("time", when::iso(when::now())).put("topic", topic.to_string());
        match std::str::from_utf8(payload) {
            Ok(text) => entry.put("payload", text),
            Err(_) => entry.put("payload_hex", hex::encode(payload)),
        };
        writeln!(self.file, "{}", entry.to_json()).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}: {error}", self.path.display()))
        })
    }
}

struct Watching<'a> {
    capture: Option<Capture>,
    terminal: &'a Terminal,
    context: &'a Context,
    cloud: &'a Cloud,
    chosen: &'a [DeviceId],
    title: String,
    /// Lines of the table that stand on the terminal.
    drawn: usize,
    /// Changes still to be shown.
    left: Option<u64>,
}

impl Watching<'_> {
    async fn run(&mut self, deadline: Option<Instant>) -> Result<End> {
        let mut events = self.cloud.client.events();
        let table = self.terminal.is_terminal() && !self.terminal.json;
        if table {
            self.draw()?;
        } else {
            self.service(self.cloud.client.service(), false)?;
            for id in self.chosen {
                if self.device(*id, None)? {
                    return Ok(End::Enough);
                }
            }
        }
        // Ages move on without news. On a pipe only what happens is told.
        let mut tick = interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stale = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = tick.tick(), if table => {
                    self.draw()?;
                    continue;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => return Ok(End::TimeOut),
            };
            match event {
                Some(Event::Device { device, changes, about, .. }) if self.chosen.contains(&device) => {
                    if changes.is_empty() && !about {
                        continue;
                    }
                    if table {
                        stale = true;
                        if self.counted() {
                            self.draw()?;
                            return Ok(End::Enough);
                        }
                    } else if self.device(device, Some(changes))? {
                        return Ok(End::Enough);
                    }
                }
                Some(Event::Service(service)) => {
                    self.service(service, table)?;
                    if service.level == Level::SignInNeeded {
                        return Err(Failure::new(
                            Exit::SignIn,
                            format!("{}; run `mysa login`", service.reason),
                        ));
                    }
                }
                Some(Event::Message { device, kind, payload }) => {
                    if let Some(capture) = &mut self.capture {
                        capture.keep(Topic { device, kind }, &payload)?;
                    }
                }
                Some(Event::Dropped { count }) => {
                    self.terminal.detail(format!("{count} events went by unseen"));
                }
                Some(Event::Contradiction { device }) => {
                    let name = self
                        .cloud
                        .client
                        .state(&device)
                        .map_or_else(|| device.to_string(), |view| view.label());
                    self.note(&format!("{name} heats although its mode is off"))?;
                }
                Some(Event::ClockOff { ahead_ms }) => {
                    self.note(&format!("this computer's clock is wrong by {} s", -ahead_ms / 1_000))?;
                }
                Some(_) => {}
                None => return Err(Failure::new(Exit::Failed, "the client has ended")),
            }
            if table && stale {
                stale = false;
                self.draw()?;
            }
        }
    }

    /// One more change was shown; true if that was the last one wanted.
    fn counted(&mut self) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.left == Some(0)
    }

    /// One line about one thermostat.
    fn device(&mut self, id: DeviceId, changes: Option<Changes>) -> Result<bool> {
        let Some(view) = self.cloud.client.state(&id) else { return Ok(false) };
        if view.heard.is_none() && changes.is_none_or(Changes::is_empty) {
            // Nothing to tell yet.
            return Ok(false);
        }
        let rated = self.context.config.rated_watts(&id);
        let age = self.cloud.age(&view);
        if self.terminal.json {
            let mut document = Record::document();
            document.put("event", "device").put("time", when::iso(when::now()));
            if let Some(changes) = changes {
                let names = changes.iter().map(|field| field.name().into()).collect::<Vec<_>>();
                document.put("changed", names);
            }
            for (name, value) in view::record(&view, age, rated).into_fields() {
                document.put(&name, value);
            }
            self.terminal.line(document.to_json())?;
        } else {
            let time = when::iso(when::now());
            let rows = [view::row(&view, age, rated, self.context.config.unit)];
            let [name, room, setpoint, humidity, mode, duty, power, age, link] = rows[0].as_slice() else {
                return Ok(false);
            };
            self.terminal.line(format!(
                "{time}  {}  room {room}  setpoint {setpoint}  humidity {humidity}  mode {mode}  duty {duty}  power {power}  age {age}  {link}",
                crate::record::printable(name)
            ))?;
        }
        Ok(self.counted())
    }

    fn service(&mut self, service: Service, table: bool) -> Result<()> {
        if self.terminal.json {
            let mut document = Record::document();
            document.put("event", "service").put("time", when::iso(when::now()));
            document.put("service", service.level.to_string()).put("reason", service.reason.to_string());
            return self.terminal.line(document.to_json());
        }
        if table { self.draw() } else { self.note(&service.to_string()) }
    }

    /// Something that is no data: above the table, or on standard error.
    fn note(&mut self, text: &str) -> Result<()> {
        if self.terminal.is_terminal() && !self.terminal.json && self.drawn > 0 {
            self.terminal.print(&format!("\u{1b}[{}A\u{1b}[J{text}\n", self.drawn))?;
            self.drawn = 0;
            return self.draw();
        }
        self.terminal.say(format!("{}  {text}", when::iso(when::now())));
        Ok(())
    }

    /// The table, over the one that stands there.
    fn draw(&mut self) -> Result<()> {
        let width = self.terminal.width();
        let views: Vec<_> = self.chosen.iter().filter_map(|id| self.cloud.client.state(id)).collect();
        let rows: Vec<Vec<String>> = views
            .iter()
            .map(|view| {
                let rated = self.context.config.rated_watts(&view.id);
                view::row(view, self.cloud.age(view), rated, self.context.config.unit)
            })
            .collect();
        let service = self.cloud.client.service();
        let title = table::cut(&format!("{}  {service}", self.title), width);
        let mut lines = vec![self.terminal.paint(service.level, &title)];
        let mut body = table::render(&view::HEADS, &rows, width).into_iter();
        lines.extend(body.next().map(|heads| self.terminal.bold(&heads)));
        lines.extend(body.zip(&views).map(|(line, view)| match view::Link::of(view) {
            view::Link::Live => line,
            _ => self.terminal.dim(&line),
        }));
        // What has scrolled off cannot be drawn over.
        let room = self.terminal.height().saturating_sub(2).max(3);
        if lines.len() > room {
            let left_out = lines.len() - room + 1;
            lines.truncate(room - 1);
            lines.push(format!("… and {left_out} more; make the window taller, or name the ones to watch"));
        }
        let up = if self.drawn > 0 { format!("\u{1b}[{}A", self.drawn) } else { String::new() };
        // Cleared line by line, so that nothing flickers.
        let mut frame = up;
        for line in &lines {
            frame.push_str(line);
            frame.push_str("\u{1b}[K\n");
        }
        frame.push_str("\u{1b}[J");
        self.drawn = lines.len();
        self.terminal.print(&frame)
    }
}
