use core::fmt;

use crate::json::{Members, Reader, Stop};
use crate::legacy::Flat;
use crate::lenient::{self, Fields};
use crate::{
    AcState, AcStatus, Ack, Answer, BatchMessage, Boot, Changeset, CommandMessage, DeviceId, EchoReply,
    Envelope, Event, EventKind, FirmwareReport, FloorLine, FloorStatus, JsonError, JsonStr, LiveReport, Log,
    MessageForm, MessageId, PairingReset, RawJson, ScheduleMessage, SentCommand, SetpointChange, Status,
    TopicKind, UnixTime, V1Status,
};

/// One message of a device topic, borrowed from the payload.
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
    /// What stands around the body.
    pub envelope: Envelope<'a>,
    /// What it says.
    pub body: Body<'a>,
    /// The whole payload.
    pub raw: RawJson<'a>,
    /// The value of `body`, if there is one.
    pub raw_body: Option<RawJson<'a>>,
}

/// What a message says, by form and number.
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
    /// `MsgType` 7, to the device: restart, by one reading; dump stored readings, by another. Has no fields.
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
    /// Anything else; [`Message::raw`] is all there is to know.
    Unknown,
}

/// Why a message must never be sent on a whim; see [`Message::danger`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Danger {
    /// `MsgType` 40, and by one witness 5: the device forgets its account.
    Unpairs,
    /// `MsgType` 7: the device restarts.
    Restarts,
    /// `MsgType` 6 with `EventType` 2: the device replaces its firmware.
    UpdatesFirmware,
    /// `msg` 34: the device's schedule is replaced.
    ReplacesSchedule,
}

/// Why a payload is no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// There is nothing in it.
    Empty,
    /// It is longer than AWS IoT carries, so it was not looked at.
    TooLarge {
        /// Its length in bytes; the limit is [`Message::MAX_LEN`].
        len: usize,
    },
    /// It is not UTF-8 from this byte on.
    NotUtf8 {
        /// Offset of the byte.
        at: usize,
    },
    /// It is JSON, but no object.
    NotAnObject,
    /// It is not JSON, or was cut off, as devices do every few days.
    Json(JsonError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the payload is empty"),
            Self::TooLarge { len } => {
                write!(f, "the payload has {len} bytes, more than the {} a broker carries", Message::MAX_LEN)
            }
            Self::NotUtf8 { at } => write!(f, "the payload is not UTF-8 at byte {at}"),
            Self::NotAnObject => f.write_str("the payload is JSON but no object"),
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
    /// Longest payload that is read, in bytes: what AWS IoT Core carries.
    pub const MAX_LEN: usize = 128 * 1024;

    /// Reads one payload.
    ///
    /// The text is gone through once, and nothing is allocated save for the changes of a command wrapped in a string.
    /// Only where a `body` stands before its `msg` is that body read again.
    ///
    /// # Errors
    ///
    /// If the payload is not a JSON object. Keep the connection: devices send such payloads, and the next will be
    /// well. [`Message::salvage`] tells what could still be read.
    pub fn decode(topic: TopicKind, payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Self::text(payload)?);
        if reader.peek().is_none() {
            return Err(DecodeError::Empty);
        }
        let mut top = Top::default();
        match top.read_whole(&mut reader, topic) {
            Ok(Some(raw)) => top.finish(topic, raw),
            Ok(None) => Err(DecodeError::NotAnObject),
            Err(Stop) => Err(reader.error().into()),
        }
    }

    /// What could be read of the envelope of a payload that [`Message::decode`] refuses because it was cut off or
    /// is no JSON: often enough to tell whose it was and what it answered.
    #[must_use]
    pub fn salvage(topic: TopicKind, payload: &'a [u8]) -> Option<Envelope<'a>> {
        let text = match core::str::from_utf8(payload.get(..Self::MAX_LEN).unwrap_or(payload)) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(payload.get(..error.valid_up_to())?).ok()?,
        };
        let mut top = Top::default();
        let mut reader = Reader::new(text);
        if reader.peek() != Some(b'{') {
            return None;
        }
        // What was read before the error is what is asked for.
        let _ = top.read(&mut reader, topic);
        Some(top.envelope(topic))
    }

    fn text(payload: &'a [u8]) -> Result<&'a str, DecodeError> {
        if payload.len() > Self::MAX_LEN {
            return Err(DecodeError::TooLarge { len: payload.len() });
        }
        core::str::from_utf8(payload).map_err(|error| match error.error_len() {
            // The cut went through a character.
            None => JsonError::Truncated { at: payload.len(), expected: "the rest of a character" }.into(),
            Some(_) => DecodeError::NotUtf8 { at: error.valid_up_to() },
        })
    }

    /// Whether the message may be merged into the state of `device`: it names that device, or none.
    #[must_use]
    pub fn is_about(&self, device: DeviceId) -> bool {
        self.envelope.device.is_none_or(|named| named == device)
    }

    /// What the message says about a command that waits for its acknowledgement.
    ///
    /// Confirmed needs all of: on `/out`, from the device itself or without sender, `resp_id` equal to the id of
    /// the command, `success`, and every commanded field in `state` with the same value.
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

    /// What harm sending this message to a device would do. `None` for what comes from devices, and for the rest.
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

    /// The members this crate has no name for, beside the body and in it: what firmware has added since.
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

/// The iterator of [`Message::unknown_fields`].
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
    /// The keys known beside `body` and in it.
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
const SRC_DEVICE: i64 = 1;

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

/// Everything that can stand at the top of a message.
#[derive(Default)]
struct Top<'a> {
    src: Party<'a>,
    dest: Party<'a>,
    time: Option<UnixTime>,
    timestamp: Option<UnixTime>,
    msg: Option<i64>,
    msg_type: Option<i64>,
    id: Option<MessageId>,
    resp: Option<i64>,
    resp_id: Option<MessageId>,
    device: Option<JsonStr<'a>>,
    flat: Flat<'a>,
    raw_body: Option<RawJson<'a>>,
    /// The body, and the number it was read as.
    body: Option<(i64, Body<'a>)>,
}

lenient::fields! { 'a;
    struct Party<'a> {
        kind: i64 = "type" => lenient::integer,
        name: JsonStr<'a> = "ref" => lenient::text,
    }
}

