use crate::json::Reader;
use crate::lenient::{self, Fields as _, fields};
use crate::{Celsius, JsonError};

fields! { 'a;
    /// The settings of a device as `msg` 44 carries them, in a command as in its acknowledgement. Codes are kept as
    /// numbers: what they mean depends on the model.
    #[non_exhaustive]
    pub struct ControlState {
        /// `sp`: setpoint. Mysa_HA also writes `stpt` and `a_sp`.
        pub setpoint: Celsius = "sp" | "stpt" | "a_sp" => lenient::celsius,
        /// `md`: mode.
        pub mode: i64 = "md" => lenient::integer,
        /// `ho`: 1 follow the schedule, 2 hold.
        pub hold: i64 = "ho" => lenient::integer,
        /// `lk`: buttons locked.
        pub lock: bool = "lk" => lenient::flag,
        /// `br`: brightness.
        pub brightness: BrightnessState = "br" => brightness,
        /// `pr`: wake when somebody comes near.
        pub proximity: bool = "pr" => lenient::flag,
        /// `tr`: tracked sensor, 3 floor, 5 room.
        pub tracked_sensor: i64 = "tr" => lenient::integer,
        /// `fn`: fan speed.
        pub fan: i64 = "fn" => lenient::integer,
        /// `ss`: vertical swing.
        pub swing_vertical: i64 = "ss" => lenient::integer,
        /// `ssh`: horizontal swing.
        pub swing_horizontal: i64 = "ssh" => lenient::integer,
        /// `it`: Climate+, the thermostat's own sensor drives the air conditioner.
        pub climate_plus: bool = "it" => lenient::flag,
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
            && brightness.is_none_or(|asked| self.brightness.is_some_and(|here| here.agrees_with(&asked)))
            && same(proximity, self.proximity)
            && same(tracked_sensor, self.tracked_sensor)
            && same(fan, self.fan)
            && same(swing_vertical, self.swing_vertical)
            && same(swing_horizontal, self.swing_horizontal)
            && same(climate_plus, self.climate_plus)
    }
}

fields! { 'a;
    /// Brightness of the display as `br` tells it. Where `br` is a plain number, that is `active`.
    #[derive(Eq, Hash)]
    #[non_exhaustive]
    pub struct BrightnessState {
        /// `a_b`: follow the ambient light.
        pub auto: bool = "a_b" => lenient::flag,
        /// `a_br`: percent while in use.
        pub active: u8 = "a_br" => lenient::percent,
        /// `i_br`: percent while idle.
        pub idle: u8 = "i_br" => lenient::percent,
        /// `a_dr`: seconds in use.
        pub active_secs: u32 = "a_dr" => lenient::seconds,
        /// `i_dr`: seconds idle.
        pub idle_secs: u32 = "i_dr" => lenient::seconds,
    }
}

impl BrightnessState {
    /// Whether nothing here contradicts `asked`, and the brightness in use is confirmed if it was asked for.
    fn agrees_with(&self, asked: &Self) -> bool {
        fn free<T: PartialEq>(asked: Option<T>, here: Option<T>) -> bool {
            asked.is_none() || here.is_none() || asked == here
        }
        (asked.active.is_none() || asked.active == self.active)
            && free(asked.auto, self.auto)
            && free(asked.idle, self.idle)
            && free(asked.active_secs, self.active_secs)
            && free(asked.idle_secs, self.idle_secs)
    }
}

fn brightness(reader: &mut Reader<'_>) -> Result<Option<BrightnessState>, JsonError> {
    if reader.peek() == Some(b'{') {
        return BrightnessState::read(reader).map(Some);
    }
    Ok(lenient::percent(reader)?.map(|active| BrightnessState { active: Some(active), ..Default::default() }))
}
