//! Requested settings.

use mysa_proto::{
    AutoSetpoints, Brightness, Celsius, Change, FanSpeed, Hold, Mode, Swing, TrackedSensor, UnixTime,
};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};

use crate::convert::{celsius, fan_name, hold, mode_name, swing_name};
use crate::entropy::unix_time;
use crate::errors::invalid;

/// Reads the settings of a dict, by the names of the arguments of `Client.set`.
pub(crate) fn change(py: Python<'_>, settings: &Bound<'_, PyDict>) -> PyResult<Change> {
    let mut change = Change::default();
    for (name, value) in settings {
        let name: String = name.extract()?;
        if value.is_none() {
            continue;
        }
        match name.as_str() {
            "setpoint" => change.setpoint = Some(degrees(py, &name, &value)?),
            "mode" => {
                let text: String = typed(py, &name, "a name such as heat", &value)?;
                change.mode = Some(text.parse::<Mode>().map_err(|error| invalid(py, error))?);
            }
            "hold" => change.hold = Some(read_hold(py, &value)?),
            "lock" => change.lock = Some(boolean(py, &name, &value)?),
            "proximity" => change.proximity = Some(boolean(py, &name, &value)?),
            "climate_plus" => change.climate_plus = Some(boolean(py, &name, &value)?),
            "brightness" => change.brightness = Some(brightness(py, &value)?),
            "fan" => change.fan = Some(fan(py, &value)?),
            "swing" => change.swing_vertical = Some(swing(py, &value)?),
            "horizontal_swing" => change.swing_horizontal = Some(swing(py, &value)?),
            "tracked_sensor" => {
                let text: String = typed(py, &name, "floor or ambient", &value)?;
                change.tracked_sensor = Some(match text.as_str() {
                    "floor" => TrackedSensor::Floor,
                    "ambient" => TrackedSensor::Ambient,
                    _ => return Err(invalid(py, "invalid tracked_sensor: expected floor or ambient")),
                });
            }
            "auto_setpoints" => {
                let (heat, cool): (f64, f64) =
                    typed(py, &name, "two temperatures, heat and cool, in °C", &value)?;
                change.auto_setpoints =
                    Some(AutoSetpoints { heat: celsius(py, heat)?, cool: celsius(py, cool)? });
            }
            "temperature_offset" => change.temperature_offset = Some(degrees(py, &name, &value)?),
            _ => return Err(invalid(py, format!("unknown setting '{name}'"))),
        }
    }
    if change.is_empty() {
        return Err(invalid(py, "nothing to set: expected at least one setting, such as setpoint=20.5"));
    }
    Ok(change)
}

fn typed<'a, 'py, T: FromPyObject<'a, 'py>>(
    py: Python<'_>,
    name: &str,
    expected: &str,
    value: &'a Bound<'py, PyAny>,
) -> PyResult<T> {
    value.extract().map_err(|_| invalid(py, format!("invalid {name}: expected {expected}")))
}

