//! `mysa set`: one change for one or several thermostats, and a verdict for each.

pub(crate) mod plan;
pub(crate) mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_proto::{Channel, DeviceId};
use mysa_tokio::{Change as Settings, Verdict};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::args::{Change, Sending, Targets};
use crate::commands::hold;
use crate::output::record::printable;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view;
use crate::support::cloud::{Cloud, Context, command_channel, within};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::homes::HomeDirectory;

use self::plan::{Plan, Request};
use self::report::SetReport;

/// Time limit for the first thermostat without `--wait`. It leaves time for a publish without an answer and the request
/// to the REST service that follows.
const DEFAULT_WAIT: Duration = Duration::from_secs(20);
/// Time for the broker to accept a command with `--no-wait`. It usually accepts within 0.2 s.
const NO_WAIT: Duration = Duration::from_secs(3);
/// Time limit for the list of thermostats, after which the stored list is used if there is one.
const LIST_WAIT: Duration = Duration::from_secs(6);
/// Longest wait for the present states, which relative values and the value "before" need.
const STATES_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the connection on which the confirmation arrives.
const LIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the session to deliver its verdicts after the deadline.
const VERDICT_GRACE: Duration = Duration::from_millis(500);

pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    targets: &Targets,
    change: &Change,
    sending: &Sending,
) -> Result<()> {
    let limit = sending.wait.map(|seconds| timefmt::seconds(seconds, "--wait")).transpose()?;
    // An invalid option is refused before anything is sent.
    let request = Request::parse(change, context.config.unit)?;
    let mut settings = context.settings();
    if let Some(channel) = sending.channel {
        settings.channel = command_channel(channel.into());
    }
    let spacing = settings.device_spacing;
    let started = Instant::now();
    settings.await_effect = !sending.no_wait;
    // A request for live reports is a message to a thermostat too.
    settings.live_reports = !sending.dry_run;
    let connecting = context.connect_to_command(terminal, settings, LIST_WAIT);
    let connected = within(terminal, limit, "; nothing was sent", connecting).await;
    let cloud =
        connected.map_err(|failure| report::all_without_plan(terminal, targets, &request, failure))?;
    let result = change_all(
        terminal,
        &cloud,
        targets,
        &request,
        sending,
        started + limit.unwrap_or(DEFAULT_WAIT),
        spacing,
    )
    .await;
    cloud.close(terminal).await;
    result
}

/// Plans the change for every thermostat, sends it and reports the outcome. `deadline` is that of the first thermostat;
/// each further one has `spacing` more, because the session sends the commands that far apart.
async fn change_all(
    terminal: &Terminal,
    cloud: &Cloud,
    targets: &Targets,
    request: &Request,
    sending: &Sending,
    deadline: Instant,
    spacing: Duration,
) -> Result<()> {
    let chosen = choose(terminal, cloud, targets)
        .map_err(|failure| report::all_without_plan(terminal, targets, request, failure))?;
    let left = || deadline.saturating_duration_since(Instant::now());
    cloud.wait_for_states(STATES_TIMEOUT.min(left())).await;
    terminal.progress("connecting to the broker");
    // The channel depends on the live connection, and the confirmation arrives on it. If the connection is not live in
    // time, the command is still sent. At least half of the time is left for the command itself.
    cloud.live((left() / 2).min(LIVE_TIMEOUT)).await;
    terminal.progress("");

    // The end of a requested or present hold is a local time.
    let directory = match request.is_hold() {
        true => Some(timeout(left(), HomeDirectory::read_zones(terminal, cloud)).await.unwrap_or_default()),
        false => None,
    };
    let holds = match request.is_hold() {
        // Again at least half of the time is left for the command.
        true => hold::read_all(terminal, cloud, &chosen, left() / 2).await,
        false => BTreeMap::new(),
    };
    let is_single = !targets.all && targets.devices.len() == 1;
    let mut report = SetReport::new(terminal, cloud, is_single, sending.no_wait);
    let mut plans = BTreeMap::new();
    for id in chosen {
        let Some(mut view) = cloud.client.state(&id) else { continue };
        if let Some(hold) = holds.get(&id) {
            hold::merge(&mut view, hold);
        }
        let local = directory.as_ref().map(|directory| directory.local_time(&id));
        match Plan::new(cloud, request, view.clone(), local).await {
            Ok(plan) => {
                if !plan.is_beyond_model() {
                    report.plan(&plan)?;
                }
                match &plan.preview {
                    Ok(preview) if sending.dry_run => report.dry_run(&plan, preview)?,
                    Ok(_) => drop(plans.insert(id, plan)),
                    Err(refused) => report.verdict(&plan, &Verdict::Refused(refused.clone()))?,
                }
            }
            Err(failure) => report.no_plan(&view, request, failure)?,
        }
    }
    if !plans.is_empty() {
        terminal.progress("waiting for confirmation");
        let deadline = if sending.no_wait { Instant::now() + NO_WAIT } else { deadline };
        send(&mut report, cloud, &plans, deadline, spacing).await?;
        terminal.progress("");
    }
    report.finish()
}

