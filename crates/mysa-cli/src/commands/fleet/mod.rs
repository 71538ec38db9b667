//! `mysa fleet`: many accounts in one process.

mod account;
mod accounts;
mod ask;
mod client;
mod control;
#[cfg(feature = "nats")]
mod events;
#[expect(clippy::module_inception, reason = "the fleet itself is one part of the command")]
mod fleet;
#[cfg(feature = "nats")]
mod keys;
mod metrics;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "nats")]
mod owned;
#[cfg(feature = "nats")]
mod registry;
#[cfg(feature = "nats")]
mod remote;
#[cfg(feature = "nats")]
mod store;
mod stream;
#[cfg(feature = "nats")]
mod worker;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
#[cfg(feature = "nats")]
use std::sync::Arc;
use std::time::Duration;

use mysa_config::{Credential, FleetAccounts};
#[cfg(feature = "nats")]
use mysa_fleet::{Bucket, Settings, WorkerId};
use mysa_tokio::Tls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};
#[cfg(feature = "nats")]
use tokio::{sync::watch, task::JoinHandle};

use self::account::Starts;
use self::control::Control;
use self::fleet::{Fleet, Shared};
use self::metrics::{Monitor, TURN_INTERVAL};
use self::stream::Stream;
#[cfg(feature = "nats")]
use self::{
    nats::{Nats, Role, patiently},
    registry::Registry,
    store::Store,
};
use crate::args::fleet::{Fleet as Args, FleetAction, FleetOptions, ServeOptions};
use crate::commands::bridge::log::{Format, Log, Severity};
use crate::output::record::{self, Record, Value, printable};
use crate::output::terminal::Terminal;
use crate::support::cloud::Context;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::http_server;
use crate::support::open_files::raise_open_files;
use crate::support::shutdown::signal_received;

pub(crate) async fn run(terminal: &Terminal, context: &Context, args: &Args) -> Result<()> {
    let control =
        || args.options.control.clone().unwrap_or_else(|| context.paths.sessions.join("fleet.sock"));
    match &args.action {
        Some(FleetAction::Set(set)) => client::set(terminal, context, &control(), set).await,
        Some(FleetAction::Status(status)) => client::status(terminal, &control(), status).await,
        Some(FleetAction::Check) => check(terminal, context, accounts_path(&args.options)?),
        #[cfg(feature = "nats")]
        Some(FleetAction::Watch(args)) => events::watch(terminal, args).await,
        #[cfg(feature = "nats")]
        Some(FleetAction::Worker(worker)) => {
            let accounts = match (worker.source.is_named(), &args.options.accounts) {
                (true, None) => None,
                (true, Some(_)) => {
                    return Err(Failure::usage(
                        "name either an accounts file with --accounts, or the keys of the accounts at NATS with --keys",
                    ));
                }
                (false, None) => {
                    return Err(Failure::usage(
                        "the accounts are missing: name their file with --accounts, or the keys of those at NATS with --keys",
                    ));
                }
                (false, Some(path)) => Some(path.as_path()),
            };
            serve(terminal, context, accounts, &worker.serve, &control(), Some(worker)).await
        }
        #[cfg(feature = "nats")]
        Some(FleetAction::Accounts(action)) => registry::run(terminal, context, action).await,
        #[cfg(feature = "nats")]
        Some(FleetAction::Key(action)) => keys::run(terminal, action).await,
        None => {
            let options = &args.options;
            serve(terminal, context, Some(accounts_path(options)?), &options.serve, &control(), None).await
        }
    }
}

fn accounts_path(options: &FleetOptions) -> Result<&Path> {
    let missing = || Failure::usage("the accounts file is missing: name it with --accounts");
    options.accounts.as_deref().ok_or_else(missing)
}

