//! Temperatures as they are typed and shown.

use mysa_proto::Celsius;

use crate::support::config::Unit;
use crate::support::exit::{Failure, Result};

/// Temperature as typed, with the unit for the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Typed {
    pub(crate) amount: Amount,
    /// Unit that was typed, or that of the settings.
    pub(crate) unit: Unit,
}

/// An absolute value, or a step from the present setpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    To(Celsius),
    /// Hundredths of a degree Celsius, with sign.
    By(i32),
}

/// Parses `20.5`, `20.5C`, `69F`, `+0.5`, `-1F`. Without a letter the unit is that of the settings.
pub(crate) fn parse(text: &str, unit: Unit) -> Result<Typed> {
    let bad = || {
        Failure::usage(format!(
            "invalid temperature '{text}': expected a value such as 20.5, 20.5C or 69F, or a step such as +0.5"
        ))
    };
    let trimmed = text.trim();
    let (number, unit) = match trimmed.char_indices().next_back() {
        Some((at, 'c' | 'C')) => (&trimmed[..at], Unit::Celsius),
        Some((at, 'f' | 'F')) => (&trimmed[..at], Unit::Fahrenheit),
        _ => (trimmed, unit),
    };
    let number = number.trim_end_matches(['°', ' ']);
    // `f64::from_str` also accepts exponents, `inf` and `NaN`.
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
        let amount = Amount::By(if value < 0.0 { -hundredths } else { hundredths });
        return Ok(Typed { amount, unit });
    }
    let celsius = match unit {
        Unit::Celsius => Celsius::from_degrees(value),
        Unit::Fahrenheit => Celsius::from_fahrenheit(value),
    };
    celsius.map(|celsius| Typed { amount: Amount::To(celsius), unit }).ok_or_else(bad)
}

/// Formats a temperature with its unit, to a tenth of a degree. Zero has no sign.
pub(crate) fn show(celsius: Celsius, unit: Unit) -> String {
    let (degrees, unit) = match unit {
        Unit::Celsius => (celsius.as_degrees(), "°C"),
        Unit::Fahrenheit => (celsius.to_fahrenheit(), "°F"),
    };
    let number = format!("{degrees:.1}");
    format!("{} {unit}", if number == "-0.0" { "0.0" } else { &number })
}

/// Formats a temperature as typed or sent: to a hundredth of a degree Celsius if it has hundredths.
pub(crate) fn show_exactly(celsius: Celsius, unit: Unit) -> String {
    if unit == Unit::Celsius && celsius.as_hundredths() % 10 != 0 {
        return format!("{:.2} °C", celsius.as_degrees());
    }
    show(celsius, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_are_parsed_as_people_type_them() {
        let to = |hundredths| Amount::To(Celsius::from_hundredths(hundredths));
        for (text, amount, unit) in [
            ("20.5", to(2_050), Unit::Celsius),
            ("20,5", to(2_050), Unit::Celsius),
            (" 20.5C", to(2_050), Unit::Celsius),
            ("20.5 °C", to(2_050), Unit::Celsius),
            ("68F", to(2_000), Unit::Fahrenheit),
            ("68 °f", to(2_000), Unit::Fahrenheit),
            ("+0.5", Amount::By(50), Unit::Celsius),
            ("-1", Amount::By(-100), Unit::Celsius),
            ("+1.8F", Amount::By(100), Unit::Fahrenheit),
        ] {
            assert_eq!(parse(text, Unit::Celsius).ok(), Some(Typed { amount, unit }), "{text}");
        }
        let typed = Typed { amount: to(2_000), unit: Unit::Fahrenheit };
        assert_eq!(parse("68", Unit::Fahrenheit).ok(), Some(typed));
    }

    #[test]
    fn zero_has_no_sign() {
        let show = |hundredths, unit| show(Celsius::from_hundredths(hundredths), unit);
        assert_eq!(show(-4, Unit::Celsius), "0.0 °C");
        assert_eq!(show(-6, Unit::Celsius), "-0.1 °C");
        assert_eq!(show(-1_780, Unit::Fahrenheit), "0.0 °F");
    }

    #[test]
    fn an_invalid_temperature_is_refused() {
        for text in
            ["", "C", "warm", "NaN", "inf", "1e3", "20.5K", "+0", "-0.001", "--1", "1.2.3", "99999999"]
        {
            assert!(parse(text, Unit::Celsius).is_err(), "{text}");
        }
    }
}
