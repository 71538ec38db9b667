//! Explanations of captures.

use mysa_explain::{ExplainError, InputKind, Record, Value};
use mysa_proto::ModeTable;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::convert::{Payload, mode_table};
use crate::errors::{Class, invalid};

/// Explains a capture as dicts. See `mysa.protocol.explain`.
#[pyfunction]
#[pyo3(signature = (data, *, kind=None, topic=None, modes=None))]
pub(crate) fn explain<'py>(
    py: Python<'py>,
    data: Payload<'_>,
    kind: Option<&str>,
    topic: Option<&str>,
    modes: Option<&str>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let kind = match kind {
        None => None,
        Some("payload") => Some(InputKind::Payload),
        Some("packet") => Some(InputKind::Packet),
        Some("batch") => Some(InputKind::Batch),
        Some("capture") => Some(InputKind::Capture),
        Some(other) => {
            return Err(invalid(
                py,
                format!("invalid kind '{other}': expected payload, packet, batch or capture"),
            ));
        }
    };
    let topic = topic.map(|topic| crate::message::topic(py, topic.as_bytes())).transpose()?;
    let table = modes.map_or(Ok(ModeTable::OBSERVED), |name| mode_table(py, name))?;
    let bytes = data.as_bytes();
    let records = py.detach(|| match kind {
        Some(kind) => mysa_explain::explain_as(kind, bytes, topic, &table),
        None => mysa_explain::explain(bytes, topic, &table),
    });
    let records = records.map_err(|error: ExplainError| Class::Decode.error(py, error))?;
    records.into_iter().map(|record| to_dict(py, record)).collect()
}

fn to_dict(py: Python<'_>, record: Record) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in record.into_fields() {
        dict.set_item(name, to_object(py, value)?)?;
    }
    Ok(dict)
}

fn to_object(py: Python<'_>, value: Value) -> PyResult<Bound<'_, PyAny>> {
    use pyo3::IntoPyObjectExt as _;
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::Int(value) => value.into_bound_py_any(py),
        Value::Number(value) => value.into_bound_py_any(py),
        Value::Text(value) => value.into_bound_py_any(py),
        Value::Record(record) => Ok(to_dict(py, record)?.into_any()),
        Value::List(list) => {
            let objects = list.into_iter().map(|value| to_object(py, value)).collect::<PyResult<Vec<_>>>()?;
            Ok(PyList::new(py, objects)?.into_any())
        }
    }
}
