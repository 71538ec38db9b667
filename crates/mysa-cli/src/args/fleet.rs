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

#[derive(Debug, Subcommand)]
pub(crate) enum FleetAction {
    /// Change the settings of a thermostat by the running fleet, and wait for the confirmation
    Set(Box<FleetSet>),
    /// Show the accounts of the running fleet, or the thermostats of one account
    Status(FleetStatus),
    /// Check the accounts file, and list its accounts; starts nothing
    Check,
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
