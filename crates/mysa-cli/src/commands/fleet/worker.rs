//! Worker of a fleet on several machines: the driver of `mysa_fleet::Worker` on NATS.
//!
//! The accounts are those of the accounts file, which every worker has. NATS says which worker serves which of them. The
//! loop waits for nothing but its inputs: whatever may take time is a task, so that the end of the lease is never missed.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Message, Subject};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use mysa_config::{FleetAccount, FleetAccounts};
use mysa_fleet::{
    AccountId, Answer, Bucket, CommandId, Counts, Decision, Entry, Event, OperationId, Output, Reply,
    ReplyTo, Request, Retry, Revision, Settings, StopReason, Worker, WorkerId,
};
use mysa_proto::{Now, UnixTime};
use mysa_tokio::VerdictKind;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::account::Stop;
use super::ask::{self, Ask, Set};
use super::events::Publisher;
use super::fleet::{Bounds, Fleet};
use super::nats::{Nats, token};
use super::registry::Registry;
use super::remote::{EXPIRES, NOT_TAKEN, UNKNOWN};
use super::store::{Seen, Store};
use crate::commands::bridge::log::Severity;
use crate::output::record::{self, Record};
use crate::output::timefmt;
use crate::support::exit::{Exit, Failure, Result};

/// Access of a process to the other workers, and the state of its own.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) nats: Nats,
    pub(super) status: Arc<Status>,
    pub(super) events: Arc<Publisher>,
    /// Accounts at NATS. `None` if they are in a file.
    pub(super) registry: Option<Registry>,
}

impl Access {
    pub(super) fn new(nats: Nats) -> Self {
        Self { events: Publisher::new(nats.clone()), nats, status: Arc::new(Status::new()), registry: None }
    }
}

/// State of a worker, for metrics.
#[derive(Debug)]
pub(super) struct Status(Mutex<Snapshot>);

/// State of a worker at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    pub(super) counts: Counts,
    /// Time left of the lease; `None` without one.
    pub(super) lease: Option<Duration>,
    pub(super) is_connected: bool,
    /// When the loop last turned.
    pub(super) turned: Instant,
    /// Since when there is no lease.
    pub(super) without_lease: Option<Instant>,
}

impl Status {
    fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Snapshot {
            counts: Counts::default(),
            lease: None,
            is_connected: true,
            turned: now,
            without_lease: Some(now),
        }))
    }

    pub(super) fn read(&self) -> Snapshot {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, core: &Worker, now: Now, is_connected: bool) {
        let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        status.counts = core.counts();
        status.lease = core.lease_until().map(|until| until.saturating_sub(now.mono));
        status.is_connected = is_connected;
        status.turned = Instant::now();
        let since = status.without_lease.unwrap_or(status.turned);
        status.without_lease = status.lease.is_none().then_some(since);
    }
}

/// Account that workers can serve.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    /// Name in the file.
    name: String,
    pub(super) settings: FleetAccount,
    /// Folder of its session file.
    pub(super) sessions: PathBuf,
}

/// Accounts of the file, by their names at NATS.
pub(super) type Offer = Arc<BTreeMap<AccountId, Offered>>;

/// Returns the accounts of a file.
///
/// # Errors
/// A name is too long for NATS.
pub(super) fn offer(file: FleetAccounts, default_sessions: &std::path::Path) -> Result<Offer> {
    let sessions = file.sessions.map_or_else(|| default_sessions.to_owned(), PathBuf::from);
    let mut offer = BTreeMap::new();
    for settings in file.accounts {
        let id = token(&settings.name).and_then(|token| AccountId::new(&token).ok()).ok_or_else(|| {
            Failure::usage(format!(
                "the name '{}' is too long for a fleet on NATS: expected at most 64 bytes, where each of . @ + counts \
                 for three; give the account a shorter name",
                settings.name
            ))
        })?;
        let name = settings.name.clone();
        offer.insert(id, Offered { name, settings, sessions: sessions.clone() });
    }
    Ok(Arc::new(offer))
}

/// Clock that runs while the host sleeps, so that a lease that ends in a suspend is over at the wake-up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Duration);

impl Clock {
    fn start() -> Self {
        Self(boottime())
    }

    pub(super) fn now(self) -> Now {
        Now { mono: boottime().saturating_sub(self.0), wall: timefmt::now() }
    }
}

fn boottime() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let id = rustix::time::ClockId::Boottime;
    // Runs on in a suspend on macOS. On other systems a suspend counts by the renewal that is refused after it.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let id = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(id);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Returns the settings of the core.
