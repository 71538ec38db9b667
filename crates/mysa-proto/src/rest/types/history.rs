use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::{BodyError, body};
use crate::{Celsius, KilowattHours, RelativeHumidity, UnixTime};

/// Consumption of a thermostat or home: the answer of the usage route and of every energy route.
///
/// ```
/// use mysa_proto::rest::History;
///
/// let body = br#"[{"T":1767312000,"summary":{"T":1767312000,"a":{"oH1":5400,"k":1.875,"t":20.4}}}]"#;
/// let history = History::decode(body)?;
/// let day = history.days.first().ok_or("no day")?;
/// assert_eq!(day.summary.energy.ok_or("no energy")?.as_kilowatt_hours(), 1.875);
/// assert_eq!(day.summary.heating.ok_or("no time")?.as_secs(), 5_400);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// Spans with a summary: local days of the usage route, or the scope of an energy route.
    pub days: Vec<Day>,
    /// Other members of the body.
    pub extra: Map<String, Value>,
    /// Entries that could not be parsed.
    pub rejected: Vec<Value>,
}

/// Span of a [`History`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Day {
    /// Summary of the span.
    pub summary: Period,
    /// Parts of the span, half an hour to a day long.
    pub buckets: Vec<Period>,
    /// Single readings of the span.
    pub raw: Vec<RawReading>,
    /// Unknown members.
    pub extra: Map<String, Value>,
}

/// Consumption in a period.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Period {
    /// Start of the period.
    pub start: Option<UnixTime>,
    /// Energy used.
    pub energy: Option<KilowattHours>,
    /// Heating time.
    pub heating: Option<Duration>,
    /// Average room temperature. The energy routes return implausible values for a Lite.
    pub temperature: Option<Celsius>,
    /// Average relative humidity.
    pub humidity: Option<RelativeHumidity>,
    /// Average floor temperature. The 0 of a thermostat without a probe reads as `None`.
    pub floor_temperature: Option<Celsius>,
    /// Number of readings in the averages.
    pub readings: Option<u64>,
    /// Unknown members, and known ones whose value could not be read.
    pub extra: Map<String, Value>,
}

/// Reading of a [`Day`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RawReading {
    /// Time of the reading.
    pub at: Option<UnixTime>,
    /// Room temperature.
    pub temperature: Option<Celsius>,
    /// Relative humidity.
    pub humidity: Option<RelativeHumidity>,
    /// Setpoint.
    pub setpoint: Option<Celsius>,
    /// Unknown members, such as `i`, and known ones whose value could not be read.
    pub extra: Map<String, Value>,
}

impl History {
    /// Decodes the answer of [`usage`](crate::rest::usage()) or of an energy route. The answers of the routes in the
    /// design document are unknown: spans are found at the top, in a list, or one member deep in an object, and the
    /// rest is kept.
    ///
    /// # Errors
    /// The body is not JSON, or neither an object nor a list.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut history = Self::default();
        match body::value(body)? {
            Value::Array(items) => history.add_all(items),
            Value::Object(map) if is_span(&map) => history.days.extend(Day::of(map)),
            Value::Object(map) => {
                for (name, member) in map {
                    match member {
                        Value::Array(items) if items.iter().any(is_span_value) => history.add_all(items),
                        Value::Object(inner) if is_span(&inner) => history.days.extend(Day::of(inner)),
                        other => {
                            history.extra.insert(name, other);
                        }
                    }
                }
            }
            other => return Err(BodyError::wrong_shape("a history", &other)),
        }
        Ok(history)
    }

    /// Energy of all spans, or `None` if no span has any.
    #[must_use]
    pub fn energy(&self) -> Option<KilowattHours> {
        let sum = |periods: &[Period]| periods.iter().filter_map(|period| period.energy).reduce(plus);
        self.days.iter().filter_map(|day| day.summary.energy.or_else(|| sum(&day.buckets))).reduce(plus)
    }

    /// Heating time of all spans, or `None` if no span has any.
    #[must_use]
    pub fn heating(&self) -> Option<Duration> {
        let sum = |periods: &[Period]| {
            periods.iter().filter_map(|period| period.heating).reduce(Duration::saturating_add)
        };
        self.days
            .iter()
            .filter_map(|day| day.summary.heating.or_else(|| sum(&day.buckets)))
            .reduce(Duration::saturating_add)
    }

    fn add_all(&mut self, items: Vec<Value>) {
        for item in items {
            match item {
                Value::Object(map) if is_span(&map) => self.days.extend(Day::of(map)),
                other => self.rejected.push(other),
            }
        }
    }
}

impl Day {
    fn of(map: Map<String, Value>) -> Option<Self> {
        let mut fields = Fields::from(map);
        let mut buckets = Vec::new();
        for name in ["aggregatedReadings", "EnergyReadings"] {
            buckets
                .extend(fields.take_array(name).into_iter().flatten().filter_map(Fields::of).map(Period::of));
        }
        let raw = fields
            .take_array("rawReadings")
            .into_iter()
            .flatten()
            .filter_map(Fields::of)
            .map(RawReading::of)
            .collect();
        if let Some(summary) = fields.take_object("summary") {
            let mut summary = Period::of(summary);
            let own = fields.take(&["T"], fields::time);
            summary.start = summary.start.or(own);
            return Some(Self { summary, buckets, raw, extra: fields.rest() });
        }
        let mut summary = Period::of(fields);
        let extra = core::mem::take(&mut summary.extra);
        Some(Self { summary, buckets, raw, extra })
    }
}

