use mysa_explain::{explain, explain_payload};
use mysa_proto::{
    Change, Command, DeviceId, EnvelopeForm, EnvelopeMeta, Limits, ModeTable, Model, Topic, UnixTime,
    encode_live_report,
};
use serde::Deserialize;
use serde_json::Value;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::error;
use crate::value::{bytes, from_json, object, read, seconds, set};

#[derive(Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "an object with device, model, change, time and appRef"
)]
struct CommandRequest {
    device: String,
    model: Model,
    change: Value,
    time: f64,
    id: Option<u64>,
    app_ref: String,
}

/// Reads the settings to change. A name that is not a setting is an error: it must not be ignored silently.
fn change(given: Value) -> Result<Change, JsValue> {
    let names: Vec<String> = given.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    if !given.is_object() {
        return Err(error("invalid change: expected an object, such as { setpoint: 21.5 }"));
    }
    let change: Change =
        serde_json::from_value(given).map_err(|cause| error(format!("invalid change: {cause}")))?;
    let known = serde_json::to_value(change).map_err(error)?;
    if let Some(unknown) = names.iter().find(|name| known.get(name.as_str()).is_none()) {
        return Err(error(format!("invalid change: '{unknown}' has no value or is not a setting")));
    }
    if names.is_empty() {
        return Err(error("invalid change: expected at least one setting, such as { setpoint: 21.5 }"));
    }
    Ok(change)
}

fn device_id(text: &str) -> Result<DeviceId, JsValue> {
    DeviceId::new(text).ok_or_else(|| {
        error(format!(
            "invalid thermostat '{text}': expected an id of letters, digits, - and _, such as a0b1c2d3e4f6"
        ))
    })
}

/// Explains one message of a thermostat. The topic is that of the packet; without one, it is guessed.
///
/// An invalid payload gives `{ message: "unreadable", error: … }`: thermostats send one every few days, so keep the
/// connection.
///
/// @throws if the topic is not one of a thermostat.
#[wasm_bindgen(js_name = decodeMessage, unchecked_return_type = "Explanation")]
pub fn decode_message(
    #[wasm_bindgen(unchecked_param_type = "string | Uint8Array | ArrayBuffer")] payload: &JsValue,
    topic: Option<String>,
) -> Result<JsValue, JsValue> {
    let topic = match topic {
        Some(text) => Some(Topic::parse(text.as_bytes()).ok_or_else(|| {
            error(format!("invalid topic '{text}': expected a topic such as /v1/dev/ID/out"))
        })?),
        None => None,
    };
    from_json(&explain_payload(topic, &bytes(payload)?, &ModeTable::OBSERVED).to_json())
}

/// Explains whatever was captured: a payload, lines of a log with topic and payload, MQTT packets (bytes, hex or base64), a
/// HAR file of a browser, or readings of a batch.
///
/// @throws if the input is empty.
#[wasm_bindgen(js_name = explain, unchecked_return_type = "Explanation[]")]
pub fn explain_input(
    #[wasm_bindgen(unchecked_param_type = "string | Uint8Array | ArrayBuffer")] input: &JsValue,
) -> Result<Vec<JsValue>, JsValue> {
    let records = explain(&bytes(input)?, None, &ModeTable::OBSERVED).map_err(error)?;
    records.iter().map(|record| from_json(&record.to_json())).collect()
}

/// Topics of a thermostat: publish to `in`, subscribe to `out` and `batch`.
///
/// @throws if the id is empty, too long, or has other characters than letters, digits, `-` and `_`.
#[wasm_bindgen(unchecked_return_type = "{ in: string; out: string; batch: string }")]
pub fn topics(device: &str) -> Result<JsValue, JsValue> {
    let device = device_id(device)?;
    let out = object();
    set(&out, "in", Topic::incoming(device).to_string());
    set(&out, "out", Topic::outgoing(device).to_string());
    set(&out, "batch", Topic::batch(device).to_string());
    Ok(out)
}

/// Encodes a command, which changes settings of a heater when it is published. The setpoint is rounded to the
/// thermostat's steps.
///
/// The broker's acknowledgement proves nothing: the thermostat has obeyed once a message of kind `ack` repeats the id, or
/// a status shows the requested values. Never publish a command again that is older than a newer one.
///
/// @throws if the thermostat's model does not accept the change; the text names the valid values.
#[wasm_bindgen(js_name = encodeCommand, unchecked_return_type = "OutgoingMessage")]
pub fn encode_command(
    #[wasm_bindgen(unchecked_param_type = "CommandRequest")] request: &JsValue,
) -> Result<JsValue, JsValue> {
    let request: CommandRequest = read(request, "command")?;
    let time = UnixTime::from_secs(seconds(request.time)?);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`seconds` has checked the range"
    )]
    let id = request.id.unwrap_or(request.time as u64);
    let (device, table) = (device_id(&request.device)?, ModeTable::OBSERVED);
    let command =
        Command::new(device, &request.model, &Limits::default(), &table, change(request.change)?, time)
            .map_err(error)?;
    let mut payload = Vec::new();
    let stamp = EnvelopeMeta { id, time, app_ref: &request.app_ref, form: EnvelopeForm::Observed };
    command.encode(&stamp, &mut payload);
    Ok(outgoing(device, &payload))
}

/// Encodes a request for a status about every five seconds, for 1 to 300 seconds. It changes no setting. Without it,
/// thermostats report rarely.
///
/// @throws if the id or the duration is invalid.
#[wasm_bindgen(js_name = encodeLiveReport, unchecked_return_type = "OutgoingMessage")]
pub fn encode_live_report_request(device: &str, duration: u32, now: f64) -> Result<JsValue, JsValue> {
    let device = device_id(device)?;
    let mut payload = Vec::new();
    encode_live_report(device, duration, UnixTime::from_secs(seconds(now)?), &mut payload).map_err(error)?;
    Ok(outgoing(device, &payload))
}

fn outgoing(device: DeviceId, payload: &[u8]) -> JsValue {
    let out = object();
    set(&out, "topic", Topic::incoming(device).to_string());
    set(&out, "payload", js_sys::Uint8Array::from(payload));
    out
}
