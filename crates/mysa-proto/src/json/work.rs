//! Counter of the bytes that readers look at. It exists in unit tests only and compiles to nothing elsewhere.
//!
//! Every loop over input counts here, so a test can bound the work for a payload without a stopwatch.

/// Adds bytes that are looked at, once for each time.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn count(_bytes: usize) {}

#[cfg(test)]
pub(crate) use counter::{count, measure};

// Outside `src`, which holds nothing of `std`.
#[cfg(test)]
#[path = "../../tests/common/work_counter.rs"]
mod counter;
