use alloc::collections::BTreeMap;
use alloc::string::String;

use serde_json::{Map, Value};

use crate::DeviceId;
use crate::rest::{DecodeError, StructuredState, body};

/// The structured state of several thermostats: the answer to [`state_batch`](crate::rest::state_batch()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StateBatch {
    /// The states.
    pub states: BTreeMap<DeviceId, StructuredState>,
    /// Error of the service where it gave no state, such as `PERMISSION_DENIED`; empty where it said nothing.
    pub errors: BTreeMap<DeviceId, String>,
    /// Members that are no device's.
    pub extra: Map<String, Value>,
}

impl StateBatch {
    /// Reads the body.
    ///
    /// # Errors
    /// Not JSON, or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut batch = Self::default();
        for (key, value) in body::object(body)? {
            let Some(id) = DeviceId::new(&key).filter(|_| value.is_object() || value.is_string()) else {
                batch.extra.insert(key, value);
                continue;
            };
            match value {
                Value::Object(mut entry) => match entry.remove("data") {
                    Some(Value::Object(state)) => {
                        batch.states.insert(id, StructuredState::of(state));
                    }
                    _ => {
                        batch.errors.insert(id, reason(&entry));
                    }
                },
                Value::String(reason) => {
                    batch.errors.insert(id, reason);
                }
                _ => {}
            }
        }
        Ok(batch)
    }
}

/// The shape of an error is not witnessed beyond its text: the first text under a likely name, or one member deeper.
fn reason(entry: &Map<String, Value>) -> String {
    let inner = entry.get("error").and_then(Value::as_object).unwrap_or(entry);
    ["code", "error", "errorCode", "status", "message"]
        .iter()
        .find_map(|name| inner.get(*name)?.as_str())
        .unwrap_or_default()
        .into()
}
