use std::collections::BTreeMap;
use std::ops::Range;

use mysa_proto::{DeviceId, ModeTable, Watts};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::{BridgeConfig, ConfigError, endpoint};

/// Settings of the `mysa` command. Every field has a default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Account to use when `--account` is not given, as [`normalize_account`] returns it.
    pub account: Option<String>,
    /// Unit of the temperatures that are shown.
    pub unit: Unit,
    /// Channel that commands take.
    pub channel: ChannelName,
    /// Table of mode numbers.
    pub mode_table: ModeTableName,
    /// Endpoints that differ from Mysa's own.
    pub environment: Endpoints,
    /// Settings of `mysa bridge`.
    pub bridge: BridgeConfig,
    /// Facts about thermostats that the cloud does not provide.
    pub devices: BTreeMap<DeviceId, DeviceConfig>,
}

/// Serialized form of the settings file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawConfig {
    account: Option<String>,
    #[serde(default)]
    unit: Unit,
    #[serde(default)]
    channel: ChannelName,
    #[serde(default)]
    mode_table: ModeTableName,
    #[serde(default)]
    environment: Endpoints,
    #[serde(default)]
    bridge: BridgeConfig,
    #[serde(default)]
    devices: BTreeMap<String, DeviceConfig>,
}

/// Unit of temperatures that are shown, and of those typed without a unit.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "no other unit is in use")]
pub enum Unit {
    /// °C
    #[default]
    Celsius,
    /// °F
    Fahrenheit,
}

/// Name of a channel for commands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "the cloud has these two channels")]
pub enum ChannelName {
    /// MQTT where it works, otherwise REST.
    #[default]
    Auto,
    /// MQTT only.
    Mqtt,
    /// REST only.
    Rest,
}

/// Name of a table of mode numbers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ModeTableName {
    /// [`ModeTable::OBSERVED`]
    #[default]
    Observed,
    /// [`ModeTable::DESIGN_DOCUMENT`]
    DesignDocument,
}

/// Endpoints and ids that differ from Mysa's own.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Endpoints {
    /// AWS region.
    pub region: Option<String>,
    /// Id of the Cognito user pool.
    pub user_pool: Option<String>,
    /// URL of the Cognito user pool service, starting with `https://`.
    pub user_pool_url: Option<String>,
    /// Id of the app client.
    pub client_id: Option<String>,
    /// Id of the Cognito identity pool.
    pub identity_pool: Option<String>,
    /// URL of the Cognito identity pool service, starting with `https://`.
    pub identity_pool_url: Option<String>,
    /// Host of the MQTT broker, with an optional port.
    pub iot_endpoint: Option<String>,
    /// `true` to look up the broker's host at the control plane of AWS IoT; if that fails, `iot_endpoint` is used.
    pub lookup_endpoint: Option<bool>,
    /// Host of the control plane of AWS IoT, with an optional port.
    pub iot_control_host: Option<String>,
    /// Host of the legacy REST service, with an optional port.
    pub rest_host: Option<String>,
    /// Host of the modern REST service, with an optional port.
    pub backend_host: Option<String>,
}

/// Facts about one thermostat.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DeviceConfig {
    /// Power of the heaters that it switches: 1 to 1 000 000 W.
    #[serde(deserialize_with = "watts")]
    pub rated_watts: Option<u32>,
}

/// Largest rated power, the largest value of [`Watts`].
pub(crate) const MAX_RATED_WATTS: u32 = 1_000_000;

fn watts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let watts = i64::deserialize(deserializer)?;
    let valid = u32::try_from(watts).ok().filter(|watts| (1..=MAX_RATED_WATTS).contains(watts));
    valid.map(Some).ok_or_else(|| D::Error::custom(ConfigError::InvalidWatts(watts.to_string())))
}

impl Unit {
    /// Names of all units, as the settings file has them.
    pub const NAMES: &'static [&'static str] = &["celsius", "fahrenheit"];

    /// Name in the settings file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Celsius => "celsius",
            Self::Fahrenheit => "fahrenheit",
        }
    }
}

