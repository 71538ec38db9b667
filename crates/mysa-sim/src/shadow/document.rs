//! The document of one shadow, and the rules of AWS IoT by which it changes.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use super::section::SOURCE;

/// State of one shadow: desired values, reported values, and the time of the last change of each value.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShadowDocument {
    pub(crate) desired: Section,
    pub(crate) reported: Section,
    pub(crate) version: u64,
}

/// Values and the tree of their times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section {
    pub(crate) values: Map<String, Value>,
    times: Map<String, Value>,
}

/// Messages that an accepted update causes.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Payload of `update/accepted`.
    pub(crate) accepted: Value,
    /// Payload of `update/documents`.
    pub(crate) documents: Value,
    /// Payload of `update/delta`, if desired and reported values differ.
    pub(crate) delta: Option<Value>,
}

/// Refusal of a request: code and text, as in AWS's list of shadow errors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rejection {
    pub(crate) code: u16,
    pub(crate) message: &'static str,
}

/// Maximum size of a request, and of a document's values, in bytes.
const MAX_SIZE: usize = 8 * 1024;
/// Maximum length of a client token in bytes.
const MAX_TOKEN: usize = 64;
/// Maximum number of levels below `desired` and `reported`.
const MAX_DEPTH: usize = 6;

const fn invalid(message: &'static str) -> Rejection {
    Rejection { code: 400, message }
}

const TOO_LARGE: Rejection = Rejection { code: 413, message: "The payload exceeds the maximum size allowed" };

/// Values that an update sets in one section: `None` leaves it as it is, `Null` removes all of it.
type Patch<'a> = Option<&'a Value>;

/// A request for an update, parsed and validated.
struct Update<'a> {
    desired: Patch<'a>,
    reported: Patch<'a>,
    version: Option<u64>,
    token: Option<&'a str>,
}

impl ShadowDocument {
    /// Applies a request for an update, or creates the document with it.
    pub(crate) fn update(&mut self, payload: &[u8], now: i64) -> Result<Accepted, Rejection> {
        let request = parse(payload)?;
        let update = Update::read(&request)?;
        if update.version.is_some_and(|version| version != self.version) {
            return Err(Rejection { code: 409, message: "Version conflict" });
        }
        let mut next = self.clone();
        next.desired.apply(update.desired, now);
        next.reported.apply(update.reported, now);
        if next.size() > MAX_SIZE {
            return Err(TOO_LARGE);
        }
        next.version += 1;
        let previous = core::mem::replace(self, next);
        let mut accepted = json!({
            "state": request.get("state"), "metadata": {}, "version": self.version, "timestamp": now,
        });
        for (name, patch) in [("desired", update.desired), ("reported", update.reported)] {
            if let Some(Value::Object(patch)) = patch {
                accepted["metadata"][name] = Value::Object(stamps(patch, now));
            }
        }
        let mut documents =
            json!({ "previous": previous.to_json(), "current": self.to_json(), "timestamp": now });
        let mut delta = self.delta().map(|(state, metadata)| {
            json!({ "version": self.version, "timestamp": now, "state": state, "metadata": metadata })
        });
        if let Some(token) = update.token {
            for payload in [Some(&mut accepted), Some(&mut documents), delta.as_mut()].into_iter().flatten() {
                payload["clientToken"] = token.into();
            }
        }
        Ok(Accepted { accepted, documents, delta })
    }

    /// Payload of `get/accepted`.
    pub(crate) fn get(&self, now: i64) -> Value {
        let mut shown = self.to_json();
        shown["timestamp"] = now.into();
        if let Some((delta, _)) = self.delta() {
            shown["state"]["delta"] = Value::Object(delta);
        }
        shown
    }

    /// Desired values that are not reported, with their times; `None` if there are none.
    pub(crate) fn delta(&self) -> Option<(Map<String, Value>, Map<String, Value>)> {
        let (state, metadata) =
            difference(&self.desired.values, &self.desired.times, Some(&self.reported.values));
        (!state.is_empty()).then_some((state, metadata))
    }

    fn size(&self) -> usize {
        let size = |section: &Section| Value::Object(section.values.clone()).to_string().len();
        size(&self.desired) + size(&self.reported)
    }

    /// State, times and version. A section without values is left out.
    fn to_json(&self) -> Value {
        let mut shown = json!({ "state": {}, "metadata": {}, "version": self.version });
        for (name, section) in [("desired", &self.desired), ("reported", &self.reported)] {
            if !section.values.is_empty() {
                shown["state"][name] = Value::Object(section.values.clone());
                shown["metadata"][name] = Value::Object(section.times.clone());
            }
        }
        shown
    }
}

impl Section {
    /// Time at which the newest of its values was set, in Unix seconds. `source`, which the structured service does not show, does not
    /// count.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.times.iter().filter(|(name, _)| *name != SOURCE).filter_map(|(_, times)| newest(times)).max()
    }

    fn apply(&mut self, patch: Patch<'_>, now: i64) {
        match patch {
            None => {}
            Some(Value::Object(patch)) => merge(&mut self.values, &mut self.times, patch, now),
            Some(_) => *self = Self::default(),
        }
    }
}

