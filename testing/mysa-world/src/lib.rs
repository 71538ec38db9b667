//! A Mysa session and the simulated cloud in one virtual world.
//!
//! [`World`] connects the client and the cloud in memory. A seeded network between them delays, drops, cuts and
//! reframes the bytes. Virtual time jumps from one deadline to the next, so a simulated day takes milliseconds. After
//! every step an independent checker verifies the invariants of [`Violation`]: it decodes the bytes of both channels
//! itself and compares them with the settings that the simulated thermostats hold. The same seed gives the same run,
//! byte for byte.
//!
//! ```
//! use std::time::Duration;
//! use mysa_session::{Level, Settings};
//! use mysa_sim::CloudSpec;
//! use mysa_world::{NetSpec, World};
//!
//! let mut world = World::new(CloudSpec::demo(), NetSpec::default(), Settings::default(), 1);
//! world.run_for(Duration::from_secs(60))?;
//! assert_eq!(world.session.service().level, Level::Live);
//! assert_eq!(world.session.devices().len(), 5);
//! # Ok::<(), mysa_world::Violation>(())
//! ```
#![forbid(unsafe_code)]

mod bridge;
mod campaign;
mod check;
mod coverage;
mod fleet;
mod host;
mod ledger;
mod net;
mod observer;
mod pace;
mod rng;
mod traffic;
mod violation;
mod wire;
mod world;
mod writes;

#[doc = include_str!("../FAILURES.md")]
pub mod failures {}

pub use bridge::{
    AVAILABILITY_BOUND, BridgeFailure, BridgeHome, BridgeReport, BridgeState, BridgeViolation,
    CLOUD_LOST_BOUND, LocalTrouble, SILENCE_BOUND, bridge_campaign,
};
pub use campaign::{Failure, Report, campaign};
pub use coverage::{Coverage, Kind, SessionState, TroubleKind};
pub use fleet::{FleetFailure, FleetReport, FleetTrouble, FleetViolation, FleetWorld, fleet_campaign};
pub use net::{Framing, NetSpec, NetTrouble, Trouble};
pub use rng::Rng;
pub use violation::Violation;
pub use wire::{Seen, Wire};
pub use world::World;
