use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::script::Script;

/// Request as an app makes it, with values that the service may refuse.
pub(super) struct AppRequest {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) query: String,
    /// Absent for a request without a body.
    pub(super) body: Option<Value>,
}

/// Ids of what an account has.
pub(super) struct Ids<'a> {
    pub(super) device: &'a str,
    pub(super) home: &'a str,
    pub(super) zone: &'a str,
    pub(super) schedule: &'a str,
}

impl AppRequest {
    /// Any request of an account, at `now` in Unix seconds.
    pub(super) fn new(script: &mut Script<'_>, ids: &Ids<'_>, now: i64) -> Self {
        let Ids { device, home, zone, schedule } = ids;
        let route = script.byte() % 32;
        // Some months before.
        let from = now - i64::from(script.u16()) * 256;
        let get = |path: String| Self { method: "GET", path, query: String::new(), body: None };
        let put = |method, path: String, body| Self { method, path, query: String::new(), body: Some(body) };
        let post = |path: String, body| put("POST", path, body);
        match route {
            0 => {
                let query = if script.flag() { "versionNumber=4.20.1" } else { "" };
                Self { query: query.into(), ..get("/mobile/bootstrap".into()) }
            }
            1 => post("/state/batch".into(), json!({ "deviceIds": [device, "b0b1c2d3e4ff"] })),
            2 => get(format!("/state/{device}")),
            3 => {
                let query = format!("startTime={from}&endTime={now}");
                Self { query, ..get(format!("/state/history/{device}")) }
            }
            4 => get(format!("/capabilities/{device}")),
            5 => get("/devices/capabilities".into()),
            6 => {
                let (detail, raw) = (readings(script), readings(script));
                let zone = time_zone(script);
                let body = json!({
                    "start": from, "end": now, "timezone": zone, "aggregatedReadings": detail, "rawReadings": raw,
                });
                post(format!("/telemetry/usage/{device}"), body)
            }
            7 => post(format!("/mysa-legacy/stream/home/{home}"), json!({ "timeout": script.u16() })),
            8 | 9 => {
                let body = schedule_of(script, device, home);
                if route == 8 {
                    post("/schedule".into(), body)
                } else {
                    put("PUT", format!("/schedule/{schedule}"), body)
                }
            }
            10 => get(script
                .pick(&["/schedule", "/linking", "/schedule/compatibility/BB", "/schedules"])
                .into()),
            11 => put("DELETE", format!("/schedule/{schedule}/attach/{device}"), Value::Null),
            12 => {
                let start = now + i64::from(script.byte()) - 8;
                let end = start + i64::from(script.u16());
                let kind = script.pick(&["temporary", "permanent", "other"]);
                let body = json!({
                    "deviceId": device, "holdType": kind, "startTime": iso(start), "endTime": iso(end),
                    "state": sections(script),
                });
                post("/schedule/hold".into(), body)
            }
            13 => get(format!("/schedule/hold/{device}")),
            14 => put("DELETE", format!("/schedule/hold/{device}"), Value::Null),
            15 => get(format!("/schedules/v2/{device}")),
            16 => {
                let (day, minute) = (script.byte() % 8, script.u16() % 1_500);
                let action = script.pick(&["3|21|%|%|%|%|%", "1|%", "%|18.5", "x|99", "5|46"]);
                let events = json!({ day.to_string(): { minute.to_string(): { "BB2L": action } } });
                let body = json!({ "Schedule": { "Id": schedule, "Events": events }, "Devices": [device] });
                post("/schedules/v2".into(), body)
            }
            17 => {
                let body = script.option(|_| json!({ "Devices": [device] })).unwrap_or_default();
                put("DELETE", format!("/schedules/v2/{schedule}"), body)
            }
            18 | 19 => {
                let (kind, id) =
                    script.pick(&[("device", device), ("home", home), ("zone", zone), ("room", zone)]);
                let scope = script.pick(&["Day", "Week", "Month", "Year"]);
                let resolution = script.pick(&[None, Some("halfHour"), Some("oneHour"), Some("Day")]);
                let zone = time_zone(script);
                let body = json!({ "Scope": scope, "Timestamp": from, "TimeZone": zone, "Res": resolution });
                post(format!("/energy/{kind}/{id}"), body)
            }
            20 => {
                let body = json!({ "Timestamp": from, "PhoneTimezone": time_zone(script) });
                post(format!("/energy/setpoints/device/{device}"), body)
            }
            21 => post(format!("/batchReadings/v2/{device}"), json!({ "Start": from, "End": now })),
            22 => {
                let name = script.pick(&["telemetry_alerts", "drstate"]);
                get(format!("/devices/{device}/{name}"))
            }
            23 => {
                let body = json!({ "Name": script.text(), "Lock": script.byte() % 3, "Model": "x" });
                post(format!("/devices/{device}"), body)
            }
            24 => get(format!("/devices/update_available/{device}")),
            25 => get(format!("/homes/{home}{}", script.pick(&["", "/scenes", "/savedSchedule"]))),
            26 => {
                put("PUT", format!("/homes/{home}"), json!({ "Name": script.text(), "ERate": script.byte() }))
            }
            27 => {
                let name = script.pick(&["home", "away", "other"]);
                put(
                    "PATCH",
                    format!("/scene/{home}_{name}"),
                    json!({ "DeviceActions": {}, "AllDevices": script.flag() }),
                )
            }
            _ => {
                let mut body = sections(script);
                body["source"] = 3.into();
                post(format!("/state/{device}/update"), body)
            }
        }
    }
}

