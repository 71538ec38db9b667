//! Control of a thermostat by shadows: differences that reach it, and its reports.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use super::inbound::in_order;
use super::{Command, DeviceFaults, Emission, Job, ShadowUpdate, Thermostat};
use crate::Now;
use crate::device::command_record::Origin;
use crate::device::family::{Family, Mode};
use crate::device::parsed_command::ParsedCommand;
use crate::shadow::section;

/// Sections of a thermostat that has shadows, in the units of the shadows.
#[derive(Debug, Default)]
pub(super) struct Twin {
    /// Values that are not settings of its control.
    stored: BTreeMap<&'static str, Map<String, Value>>,
    /// Values of its last reports.
    reported: BTreeMap<&'static str, Map<String, Value>>,
    /// `true` while it is connected to the cloud.
    connected: bool,
}

/// Desired values of a shadow in transit to a thermostat.
#[derive(Debug)]
pub(super) struct Delta {
    section: String,
    wanted: Map<String, Value>,
    origin: Origin,
    taken_at: Now,
}

impl Twin {
    /// Sections at the start, which the cloud knows.
    pub(super) fn of(thermostat: &Thermostat) -> Self {
        let names = || section::names(thermostat.family);
        let stored = names().map(|name| (name, section::at_the_start(name))).collect();
        let mut twin = Self { stored, reported: BTreeMap::new(), connected: true };
        twin.reported = names().map(|name| (name, twin.section(thermostat, name))).collect();
        twin
    }

    fn section(&self, thermostat: &Thermostat, name: &'static str) -> Map<String, Value> {
        let mut values = self.stored.get(name).cloned().unwrap_or_default();
        values.extend(section::of_settings(thermostat.family, name, &thermostat.settings));
        if name == "modes" && thermostat.family == Family::CentralHvac {
            values.insert(section::ACTIVITY.into(), json!(thermostat.activity()));
        }
        values
    }

    /// Returns the values that have changed since the last report, and takes them as reported.
    fn take_changes(&mut self, thermostat: &Thermostat) -> Vec<(&'static str, Map<String, Value>)> {
        let mut changes = Vec::new();
        for name in section::names(thermostat.family) {
            let now = self.section(thermostat, name);
            let reported = self.reported.entry(name).or_default();
            let changed = now.iter().filter(|(name, value)| reported.get(*name) != Some(value));
            let changed: Map<String, Value> =
                changed.map(|(name, value)| (name.clone(), value.clone())).collect();
            if !changed.is_empty() {
                changes.push((name, changed));
                *reported = now;
            }
        }
        changes
    }
}

impl Thermostat {
    /// Values of one of its sections in the units of a shadow; `None` if it has no shadows.
    pub(crate) fn section(&self, name: &'static str) -> Option<Map<String, Value>> {
        self.twin.as_ref().map(|twin| twin.section(self, name))
    }

    /// Bits of `hvacStates`: heating, cooling and fan, by the one source that names them.
    pub(crate) fn activity(&self) -> i64 {
        let heat = self.room.drive().heat;
        let fan =
            if heat != 0.0 || self.settings.fan != FAN_AUTO && self.settings.fan != 0 { 8_192 } else { 0 };
        match heat {
            heat if heat > 0.0 => 256 + fan,
            heat if heat < 0.0 => 1_024 + fan,
            _ => fan,
        }
    }

    /// Accepts the desired values of a shadow. They arrive after a short latency and after earlier ones.
    pub(crate) fn deliver_delta(
        &mut self,
        now: Now,
        origin: Origin,
        section: &str,
        wanted: Map<String, Value>,
    ) {
        let latency = self.latency(40, 160);
        let at = in_order(&mut self.last_delivery, now.mono + latency, false);
        let delta = Delta { section: section.into(), wanted, origin, taken_at: now };
        self.schedule(at, Job::TakeDelta(Box::new(delta)));
    }

