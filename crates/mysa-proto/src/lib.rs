//! What Mysa thermostats and their cloud say and are told. No I/O, no clock.
//!
//! Bytes go in, a typed value comes out, and back. The crates above decide *when* to talk.
//!
//! ```
//! use core::time::Duration;
//! use mysa_proto::{
//!     Body, Celsius, Change, Command, DeviceState, EnvelopeForm, Limits, Message, Model, ModeTable, Received,
//!     Stamp, StateField, Topic, UnixTime,
//! };
//!
//! // What a thermostat says...
//! let topic = Topic::parse(b"/v1/dev/a0b1c2d3e4f6/out").ok_or("not a device topic")?;
//! let payload = br#"{"src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,"body":{"stpt":20.0}}"#;
//! let message = Message::decode(topic.kind, payload)?;
//! assert!(matches!(message.body, Body::Status(_)) && message.is_about(topic.device));
//!
//! // ...is merged with all else that is known of it...
//! let model = Model::parse("BB-V2-0");
//! let now = Received { mono: Duration::from_secs(7), wall: UnixTime::from_secs(1_767_323_046) };
//! let mut state = DeviceState::new();
//! let changes = state.observe_message(&message, &ModeTable::OBSERVED, model.family(), now);
//! assert!(changes.is_some_and(|changes| changes.contains(StateField::Setpoint)));
//! assert_eq!(state.setpoint().map(|setpoint| setpoint.value.as_degrees()), Some(20.0));
//!
//! // ...and what it is told is checked before it can be written.
//! let warmer = Change::setpoint(Celsius::from_degrees(21.5).ok_or("not a temperature")?);
//! let command =
//!     Command::new(topic.device, &model, &Limits::default(), &ModeTable::OBSERVED, warmer, now.wall)?;
//! let mut wire = Vec::new();
//! let stamp = Stamp { id: 1_767_323_046_000, time: now.wall, app_ref: "me", form: EnvelopeForm::Observed };
//! command.encode(&stamp, &mut wire);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Messages
//!
//! [`Message::decode`] reads what comes by MQTT: one pass over the text, borrowed, without allocation. A value that is
//! absent, `null`, -1, of the wrong type or out of range becomes `None` and never costs the fields beside it; what has
//! no name here is kept ([`Message::raw`]) and shown ([`Message::unknown_fields`]). [`Message::answers`] tells whether a
//! command was obeyed.
//!
//! # State
//!
//! [`DeviceState`] keeps the last word about each field, whoever said it, and tells whose it is and how old. Order of
//! arrival has no say in it.
//!
//! # Sources
//!
//! The protocol is undocumented. Each item names its witnesses, the public projects that saw it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod ac_state;
mod ac_status;
mod ack;
mod batch;
mod batch_message;
mod batch_problem;
mod batch_record;
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
mod field_set;
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
mod packed;
mod pairing_reset;
mod plain_number;
mod power;
mod reader;
mod refusal;
mod request;
pub mod rest;
mod schedule;
mod setpoint_change;
mod stamp;
mod state;
mod status;
mod structured_update;
mod swing;
mod text;
mod time;
mod top;
mod topic;
mod trigger;
mod units;
mod v1_status;
mod words;
mod write;

pub use ac_state::AcState;
pub use ac_status::AcStatus;
pub use ack::{Ack, Answer, SentCommand};
pub use batch::{BatchError, BatchReadings};
pub use batch_message::BatchMessage;
pub use batch_problem::{BatchProblem, BatchProblemKind};
pub use batch_record::{BatchCommon, BatchRecord, BatchTail, BatchVersion};
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