impl<'a> Update<'a> {
    fn read(request: &'a Value) -> Result<Self, Rejection> {
        let token = token(request)?;
        let version = match request.get("version") {
            None | Some(Value::Null) => None,
            Some(version) => Some(version.as_u64().ok_or(invalid("Invalid version"))?),
        };
        let state = request.get("state").ok_or(invalid("Missing required node: state"))?;
        let state = state.as_object().ok_or(invalid("State node must be an object"))?;
        if state.keys().any(|name| name != "desired" && name != "reported") {
            return Err(invalid("State contains an invalid node"));
        }
        let section = |name: &str, wrong: &'static str| match state.get(name) {
            None => Ok(None),
            Some(section) if depth(section) > MAX_DEPTH => {
                Err(invalid("JSON contains too many levels of nesting; maximum is 6"))
            }
            Some(section @ (Value::Object(_) | Value::Null)) => Ok(Some(section)),
            Some(_) => Err(invalid(wrong)),
        };
        Ok(Self {
            desired: section("desired", "Desired node must be an object")?,
            reported: section("reported", "Reported node must be an object")?,
            version,
            token,
        })
    }
}

/// Parses a request. An empty one is an empty object.
fn parse(payload: &[u8]) -> Result<Value, Rejection> {
    if payload.len() > MAX_SIZE {
        return Err(TOO_LARGE);
    }
    let text = core::str::from_utf8(payload).map_err(|_| Rejection {
        code: 415,
        message: "Unsupported documented encoding; supported encoding is UTF-8",
    })?;
    let parsed = serde_json::from_str::<Value>(text).map_err(|_| invalid("Invalid JSON"))?;
    if parsed.is_object() { Ok(parsed) } else { Err(invalid("Invalid JSON")) }
}

/// Returns the client token of a request for the document, which may be empty.
pub(crate) fn token_of_get(payload: &[u8]) -> Result<Option<String>, Rejection> {
    if payload.is_empty() {
        return Ok(None);
    }
    Ok(token(&parse(payload)?)?.map(str::to_string))
}

/// Returns the client token of a refused request, if it can be read.
pub(crate) fn token_of_refused(payload: &[u8]) -> Option<String> {
    let parsed = parse(payload).ok()?;
    token(&parsed).ok()?.map(str::to_string)
}

fn token(request: &Value) -> Result<Option<&str>, Rejection> {
    match request.get("clientToken") {
        None => Ok(None),
        Some(Value::String(token)) if token.len() <= MAX_TOKEN => Ok(Some(token)),
        Some(_) => Err(invalid("Invalid clientToken")),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Sets the values of a patch; `null` removes one.
fn merge(
    values: &mut Map<String, Value>,
    times: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    now: i64,
) {
    for (name, value) in patch {
        match (value, values.get_mut(name), times.get_mut(name)) {
            (Value::Null, ..) => {
                values.remove(name);
                times.remove(name);
            }
            (Value::Object(patch), Some(Value::Object(values)), Some(Value::Object(times))) => {
                merge(values, times, patch, now);
            }
            (Value::Object(patch), ..) => {
                let (mut inner, mut inner_times) = (Map::new(), Map::new());
                merge(&mut inner, &mut inner_times, patch, now);
                values.insert(name.clone(), Value::Object(inner));
                times.insert(name.clone(), Value::Object(inner_times));
            }
            _ => {
                values.insert(name.clone(), value.clone());
                times.insert(name.clone(), stamp(value, now));
            }
        }
    }
}

/// Times of new values: one for each value, also inside objects and arrays.
fn stamps(values: &Map<String, Value>, now: i64) -> Map<String, Value> {
    values.iter().map(|(name, value)| (name.clone(), stamp(value, now))).collect()
}

fn stamp(value: &Value, now: i64) -> Value {
    match value {
        Value::Object(members) => Value::Object(stamps(members, now)),
        Value::Array(items) => Value::Array(items.iter().map(|item| stamp(item, now)).collect::<Vec<_>>()),
        _ => json!({ "timestamp": now }),
    }
}

/// Newest time in a tree of times.
fn newest(times: &Value) -> Option<i64> {
    match times {
        Value::Object(members) => members.values().filter_map(newest).max(),
        Value::Array(items) => items.iter().filter_map(newest).max(),
        time => time.as_i64(),
    }
}

/// Returns the desired values that are not reported, and their times. An array that differs is included as a
/// whole.
fn difference(
    desired: &Map<String, Value>,
    times: &Map<String, Value>,
    reported: Option<&Map<String, Value>>,
) -> (Map<String, Value>, Map<String, Value>) {
    let (mut state, mut metadata) = (Map::new(), Map::new());
    for (name, wanted) in desired {
        let known = reported.and_then(|reported| reported.get(name));
        let at = times.get(name).cloned().unwrap_or(Value::Null);
        let (wanted, at) = match (wanted, &at, known) {
            (Value::Object(wanted), Value::Object(times), Some(Value::Object(known))) => {
                let (wanted, times) = difference(wanted, times, Some(known));
                if wanted.is_empty() {
                    continue;
                }
                (Value::Object(wanted), Value::Object(times))
            }
            (_, _, Some(known)) if is_equal(wanted, known) => continue,
            _ => (wanted.clone(), at),
        };
        state.insert(name.clone(), wanted);
        metadata.insert(name.clone(), at);
    }
    (state, metadata)
}

/// Returns `true` for equal values. Numbers are equal if their values are, such as 20 and 20.0.
pub(crate) fn is_equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-9,
        _ => one == other,
    }
}
