//! The Mysa cloud as one state machine: user pool, identity pool, REST service, IoT broker, and thermostats in
//! simulated rooms. No I/O, no clock, and no randomness except the seed.
//!
//! The crate is a test bench for clients of that cloud: pair it with a client in memory under virtual time, or put a
//! TLS listener in front of it. All faults are data, see [`FaultPlan`].
//!
//! ```
//! use core::time::Duration;
//! use mysa_proto::UnixTime;
//! use mysa_sim::{Cloud, CloudSpec, HttpAnswer, HttpRequest, Now};
//!
//! let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
//! let mut cloud = Cloud::new(CloudSpec::demo(), 42, now);
//!
//! let request = HttpRequest {
//!     host: "app-prod.mysa.cloud", method: "GET", path: "/devices", query: "", headers: &[], body: b"",
//! };
//! let HttpAnswer::Reply(reply) = cloud.handle_http(now, &request) else { unreachable!() };
//! assert_eq!(reply.status, 401); // nobody has signed in
//!
//! // A day passes. The living room has been heated.
//! let tomorrow = Now { mono: Duration::from_secs(86_400), wall: UnixTime::from_secs(1_767_409_445) };
//! cloud.handle_timeout(tomorrow);
//! let truth = cloud.device_ids().next().and_then(|id| cloud.truth(id)).ok_or("no device")?;
//! assert!(truth.energy > 1.0 && (truth.room - 20.5).abs() < 1.0, "{truth:?}");
//! # Ok::<(), &str>(())
//! ```
//!
//! Observed behaviour follows the observations; all other behaviour follows AWS's documentation. Where the behaviour of
//! the real cloud is uncertain, [`Rules`] makes it a setting. The crate shares no decision with the client under test:
//! it has its own tables of modes and models, its own writers and its own control loop.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod answer;
mod auth;
mod broker;
mod check;
mod clock;
mod cloud;
mod control;
mod device;
mod endpoint;
mod fault;
mod http;
mod incident;
mod journal;
mod math;
mod named_fault;
mod rest;
mod rng;
mod shadow;
mod spec;
mod truth;
mod zone;

pub use auth::session_secret::SessionSecret;
pub use auth::token::TokenSigner;
pub use broker::Output;
pub use check::{Check, CheckFacts, CheckReport, CheckResult, CheckRule, CheckSettings, Finding, StepReport};
pub use clock::Now;
pub use cloud::{Cloud, Upgrade};
pub use control::{AccountView, Button, ConnectionView, DevicePlace, HomeView, InvalidChange};
pub use device::command_record::{CommandRecord, HeldSettings, MessageCounts, Origin};
pub use device::family::{Family, Mode};
pub use device::remote::AcRemote;
pub use device::room::RoomSpec;
pub use device::weather::Weather;
pub use endpoint::Endpoint;
pub use fault::{Closing, DeviceFault, Fault, FaultId, FaultPlan, HttpFault, Incident, Window};
pub use http::{HttpAnswer, HttpReply, HttpRequest};
pub use journal::{CloseReason, Event, EventKind};
pub use named_fault::{InvalidFault, NamedFault};
pub use spec::{
    AccountSpec, AccountStatus, ChallengeSpec, CloudSpec, Denial, DeviceSpec, HomeSpec, Names, Rules,
    ScheduledSetpoint,
};
pub use truth::{Counters, GroundTruth};
