use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::Celsius;
use crate::rest::fields::{self, Fields};
use crate::rest::{BodyError, body};

/// Capabilities of one thermostat: the answer to [`capabilities`](crate::rest::capabilities()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// `system.model`.
    pub model: Option<String>,
    /// `system.firmwareVersion`.
    pub firmware: Option<String>,
    /// `features.climateControl.mode.validValues`: `off`, `heat` and so on.
    pub modes: Vec<String>,
    /// Setpoints of `features.climateControl.heat`.
    pub heat_setpoint: Option<ValueRange>,
    /// Setpoints of `features.climateControl.cool`.
    pub cool_setpoint: Option<ValueRange>,
    /// `features.sensing.temperature.temperatureOffset`.
    pub offset: Option<ValueRange>,
    /// `features.interface.lockout`: valid numbers.
    pub lockout: Vec<i64>,
    /// `features.sensing.humidity`. False on a Lite, which nevertheless reports humidity.
    pub humidity_flag: Option<bool>,
    /// The whole document.
    pub document: Map<String, Value>,
}

/// Range of evenly spaced temperatures or differences.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct ValueRange {
    /// Lowest value.
    pub min: Celsius,
    /// Highest value.
    pub max: Celsius,
    /// Step between two values; `None` if there is only one.
    pub step: Option<Celsius>,
}

impl Capabilities {
    /// Decodes the body, bare or under `data`.
    ///
    /// # Errors
    /// The body is not JSON or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut map = body::object(body)?;
        let document = Fields::from(core::mem::take(&mut map))
            .take_object("data")
            .map_or_else(|| body::object(body), |data| Ok(data.rest()))?;
        let at = |path: &[&str]| {
            let (first, rest) = path.split_first()?;
            rest.iter().try_fold(document.get(*first)?, |value, name| value.get(*name))
        };
        let texts = |value: &Value| value.as_array().into_iter().flatten().filter_map(fields::text).collect();
        let climate = ["features", "climateControl"];
        let setpoint = |side| at(&[climate[0], climate[1], side, "setpoint"]).and_then(ValueRange::of);
        Ok(Self {
            model: at(&["system", "model"]).and_then(fields::text),
            firmware: at(&["system", "firmwareVersion"]).and_then(fields::text),
            modes: at(&[climate[0], climate[1], "mode", "validValues"]).map(texts).unwrap_or_default(),
            heat_setpoint: setpoint("heat"),
            cool_setpoint: setpoint("cool"),
            offset: at(&["features", "sensing", "temperature", "temperatureOffset"]).and_then(ValueRange::of),
            lockout: at(&["features", "interface", "lockout", "validValues"])
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(fields::integer)
                .collect(),
            humidity_flag: at(&["features", "sensing", "humidity"]).and_then(fields::flag),
            document,
        })
    }
}

impl ValueRange {
    fn of(value: &Value) -> Option<Self> {
        let mut values: Vec<Celsius> =
            value.get("validValues")?.as_array()?.iter().filter_map(fields::celsius).collect();
        values.sort_unstable();
        values.dedup();
        let gap = |pair: &[Celsius]| match pair {
            [low, high] => Some(high.as_hundredths() - low.as_hundredths()),
            _ => None,
        };
        Some(Self {
            min: *values.first()?,
            max: *values.last()?,
            step: values.windows(2).filter_map(gap).min().map(Celsius::from_hundredths),
        })
    }
}
