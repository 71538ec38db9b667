//! Buckets of a fleet at a NATS server, as the store of its core.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::context::{Context, CreateStreamError, CreateStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, StorageType};
use async_nats::jetstream::{self, kv};
use bytes::Bytes;
use futures_util::StreamExt as _;
use mysa_fleet::{Action, Answer, Bucket, Entry, Operation, Revision};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::nats::Nats;
use crate::support::exit::{Exit, Failure, Result};

/// Buckets of workers that have the accounts from a file.
pub(super) const SHARED: [Bucket; 3] = [Bucket::Workers, Bucket::Claims, Bucket::Verdicts];
/// Time for which a repeat of a command gets the first verdict.
const VERDICT_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// Maximum length of a value, in bytes.
const MAX_VALUE: i32 = 16 << 10;
/// Pause before a watch that has ended begins again.
const WATCH_PAUSE: Duration = Duration::from_secs(1);
/// Time limit of an operation. The core has one of its own, which is shorter for most leases.
const LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of entries in a list, as the core expects.
const MAX_LIST: usize = 1_000;
/// Header by which a client marks a deleted key.
const OPERATION: &str = "KV-Operation";
/// Header by which the server marks a key that it deleted itself.
const MARKER: &str = "Nats-Marker-Reason";

/// Something that a watch shows.
#[derive(Debug)]
pub(super) enum Seen {
    Entry(Bucket, Entry),
    /// All entries that were there when the watch began have been shown.
    Synced(Bucket),
}

/// Buckets of a fleet. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Store {
    nats: Nats,
    context: Context,
    buckets: Vec<(Bucket, kv::Store)>,
}

type Answered<T> = std::result::Result<T, ()>;

impl Store {
    /// Opens these buckets, and creates those that are missing.
    ///
    /// # Errors
    /// JetStream is off or not permitted, or a bucket would lose entries that the workers need; or NATS does not answer or has no
    /// leader now, which is [`Exit::Unreachable`].
    pub(super) async fn open(nats: &Nats, replicas: usize, buckets: &[Bucket]) -> Result<Self> {
        let context = jetstream::new(nats.client.clone());
        let mut opened = Vec::new();
        for &bucket in buckets {
            let name = nats.bucket(bucket.name());
            let failed = |exit, error: String| {
                Failure::new(
                    exit,
                    format!(
                        "cannot use the bucket {name} at NATS: {error}{}; JetStream must be on (nats-server -js) and permitted",
                        nats.why()
                    ),
                )
            };
            let silent = |error: &dyn std::fmt::Display| {
                let exit = if nats.lacks_permission() { Exit::Failed } else { Exit::Unreachable };
                failed(exit, error.to_string())
            };
            let store = match context.get_key_value(&name).await {
                Ok(store) => store,
                Err(_) => {
                    let max_age = if bucket == Bucket::Verdicts { VERDICT_LIFE } else { Duration::ZERO };
                    let created = context.create_stream(config(&name, max_age, replicas)).await;
                    created.map_err(|error| failed(exit(nats, &error), error.to_string()))?;
                    context.get_key_value(&name).await.map_err(|error| silent(&error))?
                }
            };
            let status = store.status().await.map_err(|error| silent(&error))?;
            let is_watched = bucket != Bucket::Verdicts;
            if is_watched && !status.max_age().is_zero() {
                return Err(Failure::usage(format!(
                    "the bucket {name} at NATS forgets its entries after {:?}: two workers could serve one account; \
                     remove the limit (nats stream edit KV_{name} --max-age=0)",
                    status.max_age()
                )));
            }
            opened.push((bucket, store));
        }
        Ok(Self { nats: nats.clone(), context, buckets: opened })
    }

    fn bucket(&self, bucket: Bucket) -> Option<&kv::Store> {
        self.buckets.iter().find(|(known, _)| *known == bucket).map(|(_, store)| store)
    }

