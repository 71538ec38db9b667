use core::fmt;
use core::str::FromStr;

use crate::{Family, TrackedSensor};

/// Operating mode of a thermostat.
///
/// MQTT messages ([`ModeTable`]) and the structured REST service ([`Mode::from_structured`]) number the modes
/// differently. A number without a known mode is kept as [`Mode::Other`] and cannot be commanded.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Mode {
    /// Does not heat or cool.
    Off,
    /// Heats or cools as needed. Air conditioners and central systems.
    Auto,
    /// Heats to the setpoint.
    Heat,
    /// Cools to the setpoint. Air conditioners and central systems.
    Cool,
    /// Moves air only. Air conditioners and central systems.
    FanOnly,
    /// Dries the air. Air conditioners.
    Dry,
    /// Heats with the auxiliary source. Central systems, structured service only.
    EmergencyHeat,
    /// Cools ahead of time. Structured service only.
    PreCool,
    /// Structured service only.
    Sleep,
    /// Number without a known mode.
    Other(i64),
}

impl Mode {
    /// Every named mode.
    pub const NAMED: [Self; 9] = [
        Self::Off,
        Self::Auto,
        Self::Heat,
        Self::Cool,
        Self::FanOnly,
        Self::Dry,
        Self::EmergencyHeat,
        Self::PreCool,
        Self::Sleep,
    ];

    /// Name in lower case, such as `heat` or `fan_only`; `other` for [`Mode::Other`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Heat => "heat",
            Self::Cool => "cool",
            Self::FanOnly => "fan_only",
            Self::Dry => "dry",
            Self::EmergencyHeat => "emergency_heat",
            Self::PreCool => "pre_cool",
            Self::Sleep => "sleep",
            Self::Other(_) => "other",
        }
    }

    /// Converts from `modes.mode` of the structured service: 0 off, 1 auto, 3 cool, 4 heat, 5 emergency heat, 6
    /// pre-cool, 7 fan only, 8 dry, 9 sleep. (mysa_client, 4 seen live.)
    #[must_use]
    pub fn from_structured(number: i64) -> Self {
        STRUCTURED.iter().find(|entry| entry.0 == number).map_or(Self::Other(number), |entry| entry.1)
    }

    /// Number in `modes.mode` of the structured service. `None` for [`Mode::Other`].
    #[must_use]
    pub fn to_structured(self) -> Option<i64> {
        STRUCTURED.iter().find(|entry| entry.1 == self).map(|entry| entry.0)
    }
}

const STRUCTURED: [(i64, Mode); 9] = [
    (0, Mode::Off),
    (1, Mode::Auto),
    (3, Mode::Cool),
    (4, Mode::Heat),
    (5, Mode::EmergencyHeat),
    (6, Mode::PreCool),
    (7, Mode::FanOnly),
    (8, Mode::Dry),
    (9, Mode::Sleep),
];

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "mode {number}"),
            named => f.pad(named.name()),
        }
    }
}

/// Error of [`Mode::from_str`]: the text is not the name of a mode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UnknownModeName;

impl fmt::Display for UnknownModeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid mode: expected ")?;
        for (at, mode) in Mode::NAMED.iter().enumerate() {
            write!(f, "{}{mode}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownModeName {}

impl FromStr for Mode {
    type Err = UnknownModeName;

    /// Parses a name as in [`Mode::name`], in either case and with `-` or `_`.
    fn from_str(text: &str) -> Result<Self, UnknownModeName> {
        let same = |name: &str| {
            name.len() == text.len()
                && name.bytes().zip(text.bytes()).all(|(a, b)| {
                    let b = if b == b'-' { b'_' } else { b.to_ascii_lowercase() };
                    a == b
                })
        };
        Self::NAMED.into_iter().find(|mode| same(mode.name())).ok_or(UnknownModeName)
    }
}

/// Table of the mode numbers in MQTT messages, in `TstatMode` of the REST state, and in schedules.
///
/// The witnesses disagree on the numbers of off and heat, and a client with the wrong table turns heaters **on** when
/// it should turn them off. Therefore every function takes the table as an argument. There are exactly two.
///
/// ```
/// use mysa_proto::{Family, Mode, ModeTable};
///
/// let table = ModeTable::OBSERVED;
/// assert_eq!(table.mode_of(3, Some(Family::BaseboardV2)), Mode::Heat);
/// assert_eq!(table.mode_of(77, Some(Family::BaseboardV2)), Mode::Other(77));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ModeTable {
    name: &'static str,
    entries: &'static [(i64, Mode)],
    /// Number for heat on an in-floor thermostat that tracks the room.
    ambient_heat: Option<i64>,
}

impl ModeTable {
    /// 1 off, 2 auto, 3 heat, 4 cool, 5 fan only, 6 dry; on in-floor thermostats 5 is heat that tracks the room.
    ///
    /// The default: five projects observed it, at least two of them independently, one in a live acknowledgement.
    pub const OBSERVED: Self = Self {
        name: "observed",
        entries: &[
            (1, Mode::Off),
            (2, Mode::Auto),
            (3, Mode::Heat),
            (4, Mode::Cool),
            (5, Mode::FanOnly),
            (6, Mode::Dry),
        ],
        ambient_heat: Some(5),
    };

    /// 1 heat, 3 off, and no other mode: the claim of the design document, contradicted by every other witness.
    pub const DESIGN_DOCUMENT: Self =
        Self { name: "design_document", entries: &[(1, Mode::Heat), (3, Mode::Off)], ambient_heat: None };

    /// `observed` or `design_document`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Table with this [`name`](ModeTable::name). `None` for any other name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::OBSERVED, Self::DESIGN_DOCUMENT].into_iter().find(|table| table.name == name)
    }

    /// Mode with this number. The family decides about 5, which is fan only on an air conditioner and heat on an
    /// in-floor thermostat; `None` means an unknown model.
    #[must_use]
    pub fn mode_of(&self, number: i64, family: Option<Family>) -> Mode {
        if family == Some(Family::InFloor) && self.ambient_heat == Some(number) {
            return Mode::Heat;
        }
        self.entries.iter().find(|entry| entry.0 == number).map_or(Mode::Other(number), |entry| entry.1)
    }

    /// Sensor that an in-floor thermostat tracks, if the number of its mode implies one.
    #[must_use]
    pub fn tracked_by(&self, number: i64, family: Option<Family>) -> Option<TrackedSensor> {
        (family == Some(Family::InFloor) && self.ambient_heat == Some(number))
            .then_some(TrackedSensor::Ambient)
    }

    /// Number of a mode. `None` if the table does not contain it.
    ///
    /// `tracked` is the sensor that an in-floor thermostat will track, if known: heat has a different number for each.
    #[must_use]
    pub fn number_of(&self, mode: Mode, family: Family, tracked: Option<TrackedSensor>) -> Option<i64> {
        if family == Family::InFloor
            && mode == Mode::Heat
            && tracked == Some(TrackedSensor::Ambient)
            && let Some(number) = self.ambient_heat
        {
            return Some(number);
        }
        self.entries.iter().find(|entry| entry.1 == mode).map(|entry| entry.0)
    }
}

