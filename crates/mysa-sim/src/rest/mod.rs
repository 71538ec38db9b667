//! REST service: authentication, hosts, and the routes that both hosts have.

pub(crate) mod capabilities;
pub(crate) mod history;
pub(crate) mod iot_control;
pub(crate) mod preferences;
pub(crate) mod schedule;
pub(crate) mod schedule_v2;
pub(crate) mod structured;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use crate::Now;
use crate::auth::token::TokenUse;
use crate::cloud::Cloud;
use crate::fault::Fault;
use crate::http::{HttpRequest, Reply, decoded};

/// Maximum size of a request body.
const MAX_BODY: usize = 256 * 1024;

/// Scenes of every home, by the end of their ids.
const SCENES: [&str; 3] = ["home", "away", "vacation"];

/// First segments of the structured routes, which only the newer host has.
const STRUCTURED: [&str; 13] = [
    "mobile",
    "state",
    "capabilities",
    "telemetry",
    "mysa-legacy",
    "schedule",
    "linking",
    "ota",
    "pairing",
    "matter",
    "smart-early-on",
    "feature-flags",
    "iot-token",
];

pub(crate) fn is_structured(path: &str) -> bool {
    let mut segments = path.trim_matches('/').split('/');
    let first = segments.next().unwrap_or_default();
    STRUCTURED.contains(&first)
        || first == "devices" && path.trim_end_matches('/').ends_with("/firmware-update")
}

/// Returns `true` if a request is a write. A POST that reads or requests live reports is not a write.
pub(crate) fn is_write(method: &str, path: &str) -> bool {
    let mut segments = path.trim_matches('/').split('/');
    let (first, second) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    match method {
        "POST" => {
            let reads =
                matches!(first, "energy" | "batchReadings" | "telemetry" | "mysa-legacy" | "feature-flags");
            !(reads || first == "state" && second == "batch")
        }
        "PUT" | "PATCH" | "DELETE" => true,
        _ => false,
    }
}

impl Cloud {
    /// Answers a request to one of the two REST hosts.
    pub(crate) fn rest(&mut self, now: Now, request: &HttpRequest<'_>, backend: bool) -> Reply {
        if request.body.len() > MAX_BODY {
            return Reply::error(413, "the body is too large");
        }
        let Some(account) = self.authorised(now, request) else {
            return Reply::error(401, "Unauthorized");
        };
        let segments: Vec<String> = request.path.trim_matches('/').split('/').map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let structured = is_structured(request.path);
        let writes = matches!(request.method, "POST" | "PUT" | "PATCH");
        let body = if request.body.is_empty() {
            Value::Null
        } else {
            match serde_json::from_slice(request.body) {
                Ok(body) => body,
                Err(_) => return Reply::error(400, "the body is not JSON"),
            }
        };
        if !backend && (structured || segments == ["devices", "capabilities"]) {
            return Reply::error(403, "Forbidden");
        }
        if writes && structured && !body.is_object() {
            return Reply::error(415, "Unsupported Media Type: undefined");
        }
        if structured {
            return self.structured(now, account, request, &segments, &body);
        }
        self.legacy(now, account, request.method, &segments, &body)
    }

    /// Account of the request's id token, in any accepted form of the header.
    pub(crate) fn authorised(&mut self, now: Now, request: &HttpRequest<'_>) -> Option<usize> {
        let sent = request.header("authorization")?.trim();
        let token = match sent.strip_prefix("Bearer ") {
            Some(token) if self.rules.bearer => token,
            Some(_) => return None,
            None => sent,
        };
        let issued = self.pool.tokens.check(token, now)?;
        (issued.token_use == TokenUse::Id).then_some(issued.account)
    }

    /// Returns the account's device with this id.
    pub(crate) fn owned(&self, account: usize, id: &str) -> Option<usize> {
        let index = *self.by_id.get(&mysa_proto::DeviceId::new(id)?)?;
        self.devices.get(index).filter(|device| device.account == account && !device.removed).map(|_| index)
    }

