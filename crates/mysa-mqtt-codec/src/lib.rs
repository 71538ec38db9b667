//! MQTT 3.1.1 codec: strict, borrowing, incremental. No I/O, no clock, no session state.
//!
//! [`decode`] and [`Stream`] read what a server sends, [`Outbound`] writes what a client sends; [`server`] is the mirror
//! for brokers and test stubs. A packet borrows topic and payload from the input.
//!
//! ```
//! use mysa_mqtt_codec::{Delivery, Inbound, Outbound, PacketId, Publish, Stream, Topic, puback};
//!
//! # let mut wire = Vec::new();
//! # let topic = Topic::new("/v1/dev/a0b1c2d3e4f5/out")?;
//! # let delivery = Delivery::AtLeastOnce(PacketId::new(7).ok_or("zero")?);
//! # Outbound::Publish(Publish::new(topic, b"{}", delivery)).encode(&mut wire)?;
//! # let (head, tail) = wire.split_at(9);
//! let mut stream = Stream::new(160_000); // rejects packets above 160,000 bytes
//! let mut answers = Vec::new();
//! for chunk in [head, tail] {
//!     let mut chunk = chunk;
//!     while let Some(packet) = stream.next(&mut chunk)? {
//!         if let Inbound::Publish(publish) = packet {
//!             assert_eq!(publish.topic, *"/v1/dev/a0b1c2d3e4f5/out");
//!             if let Delivery::AtLeastOnce(id) = publish.delivery {
//!                 answers.extend_from_slice(&puback(id));
//!             }
//!         }
//!     }
//! }
//! assert_eq!(answers, [0x40, 2, 0, 7]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Strictness
//!
//! Every rule that a receiver can check in the bytes alone is checked, and [`DecodeError`] names the rule by its mark in the
//! [standard](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html). Such an error is final: the connection
//! must be closed \[MQTT-4.8.0-1\]. Missing bytes are not an error. Three points that the standard leaves open, or that
//! implementations treat differently, are decided here:
//!
//! - **DUP with QoS 0** breaks \[MQTT-3.3.1-2\] and is rejected, unless [`DecodeOptions::tolerate_dup_at_most_once`] is set.
//! - **Control characters in topics** are accepted: the standard only advises against them. NUL is rejected.
//! - **A remaining length that is not in its shortest form** is accepted, since only MQTT 5 forbids it; it is never written.
//!
//! # Why not an existing codec
//!
//! No other public crate is at once borrowing, strict, incremental, `no_std` and free of unsafe code. The usual choice,
//! mqttbytes 0.6, is the baseline of the benchmarks and, with mqttrs and rumqttc, a one-way oracle of the tests: they accept
//! whatever this crate accepts. The reverse does not hold. mqttbytes accepts 58 kinds of invalid packets (wildcards or NUL
//! in topics, empty topics, packet id 0, reserved flags, trailing bytes), rejects binary passwords, writes a topic's length
//! modulo 65 536, and corrupts a CONNECT that is appended to a non-empty buffer; `tests/mqttbytes.rs` shows each of these.
//! It also takes seven times as long to decode a PUBLISH.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod buffer;
mod client;
mod connect;
mod error;
mod filter;
mod frame;
mod limits;
mod options;
mod packet;
mod publish;
mod read;
mod role;
pub mod server;
mod stream;
mod suback;
mod text;
mod topic;
mod write;

pub use client::{Inbound, Outbound, Stream, decode};
pub use connect::{ConnAck, Connect, ConnectRefusal, Login, Will};
pub use error::{DecodeError, EncodeError};
pub use filter::Filter;
pub use limits::BrokerLimits;
pub use options::{DecodeOptions, MAX_REMAINING_LENGTH};
pub use packet::{DISCONNECT, PINGREQ, PINGRESP};
pub use packet::{PacketId, QoS, puback, pubcomp, pubrec, pubrel, unsuback};
pub use publish::{Delivery, Publish};
pub use role::{Client, Role, Server};
pub use stream::PacketStream;
pub use suback::{ReturnCodes, SubAck, SubscribeReturn};
pub use text::{ClientId, InvalidText, Text};
pub use topic::Topic;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