///
/// # Errors
/// A number is out of range.
pub(super) fn settings(args: &crate::args::fleet::FleetWorker) -> Result<Settings> {
    let mut settings = Settings::default();
    settings.lease = timefmt::seconds(args.lease, "--lease")?;
    settings.settle = timefmt::seconds(args.settle, "--settle")?;
    // The proportions of the default.
    settings.margin = (settings.lease / 6).max(Duration::from_secs(1));
    settings.answer_limit = settings.lease / 10;
    settings.grace = settings.lease / 10;
    settings.capacity = args.capacity;
    settings.starts_per_second = args.serve.start_rate.clamp(0.01, 1_000.0);
    if !(Duration::from_secs(6)..=Duration::from_secs(600)).contains(&settings.lease) {
        return Err(Failure::usage("invalid --lease: expected 6 to 600 seconds"));
    }
    Ok(settings)
}

/// Returns the name of the worker: the requested one, or that of this machine.
///
/// # Errors
/// The name is invalid.
pub(super) fn name(requested: Option<&str>) -> Result<WorkerId> {
    if let Some(name) = requested {
        return WorkerId::new(name).map_err(|error| Failure::usage(format!("invalid --worker: {error}")));
    }
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = name.split('.').next().unwrap_or_default().chars().filter(is_plain).take(64).collect();
    WorkerId::new(&name)
        .map_err(|_| Failure::usage("this machine has no name; name the worker with --worker"))
}

/// Parts of a worker.
pub(super) struct Parts {
    pub(super) fleet: Fleet,
    pub(super) access: Access,
    pub(super) store: Store,
    pub(super) name: WorkerId,
    pub(super) settings: Settings,
    /// Accounts of the file, as it was read last.
    pub(super) offer: watch::Receiver<Offer>,
    /// Becomes `true` to hand over all accounts.
    pub(super) drain: watch::Receiver<bool>,
}

type Carried = Pin<Box<dyn Future<Output = (OperationId, Answer)> + Send>>;

/// Report of a task to the loop.
enum Done {
    /// The client of an account is closed.
    Stopped(AccountId, Revision),
    /// A command has a verdict.
    Decided(AccountId, CommandId, Decision),
}

/// Caller of a request.
struct Caller {
    inbox: Subject,
    request: String,
    account: String,
}

/// Driver of the core.
struct Driver {
    core: Worker,
    fleet: Fleet,
    store: Store,
    access: Access,
    clock: Clock,
    offer: Offer,
    /// Number of changes of the accounts, in place of the revisions of a bucket.
    revision: u64,
    operations: FuturesUnordered<Carried>,
    /// Subscriptions to the requests of the accounts that run here. A caller of an account that runs nowhere is told so at once.
    subscriptions: HashMap<AccountId, JoinHandle<()>>,
    messages: mpsc::Sender<Message>,
    callers: HashMap<ReplyTo, Caller>,
    last_request: u64,
    done: mpsc::Sender<Done>,
    log: mpsc::Sender<(Severity, String)>,
    /// Until when a silent store is not reported again.
    silent_until: Duration,
}

/// Entries of watches that wait for the core.
const WATCHED: usize = 1_024;
/// Requests and reports that wait for the core.
const MESSAGES: usize = 64;
/// Lines that wait for the log. More are lost, so that a log that nobody reads does not hold up the lease.
const LINES: usize = 4_096;
/// Longest sleep. Timers of tokio stand still in a suspend.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Time for the log to take the last lines.
const LOG_LIMIT: Duration = Duration::from_secs(5);
/// Time in which a silent store is reported once.
const SILENCE: Duration = Duration::from_secs(30);

