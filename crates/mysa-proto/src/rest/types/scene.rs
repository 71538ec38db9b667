use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::rest::fields::Fields;
use crate::rest::{DecodeError, ResourceId, body};

/// The scenes of a home: the answer to [`scenes`](crate::rest::scenes). One witness.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Scenes {
    /// The scenes.
    pub scenes: Vec<Scene>,
    /// Other members of the body.
    pub extra: Map<String, Value>,
}

/// One scene: what the thermostats of a home do when it is applied.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scene {
    /// `Id`: the home's, and `_home`, `_away` or `_vacation`.
    pub id: ResourceId,
    /// `DeviceActions` by device.
    pub actions: Map<String, Value>,
    /// The members without a place above.
    pub extra: Map<String, Value>,
}

impl Scenes {
    /// Reads the body. A scene without an id is left out.
    ///
    /// # Errors
    /// Not JSON, or no list of `Scenes`.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut map = body::object(body)?;
        let Some(Value::Array(items)) = map.remove("Scenes") else {
            return Err(DecodeError::wrong_shape("Scenes", &Value::Object(map)));
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
