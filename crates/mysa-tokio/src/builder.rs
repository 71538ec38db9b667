use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::{DeviceId, Model};
use mysa_session::{Environment, Session, Settings, Start};
use mysa_sigv4::PresignedUrl;
use tokio::sync::mpsc;

use crate::client::{Client, NotReady};
use crate::clock::Clock;
use crate::driver::{Driver, Transport};
use crate::probe::Prober;
use crate::resources::Gauges;
use crate::shared::Shared;
use crate::token_file::{Loaded, TokenFile, TokenFileError};
use crate::transport::{Connector, TlsError, tls_config};

/// Describes a client before it is started.
#[derive(Debug)]
#[must_use = "nothing happens before it is started"]
pub struct ClientBuilder {
    environment: Environment,
    settings: Settings,
    start: Option<Start>,
    token_file: Option<TokenFile>,
    authorities: Vec<Vec<u8>>,
    connect_to: Option<SocketAddr>,
}

/// Why a client could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Neither a password, nor a stored session, nor a token file with one in it, nor a captured URL was given.
    NothingToStartFrom,
    /// What the token file held could not be read; it was moved to this path, and somebody has to sign in again.
    SetAside(PathBuf),
    /// The token file cannot be used.
    TokenFile(TokenFileError),
    /// There is nothing to check certificates with.
    Tls(TlsError),
    /// The operating system gives no random bytes.
    NoEntropy(getrandom::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToStartFrom => {
                f.write_str("nobody is signed in: give a password or a stored session")
            }
            Self::SetAside(path) => write!(
                f,
                "the stored session could not be read and was moved to {}; sign in again",
                path.display()
            ),
            Self::TokenFile(_) => f.write_str("the stored session cannot be used"),
            Self::Tls(_) => f.write_str("TLS cannot be set up"),
            Self::NoEntropy(_) => f.write_str("the operating system gives no random bytes"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NothingToStartFrom | Self::SetAside(_) => None,
            Self::TokenFile(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::NoEntropy(error) => Some(error),
        }
    }
}

/// Why [`ClientBuilder::connect`] has no client to give.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// It could not be started.
    Start(StartError),
    /// It was started, and something stands in the way. The client is handed out: a challenge can be answered with it,
    /// and waiting can go on.
    NotReady(NotReady, Client),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::NotReady(why, _) => why.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => error.source(),
            Self::NotReady(..) => None,
        }
    }
}

impl ClientBuilder {
    pub(crate) fn new(environment: Environment) -> Self {
        Self {
            environment,
            settings: Settings::default(),
            start: None,
            token_file: None,
            authorities: Vec::new(),
            connect_to: None,
        }
    }

    /// Signs in with a password that a person has just given; nothing of it is trimmed.
    pub fn password(mut self, username: &str, password: impl Into<Secret>) -> Self {
        self.start = Some(Start::Password { username: username.into(), password: password.into() });
        self
    }

    /// Goes on from a stored session. The password, if one is kept, is used once when the session is refused.
    pub fn stored(mut self, stored: StoredSession, password: Option<Secret>) -> Self {
        self.start = Some(Start::Resume { stored, password });
        self
    }

    /// Connects with a captured presigned URL and nothing else: no sign-in, no REST.
    pub fn captured(mut self, url: PresignedUrl, devices: Vec<(DeviceId, Model)>) -> Self {
        self.start = Some(Start::Captured { url, devices });
        self
    }

    /// Keeps the session in this file, and goes on from what it holds if nothing else was given to start from.
    pub fn token_file(mut self, file: TokenFile) -> Self {
        self.token_file = Some(file);
        self
    }

    /// Everything that may be chosen about the session itself.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Trusts the certificate authorities in this PEM as well as the system's.
    pub fn extra_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Makes every connection to this address, whatever host it is for. Names and certificates are checked as ever: for
    /// a simulated cloud, or a gateway.
    pub fn connect_to(mut self, address: SocketAddr) -> Self {
        self.connect_to = Some(address);
        self
    }

    /// Something that looks whether hosts can be reached the way this client would reach them.
    ///
    /// # Errors
    /// There is nothing to check certificates with.
    pub fn prober(&self) -> Result<Prober, TlsError> {
        let connector = Connector::new(self.connect_to, Gauges::default().sockets);
        Ok(Prober::new(connector, tls_config(&self.authorities)?))
    }

    /// Starts the client on the tokio runtime of the caller and returns at once; [`Monitor::ready`](crate::Monitor::ready)
    /// waits for it.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing was sent.
    pub fn start(self) -> Result<Client, StartError> {
        let start = match (self.start, &self.token_file) {
            (Some(start), _) => start,
            (None, Some(file)) => match file.load().map_err(StartError::TokenFile)? {
                Loaded::Session(stored) => Start::Resume { stored: *stored, password: None },
                Loaded::Nothing => return Err(StartError::NothingToStartFrom),
                Loaded::SetAside(path) => return Err(StartError::SetAside(path)),
            },
            (None, None) => return Err(StartError::NothingToStartFrom),
        };
        let stored = match &start {
            Start::Resume { stored, .. } => Some(stored.clone()),
            _ => None,
        };
        let tls = tls_config(&self.authorities).map_err(StartError::Tls)?;
        let gauges = Gauges::default();
        let connector = Connector::new(self.connect_to, gauges.sockets.clone());
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(StartError::NoEntropy)?;
        let clock = Clock::start();
        let session = Session::new(self.settings, self.environment, start, seed, clock.now());
        let shared = Arc::new(Shared::new(&session, stored, gauges.clone()));
        let transport = Transport::new(connector, tls, gauges);
        let (to_driver, asks) = mpsc::channel(64);
        let driver = Driver::new(session, clock, transport, self.token_file, Arc::clone(&shared), asks);
        tokio::spawn(driver.run());
        Ok(Client::new(shared, to_driver))
    }

    /// Starts the client and waits until it is signed in and knows its thermostats.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let client = self.start().map_err(ConnectError::Start)?;
        match client.ready().await {
            Ok(()) => Ok(client),
            Err(why) => Err(ConnectError::NotReady(why, client)),
        }
    }
}
