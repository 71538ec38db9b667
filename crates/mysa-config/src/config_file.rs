use std::fmt;

use mysa_proto::DeviceId;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::config::MAX_RATED_WATTS;
use crate::{
    BridgeConfig, ChannelName, Config, ConfigError, Endpoints, ModeTableName, Unit, normalize_account,
};

/// An editable settings file. Changes keep the comments and the order of the rest.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    document: DocumentMut,
    config: Config,
}

impl ConfigFile {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// The text is not a valid settings file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let document = text
            .parse::<DocumentMut>()
            .map_err(|error| ConfigError::toml(text, error.span(), error.message()))?;
        Ok(Self { document, config: Config::parse(text)? })
    }

    /// Settings in the file.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Effective value of a setting, by its dotted name: the value in the file, or the default. `None` if the setting is
    /// absent and has no default.
    ///
    /// # Errors
    /// No setting has this name.
    pub fn get(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let config = &self.config;
        let unknown = || ConfigError::UnknownSetting(name.to_owned());
        let path: Vec<&str> = name.split('.').collect();
        Ok(match path.as_slice() {
            ["account"] => config.account.clone(),
            ["unit"] => Some(config.unit.name().to_owned()),
            ["channel"] => Some(config.channel.name().to_owned()),
            ["mode-table"] => Some(config.mode_table.name().to_owned()),
            ["environment", field] => {
                let fields = config.environment.fields();
                let (_, value) = fields.into_iter().find(|(name, _)| name == field).ok_or_else(unknown)?;
                value.map(str::to_owned)
            }
            ["bridge", "accounts"] => {
                let accounts = &config.bridge.accounts;
                (!accounts.is_empty()).then(|| accounts.join(", "))
            }
            ["bridge", field] => {
                let fields = config.bridge.fields();
                let (_, value) = fields.into_iter().find(|(name, _)| name == field).ok_or_else(unknown)?;
                value.map(str::to_owned)
            }
            ["devices", id, "rated-watts"] => {
                let id = DeviceId::new(id).ok_or_else(unknown)?;
                config.devices.get(&id).and_then(|device| device.rated_watts).map(|watts| watts.to_string())
            }
            _ => return Err(unknown()),
        })
    }

    /// Sets the rated power of a thermostat: 1 to 1 000 000 W; 0 removes it.
    ///
    /// # Errors
    /// The power is greater, or a parent key exists and is not a table.
    pub fn set_watts(&mut self, device: &DeviceId, watts: u32) -> Result<(), ConfigError> {
        if watts > MAX_RATED_WATTS {
            return Err(ConfigError::InvalidWatts(watts.to_string()));
        }
        let watts = (watts > 0).then(|| i64::from(watts).into());
        self.put(&["devices", device.as_str(), "rated-watts"], watts)
    }

    /// Sets a setting by its dotted name; an empty value removes it.
    ///
    /// # Errors
    /// No setting has this name, or the value is invalid for it. The file stays unchanged.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let path: Vec<&str> = name.split('.').collect();
        let unknown = || ConfigError::UnknownSetting(name.to_owned());
        let mut value = text.to_owned();
        match path.as_slice() {
            ["account"] if !text.is_empty() => {
                value =
                    normalize_account(text).ok_or_else(|| ConfigError::InvalidAccount(text.to_owned()))?;
            }
            ["account"] => {}
            ["unit"] => one_of("unit", text, Unit::NAMES)?,
            ["channel"] => one_of("channel", text, ChannelName::NAMES)?,
            ["mode-table"] => one_of("mode-table", text, ModeTableName::NAMES)?,
            ["environment", "lookup-endpoint"] => {
                const NAMES: &[&str] = &["true", "false"];
                one_of("environment.lookup-endpoint", text, NAMES)?;
                return self.put(&path, (!text.is_empty()).then(|| (text == "true").into()));
            }
            // `put` checks the value as it does for a hand-written file.
            ["environment", field] if Endpoints::default().fields().iter().any(|(name, _)| name == field) => {
            }
            ["bridge", "accounts"] => {
                let accounts: Array = BridgeConfig::parse_accounts(text)?.into_iter().collect();
                return self.put(&path, (!accounts.is_empty()).then(|| accounts.into()));
            }
            ["bridge", field] if BridgeConfig::default().fields().iter().any(|(name, _)| name == field) => {}
            ["devices", id, "rated-watts"] => {
                let id = DeviceId::new(id).ok_or_else(unknown)?;
                let watts = if text.is_empty() { Ok(0) } else { text.parse() };
                return self.set_watts(&id, watts.map_err(|_| ConfigError::InvalidWatts(text.to_owned()))?);
            }
            _ => return Err(unknown()),
        }
        self.put(&path, (!value.is_empty()).then(|| value.into()))
    }

    /// Changes a copy and keeps it if the result is a valid settings file.
    fn put(&mut self, path: &[&str], value: Option<Value>) -> Result<(), ConfigError> {
        let Some((last, groups)) = path.split_last() else { return Ok(()) };
        let mut document = self.document.clone();
        let mut at: &mut dyn TableLike = document.as_table_mut();
        let mut inline = false;
        for name in groups {
            let key = key_in(at, name);
            if !at.contains_key(&key) {
                if value.is_none() {
                    return Ok(());
                }
                let group = new_group(inline, at.is_dotted(), groups.last() != Some(name));
                at.entry(&key).or_insert(group);
            }
            let item = at.get_mut(&key).ok_or_else(|| ConfigError::NotATable((*name).to_owned()))?;
            inline = item.is_inline_table();
            at = item.as_table_like_mut().ok_or_else(|| ConfigError::NotATable((*name).to_owned()))?;
        }
        match (value, at.get_mut(last)) {
            (None, _) => drop(at.remove(last)),
            (Some(value), Some(item)) => replace(item, value),
            (Some(value), None) => drop(at.insert(last, Item::Value(value))),
        }
        // The place is dropped, because it refers to a text that is never written.
        let config = Config::parse(&document.to_string()).map_err(|error| match error {
            ConfigError::At { error, .. } => *error,
            error => error,
        })?;
        *self = Self { document, config };
        Ok(())
    }
}

