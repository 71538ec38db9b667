//! Environment of the broker tests: the broker's process, a proxy that terminates TLS, and a thermostat on the broker's
//! plain port.

mod broker;
mod proxy;
mod thermostat;

pub(crate) use broker::Broker;
pub(crate) use proxy::Proxy;
pub(crate) use thermostat::Thermostat;
