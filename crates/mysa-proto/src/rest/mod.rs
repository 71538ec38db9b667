//! Requests to the REST service and what its answers hold.
//!
//! A function builds each request as a value of one of three types: [`ReadRequest`], [`SettingsWrite`] for what cannot
//! move a heater, and [`HeaterWrite`] for what may. Each holds a [`RestRequest`]: method, host, path, query and body. The
//! caller adds the authorization ([`Auth`]) and sends it. A status outside 200 to 299 goes to [`Failure::of`]; any other body goes
//! to `decode` of the type the function names.
//!
//! ```
//! use mysa_proto::rest::{self, DeviceStates, Failure};
//!
//! let request = rest::devices_state().into_request();
//! assert_eq!((request.method().as_str(), request.target().as_str()), ("GET", "/devices/state"));
//!
//! let (status, body) = (200, br#"{"DeviceStatesObj":{"a0b1c2d3e4f6":{"Duty":{"v":47,"t":1767323040}}}}"#);
//! assert_eq!(Failure::of(status, None, body), None);
//! let states = DeviceStates::decode(body)?;
//! let duty = states.states.values().next().and_then(|state| state.duty).ok_or("no duty cycle")?;
//! assert_eq!(duty.value.as_fraction(), 0.47);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! The service is lenient with itself, so decoding is lenient with it: a number may be text, a value bare or a pair
//! with its time, a time in seconds or milliseconds, −1 or `null` for nothing. A field that cannot be read is absent
//! and costs none of its neighbours. What has no place in a type is kept in its `extra`, as [`Map`] and [`Value`] of
//! serde_json, which this module re-exports on purpose.
//!
//! Routes that claim, delete or update a thermostat, edit its model, or change who may use it, have no function here,
//! nor have those that hand out credentials (`/iot-token`, `/matter/qr`).

mod body;
mod calendar;
mod effect;
mod error;
mod fields;
mod observe;
mod request;
mod routes;
mod types;
mod writes;

pub use body::{MAX_BODY_LEN, value};
pub use calendar::http_date;
pub use effect::{HeaterWrite, ReadRequest, SettingsWrite};
pub use error::{DecodeError, Failure, FailureKind, Retry, RetryAfter};
pub use request::{Auth, Method, ResourceId, RestHost, RestRequest};
pub use routes::*;
pub use serde_json::{Map, Value};
pub use types::*;
pub use writes::{
    HOLD_LEAD_MILLIS, InvalidSetting, hold_permanently, hold_until, resume, set_brightness, set_display_unit,
    set_eco, set_lock, set_name, set_setpoint_limits, update_state,
};
