//! REST body as a JSON value, with small errors of the service repaired.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::BodyError;

/// Length of the longest response body that is accepted, in bytes. The largest known answer, the device list, has about
/// 2 KiB per thermostat.
pub const MAX_BODY_LEN: usize = 4 * 1024 * 1024;

/// Depth beyond which nested values become `null`.
const MAX_DEPTH: usize = 64;

/// Parses a body. Text that is not strict JSON is repaired once: raw control characters in strings, numbers outside the
/// range of a double, `NaN`, and excessive nesting. A body that is a JSON string with JSON text in it is parsed again.
///
/// # Errors
/// The body is too long, or is still not JSON.
pub fn value(body: &[u8]) -> Result<Value, BodyError> {
    if body.len() > MAX_BODY_LEN {
        return Err(BodyError::TooLong { len: body.len() });
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let value = parse(body)?;
    match &value {
        Value::String(inner) if inner.trim_start().starts_with(['{', '[']) => {
            Ok(parse(inner.as_bytes()).unwrap_or(value))
        }
        _ => Ok(value),
    }
}

pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, BodyError> {
    match value(body)? {
        Value::Object(map) => Ok(map),
        other => Err(BodyError::wrong_shape("an object", &other)),
    }
}

fn parse(body: &[u8]) -> Result<Value, BodyError> {
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(strict) => serde_json::from_slice(&repaired(body))
            .map_err(|_| BodyError::NotJson { line: strict.line(), column: strict.column() }),
    }
}

/// Returns a stricter version of the body, in one pass. It does not validate: text that is not JSON stays invalid.
fn repaired(body: &[u8]) -> Vec<u8> {
    let text: Cow<'_, str> = String::from_utf8_lossy(body);
    let mut out = Vec::with_capacity(text.len() + 16);
    let mut bytes = text.bytes().peekable();
    let mut depth = 0_usize;
    let mut dropped_at: Option<usize> = None;
    let mut in_string = false;
    let mut word = Vec::new();
    while let Some(byte) = bytes.next() {
        let keep = dropped_at.is_none();
        if in_string {
            match byte {
                b'"' => in_string = false,
                b'\\' => {
                    if keep {
                        out.push(byte);
                    }
                    if let Some(next) = bytes.next()
                        && keep
                    {
                        out.push(next);
                    }
                    continue;
                }
                ..=0x1F => {
                    if keep {
                        out.extend_from_slice(b"\\u00");
                        out.push(b'0' + (byte >> 4));
                        out.push(
                            char::from_digit(u32::from(byte & 15), 16).map_or(b'0', |digit| digit as u8),
                        );
                    }
                    continue;
                }
                _ => {}
            }
            if keep {
                out.push(byte);
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH && keep {
                    dropped_at = Some(depth);
                    out.extend_from_slice(b"null");
                    continue;
                }
            }
            b'}' | b']' => {
                let closed = dropped_at == Some(depth);
                depth = depth.saturating_sub(1);
                if closed {
                    dropped_at = None;
                    continue;
                }
            }
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.' => {
                word.push(byte);
                if !bytes.peek().is_some_and(|next| next.is_ascii_alphanumeric() || b"+-.".contains(next)) {
                    if keep {
                        out.extend_from_slice(if is_beyond_a_double(&word) { b"null" } else { &word });
                    }
                    word.clear();
                }
                continue;
            }
            _ => {}
        }
        if keep {
            out.push(byte);
        }
    }
    out
}

fn is_beyond_a_double(word: &[u8]) -> bool {
    core::str::from_utf8(word)
        .ok()
        .and_then(|word| word.parse::<f64>().ok())
        .is_some_and(|number| !number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_deviations_from_json_are_repaired() {
        for (body, expect) in [
            ("\u{feff}{\"a\":1}", "{\"a\":1}"),
            ("{\"a\":\"x\u{1}\ty\"}", "{\"a\":\"x\\u0001\\ty\"}"),
            ("{\"a\":1e999,\"b\":[-1e999,2]}", "{\"a\":null,\"b\":[null,2]}"),
            ("{\"a\":NaN,\"b\":Infinity}", "{\"a\":null,\"b\":null}"),
            ("\"{\\\"a\\\":1}\"", "{\"a\":1}"),
            ("\"plain\"", "\"plain\""),
        ] {
            assert_eq!(value(body.as_bytes()).unwrap(), parse(expect.as_bytes()).unwrap(), "{body:?}");
        }
        assert_eq!(value(b"{\"a\":\"x\xff\"}").unwrap()["a"], "x\u{fffd}");
    }

    #[test]
    fn excessive_nesting_loses_only_the_nested_value() {
        let body = alloc::format!("{{\"deep\":{}{},\"b\":2}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(value(body.as_bytes()).unwrap()["b"], 2);
    }

    #[test]
    fn invalid_json_is_an_error_with_its_position() {
        assert_eq!(value(b"{\n<html>"), Err(BodyError::NotJson { line: 2, column: 1 }));
        assert!(matches!(value(b""), Err(BodyError::NotJson { .. })));
        let long = alloc::vec![b' '; MAX_BODY_LEN + 1];
        assert_eq!(value(&long), Err(BodyError::TooLong { len: MAX_BODY_LEN + 1 }));
    }
}
