use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::types::home::energy_rate;
use crate::rest::{BodyError, ResourceId, body};
use crate::{DeviceId, UnixTime};

/// Signed-in user: the answer to [`users`](crate::rest::users).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct User {
    /// `Id`: a UUID, equal to `sub` of the id token.
    pub id: ResourceId,
    /// `AllowedDevices`.
    pub allowed_devices: Vec<DeviceId>,
    /// `AllowedHomes`.
    pub allowed_homes: Vec<ResourceId>,
    /// `PrimaryHome`.
    pub primary_home: Option<ResourceId>,
    /// `ERate`: price of a kilowatt-hour.
    pub energy_rate: Option<f64>,
    /// `LanguagePreference`.
    pub language: Option<String>,
    /// `DevicesPaired`, which has the true model of a thermostat even if its record was edited.
    pub paired: BTreeMap<DeviceId, PairedDevice>,
    /// Unknown members, and known ones whose value could not be read. `CognitoAttrs` contains the e-mail address.
    pub extra: Map<String, Value>,
}

/// Record of a thermostat's pairing.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PairedDevice {
    /// `deviceType`, a model.
    pub model: Option<String>,
    /// `firstPairingTimestamp`.
    pub first: Option<UnixTime>,
    /// `latestPairingTimestamp`.
    pub latest: Option<UnixTime>,
}

impl User {
    /// Decodes the body: `User`, `UserObj` as in one project, or a bare user.
    ///
    /// # Errors
    /// The body is not JSON or has no user with an `Id`.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut map = body::object(body)?;
        for name in ["User", "UserObj"] {
            if map.get(name).is_some_and(Value::is_object)
                && let Some(user) = map.remove(name)
            {
                return Self::of(user).ok_or(BodyError::WrongShape {
                    expected: "a user with its Id",
                    found: "an object without it".into(),
                });
            }
        }
        let fallback = BodyError::wrong_shape("User", &Value::Null);
        Self::of(Value::Object(map)).ok_or(fallback)
    }

    pub(in crate::rest) fn of(value: Value) -> Option<Self> {
        let mut fields = Fields::of(value)?;
        Some(Self {
            id: fields.id("Id")?,
            allowed_devices: fields.devices("AllowedDevices").unwrap_or_default(),
            allowed_homes: fields
                .texts("AllowedHomes")
                .into_iter()
                .flatten()
                .filter_map(|id| ResourceId::new(&id))
                .collect(),
            primary_home: fields.id("PrimaryHome"),
            energy_rate: fields.take(&["ERate"], energy_rate),
            language: fields.text("LanguagePreference"),
            paired: fields.take(&["DevicesPaired"], paired).unwrap_or_default(),
            extra: fields.rest(),
        })
    }
}

fn paired(value: &Value) -> Option<BTreeMap<DeviceId, PairedDevice>> {
    let families = value.get("State")?.as_object()?;
    let devices = families.values().filter_map(Value::as_object).flatten();
    Some(
        devices
            .filter_map(|(id, paired)| {
                let mut fields = Fields::of(paired.clone())?;
                let device = PairedDevice {
                    model: fields.text("deviceType"),
                    first: fields.take(&["firstPairingTimestamp"], fields::time),
                    latest: fields.take(&["latestPairingTimestamp"], fields::time),
                };
                Some((DeviceId::new(id)?, device))
            })
            .collect(),
    )
}
