use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mysa_cognito::StoredSession;
use mysa_proto::iot::Thing;
use mysa_proto::rest::{History, ReadRequest, SettingsWrite, UsageQuery};
use mysa_proto::{Celsius, Change, DeviceId, Mode, Model};
use mysa_session::{Diagnosis, Environment, Preview, Response, Revocation, Service};
use mysa_sigv4::PresignedUrl;
use tokio::sync::oneshot;

use crate::builder::ClientBuilder;
use crate::clock::ClockSource;
use crate::command::{Pending, PendingMany};
use crate::driver::Request;
use crate::error::{Error, NotReady};
use crate::events::Events;
use crate::monitor::Monitor;
use crate::resources::Resources;
use crate::snapshot::DeviceView;
use crate::token_file::TokenFileError;

/// Handle of a client: the thermostats of one account. Cheap to clone; the connection ends when the last handle is
/// dropped.
///
/// Any future of a client may be dropped at any time. A command that was already handed over continues without its
/// caller, and its verdict still arrives as an event.
#[derive(Clone)]
pub struct Client {
    monitor: Monitor,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("service", &self.service()).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) const fn new(monitor: Monitor) -> Self {
        Self { monitor }
    }

    /// Returns a builder. [`Environment::mysa`] is the production cloud. The clients of a process can share one environment.
    pub fn builder(environment: impl Into<Arc<Environment>>) -> ClientBuilder {
        ClientBuilder::new(environment.into())
    }

    /// Returns a handle that cannot write.
    #[must_use]
    pub fn read_only(&self) -> Monitor {
        self.monitor.clone()
    }

    /// Requests a setpoint. See [`Client::command`].
    pub fn set_setpoint(&self, device: &DeviceId, setpoint: Celsius) -> Pending {
        self.command(device, Change::setpoint(setpoint))
    }

    /// Requests a mode. See [`Client::command`].
    pub fn set_mode(&self, device: &DeviceId, mode: Mode) -> Pending {
        self.command(device, Change::mode(mode))
    }

    /// Requests any number of changes of one thermostat at once. Nothing happens until the returned value is awaited;
    /// it then resolves to the [`Verdict`](crate::Verdict) on the command, which names the observed evidence.
    ///
    /// ```no_run
    /// # async fn example(client: mysa_tokio::Client, id: mysa_tokio::DeviceId) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use mysa_tokio::{Change, Mode};
    ///
    /// let verdict = client.command(&id, Change::mode(Mode::Off)).deadline(Duration::from_secs(10)).await?;
    /// println!("{verdict}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn command(&self, device: &DeviceId, change: Change) -> Pending {
        Pending::new(self.monitor.requests.clone(), *device, change)
    }

    /// Requests the same change of several thermostats. Each gets its own command and its own verdict; a repeated id
    /// counts once. Nothing happens until the returned value is awaited.
    ///
    /// ```no_run
    /// # async fn example(client: mysa_tokio::Client) {
    /// use mysa_tokio::{Change, DeviceId, Mode};
    ///
    /// let all: Vec<DeviceId> = client.devices().iter().map(|device| device.id).collect();
    /// let mut off = client.set_many(&all, Change::mode(Mode::Off));
    /// while let Some((device, verdict)) = off.next().await {
    ///     match verdict {
    ///         Ok(verdict) => println!("{device}: {verdict}"),
    ///         Err(error) => println!("{device}: not asked: {error}"),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn set_many(&self, devices: &[DeviceId], change: Change) -> PendingMany {
        PendingMany::new(self.monitor.requests.clone(), devices, change)
    }

    /// Adds thermostats that an earlier run has listed, with their names, so they can be observed and commanded by MQTT
    /// while the REST service cannot be reached. Has no effect once the list has been read; thermostats that are not on
    /// it are then removed. A client with a captured URL reads no list, so it takes further thermostats until it ends.
    ///
    /// # Errors
    /// [`Error::Closed`] if the client is closed.
    pub async fn assume_devices(&self, known: Vec<(DeviceId, Model, Option<String>)>) -> Result<(), Error> {
        self.monitor.send(Request::AssumeDevices { known }).await
    }

    /// Returns the message that [`Client::command`] would send now: its channel, the values rounded to the thermostat's
    /// steps, and its payload. Nothing is sent. The channel may differ once the MQTT connection is up.
    ///
    /// ```no_run
    /// # async fn example(client: mysa_tokio::Client, id: mysa_tokio::DeviceId) -> Result<(), Box<dyn std::error::Error>> {
    /// use mysa_tokio::{Celsius, Change};
    ///
    /// let asked = Celsius::from_degrees(20.3).ok_or("no temperature")?;
    /// let preview = client.preview(&id, Change::setpoint(asked)).await?;
    /// println!("{} instead of {} by {}", preview.change, preview.before, preview.channel); // setpoint 20.5 °C ...
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason that the verdict of such a command would have; [`Error::Closed`].
    pub async fn preview(&self, device: &DeviceId, change: Change) -> Result<Preview, Error> {
        let (preview, answer) = oneshot::channel();
        self.monitor.send(Request::Preview { device: *device, change, preview }).await?;
        answer.await.map_err(|_| Error::Closed)?.map_err(Error::Refused)
    }

    /// Writes harmless settings of a thermostat by the REST service: its name, its lock, the brightness of its display.
    /// The request is sent once; after a [`RequestError::Failed`](crate::RequestError::Failed) or
    /// [`RequestError::Aborted`](crate::RequestError::Aborted) it is unknown whether it took effect.
    ///
    /// # Errors
    /// [`Error::Request`], with [`RequestError::ReadOnly`](crate::RequestError::ReadOnly) if the client is read-only;
    /// [`Error::Busy`]; [`Error::Closed`].
    pub async fn write_settings(&self, write: SettingsWrite) -> Result<Response, Error> {
        let (response, answer) = oneshot::channel();
        self.monitor.send(Request::WriteSettings { write, response }).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Returns a presigned URL with which another MQTT client can connect on behalf of this account, signed with the
    /// cloud's time. The call waits until there are credentials, which never happens for an account without
    /// thermostats: use a timeout. A client with a captured URL returns that one.
    ///
    /// The URL is a secret: anybody who has it can connect while it is valid, for about five minutes.
    ///
    /// # Errors
    /// [`Error::Closed`] if the client is closed.
    pub async fn presign(&self) -> Result<PresignedUrl, Error> {
        let (url, answer) = oneshot::channel();
        self.monitor.send(Request::Presign { url }).await?;
        answer.await.map_err(|_| Error::Closed)
    }

    /// Revokes the refresh token, deletes the stored session and closes the client, within ten seconds, or twenty if the disk
    /// does not respond. The result shows whether the token may still work. If the cloud could not be reached, it may, and the
    /// stored session is kept so that the sign-out can be repeated. [`Client::store_failure`] shows whether the deletion failed.
    ///
    /// # Errors
    /// [`Error::Closed`] if the client is already closed.
    pub async fn sign_out(&self) -> Result<Revocation, Error> {
        let (revoked, outcome) = oneshot::channel();
        self.monitor.send(Request::SignOut { revoked }).await?;
        // The client closed before the answer.
        let revoked = outcome.await.unwrap_or(Revocation::NotReached);
        // Waits for the driver's end, so the sockets are closed on return.
        self.monitor.shared.closed().await;
        Ok(revoked)
    }
}

