//! A message of a thermostat as a record.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use mysa_proto::{
    BatchReadings, Body, Celsius, ControlState, Danger, DecodeError, EventKind, Message, MessageForm, Mode,
    ModeTable, Topic, TopicKind, TrackedSensor, Trigger,
};

use crate::batch;
use crate::number::round;
use crate::record::{Record, Value};
use crate::time_text::iso;

/// Explains a payload. Without a topic, its kind is guessed from the payload.
pub(crate) fn explain(
    topic: Option<Topic>,
    payload: &[u8],
    table: &ModeTable,
) -> Result<Record, DecodeError> {
    let kind = topic.map_or_else(|| guess_topic(payload), |topic| topic.kind);
    let message = Message::decode(kind, payload)?;
    let mut record = Record::new();
    record.put("message", name(&message));
    record.put("form", form(message.envelope.form)).put_some("number", message.envelope.number);
    record.put("direction", direction(kind));
    envelope(&message, topic, &mut record);
    body(&message.body, table, &mut record);
    if let Some(danger) = message.danger() {
        record.put("danger", describe_danger(danger));
    }
    let mut unknown = Record::new();
    if matches!(message.body, Body::Unknown) {
        match message.raw_body {
            Some(raw) => record.put("raw_body", Value::from_raw(raw)),
            None => record.put("raw", Value::from_raw(message.raw)),
        };
    } else {
        for (name, value) in message.unknown_fields() {
            unknown.put(&name.to_string(), Value::from_raw(value));
        }
    }
    if !unknown.is_empty() {
        record.put("unknown_fields", unknown);
    }
    Ok(record)
}

/// Guesses the topic of a payload: commands name their recipient, and the legacy requests are known by number.
fn guess_topic(payload: &[u8]) -> TopicKind {
    let Some(seen) = Message::salvage(TopicKind::Out, payload) else { return TopicKind::Out };
    let to_device = match seen.form {
        MessageForm::Legacy => matches!(seen.number, Some(6 | 7 | 11 | 40)),
        MessageForm::Mcm => seen.src_type.is_some_and(|source| source != 1),
        MessageForm::Bare => false,
    };
    match (seen.form, seen.number) {
        _ if to_device => TopicKind::In,
        (MessageForm::Mcm, Some(3)) => TopicKind::Batch,
        _ => TopicKind::Out,
    }
}

fn direction(kind: TopicKind) -> &'static str {
    match kind {
        TopicKind::In => "to the thermostat",
        TopicKind::Out | TopicKind::Batch => "from the thermostat",
    }
}

fn form(form: MessageForm) -> &'static str {
    match form {
        MessageForm::Mcm => "msg",
        MessageForm::Legacy => "MsgType",
        MessageForm::Bare => "bare",
    }
}

fn name(message: &Message<'_>) -> &'static str {
    match &message.body {
        Body::V1Status(_) => "v1_status",
        Body::SetpointChange(_) => "setpoint_change",
        Body::Log(_) => "log",
        Body::EchoReply(_) => "echo_reply",
        Body::Event(event) => match event.kind() {
            Some(EventKind::SettingsCheck) => "settings_check",
            Some(EventKind::FirmwareTrigger) => "firmware_trigger",
            Some(EventKind::Echo) => "echo_request",
            _ => "event",
        },
        Body::Reboot => "reboot",
        Body::Boot(_) => "boot",
        Body::LiveReport(_) => "live_report_request",
        Body::StatusCheck => "status_check",
        Body::PairingReset(_) => "pairing_reset",
        Body::BatchReadings(_) => "batch_readings",
        Body::FloorLine(_) => "floor_line",
        Body::FloorStatus(_) => "floor_status",
        Body::AcStatus(_) => "ac_status",
        Body::AcState(_) => "ac_state",
        Body::Schedule(_) => "schedule",
        Body::Status(_) => "status",
        Body::Command(_) => "command",
        Body::Ack(_) => "ack",
        Body::Firmware(_) => "firmware",
        _ => "unknown",
    }
}

fn describe_danger(danger: Danger) -> &'static str {
    match danger {
        Danger::Unpairs => "makes the thermostat forget its account",
        Danger::Restarts => "restarts the thermostat",
        Danger::UpdatesFirmware => "starts a firmware update",
        Danger::ReplacesSchedule => "replaces the schedule",
        _ => "dangerous",
    }
}