impl<'a> Top<'a> {
    /// Reads a text that holds one value. `None` if it is no object.
    fn read_whole(&mut self, reader: &mut Reader<'a>, topic: TopicKind) -> lenient::Read<RawJson<'a>> {
        let start = reader.place();
        let object = self.read(reader, topic)?;
        let raw = reader.since(start);
        reader.end()?;
        Ok(object.then_some(raw))
    }

    fn read(&mut self, reader: &mut Reader<'a>, topic: TopicKind) -> Result<bool, Stop> {
        reader.object(|reader, key| self.member(reader, key, topic))
    }

    #[inline]
    fn member(&mut self, reader: &mut Reader<'a>, key: &str, topic: TopicKind) -> Result<(), Stop> {
        match key {
            "ver" => drop(reader.skip()?),
            "src" => self.src = Party::read(reader)?,
            "dest" => self.dest = Party::read(reader)?,
            "time" | "ts" => self.time = lenient::time(reader)?,
            "Timestamp" | "timestamp" => self.timestamp = lenient::time(reader)?,
            "msg" => self.msg = lenient::integer(reader)?,
            "MsgType" => self.msg_type = lenient::integer(reader)?,
            "id" => self.id = lenient::id(reader)?,
            "resp" => self.resp = lenient::integer(reader)?,
            "resp_id" => self.resp_id = lenient::id(reader)?,
            "Device" | "device" => self.device = lenient::text(reader)?,
            "body" => {
                let start = reader.place();
                self.body = match self.msg {
                    Some(number) => Some((number, read_body(number, topic, reader)?)),
                    None => {
                        reader.skip()?;
                        None
                    }
                };
                self.raw_body = Some(reader.since(start));
            }
            _ => {
                if !self.flat.field(key, reader)? {
                    reader.skip()?;
                }
            }
        }
        Ok(())
    }

    fn envelope(&self, topic: TopicKind) -> Envelope<'a> {
        let party = match topic {
            TopicKind::In => self.dest,
            TopicKind::Out | TopicKind::Batch => self.src,
        };
        let named = party.name.filter(|_| party.kind.is_none_or(|kind| kind == SRC_DEVICE)).or(self.device);
        let (form, number) = match (self.msg, self.msg_type) {
            (Some(number), _) => (MessageForm::Mcm, Some(number)),
            (None, Some(number)) => (MessageForm::Legacy, Some(number)),
            (None, None) => (MessageForm::Bare, None),
        };
        Envelope {
            topic,
            form,
            number,
            device: named.and_then(|name| DeviceId::new(name.as_plain()?)),
            src_type: self.src.kind,
            src_ref: self.src.name,
            time: match form {
                MessageForm::Legacy => self.timestamp.or(self.time),
                MessageForm::Mcm | MessageForm::Bare => self.time.or(self.timestamp),
            },
            id: self.id,
            resp_id: self.resp_id,
            resp: self.resp,
        }
    }

