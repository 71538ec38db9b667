//! `mysa hold`: shows the hold of a thermostat against its schedule, or changes it as `mysa set --hold` does.

use mysa_proto::rest::{self, HoldState};
use mysa_proto::{Channel, Control, Field, Hold as Held, Now};
use mysa_tokio::{DeviceView, Error, RequestError};

use crate::args::{Change, Hold, Sending, Targets};
use crate::commands::{raw, set};
use crate::output::record::{Record, printable};
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view;
use crate::support::cloud::{Cloud, Context};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::homes::Places;
use crate::support::moment::Moment;
use crate::support::time_zone::Zone;

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
    let zone = Places::local_time_of(terminal, cloud, &view).await.zone;
    let hold = read(cloud, &view).await?;
    if terminal.json {
        let mut document = Record::document();
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
    let answer = cloud.client.request(rest::hold(view.id)).await;
    let now = timefmt::now();
    let received = Now { mono: cloud.elapsed(), wall: now };
    let observation = match answer {
        Ok(response) => {
            let hold = HoldState::decode(&response.body)
                .map_err(|error| Failure::from((Exit::Failed, error)))?
                .observation(received);
            match hold.hold {
                Some(Held::Until(end)) if end <= now => HoldState::none(received),
                _ => hold,
            }
        }
        Err(Error::Request(RequestError::Refused { status: 404, .. })) => HoldState::none(received),
        Err(error) => return Err(raw::failure(error)),
    };
    let mut state = (*view.state).clone();
    state.observe(&observation);
    Ok(state.hold())
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
