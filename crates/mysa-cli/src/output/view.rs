//! A thermostat as a record for programs and as a table row for people.

use std::time::Duration;

pub(crate) use mysa_explain::sensor_name;
use mysa_proto::{Celsius, Family, Field, Hold, Power, Source, Watts};
use mysa_tokio::DeviceView;

use crate::output::record::{Record, Value, printable};
use crate::output::temperature;
use crate::output::timefmt;
use crate::support::config::Unit;
use crate::support::time_zone::Zone;

/// Name of a thermostat, or its id if it has none, escaped for a terminal.
pub(crate) fn label(view: &DeviceView) -> String {
    printable(&view.label())
}

/// Describes a hold, with its end in a time zone, or else in UTC as a standard text.
pub(crate) fn hold(hold: Hold, zone: Option<&Zone>) -> String {
    match (hold, zone) {
        (Hold::Until(end), Some(zone)) => format!("until {}", zone.show(end)),
        (Hold::Until(end), None) => format!("until {}", timefmt::iso(end)),
        (hold, _) => hold.to_string(),
    }
}

/// Currency of a thermostat's state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    /// MQTT delivers its messages.
    Live,
    /// REST shows its state, but MQTT delivers no messages.
    Rest,
    /// The thermostat has not reported for longer than the report interval allows.
    Silent,
    /// The cloud reports that it lost the connection to the thermostat.
    Offline,
    /// The thermostat has not reported yet.
    Unseen,
    /// Neither MQTT nor REST can be reached.
    Unreachable,
}

impl Link {
    pub(crate) fn of(view: &DeviceView) -> Self {
        if view.state.connected().is_some_and(|field| !field.value) {
            Self::Offline
        } else {
            match view.link {
                mysa_tokio::Link::Live => Self::Live,
                mysa_tokio::Link::Rest => Self::Rest,
                mysa_tokio::Link::Silent => Self::Silent,
                mysa_tokio::Link::Unreachable => Self::Unreachable,
                mysa_tokio::Link::Unseen => Self::Unseen,
            }
        }
    }

    /// Returns `true` if the state shown is the thermostat's last report, as far as is known.
    pub(crate) const fn is_current(self) -> bool {
        matches!(self, Self::Live | Self::Rest)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Rest => "REST",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Offline => "offline",
            Self::Unseen => "unseen",
        }
    }

    /// Describes the link, to follow "NAME is LINK:".
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Live => "it reports as often as expected",
            Self::Rest => "REST shows its state, but MQTT delivers no messages",
            Self::Unreachable => "neither MQTT nor REST can be reached",
            Self::Silent => "it has not reported for longer than expected",
            Self::Offline => "the cloud reports that it lost the connection",
            Self::Unseen => "it has not reported yet",
        }
    }
}

/// Whole state for programs, by stable names. Unknown values are `null`.
pub(crate) fn record(view: &DeviceView, age: Option<Duration>, rated: Option<Watts>) -> Record {
    let state = &view.state;
    let power = view.power(rated);
    let mut record = Record::new();
    record.put("id", view.id.as_str()).put("name", view.name.as_deref()).put("model", view.model.as_str());
    let differs = view.record_model != view.model;
    record.put_some("record_model", differs.then(|| view.record_model.as_str()));
    record.put("family", view.model.family().map(Family::name));
    record.put("link", Link::of(view).name()).put("age_s", age.map(|age| tenths(age.as_secs_f64())));
    record.put("temperature_c", state.temperature().map(|field| field.value.as_degrees()));
    record.put("setpoint_c", state.setpoint().map(|field| field.value.as_degrees()));
    record.put("humidity_pct", state.humidity().map(|field| field.value.as_percent()));
    record.put("mode", state.mode().map(|field| field.value.to_string()));
    record.put("duty_pct", view.duty().map(|field| tenths(field.value.as_fraction() * 100.0)));
    record
        .put("power_w", power.watts().map(|watts| tenths(watts.as_watts())))
        .put("power_basis", power.basis());
    record.put("rated_power_w", rated.map(Watts::as_watts));
    let floor = state.floor_temperature().map(|field| field.value.as_degrees());
    let sensor = state.tracked_sensor().map(|field| sensor_name(field.value));
    if view.model.family() == Some(Family::InFloor) {
        record.put("floor_temperature_c", floor).put("tracked_sensor", sensor);
    } else {
        record.put_some("floor_temperature_c", floor).put_some("tracked_sensor", sensor);
    }
    record.put_some("heating", state.heating().map(|field| field.value));
    record.put_some("current_a", state.current().map(|field| field.value.as_amperes()));
    record.put_some("voltage_v", state.voltage().map(|field| field.value.as_volts()));
    record.put_some("locked", state.lock().map(|field| field.value));
    record.put_some("hold", state.hold().map(|field| hold(field.value, None)));
    record.put_some("fan", state.fan().map(|field| field.value.to_string()));
    record.put_some("signal_dbm", state.signal().map(|field| i64::from(field.value)));
    record.put("fields", fields(view, age));
    if !view.pending.is_empty() {
        record.put("pending", view.pending.to_string());
    }
    record
}

