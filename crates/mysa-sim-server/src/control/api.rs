//! The routes of the control endpoint, except the page and the events.

use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::time::Duration;

use http::{Method, StatusCode};
use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{Button, Cloud, FaultId, Incident, InvalidChange, InvalidFault, NamedFault, Now, Weather};
use serde_json::{Map, Value, json};

use super::Refusal;
use super::json as show;
use crate::server::Shared;

type Answer = Result<(StatusCode, Value), Refusal>;

/// Longest step of the clock, in seconds: a year and a day.
const MAX_ADVANCE_S: f64 = 366.0 * 86_400.0;
/// Longest delay and duration of a fault, in seconds.
const MAX_FAULT_S: f64 = 3_660.0 * 86_400.0;

impl From<InvalidChange> for Refusal {
    fn from(why: InvalidChange) -> Self {
        let status = match why {
            InvalidChange::UnknownDevice | InvalidChange::UnknownHome => StatusCode::NOT_FOUND,
            InvalidChange::Unresponsive => StatusCode::CONFLICT,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, why.to_string())
    }
}

impl From<InvalidFault> for Refusal {
    fn from(why: InvalidFault) -> Self {
        let status = match why {
            InvalidFault::TooMany => StatusCode::CONFLICT,
            _ => StatusCode::BAD_REQUEST,
        };
        let list = match why {
            InvalidFault::UnknownName => "; GET /fault-names lists all",
            _ => "",
        };
        Self::new(status, format!("{why}{list}"))
    }
}

/// Methods of a route, for the `Allow` header.
fn allowed(segments: &[&str]) -> Option<&'static str> {
    Some(match segments {
        ["status" | "accounts" | "homes" | "devices" | "counters" | "events" | "fault-names"]
        | ["homes" | "devices", _]
        | ["devices", _, "commands"]
        | ["commands"] => "GET",
        ["clock"] => "GET, POST",
        ["connections"] => "GET, DELETE",
        ["faults"] => "GET, POST, DELETE",
        ["faults", _] => "DELETE",
        ["devices", _, "room" | "setpoint" | "mode" | "press" | "online" | "firmware" | "reboot"]
        | ["homes", _, "weather"] => "POST",
        _ => return None,
    })
}

/// Answers a request with its body; an empty body is an empty object.
pub(super) fn answer(shared: &Shared, method: &Method, path: &str, body: &Value) -> Answer {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let get = |read: &dyn Fn(&Cloud) -> Value| {
        Ok((StatusCode::OK, shared.visit(|cloud, now| current(cloud, now, read))))
    };
    match (method.as_str(), segments.as_slice()) {
        ("GET", ["status"]) => Ok((StatusCode::OK, status(shared))),
        ("GET", ["clock"]) => Ok((StatusCode::OK, clock(shared))),
        ("GET", ["accounts"]) => {
            get(&|cloud| cloud.accounts().map(|account| show::account(cloud, &account)).collect())
        }
        ("GET", ["homes"]) => get(&|cloud| cloud.homes().map(|home| show::home(&home)).collect()),
        ("GET", ["homes", id]) => {
            let found = shared.visit(|cloud, _| cloud.homes().find(|home| home.id == *id));
            let home = found.ok_or(InvalidChange::UnknownHome)?;
            Ok((StatusCode::OK, show::home(&home)))
        }
        ("GET", ["devices"]) => get(&show::devices),
        ("GET", ["devices", id]) => one_device(shared, id),
        ("GET", ["devices", id, "commands"]) => {
            let id = device_id(shared, id)?;
            get(&|cloud| commands(cloud, id).collect())
        }
        ("GET", ["commands"]) => {
            get(&|cloud| cloud.device_ids().flat_map(|id| commands(cloud, id)).collect())
        }
        ("GET", ["connections"]) => {
            get(&|cloud| cloud.connections().map(|connection| show::connection(&connection)).collect())
        }
        ("DELETE", ["connections"]) => {
            shared.cut_connections();
            Ok((StatusCode::OK, json!({})))
        }
        ("GET", ["counters"]) => get(&show::counters),
        ("GET", ["faults"]) => get(&faults),
        ("POST", ["faults"]) => start_fault(shared, body),
        ("DELETE", ["faults"]) => {
            shared.visit(|cloud, now| cloud.end_faults(now));
            Ok((StatusCode::OK, json!({})))
        }
        ("DELETE", ["faults", id]) => {
            let id = id.parse().map(FaultId::new).ok();
            match id.is_some_and(|id| shared.visit(|cloud, now| cloud.end_fault(now, id))) {
                true => Ok((StatusCode::OK, json!({}))),
                false => Err(Refusal::not_found("there is no fault of this id")),
            }
        }
        ("GET", ["fault-names"]) => Ok((StatusCode::OK, fault_names())),
        ("POST", ["homes", id, "weather"]) => set_weather(shared, id, body),
        ("POST", ["devices", id, action]) if allowed(&segments) == Some("POST") => {
            act(shared, id, action, body)
        }
        _ => Err(match allowed(&segments) {
            Some(allow) => Refusal {
                status: StatusCode::METHOD_NOT_ALLOWED,
                why: format!("expected one of the methods {allow}"),
                allow: Some(allow),
            },
            None => Refusal::not_found("there is no such route; GET /openapi.json describes all"),
        }),
    }
}

