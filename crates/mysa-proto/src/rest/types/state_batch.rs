use alloc::collections::BTreeMap;
use alloc::string::String;

use serde_json::{Map, Value};

use crate::DeviceId;
use crate::rest::{BodyError, StructuredState, body};

/// Structured state of several thermostats: the answer to [`state_batch`](crate::rest::state_batch()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StateBatch {
    /// The states.
    pub states: BTreeMap<DeviceId, StructuredState>,
    /// Error for each thermostat without a state, such as `PERMISSION_DENIED`; empty if the service gave none.
    pub errors: BTreeMap<DeviceId, String>,
    /// Members whose key is not a device id.
    pub extra: Map<String, Value>,
}

impl StateBatch {
    /// Decodes the body.
    ///
    /// # Errors
    /// The body is not JSON or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
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

/// Text of an error: the first text under a likely name, or one member deeper. Only the text of such errors is known.
fn reason(entry: &Map<String, Value>) -> String {
    let inner = entry.get("error").and_then(Value::as_object).unwrap_or(entry);
    ["code", "error", "errorCode", "status", "message"]
        .iter()
        .find_map(|name| inner.get(*name)?.as_str())
        .unwrap_or_default()
        .into()
}
