//! Floating-point functions that `core` lacks. Their results have the same bits on every machine.

/// e to the power of `-x`, for `x` of 0 or more.
pub(crate) fn decay(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return 1.0;
    }
    if x > 700.0 {
        return 0.0;
    }
    // e^-x = 2^-k · e^-r, with r in 0..ln 2.
    let k = (x * core::f64::consts::LOG2_E) as u64;
    let r = x - k as f64 * core::f64::consts::LN_2;
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..=14_u32 {
        term *= -r / f64::from(n);
        sum += term;
    }
    sum * f64::from_bits((1023 - k) << 52)
}

/// Cosine of `turns` full turns by Bhaskara's formula; its error of 0.002 does not matter to the weather.
pub(crate) fn cos_turn(turns: f64) -> f64 {
    let phase = turns - floor(turns);
    // Fraction of a half turn: 0 where the cosine is 1, 1 where it is -1.
    let x = 2.0 * if phase < 0.5 { phase } else { 1.0 - phase };
    let bow = |v: f64| (1.0 - 4.0 * v * v) / (1.0 + v * v);
    if x < 0.5 { bow(x) } else { -bow(1.0 - x) }
}

/// Largest whole number that is not greater than `x`. Exact below 2^53.
pub(crate) fn floor(x: f64) -> f64 {
    let whole = x as i64 as f64;
    if whole > x { whole - 1.0 } else { whole }
}

/// Nearest whole number, halves away from zero; saturates.
pub(crate) fn round(x: f64) -> i64 {
    (if x < 0.0 { x - 0.5 } else { x + 0.5 }) as i64
}

/// Nearest multiple of `1 / steps`.
pub(crate) fn quantise(x: f64, steps: f64) -> f64 {
    round(x * steps) as f64 / steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_agrees_with_the_standard_library() {
        for x in [0.0, 1e-9, 0.1, 0.693, 0.7, 1.0, 3.3, 40.0, 500.0] {
            let (ours, theirs) = (decay(x), (-x).exp());
            assert!((ours - theirs).abs() <= theirs * 1e-13, "{x}: {ours} {theirs}");
        }
    }

    #[test]
    fn the_cosine_of_the_weather_is_a_cosine() {
        for step in -40..=40 {
            let turns = f64::from(step) / 16.0;
            let theirs = (turns * core::f64::consts::TAU).cos();
            assert!((cos_turn(turns) - theirs).abs() < 0.003, "{turns}: {} {theirs}", cos_turn(turns));
        }
    }

    #[test]
    fn rounding_knows_about_negative_numbers() {
        assert_eq!((floor(-0.5), floor(2.9), round(-1.5), round(1.4)), (-1.0, 2.0, -2, 1));
        assert_eq!(quantise(0.44, 10.0), 0.4);
    }
}
