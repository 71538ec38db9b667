//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  mysa demo                        everything once, on a simulated cloud
  mysa login                       sign in and keep the session
  mysa devices                     what the account has
  mysa watch                       live temperatures, duty and power
  mysa set \"living\" --temp 20.5    by the beginning of its name
  mysa mode bedroom off
  mysa energy --by month --svg energy.svg
  mysa decode capture.har          explain a captured session
  mysa doctor                      what does not work, and what to do

Exit codes:
  0 done   1 failed   2 wrong usage   4 sign-in needed or refused
  5 thermostat offline or silent   6 sent but unconfirmed   7 refused
  8 network or cloud down   9 out of time   130 interrupted   143 terminated";

const LOGIN: &str = "\
Examples:
  mysa login ann@example.org                         asks for the password, without showing it
  mysa login ann@example.org --password-file pw.txt
  pass show mysa | mysa login ann@example.org --password-stdin

The password is used once and not kept; what is kept is a session that `mysa logout` revokes.";

const WATCH: &str = "\
Examples:
  mysa watch                                 a table on a terminal, lines on a pipe
  mysa watch living bedroom --json           one JSON object a line
  mysa watch --count 1 --json living         the state now
  mysa watch --capture session.jsonl         and later: mysa decode session.jsonl
  mysa watch --url - a0b1c2d3e4f5=BB-V1-1    with a captured URL from standard input; no account";

const SET: &str = "\
Examples:
  mysa set living --temp 20.5
  mysa set living --temp +0.5 --wait 40
  mysa set bathroom --temp 77F --hold on
  mysa set office --mode cool --temp 22 --fan low --dry-run

Ends with 0 only if the thermostat has shown that it holds what was asked for.";

const ENERGY: &str = "\
Examples:
  mysa energy                                the last two weeks as a chart
  mysa energy living --by month
  mysa energy --from 2026-01-01 --to 2026-01-31 --csv january.csv --svg january.svg";

const RAW: &str = "\
Examples:
  mysa raw /devices/state
  mysa raw --host backend /state/a0b1c2d3e4f5

Private things are replaced unless --show-private is given.";

const PRESIGN: &str = "\
Examples:
  mysa presign --out url.txt             in a file for you alone
  mysa presign --print | other-program
  mysa presign --inspect - < url.txt     what a URL says of itself
  mysa presign --endpoint a1b2-ats.iot.us-east-1.amazonaws.com --out url.txt
                                         with AWS_ACCESS_KEY_ID,
                                         AWS_SECRET_ACCESS_KEY and
                                         AWS_SESSION_TOKEN; no account

Whoever has the URL can connect in your name until it lapses, in five minutes
or so; the connection lasts up to a day. The other program connects by
WebSocket, subprotocol mqtt, with a client id of its own.";

const DOCTOR: &str = "\
Looks at every step from the files here to the word of each thermostat, and
says what to do about what fails. What it prints holds nothing private and can
be attached to a bug report. It sends thermostats nothing but the request to
report live that `mysa watch` sends too. The exit code is that of the first
step that failed.";

const MAN: &str = "\
Examples:
  mysa man | man -l -                        read it
  mysa man set                               the page of one command
  mysa man --dir ~/.local/share/man/man1     write all pages";

const DECODE: &str = "\
Examples:
  mysa decode capture.har                    WebSocket frames of a browser's archive
  mosquitto_sub -v … | mysa decode --json
  echo '20 02 00 00' | mysa decode           MQTT packets in hex
  mysa decode --as batch readings.b64";

const SIM: &str = "\
Examples:
  mysa sim                                   a home of five thermostats on 127.0.0.1:8443
  mysa sim --speed 60 --fault cut@600 --fault drop-acks@900-1200
  mysa sim --home home.toml --listen 127.0.0.1:0
  mysa sim --home small --token-life 120     four thermostats, tokens of two minutes

A home file:
  history-days = 30
  [[account]]
  email = \"ann@example.org\"
  password = \"secret\"
  [[account.home]]
  name = \"Cottage\"
  [[account.home.device]]
  id = \"a0b1c2d3e4f5\"
  model = \"BB-V1-1\"
  name = \"Hall\"
  rated-w = 1500";

const EVERYWHERE: &str = "Options of every command";

