//! One account of a fleet and its client, in a task of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysa_config::FleetAccount;
#[cfg(feature = "nats")]
use mysa_fleet::AccountId;
#[cfg(feature = "nats")]
use mysa_tokio::StoredSession;
use mysa_tokio::{Changes, Client, DeviceId, Event, Level, TokenFile};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::accounts;
use super::fleet::Shared;
use super::stream::event;
#[cfg(feature = "nats")]
use super::{nats, registry::Registry};
use crate::commands::bridge::log::Severity;
use crate::output::record::Record;
use crate::output::view;
use crate::support::cloud::Cloud;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::reachability::describe_reason;

/// Stage of an account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It waits for its turn to sign in.
    Waiting,
    /// It signs in and lists its thermostats.
    Starting,
    /// Its client runs; the service level says how well.
    Running,
    /// It could not be started, and is tried again.
    Failed,
}

impl Stage {
    pub(super) const ALL: [Self; 4] = [Self::Waiting, Self::Starting, Self::Running, Self::Failed];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Failed => "failed",
        }
    }
}

/// End of an account's client.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Stop {
    /// Not yet.
    No,
    /// In order: open commands get their verdicts, and connections are closed.
    InOrder,
    /// At once, because another worker may own the account: connections are reset with what they have not sent.
    #[cfg(feature = "nats")]
    AtOnce,
}

/// An account that the fleet serves.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) settings: FleetAccount,
    /// Folder of its session file.
    pub(super) sessions: PathBuf,
    /// Token of the worker that owns the account. `None` if this process is the fleet.
    pub(super) owner: Option<u64>,
    state: Mutex<State>,
    stop: watch::Sender<Stop>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// Reason of a failure.
    why: Option<String>,
    client: Option<Client>,
    /// `true` once it has a task.
    has_task: bool,
    /// Session that is known to be kept at NATS.
    #[cfg(feature = "nats")]
    kept: Option<StoredSession>,
    /// Why the session is not kept.
    #[cfg(feature = "nats")]
    not_kept: Option<String>,
}

impl Account {
    pub(super) fn new(settings: FleetAccount, sessions: PathBuf, owner: Option<u64>) -> Self {
        let state = Mutex::new(State {
            stage: Stage::Waiting,
            why: None,
            client: None,
            has_task: false,
            #[cfg(feature = "nats")]
            kept: None,
            #[cfg(feature = "nats")]
            not_kept: None,
        });
        Self { settings, sessions, owner, state, stop: watch::Sender::new(Stop::No) }
    }

    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(super) fn stage(&self) -> Stage {
        self.lock().stage
    }

    pub(super) fn why(&self) -> Option<String> {
        self.lock().why.clone()
    }

    /// Its client, once it is started.
    pub(super) fn client(&self) -> Option<Client> {
        self.lock().client.clone()
    }

    /// Returns `true` for the first call: the account needs a task then.
    pub(super) fn claim(&self) -> bool {
        !std::mem::replace(&mut self.lock().has_task, true)
    }

    /// Ends its task, which closes the client. An end at once overtakes one in order.
    pub(super) fn stop(&self, how: Stop) {
        self.stop.send_modify(|stop| *stop = how.max(*stop));
    }

