use core::fmt;

use crate::{Celsius, Control, FanSpeed, Mode, Swing, UnixTime};

/// What somebody wants a thermostat to do: any number of fields at once, sent as one command.
///
/// It is a wish, not yet a command: [`Command::new`](crate::Command::new) checks it against the model.
///
/// ```
/// use mysa_proto::{Celsius, Change, Mode};
///
/// let change = Change { mode: Some(Mode::Heat), setpoint: Celsius::from_degrees(21.5), ..Change::default() };
/// assert_eq!(change.to_string(), "mode heat, setpoint 21.5 °C");
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..Change::default()` fills the rest")]
pub struct Change {
    /// Target temperature. It is moved to the nearest step of the model.
    pub setpoint: Option<Celsius>,
    /// Operating mode.
    pub mode: Option<Mode>,
    /// Hold or resume.
    pub hold: Option<Hold>,
    /// Button lock: `true` locks.
    pub lock: Option<bool>,
    /// Display brightness.
    pub brightness: Option<Brightness>,
    /// Wake the display when somebody comes near.
    pub proximity: Option<bool>,
    /// Fan speed.
    pub fan: Option<FanSpeed>,
    /// Vertical direction of the louvres.
    pub swing_vertical: Option<Swing>,
    /// Horizontal direction of the louvres.
    pub swing_horizontal: Option<Swing>,
    /// Climate+: let the thermostat's own sensor drive the air conditioner.
    pub climate_plus: Option<bool>,
    /// Sensor an in-floor thermostat is to follow.
    pub tracked_sensor: Option<TrackedSensor>,
    /// Both targets of automatic mode. Structured service only.
    pub auto_setpoints: Option<AutoSetpoints>,
    /// Correction added to the room temperature, -5 to 5 °C in steps of 0.5. Structured service only.
    pub temperature_offset: Option<Celsius>,
}

impl Change {
    /// A new setpoint and nothing else.
    #[must_use]
    pub fn setpoint(setpoint: Celsius) -> Self {
        Self { setpoint: Some(setpoint), ..Self::default() }
    }

    /// A new mode and nothing else.
    #[must_use]
    pub fn mode(mode: Mode) -> Self {
        Self { mode: Some(mode), ..Self::default() }
    }

    /// A setpoint `by` above (or, if negative, below) the present one, and nothing else. `None` if the sum is no
    /// temperature.
    #[must_use]
    pub fn setpoint_moved(present: Celsius, by: Celsius) -> Option<Self> {
        let sum = present.as_hundredths().checked_add(by.as_hundredths())?;
        Celsius::from_degrees(f64::from(sum) / 100.0).map(Self::setpoint)
    }

    /// Whether nothing is to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The controls it touches.
    pub fn controls(&self) -> impl Iterator<Item = Control> {
        [
            (self.mode.is_some(), Control::Mode),
            (self.setpoint.is_some(), Control::Setpoint),
            (self.hold.is_some(), Control::Hold),
            (self.lock.is_some(), Control::Lock),
            (self.brightness.is_some(), Control::Brightness),
            (self.proximity.is_some(), Control::Proximity),
            (self.fan.is_some(), Control::Fan),
            (self.swing_vertical.is_some() || self.swing_horizontal.is_some(), Control::Swing),
            (self.climate_plus.is_some(), Control::ClimatePlus),
            (self.tracked_sensor.is_some(), Control::TrackedSensor),
            (self.auto_setpoints.is_some(), Control::AutoSetpoints),
            (self.temperature_offset.is_some(), Control::TemperatureOffset),
        ]
        .into_iter()
        .filter_map(|(touched, control)| touched.then_some(control))
    }

    /// This change with the fields of a later one laid over it.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            setpoint: later.setpoint.or(self.setpoint),
            mode: later.mode.or(self.mode),
            hold: later.hold.or(self.hold),
            lock: later.lock.or(self.lock),
            brightness: later.brightness.or(self.brightness),
            proximity: later.proximity.or(self.proximity),
            fan: later.fan.or(self.fan),
            swing_vertical: later.swing_vertical.or(self.swing_vertical),
            swing_horizontal: later.swing_horizontal.or(self.swing_horizontal),
            climate_plus: later.climate_plus.or(self.climate_plus),
            tracked_sensor: later.tracked_sensor.or(self.tracked_sensor),
            auto_setpoints: later.auto_setpoints.or(self.auto_setpoints),
            temperature_offset: later.temperature_offset.or(self.temperature_offset),
        }
    }
}

impl fmt::Display for Change {
    /// For people: `mode heat, setpoint 21.5 °C`, or `nothing`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = List { f, first: true };
        list.field("mode", self.mode)?;
        list.field("setpoint", self.setpoint)?;
        list.field("hold", self.hold)?;
        list.field("button lock", self.lock.map(on_off))?;
        list.field("brightness", self.brightness)?;
        list.field("proximity", self.proximity.map(on_off))?;
        list.field("fan", self.fan)?;
        list.field("vertical swing", self.swing_vertical)?;
        list.field("horizontal swing", self.swing_horizontal)?;
        list.field("Climate+", self.climate_plus.map(on_off))?;
        list.field("tracked sensor", self.tracked_sensor)?;
        list.field("setpoints", self.auto_setpoints)?;
        list.field("temperature offset", self.temperature_offset)?;
        if list.first { list.f.write_str("nothing") } else { Ok(()) }
    }
}

/// The two targets of automatic mode, which are always told together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct AutoSetpoints {
    /// Heat below this.
    pub heat: Celsius,
    /// Cool above this.
    pub cool: Celsius,
}

impl fmt::Display for AutoSetpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heat {} and cool {}", self.heat, self.cool)
    }
}

/// What keeps the setpoint from following the schedule.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the three forms the command has")]
pub enum Hold {
    /// `ho` 1: nothing; the schedule sets it. Also the way to resume.
    FollowSchedule,
    /// `ho` 2: a person, until somebody changes it.
    Permanent,
    /// `ho` 1 with an end in `tm`, in whole seconds. (mysotherm; mysa_client reads `tm` as the time of execution.)
    Until(UnixTime),
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FollowSchedule => f.pad("follow schedule"),
            Self::Permanent => f.pad("permanent"),
            Self::Until(end) => write!(f, "until {end}"),
        }
    }
}

/// Which sensor drives an in-floor thermostat.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the hardware has two")]
pub enum TrackedSensor {
    /// 3: the floor probe.
    Floor,
    /// 5: the room sensor.
    Ambient,
}

impl TrackedSensor {
    /// The number of `tr`, `trackedSnsr` and `TrackedSensor`: 3 floor, 5 ambient.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Floor => 3,
            Self::Ambient => 5,
        }
    }

    /// Reads that number. `None` for any other.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            3 => Some(Self::Floor),
            5 => Some(Self::Ambient),
            _ => None,
        }
    }

    /// `tracking.tracking` of the structured service: 0 ambient, 1 probe.
    #[must_use]
    pub const fn to_structured(self) -> i64 {
        match self {
            Self::Ambient => 0,
            Self::Floor => 1,
        }
    }

    /// Reads `tracking.tracking`. `None` for 2 (a remote sensor) and any other.
    #[must_use]
    pub const fn from_structured(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Ambient),
            1 => Some(Self::Floor),
            _ => None,
        }
    }
}

impl fmt::Display for TrackedSensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Floor => "floor",
            Self::Ambient => "ambient",
        })
    }
}

/// Display brightness, as `br` of a command and `Brightness` of a device record carry it. What is `None` is not sent.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..Brightness::default()` fills the rest")]
pub struct Brightness {
    /// `a_b`: follow the ambient light.
    pub auto: Option<bool>,
    /// `a_br`: percent while in use, 0 to 100.
    pub active: Option<u8>,
    /// `i_br`: percent while idle, 0 to 100.
    pub idle: Option<u8>,
    /// `a_dr`: seconds in use.
    pub active_seconds: Option<u16>,
    /// `i_dr`: seconds idle.
    pub idle_seconds: Option<u16>,
}

