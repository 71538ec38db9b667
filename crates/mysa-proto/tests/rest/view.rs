//! Decoded bodies in the form of the vectors.

use std::collections::BTreeMap;

use mysa_proto::rest::*;
use mysa_proto::{ModeTable, TrackedSensor, UnixTime};
use serde_json::{Value as Json, json};

use crate::NOW;

pub(crate) fn number(value: Option<f64>) -> Json {
    value.map_or(Json::Null, |value| json!(value))
}

pub(crate) fn record(record: &DeviceRecord) -> Json {
    let ac = record.ac_capabilities.as_ref();
    let fans: BTreeMap<String, Vec<u8>> = ac
        .into_iter()
        .flat_map(|ac| &ac.modes)
        .map(|mode| {
            (mode.number.to_string(), mode.fan_speeds.iter().flatten().map(|fan| fan.code()).collect())
        })
        .collect();
    json!({
        "model": record.model,
        "name": record.name,
        "home": record.home.as_ref().map(ResourceId::as_str),
        "zone": record.zone.as_ref().map(ResourceId::as_str),
        "max_current_a": number(record.max_current.map(|current| current.as_amperes())),
        "voltage_v": number(record.voltage.map(|voltage| voltage.as_volts())),
        "min_setpoint_c": number(record.min_setpoint.map(|limit| limit.as_degrees())),
        "max_setpoint_c": number(record.max_setpoint.map(|limit| limit.as_degrees())),
        "locked": record.locked,
        "eco": record.eco,
        "format": record.display_unit.map(|unit| format!("{unit:?}").to_lowercase()),
        "duty_cycle_opt": record.heater_profile,
        "auto_brightness": record.auto_brightness,
        "proximity": record.proximity,
        "temp_offset_c": number(record.temperature_offset.map(|offset| offset.as_degrees())),
        "tracked_sensor": tracked(record.tracked_sensor),
        "code_num": record.code_number,
        "fan_speeds_by_mode": fans,
    })
}

pub(crate) fn tracked(sensor: Option<TrackedSensor>) -> Json {
    match sensor {
        Some(TrackedSensor::Floor) => json!("floor"),
        Some(TrackedSensor::Ambient) => json!("ambient"),
        None => Json::Null,
    }
}

pub(crate) fn state(state: &DeviceStateEntry) -> Json {
    let secs = |at: Option<UnixTime>| at.map(UnixTime::as_secs);
    json!({
        "at_s": secs(state.at),
        "ambient_c": number(state.temperature.map(|reading| reading.value.as_degrees())),
        "sensor_c": number(state.sensor_temperature.map(|reading| reading.value.as_degrees())),
        "sensor_at_s": secs(state.sensor_temperature.and_then(|reading| reading.at)),
        "heatsink_c": number(state.heat_sink.map(|reading| reading.value.as_degrees())),
        "setpoint_c": number(state.setpoint.map(|reading| reading.value.as_degrees())),
        "humidity_pct": number(state.humidity.map(|reading| reading.value.as_percent())),
        "humidity_at_s": secs(state.humidity.and_then(|reading| reading.at)),
        "mode": state.mode_number.map(|reading| ModeTable::OBSERVED.mode_of(reading.value, None).name()),
        "duty": number(state.duty.map(|reading| reading.value.as_fraction())),
        "current_last_a": number(state.last_current.map(|reading| reading.value.as_amperes())),
        "line_v": number(state.voltage.map(|reading| reading.value.as_volts())),
        "connected": state.connected.map(|reading| reading.value),
        "connected_at_s": secs(state.connected.and_then(|reading| reading.at)),
        "connected_at_fresh": state.connected.is_some_and(|reading| reading.usable_time(NOW).is_some()),
        "hold_time": state.hold_time.map(|reading| reading.value),
        "rssi_dbm": state.signal.map(|reading| reading.value),
        "locked": state.locked.map(|reading| reading.value),
        "floor_c": number(state.floor_temperature.map(|reading| reading.value.as_degrees())),
        "tracked_sensor": tracked(state.tracked_sensor.map(|reading| reading.value)),
        "fan_raw": state.fan.map(|reading| reading.value.code()),
        "swing_v_raw": state.swing_vertical.map(|reading| reading.value.code()),
        "climate_plus": state.climate_plus.map(|reading| reading.value),
    })
}

