//! The way from the settings to a client that is signed in.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mysa_proto::DeviceId;
use mysa_sigv4::Authority;
use mysa_tokio::{
    Client, ClientBuilder, DeviceView, Environment, Level, NotReady, Reason, Settings, StartError,
    StoredSession, TokenFile,
};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use crate::output::terminal::Terminal;
use crate::output::trace;
use crate::support::config::Config;
use crate::support::device_cache;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::paths::Places;
use crate::support::resolve;
use crate::support::shutdown::Goodbyes;

/// Everything a command that talks to the cloud needs to know before it does.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) places: Places,
    pub(crate) config: Config,
    pub(crate) environment: Environment,
    /// From `--account` or the variable.
    pub(crate) account: Option<String>,
    pub(crate) authority: Option<PathBuf>,
    pub(crate) connect_to: Option<SocketAddr>,
    /// Where clients are noted that are to end in good order.
    pub(crate) goodbyes: Goodbyes,
}

/// A client, and when its clock began.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) client: Client,
    pub(crate) account: String,
    started: Instant,
    /// Tells what happens, until the client has ended.
    trace: Option<JoinHandle<()>>,
}

/// How long signing in and listing may take before it counts as failed. Each request has 20 s.
const READY_WITHIN: Duration = Duration::from_secs(60);

impl Context {
    /// Whose session is meant: the one named, the one in the settings, or the only one there is.
    pub(crate) fn account(&self) -> Result<String> {
        if let Some(account) = self.account.as_ref().or(self.config.account.as_ref()) {
            return Ok(account.clone());
        }
        let mut accounts = self.stored_accounts();
        match (accounts.pop(), accounts.as_slice()) {
            (Some(only), []) => Ok(only),
            (Some(last), others) => Err(Failure::usage(format!(
                "several accounts are signed in: {}, {last}; say which with --account, or once with `mysa config set account EMAIL`",
                others.join(", ")
            ))),
            (None, _) => Err(nobody()),
        }
    }

    fn stored_accounts(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.places.sessions).into_iter().flatten().flatten();
        let mut accounts: Vec<String> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter(|path| !device_cache::is_list(path))
            .filter_map(|path| Some(StoredSession::from_json(&fs::read(path).ok()?).ok()?.account))
            .collect();
        accounts.sort();
        accounts
    }

    pub(crate) fn token_file(&self, account: &str) -> TokenFile {
        TokenFile::new(&self.places.sessions, account)
    }

    /// A builder with everything but the way to sign in.
    pub(crate) fn builder(&self, settings: Settings) -> Result<ClientBuilder> {
        let mut builder = Client::builder(self.environment.clone()).settings(settings);
        if let Some(path) = &self.authority {
            let pem = fs::read(path).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()))
            })?;
            builder = builder.extra_ca(pem);
        }
        if let Some(address) = self.connect_to {
            builder = builder.connect_to(address);
        }
        Ok(builder)
    }

    /// What the session decides by.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.modes = self.config.mode_table.table();
        settings
    }

    /// Goes on from the stored session and waits until the thermostats are listed. With `-v`, everything that happens
    /// from then on is told.
    pub(crate) async fn connect(&self, terminal: &Terminal, mut settings: Settings) -> Result<Cloud> {
        settings.raw_messages |= terminal.is_tracing();
        let mut cloud = self.resume(settings)?;
        if terminal.is_verbose() {
            let monitor = cloud.client.read_only();
            cloud.trace = Some(tokio::spawn(trace::follow(*terminal, monitor, cloud.client.events())));
        }
        self.ready(terminal, cloud).await
    }

    /// The same for who tells what happens in another way.
    pub(crate) async fn connect_silently(&self, terminal: &Terminal, settings: Settings) -> Result<Cloud> {
        self.ready(terminal, self.resume(settings)?).await
    }

    async fn ready(&self, terminal: &Terminal, cloud: Cloud) -> Result<Cloud> {
        terminal.progress("connecting");
        let listed = cloud.listed().await;
        terminal.progress("");
        listed?;
        cloud.keep_list(self, terminal);
        Ok(cloud)
    }

    /// The same without waiting.
    pub(crate) fn resume(&self, settings: Settings) -> Result<Cloud> {
        let account = self.account()?;
        let builder = self.builder(settings)?.token_file(self.token_file(&account));
        Cloud::start(builder, account, &self.goodbyes)
    }
}

pub(crate) fn nobody() -> Failure {
    Failure::new(Exit::SignIn, "nobody is signed in; run `mysa login`")
}

/// Where the cloud is, by the settings.
pub(crate) fn environment(config: &Config) -> Result<Environment> {
    let mut environment = Environment::mysa();
    let set = &config.environment;
    if let Some(region) = &set.region {
        environment.region.clone_from(region);
        environment.user_pool_url = format!("https://cognito-idp.{region}.amazonaws.com");
        environment.identity_pool_url = format!("https://cognito-identity.{region}.amazonaws.com");
    }
    if set.region.is_some() || set.user_pool.is_some() || set.client_id.is_some() {
        let pool = set.user_pool.as_deref().unwrap_or(&environment.pool.pool_id);
        let client = set.client_id.as_deref().unwrap_or(&environment.pool.client_id);
        environment.pool = mysa_cognito::Pool::new(&environment.region, pool, client);
    }
    if let Some(pool) = &set.identity_pool {
        environment.identity_pool.clone_from(pool);
    }
    if let Some(endpoint) = &set.iot_endpoint {
        environment.broker = Authority::parse(endpoint).map_err(|error| {
            Failure::new(Exit::Failed, format!("environment.iot-endpoint in the settings: {error}"))
        })?;
    }
    if let Some(host) = &set.rest_host {
        environment.legacy_url = format!("https://{host}");
    }
    if let Some(host) = &set.backend_host {
        environment.backend_url = format!("https://{host}");
    }
    environment.user_agent = concat!("mysa-cli/", env!("CARGO_PKG_VERSION")).into();
    Ok(environment)
}

