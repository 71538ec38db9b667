//! Fuzz targets: properties of each reader of untrusted bytes, for any fuzzer and for `cargo test`.
//!
//! Each [`Target`] is a function over bytes that panics if a property does not hold. A panic, an overflow of an integer and a call
//! that does not return are findings; everything else is not. An empty input and every other input are valid. A target reads no
//! clock and draws no random number, so the same input always has the same result.
//!
//! If a target needs several values, the first bytes select them and the rest is the text, so that a fuzzer can vary both and
//! seeds can be written by hand. The state machines ([`session`], [`sim`], [`bridge`], [`worker`]) read a script of steps, and
//! [`mutate`] has mutations that keep them whole.
//!
//! ```
//! for (name, target) in mysa_fuzz::TARGETS {
//!     target(b"");
//!     assert!(!name.is_empty());
//! }
//! mysa_fuzz::message(br#" {"ver":"1.0","msg":40}"#); // the first byte selects the topic
//! ```
//!
//! An embedder calls the same functions from a fuzz target of his own, so that his versions, features and flags are those
//! under test; the README shows how. [`corpus`] reads the committed inputs, to begin with. [`mqtt_codec`] takes any MQTT codec, by
//! the trait [`Codec`](mysa_testkit::codec::Codec).
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
mod worker;

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
pub use worker::worker;

/// Function that gives bytes to one reader. Its own doc says which bytes, and which properties it asserts.
///
/// It panics if a property does not hold, with the values that disagree in the message.
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
    ("worker", worker),
];

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
