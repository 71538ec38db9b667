use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::rest::{self, History, ReadRequest, SettingsWrite, UsageQuery};
use mysa_proto::{Celsius, Change, DeviceId, Mode};
use mysa_session::{
    Busy, ChallengeNeeded, Diagnosis, Environment, Level, Reason, RequestError, Response, Service, Verdict,
};
use mysa_sigv4::PresignedUrl;
use tokio::sync::{mpsc, oneshot};

use crate::builder::ClientBuilder;
use crate::clock::{Clock, ClockSource};
use crate::device::DeviceView;
use crate::driver::Ask;
use crate::events::Events;
use crate::resources::Resources;
use crate::shared::Shared;
use crate::token_file::TokenFileError;

/// One account's thermostats. Cheap to clone; the connection ends when the last handle is dropped.
///
/// Any future of it may be dropped at any moment. A command that was already handed over goes on without its caller: it
/// was asked for, and its verdict still comes as an event.
#[derive(Clone)]
pub struct Client {
    monitor: Monitor,
}

/// A client that cannot write: it has no method that would.
///
/// ```compile_fail,E0599
/// # async fn example(monitor: mysa_tokio::Monitor, id: mysa_tokio::DeviceId) {
/// monitor.write_settings(mysa_tokio::rest::set_lock(id, true)).await;
/// # }
/// ```
#[derive(Clone)]
pub struct Monitor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) asks: mpsc::Sender<Ask>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("service", &self.service()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("service", &self.service()).finish_non_exhaustive()
    }
}

/// The client has ended: it was shut down, or its runtime was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client has ended")
    }
}

impl std::error::Error for Ended {}

/// Why a command has no verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CommandError {
    /// Hundreds of commands are open already; nothing was begun.
    Busy,
    /// The client has ended.
    Ended,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => Busy.fmt(f),
            Self::Ended => Ended.fmt(f),
        }
    }
}

impl std::error::Error for CommandError {}

/// Why a request of [`Monitor::request`] or [`Client::write_settings`] has no answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AskError {
    /// The service refused it, or could not be asked.
    Request(RequestError),
    /// Too many requests are under way; nothing was sent.
    Busy,
    /// The client has ended.
    Ended,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            Self::Busy => Busy.fmt(f),
            Self::Ended => Ended.fmt(f),
        }
    }
}

impl std::error::Error for AskError {}

/// Why there is no history of energy.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnergyError {
    /// The service refused it, or could not be asked.
    Ask(AskError),
    /// What it answered is no history.
    Decode(rest::DecodeError),
}

impl fmt::Display for EnergyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(error) => error.fmt(f),
            Self::Decode(_) => f.write_str("the service answered something that is no history"),
        }
    }
}

impl std::error::Error for EnergyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ask(_) => None,
            Self::Decode(error) => Some(error),
        }
    }
}

/// Why a client is not ready.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NotReady {
    /// Cognito asks for a code; hand it to [`Client::answer_challenge`] and wait again.
    Challenge(Box<ChallengeNeeded>),
    /// A person has to sign in.
    SignInNeeded(Reason),
    /// The cloud cannot be reached; the client goes on trying, and so may the caller.
    Offline(Reason),
    /// The client has ended.
    Ended,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge(_) => f.write_str("the account asks for a code"),
            Self::SignInNeeded(reason) => write!(f, "sign-in needed: {reason}"),
            Self::Offline(reason) => write!(f, "offline: {reason}"),
            Self::Ended => Ended.fmt(f),
        }
    }
}

