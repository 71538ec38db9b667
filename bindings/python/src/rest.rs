//! Bodies of the REST service.

use mysa_proto::rest::{DeviceList, DeviceStates};
use mysa_proto::{DeviceState, ModeTable, Model, Now, UnixTime};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::client::state_values;
use crate::convert::{Payload, mode_table};
use crate::errors::Class;

/// Decodes the list of thermostats: dicts with id, name, model and home.
#[pyfunction]
pub(crate) fn decode_device_list<'py>(
    py: Python<'py>,
    body: Payload<'_>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let list = DeviceList::decode(body.as_bytes()).map_err(|error| Class::Decode.error(py, error))?;
    let describe = |(id, record): (&mysa_proto::DeviceId, &mysa_proto::rest::DeviceRecord)| {
        let model = record.model.as_deref().unwrap_or_default();
        let name = record.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let dict = PyDict::new(py);
        dict.set_item("id", id.as_str())?;
        dict.set_item("name", name.unwrap_or(id.as_str()))?;
        dict.set_item("model", model)?;
        dict.set_item("family", Model::parse(model).family().map(mysa_proto::Family::name))?;
        dict.set_item("home", record.home.as_ref().map(mysa_proto::rest::ResourceId::as_str))?;
        Ok(dict)
    };
    list.devices.iter().map(describe).collect()
}

/// Decodes the states of the thermostats. `models` has the model of each id.
#[pyfunction]
#[pyo3(signature = (body, models, modes))]
pub(crate) fn decode_device_states<'py>(
    py: Python<'py>,
    body: Payload<'_>,
    models: std::collections::HashMap<String, String>,
    modes: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let table: ModeTable = mode_table(py, modes)?;
    let states = DeviceStates::decode(body.as_bytes()).map_err(|error| Class::Decode.error(py, error))?;
    let class = py.import("mysa.models")?.getattr("State")?;
    let dict = PyDict::new(py);
    // The times in the body are the cloud's; only their order matters here.
    let received = Now { mono: std::time::Duration::ZERO, wall: UnixTime::from_millis(i64::MAX / 2) };
    for (id, entry) in &states.states {
        let model = models.get(id.as_str()).map(|model| Model::parse(model));
        let family = model.as_ref().and_then(Model::family);
        let mut state = DeviceState::new();
        for observation in entry.observations(&table, family, received) {
            state.observe(&observation);
        }
        dict.set_item(id.as_str(), state_values(&state).call(&class)?)?;
    }
    Ok(dict)
}
