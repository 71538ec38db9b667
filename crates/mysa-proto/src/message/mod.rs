mod batch;
mod batch_record;
mod control;
mod decode;
#[cfg(test)]
mod decode_cost;
mod envelope;
mod legacy;
mod schedule;
mod status;

pub use batch::{BatchError, BatchMessage, BatchProblem, BatchProblemKind, BatchReadings};
pub use batch_record::{BatchCommon, BatchRecord, BatchTail, BatchVersion};
pub use control::{Ack, Answer, Changeset, CommandEntry, CommandMessage, ControlState, SentCommand, Trigger};
pub use envelope::{Envelope, MessageForm, MessageId};
pub use legacy::{
    Boot, EchoReply, Event, EventKind, LiveReport, Log, PairingReset, SetpointChange, V1Status,
};
pub use schedule::{ScheduleEvent, ScheduleEvents, ScheduleMessage};
pub use status::{AcState, AcStatus, FirmwareReport, FloorLine, FloorStatus, Status};

use core::fmt;

use crate::json::Members;
use crate::json::field::ReadFields;
use crate::json::reader::Reader;
use crate::json::work;
use crate::{DeviceId, JsonError, JsonStr, RawJson, TopicKind};
use decode::{Decoder, StatusBody};

/// Message of a device topic, borrowed from the payload.
///
/// ```
/// use mysa_proto::{Body, Message, TopicKind};
///
/// let payload = br#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,
///     "id":7100200300400500611,"body":{"ambTemp":18.9,"hum":44.5,"stpt":20.0,"dtyCycle":1.0,"new":[1]}}"#;
/// let message = Message::decode(TopicKind::Out, payload)?;
/// let Body::Status(status) = &message.body else { return Err("not a status".into()) };
/// assert_eq!(status.ambient.map(|celsius| celsius.as_degrees()), Some(18.9));
/// assert_eq!(message.unknown_fields().map(|(key, _)| key.as_raw()).collect::<Vec<_>>(), ["new"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message<'a> {
    /// The envelope.
    pub envelope: Envelope<'a>,
    /// The body.
    pub body: Body<'a>,
    /// The whole payload.
    pub raw: RawJson<'a>,
    /// Value of `body`, if there is one.
    pub raw_body: Option<RawJson<'a>>,
}