/// Mysa thermostats from a terminal. Unofficial; not affiliated with Mysa
#[derive(Debug, Parser)]
#[command(name = "mysa", version, after_help = EXAMPLES, disable_help_subcommand = true)]
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
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MYSA_ACCOUNT", value_name = "EMAIL")]
    pub(crate) account: Option<String>,
    /// One JSON document on standard output; one object a line for streams
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// Settings file
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MYSA_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A further certificate authority to trust, PEM; for `sim`, where to write its own
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MYSA_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Connect to this address whatever host a URL names; names and certificates are checked as ever
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "MYSA_CONNECT_TO", value_name = "ADDR:PORT")]
    pub(crate) connect_to: Option<SocketAddr>,
    /// Print ids, addresses and other private things in full
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) show_private: bool,
    /// Say more on standard error; twice, of every message
    #[arg(short, long, global = true, help_heading = EVERYWHERE, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, help_heading = EVERYWHERE, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in and keep the session
    Login(Login),
    /// Sign out: revoke the session and forget it
    Logout(Logout),
    /// List the account's thermostats
    Devices,
    /// Show the account, the link to the cloud, and what the thermostats last said
    Status(Status),
    /// Follow the thermostats live
    Watch(Watch),
    /// Change a thermostat and wait for its answer
    Set(Set),
    /// Change a thermostat's mode and wait for its answer
    Mode(Mode),
    /// Energy by day or month, as a chart, CSV, JSON or SVG
    Energy(Energy),
    /// Read any route of the REST service
    Raw(Raw),
    /// Explain a payload, a batch record, an MQTT packet or a captured session; no account needed
    Decode(Decode),
    /// Sign a URL for another MQTT program, or explain one
    Presign(Presign),
    /// Check every step from here to the thermostats, and say what to do
    #[command(after_help = DOCTOR)]
    Doctor,
    /// Run the simulated cloud on this machine
    Sim(Sim),
    /// Do the main job on a simulated cloud, start to end
    Demo(Demo),
    /// Show and change the settings
    Config(Config),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual page
    Man(Man),
}

#[derive(Args, Debug)]
#[command(after_help = LOGIN)]
pub(crate) struct Login {
    /// E-mail address of the account
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
    /// Forget the session here without telling the cloud
    #[arg(long)]
    pub(crate) local: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Thermostats, by id or the beginning of a name; all by default
    pub(crate) devices: Vec<String>,
    /// How long to wait for live reports, in seconds
    #[arg(long, default_value_t = 8.0, value_name = "SECONDS")]
    pub(crate) wait: f64,
}

#[derive(Args, Debug)]
#[command(after_help = WATCH)]
pub(crate) struct Watch {
    /// Thermostats, by id or the beginning of a name; all by default. With --url, ID or ID=MODEL
    pub(crate) devices: Vec<String>,
    /// Stop after this many changes
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<f64>,
    /// Keep every message as it came in this file, for `mysa decode`; it holds ids in full
    #[arg(long, value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,
    /// Use a captured presigned URL instead of an account; `-` reads it from standard input
    #[arg(long, value_name = "URL", requires = "devices")]
    pub(crate) url: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = SET)]
pub(crate) struct Set {
    /// Thermostat, by id or the beginning of its name
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) sending: Sending,
}

/// What is to change. At least one.
#[derive(Args, Debug, Default)]
#[group(required = true, multiple = true)]
pub(crate) struct Change {
    /// Temperature: 20.5, 20.5C, 69F, or a step such as +0.5 or -1
    #[arg(long, short, value_name = "TEMP", allow_hyphen_values = true)]
    pub(crate) temp: Option<String>,
    /// Mode: off, heat, and for air conditioners auto, cool, dry, fan
    #[arg(long, short, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// Hold the setpoint, or follow the schedule again
    #[arg(long, value_enum)]
    pub(crate) hold: Option<OnOff>,
    /// Lock the buttons
    #[arg(long, value_enum)]
    pub(crate) lock: Option<OnOff>,
    /// Brightness of the display in use, percent
    #[arg(long, value_name = "PERCENT")]
    pub(crate) brightness: Option<u8>,
    /// Wake the display on approach
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
    /// Let an air conditioner follow the thermostat's own sensor
    #[arg(long, value_enum)]
    pub(crate) climate_plus: Option<OnOff>,
    /// Sensor an in-floor thermostat follows
    #[arg(long, value_enum)]
    pub(crate) sensor: Option<Sensor>,
}

