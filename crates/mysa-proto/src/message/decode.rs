//! Decoding of a message, with its members in any order.

use core::hint::cold_path;

use crate::json::field::{self, ReadFields, ReadMembers, by_key, members, quoted};
use crate::json::key::{Key, unescape};
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
    msg: Option<i64>,
    id: Option<MessageId>,
    resp: Option<i64>,
    resp_id: Option<MessageId>,
    raw_body: Option<RawJson<'a>>,
    /// Body, and the message number that it was decoded as.
    body: Option<(i64, PartBody<'a>)>,
}

/// Body before the rest of the message is known. The usual ones are read into their place, because a copy right after the stores
/// stalls the processor.
enum PartBody<'a> {
    Status(StatusBody),
    Control(ControlBody<'a>),
    Other(Body<'a>),
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
    match reader.open_object::<false>() {
        None => Err(not_an_object(reader)),
        Some(false) => decode_any_order(&mut Decoder::default(), topic, start, None, reader),
        Some(true) if reader.is_capital_key() => legacy(topic, start, reader),
        Some(true) if reader.has_blanks_since(start) => {
            decode_with_blanks(&mut Decoder::default(), topic, start, reader)
        }
        Some(true) => decode_envelope_first::<false>(&mut Decoder::default(), topic, start, reader),
    }
}

/// Decodes a message whose members come in the order that devices use, as [`ReadFields::in_order`] does.
#[inline(always)]
fn decode_envelope_first<'a, const BLANKS: bool>(
    decoder: &mut Decoder<'a>,
    topic: TopicKind,
    start: Place<'a>,
    reader: &mut Reader<'a>,
) -> Result<Message<'a>, DecodeError> {
    let before_key = decoder.in_order::<BLANKS>(reader).map_err(|Stop| reader.error())?;
    let body = before_key && reader.consume_key::<BLANKS, _>(quoted!("body"));
    let Some(number) = decoder.msg.filter(|_| body) else {
        if body {
            decoder.body(topic, reader).map_err(|Stop| reader.error())?;
            return decode_any_order(decoder, topic, start, Some(reader.comma::<true>()), reader);
        }
        if !BLANKS && before_key && reader.is_blank() {
            return decode_with_blanks(decoder, topic, start, reader);
        }
        return decode_any_order(decoder, topic, start, Some(before_key), reader);
    };
    // The device is built before the body is read: a copy right after the stores stalls the processor.
    let device = decoder.named(topic, None);
    let rest = Rest { topic, start, body_start: reader.place(), number, device };
    // The usual bodies are put straight into the message: a copy of the enum costs as much as reading two fields.
    match number {
        40 => {
            let mut status = StatusBody::default();
            status.fill_in_order::<BLANKS>(reader).map_err(|Stop| reader.error())?;
            rest.read::<BLANKS>(decoder, Body::Status(status.0), reader)
        }
        44 => {
            let mut body = ControlBody::default();
            body.fill_in_order::<BLANKS>(reader).map_err(|Stop| reader.error())?;
            if body.is_command(topic) {
                return rest.read::<BLANKS>(decoder, body.finish(topic), reader);
            }
            rest.read::<BLANKS>(decoder, Body::Ack(body.ack), reader)
        }
        _ => {
            let body = read_body(number, topic, reader).map_err(|Stop| reader.error())?;
            rest.read::<BLANKS>(decoder, body, reader)
        }
    }
}

/// Like [`decode_envelope_first`], from the first white space.
#[inline(never)]
fn decode_with_blanks<'a>(
    decoder: &mut Decoder<'a>,
    topic: TopicKind,
    start: Place<'a>,
    reader: &mut Reader<'a>,
) -> Result<Message<'a>, DecodeError> {
    reader.peek();
    decode_envelope_first::<true>(decoder, topic, start, reader)
}

