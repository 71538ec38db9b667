//! Write routes. Settings that may turn a heater on or off go through [`StructuredUpdate`], which checks them
//! against the model.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde_json::{Value, json};

use super::calendar::to_iso;
use super::request::{Hosts, Segment, path};
use super::{DisplayUnit, HeaterWrite, Method, RestHost, RestRequest, SettingsWrite};
use crate::{Celsius, DeviceId, StructuredUpdate, UnixTime};

/// Reason why a setting cannot be written. The caller must correct it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidSetting {
    /// The name is empty, longer than 64 characters, or contains a control character.
    Name,
    /// The brightness is above 100 %, or idle is brighter than awake.
    Brightness,
    /// The setpoint limits are not multiples of 0.5 °C from 5 to 40 °C with the lower below the upper.
    SetpointLimits,
    /// The hold ends before it begins, [`HOLD_LEAD_MILLIS`] from now.
    HoldEnd,
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "invalid name: expected 1 to 64 characters without control characters",
            Self::Brightness => {
                "invalid brightness: expected 0 to 100 %, with idle at most as bright as awake"
            }
            Self::SetpointLimits => {
                "invalid setpoint limits: expected multiples of 0.5 °C from 5 to 40 °C, the lower below the upper"
            }
            Self::HoldEnd => "invalid end of the hold: expected more than ten seconds from now",
        })
    }
}

impl core::error::Error for InvalidSetting {}

fn settings(device: DeviceId, body: &Value) -> RestRequest {
    let path = path(&[Segment::Fixed("devices"), Segment::Device(device)]);
    RestRequest::new(Method::Post, RestHost::Legacy, Hosts::BothSlashOnBackend, path).with_body(body)
}

/// `POST /devices/{dev}`: renames a thermostat.
///
/// After a write to this route, publish the settings nudge ([`encode_settings_nudge`](crate::encode_settings_nudge)),
/// so that the thermostat fetches the record.
///
/// # Errors
/// The name is empty, longer than 64 characters, or contains a control character.
pub fn set_name(device: DeviceId, name: &str) -> Result<SettingsWrite, InvalidSetting> {
    let fits = (1..=64).contains(&name.chars().count())
        && !name.trim().is_empty()
        && !name.chars().any(char::is_control);
    if fits {
        Ok(SettingsWrite(settings(device, &json!({ "Name": name }))))
    } else {
        Err(InvalidSetting::Name)
    }
}

/// `POST /devices/{dev}`: temperature unit of the display.
#[must_use]
pub fn set_display_unit(device: DeviceId, unit: DisplayUnit) -> SettingsWrite {
    let format = match unit {
        DisplayUnit::Celsius => "celsius",
        DisplayUnit::Fahrenheit => "fahrenheit",
    };
    SettingsWrite(settings(device, &json!({ "Format": format })))
}

/// `POST /devices/{dev}`: brightness of the display in percent, idle and awake.
///
/// # Errors
/// A value is above 100, or idle is brighter than awake.
pub fn set_brightness(device: DeviceId, idle: u8, awake: u8) -> Result<SettingsWrite, InvalidSetting> {
    if idle > awake || awake > 100 {
        return Err(InvalidSetting::Brightness);
    }
    Ok(SettingsWrite(settings(device, &json!({ "MinBrightness": idle, "MaxBrightness": awake }))))
}

/// `POST /devices/{dev}`: locks or unlocks the buttons. The value is text, as in the app.
#[must_use]
pub fn set_lock(device: DeviceId, locked: bool) -> SettingsWrite {
    SettingsWrite(settings(device, &json!({ "ButtonState": if locked { "Locked" } else { "Unlocked" } })))
}

/// `POST /devices/{dev}`: eco mode. Inverted on the wire: 0 is on.
#[must_use]
pub fn set_eco(device: DeviceId, on: bool) -> HeaterWrite {
    HeaterWrite(settings(device, &json!({ "ecoMode": if on { "0" } else { "1" } })))
}

