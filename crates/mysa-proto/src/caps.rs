use alloc::string::String;
use alloc::vec::Vec;

use crate::{Celsius, FanSpeed, Mode, Swing};

/// What an air conditioner's remote control can do, mode by mode: `SupportedCaps` of its device record.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..SupportedCaps::default()` fills the rest")]
pub struct SupportedCaps {
    /// `tempRange`: lowest and highest setpoint.
    pub temperature_range: Option<(Celsius, Celsius)>,
    /// `temperatureStep`.
    pub temperature_step: Option<Celsius>,
    /// `modes` (or `SupportedModes` of the record), in the order it has there.
    pub modes: Vec<ModeCaps>,
    /// `fanSpeeds` of the whole device.
    pub fan_speeds: Vec<FanSpeed>,
    /// `modifiedKeys` of the record: if not empty, the keys the remote control really has.
    pub modified_keys: Vec<u8>,
    /// `CodeNum` of the record: which remote control it is.
    pub code_number: Option<String>,
}

/// What an air conditioner offers in one mode.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..ModeCaps::default()` fills the rest")]
pub struct ModeCaps {
    /// Number of the mode, as MQTT messages number it.
    pub number: i64,
    /// Setpoints it takes; empty where the mode has none.
    pub temperatures: Vec<Celsius>,
    /// Fan speeds it offers.
    pub fan_speeds: Vec<FanSpeed>,
    /// Vertical directions it offers.
    pub vertical_swing: Vec<Swing>,
    /// Horizontal directions it offers.
    pub horizontal_swing: Vec<Swing>,
}

impl SupportedCaps {
    /// What it offers in the mode with that number. `None` if the record does not list the mode.
    #[must_use]
    pub fn mode(&self, number: i64) -> Option<&ModeCaps> {
        self.modes.iter().find(|mode| mode.number == number)
    }

    /// The fan speeds to offer in a mode, given also by its number. Give `None` twice where the mode is not known.
    ///
    /// The list of the mode; without one, that of the device; without one, all that any mode has; without any, what
    /// mysa-js-sdk found by the remote control: 1/2/4/6 for code 1117 and 1/3/5/7/8 for the rest. Drying leaves the
    /// fan on automatic. Speeds whose key a changed remote control lacks are left out.
    #[must_use]
    pub fn fan_speeds(&self, mode: Option<Mode>, number: Option<i64>) -> Vec<FanSpeed> {
        let mut offered = self.fan_speeds_by_list(number);
        if mode == Some(Mode::Dry) {
            offered.retain(|speed| *speed == FanSpeed::AUTO);
        }
        if !self.modified_keys.is_empty() {
            offered.retain(|speed| fan_key(*speed).is_none_or(|key| self.modified_keys.contains(&key)));
        }
        offered
    }

    fn fan_speeds_by_list(&self, number: Option<i64>) -> Vec<FanSpeed> {
        if let Some(mode) = number.and_then(|number| self.mode(number)) {
            return mode.fan_speeds.clone();
        }
        if !self.fan_speeds.is_empty() {
            return self.fan_speeds.clone();
        }
        let any = self.union(|mode| &mode.fan_speeds);
        if !any.is_empty() {
            return any;
        }
        let codes: &[u8] =
            if self.code_number.as_deref() == Some("1117") { &[1, 2, 4, 6] } else { &[1, 3, 5, 7, 8] };
        codes.iter().copied().map(FanSpeed::from_code).collect()
    }

    /// The vertical directions to offer in the mode with that number; those of all modes where it is not known.
    #[must_use]
    pub fn vertical_swing(&self, number: Option<i64>) -> Vec<Swing> {
        self.swing(number, &[12, 39, 40, 47], |mode| &mode.vertical_swing)
    }

    /// The horizontal directions to offer in the mode with that number; those of all modes where it is not known.
    #[must_use]
    pub fn horizontal_swing(&self, number: Option<i64>) -> Vec<Swing> {
        self.swing(number, &[15, 41, 42], |mode| &mode.horizontal_swing)
    }

    fn swing(&self, number: Option<i64>, keys: &[u8], list: impl Fn(&ModeCaps) -> &Vec<Swing>) -> Vec<Swing> {
        if !self.modified_keys.is_empty() && !keys.iter().any(|key| self.modified_keys.contains(key)) {
            return Vec::new();
        }
        match number.and_then(|number| self.mode(number)) {
            Some(mode) => list(mode).clone(),
            None => self.union(list),
        }
    }

    fn union<T: Copy + PartialEq>(&self, list: impl Fn(&ModeCaps) -> &Vec<T>) -> Vec<T> {
        let mut union = Vec::new();
        for item in self.modes.iter().flat_map(list) {
            if !union.contains(item) {
                union.push(*item);
            }
        }
        union
    }
}

/// The infrared key of a speed. (mysa_client.)
const fn fan_key(speed: FanSpeed) -> Option<u8> {
    Some(match speed.code() {
        1 => 8,
        2 | 3 => 9,
        4 | 5 => 10,
        6 | 7 => 11,
        8 => 16,
        9 => 17,
        10 => 18,
        11 => 19,
        12 => 20,
        _ => return None,
    })
}
