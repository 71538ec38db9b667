use alloc::vec::Vec;

use crate::Celsius;

/// Appends `text` as a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            0x00..=0x1f => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend([digit(byte >> 4), digit(byte & 0xf)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends an integer.
pub(crate) fn integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(out, value.unsigned_abs());
}

/// Appends an integer that may not fit an `i64`.
pub(crate) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    let from = out.len();
    loop {
        // A remainder by ten is a digit.
        out.push(b'0' + u8::try_from(value % 10).unwrap_or(0));
        value /= 10;
        if value == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(from..) {
        digits.reverse();
    }
}

/// Appends degrees without needless zeros: `20`, `21.5`, `-1.25`.
pub(crate) fn celsius(out: &mut Vec<u8>, value: Celsius) {
    let hundredths = value.as_hundredths();
    if hundredths < 0 {
        out.push(b'-');
    }
    let hundredths = u64::from(hundredths.unsigned_abs());
    unsigned(out, hundredths / 100);
    let rest = hundredths % 100;
    if rest != 0 {
        out.push(b'.');
        unsigned(out, rest / 10);
        if rest % 10 != 0 {
            unsigned(out, rest % 10);
        }
    }
}

/// The members of one JSON object, each appended with its comma.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Opens an object. [`Object::end`] closes it.
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Appends the name of a member; the caller appends its value.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !core::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        string(self.out, name);
        self.out.push(b':');
        self.out
    }

    pub(crate) fn integer(&mut self, name: &str, value: i64) {
        integer(self.name(name), value);
    }

    pub(crate) fn integer_if(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.integer(name, value);
        }
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        string(self.name(name), value);
    }

    pub(crate) fn celsius_if(&mut self, name: &str, value: Option<Celsius>) {
        if let Some(value) = value {
            celsius(self.name(name), value);
        }
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> alloc::string::String {
        let mut out = Vec::new();
        write(&mut out);
        alloc::string::String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_without_needless_digits() {
        for (hundredths, expected) in
            [(0, "0"), (2_000, "20"), (2_150, "21.5"), (-125, "-1.25"), (5, "0.05"), (-50, "-0.5")]
        {
            assert_eq!(text(|out| celsius(out, Celsius::from_hundredths(hundredths))), expected);
        }
        assert_eq!(text(|out| integer(out, i64::MIN)), "-9223372036854775808");
        assert_eq!(text(|out| unsigned(out, u64::MAX)), "18446744073709551615");
    }

    #[test]
    fn special_characters_in_a_string_are_escaped() {
        assert_eq!(text(|out| string(out, "a\"b\\c\n\u{1f}é")), r#""a\"b\\c\u000a\u001fé""#);
    }
}