/// Plans the change of one thermostat for a program that keeps its clients. Reads what the plan needs for at most `limit`.
///
/// # Errors
/// The thermostat has left the account, or a requested value cannot be resolved.
#[cfg(unix)]
pub(crate) async fn plan_one(
    terminal: &Terminal,
    cloud: &Cloud,
    request: &Request,
    id: &DeviceId,
    limit: Duration,
) -> Result<Plan> {
    let left = || Failure::new(Exit::Failed, "the thermostat has left the account");
    let mut view = cloud.client.state(id).ok_or_else(left)?;
    if !request.is_hold() {
        return Plan::new(cloud, request, view, None).await;
    }
    let directory = timeout(limit / 2, HomeDirectory::read_zones(terminal, cloud)).await.unwrap_or_default();
    if let Some(hold) = hold::read_all(terminal, cloud, &[*id], limit / 2).await.get(id) {
        hold::merge(&mut view, hold);
    }
    Plan::new(cloud, request, view, Some(directory.local_time(id))).await
}

/// Returns the thermostats that the arguments name. With `--all`, devices that take no commands are left out.
fn choose(terminal: &Terminal, cloud: &Cloud, targets: &Targets) -> Result<Vec<DeviceId>> {
    let mut chosen = cloud.choose(&targets.devices)?;
    if targets.all {
        chosen.retain(|id| {
            let Some(view) = cloud.client.state(id) else { return false };
            let takes_commands = view.model.family().is_none_or(|family| {
                family.is_reached_by(Channel::Mqtt) || family.is_reached_by(Channel::Structured)
            });
            if !takes_commands {
                terminal.detail(format!("{} takes no commands", view::label(&view)));
            }
            takes_commands
        });
        if chosen.is_empty() {
            return Err(Failure::new(Exit::Failed, "the account has no thermostats"));
        }
    }
    Ok(chosen)
}

/// Sends all commands and reports each verdict as it arrives.
async fn send(
    report: &mut SetReport<'_>,
    cloud: &Cloud,
    plans: &BTreeMap<DeviceId, Plan>,
    deadline: Instant,
    spacing: Duration,
) -> Result<()> {
    let mut undecided = Undecided(plans.iter().map(|(id, plan)| (*id, plan.label())).collect());
    let (to_report, mut verdicts) = mpsc::unbounded_channel();
    let mut groups = JoinSet::new();
    // The session gives each thermostat of a group `spacing` more than the previous one; this continues across groups.
    let mut last_deadline = deadline;
    for (change, devices) in groups_of(plans) {
        let within = last_deadline.saturating_duration_since(Instant::now());
        last_deadline += spacing.saturating_mul(u32::try_from(devices.len()).unwrap_or(u32::MAX));
        let mut pending = cloud.client.set_many(&devices, change).deadline(within);
        let to_report = to_report.clone();
        groups.spawn(async move {
            while let Some(decided) = pending.next().await {
                let _ = to_report.send(decided);
            }
        });
    }
    // The groups hold the other senders, so that `recv` ends with the last of them.
    drop(to_report);
    // The session decides every command by its deadline. This limit exists only for a driver that hangs.
    let guard = last_deadline + VERDICT_GRACE;
    while let Ok(Some((id, verdict))) = timeout_at(guard, verdicts.recv()).await {
        undecided.0.remove(&id);
        let Some(plan) = plans.get(&id) else { continue };
        match verdict {
            Ok(verdict) => report.verdict(plan, &verdict)?,
            Err(error) => report.failure(plan, (Exit::Failed, error).into())?,
        }
    }
    for (id, _) in std::mem::take(&mut undecided.0) {
        let Some(plan) = plans.get(&id) else { continue };
        let text = "time-out: there is no verdict, and the command may still take effect";
        report.failure(plan, Failure::new(Exit::TimedOut, text))?;
    }
    Ok(())
}

/// Groups thermostats with the same request. A relative value gives each thermostat a value of its own.
fn groups_of(plans: &BTreeMap<DeviceId, Plan>) -> Vec<(Settings, Vec<DeviceId>)> {
    let mut groups: Vec<(Settings, Vec<DeviceId>)> = Vec::new();
    for (id, plan) in plans {
        match groups.iter_mut().find(|(change, _)| *change == plan.command) {
            Some((_, devices)) => devices.push(*id),
            None => groups.push((plan.command, vec![*id])),
        }
    }
    groups
}

/// Thermostats whose commands have no verdict yet. When dropped early, it warns that the commands may still take
/// effect.
struct Undecided(BTreeMap<DeviceId, String>);

impl Drop for Undecided {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            let names: Vec<String> = self.0.values().map(|name| printable(name)).collect();
            let names = names.join(", ");
            eprintln!("\nmysa: interrupted before a verdict: the command may take effect on {names}");
        }
    }
}
