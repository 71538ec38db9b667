//! The two sides of a connection.

use crate::frame::Incoming;
use crate::{client, server};

/// Side of a connection that decodes; selects the packets a [`PacketStream`](crate::PacketStream) yields.
///
/// Sealed: [`Client`] and [`Server`] are the only roles.
pub trait Role: sealed::Sealed {
    /// Packet that this side receives.
    type Inbound<'a>: Incoming<'a>;
}

/// Receives what a server sends.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Client;

/// Receives what a client sends.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Server;

impl Role for Client {
    type Inbound<'a> = client::Inbound<'a>;
}

impl Role for Server {
    type Inbound<'a> = server::Inbound<'a>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Client {}
    impl Sealed for super::Server {}
}
