//! Messages that a thermostat sends, and their times.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::TopicKind;
use serde_json::{Map, Value, json};

use crate::Now;
use crate::device::family::{Family, Mode, Stamp};
use crate::device::message;
use crate::device::parsed_command::{ParsedCommand, number};
use crate::device::settings::Settings;
use crate::rng::hash;

use super::{DeviceFaults, Emission, ShadowUpdate, Thermostat};

impl Thermostat {
    pub(super) fn report_status(&mut self, now: Now, faults: &DeviceFaults, out: &mut Vec<Emission>) {
        let profile = self.profile();
        let period = if self.is_live(now.mono) { profile.live_status } else { profile.idle_status };
        // The jitter keeps statuses out of step with the heater's pulses.
        self.next_status = now.mono + period.mul_f64(0.9 + 0.2 * self.rng.unit());
        let silent =
            faults.offline || faults.drops_statuses || !self.powered || self.booting || self.unpaired;
        if silent || self.family == Family::Silent {
            return;
        }
        if self.family.has_shadows() {
            out.push(Emission::Readings);
            self.report_changes(now, faults, out);
            return;
        }
        let mut text = String::with_capacity(192);
        let stamp = self.stamp(now, faults);
        self.family.write_status(&mut text, &stamp, &self.seen(now));
        out.push(publication(TopicKind::Out, text, ShadowUpdate::Status));
    }

    pub(super) fn report_batch(&mut self, now: Now, faults: &DeviceFaults, out: &mut Vec<Emission>) {
        self.next_batch = now.mono + BATCH_PERIOD.mul_f64(0.8 + 0.4 * self.rng.unit());
        if faults.offline || !self.powered || self.booting || self.unpaired {
            return;
        }
        let Some(version) = self.profile().batch_version.filter(|_| !self.records.is_empty()) else { return };
        let mut records = Vec::new();
        for record in self.records.drain(..) {
            record.encode(version, &mut records);
        }
        let mut text = String::new();
        message::write_batch(&mut text, &self.stamp(now, faults), &records);
        out.push(publication(TopicKind::Batch, text, ShadowUpdate::Readings));
        if self.family == Family::Floor {
            let mut text = String::new();
            message::write_floor_line(&mut text, &self.stamp(now, faults), 239, 241, 1_703);
            out.push(publication(TopicKind::Out, text, ShadowUpdate::None));
        }
    }

    pub(super) fn report_boot(&mut self, now: Now, faults: &DeviceFaults, out: &mut Vec<Emission>) {
        if !self.family.has_topics() {
            self.next_status = now.mono + Duration::from_secs(2);
            return;
        }
        let firmware = self.profile().firmware;
        if matches!(self.family, Family::BaseboardV2 | Family::Lite) {
            let mut text = String::new();
            message::write_boot_firmware(&mut text, &self.stamp(now, faults), firmware);
            out.push(publication(TopicKind::Out, text, ShadowUpdate::None));
        }
        let mut text = String::new();
        message::write_boot(
            &mut text,
            &self.stamp(now, faults),
            self.boot_at,
            self.boots,
            firmware,
            &self.ip,
        );
        out.push(publication(TopicKind::Out, text, ShadowUpdate::None));
        for line in [
            alloc::format!("api got version {firmware}"),
            alloc::format!("Local IP: {}\nDevice Serial: {}", self.ip, self.serial),
        ] {
            let mut text = String::new();
            message::write_log(&mut text, &self.stamp(now, faults), &line);
            out.push(publication(TopicKind::Out, text, ShadowUpdate::None));
        }
        self.next_status = now.mono + Duration::from_secs(2);
    }

    pub(super) fn report_setpoint(
        &mut self,
        now: Now,
        faults: &DeviceFaults,
        before: f64,
        source: u8,
        out: &mut Vec<Emission>,
    ) {
        let mut text = String::new();
        let after = self.settings.degrees();
        message::write_setpoint_change(&mut text, &self.stamp(now, faults), before, after, source);
        out.push(Emission::Publish {
            kind: TopicKind::Out,
            at_least_once: true,
            payload: text,
            update: ShadowUpdate::Settings,
        });
    }

