//! Requests to a running fleet and their answers: one JSON object on a line each.

use std::collections::BTreeMap;

use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::{Change, Sensor};
use crate::commands::set::plan::Request;
use crate::output::record::{self, Record};
use crate::support::config::Unit;
use crate::support::exit::{Exit, Failure, Result};

/// Request of a client of the control socket.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ask {
    Set(Set),
    Status(Status),
}

/// Change of one thermostat.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Set {
    /// Id of the request, which its answer repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<String>,
    /// Name of the account.
    pub(super) account: String,
    /// Thermostat, by id or the start of its name.
    pub(super) device: String,
    /// Settings, named as the options of `mysa set`; each a text, a number or a truth value.
    pub(super) change: BTreeMap<String, Value>,
    /// Unit of a temperature without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<TemperatureUnit>,
    /// Time limit in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wait_s: Option<f64>,
}

/// Question about the accounts, or about the thermostats of one account.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Status {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TemperatureUnit {
    Celsius,
    Fahrenheit,
}

impl From<TemperatureUnit> for Unit {
    fn from(unit: TemperatureUnit) -> Self {
        match unit {
            TemperatureUnit::Celsius => Self::Celsius,
            TemperatureUnit::Fahrenheit => Self::Fahrenheit,
        }
    }
}

impl From<Unit> for TemperatureUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Celsius => Self::Celsius,
            Unit::Fahrenheit => Self::Fahrenheit,
        }
    }
}

/// Parser of the options of `mysa set`, so that both take the same values.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Options {
    #[command(flatten)]
    change: Change,
}

/// Maximum length of the id of a request, in bytes.
const MAX_ID: usize = 200;

impl Ask {
    /// Reads a line.
    ///
    /// # Errors
    /// The line is no request.
    pub(super) fn parse(line: &[u8]) -> Result<Self> {
        let ask: Self = serde_json::from_slice(line)
            .map_err(|error| Failure::usage(format!("invalid request: {error}")))?;
        if ask.id().is_some_and(|id| id.is_empty() || id.len() > MAX_ID) {
            return Err(Failure::usage(format!("invalid member request: expected 1 to {MAX_ID} bytes")));
        }
        Ok(ask)
    }

    /// Id of the request.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Set(set) => set.request.as_deref(),
            Self::Status(status) => status.request.as_deref(),
        }
    }
}

impl Set {
    /// Text of the requested change, which is the same for two requests only if they request the same.
    #[cfg(feature = "nats")]
    pub(super) fn text(&self) -> String {
        serde_json::json!({ "change": self.change, "unit": self.unit }).to_string()
    }

    /// Request of a recorded change. `None` if the text is not of [`Set::text`].
    #[cfg(feature = "nats")]
    pub(super) fn of_text(request: &str, account: &str, device: &str, text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Recorded {
            change: BTreeMap<String, Value>,
            unit: Option<TemperatureUnit>,
        }
        let Recorded { change, unit } = serde_json::from_str(text).ok()?;
        Some(Self {
            request: Some(request.to_owned()),
            account: account.to_owned(),
            device: device.to_owned(),
            change,
            unit,
            wait_s: None,
        })
    }

    /// Parses the settings.
    ///
    /// # Errors
    /// A setting does not exist or has an invalid value, or there is none.
    pub(super) fn parsed(&self, unit: Unit) -> Result<Request> {
        let mut options = Vec::new();
        for (name, value) in &self.change {
            // Such a name could hold an option and its value.
            if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                return Err(Failure::usage(format!("invalid change: no setting has the name '{name}'")));
            }
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(on) => if *on { "on" } else { "off" }.to_owned(),
                _ => return Err(Failure::usage(format!("invalid {name}: expected a text or a number"))),
            };
            options.push(format!("--{}={text}", name.replace('_', "-")));
        }
        let parsed = Options::try_parse_from(options).map_err(|error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let line = if self.change.is_empty() { "expected at least one setting" } else { line };
            Failure::usage(format!("invalid change: {line}"))
        })?;
        Request::parse(&parsed.change, self.unit.map_or(unit, Unit::from))
    }
}

/// Settings of a command line as members of a request.
pub(super) fn members(change: &Change) -> BTreeMap<String, Value> {
    let Change { temp, mode, hold, lock, brightness, proximity, fan, swing, swing_horizontal, .. } = change;
    let sensor = change.sensor.map(|sensor| match sensor {
        Sensor::Floor => "floor",
        Sensor::Room => "room",
    });
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let members = [
        ("temp", text(temp)),
        ("mode", text(mode)),
        ("hold", text(hold)),
        ("lock", lock.map(|lock| lock.word().into())),
        ("brightness", brightness.map(Value::from)),
        ("proximity", proximity.map(|on| on.word().into())),
        ("fan", text(fan)),
        ("swing", text(swing)),
        ("swing_horizontal", text(swing_horizontal)),
        ("climate_plus", change.climate_plus.map(|on| on.word().into())),
        ("sensor", sensor.map(Value::from)),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Answer to a request that failed before there was a verdict.
pub(super) fn failed(request: Option<&str>, failure: &Failure) -> Record {
    let mut record = record::document();
    record.put_some("request", request);
    let verdict = if failure.exit == Exit::Refused { "refused" } else { "failed" };
    record.put("verdict", verdict).put("message", failure.to_string());
    record.put("exit_code", failure.exit as u8);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(change: &str) -> Result<Request> {
        let line = format!(r#"{{"op":"set","account":"a","device":"b","change":{change}}}"#);
        match Ask::parse(line.as_bytes())? {
            Ask::Set(set) => set.parsed(Unit::Celsius),
            Ask::Status(_) => panic!("it is a change"),
        }
    }

    #[test]
    fn a_request_has_the_settings_and_the_values_of_the_command_line() {
        let request = set(r#"{"temp":20.5,"mode":"heat","lock":true,"brightness":50}"#).unwrap();
        let values = request.values();
        assert_eq!(values.setpoint.map(|celsius| celsius.as_degrees()), Some(20.5));
        assert_eq!((values.lock, values.mode), (Some(true), Some(mysa_tokio::Mode::Heat)));
        let line = Options::try_parse_from(["--temp=+1", "--climate-plus=on", "--sensor=floor"]).unwrap();
        let shown = serde_json::to_value(members(&line.change)).unwrap();
        assert_eq!(shown, serde_json::json!({ "temp": "+1", "climate_plus": "on", "sensor": "floor" }));
        let again = set(&shown.to_string()).unwrap();
        assert_eq!(again, Request::parse(&line.change, Unit::Celsius).unwrap());
    }

    #[test]
    fn what_is_no_request_is_refused_in_one_line() {
        for (change, expected) in [
            ("{}", "invalid change: expected at least one setting"),
            (r#"{"colour":"red"}"#, "invalid change: unexpected argument '--colour' found"),
            (r#"{"temp":"warm"}"#, "warm"),
            (r#"{"temp":{}}"#, "invalid temp: expected a text or a number"),
            (r#"{"lock":"maybe"}"#, "invalid change: invalid value 'maybe' for '--lock <LOCK>'"),
            (r#"{"temp=1 --mode":"x"}"#, "no setting has the name 'temp=1 --mode'"),
        ] {
            let error = set(change).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{change}: {error}");
        }
        for line in [
            "",
            "[]",
            "{}",
            r#"{"op":"reboot"}"#,
            r#"{"op":"status","x":1}"#,
            r#"{"op":"status","request":""}"#,
        ] {
            assert!(Ask::parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