/// Lists the accounts of a file.
fn check(terminal: &Terminal, context: &Context, path: &Path) -> Result<()> {
    let file = accounts::load(path)?;
    let sessions = file.sessions.as_ref().map_or_else(|| context.paths.sessions.clone(), PathBuf::from);
    let listed = file.accounts.iter().map(|account| {
        let stored = mysa_tokio::TokenFile::new(&sessions, &account.email).load();
        let session = match &stored {
            Ok(Some(stored)) if stored.refresh_token.is_some() => "stored".to_owned(),
            Ok(_) => "none".to_owned(),
            Err(error) => format!("unusable: {error}"),
        };
        let secret = match &account.credential {
            None => "none",
            Some(Credential::PasswordFile(_)) => "password file",
            Some(Credential::PasswordCommand(_)) => "password command",
            Some(Credential::RefreshToken(_)) => "refresh token",
        };
        let mut record = Record::new();
        record.put("account", account.name.as_str()).put("email", account.email.as_str());
        record.put("session", session).put("secret", secret);
        record
    });
    if terminal.json {
        let mut document = record::document();
        document.put("accounts", listed.map(Value::Record).collect::<Vec<_>>());
        return terminal.line(document.to_json());
    }
    for record in listed {
        let words = record.fields().map(|(name, value)| match value {
            Value::Text(text) if name == "account" || name == "email" => printable(text),
            Value::Text(text) => format!("{name}: {}", printable(text)),
            _ => String::new(),
        });
        terminal.line(words.collect::<Vec<_>>().join("  "))?;
    }
    Ok(())
}

/// Longest pause between two starts, so that a rate close to zero is not a fleet that never starts.
const MAX_GAP: f64 = 3_600.0;

/// Time for the reader of the events to take the last ones at the end. One that has stopped reading holds up nothing.
const READER_LIMIT: Duration = Duration::from_secs(20);

/// Arguments of a worker, which shares the accounts with others.
#[cfg(feature = "nats")]
type WorkerArgs = crate::args::fleet::FleetWorker;
#[cfg(not(feature = "nats"))]
type WorkerArgs = std::convert::Infallible;

/// Part that starts and stops the accounts.
enum Owner {
    /// The accounts file alone.
    File,
    /// The core of a worker, in a task.
    #[cfg(feature = "nats")]
    Worker {
        offer: watch::Sender<worker::Offer>,
        drain: watch::Sender<bool>,
        task: JoinHandle<Result<()>>,
        events: Arc<events::Publisher>,
        /// Task that publishes the events.
        publishing: JoinHandle<()>,
    },
}

impl Owner {
    /// Starts the accounts of a file, unless a worker does.
    fn begin(&self, fleet: &Fleet, file: FleetAccounts, sessions: &Path) {
        match self {
            Self::File => {
                fleet.apply(file, sessions);
            }
            #[cfg(feature = "nats")]
            Self::Worker { .. } => {}
        }
    }

    /// Takes a file that was read again. Returns what it changes.
    fn reload(&self, fleet: &Fleet, file: FleetAccounts, sessions: &Path) -> Result<String> {
        match self {
            Self::File => {
                let changes = fleet.apply(file, sessions);
                Ok(format!(
                    "added: {}, removed: {}, changed: {}",
                    changes.added, changes.removed, changes.changed
                ))
            }
            #[cfg(feature = "nats")]
            Self::Worker { offer, .. } => {
                let accounts = worker::offer(file, sessions)?;
                let count = accounts.len();
                offer.send_replace(accounts);
                Ok(format!("accounts of the fleet: {count}"))
            }
        }
    }

    /// Waits for the end of the worker, which is none if the accounts file starts the accounts.
    async fn ended(&mut self) -> Result<()> {
        match self {
            Self::File => std::future::pending().await,
            #[cfg(feature = "nats")]
            Self::Worker { task, .. } => task
                .await
                .map_err(|error| Failure::new(Exit::Failed, format!("the worker has ended: {error}")))?,
        }
    }

    /// Hands all accounts over to other workers.
    async fn drain(&mut self) {
        #[cfg(feature = "nats")]
        if let Self::Worker { drain, task, .. } = self {
            drain.send_replace(true);
            if !task.is_finished() {
                let _ = task.await;
            }
        }
    }

    /// Publishes the last events.
    async fn finish(&mut self) {
        #[cfg(feature = "nats")]
        if let Self::Worker { events, publishing, .. } = self {
            events.close();
            let _ = timeout(READER_LIMIT, publishing).await;
        }
    }
}