    /// Builds an acknowledgement. `source` is its `trig_src`, if it has one.
    pub(super) fn ack(
        &mut self,
        now: Now,
        faults: &DeviceFaults,
        request: Option<u64>,
        success: bool,
        source: Option<u8>,
        state: Value,
    ) -> Emission {
        let mut text = String::new();
        message::open_mcm(
            &mut text,
            &self.stamp(now, faults),
            now.wall.as_secs() + faults.clock_shift,
            44,
            request,
        );
        let mut body =
            json!({ "state": state, "success": u8::from(success), "type": self.profile().body_type });
        if let (Some(source), Some(body)) = (source, body.as_object_mut()) {
            body.insert("trig_src".into(), json!(source));
        }
        text.push_str("\"body\":");
        text.push_str(&body.to_string());
        text.push('}');
        let update = if faults.acks_without_applying { ShadowUpdate::None } else { ShadowUpdate::Settings };
        publication(TopicKind::Out, text, update)
    }

    /// Builds the `state` of an acknowledgement: the family's fixed fields and those requested.
    pub(super) fn ack_state(&self, settings: &Settings, wanted: &ParsedCommand) -> Value {
        let mut state = Map::new();
        let mut put = |name: &str, value: Value| {
            state.insert(name.into(), value);
        };
        put("md", json!(settings.mode.wire()));
        put("sp", number(settings.degrees()));
        put("ho", json!(settings.hold));
        // No public source shows the acknowledgement of a hold with an end. One family reports the end here, the others
        // do not.
        if let (Some(until), Family::BaseboardV2) = (settings.until, self.family) {
            put("tm", json!(until));
        }
        put("lk", json!(u8::from(settings.lock)));
        match wanted.brightness {
            Some(_) => put("br", settings.brightness.to_json()),
            None => put("br", json!(settings.brightness.active)),
        }
        if wanted.proximity.is_some() {
            put("pr", json!(u8::from(settings.proximity)));
        }
        if self.family == Family::Floor {
            put("tr", json!(settings.tracked));
        }
        if self.family == Family::AirConditioner {
            // While heating, the fan speed is reported only if it was requested.
            if settings.mode != Mode::Heat || wanted.fan.is_some() {
                put("fn", json!(settings.fan));
            }
            put("ss", json!(settings.swing));
            put("ssh", json!(settings.swing_sideways));
            put("it", json!(u8::from(settings.climate_plus)));
        }
        Value::Object(state)
    }

    /// Builds a retained status of this age, with a setpoint one degree higher and a room one degree colder than now.
    /// Without an age, its time is 0.
    pub(crate) fn retained_status(&mut self, now: Now, age: Option<Duration>) -> String {
        let mut stamp = self.stamp(now, &DeviceFaults::default());
        let secs = |age: Duration| i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        stamp.time = age.map_or(0, |age| stamp.time.saturating_sub(secs(age)));
        let mut seen = self.seen(now);
        seen.setpoint += 1.0;
        seen.room -= 1.0;
        let mut text = String::new();
        self.family.write_status(&mut text, &stamp, &seen);
        text
    }

    pub(super) fn stamp(&mut self, now: Now, faults: &DeviceFaults) -> Stamp {
        // Above 2^53 as in captures, and the same in every run.
        self.sequence += 1;
        let id = hash(self.seed, self.sequence) >> 2 | 1 << 61;
        Stamp { device: self.id, time: now.wall.as_secs() + faults.clock_shift, id }
    }
}

/// Mean time between two batches.
pub(super) const BATCH_PERIOD: Duration = Duration::from_secs(900);

pub(super) const fn publication(kind: TopicKind, payload: String, update: ShadowUpdate) -> Emission {
    Emission::Publish { kind, at_least_once: false, payload, update }
}
