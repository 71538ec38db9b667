use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;

use mysa_proto::{Celsius, Family, Hold, Mode, UnixTime};
use mysa_session::{Level, Link};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::Thermostat;
use crate::accounts::{Accounts, Cloud};
use crate::devices::Devices;

/// Version of the topics and payloads.
const SCHEMA: u32 = 1;

/// State of a thermostat as JSON: confirmed values, `null` for what is unknown.
pub(crate) fn state(thermostat: &Thermostat<'_>) -> Document {
    let state = thermostat.state;
    let mut json = Document::default();
    json.put("temperature", state.temperature().map(|field| tenths(field.value.as_degrees())));
    json.put("temperature_f", state.temperature().map(|field| fahrenheit_tenths(field.value)));
    json.put("floor_temperature", state.floor_temperature().map(|field| tenths(field.value.as_degrees())));
    json.put("humidity", state.humidity().map(|field| tenths(field.value.as_percent())));
    json.put("setpoint", state.setpoint().map(|field| field.value.as_degrees()));
    json.put("setpoint_f", state.setpoint().map(|field| whole_fahrenheit(field.value)));
    json.put("mode", state.mode().map(|field| field.value).filter(|mode| is_named(*mode)).map(Mode::name));
    json.put("action", action(thermostat));
    json.put("preset_mode", state.hold().and_then(|field| preset(field.value)));
    json.put("hold_until", state.hold().and_then(|field| hold_until(field.value)));
    json.put("fan_mode", state.fan().and_then(|field| field.value.name()));
    json.put("swing_mode", state.swing_vertical().and_then(|field| field.value.name()));
    json.put("swing_horizontal_mode", state.swing_horizontal().and_then(|field| field.value.name()));
    json.put("duty_cycle", thermostat.duty.map(|duty| tenths(duty.as_fraction() * 100.0)));
    json.put("current", state.current().map(|field| hundredths(field.value.as_amperes())));
    json.put("voltage", state.voltage().map(|field| tenths(field.value.as_volts())));
    json.put("power", thermostat.power.watts().map(|watts| tenths(watts.as_watts())));
    json.put("power_basis", thermostat.power.basis());
    json.put("lock", state.lock().map(|field| field.value));
    let brightness = state.brightness().map(|field| field.value);
    json.put("brightness_active", brightness.and_then(|brightness| brightness.active));
    json.put("brightness_idle", brightness.and_then(|brightness| brightness.idle));
    json.put("tracked_sensor", state.tracked_sensor().map(|field| field.value.to_string()));
    json.put("signal", state.signal().map(|field| field.value));
    json.put("connected", state.connected().map(|field| field.value));
    json
}

/// Facts about a thermostat and its connection as JSON. `last_seen` is the only value that changes with every message.
pub(crate) fn attributes(thermostat: &Thermostat<'_>, last_seen: Option<UnixTime>) -> Vec<u8> {
    let mut json = Document::default();
    json.put("id", thermostat.id.as_str());
    json.put("name", thermostat.name);
    json.put("model", thermostat.model.as_str());
    json.put("family", thermostat.model.family().map(Family::name));
    json.put("last_seen", last_seen.and_then(iso));
    json.put("source", source(thermostat.link));
    let firmware = thermostat.firmware;
    json.put("firmware", firmware.and_then(|firmware| version(firmware.installed)));
    json.put("firmware_newest", firmware.and_then(|firmware| version(firmware.newest?)));
    json.put("power_basis", thermostat.power.basis());
    let pending = thermostat.pending;
    json.put("pending", (!pending.is_empty()).then(|| pending.to_string()));
    json.into_bytes()
}

/// Service levels and counts as JSON, for all accounts together and for each.
pub(crate) fn bridge(accounts: &Accounts, devices: &Devices, has_other_bridge: bool) -> Document {
    let mut json = Document::default();
    json.put("schema", SCHEMA).put("version", env!("CARGO_PKG_VERSION"));
    json.put("other_bridge", has_other_bridge);
    // The levels are in the order of what is missing.
    let worst = accounts.clouds().filter_map(|(_, cloud)| cloud).min_by_key(|cloud| Reverse(cloud.level));
    put_service(&mut json, worst, devices.availability().map(|(_, online)| online));
    let each = accounts.clouds().map(|(account, cloud)| {
        let mut json = Document::default();
        json.put("account", account.number());
        let own = devices.availability().filter(|(owner, _)| *owner == account);
        put_service(&mut json, cloud, own.map(|(_, online)| online));
        json.into_value()
    });
    json.put("accounts", each.collect::<Vec<_>>());
    json
}

