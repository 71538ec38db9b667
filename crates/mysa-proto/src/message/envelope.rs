use core::fmt;

use crate::{DeviceId, JsonNumber, JsonStr, TopicKind, UnixTime};

/// Family of a message. The number spaces of the two have nothing to do with each other: `msg`
/// 40 is a status, `MsgType` 40 unpairs the device.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "every message has one of the two numbers or none")]
pub enum MessageForm {
    /// Numbered by `msg`, the fields in `body`.
    Mcm,
    /// Numbered by `MsgType`, the fields beside it.
    Legacy,
    /// No number; recognised by its fields, or not at all.
    Bare,
}

/// Envelope of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// The topic it came by.
    pub topic: TopicKind,
    /// The family of the message.
    pub form: MessageForm,
    /// `msg` or `MsgType`. 44 for an acknowledgement recognised without one.
    pub number: Option<i64>,
    /// Whom the message names as the device it comes from or is for; `None` if it names nobody. Compare with the topic
    /// by [`Message::is_about`](crate::Message::is_about).
    pub device: Option<DeviceId>,
    /// `src.type`: 1 a device, 100 an app, 302 the schedule service.
    pub src_type: Option<i64>,
    /// `src.ref`: device id or user id.
    pub src_ref: Option<JsonStr<'a>>,
    /// `time`, or `Timestamp`. `None` where the device had no clock and sent 0 or its uptime. By the clock of the
    /// sender, which may be years wrong.
    pub time: Option<UnixTime>,
    /// `id` of this message.
    pub id: Option<MessageId>,
    /// `resp_id`: the `id` this answers.
    pub resp_id: Option<MessageId>,
    /// `resp`: 2 asks for an answer. Devices answer either way.
    pub resp: Option<i64>,
}

/// Number of a message, which its answer repeats.
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
