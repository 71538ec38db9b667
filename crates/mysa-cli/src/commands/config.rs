//! `mysa config`.

use crate::args::ConfigAction;
use crate::output::record::{Record, Value};
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::support::config;
use crate::support::device_cache;
use crate::support::exit::Result;
use crate::support::paths::Places;
use crate::support::resolve;

pub(crate) fn run(
    terminal: &Terminal,
    places: &Places,
    account: Option<&str>,
    action: &ConfigAction,
    redaction: &Redaction,
) -> Result<()> {
    match action {
        ConfigAction::Path => {
            let mut record = Record::document();
            record.put("settings", places.config.display().to_string());
            record.put("sessions", places.sessions.display().to_string());
            terminal.document(&record)
        }
        ConfigAction::Show => show(terminal, places, account, redaction),
        ConfigAction::SetWatts { device, watts } => {
            let account = account.map(str::to_owned).or(config::load(&places.config)?.account);
            let known = device_cache::load(places, account.as_deref());
            // An id needs no list: the thermostat may never have been seen from here.
            let (id, name) = match resolve::find(device, known.iter().map(|(id, name)| (id, name.as_str()))) {
                Ok(id) => (id, known.iter().find(|known| known.0 == id).map_or("", |known| known.1.as_str())),
                Err(failure) => match resolve::as_id(device) {
                    Some(id) => (id, ""),
                    None if known.is_empty() => return Err(resolve::unknown_without_list(device)),
                    None => return Err(failure),
                },
            };
            config::edit(&places.config, |file| file.set_watts(&id, *watts))?;
            if terminal.json {
                let mut record = Record::document();
                record.put("id", id.as_str()).put("rated_power_w", (*watts > 0).then_some(*watts));
                return terminal.line(record.to_json());
            }
            let called = if name.is_empty() { id.to_string() } else { name.to_owned() };
            terminal.say(match watts {
                0 => format!("{called}: rated power forgotten"),
                watts => format!("{called}: power is now reckoned from {watts} W"),
            });
            Ok(())
        }
        ConfigAction::Set { name, value } => {
            config::edit(&places.config, |file| file.set(name, value))?;
            if terminal.json {
                let mut record = Record::document();
                record.put("name", name.as_str()).put("value", value.as_str());
                return terminal.line(record.to_json());
            }
            terminal.say(format!("kept in {}", places.config.display()));
            Ok(())
        }
    }
}

fn show(terminal: &Terminal, places: &Places, account: Option<&str>, redaction: &Redaction) -> Result<()> {
    let config = config::load(&places.config)?;
    let account = account.map(str::to_owned).or_else(|| config.account.clone());
    let known = device_cache::load(places, account.as_deref());
    let mut record = Record::document();
    record.put("account", account.map(|account| redaction.email(&account)));
    record.put("unit", config.unit.name()).put("mode_table", config.mode_table.name());
    let mut environment = Record::new();
    for (name, value) in config.environment.fields() {
        environment.put_some(name, value);
    }
    if !environment.is_empty() {
        record.put("environment", environment);
    }
    let rated = config.devices.iter().filter(|(_, device)| device.rated_watts.is_some());
    let devices = rated.map(|(id, device)| {
        let name = known.iter().find(|known| known.0 == *id).map(|known| known.1.as_str());
        let mut record = Record::new();
        record.put("id", id.as_str()).put_some("name", name).put("rated_power_w", device.rated_watts);
        Value::Record(record)
    });
    record.put("devices", devices.collect::<Vec<_>>());
    terminal.document(&record)
}
