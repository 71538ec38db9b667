use std::collections::BTreeMap;

use mysa_proto::{DeviceId, ModeTable, Watts};
use serde::Deserialize;

use crate::ConfigError;

/// The settings of the command. Everything has a default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The account used where `--account` does not say.
    pub account: Option<String>,
    /// How temperatures are shown.
    pub unit: Unit,
    /// Which numbers mean which modes.
    pub mode_table: ModeTableName,
    /// Endpoints other than Mysa's own.
    pub environment: Endpoints,
    /// What is known of a thermostat that the cloud does not know.
    pub devices: BTreeMap<DeviceId, DeviceConfig>,
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    account: Option<String>,
    #[serde(default)]
    unit: Unit,
    #[serde(default)]
    mode_table: ModeTableName,
    #[serde(default)]
    environment: Endpoints,
    #[serde(default)]
    devices: BTreeMap<String, DeviceConfig>,
}

/// Unit of temperatures that are shown, and of those typed without a letter.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "people use these two")]
pub enum Unit {
    /// °C
    #[default]
    Celsius,
    /// °F
    Fahrenheit,
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

/// Parts of the cloud's address that differ from Mysa's own.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Endpoints {
    /// AWS region.
    pub region: Option<String>,
    /// Id of the user pool.
    pub user_pool: Option<String>,
    /// Id of the app client.
    pub client_id: Option<String>,
    /// Id of the identity pool.
    pub identity_pool: Option<String>,
    /// Host of the MQTT broker.
    pub iot_endpoint: Option<String>,
    /// Host of the legacy REST service.
    pub rest_host: Option<String>,
    /// Host of the modern REST service.
    pub backend_host: Option<String>,
}

/// What is known of one thermostat.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DeviceConfig {
    /// What the heaters behind it draw, in watts.
    pub rated_watts: Option<u32>,
}

impl Unit {
    /// As it is written in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Celsius => "celsius",
            Self::Fahrenheit => "fahrenheit",
        }
    }
}

impl ModeTableName {
    /// As it is written in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::DesignDocument => "design-document",
        }
    }

    /// The table itself.
    #[must_use]
    pub const fn table(self) -> ModeTable {
        match self {
            Self::Observed => ModeTable::OBSERVED,
            Self::DesignDocument => ModeTable::DESIGN_DOCUMENT,
        }
    }
}

impl Endpoints {
    /// The parts by name.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, Option<&str>); 7] {
        [
            ("region", self.region.as_deref()),
            ("user_pool", self.user_pool.as_deref()),
            ("client_id", self.client_id.as_deref()),
            ("identity_pool", self.identity_pool.as_deref()),
            ("iot_endpoint", self.iot_endpoint.as_deref()),
            ("rest_host", self.rest_host.as_deref()),
            ("backend_host", self.backend_host.as_deref()),
        ]
    }
}

impl Config {
    /// Reads a file; an empty one has every default.
    ///
    /// # Errors
    /// The place, and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: File = toml_edit::de::from_str(text)
            .map_err(|error| ConfigError::toml(text, error.span(), error.message()))?;
        let mut devices = BTreeMap::new();
        for (name, settings) in file.devices {
            let id = DeviceId::new(&name).ok_or_else(|| ConfigError::NoDeviceId(name.clone()))?;
            if devices.insert(id, settings).is_some() {
                return Err(ConfigError::DeviceTwice(name));
            }
        }
        let File { account, unit, mode_table, environment, .. } = file;
        Ok(Self { account, unit, mode_table, environment, devices })
    }

    /// What the heaters behind this thermostat draw.
    #[must_use]
    pub fn rated_watts(&self, device: &DeviceId) -> Option<Watts> {
        Watts::from_watts(f64::from(self.devices.get(device)?.rated_watts?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_means_nothing_is_an_error() {
        for bad in [
            "colour = \"red\"",
            "unit = \"kelvin\"",
            "[devices.\"a/b\"]\nrated-watts = 1",
            "[devices.a1]\n[devices.A1]\n",
            "account = 7",
            "[environment]\nhost = \"x\"",
        ] {
            assert!(Config::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_in_one_short_line() {
        let long = "x".repeat(5_000);
        let said = Config::parse(&format!("# one\nunit = \"{long}\"\n")).unwrap_err().to_string();
        assert!(said.starts_with("line 2: ") && said.chars().count() < 200 && !said.contains('\n'), "{said}");
        let said = Config::parse("unit = \"celsius\"\nunit = ").unwrap_err().to_string();
        assert!(said.starts_with("line 2: "), "{said}");
    }
}