fn envelope(message: &Message<'_>, topic: Option<Topic>, record: &mut Record) {
    let seen = &message.envelope;
    record.put_some("device", seen.device.or(topic.map(|topic| topic.device)).map(|id| id.to_string()));
    if let (Some(named), Some(topic)) = (seen.device, topic)
        && named != topic.device
    {
        record.put("topic_device", topic.device.to_string());
    }
    record.put_some("time", seen.time.map(iso));
    // As text, because many JSON readers round numbers beyond 2^53.
    record.put_some("message_id", seen.id.map(|id| id.to_string()));
    record.put_some("answers_message_id", seen.resp_id.map(|id| id.to_string()));
    if let Some(kind) = seen.src_type {
        record.put(
            "source",
            match kind {
                1 => "thermostat".to_owned(),
                100 => "app".into(),
                302 => "schedule service".into(),
                other => format!("type {other}"),
            },
        );
        if kind != 1 {
            record.put_some(
                "source_ref",
                seen.src_ref.filter(|name| !name.is_empty()).map(|name| name.to_string()),
            );
        }
    }
}

fn body(body: &Body<'_>, table: &ModeTable, record: &mut Record) {
    match body {
        Body::V1Status(status) => {
            record.put_some("temperature_c", status.ambient.map(degrees));
            record.put_some("sensor_temperature_c", status.sensor.map(degrees));
            record.put_some("thermistor_temperature_c", status.thermistor.map(degrees));
            record.put_some("setpoint_c", status.setpoint.map(degrees));
            record.put_some("humidity_pct", status.humidity.map(mysa_proto::RelativeHumidity::as_percent));
            record.put_some("current_a", status.current.map(mysa_proto::Amperes::as_amperes));
            record.put_some("stream", status.stream);
        }
        Body::SetpointChange(change) => {
            record.put_some("previous_setpoint_c", change.previous.map(degrees));
            record.put_some("setpoint_c", change.next.map(degrees));
            record.put_some("changed_by", change.trigger().map(describe_trigger));
        }
        Body::Log(log) => {
            record.put_some("level", log.level.map(|level| level.to_string()));
            record.put_some("text", log.message.map(|text| text.to_string()));
            record.put_some("firmware", log.firmware());
        }
        Body::EchoReply(reply) => drop(record.put_some("echo_id", reply.echo_id)),
        Body::Event(event) => {
            record.put_some("event_type", event.event_type).put_some("echo_id", event.echo_id);
        }
        Body::Boot(boot) => {
            record.put_some("boot_time", boot.time.map(iso)).put_some("boot_count", boot.count);
            record.put_some("firmware", boot.firmware.map(|version| version.to_string()));
            record.put_some("ip", boot.ip.map(|ip| ip.to_string()));
        }
        Body::LiveReport(report) => drop(record.put_some("timeout_s", report.timeout_secs)),
        Body::PairingReset(reset) => drop(record.put_some("echo_id", reset.echo_id)),
        Body::BatchReadings(message) => match BatchReadings::from_message(message) {
            Ok(readings) => batch::put(&readings, record),
            Err(error) => {
                record.put("problem", error.to_string());
                record.put_some("readings_base64", message.readings.map(|text| text.to_string()));
            }
        },
        Body::FloorLine(line) => {
            record.put_some("line_voltage_v", line.line_voltage.map(mysa_proto::Volts::as_volts));
            record.put_some(
                "previous_line_voltage_v",
                line.previous_line_voltage.map(mysa_proto::Volts::as_volts),
            );
            record.put_some("average_mv", line.average_millivolts).put_some("gfci_status", line.gfci_status);
            record.put_some("untrusted_duty_pct", line.untrusted_duty.map(percent));
        }
        Body::FloorStatus(status) => {
            record.put_some("temperature_c", status.ambient.map(degrees));
            record.put_some("floor_temperature_c", status.floor.map(degrees));
            record.put_some("setpoint_c", status.setpoint.map(degrees));
            record.put_some("humidity_pct", status.humidity.map(mysa_proto::RelativeHumidity::as_percent));
            record.put_some("heating", status.heating);
            record.put_some("tracked_sensor", status.tracked_sensor.map(describe_sensor));
            record.put_some("line_voltage_v", status.line_voltage.map(mysa_proto::Volts::as_volts));
            record.put_some("untrusted_duty_pct", status.untrusted_duty.map(percent));
        }
        Body::Status(status) => {
            record.put_some("temperature_c", status.ambient.map(degrees));
            record.put_some("floor_temperature_c", status.floor.map(degrees));
            record.put_some("setpoint_c", status.setpoint.map(degrees));
            record.put_some("humidity_pct", status.humidity.map(mysa_proto::RelativeHumidity::as_percent));
            record.put_some("duty_pct", status.duty.map(percent));
            record.put_some("heating", status.heating);
            record.put_some("tracked_sensor", status.tracked_sensor.map(describe_sensor));
            record.put_some("line_voltage_v", status.line_voltage.map(mysa_proto::Volts::as_volts));
        }
        Body::AcStatus(status) => {
            record.put_some("temperature_c", status.ambient.map(degrees));
            record.put_some("setpoint_c", status.setpoint.map(degrees));
            record.put_some("humidity_pct", status.humidity.map(mysa_proto::RelativeHumidity::as_percent));
            mode(status.mode, table, record);
            record.put_some("fan_code", status.fan).put_some("vertical_swing_code", status.swing);
        }
        Body::AcState(state) => {
            record.put_some("power_code", state.power);
            mode(state.mode, table, record);
            record.put_some("setpoint_c", state.setpoint.map(degrees));
            record.put_some("fan_code", state.fan).put_some("vertical_swing_code", state.swing);
        }
        Body::Schedule(schedule) => {
            record.put_some("schedule_version", schedule.version.map(|text| text.to_string()));
            record.put_some("hash", schedule.hash.map(|text| text.to_string()));
            record.put_some("total_events", schedule.total_events);
            record.put("partial", schedule.is_partial()).put("deletes", schedule.is_delete());
            record.put_some("created", schedule.created.map(iso));
            let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
            let events = schedule.events().map(|event| {
                let (hour, minute) = event.hour_and_minute();
                let mut record = Record::new();
                let day = days.get(usize::from(event.weekday())).copied().unwrap_or_default();
                record.put("when", format!("{day} {hour:02}:{minute:02}"));
                mode(event.mode, table, &mut record);
                record.put_some("setpoint_c", event.setpoint.map(degrees));
                Value::Record(record)
            });
            record.put("events", events.collect::<Vec<_>>());
        }
        Body::Command(command) => {
            record.put_some("body_type", command.body_type);
            let changes = command.changes.iter().flat_map(|changes| changes.iter().collect::<Vec<_>>());
            let changes = changes.map(|entry| {
                let mut record = control(&entry.control, table);
                if entry.tm.is_some_and(|tm| tm != -1) {
                    record.put_some("tm", entry.tm);
                }
                Value::Record(record)
            });
            record.put("changes", changes.collect::<Vec<_>>());
        }
        Body::Ack(ack) => {
            record
                .put_some("success", ack.success)
                .put_some("changed_by", ack.trigger().map(describe_trigger));
            record.put_some("body_type", ack.body_type);
            record.put_some("state", ack.state.map(|state| control(&state, table)));
        }
        Body::Firmware(report) => {
            record.put_some("firmware", report.version.map(|version| version.to_string()));
        }
        _ => {}
    }
}