impl std::error::Error for NotReady {}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>, asks: mpsc::Sender<Ask>) -> Self {
        Self { monitor: Monitor { shared, asks } }
    }

    /// Begins to describe a client. [`Environment::mysa`] is the real cloud.
    pub fn builder(environment: Environment) -> ClientBuilder {
        ClientBuilder::new(environment)
    }

    /// A handle that cannot write.
    #[must_use]
    pub fn read_only(&self) -> Monitor {
        self.monitor.clone()
    }

    /// Asks for a setpoint. See [`Client::command`].
    pub fn set_setpoint(&self, device: &DeviceId, setpoint: Celsius) -> Pending {
        self.command(device, Change::setpoint(setpoint))
    }

    /// Asks for a mode. See [`Client::command`].
    pub fn set_mode(&self, device: &DeviceId, mode: Mode) -> Pending {
        self.command(device, Change::mode(mode))
    }

    /// Asks a thermostat for any number of changes at once. Nothing happens until the returned value is awaited; it then
    /// resolves to the one [`Verdict`] on the command, which says what was really seen.
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
        Pending { asks: self.asks.clone(), device: *device, change, deadline: None }
    }

    /// Writes harmless settings of a thermostat to the REST service, with the account's token: its name, its lock, the
    /// brightness of its display. It is sent once: after [`RequestError::Failed`] it may or may not have had its effect.
    ///
    /// # Errors
    /// What the service refused, or that it could not be asked; [`RequestError::ReadOnly`] if the client is read-only.
    pub async fn write_settings(&self, write: SettingsWrite) -> Result<Response, AskError> {
        let (response, answer) = oneshot::channel();
        self.ask(Ask::WriteSettings { write, response }).await.map_err(|Ended| AskError::Ended)?;
        answer.await.unwrap_or(Err(AskError::Ended))
    }

    /// Answers a challenge, such as with the code of a text message. Then wait for [`Monitor::ready`] again.
    ///
    /// # Errors
    /// If the client has ended.
    pub async fn answer_challenge(&self, answer: &str) -> Result<(), Ended> {
        // At once, so that who waits for readiness next is not shown the question just answered.
        self.shared.answered();
        self.ask(Ask::AnswerChallenge { answer: Secret::from(answer) }).await
    }

    /// Signs a URL that another MQTT program can connect with in the name of this account, by the cloud's own time.
    /// Waits until there is something to sign with, so put a limit on it; that may be never for an account without
    /// thermostats. A client that was given a captured URL has only that one to give.
    ///
    /// Whoever holds the URL can connect while it is valid, which is five minutes or so: it is a secret.
    ///
    /// # Errors
    /// If the client has ended.
    pub async fn presign(&self) -> Result<PresignedUrl, Ended> {
        let (url, answer) = oneshot::channel();
        self.ask(Ask::Presign { url }).await?;
        answer.await.map_err(|_| Ended)
    }

    /// Revokes the refresh token, forgets the stored session and ends the client.
    ///
    /// # Errors
    /// If the client has already ended.
    pub async fn sign_out(&self) -> Result<(), Ended> {
        self.ask(Ask::SignOut).await?;
        self.shared.ended().await;
        Ok(())
    }

    /// Says goodbye to the broker, resolves every open command with what is known of it, and ends. Takes a few seconds
    /// at the most. Other handles of this client end with it.
    pub async fn shutdown(&self) {
        if self.ask(Ask::Shutdown).await.is_ok() {
            self.shared.ended().await;
        }
    }
}

impl std::ops::Deref for Client {
    type Target = Monitor;

    fn deref(&self) -> &Monitor {
        &self.monitor
    }
}

impl Monitor {
    async fn ask(&self, ask: Ask) -> Result<(), Ended> {
        self.asks.send(ask).await.map_err(|_| Ended)
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
                return Err(NotReady::Ended);
            }
        }
    }

    /// The account's thermostats, as last listed.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceView> {
        self.shared.read(|known| known.devices.values().cloned().collect())
    }

    /// What is known of one thermostat, at any time. `None` for one that is not on the account's list.
    #[must_use]
    pub fn state(&self, device: &DeviceId) -> Option<DeviceView> {
        self.shared.read(|known| known.devices.get(device).cloned())
    }

    /// What is known of every thermostat.
    #[must_use]
    pub fn states(&self) -> BTreeMap<DeviceId, DeviceView> {
        self.shared.read(|known| known.devices.clone())
    }

    /// How much of the cloud is to be had just now, why, and since when.
    #[must_use]
    pub fn service(&self) -> Service {
        self.shared.read(|known| known.service)
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
    /// What the service refused, or that it could not be asked.
    pub async fn request(&self, request: ReadRequest) -> Result<Response, AskError> {
        let (response, answer) = oneshot::channel();
        self.ask(Ask::Request { request, response }).await.map_err(|Ended| AskError::Ended)?;
        answer.await.unwrap_or(Err(AskError::Ended))
    }

    /// What a thermostat used, day by day, from the cloud's own records.
    ///
    /// # Errors
    /// As [`Monitor::request`]; and an answer that is no history.
    pub async fn energy(&self, device: &DeviceId, query: &UsageQuery) -> Result<History, EnergyError> {
        let response = self.request(rest::usage(*device, query)).await.map_err(EnergyError::Ask)?;
        History::decode(&response.body).map_err(EnergyError::Decode)
    }

    /// How far the client has come on the way to live statuses, for a report to a person.
    ///
    /// # Errors
    /// If the client has ended.
    pub async fn diagnosis(&self) -> Result<Diagnosis, Ended> {
        let (diagnosis, answer) = oneshot::channel();
        self.ask(Ask::Diagnose { diagnosis }).await?;
        answer.await.map_err(|_| Ended)
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
        self.shared.read(|known| known.store_failure.clone())
    }

    /// What to keep for the next start, if there is anything. With a [`TokenFile`](crate::TokenFile) it is kept already.
    #[must_use]
    pub fn stored_session(&self) -> Option<StoredSession> {
        self.shared.read(|known| known.stored.clone())
    }
}

/// A command that waits to be awaited.
#[must_use = "a command is sent when it is awaited"]
pub struct Pending {
    asks: mpsc::Sender<Ask>,
    device: DeviceId,
    change: Change,
    deadline: Option<Duration>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("change", &self.change).finish_non_exhaustive()
    }
}

impl Pending {
    /// How long the command may take until its verdict; the default is the session's.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

impl IntoFuture for Pending {
    type Output = Result<Verdict, CommandError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (verdict, answer) = oneshot::channel();
            let Self { asks, device, change, deadline } = self;
            let ended = |_| CommandError::Ended;
            asks.send(Ask::Command { device, change, deadline, verdict }).await.map_err(ended)?;
            answer.await.map_err(|_| CommandError::Ended)?.map_err(|Busy| CommandError::Busy)
        })
    }
}
