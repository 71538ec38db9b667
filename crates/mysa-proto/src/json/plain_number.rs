use core::hint::cold_path;

use crate::json::number::{EXACT, run_of_digits};
use crate::json::work;

/// Number without an exponent and with at most nineteen digits, as nearly all are: read in registers, without its text.
/// [`JsonNumber`](crate::JsonNumber) reads every number and gives the same values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainNumber {
    negative: bool,
    /// Digits without the decimal point.
    digits: u64,
    /// Number of digits after the decimal point.
    places: usize,
}

impl PlainNumber {
    /// Reads a number of one or two digits, a decimal point and one or two digits, such as `18.9` or `22.41`: the usual form.
    /// Returns it in hundredths.
    #[inline(always)]
    pub(crate) fn read_hundredths(bytes: &[u8]) -> Option<(u16, &[u8])> {
        let (four, behind) = bytes.split_first_chunk()?;
        let four = u32::from_le_bytes(*four);
        let (tenths, rest) = if let Some(digits) = like(four, *b"00.0") {
            let [ten, one, _, tenth] = digits.map(u16::from);
            // JSON has no leading zeros.
            if ten == 0 {
                return None;
            }
            (ten * 100 + one * 10 + tenth, behind)
        } else {
            let [one, _, tenth, _] = like(four & 0x00FF_FFFF, *b"0.0\0")?.map(u16::from);
            (one * 10 + tenth, bytes.get(3..)?)
        };
        if ends(rest) {
            return Some((tenths * 10, rest));
        }
        match *rest {
            [digit @ b'0'..=b'9', ref rest @ ..] if ends(rest) => {
                Some((tenths * 10 + u16::from(digit - b'0'), rest))
            }
            _ => None,
        }
    }

    /// Reads the plain number at the front of a text and returns the rest.
    #[inline(always)]
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (negative, unsigned) = match *bytes {
            [b'-', ref unsigned @ ..] => (true, unsigned),
            _ => (false, bytes),
        };
        let (mut digits, mut at) = run_of_digits(unsigned, 0, 0);
        // JSON has no leading zeros.
        if at == 0 || at > 1 && unsigned.first() == Some(&b'0') {
            return None;
        }
        let mut places = 0;
        if unsigned.get(at) == Some(&b'.') {
            let point = at + 1;
            (digits, at) = run_of_digits(unsigned, point, digits);
            places = at - point;
            if places == 0 {
                return None;
            }
        }
        let rest = unsigned.get(at..)?;
        // Nineteen digits cannot overflow. The decimal point is counted as one of them, which is harmless.
        if at > 19 || matches!(rest, [b'e' | b'E', ..]) {
            return None;
        }
        Some((Self { negative, digits, places }, rest))
    }

    /// Reads an integer of one or two digits, such as the number of a message.
    #[inline(always)]
    pub(crate) fn read_small(bytes: &[u8]) -> Option<(u8, &[u8])> {
        let (small, rest) = match *bytes {
            [one @ b'0'..=b'9', ref rest @ ..] if ends(rest) => (one - b'0', rest),
            [ten @ b'1'..=b'9', one @ b'0'..=b'9', ref rest @ ..] if ends(rest) => {
                ((ten - b'0') * 10 + (one - b'0'), rest)
            }
            _ => return None,
        };
        Some((small, rest))
    }

    /// Reads an integer of ten digits, such as a time in seconds.
    #[inline(always)]
    pub(crate) fn read_ten(bytes: &[u8]) -> Option<(u64, &[u8])> {
        let (eight, [ten @ b'0'..=b'9', one @ b'0'..=b'9', behind @ ..]) = bytes.split_first_chunk::<8>()?
        else {
            return None;
        };
        // JSON has no leading zeros.
        if eight.starts_with(b"0") || !ends(behind) {
            return None;
        }
        let last = u64::from(ten - b'0') * 10 + u64::from(one - b'0');
        Some((eight_digits(*eight)? * 100 + last, behind))
    }

    /// Reads an integer that is not negative, eight digits at a time.
    #[inline(always)]
    pub(crate) fn read_whole(bytes: &[u8]) -> Option<(u64, &[u8])> {
        let (mut digits, mut rest) = (0_u64, bytes);
        loop {
            let Some((eight, behind)) = rest.split_first_chunk() else {
                let (all, more) = run_of_digits(rest, 0, digits);
                (digits, rest) = (all, rest.get(more..)?);
                break;
            };
            work::count(8);
            let word = u64::from_le_bytes(*eight) ^ ZEROS;
            let others = not_digits(word);
            if others == 0 {
                (digits, rest) = (digits.wrapping_mul(100_000_000).wrapping_add(number(word)), behind);
                continue;
            }
            // The last digits become the end of eight, behind leading zeros.
            let count = others.trailing_zeros() / 8;
            let scale = TENS.get(count as usize)?;
            digits = digits.wrapping_mul(*scale).wrapping_add(number(word.unbounded_shl(64 - 8 * count)));
            rest = rest.get(count as usize..)?;
            break;
        }
        let len = bytes.len() - rest.len();
        if len == 0 || len > 19 || len > 1 && bytes.first() == Some(&b'0') {
            return None;
        }
        if let [b'.' | b'e' | b'E', ..] = rest { None } else { Some((digits, rest)) }
    }

    #[inline(always)]
    pub(crate) fn to_f64(self) -> Option<f64> {
        // Both operands are exact floats, so one rounding gives the nearest float (Clinger's fast path).
        if self.digits > 1 << 53 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
        let value = self.digits as f64 / EXACT.get(self.places)?;
        Some(if self.negative { -value } else { value })
    }

    /// Number in hundredths, or `None` if that is not exact.
    #[inline(always)]
    pub(crate) fn to_hundredths(self) -> Option<i32> {
        let hundredths = match self.places {
            0 => self.digits.checked_mul(100)?,
            1 => self.digits.checked_mul(10)?,
            2 => self.digits,
            _ => return None,
        };
        let hundredths = i32::try_from(hundredths).ok()?;
        Some(if self.negative { -hundredths } else { hundredths })
    }
}