impl fmt::Display for ConfigFile {
    /// Writes the text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)
    }
}

/// Checks a value against a fixed list; an empty value removes the setting.
fn one_of(name: &'static str, value: &str, values: &'static [&'static str]) -> Result<(), ConfigError> {
    if value.is_empty() || values.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::InvalidValue { name, value: value.to_owned(), values })
}

/// Key of an existing table. Device ids match in either case.
fn key_in(table: &dyn TableLike, name: &str) -> String {
    let id = DeviceId::new(name);
    let same = |key: &&str| *key == name || (id.is_some() && DeviceId::new(key) == id);
    table.iter().map(|(key, _)| key).find(same).unwrap_or(name).to_owned()
}

/// Creates a table in the style of its parent. A table that only holds tables needs no header line.
fn new_group(inline: bool, dotted: bool, only_groups: bool) -> Item {
    if inline {
        return Item::Value(Value::InlineTable(InlineTable::new()));
    }
    let mut table = Table::new();
    table.set_dotted(dotted);
    table.set_implicit(only_groups);
    Item::Table(table)
}

/// Replaces a value and keeps the white space and comments around it.
fn replace(item: &mut Item, mut value: Value) {
    if let Some(old) = item.as_value() {
        *value.decor_mut() = old.decor().clone();
    }
    *item = Item::Value(value);
}

#[cfg(test)]
mod tests {
    use mysa_proto::Watts;

    use super::*;

    fn device() -> DeviceId {
        DeviceId::new("a0b1c2d3e4f6").unwrap()
    }

    fn file(text: &str) -> ConfigFile {
        ConfigFile::parse(text).unwrap()
    }

    #[test]
    fn a_rated_power_that_no_heater_has_is_refused_without_a_place_in_the_file() {
        let mut file = file("");
        for text in ["1000001", "-1", "12.5", "x"] {
            let error = file.set("devices.a1.rated-watts", text).unwrap_err().to_string();
            assert!(error.starts_with("invalid rated power"), "{error}");
        }
        file.set("devices.a1.rated-watts", "1000000").unwrap();
    }

    #[test]
    fn setting_watts_keeps_the_rest_of_the_file() {
        let mut file = file("# mine\nunit = \"fahrenheit\" # yes\n");
        file.set_watts(&device(), 1_500).unwrap();
        let text = file.to_string();
        assert!(text.starts_with("# mine\nunit = \"fahrenheit\" # yes\n"), "{text}");
        assert_eq!(Config::parse(&text).unwrap().rated_watts(&device()), Watts::from_watts(1_500.0));
        file.set_watts(&device(), 0).unwrap();
        assert_eq!(file.config().rated_watts(&device()), None);
    }

    #[test]
    fn settings_have_dotted_names() {
        let mut file = file("");
        file.set("environment.iot-endpoint", "iot.example.org").unwrap();
        file.set("account", "ann@example.org").unwrap();
        assert_eq!(file.config().environment.iot_endpoint.as_deref(), Some("iot.example.org"));
        file.set("account", "").unwrap();
        assert_eq!(Config::parse(&file.to_string()).unwrap().account, None);
        file.set("account", "4711").unwrap();
        assert_eq!(file.config().account.as_deref(), Some("4711"), "a number is a name too");
    }

    #[test]
    fn accounts_of_the_bridge_are_a_list() {
        let mut file = file("[bridge]\naccounts = [\"x@example.org\"] # mine\n");
        file.set("bridge.accounts", "ann@example.org, bob@example.org,").unwrap();
        let text = "[bridge]\naccounts = [\"ann@example.org\", \"bob@example.org\"] # mine\n";
        assert_eq!(file.to_string(), text);
        assert_eq!(file.get("bridge.accounts"), Ok(Some("ann@example.org, bob@example.org".into())));
        for refused in ["ann@example.org,ann@example.org", "a\nb"] {
            assert!(file.set("bridge.accounts", refused).is_err(), "{refused}");
        }
        assert_eq!(file.to_string(), text);
        file.set("bridge.accounts", "").unwrap();
        assert_eq!((file.get("bridge.accounts"), file.to_string()), (Ok(None), "[bridge]\n".into()));
    }

