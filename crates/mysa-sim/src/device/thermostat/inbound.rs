//! Handling of messages and settings that reach a thermostat.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::TopicKind;
use serde_json::{Map, Value, json};

use super::outbound::publication;
use super::{Command, DeviceFaults, Emission, Job, ShadowUpdate, Thermostat};
use crate::Now;
use crate::device::command_record::Origin;
use crate::device::family::{Family, Mode};
use crate::device::message;
use crate::device::parsed_command::ParsedCommand;

/// A message in transit to a thermostat.
#[derive(Debug)]
pub(super) struct Delivery {
    payload: Vec<u8>,
    origin: Origin,
    taken_at: Now,
}

impl Thermostat {
    /// Accepts a message on the thermostat's `/in` topic. It arrives after a short latency and after earlier messages,
    /// because the broker keeps the order of a topic.
    pub(crate) fn deliver(&mut self, now: Now, origin: Origin, payload: &[u8], reorders: bool) {
        let latency = self.latency(40, 160);
        let at = in_order(&mut self.last_delivery, now.mono + latency, reorders);
        let delivery = Delivery { payload: payload.to_vec(), origin, taken_at: now };
        self.schedule(at, Job::Deliver(Box::new(delivery)));
    }

    /// Applies the settings of the device record.
    pub(crate) fn read_settings(&mut self, now: Now, record: &Map<String, Value>) {
        let percent =
            |name: &str| record.get(name).and_then(Value::as_i64).filter(|value| (0..=100).contains(value));
        let before = self.settings.clone();
        let brightness = &mut self.settings.brightness;
        brightness.active = percent("MaxBrightness").unwrap_or(brightness.active);
        brightness.idle = percent("MinBrightness").unwrap_or(brightness.idle);
        self.settings.lock = match record.get("ButtonState") {
            Some(Value::String(text)) => text.eq_ignore_ascii_case("locked"),
            Some(value) => value.as_i64() == Some(1),
            None => self.settings.lock,
        };
        if let Some(on) = record.get("ProximityMode").and_then(Value::as_bool) {
            self.settings.proximity = on;
        }
        if let Some(on) = record.get("IsThermostatic").and_then(Value::as_bool) {
            self.settings.climate_plus = on;
        }
        if let Some(tracked) = record.get("TrackedSensor").and_then(Value::as_i64) {
            self.settings.tracked = tracked;
        }
        if let Some(limit) = record.get("MaxFloorTemp").and_then(Value::as_f64) {
            self.floor_limit = limit;
        }
        if self.settings != before {
            self.revision += 1;
            let (lock, brightness) = (self.settings.lock, self.settings.brightness);
            let wanted = ParsedCommand {
                lock: Some(lock).filter(|&lock| lock != before.lock),
                brightness: Some(brightness).filter(|&brightness| brightness != before.brightness),
                ..ParsedCommand::default()
            };
            self.note(now, &wanted, &Command { request: None, origin: Origin::Record, taken_at: now }, true);
        }
    }

    pub(super) fn handle_message(
        &mut self,
        now: Now,
        faults: &DeviceFaults,
        delivery: &Delivery,
        out: &mut Vec<Emission>,
    ) {
        let message = serde_json::from_slice::<Value>(&delivery.payload);
        // A thermostat without topics does not receive messages that are published for its id.
        let Some(message) = message.ok().filter(|_| self.family.has_topics()) else {
            self.messages.ignored += 1;
            return;
        };
        let field = |name: &str| message.get(name).and_then(Value::as_i64);
        match (field("msg"), field("MsgType")) {
            (Some(44), _) => self.handle_command(now, faults, delivery, &message, out),
            (Some(34), _) => self.messages.dangerous += 1,
            (None, Some(11)) => {
                self.messages.live_requests += 1;
                if !faults.ignores_live {
                    let secs = field("Timeout").unwrap_or(180).clamp(1, 300).unsigned_abs();
                    self.live_until = now.mono + Duration::from_secs(secs);
                    let soon = now.mono + Duration::from_millis(300 + self.rng.below(1_000));
                    self.next_status = self.next_status.min(soon);
                }
            }
            (None, Some(6)) => match (field("EventType"), field("EchoID")) {
                (Some(0), _) => {
                    self.messages.settings_checks += 1;
                    out.push(Emission::ReadSettings);
                }
                (Some(0xffff_ffff), Some(echo)) => {
                    self.messages.echoes += 1;
                    self.answer_echo(now, faults, echo);
                }
                _ => self.messages.dangerous += 1,
            },
            (None, Some(40 | 5)) => {
                self.messages.dangerous += 1;
                self.answer_echo(now, faults, field("EchoID").unwrap_or(0));
                self.schedule(now.mono + Duration::from_secs(30), Job::Unpair);
            }
            (None, Some(7)) => {
                self.messages.dangerous += 1;
                self.schedule(now.mono + Duration::from_secs(1), Job::Boot);
            }
            _ => self.messages.other += 1,
        }
    }

