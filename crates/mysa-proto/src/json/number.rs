use core::fmt;

use crate::json::work;

/// JSON number as the device wrote it. The reader of each field chooses the type, because ids exceed the precision of a
/// float.
#[derive(Clone, Copy)]
pub struct JsonNumber<'a> {
    text: &'a str,
    /// Digits without the decimal point, and the power of ten that scales them. Valid only if `exact`.
    digits: u64,
    power: i32,
    exact: bool,
}

impl<'a> JsonNumber<'a> {
    /// Parses a text that is exactly one JSON number, apart from surrounding white space.
    #[must_use]
    pub fn new(text: &'a str) -> Option<Self> {
        let text = text.as_bytes().trim_ascii();
        Self::read(text).ok().filter(|&(_, used)| used == text.len()).map(|(number, _)| number)
    }

    /// Reads the number at the front of a text and returns its length. The error is the offset of a missing digit.
    // Always inline, like its callers: returned through memory, the fields are stored one by one and loaded as wide
    // words, which stalls the processor. That took a third of the time of a status.
    #[inline(always)]
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, usize), usize> {
        let negative = bytes.first() == Some(&b'-');
        let start = usize::from(negative);
        let (mut digits, mut at) = (0, start);
        if bytes.get(at) == Some(&b'0') {
            // JSON has no leading zeros: a zero ends the integer part, and a digit after it is an error.
            at += 1;
        } else {
            (digits, at) = run_of_digits(bytes, at, 0);
            if at == start {
                return Err(at);
            }
        }
        let mut power = 0_i32;
        if bytes.get(at) == Some(&b'.') {
            let point = at + 1;
            (digits, at) = run_of_digits(bytes, point, digits);
            if at == point {
                return Err(at);
            }
            power = i32::try_from(at - point).map_or(i32::MIN / 4, |places| -places);
        }
        // Nineteen digits cannot overflow. The decimal point is counted as one of them, which is harmless.
        let exact = at - start <= 19 || {
            let exact = exact_digits(bytes.get(start..at).unwrap_or_default());
            digits = exact.unwrap_or_default();
            exact.is_some()
        };
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1;
            let down = bytes.get(at) == Some(&b'-');
            if let Some(b'-' | b'+') = bytes.get(at) {
                at += 1;
            }
            let start = at;
            let mut exponent = 0_i32;
            while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
                // Saturates where every value is zero or infinite.
                exponent =
                    exponent.saturating_mul(10).saturating_add(i32::from(digit - b'0')).min(i32::MAX / 4);
                at += 1;
            }
            work::count(at - start);
            if at == start {
                return Err(at);
            }
            power = power.saturating_add(if down { -exponent } else { exponent });
        }
        work::count(at);
        let text = bytes.get(..at).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default();
        Ok((Self { text, digits, power, exact }, at))
    }

    /// Text of the number.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    fn is_negative(self) -> bool {
        self.text.as_bytes().first() == Some(&b'-')
    }

    /// Nearest float. `None` if it is infinite, as for `1e999`.
    #[must_use]
    #[inline]
    pub fn to_f64(self) -> Option<f64> {
        // Both operands are exact floats, so one rounding gives the nearest (Clinger's fast path).
        if self.exact && self.digits <= 1 << 53 {
            let ten = usize::try_from(self.power.unsigned_abs()).ok().and_then(|power| EXACT.get(power));
            if let Some(ten) = ten {
                #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
                let digits = self.digits as f64;
                let value = if self.power < 0 { digits / ten } else { digits * ten };
                return Some(if self.is_negative() { -value } else { value });
            }
        }
        work::count(self.text.len());
        self.text.parse().ok().filter(|value: &f64| value.is_finite())
    }

    /// Sign and magnitude of an integer in any notation (`40`, `40.0`, `4e1`). `None` if it is not whole or not below
    /// 2^64.
    #[must_use]
    #[inline]
    pub fn to_integer(self) -> Option<(bool, u64)> {
        let (mut digits, mut power) = (self.exact.then_some(self.digits)?, self.power);
        while power < 0 && digits != 0 {
            if digits % 10 != 0 {
                return None;
            }
            (digits, power) = (digits / 10, power + 1);
        }
        while power > 0 && digits != 0 {
            (digits, power) = (digits.checked_mul(10)?, power - 1);
        }
        Some((self.is_negative() && digits != 0, digits))
    }

    /// Integer in any notation. `None` if it is not whole or out of range.
    #[must_use]
    #[inline]
    pub fn to_i64(self) -> Option<i64> {
        let (negative, digits) = self.to_integer()?;
        if negative { 0_i64.checked_sub_unsigned(digits) } else { i64::try_from(digits).ok() }
    }

    /// Number rounded down, for times, which the cloud sometimes prints with a fraction. `None` if it is out of range.
    #[must_use]
    pub fn to_i64_floor(self) -> Option<i64> {
        self.to_i64().or_else(|| {
            const LIMIT: f64 = 9.0e18;
            let value = self.to_f64().filter(|value| value.abs() < LIMIT)?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "truncation is intended, and the range is checked"
            )]
            let whole = value as i64;
            Some(if value < 0.0 { whole - 1 } else { whole })
        })
    }
}