/// Age and source of each field, by the names of [`record`].
fn fields(view: &DeviceView, age: Option<Duration>) -> Record {
    let state = &view.state;
    // The age continued to grow after the view was made.
    let later = age.zip(view.last_seen_ago).map_or(Duration::ZERO, |(age, seen)| age.saturating_sub(seen));
    let now = view.taken_at.saturating_add(later);
    let mut fields = Record::new();
    put_field(&mut fields, "temperature_c", state.temperature(), now);
    put_field(&mut fields, "setpoint_c", state.setpoint(), now);
    put_field(&mut fields, "humidity_pct", state.humidity(), now);
    put_field(&mut fields, "mode", state.mode(), now);
    put_field(&mut fields, "duty_pct", view.duty(), now);
    put_field(&mut fields, "floor_temperature_c", state.floor_temperature(), now);
    put_field(&mut fields, "tracked_sensor", state.tracked_sensor(), now);
    put_field(&mut fields, "heating", state.heating(), now);
    put_field(&mut fields, "current_a", state.current(), now);
    put_field(&mut fields, "voltage_v", state.voltage(), now);
    put_field(&mut fields, "locked", state.lock(), now);
    put_field(&mut fields, "hold", state.hold(), now);
    put_field(&mut fields, "fan", state.fan(), now);
    put_field(&mut fields, "signal_dbm", state.signal(), now);
    fields
}

fn put_field<T>(fields: &mut Record, name: &str, field: Option<Field<T>>, now: Duration) {
    let Some(Field { source, at, received, .. }) = field else { return };
    // A value from the thermostat is as old as its arrival; a value kept by the cloud is as old as the cloud states.
    let kept = at.filter(|_| !source.is_device()).and_then(|at| received.wall.since(at));
    let age = now.saturating_sub(received.mono).saturating_add(kept.unwrap_or_default());
    let mut record = Record::new();
    // A record of the account has no times.
    let known = at.is_some() || source.is_device();
    record.put("age_s", known.then(|| tenths(age.as_secs_f64()))).put("source", source_name(source));
    fields.put(name, Value::Record(record));
}

pub(crate) const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Boot | Source::Status | Source::SetpointChange => "mqtt",
        Source::Ack => "mqtt-ack",
        Source::Retained => "mqtt-retained",
        Source::RestRecord => "rest-record",
        Source::RestState => "rest",
        Source::Structured => "rest-structured",
    }
}

/// Column heads of [`row`].
pub(crate) const HEADS: [&str; 9] = ["NAME", "ROOM", "SET", "HUM", "MODE", "DUTY", "POWER", "AGE", "LINK"];

/// Columns that a narrow terminal drops, in this order: humidity, duty, age, mode.
pub(crate) const DROP_ORDER: [usize; 4] = [3, 5, 7, 4];

/// One row of the table.
pub(crate) fn row(view: &DeviceView, age: Option<Duration>, rated: Option<Watts>, unit: Unit) -> Vec<String> {
    let state = &view.state;
    let shown = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    vec![
        label(view),
        describe_temperatures(view, unit),
        describe_setpoint(view, unit),
        shown(state.humidity().map(|field| format!("{:.0} %", field.value.as_percent()))),
        shown(state.mode().map(|field| field.value.to_string())),
        shown(view.duty().map(|field| format!("{:.0} %", field.value.as_fraction() * 100.0))),
        describe_power(view.power(rated)),
        shown(age.map(describe_age)),
        Link::of(view).name().to_owned(),
    ]
}

/// Formats the room temperature, and that of the floor where there is one: `18.4 °C, floor 24.1 °C`.
fn describe_temperatures(view: &DeviceView, unit: Unit) -> String {
    let show = |field: Option<Field<Celsius>>| field.map(|field| temperature::show(field.value, unit));
    let room = show(view.state.temperature()).unwrap_or_else(|| "-".into());
    match show(view.state.floor_temperature()) {
        Some(floor) => format!("{room}, floor {floor}"),
        None => room,
    }
}

/// Formats the setpoint, with the sensor that it applies to where there are two: `25.0 °C floor`.
fn describe_setpoint(view: &DeviceView, unit: Unit) -> String {
    let Some(setpoint) = view.state.setpoint() else { return "-".into() };
    let setpoint = temperature::show(setpoint.value, unit);
    match view.state.tracked_sensor().map(|field| field.value) {
        Some(sensor) => format!("{setpoint} {}", sensor_name(sensor)),
        None => setpoint,
    }
}

/// Formats `750 W measured`, or `unknown`. A number is never shown without its basis.
pub(crate) fn describe_power(power: Power) -> String {
    match power.watts() {
        Some(watts) => format!("{:.0} W {}", watts.as_watts(), power.basis()),
        None => power.basis().to_owned(),
    }
}

pub(crate) fn describe_age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds @ 100..6_000 => format!("{} min", seconds / 60),
        seconds @ 6_000..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
