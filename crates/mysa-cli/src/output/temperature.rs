//! Temperatures as typed and shown.

use mysa_proto::Celsius;

use crate::support::config::Unit;
use crate::support::exit::{Failure, Result};

/// A temperature as typed: a value, or a step from where the setpoint is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wanted {
    To(Celsius),
    /// Hundredths of a degree Celsius, with sign.
    By(i32),
}

/// Reads `20.5`, `20.5C`, `69F`, `+0.5`, `-1F`. Without a letter it is in the unit of the settings.
pub(crate) fn parse(text: &str, unit: Unit) -> Result<Wanted> {
    let bad = || {
        Failure::usage(format!(
            "'{text}' is not a temperature; write 20.5, 20.5C, 69F, or a step such as +0.5"
        ))
    };
    let trimmed = text.trim();
    let (number, unit) = match trimmed.char_indices().next_back() {
        Some((at, 'c' | 'C')) => (&trimmed[..at], Unit::Celsius),
        Some((at, 'f' | 'F')) => (&trimmed[..at], Unit::Fahrenheit),
        _ => (trimmed, unit),
    };
    let number = number.trim_end_matches(['°', ' ']);
    // Only what a person writes: no exponent, no `inf`.
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ','))
    {
        return Err(bad());
    }
    let value: f64 = number.replace(',', ".").parse().map_err(|_| bad())?;
    if number.starts_with(['+', '-']) {
        let celsius = if unit == Unit::Fahrenheit { value / 1.8 } else { value };
        let zero = Celsius::from_hundredths(0);
        let magnitude = Celsius::from_degrees(celsius.abs()).ok_or_else(bad)?;
        if magnitude == zero {
            return Err(bad());
        }
        let hundredths = magnitude.as_hundredths();
        return Ok(Wanted::By(if value < 0.0 { -hundredths } else { hundredths }));
    }
    let celsius = match unit {
        Unit::Celsius => Celsius::from_degrees(value),
        Unit::Fahrenheit => Celsius::from_fahrenheit(value),
    };
    celsius.map(Wanted::To).ok_or_else(bad)
}

/// A temperature as shown: one decimal, with its unit.
pub(crate) fn show(celsius: Celsius, unit: Unit) -> String {
    match unit {
        Unit::Celsius => format!("{:.1} °C", celsius.as_degrees()),
        Unit::Fahrenheit => format!("{:.1} °F", celsius.to_fahrenheit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_are_read_as_people_write_them() {
        let to = |hundredths| Wanted::To(Celsius::from_hundredths(hundredths));
        for (text, wanted) in [
            ("20.5", to(2_050)),
            ("20,5", to(2_050)),
            (" 20.5C", to(2_050)),
            ("20.5 °C", to(2_050)),
            ("68F", to(2_000)),
            ("68 °f", to(2_000)),
            ("+0.5", Wanted::By(50)),
            ("-1", Wanted::By(-100)),
            ("+1.8F", Wanted::By(100)),
        ] {
            assert_eq!(parse(text, Unit::Celsius).ok(), Some(wanted), "{text}");
        }
        assert_eq!(parse("68", Unit::Fahrenheit).ok(), Some(to(2_000)));
    }

    #[test]
    fn what_is_no_temperature_is_refused() {
        for text in ["", "C", "warm", "NaN", "inf", "1e3", "20.5K", "+0", "--1", "1.2.3", "99999999"] {
            assert!(parse(text, Unit::Celsius).is_err(), "{text}");
        }
    }
}
