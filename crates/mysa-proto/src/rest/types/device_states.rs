use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::types::device_record::{locked, tracked_sensor};
use crate::rest::{BodyError, body};
use crate::{
    Amperes, Celsius, DeviceId, DutyCycle, FanSpeed, RelativeHumidity, Swing, TrackedSensor, UnixTime, Volts,
};

/// Value of the REST state with the service's time for it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Reading<T> {
    /// The value.
    pub value: T,
    /// Time of the value; `None` if it is missing or invalid.
    pub at: Option<UnixTime>,
}

impl<T> Reading<T> {
    /// Largest valid lead of a time over the present, in milliseconds. A Lite has reported the year 2031.
    pub const MAX_AHEAD_MILLIS: i64 = 60_000;

    /// Time of the value, unless it is more than a minute ahead of `now`.
    #[must_use]
    pub fn usable_time(&self, now: UnixTime) -> Option<UnixTime> {
        self.at.filter(|at| *at <= now.plus_millis(Self::MAX_AHEAD_MILLIS))
    }
}

/// Last state of a thermostat, a member of `DeviceStatesObj`. −1 means a missing value in every field; a temperature of
/// exactly 0 is valid only with its own time within an hour of the entry's.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceStateEntry {
    /// Key of the entry, or `Device`.
    pub id: DeviceId,
    /// `Timestamp` of the whole entry.
    pub at: Option<UnixTime>,
    /// `CorrectedTemp`: room temperature.
    pub temperature: Option<Reading<Celsius>>,
    /// `SensorTemp`: temperature inside the warm case.
    pub sensor_temperature: Option<Reading<Celsius>>,
    /// `HeatSink`: temperature of the hot heat sink.
    pub heat_sink: Option<Reading<Celsius>>,
    /// `Humidity`.
    pub humidity: Option<Reading<RelativeHumidity>>,
    /// `SetPoint`. Air conditioners report 0 in modes without one, which reads as `None`.
    pub setpoint: Option<Reading<Celsius>>,
    /// `TstatMode`, a number of [`ModeTable`](crate::ModeTable). The field `Mode` has a different numbering and stays
    /// in [`DeviceStateEntry::extra`].
    pub mode_number: Option<Reading<i64>>,
    /// `Duty`: a fraction, or above 1 a percentage. Delayed.
    pub duty: Option<Reading<DutyCycle>>,
    /// `Current` of the last heating, which stays while the heater is off. Meaningless on a Lite.
    pub last_current: Option<Reading<Amperes>>,
    /// `Voltage`, or `LineVoltage` of in-floor heating.
    pub voltage: Option<Reading<Volts>>,
    /// `Connected`; may be true although the readings are stale.
    pub connected: Option<Reading<bool>>,
    /// `Rssi`, in dBm.
    pub signal: Option<Reading<i64>>,
    /// `Brightness` in percent.
    pub brightness: Option<Reading<u8>>,
    /// `Lock`.
    pub locked: Option<Reading<bool>>,
    /// `ScheduleMode`: 1 follows the schedule, 2 holds. Unreliable.
    pub schedule_mode: Option<Reading<i64>>,
    /// `HoldTime`. Unreliable.
    pub hold_time: Option<Reading<i64>>,
    /// `FanSpeed`; air conditioners.
    pub fan: Option<Reading<FanSpeed>>,
    /// `SwingState`; air conditioners.
    pub swing_vertical: Option<Reading<Swing>>,
    /// `SwingStateHorizontal`; air conditioners.
    pub swing_horizontal: Option<Reading<Swing>>,
    /// `IsThermostatic`: Climate+; air conditioners.
    pub climate_plus: Option<Reading<bool>>,
    /// `Infloor`: temperature of the floor probe.
    pub floor_temperature: Option<Reading<Celsius>>,
    /// `TrackedSensor`; in-floor heating.
    pub tracked_sensor: Option<Reading<TrackedSensor>>,
    /// `OnTime`, in seconds or milliseconds; the unit is unknown.
    pub on_time: Option<Reading<i64>>,
    /// `OffTime`, in seconds or milliseconds; the unit is unknown.
    pub off_time: Option<Reading<i64>>,
    /// `FreeHeap` in bytes.
    pub free_heap: Option<Reading<i64>>,
    /// Unknown members, and known ones whose value could not be read.
    pub extra: Map<String, Value>,
}

