//! Arguments of `mysa fleet`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Change, help};

#[derive(Args, Debug)]
#[command(after_help = help::FLEET)]
pub(crate) struct Fleet {
    #[command(subcommand)]
    pub(crate) action: Option<FleetAction>,
    #[command(flatten)]
    pub(crate) options: FleetOptions,
}

impl Fleet {
    /// `true` for a process that serves accounts until it is told to end.
    pub(crate) const fn serves(&self) -> bool {
        match self.action {
            None => true,
            #[cfg(feature = "nats")]
            Some(FleetAction::Worker(_)) => true,
            Some(_) => false,
        }
    }

    /// `true` for a command that must finish its work although the reader of its output is gone.
    pub(crate) const fn outlives_reader(&self) -> bool {
        matches!(self.action, Some(FleetAction::Set(_) | FleetAction::Status(_) | FleetAction::Check))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum FleetAction {
    /// Change the settings of a thermostat by the running fleet, and wait for the confirmation
    Set(Box<FleetSet>),
    /// Show the accounts of the running fleet, or the thermostats of one account
    Status(FleetStatus),
    /// Check the accounts file, and list its accounts; starts nothing
    Check,
    /// Serve the accounts together with workers on other machines, by NATS: each account at one worker at a time
    #[cfg(feature = "nats")]
    Worker(Box<FleetWorker>),
    /// Manage the accounts that workers take from NATS, in place of an accounts file
    #[cfg(feature = "nats")]
    #[command(subcommand, after_help = help::FLEET_ACCOUNTS)]
    Accounts(Box<AccountsAction>),
    /// Make and list the keys that seal the accounts at NATS
    #[cfg(feature = "nats")]
    #[command(subcommand)]
    Key(KeyAction),
    /// Print the events of all workers: the latest of each thermostat, then the new ones, as JSON lines
    #[cfg(feature = "nats")]
    Watch(Box<FleetWatch>),
}

#[cfg(feature = "nats")]
#[derive(Args, Debug)]
pub(crate) struct FleetWatch {
    /// Name of an account [default: all accounts]
    #[arg(value_name = "ACCOUNT")]
    pub(crate) of: Option<String>,
    /// End after this number of events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) nats: NatsOptions,
}

/// Keys of a fleet.
#[cfg(feature = "nats")]
#[derive(Args, Debug)]
pub(crate) struct KeySource {
    /// File of the keys that seal the sessions of accounts at NATS, a line `ID BASE64` for each; the first one seals. Only its
    /// owner may be able to read it
    #[arg(long, env = "MYSA_FLEET_KEYS", value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Command that prints what --keys would have, within a minute; sh runs it
    #[arg(long, env = "MYSA_FLEET_KEY_COMMAND", value_name = "COMMAND", conflicts_with = "keys")]
    pub(crate) key_command: Option<String>,
}

#[cfg(feature = "nats")]
impl KeySource {
    /// `true` if keys are named.
    pub(crate) const fn is_named(&self) -> bool {
        self.keys.is_some() || self.key_command.is_some()
    }
}

#[cfg(feature = "nats")]
#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Make a key: print its line, or add it as the last line of a file
    New {
        /// Name of the key, at most 32 letters, digits, - and _ [default: the date]
        #[arg(value_name = "ID")]
        id: Option<String>,
        /// File to add the key to; it is created if it does not exist
        #[arg(long, env = "MYSA_FLEET_KEYS", value_name = "FILE")]
        keys: Option<PathBuf>,
    },
    /// List the names of the keys
    List {
        #[command(flatten)]
        source: KeySource,
    },
}

#[cfg(feature = "nats")]
#[derive(Debug, Subcommand)]
pub(crate) enum AccountsAction {
    /// Add an account with its session: of `mysa login`, of a sign-in by password, or of a refresh token
    Add(Box<AddAccount>),
    /// Remove an account; its worker stops it
    Remove {
        /// Name of the account
        #[arg(value_name = "NAME")]
        account: String,
        #[command(flatten)]
        nats: NatsOptions,
    },
    /// List the accounts and the keys that seal them; with the keys, their e-mail addresses and sessions too
    List {
        #[command(flatten)]
        nats: NatsOptions,
        #[command(flatten)]
        source: KeySource,
    },
    /// Seal every account again with the first key
    Rotate {
        #[command(flatten)]
        nats: NatsOptions,
        #[command(flatten)]
        source: KeySource,
    },
}

#[cfg(feature = "nats")]
#[derive(Args, Debug)]
pub(crate) struct AddAccount {
    /// E-mail address of the account
    #[arg(value_name = "EMAIL")]
    pub(crate) email: String,
    /// Name in commands, events and metrics [default: the e-mail address]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Replace the session of an account that is there
    #[arg(long)]
    pub(crate) replace: bool,
    /// File with the password, which signs in once and is not stored
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "password_file")]
    pub(crate) password_stdin: bool,
    /// Read a refresh token from standard input
    #[arg(long, conflicts_with_all = ["password_file", "password_stdin"])]
    pub(crate) refresh_token_stdin: bool,
    /// Copies of the bucket in a cluster of NATS servers, when this command creates it
    #[arg(long, env = "MYSA_FLEET_REPLICAS", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: u8,
    #[command(flatten)]
    pub(crate) nats: NatsOptions,
    #[command(flatten)]
    pub(crate) source: KeySource,
}

#[derive(Args, Debug)]
#[command(after_help = help::FLEET_SET)]
pub(crate) struct FleetSet {
    /// Name of the account, a slash, and the thermostat by id or the start of its name
    #[arg(value_name = "ACCOUNT/THERMOSTAT")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) change: Change,
    /// Time limit in seconds [default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<f64>,
    /// Id of the request. A request that is repeated with the same id is carried out once, and gets the same verdict
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<String>,
    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) nats: NatsOptions,
}