    /// Devices of the account, without those that a fault hides.
    pub(crate) fn listed(&self, now: Now, account: usize, state: bool) -> Vec<usize> {
        let hidden = |id| {
            self.faults.holds(now.mono, |fault| match fault {
                Fault::OmitDevice(device) => !state && *device == id,
                Fault::OmitState(device) => state && *device == id,
                _ => false,
            })
        };
        let devices = self.devices.iter().enumerate();
        devices
            .filter(|(_, device)| {
                device.account == account && !device.removed && !hidden(device.thermostat.id)
            })
            .map(|(index, _)| index)
            .collect()
    }

    pub(crate) fn records(&self, now: Now, account: usize) -> Value {
        let listed = self.listed(now, account, false);
        let record = |index: usize| {
            let device = &self.devices[index];
            (String::from(device.thermostat.id.as_str()), Value::Object(device.record.clone()))
        };
        Value::Object(listed.into_iter().map(record).collect())
    }

    fn legacy(&mut self, now: Now, account: usize, method: &str, segments: &[&str], body: &Value) -> Reply {
        let missing = || Reply::error(404, "Not Found");
        match (method, segments) {
            ("GET", ["devices"]) => Reply::ok(&json!({ "DevicesObj": self.records(now, account) })),
            ("GET", ["devices", "state"]) => Reply::ok(&self.states(now, account)),
            ("GET", ["devices", "state", id]) => match self.owned(account, id) {
                Some(index) => Reply::ok(&json!({ "DeviceState": self.devices[index].state(now) })),
                None => missing(),
            },
            ("GET", ["devices", "capabilities"]) => {
                let listed = self.listed(now, account, false);
                let all: Vec<Value> = listed.into_iter().map(|index| self.capabilities(index)).collect();
                Reply::ok(&json!(all))
            }
            ("GET", ["devices", "firmware"]) => Reply::ok(&self.firmware(now, account)),
            ("GET", ["devices", "update_available", id]) => self.update_available(account, id),
            ("GET", ["devices", id]) => match self.owned(account, id) {
                Some(index) => Reply::ok(&json!({ "Device": self.devices[index].record })),
                None => missing(),
            },
            ("DELETE", ["devices", _])
            | ("POST", ["devices", "purgeadd"] | ["users", _, "updateUserDeviceAccess"]) => {
                self.counters.dangerous_requests += 1;
                Reply::error(403, "the simulated cloud does not change who owns what")
            }
            ("POST", ["devices", id]) => match (self.owned(account, id), body) {
                (Some(index), Value::Object(changes)) => {
                    self.counters.settings_writes += 1;
                    let device = &mut self.devices[index];
                    // A settings write does not change the identity of a device here; in the real service it can make
                    // the thermostat unusable.
                    let fixed = ["Id", "Model", "MaxCurrent", "Current", "Owner", "AllowedUsers"];
                    let allowed = changes.iter().filter(|(name, _)| !fixed.contains(&name.as_str()));
                    device.store(now, allowed.map(|(name, value)| (name.clone(), value.clone())));
                    if let Some(lock) = changes.get("Lock") {
                        // Some clients write the lock by this name, but the thermostat reads the other.
                        let locked = lock.as_i64() == Some(1) || lock.as_bool() == Some(true);
                        let state = match device.record.get("ButtonState") {
                            Some(Value::String(_)) | None => {
                                json!(if locked { "Locked" } else { "Unlocked" })
                            }
                            Some(_) => json!(u8::from(locked)),
                        };
                        device.store(now, [("ButtonState".into(), state)]);
                    }
                    Reply::ok(&json!({ "Device": device.record }))
                }
                (Some(_), _) => Reply::error(415, "a body is needed"),
                (None, _) => missing(),
            },
            ("POST", ["devices"]) => {
                self.counters.dangerous_requests += 1;
                let id = body.get("Id").and_then(Value::as_str).unwrap_or_default();
                match self.owned(account, id) {
                    Some(index) => Reply::json(409, &Value::Object(self.devices[index].record.clone())),
                    None => Reply::error(400, "no such thermostat is waiting to be paired"),
                }
            }
            ("GET", ["devices", id, "telemetry_alerts"]) => {
                self.owned(account, id).map_or_else(missing, |_| Reply::ok(&json!({ "Items": [] })))
            }
            ("GET", ["devices", id, "drstate"]) => self
                .owned(account, id)
                .map_or_else(missing, |_| Reply::ok(&json!({ "inEvent": false, "state": "none" }))),
            ("GET", ["homes"]) => {
                let homes: Vec<Value> = self.homes_of(account).map(|index| self.home(index)).collect();
                Reply::ok(&json!({ "Homes": homes }))
            }
            ("GET", ["homes", id]) => match self.owned_home(account, id) {
                Some(index) => Reply::ok(&json!({ "Homes": [self.home(index)] })),
                None => missing(),
            },
            ("PUT", ["homes", id]) => match self.owned_home(account, id) {
                Some(index) => {
                    let home = &mut self.homes[index];
                    if let Some(name) = body.get("Name").and_then(Value::as_str) {
                        home.name = name.into();
                    }
                    if let Some(rate) = body.get("ERate") {
                        home.rate = rate.clone();
                    }
                    Reply::ok(&json!({ "Home": self.home(index) }))
                }
                None => missing(),
            },
            ("GET", ["homes", id, "scenes"]) => match self.owned_home(account, id) {
                Some(_) => {
                    Reply::ok(&json!({ "Scenes": SCENES.map(|name| self.scene(&format!("{id}_{name}"))) }))
                }
                None => missing(),
            },
            ("PATCH", ["scene", id]) => self.change_scene(account, id, body),
            ("GET", ["homes", id, "savedSchedule"]) => self
                .owned_home(account, id)
                .map_or_else(missing, |_| Reply::ok(&json!({ "SavedSchedules": [] }))),
            ("GET", ["users"]) => Reply::ok(&json!({ "User": self.user(account) })),
            ("GET", ["users", "readingsForUser"]) => Reply::error(500, "Internal Server Error"),
            ("GET", ["users", id]) if *id == self.pool.accounts[account].user_id => {
                Reply::ok(&json!({ "User": self.user(account) }))
            }
            ("PATCH", ["users", id]) if *id == self.pool.accounts[account].user_id => Reply::ok(&json!({})),
            ("GET", ["schedules"]) => Reply::ok(&json!({ "Schedules": [] })),
            (_, ["schedules", "v2", rest @ ..]) => self.schedule_v2(now, account, method, rest, body),
            ("POST", ["energy", kind, id]) => self.energy(account, kind, id, body),
            ("POST", ["energy", "setpoints", "device", id]) => {
                self.owned(account, id).map_or_else(missing, |index| Reply::ok(&self.setpoints(index, body)))
            }
            ("POST", ["batchReadings", "v2", id]) => {
                self.owned(account, id).map_or_else(missing, |index| Reply::ok(&self.readings(index, body)))
            }
            _ => missing(),
        }
    }

