//! The client of an account.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mysa_proto::rest::{Auth, ReadRequest, RestHost};
use mysa_proto::{Change, Channel, DeviceId, DeviceState, Family, FanSpeed, Limits, Mode, ModeTable, Model};
use mysa_sigv4::{Authority, PresignedUrl};
use mysa_tokio::{
    Client as CoreClient, CommandChannel, ConfirmBy, DeliveryStage, DeviceView, Effect, Environment, Error,
    Event, Events as CoreEvents, Evidence, Expired, Level, Link, NotReady, Reason, Refused, RequestError,
    Revocation, Service, Settings, Subscriptions, TokenFile, Verdict,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use pyo3_async_runtimes::tokio::get_runtime;
use tokio::sync::Mutex as AsyncMutex;

use crate::change::{change, to_dict};
use crate::convert::{Values, device_id, fan_name, hold, mode_name, mode_table, seconds, swing_name, watts};
use crate::errors::{Class, chain, invalid};
use crate::protocol::envelope_form;
use crate::runtime::run;
use crate::secret::{Secret, SecretText};

/// Client of an account. See `mysa.aio.Client`.
#[pyclass(frozen, module = "mysa._native")]
pub(crate) struct Client {
    client: CoreClient,
}

/// Takes an option out of the dict of options.
fn take<'py, T>(options: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    let Some(value) = options.get_item(name)? else { return Ok(None) };
    options.del_item(name)?;
    if value.is_none() {
        return Ok(None);
    }
    value.extract().map(Some).map_err(|_| invalid(options.py(), format!("invalid {name}: its type is wrong")))
}

fn duration(py: Python<'_>, name: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| invalid(py, format!("invalid {name} {seconds}: expected seconds, 0 to 86400")))
}

fn choice<T>(py: Python<'_>, name: &str, value: &str, choices: &[(&str, T)]) -> PyResult<T>
where
    T: Copy,
{
    choices.iter().find(|(known, _)| *known == value).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        invalid(py, format!("invalid {name} '{value}': expected {}", known.join(" or ")))
    })
}

fn environment(py: Python<'_>, name: &str) -> PyResult<Environment> {
    match name {
        "mysa" => Ok(Environment::mysa()),
        "mysa_modern" => Ok(Environment::mysa_modern()),
        address => {
            let authority = Authority::parse(address).map_err(|_| {
                invalid(
                    py,
                    format!("invalid environment '{address}': expected mysa, mysa_modern, or HOST:PORT"),
                )
            })?;
            Environment::at(authority.host(), authority.port()).map_err(|error| invalid(py, error))
        }
    }
}

fn settings(py: Python<'_>, options: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let mut settings = Settings::default();
    if let Some(name) = take::<String>(options, "modes")? {
        settings.modes = mode_table(py, &name)?;
    }
    if let Some(name) = take::<String>(options, "envelope")? {
        settings.envelope = envelope_form(py, &name)?;
    }
    if let Some(name) = take::<String>(options, "channel")? {
        settings.channel = choice(
            py,
            "channel",
            &name,
            &[
                ("auto", CommandChannel::Auto),
                ("mqtt", CommandChannel::Mqtt),
                ("structured", CommandChannel::Structured),
            ],
        )?;
    }
    if let Some(name) = take::<String>(options, "confirm_by")? {
        settings.confirm_by =
            choice(py, "confirm_by", &name, &[("ack", ConfirmBy::Ack), ("status", ConfirmBy::Status)])?;
    }
    if let Some(name) = take::<String>(options, "authorization")? {
        settings.authorization =
            choice(py, "authorization", &name, &[("raw", Auth::Raw), ("bearer", Auth::Bearer)])?;
    }
    let mut subscriptions = Subscriptions::default();
    if let Some(wildcard) = take(options, "wildcard")? {
        subscriptions.wildcard = wildcard;
    }
    if let Some(batch) = take(options, "batch")? {
        subscriptions.batch = batch;
    }
    settings.subscriptions = subscriptions;
    macro_rules! flags {
        ($($name:ident),*) => {
            $( if let Some(value) = take(options, stringify!($name))? { settings.$name = value; } )*
        };
    }
    flags!(live_reports, raw_messages, read_only, lookup_endpoint);
    if let Some(seconds) = take::<u16>(options, "keep_alive_s")? {
        settings.keep_alive = Duration::from_secs(seconds.into());
    }
    if let Some(seconds) = take(options, "command_deadline_s")? {
        settings.command_deadline = duration(py, "command_deadline_s", seconds)?;
    }
    Ok(settings)
}

