use core::fmt;

use crate::{DeviceId, JsonNumber, JsonStr, TopicKind, UnixTime};

/// Family of a message. The two families number their messages independently: `msg` 40 is a status, `MsgType` 40
/// unpairs the device.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "every message has one of the two numbers or none")]
pub enum MessageForm {
    /// Numbered by `msg`, with the fields in `body`.
    Mcm,
    /// Numbered by `MsgType`, with the fields beside it.
    Legacy,
    /// Without a number. Recognised by its fields, if at all.
    Bare,
}

/// Envelope of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// Topic that it was received on.
    pub topic: TopicKind,
    /// Family of the message.
    pub form: MessageForm,
    /// `msg` or `MsgType`. 44 for an acknowledgement recognised without one.
    pub number: Option<i64>,
    /// Device that the message names as sender or receiver; `None` if it names none.
    /// [`Message::is_about`](crate::Message::is_about) compares it with the topic.
    pub device: Option<DeviceId>,
    /// `src.type`: 1 a device, 100 an app, 302 the schedule service.
    pub src_type: Option<i64>,
    /// `src.ref`: device id or user id.
    pub src_ref: Option<JsonStr<'a>>,
    /// `time` or `Timestamp`, by the sender's clock, which may be years wrong. `None` if the device had no clock and
    /// sent 0 or its uptime.
    pub time: Option<UnixTime>,
    /// `id` of this message.
    pub id: Option<MessageId>,
    /// `resp_id`: `id` of the message that this one answers.
    pub resp_id: Option<MessageId>,
    /// `resp`: 2 requests an answer. Devices answer in any case.
    pub resp: Option<i64>,
}

/// Id of a message, repeated by its answer.
///
/// Devices send random 64-bit numbers, some of them negative; apps send their clock in milliseconds, the schedule
/// service in seconds. A float cannot represent all of them.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct MessageId {
    magnitude: u64,
    sign: Sign,
}

// As wide as the magnitude: the padding behind a byte would be copied together with the next field of the envelope, which
// stalls the processor.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[repr(u64)]
enum Sign {
    Plus,
    Minus,
}

impl MessageId {
    /// Id with this number.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self { magnitude: id, sign: Sign::Plus }
    }

    /// Number, or `None` if it is negative.
    #[must_use]
    pub const fn as_u64(self) -> Option<u64> {
        match self.sign {
            Sign::Plus => Some(self.magnitude),
            Sign::Minus => None,
        }
    }

    /// -1 means a missing value.
    pub(crate) fn from_number(number: JsonNumber<'_>) -> Option<Self> {
        number.to_integer().filter(|&integer| integer != (true, 1)).map(|(negative, magnitude)| Self {
            magnitude,
            sign: if negative { Sign::Minus } else { Sign::Plus },
        })
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
        f.write_str(if self.sign == Sign::Minus { "-" } else { "" })?;
        self.magnitude.fmt(f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}
