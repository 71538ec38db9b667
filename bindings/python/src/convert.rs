//! Conversion of values between Rust and Python.

use std::borrow::Cow;

use mysa_proto::{
    Celsius, DeviceId, FanSpeed, Hold, Json, Mode, ModeTable, Model, Observation, RawJson, Swing,
    TrackedSensor, UnixTime, Watts,
};
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString};

use crate::errors::invalid;

/// Bytes or text of the caller.
#[derive(Debug)]
pub(crate) enum Payload<'a> {
    Bytes(&'a [u8]),
    Owned(Vec<u8>),
    Text(Cow<'a, str>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Payload<'a> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if value.is_instance_of::<PyBytes>() {
            return value.extract().map(Self::Bytes).map_err(Into::into);
        }
        if value.is_instance_of::<PyString>() {
            return value.extract().map(Self::Text);
        }
        if let Ok(bytes) = value.cast::<PyByteArray>() {
            return Ok(Self::Owned(bytes.to_vec()));
        }
        // A memoryview, or another object with a buffer. The limited API of CPython 3.9 has no buffers.
        let bytes = value.py().import("builtins")?.getattr("memoryview")?.call1((value,));
        let bytes = bytes.and_then(|view| view.call_method0("tobytes"));
        match bytes.ok().and_then(|bytes| bytes.extract().ok()) {
            Some(bytes) => Ok(Self::Owned(bytes)),
            None => Err(pyo3::exceptions::PyTypeError::new_err("expected bytes or str")),
        }
    }
}

