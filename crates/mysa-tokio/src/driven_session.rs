//! The session of a driver. In unit tests it checks the driver against the rules of the run loop.

#[cfg(test)]
pub(crate) use mysa_conformance::Session;
#[cfg(not(test))]
pub(crate) use mysa_session::Session;
