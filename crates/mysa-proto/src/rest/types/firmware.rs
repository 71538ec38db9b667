use alloc::collections::BTreeMap;
use alloc::string::String;

use serde_json::{Map, Value};

use crate::DeviceId;
use crate::rest::fields::Fields;
use crate::rest::{BodyError, body};

/// Installed firmware of every thermostat: the answer to [`firmware`](crate::rest::firmware()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Firmware {
    /// `InstalledVersion` by device; `None` if the service does not know it.
    pub installed: BTreeMap<DeviceId, Option<String>>,
    /// Other members of the body, and entries that could not be parsed.
    pub extra: Map<String, Value>,
}

impl Firmware {
    /// Decodes the body.
    ///
    /// # Errors
    /// The body is not JSON or has no `Firmware`.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut map = body::object(body)?;
        let entries = match map.remove("Firmware") {
            Some(Value::Object(entries)) => entries,
            _ => return Err(BodyError::wrong_shape("Firmware", &Value::Object(map))),
        };
        let mut firmware = Self { extra: map, ..Self::default() };
        for (key, entry) in entries {
            match (DeviceId::new(&key), entry) {
                (Some(id), Value::Object(entry)) => {
                    firmware.installed.insert(id, Fields::from(entry).text("InstalledVersion"));
                }
                (Some(id), Value::Null) => {
                    firmware.installed.insert(id, None);
                }
                (_, other) => {
                    firmware.extra.insert(key, other);
                }
            }
        }
        Ok(firmware)
    }
}

/// Offer of newer firmware: the answer to [`update_available`](crate::rest::update_available()). Only the vendor's app
/// can install it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct UpdateAvailable {
    /// `update`.
    pub update: Option<bool>,
    /// `installedVersion`.
    pub installed: Option<String>,
    /// `allowedVersion`.
    pub allowed: Option<String>,
    /// Unknown members.
    pub extra: Map<String, Value>,
}

impl UpdateAvailable {
    /// Decodes the body.
    ///
    /// # Errors
    /// The body is not JSON or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut fields = Fields::from(body::object(body)?);
        Ok(Self {
            update: fields.flag("update"),
            installed: fields.text("installedVersion"),
            allowed: fields.text("allowedVersion"),
            extra: fields.rest(),
        })
    }
}
