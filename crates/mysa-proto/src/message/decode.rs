//! Decoding of a message, with its members in any order.

use crate::json::field::{self, ReadFields, members, quoted};
use crate::json::key::Key;
use crate::json::reader::{Place, Reader, Stop};
use crate::message::SRC_DEVICE;
use crate::message::legacy::Flat;
use crate::{
    AcState, AcStatus, Ack, BatchMessage, Body, Boot, Changeset, CommandMessage, DecodeError, DeviceId,
    EchoReply, Envelope, Event, FirmwareReport, FloorLine, FloorStatus, JsonError, JsonStr, LiveReport, Log,
    Message, MessageForm, MessageId, PairingReset, RawJson, ScheduleMessage, SetpointChange, Status,
    TopicKind, UnixTime, V1Status,
};

/// Top-level members of a message, except the fields of `MsgType` messages.
#[derive(Default)]
pub(crate) struct Decoder<'a> {
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
    raw_body: Option<RawJson<'a>>,
    /// Body, and the message number that it was decoded as.
    body: Option<(i64, Body<'a>)>,
}

field::fields! { 'a;
    struct Party<'a> {
        kind: i64 = "type" => field::integer,
        name: JsonStr<'a> = "ref" => field::text,
    }
}

/// Decodes a text that contains one message.
#[inline]
pub(crate) fn message<'a>(topic: TopicKind, reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let start = reader.place();
    let mut decoder = Decoder::default();
    let before_key = match reader.open_object() {
        None => return Err(not_an_object(reader)),
        Some(false) => return decode_any_order(&mut decoder, topic, start, None, reader),
        Some(true) => decoder.in_order(reader).map_err(|Stop| reader.error())?,
    };
    let Some(number) = decoder.msg.filter(|_| before_key && reader.consume_key(quoted!("body"))) else {
        return decode_any_order(&mut decoder, topic, start, Some(before_key), reader);
    };
    // The device is built before the body is read: a copy right after the stores stalls the processor.
    let device = decoder.named(topic);
    let rest = Rest { topic, start, body_start: reader.place(), number, device };
    // The usual bodies are put straight into the message: a copy of the enum costs as much as reading two fields.
    match number {
        40 => {
            let mut status = StatusBody::default();
            status.fill(reader).map_err(|Stop| reader.error())?;
            rest.read(&mut decoder, Body::Status(status.0), reader)
        }
        44 => {
            let mut body = ControlBody::default();
            body.fill(reader).map_err(|Stop| reader.error())?;
            match body.command(topic) {
                Some(command) => rest.read(&mut decoder, Body::Command(command), reader),
                None => rest.read(&mut decoder, Body::Ack(body.ack), reader),
            }
        }
        _ => {
            let body = read_body(number, topic, reader).map_err(|Stop| reader.error())?;
            rest.read(&mut decoder, body, reader)
        }
    }
}

/// Rest of a message after its body.
struct Rest<'a> {
    topic: TopicKind,
    start: Place<'a>,
    body_start: Place<'a>,
    number: i64,
    device: Option<DeviceId>,
}

impl<'a> Rest<'a> {
    // Inlined, so that neither the decoder nor the body is copied.
    #[inline(always)]
    fn read(
        self,
        decoder: &mut Decoder<'a>,
        body: Body<'a>,
        reader: &mut Reader<'a>,
    ) -> Result<Message<'a>, DecodeError> {
        let raw_body = Some(reader.since(self.body_start));
        if !reader.consume(b'}') && (reader.peek() != Some(b'}') || !reader.consume(b'}')) {
            decoder.raw_body = raw_body;
            decoder.body = Some((self.number, body));
            return decode_any_order(decoder, self.topic, self.start, Some(false), reader);
        }
        let raw = reader.since(self.start);
        reader.end().map_err(|Stop| reader.error())?;
        let envelope = decoder.envelope_of(self.device, self.topic);
        Ok(Message { envelope, body, raw, raw_body })
    }
}