impl ChannelName {
    /// Names of all channels, as the settings file has them.
    pub const NAMES: &'static [&'static str] = &["auto", "mqtt", "rest"];

    /// Name in the settings file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Mqtt => "mqtt",
            Self::Rest => "rest",
        }
    }
}

impl ModeTableName {
    /// Names of all tables, as the settings file has them.
    pub const NAMES: &'static [&'static str] = &["observed", "design-document"];

    /// Name in the settings file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::DesignDocument => "design-document",
        }
    }

    /// Table of this name.
    #[must_use]
    pub const fn table(self) -> ModeTable {
        match self {
            Self::Observed => ModeTable::OBSERVED,
            Self::DesignDocument => ModeTable::DESIGN_DOCUMENT,
        }
    }
}

impl Endpoints {
    /// Names and values of all fields, named as in the settings file.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, Option<&str>); 11] {
        [
            ("region", self.region.as_deref()),
            ("user-pool", self.user_pool.as_deref()),
            ("user-pool-url", self.user_pool_url.as_deref()),
            ("client-id", self.client_id.as_deref()),
            ("identity-pool", self.identity_pool.as_deref()),
            ("identity-pool-url", self.identity_pool_url.as_deref()),
            ("iot-endpoint", self.iot_endpoint.as_deref()),
            ("lookup-endpoint", self.lookup_endpoint.map(|wanted| if wanted { "true" } else { "false" })),
            ("iot-control-host", self.iot_control_host.as_deref()),
            ("rest-host", self.rest_host.as_deref()),
            ("backend-host", self.backend_host.as_deref()),
        ]
    }

    /// Checks the form of every value.
    fn check(&self) -> Result<(), ConfigError> {
        self.fields().into_iter().filter_map(|(name, value)| Some((name, value?))).try_for_each(
            |(name, value)| {
                let expected = endpoint::check(name, value);
                expected.map_err(|expected| ConfigError::InvalidEndpoint {
                    name,
                    value: value.to_owned(),
                    expected,
                })
            },
        )
    }
}

impl Config {
    /// Parses a settings file. An empty text gives every default.
    ///
    /// # Errors
    /// The first invalid line and the reason.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: RawConfig = toml_edit::de::from_str(text)
            .map_err(|error| ConfigError::toml(text, error.span(), error.message()))?;
        let mut devices = BTreeMap::new();
        for (name, settings) in file.devices {
            let at = |error| located(text, &["devices", &name], error);
            let id = DeviceId::new(&name).ok_or_else(|| at(ConfigError::InvalidDeviceId(name.clone())))?;
            if devices.insert(id, settings).is_some() {
                return Err(at(ConfigError::DuplicateDevice(name.clone())));
            }
        }
        let RawConfig { account, unit, channel, mode_table, environment, mut bridge, .. } = file;
        let account = match account {
            Some(name) => Some(
                normalize_account(&name)
                    .ok_or_else(|| located(text, &["account"], ConfigError::InvalidAccount(name)))?,
            ),
            None => None,
        };
        environment.check().map_err(|error| match &error {
            ConfigError::InvalidEndpoint { name, .. } => {
                let path = ["environment", *name];
                located(text, &path, error)
            }
            _ => error,
        })?;
        bridge.check().map_err(|error| match &error {
            ConfigError::InvalidBridge { name, .. } => {
                let path = ["bridge", *name];
                located(text, &path, error)
            }
            _ => error,
        })?;
        Ok(Self { account, unit, channel, mode_table, environment, bridge, devices })
    }

    /// Power of the heaters that this thermostat switches, if the settings contain it.
    #[must_use]
    pub fn rated_watts(&self, device: &DeviceId) -> Option<Watts> {
        Watts::from_watts(f64::from(self.devices.get(device)?.rated_watts?))
    }
}

/// Adds to an error the place of a value, or of the table of this name.
fn located(text: &str, path: &[&str], error: ConfigError) -> ConfigError {
    match span(text, path) {
        Some(span) => ConfigError::at(text, span, error),
        None => error,
    }
}

