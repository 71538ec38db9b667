//! Events of a client.

use std::sync::{Arc, Mutex, PoisonError};

use mysa_tokio::{Client, Event, Events as CoreEvents};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tokio::sync::Mutex as AsyncMutex;

use super::options::duration;
use super::values::{service, verdict};
use crate::runtime::run;

/// Stream of events.
///
/// Waiting and taking are separate, so that a wait which is cancelled at any moment loses no event.
#[pyclass(frozen, module = "mysa._native")]
pub(crate) struct Events {
    client: Client,
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
    pub(super) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            source: Arc::new(AsyncMutex::new(client.events())),
            next: Arc::default(),
        }
    }

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
                dict.set_item("payload", PyBytes::new(py, payload))?;
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
