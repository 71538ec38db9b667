use alloc::vec::Vec;
use core::fmt;

use crate::model::ac::Setpoints;
use crate::{AcCapabilities, BodyType, Celsius, Family, Mode, ModeTable, SetpointRange, TrackedSensor};

/// Facts about one thermostat beyond its model that narrow the valid commands.
///
/// Every field is optional and can only narrow what the model allows. Limits that make no sense, such as -1, are ignored;
/// [`Limits::ignored`] lists them.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..Limits::default()` fills the rest")]
pub struct Limits<'a> {
    /// `MinSetpoint` of the device record: the user's own lower limit.
    pub min_setpoint: Option<Celsius>,
    /// `MaxSetpoint` of the device record: the user's own upper limit.
    pub max_setpoint: Option<Celsius>,
    /// Capabilities of an air conditioner. Ignored for every other device.
    pub ac: Option<&'a AcCapabilities>,
    /// Present mode, if known. Selects the capabilities in `ac` for a change that does not set a mode.
    pub mode: Option<Mode>,
    /// Tracked sensor, if known. An in-floor thermostat has a different number for heat with each sensor.
    pub tracked_sensor: Option<TrackedSensor>,
    /// `body.type` to use instead of the model's: a Lite whose record was edited to `BB-V2-0` still requires
    /// [`BodyType::BaseboardLite`].
    pub body_type: Option<BodyType>,
}

