use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::DeviceId;
use crate::rest::fields::{self, Fields};
use crate::rest::{DecodeError, ResourceId, body};

/// Home of the account.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Home {
    /// `Id`.
    pub id: ResourceId,
    /// `Name`.
    pub name: Option<String>,
    /// `Owner`, a user.
    pub owner: Option<ResourceId>,
    /// `AllowedUsers`.
    pub allowed_users: Vec<String>,
    /// `ERate`: price of a kilowatt-hour in the home's currency, as a number or as typed text with a decimal comma or a
    /// currency sign. `None` if it is invalid or negative.
    pub energy_rate: Option<f64>,
    /// `Zones`.
    pub zones: Vec<Zone>,
    /// Unknown members, such as `Address`, and known ones whose value could not be read.
    pub extra: Map<String, Value>,
}

/// Zone of a home.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Zone {
    /// `Id`.
    pub id: ResourceId,
    /// `Name`.
    pub name: Option<String>,
    /// `Owner`, a user.
    pub owner: Option<ResourceId>,
    /// `DeviceIds`. If `None`, the `Zone` of the device records decides.
    pub devices: Option<Vec<DeviceId>>,
    /// Unknown members, and known ones whose value could not be read.
    pub extra: Map<String, Value>,
}

impl Home {
    fn of(value: Value) -> Result<Self, Value> {
        let Some(id) = value.get("Id").and_then(Value::as_str).and_then(ResourceId::new) else {
            return Err(value);
        };
        let Some(mut fields) = Fields::of(value) else { return Err(Value::Null) };
        fields.take_value("Id");
        Ok(Self {
            id,
            name: fields.text("Name"),
            owner: fields.id("Owner"),
            allowed_users: fields.texts("AllowedUsers").unwrap_or_default(),
            energy_rate: fields.take(&["ERate"], energy_rate),
            zones: fields.take_array("Zones").into_iter().flatten().filter_map(Zone::of).collect(),
            extra: fields.rest(),
        })
    }
}

impl Zone {
    fn of(value: Value) -> Option<Self> {
        let mut fields = Fields::of(value)?;
        Some(Self {
            id: fields.id("Id")?,
            name: fields.text("Name"),
            owner: fields.id("Owner"),
            devices: fields.devices("DeviceIds"),
            extra: fields.rest(),
        })
    }
}

/// Homes of the account: the answer to [`homes`](crate::rest::homes) and [`home`](crate::rest::home()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Homes {
    /// The homes.
    pub homes: Vec<Home>,
    /// Homes that could not be parsed.
    pub rejected: Vec<Value>,
    /// Other members of the body.
    pub extra: Map<String, Value>,
}

impl Homes {
    /// Decodes the body: `Homes` as a list or an object, one `Home`, or one bare home.
    ///
    /// # Errors
    /// The body is not JSON or has no home.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut map = body::object(body)?;
        if let Some(homes) = map.remove("Homes") {
            return Ok(Self { extra: map, ..Self::of(homes) });
        }
        if let Some(home) = map.remove("Home").filter(Value::is_object) {
            return Ok(Self { extra: map, ..Self::of(Value::Array(alloc::vec![home])) });
        }
        let bare = Self::of(Value::Array(alloc::vec![Value::Object(map.clone())]));
        if bare.homes.is_empty() {
            Err(DecodeError::wrong_shape("Homes", &Value::Object(map)))
        } else {
            Ok(bare)
        }
    }

    pub(in crate::rest) fn of(value: Value) -> Self {
        let items: Vec<Value> = match value {
            Value::Array(items) => items,
            Value::Object(map) => map.into_iter().map(|(_, home)| home).collect(),
            _ => Vec::new(),
        };
        let mut homes = Self::default();
        for item in items {
            match Home::of(item) {
                Ok(home) => homes.homes.push(home),
                Err(value) => homes.rejected.push(value),
            }
        }
        homes
    }
}

/// Price of a kilowatt-hour, as a number or as typed text with a decimal comma or a currency sign before or after it.
/// `None` if it is invalid or negative.
pub(in crate::rest) fn energy_rate(value: &Value) -> Option<f64> {
    let rate = match value {
        Value::String(text) => {
            let price = text.trim_matches(|c: char| !c.is_ascii_digit() && c != '.' && c != ',' && c != '-');
            if price.contains('.') { price.parse().ok() } else { price.replacen(',', ".", 1).parse().ok() }
        }
        other => fields::number(other),
    };
    rate.filter(|rate: &f64| rate.is_finite() && *rate >= 0.0)
}
