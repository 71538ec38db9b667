//! Commands, batches, power and entities.

use mysa_proto::{
    Amperes, BatchReadings, BatchTail, Body, Command, DutyCycle, EntityFacts, EnvelopeForm, EnvelopeMeta,
    Family, Limits, Load, LoadCurrent, Message, Model, Power, Topic, Volts, Watts, entities as core_entities,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::convert::{celsius, device_id, mode_table, seconds, watts};
use crate::entropy::unix_time;
use crate::errors::{Class, invalid};

pub(crate) fn envelope_form(py: Python<'_>, name: &str) -> PyResult<EnvelopeForm> {
    match name {
        "observed" => Ok(EnvelopeForm::Observed),
        "design_document" => Ok(EnvelopeForm::DesignDocument),
        _ => Err(invalid(py, format!("invalid envelope '{name}': expected observed or design_document"))),
    }
}

/// Encodes a command. See `mysa.protocol.encode_command`.
#[pyfunction]
#[pyo3(signature = (device_id, model, settings, *, message_id=None, time=None, app_ref="python-lib", modes="observed", envelope="observed", min_setpoint=None, max_setpoint=None))]
#[expect(clippy::too_many_arguments, reason = "they are keyword arguments in Python")]
pub(crate) fn encode_command<'py>(
    py: Python<'py>,
    device_id: &str,
    model: &str,
    settings: &Bound<'py, PyDict>,
    message_id: Option<u64>,
    time: Option<f64>,
    app_ref: &str,
    modes: &str,
    envelope: &str,
    min_setpoint: Option<f64>,
    max_setpoint: Option<f64>,
) -> PyResult<(String, Bound<'py, PyBytes>)> {
    let device = self::device_id(py, device_id)?;
    let model = Model::parse(model);
    let now = unix_time(py, time)?;
    let change = crate::change::change(py, settings)?;
    let limits = Limits {
        min_setpoint: min_setpoint.map(|degrees| celsius(py, degrees)).transpose()?,
        max_setpoint: max_setpoint.map(|degrees| celsius(py, degrees)).transpose()?,
        ..Limits::default()
    };
    let table = mode_table(py, modes)?;
    let command = Command::new(device, &model, &limits, &table, change, now)
        .map_err(|error| Class::Refused.error(py, error))?;
    let id = message_id.unwrap_or_else(|| u64::try_from(now.as_millis()).unwrap_or_default());
    let stamp = EnvelopeMeta { id, time: now, app_ref, form: envelope_form(py, envelope)? };
    let mut payload = Vec::new();
    command.encode(&stamp, &mut payload);
    Ok((Topic::incoming(device).to_string(), PyBytes::new(py, &payload)))
}

