//! Creation of a signed-in client from the settings.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mysa_config::{ChannelName, normalize_account};
use mysa_proto::rest::{BodyError, ReadRequest};
use mysa_proto::{DeviceId, Family};
use mysa_sigv4::Authority;
use mysa_tokio::{
    Client, ClientBuilder, CommandChannel, DeviceView, Environment, Error, Level, NotReady, Reason,
    RequestError, Service, Settings, StoredSession, TokenFile, TokenFileError,
};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use crate::commands::bridge::is_energy_file;
use crate::commands::raw;
use crate::output::terminal::Terminal;
use crate::output::trace;
use crate::support::config::Config;
use crate::support::device_cache;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::paths::Paths;
use crate::support::reachability;
use crate::support::resolve;
use crate::support::shutdown::OpenClients;

/// State that a command needs before it talks to the cloud.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) paths: Paths,
    pub(crate) config: Config,
    pub(crate) environment: Environment,
    /// Account from `--account` or `MYSA_ACCOUNT`.
    pub(crate) account: Option<String>,
    /// Every account from `--account` or `MYSA_ACCOUNT`, of which only a bridge takes more than one.
    pub(crate) accounts: Vec<String>,
    pub(crate) authority: Option<PathBuf>,
    pub(crate) connect_to: Option<SocketAddr>,
    /// Clients to close when the program is interrupted.
    pub(crate) open_clients: OpenClients,
    /// Place to say that a write of the session waits.
    pub(crate) notices: Option<Terminal>,
}

/// A running client.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) client: Client,
    pub(crate) account: String,
    /// Task that logs events until the client ends, with `-v`.
    trace: Option<JoinHandle<()>>,
}

/// Time limit for signing in and listing the thermostats. Each request has 20 s.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Time limit for the broker where the list of thermostats cannot be read.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

impl Context {
    /// Returns the account to use: the named one, the one of the settings, or the only one that is signed in.
    pub(crate) fn account(&self) -> Result<String> {
        if let Some(account) = self.account.as_ref().or(self.config.account.as_ref()) {
            return Ok(account.clone());
        }
        let mut accounts = self.stored_accounts();
        match (accounts.pop(), accounts.as_slice()) {
            (Some(only), []) => Ok(only),
            (Some(last), others) => Err(Failure::usage(format!(
                "several accounts are signed in: {}, {last}; choose one with --account, or permanently with `mysa config set account EMAIL`",
                others.join(", ")
            ))),
            (None, _) => Err(self.unusable_session().unwrap_or_else(not_signed_in)),
        }
    }

    /// Returns the reason why stored sessions cannot be used; `None` if none is stored.
    fn unusable_session(&self) -> Option<Failure> {
        let entries = fs::read_dir(&self.paths.sessions).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter(|path| !device_cache::is_cache(path) && !is_energy_file(path))
            .collect();
        files.sort();
        files.iter().find_map(|path| {
            let account = path.file_stem()?.to_str()?;
            let error = self.token_file(account).load().err()?;
            Some(Failure::new(Exit::SignIn, format!("the stored session cannot be used: {error}")))
        })
    }

