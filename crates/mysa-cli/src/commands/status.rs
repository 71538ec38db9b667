//! `mysa status`.

use std::time::Duration;

use mysa_proto::{DeviceId, UnixTime};
use tokio::time::Instant;

use crate::args::Status;
use crate::output::record::{self, Value};
use crate::output::redact::Redaction;
use crate::output::table;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view::{self, Link};
use crate::support::cloud::{Cloud, Context, within};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::permission;

/// Time for live reports without `--wait`.
const DEFAULT_WAIT: Duration = Duration::from_secs(8);

pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    args: &Status,
    redaction: &Redaction,
) -> Result<()> {
    let wait = args.wait.map(|seconds| timefmt::seconds(seconds, "--wait")).transpose()?;
    let limit = wait.filter(|wait| !wait.is_zero());
    let started = Instant::now();
    let cloud = within(terminal, limit, "", context.connect(terminal, context.settings())).await?;
    let chosen = cloud.choose(&args.devices)?;
    let deadline = match (limit, wait) {
        (Some(limit), _) => started + limit,
        (None, Some(_)) => Instant::now(),
        (None, None) => Instant::now() + DEFAULT_WAIT,
    };
    let left = || deadline.saturating_duration_since(Instant::now());
    cloud.wait_for_states(if limit.is_some() { left() } else { DEFAULT_WAIT }).await;
    if !left().is_zero() {
        terminal.progress("listening");
        cloud.wait_for_reports(&chosen, left()).await;
        terminal.progress("");
    }
    show(terminal, context, &cloud, &chosen, redaction)?;
    let silent: Vec<String> = chosen
        .iter()
        .filter_map(|id| cloud.client.state(id))
        .filter(|view| !Link::of(view).is_current())
        .map(|view| format!("{} is {}", view::label(&view), Link::of(&view).name()))
        .collect();
    cloud.close(terminal).await;
    // The exit code considers only thermostats that were named.
    if args.devices.is_empty() || silent.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::DeviceSilent, silent.join("; ")))
}

fn show(
    terminal: &Terminal,
    context: &Context,
    cloud: &Cloud,
    chosen: &[DeviceId],
    redaction: &Redaction,
) -> Result<()> {
    let service = cloud.client.proven_service();
    let views: Vec<_> = chosen.iter().filter_map(|id| cloud.client.state(id)).collect();
    // The client stores a denial as soon as it learns of it.
    let denied_at = cloud.client.stored_session().and_then(|stored| stored.publish_denied_at);
    let denied_at = denied_at.map(UnixTime::from_secs);
    if terminal.json {
        let mut record = record::document();
        record.put("account", redaction.email(&cloud.account));
        record.put("service", service.level.to_string()).put("reason", service.reason.to_string());
        record.put("since", timefmt::iso(service.since_wall));
        record.put("publish_denied_at", denied_at.map(timefmt::iso));
        let devices = views.iter().map(|view| {
            Value::Record(view::record(view, cloud.age(view), context.config.rated_watts(&view.id)))
        });
        record.put("devices", devices.collect::<Vec<_>>());
        return terminal.line(record.to_json());
    }
    terminal.line(format!("{}  {service}", redaction.email(&cloud.account)))?;
    let channel = context.config.channel;
    let denied =
        denied_at.and_then(|at| permission::describe(at, timefmt::now(), channel, &context.settings()));
    if let Some(denied) = denied {
        terminal.line(format!("{denied} (setting `channel`: {}, option --channel)", channel.name()))?;
    }
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|view| {
            view::row(view, cloud.age(view), context.config.rated_watts(&view.id), context.config.unit)
        })
        .collect();
    for line in table::fit(&view::HEADS, &rows, terminal.table_width(), &view::DROP_ORDER) {
        terminal.line(line)?;
    }
    Ok(())
}
