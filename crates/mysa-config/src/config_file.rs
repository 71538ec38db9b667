use std::fmt;

use mysa_proto::DeviceId;
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::{Config, ConfigError};

/// A settings file that can be changed, and keeps what its owner wrote around the values.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    document: DocumentMut,
    config: Config,
}

impl ConfigFile {
    /// Takes a file as it is.
    ///
    /// # Errors
    /// It is no settings file: it is left to its owner to mend.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let document = text
            .parse::<DocumentMut>()
            .map_err(|error| ConfigError::toml(text, error.span(), error.message()))?;
        Ok(Self { document, config: Config::parse(text)? })
    }

    /// What it says.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Puts down what the heaters behind a thermostat draw; 0 forgets it.
    ///
    /// # Errors
    /// Something else stands in its place.
    pub fn set_watts(&mut self, device: &DeviceId, watts: u32) -> Result<(), ConfigError> {
        let watts = (watts > 0).then(|| i64::from(watts).into());
        self.put(&["devices", device.as_str(), "rated-watts"], watts)
    }

    /// Puts down a setting by its dotted name; an empty value forgets it.
    ///
    /// # Errors
    /// There is no such setting, or it cannot have this value. The file stays as it was.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let path: Vec<&str> = name.split('.').collect();
        let no_setting = || ConfigError::NoSetting(name.to_owned());
        match path.as_slice() {
            ["account"] => {}
            ["unit"] => one_of("unit", text, &["celsius", "fahrenheit"])?,
            ["mode-table"] => one_of("mode-table", text, &["observed", "design-document"])?,
            [
                "environment",
                "region" | "user-pool" | "client-id" | "identity-pool" | "iot-endpoint" | "rest-host"
                | "backend-host",
            ] => {}
            ["devices", id, "rated-watts"] => {
                let id = DeviceId::new(id).ok_or_else(no_setting)?;
                let watts = if text.is_empty() { Ok(0) } else { text.parse() };
                return self.set_watts(&id, watts.map_err(|_| ConfigError::NotWatts(text.to_owned()))?);
            }
            _ => return Err(no_setting()),
        }
        self.put(&path, (!text.is_empty()).then(|| text.into()))
    }

    /// Changes a copy, and takes it over if it is a settings file still.
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
            let item = at.get_mut(&key).ok_or_else(|| ConfigError::NotAGroup((*name).to_owned()))?;
            inline = item.is_inline_table();
            at = item.as_table_like_mut().ok_or_else(|| ConfigError::NotAGroup((*name).to_owned()))?;
        }
        match (value, at.get_mut(last)) {
            (None, _) => drop(at.remove(last)),
            (Some(value), Some(item)) => replace(item, value),
            (Some(value), None) => drop(at.insert(last, Item::Value(value))),
        }
        let config = Config::parse(&document.to_string())?;
        *self = Self { document, config };
        Ok(())
    }
}

impl fmt::Display for ConfigFile {
    /// The whole file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)
    }
}

/// Checks a value that is one of a few, or nothing.
fn one_of(name: &'static str, value: &str, values: &'static [&'static str]) -> Result<(), ConfigError> {
    if value.is_empty() || values.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::NoValue { name, value: value.to_owned(), values })
}

/// The key under which a group stands already: ids may be in either case.
fn key_in(table: &dyn TableLike, name: &str) -> String {
    let id = DeviceId::new(name);
    let same = |key: &&str| *key == name || (id.is_some() && DeviceId::new(key) == id);
    table.iter().map(|(key, _)| key).find(same).unwrap_or(name).to_owned()
}

/// A group in the manner of the one it stands in. One that only holds groups needs no line of its own.
fn new_group(inline: bool, dotted: bool, only_groups: bool) -> Item {
    if inline {
        return Item::Value(Value::InlineTable(InlineTable::new()));
    }
    let mut table = Table::new();
    table.set_dotted(dotted);
    table.set_implicit(only_groups);
    Item::Table(table)
}

/// Puts a value in the place of another, between the same blanks and comments.
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
    fn watts_are_kept_beside_what_the_owner_wrote() {
        let mut file = file("# mine\nunit = \"fahrenheit\" # yes\n");
        file.set_watts(&device(), 1_500).unwrap();
        let text = file.to_string();
        assert!(text.starts_with("# mine\nunit = \"fahrenheit\" # yes\n"), "{text}");
        assert_eq!(Config::parse(&text).unwrap().rated_watts(&device()), Watts::from_watts(1_500.0));
        file.set_watts(&device(), 0).unwrap();
        assert_eq!(file.config().rated_watts(&device()), None);
    }

    #[test]
    fn settings_go_by_dotted_names() {
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
    fn every_way_to_write_a_group_can_be_changed() {
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
    fn each_of_a_few_values_is_taken_and_named_beside_any_other() {
        for (name, values) in
            [("unit", ["celsius", "fahrenheit"]), ("mode-table", ["observed", "design-document"])]
        {
            let mut file = file("");
            for value in values {
                file.set(name, value).unwrap();
            }
            let said = file.set(name, "kelvin").unwrap_err().to_string();
            assert!(values.iter().all(|value| said.contains(value)) && said.contains("kelvin"), "{said}");
        }
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut file = file("unit = \"celsius\"\n");
        for (name, value) in [
            ("colour", "red"),
            ("colour", ""),
            ("unit", "kelvin"),
            ("unit.sub", "x"),
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
}
