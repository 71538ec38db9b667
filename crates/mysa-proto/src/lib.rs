//! What Mysa thermostats and their cloud say and are told. No I/O, no clock.
//!
//! Bytes go in, a typed value comes out, and back. The crates above decide *when* to talk.
//!
//! ```
//! use mysa_proto::{Celsius, DeviceId, DutyCycle, Topic};
//!
//! let id = DeviceId::new("A0B1C2D3E4F6").ok_or("not a device id")?;
//! assert_eq!(Topic::outgoing(id).to_string(), "/v1/dev/a0b1c2d3e4f6/out");
//! assert_eq!(Celsius::from_degrees(21.5).ok_or("not a temperature")?.to_string(), "21.5 °C");
//! # Ok::<(), &str>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod id;
mod time;
mod topic;
mod units;

pub use id::DeviceId;
pub use time::UnixTime;
pub use topic::{Topic, TopicKind};
pub use units::{Amperes, Celsius, DutyCycle, KilowattHours, RelativeHumidity, Volts, Watts};