/// Decodes stored readings. See `mysa.protocol.decode_batch`.
#[pyfunction]
pub(crate) fn decode_batch<'py>(
    py: Python<'py>,
    readings: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let decoded = if let Ok(text) = readings.cast::<PyString>() {
        let text = text.to_cow()?;
        py.detach(|| BatchReadings::from_base64(&text))
    } else {
        let bytes = readings.extract::<crate::convert::Payload<'_>>()?;
        let bytes = bytes.as_bytes();
        // A whole message, or the bytes of the readings.
        if bytes.first() == Some(&b'{') {
            py.detach(|| {
                let message = Message::decode(mysa_proto::TopicKind::Batch, bytes)
                    .map_err(|error| error.to_string())?;
                let Body::BatchReadings(batch) = &message.body else {
                    return Err("the message is not a batch of readings".to_owned());
                };
                BatchReadings::from_message(batch).map_err(|error| error.to_string())
            })
            .map_err(|error| Class::Decode.error(py, error))
            .map(Ok)?
        } else {
            Ok(py.detach(|| BatchReadings::decode(bytes)))
        }
    };
    let batch = decoded.map_err(|error| Class::Decode.error(py, error))?;
    let records = PyList::empty(py);
    for record in &batch.records {
        let common = &record.common;
        let dict = PyDict::new(py);
        dict.set_item("version", record.version().number())?;
        dict.set_item("time", common.time().map(seconds))?;
        dict.set_item("temperature_c", common.ambient().map(mysa_proto::Celsius::as_degrees))?;
        dict.set_item("sensor_temperature_c", common.sensor().map(mysa_proto::Celsius::as_degrees))?;
        dict.set_item("setpoint_c", common.setpoint().map(mysa_proto::Celsius::as_degrees))?;
        dict.set_item("humidity_pct", common.humidity().map(|value| value.as_percent()))?;
        dict.set_item("duty_cycle", common.duty().map(DutyCycle::as_fraction))?;
        dict.set_item("on_s", common.on_time().map(|time| time.as_secs_f64()))?;
        dict.set_item("off_s", common.off_time().map(|time| time.as_secs_f64()))?;
        dict.set_item("heat_sink_c", common.heat_sink().map(mysa_proto::Celsius::as_degrees))?;
        dict.set_item("free_heap_bytes", common.free_heap())?;
        dict.set_item("signal_dbm", common.signal())?;
        dict.set_item("heating", common.is_on())?;
        let (volts, amperes) = match record.tail {
            BatchTail::V1 { volts } => (Some(volts), None),
            BatchTail::V3 { volts, centiamperes, .. } => (Some(volts), Some(f64::from(centiamperes) / 100.0)),
            _ => (None, None),
        };
        dict.set_item("voltage_v", volts)?;
        dict.set_item("current_a", amperes)?;
        records.append(dict)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("records", records)?;
    dict.set_item("problems", batch.problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    dict.set_item("dropped_bytes", batch.dropped_bytes())?;
    Ok(dict)
}

/// Computes the power of a thermostat. See `mysa.protocol.power`.
#[pyfunction]
#[pyo3(signature = (model, *, duty_cycle=None, heating=None, current_a=None, current_is_live=true, voltage_v=None, rated_watts=None))]
#[expect(clippy::too_many_arguments, reason = "they are keyword arguments in Python")]
pub(crate) fn power(
    py: Python<'_>,
    model: &str,
    duty_cycle: Option<f64>,
    heating: Option<bool>,
    current_a: Option<f64>,
    current_is_live: bool,
    voltage_v: Option<f64>,
    rated_watts: Option<f64>,
) -> PyResult<(Option<f64>, &'static str)> {
    fn read<T>(
        py: Python<'_>,
        name: &str,
        value: Option<f64>,
        of: fn(f64) -> Option<T>,
    ) -> PyResult<Option<T>> {
        value
            .map(|value| {
                of(value).ok_or_else(|| invalid(py, format!("invalid {name} {value}: it is out of range")))
            })
            .transpose()
    }
    let kind = if current_is_live { LoadCurrent::Live } else { LoadCurrent::WhileOn };
    let load = Load {
        current: read(py, "current_a", current_a, Amperes::from_amperes)?.map(kind),
        voltage: read(py, "voltage_v", voltage_v, Volts::from_volts)?,
        duty: read(py, "duty_cycle", duty_cycle, DutyCycle::from_fraction)?,
        relay: heating,
        rated: watts(py, rated_watts)?,
    };
    let power = Model::parse(model).family().map_or(Power::Unknown, |family| Power::of(family, &load));
    Ok((power.watts().map(Watts::as_watts), power.basis()))
}

/// Lists the entities of a thermostat. See `mysa.protocol.entities`.
#[pyfunction]
#[pyo3(signature = (model, *, modes="observed", humidity=false, current=false, voltage=false, rated_power=false, energy_history=false))]
#[expect(
    clippy::too_many_arguments,
    clippy::fn_params_excessive_bools,
    reason = "they are keyword arguments in Python"
)]
pub(crate) fn entities<'py>(
    py: Python<'py>,
    model: &str,
    modes: &str,
    humidity: bool,
    current: bool,
    voltage: bool,
    rated_power: bool,
    energy_history: bool,
) -> PyResult<Bound<'py, PyList>> {
    let facts = EntityFacts { humidity, current, voltage, rated_power, energy_history };
    let list = PyList::empty(py);
    for entity in core_entities(&Model::parse(model), &Limits::default(), &mode_table(py, modes)?, &facts) {
        let dict = PyDict::new(py);
        dict.set_item("id", entity.id)?;
        dict.set_item("name", entity.name)?;
        dict.set_item("device_class", entity.device_class)?;
        dict.set_item("unit", entity.unit)?;
        dict.set_item("state_class", entity.state_class)?;
        dict.set_item(
            "category",
            entity.category.map(|category| match category {
                mysa_proto::Category::Config => "config",
                mysa_proto::Category::Diagnostic => "diagnostic",
            }),
        )?;
        dict.set_item("range", entity.range.map(|range| (range.min, range.max, range.step)))?;
        dict.set_item("choices", entity.choices.iter().map(|choice| choice.name).collect::<Vec<_>>())?;
        dict.set_item("writable", entity.writable)?;
        dict.set_item("enabled", entity.enabled)?;
        list.append(dict)?;
    }
    Ok(list)
}

/// Returns the family of a model. None if it is unknown.
#[pyfunction]
pub(crate) fn family_of(model: &str) -> Option<&'static str> {
    Model::parse(model).family().map(Family::name)
}
