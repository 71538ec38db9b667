mod meter;

pub use meter::EnergyMeter;

use core::fmt;

use crate::{Amperes, DutyCycle, Family, Volts, Watts};

/// Power of a thermostat, with its origin.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "a caller must state which of them it shows")]
pub enum Power {
    /// Measured by the thermostat's current sensor.
    Measured(Watts),
    /// Computed from the duty cycle and a rated power or an earlier current.
    Estimated(Watts),
    /// Unknown: there is neither a sensor nor a rated power.
    Unknown,
}

impl Power {
    /// Power in watts, measured or estimated.
    #[must_use]
    pub const fn watts(self) -> Option<Watts> {
        match self {
            Self::Measured(watts) | Self::Estimated(watts) => Some(watts),
            Self::Unknown => None,
        }
    }

    /// Origin of the power: `measured`, `estimated` or `unknown`.
    #[must_use]
    pub const fn basis(self) -> &'static str {
        match self {
            Self::Measured(_) => "measured",
            Self::Estimated(_) => "estimated",
            Self::Unknown => "unknown",
        }
    }

    /// Computes the power by the rule of the family:
    ///
    /// * Baseboard V1, live: current × voltage, measured. A current of zero gives zero at any voltage.
    /// * Baseboard V1, REST: current × voltage × duty, estimated, because the current is that of the last heating.
    /// * Baseboard V1 otherwise: duty × rated power, estimated.
    /// * Baseboard V2 and Lite: duty × rated power, [rounded](rated_power), estimated. The electrical fields of a Lite
    ///   are always zero and are ignored.
    /// * In-floor: relay × rated power, estimated. Its duty cycle is meaningless.
    /// * Any other family, or if a value is missing: unknown. A rated power of zero and a voltage of zero count as missing,
    ///   and so does a current of the last heating that is zero: a heater draws some.
    ///
    /// (The design document, mysa2mqtt, mysotherm and Mysa_HA, each for its own families.)
    ///
    /// ```
    /// use mysa_proto::{DutyCycle, Family, Load, Power, Watts};
    ///
    /// let duty = DutyCycle::from_fraction(0.42);
    /// let load = Load { duty, rated: Watts::from_watts(1000.0), ..Load::default() };
    /// let watts = Power::of(Family::BaseboardV2, &load).watts().map(Watts::as_watts);
    /// assert_eq!(watts, Some(420.0));
    /// assert_eq!(Power::of(Family::BaseboardV2, &load).to_string(), "420 W, estimated");
    /// assert_eq!(Power::of(Family::BaseboardV2, &Load { duty, ..Load::default() }), Power::Unknown);
    /// ```
    #[must_use]
    pub fn of(family: Family, load: &Load) -> Self {
        let rated = load.rated.filter(|rated| rated.as_watts() > 0.0);
        match family {
            Family::BaseboardV1 => {
                let voltage = load.voltage.filter(|voltage| voltage.as_volts() > 0.0);
                match (load.current, voltage, load.duty) {
                    (Some(LoadCurrent::Live(current)), _, _) if current.as_amperes() == 0.0 => {
                        Self::Measured(Watts::ZERO)
                    }
                    (Some(LoadCurrent::Live(current)), Some(voltage), _) => {
                        product(voltage.as_volts() * current.as_amperes())
                            .map_or(Self::Unknown, Self::Measured)
                    }
                    (Some(LoadCurrent::WhileOn(current)), Some(voltage), Some(duty))
                        if current.as_amperes() > 0.0 =>
                    {
                        average_power(voltage, current, duty).map_or(Self::Unknown, Self::Estimated)
                    }
                    _ => Self::by_duty(load.duty, rated),
                }
            }
            Family::BaseboardV2 | Family::BaseboardLite => Self::by_duty(load.duty, rated),
            Family::InFloor => match (load.relay, rated) {
                (Some(true), Some(rated)) => Self::Estimated(rated),
                (Some(false), Some(_)) => Self::Estimated(Watts::ZERO),
                _ => Self::Unknown,
            },
            Family::BaseboardV3 | Family::AirConditioner | Family::Central | Family::ClimateSensor => {
                Self::Unknown
            }
        }
    }
}

impl Power {
    fn by_duty(duty: Option<DutyCycle>, rated: Option<Watts>) -> Self {
        match (duty, rated) {
            (Some(duty), Some(rated)) => Self::Estimated(rated_power(duty, rated)),
            _ => Self::Unknown,
        }
    }
}

/// Formats the power and its origin, such as `420 W, estimated`, or `unknown`.
impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.watts() {
            Some(watts) => write!(f, "{watts}, {}", self.basis()),
            None => f.write_str(self.basis()),
        }
    }
}

