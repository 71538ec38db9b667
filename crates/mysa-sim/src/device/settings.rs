use crate::device::family::Mode;
use crate::device::parsed_command::{Brightness, ParsedCommand};

/// Settings of a thermostat.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Hundredths of a degree.
    pub(crate) setpoint: i32,
    pub(crate) mode: Mode,
    /// 1: follows the schedule, 2: holds.
    pub(crate) hold: i64,
    pub(crate) until: Option<i64>,
    pub(crate) lock: bool,
    pub(crate) brightness: Brightness,
    pub(crate) proximity: bool,
    pub(crate) tracked: i64,
    pub(crate) fan: i64,
    pub(crate) swing: i64,
    pub(crate) swing_sideways: i64,
    pub(crate) climate_plus: bool,
}

impl Settings {
    pub(crate) fn degrees(&self) -> f64 {
        f64::from(self.setpoint) / 100.0
    }

    /// Returns these settings with the changes of a command applied.
    pub(crate) fn with(&self, wanted: &ParsedCommand) -> Self {
        let mut next = self.clone();
        let mode = wanted.mode.unwrap_or(next.mode);
        next.setpoint = wanted.setpoint.unwrap_or(next.setpoint);
        next.mode = mode;
        if let Some(hold) = wanted.hold {
            next.hold = hold;
            next.until = wanted.until.filter(|_| hold == 1);
        }
        next.lock = wanted.lock.unwrap_or(next.lock);
        next.brightness = wanted.brightness.unwrap_or(next.brightness);
        next.proximity = wanted.proximity.unwrap_or(next.proximity);
        next.tracked = wanted.tracked.unwrap_or(next.tracked);
        next.fan = wanted.fan.unwrap_or(next.fan);
        next.swing = wanted.swing.unwrap_or(next.swing);
        next.swing_sideways = wanted.swing_sideways.unwrap_or(next.swing_sideways);
        next.climate_plus = wanted.climate_plus.unwrap_or(next.climate_plus);
        next
    }
}