#[cold]
fn not_an_object(reader: &mut Reader<'_>) -> DecodeError {
    if reader.peek().is_none() {
        return DecodeError::Empty;
    }
    match reader.skip_value().and_then(|_| reader.end()) {
        Ok(()) => DecodeError::NotAnObject,
        Err(Stop) => reader.error().into(),
    }
}

/// Slow path: reads the rest of a message from the first member that is not in its usual place. `before_key` tells whether a key
/// is next; `None` is the end of the object.
#[inline(never)]
fn decode_any_order<'a>(
    decoder: &mut Decoder<'a>,
    topic: TopicKind,
    start: Place<'a>,
    before_key: Option<bool>,
    reader: &mut Reader<'a>,
) -> Result<Message<'a>, DecodeError> {
    let mut flat = Flat::default();
    if let Some(before_key) = before_key {
        decoder.decode_any_order(topic, before_key, &mut flat, reader).map_err(|Stop| reader.error())?;
    }
    let raw = reader.since(start);
    reader.end().map_err(|Stop| reader.error())?;
    if let (None, Some(number)) = (decoder.msg, decoder.msg_type) {
        let envelope = decoder.envelope(topic);
        return Ok(Message { envelope, body: legacy_body(number, &flat), raw, raw_body: decoder.raw_body });
    }
    decoder.finish(topic, raw, &flat)
}

impl<'a> Decoder<'a> {
    /// Reads an object up to the first error.
    pub(crate) fn salvage(topic: TopicKind, reader: &mut Reader<'a>) -> Envelope<'a> {
        let mut decoder = Self::default();
        // The members before the error are the result.
        if reader.open_object() == Some(true) {
            let _ = decoder.decode_any_order(topic, true, &mut Flat::default(), reader);
        }
        decoder.envelope(topic)
    }

    /// Reads the members before the body while they are in the order that devices use, as [`ReadFields::in_order`] does.
    #[inline(always)]
    fn in_order(&mut self, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        let mut before_key = true;
        members! { reader, before_key;
            "ver" => reader.skip_version()?;
            "src" => self.read_src(reader)?;
            "time" => self.time = field::time(reader)?;
            "msg" => self.msg = field::integer(reader)?;
            "id" => self.id = field::id(reader)?;
            "resp_id" => self.resp_id = field::id(reader)?;
        }
        Ok(before_key)
    }

    #[inline(always)]
    fn read_src(&mut self, reader: &mut Reader<'a>) -> Result<(), Stop> {
        self.src = Party::default();
        self.src.fill(reader)
    }

    /// Like `in_order`, for `MsgType` messages, whose keys devices sort.
    #[inline(never)]
    fn legacy_in_order(&mut self, flat: &mut Flat<'a>, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        let mut before_key = true;
        members! { reader, before_key;
            "ComboTemp" => flat.combo_temp = field::celsius(reader)?;
            "Current" => flat.current = field::amperes(reader)?;
            "Device" => self.device = field::text(reader)?;
            "Humidity" => flat.humidity = field::humidity(reader)?;
            "Level" => flat.level = field::text(reader)?;
            "MainTemp" => flat.main_temp = field::celsius(reader)?;
            "Message" => flat.message = field::text(reader)?;
            "MsgType" => self.msg_type = field::integer(reader)?;
            "Next" => flat.next = field::celsius(reader)?;
            "Prev" => flat.prev = field::celsius(reader)?;
            "SetPoint" => flat.set_point = field::celsius(reader)?;
            "Source" => flat.source = field::integer(reader)?;
            "Stream" => flat.stream = field::integer(reader)?;
            "ThermistorTemp" => flat.thermistor_temp = field::celsius(reader)?;
            "Timestamp" => self.timestamp = field::time(reader)?;
        }
        Ok(before_key)
    }

    /// Reads members in any order, as [`ReadFields::fill_rest`] does.
    #[inline(never)]
    fn decode_any_order(
        &mut self,
        topic: TopicKind,
        mut before_key: bool,
        flat: &mut Flat<'a>,
        reader: &mut Reader<'a>,
    ) -> Result<(), Stop> {
        while before_key || reader.next_key()? {
            let left = reader.left();
            before_key = if reader.is_capital_key() {
                self.legacy_in_order(flat, reader)?
            } else if reader.consume_key(quoted!("body")) {
                self.body(topic, reader)?;
                reader.comma()
            } else {
                self.in_order(reader)?
            };
            if reader.left() == left {
                reader.member(|reader, key| {
                    if key == const { Key::new("body") } {
                        return self.body(topic, reader).map(|()| true);
                    }
                    Ok(self.field(key, reader)? || flat.field(key, reader)?)
                })?;
                before_key = reader.comma();
            }
        }
        Ok(())
    }

    /// Reads the value of an envelope key. Returns `false` and consumes nothing for any other key.
    #[inline(always)]
    fn field(&mut self, key: Key, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        macro_rules! read {
            ($($($key:literal)|+ => $read:expr,)*) => {
                $(
                    if $( key == const { Key::new($key) } )||+ {
                        $read;
                        return Ok(true);
                    }
                )*
            };
        }
        read! {
            "ver" => reader.skip_version()?,
            "src" => self.read_src(reader)?,
            "dest" => self.dest = Party::read(reader)?,
            "time" | "ts" => self.time = field::time(reader)?,
            "Timestamp" | "timestamp" => self.timestamp = field::time(reader)?,
            "msg" => self.msg = field::integer(reader)?,
            "MsgType" => self.msg_type = field::integer(reader)?,
            "id" => self.id = field::id(reader)?,
            "resp" => self.resp = field::integer(reader)?,
            "resp_id" => self.resp_id = field::id(reader)?,
            "Device" | "device" => self.device = field::text(reader)?,
        }
        Ok(false)
    }

    #[inline]
    fn body(&mut self, topic: TopicKind, reader: &mut Reader<'a>) -> Result<(), Stop> {
        let start = reader.place();
        let number = self.msg.unwrap_or_else(|| likely_number(reader));
        self.body = Some((number, read_body(number, topic, reader)?));
        self.raw_body = Some(reader.since(start));
        Ok(())
    }

    /// Device that the message names.
    #[inline(always)]
    fn named(&self, topic: TopicKind) -> Option<DeviceId> {
        let party = match topic {
            TopicKind::In => &self.dest,
            TopicKind::Out | TopicKind::Batch => &self.src,
        };
        let named = party.name.filter(|_| party.kind.is_none_or(|kind| kind == SRC_DEVICE)).or(self.device);
        named.and_then(|name| DeviceId::from_bytes(name.plain_bytes()?))
    }

    #[inline(always)]
    fn envelope(&self, topic: TopicKind) -> Envelope<'a> {
        self.envelope_of(self.named(topic), topic)
    }

