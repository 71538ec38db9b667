use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::rest::fields::Fields;
use crate::rest::{BodyError, ResourceId, body};

/// Scenes of a home: the answer to [`scenes`](crate::rest::scenes). One witness.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Scenes {
    /// The scenes.
    pub scenes: Vec<Scene>,
    /// Other members of the body.
    pub extra: Map<String, Value>,
}

/// Scene: actions of the thermostats of a home.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scene {
    /// `Id`: the home's id followed by `_home`, `_away` or `_vacation`.
    pub id: ResourceId,
    /// `DeviceActions` by device.
    pub actions: Map<String, Value>,
    /// Unknown members.
    pub extra: Map<String, Value>,
}

impl Scenes {
    /// Decodes the body. Scenes without an id are left out.
    ///
    /// # Errors
    /// The body is not JSON or has no list `Scenes`.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut map = body::object(body)?;
        let Some(Value::Array(items)) = map.remove("Scenes") else {
            return Err(BodyError::wrong_shape("Scenes", &Value::Object(map)));
        };
        let scene = |mut fields: Fields| {
            Some(Scene {
                id: fields.id("Id")?,
                actions: fields.take_object("DeviceActions").map(Fields::rest).unwrap_or_default(),
                extra: fields.rest(),
            })
        };
        Ok(Self { scenes: items.into_iter().filter_map(Fields::of).filter_map(scene).collect(), extra: map })
    }
}
