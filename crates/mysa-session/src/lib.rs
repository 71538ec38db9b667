//! Client of the Mysa thermostat cloud as one state machine. No I/O, no clock, no randomness, no tasks.
//!
//! A [`Session`] serves one account. It signs in or resumes, lists the thermostats, keeps an MQTT connection open with
//! fresh signatures, tracks the state of every thermostat, sends commands and reports the outcome of each, and recovers
//! from network failures. A session never waits and never sends: a driver passes input to the `handle_*` methods,
//! performs the work that [`Session::poll_output`] returns, and calls [`Session::handle_timeout`] at the time that
//! [`Session::poll_timeout`] returns.
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
//! // The first output is the request to Cognito for a challenge.
//! let Some(Output::Http(request)) = session.poll_output() else { panic!() };
//! assert_eq!((request.method, request.url.as_str()), ("POST", "https://cognito-idp.us-east-1.amazonaws.com/"));
//! // Without an answer, the session has a deadline at which it gives up.
//! while session.poll_output().is_some() {}
//! assert!(session.poll_timeout().is_some_and(|deadline| deadline.at > now.mono));
//! ```
//!
//! # Guarantees
//!
//! - **Calls in any order are harmless.** Input for a closed connection, unsolicited answers, and a clock that stands
//!   still or runs back have no effect, and nothing panics.
//! - **Every command gets exactly one [`Verdict`]**, within its deadline. The verdict names the evidence that was seen.
//! - **No byte of a command is sent after its verdict, after its deadline, or after a newer command for the same
//!   field**, by either clock, on any channel. The bytes are encoded when the driver takes them. Those already taken
//!   are discarded ([`Output::Abort`]) if the connection is blocked, or if no answer of the broker shows two seconds after they
//!   were sent that it has read them. The request of a command is ended with its verdict ([`Output::AbortHttp`]), unless the command is
//!   confirmed. A command that MQTT failed to deliver is
//!   sent once by the structured service, if [`Settings::channel`] allows it and the model has it. A command that the
//!   broker accepted and no thermostat answered is sent again with a new id, at most [`Settings::command_repeats`]
//!   times.
//! - **Nothing changes a heater without a request.** Starting, connecting and resuming send no commands. The only message a
//!   session sends to a thermostat on its own is the request to report live; [`Settings::live_reports`] turns that off.
//! - **Everything is bounded**: output that the driver does not fetch, events that the reader does not read, and input
//!   from the cloud. A slow reader misses intermediate states, but never the latest state and never a verdict;
//!   [`Event::Dropped`] counts the other events.
//! - **Secrets are never printed.** `Debug` and `Display` omit passwords, tokens and signatures.
//!
//! # Service levels
//!
//! [`Session::service`] returns the service level, its cause, and the time it began. The levels are live, partly live,
//! read-only (the broker accepts no commands, which only an attempt reveals), REST only, offline, and sign-in needed.
//! Commands use MQTT while the broker accepts them, otherwise the structured REST service if the model supports it.
//! [`ReadOnlySession`] has no method that writes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod auth;
mod backoff;
mod clock;
mod commands;
mod context;
mod control_plane;
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

pub use backoff::Backoff;
pub use commands::{
    Busy, CommandId, DeliveryStage, Effect, Evidence, Expired, Preview, Refused, Verdict, VerdictKind,
};
pub use control_plane::EndpointLookup;
pub use devices::{Device, Link, RecordFacts};
pub use diagnosis::{Diagnosis, Handshake, Publishes, Subscribed};
pub use entropy::Entropy;
pub use environment::Environment;
pub use event::{ChallengeNeeded, Event, RequestError, RequestId, Response, Revocation};
pub use io::{
    ConnId, Dial, HttpAnswer, HttpBody, HttpFailure, HttpId, HttpRequest, HttpResult, Output, StoreResult,
};
pub use mqtt::Packets;
pub use mysa_mqtt_codec::ConnectRefusal;
pub use mysa_proto::Now;
pub use now::{Deadline, Wake};
pub use read_only::ReadOnlySession;
pub use service::{ChallengeName, Level, Reason, Service};
pub use session::{NoChallenge, Session};
pub use settings::{CommandChannel, ConfirmBy, Settings, Subscriptions};
pub use start::Start;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
