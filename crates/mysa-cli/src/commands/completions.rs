//! `mysa completions`.

use clap::CommandFactory as _;

use crate::args::{Cli, Completions};
use crate::output::terminal::Terminal;
use crate::support::exit::Result;

pub(crate) fn run(terminal: &Terminal, args: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mysa", &mut script);
    terminal.text("script", &String::from_utf8_lossy(&script))
}