    /// Starts an event of the account.
    fn event(&self, name: &str) -> Record {
        let mut record = event(name, self.name());
        record.put_some("owner", self.owner.map(|owner| i64::try_from(owner).unwrap_or(i64::MAX)));
        record
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the account until it is stopped, then closes its client: open commands get their verdicts, and no byte of a
    /// command leaves after.
    pub(super) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let mut stopped = self.stop.subscribe();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop != Stop::No) => {}
            () = self.serve(&shared) => {}
        }
        let client = self.lock().client.take();
        if let Some(client) = client {
            close(&client, &mut stopped).await;
            #[cfg(feature = "nats")]
            if *stopped.borrow() == Stop::InOrder {
                self.keep(&shared, &client).await;
            }
            if let Some(failure) = client.store_failure() {
                self.warn(&shared, &format!("the session cannot be stored: {failure}"));
            }
        }
        let mut record = self.event("account");
        record.put("state", "stopped");
        // A reader that has stopped reading does not hold up the end.
        shared.stream.offer(&record);
    }

    async fn serve(&self, shared: &Shared) {
        loop {
            if let Err(failure) = self.serve_once(shared).await {
                let text = failure.to_string();
                let is_new = self.lock().why.as_ref() != Some(&text);
                if is_new {
                    self.warn(shared, &text);
                }
                self.enter(shared, Stage::Failed, Some(text)).await;
            }
            sleep(RETRY + shared.jitter(RETRY)).await;
        }
    }

    /// Starts the client and reports its events until it ends.
    async fn serve_once(&self, shared: &Shared) -> Result<()> {
        let file = TokenFile::new(&self.sessions, &self.settings.email);
        let is_sealed = shared.is_sealed();
        if !is_sealed && self.settings.credential.is_none() && !file.path().exists() {
            // Without its turn, which another account can use.
            accounts::start(&self.settings, &file, "").await?;
        }
        if self.stage() != Stage::Failed {
            self.enter(shared, Stage::Waiting, None).await;
        }
        let mut turn = Some(shared.starts.turn(shared).await);
        let mut builder = Client::builder(Arc::clone(&shared.environment))
            .settings(shared.session_settings())
            .tls(&shared.tls);
        #[cfg(feature = "nats")]
        if let Some((registry, account)) = self.registry(shared) {
            let kept = registry.load(&account).await?;
            builder = builder.stored(kept.session, None);
        }
        if !is_sealed {
            let start = accounts::start(&self.settings, &file, &shared.environment.pool.client_id).await?;
            builder = builder.token_file(file).stored(start.stored, start.password);
        }
        self.enter(shared, Stage::Starting, None).await;
        if let Some(address) = shared.connect_to {
            builder = builder.connect_to(address);
        }
        let client = builder.start().map_err(|error| Failure::from((Exit::Failed, error)))?;
        // Before the client is known to others, so that no change is missed.
        let mut events = client.events();
        let cloud = Cloud::of(client.clone(), self.settings.email.clone());
        self.lock().client = Some(client.clone());
        let ready = async {
            let _ = timeout(START_LIMIT, client.ready()).await;
        };
        let mut ready = std::pin::pin!(ready);
        let mut keep = interval(KEEP_INTERVAL);
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = keep.tick(), if is_sealed => {
                    #[cfg(feature = "nats")]
                    self.keep(shared, &client).await;
                }
                () = &mut ready, if turn.is_some() => {
                    turn = None;
                    self.enter(shared, Stage::Running, None).await;
                }
                event = events.next() => match event {
                    Some(event) => self.report(shared, &cloud, event).await,
                    None => break,
                },
            }
        }
        self.lock().client = None;
        Err(Failure::new(Exit::Failed, "the client has ended; starting it again"))
    }

    /// Where the session of the account is kept at NATS, if it is.
    #[cfg(feature = "nats")]
    fn registry<'a>(&self, shared: &'a Shared) -> Option<(&'a Registry, AccountId)> {
        let registry = shared.worker.as_ref()?.registry.as_ref()?;
        Some((registry, nats::token(self.name()).and_then(|token| AccountId::new(&token).ok())?))
    }

    /// Writes the session of a client to NATS if it is another than was written last: the cloud may accept only the
    /// newest token.
    #[cfg(feature = "nats")]
    async fn keep(&self, shared: &Shared, client: &Client) {
        let (Some((registry, account)), Some(session)) = (self.registry(shared), client.stored_session())
        else {
            return;
        };
        if self.lock().kept.as_ref() == Some(&session) {
            return;
        }
        let why = match timeout(KEEP_LIMIT, registry.save(&account, &session)).await {
            Ok(Ok(_)) => {
                let mut state = self.lock();
                (state.kept, state.not_kept) = (Some(session), None);
                return;
            }
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => "NATS does not answer".to_owned(),
        };
        let text = format!("the session cannot be written to NATS: {why}");
        let before = self.lock().not_kept.replace(text.clone());
        if before.as_ref() != Some(&text) {
            self.warn(shared, &text);
        }
    }

    async fn enter(&self, shared: &Shared, stage: Stage, why: Option<String>) {
        {
            let mut state = self.lock();
            if (state.stage, &state.why) == (stage, &why) && stage != Stage::Waiting {
                return;
            }
            (state.stage, state.why) = (stage, why.clone());
        }
        let mut record = self.event("account");
        record.put("state", stage.name()).put_some("message", why);
        shared.stream.send(&record).await;
    }

    async fn report(&self, shared: &Shared, cloud: &Cloud, happened: Event) {
        let record = match happened {
            Event::Device { device, changes, about, .. } if about || !changes.is_empty() => {
                let Some(record) = self.device(shared, cloud, device, changes) else { return };
                record
            }
            Event::Service(service) => {
                let reason = describe_reason(service.reason);
                if service.level == Level::SignInNeeded {
                    let email = &self.settings.email;
                    let what = match shared.is_sealed() {
                        true => format!("`mysa fleet accounts add {email} --name {} --replace`", self.name()),
                        false => format!("`mysa login {email}`"),
                    };
                    self.warn(shared, &format!("sign-in needed: {reason}; run {what}"));
                }
                let mut record = self.event("service");
                record.put("service", service.level.to_string()).put("reason", reason);
                record
            }
            Event::DeviceAdded { device } => {
                let mut record = self.event("device_added");
                let name =
                    cloud.client.state(&device).and_then(|view| view.name.as_deref().map(str::to_owned));
                record.put("id", device.as_str()).put("name", name);
                record
            }
            Event::DeviceRemoved { device } => {
                let mut record = self.event("device_removed");
                record.put("id", device.as_str());
                record
            }
            Event::Contradiction { device } => {
                let mut record = self.event("contradiction");
                record.put("id", device.as_str());
                record
            }
            Event::Dropped { count } => {
                let mut record = self.event("dropped");
                record.put("count", i64::try_from(count).unwrap_or(i64::MAX));
                record
            }
            // A verdict is reported by its request, which knows the id that the caller gave.
            _ => return,
        };
        shared.stream.send(&record).await;
    }

    fn device(&self, shared: &Shared, cloud: &Cloud, id: DeviceId, changes: Changes) -> Option<Record> {
        let view = cloud.client.state(&id)?;
        let mut record = self.event("device");
        record.put("changed", changes.iter().map(|field| field.name().into()).collect::<Vec<_>>());
        for (name, value) in
            view::record(&view, cloud.age(&view), shared.config.rated_watts(&id)).into_fields()
        {
            record.put(&name, value);
        }
        Some(record)
    }

    fn warn(&self, shared: &Shared, text: &str) {
        let _ = shared.log.say(Severity::Warning, "account", &format!("fleet: {}: {text}", self.name()));
    }
}