#[derive(Args, Debug)]
pub(crate) struct FleetStatus {
    /// Name of an account [default: all accounts, without their thermostats]
    #[arg(value_name = "ACCOUNT")]
    pub(crate) of: Option<String>,
}

/// Options of a running fleet.
#[derive(Args, Debug)]
pub(crate) struct FleetOptions {
    /// Accounts, TOML; only its owner may be able to read it
    #[arg(long, global = true, env = "MYSA_FLEET_ACCOUNTS", value_name = "FILE")]
    pub(crate) accounts: Option<PathBuf>,
    /// Socket for commands [default: fleet.sock beside the stored sessions]
    #[arg(long, global = true, env = "MYSA_FLEET_CONTROL", value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
}

/// Options of a process that serves accounts.
#[derive(Args, Debug)]
pub(crate) struct ServeOptions {
    /// Address for Prometheus' metrics and /healthz: PORT for loopback, or ADDRESS:PORT [default: none]
    #[arg(long, env = "MYSA_FLEET_METRICS", value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,
    /// Metrics beyond those of the whole fleet, with a series or more for each account or each thermostat
    #[arg(long, value_enum, env = "MYSA_FLEET_SERIES", value_name = "SERIES", default_value_t = Series::Fleet)]
    pub(crate) series: Series,
    /// Maximum number of accounts that sign in at the same time
    #[arg(long, env = "MYSA_FLEET_SIGN_INS", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) sign_ins: u16,
    /// Maximum number of accounts that start in a second, on average
    #[arg(long, env = "MYSA_FLEET_START_RATE", value_name = "RATE", default_value_t = 2.0)]
    pub(crate) start_rate: f64,
    /// Format of the log on standard error: text or json
    #[arg(long, env = "MYSA_FLEET_LOG_FORMAT", value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    pub(crate) log_format: String,
}

/// Worker of a fleet.
#[cfg(feature = "nats")]
#[derive(Args, Debug)]
#[command(after_help = help::FLEET_WORKER)]
pub(crate) struct FleetWorker {
    #[command(flatten)]
    pub(crate) nats: NatsOptions,
    #[command(flatten)]
    pub(crate) source: KeySource,
    /// Name of this worker [default: the name of the machine]
    #[arg(long, env = "MYSA_FLEET_WORKER", value_name = "NAME")]
    pub(crate) worker: Option<String>,
    /// Maximum number of accounts that this worker owns
    #[arg(long, env = "MYSA_FLEET_CAPACITY", value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) capacity: u32,
    /// Seconds after which the others take over the accounts of a worker that is gone; 6 to 600, the same for all workers
    #[arg(long, env = "MYSA_FLEET_LEASE", value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) lease: f64,
    /// Seconds without a change among the workers after which accounts are spread evenly over them
    #[arg(long, env = "MYSA_FLEET_SETTLE", value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) settle: f64,
    /// Copies of each bucket in a cluster of NATS servers, when this worker creates it
    #[arg(long, env = "MYSA_FLEET_REPLICAS", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: u8,
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
}

/// Connection to NATS.
#[cfg(feature = "nats")]
#[derive(Args, Debug)]
pub(crate) struct NatsOptions {
    /// NATS servers with JetStream, nats://HOST:PORT or tls://HOST:PORT, with commas between several
    #[arg(long, env = "MYSA_NATS", value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// Name of the fleet: letters, digits, - and _. Several fleets can use one NATS account
    #[arg(long, env = "MYSA_FLEET", value_name = "NAME", default_value = "fleet")]
    pub(crate) fleet: String,
    /// Credentials file for NATS, as the nats command has it
    #[arg(long, env = "MYSA_NATS_CREDS", value_name = "FILE", conflicts_with_all = ["nats_user", "nats_token_file"])]
    pub(crate) nats_creds: Option<PathBuf>,
    /// User name for NATS
    #[arg(long, env = "MYSA_NATS_USER", value_name = "NAME", requires = "nats_password_file")]
    pub(crate) nats_user: Option<String>,
    /// File with the password of the user
    #[arg(long, env = "MYSA_NATS_PASSWORD_FILE", value_name = "FILE", requires = "nats_user")]
    pub(crate) nats_password_file: Option<PathBuf>,
    /// File with a token for NATS
    #[arg(long, env = "MYSA_NATS_TOKEN_FILE", value_name = "FILE", conflicts_with = "nats_user")]
    pub(crate) nats_token_file: Option<PathBuf>,
    /// First part of the subjects at which answers arrive, if permissions ask for another one [default: _INBOX.worker, of
    /// `accounts` _INBOX.administrator, of `watch` _INBOX.reader, of `set` _INBOX.caller]
    #[arg(long, env = "MYSA_NATS_INBOX", value_name = "SUBJECT")]
    pub(crate) nats_inbox: Option<String>,
    /// Certificate authorities of the NATS server, PEM [default: those of the system]
    #[arg(long, env = "MYSA_NATS_CA", value_name = "FILE")]
    pub(crate) nats_ca: Option<PathBuf>,
    /// Client certificate for NATS, PEM
    #[arg(long, env = "MYSA_NATS_CERT", value_name = "FILE", requires = "nats_key")]
    pub(crate) nats_cert: Option<PathBuf>,
    /// Key of the client certificate, PEM
    #[arg(long, env = "MYSA_NATS_KEY", value_name = "FILE", requires = "nats_cert")]
    pub(crate) nats_key: Option<PathBuf>,
}

/// Amount of series.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Series {
    /// A fixed number, however large the fleet is
    Fleet,
    /// Also the service level of each account
    Account,
    /// Also the values of each thermostat
    Thermostat,
}
