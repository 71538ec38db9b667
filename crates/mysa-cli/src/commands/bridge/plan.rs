//! Settings of a bridge, merged from options, variables, the settings file and defaults.

use std::fs;
use std::path::{Path, PathBuf};

use mysa_bridge::client::Login;
use mysa_bridge::{Settings, Unit};
use mysa_cognito::Secret;
use mysa_config::{BridgeConfig, BrokerUrl, ListenAddress};

use crate::args::bridge::BridgeOptions;
use crate::commands::bridge::log::Format;
use crate::output::terminal::{PasswordSource, read_password};
use crate::support::config::Config;
use crate::support::exit::{Failure, Result};

/// Settings of a bridge.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) url: BrokerUrl,
    pub(crate) settings: Settings,
    pub(crate) broker_ca: Option<PathBuf>,
    /// Certificate chain and key to present to the broker.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// Address for metrics and health.
    pub(crate) metrics: Option<ListenAddress>,
    pub(crate) log_format: Format,
    /// File with the password.
    password_file: Option<PathBuf>,
    /// Every setting with its value and origin, for people.
    pub(crate) lines: Vec<Line>,
}

/// A setting, its value, and the place that it comes from.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    Option,
    Variable,
    File,
    Default,
}

impl Origin {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            // clap does not tell them apart for an option that another subcommand shares.
            Self::Option => "option or variable",
            Self::Variable => "variable",
            Self::File => "settings file",
            Self::Default => "default",
        }
    }
}

/// Variable with the password.
const PASSWORD: &str = "MYSA_BRIDGE_PASSWORD";
/// Value of the discovery prefix that publishes no discovery.
const NO_DISCOVERY: &str = "none";

impl Plan {
    pub(crate) fn new(options: &BridgeOptions, config: &Config) -> Result<Self> {
        let mut plan = Merge { file: &config.bridge, lines: Vec::new() };
        let broker = plan.take("broker", options.broker.as_deref(), Some("mqtt://localhost:1883"));
        let broker = broker.unwrap_or_default();
        let url: BrokerUrl =
            broker.parse().map_err(|error| Failure::usage(format!("invalid --broker: {error}")))?;
        let user = plan.take("user", options.user.as_deref(), None);
        let password_file = plan.take_path("password-file", options.password_file.as_deref());
        let password = plan.password(password_file.as_deref())?;
        let broker_ca = plan.take_path("broker-ca", options.broker_ca.as_deref());
        let certificate = plan.take_path("client-certificate", options.client_certificate.as_deref());
        let key = plan.take_path("client-key", options.client_key.as_deref());
        let client_id = plan.take("client-id", options.client_id.as_deref(), Some("mysa-bridge"));
        let prefix = plan.take("prefix", options.prefix.as_deref(), Some("mysa"));
        let discovery =
            plan.take("discovery-prefix", options.discovery_prefix.as_deref(), Some("homeassistant"));
        let metrics = plan.take("metrics", options.metrics.as_deref(), None);
        let metrics = metrics.map(|text| text.parse()).transpose();
        let metrics = metrics.map_err(|error| Failure::usage(format!("invalid --metrics: {error}")))?;
        let log_format = match plan.take("log-format", options.log_format.as_deref(), Some("text")).as_deref()
        {
            Some("json") => Format::Json,
            None | Some("text") => Format::Text,
            Some(_) => return Err(Failure::usage("invalid --log-format: expected text or json")),
        };
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(Failure::usage("--client-certificate and --client-key belong together")),
        };
        if !url.tls && (broker_ca.is_some() || identity.is_some()) {
            return Err(Failure::usage(
                "certificates have no effect on mqtt:// and ws://: use mqtts:// or wss:// for a broker with TLS",
            ));
        }
        let mut settings = Settings::new(client_id.unwrap_or_default());
        settings.broker.login = match (user, password) {
            (Some(user_name), password) => Some(Login { user_name, password }),
            (None, None) => None,
            (None, Some(_)) => return Err(Failure::usage("a password for the broker needs a --user")),
        };
        settings.prefix = prefix.unwrap_or_default();
        settings.discovery_prefix = discovery.filter(|prefix| prefix != NO_DISCOVERY);
        settings.modes = config.mode_table.table();
        settings.unit = match config.unit {
            crate::support::config::Unit::Celsius => Unit::Celsius,
            crate::support::config::Unit::Fahrenheit => Unit::Fahrenheit,
        };
        Ok(Self { url, settings, broker_ca, identity, metrics, log_format, password_file, lines: plan.lines })
    }

    /// Warnings about secrets that every user of the computer can read. The files belong to their owner, who may have a
    /// reason: a container gets its secrets readable for all. So the bridge runs nevertheless.
    pub(crate) fn exposed_files(&self) -> Vec<String> {
        let key = self.identity.as_ref().map(|(_, key)| key);
        let files = [("password-file", self.password_file.as_ref()), ("client-key", key)];
        let exposed = files.into_iter().filter_map(|(option, path)| {
            let (path, mode) = (path?, exposed_mode(path?)?);
            let path = path.display();
            Some(format!("every user of this computer can read --{option} {path} (mode {mode:03o}); run: chmod 600 {path}"))
        });
        exposed.collect()
    }

    /// `true` if a password crosses a network in the clear.
    pub(crate) fn exposes_password(&self) -> bool {
        let has_password = self.settings.broker.login.as_ref().is_some_and(|login| login.password.is_some());
        let is_local = matches!(self.url.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        has_password && !self.url.tls && !is_local
    }
}

