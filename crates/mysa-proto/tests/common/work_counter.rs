//! Counter of one thread, for unit tests that bound the work of a reader.

use core::cell::Cell;

std::thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

pub(crate) fn count(bytes: usize) {
    BYTES.set(BYTES.get() + bytes);
}

/// Number of bytes that this thread examines during `run`.
pub(crate) fn measure<T>(run: impl FnOnce() -> T) -> usize {
    let before = BYTES.get();
    run();
    BYTES.get() - before
}