    fn scene(&self, id: &str) -> Value {
        self.scenes.get(id).cloned().unwrap_or_else(|| json!({ "Id": id, "DeviceActions": {} }))
    }

    /// Replaces the content of a scene, which is stored but not applied.
    fn change_scene(&mut self, account: usize, id: &str, body: &Value) -> Reply {
        let home = id.rsplit_once('_').filter(|(_, name)| SCENES.contains(name));
        if home.and_then(|(home, _)| self.owned_home(account, home)).is_none() {
            return Reply::error(404, "Not Found");
        }
        let Some(actions) = body.get("DeviceActions").filter(|actions| actions.is_object()) else {
            return Reply::error(400, "DeviceActions are missing");
        };
        let all = body.get("AllDevices").and_then(Value::as_bool).unwrap_or_default();
        self.scenes.insert(id.into(), json!({ "Id": id, "DeviceActions": actions, "AllDevices": all }));
        Reply::json(202, &json!({}))
    }

    fn states(&mut self, now: Now, account: usize) -> Value {
        if let Some(frozen) = self.frozen.get(&account) {
            return frozen.clone();
        }
        let listed = self.listed(now, account, true);
        let state = |index: usize| {
            let device = &self.devices[index];
            (String::from(device.thermostat.id.as_str()), device.state(now))
        };
        let states = json!({ "DeviceStatesObj": listed.into_iter().map(state).collect::<Map<_, _>>() });
        if self.faults.holds(now.mono, |fault| *fault == Fault::FreezeStates) {
            self.frozen.insert(account, states.clone());
        }
        states
    }