impl Limits<'_> {
    /// These limits without those that do not apply to the family.
    pub(crate) fn of(self, family: Family) -> Self {
        Self { ac: self.ac.filter(|_| family == Family::AirConditioner), ..self }
    }

    /// Range of the setpoint in a mode: that of the family, narrowed by the limits that are not [ignored](Self::ignored).
    /// `None` for a family without a setpoint.
    ///
    /// ```
    /// use mysa_proto::{Celsius, Family, Limits};
    ///
    /// let limits = Limits {
    ///     min_setpoint: Celsius::from_degrees(-1.0),
    ///     max_setpoint: Celsius::from_degrees(25.0),
    ///     ..Limits::default()
    /// };
    /// let range = limits.setpoint_range(Family::BaseboardV2, None).ok_or("no setpoint")?;
    /// assert_eq!(range.to_string(), "5 to 25 °C in steps of 0.5");
    /// assert_eq!(limits.ignored(Family::BaseboardV2)[0].to_string(), "MinSetpoint -1 is outside 5 to 30 °C");
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn setpoint_range(&self, family: Family, mode: Option<Mode>) -> Option<SetpointRange> {
        let number = mode.and_then(|mode| ModeTable::OBSERVED.number_of(mode, family, None));
        self.of(family).range(family, mode, number)
    }

    /// Setpoint to request in order to move from `present` by `hundredths` of a degree: a multiple of the
    /// step, rounded in the direction of the movement, and at least the next valid setpoint. It may be
    /// outside the range. `present` itself if `hundredths` is zero, or if the family has no setpoint.
    ///
    /// ```
    /// use mysa_proto::{Celsius, Family, Limits};
    ///
    /// let celsius = Celsius::from_hundredths;
    /// let step = |by| Limits::default().step(Family::AirConditioner, None, celsius(2_100), by);
    /// assert_eq!((step(50), step(-50), step(140)), (celsius(2_200), celsius(2_000), celsius(2_200)));
    /// ```
    #[must_use]
    pub fn step(&self, family: Family, mode: Option<Mode>, present: Celsius, hundredths: i32) -> Celsius {
        let Some(range) = self.setpoint_range(family, mode) else { return present };
        let (from, step) = (present.as_hundredths(), range.step.as_hundredths().max(1));
        let to = from.saturating_add(hundredths);
        let floor = |value: i32| value.div_euclid(step) * step;
        let ceiling = |value: i32| -(-value).div_euclid(step) * step;
        let moved = match hundredths.signum() {
            1 => floor(to.saturating_add(step / 2)).max(floor(from) + step),
            -1 => ceiling(to.saturating_sub(step / 2)).min(ceiling(from) - step),
            _ => return present,
        };
        // An air conditioner may list only some of the multiples.
        let next = match self.listed(family, mode) {
            Some(list) if hundredths > 0 => list.iter().filter(|one| one.as_hundredths() >= moved).min(),
            Some(list) => list.iter().filter(|one| one.as_hundredths() <= moved).max(),
            None => None,
        };
        next.copied().unwrap_or(Celsius::from_hundredths(moved))
    }

    fn listed(&self, family: Family, mode: Option<Mode>) -> Option<&[Celsius]> {
        let number = ModeTable::OBSERVED.number_of(mode.filter(|mode| *mode != Mode::Off)?, family, None)?;
        match self
            .ac
            .filter(|_| family == Family::AirConditioner)?
            .mode(number)?
            .setpoints(family.setpoint_range()?)?
        {
            Setpoints::List(list) => Some(list),
            Setpoints::Range(..) => None,
        }
    }

    /// Limits of the record that are ignored, because no thermostat of the family can have them: values outside its
    /// range, such as -1 or degrees Fahrenheit, and a lowest above the highest.
    #[must_use]
    pub fn ignored(&self, family: Family) -> Vec<IgnoredLimit> {
        let limits = self.of(family);
        let mut ignored = Vec::new();
        let Some(range) = family.setpoint_range() else { return ignored };
        narrow(range, (limits.min_setpoint, limits.max_setpoint), ["MinSetpoint", "MaxSetpoint"], |limit| {
            ignored.push(limit);
        });
        let Some(ac) = limits.ac else { return ignored };
        if let Some((min, max)) = ac.temperature_range {
            narrow(range, (Some(min), Some(max)), ["lowest of tempRange", "highest of tempRange"], |limit| {
                ignored.push(limit);
            });
        }
        let unusable =
            ac.modes.iter().filter(|mode| mode.temperatures.is_some() && mode.setpoints(range).is_none());
        ignored.extend(unusable.map(|mode| IgnoredLimit::Temperatures { number: mode.number, range }));
        ignored
    }

    /// Range of the setpoint in a mode, which is also given by its number. The limits are [of](Self::of) the family.
    pub(crate) fn range(
        &self,
        family: Family,
        mode: Option<Mode>,
        number: Option<i64>,
    ) -> Option<SetpointRange> {
        let family_range = family.setpoint_range()?;
        let mut range = family_range;
        if let Some(ac) = self.ac {
            if let Some((min, max)) = ac.temperature_range {
                range = intersect(range, narrow(family_range, (Some(min), Some(max)), [""; 2], |_| {}));
            }
            let listed = number.filter(|_| mode != Some(Mode::Off)).and_then(|number| ac.mode(number));
            if let Some(Setpoints::Range(min, max)) = listed.and_then(|mode| mode.setpoints(family_range)) {
                range = intersect(range, family_range.narrowed(Some(min), Some(max)));
            }
            // A finer step would widen the range.
            if let Some(step) =
                ac.temperature_step.filter(|step| *step > range.step && step.is_on_step(range.step))
            {
                range.step = step;
            }
        }
        let users = narrow(family_range, (self.min_setpoint, self.max_setpoint), [""; 2], |_| {});
        range = intersect(range, users);
        if family == Family::Central {
            match mode {
                Some(Mode::Heat | Mode::EmergencyHeat) => {
                    range = range.narrowed(None, Some(Celsius::from_hundredths(3_000)));
                }
                Some(Mode::Cool) => range = range.narrowed(Some(Celsius::from_hundredths(1_600)), None),
                _ => {}
            }
        }
        Some(range)
    }
}

/// Limit of a device record that is ignored. The text names the member and its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IgnoredLimit {
    /// The value is outside the range of the family.
    OutOfRange {
        /// Name of the member.
        name: &'static str,
        /// The value. Its unit is unknown.
        value: Celsius,
        /// Range of the family.
        range: SetpointRange,
    },
    /// The lowest value is above the highest.
    Crossed {
        /// Name of the lowest.
        name: &'static str,
        /// The lowest.
        min: Celsius,
        /// The highest.
        max: Celsius,
    },
    /// No temperature that the record lists for a mode is within the range of the family.
    Temperatures {
        /// Number of the mode.
        number: i64,
        /// Range of the family.
        range: SetpointRange,
    },
}