/// Reads the cloud as of now.
fn current(cloud: &mut Cloud, now: Now, read: &dyn Fn(&Cloud) -> Value) -> Value {
    cloud.handle_timeout(now);
    read(cloud)
}

fn status(shared: &Shared) -> Value {
    let (accounts, homes, devices, connections) = shared.visit(|cloud, now| {
        cloud.handle_timeout(now);
        let counts = (cloud.accounts().count(), cloud.homes().count());
        (counts.0, counts.1, cloud.device_ids().count(), cloud.connections().count())
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"), "address": shared.address.to_string(), "seed": shared.seed,
        "clock": clock(shared), "accounts": accounts, "homes": homes, "devices": devices,
        "connections": connections, "last_event": shared.feed.last(),
    })
}

fn clock(shared: &Shared) -> Value {
    let clock = &shared.clock;
    let elapsed = clock.elapsed();
    json!({
        "elapsed_s": elapsed.as_secs_f64(), "unix_ms": clock.unix_millis(elapsed), "speed": clock.speed(),
        "frozen": clock.is_frozen(),
    })
}

/// A change of the clock.
pub(super) struct ClockChange {
    frozen: Option<bool>,
    advance: Duration,
}

pub(super) fn clock_change(body: &Value) -> Result<ClockChange, Refusal> {
    let fields = Fields::new(body, &["frozen", "advance_s"])?;
    let advance = fields.number("advance_s", 0.0..=MAX_ADVANCE_S)?.unwrap_or(0.0);
    Ok(ClockChange { frozen: fields.flag("frozen")?, advance: Duration::from_secs_f64(advance) })
}

impl ClockChange {
    /// Stops the clock before it is moved, or starts it after.
    pub(super) fn carry_out(&self, shared: &Shared) -> Value {
        if self.frozen == Some(true) {
            shared.set_frozen(true);
        }
        if !self.advance.is_zero() {
            shared.advance(self.advance);
        }
        if self.frozen == Some(false) {
            shared.set_frozen(false);
        }
        clock(shared)
    }
}

fn device_id(shared: &Shared, text: &str) -> Result<DeviceId, Refusal> {
    let id = DeviceId::from_str(text).ok();
    let id = id.filter(|id| shared.visit(|cloud, _| cloud.truth(*id).is_some()));
    Ok(id.ok_or(InvalidChange::UnknownDevice)?)
}

fn one_device(shared: &Shared, id: &str) -> Answer {
    let id = device_id(shared, id)?;
    let shown = shared.visit(|cloud, now| {
        cloud.handle_timeout(now);
        show::device(cloud, id)
    });
    Ok((StatusCode::OK, shown.ok_or(InvalidChange::UnknownDevice)?))
}

