use core::fmt;

use crate::JsonNumber;

/// Number by which a message is told from others, and an answer finds its question.
///
/// Devices draw large random numbers of 64 bits, some of which print as negative; apps send their clock in
/// milliseconds, the schedule service in seconds. A float cannot hold them.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct MessageId {
    magnitude: u64,
    negative: bool,
}

impl MessageId {
    /// Takes a number.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self { magnitude: id, negative: false }
    }

    /// The number, if it is not negative.
    #[must_use]
    pub const fn as_u64(self) -> Option<u64> {
        if self.negative { None } else { Some(self.magnitude) }
    }

    /// -1 stands for a missing value everywhere.
    pub(crate) fn from_number(number: JsonNumber<'_>) -> Option<Self> {
        number
            .to_integer()
            .filter(|&integer| integer != (true, 1))
            .map(|(negative, magnitude)| Self { magnitude, negative })
    }
}

impl From<u64> for MessageId {
    fn from(id: u64) -> Self {
        Self::new(id)
    }
}

impl PartialEq<u64> for MessageId {
    fn eq(&self, other: &u64) -> bool {
        self.as_u64() == Some(*other)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.negative { "-" } else { "" })?;
        self.magnitude.fmt(f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}
