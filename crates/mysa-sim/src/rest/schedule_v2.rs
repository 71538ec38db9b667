//! Routes of the schedules of the second generation, another form of the same schedules. One witness for the form.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use mysa_proto::DeviceId;
use serde_json::{Map, Value, json};

use crate::Now;
use crate::clock::iso_millis;
use crate::cloud::Cloud;
use crate::device::family::{Family, Mode};
use crate::device::parsed_command::number;
use crate::http::Reply;
use crate::rest::schedule::MAX_SCHEDULES;

const VERSION: &str = "3.0.0";

impl Cloud {
    pub(crate) fn schedule_v2(
        &mut self,
        now: Now,
        account: usize,
        method: &str,
        segments: &[&str],
        body: &Value,
    ) -> Reply {
        let missing = || Reply::error(404, "Not Found");
        match (method, segments) {
            ("GET", [id]) => {
                let found = self.owned(account, id).and_then(|index| self.show_v2(account, index));
                found.map_or_else(missing, |shown| Reply::ok(&shown))
            }
            ("POST", []) => self.store_v2(now, account, body),
            // A body that names thermostats takes only those off the schedule.
            ("DELETE", [id]) => match self.schedules.get_mut(*id).filter(|(owner, _)| *owner == account) {
                Some((_, schedule)) => {
                    match body.get("Devices").and_then(Value::as_array) {
                        Some(devices) => detach(schedule, devices),
                        None => _ = self.schedules.remove(*id),
                    }
                    self.plan_schedules(now, account);
                    Reply::ok(&json!({}))
                }
                None => missing(),
            },
            _ => missing(),
        }
    }

    /// The schedule of a thermostat, without the thermostats; `None` if it has none.
    fn show_v2(&self, account: usize, index: usize) -> Option<Value> {
        let device = &self.devices[index];
        let id = device.thermostat.id;
        let mine = self.schedules.iter().filter(|(_, (owner, _))| *owner == account);
        let (schedule_id, (_, schedule)) =
            mine.into_iter().find(|(_, (_, schedule))| devices(schedule).any(|known| known == id))?;
        // A schedule is the same for all of its thermostats, whatever their kinds.
        let first = devices(schedule).find_map(|id| self.by_id.get(&id).copied()).unwrap_or(index);
        let family = self.devices[first].thermostat.family;
        let mut days = Map::new();
        for event in schedule.get("events").and_then(Value::as_array).into_iter().flatten() {
            let Some((day, minute, action)) = event_to_v2(event, family) else { continue };
            if let Some(minutes) = days.entry(day.to_string()).or_insert_with(|| json!({})).as_object_mut() {
                minutes.insert(minute.to_string(), json!({ key(family): action }));
            }
        }
        Some(json!({
            "Id": schedule_id, "Version": VERSION, "Owner": self.pool.accounts[account].user_id, "Events": days,
        }))
    }

    /// Stores a schedule and attaches its thermostats, which leave their other ones.
    fn store_v2(&mut self, now: Now, account: usize, body: &Value) -> Reply {
        let schedule = body.get("Schedule").unwrap_or(&Value::Null);
        let (Some(id), Some(events)) = (
            schedule.get("Id").and_then(Value::as_str).filter(|id| !id.is_empty() && id.len() <= 64),
            schedule.get("Events").and_then(Value::as_object),
        ) else {
            return Reply::error(400, "Schedule.Id and Schedule.Events are needed");
        };
        let attached: Vec<Value> = body.get("Devices").and_then(Value::as_array).cloned().unwrap_or_default();
        let owned = |id: &Value| id.as_str().and_then(|id| self.owned(account, id));
        let Some(first) =
            attached.first().and_then(owned).filter(|_| attached.iter().all(|id| owned(id).is_some()))
        else {
            return Reply::error(404, "Not Found");
        };
        match self.schedules.get(id) {
            Some((owner, _)) if *owner != account => return Reply::error(404, "Not Found"),
            None if self.schedules.len() >= MAX_SCHEDULES => return Reply::error(429, "too many schedules"),
            _ => {}
        }
        let mut list = Vec::new();
        for (day, minutes) in events {
            for (minute, actions) in minutes.as_object().into_iter().flatten() {
                let action = actions.as_object().and_then(|actions| actions.values().next());
                match action.and_then(Value::as_str).and_then(|action| event_of_v2(day, minute, action)) {
                    Some(event) => list.push(event),
                    None => return Reply::error(400, "an event is not valid"),
                }
            }
        }
        for (owner, other) in self.schedules.values_mut() {
            if *owner == account {
                detach(other, &attached);
            }
        }
        let device = &self.devices[first];
        let (at, home) = (iso_millis(now.wall), &self.homes[device.home].id);
        let stored = json!({
            "id": id, "name": "Schedule", "deviceType": device.model().split('-').next(), "homeId": home,
            "reusable": false, "deviceIds": attached, "events": list, "createdAt": at, "updatedAt": at,
        });
        self.schedules.insert(id.into(), (account, stored));
        self.plan_schedules(now, account);
        self.show_v2(account, first).map_or_else(|| Reply::error(404, "Not Found"), |shown| Reply::ok(&shown))
    }
}

