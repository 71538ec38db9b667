//! The `mysa` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mysa_cli::run_command(std::env::args_os()))
}