/// Runs a worker until it has handed over all accounts.
pub(super) async fn run(parts: Parts) -> Result<()> {
    let Parts { fleet, access, store, name, settings, mut offer, mut drain } = parts;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::new(Exit::Failed, format!("no random numbers: {error}")))?;
    let clock = Clock::start();
    let core = Worker::new(name, settings, seed, clock.now())
        .map_err(|error| Failure::from((Exit::Usage, error)))?;
    let (seen, mut watched) = mpsc::channel(WATCHED);
    let _watches = store.watch(&seen);
    let (done, mut ended) = mpsc::channel(MESSAGES);
    let (messages, mut requests) = mpsc::channel(MESSAGES);
    let (log, written) = writer(&fleet);
    let mut driver = Driver {
        core,
        log,
        fleet,
        store,
        access,
        clock,
        offer: Offer::default(),
        revision: 0,
        operations: FuturesUnordered::new(),
        subscriptions: HashMap::new(),
        messages,
        callers: HashMap::new(),
        last_request: 0,
        done,
        silent_until: Duration::ZERO,
    };
    driver.take_accounts(offer.borrow_and_update().clone());
    if driver.access.registry.is_none() {
        driver.core.handle_synced(Bucket::Accounts, clock.now());
    }
    let mut is_draining = false;
    let mut was_connected = true;
    loop {
        driver.carry_out();
        let is_connected = driver.access.nats.is_connected();
        if was_connected != is_connected {
            let state = if is_connected { "connected again" } else { "the connection is lost; trying again" };
            driver.say(Severity::Warning, format!("NATS: {state}{}", driver.access.nats.why()));
            was_connected = is_connected;
        }
        driver.access.status.write(&driver.core, clock.now(), is_connected);
        if driver.core.is_ended() {
            // The last lines come before those of the end of the process.
            drop(driver);
            let _ = timeout(LOG_LIMIT, written).await;
            return Ok(());
        }
        let due = driver.core.poll_timeout().map(|at| at.saturating_sub(clock.now().mono));
        tokio::select! {
            Some(seen) = watched.recv() => match seen {
                Seen::Entry(bucket, entry) => {
                    if bucket == Bucket::Accounts {
                        driver.take_entry(&entry);
                    }
                    driver.core.handle_entry(bucket, &entry, clock.now());
                }
                Seen::Synced(bucket) => driver.core.handle_synced(bucket, clock.now()),
            },
            Some((id, answer)) = driver.operations.next() => driver.core.handle_answer(id, &answer, clock.now()),
            Some(message) = requests.recv() => driver.request(message),
            Some(done) = ended.recv() => driver.take_done(done),
            Ok(()) = offer.changed(), if !is_draining => {
                let changed = offer.borrow_and_update().clone();
                driver.take_accounts(changed);
            }
            () = begun(&mut drain), if !is_draining => {
                is_draining = true;
                driver.core.drain(clock.now());
            }
            () = sleep(due.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)) => driver.core.handle_timeout(clock.now()),
        }
    }
}

/// Waits until the drain begins.
async fn begun(drain: &mut watch::Receiver<bool>) {
    if drain.wait_for(|drain| *drain).await.is_err() {
        std::future::pending().await
    }
}

/// Starts a thread that writes the log. It ends with the sender.
fn writer(fleet: &Fleet) -> (mpsc::Sender<(Severity, String)>, JoinHandle<()>) {
    let (lines, mut waiting) = mpsc::channel::<(Severity, String)>(LINES);
    let fleet = fleet.weak();
    let written = tokio::task::spawn_blocking(move || {
        while let Some((severity, line)) = waiting.blocking_recv() {
            let Some(fleet) = fleet.upgrade() else { return };
            let _ = fleet.shared().log.say(severity, "worker", &format!("fleet: {line}"));
        }
    });
    (lines, written)
}

impl Driver {
    /// Passes the changes of the accounts file to the core.
    fn take_accounts(&mut self, offer: Offer) {
        let before = std::mem::replace(&mut self.offer, offer);
        let mut changes = Vec::new();
        for (id, offered) in self.offer.iter() {
            match before.get(id) {
                None => changes.push((id.clone(), Some(String::new()))),
                Some(before)
                    if (&before.settings, &before.sessions) != (&offered.settings, &offered.sessions) =>
                {
                    self.fleet.restart_owned(&offered.name, offered);
                }
                Some(_) => {}
            }
        }
        changes.extend(before.keys().filter(|id| !self.offer.contains_key(*id)).map(|id| (id.clone(), None)));
        for (id, value) in changes {
            self.revision += 1;
            let entry = Entry { key: id.to_string(), revision: Revision::new(self.revision), value };
            self.core.handle_entry(Bucket::Accounts, &entry, self.clock.now());
        }
    }

