//! MQTT 3.1.1 packets to bytes and back: strict, borrowing, incremental. No I/O, no clock, no session.
//!
//! [`decode`] and [`Stream`] read what a server sends, [`Outbound`] writes what a client sends; [`server`] is the mirror
//! for brokers and stubs. A packet borrows topic and payload from the input.
//!
//! ```
//! use mysa_mqtt_codec::{Delivery, Inbound, Outbound, PacketId, Publish, Stream, Topic, puback};
//!
//! # let mut wire = Vec::new();
//! # let topic = Topic::new("/v1/dev/a0b1c2d3e4f5/out")?;
//! # let delivery = Delivery::AtLeastOnce(PacketId::new(7).ok_or("zero")?);
//! # Outbound::Publish(Publish::new(topic, b"{}", delivery)).encode(&mut wire)?;
//! # let (head, tail) = wire.split_at(9);
//! let mut stream = Stream::new(160_000); // no packet larger than this is waited for
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
//! # What "strict" means
//!
//! What the standard lets a receiver check in the bytes alone is checked, and [`DecodeError`] names the rule. Such an error
//! is final: the connection must be closed \[MQTT-4.8.0-1\]. Bytes that have not arrived yet are not an error. Three
//! points the standard leaves open, or that peers treat differently, are decided here once:
//!
//! - **DUP with QoS 0** breaks \[MQTT-3.3.1-2\] and is refused, unless [`DecodeOptions::tolerate_dup_at_most_once`] is set.
//! - **Control characters in topics** are allowed: the standard only advises against them. NUL is refused.
//! - **A remaining length not in its shortest form** is accepted, since only MQTT 5 forbids it; never written.
//!
//! # Why not an existing codec
//!
//! No other public crate is at once borrowing, strict, incremental, `no_std` and free of unsafe code. The usual choice,
//! mqttbytes 0.6, is the baseline in this workspace's benchmarks and, with mqttrs and rumqttc, a one-way oracle in this
//! crate's tests: what is accepted here they accept too. It is no more than that, for it accepts invalid packets of 58
//! kinds (wildcards, NUL and nothing at all as topic, packet id 0, reserved flags, bytes left over), refuses binary
//! passwords, writes a topic's length modulo 65 536, and corrupts a CONNECT appended to a buffer that is not empty.
//! `tests/mqttbytes.rs` shows each of these. It also takes ten times as long to read a message.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

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
pub mod server;
mod stream;
mod suback;
mod text;
mod topic;
mod write;

pub use client::{Inbound, Outbound, decode};
pub use connect::{ConnAck, Connect, ConnectRefusal, Login, Will};
pub use error::{DecodeError, EncodeError};
pub use filter::Filter;
pub use limits::BrokerLimits;
pub use options::{DecodeOptions, MAX_REMAINING_LENGTH};
pub use packet::{DISCONNECT, PINGREQ, PINGRESP};
pub use packet::{PacketId, QoS, puback, pubcomp, pubrec, pubrel, unsuback};
pub use publish::{Delivery, Publish};
pub use stream::Stream;
pub use suback::{ReturnCodes, SubAck, SubscribeReturn};
pub use text::{ClientId, InvalidText, Text};
pub use topic::Topic;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
