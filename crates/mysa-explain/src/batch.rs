//! Batch readings as records.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mysa_proto::{
    Amperes, BatchProblemKind, BatchReadings, BatchRecord, Celsius, DutyCycle, RelativeHumidity, Volts,
};

use crate::number::round;
use crate::record::{Record, Value};
use crate::time_text::iso;

/// First bytes of a record, in every version.
pub(crate) const MAGIC: [u8; 2] = [0xca, 0xa0];

/// Explains readings: one entry for each record, and one for each piece that is not a record.
pub(crate) fn explain(bytes: &[u8]) -> Vec<Record> {
    let batch = BatchReadings::decode(bytes);
    let mut records: Vec<Record> = batch.records.iter().map(reading).collect();
    records.extend(batch.problems.iter().map(|problem| {
        let mut record = Record::new();
        record
            .put("error", describe_problem(problem.kind))
            .put("offset_bytes", i64::try_from(problem.offset).unwrap_or(i64::MAX));
        record.put("raw_hex", hex::encode(&problem.raw));
        record
    }));
    records
}

/// Adds the readings of a batch message to its record.
pub(crate) fn put(batch: &BatchReadings, into: &mut Record) {
    into.put(
        "readings",
        batch.records.iter().map(|record| Value::Record(reading(record))).collect::<Vec<_>>(),
    );
    if !batch.problems.is_empty() {
        let problems = batch.problems.iter().map(|problem| {
            let mut record = Record::new();
            record.put("problem", describe_problem(problem.kind)).put("raw_hex", hex::encode(&problem.raw));
            Value::Record(record)
        });
        into.put("problems", problems.collect::<Vec<_>>());
    }
}

fn reading(reading: &BatchRecord) -> Record {
    let common = &reading.common;
    let mut record = Record::new();
    record.put("batch_version", reading.version().number()).put_some("time", common.time().map(iso));
    record.put_some("temperature_c", common.ambient().map(Celsius::as_degrees));
    record.put_some("sensor_temperature_c", common.sensor().map(Celsius::as_degrees));
    record.put_some("setpoint_c", common.setpoint().map(Celsius::as_degrees));
    record.put_some("humidity_pct", common.humidity().map(RelativeHumidity::as_percent));
    record.put_some("duty_pct", common.duty().map(|duty: DutyCycle| round(duty.as_fraction() * 100.0)));
    record.put("on", i64::from(common.on));
    record.put_some("on_s", common.on_time().map(|time| time.as_secs_f64()));
    record.put_some("off_s", common.off_time().map(|time| time.as_secs_f64()));
    record.put_some("heat_sink_temperature_c", common.heat_sink().map(Celsius::as_degrees));
    record.put("free_heap_bytes", common.free_heap());
    record.put_some("signal_dbm", common.signal().map(i32::from));
    record.put_some("voltage_v", reading.voltage().map(Volts::as_volts));
    record.put_some("current_a", reading.current().map(Amperes::as_amperes));
    record
}

fn describe_problem(kind: BatchProblemKind) -> String {
    match kind {
        BatchProblemKind::Checksum => "the checksum of the record is wrong".into(),
        BatchProblemKind::Magic => "no record starts here".into(),
        BatchProblemKind::UnknownVersion(version) => format!("unknown record version {version}"),
        BatchProblemKind::Truncated { .. } => "the last record is cut off".into(),
        _ => "not a record".into(),
    }
}