#[derive(Args, Debug)]
pub(crate) struct Mode {
    /// Thermostat, by id or the beginning of its name
    pub(crate) device: String,
    /// off, heat, and for air conditioners auto, cool, dry, fan
    pub(crate) mode: String,
    #[command(flatten)]
    pub(crate) sending: Sending,
}

/// How a command is sent.
#[derive(Args, Debug)]
pub(crate) struct Sending {
    /// How long to wait for the thermostat's answer, in seconds
    #[arg(long, default_value_t = 20.0, value_name = "SECONDS", conflicts_with = "no_wait")]
    pub(crate) wait: f64,
    /// Do not wait for the thermostat's answer; say only that the command was taken by the cloud
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Show what would be sent, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

impl OnOff {
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
#[command(after_help = ENERGY)]
pub(crate) struct Energy {
    /// Thermostats, by id or the beginning of a name; all by default
    pub(crate) devices: Vec<String>,
    /// One bar a day or a month
    #[arg(long, value_enum, default_value_t = Period::Day)]
    pub(crate) by: Period,
    /// First day, YYYY-MM-DD; by default two weeks or twelve months ago
    #[arg(long, value_name = "DATE")]
    pub(crate) from: Option<String>,
    /// Last day, YYYY-MM-DD; by default today
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
    Day,
    Month,
}

#[derive(Args, Debug)]
#[command(after_help = RAW)]
pub(crate) struct Raw {
    /// Path with its query, such as /devices/state. Only GET is offered: nothing can be changed this way
    pub(crate) path: String,
    /// Which of the two hosts
    #[arg(long, value_enum, default_value_t = Host::Legacy)]
    pub(crate) host: Host,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Host {
    Legacy,
    Backend,
}

#[derive(Args, Debug)]
#[command(after_help = DECODE)]
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
    /// Records of batch readings in base64, hex or binary
    Batch,
    /// MQTT packets in hex, base64 or binary
    Packet,
    /// HAR file, JSON objects with topic and payload, or the output of mosquitto_sub -v
    Capture,
}

#[derive(Args, Debug)]
#[command(after_help = PRESIGN, group(clap::ArgGroup::new("what").required(true)))]
pub(crate) struct Presign {
    /// Write a fresh URL to this file, readable by its owner alone
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) out: Option<PathBuf>,
    /// Print a fresh URL on standard output. It is a secret
    #[arg(long, group = "what")]
    pub(crate) print: bool,
    /// Explain this URL; `-` reads it from standard input
    #[arg(long, value_name = "URL", group = "what")]
    pub(crate) inspect: Option<String>,
    /// Sign for this broker with the AWS keys in the environment, instead of for the account that is signed in
    #[arg(long, value_name = "HOST", conflicts_with = "inspect")]
    pub(crate) endpoint: Option<String>,
    /// AWS region of the broker; by default the one in its name
    #[arg(long, value_name = "REGION", requires = "endpoint")]
    pub(crate) region: Option<String>,
}

impl Presign {
    /// Whether the account has to be asked.
    pub(crate) fn is_online(&self) -> bool {
        self.inspect.is_none() && self.endpoint.is_none()
    }
}

#[derive(Args, Debug)]
#[command(after_help = SIM)]
pub(crate) struct Sim {
    /// Loopback address and port
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,
    /// Use this certificate chain, PEM, instead of one made on the spot
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Accounts, homes and thermostats, TOML; `small` for a home of four; a home of five by default
    #[arg(long, value_name = "FILE")]
    pub(crate) home: Option<PathBuf>,
    /// How many virtual seconds pass in a real one
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub(crate) speed: f64,
    /// Life of id and access tokens, in virtual seconds; an hour by default
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3_155_760_000))]
    pub(crate) token_life: Option<u64>,
    /// Life of AWS credentials, in virtual seconds; an hour by default
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3_155_760_000))]
    pub(crate) credential_life: Option<u64>,
    /// Something that goes wrong, as NAME or NAME@SECONDS; may be given several times. `list` shows them
    #[arg(long, value_name = "FAULT")]
    pub(crate) fault: Vec<String>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
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

#[derive(Args, Debug)]
#[command(after_help = MAN)]
pub(crate) struct Man {
    /// Command whose page is wanted; the whole program by default
    pub(crate) command: Option<String>,
    /// Write the pages of all commands to this folder
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}
