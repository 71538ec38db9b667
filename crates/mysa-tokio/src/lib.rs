//! Client for Mysa thermostats on tokio: the driver of [`mysa_session`].
//!
//! The driver moves bytes, keeps the time and holds the token file. All decisions are made in the session, which has no
//! I/O and is tested in virtual time.
//!
//! ```
//! use mysa_tokio::{Celsius, Client, Environment};
//!
//! # use mysa_sim::{CloudSpec, Names};
//! # use mysa_sim_server::{Certificate, Server};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // Run by the tests, against the simulated cloud.
//! # let certificate = Certificate::for_cloud(&Names::default())?;
//! # let authority = certificate.authority_pem().unwrap_or_default().to_owned();
//! # let cloud = Server::start(([127, 0, 0, 1], 0).into(), certificate, CloudSpec::demo(), 1, 1.0).await?;
//! # let password = CloudSpec::DEMO_PASSWORD;
//! let client = Client::builder(Environment::mysa())
//!     .password("user@example.com", password)
//! #   .extra_ca(authority)
//! #   .connect_to(cloud.address())
//!     .connect()
//!     .await?;
//! for device in client.devices() {
//!     println!("{}: {:?}", device.label(), device.state.temperature().map(|field| field.value));
//! }
//!
//! let bedroom = client.devices().into_iter().find(|device| device.label() == "Bedroom").ok_or("no bedroom")?;
//! let verdict = client.set_setpoint(&bedroom.id, Celsius::from_degrees(19.5).ok_or("no temperature")?).await?;
//! println!("{verdict}"); // confirmed by the thermostat after 1.2 s
//! # assert!(verdict.is_confirmed());
//!
//! let mut events = client.events();
//! while let Some(event) = events.next().await {
//!     println!("{event:?}");
//! #   break;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`TokenFile`] stores the session, so the password is needed once.
//!
//! [`Client`] can write; [`Monitor`] has no method that writes. Several clients, of several accounts, can run side by
//! side in one process. The crates below are re-exported as [`proto`] and [`session`](mod@session).
//!
//! # Cost of a status
//!
//! Events carry the id of a thermostat and what has changed, not its state. The driver brings one snapshot of each
//! thermostat up to date, which all handles and streams share: [`Client::state`] returns a [`DeviceView`] that refers to it.
//! So a status causes no allocation, however many streams there are. If the application still holds the view from before,
//! that one keeps its state, and the driver copies the state once for the change. [`Client::devices`] and
//! [`Client::states`] allocate their collection.
//!
//! # Features
//!
//! - `tracing` (off by default): a span for each client, and events for its connections, service levels and verdicts.
//!   None carries a secret.
#![forbid(unsafe_code)]

mod builder;
mod client;
mod clock;
mod command;
mod driven_session;
mod driver;
mod error;
mod events;
#[cfg(test)]
mod held_file;
mod log;
mod monitor;
mod probe;
mod resources;
mod snapshot;
mod store;
mod token_file;
mod transport;

pub use builder::ClientBuilder;
pub use client::Client;
pub use clock::ClockSource;
pub use command::{Pending, PendingMany};
pub use error::{ConnectError, Error, NotReady};
pub use events::Events;
pub use monitor::Monitor;
pub use mysa_cognito::{ChallengeKind, RefreshFlow, RefreshToken, Secret, StoredSession};
pub use mysa_proto::iot::Thing;
pub use mysa_proto::rest::{self, HeaterWrite, ReadRequest, RestRequest, SettingsWrite};
pub use mysa_proto::{
    Celsius, Change, Changes, DeviceId, DeviceState, EnvelopeForm, FanSpeed, Hold, Mode, ModeTable, Model,
    Power, Swing, TrackedSensor, Watts,
};
pub use mysa_session::{
    ChallengeNeeded, CommandChannel, CommandId, ConfirmBy, ConnectRefusal, DeliveryStage, Diagnosis, Effect,
    EndpointLookup, Environment, Event, Evidence, Expired, Handshake, Level, Link, Preview, Publishes,
    Reason, RecordFacts, Refused, RequestError, Response, Revocation, Service, Settings, Subscribed,
    Subscriptions, Verdict, VerdictKind,
};
pub use mysa_sigv4::PresignedUrl;
pub use probe::{Probe, ProbeError, Prober};
pub use resources::Resources;
pub use snapshot::DeviceView;
pub use token_file::{Saved, TokenFile, TokenFileError};
pub use transport::{Tls, TlsError};
pub use {mysa_proto as proto, mysa_session as session};
