//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  mysa decode capture.har                    explain a captured session, private things replaced
  mysa presign --inspect -                   explain a captured URL without leaving it in the shell's history
  mysa config set-watts \"living\" 1500

Exit codes:
  0 done   1 failed   2 wrong usage   4 sign-in needed or refused   5 thermostat offline or silent
  6 sent but unconfirmed   7 refused   8 network or cloud down   9 out of time   130 interrupted";

/// Mysa thermostats from a terminal. Unofficial; not affiliated with Mysa.
#[derive(Debug, Parser)]
#[command(name = "mysa", version, about, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// E-mail address of the account; by default the only one that is signed in, or the one in the settings
    #[arg(long, global = true, env = "MYSA_ACCOUNT", value_name = "EMAIL")]
    pub(crate) account: Option<String>,
    /// One JSON document on standard output; one object a line for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Settings file
    #[arg(long, global = true, env = "MYSA_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print ids, addresses and other private things in full
    #[arg(long, global = true)]
    pub(crate) show_private: bool,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Explain a payload, MQTT packets or a captured session; no account needed
    Decode(Decode),
    /// Explain a captured presigned URL; no account needed
    Presign(Presign),
    /// Show and change the settings
    Config(Config),
    /// Print a completion script for a shell
    Completions(Completions),
}

#[derive(Args, Debug)]
pub(crate) struct Decode {
    /// File to read; standard input by default
    pub(crate) file: Option<PathBuf>,
    /// What it holds; found out by looking if not given
    #[arg(long = "as", value_enum, value_name = "KIND")]
    pub(crate) kind: Option<DecodeKind>,
    /// Topic on which the payload was seen; guessed from the payload if not given
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum DecodeKind {
    /// JSON of a message
    Payload,
    /// MQTT packets in hex, base64 or binary
    Packet,
    /// HAR file, JSON objects with topic and payload, or the output of mosquitto_sub -v
    Capture,
}

#[derive(Args, Debug)]
pub(crate) struct Presign {
    /// Explain this URL; `-` reads it from standard input
    #[arg(long, value_name = "URL")]
    pub(crate) inspect: String,
}

#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print where settings and sessions are kept
    Path,
    /// Print the settings in force
    Show,
    /// Keep the rated power of the heaters behind a thermostat; 0 forgets it
    SetWatts {
        /// Thermostat, by id or the beginning of its name
        device: String,
        /// Watts on the heaters' labels, added up
        watts: u32,
    },
    /// Set one setting, such as account, unit or environment.iot-endpoint; an empty value forgets it
    Set {
        /// Name of the setting
        name: String,
        /// New value
        value: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// Shell
    pub(crate) shell: Shell,
}
