//! `mysa bridge check`.

use mysa_bridge::client::{Client, DownReason, Event};
use mysa_bridge::{AccountIndex, Bridge, Settings};
use tokio::time::{Instant, sleep_until};

use super::accounts;
use super::link::{Broker, LinkEvent, Links};
use super::plan::Plan;
use super::{now, seed};
use crate::output::record::{self, Record, Value};
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::support::cloud::Context;
use crate::support::exit::{Exit, Failure, Result};

/// Explains the settings, and connects to the broker once. Publishes nothing.
pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    plan: &Plan,
    redaction: &Redaction,
) -> Result<()> {
    let started = Instant::now();
    // Checks the topics and the login.
    Bridge::new(plan.settings.clone(), seed()?, now(started))
        .map_err(|error| Failure::from((Exit::Usage, error)))?;
    let broker = Broker::new(plan)?;
    let mut record = record::document();
    let settings = plan.lines.iter().map(|line| {
        let mut record = Record::new();
        record.put("name", line.name).put("value", line.value.as_deref()).put("from", line.origin.name());
        Value::Record(record)
    });
    if terminal.json {
        record.put("settings", settings.collect::<Vec<_>>());
    } else {
        for line in &plan.lines {
            let value = line.value.as_deref().unwrap_or("-");
            record.put(line.name, format!("{value} ({})", line.origin.name()));
        }
    }
    record.put("unit", context.config.unit.name());
    let accounts = accounts(terminal, context, redaction, &mut record);
    if plan.exposes_password() {
        terminal.say(
            "the password for the broker is sent unencrypted; use mqtts:// or wss:// if the broker has TLS",
        );
    }
    for warning in plan.exposed_files() {
        terminal.say(warning);
    }
    let reached = connect(plan.settings.clone(), broker, started).await;
    let outcome = match &reached {
        Ok(_) => "accepts the connection and the subscriptions".to_owned(),
        Err(failure) => failure.to_string(),
    };
    record.put("broker_answer", outcome);
    if let Ok(contested) = reached {
        record.put("other_bridge", contested);
        if contested {
            let prefix = &plan.settings.prefix;
            terminal.say(format!(
                "another bridge publishes below {prefix:?}; stop one, or give each a --prefix and a --client-id of its own"
            ));
        }
    }
    terminal.document(&record)?;
    reached?;
    accounts
}

/// Adds the accounts, and whether a session of each is stored.
fn accounts(
    terminal: &Terminal,
    context: &Context,
    redaction: &Redaction,
    record: &mut Record,
) -> Result<()> {
    let names = accounts::names(context)?;
    let mut missing = None;
    let mut list = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let index = AccountIndex::new(index);
        let is_signed_in = matches!(context.token_file(name).load(), Ok(Some(_)));
        let shown = redaction.email(name);
        if terminal.json {
            let mut one = Record::new();
            one.put("account", i64::try_from(index.number()).unwrap_or(i64::MAX))
                .put("email", shown)
                .put("signed_in", is_signed_in);
            list.push(Value::Record(one));
        } else {
            let state = if is_signed_in { "signed in" } else { "not signed in" };
            record.put(&format!("account_{}", index.number()), format!("{shown} ({state})"));
        }
        if !is_signed_in {
            missing.get_or_insert_with(|| {
                Failure::new(Exit::SignIn, format!("{name} is not signed in; run `mysa login {name}`"))
            });
        }
    }
    if terminal.json {
        record.put("accounts", list);
    }
    missing.map_or(Ok(()), Err)
}

/// Connects and subscribes as the bridge does, under a client id of its own: the same one would end the connection of a
/// bridge that runs. Returns `true` if a bridge that runs has noticed another one.
async fn connect(settings: Settings, broker: Broker, started: Instant) -> Result<bool> {
    let mut broker_settings = settings.broker;
    broker_settings.client_id.push_str("-check");
    let (commands, state) =
        (format!("{}/+/set/+", settings.prefix), format!("{}/bridge/state", settings.prefix));
    broker_settings.filters = vec![commands.clone(), state.clone()];
    let invalid = |error| Failure::from((Exit::Usage, error));
    let mut client = Client::new(broker_settings, seed()?, started.elapsed()).map_err(invalid)?;
    let mut links = Links::new(broker);
    let mut detail = None;
    let mut is_up = false;
    let mut contested = None;
    let mut state_until = None;
    loop {
        while let Some(output) = client.poll_output(started.elapsed()) {
            links.carry_out(output);
        }
        while let Some(event) = client.poll_event() {
            match event {
                Event::Up => is_up = true,
                Event::Down { reason, .. } => {
                    let exit = if matches!(reason, DownReason::Refused(_)) {
                        Exit::Refused
                    } else {
                        Exit::Unreachable
                    };
                    let why = detail.map(|why: String| format!(" ({why})")).unwrap_or_default();
                    return Err(Failure::new(exit, format!("{reason}{why}")));
                }
                Event::SubscriptionRefused { filter } if filter == commands => {
                    let why =
                        format!("the broker refuses the subscription to {filter}: commands would not arrive");
                    return Err(Failure::new(Exit::Refused, why));
                }
                Event::Message(message) if message.topic == state => {
                    contested = Some(is_contested(&message.payload));
                }
                _ => {}
            }
        }
        if is_up && client.is_subscribed() {
            let until = *state_until.get_or_insert_with(|| Instant::now() + STATE_LIMIT);
            if contested.is_some() || until <= Instant::now() {
                client.disconnect(CLOSE_LIMIT, started.elapsed());
            }
        }
        if client.is_ended() {
            return Ok(contested.unwrap_or_default());
        }
        let due = client.poll_timeout().map_or_else(Instant::now, |at| started + at);
        let due = state_until.filter(|until| *until > Instant::now()).map_or(due, |until| due.min(until));
        tokio::select! {
            (link, event) = links.next() => match event {
                LinkEvent::Opened => client.handle_opened(link, started.elapsed()),
                LinkEvent::Received(bytes) => client.handle_bytes(link, &bytes, started.elapsed()),
                LinkEvent::Written => client.handle_written(link, started.elapsed()),
                LinkEvent::Closed(why) => {
                    detail = why;
                    client.handle_closed(link, started.elapsed());
                }
            },
            () = sleep_until(due) => client.handle_timeout(started.elapsed()),
        }
    }
}

/// `true` if the state of a bridge says that another one publishes to its topics.
fn is_contested(state: &[u8]) -> bool {
    let state: Option<serde_json::Value> = serde_json::from_slice(state).ok();
    state.is_some_and(|state| state.get("other_bridge") == Some(&serde_json::Value::Bool(true)))
}

/// Time limit for the retained state of a bridge, which need not exist.
const STATE_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);
/// Time limit for leaving the broker.
const CLOSE_LIMIT: std::time::Duration = std::time::Duration::from_secs(2);
