//! The `mysa` command. Data goes to standard output, everything else to standard error.

mod args;
mod config;
mod decode;
mod exit;
mod known;
mod names;
mod places;
mod presign;
mod record;
mod redact;
mod settings;
mod terminal;
mod when;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};
use crate::config::Config;
use crate::exit::Result;
use crate::places::Places;
use crate::redact::Redaction;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let terminal = Terminal::new(cli.global.json, cli.global.quiet);
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
            let table = Config::load(&places()?.config)?.mode_table.table();
            decode::run(terminal, &args, &table, &mut redaction)
        }
        Command::Presign(args) => presign::inspect(terminal, &args.inspect, when::now()),
        Command::Config(args) => {
            settings::run(terminal, &places()?, cli.global.account.as_deref(), &args.action, &redaction)
        }
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "mysa", &mut script);
            terminal.print(&String::from_utf8_lossy(&script))
        }
    }
}