impl Default for ModeTable {
    fn default() -> Self {
        Self::OBSERVED
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn off_and_heat_have_swapped_numbers_in_the_two_tables() {
        let family = Family::BaseboardV1;
        for (table, off, heat) in [(ModeTable::OBSERVED, 1, 3), (ModeTable::DESIGN_DOCUMENT, 3, 1)] {
            assert_eq!(table.number_of(Mode::Off, family, None), Some(off), "{}", table.name());
            assert_eq!(table.number_of(Mode::Heat, family, None), Some(heat), "{}", table.name());
            assert_eq!(table.mode_of(off, Some(family)), Mode::Off);
            assert_eq!(table.mode_of(heat, Some(family)), Mode::Heat);
        }
    }

    #[test]
    fn five_is_heat_on_an_in_floor_thermostat_and_fan_elsewhere() {
        let table = ModeTable::OBSERVED;
        assert_eq!(table.mode_of(5, Some(Family::InFloor)), Mode::Heat);
        assert_eq!(table.mode_of(5, Some(Family::AirConditioner)), Mode::FanOnly);
        assert_eq!(table.mode_of(5, None), Mode::FanOnly);
        let ambient = Some(TrackedSensor::Ambient);
        assert_eq!(table.number_of(Mode::Heat, Family::InFloor, ambient), Some(5));
        assert_eq!(table.number_of(Mode::Heat, Family::InFloor, None), Some(3));
        assert_eq!(table.number_of(Mode::Off, Family::InFloor, ambient), Some(1));
    }

    #[test]
    fn an_unknown_mode_number_is_kept_and_cannot_be_sent() {
        for number in [i64::MIN, -1, 0, 7, 77, i64::MAX] {
            let mode = ModeTable::OBSERVED.mode_of(number, None);
            assert_eq!(mode, Mode::Other(number));
            assert_eq!(ModeTable::OBSERVED.number_of(mode, Family::BaseboardV2, None), None);
            assert_eq!(mode.to_structured(), None);
        }
        assert_eq!(Mode::from_structured(2), Mode::Other(2));
    }

    #[test]
    fn a_mode_name_parses_to_its_mode() {
        for mode in Mode::NAMED {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("Fan-Only".parse(), Ok(Mode::FanOnly));
        assert_eq!("other".parse::<Mode>(), Err(UnknownModeName));
        assert_eq!("".parse::<Mode>(), Err(UnknownModeName));
    }

    #[test]
    fn a_table_is_found_by_its_name() {
        for (name, table) in
            [("observed", ModeTable::OBSERVED), ("design_document", ModeTable::DESIGN_DOCUMENT)]
        {
            assert_eq!(table.name(), name);
            assert_eq!(ModeTable::from_name(name), Some(table));
        }
        assert_eq!(ModeTable::from_name(""), None);
    }

    #[test]
    fn only_mode_five_of_an_in_floor_thermostat_implies_the_sensor() {
        let table = ModeTable::OBSERVED;
        assert_eq!(table.tracked_by(5, Some(Family::InFloor)), Some(TrackedSensor::Ambient));
        assert_eq!(table.tracked_by(3, Some(Family::InFloor)), None);
        assert_eq!(table.tracked_by(5, Some(Family::AirConditioner)), None);
        assert_eq!(table.tracked_by(5, None), None);
    }

    #[test]
    fn the_error_of_a_name_lists_every_name() {
        let text = UnknownModeName.to_string();
        assert!(text.starts_with("invalid mode: expected off, auto, heat, "), "{text}");
        assert!(Mode::NAMED.iter().all(|mode| text.contains(mode.name())), "{text}");
    }
}
