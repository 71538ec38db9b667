//! Read routes, and the request for live reporting.

use alloc::string::ToString;

use serde_json::json;

use super::request::{Hosts, Segment, path};
use super::{
    EnergyQuery, Method, ReadRequest, ResourceId, RestHost, RestRequest, SettingsWrite, StoredReadingsQuery,
    UsageQuery,
};
use crate::{DeviceId, UnixTime};

const fn legacy(method: Method, path: alloc::string::String) -> RestRequest {
    RestRequest::new(method, RestHost::Legacy, Hosts::Both, path)
}

const fn backend(method: Method, path: alloc::string::String) -> RestRequest {
    RestRequest::new(method, RestHost::Backend, Hosts::One, path)
}

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $kind:ident),*) = $host:ident $method:ident [$($part:tt),*];)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name($($arg: routes!(@type $kind)),*) -> ReadRequest {
            ReadRequest($host(Method::$method, path(&[$(routes!(@part $part)),*])))
        }
    )*};
    (@type device) => { DeviceId };
    (@type id) => { &ResourceId };
    (@part {$used:ident: device}) => { Segment::Device($used) };
    (@part {$used:ident: id}) => { Segment::Id($used) };
    (@part $fixed:literal) => { Segment::Fixed($fixed) };
}

routes! {
    /// `GET /devices`: every device record of the account; [`DeviceList`](super::DeviceList).
    devices() = legacy Get ["devices"];
    /// `GET /devices/{dev}`; [`DeviceRecord`](super::DeviceRecord).
    device(device: device) = legacy Get ["devices", {device: device}];
    /// `GET /devices/state`: the last state of every thermostat; [`DeviceStates`](super::DeviceStates).
    devices_state() = legacy Get ["devices", "state"];
    /// `GET /devices/state/{dev}`; [`DeviceStateEntry`](super::DeviceStateEntry).
    device_state(device: device) = legacy Get ["devices", "state", {device: device}];
    /// `GET /devices/capabilities`, a list of unknown structure; the legacy host answers 403. One witness.
    devices_capabilities() = backend Get ["devices", "capabilities"];
    /// `GET /homes`; [`Homes`](super::Homes).
    homes() = legacy Get ["homes"];
    /// `GET /homes/{home}`; [`Homes`](super::Homes).
    home(home: id) = legacy Get ["homes", {home: id}];
    /// `GET /users`: the signed-in user; [`User`](super::User).
    users() = legacy Get ["users"];
    /// `GET /devices/firmware`: installed versions; [`Firmware`](super::Firmware).
    firmware() = legacy Get ["devices", "firmware"];
    /// `GET /devices/update_available/{dev}`; [`UpdateAvailable`](super::UpdateAvailable). Answers 500 for firmware
    /// the service does not know.
    update_available(device: device) = legacy Get ["devices", "update_available", {device: device}];
    /// `GET /energy/v3/home/{home}`, known only from the design document; [`History`](super::History) reads it as far
    /// as possible.
    energy_v3_home(home: id) = legacy Get ["energy", "v3", "home", {home: id}];
    /// `GET /energy/v3/device/{dev}`, known only from the design document; [`History`](super::History) reads it as far
    /// as possible.
    energy_v3_device(device: device) = legacy Get ["energy", "v3", "device", {device: device}];
    /// `GET /schedules`: schedules of the first generation. One witness.
    schedules_v1() = legacy Get ["schedules"];
    /// `GET /schedules/v2/{dev}`; [`LegacySchedule`](super::LegacySchedule). One witness.
    schedules_v2(device: device) = legacy Get ["schedules", "v2", {device: device}];
    /// `GET /homes/{home}/scenes`; [`Scenes`](super::Scenes). One witness.
    scenes(home: id) = legacy Get ["homes", {home: id}, "scenes"];
    /// `GET /homes/{home}/savedSchedule`. One witness.
    saved_schedules(home: id) = legacy Get ["homes", {home: id}, "savedSchedule"];
    /// `GET /devices/{dev}/telemetry_alerts`. One witness.
    telemetry_alerts(device: device) = legacy Get ["devices", {device: device}, "telemetry_alerts"];
    /// `GET /devices/{dev}/drstate`: demand response. One witness.
    demand_response_state(device: device) = legacy Get ["devices", {device: device}, "drstate"];
    /// `GET /state/{dev}`; [`StructuredState`](super::StructuredState). 404 if the thermostat is not in the account.
    structured_state(device: device) = backend Get ["state", {device: device}];
    /// `GET /schedule/hold/{dev}`; [`HoldState`](super::HoldState). 404 if none exists.
    hold(device: device) = backend Get ["schedule", "hold", {device: device}];
    /// `GET /schedule/compatibility/{dev}`. One witness.
    schedule_compatibility(device: device) = backend Get ["schedule", "compatibility", {device: device}];
    /// `GET /linking`: links between devices of a central system. One witness.
    linking() = backend Get ["linking"];
    /// `GET /ota/update/available/{dev}`, for the newest devices; known from the app, never seen on the wire.
    ota_update_available(device: device) = backend Get ["ota", "update", "available", {device: device}];
    /// `GET /smart-early-on/{dev}/availability`. One witness.
    smart_early_on(device: device) = backend Get ["smart-early-on", {device: device}, "availability"];
}