/// Sections of a thermostat's state with desired values, also those of other families.
pub(super) fn sections(script: &mut Script<'_>) -> Value {
    let mut sections = json!({});
    let chosen = script.byte();
    let degrees = f64::from(script.byte()) / 4.0 - 8.0;
    let number = script.byte();
    let values = [
        ("targetHeat", json!({ "setpoint": degrees })),
        ("modes", json!({ "mode": number % 16 })),
        ("targetCool", json!({ "setpoint": degrees })),
        ("targetAuto", json!({ "heatSetpoint": degrees, "coolSetpoint": f64::from(number) / 4.0 })),
        (
            "physicalInterface",
            json!({ "lockout": number % 4, "activeIntensity": number, "idleIntensity": 10 }),
        ),
        (
            "modes",
            json!({ "mode": 1 + number % 5, "fan_mode": number / 8, "verticalSwingState": number % 16 }),
        ),
        ("targetHeat", json!({ "lockoutMin": 5, "lockoutMax": degrees })),
    ];
    for (at, (name, value)) in values.into_iter().enumerate() {
        if chosen >> at & 1 == 1 {
            sections[name] = value;
        }
    }
    if chosen & 0x80 != 0 {
        sections["tracking"] = json!({ "ambientOffset": degrees / 2.0 });
        sections["bbConfig"] = json!({ "controlType": number % 16 });
        sections["physicalInterface"] = json!({ "format": if number & 1 == 0 { "C" } else { "F" } });
    }
    sections
}

fn schedule_of(script: &mut Script<'_>, device: &str, home: &str) -> Value {
    let time = format!("{:02}:{:02}:00", script.byte() % 25, script.byte() % 61);
    let event = json!({
        "executionTime": time, "dayOfWeek": (script.byte() % 8).to_string(), "clientKey": "app",
        "state": sections(script),
    });
    let mut body = json!({
        "name": "Days", "homeId": home, "reusable": false, "deviceType": "BB", "deviceIds": [device], "events": [event],
    });
    if script.flag() {
        body["deviceIds"] = Value::Null;
    }
    body
}

fn time_zone(script: &mut Script<'_>) -> &'static str {
    script.pick(&["America/Halifax", "Europe/London", "Asia/Kathmandu", "Nowhere", ""])
}

/// List of an aggregation's names, which may be empty.
fn readings(script: &mut Script<'_>) -> Value {
    if script.flag() { json!(["powerConsumed"]) } else { json!([]) }
}

fn iso(at: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!("{}T{:02}:{:02}:{:02}Z", at.date(), at.hour(), at.minute(), at.second())
}
