//! The `mysa` command. Data goes to standard output, everything else to standard error.
//!
//! The library has one function, [`run_command`], for programs that contain the command, such as the Python package.

mod args;
mod commands;
mod demo;
mod output;
mod sim;
mod support;

use std::ffi::OsString;

use crate::args::{Cli, Command, Global, SimAction};
use crate::commands::{
    bridge, completions, decode, devices, doctor, energy, history, hold, homes, login, logout, man, mode,
    presign, raw, schedule, set, status, watch,
};
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::cloud::Context;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::paths::Paths;
use crate::support::shutdown::{OpenClients, until_signal};

/// Runs the command with these arguments, of which the first is the name of the program, and returns its exit code. For
/// `--help`, `--version` and invalid arguments it ends the process itself.
#[must_use]
pub fn run_command(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = Cli::read(arguments);
    // `mysa set … | head -1` must finish its work and report it by the exit code.
    let outlives_reader = matches!(
        cli.command,
        Command::Set(_)
            | Command::Mode(_)
            | Command::Hold(_)
            | Command::Login(_)
            | Command::Logout(_)
            | Command::Config(_)
    ) || is_fleet_command(&cli.command);
    let terminal = Terminal::new(cli.global.json, cli.global.verbose, cli.global.quiet, outlives_reader);
    match log_as_asked().and_then(|()| run(&terminal, cli)) {
        Ok(()) => 0,
        Err(failure) => {
            terminal.error(&failure);
            failure.exit as u8
        }
    }
}

/// Returns `true` for a command to a running fleet.
fn is_fleet_command(command: &Command) -> bool {
    match command {
        #[cfg(unix)]
        Command::Fleet(args) => args.outlives_reader(),
        _ => false,
    }
}

/// Logs the events of the client to standard error, as the variable `RUST_LOG` asks.
fn log_as_asked() -> Result<()> {
    let Some(asked) = std::env::var_os("RUST_LOG").filter(|asked| !asked.is_empty()) else { return Ok(()) };
    let filter = asked.to_str().and_then(|asked| tracing_subscriber::EnvFilter::try_new(asked).ok());
    let filter = filter.ok_or_else(|| {
        Failure::usage("invalid RUST_LOG: expected levels or targets with levels, such as mysa_tokio=debug")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    log.try_init().map_err(|error| Failure::new(Exit::Failed, format!("cannot log: {error}")))
}

fn run(terminal: &Terminal, cli: Cli) -> Result<()> {
    if cli.global.account.len() > 1 && !matches!(cli.command, Command::Bridge(_)) {
        return Err(Failure::usage("only `mysa bridge` takes several accounts: name one with --account"));
    }
    let mut redaction = Redaction::new(cli.global.show_private);
    let paths = || Paths::find(cli.global.config.clone());
    match cli.command {
        Command::Decode(args) => {
            let table = support::config::load(&paths()?)?.mode_table.table();
            decode::run(terminal, &args, &table, &mut redaction)
        }
        Command::Presign(args) if !args.is_online() => presign::offline(terminal, &args, timefmt::now()),
        Command::Config(args) => commands::config::run(
            terminal,
            &paths()?,
            cli.global.account.first().map(String::as_str),
            &args.action,
            &redaction,
        ),
        Command::Completions(args) => completions::run(terminal, &args),
        Command::Man(args) => man::run(terminal, &args),
        command => {
            // Before the runtime starts, because Ctrl-C cannot interrupt a prompt while it runs.
            let credentials = match &command {
                Command::Login(args) => Some(login::read_credentials(&context(&cli.global)?, args)?),
                _ => None,
            };
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(worker_threads(&command))
                .enable_all()
                .build()
                .map_err(|error| Failure::from((Exit::Failed, error)))?;
            let open_clients = OpenClients::default();
            // It prints its report at a signal.
            let handles_signals = match &command {
                Command::Sim(args) => args.check,
                // It publishes that it is offline.
                Command::Bridge(args) => args.action.is_none(),
                // It closes its clients itself.
                #[cfg(unix)]
                Command::Fleet(args) => args.serves(),
                _ => false,
            };
            let work = online(terminal, &cli.global, command, credentials, &mut redaction, &open_clients);
            let result = if handles_signals {
                runtime.block_on(work)
            } else {
                runtime.block_on(until_signal(work, &open_clients))
            };
            // A blocking thread may still wait for the line of an interrupted prompt.
            runtime.shutdown_background();
            result
        }
    }
}

/// Number of threads of the runtime. Two keep a command responsive; only a fleet has work for every processor.
fn worker_threads(command: &Command) -> usize {
    let wanted = match command {
        #[cfg(unix)]
        Command::Fleet(_) => std::thread::available_parallelism().map_or(2, usize::from),
        _ => 2,
    };
    wanted.max(2)
}

async fn online(
    terminal: &Terminal,
    global: &Global,
    command: Command,
    credentials: Option<login::Credentials>,
    redaction: &mut Redaction,
    open_clients: &OpenClients,
) -> Result<()> {
    match command {
        Command::Sim(args) => {
            if let Some(SimAction::Ctl(args)) = &args.action {
                return sim::ctl::run(terminal, args).await;
            }
            // A file named by the environment holds certificates that other programs trust, so it is not overwritten.
            let ca_out = global.ca.as_deref().filter(|_| global.is_ca_typed);
            return sim::run(terminal, &args, ca_out).await;
        }
        Command::Demo(args) => return demo::run(terminal, &args, open_clients).await,
        Command::Doctor => return doctor::run(terminal, global, redaction, open_clients).await,
        _ => {}
    }
    let context =
        Context { open_clients: open_clients.clone(), notices: Some(*terminal), ..context(global)? };
    match command {
        Command::Login(_) => match credentials {
            Some(credentials) => login::login(terminal, &context, credentials, redaction).await,
            None => Ok(()),
        },
        Command::Logout(args) => logout::run(terminal, &context, &args, redaction).await,
        Command::Devices(args) => devices::run(terminal, &context, &args).await,
        Command::History(args) => history::run(terminal, &context, &args).await,
        Command::Homes => homes::run(terminal, &context, redaction).await,
        Command::Status(args) => status::run(terminal, &context, &args, redaction).await,
        Command::Bridge(args) => bridge::run(terminal, &context, &args, redaction).await,
        #[cfg(unix)]
        Command::Fleet(args) => commands::fleet::run(terminal, &context, &args).await,
        Command::Watch(args) => watch::run(terminal, &context, &args, redaction).await,
        Command::Set(args) => set::run(terminal, &context, &args.targets, &args.change, &args.sending).await,
        Command::Mode(args) => mode::run(terminal, &context, &args).await,
        Command::Hold(args) => hold::run(terminal, &context, &args).await,
        Command::Schedule(args) => schedule::run(terminal, &context, &args, redaction).await,
        Command::Energy(args) => energy::run(terminal, &context, &args).await,
        Command::Presign(args) => presign::online(terminal, &context, &args).await,
        Command::Raw(args) => raw::run(terminal, &context, &args, redaction).await,
        // `run` handles the commands that need no cloud.
        _ => Ok(()),
    }
}

pub(crate) fn context(global: &Global) -> Result<Context> {
    let paths = Paths::find(global.config.clone())?;
    let config = support::config::load(&paths)?;
    Ok(Context {
        environment: support::cloud::environment(&config)?,
        paths,
        config,
        account: global.account.first().cloned(),
        accounts: global.account.clone(),
        authority: global.ca.clone(),
        connect_to: global.connect_to,
        open_clients: OpenClients::default(),
        notices: None,
    })
}
