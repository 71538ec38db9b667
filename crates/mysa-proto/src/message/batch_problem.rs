use alloc::vec::Vec;
use core::fmt;

use crate::BatchCommon;
use crate::message::batch_record::Wire;

/// A run of bytes that gave no record.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BatchProblem {
    /// Where it begins, in bytes from the front of the batch.
    pub offset: usize,
    /// What is wrong.
    pub kind: BatchProblemKind,
    /// The bytes, whole.
    pub raw: Vec<u8>,
}

/// Why a run of bytes gave no record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BatchProblemKind {
    /// The checksum of a record is wrong. Where the next one stands in its place, only this one is dropped, otherwise
    /// everything to the next record that checks.
    Checksum,
    /// No record begins here.
    Magic,
    /// A version this crate does not know; see [`BatchProblem::unverified`].
    UnknownVersion(u8),
    /// The batch ends within a record.
    Truncated {
        /// How many bytes are missing; `None` where not even the version is there.
        missing: Option<usize>,
    },
}

impl BatchProblem {
    /// For an unknown version, the part all known versions share. Probably right; nothing checks it.
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
