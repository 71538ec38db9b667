//! The command line.

pub(crate) mod bridge;
pub(crate) mod ctl;
#[cfg(unix)]
pub(crate) mod fleet;
mod help;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Args, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::output::terminal::is_dumb;

const EVERYWHERE: &str = "Options of every command";

/// Control Mysa thermostats from a terminal. Unofficial; not affiliated with Mysa
#[derive(Debug, Parser)]
#[command(name = "mysa", version, after_help = help::EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Parses the command line of this process. Prints help or an error and exits where that is the whole task.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self::try_read(arguments).unwrap_or_else(|error| error.exit())
    }

    fn try_read<T: Into<OsString> + Clone>(args: impl IntoIterator<Item = T>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        if is_dumb() {
            command = command.color(ColorChoice::Never);
        }
        let matches = command.try_get_matches_from(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        // clap copies global options to the matches of the subcommand, wherever they stand on the command line.
        let source = matches.subcommand().and_then(|(_, matches)| matches.value_source("ca"));
        cli.global.is_ca_typed = source == Some(ValueSource::CommandLine);
        Ok(cli)
    }
}

/// Parses the name of an account. All names that users type are normalized here.
fn account(text: &str) -> Result<String, String> {
    mysa_config::normalize_account(text).ok_or_else(|| "expected an e-mail address".into())
}

/// Options that every command has.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// E-mail address of the account; for `bridge`, of each account [default: the one in the settings, or the only one that is signed in]
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MYSA_ACCOUNT", value_name = "EMAIL", value_parser = account, value_delimiter = ',')]
    pub(crate) account: Vec<String>,
    /// Print one JSON document; one object per line for streams
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// Settings file
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MYSA_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Also trust this certificate authority, a PEM file; for `sim`, the file to write its own to
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MYSA_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// `true` if `ca` was given on the command line, not by the environment.
    #[arg(skip)]
    pub(crate) is_ca_typed: bool,
    /// Connect to this address for every host; names and certificates are still checked
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MYSA_CONNECT_TO", value_name = "ADDR:PORT")]
    pub(crate) connect_to: Option<SocketAddr>,
    /// Print ids, addresses and other private values in full
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) show_private: bool,
    /// Log progress to standard error; -vv logs every message
    #[arg(short, long, global = true, help_heading = EVERYWHERE, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print only errors on standard error
    #[arg(short, long, global = true, help_heading = EVERYWHERE, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in and store the session
    Login(Login),
    /// Sign out: revoke the session and remove it
    Logout(Logout),
    /// List the thermostats of the account
    Devices(Devices),
    /// List the homes of the account with their zones and electricity rates
    #[command(after_help = help::HOMES)]
    Homes,
    /// Show the account, the connection, and the state of the thermostats
    Status(Status),
    /// Follow the state of the thermostats live
    Watch(Watch),
    /// Change the settings of thermostats and wait for their confirmation
    Set(Set),
    /// Change the mode of thermostats and wait for their confirmation
    Mode(Mode),
    /// Show the hold of a thermostat against its schedule, or change it
    Hold(Hold),
    /// Show the weekly schedule of a thermostat
    Schedule(Schedule),
    /// Show energy and its cost by hour, day, week or month, as a chart, CSV, JSON or SVG
    Energy(Energy),
    /// Show who changed the settings of a thermostat, and when
    History(History),
    /// Read a route of the REST service
    Raw(Raw),
    /// Explain a payload, a batch record, an MQTT packet or a captured session; needs no account
    Decode(Decode),
    /// Sign a URL for another MQTT client, or explain one
    Presign(Presign),
    /// Check every step from this computer to the thermostats
    #[command(after_help = help::DOCTOR)]
    Doctor,
    /// Publish the thermostats to an MQTT broker for Home Assistant, and take commands from it
    Bridge(Box<bridge::Bridge>),
    /// Serve many accounts in one process: events as JSON lines, commands by a local socket
    #[cfg(unix)]
    Fleet(Box<fleet::Fleet>),
    /// Run the simulated cloud on this machine
    Sim(Box<Sim>),
    /// Show the main commands on a simulated cloud
    Demo(Demo),
    /// Show and change the settings
    Config(Config),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual pages
    Man(Man),
}

