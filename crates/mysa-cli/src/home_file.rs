//! Accounts and homes of the simulated cloud from a file.

use std::str::FromStr as _;

use mysa_proto::DeviceId;
use mysa_sim::{AccountSpec, ChallengeSpec, CloudSpec, DeviceSpec, HomeSpec, Mode};
use serde::Deserialize;

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
    /// Code asked for after the password.
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
}

/// Reads the file.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn parse(text: &str) -> Result<CloudSpec, String> {
    let file: File = toml_edit::de::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
    let mut spec = CloudSpec::default();
    spec.history_days = file.history_days.min(3_650);
    for account in file.accounts {
        let mut made = AccountSpec::new(&account.email, &account.password);
        made.challenges = account.sms_code.map(ChallengeSpec::Sms).into_iter().collect();
        for home in account.homes {
            made.homes.push(self::home(home)?);
        }
        spec.accounts.push(made);
    }
    if spec.accounts.is_empty() {
        return Err("there is no [[account]]".into());
    }
    Ok(spec)
}

fn home(home: Home) -> Result<HomeSpec, String> {
    let mut made = HomeSpec::new(&home.name);
    made.time_zone = home.time_zone.unwrap_or(made.time_zone);
    made.utc_offset = home.utc_offset_s.unwrap_or(made.utc_offset);
    made.weather.mean = home.mean_outdoor_c.unwrap_or(made.weather.mean);
    for device in home.devices {
        made.devices.push(self::device(device)?);
    }
    Ok(made)
}

fn device(device: Device) -> Result<DeviceSpec, String> {
    let id = DeviceId::from_str(&device.id).map_err(|error| format!("'{}': {error}", device.id))?;
    let mut made = DeviceSpec::new(id, &device.model, &device.name);
    made.rated_watts = device.rated_w.unwrap_or(made.rated_watts);
    made.setpoint = device.setpoint_c.unwrap_or(made.setpoint);
    made.room.temperature = device.room_c.unwrap_or(made.room.temperature);
    for (name, value, range) in [
        ("rated-w", made.rated_watts, 0.0..=20_000.0),
        ("setpoint-c", made.setpoint, 0.0..=45.0),
        ("room-c", made.room.temperature, -40.0..=60.0),
    ] {
        if !range.contains(&value) {
            return Err(format!("{name} of '{}' is out of range: {value}", device.name));
        }
    }
    made.mode = match device.mode.as_deref() {
        None | Some("heat") => Mode::Heat,
        Some("off") => Mode::Off,
        Some("auto") => Mode::Auto,
        Some("cool") => Mode::Cool,
        Some("fan") => Mode::FanOnly,
        Some("dry") => Mode::Dry,
        Some(other) => {
            return Err(format!("'{other}' is no mode; there are off, heat, auto, cool, fan and dry"));
        }
    };
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        history-days = 30
        [[account]]
        email = "ann@example.org"
        password = "pw"
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
    "#;

    #[test]
    fn a_file_makes_a_cloud() {
        let spec = parse(FILE).unwrap();
        let account = &spec.accounts[0];
        let device = &account.homes[0].devices[0];
        assert_eq!((spec.history_days, account.email.as_str()), (30, "ann@example.org"));
        assert_eq!(
            (device.id.as_str(), device.rated_watts, device.mode),
            ("a0b1c2d3e4f5", 2_000.0, Mode::Off)
        );
        assert_eq!(account.challenges, [ChallengeSpec::Sms("123456".into())]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, named) in [
            ("history-days", "history", "history"),
            ("A0B1C2D3E4F5", "a/b", "a/b"),
            ("2000", "-1", "rated-w"),
            ("\"off\"", "\"sauna\"", "sauna"),
        ] {
            let why = parse(&FILE.replace(from, to)).unwrap_err();
            assert!(why.contains(named), "{why}");
        }
        assert!(parse("account = []").is_err());
    }
}
