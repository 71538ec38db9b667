use mysa_proto::BatchReadings;

/// Batch readings, by `BatchReadings::decode`.
///
/// Input: the readings.
///
/// Every byte belongs to a record or a problem. Records encode to the bytes that they were decoded from. Base64 round-trips.
/// Values are in range, or absent.
///
/// ```
/// mysa_fuzz::batch(b"\x03\0not a record");
/// ```
pub fn batch(data: &[u8]) {
    let batch = BatchReadings::decode(data);
    let mut again = Vec::new();
    batch.encode(&mut again);
    assert_eq!(again.len() + batch.dropped_bytes(), data.len(), "every byte is accounted for");
    if batch.problems.is_empty() {
        assert_eq!(again, data);
    }
    let clean = BatchReadings::decode(&again);
    assert_eq!((&clean.records, clean.problems.len()), (&batch.records, 0));
    assert_eq!(BatchReadings::from_base64(&clean.to_base64()).as_ref(), Ok(&clean));

    let mut end = 0;
    for problem in &batch.problems {
        assert!(problem.offset >= end && !problem.raw.is_empty(), "{problem}");
        end = problem.offset + problem.raw.len();
        assert_eq!(data.get(problem.offset..end), Some(&problem.raw[..]), "{problem}");
        let _ = problem.unverified();
    }
    for record in &batch.records {
        let common = &record.common;
        assert!(common.duty().is_none_or(|duty| (0.0..=1.0).contains(&duty.as_fraction())));
        assert!(common.humidity().is_none_or(|it| (0.0..=100.0).contains(&it.as_percent())));
        assert!(record.voltage().is_none_or(|it| it.as_volts() >= 0.0));
        assert!(record.current().is_none_or(|it| it.as_amperes() >= 0.0));
        let _ = (common.time(), common.ambient(), common.sensor(), common.setpoint(), common.heat_sink());
        let _ = (common.on_time(), common.off_time(), common.signal(), common.is_on());
    }
    // Decoding the input as text must not panic either.
    if let Ok(text) = core::str::from_utf8(data) {
        let _ = BatchReadings::from_base64(text);
    }
}