#[pymethods]
impl Client {
    /// Starts a client with a dict of options. Nothing is sent before the first await.
    #[staticmethod]
    fn start(py: Python<'_>, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut environment = match take::<String>(options, "environment")? {
            Some(name) => self::environment(py, &name)?,
            None => Environment::mysa(),
        };
        if let Some(name) = take::<String>(options, "user_agent")? {
            environment.user_agent = name;
        }
        let mut builder = CoreClient::builder(environment).settings(settings(py, options)?);
        let account = take::<String>(options, "account")?;
        let password = options.get_item("password")?.filter(|password| !password.is_none());
        let password = password.map(|password| password.extract::<SecretText>()).transpose()?;
        let store = take::<std::path::PathBuf>(options, "store")?;
        match (&account, password, take::<SecretText>(options, "url")?) {
            (_, None, Some(url)) => {
                let url = PresignedUrl::parse(url.0.expose()).map_err(|error| invalid(py, error))?;
                let devices = take::<Vec<(String, String)>>(options, "devices")?.unwrap_or_default();
                let devices = devices.iter().map(|(id, model)| Ok((device_id(py, id)?, Model::parse(model))));
                builder = builder.captured(url, devices.collect::<PyResult<_>>()?);
            }
            (Some(account), Some(password), _) => builder = builder.password(account, password.0),
            (None, Some(_), _) => {
                return Err(invalid(py, "a password requires the e-mail address of its account"));
            }
            _ => {}
        }
        if let Some(folder) = store {
            let Some(account) = &account else {
                return Err(invalid(py, "a store requires the e-mail address of the account"));
            };
            builder = builder.token_file(TokenFile::new(folder, account));
        }
        if let Some(pem) = take::<Vec<u8>>(options, "ca_pem")? {
            builder = builder.extra_ca(pem);
        }
        if let Some(address) = take::<String>(options, "connect_to")? {
            let address: SocketAddr = address.parse().map_err(|_| {
                invalid(
                    py,
                    format!("invalid connect_to '{address}': expected ADDRESS:PORT, such as 127.0.0.1:8443"),
                )
            })?;
            builder = builder.connect_to(address);
        }
        options.del_item("password").ok();
        if let Some((name, _)) = options.iter().next() {
            return Err(invalid(py, format!("unknown option {name}")));
        }
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
            Python::attach(|py| self::verdict(py, &verdict).map(Bound::unbind))
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
        Events {
            client: self.client.clone(),
            source: Arc::new(AsyncMutex::new(self.client.events())),
            next: Arc::default(),
        }
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

/// Stream of events.
///
/// Waiting and taking are separate, so that a wait which is cancelled at any moment loses no event.
#[pyclass(frozen, module = "mysa._native")]
pub(crate) struct Events {
    client: CoreClient,
    source: Arc<AsyncMutex<CoreEvents>>,
    /// Event that ended a wait and was not taken yet.
    next: Arc<Mutex<Option<Event>>>,
}

#[pymethods]
impl Events {
    /// Waits until there is an event. False if the client has ended, None if the time has passed.
    #[pyo3(signature = (blocking, timeout_s=None))]
    fn wait<'py>(
        &self,
        py: Python<'py>,
        blocking: bool,
        timeout_s: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (source, next) = (Arc::clone(&self.source), Arc::clone(&self.next));
        let limit = timeout_s.map(|seconds| duration(py, "timeout", seconds)).transpose()?;
        let found = async move {
            let mut source = source.lock().await;
            if next.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return true;
            }
            let event = source.next().await;
            let is_some = event.is_some();
            *next.lock().unwrap_or_else(PoisonError::into_inner) = event;
            is_some
        };
        run(py, blocking, async move {
            Ok(match limit {
                Some(limit) => tokio::time::timeout(limit, found).await.ok(),
                None => Some(found.await),
            })
        })
    }

    /// Takes the event that a wait has found, as a dict. None if there is none.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let event = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        event.map(|event| self.to_dict(py, &event)).transpose()
    }

    fn __repr__(&self) -> &'static str {
        "Events(..)"
    }
}

