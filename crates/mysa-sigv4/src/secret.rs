use alloc::string::String;
use core::fmt;

use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// Text that is wiped on drop and never printed.
///
/// Build the `String` with its final capacity: growing it would leave unwiped copies behind.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// Reads the secret. The name makes every such place easy to find.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // Wipes a slice, not the `String`, which `zeroize` wipes byte by byte: for a URL as slow as signing it.
        self.0.as_mut_str().zeroize();
    }
}

impl ZeroizeOnDrop for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
