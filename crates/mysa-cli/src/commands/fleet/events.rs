//! Events of a fleet on several machines: a stream at NATS with the latest state of each thermostat.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::OrderedConfig;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::nats::{Nats, Role, token};
use super::store;
use crate::args::fleet::FleetWatch;
use crate::output::record::{Record, Value, escape_json};
use crate::output::terminal::Terminal;
use crate::support::exit::{Exit, Failure, Result};

/// Events that wait for NATS, the latest of each subject.
#[derive(Debug)]
pub(super) struct Publisher {
    nats: Nats,
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// Newest event of each subject.
    waiting: BTreeMap<String, Event>,
    /// Subject of the event that was taken last.
    last: String,
    is_closed: bool,
}

impl Queue {
    /// Takes the next event of a subject of which none is on its way. The subjects take turns, so that a state that changes often
    /// does not hold up the others.
    fn next(&mut self, on_their_way: &HashSet<String>) -> Option<(String, Event)> {
        let later = self.waiting.range::<str, _>((Bound::Excluded(&*self.last), Bound::Unbounded));
        let others = self.waiting.range::<str, _>((Bound::Unbounded, Bound::Included(&*self.last)));
        let (subject, _) = later.chain(others).find(|(subject, _)| !on_their_way.contains(*subject))?;
        self.last.clone_from(subject);
        self.waiting.remove_entry(&self.last)
    }
}

#[derive(Clone, Debug)]
struct Event {
    line: String,
    owner: Option<i64>,
}

/// Time for which an event is kept.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Maximum size of the stream, in bytes. Beyond it, the oldest events are lost.
const MAX_BYTES: i64 = 1 << 30;
/// Maximum number of subjects that wait. More are lost.
const MAX_WAITING: usize = 65_536;
/// Maximum number of events without an acknowledgement.
const MAX_SENT: usize = 64;
/// Time limit for an acknowledgement.
const LIMIT: Duration = Duration::from_secs(5);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Opens the stream of events, and creates it if it is missing.
///
/// # Errors
/// JetStream is off or not permitted.
pub(super) async fn open(nats: &Nats, replicas: usize) -> Result<Stream> {
    let context = jetstream::new(nats.client.clone());
    let name = nats.bucket("events");
    if let Ok(stream) = context.get_stream(&name).await {
        return Ok(stream);
    }
    let config = Config {
        name: name.clone(),
        subjects: vec![nats.event_subject(">")],
        // A reader that lags loses old states, never the latest.
        max_messages_per_subject: 1,
        max_age: LIFE,
        max_bytes: MAX_BYTES,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        num_replicas: replicas,
        ..Config::default()
    };
    context.create_stream(config).await.map_err(|error| {
        Failure::new(
            store::exit(nats, &error),
            format!("cannot create the stream {name} at NATS: {error}{}", nats.why()),
        )
    })
}

impl Publisher {
    pub(super) fn new(nats: Nats) -> Arc<Self> {
        Arc::new(Self { nats, queue: Mutex::default(), wake: Notify::new() })
    }

    /// Takes an event for NATS. Never waits.
    pub(super) fn take(&self, record: &Record) {
        let Some((subject, owner)) = self.place(record) else { return };
        let mut queue = self.lock();
        if queue.waiting.len() < MAX_WAITING || queue.waiting.contains_key(&subject) {
            queue.waiting.insert(subject, Event { line: record.to_json(), owner });
            drop(queue);
            self.wake.notify_one();
        }
    }

    /// Ends [`Publisher::run`] once nothing waits.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change under the lock is complete by itself.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subject and owner of an event.
    fn place(&self, record: &Record) -> Option<(String, Option<i64>)> {
        let (mut event, mut account, mut id, mut owner) = (None, None, None, None);
        for (name, value) in record.fields() {
            match (name, value) {
                ("event", Value::Text(text)) => event = Some(text),
                ("account", Value::Text(text)) => account = Some(text),
                ("id", Value::Text(text)) => id = Some(text),
                ("owner", Value::Int(number)) => owner = Some(*number),
                _ => {}
            }
        }
        let (event, account) = (event?, token(account?)?);
        let rest = match id {
            // The state of a thermostat has a subject of its own, so that no verdict takes its place.
            Some(id) if event == "device" => token(id)?,
            Some(id) => format!("{}.{event}", token(id)?),
            None => event.clone(),
        };
        Some((self.nats.event_subject(&format!("{account}.{rest}")), owner))
    }

    /// Publishes events until the publisher is closed. An event that NATS does not acknowledge is sent again, unless there is a
    /// newer one.
    pub(super) async fn run(self: Arc<Self>) {
        let context = jetstream::new(self.nats.client.clone());
        let mut sent = FuturesUnordered::new();
        let mut subjects = HashSet::new();
        // One pause for all that fail together, as they do when the stream loses its leader.
        let mut resume_at = Instant::now();
        loop {
            // What the client of NATS keeps for a later connection could replace the events of the next owner.
            while resume_at <= Instant::now()
                && self.nats.is_connected()
                && sent.len() < MAX_SENT
                && let Some((subject, event)) = self.next(&subjects)
            {
                subjects.insert(subject.clone());
                sent.push(publish(&context, subject, event));
            }
            let (is_empty, is_closed) = {
                let queue = self.lock();
                (queue.waiting.is_empty(), queue.is_closed)
            };
            if is_closed && sent.is_empty() && (is_empty || !self.nats.is_connected()) {
                return;
            }
            tokio::select! {
                Some((subject, event, is_stored)) = sent.next() => {
                    subjects.remove(&subject);
                    if !is_stored {
                        self.lock().waiting.entry(subject).or_insert(event);
                        resume_at = Instant::now() + PAUSE;
                    }
                }
                () = self.wake.notified() => {}
                // The connection may be back.
                () = sleep(PAUSE) => {}
            }
        }
    }

