//! The client of an account.

mod errors;
mod events;
mod options;
mod values;

use mysa_proto::rest::{ReadRequest, RestHost};
use mysa_proto::{Change, DeviceId, Family, FanSpeed, Limits, Mode, ModeTable, Model};
use mysa_tokio::{Client as CoreClient, Revocation};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use pyo3_async_runtimes::tokio::get_runtime;

use self::errors::{failed, not_ready, raised};
pub(crate) use self::events::Events;
use self::options::duration;
pub(crate) use self::values::state_values;
use self::values::{channel, device, service};
use crate::change::{change, to_dict};
use crate::convert::{device_id, seconds};
use crate::errors::invalid;
use crate::runtime::run;
use crate::secret::{Secret, SecretText};

/// Client of an account. See `mysa.aio.Client`.
#[pyclass(frozen, module = "mysa._native")]
pub(crate) struct Client {
    client: CoreClient,
}

#[pymethods]
impl Client {
    /// Starts a client with a dict of options. Nothing is sent before the first await.
    #[staticmethod]
    fn start(py: Python<'_>, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let builder = options::builder(py, options)?;
        let started = py.detach(|| {
            let _context = get_runtime().enter();
            builder.start()
        });
        Ok(Self { client: started.map_err(|error| failed(py, &error))? })
    }

