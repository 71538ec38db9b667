//! Counter of the bytes that readers examine. It exists in unit tests only and compiles to nothing elsewhere.
//! Every loop over input counts here, so a test can bound the work for a payload without measuring time.

/// Adds examined bytes. A byte that is examined twice counts twice.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn count(_bytes: usize) {}

#[cfg(test)]
pub(crate) use counter::{count, measure};

// Outside `src`, because `src` does not use `std`.
#[cfg(test)]
#[path = "../../tests/common/work_counter.rs"]
mod counter;
