use alloc::string::String;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::types::schedule::member;
use crate::rest::{DecodeError, ResourceId, body};
use crate::{Celsius, DeviceId, Mode, UnixTime};

/// Active hold: the answer to [`hold`](crate::rest::hold()). The structure is that of the request, because the answer
/// is unknown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HoldState {
    /// `holdId` or `id`.
    pub id: Option<ResourceId>,
    /// `deviceId`.
    pub device: Option<DeviceId>,
    /// `holdType` is `permanent`; `None` if it is neither that nor `temporary`.
    pub permanent: Option<bool>,
    /// `startTime`.
    pub start: Option<UnixTime>,
    /// `endTime`.
    pub end: Option<UnixTime>,
    /// `state.modes.mode`.
    pub mode: Option<Mode>,
    /// `state.targetHeat.setpoint`.
    pub heat_setpoint: Option<Celsius>,
    /// `state.targetCool.setpoint`.
    pub cool_setpoint: Option<Celsius>,
    /// The whole `state`.
    pub state: Map<String, Value>,
    /// Unknown members.
    pub extra: Map<String, Value>,
}

impl HoldState {
    /// Decodes the body, bare or under `hold` or `data`.
    ///
    /// # Errors
    /// The body is not JSON or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::from(body::object(body)?);
        if let Some(inner) = ["hold", "data"].iter().find_map(|name| fields.take_object(name)) {
            fields = inner;
        }
        let state = fields.take_object("state").map(Fields::rest).unwrap_or_default();
        Ok(Self {
            id: fields.id("holdId").or_else(|| fields.id("id")),
            device: fields.take(&["deviceId"], |device| DeviceId::new(device.as_str()?)),
            permanent: fields.take(&["holdType"], |kind| match kind.as_str()? {
                "permanent" => Some(true),
                "temporary" => Some(false),
                _ => None,
            }),
            start: fields.time("startTime"),
            end: fields.time("endTime"),
            mode: member(&state, "modes", "mode").and_then(fields::integer).map(Mode::from_structured),
            heat_setpoint: member(&state, "targetHeat", "setpoint").and_then(fields::celsius),
            cool_setpoint: member(&state, "targetCool", "setpoint").and_then(fields::celsius),
            state,
            extra: fields.rest(),
        })
    }
}

/// Answer to a new hold.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HoldCreated {
    /// `holdId`.
    pub id: ResourceId,
}

impl HoldCreated {
    /// Decodes the body.
    ///
    /// # Errors
    /// The body is not JSON or has no `holdId`.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::from(body::object(body)?);
        match fields.id("holdId") {
            Some(id) => Ok(Self { id }),
            None => Err(DecodeError::wrong_shape("holdId", &Value::Object(fields.rest()))),
        }
    }
}
