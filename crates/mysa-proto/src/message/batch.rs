use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::json::field::{self, fields};
use crate::message::batch_record::{MAGIC, Wire};
use crate::{BatchCommon, BatchRecord, BatchVersion, JsonStr};

/// Readings that a thermostat stored between two uploads: one packed sample about every 30 s, sent to its topic
/// `/batch`.
///
/// Records follow each other without gaps and are found by their length as long as the framing is intact. Bytes that do
/// not decode are listed in [`BatchReadings::problems`]; records and problems together cover every byte. (Layout:
/// mysotherm and Mysa_HA. They disagree on the scale of the current; mysotherm's gives plausible heaters.)
///
/// ```
/// use mysa_proto::{BatchReadings, Celsius};
///
/// let batch = BatchReadings::from_base64("yqAATTNXaecAzADNACYAAAAsASABZBs5AKA=")?;
/// assert!(batch.problems.is_empty());
/// assert_eq!(batch.records[0].common.ambient(), Celsius::from_degrees(20.4));
/// assert_eq!(batch.to_base64(), "yqAATTNXaecAzADNACYAAAAsASABZBs5AKA=");
/// # Ok::<(), mysa_proto::BatchError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct BatchReadings {
    /// Records with a correct checksum, in order.
    pub records: Vec<BatchRecord>,
    /// Bytes that were dropped.
    pub problems: Vec<BatchProblem>,
}

impl BatchReadings {
    /// Length of the longest batch that is accepted, in bytes: the limit of the broker.
    pub const MAX_LEN: usize = 128 * 1024;

    /// Decodes the readings of a batch message.
    ///
    /// # Errors
    /// The readings are missing, not base64, or too long.
    pub fn from_message(message: &BatchMessage<'_>) -> Result<Self, BatchError> {
        let readings = message.readings.ok_or(BatchError::Missing)?;
        match readings.as_plain() {
            Some(text) => Self::from_base64(text),
            None => Self::from_base64(&readings.chars().take(Self::MAX_LEN * 2).collect::<String>()),
        }
    }

    /// Decodes base64 of the standard alphabet, with or without padding.
    ///
    /// # Errors
    /// The text is not base64, or encodes more than [`BatchReadings::MAX_LEN`] bytes.
    pub fn from_base64(text: &str) -> Result<Self, BatchError> {
        let text = text.trim();
        if text.len() / 4 > Self::MAX_LEN / 3 {
            return Err(BatchError::TooLong);
        }
        let bytes = BASE64.decode(text).map_err(|_| BatchError::NotBase64)?;
        Ok(Self::decode(&bytes))
    }

    /// Decodes the bytes of a batch in linear time.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut batch = Self::default();
        let mut offset = 0;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            offset += match step(rest) {
                Step::Record(record) => {
                    batch.records.push(record);
                    record.version().record_len()
                }
                Step::Problem(kind, len) => {
                    let raw = rest.get(..len).unwrap_or(rest).to_vec();
                    batch.problems.push(BatchProblem { offset, kind, raw });
                    len.max(1)
                }
            };
        }
        batch
    }

    /// Appends the records. Problems are not written.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for record in &self.records {
            record.encode(out);
        }
    }

    /// Records in base64, as in a batch message.
    #[must_use]
    pub fn to_base64(&self) -> String {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        BASE64.encode(bytes)
    }

    /// Number of bytes that were dropped.
    #[must_use]
    pub fn dropped_bytes(&self) -> usize {
        self.problems.iter().map(|problem| problem.raw.len()).sum()
    }
}

/// Error of a batch that cannot be read at all. The device or the transport is at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BatchError {
    /// The message has no readings.
    Missing,
    /// The readings are not base64.
    NotBase64,
    /// The readings are longer than [`BatchReadings::MAX_LEN`].
    TooLong,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the batch message carries no readings"),
            Self::NotBase64 => f.write_str("the readings of the batch are not base64"),
            Self::TooLong => {
                write!(f, "the readings of the batch are longer than {} bytes", BatchReadings::MAX_LEN)
            }
        }
    }
}

impl core::error::Error for BatchError {}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

enum Step {
    Record(BatchRecord),
    /// Problem, and the number of bytes that it affects.
    Problem(BatchProblemKind, usize),
}

/// Classifies the front of `rest`, which is not empty.
fn step(rest: &[u8]) -> Step {
    if let Some(record) = BatchRecord::at_front(rest) {
        return Step::Record(record);
    }
    if !may_begin_record(rest) {
        return Step::Problem(BatchProblemKind::Magic, next_record(rest, 1, None));
    }
    let Some(&number) = rest.get(2) else {
        return Step::Problem(BatchProblemKind::Truncated { missing: None }, rest.len());
    };
    let Some(version) = BatchVersion::from_number(number) else {
        return Step::Problem(BatchProblemKind::UnknownVersion(number), next_record(rest, 3, Some(number)));
    };
    let len = version.record_len();
    match rest.get(len..) {
        None => Step::Problem(BatchProblemKind::Truncated { missing: Some(len - rest.len()) }, rest.len()),
        Some(next) if may_begin_record(next) => Step::Problem(BatchProblemKind::Checksum, len),
        Some(_) => Step::Problem(BatchProblemKind::Checksum, next_record(rest, 1, None)),
    }
}

/// True if the bytes are a record's magic, or a prefix of it.
fn may_begin_record(bytes: &[u8]) -> bool {
    bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic)
}

/// Distance to the next record with a correct checksum, or to the next magic with the unknown version `like`, or to the
/// end.
fn next_record(bytes: &[u8], from: usize, like: Option<u8>) -> usize {
    (from..bytes.len())
        .find(|at| {
            bytes.get(*at..).is_some_and(|rest| match rest {
                [0xCA, 0xA0, version, ..] => like == Some(*version) || BatchRecord::at_front(rest).is_some(),
                _ => false,
            })
        })
        .unwrap_or(bytes.len())
}

