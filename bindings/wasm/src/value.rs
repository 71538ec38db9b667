//! Values of JavaScript.

use js_sys::{JSON, Object, Reflect};
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast as _, JsValue};

use crate::error::error;

/// Sets a property of a new object, which cannot fail.
pub(crate) fn set(object: &JsValue, name: &str, value: impl Into<JsValue>) {
    let _ = Reflect::set(object, &name.into(), &value.into());
}

/// Sets a property if there is a value.
pub(crate) fn set_some(object: &JsValue, name: &str, value: Option<impl Into<JsValue>>) {
    if let Some(value) = value {
        set(object, name, value);
    }
}

pub(crate) fn object() -> JsValue {
    Object::new().into()
}

/// Converts JSON text to a JavaScript value.
pub(crate) fn from_json(text: &str) -> Result<JsValue, JsValue> {
    JSON::parse(text)
}

/// Reads a plain JavaScript object.
pub(crate) fn read<T: DeserializeOwned>(value: &JsValue, what: &str) -> Result<T, JsValue> {
    let text = JSON::stringify(value).ok().and_then(|text| text.as_string());
    let text = text.ok_or_else(|| error(format!("expected {what}")))?;
    serde_json::from_str(&text).map_err(|cause| error(format!("invalid {what}: {cause}")))
}

/// Takes text as it is, and the bytes of a typed array or an `ArrayBuffer`.
pub(crate) fn bytes(value: &JsValue) -> Result<Vec<u8>, JsValue> {
    if let Some(text) = value.as_string() {
        return Ok(text.into_bytes());
    }
    if let Some(buffer) = value.dyn_ref::<js_sys::ArrayBuffer>() {
        return Ok(js_sys::Uint8Array::new(buffer).to_vec());
    }
    if let Some(array) = value.dyn_ref::<js_sys::Uint8Array>() {
        return Ok(array.to_vec());
    }
    Err(error("expected a string, a Uint8Array or an ArrayBuffer"))
}

/// Returns whole seconds of a time in milliseconds, such as `Date.now()`.
pub(crate) fn seconds(millis: f64) -> Result<i64, JsValue> {
    // Year 9999: beyond it, no timestamp of the protocol exists.
    if !(0.0..253_402_300_800_000.0).contains(&millis) {
        return Err(error(format!(
            "invalid time {millis}: expected milliseconds since 1970, such as Date.now()"
        )));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    Ok((millis / 1_000.0) as i64)
}
