//! Settings that a write asks for, decoded from the bytes of either channel without the session's code.

use mysa_proto::{Celsius, Change, DeviceId, Hold, Mode};
use mysa_sim::Family;
use serde_json::{Map, Value};

use crate::violation::Violation;

/// Setting of a thermostat, with one name for both channels.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Setting {
    Setpoint,
    Mode,
    Hold,
    Lock,
    Brightness,
    Proximity,
    Fan,
    SwingVertical,
    SwingHorizontal,
    ClimatePlus,
    TrackedSensor,
    AutoHeat,
    AutoCool,
    Offset,
}

/// Value on the wire: hundredths of a degree, the MQTT number of a mode or a fan speed, or a flag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum WireValue {
    Number(i64),
    Text(String),
}

/// Values on the wire that satisfy one setting of a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    /// Exactly this value.
    Exactly(WireValue),
    /// A temperature off the model's grid: a neighbour on the grid within this distance, in hundredths.
    Near { hundredths: i64, within: i64, step: i64 },
    /// Heat by either sensor: an in-floor thermostat has a number for each.
    Heat,
    /// Any value, because the two channels encode the setting in unrelated ways.
    Anything,
}

impl Asked {
    pub(crate) fn accepts(&self, value: &WireValue) -> bool {
        match self {
            Self::Exactly(asked) => asked == value,
            Self::Near { hundredths, within, step } => match value {
                WireValue::Number(number) => {
                    number.rem_euclid(*step) == 0 && (number - hundredths).abs() <= *within
                }
                WireValue::Text(_) => false,
            },
            Self::Heat => matches!(value, WireValue::Number(HEAT | HEAT_BY_ROOM)),
            Self::Anything => true,
        }
    }
}

/// MQTT numbers of heat. On in-floor thermostats, the second is heat that tracks the room.
const HEAT: i64 = 3;
const HEAT_BY_ROOM: i64 = 5;

/// Mode in force with one number for heat.
pub(crate) fn plain_mode(family: Option<Family>, number: i64) -> i64 {
    if family == Some(Family::Floor) && number == HEAT_BY_ROOM { HEAT } else { number }
}

/// Settings that a change asks for, on the grid of a family.
pub(crate) fn asked(change: &Change, family: Option<Family>) -> Vec<(Setting, Asked)> {
    let step = if family == Some(Family::AirConditioner) { 100 } else { 50 };
    let exactly = |number: i64| Asked::Exactly(WireValue::Number(number));
    let degrees = |celsius: Celsius| {
        let hundredths = i64::from(celsius.as_hundredths());
        if hundredths.rem_euclid(step) == 0 {
            exactly(hundredths)
        } else {
            Asked::Near { hundredths, within: step / 2, step }
        }
    };
    let mut all = Vec::new();
    let mut add = |setting: Setting, asked: Option<Asked>| all.extend(asked.map(|asked| (setting, asked)));
    add(Setting::Setpoint, change.setpoint.map(degrees));
    add(
        Setting::Mode,
        change.mode.map(|mode| match (mode, family) {
            (Mode::Heat, Some(Family::Floor)) => Asked::Heat,
            _ => exactly(mode_number(mode)),
        }),
    );
    add(Setting::Hold, change.hold.map(|hold| exactly(if hold == Hold::Permanent { 2 } else { 1 })));
    add(Setting::Lock, change.lock.map(|lock| exactly(lock.into())));
    add(Setting::Brightness, change.brightness.map(|_| Asked::Anything));
    add(Setting::Proximity, change.proximity.map(|on| exactly(on.into())));
    add(Setting::Fan, change.fan.map(|fan| exactly(fan.code().into())));
    add(Setting::SwingVertical, change.swing_vertical.map(|swing| exactly(swing.code().into())));
    add(Setting::SwingHorizontal, change.swing_horizontal.map(|swing| exactly(swing.code().into())));
    add(Setting::ClimatePlus, change.climate_plus.map(|on| exactly(on.into())));
    add(Setting::TrackedSensor, change.tracked_sensor.map(|sensor| exactly(sensor.number())));
    add(Setting::AutoHeat, change.auto_setpoints.map(|pair| degrees(pair.heat)));
    add(Setting::AutoCool, change.auto_setpoints.map(|pair| degrees(pair.cool)));
    add(Setting::Offset, change.temperature_offset.map(degrees));
    all
}

