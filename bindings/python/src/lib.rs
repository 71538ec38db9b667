//! Rust part of the Python package `mysa`. The package's Python modules document what users call.

use pyo3::prelude::*;

mod change;
mod client;
mod command;
mod convert;
mod entropy;
mod errors;
mod explain;
mod message;
mod mqtt;
mod protocol;
mod rest;
mod runtime;
mod secret;
mod signin;
mod signing;
mod sim;

macro_rules! add_functions {
    ($module:ident: $($path:path),* $(,)?) => {
        $( $module.add_function(wrap_pyfunction!($path, $module)?)?; )*
    };
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    runtime::init(module)?;
    module.add_class::<secret::Secret>()?;
    module.add_class::<client::Client>()?;
    module.add_class::<client::Events>()?;
    module.add_class::<sim::SimServer>()?;
    add_functions!(module: command::run_command, rest::decode_device_list, rest::decode_device_states, sim::sim_faults);
    add_functions!(module:
        message::parse_out_message,
        message::decode_message,
        explain::explain,
        protocol::encode_command,
        protocol::decode_batch,
        protocol::power,
        protocol::entities,
        protocol::family_of,
        signing::presign,
        signing::inspect,
    );
    module.add_class::<signin::Pool>()?;
    module.add_class::<signin::Request>()?;
    module.add_class::<signin::Step>()?;
    module.add_class::<signin::Challenge>()?;
    module.add_class::<signin::Tokens>()?;
    module.add_class::<signin::Credentials>()?;
    module.add_class::<signin::Srp>()?;
    add_functions!(module:
        signin::start_sign_in,
        signin::refresh_tokens,
        signin::revoke_token,
        signin::get_id,
        signin::get_credentials,
        signin::srp_timestamp,
    );
    module.add_class::<mqtt::Packet>()?;
    module.add_class::<mqtt::Decoder>()?;
    add_functions!(module:
        mqtt::encode_connect,
        mqtt::encode_subscribe,
        mqtt::encode_unsubscribe,
        mqtt::encode_publish,
        mqtt::encode_puback,
        mqtt::encode_pingreq,
        mqtt::encode_disconnect,
    );
    Ok(())
}
