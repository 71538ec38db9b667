use std::net::SocketAddr;
use std::sync::Arc;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::{DeviceId, Model};
use mysa_session::{Environment, Settings, Start};
use mysa_sigv4::PresignedUrl;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::clock::Clock;
use crate::driven_session::Session;
use crate::driver::{Driver, Transport};
use crate::error::{ConnectError, Error};
use crate::monitor::Monitor;
use crate::probe::Prober;
use crate::resources::Gauges;
use crate::snapshot::Shared;
use crate::token_file::TokenFile;
use crate::transport::{Connector, Tls, TlsError};

/// Builder of a [`Client`] or a [`Monitor`].
#[derive(Debug)]
#[must_use = "nothing happens before it is started"]
pub struct ClientBuilder {
    environment: Arc<Environment>,
    settings: Settings,
    start: Option<Start>,
    token_file: Option<TokenFile>,
    authorities: Vec<Vec<u8>>,
    tls: Option<Tls>,
    connect_to: Option<SocketAddr>,
}

impl ClientBuilder {
    pub(crate) fn new(environment: Arc<Environment>) -> Self {
        Self {
            environment,
            settings: Settings::default(),
            start: None,
            token_file: None,
            authorities: Vec::new(),
            tls: None,
            connect_to: None,
        }
    }

    /// Signs in with a password that a person has just entered. It is used unchanged, blanks included.
    pub fn password(mut self, username: &str, password: impl Into<Secret>) -> Self {
        self.start = Some(Start::Password { username: username.into(), password: password.into() });
        self
    }

    /// Resumes from a stored session. A stored password, if given, is used once when the session is refused.
    pub fn stored(mut self, stored: StoredSession, password: Option<Secret>) -> Self {
        self.start = Some(Start::Resume { stored, password });
        self
    }

    /// Connects with a captured presigned URL, without sign-in and without REST. `devices` are the thermostats to
    /// subscribe to; [`Client::assume_devices`] adds further ones.
    pub fn captured(mut self, url: PresignedUrl, devices: Vec<(DeviceId, Model)>) -> Self {
        self.start = Some(Start::Captured { url, devices });
        self
    }

    /// Stores the session in this file, and resumes from its content if no other start is given.
    pub fn token_file(mut self, file: TokenFile) -> Self {
        self.token_file = Some(file);
        self
    }

    /// Sets the settings of the session.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Trusts the certificate authorities in this PEM in addition to the system's.
    pub fn extra_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Uses TLS settings that other clients share. [`ClientBuilder::extra_ca`] has no effect then.
    pub fn tls(mut self, tls: &Tls) -> Self {
        self.tls = Some(tls.clone());
        self
    }

    /// Connects every socket to this address instead of its host, for a simulated cloud or a gateway. Names
    /// and certificates are checked as usual.
    pub fn connect_to(mut self, address: SocketAddr) -> Self {
        self.connect_to = Some(address);
        self
    }

    /// Returns a [`Prober`], which tests whether hosts are reachable the way this client would reach them.
    ///
    /// # Errors
    /// [`TlsError`] if TLS cannot be set up.
    pub fn prober(&self) -> Result<Prober, TlsError> {
        let connector = Connector::new(self.connect_to, Gauges::default().sockets);
        Ok(Prober::new(connector, self.trust()?.config()))
    }

    fn trust(&self) -> Result<Tls, TlsError> {
        self.tls.clone().map_or_else(|| Tls::new(&self.authorities), Ok)
    }

    /// Starts the client on the caller's tokio runtime and returns at once; [`Monitor::ready`](crate::Monitor::ready)
    /// waits until it is ready.
    ///
    /// # Errors
    /// [`Error`], with the reason. Nothing was sent.
    pub fn start(self) -> Result<Client, Error> {
        Ok(Client::new(self.spawn()?))
    }

    /// Starts a client that cannot write; otherwise as [`ClientBuilder::start`]. Its session is
    /// [read-only](Settings::read_only), and no handle has a method that writes.
    ///
    /// # Errors
    /// [`Error`], with the reason. Nothing was sent.
    pub fn start_monitor(mut self) -> Result<Monitor, Error> {
        self.settings.read_only = true;
        self.spawn()
    }

    fn spawn(mut self) -> Result<Monitor, Error> {
        let start = match (self.start.take(), &self.token_file) {
            // An explicit start takes precedence over the token file.
            (Some(start), _) => start,
            (None, Some(file)) => match file.load().map_err(Error::TokenFile)? {
                Some(stored) => Start::Resume { stored, password: None },
                None => return Err(Error::NothingToStartFrom),
            },
            (None, None) => return Err(Error::NothingToStartFrom),
        };
        let stored = match &start {
            Start::Resume { stored, .. } => Some(stored.clone()),
            _ => None,
        };
        let tls = self.trust().map_err(Error::Tls)?;
        let gauges = Gauges::default();
        let connector = Connector::new(self.connect_to, gauges.sockets.clone());
        let mut seed = [0; 32];
        // The seed is the only randomness of the session, including its sign-in keys.
        getrandom::fill(&mut seed).map_err(Error::NoEntropy)?;
        let clock = Clock::start();
        let session = Session::new(self.settings, self.environment, start, seed, clock.now());
        let shared = Arc::new(Shared::new(&session, stored, gauges.clone(), clock.clone()));
        let transport = Transport::new(connector, tls.config(), gauges);
        // Bounded, so callers wait when the driver is busy.
        let (to_driver, requests) = mpsc::channel(64);
        let driver = Driver::new(session, clock, transport, self.token_file, Arc::clone(&shared), requests);
        let run = driver.run();
        #[cfg(feature = "tracing")]
        let run = tracing::Instrument::instrument(run, tracing::info_span!("mysa_client"));
        tokio::spawn(run);
        Ok(Monitor::new(shared, to_driver))
    }

    /// Starts the client and waits until it is signed in and its thermostats are listed.
    ///
    /// # Errors
    /// [`ConnectError`], with the client if it was started.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let client = self.start().map_err(ConnectError::Start)?;
        match client.ready().await {
            Ok(()) => Ok(client),
            Err(why) => Err(ConnectError::NotReady(why, client)),
        }
    }

    /// Starts a client that cannot write, and waits until it is signed in and its thermostats are listed.
    ///
    /// # Errors
    /// [`ConnectError`], with the client if it was started.
    pub async fn monitor(self) -> Result<Monitor, ConnectError<Monitor>> {
        let monitor = self.start_monitor().map_err(ConnectError::Start)?;
        match monitor.ready().await {
            Ok(()) => Ok(monitor),
            Err(why) => Err(ConnectError::NotReady(why, monitor)),
        }
    }
}
