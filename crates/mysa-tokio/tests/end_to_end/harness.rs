use std::time::Duration;

use mysa_sim::CloudSpec;
use mysa_sim_server::{Certificate, Server};
use mysa_tokio::{Celsius, Client, ClientBuilder, DeviceId, Environment, Level, Settings};

/// V2 baseboard thermostat of the demo home.
pub(crate) const KITCHEN: &str = "a0b1c2d3e4f6";

/// Simulated cloud behind TLS on its own port.
pub(crate) struct Cloud {
    pub(crate) server: Server,
    authority: String,
}

impl Cloud {
    pub(crate) async fn start(spec: CloudSpec) -> Self {
        Self::start_at(spec, 1.0).await
    }

    /// Starts a cloud whose clock runs `speed` times as fast as the client's.
    pub(crate) async fn start_at(spec: CloudSpec, speed: f64) -> Self {
        let certificate = Certificate::for_cloud(&spec.names).expect("a certificate");
        let authority = certificate.authority_pem().expect("made here").to_owned();
        let server =
            Server::start(([127, 0, 0, 1], 0).into(), certificate, spec.without_schedules(), 7, speed)
                .await
                .expect("a free port");
        Self { server, authority }
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        self.builder_of(Environment::mysa())
    }

    pub(crate) fn builder_of(&self, environment: Environment) -> ClientBuilder {
        Client::builder(environment).extra_ca(self.authority.clone()).connect_to(self.server.address())
    }

    /// Returns a builder with the account's password.
    pub(crate) fn signing_in(&self) -> ClientBuilder {
        self.builder().password(CloudSpec::DEMO_EMAIL, CloudSpec::DEMO_PASSWORD)
    }

    /// Waits until `so` holds in the cloud; the time limit only ends a test that has failed.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&mysa_sim::Cloud) -> bool) {
        let wait = async {
            while !self.server.with_cloud(|cloud, _| so(cloud)) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(300), wait)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"));
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_with(Settings::default()).await
    }

    pub(crate) async fn client_with(&self, settings: Settings) -> Client {
        self.signing_in().settings(settings).connect().await.expect("a client")
    }

    /// Changes the setpoint at the kitchen thermostat itself.
    pub(crate) fn press(&self, degrees: f64) {
        let pressed =
            |cloud: &mut mysa_sim::Cloud, now| cloud.press(now, kitchen(), Some(celsius(degrees)), None);
        assert!(self.server.with_cloud(pressed), "the thermostat accepts the setpoint");
    }
}

pub(crate) fn kitchen() -> DeviceId {
    DeviceId::new(KITCHEN).expect("an id")
}

pub(crate) fn celsius(degrees: f64) -> Celsius {
    Celsius::from_degrees(degrees).expect("a temperature")
}

/// Waits until `so` holds for the client; the time limit only ends a test that has failed.
pub(crate) async fn until(client: &Client, what: &str, so: impl Fn(&Client) -> bool) {
    let mut events = client.events();
    let wait = async {
        while !so(client) {
            events.next().await.expect("the client keeps running");
        }
    };
    tokio::time::timeout(Duration::from_secs(300), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) async fn becomes_live(client: &Client) {
    until(client, "live", |client| client.service().level == Level::Live).await;
}

/// Checks that a change made at the thermostat arrives.
pub(crate) async fn check_that_presses_arrive(cloud: &Cloud, client: &Client, degrees: f64) {
    cloud.press(degrees);
    until(client, "the setpoint that was pressed", |client| {
        let state = client.state(&kitchen()).map(|device| device.state);
        state.and_then(|state| state.setpoint()).is_some_and(|field| field.value == celsius(degrees))
    })
    .await;
}

/// Settings of a client with short pauses between attempts.
pub(crate) fn short_pauses() -> Settings {
    let mut settings = Settings::default();
    settings.backoff_first = Duration::from_millis(50);
    settings.backoff_cap = Duration::from_millis(100);
    settings
}
