//! Sections of the thermostats that are controlled by shadows: names, values, and the changes that they ask for.
//!
//! One witness for the names of the shadows, and for setpoints in hundredths of a degree there but in degrees in the
//! structured service. That the other temperatures of a shadow have the same unit is an assumption.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use crate::device::family::{Family, Mode};
use crate::device::parsed_command::{ParsedCommand, checked_setpoint, number};
use crate::device::settings::Settings;
use crate::math::round;
use crate::rest::preferences::recorded;
use crate::rest::structured::wanted_of;

/// Name of the value that says where a change came from.
pub(crate) const SOURCE: &str = "source";
/// `source` of a change: by the app, and by the cloud itself.
pub(crate) const APP: i64 = 3;
pub(crate) const SYSTEM: i64 = 16;

/// Present activity of central HVAC, which is only reported.
pub(crate) const ACTIVITY: &str = "hvacStates";

/// Values that are temperatures or differences of temperatures.
const TEMPERATURES: [&str; 7] =
    ["setpoint", "heatSetpoint", "coolSetpoint", "lockoutMin", "lockoutMax", "deadband", "ambientOffset"];

/// Sections of a family with their values. Empty for a family that has no shadows.
const fn sections(family: Family) -> &'static [(&'static str, &'static [&'static str])] {
    match family {
        Family::CentralHvac => &[
            ("hvacConfig", &["advFanAlwaysOn", "advFanRuntimeSeconds", "advFanRuntimePeriodSeconds"]),
            ("modes", &["mode", "fan_mode"]),
            (
                "physicalInterface",
                &["lockout", "activeIntensity", "idleIntensity", "format", "intensityMode"],
            ),
            ("targetAuto", &["heatSetpoint", "coolSetpoint", "enabled", "deadband"]),
            ("targetCool", &["setpoint", "lockoutMin", "lockoutMax"]),
            ("targetHeat", &["setpoint", "lockoutMin", "lockoutMax"]),
        ],
        Family::BaseboardV3 => &[
            ("bbConfig", &["controlType"]),
            ("modes", &["mode"]),
            (
                "physicalInterface",
                &["lockout", "activeIntensity", "idleIntensity", "format", "intensityMode"],
            ),
            ("targetHeat", &["setpoint", "lockoutMin", "lockoutMax"]),
            ("tracking", &["ambientOffset"]),
        ],
        _ => &[],
    }
}

/// Names of a family's sections.
pub(crate) fn names(family: Family) -> impl Iterator<Item = &'static str> {
    sections(family).iter().map(|(name, _)| *name)
}

/// Returns the name of a section with those of these values that a thermostat knows, or `None` if it has no such
/// section. It knows `source`, too.
pub(crate) fn known(
    family: Family,
    section: &str,
    values: &Map<String, Value>,
) -> Option<(&'static str, Map<String, Value>)> {
    let (name, known) = sections(family).iter().find(|(name, _)| *name == section)?;
    let known = values.iter().filter(|(name, _)| *name == SOURCE || known.contains(&name.as_str()));
    Some((name, known.map(|(name, value)| (name.clone(), value.clone())).collect()))
}

/// Returns those reported values that can also be desired.
pub(crate) fn desirable(values: &Map<String, Value>) -> Map<String, Value> {
    let mut values = values.clone();
    values.remove(ACTIVITY);
    values
}

/// Initial values of a section, other than the settings of the thermostat's control.
pub(crate) fn at_the_start(section: &str) -> Map<String, Value> {
    let values = match section {
        "targetHeat" => json!({ "lockoutMin": 500, "lockoutMax": 3_000 }),
        "targetCool" => json!({ "lockoutMin": 1_600, "lockoutMax": 3_700 }),
        "targetAuto" => json!({ "enabled": true, "deadband": 200 }),
        "physicalInterface" => json!({ "format": "C", "intensityMode": 0 }),
        "hvacConfig" => json!({
            "advFanAlwaysOn": 0, "advFanRuntimeSeconds": 0, "advFanRuntimePeriodSeconds": 1_800,
        }),
        "tracking" => json!({ "ambientOffset": 0 }),
        "bbConfig" => json!({ "controlType": 9 }),
        _ => json!({}),
    };
    object(values)
}

/// Values of a section that the settings of a thermostat determine, in the units of a shadow.
pub(crate) fn of_settings(family: Family, section: &str, settings: &Settings) -> Map<String, Value> {
    let central = settings.central;
    let values = match (section, central) {
        ("targetHeat", _) => json!({ "setpoint": settings.setpoint }),
        ("targetCool", Some(central)) => json!({ "setpoint": central.cool }),
        ("targetAuto", Some(central)) => {
            json!({ "heatSetpoint": central.auto_heat, "coolSetpoint": central.auto_cool })
        }
        ("modes", _) if family == Family::CentralHvac => {
            json!({ "mode": settings.mode.structured(), "fan_mode": settings.fan })
        }
        ("modes", _) => json!({ "mode": settings.mode.structured() }),
        ("physicalInterface", _) => json!({
            "lockout": if settings.lock { 3 } else { 0 }, "activeIntensity": settings.brightness.active,
            "idleIntensity": settings.brightness.idle,
        }),
        _ => json!({}),
    };
    object(values)
}

