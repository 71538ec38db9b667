//! What must hold for any bytes that come from outside: one function for each reader, for the fuzzer and for
//! `cargo test`.
//!
//! A target takes bytes and panics if something it asserts does not hold. Where more than one value is needed, the
//! first bytes choose among them and the rest is the input proper, so that a fuzzer can vary both and a file of the
//! corpus can be written by hand.
//!
//! ```
//! for (name, target) in mysa_fuzz::TARGETS {
//!     target(b""); // no input is input too
//!     assert!(!name.is_empty());
//! }
//! ```
#![forbid(unsafe_code)]

mod batch;
mod cognito;
mod command;
mod config;
mod json;
mod message;
mod mqtt;
mod presign;
mod rest;
mod script;
mod session;
mod sim;
mod state;
mod stored;

pub use batch::batch;
pub use cognito::cognito;
pub use command::command;
pub use config::config;
pub use json::json;
pub use message::message;
pub use mqtt::{mqtt_from_client, mqtt_from_server};
pub use presign::{presign, presigned_url};
pub use rest::rest;
pub use session::session;
pub use sim::sim;
pub use state::state;
pub use stored::stored;

/// A reader and what must hold for it.
pub type Target = fn(&[u8]);

/// Every target under the name of its fuzz target, corpus and dictionary.
pub const TARGETS: &[(&str, Target)] = &[
    ("mqtt_from_server", mqtt_from_server),
    ("mqtt_from_client", mqtt_from_client),
    ("json", json),
    ("message", message),
    ("command", command),
    ("batch", batch),
    ("rest", rest),
    ("cognito", cognito),
    ("presigned_url", presigned_url),
    ("presign", presign),
    ("stored", stored),
    ("config", config),
    ("state", state),
    ("session", session),
    ("sim", sim),
];

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
