//! The simulated cloud.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_sim::{Button, CloudSpec, DeviceSpec, Mode, NamedFault, Names};
use mysa_sim_server::{Certificate, Server};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3_async_runtimes::tokio::get_runtime;

use crate::convert::{celsius, device_id};
use crate::errors::invalid;

/// The simulated cloud on loopback. See `mysa.sim.SimulatedCloud`.
#[pyclass(frozen, module = "mysa._native")]
pub(crate) struct SimServer {
    /// None once it is stopped.
    server: Mutex<Option<Server>>,
    address: String,
    authority: String,
}

impl SimServer {
    fn lock(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `visit` while Python's other threads continue.
    fn with<T: Send>(&self, py: Python<'_>, visit: impl FnOnce(&Server) -> T + Send) -> PyResult<T> {
        let value = py.detach(|| {
            let _context = get_runtime().enter();
            self.lock().as_ref().map(visit)
        });
        value.ok_or_else(|| PyRuntimeError::new_err("the simulated cloud is stopped"))
    }
}

#[pymethods]
impl SimServer {
    /// Starts the cloud. `devices` are ids, models and names; without them, the account has the five of `mysa sim`.
    #[staticmethod]
    fn start(
        py: Python<'_>,
        devices: Option<Vec<(String, String, String)>>,
        faults: Vec<String>,
        seed: u64,
        speed: f64,
        port: u16,
    ) -> PyResult<Self> {
        if !(speed.is_finite() && (0.001..=100_000.0).contains(&speed)) {
            return Err(invalid(py, format!("invalid speed {speed}: expected virtual seconds per second")));
        }
        let mut spec = CloudSpec::demo().without_schedules();
        if let Some(devices) = devices {
            let devices = devices
                .iter()
                .map(|(id, model, name)| Ok(DeviceSpec::new(device_id(py, id)?, model, name)))
                .collect::<PyResult<Vec<_>>>()?;
            let home = spec.accounts.first_mut().and_then(|account| account.homes.first_mut());
            if let Some(home) = home {
                home.devices = devices;
            }
        }
        for fault in &faults {
            spec.add_named_fault(fault).map_err(|error| invalid(py, format!("fault {fault}: {error}")))?;
        }
        let started = py.detach(|| {
            let certificate = Certificate::for_cloud(&Names::default()).map_err(|error| error.to_string())?;
            let authority = certificate.authority_pem().unwrap_or_default().to_owned();
            let server = Server::start(([127, 0, 0, 1], port).into(), certificate, spec, seed, speed);
            let server = get_runtime().block_on(server).map_err(|error| error.to_string())?;
            Ok::<_, String>((server, authority))
        });
        let (server, authority) = started.map_err(PyRuntimeError::new_err)?;
        let address = server.address().to_string();
        Ok(Self { server: Mutex::new(Some(server)), address, authority })
    }

    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    #[getter]
    fn ca_pem(&self) -> &str {
        &self.authority
    }

    #[classattr]
    fn email() -> &'static str {
        CloudSpec::DEMO_EMAIL
    }

