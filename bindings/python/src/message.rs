//! Decoding of messages.

use mysa_proto::{
    Body, Danger, Message, MessageForm, ModeTable, Now, Observation, Topic, TopicKind, UnixTime,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::convert::{Payload, Values, mode_table, model, raw_json, seconds};
use crate::errors::Class;

/// The class `mysa.models.State`.
static STATE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Reads the topic of a thermostat.
pub(crate) fn topic(py: Python<'_>, name: &[u8]) -> PyResult<Topic> {
    Topic::parse(name).ok_or_else(|| {
        Class::Decode
            .error(py, "the topic is not one of a thermostat: expected /v1/dev/ID/out, /in or /batch")
    })
}

fn decode<'a>(py: Python<'_>, topic: Topic, payload: &'a [u8]) -> PyResult<Message<'a>> {
    Message::decode(topic.kind, payload).map_err(|error| Class::Decode.error(py, error))
}

/// Time of arrival, which no result of this module contains.
const NO_TIME: Now = Now { mono: std::time::Duration::ZERO, wall: UnixTime::from_secs(0) };

fn observation(message: &Message<'_>, table: &ModeTable, model_name: Option<&str>) -> Option<Observation> {
    let family = model(model_name).and_then(|model| model.family());
    Observation::from_message(message, table, family, NO_TIME)
}

/// Decodes the state in a message. See `mysa.models.parse_out_message`.
#[pyfunction]
#[pyo3(signature = (topic, payload, *, model=None, modes=None))]
pub(crate) fn parse_out_message<'py>(
    py: Python<'py>,
    topic: &Bound<'py, PyString>,
    payload: Payload<'_>,
    model: Option<&str>,
    modes: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let topic = self::topic(py, topic.to_cow()?.as_bytes())?;
    let table = modes.map_or(Ok(ModeTable::OBSERVED), |name| mode_table(py, name))?;
    let message = decode(py, topic, payload.as_bytes())?;
    // A message about another thermostat than that of its topic must not become its state.
    let seen = message.is_about(topic.device).then(|| observation(&message, &table, model)).flatten();
    let values = seen.map_or_else(Values::default, |seen| Values::of_observation(&seen));
    values.call(STATE.import(py, "mysa.models", "State")?)
}

/// Decodes a message to a dict. See `mysa.protocol.decode_message`.
#[pyfunction]
#[pyo3(signature = (topic, payload, *, model=None, modes=None))]
pub(crate) fn decode_message<'py>(
    py: Python<'py>,
    topic: &Bound<'py, PyString>,
    payload: Payload<'_>,
    model: Option<&str>,
    modes: Option<&str>,
) -> PyResult<Bound<'py, PyDict>> {
    let topic = self::topic(py, topic.to_cow()?.as_bytes())?;
    let table = modes.map_or(Ok(ModeTable::OBSERVED), |name| mode_table(py, name))?;
    let message = decode(py, topic, payload.as_bytes())?;
    let envelope = &message.envelope;
    let dict = PyDict::new(py);
    dict.set_item("device", topic.device.as_str())?;
    dict.set_item(
        "topic",
        match topic.kind {
            TopicKind::In => "in",
            TopicKind::Out => "out",
            TopicKind::Batch => "batch",
        },
    )?;
    dict.set_item("kind", kind(&message.body))?;
    dict.set_item(
        "form",
        match envelope.form {
            MessageForm::Mcm => Some("msg"),
            MessageForm::Legacy => Some("MsgType"),
            MessageForm::Bare => None,
        },
    )?;
    dict.set_item("number", envelope.number)?;
    dict.set_item("time", envelope.time.map(seconds))?;
    dict.set_item("id", id(envelope.id))?;
    dict.set_item("resp_id", id(envelope.resp_id))?;
    dict.set_item("src_type", envelope.src_type)?;
    dict.set_item("src_ref", envelope.src_ref.map(|text| text.to_cow().into_owned()))?;
    dict.set_item("is_about", message.is_about(topic.device))?;
    dict.set_item("danger", message.danger().map(danger))?;
    let seen = observation(&message, &table, model);
    dict.set_item("state", seen.map(|seen| Values::of_observation(&seen).to_dict(py)).transpose()?)?;
    if let Body::Ack(ack) = &message.body {
        dict.set_item("success", ack.success)?;
    }
    dict.set_item("payload", raw_json(py, message.raw)?)?;
    let unknown = PyDict::new(py);
    for (name, value) in message.unknown_fields() {
        unknown.set_item(name.to_cow(), raw_json(py, value)?)?;
    }
    dict.set_item("unknown", unknown)?;
    Ok(dict)
}

fn id(id: Option<mysa_proto::MessageId>) -> Option<i128> {
    id.and_then(|id| id.to_string().parse().ok())
}

pub(crate) const fn danger(danger: Danger) -> &'static str {
    match danger {
        Danger::Unpairs => "unpairs",
        Danger::Restarts => "restarts",
        Danger::UpdatesFirmware => "updates_firmware",
        Danger::ReplacesSchedule => "replaces_schedule",
        _ => "unknown",
    }
}

/// Name of the kind of a message.
const fn kind(body: &Body<'_>) -> &'static str {
    match body {
        Body::V1Status(_) => "v1_status",
        Body::SetpointChange(_) => "setpoint_change",
        Body::Log(_) => "log",
        Body::EchoReply(_) => "echo_reply",
        Body::Event(_) => "event",
        Body::Reboot => "reboot",
        Body::Boot(_) => "boot",
        Body::LiveReport(_) => "live_report",
        Body::StatusCheck => "status_check",
        Body::PairingReset(_) => "pairing_reset",
        Body::BatchReadings(_) => "batch_readings",
        Body::FloorLine(_) => "floor_line",
        Body::FloorStatus(_) => "floor_status",
        Body::AcStatus(_) => "ac_status",
        Body::AcState(_) => "ac_state",
        Body::Schedule(_) => "schedule",
        Body::Status(_) => "status",
        Body::Command(_) => "command",
        Body::Ack(_) => "ack",
        Body::Firmware(_) => "firmware",
        _ => "unknown",
    }
}
