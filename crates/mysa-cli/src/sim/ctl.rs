//! `mysa sim ctl`: reads and changes a running simulator by its control endpoint.

use mysa_proto::DeviceId;
use mysa_sim_server::{ControlClient, ControlError};
use serde_json::{Value, json};

use crate::args::ctl::{Ctl, CtlAction};
use crate::output::record::printable;
use crate::output::table;
use crate::output::terminal::Terminal;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::resolve;

pub(crate) async fn run(terminal: &Terminal, args: &Ctl) -> Result<()> {
    let remote = Remote { client: ControlClient::new(args.control), terminal, args };
    let device_action = async |device: &str, action: &str, body: Value| {
        let id = remote.device(device).await?;
        let shown = remote.send("POST", &format!("/devices/{id}/{action}"), &body).await?;
        remote.show(&shown, DEVICE)
    };
    match &args.action {
        CtlAction::Status => remote.get("/status", &[]).await,
        CtlAction::Accounts => remote.get("/accounts", &["email", "user_id", "status", "homes"]).await,
        CtlAction::Homes => remote.get("/homes", &["id", "name", "account", "outdoors_c", "devices"]).await,
        CtlAction::Devices => remote.get("/devices", DEVICE).await,
        CtlAction::Device { device } => {
            let path = format!("/devices/{}", remote.device(device).await?);
            remote.get(&path, &[]).await
        }
        CtlAction::Commands { device } => {
            let path = match device {
                Some(device) => format!("/devices/{}/commands", remote.device(device).await?),
                None => "/commands".into(),
            };
            remote.get(&path, &["device", "at_s", "origin", "conn", "request", "wanted", "outcome"]).await
        }
        CtlAction::Connections => {
            remote
                .get("/connections", &["conn", "account", "client", "opened_s", "in_flight", "filters"])
                .await
        }
        CtlAction::Counters => remote.get("/counters", &[]).await,
        CtlAction::Events { since, count } => remote.follow(*since, *count).await,
        CtlAction::Room { device, celsius } => {
            device_action(device, "room", json!({ "celsius": celsius })).await
        }
        CtlAction::Setpoint { device, celsius } => {
            device_action(device, "setpoint", json!({ "celsius": celsius })).await
        }
        CtlAction::Mode { device, mode } => device_action(device, "mode", json!({ "mode": mode })).await,
        CtlAction::Press { device, button } => {
            device_action(device, "press", json!({ "button": button })).await
        }
        CtlAction::Offline { device } => device_action(device, "online", json!({ "online": false })).await,
        CtlAction::Online { device } => device_action(device, "online", json!({ "online": true })).await,
        CtlAction::Reboot { device } => device_action(device, "reboot", json!({})).await,
        CtlAction::Firmware { device, offer } => {
            device_action(device, "firmware", json!({ "offer": offer })).await
        }
        CtlAction::Weather { home, mean, season, day, variation } => {
            let id = remote.home(home.as_deref()).await?;
            let body = json!({ "mean_c": mean, "season_k": season, "day_k": day, "variation_k": variation });
            let shown = remote.send("POST", &format!("/homes/{id}/weather"), &body).await?;
            remote.show(&shown, &[])
        }
        CtlAction::Faults => {
            remote.get("/faults", &["id", "name", "active", "from_s", "until_s", "what", "device"]).await
        }
        CtlAction::Fault { name, device, after, lasts } => {
            let device = match device {
                Some(device) => Some(remote.device(device).await?.to_string()),
                None => None,
            };
            let body = json!({ "name": name, "device": device, "after_s": after, "for_s": lasts });
            let shown = remote.send("POST", "/faults", &body).await?;
            remote.show(&shown, &[])
        }
        CtlAction::End { fault } if fault == "all" => remote.done("DELETE", "/faults").await,
        CtlAction::End { fault } => {
            let id: u64 = fault
                .parse()
                .map_err(|_| Failure::usage(format!("invalid fault '{fault}': expected an id or `all`")))?;
            remote.done("DELETE", &format!("/faults/{id}")).await
        }
        CtlAction::Cut => remote.done("DELETE", "/connections").await,
        CtlAction::Freeze => remote.clock(&json!({ "frozen": true })).await,
        CtlAction::Resume => remote.clock(&json!({ "frozen": false })).await,
        CtlAction::Advance { seconds } => remote.clock(&json!({ "advance_s": seconds })).await,
    }
}

/// Columns of a thermostat.
const DEVICE: &[&str] = &[
    "id",
    "name",
    "model",
    "mode",
    "room_c",
    "setpoint_c",
    "heating",
    "watts",
    "energy_kwh",
    "online",
    "connected",
    "firmware_offer",
];

struct Remote<'a> {
    client: ControlClient,
    terminal: &'a Terminal,
    args: &'a Ctl,
}

