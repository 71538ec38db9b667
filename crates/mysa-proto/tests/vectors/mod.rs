//! Reading the vector files.

use serde_json::Value;

/// The cases of a file.
pub(crate) fn cases(file: &str) -> Vec<Value> {
    let Value::Array(cases) = serde_json::from_str::<Value>(file).unwrap()["vectors"].take() else {
        panic!("no vectors")
    };
    assert!(!cases.is_empty());
    cases
}

/// The payload of a case, given as text or in hex.
pub(crate) fn payload(case: &Value) -> Vec<u8> {
    if let Some(text) = case["payload"].as_str() {
        return text.as_bytes().to_vec();
    }
    let hex = case["payload_hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
