use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::time::Civil;
use crate::{Celsius, Control, Family, FanSpeed, Mode, SetpointRange, Swing, UnixTime};

/// Reason why a change cannot become a command. The caller requested something that the thermostat does not accept; the
/// text names the valid values. Nothing was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidCommand {
    /// The change is empty.
    NothingToChange,
    /// The model is unknown, and with it the command's type and the numbers of the modes.
    UnknownModel {
        /// Model string.
        model: String,
    },
    /// The family accepts no commands on this channel.
    NoChannel {
        /// The family.
        family: Family,
        /// The requested channel.
        channel: Channel,
    },
    /// The family does not have this control on this channel.
    NoControl {
        /// The family.
        family: Family,
        /// The missing control.
        control: Control,
        /// The requested channel.
        channel: Channel,
    },
    /// The setpoint is outside the range of the model or the user's limits.
    SetpointOutOfRange {
        /// The requested value.
        asked: Celsius,
        /// The valid range, narrowed by the limits.
        range: SetpointRange,
    },
    /// The air conditioner does not accept this setpoint in its present or requested mode.
    SetpointNotOffered {
        /// The requested value, rounded to the step.
        asked: Celsius,
        /// The mode.
        mode: Mode,
        /// The valid values; empty if the mode has no setpoint.
        offered: Vec<Celsius>,
    },
    /// The device does not have this mode, or the mode table has no number for it.
    ModeNotOffered {
        /// The requested value.
        asked: Mode,
        /// The valid values.
        offered: Vec<Mode>,
    },
    /// The unit does not have this fan speed in its present or requested mode.
    FanNotOffered {
        /// The requested value.
        asked: FanSpeed,
        /// The valid values.
        offered: Vec<FanSpeed>,
    },
    /// The unit does not have this direction in its present or requested mode.
    SwingNotOffered {
        /// The requested value.
        asked: Swing,
        /// The valid values.
        offered: Vec<Swing>,
    },
    /// A setpoint needs heating or cooling, but the present or requested mode is neither or unknown.
    SetpointNeedsMode {
        /// The mode, if known.
        mode: Option<Mode>,
    },
    /// A fan speed must be sent together with the mode, which is unknown.
    FanNeedsMode,
    /// The lower of two setpoints is above the higher.
    AutoSetpointsCross {
        /// Heat below.
        heat: Celsius,
        /// Cool above.
        cool: Celsius,
    },
    /// The correction of the room temperature is out of range or not a multiple of its step.
    OffsetOutOfRange {
        /// The requested value.
        asked: Celsius,
    },
    /// The structured service accepts only the active and the idle brightness together.
    BrightnessNeedsBoth,
    /// The brightness is above 100 %.
    BrightnessOutOfRange {
        /// The requested value, in percent.
        asked: u8,
    },
    /// The hold ends before it begins, or at a time that cannot be encoded.
    HoldEndsInPast {
        /// Requested end.
        end: UnixTime,
        /// Time of the request.
        now: UnixTime,
    },
    /// The hold is [`Hold::FollowOrUntil`](crate::Hold::FollowOrUntil), which only a report can be.
    HoldUndecided,
    /// The duration of a live report is out of range.
    LiveReportOutOfRange {
        /// The requested value, in seconds.
        asked: u32,
    },
}

/// Channel of a command.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "there are only these two")]
pub enum Channel {
    /// Message 44 on `/in`.
    Mqtt,
    /// `POST /state/{dev}/update`.
    Structured,
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mqtt => "MQTT",
            Self::Structured => "the structured service",
        })
    }
}

impl fmt::Display for InvalidCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToChange => f.write_str("nothing to change"),
            Self::UnknownModel { model } => {
                write!(f, "unknown model {model:?}: known are ")?;
                list(f, crate::Model::known().iter().map(|info| info.model))
            }
            Self::NoChannel { family, channel } => {
                write!(f, "{family} accepts no commands over {channel}")
            }
            Self::NoControl { family, control, channel } => {
                write!(f, "{family} has no {control} over {channel}; it has ")?;
                list(f, family.controls_on(*channel))
            }
            Self::SetpointOutOfRange { asked, range } => {
                write!(f, "setpoint {asked} is out of range: allowed are {range}")
            }
            Self::SetpointNotOffered { mode, offered, .. } if offered.is_empty() => {
                write!(f, "the device has no setpoint in mode {mode}")
            }
            Self::SetpointNotOffered { asked, mode, offered } => {
                write!(f, "setpoint {asked} is not offered in mode {mode}: allowed are ")?;
                list(f, offered.iter().map(|one| one.as_degrees()))?;
                f.write_str(" °C")
            }
            Self::ModeNotOffered { asked, offered } => {
                write!(f, "{asked} is not a mode of this device: allowed are ")?;
                list(f, offered)
            }
            Self::FanNotOffered { asked, offered } => {
                write!(f, "fan speed {asked} is not offered: allowed are ")?;
                list(f, offered)
            }
            Self::SwingNotOffered { asked, offered } => {
                write!(f, "swing {asked} is not offered: allowed are ")?;
                list(f, offered)
            }
            Self::SetpointNeedsMode { mode: None } => f.write_str(
                "a setpoint needs mode heat or cool, but the present mode is unknown: set the mode as well",
            ),
            Self::SetpointNeedsMode { mode: Some(mode) } => {
                write!(f, "mode {mode} has no single setpoint: allowed are heat and cool")
            }
            Self::FanNeedsMode => f.write_str(
                "a fan speed is sent together with the mode, but the present mode is unknown: set the mode as well",
            ),
            Self::AutoSetpointsCross { heat, cool } => {
                write!(f, "the heating setpoint {heat} is above the cooling setpoint {cool}")
            }
            Self::OffsetOutOfRange { asked } => write!(
                f,
                "temperature offset {asked} is out of range: allowed are -5 to 5 °C in steps of 0.5"
            ),
            Self::BrightnessNeedsBoth => f.write_str(
                "the structured service accepts active and idle brightness only together, and no other brightness setting",
            ),
            Self::BrightnessOutOfRange { asked } => {
                write!(f, "brightness {asked} % is out of range: allowed are 0 to 100 %")
            }
            Self::HoldEndsInPast { end, now } => {
                write!(f, "a hold until {} must end after the present time {}", Civil(*end), Civil(*now))
            }
            Self::HoldUndecided => {
                f.write_str("invalid hold: expected to follow the schedule, to hold, or to hold until a time")
            }
            Self::LiveReportOutOfRange { asked } => {
                write!(f, "a live report of {asked} s is out of range: allowed are 1 to 300 s")
            }
        }
    }
}

impl core::error::Error for InvalidCommand {}

/// Formats the items, separated by commas, or `none`.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    let mut comma = "";
    for item in items {
        write!(f, "{comma}{item}")?;
        comma = ", ";
    }
    if comma.is_empty() { f.write_str("none") } else { Ok(()) }
}