    /// Returns the accounts with a stored session, sorted.
    fn stored_accounts(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.paths.sessions).into_iter().flatten().flatten();
        let mut accounts: Vec<String> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter(|path| !device_cache::is_cache(path))
            .filter_map(|path| StoredSession::from_json(&fs::read(path).ok()?).ok())
            .filter_map(|stored| normalize_account(&stored.account))
            .collect();
        accounts.sort();
        accounts
    }

    pub(crate) fn token_file(&self, account: &str) -> TokenFile {
        let file = TokenFile::new(&self.paths.sessions, account);
        let Some(terminal) = self.notices else { return file };
        file.on_wait(move |lock| {
            terminal.say(format!(
                "waiting for another process that holds the lock of the session, {}",
                lock.display()
            ));
        })
    }

    /// Creates a client builder with everything except the sign-in.
    pub(crate) fn builder(&self, settings: Settings) -> Result<ClientBuilder> {
        let mut builder = Client::builder(self.environment.clone()).settings(settings);
        if let Some(path) = &self.authority {
            let pem = fs::read(path).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot read --ca {}: {error}", path.display()))
            })?;
            builder = builder.extra_ca(pem);
        }
        if let Some(address) = self.connect_to {
            builder = builder.connect_to(address);
        }
        Ok(builder)
    }

    /// Returns the settings of the session.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.modes = self.config.mode_table.table();
        settings.channel = command_channel(self.config.channel);
        settings.lookup_endpoint = self.config.environment.lookup_endpoint == Some(true);
        settings
    }

    /// Resumes the stored session and waits until the thermostats are listed. With `-v`, logs every later event.
    pub(crate) async fn connect(&self, terminal: &Terminal, settings: Settings) -> Result<Cloud> {
        self.ready(terminal, self.resume_traced(terminal, settings)?).await
    }

    async fn ready(&self, terminal: &Terminal, cloud: Cloud) -> Result<Cloud> {
        terminal.progress("connecting");
        let ready = timeout(READY_TIMEOUT, cloud.client.ready()).await;
        terminal.progress("");
        match ready {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Err(self.explain(&cloud.client, &why).await),
            Err(_) => return Err(no_answer()),
        }
        cloud.cache_devices(self, terminal);
        Ok(cloud)
    }

    /// Like [`Self::connect`], for a command that needs MQTT alone. If only the REST service is out of reach, it goes on
    /// with the stored list of thermostats.
    pub(crate) async fn connect_to_command(
        &self,
        terminal: &Terminal,
        settings: Settings,
        limit: Duration,
    ) -> Result<Cloud> {
        let cloud = self.resume_traced(terminal, settings)?;
        let known = device_cache::load_known(&self.paths, &cloud.account);
        if known.is_empty() {
            return self.ready(terminal, cloud).await;
        }
        terminal.progress("connecting");
        let ready = timeout(limit, cloud.client.ready()).await;
        terminal.progress("");
        let why = match ready {
            Ok(Ok(())) => {
                cloud.cache_devices(self, terminal);
                return Ok(cloud);
            }
            Ok(Err(NotReady::Offline(reason))) => Some(reason),
            Ok(Err(why)) => return Err(self.explain(&cloud.client, &why).await),
            Err(_) => None,
        };
        // Signed in, but the list cannot be read: the broker may still be there.
        if cloud.client.diagnosis().await.is_ok_and(|diagnosis| diagnosis.signed_in) {
            let ended = |error| Failure::from((Exit::Failed, error));
            cloud.client.assume_devices(known).await.map_err(ended)?;
            cloud.live(BROKER_TIMEOUT).await;
            if cloud.client.is_live() {
                let why = why.unwrap_or(Reason::NoAnswer);
                terminal.say(format!(
                    "{}; using the stored list of thermostats",
                    reachability::describe_reason(why)
                ));
                return Ok(cloud);
            }
        }
        match why {
            Some(reason) => Err(self.explain(&cloud.client, &NotReady::Offline(reason)).await),
            None => self.ready(terminal, cloud).await,
        }
    }

    /// Resumes the stored session and waits until the thermostats are listed, however long the cloud is down. Reports once
    /// that it waits, by `waits`. `None` if `deadline` passes before.
    pub(crate) async fn connect_patiently(
        &self,
        terminal: &Terminal,
        settings: Settings,
        deadline: Option<tokio::time::Instant>,
        mut waits: impl FnMut(Service, &str) -> Result<()>,
    ) -> Result<Option<Cloud>> {
        let cloud = self.resume(settings)?;
        terminal.progress("connecting");
        loop {
            let ready = tokio::select! {
                ready = cloud.client.ready() => ready,
                () = sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => {
                    terminal.progress("");
                    cloud.close(terminal).await;
                    return Ok(None);
                }
            };
            terminal.progress("");
            match ready {
                Ok(()) => {
                    cloud.cache_devices(self, terminal);
                    return Ok(Some(cloud));
                }
                Err(why @ NotReady::Offline(_)) => {
                    let cause = self.explain(&cloud.client, &why).await;
                    waits(cloud.client.service(), &cause.to_string())?;
                }
                Err(why) => return Err(self.explain(&cloud.client, &why).await),
            }
        }
    }

    /// Resumes the stored session without waiting. With `-v`, logs every later event.
    fn resume_traced(&self, terminal: &Terminal, mut settings: Settings) -> Result<Cloud> {
        settings.raw_messages |= terminal.is_tracing();
        let mut cloud = self.resume(settings)?;
        if terminal.is_verbose() {
            let monitor = cloud.client.read_only();
            cloud.trace = Some(tokio::spawn(trace::follow(*terminal, monitor, cloud.client.events())));
        }
        Ok(cloud)
    }

    /// Resumes the stored session without waiting.
    pub(crate) fn resume(&self, settings: Settings) -> Result<Cloud> {
        self.start(self.account()?, settings).map_err(|failure| match failure {
            StartFailure::NotSignedIn => self.not_signed_in(),
            StartFailure::Other(failure) => failure,
        })
    }

    /// Resumes the stored session of an account without waiting.
    pub(crate) fn start(
        &self,
        account: String,
        settings: Settings,
    ) -> std::result::Result<Cloud, StartFailure> {
        let builder = self.builder(settings).map_err(StartFailure::Other)?;
        Cloud::start(builder.token_file(self.token_file(&account)), account, &self.open_clients)
    }

    /// Error that names the accounts that are signed in, if another one was asked for.
    pub(crate) fn not_signed_in(&self) -> Failure {
        let accounts = self.stored_accounts();
        match (self.account.as_ref().or(self.config.account.as_ref()), accounts.is_empty()) {
            (Some(account), false) => Failure::new(
                Exit::SignIn,
                format!(
                    "{account} is not signed in; signed in: {}; choose with --account, or run `mysa login {account}`",
                    accounts.join(", ")
                ),
            ),
            _ => not_signed_in(),
        }
    }

    /// Determines the reason why a client is not ready. If the cloud cannot be reached, each host is probed
    /// for the cause.
    pub(crate) async fn explain(&self, client: &Client, why: &NotReady) -> Failure {
        match why {
            NotReady::Offline(reason @ (Reason::Unreachable | Reason::NoAnswer | Reason::BrokenOff)) => {
                let prober = self.builder(self.settings()).and_then(|builder| {
                    builder.prober().map_err(|error| Failure::from((Exit::Failed, error)))
                });
                let cause = match prober {
                    Ok(prober) => reachability::first_problem(&prober, &self.environment).await,
                    Err(failure) => return failure,
                };
                let cause = cause.unwrap_or_else(|| reachability::describe_reason(*reason));
                Failure::new(Exit::Unreachable, cause)
            }
            NotReady::Offline(Reason::Throttled) => {
                throttled(client.diagnosis().await.ok().and_then(|diagnosis| diagnosis.retry_in))
            }
            _ => not_ready(why),
        }
    }
}

