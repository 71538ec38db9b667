//! Messages, models and state of Mysa thermostats and their cloud. No I/O, no clock.
//!
//! It encodes and decodes. Crates that depend on it decide what is sent, and when.
//!
//! ```
//! use core::time::Duration;
//! use mysa_proto::{
//!     Body, Celsius, Change, Command, DeviceState, EnvelopeForm, Limits, Message, Model, ModeTable, Now,
//!     EnvelopeMeta, StateField, Topic, UnixTime,
//! };
//!
//! // A status of a thermostat...
//! let topic = Topic::parse(b"/v1/dev/a0b1c2d3e4f6/out").ok_or("not a device topic")?;
//! let payload = br#"{"src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,"body":{"stpt":20.0}}"#;
//! let message = Message::decode(topic.kind, payload)?;
//! assert!(matches!(message.body, Body::Status(_)) && message.is_about(topic.device));
//!
//! // ...is merged into its state...
//! let model = Model::parse("BB-V2-0");
//! let now = Now { mono: Duration::from_secs(7), wall: UnixTime::from_secs(1_767_323_046) };
//! let mut state = DeviceState::new();
//! let changes = state.observe_message(&message, &ModeTable::OBSERVED, model.family(), now);
//! assert!(changes.is_some_and(|changes| changes.contains(StateField::Setpoint)));
//! assert_eq!(state.setpoint().map(|setpoint| setpoint.value.as_degrees()), Some(20.0));
//!
//! // ...and a command is checked against the model before it can be encoded.
//! let warmer = Change::setpoint(Celsius::from_degrees(21.5).ok_or("not a temperature")?);
//! let command =
//!     Command::new(topic.device, &model, &Limits::default(), &ModeTable::OBSERVED, warmer, now.wall)?;
//! let mut wire = Vec::new();
//! let stamp = EnvelopeMeta { id: 1_767_323_046_000, time: now.wall, app_ref: "me", form: EnvelopeForm::Observed };
//! command.encode(&stamp, &mut wire);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Messages
//!
//! [`Message::decode`] reads a message that arrived over MQTT: one pass over the text, borrowed. Only a message that is a
//! string with JSON inside causes an allocation. A
//! value that is absent, `null`, -1, of the wrong type or out of range becomes `None` and does not affect the fields
//! beside it. Unknown fields are kept ([`Message::raw`]) and listed ([`Message::unknown_fields`]). [`Message::answers`]
//! matches an acknowledgement with its command, and [`Change::compare`] compares requested settings with observed ones.
//!
//! # State
//!
//! [`DeviceState`] is last-writer-wins for each field, over all sources, and has the provenance and age of each value.
//! It does not depend on the order in which observations are merged.
//!
//! # Features
//!
//! `serde` (off by default) implements `Serialize` and `Deserialize` for the values that callers store or send on: units,
//! ids, times, modes, models, [`Change`] and its parts, and the names of fields, sources and controls. Temperatures are
//! numbers in degrees Celsius, times are milliseconds since the Unix epoch, and a value out of range is an error.
//!
//! # Sources
//!
//! The protocol is undocumented. Each item names its witnesses, the public projects that observed it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod command;
mod entity;
mod id;
pub mod iot;
mod json;
mod message;
mod model;
mod power;
pub mod rest;
#[cfg(feature = "serde")]
mod serial;
mod state;
mod time;
mod topic;
mod units;

pub use command::{
    AutoSetpoints, Brightness, Change, Channel, CmdFields, Command, Comparison, EnvelopeForm, EnvelopeMeta,
    Hold, InvalidCommand, StructuredUpdate, TrackedSensor, encode_echo, encode_live_report,
    encode_settings_nudge,
};
pub use entity::{Category, Choice, Entity, EntityFacts, Span, entities};
pub use id::DeviceId;
pub use json::{Chars, Elements, Json, JsonError, JsonNumber, JsonStr, Members, RawJson};
pub use message::{
    AcState, AcStatus, Ack, Answer, BatchCommon, BatchError, BatchMessage, BatchProblem, BatchProblemKind,
    BatchReadings, BatchRecord, BatchTail, BatchVersion, Body, Boot, Changeset, CommandEntry, CommandMessage,
    ControlState, Danger, DecodeError, EchoReply, Envelope, Event, EventKind, FirmwareReport, FloorLine,
    FloorStatus, LiveReport, Log, Message, MessageForm, MessageId, PairingReset, ScheduleEvent,
    ScheduleEvents, ScheduleMessage, SentCommand, SetpointChange, Status, Trigger, UnknownFields, V1Status,
};
pub use model::{
    AcCapabilities, AcModeCapabilities, BodyType, Control, Family, FanSpeed, IgnoredLimit, Limits, Mode,
    ModeTable, Model, ModelInfo, Sensor, SetpointRange, Swing, UnknownModeName,
};
pub use power::{EnergyMeter, Load, LoadCurrent, Power, average_power, rated_power};
pub use state::{Changes, Contradiction, DeviceState, Field, Observation, Provenance, Source, StateField};
pub use time::{Now, UnixTime};
pub use topic::{Topic, TopicKind};
pub use units::{Amperes, Celsius, DutyCycle, InvalidCelsius, KilowattHours, RelativeHumidity, Volts, Watts};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