/// Closes a client in order, or at once if that is what its account is told.
async fn close(client: &Client, stopped: &mut watch::Receiver<Stop>) {
    #[cfg(feature = "nats")]
    {
        let at_once = async {
            let _ = stopped.wait_for(|stop| *stop == Stop::AtOnce).await;
        };
        tokio::select! {
            biased;
            () = at_once => {}
            () = client.shutdown() => return,
        }
        client.abort().await;
    }
    #[cfg(not(feature = "nats"))]
    {
        let _ = stopped;
        client.shutdown().await;
    }
}

/// Shortest pause before an account that could not be started is tried again; the longest is twice as long.
const RETRY: Duration = Duration::from_secs(15);
/// Time between two looks whether a session at NATS has to be written.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit for writing a session to NATS.
#[cfg(feature = "nats")]
const KEEP_LIMIT: Duration = Duration::from_secs(10);
/// Time after which the turn of an account passes on, although it is not signed in.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Limit of sign-ins: a number at the same time, and a rate with jitter.
#[derive(Debug)]
pub(super) struct Starts {
    at_once: Semaphore,
    next: AsyncMutex<Instant>,
    gap: Duration,
}

impl Starts {
    pub(super) fn new(at_once: u16, gap: Duration) -> Self {
        Self { at_once: Semaphore::new(at_once.into()), next: AsyncMutex::new(Instant::now()), gap }
    }

    /// Waits for a turn, which lasts until the permit is dropped. Turns are given in the order of the calls.
    async fn turn(&self, shared: &Shared) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        let permit = self.at_once.acquire().await.ok();
        self.pause(shared.jitter(self.gap)).await;
        permit
    }

    /// Waits until the gap since the previous turn is over: half of it, and `jitter` of at most its length.
    async fn pause(&self, jitter: Duration) {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + self.gap / 2 + jitter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn starts_keep_their_rate() {
        let starts = Starts::new(4, Duration::from_millis(500));
        let begun = Instant::now();
        let mut at = Vec::new();
        for jitter in [0, 500, 250, 250, 0] {
            starts.pause(Duration::from_millis(jitter)).await;
            at.push(begun.elapsed().as_millis());
        }
        assert_eq!(at, [0, 250, 1_000, 1_500, 2_000]);
    }
}