/// True if a number has ended before this text. False for some texts before which it has.
#[inline(always)]
const fn ends(text: &[u8]) -> bool {
    match text {
        [b',', ..] => true,
        [b'}' | b'\n', ..] => {
            // Without this, all three characters are compared at once, which takes more instructions.
            cold_path();
            true
        }
        _ => false,
    }
}

/// Digits in four bytes that match a pattern, in which `0` means any digit.
#[inline(always)]
const fn like(bytes: u32, pattern: [u8; 4]) -> Option<[u8; 4]> {
    let mut mask = [0; 4];
    let mut at = 0;
    while at < 4 {
        mask[at] = if pattern[at] == b'0' { 0x0F } else { 0 };
        at += 1;
    }
    let mask = u32::from_le_bytes(mask);
    let digits = bytes & mask;
    // Adding six to a value above nine overflows into the masked half of its byte.
    let six = mask / 0x0F * 6;
    if bytes & !mask == u32::from_le_bytes(pattern) && (digits + six) & !mask == 0 {
        Some(digits.to_le_bytes())
    } else {
        None
    }
}

const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
const TENS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Value of eight digits. `None` if a byte is not a digit.
#[inline(always)]
fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(bytes) ^ ZEROS;
    if not_digits(digits) == 0 { Some(number(digits)) } else { None }
}

/// Marks the bytes above nine. Only the lowest mark is reliable: a byte that is marked can carry into the next.
#[inline(always)]
const fn not_digits(digits: u64) -> u64 {
    let more = digits | digits.wrapping_add(u64::from_ne_bytes([0x80 - 10; 8]));
    more & u64::from_ne_bytes([0x80; 8])
}