/// Failure for a pause that the cloud asked for, with its length if the cloud gave one.
pub(crate) fn throttled(wait: Option<Duration>) -> Failure {
    let again = wait.map_or_else(
        || "try again later".to_owned(),
        |wait| format!("try again in {} s", wait.as_secs().max(1)),
    );
    Failure::new(Exit::Unreachable, format!("too many requests: {again}"))
}

/// Failure for an answer that cannot be decoded.
pub(crate) fn unreadable(body: &[u8], error: BodyError) -> Failure {
    if is_web_page(body) { web_page() } else { (Exit::Failed, error).into() }
}

/// Returns `true` if a body is a web page, which a sign-in page of the network or a proxy sends in place of any answer.
pub(crate) fn is_web_page(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}

/// Failure for a web page in place of an answer.
pub(crate) fn web_page() -> Failure {
    Failure::new(Exit::Unreachable, reachability::describe_reason(Reason::WebPage))
}

/// Returns `true` if the service answers that what was requested does not exist. A web page does not count: it would
/// make a hold or a schedule vanish.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Request(RequestError::Refused { status: 404, body, .. }) if !is_web_page(body))
}

/// Converts the name of a channel to the session's type.
pub(crate) fn command_channel(name: ChannelName) -> CommandChannel {
    match name {
        ChannelName::Auto => CommandChannel::Auto,
        ChannelName::Mqtt => CommandChannel::Mqtt,
        ChannelName::Rest => CommandChannel::Structured,
    }
}

/// Runs `connecting` for at most `limit`. `consequence` ends the message of a time-out.
pub(crate) async fn within<T>(
    terminal: &Terminal,
    limit: Option<Duration>,
    consequence: &str,
    connecting: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(limit) = limit else { return connecting.await };
    timeout(limit, connecting).await.unwrap_or_else(|_| {
        terminal.progress("");
        let seconds = limit.as_secs_f64();
        Err(Failure::new(
            Exit::TimedOut,
            format!("time-out: the cloud did not answer within {seconds} s{consequence}"),
        ))
    })
}

