//! Rounding, which `core` does not have.

/// Rounds to the nearest whole number, halves away from zero, like `f64::round` of `std`. A number of 2^53 or more is
/// whole already.
pub(crate) fn round(value: f64) -> f64 {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() || value.abs() >= WHOLE {
        return value;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "below 2^53")]
    let whole = value as i64 as f64;
    // The difference is exact, unlike the sum with a half.
    let rounded = if (value - whole).abs() >= 0.5 { whole + 1.0_f64.copysign(value) } else { whole };
    rounded.copysign(value)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::num::f64::{INFINITE, NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_is_that_of_std(value in POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO | INFINITE) {
            prop_assert_eq!(round(value).to_bits(), value.round().to_bits());
        }

        #[test]
        fn rounding_near_halves_is_that_of_std(half in -2_000_000_i32..2_000_000, ulps in -2_i64..=2) {
            let value = f64::from_bits((f64::from(half) / 2.0).to_bits().wrapping_add_signed(ulps));
            prop_assert_eq!(round(value).to_bits(), value.round().to_bits());
        }
    }
}