    pub(super) fn handle_delta(
        &mut self,
        now: Now,
        faults: &DeviceFaults,
        delta: &Delta,
        out: &mut Vec<Emission>,
    ) {
        let known = section::known(self.family, &delta.section, &delta.wanted);
        let Some((name, known)) = known.filter(|(_, known)| !known.is_empty()) else {
            self.messages.ignored += 1;
            return;
        };
        // The update may contain only a new `source` for values that are already in force.
        let is_command = known.keys().any(|name| name != section::SOURCE);
        self.messages.commands += u64::from(is_command);
        if faults.ignores_commands {
            return;
        }
        if faults.acks_without_applying {
            out.push(Emission::Report {
                section: name,
                desired: Map::new(),
                reported: known,
                update: ShadowUpdate::None,
            });
            return;
        }
        let mut values = self.section(name).unwrap_or_default();
        values.extend(known.clone());
        let read = section::read(self.family, name, &section::from_shadow(&values), &self.settings);
        let command = Command { request: None, origin: delta.origin, taken_at: delta.taken_at };
        match read {
            Ok(wanted) if !faults.refuses_commands => {
                let wanted = self.only_changes(wanted);
                let settings = section::of_settings(self.family, name, &self.settings);
                if let Some(stored) = self.twin.as_mut().and_then(|twin| twin.stored.get_mut(name)) {
                    stored.extend(known.into_iter().filter(|(name, _)| !settings.contains_key(name)));
                }
                if is_command {
                    self.apply(now, &wanted, &command);
                }
                if !faults.drops_acks {
                    let latency = self.latency(80, 400) + faults.ack_delay;
                    let at = in_order(&mut self.last_ack, now.mono + latency, faults.reorders);
                    self.schedule(at, Job::Report);
                }
            }
            refused => self.note(now, &refused.unwrap_or_default(), &command, false),
        }
    }

    /// Reports changes that are not reported yet, unless a report is in transit or a fault loses it.
    pub(super) fn report_changes(&mut self, now: Now, faults: &DeviceFaults, out: &mut Vec<Emission>) {
        if faults.drops_acks || !self.is_reachable(faults) || now.mono < self.last_ack {
            return;
        }
        for (section, reported) in self.take_changes() {
            out.push(Emission::Report {
                section,
                desired: Map::new(),
                reported,
                update: ShadowUpdate::Settings,
            });
        }
    }

    /// Reports changes made at the thermostat, and sets them as desired.
    pub(super) fn report_press(&mut self, out: &mut Vec<Emission>) {
        for (section, reported) in self.take_changes() {
            let desired = section::desirable(&reported);
            out.push(Emission::Report { section, desired, reported, update: ShadowUpdate::Settings });
        }
    }

    /// Requests missed changes, once after each reconnection.
    pub(super) fn look_for_differences(&mut self, faults: &DeviceFaults, out: &mut Vec<Emission>) {
        let reachable = self.is_reachable(faults);
        if let Some(twin) = &mut self.twin {
            if reachable && !twin.connected {
                out.push(Emission::ReadShadows);
            }
            twin.connected = reachable;
        }
    }

    fn take_changes(&mut self) -> Vec<(&'static str, Map<String, Value>)> {
        let Some(mut twin) = self.twin.take() else { return Vec::new() };
        let changes = twin.take_changes(self);
        self.twin = Some(twin);
        changes
    }

    /// Returns a command with its setpoint moved to the one of three setpoints that a central thermostat has
    /// for the mode.
    pub(crate) fn aimed(&self, wanted: &ParsedCommand) -> ParsedCommand {
        let mut aimed = wanted.clone();
        let (Some(central), Some(setpoint)) = (self.settings.central, wanted.setpoint) else { return aimed };
        match wanted.mode.unwrap_or(self.settings.mode) {
            Mode::Cool => {
                aimed.setpoint = None;
                aimed.cool = Some(setpoint);
            }
            Mode::Auto => {
                aimed.setpoint = None;
                aimed.auto_heat = Some(setpoint);
                aimed.auto_cool = Some(central.auto_cool.max(setpoint + AUTO_BAND));
            }
            _ => {}
        }
        aimed
    }

    /// Removes values in force from a command, because a section is read as a whole.
    fn only_changes(&self, mut wanted: ParsedCommand) -> ParsedCommand {
        fn changed<T: PartialEq>(wanted: &mut Option<T>, held: Option<T>) {
            if *wanted == held {
                *wanted = None;
            }
        }
        let settings = &self.settings;
        changed(&mut wanted.setpoint, Some(settings.setpoint));
        changed(&mut wanted.mode, Some(settings.mode));
        changed(&mut wanted.fan, Some(settings.fan));
        changed(&mut wanted.lock, Some(settings.lock));
        changed(&mut wanted.brightness, Some(settings.brightness));
        changed(&mut wanted.cool, settings.central.map(|central| central.cool));
        changed(&mut wanted.auto_heat, settings.central.map(|central| central.auto_heat));
        changed(&mut wanted.auto_cool, settings.central.map(|central| central.auto_cool));
        wanted
    }
}

/// `fan_mode` of a fan that runs as needed.
pub(super) const FAN_AUTO: i64 = 9;
/// Least distance of the two setpoints of the automatic mode, in hundredths of a degree.
const AUTO_BAND: i32 = 200;
