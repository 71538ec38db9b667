//! Explanations of what was captured between a Mysa thermostat and its cloud. No I/O, no clock.
//!
//! Bytes go in, [`Record`]s come out: named values in reading order, as JSON for programs and as lines for people.
//!
//! ```
//! use mysa_explain::{InputKind, explain, explain_as};
//! use mysa_proto::ModeTable;
//!
//! let table = ModeTable::OBSERVED;
//! let log = b"/v1/dev/a0b1c2d3e4f6/out {\"msg\":40,\"body\":{\"ambTemp\":18.9,\"stpt\":20.0}}";
//! let [record] = &explain(log, None, &table)?[..] else { panic!("one message") };
//! assert!(record.to_text(0).contains("temperature  18.9 °C\n"));
//!
//! let [answer] = &explain_as(InputKind::Packet, b"20 02 00 00", None, &table)?[..] else { panic!("one packet") };
//! assert_eq!(answer.to_json(), r#"{"packet":"CONNACK","accepted":true,"session_present":false,"packet_bytes":4}"#);
//! # Ok::<(), mysa_explain::ExplainError>(())
//! ```
//!
//! Nothing is lost: unknown fields are kept, and what cannot be decoded is shown raw with an `error`. The names are those
//! of `mysa decode --json`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod batch;
mod capture;
mod error;
mod input;
mod message;
mod number;
mod packet;
mod record;
mod time_text;

pub use error::ExplainError;
pub use input::{InputKind, explain, explain_as, explain_payload};
pub use message::sensor_name;
pub use record::{Record, Value, escape_json, printable};
pub use time_text::{civil, iso};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
