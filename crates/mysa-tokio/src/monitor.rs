use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::DeviceId;
use mysa_proto::iot::Thing;
use mysa_proto::rest::{self, History, ReadRequest, UsageQuery};
use mysa_session::{Diagnosis, Level, Link, Reason, Response, Service};
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, ClockSource};
use crate::driver::Request;
use crate::error::{Error, NotReady};
use crate::events::Events;
use crate::resources::Resources;
use crate::snapshot::{DeviceView, Shared};
use crate::token_file::TokenFileError;

/// Handle of a client that cannot write: it has no method that does. Cheap to clone.
///
/// [`Client::read_only`](crate::Client::read_only) returns one for a client that can write;
/// [`ClientBuilder::monitor`](crate::ClientBuilder::monitor) starts a client with no other kind of handle.
///
/// ```compile_fail,E0599
/// # async fn example(monitor: mysa_tokio::Monitor, id: mysa_tokio::DeviceId) {
/// monitor.set_mode(&id, mysa_tokio::Mode::Off).await;
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # async fn example(monitor: mysa_tokio::Monitor, id: mysa_tokio::DeviceId) {
/// monitor.write_settings(mysa_tokio::rest::set_lock(id, true)).await;
/// # }
/// ```
#[derive(Clone)]
pub struct Monitor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: mpsc::Sender<Request>,
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("service", &self.service()).finish_non_exhaustive()
    }
}

impl Monitor {
    pub(crate) fn new(shared: Arc<Shared>, requests: mpsc::Sender<Request>) -> Self {
        Self { shared, requests }
    }

    pub(crate) async fn send(&self, request: Request) -> Result<(), Error> {
        self.requests.send(request).await.map_err(|_| Error::Closed)
    }

    /// Answers a challenge, such as with the code of a text message. Afterwards [`Monitor::ready`] can be awaited
    /// again.
    ///
    /// # Errors
    /// [`Error::Closed`] if the client is closed.
    pub async fn answer_challenge(&self, answer: &str) -> Result<(), Error> {
        // The challenge is cleared at once, so a following `ready` does not return the one just answered.
        self.shared.answered();
        self.send(Request::AnswerChallenge { answer: Secret::from(answer) }).await
    }

    /// Shuts the client down: decides every open command, sends DISCONNECT and closes all connections. Waits
    /// for a broker that does not respond for one second, and for a write of the token file for ten seconds at most. All
    /// handles of this client are closed.
    ///
    /// A write that a disk holds up for longer goes on in its thread, followed by a later one that waits, and
    /// [`Monitor::store_failure`] reports it. A runtime waits for such a thread when it is dropped;
    /// [`Runtime::shutdown_timeout`](tokio::runtime::Runtime::shutdown_timeout) does not.
    pub async fn shutdown(&self) {
        if self.send(Request::Shutdown).await.is_ok() {
            self.shared.closed().await;
        }
    }

    /// See [`Client::abort`](crate::Client::abort).
    pub(crate) async fn abort(&self) {
        if self.send(Request::Abort).await.is_ok() {
            self.shared.closed().await;
        }
    }

    /// Waits until the account is signed in and its thermostats are listed. The token file may be written later.
    ///
    /// # Errors
    /// [`NotReady`] with the obstacle, as soon as waiting alone cannot help. [`NotReady::Offline`] is returned once,
    /// after the first failures; another call waits until the cloud can be reached, or is unreachable for a different
    /// reason.
    pub async fn ready(&self) -> Result<(), NotReady> {
        // Subscribed before the first check, so no change in between is missed.
        let mut changes = self.shared.changes();
        loop {
            if let Some(result) = self.shared.readiness() {
                return result;
            }
            if changes.changed().await.is_err() {
                return Err(NotReady::Closed);
            }
        }
    }

