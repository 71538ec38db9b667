//! `mysa fleet set` and `mysa fleet status`: requests to a running fleet.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::ask::{Ask, Set, Status, members};
use super::control::request;
#[cfg(feature = "nats")]
use super::{
    nats::{Nats, Role},
    remote,
};
use crate::args::fleet::{FleetSet, FleetStatus};
use crate::commands::set::plan::Request;
use crate::output::record::{escape_json, printable};
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::cloud::Context;
use crate::support::exit::{Exit, Failure, Result};

/// Time for the fleet to answer after the time limit of a command. It only ends a wait for a fleet that hangs.
const GRACE: Duration = Duration::from_secs(10);
/// Time limit of a command without `--wait`, as the fleet has it.
const DEFAULT_WAIT: Duration = Duration::from_secs(20);

pub(super) async fn set(terminal: &Terminal, context: &Context, path: &Path, args: &FleetSet) -> Result<()> {
    let wait = args.wait.map(|seconds| timefmt::seconds(seconds, "--wait")).transpose()?;
    // An invalid option is refused before anything is sent.
    Request::parse(&args.change, context.config.unit)?;
    let Some((account, device)) = args.target.split_once('/') else {
        return Err(Failure::usage(format!(
            "invalid '{}': expected ACCOUNT/THERMOSTAT, such as north-12/kitchen",
            args.target
        )));
    };
    #[cfg_attr(not(feature = "nats"), expect(unused_mut, reason = "NATS needs an id"))]
    let mut set = Set {
        request: args.request.clone(),
        account: account.to_owned(),
        device: device.to_owned(),
        change: members(&args.change),
        unit: Some(context.config.unit.into()),
        wait_s: args.wait,
    };
    let wait = wait.unwrap_or(DEFAULT_WAIT);
    #[cfg(feature = "nats")]
    if let Some(url) = &args.nats.nats {
        let nats = Nats::connect(url, &args.nats, Role::Caller).await?;
        if set.request.is_none() {
            set.request = Some(remote::random_id());
        }
        let answer = remote::request(&nats, &set, super::fleet::time_limit(&set).map(|_| wait)?).await?;
        return finish_set(terminal, args, &answer);
    }
    let answer = request(path, &Ask::Set(set), wait.saturating_add(GRACE)).await?;
    finish_set(terminal, args, &answer)
}

fn finish_set(terminal: &Terminal, args: &FleetSet, answer: &str) -> Result<()> {
    finish(terminal, answer, |answer| {
        let text = answer["message"].as_str().unwrap_or_default();
        terminal.line(format!("{}: {}", printable(&args.target), printable(text)))
    })
}

pub(super) async fn status(terminal: &Terminal, path: &Path, args: &FleetStatus) -> Result<()> {
    let ask = Ask::Status(Status { request: None, account: args.of.clone() });
    let answer = request(path, &ask, DEFAULT_WAIT).await?;
    finish(terminal, &answer, |answer| {
        let accounts = answer["accounts"].as_array();
        let lines: Vec<String> = match accounts {
            Some(accounts) => accounts.iter().map(account).collect(),
            None => {
                let devices = answer["devices"].as_array().into_iter().flatten();
                std::iter::once(account(answer)).chain(devices.map(device)).collect()
            }
        };
        lines.iter().try_for_each(|line| terminal.line(line))
    })
}

/// Prints an answer, and ends with its exit code.
fn finish(terminal: &Terminal, line: &str, print: impl FnOnce(&Value) -> Result<()>) -> Result<()> {
    let answer: Value = serde_json::from_str(line)
        .map_err(|error| Failure::new(Exit::Failed, format!("the fleet gave no valid answer: {error}")))?;
    let exit = answer["exit_code"].as_i64().map_or(Some(Exit::Failed), Exit::from_code);
    if terminal.json {
        terminal.line(escape_json(line.trim_end()))?;
    }
    match exit {
        Some(exit) => {
            Err(Failure::new(exit, answer["message"].as_str().unwrap_or("the fleet gave no reason")))
        }
        None if terminal.json => Ok(()),
        None => print(&answer),
    }
}

/// Line of an account.
fn account(account: &Value) -> String {
    let mut line = format!("{}  {}", text(&account["account"]), text(&account["state"]));
    if let Some(service) = account["service"].as_str() {
        line.push_str(&format!("  {}", printable(service)));
        let count = account["devices"].as_array().map(|devices| devices.len() as u64);
        if let Some(devices) = count.or(account["devices"].as_u64()) {
            line.push_str(&format!("  thermostats: {devices}"));
        }
    }
    if let Some(why) = account["message"].as_str() {
        line.push_str(&format!("  {}", printable(why)));
    }
    line
}

/// Line of a thermostat.
fn device(device: &Value) -> String {
    let name = if device["name"].is_string() { &device["name"] } else { &device["id"] };
    format!(
        "  {}  {}  room {} °C  setpoint {} °C  mode {}  {}",
        text(&device["id"]),
        text(name),
        text(&device["temperature_c"]),
        text(&device["setpoint_c"]),
        text(&device["mode"]),
        text(&device["link"])
    )
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}