pub(crate) fn structured(state: &StructuredState) -> Json {
    let telemetry = state.telemetry.clone().unwrap_or_default();
    let interface = state.interface.clone().and_then(|section| section.reported).unwrap_or_default();
    let identity = state.identity.clone().and_then(|section| section.reported).unwrap_or_default();
    let tracking = state.tracking.clone().and_then(|section| section.reported).unwrap_or_default();
    let modes = state.modes.clone().and_then(|section| section.reported).unwrap_or_default();
    let auto = state.target_auto.clone().and_then(|section| section.reported).unwrap_or_default();
    json!({
        "ambient_c": number(telemetry.temperature.map(|value| value.as_degrees())),
        "humidity_pct": number(telemetry.humidity.map(|value| value.as_percent())),
        "setpoint_c": number(state.setpoint().map(|reading| reading.value.as_degrees())),
        "mode": state.mode().map(|reading| reading.value.name()),
        "heating": state.is_heating(),
        "duty": number(telemetry.duty.map(|value| value.as_fraction())),
        "locked": interface.locked,
        "active_pct": interface.active_brightness,
        "idle_pct": interface.idle_brightness,
        "format": interface.display_unit.map(|unit| match unit {
            DisplayUnit::Celsius => "C",
            DisplayUnit::Fahrenheit => "F",
        }),
        "firmware": identity.firmware,
        "model": identity.model,
        "temp_offset_c": number(tracking.offset.map(|value| value.as_degrees())),
        "heater_profile": state.heater_profile,
        "at_s": telemetry.at.map(UnixTime::as_secs),
        "fan_shadow": modes.fan_mode,
        "swing_v": modes.swing_vertical.map(|swing| swing.code()),
        "swing_h": modes.swing_horizontal.map(|swing| swing.code()),
        "auto_heat_c": number(auto.heat.map(|value| value.as_degrees())),
        "auto_cool_c": number(auto.cool.map(|value| value.as_degrees())),
        "hvac_activity": modes.activity.map(|activity| match activity {
            HvacActivity::Cooling => "cool",
            HvacActivity::Heating => "heat",
            _ => "other",
        }),
        "measurement_fresh": state.is_measurement_fresh(NOW),
    })
}

pub(crate) fn range(range: Option<ValueRange>) -> Json {
    range.map_or(Json::Null, |range| {
        json!({
            "min": range.min.as_degrees(), "max": range.max.as_degrees(),
            "step": range.step.map(|step| step.as_degrees()),
        })
    })
}

pub(crate) fn history(body: &[u8]) -> Result<Json, BodyError> {
    let history = History::decode(body)?;
    let day = history.days.first().cloned().unwrap_or_default();
    Ok(json!({
        "days": history.days.len(),
        "on_s": history.heating().map(|heating| heating.as_secs()),
        "total_on_s": history.heating().map(|heating| heating.as_secs()),
        "kwh": number(history.energy().map(|energy| energy.as_kilowatt_hours())),
        "total_kwh": number(history.energy().map(|energy| energy.as_kilowatt_hours())),
        "avg_c": number(day.summary.temperature.map(|value| value.as_degrees())),
        "buckets": day.buckets.len(),
        "first_bucket_kwh": number(day.buckets.first().and_then(|b| b.energy).map(|e| e.as_kilowatt_hours())),
        "raw": day.raw.iter().filter(|raw| raw.setpoint.is_some() && raw.at.is_some()).count(),
    }))
}
