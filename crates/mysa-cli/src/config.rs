//! The settings file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use mysa_proto::{DeviceId, ModeTable, Watts};
use serde::Deserialize;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::exit::{Exit, Failure, Result};
use crate::whole_file;

/// The settings file. Everything has a default; a name that means nothing is an error, not silence.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The account used where `--account` does not say.
    pub(crate) account: Option<String>,
    /// How temperatures are shown.
    pub(crate) unit: Unit,
    /// Which numbers mean which modes.
    pub(crate) mode_table: ModeTableName,
    /// Endpoints other than Mysa's own.
    pub(crate) environment: Endpoints,
    /// What is known of a thermostat that the cloud does not know, by id.
    pub(crate) devices: BTreeMap<String, DeviceConfig>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    #[default]
    Celsius,
    Fahrenheit,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ModeTableName {
    #[default]
    Observed,
    DesignDocument,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Endpoints {
    pub(crate) region: Option<String>,
    pub(crate) user_pool: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) identity_pool: Option<String>,
    pub(crate) iot_endpoint: Option<String>,
    pub(crate) rest_host: Option<String>,
    pub(crate) backend_host: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct DeviceConfig {
    pub(crate) rated_watts: Option<u32>,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Celsius => "celsius",
            Self::Fahrenheit => "fahrenheit",
        }
    }
}

impl ModeTableName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::DesignDocument => "design-document",
        }
    }

    pub(crate) fn table(self) -> ModeTable {
        match self {
            Self::Observed => ModeTable::OBSERVED,
            Self::DesignDocument => ModeTable::DESIGN_DOCUMENT,
        }
    }
}

impl Endpoints {
    pub(crate) fn fields(&self) -> [(&'static str, Option<&str>); 7] {
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
    /// Reads the file; one that is not there is an empty one.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|why| {
                Failure::new(Exit::Failed, format!("{} is not a settings file: {why}", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// # Errors
    /// The place and what is wrong with it.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let config: Self =
            toml_edit::de::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
        match config.devices.keys().find(|id| DeviceId::new(id).is_none()) {
            Some(id) => Err(format!("[devices.{id}] is not named after a device id")),
            None => Ok(config),
        }
    }

    /// What the heaters behind this thermostat draw.
    pub(crate) fn rated_watts(&self, device: &DeviceId) -> Option<Watts> {
        let (_, config) = self.devices.iter().find(|(id, _)| DeviceId::new(id).as_ref() == Some(device))?;
        Watts::from_watts(f64::from(config.rated_watts?))
    }
}

/// Changes one value of the file, and keeps what its owner wrote around it.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut DocumentMut) -> Result<()>) -> Result<()> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display())));
        }
    };
    let mut document: DocumentMut = text.parse().map_err(|error| {
        Failure::new(Exit::Failed, format!("{} is not a settings file: {error}", path.display()))
    })?;
    change(&mut document)?;
    let text = document.to_string();
    Config::parse(&text).map_err(Failure::usage)?;
    whole_file::write(path, &text, whole_file::ANYBODY)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))
}

/// Puts down what the heaters behind a thermostat draw; 0 forgets it.
pub(crate) fn set_watts(document: &mut DocumentMut, device: &DeviceId, watts: u32) -> Result<()> {
    let devices = table(document.as_table_mut(), "devices")?;
    devices.set_implicit(true);
    let device = table(devices, device.as_str())?;
    if watts == 0 {
        device.remove("rated-watts");
    } else {
        device.insert("rated-watts", value(i64::from(watts)));
    }
    Ok(())
}

/// Puts down a setting by its dotted name; an empty value forgets it.
pub(crate) fn set(document: &mut DocumentMut, name: &str, text: &str) -> Result<()> {
    let (parents, last) = name.rsplit_once('.').unwrap_or(("", name));
    let mut at = document.as_table_mut();
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        at = table(at, parent)?;
    }
    match (text.is_empty(), text.parse::<i64>()) {
        (true, _) => drop(at.remove(last)),
        (false, Ok(number)) => drop(at.insert(last, value(number))),
        (false, Err(_)) => drop(at.insert(last, value(text))),
    }
    Ok(())
}

fn table<'a>(parent: &'a mut Table, name: &str) -> Result<&'a mut Table> {
    parent
        .entry(name)
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_mut()
        .ok_or_else(|| Failure::usage(format!("{name} is not a group of settings")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceId {
        DeviceId::new("a0b1c2d3e4f6").unwrap()
    }

    #[test]
    fn watts_are_kept_beside_what_the_owner_wrote() {
        let mut document: DocumentMut = "# mine\nunit = \"fahrenheit\" # yes\n".parse().unwrap();
        set_watts(&mut document, &device(), 1_500).unwrap();
        let text = document.to_string();
        assert!(text.starts_with("# mine\nunit = \"fahrenheit\" # yes\n"), "{text}");
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.rated_watts(&device()), Watts::from_watts(1_500.0));
        set_watts(&mut document, &device(), 0).unwrap();
        assert_eq!(Config::parse(&document.to_string()).unwrap().rated_watts(&device()), None);
    }

    #[test]
    fn a_name_that_means_nothing_is_an_error() {
        for bad in
            ["colour = \"red\"", "unit = \"kelvin\"", "[devices.\"a/b\"]\nrated-watts = 1", "account = 7"]
        {
            assert!(Config::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_go_by_dotted_names() {
        let mut document = DocumentMut::new();
        set(&mut document, "environment.iot-endpoint", "iot.example.org").unwrap();
        set(&mut document, "account", "ann@example.org").unwrap();
        let config = Config::parse(&document.to_string()).unwrap();
        assert_eq!(config.environment.iot_endpoint.as_deref(), Some("iot.example.org"));
        set(&mut document, "account", "").unwrap();
        assert_eq!(Config::parse(&document.to_string()).unwrap().account, None);
    }
}
