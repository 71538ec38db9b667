//! Preferences that the structured service stores in a device's record.

use alloc::string::String;

use serde_json::{Map, Value, json};

use crate::device::parsed_command::{checked_setpoint, number};

/// Heater profiles of a record: `DutyCycleOpt`.
const HEATERS: [i64; 7] = [0, 4, 5, 6, 7, 8, 9];
/// Range of the offset in hundredths: from −5 °C to 5 °C in steps of 0.5 °C.
const OFFSETS: (i32, i32, i32) = (-500, 500, 50);

/// Returns the fields of the record that an update changes, or the reason why it is invalid. `grid` is the model's
/// range of setpoints.
/// Limits, offset, unit and heater are written by section and reported back. One witness.
pub(crate) fn recorded(
    sections: &Map<String, Value>,
    grid: (i32, i32, i32),
) -> Result<Map<String, Value>, &'static str> {
    let member = |section: &str, name: &str| sections.get(section).and_then(|members| members.get(name));
    let mut fields = Map::new();
    for (name, field) in [("lockoutMin", "MinSetpoint"), ("lockoutMax", "MaxSetpoint")] {
        if let Some(value) = member("targetHeat", name) {
            let degrees = value.as_f64().ok_or("a limit is a number")?;
            checked_setpoint(degrees, grid).ok_or("the limit is not valid for this device")?;
            fields.insert(field.into(), number(degrees));
        }
    }
    if let Some(value) = member("tracking", "ambientOffset") {
        let degrees = value.as_f64().ok_or("an offset is a number")?;
        checked_setpoint(degrees, OFFSETS).ok_or("the offset is not valid")?;
        fields.insert("UserTempOffset".into(), number(degrees));
    }
    match member("physicalInterface", "format").map(Value::as_str) {
        None => {}
        Some(Some("C")) => _ = fields.insert("Format".into(), json!("celsius")),
        Some(Some("F")) => _ = fields.insert("Format".into(), json!("fahrenheit")),
        Some(_) => return Err("format must be C or F"),
    }
    if let Some(value) = member("bbConfig", "controlType") {
        let heater = value.as_i64().filter(|heater| HEATERS.contains(heater));
        fields.insert("DutyCycleOpt".into(), json!(heater.ok_or("there is no such heater")?));
    }
    Ok(fields)
}
