//! The simulated Mysa cloud on loopback, behind real TLS: a test bench for clients of Mysa's cloud.
//!
//! One listener answers for every host of the real cloud, selected by the `Host` header. The program under test is
//! unchanged; the cloud's names must resolve to the listener, and the program must trust the authority made for the
//! run.
//!
//! ```
//! use mysa_sim::{CloudSpec, Fault, Incident, Names, Window};
//! use mysa_sim_server::{Certificate, Server};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let certificate = Certificate::for_cloud(&Names::default())?;
//! let authority = certificate.authority_pem().map(str::to_owned); // for the program under test to trust
//! let server = Server::start(([127, 0, 0, 1], 0).into(), certificate, CloudSpec::demo(), 1, 1.0).await?;
//! println!("listening on {}", server.address());
//!
//! server.with_cloud(|cloud, now| {
//!     cloud.add_fault(Window::times(2, Fault::RefuseUpgrade(403)));
//!     cloud.act(now, Incident::ExpireTokens);
//! });
//! server.cut_connections();
//! assert_eq!(server.with_cloud(|cloud, _| cloud.counters().connects), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`mysa_sim`] decides what the cloud does; this crate moves bytes and keeps the time.
#![forbid(unsafe_code)]

mod accept;
mod certificate;
mod check;
mod clock;
mod control;
mod error;
mod feed;
mod limits;
mod serve;
mod server;
mod signer;

pub use certificate::{Authority, Certificate, CertificateError};
pub use check::CheckRun;
pub use control::{ControlAnswer, ControlClient, ControlError, EventLines};
pub use error::StartError;
pub use feed::{Events, Notice};
pub use limits::Limits;
pub use server::Server;
