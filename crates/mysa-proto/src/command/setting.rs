//! Values of settings.

use core::fmt;

use crate::time::Civil;
use crate::{Celsius, FanSpeed, Mode, Swing, UnixTime};

/// Value of a setting: its comparison with an observed value, and its text.
pub(crate) trait Setting: Copy + PartialEq {
    /// True if the observed value `seen` means that the thermostat has this value.
    fn is_met_by(self, seen: Self) -> bool {
        self == seen
    }

    /// Formats the value for people.
    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl Setting for bool {
    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(on_off(self))
    }
}

impl Setting for Celsius {
    /// Some firmware prints 21.504 for 21.5.
    fn is_met_by(self, seen: Self) -> bool {
        self.as_hundredths().abs_diff(seen.as_hundredths()) <= 1
    }

    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self, f)
    }
}

impl Setting for AutoSetpoints {
    fn is_met_by(self, seen: Self) -> bool {
        self.heat.is_met_by(seen.heat) && self.cool.is_met_by(seen.cool)
    }

    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self, f)
    }
}

impl Setting for Hold {
    /// The end is compared in whole seconds, if the thermostat reports one.
    fn is_met_by(self, seen: Self) -> bool {
        match (self, seen) {
            (Self::Until(asked), Self::Until(seen)) => asked.as_secs() == seen.as_secs(),
            (Self::FollowSchedule | Self::Until(_), Self::FollowOrUntil) => true,
            (asked, seen) => asked == seen,
        }
    }

    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self, f)
    }
}

impl Setting for Brightness {
    /// An acknowledgement may contain only the active brightness. So the active brightness is required if it was
    /// requested, and every other part must agree if it is present.
    fn is_met_by(self, seen: Self) -> bool {
        fn not_contradicted<T: PartialEq>(asked: Option<T>, seen: Option<T>) -> bool {
            asked.is_none() || seen.is_none() || asked == seen
        }
        (self.active.is_none() || self.active == seen.active)
            && not_contradicted(self.auto, seen.auto)
            && not_contradicted(self.idle, seen.idle)
            && not_contradicted(self.active_seconds, seen.active_seconds)
            && not_contradicted(self.idle_seconds, seen.idle_seconds)
    }

    fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self, f)
    }
}

macro_rules! exact_settings {
    ($($type:ty,)*) => {$(
        impl Setting for $type {
            fn show(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self, f)
            }
        }
    )*};
}
exact_settings! { Mode, FanSpeed, Swing, TrackedSensor, }

/// Both targets of automatic mode, which are always sent together.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

/// Hold of the setpoint against the schedule.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "a command has three of these forms, a report also the fourth")]
pub enum Hold {
    /// `ho` 1 in a report without `tm`: [`Hold::FollowSchedule`] or [`Hold::Until`]; the report leaves open
    /// which. Not a request. A report of the same time with the end of the hold takes precedence.
    FollowOrUntil,
    /// `ho` 1: no hold; the schedule sets the setpoint. It also ends a hold.
    FollowSchedule,
    /// `ho` 2: hold until the next change.
    Permanent,
    /// `ho` 1 with an end in `tm`, in whole seconds. (mysotherm; mysa_client reads `tm` as the time of execution.)
    Until(UnixTime),
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FollowSchedule => f.pad("follow schedule"),
            Self::Permanent => f.pad("permanent"),
            Self::Until(end) => write!(f, "until {}", Civil(*end)),
            Self::FollowOrUntil => f.pad("follow schedule or until a time"),
        }
    }
}

/// Sensor that drives an in-floor thermostat.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "the hardware has two")]
pub enum TrackedSensor {
    /// 3: the floor probe.
    Floor,
    /// 5: the room sensor.
    Ambient,
}

impl TrackedSensor {
    /// Number in `tr`, `trackedSnsr` and `TrackedSensor`: 3 floor, 5 ambient.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Floor => 3,
            Self::Ambient => 5,
        }
    }

    /// Converts from [`TrackedSensor::number`]. `None` for any other number.
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

    /// Converts from `tracking.tracking`. `None` for 2 (a remote sensor) and any other number.
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

/// Display brightness: `br` of a command and `Brightness` of a device record. Fields that are `None` are not sent.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..Brightness::default()` fills the rest")]
pub struct Brightness {
    /// `a_b`: follow the ambient light.
    pub auto: Option<bool>,
    /// `a_br`: percent while in use, 0 to 100.
    pub active: Option<u8>,
    /// `i_br`: percent while idle, 0 to 100.
    pub idle: Option<u8>,
    /// `a_dr`: seconds in use, 0 to 65 535. No source gives a narrower range.
    pub active_seconds: Option<u16>,
    /// `i_dr`: seconds idle, 0 to 65 535. No source gives a narrower range.
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

pub(super) const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Displays the value of a setting.
pub(super) struct Shown<T>(pub(super) T);

impl<T: Setting> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

/// Formats the present fields, separated by commas.
pub(super) struct List<'a, 'b> {
    pub(super) f: &'a mut fmt::Formatter<'b>,
    pub(super) first: bool,
}

impl List<'_, '_> {
    pub(super) fn field(&mut self, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        let comma = if core::mem::take(&mut self.first) { "" } else { ", " };
        write!(self.f, "{comma}{name} {value}")
    }
}
