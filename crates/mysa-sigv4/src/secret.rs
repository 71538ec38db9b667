use alloc::string::String;
use core::fmt;

use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// Text that is wiped on drop and never printed.
///
/// Whoever fills it allocates all of it beforehand, so that growing leaves no copies behind.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// Named so that every place where a secret is read can be found.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // As a slice: wiping a `String` goes byte by byte, which for a URL takes as long as signing it.
        self.0.as_mut_str().zeroize();
    }
}

impl ZeroizeOnDrop for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