    /// Carries out an operation.
    pub(super) async fn carry_out(&self, operation: Operation) -> Answer {
        self.act(operation.bucket, &operation.key, operation.action).await
    }

    /// Carries out an action on a key.
    pub(super) async fn act(&self, bucket: Bucket, key: &str, action: Action) -> Answer {
        let Some(store) = self.bucket(bucket) else { return Answer::Lost };
        timeout(LIMIT, self.answer(store, key, action)).await.unwrap_or(Answer::Lost)
    }

    /// Reads the newest entry of each key of a bucket, deleted ones too.
    pub(super) async fn all(&self, bucket: Bucket) -> Answered<Vec<Entry>> {
        let store = self.bucket(bucket).ok_or(())?;
        let (mut messages, pending) = timeout(LIMIT, self.follow(store, ">")).await.map_err(drop)??;
        let mut entries = Vec::new();
        let mut is_complete = pending == 0;
        while !is_complete {
            let next = timeout(LIMIT, messages.next()).await.map_err(drop)?.ok_or(())?;
            let (entry, pending) = shown(store, &next.map_err(drop)?)?;
            entries.push(entry);
            is_complete = pending == 0;
        }
        Ok(entries)
    }

    /// Latest error that the server reported, as a part of a message.
    pub(super) fn why(&self) -> String {
        self.nats.why()
    }

    async fn answer(&self, store: &kv::Store, key: &str, action: Action) -> Answer {
        match action {
            Action::Create { value } => match self.write(store, key, Some(value.clone()), 0).await {
                // A deleted key has a marker, at whose revision it is created again.
                Answer::Conflict => match self.read(store, key).await {
                    Ok(Some(Entry { revision, value: None, .. })) => {
                        self.write(store, key, Some(value), revision.number()).await
                    }
                    Ok(_) => Answer::Conflict,
                    Err(()) => Answer::Lost,
                },
                answer => answer,
            },
            Action::Update { value, revision } => {
                self.write(store, key, Some(value), revision.number()).await
            }
            Action::Delete { revision } => self.write(store, key, None, revision.number()).await,
            Action::Forget { revision } => self.forget(store, key, revision).await,
            Action::Read => self.read(store, key).await.map_or(Answer::Lost, Answer::Entry),
            Action::List => self.list(store, key).await.map_or(Answer::Lost, Answer::Entries),
        }
    }

    /// Writes a value or a marker of deletion, if the revision of the key is the expected one: 0 for a key that never was.
    async fn write(&self, store: &kv::Store, key: &str, value: Option<String>, expected: u64) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        if value.is_none() {
            headers.insert(OPERATION, "DEL");
        }
        let subject = format!("{}{key}", store.prefix);
        let body = Bytes::from(value.unwrap_or_default());
        let Ok(sent) = self.context.publish_with_headers(subject, headers, body).await else {
            return Answer::Lost;
        };
        match sent.await {
            Ok(written) => Answer::Written(Revision::new(written.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Answer::Conflict,
            Err(_) => Answer::Lost,
        }
    }

    /// Removes the marker of a deleted key from the stream. A message with a higher revision stays.
    async fn forget(&self, store: &kv::Store, key: &str, revision: Revision) -> Answer {
        let subject = format!("{}{key}", store.prefix);
        let below = revision.number().saturating_add(1);
        match store.stream.purge().filter(subject).sequence(below).await {
            Ok(purged) if purged.purged > 0 => Answer::Written(revision),
            Ok(_) => Answer::Conflict,
            Err(_) => Answer::Lost,
        }
    }

    /// Reads a key from the leader; `None` if it never existed.
    async fn read(&self, store: &kv::Store, key: &str) -> Answered<Option<Entry>> {
        let subject = format!("{}{key}", store.prefix);
        match store.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Ok(Some(entry(key, message.sequence, Some(&message.headers), &message.payload))),
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
            Err(_) => Err(()),
        }
    }

