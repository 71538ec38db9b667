use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::DeviceId;
use mysa_proto::rest::{self, History, ReadRequest, UsageQuery};
use mysa_session::{Diagnosis, Level, Response, Service};
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, ClockSource};
use crate::driver::Request;
use crate::error::{Error, NotReady};
use crate::events::Events;
use crate::resources::Resources;
use crate::snapshot::{DeviceView, Shared};
use crate::token_file::TokenFileError;

/// A handle of a client that cannot write: it has no method that would. Cheap to clone.
///
/// [`Client::read_only`](crate::Client::read_only) gives one beside a client that writes;
/// [`ClientBuilder::monitor`](crate::ClientBuilder::monitor) makes a client of which nothing else exists.
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

    /// Answers a challenge, such as with the code of a text message. Then wait for [`Monitor::ready`] again.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn answer_challenge(&self, answer: &str) -> Result<(), Error> {
        // At once, so that who waits for readiness next is not shown the question just answered.
        self.shared.answered();
        self.send(Request::AnswerChallenge { answer: Secret::from(answer) }).await
    }

    /// Says goodbye to the broker, resolves every open command with what is known of it, and closes the client. Takes
    /// three seconds at the most, whatever the broker does. Other handles of this client are closed with it.
    pub async fn shutdown(&self) {
        if self.send(Request::Shutdown).await.is_ok() {
            self.shared.closed().await;
        }
    }

    /// Waits until the account is signed in and its thermostats are listed.
    ///
    /// # Errors
    /// What stands in the way, as soon as it is known that waiting alone will not help. [`NotReady::Offline`] is told
    /// once, after the first round of failures; waiting again goes on until the cloud can be reached, or is out of reach
    /// for another reason.
    pub async fn ready(&self) -> Result<(), NotReady> {
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

    /// The account's thermostats, as last listed.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceView> {
        self.shared.read(|snapshot| snapshot.devices.values().cloned().collect())
    }

    /// The latest snapshot of one thermostat. `None` for one that is not on the account's list.
    #[must_use]
    pub fn state(&self, device: &DeviceId) -> Option<DeviceView> {
        self.shared.read(|snapshot| snapshot.devices.get(device).cloned())
    }

    /// The latest snapshot of every thermostat.
    #[must_use]
    pub fn states(&self) -> BTreeMap<DeviceId, DeviceView> {
        self.shared.read(|snapshot| snapshot.devices.clone())
    }

    /// Service level, its cause, and when it began.
    #[must_use]
    pub fn service(&self) -> Service {
        self.shared.read(|snapshot| snapshot.service)
    }

    /// Whether statuses come by themselves.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.service().level <= Level::ReadOnly
    }

    /// What happens from now on. A slow reader loses intermediate states, never the latest, and is told how many.
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared.subscribe()
    }

    /// Sends a read to the REST service, with the account's token.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Busy`] or [`Error::Closed`].
    pub async fn request(&self, request: ReadRequest) -> Result<Response, Error> {
        let (response, answer) = oneshot::channel();
        self.send(Request::Read { request, response }).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// What a thermostat used, day by day, from the cloud's own records.
    ///
    /// # Errors
    /// As [`Monitor::request`], and [`Error::Decode`].
    pub async fn energy(&self, device: &DeviceId, query: &UsageQuery) -> Result<History, Error> {
        let response = self.request(rest::usage(*device, query)).await?;
        History::decode(&response.body).map_err(Error::Decode)
    }

    /// How far the client has come on the way to live statuses, for a report to a person.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn diagnosis(&self) -> Result<Diagnosis, Error> {
        let (diagnosis, answer) = oneshot::channel();
        self.send(Request::Diagnose { diagnosis }).await?;
        answer.await.map_err(|_| Error::Closed)
    }

    /// The sockets, tasks and bytes that the client holds just now. All are bounded, whatever a peer does.
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.shared.gauges.read()
    }

    /// The clock that the client counts its deadlines on, which says whether they hold through a suspend.
    #[must_use]
    pub fn clock(&self) -> ClockSource {
        Clock::SOURCE
    }

    /// Why the session could not be kept in the token file the last time it had to be, if it could not.
    #[must_use]
    pub fn store_failure(&self) -> Option<Arc<TokenFileError>> {
        self.shared.read(|snapshot| snapshot.store_failure.clone())
    }

    /// What to keep for the next start, if there is anything. With a [`TokenFile`](crate::TokenFile) it is kept already.
    #[must_use]
    pub fn stored_session(&self) -> Option<StoredSession> {
        self.shared.read(|snapshot| snapshot.stored.clone())
    }
}