    fn firmware(&self, now: Now, account: usize) -> Value {
        let entry = |index: usize| {
            let device = &self.devices[index];
            let id = device.thermostat.id.as_str();
            (String::from(id), json!({ "Device": id, "InstalledVersion": device.firmware() }))
        };
        json!({ "Firmware": self.listed(now, account, false).into_iter().map(entry).collect::<Map<_, _>>() })
    }

    fn update_available(&self, account: usize, id: &str) -> Reply {
        let Some(index) = self.owned(account, id) else {
            // The only answer whose body is a bare JSON string.
            let text = format!(
                "Check update failed for {id}. Unable to determine neither installed version nor allowed version"
            );
            return Reply::json(500, &json!(text));
        };
        let device = &self.devices[index];
        let (installed, offer) = (device.firmware(), device.firmware_offer.as_deref());
        Reply::ok(&json!({
            "update": offer.is_some(), "installedVersion": installed, "allowedVersion": offer.unwrap_or(installed),
        }))
    }

    pub(crate) fn homes_of(&self, account: usize) -> impl Iterator<Item = usize> + '_ {
        self.homes.iter().enumerate().filter(move |(_, home)| home.account == account).map(|(index, _)| index)
    }

    pub(crate) fn owned_home(&self, account: usize, id: &str) -> Option<usize> {
        self.homes_of(account).find(|&index| self.homes[index].id == id)
    }

    pub(crate) fn home(&self, index: usize) -> Value {
        let home = &self.homes[index];
        let owner = &self.pool.accounts[home.account].user_id;
        let devices = self.devices.iter().filter(|device| device.home == index && !device.removed);
        let ids: Vec<&str> = devices.map(|device| device.thermostat.id.as_str()).collect();
        json!({
            "Id": home.id, "Name": home.name, "Owner": owner, "AllowedUsers": [owner], "ERate": home.rate,
            "Address": { "PostalCode": "A1A 1A1", "Country": "CA" },
            "Zones": [{ "Id": home.zone, "Name": "All rooms", "Owner": owner, "DeviceIds": ids }],
        })
    }

    pub(crate) fn user(&self, account: usize) -> Value {
        let homes: Vec<&str> = self.homes_of(account).map(|index| self.homes[index].id.as_str()).collect();
        let mine = || self.devices.iter().filter(|device| device.account == account && !device.removed);
        let ids: Vec<&str> = mine().map(|device| device.thermostat.id.as_str()).collect();
        let mut paired = json!({ "BB": {}, "AC": {}, "INF": {} });
        for device in mine() {
            let family = device.paired_model().split('-').next().unwrap_or_default();
            let since = device.record.get("LastPaired").cloned().unwrap_or(Value::Null);
            if let Some(group) = paired.get_mut(family).and_then(Value::as_object_mut) {
                let entry = json!({
                    "deviceType": device.paired_model(), "firstPairingTimestamp": since, "latestPairingTimestamp": since
                });
                group.insert(device.thermostat.id.as_str().into(), entry);
            }
        }
        let person = &self.pool.accounts[account];
        json!({
            "Id": person.user_id, "AllowedDevices": ids, "AllowedHomes": homes, "PrimaryHome": homes.first(),
            "ERate": "0.15", "LanguagePreference": "en", "LastAppVersion": "4.20.1", "MysaIntegration": [],
            "DevicesPaired": { "State": paired },
            "CognitoAttrs": [
                { "Name": "sub", "Value": person.user_id }, { "Name": "email", "Value": person.email }
            ],
        })
    }
}
