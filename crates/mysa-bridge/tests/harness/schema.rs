//! Interpreter of the part of JSON Schema that `tests/data/discovery.schema.json` uses.

use serde_json::Value;

/// Checks a discovery message against the schema of the repository.
///
/// # Errors
/// The place and the rule that it breaks.
pub(crate) fn check_discovery(message: &Value) -> Result<(), String> {
    let schema: Value =
        serde_json::from_str(include_str!("../data/discovery.schema.json")).expect("the schema is JSON");
    check(message, &schema, &schema, "discovery")?;
    // Rules that join two keys, which the schema's keywords cannot express.
    for (key, component) in message["components"].as_object().expect("an object") {
        let is_enum = component["device_class"] == "enum";
        if component["platform"] == "sensor" && is_enum == component["options"].is_null() {
            return Err(format!("{key}: options and the device class enum belong together"));
        }
        if is_enum && !(component["unit_of_measurement"].is_null() && component["state_class"].is_null()) {
            return Err(format!("{key}: an enum has no unit"));
        }
        let text = component.to_string();
        if text.contains("object_id") {
            return Err(format!("{key}: object_id was removed"));
        }
    }
    Ok(())
}

fn check(value: &Value, schema: &Value, root: &Value, at: &str) -> Result<(), String> {
    let fail = |rule: &str| Err(format!("{at}: {rule}: {value}"));
    let Value::Object(rules) = schema else { panic!("{at}: not a schema") };
    for (rule, wanted) in rules {
        match rule.as_str() {
            "type" if !has_type(value, wanted.as_str().expect("a type")) => {
                return fail(&format!("not {wanted}"));
            }
            "const" if !same(value, wanted) => return fail(&format!("not {wanted}")),
            "enum" if !wanted.as_array().expect("a list").iter().any(|one| same(value, one)) => {
                return fail("not one of the values");
            }
            "required" => {
                for name in wanted.as_array().expect("a list") {
                    if value.get(name.as_str().expect("a name")).is_none() {
                        return fail(&format!("{name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    if let Some(wanted) = wanted.get(name) {
                        check(member, wanted, root, &format!("{at}.{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    let known = rules.get("properties").is_some_and(|known| known.get(name).is_some());
                    match wanted {
                        _ if known => {}
                        Value::Bool(false) => return fail(&format!("unknown key {name}")),
                        wanted => check(member, wanted, root, &format!("{at}.{name}"))?,
                    }
                }
            }
            "items" => {
                for member in value.as_array().into_iter().flatten() {
                    check(member, wanted, root, &format!("{at}[]"))?;
                }
            }
            "minItems"
                if value
                    .as_array()
                    .is_some_and(|list| (list.len() as u64) < wanted.as_u64().expect("a count")) =>
            {
                return fail("too few items");
            }
            "minimum" if value.as_f64().is_some_and(|number| number < wanted.as_f64().expect("a number")) => {
                return fail("too small");
            }
            "pattern" => {
                let prefix = wanted.as_str().and_then(|pattern| pattern.strip_prefix('^')).expect("a prefix");
                if !value.as_str().is_some_and(|text| text.starts_with(prefix)) {
                    return fail(&format!("does not begin with {prefix}"));
                }
            }
            "$ref" => {
                let path =
                    wanted.as_str().and_then(|path| path.strip_prefix('#')).expect("a local reference");
                check(value, root.pointer(path).expect("a definition"), root, at)?;
            }
            "oneOf" => {
                let results: Vec<_> = wanted
                    .as_array()
                    .expect("a list")
                    .iter()
                    .map(|one| check(value, one, root, at))
                    .collect();
                if results.iter().filter(|result| result.is_ok()).count() != 1 {
                    return Err(format!("{at}: none or several of {results:?}"));
                }
            }
            "type" | "const" | "enum" | "minItems" | "minimum" | "$schema" | "title" | "$defs" => {}
            other => panic!("{at}: the keyword {other} is not supported"),
        }
    }
    Ok(())
}

/// Numbers are equal by value: 1.0 is 1.
fn same(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().is_some_and(|one| other.as_f64() == Some(one))
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    }
}
