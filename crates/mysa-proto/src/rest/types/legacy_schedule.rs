use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::{BodyError, ResourceId, body};
use crate::{Celsius, DeviceId, Family, Mode, ModeTable};

/// Schedule of the second generation: the answer to [`schedules_v2`](crate::rest::schedules_v2). One witness.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LegacySchedule {
    /// `Schedule.Id`.
    pub id: Option<ResourceId>,
    /// `Schedule.Version`.
    pub version: Option<String>,
    /// `Schedule.Owner`.
    pub owner: Option<ResourceId>,
    /// `Schedule.Events`, in order of weekday and minute.
    pub events: Vec<LegacyEvent>,
    /// `Devices`.
    pub devices: Vec<DeviceId>,
    /// `Model`.
    pub model: Option<String>,
    /// Unknown members, and events that could not be read.
    pub extra: Map<String, Value>,
}

/// Event of a [`LegacySchedule`], `mode|setpoint|fan|brightness|tracking|lower|upper` with `%` for unchanged values.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LegacyEvent {
    /// 0 for Sunday to 6.
    pub weekday: u8,
    /// Minute of the local day, 0 to 1439.
    pub minute: u16,
    /// Kind of thermostat, such as `BB2L`.
    pub key: String,
    /// Mode, a number of [`ModeTable`].
    pub mode_number: Option<i64>,
    /// Setpoint.
    pub setpoint: Option<Celsius>,
    /// Fan speed.
    pub fan: Option<i64>,
    /// Brightness.
    pub brightness: Option<i64>,
    /// Tracked sensor.
    pub tracking: Option<i64>,
    /// Lower limit.
    pub lower: Option<Celsius>,
    /// Upper limit.
    pub upper: Option<Celsius>,
}

impl LegacyEvent {
    /// Mode of the event by a mode table.
    #[must_use]
    pub fn mode(&self, table: &ModeTable, family: Option<Family>) -> Option<Mode> {
        self.mode_number.map(|number| table.mode_of(number, family))
    }

    fn of(weekday: u8, minute: u16, key: &str, text: &str) -> Option<Self> {
        let mut parts = text.split('|').map(str::trim);
        let mut next = || parts.next().map(|part| (part != "%" && !part.is_empty()).then_some(part));
        let integer = |part: Option<&str>| part.and_then(|part| part.parse::<i64>().ok());
        let celsius =
            |part: Option<&str>| part.and_then(|part| part.parse().ok()).and_then(Celsius::from_degrees);
        Some(Self {
            weekday,
            minute,
            key: key.into(),
            mode_number: integer(next()?),
            setpoint: celsius(next()?),
            fan: integer(next().flatten()),
            brightness: integer(next().flatten()),
            tracking: integer(next().flatten()),
            lower: celsius(next().flatten()),
            upper: celsius(next().flatten()),
        })
    }
}

impl LegacySchedule {
    /// Decodes the body: `Schedule` and the members beside it, or a bare schedule.
    ///
    /// # Errors
    /// The body is not JSON or has no `Events` by weekday.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut outer = Fields::from(body::object(body)?);
        let devices = outer.devices("Devices").unwrap_or_default();
        let model = outer.text("Model");
        let (mut schedule, mut extra) = match outer.take_object("Schedule") {
            Some(schedule) => (schedule, outer.rest()),
            None => (outer, Map::new()),
        };
        let Some(days) = schedule.take_object("Events") else {
            return Err(BodyError::wrong_shape("Events", &Value::Object(schedule.rest())));
        };
        let mut events = Vec::new();
        for (day, minutes) in days.rest() {
            let weekday = day.parse().ok().filter(|day: &u8| *day < 7);
            let (Some(weekday), Value::Object(minutes)) = (weekday, &minutes) else {
                extra.insert(day, minutes);
                continue;
            };
            let mut odd = Map::new();
            for (minute, actions) in minutes {
                let at = minute.parse().ok().filter(|minute: &u16| *minute < 1_440);
                let (Some(at), Value::Object(actions)) = (at, actions) else {
                    odd.insert(minute.clone(), actions.clone());
                    continue;
                };
                for (key, action) in actions {
                    match fields::text(action).and_then(|text| LegacyEvent::of(weekday, at, key, &text)) {
                        Some(event) => events.push(event),
                        None => drop(odd.insert(minute.clone(), Value::Object(actions.clone()))),
                    }
                }
            }
            if !odd.is_empty() {
                extra.insert(day, Value::Object(odd));
            }
        }
        events.sort_by_key(|event| (event.weekday, event.minute));
        let (id, version, owner) = (schedule.id("Id"), schedule.text("Version"), schedule.id("Owner"));
        extra.extend(schedule.rest());
        Ok(Self { id, version, owner, events, devices, model, extra })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_event_is_kept() {
        let body =
            br#"{"Schedule":{"Id":"s1","Events":{"1":{"420":{"BB2L":"3|20|%|%|%|%|%"},"430":{"BB2L":7},
            "9999":{"BB2L":"3|20"},"440":"3|20"},"8":{"0":{"BB2L":"3|20"}}}}}"#;
        let schedule = LegacySchedule::decode(body).unwrap();
        let [event] = &schedule.events[..] else { panic!("{schedule:?}") };
        assert_eq!((event.weekday, event.minute, event.mode_number), (1, 420, Some(3)));
        let odd = serde_json::json!({"430": {"BB2L": 7}, "9999": {"BB2L": "3|20"}, "440": "3|20"});
        assert_eq!(schedule.extra.get("1"), Some(&odd));
        assert_eq!(schedule.extra.get("8"), Some(&serde_json::json!({"0": {"BB2L": "3|20"}})));
    }
}