    /// Reads the keys that begin with a text and a dot.
    async fn list(&self, store: &kv::Store, first: &str) -> Answered<Vec<Entry>> {
        let (mut messages, pending) = self.follow(store, &format!("{first}.>")).await?;
        let mut entries = Vec::new();
        if pending == 0 {
            return Ok(entries);
        }
        while let Some(next) = messages.next().await {
            let (entry, pending) = shown(store, &next.map_err(drop)?)?;
            entries.push(entry);
            if pending == 0 || entries.len() == MAX_LIST {
                return Ok(entries);
            }
        }
        Err(())
    }

    /// Reads the newest entry of each key, deleted ones too, and all changes after. Returns the number of entries so far.
    async fn follow(&self, store: &kv::Store, keys: &str) -> Answered<(Ordered, u64)> {
        let config = OrderedConfig {
            deliver_subject: self.nats.client.new_inbox(),
            filter_subject: format!("{}{keys}", store.prefix),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..OrderedConfig::default()
        };
        let consumer = store.stream.create_consumer(config).await.map_err(drop)?;
        let pending = consumer.cached_info().num_pending;
        Ok((consumer.messages().await.map_err(drop)?, pending))
    }

    /// Watches the buckets that decide on ownership, and that of the accounts if it is open, until the tasks are dropped.
    pub(super) fn watch(&self, seen: &mpsc::Sender<Seen>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let watched =
            self.buckets.iter().map(|(bucket, _)| *bucket).filter(|bucket| *bucket != Bucket::Verdicts);
        for bucket in watched {
            let (store, seen) = (self.clone(), seen.clone());
            tasks.spawn(async move {
                let mut connections = store.nats.connections.clone();
                loop {
                    connections.mark_unchanged();
                    tokio::select! {
                        _ = store.watch_once(bucket, &seen) => sleep(WATCH_PAUSE).await,
                        // A connection that was lost may have lost entries too, so all of them are shown again.
                        Ok(()) = connections.changed() => {}
                    }
                }
            });
        }
        tasks
    }

    /// Shows the entries of a bucket, with markers of deleted ones, and their changes. Ends with an error of the server.
    async fn watch_once(&self, bucket: Bucket, seen: &mpsc::Sender<Seen>) -> Answered<()> {
        let store = self.bucket(bucket).ok_or(())?;
        let (mut messages, pending) = self.follow(store, ">").await?;
        let mut is_synced = pending == 0;
        if is_synced {
            seen.send(Seen::Synced(bucket)).await.map_err(drop)?;
        }
        while let Some(next) = messages.next().await {
            let (entry, pending) = shown(store, &next.map_err(drop)?)?;
            seen.send(Seen::Entry(bucket, entry)).await.map_err(drop)?;
            if pending == 0 && !is_synced {
                is_synced = true;
                seen.send(Seen::Synced(bucket)).await.map_err(drop)?;
            }
        }
        Ok(())
    }
}

/// Exit code of a stream that cannot be created: [`Exit::Unreachable`] if it may be possible later.
pub(super) fn exit(nats: &Nats, error: &CreateStreamError) -> Exit {
    let passes = match error.kind() {
        CreateStreamErrorKind::JetStream(error) => matches!(
            error.error_code(),
            ErrorCode::CLUSTER_NOT_AVAILABLE
                | ErrorCode::CLUSTER_NOT_LEADER
                | ErrorCode::CLUSTER_NO_PEERS
                // It was there when it had to be created, and was not read because of something that passes.
                | ErrorCode::STREAM_NAME_EXIST
        ),
        CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::Response => true,
        _ => false,
    };
    if passes && !nats.lacks_permission() { Exit::Unreachable } else { Exit::Failed }
}