    #[classattr]
    fn password() -> &'static str {
        CloudSpec::DEMO_PASSWORD
    }

    fn device_ids(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with(py, |server| {
            server.with_cloud(|cloud, _| cloud.device_ids().map(|id| id.to_string()).collect())
        })
    }

    fn truth<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyDict>> {
        let id = device_id(py, id)?;
        let truth = self.with(py, |server| server.with_cloud(|cloud, _| cloud.truth(id)))?;
        let truth = truth.ok_or_else(|| unknown(py, id))?;
        let dict = PyDict::new(py);
        dict.set_item("setpoint_c", truth.setpoint.as_degrees())?;
        dict.set_item("mode", mode_name(truth.mode))?;
        dict.set_item("heating", truth.heating)?;
        dict.set_item("power_w", truth.watts)?;
        dict.set_item("rated_watts", truth.rated_watts)?;
        dict.set_item("temperature_c", truth.room)?;
        dict.set_item("floor_temperature_c", truth.floor)?;
        dict.set_item("energy_kwh", truth.energy)?;
        dict.set_item("locked", truth.locked)?;
        dict.set_item("live", truth.live)?;
        dict.set_item("commands", truth.commands)?;
        Ok(dict)
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = self.with(py, |server| server.with_cloud(|cloud, _| cloud.counters()))?;
        let dict = PyDict::new(py);
        macro_rules! items {
            ($($name:ident),*) => { $( dict.set_item(stringify!($name), counters.$name)?; )* };
        }
        items!(
            http_requests,
            sign_ins,
            wrong_passwords,
            refreshes,
            grants,
            rest_requests,
            upgrades,
            connects,
            publishes,
            delivered,
            dangerous_requests
        );
        Ok(dict)
    }

    fn set_room(&self, py: Python<'_>, id: &str, temperature: f64) -> PyResult<()> {
        let id = device_id(py, id)?;
        self.with(py, |server| server.with_cloud(|cloud, now| cloud.set_room(now, id, temperature)))?
            .map_err(|error| invalid(py, error))
    }

    #[pyo3(signature = (id, setpoint=None, mode=None))]
    fn turn(&self, py: Python<'_>, id: &str, setpoint: Option<f64>, mode: Option<&str>) -> PyResult<()> {
        let id = device_id(py, id)?;
        let setpoint = setpoint.map(|degrees| celsius(py, degrees)).transpose()?;
        let mode = match mode {
            Some(name) => {
                let known = MODES.iter().find(|mode| mode_name(**mode) == name);
                Some(*known.ok_or_else(|| invalid(py, format!("unknown mode '{name}'")))?)
            }
            None => None,
        };
        self.with(py, |server| server.with_cloud(|cloud, now| cloud.turn(now, id, setpoint, mode)))?
            .map_err(|error| invalid(py, error))
    }

    fn press(&self, py: Python<'_>, id: &str, up: bool) -> PyResult<()> {
        let id = device_id(py, id)?;
        let button = if up { Button::Up } else { Button::Down };
        self.with(py, |server| server.with_cloud(|cloud, now| cloud.press_button(now, id, button)))?
            .map_err(|error| invalid(py, error))
    }

    #[pyo3(signature = (name, id, delay_s, lasts_s))]
    fn start_fault(
        &self,
        py: Python<'_>,
        name: &str,
        id: Option<&str>,
        delay_s: f64,
        lasts_s: Option<f64>,
    ) -> PyResult<()> {
        let id = id.map(|id| device_id(py, id)).transpose()?;
        let time = |seconds| {
            Duration::try_from_secs_f64(seconds).map_err(|_| invalid(py, format!("invalid time {seconds} s")))
        };
        let (delay, lasts) = (time(delay_s)?, lasts_s.map(time).transpose()?);
        self.with(py, |server| {
            server.with_cloud(|cloud, now| cloud.start_named_fault(now, name, id, delay, lasts).map(drop))
        })?
        .map_err(|error| invalid(py, format!("fault {name}: {error}")))
    }

    fn end_faults(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |server| server.with_cloud(|cloud, now| cloud.end_faults(now)))
    }

    fn advance(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let by = Duration::try_from_secs_f64(seconds)
            .map_err(|_| invalid(py, format!("invalid time {seconds} s")))?;
        self.with(py, |server| server.advance(by))
    }

    fn freeze(&self, py: Python<'_>, frozen: bool) -> PyResult<()> {
        self.with(py, |server| if frozen { server.freeze() } else { server.resume() })
    }

    fn cut_connections(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, Server::cut_connections)
    }

    /// Stops the cloud. Repeated calls have no effect.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| {
            let _context = get_runtime().enter();
            drop(self.lock().take());
        });
    }

    fn __repr__(&self) -> String {
        format!("SimServer('{}')", self.address)
    }
}

const MODES: [Mode; 6] = [Mode::Off, Mode::Auto, Mode::Heat, Mode::Cool, Mode::FanOnly, Mode::Dry];

const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "off",
        Mode::Auto => "auto",
        Mode::Heat => "heat",
        Mode::Cool => "cool",
        Mode::FanOnly => "fan_only",
        Mode::Dry => "dry",
    }
}

fn unknown(py: Python<'_>, id: DeviceId) -> PyErr {
    invalid(py, format!("unknown thermostat {id}: the simulated cloud has no such one"))
}

/// Names of the faults, with a description of each.
#[pyfunction]
pub(crate) fn sim_faults() -> Vec<(&'static str, &'static str)> {
    NamedFault::all().iter().map(|fault| (fault.name(), fault.description())).collect()
}