/// Powers of ten that a float represents exactly.
pub(crate) const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Reads consecutive digits from `at`. Overflow wraps: the caller checks the number of digits.
#[inline]
pub(crate) fn run_of_digits(bytes: &[u8], mut at: usize, mut digits: u64) -> (u64, usize) {
    let start = at;
    while let Some(&byte) = bytes.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    work::count(at - start);
    (digits, at)
}

/// Digits of a long number, or `None` on overflow.
#[cold]
fn exact_digits(bytes: &[u8]) -> Option<u64> {
    work::count(bytes.len());
    bytes.iter().filter(|&&byte| byte != b'.').try_fold(0_u64, |digits, &byte| {
        digits.checked_mul(10)?.checked_add(u64::from(byte.wrapping_sub(b'0')))
    })
}

impl fmt::Debug for JsonNumber<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonNumber({})", self.text)
    }
}

/// Compares the texts of the numbers.
impl PartialEq for JsonNumber<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;

    #[test]
    fn floats_are_the_nearest_ones() {
        for text in [
            "0",
            "-0",
            "0.1",
            "18.9",
            "22.41",
            "1.0",
            "-273.15",
            "9007199254740993",
            "1e22",
            "1e23",
            "1e-22",
            "1e-5",
            "123456789012345678901234567890",
            "0.000000000000000000000000000001",
            "1.7976931348623157e308",
            "5e-324",
            "1e-999",
            "1.767323045E9",
        ] {
            let number = JsonNumber::new(text).unwrap();
            assert_eq!(number.to_f64(), text.parse().ok(), "{text}");
        }
        assert_eq!(JsonNumber::new("1e999").unwrap().to_f64(), None);
        assert_eq!(JsonNumber::new("-1e99999999999999999999").unwrap().to_f64(), None);
        let long: String = format!("0.{}1e{}", "0".repeat(5_000), 5_000);
        assert_eq!(JsonNumber::new(&long).unwrap().to_f64(), Some(0.1));
    }

    #[test]
    fn integers_of_sixty_four_bits_are_exact_however_written() {
        for (text, value) in [
            ("18446744073709551615", Some((false, u64::MAX))),
            ("-7100200300400500904", Some((true, 7_100_200_300_400_500_904))),
            ("18446744073709551616", None),
            ("40.0", Some((false, 40))),
            ("4e1", Some((false, 40))),
            ("400e-1", Some((false, 40))),
            ("1.767323045E9", Some((false, 1_767_323_045))),
            ("40.5", None),
            ("-0", Some((false, 0))),
            ("0e999999999999", Some((false, 0))),
            ("1e999999999999", None),
        ] {
            assert_eq!(JsonNumber::new(text).unwrap().to_integer(), value, "{text}");
        }
    }

    #[test]
    fn a_number_outside_the_json_grammar_is_none() {
        for text in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x10", "1 2", "NaN", "--1"] {
            assert!(JsonNumber::new(text).is_none(), "{text}");
        }
    }
}
