//! Finds thermostats by name or id.

use mysa_proto::DeviceId;

use crate::support::exit::{Exit, Failure, Result};

/// Finds a thermostat by its id, its name, or the start of its name. Case matters only between names that differ in nothing
/// else.
///
/// # Errors
/// No thermostat matches, or several do; the message lists them.
pub(crate) fn find<'a>(
    wanted: &str,
    devices: impl Iterator<Item = (&'a DeviceId, &'a str)> + Clone,
) -> Result<DeviceId> {
    if let Some(id) = DeviceId::new(wanted)
        && devices.clone().any(|(known, _)| *known == id)
    {
        return Ok(id);
    }
    let mut as_typed = devices.clone().filter(|(_, name)| !name.is_empty() && *name == wanted);
    if let (Some((id, _)), None) = (as_typed.next(), as_typed.next()) {
        return Ok(*id);
    }
    let folded = wanted.to_lowercase();
    let exact = matching(devices.clone(), |name| !folded.is_empty() && name == folded);
    if let [(id, _)] = exact.as_slice() {
        return Ok(*id);
    }
    let found = matching(devices.clone(), |name| !folded.is_empty() && name.starts_with(&folded));
    match found.as_slice() {
        [(id, _)] => Ok(*id),
        [] => Err(Failure::new(
            Exit::Usage,
            format!("no thermostat matches '{wanted}'; the account has: {}", list(devices)),
        )),
        several => Err(Failure::new(
            Exit::Usage,
            format!(
                "'{wanted}' matches several thermostats: {}; type more of the name, or the id",
                list(several.iter().map(|(id, name)| (id, *name)))
            ),
        )),
    }
}

/// Parses a device id: twelve hex digits. For use without a list of names.
pub(crate) fn as_id(wanted: &str) -> Option<DeviceId> {
    let is_id = wanted.len() == 12 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    DeviceId::new(wanted).filter(|_| is_id)
}

/// Error for a name when no list of thermostats is stored.
pub(crate) fn unknown_without_list(wanted: &str) -> Failure {
    Failure::usage(format!(
        "'{wanted}' is not a device id, and names are known only after a sign in; use the id, or run `mysa login` first"
    ))
}

fn matching<'a>(
    devices: impl Iterator<Item = (&'a DeviceId, &'a str)>,
    fits: impl Fn(&str) -> bool,
) -> Vec<(DeviceId, &'a str)> {
    devices.filter(|(_, name)| fits(&name.to_lowercase())).map(|(id, name)| (*id, name)).collect()
}

fn list<'a>(devices: impl Iterator<Item = (&'a DeviceId, &'a str)>) -> String {
    let names: Vec<String> = devices
        .map(|(id, name)| if name.is_empty() { id.to_string() } else { format!("'{name}' ({id})") })
        .collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(wanted: &str) -> std::result::Result<String, String> {
        let home = [
            ("a0b1c2d3e4f5", "Living room"),
            ("a0b1c2d3e4f6", "Living room window"),
            ("a0b1c2d3e4f7", "Böden"),
            ("a0b1c2d3e4f8", ""),
            ("a0b1c2d3e4f9", "Den"),
            ("a0b1c2d3e4fa", "den"),
        ]
        .map(|(id, name)| (DeviceId::new(id).unwrap(), name));
        find(wanted, home.iter().map(|(id, name)| (id, *name)))
            .map(|id| id.to_string())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_thermostat_is_found_by_id_name_and_prefix() {
        for (wanted, id) in [
            ("A0B1C2D3E4F8", "a0b1c2d3e4f8"),
            ("living ROOM", "a0b1c2d3e4f5"),
            ("living room w", "a0b1c2d3e4f6"),
            ("BÖ", "a0b1c2d3e4f7"),
            ("Den", "a0b1c2d3e4f9"),
            ("den", "a0b1c2d3e4fa"),
        ] {
            assert_eq!(found(wanted).as_deref(), Ok(id), "{wanted}");
        }
    }

    #[test]
    fn an_ambiguous_or_unknown_name_is_refused_with_the_list() {
        let several = found("living").unwrap_err();
        assert!(several.contains("a0b1c2d3e4f5") && several.contains("a0b1c2d3e4f6"), "{several}");
        assert!(!several.contains("Böden"), "{several}");
        assert!(found("cellar").unwrap_err().contains("Böden"));
        assert!(found("DEN").unwrap_err().contains("a0b1c2d3e4fa"));
        assert!(found("").is_err());
    }
}