/// Sections with the values that a command asks for, in the units of a shadow.
pub(crate) fn of_command(wanted: &ParsedCommand) -> Vec<(&'static str, Map<String, Value>)> {
    let mut found: Vec<(&'static str, Map<String, Value>)> = Vec::new();
    let mut put = |section: &'static str, name: &str, value: Option<Value>| {
        let Some(value) = value else { return };
        match found.iter_mut().find(|(known, _)| *known == section) {
            Some((_, values)) => _ = values.insert(name.into(), value),
            None => found.push((section, Map::from_iter([(name.into(), value)]))),
        }
    };
    // The mode is first, so that a new setpoint never takes effect in the previous mode.
    put("modes", "mode", wanted.mode.map(|mode| json!(mode.structured())));
    put("modes", "fan_mode", wanted.fan.map(|fan| json!(fan)));
    put("targetHeat", "setpoint", wanted.setpoint.map(|setpoint| json!(setpoint)));
    put("targetCool", "setpoint", wanted.cool.map(|setpoint| json!(setpoint)));
    put("targetAuto", "heatSetpoint", wanted.auto_heat.map(|setpoint| json!(setpoint)));
    put("targetAuto", "coolSetpoint", wanted.auto_cool.map(|setpoint| json!(setpoint)));
    put("physicalInterface", "lockout", wanted.lock.map(|lock| json!(if lock { 3 } else { 0 })));
    if let Some(brightness) = wanted.brightness {
        put("physicalInterface", "activeIntensity", Some(json!(brightness.active)));
        put("physicalInterface", "idleIntensity", Some(json!(brightness.idle)));
    }
    found
}

/// Reads all values of a section, in degrees, as a thermostat does. The error says what is invalid.
pub(crate) fn read(
    family: Family,
    section: &str,
    values: &Map<String, Value>,
    settings: &Settings,
) -> Result<ParsedCommand, &'static str> {
    let sections = Map::from_iter([(section.into(), Value::Object(values.clone()))]);
    let wanted = wanted_of(&sections, family, &settings.brightness)?;
    recorded(&sections, family.setpoints(Mode::Heat))?;
    let integer = |name: &str, range: core::ops::RangeInclusive<i64>| match values.get(name) {
        Some(value) if !value.as_i64().is_some_and(|value| range.contains(&value)) => {
            Err("a value is out of range")
        }
        _ => Ok(()),
    };
    integer(SOURCE, 0..=i64::from(u16::MAX))?;
    integer("intensityMode", 0..=9)?;
    integer("advFanAlwaysOn", 0..=1)?;
    integer("advFanRuntimeSeconds", 0..=86_400)?;
    integer("advFanRuntimePeriodSeconds", 0..=86_400)?;
    if values.get("enabled").is_some_and(|enabled| !enabled.is_boolean()) {
        return Err("enabled is true or false");
    }
    if values
        .get("deadband")
        .is_some_and(|band| !band.as_f64().is_some_and(|band| (0.0..=10.0).contains(&band)))
    {
        return Err("the deadband is not valid");
    }
    if section == "targetCool" {
        let grid = family.setpoints(Mode::Cool);
        let limits = ["lockoutMin", "lockoutMax"].into_iter().filter_map(|name| values.get(name));
        let mut limits = limits.map(|limit| limit.as_f64().and_then(|limit| checked_setpoint(limit, grid)));
        if limits.any(|limit| limit.is_none()) {
            return Err("the limit is not valid for this device");
        }
    }
    Ok(wanted)
}

/// Converts the values of a section from the units of the structured service, degrees, to those of a shadow.
pub(crate) fn to_shadow(values: &Map<String, Value>) -> Map<String, Value> {
    // A value that is not a whole number of hundredths is kept unchanged, and no thermostat accepts it.
    converted(values, |degrees| {
        let hundredths = round(degrees * 100.0);
        ((hundredths as f64 - degrees * 100.0).abs() < 1e-6).then(|| json!(hundredths))
    })
}

/// Converts the values of a section from the units of a shadow to those of the structured service.
pub(crate) fn from_shadow(values: &Map<String, Value>) -> Map<String, Value> {
    converted(values, |hundredths| Some(number(hundredths / 100.0)))
}

fn converted(values: &Map<String, Value>, convert: impl Fn(f64) -> Option<Value>) -> Map<String, Value> {
    let convert = |name: &str, value: &Value| {
        let temperature = value.as_f64().filter(|_| TEMPERATURES.contains(&name));
        temperature.and_then(&convert).unwrap_or_else(|| value.clone())
    };
    values.iter().map(|(name, value)| (name.clone(), convert(name, value))).collect()
}

fn object(values: Value) -> Map<String, Value> {
    match values {
        Value::Object(values) => values,
        _ => Map::new(),
    }
}