/// `POST /devices/{dev}`: the user's limits of the setpoint.
///
/// # Errors
/// A limit is not a multiple of 0.5 °C from 5 to 40 °C, or the lower is not below the upper.
pub fn set_setpoint_limits(
    device: DeviceId,
    min: Celsius,
    max: Celsius,
) -> Result<SettingsWrite, InvalidSetting> {
    let step = Celsius::from_hundredths(50);
    let range = Celsius::from_hundredths(500)..=Celsius::from_hundredths(4_000);
    let fits = |limit: Celsius| limit.is_on_step(step) && range.contains(&limit);
    if !(fits(min) && fits(max) && min < max) {
        return Err(InvalidSetting::SetpointLimits);
    }
    Ok(SettingsWrite(settings(device, &json!({ "MinSetpoint": degrees(min), "MaxSetpoint": degrees(max) }))))
}

/// Lead of the start of a hold, in milliseconds: the service requires a start in the future, and clients use 10 s.
pub const HOLD_LEAD_MILLIS: i64 = 10_000;

/// `POST /schedule/hold`: holds the settings of `update` until the schedule is resumed;
/// [`HoldCreated`](super::HoldCreated). Not idempotent: after a lost answer, read [`hold`](super::hold()) first.
#[must_use]
pub fn hold_permanently(device: DeviceId, update: &StructuredUpdate, now: UnixTime) -> HeaterWrite {
    new_hold(device, update, now, None)
}

/// `POST /schedule/hold`: holds the settings of `update` until `end`.
///
/// # Errors
/// `end` is not later than the start of the hold.
pub fn hold_until(
    device: DeviceId,
    update: &StructuredUpdate,
    now: UnixTime,
    end: UnixTime,
) -> Result<HeaterWrite, InvalidSetting> {
    if end <= now.plus_millis(HOLD_LEAD_MILLIS) {
        return Err(InvalidSetting::HoldEnd);
    }
    Ok(new_hold(device, update, now, Some(end)))
}

fn new_hold(
    device: DeviceId,
    update: &StructuredUpdate,
    now: UnixTime,
    end: Option<UnixTime>,
) -> HeaterWrite {
    let mut state = Vec::new();
    update.encode_state(&mut state);
    let (kind, end) = match end {
        None => ("permanent", String::new()),
        Some(end) => ("temporary", format!("\"endTime\":\"{}\",", to_iso(end))),
    };
    let start = to_iso(now.plus_millis(HOLD_LEAD_MILLIS));
    let body = format!(
        "{{\"deviceId\":\"{device}\",\"holdType\":\"{kind}\",\"startTime\":\"{start}\",{end}\"state\":{}}}",
        String::from_utf8_lossy(&state)
    );
    let path = path(&[Segment::Fixed("schedule"), Segment::Fixed("hold")]);
    let mut request = RestRequest::new(Method::Post, RestHost::Backend, Hosts::One, path);
    request.body = Some(body);
    HeaterWrite(request)
}

/// `POST /state/{dev}/update`: the second command channel. An answer of 200 means that the service accepted the update,
/// not that the thermostat applied it; only a reported value of the structured state shows that.
#[must_use]
pub fn update_state(device: DeviceId, update: &StructuredUpdate) -> HeaterWrite {
    let mut body = Vec::new();
    update.encode(&mut body);
    let path = path(&[Segment::Fixed("state"), Segment::Device(device), Segment::Fixed("update")]);
    let mut request = RestRequest::new(Method::Post, RestHost::Backend, Hosts::One, path);
    request.body = Some(String::from_utf8_lossy(&body).into_owned());
    HeaterWrite(request)
}

/// `DELETE /schedule/hold/{dev}`: ends a hold and resumes the schedule. 404 if none exists.
#[must_use]
pub fn resume(device: DeviceId) -> HeaterWrite {
    let path = path(&[Segment::Fixed("schedule"), Segment::Fixed("hold"), Segment::Device(device)]);
    HeaterWrite(RestRequest::new(Method::Delete, RestHost::Backend, Hosts::One, path))
}

/// Temperature as a number; whole degrees without a fraction, as in the app.
fn degrees(celsius: Celsius) -> Value {
    if celsius.is_on_step(Celsius::from_hundredths(100)) {
        json!(celsius.as_hundredths() / 100)
    } else {
        json!(celsius.as_degrees())
    }
}