impl Events {
    fn to_dict<'py>(&self, py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let kind = |name: &str| dict.set_item("kind", name);
        match event {
            Event::DeviceAdded { device } => {
                kind("device_added")?;
                dict.set_item("device_id", device.as_str())?;
            }
            Event::DeviceRemoved { device } => {
                kind("device_removed")?;
                dict.set_item("device_id", device.as_str())?;
            }
            Event::Device { device, changes, about, skipped } => {
                kind("device")?;
                dict.set_item("device_id", device.as_str())?;
                dict.set_item("changes", changes.iter().map(|field| field.name()).collect::<Vec<_>>())?;
                dict.set_item("about", *about)?;
                dict.set_item("skipped", *skipped)?;
            }
            Event::Verdict { device, verdict, .. } => {
                kind("verdict")?;
                dict.set_item("device_id", device.as_str())?;
                dict.set_item("verdict", self::verdict(py, verdict)?)?;
            }
            Event::Service(level) => {
                kind("service")?;
                dict.set_item("service", service(py, level, self.client.elapsed())?)?;
            }
            Event::Challenge(challenge) => {
                kind("challenge")?;
                dict.set_item("challenge", challenge.kind.name())?;
                dict.set_item("destination", &challenge.destination)?;
                dict.set_item("choices", &challenge.choices)?;
                dict.set_item("again", challenge.again)?;
            }
            Event::Message { device, kind: of, payload } => {
                kind("message")?;
                let topic = mysa_proto::Topic { device: *device, kind: *of };
                dict.set_item("device_id", device.as_str())?;
                dict.set_item("topic", topic.to_string())?;
                dict.set_item("payload", pyo3::types::PyBytes::new(py, payload))?;
            }
            Event::Unreadable { device, len } => {
                kind("unreadable")?;
                dict.set_item("device_id", device.as_str())?;
                dict.set_item("length", *len)?;
            }
            Event::Contradiction { device } => {
                kind("contradiction")?;
                dict.set_item("device_id", device.as_str())?;
            }
            Event::ClockOff { ahead_ms } => {
                kind("clock_off")?;
                dict.set_item("ahead_ms", *ahead_ms)?;
            }
            Event::Dropped { count } => {
                kind("dropped")?;
                dict.set_item("count", *count)?;
            }
            Event::SignedOut { .. } => kind("signed_out")?,
            _ => kind("other")?,
        }
        Ok(dict)
    }
}

/// Converts an error where Python is not attached.
fn raised(error: Error) -> PyErr {
    Python::attach(|py| failed(py, &error))
}

fn failed(py: Python<'_>, error: &Error) -> PyErr {
    match error {
        Error::NothingToStartFrom => Class::Auth.error(py, error),
        Error::TokenFile(_) => Class::Store.error(py, chain(error)),
        Error::Closed => Class::Closed.error(py, error),
        Error::Refused(refused) => self::refused(py, refused),
        Error::Request(request) => match request {
            RequestError::Refused { status, retry_after, .. } => {
                Class::Refused.with(py, request, |details| {
                    details.set_item("status", *status)?;
                    details.set_item("retry_after", retry_after.map(|wait| wait.as_secs_f64()))
                })
            }
            RequestError::NotSignedIn => Class::Auth.error(py, request),
            RequestError::ReadOnly => Class::Refused.error(py, request),
            _ => Class::Transport.error(py, request),
        },
        _ => Class::Transport.error(py, chain(error)),
    }
}

