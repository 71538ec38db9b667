//! Arguments of `mysa bridge`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::help;

#[derive(Args, Debug)]
#[command(after_help = help::BRIDGE)]
pub(crate) struct Bridge {
    #[command(subcommand)]
    pub(crate) action: Option<BridgeAction>,
    #[command(flatten)]
    pub(crate) options: BridgeOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BridgeAction {
    /// Explain the settings, and try to connect to the broker
    Check,
    /// Print a script that installs the bridge as a service of systemd; installs nothing
    InstallService,
    /// List the retained messages that mysa2mqtt left at the broker, and remove them if asked
    Migrate(Migrate),
}

#[derive(Args, Debug)]
#[command(after_help = help::MIGRATE)]
pub(crate) struct Migrate {
    /// Remove the messages
    #[arg(long)]
    pub(crate) yes: bool,
    /// First part of the topics of mysa2mqtt, its --mqtt-topic-prefix
    #[arg(long, value_name = "TOPIC", default_value = mysa_bridge::Leftovers::PREFIX)]
    pub(crate) from: String,
}

/// Options that override the settings file.
#[derive(Args, Debug, Default)]
pub(crate) struct BridgeOptions {
    /// URL of the broker: mqtt://HOST, mqtt://HOST:PORT, or over WebSocket ws://HOST:PORT/PATH; with TLS, mqtts:// or wss:// [default: mqtt://localhost:1883]
    #[arg(long, global = true, env = "MYSA_BRIDGE_BROKER", value_name = "URL", hide_env_values = true)]
    pub(crate) broker: Option<String>,
    /// User name for the broker
    #[arg(long, global = true, env = "MYSA_BRIDGE_USER", value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// File with the password for the broker; the variable MYSA_BRIDGE_PASSWORD may hold the password instead
    #[arg(long, global = true, env = "MYSA_BRIDGE_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Certificate authorities of the broker, PEM [default: those of the system]
    #[arg(long, global = true, env = "MYSA_BRIDGE_BROKER_CA", value_name = "FILE")]
    pub(crate) broker_ca: Option<PathBuf>,
    /// Certificate chain to present to the broker, PEM
    #[arg(long, global = true, env = "MYSA_BRIDGE_CLIENT_CERTIFICATE", value_name = "FILE")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, global = true, env = "MYSA_BRIDGE_CLIENT_KEY", value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// MQTT client id, one for each bridge of a broker [default: mysa-bridge]
    #[arg(long, global = true, env = "MYSA_BRIDGE_CLIENT_ID", value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// First part of the topics, one for each bridge of a broker [default: mysa]
    #[arg(long, global = true, env = "MYSA_BRIDGE_PREFIX", value_name = "TOPIC")]
    pub(crate) prefix: Option<String>,
    /// First part of Home Assistant's discovery topics, or `none` [default: homeassistant]
    #[arg(long, global = true, env = "MYSA_BRIDGE_DISCOVERY_PREFIX", value_name = "TOPIC")]
    pub(crate) discovery_prefix: Option<String>,
    /// Address for Prometheus' metrics and /healthz: PORT for loopback, or ADDRESS:PORT [default: none]
    #[arg(long, global = true, env = "MYSA_BRIDGE_METRICS", value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,
    /// Format of the log on standard error: text or json [default: text]
    #[arg(long, global = true, env = "MYSA_BRIDGE_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}
