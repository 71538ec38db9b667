//! Schedules and holds: their routes, and the service that runs them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::UnixTime;
use serde_json::{Map, Value, json};

use crate::Now;
use crate::clock::{iso_millis, parse_iso};
use crate::cloud::Cloud;
use crate::device::command_record::Origin;
use crate::device::family::Family;
use crate::device::parsed_command::{ParsedCommand, number};
use crate::http::Reply;
use crate::rest::structured::wanted_of;
use crate::rng::{Rng, hash};
use crate::spec::DeviceSpec;

/// Maximum number of stored schedules; more are refused.
pub(crate) const MAX_SCHEDULES: usize = 256;

/// A hold that a client has created by `POST /schedule/hold`.
#[derive(Debug)]
pub(crate) struct RestHold {
    id: String,
    start: UnixTime,
    end: Option<i64>,
    state: Map<String, Value>,
    /// Command that the thermostat gets at the start; `None` once it is sent.
    waiting: Option<ParsedCommand>,
}

impl RestHold {
    /// Its start on the monotonic clock, until it has begun.
    pub(crate) fn due(&self, now: Now) -> Option<Duration> {
        let left = self.start.as_millis().saturating_sub(now.wall.as_millis());
        self.waiting
            .is_some()
            .then(|| now.mono.saturating_add(Duration::from_millis(left.max(0).unsigned_abs())))
    }
}

impl Cloud {
    pub(crate) fn schedule(
        &mut self,
        now: Now,
        account: usize,
        method: &str,
        segments: &[&str],
        body: &Value,
    ) -> Reply {
        let missing = || Reply::error(404, "Not Found");
        match (method, segments) {
            ("GET", ["schedule"]) => {
                let mine: Vec<&Value> = self.schedules_of(account).collect();
                if mine.is_empty() { missing() } else { Reply::ok(&json!(mine)) }
            }
            ("POST", ["schedule"]) => {
                if self.schedules.len() >= MAX_SCHEDULES {
                    return Reply::error(429, "too many schedules");
                }
                let id = self.rng.uuid();
                match schedule_of(&id, now, body) {
                    Some(schedule) => {
                        self.schedules.insert(id.clone(), (account, schedule));
                        self.plan_schedules(now, account);
                        Reply::json(201, &json!({ "scheduleId": id }))
                    }
                    None => Reply::invalid("body must have required property 'name'"),
                }
            }
            ("PUT", ["schedule", id]) => match (self.schedules.get_mut(*id), schedule_of(id, now, body)) {
                (Some((owner, kept)), Some(schedule)) if *owner == account => {
                    *kept = schedule;
                    self.plan_schedules(now, account);
                    Reply::ok(&json!({ "message": "ok" }))
                }
                (Some((owner, _)), None) if *owner == account => {
                    Reply::invalid("body must have all six properties")
                }
                _ => missing(),
            },
            ("DELETE", ["schedule", id, "attach", device]) => match self.schedules.get_mut(*id) {
                Some((owner, schedule)) if *owner == account => {
                    if let Some(ids) = schedule.get_mut("deviceIds").and_then(Value::as_array_mut) {
                        ids.retain(|id| id.as_str() != Some(device));
                    }
                    self.plan_schedules(now, account);
                    Reply::ok(&json!({ "message": "ok" }))
                }
                _ => missing(),
            },
            ("POST", ["schedule", "hold"]) => self.create_hold(now, account, body),
            ("GET", ["schedule", "hold", id]) => {
                let hold = self.owned(account, id).and_then(|index| self.hold(now, index));
                hold.map_or_else(missing, |hold| Reply::ok(&hold))
            }
            ("DELETE", ["schedule", "hold", id]) => {
                let held = self.owned(account, id).filter(|&index| self.hold(now, index).is_some());
                let Some(index) = held else { return missing() };
                let hold = self.holds.remove(&index);
                self.reschedule(index);
                // One that has not begun leaves nothing at the thermostat.
                if hold.is_none_or(|hold| hold.waiting.is_none()) {
                    let resume = ParsedCommand { hold: Some(1), ..ParsedCommand::default() };
                    self.forward(now, account, index, &resume);
                }
                Reply::ok(&json!({ "message": "ok" }))
            }
            ("GET", ["schedule", "compatibility", _]) => Reply::ok(&json!([])),
            _ => missing(),
        }
    }