    // Inlined, so that the fields are stored where they stay: a copy right after the stores stalls the processor.
    #[inline(always)]
    fn envelope_of(&self, device: Option<DeviceId>, topic: TopicKind) -> Envelope<'a> {
        let (form, number) = match (self.msg, self.msg_type) {
            (Some(number), _) => (MessageForm::Mcm, Some(number)),
            (None, Some(number)) => (MessageForm::Legacy, Some(number)),
            (None, None) => (MessageForm::Bare, None),
        };
        Envelope {
            topic,
            form,
            number,
            device,
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

    /// Completes a message that is not a `MsgType` message.
    fn finish(
        &mut self,
        topic: TopicKind,
        raw: RawJson<'a>,
        flat: &Flat<'a>,
    ) -> Result<Message<'a>, DecodeError> {
        let raw_body = self.raw_body;
        let mut envelope = self.envelope(topic);
        let again = |number| {
            let mut reader = raw_body.map_or(Reader::new(b"null"), RawJson::reader);
            read_body(number, topic, &mut reader).map_err(|Stop| reader.error())
        };
        let mut body = match self.msg {
            Some(number) => match self.body.take() {
                Some((read_as, body)) if read_as == number => body,
                _ => again(number)?,
            },
            None => {
                let body = recognise(topic, again, flat.readings.is_some())?;
                if matches!(body, Body::Ack(_) | Body::Command(_)) {
                    envelope.number = Some(44);
                }
                body
            }
        };
        adopt(&mut body, flat);
        Ok(Message { envelope, body, raw, raw_body })
    }
}

