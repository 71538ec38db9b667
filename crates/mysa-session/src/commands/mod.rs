//! The commands of the account: every one that is undecided, where it may be sent, and what became of it.

pub(crate) mod book;
pub(crate) mod dispatch;
pub(crate) mod verdict;

pub use dispatch::Preview;
pub use verdict::{Busy, CommandId, DeliveryStage, Effect, Evidence, Expired, Refused, Verdict};
