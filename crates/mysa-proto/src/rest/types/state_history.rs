use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::UnixTime;
use crate::rest::fields::{self, Fields};
use crate::rest::{DecodeError, body};

/// History of changes with their authors, field by field: the answer to [`state_history`](crate::rest::state_history()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StateHistory {
    /// The points of each field, under the service's name for it.
    pub fields: BTreeMap<String, Vec<HistoryPoint>>,
    /// Members that are no list.
    pub extra: Map<String, Value>,
}

/// One change of a [`StateHistory`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HistoryPoint {
    /// `timestamp`.
    pub at: Option<UnixTime>,
    /// `value`: °C of a setpoint, a number of the structured mode table of `mode`.
    pub value: Value,
    /// `source`: `device`, `app`, `schedule` or `shortcuts`.
    pub source: Option<String>,
    /// The members without a place above.
    pub extra: Map<String, Value>,
}

impl StateHistory {
    /// Reads the body.
    ///
    /// # Errors
    /// Not JSON, or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
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