impl Payload<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Owned(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

/// Converts JSON of a device as `json.loads` would, without loss.
pub(crate) fn raw_json<'py>(py: Python<'py>, raw: RawJson<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match raw.value() {
        Json::Null => py.None().into_bound(py),
        Json::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Json::Number(number) => {
            let is_whole = !number.as_str().contains(['.', 'e', 'E']);
            match number.to_i64().filter(|_| is_whole) {
                Some(whole) => whole.into_pyobject(py)?.into_any(),
                None if is_whole => py.import("builtins")?.getattr("int")?.call1((number.as_str(),))?,
                None => number.to_f64().into_pyobject(py)?,
            }
        }
        Json::String(text) => PyString::new(py, &text.to_cow()).into_any(),
        Json::Array(array) => {
            let list = PyList::empty(py);
            for element in array.elements() {
                list.append(raw_json(py, element)?)?;
            }
            list.into_any()
        }
        Json::Object(object) => {
            let dict = PyDict::new(py);
            for (name, value) in object.members() {
                dict.set_item(PyString::new(py, &name.to_cow()), raw_json(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

pub(crate) fn device_id(py: Python<'_>, id: &str) -> PyResult<DeviceId> {
    DeviceId::new(id).ok_or_else(|| {
        invalid(py, "invalid device id: expected the id of a thermostat, such as a0b1c2d3e4f6")
    })
}

pub(crate) fn mode_table(py: Python<'_>, name: &str) -> PyResult<ModeTable> {
    ModeTable::from_name(name).ok_or_else(|| {
        invalid(py, format!("invalid mode table '{name}': expected observed or design_document"))
    })
}

pub(crate) fn model(name: Option<&str>) -> Option<Model> {
    name.map(Model::parse)
}

/// Name of a mode. A number without a known mode is given as text, as in the design document.
pub(crate) fn mode_name(mode: Mode) -> Cow<'static, str> {
    match mode {
        Mode::Other(number) => Cow::Owned(number.to_string()),
        named => Cow::Borrowed(named.name()),
    }
}

pub(crate) fn celsius(py: Python<'_>, degrees: f64) -> PyResult<Celsius> {
    Celsius::from_degrees(degrees)
        .ok_or_else(|| invalid(py, format!("{degrees} is not a temperature in degrees Celsius")))
}

pub(crate) fn watts(py: Python<'_>, watts: Option<f64>) -> PyResult<Option<Watts>> {
    let Some(watts) = watts else { return Ok(None) };
    match Watts::from_watts(watts) {
        Some(watts) => Ok(Some(watts)),
        None => Err(invalid(py, format!("{watts} is not a power in watts"))),
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn seconds(time: UnixTime) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this millennium are exact")]
    let millis = time.as_millis() as f64;
    millis / 1_000.0
}

/// Name of a fan speed, or its number as text.
pub(crate) fn fan_name(fan: FanSpeed) -> String {
    fan.name().map_or_else(|| fan.code().to_string(), str::to_owned)
}

/// Name of a direction of the louvres, or its number as text.
pub(crate) fn swing_name(swing: Swing) -> String {
    swing.name().map_or_else(|| swing.code().to_string(), str::to_owned)
}

/// Name of a hold, and its end in seconds since the Unix epoch.
pub(crate) fn hold(hold: Hold) -> (&'static str, Option<f64>) {
    match hold {
        Hold::FollowSchedule => ("follow_schedule", None),
        Hold::Permanent => ("permanent", None),
        Hold::Until(end) => ("until", Some(seconds(end))),
        Hold::FollowOrUntil => ("follow_or_until", None),
    }
}

/// Values of a message or a state by the names that every output of the project uses.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) temperature_c: Option<f64>,
    pub(crate) humidity_pct: Option<f64>,
    pub(crate) setpoint_c: Option<f64>,
    pub(crate) duty_cycle: Option<f64>,
    pub(crate) mode: Option<Cow<'static, str>>,
    pub(crate) power_w: Option<i64>,
    pub(crate) floor_temperature_c: Option<f64>,
    pub(crate) heating: Option<bool>,
    pub(crate) current_a: Option<f64>,
    pub(crate) voltage_v: Option<f64>,
    pub(crate) locked: Option<bool>,
    pub(crate) hold: Option<&'static str>,
    pub(crate) hold_until: Option<f64>,
    pub(crate) fan: Option<String>,
    pub(crate) swing: Option<String>,
    pub(crate) horizontal_swing: Option<String>,
    pub(crate) tracked_sensor: Option<String>,
    pub(crate) connected: Option<bool>,
    pub(crate) signal_dbm: Option<i16>,
    pub(crate) power_basis: Option<&'static str>,
}

impl Values {
    pub(crate) fn of_observation(seen: &Observation) -> Self {
        let hold = seen.hold.map(hold);
        Self {
            temperature_c: seen.temperature.map(Celsius::as_degrees),
            humidity_pct: seen.humidity.map(|value| value.as_percent()),
            setpoint_c: seen.setpoint.map(Celsius::as_degrees),
            duty_cycle: seen.duty.map(|value| value.as_fraction()),
            mode: seen.mode.map(mode_name),
            power_w: None,
            floor_temperature_c: seen.floor_temperature.map(Celsius::as_degrees),
            heating: seen.heating,
            current_a: seen.current.map(|value| value.as_amperes()),
            voltage_v: seen.voltage.map(|value| value.as_volts()),
            locked: seen.lock,
            hold: hold.map(|(name, _)| name),
            hold_until: hold.and_then(|(_, end)| end),
            fan: seen.fan.map(fan_name),
            swing: seen.swing_vertical.map(swing_name),
            horizontal_swing: seen.swing_horizontal.map(swing_name),
            tracked_sensor: seen.tracked_sensor.as_ref().map(TrackedSensor::to_string),
            connected: seen.connected,
            signal_dbm: seen.signal,
            power_basis: None,
        }
    }

    /// Calls a class with the values in the order of the fields of `mysa.models.State`.
    pub(crate) fn call<'py>(&self, class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = class.py();
        macro_rules! arguments {
            ($($field:ident),*) => { [$( (&self.$field).into_bound_py_any(py)? ),*] };
        }
        let arguments = arguments![
            temperature_c,
            humidity_pct,
            setpoint_c,
            duty_cycle,
            mode,
            power_w,
            floor_temperature_c,
            heating,
            current_a,
            voltage_v,
            locked,
            hold,
            hold_until,
            fan,
            swing,
            horizontal_swing,
            tracked_sensor,
            connected,
            signal_dbm,
            power_basis
        ];
        // The last values are absent in most messages, and have a default.
        let used = arguments.iter().rposition(|value| !value.is_none()).map_or(0, |at| at + 1);
        class.call1(pyo3::types::PyTuple::new(py, arguments.get(..used).unwrap_or_default())?)
    }

    /// Returns the values that are present.
    pub(crate) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        macro_rules! items {
            ($($field:ident),*) => {
                $( if let Some(value) = &self.$field {
                    dict.set_item(pyo3::intern!(py, stringify!($field)), value)?;
                } )*
            };
        }
        items![
            temperature_c,
            humidity_pct,
            setpoint_c,
            duty_cycle,
            mode,
            power_w,
            floor_temperature_c,
            heating,
            current_a,
            voltage_v,
            locked,
            hold,
            hold_until,
            fan,
            swing,
            horizontal_swing,
            tracked_sensor,
            connected,
            signal_dbm,
            power_basis
        ];
        Ok(dict)
    }
}
