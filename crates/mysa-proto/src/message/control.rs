use crate::json::field::{self, Fields as _, fields};
use crate::json::reader::{Reader, Stop};
use crate::{Brightness, Celsius, CmdFields};

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
    /// Whether every field `asked` names is here with the same value; 0.01 °C apart counts as the same. (Rule of
    /// mysa_client.)
    #[must_use]
    pub fn agrees_with(&self, asked: &Self) -> bool {
        fn same<T: PartialEq>(asked: Option<T>, here: Option<T>) -> bool {
            asked.is_none() || asked == here
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
        setpoint.is_none_or(|asked| {
            self.setpoint.is_some_and(|here| here.as_hundredths().abs_diff(asked.as_hundredths()) <= 1)
        }) && same(mode, self.mode)
            && same(hold, self.hold)
            && same(lock, self.lock)
            && brightness
                .is_none_or(|asked| self.brightness.is_some_and(|here| brightness_agrees(&asked, &here)))
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

/// Whether nothing seen contradicts what was asked for, and the brightness in use is confirmed if it was asked for.
fn brightness_agrees(asked: &Brightness, seen: &Brightness) -> bool {
    fn free<T: PartialEq>(asked: Option<T>, seen: Option<T>) -> bool {
        asked.is_none() || seen.is_none() || asked == seen
    }
    (asked.active.is_none() || asked.active == seen.active)
        && free(asked.auto, seen.auto)
        && free(asked.idle, seen.idle)
        && free(asked.active_seconds, seen.active_seconds)
        && free(asked.idle_seconds, seen.idle_seconds)
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
