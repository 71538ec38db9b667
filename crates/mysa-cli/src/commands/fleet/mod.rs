//! `mysa fleet`: many accounts in one process.

mod account;
mod accounts;
mod ask;
mod client;
mod control;
#[expect(clippy::module_inception, reason = "the fleet itself is one part of the command")]
mod fleet;
mod metrics;
mod stream;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use mysa_config::Credential;
use mysa_tokio::Tls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::account::Starts;
use self::control::Control;
use self::fleet::{Fleet, Shared};
use self::metrics::{Monitor, TURN_INTERVAL};
use self::stream::Stream;
use crate::args::fleet::{Fleet as Args, FleetAction, FleetOptions};
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
        None => serve(terminal, context, &args.options, &control()).await,
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

/// Runs the fleet until a signal, or until the reader of the events is gone.
async fn serve(terminal: &Terminal, context: &Context, options: &FleetOptions, control: &Path) -> Result<()> {
    let mut stop = pin!(signal_received());
    // Polled once, so that a signal from now on ends the fleet in order.
    tokio::select! {
        biased;
        failure = &mut stop => return Err(failure),
        () = std::future::ready(()) => {}
    }
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::from((Exit::Failed, error)))?;
    let path = accounts_path(options)?;
    let gap = options.start_rate.recip();
    if !(options.start_rate > 0.0 && (0.001..=MAX_GAP).contains(&gap)) {
        return Err(Failure::usage(
            "invalid --start-rate: expected accounts per second, from 0.0003 to 1000",
        ));
    }
    let metrics = options.metrics.as_deref().map(str::parse).transpose();
    let metrics = metrics.map_err(|error| Failure::usage(format!("invalid --metrics: {error}")))?;
    let file = accounts::load(path)?;
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
    let (stream, mut ended) = Stream::open().map_err(|error| Failure::from((Exit::Failed, error)))?;
    let fleet = Fleet::new(Shared {
        environment: context.environment.clone(),
        settings: context.settings(),
        tls,
        connect_to: context.connect_to,
        config: context.config.clone(),
        starts: Starts::new(options.sign_ins, Duration::from_secs_f64(gap)),
        stream,
        log: Log::new(terminal, format),
        terminal,
    });
    let socket = Control::open(control, fleet.clone()).await?;
    let server = match metrics {
        Some(address) => Some(http_server::serve(address, Monitor::new(&fleet, options.series)).await?),
        None => None,
    };
    let say = |severity, event, message: &str| fleet.shared().log.say(severity, event, message);
    let count = file.accounts.len();
    say(
        Severity::Info,
        "started",
        &format!("fleet: started; accounts: {count}; commands at {}", control.display()),
    )?;
    if let Some(server) = &server {
        say(Severity::Info, "metrics", &format!("fleet: metrics at http://{}/metrics", server.address))?;
    }
    fleet.apply(file, &context.paths.sessions);
    let mut turn = interval(TURN_INTERVAL);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_read = true;
    let why = loop {
        tokio::select! {
            failure = &mut stop => break Err(failure),
            _ = hangup.recv() => reload(&fleet, path, &context.paths.sessions)?,
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
        fleet.close().await;
        socket.finish().await;
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

/// Reads the accounts file again. An invalid one changes nothing.
fn reload(fleet: &Fleet, path: &Path, sessions: &Path) -> Result<()> {
    let log = &fleet.shared().log;
    match accounts::load(path) {
        Ok(file) => {
            let changes = fleet.apply(file, sessions);
            let message = format!(
                "fleet: accounts read again; added: {}, removed: {}, changed: {}",
                changes.added, changes.removed, changes.changed
            );
            log.say(Severity::Info, "reloaded", &message)
        }
        Err(failure) => {
            let message = format!("fleet: the accounts stay as they are: {failure}");
            log.say(Severity::Error, "reload_failed", &message)
        }
    }
}
