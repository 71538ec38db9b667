use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::DeviceId;
use crate::rest::fields::{self, Fields};
use crate::rest::{BodyError, ResourceId, body};

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
    /// Currency of the rate: the sign or code typed with `ERate`, such as `$`. No witness has a member of its own for it.
    pub currency: Option<String>,
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
        let currency = fields.as_map().get("ERate").and_then(currency);
        Ok(Self {
            id,
            name: fields.text("Name"),
            owner: fields.id("Owner"),
            allowed_users: fields.texts("AllowedUsers").unwrap_or_default(),
            energy_rate: fields.take(&["ERate"], energy_rate),
            currency,
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
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut map = body::object(body)?;
        if let Some(homes) = map.remove("Homes") {
            return Ok(Self { extra: map, ..Self::of(homes) });
        }
        if let Some(home) = map.remove("Home").filter(Value::is_object) {
            return Ok(Self { extra: map, ..Self::of(Value::Array(alloc::vec![home])) });
        }
        let bare = Self::of(Value::Array(alloc::vec![Value::Object(map.clone())]));
        if bare.homes.is_empty() {
            Err(BodyError::wrong_shape("Homes", &Value::Object(map)))
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
            let price = text.trim_matches(|c| !is_of_price(c));
            if price.contains('.') { price.parse().ok() } else { price.replacen(',', ".", 1).parse().ok() }
        }
        other => fields::number(other),
    };
    rate.filter(|rate: &f64| rate.is_finite() && *rate >= 0.0)
}

fn is_of_price(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '.' | ',' | '-')
}

/// Text before or after the price of an [`energy_rate`], if there is a price.
fn currency(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|_| energy_rate(value).is_some())?;
    let price = text.trim_matches(|c| !is_of_price(c));
    let (before, after) = text.split_once(price)?;
    let name = if before.trim().is_empty() { after } else { before };
    // As in `$/kWh`.
    let name = name.split('/').next().unwrap_or_default().trim();
    Some(String::from(name)).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_the_currency_that_was_typed_with_it() {
        for (rate, price, currency) in [
            (r#""$0.07""#, Some(0.07), Some("$")),
            (r#""€ 0,12""#, Some(0.12), Some("€")),
            (r#""0.15 CAD""#, Some(0.15), Some("CAD")),
            (r#""0.15 $/kWh""#, Some(0.15), Some("$")),
            (r#""0,15""#, Some(0.15), None),
            ("0.113", Some(0.113), None),
            (r#""cheap""#, None, None),
            (r#""$""#, None, None),
            (r#""-1 $""#, None, None),
            ("null", None, None),
        ] {
            let body = alloc::format!(r#"{{"Homes":[{{"Id":"a","ERate":{rate}}}]}}"#);
            let home = Homes::decode(body.as_bytes()).unwrap().homes.remove(0);
            assert_eq!((home.energy_rate, home.currency.as_deref()), (price, currency), "{rate}");
        }
    }
}