impl Period {
    /// Reads `{T, a: {…}}` of the usage route, or a reading or total of the energy routes.
    fn of(mut fields: Fields) -> Self {
        let start = fields.take(&["T", "Timestamp", "timestamp"], fields::time);
        let Some(mut a) = fields.take_object("a") else {
            let period = Self {
                start,
                energy: fields.take(&["TotalEnergy", "Energy", "totalEnergy", "energy", "kWh", "k"], energy),
                heating: fields.take(&["TotalOnTime", "OnTime", "totalOnTime", "onTime", "oH1"], seconds),
                temperature: fields.take(&["AverageTemp", "AvgReturnTemp", "averageTemp"], average),
                humidity: fields.take(&["AverageHumidity", "AvgReturnHumidity", "averageHumidity"], humid),
                floor_temperature: fields
                    .take(&["AvgInFloorTemp"], average)
                    .filter(|floor| floor.as_hundredths() != 0),
                readings: fields.take(&["NumOfReadings"], fields::count),
                extra: fields.rest(),
            };
            return period.without_empty_averages();
        };
        let mut period = Self {
            start,
            energy: a.take(&["k"], energy),
            heating: a.take(&["oH1"], seconds),
            temperature: a.take(&["t"], average),
            humidity: a.take(&["h"], humid),
            floor_temperature: None,
            readings: a.take(&["n"], fields::count),
            extra: a.rest(),
        };
        period.extra.extend(fields.rest());
        period.without_empty_averages()
    }

    fn without_empty_averages(mut self) -> Self {
        if self.readings == Some(0) {
            self.temperature = None;
            self.humidity = None;
            self.floor_temperature = None;
        }
        self
    }
}

impl RawReading {
    fn of(mut fields: Fields) -> Self {
        Self {
            at: fields.take(&["t"], fields::time),
            temperature: fields.take(&["c"], average),
            humidity: fields.take(&["h"], humid),
            setpoint: fields.take(&["s", "hs"], average),
            extra: fields.rest(),
        }
    }
}

fn is_span_value(value: &Value) -> bool {
    value.as_object().is_some_and(is_span)
}

fn is_span(map: &Map<String, Value>) -> bool {
    const OBJECTS: [&str; 2] = ["summary", "a"];
    const LISTS: [&str; 3] = ["aggregatedReadings", "rawReadings", "EnergyReadings"];
    const NUMBERS: [&str; 8] =
        ["TotalEnergy", "TotalOnTime", "Energy", "OnTime", "totalEnergy", "energy", "kWh", "AverageTemp"];
    let has =
        |names: &[&str], kind: fn(&Value) -> bool| names.iter().any(|name| map.get(*name).is_some_and(kind));
    has(&OBJECTS, Value::is_object)
        || has(&LISTS, Value::is_array)
        || has(&NUMBERS, |value| fields::number(value).is_some())
}

fn energy(value: &Value) -> Option<KilowattHours> {
    fields::number(value).and_then(KilowattHours::from_kilowatt_hours)
}

fn seconds(value: &Value) -> Option<Duration> {
    fields::number(value).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// The service sends −1 for a missing temperature.
fn average(value: &Value) -> Option<Celsius> {
    fields::celsius(value).filter(|average| average.as_hundredths() != -100)
}

fn humid(value: &Value) -> Option<RelativeHumidity> {
    fields::humidity(value)
}

fn plus(one: KilowattHours, other: KilowattHours) -> KilowattHours {
    let sum = one.as_kilowatt_hours() + other.as_kilowatt_hours();
    KilowattHours::from_kilowatt_hours(sum).unwrap_or(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_unknown_structure_is_read_as_far_as_possible() {
        for body in [
            r#"{"TotalEnergy":"1.5","TotalOnTime":60,"Future":[1]}"#,
            r#"{"energy":{"TotalEnergy":1.5,"TotalOnTime":60},"Future":[1]}"#,
            r#"{"data":[{"Energy":1,"OnTime":20},{"Energy":0.5,"OnTime":40}],"Future":[1]}"#,
            r#"[{"EnergyReadings":[{"Energy":1.5,"OnTime":60}]}]"#,
        ] {
            let history = History::decode(body.as_bytes()).unwrap();
            assert_eq!(history.energy(), KilowattHours::from_kilowatt_hours(1.5), "{body}");
            assert_eq!(history.heating(), Some(Duration::from_secs(60)), "{body}");
        }
        let other = History::decode(br#"{"what":{"ever":1}}"#).unwrap();
        assert!(other.days.is_empty() && other.extra.contains_key("what"));
    }

    #[test]
    fn a_period_without_readings_has_no_averages() {
        let history =
            History::decode(br#"{"TotalEnergy":0,"AverageTemp":0,"AverageHumidity":0,"NumOfReadings":0}"#)
                .unwrap();
        let summary = &history.days[0].summary;
        assert_eq!((summary.temperature, summary.humidity), (None, None));
        assert_eq!(summary.energy, KilowattHours::from_kilowatt_hours(0.0));
    }
}