fields! { 'a;
    /// `msg` 3: packed readings that the device stored. (mysotherm, Mysa_HA.)
    #[non_exhaustive]
    pub struct BatchMessage<'a> {
        /// `readings`: records in base64.
        pub readings: JsonStr<'a> = "readings" => field::text,
    }
}

/// Consecutive bytes that are not a record.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BatchProblem {
    /// Offset in the batch, in bytes.
    pub offset: usize,
    /// Kind of problem.
    pub kind: BatchProblemKind,
    /// The bytes.
    pub raw: Vec<u8>,
}

/// Reason why bytes are not a record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BatchProblemKind {
    /// The checksum of a record is wrong. If a record follows at the expected offset, only this one is dropped;
    /// otherwise everything up to the next record with a correct checksum.
    Checksum,
    /// No record begins here.
    Magic,
    /// The version is unknown; see [`BatchProblem::unverified`].
    UnknownVersion(u8),
    /// The batch ends within a record.
    Truncated {
        /// Number of missing bytes; `None` if the version is missing too.
        missing: Option<usize>,
    },
}

impl BatchProblem {
    /// For an unknown version, the part that all known versions share. Probably correct, but not covered by a checksum.
    #[must_use]
    pub fn unverified(&self) -> Option<BatchCommon> {
        match self.kind {
            BatchProblemKind::UnknownVersion(_) => BatchCommon::read(&mut Wire(self.raw.get(3..)?)),
            _ => None,
        }
    }
}

impl fmt::Display for BatchProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, kind, raw } = self;
        let len = raw.len();
        match kind {
            BatchProblemKind::Checksum => write!(f, "wrong checksum at byte {offset}, {len} bytes dropped"),
            BatchProblemKind::Magic => write!(f, "no record at byte {offset}, {len} bytes dropped"),
            BatchProblemKind::UnknownVersion(version) => {
                write!(f, "record of unknown version {version} at byte {offset}, {len} bytes")
            }
            BatchProblemKind::Truncated { missing: Some(missing) } => {
                write!(f, "record at byte {offset} ends {missing} bytes early")
            }
            BatchProblemKind::Truncated { missing: None } => write!(f, "record at byte {offset} ends early"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::message::batch_record::Wire;
    use crate::{BatchCommon, BatchTail};

    proptest! {
        #[test]
        fn an_encoded_batch_decodes_to_itself(records in prop::collection::vec(record(), 0..8)) {
            let batch = BatchReadings { records, problems: vec![] };
            let mut wire = Vec::new();
            batch.encode(&mut wire);
            prop_assert_eq!(&BatchReadings::decode(&wire), &batch);
            prop_assert_eq!(BatchReadings::from_base64(&batch.to_base64()), Ok(batch));
        }

        #[test]
        fn records_and_problems_cover_every_byte(pieces in prop::collection::vec(piece(), 0..12)) {
            let wire = pieces.concat();
            let batch = BatchReadings::decode(&wire);
            let mut again = Vec::new();
            let mut records = batch.records.iter();
            let mut problems = batch.problems.iter().peekable();
            while again.len() < wire.len() {
                match problems.next_if(|problem| problem.offset == again.len()) {
                    Some(problem) => again.extend_from_slice(&problem.raw),
                    None => records.next().unwrap().encode(&mut again),
                }
            }
            prop_assert_eq!(again, wire);
            prop_assert!(records.next().is_none() && problems.next().is_none());
        }

        #[test]
        fn a_damaged_byte_costs_one_record(
            records in prop::collection::vec(record(), 1..8), at in any::<prop::sample::Index>(), flip in 1_u8..,
        ) {
            let batch = BatchReadings { records, problems: vec![] };
            let mut wire = Vec::new();
            batch.encode(&mut wire);
            let at = at.index(wire.len());
            wire[at] ^= flip;
            let decoded = BatchReadings::decode(&wire);
            // If the damage turns the version into another known one, the wrong length may cover the start of
            // the next record.
            prop_assert!(decoded.records.len() + 2 >= batch.records.len());
            prop_assert!(decoded.records.iter().all(|record| batch.records.contains(record)));
            prop_assert!(!decoded.problems.is_empty());
        }
    }

    #[test]
    fn a_batch_over_the_limit_is_rejected_without_decoding() {
        let text = "A".repeat(BatchReadings::MAX_LEN / 3 * 4 + 8);
        assert_eq!(BatchReadings::from_base64(&text), Err(BatchError::TooLong));
    }

    fn record() -> impl Strategy<Value = BatchRecord> {
        (prop::array::uniform22(any::<u8>()), 0..3, any::<(i16, i16, [u8; 3])>()).prop_map(
            |(common, version, (volts, centiamperes, opaque))| BatchRecord {
                common: BatchCommon::read(&mut Wire(&common)).unwrap(),
                tail: match version {
                    0 => BatchTail::V0,
                    1 => BatchTail::V1 { volts },
                    _ => BatchTail::V3 { volts, centiamperes, opaque },
                },
            },
        )
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let whole = record().prop_map(|record| {
            let mut wire = Vec::new();
            record.encode(&mut wire);
            wire
        });
        let cut = (record(), 0..33_usize).prop_map(|(record, len)| {
            let mut wire = Vec::new();
            record.encode(&mut wire);
            wire.truncate(len);
            wire
        });
        let head = (0..6_u8).prop_map(|version| vec![0xCA, 0xA0, version]);
        prop_oneof![whole, cut, head, prop::collection::vec(any::<u8>(), 0..40)]
    }
}
