//! The commands of the account: every one that is undecided, where it may be sent, and what became of it.

pub(crate) mod book;
mod dispatch;
pub(crate) mod fields;
pub(crate) mod verdict;

pub use verdict::{Busy, CommandId, DeliveryStage, Evidence, Expired, Refused, Verdict};
