use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr as _;

use mysa_proto::{DeviceId, Model};
use mysa_sim::{
    AcRemote, AccountSpec, ChallengeSpec, CloudSpec, DeviceSpec, HomeSpec, Mode, ScheduledSetpoint,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_spanned::Spanned;

use crate::ConfigError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawHome {
    history_days: Option<Spanned<u32>>,
    #[serde(rename = "account")]
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Account {
    email: Spanned<String>,
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
    time_zone: Option<Spanned<String>>,
    utc_offset_s: Option<Spanned<i64>>,
    mean_outdoor_c: Option<Spanned<f64>>,
    #[serde(default, rename = "device")]
    devices: Vec<Device>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Device {
    id: Spanned<String>,
    model: Spanned<String>,
    name: String,
    rated_w: Option<Spanned<f64>>,
    setpoint_c: Option<Spanned<f64>>,
    room_c: Option<Spanned<f64>>,
    mode: Option<Spanned<String>>,
    /// Code of the remote control of an air conditioner.
    remote: Option<Spanned<String>>,
    /// Events of its weekly schedule.
    #[serde(default)]
    schedule: Vec<Event>,
    /// Newer version of its firmware that the cloud offers.
    firmware_offer: Option<String>,
    /// Model in its record, if it was edited there.
    record_model: Option<String>,
    /// Members that replace those of the record, of the REST state, and of the telemetry in the structured service.
    #[serde(default)]
    record: Map<String, Value>,
    #[serde(default)]
    state: Map<String, Value>,
    #[serde(default)]
    telemetry: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Event {
    days: Spanned<String>,
    at: Spanned<String>,
    setpoint_c: Spanned<f64>,
}

/// Days of the week by their numbers.
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Length of the generated history, in days.
const HISTORY_DAYS: RangeInclusive<f64> = 0.0..=3_650.0;
const UTC_OFFSET_S: RangeInclusive<f64> = -43_200.0..=50_400.0;
const OUTDOOR_C: RangeInclusive<f64> = -60.0..=60.0;
const RATED_W: RangeInclusive<f64> = 0.0..=20_000.0;
const SETPOINT_C: RangeInclusive<f64> = 0.0..=45.0;
const ROOM_C: RangeInclusive<f64> = -40.0..=60.0;

/// Parses a home file: accounts, homes and thermostats of the simulated cloud.
///
/// # Errors
/// The first invalid value, with its line and column.
pub fn home(text: &str) -> Result<CloudSpec, ConfigError> {
    let file: RawHome = toml_edit::de::from_str(text)
        .map_err(|error| ConfigError::toml(text, error.span(), error.message()))?;
    let mut reader = Reader { text, ids: BTreeSet::new() };
    let mut spec = CloudSpec::default();
    if let Some(days) = &file.history_days {
        spec.history_days = *days.get_ref();
        reader.check("history-days", "the file", days, f64::from(spec.history_days), HISTORY_DAYS)?;
    }
    let mut emails = BTreeSet::new();
    for account in file.accounts {
        if !emails.insert(account.email.get_ref().to_lowercase()) {
            return Err(
                reader.error(&account.email, ConfigError::DuplicateAccount(account.email.get_ref().clone()))
            );
        }
        let mut made = AccountSpec::new(account.email.get_ref(), &account.password);
        made.challenges = account.sms_code.map(ChallengeSpec::Sms).into_iter().collect();
        for home in account.homes {
            made.homes.push(reader.home(home)?);
        }
        spec.accounts.push(made);
    }
    if spec.accounts.is_empty() {
        return Err(ConfigError::MissingAccount);
    }
    Ok(spec)
}

struct Reader<'a> {
    text: &'a str,
    ids: BTreeSet<DeviceId>,
}

impl Reader<'_> {
    /// Adds the place of a value to its error.
    fn error<T>(&self, value: &Spanned<T>, error: ConfigError) -> ConfigError {
        ConfigError::at(self.text, value.span(), error)
    }

    fn home(&mut self, home: Home) -> Result<HomeSpec, ConfigError> {
        let mut made = HomeSpec::new(&home.name);
        if let Some(zone) = home.time_zone {
            if !is_time_zone(zone.get_ref()) {
                return Err(self.error(&zone, ConfigError::InvalidTimeZone(zone.get_ref().clone())));
            }
            made.time_zone = zone.into_inner();
        }
        if let Some(offset) = &home.utc_offset_s {
            self.check("utc-offset-s", &home.name, offset, *offset.get_ref() as f64, UTC_OFFSET_S)?;
            made.utc_offset = Some(*offset.get_ref());
        }
        made.weather.mean =
            self.number("mean-outdoor-c", &home.name, home.mean_outdoor_c, made.weather.mean, OUTDOOR_C)?;
        for device in home.devices {
            made.devices.push(self.device(device)?);
        }
        Ok(made)
    }

    fn device(&mut self, device: Device) -> Result<DeviceSpec, ConfigError> {
        let Device { id: id_text, model, name, rated_w, setpoint_c, room_c, mode, record_model, .. } = device;
        let id = DeviceId::from_str(id_text.get_ref())
            .map_err(|_| self.error(&id_text, ConfigError::InvalidDeviceId(id_text.get_ref().clone())))?;
        if !self.ids.insert(id) {
            return Err(self.error(&id_text, ConfigError::DuplicateDevice(id.to_string())));
        }
        if Model::parse(model.get_ref()).family().is_none() {
            return Err(self.error(&model, ConfigError::UnknownModel(model.get_ref().clone())));
        }
        let mut made = DeviceSpec::new(id, model.get_ref(), &name);
        // Any text is accepted, because clients must handle any model and any version.
        (made.record_model, made.firmware_offer) = (record_model, device.firmware_offer);
        (made.record, made.state, made.telemetry) = (device.record, device.state, device.telemetry);
        made.rated_watts = self.number("rated-w", &name, rated_w, made.rated_watts, RATED_W)?;
        made.setpoint = self.number("setpoint-c", &name, setpoint_c, made.setpoint, SETPOINT_C)?;
        made.room.temperature = self.number("room-c", &name, room_c, made.room.temperature, ROOM_C)?;
        for event in &device.schedule {
            self.schedule(&mut made, event)?;
        }
        if let Some(mode) = mode {
            made.mode = match mode.get_ref().as_str() {
                "heat" => Mode::Heat,
                "off" => Mode::Off,
                "auto" => Mode::Auto,
                "cool" => Mode::Cool,
                "fan" => Mode::FanOnly,
                "dry" => Mode::Dry,
                other => return Err(self.error(&mode, ConfigError::UnknownMode(other.to_owned()))),
            };
        }
        if let Some(remote) = device.remote {
            made.remote = AcRemote::with_code(remote.get_ref())
                .ok_or_else(|| self.error(&remote, ConfigError::UnknownRemote(remote.get_ref().clone())))?;
        }
        Ok(made)
    }

    /// Adds an event of a schedule on each of its days.
    fn schedule(&self, made: &mut DeviceSpec, event: &Event) -> Result<(), ConfigError> {
        let Event { days, at, setpoint_c } = event;
        let weekdays = weekdays(days.get_ref())
            .ok_or_else(|| self.error(days, ConfigError::InvalidDays(days.get_ref().clone())))?;
        let minute = minute(at.get_ref())
            .ok_or_else(|| self.error(at, ConfigError::InvalidClock(at.get_ref().clone())))?;
        let setpoint = *setpoint_c.get_ref();
        self.check("setpoint-c", &made.name, setpoint_c, setpoint, SETPOINT_C)?;
        let events = weekdays.into_iter().map(|weekday| ScheduledSetpoint { weekday, minute, setpoint });
        made.schedule.extend(events);
        Ok(())
    }

    /// The value, or the default.
    fn number(
        &self,
        name: &'static str,
        of: &str,
        value: Option<Spanned<f64>>,
        default: f64,
        range: RangeInclusive<f64>,
    ) -> Result<f64, ConfigError> {
        let Some(value) = value else { return Ok(default) };
        self.check(name, of, &value, *value.get_ref(), range)?;
        Ok(*value.get_ref())
    }

    fn check<T>(
        &self,
        name: &'static str,
        of: &str,
        place: &Spanned<T>,
        value: f64,
        range: RangeInclusive<f64>,
    ) -> Result<(), ConfigError> {
        // NaN is in no range.
        if range.contains(&value) {
            return Ok(());
        }
        let error = ConfigError::OutOfRange { name, of: of.to_owned(), value: value.to_string() };
        Err(self.error(place, error))
    }
}

/// Areas of the time zone database.
const AREAS: [&str; 11] = [
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Etc",
    "Europe",
    "Indian",
    "Pacific",
];

/// Returns `true` if a text has the form of a name in the time zone database. The places are not checked, since they
/// change several times a year and the offset is a key of its own.
fn is_time_zone(text: &str) -> bool {
    let is_place = |place: &str| {
        place.starts_with(|first: char| first.is_ascii_uppercase())
            && place.len() <= 32
            && place.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+".contains(&byte))
    };
    let mut parts = text.split('/');
    match parts.next() {
        Some("UTC" | "GMT") => parts.next().is_none(),
        Some(area) => {
            let places: Vec<&str> = parts.collect();
            AREAS.contains(&area) && (1..=2).contains(&places.len()) && places.into_iter().all(is_place)
        }
        None => false,
    }
}

/// Parses `daily`, or days and ranges such as `mon-fri,sun`. A range may pass the end of the week.
fn weekdays(text: &str) -> Option<BTreeSet<u8>> {
    if text.trim() == "daily" {
        return Some((0..7).collect());
    }
    let day = |name: &str| DAYS.iter().position(|day| *day == name.trim().to_lowercase());
    let mut weekdays = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        weekdays.extend((first..=first + length).filter_map(|day| u8::try_from(day % 7).ok()));
    }
    Some(weekdays)
}

/// Parses `06:30` as minutes since midnight.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let is_number = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !(is_number(hour) && is_number(minute)) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
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
        firmware-offer = "3.17.5.13"
        record-model = "BB-V2-0"
        record = { MinSetpoint = -1, Voltage = "" }
        state.Duty = 55
        telemetry.dutyCycle = 0.5
        schedule = [
            { days = "sat-mon", at = "07:30", setpoint-c = 20.5 },
        ]
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
        assert_eq!(device.firmware_offer.as_deref(), Some("3.17.5.13"));
        assert_eq!(Value::from(device.record.clone()), json!({ "MinSetpoint": -1, "Voltage": "" }));
        assert_eq!(Value::from(device.state.clone()), json!({ "Duty": 55 }));
        assert_eq!(Value::from(device.telemetry.clone()), json!({ "dutyCycle": 0.5 }));
        assert_eq!(device.remote, AcRemote::Numbered);
        let other = home(&FILE.replace("mode = \"off\"", "remote = \"1117\"")).unwrap();
        assert_eq!(other.accounts[0].homes[0].devices[0].remote, AcRemote::Named);
        let days: Vec<u8> = device.schedule.iter().map(|event| event.weekday).collect();
        assert_eq!(days, [0, 1, 6]);
        assert!(device.schedule.iter().all(|event| (event.minute, event.setpoint) == (450, 20.5)));
        assert_eq!(account.challenges, [ChallengeSpec::Sms("123456".into())]);
    }

    /// Keys of a table, as the parser names them where it finds an unknown one.
    fn keys<T: DeserializeOwned>() -> Vec<String> {
        let error = toml_edit::de::from_str::<T>("no-such-key = 1").err().unwrap().to_string();
        let expected = error.split_once("expected ").unwrap().1;
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_readme_of_the_simulator_documents_every_key() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mysa-sim-server/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (_, section) = readme.split_once("## Accounts and homes from a file").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        for (table, keys) in [
            ("the file itself", keys::<RawHome>()),
            ("`[[account]]`", keys::<Account>()),
            ("`[[account.home]]`", keys::<Home>()),
            ("`[[account.home.device]]`", keys::<Device>()),
            ("`[[account.home.device.schedule]]`", keys::<Event>()),
        ] {
            let start = format!("| {table} | ");
            let documented: Vec<String> =
                section.lines().filter(|line| line.starts_with(&start)).filter_map(key_of).collect();
            assert!(keys.len() >= 2 && documented == keys, "{table}: {documented:?}, {keys:?}");
        }
    }

    /// Key in the second column of a row.
    fn key_of(row: &str) -> Option<String> {
        Some(row.split(" | ").nth(1)?.trim_matches('`').to_owned())
    }

    #[test]
    fn names_of_time_zones_have_an_area() {
        for good in ["America/Halifax", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "UTC", "Europe/Berlin"]
        {
            assert!(is_time_zone(good), "{good}");
        }
        for bad in [
            "",
            "Halifax",
            "america/halifax",
            "America/",
            "America/x",
            "UTC/Berlin",
            "A/B/C/D",
            "America/A B",
        ] {
            assert!(!is_time_zone(bad), "{bad}");
        }
    }

    #[test]
    fn days_are_names_and_ranges() {
        let days = |text| weekdays(text).map(|days| days.into_iter().collect::<Vec<_>>());
        assert_eq!(days("daily"), Some(vec![0, 1, 2, 3, 4, 5, 6]));
        assert_eq!(days("Mon-Fri, sun"), Some(vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(days("fri-fri"), Some(vec![5]));
        assert_eq!(days("mon-sun"), days("daily"));
        for bad in ["", "mon,", "monday", "mon-fri-sun"] {
            assert_eq!(days(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_error_quotes_only_the_invalid_value() {
        for (from, to, named) in [
            ("history-days", "history", "line 2, column 9: unknown field"),
            ("A0B1C2D3E4F5", "a/b", "line 11, column 14: invalid device id 'a/b'"),
            ("BB-V1-1", "BB-V9", "line 12, column 17: unknown model 'BB-V9'"),
            ("2000", "-1", "line 14, column 19: rated-w"),
            ("2000", "nan", "line 14, column 19: rated-w"),
            ("3600", "1000000", "line 9, column 24: utc-offset-s"),
            ("history-days = 30", "history-days = 3651", "line 2, column 24: history-days of 'the file'"),
            (
                "utc-offset-s = 3600",
                "time-zone = \"Halifax\"",
                "line 9, column 21: invalid time zone 'Halifax'",
            ),
            ("utc-offset-s = 3600", "mean-outdoor-c = inf", "line 9, column 26: mean-outdoor-c"),
            ("\"off\"", "\"sauna\"", "line 15, column 16: unknown mode 'sauna'"),
            ("mode = \"off\"", "remote = \"1118\"", "line 15, column 18: unknown remote '1118'"),
            ("sat-mon", "weekend", "line 22, column 22: invalid days 'weekend'"),
            ("sat-mon", "mon-", "line 22, column 22: invalid days 'mon-'"),
            ("07:30", "7:30", "line 22, column 38: invalid time '7:30'"),
            ("07:30", "24:00", "line 22, column 38: invalid time '24:00'"),
            ("20.5 }", "60 }", "line 22, column 60: setpoint-c"),
            ("bob@", "ANN@", "line 25, column 17: duplicate account ANN@example.org"),
        ] {
            let why = home(&FILE.replace(from, to)).unwrap_err().to_string();
            assert!(why.starts_with(named), "{why}");
            assert!(!why.contains("canary") && !why.contains('\n'), "{why}");
        }
        assert_eq!(home("account = []").unwrap_err(), ConfigError::MissingAccount);
        let device =
            "[[account.home.device]]\nid = \"a0b1c2d3e4f5\"\nmodel = \"BB-V1-1\"\nname = \"Attic\"\n";
        let twice = FILE.replace("[[account.home.device]]", &format!("{device}[[account.home.device]]"));
        let why = home(&twice).unwrap_err().to_string();
        assert!(why.ends_with(": duplicate device a0b1c2d3e4f5") && why.starts_with("line 15, "), "{why}");
    }
}