fn devices(schedule: &Value) -> impl Iterator<Item = DeviceId> {
    let ids = schedule.get("deviceIds").and_then(Value::as_array).into_iter().flatten();
    ids.filter_map(|id| DeviceId::new(id.as_str()?))
}

fn detach(schedule: &mut Value, gone: &[Value]) {
    let gone: Vec<DeviceId> = gone.iter().filter_map(|id| DeviceId::new(id.as_str()?)).collect();
    if let Some(ids) = schedule.get_mut("deviceIds").and_then(Value::as_array_mut) {
        ids.retain(|id| id.as_str().and_then(DeviceId::new).is_none_or(|id| !gone.contains(&id)));
    }
}

/// Name of a kind of thermostat. Only that of a Lite is known.
const fn key(family: Family) -> &'static str {
    match family {
        Family::BaseboardV1 => "BB1",
        Family::BaseboardV2 => "BB2",
        Family::Lite => "BB2L",
        Family::Floor => "INF",
        Family::AirConditioner => "AC",
        Family::BaseboardV3 => "BB3",
        Family::CentralHvac => "ST",
        Family::Silent => "BB",
    }
}

/// Weekday, minute and action of an event: `mode|setpoint|fan|brightness|tracking|lower|upper`, with `%` for what it
/// leaves. Brightness, sensor and limits are always left.
fn event_to_v2(event: &Value, family: Family) -> Option<(i64, i64, String)> {
    let day = event.get("dayOfWeek")?;
    let day = day.as_i64().or_else(|| day.as_str()?.parse().ok())?;
    let mut clock = event.get("executionTime")?.as_str()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute) = (clock.next()??, clock.next()??);
    let state = event.get("state")?;
    let value = |section: &str, name: &str| state.get(section)?.get(name);
    let mode = value("modes", "mode").and_then(Value::as_i64).and_then(Mode::from_structured);
    let target = if family == Family::AirConditioner { "targetCool" } else { "targetHeat" };
    let degrees = value(target, "setpoint").or_else(|| value("targetHeat", "setpoint"));
    let shown = |value: Option<String>| value.unwrap_or_else(|| "%".into());
    let mode = shown(mode.map(|mode| mode.wire().to_string()));
    let degrees = shown(degrees.and_then(Value::as_f64).map(|degrees| number(degrees).to_string()));
    Some((day, hour * 60 + minute, format!("{mode}|{degrees}|%|%|%|%|%")))
}

fn event_of_v2(day: &str, minute: &str, action: &str) -> Option<Value> {
    let day = day.parse::<u8>().ok().filter(|day| *day < 7)?;
    let minute = minute.parse::<u16>().ok().filter(|minute| *minute < 1_440)?;
    let mut parts = action.split('|');
    let mut state = Map::new();
    match parts.next()? {
        "%" => {}
        mode => {
            let mode = mode.parse().ok().and_then(Mode::from_wire)?;
            state.insert("modes".into(), json!({ "mode": mode.structured() }));
        }
    }
    match parts.next()? {
        "%" => {}
        degrees => {
            let degrees = degrees.parse::<f64>().ok().filter(|degrees| (0.0..=45.0).contains(degrees))?;
            state.insert("targetHeat".into(), json!({ "setpoint": number(degrees) }));
        }
    }
    let (hour, minute) = (minute / 60, minute % 60);
    Some(json!({
        "executionTime": format!("{hour:02}:{minute:02}:00"), "dayOfWeek": day, "clientKey": "app", "state": state,
    }))
}