struct Merge<'a> {
    file: &'a BridgeConfig,
    lines: Vec<Line>,
}

impl Merge<'_> {
    fn take(&mut self, name: &'static str, option: Option<&str>, default: Option<&str>) -> Option<String> {
        let in_file =
            self.file.fields().into_iter().find(|(field, _)| *field == name).and_then(|(_, value)| value);
        let (value, origin) = match (option, in_file) {
            (Some(value), _) => (Some(value), Origin::Option),
            (None, Some(value)) => (Some(value), Origin::File),
            (None, None) => (default, Origin::Default),
        };
        let value = value.map(str::to_owned);
        self.lines.push(Line { name, value: value.clone(), origin });
        value
    }

    fn take_path(&mut self, name: &'static str, option: Option<&Path>) -> Option<PathBuf> {
        let option = option.map(|path| path.to_string_lossy().into_owned());
        self.take(name, option.as_deref(), None).map(PathBuf::from)
    }

    /// Reads the password from its file, or else from its variable.
    fn password(&mut self, file: Option<&Path>) -> Result<Option<Secret>> {
        if let Some(path) = file {
            let shown = path.display().to_string();
            let password = read_password(&PasswordSource::File(path))
                .map_err(|failure| Failure::new(failure.exit, format!("{shown}: {failure}")))?;
            return Ok(Some(Secret::from(password.as_str())));
        }
        let password = std::env::var_os(PASSWORD).filter(|password| !password.is_empty());
        let Some(password) = password else { return Ok(None) };
        let password = password.to_str().ok_or_else(|| Failure::usage(format!("{PASSWORD} is not UTF-8")))?;
        self.lines.push(Line { name: "password", value: Some("(set)".into()), origin: Origin::Variable });
        Ok(Some(Secret::from(password)))
    }
}

/// Mode of a file that every user can read.
#[cfg(unix)]
fn exposed_mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o004 != 0).then_some(mode)
}

/// Modes exist on Unix alone.
#[cfg(not(unix))]
fn exposed_mode(_: &Path) -> Option<u32> {
    None
}

/// Reads a file that an option names.
pub(crate) fn read(option: &str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path)
        .map_err(|error| Failure::usage(format!("cannot read --{option} {}: {error}", path.display())))
}