/// Value of eight digits, of which the first is the lowest byte.
#[inline(always)]
const fn number(digits: u64) -> u64 {
    // Neighbours become pairs, pairs fours, and fours the value.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    (fours * 10_000 + (fours >> 32)) & 0xFFFF_FFFF
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::JsonNumber;

    fn agrees(text: &str, behind: &str) {
        let whole = format!("{text}{behind}");
        let general = JsonNumber::new(text);
        if let Some((plain, rest)) = PlainNumber::read(whole.as_bytes()) {
            let general = general.expect(text);
            assert_eq!(rest, behind.as_bytes(), "{text}");
            if let Some(value) = plain.to_f64() {
                assert_eq!(Some(value), general.to_f64(), "{text}");
            }
            if let Some(hundredths) = plain.to_hundredths() {
                let degrees = general.to_f64().unwrap();
                assert_eq!(f64::from(hundredths) / 100.0, degrees, "{text}");
            }
        }
        let ten = PlainNumber::read_ten(whole.as_bytes());
        for (digits, rest) in PlainNumber::read_whole(whole.as_bytes()).into_iter().chain(ten) {
            assert_eq!(rest, behind.as_bytes(), "{text}");
            assert_eq!(general.expect(text).to_integer(), Some((false, digits)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_agrees_with_the_general_reader(
            text in "-?(0|[1-9][0-9]{0,20}|[0-9]{9,11}|[0-9]{1,4})(\\.[0-9]{0,12})?([eE][+-]?[0-9]{1,2})?",
            behind in "(,|}|]| ,)[\"a-z0-9.}]{0,9}",
        ) {
            agrees(&text, &behind);
            agrees(&text, "");
        }
    }

    #[test]
    fn a_time_is_ten_digits_and_nothing_else() {
        for (text, time) in [
            ("1767323045,", Some(1_767_323_045)),
            ("9999999999}", Some(9_999_999_999)),
            ("0767323045,", None),
            ("1767323045", None),
            ("1767323045 ", None),
            ("17673230456,", None),
            ("176732304,", None),
            ("1767323045.5,", None),
            ("1767323045e1,", None),
            ("17673230:5,", None),
            ("1767323/45,", None),
            ("-767323045,", None),
        ] {
            assert_eq!(PlainNumber::read_ten(text.as_bytes()).map(|(time, _)| time), time, "{text}");
        }
    }

    #[test]
    fn a_measured_value_has_one_or_two_digits_on_each_side_of_the_point() {
        for hundredths in 0..10_000_u16 {
            let (whole, tenths, last) = (hundredths / 100, hundredths / 10 % 10, hundredths % 10);
            let text = format!("{whole}.{tenths}{last},");
            assert_eq!(
                PlainNumber::read_hundredths(text.as_bytes()),
                Some((hundredths, &b","[..])),
                "{text}"
            );
            let text = format!("{whole}.{tenths}}}");
            let expected = Some((hundredths - last, &b"}"[..]));
            assert_eq!(PlainNumber::read_hundredths(text.as_bytes()), expected, "{text}");
        }
        for text in [
            "", "1.", "1.5", "21.55", "1.555,", "21.555,", "100.0,", "01.5,", "-1.5,", "1.5e,", "1.55 ,",
            "1,5,",
        ] {
            assert_eq!(PlainNumber::read_hundredths(text.as_bytes()), None, "{text}");
        }
    }

    /// Compares both the end and the value of the number with the general reader.
    #[test]
    fn every_short_text_is_read_like_the_general_reader_or_left_to_it() {
        // Includes `/` and `:`, the characters next to the digits in ASCII.
        const CHARACTERS: &[u8] = b"019/:.-e,} \"";
        let mut text = [0; 5];
        for number in 0..CHARACTERS.len().pow(5) {
            let mut rest = number;
            for byte in &mut text {
                (*byte, rest) = (CHARACTERS[rest % CHARACTERS.len()], rest / CHARACTERS.len());
            }
            let shown = text.escape_ascii();
            let general = JsonNumber::read(&text).ok();
            let behind = |rest: &[u8]| Some(text.len() - rest.len());
            if let Some((hundredths, rest)) = PlainNumber::read_hundredths(&text) {
                assert_eq!(behind(rest), general.map(|(_, used)| used), "{shown}");
                let expected = general.and_then(|(number, _)| number.to_f64());
                assert_eq!(Some(f64::from(hundredths) / 100.0), expected, "{shown}");
            }
            if let Some((plain, rest)) = PlainNumber::read(&text) {
                assert_eq!(behind(rest), general.map(|(_, used)| used), "{shown}");
                assert_eq!(plain.to_f64(), general.and_then(|(number, _)| number.to_f64()), "{shown}");
            }
            let whole = PlainNumber::read_whole(&text);
            let small = PlainNumber::read_small(&text).map(|(small, rest)| (u64::from(small), rest));
            for (digits, rest) in whole.into_iter().chain(small) {
                assert_eq!(behind(rest), general.map(|(_, used)| used), "{shown}");
                let expected = general.and_then(|(number, _)| number.to_integer());
                assert_eq!(Some((false, digits)), expected, "{shown}");
            }
        }
    }

    #[test]
    fn numbers_of_thermostats_take_the_fast_path() {
        for (text, value) in
            [("18.9", 18.9), ("-0.0", 0.0), ("21", 21.0), ("-7.25", -7.25), ("1767323045", 1_767_323_045.0)]
        {
            for behind in [",\"stpt\":20.0}", "}", ""] {
                let whole = format!("{text}{behind}");
                let (plain, rest) = PlainNumber::read(whole.as_bytes()).unwrap();
                assert_eq!((plain.to_f64(), rest), (Some(value), behind.as_bytes()), "{whole}");
            }
        }
        for id in [0, 7, 12_345_678, 123_456_789, 7_100_200_300_400_500_611, 9_999_999_999_999_999_999] {
            for behind in [",\"body\":{}}", "}", ""] {
                let whole = format!("{id}{behind}");
                assert_eq!(
                    PlainNumber::read_whole(whole.as_bytes()),
                    Some((id, behind.as_bytes())),
                    "{whole}"
                );
            }
        }
        assert_eq!(PlainNumber::read_whole(u128::MAX.to_string().as_bytes()), None);
    }
}
