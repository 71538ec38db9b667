//! `mysa hold`: shows the hold of a thermostat against its schedule, or changes it as `mysa set --hold` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mysa_proto::rest::{self, HoldState};
use mysa_proto::{Channel, Control, DeviceId, Field, Hold as Held, Now, Observation};
use mysa_tokio::{DeviceView, Error, Response};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::args::{Change, Hold, Sending, Targets};
use crate::commands::{raw, set};
use crate::output::record::{self, Record, printable};
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view;
use crate::support::cloud::{Cloud, Context, is_missing, unreadable};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::homes::HomeDirectory;
use crate::support::moment::Moment;
use crate::support::time_zone::Zone;

/// Number of holds requested at once. The session has a bounded queue.
const READS_AT_ONCE: usize = 8;

pub(crate) async fn run(terminal: &Terminal, context: &Context, args: &Hold) -> Result<()> {
    let Some(hold) = action(&args.action)? else {
        return show(terminal, context, args).await;
    };
    let targets = Targets { devices: vec![args.device.clone()], all: false };
    let change = Change { hold: Some(hold), ..Change::default() };
    set::run(terminal, context, &targets, &change, &args.sending).await
}

/// Returns the value for `mysa set --hold`; `None` without an action.
fn action(words: &[String]) -> Result<Option<String>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => Ok(None),
        ["follow"] => Ok(Some("off".into())),
        ["on"] => Ok(Some("on".into())),
        ["until", time] => Moment::parse(time).map(|_| Some(time.to_owned())),
        _ => Err(Failure::usage(format!(
            "invalid action '{}': expected follow, on, or until with a time such as 22:30 or +2h",
            words.join(" ")
        ))),
    }
}

async fn show(terminal: &Terminal, context: &Context, args: &Hold) -> Result<()> {
    let Sending { wait, no_wait, dry_run, channel } = &args.sending;
    if wait.is_some() || *no_wait || *dry_run || channel.is_some() {
        return Err(Failure::usage(
            "options for sending need an action: expected follow, on or until after the name",
        ));
    }
    let mut settings = context.settings();
    settings.live_reports = false;
    let cloud = context.connect(terminal, settings).await?;
    let result = show_with(terminal, &cloud, &args.device).await;
    cloud.close(terminal).await;
    result
}

async fn show_with(terminal: &Terminal, cloud: &Cloud, device: &str) -> Result<()> {
    let view = cloud.only(device)?;
    if !has_hold(&view) {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "refused: {} ({}) has no hold; Baseboard V2 and in-floor thermostats have one",
                view::label(&view),
                printable(view.model.as_str())
            ),
        ));
    }
    let zone = HomeDirectory::local_time_of(terminal, cloud, &view).await.zone;
    let hold = read(cloud, &view).await?;
    if terminal.json {
        let mut document = record::document();
        document.put("id", view.id.as_str()).put("name", view.name.as_deref());
        document.put("time_zone", zone.name());
        put(&mut document, hold, &zone);
        return terminal.line(document.to_json());
    }
    terminal.line(format!("{} ({})", view::label(&view), printable(view.model.as_str())))?;
    let text = match hold.map(|field| field.value) {
        Some(Held::FollowSchedule) => "follows its schedule".to_owned(),
        Some(Held::Permanent) => "holds its setpoint until the next change".to_owned(),
        Some(Held::Until(end)) => format!("holds its setpoint until {} ({})", zone.show(end), zone.name()),
        Some(Held::FollowOrUntil) => {
            "follows its schedule or holds until a time: it does not report which".to_owned()
        }
        None => "the cloud reports a hold of an unknown kind".to_owned(),
    };
    terminal.line(format!("  {text}"))
}

pub(crate) fn has_hold(view: &DeviceView) -> bool {
    view.model.family().is_some_and(|family| family.has(Control::Hold, Channel::Mqtt))
}

/// Adds a hold for programs.
pub(crate) fn put(record: &mut Record, hold: Option<Field<Held>>, zone: &Zone) {
    record.put("hold", hold.map(|field| view::hold(field.value, None)));
    let end = match hold.map(|field| field.value) {
        Some(Held::Until(end)) => Some(zone.iso(end)),
        _ => None,
    };
    record.put("hold_end", end).put("hold_source", hold.map(|field| view::source_name(field.source)));
}

/// Reads the hold by its route, and merges it with what the thermostat has reported. A hold that has ended is none.
///
/// # Errors
/// The request fails, or the answer cannot be read.
pub(crate) async fn read(cloud: &Cloud, view: &DeviceView) -> Result<Option<Field<Held>>> {
    let mut view = view.clone();
    let answer = cloud.client.request(rest::hold(view.id)).await;
    merge(&mut view, &observation(cloud, answer)?);
    Ok(view.state.hold())
}

/// Reads the holds of thermostats by their routes at once, for at most `limit`. Those that have none are left out. Reports
/// on standard error what cannot be read.
pub(crate) async fn read_all(
    terminal: &Terminal,
    cloud: &Cloud,
    chosen: &[DeviceId],
    limit: Duration,
) -> BTreeMap<DeviceId, Observation> {
    let deadline = Instant::now() + limit;
    let is_asked = |id: &DeviceId| cloud.client.state(id).is_some_and(|view| has_hold(&view));
    let mut waiting = chosen.iter().copied().filter(is_asked);
    let mut requests = JoinSet::new();
    let mut holds = BTreeMap::new();
    let mut problems = BTreeSet::new();
    loop {
        for id in waiting.by_ref().take(READS_AT_ONCE.saturating_sub(requests.len())) {
            let client = cloud.client.clone();
            requests.spawn(async move { (id, client.request(rest::hold(id)).await) });
        }
        let Ok(Some(answered)) = timeout_at(deadline, requests.join_next()).await else { break };
        let Ok((id, answer)) = answered else { continue };
        match observation(cloud, answer) {
            Ok(hold) => drop(holds.insert(id, hold)),
            Err(failure) => drop(problems.insert(failure.to_string())),
        }
    }
    if !requests.is_empty() {
        problems.insert("the cloud did not answer in time".to_owned());
    }
    for problem in problems {
        terminal.say(format!("the present hold cannot be read: {problem}"));
    }
    holds
}

/// Merges a hold into the state of a thermostat.
pub(crate) fn merge(view: &mut DeviceView, hold: &Observation) {
    let mut state = (*view.state).clone();
    state.observe(hold);
    view.state = Arc::new(state);
}

fn observation(cloud: &Cloud, answer: std::result::Result<Response, Error>) -> Result<Observation> {
    let now = timefmt::now();
    let received = Now { mono: cloud.elapsed(), wall: now };
    Ok(match answer {
        Ok(response) => {
            let hold = HoldState::decode(&response.body)
                .map_err(|error| unreadable(&response.body, error))?
                .observation(received);
            match hold.hold {
                Some(Held::Until(end)) if end <= now => HoldState::none(received),
                _ => hold,
            }
        }
        Err(error) if is_missing(&error) => HoldState::none(received),
        Err(error) => return Err(raw::failure(error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_one_word_or_until_and_a_time() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (text, value) in
            [("", None), ("follow", Some("off")), ("on", Some("on")), ("until +2h", Some("+2h"))]
        {
            assert_eq!(action(&words(text)).unwrap().as_deref(), value, "{text}");
        }
        for bad in ["off", "until", "until on", "until 25:00", "22:30", "on follow", "until 22:30 tomorrow"] {
            assert_eq!(action(&words(bad)).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
