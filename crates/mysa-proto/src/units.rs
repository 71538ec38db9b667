use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

/// Temperature in hundredths of a degree Celsius, so that equality is exact.
///
/// Conversion between whole degrees Fahrenheit and the half degrees of a thermostat is lossless:
///
/// ```
/// use mysa_proto::Celsius;
///
/// let typed = Celsius::from_fahrenheit(71.0).ok_or("not a temperature")?;
/// let on_device = typed.to_step(Celsius::from_hundredths(50));
/// assert_eq!(on_device.as_degrees(), 21.5);
/// assert_eq!(on_device.to_fahrenheit().round(), 71.0);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Celsius(i32);

impl Celsius {
    const MIN: f64 = -273.15;
    const MAX: f64 = 1_000.0;

    /// Converts degrees Celsius, rounded to the nearest hundredth. `None` below absolute zero, above 1000 °C, and for
    /// NaN.
    #[must_use]
    pub fn from_degrees(degrees: f64) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&degrees).then(|| Self(round(degrees * 100.0)))
    }

    /// Converts degrees Fahrenheit, with the same limits.
    #[must_use]
    pub fn from_fahrenheit(degrees: f64) -> Option<Self> {
        Self::from_degrees((degrees - 32.0) / 1.8)
    }

    /// Converts hundredths of a degree Celsius.
    #[must_use]
    pub const fn from_hundredths(hundredths: i32) -> Self {
        Self(hundredths)
    }

    /// Degrees Celsius.
    #[must_use]
    pub fn as_degrees(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Hundredths of a degree Celsius.
    #[must_use]
    pub const fn as_hundredths(self) -> i32 {
        self.0
    }

    /// Degrees Fahrenheit.
    #[must_use]
    pub fn to_fahrenheit(self) -> f64 {
        (f64::from(self.0) * 9.0 + 16_000.0) / 500.0
    }

    /// Nearest multiple of `step`; halfway rounds up. A step of zero or less returns the value unchanged.
    #[must_use]
    pub const fn to_step(self, step: Self) -> Self {
        if step.0 <= 0 {
            return self;
        }
        Self((self.0 + step.0 / 2).div_euclid(step.0) * step.0)
    }

    /// True if the value is a multiple of `step`.
    #[must_use]
    pub const fn is_on_step(self, step: Self) -> bool {
        step.0 <= 0 || self.0.rem_euclid(step.0) == 0
    }
}

/// Error of [`Celsius::from_str`]: the text is not a temperature in range.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct InvalidCelsius;

impl fmt::Display for InvalidCelsius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid temperature: expected degrees Celsius such as 21.5, from -273.15 to 1000")
    }
}

impl core::error::Error for InvalidCelsius {}

impl FromStr for Celsius {
    type Err = InvalidCelsius;

    /// Parses degrees Celsius, with or without the unit `°C`.
    fn from_str(text: &str) -> Result<Self, InvalidCelsius> {
        let number = text.trim().trim_end_matches("°C").trim_end();
        number.parse().ok().and_then(Self::from_degrees).ok_or(InvalidCelsius)
    }
}

impl fmt::Display for Celsius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} °C", self.as_degrees())
    }
}

/// Nearest integer, halves away from zero. The callers have checked the range.
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and the range was checked")]
const fn round(value: f64) -> i32 {
    if value < 0.0 { (value - 0.5) as i32 } else { (value + 0.5) as i32 }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $from:ident, $as:ident, $range:expr, $unit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name(f64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0.0);

            #[doc = concat!("Converts a number in the unit of [`Self::", stringify!($as), "`].")]
            /// `None` outside the range of the type, and for NaN.
            #[must_use]
            pub fn $from(value: f64) -> Option<Self> {
                // Adding zero turns the -0.0 that some firmware prints into 0.0.
                ($range).contains(&value).then_some(Self(value + 0.0))
            }

            /// Number in the unit of the constructor.
            #[must_use]
            pub const fn $as(self) -> f64 {
                self.0
            }
        }

        // Neither NaN nor -0.0 is in range, so equality is total and agrees with the bits.
        impl Eq for $name {}

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.total_cmp(&other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.to_bits().hash(state);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)?;
                f.write_str($unit)
            }
        }
    };
}

quantity! {
    /// Fraction of each control period during which the element conducts; always within `0.0..=1.0`.
    DutyCycle, from_fraction, as_fraction, 0.0..=1.0, ""
}
quantity! {
    /// Relative humidity in percent; always within `0.0..=100.0`.
    RelativeHumidity, from_percent, as_percent, 0.0..=100.0, " %"
}
quantity! {
    /// Power in watts; from 0 to a million.
    Watts, from_watts, as_watts, 0.0..=1e6, " W"
}
quantity! {
    /// Energy in kilowatt-hours; from 0 to a billion.
    KilowattHours, from_kilowatt_hours, as_kilowatt_hours, 0.0..=1e9, " kWh"
}
quantity! {
    /// Line voltage in volts; from 0 to 1000.
    Volts, from_volts, as_volts, 0.0..=1_000.0, " V"
}
quantity! {
    /// Current in amperes; from 0 to 1000.
    Amperes, from_amperes, as_amperes, 0.0..=1_000.0, " A"
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn every_whole_degree_fahrenheit_survives_rounding_to_half_degrees_celsius() {
        let step = Celsius::from_hundredths(50);
        for fahrenheit in 40..=90 {
            let celsius = Celsius::from_fahrenheit(f64::from(fahrenheit)).unwrap().to_step(step);
            assert!((celsius.to_fahrenheit() - f64::from(fahrenheit)).abs() < 0.5, "{fahrenheit} °F");
        }
    }

    #[test]
    fn every_half_degree_celsius_survives_fahrenheit() {
        for halves in 10..=80 {
            let celsius = Celsius::from_hundredths(halves * 50);
            assert_eq!(Celsius::from_fahrenheit(celsius.to_fahrenheit()), Some(celsius));
        }
    }

    #[test]
    fn a_temperature_parses_from_its_text() {
        for hundredths in [-27_315, -50, 0, 5, 2_150, 2_151, 100_000] {
            let celsius = Celsius::from_hundredths(hundredths);
            assert_eq!(celsius.to_string().parse(), Ok(celsius));
            assert_eq!(celsius.as_degrees().to_string().parse(), Ok(celsius));
        }
        for bad in ["", "°C", "warm", "21.5 °F", "-300", "nan", "inf", "1001"] {
            assert_eq!(bad.parse::<Celsius>(), Err(InvalidCelsius), "{bad}");
        }
    }

    #[test]
    fn quantities_are_ordered_and_hashed_like_their_numbers() {
        let [none, some] = [0.0, 0.5].map(|fraction| DutyCycle::from_fraction(fraction).unwrap());
        assert!(none < some && none.max(some) == some);
        assert_eq!(DutyCycle::from_fraction(-0.0), Some(none));
        let set: alloc::collections::BTreeSet<_> = [some, none, some].into();
        assert_eq!(set.into_iter().collect::<alloc::vec::Vec<_>>(), [none, some]);
    }

    #[test]
    fn nan_infinity_and_excessive_numbers_are_rejected() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e9, -1e9] {
            assert_eq!(Celsius::from_degrees(bad), None);
            assert_eq!(DutyCycle::from_fraction(bad), None);
            assert_eq!(Watts::from_watts(bad), None);
        }
        assert_eq!(Celsius::from_degrees(0.0), Some(Celsius::from_hundredths(0)));
    }
}