    fn finish(self, topic: TopicKind, raw: RawJson<'a>) -> Result<Message<'a>, DecodeError> {
        let mut envelope = self.envelope(topic);
        let again = |number| {
            let mut reader = self.raw_body.map_or(Reader::new("null"), RawJson::reader);
            read_body(number, topic, &mut reader).map_err(|Stop| reader.error())
        };
        let mut body = match (envelope.form, envelope.number) {
            (MessageForm::Legacy, Some(number)) => legacy_body(number, &self.flat),
            (_, Some(number)) => match self.body {
                Some((read_as, body)) if read_as == number => body,
                _ => again(number)?,
            },
            (_, None) => {
                let body = self.recognise(topic, again)?;
                if matches!(body, Body::Ack(_) | Body::Command(_)) {
                    envelope.number = Some(44);
                }
                body
            }
        };
        match &mut body {
            Body::FloorStatus(status) => {
                status.heating = status.heating.or(self.flat.heat_stat);
                status.line_voltage = status.line_voltage.or(self.flat.line_voltage);
            }
            Body::Status(status) => {
                status.heating = status.heating.or(self.flat.heat_stat);
                status.line_voltage = status.line_voltage.or(self.flat.line_voltage);
            }
            Body::Firmware(report) => report.version = report.version.or(self.flat.version),
            Body::BatchReadings(batch) => batch.readings = batch.readings.or(self.flat.readings),
            _ => {}
        }
        Ok(Message { envelope, body, raw, raw_body: self.raw_body })
    }

    /// A message without a number: the acknowledgement the design document shows, and the readings of older firmware.
    fn recognise(
        &self,
        topic: TopicKind,
        read: impl Fn(i64) -> Result<Body<'a>, JsonError>,
    ) -> Result<Body<'a>, JsonError> {
        if let Body::BatchReadings(batch) = read(3)?
            && (batch.readings.is_some() || self.flat.readings.is_some())
        {
            return Ok(Body::BatchReadings(batch));
        }
        Ok(match read(44)? {
            Body::Ack(ack) if topic == TopicKind::Out && ack.success.is_some() && ack.state.is_some() => {
                Body::Ack(ack)
            }
            Body::Command(command) if command.changes.is_some() => Body::Command(command),
            _ => Body::Unknown,
        })
    }
}

fn legacy_body<'a>(number: i64, flat: &Flat<'a>) -> Body<'a> {
    match number {
        0 => Body::V1Status(V1Status::from_flat(flat)),
        1 => Body::SetpointChange(SetpointChange::from_flat(flat)),
        4 => Body::Log(Log::from_flat(flat)),
        5 => Body::EchoReply(EchoReply::from_flat(flat)),
        6 => Body::Event(Event::from_flat(flat)),
        7 => Body::Reboot,
        10 => Body::Boot(Boot::from_flat(flat)),
        11 => Body::LiveReport(LiveReport::from_flat(flat)),
        20 => Body::StatusCheck,
        40 => Body::PairingReset(PairingReset::from_flat(flat)),
        _ => Body::Unknown,
    }
}

fn read_body<'a>(number: i64, topic: TopicKind, reader: &mut Reader<'a>) -> Result<Body<'a>, Stop> {
    Ok(match number {
        3 => Body::BatchReadings(BatchMessage::read(reader)?),
        16 => Body::FloorLine(FloorLine::read(reader)?),
        17 => Body::FloorStatus(FloorStatus::read(reader)?),
        30 => Body::AcStatus(AcStatus::read(reader)?),
        31 => Body::AcState(AcState::read(reader)?),
        34 => Body::Schedule(ScheduleMessage::read(reader)?),
        40 => Body::Status(StatusBody::read(reader)?.0),
        44 => {
            let body = ControlBody::read(reader)?;
            let answer = body.ack.success.is_some() || body.ack.state.is_some();
            if body.cmd.is_some() || (topic == TopicKind::In && !answer) {
                let changes = body.cmd.and_then(Changeset::new);
                Body::Command(CommandMessage { body_type: body.ack.body_type, changes })
            } else {
                Body::Ack(body.ack)
            }
        }
        61 => Body::Firmware(FirmwareReport::read(reader)?),
        _ => {
            reader.skip()?;
            Body::Unknown
        }
    })
}

/// A status whose fields may stand in `reading`.
#[derive(Default)]
struct StatusBody(Status);

impl<'a> Fields<'a> for StatusBody {
    const KEYS: &'static [&'static str] = &[
        "ambTemp",
        "hum",
        "stpt",
        "dtyCycle",
        "flrSnsrTemp",
        "heatStat",
        "trackedSnsr",
        "lineVtg",
        "reading",
    ];

    #[inline]
    fn field(&mut self, key: &str, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        if key != "reading" {
            return self.0.field(key, reader);
        }
        reader.object(|reader, key| {
            if !self.0.field(key, reader)? {
                reader.skip()?;
            }
            Ok(())
        })?;
        Ok(true)
    }
}

/// `msg` 44 before it is known which way it goes.
#[derive(Default)]
struct ControlBody<'a> {
    ack: Ack,
    cmd: Option<RawJson<'a>>,
}

impl<'a> Fields<'a> for ControlBody<'a> {
    const KEYS: &'static [&'static str] = &["cmd"];

    fn field(&mut self, key: &str, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        if key != "cmd" {
            return self.ack.field(key, reader);
        }
        self.cmd = Some(reader.skip()?);
        Ok(true)
    }
}
