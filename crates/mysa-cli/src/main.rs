//! The `mysa` command. Data goes to standard output, everything else to standard error.

mod args;
mod commands;
mod demo;
mod faults;
mod output;
mod sim;
mod support;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command, Global};
use crate::commands::{decode, doctor, energy, login, man, presign, raw, set, status, watch};
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::cloud::Context;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::paths::Places;
use crate::support::shutdown::{Goodbyes, until_told};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // `mysa set … | head -1` must send what it was asked to, and tell by its exit code how that went.
    let outlives_reader = matches!(
        cli.command,
        Command::Set(_) | Command::Mode(_) | Command::Login(_) | Command::Logout(_) | Command::Config(_)
    );
    let terminal = Terminal::new(cli.global.json, cli.global.verbose, cli.global.quiet, outlives_reader);
    match run(&terminal, cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal.error(&failure);
            failure.exit.into()
        }
    }
}

fn run(terminal: &Terminal, cli: Cli) -> Result<()> {
    let mut redaction = Redaction::new(cli.global.show_private);
    let places = || Places::find(cli.global.config.clone());
    match cli.command {
        Command::Decode(args) => {
            let table = support::config::load(&places()?.config)?.mode_table.table();
            decode::run(terminal, &args, &table, &mut redaction)
        }
        Command::Presign(args) if !args.is_online() => presign::offline(terminal, &args, timefmt::now()),
        Command::Config(args) => commands::config::run(
            terminal,
            &places()?,
            cli.global.account.as_deref(),
            &args.action,
            &redaction,
        ),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "mysa", &mut script);
            terminal.text("script", &String::from_utf8_lossy(&script))
        }
        Command::Man(args) => man::run(terminal, &args),
        command => {
            // Asked before the runtime takes over the keyboard's interrupt.
            let who = match &command {
                Command::Login(args) => Some(login::ask_who(&context(&cli.global)?, args)?),
                _ => None,
            };
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .map_err(|error| Failure::from((Exit::Failed, error)))?;
            let goodbyes = Goodbyes::default();
            let work = online(terminal, &cli.global, command, who, &mut redaction, &goodbyes);
            let result = runtime.block_on(until_told(work, &goodbyes));
            // A prompt that was broken off still waits for its line.
            runtime.shutdown_background();
            result
        }
    }
}

async fn online(
    terminal: &Terminal,
    global: &Global,
    command: Command,
    who: Option<login::Who>,
    redaction: &mut Redaction,
    goodbyes: &Goodbyes,
) -> Result<()> {
    match command {
        Command::Sim(args) => return sim::run(terminal, &args, global.ca.as_deref()).await,
        Command::Demo(args) => return demo::run(terminal, &args, goodbyes).await,
        Command::Doctor => return doctor::run(terminal, global, redaction, goodbyes).await,
        _ => {}
    }
    let context = Context { goodbyes: goodbyes.clone(), ..context(global)? };
    match command {
        Command::Login(_) => match who {
            Some(who) => login::login(terminal, &context, who, redaction).await,
            None => Ok(()),
        },
        Command::Logout(args) => login::logout(terminal, &context, &args, redaction).await,
        Command::Devices => status::devices(terminal, &context).await,
        Command::Status(args) => status::status(terminal, &context, &args, redaction).await,
        Command::Watch(args) => watch::run(terminal, &context, &args, redaction).await,
        Command::Set(args) => set::run(terminal, &context, &args.device, &args.change, &args.sending).await,
        Command::Mode(args) => {
            let change = args::Change { mode: Some(args.mode), ..args::Change::default() };
            set::run(terminal, &context, &args.device, &change, &args.sending).await
        }
        Command::Energy(args) => energy::run(terminal, &context, &args).await,
        Command::Presign(args) => presign::online(terminal, &context, &args).await,
        Command::Raw(args) => raw::run(terminal, &context, &args, redaction).await,
        // The others need no cloud, and have been done.
        _ => Ok(()),
    }
}

pub(crate) fn context(global: &Global) -> Result<Context> {
    let places = Places::find(global.config.clone())?;
    let config = support::config::load(&places.config)?;
    Ok(Context {
        environment: support::cloud::environment(&config)?,
        places,
        config,
        account: global.account.clone(),
        authority: global.ca.clone(),
        connect_to: global.connect_to,
        goodbyes: Goodbyes::default(),
    })
}
