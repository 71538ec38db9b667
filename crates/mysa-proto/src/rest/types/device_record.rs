use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::{BodyError, ResourceId, body};
use crate::{AcCapabilities, Amperes, Celsius, DeviceId, TrackedSensor, UnixTime, Volts};

/// Unit that a thermostat displays. The wire format always uses degrees Celsius.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum DisplayUnit {
    /// Degrees Celsius.
    Celsius,
    /// Degrees Fahrenheit.
    Fahrenheit,
}

impl DisplayUnit {
    /// Parses `celsius`, `fahrenheit`, `C` or `F`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("celsius") || text.eq_ignore_ascii_case("c") => {
                Some(Self::Celsius)
            }
            _ if text.eq_ignore_ascii_case("fahrenheit") || text.eq_ignore_ascii_case("f") => {
                Some(Self::Fahrenheit)
            }
            _ => None,
        }
    }
}

/// Settings of one thermostat, a member of `DevicesObj`. Everything but the id may be missing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceRecord {
    /// Key of the record, or `Id` in a list.
    pub id: DeviceId,
    /// `Model`, such as `BB-V2-0-L`; [`Model::parse`](crate::Model::parse) knows it.
    pub model: Option<String>,
    /// `Name`.
    pub name: Option<String>,
    /// `Home`.
    pub home: Option<ResourceId>,
    /// `Zone`.
    pub zone: Option<ResourceId>,
    /// `Owner`, a user.
    pub owner: Option<ResourceId>,
    /// `AllowedUsers`.
    pub allowed_users: Vec<String>,
    /// `TimeZone`, a name of the tz database.
    pub time_zone: Option<String>,
    /// `Format`.
    pub display_unit: Option<DisplayUnit>,
    /// `MinSetpoint`, the user's limit.
    pub min_setpoint: Option<Celsius>,
    /// `MaxSetpoint`, the user's limit.
    pub max_setpoint: Option<Celsius>,
    /// `MinBrightness`: idle, percent.
    pub min_brightness: Option<u8>,
    /// `MaxBrightness`: awake, percent.
    pub max_brightness: Option<u8>,
    /// `AutoBrightness`; second generation.
    pub auto_brightness: Option<bool>,
    /// `ProximityMode`; second generation.
    pub proximity: Option<bool>,
    /// `ButtonState`, text or number, otherwise `Lock`.
    pub locked: Option<bool>,
    /// `ecoMode`. Inverted on the wire: 0 is on.
    pub eco: Option<bool>,
    /// `MaxCurrent`: rated current of the first generation; always 0 on a Lite.
    pub max_current: Option<Amperes>,
    /// `Current`.
    pub current: Option<Amperes>,
    /// `Voltage` as configured.
    pub voltage: Option<Volts>,
    /// `MeasuredVoltage`.
    pub measured_voltage: Option<Volts>,
    /// `HeaterType`.
    pub heater_type: Option<String>,
    /// `DutyCycleOpt`, the heater profile: 0 baseboard, 4 radiant, 5 to 7 fan-forced on the first generation; 8
    /// fan-forced, 9 baseboard on the second.
    pub heater_profile: Option<i64>,
    /// `UserTempOffset`, a difference.
    pub temperature_offset: Option<Celsius>,
    /// `LastPaired`.
    pub last_paired: Option<UnixTime>,
    /// `IsThermostatic`: Climate+ of an air conditioner's controller.
    pub climate_plus: Option<bool>,
    /// `SetupRequired`; air conditioners.
    pub setup_required: Option<bool>,
    /// `CodeNum`: remote control that an air conditioner's controller imitates.
    pub code_number: Option<String>,
    /// Capabilities of an air conditioner. Their members stay in `extra`.
    pub ac_capabilities: Option<AcCapabilities>,
    /// `TrackedSensor`; in-floor heating.
    pub tracked_sensor: Option<TrackedSensor>,
    /// `MaxFloorTemp`; in-floor heating.
    pub max_floor_temperature: Option<Celsius>,
    /// Unknown members, and known ones whose value could not be read.
    pub extra: Map<String, Value>,
}

