//! The accounts of a fleet, what they share, and the commands to them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use mysa_config::FleetAccounts;
use mysa_tokio::{DeviceId, Environment, Settings, Tls, Verdict, VerdictKind};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::account::{Account, Starts, Stop};
use super::ask::{self, Ask, Set, Status};
use super::stream::{Stream, event};
use crate::commands::bridge::log::Log;
use crate::commands::set::plan_one;
use crate::commands::set::report;
use crate::output::record::{self, Record, Value};
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view;
use crate::support::cloud::Cloud;
use crate::support::config::Config;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::reachability::describe_reason;
use crate::support::resolve;

/// Everything that the accounts share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) environment: Arc<Environment>,
    pub(super) settings: Settings,
    pub(super) tls: Tls,
    pub(super) connect_to: Option<SocketAddr>,
    pub(super) config: Config,
    pub(super) starts: Starts,
    pub(super) stream: Stream,
    pub(super) log: Log,
    pub(super) terminal: Terminal,
    /// Access to the other workers.
    #[cfg(feature = "nats")]
    pub(super) worker: Option<super::worker::Access>,
}

impl Shared {
    /// `true` if the sessions of the accounts are at NATS.
    pub(super) fn is_sealed(&self) -> bool {
        #[cfg(feature = "nats")]
        let is_sealed = self.worker.as_ref().is_some_and(|worker| worker.registry.is_some());
        #[cfg(not(feature = "nats"))]
        let is_sealed = false;
        is_sealed
    }

    /// Random time up to `most`. Without random numbers, which no system lacks, it is half of that.
    pub(super) fn jitter(&self, most: Duration) -> Duration {
        let mut bytes = [0; 4];
        match getrandom::fill(&mut bytes) {
            Ok(()) => most.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)),
            Err(_) => most / 2,
        }
    }

    /// Settings of a session. Accounts that started together renew their tokens and replace their connections at times of
    /// their own.
    pub(super) fn session_settings(&self) -> Settings {
        let mut settings = self.settings.clone();
        settings.renewal_margin += self.jitter(RENEWAL_SPREAD);
        settings.connection_life = settings.connection_life.saturating_sub(self.jitter(CONNECTION_SPREAD));
        settings
    }
}

/// Time over which renewals of tokens are spread. Tokens of the cloud live for an hour.
const RENEWAL_SPREAD: Duration = Duration::from_secs(900);
/// Time over which the replacements of connections are spread, of 23 hours.
const CONNECTION_SPREAD: Duration = Duration::from_secs(4 * 3_600);

/// Outcomes of commands that are counted. `None` is a command that failed without a verdict.
const OUTCOMES: [Option<VerdictKind>; 6] = [
    Some(VerdictKind::Confirmed),
    Some(VerdictKind::Unconfirmed),
    Some(VerdictKind::Refused),
    Some(VerdictKind::Superseded),
    Some(VerdictKind::Expired),
    None,
];

/// The accounts and their tasks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Fleet(Arc<Inner>);

/// A fleet that may have ended.
#[derive(Clone)]
pub(super) struct WeakFleet(Weak<Inner>);

impl WeakFleet {
    pub(super) fn upgrade(&self) -> Option<Fleet> {
        self.0.upgrade().map(Fleet)
    }
}

struct Inner {
    shared: Arc<Shared>,
    started: Instant,
    /// Time of the latest turn of the main loop since the start, in milliseconds.
    turned: AtomicU64,
    members: Mutex<Members>,
    outcomes: [AtomicU64; OUTCOMES.len()],
    /// Room for commands without a verdict.
    room: Semaphore,
    known: Mutex<Known>,
}

#[derive(Default)]
pub(super) struct Members {
    pub(super) accounts: BTreeMap<String, Arc<Account>>,
    /// Tasks by e-mail address, also of accounts that are leaving.
    pub(super) tasks: HashMap<String, JoinHandle<()>>,
    /// Accounts that are being closed, and that may have to end at once.
    #[cfg(feature = "nats")]
    pub(super) leaving: Vec<Weak<Account>>,
    is_closed: bool,
}

/// Changes that a reload made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Reloaded {
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) changed: usize,
}

/// Maximum number of commands without a verdict.
const MAX_OPEN: usize = 1_024;
/// Maximum number of requests with an id whose verdicts are kept.
const MAX_KNOWN: usize = 4_096;
/// Time limit of a command whose caller gives none.
const DEFAULT_WAIT: Duration = Duration::from_secs(20);
/// Longest time limit of a command.
const MAX_WAIT: f64 = 3_600.0;

