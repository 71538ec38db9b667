//! Thermostats, verdicts and the service level as dicts.

use std::time::Duration;

use mysa_proto::{Channel, DeviceState, Family};
use mysa_tokio::{DeviceView, Effect, Expired, Level, Link, Reason, Refused, Service, Verdict, Watts};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::change::to_dict;
use crate::convert::{Values, fan_name, hold, mode_name, seconds, swing_name, watts};

pub(super) const fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Mqtt => "mqtt",
        Channel::Structured => "structured",
    }
}

pub(super) fn service<'py>(
    py: Python<'py>,
    service: &Service,
    now: Duration,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(
        "level",
        match service.level {
            Level::Live => "live",
            Level::Partial => "partial",
            Level::ReadOnly => "read_only",
            Level::RestOnly => "rest_only",
            Level::Offline => "offline",
            Level::SignInNeeded => "sign_in_needed",
        },
    )?;
    dict.set_item("reason", service.reason.to_string())?;
    dict.set_item("is_healthy", service.reason == Reason::Healthy)?;
    dict.set_item("since", seconds(service.since_wall))?;
    dict.set_item("for_s", now.saturating_sub(service.since).as_secs_f64())?;
    Ok(dict)
}

pub(super) fn verdict<'py>(py: Python<'py>, verdict: &Verdict) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("text", verdict.to_string())?;
    match verdict {
        Verdict::Confirmed { by, after, effect } => {
            dict.set_item("by", by.name())?;
            dict.set_item("after_s", after.as_secs_f64())?;
            dict.set_item("changed", *effect == Effect::Changed)?;
        }
        Verdict::Unconfirmed { reached: stage, seen, after } => {
            dict.set_item("reached", stage.name())?;
            dict.set_item("seen", to_dict(py, seen)?)?;
            dict.set_item("after_s", after.as_secs_f64())?;
        }
        Verdict::Refused(refused) => {
            dict.set_item("reason", refused.to_string())?;
            dict.set_item(
                "refused_by",
                match refused {
                    Refused::Device => "thermostat",
                    Refused::Service { .. } => "service",
                    _ => "client",
                },
            )?;
            if let Refused::Service { status, retry_after } = refused {
                dict.set_item("status", *status)?;
                dict.set_item("retry_after", retry_after.map(|wait| wait.as_secs_f64()))?;
            }
        }
        Verdict::Superseded { reached: stage, .. } => {
            dict.set_item("reached", stage.as_ref().map(|stage| stage.name()))?;
        }
        Verdict::Expired(expired) => {
            dict.set_item(
                "reason",
                match expired {
                    Expired::Deadline => "deadline",
                    Expired::Cancelled => "cancelled",
                    Expired::ShutDown => "shut_down",
                    _ => "other",
                },
            )?;
        }
    }
    dict.set_item("outcome", verdict.kind().name())?;
    Ok(dict)
}

/// Describes a thermostat: what it is, its state, and the currency of that.
pub(super) fn device<'py>(
    py: Python<'py>,
    view: &DeviceView,
    now: Duration,
    rated: Option<f64>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("id", view.id.as_str())?;
    dict.set_item("name", view.label())?;
    dict.set_item("model", view.model.as_str())?;
    dict.set_item("family", view.model.family().map(Family::name))?;
    dict.set_item("home", view.home.as_deref())?;
    let is_offline = view.state.connected().is_some_and(|field| !field.value);
    dict.set_item(
        "link",
        match view.link {
            _ if is_offline => "offline",
            Link::Live => "live",
            Link::Rest => "rest",
            Link::Silent => "silent",
            Link::Unreachable => "unreachable",
            Link::Unseen => "unseen",
        },
    )?;
    dict.set_item("stale", view.stale)?;
    let age = view.last_seen_ago.map(|seen| seen.saturating_add(now.saturating_sub(view.taken_at)));
    dict.set_item("age_s", age.map(|age| age.as_secs_f64()))?;
    dict.set_item("pending", if view.pending.is_empty() { None } else { Some(to_dict(py, &view.pending)?) })?;
    let family = view.model.family();
    let range = family.and_then(|family| view.limits().setpoint_range(family, view.limits().mode));
    dict.set_item(
        "setpoint_range_c",
        range.map(|range| (range.min.as_degrees(), range.max.as_degrees(), range.step.as_degrees())),
    )?;
    dict.set_item(
        "state",
        values(view, watts(py, rated)?).call(py.import("mysa.models")?.getattr("State")?.as_any())?,
    )?;
    Ok(dict)
}

fn values(view: &DeviceView, rated: Option<Watts>) -> Values {
    let power = view.power(rated);
    Values {
        duty_cycle: view.duty().map(|field| field.value.as_fraction()),
        #[expect(clippy::cast_possible_truncation, reason = "a power is below a million watts")]
        power_w: power.watts().map(|watts| watts.as_watts().round() as i64),
        power_basis: power.watts().is_some().then(|| power.basis()),
        ..state_values(&view.state)
    }
}

/// Values of a state, without the power.
pub(crate) fn state_values(state: &DeviceState) -> Values {
    let held = state.hold().map(|field| hold(field.value));
    Values {
        temperature_c: state.temperature().map(|field| field.value.as_degrees()),
        humidity_pct: state.humidity().map(|field| field.value.as_percent()),
        setpoint_c: state.setpoint().map(|field| field.value.as_degrees()),
        duty_cycle: state.duty().map(|field| field.value.as_fraction()),
        mode: state.mode().map(|field| mode_name(field.value)),
        power_w: None,
        floor_temperature_c: state.floor_temperature().map(|field| field.value.as_degrees()),
        heating: state.heating().map(|field| field.value),
        current_a: state.current().map(|field| field.value.as_amperes()),
        voltage_v: state.voltage().map(|field| field.value.as_volts()),
        locked: state.lock().map(|field| field.value),
        hold: held.map(|(name, _)| name),
        hold_until: held.and_then(|(_, end)| end),
        fan: state.fan().map(|field| fan_name(field.value)),
        swing: state.swing_vertical().map(|field| swing_name(field.value)),
        horizontal_swing: state.swing_horizontal().map(|field| swing_name(field.value)),
        tracked_sensor: state.tracked_sensor().map(|field| field.value.to_string()),
        connected: state.connected().map(|field| field.value),
        signal_dbm: state.signal().map(|field| field.value),
        power_basis: None,
    }
}