/// Decodes a message whose first key is one of a `MsgType` message.
#[inline(never)]
fn legacy<'a>(
    topic: TopicKind,
    start: Place<'a>,
    reader: &mut Reader<'a>,
) -> Result<Message<'a>, DecodeError> {
    let mut flat = Flat::default();
    let before_key = reader.has_blanks_since(start)
        || legacy_in_order::<false>(&mut flat, reader).map_err(|Stop| reader.error())?;
    let mut decoder = Decoder::default();
    if before_key || !reader.consume(b'}') {
        decoder.legacy_rest(topic, before_key, &mut flat, reader).map_err(|Stop| reader.error())?;
    }
    decoder.finish(topic, start, &flat, reader)
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
    fn read<const BLANKS: bool>(
        self,
        decoder: &mut Decoder<'a>,
        body: Body<'a>,
        reader: &mut Reader<'a>,
    ) -> Result<Message<'a>, DecodeError> {
        let raw_body = Some(reader.since(self.body_start));
        if !reader.close_object::<BLANKS>() && !reader.close_object::<true>() {
            cold_path();
            decoder.raw_body = raw_body;
            decoder.body = Some((self.number, PartBody::Other(body)));
            return decode_any_order(decoder, self.topic, self.start, Some(false), reader);
        }
        let raw = reader.since(self.start);
        reader.end().map_err(|Stop| reader.error())?;
        let envelope = decoder.envelope_of(self.device, self.topic, None, None);
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
    decoder.finish(topic, start, &flat, reader)
}

impl<'a> Decoder<'a> {
    /// Reads an object up to the first error.
    pub(crate) fn salvage(topic: TopicKind, reader: &mut Reader<'a>) -> Envelope<'a> {
        let (mut decoder, mut flat) = (Self::default(), Flat::default());
        // The members before the error are the result.
        if reader.open_object::<false>() == Some(true) {
            let _ = decoder.decode_any_order(topic, true, &mut flat, reader);
        }
        decoder.envelope(topic, &flat)
    }

    /// Reads the members before the body while they are in the order that devices use, as [`ReadFields::in_order`] does.
    #[inline(always)]
    fn in_order<const BLANKS: bool>(&mut self, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        let mut before_key = true;
        members! { reader, before_key, BLANKS;
            "ver" => reader.skip_version()?;
            "src" => self.read_src::<BLANKS>(reader)?;
            "time" => self.time = field::time(reader)?;
            "msg" => self.msg = field::integer(reader)?;
            "id" => self.id = field::id(reader)?;
            "resp_id" => self.resp_id = field::id(reader)?;
        }
        Ok(before_key)
    }

    #[inline(always)]
    fn read_src<const BLANKS: bool>(&mut self, reader: &mut Reader<'a>) -> Result<(), Stop> {
        self.src = Party::default();
        self.src.fill_in_order::<BLANKS>(reader)
    }

    /// Like `read_src`, in a message whose members are not in their usual order: both orders of the two members are usual.
    #[inline(always)]
    fn read_src_in_any_order(&mut self, reader: &mut Reader<'a>) -> Result<(), Stop> {
        self.src = Party::default();
        match reader.open_object::<true>() {
            None => return reader.skip_value().map(drop),
            Some(false) => return Ok(()),
            Some(true) => {}
        }
        let mut before_key = self.src.in_order::<true>(reader)?;
        if before_key {
            before_key = self.src.in_order::<true>(reader)?;
        }
        if !before_key && reader.close_object::<true>() {
            return Ok(());
        }
        self.src.fill_rest(before_key, false, reader)
    }

    /// Reads members in any order, as [`ReadFields::fill_rest`] does.
    #[inline(always)]
    fn decode_any_order(
        &mut self,
        topic: TopicKind,
        before_key: bool,
        flat: &mut Flat<'a>,
        reader: &mut Reader<'a>,
    ) -> Result<(), Stop> {
        AnyOrder { envelope: self, flat, topic }.any_order(before_key, reader)
    }

    /// Like `decode_any_order`, from the first member of a `MsgType` message that is not in its usual place or form.
    #[inline(never)]
    fn legacy_rest(
        &mut self,
        topic: TopicKind,
        mut before_key: bool,
        flat: &mut Flat<'a>,
        reader: &mut Reader<'a>,
    ) -> Result<(), Stop> {
        if before_key {
            reader.peek();
            before_key = legacy_in_order::<true>(flat, reader)?;
            if !before_key && reader.close_object::<true>() {
                return Ok(());
            }
        }
        LegacyAnyOrder(AnyOrder { envelope: self, flat, topic }).any_order(before_key, reader)
    }

    /// Reads the value of `body`, as a guess if the number of the message is not known yet.
    #[inline(never)]
    fn body(&mut self, topic: TopicKind, reader: &mut Reader<'a>) -> Result<(), Stop> {
        let start = reader.place();
        let number = self.msg.unwrap_or_else(|| likely_number(reader));
        match number {
            40 => {
                let (_, body) = self.body.insert((number, PartBody::Status(StatusBody::default())));
                if let PartBody::Status(status) = body {
                    status.fill_in_any_order(reader)?;
                }
            }
            44 => {
                let (_, body) = self.body.insert((number, PartBody::Control(ControlBody::default())));
                if let PartBody::Control(control) = body {
                    control.fill_in_any_order(reader)?;
                }
            }
            _ => self.body = Some((number, PartBody::Other(read_body(number, topic, reader)?))),
        }
        self.raw_body = Some(reader.since(start));
        Ok(())
    }

    /// Device that the message names.
    #[inline(always)]
    fn named(&self, topic: TopicKind, beside: Option<JsonStr<'a>>) -> Option<DeviceId> {
        let party = match topic {
            TopicKind::In => &self.dest,
            TopicKind::Out | TopicKind::Batch => &self.src,
        };
        let named = party.name.filter(|_| party.kind.is_none_or(|kind| kind == SRC_DEVICE)).or(beside);
        named.and_then(|name| match name.plain_bytes() {
            Some(plain) => DeviceId::from_bytes(plain),
            None => escaped_id(name),
        })
    }

    #[inline(always)]
    fn envelope(&self, topic: TopicKind, flat: &Flat<'a>) -> Envelope<'a> {
        self.envelope_of(self.named(topic, flat.device), topic, flat.msg_type, flat.timestamp)
    }

    // Inlined, so that the fields are stored where they stay: a copy right after the stores stalls the processor.
    #[inline(always)]
    fn envelope_of(
        &self,
        device: Option<DeviceId>,
        topic: TopicKind,
        msg_type: Option<i64>,
        timestamp: Option<UnixTime>,
    ) -> Envelope<'a> {
        let (form, number) = match (self.msg, msg_type) {
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
                MessageForm::Legacy => timestamp.or(self.time),
                MessageForm::Mcm | MessageForm::Bare => self.time.or(timestamp),
            },
            id: self.id,
            resp_id: self.resp_id,
            resp: self.resp,
        }
    }

