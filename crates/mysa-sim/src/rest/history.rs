//! The routes for past energy, readings and settings.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use mysa_proto::UnixTime;
use serde_json::{Map, Value, json};

use crate::cloud::Cloud;
use crate::device::SCHEDULE;
use crate::device::energy::{BUCKET_SECS, Bucket, bucket_start};
use crate::device::parsed_command::number;
use crate::http::Reply;
use crate::math::{quantise, round};
use crate::zone::Zone;

const DAY: i64 = 86_400;
/// Maximum time span of one answer.
const MAX_SPAN: i64 = 400 * DAY;

impl Cloud {
    /// Sums the device's half hours from `start` to `end` in steps.
    fn steps(&self, devices: &[usize], start: i64, end: i64, step: i64) -> Vec<Bucket> {
        let end = end.min(start.saturating_add(MAX_SPAN));
        let step = (step / BUCKET_SECS).max(1) * BUCKET_SECS;
        let mut steps = Vec::new();
        let mut at = bucket_start(UnixTime::from_secs(start));
        while at < end {
            let mut sum = Bucket { start: at, ..Bucket::default() };
            for half in 0..step / BUCKET_SECS {
                let start = at + half * BUCKET_SECS;
                if start >= end {
                    break;
                }
                for &index in devices {
                    sum.add(&self.devices[index].half_hour(start));
                }
            }
            steps.push(sum);
            at += step;
        }
        steps
    }

    /// Time zone named in a request, or that of the home if the request names no known zone.
    fn zone(&self, home: usize, asked: Option<&str>) -> Zone {
        let home = &self.homes[home];
        // The zone of the home may have a configured offset.
        let other = asked.filter(|name| *name != home.time_zone);
        other.and_then(Zone::named).unwrap_or_else(|| home.local.clone())
    }

    /// `POST /energy/device|zone|home/{id}`: a day, a week or a month in steps.
    pub(crate) fn energy(&self, account: usize, kind: &str, id: &str, body: &Value) -> Reply {
        let (home, devices): (usize, Vec<usize>) = match kind {
            "device" => match self.owned(account, id) {
                Some(index) => (self.devices[index].home, [index].into()),
                None => return Reply::error(404, "Not Found"),
            },
            "home" | "zone" => {
                let found = self.homes_of(account).find(|&home| {
                    let home = &self.homes[home];
                    if kind == "home" { home.id == id } else { home.zone == id }
                });
                let Some(home) = found else { return Reply::error(404, "Not Found") };
                let inside =
                    |index: &usize| self.devices[*index].home == home && !self.devices[*index].removed;
                (home, (0..self.devices.len()).filter(inside).collect())
            }
            _ => return Reply::error(404, "Not Found"),
        };
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let Some(at) = body.get("Timestamp").and_then(Value::as_i64).and_then(UnixTime::from_wire) else {
            return Reply::error(400, "Timestamp is needed");
        };
        let zone = self.zone(home, text("TimeZone"));
        let ((start, end), usual) = match text("Scope") {
            Some("Day") => (zone.days(at.as_secs(), 1), "halfHour"),
            Some("Week") => (zone.days(at.as_secs(), 7), "Day"),
            Some("Month") => (zone.month(at.as_secs()), "Day"),
            _ => return Reply::error(400, "Scope is Day, Week or Month"),
        };
        let resolution = text("Res").unwrap_or(usual);
        let steps = match resolution {
            "halfHour" => self.steps(&devices, start, end, BUCKET_SECS),
            "oneHour" => self.steps(&devices, start, end, 3_600),
            "Day" => {
                let mut steps = Vec::new();
                let mut day = start;
                while day < end {
                    let next = zone.days(day, 1).1;
                    if next <= day {
                        // The calendar ends.
                        break;
                    }
                    let mut whole = Bucket { start: day, ..Bucket::default() };
                    for part in self.steps(&devices, day, next, BUCKET_SECS) {
                        whole.add(&part);
                    }
                    steps.push(whole);
                    day = next;
                }
                steps
            }
            _ => return Reply::error(400, "Res is halfHour, oneHour or Day"),
        };
        let steps: Vec<Bucket> = steps.into_iter().filter(|bucket| bucket.samples > 0).collect();
        let mut total = Bucket::default();
        for bucket in &steps {
            total.add(bucket);
        }
        let reading = |bucket: &Bucket| {
            json!({
                "Timestamp": bucket.start, "Energy": kilowatt_hours(bucket), "OnTime": round(bucket.on_secs),
                "AvgReturnTemp": tenths(bucket.mean(bucket.temperature_sum)), "AvgReturnHumidity": tenths(bucket.mean(bucket.humidity_sum)),
                "AvgInFloorTemp": tenths(bucket.mean(bucket.floor_sum)), "NumOfReadings": bucket.samples,
            })
        };
        let readings: Vec<Value> = steps.iter().map(reading).collect();
        Reply::ok(&json!({
            "Id": id, "Scope": text("Scope"), "Res": resolution, "Timestamp": start,
            "TimeZone": text("TimeZone").unwrap_or(&self.homes[home].time_zone),
            "TotalEnergy": kilowatt_hours(&total), "TotalOnTime": round(total.on_secs),
            "AverageTemp": tenths(total.mean(total.temperature_sum)), "AverageHumidity": tenths(total.mean(total.humidity_sum)),
            "NumOfReadings": total.samples, "EnergyReadings": readings,
        }))
    }