fn commands(cloud: &Cloud, id: DeviceId) -> impl Iterator<Item = Value> {
    cloud.command_records(id).map(move |record| Value::Object(show::command(id, record)))
}

fn act(shared: &Shared, id: &str, action: &str, body: &Value) -> Answer {
    let id = device_id(shared, id)?;
    match action {
        "room" => {
            let celsius = Fields::new(body, &["celsius"])?.needed_number("celsius")?;
            shared.visit(|cloud, now| cloud.set_room(now, id, celsius))?;
        }
        "setpoint" => {
            let celsius = Fields::new(body, &["celsius"])?.needed_number("celsius")?;
            let setpoint = Celsius::from_degrees(celsius).ok_or(InvalidChange::Setpoint)?;
            shared.visit(|cloud, now| cloud.turn(now, id, Some(setpoint), None))?;
        }
        "mode" => {
            let name = Fields::new(body, &["mode"])?.needed_text("mode")?;
            let mode = show::parse_mode(&name)
                .ok_or_else(|| Refusal::invalid("expected mode off, auto, heat, cool, fan or dry"))?;
            shared.visit(|cloud, now| cloud.turn(now, id, None, Some(mode)))?;
        }
        "press" => {
            let button = match Fields::new(body, &["button"])?.needed_text("button")?.as_str() {
                "up" => Button::Up,
                "down" => Button::Down,
                _ => return Err(Refusal::invalid("expected button up or down")),
            };
            shared.visit(|cloud, now| cloud.press_button(now, id, button))?;
        }
        "online" => {
            let online = Fields::new(body, &["online"])?.flag("online")?;
            let online = online.ok_or_else(|| Refusal::invalid("expected online: true or false"))?;
            shared.visit(|cloud, now| set_online(cloud, now, id, online))?;
        }
        "firmware" => {
            let offer = Fields::new(body, &["offer"])?.text("offer")?;
            shared.visit(|cloud, now| cloud.offer_firmware(now, id, offer.as_deref()))?;
        }
        _ => {
            Fields::new(body, &[])?;
            shared.visit(|cloud, now| cloud.act(now, Incident::Reboot(id)));
        }
    }
    one_device(shared, id.as_str())
}

/// Starts the fault `offline` of one thermostat, or ends it.
fn set_online(cloud: &mut Cloud, now: Now, id: DeviceId, online: bool) -> Result<(), InvalidFault> {
    const NAME: &str = "offline";
    let own = mysa_sim::Fault::Device(Some(id), mysa_sim::DeviceFault::Offline);
    let known: Vec<FaultId> = cloud
        .faults()
        .filter(|(_, window)| window.name == Some(NAME) && window.fault == own)
        .map(|(id, _)| id)
        .collect();
    if online {
        for fault in known {
            cloud.end_fault(now, fault);
        }
    } else if known.is_empty() {
        cloud.start_named_fault(now, NAME, Some(id), Duration::ZERO, None)?;
    }
    Ok(())
}

fn set_weather(shared: &Shared, id: &str, body: &Value) -> Answer {
    let fields = Fields::new(body, &["mean_c", "season_k", "day_k", "variation_k"])?;
    let known = shared.visit(|cloud, _| cloud.homes().find(|home| home.id == id));
    let Weather { mean, season, day, variation } = known.ok_or(InvalidChange::UnknownHome)?.weather;
    let any = f64::MIN..=f64::MAX;
    let weather = Weather {
        mean: fields.number("mean_c", any.clone())?.unwrap_or(mean),
        season: fields.number("season_k", any.clone())?.unwrap_or(season),
        day: fields.number("day_k", any.clone())?.unwrap_or(day),
        variation: fields.number("variation_k", any)?.unwrap_or(variation),
    };
    shared.visit(|cloud, now| cloud.set_weather(now, id, weather))?;
    let home = shared.visit(|cloud, _| cloud.homes().find(|home| home.id == id));
    Ok((StatusCode::OK, home.map_or(Value::Null, |home| show::home(&home))))
}

