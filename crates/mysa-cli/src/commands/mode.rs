//! `mysa mode`.

use crate::args::{Change, Mode, Targets};
use crate::commands::set;
use crate::output::terminal::Terminal;
use crate::support::cloud::Context;
use crate::support::exit::{Failure, Result};

pub(crate) async fn run(terminal: &Terminal, context: &Context, args: &Mode) -> Result<()> {
    let (targets, mode) = split(args)?;
    let change = Change { mode: Some(mode), ..Change::default() };
    set::run(terminal, context, &targets, &change, &args.sending).await
}

/// Takes the last word as the mode and the others as thermostats.
fn split(args: &Mode) -> Result<(Targets, String)> {
    match (args.words.split_last(), args.all) {
        (Some((mode, [])), true) => Ok((Targets { devices: Vec::new(), all: true }, mode.clone())),
        (Some((_, [])), false) => {
            Err(Failure::usage("expected thermostats and a mode, as in `mysa mode bedroom off`"))
        }
        (Some((mode, devices)), false) => {
            Ok((Targets { devices: devices.to_vec(), all: false }, mode.clone()))
        }
        _ => Err(Failure::usage("--all takes no names of thermostats: expected only a mode")),
    }
}
