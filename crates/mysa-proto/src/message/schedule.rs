use crate::json::Elements;
use crate::json::field::{self, fields};
use crate::json::reader::{Reader, Stop};
use crate::{Celsius, Json, JsonNumber, JsonStr, RawJson, UnixTime};

fields! { 'a;
    /// `msg` 34 to a device: a weekly schedule that replaces the present one. This crate cannot write one. (mysotherm,
    /// Mysa_HA.)
    #[non_exhaustive]
    pub struct ScheduleMessage<'a> {
        /// `ver`: `3.0.0` in every capture.
        pub version: JsonStr<'a> = "ver" => field::text,
        /// `hash`: seven hex digits or empty.
        pub hash: JsonStr<'a> = "hash" => field::text,
        /// `events` as received; see [`ScheduleMessage::events`].
        pub raw_events: RawJson<'a> = "events" => array,
        /// `totalEvents`: number of events in all messages of this schedule.
        pub total_events: i64 = "totalEvents" => field::integer,
        /// `createTime`.
        pub created: UnixTime = "createTime" => field::time,
    }
}

fn array<'a>(reader: &mut Reader<'a>) -> Result<Option<RawJson<'a>>, Stop> {
    let open = reader.peek();
    let raw = reader.skip_value()?;
    Ok((open == Some(b'[')).then_some(raw))
}

impl<'a> ScheduleMessage<'a> {
    /// Events in this message. Events of an unknown form are left out.
    #[must_use]
    pub fn events(&self) -> ScheduleEvents<'a> {
        ScheduleEvents { rest: self.raw_events.map(RawJson::elements) }
    }

    /// True if the rest of the schedule follows in further messages.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        let here = self.raw_events.map_or(0, |events| events.elements().count());
        self.total_events.is_some_and(|total| i64::try_from(here).is_ok_and(|here| total > here))
    }

    /// True if the message deletes the schedule.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        self.total_events == Some(0)
            && self.raw_events.is_some_and(|events| events.elements().next().is_none())
    }
}

/// Iterator of [`ScheduleMessage::events`].
#[derive(Clone, Debug)]
pub struct ScheduleEvents<'a> {
    rest: Option<Elements<'a>>,
}

impl Iterator for ScheduleEvents<'_> {
    type Item = ScheduleEvent;

    fn next(&mut self) -> Option<ScheduleEvent> {
        self.rest.as_mut()?.find_map(|element| match element.value() {
            Json::String(text) => ScheduleEvent::parse(text.as_plain()?),
            _ => None,
        })
    }
}

/// Event of a schedule: `1|index|minute|mode|setpoint|%|%|%|%|%`. The meaning of the first field and the last five is
/// unknown.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct ScheduleEvent {
    /// Index in the schedule, from 0.
    pub index: u32,
    /// Minute of the week, 0 to 10079, from Sunday 00:00 in the local time of the device.
    pub minute_of_week: u16,
    /// Mode, by number.
    pub mode: Option<i64>,
    /// Setpoint; `None` if the event does not change it.
    pub setpoint: Option<Celsius>,
}

impl ScheduleEvent {
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('|').skip(1);
        let mut number = || fields.next().map(JsonNumber::new);
        let index = number()??.to_i64()?;
        let minute = number()??.to_i64()?;
        let mode = number()?.and_then(JsonNumber::to_i64);
        let setpoint =
            number()?.and_then(JsonNumber::to_f64).filter(|degrees| (-60.0..=130.0).contains(degrees));
        Some(Self {
            index: u32::try_from(index).ok()?,
            minute_of_week: u16::try_from(minute).ok().filter(|&minute| minute < 7 * 24 * 60)?,
            mode,
            setpoint: setpoint.and_then(Celsius::from_degrees),
        })
    }

    /// Day of the week, from 0 for Sunday, in the local time of the device.
    #[must_use]
    pub const fn weekday(&self) -> u8 {
        // At most 6.
        (self.minute_of_week / (24 * 60)) as u8
    }

    /// Hour and minute in the local time of the device.
    #[must_use]
    pub const fn hour_and_minute(&self) -> (u8, u8) {
        let minute = self.minute_of_week % (24 * 60);
        ((minute / 60) as u8, (minute % 60) as u8)
    }
}