    /// Returns the thermostats of the account, as last listed.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceView> {
        self.shared.read(|snapshot| snapshot.devices.values().cloned().collect())
    }

    /// Returns the latest snapshot of one thermostat. `None` if it is not in the account's list.
    #[must_use]
    pub fn state(&self, device: &DeviceId) -> Option<DeviceView> {
        self.shared.read(|snapshot| snapshot.devices.get(device).cloned())
    }

    /// Returns the latest snapshot of every thermostat.
    #[must_use]
    pub fn states(&self) -> BTreeMap<DeviceId, DeviceView> {
        self.shared.read(|snapshot| snapshot.devices.clone())
    }

    /// Service level, its cause, and when it began.
    #[must_use]
    pub fn service(&self) -> Service {
        self.shared.read(|snapshot| snapshot.service)
    }

    /// Returns the service level as far as messages prove it, for people. A granted subscription proves nothing, and a
    /// session needs minutes to conclude that nothing is delivered: while no thermostat reports by MQTT, a level at which
    /// statuses are pushed is [`Level::RestOnly`] with [`Reason::NoMessages`] or [`Reason::NoLiveReports`].
    #[must_use]
    pub fn proven_service(&self) -> Service {
        self.shared.read(|snapshot| {
            let mut service = snapshot.service;
            let mut devices = snapshot.devices.values();
            let is_proven = devices.len() == 0 || devices.any(|view| view.link == Link::Live);
            if service.level <= Level::ReadOnly && !is_proven {
                service.level = Level::RestOnly;
                service.reason = match service.reason {
                    Reason::PublishNotPermitted => Reason::NoLiveReports,
                    _ => Reason::NoMessages,
                };
            }
            service
        })
    }

    /// Returns `true` if statuses are pushed by MQTT.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.service().level <= Level::ReadOnly
    }

    /// Returns a stream of events from now on. A slow reader loses intermediate states, never the latest, and
    /// gets the number of lost ones.
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared.subscribe()
    }

    /// Sends a read request to the REST service, with the account's token.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Busy`] or [`Error::Closed`].
    pub async fn request(&self, request: ReadRequest) -> Result<Response, Error> {
        let (response, answer) = oneshot::channel();
        self.send(Request::Read { request, response }).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Returns the energy use of a thermostat by day, from the cloud's records.
    ///
    /// # Errors
    /// Those of [`Monitor::request`], and [`Error::Decode`].
    pub async fn energy(&self, device: &DeviceId, query: &UsageQuery) -> Result<History, Error> {
        let response = self.request(rest::usage(*device, query)).await?;
        History::decode(&response.body).map_err(Error::Decode)
    }

    /// Reads the registration of a thermostat at AWS IoT, which has its serial number. The request goes to
    /// the control plane of AWS IoT, signed with the account's AWS credentials; the policy of the account may
    /// not allow it.
    ///
    /// ```no_run
    /// # async fn example(client: mysa_tokio::Client, id: mysa_tokio::DeviceId) {
    /// use mysa_tokio::{Error, RequestError};
    ///
    /// match client.describe_thing(&id).await {
    ///     Ok(thing) => println!("{id}: {}", thing.serial.as_deref().unwrap_or("no serial number")),
    ///     Err(Error::Request(RequestError::Refused { status: 403, .. })) => println!("{id}: not allowed to ask"),
    ///     Err(error) => println!("{id}: {error}"),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Monitor::request`], and [`Error::Decode`].
    pub async fn describe_thing(&self, device: &DeviceId) -> Result<Thing, Error> {
        let (response, answer) = oneshot::channel();
        self.send(Request::DescribeThing { device: *device, response }).await?;
        let response = answer.await.unwrap_or(Err(Error::Closed))?;
        Thing::decode(&response.body).map_err(Error::Decode)
    }

    /// Returns the progress towards live statuses, for a report to a person.
    ///
    /// # Errors
    /// [`Error::Closed`] if the client is closed.
    pub async fn diagnosis(&self) -> Result<Diagnosis, Error> {
        let (diagnosis, answer) = oneshot::channel();
        self.send(Request::Diagnose { diagnosis }).await?;
        answer.await.map_err(|_| Error::Closed)
    }

    /// Returns the sockets, tasks and bytes that the client holds now. All are bounded, regardless of the
    /// peers.
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.shared.gauges.read()
    }

    /// Returns the time since the start of the client, on the clock that its ages are counted on: that of
    /// [`DeviceView::taken_at`] and of the times in [`Service`].
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.clock.now().mono
    }

    /// Returns the clock of the client's deadlines. It decides whether they hold through a suspend.
    #[must_use]
    pub fn clock(&self) -> ClockSource {
        Clock::SOURCE
    }

    /// Returns the reason why the last operation on the token file failed, if it did. An operation in progress does not count
    /// until it ends: ask after [`Monitor::shutdown`] to learn whether the session is stored.
    #[must_use]
    pub fn store_failure(&self) -> Option<Arc<TokenFileError>> {
        self.shared.read(|snapshot| snapshot.store_failure.clone())
    }

    /// Returns the session to store for the next start, if there is one. A [`TokenFile`](crate::TokenFile) stores it
    /// automatically.
    #[must_use]
    pub fn stored_session(&self) -> Option<StoredSession> {
        self.shared.read(|snapshot| snapshot.stored.clone())
    }
}
