//! Commands of the account: every undecided command, its transmissions, and its outcome.
//!
//! [`book`] owns the commands. [`dispatch`] chooses channels and queues transmissions, [`transmit`] encodes them when a
//! transport takes them, and [`verdict`] defines the outcomes.

pub(crate) mod book;
pub(crate) mod dispatch;
pub(crate) mod open_command;
pub(crate) mod transmission;
mod transmit;
pub(crate) mod verdict;

pub use dispatch::Preview;
pub use verdict::{Busy, CommandId, DeliveryStage, Effect, Evidence, Expired, Refused, Verdict, VerdictKind};
