//! Shared code of the examples: the account, and, for examples that drive a session themselves, clocks and HTTP without
//! a runtime.
//!
//! Every example reads its account from the environment variables `MYSA_USERNAME` and `MYSA_PASSWORD`. To use the
//! simulated cloud instead of the production one, set `MYSA_CONNECT_TO` (an address) and `MYSA_EXTRA_CA` (a PEM file).
#![forbid(unsafe_code)]

mod account;
mod args;
mod clock;
mod http1;
mod input;
mod setpoint_task;
mod upgrade;

pub use account::Account;
pub use args::name_and_setpoint;
pub use clock::Clock;
pub use http1::{Answer, request_bytes};
pub use input::{Input, SendBody};
pub use setpoint_task::SetpointTask;
pub use upgrade::{refusal, upgrade};

/// Error with which an example exits.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