fn control(state: &ControlState, table: &ModeTable) -> Record {
    let mut record = Record::new();
    record.put_some("setpoint_c", state.setpoint.map(degrees));
    mode(state.mode, table, &mut record);
    record.put_some(
        "hold",
        state.hold.map(|hold| match hold {
            1 => "follows the schedule".to_owned(),
            2 => "held".into(),
            other => format!("code {other}"),
        }),
    );
    record.put_some("locked", state.lock);
    if let Some(brightness) = state.brightness {
        record.put_some("brightness_auto", brightness.auto);
        record.put_some("brightness_active_pct", brightness.active);
        record.put_some("brightness_idle_pct", brightness.idle);
        record.put_some("brightness_active_s", brightness.active_seconds);
        record.put_some("brightness_idle_s", brightness.idle_seconds);
    }
    record.put_some("proximity", state.proximity);
    record.put_some("tracked_sensor", state.tracked_sensor.map(describe_sensor));
    record.put_some("fan_code", state.fan);
    record.put_some("vertical_swing_code", state.swing_vertical);
    record.put_some("horizontal_swing_code", state.swing_horizontal);
    record.put_some("climate_plus", state.climate_plus);
    record
}

/// Adds the number of a mode, and its name where the model cannot change its meaning: 5 is *fan only* on an air
/// conditioner and *heat* on an in-floor thermostat, and a payload does not state its model.
fn mode(number: Option<i64>, table: &ModeTable, record: &mut Record) {
    let Some(number) = number else { return };
    match table.mode_of(number, None) {
        Mode::Other(_) => {}
        Mode::FanOnly => drop(record.put("mode", "fan_only, or heat on an in-floor thermostat")),
        named => drop(record.put("mode", named.name())),
    }
    record.put("mode_number", number);
}

fn degrees(celsius: Celsius) -> f64 {
    celsius.as_degrees()
}

fn percent(duty: mysa_proto::DutyCycle) -> f64 {
    round(duty.as_fraction() * 10_000.0) / 100.0
}

fn describe_trigger(trigger: Trigger) -> String {
    match trigger {
        Trigger::Button => "a button".into(),
        Trigger::App => "the app".into(),
        Trigger::Other(number) => format!("source {number}"),
        _ => "somebody".into(),
    }
}

/// Name of the sensor that an in-floor thermostat regulates by. The protocol calls the one in the air ambient.
#[must_use]
pub const fn sensor_name(sensor: TrackedSensor) -> &'static str {
    match sensor {
        TrackedSensor::Floor => "floor",
        TrackedSensor::Ambient => "room",
    }
}

fn describe_sensor(number: i64) -> String {
    match TrackedSensor::from_number(number) {
        Some(sensor) => sensor_name(sensor).to_owned(),
        None => format!("code {number}"),
    }
}