#[derive(Args, Debug)]
#[command(after_help = help::LOGIN)]
pub(crate) struct Login {
    /// E-mail address of the account
    #[arg(value_parser = account)]
    pub(crate) email: Option<String>,
    /// Read the password from a file
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    pub(crate) password_file: Option<PathBuf>,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Logout {
    /// Remove the session from this computer without revoking it
    #[arg(long)]
    pub(crate) local: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Thermostats, by id or the start of the name [default: all]
    pub(crate) devices: Vec<String>,
    /// Time limit in seconds, from the start of the command; 0 shows the states of the REST service, without waiting
    /// for live reports [default: 8, from the moment that the thermostats are listed]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<f64>,
}

#[derive(Args, Debug)]
#[command(after_help = help::WATCH)]
pub(crate) struct Watch {
    /// Thermostats, by id or the start of the name [default: all]. With --url, ID or ID=MODEL
    pub(crate) devices: Vec<String>,
    /// Stop after this many changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<f64>,
    /// Append every message as it arrives to this file, for `mysa decode`; it holds ids in full
    #[arg(long, value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,
    /// Print each change by a template, such as '{name}: {room} °C {power} W'
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "json")]
    pub(crate) template: Option<String>,
    /// Connect with a captured presigned URL instead of an account; `-` reads it from standard input
    #[arg(long, value_name = "URL", requires = "devices")]
    pub(crate) url: Option<String>,
}

/// The thermostats that a command is for.
#[derive(Args, Debug)]
pub(crate) struct Targets {
    /// Thermostats, by id or the start of the name
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) devices: Vec<String>,
    /// All thermostats of the account
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
#[command(after_help = help::SET)]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) targets: Targets,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) sending: Sending,
}

/// Settings to change, at least one.
#[derive(Args, Debug, Default)]
#[group(required = true, multiple = true)]
pub(crate) struct Change {
    /// Temperature: 20.5, 20.5C, 69F, or a step such as +0.5 or -1
    #[arg(long, short, value_name = "TEMP", allow_hyphen_values = true)]
    pub(crate) temp: Option<String>,
    /// Mode: off, heat, and for air conditioners auto, cool, dry, fan
    #[arg(long, short, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// on: hold the setpoint; off: follow the schedule; or hold until a time, such as 22:30 or +2h
    #[arg(long, value_name = "on|off|TIME")]
    pub(crate) hold: Option<String>,
    /// Lock the buttons
    #[arg(long, value_enum)]
    pub(crate) lock: Option<OnOff>,
    /// Brightness of the display while in use, in percent
    #[arg(long, value_name = "PERCENT")]
    pub(crate) brightness: Option<u8>,
    /// Wake the display when a person comes near
    #[arg(long, value_enum)]
    pub(crate) proximity: Option<OnOff>,
    /// Fan speed of an air conditioner
    #[arg(long, value_name = "SPEED")]
    pub(crate) fan: Option<String>,
    /// Vertical swing of an air conditioner, by number
    #[arg(long, value_name = "SWING")]
    pub(crate) swing: Option<String>,
    /// Horizontal swing of an air conditioner, by number
    #[arg(long, value_name = "SWING")]
    pub(crate) swing_horizontal: Option<String>,
    /// Climate+: control the air conditioner by the sensor of the thermostat
    #[arg(long, value_enum)]
    pub(crate) climate_plus: Option<OnOff>,
    /// Sensor that an in-floor thermostat regulates by
    #[arg(long, value_enum)]
    pub(crate) sensor: Option<Sensor>,
}

#[derive(Args, Debug)]
#[command(after_help = help::MODE, override_usage = "mysa mode [OPTIONS] <DEVICES>... <MODE>\n       mysa mode [OPTIONS] --all <MODE>")]
pub(crate) struct Mode {
    /// Thermostats, by id or the start of the name; then the mode: off, heat, and for air conditioners auto, cool, dry, fan
    #[arg(required = true, value_name = "DEVICES|MODE")]
    pub(crate) words: Vec<String>,
    /// All thermostats of the account
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) sending: Sending,
}

#[derive(Args, Debug)]
#[command(after_help = help::HOLD, override_usage = "mysa hold [OPTIONS] <DEVICE> [follow|on|until TIME]")]
pub(crate) struct Hold {
    /// Thermostat, by id or the start of the name
    pub(crate) device: String,
    /// follow the schedule, hold (on), or hold until TIME [default: show the hold]
    #[arg(value_name = "ACTION")]
    pub(crate) action: Vec<String>,
    #[command(flatten)]
    pub(crate) sending: Sending,
}