/// Fills in fields that some firmware writes beside the body.
fn adopt<'a>(body: &mut Body<'a>, flat: &Flat<'a>) {
    match body {
        Body::FloorStatus(status) => {
            status.heating = status.heating.or(flat.heat_stat);
            status.line_voltage = status.line_voltage.or(flat.line_voltage);
        }
        Body::Status(status) => {
            status.heating = status.heating.or(flat.heat_stat);
            status.line_voltage = status.line_voltage.or(flat.line_voltage);
        }
        Body::Firmware(report) => report.version = report.version.or(flat.version),
        Body::BatchReadings(batch) => batch.readings = batch.readings.or(flat.readings),
        _ => {}
    }
}

/// Recognises a message without a number: an acknowledgement as in the design document, a command, or the readings of
/// older firmware, which may be beside the body.
fn recognise<'a>(
    topic: TopicKind,
    read: impl Fn(i64) -> Result<Body<'a>, JsonError>,
    readings_beside: bool,
) -> Result<Body<'a>, JsonError> {
    if let Body::BatchReadings(batch) = read(3)?
        && (batch.readings.is_some() || readings_beside)
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
            body.command(topic).map_or(Body::Ack(body.ack), Body::Command)
        }
        61 => Body::Firmware(FirmwareReport::read(reader)?),
        _ => {
            reader.skip_value()?;
            Body::Unknown
        }
    })
}

/// Guesses the number of a message by the first key of its body. A wrong guess costs another reading of the body.
fn likely_number(reader: &mut Reader<'_>) -> i64 {
    let key = reader.clone().first_key();
    const CONTROL: [Key; 4] =
        [Key::new("state"), Key::new("success"), Key::new("trig_src"), Key::new("type")];
    if key.is_some_and(|key| CONTROL.contains(&key)) { 44 } else { 40 }
}

/// Status whose fields may be nested in `reading`.
#[derive(Default)]
pub(crate) struct StatusBody(Status);

impl<'a> ReadFields<'a> for StatusBody {
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

    #[inline(always)]
    fn in_order(&mut self, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        self.0.in_order(reader)
    }

    #[inline]
    fn field(&mut self, key: Key, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        if key != const { Key::new("reading") } {
            return self.0.field(key, reader);
        }
        reader.object(|reader, key| self.0.field(key, reader))?;
        Ok(true)
    }
}

/// `msg` 44 before its direction is known.
#[derive(Default)]
struct ControlBody<'a> {
    ack: Ack,
    cmd: Option<RawJson<'a>>,
}

impl<'a> ControlBody<'a> {
    /// The command, if this is one and no acknowledgement.
    fn command(&self, topic: TopicKind) -> Option<CommandMessage<'a>> {
        let answer = self.ack.success.is_some() || self.ack.state.is_some();
        (self.cmd.is_some() || (topic == TopicKind::In && !answer)).then(|| CommandMessage {
            body_type: self.ack.body_type,
            changes: self.cmd.and_then(Changeset::new),
        })
    }
}

impl<'a> ReadFields<'a> for ControlBody<'a> {
    const KEYS: &'static [&'static str] = &["cmd"];

    /// Like that of [`Ack`], with the state in its place.
    #[inline(always)]
    fn in_order(&mut self, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        let mut before_key = true;
        members! { reader, before_key;
            "state" => field::nested_into(&mut self.ack.state, reader)?;
            "success" => self.ack.success = field::flag(reader)?;
            "trig_src" => self.ack.trigger_source = field::integer(reader)?;
            "type" => self.ack.body_type = field::integer(reader)?;
        }
        Ok(before_key)
    }

    fn field(&mut self, key: Key, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        if key != const { Key::new("cmd") } {
            return self.ack.field(key, reader);
        }
        self.cmd = Some(reader.skip_value()?);
        Ok(true)
    }
}