/// Body of a message, by form and number.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Body<'a> {
    /// `MsgType` 0, from the device.
    V1Status(V1Status),
    /// `MsgType` 1, from the device.
    SetpointChange(SetpointChange),
    /// `MsgType` 4, from the device.
    Log(Log<'a>),
    /// `MsgType` 5, from the device.
    EchoReply(EchoReply),
    /// `MsgType` 6, to the device.
    Event(Event),
    /// `MsgType` 7, to the device: restart according to one witness, upload of stored readings according to
    /// another. Has no fields.
    Reboot,
    /// `MsgType` 10, from the device.
    Boot(Boot<'a>),
    /// `MsgType` 11, to the device.
    LiveReport(LiveReport),
    /// `MsgType` 20, seen both from and to devices. Has no fields.
    StatusCheck,
    /// `MsgType` 40, to the device.
    PairingReset(PairingReset),
    /// `msg` 3, from the device.
    BatchReadings(BatchMessage<'a>),
    /// `msg` 16, from the device.
    FloorLine(FloorLine),
    /// `msg` 17, from the device.
    FloorStatus(FloorStatus),
    /// `msg` 30, from the device.
    AcStatus(AcStatus),
    /// `msg` 31, from the device.
    AcState(AcState),
    /// `msg` 34, to the device.
    Schedule(ScheduleMessage<'a>),
    /// `msg` 40, from the device.
    Status(Status),
    /// `msg` 44, to the device.
    Command(CommandMessage<'a>),
    /// `msg` 44, from the device.
    Ack(Ack),
    /// `msg` 61, from the device.
    Firmware(FirmwareReport<'a>),
    /// Any other message. [`Message::raw`] has its content.
    Unknown,
}

/// Harm that a message does to the device that receives it; see [`Message::danger`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Danger {
    /// `MsgType` 40, and according to one witness 5: the device is unpaired from its account.
    Unpairs,
    /// `MsgType` 7: the device restarts.
    Restarts,
    /// `MsgType` 6 with `EventType` 2: the device replaces its firmware.
    UpdatesFirmware,
    /// `msg` 34: the device's schedule is replaced.
    ReplacesSchedule,
}

/// Error of a payload that is not a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload is empty.
    Empty,
    /// The payload is longer than [`Message::MAX_LEN`] and was not read.
    TooLarge {
        /// Length of the payload in bytes.
        len: usize,
    },
    /// The payload is not UTF-8.
    NotUtf8 {
        /// Offset of the first invalid byte.
        at: usize,
    },
    /// The payload is JSON but not an object.
    NotAnObject,
    /// The payload is not JSON or is truncated. Devices send truncated payloads every few days.
    Json(JsonError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the payload is empty"),
            Self::TooLarge { len } => {
                write!(f, "the payload has {len} bytes, but the maximum is {}", Message::MAX_LEN)
            }
            Self::NotUtf8 { at } => write!(f, "the payload is not UTF-8 at byte {at}"),
            Self::NotAnObject => f.write_str("the payload is not a JSON object"),
            Self::Json(error) => write!(f, "the payload is {error}"),
        }
    }
}

impl core::error::Error for DecodeError {}

impl From<JsonError> for DecodeError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl<'a> Message<'a> {
    /// Length of the longest payload that is accepted, in bytes: the limit of AWS IoT Core.
    pub const MAX_LEN: usize = 128 * 1024;

    /// Decodes one payload.
    ///
    /// Reads the text once and allocates only for the changes of a command that is wrapped in a string. A `body` that
    /// comes before its `msg` may be read twice.
    ///
    /// # Errors
    ///
    /// The payload is not a JSON object. Keep the connection: devices send such payloads now and then.
    /// [`Message::salvage`] returns the readable part of the envelope.
    pub fn decode(topic: TopicKind, payload: &'a [u8]) -> Result<Self, DecodeError> {
        if payload.len() > Self::MAX_LEN {
            return Err(DecodeError::TooLarge { len: payload.len() });
        }
        decode::message(topic, &mut Reader::new(payload))
            .map_err(|error| Self::not_utf8(payload).unwrap_or(error))
    }

    /// Decodes the readable part of the envelope of a payload that [`Message::decode`] rejects as truncated or invalid.
    /// It often identifies the sender and the command that was answered.
    #[must_use]
    pub fn salvage(topic: TopicKind, payload: &'a [u8]) -> Option<Envelope<'a>> {
        let text = match core::str::from_utf8(payload.get(..Self::MAX_LEN).unwrap_or(payload)) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(payload.get(..error.valid_up_to())?).ok()?,
        };
        let mut reader = Reader::new(text.as_bytes());
        (reader.peek() == Some(b'{')).then(|| Decoder::salvage(topic, &mut reader))
    }

    /// Error of a payload that is not UTF-8. Takes precedence over every other error.
    #[cold]
    fn not_utf8(payload: &[u8]) -> Option<DecodeError> {
        work::count(payload.len());
        let error = core::str::from_utf8(payload).err()?;
        Some(match error.error_len() {
            // The payload was cut within a character.
            None => JsonError::Truncated { at: payload.len(), expected: "the rest of a character" }.into(),
            Some(_) => DecodeError::NotUtf8 { at: error.valid_up_to() },
        })
    }

    /// True if the message names `device` or no device, so that it may be merged into the state of `device`.
    #[must_use]
    pub fn is_about(&self, device: DeviceId) -> bool {
        self.envelope.device.is_none_or(|named| named == device)
    }

    /// Classifies the message as an answer to a command that waits for its acknowledgement.
    ///
    /// [`Answer::Confirmed`] requires all of these: the topic `/out`, the device as sender or none, a `resp_id` equal
    /// to the id of the command, `success`, and every commanded field in `state` with the same value.
    #[must_use]
    pub fn answers(&self, sent: &SentCommand) -> Answer {
        let (Body::Ack(ack), TopicKind::Out) = (&self.body, self.envelope.topic) else {
            return Answer::NotAnAck;
        };
        if !self.is_about(sent.device)
            || self.envelope.src_type.is_some_and(|kind| kind != SRC_DEVICE)
            || self.envelope.resp_id != Some(MessageId::new(sent.id))
        {
            return Answer::NotThisRequest;
        }
        match ack.success {
            Some(false) => Answer::Rejected,
            Some(true) if ack.state.is_some_and(|state| state.agrees_with(&sent.asked)) => Answer::Confirmed,
            _ => Answer::Unconfirmed,
        }
    }

    /// Harm that this message does to the device that receives it. `None` for harmless messages and for messages from
    /// devices.
    #[must_use]
    pub fn danger(&self) -> Option<Danger> {
        if self.envelope.topic != TopicKind::In {
            return None;
        }
        match &self.body {
            Body::PairingReset(_) | Body::EchoReply(_) => Some(Danger::Unpairs),
            Body::Reboot => Some(Danger::Restarts),
            Body::Event(event) if event.kind() == Some(EventKind::FirmwareTrigger) => {
                Some(Danger::UpdatesFirmware)
            }
            Body::Schedule(_) => Some(Danger::ReplacesSchedule),
            _ => None,
        }
    }

    /// Members that this crate does not know, beside the body and in it. Newer firmware adds such members.
    pub fn unknown_fields(&self) -> UnknownFields<'a> {
        let (beside, inside) = self.body.keys();
        UnknownFields {
            beside: self.raw.members(),
            inside: self.raw_body.map(RawJson::members),
            known: [ENVELOPE_KEYS, beside],
            known_inside: inside,
        }
    }
}

/// Iterator of [`Message::unknown_fields`].
#[derive(Clone, Debug)]
pub struct UnknownFields<'a> {
    beside: Members<'a>,
    inside: Option<Members<'a>>,
    known: [&'static [&'static str]; 2],
    known_inside: &'static [&'static str],
}

