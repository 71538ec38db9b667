//! Incidents, such as a press of a button, cut connections and expired tokens.

use alloc::format;
use alloc::string::ToString as _;

use mysa_proto::{Celsius, DeviceId};
use serde_json::json;

use crate::Now;
use crate::cloud::Cloud;
use crate::device::command_record::Origin;
use crate::device::family::{Family, Mode};
use crate::device::parsed_command::ParsedCommand;
use crate::fault::Incident;
use crate::journal::{CloseReason, EventKind};
use crate::shadow::ShadowTopic;

impl Cloud {
    /// Presses the buttons of a thermostat. Returns `false` if it does not exist, is locked, or has no power.
    pub fn press(
        &mut self,
        now: Now,
        device: DeviceId,
        setpoint: Option<Celsius>,
        mode: Option<Mode>,
    ) -> bool {
        self.advance(now);
        let now = self.now;
        let Some(&index) = self.by_id.get(&device) else { return false };
        let thermostat = &self.devices[index].thermostat;
        let grid = thermostat.setpoints(mode.unwrap_or(thermostat.settings.mode));
        let setpoint = match setpoint {
            Some(setpoint) => {
                match crate::device::parsed_command::checked_setpoint(setpoint.as_degrees(), grid) {
                    Some(setpoint) => Some(setpoint),
                    None => return false,
                }
            }
            None => None,
        };
        if mode.is_some_and(|mode| !thermostat.has_mode(mode)) {
            return false;
        }
        let wanted = ParsedCommand { setpoint, mode, ..ParsedCommand::default() };
        let faults = self.faults.of_device(now.mono, device);
        let mut emissions = core::mem::take(&mut self.emissions);
        let pressed = self.devices[index].thermostat.press(now, &wanted, &faults, &mut emissions);
        self.emit(now, index, &mut emissions);
        self.emissions = emissions;
        self.reschedule(index);
        pressed
    }

    /// Applies an incident now, as [`crate::FaultPlan::events`] does at its time.
    pub fn act(&mut self, now: Now, incident: Incident) {
        self.advance(now);
        self.perform(self.now, incident);
    }

    pub(crate) fn perform(&mut self, now: Now, incident: Incident) {
        let device = incident.device();
        self.journal.add(now, || EventKind::Incident { what: incident.to_string(), device });
        match incident {
            Incident::CloseAll(closing) => {
                self.with_broker(now.mono, |broker, cx| broker.close_all(cx, closing, CloseReason::Fault));
            }
            Incident::RevokeTokens(name) => _ = self.pool.void_account(&name, now),
            Incident::ExpireTokens => self.pool.tokens.expire_all(now),
            Incident::ExpireCredentials => self.identities.expire_all(now),
            Incident::ChangePassword(name, password) => {
                if let Some(account) = self.pool.void_account(&name, now) {
                    self.pool.accounts[account].set_password(&password);
                }
            }
            Incident::Reboot(id) => {
                if let Some(&index) = self.by_id.get(&id) {
                    self.devices[index].thermostat.reboot(now);
                    self.reschedule(index);
                }
            }
            Incident::Press(id, degrees) => _ = self.press(now, id, Celsius::from_degrees(degrees), None),
            Incident::PressMode(id, mode) => _ = self.press(now, id, None, Some(mode)),
            Incident::Schedule(id, degrees, mode) => {
                self.send_command(now, id, Origin::Schedule, &wanted(Some(degrees), mode));
            }
            Incident::OtherApp(id, degrees, mode) => {
                self.send_command(now, id, Origin::OtherApp, &wanted(degrees, mode));
            }
            Incident::Publish(topic, payload) => {
                if topic.ends_with("/in")
                    || ShadowTopic::parse(&topic).is_some_and(|topic| topic.is_request())
                {
                    self.handle_publish(now, Origin::OtherApp, &topic, &payload);
                } else {
                    self.with_broker(now.mono, |broker, cx| broker.publish(cx, &topic, &payload, true));
                }
            }
            Incident::Remove(id) => self.set_removed(id, true),
            Incident::Restore(id) => self.set_removed(id, false),
            Incident::Rename(id, name) => {
                if let Some(&index) = self.by_id.get(&id) {
                    self.devices[index].record.insert("Name".into(), name.into());
                }
            }
        }
    }

    fn set_removed(&mut self, id: DeviceId, removed: bool) {
        if let Some(&index) = self.by_id.get(&id) {
            self.devices[index].removed = removed;
        }
    }

    /// Sends a thermostat the command of a schedule or of another app, through the broker like any other command.
    pub(crate) fn send_command(&mut self, now: Now, id: DeviceId, origin: Origin, wanted: &ParsedCommand) {
        let Some(&index) = self.by_id.get(&id) else { return };
        let device = &self.devices[index];
        if device.thermostat.family.has_shadows() {
            self.desire(now, origin, index, wanted);
            return;
        }
        if device.thermostat.family == Family::Silent {
            return;
        }
        self.forwarded += 1;
        let secs = now.wall.as_secs();
        let (source, request) = match origin {
            // The schedule service numbers its messages by seconds, so two in one second would share an id.
            Origin::Schedule => (json!({ "type": 302, "ref": "" }), secs + self.forwarded),
            _ => {
                let user = &self.pool.accounts[device.account].user_id;
                (json!({ "type": 100, "ref": user }), now.wall.as_millis() + self.forwarded)
            }
        };
        let command = json!({
            "ver": "1.0", "src": source, "dest": { "type": 1, "ref": id.as_str() }, "time": secs, "msg": 44,
            "id": request, "resp": 2,
            "body": { "ver": 1, "type": device.thermostat.family.profile().body_type, "cmd": [wanted.to_cmd()] },
        });
        self.publish_in(now, origin, &format!("/v1/dev/{id}/in"), command.to_string().as_bytes());
    }
}

/// A command with a setpoint and a mode. The thermostat itself refuses values that it does not support.
fn wanted(degrees: Option<f64>, mode: Option<Mode>) -> ParsedCommand {
    let setpoint = degrees.and_then(Celsius::from_degrees).map(Celsius::as_hundredths);
    ParsedCommand { setpoint, mode, ..ParsedCommand::default() }
}
