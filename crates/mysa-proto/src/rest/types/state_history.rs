use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::UnixTime;
use crate::rest::fields::{self, Fields};
use crate::rest::{BodyError, body};

/// History of changes with their authors, field by field: the answer to [`state_history`](crate::rest::state_history()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StateHistory {
    /// Changes of each field, by the service's name of the field.
    pub fields: BTreeMap<String, Vec<HistoryPoint>>,
    /// Members that are not lists.
    pub extra: Map<String, Value>,
}

/// Change in a [`StateHistory`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HistoryPoint {
    /// `timestamp`.
    pub at: Option<UnixTime>,
    /// `value`: °C for a setpoint, a number of the structured mode table for `mode`.
    pub value: Value,
    /// `source`: `device`, `app`, `schedule` or `shortcuts`.
    pub source: Option<String>,
    /// Unknown members.
    pub extra: Map<String, Value>,
}

impl StateHistory {
    /// Decodes the body.
    ///
    /// # Errors
    /// The body is not JSON or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut history = Self::default();
        for (name, member) in body::object(body)? {
            match member {
                Value::Array(items) => {
                    let points = items.into_iter().filter_map(Fields::of).map(|mut fields| HistoryPoint {
                        at: fields.take(&["timestamp"], fields::time),
                        value: fields.take_value("value").unwrap_or_default(),
                        source: fields.text("source"),
                        extra: fields.rest(),
                    });
                    history.fields.insert(name, points.collect());
                }
                other => {
                    history.extra.insert(name, other);
                }
            }
        }
        Ok(history)
    }
}
