//! Sign-in: accounts, the user pool with its tokens, and the identity pools with their credentials.

pub(crate) mod account;
pub(crate) mod identity_pool;
pub(crate) mod session_secret;
pub(crate) mod token;
pub(crate) mod user_pool;
