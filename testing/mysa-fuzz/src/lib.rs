//! Fuzz targets: assertions about each reader of untrusted bytes, for any fuzzer and for `cargo test`.
//!
//! A target takes bytes and panics if an assertion fails. If a target needs several values, the first bytes select them
//! and the rest is the input, so that a fuzzer can vary both and seeds can be written by hand.
//!
//! ```
//! for (name, target) in mysa_fuzz::TARGETS {
//!     target(b""); // an empty input is valid
//!     assert!(!name.is_empty());
//! }
//! ```
//!
//! An embedder calls the same functions from a fuzz target of his own, so that his versions, features and flags are those
//! under test. [`mqtt_codec`] takes any MQTT codec, by the trait [`Codec`](mysa_testkit::codec::Codec).
#![forbid(unsafe_code)]

mod batch;
mod bridge;
mod cognito;
mod command;
mod config;
pub mod corpus;
mod json;
mod message;
mod mqtt;
pub mod mutate;
mod presign;
mod rest;
mod script;
mod sealed;
mod session;
mod sim;
mod state;
mod stored;

pub use batch::batch;
pub use bridge::bridge;
pub use cognito::cognito;
pub use command::command;
pub use config::config;
pub use json::json;
pub use message::message;
pub use mqtt::{mqtt_codec, mqtt_from_client, mqtt_from_server};
pub use presign::{presign, presigned_url, signed_headers};
pub use rest::rest;
pub use sealed::sealed;
pub use session::session;
pub use sim::sim;
pub use state::state;
pub use stored::stored;

/// Function that feeds bytes to one reader and panics if an assertion fails.
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
    ("signed_headers", signed_headers),
    ("stored", stored),
    ("sealed", sealed),
    ("config", config),
    ("state", state),
    ("session", session),
    ("sim", sim),
    ("bridge", bridge),
];

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