/// Adds a service level, and the numbers of the thermostats with these availabilities.
fn put_service(json: &mut Document, cloud: Option<Cloud>, devices: impl Iterator<Item = Option<bool>>) {
    json.put("cloud", cloud.map(|cloud| level_name(cloud.level)));
    json.put("reason", cloud.map(|cloud| cloud.reason.to_string()));
    json.put("since", cloud.and_then(|cloud| iso(cloud.since.wall)));
    let (mut count, mut available) = (0_usize, 0_usize);
    for online in devices {
        count += 1;
        available += usize::from(online == Some(true));
    }
    json.put("devices", count);
    json.put("available", available);
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Live => "live",
        Level::Partial => "partly_live",
        Level::ReadOnly => "read_only",
        Level::RestOnly => "rest_only",
        Level::Offline => "offline",
        Level::SignInNeeded => "sign_in_needed",
    }
}

/// Source of the state. It has the inertia of [`Link`], so that a reading by REST beside the messages does not show.
const fn source(link: Link) -> Option<&'static str> {
    match link {
        Link::Live => Some("mqtt"),
        Link::Rest => Some("rest"),
        Link::Silent | Link::Unreachable | Link::Unseen => None,
    }
}

/// Longest version of a firmware, in bytes.
const MAX_VERSION: usize = 64;

/// Version of a firmware. `None` for a text that cannot be one.
pub(crate) fn version(text: &str) -> Option<&str> {
    let is_version = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    (!text.is_empty() && text.len() <= MAX_VERSION && text.bytes().all(is_version)).then_some(text)
}

/// Present activity. `None` if it is unknown: an air conditioner does not report whether it runs.
fn action(thermostat: &Thermostat<'_>) -> Option<&'static str> {
    let state = thermostat.state;
    let heats = match (thermostat.duty, state.heating()) {
        (Some(duty), _) => Some(duty.as_fraction() > 0.0),
        (None, relay) => relay.map(|field| field.value),
    };
    match state.mode()?.value {
        // A duty cycle may lag behind the mode; only one that lasts counts as heating.
        Mode::Off if state.contradiction().is_some() => Some("heating"),
        Mode::Off => Some("off"),
        Mode::Heat => heats.map(|heats| if heats { "heating" } else { "idle" }),
        Mode::Dry => Some("drying"),
        Mode::FanOnly => Some("fan"),
        _ => None,
    }
}

/// `true` if Home Assistant has a name for the mode.
fn is_named(mode: Mode) -> bool {
    matches!(mode, Mode::Off | Mode::Auto | Mode::Heat | Mode::Cool | Mode::FanOnly | Mode::Dry)
}

fn preset(hold: Hold) -> Option<&'static str> {
    match hold {
        Hold::FollowSchedule => Some("schedule"),
        Hold::Permanent | Hold::Until(_) => Some("hold"),
        Hold::FollowOrUntil => None,
    }
}

fn hold_until(hold: Hold) -> Option<String> {
    match hold {
        Hold::Until(end) => iso(end),
        _ => None,
    }
}

/// Formats an instant as `2026-01-02T03:04:05Z`. `None` outside the years that the format has.
pub(crate) fn iso(at: UnixTime) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(at.as_secs())
        .ok()
        .filter(|at| (0..=9999).contains(&at.year()))?;
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    Some(alloc::format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month)))
}

/// Nearest whole degree Fahrenheit. In steps of 0.5 °C, every whole degree has a step of its own.
pub(crate) fn whole_fahrenheit(value: Celsius) -> i32 {
    (value.as_hundredths() * 9 + 16_250).div_euclid(500)
}

/// Degrees Fahrenheit, rounded to tenths.
fn fahrenheit_tenths(value: Celsius) -> f64 {
    tenths(value.to_fahrenheit())
}

fn tenths(value: f64) -> f64 {
    rounded(value, 10.0)
}

fn hundredths(value: f64) -> f64 {
    rounded(value, 100.0)
}

fn rounded(value: f64, scale: f64) -> f64 {
    let half = if value < 0.0 { -0.5 } else { 0.5 };
    // Saturates, and NaN becomes 0; the units of mysa-proto hold neither.
    (value * scale + half) as i64 as f64 / scale
}

/// JSON object under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document(Map<String, Value>);

impl Document {
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(name.into(), value.into());
        self
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.into_value().to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_whole_degree_fahrenheit_is_shown_as_it_was_typed() {
        let half = Celsius::from_hundredths(50);
        for typed in 41..=86 {
            let sent = Celsius::from_fahrenheit(f64::from(typed)).unwrap().to_step(half);
            assert_eq!(whole_fahrenheit(sent), typed);
        }
        assert_eq!(whole_fahrenheit(Celsius::from_hundredths(-4_000)), -40);
        assert_eq!(whole_fahrenheit(Celsius::from_hundredths(0)), 32);
    }

    #[test]
    fn numbers_are_rounded_half_away_from_zero() {
        assert_eq!([20.55, 20.449, -0.26, 0.0].map(tenths), [20.6, 20.4, -0.3, 0.0]);
        assert_eq!(hundredths(6.254_9), 6.25);
        assert_eq!(fahrenheit_tenths(Celsius::from_hundredths(2_055)), 69.0);
    }

    #[test]
    fn instants_are_in_utc() {
        assert_eq!(iso(UnixTime::from_secs(1_767_323_045)).as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(iso(UnixTime::from_millis(i64::MAX)), None);
    }
}