/// Methods shared with [`Monitor`].
impl Client {
    /// See [`Monitor::ready`].
    ///
    /// # Errors
    /// See [`Monitor::ready`].
    pub async fn ready(&self) -> Result<(), NotReady> {
        self.monitor.ready().await
    }

    /// See [`Monitor::answer_challenge`].
    ///
    /// # Errors
    /// [`Error::Closed`] if the client is closed.
    pub async fn answer_challenge(&self, answer: &str) -> Result<(), Error> {
        self.monitor.answer_challenge(answer).await
    }

    /// See [`Monitor::devices`].
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceView> {
        self.monitor.devices()
    }

    /// See [`Monitor::state`].
    #[must_use]
    pub fn state(&self, device: &DeviceId) -> Option<DeviceView> {
        self.monitor.state(device)
    }

    /// See [`Monitor::states`].
    #[must_use]
    pub fn states(&self) -> BTreeMap<DeviceId, DeviceView> {
        self.monitor.states()
    }

    /// See [`Monitor::service`].
    #[must_use]
    pub fn service(&self) -> Service {
        self.monitor.service()
    }

    /// See [`Monitor::proven_service`].
    #[must_use]
    pub fn proven_service(&self) -> Service {
        self.monitor.proven_service()
    }

    /// See [`Monitor::is_live`].
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.monitor.is_live()
    }

    /// See [`Monitor::events`].
    #[must_use]
    pub fn events(&self) -> Events {
        self.monitor.events()
    }

    /// See [`Monitor::request`].
    ///
    /// # Errors
    /// See [`Monitor::request`].
    pub async fn request(&self, request: ReadRequest) -> Result<Response, Error> {
        self.monitor.request(request).await
    }

    /// See [`Monitor::energy`].
    ///
    /// # Errors
    /// See [`Monitor::energy`].
    pub async fn energy(&self, device: &DeviceId, query: &UsageQuery) -> Result<History, Error> {
        self.monitor.energy(device, query).await
    }

    /// See [`Monitor::describe_thing`].
    ///
    /// # Errors
    /// See [`Monitor::describe_thing`].
    pub async fn describe_thing(&self, device: &DeviceId) -> Result<Thing, Error> {
        self.monitor.describe_thing(device).await
    }

    /// See [`Monitor::diagnosis`].
    ///
    /// # Errors
    /// [`Error::Closed`] if the client is closed.
    pub async fn diagnosis(&self) -> Result<Diagnosis, Error> {
        self.monitor.diagnosis().await
    }

    /// See [`Monitor::resources`].
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.monitor.resources()
    }

    /// See [`Monitor::elapsed`].
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.monitor.elapsed()
    }

    /// See [`Monitor::clock`].
    #[must_use]
    pub fn clock(&self) -> ClockSource {
        self.monitor.clock()
    }

    /// See [`Monitor::store_failure`].
    #[must_use]
    pub fn store_failure(&self) -> Option<Arc<TokenFileError>> {
        self.monitor.store_failure()
    }

    /// See [`Monitor::stored_session`].
    #[must_use]
    pub fn stored_session(&self) -> Option<StoredSession> {
        self.monitor.stored_session()
    }

    /// See [`Monitor::shutdown`].
    pub async fn shutdown(&self) {
        self.monitor.shutdown().await;
    }

    /// Ends the client at once and waits until it is closed. Connections are reset, with the bytes that they have not
    /// written, and requests without an answer are given up. Open commands get their verdicts, as after
    /// [`Client::shutdown`], and the token file is waited for as there. For a program that may not use the account any more.
    pub async fn abort(&self) {
        self.monitor.abort().await;
    }
}