impl fmt::Display for Brightness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = List { f, first: true };
        list.field("active %", self.active)?;
        list.field("active s", self.active_seconds)?;
        list.field("idle %", self.idle)?;
        list.field("idle s", self.idle_seconds)?;
        list.field("auto", self.auto.map(on_off))
    }
}

const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Writes the present fields with commas between them.
struct List<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    first: bool,
}

impl List<'_, '_> {
    fn field(&mut self, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        let comma = if core::mem::take(&mut self.first) { "" } else { ", " };
        write!(self.f, "{comma}{name} {value}")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_later_change_wins_field_by_field() {
        let first = Change { mode: Some(Mode::Heat), ..Change::setpoint(Celsius::from_hundredths(2_000)) };
        let both =
            first.then(Change { lock: Some(true), ..Change::setpoint(Celsius::from_hundredths(2_150)) });
        assert_eq!(both.to_string(), "mode heat, setpoint 21.5 °C, button lock on");
        assert_eq!(Change::default().to_string(), "nothing");
        assert!(Change::default().then(Change::default()).is_empty());
    }

    #[test]
    fn a_relative_setpoint_cannot_leave_the_scale() {
        let half = Celsius::from_hundredths(50);
        let moved = Change::setpoint_moved(Celsius::from_hundredths(2_100), half).unwrap();
        assert_eq!(moved.setpoint, Some(Celsius::from_hundredths(2_150)));
        assert_eq!(Change::setpoint_moved(Celsius::from_hundredths(i32::MAX), half), None);
        assert_eq!(
            Change::setpoint_moved(Celsius::from_hundredths(-27_315), Celsius::from_hundredths(-1)),
            None
        );
    }
}