    /// Completes a message behind its last member.
    #[inline(always)]
    fn finish(
        &mut self,
        topic: TopicKind,
        start: Place<'a>,
        flat: &Flat<'a>,
        reader: &mut Reader<'a>,
    ) -> Result<Message<'a>, DecodeError> {
        let (raw, raw_body) = (reader.since(start), self.raw_body);
        reader.end().map_err(|Stop| reader.error())?;
        // Each body is put straight into the message, as in `decode_envelope_first`.
        let body = match (self.msg, flat.msg_type, &mut self.body) {
            (None, Some(number), _) => legacy_body(number, flat),
            (Some(40), _, Some((_, PartBody::Status(StatusBody(status))))) => {
                adopt(status, flat);
                Body::Status(*status)
            }
            (Some(44), _, Some((_, PartBody::Control(control)))) if !control.is_command(topic) => {
                Body::Ack(control.ack)
            }
            _ => return self.finish_unusual(topic, raw, flat),
        };
        Ok(Message { envelope: self.envelope(topic, flat), body, raw, raw_body })
    }

    /// Completes a message that is not a status or an acknowledgement, or whose body was read as that of another one.
    #[inline(never)]
    fn finish_unusual(
        &mut self,
        topic: TopicKind,
        raw: RawJson<'a>,
        flat: &Flat<'a>,
    ) -> Result<Message<'a>, DecodeError> {
        let mut envelope = self.envelope(topic, flat);
        let raw_body = self.raw_body;
        let again = |number| {
            let mut reader = raw_body.map_or(Reader::new(b"null"), RawJson::reader);
            read_body(number, topic, &mut reader).map_err(|Stop| reader.error())
        };
        let mut body = match self.msg {
            Some(number) => match self.body.take() {
                Some((read_as, PartBody::Other(body))) if read_as == number => body,
                Some((44, PartBody::Control(control))) if number == 44 => control.finish(topic),
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
        match &mut body {
            Body::FloorStatus(status) => {
                status.heating = status.heating.or(flat.heat_stat);
                status.line_voltage = status.line_voltage.or(flat.line_voltage);
            }
            Body::Status(status) => adopt(status, flat),
            Body::Firmware(report) => report.version = report.version.or(flat.version),
            Body::BatchReadings(batch) => batch.readings = batch.readings.or(flat.readings),
            _ => {}
        }
        Ok(Message { envelope, body, raw, raw_body })
    }
}

