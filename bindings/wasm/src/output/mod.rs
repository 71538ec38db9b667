//! Modules that the shared source of `mysa decode` names by these paths.

#[path = "../../../../crates/mysa-cli/src/output/record.rs"]
#[allow(dead_code, reason = "the command prints records as text too")]
pub(crate) mod record;

/// Times, as the command writes them.
pub(crate) mod timefmt {
    use mysa_proto::UnixTime;

    /// Formats a time as RFC 3339 in UTC, with whole seconds.
    pub(crate) fn iso(time: UnixTime) -> String {
        let Ok(at) = time::OffsetDateTime::from_unix_timestamp(time.as_secs()) else {
            return time.to_string();
        };
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        format!("{year}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
    }
}

/// Names, as the command writes them.
pub(crate) mod view {
    use mysa_proto::TrackedSensor;

    /// Names the sensor that a thermostat follows.
    pub(crate) const fn sensor_name(sensor: TrackedSensor) -> &'static str {
        match sensor {
            TrackedSensor::Floor => "floor",
            TrackedSensor::Ambient => "room",
        }
    }
}