impl Fleet {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(Inner {
            shared: Arc::new(shared),
            started: Instant::now(),
            turned: AtomicU64::new(0),
            members: Mutex::default(),
            outcomes: Default::default(),
            room: Semaphore::new(MAX_OPEN),
            known: Mutex::default(),
        }))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(super) fn weak(&self) -> WeakFleet {
        WeakFleet(Arc::downgrade(&self.0))
    }

    pub(super) fn members(&self) -> MutexGuard<'_, Members> {
        // Every change under the lock is complete by itself.
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn accounts(&self) -> Vec<Arc<Account>> {
        self.members().accounts.values().cloned().collect()
    }

    /// Records a turn of the main loop.
    pub(super) fn turn(&self) {
        let now = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.turned.store(now, Ordering::Relaxed);
    }

    /// Time since the latest turn of the main loop.
    pub(super) fn since_turn(&self) -> Duration {
        let turned = Duration::from_millis(self.0.turned.load(Ordering::Relaxed));
        self.0.started.elapsed().saturating_sub(turned)
    }

    pub(super) fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Numbers of verdicts, by name.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = OUTCOMES.into_iter().map(|outcome| outcome.map_or("failed", VerdictKind::name));
        names.zip(self.0.outcomes.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Starts the accounts of a file that do not run yet, stops those that it has no more, and restarts those with other
    /// settings. An account that stops is closed in order first: two clients never serve the same one.
    pub(super) fn apply(&self, file: FleetAccounts, default_sessions: &std::path::Path) -> Reloaded {
        let sessions = file.sessions.map_or_else(|| default_sessions.to_owned(), PathBuf::from);
        let mut reloaded = Reloaded::default();
        let mut members = self.members();
        if members.is_closed {
            return reloaded;
        }
        let mut before = std::mem::take(&mut members.accounts);
        for settings in file.accounts {
            let name = settings.name.clone();
            let present = before.remove(&name);
            let account = match present {
                Some(account) if account.settings == settings && account.sessions == sessions => account,
                present => {
                    match &present {
                        Some(account) => {
                            account.stop(Stop::InOrder);
                            reloaded.changed += 1;
                        }
                        None => reloaded.added += 1,
                    }
                    Arc::new(Account::new(settings, sessions.clone(), None))
                }
            };
            members.accounts.insert(name, account);
        }
        for account in before.into_values() {
            account.stop(Stop::InOrder);
            reloaded.removed += 1;
        }
        self.run_new(&mut members);
        reloaded
    }

    /// Starts the tasks of accounts that have none. Each begins after the end of the task before for its address.
    pub(super) fn run_new(&self, members: &mut Members) {
        let Members { accounts, tasks, .. } = members;
        tasks.retain(|_, task| !task.is_finished());
        for account in accounts.values().filter(|account| account.claim()) {
            let (account, shared) = (Arc::clone(account), Arc::clone(&self.0.shared));
            let key = account.settings.email.to_lowercase();
            let predecessor = tasks.remove(&key);
            let task = tokio::spawn(async move {
                if let Some(predecessor) = predecessor {
                    let _ = predecessor.await;
                }
                account.run(shared).await;
            });
            tasks.insert(key, task);
        }
    }

    /// Stops all accounts and waits until their clients are closed.
    pub(super) async fn close(&self) {
        let tasks = {
            let mut members = self.members();
            members.is_closed = true;
            members.accounts.values().for_each(|account| account.stop(Stop::InOrder));
            std::mem::take(&mut members.tasks)
        };
        for (_, task) in tasks {
            let _ = task.await;
        }
    }

    /// Carries out a request and returns its answer. Never fails: each request has exactly one answer.
    pub(super) async fn answer(&self, ask: Ask) -> Record {
        match ask {
            Ask::Status(status) => self.status(&status),
            #[cfg(feature = "nats")]
            Ask::Set(set) if self.shared().worker.is_some() => self.forward(set).await,
            Ask::Set(set) => match set.request.clone() {
                None => self.set(set).await,
                Some(id) => self.set_once(id, set).await,
            },
        }
    }

    /// Carries out a request of an id that no earlier request had. A repeat gets the first verdict.
    async fn set_once(&self, id: String, set: Set) -> Record {
        let (sender, mut waiting) = watch::channel(None);
        {
            let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(first) = known.requests.get(&id) {
                if first.set != set {
                    let failure = Failure::new(
                        Exit::Refused,
                        format!(
                            "refused: another request had the id '{id}'; give each request an id of its own"
                        ),
                    );
                    return ask::failed(Some(&id), &failure);
                }
                waiting = first.answer.clone();
            } else {
                if !known.add(&id, First { set: set.clone(), answer: waiting.clone() }) {
                    return ask::failed(Some(&id), &full());
                }
                let fleet = self.clone();
                // In a task, so that it goes on if its caller does not wait.
                tokio::spawn(async move { sender.send_replace(Some(fleet.set(set).await)) });
            }
        }
        let answered = waiting.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        answered.unwrap_or_else(|| {
            ask::failed(Some(&id), &Failure::new(Exit::Failed, "the fleet has ended before the verdict"))
        })
    }

    /// Carries out a command and reports its verdict as an event too.
    async fn set(&self, set: Set) -> Record {
        let decided = match self.0.room.try_acquire() {
            Ok(_permit) => self.decide(&set, None).await,
            Err(_) => Decided::failed(ask::failed(None, &full())),
        };
        self.report(&set, decided, None)
    }

    /// Counts a verdict, reports it as an event, and returns the answer to its request.
    pub(super) fn report(&self, set: &Set, decided: Decided, owner: Option<u64>) -> Record {
        let mut answer = record::document();
        answer.put_some("request", set.request.as_deref()).put("account", set.account.as_str());
        answer.put_some("owner", owner.map(|owner| i64::try_from(owner).unwrap_or(i64::MAX)));
        for (name, value) in decided.record.into_fields().filter(|(name, _)| name != "schema") {
            answer.put(&name, value);
        }
        let counted = OUTCOMES.iter().position(|outcome| *outcome == decided.outcome);
        if let Some(count) = counted.and_then(|at| self.0.outcomes.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut record = event("verdict", &set.account);
        for (name, value) in
            answer.clone().into_fields().filter(|(name, _)| !["schema", "account"].contains(&name.as_str()))
        {
            record.put(&name, value);
        }
        let stream = self.shared().stream.clone();
        // The caller does not wait for the reader of the events.
        tokio::spawn(async move { stream.send(&record).await });
        answer
    }

    /// Carries out a command, and returns its verdict.
    pub(super) async fn decide(&self, set: &Set, bounds: Option<&Bounds>) -> Decided {
        let request = match set.parsed(self.shared().config.unit) {
            Ok(request) => request,
            Err(failure) => return Decided::failed(ask::failed(None, &failure)),
        };
        let found = self.find(set, bounds.map(|bounds| bounds.owner));
        let (cloud, id, mut wait) = match found {
            Ok(found) => found,
            Err(failure) => return Decided::failed(report::not_planned(None, &request, &failure)),
        };
        let mut not_after = None;
        if let Some(bounds) = bounds {
            // The clock of the client is read first: a process that is stopped between the two has less time, not more.
            let elapsed = cloud.client.elapsed();
            wait = bounds.left();
            not_after = Some(elapsed.saturating_add(wait));
        }
        let deadline = Instant::now() + wait;
        let plan = match plan_one(&self.shared().terminal, &cloud, &request, &id, wait / 2).await {
            Ok(plan) => plan,
            Err(failure) => {
                let view = cloud.client.state(&id);
                return Decided::failed(report::not_planned(view.as_ref(), &request, &failure));
            }
        };
        let verdict = match &plan.preview {
            Err(refused) => Ok(Verdict::Refused(refused.clone())),
            Ok(_) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let mut command = cloud.client.command(&id, plan.command).deadline(left);
                if let Some(not_after) = not_after {
                    command = command.not_after(not_after);
                }
                command.await
            }
        };
        match verdict {
            Ok(verdict) => {
                let record = report::decided(&cloud.client, &plan, &verdict, false).record;
                Decided { record, outcome: Some(verdict.kind()), may_be_sent: true }
            }
            Err(error) => {
                let failure = Failure::from((Exit::Failed, error));
                let decided = Decided::failed(report::not_planned(Some(&plan.view), &request, &failure));
                // The client has ended, perhaps after a byte of the command was sent.
                Decided { may_be_sent: true, ..decided }
            }
        }
    }

    /// Finds the client and the thermostat of a request, and its time limit. The client must be that of this owner.
    pub(super) fn find(&self, set: &Set, owner: Option<u64>) -> Result<(Cloud, DeviceId, Duration)> {
        let wait = time_limit(set)?;
        let account = self.account(&set.account)?;
        if account.owner != owner {
            return Err(Failure::new(
                Exit::Unreachable,
                format!("the account {} has another owner now; nothing was sent", set.account),
            ));
        }
        let Some(client) = account.client() else {
            let why = account.why().unwrap_or_else(|| account.stage().name().to_owned());
            return Err(Failure::new(
                Exit::Unreachable,
                format!("the account {} does not run yet: {why}; nothing was sent", set.account),
            ));
        };
        let views = client.devices();
        // Before the list is there, no name would match, and the request would seem to be wrong.
        if views.is_empty() && !matches!(client.ready().now_or_never(), Some(Ok(()))) {
            return Err(Failure::new(
                Exit::Unreachable,
                format!(
                    "the thermostats of the account {} are not listed yet; nothing was sent",
                    set.account
                ),
            ));
        }
        let devices = views.iter().map(|view| (&view.id, view.name.as_deref().unwrap_or_default()));
        let id = resolve::find(&set.device, devices)?;
        Ok((Cloud::of(client, account.settings.email.clone()), id, wait))
    }

    fn account(&self, name: &str) -> Result<Arc<Account>> {
        self.members().accounts.get(name).cloned().ok_or_else(|| {
            Failure::usage(format!("no account has the name '{name}'; `mysa fleet status` lists the names"))
        })
    }

    fn status(&self, status: &Status) -> Record {
        let mut answer = record::document();
        answer.put_some("request", status.request.as_deref());
        if let Some(name) = &status.account {
            let account = match self.account(name) {
                Ok(account) => account,
                Err(failure) => return ask::failed(status.request.as_deref(), &failure),
            };
            for (name, value) in summary(&account).into_fields().filter(|(name, _)| name != "devices") {
                answer.put(&name, value);
            }
            let devices = account.client().map_or_else(Vec::new, |client| {
                let cloud = Cloud::of(client, account.settings.email.clone());
                let views = cloud.client.devices();
                let records = views.iter().map(|view| {
                    let rated = self.shared().config.rated_watts(&view.id);
                    Value::Record(view::record(view, cloud.age(view), rated))
                });
                records.collect()
            });
            answer.put("devices", devices);
        } else {
            let accounts = self.accounts();
            answer.put(
                "accounts",
                accounts.iter().map(|account| Value::Record(summary(account))).collect::<Vec<_>>(),
            );
        }
        answer.put("exit_code", 0_i64);
        answer
    }
}

