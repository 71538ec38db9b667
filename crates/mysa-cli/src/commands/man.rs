//! `mysa man`.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::args::{Cli, Man as Args};
use crate::output::terminal::Terminal;
use crate::support::exit::{Exit, Failure, Result};

pub(crate) fn run(terminal: &Terminal, args: &Args) -> Result<()> {
    let mut command = Cli::command();
    command.build();
    if let Some(dir) = &args.dir {
        fs::create_dir_all(dir).and_then(|()| write_all(&command, dir)).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write pages to {}: {error}", dir.display()))
        })?;
        terminal.say(format!("written to {}", dir.display()));
        if terminal.json {
            return terminal.text("dir", &dir.display().to_string());
        }
        return Ok(());
    }
    let wanted = match &args.command {
        None => &command,
        Some(name) => command.find_subcommand(name).ok_or_else(|| {
            Failure::usage(format!("unknown command '{name}'; `mysa --help` lists the commands"))
        })?,
    };
    let page = page(wanted).map_err(|error| Failure::from((Exit::Failed, error)))?;
    terminal.text("page", &String::from_utf8_lossy(&page))
}

/// Writes the pages of a command and of its subcommands.
fn write_all(command: &Command, dir: &Path) -> io::Result<()> {
    fs::write(dir.join(format!("{}.1", name(command))), page(command)?)?;
    command.get_subcommands().try_for_each(|below| write_all(below, dir))
}

/// Returns the name of the page: `mysa-set` for the command `set`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).title(name(command).to_uppercase());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_help() {
        let help = help.to_string();
        let (head, text) = match help.strip_prefix("Examples:\n") {
            Some(text) => ("EXAMPLES", text),
            None => ("NOTES", help.as_str()),
        };
        // Without filling, because examples are aligned in columns.
        writeln!(page, ".SH {head}\n.nf")?;
        for line in text.lines() {
            let line = line.replace('\\', "\\e").replace('-', "\\-");
            writeln!(page, "\\&{line}")?;
        }
        writeln!(page, ".fi")?;
    }
    if command.get_version().is_some() {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}