impl<'a> Iterator for UnknownFields<'a> {
    type Item = (JsonStr<'a>, RawJson<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let known = self.known;
        let beside =
            self.beside.find(|(key, _)| !known.iter().any(|known| known.iter().any(|known| key == known)));
        let inside = self.known_inside;
        beside.or_else(|| self.inside.as_mut()?.find(|(key, _)| !inside.iter().any(|known| key == known)))
    }
}

impl Body<'_> {
    /// Known keys beside `body` and in it.
    fn keys(&self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::V1Status(_) => (V1Status::KEYS, &[]),
            Self::SetpointChange(_) => (SetpointChange::KEYS, &[]),
            Self::Log(_) => (Log::KEYS, &[]),
            Self::EchoReply(_) => (EchoReply::KEYS, &[]),
            Self::Event(_) => (Event::KEYS, &[]),
            Self::Boot(_) => (Boot::KEYS, &[]),
            Self::LiveReport(_) => (LiveReport::KEYS, &[]),
            Self::PairingReset(_) => (PairingReset::KEYS, &[]),
            Self::Reboot | Self::StatusCheck | Self::Unknown => (&[], &[]),
            Self::BatchReadings(_) => (&["readings", "ts"], BatchMessage::KEYS),
            Self::FloorLine(_) => (&[], FloorLine::KEYS),
            Self::FloorStatus(_) => (FLOOR_KEYS_BESIDE, FloorStatus::KEYS),
            Self::AcStatus(_) => (&[], AcStatus::KEYS),
            Self::AcState(_) => (&[], AcState::KEYS),
            Self::Schedule(_) => (&[], ScheduleMessage::KEYS),
            Self::Status(_) => (FLOOR_KEYS_BESIDE, StatusBody::KEYS),
            Self::Command(_) => (&[], &["ver", "type", "cmd"]),
            Self::Ack(_) => (&[], Ack::KEYS),
            Self::Firmware(_) => (&["version"], FirmwareReport::KEYS),
        }
    }
}

/// `src.type` of a device.
pub(crate) const SRC_DEVICE: i64 = 1;

const FLOOR_KEYS_BESIDE: &[&str] = &["heatStat", "lineVtg"];

const ENVELOPE_KEYS: &[&str] = &[
    "ver",
    "src",
    "dest",
    "time",
    "Timestamp",
    "timestamp",
    "msg",
    "MsgType",
    "id",
    "resp",
    "resp_id",
    "Device",
    "device",
    "body",
];