/// Facts about a load; unknown ones are `None`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..Load::default()` fills the rest")]
pub struct Load {
    /// Current, with its meaning.
    pub current: Option<LoadCurrent>,
    /// Line voltage, measured or from the device record.
    pub voltage: Option<Volts>,
    /// Duty cycle.
    pub duty: Option<DutyCycle>,
    /// Relay of an in-floor thermostat (`heatStat`).
    pub relay: Option<bool>,
    /// Rated power of the heater, entered by its owner.
    pub rated: Option<Watts>,
}

/// Current of a load, which has different meanings in message 0 and in the REST state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a current has only these two meanings")]
pub enum LoadCurrent {
    /// Present current, zero while the heater is off. (Message 0.)
    Live(Amperes),
    /// Current of the last heating, unchanged while the heater is off. (REST state.)
    WhileOn(Amperes),
}

/// Rated power × duty, rounded to the nearest watt and halves to even, as in the design document.
///
/// ```
/// use mysa_proto::{DutyCycle, Watts, rated_power};
///
/// let half = DutyCycle::from_fraction(0.5).ok_or("not a duty cycle")?;
/// let watts = |watts| Watts::from_watts(watts).ok_or("not a power");
/// assert_eq!(rated_power(half, watts(1001.0)?), watts(500.0)?);
/// assert_eq!(rated_power(half, watts(1003.0)?), watts(502.0)?);
/// # Ok::<(), &str>(())
/// ```
#[must_use]
pub fn rated_power(duty: DutyCycle, rated: Watts) -> Watts {
    // The duty is at most one, so the product is within the range of the type.
    product(round_half_even(duty.as_fraction() * rated.as_watts())).unwrap_or(rated)
}

/// Voltage × current × duty: mean power of a load that draws this current while it is on. `None` only if the result
/// exceeds the range of [`Watts`]. Also applies to the batch readings of a Baseboard V2.
#[must_use]
pub fn average_power(voltage: Volts, current: Amperes, duty: DutyCycle) -> Option<Watts> {
    product(voltage.as_volts() * current.as_amperes() * duty.as_fraction())
}

fn product(watts: f64) -> Option<Watts> {
    Watts::from_watts(watts)
}

/// Rounds a value between zero and a million.
fn round_half_even(value: f64) -> f64 {
    // Adding 2^52 leaves no bits for a fraction, and the hardware rounds to even.
    const NO_FRACTION: f64 = 4_503_599_627_370_496.0;
    (value + NO_FRACTION) - NO_FRACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_watt_rounds_to_even() {
        for (value, rounded) in [
            (0.0, 0.0),
            (0.5, 0.0),
            (1.5, 2.0),
            (2.5, 2.0),
            (0.499_999_999_9, 0.0),
            (0.500_000_000_1, 1.0),
            (999_999.5, 1_000_000.0),
            (420.0, 420.0),
        ] {
            assert_eq!(round_half_even(value), rounded, "{value}");
        }
    }

    #[test]
    fn a_rated_power_of_zero_counts_as_missing() {
        let load = Load {
            duty: DutyCycle::from_fraction(1.0),
            relay: Some(true),
            rated: Watts::from_watts(0.0),
            ..Load::default()
        };
        for family in [Family::BaseboardV2, Family::BaseboardLite, Family::InFloor] {
            assert_eq!(Power::of(family, &load), Power::Unknown, "{family}");
        }
    }

    #[test]
    fn a_power_never_contradicts_its_own_current() {
        let amperes = |amperes| Amperes::from_amperes(amperes).unwrap();
        let live = Some(LoadCurrent::Live(amperes(6.25)));
        let volts = Volts::from_volts;
        let duty = DutyCycle::from_fraction(0.5);
        let of = |load: Load| Power::of(Family::BaseboardV1, &load);
        let watts = |watts| Watts::from_watts(watts).unwrap();
        let load = Load { current: live, voltage: volts(0.0), ..Load::default() };
        assert_eq!(of(load), Power::Unknown, "0 V contradicts a current of 6 A");
        assert_eq!(of(Load { voltage: volts(240.0), ..load }), Power::Measured(watts(1_500.0)));
        let next = Load { duty, rated: Watts::from_watts(2_000.0), ..load };
        assert_eq!(of(next), Power::Estimated(watts(1_000.0)), "by duty cycle and rated power");
        let last = |current| Load { current: Some(LoadCurrent::WhileOn(amperes(current))), ..next };
        assert_eq!(of(Load { voltage: volts(240.0), ..last(0.0) }), Power::Estimated(watts(1_000.0)));
        assert_eq!(of(Load { rated: None, voltage: volts(240.0), ..last(0.0) }), Power::Unknown);
        assert_eq!(of(Load { voltage: volts(240.0), ..last(5.0) }), Power::Estimated(watts(600.0)));
    }

    #[test]
    fn zero_current_is_zero_power_at_any_voltage() {
        let current = Amperes::from_amperes(0.0).map(LoadCurrent::Live);
        let load = Load { current, ..Load::default() };
        assert_eq!(Power::of(Family::BaseboardV1, &load), Power::Measured(Watts::ZERO));
    }
}