/// Time limit of a request.
///
/// # Errors
/// It is out of range.
pub(super) fn time_limit(set: &Set) -> Result<Duration> {
    match set.wait_s {
        None => Ok(DEFAULT_WAIT),
        Some(seconds) if seconds <= MAX_WAIT => timefmt::seconds(seconds, "wait"),
        Some(_) => Err(Failure::usage(format!("invalid wait: expected at most {MAX_WAIT} s"))),
    }
}

fn full() -> Failure {
    Failure::new(Exit::Unreachable, format!("{MAX_OPEN} commands wait for their verdicts; try again later"))
}

/// One account in a status.
fn summary(account: &Account) -> Record {
    let mut record = Record::new();
    record.put("account", account.name()).put("state", account.stage().name());
    if let Some(client) = account.client() {
        let service = client.service();
        record.put("service", service.level.to_string()).put("reason", describe_reason(service.reason));
        record.put("devices", i64::try_from(client.devices().len()).unwrap_or(i64::MAX));
    }
    record.put_some("message", account.why());
    record
}

/// Outcome of a command.
pub(super) struct Decided {
    pub(super) record: Record,
    /// Kind of the verdict; `None` if the command failed without one.
    pub(super) outcome: Option<VerdictKind>,
    /// `false` if certainly nothing was sent, whatever the outcome.
    #[cfg_attr(
        not(any(feature = "nats", test)),
        expect(dead_code, reason = "only a worker records verdicts")
    )]
    pub(super) may_be_sent: bool,
}