impl DeviceRecord {
    /// Decodes the answer to [`device`](crate::rest::device).
    ///
    /// # Errors
    /// The body is not JSON or has no record with a valid `Id`.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let map = body::object(body)?;
        let record = match map.get("Device") {
            Some(Value::Object(record)) => record.clone(),
            _ => map,
        };
        Self::of(None, Value::Object(record))
            .map_err(|value| BodyError::wrong_shape("a device record with its Id", &value))
    }

    /// Decodes one record. `key` takes precedence over `Id`. The error is the rejected value.
    pub(in crate::rest) fn of(key: Option<DeviceId>, value: Value) -> Result<Self, Value> {
        let Value::Object(map) = value else { return Err(value) };
        let written = map.get("Id").and_then(Value::as_str).and_then(DeviceId::new);
        let Some(id) = key.or(written) else { return Err(Value::Object(map)) };
        let mut fields = Fields::from(map);
        if written == Some(id) {
            fields.take_value("Id");
        }
        let ac_capabilities = AcCapabilities::from_record(fields.as_map());
        Ok(Self {
            id,
            model: fields.text("Model"),
            name: fields.text("Name"),
            home: fields.id("Home"),
            zone: fields.id("Zone"),
            owner: fields.id("Owner"),
            allowed_users: fields.texts("AllowedUsers").unwrap_or_default(),
            time_zone: fields.text("TimeZone"),
            display_unit: fields.take(&["Format"], |value| DisplayUnit::parse(value.as_str()?)),
            min_setpoint: fields.celsius("MinSetpoint"),
            max_setpoint: fields.celsius("MaxSetpoint"),
            min_brightness: fields.percent("MinBrightness"),
            max_brightness: fields.percent("MaxBrightness"),
            auto_brightness: fields.flag("AutoBrightness"),
            proximity: fields.flag("ProximityMode"),
            locked: fields.take(&["ButtonState", "Lock"], locked),
            eco: fields.flag("ecoMode").map(|off| !off),
            max_current: fields.amperes("MaxCurrent"),
            current: fields.amperes("Current"),
            voltage: fields.volts("Voltage"),
            measured_voltage: fields.volts("MeasuredVoltage"),
            heater_type: fields.text("HeaterType"),
            heater_profile: fields.integer("DutyCycleOpt"),
            temperature_offset: fields.celsius("UserTempOffset"),
            last_paired: fields.time("LastPaired"),
            climate_plus: fields.flag("IsThermostatic"),
            setup_required: fields.flag("SetupRequired"),
            code_number: fields.text("CodeNum"),
            ac_capabilities,
            tracked_sensor: fields.take(&["TrackedSensor"], tracked_sensor),
            max_floor_temperature: fields.celsius("MaxFloorTemp"),
            extra: fields.rest(),
        })
    }
}

/// Device records of an account: the answer to [`devices`](crate::rest::devices).
///
/// ```
/// use mysa_proto::{Amperes, DeviceId, rest::DeviceList};
///
/// let body = br#"{"DevicesObj":{"a0b1c2d3e4f5":{"Model":"BB-V1-1","MaxCurrent":"6.25","ecoMode":"0"}}}"#;
/// let list = DeviceList::decode(body)?;
/// let den = DeviceId::new("a0b1c2d3e4f5").and_then(|id| list.devices.get(&id)).ok_or("no such device")?;
/// assert_eq!(den.max_current, Amperes::from_amperes(6.25));
/// assert_eq!(den.eco, Some(true));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DeviceList {
    /// The records.
    pub devices: BTreeMap<DeviceId, DeviceRecord>,
    /// Records that could not be parsed, with their keys where they had one.
    pub rejected: Vec<(Option<String>, Value)>,
    /// Other members of the body.
    pub extra: Map<String, Value>,
}

impl DeviceList {
    /// Decodes the body: `DevicesObj` by id, or `Devices`, as an object or list. Invalid records are kept in
    /// [`DeviceList::rejected`].
    ///
    /// # Errors
    /// The body is not JSON or has neither member.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut map = body::object(body)?;
        for name in ["DevicesObj", "Devices"] {
            if map.get(name).is_some_and(|value| value.is_object() || value.is_array())
                && let Some(devices) = map.remove(name)
            {
                return Ok(Self { extra: map, ..Self::of(devices) });
            }
        }
        Err(BodyError::wrong_shape("DevicesObj or Devices", &Value::Object(map)))
    }

    pub(in crate::rest) fn of(value: Value) -> Self {
        let mut list = Self::default();
        let entries: Vec<(Option<String>, Value)> = match value {
            Value::Object(map) => map.into_iter().map(|(key, value)| (Some(key), value)).collect(),
            Value::Array(items) => items.into_iter().map(|value| (None, value)).collect(),
            _ => Vec::new(),
        };
        for (key, value) in entries {
            let id = key.as_deref().map(DeviceId::new);
            let record = match id {
                Some(None) => Err(value),
                Some(id) => DeviceRecord::of(id, value),
                None => DeviceRecord::of(None, value),
            };
            match record {
                Ok(record) => {
                    list.devices.insert(record.id, record);
                }
                Err(value) => list.rejected.push((key, value)),
            }
        }
        list
    }
}

pub(in crate::rest) fn locked(value: &Value) -> Option<bool> {
    match value.as_str() {
        Some(text) if text.eq_ignore_ascii_case("locked") => Some(true),
        Some(text) if text.eq_ignore_ascii_case("unlocked") => Some(false),
        _ => fields::flag(value),
    }
}

pub(in crate::rest) fn tracked_sensor(value: &Value) -> Option<TrackedSensor> {
    fields::integer(value).and_then(TrackedSensor::from_number)
}