fn refused(py: Python<'_>, refused: &Refused) -> PyErr {
    Class::Refused.with(py, refused, |details| match refused {
        Refused::Service { status, retry_after } => {
            details.set_item("status", *status)?;
            details.set_item("retry_after", retry_after.map(|wait| wait.as_secs_f64()))
        }
        _ => Ok(()),
    })
}

fn not_ready(py: Python<'_>, why: &NotReady) -> PyErr {
    match why {
        NotReady::Challenge(challenge) => Class::Challenge.with(py, why, |details| {
            details.set_item("kind", challenge.kind.name())?;
            details.set_item("destination", &challenge.destination)?;
            details.set_item("choices", &challenge.choices)
        }),
        NotReady::SignInNeeded(reason) => Class::Auth.with(py, why, |details| {
            // A person cannot help where the service asks for a pause.
            details.set_item("needs_sign_in", !matches!(reason, Reason::Throttled))
        }),
        NotReady::Closed => Class::Closed.error(py, why),
        _ => Class::Transport.error(py, why),
    }
}

const fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Mqtt => "mqtt",
        Channel::Structured => "structured",
    }
}

fn service<'py>(py: Python<'py>, service: &Service, now: Duration) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(
        "level",
        match service.level {
            Level::Live => "live",
            Level::Partial => "partial",
            Level::ReadOnly => "read_only",
            Level::RestOnly => "rest_only",
            Level::Offline => "offline",
            Level::SignInNeeded => "sign_in_needed",
        },
    )?;
    dict.set_item("reason", service.reason.to_string())?;
    dict.set_item("is_healthy", service.reason == Reason::Healthy)?;
    dict.set_item("since", seconds(service.since_wall))?;
    dict.set_item("for_s", now.saturating_sub(service.since).as_secs_f64())?;
    Ok(dict)
}

fn verdict<'py>(py: Python<'py>, verdict: &Verdict) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let reached = |stage: &DeliveryStage| match stage {
        DeliveryStage::Wire(_) => "wire",
        DeliveryStage::Service(_) => "service",
        DeliveryStage::Thermostat => "thermostat",
    };
    dict.set_item("text", verdict.to_string())?;
    let outcome = match verdict {
        Verdict::Confirmed { by, after, effect } => {
            dict.set_item(
                "by",
                match by {
                    Evidence::Ack => "ack",
                    Evidence::Status => "status",
                    Evidence::Rest => "rest",
                    Evidence::Reported => "reported",
                    _ => "other",
                },
            )?;
            dict.set_item("after_s", after.as_secs_f64())?;
            dict.set_item("changed", *effect == Effect::Changed)?;
            "confirmed"
        }
        Verdict::Unconfirmed { reached: stage, seen, after } => {
            dict.set_item("reached", reached(stage))?;
            dict.set_item("seen", to_dict(py, seen)?)?;
            dict.set_item("after_s", after.as_secs_f64())?;
            "unconfirmed"
        }
        Verdict::Refused(refused) => {
            dict.set_item("reason", refused.to_string())?;
            dict.set_item(
                "refused_by",
                match refused {
                    Refused::Device => "thermostat",
                    Refused::Service { .. } => "service",
                    _ => "client",
                },
            )?;
            if let Refused::Service { status, retry_after } = refused {
                dict.set_item("status", *status)?;
                dict.set_item("retry_after", retry_after.map(|wait| wait.as_secs_f64()))?;
            }
            "refused"
        }
        Verdict::Superseded { reached: stage, .. } => {
            dict.set_item("reached", stage.as_ref().map(reached))?;
            "superseded"
        }
        Verdict::Expired(expired) => {
            dict.set_item(
                "reason",
                match expired {
                    Expired::Deadline => "deadline",
                    Expired::Cancelled => "cancelled",
                    Expired::ShutDown => "shut_down",
                    _ => "other",
                },
            )?;
            "expired"
        }
    };
    dict.set_item("outcome", outcome)?;
    Ok(dict)
}

