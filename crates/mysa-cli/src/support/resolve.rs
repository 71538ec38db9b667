//! Thermostats by name.

use mysa_proto::DeviceId;

use crate::support::exit::{Exit, Failure, Result};

/// Finds the one thermostat that `wanted` means: by id, by name, or by the beginning of its name, whatever the case.
///
/// # Errors
/// If it means none, or several: then the message lists them.
pub(crate) fn find<'a>(
    wanted: &str,
    devices: impl Iterator<Item = (&'a DeviceId, &'a str)> + Clone,
) -> Result<DeviceId> {
    if let Some(id) = DeviceId::new(wanted)
        && devices.clone().any(|(known, _)| *known == id)
    {
        return Ok(id);
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
            format!("no thermostat is called '{wanted}'; there are: {}", list(devices)),
        )),
        several => Err(Failure::new(
            Exit::Usage,
            format!(
                "'{wanted}' may mean {}; give more of the name, or the id",
                list(several.iter().map(|(id, name)| (id, *name)))
            ),
        )),
    }
}

/// A name nobody has, but which can only be an id: twelve hex digits.
pub(crate) fn as_id(wanted: &str) -> Option<DeviceId> {
    let is_id = wanted.len() == 12 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    DeviceId::new(wanted).filter(|_| is_id)
}

/// Names are known from the last sign-in only.
pub(crate) fn unknown_without_list(wanted: &str) -> Failure {
    Failure::usage(format!(
        "'{wanted}' is not an id, and no list of thermostats is kept here to look for its name in; give the id, or sign in first"
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
        ]
        .map(|(id, name)| (DeviceId::new(id).unwrap(), name));
        find(wanted, home.iter().map(|(id, name)| (id, *name)))
            .map(|id| id.to_string())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn an_id_a_name_and_the_beginning_of_one_find_a_thermostat() {
        for (wanted, id) in [
            ("A0B1C2D3E4F8", "a0b1c2d3e4f8"),
            ("living ROOM", "a0b1c2d3e4f5"),
            ("living room w", "a0b1c2d3e4f6"),
            ("BÖ", "a0b1c2d3e4f7"),
        ] {
            assert_eq!(found(wanted).as_deref(), Ok(id), "{wanted}");
        }
    }

    #[test]
    fn what_means_several_or_none_is_refused_with_the_list() {
        let several = found("living").unwrap_err();
        assert!(several.contains("a0b1c2d3e4f5") && several.contains("a0b1c2d3e4f6"), "{several}");
        assert!(!several.contains("Böden"), "{several}");
        assert!(found("cellar").unwrap_err().contains("Böden"));
        assert!(found("").is_err());
    }
}
