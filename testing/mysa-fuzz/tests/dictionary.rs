//! Dictionaries of the JSON targets: behind their hand-written words they hold every key of the crates' vectors.
//!
//! `WRITE_DICTIONARIES=1 cargo test -p mysa-fuzz --test dictionary` writes them after a change of the vectors.

#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

const MARK: &str = "# Keys of the vectors, written by tests/dictionary.rs.\n";

#[test]
fn the_dictionaries_hold_every_key_of_the_vectors() {
    let (messages, rest, sign_in) = (messages(), rest(), sign_in());
    assert!(
        messages.contains("msg") && rest.contains("DevicesObj") && sign_in.contains("AuthenticationResult")
    );
    for (target, keys) in [("message", messages), ("rest", rest), ("cognito", sign_in)] {
        let path = root().join(format!("fuzz/dict/{target}.dict"));
        let text = fs::read_to_string(&path).unwrap();
        let (by_hand, _) = text.split_once(MARK).unwrap_or((&text, ""));
        let mut wanted = by_hand.to_owned() + MARK;
        for (number, key) in keys.iter().enumerate() {
            let word = format!("\\\"{key}\\\":");
            if !by_hand.contains(&format!("=\"{word}")) {
                wanted += &format!("v{number}=\"{word}\"\n");
            }
        }
        if std::env::var_os("WRITE_DICTIONARIES").is_some() {
            fs::write(&path, &wanted).unwrap();
        } else {
            assert_eq!(text, wanted, "run WRITE_DICTIONARIES=1 cargo test -p mysa-fuzz --test dictionary");
        }
    }
}

/// Keys of the payloads of devices.
fn messages() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for name in ["messages", "ack_matching", "batch"] {
        let file = read(&root().join(format!("crates/mysa-proto/tests/data/{name}.json")));
        for case in file["vectors"].as_array().unwrap() {
            if let Some(payload) = case["payload"].as_str().and_then(|text| serde_json::from_str(text).ok()) {
                collect(&payload, &mut keys);
            }
        }
    }
    keys
}

/// Keys of the REST bodies.
fn rest() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for entry in fs::read_dir(root().join("crates/mysa-proto/tests/data/rest")).unwrap() {
        collect(&read(&entry.unwrap().path()), &mut keys);
    }
    keys
}

/// Keys of the answers of the user pool and of the identity pool.
fn sign_in() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for name in ["cognito", "identity"] {
        let file = read(&root().join(format!("crates/mysa-cognito/tests/data/{name}.json")));
        for case in file["vectors"].as_array().unwrap() {
            match &case["response"]["body"] {
                Value::String(text) => {
                    serde_json::from_str(text).into_iter().for_each(|body| collect(&body, &mut keys));
                }
                body => collect(body, &mut keys),
            }
        }
    }
    keys
}

/// Collects every key that a dictionary can name: short, without quotes, and no id of a sample.
fn collect(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let is_name =
                    key.len() < 40 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                if is_name && key.bytes().filter(u8::is_ascii_digit).count() < 4 {
                    keys.insert(key.clone());
                }
                collect(value, keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, keys)),
        _ => {}
    }
}

fn read(path: &Path) -> Value {
    let text = fs::read(path).unwrap();
    serde_json::from_slice(&text).unwrap_or(Value::Null)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