/// Bytes of a value, or of the name of a table.
fn span(text: &str, path: &[&str]) -> Option<Range<usize>> {
    let document = toml_edit::Document::parse(text).ok()?;
    let (last, tables) = path.split_last()?;
    let mut table = document.as_item().as_table_like()?;
    for name in tables {
        table = table.get(name)?.as_table_like()?;
    }
    let (key, item) = table.get_key_value(last)?;
    if item.is_value() { item.span() } else { key.span() }
}

/// Normalizes the name of an account: removes white space and control characters at both ends, such as the carriage
/// return of a file with Windows line ends. Letters keep their case, because a user pool may distinguish it.
///
/// `None` if nothing is left, or if a control character remains inside.
///
/// ```
/// use mysa_config::normalize_account;
///
/// assert_eq!(normalize_account(" ann@example.org\r\n").as_deref(), Some("ann@example.org"));
/// assert_eq!(normalize_account("\t"), None);
/// ```
#[must_use]
pub fn normalize_account(text: &str) -> Option<String> {
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    (!trimmed.is_empty() && !trimmed.contains(char::is_control)).then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_or_an_invalid_value_is_an_error() {
        for bad in [
            "colour = \"red\"",
            "unit = \"kelvin\"",
            "[devices.\"a/b\"]\nrated-watts = 1",
            "[devices.a1]\n[devices.A1]\n",
            "account = 7",
            "account = \"\\t\"",
            "channel = \"smoke\"",
            "[environment]\niot-endpoint = \"wss://example.org/mqtt\"",
            "[environment]\nhost = \"x\"",
            "[bridge]\npassword = \"secret\"",
            "[bridge]\nuser = \"\"",
            "[bridge]\naccounts = \"ann@example.org\"",
            "[bridge]\naccounts = [\"\"]",
        ] {
            assert!(Config::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn an_error_names_the_line_and_stays_short() {
        let long = "x".repeat(5_000);
        let text_of_error = Config::parse(&format!("# one\nunit = \"{long}\"\n")).unwrap_err().to_string();
        assert!(
            text_of_error.starts_with("line 2, column ")
                && text_of_error.chars().count() < 200
                && !text_of_error.contains('\n'),
            "{text_of_error}"
        );
        let text_of_error = Config::parse("unit = \"celsius\"\nunit = ").unwrap_err().to_string();
        assert!(text_of_error.starts_with("line 2, column "), "{text_of_error}");
    }

    #[test]
    fn an_invalid_value_is_named_with_its_place() {
        for (text, place) in [
            (
                "unit = \"celsius\"\n[environment]\niot-endpoint = \"wss://example.org\"\n",
                "line 3, column 16: ",
            ),
            ("environment = { rest-host = \"https://example.org\" }", "line 1, column 29: "),
            ("environment.user-pool-url = \"é\"", "line 1, column 29: "),
            ("[bridge]\nbroker = \"http://x\"\n", "line 2, column 10: invalid bridge.broker"),
            ("[bridge]\naccounts = [\"a\", \"a\"]\n", "line 2, column 12: invalid bridge.accounts 'a'"),
            ("\naccount = \"\\t\"", "line 2, column 11: "),
            ("[devices.\"a/b\"]\nrated-watts = 1", "line 1, column 10: "),
            ("[devices.a1]\nrated-watts = 0", "line 2, column 15: invalid rated power '0': expected"),
            ("[devices.a1]\nrated-watts = 1000001", "line 2, column 15: invalid rated power"),
            ("[devices.a1]\nrated-watts = \"x\"", "line 2, column 15: "),
            ("[devices.a1]\n[devices.A1]\n", "line "),
        ] {
            let text_of_error = Config::parse(text).unwrap_err().to_string();
            assert!(text_of_error.starts_with(place), "{text}: {text_of_error}");
        }
    }

    #[test]
    fn an_account_is_normalized() {
        for text in [r"ann@example.org\r", r" ann@example.org ", r"\u00a0ann@example.org\u0000"] {
            let config = Config::parse(&format!("account = \"{text}\"")).unwrap();
            assert_eq!(config.account.as_deref(), Some("ann@example.org"), "{text}");
        }
        assert_eq!(normalize_account("Ann@Example.org").as_deref(), Some("Ann@Example.org"));
        assert_eq!(normalize_account("ann\nbob"), None);
    }
}
