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

mod ac_state;
mod ac_status;
mod ack;
mod batch_message;
mod boot;
mod caps;
mod change;
mod check;
mod command;
mod command_message;
mod control;
mod echo;
mod energy;
mod entity;
mod envelope;
mod event;
mod fan;
mod firmware_report;
mod floor_line;
mod floor_status;
mod id;
mod json;
mod legacy;
mod lenient;
mod limits;
mod live_report;
mod log;
mod message;
mod message_id;
mod mode;
mod model;
mod number;
mod observation;
mod pairing_reset;
mod power;
mod refusal;
mod request;
mod schedule;
mod setpoint_change;
mod state;
mod status;
mod structured_update;
mod swing;
mod text;
mod time;
mod topic;
mod trigger;
mod units;
mod v1_status;
mod write;

pub use ac_state::AcState;
pub use ac_status::AcStatus;
pub use ack::{Ack, Answer, SentCommand};
pub use batch_message::BatchMessage;
pub use boot::Boot;
pub use caps::{ModeCaps, SupportedCaps};
pub use change::{AutoSetpoints, Brightness, Change, Hold, TrackedSensor};
pub use command::{Agreement, CmdFields, Command, EnvelopeForm, Stamp};
pub use command_message::{Changeset, CommandEntry, CommandMessage};
pub use control::ControlState;
pub use echo::EchoReply;
pub use energy::EnergyMeter;
pub use entity::{Category, Choice, Entity, EntityFacts, Span, entities};
pub use envelope::{Envelope, MessageForm};
pub use event::{Event, EventKind};
pub use fan::FanSpeed;
pub use firmware_report::FirmwareReport;
pub use floor_line::FloorLine;
pub use floor_status::FloorStatus;
pub use id::DeviceId;
pub use json::{Elements, Json, JsonError, Members, RawJson};
pub use limits::Limits;
pub use live_report::LiveReport;
pub use log::Log;
pub use message::{Body, Danger, DecodeError, Message, UnknownFields};
pub use message_id::MessageId;
pub use mode::{Mode, ModeTable, UnknownModeName};
pub use model::{BodyType, Control, Family, Model, ModelInfo, Sensor, SetpointRange};
pub use number::JsonNumber;
pub use observation::{Observation, Received, Source};
pub use pairing_reset::PairingReset;
pub use power::{Load, LoadCurrent, Power, average_power, rated_power};
pub use refusal::{Channel, Refusal};
pub use request::{encode_echo, encode_live_report, encode_settings_nudge};
pub use schedule::{ScheduleEvent, ScheduleEvents, ScheduleMessage};
pub use setpoint_change::SetpointChange;
pub use state::{Changes, Contradiction, DeviceState, Field, StateField};
pub use status::Status;
pub use structured_update::StructuredUpdate;
pub use swing::Swing;
pub use text::{Chars, JsonStr};
pub use time::UnixTime;
pub use topic::{Topic, TopicKind};
pub use trigger::Trigger;
pub use units::{Amperes, Celsius, DutyCycle, KilowattHours, RelativeHumidity, Volts, Watts};
pub use v1_status::V1Status;