    /// Takes an account at NATS that was added, replaced or removed.
    fn take_entry(&mut self, entry: &Entry) {
        let (Some(registry), Ok(account)) = (&self.access.registry, AccountId::new(&entry.key)) else {
            return;
        };
        let name = super::nats::text(account.as_str());
        let Some(value) = &entry.value else {
            // The core stops it.
            Arc::make_mut(&mut self.offer).remove(&account);
            return;
        };
        let opened = registry.unseal(&account, value);
        let email = match &opened {
            Ok(session) => session.account.clone(),
            // Its start says why it cannot be opened, and is repeated until it can.
            Err(_) => name.clone(),
        };
        let settings = FleetAccount::stored(&name, &email);
        let offered = Offered { name, settings, sessions: PathBuf::new() };
        let is_new = opened.is_ok_and(|session| self.fleet.is_replaced(&offered.name, &session));
        if is_new {
            self.fleet.restart_owned(&offered.name, &offered);
        }
        Arc::make_mut(&mut self.offer).insert(account, offered);
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Store(operation) => {
                    let store = self.store.clone();
                    let id = operation.id;
                    self.operations.push(Box::pin(async move { (id, store.carry_out(operation).await) }));
                }
                Output::Start { account, owner } => {
                    // An account that left the file in this moment is stopped next.
                    if let Some(offered) = self.offer.get(&account) {
                        self.fleet.start_owned(&offered.name, offered, owner.number());
                        self.subscribe(account);
                    }
                }
                Output::Stop { account, owner, reason } => self.stop(account, owner, reason),
                Output::Command { account, owner, id, device, change, deadline } => {
                    let name = self.name_of(&account);
                    let set = Set::of_text(id.as_str(), &name, device.as_str(), &change);
                    let clock = self.clock;
                    let bounds =
                        Bounds { owner: owner.number(), deadline, now: Box::new(move || clock.now().mono) };
                    let (fleet, done) = (self.fleet.clone(), self.done.clone());
                    tokio::spawn(async move {
                        let decision = match set {
                            Some(set) => fleet.carry_out(&set, &bounds).await,
                            None => Decision::new(VerdictKind::Expired, "the record is unreadable"),
                        };
                        let _ = done.send(Done::Decided(account, id, decision)).await;
                    });
                }
                Output::Reply { to, reply } => self.reply(to, reply),
                Output::Event(event) => self.event(&event),
            }
        }
    }

    fn stop(&mut self, account: AccountId, owner: Revision, reason: StopReason) {
        if let Some(subscription) = self.subscriptions.remove(&account) {
            subscription.abort();
        }
        let name = self.name_of(&account);
        let how = if reason == StopReason::LeaseOver { Stop::AtOnce } else { Stop::InOrder };
        if how == Stop::AtOnce {
            self.access.events.forget(owner.number());
        }
        let (fleet, done) = (self.fleet.clone(), self.done.clone());
        self.say(Severity::Info, format!("{name}: stopped: {reason}"));
        tokio::spawn(async move {
            fleet.stop_owned(&name, owner.number(), how).await;
            let _ = done.send(Done::Stopped(account, owner)).await;
        });
    }

    /// Name of an account in the file. One that left it has the name at NATS.
    fn name_of(&self, account: &AccountId) -> String {
        match self.offer.get(account) {
            Some(offered) => offered.name.clone(),
            None => super::nats::text(account.as_str()),
        }
    }

    fn subscribe(&mut self, account: AccountId) {
        let (nats, messages) = (self.access.nats.clone(), self.messages.clone());
        let subject = nats.set_subject(account.as_str());
        let task = tokio::spawn(async move {
            // The client keeps a subscription over the loss of its connection.
            let Ok(mut requests) = nats.client.subscribe(subject).await else { return };
            while let Some(message) = requests.next().await {
                if messages.send(message).await.is_err() {
                    return;
                }
            }
        });
        if let Some(before) = self.subscriptions.insert(account, task) {
            before.abort();
        }
    }

    /// Takes a request. Each gets one reply.
    fn request(&mut self, message: Message) {
        let Some(inbox) = message.reply.clone() else { return };
        let (request, account, parsed) = match Ask::parse(&message.payload) {
            Ok(Ask::Set(set)) => (set.request.clone(), set.account.clone(), self.parsed(&set, &message)),
            Ok(Ask::Status(_)) => {
                let failure = Failure::usage("invalid request: expected op set");
                return self.answer(inbox, &ask::failed(None, &failure));
            }
            Err(failure) => return self.answer(inbox, &ask::failed(None, &failure)),
        };
        match parsed {
            Ok(parsed) => {
                self.last_request += 1;
                let to = ReplyTo(self.last_request);
                let request = request.unwrap_or_default();
                self.callers.insert(to, Caller { inbox, request, account });
                self.core.handle_request(to, &parsed, self.clock.now());
            }
            Err(failure) => {
                let mut record = ask::failed(request.as_deref(), &failure);
                // The account is being signed in; the same request can be carried out later.
                if failure.exit == Exit::Unreachable {
                    record.put("retry", NOT_TAKEN);
                }
                self.answer(inbox, &record);
            }
        }
    }

    fn parsed(&self, set: &Set, message: &Message) -> Result<Request> {
        let missing = || Failure::usage("invalid request: the member request is missing");
        let id = token(set.request.as_deref().ok_or_else(missing)?).and_then(|id| CommandId::new(&id).ok());
        let id = id.ok_or_else(|| {
            Failure::usage(
                "invalid member request: expected at most 64 bytes, where each other than letters, digits, - and _ \
                 counts for three",
            )
        })?;
        let unknown = || Failure::usage(format!("no account has the name '{}'", set.account));
        let account =
            token(&set.account).and_then(|token| AccountId::new(&token).ok()).ok_or_else(unknown)?;
        // Before it is recorded, so that an invalid change has no record.
        set.parsed(self.fleet.shared().config.unit)?;
        let owner = self.core.owner_of(&account).map(Revision::number);
        let (_, device, time_limit) = self.fleet.find(set, owner)?;
        let now = self.clock.now();
        let expires = message.headers.as_ref().and_then(|headers| headers.get(EXPIRES));
        let expires = expires.and_then(|millis| millis.as_str().parse().ok()).map(UnixTime::from_millis);
        let limit = i64::try_from(time_limit.as_millis()).unwrap_or(i64::MAX);
        let expires_at = expires.unwrap_or_else(|| now.wall.plus_millis(limit));
        Ok(Request { id, account, device, change: set.text(), time_limit, expires_at })
    }

    fn take_done(&mut self, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Stopped(account, owner) => self.core.handle_stopped(&account, owner, now),
            Done::Decided(account, id, decision) => self.core.handle_verdict(&account, &id, &decision, now),
        }
    }

    fn reply(&mut self, to: ReplyTo, reply: Reply) {
        let Some(Caller { inbox, request, account }) = self.callers.remove(&to) else { return };
        let mut record = record::document();
        record.put("request", request).put("account", account);
        match reply {
            Reply::Decided { decision, owner } => {
                record.put("owner", i64::try_from(owner.number()).unwrap_or(i64::MAX));
                let name = decision.outcome.name();
                let message = match decision.reason.starts_with(name) {
                    true => decision.reason,
                    false => format!("{name}: {}", decision.reason),
                };
                let code = match decision.code {
                    0 => exit(decision.outcome).map_or(0, |exit| exit as u8),
                    code => code,
                };
                record.put("verdict", name).put("message", message).put("exit_code", code);
            }
            Reply::Refused(why) => {
                record.put("verdict", "refused").put("message", format!("refused: {why}"));
                record.put("exit_code", Exit::Refused as u8);
            }
            Reply::Retry(why) => {
                record.put("verdict", "failed").put("message", why.to_string());
                record.put("exit_code", Exit::Unreachable as u8);
                record.put("retry", if why == Retry::StoreSilent { UNKNOWN } else { NOT_TAKEN });
            }
        }
        self.answer(inbox, &record);
    }

    fn answer(&self, inbox: Subject, record: &Record) {
        let (client, text) = (self.access.nats.client.clone(), record.to_json());
        // A caller that gets no answer repeats its request.
        tokio::spawn(async move { client.publish(inbox, text.into()).await });
    }

    fn event(&mut self, event: &Event) {
        let severity = match event {
            Event::SessionOver { .. } => {
                // A client that is being closed in order must not outlive the lease either.
                self.fleet.abort_owned();
                Severity::Warning
            }
            Event::StoreSilent => {
                let now = self.clock.now().mono;
                if now < self.silent_until {
                    return;
                }
                self.silent_until = now.saturating_add(SILENCE);
                return self.say(Severity::Warning, format!("{event}{}", self.access.nats.why()));
            }
            Event::Unreadable { .. } => Severity::Warning,
            // By the name in the file.
            Event::Claimed { account, owner } => {
                let text = format!("{}: claimed at revision {owner}", self.name_of(account));
                return self.say(Severity::Info, text);
            }
            Event::Released { account, owner } => {
                let text = format!("{}: released; it was claimed at revision {owner}", self.name_of(account));
                return self.say(Severity::Info, text);
            }
            _ => Severity::Info,
        };
        self.say(severity, event.to_string());
    }

    fn say(&self, severity: Severity, text: String) {
        let _ = self.log.try_send((severity, text));
    }
}

const fn exit(outcome: VerdictKind) -> Option<Exit> {
    match outcome {
        VerdictKind::Confirmed => None,
        VerdictKind::Unconfirmed | VerdictKind::Superseded => Some(Exit::Unconfirmed),
        VerdictKind::Refused => Some(Exit::Refused),
        VerdictKind::Expired => Some(Exit::TimedOut),
    }
}