/// Describes a thermostat: what it is, its state, and the currency of that.
fn device<'py>(
    py: Python<'py>,
    view: &DeviceView,
    now: Duration,
    rated: Option<f64>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("id", view.id.as_str())?;
    dict.set_item("name", view.label())?;
    dict.set_item("model", view.model.as_str())?;
    dict.set_item("family", view.model.family().map(mysa_proto::Family::name))?;
    dict.set_item("home", view.home.as_deref())?;
    let is_offline = view.state.connected().is_some_and(|field| !field.value);
    dict.set_item(
        "link",
        match view.link {
            _ if is_offline => "offline",
            Link::Live => "live",
            Link::Rest => "rest",
            Link::Silent => "silent",
            Link::Unreachable => "unreachable",
            Link::Unseen => "unseen",
        },
    )?;
    dict.set_item("stale", view.stale)?;
    let age = view.last_seen_ago.map(|seen| seen.saturating_add(now.saturating_sub(view.taken_at)));
    dict.set_item("age_s", age.map(|age| age.as_secs_f64()))?;
    dict.set_item("pending", if view.pending.is_empty() { None } else { Some(to_dict(py, &view.pending)?) })?;
    let family = view.model.family();
    let range = family.and_then(|family| view.limits().setpoint_range(family, view.limits().mode));
    dict.set_item(
        "setpoint_range_c",
        range.map(|range| (range.min.as_degrees(), range.max.as_degrees(), range.step.as_degrees())),
    )?;
    dict.set_item(
        "state",
        values(view, watts(py, rated)?).call(py.import("mysa.models")?.getattr("State")?.as_any())?,
    )?;
    Ok(dict)
}

fn values(view: &DeviceView, rated: Option<mysa_tokio::Watts>) -> Values {
    let power = view.power(rated);
    Values {
        duty_cycle: view.duty().map(|field| field.value.as_fraction()),
        #[expect(clippy::cast_possible_truncation, reason = "a power is below a million watts")]
        power_w: power.watts().map(|watts| watts.as_watts().round() as i64),
        power_basis: power.watts().is_some().then(|| power.basis()),
        ..state_values(&view.state)
    }
}

/// Values of a state, without the power.
pub(crate) fn state_values(state: &DeviceState) -> Values {
    let held = state.hold().map(|field| hold(field.value));
    Values {
        temperature_c: state.temperature().map(|field| field.value.as_degrees()),
        humidity_pct: state.humidity().map(|field| field.value.as_percent()),
        setpoint_c: state.setpoint().map(|field| field.value.as_degrees()),
        duty_cycle: state.duty().map(|field| field.value.as_fraction()),
        mode: state.mode().map(|field| mode_name(field.value)),
        power_w: None,
        floor_temperature_c: state.floor_temperature().map(|field| field.value.as_degrees()),
        heating: state.heating().map(|field| field.value),
        current_a: state.current().map(|field| field.value.as_amperes()),
        voltage_v: state.voltage().map(|field| field.value.as_volts()),
        locked: state.lock().map(|field| field.value),
        hold: held.map(|(name, _)| name),
        hold_until: held.and_then(|(_, end)| end),
        fan: state.fan().map(|field| fan_name(field.value)),
        swing: state.swing_vertical().map(|field| swing_name(field.value)),
        horizontal_swing: state.swing_horizontal().map(|field| swing_name(field.value)),
        tracked_sensor: state.tracked_sensor().map(|field| field.value.to_string()),
        connected: state.connected().map(|field| field.value),
        signal_dbm: state.signal().map(|field| field.value),
        power_basis: None,
    }
}