fn faults(cloud: &Cloud) -> Value {
    let lasting = cloud.faults().map(|(id, window)| show::fault(cloud, id, window));
    lasting.chain(cloud.planned_incidents().map(|(id, at, what)| show::planned(id, at, what))).collect()
}

fn start_fault(shared: &Shared, body: &Value) -> Answer {
    let fields = Fields::new(body, &["name", "device", "after_s", "for_s"])?;
    let name = fields.needed_text("name")?;
    let device = match fields.text("device")? {
        Some(id) => Some(DeviceId::from_str(&id).map_err(|_| InvalidFault::UnknownDevice)?),
        None => None,
    };
    let after = fields.number("after_s", 0.0..=MAX_FAULT_S)?.unwrap_or(0.0);
    let lasts = fields.number("for_s", 0.0..=MAX_FAULT_S)?.map(Duration::from_secs_f64);
    let ids = shared.visit(|cloud, now| {
        cloud.start_named_fault(now, &name, device, Duration::from_secs_f64(after), lasts)
    })?;
    let ids: Vec<u64> = ids.into_iter().map(FaultId::get).collect();
    Ok((StatusCode::CREATED, json!({ "ids": ids })))
}

fn fault_names() -> Value {
    let shown = |fault: &NamedFault| json!({ "name": fault.name(), "description": fault.description(), "happens_once": fault.happens_once() });
    NamedFault::all().iter().map(shown).collect()
}

/// The members of a body.
struct Fields<'a>(Option<&'a Map<String, Value>>);

impl<'a> Fields<'a> {
    /// Refuses members with other names.
    fn new(body: &'a Value, names: &[&str]) -> Result<Self, Refusal> {
        let known: BTreeSet<&str> = names.iter().copied().collect();
        let members = body.as_object();
        let unknown = members.and_then(|members| members.keys().find(|name| !known.contains(name.as_str())));
        if unknown.is_some() {
            let expected = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Refusal::invalid(format!("unknown member of the body; expected {expected}")));
        }
        Ok(Self(members))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0?.get(name).filter(|value| !value.is_null())
    }

    fn number(&self, name: &str, range: std::ops::RangeInclusive<f64>) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None if range == (f64::MIN..=f64::MAX) => {
                Err(Refusal::invalid(format!("expected a number for {name}")))
            }
            None => Err(Refusal::invalid(format!(
                "expected a number from {} to {} for {name}",
                range.start(),
                range.end()
            ))),
        }
    }

    fn needed_number(&self, name: &str) -> Result<f64, Refusal> {
        self.number(name, f64::MIN..=f64::MAX)?
            .ok_or_else(|| Refusal::invalid(format!("expected a number for {name}")))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Refusal::invalid(format!("expected true or false for {name}"))),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Refusal::invalid(format!("expected a text for {name}"))),
        }
    }

    fn needed_text(&self, name: &str) -> Result<String, Refusal> {
        self.text(name)?.ok_or_else(|| Refusal::invalid(format!("expected a text for {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every route and method of the description.
    fn described() -> Vec<(String, String)> {
        let document: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let methods = |(path, item): (&String, &Value)| {
            let path = path.clone();
            let methods = item.as_object().unwrap().keys().filter(|name| *name != "parameters");
            methods.map(|method| (path.clone(), method.to_uppercase())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(methods).collect()
    }

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let described = described();
        assert_eq!(described.len(), 27);
        let mut by_path = std::collections::BTreeMap::<&str, Vec<&str>>::new();
        for (path, method) in &described {
            by_path.entry(path).or_default().push(method);
        }
        for (path, methods) in by_path {
            let segments: Vec<&str> = path.split('/').skip(1).collect();
            let mut allowed: Vec<&str> = allowed(&segments).expect(path).split(", ").collect();
            allowed.sort_unstable();
            assert_eq!(methods, allowed, "{path}");
        }
    }
}