    #[test]
    fn every_form_of_a_table_can_be_changed() {
        for text in [
            "devices.a0b1c2d3e4f6.rated-watts = 1 # old\n",
            "devices = { A0B1C2D3E4F6 = { rated-watts = 1 } }\n",
            "[devices] # all\n[devices.A0B1C2D3E4F6] # this\nrated-watts = 1\n",
            "devices = {}\n",
            "[devices]\n# none yet\n",
        ] {
            let mut file = file(text);
            file.set_watts(&device(), 900).unwrap();
            assert_eq!(file.config().devices.len(), 1, "{text}{file}");
            assert_eq!(file.config().rated_watts(&device()), Watts::from_watts(900.0), "{file}");
            let comments = |text: &str| text.matches('#').count();
            assert_eq!(comments(text), comments(&file.to_string()), "{file}");
        }
    }

    #[test]
    fn a_value_of_a_list_is_accepted_and_others_name_the_list() {
        for (name, values) in [
            ("unit", ["celsius", "fahrenheit"]),
            ("mode-table", ["observed", "design-document"]),
            ("environment.lookup-endpoint", ["true", "false"]),
        ] {
            let mut file = file("");
            for value in values {
                file.set(name, value).unwrap();
            }
            let text_of_error = file.set(name, "kelvin").unwrap_err().to_string();
            assert!(
                values.iter().all(|value| text_of_error.contains(value)) && text_of_error.contains("kelvin"),
                "{text_of_error}"
            );
        }
    }

    #[test]
    fn the_look_up_of_the_endpoint_is_a_boolean() {
        let mut file = file("[environment]\nlookup-endpoint = false # not yet\n");
        assert_eq!(file.get("environment.lookup-endpoint"), Ok(Some("false".into())));
        file.set("environment.lookup-endpoint", "true").unwrap();
        assert_eq!(file.to_string(), "[environment]\nlookup-endpoint = true # not yet\n");
        assert_eq!(file.config().environment.lookup_endpoint, Some(true));
        file.set("environment.lookup-endpoint", "").unwrap();
        assert_eq!(file.get("environment.lookup-endpoint"), Ok(None));
        assert!(Config::parse("[environment]\nlookup-endpoint = \"true\"").is_err());
    }

    #[test]
    fn a_refused_value_changes_nothing() {
        let mut file = file("unit = \"celsius\"\n");
        for (name, value) in [
            ("colour", "red"),
            ("colour", ""),
            ("unit", "kelvin"),
            ("unit.sub", "x"),
            ("channel", "smoke"),
            ("account", "ann\nbob"),
            ("environment.iot-endpoint", "wss://iot.example.org/mqtt"),
            ("environment.user-pool-url", "http://example.org"),
            ("environment.iot-control-host", "https://iot.example.org"),
            ("environment.lookup-endpoint", "yes"),
            ("bridge.broker", "localhost"),
            ("bridge.password", "secret"),
            ("bridge", ""),
            ("environment", ""),
            ("environment.", "x"),
            ("devices.x/y.rated-watts", "3"),
            ("devices.a1.rated-watts", "many"),
            ("devices.a1.rated-watts", "-1"),
            ("", "x"),
        ] {
            assert!(file.set(name, value).is_err(), "{name}");
            assert_eq!(file.to_string(), "unit = \"celsius\"\n");
        }
    }

    #[test]
    fn get_returns_the_value_in_force() {
        let mut file = file("account = \"ann@example.org\\r\"\n");
        file.set("environment.user-pool-url", "https://idp.example.org").unwrap();
        file.set("devices.A0B1C2D3E4F6.rated-watts", "1500").unwrap();
        file.set("bridge.broker", "mqtt://localhost").unwrap();
        for (name, value) in [
            ("bridge.broker", Some("mqtt://localhost")),
            ("bridge.user", None),
            ("account", Some("ann@example.org")),
            ("unit", Some("celsius")),
            ("channel", Some("auto")),
            ("mode-table", Some("observed")),
            ("environment.user-pool-url", Some("https://idp.example.org")),
            ("environment.region", None),
            ("devices.a0b1c2d3e4f6.rated-watts", Some("1500")),
            ("devices.a0b1c2d3e4f7.rated-watts", None),
        ] {
            assert_eq!(file.get(name).unwrap().as_deref(), value, "{name}");
        }
        for unknown in ["", "colour", "environment", "environment.host", "devices.a1.watts"] {
            assert!(file.get(unknown).is_err(), "{unknown}");
        }
    }
}
