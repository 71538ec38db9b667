use alloc::string::String;
use serde_json::{Map, Value};

use crate::rest::fields::Fields;
use crate::rest::{BodyError, DeviceList, Homes, ResourceId, User, body};

/// Version of the app for [`bootstrap`](crate::rest::bootstrap()) and [`feature_flags`](crate::rest::feature_flags)
/// (seen by one client in October 2026).
pub const APP_VERSION: &str = "4.20.1";

/// User, homes and devices: the answer to [`bootstrap`](crate::rest::bootstrap()).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Bootstrap {
    /// `meta.region`.
    pub region: Option<String>,
    /// `meta.primaryHomeId`.
    pub primary_home: Option<ResourceId>,
    /// `meta.activeHomeId`.
    pub active_home: Option<ResourceId>,
    /// `data.user`.
    pub user: Option<User>,
    /// `data.homes`.
    pub homes: Homes,
    /// `data.devices`.
    pub devices: DeviceList,
    /// Other members of `data`.
    pub extra: Map<String, Value>,
}

impl Bootstrap {
    /// Decodes the body.
    ///
    /// # Errors
    /// The body is not JSON or has no `data`.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut fields = Fields::from(body::object(body)?);
        let mut meta = fields.take_object("meta").unwrap_or_default();
        let Some(mut data) = fields.take_object("data") else {
            return Err(BodyError::wrong_shape("data", &Value::Object(fields.rest())));
        };
        Ok(Self {
            region: meta.text("region"),
            primary_home: meta.id("primaryHomeId"),
            active_home: meta.id("activeHomeId"),
            user: data.take_value("user").and_then(User::of),
            homes: data.take_value("homes").map(Homes::of).unwrap_or_default(),
            devices: data.take_value("devices").map(DeviceList::of).unwrap_or_default(),
            extra: data.rest(),
        })
    }
}