/// Id in a string with escapes.
#[cold]
#[inline(never)]
fn escaped_id(name: JsonStr<'_>) -> Option<DeviceId> {
    DeviceId::from_bytes(unescape(name.raw_bytes(), &mut [0; DeviceId::MAX_LEN])?)
}

/// Fills in fields that some firmware writes beside the body.
fn adopt(status: &mut Status, flat: &Flat<'_>) {
    status.heating = status.heating.or(flat.heat_stat);
    status.line_voltage = status.line_voltage.or(flat.line_voltage);
}

/// Reads the members of a `MsgType` message, whose keys devices sort, as [`ReadFields::in_order`] does.
#[inline(always)]
fn legacy_in_order<'a, const BLANKS: bool>(
    flat: &mut Flat<'a>,
    reader: &mut Reader<'a>,
) -> Result<bool, Stop> {
    let mut before_key = true;
    members! { reader, before_key, BLANKS;
        "ComboTemp" => flat.combo_temp = field::celsius(reader)?;
        "Current" => flat.current = field::amperes(reader)?;
        "Device" => flat.device = field::text(reader)?;
        "Humidity" => flat.humidity = field::humidity(reader)?;
        "Level" => flat.level = field::text(reader)?;
        "MainTemp" => flat.main_temp = field::celsius(reader)?;
        "Message" => flat.message = field::text(reader)?;
        "MsgType" => flat.msg_type = field::integer(reader)?;
        "Next" => flat.next = field::celsius(reader)?;
        "Prev" => flat.prev = field::celsius(reader)?;
        "SetPoint" => flat.set_point = field::celsius(reader)?;
        "Source" => flat.source = field::integer(reader)?;
        "Stream" => flat.stream = field::integer(reader)?;
        "ThermistorTemp" => flat.thermistor_temp = field::celsius(reader)?;
        "Timestamp" => flat.timestamp = field::time(reader)?;
    }
    Ok(before_key)
}

/// Members of a message in any order.
struct AnyOrder<'d, 'a> {
    envelope: &'d mut Decoder<'a>,
    flat: &'d mut Flat<'a>,
    topic: TopicKind,
}

impl<'a> AnyOrder<'_, 'a> {
    #[inline(always)]
    fn envelope_by_key(&mut self, known: Option<Key>, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        by_key! { reader, known;
            ver: "ver" => reader.skip_version()?;
            src: "src" => self.envelope.read_src_in_any_order(reader)?;
            dest: "dest" => self.envelope.dest = Party::read(reader)?;
            time: "time" | "ts" => self.envelope.time = field::time(reader)?;
            msg: "msg" => self.envelope.msg = field::integer(reader)?;
            id: "id" => self.envelope.id = field::id(reader)?;
            resp_id: "resp_id" => self.envelope.resp_id = field::id(reader)?;
            resp: "resp" => self.envelope.resp = field::integer(reader)?;
            body: "body" => self.envelope.body(self.topic, reader)?;
        }
    }

    #[inline(never)]
    fn unusual_envelope_by_key(&mut self, known: Option<Key>, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        self.envelope_by_key(known, reader)
    }

    #[inline(never)]
    fn unusual_flat_by_key(&mut self, known: Option<Key>, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        self.flat.by_key(known, reader)
    }
}