/// `POST /energy/device/{dev}`: energy of one thermostat; [`History`](super::History).
#[must_use]
pub fn energy_device(device: DeviceId, query: &EnergyQuery) -> ReadRequest {
    ReadRequest(
        legacy(
            Method::Post,
            path(&[Segment::Fixed("energy"), Segment::Fixed("device"), Segment::Device(device)]),
        )
        .with_body(&query.body(device.as_str())),
    )
}

/// `POST /energy/zone/{zone}`; [`History`](super::History).
#[must_use]
pub fn energy_zone(zone: &ResourceId, query: &EnergyQuery) -> ReadRequest {
    ReadRequest(
        legacy(Method::Post, path(&[Segment::Fixed("energy"), Segment::Fixed("zone"), Segment::Id(zone)]))
            .with_body(&query.body(zone.as_str())),
    )
}

/// `POST /energy/home/{home}`; [`History`](super::History).
#[must_use]
pub fn energy_home(home: &ResourceId, query: &EnergyQuery) -> ReadRequest {
    ReadRequest(
        legacy(Method::Post, path(&[Segment::Fixed("energy"), Segment::Fixed("home"), Segment::Id(home)]))
            .with_body(&query.body(home.as_str())),
    )
}

/// `POST /energy/v3/{home}/home`: whole-home energy, as in one client; 404 for an account without current sensors.
/// [`History`](super::History).
#[must_use]
pub fn energy_v3_whole_home(home: &ResourceId, query: &EnergyQuery) -> ReadRequest {
    let path =
        path(&[Segment::Fixed("energy"), Segment::Fixed("v3"), Segment::Id(home), Segment::Fixed("home")]);
    ReadRequest(legacy(Method::Post, path).with_body(&query.body(home.as_str())))
}

/// `POST /energy/setpoints/device/{dev}`: setpoint changes of the day that holds `at`, in `time_zone` (a name of the
/// tz database, as in `Home` and device records); [`SetpointHistory`](super::SetpointHistory).
#[must_use]
pub fn energy_setpoints(device: DeviceId, at: UnixTime, time_zone: &str) -> ReadRequest {
    let body = json!({ "Scope": "Day", "Timestamp": at.as_secs(), "PhoneTimezone": time_zone });
    let fixed = Segment::Fixed;
    ReadRequest(
        legacy(
            Method::Post,
            path(&[fixed("energy"), fixed("setpoints"), fixed("device"), Segment::Device(device)]),
        )
        .with_body(&body),
    )
}

/// `POST /batchReadings/v2/{dev}`: stored readings in time-keyed buckets, whose keys differ between the hosts;
/// [`StoredReadings`](super::StoredReadings). One witness.
#[must_use]
pub fn stored_readings(device: DeviceId, query: &StoredReadingsQuery) -> ReadRequest {
    let fixed = Segment::Fixed;
    ReadRequest(
        legacy(Method::Post, path(&[fixed("batchReadings"), fixed("v2"), Segment::Device(device)]))
            .with_body(&query.body()),
    )
}