/// MQTT number of a mode. The session has its own table; a second one makes the check independent.
pub(crate) const fn mode_number(mode: Mode) -> i64 {
    match mode {
        Mode::Off => 1,
        Mode::Auto => 2,
        Mode::Heat => 3,
        Mode::Cool => 4,
        Mode::FanOnly => 5,
        Mode::Dry => 6,
        Mode::Other(number) => number,
        _ => -1,
    }
}

/// MQTT number of a mode that the structured service numbers differently.
const fn mode_from_structured(number: i64) -> i64 {
    match number {
        0 => 1,
        1 => 2,
        3 => 4,
        4 => 3,
        7 => 5,
        8 => 6,
        _ => -1,
    }
}

/// Pairs of the structured service's and the MQTT number of an air conditioner's fan speed.
const FANS: [(i64, i64); 12] =
    [(0, 1), (1, 2), (2, 4), (3, 6), (4, 3), (5, 5), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11), (11, 12)];

pub(crate) type Settings = Vec<(Setting, WireValue)>;

/// Settings of an MQTT command: the objects of `body.cmd`, which is an array or the text of one.
pub(crate) fn from_message(payload: &[u8]) -> Result<Settings, Violation> {
    let bad = || Violation::BadPayload(String::from_utf8_lossy(payload).into_owned());
    let message: Value = serde_json::from_slice(payload).map_err(|_| bad())?;
    let cmd = message.get("body").and_then(|body| body.get("cmd")).ok_or_else(bad)?;
    let list = match cmd {
        Value::Array(list) => list.clone(),
        Value::String(text) => serde_json::from_str::<Vec<Value>>(text).map_err(|_| bad())?,
        _ => return Err(bad()),
    };
    let mut settings = Vec::new();
    for object in &list {
        for (name, value) in object.as_object().ok_or_else(bad)? {
            let setting = match name.as_str() {
                "tm" => continue,
                "sp" => Setting::Setpoint,
                "md" => Setting::Mode,
                "ho" => Setting::Hold,
                "lk" => Setting::Lock,
                "br" => Setting::Brightness,
                "pr" => Setting::Proximity,
                "fn" => Setting::Fan,
                "ss" => Setting::SwingVertical,
                "ssh" => Setting::SwingHorizontal,
                "it" => Setting::ClimatePlus,
                "tr" => Setting::TrackedSensor,
                _ => return Err(bad()),
            };
            let value = if setting == Setting::Setpoint { hundredths(value) } else { number(value) };
            settings.push((setting, value.ok_or_else(bad)?));
        }
    }
    if settings.is_empty() { Err(bad()) } else { Ok(settings) }
}

