use mysa_proto::Celsius;

use crate::Error;

/// From the rest of a command line: a thermostat's name, and a setpoint in degrees Celsius.
///
/// # Errors
/// They are not there, or it is no temperature.
pub fn name_and_setpoint(mut args: impl Iterator<Item = String>) -> Result<(String, Celsius), Error> {
    let (Some(name), Some(degrees)) = (args.next(), args.next()) else {
        return Err("give a thermostat's name and a setpoint in degrees Celsius".into());
    };
    let setpoint = degrees.parse().ok().and_then(Celsius::from_degrees);
    Ok((name, setpoint.ok_or_else(|| format!("{degrees} is no temperature in degrees Celsius"))?))
}