/// Runs the fleet until a signal, or until the reader of the events is gone.
async fn serve(
    terminal: &Terminal,
    context: &Context,
    path: Option<&Path>,
    options: &ServeOptions,
    control: &Path,
    worker: Option<&WorkerArgs>,
) -> Result<()> {
    let mut stop = pin!(signal_received());
    // Polled once, so that a signal from now on ends the fleet in order.
    tokio::select! {
        biased;
        failure = &mut stop => return Err(failure),
        () = std::future::ready(()) => {}
    }
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::from((Exit::Failed, error)))?;
    let gap = options.start_rate.recip();
    if !(options.start_rate > 0.0 && (0.001..=MAX_GAP).contains(&gap)) {
        return Err(Failure::usage(
            "invalid --start-rate: expected accounts per second, from 0.0003 to 1000",
        ));
    }
    let metrics = options.metrics.as_deref().map(str::parse).transpose();
    let metrics = metrics.map_err(|error| Failure::usage(format!("invalid --metrics: {error}")))?;
    let file = path.map(accounts::load).transpose()?.unwrap_or_default();
    raise_open_files();
    let format = if options.log_format == "json" { Format::Json } else { Format::Text };
    // Standard output is for the events alone.
    let mut terminal = *terminal;
    terminal.json = false;
    let mut authorities = Vec::new();
    if let Some(ca) = &context.authority {
        let failed =
            |error| Failure::new(Exit::Failed, format!("cannot read --ca {}: {error}", ca.display()));
        authorities.push(fs::read(ca).map_err(failed)?);
    }
    let tls = Tls::new(&authorities).map_err(|error| Failure::from((Exit::Failed, error)))?;
    let log = Log::new(terminal, format);
    #[cfg_attr(not(feature = "nats"), expect(unused_mut, reason = "a worker publishes its events too"))]
    let (mut stream, mut ended) = Stream::open().map_err(|error| Failure::from((Exit::Failed, error)))?;
    #[cfg(feature = "nats")]
    let joined = match worker {
        None => None,
        Some(args) => {
            let joined = tokio::select! {
                failure = &mut stop => return Err(failure),
                joined = join(&log, args, &file, &context.paths.sessions) => joined?,
            };
            stream.publish_to(Arc::clone(&joined.access.events));
            Some(joined)
        }
    };
    let fleet = Fleet::new(Shared {
        environment: context.environment.clone().into(),
        settings: context.settings(),
        tls,
        connect_to: context.connect_to,
        config: context.config.clone(),
        starts: Starts::new(options.sign_ins, Duration::from_secs_f64(gap)),
        stream,
        log,
        terminal,
        #[cfg(feature = "nats")]
        worker: joined.as_ref().map(|joined| joined.access.clone()),
    });
    #[cfg(feature = "nats")]
    let mut owner = joined.map_or(Owner::File, |joined| start_worker(&fleet, joined));
    #[cfg(not(feature = "nats"))]
    let mut owner = match worker {
        None => Owner::File,
        Some(never) => match *never {},
    };
    let socket = Control::open(control, fleet.clone()).await?;
    let server = match metrics {
        Some(address) => Some(http_server::serve(address, Monitor::new(&fleet, options.series)).await?),
        None => None,
    };
    let say = |severity, event, message: &str| fleet.shared().log.say(severity, event, message);
    let count = match path {
        Some(_) => file.accounts.len().to_string(),
        None => "those at NATS".to_owned(),
    };
    say(
        Severity::Info,
        "started",
        &format!("fleet: started; accounts: {count}; commands at {}", control.display()),
    )?;
    if let Some(server) = &server {
        say(Severity::Info, "metrics", &format!("fleet: metrics at http://{}/metrics", server.address))?;
    }
    owner.begin(&fleet, file, &context.paths.sessions);
    let mut turn = interval(TURN_INTERVAL);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_read = true;
    let why = loop {
        tokio::select! {
            failure = &mut stop => break Err(failure),
            _ = hangup.recv() => match path {
                Some(path) => reload(&fleet, path, &context.paths.sessions, &owner)?,
                None => {
                    #[cfg(feature = "nats")]
                    reload_keys(&fleet, worker).await?;
                }
            },
            ended = owner.ended() => break ended,
            _ = turn.tick() => fleet.turn(),
            result = &mut ended => {
                is_read = false;
                break match result {
                    // `mysa fleet | head` succeeds.
                    Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    Ok(Err(error)) => Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}"))),
                    _ => Err(Failure::new(Exit::Failed, "the writer of the events has ended")),
                };
            }
        }
    };
    let drain = async {
        // First of all, so that no command begins during the drain.
        socket.close();
        owner.drain().await;
        fleet.close().await;
        socket.finish().await;
        owner.finish().await;
        drop(server);
        let stopped = fleet.shared().log.say(Severity::Info, "stopped", "fleet: stopped");
        // With the last sender of events, their writer ends.
        drop(fleet);
        if is_read {
            let _ = timeout(READER_LIMIT, &mut ended).await;
        }
        stopped
    };
    // A second signal ends the program at once.
    tokio::select! {
        stopped = drain => stopped?,
        _ = signal_received() => {}
    }
    why
}

