//! Sealed tokens: the secrets of accounts, encrypted for a store that others can read.

mod keyring;
mod token;

pub use keyring::{InvalidKeys, Keyring, OpenError, SealError, SealingKey};
pub use token::{InvalidSealed, SealedToken};
