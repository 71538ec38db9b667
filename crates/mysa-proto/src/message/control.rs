use alloc::borrow::Cow;

use crate::command::change::Setting;
use crate::json::field::{self, ReadFields, fields};
use crate::json::reader::{Reader, Stop};
use crate::{Brightness, Celsius, CmdFields, DeviceId, Json, RawJson};

fields! { 'a;
    /// The settings of a device as `msg` 44 carries them, in a command as in its acknowledgement. Codes are kept as
    /// numbers: what they mean depends on the model.
    #[non_exhaustive]
    pub struct ControlState {
        /// `sp`: setpoint. Mysa_HA also writes `stpt` and `a_sp`.
        pub setpoint: Celsius = "sp" | "stpt" | "a_sp" => field::celsius,
        /// `md`: mode.
        pub mode: i64 = "md" => field::integer,
        /// `ho`: 1 follow the schedule, 2 hold.
        pub hold: i64 = "ho" => field::integer,
        /// `lk`: buttons locked.
        pub lock: bool = "lk" => field::flag,
        /// `br`: brightness.
        pub brightness: Brightness = "br" => brightness,
        /// `pr`: wake when somebody comes near.
        pub proximity: bool = "pr" => field::flag,
        /// `tr`: tracked sensor, 3 floor, 5 room.
        pub tracked_sensor: i64 = "tr" => field::integer,
        /// `fn`: fan speed.
        pub fan: i64 = "fn" => field::integer,
        /// `ss`: vertical swing.
        pub swing_vertical: i64 = "ss" => field::integer,
        /// `ssh`: horizontal swing.
        pub swing_horizontal: i64 = "ssh" => field::integer,
        /// `it`: Climate+, the thermostat's own sensor drives the air conditioner.
        pub climate_plus: bool = "it" => field::flag,
    }
}

impl ControlState {
    /// True if every field that `asked` sets is here with the same value; temperature and brightness are compared as by
    /// [`Change::compare`](crate::Change::compare).
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

/// An object; or a plain percentage, which is the brightness in use.
fn brightness(reader: &mut Reader<'_>) -> Result<Option<Brightness>, Stop> {
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
    /// The settings a command asks for, to be compared with those its acknowledgement shows.
    fn from(cmd: &CmdFields) -> Self {
        let flag = |value: i64| value != 0;
        Self {
            setpoint: cmd.sp,
            mode: cmd.md,
            hold: cmd.ho,
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

/// `msg` 44, to a device: a command, our own or somebody else's, as a client sees it that listens to `/in`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandMessage<'a> {
    /// `type`: kind of device the command is written for.
    pub body_type: Option<i64>,
    /// `cmd`; `None` where it holds no command.
    pub changes: Option<Changeset<'a>>,
}

/// The list in `cmd`: an array in our own commands, one object in sloppy ones, and a string that holds the array in
/// every second one of the vendor's app, which is decoded once more.
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

    /// The changes, one for each object.
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

/// One object of `cmd`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandEntry {
    /// `tm`: -1 now; else seconds since the epoch, until which (mysotherm) or at which (mysa_client) it holds.
    pub tm: Option<i64>,
    /// The requested settings.
    pub control: ControlState,
}

impl<'a> ReadFields<'a> for CommandEntry {
    const KEYS: &'static [&'static str] = &["tm"];

    fn field(&mut self, key: &str, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        if key == "tm" {
            self.tm = field::any_integer(reader)?;
            return Ok(true);
        }
        self.control.field(key, reader)
    }
}

fields! { 'a;
    /// `msg` 44, from a device: what it has done with a command, and the settings it has now. Also sent unasked after
    /// a button was pressed. (Every witness.)
    #[non_exhaustive]
    pub struct Ack {
        /// `success`: whether it was applied.
        pub success: bool = "success" => field::flag,
        /// `trig_src` as it came; see [`Ack::trigger`].
        pub trigger_source: i64 = "trig_src" => field::integer,
        /// `type`: the one of the command, repeated.
        pub body_type: i64 = "type" => field::integer,
        /// `state`: the settings now.
        pub state: ControlState = "state" => field::nested,
    }
}

impl Ack {
    /// The trigger of the change.
    #[must_use]
    pub fn trigger(&self) -> Option<Trigger> {
        self.trigger_source.map(Trigger::from_number)
    }
}

/// A command that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct SentCommand {
    /// Where it was sent.
    pub device: DeviceId,
    /// The `id` it carried.
    pub id: u64,
    /// The requested settings.
    pub asked: ControlState,
}

/// Answer of a message to a [`SentCommand`]; see [`Message::answers`](crate::Message::answers).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a new verdict must not be missed")]
pub enum Answer {
    /// The device has applied it, and shows every field that was asked for.
    Confirmed,
    /// The device refused it.
    Rejected,
    /// The device answered, but does not say or does not show that it applied it.
    Unconfirmed,
    /// An acknowledgement, but of another command, of another device, or of none.
    NotThisRequest,
    /// No acknowledgement: a status, or the command itself as it is seen on `/in`.
    NotAnAck,
}

/// Trigger of a change of a thermostat: `trig_src` of an acknowledgement, `Source` of a setpoint change.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Trigger {
    /// 1: a button of the thermostat. Nobody asked over the network.
    Button,
    /// 3: the app, or a client such as this one.
    App,
    /// A number that no witness names.
    Other(i64),
}

impl Trigger {
    /// Reads the number.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Button,
            3 => Self::App,
            other => Self::Other(other),
        }
    }
}