impl fmt::Display for IgnoredLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value has no unit in the text, because it may be in another unit than °C.
        match self {
            Self::OutOfRange { name, value, range } => {
                let (min, max) = (range.min.as_degrees(), range.max.as_degrees());
                write!(f, "{name} {} is outside {min} to {max} °C", value.as_degrees())
            }
            Self::Crossed { name, min, max } => {
                write!(f, "{name} {} is above the highest value, {}", min.as_degrees(), max.as_degrees())
            }
            Self::Temperatures { number, range } => {
                let (min, max) = (range.min.as_degrees(), range.max.as_degrees());
                write!(f, "all temperatures of mode {number} are outside {min} to {max} °C")
            }
        }
    }
}

/// Narrows the range of a family by two limits. Calls `ignored` for each limit that is ignored.
fn narrow(
    range: SetpointRange,
    (min, max): (Option<Celsius>, Option<Celsius>),
    [min_name, max_name]: [&'static str; 2],
    mut ignored: impl FnMut(IgnoredLimit),
) -> SetpointRange {
    if let (Some(min), Some(max)) = (min, max)
        && min > max
        && range.min <= min
        && max <= range.max
        && range.min <= max
        && min <= range.max
    {
        ignored(IgnoredLimit::Crossed { name: min_name, min, max });
        return range;
    }
    let mut inside = |name, limit: Option<Celsius>| {
        let value = limit?;
        if range.min <= value && value <= range.max {
            return Some(value);
        }
        ignored(IgnoredLimit::OutOfRange { name, value, range });
        None
    };
    range.narrowed(inside(min_name, min), inside(max_name, max))
}

/// Common part of two ranges; the first if there is none.
fn intersect(range: SetpointRange, other: SetpointRange) -> SetpointRange {
    let both = range.narrowed(Some(other.min), Some(other.max));
    if both.min <= both.max { both } else { range }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::AcModeCapabilities;

    fn degrees(degrees: f64) -> Celsius {
        Celsius::from_degrees(degrees).unwrap()
    }

    fn user(min: f64, max: f64) -> Limits<'static> {
        Limits { min_setpoint: Some(degrees(min)), max_setpoint: Some(degrees(max)), ..Limits::default() }
    }

    #[test]
    fn implausible_limits_are_ignored_and_listed() {
        for (family, min, max, range, expected) in [
            (Family::BaseboardV2, 10.0, 25.0, (10.0, 25.0), &[][..]),
            (
                Family::BaseboardV2,
                -1.0,
                -1.0,
                (5.0, 30.0),
                &["MinSetpoint -1 is outside 5 to 30 °C", "MaxSetpoint -1 is outside 5 to 30 °C"],
            ),
            (Family::BaseboardV2, 10.0, -1.0, (10.0, 30.0), &["MaxSetpoint -1 is outside 5 to 30 °C"]),
            (
                Family::BaseboardV2,
                0.0,
                0.0,
                (5.0, 30.0),
                &["MinSetpoint 0 is outside 5 to 30 °C", "MaxSetpoint 0 is outside 5 to 30 °C"],
            ),
            (
                Family::BaseboardV2,
                25.0,
                10.0,
                (5.0, 30.0),
                &["MinSetpoint 25 is above the highest value, 10"],
            ),
            (
                Family::BaseboardLite,
                41.0,
                86.0,
                (5.0, 30.0),
                &["MinSetpoint 41 is outside 5 to 30 °C", "MaxSetpoint 86 is outside 5 to 30 °C"],
            ),
            (
                Family::InFloor,
                41.0,
                86.0,
                (5.0, 40.0),
                &["MinSetpoint 41 is outside 5 to 40 °C", "MaxSetpoint 86 is outside 5 to 40 °C"],
            ),
            (Family::InFloor, 5.0, 40.0, (5.0, 40.0), &[]),
            (Family::BaseboardV1, 20.0, 20.0, (20.0, 20.0), &[]),
        ] {
            let limits = user(min, max);
            let found = limits.setpoint_range(family, None).unwrap();
            assert_eq!((found.min, found.max), (degrees(range.0), degrees(range.1)), "{min} to {max}");
            let ignored: Vec<_> = limits.ignored(family).iter().map(ToString::to_string).collect();
            assert_eq!(ignored, expected, "{min} to {max}");
        }
        assert_eq!(Limits::default().ignored(Family::BaseboardV2), []);
        assert_eq!(user(-1.0, -1.0).setpoint_range(Family::ClimateSensor, None), None);
    }

    fn ac(temperatures: Option<&[f64]>, range: Option<(f64, f64)>, step: Option<f64>) -> AcCapabilities {
        let list = |list: &[f64]| list.iter().map(|one| degrees(*one)).collect();
        AcCapabilities {
            temperature_range: range.map(|(min, max)| (degrees(min), degrees(max))),
            temperature_step: step.map(degrees),
            modes: vec![AcModeCapabilities {
                number: 4,
                temperatures: temperatures.map(list),
                ..AcModeCapabilities::default()
            }],
            ..AcCapabilities::default()
        }
    }

    #[test]
    fn implausible_limits_of_an_air_conditioner_do_not_narrow_its_range() {
        for (temperatures, range, cool, expected) in [
            (None, None, (16.0, 31.0), 0),
            (None, Some((18.0, 30.0)), (18.0, 30.0), 0),
            (None, Some((30.0, 18.0)), (16.0, 31.0), 1),
            (None, Some((61.0, 86.0)), (16.0, 31.0), 2),
            (None, Some((-1.0, -1.0)), (16.0, 31.0), 2),
            (Some(&[16.0, 30.0][..]), None, (16.0, 30.0), 0),
            (Some(&[30.0, 16.0]), None, (16.0, 30.0), 0),
            (Some(&[17.0, 30.0]), Some((18.0, 31.0)), (18.0, 30.0), 0),
            (Some(&[61.0, 86.0]), Some((18.0, 30.0)), (18.0, 30.0), 1),
            (Some(&[-1.0]), None, (16.0, 31.0), 1),
            (Some(&[]), None, (16.0, 31.0), 0),
        ] {
            let ac = ac(temperatures, range, None);
            let limits = Limits { ac: Some(&ac), ..Limits::default() };
            let found = limits.setpoint_range(Family::AirConditioner, Some(Mode::Cool)).unwrap();
            assert_eq!(
                (found.min, found.max),
                (degrees(cool.0), degrees(cool.1)),
                "{temperatures:?} {range:?}"
            );
            let ignored = limits.ignored(Family::AirConditioner);
            assert_eq!(ignored.len(), expected, "{ignored:?}");
        }
        // The lists of an air conditioner do not apply to a heater.
        let ac = ac(None, Some((30.0, 18.0)), None);
        assert_eq!(Limits { ac: Some(&ac), ..Limits::default() }.ignored(Family::BaseboardV2), []);
    }

    #[test]
    fn a_step_moves_in_its_direction_to_a_valid_setpoint() {
        let step = |limits: &Limits<'_>, family, from: f64, by: f64| {
            limits.step(family, Some(Mode::Cool), degrees(from), (by * 100.0) as i32).as_degrees()
        };
        let any = Limits::default();
        for (from, by, to) in [
            (20.0, 0.2, 20.5),
            (20.0, -0.2, 19.5),
            (20.0, 0.3, 20.5),
            (20.0, 0.7, 20.5),
            (20.0, 0.75, 21.0),
            (20.0, -0.75, 19.0),
            (20.3, 0.1, 20.5),
            (20.3, -0.1, 20.0),
            (20.0, 0.56, 20.5),
            (-0.2, -0.1, -0.5),
            (30.0, 0.5, 30.5),
        ] {
            assert_eq!(step(&any, Family::BaseboardV2, from, by), to, "{from} {by}");
        }
        assert_eq!(step(&any, Family::AirConditioner, 21.0, -0.5), 20.0);
        assert_eq!(step(&any, Family::ClimateSensor, 21.0, -0.5), 21.0);
        let even = ac(None, None, Some(2.0));
        let even = Limits { ac: Some(&even), ..any };
        assert_eq!(
            (step(&even, Family::AirConditioner, 20.0, 1.0), step(&even, Family::AirConditioner, 20.0, -1.0)),
            (22.0, 18.0)
        );
        let some = ac(Some(&[16.0, 20.0, 21.0, 26.0]), None, None);
        let some = Limits { ac: Some(&some), ..any };
        for (from, by, to) in [(21.0, 1.0, 26.0), (20.0, -1.0, 16.0), (20.0, 1.0, 21.0), (26.0, 1.0, 27.0)] {
            assert_eq!(step(&some, Family::AirConditioner, from, by), to, "{from} {by}");
        }
    }
}
