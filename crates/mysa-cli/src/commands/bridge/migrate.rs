//! `mysa bridge migrate`.

use std::collections::BTreeSet;
use std::time::Duration;

use mysa_bridge::client::{Client, DownReason, Event, Message, Output, QoS, Settings};
use mysa_bridge::{Bridge, Leftovers};
use tokio::time::{Instant, sleep_until};

use super::link::{Broker, LinkEvent, Links};
use super::plan::Plan;
use super::{now, seed};
use crate::args::bridge::Migrate;
use crate::output::record::{self, Record, Value, printable};
use crate::output::terminal::Terminal;
use crate::support::exit::{Exit, Failure, Result};

/// Lists the retained messages of mysa2mqtt, and removes them if that is asked for.
pub(crate) async fn run(terminal: &Terminal, plan: &Plan, args: &Migrate) -> Result<()> {
    let started = Instant::now();
    // Checks the topics and the login.
    Bridge::new(plan.settings.clone(), seed()?, now(started))
        .map_err(|error| Failure::from((Exit::Usage, error)))?;
    let discovery_prefix = plan.settings.discovery_prefix.as_deref().unwrap_or("homeassistant");
    let leftovers = Leftovers::new(discovery_prefix, &args.from);
    let mut migration = Migration::new(plan, leftovers, started)?;
    migration.collect().await?;
    let found: Vec<(String, &str)> = {
        let kind = |kind: &'static str| move |topic: &str| (topic.to_owned(), kind);
        let values = migration.leftovers.values().map(kind("value"));
        values.chain(migration.leftovers.entities().map(kind("entity"))).collect()
    };
    if !terminal.json {
        for (topic, kind) in &found {
            terminal.line(format!("{kind:6}  {}", printable(topic)))?;
        }
    }
    if migration.leftovers.is_truncated() {
        terminal.say("there are more; run the command again after it has removed these");
    }
    if migration.leftovers.is_running() {
        terminal.say("mysa2mqtt seems to run: stop it first, or it publishes them again");
    }
    let left = if args.yes && !found.is_empty() { migration.remove().await? } else { found.len() };
    migration.leave().await;
    if terminal.json {
        let list = found.iter().map(|(topic, kind)| {
            let mut record = Record::new();
            record.put("topic", topic.as_str()).put("kind", *kind);
            Value::Record(record)
        });
        let mut record = record::document();
        record.put("found", list.collect::<Vec<_>>()).put("removed", count(found.len() - left));
        record.put("mysa2mqtt_runs", migration.leftovers.is_running());
        terminal.document(&record)?;
    }
    let found = found.len();
    match (found, args.yes, left) {
        (0, ..) => terminal.say("no retained messages of mysa2mqtt"),
        (_, false, _) => terminal
            .say(format!("{found} retained messages of mysa2mqtt; `mysa bridge migrate --yes` removes them")),
        (_, true, 0) => terminal.say(format!("removed {found} retained messages of mysa2mqtt")),
        (_, true, left) => {
            let why = "the broker may not permit this user to write to them";
            return Err(Failure::new(Exit::Failed, format!("{left} of {found} are not removed: {why}")));
        }
    }
    Ok(())
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

struct Migration {
    client: Client,
    links: Links,
    leftovers: Leftovers,
    started: Instant,
    /// Topic to which a message is published that follows the retained ones.
    marker: String,
    is_marked: bool,
    /// Time of the latest message that belongs here.
    latest: Instant,
    /// Topics of entities that Home Assistant was asked to unload, and whose message has not come back.
    unloading: BTreeSet<String>,
    /// Reason of the system for the end of the connection.
    detail: Option<String>,
}

/// Time limit for listing.
const LIMIT: Duration = Duration::from_secs(60);
/// Time without a message after which the list is complete.
const QUIET: Duration = Duration::from_secs(1);
/// Time without progress after which the removal has failed.
const STALLED: Duration = Duration::from_secs(10);
/// Longest wait for the message that follows the retained ones, which a broker may withhold.
const MARKER_LIMIT: Duration = Duration::from_secs(5);
/// Time limit for leaving the broker.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Longest discovery message of mysa2mqtt that is read, many times the usual length.
const MAX_MESSAGE: u32 = 64 * 1_024;
/// Number of messages that are published at a time.
const ROUND: usize = 100;

impl Migration {
    fn new(plan: &Plan, leftovers: Leftovers, started: Instant) -> Result<Self> {
        let mut settings: Settings = plan.settings.broker.clone();
        // The same one would end the connection of a bridge that runs.
        settings.client_id.push_str("-migrate");
        settings.max_message = MAX_MESSAGE;
        let marker = format!("{}/bridge/migrate", plan.settings.prefix);
        settings.filters = leftovers.filters().into_iter().chain([marker.clone()]).collect();
        let client = Client::new(settings, seed()?, started.elapsed())
            .map_err(|error| Failure::from((Exit::Usage, error)))?;
        let links = Links::new(Broker::new(plan)?);
        let (latest, unloading, detail) = (Instant::now(), BTreeSet::new(), None);
        Ok(Self { client, links, leftovers, started, marker, is_marked: false, latest, unloading, detail })
    }

    /// Collects the retained messages.
    async fn collect(&mut self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut subscribed = None;
        loop {
            self.carry_out()?;
            let now = Instant::now();
            if subscribed.is_none() && self.client.is_subscribed() {
                subscribed = Some(now);
                self.latest = now;
                self.client.publish(self.marker.clone(), b"end of the list".to_vec());
                continue;
            }
            let mut until = deadline;
            if let Some(since) = subscribed {
                until = self.latest + QUIET;
                if !self.is_marked {
                    until = until.max(since + MARKER_LIMIT);
                }
                until = until.min(deadline);
            }
            if until <= now {
                return match subscribed {
                    Some(_) => Ok(()),
                    None => Err(timed_out()),
                };
            }
            self.wait(until).await;
        }
    }

    /// Asks Home Assistant to unload the entities that the bridge has too, and removes every message, those of values first. Returns the number of
    /// messages that are left.
    async fn remove(&mut self) -> Result<usize> {
        self.latest = Instant::now();
        let mut entities: Vec<String> = self.leftovers.shared_entities().map(str::to_owned).collect();
        for topic in self.leftovers.values().map(str::to_owned).collect::<Vec<_>>() {
            self.client.retain(0, topic, Vec::new(), QoS::AtLeastOnce);
        }
        let mut are_cleared = false;
        loop {
            self.carry_out()?;
            let deadline = self.latest + STALLED;
            if self.leftovers.topics().next().is_none() || Instant::now() >= deadline {
                return Ok(self.leftovers.topics().count());
            }
            if self.leftovers.values().next().is_none() && self.unloading.is_empty() {
                let rest = entities.split_off(entities.len().min(ROUND));
                let round = std::mem::replace(&mut entities, rest);
                if round.is_empty() && !are_cleared {
                    are_cleared = true;
                    for topic in self.leftovers.entities().map(str::to_owned).collect::<Vec<_>>() {
                        self.client.retain(1, topic, Vec::new(), QoS::AtLeastOnce);
                    }
                }
                for topic in round {
                    self.client.publish(topic.clone(), Leftovers::UNLOAD.to_vec());
                    self.unloading.insert(topic);
                }
                self.carry_out()?;
            }
            self.wait(deadline).await;
        }
    }

    async fn leave(&mut self) {
        self.client.disconnect(CLOSE_LIMIT, self.started.elapsed());
        while !self.client.is_ended() && self.carry_out().is_ok() {
            self.wait(Instant::now() + CLOSE_LIMIT).await;
        }
    }

    /// Carries out what the client asks for, and takes what it reports.
    fn carry_out(&mut self) -> Result<()> {
        while let Some(output) = self.client.poll_output(self.started.elapsed()) {
            let is_close = matches!(output, Output::Close(_));
            self.links.carry_out(output);
            if is_close && self.client.is_ended() {
                break;
            }
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Message(message) => self.take(&message),
                Event::Down { reason, .. } => {
                    let refused = matches!(reason, DownReason::Refused(_));
                    let exit = if refused { Exit::Refused } else { Exit::Unreachable };
                    let why = self.detail.take().map(|why| format!(" ({why})")).unwrap_or_default();
                    return Err(Failure::new(exit, format!("{reason}{why}")));
                }
                Event::SubscriptionRefused { filter } if filter != self.marker => {
                    let why = format!("the broker refuses the subscription to {filter}");
                    return Err(Failure::new(Exit::Refused, why));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, message: &Message) {
        if message.topic == self.marker {
            self.is_marked = true;
            return;
        }
        if self.leftovers.observe(message) {
            self.latest = Instant::now();
        }
        if message.payload == Leftovers::UNLOAD {
            self.unloading.remove(&message.topic);
        }
    }

    /// Waits for the connection or a timer, at most until a time.
    async fn wait(&mut self, until: Instant) {
        let due = self.client.poll_timeout().map_or(until, |at| (self.started + at).min(until));
        tokio::select! {
            (link, event) = self.links.next() => {
                let now = self.started.elapsed();
                match event {
                    LinkEvent::Opened => self.client.handle_opened(link, now),
                    LinkEvent::Received(bytes) => self.client.handle_bytes(link, &bytes, now),
                    LinkEvent::Written => self.client.handle_written(link, now),
                    LinkEvent::Closed(why) => {
                        self.detail = why;
                        self.client.handle_closed(link, now);
                    }
                }
            }
            () = sleep_until(due) => self.client.handle_timeout(self.started.elapsed()),
        }
    }
}

fn timed_out() -> Failure {
    Failure::new(Exit::TimedOut, "time-out: the broker did not answer the subscriptions")
}