    /// Waits until the client is ready.
    #[pyo3(signature = (blocking))]
    fn ready<'py>(&self, py: Python<'py>, blocking: bool) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        run(py, blocking, async move {
            client.ready().await.map_err(|why| Python::attach(|py| not_ready(py, &why)))
        })
    }

    fn answer_challenge<'py>(
        &self,
        py: Python<'py>,
        answer: SecretText,
        blocking: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        run(py, blocking, async move { client.answer_challenge(answer.0.expose()).await.map_err(raised) })
    }

    /// Returns the thermostats as dicts.
    #[pyo3(signature = (rated=None))]
    fn devices<'py>(
        &self,
        py: Python<'py>,
        rated: Option<std::collections::HashMap<String, f64>>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let views = py.detach(|| self.client.devices());
        let now = self.client.elapsed();
        let rated = rated.unwrap_or_default();
        views.iter().map(|view| device(py, view, now, rated.get(view.id.as_str()).copied())).collect()
    }

    /// Returns a thermostat as a dict, or None if the account has no such thermostat.
    #[pyo3(signature = (id, rated=None))]
    fn device<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        rated: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let id = device_id(py, id)?;
        let view = py.detach(|| self.client.state(&id));
        view.map(|view| device(py, &view, self.client.elapsed(), rated)).transpose()
    }

    fn service<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        service(py, &py.detach(|| self.client.service()), self.client.elapsed())
    }

    #[getter]
    fn is_live(&self) -> bool {
        self.client.is_live()
    }

    /// Requests settings. The verdict is a dict.
    #[pyo3(signature = (id, settings, deadline_s, blocking))]
    fn set<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        settings: &Bound<'py, PyDict>,
        deadline_s: Option<f64>,
        blocking: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (id, change) = self.read(py, id, settings)?;
        let mut pending = self.client.command(&id, change);
        if let Some(seconds) = deadline_s {
            pending = pending.deadline(duration(py, "deadline_s", seconds)?);
        }
        run(py, blocking, async move {
            let verdict = pending.await.map_err(raised)?;
            Python::attach(|py| values::verdict(py, &verdict).map(Bound::unbind))
        })
    }

    /// Returns what a command would send, as a dict.
    fn preview<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        settings: &Bound<'py, PyDict>,
        blocking: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ((id, change), client) = (self.read(py, id, settings)?, self.client.clone());
        run(py, blocking, async move {
            let preview = client.preview(&id, change).await.map_err(raised)?;
            Python::attach(|py| {
                let dict = PyDict::new(py);
                dict.set_item("channel", channel(preview.channel))?;
                dict.set_item("settings", to_dict(py, &preview.change)?)?;
                dict.set_item("before", to_dict(py, &preview.before)?)?;
                dict.set_item("payload", &preview.payload)?;
                Ok(dict.unbind())
            })
        })
    }

    /// Adds thermostats to a client with a captured URL, or until the list is read.
    fn assume_devices<'py>(
        &self,
        py: Python<'py>,
        devices: Vec<(String, String)>,
        blocking: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let known = devices.iter().map(|(id, model)| Ok((device_id(py, id)?, Model::parse(model), None)));
        let (known, client) = (known.collect::<PyResult<Vec<_>>>()?, self.client.clone());
        run(py, blocking, async move { client.assume_devices(known).await.map_err(raised) })
    }

    /// Reads a path of the REST service. The answer is its body.
    fn get<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        backend: bool,
        blocking: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let host = if backend { RestHost::Backend } else { RestHost::Legacy };
        let request = ReadRequest::get(host, path).ok_or_else(|| {
            invalid(py, "invalid path: expected an absolute path without %-escapes; routes that return credentials are refused")
        })?;
        let client = self.client.clone();
        run(py, blocking, async move {
            let response = client.request(request).await.map_err(raised)?;
            Python::attach(|py| Ok(pyo3::types::PyBytes::new(py, &response.body).unbind()))
        })
    }

    /// Reads the energy history of a thermostat: one dict for each day.
    fn energy<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        start: f64,
        end: f64,
        time_zone: &str,
        blocking: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let id = device_id(py, id)?;
        let query = mysa_proto::rest::UsageQuery {
            time_zone: time_zone.to_owned(),
            start: crate::entropy::unix_time(py, Some(start))?,
            end: crate::entropy::unix_time(py, Some(end))?,
            buckets: false,
            raw: false,
        };
        let client = self.client.clone();
        run(py, blocking, async move {
            let history = client.energy(&id, &query).await.map_err(raised)?;
            Python::attach(|py| {
                let days = pyo3::types::PyList::empty(py);
                for day in &history.days {
                    let dict = PyDict::new(py);
                    dict.set_item("start", day.summary.start.map(seconds))?;
                    dict.set_item("energy_kwh", day.summary.energy.map(|energy| energy.as_kilowatt_hours()))?;
                    dict.set_item("heating_s", day.summary.heating.map(|time| time.as_secs_f64()))?;
                    days.append(dict)?;
                }
                Ok(days.unbind())
            })
        })
    }

    fn presign<'py>(&self, py: Python<'py>, blocking: bool) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        run(py, blocking, async move {
            let url = client.presign().await.map_err(raised)?;
            Ok(Secret(url.as_str().into()))
        })
    }

    /// Revokes the refresh token and closes the client.
    fn sign_out<'py>(&self, py: Python<'py>, blocking: bool) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        run(py, blocking, async move {
            Ok(match client.sign_out().await.map_err(raised)? {
                Revocation::Revoked => "revoked",
                Revocation::NotReached => "not_reached",
                Revocation::Refused => "refused",
                Revocation::NothingToRevoke => "nothing_to_revoke",
            })
        })
    }

    /// Closes the client.
    fn shutdown<'py>(&self, py: Python<'py>, blocking: bool) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        run(py, blocking, async move {
            client.shutdown().await;
            Ok(())
        })
    }

    /// Returns a new stream of events.
    fn events(&self) -> Events {
        Events::new(&self.client)
    }

    /// Returns the resources that the client holds.
    fn resources<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let held = self.client.resources();
        let dict = PyDict::new(py);
        dict.set_item("sockets", held.sockets)?;
        dict.set_item("tasks", held.tasks)?;
        dict.set_item("bytes_to_send", held.bytes_to_send)?;
        dict.set_item("bytes_received", held.bytes_received)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!("Client({})", self.client.service().level)
    }
}

impl Client {
    /// Reads the id of a thermostat and settings for it.
    fn read(&self, py: Python<'_>, id: &str, settings: &Bound<'_, PyDict>) -> PyResult<(DeviceId, Change)> {
        let (id, mut change) = (device_id(py, id)?, change(py, settings)?);
        let is_fan_named = settings.get_item("fan")?.is_some_and(|fan| fan.is_instance_of::<PyString>());
        if is_fan_named && let Some(view) = self.client.state(&id) {
            let limits = view.limits();
            change.fan = change.fan.map(|fan| fan_of(&limits, change.mode.or(limits.mode), fan));
        }
        Ok((id, change))
    }
}

/// Returns the speed that the air conditioner offers under the name of `fan`. Two generations of remote controls have
/// different numbers for the same names.
fn fan_of(limits: &Limits<'_>, mode: Option<Mode>, fan: FanSpeed) -> FanSpeed {
    let Some(ac) = limits.ac else { return fan };
    let number = mode.and_then(|mode| ModeTable::OBSERVED.number_of(mode, Family::AirConditioner, None));
    let offered = ac.fan_speeds(mode, number);
    let same = offered.iter().find(|speed| speed.name() == fan.name());
    same.copied().filter(|_| !offered.contains(&fan)).unwrap_or(fan)
}
