use core::time::Duration;

use mysa_proto::{
    Answer, BatchReadings, Body, Celsius, DecodeError, DeviceId, DeviceState, Family, Json, Message,
    MessageForm, ModeTable, Now, Observation, RawJson, SentCommand, TopicKind, UnixTime,
};

use crate::script::Script;

/// Decoder of the messages of devices.
///
/// Input: a byte that selects the topic (out, in or batch), then the payload.
///
/// Accepted text is UTF-8 and values are in range. White space around a message, and another notation of its numbers and strings,
/// change nothing. Unknown fields are kept whole. `Message::salvage` gives the envelope of a valid message. Merging it twice into a
/// `DeviceState` equals merging it once. No message of a device is dangerous. What the decoder leaves as text (the changes of a
/// command, the events of a schedule, the words of a log line) is read as well, and is in range.
///
/// ```
/// mysa_fuzz::message(b"\0{\"ver\":\"1.0\",\"msg\":40,\"src\":{\"ref\":\"a0b1c2d3e4f5\"}}");
/// mysa_fuzz::message(br#" {"ver":"1.0","msg":34,"body":{"events":["1|0|9|3|20|0|0|0|0|0"],"totalEvents":1}}"#);
/// ```
pub fn message(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    let topic = [TopicKind::Out, TopicKind::In, TopicKind::Batch][usize::from(choice & 3) % 3];
    let payload = script.rest();
    let message = match Message::decode(topic, payload) {
        Ok(message) => message,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if let DecodeError::NotUtf8 { at } = error {
                assert_eq!(str::from_utf8(payload).err().map(|error| error.valid_up_to()), Some(at));
            }
            let _ = Message::salvage(topic, payload);
            return;
        }
    };
    assert!(str::from_utf8(payload).is_ok_and(|text| text.contains(message.raw.as_str())));
    assert!(!message.raw.as_str().is_empty());
    assert_eq!(message.envelope.topic, topic);
    assert!(!format!("{message:?}").is_empty());
    assert_eq!(RawJson::new(message.raw.as_str()), Ok(message.raw));
    if payload.len() < Message::MAX_LEN - 2 {
        let padded = [b" ", payload, b"\n"].concat();
        assert_eq!(Message::decode(topic, &padded).as_ref(), Ok(&message), "blanks around it");
    }
    let other = in_other_notation(message.raw, 0);
    if other.len() <= Message::MAX_LEN {
        let other = Message::decode(topic, other.as_bytes());
        let other = other.as_ref().map(|other| (&other.envelope, &other.body));
        assert_eq!(other, Ok((&message.envelope, &message.body)), "the same in another notation");
    }
    // The number of a bare body is derived from the whole body, so it cannot be salvaged.
    if message.envelope.form != MessageForm::Bare {
        assert_eq!(Message::salvage(topic, payload).as_ref(), Some(&message.envelope));
    }

    let unknown = message.unknown_fields().count();
    let inside = message.raw_body.map_or(0, |body| body.members().count());
    assert!(unknown <= message.raw.members().count() + inside);
    for (key, value) in message.unknown_fields() {
        assert_eq!(RawJson::new(value.as_str()), Ok(value), "{key}");
    }
    if topic != TopicKind::In {
        assert_eq!(message.danger(), None);
    }
    body(&message);
    let Some(device) = DeviceId::new("a0b1c2d3e4f6") else { return };
    let _ = message.is_about(device);

    let received = Now { mono: Duration::from_secs(60), wall: UnixTime::from_secs(1_767_323_045) };
    for family in [None, Some(Family::BaseboardV2), Some(Family::AirConditioner), Some(Family::InFloor)] {
        let seen = Observation::from_message(&message, &ModeTable::OBSERVED, family, received);
        let Some(seen) = seen else {
            let mut state = DeviceState::new();
            assert_eq!(state.observe_message(&message, &ModeTable::OBSERVED, family, received), None);
            continue;
        };
        assert_ne!(topic, TopicKind::In, "what is sent to a device is not its state");
        in_range(&seen);
        merged_at_once(&message, &seen, family);
        let mut state = DeviceState::new();
        state.observe(&seen);
        assert!(state.observe(&seen).is_empty(), "merging twice must change nothing");
        assert_eq!(state.setpoint().map(|field| field.value), seen.setpoint);
        assert_eq!(state.temperature().map(|field| field.value), seen.temperature);
        assert_eq!(state.mode().map(|field| field.value), seen.mode);
    }
}