fn not_signed_in() -> Failure {
    Failure::new(Exit::SignIn, "not signed in; run `mysa login`")
}

pub(crate) fn no_answer() -> Failure {
    Failure::new(Exit::Unreachable, "the cloud did not answer within a minute")
}

/// Returns the cloud's endpoints by the settings.
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
    let base = |url: &String| url.trim_end_matches('/').to_owned();
    if let Some(url) = &set.user_pool_url {
        environment.user_pool_url = base(url);
    }
    if let Some(pool) = &set.identity_pool {
        environment.identity_pool.clone_from(pool);
    }
    if let Some(url) = &set.identity_pool_url {
        environment.identity_pool_url = base(url);
    }
    if let Some(endpoint) = &set.iot_endpoint {
        environment.broker = Authority::parse(endpoint).map_err(|error| {
            Failure::new(Exit::Failed, format!("invalid environment.iot-endpoint in the settings: {error}"))
        })?;
    }
    let control = match (&set.iot_control_host, &set.region) {
        (Some(host), _) => Some(host.clone()),
        (None, Some(region)) => Some(format!("iot.{region}.amazonaws.com")),
        (None, None) => None,
    };
    if let Some(control) = control {
        environment.iot_control = Authority::parse(&control).map_err(|error| {
            let name = "environment.iot-control-host or environment.region";
            Failure::new(Exit::Failed, format!("invalid {name} in the settings: {error}"))
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

/// Reason why a client did not start.
#[derive(Debug)]
pub(crate) enum StartFailure {
    /// No session is stored.
    NotSignedIn,
    Other(Failure),
}

impl From<StartFailure> for Failure {
    fn from(failure: StartFailure) -> Self {
        match failure {
            StartFailure::NotSignedIn => not_signed_in(),
            StartFailure::Other(failure) => failure,
        }
    }
}

impl Cloud {
    pub(crate) fn start(
        builder: ClientBuilder,
        account: String,
        open_clients: &OpenClients,
    ) -> std::result::Result<Self, StartFailure> {
        let other = |exit, error| Err(StartFailure::Other((exit, error).into()));
        match builder.start() {
            Ok(client) => {
                open_clients.add(&client);
                Ok(Self { client, account, trace: None })
            }
            Err(Error::NothingToStartFrom) => Err(StartFailure::NotSignedIn),
            Err(error @ Error::TokenFile(TokenFileError::Damaged { .. })) => other(Exit::SignIn, error),
            Err(error) => other(Exit::Failed, error),
        }
    }

    /// Cloud of a client that something else closes.
    #[cfg(unix)]
    pub(crate) const fn of(client: Client, account: String) -> Self {
        Self { client, account, trace: None }
    }

    /// Waits until the thermostats are listed, or until the first round of attempts has failed.
    pub(crate) async fn listed(&self) -> Result<()> {
        match timeout(READY_TIMEOUT, self.client.ready()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(not_ready(&why)),
            Err(_) => Err(no_answer()),
        }
    }

    /// Waits until the state of every thermostat of a known model is known, at most for `limit`.
    pub(crate) async fn wait_for_states(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        // Before the first check, so that no event in between is missed.
        let mut events = self.client.events();
        let is_known = |view: &DeviceView| view.model.family().is_none() || view.state.setpoint().is_some();
        while !self.client.devices().iter().all(is_known) {
            tokio::select! {
                event = events.next() => if event.is_none() { return },
                () = sleep_until(deadline) => return,
            }
        }
    }

    /// Waits until statuses arrive by MQTT, until it is clear that they will not, or at most for `limit`.
    pub(crate) async fn live(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        // Before the first check, so that no event in between is missed.
        let mut events = self.client.events();
        loop {
            let service = self.client.service();
            if service.level <= Level::ReadOnly
                || service.level == Level::SignInNeeded
                || is_permanent(service.reason)
            {
                return;
            }
            tokio::select! {
                event = events.next() => if event.is_none() { return },
                () = sleep_until(deadline) => return,
            }
        }
    }

    /// Waits until every thermostat has reported by MQTT, at most for `limit`.
    pub(crate) async fn wait_for_reports(&self, chosen: &[DeviceId], limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        let mut events = self.client.events();
        while !(self.client.is_live() && chosen.iter().all(|id| self.has_reported(id))) {
            tokio::select! {
                event = events.next() => if event.is_none() { return },
                () = sleep_until(deadline) => return,
            }
        }
    }

    /// Reads a route that a command depends on, and returns the body of the answer.
    pub(crate) async fn read(&self, request: ReadRequest) -> Result<Vec<u8>> {
        match self.client.request(request).await {
            Ok(response) => Ok(response.body),
            Err(error) => Err(raw::failure(error)),
        }
    }

    /// Time since the client was started, on the clock of [`mysa_tokio::Service::since`].
    pub(crate) fn elapsed(&self) -> Duration {
        self.client.elapsed()
    }

    /// Age of the state of a thermostat.
    pub(crate) fn age(&self, view: &DeviceView) -> Option<Duration> {
        Some(view.last_seen_ago? + self.client.elapsed().saturating_sub(view.taken_at))
    }

    /// Returns `true` if a thermostat has reported by MQTT lately; a state read by REST may be as new, but does not
    /// prove that MQTT delivers. Also `true` for an unknown model and an unknown id, which are not waited for.
    pub(crate) fn has_reported(&self, id: &DeviceId) -> bool {
        self.client.state(id).is_none_or(|view| match view.model.family() {
            None => true,
            // Only live reports contain its current, and so its power.
            Some(Family::BaseboardV1) => self.is_fresh(&view) && view.state.current().is_some(),
            Some(_) => self.is_fresh(&view),
        })
    }

    /// Returns `true` if MQTT has delivered a message of the thermostat lately.
    pub(crate) fn is_fresh(&self, view: &DeviceView) -> bool {
        view.link == mysa_tokio::Link::Live && self.age(view).is_some_and(|age| age < Duration::from_secs(30))
    }

    /// Returns the named thermostats, each once; all thermostats if none is named.
    pub(crate) fn choose(&self, names: &[String]) -> Result<Vec<DeviceId>> {
        let views = self.client.devices();
        if names.is_empty() {
            return Ok(views.iter().map(|view| view.id).collect());
        }
        let mut chosen = Vec::new();
        for name in names {
            let devices = views.iter().map(|view| (&view.id, view.name.as_deref().unwrap_or_default()));
            let id = resolve::find(name, devices)?;
            if !chosen.contains(&id) {
                chosen.push(id);
            }
        }
        Ok(chosen)
    }

    /// Returns the one thermostat of this name.
    pub(crate) fn only(&self, name: &str) -> Result<DeviceView> {
        let chosen = self.choose(&[name.to_owned()])?;
        let view = chosen.first().and_then(|id| self.client.state(id));
        view.ok_or_else(|| Failure::new(Exit::Failed, "the thermostat has left the account"))
    }

    /// Stores the names of the thermostats for commands that work without the cloud.
    pub(crate) fn cache_devices(&self, context: &Context, terminal: &Terminal) {
        if let Err(error) = device_cache::store(&context.paths, &self.account, &self.client.devices()) {
            terminal.detail(format!("cannot store the list of thermostats: {error}"));
        }
    }

    /// Closes the client in order: DISCONNECT, then the connection. A peer that does not answer delays it by a second, and a
    /// disk that does not respond by ten: without the session that it stores, the next command may have to sign in.
    pub(crate) async fn close(self, terminal: &Terminal) {
        self.client.shutdown().await;
        // A write may have ended only now.
        let failure = self.client.store_failure();
        if let Some(trace) = self.trace {
            let _ = timeout(Duration::from_secs(1), trace).await;
        }
        if let Some(failure) = failure {
            terminal.say(format!("cannot store the session: {}", Failure::from((Exit::Failed, &*failure))));
        }
    }
}

/// Returns `true` if waiting cannot change the reason.
fn is_permanent(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoDevices | Reason::ReadOnlyByChoice | Reason::SubscriptionsRefused | Reason::ShutDown
    )
}

pub(crate) fn not_ready(why: &NotReady) -> Failure {
    match why {
        NotReady::Challenge(_) => {
            Failure::new(Exit::SignIn, "the account requires a code to sign in; run `mysa login`")
        }
        NotReady::SignInNeeded(reason) => Failure::new(
            Exit::SignIn,
            format!("sign-in required: {}", reachability::describe_reason(*reason)),
        ),
        NotReady::Offline(reason) => Failure::new(Exit::Unreachable, reachability::describe_reason(*reason)),
        _ => Failure::new(Exit::Failed, why.to_string()),
    }
}