fn degrees(py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<Celsius> {
    // True would be 1 °C.
    if value.is_instance_of::<PyBool>() {
        return Err(invalid(py, format!("invalid {name}: expected a temperature in °C, not a truth value")));
    }
    celsius(py, typed(py, name, "a temperature in °C", value)?)
}

fn boolean(py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    typed(py, name, "True or False", value)
}

fn read_hold(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Hold> {
    const EXPECTED: &str = "invalid hold: expected permanent, follow_schedule, or the end as a datetime with a time zone \
                            or in seconds since the Unix epoch";
    if let Ok(text) = value.extract::<String>() {
        return match text.as_str() {
            "permanent" => Ok(Hold::Permanent),
            "follow_schedule" => Ok(Hold::FollowSchedule),
            _ => Err(invalid(py, EXPECTED)),
        };
    }
    // A datetime without a time zone would be read in that of the host, which need not be that of the home.
    if value.getattr("tzinfo").is_ok_and(|zone| zone.is_none()) {
        return Err(invalid(py, EXPECTED));
    }
    let seconds = match value.call_method0("timestamp") {
        Ok(seconds) => seconds.extract(),
        Err(_) if value.is_instance_of::<PyBool>() => return Err(invalid(py, EXPECTED)),
        Err(_) => value.extract(),
    };
    let seconds: f64 = seconds.map_err(|_| invalid(py, EXPECTED))?;
    Ok(Hold::Until(UnixTime::from_secs(unix_time(py, Some(seconds))?.as_secs())))
}

fn brightness(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Brightness> {
    const EXPECTED: &str = "invalid brightness: expected percent while in use, 0 to 100, or a dict with active, idle, \
                            auto, active_seconds, idle_seconds";
    let Ok(parts) = value.cast::<PyDict>() else {
        let active = value.extract().map_err(|_| invalid(py, EXPECTED))?;
        return Ok(Brightness { active: Some(active), ..Brightness::default() });
    };
    let mut brightness = Brightness::default();
    for (name, value) in parts {
        let name: String = name.extract()?;
        let bad = |_| invalid(py, EXPECTED);
        match name.as_str() {
            "active" => brightness.active = value.extract().map_err(bad)?,
            "idle" => brightness.idle = value.extract().map_err(bad)?,
            "auto" => brightness.auto = value.extract().map_err(bad)?,
            "active_seconds" => brightness.active_seconds = value.extract().map_err(bad)?,
            "idle_seconds" => brightness.idle_seconds = value.extract().map_err(bad)?,
            _ => return Err(invalid(py, EXPECTED)),
        }
    }
    Ok(brightness)
}

fn fan(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<FanSpeed> {
    let by_number = value.extract::<u8>().ok().map(FanSpeed::from_code);
    let by_name = || {
        let name: String = value.extract().ok()?;
        (1..=12).map(FanSpeed::from_code).find(|fan| fan.name() == Some(&*name))
    };
    by_number.or_else(by_name).filter(|fan| fan.is_witnessed()).ok_or_else(|| {
        invalid(py, "invalid fan speed: expected auto, low, medium, high, max, or a number from 1 to 12")
    })
}

fn swing(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Swing> {
    let by_number = value.extract::<u8>().ok().map(Swing::from_code);
    let by_name = || {
        let name: String = value.extract().ok()?;
        (1..=10).map(Swing::from_code).find(|swing| swing.name() == Some(&*name))
    };
    by_number
        .or_else(by_name)
        .ok_or_else(|| invalid(py, "invalid swing: expected a number from 1 to 10, such as 3 for automatic"))
}

/// Settings as a dict, by the same names.
pub(crate) fn to_dict<'py>(py: Python<'py>, change: &Change) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let put = |name: &str, value: Option<Bound<'py, PyAny>>| match value {
        Some(value) => dict.set_item(name, value),
        None => Ok(()),
    };
    macro_rules! put {
        ($name:literal, $value:expr) => {
            put($name, $value.map(|value| pyo3::IntoPyObjectExt::into_bound_py_any(value, py)).transpose()?)?;
        };
    }
    put!("setpoint", change.setpoint.map(Celsius::as_degrees));
    put!("mode", change.mode.map(mode_name));
    put!("hold", change.hold.map(|held| hold(held).0));
    put!("hold_until", change.hold.and_then(|held| hold(held).1));
    put!("lock", change.lock);
    put!("brightness", change.brightness.and_then(|brightness| brightness.active));
    put!("proximity", change.proximity);
    put!("fan", change.fan.map(fan_name));
    put!("swing", change.swing_vertical.map(swing_name));
    put!("horizontal_swing", change.swing_horizontal.map(swing_name));
    put!("climate_plus", change.climate_plus);
    put!("tracked_sensor", change.tracked_sensor.map(|sensor| sensor.to_string()));
    put!(
        "auto_setpoints",
        change.auto_setpoints.map(|both| (both.heat.as_degrees(), both.cool.as_degrees()))
    );
    put!("temperature_offset", change.temperature_offset.map(Celsius::as_degrees));
    Ok(dict)
}
