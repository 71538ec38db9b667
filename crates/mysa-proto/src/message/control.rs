use alloc::borrow::Cow;

use crate::command::setting::Setting;
use crate::json::field::{self, ReadFields, ReadMembers, fields};
use crate::json::key::Key;
use crate::json::reader::{Reader, Stop};
use crate::{Brightness, Celsius, CmdFields, DeviceId, Hold, Json, RawJson, UnixTime};

fields! { 'a;
    /// Settings of a device in `msg` 44, both in a command and in its acknowledgement. Codes are kept as numbers
    /// because their meaning depends on the model. In the order of the keys, in which devices write them.
    #[non_exhaustive]
    pub struct ControlState {
        /// `br`: brightness.
        pub brightness: Brightness = "br" => brightness,
        /// `fn`: fan speed.
        pub fan: i64 = "fn" => field::integer,
        /// `ho`: 1 follow the schedule, 2 hold.
        pub hold: i64 = "ho" => field::integer,
        /// `it`: Climate+, in which the thermostat's own sensor drives the air conditioner.
        pub climate_plus: bool = "it" => field::flag,
        /// `lk`: buttons locked.
        pub lock: bool = "lk" => field::flag,
        /// `md`: mode.
        pub mode: i64 = "md" => field::integer,
        /// `pr`: wake the display when a person approaches.
        pub proximity: bool = "pr" => field::flag,
        /// `sp`: setpoint. Mysa_HA also writes `stpt` and `a_sp`.
        pub setpoint: Celsius = "sp" | "stpt" | "a_sp" => field::celsius,
        /// `ss`: vertical swing.
        pub swing_vertical: i64 = "ss" => field::integer,
        /// `ssh`: horizontal swing.
        pub swing_horizontal: i64 = "ssh" => field::integer,
        /// `tm`: beside `ho` 1 the end of the hold in seconds since the epoch, or -1 for none.
        pub hold_end: i64 = "tm" => field::any_integer,
        /// `tr`: tracked sensor, 3 floor, 5 room.
        pub tracked_sensor: i64 = "tr" => field::integer,
    }
}

impl ControlState {
    /// Hold against the schedule, by `ho` and `tm`. `None` for any other number than 1 and 2.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        match (self.hold?, self.hold_end) {
            (1, Some(end)) if end > 0 => Some(Hold::Until(UnixTime::from_secs(end))),
            (1, Some(_)) => Some(Hold::FollowSchedule),
            (1, None) => Some(Hold::FollowOrUntil),
            (2, _) => Some(Hold::Permanent),
            _ => None,
        }
    }

    /// True if every field that is set in `asked` has the same value here. Temperature, hold and brightness are compared
    /// by the rules of [`Change::compare`](crate::Change::compare).
    #[must_use]
    pub fn agrees_with(&self, asked: &Self) -> bool {
        fn same<T: PartialEq>(asked: Option<T>, here: Option<T>) -> bool {
            asked.is_none() || asked == here
        }
        fn met<T: Setting>(asked: Option<T>, here: Option<T>) -> bool {
            asked.is_none_or(|asked| here.is_some_and(|here| asked.is_met_by(here)))
        }
        let Self {
            setpoint,
            mode,
            hold,
            hold_end: _,
            lock,
            brightness,
            proximity,
            tracked_sensor,
            fan,
            swing_vertical,
            swing_horizontal,
            climate_plus,
        } = *asked;
        met(setpoint, self.setpoint)
            && same(mode, self.mode)
            && same(hold, self.hold)
            && met(asked.hold(), self.hold())
            && same(lock, self.lock)
            && met(brightness, self.brightness)
            && same(proximity, self.proximity)
            && same(tracked_sensor, self.tracked_sensor)
            && same(fan, self.fan)
            && same(swing_vertical, self.swing_vertical)
            && same(swing_horizontal, self.swing_horizontal)
            && same(climate_plus, self.climate_plus)
    }
}

fields! { 'a;
    struct BrightnessObject {
        auto: bool = "a_b" => field::flag,
        active: u8 = "a_br" => field::percent,
        idle: u8 = "i_br" => field::percent,
        active_seconds: u16 = "a_dr" => field::seconds16,
        idle_seconds: u16 = "i_dr" => field::seconds16,
    }
}

/// Reads an object, or a percentage, which is the active brightness.
#[inline(always)]
fn brightness(reader: &mut Reader<'_>) -> Result<Option<Brightness>, Stop> {
    match reader.small_whole() {
        // Two digits are a percentage.
        Some(active) => Ok(Some(Brightness { active: Some(active), ..Brightness::default() })),
        None => unusual_brightness(reader),
    }
}

#[cold]
#[inline(never)]
fn unusual_brightness(reader: &mut Reader<'_>) -> Result<Option<Brightness>, Stop> {
    let object = if reader.peek() == Some(b'{') {
        BrightnessObject::read(reader)?
    } else {
        let Some(active) = field::percent(reader)? else { return Ok(None) };
        BrightnessObject { active: Some(active), ..Default::default() }
    };
    let BrightnessObject { auto, active, idle, active_seconds, idle_seconds } = object;
    Ok(Some(Brightness { auto, active, idle, active_seconds, idle_seconds }))
}

