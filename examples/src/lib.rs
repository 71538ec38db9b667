//! What the examples share: where the account is, and, for those that drive a session by themselves, clocks and bytes
//! without a runtime.
//!
//! Every example takes its account from the environment: `MYSA_USERNAME` and `MYSA_PASSWORD`; and, to meet the simulated
//! cloud in place of the real one, `MYSA_CONNECT_TO` (an address) and `MYSA_EXTRA_CA` (a PEM file).
#![forbid(unsafe_code)]

mod account;
mod args;
mod clock;
mod errand;
mod http1;
mod input;
mod upgrade;

pub use account::Account;
pub use args::name_and_setpoint;
pub use clock::Clock;
pub use errand::Errand;
pub use http1::{Answer, request_bytes};
pub use input::{Input, SendBody};
pub use upgrade::{refusal, upgrade};

/// What an example ends with if it fails.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