impl Cloud {
    pub(crate) fn start(builder: ClientBuilder, account: String, goodbyes: &Goodbyes) -> Result<Self> {
        let started = Instant::now();
        match builder.start() {
            Ok(client) => {
                goodbyes.add(&client);
                Ok(Self { client, account, started, trace: None })
            }
            Err(StartError::NothingToStartFrom) => Err(nobody()),
            Err(error @ StartError::SetAside(_)) => Err((Exit::SignIn, error).into()),
            Err(error) => Err((Exit::Failed, error).into()),
        }
    }

    /// Waits until the thermostats are listed. The first round of failures ends it.
    pub(crate) async fn listed(&self) -> Result<()> {
        match timeout(READY_WITHIN, self.client.ready()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(not_ready(&why)),
            Err(_) => Err(Failure::new(Exit::Unreachable, "the cloud did not answer within a minute")),
        }
    }

    /// Waits until something is known of every thermostat of a known model, or until `within` is over.
    pub(crate) async fn known(&self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        let mut events = self.client.events();
        let is_known = |view: &DeviceView| view.model.family().is_none() || view.state.setpoint().is_some();
        while !self.client.devices().iter().all(is_known) {
            tokio::select! {
                event = events.next() => if event.is_none() { return },
                () = sleep_until(deadline) => return,
            }
        }
    }

    /// Waits until statuses come by themselves, or until it is clear that they will not, or until `within` is over.
    pub(crate) async fn live(&self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        let mut events = self.client.events();
        loop {
            let service = self.client.service();
            if service.level <= Level::ReadOnly
                || service.level == Level::SignInNeeded
                || settled(service.reason)
            {
                return;
            }
            tokio::select! {
                event = events.next() => if event.is_none() { return },
                () = sleep_until(deadline) => return,
            }
        }
    }

    /// Time since the client was started, on the clock of [`mysa_tokio::Service::since`].
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Age of what is known of a thermostat.
    pub(crate) fn age(&self, view: &DeviceView) -> Option<Duration> {
        Some(view.heard? + self.started.elapsed().saturating_sub(view.taken_at))
    }

    /// The thermostats that were named, or all of them.
    pub(crate) fn choose(&self, wanted: &[String]) -> Result<Vec<DeviceId>> {
        let views = self.client.devices();
        if wanted.is_empty() {
            return Ok(views.iter().map(|view| view.id).collect());
        }
        let mut chosen = Vec::new();
        for name in wanted {
            let id = find(name, &views)?;
            if !chosen.contains(&id) {
                chosen.push(id);
            }
        }
        Ok(chosen)
    }

    /// The one thermostat that was named.
    pub(crate) fn one(&self, wanted: &str) -> Result<DeviceView> {
        let id = find(wanted, &self.client.devices())?;
        self.client
            .state(&id)
            .ok_or_else(|| Failure::new(Exit::Failed, "the thermostat has just left the account"))
    }

    /// Keeps the names for commands that do without the cloud.
    pub(crate) fn keep_list(&self, context: &Context, terminal: &Terminal) {
        if let Err(error) = device_cache::store(&context.places, &self.account, &self.client.devices()) {
            terminal.detail(format!("the list of thermostats cannot be kept: {error}"));
        }
    }

    /// Says goodbye.
    pub(crate) async fn close(self, terminal: &Terminal) {
        let failure = self.client.store_failure();
        let _ = timeout(Duration::from_secs(5), self.client.shutdown()).await;
        if let Some(trace) = self.trace {
            let _ = timeout(Duration::from_secs(1), trace).await;
        }
        if let Some(failure) = failure {
            terminal.say(format!("the session cannot be kept: {failure}"));
        }
    }
}

fn find(wanted: &str, views: &[DeviceView]) -> Result<DeviceId> {
    resolve::find(wanted, views.iter().map(|view| (&view.id, view.name.as_deref().unwrap_or_default())))
}

/// Reasons that waiting does not change.
fn settled(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoDevices | Reason::ReadOnlyByChoice | Reason::SubscriptionsRefused | Reason::ShutDown
    )
}

pub(crate) fn not_ready(why: &NotReady) -> Failure {
    match why {
        NotReady::Challenge(_) => Failure::new(Exit::SignIn, "the account asks for a code; run `mysa login`"),
        NotReady::SignInNeeded(reason) => {
            Failure::new(Exit::SignIn, format!("sign-in needed: {reason}; run `mysa login`"))
        }
        NotReady::Offline(reason @ Reason::Unreachable) => Failure::new(
            Exit::Unreachable,
            format!(
                "{reason}: there is no network, or whoever answers has no certificate that is trusted here"
            ),
        ),
        NotReady::Offline(reason) => Failure::new(Exit::Unreachable, reason.to_string()),
        _ => Failure::new(Exit::Failed, why.to_string()),
    }
}
