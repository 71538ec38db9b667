use mysa_config::{Config, ConfigError, ConfigFile, FleetAccounts};
use mysa_proto::{DeviceId, UnixTime};
use mysa_sim::{Cloud, Now};

use crate::script::Script;

/// Files that the command reads.
///
/// Input: a byte that selects the settings or a home of the simulated cloud; for the settings, a change to them; then the text.
///
/// Settings round-trip, with or without the change, and differ only in what was changed. Every comment is kept. A rejected change
/// alters nothing. Names of a fleet are distinct. An accepted home has distinct thermostats within their range, and a cloud can be
/// built from it. An error is one short line.
///
/// ```
/// mysa_fuzz::config(b"\x01\x01\x02\0# mine\nunit = \"celsius\"\n");
/// ```
pub fn config(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 4 {
        0 => home(script.rest()),
        _ => settings(&mut script),
    }
}

/// Names of settings, and some invalid names.
const NAMES: [&str; 14] = [
    "account",
    "unit",
    "mode-table",
    "environment.region",
    "environment.iot-endpoint",
    "environment.rest-host",
    "bridge.broker",
    "bridge.prefix",
    "devices.a0b1c2d3e4f5.rated-watts",
    "devices.A1.rated-watts",
    "devices.a/1.rated-watts",
    "environment",
    "colour",
    "",
];
const VALUES: [&str; 10] = [
    "",
    "celsius",
    "fahrenheit",
    "design-document",
    "ann@example.org",
    "1500",
    "0",
    "-1",
    "\"]\n[x",
    "é\u{1b}",
];

fn settings(script: &mut Script<'_>) {
    let (name, value, watts) = (script.pick(&NAMES), script.pick(&VALUES), u32::from(script.byte()));
    let Ok(text) = str::from_utf8(script.rest()) else { return };
    let read = Config::parse(text);
    let mut file = match ConfigFile::parse(text) {
        Ok(file) => file,
        Err(error) => return is_short(&error),
    };
    let before = read.expect("a file that can be changed can be read");
    assert_eq!(*file.config(), before);
    assert_eq!(
        Config::parse(&file.to_string()).as_ref(),
        Ok(&before),
        "the written file reads back differently"
    );

    let id = DeviceId::new("a0b1c2d3e4f5").expect("an id");
    match file.set_watts(&id, watts) {
        Ok(()) => {
            let mut expected = before.clone();
            let rated = (watts > 0).then_some(watts);
            if rated.is_some() || expected.devices.contains_key(&id) {
                expected.devices.entry(id).or_default().rated_watts = rated;
            }
            assert_eq!(*file.config(), expected, "{file}");
            check(text, &file, watts == 0);
        }
        Err(error) => panic!("{error}: watts can be put down in every settings file: {text}"),
    }

    let mut file = ConfigFile::parse(text).expect("as before");
    match file.set(name, value) {
        Ok(()) => {
            assert!(changes_only(&before, file.config(), name), "{name} = {value}: {file}");
            check(text, &file, value.is_empty() || value == "0");
        }
        Err(error) => {
            is_short(&error);
            assert_eq!(*file.config(), before);
            assert_eq!(file.to_string(), ConfigFile::parse(text).expect("as before").to_string());
        }
    }
}

/// The written settings read back unchanged, and comments are kept, except that of a removed value.
fn check(text: &str, file: &ConfigFile, forgotten: bool) {
    let written = file.to_string();
    assert_eq!(Config::parse(&written).as_ref(), Ok(file.config()), "{written}");
    // A line of a multi-line text may only look like a comment.
    let certain = !text.contains("\"\"\"") && !text.contains("'''") && !forgotten;
    let (before, after) = (comments(text), comments(&written));
    assert!(!certain || before.iter().all(|comment| after.contains(comment)), "{text}\n->\n{written}");
}

/// Lines that consist of a comment.
fn comments(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix('#')).map(str::trim).collect()
}

/// True if the two differ only in the value with this name.
fn changes_only(before: &Config, after: &Config, name: &str) -> bool {
    let (mut before, mut after) = (before.clone(), after.clone());
    for config in [&mut before, &mut after] {
        match name.split('.').collect::<Vec<_>>().as_slice() {
            ["account"] => config.account = None,
            ["unit"] => config.unit = mysa_config::Unit::default(),
            ["mode-table"] => config.mode_table = mysa_config::ModeTableName::default(),
            ["environment", "region"] => config.environment.region = None,
            ["environment", "iot-endpoint"] => config.environment.iot_endpoint = None,
            ["environment", "rest-host"] => config.environment.rest_host = None,
            ["bridge", "broker"] => config.bridge.broker = None,
            ["bridge", "prefix"] => config.bridge.prefix = None,
            ["devices", id, _] => drop(DeviceId::new(id).and_then(|id| config.devices.remove(&id))),
            _ => return false,
        }
    }
    before == after
}

fn home(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    fleet(text);
    let mut spec = match mysa_config::home(text) {
        Ok(spec) => spec,
        Err(error) => return is_short(&error),
    };
    assert!(!spec.accounts.is_empty());
    let homes = || spec.accounts.iter().flat_map(|account| &account.homes);
    let devices: Vec<_> = homes().flat_map(|home| &home.devices).collect();
    for device in &devices {
        assert!((0.0..=20_000.0).contains(&device.rated_watts), "{}", device.rated_watts);
        assert!((0.0..=45.0).contains(&device.setpoint), "{}", device.setpoint);
        assert!((-40.0..=60.0).contains(&device.room.temperature), "{}", device.room.temperature);
        assert_eq!(devices.iter().filter(|other| other.id == device.id).count(), 1, "{} twice", device.id);
    }
    assert!(homes().all(|home| (-60.0..=60.0).contains(&home.weather.mean)));
    // Skipped: a history of years takes seconds to compute.
    spec.history_days = spec.history_days.min(1);
    let now = Now { mono: core::time::Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
    let _ = Cloud::new(spec, 1, now);
}

/// The same text as the accounts of a fleet, whose names are distinct.
fn fleet(text: &str) {
    let accounts = match FleetAccounts::parse(text) {
        Ok(file) => file.accounts,
        Err(error) => return is_short(&error),
    };
    for account in &accounts {
        assert!(!account.name.is_empty() && !account.name.contains('/'), "{}", account.name);
        let same = accounts.iter().filter(|other| other.name == account.name || other.email == account.email);
        assert_eq!(same.count(), 1, "{} twice", account.name);
    }
}

/// Checks that an error is one short line.
fn is_short(error: &ConfigError) {
    let text_of_error = error.to_string();
    assert!(
        !text_of_error.is_empty() && !text_of_error.contains('\n') && text_of_error.chars().count() <= 240,
        "{text_of_error}"
    );
}
