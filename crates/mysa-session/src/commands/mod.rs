//! The commands of the account: every one that is undecided, where it may be sent, and what became of it.
//!
//! [`book`] owns them. [`dispatch`] chooses channels and queues transmissions, [`transmit`] makes their bytes when a
//! transport takes them, and [`verdict`] says how it ended.

pub(crate) mod book;
pub(crate) mod dispatch;
pub(crate) mod open_command;
pub(crate) mod transmission;
mod transmit;
pub(crate) mod verdict;

pub use dispatch::Preview;
pub use verdict::{Busy, CommandId, DeliveryStage, Effect, Evidence, Expired, Refused, Verdict};