/// `GET /mobile/bootstrap?versionNumber=`: user, homes and devices; [`Bootstrap`](super::Bootstrap). `app_version` is
/// required, such as [`APP_VERSION`](super::APP_VERSION).
#[must_use]
pub fn bootstrap(app_version: &str) -> ReadRequest {
    ReadRequest(
        backend(Method::Get, path(&[Segment::Fixed("mobile"), Segment::Fixed("bootstrap")]))
            .with_query("versionNumber", app_version),
    )
}

/// `POST /state/batch`: the structured state of several thermostats; [`StateBatch`](super::StateBatch).
#[must_use]
pub fn state_batch(devices: &[DeviceId]) -> ReadRequest {
    let ids: alloc::vec::Vec<&str> = devices.iter().map(DeviceId::as_str).collect();
    ReadRequest(
        backend(Method::Post, path(&[Segment::Fixed("state"), Segment::Fixed("batch")]))
            .with_body(&json!({ "deviceIds": ids })),
    )
}

/// `GET /state/history/{dev}?startTime=&endTime=`: changes and their authors; [`StateHistory`](super::StateHistory).
#[must_use]
pub fn state_history(device: DeviceId, start: UnixTime, end: UnixTime) -> ReadRequest {
    ReadRequest(
        backend(
            Method::Get,
            path(&[Segment::Fixed("state"), Segment::Fixed("history"), Segment::Device(device)]),
        )
        .with_query("startTime", &start.as_secs().to_string())
        .with_query("endTime", &end.as_secs().to_string()),
    )
}

/// `GET /capabilities/{dev}` with the switches that include the older models;
/// [`Capabilities`](super::Capabilities).
#[must_use]
pub fn capabilities(device: DeviceId) -> ReadRequest {
    ReadRequest(including_legacy(backend(
        Method::Get,
        path(&[Segment::Fixed("capabilities"), Segment::Device(device)]),
    )))
}

/// `POST /telemetry/usage/{dev}`; [`History`](super::History).
#[must_use]
pub fn usage(device: DeviceId, query: &UsageQuery) -> ReadRequest {
    ReadRequest(
        backend(
            Method::Post,
            path(&[Segment::Fixed("telemetry"), Segment::Fixed("usage"), Segment::Device(device)]),
        )
        .with_body(&query.body()),
    )
}

/// `GET /schedule?homeId=`; [`Schedules`](super::Schedules). 404 if none exists.
#[must_use]
pub fn schedules(home: &ResourceId) -> ReadRequest {
    ReadRequest(including_legacy(
        backend(Method::Get, path(&[Segment::Fixed("schedule")])).with_query("homeId", home.as_str()),
    ))
}

/// `GET /feature-flags/features/check?versionNumber=`. One witness.
#[must_use]
pub fn feature_flags(app_version: &str) -> ReadRequest {
    let fixed = Segment::Fixed;
    ReadRequest(
        backend(Method::Get, path(&[fixed("feature-flags"), fixed("features"), fixed("check")]))
            .with_query("versionNumber", app_version),
    )
}

/// `POST /mysa-legacy/stream/home/{home}`: live reporting of all thermostats of a home for a number of seconds, like
/// the MQTT request for one thermostat; [`LiveStream`](super::LiveStream). The app requests 300 and renews after about
/// 250.
#[must_use]
pub fn live_stream(home: &ResourceId, seconds: u32) -> SettingsWrite {
    let fixed = Segment::Fixed;
    SettingsWrite(
        backend(
            Method::Post,
            path(&[fixed("mysa-legacy"), fixed("stream"), fixed("home"), Segment::Id(home)]),
        )
        .with_body(&json!({ "timeout": seconds })),
    )
}

fn including_legacy(request: RestRequest) -> RestRequest {
    request
        .with_query("includeLegacyBaseboard", "true")
        .with_query("includeLegacyAc", "true")
        .with_query("includeLegacyInfloor", "true")
}
