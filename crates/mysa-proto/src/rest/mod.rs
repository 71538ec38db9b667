//! Requests to the REST service, and the bodies of its answers.
//!
//! Each request is built by a function and has one of three types: [`ReadRequest`], [`SettingsWrite`], which
//! cannot turn a heater on or off, and [`HeaterWrite`], which may. Each contains a [`RestRequest`]: method,
//! host, path, query and body. The caller adds the authorization ([`Auth`]) and sends it. A status outside
//! 200 to 299 goes to [`Failure::of`]; any other body goes to `decode` of the type that the function names.
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
//! The service is inconsistent, so decoding is lenient: a number may be text, a value may be bare or a pair with its
//! time, a time may be in seconds or milliseconds, and −1 or `null` means a missing value. A field that cannot be read
//! is absent and does not affect other fields. Members that a type does not have are kept in its `extra`, as [`Map`]
//! and [`Value`] of serde_json, which this module re-exports on purpose.
//!
//! There are no functions for routes that claim, delete or update a thermostat, edit its model or change its users, nor
//! for those that return credentials (`/iot-token`, `/matter/qr`).

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
pub use error::{BodyError, Failure, FailureKind, Retry, RetryAfter};
pub use request::{Auth, Method, ResourceId, RestHost, RestRequest};
pub use routes::*;
pub use serde_json::{Map, Value};
pub use types::*;
pub use writes::{
    HOLD_LEAD_MILLIS, InvalidSetting, hold_permanently, hold_until, resume, set_brightness, set_display_unit,
    set_eco, set_lock, set_name, set_setpoint_limits, update_state,
};
