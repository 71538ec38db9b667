//! `mysa man`.

use std::fs;
use std::io;

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::args::{Cli, Man as Args};
use crate::exit::{Exit, Failure, Result};
use crate::terminal::Terminal;

pub(crate) fn run(terminal: &Terminal, args: &Args) -> Result<()> {
    let mut command = Cli::command();
    if let Some(dir) = &args.dir {
        let written = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
        written.map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write pages to {}: {error}", dir.display()))
        })?;
        terminal.say(format!("written to {}", dir.display()));
        if terminal.json {
            return terminal.text("dir", &dir.display().to_string());
        }
        return Ok(());
    }
    command.build();
    let wanted = match &args.command {
        None => command,
        Some(name) => command.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::usage(format!("there is no command '{name}'; `mysa --help` lists them"))
        })?,
    };
    terminal.text("page", &page(&wanted).map_err(|error| Failure::from((Exit::Failed, error)))?)
}

fn page(command: &clap::Command) -> io::Result<String> {
    // A command's own name is `set`, its page's is `mysa-set`.
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    Man::new(command.clone()).title(name.to_uppercase()).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