impl From<&CmdFields> for ControlState {
    /// Settings that a command requests, for comparison with its acknowledgement.
    fn from(cmd: &CmdFields) -> Self {
        let flag = |value: i64| value != 0;
        Self {
            setpoint: cmd.sp,
            mode: cmd.md,
            hold: cmd.ho,
            hold_end: Some(cmd.tm),
            lock: cmd.lk.map(flag),
            brightness: cmd.br,
            proximity: cmd.pr.map(flag),
            tracked_sensor: cmd.tr,
            fan: cmd.fn_,
            swing_vertical: cmd.ss,
            swing_horizontal: cmd.ssh,
            climate_plus: cmd.it.map(flag),
        }
    }
}

/// `msg` 44 to a device: a command of this or another client, as seen on `/in`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandMessage<'a> {
    /// `type`: kind of device that the command is for.
    pub body_type: Option<i64>,
    /// `cmd`; `None` if it contains no command.
    pub changes: Option<Changeset<'a>>,
}

/// Changes in `cmd`. This crate writes an array; other clients also write a single object, and the vendor's app writes
/// a string that contains the array in every second command.
#[derive(Clone, Debug, PartialEq)]
pub struct Changeset<'a> {
    json: Cow<'a, str>,
}

impl<'a> Changeset<'a> {
    pub(crate) fn new(cmd: RawJson<'a>) -> Option<Self> {
        let json = match cmd.value() {
            Json::String(text) => text.to_cow(),
            _ => Cow::Borrowed(cmd.as_str()),
        };
        matches!(RawJson::new(&json).ok()?.value(), Json::Array(_) | Json::Object(_)).then_some(Self { json })
    }

    /// Changes, one for each object.
    pub fn iter(&self) -> impl Iterator<Item = CommandEntry> + '_ {
        let json = RawJson::new(&self.json).ok();
        let single = json.filter(|json| matches!(json.value(), Json::Object(_)));
        let list = json.into_iter().flat_map(RawJson::elements);
        single
            .into_iter()
            .chain(list)
            .filter_map(|entry| field::nested::<CommandEntry>(&mut entry.reader()).ok().flatten())
    }
}

/// Object in `cmd`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandEntry {
    /// `tm`: -1 for now; otherwise a time in seconds since the epoch, the end of the hold (mysotherm) or the time of
    /// execution (mysa_client).
    pub tm: Option<i64>,
    /// Requested settings.
    pub control: ControlState,
}

impl<'a> ReadMembers<'a> for CommandEntry {
    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn by_key(&mut self, known: Option<Key>, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        let found = self.control.by_key(known, reader)?;
        self.tm = self.control.hold_end;
        Ok(found)
    }
}

impl<'a> ReadFields<'a> for CommandEntry {
    const KEYS: &'static [&'static str] = ControlState::KEYS;
}

fields! { 'a;
    /// `msg` 44 from a device: its verdict on a command and its present settings. Also sent after a button was pressed.
    /// (Every witness.)
    #[non_exhaustive]
    pub struct Ack {
        /// `state`: present settings.
        pub state: ControlState = "state" => field::nested,
        /// `success`: true if the command was applied.
        pub success: bool = "success" => field::flag,
        /// `trig_src` as received; see [`Ack::trigger`].
        pub trigger_source: i64 = "trig_src" => field::integer,
        /// `type` of the command, repeated.
        pub body_type: i64 = "type" => field::integer,
    }
}

impl Ack {
    /// Trigger of the change.
    #[must_use]
    pub fn trigger(&self) -> Option<Trigger> {
        self.trigger_source.map(Trigger::from_number)
    }
}

/// Command that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct SentCommand {
    /// Device that it was sent to.
    pub device: DeviceId,
    /// `id` of the command.
    pub id: u64,
    /// Requested settings.
    pub asked: ControlState,
}

/// Answer of a message to a [`SentCommand`]; see [`Message::answers`](crate::Message::answers).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a new verdict must not be missed")]
pub enum Answer {
    /// The device applied the command and reports every requested field.
    Confirmed,
    /// The device rejected the command.
    Rejected,
    /// The device answered without confirming every requested field.
    Unconfirmed,
    /// Acknowledgement of another command, from another device, or without a `resp_id`.
    NotThisRequest,
    /// Not an acknowledgement: a status, or the command itself on `/in`.
    NotAnAck,
}

/// Trigger of a change of a thermostat: `trig_src` of an acknowledgement, `Source` of a setpoint change.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Trigger {
    /// 1: a button of the thermostat.
    Button,
    /// 3: the app or another client.
    App,
    /// Number without a known meaning.
    Other(i64),
}

impl Trigger {
    /// Converts from the number on the wire.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Button,
            3 => Self::App,
            other => Self::Other(other),
        }
    }
}