/// Worker that has what it needs at NATS.
#[cfg(feature = "nats")]
struct Joined {
    name: WorkerId,
    settings: Settings,
    offer: worker::Offer,
    access: worker::Access,
    store: Store,
}

/// Connects to NATS and opens the buckets, as soon as that is possible. What is invalid is reported before.
#[cfg(feature = "nats")]
async fn join(log: &Log, args: &WorkerArgs, file: &FleetAccounts, sessions: &Path) -> Result<Joined> {
    let missing = || Failure::usage("the NATS server is missing: name it with --nats");
    let url = args.nats.nats.as_deref().ok_or_else(missing)?;
    let (name, settings) = (worker::name(args.worker.as_deref())?, worker::settings(args)?);
    let offer = worker::offer(file.clone(), sessions)?;
    let keys = match args.source.is_named() {
        true => Some(keys::load(&args.source).await?),
        false => None,
    };
    let mut buckets = store::SHARED.to_vec();
    if keys.is_some() {
        buckets.push(Bucket::Accounts);
    }
    let replicas = usize::from(args.replicas);
    let nats = patiently(log, async || Nats::connect(url, &args.nats, Role::Worker).await).await?;
    let store = patiently(log, async || Store::open(&nats, replicas, &buckets).await).await?;
    patiently(log, async || events::open(&nats, replicas).await).await?;
    let registry = keys.map(|keys| Registry::new(store.clone(), &nats, keys)).transpose()?;
    let mut access = worker::Access::new(nats);
    access.registry = registry;
    Ok(Joined { name, settings, offer, access, store })
}

/// Starts the core of a worker.
#[cfg(feature = "nats")]
fn start_worker(fleet: &Fleet, joined: Joined) -> Owner {
    let Joined { name, settings, offer, access, store } = joined;
    let offer = watch::Sender::new(offer);
    let drain = watch::Sender::new(false);
    let events = Arc::clone(&access.events);
    let publishing = tokio::spawn(Arc::clone(&events).run());
    let parts = worker::Parts {
        fleet: fleet.clone(),
        access,
        store,
        name,
        settings,
        offer: offer.subscribe(),
        drain: drain.subscribe(),
    };
    let task = tokio::spawn(worker::run(parts));
    Owner::Worker { offer, drain, task, events, publishing }
}

/// Reads the keys again. Invalid ones change nothing.
#[cfg(feature = "nats")]
async fn reload_keys(fleet: &Fleet, worker: Option<&WorkerArgs>) -> Result<()> {
    let registry = fleet.shared().worker.as_ref().and_then(|access| access.registry.as_ref());
    let (Some(registry), Some(args)) = (registry, worker) else { return Ok(()) };
    let log = &fleet.shared().log;
    match keys::load(&args.source).await {
        Ok(keys) => {
            let message =
                format!("fleet: keys read again; '{}' seals; keys: {}", keys.newest(), keys.ids().count());
            registry.replace_keys(keys);
            log.say(Severity::Info, "reloaded", &message)
        }
        Err(failure) => {
            let message = format!("fleet: the keys stay as they are: {failure}");
            log.say(Severity::Error, "reload_failed", &message)
        }
    }
}

/// Reads the accounts file again. An invalid one changes nothing.
fn reload(fleet: &Fleet, path: &Path, sessions: &Path, owner: &Owner) -> Result<()> {
    let log = &fleet.shared().log;
    let reloaded = accounts::load(path).and_then(|file| owner.reload(fleet, file, sessions));
    match reloaded {
        Ok(changes) => log.say(Severity::Info, "reloaded", &format!("fleet: accounts read again; {changes}")),
        Err(failure) => {
            let message = format!("fleet: the accounts stay as they are: {failure}");
            log.say(Severity::Error, "reload_failed", &message)
        }
    }
}
