//! A client of the Mysa thermostat cloud as one state machine. No I/O, no clock, no randomness, no tasks.
//!
//! A [`Session`] is one account: it signs in or resumes, lists the thermostats, keeps an MQTT connection with fresh
//! signatures, keeps every thermostat's state, sends commands and judges what became of them, and lives through
//! whatever the network does. It never waits and never sends: a driver hands it what arrived by `handle_*`, does what
//! [`Session::poll_output`] says, and calls [`Session::handle_timeout`] when [`Session::poll_timeout`] says.
//!
//! ```
//! use core::time::Duration;
//! use mysa_proto::UnixTime;
//! use mysa_session::{Environment, Now, Output, Session, Settings, Start};
//!
//! let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
//! let start = Start::Password { username: "ann@example.org".into(), password: "correct horse".into() };
//! let mut session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
//!
//! // The first thing to do is to ask Cognito for a challenge.
//! let Some(Output::Http(request)) = session.poll_output() else { panic!() };
//! assert_eq!((request.method, request.url.as_str()), ("POST", "https://cognito-idp.us-east-1.amazonaws.com/"));
//! // Nobody answers; the session will see to that, and says when.
//! while session.poll_output().is_some() {}
//! assert!(session.poll_timeout().is_some_and(|deadline| deadline.at > now.mono));
//! ```
//!
//! # What it promises
//!
//! - **Calls in any order are harmless.** Input of a connection that is gone, answers nobody asked for, time that stands
//!   still or runs back: none has an effect, and nothing panics.
//! - **Every command has exactly one [`Verdict`]**, within its deadline, and it names what was really seen.
//! - **No byte of a command leaves after its verdict, its deadline or a newer command for its field**, by either clock, on
//!   any channel. The bytes are made when the driver takes them. A command that MQTT fails goes once by the structured
//!   service; one that the broker accepted and nobody answered is sent again with an id of its own, a few times.
//! - **Nothing moves a heater unasked**: starting, connecting and resuming send no commands. The one thing a thermostat
//!   is asked for of the session's own accord is to report live, and [`Settings::live_reports`] turns that off.
//! - **Everything is bounded**: what the driver does not fetch, what the reader does not read, what the cloud sends. A
//!   slow reader misses intermediate states, never the latest, and no verdict; [`Event::Dropped`] counts the rest.
//! - **Nothing secret prints.**
//!
//! # Service levels
//!
//! [`Session::service`] gives the level, its cause, and when it began: live, read-only (the broker accepts no commands,
//! which is learnt by trying), REST only, offline, sign-in needed. Commands go by MQTT while the broker accepts them, else
//! by the structured REST service where the model has it. [`ReadOnlySession`] has no method that writes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod auth;
mod backoff;
mod clock;
mod commands;
mod context;
mod devices;
mod diagnosis;
mod entropy;
mod environment;
mod event;
mod io;
mod mqtt;
mod now;
mod outbox;
mod read_only;
mod rest;
mod service;
mod session;
mod settings;
mod start;

pub use commands::{Busy, CommandId, DeliveryStage, Effect, Evidence, Expired, Preview, Refused, Verdict};
pub use devices::{Device, Link};
pub use diagnosis::{Diagnosis, Handshake, Publishes, Subscribed};
pub use environment::Environment;
pub use event::{ChallengeNeeded, Event, RequestError, RequestId, Response, Revocation};
pub use io::{
    ConnId, Dial, HttpAnswer, HttpBody, HttpFailure, HttpId, HttpRequest, HttpResult, Output, StoreResult,
};
pub use mqtt::Packets;
pub use mysa_proto::Now;
pub use now::{Deadline, Wake};
pub use read_only::ReadOnlySession;
pub use service::{Level, Reason, Service};
pub use session::{NoChallenge, Session};
pub use settings::{CommandChannel, ConfirmBy, Settings, Subscriptions};
pub use start::Start;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
