use mysa_proto::Celsius;

use crate::Error;

/// Parses a thermostat's name and a setpoint in degrees Celsius.
///
/// # Errors
/// An argument is missing, or the setpoint is not a temperature.
pub fn name_and_setpoint(mut args: impl Iterator<Item = String>) -> Result<(String, Celsius), Error> {
    let (Some(name), Some(degrees)) = (args.next(), args.next()) else {
        return Err("expected a thermostat's name and a setpoint in degrees Celsius".into());
    };
    let setpoint = degrees.parse().ok().and_then(Celsius::from_degrees);
    Ok((
        name,
        setpoint
            .ok_or_else(|| format!("invalid setpoint {degrees}: expected degrees Celsius, such as 21.5"))?,
    ))
}