impl DeviceStateEntry {
    /// Decodes the answer to [`device_state`](crate::rest::device_state).
    ///
    /// # Errors
    /// The body is not JSON or has no entry with a `Device`.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let map = body::object(body)?;
        let entry = match map.get("DeviceState") {
            Some(Value::Object(entry)) => entry.clone(),
            _ => map,
        };
        Self::of(None, Value::Object(entry))
            .map_err(|value| BodyError::wrong_shape("a device state with its Device", &value))
    }

    fn of(key: Option<DeviceId>, value: Value) -> Result<Self, Value> {
        let Value::Object(map) = value else { return Err(value) };
        let written = ["Device", "device"].iter().find_map(|name| DeviceId::new(map.get(*name)?.as_str()?));
        let Some(id) = key.or(written) else { return Err(Value::Object(map)) };
        let mut fields = Fields::from(map);
        if written == Some(id) {
            fields.take_value("Device");
            fields.take_value("device");
        }
        let at = fields.take(&["Timestamp", "timestamp"], fields::time);
        let zero_is_one = |reading: &Reading<Celsius>| {
            reading.value.as_hundredths() != 0
                || reading.at.is_some_and(|own| at.is_none_or(|at| own.plus_millis(3_600_000) >= at))
        };
        Ok(Self {
            id,
            at,
            temperature: fields.reading("CorrectedTemp", fields::celsius).filter(zero_is_one),
            sensor_temperature: fields.reading("SensorTemp", fields::celsius).filter(zero_is_one),
            heat_sink: fields.reading("HeatSink", fields::celsius).filter(zero_is_one),
            humidity: fields.reading("Humidity", fields::humidity),
            setpoint: fields
                .reading("SetPoint", fields::celsius)
                .filter(|setpoint| setpoint.value.as_hundredths() > 0),
            mode_number: fields.reading("TstatMode", fields::integer),
            duty: fields.reading("Duty", fields::duty),
            last_current: fields.reading("Current", fields::amperes),
            voltage: fields
                .reading("LineVoltage", fields::volts)
                .or_else(|| fields.reading("Voltage", fields::volts)),
            connected: fields.reading("Connected", fields::flag),
            signal: fields.reading("Rssi", fields::integer).filter(|signal| signal.value < 0),
            brightness: fields.reading("Brightness", fields::percent),
            locked: fields.reading("Lock", locked),
            schedule_mode: fields.reading("ScheduleMode", fields::integer),
            hold_time: fields.reading("HoldTime", fields::integer),
            fan: fields.reading("FanSpeed", code).map(|fan| fan.map(FanSpeed::from_code)),
            swing_vertical: fields.reading("SwingState", code).map(|swing| swing.map(Swing::from_code)),
            swing_horizontal: fields
                .reading("SwingStateHorizontal", code)
                .map(|swing| swing.map(Swing::from_code)),
            climate_plus: fields.reading("IsThermostatic", fields::flag),
            floor_temperature: fields.reading("Infloor", fields::celsius).filter(zero_is_one),
            tracked_sensor: fields.reading("TrackedSensor", tracked_sensor),
            on_time: fields.reading("OnTime", fields::integer),
            off_time: fields.reading("OffTime", fields::integer),
            free_heap: fields.reading("FreeHeap", fields::integer),
            extra: fields.rest(),
        })
    }
}

impl<T> Reading<T> {
    fn map<U>(self, change: impl Fn(T) -> U) -> Reading<U> {
        Reading { value: change(self.value), at: self.at }
    }
}

fn code(value: &Value) -> Option<u8> {
    fields::integer(value).and_then(|code| u8::try_from(code).ok())
}

/// Last state of every thermostat: the answer to [`devices_state`](crate::rest::devices_state).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DeviceStates {
    /// The entries.
    pub states: BTreeMap<DeviceId, DeviceStateEntry>,
    /// Entries that could not be parsed, with their keys where they had one.
    pub rejected: Vec<(Option<String>, Value)>,
    /// Other members of the body.
    pub extra: Map<String, Value>,
}

impl DeviceStates {
    /// Decodes the body: `DeviceStatesObj` by id, or `DeviceStates`, as an object or list. Invalid entries are kept in
    /// [`DeviceStates::rejected`].
    ///
    /// # Errors
    /// The body is not JSON or has neither member.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut map = body::object(body)?;
        let entries: Vec<(Option<String>, Value)> =
            match map.remove("DeviceStatesObj").or_else(|| map.remove("DeviceStates")) {
                Some(Value::Object(map)) => map.into_iter().map(|(key, value)| (Some(key), value)).collect(),
                Some(Value::Array(items)) => items.into_iter().map(|value| (None, value)).collect(),
                Some(other) => return Err(BodyError::wrong_shape("the states by device", &other)),
                None => return Err(BodyError::wrong_shape("DeviceStatesObj", &Value::Object(map))),
            };
        let mut states = Self { extra: map, ..Self::default() };
        for (key, value) in entries {
            let id = key.as_deref().map(DeviceId::new);
            let entry = match id {
                Some(None) => Err(value),
                Some(id) => DeviceStateEntry::of(id, value),
                None => DeviceStateEntry::of(None, value),
            };
            match entry {
                Ok(entry) => {
                    states.states.insert(entry.id, entry);
                }
                Err(value) => states.rejected.push((key, value)),
            }
        }
        Ok(states)
    }
}