    /// `POST /schedule/hold`. The thermostat holds from `startTime` on.
    fn create_hold(&mut self, now: Now, account: usize, body: &Value) -> Reply {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let Some(index) = self.owned(account, text("deviceId")) else {
            return Reply::error(404, "Not Found");
        };
        let kind = text("holdType");
        let start = parse_iso(text("startTime")).filter(|&at| at > now.wall);
        let Some(start) = start.filter(|_| matches!(kind, "permanent" | "temporary")) else {
            return Reply::invalid("startTime must be in the future");
        };
        let end = match (kind, parse_iso(text("endTime"))) {
            ("permanent", _) => None,
            (_, Some(end)) if end > start => Some(end.as_secs()),
            _ => return Reply::invalid("endTime must be after startTime"),
        };
        let device = &self.devices[index];
        let state = body.get("state").and_then(Value::as_object).cloned().unwrap_or_default();
        let wanted = wanted_of(&state, device.thermostat.family, &device.shadow.settings.brightness);
        let wanted = match wanted {
            Ok(wanted) => {
                ParsedCommand { hold: Some(if end.is_some() { 1 } else { 2 }), until: end, ..wanted }
            }
            Err(message) => return Reply::invalid(message),
        };
        let id = self.rng.uuid();
        self.holds.insert(index, RestHold { id: id.clone(), start, end, state, waiting: Some(wanted) });
        self.reschedule(index);
        Reply::json(201, &json!({ "holdId": id }))
    }

    /// The hold of a thermostat: the last one that it reported, or a requested one that has not begun.
    fn hold(&self, now: Now, index: usize) -> Option<Value> {
        let device = &self.devices[index];
        let id = device.thermostat.id;
        let created = self.holds.get(&index);
        if let Some(created) = created.filter(|created| created.waiting.is_some()) {
            return Some(hold_of(&created.id, id.as_str(), created.start, created.end, &created.state));
        }
        let settings = &device.shadow.settings;
        let end = settings.until.filter(|&until| until > now.wall.as_secs());
        if settings.hold != 2 && end.is_none() {
            return None;
        }
        if let Some(created) = created.filter(|created| created.end == end) {
            return Some(hold_of(&created.id, id.as_str(), created.start, end, &created.state));
        }
        let start = device.shadow.times.hold;
        let uuid = Rng::new(hash(index as u64, start.cast_unsigned())).uuid();
        let target =
            if device.thermostat.family == Family::AirConditioner { "targetCool" } else { "targetHeat" };
        let state = Map::from_iter([
            ("modes".into(), json!({ "mode": settings.mode.structured() })),
            (target.into(), json!({ "setpoint": number(settings.degrees()) })),
        ]);
        Some(hold_of(&uuid, id.as_str(), UnixTime::from_secs(start), end, &state))
    }

    /// Begins a hold whose time has come.
    pub(crate) fn begin_hold(&mut self, now: Now, index: usize) {
        let Some(hold) = self.holds.get_mut(&index).filter(|hold| hold.start <= now.wall) else { return };
        if let Some(wanted) = hold.waiting.take() {
            self.forward(now, self.devices[index].account, index, &wanted);
        }
    }

    fn schedules_of(&self, account: usize) -> impl Iterator<Item = &Value> {
        let mine = self.schedules.values().filter(move |(owner, _)| *owner == account);
        mine.map(|(_, schedule)| schedule)
    }