/// Claim under which a command is carried out.
pub(super) struct Bounds {
    /// Token of the owner that recorded the command. The client of no other owner sends it.
    pub(super) owner: u64,
    /// Time after which nothing of it is sent, on the clock of the function.
    pub(super) deadline: Duration,
    /// Clock of the worker.
    pub(super) now: Box<dyn Fn() -> Duration + Send + Sync>,
}

impl Bounds {
    fn left(&self) -> Duration {
        self.deadline.saturating_sub((self.now)())
    }
}

impl Decided {
    fn failed(record: Record) -> Self {
        let is_refused =
            record.fields().any(|(name, value)| name == "verdict" && *value == Value::Text("refused".into()));
        Self { record, outcome: is_refused.then_some(VerdictKind::Refused), may_be_sent: false }
    }
}

/// Requests with an id, open ones and the latest ones that are decided.
#[derive(Default)]
struct Known {
    requests: HashMap<String, First>,
    /// Ids from the oldest to the newest.
    order: VecDeque<String>,
}

/// First request of an id.
struct First {
    set: Set,
    answer: watch::Receiver<Option<Record>>,
}

impl Known {
    /// Adds a request. The oldest decided one makes room; returns `false` if all are open.
    fn add(&mut self, id: &str, first: First) -> bool {
        if self.requests.len() >= MAX_KNOWN {
            let is_decided =
                |id: &String| self.requests.get(id).is_none_or(|first| first.answer.borrow().is_some());
            let Some(oldest) = self.order.iter().position(is_decided) else { return false };
            if let Some(oldest) = self.order.remove(oldest) {
                self.requests.remove(&oldest);
            }
        }
        self.order.push_back(id.to_owned());
        self.requests.insert(id.to_owned(), first);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fleet that serves nothing yet.
    fn fleet() -> Fleet {
        let terminal = Terminal::new(false, 0, false, false);
        Fleet::new(Shared {
            environment: Environment::mysa().into(),
            settings: Settings::default(),
            tls: Tls::new(&[]).unwrap(),
            connect_to: None,
            config: Config::default(),
            starts: Starts::new(1, Duration::from_secs(1)),
            stream: Stream::open().unwrap().0,
            log: Log::new(terminal, crate::commands::bridge::log::Format::Text),
            terminal,
            #[cfg(feature = "nats")]
            worker: None,
        })
    }

    /// Another worker may own the account already, and the record of the command is closed there.
    #[tokio::test]
    async fn a_command_of_an_earlier_owner_is_dropped() {
        let fleet = fleet();
        let file = FleetAccounts::parse("[[account]]\nname = \"a\"\nemail = \"a@b\"\n").unwrap();
        let settings = file.accounts.into_iter().next().unwrap();
        let account = Arc::new(Account::new(settings, PathBuf::new(), Some(7)));
        fleet.members().accounts.insert("a".into(), account);
        let set = Set { device: "a0b1c2d3e4f6".into(), change: [("temp".into(), 20.into())].into(), ..set() };
        let message = async |owner| {
            let bounds = Bounds { owner, deadline: Duration::from_secs(9), now: Box::new(|| Duration::ZERO) };
            let decided = fleet.decide(&set, Some(&bounds)).await;
            assert!(!decided.may_be_sent && decided.outcome.is_none());
            decided.record.to_json()
        };
        for owner in [6, 8] {
            assert!(message(owner).await.contains("has another owner now; nothing was sent"), "{owner}");
        }
        assert!(message(7).await.contains("does not run yet"));
    }

    /// A client that is still open when its account is given back would run beside that of the next owner.
    #[cfg(feature = "nats")]
    #[tokio::test]
    async fn an_account_is_stopped_once_its_client_is_closed() {
        let fleet = fleet();
        let file = FleetAccounts::parse("[[account]]\nname = \"a\"\nemail = \"A@b\"\n").unwrap();
        let settings = file.accounts.into_iter().next().unwrap();
        let account = Arc::new(Account::new(settings, PathBuf::new(), Some(7)));
        let (close, closed) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async { drop(closed.await) });
        {
            let mut members = fleet.members();
            members.tasks.insert("a@b".into(), task);
            members.accounts.insert("a".into(), account);
        }
        // That of another owner is not stopped.
        fleet.stop_owned("a", 6, Stop::InOrder).await;
        assert!(fleet.account("a").is_ok());
        let stop = fleet.stop_owned("a", 7, Stop::InOrder);
        let mut stop = std::pin::pin!(stop);
        for _ in 0..100 {
            tokio::select! {
                biased;
                () = &mut stop => panic!("its client is open"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert!(fleet.account("a").is_err(), "no request reaches an account that stops");
        drop(close);
        stop.await;
    }

    fn set() -> Set {
        Set {
            request: None,
            account: "a".into(),
            device: "b".into(),
            change: BTreeMap::new(),
            unit: None,
            wait_s: None,
        }
    }

    #[test]
    fn a_bounded_number_of_requests_is_remembered_and_an_open_one_is_never_forgotten() {
        let set = set();
        let mut known = Known::default();
        let (open, waiting) = watch::channel(None);
        assert!(known.add("open", First { set: set.clone(), answer: waiting }));
        for number in 0..2 * MAX_KNOWN {
            let (_, answer) = watch::channel(Some(Record::new()));
            assert!(known.add(&number.to_string(), First { set: set.clone(), answer }));
            assert!(known.requests.len() <= MAX_KNOWN && known.order.len() == known.requests.len());
        }
        assert!(known.requests.contains_key("open"));
        assert!(!known.requests.contains_key("0"));
        drop(open);
    }
}