/// Settings in the body of `POST /state/{device}/update`.
pub(crate) fn from_update(body: &[u8]) -> Result<Settings, Violation> {
    let bad = || Violation::BadPayload(String::from_utf8_lossy(body).into_owned());
    let body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| bad())?;
    let mut settings = Vec::new();
    for (section, members) in &body {
        if section == "source" {
            continue;
        }
        for (name, value) in members.as_object().ok_or_else(bad)? {
            let whole = || value.as_i64().ok_or_else(bad);
            let degrees = || hundredths(value).ok_or_else(bad);
            let (setting, value) = match (section.as_str(), name.as_str()) {
                ("targetHeat" | "targetCool", "setpoint") => (Setting::Setpoint, degrees()?),
                ("targetAuto", "heatSetpoint") => (Setting::AutoHeat, degrees()?),
                ("targetAuto", "coolSetpoint") => (Setting::AutoCool, degrees()?),
                ("modes", "mode") => (Setting::Mode, WireValue::Number(mode_from_structured(whole()?))),
                ("modes", "fan_mode") => {
                    let speed = whole()?;
                    let code = FANS.iter().find(|(number, _)| *number == speed).ok_or_else(bad)?.1;
                    (Setting::Fan, WireValue::Number(code))
                }
                ("modes", "verticalSwingState") => (Setting::SwingVertical, WireValue::Number(whole()?)),
                ("modes", "horizontalSwingState") => (Setting::SwingHorizontal, WireValue::Number(whole()?)),
                ("physicalInterface", "lockout") => {
                    (Setting::Lock, WireValue::Number(i64::from(whole()? == 3)))
                }
                ("physicalInterface", "activeIntensity" | "idleIntensity") => {
                    (Setting::Brightness, WireValue::Number(whole()?))
                }
                ("tracking", "tracking") => {
                    let sensor = if whole()? == 1 { 3 } else { 5 };
                    (Setting::TrackedSensor, WireValue::Number(sensor))
                }
                ("tracking", "ambientOffset") => (Setting::Offset, degrees()?),
                _ => return Err(bad()),
            };
            settings.push((setting, value));
        }
    }
    if settings.is_empty() { Err(bad()) } else { Ok(settings) }
}

fn hundredths(value: &Value) -> Option<WireValue> {
    let exact = value.as_f64()? * 100.0;
    let rounded = exact.round();
    ((exact - rounded).abs() < 1e-6 && rounded.abs() < 1e6).then_some(WireValue::Number(rounded as i64))
}

fn number(value: &Value) -> Option<WireValue> {
    match value {
        Value::Object(_) => Some(WireValue::Text(value.to_string())),
        Value::Bool(on) => Some(WireValue::Number(i64::from(*on))),
        _ => value.as_i64().map(WireValue::Number),
    }
}

/// Purpose of an HTTP request of the session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Request<'a> {
    /// First or second step of a sign-in with a password.
    SignIn { first: bool },
    /// Renewal of the tokens.
    Refresh,
    /// Other request to the two Cognito services.
    Credentials,
    /// Request to the REST service that changes nothing.
    Read,
    /// `POST /state/{device}/update`.
    Update(DeviceId),
    /// Any other request that changes something, with its path.
    Write(&'a str),
    /// Request to a host that does not belong to the cloud.
    Foreign,
}

/// Paths of POST requests that change nothing.
const READS: [&str; 6] = [
    "/energy/",
    "/batchReadings/",
    "/state/batch",
    "/telemetry/usage/",
    "/feature-flags/",
    "/mysa-legacy/stream/",
];