#[derive(Args, Debug)]
#[command(after_help = help::SCHEDULE)]
pub(crate) struct Schedule {
    /// Thermostat, by id or the start of the name
    pub(crate) device: String,
}

/// Options for sending a command.
#[derive(Args, Debug)]
pub(crate) struct Sending {
    /// Time limit in seconds, from the start of the command, and one more for each further thermostat [default: 20]
    #[arg(long, value_name = "SECONDS", conflicts_with = "no_wait")]
    pub(crate) wait: Option<f64>,
    /// Do not wait for the thermostat; print how far the command got
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Print what would be sent, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Channel for the command [default: the one in the settings]
    #[arg(long, value_enum)]
    pub(crate) channel: Option<Channel>,
}

/// Channel for commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Channel {
    /// MQTT, and REST where MQTT is missing, denied or failed
    Auto,
    /// MQTT only
    Mqtt,
    /// REST only
    Rest,
}

impl From<Channel> for mysa_config::ChannelName {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Auto => Self::Auto,
            Channel::Mqtt => Self::Mqtt,
            Channel::Rest => Self::Rest,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

impl OnOff {
    /// Word on the command line.
    #[cfg(unix)]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }

    pub(crate) fn is_on(self) -> bool {
        self == Self::On
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Sensor {
    Floor,
    Room,
}

#[derive(Args, Debug)]
#[command(after_help = help::DEVICES)]
pub(crate) struct Devices {
    /// Ask AWS IoT for the serial numbers too
    #[arg(long)]
    pub(crate) serials: bool,
}

#[derive(Args, Debug)]
#[command(after_help = help::ENERGY)]
pub(crate) struct Energy {
    /// Thermostats, by id or the start of the name [default: all]
    pub(crate) devices: Vec<String>,
    /// Length of a period
    #[arg(long, value_enum, default_value_t = Period::Day)]
    pub(crate) by: Period,
    /// First day, YYYY-MM-DD [default: yesterday, or two weeks, twelve weeks or twelve months ago]
    #[arg(long, value_name = "DATE")]
    pub(crate) from: Option<String>,
    /// Last day, YYYY-MM-DD [default: today]
    #[arg(long, value_name = "DATE")]
    pub(crate) to: Option<String>,
    /// Write CSV to a file, `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Write an SVG chart to a file, `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Period {
    Hour,
    Day,
    /// Weeks of ISO 8601, from Monday
    Week,
    Month,
}

#[derive(Args, Debug)]
#[command(after_help = help::HISTORY)]
pub(crate) struct History {
    /// Thermostat, by id or the start of the name
    pub(crate) device: String,
    /// Number of days up to today [default: 7]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3_660), conflicts_with = "since")]
    pub(crate) days: Option<u16>,
    /// First day, YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    pub(crate) since: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = help::RAW)]
pub(crate) struct Raw {
    /// Path with its query, such as /devices/state. Always a GET request, so it changes nothing
    pub(crate) path: String,
    /// Host of the REST service
    #[arg(long, value_enum, default_value_t = Host::Legacy)]
    pub(crate) host: Host,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Host {
    Legacy,
    Backend,
}

#[derive(Args, Debug)]
#[command(after_help = help::DECODE)]
pub(crate) struct Decode {
    /// File to read [default: standard input]
    pub(crate) file: Option<PathBuf>,
    /// Kind of the content [default: detected]
    #[arg(long = "as", value_enum, value_name = "KIND")]
    pub(crate) kind: Option<DecodeKind>,
    /// Topic of the payload [default: detected from the payload]
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum DecodeKind {
    /// JSON of a message
    Payload,
    /// Records of batch readings in base64, hex or binary
    Batch,
    /// MQTT packets in hex, base64 or binary
    Packet,
    /// HAR file, JSON objects with topic and payload, or the output of mosquitto_sub -v
    Capture,
}

#[derive(Args, Debug)]
#[command(after_help = help::PRESIGN, group(clap::ArgGroup::new("what").required(true)))]
pub(crate) struct Presign {
    /// Write a new URL to this file, which only its owner can read
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) out: Option<PathBuf>,
    /// Print a new URL on standard output. It is a secret
    #[arg(long, group = "what")]
    pub(crate) print: bool,
    /// Explain this URL; `-` reads it from standard input
    #[arg(long, value_name = "URL", group = "what")]
    pub(crate) inspect: Option<String>,
    /// Sign for this broker with the AWS keys of the environment instead of the account
    #[arg(long, value_name = "HOST", conflicts_with = "inspect")]
    pub(crate) endpoint: Option<String>,
    /// AWS region of the broker [default: the one in its name]
    #[arg(long, value_name = "REGION", requires = "endpoint")]
    pub(crate) region: Option<String>,
}

impl Presign {
    /// Returns `true` if the command needs a connection to the cloud.
    pub(crate) fn is_online(&self) -> bool {
        self.inspect.is_none() && self.endpoint.is_none()
    }
}

#[derive(Args, Debug)]
#[command(after_help = help::SIM, args_conflicts_with_subcommands = true)]
pub(crate) struct Sim {
    #[command(subcommand)]
    pub(crate) action: Option<SimAction>,
    /// Loopback address and port
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,
    /// Loopback address and port of the control endpoint and its page [default: the port after --listen's, or a free one]
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "no_control")]
    pub(crate) control: Option<SocketAddr>,
    /// Do not open a control endpoint
    #[arg(long)]
    pub(crate) no_control: bool,
    /// Folder that keeps the certificate authority, so that the next run has the same and accepts the tokens of this
    /// one; it is made if it is missing
    #[arg(long, value_name = "DIR", conflicts_with = "cert")]
    pub(crate) ca_dir: Option<PathBuf>,
    /// Certificate chain, PEM [default: generated for this run]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Accounts, homes and thermostats, TOML; or `small` for a home of four, `all` for eight with a thermostat of each
    /// family [default: a home of five]
    #[arg(long, value_name = "FILE")]
    pub(crate) home: Option<PathBuf>,
    /// Number of copies of the first account, user1@example.com and so on, to try a fleet on [default: the account itself]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) accounts: Option<u32>,
    /// Leave out the weekly schedules of the homes, so that no setpoint changes by itself
    #[arg(long)]
    pub(crate) no_schedules: bool,
    /// Virtual seconds per real second
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub(crate) speed: f64,
    /// Life of id and access tokens, in virtual seconds [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3_155_760_000))]
    pub(crate) token_life: Option<u64>,
    /// Life of AWS credentials, in virtual seconds [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3_155_760_000))]
    pub(crate) credential_life: Option<u64>,
    /// Fault, as NAME, NAME@FROM or NAME@FROM-UNTIL in virtual seconds; may be repeated. `list` prints all names
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Vec<String>,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Test the client that connects by a script of faults, and report what it does right and wrong
    #[arg(long)]
    pub(crate) check: bool,
    /// File for the report of --check, as JSON
    #[arg(long, value_name = "FILE", requires = "check")]
    pub(crate) report: Option<PathBuf>,
    /// Longest time that a step of --check waits for the client, in virtual seconds [default: 60 times --speed]
    #[arg(long, value_name = "SECONDS", requires = "check", value_parser = clap::value_parser!(u32).range(3..))]
    pub(crate) check_step: Option<u32>,
    /// Longest time of --check, in virtual seconds [default: 1800 times --speed]
    #[arg(long, value_name = "SECONDS", requires = "check", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) check_time: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimAction {
    /// Read and change a running simulator
    Ctl(ctl::Ctl),
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Seed of all random numbers
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
#[command(after_help = help::CONFIG)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print the paths of the settings and sessions
    Path,
    /// Print the effective settings
    Show,
    /// Set the rated power of the heaters behind a thermostat; 0 removes it
    SetWatts {
        /// Thermostat, by id or the start of its name
        device: String,
        /// Sum of the watts on the labels of the heaters
        watts: u32,
    },
    /// Print the value of one setting
    Get {
        /// Name of the setting
        name: String,
    },
    /// Set one setting; an empty value removes it
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

#[derive(Args, Debug)]
#[command(after_help = help::MAN)]
pub(crate) struct Man {
    /// Command [default: the whole program]
    pub(crate) command: Option<String>,
    /// Write the pages of all commands to this folder
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_typed_before_or_after_the_command() {
        for (args, is_typed) in [
            (&["mysa", "--ca", "a.pem", "sim"][..], true),
            (&["mysa", "sim", "--ca", "a.pem"], true),
            (&["mysa", "config", "get", "unit", "--ca=a.pem"], true),
            (&["mysa", "sim"], false),
        ] {
            assert_eq!(Cli::try_read(args).unwrap().global.is_ca_typed, is_typed, "{args:?}");
        }
    }
}