    /// Stores the schedule of a device's spec.
    pub(crate) fn add_schedule(&mut self, now: Now, rng: &Rng, index: usize, spec: &DeviceSpec) {
        let (home, account) = (&self.homes[self.devices[index].home].id, self.devices[index].account);
        let id = rng.fork(0x2_0000_0000 + index as u64).uuid();
        let events = spec.schedule.iter().map(|event| {
            let (hour, minute) = (event.minute / 60, event.minute % 60);
            json!({
                "executionTime": format!("{hour:02}:{minute:02}:00"), "dayOfWeek": format!("{}", event.weekday),
                "clientKey": "app", "state": { "targetHeat": { "setpoint": number(event.setpoint) }, "modes": { "mode": 4 } },
            })
        });
        let body = json!({
            "name": format!("{} schedule", spec.name), "homeId": home, "reusable": false,
            "deviceType": spec.model.split('-').next(), "deviceIds": [spec.id.as_str()],
            "events": events.collect::<Vec<_>>(),
        });
        if let Some(schedule) = schedule_of(&id, now, &body) {
            self.schedules.insert(id, (account, schedule));
        }
    }

    /// Plans the events of an account's schedules again.
    pub(crate) fn plan_schedules(&mut self, now: Now, account: usize) {
        let schedules: Vec<Value> = self.schedules_of(account).cloned().collect();
        for index in 0..self.devices.len() {
            let device = &mut self.devices[index];
            if device.account != account || device.thermostat.family == Family::Silent {
                continue;
            }
            let id = device.thermostat.id;
            let is_attached = |schedule: &&Value| {
                let ids = schedule.get("deviceIds").and_then(Value::as_array);
                let mut ids = ids.into_iter().flatten().filter_map(Value::as_str);
                ids.any(|known| mysa_proto::DeviceId::new(known) == Some(id))
            };
            let zone = &self.homes[device.home].local;
            device.agenda.plan(now, zone, schedules.iter().filter(is_attached));
            self.reschedule(index);
        }
    }

    /// Sends a thermostat the values in force: at an event, and when it has ended a hold or missed them. A thermostat that
    /// holds gets none. A setpoint that a person or an app has set meanwhile counts until the next event.
    pub(crate) fn run_schedule(&mut self, now: Now, index: usize) {
        let device = &mut self.devices[index];
        let zone = &self.homes[device.home].local;
        let resumed = device.thermostat.take_resumed();
        let is_due = device.agenda.take_due(now, zone);
        if device.removed || device.agenda.is_empty() || !(resumed || is_due || device.agenda.missed) {
            return;
        }
        let faults = self.faults.of_device(now.mono, device.thermostat.id);
        let holds = device.thermostat.settings.holds();
        device.agenda.missed = !holds && !device.thermostat.is_reachable(&faults);
        if holds || device.agenda.missed {
            return;
        }
        let (id, family) = (device.thermostat.id, device.thermostat.family);
        let state = device.agenda.in_force(now, zone);
        let wanted =
            state.and_then(|state| wanted_of(state, family, &device.shadow.settings.brightness).ok());
        if let Some(wanted) = wanted {
            self.send_command(now, id, Origin::Schedule, &wanted);
        }
    }
}

fn hold_of(id: &str, device: &str, start: UnixTime, end: Option<i64>, state: &Map<String, Value>) -> Value {
    let mut hold = json!({
        "holdId": id, "deviceId": device, "holdType": if end.is_some() { "temporary" } else { "permanent" },
        "startTime": iso_millis(start), "state": state,
    });
    if let (Some(end), Some(hold)) = (end, hold.as_object_mut()) {
        hold.insert("endTime".into(), json!(iso_millis(UnixTime::from_secs(end))));
    }
    hold
}

/// A schedule in the form of the list, if the body has all six properties.
fn schedule_of(id: &str, now: Now, body: &Value) -> Option<Value> {
    let at = iso_millis(now.wall);
    let field = |name: &str| body.get(name).cloned();
    Some(json!({
        "id": id, "name": field("name")?, "deviceType": field("deviceType")?, "homeId": field("homeId")?,
        "reusable": field("reusable")?, "deviceIds": field("deviceIds")?, "events": field("events")?,
        "createdAt": at, "updatedAt": at,
    }))
}
