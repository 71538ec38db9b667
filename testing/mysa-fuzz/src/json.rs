use mysa_proto::{Json, RawJson};
use serde_json::Value;

/// Lenient JSON reader of `mysa-proto`.
///
/// Input: the text.
///
/// It accepts everything that serde_json accepts, with the same values, unless it is nested too deeply. Every part of an accepted
/// document is accepted alone. Iterators end.
///
/// ```
/// mysa_fuzz::json(br#"{"a":[1,2.5,"\u00e9"]}"#);
/// ```
pub fn json(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let strict = serde_json::from_str::<Value>(text).ok();
    match RawJson::new(text) {
        Ok(raw) => {
            assert!(text.contains(raw.as_str()));
            walk(raw, 0);
            if let Some(strict) = strict {
                compare(raw, &strict);
            }
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if let Some(strict) = strict {
                assert!(depth(&strict) > 64, "{error}: {text:?}");
            }
        }
    }
}

/// Visits every value once. The text shrinks with every level, so the recursion ends.
fn walk(raw: RawJson<'_>, level: u32) {
    assert!(level <= 64);
    assert_eq!(RawJson::new(raw.as_str()).map(RawJson::as_str), Ok(raw.as_str()));
    match raw.value() {
        Json::Null | Json::Bool(_) => {}
        Json::Number(number) => {
            assert!(number.to_f64().is_none_or(f64::is_finite), "{number:?}");
            if let (Some(whole), Some(real)) = (number.to_i64(), number.to_f64()) {
                let off = (real - whole as f64).abs();
                assert!(off <= real.abs() * 1e-15, "{number:?}");
            }
        }
        Json::String(text) => {
            assert_eq!(text.chars().collect::<String>(), text.to_cow());
            assert!(text.as_plain().is_none_or(|plain| plain == text.to_cow()));
        }
        Json::Array(array) => array.elements().for_each(|element| walk(element, level + 1)),
        Json::Object(object) => object.members().for_each(|(_, member)| walk(member, level + 1)),
    }
}

fn compare(ours: RawJson<'_>, theirs: &Value) {
    match (ours.value(), theirs) {
        (Json::Null, Value::Null) => {}
        (Json::Bool(ours), Value::Bool(theirs)) => assert_eq!(ours, *theirs),
        (Json::Number(ours), Value::Number(theirs)) => {
            if let (Some(ours), Some(theirs)) = (ours.to_f64(), theirs.as_f64()) {
                // serde_json may differ in the last place.
                assert!((ours - theirs).abs() <= theirs.abs() * 1e-15, "{ours} {theirs}");
            }
            if let (Some(ours), Some(theirs)) = (ours.to_i64(), theirs.as_i64()) {
                assert_eq!(ours, theirs);
            }
        }
        (Json::String(ours), Value::String(theirs)) => assert_eq!(ours.to_cow(), theirs.as_str()),
        (Json::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.elements().count(), theirs.len());
            ours.elements().zip(theirs).for_each(|(ours, theirs)| compare(ours, theirs));
        }
        (Json::Object(ours), Value::Object(theirs)) => {
            // serde_json keeps the last value of a repeated key.
            for (key, theirs) in theirs {
                let last = ours.members().filter(|(ours, _)| *ours == key.as_str()).last();
                let Some((_, ours)) = last else { panic!("{key:?} is lost") };
                compare(ours, theirs);
            }
            assert!(ours.members().count() >= theirs.len());
        }
        (ours, theirs) => panic!("{ours:?} is not {theirs}"),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
