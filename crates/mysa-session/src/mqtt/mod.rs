//! MQTT connections of the account.

pub(crate) mod connection;
mod packets;
pub(crate) mod permission;
pub(crate) mod pool;
pub(crate) mod publishes;
pub(crate) mod subscription;

pub use packets::Packets;