pub(crate) fn classify<'a>(method: &str, url: &'a str, target: Option<&str>, body: &str) -> Request<'a> {
    let Some((host, rest)) = url.strip_prefix("https://").map(|rest| {
        let at = rest.find('/').unwrap_or(rest.len());
        rest.split_at(at)
    }) else {
        return Request::Foreign;
    };
    let path = rest.split('?').next().unwrap_or_default().trim_end_matches('/');
    if host.starts_with("cognito-") {
        let action = target.and_then(|target| target.split_once('.')).map_or("", |(_, action)| action);
        return match action {
            "InitiateAuth" if body.contains("USER_SRP_AUTH") => Request::SignIn { first: true },
            "RespondToAuthChallenge" => Request::SignIn { first: false },
            "InitiateAuth" | "GetTokensFromRefreshToken" => Request::Refresh,
            _ => Request::Credentials,
        };
    }
    if !host.ends_with(".mysa.cloud") {
        return Request::Foreign;
    }
    if matches!(method, "GET" | "HEAD") || method == "POST" && READS.iter().any(|read| rest.starts_with(read))
    {
        return Request::Read;
    }
    let update = path.strip_prefix("/state/").and_then(|rest| rest.strip_suffix("/update"));
    match update.and_then(DeviceId::new) {
        Some(device) if method == "POST" => Request::Update(device),
        _ => Request::Write(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_channels_carry_the_same_settings_for_one_change() {
        let message = br#"{"msg":44,"body":{"ver":1,"type":4,"cmd":[{"tm":-1,"sp":21.5,"md":3,"lk":1}]}}"#;
        let text =
            br#"{"msg":44,"body":{"ver":1,"type":4,"cmd":"[{\"tm\":-1,\"sp\":21.5,\"md\":3,\"lk\":1}]"}}"#;
        let update =
            br#"{"source":3,"modes":{"mode":4},"targetHeat":{"setpoint":21.5},"physicalInterface":{"lockout":3}}"#;
        let sorted = |found: Result<Settings, Violation>| {
            let mut found = found.unwrap();
            found.sort_by_key(|(setting, _)| *setting);
            found
        };
        let change = Change {
            setpoint: Celsius::from_degrees(21.5),
            mode: Some(Mode::Heat),
            lock: Some(true),
            ..Change::default()
        };
        let expected = sorted(from_message(message));
        assert_eq!(sorted(from_message(text)), expected);
        assert_eq!(sorted(from_update(update)), expected);
        assert!(
            asked(&change, None)
                .iter()
                .zip(&expected)
                .all(|((one, asked), (other, value))| { one == other && asked.accepts(value) })
        );
        for bad in ["", "{}", r#"{"body":{"cmd":[]}}"#, r#"{"body":{"cmd":[{"zz":1}]}}"#] {
            assert!(from_message(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in ["", r#"{"source":3}"#, r#"{"source":3,"fans":{"x":1}}"#] {
            assert!(from_update(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_between_steps_accepts_its_neighbours_and_one_on_a_step_only_itself() {
        let accepted = |degrees: f64, family: Option<Family>| -> Vec<i64> {
            let change = Change::setpoint(Celsius::from_degrees(degrees).unwrap());
            let (_, asked) = asked(&change, family).pop().unwrap();
            (1_900..=2_300).filter(|&n| asked.accepts(&WireValue::Number(n))).collect()
        };
        assert_eq!(accepted(21.5, None), [2_150]);
        assert_eq!(accepted(20.3, None), [2_050]);
        assert_eq!(accepted(21.5, Some(Family::AirConditioner)), [2_100, 2_200]);
        assert_eq!(accepted(22.0, Some(Family::AirConditioner)), [2_200]);
    }

    #[test]
    fn requests_are_classified_by_what_they_do() {
        let rest = "https://app-prod.mysa.cloud";
        let of =
            |method: &str, path: &str| format!("{:?}", classify(method, &format!("{rest}{path}"), None, ""));
        assert_eq!(of("GET", "/devices"), "Read");
        assert_eq!(of("POST", "/energy/total/device/a0b1c2d3e4f6"), "Read");
        assert!(of("POST", "/state/a0b1c2d3e4f6/update").starts_with("Update"));
        assert!(of("POST", "/devices/a0b1c2d3e4f6/").contains("Write(\"/devices/a0b1c2d3e4f6\")"));
        assert!(of("DELETE", "/devices/a0b1c2d3e4f6").starts_with("Write"));
        assert!(of("POST", "/schedule/hold").starts_with("Write"));
        assert_eq!(classify("POST", "https://elsewhere.example/state/batch", None, ""), Request::Foreign);
        let cognito = "https://cognito-idp.us-east-1.amazonaws.com/";
        let target = Some("AWSCognitoIdentityProviderService.InitiateAuth");
        assert_eq!(classify("POST", cognito, target, "USER_SRP_AUTH"), Request::SignIn { first: true });
        assert_eq!(classify("POST", cognito, target, "REFRESH_TOKEN_AUTH"), Request::Refresh);
    }
}