    fn next(&self, on_their_way: &HashSet<String>) -> Option<(String, Event)> {
        self.lock().next(on_their_way)
    }

    /// Forgets the events of accounts that this worker does not own any more.
    pub(super) fn forget(&self, owner: u64) {
        let owner = i64::try_from(owner).ok();
        self.lock().waiting.retain(|_, event| event.owner.is_none() || event.owner != owner);
    }
}

async fn publish(context: &Context, subject: String, event: Event) -> (String, Event, bool) {
    let stored = async {
        let sent = context.publish(subject.clone(), event.line.clone().into()).await.ok()?;
        sent.await.ok()
    };
    let is_stored = timeout(LIMIT, stored).await.is_ok_and(|stored| stored.is_some());
    (subject, event, is_stored)
}

/// Prints the latest events of a fleet, and those that follow, one object on a line.
pub(super) async fn watch(terminal: &Terminal, args: &FleetWatch) -> Result<()> {
    let missing = || Failure::usage("the NATS server is missing: name it with --nats");
    let url = args.nats.nats.as_deref().ok_or_else(missing)?;
    let nats = Nats::connect(url, &args.nats, Role::Reader).await?;
    let lost = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Unreachable, format!("cannot read the events at NATS: {error}{}", nats.why()))
    };
    let name = nats.bucket("events");
    let context = jetstream::new(nats.client.clone());
    let stream = context.get_stream(&name).await.map_err(|error| {
        Failure::new(
            Exit::Unreachable,
            format!("cannot open the stream {name} at NATS: {error}; start `mysa fleet worker`, or name the fleet with --fleet"),
        )
    })?;
    let keys = match &args.of {
        None => ">".to_owned(),
        Some(account) => {
            let long = || Failure::usage(format!("invalid account '{account}': too long for NATS"));
            format!("{}.>", token(account).ok_or_else(long)?)
        }
    };
    let config = OrderedConfig {
        deliver_subject: nats.client.new_inbox(),
        filter_subject: nats.event_subject(&keys),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(|error| lost(&error))?;
    let mut events = consumer.messages().await.map_err(|error| lost(&error))?;
    let mut owners = HashMap::new();
    let mut left = args.count;
    while left != Some(0) {
        let Some(next) = events.next().await else { return Err(lost(&"the stream has ended")) };
        let message = next.map_err(|error| lost(&error))?;
        let Ok(line) = std::str::from_utf8(&message.payload) else { continue };
        if is_current(&mut owners, line) {
            terminal.line(escape_json(line))?;
            left = left.map(|left| left - 1);
        }
    }
    Ok(())
}

/// `false` for an event of an owner after which another one has sent events of the account.
fn is_current(owners: &mut HashMap<String, i64>, line: &str) -> bool {
    let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { return false };
    let (Some(account), Some(owner)) = (event["account"].as_str(), event["owner"].as_i64()) else {
        return true;
    };
    let newest = owners.entry(account.to_owned()).or_insert(owner);
    *newest = owner.max(*newest);
    *newest == owner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_take_turns() {
        let mut queue = Queue::default();
        let put = |queue: &mut Queue, subject: &str| {
            queue.waiting.insert(subject.into(), Event { line: "{}".into(), owner: None })
        };
        for subject in ["a", "b", "c"] {
            put(&mut queue, subject);
        }
        let mut on_their_way = HashSet::from(["b".to_owned()]);
        let mut taken = String::new();
        for _ in 0..4 {
            let (subject, _) = queue.next(&on_their_way).unwrap();
            taken += &subject;
            // It changes all the time.
            put(&mut queue, &subject);
        }
        assert_eq!(taken, "acac");
        on_their_way.clear();
        assert_eq!(queue.next(&on_their_way).unwrap().0, "a");
        assert_eq!(queue.next(&on_their_way).unwrap().0, "b");
    }

    #[test]
    fn an_event_of_an_earlier_owner_is_not_shown() {
        let mut owners = HashMap::new();
        let line = |account: &str, owner: i64| format!(r#"{{"account":"{account}","owner":{owner}}}"#);
        for (account, owner, expected) in
            [("a", 5, true), ("b", 4, true), ("a", 7, true), ("a", 5, false), ("b", 4, true), ("a", 7, true)]
        {
            assert_eq!(is_current(&mut owners, &line(account, owner)), expected, "{account} {owner}");
        }
        assert!(is_current(&mut owners, r#"{"account":"a"}"#));
        assert!(!is_current(&mut owners, "no event"));
    }
}
