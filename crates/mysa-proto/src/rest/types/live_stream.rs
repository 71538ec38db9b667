use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::DeviceId;
use crate::rest::fields::Fields;
use crate::rest::{BodyError, body};

/// Result of a request for live reporting: the answer to [`live_stream`](crate::rest::live_stream()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LiveStream {
    /// `streamedDeviceIds`.
    pub streamed: Vec<DeviceId>,
    /// `skippedDeviceIds`.
    pub skipped: Vec<DeviceId>,
    /// `failedDeviceIds`.
    pub failed: Vec<DeviceId>,
    /// Unknown members, such as `message`.
    pub extra: Map<String, Value>,
}

impl LiveStream {
    /// Decodes the body.
    ///
    /// # Errors
    /// The body is not JSON or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut fields = Fields::from(body::object(body)?);
        Ok(Self {
            streamed: fields.devices("streamedDeviceIds").unwrap_or_default(),
            skipped: fields.devices("skippedDeviceIds").unwrap_or_default(),
            failed: fields.devices("failedDeviceIds").unwrap_or_default(),
            extra: fields.rest(),
        })
    }
}
