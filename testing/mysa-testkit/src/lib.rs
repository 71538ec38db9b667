//! Parts that several test suites share: a stand-in MQTT broker without I/O, messages of thermostats, an
//! HTTP date, a loopback address of a process, and a NATS server.
//!
//! ```
//! use mysa_mqtt_codec::PINGREQ;
//! use mysa_testkit::{BrokerBehavior, BrokerConnection, Received};
//!
//! let mut connection = BrokerConnection::new();
//! let exchange = connection.receive(&BrokerBehavior::default(), &PINGREQ);
//! assert_eq!(exchange.received, [Received::PingReq]);
//! assert_eq!(exchange.reply, [0xd0, 0]);
//! ```
#![forbid(unsafe_code)]

mod broker;
pub mod codec;
mod date;
mod loopback;
mod message;
mod nats;

pub use broker::{
    BrokerBehavior, BrokerConnection, Exchange, Received, publish, publish_at_least_once, publish_retained,
};
pub use date::http_date;
pub use loopback::own_loopback;
pub use message::{Ack, V2Status};
pub use nats::NatsServer;
