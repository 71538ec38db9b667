use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::{BodyError, body};
use crate::{Celsius, UnixTime};

/// Setpoint changes of a day: the answer to [`energy_setpoints`](crate::rest::energy_setpoints).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SetpointHistory {
    /// The changes, in the order received.
    pub changes: Vec<SetpointEntry>,
    /// Other members of the body, and entries that could not be parsed.
    pub rejected: Vec<Value>,
}

/// Change in a [`SetpointHistory`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SetpointEntry {
    /// `Prev`.
    pub previous: Option<Celsius>,
    /// `Next`.
    pub next: Option<Celsius>,
    /// `Source`: 3 app, 1 button (one witness; another has 0 manual, 1 schedule).
    pub source: Option<i64>,
    /// `SourceTime`.
    pub at: Option<UnixTime>,
    /// Unknown members, and known ones whose value could not be read.
    pub extra: Map<String, Value>,
}

impl SetpointHistory {
    /// Decodes the body: a list, or an object that contains one, because the container is unknown.
    ///
    /// # Errors
    /// The body is not JSON or has no list.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut history = Self::default();
        let items = match body::value(body)? {
            Value::Array(items) => items,
            Value::Object(map) => {
                let (lists, rest): (Vec<_>, Vec<_>) =
                    map.into_iter().map(|(_, value)| value).partition(Value::is_array);
                history.rejected = rest;
                let mut lists = lists.into_iter();
                let Some(Value::Array(items)) = lists.next() else {
                    return Err(BodyError::wrong_shape(
                        "a list of setpoint changes",
                        &Value::Object(Map::new()),
                    ));
                };
                history.rejected.extend(lists);
                items
            }
            other => return Err(BodyError::wrong_shape("a list of setpoint changes", &other)),
        };
        for item in items {
            let Value::Object(map) = item else {
                history.rejected.push(item);
                continue;
            };
            let mut fields = Fields::from(map);
            history.changes.push(SetpointEntry {
                previous: fields.celsius("Prev"),
                next: fields.celsius("Next"),
                source: fields.integer("Source"),
                at: fields.take(&["SourceTime"], fields::time),
                extra: fields.rest(),
            });
        }
        Ok(history)
    }
}
