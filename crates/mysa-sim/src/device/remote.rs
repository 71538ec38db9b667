//! Remote controls that an air conditioner imitates: numbers of fan speeds, and capabilities in its record.

use alloc::string::String;

use serde_json::{Map, Value, json};

use crate::device::family::Mode;
use crate::device::parsed_command::ParsedCommand;

/// Remote control of an air conditioner, by the `CodeNum` of its record. There are two tables of fan speeds.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AcRemote {
    /// `2009`: speeds 1, 3, 5 and 7, listed for each mode.
    ///
    /// As one project captured it, except for two lists: that of the automatic mode contains only speed 1 in
    /// the capture, but another client uses it for all modes; the list for all modes is from other air
    /// conditioners.
    #[default]
    Numbered,
    /// `1117`: speeds 1, 2, 4 and 6, and capabilities without any list of speeds or positions; heating, cooling and
    /// drying only.
    Named,
}

impl AcRemote {
    /// Returns the remote control with this `CodeNum`.
    #[must_use]
    pub fn with_code(code: &str) -> Option<Self> {
        [Self::Numbered, Self::Named].into_iter().find(|remote| remote.code() == code)
    }

    /// `CodeNum` of the record.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Numbered => "2009",
            Self::Named => "1117",
        }
    }

    /// Numbers of the automatic speed and of three speeds from low to high.
    const fn speeds(self) -> [i64; 4] {
        match self {
            Self::Numbered => [1, 3, 5, 7],
            Self::Named => [1, 2, 4, 6],
        }
    }

    /// Highest setpoint, °C. The lowest is 16 °C.
    pub(crate) const fn highest(self) -> i32 {
        match self {
            Self::Numbered => 30,
            Self::Named => 31,
        }
    }

    pub(crate) const fn has_mode(self, mode: Mode) -> bool {
        match self {
            Self::Numbered => true,
            Self::Named => matches!(mode, Mode::Off | Mode::Heat | Mode::Cool | Mode::Dry),
        }
    }

    /// Returns the command that the air conditioner applies, or `None` if it refuses it. A speed that its
    /// remote control does not have becomes the lowest one, as observed with `1117`.
    pub(crate) fn translate(self, mut wanted: ParsedCommand) -> Option<ParsedCommand> {
        let is_valid = wanted.mode.is_none_or(|mode| self.has_mode(mode))
            && wanted.setpoint.is_none_or(|setpoint| setpoint <= 100 * self.highest());
        let speeds = self.speeds();
        wanted.fan = wanted.fan.map(|fan| if speeds.contains(&fan) { fan } else { speeds[1] });
        is_valid.then_some(wanted)
    }

    /// Members of the record that describe it.
    pub(crate) fn record(self) -> Map<String, Value> {
        let temperatures: alloc::vec::Vec<i32> = (16..=self.highest()).collect();
        let caps = match self {
            Self::Numbered => {
                let mode = |warm: bool, fan: &[i64], vertical: &[i64]| {
                    json!({
                        "temperatures": if warm { json!(temperatures) } else { json!([]) }, "fanSpeeds": fan,
                        "verticalSwing": vertical, "horizontalSwing": [],
                    })
                };
                let all = self.speeds();
                let swing = [3, 4, 5, 6, 7, 8];
                json!({
                    "tempRange": [16, 30], "version": "1.2", "temperatureStep": 1, "fanSpeeds": all,
                    "keys": [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 21, 39, 40],
                    "modes": {
                        "1": mode(false, &[], &[]), "2": mode(true, &all, &swing), "3": mode(true, &all, &swing), "4": mode(true, &all, &swing),
                        "5": mode(false, &all[1..], &swing), "6": mode(true, &all[..1], &swing),
                    },
                })
            }
            Self::Named => json!({
                "tempRange": [16, 31], "keys": [1, 2, 4, 5, 7, 8, 9, 10, 11, 13, 14, 47],
                "modes": {
                    "3": { "temperatures": temperatures }, "4": { "temperatures": temperatures },
                    "6": { "temperatures": [] },
                },
            }),
        };
        let mut record = json!({
            "MinSetpoint": 16, "MaxSetpoint": self.highest(), "CodeNum": self.code(), "SetupRequired": false,
            "IsThermostatic": true, "SupportedModes": caps["modes"], "SupportedKeys": caps["keys"], "modifiedKeys": [],
            "Brand": { "Brand": "Example", "Id": 42, "remoteModelNumber": "RM-1", "OEMBrand": "Example" },
        });
        if let Some(version) = caps.get("version") {
            record["SupportedCapsVersion"] = version.clone();
        }
        record["SupportedCaps"] = caps;
        match record {
            Value::Object(record) => record,
            _ => Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_speeds_belong_to_the_remote_control() {
        let record = AcRemote::Numbered.record();
        let modes = record["SupportedCaps"]["modes"].as_object().unwrap();
        let listed = |mode: &str| modes[mode]["fanSpeeds"].clone();
        assert_eq!((&record["CodeNum"], &record["SupportedCapsVersion"]), (&json!("2009"), &json!("1.2")));
        assert_eq!(
            (listed("4"), listed("5"), listed("6")),
            (json!([1, 3, 5, 7]), json!([3, 5, 7]), json!([1]))
        );
        let record = AcRemote::Named.record();
        assert_eq!(record["CodeNum"], "1117");
        assert!(!alloc::format!("{record:?}").contains("fanSpeeds"));
        assert_eq!(AcRemote::with_code("1117"), Some(AcRemote::Named));
        assert_eq!(AcRemote::with_code("1118"), None);
    }

    #[test]
    fn a_remote_control_limits_modes_and_fan_speeds() {
        let fan = |fan| ParsedCommand { fan: Some(fan), ..ParsedCommand::default() };
        let speed = |remote: AcRemote, code| remote.translate(fan(code)).unwrap().fan;
        assert_eq!([1, 3, 5, 7].map(|code| speed(AcRemote::Numbered, code)), [1, 3, 5, 7].map(Some));
        assert_eq!([1, 2, 4, 6].map(|code| speed(AcRemote::Named, code)), [1, 2, 4, 6].map(Some));
        assert_eq!((speed(AcRemote::Numbered, 4), speed(AcRemote::Named, 5)), (Some(3), Some(2)));
        let mode = |mode| ParsedCommand { mode: Some(mode), ..ParsedCommand::default() };
        assert!(AcRemote::Numbered.translate(mode(Mode::FanOnly)).is_some());
        assert_eq!(AcRemote::Named.translate(mode(Mode::FanOnly)), None);
        let warm = ParsedCommand { setpoint: Some(3_100), ..ParsedCommand::default() };
        assert_eq!(AcRemote::Numbered.translate(warm.clone()), None);
        assert_eq!(AcRemote::Named.translate(warm.clone()), Some(warm));
    }
}
