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

mod bootstrap;
mod calendar;
mod capabilities;
mod device_record;
mod device_states;
mod effect;
mod energy;
mod error;
mod fields;
mod firmware;
mod history;
mod hold;
mod home;
mod legacy_schedule;
mod live_stream;
mod observe;
mod request;
mod routes;
mod scene;
mod schedule;
mod setpoint_history;
mod state_batch;
mod state_history;
mod stored_readings;
mod structured_state;
mod text;
mod usage;
mod user;
mod writes;

pub use bootstrap::{APP_VERSION, Bootstrap};
pub use calendar::http_date;
pub use capabilities::{Capabilities, ValueRange};
pub use device_record::{DeviceList, DeviceRecord, DisplayUnit};
pub use device_states::{DeviceStateEntry, DeviceStates, Reading};
pub use effect::{HeaterWrite, ReadRequest, SettingsWrite};
pub use energy::{EnergyQuery, Resolution, Scope};
pub use error::{DecodeError, Failure, FailureKind, Retry, RetryAfter};
pub use firmware::{Firmware, UpdateAvailable};
pub use history::{Day, History, Period, RawReading};
pub use hold::{HoldCreated, HoldState};
pub use home::{Home, Homes, Zone};
pub use legacy_schedule::{LegacyEvent, LegacySchedule};
pub use live_stream::LiveStream;
pub use request::{Auth, Method, ResourceId, RestHost, RestRequest};
pub use routes::*;
pub use scene::{Scene, Scenes};
pub use schedule::{Schedule, ScheduleEvent, Schedules};
pub use serde_json::{Map, Value};
pub use setpoint_history::{SetpointEntry, SetpointHistory};
pub use state_batch::StateBatch;
pub use state_history::{HistoryPoint, StateHistory};
pub use stored_readings::{StoredReading, StoredReadings, StoredReadingsQuery};
pub use structured_state::{
    AutoTarget, DemandResponse, HvacActivity, HvacConfig, Identity, Interface, Modes, PowerSection, Section,
    StructuredState, Target, Telemetry, Tracking,
};
pub use text::{MAX_BODY_LEN, value};
pub use usage::UsageQuery;
pub use user::{PairedDevice, User};
pub use writes::{
    HOLD_LEAD_MILLIS, InvalidSetting, hold_permanently, hold_until, resume, set_brightness, set_display_unit,
    set_eco, set_lock, set_name, set_setpoint_limits, update_state,
};