impl Remote<'_> {
    fn unreachable(&self, error: ControlError) -> Failure {
        let failure = Failure::from((Exit::Unreachable, error));
        let address = self.args.control;
        let hint = format!("{failure}; is `mysa sim` running, and is its control address {address}?");
        Failure::new(Exit::Unreachable, hint)
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = (method == "POST").then(|| body.to_string());
        let answer =
            self.client.send(method, path, body.as_deref()).await.map_err(|error| self.unreachable(error))?;
        let shown: Value =
            serde_json::from_str(&answer.body).map_err(|_| self.unreachable(ControlError::Body))?;
        if answer.is_success() {
            return Ok(shown);
        }
        let why = shown.get("error").and_then(Value::as_str).unwrap_or("the simulator refused the request");
        let exit = if answer.status == 409 { Exit::Refused } else { Exit::Usage };
        Err(Failure::new(exit, why))
    }

    async fn get(&self, path: &str, columns: &[&str]) -> Result<()> {
        let shown = self.send("GET", path, &Value::Null).await?;
        self.show(&shown, columns)
    }

    /// Sends a request whose answer is empty.
    async fn done(&self, method: &str, path: &str) -> Result<()> {
        self.send(method, path, &Value::Null).await.map(|_| ())
    }

    async fn clock(&self, body: &Value) -> Result<()> {
        let shown = self.send("POST", "/clock", body).await?;
        self.show(&shown, &[])
    }

    async fn device(&self, wanted: &str) -> Result<DeviceId> {
        let devices = self.send("GET", "/devices", &Value::Null).await?;
        let text = |device: &Value, name: &str| {
            device.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let known: Vec<(DeviceId, String)> = devices
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|device| Some((DeviceId::new(&text(device, "id"))?, text(device, "name"))))
            .collect();
        resolve::find(wanted, known.iter().map(|(id, name)| (id, name.as_str())))
    }

    async fn home(&self, wanted: Option<&str>) -> Result<String> {
        let homes = self.send("GET", "/homes", &Value::Null).await?;
        let homes: Vec<&Value> = homes.as_array().into_iter().flatten().collect();
        let is = |home: &Value, name: &str, wanted: &str| {
            home.get(name).and_then(Value::as_str).is_some_and(|known| known.eq_ignore_ascii_case(wanted))
        };
        let found: Vec<&&Value> = match wanted {
            Some(wanted) => {
                homes.iter().filter(|home| is(home, "id", wanted) || is(home, "name", wanted)).collect()
            }
            None => homes.iter().collect(),
        };
        match found.as_slice() {
            [home] => Ok(home.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()),
            [] => Err(Failure::usage("there is no home of this id or name; `mysa sim ctl homes` lists all")),
            _ => Err(Failure::usage("there are several homes; give an id of `mysa sim ctl homes`")),
        }
    }

    async fn follow(&self, since: Option<u64>, count: Option<u64>) -> Result<()> {
        let mut events = self.client.follow(since).await.map_err(|error| self.unreachable(error))?;
        let mut left = count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(line) = events.next().await.map_err(|error| self.unreachable(error))? else {
                return Err(Failure::new(Exit::Unreachable, "the simulator has ended"));
            };
            if self.terminal.json {
                self.terminal.line(line)?;
            } else {
                let event: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
                self.terminal.line(event_text(&event))?;
            }
            left -= 1;
        }
        Ok(())
    }

    /// Prints an answer: JSON unchanged, a list as a table of these columns, an object as lines.
    fn show(&self, shown: &Value, columns: &[&str]) -> Result<()> {
        if self.terminal.json {
            return self.terminal.line(shown.to_string());
        }
        let lines = match shown {
            Value::Array(items) => table_lines(items, columns, self.terminal.table_width()),
            Value::Object(_) if !columns.is_empty() => {
                table_lines(std::slice::from_ref(shown), columns, self.terminal.table_width())
            }
            Value::Object(members) => {
                members.iter().map(|(name, value)| format!("{name:<18} {}", cell(Some(value)))).collect()
            }
            other => vec![cell(Some(other))],
        };
        lines.into_iter().try_for_each(|line| self.terminal.line(line))
    }
}

fn table_lines(items: &[Value], columns: &[&str], width: usize) -> Vec<String> {
    let heads: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> =
        items.iter().map(|item| columns.iter().map(|column| cell(item.get(*column))).collect()).collect();
    table::render(&heads, &rows, width)
}

/// A value for people.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => printable(text),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(" "),
        Some(Value::Object(members)) => members
            .iter()
            .map(|(name, value)| format!("{name}={}", cell(Some(value))))
            .collect::<Vec<_>>()
            .join(" "),
        Some(other) => printable(&other.to_string()),
    }
}

/// An event as one line: time, kind, and its other members.
fn event_text(event: &Value) -> String {
    let time = event.get("at_s").and_then(Value::as_f64).map_or_else(String::new, |at| format!("{at:.3} s"));
    let facts: Vec<String> = event
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| {
            !["at_s", "unix_ms", "event", "number"].contains(&name.as_str()) && !value.is_null()
        })
        .map(|(name, value)| format!("{name}={}", cell(Some(value))))
        .collect();
    format!("{time:>12}  {:<15} {}", cell(event.get("event")), facts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_tables_and_lines_for_people() {
        let items = [
            json!({ "id": "a0", "room_c": 20.5, "filters": ["x", "y"], "name": null }),
            json!({ "id": "\u{1b}b" }),
        ];
        let lines = table_lines(&items, &["id", "room_c", "filters", "name"], usize::MAX);
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("20.5") && lines[1].contains("x y"), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "text of the cloud is escaped");
    }

    #[test]
    fn an_event_is_one_line() {
        let event = json!({
            "event": "published", "number": 7, "at_s": 1.25, "unix_ms": 5, "conn": 1, "topic": "/v1/dev/a/in",
            "payload": "{\"a\":\n1}", "by_broker": null,
        });
        let line = event_text(&event);
        assert!(line.contains("1.250 s  published") && line.contains("conn=1"), "{line}");
        assert!(!line.contains('\n') && !line.contains("number") && !line.contains("by_broker"), "{line}");
    }
}