    fn handle_command(
        &mut self,
        now: Now,
        faults: &DeviceFaults,
        delivery: &Delivery,
        message: &Value,
        out: &mut Vec<Emission>,
    ) {
        let body = message.get("body");
        let kind = body.and_then(|body| body.get("type")).and_then(Value::as_i64);
        let wanted =
            body.and_then(|body| body.get("cmd")).and_then(|cmd| ParsedCommand::read(cmd, self.family));
        let Some(wanted) = wanted.filter(|_| kind == Some(self.profile().body_type)) else {
            self.messages.ignored += 1;
            return;
        };
        let wanted = wanted.and_then(|wanted| self.translated(wanted).ok_or(()));
        self.messages.commands += 1;
        if faults.ignores_commands {
            return;
        }
        let request = message.get("id").and_then(Value::as_u64);
        let command = Command { request, origin: delivery.origin, taken_at: delivery.taken_at };
        let before = self.settings.degrees();
        let (success, state) = match wanted {
            // The acknowledgement claims the requested values, as if they had been applied.
            Ok(wanted) if faults.acks_without_applying => {
                (true, self.ack_state(&self.settings.with(&wanted, now.wall), &wanted))
            }
            Ok(wanted) if !faults.refuses_commands => {
                self.apply(now, &wanted, &command);
                (true, self.ack_state(&self.settings, &wanted))
            }
            refused => {
                let wanted = refused.unwrap_or_default();
                self.note(now, &wanted, &command, false);
                (false, self.ack_state(&self.settings, &ParsedCommand::default()))
            }
        };
        let after = self.settings.degrees();
        let by_schedule = command.origin == Origin::Schedule;
        if self.profile().reports_setpoint && before != after {
            self.report_setpoint(now, faults, before, if by_schedule { 1 } else { 3 }, out);
        }
        if faults.drops_acks {
            return;
        }
        let latency = self.latency(80, 400) + faults.ack_delay;
        // No capture contains an acknowledgement of a schedule's command, so its number is unknown.
        let trigger = (!by_schedule).then_some(3);
        let ack = self.ack(now, faults, request, success, trigger, state);
        let at = in_order(&mut self.last_ack, now.mono + latency, faults.reorders);
        self.schedule(at, Job::Publish(ack));
        if self.family == Family::AirConditioner && success {
            let mut text = String::new();
            let state =
                json!({ "1": u8::from(self.settings.mode != Mode::Off), "2": self.settings.mode.wire() });
            message::write_ac_state(&mut text, &self.stamp(now, faults), &state.to_string());
            self.schedule(at, Job::Publish(publication(TopicKind::Out, text, ShadowUpdate::None)));
        }
    }

    fn answer_echo(&mut self, now: Now, faults: &DeviceFaults, echo: i64) {
        let mut text = String::new();
        message::write_echo(&mut text, &self.stamp(now, faults), echo);
        let latency = self.latency(80, 300);
        self.schedule(
            now.mono + latency,
            Job::Publish(publication(TopicKind::Out, text, ShadowUpdate::None)),
        );
    }
}

/// Time of the next message: `at`, or that of the previous message if that is later.
pub(super) fn in_order(last: &mut Duration, at: Duration, reorders: bool) -> Duration {
    if reorders {
        return at;
    }
    *last = at.max(*last);
    *last
}
