//! `mysa config`.

use crate::args::ConfigAction;
use crate::output::record::{self, Record, Value, printable};
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::support::config;
use crate::support::device_cache;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::paths::Paths;
use crate::support::resolve;

pub(crate) fn run(
    terminal: &Terminal,
    paths: &Paths,
    account: Option<&str>,
    action: &ConfigAction,
    redaction: &Redaction,
) -> Result<()> {
    match action {
        ConfigAction::Path => {
            let mut record = record::document();
            record.put("settings", paths.config.display().to_string());
            record.put("sessions", paths.sessions.display().to_string());
            terminal.document(&record)
        }
        ConfigAction::Show => show(terminal, paths, account, redaction),
        ConfigAction::SetWatts { device, watts } => {
            let configured = config::load(paths).map(|config| config.account);
            let account = match account {
                Some(account) => Some(account.to_owned()),
                // This command may create a file that `--config` names.
                None if paths.is_config_named && !paths.config.exists() => None,
                None => configured?,
            };
            let known = device_cache::load(paths, account.as_deref());
            // An id works without the stored list.
            let (id, name) = match resolve::find(device, known.iter().map(|(id, name)| (id, name.as_str()))) {
                Ok(id) => (id, known.iter().find(|known| known.0 == id).map_or("", |known| known.1.as_str())),
                Err(failure) => match resolve::as_id(device) {
                    Some(id) => (id, ""),
                    None if known.is_empty() => return Err(resolve::unknown_without_list(device)),
                    None => return Err(failure),
                },
            };
            config::edit(&paths.config, |file| file.set_watts(&id, *watts))?;
            if terminal.json {
                let mut record = record::document();
                record.put("id", id.as_str()).put("rated_power_w", (*watts > 0).then_some(*watts));
                return terminal.line(record.to_json());
            }
            let called = if name.is_empty() { id.to_string() } else { name.to_owned() };
            terminal.say(match watts {
                0 => format!("{called}: rated power removed"),
                watts => format!("{called}: power is now estimated from {watts} W"),
            });
            Ok(())
        }
        ConfigAction::Get { name } => {
            let value =
                config::open(paths)?.get(name).map_err(|error| Failure::from((Exit::Usage, error)))?;
            if terminal.json {
                let mut record = record::document();
                record.put("name", name.as_str()).put("value", value.as_deref());
                terminal.line(record.to_json())?;
            } else if let Some(value) = &value {
                terminal.line(printable(value))?;
            }
            match value {
                Some(_) => Ok(()),
                None => Err(Failure::new(Exit::Failed, format!("{name} is not set"))),
            }
        }
        ConfigAction::Set { name, value } => {
            config::edit(&paths.config, |file| file.set(name, value))?;
            if terminal.json {
                let mut record = record::document();
                record.put("name", name.as_str()).put("value", value.as_str());
                return terminal.line(record.to_json());
            }
            terminal.say(format!("saved in {}", paths.config.display()));
            Ok(())
        }
    }
}

fn show(terminal: &Terminal, paths: &Paths, account: Option<&str>, redaction: &Redaction) -> Result<()> {
    let config = config::load(paths)?;
    let account = account.map(str::to_owned).or_else(|| config.account.clone());
    let known = device_cache::load(paths, account.as_deref());
    let mut record = record::document();
    record.put("account", account.map(|account| redaction.email(&account)));
    record
        .put("unit", config.unit.name())
        .put("channel", config.channel.name())
        .put("mode_table", config.mode_table.name());
    let mut environment = Record::new();
    for (name, value) in config.environment.fields() {
        environment.put_some(&name.replace('-', "_"), value);
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
