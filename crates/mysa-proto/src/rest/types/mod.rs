//! Bodies of the answers, one file for each route.

mod bootstrap;
mod capabilities;
mod device_record;
mod device_states;
mod energy;
mod firmware;
mod history;
mod hold;
mod home;
mod legacy_schedule;
mod live_stream;
mod scene;
mod schedule;
mod setpoint_history;
mod state_batch;
mod state_history;
mod stored_readings;
mod structured_state;
mod usage;
mod user;

pub use bootstrap::{APP_VERSION, Bootstrap};
pub use capabilities::{Capabilities, ValueRange};
pub use device_record::{DeviceList, DeviceRecord, DisplayUnit};
pub use device_states::{DeviceStateEntry, DeviceStates, Reading};
pub use energy::{EnergyQuery, Resolution, Scope};
pub use firmware::{Firmware, UpdateAvailable};
pub use history::{Day, History, Period, RawReading};
pub use hold::{HoldCreated, HoldState};
pub use home::{Home, Homes, Zone};
pub use legacy_schedule::{LegacyEvent, LegacySchedule};
pub use live_stream::LiveStream;
pub use scene::{Scene, Scenes};
pub use schedule::{Schedule, ScheduleEntry, Schedules};
pub use setpoint_history::{SetpointEntry, SetpointHistory};
pub use state_batch::StateBatch;
pub use state_history::{HistoryPoint, StateHistory};
pub use stored_readings::{StoredReading, StoredReadings, StoredReadingsQuery};
pub use structured_state::{
    AutoTarget, DemandResponse, HvacActivity, HvacConfig, Identity, Interface, Modes, PowerSection, Section,
    StructuredState, Target, Telemetry, Tracking,
};
pub use usage::UsageQuery;
pub use user::{PairedDevice, User};
