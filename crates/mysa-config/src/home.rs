use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr as _;

use mysa_proto::DeviceId;
use mysa_sim::{AccountSpec, ChallengeSpec, CloudSpec, DeviceSpec, HomeSpec, Mode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ConfigError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    history_days: u32,
    #[serde(rename = "account")]
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Account {
    email: String,
    password: String,
    /// Code of the SMS challenge after the password.
    sms_code: Option<String>,
    #[serde(default, rename = "home")]
    homes: Vec<Home>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Home {
    name: String,
    time_zone: Option<String>,
    utc_offset_s: Option<i64>,
    mean_outdoor_c: Option<f64>,
    #[serde(default, rename = "device")]
    devices: Vec<Device>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Device {
    id: String,
    model: String,
    name: String,
    rated_w: Option<f64>,
    setpoint_c: Option<f64>,
    room_c: Option<f64>,
    mode: Option<String>,
    /// Model in its record, if somebody has changed it there.
    record_model: Option<String>,
    /// Members that replace those of the record, of the REST state, and of the telemetry in the structured service.
    #[serde(default)]
    record: Map<String, Value>,
    #[serde(default)]
    state: Map<String, Value>,
    #[serde(default)]
    telemetry: Map<String, Value>,
}

/// Longest generated history, in days.
const HISTORY: u32 = 3_650;
const UTC_OFFSET_S: RangeInclusive<f64> = -43_200.0..=50_400.0;
const OUTDOOR_C: RangeInclusive<f64> = -60.0..=60.0;
const RATED_W: RangeInclusive<f64> = 0.0..=20_000.0;
const SETPOINT_C: RangeInclusive<f64> = 0.0..=45.0;
const ROOM_C: RangeInclusive<f64> = -40.0..=60.0;

/// Parses a home file: accounts, homes and thermostats of the simulated cloud.
///
/// # Errors
/// The first invalid value and its place.
pub fn home(text: &str) -> Result<CloudSpec, ConfigError> {
    let file: File = toml_edit::de::from_str(text)
        .map_err(|error| ConfigError::toml(text, error.span(), error.message()))?;
    let mut spec = CloudSpec::default();
    spec.history_days = file.history_days.min(HISTORY);
    let mut emails = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for account in file.accounts {
        if !emails.insert(account.email.to_lowercase()) {
            return Err(ConfigError::DuplicateAccount(account.email));
        }
        let mut made = AccountSpec::new(&account.email, &account.password);
        made.challenges = account.sms_code.map(ChallengeSpec::Sms).into_iter().collect();
        for home in account.homes {
            made.homes.push(one_home(home, &mut ids)?);
        }
        spec.accounts.push(made);
    }
    if spec.accounts.is_empty() {
        return Err(ConfigError::MissingAccount);
    }
    Ok(spec)
}

fn one_home(home: Home, ids: &mut BTreeSet<DeviceId>) -> Result<HomeSpec, ConfigError> {
    let mut made = HomeSpec::new(&home.name);
    made.time_zone = home.time_zone.unwrap_or(made.time_zone);
    made.utc_offset = home.utc_offset_s.unwrap_or(made.utc_offset);
    made.weather.mean = home.mean_outdoor_c.unwrap_or(made.weather.mean);
    in_range("utc-offset-s", &home.name, made.utc_offset as f64, UTC_OFFSET_S)?;
    in_range("mean-outdoor-c", &home.name, made.weather.mean, OUTDOOR_C)?;
    for device in home.devices {
        let made_device = one_device(device)?;
        if !ids.insert(made_device.id) {
            return Err(ConfigError::DuplicateDevice(made_device.id.to_string()));
        }
        made.devices.push(made_device);
    }
    Ok(made)
}

fn one_device(device: Device) -> Result<DeviceSpec, ConfigError> {
    let id = DeviceId::from_str(&device.id).map_err(|_| ConfigError::InvalidDeviceId(device.id))?;
    let mut made = DeviceSpec::new(id, &device.model, &device.name);
    made.record_model = device.record_model;
    (made.record, made.state, made.telemetry) = (device.record, device.state, device.telemetry);
    made.rated_watts = device.rated_w.unwrap_or(made.rated_watts);
    made.setpoint = device.setpoint_c.unwrap_or(made.setpoint);
    made.room.temperature = device.room_c.unwrap_or(made.room.temperature);
    in_range("rated-w", &device.name, made.rated_watts, RATED_W)?;
    in_range("setpoint-c", &device.name, made.setpoint, SETPOINT_C)?;
    in_range("room-c", &device.name, made.room.temperature, ROOM_C)?;
    made.mode = match device.mode.as_deref() {
        None | Some("heat") => Mode::Heat,
        Some("off") => Mode::Off,
        Some("auto") => Mode::Auto,
        Some("cool") => Mode::Cool,
        Some("fan") => Mode::FanOnly,
        Some("dry") => Mode::Dry,
        Some(other) => return Err(ConfigError::UnknownMode(other.to_owned())),
    };
    Ok(made)
}

fn in_range(name: &'static str, of: &str, value: f64, range: RangeInclusive<f64>) -> Result<(), ConfigError> {
    // NaN is in no range.
    if range.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange { name, of: of.to_owned(), value: value.to_string() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = r#"
        history-days = 30
        [[account]]
        email = "ann@example.org"
        password = "canary"
        sms-code = "123456"
        [[account.home]]
        name = "Cottage"
        utc-offset-s = 3600
        [[account.home.device]]
        id = "A0B1C2D3E4F5"
        model = "BB-V1-1"
        name = "Hall"
        rated-w = 2000
        mode = "off"
        record-model = "BB-V2-0"
        record = { MinSetpoint = -1, Voltage = "" }
        state.Duty = 55
        telemetry.dutyCycle = 0.5
        [[account]]
        email = "bob@example.org"
        password = "other"
    "#;

    #[test]
    fn a_file_makes_a_cloud() {
        let spec = home(FILE).unwrap();
        let account = &spec.accounts[0];
        let device = &account.homes[0].devices[0];
        assert_eq!((spec.history_days, account.email.as_str()), (30, "ann@example.org"));
        assert_eq!(
            (device.id.as_str(), device.rated_watts, device.mode),
            ("a0b1c2d3e4f5", 2_000.0, Mode::Off)
        );
        assert_eq!(device.record_model.as_deref(), Some("BB-V2-0"));
        assert_eq!(Value::from(device.record.clone()), json!({ "MinSetpoint": -1, "Voltage": "" }));
        assert_eq!(Value::from(device.state.clone()), json!({ "Duty": 55 }));
        assert_eq!(Value::from(device.telemetry.clone()), json!({ "dutyCycle": 0.5 }));
        assert_eq!(account.challenges, [ChallengeSpec::Sms("123456".into())]);
    }

    #[test]
    fn an_error_quotes_only_the_invalid_value() {
        for (from, to, named) in [
            ("history-days", "history", "line 2: "),
            ("A0B1C2D3E4F5", "a/b", "a/b"),
            ("2000", "-1", "rated-w"),
            ("2000", "nan", "rated-w"),
            ("3600", "1000000", "utc-offset-s"),
            ("utc-offset-s = 3600", "mean-outdoor-c = inf", "mean-outdoor-c"),
            ("\"off\"", "\"sauna\"", "sauna"),
            ("bob@", "ANN@", "duplicate"),
        ] {
            let why = home(&FILE.replace(from, to)).unwrap_err().to_string();
            assert!(why.contains(named), "{why}");
            assert!(!why.contains("canary") && !why.contains('\n'), "{why}");
        }
        assert_eq!(home("account = []").unwrap_err(), ConfigError::MissingAccount);
        let device =
            "[[account.home.device]]\nid = \"a0b1c2d3e4f5\"\nmodel = \"BB-V1-1\"\nname = \"Attic\"\n";
        let twice = FILE.replace("[[account.home.device]]", &format!("{device}[[account.home.device]]"));
        assert!(matches!(home(&twice), Err(ConfigError::DuplicateDevice(_))));
    }
}