    /// `POST /energy/setpoints/device/{dev}`: the changes of one day.
    pub(crate) fn setpoints(&self, index: usize, body: &Value) -> Value {
        let device = &self.devices[index];
        let at = body.get("Timestamp").and_then(Value::as_i64).and_then(UnixTime::from_wire);
        let zone = self.zone(device.home, body.get("PhoneTimezone").and_then(Value::as_str));
        let (start, end) = zone.days(at.unwrap_or(self.now.wall).as_secs(), 1);
        let changes = device.changes.iter();
        let changes = changes
            .filter(|change| (start..end).contains(&change.at) && change.setpoint.0 != change.setpoint.1);
        let entries: Vec<Value> = changes
            .map(|change| {
                json!({
                    "Prev": number(change.setpoint.0), "Next": number(change.setpoint.1), "Source": change.source,
                    "SourceTime": change.at,
                })
            })
            .collect();
        json!(entries)
    }

    /// `POST /batchReadings/v2/{dev}`: half hours by their start.
    pub(crate) fn readings(&self, index: usize, body: &Value) -> Value {
        let time = |name: &str| body.get(name).and_then(Value::as_i64).and_then(UnixTime::from_wire);
        let end = time("end").unwrap_or(self.now.wall).as_secs();
        let start = time("start").map_or(end - DAY, UnixTime::as_secs);
        let wanted: Vec<&str> = body
            .get("attributes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut buckets = Map::new();
        for bucket in self.steps(&[index], start, end, BUCKET_SECS).iter().filter(|bucket| bucket.samples > 0)
        {
            let mut entry = Map::new();
            for name in &wanted {
                let value = match *name {
                    "c" => tenths(bucket.mean(bucket.temperature_sum)),
                    "h" => tenths(bucket.mean(bucket.humidity_sum)),
                    "s" => number(quantise(bucket.setpoint, 100.0)),
                    "a.oH" => json!(round(bucket.on_secs)),
                    "t" => json!(bucket.start),
                    _ => continue,
                };
                entry.insert((*name).into(), value);
            }
            buckets.insert(bucket.start.to_string(), Value::Object(entry));
        }
        Value::Object(buckets)
    }

    /// `POST /telemetry/usage/{dev}`: local days, with their half hours on request.
    pub(crate) fn usage(&self, index: usize, body: &Value) -> Reply {
        let time = |name: &str| body.get(name).and_then(Value::as_i64).and_then(UnixTime::from_wire);
        let (Some(start), Some(end)) = (time("start"), time("end")) else {
            return Reply::invalid("body must have required property 'start'");
        };
        let lists =
            |name: &str| body.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        let (detail, raw) = (lists("aggregatedReadings"), lists("rawReadings"));
        let values = |bucket: &Bucket| {
            json!({
                "oH1": round(bucket.on_secs), "k": kilowatt_hours(bucket), "t": tenths(bucket.mean(bucket.temperature_sum)),
                "h": tenths(bucket.mean(bucket.humidity_sum)), "n": bucket.samples,
            })
        };
        let home = self.devices[index].home;
        let last = end.as_secs().min(start.as_secs().saturating_add(MAX_SPAN));
        let zone = self.zone(home, body.get("timezone").and_then(Value::as_str));
        let mut day = zone.days(start.as_secs(), 1).0;
        let mut days = Vec::new();
        while day < last {
            let next = zone.days(day, 1).1;
            if next <= day {
                // The calendar ends.
                break;
            }
            let (from, to) = (day.max(start.as_secs()), next.min(last));
            let steps: Vec<Bucket> = self
                .steps(&[index], from, to, BUCKET_SECS)
                .into_iter()
                .filter(|bucket| bucket.samples > 0)
                .collect();
            let mut total = Bucket::default();
            for bucket in &steps {
                total.add(bucket);
            }
            let aggregated: Vec<Value> = steps
                .iter()
                .filter(|_| detail)
                .map(|bucket| json!({ "T": bucket.start, "a": values(bucket) }))
                .collect();
            let readings = steps.iter().filter(|_| raw).map(|bucket| {
                json!({
                    "t": bucket.start, "c": tenths(bucket.mean(bucket.temperature_sum)), "h": tenths(bucket.mean(bucket.humidity_sum)),
                    "s": number(quantise(bucket.setpoint, 100.0)),
                })
            });
            let readings: Vec<Value> = readings.collect();
            if total.samples > 0 {
                days.push(json!({
                    "T": day, "summary": { "T": day, "a": values(&total) }, "aggregatedReadings": aggregated,
                    "rawReadings": readings,
                }));
            }
            day = next;
        }
        Reply::ok(&json!(days))
    }

    /// `GET /state/history/{dev}`: changes of settings in a time span, with their source.
    pub(crate) fn state_history(&self, index: usize, start: i64, end: i64) -> Value {
        let changes =
            || self.devices[index].changes.iter().filter(|change| (start..=end).contains(&change.at));
        let source = |source: u8| match source {
            1 => "device",
            SCHEDULE => "schedule",
            _ => "app",
        };
        let setpoints: Vec<Value> = changes()
            .filter(|change| change.setpoint.0 != change.setpoint.1)
            .map(|c| json!({ "timestamp": c.at, "value": number(c.setpoint.1), "source": source(c.source) }))
            .collect();
        let modes: Vec<Value> = changes()
            .filter(|change| change.mode.0 != change.mode.1)
            .map(|c| json!({ "timestamp": c.at, "value": c.mode.1.structured(), "source": source(c.source) }))
            .collect();
        json!({ "heatSetpoint": setpoints, "mode": modes })
    }
}

fn kilowatt_hours(bucket: &Bucket) -> Value {
    number(quantise(bucket.kilowatt_hours(), 1e6))
}

fn tenths(value: f64) -> Value {
    number(quantise(value, 10.0))
}
