use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::{DecodeError, ResourceId, body, calendar};
use crate::{Celsius, DeviceId, Mode, UnixTime};

/// Schedules of a home: the answer to [`schedules`](crate::rest::schedules()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Schedules {
    /// The schedules.
    pub schedules: Vec<Schedule>,
    /// Entries that could not be parsed.
    pub rejected: Vec<Value>,
}

/// Schedule.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Schedule {
    /// `id`.
    pub id: ResourceId,
    /// `name`.
    pub name: Option<String>,
    /// `reusable`.
    pub reusable: Option<bool>,
    /// `homeId`.
    pub home: Option<ResourceId>,
    /// `deviceType`: `BB`, `AC` and so on.
    pub device_type: Option<String>,
    /// `deviceIds`.
    pub devices: Vec<DeviceId>,
    /// `events`.
    pub events: Vec<ScheduleEvent>,
    /// `createdAt`.
    pub created: Option<UnixTime>,
    /// `updatedAt`.
    pub updated: Option<UnixTime>,
    /// Unknown members.
    pub extra: Map<String, Value>,
}

/// Event of a schedule.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScheduleEvent {
    /// `dayOfWeek`, text or number: 0 for Sunday to 6.
    pub weekday: Option<u8>,
    /// `executionTime` as seconds since local midnight.
    pub second_of_day: Option<u32>,
    /// `clientKey`: the author.
    pub client_key: Option<String>,
    /// `state.modes.mode`.
    pub mode: Option<Mode>,
    /// `state.targetHeat.setpoint`.
    pub heat_setpoint: Option<Celsius>,
    /// `state.targetCool.setpoint`.
    pub cool_setpoint: Option<Celsius>,
    /// The whole `state`.
    pub state: Map<String, Value>,
    /// Unknown members.
    pub extra: Map<String, Value>,
}

impl Schedules {
    /// Decodes the body: a list, one schedule, or an object that contains a list.
    ///
    /// # Errors
    /// The body is not JSON or has no list.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let items = match body::value(body)? {
            Value::Array(items) => items,
            Value::Object(map) if map.contains_key("events") => alloc::vec![Value::Object(map)],
            Value::Object(map) => match map.into_iter().find(|(_, value)| value.is_array()) {
                Some((_, Value::Array(items))) => items,
                _ => return Err(DecodeError::wrong_shape("a list of schedules", &Value::Object(Map::new()))),
            },
            other => return Err(DecodeError::wrong_shape("a list of schedules", &other)),
        };
        let mut schedules = Self::default();
        for item in items {
            match Schedule::of(&item) {
                Some(schedule) => schedules.schedules.push(schedule),
                None => schedules.rejected.push(item),
            }
        }
        Ok(schedules)
    }
}

impl Schedule {
    fn of(value: &Value) -> Option<Self> {
        let mut fields = Fields::of(value.clone())?;
        Some(Self {
            id: fields.id("id")?,
            name: fields.text("name"),
            reusable: fields.flag("reusable"),
            home: fields.id("homeId"),
            device_type: fields.text("deviceType"),
            devices: fields.devices("deviceIds").unwrap_or_default(),
            events: fields
                .take_array("events")
                .into_iter()
                .flatten()
                .filter_map(Fields::of)
                .map(ScheduleEvent::of)
                .collect(),
            created: fields.time("createdAt"),
            updated: fields.time("updatedAt"),
            extra: fields.rest(),
        })
    }
}

impl ScheduleEvent {
    fn of(mut fields: Fields) -> Self {
        let state = fields.take_object("state").map(Fields::rest).unwrap_or_default();
        Self {
            weekday: fields.take(&["dayOfWeek"], |day| {
                fields::count(day).and_then(|day| u8::try_from(day).ok()).filter(|day| *day < 7)
            }),
            second_of_day: fields.take(&["executionTime"], |time| {
                u32::try_from(calendar::clock_seconds(time.as_str()?)?).ok()
            }),
            client_key: fields.text("clientKey"),
            mode: member(&state, "modes", "mode").and_then(fields::integer).map(Mode::from_structured),
            heat_setpoint: member(&state, "targetHeat", "setpoint").and_then(fields::celsius),
            cool_setpoint: member(&state, "targetCool", "setpoint").and_then(fields::celsius),
            state,
            extra: fields.rest(),
        }
    }
}

pub(in crate::rest) fn member<'a>(
    state: &'a Map<String, Value>,
    section: &str,
    name: &str,
) -> Option<&'a Value> {
    state.get(section)?.get(name)
}
