use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use crate::UnixTime;

/// Query of [`usage`](crate::rest::usage()) for the local days that overlap `start..end`. Each has heating time,
/// energy, averages of temperature and humidity, and the number of readings.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct UsageQuery {
    /// Time zone of the days, a name of the tz database.
    pub time_zone: String,
    /// Start.
    pub start: UnixTime,
    /// End.
    pub end: UnixTime,
    /// True to include buckets of half an hour.
    pub buckets: bool,
    /// True to include single readings: temperature, humidity and setpoint. Use it for short spans: they are numerous.
    pub raw: bool,
}

impl UsageQuery {
    pub(in crate::rest) fn body(&self) -> Value {
        const ATTRIBUTES: [(&str, &str); 5] =
            [("oH1", "sum"), ("k", "sum"), ("t", "average"), ("h", "average"), ("n", "sum")];
        let summary: Map<String, Value> =
            ATTRIBUTES.into_iter().map(|(name, process)| (name.into(), process.into())).collect();
        let mut body = json!({
            "timezone": self.time_zone,
            "start": self.start.as_secs(),
            "end": self.end.as_secs(),
            "summary": summary,
        });
        if let Some(body) = body.as_object_mut() {
            if self.buckets {
                let names: Vec<&str> = ATTRIBUTES.into_iter().map(|(name, _)| name).collect();
                body.insert("aggregatedReadings".into(), json!(names));
            }
            if self.raw {
                body.insert("rawReadings".into(), json!(["t", "c", "h", "i", "s", "hs"]));
            }
        }
        body
    }
}
