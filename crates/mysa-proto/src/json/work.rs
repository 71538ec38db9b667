//! Counter of the bytes that readers look at. It exists in unit tests only and compiles to nothing elsewhere.
//!
//! Every loop over input counts here, so a test can bound the work for a payload without a stopwatch.

/// Adds bytes that are looked at, once for each time.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn count(_bytes: usize) {}

#[cfg(test)]
pub(crate) use counter::{count, measure};

#[cfg(test)]
mod counter {
    use core::cell::Cell;

    std::thread_local! {
        static BYTES: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn count(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// Number of bytes that this thread looks at while `run` runs.
    pub(crate) fn measure<T>(run: impl FnOnce() -> T) -> usize {
        let before = BYTES.get();
        run();
        BYTES.get() - before
    }
}