/// Reads the parts of a body that `Message::decode` does not read, and what is derived from its fields.
fn body(message: &Message<'_>) {
    match &message.body {
        Body::BatchReadings(batch) => drop(BatchReadings::from_message(batch)),
        Body::Schedule(schedule) => {
            let elements = schedule.raw_events.map_or(0, |events| events.elements().count());
            let mut read = 0;
            for event in schedule.events() {
                let (hour, minute) = event.hour_and_minute();
                let minutes = (u16::from(event.weekday()) * 24 + u16::from(hour)) * 60 + u16::from(minute);
                assert_eq!(minutes, event.minute_of_week);
                assert!(event.weekday() < 7 && hour < 24 && minute < 60, "{event:?}");
                assert!(event.setpoint.is_none_or(plausible), "{event:?}");
                read += 1;
            }
            assert!(read <= elements, "{read} of {elements} events");
            assert!(!(schedule.is_delete() && (elements > 0 || schedule.is_partial())));
        }
        Body::Command(command) => {
            for entry in command.changes.iter().flat_map(|changes| changes.iter()) {
                assert!(entry.control.setpoint.is_none_or(plausible), "{entry:?}");
                assert!(entry.control.agrees_with(&entry.control), "{entry:?}");
            }
        }
        Body::Ack(ack) => {
            assert_eq!(ack.trigger().is_some(), ack.trigger_source.is_some());
            let Some(device) = message.envelope.device.or_else(|| DeviceId::new("a0b1c2d3e4f6")) else {
                return;
            };
            let Some(id) = message.envelope.resp_id.and_then(|id| id.as_u64()) else { return };
            let sent = SentCommand { device, id, asked: ack.state.unwrap_or_default() };
            if message.envelope.topic != TopicKind::Out {
                assert_eq!(message.answers(&sent), Answer::NotAnAck, "only a device acknowledges");
                return;
            }
            let other = message.answers(&SentCommand { id: id ^ 1, ..sent });
            assert_eq!(other, Answer::NotThisRequest, "an acknowledgement is for one command");
            match message.answers(&sent) {
                Answer::Confirmed => assert_eq!((ack.success, ack.state.is_some()), (Some(true), true)),
                Answer::Rejected => assert_eq!(ack.success, Some(false)),
                Answer::Unconfirmed => assert!(ack.success.is_none() || ack.state.is_none(), "{ack:?}"),
                Answer::NotThisRequest => assert_ne!(message.envelope.src_type.unwrap_or(1), 1),
                Answer::NotAnAck => panic!("{ack:?}"),
            }
        }
        Body::Log(log) => {
            for word in [log.firmware(), log.ip(), log.serial()].into_iter().flatten() {
                assert!(!word.is_empty() && !word.contains(char::is_whitespace), "{word:?}");
                assert!(log.message.is_some_and(|line| line.as_raw().contains(word)));
            }
        }
        Body::Event(event) => assert_eq!(event.kind().is_some(), event.event_type.is_some()),
        Body::SetpointChange(change) => assert_eq!(change.trigger().is_some(), change.source.is_some()),
        _ => {}
    }
}

/// Checks that merging a message directly equals merging its observation, in any state.
fn merged_at_once(message: &Message<'_>, seen: &Observation, family: Option<Family>) {
    let earlier = |millis: i64, observation: &Observation| Observation {
        at: observation.at.map(|at| at.plus_millis(-millis)),
        ..*observation
    };
    let before = Observation { temperature: Celsius::from_degrees(4.25), ..earlier(1_000, seen) };
    let nothing = Observation::new(seen.source, seen.at, seen.received);
    let pressed = Observation { setpoint: Celsius::from_degrees(21.5), ..earlier(500, &nothing) };
    for history in [&[][..], &[before], &[earlier(2_000, seen), earlier(1_000, seen)], &[before, pressed]] {
        let (mut state, mut other) = (DeviceState::new(), DeviceState::new());
        for observation in history {
            state.observe(observation);
            other.observe(observation);
        }
        let changes = other.observe_message(message, &ModeTable::OBSERVED, family, seen.received);
        assert_eq!(changes, Some(state.observe(seen)));
        assert_eq!(format!("{other:?}"), format!("{state:?}"));
    }
}

/// Rewrites an object with escapes and blanks in its keys and with exponents, so that no fast path applies. Values that
/// are kept as text stay unchanged.
fn in_other_notation(object: RawJson<'_>, depth: u32) -> String {
    let mut text = String::from("{");
    for (key, value) in object.members() {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str("\n\"");
        for character in key.chars() {
            // Characters beyond the basic plane need surrogate pairs.
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
        text.push_str("\"\t: ");
        match value.value() {
            Json::Number(number) if !number.as_str().contains(['e', 'E']) => {
                text.push_str(&format!("{value}E+0"));
            }
            // The decoder reads no structure that is nested deeper.
            Json::Object(_) if depth < 3 && key != "cmd" => {
                text.push_str(&in_other_notation(value, depth + 1));
            }
            _ => text.push_str(value.as_str()),
        }
    }
    text.push_str("\r}");
    text
}

fn in_range(seen: &Observation) {
    assert!(seen.duty.is_none_or(|duty| (0.0..=1.0).contains(&duty.as_fraction())), "{seen:?}");
    assert!(seen.humidity.is_none_or(|it| (0.0..=100.0).contains(&it.as_percent())), "{seen:?}");
    assert!(seen.current.is_none_or(|it| it.as_amperes() >= 0.0 && it.as_amperes().is_finite()), "{seen:?}");
    assert!(seen.voltage.is_none_or(|it| it.as_volts() >= 0.0 && it.as_volts().is_finite()), "{seen:?}");
    // The range of the model applies when a setpoint is written, not when it is read.
    for celsius in [seen.temperature, seen.floor_temperature, seen.setpoint].into_iter().flatten() {
        assert!(plausible(celsius), "{seen:?}");
    }
}

fn plausible(celsius: Celsius) -> bool {
    (-60.0..=130.0).contains(&celsius.as_degrees())
}