impl<'a> ReadMembers<'a> for AnyOrder<'_, 'a> {
    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn by_key(&mut self, known: Option<Key>, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        Ok(self.envelope_by_key(known, reader)? || self.unusual_flat_by_key(known, reader)?)
    }
}

/// Like [`AnyOrder`], for a message that begins like a `MsgType` message.
struct LegacyAnyOrder<'d, 'a>(AnyOrder<'d, 'a>);

impl<'a> ReadMembers<'a> for LegacyAnyOrder<'_, 'a> {
    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn by_key(&mut self, known: Option<Key>, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        Ok(self.0.flat.by_key(known, reader)? || self.0.unusual_envelope_by_key(known, reader)?)
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
            body.finish(topic)
        }
        61 => Body::Firmware(FirmwareReport::read(reader)?),
        _ => {
            reader.skip_value()?;
            Body::Unknown
        }
    })
}

/// Guesses the number of a message by the first key of its body. A wrong guess costs another reading of the body.
fn likely_number(reader: &Reader<'_>) -> i64 {
    let control = matches!(reader.first_key(), Some(b"\"sta" | b"\"suc" | b"\"tri" | b"\"typ"));
    if control { 44 } else { 40 }
}

/// Status whose fields may be nested in `reading`.
#[derive(Default)]
pub(crate) struct StatusBody(Status);

impl<'a> ReadMembers<'a> for StatusBody {
    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn by_key(&mut self, known: Option<Key>, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        if self.0.by_key(known, reader)? {
            return Ok(true);
        }
        if known != const { Some(Key::new("reading")) } {
            return Ok(false);
        }
        match reader.open_object::<false>() {
            None => drop(reader.skip_value()?),
            Some(false) => {}
            Some(true) => self.0.fill_rest(true, false, reader)?,
        }
        Ok(true)
    }
}

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
    fn in_order<const BLANKS: bool>(&mut self, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        self.0.in_order::<BLANKS>(reader)
    }
}

/// `msg` 44 before its direction is known.
#[derive(Default)]
struct ControlBody<'a> {
    ack: Ack,
    cmd: Option<RawJson<'a>>,
}

impl<'a> ControlBody<'a> {
    /// True if this is a command and no acknowledgement.
    fn is_command(&self, topic: TopicKind) -> bool {
        let answer = self.ack.success.is_some() || self.ack.state.is_some();
        self.cmd.is_some() || (topic == TopicKind::In && !answer)
    }

    #[inline(always)]
    fn finish(self, topic: TopicKind) -> Body<'a> {
        if !self.is_command(topic) {
            return Body::Ack(self.ack);
        }
        let changes = self.cmd.and_then(Changeset::new);
        Body::Command(CommandMessage { body_type: self.ack.body_type, changes })
    }
}

impl<'a> ReadMembers<'a> for ControlBody<'a> {
    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn by_key(&mut self, known: Option<Key>, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        by_key! { reader, known;
            state: "state" => field::nested_into(&mut self.ack.state, reader, ReadFields::fill_in_any_order)?;
            success: "success" => self.ack.success = field::flag(reader)?;
            trig_src: "trig_src" => self.ack.trigger_source = field::integer(reader)?;
            body_type: "type" => self.ack.body_type = field::integer(reader)?;
            cmd: "cmd" => self.cmd = Some(reader.skip_value()?);
        }
    }
}

impl<'a> ReadFields<'a> for ControlBody<'a> {
    const KEYS: &'static [&'static str] = &["state", "success", "trig_src", "type", "cmd"];

    #[inline(always)]
    fn in_order<const BLANKS: bool>(&mut self, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        let mut before_key = true;
        members! { reader, before_key, BLANKS;
            "state" => field::nested_into(&mut self.ack.state, reader, ReadFields::fill_in_order::<BLANKS>)?;
            "success" => self.ack.success = field::flag(reader)?;
            "trig_src" => self.ack.trigger_source = field::integer(reader)?;
            "type" => self.ack.body_type = field::integer(reader)?;
        }
        Ok(before_key)
    }
}
