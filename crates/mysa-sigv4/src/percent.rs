//! Percent-encoding of SigV4: every byte outside `A-Za-z0-9-_.~` becomes `%XX` in upper case, once.
//! The crate `percent-encoding` is not used: its decoder keeps invalid sequences, which a verifier must
//! reject, and encoding is on the hot path of presigning.

use alloc::string::String;
use alloc::vec::Vec;
use core::str;

/// True for bytes that are not encoded.
pub(crate) const fn is_unreserved(byte: u8) -> bool {
    UNRESERVED[byte as usize]
}

/// Appends the encoded form of `bytes`.
pub(crate) fn push(out: &mut String, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let run = rest.iter().position(|byte| !is_unreserved(*byte)).unwrap_or(rest.len());
        let (plain, after) = rest.split_at(run);
        // Unreserved bytes are ASCII.
        out.push_str(str::from_utf8(plain).unwrap_or_default());
        rest = after;
        if let Some((byte, after)) = rest.split_first() {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 0xf)]));
            rest = after;
        }
    }
}

/// Number of bytes that [`push`] appends.
pub(crate) fn encoded_len(bytes: &[u8]) -> usize {
    bytes.len() + 2 * bytes.iter().filter(|byte| !is_unreserved(**byte)).count()
}

/// Decodes upper- and lower-case sequences. `+` stays a plus: this is not the encoding of HTML forms.
///
/// `None` if a percent sign is not followed by two hexadecimal digits.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let ([high, low], after) = rest.split_first_chunk()?;
            out.push(digit(*high)? << 4 | digit(*low)?);
            rest = after;
        } else {
            out.push(*first);
        }
    }
    Some(out)
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let this = byte as u8;
        table[byte] = this.is_ascii_alphanumeric() || matches!(this, b'-' | b'_' | b'.' | b'~');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_encoded_by_the_rule_and_decoded_back() {
        for byte in 0..=255_u8 {
            let mut text = String::new();
            push(&mut text, &[byte]);
            let stands_for_itself =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~".contains(&byte);
            let expected = if stands_for_itself {
                String::from(char::from(byte))
            } else {
                alloc::format!("%{byte:02X}")
            };
            assert_eq!(text, expected);
            assert_eq!(encoded_len(&[byte]), text.len(), "{byte}");
            assert_eq!(decode(text.as_bytes()), Some([byte].into()), "{byte}");
            assert_eq!(
                decode(text.to_ascii_lowercase().as_bytes()).map(|bytes| bytes.len()),
                Some(1),
                "{byte}"
            );
        }
    }

    #[test]
    fn broken_percent_sequences_are_refused() {
        for text in ["%", "%2", "a%", "%2g", "%g2", "%%20", "% 2", "%+2", "%é"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
