use mysa_proto::UnixTime;

use crate::device::family::Mode;
use crate::device::parsed_command::{Brightness, ParsedCommand};

/// Settings of a thermostat.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Hundredths of a degree.
    pub(crate) setpoint: i32,
    pub(crate) mode: Mode,
    /// 1: follows the schedule, or holds until `until`; 2: holds.
    pub(crate) hold: i64,
    /// End of a hold in Unix seconds.
    pub(crate) until: Option<i64>,
    pub(crate) lock: bool,
    pub(crate) brightness: Brightness,
    pub(crate) proximity: bool,
    pub(crate) tracked: i64,
    pub(crate) fan: i64,
    pub(crate) swing: i64,
    pub(crate) swing_sideways: i64,
    pub(crate) climate_plus: bool,
    /// Further setpoints of central HVAC; `setpoint` is that for heating.
    pub(crate) central: Option<CentralSetpoints>,
}

/// Setpoints of central HVAC for cooling and for its automatic mode, in hundredths of a degree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CentralSetpoints {
    pub(crate) cool: i32,
    pub(crate) auto_heat: i32,
    pub(crate) auto_cool: i32,
}

/// Times at which the cloud saw each setting change last, in Unix seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SettingTimes {
    pub(crate) setpoint: i64,
    pub(crate) mode: i64,
    pub(crate) hold: i64,
    pub(crate) lock: i64,
    pub(crate) brightness: i64,
    pub(crate) tracked: i64,
    pub(crate) fan: i64,
    pub(crate) swing: i64,
    pub(crate) swing_sideways: i64,
    pub(crate) climate_plus: i64,
}

impl SettingTimes {
    pub(crate) const fn new(at: i64) -> Self {
        Self {
            setpoint: at,
            mode: at,
            hold: at,
            lock: at,
            brightness: at,
            tracked: at,
            fan: at,
            swing: at,
            swing_sideways: at,
            climate_plus: at,
        }
    }

    /// Sets the times of the settings that differ to `at`. A setting that keeps its value keeps its time.
    pub(crate) fn update(&mut self, at: i64, old: &Settings, new: &Settings) {
        for (time, differs) in [
            (&mut self.setpoint, old.in_force() != new.in_force()),
            (&mut self.mode, old.mode != new.mode),
            (&mut self.hold, (old.hold, old.until) != (new.hold, new.until)),
            (&mut self.lock, old.lock != new.lock),
            (&mut self.brightness, old.brightness != new.brightness),
            (&mut self.tracked, old.tracked != new.tracked),
            (&mut self.fan, old.fan != new.fan),
            (&mut self.swing, old.swing != new.swing),
            (&mut self.swing_sideways, old.swing_sideways != new.swing_sideways),
            (&mut self.climate_plus, old.climate_plus != new.climate_plus),
        ] {
            if differs {
                *time = at;
            }
        }
    }

    /// Time of the structured service's section of modes, fan and swing.
    pub(crate) fn modes(&self) -> i64 {
        self.mode.max(self.fan).max(self.swing).max(self.swing_sideways)
    }
}

impl Settings {
    /// Setpoint in force, °C.
    pub(crate) fn degrees(&self) -> f64 {
        f64::from(self.in_force()) / 100.0
    }

    /// Setpoint in force, in hundredths of a degree. In the automatic mode of central HVAC, it is that for heating.
    pub(crate) fn in_force(&self) -> i32 {
        match (self.mode, self.central) {
            (Mode::Cool, Some(central)) => central.cool,
            (Mode::Auto, Some(central)) => central.auto_heat,
            _ => self.setpoint,
        }
    }

    /// Returns `true` if the schedule does not set its setpoint.
    pub(crate) const fn holds(&self) -> bool {
        self.hold == 2 || self.until.is_some()
    }

    /// Returns these settings with the changes of a command applied at `now`. A hold that has ended already follows the
    /// schedule.
    pub(crate) fn with(&self, wanted: &ParsedCommand, now: UnixTime) -> Self {
        let mut next = self.clone();
        let mode = wanted.mode.unwrap_or(next.mode);
        next.setpoint = wanted.setpoint.unwrap_or(next.setpoint);
        next.mode = mode;
        if let Some(hold) = wanted.hold {
            next.hold = hold;
            next.until = wanted.until.filter(|&until| hold == 1 && until > now.as_secs());
        }
        next.lock = wanted.lock.unwrap_or(next.lock);
        next.brightness = wanted.brightness.unwrap_or(next.brightness);
        next.proximity = wanted.proximity.unwrap_or(next.proximity);
        next.tracked = wanted.tracked.unwrap_or(next.tracked);
        next.fan = wanted.fan.unwrap_or(next.fan);
        next.swing = wanted.swing.unwrap_or(next.swing);
        next.swing_sideways = wanted.swing_sideways.unwrap_or(next.swing_sideways);
        if let Some(central) = &mut next.central {
            central.cool = wanted.cool.unwrap_or(central.cool);
            central.auto_heat = wanted.auto_heat.unwrap_or(central.auto_heat);
            central.auto_cool = wanted.auto_cool.unwrap_or(central.auto_cool);
        }
        next.climate_plus = wanted.climate_plus.unwrap_or(next.climate_plus);
        next
    }
}
