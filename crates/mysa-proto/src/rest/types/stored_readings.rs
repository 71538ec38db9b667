use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use crate::UnixTime;
use crate::rest::fields::{self, Fields};
use crate::rest::{BodyError, body};

/// Query of [`stored_readings`](crate::rest::stored_readings()). The structure of the request has one witness.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct StoredReadingsQuery {
    /// Start, inclusive.
    pub start: UnixTime,
    /// End.
    pub end: UnixTime,
}

impl StoredReadingsQuery {
    pub(in crate::rest) fn body(&self) -> Value {
        json!({
            "attributes": ["h", "c", "s", "a.oC", "a.oH", "ms", "fs", "tm", "t"],
            "start": self.start.as_secs(),
            "end": self.end.as_secs(),
            "attributesProcesses": { "a.oH": "sum", "c": "none" },
        })
    }
}

/// Readings that the service stored: the answer to [`stored_readings`](crate::rest::stored_readings()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StoredReadings {
    /// The readings, in order of time.
    pub readings: Vec<StoredReading>,
    /// Other members of the body.
    pub extra: Map<String, Value>,
}

/// Bucket of [`StoredReadings`]. The names of its values differ between the hosts and are kept as received.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredReading {
    /// Time that is the key of the bucket.
    pub at: UnixTime,
    /// Values by name.
    pub values: Map<String, Value>,
}

impl StoredReading {
    /// Value as a number, even if it is written as text.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(fields::number)
    }
}

impl StoredReadings {
    /// Decodes the body: an object keyed by time, at the top or one member deep, or a list of items with a time.
    ///
    /// # Errors
    /// The body is not JSON, or neither an object nor a list.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut stored = Self::default();
        match body::value(body)? {
            Value::Array(items) => stored.add_list(items),
            Value::Object(map) => {
                for (name, member) in map {
                    match (key_time(&name), member) {
                        (Some(at), Value::Object(values)) => {
                            stored.readings.push(StoredReading { at, values })
                        }
                        (_, Value::Array(items)) => stored.add_list(items),
                        (None, Value::Object(inner)) if inner.keys().any(|key| key_time(key).is_some()) => {
                            for (key, value) in inner {
                                match (key_time(&key), value) {
                                    (Some(at), Value::Object(values)) => {
                                        stored.readings.push(StoredReading { at, values });
                                    }
                                    (_, other) => {
                                        stored.extra.insert(key, other);
                                    }
                                }
                            }
                        }
                        (_, other) => {
                            stored.extra.insert(name, other);
                        }
                    }
                }
            }
            other => return Err(BodyError::wrong_shape("readings by time", &other)),
        }
        stored.readings.sort_by_key(|reading| reading.at);
        Ok(stored)
    }

    fn add_list(&mut self, items: Vec<Value>) {
        for mut fields in items.into_iter().filter_map(Fields::of) {
            if let Some(at) = fields.take(&["T", "t", "Timestamp", "timestamp"], fields::time) {
                self.readings.push(StoredReading { at, values: fields.rest() });
            }
        }
    }
}

fn key_time(key: &str) -> Option<UnixTime> {
    key.parse().ok().and_then(UnixTime::from_wire)
}
