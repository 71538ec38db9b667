use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::{BodyError, ResourceId, body, calendar};
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
    pub events: Vec<ScheduleEntry>,
    /// `createdAt`.
    pub created: Option<UnixTime>,
    /// `updatedAt`.
    pub updated: Option<UnixTime>,
    /// Unknown members, and under `events` those that are not objects.
    pub extra: Map<String, Value>,
}

/// Setpoints and mode from one time of the week on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScheduleEntry {
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
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let items = match body::value(body)? {
            Value::Array(items) => items,
            Value::Object(map) if map.contains_key("events") => alloc::vec![Value::Object(map)],
            Value::Object(map) => match map.into_iter().find(|(_, value)| value.is_array()) {
                Some((_, Value::Array(items))) => items,
                _ => return Err(BodyError::wrong_shape("a list of schedules", &Value::Object(Map::new()))),
            },
            other => return Err(BodyError::wrong_shape("a list of schedules", &other)),
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
        let id = fields.id("id")?;
        let events = fields.take_array("events").unwrap_or_default();
        let (events, odd): (Vec<Value>, Vec<Value>) = events.into_iter().partition(Value::is_object);
        let mut schedule = Self {
            id,
            name: fields.text("name"),
            reusable: fields.flag("reusable"),
            home: fields.id("homeId"),
            device_type: fields.text("deviceType"),
            devices: fields.devices("deviceIds").unwrap_or_default(),
            events: events.into_iter().filter_map(Fields::of).map(ScheduleEntry::of).collect(),
            created: fields.time("createdAt"),
            updated: fields.time("updatedAt"),
            extra: fields.rest(),
        };
        if !odd.is_empty() {
            schedule.extra.insert("events".into(), Value::Array(odd));
        }
        Some(schedule)
    }
}

impl ScheduleEntry {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parts_of_a_schedule_are_kept() {
        let body = br#"[{"id":"s1","color":"blue","deviceIds":["a0b1c2d3e4f6"],"events":[
            {"executionTime":"07:30:00","dayOfWeek":1,"fade":2,
                "state":{"targetHeat":{"setpoint":20.5},"modes":{"mode":4},"fog":true}},
            {"executionTime":"25:00:00","dayOfWeek":"9","state":{}}, "1|0|1860|3|20"]},
            {"name":"no id"}]"#;
        let all = Schedules::decode(body).unwrap();
        let [schedule] = &all.schedules[..] else { panic!("{all:?}") };
        assert_eq!(all.rejected.len(), 1);
        assert_eq!(schedule.extra.get("color").and_then(Value::as_str), Some("blue"));
        assert_eq!(schedule.extra.get("events"), Some(&serde_json::json!(["1|0|1860|3|20"])));
        let [event, odd] = &schedule.events[..] else { panic!("{schedule:?}") };
        assert_eq!(
            (event.weekday, event.second_of_day, event.mode),
            (Some(1), Some(27_000), Some(Mode::Heat))
        );
        assert_eq!(event.heat_setpoint, Some(Celsius::from_hundredths(2_050)));
        assert!(event.extra.contains_key("fade") && event.state.contains_key("fog"), "{event:?}");
        assert_eq!((odd.weekday, odd.second_of_day, odd.extra.len()), (None, None, 2));
    }
}
