//! Lines by a template of the user, such as `{name}: {room} °C`.

use crate::output::record::{Record, Value, printable};
use crate::support::exit::{Failure, Result};

/// Fields of a template: the members of an update in JSON.
const FIELDS: [&str; 27] = [
    "time",
    "changed",
    "id",
    "name",
    "model",
    "record_model",
    "family",
    "link",
    "age_s",
    "temperature_c",
    "setpoint_c",
    "humidity_pct",
    "mode",
    "duty_pct",
    "power_w",
    "power_basis",
    "rated_power_w",
    "floor_temperature_c",
    "tracked_sensor",
    "heating",
    "current_a",
    "voltage_v",
    "locked",
    "hold",
    "fan",
    "signal_dbm",
    "pending",
];

/// Short names besides those of [`unit_less`].
const SHORT_NAMES: [(&str, &str); 2] = [("room", "temperature_c"), ("floor", "floor_temperature_c")];

/// Parsed template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Field(&'static str),
}

impl Template {
    /// Parses a template. `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// A field is unknown, or a brace has no partner; the message lists the fields.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    literal.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => return Err(invalid("a '{' has no '}'; for a brace write {{ or }}")),
                        }
                    }
                    let field =
                        find(name.trim()).ok_or_else(|| invalid(&format!("unknown field '{name}'")))?;
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Field(field));
                }
                '}' => return Err(invalid("a '}' has no '{'; for a brace write {{ or }}")),
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// Fills in the fields of an update. A value that is unknown is `-`; text is escaped for a terminal.
    pub(crate) fn fill(&self, update: &Record) -> String {
        let mut line = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field(field) => {
                    let value = update.fields().find(|(name, _)| name == field).map(|(_, value)| value);
                    line.push_str(&value.map_or_else(|| "-".into(), show));
                }
            }
        }
        line
    }
}

fn find(name: &str) -> Option<&'static str> {
    let short = SHORT_NAMES.iter().find(|(short, _)| *short == name).map(|(_, field)| *field);
    short
        .or_else(|| FIELDS.into_iter().find(|field| *field == name))
        .or_else(|| FIELDS.into_iter().find(|field| unit_less(field) == name))
}

/// Name of a field without its unit: `power` for `power_w`.
fn unit_less(field: &str) -> &str {
    const UNITS: [&str; 7] = ["_c", "_pct", "_w", "_a", "_v", "_s", "_dbm"];
    UNITS.iter().find_map(|unit| field.strip_suffix(unit)).unwrap_or(field)
}

fn invalid(what: &str) -> Failure {
    Failure::usage(format!(
        "invalid --template: {what}; the fields are {}; a name may be without its unit, and room is temperature_c",
        FIELDS.join(", ")
    ))
}

/// Formats a value as in JSON, text without quotes.
fn show(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Text(text) => printable(text),
        Value::List(list) => list.iter().map(show).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Record(_) => {
            printable(&serde_json::to_string(value).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update() -> Record {
        let mut update = Record::new();
        update.put("name", "Hall\u{1b}[2J").put("temperature_c", 20.0).put("power_w", None::<f64>);
        update.put("locked", true).put("changed", vec![Value::from("a"), Value::from("b")]);
        update
    }

    #[test]
    fn fields_are_filled_in_escaped_and_unknown_values_are_a_dash() {
        for (template, line) in [
            ("{name}: {room} °C {power} W", "Hall\\u{1b}[2J: 20.0 °C - W"),
            ("{temperature_c}{temperature}{ room }", "20.020.020.0"),
            ("{{{locked}}} {{}} {changed}", "{true} {} a,b"),
            ("{fan}", "-"),
            ("no field", "no field"),
            ("", ""),
        ] {
            assert_eq!(Template::parse(template).unwrap().fill(&update()), line, "{template}");
        }
    }

    #[test]
    fn an_invalid_template_is_refused_with_the_fields() {
        for template in ["{nmae}", "{", "{name", "}", "a } b", "{}", "{{name}", "{name}}"] {
            let failure = Template::parse(template).unwrap_err();
            assert_eq!(failure.exit, crate::support::exit::Exit::Usage);
            let text = failure.to_string();
            assert!(
                text.contains("temperature_c, setpoint_c") && text.contains("pending"),
                "{template}: {text}"
            );
        }
        assert!(Template::parse("{nmae}").unwrap_err().to_string().contains("unknown field 'nmae'"));
    }

    #[test]
    fn no_two_fields_have_one_short_name() {
        let mut names: Vec<&str> = FIELDS.into_iter().map(unit_less).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIELDS.len());
    }
}
