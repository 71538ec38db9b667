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

mod caps;
mod change;
mod check;
mod command;
mod fan;
mod id;
mod limits;
mod mode;
mod model;
mod refusal;
mod request;
mod swing;
mod time;
mod topic;
mod units;
mod write;

pub use caps::{ModeCaps, SupportedCaps};
pub use change::{Brightness, Change, Hold, TrackedSensor};
pub use command::{Agreement, CmdFields, Command, EnvelopeForm, Stamp};
pub use fan::FanSpeed;
pub use id::DeviceId;
pub use limits::Limits;
pub use mode::{Mode, ModeTable, UnknownModeName};
pub use model::{BodyType, Control, Family, Model, ModelInfo, Sensor, SetpointRange};
pub use refusal::{Channel, Refusal};
pub use request::{encode_echo, encode_live_report, encode_settings_nudge};
pub use swing::Swing;
pub use time::UnixTime;
pub use topic::{Topic, TopicKind};
pub use units::{Amperes, Celsius, DutyCycle, KilowattHours, RelativeHumidity, Volts, Watts};