/// Stream of a key-value bucket with one value for each key. The function of the library for this asks for limits of the account in
/// a form that NATS 2.9 does not have.
fn config(bucket: &str, max_age: Duration, replicas: usize) -> Config {
    Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        max_messages: -1,
        max_bytes: -1,
        max_message_size: MAX_VALUE,
        max_age,
        // A full bucket refuses new entries and never loses old ones.
        discard: DiscardPolicy::New,
        deny_delete: true,
        allow_rollup: true,
        allow_direct: true,
        duplicate_window: Duration::from_secs(120),
        // A claim depends on revisions that never fall.
        storage: StorageType::File,
        num_replicas: replicas,
        ..Config::default()
    }
}

/// Entry in a message, and the number of those that follow.
fn shown(store: &kv::Store, message: &jetstream::Message) -> Answered<(Entry, u64)> {
    let info = message.info().map_err(drop)?;
    let key = message.subject.strip_prefix(store.prefix.as_str()).ok_or(())?;
    let entry = entry(key, info.stream_sequence, message.headers.as_ref(), &message.payload);
    Ok((entry, info.pending))
}

fn entry(key: &str, revision: u64, headers: Option<&HeaderMap>, value: &[u8]) -> Entry {
    let is_deleted = headers.is_some_and(|headers| {
        let operation = headers.get(OPERATION).map(|operation| operation.as_str());
        matches!(operation, Some("DEL" | "PURGE")) || headers.get(MARKER).is_some()
    });
    let value = (!is_deleted).then(|| String::from_utf8_lossy(value).into_owned());
    Entry { key: key.to_owned(), revision: Revision::new(revision), value }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use mysa_testkit::NatsServer;

    use super::*;
    use crate::args::fleet::NatsOptions;
    use crate::commands::fleet::nats::Role;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        nats: NatsOptions,
    }

    async fn open(server: &NatsServer) -> Store {
        let options = Options::parse_from(["x"]).nats;
        let nats = Nats::connect(&server.url(), &options, Role::Worker).await.unwrap();
        Store::open(&nats, 1, &SHARED).await.unwrap()
    }

    /// Shows what a watch of the claims shows until it is synchronized.
    async fn seen(store: &Store) -> Vec<(String, Option<String>)> {
        let (shown, mut entries) = mpsc::channel(64);
        let mut found = Vec::new();
        let watch = store.watch_once(Bucket::Claims, &shown);
        let read = async {
            loop {
                match entries.recv().await {
                    Some(Seen::Entry(_, entry)) => found.push((entry.key, entry.value)),
                    Some(Seen::Synced(_)) | None => return,
                }
            }
        };
        tokio::select! {
            ended = watch => panic!("{ended:?}"),
            () = read => {}
        }
        found
    }

    async fn act(store: &Store, key: &str, action: Action) -> Answer {
        store.act(Bucket::Claims, key, action).await
    }

    fn create(value: &str) -> Action {
        Action::Create { value: value.into() }
    }

    #[track_caller]
    fn written(answer: &Answer) -> Revision {
        let Answer::Written(revision) = answer else { panic!("{answer:?}") };
        *revision
    }

    #[tokio::test]
    async fn every_write_has_a_condition_and_a_deleted_key_can_be_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let Some(server) = NatsServer::start(folder.path(), "") else { return };
        let store = open(&server).await;
        assert_eq!(act(&store, "a", Action::Read).await, Answer::Entry(None));
        let first = written(&act(&store, "a", create("1")).await);
        assert_eq!(act(&store, "a", create("2")).await, Answer::Conflict);
        let update = |revision| Action::Update { value: "3".into(), revision };
        let second = written(&act(&store, "a", update(first)).await);
        assert_eq!(act(&store, "a", update(first)).await, Answer::Conflict);
        assert_eq!(act(&store, "a", Action::Delete { revision: first }).await, Answer::Conflict);
        let entry =
            |revision, value: Option<&str>| Entry { key: "a".into(), revision, value: value.map(Into::into) };
        assert_eq!(act(&store, "a", Action::Read).await, Answer::Entry(Some(entry(second, Some("3")))));
        let third = written(&act(&store, "a", Action::Delete { revision: second }).await);
        assert_eq!(act(&store, "a", Action::Read).await, Answer::Entry(Some(entry(third, None))));
        assert_eq!(act(&store, "a", update(second)).await, Answer::Conflict);
        let fourth = written(&act(&store, "a", create("4")).await);
        assert!(first < second && second < third && third < fourth);
        // A list has the keys below a name, deleted ones too, and no others.
        assert_eq!(act(&store, "b", Action::List).await, Answer::Entries(Vec::new()));
        for key in ["b.x", "b.y", "bb.z"] {
            written(&act(&store, key, create(key)).await);
        }
        let Answer::Entries(listed) = act(&store, "b", Action::List).await else { panic!("no list") };
        assert_eq!(listed.iter().map(|entry| &*entry.key).collect::<Vec<_>>(), ["b.x", "b.y"]);
    }

    /// The marker of a session is the last message of its key, and would stay for ever.
    #[tokio::test]
    async fn a_marker_is_forgotten_at_its_revision_and_takes_nothing_else_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let Some(server) = NatsServer::start(folder.path(), "") else { return };
        let store = open(&server).await;
        written(&act(&store, "b", create("2")).await);
        let first = written(&act(&store, "a", create("1")).await);
        let marker = written(&act(&store, "a", Action::Delete { revision: first }).await);
        let forget = |revision| Action::Forget { revision };
        assert_eq!(act(&store, "a", forget(first)).await, Answer::Conflict);
        assert_eq!(act(&store, "a", forget(marker)).await, Answer::Written(marker));
        assert_eq!(act(&store, "a", Action::Read).await, Answer::Entry(None));
        assert_eq!(act(&store, "a", forget(marker)).await, Answer::Conflict);
        assert_eq!(seen(&store).await, [("b".to_owned(), Some("2".to_owned()))]);
        // Revisions go on, and a condition of before does not hold.
        let update = Action::Update { value: "3".into(), revision: marker };
        assert_eq!(act(&store, "a", update).await, Answer::Conflict);
        let again = written(&act(&store, "a", create("4")).await);
        assert!(again > marker);
        assert_eq!(act(&store, "a", forget(marker)).await, Answer::Conflict);
        let entry = Entry { key: "a".into(), revision: again, value: Some("4".into()) };
        assert_eq!(act(&store, "a", Action::Read).await, Answer::Entry(Some(entry)));
    }

    /// A worker that missed the end of a claim would never claim the account.
    #[tokio::test]
    async fn a_watch_that_begins_again_shows_what_was_deleted_before() {
        let folder = tempfile::tempdir().unwrap();
        let Some(server) = NatsServer::start(folder.path(), "") else { return };
        let store = open(&server).await;
        assert_eq!(seen(&store).await, []);
        let revision = written(&act(&store, "a", create("1")).await);
        written(&act(&store, "b", create("2")).await);
        let entry = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
        assert_eq!(seen(&store).await, [entry("a", Some("1")), entry("b", Some("2"))]);
        written(&act(&store, "a", Action::Delete { revision }).await);
        assert_eq!(seen(&store).await, [entry("b", Some("2")), entry("a", None)]);
    }

    /// Such a bucket would free accounts that are served.
    #[tokio::test]
    async fn a_bucket_that_forgets_claims_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let Some(server) = NatsServer::start(folder.path(), "") else { return };
        let options = Options::parse_from(["x"]).nats;
        let nats = Nats::connect(&server.url(), &options, Role::Worker).await.unwrap();
        let config = config(&nats.bucket("claims"), Duration::from_secs(600), 1);
        jetstream::new(nats.client.clone()).create_stream(config).await.unwrap();
        let error = Store::open(&nats, 1, &SHARED).await.unwrap_err().to_string();
        assert!(error.contains("forgets its entries") && error.contains("KV_mysa-fleet-claims"), "{error}");
    }
}
